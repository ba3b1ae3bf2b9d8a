//! Long sums in stages, and what else a GPU does and a software adapter does not: against f64, on any adapter.

mod common;
#[path = "common/compare.rs"]
mod compare;

use compare::assert_plan_close;
use ergodic::gpu::Tensor;
use ergodic::graph::Graph;
use ergodic::plan::{Bindings, CompileOptions, Plan, Session, Sums};

/// Sums of up to 5000 terms of order 1 in stages of at most 64: one rounding of a partial sum a level of a tree.
const TOLERANCE: f64 = 64.0 * f32::EPSILON as f64;

fn staged() -> CompileOptions {
    CompileOptions { sums: Sums::Stages, ..CompileOptions::labelled("sums") }
}

#[test]
fn sums_maxima_and_thin_products_in_stages_agree_with_f64() {
    for (tier, gpu) in common::gpus() {
        // One sum and many, single words and vectors of four, teams of all sizes that fill their workgroups or not.
        for (rows, length, after) in [(1, 5000, 1), (5, 131, 3), (12, 784, 1), (3, 65, 4), (2, 1000, 40), (1, 2049, 12)]
        {
            let g = Graph::new();
            let x = g.input("x", [rows, length, after]);
            let (a, b) = (g.input("a", [rows * 9, length]), g.input("b", [length, 2]));
            let y = (x * 0.5 + 1.0).square();
            let outputs = [
                ("sum", y.sum(1)),
                ("both", y.sum([1, 2])),
                ("all", y.mean_all()),
                ("max", x.max_over(1)),
                ("logsumexp", x.logsumexp(1)),
                ("thin", a.matmul(b) * (1.0 / length as f64)),
                ("turned", b.t().matmul(a.t()) * (1.0 / length as f64)),
            ];
            let plan = Plan::compile(&gpu, &outputs, &staged()).unwrap();
            let report = plan.report().to_string();
            assert!(report.contains("a stage of a long sum") && !report.contains("parts of"), "{report}");
            assert_plan_close(&format!("{rows} x {length} x {after} on {tier}"), &plan, &g, &outputs, TOLERANCE);
        }
    }
}

#[test]
fn a_sum_by_a_team_that_is_not_finite_is_a_fault() {
    for (tier, gpu) in common::gpus() {
        for places in [vec![], vec![9 * 300 + 299]] {
            let g = Graph::new();
            let plan = Plan::compile(&gpu, &[("sum", g.input("x", [10, 300]).sum(1))], &staged()).unwrap();
            assert!(plan.report().to_string().contains("team "), "{}", plan.report());
            let mut values = vec![1.0; 3000];
            places.iter().for_each(|&at: &usize| values[at] = f32::INFINITY);
            let x = Tensor::from_slice(&gpu, "x", &[10, 300], &values).unwrap();
            let mut session = Session::new(&plan, Bindings::new().tensor("x", &x)).unwrap();
            let ran = session.run_checked(1);
            assert_eq!(ran.is_err(), !places.is_empty(), "on {tier}: {ran:?}");
            assert_eq!(session.read::<f32>("sum").unwrap().wait().unwrap()[0], 300.0);
        }
    }
}

#[test]
fn few_terms_and_very_many_sums_have_no_stages() {
    let gpu = common::gpu();
    let g = Graph::new();
    let outputs = [("few", g.input("x", [100, 64]).sum(1)), ("many", g.input("y", [40_000, 65]).sum(1))];
    let plan = Plan::compile(&gpu, &outputs, &staged()).unwrap();
    assert!(!plan.report().to_string().contains("a stage of a long sum"), "{}", plan.report());
}
