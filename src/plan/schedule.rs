//! Which kernel computes each stored node.
//!
//! A kernel stands at a *level*: one more than the deepest kernel it waits for. Nodes of one domain and level share a
//! kernel, and a node joins the kernel of its arguments when it reads only its own place.

use super::classify::{Access, Domain, How, LOOPS, flops};
use super::lower::lanes;
use super::partition::{Body, Cuts, Group, Partitioner};
use super::products::Held;
use super::stencils::Pass;
use crate::graph::{NodeId, Op};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Most turns of the long loops of a kernel; what is left are those of small networks and short sums.
const LONG_LOOPS: usize = LOOPS - 5_000;

/// Kernels under construction.
pub(super) struct Schedule<'p, 'a> {
    part: &'p Partitioner<'a>,
    cut: &'p Cuts,
    groups: Vec<Group>,
    /// The group after which a node can be read.
    home: HashMap<NodeId, usize>,
    /// Bound tensors of each group.
    tensors: Vec<BTreeSet<NodeId>>,
    /// Row products of each group.
    held: Vec<Held>,
    /// Turns of the long loops of each group.
    turns: Vec<usize>,
}

impl<'p, 'a> Schedule<'p, 'a> {
    pub fn new(part: &'p Partitioner<'a>, cut: &'p Cuts) -> Self {
        Schedule { part, cut, groups: vec![], home: HashMap::new(), tensors: vec![], held: vec![], turns: vec![] }
    }

    /// The kernels, in the order in which they were opened.
    pub fn groups(self) -> Vec<Group> {
        self.groups
    }

    fn reads(&self, id: NodeId, domain: &Domain) -> BTreeMap<NodeId, Access> {
        if self.home.contains_key(&id) {
            return BTreeMap::from([(id, Access::Any)]); // its parts, which a group before has made
        }
        self.part.reads(id, domain, &|id| self.cut.contains_key(&id) || self.home.contains_key(&id)).0
    }

    fn level_after(&self, reads: &BTreeMap<NodeId, Access>) -> usize {
        reads.keys().filter_map(|id| self.home.get(id)).map(|&g| self.groups[g].level + 1).max().unwrap_or(0)
    }

    /// Tensors that a kernel binds to compute and store this node.
    fn tensors(&self, id: NodeId, reads: &BTreeMap<NodeId, Access>) -> BTreeSet<NodeId> {
        let bound = |id: &NodeId| self.part.is_input(*id) || self.part.outputs.contains(id);
        let own = reads.keys().chain([&id]).copied();
        let all = own.filter(|id| bound(id) || self.part.windowed.contains(id));
        all.map(|id| self.part.states.get(&id).copied().unwrap_or(id)).collect()
    }

    /// A kernel made around this node.
    pub fn alone(&mut self, id: NodeId, body: Body, domain: Domain) {
        let reads = self.reads(id, &domain);
        let roots = if matches!(body, Body::Parts(..)) { vec![] } else { vec![id] };
        let level = self.level_after(&reads);
        self.tensors.push(self.tensors(id, &reads));
        self.held.push(Held::new());
        self.turns.push(0);
        self.groups.push(Group { body, domain, level, roots });
        self.home.insert(id, self.groups.len() - 1);
    }

    /// A kernel for a pass of stencils, once for all that it stores.
    pub fn pass(&mut self, at: usize, pass: &Pass) {
        if pass.roots.iter().any(|root| self.home.contains_key(root)) {
            return;
        }
        let domain = Domain::Elements(pass.shape.clone());
        let reads: BTreeMap<_, _> = pass.roots.iter().flat_map(|&root| self.reads(root, &domain)).collect();
        let tensors = pass.roots.iter().flat_map(|&root| self.tensors(root, &reads)).collect();
        let level = self.level_after(&reads);
        self.tensors.push(tensors);
        self.held.push(Held::new());
        self.turns.push(0);
        self.groups.push(Group { body: Body::Stencils(at), domain, level, roots: pass.roots.clone() });
        self.home.extend(pass.roots.iter().map(|&root| (root, self.groups.len() - 1)));
    }

    /// Put a cut node into a kernel that can take it, or into a new one.
    pub fn place(&mut self, id: NodeId) {
        let shape = self.part.nodes[id.index()].shape.clone();
        let held = self.held(id);
        let team = self.part.stages.teams.get(&id);
        let best = match (held.first(), team) {
            (Some(product), _) => Domain::Rows(self.part.nodes[product.index()].shape[0]),
            (None, Some(&team)) => Domain::Teams(shape.clone(), team),
            // Sums in stages are spread over as many invocations as possible.
            _ if self.part.stages.left.contains(&id) => Domain::Elements(shape.clone()),
            _ if self.is_many_loops(id) => Domain::Elements(shape.clone()),
            _ => Domain::of(&shape),
        };
        let elements = (held.is_empty() && team.is_none()).then_some(Domain::Elements(shape));
        let g = self
            .join_arguments(id, &best, &held)
            .or_else(|| elements.and_then(|domain| self.join_arguments(id, &domain, &held)))
            .unwrap_or_else(|| self.join_level(id, best, &held));
        self.groups[g].roots.push(id);
        self.held[g].extend(held);
        self.turns[g] += self.turns_of(id, &self.groups[g].domain);
        let reads = self.reads(id, &self.groups[g].domain);
        let tensors = self.tensors(id, &reads);
        self.tensors[g].extend(tensors);
        self.home.insert(id, g);
    }

    /// Whether a row of it would be many loops, each adding up the parts of one element: a software adapter compiles a kernel
    /// of 64 of them for 18 seconds.
    fn is_many_loops(&self, id: NodeId) -> bool {
        let node = &self.part.nodes[id.index()];
        let summed = match self.part.how(id) {
            How::Parts(_) => true,
            How::Loop => matches!(node.op, Op::MatMul | Op::ScatterAdd),
            _ => false,
        };
        summed && node.shape.first().is_some_and(|&n| node.shape.numel() > 4 * n)
    }

    /// Row products that a kernel would hold to compute this node.
    fn held(&self, id: NodeId) -> Held {
        let stop = |id: NodeId| self.cut.contains_key(&id) || self.home.contains_key(&id);
        let (_, inlined) = self.part.reads(id, &Domain::Rows(0), &stop); // the domain decides about accesses only
        inlined.into_iter().filter(|&id| self.part.products.contains(id)).collect()
    }

    /// Turns of the loops in which an invocation of this domain computes its elements of this node, if each is a loop of its own.
    fn turns_of(&self, id: NodeId, domain: &Domain) -> usize {
        let node = &self.part.nodes[id.index()];
        let elements = |arg: usize| self.part.nodes[node.args[arg].index()].shape.numel();
        let each = match (self.part.how(id), &node.op) {
            (How::Loop, Op::ScatterAdd) => elements(1),
            (How::Loop, _) => elements(0) / node.shape.numel().max(1),
            _ => 0,
        };
        each * match domain {
            Domain::Rows(n) => node.shape.numel() / (*n).max(1),
            Domain::Elements(shape) => lanes(shape),
            Domain::Teams(_, team) => team.lanes,
        }
    }

    fn fits(&self, g: usize, id: NodeId, more: &BTreeSet<NodeId>, held: &Held) -> bool {
        let products: Held = self.held[g].union(held).copied().collect();
        self.turns[g] + self.turns_of(id, &self.groups[g].domain) <= LONG_LOOPS
            && self.tensors[g].union(more).count() <= self.part.max_tensors
            && self.part.products.fit(self.part.nodes, &products)
    }

    /// The kernel of the deepest arguments, if this node needs from it only what each invocation holds itself.
    fn join_arguments(&self, id: NodeId, domain: &Domain, held: &Held) -> Option<usize> {
        let reads = self.reads(id, domain);
        let level = self.level_after(&reads).checked_sub(1)?;
        let mut deepest = reads
            .iter()
            .filter_map(|(r, a)| Some((*self.home.get(r)?, r, a)))
            .filter(|(g, ..)| self.groups[*g].level == level);
        let (g, ..) = deepest.clone().next()?;
        let group = &self.groups[g];
        let own = deepest.all(|(other, read, access)| {
            other == g && *access == Access::Own && group.roots.contains(read) && *read != id
        });
        let takes = match group.body {
            Body::Map => true,
            Body::MatMul(product) => self.inlined_flops(id, domain) <= (self.part.epilogue_flops)(product),
            Body::Parts(..) | Body::Scan(_) | Body::Apportion(_) | Body::Stencils(_) | Body::Tridiagonal(_) => false,
        };
        (own && takes && group.domain == *domain && self.fits(g, id, &self.tensors(id, &reads), held)).then_some(g)
    }

    /// Cost of one element, with everything inlined into it.
    fn inlined_flops(&self, id: NodeId, domain: &Domain) -> f64 {
        let stop = |id: NodeId| self.cut.contains_key(&id) || self.home.contains_key(&id);
        let (_, inlined) = self.part.reads(id, domain, &stop);
        inlined.iter().map(|&id| flops(self.part.nodes, id)).sum()
    }

    /// A kernel of this domain at the first level where all arguments are there.
    fn join_level(&mut self, id: NodeId, domain: Domain, held: &Held) -> usize {
        let reads = self.reads(id, &domain);
        let (level, tensors) = (self.level_after(&reads), self.tensors(id, &reads));
        let same = |g: &usize| {
            let group = &self.groups[*g];
            group.body == Body::Map
                && group.level == level
                && group.domain == domain
                && self.fits(*g, id, &tensors, held)
        };
        if let Some(g) = (0..self.groups.len()).find(same) {
            return g;
        }
        self.groups.push(Group { body: Body::Map, domain, level, roots: vec![] });
        self.tensors.push(BTreeSet::new());
        self.held.push(Held::new());
        self.turns.push(0);
        self.groups.len() - 1
    }
}
