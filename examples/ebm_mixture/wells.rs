//! Two wells, learned by several methods side by side.

mod pictures;

use super::{recall, remember};
use ergodic::data::GaussianMixture;
use ergodic::gpu::{Gpu, Tensor};
use ergodic::methods::ebm::{Diagnostics, Energy, InitialWalkers, Method, Mixture, TrainConfig, Trainer};
use ergodic::report::{History, Progress, Run, checked_in};
use ergodic::{Error, Result, random::RngKey};
use serde::{Deserialize, Serialize};

/// Teacher, student and the methods that compete. Wells lie on the first axis and have unit covariance.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wells {
    d: usize,
    /// Where the wells of the data are.
    wells: (f64, f64),
    /// Mass of the first one, in (0, 1).
    mass_1: f64,
    n_data: usize,
    /// Where the student's wells start.
    start: (f64, f64),
    /// Standard deviation of what is added to them, in every direction.
    #[serde(default)]
    start_noise: f64,
    start_mass_1: f64,
    /// Whether only the masses are learned.
    #[serde(default)]
    fixed_wells: bool,
    /// Rate of the log-mass of the second well, in units of the learning rate.
    mass_rate: f64,
    contenders: Vec<Contender>,
    /// What all methods share.
    train: TrainConfig,
    /// Iterations from one line of the history to the next.
    look_every: u64,
}

/// One method and what is its own.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contender {
    name: String,
    method: Method,
    /// Factor on the learning rate.
    #[serde(default = "one")]
    rate: f64,
    #[serde(default)]
    observers: usize,
}

fn one() -> f64 {
    1.0
}

/// A method on its way.
pub struct Racer {
    pub name: String,
    pub trainer: Trainer,
}

/// Numbers of one look at one method, beside [`Diagnostics`].
pub const OWN: [&str; 4] = ["mass_1", "kl", "log_z_exact", "walkers_mass_1"];

/// What everyone is measured against.
pub struct Truth {
    pub model: Mixture,
    pub theta: Vec<f32>,
    pub data: Vec<f32>,
    /// `log p(y)` of every data point.
    log_density: Vec<f64>,
}

impl Wells {
    /// Tells `refuse` whether each field makes sense.
    pub fn check(&self, refuse: impl Fn(&str, bool, &str) -> Result<()>) -> Result<()> {
        let part = |m: f64| m > 0.0 && m < 1.0;
        refuse("d", self.d > 0, "is 0, but must be at least 1")?;
        refuse("n_data", self.n_data > 0, "is 0, but must be at least 1")?;
        refuse("mass_1", part(self.mass_1), "must be above 0 and below 1")?;
        refuse("start_mass_1", part(self.start_mass_1), "must be above 0 and below 1")?;
        refuse("contenders", !self.contenders.is_empty(), "is empty, but must name a method")?;
        let configs = self.contenders.iter().map(|c| TrainConfig { method: c.method, ..self.train.clone() });
        configs.map(|config| config.check()).try_for_each(|found| checked_in(&refuse, "train", found))
    }

    fn on_axis(&self, at: f64) -> Vec<f64> {
        (0..self.d).map(|i| if i == 0 { at } else { 0.0 }).collect()
    }

    fn truth(&self, seed: u64) -> Result<Truth> {
        let teacher = GaussianMixture::two_wells(self.d, self.wells.0, self.wells.1, self.mass_1)?;
        let model = Mixture::new(2, self.d)?;
        let means = [self.on_axis(self.wells.0), self.on_axis(self.wells.1)];
        let theta = model.parameters(&means, &[self.mass_1, 1.0 - self.mass_1])?;
        let data = teacher.sample(self.n_data, seed).x;
        let wide = |row: &[f32]| row.iter().map(|&v| f64::from(v)).collect::<Vec<_>>();
        let log_density = data.chunks_exact(self.d).map(|row| teacher.log_density(&wide(row))).collect();
        Ok(Truth { model, theta, data, log_density })
    }

    fn racer(&self, gpu: &Gpu, truth: &Truth, contender: &Contender, seed: u64) -> Result<Racer> {
        let key = RngKey::new(seed);
        let mut noise = vec![0.0; 2 * self.d];
        key.fold_in(1).fill_normal(0, self.d, &mut noise);
        let means = [self.start.0, self.start.1].map(|at| self.on_axis(at));
        let means: Vec<Vec<f64>> = (means.iter().zip(noise.chunks(self.d)))
            .map(|(mean, noise)| mean.iter().zip(noise).map(|(m, e)| m + self.start_noise * f64::from(*e)).collect())
            .collect();
        let theta = truth.model.parameters(&means, &[self.start_mass_1, 1.0 - self.start_mass_1])?;
        let mut rate_factors = vec![if self.fixed_wells { 0.0 } else { 1.0 }; truth.model.n_params()];
        rate_factors[2 * self.d] = self.mass_rate as f32;
        let config = TrainConfig {
            method: contender.method,
            observers: contender.observers,
            learning_rate: self.train.learning_rate * contender.rate,
            rate_factors,
            seed,
            ..self.train.clone()
        };
        config.check_fits(gpu, self.d)?;
        let positions = truth.model.sample(&theta, config.rows(), key.fold_in(2));
        let start = InitialWalkers { positions, log_z: truth.model.log_z(&theta) };
        let trainer = Trainer::new(gpu, &truth.model, &truth.data, &theta, start, &config)?;
        Ok(Racer { name: contender.name.clone(), trainer })
    }
}

impl Truth {
    /// `KL(data || model)` on the data, with log Z from its closed form: mass and means alone decide it.
    fn kl(&self, theta: &[f32]) -> f64 {
        let log_z = self.model.log_z(theta);
        let wide = |row: &[f32]| row.iter().map(|&v| f64::from(v)).collect::<Vec<_>>();
        let rows = self.data.chunks_exact(self.model.n_dims());
        let gap = |(row, log_p): (&[f32], &f64)| log_p + self.model.energy_at(theta, &wide(row)) + log_z;
        rows.zip(&self.log_density).map(gap).sum::<f64>() / self.log_density.len() as f64
    }

    /// The numbers of [`OWN`], then all diagnostics.
    fn look(&self, racer: &mut Racer) -> Result<(Vec<f64>, Diagnostics)> {
        let (found, theta) = (racer.trainer.diagnostics()?, racer.trainer.theta()?);
        let wells = self.model.assign(&theta, &racer.trainer.walkers()?);
        let weights = racer.trainer.weights()?;
        let first = wells.iter().zip(weights.probabilities()).filter(|(well, _)| **well == 0).map(|(_, p)| p);
        let own = [self.model.masses(&theta)[0], self.kl(&theta), self.model.log_z(&theta), first.sum()];
        Ok((own.into_iter().chain(found.row()).collect(), found))
    }
}

pub fn run(gpu: &Gpu, mut run: Run, wells: &Wells, seed: u64) -> Result<()> {
    Tensor::check_fits(gpu, "data", &[wells.n_data, wells.d])?;
    let truth = wells.truth(seed)?;
    let racers = wells.contenders.iter().map(|c| wells.racer(gpu, &truth, c, seed));
    let mut racers = racers.collect::<Result<Vec<_>>>()?;
    let plans: String = racers.iter().map(|r| r.trainer.plan_report()).collect();
    let file = run.path("plan.txt");
    std::fs::write(&file, plans).map_err(|source| Error::Io { verb: "write", file, source })?;
    let mut step = 0;
    if let Some(checkpoint) = run.resumed() {
        checkpoint.expect("adapter", &gpu.info().name)?;
        racers.iter_mut().try_for_each(|r| recall(checkpoint, &r.name, &mut r.trainer))?;
        step = checkpoint.step();
    }
    let names =
        racers.iter().flat_map(|r| OWN.iter().chain(&Diagnostics::COLUMNS).map(move |c| format!("{}.{c}", r.name)));
    let names: Vec<_> = names.collect();
    let mut history = run.history(&names.iter().map(String::as_str).collect::<Vec<_>>())?;
    if step == 0 {
        line(&mut history, 0, &truth, &mut racers)?;
    }
    let total = wells.train.iterations;
    let mut progress = Progress::new("ebm_mixture", step, total);
    if step < total {
        racers.iter_mut().try_for_each(|r| r.trainer.run(1).and_then(|()| r.trainer.theta()).map(drop))?;
        run.stepped();
    }
    while step < total {
        step += wells.look_every.clamp(1, total - step);
        racers.iter_mut().try_for_each(|r| r.trainer.run(step - r.trainer.iteration()))?;
        progress.set(step, format_args!("{}", line(&mut history, step, &truth, &mut racers)?));
        if step == total || run.checkpoint_due() {
            let empty = run.checkpoint(step).text("adapter", gpu.info().name.as_str());
            run.save(&racers.iter().try_fold(empty, |c, r| remember(c, &r.name, &r.trainer))?)?;
        }
        if run.interrupted() && step < total {
            run.stop(step);
            return Ok(());
        }
    }
    let table = history.table()?;
    record(&mut run, wells, &racers, &table);
    run.metrics.set("compile_s", gpu.pipeline_stats().plan_time.as_secs_f64());
    progress.finish(format_args!("{} methods", racers.len()));
    pictures::write(&run, wells.mass_1, &truth, &racers, &table)?;
    let found = summary(&run, wells, &racers);
    run.finish(&found)?;
    Ok(())
}

/// One line of the history; returns the figures for the progress bar.
fn line(history: &mut History, step: u64, truth: &Truth, racers: &mut [Racer]) -> Result<String> {
    let (mut values, mut figures) = (vec![], vec![]);
    for racer in racers {
        let (numbers, found) = truth.look(racer)?;
        figures.push(match racer.trainer.config().method.is_weighted() {
            true => format!("{} {:.3} (ess {:.2})", racer.name, numbers[0], found.ess),
            false => format!("{} {:.3}", racer.name, numbers[0]),
        });
        values.extend(numbers);
    }
    history.append(step, &values)?;
    Ok(format!("mass 1: {}", figures.join("  ")))
}

/// The last line of the history, by the names of the metrics.
fn record(run: &mut Run, wells: &Wells, racers: &[Racer], table: &ergodic::data::table::Table) {
    let last = |name: String| table.column(&name).and_then(|c| c.last().copied()).unwrap_or(f64::NAN);
    run.metrics.set("mass_1_exact", wells.mass_1);
    for Racer { name, trainer } in racers {
        let mut keep = vec!["mass_1", "kl", "walkers_mass_1"];
        if trainer.config().method.is_weighted() {
            keep.extend(["log_z", "log_z_se", "log_z_exact", "ess", "pareto_k", "resamplings"]);
        }
        if trainer.config().observers > 0 {
            keep.extend([
                "observer_log_z",
                "observer_log_z_se",
                "feedback",
                "feedback_se",
                "cross_entropy",
                "cross_entropy_se",
            ]);
        }
        for what in keep {
            run.metrics.set(format!("{name}.{what}"), last(format!("{name}.{what}")));
        }
    }
    let moved: usize = racers.iter().map(|r| r.trainer.config().rows() * r.trainer.config().sub_steps).sum();
    run.metrics.set("walker_steps", moved as f64 * wells.train.iterations as f64);
}

fn summary(run: &Run, wells: &Wells, racers: &[Racer]) -> String {
    let get = |r: &Racer, what: &str| run.metrics.get(&format!("{}.{what}", r.name)).unwrap_or(f64::NAN);
    let masses: Vec<_> = racers.iter().map(|r| format!("{} {:.3}", r.name, get(r, "mass_1"))).collect();
    let z = racers.iter().find(|r| r.trainer.config().observers > 0).map(|r| {
        let (value, se, exact) = (get(r, "observer_log_z"), get(r, "observer_log_z_se"), get(r, "log_z_exact"));
        format!("; log Z {value:.3} +- {se:.3}, exact {exact:.3}")
    });
    format!("mass of well 1 (exact {:.3}): {}{}", wells.mass_1, masses.join(", "), z.unwrap_or_default())
}
