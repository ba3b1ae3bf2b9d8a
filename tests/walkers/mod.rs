//! Runs a graph that carries state, in f64 or on a device, from one description: the laws do not know which.
#![allow(dead_code)] // each test file uses a part

use ergodic::gpu::{AdapterChoice, Gpu, GpuOptions, Tensor};
use ergodic::graph::{DType, Feeds, Graph, Var};
use ergodic::plan::{Bindings, CompileOptions, Plan, Session};
use ergodic::random::RngKey;
use std::collections::HashMap;

/// Where a law is tested.
#[derive(Clone)]
pub enum Backend {
    /// By the graph's meaning.
    F64,
    /// By the plan that it compiles to.
    Device(Gpu),
}

/// The device under test. No adapter is a failed test, not a skipped one.
pub fn device() -> Backend {
    let options = GpuOptions { adapter: AdapterChoice::Best, ..GpuOptions::default() };
    Backend::Device(Gpu::headless(options).unwrap_or_else(|e| panic!("these tests need an adapter: {e}")))
}

/// A state, its first value, and its next.
pub struct State<'g> {
    pub name: &'static str,
    pub first: Var<'g>,
    pub next: Var<'g>,
}

/// A state from a tuple.
pub fn state<'g>(name: &'static str, first: Var<'g>, next: Var<'g>) -> State<'g> {
    State { name, first, next }
}

/// All values of a step by name: states, and extra outputs.
pub type Values = HashMap<String, Vec<f64>>;

/// First values at step 0 from `tables` and the key `noise`, then `steps` steps; `outputs` are those of the last step.
pub fn iterate(
    backend: &Backend,
    tables: &[(&str, Vec<f32>)],
    key: RngKey,
    states: &[State<'_>],
    outputs: &[(&str, Var<'_>)],
    steps: u64,
) -> Values {
    let first: Vec<_> = states.iter().map(|s| (s.name, s.first)).collect();
    let next: Vec<_> = states.iter().map(|s| (s.name, s.next)).chain(outputs.iter().copied()).collect();
    match backend {
        Backend::F64 => iterate_f64(tables, key, &first, &next, steps),
        Backend::Device(gpu) => iterate_device(gpu, tables, key, &first, &next, steps),
    }
}

fn iterate_f64(
    tables: &[(&str, Vec<f32>)],
    key: RngKey,
    first: &[(&str, Var<'_>)],
    next: &[(&str, Var<'_>)],
    steps: u64,
) -> Values {
    let graph = next[0].1.graph();
    let mut feeds = Feeds::new().key("noise", key);
    tables.iter().for_each(|(name, data)| feeds.set(name, &data[..]));
    let vars: Vec<_> = first.iter().map(|f| f.1).collect();
    let mut values = graph.eval_f64(&vars, &feeds).unwrap();
    first.iter().zip(&values).for_each(|((name, _), value)| feeds.set(name, &value.data[..]));
    for _ in 0..steps {
        values = graph.eval_step(next, &mut feeds).unwrap();
    }
    next.iter().zip(values).map(|((name, _), value)| (name.to_string(), value.data)).collect()
}

fn iterate_device(
    gpu: &Gpu,
    tables: &[(&str, Vec<f32>)],
    key: RngKey,
    first: &[(&str, Var<'_>)],
    next: &[(&str, Var<'_>)],
    steps: u64,
) -> Values {
    let graph = next[0].1.graph();
    let mut bindings = Bindings::new().key("noise", key);
    for (name, data) in tables {
        let shape = graph.input_named(name).expect("a table is an input").shape();
        bindings = bindings.tensor(name, &Tensor::from_slice(gpu, name, &shape, data).unwrap());
    }
    if !first.is_empty() {
        bindings = start(gpu, bindings, first);
    }
    let plan = Plan::compile(gpu, next, &CompileOptions::labelled("steps")).unwrap();
    let mut session = Session::new(&plan, bindings).unwrap();
    session.run(steps).unwrap();
    session.check().unwrap();
    next.iter().map(|(name, var)| (name.to_string(), read(&session, name, var.dtype()))).collect()
}

/// Bind the first values of all states.
fn start(gpu: &Gpu, mut bindings: Bindings, first: &[(&str, Var<'_>)]) -> Bindings {
    // Under other names: the first values are outputs here, not states.
    let renamed: Vec<_> = first.iter().map(|(name, var)| (format!("first {name}"), *var)).collect();
    let outputs: Vec<_> = renamed.iter().map(|(name, var)| (name.as_str(), *var)).collect();
    let plan = Plan::compile(gpu, &outputs, &CompileOptions::labelled("first")).unwrap();
    let mut start = Session::new(&plan, bindings.clone()).unwrap();
    start.run(1).unwrap();
    for (name, _) in first {
        bindings = bindings.tensor(name, start.tensor(&format!("first {name}")).unwrap());
    }
    bindings
}

fn read(session: &Session, name: &str, dtype: DType) -> Vec<f64> {
    match dtype {
        DType::F32 => session.read::<f32>(name).unwrap().wait().unwrap().into_iter().map(f64::from).collect(),
        _ => session.read::<u32>(name).unwrap().wait().unwrap().into_iter().map(f64::from).collect(),
    }
}

/// The row of a table that belongs to the next step.
pub fn at_next_step<'g>(graph: &'g Graph, table: Var<'g>) -> Var<'g> {
    table.gather(graph.step() + 1)
}
