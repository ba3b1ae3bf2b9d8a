//! Which of several equal ways each kernel of a plan is computed in.

use crate::gpu::{Caps, Gpu, Tunings, fnv1a};
use std::sync::Arc;

/// A kernel that can be computed in several ways. Any of them is right, and the first is what the rules say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Knob {
    /// The problem: what it is and how large, or a hash of its text.
    pub kernel: String,
    /// The ways, by name.
    pub candidates: Vec<String>,
    /// Position of the one that is taken.
    pub taken: usize,
}

/// What decides between them: a table of tunings, and one kernel that is being tried out.
pub(super) struct Choices<'a> {
    gpu: &'a Gpu,
    tunings: Arc<Tunings>,
    tried: Option<(&'a str, usize)>,
}

impl<'a> Choices<'a> {
    /// Those of the device's table.
    pub fn of(gpu: &'a Gpu) -> Self {
        Choices { gpu, tunings: gpu.tunings(), tried: None }
    }

    /// Those of a table, and for one kernel this candidate.
    pub fn trying(gpu: &'a Gpu, tunings: &Tunings, tried: Option<(&'a str, usize)>) -> Self {
        Choices { gpu, tunings: Arc::new(tunings.clone()), tried }
    }

    pub fn caps(&self) -> &'a Caps {
        self.gpu.caps()
    }

    /// Decide.
    pub fn knob(&self, kernel: String, candidates: Vec<String>) -> Knob {
        let taken = match self.tried {
            Some((tried, taken)) if tried == kernel => taken,
            _ => self.tunings.position(self.gpu.info(), &kernel, &candidates),
        };
        Knob { taken: if taken < candidates.len() { taken } else { 0 }, kernel, candidates }
    }
}

/// How a kernel of rows or elements is laid out over invocations, and how it makes random bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Form {
    /// Rows an invocation.
    pub rows: usize,
    /// Invocations a group.
    pub group: u32,
    /// Random bits from products of 64 bits.
    pub wide_multiply: bool,
}

impl Form {
    /// What the rules say. Products of 64 bits take a quarter of the time off a Langevin step on lavapipe, and a third on an H200.
    pub fn plain(caps: &Caps) -> Self {
        Form { rows: 1, group: 64, wide_multiply: caps.int64 }
    }

    pub fn name(self) -> String {
        let bits = if self.wide_multiply { ", 64-bit products" } else { "" };
        format!("rows {} x {}{bits}", self.rows, self.group)
    }

    /// This form and others. `several_rows`: whether an invocation may take several; `random`: whether it makes random bits.
    pub fn candidates(self, caps: &Caps, several_rows: bool, random: bool) -> Vec<Form> {
        let most = caps.limits.max_compute_invocations_per_workgroup;
        let groups = [32, 128, 256].into_iter().filter(|&group| group <= most).map(|group| Form { group, ..self });
        let rows = [2, 4].into_iter().filter(|_| several_rows).map(|rows| Form { rows, ..self });
        let bits = (random && caps.int64).then_some(Form { wide_multiply: !self.wide_multiply, ..self });
        [self].into_iter().chain(groups).chain(rows).chain(bits).collect()
    }
}

/// A name for a generated kernel: what it is, and FNV-1a of its text, which is the same for every build of this crate.
pub(super) fn kernel_name(what: &str, wgsl: &str) -> String {
    format!("{what} {:016x}", fnv1a(wgsl.as_bytes()))
}
