//! Samples on their way: one run of the sampler for each noise that is asked for.

use super::problem::{Problem, label};
use ergodic::Result;
use ergodic::gpu::Gpu;
use ergodic::methods::interpolant::{Epsilon, Model, Sampling, Solver};
use ergodic::random::RngKey;
use std::time::Instant;

/// Samples on their way: all of them at a few times, a few at many.
pub struct Samples {
    pub epsilon: Epsilon,
    pub d: usize,
    /// Times and points `[n, d]`.
    pub frames: Vec<(f64, Vec<f32>)>,
    /// Times and the first points.
    pub tracks: Vec<(f64, Vec<f32>)>,
    /// Seconds that the solver took.
    pub seconds: f64,
}

/// Pieces of time between two looks at the samples, and how many looks are kept whole.
const PIECES: usize = 20;
const FRAMES: usize = 4;

impl Samples {
    /// What its metrics' names end in: nothing for the first noise of a preset.
    pub fn suffix(&self, problem: &Problem) -> String {
        if self.epsilon == problem.epsilon { String::new() } else { format!("_eps_{}", label(&self.epsilon)) }
    }
}

/// Draw the start and follow it, once for each noise.
pub fn sample(gpu: &Gpu, model: &Model, problem: &Problem, key: RngKey) -> Result<Vec<Samples>> {
    let noises = std::iter::once(&problem.epsilon).chain(&problem.more_epsilon);
    noises.map(|&epsilon| follow(gpu, model, problem, epsilon, key)).collect()
}

fn follow(gpu: &Gpu, model: &Model, problem: &Problem, epsilon: Epsilon, key: RngKey) -> Result<Samples> {
    let (n, d) = (problem.samples, model.d());
    let sampler = problem.sampling(epsilon).compile(gpu, model, n)?;
    let start = model.path().start().draw(gpu, n, key.fold_in(1))?;
    let first = start.read::<f32>()?.wait()?;
    let few = |x: &[f32]| x[..problem.trajectories.min(n) * d].to_vec();
    let from = sampler.times().0;
    let (mut frames, mut tracks) = (vec![(from, first.clone())], vec![(from, few(&first))]);
    let (mut looks, begun) = (0, Instant::now());
    let end = sampler.follow(&start, PIECES, key.fold_in(2), |t, points, _| {
        let points = points.read::<f32>()?.wait()?;
        looks += 1;
        tracks.push((t, few(&points)));
        if looks % (PIECES / FRAMES) == 0 && looks < PIECES {
            frames.push((t, points));
        }
        Ok(())
    })?;
    let seconds = begun.elapsed().as_secs_f64();
    let last = tracks.last().map_or(1.0, |(t, _)| *t);
    frames.push((last, end.points.read::<f32>()?.wait()?));
    Ok(Samples { epsilon, d, frames, tracks, seconds })
}

impl Problem {
    /// How samples are made with this noise.
    pub fn sampling(&self, epsilon: Epsilon) -> Sampling {
        let solver = match epsilon {
            Epsilon::Zero => self.solver,
            _ => Solver::Diffusion { method: self.sde.method, steps: self.sde.steps },
        };
        let sampling = Sampling::new(solver).epsilon(epsilon);
        self.denoised_from.map_or(sampling, |t| sampling.denoised_from(t))
    }
}

pub fn wide(row: &[f32]) -> Vec<f64> {
    row.iter().map(|&v| f64::from(v)).collect()
}
