//! A velocity that is followed: points carried either way, and the likelihoods that this gives.
//!
//! ```text
//! dX/dt = v(t, X)        log rho(1, x) = log rho_0(X_0) - int_0^1 div v(t, X_t) dt        along the path that ends in x
//! ```
//!
//! The divergence is the exact trace. Source: arXiv:2209.15571, section 2 (its flow and the change of variables along it).

use super::rows::{in_parts, log_densities};
use super::source::Source;
use crate::autodiff::Trace;
use crate::dynamics::ode::{Rates, Solver, Solving, with_log_density};
use crate::error::{Error, Result};
use crate::gpu::{Gpu, Tensor};
use crate::graph::{Graph, Var};

/// A velocity compiled for so many rows at a time.
///
/// ```
/// use ergodic::dynamics::ode::{Method, Solver};
/// use ergodic::methods::interpolant::{Flow, Source};
/// use ergodic::gpu::{Gpu, GpuOptions};
/// # fn main() -> ergodic::Result<()> {
/// let gpu = Gpu::headless(GpuOptions::from_env()?)?;
/// let solver = Solver::Fixed { method: Method::Rk4, steps: 40 };
/// // v = x doubles the width e times: at the origin the density of N(0, 1) in two dimensions falls by e^2.
/// let flow = Flow::with_density(&gpu, (4, 2), &solver, |_, _, x| Ok(x))?;
/// let found = flow.log_likelihoods(&[0.0, 0.0], &Source::Normal(2), (0.0, 1.0))?;
/// assert!((found[0] + std::f64::consts::TAU.ln() + 2.0).abs() < 1e-5);
/// # Ok(()) }
/// ```
#[must_use]
pub struct Flow {
    gpu: Gpu,
    solving: Solving,
    rows: usize,
    d: usize,
    has_density: bool,
}

/// Points that were carried.
#[derive(Clone, Debug, PartialEq)]
pub struct Moved {
    /// `[n, d]`.
    pub x: Vec<f32>,
    /// `log rho(to, x) - log rho(from, start)`, `[n]` in nats; empty where it was not asked for.
    pub log_density_gain: Vec<f64>,
    /// Evaluations of the velocity for one part of the rows, at most: more than a few hundred say that it is stiff.
    pub evaluations: u32,
}

impl Flow {
    /// `velocity(graph, t, x)` for `rows` points in `d` dimensions at a time. Other inputs of the graph are bound with
    /// [`bind`](Self::bind).
    ///
    /// # Errors
    /// As [`Solver::compile`]; what `velocity` refuses.
    pub fn new(
        gpu: &Gpu,
        size: (usize, usize),
        solver: &Solver,
        velocity: impl for<'g> Fn(&'g Graph, Var<'g>, Var<'g>) -> Result<Var<'g>>,
    ) -> Result<Self> {
        Self::compile(gpu, size, solver, velocity, false)
    }

    /// The same, with the change of the log-density along the way: `d` tangents more work.
    ///
    /// # Errors
    /// As [`new`](Self::new), and [`divergence`](crate::autodiff::divergence).
    pub fn with_density(
        gpu: &Gpu,
        size: (usize, usize),
        solver: &Solver,
        velocity: impl for<'g> Fn(&'g Graph, Var<'g>, Var<'g>) -> Result<Var<'g>>,
    ) -> Result<Self> {
        Self::compile(gpu, size, solver, velocity, true)
    }

    fn compile(
        gpu: &Gpu,
        (rows, d): (usize, usize),
        solver: &Solver,
        velocity: impl for<'g> Fn(&'g Graph, Var<'g>, Var<'g>) -> Result<Var<'g>>,
        has_density: bool,
    ) -> Result<Self> {
        let g = Graph::new();
        let rows = rows.max(1);
        let solving = solver.compile(gpu, g.input("x", [rows, d]), |t, x| {
            let v = velocity(&g, t, x)?;
            if has_density { with_log_density(v, x, Trace::Exact) } else { Ok(Rates::of(v)) }
        })?;
        Ok(Flow { gpu: gpu.clone(), solving, rows, d, has_density })
    }

    /// Bind another input of the velocity, such as a network's parameters; what is written to the tensor later is followed.
    pub fn bind(self, name: &str, tensor: &Tensor) -> Self {
        Flow { solving: self.solving.bind(name, tensor), ..self }
    }

    /// Points `x [n, d]` from the first time to the second, which may be earlier.
    ///
    /// # Errors
    /// [`Error::Shape`] for values that are not rows of `d`; as [`Solving::solve`].
    pub fn carry(&self, x: &[f32], times: (f64, f64)) -> Result<Moved> {
        let mut moved = Moved { x: Vec::with_capacity(x.len()), log_density_gain: vec![], evaluations: 0 };
        in_parts(&self.gpu, x, (self.rows, self.d), |start, n| {
            let end = self.solving.solve(start, times)?;
            moved.x.extend(&end.points.read::<f32>()?.wait()?[..n * self.d]);
            moved.log_density_gain.extend(end.integral.iter().take(n));
            moved.evaluations = moved.evaluations.max(end.evaluations);
            Ok(())
        })?;
        Ok(moved)
    }

    /// `log rho(to, x)` of points `x [n, d]`, `[n]` in nats, for the flow that starts from `base` at the first of the times.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a flow without a density, or a base of which only data are known; as [`carry`](Self::carry).
    pub fn log_likelihoods(&self, x: &[f32], base: &Source, (from, to): (f64, f64)) -> Result<Vec<f64>> {
        if !self.has_density {
            let got = "without a density".to_string();
            return Err(Error::Invalid { what: "flow", got, want: "one made by Flow::with_density" });
        }
        let back = self.carry(x, (to, from))?;
        let base = log_densities(base, &back.x)?;
        Ok(base.into_iter().zip(back.log_density_gain).map(|(base, gain)| base - gain).collect())
    }
}
