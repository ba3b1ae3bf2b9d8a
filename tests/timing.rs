mod common;
use ergodic::graph::Graph;
use ergodic::plan::{CompileOptions, Plan};
#[test]
fn timing() {
    for (tier, gpu) in common::gpus() {
        for (n, k, m) in [(17usize, 24usize, 128usize), (64,128,64)] {
            let g = Graph::new();
            let (a, b) = (g.input("a", [n, k]), g.input("b", [k, m]));
            let t = std::time::Instant::now();
            let plan = Plan::compile(&gpu, &[("plain", a.matmul(b))], &CompileOptions::default()).unwrap();
            eprintln!("{tier} {n} {k} {m}: {:?} lines {}", t.elapsed(), plan.dispatches()[0].source.wgsl.lines().count());
            std::fs::write(format!("/tmp/mm_{tier}_{n}.wgsl"), &plan.dispatches()[0].source.wgsl).unwrap();
        }
    }
}
