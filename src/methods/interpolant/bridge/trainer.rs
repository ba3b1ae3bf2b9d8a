//! The game as one replayed graph: the drift descends, the path ascends.

use super::super::fit::FitConfig;
use super::super::likelihood::mean;
use super::super::losses::Pairing;
use super::super::state::{self, State};
use super::problem::{Bridge, DRIFT, PATH};
use crate::autodiff::grads;
use crate::dynamics::Estimate;
use crate::dynamics::anchor::Anchor;
use crate::error::{Error, Result};
use crate::gpu::{Gpu, Tensor};
use crate::graph::{Graph, Var};
use crate::nn::{Adam, LearningRate, clip_global_norm};
use crate::plan::{Bindings, CompileOptions, Plan, Report, Role, Session};
use crate::random::RngKey;
use serde::{Deserialize, Serialize};

/// Steps of one submission: short enough for a driver's watchdog.
const CHUNK: u64 = 64;
/// The mean costs of the last steps.
const COSTS: &str = "costs";

/// How the game is played.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BridgeFit {
    /// Draws a step; with [`Pairing::Antithetic`] the drift is evaluated at twice as many points.
    pub batch: usize,
    /// Steps in all; each moves both players.
    pub steps: u64,
    /// The learning rate of the drift at each.
    pub drift_rate: LearningRate,
    /// That of the path. Lower, so that the drift keeps up; a warm-up lets it find its place first.
    pub path_rate: LearningRate,
    /// Moments of both optimisers.
    pub adam: Adam,
    /// Longest gradient of each player; longer ones are scaled down to it.
    pub clip_norm: Option<f64>,
    /// Whether each draw is used with both signs of its noise.
    pub pairing: Pairing,
    /// Steps over which [`BridgeTrainer::cost`] averages.
    pub look_every: u64,
}

impl Default for BridgeFit {
    /// 2000 steps of 512 draws, the rates falling from 5e-3 and 2e-3 to 0 along cosines.
    fn default() -> Self {
        BridgeFit {
            batch: 512,
            steps: 2000,
            drift_rate: LearningRate::cosine(5e-3, 0.0, 2000),
            path_rate: LearningRate::cosine(2e-3, 0.0, 2000),
            adam: Adam::default(),
            clip_norm: None,
            pairing: Pairing::default(),
            look_every: 100,
        }
    }
}

impl BridgeFit {
    /// Whether it means anything.
    ///
    /// # Errors
    /// As [`FitConfig::check`].
    pub fn check(&self) -> Result<()> {
        let BridgeFit { batch, steps, adam, clip_norm, pairing, look_every, .. } = *self;
        for (what, rate) in [("drift_rate", self.drift_rate), ("path_rate", self.path_rate)] {
            let ends = [rate.from, rate.to.unwrap_or(0.0)];
            if !ends.iter().all(|rate| rate.is_finite() && *rate >= 0.0) {
                let got = format!("{} to {}", ends[0], ends[1]);
                return Err(Error::Invalid { what, got, want: "finite and not negative" });
            }
        }
        let learning_rate = self.drift_rate;
        #[allow(clippy::needless_update, reason = "what a fit has and a game has not is as it is by default")]
        let shared =
            FitConfig { batch, steps, learning_rate, adam, clip_norm, pairing, look_every, ..FitConfig::default() };
        shared.check()
    }
}

/// A bridge in training: the plan of a step, its states, and what they say.
///
/// ```no_run
/// use ergodic::gpu::{Gpu, GpuOptions};
/// use ergodic::methods::interpolant::{
///     Bridge, BridgeFit, BridgeTrainer, DriftSpec, Family, GaussianMixture, Noise, PathSpec, Source,
/// };
/// use ergodic::random::RngKey;
/// # fn main() -> ergodic::Result<()> {
/// let gpu = Gpu::headless(GpuOptions::default())?;
/// let end = GaussianMixture::isotropic(&[1.0], &[vec![2.0]], &[0.25])?;
/// let path = PathSpec { family: Family::Fourier { modes: 3 }, noise: Some(Noise { a: 1.0, modes: 1 }) };
/// let ends = [Source::Normal(1), Source::Mixture(end)];
/// let bridge = Bridge::new(ends, 0.5, &path, &DriftSpec::Affine { degree: 6 })?;
/// let fit = BridgeFit::default();
/// let mut trainer = BridgeTrainer::new(&gpu, &bridge, &fit, RngKey::new(1))?;
/// trainer.run(fit.steps)?;
/// println!("cost {}, least 2.7052", trainer.cost()?);
/// # Ok(()) }
/// ```
pub struct BridgeTrainer {
    session: Session,
    bindings: Bindings,
    anchor: Anchor,
    fit: BridgeFit,
    bridge: Bridge,
    /// Parameters of drift and path; of a path without any, a placeholder.
    parameters: [Tensor; 2],
}

impl BridgeTrainer {
    /// A drift, a path, or both; `key` decides where they start and what they see.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a configuration that means nothing, nothing to learn, and single draws of a path with noise, whose
    /// variance is infinite at the ends; what [`Plan::compile`] and [`Session::new`] report.
    pub fn new(gpu: &Gpu, bridge: &Bridge, fit: &BridgeFit, key: RngKey) -> Result<Self> {
        fit.check()?;
        check(bridge, fit.pairing)?;
        let g = Graph::new();
        let outputs = step(&g, bridge, fit)?;
        let outputs: Vec<_> = outputs.iter().map(|(name, var)| (name.as_str(), *var)).collect();
        let plan = Plan::compile(gpu, &outputs, &CompileOptions::labelled("bridge step"))?;
        let [theta, mut phi] = bridge.init(key.fold_in(1))?;
        phi.resize(phi.len().max(1), 0.0);
        let tensor = |name: &str, values: &[f32]| Tensor::from_slice(gpu, name, &[values.len()], values);
        let parameters = [tensor(DRIFT, &theta)?, tensor(PATH, &phi)?];
        let [theta, phi] = &parameters;
        let mut bindings = bridge.bind_parameters(Bindings::new().key("key", key.fold_in(2)), [theta, phi]);
        let rates = [(DRIFT, fit.drift_rate), (PATH, fit.path_rate)];
        for ((name, rate), _) in rates.iter().zip(bridge.is_learned()).filter(|(_, learned)| *learned) {
            bindings = bindings.tensor(&rates_of(name), &tensor(name, &rate.table(fit.steps as usize))?);
        }
        let ours = |name: &str| name == DRIFT || name == PATH;
        for decl in plan.tensors().iter().filter(|decl| decl.role == Role::State && !ours(&decl.name)) {
            bindings = bindings.tensor(&decl.name, &Tensor::zeros(gpu, &decl.name, &decl.shape, decl.dtype)?);
        }
        let bindings = bridge.bind(gpu, bindings)?;
        let session = Session::new(&plan, bindings.clone())?;
        let (fit, bridge) = (fit.clone(), bridge.clone());
        let mut made = BridgeTrainer { session, bindings, anchor: Anchor::default(), fit, bridge, parameters };
        made.anchor.set(&made.session)?;
        Ok(made)
    }

    /// Do some steps, not beyond the configured number. Returns when they are submitted, not when they are done.
    ///
    /// # Errors
    /// Those of [`Session::run`].
    pub fn run(&mut self, steps: u64) -> Result<()> {
        let mut left = steps.min(self.fit.steps.saturating_sub(self.step()));
        while left > 0 {
            let now = left.min(CHUNK);
            self.session.run(now)?;
            left -= now;
        }
        Ok(())
    }

    /// Steps done.
    pub fn step(&self) -> u64 {
        self.session.step()
    }

    /// What is played.
    pub fn bridge(&self) -> &Bridge {
        &self.bridge
    }

    /// Wait for the device: the mean cost (minus the objective) over the last [`look_every`](BridgeFit::look_every) steps, and
    /// its standard error, which counts the mean of a step as one draw.
    ///
    /// NaN and infinite before the second step.
    ///
    /// # Errors
    /// [`Error::Fault`] if anything was not finite, with the step at which that began; [`Error::DeviceLost`].
    pub fn cost(&mut self) -> Result<Estimate> {
        self.check()?;
        self.anchor.set(&self.session)?;
        let seen = self.step().min(self.fit.look_every) as usize;
        let costs = self.session.read::<f32>(COSTS)?.wait()?;
        let costs: Vec<_> = costs[..seen].iter().map(|&v| f64::from(v)).collect();
        Ok(if seen < 2 { Estimate { value: f64::NAN, se: f64::INFINITY } } else { mean(&costs) })
    }

    /// Costs of the players as they are on `n` fresh draws, `[n]`; see [`Bridge::costs`].
    ///
    /// # Errors
    /// As there.
    pub fn costs(&self, n: usize, key: RngKey) -> Result<Vec<f64>> {
        self.bridge.costs((n, key), self.parameters(), self.fit.pairing)
    }

    /// Parameters of drift and path on the device, for [`Bridge::drift`]. They change with every step; of a path without
    /// parameters a placeholder.
    pub fn parameters(&self) -> [&Tensor; 2] {
        [&self.parameters[0], &self.parameters[1]]
    }

    /// What the plan of one step does, in numbers.
    pub fn report(&self) -> Report<'_> {
        self.session.plan().report()
    }

    /// A number that changes whenever a kernel does: runs are bit-identical for one adapter and one hash.
    pub fn plan_hash(&self) -> u64 {
        self.session.plan().hash()
    }

    /// Everything that a run must remember beside [`step`](Self::step).
    ///
    /// # Errors
    /// As [`cost`](Self::cost): what is not finite is not to be remembered.
    pub fn state(&self) -> Result<Vec<State>> {
        self.check()?;
        state::read(&self.session)
    }

    /// Names and shapes of what [`state`](Self::state) gives and [`restore`](Self::restore) wants.
    pub fn state_shapes(&self) -> Vec<(String, Vec<usize>)> {
        state::shapes(&self.session)
    }

    /// Go on from a [`state`](Self::state) of the same problem: the run repeats the uninterrupted one bit for bit.
    ///
    /// # Errors
    /// [`Error::Shape`] if a state is missing or of another shape.
    pub fn restore(&mut self, step: u64, states: &[State]) -> Result<()> {
        state::restore(&mut self.session, step, states, "BridgeTrainer::restore")?;
        self.anchor.set(&self.session)
    }

    fn check(&self) -> Result<()> {
        let name = |state: &str, row| (format!("`{state}` at"), row);
        let explain = |fault| self.anchor.explain(fault, &self.session, &self.bindings, (&[COSTS], &name));
        self.session.check().map_err(explain)
    }
}

fn rates_of(player: &str) -> String {
    format!("{player}.rates")
}

/// Whether there is a game, and its moves have a finite variance.
fn check(bridge: &Bridge, pairing: Pairing) -> Result<()> {
    if bridge.is_learned() == [false, false] {
        let got = "a known drift on a path without parameters".into();
        return Err(Error::Invalid { what: "bridge", got, want: "with something to learn" });
    }
    match pairing == Pairing::Single && bridge.path().has_noise() {
        true => Err(Error::Invalid {
            what: "pairing",
            got: "single on a path with noise, where 1/gamma is infinite at the ends".into(),
            want: "antithetic",
        }),
        false => Ok(()),
    }
}

/// One step as a graph: fresh draws, the gradients of their mean objective, both players' next parameters; and the cost in
/// its place.
fn step<'g>(g: &'g Graph, bridge: &Bridge, fit: &BridgeFit) -> Result<Vec<(String, Var<'g>)>> {
    let players = bridge.parameters(g)?;
    let draws = bridge.draws(g, g.key("key"), fit.batch, players[1])?;
    let objective = bridge.objective(&draws, players[0], fit.pairing)?.mean_all();
    let learned = bridge.is_learned();
    let moved: Vec<_> = players.into_iter().zip(learned).filter(|(_, learned)| *learned).map(|(p, _)| p).collect();
    let mut slopes = grads(objective, &moved)?.into_iter();
    let (window, k) = (fit.look_every as usize, g.step());
    let place = k - k / fit.look_every as u32 * fit.look_every as u32;
    let costs = g.iota(0, [window]).equal(place).select(-objective, g.input(COSTS, [window]));
    let mut outputs = vec![(COSTS.to_string(), costs)];
    // The drift goes down, the path up.
    let signs = [(DRIFT, 1.0, fit.drift_rate), (PATH, -1.0, fit.path_rate)];
    for ((player, (name, sign, rate)), _) in players.into_iter().zip(signs).zip(learned).filter(|(_, learned)| *learned)
    {
        let Some(slope) = slopes.next() else { continue };
        let slope = fit.clip_norm.map_or(slope, |limit| clip_global_norm(slope, limit).0);
        let rate = rate.at_step(g, &rates_of(name), fit.steps as usize);
        let update = fit.adam.step(name, player, slope * sign, rate, k);
        outputs.push((name.into(), update.theta));
        outputs.extend(update.state);
    }
    g.check()?;
    Ok(outputs)
}
