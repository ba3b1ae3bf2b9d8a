//! Which entries of a flat parameter vector a weight is made of, and how.

use super::transpose::inverse;
use crate::graph::{Binary, Graph, NodeId, Op, Shape, Unary, Var};
use std::collections::HashMap;

/// A weight: entries `start .. start + len` of the vector through some views, times a number.
#[derive(Clone)]
pub(super) struct Block {
    pub(super) start: usize,
    pub(super) len: usize,
    pub(super) scale: f64,
    /// The weight's own shape.
    pub(super) shape: Shape,
    /// From the vector to the weight.
    views: Vec<View>,
}

/// One view, with the shape it starts from.
#[derive(Clone, PartialEq)]
enum View {
    Reshape { from: Shape, to: Shape },
    Permute(Vec<usize>),
}

impl Block {
    /// Whether entries of two blocks correspond one to one, in order.
    pub(super) fn same_layout(&self, other: &Block) -> bool {
        (self.start, self.len) == (other.start, other.len) && self.shape == other.shape && self.views == other.views
    }

    /// The weight of a vector of parameters.
    pub(super) fn push<'g>(&self, v: Var<'g>) -> Var<'g> {
        let mut v = super::linear::slice_of(v, &[self.start], &[self.len].into());
        for view in &self.views {
            v = match view {
                View::Reshape { to, .. } => v.reshape(to),
                View::Permute(perm) => v.permute(perm.clone()),
            };
        }
        v * self.scale
    }

    /// Cotangents of the weight, one a row `[rows, shape ..]`, as cotangents of the entries, `[rows, len]`.
    pub(super) fn pull<'g>(&self, ct: Var<'g>) -> Var<'g> {
        let rows = ct.shape()[0];
        let mut ct = ct * self.scale;
        for view in self.views.iter().rev() {
            ct = match view {
                View::Reshape { from, .. } => ct.reshape([&[rows], &from[..]].concat()),
                View::Permute(perm) => {
                    let back = inverse(perm).iter().map(|p| p + 1).collect::<Vec<_>>();
                    ct.permute([&[0], &back[..]].concat())
                }
            };
        }
        ct
    }
}

/// The tangents on a path that are nothing but views of the parameters' tangent.
pub(super) struct Chains {
    blocks: HashMap<NodeId, Block>,
}

impl Chains {
    /// `nodes` are ascending and hold `vector [P]`.
    pub(super) fn of<'g>(g: &'g Graph, nodes: &[NodeId], vector: Var<'g>) -> Self {
        let shape = vector.shape();
        let whole = Block { start: 0, len: shape[0], scale: 1.0, shape, views: vec![] };
        let mut blocks = HashMap::from([(vector.id(), whole)]);
        for &id in nodes {
            if let Some(block) = next(g, id, &blocks) {
                blocks.insert(id, block);
            }
        }
        Chains { blocks }
    }

    /// What this node reads, if it is such a view.
    pub(super) fn block(&self, id: NodeId) -> Option<&Block> {
        self.blocks.get(&id)
    }
}

fn next(g: &Graph, id: NodeId, blocks: &HashMap<NodeId, Block>) -> Option<Block> {
    let node = g.node(id);
    let (k, from) = node.args.iter().enumerate().find_map(|(k, a)| Some((k, blocks.get(a)?)))?;
    let factor = |i: usize| g.constant_value(node.args[i]);
    let mut block = from.clone();
    match &node.op {
        Op::Slice(start) if from.views.is_empty() => {
            (block.start, block.len) = (from.start + start[0], node.shape[0]);
        }
        Op::Reshape => block.views.push(View::Reshape { from: from.shape.clone(), to: node.shape.clone() }),
        Op::Permute(perm) => block.views.push(View::Permute(perm.clone())),
        Op::Unary(Unary::Neg) => block.scale = -block.scale,
        Op::Binary(Binary::Mul) => block.scale *= factor(1 - k)?,
        Op::Binary(Binary::Div) if k == 0 => block.scale /= factor(1)?,
        _ => return None,
    }
    block.shape = node.shape.clone();
    Some(block)
}
