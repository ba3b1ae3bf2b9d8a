//! Where every value lies: which tensors there are, what may be overwritten in place, and the arena.

use super::arena::{Life, place};
use super::{KeyPath, Location, Lowering, Role, Shadow, TensorDecl, apportion, parts, tridiagonal};
use crate::graph::{DType, NodeId, Op};
use crate::plan::classify::{Access, How};
use crate::plan::partition::Body;
use std::collections::BTreeSet;

impl Lowering<'_> {
    pub(super) fn declare_inputs(&mut self, order: &[NodeId]) {
        for &id in order {
            let node = self.node(id);
            match &node.op {
                Op::Input(name) if node.dtype != DType::Key => {
                    self.locations.insert(id, Location::Tensor(self.tensors.len()));
                    let (shape, dtype) = (node.shape.clone(), node.dtype);
                    self.tensors.push(TensorDecl { name: name.to_string(), shape, dtype, role: Role::Input });
                }
                Op::Random(_) => self.declare_key(node.args[0]),
                _ => {}
            }
        }
    }

    fn declare_key(&mut self, key: NodeId) {
        if self.keys.contains_key(&key) {
            return;
        }
        let (mut at, mut folds) = (key, vec![]);
        let name = loop {
            match &self.node(at).op {
                Op::FoldIn(data) => folds.push(*data),
                Op::Input(name) => break name.to_string(),
                _ => break String::new(),
            }
            at = self.node(at).args[0];
        };
        folds.reverse();
        self.keys.insert(key, self.key_paths.len());
        self.key_paths.push(KeyPath { name, folds });
    }

    pub(super) fn declare_outputs(&mut self, outputs: &[(String, NodeId)]) {
        for (name, id) in outputs {
            let (shape, dtype) = (self.node(*id).shape.clone(), self.node(*id).dtype);
            let bound = self.tensors.iter().position(|t| t.name == *name);
            let to = bound.unwrap_or(self.tensors.len());
            match bound {
                Some(to) => self.tensors[to].role = Role::State,
                None => self.tensors.push(TensorDecl { name: name.clone(), shape, dtype, role: Role::Output }),
            }
            match self.locations.get(id) {
                Some(Location::Tensor(from)) if *from == to => {} // the state does not change
                None if bound.is_none() || self.may_overwrite(to, *id) => {
                    self.locations.insert(*id, Location::Tensor(to));
                }
                _ => self.copies.push((*id, to)),
            }
        }
        self.give_shadows();
    }

    /// Where all that is copied is a next value of its own, gives each a tensor instead of a place in the arena: steps can then
    /// write both in turn.
    fn give_shadows(&mut self) {
        let stored = |id: &NodeId| self.groups.iter().any(|group| group.roots.contains(id));
        let once = |id: &NodeId| self.copies.iter().filter(|(other, _)| other == id).count() == 1;
        let state = |to: usize| self.tensors[to].role == Role::State;
        let own = |(id, to): &(NodeId, usize)| {
            stored(id) && once(id) && state(*to) && !self.locations.contains_key(id) && !self.part.windowed.contains(id)
        };
        // Leaps bind the tensors of single steps, and copy nothing. A kernel binds the next value beside the state, and must have a place for it.
        let bound = |g: usize| self.needs[g].reads.keys().chain(&self.groups[g].roots).collect::<BTreeSet<_>>().len();
        let room = (0..self.groups.len()).all(|g| bound(g) <= self.part.max_tensors);
        if !self.part.passes.list.is_empty() || !room || !self.copies.iter().all(own) {
            return;
        }
        for (id, state) in self.copies.clone() {
            let next = self.tensors.len();
            let TensorDecl { name, shape, dtype, .. } = self.tensors[state].clone();
            self.tensors.push(TensorDecl { name: format!("next {name}"), shape, dtype, role: Role::Scratch });
            self.locations.insert(id, Location::Tensor(next));
            self.shadows.push(Shadow { state, next });
        }
    }

    /// Whether nothing reads the old value of this tensor after (or elsewhere than) the new one is written.
    fn may_overwrite(&self, tensor: usize, root: NodeId) -> bool {
        let is_old = |id: &NodeId| self.locations.get(id) == Some(&Location::Tensor(tensor)) && self.part.is_input(*id);
        let Some(writer) = self.groups.iter().position(|group| group.roots.contains(&root)) else { return false };
        let copied = |(from, _): &(NodeId, usize)| is_old(from);
        !self.copies.iter().any(copied)
            && (0..self.groups.len()).all(|g| {
                let old = self.needs[g].reads.iter().find(|(id, _)| is_old(id)).map(|(_, access)| *access);
                match old {
                    None => true,
                    Some(access) => self.launches[g] < self.launches[writer] || (g == writer && access == Access::Own),
                }
            })
    }

    /// Intermediate values that are read through uniform windows may not lie in the arena, which is bound for writing.
    fn give_scratch_tensors(&mut self) {
        let stored = |id: &NodeId| self.groups.iter().any(|group| group.roots.contains(id));
        for &id in self.part.windowed.iter().filter(|id| stored(id)) {
            if !self.locations.contains_key(&id) {
                let node = self.node(id);
                let (name, shape, dtype) = (format!("scratch {}", id.0), node.shape.clone(), node.dtype);
                self.locations.insert(id, Location::Tensor(self.tensors.len()));
                self.tensors.push(TensorDecl { name, shape, dtype, role: Role::Scratch });
            }
        }
    }

    /// Give every intermediate value its place in the arena.
    pub(super) fn lay_out(&mut self) {
        let last = self.launches.last().map_or(0, |launch| launch + 1);
        let mut values: Vec<(NodeId, bool, Life)> = vec![];
        self.give_scratch_tensors();
        for (group, &launch) in self.groups.iter().zip(self.launches) {
            let life = |words: usize| Life { words, first: launch, last: launch };
            match group.body {
                Body::Parts(id, count) => {
                    let words = count * self.stride(id);
                    values.push((id, true, life(words)));
                }
                Body::Scan(id) => {
                    let words = parts::scan_parts(&self.node(id).shape, &self.node(id).op);
                    values.push((id, true, life(words)));
                }
                Body::Apportion(id) => {
                    let words = apportion::table_words(self.nodes, id, self.part.stages);
                    values.push((id, true, life(words)));
                }
                Body::Tridiagonal(id) => {
                    let words = tridiagonal::share_words(self.nodes, id);
                    values.push((id, true, life(words)));
                }
                Body::Map | Body::MatMul(_) | Body::Stencils(_) => {}
            }
            for &id in &group.roots {
                if !self.locations.contains_key(&id) {
                    let words = self.node(id).shape.numel().max(1);
                    values.push((id, false, life(words)));
                }
            }
        }
        for g in 0..self.groups.len() {
            for &id in self.needs[g].reads.keys() {
                let in_parts = self.reads_parts(id, g);
                for value in values.iter_mut().filter(|v| v.0 == id && v.1 == in_parts) {
                    value.2.last = value.2.last.max(self.launches[g]);
                }
            }
        }
        for (id, _) in &self.copies {
            values.iter_mut().filter(|v| v.0 == *id && !v.1).for_each(|v| v.2.last = last);
        }
        let lives: Vec<_> = values.iter().map(|v| v.2).collect();
        let (starts, words) = place(&lives);
        self.arena_words = words;
        for ((id, in_parts, _), start) in values.into_iter().zip(starts) {
            if in_parts {
                let count = match self.part.how(id) {
                    How::Parts(count) => count,
                    _ => 1,
                };
                self.parts.insert(id, (start, count, self.stride(id)));
            } else {
                self.locations.insert(id, Location::Arena(start));
            }
        }
    }
}
