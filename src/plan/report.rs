//! What a plan will do, in words and numbers.

use super::compile::Plan;
use super::lower::Dispatch;
use std::fmt;

/// A printable account of a plan: `{}` is a table, `{:#}` adds every kernel's text.
pub struct Report<'p> {
    pub(super) plan: &'p Plan,
    pub(super) cuts: &'p [(String, &'static str)],
    pub(super) notes: &'p [String],
}

impl Report<'_> {
    /// Kernel launches a step; 1 if the kernel loops over steps itself.
    pub fn dispatches(&self) -> usize {
        self.plan.dispatches().len()
    }

    /// Floating-point operations a step, about.
    pub fn flops(&self) -> f64 {
        self.plan.dispatches().iter().map(|d| d.flops).sum()
    }

    /// Bytes a step reads and writes at least.
    pub fn bytes(&self) -> u64 {
        self.plan.dispatches().iter().map(|d| d.bytes).sum()
    }

    /// Whether one dispatch computes many steps.
    pub fn loops_over_steps(&self) -> bool {
        self.plan.dispatches().iter().any(|d| d.looped.is_some())
    }
}

impl Report<'_> {
    /// Most steps of a run that are taken together, in few passes over memory; 1 if each is taken by itself. A kernel that
    /// loops over steps takes any number.
    ///
    /// ```
    /// use ergodic::gpu::{Gpu, GpuOptions};
    /// use ergodic::graph::{Boundary, Graph, Tap};
    /// use ergodic::plan::{CompileOptions, Plan};
    /// let (gpu, g) = (Gpu::headless(GpuOptions::from_env()?)?, Graph::new());
    /// let u = g.input("u", [300, 300]);
    /// let cross = [[0, 0], [1, 0], [-1, 0], [0, 1], [0, -1]].map(|at| Tap::new(at, 0.2));
    /// let plan = Plan::compile(&gpu, &[("u", u.stencil(&cross, Boundary::Zero))], &CompileOptions::default())?;
    /// assert!(plan.report().steps_together() > 1 || !gpu.caps().is_software());
    /// # Ok::<(), ergodic::Error>(())
    /// ```
    pub fn steps_together(&self) -> u64 {
        self.plan.leaps().iter().map(|leap| leap.steps).max().unwrap_or(1)
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plan = self.plan;
        let steps = if self.loops_over_steps() { "loops over steps in one dispatch" } else { "a step" };
        writeln!(
            f,
            "plan `{}`: {} dispatches {steps}, {:.3} Mflop, {:.3} MB moved, {:.3} MB of intermediate values",
            plan.label(),
            self.dispatches(),
            self.flops() / 1e6,
            self.bytes() as f64 / 1e6,
            plan.arena_bytes() as f64 / 1e6
        )?;
        for dispatch in plan.dispatches() {
            write_dispatch(f, dispatch)?;
        }
        for leap in plan.leaps() {
            writeln!(f, "  {} steps of a run together, in {} dispatches:", leap.steps, leap.dispatches.len())?;
            leap.dispatches.iter().try_for_each(|dispatch| write_dispatch(f, dispatch))?;
        }
        for note in self.notes {
            writeln!(f, "  {note}")?;
        }
        if !self.cuts.is_empty() {
            writeln!(f, "  stored between kernels, because each is:")?;
        }
        for (node, why) in self.cuts {
            writeln!(f, "    {node}: {why}")?;
        }
        if f.alternate() {
            let in_leaps = plan.leaps().iter().flat_map(|leap| &leap.dispatches);
            for dispatch in plan.dispatches().iter().chain(in_leaps) {
                writeln!(f, "\n// ---- {}\n{}", dispatch.source.name, dispatch.source.wgsl)?;
            }
        }
        Ok(())
    }
}

fn write_dispatch(f: &mut fmt::Formatter<'_>, dispatch: &Dispatch) -> fmt::Result {
    let [x, y, _] = dispatch.grid;
    writeln!(
        f,
        "  {:<14} {:>9.3} Mflop {:>9.3} MB  {} bindings  {}x{} groups of {}  {}",
        dispatch.source.name,
        dispatch.flops / 1e6,
        dispatch.bytes as f64 / 1e6,
        dispatch.slots.len(),
        x,
        y,
        dispatch.source.workgroup_size,
        dispatch.what
    )
}
