//! From groups of nodes to dispatches: where every value lies, and the text of every kernel.

mod arena;
mod kernel;
mod map;
mod parts;
mod tiled;

pub use kernel::{Slot, offset_bytes, session_bytes};
pub(super) use tiled::spec;

use super::classify::{Access, How, how};
use super::emit::{Base, Emitter, Source, Val, offset_name};
use super::partition::{Body, Group, Partition, Partitioner};
use crate::error::{Error, Result};
use crate::gpu::{Caps, KernelSource, grid};
use crate::graph::{DType, Node, NodeId, Op, Shape};
use arena::Life;
use kernel::{Frame, GROUP, entry};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::rc::Rc;

/// A tensor that a session binds or makes.
#[derive(Clone, Debug)]
pub struct TensorDecl {
    /// Its name as an input or output.
    pub name: String,
    /// Axis lengths.
    pub shape: Shape,
    /// Element type.
    pub dtype: DType,
    /// What the plan does with it.
    pub role: Role,
}

/// What a plan does with a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Reads it.
    Input,
    /// Reads it, and leaves the next value in it.
    State,
    /// Writes it.
    Output,
    /// Keeps an intermediate value in it.
    Scratch,
}

/// A random key that kernels use: a bound key, and what was folded into it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPath {
    /// Name of the bound key.
    pub name: String,
    /// What is folded in, in order.
    pub folds: Vec<u32>,
}

/// One kernel launch. Plain data: nothing here belongs to a device.
#[derive(Clone, Debug)]
pub struct Dispatch {
    /// The kernel's text and bindings.
    pub source: KernelSource,
    /// What each binding is bound to.
    pub slots: Vec<Slot>,
    /// Where its values lie, in vectors of four words, and the slots of its keys. They differ between dispatches that
    /// share a pipeline.
    pub offsets: Vec<u32>,
    /// Workgroups.
    pub grid: [u32; 3],
    /// Whether the kernel itself loops over the steps of a run.
    pub looped: bool,
    /// Floating-point operations, about.
    pub flops: f64,
    /// Bytes read and written at least: each tensor and intermediate once.
    pub bytes: u64,
    /// What it computes, for a reader.
    pub what: String,
}

/// Everything that [`Plan`](super::Plan) is made of.
pub struct Lowered {
    /// In order of execution.
    pub dispatches: Vec<Dispatch>,
    /// Bound and output tensors.
    pub tensors: Vec<TensorDecl>,
    /// Keys, by slot.
    pub keys: Vec<KeyPath>,
    /// Words of the arena.
    pub arena_words: usize,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Location {
    Tensor(usize),
    Arena(usize),
}

/// Uniform windows of one kernel. Devices have 12 uniform bindings at least; three are taken, and B may need one.
const MAX_WINDOWS: usize = 8;

struct Lowering<'a> {
    nodes: &'a [Rc<Node>],
    part: &'a Partitioner<'a>,
    groups: &'a [Group],
    caps: &'a Caps,
    tensors: Vec<TensorDecl>,
    locations: HashMap<NodeId, Location>,
    /// First word, number and distance of the parts of a reduction.
    parts: HashMap<NodeId, (usize, usize, usize)>,
    /// Copies after the last kernel, from a node to a tensor.
    copies: Vec<(NodeId, usize)>,
    keys: HashMap<NodeId, usize>,
    key_paths: Vec<KeyPath>,
    arena_words: usize,
}

pub(super) fn lower(
    part: &Partitioner<'_>,
    partition: &Partition,
    outputs: &[(String, NodeId)],
    caps: &Caps,
) -> Result<Lowered> {
    let mut lowering = Lowering {
        nodes: part.nodes,
        part,
        groups: &partition.groups,
        caps,
        tensors: vec![],
        locations: HashMap::new(),
        parts: HashMap::new(),
        copies: vec![],
        keys: HashMap::new(),
        key_paths: vec![],
        arena_words: 0,
    };
    lowering.declare_inputs(part.order);
    lowering.declare_outputs(outputs);
    lowering.lay_out();
    let dispatches = lowering.dispatches()?;
    let Lowering { tensors, key_paths: keys, arena_words, .. } = lowering;
    Ok(Lowered { dispatches, tensors, keys, arena_words })
}

impl<'a> Lowering<'a> {
    fn node(&self, id: NodeId) -> &'a Node {
        &self.nodes[id.index()]
    }

    fn declare_inputs(&mut self, order: &[NodeId]) {
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

    fn declare_outputs(&mut self, outputs: &[(String, NodeId)]) {
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
            && self.groups.iter().enumerate().all(|(g, group)| {
                let reads = self.reads(g, group);
                let old = reads.iter().find(|(id, _)| is_old(id)).map(|(_, access)| *access);
                match old {
                    None => true,
                    Some(access) => g < writer || (g == writer && access == Access::Own),
                }
            })
    }

    /// What a group reads from memory.
    fn reads(&self, g: usize, group: &Group) -> BTreeMap<NodeId, Access> {
        self.reads_and_inlined(g, group).0
    }

    fn reads_and_inlined(&self, g: usize, group: &Group) -> (BTreeMap<NodeId, Access>, HashSet<NodeId>) {
        let others = || self.groups.iter().enumerate().filter(|(h, _)| *h != g);
        let elsewhere = |id: NodeId| others().any(|(_, other)| other.roots.contains(&id));
        self.part.group_reads(group, &elsewhere)
    }

    /// Intermediate values that are read through uniform windows may not lie in the arena, which is bound for writing.
    fn give_scratch_tensors(&mut self) {
        for group in self.groups {
            let Body::MatMul(id) = group.body else { continue };
            let Some(window) = tiled::window(self.nodes, self.node(id).args[1], self.caps) else { continue };
            if !self.locations.contains_key(&window.root) {
                let node = self.node(window.root);
                let (name, shape, dtype) = (format!("scratch {}", window.root.0), node.shape.clone(), node.dtype);
                self.locations.insert(window.root, Location::Tensor(self.tensors.len()));
                self.tensors.push(TensorDecl { name, shape, dtype, role: Role::Scratch });
            }
        }
    }

    /// Give every intermediate value its place in the arena.
    fn lay_out(&mut self) {
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
                Body::Map | Body::MatMul(_) => {}
            }
            for &id in &group.roots {
                if !self.locations.contains_key(&id) {
                    let words = self.node(id).shape.numel().max(1);
                    values.push((id, false, Life { words, first: g, last: g }));
                }
            }
        }
        for (g, group) in self.groups.iter().enumerate() {
            for id in self.reads(g, group).into_keys() {
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
        let (starts, words) = arena::place(&lives);
        self.arena_words = words;
        for ((id, in_parts, _), start) in values.into_iter().zip(starts) {
            if in_parts {
                let count = match how(self.nodes, id) {
                    How::Parts(count) => count,
                    How::MatMul => (self.part.split_k)(id),
                    _ => 1,
                };
                self.parts.insert(id, (start, count, self.stride(id)));
            } else {
                self.locations.insert(id, Location::Arena(start));
            }
        }
    }

    /// Words from one part of a reduction to the next.
    fn stride(&self, id: NodeId) -> usize {
        self.node(id).shape.numel().next_multiple_of(4).max(4)
    }

    /// Whether group `g` finds this node in parts that it has to add.
    fn reads_parts(&self, id: NodeId, g: usize) -> bool {
        let made = |body: &Body| matches!(body, Body::Parts(node, _) if *node == id);
        let stored_before = self.groups[..g].iter().any(|group| group.roots.contains(&id));
        self.groups.iter().any(|group| made(&group.body)) && !stored_before
    }

    fn dispatches(&mut self) -> Result<Vec<Dispatch>> {
        let mut all = vec![];
        for (g, group) in self.groups.iter().enumerate() {
            match group.body {
                Body::Map => all.extend(self.map(g, group)?),
                Body::MatMul(id) => all.extend(self.matmul(g, group, id, 1)?),
                Body::Parts(id, parts) if how(self.nodes, id) == How::MatMul => {
                    all.extend(self.matmul(g, group, id, parts)?);
                }
                Body::Parts(id, parts) => all.extend(self.parts(g, group, id, parts)?),
                Body::Scan(id) => all.extend(self.scan(g, group, id)?),
            }
        }
        for (id, to) in &self.copies {
            all.extend(self.copy(*id, *to)?);
        }
        Ok(all)
    }

    /// The slots of a kernel's keys, entered into its table of offsets.
    fn frame(&self, g: usize, group: &Group) -> (Frame, HashMap<NodeId, usize>) {
        let mut frame = Frame::default();
        let mut keys = HashMap::new();
        let inlined: BTreeSet<_> = self.reads_and_inlined(g, group).1.into_iter().collect();
        for id in inlined {
            let node = self.node(id);
            if let (Op::Random(_), Some(&slot)) = (&node.op, node.args.first().and_then(|key| self.keys.get(key))) {
                let entry = *keys.entry(node.args[0]).or_insert(frame.offsets.len());
                if entry == frame.offsets.len() {
                    frame.offsets.push(slot as u32);
                }
            }
        }
        (frame, keys)
    }

    /// Where a kernel finds everything that it reads, bound in its frame.
    fn sources(&self, g: usize, group: &Group) -> (Frame, Sources) {
        let (mut frame, keys) = self.frame(g, group);
        let mut sources = HashMap::new();
        for id in self.reads(g, group).into_keys() {
            let frame = &mut frame;
            if self.reads_parts(id, g) {
                let Some(&(base, count, stride)) = self.parts.get(&id) else { continue };
                let max = matches!(self.node(id).op, Op::Max { .. });
                let (binding, base) = (frame.arena(), frame.base(base));
                sources.insert(id, Source::Parts { binding, base, count, stride, max });
            } else if let Some((binding, base)) = self.place_of(frame, id, false) {
                sources.insert(id, Source::Words { binding, base });
            }
        }
        if self.caps.is_software() {
            self.add_windows(&mut frame, &mut sources, g, group);
        }
        (frame, Sources { nodes: sources, keys })
    }

    /// Read what is small, and what is a slice of a parameter vector, through uniform windows.
    fn add_windows(&self, frame: &mut Frame, sources: &mut HashMap<NodeId, Source>, g: usize, group: &Group) {
        let (reads, inlined) = self.reads_and_inlined(g, group);
        let written =
            |index: usize| group.roots.iter().any(|root| self.locations.get(root) == Some(&Location::Tensor(index)));
        let candidates: BTreeSet<_> = reads.into_keys().chain(inlined).collect();
        for id in candidates.into_iter().filter(|id| !group.roots.contains(id)) {
            let node = self.node(id);
            let (root, start) = match &node.op {
                Op::Slice(at) if at.len() == 1 => (node.args[0], at[0]),
                _ => (id, 0),
            };
            let words = node.shape.numel().next_multiple_of(4);
            let Some(&Location::Tensor(index)) = self.locations.get(&root) else { continue };
            let inside = start + words <= self.tensors[index].shape.numel().next_multiple_of(4).max(4);
            let starts = start % tiled::WINDOW.0 == 0 && (4..=tiled::WINDOW.1).contains(&words);
            if inside && starts && !written(index) && frame.windows() < MAX_WINDOWS {
                let binding = frame.window(index, start, words);
                sources.insert(id, Source::Words { binding, base: None });
            }
        }
    }

    /// Binding and first word of a stored node.
    fn place_of(&self, frame: &mut Frame, id: NodeId, write: bool) -> Option<(usize, Base)> {
        Some(match *self.locations.get(&id)? {
            Location::Tensor(index) => (frame.tensor(index, write), None),
            Location::Arena(base) => (frame.arena(), frame.base(base)),
        })
    }

    fn emitter<'s>(&'s self, sources: &'s Sources, step_level: usize) -> Emitter<'s> {
        Emitter::new(self.nodes, &sources.nodes, &sources.keys, Val::new("step", step_level))
    }

    /// Statements that raise the fault word if one of these results is not finite, for those that the user sees.
    fn guard(&self, frame: &mut Frame, out: &mut Emitter<'_>, level: usize, stored: &[(NodeId, Vec<Val>)]) {
        let seen = |id: &NodeId| match self.locations.get(id) {
            Some(Location::Tensor(index)) => self.tensors[*index].role != Role::Scratch,
            _ => false,
        };
        let visible = stored.iter().filter(|(id, _)| seen(id) && self.node(*id).dtype == DType::F32);
        let tests: Vec<_> = visible.flat_map(|(_, vals)| vals).map(|v| format!("is_finite_bits({v})")).collect();
        if !tests.is_empty() {
            frame.fault();
            let text = format!("if (!({})) {{ atomicOr(&fault, 1u); }}", tests.join(" && "));
            out.statement(level, &text, &[]);
        }
    }

    fn finish(&self, frame: &Frame, name: &str, text: &str, count: usize, about: About) -> Result<Dispatch> {
        let source = frame.source(name, text, self.key_paths.len(), GROUP)?;
        let grid = grid(count as u64, GROUP, &self.caps.limits)?;
        self.dispatch(frame, source, grid, about)
    }

    fn dispatch(&self, frame: &Frame, source: KernelSource, grid: [u32; 3], about: About) -> Result<Dispatch> {
        let (needed, limit) = (frame.storage_bindings() as u64, u64::from(self.caps.storage_bindings()));
        if needed > limit {
            let what = format!("kernel `{}` storage bindings", source.name);
            let hint = "put several inputs into one tensor and slice it in the graph".into();
            return Err(Error::LimitExceeded { what, needed, limit, hint });
        }
        let About { looped, flops, bytes, what } = about;
        let (slots, offsets) = (frame.slots(), frame.offsets.clone());
        Ok(Dispatch { source, slots, offsets, grid, looped, flops, bytes, what })
    }

    /// Bytes of everything that a group reads and stores, each once.
    fn bytes(&self, g: usize, group: &Group) -> u64 {
        let words = |id: &NodeId| match self.parts.get(id) {
            Some((_, count, stride)) if self.reads_parts(*id, g) => count * stride,
            _ => self.node(*id).shape.numel(),
        };
        let reads: usize = self.reads(g, group).keys().map(words).sum();
        let writes: usize = group.roots.iter().map(|id| self.node(*id).shape.numel()).sum();
        (reads + writes) as u64 * DType::BYTES
    }

    fn copy(&self, id: NodeId, to: usize) -> Result<Option<Dispatch>> {
        let mut frame = Frame::default();
        let Some((from, base)) = self.place_of(&mut frame, id, false) else { return Ok(None) };
        let into = frame.tensor(to, true);
        let words = self.node(id).shape.numel();
        let count = words.div_ceil(4);
        if count == 0 {
            return Ok(None);
        }
        let first = base.map_or("0u".into(), offset_name);
        let body = format!("    buf{into}[place] = buf{from}[place + {first}];\n");
        let what = format!("copy node {} into `{}`", id.0, self.tensors[to].name);
        let about = About { looped: false, flops: 0.0, bytes: 8 * words as u64, what };
        self.finish(&frame, "copy", &entry(count, &body), count, about).map(Some)
    }
}

/// Where a kernel finds stored nodes, and which entry of its offsets holds the slot of each key.
struct Sources {
    nodes: HashMap<NodeId, Source>,
    keys: HashMap<NodeId, usize>,
}

/// What a report says about a dispatch.
struct About {
    looped: bool,
    flops: f64,
    bytes: u64,
    what: String,
}
