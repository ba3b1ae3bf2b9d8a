//! [`Adaptive`]: Dormand and Prince's pair, with the size of each step decided on the device.
//!
//! One error norm for the whole batch decides, so all rows share their times:
//!
//! ```text
//! e_row = rms over components and integrals of  error / (atol + rtol max(|before|, |after|))
//! e = rms over rows of e_row, or with Norm::Max the largest
//! accepted if e <= 1;   h <- h clamp(0.9 e^-0.17 e_before^0.04, 0.2, 10), no growth right after a rejection
//! ```
//!
//! Time is a whole number of ticks, `2^-24` of the span: sums of steps are exact in f32, and the last step ends on the dot. A
//! step at the end of time changes nothing, so several are encoded ahead; the host then reads six numbers.
//!
//! Source: Hairer, Norsett and Wanner, *Solving Ordinary Differential Equations I*, sections II.4 (controller, first step) and
//! II.5 (the pair); the exponents are those of their code DOPRI5.

use super::Rates;
use super::fixed::{check_points, check_rates, copy, read_integral, states, with_zero_integrals};
use super::tableau::{DORMAND_PRINCE, Step};
use crate::error::{Error, Result};
use crate::gpu::{Gpu, Tensor};
use crate::graph::{Graph, Var};
use crate::plan::{Bindings, CompileOptions, Plan, Report, Session};
use crate::random::RngKey;

const SPAN: &str = "ode.span";
const SLOPE: &str = "ode.slope";
const CONTROL: &str = "ode.control";
const START: &str = "first";
/// Ticks of the span of time; every whole number up to here is an f32.
const TICKS: f64 = 16_777_216.0;
/// Most steps between two looks of the host.
const AHEAD: f64 = 32.0;

/// How exact a solution should be, and how long it may take.
///
/// `rtol` below `1e-6` asks for more than f32 has: the estimate of the error is itself rounded.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tolerance {
    /// Error of one step relative to the size of a component.
    pub rtol: f64,
    /// Error of one step, in units of `x`.
    pub atol: f64,
    /// Steps tried, accepted or not, before [`Error::StepLimit`].
    pub max_steps: u32,
    /// Size of the first step; `None` guesses it from the field.
    pub first_step: Option<f64>,
    /// Whose error it is.
    pub norm: Norm,
}

/// Which rows of a batch an error tolerance holds for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Norm {
    /// The root mean square: cheap for averages over the batch, but one hard row among a thousand may be off by 30 tolerances.
    #[default]
    Mean,
    /// The largest: every row is as exact as if it were alone, and the hardest sets the steps of all.
    Max,
}

impl Default for Tolerance {
    fn default() -> Self {
        Tolerance { rtol: 1e-5, atol: 1e-6, max_steps: 10_000, first_step: None, norm: Norm::Mean }
    }
}

impl Tolerance {
    /// These tolerances, other values by default.
    pub fn new(rtol: f64, atol: f64) -> Self {
        Tolerance { rtol, atol, ..Tolerance::default() }
    }

    pub(super) fn check(&self) -> Result<()> {
        let good = |v: f64| v.is_finite() && v >= 0.0;
        if !(good(self.rtol) && good(self.atol) && self.rtol + self.atol > 0.0) {
            let got = format!("rtol {}, atol {}", self.rtol, self.atol);
            return Err(Error::Invalid { what: "tolerance", got, want: "not negative, one of them above 0" });
        }
        if let Some(step) = self.first_step.filter(|&h| !(h.is_finite() && h > 0.0)) {
            return Err(Error::Invalid { what: "first step", got: step.to_string(), want: "finite and above 0" });
        }
        Ok(())
    }
}

/// What a solution cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Steps taken.
    pub accepted: u32,
    /// Steps tried and not taken.
    pub rejected: u32,
    /// Evaluations of the field, the guess of the first step included.
    pub evaluations: u32,
}

/// A field compiled for steps of the size that an error tolerance asks for.
///
/// ```
/// use ergodic::dynamics::ode::{Adaptive, Rates, Tolerance};
/// use ergodic::{gpu::{Gpu, GpuOptions, Tensor}, graph::Graph};
/// # fn main() -> ergodic::Result<()> {
/// let gpu = Gpu::headless(GpuOptions::from_env()?)?;
/// let g = Graph::new();
/// let x = g.input("x", [1, 1]);
/// let decay = Adaptive::new(&gpu, x, Tolerance::new(1e-6, 1e-6), |_, x| Ok(Rates::of(-x)))?;
/// let start = Tensor::from_slice(&gpu, "start", &[1, 1], &[1.0f32])?;
/// let end = decay.solve(&start, (0.0, 1.0))?;
/// assert!((end.points()?.read::<f32>()?.wait()?[0] - (-1f32).exp()).abs() < 5e-6);
/// assert!(end.statistics().accepted < 20);
/// # Ok(()) }
/// ```
#[derive(Clone)]
#[must_use]
pub struct Adaptive {
    start: Plan,
    plan: Plan,
    bindings: Bindings,
    x: String,
    tolerance: Tolerance,
}

/// Points that have arrived, what was integrated along their way, and what it cost.
pub struct Arrived {
    session: Session,
    x: String,
    statistics: Statistics,
}

impl Adaptive {
    /// Compile `field(t, x)` for points `x`, an input `[n, ..]`.
    ///
    /// # Errors
    /// [`Error::Invalid`] for tolerances that mean nothing; [`Error::Shape`] if `x` is no input or the rates do not fit it;
    /// what the field and compiling refuse.
    pub fn new<'g>(
        gpu: &Gpu,
        x: Var<'g>,
        tolerance: Tolerance,
        field: impl Fn(Var<'g>, Var<'g>) -> Result<Rates<'g>>,
    ) -> Result<Self> {
        tolerance.check()?;
        let name = check_points(x)?;
        let checked = |t: Var<'g>, at: Var<'g>| field(t, at).and_then(|rates| check_rates(x, &rates).map(|()| rates));
        let clock = Clock::new(x.graph());
        let first = start(x, &clock, &tolerance, &checked)?;
        let start = compile(gpu, &first, "ode start")?;
        let plan = compile(gpu, &attempt((&name, x), &clock, &tolerance, &checked)?, "ode adaptive")?;
        Ok(Adaptive { start, plan, bindings: Bindings::new(), x: name, tolerance })
    }

    /// Bind another input of the field, such as a network's parameters.
    pub fn bind(mut self, name: &str, tensor: &Tensor) -> Self {
        self.bindings = self.bindings.tensor(name, tensor);
        self
    }

    /// Bind a key of the field.
    pub fn bind_key(mut self, name: &str, key: RngKey) -> Self {
        self.bindings = self.bindings.key(name, key);
        self
    }

    /// Move a copy of `start` from the first time to the second, which may be earlier; integrals from 0. Waits for the device.
    ///
    /// # Errors
    /// [`Error::StepLimit`] when the steps are used up or smaller than a tick, with the time reached; [`Error::Invalid`] for a
    /// span that means nothing; [`Error::UnboundInput`]; [`Error::Shape`]; [`Error::Fault`] if the field is not finite at the
    /// start; [`Error::DeviceLost`].
    pub fn solve(&self, start: &Tensor, (from, to): (f64, f64)) -> Result<Arrived> {
        let gpu = self.plan.gpu();
        super::Grid::new(from, to, 1).check()?;
        let span = Tensor::from_slice(gpu, SPAN, &[2], &[from as f32, (to - from) as f32])?;
        let mut bindings = self.bindings.clone().tensor(SPAN, &span).tensor(&self.x, &copy(start, gpu)?);
        let mut first = Session::new(&self.start, bindings.clone())?;
        first.run(1)?;
        first.check()?;
        for decl in self.start.tensors().iter().filter(|decl| decl.name.starts_with(START)) {
            let name = decl.name[START.len() + 1..].to_string();
            bindings = bindings.tensor(&name, first.tensor(&decl.name)?);
        }
        let session = Session::new(&self.plan, with_zero_integrals(&self.plan, bindings)?)?;
        let mut arrived = Arrived { session, x: self.x.clone(), statistics: Statistics::default() };
        arrived.drive(&self.tolerance, (from, to))?;
        Ok(arrived)
    }

    /// What a step runs on the device.
    pub fn report(&self) -> Report<'_> {
        self.plan.report()
    }
}

impl Arrived {
    fn drive(&mut self, tolerance: &Tolerance, (from, to): (f64, f64)) -> Result<()> {
        loop {
            let control = self.session.read::<f32>(CONTROL)?.wait()?;
            let [ticks, step, accepted, rejected] = [control[0], control[1], control[4], control[5]].map(f64::from);
            let tried = accepted + rejected;
            self.statistics =
                Statistics { accepted: accepted as u32, rejected: rejected as u32, evaluations: 2 + 6 * tried as u32 };
            self.session.check()?;
            if ticks >= TICKS {
                return Ok(());
            }
            let left = f64::from(tolerance.max_steps) - tried;
            // A step of one tick that was refused cannot shrink: the field is stiff or singular here.
            let stuck = step <= 1.0 && rejected > 0.0;
            if left < 1.0 || stuck {
                return Err(Error::StepLimit {
                    reached: from + (to - from) * ticks / TICKS,
                    target: to,
                    accepted: accepted as u32,
                    rejected: rejected as u32,
                    step: (to - from).abs() * step / TICKS,
                });
            }
            let ahead = ((TICKS - ticks) / step.max(1.0)).ceil().clamp(1.0, AHEAD).min(left);
            self.session.run(ahead as u64)?;
        }
    }

    /// The points, `[n, d]`.
    ///
    /// # Errors
    /// None that a solver's own plan can give.
    pub fn points(&self) -> Result<&Tensor> {
        self.session.tensor(&self.x)
    }

    /// The `i`-th integral along the way, one a row. Waits for the device.
    ///
    /// # Errors
    /// [`Error::UnboundInput`] if the field has no such integrand; [`Error::DeviceLost`].
    pub fn integral(&self, i: usize) -> Result<Vec<f64>> {
        read_integral(&self.session, i)
    }

    /// What it cost.
    pub fn statistics(&self) -> Statistics {
        self.statistics
    }
}

/// Named values.
type Outputs<'g> = Vec<(String, Var<'g>)>;

fn compile(gpu: &Gpu, outputs: &Outputs<'_>, label: &str) -> Result<Plan> {
    let outputs: Vec<_> = outputs.iter().map(|(name, var)| (name.as_str(), *var)).collect();
    Plan::compile(gpu, &outputs, &CompileOptions::labelled(label))
}

/// Time, and the memory of the controller.
struct Clock<'g> {
    start: Var<'g>,
    length: Var<'g>,
    /// Ticks gone, proposed step in ticks, last error, limit of growth, accepted, rejected.
    control: [Var<'g>; 6],
}

impl<'g> Clock<'g> {
    fn new(g: &'g Graph) -> Self {
        let word = |v: Var<'g>, i: usize| v.narrow(0, i, 1).reshape([]);
        let (span, control) = (g.input(SPAN, [2]), g.input(CONTROL, [6]));
        let control = std::array::from_fn(|i| word(control, i));
        Clock { start: word(span, 0), length: word(span, 1), control }
    }

    /// The step to be tried, in ticks.
    fn ticks(&self) -> Var<'g> {
        self.control[1].min(TICKS - self.control[0])
    }

    /// These ticks as time.
    fn span(&self, ticks: Var<'g>) -> Var<'g> {
        self.length * (ticks * (1.0 / TICKS))
    }
}

/// The first slopes, and the first step: small enough that one Euler step and its change of slope are.
fn start<'g>(
    x: Var<'g>,
    clock: &Clock<'g>,
    tolerance: &Tolerance,
    field: &impl Fn(Var<'g>, Var<'g>) -> Result<Rates<'g>>,
) -> Result<Outputs<'g>> {
    let g = x.graph();
    let first = field(clock.start, x)?;
    let scale = x.abs() * tolerance.rtol + tolerance.atol.max(f64::from(f32::MIN_POSITIVE));
    let count = x.shape().numel().max(1) as f64; // of no points the mean square is 0
    let rms = |v: Var<'g>| ((v / scale).square().sum_all() * (1.0 / count)).sqrt();
    let guess = match tolerance.first_step {
        Some(h) => g.constant(h),
        None => {
            let (size, slope) = (rms(x), rms(first.velocity));
            let tiny = size.min(slope).lt(1e-5);
            let h0 = tiny.select(1e-6, size * 0.01 / slope.max(1e-5)).min(clock.length.abs());
            let signed = clock.length.lt(0.0).select(-h0, h0);
            let bent = field(clock.start + signed, x + signed * first.velocity)?;
            let steepest = (rms(bent.velocity - first.velocity) / h0).max(slope);
            let by_slope = (0.01 / steepest.max(1e-15)).pow(0.2);
            steepest.le(1e-15).select((h0 * 1e-3).max(1e-6), by_slope).min(h0 * 100.0)
        }
    };
    let ticks = (guess / clock.length.abs() * TICKS).min(TICKS).floor().max(1.0);
    let control = [g.constant(0.0), ticks, g.constant(1e-4), g.constant(10.0), g.constant(0.0), g.constant(0.0)];
    let mut outputs = vec![(format!("{START}.{CONTROL}"), row(&control)?)];
    outputs.push((format!("{START}.{SLOPE}"), first.velocity));
    for (i, &rate) in first.integrands.iter().enumerate() {
        outputs.push((format!("{START}.{SLOPE}.{i}"), rate));
    }
    Ok(outputs)
}

/// One step tried, and taken if its error allows.
fn attempt<'g>(
    (name, x): (&str, Var<'g>),
    clock: &Clock<'g>,
    tolerance: &Tolerance,
    field: &impl Fn(Var<'g>, Var<'g>) -> Result<Rates<'g>>,
) -> Result<Outputs<'g>> {
    let g = x.graph();
    let (ticks, t) = (clock.ticks(), clock.start + clock.span(clock.control[0]));
    let h = clock.span(ticks);
    // How many integrands there are is seen from the field; the node is the start's and costs nothing.
    let n = field(clock.start, x)?.integrands.len();
    let rate = |i: usize| g.input(&format!("{SLOPE}.{i}"), [x.shape()[0]]);
    let first = Rates { velocity: g.input(SLOPE, x.shape()), integrands: (0..n).map(rate).collect() };
    let slopes = DORMAND_PRINCE.slopes(|c| t + h * c, h, x, Some(first.clone()), field)?;
    let (to, error) = (DORMAND_PRINCE.step(h, x, &slopes), DORMAND_PRINCE.error(h, x, &slopes));
    let last = slopes.last().cloned().unwrap_or_else(|| first.clone());
    let error = norm(x, &to, &error, tolerance);
    let running = clock.control[0].lt(TICKS);
    let good = error.le(1.0);
    // Both must hold; a step after the end of time has length 0 and error 0, and must not count.
    let taken = running.select(good.select(1.0, 0.0), 0.0);
    let is_taken = g.constant(0.5).lt(taken);
    let keep = |new: Var<'g>, old: Var<'g>| is_taken.select(new, old);
    let gains: Vec<_> = to.gains.iter().map(|&gain| keep(gain, gain.zeros_like())).collect();
    let mut outputs = states((name, keep(to.x, x)), &gains);
    outputs.push((SLOPE.into(), keep(last.velocity, first.velocity)));
    for (i, (&new, &old)) in last.integrands.iter().zip(&first.integrands).enumerate() {
        outputs.push((format!("{SLOPE}.{i}"), keep(new, old)));
    }
    outputs.push((CONTROL.into(), row(&controlled(clock, ticks, error, (running, is_taken, taken)))?));
    Ok(outputs)
}

/// The error of a step in units of what is tolerated; a large number where it is not one.
fn norm<'g>(x: Var<'g>, to: &Step<'g>, error: &Step<'g>, tolerance: &Tolerance) -> Var<'g> {
    let floor = tolerance.atol.max(f64::from(f32::MIN_POSITIVE));
    // Of no rows there is no worst one.
    let rows = x.shape()[0];
    let each_row = tolerance.norm == Norm::Max && rows > 0;
    let square = |error: Var<'g>, size: Var<'g>| {
        let square = (error / (size * tolerance.rtol + floor)).square();
        if each_row { square.reshape([rows, square.shape().numel() / rows]).sum(1) } else { square.sum_all() }
    };
    let mut sum = square(error.x, x.abs().max(to.x.abs()));
    for (i, (&gain, &error)) in to.gains.iter().zip(&error.gains).enumerate() {
        let name = super::fixed::integral_name(i);
        let before = x.graph().input(&name, gain.shape());
        sum = sum + square(error, before.abs().max((before + gain).abs()));
    }
    let count = x.shape().numel() + to.gains.len() * rows;
    // False for NaN: a step into the undefined is refused and shortened.
    let defined = |square: Var<'g>| square.lt(1e12).select(square, 1e12);
    let of = if each_row { rows } else { 1 } as f64 / count.max(1) as f64;
    let square = defined(sum * of);
    if each_row { square.max_over(0).sqrt() } else { square.sqrt() }
}

/// What the controller remembers next.
fn controlled<'g>(
    clock: &Clock<'g>,
    ticks: Var<'g>,
    error: Var<'g>,
    (running, is_taken, taken): (Var<'g>, Var<'g>, Var<'g>),
) -> [Var<'g>; 6] {
    let [gone, step, before, limit, accepted, rejected] = clock.control;
    let error = error.max(1e-8);
    let factor = error.pow(-0.17) * before.pow(0.04) * 0.9;
    let grown = ticks * factor.max(0.2).min(limit);
    let shrunk = ticks * (error.pow(-0.17) * 0.9).max(0.2).min(1.0);
    let next = is_taken.select(grown, shrunk).floor().max(1.0).min(TICKS);
    let now = |new: Var<'g>, old: Var<'g>| running.select(new, old);
    [
        gone + ticks * taken,
        now(next, step),
        is_taken.select(error.max(1e-4), before),
        now(is_taken.select(10.0, 1.0), limit),
        accepted + taken,
        now(rejected + (1.0 - taken), rejected),
    ]
}

/// Scalars as one vector.
fn row<'g>(scalars: &[Var<'g>]) -> Result<Var<'g>> {
    let parts: Vec<_> = scalars.iter().map(|s| s.reshape([1])).collect();
    let nothing = Error::Invalid { what: "number of scalars", got: "0".into(), want: "at least 1" };
    Var::concat(&parts, 0).ok_or(nothing)
}
