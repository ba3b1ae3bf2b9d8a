//! Diffusions of known fields: marginals in both directions of time, likelihoods by paths, mirrors and point masses.
mod common;
mod interpolant_support;

use ergodic::autodiff::Trace;
use ergodic::dynamics::ode::{FixedStep, Grid, Method, Rates};
use ergodic::dynamics::sde::{self, Diffusion};
use ergodic::dynamics::{Estimate, LogWeights};
use ergodic::gpu::Gpu;
use ergodic::graph::Graph;
use ergodic::methods::interpolant::{
    Excess, Gamma, GaussianMixture, MixturePath, PathForm, Schedule, bits_per_dimension, cross_entropy, largest_rate,
};
use ergodic::random::RngKey;
use interpolant_support::*;

const N: usize = 20_000;
/// The 1 % level of the Kolmogorov-Smirnov distance.
fn level() -> f64 {
    1.63 / (N as f64).sqrt()
}

#[derive(Clone, Copy, PartialEq)]
enum Way {
    Forth,
    Back,
}

fn diffusion(gpu: &Gpu, path: &MixturePath, method: sde::Method, epsilon: f64, way: Way) -> Diffusion {
    let g = Graph::new();
    let theta = theta(&g, path);
    let walk = Diffusion::new(
        gpu,
        g.input("x", [N, 1]),
        method,
        |t, x| {
            let fields = path.fields(theta, t.broadcast_to([N, 1]), x)?;
            let epsilon = g.constant(epsilon);
            let drift = if way == Way::Forth { fields.forward_drift(epsilon) } else { fields.backward_drift(epsilon) };
            Ok(Rates::of(drift))
        },
        |_| Ok(g.constant(epsilon)),
    );
    walk.unwrap().bind("theta", &parameters(gpu, path))
}

#[test]
fn diffusions_have_the_marginals_of_the_path_forwards_and_backwards() {
    let gpu = common::gpu();
    for (schedule, epsilon) in
        [(linear(root(1.0)), 0.5), (linear(root(1.0)), 5.0), (Schedule::UnitTrig { gamma: root(2.0) }, 2.0)]
    {
        let path = one_dimensional(schedule);
        for way in [Way::Forth, Way::Back] {
            let walk = diffusion(&gpu, &path, sde::Method::Trapezoid, epsilon, way);
            let (start, grid) = match way {
                Way::Forth => (two_modes(), Grid::new(0.0, 1.0, 400)),
                Way::Back => (three_modes(), Grid::new(1.0, 0.0, 400)),
            };
            let start = start.draw(&gpu, N, RngKey::new(21)).unwrap();
            let mut moving = walk.begin(&start, grid, RngKey::new(22)).unwrap();
            for quarter in 0..4 {
                moving.advance(100 * quarter..100 * (quarter + 1)).unwrap();
                let exact = path.marginal(moving.time()).unwrap();
                let distance = kolmogorov_smirnov(&read(moving.points().unwrap()), &exact);
                assert!(distance < level(), "{schedule:?} {epsilon} at {}: {distance}", moving.time());
            }
        }
    }
}

#[test] // the control: a drift without its score is found out
fn the_velocity_alone_with_noise_has_other_marginals() {
    let gpu = common::gpu();
    let path = one_dimensional(linear(root(1.0)));
    let g = Graph::new();
    let theta = theta(&g, &path);
    let wrong = Diffusion::new(
        &gpu,
        g.input("x", [N, 1]),
        sde::Method::Heun,
        |t, x| velocity(&path, theta, t, x),
        |_| Ok(g.constant(0.5)),
    );
    let wrong = wrong.unwrap().bind("theta", &parameters(&gpu, &path));
    let start = two_modes().draw(&gpu, N, RngKey::new(21)).unwrap();
    let end = wrong.solve(&start, Grid::new(0.0, 1.0, 100), RngKey::new(22)).unwrap();
    assert!(kolmogorov_smirnov(&read(end.points().unwrap()), &three_modes()) > 3.0 * level());
}

#[test]
fn a_flow_from_the_normal_is_a_diffusion_too() {
    // Only the velocity is used: its score is `t b - x` on the variance preserving path.
    let gpu = common::gpu();
    let path = MixturePath::to(Schedule::OneSidedVp, three_modes()).unwrap();
    let (g, epsilon) = (Graph::new(), 0.5);
    let theta = theta(&g, &path);
    let walk = Diffusion::new(
        &gpu,
        g.input("x", [N, 1]),
        sde::Method::Trapezoid,
        |t, x| {
            let t = t.broadcast_to([N, 1]);
            let b = path.fields(theta, t, x)?.b;
            Ok(Rates::of(b + path.schedule().at(t).score_of_velocity(b, x) * epsilon))
        },
        |_| Ok(g.constant(epsilon)),
    );
    let walk = walk.unwrap().bind("theta", &parameters(&gpu, &path));
    let start = path.start().draw(&gpu, N, RngKey::new(23)).unwrap();
    let end = walk.solve(&start, Grid::new(0.0, 1.0, 400), RngKey::new(24)).unwrap();
    let distance = kolmogorov_smirnov(&read(end.points().unwrap()), &three_modes());
    assert!(distance < level(), "{distance}");
}

#[test]
fn a_mirror_returns_its_input_and_its_diffusion_keeps_the_density() {
    let gpu = common::gpu();
    let path = MixturePath::to(Schedule::Mirror { gamma: root(1.0) }, two_modes()).unwrap();
    let g = Graph::new();
    let theta = theta(&g, &path);
    let solver = FixedStep::new(&gpu, g.input("x", [4, 1]), Method::Rk4, |t, x| velocity(&path, theta, t, x)).unwrap();
    let solver = solver.bind("theta", &parameters(&gpu, &path));
    let starts = [-3.7, -2.9, 0.4, 3.3];
    let end = solver.solve(&tensor(&gpu, &starts, 1), Grid::new(0.0, 1.0, 400)).unwrap();
    for (x, x0) in read(end.points().unwrap()).iter().zip(starts) {
        assert!((x - x0).abs() < 400.0 * EPS * 4.0, "{x} {x0}"); // an ulp a step
    }
    let walk = diffusion(&gpu, &path, sde::Method::Trapezoid, 1.0, Way::Forth);
    let start = two_modes().draw(&gpu, N, RngKey::new(31)).unwrap();
    let end = walk.solve(&start, Grid::new(0.0, 1.0, 400), RngKey::new(32)).unwrap();
    let (before, after) = (read(&start), read(end.points().unwrap()));
    assert!(kolmogorov_smirnov(&after, &two_modes()) < level());
    // Noise does move points: each by 1 or so.
    let moved = before.iter().zip(&after).map(|(a, b)| (a - b).powi(2)).sum::<f64>() / N as f64;
    assert!(moved > 0.1, "{moved}");
}

#[test]
fn a_point_becomes_the_target_with_the_variance_of_its_path() {
    let (gpu, a, from) = (common::gpu(), 0.5, 0.5);
    for end in [GaussianMixture::isotropic(&[1.0], &[vec![1.5]], &[0.25]).unwrap(), three_modes()] {
        let path = MixturePath::from_point(Schedule::PointMass { a }, &[from], end.clone()).unwrap();
        let walk = diffusion(&gpu, &path, sde::Method::Trapezoid, a, Way::Forth);
        let start = tensor(&gpu, &vec![from; N], 1);
        let mut moving = walk.begin(&start, Grid::new(0.0, 1.0, 800), RngKey::new(41)).unwrap();
        for half in 0..2 {
            moving.advance(400 * half..400 * (half + 1)).unwrap();
            let (t, x) = (moving.time(), read(moving.points().unwrap()));
            let distance = kolmogorov_smirnov(&x, &path.marginal(t).unwrap());
            assert!(distance < level(), "at {t}: {distance}");
            let mean = x.iter().sum::<f64>() / N as f64;
            let squares: Vec<_> = x.iter().map(|x| (x - mean).powi(2)).collect();
            let variance = squares.iter().sum::<f64>() / N as f64;
            let se = (squares.iter().map(|v| (v - variance).powi(2)).sum::<f64>()).sqrt() / N as f64;
            let want = t.powi(4) * end.covariance()[0] + 2.0 * a * t * (1.0 - t);
            assert!((variance - want).abs() < 4.0 * se, "at {t}: {variance} {want} {se}");
        }
    }
}

const PATHS: usize = 20_000;
const EPSILON: f64 = 0.5;

/// The log-likelihood of `x` at time 1 by a form.
fn likelihood(gpu: &Gpu, path: &MixturePath, x: f64, form: PathForm) -> Estimate {
    let g = Graph::new();
    let theta = theta(&g, path);
    let walk = Diffusion::new(
        gpu,
        g.input("x", [PATHS, 1]),
        sde::Method::Trapezoid,
        |t, x| {
            let fields = path.fields(theta, t.broadcast_to([PATHS, 1]), x)?;
            form.rates((fields.b, fields.s), x, g.constant(EPSILON), Trace::Exact)
        },
        |_| Ok(g.constant(EPSILON)),
    );
    let walk = walk.unwrap().bind("theta", &parameters(gpu, path));
    let end = walk.solve(&tensor(gpu, &vec![x; PATHS], 1), Grid::new(1.0, 0.0, 400), RngKey::new(51)).unwrap();
    let (starts, along) = (read(end.points().unwrap()), end.integral(0).unwrap());
    let a: Vec<_> = starts.iter().zip(along).map(|(x0, along)| path.start().log_density(&[*x0]) + along).collect();
    form.estimate(&a).unwrap()
}

#[test]
fn paths_give_the_likelihood_in_three_forms() {
    let gpu = common::gpu();
    let normal = MixturePath::between(linear(root(1.0)), GaussianMixture::normal(1).unwrap(), shifted());
    let mixtures = one_dimensional(linear(root(1.0)));
    let mut tested = vec![(normal.unwrap(), 0.4)];
    tested.extend([-6.0, -3.0, 0.0, 2.0].map(|x| (mixtures.clone(), x)));
    for (path, x) in tested {
        let exact = path.end().log_density(&[x]);
        let feynman_kac = likelihood(&gpu, &path, x, PathForm::FeynmanKac);
        // The standard error is infinite where few paths carry the weight (between modes): then it says so, and proves nothing.
        assert_eq!(feynman_kac.se.is_finite(), [0.4, -6.0, 0.0].contains(&x), "{x}: {feynman_kac}");
        let energies = [PathForm::Energy, PathForm::Generative].map(|form| likelihood(&gpu, &path, x, form));
        for Estimate { value, se } in [feynman_kac, energies[0], energies[1]] {
            // Four standard errors, and the method's bias: second order, (20/400)^2 for rates of 20 at worst.
            assert!((value - exact).abs() < 4.0 * se + 0.005, "{x}: {value} +- {se}, exact {exact}");
        }
        // Jensen's bound is a bound, and useless as a likelihood.
        let jensen = likelihood(&gpu, &path, x, PathForm::Jensen);
        assert!(jensen.value + 4.0 * jensen.se < exact - 0.5, "{x}: {jensen} {exact}");
    }
}

/// `N(1, 0.25)`.
fn shifted() -> GaussianMixture {
    GaussianMixture::isotropic(&[1.0], &[vec![1.0]], &[0.25]).unwrap()
}

/// The divergence of `N(1, 0.25)` from a diffusion whose `b` and `s` err by `e.0 + e.1 (x - m)`, by its moments (RK4 in f64),
/// the excess of the losses, and Girsanov's bound.
fn divergence_with_errors(path: &MixturePath, b: (f64, f64), s: (f64, f64)) -> (f64, Excess, f64) {
    let (epsilon, n) = (EPSILON, 2000);
    let exact = |t: f64| {
        let marginal = path.marginal(t).unwrap();
        let (m, c) = (marginal.mean()[0], marginal.covariance()[0]);
        let drift = |x: f64| {
            let at = path.at(t, &[x]).unwrap();
            at.b[0] + epsilon * at.s[0]
        };
        (m, c, drift(m), drift(m + 1.0) - drift(m))
    };
    let wrong = (b.0 + epsilon * s.0, b.1 + epsilon * s.1);
    let rate = |t: f64, mean: f64, variance: f64| {
        let (m, _, drift, slope) = exact(t);
        let slope = slope + wrong.1;
        (drift + wrong.0 + slope * (mean - m), 2.0 * slope * variance + 2.0 * epsilon)
    };
    let (mut mean, mut variance, h) = (0.0, 1.0, 1.0 / f64::from(n));
    let (mut excess, mut girsanov) = (Excess { motion: 0.0, score: 0.0 }, 0.0);
    for k in 0..n {
        let t = h * f64::from(k);
        let (m1, v1) = rate(t, mean, variance);
        let (m2, v2) = rate(t + h / 2.0, mean + h / 2.0 * m1, variance + h / 2.0 * v1);
        let (m3, v3) = rate(t + h / 2.0, mean + h / 2.0 * m2, variance + h / 2.0 * v2);
        let (m4, v4) = rate(t + h, mean + h * m3, variance + h * v3);
        mean += h / 6.0 * (m1 + 2.0 * m2 + 2.0 * m3 + m4);
        variance += h / 6.0 * (v1 + 2.0 * v2 + 2.0 * v3 + v4);
        let c = exact(t + h / 2.0).1;
        let square = |e: (f64, f64)| e.0 * e.0 + e.1 * e.1 * c;
        excess.motion += 0.5 * h * square(b);
        excess.score += 0.5 * h * square(s);
        girsanov += h * square(wrong) / (4.0 * epsilon);
    }
    let q = 0.25 / variance;
    (0.5 * (q - 1.0 - q.ln() + (1.0 - mean).powi(2) / variance), excess, girsanov)
}

#[test]
fn losses_bound_the_divergence_of_a_diffusion() {
    let path = MixturePath::between(linear(root(1.0)), GaussianMixture::normal(1).unwrap(), shifted()).unwrap();
    let none = (0.0, 0.0);
    for (b, s, want) in
        [((0.3, 0.0), none, 0.030852), ((0.0, 0.4), none, 0.022526), ((0.3, 0.2), (-0.2, 0.3), 0.030506)]
    {
        let (kl, excess, girsanov) = divergence_with_errors(&path, b, s);
        assert!((kl - want).abs() < 0.6e-6, "{kl} {want}");
        assert!(kl <= girsanov && girsanov <= excess.kl_bound(EPSILON) + 1e-12, "{kl} {girsanov} {excess:?}");
    }
    let (_, excess, girsanov) = divergence_with_errors(&path, (0.3, 0.2), (-0.2, 0.3));
    assert!((girsanov - 0.055729).abs() < 0.6e-6, "{girsanov}");
    let best = excess.best_epsilon().unwrap();
    for epsilon in [0.9 * best, 1.1 * best] {
        assert!(excess.kl_bound(epsilon) > excess.kl_bound(best));
    }
    // Where half the constants fail: gamma^2 = 2 (s^2 + eps) t (1 - t), b_F = 0, errors delta/2 and delta/(2 eps).
    let (width, delta) = (0.01, 0.4);
    let end = GaussianMixture::isotropic(&[1.0], &[vec![0.0]], &[width + 2.0 * EPSILON]).unwrap();
    let start = GaussianMixture::isotropic(&[1.0], &[vec![0.0]], &[width]).unwrap();
    let path = MixturePath::between(linear(root(2.0 * (width + EPSILON))), start, end.clone()).unwrap();
    let at = path.at(0.3, &[0.7]).unwrap();
    assert!((at.b[0] + EPSILON * at.s[0]).abs() < 1e-12, "nothing drifts");
    let kl = 0.5 * delta * delta / end.covariance()[0]; // the model's mean is off by delta
    let excess = Excess { motion: 0.5 * (delta / 2.0f64).powi(2), score: 0.5 * (delta / (2.0 * EPSILON)).powi(2) };
    assert!((kl - 0.07921).abs() < 1e-5 && kl <= excess.kl_bound(EPSILON) && kl > 0.5 * excess.kl_bound(EPSILON));
    // The bound by v holds too, with the largest rate of the schedule.
    let rate = largest_rate(|t| path.schedule().at(t), EPSILON);
    assert!((rate - (width + 2.0 * EPSILON)).abs() < 1e-12 && kl <= excess.kl_bound_of_v(EPSILON, rate));
    assert!(Excess { motion: -0.1, score: 0.1 }.best_epsilon().is_err());
}

#[test]
fn losses_bound_the_distance_of_a_flow() {
    // N(0, 1) to N(0, 4) on a quarter turn, velocities that err by e.0 + e.1 x: moments of the ODE by RK4 in f64.
    let start = GaussianMixture::normal(1).unwrap();
    let end = GaussianMixture::isotropic(&[1.0], &[vec![0.0]], &[4.0]).unwrap();
    let path = MixturePath::between(Schedule::Trig { gamma: Gamma::Zero }, start, end).unwrap();
    let slope = |t: f64| path.at(t, &[1.0]).unwrap().v[0];
    let steepest = (0..=1000).map(|k| slope(f64::from(k) / 1000.0)).fold(0.0, f64::max);
    assert!((steepest - 1.178097).abs() < 1e-6, "{steepest}");
    for (e, want, bound) in
        [((0.2, 0.0), 0.075392, 1.147193), ((0.0, 0.3), 0.489605, 11.758), ((-0.1, 0.2), 0.219821, 4.706)]
    {
        let (n, mut mean, mut sd, mut motion) = (1000, 0.0, 1.0, 0.0);
        let h = 1.0 / f64::from(n);
        let rate = |t: f64, mean: f64, sd: f64| ((slope(t) + e.1) * mean + e.0, (slope(t) + e.1) * sd);
        for k in 0..n {
            let t = h * f64::from(k);
            let (m1, s1) = rate(t, mean, sd);
            let (m2, s2) = rate(t + h / 2.0, mean + h / 2.0 * m1, sd + h / 2.0 * s1);
            let (m3, s3) = rate(t + h / 2.0, mean + h / 2.0 * m2, sd + h / 2.0 * s2);
            let (m4, s4) = rate(t + h, mean + h * m3, sd + h * s3);
            mean += h / 6.0 * (m1 + 2.0 * m2 + 2.0 * m3 + m4);
            sd += h / 6.0 * (s1 + 2.0 * s2 + 2.0 * s3 + s4);
            motion += 0.5 * h * (e.0 * e.0 + e.1 * e.1 * path.marginal(t + h / 2.0).unwrap().covariance()[0]);
        }
        let w2 = mean * mean + (sd - 2.0f64).powi(2);
        let got = Excess { motion, score: 0.0 }.w2_bound(steepest + e.1);
        assert!((w2 - want).abs() < 0.6e-6 && (got / bound - 1.0).abs() < 1e-4 && w2 <= got, "{w2} {want} {got}");
    }
}

#[test]
fn the_jackknife_takes_the_bias_of_few_paths_away() {
    // Log-weights N(-1/2, 1) have mean weight 1. From 20 paths the plain estimate is low by (e - 1)/40 = 0.043.
    let (paths, points) = (20, 4000);
    let mut a = vec![0f32; paths * points];
    RngKey::new(71).fill_normal(0, 1, &mut a);
    let a: Vec<_> = a.iter().map(|&v| f64::from(v) - 0.5).collect();
    let average = |values: Vec<f64>| values.iter().sum::<f64>() / values.len() as f64;
    let plain = average(a.chunks(paths).map(|own| LogWeights::new(own.to_vec()).log_mean_exp().value).collect());
    let finite = PathForm::FeynmanKac.estimates(&a, paths).unwrap();
    let corrected = average(finite.iter().map(|e| e.value).collect());
    // A point's estimate has deviation 0.28; the mean of 4000 has 0.0045. The next order of the bias is 0.01.
    assert!(
        plain < -0.03 && corrected.abs() < 4.0 * 0.0045 + 0.01 && corrected.abs() < 0.5 * plain.abs(),
        "{plain} {corrected}"
    );
    assert!(PathForm::Energy.estimate(&[1.0]).is_err());
    let bits = bits_per_dimension(cross_entropy(&[-2.0, -4.0]), 3);
    assert!((bits.value - 1.0 / std::f64::consts::LN_2).abs() < 1e-15 && bits.se > 0.0);
}
