//! How each node can be computed: inside whatever kernel asks for it, or only by a kernel of its own.

use super::emit::{binary_flops, unary_flops};
use crate::graph::{Draw, Node, NodeId, Op, Shape};
use std::rc::Rc;

/// Reductions of at most this many terms may stand inside another kernel.
pub(super) const INLINE_TERMS: usize = 64;
/// Most turns of all loops of a kernel: Mesa's llvmpipe ends them after 65,535, with no word about it.
pub(super) const LOOPS: usize = 65_000;
/// Rows of at most this many elements are held in scalars.
pub(super) const ROW_WIDTH: usize = 64;

/// How a node's value comes about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// Bound memory.
    Input,
    /// Wherever it is asked for.
    Inline,
    /// By a loop, once an element: stored, then read.
    Loop,
    /// In this many parts by a first kernel; whoever asks adds the parts.
    Parts(usize),
    /// By the tiled kernel `shaders/matmul.wgsl`.
    MatMul,
    /// By the kernel `shaders/scan.wgsl`.
    Scan,
    /// By the kernels of `shaders/apportion.wgsl`.
    Apportion,
    /// By the kernel `shaders/tridiagonal.wgsl`.
    Tridiagonal,
}

/// How this node's value comes about.
pub(super) fn how(nodes: &[Rc<Node>], id: NodeId) -> How {
    let node = &nodes[id.index()];
    match &node.op {
        Op::Input(_) => How::Input,
        Op::Sum { axes } | Op::Max { axes } => {
            let terms: usize = axes.iter().map(|&a| nodes[node.args[0].index()].shape[a]).product();
            reduction(terms, node.shape.numel())
        }
        Op::CumSum { axis } if node.shape[*axis] > INLINE_TERMS => How::Scan,
        Op::Apportion => How::Apportion,
        Op::Tridiagonal { .. } => How::Tridiagonal,
        Op::ScatterAdd if nodes[node.args[1].index()].shape.numel() > INLINE_TERMS => How::Loop,
        Op::MatMul => {
            let k = nodes[node.args[0].index()].shape[1];
            let (n, m) = (node.shape[0], node.shape[1]);
            match (k, n.min(m)) {
                (0..=4, _) => How::Inline,
                // Few rows of a network: one invocation a row would write out every term of every layer, a megabyte of text.
                (..=INLINE_TERMS, 0..=4) if k * m > 256 => How::Loop,
                (_, 0..=4) => reduction(k, n * m),
                (..=INLINE_TERMS, _) if k * m <= 256 => How::Inline,
                _ => How::MatMul,
            }
        }
        _ => How::Inline,
    }
}

/// A sum is cut into parts when there are too few results to keep a device busy, or too many terms for one sum.
fn reduction(terms: usize, results: usize) -> How {
    match terms {
        ..=INLINE_TERMS => How::Inline,
        _ if results >= 1024 && terms < 4096 => How::Loop,
        _ => How::Parts(parts(terms)),
    }
}

/// About the square root, so that neither stage has many more terms than the other; at most 1024, but no part of more than
/// half of [`LOOPS`].
pub(super) fn parts(terms: usize) -> usize {
    let mut parts = 8;
    while (parts * parts < terms && parts < 1024) || parts * (LOOPS / 2) < terms {
        parts *= 2;
    }
    parts
}

/// Rough cost of one element, in floating-point operations, without its arguments.
pub(super) fn flops(nodes: &[Rc<Node>], id: NodeId) -> f64 {
    let node = &nodes[id.index()];
    let source = || nodes[node.args[0].index()].shape.numel() as f64;
    match &node.op {
        Op::Unary(f) => unary_flops(*f),
        Op::Binary(f) => binary_flops(*f),
        Op::Compare(_) | Op::Select | Op::Cast => 1.0,
        Op::Sum { .. } | Op::Max { .. } => source() / node.shape.numel().max(1) as f64,
        Op::CumSum { axis } => node.shape[*axis] as f64,
        Op::MatMul => 2.0 * nodes[node.args[0].index()].shape[1] as f64,
        Op::Random(Draw::Bits | Draw::Uniform) => 25.0,
        Op::Random(Draw::Normal(_)) => 40.0,
        Op::SearchSorted => 40.0,
        Op::Apportion => 200.0,
        Op::Tridiagonal { .. } => 10.0,
        Op::ScatterAdd => 2.0 * nodes[node.args[1].index()].shape.numel() as f64,
        Op::Stencil { taps, .. } => 2.0 * taps.len() as f64,
        Op::Gather => 2.0,
        Op::Pad(_) | Op::Concat { .. } => 1.0,
        _ => 0.0,
    }
}

/// Arguments that are read at places that have nothing to do with the reader's own: they must lie in memory.
pub(super) fn read_at_random(node: &Node) -> &[NodeId] {
    match &node.op {
        Op::Gather | Op::SearchSorted | Op::Apportion => &node.args[..1],
        Op::ScatterAdd | Op::CumSum { .. } | Op::Stencil { .. } => &node.args,
        _ => &[],
    }
}

/// The set of places that a kernel's invocations stand for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Domain {
    /// One invocation a row, the row's elements in scalars.
    Rows(usize),
    /// One invocation an element, or for four of them.
    Elements(Shape),
    /// A team an element, or for four of them: each invocation has a share of the terms, and together they add them up.
    Teams(Shape, Team),
}

/// Invocations of one workgroup that add up what each of them found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Team {
    /// How many, a power of two.
    pub size: usize,
    /// How many neighbouring sums they make together, 1 or 4.
    pub lanes: usize,
}

impl Domain {
    /// Where a node of this shape is best computed.
    pub(super) fn of(shape: &Shape) -> Domain {
        match shape.first() {
            Some(&n) if shape.numel() <= n * ROW_WIDTH => Domain::Rows(n),
            _ => Domain::Elements(shape.clone()),
        }
    }
}

/// How a kernel's invocation reads an argument, seen from its own place in the domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Access {
    /// Only its own row (`Rows`) or element (`Elements`).
    Own,
    /// Elsewhere, too.
    Any,
}

/// How argument `arg` of `node` is accessed when the node itself is accessed in this way.
pub(super) fn through(nodes: &[Rc<Node>], id: NodeId, arg: usize, access: Access, domain: &Domain) -> Access {
    let node = &nodes[id.index()];
    let from = &nodes[node.args[arg].index()].shape;
    let own = match domain {
        Domain::Elements(shape) => is_elementwise(&node.op) && from == shape,
        Domain::Teams(..) => false,
        Domain::Rows(n) => from.first() == Some(n) && node.shape.first() == Some(n) && keeps_rows(nodes, node, arg),
    };
    if own { access } else { Access::Any }
}

pub(super) fn is_elementwise(op: &Op) -> bool {
    matches!(op, Op::Unary(_) | Op::Binary(_) | Op::Compare(_) | Op::Select | Op::Cast | Op::StopGrad)
}

/// Whether row `i` of a node needs only row `i` of this argument, both having as many rows.
fn keeps_rows(nodes: &[Rc<Node>], node: &Node, arg: usize) -> bool {
    let from = &nodes[node.args[arg].index()].shape;
    match &node.op {
        op if is_elementwise(op) => true,
        Op::Sum { axes } | Op::Max { axes } => !axes.contains(&0),
        Op::CumSum { axis } | Op::Tridiagonal { axis, .. } => *axis != 0,
        Op::Reshape => true,
        Op::Permute(perm) => perm[0] == 0,
        Op::Broadcast => from.len() == node.shape.len(),
        Op::Slice(start) | Op::Pad(start) => start[0] == 0,
        Op::Concat { axis } => *axis != 0,
        Op::Gather => arg == 1,
        Op::MatMul => arg == 0,
        Op::SearchSorted => arg == 1,
        Op::Stencil { taps, .. } => taps.iter().all(|tap| tap.offset.len() < from.len()),
        _ => false,
    }
}
