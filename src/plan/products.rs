//! Small networks inside row kernels: which products are computed by the rows that use them.
//!
//! A product `[n, k] x [k, m]` with a small second operand needs of its first one only the row itself. A kernel of one
//! invocation for a few rows can therefore hold a whole network, forwards and backwards: each wide layer is an array of the
//! invocation's own, filled in a loop, and nothing goes through memory in between. This file decides for which products that
//! is done ("row products"), and which nodes are stored to keep such kernels apart and short.

use super::classify::{Access, Domain, How, how, through};
use super::lower::window;
use super::partition::{Cuts, Partitioner};
use crate::gpu::Caps;
use crate::graph::{DType, Node, NodeId, Op};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// How products of small matrices are computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Products {
    /// As the device suggests.
    #[default]
    Auto,
    /// Each by a tiled kernel of its own.
    Tiled,
    /// Inside the rows that use them, wherever sizes allow it.
    Rows,
}

/// The shape of a kernel that holds row products.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RowTile {
    /// Rows an invocation: a weight that is loaded once serves so many.
    pub rows: usize,
    /// Invocations a group; with `broadcast` that is one subgroup.
    pub group: u32,
    /// Whether each weight is loaded by one lane of a subgroup and handed to the others. A software adapter has no cheaper
    /// way: it spends ten instructions on a uniform load, and most of the compile time.
    pub broadcast: bool,
    /// Largest `k` and `m` of a product.
    pub widest: usize,
}

/// Terms of the sums of all products in one kernel. Each term is written out for every row of the tile and four columns, so
/// this bounds the text: 128 terms take a software adapter about two seconds to compile, 512 take eight.
const TERMS: usize = 160;
/// Why a value is stored that would make a kernel longer than that.
const ENOUGH: &str = "enough products for one kernel";
/// Operands of at most this width are cheap to store, and held in scalars; wider ones in arrays.
pub(super) const NARROW: usize = 16;

impl RowTile {
    fn choose(caps: &Caps, products: Products) -> Option<RowTile> {
        let lanes = caps.subgroups.filter(|(low, high)| low == high && low.is_multiple_of(4)).map(|(size, _)| size);
        match (products, caps.is_software(), lanes) {
            (Products::Tiled, ..) => None,
            (_, true, Some(group)) => Some(RowTile { rows: 2, group, broadcast: true, widest: 64 }),
            (Products::Auto, true, None) => None,
            _ => Some(RowTile { rows: 1, group: 64, broadcast: false, widest: 64 }),
        }
    }
}

/// The products of a graph that rows compute themselves.
#[derive(Default)]
pub(super) struct RowProducts {
    /// How; `None` if there is no such product.
    pub tile: Option<RowTile>,
    nodes: BTreeSet<NodeId>,
    /// Long sums along a row that row products enter.
    sums: BTreeSet<NodeId>,
}

/// Row products that a node's kernel would hold to compute it.
pub(super) type Held = BTreeSet<NodeId>;

impl RowProducts {
    pub fn choose(nodes: &[Rc<Node>], order: &[NodeId], caps: &Caps, products: Products) -> Self {
        let Some(tile) = RowTile::choose(caps, products) else { return RowProducts::default() };
        let mut all = RowProducts { tile: Some(tile), ..RowProducts::default() };
        let mut below: BTreeSet<NodeId> = BTreeSet::new(); // nodes that products enter
        for &id in order {
            let node = &nodes[id.index()];
            let rows = Domain::Rows(node.shape.first().copied().unwrap_or(0));
            let along_rows = |i: &usize| through(nodes, id, *i, Access::Own, &rows) == Access::Own;
            let entered = (0..node.args.len()).filter(along_rows).any(|i| below.contains(&node.args[i]));
            match how(nodes, id) {
                How::MatMul if is_candidate(nodes, id, caps, tile) => drop(all.nodes.insert(id)),
                How::Parts(_) if entered => drop(all.sums.insert(id)),
                _ => {}
            }
            if entered || all.contains(id) {
                below.insert(id);
            }
        }
        if all.nodes.is_empty() { RowProducts::default() } else { all }
    }

    pub fn contains(&self, id: NodeId) -> bool {
        self.nodes.contains(&id)
    }

    /// Whether it is a long sum along a row to which row products contribute: then it is one loop, in their kernel.
    pub fn is_sum_of_row(&self, id: NodeId) -> bool {
        self.sums.contains(&id)
    }

    /// Stores what would take rows out of their kernels, and what keeps a kernel from growing too long.
    pub fn cut(&self, part: &Partitioner<'_>, cut: &mut Cuts) {
        let mut held: BTreeMap<NodeId, Held> = BTreeMap::new();
        for &id in part.order {
            let node = &part.nodes[id.index()];
            let mut own = Held::new();
            for (i, &arg) in node.args.iter().enumerate() {
                let Some(below) = held.get(&arg).filter(|below| !below.is_empty()) else { continue };
                match self.reason_to_cut(part, id, i, below) {
                    Some(reason) => {
                        cut.entry(arg).or_insert(reason);
                        held.remove(&arg);
                    }
                    None => own.extend(below),
                }
            }
            self.bound(part.nodes, &node.args, &mut own, &mut held, cut);
            if self.contains(id) {
                own.insert(id);
            }
            if !cut.contains_key(&id) {
                held.insert(id, own);
            }
        }
    }

    /// What each argument holds fits into a kernel, but all together may not: then the longest are stored.
    fn bound(
        &self,
        nodes: &[Rc<Node>],
        args: &[NodeId],
        own: &mut Held,
        held: &mut BTreeMap<NodeId, Held>,
        cut: &mut Cuts,
    ) {
        while !self.fit(nodes, own) {
            let longest =
                args.iter().filter(|arg| held.contains_key(arg)).max_by_key(|arg| self.terms(nodes, &held[arg]));
            let Some(longest) = longest else { return };
            cut.entry(*longest).or_insert(ENOUGH);
            held.remove(longest);
            *own = args.iter().filter_map(|arg| held.get(arg)).flatten().copied().collect();
        }
    }

    fn reason_to_cut(&self, part: &Partitioner<'_>, id: NodeId, arg: usize, below: &Held) -> Option<&'static str> {
        let nodes = part.nodes;
        let rows = below.first().map_or(0, |p| nodes[p.index()].shape[0]);
        let leave = through(nodes, id, arg, Access::Own, &Domain::Rows(rows)) == Access::Any || !can_hold(nodes, id);
        if leave || !matches!(part.how(id), How::Inline | How::Loop) {
            return Some("rows leave their kernel");
        }
        let from = &nodes[nodes[id.index()].args[arg].index()].shape;
        let (terms, narrow) = (self.terms(nodes, below), from.numel() <= rows * NARROW);
        let more = if self.contains(id) { from[1] } else { 0 };
        let full = terms + more > TERMS || (narrow && 2 * terms >= TERMS);
        (more > 0 && full).then_some(ENOUGH)
    }

    /// Terms of the sums of these products.
    pub fn terms(&self, nodes: &[Rc<Node>], held: &Held) -> usize {
        held.iter().map(|p| nodes[nodes[p.index()].args[0].index()].shape[1]).sum()
    }

    /// Whether one kernel may hold all of these.
    pub fn fit(&self, nodes: &[Rc<Node>], held: &Held) -> bool {
        self.terms(nodes, held) <= TERMS
    }
}

/// Whether a kernel of rows can compute it beside row products: what is wide must be a matrix of whole vectors.
fn can_hold(nodes: &[Rc<Node>], id: NodeId) -> bool {
    let shape = &nodes[id.index()].shape;
    let rows = shape.first().copied().unwrap_or(1);
    shape.numel() <= rows * NARROW || (shape.len() == 2 && shape[1].is_multiple_of(4))
}

fn is_candidate(nodes: &[Rc<Node>], id: NodeId, caps: &Caps, tile: RowTile) -> bool {
    let node = &nodes[id.index()];
    if how(nodes, id) != How::MatMul || node.dtype != DType::F32 {
        return false;
    }
    let [a, b] = [0, 1].map(|i| &nodes[node.args[i].index()]);
    let (n, k, m) = (node.shape[0], a.shape[1], node.shape[1]);
    let sizes = k.max(m) <= tile.widest && k.is_multiple_of(4) && m.is_multiple_of(4);
    let enough = n >= tile.rows * tile.group as usize;
    // A transposed first operand is a sum over rows: not theirs.
    let of_rows = !matches!(a.op, Op::Permute(_));
    sizes && enough && of_rows && is_weight(nodes, node.args[1], b, caps)
}

/// Whether it is a matrix of parameters: a piece of a vector, or an input, transposed or not.
fn is_weight(nodes: &[Rc<Node>], id: NodeId, node: &Node, caps: &Caps) -> bool {
    if caps.is_software() {
        return window(nodes, id, caps).is_some_and(|window| is_table(&nodes[window.root.index()]));
    }
    let view = if matches!(node.op, Op::Permute(_)) { &nodes[node.args[0].index()] } else { node };
    is_table(view) || matches!(view.op, Op::Reshape) && is_piece(nodes, view.args[0])
}

fn is_piece(nodes: &[Rc<Node>], id: NodeId) -> bool {
    let node = &nodes[id.index()];
    node.shape.len() == 1 && matches!(node.op, Op::Slice(_) | Op::Input(_))
}

/// A bound matrix, or a vector (of parameters) however it comes about.
fn is_table(node: &Node) -> bool {
    matches!(node.op, Op::Input(_)) || node.shape.len() == 1
}
