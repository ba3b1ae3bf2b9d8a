//! What people read when something is wrong, whole and literal: one test a variant.

use ergodic::gpu::{AdapterChoice, Gpu, GpuOptions};
use ergodic::{Error, Fault, NonFinite};
use std::panic::Location;

fn reads(error: Error, text: &str) {
    assert_eq!(error.to_string(), text);
}

#[test]
fn no_adapter_lists_those_there_are() {
    reads(
        Error::NoAdapter { wanted: "radeon".into(), seen: vec!["llvmpipe".into(), "GeForce".into()] },
        "no adapter matches `radeon`; this machine offers: llvmpipe, GeForce\n  \
         name one of these, or ask for `best` or `software`",
    );
}

#[test]
fn no_adapter_at_all_says_which_package_has_one() {
    reads(
        Error::NoAdapter { wanted: "best".into(), seen: vec![] },
        "no adapter matches `best`; this machine offers: nothing\n  install a driver; software ones are \
         mesa-vulkan-drivers (Debian, Ubuntu, Fedora) and vulkan-swrast (Arch)",
    );
}

#[test]
fn an_adapter_asked_for_by_a_name_nobody_has_is_reported_by_this_machine() {
    let options = GpuOptions { adapter: AdapterChoice::parse("no such adapter"), ..Default::default() };
    match Gpu::headless(options) {
        Err(Error::NoAdapter { wanted, .. }) => assert_eq!(wanted, "no such adapter"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_unstable_step_names_the_limit() {
    reads(
        Error::Unstable { what: "explicit Euler on 64 x 64 cells".into(), step: 0.001, limit: 0.000122070312 },
        "a step of 0.001 is over 0.00012207, the stability limit of explicit Euler on 64 x 64 cells\n  \
         take a smaller step, larger cells, or an implicit stepper",
    );
}

#[test]
fn missing_feature() {
    reads(
        Error::MissingFeature {
            feature: "SUBGROUP".into(),
            needed_by: "matmul variant 3".into(),
            hint: "use Tier::Native, or variant 0".into(),
        },
        "this device has no `SUBGROUP`, needed by matmul variant 3\n  use Tier::Native, or variant 0",
    );
}

#[test]
fn limit_exceeded() {
    reads(
        Error::LimitExceeded {
            what: "kernel `wide` (storage buffers)".into(),
            needed: 9,
            limit: 8,
            hint: "split the kernel, or put tensors into one buffer".into(),
        },
        "kernel `wide` (storage buffers) needs 9; this device allows 8\n  \
         split the kernel, or put tensors into one buffer",
    );
}

#[test]
fn interrupted() {
    reads(
        Error::Interrupted,
        "the run was interrupted\n  what it had computed is in its checkpoint: go on with --resume",
    );
}

#[test]
fn step_limit() {
    reads(
        Error::StepLimit { reached: 0.25, target: 1.0, accepted: 40, rejected: 10, step: 1e-7 },
        "after 40 steps taken and 10 refused, time is 0.25 on the way to 1, with a step of 1e-7\n  \
         raise Tolerance::max_steps or loosen rtol and atol; if the step is tiny the field is stiff or singular there: end the \
         span before it, or smooth the field",
    );
}

#[test]
fn binding_too_large() {
    reads(
        Error::BindingTooLarge {
            name: "walkers".into(),
            needed: 268_435_456,
            limit: 134_217_728,
            hint: "split its 2097152 rows into 2 tensors of at most 1048576".into(),
        },
        "tensor `walkers` needs 268435456 bytes in one binding; this device allows 134217728\n  \
         split its 2097152 rows into 2 tensors of at most 1048576",
    );
}

#[test]
fn out_of_memory() {
    reads(
        Error::OutOfMemory { name: "walkers".into(), needed: 4096, in_use: 2048, budget: 5000 },
        "allocating 4096 bytes for `walkers` passes the memory budget: 2048 of 5000 bytes are in use\n  \
         raise GpuOptions::memory_budget, use fewer walkers, or drop tensors that are no longer needed",
    );
}

#[test]
fn shape_with_and_without_the_line_that_built_it() {
    let at = Location::caller();
    let shape =
        |at| Error::Shape { op: "matmul", got: "[4096, 64] times [32, 128]".into(), want: "64 rows".into(), at };
    reads(shape(None), "shape mismatch in `matmul`: got [4096, 64] times [32, 128], want 64 rows");
    let line = at.line();
    reads(
        shape(Some(at)),
        &format!(
            "shape mismatch in `matmul`: got [4096, 64] times [32, 128], want 64 rows\n  built at tests/errors.rs:{line}"
        ),
    );
}

#[test]
fn unbound_input() {
    reads(
        Error::UnboundInput { name: "theta".into(), shape: vec![4, 2], bound: vec!["x".into(), "key".into()] },
        "input `theta` [4, 2] is not bound; bound are: x, key\n  add .tensor(\"theta\", &tensor) to the Bindings",
    );
}

#[test]
fn not_differentiable() {
    reads(
        Error::NotDifferentiable { op: "floor", why: "it is flat almost everywhere; use stop_grad".into(), at: None },
        "`floor` has no derivative here: it is flat almost everywhere; use stop_grad",
    );
}

#[test]
fn not_rowwise() {
    reads(
        Error::NotRowwise { op: "sum over axis 0", hint: "take the gradient of the whole".into(), at: None },
        "`sum over axis 0` mixes rows, so there is no derivative of one row alone\n  take the gradient of the whole",
    );
}

#[test]
fn shader() {
    reads(
        Error::Shader { kernel: "ula_step".into(), wgsl: "fn".into(), message: "it has no `@compute fn main`".into() },
        "kernel `ula_step` is not valid WGSL: it has no `@compute fn main`\n  \
         the whole text is in the `wgsl` field of this error",
    );
}

#[test]
fn foreign_device() {
    reads(
        Error::ForeignDevice { name: "walkers".into(), user: "session" },
        "tensor `walkers` lives on another device than this session\n  \
         create it with the same Gpu, or copy it through the host",
    );
}

#[test]
fn device_lost() {
    reads(
        Error::DeviceLost { reason: "Unknown: the driver was updated".into() },
        "the device was lost: Unknown: the driver was updated\n  \
         resume from the last checkpoint with --resume, or create a new Gpu",
    );
}

#[test]
fn refused() {
    reads(
        Error::Refused { message: "Source and destination cannot be the same buffer".into() },
        "the device refused a command: Source and destination cannot be the same buffer\n  a kernel of your own may \
         break a rule; otherwise report it, with the output of `cargo run --example adapter_info`",
    );
}

#[test]
fn fault_says_what_every_bit_means() {
    reads(
        Error::Fault { word: Fault::NON_FINITE | Fault::INDEX, step: 12, first: None },
        "fault 0x0003 at step 12: a value is not finite: lower the step size or the learning rate; \
         an index was out of range and was clamped: check the table that `gather` reads",
    );
    reads(
        Error::Fault { word: Fault::CAPACITY | Fault::STEP_SIZE, step: 0, first: None },
        "fault 0x000c at step 0: a fixed capacity overflowed: raise it; \
         a step size is not positive: check the schedule",
    );
    let own = "fault 0x0100 at step 3: a fault raised by a kernel of your own";
    reads(Error::Fault { word: 0x100, step: 3, first: None }, own);
}

#[test]
fn fault_names_the_first_value_where_it_is_known() {
    let first = NonFinite { whose: "the energy of walker".into(), row: 17, value: f32::INFINITY };
    reads(
        Error::Fault { word: Fault::NON_FINITE, step: 240, first: Some(first) },
        "fault 0x0001 at step 240, where the energy of walker 17 is inf: a value is not finite: lower the step size \
         or the learning rate",
    );
}

#[test]
fn config() {
    reads(
        Error::Config {
            file: "quick.ron".into(),
            line: 7,
            field: "walkers".into(),
            why: "is 0, but must be at least 1".into(),
        },
        "quick.ron:7: walkers: is 0, but must be at least 1",
    );
}

#[test]
fn data() {
    reads(
        Error::Data {
            file: "train-images".into(),
            offset: 16,
            why: "the file ends here; 47040000 bytes follow".into(),
        },
        "train-images at byte 16: the file ends here; 47040000 bytes follow",
    );
}

#[test]
fn checkpoint() {
    reads(
        Error::Checkpoint {
            file: "out/checkpoint.safetensors".into(),
            why: "`walkers` is [2048, 24], but the run has [1024, 24]".into(),
            hint: "resume with the config.ron that lies beside it".into(),
        },
        "checkpoint out/checkpoint.safetensors: `walkers` is [2048, 24], but the run has [1024, 24]\n  \
         resume with the config.ron that lies beside it",
    );
}

#[test]
fn io_says_what_to_do_about_each_kind() {
    use std::io::ErrorKind as K;
    let said = |verb, kind: K| {
        Error::Io { verb, file: "/out".into(), source: std::io::Error::new(kind, "its word") }.to_string()
    };
    reads(
        Error::Io { verb: "create", file: "/out".into(), source: std::io::Error::other("a reason of its own") },
        "cannot create /out: a reason of its own",
    );
    let path = "cannot read /out: its word\n  check the path; a relative one starts at the working directory";
    assert_eq!(said("read", K::NotFound), path);
    assert_eq!(said("write", K::NotFound), "cannot write /out: its word\n  create its folder first");
    let right = "cannot read /out: its word\n  allow this user to read it";
    assert_eq!(said("read", K::PermissionDenied), right);
    let elsewhere = "\n  write elsewhere (--out DIR), or allow this user to write there";
    assert_eq!(said("create", K::PermissionDenied), format!("cannot create /out: its word{elsewhere}"));
    let read_only = "cannot write /out: its word";
    assert_eq!(said("write", K::ReadOnlyFilesystem), format!("{read_only}{elsewhere}"));
    assert_eq!(said("read", K::IsADirectory), "cannot read /out: its word\n  name a file in it");
    let taken =
        "\n  there is a file for a folder, or a folder for a file: move it away, or write elsewhere (--out DIR)";
    assert_eq!(said("create", K::AlreadyExists), format!("cannot create /out: its word{taken}"));
    assert_eq!(said("create", K::NotADirectory), format!("cannot create /out: its word{taken}"));
    assert_eq!(said("write", K::IsADirectory), format!("cannot write /out: its word{taken}"));
    let room = "\n  make room on the disk; --resume goes on from the last checkpoint, which is whole";
    assert_eq!(said("write", K::StorageFull), format!("cannot write /out: its word{room}"));
    assert_eq!(said("write", K::QuotaExceeded), format!("cannot write /out: its word{room}"));
}

#[test]
fn invalid() {
    reads(Error::Invalid { what: "step size", got: "-0.1".into(), want: "> 0" }, "step size is -0.1, but must be > 0");
}
