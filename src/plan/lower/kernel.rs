//! The frame of a generated kernel: its bindings, its imports, its entry point.

use super::tiled::Span;
use crate::error::Result;
use crate::gpu::shader::{Defines, preprocess};
use crate::gpu::{Binding, Caps, KernelSource};
use crate::plan::choices::Form;
use crate::plan::emit::{Base, Reach, Source, buffer_name};
use crate::plan::products::RowTile;

/// Invocations in a workgroup of generated kernels.
pub(in crate::plan) const GROUP: u32 = 64;
/// Position of the first storage binding: the ring, the session block and the offsets come before.
pub(super) const FIRST_STORAGE: usize = 3;

/// What a binding of a dispatch is bound to when a session is made.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Slot {
    /// The step within an encoded run; uniform with a dynamic offset.
    Ring,
    /// Step counter, keys, and bit patterns that WGSL cannot write; uniform.
    Session,
    /// Where this dispatch finds its values; uniform. See [`Dispatch::offsets`](super::Dispatch::offsets).
    Offsets,
    /// A part of a tensor, as a uniform buffer: software adapters read one at a twentieth of a storage buffer's cost.
    Window {
        /// Position of the tensor.
        index: usize,
        /// First word, a multiple of 64.
        start: usize,
        /// Number of words.
        words: usize,
    },
    /// The session's memory for intermediate values.
    Arena,
    /// The fault word.
    Fault,
    /// A bound or output tensor, by its position in [`Plan::tensors`](crate::plan::Plan::tensors).
    Tensor {
        /// Position.
        index: usize,
        /// Whether the kernel writes it.
        write: bool,
    },
}

/// Collects the bindings of one kernel as its code asks for them.
#[derive(Default)]
pub(super) struct Frame {
    slots: Vec<Slot>,
    /// Words that this dispatch's text refers to by their place in this table.
    pub offsets: Vec<u32>,
    /// Whether random bits come from products of 64 bits.
    pub wide_multiply: bool,
    /// Whether vectors are moved as two words of 64 bits; see [`reaches`].
    pairs: bool,
}

impl Frame {
    pub fn new(caps: &Caps) -> Self {
        let wide_multiply = Form::plain(caps).wide_multiply;
        Frame { wide_multiply, pairs: caps.pays_by_word(), ..Frame::default() }
    }

    pub fn arena(&mut self) -> usize {
        self.position(|slot| *slot == Slot::Arena, Slot::Arena)
    }

    pub fn fault(&mut self) -> usize {
        self.position(|slot| *slot == Slot::Fault, Slot::Fault)
    }

    pub fn tensor(&mut self, index: usize, write: bool) -> usize {
        let is_it = |slot: &Slot| matches!(slot, Slot::Tensor { index: i, .. } if *i == index);
        let at = self.position(is_it, Slot::Tensor { index, write });
        if write {
            self.slots[at - FIRST_STORAGE] = Slot::Tensor { index, write };
        }
        at
    }

    /// Bind a part of a tensor as a uniform buffer.
    ///
    /// Where the kernel is `straight`, code for single elements, the first word is in the table of offsets even if it is 0: lavapipe
    /// (Mesa 22.3.6) makes constants of uniform loads at constant places, and writes past the end of an array of its own where
    /// more than four of them are kept in variables. Tiles have no such loads, and would be a twentieth slower.
    pub fn window(&mut self, index: usize, span: Span, straight: bool) -> Source {
        let slot = Slot::Window { index, start: span.start, words: span.words };
        let binding = self.position(|other| *other == slot, slot.clone());
        let base = if straight || span.skip > 0 { self.base(span.skip) } else { None };
        Source::Words { binding, base }
    }

    /// An entry of the table of offsets for a value that starts at this word of its binding.
    pub fn base(&mut self, word: usize) -> Base {
        self.offsets.push((word / 4) as u32);
        Some(self.offsets.len() - 1)
    }

    fn position(&mut self, is_it: impl Fn(&Slot) -> bool, new: Slot) -> usize {
        let at = self.slots.iter().position(is_it).unwrap_or_else(|| {
            self.slots.push(new);
            self.slots.len() - 1
        });
        at + FIRST_STORAGE
    }

    pub fn windows(&self) -> usize {
        self.slots.iter().filter(|slot| matches!(slot, Slot::Window { .. })).count()
    }

    pub fn storage_bindings(&self) -> usize {
        self.slots.iter().filter(|slot| !matches!(slot, Slot::Window { .. })).count()
    }

    /// All slots, in binding order.
    pub fn slots(&self) -> Vec<Slot> {
        [Slot::Ring, Slot::Session, Slot::Offsets].into_iter().chain(self.slots.iter().cloned()).collect()
    }

    /// The declarations of the bindings, and of the functions through which this text reaches them.
    fn declarations(&self, n_keys: usize, body: &str) -> String {
        let quads = self.offsets.len().div_ceil(4).max(1);
        let places = key_places(n_keys);
        let keys = if places > 0 { format!(", keys: array<vec4<u32>, {places}>") } else { String::new() };
        let mut text = format!(
            "struct Ring {{ offset: u32, count: u32 }}\n\
             struct Session {{ base_step: u32, inf_bits: u32, nan_bits: u32, seed_pad: u32{keys} }}\n\
             @group(0) @binding(0) var<uniform> ring: Ring;\n\
             struct Offsets {{ at: array<vec4<u32>, {quads}> }}\n\
             @group(0) @binding(1) var<uniform> session: Session;\n\
             @group(0) @binding(2) var<uniform> offsets: Offsets;\n"
        );
        for (i, slot) in self.slots.iter().enumerate() {
            let binding = i + FIRST_STORAGE;
            let name = buffer_name(binding);
            let pairs = self.pairs && !Reach::Put.is_called(binding, body);
            let ty = if pairs { "vec2<u64>" } else { "vec4<u32>" };
            let (space, name, ty, pairs) = match slot {
                Slot::Fault => ("storage, read_write", "fault".into(), "atomic<u32>".into(), false),
                Slot::Window { words, .. } => ("uniform", name, format!("array<vec4<u32>, {}>", words / 4), false),
                Slot::Tensor { write: false, .. } => ("storage, read", name, format!("array<{ty}>"), pairs),
                _ => ("storage, read_write", name, format!("array<{ty}>"), pairs),
            };
            text.push_str(&format!("@group(0) @binding({binding}) var<{space}> {name}: {ty};\n"));
            text.push_str(&reaches(binding, pairs, body));
        }
        text
    }

    /// The finished kernel: imports, bindings and this text. The session has `n_keys` keys so far.
    pub fn source(&self, name: &str, text: &str, n_keys: usize, workgroup_size: u32) -> Result<KernelSource> {
        let uses = |words: &[&str]| words.iter().any(|word| text.contains(word));
        let mut whole = String::from("#import lib/index\n");
        if uses(&["m_", "is_finite_bits("]) {
            whole.push_str("#import lib/math\n");
        }
        if uses(&["philox4x32("]) {
            whole.push_str("#import lib/philox\n");
        }
        let n_keys = if uses(&["session.keys"]) { n_keys } else { 0 };
        whole.push_str(&self.declarations(n_keys, text));
        whole.push_str(text);
        let wgsl = preprocess(name, &whole, &Defines::new().set("WIDE_MULTIPLY", self.wide_multiply))?;
        let binding = |slot: &Slot| match slot {
            Slot::Ring => Binding::Uniform { dynamic_offset: true, bytes: 8 },
            Slot::Session => Binding::Uniform { dynamic_offset: false, bytes: session_bytes(n_keys) as u32 },
            Slot::Offsets => Binding::Uniform { dynamic_offset: false, bytes: offset_bytes(&self.offsets) as u32 },
            Slot::Window { words, .. } => Binding::Uniform { dynamic_offset: false, bytes: 4 * *words as u32 },
            Slot::Tensor { write: false, .. } => Binding::Read,
            _ => Binding::ReadWrite,
        };
        let bindings = self.slots().iter().map(binding).collect();
        Ok(KernelSource { name: name.into(), wgsl, bindings, workgroup_size })
    }
}

/// The functions of a binding that this text calls.
///
/// A software adapter moves storage lane by lane and word by word, with the same tests for a word of 64 bits as for one of 32: a
/// vector as a `vec2<u64>` takes lavapipe (Mesa 22.3) 0.6 of the time to load and 0.8 to store. A single word that is stored
/// leaves its neighbour alone, so a binding into which such are put stays an array of `vec4<u32>`.
fn reaches(binding: usize, pairs: bool, text: &str) -> String {
    let b = buffer_name(binding);
    let body = |reach: Reach| match (reach, pairs) {
        (Reach::Load, false) => format!("return {b}[q];"),
        (Reach::Load, true) => {
            let halves = format!("let x = {b}[q]; let low = vec2<u32>(x); let high = vec2<u32>(x >> vec2<u32>(32u));");
            format!("{halves} return vec4<u32>(low.x, high.x, low.y, high.y);")
        }
        (Reach::Pick, false) => format!("return {b}[q][lane];"),
        (Reach::Pick, true) => format!("return u32({b}[q][lane / 2u] >> (32u * (lane % 2u)));"),
        (Reach::Store, false) => format!("{b}[q] = x;"),
        (Reach::Store, true) => format!("{b}[q] = vec2<u64>(x.xz) | (vec2<u64>(x.yw) << vec2<u32>(32u));"),
        (Reach::Put, _) => format!("{b}[q][lane] = x;"),
    };
    let all = [
        (Reach::Load, "(q: u32) -> vec4<u32>"),
        (Reach::Pick, "(q: u32, lane: u32) -> u32"),
        (Reach::Store, "(q: u32, x: vec4<u32>)"),
        (Reach::Put, "(q: u32, lane: u32, x: u32)"),
    ];
    let called = all.into_iter().filter(|(reach, _)| reach.is_called(binding, text));
    let text = |(reach, signature): (Reach, _)| format!("fn {}{signature} {{ {} }}\n", reach.of(binding), body(reach));
    called.map(text).collect()
}

/// Places for so many keys: by sixteens, so that the same code in another plan is the same text, and compiled once.
fn key_places(n_keys: usize) -> usize {
    n_keys.next_multiple_of(16)
}

/// Bytes of the session block.
pub fn session_bytes(n_keys: usize) -> u64 {
    16 + 16 * key_places(n_keys) as u64
}

/// Bytes of a table of offsets.
pub fn offset_bytes(offsets: &[u32]) -> u64 {
    16 * offsets.len().div_ceil(4).max(1) as u64
}

/// The entry point of a kernel with one invocation for each of `count` places; `body` may use `place`.
pub(super) fn entry(count: usize, group: u32, body: &str) -> String {
    format!(
        "@compute @workgroup_size({group})\n\
         fn main(\n    @builtin(workgroup_id) group: vec3<u32>,\n    @builtin(num_workgroups) groups: vec3<u32>,\n    \
         @builtin(local_invocation_index) local: u32,\n) {{\n    \
         let place = flat_index(group, groups, local, {group}u);\n    \
         if (place >= {count}u) {{ return; }}\n{body}}}\n"
    )
}

/// The entry point of a kernel of rows: `row0`, `row1`, .. are the rows of an invocation, `flat` its number, `lane` its place
/// in the subgroup. Where lanes hand values to each other none may return early.
pub(super) fn row_entry(tile: RowTile, count: usize, invocations: usize, body: &str) -> String {
    let (group, lane) =
        (tile.group, if tile.broadcast { "    @builtin(subgroup_invocation_id) lane: u32,\n" } else { "" });
    let stop = if tile.broadcast { String::new() } else { format!("    if (flat >= {invocations}u) {{ return; }}\n") };
    let rows: String = (0..tile.rows)
        .map(|r| match r * invocations {
            0 if invocations <= count && !tile.broadcast => "    let row0 = flat;\n".to_string(),
            first => format!("    let row{r} = min(flat + {first}u, {}u);\n", count - 1),
        })
        .collect();
    format!(
        "@compute @workgroup_size({group})\n\
         fn main(\n    @builtin(workgroup_id) group: vec3<u32>,\n    @builtin(num_workgroups) groups: vec3<u32>,\n    \
         @builtin(local_invocation_index) local: u32,\n{lane}) {{\n    \
         let flat = flat_index(group, groups, local, {group}u);\n{stop}{rows}{body}}}\n"
    )
}

/// The entry point of a kernel with a subgroup for each row: `row0` is the row, `lane` the place in the subgroup. All lanes
/// go through all of it, because they hand values to each other.
pub(super) fn subgroup_entry(rows: usize, lanes: u32, body: &str) -> String {
    format!(
        "@compute @workgroup_size({lanes})\n\
         fn main(\n    @builtin(workgroup_id) group: vec3<u32>,\n    @builtin(num_workgroups) groups: vec3<u32>,\n    \
         @builtin(local_invocation_index) local: u32,\n    @builtin(subgroup_invocation_id) lane: u32,\n) {{\n    \
         let flat = flat_index(group, groups, local, {lanes}u);\n    \
         let row0 = min(flat / {lanes}u, {}u);\n{body}}}\n",
        rows - 1
    )
}
