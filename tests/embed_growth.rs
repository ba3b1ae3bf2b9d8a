//! What plans leave behind. The process is measured, so this test has one to itself.

mod common;

use ergodic::Result;
use ergodic::autodiff::grad;
use ergodic::gpu::{Gpu, Tensor};
use ergodic::graph::Graph;
use ergodic::plan::{Bindings, CompileOptions, Plan, Session};
use ergodic::random::RngKey;

/// Walkers in a well.
fn walkers(gpu: &Gpu, seed: u64) -> Result<Session> {
    let g = Graph::new();
    let x = g.input("x", [500, 2]);
    let moved = x - grad(x.square().sum(1), x)? * 0.05 + g.key("noise").normal([500, 2]) * 0.3;
    let plan = Plan::compile(gpu, &[("x", moved)], &CompileOptions::labelled("walkers"))?;
    let x = Tensor::from_slice(gpu, "x", &[500, 2], &[1f32; 1000])?;
    Session::new(&plan, Bindings::new().tensor("x", &x).key("noise", RngKey::new(seed)))
}

#[test]
fn a_thousand_plans_compiled_and_dropped_leave_nothing_behind() -> Result<()> {
    let gpu = common::gpu();
    let resident = || {
        let pages = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
        pages.split(' ').nth(1).and_then(|n| n.parse::<u64>().ok()).unwrap_or(0) * 4096
    };
    let make = |count: usize| -> Result<u64> {
        for i in 0..count {
            let mut session = walkers(&gpu, i as u64)?;
            session.run(1)?;
            // Of those on their way a driver holds blocks of memory, and how many there are depends on its queue.
            gpu.wait()?;
        }
        Ok(gpu.memory().in_use)
    };
    let (in_use, before) = (make(100)?, resident());
    let in_use_after = make(1000)?;
    assert_eq!(in_use_after, in_use, "bytes of tensors in use");
    // A plan with its session is some 50 KB of host memory: a thousand of them would be 50 MB.
    let grown = resident().saturating_sub(before);
    assert!(grown < 16 << 20, "{grown} bytes more after a thousand plans");
    Ok(())
}
