//! Loops on Mesa's llvmpipe: it ends all those of an invocation after 65,535 turns together and says nothing, and it takes
//! some 0.3 seconds to compile each.

mod common;

use common::gpus;
use ergodic::autodiff::grad;
use ergodic::gpu::Tensor;
use ergodic::graph::{DType, Graph};
use ergodic::nn::{Activation, Mlp};
use ergodic::plan::{Bindings, CompileOptions, Plan, Session};

#[test]
fn a_hundred_thousand_rows_are_scattered_and_all_are_added() {
    for (tier, gpu) in gpus() {
        let (n, places) = (100_003, 5);
        let g = Graph::new();
        let (x, at) = (g.input("x", [n]), g.input_of("at", [n], DType::U32));
        let sums = x.scatter_add(at, places);
        // Whole numbers whose sums stay below 2^24: exact in any order.
        let data: Vec<_> = (0..n).map(|i| (i * 7919 % 1013) as f32 - 506.0).collect();
        let index: Vec<_> = (0..n).map(|i| (i * i % places) as u32).collect();
        let mut want = vec![0.0; places];
        data.iter().zip(&index).for_each(|(x, &i)| want[i as usize] += x);
        let plan = Plan::compile(&gpu, &[("sums", sums)], &CompileOptions::default()).unwrap();
        let x = Tensor::from_slice(&gpu, "x", &[n], &data).unwrap();
        let at = Tensor::from_slice(&gpu, "at", &[n], &index).unwrap();
        let mut session = Session::new(&plan, Bindings::new().tensor("x", &x).tensor("at", &at)).unwrap();
        session.run(1).unwrap();
        let got = session.read::<f32>("sums").unwrap().wait().unwrap();
        assert_eq!(got, want, "{tier}");
    }
}

#[test]
fn wide_rows_are_scattered_whole_alone_and_beside_a_network() {
    for (tier, gpu) in gpus() {
        // Four neighbours an invocation: four loops. A row of 64 in one invocation would be 64 of them.
        for (n, d) in [(30_011, 4), (1500, 64)] {
            let g = Graph::new();
            let (x, at) = (g.input("x", [n, d]), g.input_of("at", [n], DType::U32));
            let mlp = Mlp::new(&[d, 32, d], Activation::Silu).unwrap();
            let outputs = [
                ("sums", x.scatter_add(at, n)),
                ("field", mlp.apply(g.input("theta", [mlp.layout().len()]), x).unwrap()),
            ];
            let data: Vec<_> = (0..n * d).map(|i| (i * 7919 % 1013) as f32 - 506.0).collect();
            let index: Vec<_> = (0..n).map(|i| (i * i % 7) as u32).collect();
            let mut want = vec![0.0; n * d];
            for (row, &to) in data.chunks_exact(d).zip(&index) {
                row.iter().zip(&mut want[to as usize * d..]).for_each(|(x, sum)| *sum += x);
            }
            let plan = Plan::compile(&gpu, &outputs, &CompileOptions::default()).unwrap();
            let tensor = Tensor::from_slice(&gpu, "x", &[n, d], &data).unwrap();
            let bindings = Bindings::new().tensor("x", &tensor);
            let bindings = bindings.tensor("at", &Tensor::from_slice(&gpu, "at", &[n], &index).unwrap());
            let theta = Tensor::zeros(&gpu, "theta", &[mlp.layout().len()], DType::F32).unwrap();
            let mut session = Session::new(&plan, bindings.tensor("theta", &theta)).unwrap();
            session.run(1).unwrap();
            let got = session.read::<f32>("sums").unwrap().wait().unwrap();
            assert_eq!(got, want, "{tier}, rows of {d}");
        }
    }
}

#[test]
fn the_gradient_of_a_wide_layer_adds_up_parts_in_few_loops_a_kernel() {
    for (tier, gpu) in common::gpus() {
        for d in [2, 16] {
            let g = Graph::new();
            let mlp = Mlp::new(&[d, 64, 1], Activation::Silu).unwrap();
            let (theta, x) = (g.input("theta", [mlp.layout().len()]), g.input("x", [512, d]));
            let loss = mlp.apply(theta, x).unwrap().square().mean_all();
            let plan =
                Plan::compile(&gpu, &[("slope", grad(loss, theta).unwrap())], &CompileOptions::default()).unwrap();
            for dispatch in plan.dispatches() {
                // The weights of the layer are sums of 512 rows in 32 parts, four neighbours an invocation.
                let loops = dispatch.source.wgsl.matches("for (").count();
                assert!(loops <= 8, "{tier}, {d} inputs: {loops} loops in {}", dispatch.what);
            }
        }
    }
}
