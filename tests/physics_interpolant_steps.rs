//! How far samples of an SDE in finite steps are from the density that they stand for, without samples: the law of a step is
//! carried on a grid, in f64.
mod common;
mod interpolant_support;

use ergodic::dynamics::sde;
use ergodic::methods::interpolant::{Coefficients, Epsilon, GaussianMixture, MixturePath, Model, Sampling, Solver};
use ergodic::random::RngKey;
use interpolant_support::*;

const LOW: f64 = -11.0;
const CELL: f64 = 0.005;
const CELLS: usize = 4400;
/// Samples whose Kolmogorov-Smirnov test is to be valid.
const N: usize = 20_000;
/// `0.3/sqrt(N)`: a bias that such a test does not see.
const SMALL: f64 = 0.3 / 141.42;

/// Weight, mean, covariance and the rates of the last two of each pair of modes at one time.
struct Mixed(Vec<[f64; 5]>);

impl Mixed {
    fn at(path: &MixturePath, t: f64) -> Self {
        let c: Coefficients<f64> = path.schedule().at(t);
        let modes = |m: &GaussianMixture| {
            (0..m.n_modes()).map(|k| (m.weights()[k], m.mode_mean(k)[0], m.mode_covariance(k)[0])).collect::<Vec<_>>()
        };
        let (first, last) = (modes(path.start()), modes(path.end()));
        let pair = |(w0, m0, v0): (f64, f64, f64), (w1, m1, v1): (f64, f64, f64)| {
            let variance = c.alpha * c.alpha * v0 + c.beta * c.beta * v1 + c.gamma2;
            let half_rate = c.alpha * c.alpha_dot * v0 + c.beta * c.beta_dot * v1 + c.gamma_gamma_dot;
            [
                w0 * w1 / variance.sqrt(),
                c.alpha * m0 + c.beta * m1,
                variance,
                c.alpha_dot * m0 + c.beta_dot * m1,
                half_rate,
            ]
        };
        Mixed(first.iter().flat_map(|&a| last.iter().map(move |&b| pair(a, b))).collect())
    }

    /// `b + epsilon s`.
    fn drift(&self, x: f64, epsilon: f64) -> f64 {
        let exponent = |mode: &[f64; 5]| -0.5 * (x - mode[1]).powi(2) / mode[2];
        let top = self.0.iter().map(exponent).fold(f64::NEG_INFINITY, f64::max);
        let (mut total, mut sum) = (0.0, 0.0);
        for mode in &self.0 {
            let w = mode[0] * (exponent(mode) - top).exp();
            let u = (x - mode[1]) / mode[2];
            total += w;
            sum += w * (mode[3] + mode[4] * u - epsilon * u);
        }
        sum / total
    }
}

fn place(i: usize) -> f64 {
    LOW + CELL * i as f64
}

/// The density after a normal of this deviation is added.
fn spread(density: &[f64], deviation: f64) -> Vec<f64> {
    let reach = (7.0 * deviation / CELL).ceil() as usize;
    let kernel: Vec<_> =
        (0..=2 * reach).map(|k| (-0.5 * ((k as f64 - reach as f64) * CELL / deviation).powi(2)).exp()).collect();
    let total: f64 = kernel.iter().sum();
    let at = |i: usize| {
        let (from, to) = (i.saturating_sub(reach), (i + reach).min(CELLS));
        density[from..=to].iter().zip(&kernel[from + reach - i..]).map(|(p, k)| p * k).sum::<f64>() / total
    };
    (0..=CELLS).map(at).collect()
}

/// The density after every point was moved by a map that keeps order: `p / map'` at the new places, read by cubics.
fn moved(density: &[f64], to: &[f64]) -> Vec<f64> {
    let slope = |i: usize| {
        let (a, b) = (i.saturating_sub(1), (i + 1).min(CELLS));
        (to[b] - to[a]) / (CELL * (b - a) as f64)
    };
    let values: Vec<_> = (0..=CELLS).map(|i| density[i] / slope(i)).collect();
    let (mut k, mut result) = (0, vec![0.0; CELLS + 1]);
    for (i, value) in result.iter_mut().enumerate() {
        let y = place(i);
        while k + 1 < CELLS && to[k + 1] < y {
            k += 1;
        }
        if y < to[0] || y > to[CELLS] {
            continue;
        }
        let from = k.saturating_sub(1).min(CELLS - 3);
        let weight =
            |j: usize| (from..from + 4).filter(|&m| m != j).map(|m| (y - to[m]) / (to[j] - to[m])).product::<f64>();
        *value = (from..from + 4).map(|j| values[j] * weight(j)).sum();
    }
    result
}

/// The largest distance between the distribution of Heun's steps and that of the path, at the end.
fn bias(path: &MixturePath, epsilon: f64, steps: u32) -> f64 {
    let h = 1.0 / f64::from(steps);
    let mut density: Vec<_> = (0..=CELLS).map(|i| path.start().log_density(&[place(i)]).exp()).collect();
    let mut now = Mixed::at(path, 0.0);
    for k in 1..=steps {
        let next = Mixed::at(path, h * f64::from(k));
        let step = |i: usize| {
            let (x, first) = (place(i), now.drift(place(i), epsilon));
            x + 0.5 * h * (first + next.drift(x + h * first, epsilon))
        };
        let to: Vec<_> = (0..=CELLS).map(step).collect();
        density = moved(&spread(&density, (2.0 * epsilon * h).sqrt()), &to);
        now = next;
    }
    let (mut below, mut worst, total) = (0.0, 0f64, density.iter().sum::<f64>() * CELL);
    // Cubics lose some mass in each step: a twentieth of the bias that is looked for is nothing.
    assert!((total - 1.0).abs() < 0.05 * SMALL, "{total}: mass is kept");
    for i in 1..=CELLS {
        below += 0.5 * CELL * (density[i - 1] + density[i]) / total;
        worst = worst.max((below - path.end().cdf(place(i)).unwrap()).abs());
    }
    worst
}

#[test]
fn halving_the_step_halves_the_bias_of_a_diffusion() {
    let path = one_dimensional(linear(root(1.0)));
    for epsilon in [0.5, 2.0, 5.0] {
        let [coarse, middle, fine] = [100, 200, 400].map(|steps| bias(&path, epsilon, steps));
        // First order: half, and the next order of the step times its fastest rate, 20 to 40 a unit of time, adds a tenth.
        for ratio in [middle / coarse, fine / middle] {
            assert!((0.4..0.6).contains(&ratio), "{epsilon}: {coarse} {middle} {fine}");
        }
        assert!(fine < SMALL, "{epsilon}: {fine}");
    }
}

#[test]
fn samples_in_steps_small_enough_pass_their_test() {
    let gpu = common::gpu();
    let path = one_dimensional(linear(root(1.0)));
    let model = Model::exact(&gpu, &path).unwrap();
    for epsilon in [0.5, 2.0, 5.0] {
        let solver = Solver::Diffusion { method: sde::Method::Heun, steps: 400 };
        let sampler =
            Sampling::new(solver).epsilon(Epsilon::Constant { value: epsilon }).compile(&gpu, &model, N).unwrap();
        let distance = kolmogorov_smirnov(&read(&sampler.run(RngKey::new(5)).unwrap().points), path.end());
        assert!(distance < 1.63 / (N as f64).sqrt(), "{epsilon}: {distance}");
    }
}
