//! Which nodes are stored, and which kernel computes each of them.
//!
//! A node is *cut* when its value must lie in memory: outputs, operands and results of tiled kernels, tables that are
//! read at random, and what would otherwise be computed several times. Everything between cuts is inlined into the
//! kernels that need it. A kernel stands at a *level*: one more than the deepest kernel it waits for. Cut nodes of one
//! domain and level share a kernel, and a node joins the kernel of its arguments when it reads only its own place.

use super::classify::{Access, Domain, How, how, read_at_random, through};
use super::lower::Tiles;
use super::products::RowProducts;
use super::row_sums::RowSums;
use super::schedule::Schedule;
use super::spread::Spread;
use super::stages::Stages;
use super::stencils::Passes;
use crate::graph::{Node, NodeId, Op};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::rc::Rc;

/// What a kernel is made around.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// Straight-line code an invocation.
    Map,
    /// A tiled matrix product; the kernel's nodes are its epilogue.
    MatMul(NodeId),
    /// The parts of a reduction.
    Parts(NodeId, usize),
    /// A running sum.
    Scan(NodeId),
    /// A pass of stencils, by its position.
    Stencils(usize),
    /// Places shared out among weights.
    Apportion(NodeId),
    /// A solve along an axis.
    Tridiagonal(NodeId),
}

/// One kernel: what it is made around, where its invocations stand, and what it stores.
#[derive(Clone, Debug)]
pub struct Group {
    /// What it is made around.
    pub body: Body,
    /// Where its invocations stand.
    pub domain: Domain,
    /// Longest chain of kernels before it.
    pub level: usize,
    /// Nodes that it computes and other kernels or the user read.
    pub roots: Vec<NodeId>,
}

/// Nodes whose values lie in memory, and why.
pub(super) type Cuts = BTreeMap<NodeId, &'static str>;

/// The result: kernels in order of execution, the launch of each, and why each node was cut.
pub(super) struct Partition {
    pub groups: Vec<Group>,
    /// Ascending, from 0 without gaps.
    pub launches: Vec<usize>,
    pub cut: Cuts,
}

pub(super) struct Partitioner<'a> {
    pub nodes: &'a [Rc<Node>],
    /// Nodes needed, ascending.
    pub order: &'a [NodeId],
    pub outputs: &'a [NodeId],
    /// The input whose next value an output is: both are one tensor.
    pub states: &'a HashMap<NodeId, NodeId>,
    /// Most tensors that one kernel may bind beside the arena and the fault word.
    pub max_tensors: usize,
    /// Most flops an element for which a node may join the epilogue of this tiled product. What is written out for every
    /// element of a register tile costs seconds of compilation if it is dear; it gets a kernel of its own then.
    pub epilogue_flops: &'a dyn Fn(NodeId) -> f64,
    /// Tiles of all tiled products.
    pub tiles: &'a Tiles,
    /// Products that rows compute themselves.
    pub products: &'a RowProducts,
    /// Sums along the rows of a product, made by its kernel.
    pub row_sums: &'a RowSums,
    /// Stencils that one kernel computes in one pass over memory.
    pub passes: &'a Passes,
    /// Values that are read through uniform windows. They get tensors of their own: the arena is bound for writing.
    pub windowed: &'a BTreeSet<NodeId>,
    /// What stages of long sums leave.
    pub stages: &'a Stages,
    /// How the rows of the one kernel of this plan are spread over subgroups.
    pub spread: Option<&'a Spread>,
}

impl Partitioner<'_> {
    pub fn run(&self) -> Partition {
        if let Some(spread) = self.spread {
            return spread.partition(self.outputs, |id| self.is_input(id));
        }
        let mut cut = self.must_cut();
        loop {
            let groups = self.schedule(&cut);
            let mut more = self.computed_twice(&groups, &cut);
            if more.is_empty() {
                more = self.too_many_tensors(&groups, &cut);
            }
            if more.is_empty() {
                return Partition { launches: (0..groups.len()).collect(), groups, cut };
            }
            cut.extend(more);
        }
    }

    pub fn how(&self, id: NodeId) -> How {
        if self.spread.is_some() {
            return if self.is_input(id) { How::Input } else { How::Inline };
        }
        if let Some(sum) = self.row_sums.get(id) {
            return How::Parts(sum.parts);
        }
        match how(self.nodes, id) {
            How::MatMul if self.products.contains(id) || self.row_sums.contains(id) => How::Inline,
            How::Parts(_) if self.products.is_sum_of_row(id) => How::Loop,
            How::MatMul => match self.tiles.split_k(id) {
                0 | 1 => How::MatMul,
                parts => How::Parts(parts),
            },
            other => other,
        }
    }

    pub fn is_input(&self, id: NodeId) -> bool {
        matches!(self.nodes[id.index()].op, Op::Input(_) | Op::FoldIn(_))
    }

    /// Whether reading it costs nothing: constants, and views of them.
    pub fn is_free(&self, id: NodeId) -> bool {
        let node = &self.nodes[id.index()];
        match node.op {
            Op::Const(_) | Op::Step | Op::Iota { .. } => true,
            Op::Broadcast | Op::Reshape | Op::Permute(_) | Op::Slice(_) | Op::StopGrad => {
                self.is_free(node.args[0]) || self.is_input(node.args[0])
            }
            _ => self.is_input(id),
        }
    }

    fn must_cut(&self) -> Cuts {
        let mut cut: Cuts = self.row_sums.tables.iter().map(|&id| (id, "a table of which tiles read rows")).collect();
        for &id in self.order {
            let node = &self.nodes[id.index()];
            match self.how(id) {
                How::MatMul => drop(cut.insert(id, "result of a tiled product")),
                How::Scan => drop(cut.insert(id, "result of a scan")),
                How::Apportion => drop(cut.insert(id, "owners of places")),
                How::Tridiagonal => {
                    cut.insert(id, "result of a solve");
                    node.args.iter().for_each(|&arg| self.cut_coefficient(arg, &mut cut));
                }
                How::Loop => drop(cut.insert(id, "a long sum, computed once an element")),
                How::Input | How::Inline | How::Parts(_) => {}
            }
            // A pass of stencils has its neighbours at hand.
            let at_random = if self.passes.of(id).is_some() { &[] } else { read_at_random(node) };
            for &arg in at_random.iter().filter(|&&arg| !self.is_free(arg)) {
                cut.insert(arg, "a table read at any place");
            }
            if self.is_tiled(id) {
                match self.prologue(id, &cut) {
                    Some(values) => values.into_iter().for_each(|id| self.cut_value(id, &mut cut)),
                    None if self.products.contains(id) => {}
                    None => self.cut_operand(node.args[0], &mut cut),
                }
                self.cut_operand(node.args[1], &mut cut);
            }
        }
        cut.extend(self.stages.left.iter().map(|&id| (id, "a stage of a long sum")));
        for &id in self.outputs.iter().filter(|&&id| !self.is_input(id)) {
            cut.insert(id, "an output");
        }
        self.passes.cut(self, &mut cut);
        self.products.cut(self, &mut cut);
        cut
    }

    fn is_tiled(&self, id: NodeId) -> bool {
        how(self.nodes, id) == How::MatMul
    }

    fn cut_value(&self, id: NodeId, cut: &mut Cuts) {
        cut.entry(id).or_insert("the same for many elements");
    }

    /// A tiled kernel reads every element of an operand many times: keep what is more than a view or two flops.
    fn cut_operand(&self, arg: NodeId, cut: &mut Cuts) {
        let node = &self.nodes[arg.index()];
        match node.op {
            _ if self.is_free(arg) => {}
            Op::Reshape | Op::Permute(_) | Op::Slice(_) | Op::StopGrad => self.cut_operand(node.args[0], cut),
            _ => drop(cut.entry(arg).or_insert("operand of a tiled product")),
        }
    }

    /// A solve reads each element of an argument once; what lies behind a broadcast it reads once a line.
    fn cut_coefficient(&self, arg: NodeId, cut: &mut Cuts) {
        let node = &self.nodes[arg.index()];
        match node.op {
            _ if self.is_free(arg) => {}
            Op::Broadcast | Op::Reshape | Op::Permute(_) | Op::Slice(_) | Op::StopGrad => {
                self.cut_coefficient(node.args[0], cut);
            }
            // Constants with other ends, as walls need them.
            Op::Concat { .. } | Op::Pad(_) if node.args.len() <= 3 && node.args.iter().all(|&a| self.is_free(a)) => {}
            _ => drop(cut.entry(arg).or_insert("operand of a solve")),
        }
    }

    /// What a kernel rooted here reads from memory, and how; and what it computes on the way.
    pub fn reads(
        &self,
        root: NodeId,
        domain: &Domain,
        stop: &dyn Fn(NodeId) -> bool,
    ) -> (BTreeMap<NodeId, Access>, HashSet<NodeId>) {
        let (mut reads, mut inlined) = (BTreeMap::new(), HashSet::new());
        let mut seen = HashSet::new();
        let mut stack = vec![(root, Access::Own)];
        while let Some((id, access)) = stack.pop() {
            if !seen.insert((id, access)) {
                continue;
            }
            if id != root && (stop(id) || self.is_input(id)) {
                let worst = reads.entry(id).or_insert(access);
                *worst = (*worst).max(access);
                continue;
            }
            inlined.insert(id);
            for (i, &arg) in self.nodes[id.index()].args.iter().enumerate() {
                stack.push((arg, through(self.nodes, id, i, access, domain)));
            }
        }
        (reads, inlined)
    }

    fn schedule(&self, cut: &Cuts) -> Vec<Group> {
        let mut plan = Schedule::new(self, cut);
        for id in self.passes.order(self.nodes, self.order) {
            let node = &self.nodes[id.index()];
            if let Some(pass) = self.passes.stored_by(id) {
                plan.pass(pass, &self.passes.list[pass]);
                continue;
            }
            match self.how(id) {
                How::MatMul => plan.alone(id, Body::MatMul(id), Domain::Elements(node.shape.clone())),
                How::Scan => plan.alone(id, Body::Scan(id), Domain::Elements(node.shape.clone())),
                How::Apportion => plan.alone(id, Body::Apportion(id), Domain::Elements(node.shape.clone())),
                How::Tridiagonal => plan.alone(id, Body::Tridiagonal(id), Domain::Elements(node.shape.clone())),
                How::Parts(parts) => {
                    plan.alone(id, Body::Parts(id, parts), Domain::Elements(node.shape.clone()));
                    if cut.contains_key(&id) {
                        plan.place(id);
                    }
                }
                _ if cut.contains_key(&id) => plan.place(id),
                _ => {}
            }
        }
        let mut groups = plan.groups();
        groups.sort_by_key(|group| group.level); // stable: ties stay in the order of their first node
        self.prune(&mut groups);
        groups
    }

    /// Results that nobody reads from memory are not stored.
    fn prune(&self, groups: &mut [Group]) {
        let homes: HashMap<NodeId, usize> =
            groups.iter().enumerate().flat_map(|(g, group)| group.roots.iter().map(move |&r| (r, g))).collect();
        let mut needed: HashSet<NodeId> = self.outputs.iter().copied().collect();
        for (g, group) in groups.iter().enumerate() {
            for id in self.group_reads(group, &|id| homes.contains_key(&id) && homes[&id] != g).0.into_keys() {
                needed.insert(id);
            }
        }
        for group in groups.iter_mut() {
            group.roots.retain(|id| needed.contains(id));
        }
    }

    /// [`reads`](Self::reads) of all that a group computes.
    pub fn group_reads(
        &self,
        group: &Group,
        stop: &dyn Fn(NodeId) -> bool,
    ) -> (BTreeMap<NodeId, Access>, HashSet<NodeId>) {
        let (mut all, mut inlined) = (BTreeMap::new(), HashSet::new());
        let made_around = match group.body {
            Body::Map | Body::Stencils(_) => None,
            Body::MatMul(id) | Body::Parts(id, _) | Body::Scan(id) | Body::Apportion(id) | Body::Tridiagonal(id) => {
                Some(id)
            }
        };
        let own_parts = |id: NodeId| match group.body {
            Body::Parts(own, _) => id != own && matches!(self.how(id), How::Parts(_)),
            _ => matches!(self.how(id), How::Parts(_)),
        };
        for &id in group.roots.iter().chain(&made_around) {
            // A root in parts is read, not computed, by the kernel that adds the parts.
            if own_parts(id) {
                all.insert(id, Access::Any);
                inlined.insert(id);
                continue;
            }
            let inner_stop = |other: NodeId| {
                (stop(other) || own_parts(other)) || (Some(other) == made_around && group.body != Body::Map)
            };
            let (reads, within) = self.reads(id, &group.domain, &inner_stop);
            for (node, access) in reads.into_iter().filter(|(node, _)| Some(*node) != made_around) {
                // The operands of a product or a scan are read at any place, and so is all that tiles with halos read.
                let anywhere = Some(id) == made_around || matches!(group.body, Body::Stencils(_));
                let access = if anywhere { Access::Any } else { access };
                let worst = all.entry(node).or_insert(access);
                *worst = (*worst).max(access);
            }
            inlined.extend(within);
        }
        (all, inlined)
    }
}
