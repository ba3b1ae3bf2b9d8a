//! Divergences and Laplacians: traces of a Jacobian and of a Hessian, row by row.
//!
//! ```text
//! div f (x)  = sum_k d f_k / d x_k                  laplacian u (x) = sum_k d2 u / d x_k2
//! exact      : the Jacobian, d tangents side by side; for a Laplacian d tangents and one second-order number a node
//! Hutchinson : mean over probes v of v . J v        E[v v'] = 1: random signs, of all such v the least variance
//! ```
//!
//! The exact Laplacian goes forward once through the function (value, Jacobian, Laplacian of each node), which is less
//! work than d Hessian-vector products and holds no backward pass. Source: arXiv:2307.08214.

use super::laplace;
use super::linear::{forward, path, placeholder, product, transposed};
use super::names::Name;
use super::stack::{Stack, apply, eye};
use super::{grad, jvp, rowwise};
use crate::error::{Error, Result};
use crate::graph::{Key, Op, Unary, Var};

/// How a trace is computed.
#[derive(Clone, Copy)]
pub enum Trace<'g> {
    /// All `d` diagonal entries: `d` tangents a row.
    Exact,
    /// An unbiased estimate from random signs: `probes` tangents a row, fresh ones in every step.
    Hutchinson {
        /// Where the signs come from.
        key: Key<'g>,
        /// How many directions a row, at least 1.
        probes: usize,
    },
}

/// An average over probes, with the variance of that average.
#[derive(Clone, Copy)]
pub struct Estimate<'g> {
    /// `[n]`, the estimate.
    pub mean: Var<'g>,
    /// `[n]`, the variance of `mean`: the sample variance of the probes over their number.
    pub variance: Var<'g>,
}

/// Divergence of the field `f` at `x`, both `[n, ..]` of one shape: `[n]`.
///
/// # Errors
/// [`Error::NotRowwise`] if a row of `f` depends on another row of `x`; [`Error::Shape`]; [`Error::NotDifferentiable`].
///
/// # Example
/// ```
/// use ergodic::{autodiff::{divergence, Trace}, graph::{Feeds, Graph}};
/// # fn main() -> ergodic::Result<()> {
/// let g = Graph::new();
/// let x = g.input("x", [1, 3]);
/// let f = x * x.square().sum(1).unsqueeze(1); // |x|² x has divergence (d + 2) |x|²
/// let div = divergence(f, x, Trace::Exact)?;
/// assert_eq!(g.eval_f64(&[div], &Feeds::new().tensor("x", &[1.0, 2.0, 3.0]))?[0].data, [70.0]);
/// # Ok(()) }
/// ```
#[track_caller]
pub fn divergence<'g>(f: Var<'g>, x: Var<'g>, trace: Trace<'g>) -> Result<Var<'g>> {
    match trace {
        Trace::Exact => exact_divergence(f, x),
        Trace::Hutchinson { key, probes } => Ok(average(divergence_probes(f, x, key, probes)?)),
    }
}

/// Divergence by Hutchinson's estimator, with its variance.
///
/// # Errors
/// As [`divergence`]; [`Error::Invalid`] for fewer than 2 probes, which have no variance.
#[track_caller]
pub fn estimate_divergence<'g>(f: Var<'g>, x: Var<'g>, key: Key<'g>, probes: usize) -> Result<Estimate<'g>> {
    at_least(2, probes)?;
    Ok(estimate(divergence_probes(f, x, key, probes)?))
}

/// Laplacian of `u [n]` at `x [n, ..]`, row by row: `[n]`.
///
/// # Errors
/// [`Error::NotRowwise`] if a row of `u` depends on another row of `x`; [`Error::Shape`];
/// [`Error::NotDifferentiable`], also for kinks (`relu`, `max`, `abs`), whose Laplacian is a spike.
///
/// # Example
/// ```
/// use ergodic::{autodiff::{laplacian, Trace}, graph::{Feeds, Graph}};
/// # fn main() -> ergodic::Result<()> {
/// let g = Graph::new();
/// let x = g.input("x", [1, 3]);
/// let u = (x.square().sum(1) * -0.5).exp(); // exp(-|x|²/2) has Laplacian (|x|² - d) exp(-|x|²/2)
/// let lap = laplacian(u, x, Trace::Exact)?;
/// let got = g.eval_f64(&[lap], &Feeds::new().tensor("x", &[1.0, 0.0, 2.0]))?[0].data[0];
/// assert!((got - 2.0 * (-2.5f64).exp()).abs() < 1e-15);
/// # Ok(()) }
/// ```
#[track_caller]
pub fn laplacian<'g>(u: Var<'g>, x: Var<'g>, trace: Trace<'g>) -> Result<Var<'g>> {
    match trace {
        Trace::Exact => {
            one_a_row("laplacian", u, x)?;
            let carried = if Name::is_passed_by(u, x)? { None } else { laplace::forward(u, x)? };
            carried.map_or_else(|| exact_divergence(grad(u, x)?, x), Ok)
        }
        Trace::Hutchinson { key, probes } => {
            one_a_row("laplacian", u, x)?;
            Ok(average(divergence_probes(grad(u, x)?, x, key, probes)?))
        }
    }
}

/// Laplacian by Hutchinson's estimator, with its variance.
///
/// # Errors
/// As [`laplacian`]; [`Error::Invalid`] for fewer than 2 probes, which have no variance.
#[track_caller]
pub fn estimate_laplacian<'g>(u: Var<'g>, x: Var<'g>, key: Key<'g>, probes: usize) -> Result<Estimate<'g>> {
    at_least(2, probes)?;
    one_a_row("laplacian", u, x)?;
    Ok(estimate(divergence_probes(grad(u, x)?, x, key, probes)?))
}

#[track_caller]
fn exact_divergence<'g>(f: Var<'g>, x: Var<'g>) -> Result<Var<'g>> {
    like_rows(f, x)?;
    let (g, rows) = (x.graph(), x.shape()[0]);
    let d: usize = x.shape()[1..].iter().product();
    if let Some(stacked) = stacked(f, x, |tangent, t| peel(tangent, t, Stack::units(x)))? {
        return Ok(stacked.map_or_else(|| g.full(0.0, [rows]), |v| v.sum(1).broadcast_to([rows])));
    }
    let mut sum = g.full(0.0, [rows]);
    for k in 0..d {
        let unit = eye(g, d).narrow(0, k, 1).reshape(one_row(x)).broadcast_to(x.shape());
        sum = sum + flat(jvp(f, x, unit)?).narrow(1, k, 1).reshape([rows]);
    }
    Ok(sum)
}

/// `sum over elements of (J seed) * weights` for each direction, `[rows or 1, T]`, all directions side by side.
///
/// `contract` says what stands behind the tangent of `f`: a node to stop at, and the weights there. The outer `None`
/// means that the directions cannot be stacked, the inner one that all is zero.
#[track_caller]
fn stacked<'g>(
    f: Var<'g>,
    x: Var<'g>,
    contract: impl FnOnce(Var<'g>, Var<'g>) -> (Var<'g>, Var<'g>, Stack<'g>),
) -> Result<Option<Option<Var<'g>>>> {
    if Name::is_passed_by(f, x)? {
        return Ok(None);
    }
    let t = placeholder(x);
    let Some(&tangent) = forward(&[f], &[(x, t)])?.get(&f.id()) else { return Ok(Some(None)) };
    let (inner, weights, seed) = contract(tangent, t);
    let sum = |s: &Stack<'g>| (s.var * weights).sum((2..weights.shape().len()).collect::<Vec<_>>());
    Ok(apply(&[inner], t, seed).map(|stacks| stacks.get(&inner.id()).map(sum)))
}

/// Contract the last matrices of a linear map with the unit vectors, instead of multiplying d tangents by them.
///
/// `trace(J W) = sum of J * W'`, element by element: a last layer costs as much as one number a hidden unit.
#[track_caller]
fn peel<'g>(mut tangent: Var<'g>, input: Var<'g>, seed: Stack<'g>) -> (Var<'g>, Var<'g>, Stack<'g>) {
    let (g, mut weights) = (input.graph(), seed.var);
    loop {
        let node = g.node(tangent.id());
        let is_linear = |k: usize| !path(g, &[node.args[k]], &[input.id()]).is_empty();
        match &node.op {
            Op::Unary(Unary::Neg) => weights = -weights,
            Op::MatMul if is_linear(0) && !is_linear(1) => {
                let matrix = transposed(g.var(node.args[1]));
                let [d, m] = [weights.shape()[1], matrix.shape()[1]];
                let is_unit = weights.id() == seed.var.id();
                let folded = if is_unit { matrix } else { product(weights.reshape([d, matrix.shape()[0]]), matrix) };
                weights = folded.reshape([1, d, m]);
            }
            _ => return (tangent, weights, seed),
        }
        tangent = g.var(node.args[0]);
    }
}

/// `v . J v` of each probe: `[n, probes]`.
#[track_caller]
fn divergence_probes<'g>(f: Var<'g>, x: Var<'g>, key: Key<'g>, probes: usize) -> Result<Var<'g>> {
    like_rows(f, x)?;
    at_least(1, probes)?;
    let (g, rows) = (x.graph(), x.shape()[0]);
    let mut shape = vec![rows, probes];
    shape.extend(&x.shape()[1..]);
    // A coin from the highest of 32 random bits: the same on every adapter.
    let signs = key.bits(shape).lt(1u32 << 31).select(1.0, -1.0);
    if let Some(stacked) = stacked(f, x, |tangent, _| (tangent, signs, Stack::of(signs)))? {
        return Ok(stacked.map_or_else(|| g.full(0.0, [rows, probes]), |v| v.broadcast_to([rows, probes])));
    }
    let mut columns = Vec::with_capacity(probes);
    for k in 0..probes {
        let v = signs.narrow(1, k, 1).reshape(x.shape());
        columns.push((flat(jvp(f, x, v)?) * flat(v)).sum(1).reshape([rows, 1]));
    }
    Ok(Var::concat(&columns, 1).unwrap_or_else(|| g.full(0.0, [rows, 0])))
}

fn average(probes: Var<'_>) -> Var<'_> {
    probes.mean(1)
}

fn estimate(probes: Var<'_>) -> Estimate<'_> {
    let (mean, count) = (average(probes), probes.shape()[1] as f64);
    let spread = (probes - mean.unsqueeze(1)).square().sum(1);
    Estimate { mean, variance: spread * (1.0 / (count * (count - 1.0))) }
}

fn at_least(least: usize, probes: usize) -> Result<()> {
    let want = if least == 1 { "at least 1" } else { "at least 2, or there is no variance" };
    if probes >= least {
        Ok(())
    } else {
        Err(Error::Invalid { what: "number of probes", got: probes.to_string(), want })
    }
}

/// `[n, ..]` as a matrix.
#[track_caller]
fn flat(v: Var<'_>) -> Var<'_> {
    let rows = v.shape()[0];
    v.reshape([rows, v.shape()[1..].iter().product()])
}

fn one_row(x: Var<'_>) -> Vec<usize> {
    let mut shape = x.shape().to_vec();
    shape[0] = 1;
    shape
}

/// `f` and `x` have one shape with rows, and rows do not mix.
fn like_rows<'g>(f: Var<'g>, x: Var<'g>) -> Result<()> {
    if f.shape() != x.shape() || x.shape().is_empty() {
        let (got, want) = (format!("{} at x {}", f.shape(), x.shape()), "a field [n, ..] shaped like x".into());
        return Err(Error::Shape { op: "divergence", got, want, at: Some(f.site()) });
    }
    rowwise(f, x)
}

/// `u` is one value a row of `x`, and rows do not mix.
fn one_a_row<'g>(op: &'static str, u: Var<'g>, x: Var<'g>) -> Result<()> {
    if u.shape().len() != 1 || u.shape().first() != x.shape().first() {
        let (got, want) = (format!("{} at x {}", u.shape(), x.shape()), "one value [n] a row of x [n, ..]".into());
        return Err(Error::Shape { op, got, want, at: Some(u.site()) });
    }
    rowwise(u, x)
}
