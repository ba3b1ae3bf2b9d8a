//! Derivatives of solves: `A x = r` gives `A dx = dr - dA x`, and the transpose of a solve is the solve by `A'`.

use super::jvp::add;
use crate::graph::{Graph, Middle, Node, NodeId, Op, Var};

/// Tangent of a tridiagonal solve, from those of `lower`, the middle, `upper` and the right side.
pub(super) fn tangent<'g>(
    g: &'g Graph,
    id: NodeId,
    node: &Node,
    (axis, middle): (usize, Middle),
    t: &[Option<Var<'g>>],
) -> Option<Var<'g>> {
    let x = g.var(id);
    let neighbour = |side: Side| match middle {
        Middle::Diagonal => beside(x, axis, side),
        // The diagonal is the sum less the others: what an entry adds, it takes from there.
        Middle::RowSum => {
            let end = x.narrow(axis, if matches!(side, Side::Before) { 0 } else { node.shape[axis] - 1 }, 1);
            beside(x, axis, side) + alone(end, x, axis, side) - x
        }
    };
    let moved =
        [t[0].map(|t| t * neighbour(Side::Before)), t[1].map(|t| t * x), t[2].map(|t| t * neighbour(Side::After))];
    let change = moved.into_iter().fold(None, add).map(|moved| -moved);
    let right = add(t[3], change)?;
    let args = node.args[..3].iter().copied().chain([right.id()]).collect();
    Some(g.push(node.op.clone(), args, node.shape.clone(), node.dtype, node.site))
}

/// What the cotangent of a tridiagonal solve gives to its right side.
pub(super) fn transposed<'g>(g: &'g Graph, node: &Node, (axis, middle): (usize, Middle), ct: Var<'g>) -> Var<'g> {
    let [lower, given, upper] = [0, 1, 2].map(|i| g.var(node.args[i]));
    let diag = match middle {
        Middle::Diagonal => given,
        // Sums of rows are not those of columns.
        Middle::RowSum => given - inside(lower, axis, Side::Before) - inside(upper, axis, Side::After),
    };
    let args = vec![
        coefficient(upper, axis, Side::Before).id(),
        diag.id(),
        coefficient(lower, axis, Side::After).id(),
        ct.id(),
    ];
    let op = Op::Tridiagonal { axis, middle: Middle::Diagonal };
    g.push(op, args, node.shape.clone(), node.dtype, node.site)
}

/// The end of a line, at the place that has no neighbour on this side, zero elsewhere.
fn alone<'g>(end: Var<'g>, like: Var<'g>, axis: usize, side: Side) -> Var<'g> {
    let shape = like.shape();
    let mut corner = vec![0; shape.len()];
    if let Side::After = side {
        corner[axis] = shape[axis] - 1;
    }
    end.pad(corner, shape)
}

/// A coefficient without the entry that stands outside the matrix.
fn inside<'g>(v: Var<'g>, axis: usize, side: Side) -> Var<'g> {
    let shape = v.shape();
    let (mut corner, rest) = (vec![0; shape.len()], shape[axis].saturating_sub(1));
    if rest == 0 {
        return v.zeros_like();
    }
    let from = match side {
        Side::Before => 1,
        Side::After => 0,
    };
    corner[axis] = from;
    v.narrow(axis, from, rest).pad(corner, shape)
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
