//! Densities by flows: affine maps of both ends, learned densities that integrate to one, likelihoods that rise as the objective
//! falls.
mod common;
mod interpolant_support;

use common::gpu;
use ergodic::dynamics::ode::{Method, Solver};
use ergodic::gpu::{Gpu, Tensor};
use ergodic::graph::Graph;
use ergodic::methods::interpolant::{
    Draws, Field, FieldNet, FieldTrainer, FitConfig, Flow, Gamma, GaussianMixture, Interpolant, MixturePath, Pairing,
    Schedule, Source,
};
use ergodic::nn::{Activation, LearningRate};
use ergodic::plan::{Bindings, CompileOptions, Plan, Session};
use ergodic::random::RngKey;
use interpolant_support::*;
use std::sync::OnceLock;

type Matrix = [f64; 4];

fn times(a: Matrix, x: &[f64]) -> Vec<f64> {
    vec![a[0] * x[0] + a[1] * x[1], a[2] * x[0] + a[3] * x[1]]
}

/// Turned by 0.7, made 1.6 times as wide, moved.
fn map() -> (Matrix, [f64; 2]) {
    let (s, (sin, cos)) = (1.6, 0.7f64.sin_cos());
    ([s * cos, -s * sin, s * sin, s * cos], [0.8, -1.1])
}

/// `A m + c` and `A C A'` of every mode.
fn moved(mixture: &GaussianMixture) -> GaussianMixture {
    let (a, c) = map();
    let means: Vec<_> = (0..mixture.n_modes()).map(|k| shifted(times(a, mixture.mode_mean(k)), c, 1.0)).collect();
    let covariance = |k: usize| {
        let m = mixture.mode_covariance(k);
        // Rows of A C, then of (A C) A'.
        let half = [times(a, &[m[0], m[2]]), times(a, &[m[1], m[3]])];
        let [first, second] = [0, 1].map(|i| times(a, &[half[0][i], half[1][i]]));
        vec![first[0], first[1], second[0], second[1]]
    };
    let covariances: Vec<_> = (0..mixture.n_modes()).map(covariance).collect();
    GaussianMixture::new(mixture.weights(), &means, &covariances).unwrap()
}

fn shifted(x: Vec<f64>, c: [f64; 2], part: f64) -> Vec<f64> {
    vec![x[0] + part * c[0], x[1] + part * c[1]]
}

/// Two modes in the plane that share no axes.
fn two() -> GaussianMixture {
    GaussianMixture::new(
        &[0.6, 0.4],
        &[vec![1.5, 0.0], vec![-1.0, 1.0]],
        &[vec![0.3, 0.1, 0.1, 0.4], vec![0.5, -0.2, -0.2, 0.3]],
    )
    .unwrap()
}

const POINTS: [f64; 14] = [0.3, -0.2, -1.0, 0.5, 1.2, 1.1, 0.0, 0.0, 2.0, -0.5, -1.4, 1.6, 0.9, 0.3];

fn narrow(x: &[f64]) -> Vec<f32> {
    x.iter().map(|&v| v as f32).collect()
}

fn rk4(steps: u32) -> Solver {
    Solver::Fixed { method: Method::Rk4, steps }
}

#[test]
fn an_affine_map_of_both_ends_moves_velocities_along() {
    let ((a, c), normal) = (map(), GaussianMixture::normal(2).unwrap());
    for schedule in [linear(Gamma::Zero), Schedule::Trig { gamma: Gamma::Zero }] {
        let path = MixturePath::between(schedule, normal.clone(), two()).unwrap();
        let other = MixturePath::between(schedule, moved(&normal), moved(&two())).unwrap();
        for (t, x) in [0.0, 0.2, 0.5, 0.9, 1.0].into_iter().flat_map(|t| POINTS.chunks(2).map(move |x| (t, x))) {
            // x_t = alpha x_0 + beta x_1 moves by A x_t + (alpha + beta) c.
            let k = schedule.at(t);
            let there = shifted(times(a, x), c, k.alpha + k.beta);
            let want = shifted(times(a, &path.at(t, x).unwrap().v), c, k.alpha_dot + k.beta_dot);
            let got = other.at(t, &there).unwrap().v;
            for (got, want) in got.iter().zip(&want) {
                // Some fifty operations on numbers below 10, and exponents whose rounding is multiplied by distances below 10.
                assert!((got - want).abs() < 5e3 * f64::EPSILON, "{schedule:?} {t} {x:?}: {got} {want}");
            }
        }
    }
}

#[test]
fn an_affine_map_of_both_ends_moves_points_along_and_likelihoods_by_its_determinant() {
    let (gpu, (a, c), normal) = (gpu(), map(), GaussianMixture::normal(2).unwrap());
    let run = |start: GaussianMixture, end: GaussianMixture, x: &[f64]| {
        let path = MixturePath::between(linear(Gamma::Zero), start.clone(), end).unwrap();
        let n = path.n_params().unwrap();
        let flow = Flow::with_density(&gpu, (x.len() / 2, 2), &rk4(100), |g, t, x| {
            Ok(path.fields(g.input("theta", [n]), t.broadcast_to([x.shape()[0], 1]), x)?.b)
        });
        let flow = flow.unwrap().bind("theta", &parameters(&gpu, &path));
        let ends = flow.carry(&narrow(x), (0.0, 1.0)).unwrap().x;
        (ends, flow.log_likelihoods(&narrow(x), &Source::Mixture(start), (0.0, 1.0)).unwrap())
    };
    let (ends, logs) = run(normal.clone(), two(), &POINTS);
    let there: Vec<f64> = POINTS.chunks(2).flat_map(|x| shifted(times(a, x), c, 1.0)).collect();
    let (moved_ends, moved_logs) = run(moved(&normal), moved(&two()), &there);
    // Steps of Runge and Kutta commute with affine maps, so only rounding differs: an ulp of 4 in each of 100 steps.
    let bound = 100.0 * EPS * 4.0;
    for (got, x) in moved_ends.chunks(2).zip(ends.chunks(2)) {
        let want = shifted(times(a, &[x[0].into(), x[1].into()]), c, 1.0);
        for (got, want) in got.iter().zip(&want) {
            assert!((f64::from(*got) - want).abs() < bound, "{got} {want}");
        }
    }
    let log_det = 2.0 * 1.6f64.ln();
    for ((got, log), x) in moved_logs.iter().zip(&logs).zip(POINTS.chunks(2)) {
        // Rounding of a point is multiplied by the score, below 10 here.
        assert!((got - (log - log_det)).abs() < 20.0 * bound, "{x:?}: {got} {log}");
        // And both are the density itself (F5): a hundred steps of fourth order err by 1e-5.
        assert!((log - two().log_density(x)).abs() < 1e-3, "{x:?}: {log} {}", two().log_density(x));
    }
    assert!((moved_logs[0] - logs[0]).abs() > 0.5, "the control: without the determinant they differ");
}

#[test]
fn the_exact_trace_holds_in_sixty_four_dimensions() {
    // v = (c + S) x with S' = -S turns space and widens it by exp(c): log rho(1, x) = log N(exp(-c) x) - 64 c.
    let (gpu, d, n, c) = (gpu(), 64, 5, 0.25);
    let entry = |i: usize, j: usize| f64::from(RngKey::new(3).normal(i.min(j) as u32, i.max(j) as u32, 0)) * 0.1;
    let skew = |i: usize, j: usize| if i < j { entry(i, j) } else { -entry(i, j) };
    // Rows are multiplied from the right, by the transpose.
    let matrix: Vec<f64> = (0..d * d).map(|at| if at % d == at / d { c } else { skew(at % d, at / d) }).collect();
    let mut x = vec![0f32; n * d];
    RngKey::new(4).fill_normal(0, d, &mut x);
    let flow = Flow::with_density(&gpu, (n, d), &rk4(40), |g, _, x| Ok(x.matmul(g.input("a", [d, d]))));
    let flow = flow.unwrap().bind("a", &tensor(&gpu, &matrix, d));
    let found = flow.log_likelihoods(&x, &Source::Normal(d), (0.0, 1.0)).unwrap();
    for (row, found) in x.chunks(d).zip(found) {
        let square: f64 = row.iter().map(|&v| f64::from(v).powi(2)).sum();
        let want = -0.5 * ((-2.0 * c).exp() * square + d as f64 * std::f64::consts::TAU.ln()) - d as f64 * c;
        // The spectrum of S reaches 0.1 * 2 sqrt(64) = 1.6: forty steps err by 1.6^5/40^4/120 of a norm of 64, and rounding of
        // as many steps by 40 eps of it.
        let bound = 64.0 * (1.6f64.powi(5) / 40f64.powi(4) / 120.0 + 40.0 * EPS);
        assert!((found - want).abs() < bound, "{found} {want}, bound {bound:e}");
    }
}

fn net() -> FieldNet {
    // More than 64 units: a small layer would be compiled for a minute by a software adapter.
    FieldNet::new(2, &[80], Activation::Silu).unwrap()
}

fn path() -> Interpolant {
    Interpolant::new(Schedule::OneSidedTrig, None, Source::Mixture(two())).unwrap()
}

/// Steps after which the velocity is looked at.
const LOOKS: [u64; 3] = [10, 60, 300];

/// Parameters at each look of one training.
fn stages() -> &'static [Vec<f32>] {
    static STAGES: OnceLock<Vec<Vec<f32>>> = OnceLock::new();
    STAGES.get_or_init(|| {
        let fit = FitConfig {
            batch: 512,
            steps: 300,
            learning_rate: LearningRate::cosine(1e-2, 0.0, 300),
            pairing: Pairing::Single,
            look_every: 10,
            ..FitConfig::default()
        };
        let span = (0.0, 1.0);
        let mut v = FieldTrainer::new(&gpu(), &path(), Field::B, &net(), span, &fit, RngKey::new(4)).unwrap();
        let look = |steps: u64| {
            v.run(steps - v.step()).unwrap();
            v.loss().unwrap();
            v.parameters().unwrap().read().unwrap().wait().unwrap()
        };
        LOOKS.map(look).to_vec()
    })
}

fn on(gpu: &Gpu, theta: &[f32]) -> Tensor {
    Tensor::from_slice(gpu, "theta", &[theta.len()], theta).unwrap()
}

fn flow(gpu: &Gpu, rows: usize, steps: u32, theta: &[f32]) -> Flow {
    let made = Flow::with_density(gpu, (rows, 2), &rk4(steps), |g, t, x| {
        net().apply(g.input("theta", [net().n_params()]), t, x)
    });
    made.unwrap().bind("theta", &on(gpu, theta))
}

fn mean(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    (mean, (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0) / n).sqrt())
}

#[test]
fn a_learned_density_integrates_to_one() {
    let gpu = gpu();
    let (n, most) = (48, 6.0);
    let at = |k: usize| most * (2.0 * (k as f64 + 0.5) / n as f64 - 1.0);
    let cells: Vec<f64> = (0..n * n).flat_map(|k| [at(k % n), at(k / n)]).collect();
    let flow = flow(&gpu, n * n, 20, &stages()[2]);
    let log = flow.log_likelihoods(&narrow(&cells), &Source::Normal(2), (0.0, 1.0)).unwrap();
    let cell = (2.0 * most / n as f64).powi(2);
    let mass: f64 = log.iter().map(|log| log.exp() * cell).sum();
    // Cells of side 1/4 under modes of deviation 0.5 and more: the error of rectangles is exp(-2 (pi 0.5 / 0.25)^2), nothing; at
    // distance 6 a normal is below 1e-7; twenty steps of fourth order err by 1e-4.
    assert!((mass - 1.0).abs() < 1e-3, "{mass}");
    // The control: without the divergence it is no density.
    let back = flow.carry(&narrow(&cells), (1.0, 0.0)).unwrap();
    let base = |x: &[f32]| Source::Normal(2).log_density(&[x[0].into(), x[1].into()]).unwrap();
    let wrong: f64 = back.x.chunks(2).map(|x| base(x).exp() * cell).sum();
    assert!((wrong - 1.0).abs() > 0.1, "{wrong}");
}

#[test]
fn a_learned_flow_there_and_back_returns_to_fourth_order_or_better() {
    let (gpu, starts) = (gpu(), narrow(&POINTS));
    let off = |steps: u32| {
        let flow = flow(&gpu, 7, steps, &stages()[2]);
        let there = flow.carry(&starts, (1.0, 0.0)).unwrap();
        let back = flow.carry(&there.x, (0.0, 1.0)).unwrap();
        assert_eq!(back.log_density_gain.len(), 7);
        back.x.iter().zip(&starts).map(|(a, b)| f64::from((a - b).abs())).fold(0.0, f64::max)
    };
    let (coarse, fine, finest) = (off(4), off(8), off(64));
    assert!(coarse / fine > 8.0, "{coarse} {fine}: half the step, at most an eighth of the error");
    // An ulp of 2 in each of 128 steps.
    assert!(finest < 128.0 * EPS * 2.0, "{finest}");
}

/// `|v_hat - v|^2` at fresh points of the path, `[n]`.
fn direct_errors(gpu: &Gpu, exact: &MixturePath, theta: &[f32], n: usize, key: RngKey) -> Vec<f64> {
    let g = Graph::new();
    let draws: Draws<'_> = path().draws(&g, g.key("key"), n, (0.0, 1.0)).unwrap();
    let x = draws.point(1.0);
    let learned = net().apply(g.input("theta", [net().n_params()]), draws.t, x).unwrap();
    let known = exact.fields(g.input("exact", [exact.n_params().unwrap()]), draws.t, x).unwrap().b;
    let errors = (learned - known).square().sum(1);
    let plan = Plan::compile(gpu, &[("errors", errors)], &CompileOptions::default()).unwrap();
    let bindings = Bindings::new().key("key", key).tensor("theta", &on(gpu, theta));
    let bindings = path().bind(gpu, bindings.tensor("exact", &parameters(gpu, exact))).unwrap();
    let mut session = Session::new(&plan, bindings).unwrap();
    session.run(1).unwrap();
    session.check().unwrap();
    session.read::<f32>("errors").unwrap().wait().unwrap().into_iter().map(f64::from).collect()
}

#[test]
fn likelihoods_rise_as_the_objective_falls_and_its_gap_is_the_error() {
    let (gpu, n, key) = (gpu(), 40_000, RngKey::new(6));
    let exact = MixturePath::to(Schedule::OneSidedTrig, two()).unwrap();
    let of = (Field::B, Pairing::Single, (0.0, 1.0));
    // G is twice the library's loss; the same draws for all.
    let least = path().losses(of, (n, key), &parameters(&gpu, &exact), |theta, t, x| Ok(exact.fields(theta, t, x)?.b));
    let least = least.unwrap();
    let x = two().sample(4000, RngKey::new(7));
    let truth: Vec<f64> = x.chunks(2).map(|x| two().log_density(&[x[0].into(), x[1].into()])).collect();
    let (mut before, mut gaps) = (None::<[Vec<f64>; 2]>, vec![]);
    for theta in stages() {
        let losses = path().losses(of, (n, key), &on(&gpu, theta), |theta, t, x| net().apply(theta, t, x)).unwrap();
        let excess: Vec<f64> = losses.iter().zip(&least).map(|(l, m)| 2.0 * (l - m)).collect();
        let ((gap, gap_se), (h, h_se)) = (mean(&excess), mean(&direct_errors(&gpu, &exact, theta, n, key)));
        assert!((gap - h).abs() < 4.0 * gap_se.hypot(h_se), "{gap} +- {gap_se}, {h} +- {h_se}");
        gaps.push((gap, h));
        let log = flow(&gpu, 4000, 20, theta).log_likelihoods(&x, &Source::Normal(2), (0.0, 1.0)).unwrap();
        let kl: Vec<f64> = truth.iter().zip(&log).map(|(truth, log)| truth - log).collect();
        let (value, se) = mean(&kl);
        assert!(value > -4.0 * se, "{value} +- {se}: nothing is likelier than the density itself");
        if let Some(before) = before.replace([excess.clone(), kl.clone()]) {
            // Draws and points are the same at every look, and only what was learned differs.
            for (before, now) in before.iter().zip([&excess, &kl]) {
                let (drop, se) = mean(&before.iter().zip(now).map(|(a, b)| a - b).collect::<Vec<_>>());
                assert!(drop > 4.0 * se, "{drop} +- {se}");
            }
        }
    }
    // Within a tenth where the noise of 40,000 draws, a fortieth of the gap, leaves that to be seen.
    for (gap, h) in &gaps[..2] {
        assert!((gap / h - 1.0).abs() < 0.1, "{gap} {h}");
    }
}
