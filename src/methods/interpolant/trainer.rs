//! Fields that are learned: a network, and its training as one replayed graph.

use super::fit::{Average, FitConfig};
use super::likelihood::mean;
use super::losses::{Field, Pairing, loss};
use super::pairs::{self, Pairs};
use super::process::{Coupling, Interpolant};
use super::state::{self, State};
use crate::autodiff::grad;
use crate::dynamics::Estimate;
use crate::dynamics::anchor::Anchor;
use crate::error::{Error, Result};
use crate::gpu::{Gpu, Tensor};
use crate::graph::{Graph, Var};
use crate::nn::{Activation, Mlp, clip_global_norm, ema};
use crate::plan::{Bindings, CompileOptions, Plan, Report, Role, Session};
use crate::random::RngKey;

/// Steps of one submission: short enough for a driver's watchdog.
const CHUNK: u64 = 64;
/// The mean losses of the last steps.
const LOSSES: &str = "losses";
/// The mean of the parameters.
const AVERAGE: &str = "theta.average";

/// A field `f(t, x)` as a network: `x` and `t` side by side, `[n, d + 1]`, to `[n, d]`.
///
/// ```
/// use ergodic::{methods::interpolant::FieldNet, nn::Activation};
/// let net = FieldNet::new(2, &[64, 64, 64], Activation::Silu)?;
/// assert_eq!(net.n_params(), 3 * 64 + 64 + 2 * (64 * 64 + 64) + 64 * 2 + 4); // the last bias is padded to 4
/// # Ok::<(), ergodic::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct FieldNet {
    mlp: Mlp,
}

impl FieldNet {
    /// In `d` dimensions, with these hidden layers.
    ///
    /// # Errors
    /// As [`Mlp::check`].
    pub fn new(d: usize, hidden: &[usize], activation: Activation) -> Result<Self> {
        let sizes: Vec<_> = [d + 1].into_iter().chain(hidden.iter().copied()).chain([d]).collect();
        Ok(FieldNet { mlp: Mlp::new(&sizes, activation)? })
    }

    /// Number of dimensions.
    pub fn d(&self) -> usize {
        self.mlp.sizes[0] - 1
    }

    /// Length of its parameter vector.
    pub fn n_params(&self) -> usize {
        self.mlp.layout().len()
    }

    /// Initial parameters; they depend on the key and the sizes alone.
    pub fn init(&self, key: RngKey) -> Vec<f32> {
        self.mlp.init(key)
    }

    /// Its values `[n, d]` at `t`, a scalar or `[n, 1]`, and `x [n, d]`.
    ///
    /// # Errors
    /// [`Error::Shape`] for parameters, times or points that do not fit.
    pub fn apply<'g>(&self, theta: Var<'g>, t: Var<'g>, x: Var<'g>) -> Result<Var<'g>> {
        let (n, time) = (x.shape().first().copied().unwrap_or(0), t.shape());
        if !(time.is_empty() || *time == [n, 1]) {
            let (got, want) = (format!("times {time}"), format!("[] or [{n}, 1], one for each point"));
            return Err(Error::Shape { op: "FieldNet", got, want, at: Some(t.site()) });
        }
        self.mlp.apply(theta, Var::concat(&[x, t.broadcast_to([n, 1])], 1).unwrap_or(x))
    }
}

/// A field in training: the plan of a step, its states, and what they say.
///
/// ```no_run
/// use ergodic::gpu::{Gpu, GpuOptions};
/// use ergodic::methods::interpolant::{Field, FieldNet, FieldTrainer, FitConfig, Interpolant, Schedule, Source};
/// use ergodic::{nn::Activation, random::RngKey};
/// # fn main() -> ergodic::Result<()> {
/// let gpu = Gpu::headless(GpuOptions::default())?;
/// let path = Interpolant::new(Schedule::OneSidedTrig, None, Source::Checkerboard)?;
/// let net = FieldNet::new(2, &[64, 64, 64], Activation::Silu)?;
/// let fit = FitConfig::default();
/// let mut b = FieldTrainer::new(&gpu, &path, Field::B, &net, (0.0, 1.0), &fit, RngKey::new(1))?;
/// b.run(fit.steps)?;
/// println!("loss {}", b.loss()?);
/// # Ok(()) }
/// ```
pub struct FieldTrainer {
    session: Session,
    bindings: Bindings,
    anchor: Anchor,
    /// Minibatches that the host pairs.
    pairs: Option<Pairs>,
    config: FitConfig,
    path: Interpolant,
    net: FieldNet,
    field: Field,
    span: (f64, f64),
}

impl FieldTrainer {
    /// `net` as `field` of `path` at times in `span`; `key` decides where it starts and what it sees.
    ///
    /// # Errors
    /// [`Error::Invalid`] and [`Error::Shape`] for a configuration that means nothing, a network of another dimension, a batch
    /// that minibatches do not divide, a score of a path without noise or where `gamma` is 0 and nothing cancels it; what [`Plan::compile`] and [`Session::new`]
    /// report.
    pub fn new(
        gpu: &Gpu,
        path: &Interpolant,
        field: Field,
        net: &FieldNet,
        span: (f64, f64),
        config: &FitConfig,
        key: RngKey,
    ) -> Result<Self> {
        config.check()?;
        check_pairs(path, config.batch)?;
        check_span(path, field, config.pairing, span)?;
        if net.d() != path.d() {
            let got = format!("a network in {} dimensions", net.d());
            return Err(Error::Shape { op: "FieldTrainer", got, want: format!("one in {}", path.d()), at: None });
        }
        let g = Graph::new();
        let outputs = step(&g, path, field, net, span, config)?;
        let outputs: Vec<_> = outputs.iter().map(|(name, var)| (name.as_str(), *var)).collect();
        let plan = Plan::compile(gpu, &outputs, &CompileOptions::labelled("interpolant step"))?;
        let rates = config.learning_rate.table(config.steps as usize);
        let theta = net.init(key.fold_in(1));
        let mut bindings = Bindings::new().key("key", key.fold_in(2));
        bindings = bindings.tensor("theta", &Tensor::from_slice(gpu, "theta", &[theta.len()], &theta)?);
        bindings = bindings.tensor("rates", &Tensor::from_slice(gpu, "rates", &[rates.len()], &rates)?);
        for decl in plan.tensors().iter().filter(|decl| decl.role == Role::State && decl.name != "theta") {
            bindings = bindings.tensor(&decl.name, &Tensor::zeros(gpu, &decl.name, &decl.shape, decl.dtype)?);
        }
        let (bindings, pairs) = match path.coupling() {
            Coupling::Minibatch { size } => {
                let rows = config.batch * pairs::STEPS as usize;
                let own = Pairs::new(gpu, path, (size, rows), key.fold_in(3))?;
                (own.bind(bindings), Some(own))
            }
            _ => (path.bind(gpu, bindings)?, None),
        };
        let session = Session::new(&plan, bindings.clone())?;
        let (config, path, net) = (config.clone(), path.clone(), net.clone());
        let anchor = Anchor::default();
        let mut made = FieldTrainer { session, bindings, anchor, pairs, config, path, net, field, span };
        made.anchor.set(&made.session)?;
        Ok(made)
    }

    /// Do some steps, not beyond the configured number. Returns when they are submitted, not when they are done, unless the host
    /// pairs minibatches.
    ///
    /// # Errors
    /// Those of [`Session::run`]; with minibatches [`Error::Fault`] too.
    pub fn run(&mut self, steps: u64) -> Result<()> {
        let mut left = steps.min(self.config.steps - self.step().min(self.config.steps));
        while left > 0 {
            let now = left.min(CHUNK).min(self.load()?);
            self.session.run(now)?;
            left -= now;
        }
        Ok(())
    }

    /// See that there are minibatches for the next steps; for how many there are.
    fn load(&mut self) -> Result<u64> {
        let step = self.step();
        let Some(pairs) = &mut self.pairs else { return Ok(CHUNK) };
        let block = step / pairs::STEPS;
        if pairs.needs(block) {
            // What a fault is traced from must have seen the same tables.
            self.check()?;
            self.anchor.set(&self.session)?;
            if let Some(pairs) = &mut self.pairs {
                pairs.load(block)?;
            }
        }
        Ok((block + 1) * pairs::STEPS - step)
    }

    /// Steps done.
    pub fn step(&self) -> u64 {
        self.session.step()
    }

    /// What it sees.
    pub fn path(&self) -> &Interpolant {
        &self.path
    }

    /// What is trained.
    pub fn net(&self) -> &FieldNet {
        &self.net
    }

    /// What it learns.
    pub fn field(&self) -> Field {
        self.field
    }

    /// Wait for the device: the mean loss of the last [`look_every`](FitConfig::look_every) steps, and its standard error.
    ///
    /// The error counts the mean of a step as one draw, so what was learned meanwhile is in it. NaN and infinite before the
    /// second step.
    ///
    /// # Errors
    /// [`Error::Fault`] if anything was not finite, with the step at which that began; [`Error::DeviceLost`].
    pub fn loss(&mut self) -> Result<Estimate> {
        self.check()?;
        self.anchor.set(&self.session)?;
        let seen = self.step().min(self.config.look_every) as usize;
        let losses = self.session.read::<f32>(LOSSES)?.wait()?;
        let losses: Vec<_> = losses[..seen].iter().map(|&v| f64::from(v)).collect();
        Ok(if seen < 2 { Estimate { value: f64::NAN, se: f64::INFINITY } } else { mean(&losses) })
    }

    /// Losses of the field as it is on `n` fresh draws, `[n]`; see [`Interpolant::losses`].
    ///
    /// # Errors
    /// As there.
    pub fn losses(&self, n: usize, key: RngKey) -> Result<Vec<f64>> {
        let net = &self.net;
        let of = (self.field, self.config.pairing, self.span);
        self.path.losses(of, (n, key), self.parameters()?, |theta, t, x| net.apply(theta, t, x))
    }

    /// Parameters on the device, `[P]`: to be bound as the first argument of [`FieldNet::apply`]. They change with every step.
    /// Where an [`Average`] is kept this is it; before the first step it is 0.
    ///
    /// # Errors
    /// None that a trainer's own plan can give.
    pub fn parameters(&self) -> Result<&Tensor> {
        self.session.tensor(if self.config.average.is_some() { AVERAGE } else { "theta" })
    }

    /// What the plan of one step does, in numbers.
    pub fn report(&self) -> Report<'_> {
        self.session.plan().report()
    }

    /// The session underneath, to measure it.
    pub fn session(&mut self) -> &mut Session {
        &mut self.session
    }

    /// A number that changes whenever a kernel does: runs are bit-identical for one adapter and one hash.
    pub fn plan_hash(&self) -> u64 {
        self.session.plan().hash()
    }

    /// Everything that a run must remember beside [`step`](Self::step).
    ///
    /// # Errors
    /// As [`loss`](Self::loss): what is not finite is not to be remembered.
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
        state::restore(&mut self.session, step, states, "FieldTrainer::restore")?;
        self.anchor.set(&self.session)
    }

    fn check(&self) -> Result<()> {
        let name = |state: &str, row| (format!("`{state}` at"), row);
        let explain = |fault| self.anchor.explain(fault, &self.session, &self.bindings, (&[LOSSES], &name));
        self.session.check().map_err(explain)
    }
}

/// One step as a graph: fresh draws, the gradient of their mean loss, the next parameters; and the loss in its place.
fn step<'g>(
    g: &'g Graph,
    path: &Interpolant,
    field: Field,
    net: &FieldNet,
    span: (f64, f64),
    config: &FitConfig,
) -> Result<Vec<(String, Var<'g>)>> {
    let theta = g.input("theta", [net.n_params()]);
    let (n, key) = (config.batch, g.key("key"));
    let draws = match path.coupling() {
        Coupling::Minibatch { .. } => {
            path.draws_of(g, key, (n, span), pairs::ends(g, n, path.d(), Some(pairs::STEPS)))?
        }
        _ => path.draws(g, key, n, span)?,
    };
    let mean = loss(field, &draws, config.pairing, |t, x| net.apply(theta, t, x))?.mean_all();
    let slope = grad(mean, theta)?;
    let slope = config.clip_norm.map_or(slope, |limit| clip_global_norm(slope, limit).0);
    let rate = config.learning_rate.at_step(g, "rates", config.steps as usize);
    let update = config.adam.step("theta", theta, slope, rate, g.step());
    let (window, k) = (config.look_every as usize, g.step());
    let place = k - k / config.look_every as u32 * config.look_every as u32;
    let losses = g.iota(0, [window]).equal(place).select(mean, g.input(LOSSES, [window]));
    g.check()?;
    let mut outputs = vec![("theta".into(), update.theta), (LOSSES.into(), losses)];
    if let Some(Average { decay, from }) = config.average {
        // The first mean is the parameters: one that began at 0 would lag.
        let begins = g.step().lt(from.clamp(1, u64::from(u32::MAX)) as u32);
        let next = begins.select(update.theta, ema(g.input(AVERAGE, theta.shape()), update.theta, decay));
        outputs.push((AVERAGE.into(), next));
    }
    outputs.extend(update.state);
    Ok(outputs)
}

/// Whether minibatches fill a batch, so that none is cut and paired worse.
fn check_pairs(path: &Interpolant, batch: usize) -> Result<()> {
    match path.coupling() {
        Coupling::Minibatch { size } if !batch.is_multiple_of(size) => {
            let got = format!("{batch} draws in minibatches of {size}");
            Err(Error::Invalid { what: "batch", got, want: "a multiple of the minibatch" })
        }
        _ => Ok(()),
    }
}

/// Whether the targets of `field` are finite, or cancel in pairs, at all times of `span`.
fn check_span(path: &Interpolant, field: Field, pairing: Pairing, (from, to): (f64, f64)) -> Result<()> {
    if !(0.0 <= from && from < to && to <= 1.0) {
        let got = format!("({from}, {to})");
        return Err(Error::Invalid { what: "span of times", got, want: "two times in order, from 0 to 1" });
    }
    let silent = |t: f64| path.schedule().at(t).gamma2 <= f64::EPSILON;
    let infinite = field == Field::S && path.schedule().has_noise() && (silent(from) || silent(to));
    match infinite && pairing == Pairing::Single {
        true => Err(Error::Invalid {
            what: "pairing",
            got: format!("single for a score between {from} and {to}, where gamma is 0 and divided by"),
            want: "antithetic; or keep times away from there, or learn eta",
        }),
        false => Ok(()),
    }
}
