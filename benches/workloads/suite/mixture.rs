//! Langevin walkers in two Gaussian wells of unit width, at `-2 e_1` and `+2 e_1`.
//!
//! ```text
//! U(x) = -log(exp(-|x - m_0|^2/2) + exp(-|x - m_1|^2/2 - z))        x' = x - h grad U(x) + sqrt(2h) xi
//! ```
//!
//! `z` is the level of the second well. Only the first component feels both wells, the others are Gaussian: the law of the chain
//! after any number of steps is known, that of the first component by quadrature in one dimension.

use super::replay::{Inputs, Replay};
use super::{Bed, Case, Cost, Figure, Sizes, Workload};
use ergodic::autodiff::grad;
use ergodic::dynamics::sampler::State;
use ergodic::dynamics::{Schedule, Start, WeightedLangevin};
use ergodic::gpu::{Gpu, Tensor};
use ergodic::graph::{Graph, Var};
use ergodic::random::RngKey;

/// Distance of the wells from the origin, in their own width.
const WELL: f64 = 2.0;
/// Step size, in the square of the wells' width.
const STEP_SIZE: f64 = 0.1;
/// Level of the second well at the end of a Jarzynski run, kT; it starts at 0.
const LEVEL: f64 = 2.0;

const SIZES: [Sizes; 3] = [
    Sizes(&[("n", 100_000), ("d", 10), ("steps", 100)]),
    Sizes(&[("n", 5_000), ("d", 10), ("steps", 20)]),
    Sizes(&[("n", 1_000), ("d", 4), ("steps", 10)]),
];

/// Unadjusted Langevin under two equal wells.
pub fn ula() -> Workload {
    Workload {
        id: "ula_mixture",
        unit: "walker-step",
        target: 15.0,
        sizes: SIZES,
        units: walker_steps,
        build: build_ula,
        score: score_ula,
    }
}

/// The same with exact weights, while the second well rises in every step.
pub fn jarzynski() -> Workload {
    Workload {
        id: "jarzynski_mixture",
        unit: "walker-step",
        target: 12.0,
        sizes: SIZES,
        units: walker_steps,
        build: build_jarzynski,
        score: score_jarzynski,
    }
}

fn walker_steps(sizes: &Sizes) -> f64 {
    (sizes.get("n") * sizes.get("steps")) as f64
}

/// `U(x) [n]`. Two wells at a time: `-log(e^-a + e^-b) = a - softplus(a - b)`.
fn energy<'g>(x: Var<'g>, means: Var<'g>, z: Var<'g>) -> Var<'g> {
    let d = x.shape()[1];
    let well = |k: usize| (x - means.narrow(0, k, 1).reshape([d])).square().sum(1) * 0.5;
    let (a, b) = (well(0), well(1) + z);
    a - (a - b).softplus()
}

/// Positions of the wells, `[2, d]`.
fn means(d: usize) -> Vec<f32> {
    (0..2 * d)
        .map(|i| {
            if i == 0 {
                -WELL as f32
            } else if i == d {
                WELL as f32
            } else {
                0.0
            }
        })
        .collect()
}

/// Exact draws from the two equal wells: every other walker in each.
fn start(n: usize, d: usize) -> Vec<f32> {
    let mut x = vec![0.0; n * d];
    RngKey::new(11).fill_normal(0, d, &mut x);
    let well = |i: usize| if i.is_multiple_of(2) { -WELL as f32 } else { WELL as f32 };
    x.chunks_exact_mut(d).enumerate().for_each(|(i, row)| row[0] += well(i));
    x
}

fn build_ula(bed: &Bed<'_>, sizes: &Sizes) -> ergodic::Result<Box<dyn Case>> {
    let (n, d, steps) = (sizes.get("n"), sizes.get("d"), sizes.get("steps") as u64);
    let g = Graph::new();
    let (x, wells) = (g.input("x", [n, d]), g.input("means", [2, d]));
    let force = -grad(energy(x, wells, g.constant(0.0)), x)?;
    let moved = x + force * STEP_SIZE + g.key("noise").normal([n, d]) * f64::sqrt(2.0 * STEP_SIZE);
    let tensors = vec![("x", vec![n, d], start(n, d)), ("means", vec![2, d], means(d))];
    let inputs = Inputs { tensors, keys: vec![("noise", RngKey::new(1))] };
    let answer = move |session: &ergodic::plan::Session| Ok(moments(&session.read::<f32>("x")?.wait()?, d));
    Ok(Box::new(Replay::new(bed, &[("x", moved)], inputs, steps, Box::new(answer))?))
}

/// Mean of `x_1`, of `x_1^2`, and of the squares of the other components.
fn moments(x: &[f32], d: usize) -> Vec<f64> {
    let n = (x.len() / d) as f64;
    let (mut mean, mut square, mut rest) = (0.0, 0.0, 0.0);
    for row in x.chunks_exact(d) {
        let first = f64::from(row[0]);
        (mean, square) = (mean + first, square + first * first);
        rest += row[1..].iter().map(|&v| f64::from(v).powi(2)).sum::<f64>();
    }
    vec![mean / n, square / n, rest / (n * (d - 1) as f64)]
}

/// The three moments against the chain's own law, in standard errors.
fn score_ula(sizes: &Sizes, answer: &[f64]) -> ergodic::Result<Vec<Figure>> {
    let (n, d, steps) = (sizes.get("n") as f64, sizes.get("d") as f64, sizes.get("steps"));
    let &[mean, square, rest] = answer else { return Ok(vec![Figure::sigmas("moments", f64::INFINITY)]) };
    let [_, second, fourth] = first_component(steps);
    // x' = (1 - h) x + sqrt(2h) xi from variance 1.
    let decay = (1.0 - STEP_SIZE).powi(2);
    let variance = (0..steps).fold(1.0, |v, _| decay * v + 2.0 * STEP_SIZE);
    let sigmas = [
        mean / (second / n).sqrt(),
        (square - second) / ((fourth - second * second) / n).sqrt(),
        (rest - variance) / (variance * (2.0 / (n * (d - 1.0))).sqrt()),
    ];
    let worst = sigmas.into_iter().map(f64::abs).fold(0.0, f64::max);
    Ok(vec![Figure::sigmas("moments, standard errors", if rest.is_finite() { worst } else { f64::NAN })])
}

/// Moments 0, 2 and 4 of the first component after some steps, by quadrature of the transition density.
fn first_component(steps: usize) -> [f64; 3] {
    const CELLS: usize = 321;
    let (half, dx) = (8.0, 16.0 / (CELLS - 1) as f64);
    let grid: Vec<_> = (0..CELLS).map(|i| i as f64 * dx - half).collect();
    let normal = |x: f64, variance: f64| (-0.5 * x * x / variance).exp() / (std::f64::consts::TAU * variance).sqrt();
    let drift = |x: f64| x - STEP_SIZE * (x - WELL * (WELL * x).tanh());
    let kernel: Vec<Vec<_>> =
        grid.iter().map(|y| grid.iter().map(|&x| normal(y - drift(x), 2.0 * STEP_SIZE)).collect()).collect();
    let mut p: Vec<_> = grid.iter().map(|&x| 0.5 * (normal(x - WELL, 1.0) + normal(x + WELL, 1.0))).collect();
    for _ in 0..steps {
        p = kernel.iter().map(|row| row.iter().zip(&p).map(|(k, p)| k * p).sum::<f64>() * dx).collect();
    }
    [0, 2, 4].map(|power| grid.iter().zip(&p).map(|(x, p)| x.powi(power) * p).sum::<f64>() * dx)
}

/// The sampler of the library, started anew for each run.
struct Jarzynski {
    gpu: Gpu,
    sampler: WeightedLangevin,
    sizes: Sizes,
    state: Option<State>,
    log_z: [f64; 2],
}

fn build_jarzynski(bed: &Bed<'_>, sizes: &Sizes) -> ergodic::Result<Box<dyn Case>> {
    let (n, d, steps) = (sizes.get("n"), sizes.get("d"), sizes.get("steps"));
    let g = Graph::new();
    let (x, wells, z) = (g.input("x", [n, d]), g.input("means", [2, d]), g.input("z", []));
    let levels = (0..=steps).map(|k| (LEVEL * k as f64 / steps as f64) as f32);
    let schedule = Schedule::new(STEP_SIZE).vary("z", levels);
    let sampler = WeightedLangevin::new(bed.gpu, &energy(x, wells, z), &x, schedule)?;
    let sampler = sampler.bind("means", &Tensor::from_slice(bed.gpu, "means", &[2, d], &means(d))?);
    Ok(Box::new(Jarzynski { gpu: bed.gpu.clone(), sampler, sizes: *sizes, state: None, log_z: [f64::NAN; 2] }))
}

impl Case for Jarzynski {
    fn prepare(&mut self) -> ergodic::Result<()> {
        let (n, d) = (self.sizes.get("n"), self.sizes.get("d"));
        let x = Tensor::from_slice(&self.gpu, "x", &[n, d], &start(n, d))?;
        self.state = Some(self.sampler.init(RngKey::new(1), Start::tensor(&x))?);
        self.gpu.wait()
    }

    fn run(&mut self) -> ergodic::Result<()> {
        if let Some(state) = &mut self.state {
            let (n, steps) = (self.sizes.get("n") as f64, self.sizes.get("steps") as u64);
            let seen = self.sampler.advance_and_glance(state, 0..steps)?;
            self.log_z = [seen.log_mean_weight, (1.0 / seen.ess - 1.0 / n).max(0.0).sqrt()];
        }
        Ok(())
    }

    fn answer(&mut self) -> ergodic::Result<Vec<f64>> {
        self.prepare()?;
        self.run()?;
        Ok(self.log_z.to_vec())
    }

    fn cost(&self) -> Cost {
        Cost::reported(&self.sampler.report(), self.sizes.get("steps") as u64)
    }
}

/// `log Z` and its standard error against `log((1 + e^-LEVEL) / 2)`.
fn score_jarzynski(_: &Sizes, answer: &[f64]) -> ergodic::Result<Vec<Figure>> {
    let &[log_z, se] = answer else { return Ok(vec![Figure::sigmas("log Z", f64::INFINITY)]) };
    let exact = (0.5 * (1.0 + (-LEVEL).exp())).ln();
    Ok(vec![Figure::sigmas("log Z, standard errors", ((log_z - exact) / se).abs())])
}
