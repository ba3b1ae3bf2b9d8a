//! Kernels of straight-line code: one invocation a row, or one for every four elements.

use super::kernel::{Frame, GROUP, entry};
use super::shared::Member;
use super::{About, Dispatch, Lowering, STEP, Sources, team};
use crate::error::Result;
use crate::graph::{NodeId, Op, Shape};
use crate::plan::choices::Form;
use crate::plan::classify::{Domain, How};
use crate::plan::emit::{Affine, Emitter, Val, flatten};
use crate::plan::partition::Group;

/// Fewest rows that are taken four at a time: fewer are better spread over a device one by one.
pub(super) const FLAT: usize = 1 << 14;
/// The same on a software adapter, where four groups are enough to keep its cores busy.
const FLAT_ON_CORES: usize = 1 << 10;

impl Lowering<'_> {
    pub(super) fn map(&self, g: usize, group: &Group, form: Form) -> Result<Option<Dispatch>> {
        if places(&group.domain) == 0 || group.roots.is_empty() {
            return Ok(None);
        }
        let shape = match self.domain(g, group) {
            Domain::Elements(shape) => shape,
            Domain::Rows(n) => return self.rows(g, group, n, form).map(Some),
            Domain::Teams(..) => return Ok(None), // see `shared`
        };
        let (mut frame, sources) = self.sources(g, group);
        frame.wide_multiply = form.wide_multiply;
        let Member { text, count, flops, .. } = self.places(&mut frame, &sources, group, &shape)?;
        let about = About { looped: None, flops, bytes: self.bytes(g, group), what: self.what(group) };
        self.finish_in(&frame, "map", &entry(count, form.group, &text), count, form.group, about).map(Some)
    }

    /// One of several kernels of a launch.
    pub(super) fn member(&self, frame: &mut Frame, g: usize, group: &Group) -> Result<Member> {
        let sources = self.sources_in(frame, g);
        match self.domain(g, group) {
            Domain::Elements(shape) => self.places(frame, &sources, group, &shape),
            Domain::Rows(n) => self.plain_rows(frame, &sources, group, n),
            Domain::Teams(shape, team) => self.team(frame, &sources, group, &shape, team),
        }
    }

    /// Code for each place of this shape, four neighbours at a time where they are one vector.
    fn places(&self, frame: &mut Frame, sources: &Sources, group: &Group, shape: &Shape) -> Result<Member> {
        let count = shape.numel() / lanes(shape);
        let mut out = self.emitter(sources, 0);
        let idx = elements(&mut out, shape, count);
        self.store_all(frame, &mut out, group, &idx);
        self.within_turns(out.turns, &self.what(group))?;
        let flops = out.flops * count as f64;
        Ok(Member { number: "place", text: format!("{STEP}{}", out.finish()), count, flops })
    }

    /// Where invocations of a group stand. Rows that are one number each, however it is computed, are elements: four of them are
    /// neighbours in memory, and one vector load.
    fn domain(&self, g: usize, group: &Group) -> Domain {
        let Domain::Rows(n) = group.domain else { return group.domain.clone() };
        let shape: Shape = [n].into();
        let alike = group.roots.iter().all(|id| self.node(*id).shape == shape);
        // Parts are added in a loop, each lane its own.
        let in_parts = self.needs[g].reads.keys().any(|&id| self.reads_parts(id, g));
        let fewest = if self.caps.is_software() && !in_parts { FLAT_ON_CORES } else { FLAT };
        let flat = !self.loops() && alike && self.is_flat(g, &shape, fewest);
        if flat { Domain::Elements(shape) } else { Domain::Rows(n) }
    }

    /// Whether all that a group computes is numbers and vectors of this shape, at least so long and a multiple of four, and views of
    /// what is stored. Long sums stay one an invocation: Mesa's llvmpipe ends all loops of an invocation after 65,535 turns together.
    pub(super) fn is_flat(&self, g: usize, shape: &Shape, fewest: usize) -> bool {
        let long = |n: usize| n.is_multiple_of(4) && n >= fewest;
        let alone = |id: &NodeId| {
            let node = self.node(*id);
            let free = matches!(node.op, Op::Reshape | Op::Permute(_) | Op::Slice(_) | Op::Broadcast | Op::Const(_));
            let view = free && self.caps.is_software();
            self.part.how(*id) != How::Loop && (view || node.shape == *shape || matches!(node.shape[..], [] | [1]))
        };
        matches!(shape[..], [n] if long(n)) && self.needs[g].inlined.iter().all(alone)
    }

    /// Names of what a group stores, for the report.
    pub(super) fn what(&self, group: &Group) -> String {
        let name = |id: &NodeId| match self.locations.get(id) {
            Some(super::Location::Tensor(t)) => format!("`{}`", self.tensors[*t].name),
            _ => format!("{} #{}", self.node(*id).op.name(), id.0),
        };
        group.roots.iter().map(name).collect::<Vec<_>>().join(", ")
    }

    /// Compute every root, then store them all: own places are read before they are overwritten.
    fn store_all(&self, frame: &mut Frame, out: &mut Emitter<'_>, group: &Group, places: &[Vec<Affine>]) {
        let value = |&id: &NodeId| (id, places.iter().map(|idx| out.value(id, idx)).collect());
        let stored: Vec<(NodeId, Vec<Val>)> = group.roots.iter().map(value).collect();
        for (id, vals) in &stored {
            self.store(frame, out, *id, &places[0], vals);
        }
        self.guard(frame, out, 0, &stored);
    }

    /// Store consecutive elements of a node, from `first` on.
    pub(super) fn store(&self, frame: &mut Frame, out: &mut Emitter<'_>, id: NodeId, first: &[Affine], vals: &[Val]) {
        let node = self.node(id);
        if let Some((binding, base)) = self.place_of(frame, id, true) {
            out.comment(&format!("{} {}", node.op.name(), node.shape));
            let word = flatten(first, &node.shape).plus(&out.base(base));
            out.store(binding, &word, vals, node.dtype);
        }
    }
}

/// Invocations with one for each row, or for each element or four neighbours.
pub(in crate::plan) fn places(domain: &Domain) -> usize {
    match domain {
        Domain::Rows(n) => *n,
        Domain::Elements(shape) => shape.numel() / lanes(shape),
        Domain::Teams(shape, team) => team::groups(shape, *team) * GROUP as usize,
    }
}

/// How many neighbouring elements one invocation computes.
pub(in crate::plan) fn lanes(shape: &Shape) -> usize {
    if shape.last().is_some_and(|last| last % 4 == 0 && *last > 0) { 4 } else { 1 }
}

/// Indices of the elements of one invocation, with the symbols that they need.
fn elements(out: &mut Emitter<'_>, shape: &Shape, count: usize) -> Vec<Vec<Affine>> {
    let lanes = lanes(shape);
    let place = out.symbol("place", count, 0);
    if shape.is_empty() {
        return vec![vec![]];
    }
    let mut boxes = shape.to_vec();
    let last = boxes.len() - 1;
    boxes[last] /= lanes;
    let mut idx = out.unflatten(&place, &boxes);
    let quad = idx[last].times(lanes);
    (0..lanes)
        .map(|lane| {
            idx[last] = quad.offset(lane);
            idx.clone()
        })
        .collect()
}
