//! Chains of stencils: which steps of a field one kernel takes in one pass over memory.
//!
//! A stencil reads its neighbours' cells, so a step by itself reads and writes the whole field. A **pass** takes several
//! steps and the element-wise work between them. Its *levels* are counted in stencils: level 0 is what the pass reads, a
//! value at level `k` needs `k` stencils, one upon the other. Each level *holds* the values that later levels read; they
//! stay in registers (`lower/stream.rs`), and only the results of the pass, its *roots*, are stored.

use super::classify::{flops, is_elementwise};
use super::partition::{Cuts, Partitioner};
use crate::gpu::Caps;
use crate::graph::{Boundary, Node, NodeId, Op, Shape, Tap};
use crate::kernels::stencil::{Field, Tile, Work};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;

/// How chains of stencils are computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stencils {
    /// As the device suggests.
    #[default]
    Auto,
    /// One stencil at a time, each inside the kernel that stores its result.
    Single,
}

/// Cost, in flops, above which a value that several steps need is stored: reading it costs a software adapter as much.
const STORED: f64 = 12.0;

/// All passes of a plan.
#[derive(Default)]
pub(super) struct Passes {
    pub list: Vec<Pass>,
    /// The pass that computes a node.
    of: HashMap<NodeId, usize>,
    /// Levels of the whole graph and of the best pass, if only one kind of field has stencils.
    pub depth: Option<(usize, usize)>,
    /// Why there is none, although there are stencils.
    pub reason: Option<&'static str>,
}

/// Steps of one field that one kernel takes.
pub(super) struct Pass {
    pub shape: Shape,
    /// Whether cells have neighbours along two axes.
    pub plane: bool,
    pub boundary: Boundary,
    /// From what is read to what is stored.
    pub levels: Vec<Level>,
    /// What is stored.
    pub roots: Vec<NodeId>,
    pub tile: Tile,
}

/// What a pass does after so many stencils.
#[derive(Clone, Debug, Default)]
pub(super) struct Level {
    /// Values that later levels read.
    pub held: BTreeSet<NodeId>,
    /// Those of them that this level computes; the others are handed on.
    pub made: BTreeSet<NodeId>,
    /// Stencils in what it computes.
    pub stencils: BTreeSet<NodeId>,
    /// How far they reach along and across the field.
    pub reach: [usize; 2],
    /// Element-wise work that no pass computes, for which its own asks.
    pub outside: BTreeSet<NodeId>,
    /// Whether what it computes depends on the cell otherwise than through held values.
    pub placed: bool,
}

impl Passes {
    /// The passes of a graph, as deep as the device suggests; none where a kernel would grow too long.
    pub fn choose(search: &Search<'_>, caps: &Caps, option: Stencils) -> Self {
        let families = search.families();
        if families.is_empty() {
            return Passes::default();
        }
        let none = |reason| Passes { reason: Some(reason), ..Passes::default() };
        if option == Stencils::Single {
            return none("it was asked for");
        }
        if !caps.is_software() {
            return none("a pass is for software adapters");
        }
        let lanes = caps.subgroups.filter(|(low, high)| low == high && *low > 1).map(|(size, _)| size as usize);
        let whole = Positions::find(search, &families, &|_| usize::MAX);
        let depths = families.keys().map(|shape| (shape.clone(), whole.depth(search, shape, lanes)));
        let depths: BTreeMap<_, _> = depths.collect();
        let mut deepest: BTreeMap<Shape, usize> =
            depths.iter().map(|(shape, depth)| (shape.clone(), depth.in_pass())).collect();
        let only = depths.values().next().filter(|_| depths.len() == 1);
        loop {
            let places = Positions::find(search, &families, &|shape| deepest[shape]);
            match places.passes(search, lanes) {
                Ok(passes) => return Passes { depth: only.map(|depth| (depth.all, depth.best)), ..passes },
                Err(shape) if deepest[&shape] > 1 => {
                    deepest.entry(shape).and_modify(|depth: &mut usize| *depth = depth.div_ceil(2));
                }
                Err(_) => return none("a step reads too many tensors, or is too long for one kernel"),
            }
        }
    }

    /// The pass that computes this node.
    pub fn of(&self, id: NodeId) -> Option<usize> {
        self.of.get(&id).copied()
    }

    /// The pass that stores this node.
    pub fn stored_by(&self, id: NodeId) -> Option<usize> {
        self.of(id).filter(|&p| self.list[p].roots.contains(&id))
    }

    /// The nodes in an order in which all that a pass reads comes before the first node that it stores.
    pub fn order(&self, nodes: &[Rc<Node>], order: &[NodeId]) -> Vec<NodeId> {
        let (mut all, mut open) = (vec![], BTreeSet::new());
        order.iter().for_each(|&id| self.visit(nodes, id, &mut all, &mut open));
        all
    }

    fn visit(&self, nodes: &[Rc<Node>], id: NodeId, all: &mut Vec<NodeId>, open: &mut BTreeSet<NodeId>) {
        // Arguments have smaller ids, so only a pass reaches for nodes that the order has not come to yet.
        let mut stack = vec![(id, false)];
        while let Some((at, ready)) = stack.pop() {
            if ready {
                all.push(at);
            } else if open.insert(at) {
                stack.push((at, true));
                let stored = self.stored_by(at).map(|pass| &self.list[pass].roots[..]);
                let together = stored.unwrap_or(std::slice::from_ref(&at));
                let args = together.iter().flat_map(|root| &nodes[root.index()].args);
                stack.extend(args.filter(|arg| !open.contains(arg)).map(|&arg| (arg, false)));
            }
        }
    }

    /// Stores what passes end with.
    pub fn cut(&self, part: &Partitioner<'_>, cut: &mut Cuts) {
        for &root in self.list.iter().flat_map(|pass| &pass.roots) {
            cut.entry(root).or_insert("the end of a pass of stencils");
        }
        let mut asked: BTreeMap<NodeId, usize> = BTreeMap::new();
        let levels = self.list.iter().flat_map(|pass| &pass.levels);
        levels.flat_map(|level| &level.outside).for_each(|&id| *asked.entry(id).or_default() += 1);
        for (id, _) in asked.into_iter().filter(|(_, levels)| *levels > 1) {
            if self.of(id).is_none() && part.cost(id, cut) >= STORED {
                cut.entry(id).or_insert("the same in several steps");
            }
        }
    }
}

/// What passes are looked for in.
pub(super) struct Search<'a> {
    pub nodes: &'a [Rc<Node>],
    /// Nodes needed, ascending.
    pub order: &'a [NodeId],
    pub outputs: &'a [NodeId],
    /// Outputs that are the next value of an input.
    pub states: &'a HashMap<NodeId, NodeId>,
    /// Most tensors that a kernel may bind.
    pub max_tensors: usize,
}

/// Shapes of fields that have stencils, and whether these are planes.
type Families = BTreeMap<Shape, bool>;

impl Search<'_> {
    fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.index()]
    }

    /// Fields with stencils of one or two axes. Rows that fit into scalars have a better kernel of their own.
    fn families(&self) -> Families {
        let (mut found, mut other) = (Families::new(), BTreeSet::new());
        for node in self.order.iter().map(|&id| self.node(id)) {
            let Op::Stencil { taps, .. } = &node.op else { continue };
            let rank = taps.iter().map(|tap| tap.offset.len()).max().unwrap_or(0);
            let rows = node.shape.first().copied().unwrap_or(0);
            let in_scalars = rank < node.shape.len() && node.shape.numel() <= rows * super::classify::ROW_WIDTH;
            let reach = taps.iter().flat_map(|tap| &tap.offset).map(|by| by.unsigned_abs()).max().unwrap_or(0);
            if rank > 2 || in_scalars || node.shape.numel() == 0 || reach > 4 {
                other.insert(node.shape.clone());
            } else {
                *found.entry(node.shape.clone()).or_insert(false) |= rank == 2;
            }
        }
        found.retain(|shape, _| !other.contains(shape));
        found
    }
}

/// Where each node stands: the pass (of its shape) and the level in it. What no pass computes stands at level 0 of the
/// first pass that could read it.
struct Positions<'a> {
    families: &'a Families,
    at: HashMap<NodeId, (usize, usize)>,
    boundaries: HashMap<(Shape, usize), Boundary>,
    /// Nodes that passes compute.
    members: BTreeSet<NodeId>,
}

impl<'a> Positions<'a> {
    fn find(search: &Search<'_>, families: &'a Families, deepest: &dyn Fn(&Shape) -> usize) -> Self {
        let mut all = Positions { families, at: HashMap::new(), boundaries: HashMap::new(), members: BTreeSet::new() };
        for &id in search.order {
            let node = search.node(id);
            let at = match &node.op {
                Op::Stencil { boundary, .. } if families.contains_key(&node.shape) => {
                    let (pass, level) = all.seen_from(search, id, node.args[0]);
                    let enters = level < deepest(&node.shape) && all.may_enter(&node.shape, pass, *boundary);
                    all.enter(&node.shape, if enters { (pass, level + 1) } else { (pass + 1, 1) }, *boundary)
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

    fn may_enter(&self, shape: &Shape, pass: usize, boundary: Boundary) -> bool {
        self.boundaries.get(&(shape.clone(), pass)).is_none_or(|other| *other == boundary)
    }

    fn enter(&mut self, shape: &Shape, (mut pass, mut level): (usize, usize), boundary: Boundary) -> (usize, usize) {
        while !self.may_enter(shape, pass, boundary) {
            (pass, level) = (pass + 1, 1);
        }
        self.boundaries.insert((shape.clone(), pass), boundary);
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
    fn depth(&self, search: &Search<'_>, shape: &Shape, lanes: Option<usize>) -> Depth {
        let members = || self.members.iter().filter(|&&id| search.node(id).shape == *shape);
        let all = members().map(|id| self.at[id].1).max().unwrap_or(0).max(1);
        let reach = members().map(|&id| reach_of(search.node(id))).reduce(|a, b| [a[0].max(b[0]), a[1].max(b[1])]);
        let flops: f64 = members().map(|&id| flops(search.nodes, id)).sum();
        let plane = self.families[shape];
        let reach = reach.map_or([0, 0], |[y, x]| if plane { [y, x] } else { [x, 0] });
        let best = Tile::levels(field(shape, plane), Work { flops: flops / all as f64, reach }, lanes).max(1);
        Depth { all, best, is_state: members().any(|id| search.states.contains_key(id)) }
    }

    /// The passes; or the shape whose passes are too much for one kernel.
    fn passes(&self, search: &Search<'_>, lanes: Option<usize>) -> Result<Passes, Shape> {
        let mut by_key: BTreeMap<(Shape, usize), Vec<NodeId>> = BTreeMap::new();
        for &id in &self.members {
            by_key.entry(self.key(search, id)).or_default().push(id);
        }
        let mut all = Passes::default();
        for ((shape, pass), members) in by_key {
            let boundary = self.boundaries.get(&(shape.clone(), pass)).copied().unwrap_or(Boundary::Periodic);
            let made = self.pass(search, &shape, boundary, &members, lanes).ok_or(shape)?;
            all.of.extend(members.iter().map(|&id| (id, all.list.len())));
            all.list.push(made);
        }
        Ok(all)
    }

    fn pass(
        &self,
        search: &Search<'_>,
        shape: &Shape,
        boundary: Boundary,
        members: &[NodeId],
        lanes: Option<usize>,
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
        let (tile, _) = Tile::choose(field(shape, plane), Work { flops: work, reach }, lanes)?;
        Some(Pass { shape: shape.clone(), plane, boundary, levels, roots, tile })
    }

    fn is_read_outside(&self, search: &Search<'_>, id: NodeId, members: &[NodeId]) -> bool {
        let reads = |other: &&NodeId| search.node(**other).args.contains(&id);
        search.order.iter().filter(reads).any(|other| members.binary_search(other).is_err())
    }
}

/// Levels of the stencils of one kind of field.
struct Depth {
    /// If all were in one pass.
    all: usize,
    /// Of the best pass.
    best: usize,
    /// Whether the field is a state.
    is_state: bool,
}

impl Depth {
    /// Most levels in a pass, so that all passes have about as many.
    fn in_pass(&self) -> usize {
        // A field cannot be stepped in place: after an even number of passes it is back in its tensor.
        let even = if self.is_state && self.all > 1 { 2 } else { 1 };
        self.all.div_ceil(self.all.div_ceil(self.best).next_multiple_of(even))
    }
}

/// Follows what a pass computes back to what it reads.
struct Trace<'a> {
    search: &'a Search<'a>,
    members: &'a [NodeId],
    all: &'a Positions<'a>,
    plane: bool,
}

impl Trace<'_> {
    fn is_member(&self, id: NodeId) -> bool {
        self.members.binary_search(&id).is_ok()
    }

    fn level(&self, id: NodeId) -> usize {
        if self.is_member(id) { self.all.at[&id].1 } else { 0 }
    }

    /// Whether an earlier pass has computed it.
    fn is_stored(&self, id: NodeId) -> bool {
        self.all.members.contains(&id) && !self.is_member(id)
    }

    fn levels(&self, roots: &[NodeId]) -> Vec<Level> {
        let arguments = self.members.iter().map(|&id| self.search.node(id));
        let arguments = arguments.filter(|node| matches!(node.op, Op::Stencil { .. })).map(|node| node.args[0]);
        let stops: BTreeSet<NodeId> = arguments.chain(roots.iter().copied()).collect();
        let top = roots.iter().map(|&id| self.level(id)).max().unwrap_or(0);
        let mut levels = vec![Level::default(); top + 1];
        levels[top].held = roots.iter().copied().collect();
        for k in (0..=top).rev() {
            let (made, handed): (BTreeSet<_>, BTreeSet<_>) =
                levels[k].held.iter().copied().partition(|&id| self.level(id) == k);
            levels[k].made = made.clone();
            let mut below = handed;
            if k > 0 {
                made.iter().for_each(|&id| self.follow(k, id, &stops, &mut levels[k], &mut below));
                levels[k - 1].held = below;
            }
        }
        levels
    }

    /// What computing this value at level `k` needs of the level below.
    fn follow(&self, k: usize, id: NodeId, stops: &BTreeSet<NodeId>, level: &mut Level, below: &mut BTreeSet<NodeId>) {
        let (mut stack, mut seen) = (vec![id], BTreeSet::new());
        while let Some(at) = stack.pop() {
            if !seen.insert(at) {
                continue;
            }
            let node = self.search.node(at);
            if stops.contains(&at) && self.level(at) < k {
                below.insert(at);
            } else if self.is_member(at) && matches!(node.op, Op::Stencil { .. }) {
                level.stencils.insert(at);
                let [y, x] = reach_of(node);
                let [along, across] = if self.plane { [y, x] } else { [x, 0] };
                level.reach = [level.reach[0].max(along), level.reach[1].max(across)];
                below.insert(node.args[0]);
            } else if is_elementwise(&node.op) && !self.is_stored(at) {
                let asks = |&&arg: &&NodeId| !self.is_member(arg) && is_elementwise(&self.search.node(arg).op);
                level.outside.extend(node.args.iter().filter(asks).filter(|_| self.is_member(at)));
                stack.extend(&node.args);
            } else {
                let scalar = matches!(node.op, Op::Broadcast) && self.search.node(node.args[0]).shape.is_empty();
                level.placed |= !(scalar || matches!(node.op, Op::Const(_)) || node.shape.is_empty());
            }
        }
    }

    /// Tensors that a kernel binds to compute and store these, at most.
    fn tensors(&self, roots: &[NodeId]) -> usize {
        let (mut stack, mut seen, mut bound) = (roots.to_vec(), BTreeSet::new(), BTreeSet::new());
        while let Some(at) = stack.pop() {
            if !seen.insert(at) {
                continue;
            }
            let node = self.search.node(at);
            match &node.op {
                Op::Input(_) => drop(bound.insert(at)),
                // The results of other passes lie in the arena, unless the user wants them.
                _ if self.is_stored(at) => bound.extend(self.search.outputs.contains(&at).then_some(at)),
                _ => stack.extend(&node.args),
            }
        }
        let stored = roots.iter().filter(|id| self.search.outputs.contains(id));
        bound.extend(stored.map(|id| self.search.states.get(id).copied().unwrap_or(*id)));
        bound.len()
    }
}

/// The offset of a tap over the last two axes.
pub(super) fn offset(tap: &Tap) -> [i32; 2] {
    match tap.offset[..] {
        [y, x] => [y, x],
        [x] => [0, x],
        _ => [0, 0],
    }
}

fn reach_of(node: &Node) -> [usize; 2] {
    let Op::Stencil { taps, .. } = &node.op else { return [0, 0] };
    let far = |axis: usize| taps.iter().map(|tap| offset(tap)[axis].unsigned_abs() as usize).max().unwrap_or(0);
    [far(0), far(1)]
}

fn field(shape: &Shape, plane: bool) -> Field {
    let axes = if plane { 2 } else { 1 };
    let (batch, own) = shape.split_at(shape.len() - axes);
    Field { along: own[0], across: own.get(1).copied().unwrap_or(1), batch: batch.iter().product(), plane }
}
