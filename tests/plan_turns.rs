//! Long loops. Mesa's llvmpipe ends all loops of an invocation after 65,535 turns together and says nothing.

mod common;

use common::gpus;
use ergodic::autodiff::grad;
use ergodic::gpu::Tensor;
use ergodic::graph::{DType, Feeds, Graph};
use ergodic::nn::{Activation, Mlp};
use ergodic::plan::{Bindings, CompileOptions, Plan, Session};
use ergodic::random::RngKey;

fn values(n: usize) -> Vec<f32> {
    (0..n).map(|i| ((i * 7919 % 1013) as f32 / 1013.0 - 0.5) * 0.5).collect()
}

#[test]
fn a_thousand_steps_on_a_network_in_one_run_are_the_bits_of_runs_of_ten() {
    for (tier, gpu) in gpus() {
        let (n, d) = (32, 4);
        let g = Graph::new();
        let mlp = Mlp::new(&[d, 64, 64, 1], Activation::Tanh).unwrap();
        let (x, theta) = (g.input("x", [n, d]), g.input("theta", [mlp.layout().len()]));
        let force = -grad(mlp.apply(theta, x).unwrap().reshape([n]), x).unwrap() - x;
        let next = x + force * 0.05 + g.key("noise").normal([n, d]) * 0.3;
        let plan = Plan::compile(&gpu, &[("x", next)], &CompileOptions::default()).unwrap();
        let run = |runs: usize, steps: u64| {
            let theta = Tensor::from_slice(&gpu, "theta", &[mlp.layout().len()], &values(mlp.layout().len())).unwrap();
            let x = Tensor::from_slice(&gpu, "x", &[n, d], &values(n * d)).unwrap();
            let bindings = Bindings::new().tensor("theta", &theta).tensor("x", &x).key("noise", RngKey::new(3));
            let mut session = Session::new(&plan, bindings).unwrap();
            (0..runs).for_each(|_| session.run(steps).unwrap());
            x.read::<f32>().unwrap().wait().unwrap()
        };
        assert_eq!(run(1, 1000), run(100, 10), "{tier}, loops: {}", plan.report().loops_over_steps());
    }
}

#[test]
fn a_hundred_thousand_rows_are_scattered_and_all_are_added() {
    for (tier, gpu) in gpus() {
        let (n, places) = (100_003, 5);
        let g = Graph::new();
        let (x, at) = (g.input("x", [n]), g.input_of("at", [n], DType::U32));
        let sums = x.scatter_add(at, places);
        let (data, index): (Vec<_>, Vec<_>) = (values(n), (0..n).map(|i| (i * i % places) as u32).collect());
        let plan = Plan::compile(&gpu, &[("sums", sums)], &CompileOptions::default()).unwrap();
        let x = Tensor::from_slice(&gpu, "x", &[n], &data).unwrap();
        let at = Tensor::from_slice(&gpu, "at", &[n], &index).unwrap();
        let mut session = Session::new(&plan, Bindings::new().tensor("x", &x).tensor("at", &at)).unwrap();
        session.run(1).unwrap();
        let got = session.read::<f32>("sums").unwrap().wait().unwrap();
        let feeds =
            Feeds::new().tensor("x", data.clone()).tensor("at", index.iter().map(|&i| i as f32).collect::<Vec<_>>());
        let want = g.eval_f64(&[sums], &feeds).unwrap();
        // Each place adds a fifth of the terms one after the other, by half an ulp of the sum of their sizes each.
        let sizes: f64 = data.iter().map(|v| f64::from(v.abs())).sum();
        let bound = f64::from(f32::EPSILON) * sizes * n as f64 / 2.0 / 5.0;
        for (got, want) in got.iter().zip(&want[0].data) {
            assert!((f64::from(*got) - want).abs() <= bound.min(1.0), "{tier}: {got} for {want}, {bound}");
        }
    }
}
