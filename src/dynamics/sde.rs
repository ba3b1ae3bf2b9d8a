//! Points that follow a field and noise, `dX = f(t, X) dt + sqrt(2 eps(t)) dW`, forwards or backwards in time.
//!
//! Backwards means what it says of the time and nothing of the process: `X(t - h) = X(t) - h f(t, X) + sqrt(2 eps h) xi`. A
//! diffusion with the density of another one, run in reverse, needs another drift, and that is the caller's.
//!
//! | | one step, `dW = sqrt(2 eps(t + h/2) |h|) xi` | weak order | evaluations |
//! |---|---|---|---|
//! | `EulerMaruyama` | `x + h f(t, x) + dW` | 1 | 1 |
//! | `Heun` | `x' = x + dW`, then `x' + h/2 [f(t, x') + f(t + h, x' + h f(t, x'))]` | 1 (2 without noise) | 2 |
//! | `Trapezoid` | `x + h/2 [f(t, x) + f(t + h, x + h f(t, x) + dW)] + dW` | 2 | 2 |
//!
//! The noise has one amplitude for all components, that of the middle of the step: its variance is then right to `h^3`, and
//! `eps` is not evaluated at the ends, where it may be 0 or infinite. All three have strong order 1, because the noise does
//! not depend on `x`.
//!
//! Noise is a function of the key, the step and the place: the same key gives the same path again, in pieces or whole, and
//! [`Retrace`] goes back along it.
//!
//! Source: Kloeden and Platen, *Numerical Solution of Stochastic Differential Equations*, sections 10.2 and 14.1; noise before
//! drift: the sampler of arXiv:2303.08797, after arXiv:2206.00364, algorithm 2.

use super::ode::fixed::{Clock, GRID, check_points, check_rates, states};
use super::ode::{FixedStep, Grid, Rates, Solution, Step};
#[cfg(doc)]
use crate::error::Error;
use crate::error::Result;
use crate::gpu::{Gpu, Tensor};
use crate::graph::Var;
use crate::plan::Report;
use crate::random::RngKey;

const NOISE: &str = "sde.noise";

/// How a step is made; see the table of the [module](self).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// One evaluation of the drift.
    EulerMaruyama,
    /// Noise first, then the trapezoid rule in the drift.
    #[default]
    Heun,
    /// The trapezoid rule in the drift, with the noise inside its second evaluation.
    Trapezoid,
}

impl Method {
    /// One step from `x [n, d]` at `t` to `t + h`: the new point and what its integrands gained.
    ///
    /// `noise [n, d]` is the whole increment `sqrt(2 eps |h|) xi`. Integrands are summed with the weights of the drift, at its
    /// points.
    ///
    /// # Errors
    /// What the drift refuses.
    pub fn step<'g>(
        self,
        (t, after): (Var<'g>, Var<'g>),
        h: Var<'g>,
        x: Var<'g>,
        noise: Var<'g>,
        drift: impl Fn(Var<'g>, Var<'g>) -> Result<Rates<'g>>,
    ) -> Result<Step<'g>> {
        // Where the drift starts from, what its first slope leads to, and what is added at the end.
        let (from, inside, outside) = match self {
            Method::EulerMaruyama => {
                let slope = drift(t, x)?;
                let gains = slope.integrands.iter().map(|&rate| h * rate).collect();
                return Ok(Step { x: x + h * slope.velocity + noise, gains });
            }
            Method::Heun => (x + noise, None, None),
            Method::Trapezoid => (x, Some(noise), Some(noise)),
        };
        let plus = |v: Var<'g>, noise: Option<Var<'g>>| noise.map_or(v, |noise| v + noise);
        let first = drift(t, from)?;
        let second = drift(after, plus(from + h * first.velocity, inside))?;
        let half = h * 0.5;
        let pairs = first.integrands.iter().zip(&second.integrands);
        let gains = pairs.map(|(&a, &b)| half * (a + b)).collect();
        Ok(Step { x: plus(from + half * (first.velocity + second.velocity), outside), gains })
    }
}

/// A drift, a noise and a method compiled for equal steps.
///
/// ```
/// use ergodic::dynamics::{ode::{Grid, Rates}, sde::{Diffusion, Method}};
/// use ergodic::{gpu::{Gpu, GpuOptions, Tensor}, graph::{DType, Graph}, random::RngKey};
/// # fn main() -> ergodic::Result<()> {
/// let gpu = Gpu::headless(GpuOptions::from_env()?)?;
/// let g = Graph::new();
/// let x = g.input("x", [10_000, 1]);
/// // An Ornstein-Uhlenbeck process from 0: variance 1 - exp(-2 t).
/// let walk = Diffusion::new(&gpu, x, Method::Trapezoid, |_, x| Ok(Rates::of(-x)), |t| Ok(t * 0.0 + 1.0))?;
/// let start = Tensor::zeros(&gpu, "start", &[10_000, 1], DType::F32)?;
/// let end = walk.solve(&start, Grid::new(0.0, 1.0, 20), RngKey::new(3))?;
/// let x = end.points()?.read::<f32>()?.wait()?;
/// let variance = x.iter().map(|x| f64::from(x * x)).sum::<f64>() / 1e4;
/// // Five standard errors of a variance.
/// assert!((variance / (1.0 - (-2f64).exp()) - 1.0).abs() < 5.0 * f64::sqrt(2.0 / 1e4));
/// # Ok(()) }
/// ```
#[derive(Clone)]
#[must_use]
pub struct Diffusion {
    steps: FixedStep,
}

impl Diffusion {
    /// Compile `drift(t, x)` and the scalar `epsilon(t)`, not negative, for points `x`, an input `[n, ..]`.
    ///
    /// # Errors
    /// As [`FixedStep::new`].
    pub fn new<'g>(
        gpu: &Gpu,
        x: Var<'g>,
        method: Method,
        drift: impl Fn(Var<'g>, Var<'g>) -> Result<Rates<'g>>,
        epsilon: impl Fn(Var<'g>) -> Result<Var<'g>>,
    ) -> Result<Self> {
        Ok(Diffusion { steps: compile(gpu, x, method, (drift, epsilon, None), Way::Forth)? })
    }

    /// As [`new`](Self::new), with one more integral after those of the drift: that of a field `[n, ..]` along the noisy path,
    /// `int form(t, X) . dX` in the sense of Stratonovich.
    ///
    /// ```text
    /// gain = (form(t, x) + form(t + h, x')) . (x' - x) / 2
    /// ```
    ///
    /// Of a gradient it is the change of the function, but for what that changes in time: to first order in the step.
    ///
    /// # Errors
    /// As [`new`](Self::new); [`Error::Shape`] for a form that is not of the shape of `x`.
    pub fn with_work<'g>(
        gpu: &Gpu,
        x: Var<'g>,
        method: Method,
        drift: impl Fn(Var<'g>, Var<'g>) -> Result<Rates<'g>>,
        epsilon: impl Fn(Var<'g>) -> Result<Var<'g>>,
        form: impl Fn(Var<'g>, Var<'g>) -> Result<Var<'g>>,
    ) -> Result<Self> {
        Ok(Diffusion { steps: compile(gpu, x, method, (drift, epsilon, Some(&form)), Way::Forth)? })
    }

    /// Bind another input of the drift, such as a network's parameters.
    pub fn bind(self, name: &str, tensor: &Tensor) -> Self {
        Diffusion { steps: self.steps.bind(name, tensor) }
    }

    /// Bind another key of the drift.
    pub fn bind_key(self, name: &str, key: RngKey) -> Self {
        Diffusion { steps: self.steps.bind_key(name, key) }
    }

    /// Move a copy of `start` over the whole grid, integrals from 0. Waits for the device.
    ///
    /// # Errors
    /// As [`FixedStep::solve`].
    pub fn solve(&self, start: &Tensor, grid: Grid, key: RngKey) -> Result<Solution> {
        let mut solution = self.begin(start, grid, key)?;
        solution.advance(0..grid.steps)?;
        Ok(solution)
    }

    /// A copy of `start` at the start of the grid, to be moved with [`Solution::advance`].
    ///
    /// # Errors
    /// As [`FixedStep::solve`].
    pub fn begin(&self, start: &Tensor, grid: Grid, key: RngKey) -> Result<Solution> {
        self.steps.begin_with(start, grid, |bindings| bindings.key(NOISE, key))
    }

    /// What a step runs on the device.
    pub fn report(&self) -> Report<'_> {
        self.steps.report()
    }
}

/// The same steps the other way: from where a [`Diffusion`] arrived back along its own path, by the same noise.
///
/// Each step has an error of the size of the drift's change in it, so the start is met to first order in the step, or better.
/// Steps are submitted one by one, because their numbers run down.
#[must_use]
pub struct Retrace {
    steps: FixedStep,
}

impl Retrace {
    /// Compile; arguments are those of [`Diffusion::new`].
    ///
    /// # Errors
    /// As [`FixedStep::new`].
    pub fn new<'g>(
        gpu: &Gpu,
        x: Var<'g>,
        method: Method,
        drift: impl Fn(Var<'g>, Var<'g>) -> Result<Rates<'g>>,
        epsilon: impl Fn(Var<'g>) -> Result<Var<'g>>,
    ) -> Result<Self> {
        Ok(Retrace { steps: compile(gpu, x, method, (drift, epsilon, None), Way::Back)? })
    }

    /// Bind another input of the drift.
    pub fn bind(self, name: &str, tensor: &Tensor) -> Self {
        Retrace { steps: self.steps.bind(name, tensor) }
    }

    /// Where the path that ended in `end` began. `grid` and `key` are those of the way there. Waits for the device.
    ///
    /// # Errors
    /// As [`FixedStep::solve`].
    pub fn solve(&self, end: &Tensor, grid: Grid, key: RngKey) -> Result<Solution> {
        let mut solution = self.steps.begin_with(end, grid, |bindings| bindings.key(NOISE, key))?;
        let session = solution.session();
        for k in (0..u64::from(grid.steps)).rev() {
            session.set_step(k);
            session.run(1)?;
        }
        session.set_step(0);
        session.check()?;
        Ok(solution)
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Way {
    Forth,
    Back,
}

/// A field that is integrated along the path.
type Form<'a, 'g> = &'a dyn Fn(Var<'g>, Var<'g>) -> Result<Var<'g>>;

fn compile<'g>(
    gpu: &Gpu,
    x: Var<'g>,
    method: Method,
    (drift, epsilon, form): (
        impl Fn(Var<'g>, Var<'g>) -> Result<Rates<'g>>,
        impl Fn(Var<'g>) -> Result<Var<'g>>,
        Option<Form<'_, 'g>>,
    ),
    way: Way,
) -> Result<FixedStep> {
    let name = check_points(x)?;
    let g = x.graph();
    let clock = Clock::new(g, GRID);
    let h = clock.step_size();
    let amplitude = (epsilon(clock.time(0.5))? * h.abs() * 2.0).sqrt();
    let noise = amplitude * g.key(NOISE).normal(x.shape());
    let checked = |t: Var<'g>, at: Var<'g>| drift(t, at).and_then(|rates| check_rates(x, &rates).map(|()| rates));
    let (from, to) = (clock.time(0.0), clock.time(1.0));
    let mut step = match way {
        Way::Forth => method.step((from, to), h, x, noise, checked)?,
        Way::Back => method.step((to, from), -h, x, -noise, checked)?,
    };
    if let Some(form) = form {
        let (first, last) = (form(from, x)?, form(to, step.x)?);
        check_rates(x, &Rates::of(first))?;
        let axes: Vec<_> = (1..x.shape().len()).collect();
        step.gains.push(((first + last) * (step.x - x) * 0.5).sum(axes));
    }
    FixedStep::compile(gpu, name.clone(), states((&name, step.x), &step.gains), "sde")
}
