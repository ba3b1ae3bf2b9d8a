//! log Z along a known path: one Gaussian well, stiffened and moved faster than the walkers can follow.

use super::{recall, remember};
use ergodic::dynamics::resample::Resampling;
use ergodic::methods::ebm::{InitialWalkers, Kernel, Method, Quadratic, TrainConfig, Trainer};
use ergodic::report::{Plot, Progress, Run, write_figure};
use ergodic::{Error, Result, gpu::Gpu, random::RngKey};
use serde::{Deserialize, Serialize};

/// `U_k(x) = w_k |x - m_k e_1|^2 / 2`, both linear in `k = 0 ..= steps`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Path {
    d: usize,
    /// Stiffness at the start and at the end.
    omega: (f64, f64),
    /// Centre at the start and at the end.
    m: (f64, f64),
    steps: u64,
    walkers: usize,
    step_size: f64,
    #[serde(default)]
    kernel: Kernel,
    #[serde(default)]
    batch_walkers: usize,
    #[serde(default)]
    weights: Method,
    #[serde(default)]
    resample: Option<Resampling>,
}

const COLUMNS: [&str; 7] = ["log_z", "log_z_se", "log_z_exact", "ess", "weighted_var", "unweighted_var", "resamplings"];

/// Mean over all components but the first (which moves) of the variance of the walkers.
fn variances(trainer: &Trainer, d: usize) -> Result<(f64, f64)> {
    let (x, weights) = (trainer.walkers()?, trainer.weights()?);
    let equal = ergodic::dynamics::LogWeights::new(vec![0.0; x.len() / d]);
    let still = if d > 1 { 1..d } else { 0..1 };
    let n = still.len() as f64;
    let (mut weighted, mut unweighted) = (0.0, 0.0);
    for c in still {
        let column: Vec<_> = x.iter().skip(c).step_by(d).map(|&v| f64::from(v)).collect();
        weighted += weights.variance(&column).value / n;
        unweighted += equal.variance(&column).value / n;
    }
    Ok((weighted, unweighted))
}

impl Path {
    /// Tells `refuse` whether each field makes sense.
    pub fn check(&self, refuse: impl Fn(&str, bool, &str) -> Result<()>) -> Result<()> {
        refuse("d", self.d > 0, "is 0, but must be at least 1")?;
        refuse("walkers", self.walkers > 0, "is 0, but must be at least 1")?;
        refuse("steps", self.steps > 0, "is 0, but must be at least 1")?;
        let stiff = |w: f64| w > 0.0 && w.is_finite();
        refuse("omega", stiff(self.omega.0) && stiff(self.omega.1), "must be a positive number at both ends")?;
        match self.config(0).check() {
            Err(Error::Invalid { what, got, want }) => {
                let field = what.replace("iterations", "steps").replace("method", "weights");
                refuse(&field, false, &format!("is {got}, but must be {want}"))
            }
            other => other,
        }
    }

    fn config(&self, seed: u64) -> TrainConfig {
        TrainConfig {
            method: self.weights,
            walkers: self.walkers,
            batch_walkers: self.batch_walkers,
            step_size: self.step_size,
            kernel: self.kernel,
            resample: self.resample,
            iterations: self.steps,
            seed,
            ..TrainConfig::default()
        }
    }

    fn at(&self, k: u64) -> (f64, f64) {
        let part = k as f64 / self.steps.max(1) as f64;
        let between = |(from, to): (f64, f64)| from + (to - from) * part;
        (between(self.omega), between(self.m))
    }

    fn trainer(&self, gpu: &Gpu, seed: u64) -> Result<Trainer> {
        let well = Quadratic { d: self.d };
        let config = self.config(seed);
        config.check_fits(gpu, self.d)?;
        let path: Vec<f32> = (0..=self.steps).map(|k| self.at(k)).flat_map(|(w, m)| [w as f32, m as f32]).collect();
        let positions = well.sample(path[0], path[1], self.walkers, RngKey::new(seed).fold_in(1));
        Trainer::follow(gpu, &well, &path, InitialWalkers { positions, log_z: 0.0 }, &config)
    }
}

pub fn run(gpu: &Gpu, mut run: Run, path: &Path, seed: u64) -> Result<()> {
    let well = Quadratic { d: path.d };
    let mut trainer = path.trainer(gpu, seed)?;
    if let Some(checkpoint) = run.resumed() {
        recall(checkpoint, "path", &mut trainer)?;
    }
    let mut history = run.history(&COLUMNS)?;
    let mut progress = Progress::new("quadratic", trainer.iteration(), path.steps);
    while trainer.iteration() < path.steps {
        let look = (path.steps / 50).max(1).min(path.steps - trainer.iteration());
        trainer.run(1)?;
        trainer.theta()?; // a readback ends when everything before it has
        run.stepped();
        trainer.run(look - 1)?;
        let (k, found) = (trainer.iteration(), trainer.diagnostics()?);
        let exact = well.log_z(path.at(k).0) - well.log_z(path.omega.0);
        let (weighted, unweighted) = variances(&trainer, path.d)?;
        let (value, se) = (found.log_z.value, found.log_z.se);
        history.append(k, &[value, se, exact, found.ess, weighted, unweighted, f64::from(found.resamplings)])?;
        progress.set(k, format_args!("log Z {:.4}  exact {exact:.4}  ess {:.2}", found.log_z, found.ess));
        run.save(&remember(run.checkpoint(k), "path", &trainer)?)?;
        if run.interrupted() {
            run.stop(k);
            return Ok(());
        }
    }
    run.metrics.set("compile_s", gpu.pipeline_stats().plan_time.as_secs_f64());
    let table = history.table()?;
    let column = |name: &str| table.column(name).unwrap_or_default();
    for name in COLUMNS {
        run.metrics.set(name, column(name).last().copied().unwrap_or(f64::NAN));
    }
    let get = |name: &str| run.metrics.get(name).unwrap_or(f64::NAN);
    let (log_z, se, exact, ess) = (get("log_z"), get("log_z_se"), get("log_z_exact"), get("ess"));
    progress.finish(format_args!("ess {ess:.2}"));
    picture(&run, path, &table)?;
    run.finish(&format!(
        "log Z1/Z0 = {log_z:.4} +- {se:.4}   exact {exact:.4}   effective walkers {:.0} %",
        100.0 * ess
    ))?;
    Ok(())
}

fn picture(run: &Run, path: &Path, table: &ergodic::data::table::Table) -> Result<()> {
    let column = |name: &str| table.column(name).unwrap_or_default();
    let (k, log_z, se, exact) = (column("step"), column("log_z"), column("log_z_se"), column("log_z_exact"));
    let off = |sign: f64| log_z.iter().zip(&se).map(|(v, se)| v + sign * 2.0 * se).collect::<Vec<_>>();
    let z = Plot::new("Free energy of a well that is stiffened and moved").x("step").y("log Z / Z0");
    let z = z.line("weighted walkers", &k, &log_z).band("weighted walkers", &k, &off(-1.0), &off(1.0));
    let truth: Vec<_> = k.iter().map(|&k| 1.0 / path.at(k as u64).0).collect();
    let v = Plot::new("Variance across the path").x("step").y("variance / length^2");
    let v = v.line("weighted", &k, &column("weighted_var")).line("unweighted", &k, &column("unweighted_var"));
    write_figure(run.path("history.png"), 2, &[z.reference("exact", &k, &exact), v.reference("exact", &k, &truth)])
}
