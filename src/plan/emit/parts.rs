//! Parts of a long reduction.

use super::ops::neutral;
use super::{Affine, Emitter, Val, XYZW};
use crate::graph::{DType, NodeId, Op};

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
        let max = matches!(self.node(node).op, Op::Max { .. });
        let mut neutral = neutral(self.node(node).dtype, max).to_string();
        let ty = if self.node(node).dtype == DType::F32 { "f32" } else { "u32" };
        if across.is_some() {
            neutral = format!("vec4<{ty}>({neutral})");
        }
        let combine = move |a: &str, b: &str| if max { format!("max({a}, {b})") } else { format!("{a} + {b}") };
        let groups = terms / lanes;
        let rounds = groups.div_ceil(parts);
        let (stretch, own) = if lanes > 1 { self.div_rem(part, STRETCH) } else { (Affine::default(), part.clone()) };
        let (first, step) = (stretch.times(rounds * STRETCH).plus(&own), if lanes > 1 { STRETCH } else { parts });
        let terms = |e: &mut Self, at: &Affine| {
            let Some(axis) = across else { return e.neighbours(node, idx, at, lanes, combine) };
            e.count(3.0);
            let beside = (0..4).map(|by| beside(idx, axis, by));
            let each: Vec<_> = beside.map(|idx| e.neighbours(node, &idx, at, lanes, combine)).collect();
            let names: Vec<_> = each.iter().map(|val| &*val.text).collect();
            e.define(&format!("vec4<{ty}>({})", names.join(", ")), &each.iter().collect::<Vec<_>>())
        };
        let term = |e: &mut Self, r: Affine| {
            let at = r.times(step).plus(&first);
            if groups.is_multiple_of(parts) {
                return terms(e, &at);
            }
            let (text, levels) = (e.wgsl(&at), at.levels(&e.syms));
            let inside = e.opaque(format!("min({text}, {}u)", groups - 1), groups, &levels);
            let x = terms(e, &inside);
            e.define_at(&format!("select({neutral}, {x}, ({text}) < {groups}u)"), &[levels, vec![x.level]].concat())
        };
        let all = self.fold_loop(rounds, &neutral, term, combine);
        match across {
            None => vec![all],
            Some(_) => XYZW.iter().map(|lane| Val::new(format!("{all}.{lane}"), all.level)).collect(),
        }
    }

    /// `lanes` terms one after the other, in a balanced tree.
    fn neighbours(
        &mut self,
        node: NodeId,
        idx: &[Affine],
        group: &Affine,
        lanes: usize,
        combine: impl Fn(&str, &str) -> String,
    ) -> Val {
        let first = group.times(lanes);
        let terms = (0..lanes).map(|lane| self.reduction_term(node, idx, &first.offset(lane))).collect();
        self.tree(terms, combine)
    }
}

/// The place `by` places further along this axis.
fn beside(idx: &[Affine], axis: usize, by: usize) -> Vec<Affine> {
    let mut idx = idx.to_vec();
    idx[axis] = idx[axis].offset(by);
    idx
}
