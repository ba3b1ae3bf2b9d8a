//! Sums, maxima and products that an invocation makes by itself: a tree where terms are few, else a loop.

use super::{Affine, Emitter, Val};
use crate::graph::{DType, Node, NodeId, Op};

/// Reductions of at most this many terms are written out.
const UNROLL: usize = 64;

/// What two terms of a reduction become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fold {
    Sum,
    Max,
}

impl Fold {
    /// That of this node: products are sums.
    pub fn of(op: &Op) -> Fold {
        if matches!(op, Op::Max { .. }) { Fold::Max } else { Fold::Sum }
    }

    /// What a reduction starts from. Below every number: the lowest finite one, because WGSL has no infinite constants.
    pub fn neutral(self, dtype: DType) -> &'static str {
        match (self, dtype) {
            (Fold::Max, DType::F32) => "bitcast<f32>(0xff7fffffu)",
            (Fold::Sum, DType::F32) => "0.0",
            _ => "0u",
        }
    }

    pub fn combine(self, a: &str, b: &str) -> String {
        match self {
            Fold::Sum => format!("{a} + {b}"),
            Fold::Max => format!("max({a}, {b})"),
        }
    }
}

impl Emitter<'_> {
    /// Combine terms in a balanced tree.
    pub(super) fn tree(&mut self, fold: Fold, dtype: DType, mut terms: Vec<Val>) -> Val {
        while terms.len() > 1 {
            let pairs: Vec<_> = terms.chunks(2).map(<[Val]>::to_vec).collect();
            terms = pairs.iter().map(|pair| self.combined(fold, pair)).collect();
        }
        terms.pop().unwrap_or(Val::new(fold.neutral(dtype), 0))
    }

    fn combined(&mut self, fold: Fold, pair: &[Val]) -> Val {
        match pair {
            [a, b] => {
                self.count(1.0);
                self.define(&fold.combine(&a.text, &b.text), &[a, b])
            }
            _ => pair[0].clone(),
        }
    }

    /// Add up terms.
    pub(super) fn total(&mut self, extent: usize, dtype: DType, term: impl FnMut(&mut Self, Affine) -> Val) -> Val {
        self.reduce(Fold::Sum, extent, dtype, 1, term)
    }

    /// Reduce terms, of which so many that follow each other, 1 or 4, lie side by side in memory: they are one load, and one turn
    /// of a loop.
    fn reduce(
        &mut self,
        fold: Fold,
        extent: usize,
        dtype: DType,
        beside: usize,
        mut term: impl FnMut(&mut Self, Affine) -> Val,
    ) -> Val {
        if extent <= UNROLL {
            let terms = (0..extent).map(|r| term(self, Affine::constant(r))).collect();
            return self.tree(fold, dtype, terms);
        }
        let together = if extent.is_multiple_of(beside) { beside } else { 1 };
        let turn = |e: &mut Self, turn: Affine| {
            let terms = (0..together).map(|lane| term(e, turn.times(together).offset(lane))).collect();
            e.tree(fold, dtype, terms)
        };
        self.fold_loop(fold, extent / together, fold.neutral(dtype), turn)
    }

    /// The index of the argument of a reduction: `idx` on the axes that stay, `r` counting through the others.
    pub(super) fn reduced_index(&mut self, from: &[usize], axes: &[usize], idx: &[Affine], r: &Affine) -> Vec<Affine> {
        let mut rest = r.clone();
        let mut full = vec![Affine::default(); from.len()];
        for &axis in axes.iter().rev() {
            (rest, full[axis]) = self.div_rem(&rest, from[axis]);
        }
        let kept = (0..from.len()).filter(|axis| !axes.contains(axis));
        kept.zip(idx).for_each(|(axis, i)| full[axis] = i.clone());
        full
    }

    /// A sum or a maximum over these axes.
    pub(super) fn over_axes(&mut self, node: &Node, axes: &[usize], idx: &[Affine]) -> Val {
        let arg = node.args[0];
        let from = self.node(arg).shape.clone();
        if self.adds_lanes(&from, axes, idx) {
            return self.over_lanes(node, axes, idx);
        }
        let extent = axes.iter().map(|&a| from[a]).product();
        let along_rows = axes.last().is_some_and(|&axis| axis + 1 == from.len() && from[axis].is_multiple_of(4));
        self.reduce(Fold::of(&node.op), extent, node.dtype, if along_rows { 4 } else { 1 }, |e, r| {
            let at = e.reduced_index(&from, axes, idx, &r);
            e.value(arg, &at)
        })
    }

    /// Term `r` of the sum, maximum or product that a node is.
    pub fn reduction_term(&mut self, node: NodeId, idx: &[Affine], r: &Affine) -> Val {
        let node = self.node(node);
        let arg = node.args[0];
        match &node.op {
            Op::Sum { axes } | Op::Max { axes } => {
                let from = self.node(arg).shape.clone();
                let at = self.reduced_index(&from, axes, idx, r);
                self.value(arg, &at)
            }
            _ => {
                let x = self.value(arg, &[idx[0].clone(), r.clone()]);
                let y = self.value(node.args[1], &[r.clone(), idx[1].clone()]);
                self.count(1.0);
                self.define(&format!("{x} * {y}"), &[&x, &y])
            }
        }
    }

    pub(super) fn dot(&mut self, node: &Node, idx: &[Affine]) -> Val {
        let (a, b) = (node.args[0], node.args[1]);
        let k = self.node(a).shape[1];
        if self.adds_lanes(&[idx[0].extent(&self.syms), k], &[1], idx) {
            return self.over_lanes(node, &[1], idx);
        }
        self.reduce(Fold::Sum, k, DType::F32, 4, |e, r| {
            let x = e.value(a, &[idx[0].clone(), r.clone()]);
            let y = e.value(b, &[r, idx[1].clone()]);
            e.count(1.0);
            e.define(&format!("{x} * {y}"), &[&x, &y])
        })
    }
}
