//! Expressions that are rather stored than computed again.

use super::classify::{Domain, How, flops};
use super::partition::{Body, Cuts, Group, Partitioner};
use crate::graph::{NodeId, Op};
use std::collections::{BTreeSet, HashMap, HashSet};

/// Cost, in flops, above which an expression is rather stored than computed again: a word written and read back costs
/// as much as some forty operations on a GPU, and more on a software adapter.
const RECOMPUTE: f64 = 40.0;
/// The same for an expression that many elements of one kernel share.
const SHARED: f64 = 8.0;

impl Partitioner<'_> {
    /// Expressions worth storing: computed in two kernels, or many times in one.
    pub(super) fn computed_twice(&self, groups: &[Group], cut: &Cuts) -> Cuts {
        let mut more = self.shared_parts(groups, cut);
        if !more.is_empty() {
            return more; // what is made of them is cheaper now
        }
        let mut earlier: HashSet<NodeId> = HashSet::new();
        for group in groups {
            let stop = |id: NodeId| cut.contains_key(&id);
            let (reads, within) = self.group_reads(group, &stop);
            let in_parts = reads.into_keys().filter(|&id| matches!(self.how(id), How::Parts(_)));
            // Who makes parts has not added them up.
            let made =
                |id: &NodeId| matches!(group.body, Body::Parts(made, _) if made == *id && self.stages.are_made());
            let inlined: BTreeSet<_> = within.into_iter().chain(in_parts).filter(|id| !made(id)).collect();
            let times = self.places(group, &inlined);
            // From the results down, so that the largest common expression is found first.
            let mut covered: HashSet<NodeId> = HashSet::new();
            let open = |id: &&NodeId| !cut.contains_key(id) && !self.is_free(**id) && self.passes.of(**id).is_none();
            for &id in inlined.iter().rev().filter(open) {
                if covered.contains(&id) {
                    covered.extend(&self.nodes[id.index()].args);
                    continue;
                }
                let reason = if earlier.contains(&id) && self.cost(id, cut) >= RECOMPUTE {
                    Some("needed by several kernels")
                } else {
                    self.repeated(id, group, (&times, cut))
                };
                if let Some(reason) = reason {
                    more.insert(self.squeezed(id), reason);
                    covered.extend(&self.nodes[id.index()].args);
                }
            }
            earlier.extend(inlined);
        }
        more
    }

    /// Sums of parts that several kernels of a GPU would add up; one does so as it reads them.
    fn shared_parts(&self, groups: &[Group], cut: &Cuts) -> Cuts {
        let (mut found, mut shared) = (HashSet::new(), Cuts::new());
        for group in groups.iter().filter(|_| self.stages.are_made()) {
            let (reads, _) = self.group_reads(group, &|id| cut.contains_key(&id));
            let in_parts =
                reads.into_keys().filter(|id| matches!(self.how(*id), How::Parts(_)) && !cut.contains_key(id));
            shared.extend(in_parts.filter(|id| !found.insert(*id)).map(|id| (id, "needed by several kernels")));
        }
        shared
    }

    /// What a reshape shows that only adds or drops axes of length 1. It is stored instead: its shape is the one of the
    /// kernel that makes it.
    fn squeezed(&self, id: NodeId) -> NodeId {
        let node = &self.nodes[id.index()];
        let long = |id: NodeId| self.nodes[id.index()].shape.iter().copied().filter(|&n| n != 1).collect::<Vec<_>>();
        let same = matches!(node.op, Op::Reshape) && long(id) == long(node.args[0]);
        if same { self.squeezed(node.args[0]) } else { id }
    }

    /// For how many places at most a kernel computes each of these nodes: all of its own, but of a concatenation in branches those
    /// of each part.
    fn places(&self, group: &Group, inlined: &BTreeSet<NodeId>) -> HashMap<NodeId, usize> {
        let all = match (&group.body, &group.domain) {
            (Body::Parts(node, _), _) => self.terms(*node),
            (_, Domain::Elements(shape)) => shape.numel(),
            (_, Domain::Teams(shape, team)) => shape.numel() * team.size,
            (_, Domain::Rows(n)) => *n,
        };
        let mut places: HashMap<NodeId, usize> = group.roots.iter().map(|&root| (root, all)).collect();
        if let Body::Parts(made, _) = group.body {
            places.extend(self.nodes[made.index()].args.iter().map(|&arg| (arg, all)));
        }
        for &id in inlined.iter().rev() {
            let (node, own) = (&self.nodes[id.index()], *places.entry(id).or_insert(all));
            let in_branches = self.stages.are_made() && matches!(node.op, Op::Concat { .. }) && node.shape.len() == 1;
            for &arg in &node.args {
                let part = if in_branches { self.nodes[arg.index()].shape.numel() } else { own };
                let most = places.entry(arg).or_insert(0);
                *most = own.min(part).max(*most);
            }
        }
        places
    }

    /// Whether a kernel would compute it again for many of its elements.
    fn repeated(
        &self,
        id: NodeId,
        group: &Group,
        (places, cut): (&HashMap<NodeId, usize>, &Cuts),
    ) -> Option<&'static str> {
        let own = self.nodes[id.index()].shape.numel();
        let bound = match (&group.body, &group.domain) {
            (Body::Parts(..), _) | (_, Domain::Elements(_) | Domain::Teams(..)) => SHARED,
            // Per row it costs its size; what belongs to the row is computed once anyway.
            (_, Domain::Rows(n)) if self.nodes[id.index()].shape.first() == Some(n) => return None,
            (_, Domain::Rows(_)) => 64.0 / own.max(1) as f64,
        };
        let (cost, times) = (self.cost(id, cut), places.get(&id).map_or(0, |places| places / own.max(1)));
        let often = times >= 4 && cost >= bound;
        // A narrow product goes through all of its other operand for each of its rows.
        let again = matches!(group.body, Body::Parts(..)) && times.saturating_sub(1) as f64 * cost >= RECOMPUTE;
        (often || again).then_some("the same for many elements")
    }

    /// Terms of all results of a reduction.
    fn terms(&self, reduction: NodeId) -> usize {
        let node = &self.nodes[reduction.index()];
        let args = node.args.iter().map(|a| &self.nodes[a.index()].shape);
        match node.op {
            Op::MatMul => node.shape.numel() * self.nodes[node.args[0].index()].shape[1],
            _ => args.map(|shape| shape.numel()).max().unwrap_or(1),
        }
    }

    /// Cost of one element, with everything inlined into it.
    pub fn cost(&self, id: NodeId, cut: &Cuts) -> f64 {
        let mut seen = HashSet::new();
        let mut stack = vec![id];
        let mut total = 0.0;
        while let Some(at) = stack.pop() {
            if !seen.insert(at) || total > 1e6 {
                continue;
            }
            if let How::Parts(parts) = self.how(at) {
                total += 8.0 * parts as f64; // each part is a load
                continue;
            }
            total += flops(self.nodes, at);
            let open = |arg: &&NodeId| !cut.contains_key(arg) && !self.is_input(**arg);
            stack.extend(self.nodes[at.index()].args.iter().filter(open));
        }
        total
    }
}
