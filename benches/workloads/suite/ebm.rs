//! One iteration of training a network as an energy: 30 Langevin steps, gradients on walkers and data, Adam.

use super::networks::{parameters, rounding};
use super::{Bed, Case, Cost, Figure, Sizes, Workload, noise, relative, wide};
use ergodic::autodiff::grad;
use ergodic::dynamics::LogWeights;
use ergodic::gpu::Gpu;
use ergodic::graph::{Feeds, Graph};
use ergodic::methods::ebm::{Energy, InitialWalkers, MlpEnergy, Optimiser, State, TrainConfig, Trainer};
use ergodic::nn::Activation;
use ergodic::random::RngKey;

/// Walkers whose energy and gradient are compared with f64.
const CHECKED: usize = 8;
/// Iterations before an answer: the second is the first with a weighted gradient.
const ITERATIONS: u64 = 2;
/// Square of length over energy. At 784 dimensions this keeps the variance of a step's log-weight below 1e-3.
const STEP_SIZE: f64 = 0.01;
const LEARNING_RATE: f64 = 1e-3;
/// Draws of the reference for log Z.
const DRAWS: usize = 2048;

/// 784-256-128-1, 1024 walkers, 1024 data points.
pub fn step() -> Workload {
    Workload {
        id: "ebm_step",
        unit: "iteration",
        target: 0.3,
        sizes: [
            Sizes(&[("n", 1024), ("d", 784), ("wide", 256), ("narrow", 128), ("moves", 30)]),
            Sizes(&[("n", 256), ("d", 196), ("wide", 64), ("narrow", 32), ("moves", 5)]),
            Sizes(&[("n", 64), ("d", 9), ("wide", 16), ("narrow", 8), ("moves", 3)]),
        ],
        units: |_| 1.0,
        build,
        score,
    }
}

fn energy(sizes: &Sizes) -> ergodic::Result<MlpEnergy> {
    MlpEnergy::new(&[sizes.get("d"), sizes.get("wide"), sizes.get("narrow")], Activation::Silu, 1.0)
}

/// Parameters whose last layer is zero: the model is the unit Gaussian, whose draws and log Z are known.
fn start_parameters(energy: &MlpEnergy) -> Vec<f32> {
    let mut theta = parameters(energy.mlp(), 1);
    let end = theta.len();
    theta[end - energy.mlp().sizes[2]..].fill(0.0);
    theta
}

/// The trainer of the library, put back to its first state before each run.
struct Training {
    gpu: Gpu,
    trainer: Trainer,
    start: Vec<State>,
    d: usize,
}

fn build(bed: &Bed<'_>, sizes: &Sizes) -> ergodic::Result<Box<dyn Case>> {
    let (energy, n, d) = (energy(sizes)?, sizes.get("n"), sizes.get("d"));
    let config = TrainConfig {
        walkers: n,
        sub_steps: sizes.get("moves"),
        step_size: STEP_SIZE,
        optimiser: Optimiser::Adam { beta1: 0.9, beta2: 0.999 },
        learning_rate: LEARNING_RATE,
        seed: 1,
        ..TrainConfig::default()
    };
    let InitialWalkers { positions, log_z } = energy.start(n, RngKey::new(2));
    let start = InitialWalkers { positions, log_z };
    let trainer = Trainer::new(bed.gpu, &energy, &noise(n * d, 5), &start_parameters(&energy), start, &config)?;
    let start = trainer.state()?;
    Ok(Box::new(Training { gpu: bed.gpu.clone(), trainer, start, d }))
}

impl Case for Training {
    fn profile(&mut self) -> ergodic::Result<Option<ergodic::plan::Profile>> {
        self.prepare()?;
        self.trainer.time_dispatches(super::replay::PROFILED).map(Some)
    }

    fn prepare(&mut self) -> ergodic::Result<()> {
        self.trainer.restore(0, &self.start)?;
        self.gpu.submit(self.gpu.encoder("prepare"))?;
        self.gpu.wait()
    }

    fn run(&mut self) -> ergodic::Result<()> {
        self.trainer.run(1)?;
        self.gpu.wait()
    }

    fn answer(&mut self) -> ergodic::Result<Vec<f64>> {
        self.prepare()?;
        self.trainer.run(ITERATIONS)?;
        let log_z = self.trainer.weights()?.log_z();
        let states = self.trainer.state()?;
        let part = |name: &str, n: usize| {
            let values = states.iter().find(|state| state.name == name).map(|state| &state.values);
            match values {
                Some(ergodic::methods::ebm::Values::F32(values)) => wide(&values[..n.min(values.len())]),
                _ => vec![],
            }
        };
        let rows = CHECKED * self.d;
        let parts = [part("theta", usize::MAX), part("x", rows), part("u", CHECKED), part("grad", rows)];
        Ok([vec![log_z.value, log_z.se], parts.concat()].concat())
    }

    fn cost(&self) -> Cost {
        Cost::reported(&self.trainer.report(), 1)
    }
}

/// An answer is `log(Z/Z_0)` with its standard error, the parameters, and position, energy and gradient of some walkers.
fn score(sizes: &Sizes, answer: &[f64]) -> ergodic::Result<Vec<Figure>> {
    let (energy, d) = (energy(sizes)?, sizes.get("d"));
    let (p, rows) = (energy.n_params(), CHECKED * d);
    if answer.len() != 2 + p + CHECKED + 2 * rows {
        return Ok(vec![Figure::sigmas("log Z, standard errors", f64::INFINITY)]);
    }
    let (log_z, rest) = answer.split_at(2);
    let (theta, rest) = rest.split_at(p);
    let (x, rest) = rest.split_at(rows);
    let (u, gradient) = rest.split_at(CHECKED);
    let g = Graph::new();
    let (parameters, positions) = (g.input("theta", [p]), g.input("x", [CHECKED, d]));
    let at = energy.energy(parameters, positions)?;
    let want = g.eval_f64(&[at, grad(at, positions)?], &Feeds::new().tensor("theta", theta).tensor("x", x))?;
    let bound = rounding(energy.mlp());
    let exact = importance(&energy, theta)?;
    let sigmas = (log_z[0] - exact[0]).abs() / log_z[1].hypot(exact[1]);
    Ok(vec![
        Figure { name: "energy, relative error", value: relative(u, &want[0].data), bound },
        Figure { name: "gradient, relative error", value: relative(gradient, &want[1].data), bound },
        Figure::sigmas("log Z, standard errors", sigmas),
    ])
}

/// `log(Z/Z_0)` and its standard error from draws of the Gaussian, the model that training started from.
fn importance(energy: &MlpEnergy, theta: &[f64]) -> ergodic::Result<[f64; 2]> {
    let (d, g) = (energy.n_dims(), Graph::new());
    let (parameters, x) = (g.input("theta", [theta.len()]), g.input("x", [DRAWS, d]));
    let above_start = energy.energy(parameters, x)? - x.square().sum(1) * 0.5;
    let draws = energy.start(DRAWS, RngKey::new(9)).positions;
    let value = g.eval_f64(&[above_start], &Feeds::new().tensor("theta", theta).tensor("x", draws))?;
    let estimate = LogWeights::new(value[0].data.iter().map(|u| -u).collect()).log_mean_exp();
    Ok([estimate.value, estimate.se])
}
