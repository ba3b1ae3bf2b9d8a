//! Tuning: every way to compute a kernel is right, and the tuner finds a fast one and leaves everything as it was.

mod common;

use common::fresh;
use ergodic::autodiff::grad;
use ergodic::gpu::{Gpu, Tensor, Tier, Tuning, Tunings};
use ergodic::graph::{Feeds, Graph, Var};
use ergodic::nn::{Activation, Mlp};
use ergodic::plan::{Bindings, CompileOptions, Outcome, Plan, Session, Tuner};
use ergodic::random::RngKey;

/// More candidates than any kernel has.
const MOST: usize = 14;

fn values(n: usize, seed: usize) -> Vec<f32> {
    (0..n).map(|i| ((i * 7919 + seed * 104_729) % 1013) as f32 / 1013.0 - 0.5).collect()
}

/// Results of one step, or of several of the states.
fn run(gpu: &Gpu, outputs: &[(&str, Var<'_>)], bindings: Bindings, steps: u64) -> (Plan, Vec<Vec<f32>>) {
    let plan = Plan::compile(gpu, outputs, &CompileOptions::default()).unwrap();
    let mut session = Session::new(&plan, bindings).unwrap();
    session.run(steps).unwrap();
    let read = |(name, _): &(&str, Var<'_>)| session.read::<f32>(name).unwrap().wait().unwrap();
    let values = outputs.iter().map(read).collect();
    (plan, values)
}

/// Two wide layers, their gradients in parameters and inputs: products of all layouts.
fn network(g: &Graph) -> (Mlp, usize, Vec<(&'static str, Var<'_>)>) {
    let (mlp, n) = (Mlp::new(&[20, 96, 72, 3], Activation::Silu).unwrap(), 301);
    let (theta, x) = (g.input("theta", [mlp.layout().len()]), g.input("x", [n, 20]));
    let loss = mlp.apply(theta, x).unwrap().square().mean_all();
    let outputs = vec![("theta'", grad(loss, theta).unwrap()), ("x'", grad(loss, x).unwrap())];
    (mlp, n, outputs)
}

#[test]
fn every_candidate_of_every_product_gives_the_f64_gradients() {
    for tier in [Tier::Portable, Tier::Native] {
        let g = Graph::new();
        let (mlp, n, outputs) = network(&g);
        let p = mlp.layout().len();
        let feeds = Feeds::new().tensor("theta", values(p, 1)).tensor("x", values(n * 20, 2));
        let vars: Vec<_> = outputs.iter().map(|(_, var)| *var).collect();
        let want = g.eval_f64(&vars, &feeds).unwrap();
        let mut taken = 0;
        for number in 0..MOST {
            let gpu = fresh(|options| (options.tier, options.tuning) = (tier, Tuning::Candidate(number)));
            let theta = Tensor::from_slice(&gpu, "theta", &[p], &values(p, 1)).unwrap();
            let x = Tensor::from_slice(&gpu, "x", &[n, 20], &values(n * 20, 2)).unwrap();
            let bindings = Bindings::new().tensor("theta", &theta).tensor("x", &x);
            let (plan, got) = run(&gpu, &outputs, bindings, 1);
            taken +=
                plan.dispatches().iter().filter_map(|d| d.knob.as_ref()).filter(|knob| knob.taken == number).count();
            for (got, want) in got.iter().zip(&want) {
                let top = want.data.iter().fold(0.0, |top: f64, v| top.max(v.abs()));
                // Sums of at most 301 terms, forwards and backwards through three layers, eps/2 of their absolute terms each.
                let bound = 3.0 * 301.0 * f64::from(f32::EPSILON) * top;
                let far = got.iter().zip(&want.data).map(|(g, w)| (f64::from(*g) - w).abs()).fold(0.0, f64::max);
                assert!(far <= bound, "{tier:?}, candidate {number}: {far:e} for {bound:e}");
            }
        }
        assert!(taken > 2 * MOST, "{tier:?}: candidates are taken, not passed over: {taken}");
    }
}

#[test]
fn every_form_of_a_sampler_gives_the_same_bits() {
    for tier in [Tier::Portable, Tier::Native] {
        for n in [1, 67, 1000] {
            let results = (0..MOST).map(|number| {
                let gpu = fresh(|options| (options.tier, options.tuning) = (tier, Tuning::Candidate(number)));
                let g = Graph::new();
                let x = g.input("x", [n, 5]);
                let next = x * 0.9 + g.key("noise").normal([n, 5]) * 0.3;
                let tensor = Tensor::from_slice(&gpu, "x", &[n, 5], &values(5 * n, 3)).unwrap();
                let bindings = Bindings::new().tensor("x", &tensor).key("noise", RngKey::new(5));
                run(&gpu, &[("x", next)], bindings, 7)
            });
            let results: Vec<_> = results.collect();
            let knob = results[0].0.dispatches()[0].knob.clone().unwrap();
            assert!(knob.candidates.len() >= 6, "{tier:?}: {knob:?}");
            for (number, (_, values)) in results.iter().enumerate() {
                assert_eq!(values, &results[0].1, "{tier:?}, {n} rows, candidate {number}");
            }
        }
    }
}

#[test]
fn what_the_tuner_finds_is_used_and_nothing_else_changes() {
    let gpu = fresh(|options| options.tuning = Tuning::Off);
    let g = Graph::new();
    let (a, b) = (g.input("a", [96, 64]), g.input("b", [64, 96]));
    let outputs = [("a", a.matmul(b).matmul(b.t()) * 0.01)];
    let first = values(96 * 64, 1);
    let a = Tensor::from_slice(&gpu, "a", &[96, 64], &first).unwrap();
    let b = Tensor::from_slice(&gpu, "b", &[64, 96], &values(64 * 96, 2)).unwrap();
    let bindings = Bindings::new().tensor("a", &a).tensor("b", &b);
    let mut tuner = Tuner::new(&gpu);
    let trials = tuner.warm(&outputs, &bindings, &CompileOptions::default()).unwrap();
    assert_eq!(a.read::<f32>().unwrap().wait().unwrap(), first, "the state is put back");
    // Without subgroups each of the two products has one other tile.
    assert!(trials.len() >= 2 && trials.iter().all(|t| !matches!(t.outcome, Outcome::Wrong(_))), "{trials:?}");
    assert!(tuner.warm(&outputs, &bindings, &CompileOptions::default()).unwrap().is_empty(), "nothing is tried twice");
    gpu.set_tunings(tuner.tunings().clone());
    let (plan, _) = run(&gpu, &outputs, bindings, 1);
    for knob in
        plan.dispatches().iter().filter_map(|dispatch| dispatch.knob.as_ref()).filter(|k| k.candidates.len() > 1)
    {
        let found = tuner.tunings().get(gpu.info(), &knob.kernel).unwrap();
        assert_eq!(found.choice, knob.candidates[knob.taken]);
        assert!(found.speedup >= 1.0);
    }
    assert_ne!(*gpu.tunings(), Tunings::default());
}

#[test]
fn a_table_from_the_disk_decides_and_a_missing_one_says_how_to_make_it() {
    let path = std::env::temp_dir().join(format!("ergodic-tuner-{}.ron", std::process::id()));
    let g = Graph::new();
    let outputs = [("c", g.input("a", [96, 96]).matmul(g.input("b", [96, 96])))];
    let compile = |tuning: Tuning| {
        let gpu = fresh(|options| options.tuning = tuning.clone());
        let plan = Plan::compile(&gpu, &outputs, &CompileOptions::default()).unwrap();
        (gpu, plan.dispatches()[0].knob.clone().unwrap())
    };
    let (gpu, knob) = compile(Tuning::Off);
    let mut table = Tunings::default();
    table.set(gpu.info(), &knob.kernel, ergodic::gpu::Tuned { choice: knob.candidates[1].clone(), speedup: 2.0 });
    table.save(&path).unwrap();
    assert_eq!((knob.taken, compile(Tuning::File(path.clone())).1.taken), (0, 1));
    std::fs::remove_file(&path).unwrap();
    let gone = Gpu::headless(ergodic::gpu::GpuOptions { tuning: Tuning::File(path), ..Default::default() });
    assert!(gone.err().unwrap().to_string().contains("make tune"));
}
