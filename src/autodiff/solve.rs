//! Derivatives of solves: `A x = r` gives `A dx = dr - dA x`, and the transpose of a solve is the solve by `A'`.

use super::jvp::add;
use crate::graph::{Graph, Node, NodeId, Op, Var};

/// Tangent of a tridiagonal solve, from those of `lower`, `diag`, `upper` and the right side.
pub(super) fn tangent<'g>(
    g: &'g Graph,
    id: NodeId,
    node: &Node,
    axis: usize,
    t: &[Option<Var<'g>>],
) -> Option<Var<'g>> {
    let x = g.var(id);
    let moved = [
        t[0].map(|t| t * beside(x, axis, Side::Before)),
        t[1].map(|t| t * x),
        t[2].map(|t| t * beside(x, axis, Side::After)),
    ];
    let change = moved.into_iter().fold(None, add).map(|moved| -moved);
    let right = add(t[3], change)?;
    let args = node.args[..3].iter().copied().chain([right.id()]).collect();
    Some(g.push(node.op.clone(), args, node.shape.clone(), node.dtype, node.site))
}

/// What the cotangent of a tridiagonal solve gives to its right side.
pub(super) fn transposed<'g>(g: &'g Graph, node: &Node, axis: usize, ct: Var<'g>) -> Var<'g> {
    let [lower, upper] = [0, 2].map(|i| g.var(node.args[i]));
    let args = vec![
        coefficient(upper, axis, Side::Before).id(),
        node.args[1],
        coefficient(lower, axis, Side::After).id(),
        ct.id(),
    ];
    g.push(Op::Tridiagonal { axis }, args, node.shape.clone(), node.dtype, node.site)
}

#[derive(Clone, Copy)]
enum Side {
    Before,
    After,
}

/// The neighbour of each element along an axis; zero past the end.
fn beside<'g>(v: Var<'g>, axis: usize, side: Side) -> Var<'g> {
    let shape = v.shape();
    let Some(rest) = shape[axis].checked_sub(1).filter(|&rest| rest > 0) else { return v.zeros_like() };
    let mut corner = vec![0; shape.len()];
    let from = match side {
        Side::Before => {
            corner[axis] = 1;
            0
        }
        Side::After => 1,
    };
    v.narrow(axis, from, rest).pad(corner, shape)
}

/// The same of a coefficient: what all lines share stays shared.
fn coefficient<'g>(v: Var<'g>, axis: usize, side: Side) -> Var<'g> {
    let (g, shape, node) = (v.graph(), v.shape(), v.graph().node(v.id()));
    if let Op::Broadcast = node.op {
        let source = g.var(node.args[0]);
        let from = source.shape();
        let inner = (axis + from.len()).checked_sub(shape.len()).filter(|&inner| from[inner] == shape[axis]);
        if let Some(inner) = inner {
            return beside(source, inner, side).broadcast_to(shape);
        }
    }
    beside(v, axis, side)
}
