//! Wide rows spread over the lanes of a subgroup: the whole plan is one kernel that loops over steps.
//!
//! A row of more than [`ROW_WIDTH`] numbers is too much for the registers of one invocation, and an array of its own is slow
//! on every adapter. A subgroup has room for it: lane `l` of `s` holds the quads of columns `l`, `l + s`, `l + 2s`, .., so
//! that neighbours in memory are loaded together; a sum along the row is a sum in each lane and one `subgroupAdd`; what
//! belongs to the row as a whole is computed by every lane alike. The text is as long as that of a row `s` times shorter.
//!
//! That works for plans whose states' rows need only themselves and never another column of a wide row, but for sums and
//! single columns: samplers on analytic energies. Everything else has the kernels it has without this file, and
//! `plan.report()` says why.

use super::classify::{Access, Domain, How, ROW_WIDTH, flops, how, is_elementwise, through};
use super::partition::{Body, Cuts, Group, Partition};
use super::stencils::Search;
use crate::gpu::Caps;
use crate::graph::{DType, Node, NodeId, Op, Shape};
use std::collections::{BTreeSet, HashSet};

/// Flops written out in one kernel, at most: a software adapter compiles some 6000 in a second.
const TEXT: f64 = 12_000.0;
/// Terms of a product whose second operand is wide, columns of one that sums along rows, and of a piece of a row, at most.
pub(super) const NARROW: usize = 16;

const LONG: &str = "its rows are too long to be written out";

/// How rows are spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Spread {
    /// Rows.
    pub rows: usize,
    /// Columns of a wide row.
    pub width: usize,
    /// Invocations of a subgroup, and of a group.
    pub lanes: usize,
}

impl Spread {
    /// How the rows of a plan are spread, or why they are not; `None` if no state has wide rows.
    pub fn choose(search: &Search<'_>, caps: &Caps) -> Option<Result<Self, &'static str>> {
        let wide = |id: &NodeId| {
            let shape = &search.nodes[id.index()].shape;
            shape.first().is_some_and(|&n| n > 0 && shape.numel() > n * ROW_WIDTH)
        };
        let shape = &search.nodes[search.states.values().copied().filter(wide).min()?.index()].shape;
        let lanes = caps.subgroups.filter(|(low, high)| low == high && low.is_multiple_of(4)).map(|(size, _)| size);
        let Some(lanes) = lanes else { return Some(Err("the device has no subgroups of one size")) };
        let spread = Spread { rows: shape[0], width: shape[shape.len() - 1], lanes: lanes as usize };
        Some(Rows { search, spread, of_state: HashSet::new() }.check().map(|()| spread))
    }

    /// Whether the last axis of this shape is spread.
    pub fn is_wide(&self, shape: &[usize]) -> bool {
        shape.len() > 1 && shape.last() == Some(&self.width)
    }

    /// Quads of columns that a lane holds, at most.
    pub fn chunks(&self) -> usize {
        self.width.div_ceil(4 * self.lanes)
    }

    /// The one kernel that stores these outputs.
    pub fn partition(&self, outputs: &[NodeId], is_input: impl Fn(NodeId) -> bool) -> Partition {
        let roots: Vec<_> = outputs.iter().copied().filter(|&id| !is_input(id)).collect();
        let cut: Cuts = roots.iter().map(|&id| (id, "an output")).collect();
        let group = Group { body: Body::Map, domain: Domain::Rows(self.rows), level: 0, roots };
        Partition { groups: vec![group], launches: vec![0], cut }
    }
}

/// What is known of a graph while its nodes are looked through.
struct Rows<'a> {
    search: &'a Search<'a>,
    spread: Spread,
    /// Nodes that depend on a state.
    of_state: HashSet<NodeId>,
}

impl Rows<'_> {
    fn node(&self, id: NodeId) -> &Node {
        &self.search.nodes[id.index()]
    }

    fn check(mut self) -> Result<(), &'static str> {
        let inputs: BTreeSet<NodeId> = self.search.states.values().copied().collect();
        let (mut text, mut sums) = (0.0, false);
        for &id in self.search.order {
            let args = &self.search.nodes[id.index()].args;
            if inputs.contains(&id) || args.iter().any(|arg| self.of_state.contains(arg)) {
                self.of_state.insert(id);
                self.check_row(id)?;
            } else {
                self.check_free(id)?;
            }
            sums |= self.is_sum_of_row(id);
            text += self.text(id);
        }
        if text > TEXT {
            return Err(LONG);
        }
        self.check_outputs(sums)
    }

    /// Outputs are rows, each of its own node, and few enough to be bound.
    fn check_outputs(&self, sums: bool) -> Result<(), &'static str> {
        let is_input = |id: &NodeId| matches!(self.node(*id).op, Op::Input(_));
        let stored: Vec<_> = self.search.outputs.iter().filter(|id| !is_input(id)).collect();
        let of_rows = |id: &NodeId| self.node(*id).shape.first() == Some(&self.spread.rows) && self.has_rows(*id);
        if !stored.iter().all(|id| of_rows(id)) {
            return Err("it has an output that is not one value a row");
        }
        let once: BTreeSet<_> = stored.iter().collect();
        if once.len() < stored.len() || stored.is_empty() {
            return Err("it has two outputs of one value");
        }
        // One lane stores what belongs to the row as a whole: a sum in between is what the others wait for.
        if !sums && stored.iter().any(|id| !self.spread.is_wide(&self.node(**id).shape)) {
            return Err("it has no sum along a row");
        }
        let bound = self.search.order.iter().filter(|id| is_input(id) && self.node(**id).dtype != DType::Key).count();
        let made = stored.iter().filter(|id| !self.search.states.contains_key(id)).count();
        if bound + made > self.search.max_tensors {
            return Err("it binds too many tensors for one kernel");
        }
        Ok(())
    }

    /// What depends on a state: only its own row, and of wide rows only its own column.
    fn check_row(&self, id: NodeId) -> Result<(), &'static str> {
        let (node, rows) = (self.node(id), Domain::Rows(self.spread.rows));
        let of_state = |i: &usize| self.of_state.contains(&node.args[*i]);
        let own = |i: usize| through(self.search.nodes, id, i, Access::Own, &rows) == Access::Own;
        if node.shape.first() != Some(&self.spread.rows) || !(0..node.args.len()).filter(of_state).all(own) {
            return Err("its rows mix");
        }
        let wide = |id: NodeId| self.spread.is_wide(&self.node(id).shape);
        if !self.has_rows(id) {
            return Err(if wide(id) { LONG } else { "a value of its rows has another width than the states" });
        }
        let from = || self.node(node.args[0]);
        let keeps_columns = match &node.op {
            // Lanes hand each other numbers only.
            Op::Input(_) => node.dtype != DType::Bool,
            Op::Broadcast => true,
            op if is_elementwise(op) => true,
            Op::Sum { .. } | Op::Max { .. } | Op::Slice(_) => true,
            Op::Pad(start) => self.pads_only_columns(node, start),
            Op::Reshape => wide(id) == wide(node.args[0]),
            Op::Permute(perm) => !wide(node.args[0]) || perm.last() == Some(&(perm.len() - 1)),
            Op::Concat { axis } => axis + 1 < node.shape.len() || !wide(id) || self.joins_columns(node),
            Op::CumSum { .. } => !wide(id),
            Op::Gather | Op::SearchSorted => !self.of_state.contains(&node.args[0]),
            Op::MatMul => {
                let [k, m] = [from().shape[1], node.shape[1]];
                k.min(m) <= NARROW && (k <= NARROW || wide(node.args[0]))
            }
            _ => false,
        };
        if keeps_columns { Ok(()) } else { Err("a column of its rows needs other columns") }
    }

    /// A narrow row that becomes a wide one, column by column; or a wide one that stays in its columns.
    fn pads_only_columns(&self, node: &Node, start: &[usize]) -> bool {
        let from = &self.node(node.args[0]).shape;
        let axes = if from.last() == node.shape.last() { from.len() } else { from.len() - 1 };
        !self.spread.is_wide(&node.shape)
            || (axes == from.len() || (0..axes).all(|a| start[a] == 0 && from[a] == node.shape[a]))
    }

    /// A wide row put together from single columns of rows, and from what depends on no state.
    fn joins_columns(&self, node: &Node) -> bool {
        let few = |arg: &NodeId| self.node(*arg).shape.last().is_some_and(|&n| n <= NARROW);
        node.args.iter().filter(|arg| self.of_state.contains(arg)).all(few)
    }

    /// Whether a row of it is a few numbers, or a few wide rows.
    fn has_rows(&self, id: NodeId) -> bool {
        self.numbers(&self.node(id).shape[1..]) <= ROW_WIDTH
            || self.spread.is_wide(&self.node(id).shape) && !self.is_output(id)
    }

    fn is_output(&self, id: NodeId) -> bool {
        self.search.outputs.contains(&id) || self.search.states.values().any(|&input| input == id)
    }

    /// Numbers that a lane holds of axes without the rows.
    fn numbers(&self, axes: &[usize]) -> usize {
        match axes {
            [others @ .., width] if *width == self.spread.width => {
                others.iter().product::<usize>() * 4 * self.spread.chunks()
            }
            _ => axes.iter().product(),
        }
    }

    /// What depends on no state can be computed anywhere, if that is short.
    fn check_free(&self, id: NodeId) -> Result<(), &'static str> {
        match how(self.search.nodes, id) {
            How::Input | How::Inline => Ok(()),
            How::Loop | How::Parts(_) if self.is_sum_of_row(id) => Ok(()),
            _ => Err("a scan, a product or a long sum stands beside its states"),
        }
    }

    /// Whether lanes have to add up: a sum or maximum along a wide row, or a product that is one.
    fn is_sum_of_row(&self, id: NodeId) -> bool {
        let node = self.node(id);
        let along = |from: &Shape| self.spread.is_wide(from);
        match &node.op {
            Op::Sum { axes } | Op::Max { axes } => {
                let from = &self.node(node.args[0]).shape;
                along(from) && !axes.contains(&0) && axes.contains(&(from.len() - 1))
            }
            Op::MatMul => along(&self.node(node.args[0]).shape) && node.shape[1] <= NARROW,
            _ => false,
        }
    }

    /// Flops that a lane has to have written out for a node, about.
    fn text(&self, id: NodeId) -> f64 {
        let node = self.node(id);
        let numbers = |shape: &Shape| match shape.first() {
            Some(n) if *n == self.spread.rows || self.spread.is_wide(shape) => {
                self.numbers(&shape[1..]) * if *n == self.spread.rows { 1 } else { *n }
            }
            _ => shape.numel().min(ROW_WIDTH),
        };
        match &node.op {
            Op::Sum { .. } | Op::Max { .. } => numbers(&self.node(node.args[0]).shape) as f64,
            Op::MatMul => {
                let [a, b] = [0, 1].map(|i| &self.node(node.args[i]).shape);
                2.0 * numbers(a).max(numbers(b)) as f64 * a[1].min(node.shape[1]).min(NARROW) as f64
            }
            Op::Input(_) => 0.0,
            _ => numbers(&node.shape) as f64 * flops(self.search.nodes, id),
        }
    }
}
