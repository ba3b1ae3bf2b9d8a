//! Long sums in short stages: how a GPU adds up.
//!
//! An invocation that adds a thousand numbers waits for memory a thousand times, and where there are few sums most of a GPU
//! has nothing to do. In a **stage** the invocations of a **team** share a stretch of terms: each adds at most [`TERMS`] of them,
//! all loads under way at once and neighbours at neighbouring words, and what they have is brought together in workgroup memory
//! (`lower/team.rs`). What is left to be added, a number a stretch, is stored:
//!
//! ```text
//! sum over l of x[a, l, c]  =  sum over j of y[a, j, c]
//! y[a, j, c] = sum over t < T of ( sum over i < p of x[a, (j p + i) T + t, c] )          T: a team, p: terms of each
//! ```
//!
//! This is done on the graph, before it is partitioned: sums and maxima of a million terms become two stages, and a product
//! with a thin matrix, whose tile would be nearly empty, becomes such a sum. The tree has a fixed shape. Software adapters, where a
//! dispatch is dear, a barrier dearer, and one load as good as another, add in parts instead (`classify.rs`).

use super::classify::{INLINE_TERMS, Team};
use super::lower::GROUP;
use crate::gpu::Caps;
use crate::graph::{DType, Graph, Node, NodeId, Op, Var};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// How long sums are computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sums {
    /// As the device suggests.
    #[default]
    Auto,
    /// Each in two stages, the first of about as many parts as there are terms in a part.
    Parts,
    /// In as many stages as it takes for no invocation to add more than a few dozen terms, which teams of invocations share.
    Stages,
}

/// Most terms that one invocation adds in a stage.
const TERMS: usize = 32;
/// Fewest loads of an invocation, where there are so many.
const LOADS: usize = 4;
/// Sums that neighbours in a workgroup add up, where they lie side by side: a sector of a GPU's cache.
const NEIGHBOURS: usize = 8;
/// Sums of which there are so many keep a GPU busy by themselves, and their rows can stay in a kernel that loops over steps.
const MANY: usize = 1 << 15;
/// A product with at most so many rows or columns is a sum.
const THIN: usize = 4;

/// A graph whose long sums are in stages.
#[derive(Default)]
pub(super) struct Stages {
    /// Invocations that work as a team where else one adds up what the others found, if sums are in stages.
    pub team: Option<usize>,
    /// What is left to be added after each stage: it has to be stored.
    pub left: BTreeSet<NodeId>,
    /// Those of them that are added up by teams.
    pub teams: BTreeMap<NodeId, Team>,
}

impl Stages {
    /// Whether sums are made as on a GPU.
    pub fn are_made(&self) -> bool {
        self.team.is_some()
    }

    /// Rebuilds these nodes with every long sum in stages, if the device or the option wants it; returns the nodes that stand for
    /// them.
    pub fn make(graph: &Graph, ids: &[NodeId], caps: &Caps, option: Sums) -> (Stages, Vec<NodeId>) {
        let wanted = match option {
            Sums::Auto => !caps.is_software(),
            Sums::Parts => false,
            Sums::Stages => true,
        };
        if !wanted {
            return (Stages::default(), ids.to_vec());
        }
        let mut rebuild = Rebuild { graph, made: HashMap::new(), left: BTreeSet::new(), teams: BTreeMap::new() };
        for id in graph.reachable(ids) {
            rebuild.node(id);
        }
        let ids = ids.iter().map(|&id| rebuild.of(id)).collect();
        let most = caps.limits.max_compute_invocations_per_workgroup.min(1024);
        (Stages { team: Some(1 << most.ilog2()), left: rebuild.left, teams: rebuild.teams }, ids)
    }
}

struct Rebuild<'g> {
    graph: &'g Graph,
    made: HashMap<NodeId, NodeId>,
    left: BTreeSet<NodeId>,
    teams: BTreeMap<NodeId, Team>,
}

impl<'g> Rebuild<'g> {
    fn of(&self, id: NodeId) -> NodeId {
        self.made.get(&id).copied().unwrap_or(id)
    }

    fn node(&mut self, id: NodeId) {
        let graph = self.graph;
        let node = graph.node(id);
        let args: Vec<_> = node.args.iter().map(|&arg| self.of(arg)).collect();
        let made = graph.built_at(node.site, || match self.in_stages(&node, &args) {
            Some(sum) => sum.id(),
            None if args == node.args => id,
            None => graph.push(node.op.clone(), args, node.shape.clone(), node.dtype, node.site).id(),
        });
        if made != id {
            self.made.insert(id, made);
        }
    }

    /// This node in stages; `None` for what is no long sum.
    fn in_stages(&mut self, node: &Node, args: &[NodeId]) -> Option<Var<'g>> {
        let (op, x, axes) = match &node.op {
            Op::Sum { axes } => (Fold::Sum, self.graph.var(args[0]), axes.clone()),
            Op::Max { axes } => (Fold::Max, self.graph.var(args[0]), axes.clone()),
            Op::MatMul => {
                let (terms, axis) = thin_product(self.graph, args)?;
                (Fold::Sum, terms, vec![axis])
            }
            _ => return None,
        };
        let terms: usize = axes.iter().map(|&axis| x.shape()[axis]).product();
        let results = node.shape.numel();
        let long = node.dtype == DType::F32 && terms > INLINE_TERMS && (1..MANY).contains(&results);
        long.then(|| self.fold(op, x, &axes).reshape(node.shape.clone()))
    }

    /// `x` folded along these axes, a stage at a time.
    fn fold(&mut self, op: Fold, x: Var<'g>, axes: &[usize]) -> Var<'g> {
        let shape = x.shape();
        let terms: usize = axes.iter().map(|&axis| shape[axis]).product();
        let Some(&last) = axes.last().filter(|_| terms > INLINE_TERMS) else { return op.over(x, axes) };
        // The last stretch of axes that are folded, as one axis.
        let first = (0..=last).rev().take_while(|axis| axes.contains(axis)).last().unwrap_or(last);
        let part = |range: std::ops::Range<usize>| shape[range].iter().product::<usize>();
        let (before, length, after) = (part(0..first), part(first..last + 1), part(last + 1..shape.len()));
        let mut rest: Vec<_> = axes.iter().copied().filter(|&axis| axis < first).collect();
        let x = x.reshape([before, length, after]);
        if length <= TERMS {
            let left = op.over(x, &[1]);
            self.left.extend((length > 1).then_some(left.id()));
            return self.fold(op, left.reshape([&shape[..first], &shape[last + 1..]].concat()), &rest);
        }
        let (shares, team) = shares(op, x);
        let [_, kept, size, _] = shares.shape()[..] else { return op.over(x, &[1]) };
        let (outer, inner) = (&shape[..first], &shape[last + 1..]);
        if kept == 1 {
            let left = op.over(shares.reshape([outer, &[size], inner].concat()), &[first]);
            self.keep(left, team);
            return self.fold(op, left, &rest);
        }
        let left = op.over(shares, &[2]);
        self.keep(left, team);
        rest.push(first);
        self.fold(op, left.reshape([outer, &[kept], inner].concat()), &rest)
    }

    fn keep(&mut self, left: Var<'g>, team: Team) {
        self.left.insert(left.id());
        self.teams.insert(left.id(), team);
    }
}

/// What each invocation of the teams adds up for itself, `[before, kept, size, after]`, of `x [before, length, after]`.
fn shares(op: Fold, x: Var<'_>) -> (Var<'_>, Team) {
    let (before, length, after) = (x.shape()[0], x.shape()[1], x.shape()[2]);
    // Four neighbours in memory are one load: four sums, or four terms of one.
    let lanes = if after.is_multiple_of(4) { 4 } else { 1 };
    let beside = if after == 1 && length.is_multiple_of(4) { 4 } else { 1 };
    let size = team_size(length / beside, after / lanes);
    let kept = length.div_ceil(size * TERMS);
    let places = kept * size * beside;
    let terms = length / places;
    let (main, rest) = (terms * places, length - terms * places);
    let mut sum = op.over(x.narrow(1, 0, main).reshape([before, kept, terms, size * beside, after]), &[2]);
    sum = sum.reshape([before, places, after]);
    if rest > 0 {
        sum = match op {
            Fold::Sum => sum + x.narrow(1, main, rest).pad([0, 0, 0], [before, places, after]),
            // A term may be compared twice.
            Fold::Max => sum.max(x.narrow(1, length - places, places)),
        };
    }
    let sum = op.over(sum.reshape([before, kept, size, beside, after]), &[3]);
    (sum, Team { size, lanes })
}

/// Invocations that share a sum of so many loads, beside which there are so many others: neighbours read neighbouring words, and
/// each has a few loads if there are enough.
fn team_size(loads: usize, beside: usize) -> usize {
    let most = GROUP as usize / beside.next_power_of_two().min(NEIGHBOURS);
    let enough = (loads / LOADS).max(2);
    most.min(1 << enough.ilog2())
}

/// The terms of a product with a thin matrix, and the axis along which they are added: the one of neighbours in memory comes
/// last.
fn thin_product<'g>(graph: &'g Graph, args: &[NodeId]) -> Option<(Var<'g>, usize)> {
    let (a, b) = (graph.var(args[0]), graph.var(args[1]));
    let (n, k, m) = (a.shape()[0], a.shape()[1], b.shape()[1]);
    let by_columns = |id: NodeId| matches!(&graph.node(id).op, Op::Permute(perm) if perm[..] == [1, 0]);
    if n.min(m) > THIN || k <= INLINE_TERMS {
        return None;
    }
    let along_k = if m <= THIN { !by_columns(args[0]) } else { by_columns(args[1]) };
    let whole = if along_k { [n, m, k] } else { [k, n, m] };
    let (a, b) = match along_k {
        true => (a.reshape([n, 1, k]), b.t().reshape([1, m, k])),
        false => (a.t().reshape([k, n, 1]), b.reshape([k, 1, m])),
    };
    Some((a.broadcast_to(whole) * b.broadcast_to(whole), if along_k { 2 } else { 0 }))
}

/// A reduction.
#[derive(Clone, Copy)]
enum Fold {
    Sum,
    Max,
}

impl Fold {
    fn over<'g>(self, x: Var<'g>, axes: &[usize]) -> Var<'g> {
        match self {
            Fold::Sum => x.sum(axes.to_vec()),
            Fold::Max => x.max_over(axes.to_vec()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Feeds;

    /// Terms of the longest sum that is left.
    fn longest(graph: &Graph, ids: &[NodeId]) -> usize {
        let terms = |id: NodeId| {
            let node = graph.node(id);
            let from = graph.node(*node.args.first()?).shape.clone();
            match &node.op {
                Op::Sum { axes } | Op::Max { axes } => Some(axes.iter().map(|&axis| from[axis]).product()),
                Op::MatMul => Some(from[1]),
                _ => None,
            }
        };
        graph.reachable(ids).into_iter().filter_map(terms).max().unwrap_or(0)
    }

    #[test]
    fn sums_in_stages_are_short_and_mean_the_same() {
        let shapes: [(&[usize], &[usize]); 9] = [
            (&[4099], &[0]),
            (&[1, 5000], &[0, 1]),
            (&[3, 784], &[1]),
            (&[1000, 3], &[0]),
            (&[1000, 8], &[0]),
            (&[10, 7, 128], &[0, 2]),
            (&[67, 2, 67], &[0, 2]),
            (&[130, 1, 5], &[0, 1]),
            (&[65, 1], &[0, 1]),
        ];
        for (shape, axes) in shapes {
            let g = Graph::new();
            let x = g.input("x", shape.to_vec());
            let values: Vec<f64> = (0..x.shape().numel()).map(|i| ((i * 7919) % 1013) as f64 - 500.0).collect();
            let outputs = [x.sum(axes.to_vec()).id(), x.max_over(axes.to_vec()).id()];
            let (stages, ids) = Stages::make(&g, &outputs, &Caps::portable(), Sums::Stages);
            assert!(!stages.left.is_empty() && longest(&g, &ids) <= INLINE_TERMS, "{shape:?} over {axes:?}");
            let feeds = Feeds::new().tensor("x", &values);
            let all: Vec<_> = outputs.iter().chain(&ids).map(|&id| g.var(id)).collect();
            let got = g.eval_f64(&all, &feeds).unwrap();
            assert_eq!((&got[0].data, &got[1].data), (&got[2].data, &got[3].data), "{shape:?} over {axes:?}");
            assert_eq!(got[0].shape, got[2].shape);
        }
    }

    #[test]
    fn products_with_thin_matrices_are_sums_and_others_stay() {
        for (n, k, m, thin) in [(50, 128, 1, true), (50, 128, 2, true), (3, 100, 40, true), (50, 128, 5, false)] {
            for (turn_a, turn_b) in [(false, false), (true, false), (false, true), (true, true)] {
                let g = Graph::new();
                let matrix = |name, rows, cols, turned: bool| match turned {
                    true => g.input(name, [cols, rows]).t(),
                    false => g.input(name, [rows, cols]),
                };
                let y = matrix("a", n, k, turn_a).matmul(matrix("b", k, m, turn_b));
                let (_, ids) = Stages::make(&g, &[y.id()], &Caps::portable(), Sums::Stages);
                assert_eq!(longest(&g, &ids) <= INLINE_TERMS, thin, "{n} x {k} x {m}");
                let count = |len: usize| (0..len).map(|i| ((i * 31) % 17) as f64 - 8.0).collect::<Vec<_>>();
                let feeds = Feeds::new().tensor("a", count(n * k)).tensor("b", count(k * m));
                let got = g.eval_f64(&[y, g.var(ids[0])], &feeds).unwrap();
                assert_eq!(got[0].data, got[1].data);
            }
        }
    }
}
