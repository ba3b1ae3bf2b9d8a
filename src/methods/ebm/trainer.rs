//! A training run on a device.

use super::config::{Method, Start, TrainConfig};
use super::diagnostics::Diagnostics;
use super::energy::Energy;
use super::input::{CAUSES, finite, first_positions, name_row, same_length};
use super::iteration::{Drive, Problem, initial, iteration, zero_states};
use crate::dynamics::anchor::{Anchor, first_non_finite};
use crate::dynamics::{Estimate, LogWeights};
use crate::error::{Error, Fault, NonFinite, Result};
use crate::gpu::{Gpu, Tensor};
use crate::graph::{DType, Graph};
use crate::plan::{Bindings, CompileOptions, Plan, Profile, Report, Session};
use crate::random::RngKey;

/// Independent draws from the model at the first parameters, on which exact weights rest.
#[derive(Clone, Debug, PartialEq)]
pub struct InitialWalkers {
    /// `[walkers + observers, d]`. Persistent and contrastive divergence, which start on data, use the observers' rows only.
    pub positions: Vec<f32>,
    /// `log Z` of that model.
    pub log_z: f64,
}

/// Numbers of one state.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// Floats.
    F32(Vec<f32>),
    /// Counters.
    U32(Vec<u32>),
}

/// One named array of what a run must remember; all of them together are a checkpoint.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    /// Its name in the [`iteration`].
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Its numbers, bit for bit.
    pub values: Values,
}

/// An energy in training (or on a prescribed path): the plan of an iteration, its states, and what they say.
///
/// ```no_run
/// use ergodic::gpu::{Gpu, GpuOptions};
/// use ergodic::methods::ebm::{InitialWalkers, Mixture, TrainConfig, Trainer};
/// use ergodic::{data::GaussianMixture, random::RngKey};
/// # fn main() -> ergodic::Result<()> {
/// let gpu = Gpu::headless(GpuOptions::default())?;
/// let data = GaussianMixture::two_wells(2, -3.0, 3.0, 0.25)?.sample(1000, 1).x;
/// let model = Mixture::new(2, 2)?;
/// let theta = model.parameters(&[vec![-0.1, 0.0], vec![0.1, 0.0]], &[0.5, 0.5])?;
/// let config = TrainConfig { walkers: 1000, observers: 500, iterations: 2000, ..TrainConfig::default() };
/// let positions = model.sample(&theta, config.rows(), RngKey::new(2));
/// let start = InitialWalkers { positions, log_z: model.log_z(&theta) };
/// let mut trainer = Trainer::new(&gpu, &model, &data, &theta, start, &config)?;
/// trainer.run(2000)?;
/// println!("log Z = {:.3}, exact {:.3}", trainer.diagnostics()?.log_z, model.log_z(&trainer.theta()?));
/// # Ok(()) }
/// ```
pub struct Trainer {
    config: TrainConfig,
    session: Session,
    bindings: Bindings,
    anchor: Anchor,
    data: Option<Session>,
    n_dims: usize,
    log_z_start: f64,
}

/// Steps of one submission: short enough for a driver's watchdog.
const CHUNK: u64 = 64;

impl Trainer {
    /// Training on `data [n, d]` from `theta [P]`.
    ///
    /// # Errors
    /// [`Error::Invalid`] and [`Error::Shape`] for a configuration or arrays that do not fit the energy, or that hold numbers
    /// that are not finite; what [`Plan::compile`] and [`Session::new`] report.
    pub fn new(
        gpu: &Gpu,
        energy: &dyn Energy,
        data: &[f32],
        theta: &[f32],
        start: InitialWalkers,
        config: &TrainConfig,
    ) -> Result<Self> {
        let d = energy.n_dims();
        if data.is_empty() || !data.len().is_multiple_of(d) {
            let (got, want) = (format!("{} numbers of data", data.len()), format!("at least one row of {d}"));
            return Err(Error::Shape { op: "Trainer::new", got, want, at: None });
        }
        finite("data", data, d)?;
        let problem = Problem { energy, drive: Drive::Learn { n_data: data.len() / d }, config };
        let mut trainer = Self::build(gpu, problem, ("data", data), theta, start)?;
        trainer.data = Some(trainer.data_session(gpu, problem)?);
        Ok(trainer)
    }

    /// Walkers along a path `[K + 1, P]` given in advance: `K` iterations, no learning. Weighted averages are then exact
    /// whatever the number of walkers.
    ///
    /// # Errors
    /// As [`Trainer::new`].
    pub fn follow(
        gpu: &Gpu,
        energy: &dyn Energy,
        path: &[f32],
        start: InitialWalkers,
        config: &TrainConfig,
    ) -> Result<Self> {
        let p = energy.n_params();
        if p == 0 || path.len() < p || !path.len().is_multiple_of(p) {
            let (got, want) = (format!("{} numbers of a path", path.len()), format!("at least one row of {p}"));
            return Err(Error::Shape { op: "Trainer::follow", got, want, at: None });
        }
        let problem = Problem { energy, drive: Drive::Follow { n_points: path.len() / p }, config };
        Self::build(gpu, problem, ("path", path), &path[..p], start)
    }

    fn build(
        gpu: &Gpu,
        problem: Problem<'_>,
        (table, numbers): (&'static str, &[f32]),
        theta: &[f32],
        start: InitialWalkers,
    ) -> Result<Self> {
        let (config, d, p) = (problem.config, problem.energy.n_dims(), problem.energy.n_params());
        config.check()?;
        same_length("theta", theta, p)?;
        finite("theta", theta, 1)?;
        finite(table, numbers, if table == "data" { d } else { p })?;
        let x = first_positions(problem, numbers, start.positions)?;
        let tensor = |name: &str, shape: &[usize], data: &[f32]| Tensor::from_slice(gpu, name, shape, data);
        let (rows, width) = (config.rows(), if table == "data" { d } else { p });
        let (theta, x_tensor) = (tensor("theta", &[p], theta)?, tensor("x", &[rows, d], &x)?);
        let mut bind =
            Bindings::new().key("key", RngKey::new(config.seed)).tensor("theta", &theta).tensor("x", &x_tensor);
        for (name, shape) in [("u", vec![rows]), ("grad", vec![rows, d]), ("model_gradient", vec![p])] {
            bind = bind.tensor(name, &Tensor::zeros(gpu, name, &shape, DType::F32)?);
        }
        for (name, shape, dtype) in zero_states(problem) {
            bind = bind.tensor(&name, &Tensor::zeros(gpu, &name, &shape, dtype)?);
        }
        bind = bind.tensor(table, &tensor(table, &[numbers.len() / width, width], numbers)?);
        if !config.rate_factors.is_empty() {
            same_length("rate_factors", &config.rate_factors, p)?;
            bind = bind.tensor("rate_factors", &tensor("rate_factors", &[p], &config.rate_factors)?);
        }
        if matches!(config.method, Method::Pcd { start: Start::Model, .. }) {
            bind = bind.tensor("pool", &tensor("pool", &[config.walkers, d], &x[..config.walkers * d])?);
        }
        // Both before the device is waited for: it may still be busy with what was submitted earlier.
        let start_plan = compile(gpu, "ebm start", problem, initial)?;
        let plan = compile(gpu, "ebm iteration", problem, iteration)?;
        let mut first = Session::new(&start_plan, bind.clone())?;
        first.run(1)?;
        first.check().or_else(|fault| Err(at_the_start(fault, &first, config.walkers)?))?;
        let session = Session::new(&plan, bind.clone())?;
        let (config, log_z_start, anchor) = (config.clone(), start.log_z, Anchor::default());
        let mut made = Trainer { config, session, bindings: bind, anchor, data: None, n_dims: d, log_z_start };
        made.anchor.set(&made.session)?;
        Ok(made)
    }

    /// Energies of the whole data under the parameters as they are.
    fn data_session(&self, gpu: &Gpu, problem: Problem<'_>) -> Result<Session> {
        let data = self.session.tensor("data")?;
        let g = Graph::new();
        let (theta, y) = (g.input("theta", [problem.energy.n_params()]), g.input("data", data.shape()));
        let u = problem.energy.energy(theta, y)?;
        let plan = Plan::compile(gpu, &[("energies", u)], &CompileOptions::labelled("ebm data energies"))?;
        Session::new(&plan, Bindings::new().tensor("theta", self.session.tensor("theta")?).tensor("data", data))
    }

    /// Do some iterations. Returns when they are submitted, not when they are done.
    ///
    /// # Errors
    /// Those of [`Session::run`].
    pub fn run(&mut self, iterations: u64) -> Result<()> {
        let mut left = iterations;
        while left > 0 {
            let now = left.min(CHUNK);
            self.session.run(now)?;
            left -= now;
        }
        Ok(())
    }

    /// Iterations done.
    pub fn iteration(&self) -> u64 {
        self.session.step()
    }

    /// The configuration.
    pub fn config(&self) -> &TrainConfig {
        &self.config
    }

    /// Wait for the device and say where the run stands.
    ///
    /// # Errors
    /// [`Error::Fault`] if anything was not finite, with the iteration and the walker at which that began; these are found by
    /// repeating the iterations since the last look. [`Error::DeviceLost`].
    pub fn diagnostics(&mut self) -> Result<Diagnostics> {
        self.check()?;
        self.anchor.set(&self.session)?;
        let data_energies: Vec<_> = self.data_energies()?.into_iter().map(f64::from).collect();
        let energies: Vec<_> = self.floats("u")?.into_iter().map(f64::from).collect();
        let observers = self.observer_weights()?;
        let walkers = if self.config.method.is_weighted() { Some(self.weights()?) } else { None };
        Ok(Diagnostics::new(super::diagnostics::Readings {
            iteration: self.iteration(),
            temperature: self.config.temperature,
            log_z_start: self.log_z_start,
            resamplings: if walkers.is_some() { self.counter("resamplings")? } else { 0 },
            walker_energies: &energies[..self.config.walkers],
            data_energies: &data_energies,
            walkers,
            observers,
        }))
    }

    /// Parameters `[P]`.
    ///
    /// # Errors
    /// Those of a readback, as for all that follow.
    pub fn theta(&self) -> Result<Vec<f32>> {
        self.floats("theta")
    }

    /// Walkers `[walkers, d]`.
    pub fn walkers(&self) -> Result<Vec<f32>> {
        let mut x = self.floats("x")?;
        x.truncate(self.config.walkers * self.n_dims);
        Ok(x)
    }

    /// Weights of the walkers; all equal in unweighted methods.
    pub fn weights(&self) -> Result<LogWeights> {
        if !self.config.method.is_weighted() {
            return Ok(LogWeights::new(vec![0.0; self.config.walkers]));
        }
        self.weights_of("")
    }

    /// Observers `[observers, d]` and their weights, if there are any.
    pub fn observers(&self) -> Result<Option<(Vec<f32>, LogWeights)>> {
        let Some(weights) = self.observer_weights()? else { return Ok(None) };
        let x = self.floats("x")?.split_off(self.config.walkers * self.n_dims);
        Ok(Some((x, weights)))
    }

    /// Energies of the whole data `[n]` under the parameters as they are; empty without data.
    ///
    /// # Errors
    /// [`Error::Fault`] with the first data point whose energy is not finite.
    pub fn data_energies(&mut self) -> Result<Vec<f32>> {
        let Some(session) = &mut self.data else { return Ok(vec![]) };
        session.run(1)?;
        let energies = session.read::<f32>("energies")?.wait()?;
        let Some(row) = energies.iter().position(|u| !u.is_finite()) else { return Ok(energies) };
        let first = NonFinite { whose: "the energy of data point".into(), row, value: energies[row] };
        Err(Error::Fault { word: Fault::NON_FINITE, step: self.iteration(), first: Some(first) })
    }

    /// `log Z` of the model that the walkers started from.
    pub fn log_z_start(&self) -> f64 {
        self.log_z_start
    }

    /// What the plan of one iteration does, in numbers: dispatches, bytes, flops.
    pub fn report(&self) -> Report<'_> {
        self.session.plan().report()
    }

    /// [`report`](Self::report) as text.
    pub fn plan_report(&self) -> String {
        self.report().to_string()
    }

    /// Times each dispatch of an iteration alone: see [`Session::time_dispatches`].
    ///
    /// # Errors
    /// Those of [`Session::time_dispatches`].
    pub fn time_dispatches(&mut self, repeats: u32) -> Result<Profile> {
        self.session.time_dispatches(repeats)
    }

    /// A number that changes whenever a kernel does: runs are bit-identical for one adapter and one hash.
    pub fn plan_hash(&self) -> u64 {
        self.session.plan().hash()
    }

    /// Everything that a run must remember beside [`iteration`](Self::iteration).
    ///
    /// # Errors
    /// As [`diagnostics`](Self::diagnostics): what is not finite is not to be remembered.
    pub fn state(&self) -> Result<Vec<State>> {
        self.check()?;
        let mut states = vec![];
        for name in self.state_names() {
            let tensor = self.session.tensor(&name)?;
            let values = match tensor.dtype() {
                DType::F32 => Values::F32(tensor.read()?.wait()?),
                _ => Values::U32(tensor.read()?.wait()?),
            };
            states.push(State { shape: tensor.shape().to_vec(), name, values });
        }
        Ok(states)
    }

    /// Names and shapes of what [`state`](Self::state) gives and [`restore`](Self::restore) wants; `true` for counters.
    pub fn state_shapes(&self) -> Result<Vec<(String, Vec<usize>, bool)>> {
        let shape = |name: String| {
            let tensor = self.session.tensor(&name)?;
            Ok((name, tensor.shape().to_vec(), tensor.dtype() != DType::F32))
        };
        self.state_names().into_iter().map(shape).collect()
    }

    /// Go on from a [`state`](Self::state) of the same problem: the run repeats the uninterrupted one bit for bit.
    ///
    /// # Errors
    /// [`Error::Shape`] if a state is missing or of another shape or type.
    pub fn restore(&mut self, iteration: u64, states: &[State]) -> Result<()> {
        for name in self.state_names() {
            let tensor = self.session.tensor(&name)?;
            let Some(state) = states.iter().find(|s| s.name == name && s.shape == tensor.shape()) else {
                let got = states.iter().map(|s| format!("{} {:?}", s.name, s.shape)).collect::<Vec<_>>().join(", ");
                let want = format!("{name} {:?}", tensor.shape());
                return Err(Error::Shape { op: "Trainer::restore", got, want, at: None });
            };
            match &state.values {
                Values::F32(values) => tensor.write(values)?,
                Values::U32(values) => tensor.write(values)?,
            }
        }
        self.session.set_step(iteration);
        self.anchor.set(&self.session)
    }

    fn check(&self) -> Result<()> {
        let name = |state: &str, row| name_row(self.config.walkers, state, row);
        let explain = |fault| self.anchor.explain(fault, &self.session, &self.bindings, (&CAUSES, &name));
        self.session.check().map_err(explain)
    }

    fn state_names(&self) -> Vec<String> {
        let is_state = |decl: &&crate::plan::TensorDecl| decl.role == crate::plan::Role::State;
        self.session.plan().tensors().iter().filter(is_state).map(|decl| decl.name.clone()).collect()
    }

    fn floats(&self, name: &str) -> Result<Vec<f32>> {
        self.session.read::<f32>(name)?.wait()
    }

    fn counter(&self, name: &str) -> Result<u32> {
        Ok(self.session.read::<u32>(name)?.wait()?.first().copied().unwrap_or(0))
    }

    fn observer_weights(&self) -> Result<Option<LogWeights>> {
        if self.config.observers == 0 { Ok(None) } else { self.weights_of("observer.").map(Some) }
    }

    fn weights_of(&self, prefix: &str) -> Result<LogWeights> {
        let read = |name: &str| self.floats(&format!("{prefix}{name}"));
        let scalar = |name: &str| Ok::<_, Error>(f64::from(read(name)?.first().copied().unwrap_or(0.0)));
        let value = scalar("log_z0")? + scalar("log_z0.low")?;
        let log_z0 = Estimate { value, se: scalar("log_z0_var")?.max(0.0).sqrt() };
        Ok(LogWeights::from_parts(&read("a")?, &read("a.low")?).with_log_z0(log_z0))
    }
}

/// Compile what `build` makes of a problem.
fn compile(
    gpu: &Gpu,
    label: &str,
    problem: Problem<'_>,
    build: impl for<'g> Fn(&'g Graph, Problem<'_>) -> Result<Vec<(String, crate::graph::Var<'g>)>>,
) -> Result<Plan> {
    let graph = Graph::new();
    let outputs = build(&graph, problem)?;
    let outputs: Vec<_> = outputs.iter().map(|(name, var)| (name.as_str(), *var)).collect();
    Plan::compile(gpu, &outputs, &CompileOptions::labelled(label))
}

/// A fault of the very first energies, with the walker that has it.
fn at_the_start(fault: Error, first: &Session, walkers: usize) -> Result<Error> {
    let Error::Fault { word, .. } = fault else { return Ok(fault) };
    let place = first_non_finite(first, &CAUSES, &|state, row| name_row(walkers, state, row))?;
    Ok(Error::Fault { word, step: 0, first: place })
}
