//! Long loops. Mesa's llvmpipe ends all loops of an invocation after 65,535 turns together and says nothing.

mod common;

use common::gpus;
use ergodic::gpu::Tensor;
use ergodic::graph::{DType, Feeds, Graph};
use ergodic::plan::{Bindings, CompileOptions, Plan, Session};

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
