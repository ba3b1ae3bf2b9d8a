//! Samples of the bridge: by the SDE forwards, or by the ODE where there is no noise.

use super::problem::Problem;
use ergodic::Result;
use ergodic::dynamics::ode::{self, FixedStep, Grid, Rates};
use ergodic::dynamics::sde::Diffusion;
use ergodic::gpu::{Gpu, Tensor};
use ergodic::graph::Graph;
use ergodic::methods::interpolant::BridgeTrainer;
use ergodic::random::RngKey;
use std::time::Instant;

/// Pieces of time between two looks at the samples, and how many looks are kept whole.
const PIECES: usize = 40;
const FRAMES: usize = 4;

/// Samples on their way: all of them at a few times, a few at many.
pub struct Samples {
    pub d: usize,
    /// Times and points `[n, d]`.
    pub frames: Vec<(f64, Vec<f32>)>,
    /// Times and the first points.
    pub tracks: Vec<(f64, Vec<f32>)>,
    /// `int u^2 dt / 2` along each path.
    pub costs: Vec<f64>,
    /// Seconds that the solver took.
    pub seconds: f64,
}

/// A compiled solver; both carry the integral of `u^2 / 2`.
enum Way {
    Still(FixedStep),
    Noisy(Diffusion),
}

impl Way {
    fn new(gpu: &Gpu, problem: &Problem, trainer: &BridgeTrainer) -> Result<Self> {
        let (g, bridge, [theta, phi]) = (Graph::new(), trainer.bridge(), trainer.parameters());
        let nodes = bridge.parameters(&g)?;
        let x = g.input("x", [problem.samples, bridge.d()]);
        let rates = |t, x| {
            let u = bridge.drift(nodes, t, x)?;
            Ok(Rates::of(u).and(u.square().sum(1) * 0.5))
        };
        // Only a known drift reads the path.
        let reads_path = bridge.is_learned() == [false, true];
        Ok(match problem.epsilon > 0.0 {
            true => {
                let way = Diffusion::new(gpu, x, problem.sde.method, rates, |_| Ok(g.constant(problem.epsilon)))?;
                let way = way.bind("drift", theta);
                Way::Noisy(if reads_path { way.bind("path", phi) } else { way })
            }
            false => {
                let way = FixedStep::new(gpu, x, ode::Method::Heun, rates)?.bind("drift", theta);
                Way::Still(if reads_path { way.bind("path", phi) } else { way })
            }
        })
    }

    fn go(&self, from: &Tensor, grid: Grid, key: RngKey) -> Result<(Tensor, Vec<f64>)> {
        let arrived = match self {
            Way::Still(solver) => solver.solve(from, grid)?,
            Way::Noisy(solver) => solver.solve(from, grid, key)?,
        };
        Ok((arrived.points()?.clone(), arrived.integral(0)?))
    }
}

/// Draw the start and follow it.
pub fn sample(gpu: &Gpu, problem: &Problem, trainer: &BridgeTrainer, key: RngKey) -> Result<Samples> {
    let (way, d) = (Way::new(gpu, problem, trainer)?, trainer.bridge().d());
    let mut x = trainer.bridge().ends()[0].draw(gpu, problem.samples, key.fold_in(1))?;
    let first = x.read::<f32>()?.wait()?;
    let few = |x: &[f32]| x[..problem.trajectories.min(problem.samples) * d].to_vec();
    let (mut frames, mut tracks) = (vec![(0.0, first.clone())], vec![(0.0, few(&first))]);
    let (mut costs, time) = (vec![0.0; problem.samples], |k: usize| k as f64 / PIECES as f64);
    let steps = problem.sde.steps.div_ceil(PIECES as u32);
    let begun = Instant::now();
    for k in 1..=PIECES {
        let (to, along) = way.go(&x, Grid::new(time(k - 1), time(k), steps), key.fold_in(1 + k as u32))?;
        x = to;
        costs.iter_mut().zip(along).for_each(|(sum, part)| *sum += part);
        let points = x.read::<f32>()?.wait()?;
        tracks.push((time(k), few(&points)));
        if k % (PIECES / FRAMES) == 0 {
            frames.push((time(k), points));
        }
    }
    Ok(Samples { d, frames, tracks, costs, seconds: begun.elapsed().as_secs_f64() })
}
