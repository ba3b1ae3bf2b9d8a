//! Diffusions of known fields: marginals in both directions of time, likelihoods by paths, mirrors and point masses.
mod common;
mod interpolant_support;

use ergodic::autodiff::{Trace, divergence};
use ergodic::dynamics::LogWeights;
use ergodic::dynamics::ode::{FixedStep, Grid, Method, Rates};
use ergodic::dynamics::sde::{self, Diffusion};
use ergodic::gpu::Gpu;
use ergodic::graph::{Graph, Var};
use ergodic::methods::interpolant::{Fields, GaussianMixture, MixturePath, Schedule};
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

/// Along paths backwards from `x` at time 1: what the fields give to a log-likelihood, and the density at the path's start.
///
/// `field` says how fast the log-weight grows as time goes back.
fn log_weights<'g>(
    gpu: &Gpu,
    g: &'g Graph,
    path: &MixturePath,
    x: f64,
    drift: impl Fn(&Fields<'g>, Var<'g>) -> Var<'g>,
    rate: impl Fn(&Fields<'g>, Var<'g>) -> Var<'g>,
) -> Vec<f64> {
    let theta = theta(g, path);
    let walk = Diffusion::new(
        gpu,
        g.input("x", [PATHS, 1]),
        sde::Method::Trapezoid,
        |t, x| {
            let fields = path.fields(theta, t.broadcast_to([PATHS, 1]), x)?;
            let epsilon = g.constant(EPSILON);
            let spread = divergence(fields.forward_drift(epsilon), x, Trace::Exact)?;
            Ok(Rates::of(drift(&fields, epsilon)).and(rate(&fields, spread)))
        },
        |_| Ok(g.constant(EPSILON)),
    );
    let walk = walk.unwrap().bind("theta", &parameters(gpu, path));
    let start = tensor(gpu, &vec![x; PATHS], 1);
    let end = walk.solve(&start, Grid::new(1.0, 0.0, 400), RngKey::new(51)).unwrap();
    // Time runs backwards, so the integral is minus that from 0 to 1.
    let along = end.integral(0).unwrap();
    let starts = read(end.points().unwrap());
    starts.iter().zip(along).map(|(x0, along)| path.start().log_density(&[*x0]) + along).collect()
}

const PATHS: usize = 20_000;
const EPSILON: f64 = 0.5;

fn mean(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    (mean, (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n / n).sqrt())
}

/// `epsilon |s|^2`, one a row.
fn energy<'g>(fields: &Fields<'g>) -> Var<'g> {
    fields.s.square().sum(1) * EPSILON
}

/// Likelihoods of `x` by the Feynman-Kac form, its Jensen bound, and the two energy forms, with standard errors.
fn likelihoods(gpu: &Gpu, path: &MixturePath, x: f64) -> [(f64, f64); 4] {
    let g = Graph::new();
    let plain = log_weights(gpu, &g, path, x, |f, epsilon| f.forward_drift(epsilon), |_, spread| spread);
    let g = Graph::new();
    let along = log_weights(gpu, &g, path, x, |f, epsilon| f.forward_drift(epsilon), |f, spread| spread - energy(f));
    let g = Graph::new();
    let back = log_weights(gpu, &g, path, x, |f, epsilon| f.backward_drift(epsilon), |f, spread| spread + energy(f));
    let feynman_kac = LogWeights::new(plain.clone()).log_mean_exp();
    [(feynman_kac.value, feynman_kac.se), mean(&plain), mean(&along), mean(&back)]
}

#[test]
fn paths_give_the_likelihood_in_three_forms() {
    let gpu = common::gpu();
    let normal = MixturePath::between(
        linear(root(1.0)),
        GaussianMixture::normal(1).unwrap(),
        GaussianMixture::isotropic(&[1.0], &[vec![1.0]], &[0.25]).unwrap(),
    );
    let mixtures = one_dimensional(linear(root(1.0)));
    let mut tested = vec![(normal.unwrap(), 0.4)];
    tested.extend([-6.0, -3.0, 0.0, 2.0].map(|x| (mixtures.clone(), x)));
    for (path, x) in tested {
        let exact = path.end().log_density(&[x]);
        let [feynman_kac, jensen, along, back] = likelihoods(&gpu, &path, x);
        // The standard error is infinite where few paths carry the weight (between modes): then it says so, and proves nothing.
        let finite = [0.4, -6.0, 0.0].contains(&x);
        assert_eq!(feynman_kac.1.is_finite(), finite, "{x}: {feynman_kac:?}");
        for (value, se) in [feynman_kac, along, back] {
            // Four standard errors, and the method's bias: 400 steps of second order, (20/400)^2 of the rates' size 20 at worst.
            assert!((value - exact).abs() < 4.0 * se + 0.005, "{x}: {value} +- {se}, exact {exact}");
        }
        // Jensen's bound is a bound, and useless as a likelihood.
        assert!(jensen.0 + 4.0 * jensen.1 < exact - 0.5, "{x}: {jensen:?} {exact}");
    }
}
