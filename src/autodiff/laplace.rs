//! The forward Laplacian: one pass that carries, for each node, its Jacobian `J` and its Laplacian `L`.
//!
//! ```text
//! y = f(a)        L_y = f' L_a + f'' sum_k J_a,k^2
//! y = a b         L_y = a L_b + b L_a + 2 sum_k J_a,k J_b,k
//! y = a / b       L_y = (L_a - y L_b - 2 sum_k J_y,k J_b,k) / b        from a = y b
//! y linear in a   L_y = y(L_a)
//! ```
//!
//! So `L` follows the rule of tangents plus one term that only curved operations have. Source: arXiv:2307.08214.

use super::jvp::{add, slope, tangent};
use super::linear::{forward as tangents, path, placeholder};
use super::stack::{Stack, apply};
use crate::error::Result;
use crate::graph::{Binary, Graph, Node, NodeId, Op, Unary, Var};
use std::collections::HashMap;

/// Laplacian of `u [n]` at `x [n, ..]`, or nothing if an operation on the way has no rule here.
pub(super) fn forward<'g>(u: Var<'g>, x: Var<'g>) -> Result<Option<Var<'g>>> {
    let (g, rows) = (x.graph(), x.shape()[0]);
    let t = placeholder(x);
    let first = tangents(&[u], &[(x, t)])?;
    let on_path = path(g, &[u.id()], &[x.id()]);
    let curved: Vec<_> = on_path.iter().copied().filter(|&id| is_curved(&g.node(id).op)).collect();
    // Jacobians are needed only where something is curved.
    let mut needed = Vec::new();
    for &id in &curved {
        needed.extend(g.node(id).args.iter().chain([&id]).filter_map(|v| first.get(v)).copied());
    }
    let Some(stacks) = apply(&needed, t, Stack::units(x)) else { return Ok(None) };
    let jacobian = |id: NodeId| first.get(&id).and_then(|t| stacks.get(&t.id())).map(|s| s.var);
    let mut laplacians: HashMap<NodeId, Var<'g>> = HashMap::new();
    for &id in on_path.iter().filter(|&&id| id != x.id()) {
        let node = g.node(id);
        refuse_kinks(g, &node, x)?;
        let of_args: Vec<_> = node.args.iter().map(|a| laplacians.get(a).copied()).collect();
        let Some(second) = g.built_at(node.site, || curvature(g, id, &node, jacobian)) else { return Ok(None) };
        let sum = || {
            let own = second.map(|v| v.broadcast_to(&node.shape));
            tangent(g, id, &node, &of_args).map(|carried| add(carried, own))
        };
        let total = g.built_at(node.site, sum)?;
        laplacians.extend(total.filter(|v| !v.is_zero()).map(|v| (id, v)));
    }
    Ok(Some(laplacians.get(&u.id()).copied().unwrap_or_else(|| g.full(0.0, [rows]))))
}

/// Whether a second derivative of the operation itself can be other than zero.
fn is_curved(op: &Op) -> bool {
    match op {
        Op::Unary(f) => !matches!(f, Unary::Neg | Unary::Floor | Unary::Abs | Unary::Not),
        Op::Binary(f) => matches!(f, Binary::Mul | Binary::Div | Binary::Pow),
        Op::MatMul => true,
        _ => false,
    }
}

/// The second-order term of a curved operation: outside `None` without a rule, inside `None` if it is zero.
fn curvature<'g>(
    g: &'g Graph,
    id: NodeId,
    node: &Node,
    jacobian: impl Fn(NodeId) -> Option<Var<'g>>,
) -> Option<Option<Var<'g>>> {
    let arg = |i: usize| g.var(node.args[i]);
    let j = |i: usize| jacobian(node.args[i]);
    Some(match &node.op {
        Op::Unary(f) => match (j(0), second_slope(*f, arg(0), g.var(id), node)) {
            (Some(j), Some(second)) => Some(second * squares(j, j)),
            _ => None,
        },
        Op::Binary(Binary::Mul) => j(0).zip(j(1)).map(|(a, b)| squares(a, b) * 2.0),
        Op::Binary(Binary::Div) => match (jacobian(id), j(1)) {
            (Some(y), Some(b)) => Some(squares(y, b) * -2.0 / arg(1)),
            _ => None,
        },
        Op::Binary(Binary::Pow) => match (j(0), j(1)) {
            (_, Some(_)) => return None,
            (Some(a), None) => {
                let b = arg(1);
                Some(b * (b - 1.0) * arg(0).pow(b - 2.0) * squares(a, a))
            }
            (None, None) => None,
        },
        Op::MatMul if j(0).is_some() && j(1).is_some() => return None,
        _ => None,
    })
}

/// `sum_k a_k b_k` of two stacks, as one value a node element; 1 row where both are the same in all rows.
fn squares<'g>(a: Var<'g>, b: Var<'g>) -> Var<'g> {
    (a * b).sum(1)
}

/// `f''(x)` of an element-wise function `y = f(x)`, from what its slope computes already.
fn second_slope<'g>(f: Unary, x: Var<'g>, y: Var<'g>, node: &Node) -> Option<Var<'g>> {
    let s = slope(f, x, y, node)?;
    Some(match f {
        Unary::Exp => y,
        Unary::Log | Unary::Log1p => -(s * s),
        Unary::Expm1 => s,
        Unary::Sin | Unary::Cos => -y,
        Unary::Tanh => y * s * -2.0,
        Unary::Sqrt => s / x * -0.5,
        Unary::Rsqrt => s / x * -1.5,
        Unary::Recip => y * s * -2.0,
        Unary::Erf => x * s * -2.0,
        Unary::Softplus => s * (1.0 - s),
        Unary::Neg | Unary::Abs | Unary::Floor | Unary::Not => return None,
    })
}

/// The Laplacian of a kink is a spike; `tangent` alone would take the branch and say nothing.
fn refuse_kinks<'g>(g: &'g Graph, node: &Node, x: Var<'g>) -> Result<()> {
    let depends = |id: NodeId| !path(g, &[id], &[x.id()]).is_empty();
    let turns = match &node.op {
        Op::Unary(Unary::Abs) | Op::Binary(Binary::Max | Binary::Min) => true,
        Op::Select => depends(node.args[0]),
        _ => false,
    };
    if turns { Err(super::jvp::second_derivative_of_a_switch(node)) } else { Ok(()) }
}
