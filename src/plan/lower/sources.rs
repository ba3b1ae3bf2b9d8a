//! What a kernel reads, and through which bindings.

use super::kernel::Frame;
use super::{Location, Lowering, MAX_WINDOWS, Needs, Sources, tiled};
use crate::graph::{NodeId, Op};
use crate::plan::emit::{Base, Fold, Source};
use crate::plan::partition::{Body, Group};
use std::collections::{BTreeSet, HashMap};

impl Lowering<'_> {
    /// The slots of a kernel's keys, entered into its table of offsets.
    fn key_slots(&self, frame: &mut Frame, g: usize) -> HashMap<NodeId, usize> {
        let mut keys = HashMap::new();
        for &id in &self.needs[g].inlined {
            let node = self.node(id);
            if let (Op::Random(_), Some(&slot)) = (&node.op, node.args.first().and_then(|key| self.keys.get(key))) {
                let entry = *keys.entry(node.args[0]).or_insert(frame.offsets.len());
                if entry == frame.offsets.len() {
                    frame.offsets.push(slot as u32);
                }
            }
        }
        keys
    }

    /// Where a kernel finds everything that it reads, bound in its frame.
    pub(super) fn sources(&self, g: usize, group: &Group) -> (Frame, Sources) {
        let mut frame = Frame::new(self.caps);
        let mut sources = self.sources_in(&mut frame, g);
        if self.caps.is_software() {
            self.add_windows(&mut frame, &mut sources.nodes, g, group);
        }
        (frame, sources)
    }

    /// The same in a frame that several kernels share, without windows: another of them may write what one would see through it.
    pub(super) fn sources_in(&self, frame: &mut Frame, g: usize) -> Sources {
        let keys = self.key_slots(frame, g);
        let mut sources = HashMap::new();
        for &id in self.needs[g].reads.keys() {
            if self.reads_parts(id, g) {
                let Some(&(base, count, stride)) = self.parts.get(&id) else { continue };
                let fold = Fold::of(&self.node(id).op);
                let (binding, base) = (frame.arena(), frame.base(base));
                sources.insert(id, Source::Parts { binding, base, count, stride, fold });
            } else if let Some((binding, base)) = self.place_of(frame, id, false) {
                sources.insert(id, Source::Words { binding, base });
            }
        }
        Sources { nodes: sources, keys }
    }

    /// Read what is small, and what is a slice of a parameter vector, through uniform windows.
    fn add_windows(&self, frame: &mut Frame, sources: &mut HashMap<NodeId, Source>, g: usize, group: &Group) {
        let Needs { reads, inlined } = &self.needs[g];
        let straight = !matches!(group.body, Body::MatMul(_));
        let written =
            |index: usize| group.roots.iter().any(|root| self.locations.get(root) == Some(&Location::Tensor(index)));
        let candidates: BTreeSet<_> = reads.keys().chain(inlined).copied().collect();
        for id in candidates.into_iter().filter(|id| !group.roots.contains(id)) {
            let node = self.node(id);
            let (root, start) = match &node.op {
                Op::Slice(at) if at.len() == 1 => (node.args[0], at[0]),
                _ => (id, 0),
            };
            let words = node.shape.numel().next_multiple_of(4);
            let Some(&Location::Tensor(index)) = self.locations.get(&root) else { continue };
            let inside = start + words <= self.tensors[index].shape.numel().next_multiple_of(4).max(4);
            if let Some(span) = tiled::Span::around(start, words)
                && inside
                && !written(index)
                && frame.windows() < MAX_WINDOWS
            {
                sources.insert(id, frame.window(index, span, straight));
            }
        }
    }

    /// Binding and first word of a stored node.
    pub(super) fn place_of(&self, frame: &mut Frame, id: NodeId, write: bool) -> Option<(usize, Base)> {
        Some(match *self.locations.get(&id)? {
            Location::Tensor(index) => (frame.tensor(index, write), None),
            Location::Arena(base) => (frame.arena(), frame.base(base)),
        })
    }
}
