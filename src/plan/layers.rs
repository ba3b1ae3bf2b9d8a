//! The layers of a network that one kernel holds: which nodes are arrays of an invocation's own, and which loops fill them.
//!
//! A *stage* is a loop over the quads of columns of one width at one depth, where depth counts the loops that must have
//! ended before. Products have arrays, and so have wide operands of products, wide results, and dear expressions that two
//! stages need; sums along a wide row are added up in the loop that computes their terms. Everything else is written out
//! where it is needed.

use super::classify::{flops, is_elementwise};
use super::products::{NARROW, RowProducts};
use crate::graph::{Node, NodeId, Op};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;

/// The nodes of a kernel that are computed in loops, and these loops.
#[derive(Clone, Debug, Default)]
pub(super) struct Layers {
    /// In an order in which they can run.
    pub stages: Vec<Stage>,
    /// The stage of each node that has an array or is a sum along a row.
    pub stage_of: HashMap<NodeId, usize>,
}

/// One loop.
#[derive(Clone, Debug, Default)]
pub(super) struct Stage {
    /// Columns.
    pub width: usize,
    /// Nodes with arrays, in order of evaluation.
    pub arrays: Vec<NodeId>,
    /// Those of them that something outside the loop reads.
    pub kept: BTreeSet<NodeId>,
    /// Sums of the columns.
    pub sums: Vec<NodeId>,
}

/// An element that costs less, in flops, is computed again rather than kept in an array.
const DEAR: f64 = 15.0;

impl Layers {
    /// The layers of a kernel that computes `inlined` to store `roots`.
    pub fn new(nodes: &[Rc<Node>], products: &RowProducts, inlined: &BTreeSet<NodeId>, roots: &[NodeId]) -> Self {
        let plan = Planner { nodes, products, inlined, depth: depths(nodes, products, inlined) };
        let mut arrays = plan.arrays(roots);
        let mut layers = plan.layers(&arrays);
        arrays.extend(plan.shared(&layers));
        layers = plan.layers(&arrays);
        for &id in layers.stage_of.clone().keys().chain(roots) {
            layers.keep_what_it_reads(nodes, inlined, id);
        }
        roots.iter().for_each(|&root| layers.keep(root));
        layers
    }

    fn keep(&mut self, id: NodeId) {
        if let Some(&stage) = self.stage_of.get(&id)
            && self.stages[stage].arrays.contains(&id)
        {
            self.stages[stage].kept.insert(id);
        }
    }

    /// Arrays that a node reaches through nodes without one, if another loop than its own fills them.
    fn keep_what_it_reads(&mut self, nodes: &[Rc<Node>], inlined: &BTreeSet<NodeId>, id: NodeId) {
        let own = self.stage_of.get(&id).copied();
        let (mut stack, mut seen) = (nodes[id.index()].args.to_vec(), BTreeSet::new());
        while let Some(at) = stack.pop() {
            if !inlined.contains(&at) || !seen.insert(at) {
                continue;
            }
            match self.stage_of.get(&at) {
                Some(stage) if Some(*stage) == own => {}
                Some(_) => self.keep(at),
                None => stack.extend(&nodes[at.index()].args),
            }
        }
    }
}

struct Planner<'a> {
    nodes: &'a [Rc<Node>],
    products: &'a RowProducts,
    inlined: &'a BTreeSet<NodeId>,
    /// Loops that must have ended before a node's elements can be computed in one of their own.
    depth: HashMap<NodeId, usize>,
}

impl Planner<'_> {
    /// Products, and what they or the user need of wide nodes.
    fn arrays(&self, roots: &[NodeId]) -> BTreeSet<NodeId> {
        let products = || self.inlined.iter().copied().filter(|&id| self.products.contains(id));
        let operands = products().map(|id| self.nodes[id.index()].args[0]);
        let wide = operands.chain(roots.iter().copied()).filter(|&id| is_wide(self.nodes, id));
        products().chain(wide).filter(|id| self.inlined.contains(id)).collect()
    }

    /// The loops for these arrays, and the sums that are added up in them.
    fn layers(&self, arrays: &BTreeSet<NodeId>) -> Layers {
        let mut stages: BTreeMap<(usize, usize), Stage> = BTreeMap::new();
        let mut keys: Vec<(NodeId, (usize, usize))> = vec![];
        let sums = self.inlined.iter().filter_map(|&id| Some((id, summed(self.nodes, id)?, true)));
        for (id, of, is_sum) in arrays.iter().map(|&id| (id, id, false)).chain(sums) {
            let key = (self.depth.get(&of).copied().unwrap_or(0), self.nodes[of.index()].shape[1]);
            let stage = stages.entry(key).or_default();
            stage.width = key.1;
            if is_sum {
                stage.sums.push(id)
            } else {
                stage.arrays.push(id)
            }
            keys.push((id, key));
        }
        let place: HashMap<_, _> = stages.keys().enumerate().map(|(s, key)| (*key, s)).collect();
        let stage_of = keys.into_iter().map(|(id, key)| (id, place[&key])).collect();
        Layers { stages: stages.into_values().collect(), stage_of }
    }

    /// Dear wide nodes without an array that more than one loop would compute.
    fn shared(&self, layers: &Layers) -> Vec<NodeId> {
        let mut asked: BTreeMap<NodeId, BTreeSet<usize>> = BTreeMap::new();
        for (&id, &stage) in &layers.stage_of {
            let (mut stack, mut seen) = (self.nodes[id.index()].args.to_vec(), BTreeSet::new());
            while let Some(at) = stack.pop() {
                if self.inlined.contains(&at) && !layers.stage_of.contains_key(&at) && seen.insert(at) {
                    asked.entry(at).or_default().insert(stage);
                    stack.extend(&self.nodes[at.index()].args);
                }
            }
        }
        let dear = |id: &NodeId| is_wide(self.nodes, *id) && flops(self.nodes, *id) >= DEAR;
        asked.into_iter().filter(|(id, stages)| stages.len() > 1 && dear(id)).map(|(id, _)| id).collect()
    }
}

/// Whether a row of it is an array rather than scalars.
pub(super) fn is_wide(nodes: &[Rc<Node>], id: NodeId) -> bool {
    let shape = &nodes[id.index()].shape;
    shape.len() == 2 && shape[1] > NARROW && shape[1].is_multiple_of(4)
}

/// The wide node whose columns this one is a sum of, or a product with a few columns of weights.
pub(super) fn summed(nodes: &[Rc<Node>], id: NodeId) -> Option<NodeId> {
    let node = &nodes[id.index()];
    let along_row = match &node.op {
        Op::Sum { axes } => axes[..] == [1],
        Op::MatMul => node.shape[1] <= 4,
        _ => false,
    };
    (along_row && is_wide(nodes, node.args[0])).then(|| node.args[0])
}

fn depths(nodes: &[Rc<Node>], products: &RowProducts, inlined: &BTreeSet<NodeId>) -> HashMap<NodeId, usize> {
    let mut depth: HashMap<NodeId, usize> = HashMap::new();
    for &id in inlined {
        let node = &nodes[id.index()];
        let below = node.args.iter().filter_map(|arg| depth.get(arg)).copied().max().unwrap_or(0);
        // A sum or a shifted view asks for elements that the loop of its argument has not come to yet.
        let own_place = is_elementwise(&node.op) || matches!(node.op, Op::Broadcast);
        let of_arrays = below > 0 || node.args.iter().any(|&arg| is_wide(nodes, arg));
        let waits = products.contains(id) || (!own_place && of_arrays);
        depth.insert(id, below + usize::from(waits));
    }
    depth
}
