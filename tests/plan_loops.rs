//! Plans compute what graphs mean.
mod common;
use ergodic::gpu::Tensor;
use ergodic::graph::Graph;
use ergodic::plan::{Bindings, CompileOptions, Plan, Session};

#[test]
fn rows_and_sums() {
    for (tier, gpu) in common::gpus() {
        let g = Graph::new();
        let x = g.input("x", [100, 3]);
        let a = g.input("a", [3]);
        let y = (x * a).tanh();
        let s = y.square().sum(1);
        let m = s.sum_all();
        let plan = Plan::compile(&gpu, &[("y", y), ("s", s), ("m", m)], &CompileOptions::default()).unwrap();
        println!("{tier} {:#}", plan.report());
        let xs: Vec<f32> = (0..300).map(|i| (i as f32 * 0.1).sin()).collect();
        let av = [1.0f32, 0.5, -2.0];
        let xt = Tensor::from_slice(&gpu, "x", &[100, 3], &xs).unwrap();
        let at = Tensor::from_slice(&gpu, "a", &[3], &av).unwrap();
        let mut session = Session::new(&plan, Bindings::new().tensor("x", &xt).tensor("a", &at)).unwrap();
        session.run(1).unwrap();
        session.check().unwrap();
        let got: Vec<f32> = session.read("s").unwrap().wait().unwrap();
        let total: Vec<f32> = session.read("m").unwrap().wait().unwrap();
        let mut want = 0.0;
        for i in 0..100 {
            let w: f32 = (0..3).map(|c| (xs[3 * i + c] * av[c]).tanh().powi(2)).sum();
            assert!((w - got[i]).abs() < 1e-5, "{i} {w} {}", got[i]);
            want += w;
        }
        assert!((want - total[0]).abs() < 1e-3, "{want} {}", total[0]);
    }
}

#[test]
fn loops_over_steps_with_noise() {
    for (_, gpu) in common::gpus() {
        let g = Graph::new();
        let x = g.input("x", [1000, 3]);
        let xi = g.key("noise").normal([1000, 3]);
        let x1 = x * 0.9 + xi * 0.1;
        let plan = Plan::compile(&gpu, &[("x", x1)], &CompileOptions::default()).unwrap();
        println!("{:#}", plan.report());
        let run = |chunks: &[u64]| {
            let xt = Tensor::zeros(&gpu, "x", &[1000, 3], ergodic::graph::DType::F32).unwrap();
            let key = ergodic::random::RngKey::new(7);
            let mut session = Session::new(&plan, Bindings::new().tensor("x", &xt).key("noise", key)).unwrap();
            for &c in chunks {
                session.run(c).unwrap();
            }
            session.check().unwrap();
            xt.read::<f32>().unwrap().wait().unwrap()
        };
        let a = run(&[50]);
        assert_eq!(a, run(&[20, 1, 29]));
        let var: f32 = a.iter().map(|v| v * v).sum::<f32>() / 3000.0;
        let want = 0.01 / (1.0 - 0.81);
        assert!((var / want - 1.0).abs() < 4.0 * (2.0f32 / 3000.0).sqrt() + 0.01, "{var} {want}");
    }
}
