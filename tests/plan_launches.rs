//! Kernels that share a launch compute what kernels apart compute, also where one of them overwrites what another one reads: bit for
//! bit on a software adapter, within rounding on a GPU, whose compiler may contract products and sums in one text and not in another.

mod common;
#[path = "common/compare.rs"]
mod compare;

use compare::{assert_plan_close, values};
use ergodic::autodiff::grad;
use ergodic::gpu::{Gpu, Tensor};
use ergodic::graph::{DType, Graph, Var};
use ergodic::nn::{Activation, Mlp};
use ergodic::plan::{Bindings, CompileOptions, Launches, Plan, Session, Sums};
use ergodic::random::RngKey;

fn compile(gpu: &Gpu, outputs: &[(&str, Var<'_>)], launches: Launches) -> Plan {
    let options = CompileOptions { launches, sums: Sums::Stages, ..CompileOptions::labelled("launches") };
    Plan::compile(gpu, outputs, &options).unwrap()
}

/// All outputs after so many steps.
fn after(plan: &Plan, graph: &Graph, outputs: &[(&str, Var<'_>)], steps: u64) -> Vec<Vec<f32>> {
    let mut bindings = Bindings::new().key("key", RngKey::new(7));
    for (name, var, data) in values(graph, 1) {
        bindings = bindings.tensor(&name, &Tensor::from_slice(plan.gpu(), &name, &var.shape(), &data).unwrap());
    }
    let mut session = Session::new(plan, bindings).unwrap();
    session.run(steps).unwrap();
    session.check().unwrap();
    let read = |name: &str| session.read::<f32>(name).unwrap().wait().unwrap();
    outputs.iter().map(|(name, _)| read(name)).collect()
}

/// Rounding of a few dozen operations on numbers of order 1.
const TOLERANCE: f32 = 2e-5;

fn same(gpu: &Gpu, a: &[Vec<f32>], b: &[Vec<f32>]) -> bool {
    let bound = |x: f32| if gpu.caps().is_software() { 0.0 } else { TOLERANCE * (1.0 + x.abs()) };
    a.concat().iter().zip(b.concat()).all(|(x, y)| (x - y).abs() <= bound(*x))
}

/// The same numbers, in so many launches fewer; and what the graph means, after one step.
fn check(what: &str, fewer: usize, build: impl for<'g> Fn(&'g Graph) -> Vec<(&'static str, Var<'g>)>) {
    for (tier, gpu) in common::gpus() {
        let graph = Graph::new();
        let outputs = build(&graph);
        let (apart, shared) = (compile(&gpu, &outputs, Launches::Apart), compile(&gpu, &outputs, Launches::Shared));
        let launches = [apart.dispatches().len(), shared.dispatches().len()];
        assert!(launches[0] >= launches[1] + fewer, "{what} on {tier}: {}{}", apart.report(), shared.report());
        for steps in [1, 2, 3] {
            let (a, b) = (after(&apart, &graph, &outputs, steps), after(&shared, &graph, &outputs, steps));
            assert!(same(&gpu, &a, &b), "{what} on {tier}, {steps} steps: {a:?} {b:?} {}", shared.report());
        }
        assert_plan_close(what, &shared, &graph, &outputs, f64::from(TOLERANCE));
    }
}

#[test]
fn a_training_step() {
    check("training", 2, |g| {
        let mlp = Mlp::new(&[12, 40, 40, 1], Activation::Silu).unwrap();
        let (theta, x, y) = (g.input("theta", [mlp.layout().len()]), g.input("x", [300, 12]), g.input("y", [300, 1]));
        let loss = (mlp.apply(theta, x * 0.3).unwrap() - y).square().mean_all();
        let m = g.input("theta.m", theta.shape());
        let descent = grad(loss, theta).unwrap();
        let next = m * 0.9 + descent * 0.1;
        vec![("theta", theta - next * 0.01), ("theta.m", next), ("loss", loss)]
    });
}

#[test]
fn states_that_read_each_other_and_sums_of_each_other() {
    check("two states", 4, |g| {
        let (u, v, w) = (g.input("u", [500]), g.input("v", [70, 3]), g.input("w", [500]));
        let (mean_u, mean_v) = (u.mean_all(), v.mean_all());
        vec![
            ("u", (u * 0.5 + mean_v).sin()),
            ("v", (v + mean_u).cos()),
            ("w", u + w * 0.25),
            ("far", u.slice([17], [9]) * w.slice([1], [9])),
            ("sum", (u * w).mean_all()),
        ]
    });
}

#[test]
fn rows_elements_and_random_numbers_side_by_side() {
    check("side by side", 2, |g| {
        let (x, long) = (g.input("x", [130, 5]), g.input("long", [3, 200]));
        let noise = g.key("key").normal([130, 5]);
        let flags = x.lt(0.0).cast(DType::F32).sum(1);
        vec![
            ("x", x * 0.9 + noise * 0.1),
            ("norms", x.square().sum(1).sqrt()),
            ("flags", flags),
            ("long", (long * 1.5).tanh()),
            ("columns", long.t().sum(1)),
            ("scalar", x.narrow(0, 5, 1).mean_all()),
        ]
    });
}

#[test]
fn more_kernels_and_more_tensors_than_a_launch_may_have() {
    let names: Vec<&'static str> = (0..40).map(|i| &*format!("out{i}").leak()).collect();
    check("forty outputs", 0, |g| {
        let x = g.input("x", [66]);
        let part = |i: usize| x.narrow(0, i, 20 + i % 3).sin() * (1.0 + i as f64);
        names.iter().enumerate().map(|(i, name)| (*name, part(i))).collect()
    });
}

/// Products in a row, of 8 MiB each, and what their rows add up to.
fn chain(g: &Graph, length: usize) -> Vec<(&'static str, Var<'_>)> {
    let (w, mut x, mut outputs) = (g.input("w", [256, 256]), g.input("x", [8192, 256]), vec![]);
    for i in 0..length {
        x = (x * 0.1).matmul(w).sin();
        outputs.push((&*format!("sum {i}").leak(), x.square().sum(1)));
    }
    outputs
}

#[test]
fn what_a_shared_launch_holds_is_at_most_twice_the_memory_of_launches_apart() {
    let gpu = common::gpu();
    let graph = Graph::new();
    let outputs = chain(&graph, 12);
    let (apart, shared) = (compile(&gpu, &outputs, Launches::Apart), compile(&gpu, &outputs, Launches::Shared));
    let reports = || format!("{}{}", apart.report(), shared.report());
    assert!(shared.arena_bytes() <= 2 * apart.arena_bytes(), "{}", reports());
    assert!(shared.dispatches().len() < apart.dispatches().len(), "{}", reports());
    let after = |plan: &Plan| after(plan, &graph, &outputs, 1);
    assert!(same(&gpu, &after(&apart), &after(&shared)), "{}", reports());
}

#[test]
fn few_rows_and_none() {
    check("one number beside none", 0, |g| {
        let (x, empty) = (g.input("x", []), g.input("empty", [0, 4]));
        vec![("x", x * 0.5), ("empty", empty + 1.0), ("twice", x * 2.0)]
    });
}

#[test] // the control: another order of launches is not the same
fn a_state_that_is_overwritten_too_early_would_be_seen() {
    let gpu = common::gpu();
    let g = Graph::new();
    let (u, v) = (g.input("u", [500]), g.input("v", [500]));
    let right = [("u", v * 0.5), ("v", u + 1.0)];
    let late = [("u", v * 0.5), ("v", v * 0.5 + 1.0)];
    let run = |outputs: &[(&str, Var<'_>)]| after(&compile(&gpu, outputs, Launches::Shared), &g, outputs, 1);
    assert_ne!(run(&right), run(&late));
}
