//! [`Solver`]: a choice between the solvers, as it stands in a preset.

use super::{Adaptive, FixedStep, Grid, Method, Rates, Tolerance};
use crate::error::{Error, Result};
use crate::gpu::{Gpu, Tensor};
use crate::graph::Var;

/// How an ODE is solved.
///
/// ```
/// use ergodic::dynamics::ode::{Method, Rates, Solver};
/// use ergodic::{gpu::{Gpu, GpuOptions, Tensor}, graph::Graph};
/// # fn main() -> ergodic::Result<()> {
/// let gpu = Gpu::headless(GpuOptions::from_env()?)?;
/// let g = Graph::new();
/// let solver = Solver::Fixed { method: Method::Rk4, steps: 20 };
/// let decay = solver.compile(&gpu, g.input("x", [1, 1]), |_, x| Ok(Rates::of(-x)))?;
/// let start = Tensor::from_slice(&gpu, "start", &[1, 1], &[1.0f32])?;
/// let end = decay.solve(&start, (0.0, 0.5))?; // ten of the twenty steps
/// assert_eq!(end.evaluations, 40);
/// assert!((end.points.read::<f32>()?.wait()?[0] - (-0.5f32).exp()).abs() < 2e-6);
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Solver {
    /// Equal steps.
    Fixed {
        /// Which.
        method: Method,
        /// So many for one unit of time; a part of it gets its share, rounded up.
        steps: u32,
    },
    /// Dormand and Prince's pair, with the steps that a tolerance asks for.
    Adaptive(Tolerance),
}

impl Solver {
    /// Whether it means anything; the error's `what` is the field.
    ///
    /// # Errors
    /// [`Error::Invalid`] for no steps or a tolerance that is none.
    pub fn check(&self) -> Result<()> {
        match self {
            Solver::Fixed { steps: 0, .. } => {
                Err(Error::Invalid { what: "steps", got: "0".into(), want: "at least 1" })
            }
            Solver::Fixed { .. } => Ok(()),
            Solver::Adaptive(tolerance) => tolerance.check(),
        }
    }

    /// `field(t, x)` for points `x`, an input `[n, ..]`.
    ///
    /// # Errors
    /// As [`FixedStep::new`] and [`Adaptive::new`].
    pub fn compile<'g>(
        &self,
        gpu: &Gpu,
        x: Var<'g>,
        field: impl Fn(Var<'g>, Var<'g>) -> Result<Rates<'g>>,
    ) -> Result<Solving> {
        self.check()?;
        Ok(match *self {
            Solver::Fixed { method, steps } => {
                Solving::Fixed { solver: FixedStep::new(gpu, x, method, field)?, method, steps }
            }
            Solver::Adaptive(tolerance) => Solving::Adaptive(Adaptive::new(gpu, x, tolerance, field)?),
        })
    }
}

/// Points that have arrived.
pub struct Solved {
    /// `[n, ..]`.
    pub points: Tensor,
    /// The first integral along the way, one a row; empty where the field has none.
    pub integral: Vec<f64>,
    /// How often the field was evaluated.
    pub evaluations: u32,
}

/// A field compiled by a [`Solver`].
#[must_use]
pub enum Solving {
    /// Equal steps.
    Fixed {
        /// The compiled method.
        solver: FixedStep,
        /// Which it is.
        method: Method,
        /// So many for one unit of time.
        steps: u32,
    },
    /// Steps of a tolerance.
    Adaptive(Adaptive),
}

impl Solving {
    /// Bind another input of the field, such as a network's parameters.
    pub fn bind(self, name: &str, tensor: &Tensor) -> Self {
        match self {
            Solving::Fixed { solver, method, steps } => {
                Solving::Fixed { solver: solver.bind(name, tensor), method, steps }
            }
            Solving::Adaptive(solver) => Solving::Adaptive(solver.bind(name, tensor)),
        }
    }

    /// Move a copy of `start` from the first time to the second. Waits for the device.
    ///
    /// # Errors
    /// As [`FixedStep::solve`] and [`Adaptive::solve`].
    pub fn solve(&self, start: &Tensor, (from, to): (f64, f64)) -> Result<Solved> {
        let none = |error: Error| if matches!(error, Error::UnboundInput { .. }) { Ok(vec![]) } else { Err(error) };
        match self {
            Solving::Fixed { solver, method, steps } => {
                let steps = (f64::from(*steps) * (to - from).abs()).ceil().max(1.0) as u32;
                let end = solver.solve(start, Grid::new(from, to, steps))?;
                // A slope without weight estimates an error that nobody reads, or serves a later stage.
                let slopes = if *method == Method::DormandPrince { 6 } else { method.tableau().weights.len() as u32 };
                let (points, integral) = (end.points()?.clone(), end.integral(0).or_else(none)?);
                Ok(Solved { points, integral, evaluations: steps * slopes })
            }
            Solving::Adaptive(solver) => {
                let end = solver.solve(start, (from, to))?;
                let (points, integral) = (end.points()?.clone(), end.integral(0).or_else(none)?);
                Ok(Solved { points, integral, evaluations: end.statistics().evaluations })
            }
        }
    }
}
