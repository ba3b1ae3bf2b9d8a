//! Many tangents at once: a linear map applied to a stack of directions.
//!
//! A stack has the direction as its axis 1, `[n, T, ..]` for nodes `[n, ..]`; axis 0 is 1 where all rows have the same
//! tangents, as unit vectors and their images under a shared matrix do. So a matrix product of T tangents is one
//! product with T times the rows, and a first layer costs nothing: the image of the unit vectors is the matrix.

use super::linear::{path, product, slice_of};
use crate::graph::{Binary, DType, Graph, Node, NodeId, Op, Shape, Unary, Var};
use std::collections::HashMap;

/// A stack of tangents of one node.
#[derive(Clone, Copy)]
pub(super) struct Stack<'g> {
    pub(super) var: Var<'g>,
    /// It is the unit vectors of a node `[n, d]`.
    unit: bool,
    /// It is this stack times this coefficient `[n, ..]`. Chains of element-wise functions multiply and add coefficients,
    /// one a row, and the T tangents of the row are multiplied once: the slope of `silu` is one number, not three passes.
    scaled: Option<(Var<'g>, Var<'g>)>,
}

impl<'g> Stack<'g> {
    pub(super) fn of(var: Var<'g>) -> Self {
        Stack { var, unit: false, scaled: None }
    }

    /// A coefficient `[n, ..]` times a stack `[n, T, ..]`.
    fn scaled(base: Var<'g>, coefficient: Var<'g>) -> Self {
        Stack { scaled: Some((base, coefficient)), ..Stack::of(base * coefficient.unsqueeze(1)) }
    }

    /// The stack that it is a multiple of, and the coefficient, `None` for 1.
    fn base(&self) -> (Var<'g>, Option<Var<'g>>) {
        self.scaled.map_or((self.var, None), |(base, coefficient)| (base, Some(coefficient)))
    }

    /// One direction for each element of a row of `x`: `[1, d, ..]`.
    pub(super) fn units(x: Var<'g>) -> Self {
        let (g, rest) = (x.graph(), x.shape()[1..].to_vec());
        let d: usize = rest.iter().product();
        let mut shape = vec![1, d];
        shape.extend(&rest);
        Stack { unit: rest.len() == 1, ..Stack::of(eye(g, d).reshape(shape)) }
    }
}

/// The unit matrix.
pub(super) fn eye(g: &Graph, d: usize) -> Var<'_> {
    g.iota(0, [d, d]).equal(g.iota(1, [d, d])).cast(DType::F32)
}

/// Apply the linear map from `input` to each of the `outputs` to a stack of inputs.
///
/// Nodes that are missing in the result are zero. `None` if the map is not made of operations that keep rows apart in
/// axis 0; the caller then takes one direction at a time.
pub(super) fn apply<'g>(outputs: &[Var<'g>], input: Var<'g>, seed: Stack<'g>) -> Option<HashMap<NodeId, Stack<'g>>> {
    let (g, rows) = (input.graph(), input.shape()[0]);
    let mut stacks = HashMap::from([(input.id(), seed)]);
    let to: Vec<_> = outputs.iter().map(|v| v.id()).collect();
    for id in path(g, &to, &[input.id()]) {
        let node = g.node(id);
        if id == input.id() {
            continue;
        }
        if node.shape.first() != Some(&rows) {
            return None;
        }
        let args: Vec<_> = node.args.iter().map(|a| stacks.get(a).copied()).collect();
        let stack = g.built_at(node.site, || stacked(g, &node, &args))?;
        if !stack.var.is_zero() {
            stacks.insert(id, stack);
        }
    }
    Some(stacks)
}

/// The rule of one linear node, its coefficients shared by all directions.
fn stacked<'g>(g: &'g Graph, node: &Node, s: &[Option<Stack<'g>>]) -> Option<Stack<'g>> {
    if let Some(stack) = rescaled(g, node, s) {
        return Some(stack);
    }
    let s0 = s.first().copied().flatten();
    // A coefficient `[n, ..]` beside stacks `[n, T, ..]`.
    let coefficient = |i: usize| g.var(node.args[i]).unsqueeze(1);
    let any = s.iter().flatten().next()?;
    let zero = || any.var.zeros_like();
    let keeps_rows = |k: usize| g.node(node.args[k]).shape.first() == node.shape.first();
    let var = match &node.op {
        Op::Unary(Unary::Neg) => -s0?.var,
        Op::Binary(Binary::Add) => s[0].map_or_else(zero, |s| s.var) + s[1].map_or_else(zero, |s| s.var),
        Op::Binary(Binary::Sub) => s[0].map_or_else(zero, |s| s.var) - s[1].map_or_else(zero, |s| s.var),
        Op::Binary(Binary::Div) => s0?.var / coefficient(1),
        Op::Select => {
            let branch = |k: usize| s[k].map_or_else(zero, |s| s.var);
            coefficient(0).select(branch(1), branch(2))
        }
        Op::Sum { axes } if axes[0] > 0 => s0?.var.sum(axes.iter().map(|a| a + 1).collect::<Vec<_>>()),
        Op::CumSum { axis } if *axis > 0 => s0?.var.cumsum(axis + 1),
        Op::Reshape if keeps_rows(0) => s0?.var.reshape(with_tail(s0?.var, &node.shape)?),
        Op::Broadcast if keeps_rows(0) && g.node(node.args[0]).shape.len() == node.shape.len() => {
            let shape = with_tail(s0?.var, &node.shape)?;
            s0?.var.broadcast_to(shape)
        }
        Op::Permute(perm) if perm[0] == 0 => {
            let perm: Vec<_> = [0, 1].into_iter().chain(perm[1..].iter().map(|p| p + 1)).collect();
            s0?.var.permute(perm)
        }
        Op::Slice(start) if keeps_rows(0) => slice_of(s0?.var, &beside_all(start), &with_tail(s0?.var, &node.shape)?),
        Op::Pad(start) if keeps_rows(0) => s0?.var.pad(beside_all(start), with_tail(s0?.var, &node.shape)?),
        Op::Concat { axis } if *axis > 0 => return concat(g, node, s, *axis),
        Op::MatMul => return matmul(g, node, s),
        Op::Stencil { taps, boundary } if taps.first()?.offset.len() < node.shape.len() => {
            s0?.var.stencil(taps, *boundary)
        }
        _ => return None,
    };
    Some(Stack::of(var))
}

/// A node that is a multiple of the same stack as its arguments.
fn rescaled<'g>(g: &'g Graph, node: &Node, s: &[Option<Stack<'g>>]) -> Option<Stack<'g>> {
    let by = |stack: &Stack<'g>, k: usize| {
        let ((base, coefficient), more) = (stack.base(), g.var(node.args[k]));
        Stack::scaled(base, coefficient.map_or(more, |c| c * more))
    };
    match (&node.op, s) {
        (Op::Binary(Binary::Mul), [Some(a), _]) => Some(by(a, 1)),
        (Op::Binary(Binary::Mul), [_, Some(b)]) => Some(by(b, 0)),
        (Op::Binary(Binary::Div), [Some(a), _]) => {
            a.scaled.map(|(base, c)| Stack::scaled(base, c / g.var(node.args[1])))
        }
        (Op::Unary(Unary::Neg), [Some(a)]) => a.scaled.map(|(base, c)| Stack::scaled(base, -c)),
        (Op::Binary(sum @ (Binary::Add | Binary::Sub)), [Some(a), Some(b)]) => {
            let ((base, c), (other, d)) = (a.base(), b.base());
            let one = || g.full(1.0, node.shape.clone());
            let (c, d) = (c.unwrap_or_else(one), d.unwrap_or_else(one));
            let total = if *sum == Binary::Add { c + d } else { c - d };
            (base.id() == other.id()).then(|| Stack::scaled(base, total))
        }
        _ => None,
    }
}

fn concat<'g>(g: &'g Graph, node: &Node, s: &[Option<Stack<'g>>], axis: usize) -> Option<Stack<'g>> {
    let rows = s.iter().flatten().map(|s| s.var.shape()[0]).max()?;
    let directions = s.iter().flatten().next()?.var.shape()[1];
    let mut parts = vec![];
    for (stack, arg) in s.iter().zip(&node.args) {
        let mut shape = vec![rows, directions];
        shape.extend(&g.node(*arg).shape[1..]);
        parts.push(stack.map_or_else(|| g.full(0.0, shape.clone()), |s| s.var.broadcast_to(shape.clone())));
    }
    Var::concat(&parts, axis + 1).map(Stack::of)
}

/// All directions of all rows through one matrix.
fn matmul<'g>(g: &'g Graph, node: &Node, s: &[Option<Stack<'g>>]) -> Option<Stack<'g>> {
    let (Some(stack), None) = (s[0], s[1]) else { return None };
    let (shape, matrix) = (stack.var.shape(), g.var(node.args[1]));
    if stack.unit {
        return Some(Stack::of(matrix.unsqueeze(0)));
    }
    let flat = stack.var.reshape([shape[0] * shape[1], shape[2]]);
    Some(Stack::of(product(flat, matrix).reshape([shape[0], shape[1], node.shape[1]])))
}

/// Shape of a stack for a node of this shape, with the rows and directions of `stack`.
fn with_tail(stack: Var<'_>, node: &Shape) -> Option<Shape> {
    let mut shape = stack.shape()[..2].to_vec();
    shape.extend(node.get(1..)?);
    Some(shape.into())
}

/// The corner of a box that holds all rows and all directions.
fn beside_all(start: &[usize]) -> Vec<usize> {
    [0, 0].into_iter().chain(start[1..].iter().copied()).collect()
}
