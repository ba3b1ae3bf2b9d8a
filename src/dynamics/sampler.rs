//! [`WeightedLangevin`]: walkers, weights and resampling as one replayed plan.

use super::EndPoint;
use super::anchor::{Anchor, first_non_finite};
use super::options::{Kernel, LangevinOptions};
use super::schedule::{Moving, Schedule, input_name, table_name};
use super::stats::{Estimate, LogWeights};
use super::step::{self, *};
use crate::error::{Error, Result};
use crate::gpu::{Gpu, Tensor};
use crate::graph::{Graph, Var};
use crate::plan::{Bindings, CompileOptions, Plan, Report, Session};
use crate::random::RngKey;
use std::ops::Range;
use std::sync::{Mutex, OnceLock};

const START_ENERGY: &str = "start.energy";
const START_GRADIENT: &str = "start.gradient";

/// Where walkers start. Weights are exact only if this is the density `exp(-U_0/T)`.
#[derive(Clone)]
pub enum Start {
    /// Independent normals around 0.
    Normal {
        /// Standard deviation, length.
        sd: f64,
    },
    /// These walkers.
    Tensor(Tensor),
}

impl Start {
    /// Normals of this standard deviation, drawn on the device from the run's key.
    pub fn normal(sd: f64) -> Self {
        Start::Normal { sd }
    }

    /// A copy-free start from a tensor of the walkers' shape: the sampler moves the walkers in it.
    pub fn tensor(walkers: &Tensor) -> Self {
        Start::Tensor(walkers.clone())
    }
}

/// Langevin walkers that follow a changing energy and carry exact log-weights. See [`weights`](super::weights).
///
/// ```text
/// init -> State      tensors on the device: walkers, energies, gradients, log-weights
/// step -> Info       what the weights are worth: log Z with its error bar, effective walkers
/// advance, glance    the same without reading the weights, and without an error bar; or both in one submission
/// ```
///
/// Energy and gradient at the walkers are state, so a step costs one gradient (two with [`Kernel::Mala`] under a changing
/// energy). Without resampling the steps of an analytic energy are one dispatch.
#[must_use]
pub struct WeightedLangevin {
    pub(super) options: LangevinOptions,
    walkers: String,
    pub(super) shape: Vec<usize>,
    start: Plan,
    pub(super) plan: Plan,
    bindings: Bindings,
    pub(super) glance: OnceLock<Plan>,
}

/// Walkers and weights on the device, and the step that they have reached.
pub struct State {
    pub(super) session: Session,
    bindings: Bindings,
    anchor: Anchor,
    /// The last step after which all was found finite.
    well: u64,
    walkers: String,
    pub(super) glance: Mutex<Option<Session>>,
}

/// What the weights are worth after some steps, read back.
#[derive(Clone, Debug)]
pub struct Info {
    /// Log-weights since the last resampling, with what was before in `log_z`.
    pub log_weights: LogWeights,
    /// Resamplings since the start.
    pub resamplings: u32,
    /// Mean probability of acceptance since the start; 1 for kernels without a test.
    pub acceptance: f64,
}

impl WeightedLangevin {
    /// Compile unadjusted Langevin with its exact weights for walkers `x`, an input `[n, ..]` of the graph of `energy [n]`.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a step size or table that means nothing; [`Error::Shape`] if `x` is not an input or the energy
    /// not one value a walker; what differentiating and compiling refuse.
    pub fn new(gpu: &Gpu, energy: &Var<'_>, x: &Var<'_>, schedule: Schedule) -> Result<Self> {
        Self::with_options(gpu, energy, x, schedule, LangevinOptions::default())
    }

    /// Compile with a kernel, weight rule, temperature and resampling of your choice.
    ///
    /// # Errors
    /// As [`new`](Self::new), and [`Error::Invalid`] for options outside their range.
    pub fn with_options(
        gpu: &Gpu,
        energy: &Var<'_>,
        x: &Var<'_>,
        schedule: Schedule,
        options: LangevinOptions,
    ) -> Result<Self> {
        let g = x.graph();
        g.check()?;
        options.check()?;
        schedule.check(g)?;
        let (walkers, shape) = (input_name(*x)?, x.shape().to_vec());
        super::proposal::check_energy(*x, *energy)?;
        let moving = Moving { energy: *energy, x: *x, tables: schedule.rows(g) };
        let first = EndPoint::of(|x| moving.now(x), *x)?;
        let label = CompileOptions::labelled("langevin start");
        let start = Plan::compile(gpu, &[(START_ENERGY, first.u), (START_GRADIENT, first.grad)], &label)?;
        let states = step::build(&moving, &walkers, schedule.step_size, &options)?;
        let outputs: Vec<_> = states.iter().map(|(name, var)| (name.as_str(), *var)).collect();
        let plan = Plan::compile(gpu, &outputs, &CompileOptions::labelled("langevin"))?;
        let mut bindings = Bindings::new();
        for (name, values) in &schedule.tables {
            let name = table_name(name);
            bindings = bindings.tensor(&name, &Tensor::from_slice(gpu, &name, &[values.len()], values)?);
        }
        Ok(WeightedLangevin { options, walkers, shape, start, plan, bindings, glance: OnceLock::new() })
    }

    /// Bind another input of the energy, such as a network's parameters, for the states made from here on.
    pub fn bind(mut self, name: &str, tensor: &Tensor) -> Self {
        self.bindings = self.bindings.tensor(name, tensor);
        self
    }

    /// Walkers at step 0, of equal weight.
    ///
    /// # Errors
    /// [`Error::UnboundInput`] for an input of the energy that is neither in the schedule nor [bound](Self::bind);
    /// [`Error::Shape`] for walkers of another shape; [`Error::Fault`] with the first walker whose energy or gradient is not
    /// finite; [`Error::OutOfMemory`].
    pub fn init(&self, key: RngKey, start: Start) -> Result<State> {
        let gpu = self.plan.gpu();
        let x = match start {
            Start::Normal { sd } => draw(gpu, &self.shape, key.fold_in(START), sd)?,
            Start::Tensor(walkers) => walkers,
        };
        let mut bindings = self.bindings.clone().tensor(&self.walkers, &x);
        let mut first = Session::new(&self.start, bindings.clone())?;
        first.run(1)?;
        first.check().or_else(|fault| Err(at_the_start(fault, &first)?))?;
        bindings = bindings.tensor(ENERGY, first.tensor(START_ENERGY)?);
        bindings = bindings.tensor(GRADIENT, first.tensor(START_GRADIENT)?);
        if matches!(self.options.kernel, Kernel::Underdamped { .. }) {
            let sd = self.options.temperature.sqrt();
            bindings = bindings.tensor(MOMENTUM, &draw(gpu, &self.shape, key.fold_in(START_MOMENTUM), sd)?);
        }
        self.bind_zeros(bindings.key(KEY, key))
    }

    /// Walkers at `step` from the tensors that [`State::tensors`] gave then: the run goes on as if it had not stopped.
    ///
    /// # Errors
    /// [`Error::UnboundInput`] for a tensor that is missing; [`Error::Shape`] for one of another shape.
    pub fn resume(&self, key: RngKey, step: u64, tensors: &[(String, Tensor)]) -> Result<State> {
        let mut bindings = self.bindings.clone().key(KEY, key);
        for (name, tensor) in tensors {
            bindings = bindings.tensor(name, tensor);
        }
        self.state(bindings, step)
    }

    fn state(&self, bindings: Bindings, step: u64) -> Result<State> {
        let mut session = Session::new(&self.plan, bindings.clone())?;
        session.set_step(step);
        let mut anchor = Anchor::default();
        anchor.set(&session)?;
        let (walkers, glance) = (self.walkers.clone(), Mutex::new(None));
        Ok(State { session, bindings, anchor, well: step, walkers, glance })
    }

    fn bind_zeros(&self, mut bindings: Bindings) -> Result<State> {
        for name in [LOG_WEIGHTS, ACCEPTED, LOG_Z0, LOG_Z0_VAR, RESAMPLINGS] {
            for name in [name.to_string(), format!("{name}.low")] {
                if let Some(decl) = self.plan.tensors().iter().find(|decl| decl.name == name) {
                    let zeros = Tensor::zeros(self.plan.gpu(), &name, &decl.shape, decl.dtype)?;
                    bindings = bindings.tensor(&name, &zeros);
                }
            }
        }
        self.state(bindings, 0)
    }

    /// Take the steps of this range, which begins where the state is, and read back what the weights are worth.
    ///
    /// Waits for the device. To record steps into an encoder of your own use [`State::session`].
    ///
    /// # Errors
    /// [`Error::Invalid`] if the range begins elsewhere; [`Error::Fault`] if an energy was not finite, with the step and the
    /// walker at which that began (the steps are taken again to find them); [`Error::DeviceLost`].
    pub fn step(&self, state: &mut State, steps: Range<u64>) -> Result<Info> {
        self.advance(state, steps)?;
        self.info(state)
    }

    /// Take the steps of this range and read nothing back but whether they went well.
    ///
    /// # Errors
    /// As [`step`](Self::step).
    pub fn advance(&self, state: &mut State, steps: Range<u64>) -> Result<()> {
        let steps = state.begin(steps)?;
        let ran = state.session.run_checked(steps);
        state.ended(ran)
    }

    /// Read back what the weights are worth.
    ///
    /// # Errors
    /// [`Error::DeviceLost`].
    pub fn info(&self, state: &State) -> Result<Info> {
        let read = |name: &str| state.session.read::<f32>(name)?.wait();
        let mut parts = vec![];
        let low = format!("{LOG_WEIGHTS}.low");
        let both = [state.session.tensor(LOG_WEIGHTS)?, state.session.tensor(&low)?];
        for part in self.plan.gpu().read_many::<f32>(&both)? {
            parts.push(part.wait()?);
        }
        let mut log_weights = LogWeights::from_parts(&parts[0], &parts[1]);
        let mut resamplings = 0;
        if self.options.resampling.is_some() {
            let parts = [read(LOG_Z0)?, read(&format!("{LOG_Z0}.low"))?, read(LOG_Z0_VAR)?];
            let [high, low, variance] = parts.map(|part| part.first().copied().map_or(f64::NAN, f64::from));
            log_weights = log_weights.with_log_z0(Estimate { value: high + low, se: variance.sqrt() });
            resamplings = state.session.read::<u32>(RESAMPLINGS)?.wait()?.first().copied().unwrap_or(0);
        }
        let mut acceptance = 1.0;
        if self.options.kernel == Kernel::Mala && state.step() > 0 {
            let accepted = read(ACCEPTED)?;
            let total: f64 = accepted.iter().copied().map(f64::from).sum();
            acceptance = total / (accepted.len() as f64 * state.step() as f64);
        }
        Ok(Info { log_weights, resamplings, acceptance })
    }

    /// What a step runs on the device.
    pub fn report(&self) -> Report<'_> {
        self.plan.report()
    }
}

/// Normals of this standard deviation.
fn draw(gpu: &Gpu, shape: &[usize], key: RngKey, sd: f64) -> Result<Tensor> {
    let g = Graph::new();
    let normal = g.key(KEY).normal(shape) * sd;
    let plan = Plan::compile(gpu, &[("start", normal)], &CompileOptions::labelled("langevin draw"))?;
    let mut session = Session::new(&plan, Bindings::new().key(KEY, key))?;
    session.run(1)?;
    session.tensor("start").cloned()
}

/// A fault of the very first energies, with the walker that has it.
fn at_the_start(fault: Error, first: &Session) -> Result<Error> {
    let Error::Fault { word, .. } = fault else { return Ok(fault) };
    let name_row = |name: &str, row: usize| {
        let whose = if name == START_ENERGY { "the energy of walker" } else { "the energy's gradient of walker" };
        (whose.to_string(), row)
    };
    Ok(Error::Fault { word, step: 0, first: first_non_finite(first, &[START_ENERGY], &name_row)? })
}

impl State {
    /// Make ready for the steps of a range; how many they are.
    pub(super) fn begin(&mut self, steps: Range<u64>) -> Result<u64> {
        if steps.start != self.step() || steps.end < steps.start {
            let got = format!("{steps:?} at step {}", self.step());
            return Err(Error::Invalid { what: "range of steps", got, want: "from the state's own step on" });
        }
        if self.well == steps.start && self.anchor.step() != steps.start {
            self.anchor.set(&self.session)?;
        }
        Ok(steps.end - steps.start)
    }

    /// Note how the steps went since [`begin`](Self::begin).
    pub(super) fn ended(&mut self, ran: Result<()>) -> Result<()> {
        ran.map_err(|fault| self.explain(fault))?;
        self.well = self.step();
        Ok(())
    }

    /// A fault with the step since when a number was not finite, and with its place.
    fn explain(&self, fault: Error) -> Error {
        let order = [ENERGY, self.walkers.as_str(), GRADIENT, MOMENTUM, LOG_WEIGHTS];
        let what = ["the energy", "the position", "the energy's gradient", "the momentum", "the log-weight"];
        let name_row = |state: &str, row: usize| match order.iter().position(|name| *name == state) {
            Some(i) => (format!("{} of walker", what[i]), row),
            None => (format!("`{state}` in row"), row),
        };
        self.anchor.explain(fault, &self.session, &self.bindings, (&order, &name_row))
    }

    /// Number of the next step.
    pub fn step(&self) -> u64 {
        self.session.step()
    }

    /// The walkers `[n, ..]`.
    ///
    /// # Errors
    /// None that a sampler's own state can give.
    pub fn walkers(&self) -> Result<&Tensor> {
        self.session.tensor(&self.walkers)
    }

    /// Every tensor that carries the run, by name: what a checkpoint holds, with the step and the key.
    ///
    /// # Errors
    /// As [`walkers`](Self::walkers).
    pub fn tensors(&self) -> Result<Vec<(String, Tensor)>> {
        let names = self.session.plan().tensors().iter().map(|decl| &decl.name);
        names.map(|name| Ok((name.clone(), self.session.tensor(name)?.clone()))).collect()
    }

    /// The session underneath: to encode steps into an encoder of your own, or to bind another key.
    pub fn session(&mut self) -> &mut Session {
        &mut self.session
    }
}

impl Info {
    /// `log(Z/Z_0)`: the log of the mean weight since the start, through all resamplings.
    pub fn log_mean_weight(&self) -> Estimate {
        self.log_weights.log_z()
    }

    /// Effective number of walkers.
    pub fn ess(&self) -> f64 {
        self.log_weights.ess()
    }
}
