//! Two runs side by side, weighted walkers and a baseline, at the same budget: advance, measure, save, restore.

use std::time::Instant;

use ergodic::Result;
use ergodic::data::table::Table;
use ergodic::dynamics::{Estimate, LogWeights};
use ergodic::gpu::{Gpu, Tensor};
use ergodic::graph::Graph;
use ergodic::methods::ebm::{Diagnostics, Energy, Method, MlpEnergy, State, TrainConfig, Trainer, Values};
use ergodic::plan::{Bindings, CompileOptions, Plan, Session};
use ergodic::random::RngKey;
use ergodic::report::{Checkpoint, Metrics, Run};

use super::classifier::Classifier;
use super::config::Config;
use super::target::Target;

/// Both runs; they take turns, `report_every` iterations each.
pub struct Duel<'a> {
    /// The preset.
    pub config: &'a Config,
    /// What the last look saw: weighted walkers first, then the baseline.
    pub seen: Option<[Seen; 2]>,
    sides: [Side; 2],
    energy: MlpEnergy,
    digits: Vec<u8>,
    adapter: String,
}

/// One run.
struct Side {
    name: &'static str,
    trainer: Trainer,
    /// Of moves alone, in this process.
    seconds: f64,
    steps: f64,
}

/// Walkers and what they say.
pub struct Seen {
    /// The run: `weighted`, `pcd` or `cd`.
    pub name: &'static str,
    /// `[n, d]`.
    pub walkers: Vec<f32>,
    /// One a walker; equal in the baseline.
    pub weights: LogWeights,
    /// One a digit: the weighted part of the walkers that show it.
    pub masses: Vec<Estimate>,
    /// The same of the observers, whose weights are exact whatever moves the parameters: masses of the model itself. Empty
    /// without observers.
    pub model_masses: Vec<Estimate>,
    /// The rest.
    pub diagnostics: Diagnostics,
}

impl<'a> Duel<'a> {
    /// Both at iteration 0.
    pub fn new(gpu: &Gpu, target: &Target, config: &'a Config) -> Result<Self> {
        let sizes: Vec<usize> = [target.d()].into_iter().chain(config.hidden.iter().copied()).collect();
        let (energy, key) = (MlpEnergy::new(&sizes, config.activation, config.bowl)?, RngKey::new(config.seed));
        let theta = energy.start_parameters(key.fold_in(301));
        let weighted = TrainConfig { seed: config.seed, ..config.train.clone() };
        let method = config.baseline;
        let baseline = TrainConfig { method, ..weighted.clone() };
        let side = |name, config: TrainConfig| {
            config.check_fits(gpu, energy.n_dims())?;
            let start = energy.start(config.rows(), key.fold_in(302));
            let trainer = Trainer::new(gpu, &energy, &target.noisy, &theta, start, &config)?;
            Ok::<_, ergodic::Error>(Side { name, trainer, seconds: 0.0, steps: 0.0 })
        };
        let name = if matches!(method, Method::Cd { .. }) { "cd" } else { "pcd" };
        // At once: each compiles for a second, and waits for the device in between.
        let sides = std::thread::scope(|scope| {
            let other = scope.spawn(|| side(name, baseline));
            let first = side("weighted", weighted)?;
            Ok::<_, ergodic::Error>([first, other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?])
        })?;
        let (digits, adapter) = (target.digits.clone(), gpu.info().name.clone());
        Ok(Self { config, seen: None, sides, energy, digits, adapter })
    }

    /// What an iteration of the weighted run does on the device.
    pub fn plan_report(&self) -> String {
        self.sides[0].trainer.plan_report()
    }

    /// Iterations done by each.
    pub fn iteration(&self) -> u64 {
        self.sides[0].trainer.iteration()
    }

    /// Iterations to do.
    pub fn iterations(&self) -> u64 {
        self.config.train.iterations
    }

    /// Both runs up to the next line of the history.
    pub fn advance(&mut self, run: &Run) -> Result<()> {
        let iterations = self.config.report_every.min(self.iterations() - self.iteration());
        self.advance_by(iterations.min(1))?;
        run.stepped();
        self.advance_by(iterations.saturating_sub(1))
    }

    fn advance_by(&mut self, iterations: u64) -> Result<()> {
        for side in &mut self.sides {
            let started = Instant::now();
            side.trainer.run(iterations)?;
            side.trainer.theta()?; // a readback ends when everything before it has
            let config = side.trainer.config();
            side.steps += (config.moving() + config.observers) as f64 * config.sub_steps as f64 * iterations as f64;
            side.seconds += started.elapsed().as_secs_f64();
        }
        Ok(())
    }

    /// Names of the numbers of [`look`](Self::look).
    pub fn columns(&self) -> Vec<String> {
        let mut names: Vec<String> = Diagnostics::COLUMNS.map(String::from).to_vec();
        let observed = if self.config.train.observers > 0 { &["mass", "model_mass"][..] } else { &["mass"] };
        for (side, kind) in self.sides.iter().flat_map(|side| observed.iter().map(move |kind| (side.name, kind))) {
            names.extend(self.digits.iter().map(|digit| format!("{side}.{kind}_{digit}")));
        }
        names
    }

    /// Reads the walkers back and weighs the modes.
    pub fn look(&mut self, classifier: &Classifier) -> Result<Vec<f64>> {
        let n_digits = self.digits.len();
        let mut look = |side: usize| self.sides[side].look(classifier, n_digits);
        let seen = [look(0)?, look(1)?];
        let mut row = seen[0].diagnostics.row();
        row.extend(seen.iter().flat_map(|seen| seen.masses.iter().chain(&seen.model_masses)).map(|mass| mass.value));
        self.seen = Some(seen);
        Ok(row)
    }

    /// The figures that matter, on one line.
    pub fn figures(&self) -> String {
        let Some([weighted, baseline]) = &self.seen else { return String::new() };
        let (entropy, ess) = (weighted.diagnostics.cross_entropy.value, weighted.diagnostics.ess);
        let masses = |seen: &Seen| seen.masses.iter().map(|m| format!("{:.3}", m.value)).collect::<Vec<_>>().join("/");
        let digits = self.digits.iter().map(u8::to_string).collect::<Vec<_>>().join("/");
        let (ours, theirs) = (masses(weighted), masses(baseline));
        format!("cross-entropy {entropy:.2}  ess {ess:.2}  masses {digits} {ours}  {} {theirs}", baseline.name)
    }

    /// Everything that both runs must remember.
    pub fn save(&self, checkpoint: Checkpoint) -> Result<Checkpoint> {
        let mut checkpoint = checkpoint.text("adapter", self.adapter.as_str()).text("plans", self.plans());
        for side in &self.sides {
            for State { name, shape, values } in side.trainer.state()? {
                let name = format!("{}.{name}", side.name);
                checkpoint = match values {
                    Values::F32(values) => checkpoint.array(&name, &shape, &values)?,
                    Values::U32(values) => checkpoint.array(&name, &shape, &values)?,
                };
            }
        }
        Ok(checkpoint)
    }

    /// Goes on from what [`save`](Self::save) wrote; refuses another adapter and other kernels, which would round differently.
    pub fn restore(&mut self, checkpoint: &Checkpoint) -> Result<()> {
        checkpoint.expect("adapter", &self.adapter)?;
        checkpoint.expect("plans", &self.plans())?;
        for side in &mut self.sides {
            let mut states = vec![];
            for (name, shape, counter) in side.trainer.state_shapes()? {
                let there = format!("{}.{name}", side.name);
                let values = if counter {
                    Values::U32(checkpoint.get(&there, &shape)?)
                } else {
                    Values::F32(checkpoint.get(&there, &shape)?)
                };
                states.push(State { name, shape, values });
            }
            side.trainer.restore(checkpoint.step(), &states)?;
        }
        Ok(())
    }

    fn plans(&self) -> String {
        self.sides.iter().map(|side| format!("{:016x}", side.trainer.plan_hash())).collect::<Vec<_>>().join(" ")
    }

    /// Puts what was found into the metrics and into a line.
    pub fn finish(&self, gpu: &Gpu, target: &Target, history: &Table, metrics: &mut Metrics) -> Result<String> {
        let Some([weighted, baseline]) = &self.seen else { return Ok(String::new()) };
        let mut said = vec![];
        for seen in [weighted, baseline] {
            let (worst, _) = self.put_masses((seen.name, "mass", &seen.masses), target, history, metrics);
            let mut text = format!("{} is off by at most {worst:.3}", seen.name);
            if let Some(ess) = seen.diagnostics.observer_ess {
                let model = (seen.name, "model_mass", &seen.model_masses[..]);
                let (worst, rms) = self.put_masses(model, target, history, metrics);
                metrics.set(format!("{}.observer_ess", seen.name), ess);
                text.push_str(&format!(", its model by {worst:.3} (rms {rms:.3} over the second half)"));
            }
            said.push(text);
        }
        let d = &weighted.diagnostics;
        let numbers = [("cross_entropy", d.cross_entropy.value), ("cross_entropy_se", d.cross_entropy.se)];
        let log_z = d.observer_log_z.unwrap_or(d.log_z); // the walkers' own is biased by their feedback
        let more = [("log_z", log_z.value), ("log_z_se", log_z.se), ("ess", d.ess), ("pareto_k", d.pareto_k)];
        for (name, value) in numbers.into_iter().chain(more) {
            metrics.set(name, value);
        }
        metrics.set("resamplings", f64::from(d.resamplings));
        for (name, estimate) in [("driver.log_z", Some(d.log_z)), ("feedback", d.feedback)] {
            let Some(estimate) = estimate.filter(|_| d.feedback.is_some()) else { continue };
            metrics.set(name, estimate.value).set(format!("{name}_se"), estimate.se);
        }
        let fresh = self.mean_energy(gpu, &target.fresh)?;
        metrics.set("held_out_cross_entropy", log_z.value + fresh);
        let rate = |side: &Side| if side.steps > 0.0 { side.steps / side.seconds } else { f64::NAN };
        metrics.set("walker_steps_per_s", rate(&self.sides[0]));
        metrics.set(format!("{}.walker_steps_per_s", self.sides[1].name), rate(&self.sides[1]));
        let truth: Vec<_> = self.digits.iter().zip(&target.masses).map(|(d, m)| format!("{d}: {m:.3}")).collect();
        Ok(format!("true masses {}; {}; {}", truth.join(", "), said.join(", "), self.figures()))
    }

    /// Masses of one kind and one side. Returns the largest distance from the truth at the end, and the root mean square
    /// over all digits and all looks of the second half of the run.
    fn put_masses(
        &self,
        (side, kind, masses): (&str, &str, &[Estimate]),
        target: &Target,
        history: &Table,
        metrics: &mut Metrics,
    ) -> (f64, f64) {
        let (mut worst, mut squares) = (0.0f64, vec![]);
        for ((digit, mass), truth) in self.digits.iter().zip(masses).zip(&target.masses) {
            let name = format!("{side}.{kind}_{digit}");
            metrics.set(name.as_str(), mass.value).set(format!("{name}_se"), mass.se);
            worst = worst.max((mass.value - truth).abs());
            let seen = history.column(&name).unwrap_or_default();
            squares.extend(seen[seen.len() / 2..].iter().map(|mass| (mass - truth).powi(2)));
        }
        let rms = (squares.iter().sum::<f64>() / squares.len().max(1) as f64).sqrt();
        metrics.set(format!("{side}.{kind}_error_max"), worst).set(format!("{side}.{kind}_error_rms"), rms);
        (worst, rms)
    }

    /// Of the weighted run's model, over points `[n, d]`.
    fn mean_energy(&self, gpu: &Gpu, x: &[f32]) -> Result<f64> {
        let (g, theta, d) = (Graph::new(), self.sides[0].trainer.theta()?, self.energy.n_dims());
        let shape = [x.len() / d, d];
        let u = self.energy.energy(g.input("theta", [theta.len()]), g.input("x", shape))?;
        let plan = Plan::compile(gpu, &[("u", u)], &CompileOptions::labelled("held-out energies"))?;
        let theta = Tensor::from_slice(gpu, "theta", &[theta.len()], &theta)?;
        let x = Tensor::from_slice(gpu, "x", &shape, x)?;
        let mut session = Session::new(&plan, Bindings::new().tensor("theta", &theta).tensor("x", &x))?;
        session.run(1)?;
        let u = session.read::<f32>("u")?.wait()?;
        Ok(u.iter().map(|u| f64::from(*u)).sum::<f64>() / u.len() as f64)
    }
}

impl Side {
    fn look(&mut self, classifier: &Classifier, n_digits: usize) -> Result<Seen> {
        let diagnostics = self.trainer.diagnostics()?;
        let (walkers, weights) = (self.trainer.walkers()?, self.trainer.weights()?);
        let weigh = |x: &[f32], weights: &LogWeights| masses(classifier, x, weights, n_digits);
        let masses = weigh(&walkers, &weights)?;
        let model_masses = self.trainer.observers()?.map_or(Ok(vec![]), |(x, weights)| weigh(&x, &weights))?;
        Ok(Seen { name: self.name, walkers, weights, masses, model_masses, diagnostics })
    }
}

/// The weighted part of the rows of `x` that show each digit.
fn masses(classifier: &Classifier, x: &[f32], weights: &LogWeights, n_digits: usize) -> Result<Vec<Estimate>> {
    let shown = classifier.classify(x)?;
    let mass = |class| weights.mean(&shown.iter().map(|s| f64::from(u8::from(*s == class))).collect::<Vec<_>>());
    Ok((0..n_digits).map(mass).collect())
}
