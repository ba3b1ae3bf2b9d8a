//! What a plan will do, in words and numbers.

use super::compile::Plan;
use std::fmt;

/// A printable account of a plan: `{}` is a table, `{:#}` adds every kernel's text.
pub struct Report<'p> {
    pub(super) plan: &'p Plan,
    pub(super) cuts: &'p [(String, &'static str)],
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
        self.plan.dispatches().iter().any(|d| d.looped)
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
            )?;
        }
        if !self.cuts.is_empty() {
            writeln!(f, "  stored between kernels, because each is:")?;
        }
        for (node, why) in self.cuts {
            writeln!(f, "    {node}: {why}")?;
        }
        if f.alternate() {
            for dispatch in plan.dispatches() {
                writeln!(f, "\n// ---- {}\n{}", dispatch.source.name, dispatch.source.wgsl)?;
            }
        }
        Ok(())
    }
}
