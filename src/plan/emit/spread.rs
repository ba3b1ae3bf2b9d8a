//! Wide rows spread over the lanes of a subgroup: which columns a lane holds, and what lanes do together.

use super::sums::Fold;
use super::{Affine, Emitter, Val};
use crate::graph::{Node, NodeId, Op};
use crate::plan::spread::Spread;

/// The columns of a wide row that a lane holds.
pub struct Lanes {
    spread: Spread,
    row: Affine,
    columns: Vec<Column>,
}

/// One column of a lane's: the `c`-th of its quad in each chunk of the row.
#[derive(Clone)]
pub struct Column {
    /// Its index, a column of the row for every lane.
    pub index: Affine,
    /// The condition under which it is the lane's own, as a name; `None` is always. Elsewhere it repeats another lane's.
    pub own: Option<Val>,
}

impl Emitter<'_> {
    /// Spread the wide rows of this kernel, which computes one row a subgroup, over lanes `lane`.
    pub fn spread(&mut self, spread: Spread, row: Affine) {
        let Spread { width, lanes, .. } = spread;
        let lane = self.symbol("lane", lanes, 0);
        let mut columns = vec![];
        for chunk in 0..spread.chunks() {
            let (first, quads) = (chunk * lanes, width.div_ceil(4));
            let quad = match first + lanes <= quads {
                true => lane.offset(first),
                false => self.opaque(format!("min(lane + {first}u, {}u)", quads - 1), quads, &[0]),
            };
            for c in 0..4 {
                let (own_first, last) = (4 * first + c, 4 * (first + lanes - 1) + c);
                let inside = || format!("4u*lane + {own_first}u < {width}u");
                let own = (last >= width).then(|| self.define(&inside(), &[]));
                columns.push(Column { index: quad.times(4).offset(c), own });
            }
        }
        self.lanes = Some(Lanes { spread, row, columns });
    }

    /// The columns of a lane's own, where the last axis of this shape is spread.
    pub fn columns(&self, shape: &[usize]) -> Option<Vec<Column>> {
        self.lanes.as_ref().filter(|lanes| lanes.spread.is_wide(shape)).map(|lanes| lanes.columns.clone())
    }

    /// Whether a reduction over these axes is one over lanes, at an index that is the same for all of them.
    pub(super) fn adds_lanes(&self, from: &[usize], axes: &[usize], idx: &[Affine]) -> bool {
        let Some(lanes) = &self.lanes else { return false };
        let along = lanes.spread.is_wide(from) && !axes.contains(&0) && axes.contains(&(from.len() - 1));
        along && idx.iter().all(|i| i.as_constant().is_some() || *i == lanes.row)
    }

    /// A sum, maximum or product along a wide row: each lane's own terms in a balanced tree, then those of all lanes.
    pub(super) fn over_lanes(&mut self, node: &Node, axes: &[usize], idx: &[Affine]) -> Val {
        let (from, fold) = (self.node(node.args[0]).shape.clone(), Fold::of(&node.op));
        let Some(columns) = self.columns(&from) else { return self.literal(0.0, node.dtype) };
        let others: Vec<_> = axes.iter().copied().filter(|&axis| axis + 1 < from.len()).collect();
        let neutral = fold.neutral(node.dtype);
        let mut terms = vec![];
        for other in 0..others.iter().map(|&axis| from[axis]).product() {
            for column in &columns {
                let x = self.lane_term(node, &others, idx, other, &column.index);
                terms.push(match &column.own {
                    Some(own) => self.define(&format!("select({neutral}, {x}, {own})"), &[own, &x]),
                    None => x,
                });
            }
        }
        let (own, what) = (self.tree(fold, node.dtype, terms), if fold == Fold::Max { "Max" } else { "Add" });
        self.define(&format!("subgroup{what}({own})"), &[&own])
    }

    /// The term of a reduction at this column, and at place `other` of the other axes that are reduced.
    fn lane_term(&mut self, node: &Node, others: &[usize], idx: &[Affine], other: usize, column: &Affine) -> Val {
        let x = node.args[0];
        if node.op == Op::MatMul {
            let x = self.value(x, &[idx[0].clone(), column.clone()]);
            let w = self.value(node.args[1], &[column.clone(), idx[1].clone()]);
            self.count(1.0);
            return self.define(&format!("{x} * {w}"), &[&x, &w]);
        }
        let from = self.node(x).shape.clone();
        let rest = from.len() - 1;
        let mut at = self.reduced_index(&from[..rest], others, idx, &Affine::constant(other));
        at.push(column.clone());
        self.value(x, &at)
    }

    /// A single column of a state that lanes hold, handed to all of them by its owner.
    pub(super) fn of_another_lane(&mut self, node: NodeId, idx: &[Affine]) -> Option<Val> {
        let (lanes, column) = (self.lanes.as_ref()?, idx.last()?.as_constant()?);
        if !self.states.contains(&node) || !lanes.spread.is_wide(&self.nodes[node.index()].shape) {
            return None;
        }
        let (quad, size) = (column / 4, lanes.spread.lanes);
        let mut at = idx.to_vec();
        *at.last_mut()? = lanes.columns.get(4 * (quad / size) + column % 4)?.index.clone();
        let held = self.values.get(&(node, at))?.clone();
        let val = self.define(&format!("subgroupBroadcast({held}, {}u)", quad % size), &[&held]);
        self.values.insert((node, idx.to_vec()), val.clone());
        Some(val)
    }

    /// A lane's own column of a narrow row that is padded to a wide one.
    pub(super) fn padded_column(&mut self, node: &Node, start: &[usize], idx: &[Affine]) -> Option<Val> {
        let (last, from) = (idx.len().checked_sub(1)?, self.node(node.args[0]).shape.clone());
        let place = self.place_of_column(&node.shape, last, &idx[last])?;
        let alone = from[last] < node.shape[last] && from[..last] == node.shape[..last];
        let zero = self.literal(0.0, node.dtype);
        alone.then(|| self.joined_columns(zero, node.args[0], start[last], idx, place))
    }

    /// Which of a lane's columns an index along this axis is.
    pub(super) fn place_of_column(&self, shape: &[usize], axis: usize, idx: &Affine) -> Option<usize> {
        let lanes = self.lanes.as_ref().filter(|lanes| axis + 1 == shape.len() && lanes.spread.is_wide(shape))?;
        lanes.columns.iter().position(|column| column.index == *idx)
    }

    /// `before`, but where one of the few columns of this row, put at `start`, is the lane's own one at this place.
    pub(super) fn joined_columns(
        &mut self,
        before: Val,
        row: NodeId,
        start: usize,
        idx: &[Affine],
        place: usize,
    ) -> Val {
        let Some(size) = self.lanes.as_ref().map(|lanes| lanes.spread.lanes) else { return before };
        let columns = self.node(row).shape.last().copied().unwrap_or(0);
        (0..columns).fold(before, |val, j| {
            let (quad, c) = ((start + j) / 4, (start + j) % 4);
            if 4 * (quad / size) + c != place {
                return val;
            }
            let mut at = idx.to_vec();
            at.last_mut().into_iter().for_each(|last| *last = Affine::constant(j));
            let x = self.value(row, &at);
            self.define(&format!("select({val}, {x}, lane == {}u)", quad % size), &[&val, &x])
        })
    }
}
