//! Parts of a long reduction.

use super::sums::Fold;
use super::{Affine, Emitter, Val, XYZW};
use crate::graph::{DType, NodeId};

/// Parts that share a stretch of memory: eight vectors are 128 bytes, whole lines of any cache. More of them would be loads a
/// kilobyte apart on an adapter that runs eight invocations at a time, which nothing fetches ahead.
const STRETCH: usize = 8;

/// How a reduction of `terms` terms is cut: into `parts`, which take turns at groups of `lanes` neighbours, 1 or 4.
#[derive(Clone, Copy, Debug)]
pub struct PartCut {
    pub parts: usize,
    pub terms: usize,
    pub lanes: usize,
    /// The axis along which four results are made together, if they are.
    pub across: Option<usize>,
}

impl Emitter<'_> {
    /// Part `part` of `parts` of a reduction of `terms` terms: every `parts`-th group of `lanes` neighbours. Of the result at `idx`
    /// and the three beside it, if they are made together.
    pub fn part(&mut self, node: NodeId, idx: &[Affine], part: &Affine, cut: PartCut) -> Vec<Val> {
        let PartCut { parts, terms, lanes, across } = cut;
        let (fold, dtype) = (Fold::of(&self.node(node).op), self.node(node).dtype);
        let neutral = match across {
            None => fold.neutral(dtype).to_string(),
            Some(_) => format!("{}({})", vector(dtype), fold.neutral(dtype)),
        };
        let groups = terms / lanes;
        let rounds = groups.div_ceil(parts);
        let (stretch, own) = if lanes > 1 { self.div_rem(part, STRETCH) } else { (Affine::default(), part.clone()) };
        let (first, step) = (stretch.times(rounds * STRETCH).plus(&own), if lanes > 1 { STRETCH } else { parts });
        let term = |e: &mut Self, r: Affine| {
            let at = r.times(step).plus(&first);
            if groups.is_multiple_of(parts) {
                return e.terms(node, idx, &at, cut);
            }
            let (text, levels) = (e.wgsl(&at), at.levels(&e.syms));
            let inside = e.opaque(format!("min({text}, {}u)", groups - 1), groups, &levels);
            let x = e.terms(node, idx, &inside, cut);
            e.define_at(&format!("select({neutral}, {x}, ({text}) < {groups}u)"), &[levels, vec![x.level]].concat())
        };
        let all = self.fold_loop(fold, rounds, &neutral, term);
        match across {
            None => vec![all],
            Some(_) => XYZW.iter().map(|lane| Val::new(format!("{all}.{lane}"), all.level)).collect(),
        }
    }

    /// Group `at` of terms of one result, in a balanced tree; or a vector of those of four.
    fn terms(&mut self, node: NodeId, idx: &[Affine], at: &Affine, cut: PartCut) -> Val {
        let Some(axis) = cut.across else { return self.neighbours(node, idx, at, cut.lanes) };
        self.count(3.0);
        let each = [0, 1, 2, 3].map(|by| self.neighbours(node, &beside(idx, axis, by), at, cut.lanes));
        let names = each.each_ref().map(|val| &*val.text).join(", ");
        self.define(&format!("{}({names})", vector(self.node(node).dtype)), &each.each_ref())
    }

    fn neighbours(&mut self, node: NodeId, idx: &[Affine], group: &Affine, lanes: usize) -> Val {
        let first = group.times(lanes);
        let terms = (0..lanes).map(|lane| self.reduction_term(node, idx, &first.offset(lane))).collect();
        let of = self.node(node);
        self.tree(Fold::of(&of.op), of.dtype, terms)
    }
}

/// Four numbers of this type.
fn vector(dtype: DType) -> &'static str {
    if dtype == DType::F32 { "vec4<f32>" } else { "vec4<u32>" }
}

/// The place `by` places further along this axis.
fn beside(idx: &[Affine], axis: usize, by: usize) -> Vec<Affine> {
    let mut idx = idx.to_vec();
    idx[axis] = idx[axis].offset(by);
    idx
}
