//! The one error type of the crate. Every message names what was asked, what was found, and what to do next.
//!
//! Messages are lower case, carry the numbers that disagree, and end with the line to type or the setting to change.
//! Their full text is under test in `tests/errors.rs`.

use std::panic::Location;
use std::path::PathBuf;

/// `Result` with the crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Where in the caller's source a graph node was built.
pub type Site = &'static Location<'static>;

/// Everything that can go wrong, one variant a kind of remedy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No adapter answers to what was asked for.
    #[error("no adapter matches `{wanted}`; this machine offers: {}\n  {}", list(.seen), adapter_hint(.seen))]
    NoAdapter {
        /// What was asked for, as the user wrote it.
        wanted: String,
        /// Names of the adapters that are there.
        seen: Vec<String>,
    },
    /// The adapter or device lacks a feature that was asked for.
    #[error("this device has no `{feature}`, needed by {needed_by}\n  {hint}")]
    MissingFeature {
        /// The feature's wgpu name.
        feature: String,
        /// What asked for it.
        needed_by: String,
        /// What to do.
        hint: String,
    },
    /// A count is over one of the device's limits.
    #[error("{what} needs {needed}; this device allows {limit}\n  {hint}")]
    LimitExceeded {
        /// The thing counted.
        what: String,
        /// How many are needed.
        needed: u64,
        /// How many the device allows.
        limit: u64,
        /// What to do.
        hint: String,
    },
    /// A tensor does not fit into one storage binding.
    #[error("tensor `{name}` needs {needed} bytes in one binding; this device allows {limit}\n  {hint}")]
    BindingTooLarge {
        /// The tensor's label.
        name: String,
        /// Bytes needed.
        needed: u64,
        /// Bytes allowed.
        limit: u64,
        /// What to do.
        hint: String,
    },
    /// An allocation would pass the memory budget, or the device refused it.
    #[error(
        "allocating {needed} bytes for `{name}` passes the memory budget: {in_use} of {budget} bytes are in use\n  \
         raise GpuOptions::memory_budget, use fewer walkers, or drop tensors that are no longer needed"
    )]
    OutOfMemory {
        /// The tensor's label.
        name: String,
        /// Bytes asked for.
        needed: u64,
        /// Bytes in use.
        in_use: u64,
        /// The budget.
        budget: u64,
    },
    /// Shapes or element types that do not go together.
    #[error("shape mismatch in `{op}`: got {got}, want {want}{}", built_at(.at))]
    Shape {
        /// The operation.
        op: &'static str,
        /// What was given.
        got: String,
        /// What is needed.
        want: String,
        /// Where the node was built, when it was built by a user's line.
        at: Option<Site>,
    },
    /// A plan's input has no tensor.
    #[error("input `{name}` {shape:?} is not bound; bound are: {}\n  add .tensor(\"{name}\", &tensor) to the Bindings", list(.bound))]
    UnboundInput {
        /// The input's name.
        name: String,
        /// Its shape.
        shape: Vec<usize>,
        /// The names that are bound.
        bound: Vec<String>,
    },
    /// A derivative that does not exist.
    #[error("`{op}` has no derivative here: {why}{}", built_at(.at))]
    NotDifferentiable {
        /// The operation.
        op: &'static str,
        /// Why not, and what to use instead.
        why: String,
        /// Where the node was built.
        at: Option<Site>,
    },
    /// Rows (walkers) mix where a per-row meaning was asked for.
    #[error("`{op}` mixes rows, so there is no derivative of one row alone{}\n  {hint}", built_at(.at))]
    NotRowwise {
        /// The operation that mixes.
        op: &'static str,
        /// What to do.
        hint: String,
        /// Where the node was built.
        at: Option<Site>,
    },
    /// WGSL that does not parse, validate or match its declared bindings.
    #[error("kernel `{kernel}` is not valid WGSL: {message}\n  the whole text is in the `wgsl` field of this error")]
    Shader {
        /// The kernel's name.
        kernel: String,
        /// The text after preprocessing.
        wgsl: String,
        /// The validator's message.
        message: String,
    },
    /// A tensor or buffer of another device.
    #[error(
        "tensor `{name}` lives on another device than this {user}\n  create it with the same Gpu, or copy it through the host"
    )]
    ForeignDevice {
        /// The tensor's label.
        name: String,
        /// What wanted to use it.
        user: &'static str,
    },
    /// The device went away; everything read back before is still valid.
    #[error("the device was lost: {reason}\n  resume from the last checkpoint with --resume, or create a new Gpu")]
    DeviceLost {
        /// The driver's reason.
        reason: String,
    },
    /// The device or its driver refused a command that passed every check of ours.
    #[error(
        "the device refused a command: {message}\n  a kernel of your own may break a rule; otherwise report it, with the output of `cargo run --example adapter_info`"
    )]
    Refused {
        /// What it said.
        message: String,
    },
    /// A kernel raised bits of the fault word.
    #[error("fault {word:#06x} at step {step}{}: {}", where_it_is(.first), faults(*.word))]
    Fault {
        /// The bits.
        word: u32,
        /// Steps done when they were read; with `first`, when that value came up.
        step: u64,
        /// The first value that is not finite, where it was looked for.
        first: Option<NonFinite>,
    },
    /// A solver that used up its steps, or whose steps became as small as time can be told.
    #[error(
        "after {accepted} steps taken and {rejected} refused, time is {reached} on the way to {target}, with a step of {step:e}\n  \
         raise Tolerance::max_steps or loosen rtol and atol; if the step is tiny the field is stiff or singular there: end the \
         span before it, or smooth the field"
    )]
    StepLimit {
        /// Time reached.
        reached: f64,
        /// Time asked for.
        target: f64,
        /// Steps taken.
        accepted: u32,
        /// Steps tried and refused.
        rejected: u32,
        /// Size of the step that would come next.
        step: f64,
    },
    /// A step of time over the stability limit of an explicit method.
    #[error(
        "a step of {step} is over {}, the stability limit of {what}\n  \
         take a smaller step, larger cells, or an implicit stepper", digits(*.limit)
    )]
    Unstable {
        /// The method, and the grid it would step on.
        what: String,
        /// The step asked for.
        step: f64,
        /// The largest one that is stable; 0 if none is.
        limit: f64,
    },
    /// A preset, flag or option that cannot be used.
    #[error("{}: {field}: {why}", place(.file, *.line))]
    Config {
        /// The file, or `--set`.
        file: PathBuf,
        /// The line, 0 when there is none.
        line: usize,
        /// The field.
        field: String,
        /// What is wrong and what is allowed.
        why: String,
    },
    /// A data file that is not what its name says.
    #[error("{} at byte {offset}: {why}", .file.display())]
    Data {
        /// The file.
        file: PathBuf,
        /// Byte offset of the first thing that is wrong.
        offset: u64,
        /// What is wrong.
        why: String,
    },
    /// A checkpoint that does not belong to this run.
    #[error("checkpoint {}: {why}\n  {hint}", .file.display())]
    Checkpoint {
        /// The file.
        file: PathBuf,
        /// What disagrees.
        why: String,
        /// What to do.
        hint: String,
    },
    /// Reading or writing a file.
    #[error("cannot {verb} {}: {source}{}", .file.display(), io_hint(.verb, .source.kind()))]
    Io {
        /// `read`, `write` or `create`.
        verb: &'static str,
        /// The file.
        file: PathBuf,
        /// The system's word.
        source: std::io::Error,
    },
    /// A run that Ctrl-C, or a request to end, stopped on its way.
    #[error("the run was interrupted\n  what it had computed is in its checkpoint: go on with --resume")]
    Interrupted,
    /// A value outside the range in which the method means anything.
    #[error("{what} is {got}, but must be {want}")]
    Invalid {
        /// The quantity.
        what: &'static str,
        /// The value given.
        got: String,
        /// The allowed range.
        want: &'static str,
    },
}

/// A value that is not finite, and whose it is.
#[derive(Clone, Debug, PartialEq)]
pub struct NonFinite {
    /// What a row is, such as `the energy of walker`.
    pub whose: String,
    /// Which row.
    pub row: usize,
    /// Infinite, or NaN.
    pub value: f32,
}

/// Bits of the fault word that kernels raise; they are read back with the diagnostics.
pub struct Fault;

impl Fault {
    /// A result was not finite (tested on its bits: comparisons may be optimised away).
    pub const NON_FINITE: u32 = 1;
    /// An index was outside its tensor and was clamped.
    pub const INDEX: u32 = 2;
    /// A fixed capacity was too small.
    pub const CAPACITY: u32 = 4;
    /// A step size was not positive.
    pub const STEP_SIZE: u32 = 8;
}

fn where_it_is(first: &Option<NonFinite>) -> String {
    let place = |NonFinite { whose, row, value }: &NonFinite| format!(", where {whose} {row} is {value}");
    first.as_ref().map_or(String::new(), place)
}

fn faults(word: u32) -> String {
    let known = [
        (Fault::NON_FINITE, "a value is not finite: lower the step size or the learning rate"),
        (Fault::INDEX, "an index was out of range and was clamped: check the table that `gather` reads"),
        (Fault::CAPACITY, "a fixed capacity overflowed: raise it"),
        (Fault::STEP_SIZE, "a step size is not positive: check the schedule"),
    ];
    let said: Vec<_> = known.iter().filter(|(bit, _)| word & bit != 0).map(|(_, text)| *text).collect();
    if said.is_empty() { "a fault raised by a kernel of your own".into() } else { said.join("; ") }
}

/// Five digits of a number.
fn digits(x: f64) -> f64 {
    format!("{x:.4e}").parse().unwrap_or(x)
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "nothing".into() } else { names.join(", ") }
}

fn adapter_hint(seen: &[String]) -> &'static str {
    if seen.is_empty() {
        "install a driver; software ones are mesa-vulkan-drivers (Debian, Ubuntu, Fedora) and vulkan-swrast (Arch)"
    } else {
        "name one of these, or ask for `best` or `software`"
    }
}

fn io_hint(verb: &str, kind: std::io::ErrorKind) -> &'static str {
    use std::io::ErrorKind as K;
    match (kind, verb) {
        (K::NotFound, "read") => "\n  check the path; a relative one starts at the working directory",
        (K::NotFound, _) => "\n  create its folder first",
        (K::PermissionDenied, "read") => "\n  allow this user to read it",
        (K::PermissionDenied | K::ReadOnlyFilesystem, _) => {
            "\n  write elsewhere (--out DIR), or allow this user to write there"
        }
        (K::IsADirectory, "read") => "\n  name a file in it",
        (K::AlreadyExists | K::IsADirectory | K::NotADirectory, _) => {
            "\n  there is a file for a folder, or a folder for a file: move it away, or write elsewhere (--out DIR)"
        }
        (K::StorageFull | K::QuotaExceeded, _) => {
            "\n  make room on the disk; --resume goes on from the last checkpoint, which is whole"
        }
        _ => "",
    }
}

fn place(file: &std::path::Path, line: usize) -> String {
    if line == 0 { file.display().to_string() } else { format!("{}:{line}", file.display()) }
}

fn built_at(at: &Option<Site>) -> String {
    at.map_or(String::new(), |site| format!("\n  built at {}:{}", site.file(), site.line()))
}
