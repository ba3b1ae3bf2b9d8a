//! What the levels of a pass hold.

use super::positions::Positions;
use super::{Level, Search, reach_of};
use crate::graph::{NodeId, Op};
use crate::plan::classify::is_elementwise;
use std::collections::BTreeSet;

/// Follows what a pass computes back to what it reads.
pub struct Trace<'a> {
    pub search: &'a Search<'a>,
    pub members: &'a [NodeId],
    pub all: &'a Positions<'a>,
    pub plane: bool,
}

impl Trace<'_> {
    fn is_member(&self, id: NodeId) -> bool {
        self.members.binary_search(&id).is_ok()
    }

    fn level(&self, id: NodeId) -> usize {
        if self.is_member(id) { self.all.at[&id].1 } else { 0 }
    }

    /// Whether an earlier pass has computed it.
    fn is_stored(&self, id: NodeId) -> bool {
        self.all.members.contains(&id) && !self.is_member(id)
    }

    pub fn levels(&self, roots: &[NodeId]) -> Vec<Level> {
        let arguments = self.members.iter().map(|&id| self.search.node(id));
        let arguments = arguments.filter(|node| matches!(node.op, Op::Stencil { .. })).map(|node| node.args[0]);
        let stops: BTreeSet<NodeId> = arguments.chain(roots.iter().copied()).collect();
        let top = roots.iter().map(|&id| self.level(id)).max().unwrap_or(0);
        let mut levels = vec![Level::default(); top + 1];
        levels[top].held = roots.iter().copied().collect();
        for k in (0..=top).rev() {
            let (made, handed): (BTreeSet<_>, BTreeSet<_>) =
                levels[k].held.iter().copied().partition(|&id| self.level(id) == k);
            levels[k].made = made.clone();
            let mut below = handed;
            if k > 0 {
                made.iter().for_each(|&id| self.follow(k, id, &stops, &mut levels[k], &mut below));
                levels[k - 1].held = below;
            }
        }
        levels
    }

    /// What computing this value at level `k` needs of the level below.
    fn follow(&self, k: usize, id: NodeId, stops: &BTreeSet<NodeId>, level: &mut Level, below: &mut BTreeSet<NodeId>) {
        let (mut stack, mut seen) = (vec![id], BTreeSet::new());
        while let Some(at) = stack.pop() {
            if !seen.insert(at) {
                continue;
            }
            let node = self.search.node(at);
            if stops.contains(&at) && self.level(at) < k {
                below.insert(at);
            } else if self.is_member(at) && matches!(node.op, Op::Stencil { .. }) {
                level.stencils.insert(at);
                let [y, x] = reach_of(node);
                let [along, across] = if self.plane { [y, x] } else { [x, 0] };
                level.reach = [level.reach[0].max(along), level.reach[1].max(across)];
                below.insert(node.args[0]);
            } else if is_elementwise(&node.op) && !self.is_stored(at) {
                let asks = |&&arg: &&NodeId| !self.is_member(arg) && is_elementwise(&self.search.node(arg).op);
                level.outside.extend(node.args.iter().filter(asks).filter(|_| self.is_member(at)));
                stack.extend(&node.args);
            } else {
                let scalar = matches!(node.op, Op::Broadcast) && self.search.node(node.args[0]).shape.is_empty();
                level.placed |= !(scalar || matches!(node.op, Op::Const(_)) || node.shape.is_empty());
            }
        }
    }

    /// Tensors that a kernel binds to compute and store these, at most.
    pub fn tensors(&self, roots: &[NodeId]) -> usize {
        let (mut stack, mut seen, mut bound) = (roots.to_vec(), BTreeSet::new(), BTreeSet::new());
        while let Some(at) = stack.pop() {
            if !seen.insert(at) {
                continue;
            }
            let node = self.search.node(at);
            match &node.op {
                Op::Input(_) => drop(bound.insert(at)),
                // The results of other passes lie in the arena, unless the user wants them.
                _ if self.is_stored(at) => bound.extend(self.search.outputs.contains(&at).then_some(at)),
                _ => stack.extend(&node.args),
            }
        }
        let stored = roots.iter().filter(|id| self.search.outputs.contains(id));
        bound.extend(stored.map(|id| self.search.states.get(id).copied().unwrap_or(*id)));
        bound.len()
    }
}
