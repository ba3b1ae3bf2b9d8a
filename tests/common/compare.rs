//! Runs a graph on a device and in f64, and compares.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use ergodic::gpu::{Gpu, Tensor};
use ergodic::graph::{DType, Feeds, Graph, Op, Var};
use ergodic::plan::{Bindings, CompileOptions, Plan, Session};
use ergodic::random::RngKey;

/// Pseudo-random numbers in (-1, 1), the same on every run.
pub fn noise(n: usize, seed: u64) -> Vec<f32> {
    (0..n).map(|i| RngKey::new(seed).uniform(i as u32, 0, 0) * 2.0 - 1.0).collect()
}

/// Inputs of a graph with values: noise for floats, `0, 7, 14, ...` modulo 11 for integers.
pub fn values(graph: &Graph, seed: u64) -> Vec<(String, Var<'_>, Vec<f32>)> {
    let names = graph.input_names();
    let inputs = names.iter().zip(0..).filter_map(|(name, i)| {
        let var = graph.input_named(name)?;
        let n = var.shape().numel();
        let data = match var.dtype() {
            DType::F32 => noise(n, seed + i),
            DType::U32 => (0..n).map(|k| ((7 * k) % 11) as f32).collect(),
            DType::Bool => (0..n).map(|k| f32::from(u8::from(k % 3 == 0))).collect(),
            DType::Key => return None,
        };
        Some((name.clone(), var, data))
    });
    inputs.collect()
}

/// Keys of a graph, each bound to a key of its own.
fn keys(graph: &Graph) -> Vec<(String, RngKey)> {
    let nodes = graph.nodes();
    let is_key = |n: &std::rc::Rc<ergodic::graph::Node>| n.dtype == DType::Key;
    let names = nodes.iter().filter(|n| is_key(n)).filter_map(|n| match &n.op {
        Op::Input(name) => Some(name.to_string()),
        _ => None,
    });
    names.enumerate().map(|(i, name)| (name, RngKey::new(100 + i as u64))).collect()
}

/// Every output after one step at step number 3, as the device and as f64 compute it.
pub fn both(gpu: &Gpu, graph: &Graph, outputs: &[(&str, Var<'_>)]) -> ergodic::Result<Vec<(Vec<f64>, Vec<f64>)>> {
    both_by(&Plan::compile(gpu, outputs, &CompileOptions::default())?, graph, outputs)
}

/// A value that no test computes: what a kernel does not write keeps it.
const SENTINEL: f32 = -7.25e33;

/// The same by a plan of these outputs, into tensors that hold a sentinel before.
pub fn both_by(plan: &Plan, graph: &Graph, outputs: &[(&str, Var<'_>)]) -> ergodic::Result<Vec<(Vec<f64>, Vec<f64>)>> {
    let gpu = plan.gpu();
    let (mut feeds, mut bindings) = (Feeds::new().step(3), Bindings::new());
    for (name, var, data) in values(graph, 1) {
        let wide: Vec<f64> = data.iter().map(|&x| f64::from(x)).collect();
        feeds = feeds.tensor(&name, wide);
        let shape = var.shape();
        let tensor = match var.dtype() {
            DType::F32 => Tensor::from_slice(gpu, &name, &shape, &data)?,
            dtype => {
                let tensor = Tensor::zeros(gpu, &name, &shape, dtype)?;
                tensor.write(&data.iter().map(|&x| x as u32).collect::<Vec<_>>())?;
                tensor
            }
        };
        bindings = bindings.tensor(&name, &tensor);
    }
    for (name, key) in keys(graph) {
        (feeds, bindings) = (feeds.key(&name, key), bindings.key(&name, key));
    }
    for (name, var) in outputs.iter().filter(|(name, _)| graph.input_named(name).is_none()) {
        let tensor = Tensor::zeros(gpu, name, &var.shape(), var.dtype())?;
        match var.dtype() {
            DType::F32 => tensor.write(&vec![SENTINEL; var.shape().numel()])?,
            _ => tensor.write(&vec![SENTINEL.to_bits(); var.shape().numel()])?,
        }
        bindings = bindings.tensor(name, &tensor);
    }
    let mut session = Session::new(plan, bindings)?;
    session.set_step(3);
    session.run(1)?;
    session.check()?;
    let vars: Vec<_> = outputs.iter().map(|(_, var)| *var).collect();
    let want = graph.eval_f64(&vars, &feeds)?;
    let mut all = vec![];
    for ((name, var), want) in outputs.iter().zip(want) {
        let got = match var.dtype() {
            DType::F32 => session.read::<f32>(name)?.wait()?.into_iter().map(f64::from).collect(),
            _ => session.read::<u32>(name)?.wait()?.into_iter().map(f64::from).collect(),
        };
        all.push((got, want.data));
    }
    Ok(all)
}

/// Demand `|got - want| <= tolerance * (1 + |want|)` of every element of every output.
pub fn assert_close(what: &str, gpu: &Gpu, graph: &Graph, outputs: &[(&str, Var<'_>)], tolerance: f64) {
    let plan =
        Plan::compile(gpu, outputs, &CompileOptions::default()).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_plan_close(what, &plan, graph, outputs, tolerance);
}

/// The same of a plan of these outputs.
pub fn assert_plan_close(what: &str, plan: &Plan, graph: &Graph, outputs: &[(&str, Var<'_>)], tolerance: f64) {
    let all = both_by(plan, graph, outputs).unwrap_or_else(|error| panic!("{what}: {error}"));
    for ((name, _), (got, want)) in outputs.iter().zip(&all) {
        assert_eq!(got.len(), want.len(), "{what}: size of `{name}`");
        for (i, (g, w)) in got.iter().zip(want).enumerate() {
            let bound = tolerance * (1.0 + w.abs());
            assert!((g - w).abs() <= bound, "{what}: `{name}`[{i}] is {g}, the f64 meaning is {w}, bound {bound:e}");
        }
    }
}
