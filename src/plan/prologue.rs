//! First operands that a tiled product computes while it reads them.
//!
//! A resident tile reads each element of its first operand once. An operand that is made of smaller values, spread over it, then
//! need not pass through memory: the tile reads the smaller values. What a whole matrix in memory would be needed for gains
//! nothing by that, because the kernel that makes the matrix can finish it.

use super::classify::{flops, is_elementwise};
use super::partition::{Cuts, Partitioner};
use crate::graph::{NodeId, Op};
use std::collections::BTreeSet;

/// Most values that an operand may be made of: each takes a binding beside the second operand's and the result's.
const VALUES: usize = 3;
/// Most flops an element. The loads of a tile are unrolled, so its text has the expression in it a hundred times.
const FLOPS: f64 = 12.0;

impl Partitioner<'_> {
    /// What must be stored for this product to compute its first operand itself; `None` if it should not.
    pub fn prologue(&self, product: NodeId, cut: &Cuts) -> Option<BTreeSet<NodeId>> {
        let operand = self.nodes[product.index()].args[0];
        if !self.tiles.is_resident(product) || self.products.contains(product) {
            return None;
        }
        let whole = self.nodes[operand.index()].shape.numel();
        let is_small = |id: NodeId| self.nodes[id.index()].shape.numel().saturating_mul(4) <= whole;
        let (mut inside, mut values) = (BTreeSet::new(), BTreeSet::new());
        let mut stack = vec![operand];
        while let Some(id) = stack.pop() {
            let node = &self.nodes[id.index()];
            match &node.op {
                _ if inside.contains(&id) => {}
                _ if self.is_free(id) => drop(values.insert(self.behind_views(id, cut))),
                _ if cut.contains_key(&id) || self.outputs.contains(&id) => {
                    is_small(id).then(|| values.insert(id))?;
                }
                Op::Broadcast => {
                    let value = self.behind_views(node.args[0], cut);
                    let stored = cut.contains_key(&value) || self.is_free(value);
                    (is_small(node.args[0]) && (stored || is_small(value))).then(|| values.insert(value))?;
                    inside.insert(id);
                }
                Op::Reshape | Op::Permute(_) | Op::Slice(_) | Op::StopGrad => {
                    inside.insert(id);
                    stack.push(node.args[0]);
                }
                op if is_elementwise(op) => {
                    inside.insert(id);
                    stack.extend(&node.args);
                }
                _ => return None,
            }
        }
        let cost: f64 = inside.iter().map(|&id| flops(self.nodes, id)).sum();
        let values: BTreeSet<_> = values.into_iter().filter(|&id| !self.is_constant(id)).collect();
        let fits = (1.0..=FLOPS).contains(&cost) && values.len() <= VALUES && self.is_used_by(&inside, product);
        fits.then(|| values.into_iter().filter(|&id| !self.is_free(id)).collect())
    }

    fn is_constant(&self, id: NodeId) -> bool {
        self.is_free(id) && !self.is_input(id)
    }

    /// What a chain of views shows; any other node itself.
    fn behind_views(&self, mut id: NodeId, cut: &Cuts) -> NodeId {
        let is_view =
            |op: &Op| matches!(op, Op::Broadcast | Op::Reshape | Op::Permute(_) | Op::Slice(_) | Op::StopGrad);
        while !cut.contains_key(&id) && is_view(&self.nodes[id.index()].op) {
            id = self.nodes[id.index()].args[0];
        }
        id
    }

    /// Whether only these nodes and this product need any of these nodes.
    fn is_used_by(&self, inside: &BTreeSet<NodeId>, product: NodeId) -> bool {
        let outside = self.order.iter().filter(|id| **id != product && !inside.contains(id));
        let mut needed = outside.flat_map(|id| &self.nodes[id.index()].args);
        !needed.any(|arg| inside.contains(arg))
            && !self.nodes[product.index()].args[1..].iter().any(|b| inside.contains(b))
    }
}
