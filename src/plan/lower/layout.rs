//! Where every value lies: which tensors there are, what may be overwritten in place, and the arena.

use super::arena::{Life, place};
use super::{KeyPath, Location, Lowering, Role, TensorDecl, apportion, parts, tridiagonal};
use crate::graph::{DType, NodeId, Op};
use crate::plan::classify::{Access, How};
use crate::plan::partition::Body;

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
                    Some(access) => g < writer || (g == writer && access == Access::Own),
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
        let last = self.groups.len();
        let mut values: Vec<(NodeId, bool, Life)> = vec![];
        self.give_scratch_tensors();
        for (g, group) in self.groups.iter().enumerate() {
            match group.body {
                Body::Parts(id, count) => {
                    let words = count * self.stride(id);
                    values.push((id, true, Life { words, first: g, last: g }));
                }
                Body::Scan(id) => {
                    let words = parts::scan_parts(&self.node(id).shape, &self.node(id).op);
                    values.push((id, true, Life { words, first: g, last: g }));
                }
                Body::Apportion(id) => {
                    let words = apportion::table_words(self.nodes, id);
                    values.push((id, true, Life { words, first: g, last: g }));
                }
                Body::Tridiagonal(id) => {
                    let words = tridiagonal::ratio_words(self.nodes, id);
                    values.push((id, true, Life { words, first: g, last: g }));
                }
                Body::Map | Body::MatMul(_) | Body::Stencils(_) => {}
            }
            for &id in &group.roots {
                if !self.locations.contains_key(&id) {
                    let words = self.node(id).shape.numel().max(1);
                    values.push((id, false, Life { words, first: g, last: g }));
                }
            }
        }
        for g in 0..self.groups.len() {
            for &id in self.needs[g].reads.keys() {
                let in_parts = self.reads_parts(id, g);
                for value in values.iter_mut().filter(|v| v.0 == id && v.1 == in_parts) {
                    value.2.last = value.2.last.max(g);
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
