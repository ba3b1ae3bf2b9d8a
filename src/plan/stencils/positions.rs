//! Which pass computes a node, and at which of its levels.

use super::trace::Trace;
use super::{Families, Pass, Passes, Search, field, reach_of};
use crate::graph::{Boundary, NodeId, Op, Shape};
use crate::kernels::stencil::{Target, Tile, Work};
use crate::plan::classify::{flops, is_elementwise};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Where each node stands: the pass (of its shape) and the level in it. What no pass computes stands at level 0 of the
/// first pass that could read it.
pub struct Positions<'a> {
    families: &'a Families,
    pub at: HashMap<NodeId, (usize, usize)>,
    /// How a pass continues its field along either axis, as far as its stencils reach there.
    boundaries: HashMap<(Shape, usize), [Option<Boundary>; 2]>,
    /// Nodes that passes compute.
    pub members: BTreeSet<NodeId>,
}

impl<'a> Positions<'a> {
    pub fn find(search: &Search<'_>, families: &'a Families, deepest: &dyn Fn(&Shape) -> usize) -> Self {
        let mut all = Positions { families, at: HashMap::new(), boundaries: HashMap::new(), members: BTreeSet::new() };
        for &id in search.order {
            let node = search.node(id);
            let at = match &node.op {
                Op::Stencil { boundary, .. } if families.contains_key(&node.shape) => {
                    let (pass, level) = all.seen_from(search, id, node.args[0]);
                    let ends = reach_of(node).map(|reach| (reach > 0).then_some(*boundary));
                    let enters = level < deepest(&node.shape) && all.may_enter(&node.shape, pass, ends);
                    all.enter(&node.shape, if enters { (pass, level + 1) } else { (pass + 1, 1) }, ends)
                }
                _ => node.args.iter().map(|&arg| all.seen_from(search, id, arg)).max().unwrap_or((0, 0)),
            };
            all.at.insert(id, at);
        }
        all.find_members(search);
        all
    }

    fn is_candidate(&self, search: &Search<'_>, id: NodeId) -> bool {
        let node = search.node(id);
        let computes = matches!(node.op, Op::Stencil { .. }) || is_elementwise(&node.op);
        computes && self.families.contains_key(&node.shape)
    }

    /// Where an argument stands for a node that reads it: at the level where it is computed if a pass may hold both, else
    /// after the pass.
    fn seen_from(&self, search: &Search<'_>, id: NodeId, arg: NodeId) -> (usize, usize) {
        let (pass, level) = self.at.get(&arg).copied().unwrap_or((0, 0));
        let together = self.is_candidate(search, id) && search.node(id).shape == search.node(arg).shape;
        if level == 0 || together { (pass, level) } else { (pass + 1, 0) }
    }

    /// Whether the field may end so along either axis, beside the other stencils of the pass.
    fn may_enter(&self, shape: &Shape, pass: usize, ends: [Option<Boundary>; 2]) -> bool {
        let found = self.boundaries.get(&(shape.clone(), pass));
        let agree = |(a, b): (&Option<Boundary>, Option<Boundary>)| a.is_none() || b.is_none() || *a == b;
        found.is_none_or(|found| found.iter().zip(ends).all(agree))
    }

    fn enter(
        &mut self,
        shape: &Shape,
        (mut pass, mut level): (usize, usize),
        ends: [Option<Boundary>; 2],
    ) -> (usize, usize) {
        while !self.may_enter(shape, pass, ends) {
            (pass, level) = (pass + 1, 1);
        }
        let found = self.boundaries.entry((shape.clone(), pass)).or_default();
        found.iter_mut().zip(ends).for_each(|(found, end)| *found = found.or(end));
        (pass, level)
    }

    /// Passes compute what leads to an output or to a later pass's stencil without leaving the field. Element-wise work
    /// after the last stencil that leads to something else belongs to what reads it.
    fn find_members(&mut self, search: &Search<'_>) {
        let mut wanted: BTreeSet<NodeId> = search.outputs.iter().copied().collect();
        let mut ends = wanted.clone();
        for &id in search.order.iter().rev() {
            if !wanted.contains(&id) || !self.is_candidate(search, id) {
                continue;
            }
            let (node, at) = (search.node(id), self.at[&id]);
            let inside = at.1 > 0 && ends.contains(&id);
            if inside {
                self.members.insert(id);
            }
            for &arg in node.args.iter().filter(|&&arg| self.is_candidate(search, arg)) {
                wanted.insert(arg);
                let together = inside && self.at[&arg].0 == at.0 && self.at[&arg].1 > 0;
                if together || matches!(node.op, Op::Stencil { .. }) {
                    ends.insert(arg);
                }
            }
        }
    }

    fn key(&self, search: &Search<'_>, id: NodeId) -> (Shape, usize) {
        (search.node(id).shape.clone(), self.at[&id].0)
    }

    /// Levels that passes of this shape should have, if all could be in one.
    pub fn depth(&self, search: &Search<'_>, shape: &Shape, target: Target) -> Depth {
        let members = || self.members.iter().filter(|&&id| search.node(id).shape == *shape);
        let all = members().map(|id| self.at[id].1).max().unwrap_or(0).max(1);
        let reach = members().map(|&id| reach_of(search.node(id))).reduce(|a, b| [a[0].max(b[0]), a[1].max(b[1])]);
        let flops: f64 = members().map(|&id| flops(search.nodes, id)).sum();
        let plane = self.families[shape];
        let reach = reach.map_or([0, 0], |[y, x]| if plane { [y, x] } else { [x, 0] });
        let best =
            Tile::levels(field(shape, plane), Work { levels: 1, flops: flops / all as f64, reach }, target).max(1);
        Depth { all, best, is_state: members().any(|id| search.states.contains_key(id)) }
    }

    /// The passes; or the shape whose passes are too much for one kernel.
    pub fn passes(&self, search: &Search<'_>, target: Target) -> Result<Passes, Shape> {
        let mut by_key: BTreeMap<(Shape, usize), Vec<NodeId>> = BTreeMap::new();
        for &id in &self.members {
            by_key.entry(self.key(search, id)).or_default().push(id);
        }
        let mut all = Passes::default();
        for ((shape, pass), members) in by_key {
            let [y, x] = self.boundaries.get(&(shape.clone(), pass)).copied().unwrap_or_default();
            let ends = if self.families[&shape] { [y, x] } else { [x, None] };
            let ends = ends.map(|end| end.unwrap_or(Boundary::Periodic));
            let made = self.pass(search, &shape, ends, &members, target).ok_or(shape)?;
            all.of.extend(members.iter().map(|&id| (id, all.list.len())));
            all.list.push(made);
        }
        Ok(all)
    }

    fn pass(
        &self,
        search: &Search<'_>,
        shape: &Shape,
        ends: [Boundary; 2],
        members: &[NodeId],
        target: Target,
    ) -> Option<Pass> {
        let is_stored = |id: &&NodeId| search.outputs.contains(id) || self.is_read_outside(search, **id, members);
        let roots: Vec<NodeId> = members.iter().filter(is_stored).copied().collect();
        let plane = self.families[shape];
        let trace = Trace { search, members, all: self, plane };
        let levels = trace.levels(&roots);
        if trace.tensors(&roots) > search.max_tensors {
            return None;
        }
        let add = |a: [usize; 2], b: [usize; 2]| [a[0] + b[0], a[1] + b[1]];
        let reach = levels.iter().map(|level| level.reach).fold([0, 0], add);
        // Values that are handed from level to level cost a move each.
        let handed: usize = levels.iter().map(|level| level.held.len()).sum();
        let work: f64 = members.iter().map(|&id| flops(search.nodes, id)).sum::<f64>() + handed as f64;
        let work = Work { levels: levels.len() - 1, flops: work, reach };
        let (tile, _) = Tile::choose(field(shape, plane), work, target)?;
        Some(Pass { shape: shape.clone(), plane, ends, levels, roots, tile })
    }

    fn is_read_outside(&self, search: &Search<'_>, id: NodeId, members: &[NodeId]) -> bool {
        let reads = |other: &&NodeId| search.node(**other).args.contains(&id);
        search.order.iter().filter(reads).any(|other| members.binary_search(other).is_err())
    }
}

/// Levels of the stencils of one kind of field.
pub struct Depth {
    /// If all were in one pass.
    pub all: usize,
    /// Of the best pass.
    pub best: usize,
    /// Whether the field is a state.
    is_state: bool,
}

impl Depth {
    /// Most levels in a pass, so that all passes have about as many.
    pub fn in_pass(&self) -> usize {
        // A field cannot be stepped in place: after an even number of passes it is back in its tensor.
        let even = if self.is_state && self.all > 1 { 2 } else { 1 };
        self.all.div_ceil(self.all.div_ceil(self.best).next_multiple_of(even))
    }
}
