//! States, replays and faults: what a session leaves in the tensors bound to it.

mod common;
#[path = "common/compare.rs"]
mod compare;

use compare::noise;
use ergodic::autodiff::grad;
use ergodic::gpu::{Gpu, Tensor};
use ergodic::graph::{DType, Feeds, Graph, Var};
use ergodic::plan::{Bindings, CompileOptions, Plan, Session};
use ergodic::random::RngKey;
use ergodic::{Error, Fault};

fn compile(gpu: &Gpu, outputs: &[(&str, Var<'_>)]) -> Plan {
    Plan::compile(gpu, outputs, &CompileOptions::default()).unwrap()
}

fn tensor(gpu: &Gpu, shape: &[usize], data: &[f32]) -> Tensor {
    Tensor::from_slice(gpu, "state", shape, data).unwrap()
}

/// A training step in small: noisy walkers in a well whose centre follows their mean, through a wide hidden layer.
fn training_step(g: &Graph) -> [(&'static str, Var<'_>); 3] {
    let (x, w) = (g.input("x", [96, 8]), g.input("w", [8 * 96]));
    let hidden = x.matmul(w.reshape([8, 96])).tanh();
    let u = hidden.square().sum(1) * 0.01 + x.square().sum(1) / 2.0;
    let step = grad(u, x).unwrap();
    let x1 = x - step * 0.1 + g.key("noise").normal([96, 8]) * 0.1;
    let w1 = w - grad(u.mean_all(), w).unwrap() * 0.5;
    let again = x1.matmul(w1.reshape([8, 96])).sum_all();
    [("x", x1), ("w", w1), ("after", again)]
}

#[test]
fn n_runs_of_k_steps_equal_one_run_bit_for_bit() {
    for (tier, gpu) in common::gpus() {
        let g = Graph::new();
        let plan = compile(&gpu, &training_step(&g));
        assert!(!plan.report().loops_over_steps(), "several kernels: {}", plan.report());
        let run = |chunks: &[u64]| {
            let (x, w) = (tensor(&gpu, &[96, 8], &noise(768, 1)), tensor(&gpu, &[768], &noise(768, 2)));
            let bindings = Bindings::new().tensor("x", &x).tensor("w", &w).key("noise", RngKey::new(5));
            let mut session = Session::new(&plan, bindings).unwrap();
            chunks.iter().for_each(|&k| session.run(k).unwrap());
            session.check().unwrap();
            assert_eq!(session.step(), chunks.iter().sum::<u64>());
            [x, w].map(|t| t.read::<f32>().unwrap().wait().unwrap())
        };
        assert_eq!(run(&[12]), run(&[5, 1, 6]), "{tier}");
        // The ring of step offsets has 1024 entries: a longer run goes around it.
        assert_eq!(run(&[1030]), run(&[515, 515]), "{tier}");
    }
}

#[test]
fn a_step_with_state_equals_its_f64_meaning() {
    for (tier, gpu) in common::gpus() {
        let g = Graph::new();
        let outputs = training_step(&g);
        let plan = compile(&gpu, &outputs);
        let (x, w) = (noise(768, 1), noise(768, 2));
        let wide = |data: &[f32]| data.iter().map(|&v| f64::from(v)).collect::<Vec<_>>();
        let mut feeds = Feeds::new().tensor("x", wide(&x)).tensor("w", wide(&w)).key("noise", RngKey::new(5));
        let (x, w) = (tensor(&gpu, &[96, 8], &x), tensor(&gpu, &[768], &w));
        let bindings = Bindings::new().tensor("x", &x).tensor("w", &w).key("noise", RngKey::new(5));
        let mut session = Session::new(&plan, bindings).unwrap();
        session.run(3).unwrap();
        let mut want = vec![];
        for _ in 0..3 {
            want = g.eval_step(&outputs, &mut feeds).unwrap();
        }
        for ((name, _), want) in outputs.iter().zip(&want) {
            let got = session.read::<f32>(name).unwrap().wait().unwrap();
            // 96 terms a sum, three steps that do not amplify: 3 * 96 roundings of terms of order 1.
            let scale = if *name == "after" { 96.0 * 96.0 } else { 1.0 };
            for (g, w) in got.iter().zip(&want.data) {
                let bound = 300.0 * f64::from(f32::EPSILON) * scale;
                assert!((f64::from(*g) - w).abs() < bound, "{tier}: `{name}` {g} {w}");
            }
        }
    }
}

#[test]
fn states_may_exchange_their_values() {
    for (tier, gpu) in common::gpus() {
        let g = Graph::new();
        let (a, b) = (g.input("a", [5]), g.input("b", [5]));
        let plan = compile(&gpu, &[("a", b), ("b", a)]);
        let (ta, tb) = (tensor(&gpu, &[5], &[1.0; 5]), tensor(&gpu, &[5], &[2.0; 5]));
        let mut session = Session::new(&plan, Bindings::new().tensor("a", &ta).tensor("b", &tb)).unwrap();
        session.run(3).unwrap();
        assert_eq!(ta.read::<f32>().unwrap().wait().unwrap(), [2.0; 5], "{tier}");
        assert_eq!(tb.read::<f32>().unwrap().wait().unwrap(), [1.0; 5], "{tier}");
    }
}

#[test]
fn a_state_that_others_still_read_is_not_overwritten_early() {
    for (tier, gpu) in common::gpus() {
        let g = Graph::new();
        let x = g.input("x", [1000]);
        // The sum needs every old element; each new element needs the sum.
        let plan = compile(&gpu, &[("x", x + x.sum_all()), ("reversed", x.gather(from_the_end(&g)))]);
        let t = tensor(&gpu, &[1000], &(0..1000).map(|i| i as f32).collect::<Vec<_>>());
        let mut session = Session::new(&plan, Bindings::new().tensor("x", &t)).unwrap();
        session.run(1).unwrap();
        let got = t.read::<f32>().unwrap().wait().unwrap();
        assert!(got.iter().enumerate().all(|(i, &v)| v == i as f32 + 499_500.0), "{tier}");
        let reversed = session.read::<f32>("reversed").unwrap().wait().unwrap();
        assert!(reversed.iter().enumerate().all(|(i, &v)| v == 999.0 - i as f32), "{tier}");
    }
}

fn from_the_end(g: &Graph) -> Var<'_> {
    g.constant_u32(999) - g.iota(0, [1000])
}

#[test]
fn a_result_that_is_not_finite_raises_the_fault_word() {
    for (_, gpu) in common::gpus() {
        let g = Graph::new();
        let x = g.input("x", [70]);
        let plan = compile(&gpu, &[("x", x * x)]);
        let t = tensor(&gpu, &[70], &[1e5; 70]);
        let mut session = Session::new(&plan, Bindings::new().tensor("x", &t)).unwrap();
        session.run(2).unwrap();
        session.check().unwrap(); // 1e20
        session.run(1).unwrap();
        let error = session.check().unwrap_err();
        assert!(matches!(error, Error::Fault { word: Fault::NON_FINITE, step: 3, .. }), "{error}");
    }
}

#[test]
fn what_is_not_bound_is_named() {
    let gpu = common::gpu();
    let g = Graph::new();
    let y = g.input("walkers", [4]) * g.input("beta", []) + g.key("noise").normal([4]);
    let plan = compile(&gpu, &[("y", y)]);
    let t = tensor(&gpu, &[4], &[0.0; 4]);
    let missing = |bindings| Session::new(&plan, bindings).err().map(|error| error.to_string()).unwrap();
    assert_eq!(
        missing(Bindings::new().scalar("beta", 1.0)),
        "input `walkers` [4] is not bound; bound are: beta\n  add .tensor(\"walkers\", &tensor) to the Bindings"
    );
    assert!(missing(Bindings::new().tensor("walkers", &t).scalar("beta", 1.0)).contains("`noise`"));
    let wrong = tensor(&gpu, &[2, 2], &[0.0; 4]);
    assert!(missing(Bindings::new().tensor("walkers", &wrong)).contains("[2, 2]"));
}

#[test]
fn integers_survive_the_arena() {
    for (tier, gpu) in common::gpus() {
        let g = Graph::new();
        let bits = g.key("key").bits([300]);
        let plan = compile(&gpu, &[("sum", bits.cumsum(0)), ("bits", bits)]);
        let mut session = Session::new(&plan, Bindings::new().key("key", RngKey::new(1))).unwrap();
        session.run(1).unwrap();
        let bits = session.read::<u32>("bits").unwrap().wait().unwrap();
        let sums = session.read::<u32>("sum").unwrap().wait().unwrap();
        let want = bits.iter().scan(0u32, |sum, &b| {
            *sum = sum.wrapping_add(b);
            Some(*sum)
        });
        assert!(want.eq(sums.iter().copied()), "{tier}");
        assert_eq!(session.tensor("bits").unwrap().dtype(), DType::U32);
    }
}

/// Each cell of a ring takes from its neighbour: what a step reads it cannot overwrite. The second state shows whether steps are
/// counted right.
fn ring(g: &Graph, n: usize) -> [(&'static str, Var<'_>); 2] {
    let (u, sum) = (g.input("u", [n]), g.input("sum", []));
    let neighbour = Var::concat(&[u.narrow(0, 1, n - 1), u.narrow(0, 0, 1)], 0).unwrap();
    let next = u * 0.75 + neighbour * g.input("rate", []) + g.step().cast(DType::F32) * 0.01;
    [("u", next), ("sum", sum + u.slice([0], [1]).reshape([]))]
}

#[test]
fn states_written_in_turn_with_their_next_values_are_those_of_single_steps_bit_for_bit() {
    let n = 640;
    for (tier, gpu) in common::gpus() {
        let g = Graph::new();
        let plan = compile(&gpu, &ring(&g, n));
        assert!(plan.report().to_string().contains("into `u`"), "a step alone copies: {}", plan.report());
        let run = |chunks: &[u64], [u, rate]: [Tensor; 2]| {
            let sum = tensor(&gpu, &[], &[0.0]);
            let bindings = Bindings::new().tensor("u", &u).tensor("sum", &sum).tensor("rate", &rate);
            let mut session = Session::new(&plan, bindings).unwrap();
            chunks.iter().for_each(|&k| session.run(k).unwrap());
            session.check().unwrap();
            [u, sum].map(|t| t.read::<f32>().unwrap().wait().unwrap())
        };
        let fresh = || [tensor(&gpu, &[n], &noise(n, 1)), tensor(&gpu, &[], &[0.25])];
        // In one buffer of the caller the state cannot be bound for writing beside the rate, which is read.
        let shared = || {
            use wgpu::BufferUsages as U;
            let usage = U::STORAGE | U::UNIFORM | U::COPY_SRC | U::COPY_DST;
            let desc = wgpu::BufferDescriptor { label: None, size: 8192, usage, mapped_at_creation: false };
            let buffer = gpu.device().create_buffer(&desc);
            let part = |name, shape: &[usize], at| {
                Tensor::from_wgpu(&gpu, name, shape, DType::F32, buffer.clone(), at).unwrap()
            };
            let (u, rate) = (part("u", &[n], 0), part("rate", &[], 4096));
            u.write(&noise(n, 1)).unwrap();
            rate.write(&[0.25f32]).unwrap();
            [u, rate]
        };
        for steps in 1..6 {
            let alone = run(&vec![1; steps as usize], fresh());
            assert_eq!(run(&[steps], fresh()), alone, "{steps} on {tier}");
            assert_eq!(run(&[steps], shared()), alone, "{steps} in one buffer on {tier}");
        }
    }
}
