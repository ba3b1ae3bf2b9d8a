//! Training the velocity, with the likelihood of validation rows on the way, and checkpoints.

use super::problem::Problem;
use super::rows::Rows;
use ergodic::Result;
use ergodic::dynamics::Estimate;
use ergodic::gpu::{Gpu, Tensor};
use ergodic::methods::interpolant::{Field, FieldTrainer, Flow, Source, cross_entropy};
use ergodic::random::RngKey;
use ergodic::report::{Checkpoint, Progress, Run};
use std::time::{Duration, Instant};

/// Name of the velocity in checkpoints and flows.
const V: &str = "v";

/// No look, or nobody who looks.
const NOTHING: Estimate = Estimate { value: f64::NAN, se: f64::NAN };

/// The best look so far.
#[derive(Clone, Debug, PartialEq)]
struct Best {
    step: u64,
    nll: f64,
    theta: Vec<f32>,
}

/// A velocity in training, and who looks at it.
pub struct Learner {
    pub trainer: FieldTrainer,
    watch: Option<Flow>,
    best: Option<Best>,
}

/// The velocity of `problem` followed with these parameters; with its density or without.
pub fn flow(gpu: &Gpu, problem: &Problem, (d, n): (usize, usize), theta: &Tensor, density: bool) -> Result<Flow> {
    let (net, size) = (problem.net(d)?, (problem.chunk(d, n), d));
    let made = match density {
        true => Flow::with_density(gpu, size, &problem.solver, |g, t, x| net.apply(g.input(V, [net.n_params()]), t, x)),
        false => Flow::new(gpu, size, &problem.solver, |g, t, x| net.apply(g.input(V, [net.n_params()]), t, x)),
    };
    Ok(made?.bind(V, theta))
}

impl Learner {
    pub fn new(gpu: &Gpu, problem: &Problem, rows: &Rows, key: RngKey) -> Result<Self> {
        let d = rows.d();
        let path = problem.path(rows.start.as_ref().map(|(train, _)| &train[..]), d, &rows.data.train)?;
        let trainer = FieldTrainer::new(gpu, &path, Field::B, &problem.net(d)?, (0.0, 1.0), &problem.fit, key)?;
        let n = rows.data.validation.len() / d;
        let looks = problem.nll_every > 0 && problem.start.is_none();
        let watch = looks.then(|| flow(gpu, problem, (d, n), trainer.parameters()?, true)).transpose()?;
        Ok(Learner { trainer, watch, best: None })
    }

    /// NLL of validation rows, and the parameters if they are the best yet.
    fn look(&mut self, rows: &Rows) -> Result<Estimate> {
        let Some(watch) = &self.watch else { return Ok(NOTHING) };
        let found = watch.log_likelihoods(&rows.data.validation, &Source::Normal(rows.d()), (0.0, 1.0))?;
        let (found, step) = (cross_entropy(&found), self.trainer.step());
        let nll = Estimate { value: found.value + rows.data.standard.log_det_of_factor(), ..found };
        if self.best.as_ref().is_none_or(|best| nll.value < best.nll) {
            let theta = self.trainer.parameters()?.read::<f32>()?.wait()?;
            self.best = Some(Best { step, nll: nll.value, theta });
        }
        Ok(nll)
    }

    fn remember(&self, checkpoint: Checkpoint) -> Result<Checkpoint> {
        let whole = checkpoint.field(V, &self.trainer)?;
        match &self.best {
            None => Ok(whole),
            Some(Best { step, nll, theta }) => {
                whole.array("best", &[2], &[*step as f64, *nll])?.array("best/theta", &[theta.len()], theta)
            }
        }
    }

    fn recall(&mut self, checkpoint: &Checkpoint) -> Result<()> {
        checkpoint.restore_field(V, &mut self.trainer)?;
        // A checkpoint before the first look has none.
        if let Ok(best) = checkpoint.get::<f64>("best", &[2]) {
            let theta = checkpoint.get("best/theta", self.trainer.parameters()?.shape())?;
            self.best = Some(Best { step: best[0] as u64, nll: best[1], theta });
        }
        Ok(())
    }

    /// Parameters of the best look, or the last ones; with the step they are from.
    pub fn parameters(&self, gpu: &Gpu) -> Result<(Tensor, u64)> {
        match &self.best {
            Some(best) => Ok((Tensor::from_slice(gpu, V, &[best.theta.len()], &best.theta)?, best.step)),
            None => Ok((self.trainer.parameters()?.clone(), self.trainer.step())),
        }
    }

    /// Goes on from the run's checkpoint, if there is one; the step that it is at.
    fn resume(&mut self, gpu: &Gpu, run: &Run) -> Result<u64> {
        let Some(checkpoint) = run.resumed() else { return Ok(0) };
        checkpoint.expect("adapter", &gpu.info().name)?;
        self.recall(checkpoint)?;
        Ok(checkpoint.step())
    }

    /// The step at which something is looked at next, and whether the likelihood is.
    fn next(&self, problem: &Problem, step: u64) -> (u64, bool) {
        let (total, every) = (problem.fit.steps, problem.nll_every.max(1));
        let next = (step + problem.fit.look_every).min(total);
        let look = (step / every * every + every).min(total);
        if self.watch.is_some() && look <= next { (look, true) } else { (next, false) }
    }

    /// Train to the end; `false` if the run was interrupted before.
    pub fn train(&mut self, gpu: &Gpu, run: &mut Run, problem: &Problem, rows: &Rows) -> Result<bool> {
        let mut step = self.resume(gpu, run)?;
        let mut history = run.history(&["g", "g_se", "nll", "nll_se"])?;
        let (total, first) = (problem.fit.steps, step);
        let mut progress = Progress::new("flow_density", step, total);
        if step < total {
            self.trainer.run(1)?;
            self.trainer.loss()?;
            run.stepped();
        }
        let (begun, mut looking) = (Instant::now(), Duration::ZERO);
        while step < total {
            let due;
            (step, due) = self.next(problem, step);
            self.trainer.run(step - self.trainer.step())?;
            let g = doubled(self.trainer.loss()?);
            let asked = Instant::now();
            let nll = if due { self.look(rows)? } else { NOTHING };
            looking += asked.elapsed();
            history.append(step, &[g.value, g.se, nll.value, nll.se])?;
            let best = self.best.as_ref().map_or(String::new(), |best| format!("  NLL {:.3} at best", best.nll));
            progress.set(step, format_args!("G {g}{best}"));
            if step == total || run.checkpoint_due() {
                let empty = run.checkpoint(step).text("adapter", gpu.info().name.as_str());
                run.save(&self.remember(empty)?)?;
            }
            if run.interrupted() && step < total {
                return Ok(false);
            }
        }
        if step > first + 1 {
            let took = begun.elapsed().saturating_sub(looking).as_secs_f64();
            run.metrics.set("train_steps_per_s", (step - first - 1) as f64 / took);
        }
        progress.finish(format_args!("{}", rows.summary()));
        Ok(true)
    }
}

/// Losses of the library have a factor of 1/2 that G has not.
fn doubled(loss: Estimate) -> Estimate {
    Estimate { value: 2.0 * loss.value, se: 2.0 * loss.se }
}
