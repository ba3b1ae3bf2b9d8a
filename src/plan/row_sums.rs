//! Sums along the rows of a tiled product, made while its columns pass by.
//!
//! A resident tile holds whole rows of its first operand and meets all columns of the second, so the sum over a row of any
//! element-wise function of the product is complete when the tile is. Where nothing else needs the product, one number a row
//! is stored instead of all its columns. `sum of J * W'`, the trace of a network's Jacobian, is such a sum.

use super::classify::{How, flops, how, is_elementwise};
use super::lower::Tiles;
use super::products::RowProducts;
use super::stencils::{Passes, Search};
use crate::graph::{DType, NodeId, Op, Shape};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Most rows of a product that one result may be the sum of: whoever reads it adds them up.
const PARTS: usize = 64;
/// Most words of a table: what a uniform binding holds.
const TABLE: usize = 64 * 1024 / 4;
/// Most flops an element, as in the epilogue of such a tile.
const FLOPS: f64 = 64.0;

/// A sum along the rows of a product.
#[derive(Clone, Copy, Debug)]
pub(super) struct RowSum {
    /// The product, which is not stored.
    pub product: NodeId,
    /// Rows that one result is the sum of.
    pub parts: usize,
}

/// The sums that are made in this way.
#[derive(Default)]
pub(super) struct RowSums {
    sums: BTreeMap<NodeId, RowSum>,
    /// Small matrices of which each row of a tile reads a row of its own, in a sum or in a first operand. They are laid out by
    /// rows and read through uniform windows, a vector at a time.
    pub tables: BTreeSet<NodeId>,
}

impl RowSums {
    pub fn choose(search: &Search<'_>, products: &RowProducts, passes: &Passes, tiles: &Tiles) -> Self {
        let mut users: HashMap<NodeId, Vec<NodeId>> = HashMap::new();
        for &id in search.order {
            search.nodes[id.index()].args.iter().for_each(|&arg| users.entry(arg).or_default().push(id));
        }
        let find = Find { search, products, passes, tiles, users };
        let mut all = RowSums::default();
        for &id in search.order {
            if let Some(sum) = find.sum(id) {
                all.sums.insert(id, sum);
                find.tables(search.nodes[id.index()].args[0], &mut all.tables);
            }
            if find.is_product(id) && !products.contains(id) {
                find.tables(search.nodes[id.index()].args[0], &mut all.tables);
            }
        }
        all
    }

    /// The product along whose rows this node is the sum.
    pub fn get(&self, sum: NodeId) -> Option<RowSum> {
        self.sums.get(&sum).copied()
    }

    /// Whether this product is made for a sum only.
    pub fn contains(&self, product: NodeId) -> bool {
        self.sums.values().any(|sum| sum.product == product)
    }
}

struct Find<'a> {
    search: &'a Search<'a>,
    products: &'a RowProducts,
    passes: &'a Passes,
    tiles: &'a Tiles,
    users: HashMap<NodeId, Vec<NodeId>>,
}

impl Find<'_> {
    fn sum(&self, id: NodeId) -> Option<RowSum> {
        let nodes = self.search.nodes;
        let node = &nodes[id.index()];
        let Op::Sum { axes } = &node.op else { return None };
        let of = &nodes[node.args[0].index()].shape;
        let last = of.len().checked_sub(1)?;
        let parts = axes.iter().filter(|&&axis| axis != last).map(|&axis| of[axis]).product();
        let fits = axes.contains(&last) && (1..=PARTS).contains(&parts) && node.dtype == DType::F32;
        if !fits || self.products.is_sum_of_row(id) {
            return None;
        }
        // What the argument is computed from without leaving a kernel, and what that kernel would bind.
        let (inlined, bound) = self.expression(node.args[0]);
        let dear: f64 = inlined.iter().filter(|id| !self.is_product(**id)).map(|&id| self.flops(id, of)).sum();
        let product = inlined.iter().rev().copied().find(|&p| self.is_product(p) && self.ends_in(p, id, of))?;
        let held = inlined.iter().any(|&id| self.products.contains(id) || self.passes.of(id).is_some());
        let fits = dear <= FLOPS && bound <= self.search.max_tensors && !held;
        fits.then_some(RowSum { product, parts })
    }

    fn is_product(&self, id: NodeId) -> bool {
        how(self.search.nodes, id) == How::MatMul && self.tiles.is_resident(id)
    }

    /// Flops an element; what many elements share is stored before.
    fn flops(&self, id: NodeId, of: &Shape) -> f64 {
        let shared = self.search.nodes[id.index()].shape.numel().saturating_mul(4) <= of.numel();
        if shared { 0.0 } else { flops(self.search.nodes, id) }
    }

    /// Nodes that an expression needs down to the nearest stored ones, tiled products among them, and how many of those it is
    /// to bind at most: its own, and the operands of the products.
    fn expression(&self, root: NodeId) -> (BTreeSet<NodeId>, usize) {
        let nodes = self.search.nodes;
        let (mut inlined, mut bound) = (BTreeSet::new(), BTreeSet::new());
        let mut stack = vec![root];
        while let Some(id) = stack.pop() {
            let node = &nodes[id.index()];
            match how(nodes, id) {
                _ if self.search.outputs.contains(&id) => drop(bound.insert(id)),
                _ if self.products.contains(id) => drop(inlined.insert(id)),
                How::Input => drop(bound.insert(id)),
                How::Inline if inlined.insert(id) => stack.extend(&node.args),
                How::Inline => {}
                How::MatMul if self.is_product(id) => {
                    inlined.insert(id);
                    bound.extend(&node.args);
                }
                _ => drop(bound.insert(id)),
            }
        }
        (inlined, bound.len())
    }

    /// Collect what is spread over the rows of an expression.
    fn tables(&self, root: NodeId, tables: &mut BTreeSet<NodeId>) {
        let nodes = self.search.nodes;
        let whole = nodes[root.index()].shape.numel();
        let (mut stack, mut seen) = (vec![root], BTreeSet::new());
        while let Some(id) = stack.pop() {
            let node = &nodes[id.index()];
            match &node.op {
                _ if !seen.insert(id) => {}
                Op::Broadcast => tables.extend(self.table(node.args[0], whole)),
                Op::Reshape => stack.push(node.args[0]),
                op if is_elementwise(op) => stack.extend(&node.args),
                _ => {}
            }
        }
    }

    /// The matrix to store; `None` for what is too large, for a vector, and for what lies in memory by rows already.
    fn table(&self, mut id: NodeId, whole: usize) -> Option<NodeId> {
        let node = |id: NodeId| &self.search.nodes[id.index()];
        while matches!(node(id).op, Op::Reshape) {
            id = node(id).args[0];
        }
        let shape = &node(id).shape;
        let (words, long) = (shape.numel(), shape.iter().filter(|&&n| n > 1).count());
        let fits = words.is_multiple_of(4) && words <= TABLE && words.saturating_mul(16) <= whole && long >= 2;
        let mut behind = id;
        let mut turned = false;
        while let Op::Permute(_) | Op::Slice(_) | Op::Reshape | Op::StopGrad = node(behind).op {
            turned |= matches!(node(behind).op, Op::Permute(_));
            behind = node(behind).args[0];
        }
        let wanted = match node(behind).op {
            Op::Input(_) => turned,
            Op::Const(_) | Op::Iota { .. } | Op::Step | Op::Broadcast => false,
            _ => true,
        };
        (fits && wanted && node(id).dtype == DType::F32).then_some(id)
    }

    /// Whether all that needs this product is the sum, element by element.
    fn ends_in(&self, product: NodeId, sum: NodeId, of: &Shape) -> bool {
        let nodes = self.search.nodes;
        let matrix = &nodes[product.index()].shape;
        let is_either = |shape: &Shape| shape == matrix || shape == of;
        if matrix.numel() != of.numel() || matrix.last() != of.last() {
            return false;
        }
        let (mut stack, mut seen) = (vec![product], BTreeSet::new());
        while let Some(id) = stack.pop() {
            if id == sum || !seen.insert(id) {
                continue;
            }
            let node = &nodes[id.index()];
            let keeps = id == product || matches!(node.op, Op::Reshape) || is_elementwise(&node.op);
            if !keeps || !is_either(&node.shape) || self.search.outputs.contains(&id) {
                return false;
            }
            stack.extend(self.users.get(&id).into_iter().flatten());
        }
        true
    }
}
