//! Kernels of straight-line code: one invocation a row, or one for every four elements.

use super::kernel::{Frame, entry};
use super::{About, Dispatch, Lowering, Role};
use crate::error::Result;
use crate::graph::{NodeId, Op, Shape};
use crate::plan::classify::Domain;
use crate::plan::emit::{Affine, Emitter, Val, flatten};
use crate::plan::partition::Group;

impl Lowering<'_> {
    pub(super) fn map(&self, g: usize, group: &Group) -> Result<Option<Dispatch>> {
        let count = match &group.domain {
            Domain::Rows(n) => *n,
            Domain::Elements(shape) => shape.numel() / lanes(shape),
        };
        if count == 0 || group.roots.is_empty() {
            return Ok(None);
        }
        let looped = self.loops(group);
        let (mut frame, sources) = self.sources(g, group);
        let mut out = self.emitter(&sources, usize::from(looped));
        match (&group.domain, looped) {
            (Domain::Rows(_), true) => self.rows_over_steps(&mut frame, &mut out, group, count),
            (Domain::Rows(_), false) => {
                let i = out.symbol("place", count, 0);
                let places = |shape: &Shape| rows(shape, &i);
                self.store_all(&mut frame, &mut out, group, places);
            }
            (Domain::Elements(shape), _) => {
                let idx = elements(&mut out, shape, count);
                self.store_all(&mut frame, &mut out, group, |_| idx.clone());
            }
        }
        let flops = out.flops * count as f64;
        let step = if looped { "" } else { "    let step = session.base_step + ring.offset;\n" };
        let body = format!("{step}{}", out.finish());
        let about = About { looped, flops, bytes: self.bytes(g, group), what: self.what(group) };
        let kind = if matches!(group.domain, Domain::Rows(_)) { "rows" } else { "map" };
        self.finish(&frame, kind, &entry(count, &body), count, about).map(Some)
    }

    /// Names of what a group stores, for the report.
    pub(super) fn what(&self, group: &Group) -> String {
        let name = |id: &NodeId| match self.locations.get(id) {
            Some(super::Location::Tensor(t)) => format!("`{}`", self.tensors[*t].name),
            _ => format!("{} #{}", self.node(*id).op.name(), id.0),
        };
        group.roots.iter().map(name).collect::<Vec<_>>().join(", ")
    }

    /// Whether one dispatch may compute many steps: it is the whole plan, and every row needs only itself.
    fn loops(&self, group: &Group) -> bool {
        let alone = self.groups.len() == 1 && self.copies.is_empty();
        alone && matches!(group.domain, Domain::Rows(_)) && self.tensors.iter().any(|t| t.role == Role::State)
    }

    /// Compute every root at its places, then store them all: own places are read before they are overwritten.
    fn store_all(
        &self,
        frame: &mut Frame,
        out: &mut Emitter<'_>,
        group: &Group,
        places: impl Fn(&Shape) -> Vec<Vec<Affine>>,
    ) {
        let mut stored = vec![];
        for &id in &group.roots {
            let vals: Vec<_> = places(&self.node(id).shape).iter().map(|idx| out.value(id, idx)).collect();
            stored.push((id, vals));
        }
        for (id, vals) in &stored {
            let first = places(&self.node(*id).shape)[0].clone();
            self.store(frame, out, *id, &first, vals);
        }
        self.guard(frame, out, 0, &stored);
    }

    /// Store consecutive elements of a node, from `first` on.
    pub(super) fn store(&self, frame: &mut Frame, out: &mut Emitter<'_>, id: NodeId, first: &[Affine], vals: &[Val]) {
        let node = self.node(id);
        if let Some((binding, base)) = self.place_of(frame, id, true) {
            out.statement(0, &format!("// {} {}", node.op.name(), node.shape), &[]);
            let word = flatten(first, &node.shape).plus(&out.base(base));
            out.store(binding, &word, vals, node.dtype);
        }
    }

    /// The whole plan in one dispatch: state in registers, a loop over steps around the body.
    fn rows_over_steps(&self, frame: &mut Frame, out: &mut Emitter<'_>, group: &Group, count: usize) {
        let i = out.symbol("place", count, 0);
        let mut updates = vec![];
        let mut held = 0;
        // Registers: states start from memory, other outputs from nothing.
        for &root in &group.roots {
            let old = self.old_state(root);
            let dtype = self.node(root).dtype;
            let places = rows(&self.node(root).shape, &i);
            let mut names = vec![];
            for idx in &places {
                let name = format!("s{held}");
                held += 1;
                let start = match old {
                    Some(input) => out.value(input, idx).to_string(),
                    None => zero(dtype).to_string(),
                };
                out.statement(0, &format!("var {name} = {start};"), &[]);
                if let Some(input) = old {
                    out.assume(input, idx.clone(), Val::new(name.clone(), 1));
                }
                names.push(Val::new(name, 0));
            }
            updates.push((root, places, names));
        }
        let level = out.open();
        out.statement(level, "let step = session.base_step + t;", &[]);
        let mut assignments = vec![];
        for (root, places, names) in &updates {
            for (idx, name) in places.iter().zip(names) {
                let val = out.value(*root, idx);
                // A new value may be the register of another state, so all are named before any is assigned.
                out.statement(level, &format!("let next_{name} = {val};"), &[]);
                assignments.push(format!("{name} = next_{name};"));
            }
        }
        // After all values are computed from the old state.
        assignments.iter().for_each(|text| out.statement(level, text, &[]));
        out.close("for (var t = 0u; t < ring.count; t++) {", &[]);
        let stored: Vec<_> = updates.iter().map(|(root, _, names)| (*root, names.clone())).collect();
        for (root, places, names) in &updates {
            self.store(frame, out, *root, &places[0], names);
        }
        self.guard(frame, out, 0, &stored);
    }

    /// The input whose next value this node is.
    fn old_state(&self, root: NodeId) -> Option<NodeId> {
        let to = self.locations.get(&root)?;
        self.locations
            .iter()
            .find(|(id, at)| *at == to && matches!(self.node(**id).op, Op::Input(_)))
            .map(|(&id, _)| id)
    }
}

fn zero(dtype: crate::graph::DType) -> &'static str {
    match dtype {
        crate::graph::DType::F32 => "0.0",
        crate::graph::DType::Bool => "false",
        _ => "0u",
    }
}

/// Indices of all elements of row `i`.
fn rows(shape: &Shape, i: &Affine) -> Vec<Vec<Affine>> {
    let width = shape[1..].iter().product();
    (0..width)
        .map(|flat| {
            let mut rest = flat;
            let mut idx: Vec<_> = shape[1..]
                .iter()
                .rev()
                .map(|&n| {
                    let at = Affine::constant(rest % n);
                    rest /= n;
                    at
                })
                .collect();
            idx.push(i.clone());
            idx.reverse();
            idx
        })
        .collect()
}

/// How many neighbouring elements one invocation computes.
pub(super) fn lanes(shape: &Shape) -> usize {
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
