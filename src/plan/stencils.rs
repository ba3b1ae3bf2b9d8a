//! Chains of stencils: which steps of a field one kernel takes in one pass over memory.
//!
//! A stencil reads its neighbours' cells, so a step by itself reads and writes the whole field. A **pass** takes several
//! steps and the element-wise work between them. Its *levels* are counted in stencils: level 0 is what the pass reads, a
//! value at level `k` needs `k` stencils, one upon the other. Each level *holds* the values that later levels read; they
//! stay in registers (`lower/stream.rs`), and only the results of the pass, its *roots*, are stored.

mod positions;
mod trace;

use super::classify::ROW_WIDTH;
use super::partition::{Cuts, Partitioner};
use crate::gpu::Caps;
use crate::graph::{Boundary, Node, NodeId, Op, Shape, Tap};
use crate::kernels::stencil::{Field, Target, Tile};
use positions::Positions;
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
    /// In passes of few long tiles, as a few cores want them.
    Long,
    /// In passes of many short tiles, as a GPU wants them. Needs subgroups of one size.
    Short,
}

impl Stencils {
    /// What tiles are cut for, or why there are none.
    fn target(self, caps: &Caps) -> Result<Target, &'static str> {
        let lanes = caps.subgroups.filter(|(low, high)| low == high && *low > 1).map(|(size, _)| size as usize);
        match self {
            Stencils::Single => Err("it was asked for"),
            Stencils::Long => Ok(Target::Cores { lanes }),
            Stencils::Auto if caps.is_software() => Ok(Target::Cores { lanes }),
            Stencils::Short | Stencils::Auto => {
                lanes.map(|lanes| Target::Gpu { lanes }).ok_or("the device has no subgroups of one size")
            }
        }
    }
}

/// Cost, in flops, above which a value that several steps need is stored: reading it costs a software adapter as much.
const STORED: f64 = 12.0;

/// Cells along an axis from which on there are passes. Fewer are all walls; and of one cell llvmpipe's compiler dies (Mesa 22.3.6).
const FEWEST: usize = 3;

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
    /// How the field continues along and across.
    pub ends: [Boundary; 2],
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
        if search.families(false).is_empty() {
            return Passes::default();
        }
        let none = |reason| Passes { reason: Some(reason), ..Passes::default() };
        let target = match option.target(caps) {
            Ok(target) => target,
            Err(reason) => return none(reason),
        };
        let families = search.families(matches!(target, Target::Gpu { .. }));
        if families.is_empty() {
            return none("a single line is too little for tiles of subgroups");
        }
        let whole = Positions::find(search, &families, &|_| usize::MAX);
        let depths = families.keys().map(|shape| (shape.clone(), whole.depth(search, shape, target)));
        let depths: BTreeMap<_, _> = depths.collect();
        let mut deepest: BTreeMap<Shape, usize> =
            depths.iter().map(|(shape, depth)| (shape.clone(), depth.in_pass())).collect();
        let only = depths.values().next().filter(|_| depths.len() == 1);
        loop {
            let places = Positions::find(search, &families, &|shape| deepest[shape]);
            match places.passes(search, target) {
                Ok(passes) => return Passes { depth: only.map(|depth| (depth.all, depth.best)), ..passes },
                Err(shape) if deepest[&shape] > 1 => {
                    deepest.entry(shape).and_modify(|depth: &mut usize| *depth = depth.div_ceil(2));
                }
                Err(_) => return none("a step reads too many tensors, or is too long for one kernel"),
            }
        }
    }

    /// Whether there are passes, each of one stencil.
    pub fn are_single(&self) -> bool {
        !self.list.is_empty() && self.list.iter().all(|pass| pass.levels.len() == 2)
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

    /// Fields with stencils of one or two axes. Rows that fit into scalars have a better kernel of their own. Lines side by side may
    /// count as a plane whose stencils reach nowhere along: tiles then lie across them; single lines are left out there.
    fn families(&self, lines_as_planes: bool) -> Families {
        let (mut found, mut other) = (Families::new(), BTreeSet::new());
        for node in self.order.iter().map(|&id| self.node(id)) {
            let Op::Stencil { taps, .. } = &node.op else { continue };
            let rank = taps.iter().map(|tap| tap.offset.len()).max().unwrap_or(0);
            let rows = node.shape.first().copied().unwrap_or(0);
            let in_scalars = rank < node.shape.len() && node.shape.numel() <= rows * ROW_WIDTH;
            let reach = taps.iter().flat_map(|tap| &tap.offset).map(|by| by.unsigned_abs()).max().unwrap_or(0);
            let few = node.shape.iter().rev().take(rank).any(|&cells| cells < FEWEST);
            let single = lines_as_planes && node.shape.len() < 2;
            if rank > 2 || in_scalars || few || single || node.shape.numel() == 0 || reach > 4 {
                other.insert(node.shape.clone());
            } else {
                *found.entry(node.shape.clone()).or_insert(lines_as_planes) |= rank == 2;
            }
        }
        found.retain(|shape, _| !other.contains(shape));
        found
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
