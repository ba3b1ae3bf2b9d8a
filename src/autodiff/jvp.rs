//! The table of derivatives: one arm an operation, the tangent of its value from the tangents of its arguments.
//!
//! A tangent that is zero everywhere is `None`, so nothing is built for it. Rules reuse the value where they can
//! (`tanh' = 1 - y²`): the derivative then shares its work with the function, in every order.

use super::linear::{product, slice_of};
use crate::error::{Error, Result};
use crate::graph::{Binary, Compare, DType, Graph, Node, NodeId, Op, Unary, Var};

/// Tangent of `node`, whose own id is `id`, from those of its arguments.
pub(super) fn tangent<'g>(g: &'g Graph, id: NodeId, node: &Node, t: &[Option<Var<'g>>]) -> Result<Option<Var<'g>>> {
    let arg = |i: usize| g.var(node.args[i]);
    let same_op = |t: Var<'g>| g.push(node.op.clone(), vec![t.id()], node.shape.clone(), node.dtype, node.site);
    let zero_or = |i: usize| t[i].unwrap_or_else(|| arg(i).zeros_like());
    if t.iter().all(Option::is_none) && !is_switch(node) {
        return Ok(None);
    }
    Ok(match &node.op {
        Op::Unary(f) => match (slope(*f, arg(0), g.var(id), node), t[0]) {
            (Some(slope), Some(t)) => Some(t * slope),
            _ => None,
        },
        Op::Binary(f) => binary(*f, arg(0), arg(1), g.var(id), t[0], t[1], node),
        Op::Select => match (t[1], t[2]) {
            (None, None) => None,
            _ => Some(switch(arg(0), node).select(zero_or(1), zero_or(2))),
        },
        Op::MatMul => {
            let left = t[0].map(|t| product(t, arg(1)));
            add(left, t[1].map(|t| product(arg(0), t)))
        }
        Op::Concat { axis } => {
            let mut parts = Vec::with_capacity(t.len());
            for i in 0..t.len() {
                parts.push(zero_or(i));
            }
            Var::concat(&parts, *axis)
        }
        Op::Gather => t[0].map(|t| t.gather(arg(1))),
        Op::ScatterAdd => t[0].map(|t| t.scatter_add(arg(1), node.shape[0])),
        Op::Slice(start) => t[0].map(|t| slice_of(t, start, &node.shape)),
        Op::Sum { .. } | Op::CumSum { .. } | Op::Reshape | Op::Permute(_) | Op::Broadcast | Op::Pad(_) => {
            t[0].map(same_op)
        }
        Op::Stencil { .. } => t[0].map(same_op),
        Op::Tridiagonal { axis } => super::solve::tangent(g, id, node, *axis, t),
        Op::Max { .. } => {
            let why = "the largest element jumps; write .stop_grad() behind it if its derivative cancels, as in \
                       logsumexp, or use logsumexp itself";
            return Err(Error::NotDifferentiable { op: "max_over", why: why.into(), at: Some(node.site) });
        }
        Op::StopGrad if is_switch(node) => return Err(second_derivative_of_a_switch(node)),
        // Piecewise constant, or not a function of real numbers.
        Op::Cast | Op::Compare(_) | Op::SearchSorted | Op::Apportion | Op::StopGrad => None,
        Op::Const(_) | Op::Input(_) | Op::Step | Op::Iota { .. } => None,
        Op::FoldIn(_) | Op::Random(_) | Op::Invalid => None,
    })
}

/// Derivative of an element-wise function `y = f(x)`, or nothing where it is zero.
pub(super) fn slope<'g>(f: Unary, x: Var<'g>, y: Var<'g>, node: &Node) -> Option<Var<'g>> {
    let one = || x.zeros_like() + 1.0;
    Some(match f {
        Unary::Neg => -one(),
        Unary::Abs => one() - between(x.zeros_like(), x, node) * 2.0,
        Unary::Exp => y,
        Unary::Log => x.recip(),
        Unary::Log1p => (x + 1.0).recip(),
        Unary::Expm1 => y + 1.0,
        Unary::Sin => x.cos(),
        Unary::Cos => -x.sin(),
        Unary::Tanh => 1.0 - y * y,
        Unary::Sqrt => y.recip() * 0.5,
        Unary::Rsqrt => y * y * y * -0.5,
        Unary::Recip => -(y * y),
        Unary::Erf => (-(x * x)).exp() * std::f64::consts::FRAC_2_SQRT_PI,
        Unary::Softplus => x.sigmoid(),
        Unary::Floor | Unary::Not => return None,
    })
}

fn binary<'g>(
    f: Binary,
    a: Var<'g>,
    b: Var<'g>,
    y: Var<'g>,
    ta: Option<Var<'g>>,
    tb: Option<Var<'g>>,
    node: &Node,
) -> Option<Var<'g>> {
    match f {
        Binary::Add => add(ta, tb),
        Binary::Sub => add(ta, tb.map(|t| -t)),
        Binary::Mul => add(ta.map(|t| t * b), tb.map(|t| t * a)),
        Binary::Div => add(ta.map(|t| t / b), tb.map(|t| t * -(y / b))),
        Binary::Pow => add(ta.map(|t| t * (b * a.pow(b - 1.0))), tb.map(|t| t * (y * a.log()))),
        Binary::Max | Binary::Min => {
            let first = if f == Binary::Max { between(a, b, node) } else { between(b, a, node) };
            add(ta.map(|t| t * first), tb.map(|t| t * (1.0 - first)))
        }
    }
}

/// 1 where `a > b`, 0 where `a < b`, and 1/2 at a tie, so that exchanging the two changes nothing.
fn between<'g>(a: Var<'g>, b: Var<'g>, node: &Node) -> Var<'g> {
    let less = |a: Var<'g>, b: Var<'g>| {
        let args = vec![a.id(), b.id()];
        a.graph().push(Op::Compare(Compare::Lt), args, node.shape.clone(), DType::Bool, node.site)
    };
    let (above, below) = (switch(less(b, a), node), switch(less(a, b), node));
    let one = a.zeros_like() + 1.0;
    above.select(one, below.select(a.zeros_like(), one * 0.5))
}

/// The condition of a derivative, marked: [`is_switch`] finds it when that derivative is differentiated once more.
fn switch<'g>(condition: Var<'g>, node: &Node) -> Var<'g> {
    let g = condition.graph();
    if is_switch(&g.node(condition.id())) {
        return condition;
    }
    g.push(Op::StopGrad, vec![condition.id()], condition.shape(), DType::Bool, node.site)
}

/// Whether this is a condition on which a first derivative turns: `stop_grad` of a `Bool`.
pub(super) fn is_switch(node: &Node) -> bool {
    matches!(node.op, Op::StopGrad) && node.dtype == DType::Bool
}

pub(super) fn second_derivative_of_a_switch(node: &Node) -> Error {
    let why = "a second derivative is zero beside the kink and infinite on it, and the zero would be silent; use softplus \
               or silu, or, where the pieces of a select join smoothly, build its condition from .stop_grad()";
    Error::NotDifferentiable { op: "kink of relu, max, min, abs or select", why: why.into(), at: Some(node.site) }
}

pub(super) fn add<'g>(a: Option<Var<'g>>, b: Option<Var<'g>>) -> Option<Var<'g>> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a + b),
        (a, b) => a.or(b),
    }
}
