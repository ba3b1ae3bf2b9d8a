//! Kernels that would bind more tensors than a device allows: what is stored so that each of them needs few enough.
//!
//! Intermediate values lie in one arena, so a part of an expression that reads several tensors becomes, once stored, one binding
//! that every kernel has anyway.

use super::classify::Domain;
use super::partition::{Body, Cuts, Group, Partitioner};
use crate::graph::NodeId;
use std::collections::{BTreeSet, HashSet};

impl Partitioner<'_> {
    /// For each kernel that binds too much for one of its results, a part of that result to be stored; the largest that fits.
    pub(super) fn too_many_tensors(&self, groups: &[Group], cut: &Cuts) -> Cuts {
        let mut more = Cuts::new();
        for group in groups.iter().filter(|group| group.body == Body::Map) {
            for &root in &group.roots {
                let (tensors, inlined) = self.bound_for(root, &group.domain, cut);
                if tensors.len() > self.max_tensors {
                    let part = self.largest_part(root, &inlined, &group.domain, cut);
                    more.extend(part.map(|id| (id, "its kernel cannot bind all that it would need")));
                }
            }
        }
        more
    }

    /// Tensors that a kernel binds to compute this node, and what it computes on the way.
    fn bound_for(&self, root: NodeId, domain: &Domain, cut: &Cuts) -> (BTreeSet<NodeId>, HashSet<NodeId>) {
        let (reads, inlined) = self.reads(root, domain, &|id| cut.contains_key(&id));
        let bound = |id: &NodeId| self.is_input(*id) || self.outputs.contains(id) || self.windowed.contains(id);
        let all = reads.into_keys().chain([root]).filter(bound);
        (all.map(|id| self.states.get(&id).copied().unwrap_or(id)).collect(), inlined)
    }

    /// Of what is computed on the way to a node, the part that binds the most tensors while it can be a kernel itself.
    fn largest_part(&self, root: NodeId, inlined: &HashSet<NodeId>, domain: &Domain, cut: &Cuts) -> Option<NodeId> {
        let open = |id: &&NodeId| **id != root && !cut.contains_key(id) && !self.is_free(**id);
        let sized = inlined.iter().filter(open).map(|&id| (self.bound_for(id, domain, cut).0.len(), id));
        sized.filter(|(size, _)| (2..=self.max_tensors).contains(size)).max().map(|(_, id)| id)
    }
}
