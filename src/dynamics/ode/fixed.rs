//! [`FixedStep`]: equal steps, as one replayed plan.

use super::Rates;
use super::tableau::Method;
use crate::dynamics::Compensated;
use crate::dynamics::schedule::input_name;
use crate::error::{Error, Result};
use crate::gpu::{Gpu, Tensor};
use crate::graph::{DType, Graph, Var};
use crate::plan::{Bindings, CompileOptions, Plan, Report, Session};
use crate::random::RngKey;
use std::ops::Range;

/// From one time to another in equal steps. `to` may lie before `from`.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grid {
    /// Time of the first point.
    pub from: f64,
    /// Time of the last.
    pub to: f64,
    /// Steps between them, at least 1.
    pub steps: u32,
}

impl Grid {
    /// `steps` steps from `from` to `to`.
    pub fn new(from: f64, to: f64, steps: u32) -> Self {
        Grid { from, to, steps }
    }

    /// The same times, the other way.
    #[must_use]
    pub fn reversed(self) -> Self {
        Grid { from: self.to, to: self.from, ..self }
    }

    /// One step, negative if time runs backwards.
    pub fn step_size(&self) -> f64 {
        (self.to - self.from) / f64::from(self.steps.max(1))
    }

    /// Time after `k` steps.
    pub fn time(&self, k: u32) -> f64 {
        self.from + self.step_size() * f64::from(k)
    }

    pub(in crate::dynamics) fn check(&self) -> Result<()> {
        if !(self.from.is_finite() && self.to.is_finite() && self.from != self.to) {
            let got = format!("{} to {}", self.from, self.to);
            return Err(Error::Invalid { what: "span of time", got, want: "two different finite times" });
        }
        if self.steps == 0 {
            return Err(Error::Invalid { what: "number of steps", got: "0".into(), want: "at least 1" });
        }
        Ok(())
    }

    /// What the device is told: start, smallest and largest time, step.
    pub(in crate::dynamics) fn words(&self) -> [f32; 4] {
        [self.from, self.from.min(self.to), self.from.max(self.to), self.step_size()].map(|v| v as f32)
    }
}

/// The grid as a graph sees it: times of the current step.
#[derive(Clone, Copy)]
pub(in crate::dynamics) struct Clock<'g> {
    words: Var<'g>,
    step: Var<'g>,
}

impl<'g> Clock<'g> {
    /// From the input `name [4]`, [`Grid::words`].
    pub fn new(graph: &'g Graph, name: &str) -> Self {
        Clock { words: graph.input(name, [4]), step: graph.step().cast(DType::F32) }
    }

    fn word(&self, i: usize) -> Var<'g> {
        self.words.narrow(0, i, 1).reshape([])
    }

    /// One step.
    pub fn step_size(&self) -> Var<'g> {
        self.word(3)
    }

    /// Time `c` steps after the current step's start, never outside the grid: rounding must not take a root of `1 - t` below 0.
    pub fn time(&self, c: f64) -> Var<'g> {
        let t = self.word(0) + (self.step + c) * self.step_size();
        t.max(self.word(1)).min(self.word(2))
    }
}

/// Name of the grid in a plan.
pub(in crate::dynamics) const GRID: &str = "ode.grid";

/// Name of the `i`-th integral in a plan.
pub(in crate::dynamics) fn integral_name(i: usize) -> String {
    format!("ode.integral.{i}")
}

/// Next values of `x` and of its integrals.
pub(in crate::dynamics) fn states<'g>(x: (&str, Var<'g>), gains: &[Var<'g>]) -> Vec<(String, Var<'g>)> {
    let mut states = vec![(x.0.to_string(), x.1)];
    for (i, &gain) in gains.iter().enumerate() {
        let name = integral_name(i);
        let sum = Compensated::input(x.1.graph(), &name, gain.shape()).plus(gain);
        states.extend([(name.clone(), sum.high), (format!("{name}.low"), sum.low)]);
    }
    states
}

/// `x` is an input of at least one axis; its name.
pub(in crate::dynamics) fn check_points(x: Var<'_>) -> Result<String> {
    x.graph().check()?;
    let name = input_name(x)?;
    if x.shape().is_empty() || x.dtype() != DType::F32 {
        let got = format!("{} {:?}", x.shape(), x.dtype());
        return Err(Error::Shape { op: "points", got, want: "rows [n, ..] of F32".into(), at: Some(x.site()) });
    }
    Ok(name)
}

/// Rates must fit `x`: one velocity like it, integrands of one value a row.
pub(in crate::dynamics) fn check_rates<'g>(x: Var<'g>, rates: &Rates<'g>) -> Result<()> {
    x.graph().check()?;
    let rows = [x.shape()[0]];
    let wrong = rates.integrands.iter().find(|r| *r.shape() != rows);
    let (got, want, at) = match wrong {
        _ if rates.velocity.shape() != x.shape() => (rates.velocity.shape(), x.shape().to_string(), rates.velocity),
        Some(rate) => (rate.shape(), format!("{rows:?}, one value a row"), *rate),
        None => return Ok(()),
    };
    Err(Error::Shape { op: "field", got: got.to_string(), want, at: Some(at.site()) })
}

/// A field and a method compiled for equal steps.
///
/// Integrals are carried as [`Compensated`] sums. Where the field's rows do not mix and it needs no tiled product, all steps
/// are one dispatch.
///
/// ```
/// use ergodic::dynamics::ode::{FixedStep, Grid, Method, Rates};
/// use ergodic::{gpu::{Gpu, GpuOptions, Tensor}, graph::Graph};
/// # fn main() -> ergodic::Result<()> {
/// let gpu = Gpu::headless(GpuOptions::from_env()?)?;
/// let g = Graph::new();
/// let x = g.input("x", [2, 1]);
/// let decay = FixedStep::new(&gpu, x, Method::Rk4, |_, x| Ok(Rates::of(-x)))?;
/// let start = Tensor::from_slice(&gpu, "start", &[2, 1], &[1.0f32, 2.0])?;
/// let end = decay.solve(&start, Grid::new(0.0, 1.0, 20))?;
/// // The error of the method is 1e-6 here, f32 rounding less.
/// assert!((end.points()?.read::<f32>()?.wait()?[1] - 2.0 * (-1f32).exp()).abs() < 2e-6);
/// # Ok(()) }
/// ```
#[derive(Clone)]
#[must_use]
pub struct FixedStep {
    plan: Plan,
    bindings: Bindings,
    x: String,
}

impl FixedStep {
    /// Compile `field(t, x)` for points `x`, an input `[n, ..]`. Other inputs of the field's graph are bound with
    /// [`bind`](Self::bind).
    ///
    /// # Errors
    /// [`Error::Shape`] if `x` is no input or the rates do not fit it; what the field and compiling refuse.
    pub fn new<'g>(
        gpu: &Gpu,
        x: Var<'g>,
        method: Method,
        field: impl Fn(Var<'g>, Var<'g>) -> Result<Rates<'g>>,
    ) -> Result<Self> {
        let name = check_points(x)?;
        let (clock, tableau) = (Clock::new(x.graph(), GRID), method.tableau());
        // The seventh slope of Dormand and Prince serves the error estimate, which nobody reads here.
        let checked = |t: Var<'g>, at: Var<'g>| field(t, at).and_then(|rates| check_rates(x, &rates).map(|()| rates));
        let slopes = tableau.slopes(|c| clock.time(c), clock.step_size(), x, None, &checked)?;
        let step = tableau.step(clock.step_size(), x, &slopes);
        Self::compile(gpu, name.clone(), states((&name, step.x), &step.gains), "ode")
    }

    /// Compile a rule of your own for one step, `next((t, t + h), x)`, of the shape of `x`: for exponential steps and others
    /// that are no sum of slopes.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn of_map<'g>(
        gpu: &Gpu,
        x: Var<'g>,
        next: impl FnOnce((Var<'g>, Var<'g>), Var<'g>) -> Result<Var<'g>>,
    ) -> Result<Self> {
        let (name, clock) = (check_points(x)?, Clock::new(x.graph(), GRID));
        let to = next((clock.time(0.0), clock.time(1.0)), x)?;
        check_rates(x, &Rates::of(to))?;
        Self::compile(gpu, name.clone(), states((&name, to), &[]), "steps")
    }

    pub(in crate::dynamics) fn compile(
        gpu: &Gpu,
        x: String,
        states: Vec<(String, Var<'_>)>,
        label: &str,
    ) -> Result<Self> {
        let outputs: Vec<_> = states.iter().map(|(name, var)| (name.as_str(), *var)).collect();
        let plan = Plan::compile(gpu, &outputs, &CompileOptions::labelled(label))?;
        Ok(FixedStep { plan, bindings: Bindings::new(), x })
    }

    /// Bind another input of the field, such as a network's parameters.
    pub fn bind(mut self, name: &str, tensor: &Tensor) -> Self {
        self.bindings = self.bindings.tensor(name, tensor);
        self
    }

    /// Bind a key of the field, such as that of Hutchinson's signs.
    pub fn bind_key(mut self, name: &str, key: RngKey) -> Self {
        self.bindings = self.bindings.key(name, key);
        self
    }

    /// Move a copy of `start` over the whole grid, integrals from 0. Waits for the device.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a grid that means nothing; [`Error::UnboundInput`]; [`Error::Shape`] for points of another shape;
    /// [`Error::Fault`] if a value was not finite; [`Error::DeviceLost`].
    pub fn solve(&self, start: &Tensor, grid: Grid) -> Result<Solution> {
        let mut solution = self.begin(start, grid)?;
        solution.advance(0..grid.steps)?;
        Ok(solution)
    }

    /// A copy of `start` at the start of the grid, to be moved with [`Solution::advance`].
    ///
    /// # Errors
    /// As [`solve`](Self::solve).
    pub fn begin(&self, start: &Tensor, grid: Grid) -> Result<Solution> {
        self.begin_with(start, grid, |bindings| bindings)
    }

    pub(in crate::dynamics) fn begin_with(
        &self,
        start: &Tensor,
        grid: Grid,
        more: impl FnOnce(Bindings) -> Bindings,
    ) -> Result<Solution> {
        grid.check()?;
        let (gpu, words) = (self.plan.gpu(), grid.words());
        let bindings = self.bindings.clone().tensor(GRID, &Tensor::from_slice(gpu, GRID, &[4], &words)?);
        let bindings = more(bindings).tensor(&self.x, &copy(start, gpu)?);
        let session = Session::new(&self.plan, with_zero_integrals(&self.plan, bindings)?)?;
        Ok(Solution { session, x: self.x.clone(), grid })
    }

    /// What a step runs on the device.
    pub fn report(&self) -> Report<'_> {
        self.plan.report()
    }
}

/// A tensor of the same values.
pub(in crate::dynamics) fn copy(from: &Tensor, gpu: &Gpu) -> Result<Tensor> {
    from.check_on(gpu, "solver")?;
    let to = Tensor::uninit(gpu, "points", from.shape(), from.dtype())?;
    let mut encoder = gpu.encoder("copy");
    from.copy_in(&mut encoder, &to);
    gpu.submit(encoder)?;
    Ok(to)
}

/// Bind every integral of a plan to zeros.
pub(super) fn with_zero_integrals(plan: &Plan, mut bindings: Bindings) -> Result<Bindings> {
    for decl in plan.tensors().iter().filter(|decl| decl.name.starts_with("ode.integral.")) {
        bindings = bindings.tensor(&decl.name, &Tensor::zeros(plan.gpu(), &decl.name, &decl.shape, decl.dtype)?);
    }
    Ok(bindings)
}

/// Points on their way, and what was integrated along it.
pub struct Solution {
    session: Session,
    x: String,
    grid: Grid,
}

impl Solution {
    /// Take these steps of the grid. Waits for the device.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a range that does not begin where the points are or ends beyond the grid; [`Error::Fault`];
    /// [`Error::DeviceLost`].
    pub fn advance(&mut self, steps: Range<u32>) -> Result<()> {
        if u64::from(steps.start) != self.session.step() || steps.end < steps.start || steps.end > self.grid.steps {
            let got = format!("{steps:?} at step {} of {}", self.session.step(), self.grid.steps);
            return Err(Error::Invalid {
                what: "range of steps",
                got,
                want: "from the points' own step to the grid's end",
            });
        }
        self.session.run(u64::from(steps.end - steps.start))?;
        self.session.check()
    }

    /// Time that the points have reached.
    pub fn time(&self) -> f64 {
        self.grid.time(self.session.step() as u32)
    }

    /// The points, `[n, d]`.
    ///
    /// # Errors
    /// None that a solver's own plan can give.
    pub fn points(&self) -> Result<&Tensor> {
        self.session.tensor(&self.x)
    }

    /// The `i`-th integral since the start, one a row. Waits for the device.
    ///
    /// # Errors
    /// [`Error::UnboundInput`] if the field has no such integrand; [`Error::DeviceLost`].
    pub fn integral(&self, i: usize) -> Result<Vec<f64>> {
        read_integral(&self.session, i)
    }

    /// The session underneath: to encode steps into an encoder of your own. Its step is that of the grid.
    pub fn session(&mut self) -> &mut Session {
        &mut self.session
    }
}

pub(super) fn read_integral(session: &Session, i: usize) -> Result<Vec<f64>> {
    let name = integral_name(i);
    let (high, low) = (session.read::<f32>(&name)?, session.read::<f32>(&format!("{name}.low"))?);
    let pairs = high.wait()?.into_iter().zip(low.wait()?);
    Ok(pairs.map(|(h, l)| f64::from(h) + f64::from(l)).collect())
}
