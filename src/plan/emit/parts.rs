//! Parts of a long reduction.

use super::ops::neutral;
use super::{Affine, Emitter, Val};
use crate::graph::{NodeId, Op};

/// Parts that share a stretch of memory: eight vectors are 128 bytes, whole lines of any cache. More of them would be loads a
/// kilobyte apart on an adapter that runs eight invocations at a time, which nothing fetches ahead.
const STRETCH: usize = 8;

/// How a reduction of `terms` terms is cut: into `parts`, which take turns at groups of `lanes` neighbours, 1 or 4.
#[derive(Clone, Copy, Debug)]
pub struct PartCut {
    pub parts: usize,
    pub terms: usize,
    pub lanes: usize,
}

impl Emitter<'_> {
    /// Part `part` of `parts` of a reduction of `terms` terms: every `parts`-th group of `lanes` neighbours.
    pub fn part(&mut self, node: NodeId, idx: &[Affine], part: &Affine, cut: PartCut) -> Val {
        let PartCut { parts, terms, lanes } = cut;
        let max = matches!(self.node(node).op, Op::Max { .. });
        let neutral = neutral(self.node(node).dtype, max);
        let combine = move |a: &str, b: &str| if max { format!("max({a}, {b})") } else { format!("{a} + {b}") };
        let groups = terms / lanes;
        let rounds = groups.div_ceil(parts);
        let (stretch, own) = if lanes > 1 { self.div_rem(part, STRETCH) } else { (Affine::default(), part.clone()) };
        let (first, step) = (stretch.times(rounds * STRETCH).plus(&own), if lanes > 1 { STRETCH } else { parts });
        let term = |e: &mut Self, r: Affine| {
            let at = r.times(step).plus(&first);
            if groups.is_multiple_of(parts) {
                return e.neighbours(node, idx, &at, lanes, combine);
            }
            let (text, levels) = (e.wgsl(&at), at.levels(&e.syms));
            let inside = e.opaque(format!("min({text}, {}u)", groups - 1), groups, &levels);
            let x = e.neighbours(node, idx, &inside, lanes, combine);
            e.define_at(&format!("select({neutral}, {x}, ({text}) < {groups}u)"), &[levels, vec![x.level]].concat())
        };
        self.fold_loop(rounds, neutral, term, combine)
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
        let mut terms: Vec<_> = (0..lanes).map(|lane| self.reduction_term(node, idx, &first.offset(lane))).collect();
        while terms.len() > 1 {
            self.count(terms.len() as f64 / 2.0);
            let pairs: Vec<_> = terms.chunks(2).map(<[Val]>::to_vec).collect();
            terms = pairs.iter().map(|p| self.define(&combine(&p[0].text, &p[1].text), &[&p[0], &p[1]])).collect();
        }
        terms.swap_remove(0)
    }
}
