//! Leaps: many steps of a plan compiled as one, for runs that are long enough.
//!
//! A step `u' = f(u)` with one stencil reads and writes the whole field. The graph of `f(f(..f(u)))` is a chain of stencils
//! (`stencils.rs`), whose passes take several steps each. A plan whose states are what such passes end with therefore holds
//! that chain too, in a few lengths, and a session takes as many steps of a run with it as fit. The bits are those of single
//! steps: a software adapter computes a step alike in every pass, and nothing here may depend on the number of the step, so
//! a plan with random numbers steps one by one.

use super::choices::Choices;
use super::compile::{CompileOptions, kernels};
use super::lower::{COPY, Dispatch, Lowered, TensorDecl};
use super::partition::Partitioner;
use super::stages::Stages;
use crate::error::Result;
use crate::gpu::{Gpu, Pipeline};
use crate::graph::{DType, Graph, NodeId, Op, Var};
use std::sync::Arc;

/// Kernels for several steps at once.
pub(super) struct Leap {
    /// Steps.
    pub steps: u64,
    /// Kernel launches, in order.
    pub dispatches: Vec<Dispatch>,
    pub pipelines: Vec<Arc<Pipeline>>,
    /// Words of intermediate values.
    pub arena_words: usize,
}

/// How many times shorter the next leap is, which takes what the longer one leaves of a run.
const SHORTER: usize = 4;

/// Numbers of steps that should be compiled as one, the longest first; or why there are none.
pub(super) fn lengths(part: &Partitioner<'_>) -> std::result::Result<Vec<usize>, &'static str> {
    let op = |id: &NodeId| &part.nodes[id.index()].op;
    let Some((all, best)) = part.passes.depth else {
        return Err("its stencils are of several fields, or there are none");
    };
    if part.order.iter().any(|id| matches!(op(id), Op::Random(_) | Op::Step)) {
        return Err("it depends on the number of the step");
    }
    let ends = |id: &NodeId| part.passes.stored_by(*id).is_some();
    if part.states.is_empty() || !part.states.keys().all(ends) {
        return Err("its states are not all what passes of stencils end with");
    }
    // Two passes, so that the field is back in its tensor; powers of two, so that the shorter leap divides the longer one.
    match (2 * best / all).checked_ilog2() {
        None | Some(0) => Err("a step is a chain itself"),
        Some(log) => {
            Ok(std::iter::successors(Some(1 << log), |steps| Some(steps / SHORTER)).take_while(|&s| s > 1).collect())
        }
    }
}

/// Compile these numbers of steps; a chain that turns out to need other kernels than passes, or more memory than one
/// binding has, is left out.
pub(super) fn compile(
    gpu: &Gpu,
    outputs: &[(String, Var<'_>)],
    step: &Lowered,
    lengths: &[usize],
    (options, choices): (&CompileOptions, &Choices<'_>),
) -> Result<Vec<Leap>> {
    let mut leaps = vec![];
    for &steps in lengths {
        let Some((_, first)) = outputs.first() else { break };
        let graph = first.graph();
        let ids = composed(graph, outputs, steps);
        let (nodes, order) = (graph.nodes(), graph.reachable(&ids));
        let named: Vec<_> = outputs.iter().zip(&ids).map(|((name, _), &id)| (name.clone(), id)).collect();
        let Lowered { dispatches, tensors, arena_words, .. } =
            kernels(&nodes, &order, &named, &Stages::default(), (options, choices))?.lowered;
        let fits = arena_words as u64 * DType::BYTES <= gpu.caps().limits.max_storage_buffer_binding_size;
        if fits && same(&tensors, &step.tensors) && others(&dispatches) <= others(&step.dispatches) {
            let pipelines = gpu.pipelines(&dispatches.iter().map(|d| &d.source).collect::<Vec<_>>())?;
            leaps.push(Leap { steps: steps as u64, dispatches, pipelines, arena_words });
        }
    }
    Ok(leaps)
}

/// The outputs after so many steps, in terms of the states before them.
fn composed<'g>(graph: &'g Graph, outputs: &[(String, Var<'g>)], steps: usize) -> Vec<NodeId> {
    let step: Vec<_> = outputs.iter().map(|(_, var)| *var).collect();
    let inputs: Vec<_> = outputs.iter().map(|(name, _)| graph.input_named(name)).collect();
    let mut last = step.clone();
    for _ in 1..steps {
        let states = inputs.iter().zip(&last).filter_map(|(input, next)| Some(((*input)?, *next)));
        last = graph.substitute_all(&step, &states.collect::<Vec<_>>());
    }
    last.iter().map(|var| var.id()).collect()
}

fn same(a: &[TensorDecl], b: &[TensorDecl]) -> bool {
    let key = |t: &TensorDecl| (t.name.clone(), t.shape.clone(), t.dtype, t.role);
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| key(a) == key(b))
}

/// Kernels that are not passes of stencils. Copies of a state are counted with the passes: a chain has fewer.
fn others(dispatches: &[Dispatch]) -> usize {
    dispatches.iter().filter(|dispatch| !matches!(&*dispatch.source.name, "stencil" | COPY)).count()
}
