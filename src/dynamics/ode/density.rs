//! The log-density along a path: minus the divergence of the field.

use super::Rates;
use crate::autodiff::{Trace, divergence, jvp};
use crate::error::{Error, Result};
use crate::gpu::{Gpu, Tensor};
use crate::graph::{Graph, Var};
use crate::plan::{Bindings, CompileOptions, Plan, Session};
use crate::random::RngKey;

/// The rates of a field and, as its integrand, of the log-density that it carries: `-div f`.
///
/// The integral is `log rho(t_1, x_1) - log rho(t_0, x_0)`. With [`Trace::Hutchinson`] every step has fresh signs, the same
/// in all its stages: errors of many steps average. That is for fixed steps; a step that is chosen by its error needs signs
/// that stay ([`with_log_density_along`]).
///
/// # Errors
/// As [`divergence`].
pub fn with_log_density<'g>(velocity: Var<'g>, x: Var<'g>, trace: Trace<'g>) -> Result<Rates<'g>> {
    Ok(Rates::of(velocity).and(-divergence(velocity, x, trace)?))
}

/// As [`with_log_density`], by Hutchinson's estimator with the signs of one path: `signs [n, probes, d]`, an input.
///
/// Unbiased in the log-density, averaged over probes.
///
/// # Errors
/// As [`signs_divergence`].
pub fn with_log_density_along<'g>(velocity: Var<'g>, x: Var<'g>, signs: Var<'g>) -> Result<Rates<'g>> {
    Ok(Rates::of(velocity).and(-signs_divergence(velocity, x, signs)?))
}

/// Mean over probes of `v . J v` for directions `signs [n, probes, d]` at `x [n, d]`: `[n]`.
///
/// # Errors
/// [`Error::Shape`] for signs of another shape; [`Error::NotDifferentiable`].
pub fn signs_divergence<'g>(f: Var<'g>, x: Var<'g>, signs: Var<'g>) -> Result<Var<'g>> {
    let (rows, shape) = (x.shape(), signs.shape());
    let fits = rows.len() == 2 && shape.len() == 3 && shape[1] > 0 && [shape[0], shape[2]] == [rows[0], rows[1]];
    if !fits {
        let want = format!("signs [n, probes, d] for x {rows}");
        return Err(Error::Shape { op: "divergence", got: shape.to_string(), want, at: Some(signs.site()) });
    }
    let mut sum = x.graph().full(0.0, [rows[0]]);
    for k in 0..shape[1] {
        let v = signs.narrow(1, k, 1).reshape(&rows);
        sum = sum + (jvp(f, x, v)? * v).sum(1);
    }
    Ok(sum * (1.0 / shape[1] as f64))
}

/// Random signs `[n, probes, d]` on the device, from this key.
///
/// # Errors
/// [`Error::OutOfMemory`]; [`Error::DeviceLost`].
pub fn draw_signs(gpu: &Gpu, shape: [usize; 3], key: RngKey) -> Result<Tensor> {
    let g = Graph::new();
    // A coin from the highest of 32 random bits: the same on every adapter.
    let signs = g.key("key").bits(shape).lt(1u32 << 31).select(1.0, -1.0);
    let plan = Plan::compile(gpu, &[("signs", signs)], &CompileOptions::labelled("signs"))?;
    let mut session = Session::new(&plan, Bindings::new().key("key", key))?;
    session.run(1)?;
    session.tensor("signs").cloned()
}
