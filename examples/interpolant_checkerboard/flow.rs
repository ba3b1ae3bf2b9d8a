//! Samples on their way: one run of the sampler for each noise that is asked for.

use super::problem::{Problem, label};
use ergodic::Result;
use ergodic::gpu::Gpu;
use ergodic::methods::interpolant::{Epsilon, Model, Sampler, Sampling, Solver};
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
/// Samples that are followed together.
const MOST: usize = 8192;

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
    // The layers of a wide network over all samples at once may not fit into what a kernel can reach.
    let parts = n.div_ceil(MOST).max(1);
    let rows = n.div_ceil(parts);
    let (sampler, begun) = (problem.sampling(epsilon).compile(gpu, model, rows)?, Instant::now());
    let mut frames = one_part(gpu, model, (&sampler, rows), key)?;
    for part in 1..parts {
        let more = one_part(gpu, model, (&sampler, rows), key.fold_in(u32::MAX - part as u32))?;
        frames.iter_mut().zip(more).for_each(|((_, x), (_, more))| x.extend(more));
    }
    let (seconds, last, few) = (begun.elapsed().as_secs_f64(), frames.len() - 1, problem.trajectories.min(n) * d);
    let tracks = frames.iter().map(|(t, x)| (*t, x[..few].to_vec())).collect();
    let kept = |k: usize| k == last || (k < PIECES && k.is_multiple_of(PIECES / FRAMES));
    let frames = frames.into_iter().enumerate().filter(|(k, _)| kept(*k));
    let frames = frames.map(|(_, (t, x))| (t, x[..n * d].to_vec())).collect();
    Ok(Samples { epsilon, d, frames, tracks, seconds })
}

/// Times and points of one part of the samples, at the start and at every look.
fn one_part(gpu: &Gpu, model: &Model, (sampler, rows): (&Sampler, usize), key: RngKey) -> Result<Vec<(f64, Vec<f32>)>> {
    let start = model.path().start().draw(gpu, rows, key.fold_in(1))?;
    let mut frames = vec![(sampler.times().0, start.read::<f32>()?.wait()?)];
    let _end = sampler.follow(&start, PIECES, key.fold_in(2), |t, points, _| {
        frames.push((t, points.read::<f32>()?.wait()?));
        Ok(())
    })?;
    Ok(frames)
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
