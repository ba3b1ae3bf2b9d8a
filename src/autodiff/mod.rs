//! Derivatives: graphs to graphs, in forward and reverse mode, of every order.
//!
//! Every operation has one rule for its tangent and every linear operation one for its transpose, and that is all:
//!
//! ```text
//! jvp(y, x, t) = J t          J = dy/dx: the table of tangents, applied along the path from x to y
//! vjp(y, ct, x) = J' ct       the same tangents, built for a symbolic t and transposed backwards
//! grad(y, x) = vjp(y, 1, x)
//! ```
//!
//! A derivative is made of ordinary nodes of the same graph, so it can be differentiated again, and what it has in
//! common with the function or with another derivative is one node and computed once: there is no `value_and_grad`.
//!
//! ```
//! use ergodic::{autodiff::grad, graph::{Feeds, Graph}};
//! # fn main() -> ergodic::Result<()> {
//! let g = Graph::new();
//! let x = g.input("x", [3]);
//! let slope = grad(x.tanh(), x)?; // one walker an element: rows do not mix, so this is d tanh(x_i) / d x_i
//! let curve = grad(slope, x)?;
//! let values = g.eval_f64(&[slope, curve], &Feeds::new().tensor("x", &[0.0, 0.5, 1.0]))?;
//! let y = 0.5f64.tanh();
//! assert!((values[0].data[1] - (1.0 - y * y)).abs() < 1e-15);
//! assert!((values[1].data[1] + 2.0 * y * (1.0 - y * y)).abs() < 1e-15);
//! # Ok(()) }
//! ```
//!
//! # What has no derivative
//!
//! - Integers, comparisons, casts, `floor`, `search_sorted`, `apportion` and random numbers are piecewise constant or
//!   independent of their arguments: their derivative is zero. `stop_grad` makes it zero.
//! - `max_over` jumps between elements and is refused, unless `stop_grad` stands behind it.
//! - `max`, `min`, `abs` and `select` have a **first** derivative: that of the branch taken. At a tie `max` and `min`
//!   give half to each argument and `abs` gives 0. A second derivative through the switch is refused with
//!   [`Error::NotDifferentiable`](crate::Error): it would read 0 where the truth is a spike at the kink. Use `softplus` or `silu`. A
//!   `select` whose pieces join smoothly may be differentiated further if its condition is built from
//!   [`stop_grad`](Var::stop_grad) of the variable.
//!
//! # With respect to what
//!
//! To any node. A view of a variable (`reshape`, `permute`, `slice`, a minus sign) is a name for its elements:
//! `grad(u, theta.narrow(0, 0, 10))` is the first ten entries of `grad(u, theta)`, whichever other views `u` reads.

mod block;
mod jvp;
mod laplace;
mod linear;
mod names;
mod per_sample;
mod solve;
mod stack;
mod trace;
mod transpose;

pub use per_sample::{PerSample, per_sample};
pub use trace::{Estimate, Trace, divergence, estimate_divergence, estimate_laplacian, laplacian};

use crate::error::{Error, Result};
use crate::graph::{DType, Dependence, Shape, Var};
use names::Name;

/// Directional derivative of `y` at `x` along `t`: the Jacobian times `t`, in the shape of `y`.
///
/// # Errors
/// [`Error::Shape`] if `t` is not shaped like `x`; [`Error::NotDifferentiable`] with the line of the operation.
///
/// # Example
/// ```
/// use ergodic::{autodiff::jvp, graph::{Feeds, Graph}};
/// # fn main() -> ergodic::Result<()> {
/// let g = Graph::new();
/// let (x, t) = (g.input("x", [2]), g.input("t", [2]));
/// let y = x.square() * 0.5;
/// let along = jvp(y, x, t)?; // x * t
/// let got = g.eval_f64(&[along], &Feeds::new().tensor("x", &[3.0, 4.0]).tensor("t", &[1.0, -2.0]))?;
/// assert_eq!(got[0].data, [3.0, -8.0]);
/// # Ok(()) }
/// ```
#[track_caller]
pub fn jvp<'g>(y: Var<'g>, x: Var<'g>, t: Var<'g>) -> Result<Var<'g>> {
    Ok(jvps(&[y], &[(x, t)])?[0])
}

/// Directional derivatives of several outputs, summed over several variables, each along its own direction.
///
/// # Errors
/// As [`jvp`].
#[track_caller]
pub fn jvps<'g>(ys: &[Var<'g>], seeds: &[(Var<'g>, Var<'g>)]) -> Result<Vec<Var<'g>>> {
    let mut sources = Vec::with_capacity(seeds.len());
    for &(x, t) in seeds {
        let name = Name::of(x)?;
        same_shape("jvp", t, &x.shape())?;
        ys.iter().try_for_each(|y| name.refuse_if_ambiguous(*y))?;
        sources.push((name.source, x.graph().built_at(x.site(), || name.pushed_to_source(t))));
    }
    valid(ys)?;
    let tangents = linear::forward(ys, &sources)?;
    let mut out = Vec::with_capacity(ys.len());
    for y in ys {
        out.push(tangents.get(&y.id()).copied().unwrap_or_else(|| y.zeros_like()));
    }
    Ok(out)
}

/// Pull a cotangent back: the transposed Jacobian of `y` times `ct`, in the shape of `x`.
///
/// # Errors
/// [`Error::Shape`] if `ct` is not shaped like `y`; [`Error::NotDifferentiable`] with the line of the operation.
///
/// # Example
/// ```
/// use ergodic::{autodiff::vjp, graph::{Feeds, Graph}};
/// # fn main() -> ergodic::Result<()> {
/// let g = Graph::new();
/// let (w, x, ct) = (g.input("w", [2, 2]), g.input("x", [1, 2]), g.input("ct", [1, 2]));
/// let back = vjp(x.matmul(w), ct, x)?; // ct @ w'
/// let feeds = Feeds::new().tensor("w", &[1.0, 2.0, 3.0, 4.0]).tensor("ct", &[1.0, 10.0]);
/// assert_eq!(g.eval_f64(&[back], &feeds)?[0].data, [21.0, 43.0]);
/// # Ok(()) }
/// ```
#[track_caller]
pub fn vjp<'g>(y: Var<'g>, ct: Var<'g>, x: Var<'g>) -> Result<Var<'g>> {
    Ok(vjps(&[(y, ct)], &[x])?[0])
}

/// Pull cotangents of several outputs back to several variables in one sweep.
///
/// # Errors
/// As [`vjp`].
#[track_caller]
pub fn vjps<'g>(outputs: &[(Var<'g>, Var<'g>)], xs: &[Var<'g>]) -> Result<Vec<Var<'g>>> {
    let mut names = Vec::with_capacity(xs.len());
    for &x in xs {
        names.push(Name::of(x)?);
    }
    let (mut ys, mut sources) = (Vec::with_capacity(outputs.len()), Vec::<Var<'g>>::with_capacity(xs.len()));
    for &(y, ct) in outputs {
        same_shape("vjp", ct, &y.shape())?;
        ys.push(y);
    }
    valid(&ys)?;
    for name in &names {
        ys.iter().try_for_each(|y| name.refuse_if_ambiguous(*y))?;
        if sources.iter().all(|s| s.id() != name.source.id()) {
            sources.push(name.source);
        }
    }
    let cts = pull(outputs, &sources)?;
    let mut out = Vec::with_capacity(xs.len());
    for (x, name) in xs.iter().zip(&names) {
        let at = sources.iter().position(|s| s.id() == name.source.id());
        let ct = at.and_then(|i| cts[i]);
        let own = ct.map(|ct| x.graph().built_at(x.site(), || name.pulled_to(ct)));
        out.push(own.unwrap_or_else(|| x.zeros_like()));
    }
    Ok(out)
}

/// Linearise with one symbolic tangent a source, then transpose.
#[track_caller]
fn pull<'g>(outputs: &[(Var<'g>, Var<'g>)], sources: &[Var<'g>]) -> Result<Vec<Option<Var<'g>>>> {
    let (mut seeds, mut inputs, mut ys) = (vec![], vec![], vec![]);
    for &x in sources {
        let t = linear::placeholder(x);
        seeds.push((x, t));
        inputs.push(t);
    }
    ys.extend(outputs.iter().map(|o| o.0));
    let tangents = linear::forward(&ys, &seeds)?;
    let linear: Vec<_> = outputs.iter().filter_map(|(y, ct)| Some((*tangents.get(&y.id())?, *ct))).collect();
    linear::backward(&linear, &inputs)
}

/// Gradient of `y` with respect to `x`, in the shape of `x`.
///
/// | `y` | `x` | gives |
/// |---|---|---|
/// | scalar | any | `dy/dx` |
/// | `[n]` | `[n, ..]` | row i is `d y_i / d x_i`: rows must not mix, and the graph is searched for a proof |
///
/// # Errors
/// [`Error::NotRowwise`] names the operation that mixes rows (then `grad(y.sum_all(), x)` says what is meant);
/// [`Error::Shape`] if `y` is neither a scalar nor one value a row of `x`; [`Error::NotDifferentiable`].
///
/// # Example
/// ```
/// use ergodic::{autodiff::grad, graph::{Feeds, Graph}};
/// # fn main() -> ergodic::Result<()> {
/// let g = Graph::new();
/// let x = g.input("x", [2, 2]); // two walkers in the plane
/// let energy = x.square().sum(1) * 0.5;
/// let force = -grad(energy, x)?;
/// let got = g.eval_f64(&[force], &Feeds::new().tensor("x", &[1.0, 2.0, 3.0, 4.0]))?;
/// assert_eq!(got[0].data, [-1.0, -2.0, -3.0, -4.0]);
/// # Ok(()) }
/// ```
#[track_caller]
pub fn grad<'g>(y: Var<'g>, x: Var<'g>) -> Result<Var<'g>> {
    Ok(grads(y, &[x])?[0])
}

/// Gradients with respect to several variables in one sweep.
///
/// # Errors
/// As [`grad`].
#[track_caller]
pub fn grads<'g>(y: Var<'g>, xs: &[Var<'g>]) -> Result<Vec<Var<'g>>> {
    valid(&[y])?;
    let shape = y.shape();
    for x in xs.iter().filter(|_| !shape.is_empty()) {
        let rows = x.shape();
        if shape.len() != 1 || rows.first() != shape.first() {
            let got = format!("y {shape} and x {rows}");
            let want = "a scalar y, or one value a row of x; reduce with .sum_all() or .mean_all()".into();
            return Err(Error::Shape { op: "grad", got, want, at: Some(y.site()) });
        }
        rowwise(y, *x)?;
    }
    vjps(&[(y, y.zeros_like() + 1.0)], xs)
}

/// Refuse if a row of `y` depends on another row of `x`.
fn rowwise<'g>(y: Var<'g>, x: Var<'g>) -> Result<()> {
    let g = y.graph();
    g.check_rowwise(y, x, Dependence::Derivative)?;
    if !Name::is_passed_by(y, x)? {
        return Ok(());
    }
    // The proof for x saw only paths through this view; what the others read has the same rows or none.
    let source = Name::of(x)?.source;
    if source.shape().first() == x.shape().first() {
        return g.check_rowwise(y, source, Dependence::Derivative);
    }
    let hint = format!("x is a view of {}, read past the view; differentiate with respect to that", source.shape());
    Err(Error::NotRowwise { op: g.node(x.id()).op.name(), hint, at: Some(x.site()) })
}

fn same_shape(op: &'static str, v: Var<'_>, shape: &Shape) -> Result<()> {
    if v.is_invalid() {
        v.graph().check()?;
    }
    if v.shape() != *shape || v.dtype() != DType::F32 {
        let (got, want) = (format!("{} {:?}", v.shape(), v.dtype()), format!("{shape} F32"));
        return Err(Error::Shape { op, got, want, at: Some(v.site()) });
    }
    Ok(())
}

/// Report a mistake made before, rather than differentiate what stands in for it.
fn valid(ys: &[Var<'_>]) -> Result<()> {
    ys.iter().filter(|y| y.is_invalid()).try_for_each(|y| y.graph().check())
}

#[cfg(doctest)]
#[doc = include_str!("../../docs/autodiff.md")]
mod guide {}
