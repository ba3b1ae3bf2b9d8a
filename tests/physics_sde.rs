//! Laws of the SDE solvers: weak and strong orders, exact moments on a device, noise that can be replayed.
mod common;

use ergodic::Result;
use ergodic::dynamics::ode::{Grid, Rates};
use ergodic::dynamics::sde::{Diffusion, Method, Retrace};
use ergodic::gpu::{Gpu, Tensor};
use ergodic::graph::{DType, Feeds, Graph, Var};
use ergodic::random::RngKey;

const METHODS: [Method; 3] = [Method::EulerMaruyama, Method::Heun, Method::Trapezoid];
/// `dX = -RATE (X - cos t) dt + sqrt(2 eps(t)) dW`, `eps = 0.3 + t^2`.
const RATE: f64 = 1.5;

fn drift<'g>(t: Var<'g>, x: Var<'g>) -> Result<Rates<'g>> {
    Ok(Rates::of((x - t.cos()) * -RATE))
}

fn epsilon(t: Var<'_>) -> Result<Var<'_>> {
    Ok(t.square() + 0.3)
}

/// Exact mean and variance at `to` from a point at `from`; time may run backwards.
fn exact(x0: f64, from: f64, to: f64) -> (f64, f64) {
    // Moment equations by RK4 in f64, 4000 steps: 1e-13.
    let (n, mut m, mut v) = (4000, x0, 0.0);
    let h = (to - from) / f64::from(n);
    let rate = |t: f64, m: f64, v: f64| (-RATE * (m - t.cos()), -2.0 * RATE * v + h.signum() * 2.0 * (0.3 + t * t));
    for k in 0..n {
        let t = from + h * f64::from(k);
        let (m1, v1) = rate(t, m, v);
        let (m2, v2) = rate(t + h / 2.0, m + h / 2.0 * m1, v + h / 2.0 * v1);
        let (m3, v3) = rate(t + h / 2.0, m + h / 2.0 * m2, v + h / 2.0 * v2);
        let (m4, v4) = rate(t + h, m + h * m3, v + h * v3);
        m += h / 6.0 * (m1 + 2.0 * m2 + 2.0 * m3 + m4);
        v += h / 6.0 * (v1 + 2.0 * v2 + 2.0 * v3 + v4);
    }
    (m, v)
}

/// Exact mean and variance of a method's own law: its step is `x -> r x + s + q xi`, read off the graph in f64.
fn moments(method: Method, x0: f64, grid: Grid) -> (f64, f64) {
    let g = Graph::new();
    let (t, after, h) = (g.input("t", []), g.input("after", []), g.input("h", []));
    let (x, noise) = (g.input("x", [3, 1]), g.input("noise", [3, 1]));
    let step = method.step((t, after), h, x, noise, drift).unwrap();
    let (mut mean, mut variance) = (x0, 0.0);
    let size = grid.step_size();
    for k in 0..grid.steps {
        let middle = grid.time(k) + size / 2.0;
        let amplitude = (2.0 * (0.3 + middle * middle) * size.abs()).sqrt();
        let feeds = Feeds::new().tensor("t", grid.time(k)).tensor("after", grid.time(k + 1)).tensor("h", size);
        let feeds = feeds.tensor("x", &[0.0, 1.0, 0.0]).tensor("noise", &[0.0, 0.0, amplitude]);
        let got = &g.eval_f64(&[step.x], &feeds).unwrap()[0].data;
        let (s, r, q) = (got[0], got[1] - got[0], got[2] - got[0]);
        (mean, variance) = (r * mean + s, r * r * variance + q * q);
    }
    (mean, variance)
}

#[test]
fn moments_converge_with_the_weak_order_forwards_and_backwards() {
    // Orders of the mean and of the variance.
    for (method, orders) in METHODS.into_iter().zip([(1.0, 1.0), (2.0, 1.0), (2.0, 2.0)]) {
        for (from, to) in [(0.0, 1.0), (1.0, 0.0)] {
            let want = exact(0.5, from, to);
            let error = |steps| {
                let got = moments(method, 0.5, Grid::new(from, to, steps));
                ((got.0 - want.0).abs(), (got.1 - want.1).abs())
            };
            let (coarse, fine) = (error(64), error(128));
            let slopes = ((coarse.0 / fine.0).log2(), (coarse.1 / fine.1).log2());
            // The next order is a step smaller: 1/64 and its multiples.
            assert!((slopes.0 - orders.0).abs() < 0.2, "{method:?} {from}: mean {slopes:?}");
            assert!((slopes.1 - orders.1).abs() < 0.2, "{method:?} {from}: variance {slopes:?}");
        }
    }
}

fn read(tensor: &Tensor) -> Vec<f64> {
    tensor.read::<f32>().unwrap().wait().unwrap().into_iter().map(f64::from).collect()
}

/// Mean and variance with their standard errors.
fn sampled(x: &[f64]) -> [(f64, f64); 2] {
    let n = x.len() as f64;
    let mean = x.iter().sum::<f64>() / n;
    let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
    [(mean, (variance / n).sqrt()), (variance, variance * (2.0 / n).sqrt())]
}

const N: usize = 40_000;

fn points(gpu: &Gpu, value: f32) -> Tensor {
    Tensor::from_slice(gpu, "start", &[N, 1], &vec![value; N]).unwrap()
}

#[test]
fn devices_sample_the_methods_own_law() {
    for (tier, gpu) in common::gpus() {
        for method in METHODS {
            let g = Graph::new();
            let walk = Diffusion::new(&gpu, g.input("x", [N, 1]), method, drift, epsilon).unwrap();
            assert!(walk.report().loops_over_steps(), "{tier} {method:?}");
            for (from, to) in [(0.0, 1.0), (1.0, 0.0)] {
                let grid = Grid::new(from, to, 16);
                let end = walk.solve(&points(&gpu, 0.5), grid, RngKey::new(11)).unwrap();
                let [mean, variance] = sampled(&read(end.points().unwrap()));
                let want = moments(method, 0.5, grid);
                // Four standard errors; f32 rounding, 16 eps, is far below.
                assert!((mean.0 - want.0).abs() < 4.0 * mean.1, "{tier} {method:?}: {mean:?} {want:?}");
                assert!((variance.0 - want.1).abs() < 4.0 * variance.1, "{tier} {method:?}: {variance:?} {want:?}");
            }
        }
    }
}

#[test] // the control: the exact law is told apart from a first-order method's at 16 steps
fn a_first_order_method_misses_the_exact_variance_at_large_steps() {
    let gpu = common::gpu();
    let g = Graph::new();
    let walk = Diffusion::new(&gpu, g.input("x", [N, 1]), Method::EulerMaruyama, drift, epsilon).unwrap();
    let end = walk.solve(&points(&gpu, 0.5), Grid::new(0.0, 1.0, 8), RngKey::new(11)).unwrap();
    let [_, variance] = sampled(&read(end.points().unwrap()));
    assert!((variance.0 - exact(0.5, 0.0, 1.0).1).abs() > 8.0 * variance.1, "{variance:?}");
}

/// Root mean square distance, in f64, between a method with coarse steps and with 64 times finer ones on the same noise.
fn strong_error(method: Method, steps: u32) -> f64 {
    const FINE: u32 = 64;
    let g = Graph::new();
    let (t, after, h) = (g.input("t", []), g.input("after", []), g.input("h", []));
    let (x, noise) = (g.input("x", [500, 1]), g.input("noise", [500, 1]));
    // Not linear, so that no method is exact in any part.
    let step = method.step((t, after), h, x, noise, |t, x| Ok(Rates::of((x * 2.0 + t).sin() * -1.5))).unwrap();
    let all = 16 * FINE;
    let tiny = 1.0 / f64::from(all);
    let increments: Vec<Vec<f64>> = (0..all)
        .map(|k| {
            let mut xi = vec![0.0; 500];
            RngKey::new(9).fill_normal(k, 1, &mut xi);
            xi.iter().map(|&v| f64::from(v) * (2.0 * 0.4 * tiny).sqrt()).collect()
        })
        .collect();
    let path = |steps: u32| {
        let (per, size) = ((all / steps) as usize, 1.0 / f64::from(steps));
        let mut feeds = Feeds::new().tensor("x", vec![0.3; 500]).tensor("h", size);
        for (k, part) in increments.chunks(per).enumerate() {
            feeds.set("t", size * k as f64);
            feeds.set("after", size * (k + 1) as f64);
            feeds.set("noise", (0..500).map(|i| part.iter().map(|p| p[i]).sum::<f64>()).collect::<Vec<_>>());
            g.eval_step(&[("x", step.x)], &mut feeds).unwrap();
        }
        feeds.get("x").unwrap().to_vec()
    };
    let (coarse, fine) = (path(steps), path(all));
    (coarse.iter().zip(&fine).map(|(a, b)| (a - b).powi(2)).sum::<f64>() / 500.0).sqrt()
}

#[test]
fn paths_converge_with_strong_order_one() {
    for method in METHODS {
        let slope = (strong_error(method, 4) / strong_error(method, 16)).log2() / 2.0;
        // Over two halvings, with an error of the reference of a 64th and a sampling error of 1/sqrt(1000) of the slope.
        assert!((0.85..1.6).contains(&slope), "{method:?}: strong order {slope}");
    }
}

#[test]
fn the_same_key_is_the_same_path_whole_or_in_pieces_and_another_is_not() {
    let gpu = common::gpu();
    let g = Graph::new();
    let walk = Diffusion::new(&gpu, g.input("x", [N, 1]), Method::Heun, drift, epsilon).unwrap();
    let (start, grid) = (points(&gpu, 0.5), Grid::new(0.0, 1.0, 20));
    let end = |key| read(walk.solve(&start, grid, RngKey::new(key)).unwrap().points().unwrap());
    let whole = end(1);
    let mut pieces = walk.begin(&start, grid, RngKey::new(1)).unwrap();
    [0..7, 7..8, 8..20].into_iter().for_each(|steps| pieces.advance(steps).unwrap());
    assert_eq!(whole, read(pieces.points().unwrap()));
    assert_ne!(whole, end(2));
}

#[test]
fn retracing_meets_the_start_to_first_order_or_better() {
    let gpu = common::gpu();
    for method in METHODS {
        let g = Graph::new();
        let x = g.input("x", [N, 1]);
        let (walk, back) = (
            Diffusion::new(&gpu, x, method, drift, epsilon).unwrap(),
            Retrace::new(&gpu, x, method, drift, epsilon).unwrap(),
        );
        let miss = |steps, key| {
            let grid = Grid::new(0.0, 1.0, steps);
            let end = walk.solve(&points(&gpu, 0.5), grid, RngKey::new(1)).unwrap();
            let start = back.solve(end.points().unwrap(), grid, RngKey::new(key)).unwrap();
            let x = read(start.points().unwrap());
            (x.iter().map(|x| (x - 0.5).powi(2)).sum::<f64>() / N as f64).sqrt()
        };
        let slope = (miss(16, 1) / miss(64, 1)).log2() / 2.0;
        // The trapezoid rule is its own inverse up to h^4 a step where the drift is linear, so it does better.
        let most = if method == Method::Trapezoid { 3.2 } else { 1.6 };
        assert!((0.85..most).contains(&slope), "{method:?}: {slope}");
        assert!(miss(64, 2) > 1.0, "other noise leads elsewhere");
    }
}

#[test]
fn noise_that_is_not_there_leaves_the_ode() {
    let gpu = common::gpu();
    let g = Graph::new();
    let walk = Diffusion::new(&gpu, g.input("x", [4, 1]), Method::Heun, drift, |t| Ok(t * 0.0)).unwrap();
    let start = Tensor::zeros(&gpu, "start", &[4, 1], DType::F32).unwrap();
    let end = walk.solve(&start, Grid::new(0.0, 1.0, 128), RngKey::new(1)).unwrap();
    let (mean, _) = moments(Method::Heun, 0.0, Grid::new(0.0, 1.0, 128));
    // 128 additions to a number below 1.
    assert!((read(end.points().unwrap())[0] - mean).abs() < 128.0 * f64::from(f32::EPSILON));
}
