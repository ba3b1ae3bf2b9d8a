//! From groups of nodes to dispatches: where every value lies, and the text of every kernel.

mod apportion;
mod arena;
mod kernel;
mod layout;
mod map;
mod parts;
mod places;
mod row_sums;
mod rows;
mod shared;
mod sources;
mod spread;
mod stream;
mod team;
mod tiled;
mod tridiagonal;

pub(super) use kernel::GROUP;
pub use kernel::{Slot, offset_bytes, session_bytes};
pub(super) use map::{lanes, places};
pub(super) use tiled::{Tiles, window, windowed};

use super::choices::{Choices, Form, Knob, kernel_name};
use super::classify::{Access, Domain, How, LOOPS, how};
use super::emit::{Emitter, Source, Val, offset_name};
use super::partition::{Body, Group, Partition, Partitioner};
use crate::error::{Error, Result};
use crate::gpu::{Caps, KernelSource, grid};
use crate::graph::{DType, Node, NodeId, Shape};
use kernel::{Frame, entry};
use std::collections::{BTreeMap, BTreeSet, HashMap};
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
    /// Most steps of one launch, of a kernel that itself loops over the steps of a run.
    pub looped: Option<u32>,
    /// Floating-point operations, about.
    pub flops: f64,
    /// Bytes read and written at least: each tensor and intermediate once.
    pub bytes: u64,
    /// What it computes, for a reader.
    pub what: String,
    /// What else could compute it.
    pub knob: Option<Knob>,
}

/// Everything that [`Plan`](super::Plan) is made of.
pub(super) struct Lowered {
    /// In order of execution.
    pub dispatches: Vec<Dispatch>,
    /// Bound and output tensors.
    pub tensors: Vec<TensorDecl>,
    /// Keys, by slot.
    pub keys: Vec<KeyPath>,
    /// Words of the arena.
    pub arena_words: usize,
    /// Where the next values of states lie, if all that is copied are such.
    pub shadows: Vec<Shadow>,
}

/// A state whose next value is copied into it, and where that lies. A step that reads the one and writes the other may be
/// followed by one that does the opposite, and nothing is copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shadow {
    /// Index of the state among the tensors.
    pub state: usize,
    /// Index of its next value.
    pub next: usize,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Location {
    Tensor(usize),
    Arena(usize),
}

/// The number of the step, in kernels that compute one.
const STEP: &str = "    let step = session.base_step + ring.offset;\n";

/// Name of the kernels that copy next values into states.
pub(super) const COPY: &str = "copy";

/// Uniform windows of one kernel. Devices have 12 uniform bindings at least; three are taken, and B may need one.
const MAX_WINDOWS: usize = 8;

struct Lowering<'a> {
    nodes: &'a [Rc<Node>],
    part: &'a Partitioner<'a>,
    groups: &'a [Group],
    /// The launch of each group, ascending.
    launches: &'a [usize],
    /// What each group reads from memory, and what it computes on the way.
    needs: Vec<Needs>,
    caps: &'a Caps,
    choices: &'a Choices<'a>,
    tensors: Vec<TensorDecl>,
    locations: HashMap<NodeId, Location>,
    /// First word, number and distance of the parts of a reduction.
    parts: HashMap<NodeId, (usize, usize, usize)>,
    /// Copies after the last kernel, from a node to a tensor.
    copies: Vec<(NodeId, usize)>,
    /// Where the next values of states lie that are copied.
    shadows: Vec<Shadow>,
    keys: HashMap<NodeId, usize>,
    key_paths: Vec<KeyPath>,
    arena_words: usize,
}

/// What a group reads from memory, and what it computes on the way.
pub(super) struct Needs {
    pub reads: BTreeMap<NodeId, Access>,
    pub inlined: BTreeSet<NodeId>,
}

/// Of each group.
pub(super) fn needs(part: &Partitioner<'_>, groups: &[Group]) -> Vec<Needs> {
    let stored = |(g, group): (usize, &Group)| group.roots.iter().map(move |&root| (root, g)).collect::<Vec<_>>();
    let home: HashMap<NodeId, usize> = groups.iter().enumerate().flat_map(stored).collect();
    let of = |(g, group): (usize, &Group)| {
        let elsewhere = |id: NodeId| home.get(&id).is_some_and(|&h| h != g);
        let (reads, inlined) = part.group_reads(group, &elsewhere);
        Needs { reads, inlined: inlined.into_iter().collect() }
    };
    groups.iter().enumerate().map(of).collect()
}

pub(super) fn lower(
    part: &Partitioner<'_>,
    partition: &Partition,
    outputs: &[(String, NodeId)],
    choices: &Choices<'_>,
) -> Result<Lowered> {
    let mut lowering = Lowering {
        nodes: part.nodes,
        part,
        groups: &partition.groups,
        launches: &partition.launches,
        needs: needs(part, &partition.groups),
        caps: choices.caps(),
        choices,
        tensors: vec![],
        locations: HashMap::new(),
        parts: HashMap::new(),
        copies: vec![],
        shadows: vec![],
        keys: HashMap::new(),
        key_paths: vec![],
        arena_words: 0,
    };
    lowering.declare_inputs(part.order);
    lowering.declare_outputs(outputs);
    lowering.lay_out();
    let dispatches = lowering.dispatches()?;
    let Lowering { tensors, key_paths: keys, arena_words, shadows, .. } = lowering;
    Ok(Lowered { dispatches, tensors, keys, arena_words, shadows })
}

impl<'a> Lowering<'a> {
    fn node(&self, id: NodeId) -> &'a Node {
        &self.nodes[id.index()]
    }

    /// Words from one part of a reduction to the next.
    fn stride(&self, id: NodeId) -> usize {
        self.node(id).shape.numel().next_multiple_of(4).max(4)
    }

    /// Whether group `g` finds this node in parts that it has to add.
    fn reads_parts(&self, id: NodeId, g: usize) -> bool {
        let made = |body: &Body| matches!(body, Body::Parts(node, _) if *node == id);
        let stored_before = self.groups[..self.together(g).start].iter().any(|group| group.roots.contains(&id));
        self.groups.iter().any(|group| made(&group.body)) && !stored_before
    }

    fn dispatches(&mut self) -> Result<Vec<Dispatch>> {
        let mut all = vec![];
        for (g, group) in self.groups.iter().enumerate() {
            let together = self.together(g);
            let in_teams =
                matches!(group.domain, Domain::Teams(..)) && places(&group.domain) > 0 && !group.roots.is_empty();
            if together.len() > 1 || in_teams {
                if together.start == g {
                    all.push(self.shared(together)?);
                }
                continue;
            }
            match group.body {
                Body::Map => all.extend(self.in_form(&|form| self.map(g, group, form))?),
                Body::MatMul(id) => all.extend(self.matmul(g, group, id, 1)?),
                Body::Parts(id, parts) if how(self.nodes, id) == How::MatMul => {
                    all.extend(self.matmul(g, group, id, parts)?);
                }
                Body::Parts(id, parts) => match self.part.row_sums.get(id) {
                    Some(sum) => all.extend(self.row_sum(g, group, id, sum)?),
                    None => all.extend(self.parts(g, group, id, parts)?),
                },
                Body::Scan(id) => all.extend(self.scan(g, group, id)?),
                Body::Stencils(pass) => all.push(self.stream(g, group, &self.part.passes.list[pass])?),
                Body::Apportion(id) => all.extend(self.apportion(g, group, id)?),
                Body::Tridiagonal(id) => all.extend(self.tridiagonal(g, group, id)?),
            }
        }
        for (id, to) in &self.copies {
            all.extend(self.copy(*id, *to)?);
        }
        Ok(all)
    }

    fn emitter<'s>(&'s self, sources: &'s Sources, step_level: usize) -> Emitter<'s> {
        let emitter = Emitter::new(self.nodes, &sources.nodes, &sources.keys, Val::new("step", step_level));
        emitter.with_branches(self.part.stages.are_made())
    }

    /// Statements that raise the fault word if one of these results is not finite, for those that the user sees.
    fn guard(&self, frame: &mut Frame, out: &mut Emitter<'_>, level: usize, stored: &[(NodeId, Vec<Val>)]) {
        let seen = |id: &NodeId| match self.locations.get(id) {
            Some(Location::Tensor(index)) => {
                self.tensors[*index].role != Role::Scratch || self.shadows.iter().any(|shadow| shadow.next == *index)
            }
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

    /// A generated kernel in the form that is chosen for it, which is known by its text in the plain form.
    fn in_form(&self, make: &dyn Fn(Form) -> Result<Option<Dispatch>>) -> Result<Option<Dispatch>> {
        let plain = Form::plain(self.caps);
        let Some(first) = make(plain)? else { return Ok(None) };
        let source = &first.source;
        // Rows that hold networks have a form of their own.
        let free = source.workgroup_size == plain.group;
        let mut forms = plain.candidates(self.caps, first.looped.is_some(), source.wgsl.contains("philox4x32("));
        forms.retain(|form| free || (form.rows, form.group) == (plain.rows, plain.group));
        let names = forms.iter().map(|form| form.name()).collect();
        let knob = self.choices.knob(kernel_name(&source.name, &source.wgsl), names);
        let chosen = if knob.taken == 0 { None } else { make(forms[knob.taken])? };
        Ok(Some(Dispatch { knob: Some(knob), ..chosen.unwrap_or(first) }))
    }

    fn finish(&self, frame: &Frame, name: &str, text: &str, count: usize, about: About) -> Result<Dispatch> {
        self.finish_in(frame, name, text, count, GROUP, about)
    }

    /// [`finish`](Self::finish) with groups of this size.
    fn finish_in(
        &self,
        frame: &Frame,
        name: &str,
        text: &str,
        count: usize,
        group: u32,
        about: About,
    ) -> Result<Dispatch> {
        let source = frame.source(name, text, self.key_paths.len(), group)?;
        let grid = grid(count as u64, group, &self.caps.limits)?;
        self.dispatch(frame, source, grid, about)
    }

    /// A software adapter may end loops early, and says nothing: what would run longer is refused.
    fn within_turns(&self, turns: f64, what: &str) -> Result<()> {
        if !self.caps.is_software() || turns <= LOOPS as f64 {
            return Ok(());
        }
        let (what, needed, limit) = (format!("turns of loops an invocation, for {what},"), turns as u64, LOOPS as u64);
        let hint = "make an output of what is inside the longest sum, in a plan before this one".into();
        Err(Error::LimitExceeded { what, needed, limit, hint })
    }

    fn dispatch(&self, frame: &Frame, source: KernelSource, grid: [u32; 3], about: About) -> Result<Dispatch> {
        let (needed, limit) = (frame.storage_bindings() as u64, u64::from(self.caps.storage_bindings()));
        if needed > limit {
            let what = format!("kernel `{}` storage bindings, for {}", source.name, about.what);
            let hint = "put several inputs into one tensor and slice it in the graph".into();
            return Err(Error::LimitExceeded { what, needed, limit, hint });
        }
        let About { looped, flops, bytes, what } = about;
        let (slots, offsets) = (frame.slots(), frame.offsets.clone());
        Ok(Dispatch { source, slots, offsets, grid, looped, flops, bytes, what, knob: None })
    }

    /// Bytes of everything that a group reads and stores, each once.
    fn bytes(&self, g: usize, group: &Group) -> u64 {
        let words = |id: &NodeId| match self.parts.get(id) {
            Some((_, count, stride)) if self.reads_parts(*id, g) => count * stride,
            _ => self.node(*id).shape.numel(),
        };
        let reads: usize = self.needs[g].reads.keys().map(words).sum();
        let writes: usize = group.roots.iter().map(|id| self.node(*id).shape.numel()).sum();
        (reads + writes) as u64 * DType::BYTES
    }

    fn copy(&self, id: NodeId, to: usize) -> Result<Option<Dispatch>> {
        let mut frame = Frame::new(self.caps);
        let Some((from, base)) = self.place_of(&mut frame, id, false) else { return Ok(None) };
        let into = frame.tensor(to, true);
        let words = self.node(id).shape.numel();
        let count = words.div_ceil(4);
        if count == 0 {
            return Ok(None);
        }
        let first = base.map_or("0u".into(), offset_name);
        let body = format!("    store_buf{into}(place, load_buf{from}(place + {first}));\n");
        let what = format!("copy node {} into `{}`", id.0, self.tensors[to].name);
        let about = About { looped: None, flops: 0.0, bytes: 8 * words as u64, what };
        self.finish(&frame, COPY, &entry(count, GROUP, &body), count, about).map(Some)
    }
}

/// Where a kernel finds stored nodes, and which entry of its offsets holds the slot of each key.
struct Sources {
    nodes: HashMap<NodeId, Source>,
    keys: HashMap<NodeId, usize>,
}

/// What a report says about a dispatch.
struct About {
    looped: Option<u32>,
    flops: f64,
    bytes: u64,
    what: String,
}
