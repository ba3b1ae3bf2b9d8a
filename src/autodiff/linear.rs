//! Walking a graph: which nodes lie between a variable and a function, tangents forward, cotangents backward.
//!
//! Everything here is iterative and touches only the nodes on a path, so deep graphs and large ones cost what they have.

use super::jvp::{add, is_switch, tangent};
use super::transpose::{Cotangent, transpose};
use crate::error::Result;
use crate::graph::{DType, Graph, Node, NodeId, Op, Shape, Var};
use std::collections::{HashMap, HashSet};

/// The arguments through which a value depends on real numbers.
///
/// Integers and conditions are piecewise constant and end a path, except a [switch](is_switch): behind it everything
/// counts, so that a second derivative finds out whether the kink moves.
fn active_args(g: &Graph, node: &Node) -> Vec<NodeId> {
    let args = &node.args;
    match &node.op {
        Op::StopGrad if !is_switch(node) => vec![],
        _ if node.dtype != DType::F32 => args.clone(),
        Op::Cast | Op::Random(_) | Op::Invalid => vec![],
        Op::Select if !is_switch(&g.node(args[0])) => args[1..].to_vec(),
        Op::Gather | Op::ScatterAdd => args[..1].to_vec(),
        _ => args.clone(),
    }
}

/// Nodes that `to` depends on and that depend on `from`, both included, ascending.
pub(super) fn path(g: &Graph, to: &[NodeId], from: &[NodeId]) -> Vec<NodeId> {
    let (Some(&first), Some(&last)) = (from.iter().min(), to.iter().max()) else { return vec![] };
    if last < first {
        return vec![];
    }
    let mut args: Vec<Option<Vec<NodeId>>> = vec![None; last.index() - first.index() + 1];
    let mut stack: Vec<_> = to.iter().copied().filter(|&id| id >= first).collect();
    while let Some(id) = stack.pop() {
        let slot = &mut args[id.index() - first.index()];
        if slot.is_none() {
            let active = active_args(g, &g.node(id)).into_iter().filter(|&a| a >= first);
            stack.extend(slot.insert(active.collect()).iter());
        }
    }
    let mut depends = vec![false; args.len()];
    for &id in from.iter().filter(|&&id| id <= last) {
        depends[id.index() - first.index()] = args[id.index() - first.index()].is_some();
    }
    for (i, args) in args.iter().enumerate() {
        depends[i] |= args.iter().flatten().any(|a| depends[a.index() - first.index()]);
    }
    (0..depends.len()).filter(|&i| depends[i]).map(|i| NodeId((first.index() + i) as u32)).collect()
}

/// Whether `y` depends on `source` by a way that does not lead through `x`.
pub(super) fn leads_around(y: Var<'_>, source: Var<'_>, x: Var<'_>) -> bool {
    let (g, mut seen, mut stack) = (y.graph(), HashSet::new(), vec![y.id()]);
    while let Some(id) = stack.pop() {
        if id == source.id() && id != x.id() {
            return true;
        }
        if id > source.id() && id != x.id() && seen.insert(id) {
            stack.extend(active_args(g, &g.node(id)));
        }
    }
    false
}

/// Tangents of all nodes between the seeds and `ys`; a node that is missing has the tangent zero.
///
/// A seed adds to what the others bring, so the result is the sum of the derivatives along each seed.
pub(super) fn forward<'g>(ys: &[Var<'g>], seeds: &[(Var<'g>, Var<'g>)]) -> Result<HashMap<NodeId, Var<'g>>> {
    let mut tangents = HashMap::new();
    let Some(g) = ys.first().map(|y| y.graph()) else { return Ok(tangents) };
    let mut seeded: HashMap<NodeId, Var<'g>> = HashMap::new();
    for &(x, t) in seeds {
        let sum = add(seeded.get(&x.id()).copied(), Some(t));
        seeded.extend(sum.map(|sum| (x.id(), sum)));
    }
    let to: Vec<_> = ys.iter().map(|y| y.id()).collect();
    let from: Vec<_> = seeded.keys().copied().collect();
    for id in path(g, &to, &from) {
        let node = g.node(id);
        let of_args: Vec<_> = node.args.iter().map(|a| tangents.get(a).copied()).collect();
        let sum = || tangent(g, id, &node, &of_args).map(|t| add(seeded.get(&id).copied(), t));
        let total = g.built_at(node.site, sum)?;
        if let Some(t) = total.filter(|t| !t.is_zero()) {
            tangents.insert(id, t);
        }
    }
    Ok(tangents)
}

/// Transpose a linear map: cotangents of the `inputs` from those of the outputs, which are linear in the inputs.
pub(super) fn backward<'g>(outputs: &[(Var<'g>, Var<'g>)], inputs: &[Var<'g>]) -> Result<Vec<Option<Var<'g>>>> {
    let Some(g) = inputs.first().map(|x| x.graph()) else { return Ok(vec![]) };
    let ids = |vars: &mut dyn Iterator<Item = Var<'g>>| vars.map(|v| v.id()).collect::<Vec<_>>();
    let from = ids(&mut inputs.iter().copied());
    let nodes = path(g, &ids(&mut outputs.iter().map(|o| o.0)), &from);
    let linear: HashSet<_> = nodes.iter().copied().collect();
    let mut pending: HashMap<NodeId, Cotangent<'g>> = HashMap::new();
    for &(output, ct) in outputs {
        pending.entry(output.id()).or_default().add(ct);
    }
    let mut found: HashMap<NodeId, Var<'g>> = HashMap::new();
    for &id in nodes.iter().rev() {
        let node = g.node(id);
        let ct = pending.remove(&id).and_then(|ct| g.built_at(node.site, || ct.total(&node.shape)));
        let Some(ct) = ct.filter(|ct| !ct.is_zero()) else { continue };
        if from.contains(&id) {
            found.insert(id, ct);
        }
        for (k, arg) in node.args.iter().enumerate().filter(|(_, arg)| linear.contains(arg)) {
            let to = pending.entry(*arg).or_default();
            g.built_at(node.site, || transpose(g, id, &node, k, ct, to))?;
        }
    }
    Ok(inputs.iter().map(|x| found.get(&x.id()).copied()).collect())
}

/// A variable that stands for the tangent of `x` while a derivative is being transposed. No plan ever sees it.
pub(super) fn placeholder<'g>(x: Var<'g>) -> Var<'g> {
    let name = format!("\u{2202}#{}", x.id().index());
    x.graph().push(Op::Input(name.into()), vec![], x.shape(), DType::F32, x.site())
}

/// `a @ b`, without a matrix product where one side is one constant everywhere or the inner length is 1.
pub(super) fn product<'g>(a: Var<'g>, b: Var<'g>) -> Var<'g> {
    let (g, n, m) = (a.graph(), a.shape()[0], b.shape()[1]);
    if a.shape()[1] == 1 {
        return a * b;
    }
    match (g.constant_value(a.id()), g.constant_value(b.id())) {
        (Some(c), _) => (sum_kept(b, 0) * c).broadcast_to([n, m]),
        (_, Some(c)) => (sum_kept(a, 1) * c).broadcast_to([n, m]),
        _ => a.matmul(b),
    }
}

/// Transpose of a matrix; of a vector it is a reshape.
pub(super) fn transposed<'g>(v: Var<'g>) -> Var<'g> {
    match v.shape()[..] {
        [n, m] if n == 1 || m == 1 => v.reshape([m, n]),
        _ => v.t(),
    }
}

/// Sum over one axis, which stays with length 1.
pub(super) fn sum_kept<'g>(v: Var<'g>, axis: usize) -> Var<'g> {
    let mut kept = v.shape().to_vec();
    if kept[axis] == 1 {
        return v;
    }
    kept[axis] = 1;
    v.sum(axis).reshape(kept)
}

/// `v.slice(start, len)`, looked up in the parts where `v` is made of slices and paddings itself.
pub(super) fn slice_of<'g>(v: Var<'g>, start: &[usize], len: &Shape) -> Var<'g> {
    try_slice(v, start, len, 16).unwrap_or_else(|| v.slice(start, len))
}

/// A slice without a slice node, if `depth` levels of sums reach one.
fn try_slice<'g>(v: Var<'g>, start: &[usize], len: &Shape, depth: usize) -> Option<Var<'g>> {
    let (g, node) = (v.graph(), v.graph().node(v.id()));
    let arg = |k: usize| g.var(node.args[k]);
    if node.shape == *len {
        return Some(v);
    }
    match &node.op {
        Op::Const(_) | Op::Broadcast if g.constant_value(v.id()).is_some() => Some(v.slice(start, len)),
        Op::Pad(corner) => {
            let size = arg(0).shape();
            let axes = || 0..len.len();
            if axes().any(|i| start[i] + len[i] <= corner[i] || corner[i] + size[i] <= start[i]) {
                return Some(g.full(0.0, len));
            }
            if axes().any(|i| start[i] < corner[i] || start[i] + len[i] > corner[i] + size[i]) {
                return None;
            }
            let inner: Vec<_> = axes().map(|i| start[i] - corner[i]).collect();
            Some(try_slice(arg(0), &inner, len, depth).unwrap_or_else(|| arg(0).slice(inner, len)))
        }
        Op::Concat { axis } => {
            let mut at = 0;
            for k in 0..node.args.len() {
                let size = arg(k).shape()[*axis];
                if at <= start[*axis] && start[*axis] + len[*axis] <= at + size {
                    let mut inner = start.to_vec();
                    inner[*axis] -= at;
                    return Some(try_slice(arg(k), &inner, len, depth).unwrap_or_else(|| arg(k).slice(inner, len)));
                }
                at += size;
            }
            None
        }
        Op::Binary(crate::graph::Binary::Add) if depth > 0 => {
            let [a, b] = [0, 1].map(|k| try_slice(arg(k), start, len, depth - 1));
            Some(a? + b?)
        }
        _ => None,
    }
}
