//! The table of transposes: one arm a linear operation, what the cotangent of its value gives to one argument.

use super::linear::{product, slice_of, transposed};
use crate::error::{Error, Result};
use crate::graph::{Binary, Graph, Node, NodeId, Op, Shape, Tap, Unary, Var};

/// What has come back to a node so far.
#[derive(Default)]
pub(super) struct Cotangent<'g> {
    sum: Option<Var<'g>>,
    /// Cotangents of slices, kept apart until all are known: neighbours join without zeros between them.
    boxes: Vec<(Vec<usize>, Var<'g>)>,
}

impl<'g> Cotangent<'g> {
    pub(super) fn add(&mut self, ct: Var<'g>) {
        self.sum = super::jvp::add(self.sum, Some(ct));
    }

    pub(super) fn add_box(&mut self, start: &[usize], ct: Var<'g>) {
        let same = self.boxes.iter_mut().find(|(at, old)| at == start && old.shape() == ct.shape());
        match same {
            Some((_, old)) => *old = *old + ct,
            None => self.boxes.push((start.to_vec(), ct)),
        }
    }

    /// The sum, for a node of this shape.
    pub(super) fn total(self, shape: &Shape) -> Option<Var<'g>> {
        super::jvp::add(self.sum, assemble(self.boxes, shape))
    }
}

/// A tensor with these boxes in it and zeros elsewhere: a concatenation if they follow one another along one axis.
fn assemble<'g>(mut boxes: Vec<(Vec<usize>, Var<'g>)>, shape: &Shape) -> Option<Var<'g>> {
    boxes.sort_by(|a, b| a.0.cmp(&b.0));
    if let Some(joined) = join(&boxes, shape) {
        return Some(joined);
    }
    let mut sum = None;
    for (start, ct) in boxes {
        sum = super::jvp::add(sum, Some(ct.pad(start, shape)));
    }
    sum
}

fn join<'g>(boxes: &[(Vec<usize>, Var<'g>)], shape: &Shape) -> Option<Var<'g>> {
    if boxes.len() < 2 {
        return None;
    }
    let is_partial = |i: &usize| boxes.iter().any(|(_, ct)| ct.shape()[*i] != shape[*i]);
    let mut partial = (0..shape.len()).filter(is_partial);
    let (axis, None) = (partial.next()?, partial.next()) else { return None };
    let g = boxes[0].1.graph();
    let gap = |len: usize| {
        let mut gap = shape.to_vec();
        gap[axis] = len;
        g.full(0.0, gap)
    };
    let (mut parts, mut at) = (vec![], 0);
    for (start, ct) in boxes {
        if start[axis] < at {
            return None;
        }
        if start[axis] > at {
            parts.push(gap(start[axis] - at));
        }
        parts.push(*ct);
        at = start[axis] + ct.shape()[axis];
    }
    if at < shape[axis] {
        parts.push(gap(shape[axis] - at));
    }
    Var::concat(&parts, axis)
}

/// Give to argument `k` of the linear `node` its share of the node's cotangent.
pub(super) fn transpose<'g>(
    g: &'g Graph,
    id: NodeId,
    node: &Node,
    k: usize,
    ct: Var<'g>,
    to: &mut Cotangent<'g>,
) -> Result<()> {
    let arg = |i: usize| g.var(node.args[i]);
    let shape = arg(k).shape();
    match (&node.op, k) {
        (Op::Unary(Unary::Neg), _) => to.add(-ct),
        (Op::Binary(Binary::Add), _) | (Op::Binary(Binary::Sub), 0) => to.add(ct),
        (Op::Binary(Binary::Sub), _) => to.add(-ct),
        (Op::Binary(Binary::Mul), _) => to.add(ct * arg(1 - k)),
        (Op::Binary(Binary::Div), 0) => to.add(ct / arg(1)),
        (Op::Select, 1) => to.add(arg(0).select(ct, ct.zeros_like())),
        (Op::Select, 2) => to.add(arg(0).select(ct.zeros_like(), ct)),
        (Op::Sum { axes }, _) => to.add(ct.reshape(kept(&shape, axes)).broadcast_to(shape)),
        (Op::CumSum { axis }, _) => {
            // The running sum from the other end: total - (sum up to here) + here.
            let total = ct.sum(*axis).reshape(kept(&shape, &[*axis]));
            to.add(total - ct.cumsum(*axis) + ct);
        }
        (Op::Reshape, _) => to.add(ct.reshape(shape)),
        (Op::Permute(perm), _) => to.add(ct.permute(inverse(perm))),
        (Op::Broadcast, _) => to.add(sum_to(ct, &shape)),
        (Op::Slice(start), _) => to.add_box(start, ct),
        (Op::Pad(start), _) => to.add(slice_of(ct, start, &shape)),
        (Op::Concat { axis }, _) => {
            let mut start = vec![0; shape.len()];
            start[*axis] = (0..k).map(|i| arg(i).shape()[*axis]).sum();
            to.add(slice_of(ct, &start, &shape));
        }
        (Op::Gather, 0) => to.add(gather(ct, arg(1), &shape)),
        (Op::ScatterAdd, 0) => to.add(ct.gather(arg(1))),
        (Op::MatMul, 0) => to.add(product(ct, transposed(arg(1)))),
        (Op::MatMul, _) => to.add(product(transposed(arg(0)), ct)),
        (Op::Stencil { taps, boundary }, _) => {
            let back = |tap: &Tap| Tap::new(tap.offset.iter().map(|o| -o).collect::<Vec<_>>(), tap.weight());
            to.add(ct.stencil(&taps.iter().map(back).collect::<Vec<_>>(), *boundary));
        }
        (Op::Tridiagonal { axis }, 3) => to.add(super::solve::transposed(g, node, *axis, ct)),
        _ => {
            let why = format!("node #{} is not linear in its argument {k}; this is a mistake in a rule", id.index());
            return Err(Error::NotDifferentiable { op: node.op.name(), why, at: Some(node.site) });
        }
    }
    Ok(())
}

/// Sum each row's cotangent into the row it was read from; both clamp their indices.
fn gather<'g>(ct: Var<'g>, index: Var<'g>, from: &Shape) -> Var<'g> {
    let count = index.shape().numel();
    let mut rows = from.to_vec();
    rows[0] = count;
    ct.reshape(rows).scatter_add(index.reshape([count]), from[0])
}

/// The transpose of a broadcast from `shape`.
fn sum_to<'g>(ct: Var<'g>, shape: &Shape) -> Var<'g> {
    let wide = ct.shape();
    let new = wide.len() - shape.len();
    let axes: Vec<_> = (0..wide.len()).filter(|&i| wide[i] != 1 && (i < new || shape[i - new] != wide[i])).collect();
    ct.sum(axes).reshape(shape)
}

/// The shape with length 1 on these axes.
fn kept(shape: &Shape, axes: &[usize]) -> Shape {
    let axis = |(i, &n): (usize, &usize)| if axes.contains(&i) { 1 } else { n };
    shape.iter().enumerate().map(axis).collect::<Vec<_>>().into()
}

pub(super) fn inverse(perm: &[usize]) -> Vec<usize> {
    let mut back = vec![0; perm.len()];
    for (i, &p) in perm.iter().enumerate() {
        back[p] = i;
    }
    back
}
