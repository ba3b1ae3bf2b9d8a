//! Paths that are optimised against a drift: gradients, Schrodinger bridges and transport between Gaussians, runs that are cut.
mod common;

use common::gpu;
use ergodic::Error;
use ergodic::autodiff::grad;
use ergodic::gpu::{Gpu, Tensor};
use ergodic::graph::{Feeds, Graph};
use ergodic::methods::interpolant::{
    Bridge, BridgeFit, BridgeTrainer, DriftSpec, Family, Gamma, GaussianBridge, GaussianMixture, GridBridge,
    LearnedPath, Noise, Pairing, PathSpec, Schedule, Source,
};
use ergodic::nn::{Activation, LearningRate};
use ergodic::random::RngKey;

const ONE_PERCENT: f64 = 0.01;

fn mean(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    (mean, (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0) / n).sqrt())
}

fn normal(mean: f64, deviation: f64) -> Source {
    Source::Mixture(GaussianMixture::isotropic(&[1.0], &[vec![mean]], &[deviation * deviation]).unwrap())
}

/// The ends of a bridge between Gaussians.
fn ends(of: &GaussianBridge) -> [Source; 2] {
    [0, 1].map(|end| normal(of.means[end], of.deviations[end]))
}

fn fourier(modes: usize, noise: Option<Noise>) -> PathSpec {
    PathSpec { family: Family::Fourier { modes }, noise }
}

fn straight(a: f64) -> PathSpec {
    PathSpec { family: Family::Linear, noise: Some(Noise { a, modes: 0 }) }
}

fn fit(steps: u64, drift: f64, path: f64) -> BridgeFit {
    let rate = |from| LearningRate::cosine(from, 0.0, steps as usize);
    BridgeFit {
        batch: 1024,
        steps,
        drift_rate: rate(drift),
        path_rate: rate(path),
        look_every: 20,
        ..BridgeFit::default()
    }
}

fn tensor(gpu: &Gpu, values: &[f32]) -> Tensor {
    Tensor::from_slice(gpu, "values", &[values.len()], values).unwrap()
}

fn read(tensor: &Tensor) -> Vec<f64> {
    tensor.read::<f32>().unwrap().wait().unwrap().into_iter().map(f64::from).collect()
}

#[test]
fn paths_with_parameters_keep_their_ends_and_know_their_rates() {
    let noise = Some(Noise { a: 1.3, modes: 2 });
    let h = 1e-5;
    for spec in [fourier(3, noise), fourier(1, None), straight(0.7)] {
        let path = LearnedPath::new(&spec, 1).unwrap();
        let phi: Vec<f64> = (0..path.n_params()).map(|i| 0.3 * (1.7 * i as f64).sin()).collect();
        let at = |t| path.at(&phi, t).unwrap();
        let (start, end) = (at(0.0), at(1.0));
        for (got, want) in [(start.alpha, 1.0), (start.beta, 0.0), (end.alpha, 0.0), (end.beta, 1.0)] {
            assert!((got - want).abs() < 1e-15, "{spec:?}: {got} {want}");
        }
        assert!(start.gamma2 == 0.0 && end.gamma2 == 0.0);
        for t in [0.02, 0.3, 0.71, 0.98] {
            let (below, c, above) = (at(t - h), at(t), at(t + h));
            let slope =
                |f: fn(&ergodic::methods::interpolant::Coefficients<f64>) -> f64| (f(&above) - f(&below)) / (2.0 * h);
            // Central differences: h^2 f'''/6 with third derivatives below 1e4, and rounding over h.
            let close = |a: f64, b: f64| (a - b).abs() < h * h * 1e4 + 4.0 * f64::EPSILON / h;
            assert!(close(slope(|c| c.alpha), c.alpha_dot) && close(slope(|c| c.beta), c.beta_dot), "{spec:?} {t}");
            assert!(close(slope(|c| c.gamma2), 2.0 * c.gamma_gamma_dot), "{spec:?} {t}");
            assert!((c.gamma2 > 0.0) == path.has_noise());
            let g = Graph::new();
            let node = path.at_parameters(g.input("phi", [phi.len()]), g.constant(t)).unwrap();
            let all = [node.alpha, node.beta, node.gamma2, node.alpha_dot, node.beta_dot, node.gamma_gamma_dot];
            let values = g.eval_f64(&all, &Feeds::new().tensor("phi", &phi)).unwrap();
            let want = [c.alpha, c.beta, c.gamma2, c.alpha_dot, c.beta_dot, c.gamma_gamma_dot];
            for (got, want) in values.iter().zip(want) {
                assert!((got.data[0] - want).abs() < 1e-13, "{spec:?} {t}: {} {want}", got.data[0]);
            }
        }
    }
}

#[test]
fn a_neural_path_starts_straight_bends_inside_and_knows_its_rate() {
    let hidden = vec![8, 8];
    let spec = PathSpec {
        family: Family::Neural { hidden, activation: Activation::Silu },
        noise: Some(Noise { a: 1.0, modes: 0 }),
    };
    let path = LearnedPath::new(&spec, 2).unwrap();
    let g = Graph::new();
    let (n, h) = (5, 1e-5);
    let inputs = ["x0", "x1", "z"].map(|name| g.input(name, [n, 2]));
    let (phi, t) = (g.input("phi", [path.n_params()]), g.input("t", [n, 1]));
    let draws = path.draws(phi, t, [inputs[0], inputs[1]], inputs[2]).unwrap();
    let x0: Vec<f64> = (0..10).map(|i| (0.9 * f64::from(i)).sin()).collect();
    let x1: Vec<f64> = (0..10).map(|i| 2.0 + (1.3 * f64::from(i)).cos()).collect();
    let at = |phi: &[f64], times: &[f64]| {
        let feeds = Feeds::new().tensor("phi", phi).tensor("t", times).tensor("x0", &x0).tensor("x1", &x1);
        let all = g.eval_f64(&[draws.middle, draws.middle_dot], &feeds.tensor("z", &x0)).unwrap();
        all.into_iter().map(|value| value.data).collect::<Vec<_>>()
    };
    let times = [0.0, 0.2, 0.5, 0.9, 1.0];
    let start: Vec<f64> = path.init(RngKey::new(3)).into_iter().map(f64::from).collect();
    let line = at(&start, &times);
    for i in 0..10 {
        assert!((line[0][i] - (1.0 - times[i / 2]) * x0[i] - times[i / 2] * x1[i]).abs() < 1e-15);
        assert!((line[1][i] - (x1[i] - x0[i])).abs() < 1e-15);
    }
    let phi: Vec<f64> = start.iter().enumerate().map(|(i, v)| v + 0.5 * (0.7 * i as f64).sin()).collect();
    let [bent, rate] = [0, 1].map(|k| at(&phi, &times)[k].clone());
    let moved = |by: f64| at(&phi, &times.map(|t: f64| t + by))[0].clone();
    let (below, above) = (moved(-h), moved(h));
    for i in 0..10 {
        let inside = ![0.0, 1.0].contains(&times[i / 2]);
        assert_eq!((bent[i] - line[0][i]).abs() > 1e-3, inside, "row {}", i / 2);
        // As above.
        assert!(((above[i] - below[i]) / (2.0 * h) - rate[i]).abs() < h * h * 1e4 + 40.0 * f64::EPSILON / h);
    }
}

/// The objective and its gradient in the path, exactly: midpoints in time, and the two-point rule in both ends and the noise,
/// which is exact for what is quadratic in them.
fn exact_objective(bridge: &Bridge, of: &GaussianBridge, phi: &[f64], through_points: bool) -> (f64, Vec<f64>) {
    let (times, signs) = (400, [-1.0, 1.0]);
    let (mut t, mut x0, mut x1, mut z) = (vec![], vec![], vec![], vec![]);
    for k in 0..times {
        for i in 0..4 {
            t.push((f64::from(k) + 0.5) / f64::from(times));
            x0.push(of.means[0] + of.deviations[0] * signs[i / 2]);
            x1.push(of.means[1] + of.deviations[1] * signs[i % 2]);
            z.push(1.0);
        }
    }
    let (g, n) = (Graph::new(), t.len());
    let [theta, path] = bridge.parameters(&g).unwrap();
    let [ts, x0s, x1s, zs] = ["t", "x0", "x1", "z"].map(|name| g.input(name, [n, 1]));
    let mut draws = bridge.path().draws(path, ts, [x0s, x1s], zs).unwrap();
    if !through_points {
        draws.middle = draws.middle.stop_grad();
    }
    let j = bridge.objective(&draws, theta, Pairing::Antithetic).unwrap().mean_all();
    let slope = grad(j, path).unwrap();
    let known = bridge.init(RngKey::new(0)).unwrap()[0].clone();
    let known: Vec<f64> = known.into_iter().map(f64::from).collect();
    let feeds = Feeds::new().tensor("t", &t).tensor("x0", &x0).tensor("x1", &x1).tensor("z", &z);
    let values = g.eval_f64(&[j, slope], &feeds.tensor("drift", &known).tensor("path", phi)).unwrap();
    (values[0].data[0], values[1].data.clone())
}

#[test]
fn the_gradient_of_a_path_at_a_fixed_drift_is_that_of_its_cost() {
    // Numbers that f32 tables of the mixtures hold exactly.
    let noisy = GaussianBridge { means: [0.0, 2.0], deviations: [1.0, 0.5], epsilon: 0.5 };
    let silent = GaussianBridge { epsilon: 0.0, ..noisy };
    for (of, noise) in [(noisy, Some(Noise { a: 1.0, modes: 2 })), (silent, None)] {
        let bridge = Bridge::new(ends(&of), of.epsilon, &fourier(2, noise), &DriftSpec::Known).unwrap();
        let phi: Vec<f64> = (0..bridge.path().n_params()).map(|i| 0.4 * (1.1 + 2.3 * i as f64).sin()).collect();
        let cost = |phi: &[f64]| of.cost_along(|t| bridge.path().at(phi, t)).unwrap();
        let (j, slope) = exact_objective(&bridge, &of, &phi, true);
        // Midpoint rules of 400 and 2000 points: h^2/24 times second derivatives, of some hundreds.
        let midpoint = 1e3 / 24.0 / (400.0 * 400.0);
        assert!((j + cost(&phi)).abs() < midpoint, "{j} {}", cost(&phi));
        let h = 1e-4;
        let moved = |i: usize, by: f64| {
            let mut phi = phi.clone();
            phi[i] += by;
            cost(&phi)
        };
        let differences: Vec<_> = (0..phi.len()).map(|i| (moved(i, h) - moved(i, -h)) / (2.0 * h)).collect();
        let scale = differences.iter().fold(0.0, |most: f64, v| most.max(v.abs()));
        let off = |slope: &[f64]| slope.iter().zip(&differences).fold(0.0, |most: f64, (s, d)| most.max((s + d).abs()));
        let tolerance = midpoint * scale.max(1.0);
        assert!(off(&slope) < tolerance, "{slope:?} {differences:?}");
        // The control: without the way through the points it is another vector.
        let (_, partial) = exact_objective(&bridge, &of, &phi, false);
        assert!(off(&partial) > 20.0 * tolerance, "{partial:?} {differences:?}");
    }
}

#[test]
fn costs_of_linear_paths_are_those_of_theory() {
    let gpu = gpu();
    let of = GaussianBridge { means: [0.0, 2.0], deviations: [1.0, 0.5], epsilon: 0.5 };
    let bridge = Bridge::new(ends(&of), of.epsilon, &straight(1.0), &DriftSpec::Known).unwrap();
    let [theta, mut phi] = bridge.init(RngKey::new(0)).unwrap();
    let theta = tensor(&gpu, &theta);
    for (a, want) in [(0.5, 2.797149), (1.0, 2.721574), (2.0, 2.731920), (of.best_a(), 2.705154)] {
        phi[0] = f64::ln(a) as f32;
        let costs =
            bridge.costs((100_000, RngKey::new(7)), [&theta, &tensor(&gpu, &phi)], Pairing::Antithetic).unwrap();
        let (cost, se) = mean(&costs);
        assert!((cost - want).abs() < 4.0 * se + 0.5e-6, "{a}: {cost} +- {se}, {want}");
        assert!(se < 0.02, "{a}: {se} says nothing"); // the values differ by 0.02 at least
    }
}

/// Trains, and gives the exact cost of the path that was found.
fn played(
    gpu: &Gpu,
    of: &GaussianBridge,
    path: &PathSpec,
    drift: &DriftSpec,
    fit: &BridgeFit,
) -> (BridgeTrainer, Vec<f64>, f64) {
    let bridge = Bridge::new(ends(of), of.epsilon, path, drift).unwrap();
    let mut trainer = BridgeTrainer::new(gpu, &bridge, fit, RngKey::new(11)).unwrap();
    trainer.run(fit.steps).unwrap();
    trainer.cost().unwrap();
    let phi = read(trainer.parameters()[1]);
    let cost = of.cost_along(|t| bridge.path().at(&phi, t)).unwrap();
    (trainer, phi, cost)
}

#[test]
fn the_strength_of_the_noise_is_that_of_the_bridge() {
    let gpu = gpu();
    let first = GaussianBridge { means: [0.0, 2.0], deviations: [1.0, 0.5], epsilon: 0.5 };
    let second = GaussianBridge { means: [0.0, 0.0], deviations: [1.0, 2.0], epsilon: 1.0 };
    for (of, value, best) in [(first, 2.705154, 2f64.sqrt()), (second, 0.051997, 20f64.sqrt())] {
        let (trainer, phi, cost) = played(&gpu, &of, &straight(2.5), &DriftSpec::Known, &fit(300, 0.0, 0.05));
        let a = 2.5 * phi[0].exp();
        assert!((a / best - 1.0).abs() < 2.0 * ONE_PERCENT, "{a} {best}");
        assert!((cost / value - 1.0).abs() < ONE_PERCENT && cost > value - 1e-6, "{cost} {value}");
        let (sampled, se) = mean(&trainer.costs(100_000, RngKey::new(12)).unwrap());
        assert!((sampled - cost).abs() < 4.0 * se, "{sampled} +- {se}, {cost}");
    }
}

#[test]
fn a_learned_drift_and_a_learned_path_find_the_bridge() {
    let gpu = gpu();
    let of = GaussianBridge { means: [0.0, 2.0], deviations: [1.0, 0.5], epsilon: 0.5 };
    let path = fourier(3, Some(Noise { a: 1.0, modes: 1 }));
    let start = of.cost_along(|t| Ok(Schedule::Trig { gamma: Gamma::Root { a: 1.0 } }.at(t))).unwrap();
    // The path comes to rest first, and the drift settles on it.
    let fit = BridgeFit { path_rate: LearningRate::cosine(0.02, 0.0, 600), ..fit(1200, 0.05, 0.0) };
    let (trainer, _, cost) = played(&gpu, &of, &path, &DriftSpec::Affine { degree: 7 }, &fit);
    assert!(start > 1.1 * of.cost(), "{start}: else there was nothing to find");
    // No path is below the optimum, and the one that was found is within 2 % of it.
    assert!(cost < 1.02 * of.cost() && cost > of.cost() - 1e-6, "{cost} {}", of.cost());
    let (n, key) = (100_000, RngKey::new(12));
    let exact = Bridge::new(ends(&of), of.epsilon, &path, &DriftSpec::Known).unwrap();
    let theta = tensor(&gpu, &exact.init(RngKey::new(0)).unwrap()[0]);
    let known = exact.costs((n, key), [&theta, trainer.parameters()[1]], Pairing::Antithetic).unwrap();
    let (sampled, se) = mean(&known);
    assert!((sampled - cost).abs() < 4.0 * se && se < ONE_PERCENT * cost, "{sampled} +- {se}, {cost}");
    // On the same draws the learned drift is off by half its mean squared error.
    let learned = trainer.costs(n, key).unwrap();
    let (excess, se) = mean(&known.iter().zip(&learned).map(|(k, l)| k - l).collect::<Vec<_>>());
    assert!(excess > -4.0 * se && excess < ONE_PERCENT * cost + 4.0 * se, "{excess} +- {se} of {cost}");
    assert!(se < 0.5 * ONE_PERCENT * cost, "{se}: else one percent says nothing");
}

#[test]
fn sine_series_reach_their_least_path_length_and_none_is_below_transport() {
    let gpu = gpu();
    // -G = 2 cost of the best series of M sines, by quadrature and BFGS in f64.
    let table = [
        (1, [1.001871, 4.395548, 13.120651]),
        (3, [1.000001, 4.295666, 13.028756]),
        (7, [1.000005, 4.270877, 13.013822]),
    ];
    for (modes, best) in table {
        for (best, (m, s)) in best.into_iter().zip([(0.0, 2.0), (2.0, 0.5), (3.0, 3.0)]) {
            let of = GaussianBridge { means: [0.0, m], deviations: [1.0, s], epsilon: 0.0 };
            let (_, _, cost) = played(&gpu, &of, &fourier(modes, None), &DriftSpec::Known, &fit(400, 0.0, 0.05));
            let (length, least) = (2.0 * cost, 2.0 * of.cost());
            assert!(length < (1.0 + ONE_PERCENT) * best, "{modes} sines, {of:?}: {length}, best {best}");
            // Quadrature of 2000 points; -G is never below W_2^2, nor below the best of as many sines (but for its digits).
            assert!(length > least - 1e-5 && length > best * (1.0 - 1e-5), "{modes} sines, {of:?}: {length} {least}");
        }
    }
}

#[test]
fn the_drift_from_a_point_is_learned() {
    let (gpu, a, from) = (gpu(), 0.5, 0.5f32);
    let path = PathSpec { family: Family::Fixed(Schedule::PointMass { a }), noise: None };
    let ends = [Source::rows(1, vec![from]).unwrap(), normal(1.5, 0.5)];
    let bridge = |drift| Bridge::new(ends.clone(), a, &path, &drift).unwrap();
    let mut learned =
        BridgeTrainer::new(&gpu, &bridge(DriftSpec::Affine { degree: 8 }), &fit(600, 0.1, 0.0), RngKey::new(5))
            .unwrap();
    learned.run(600).unwrap();
    learned.cost().unwrap();
    let (n, key) = (100_000, RngKey::new(6));
    let known = bridge(DriftSpec::Known);
    let [theta, _] = known.init(RngKey::new(0)).unwrap().map(|values| tensor(&gpu, &values));
    let least = known.costs((n, key), [&theta, &theta], Pairing::Antithetic).unwrap();
    let found = learned.costs(n, key).unwrap();
    // On the same draws: half the mean squared error of the drift, not negative, against half its mean square.
    let (excess, se) = mean(&least.iter().zip(&found).map(|(least, found)| least - found).collect::<Vec<_>>());
    let (cost, _) = mean(&least);
    assert!(excess > -4.0 * se && excess < 0.02 * cost + 4.0 * se, "{excess} +- {se} of {cost}");
    assert!(se < 0.01 * cost, "{se}: else two percent say nothing");
}

#[test]
fn a_game_that_is_cut_goes_on_bit_for_bit() {
    let of = GaussianBridge { means: [0.0, 1.0], deviations: [1.0, 0.5], epsilon: 0.5 };
    let path = fourier(1, Some(Noise { a: 1.0, modes: 0 }));
    let bridge = Bridge::new(ends(&of), of.epsilon, &path, &DriftSpec::Affine { degree: 2 }).unwrap();
    let gpu = gpu();
    let made = || BridgeTrainer::new(&gpu, &bridge, &fit(30, 0.05, 0.02), RngKey::new(2)).unwrap();
    let mut whole = made();
    whole.run(30).unwrap();
    let mut cut = made();
    cut.run(11).unwrap();
    let (step, state) = (cut.step(), cut.state().unwrap());
    let mut again = made();
    again.restore(step, &state).unwrap();
    again.run(1000).unwrap();
    assert_eq!(again.step(), 30, "no step beyond the last");
    assert_eq!(again.state().unwrap(), whole.state().unwrap());
    // The control: a state that is missing, and one of another step.
    assert!(matches!(again.restore(step, &state[1..]), Err(Error::Shape { .. })));
    again.restore(step + 1, &state).unwrap();
    again.run(1000).unwrap();
    assert_ne!(again.state().unwrap(), whole.state().unwrap());
}

#[test]
fn what_means_nothing_is_refused() {
    let ends = || [Source::Normal(1), Source::Normal(1)];
    let made =
        |ends, epsilon, path: &PathSpec, drift| Bridge::new(ends, epsilon, path, &drift).unwrap_err().to_string();
    let known = || DriftSpec::Known;
    let affine = || DriftSpec::Affine { degree: 1 };
    let neural = PathSpec {
        family: Family::Neural { hidden: vec![4], activation: Activation::Tanh },
        noise: Some(Noise { a: 1.0, modes: 0 }),
    };
    let fixed = |schedule| PathSpec { family: Family::Fixed(schedule), noise: None };
    for (text, said) in [
        (made(ends(), -1.0, &straight(1.0), affine()), "epsilon is -1, but must be finite and not negative"),
        (
            made(ends(), 0.5, &fourier(1, None), affine()),
            "epsilon is 0.5 on a path without noise, but must be 0 there: it is divided by gamma",
        ),
        (made(ends(), 0.5, &straight(0.0), affine()), "a of the path's noise is 0, but must be finite and above 0"),
        (
            made(ends(), 0.5, &fixed(Schedule::PointMass { a: 1.0 }), affine()),
            "epsilon is 0.5 on a path from a point with a = 1, but must be that a",
        ),
        (
            made(ends(), 1.0, &fixed(Schedule::PointMass { a: 1.0 }), affine()),
            "start is more than a point, but must be one row",
        ),
        (made(ends(), 0.0, &fourier(0, None), affine()), "number of modes is 0, but must be at least 1"),
        (made(ends(), 0.0, &fixed(Schedule::OneSidedTrig), affine()), "fixed path is OneSidedTrig, but must be"),
        (
            made([Source::Normal(1), Source::Normal(2)], 0.0, &straight(1.0), affine()),
            "shape mismatch in `Bridge`: got 1 dimensions at the start and 2 at the end, want as many at both",
        ),
        (made(ends(), 0.5, &neural, known()), "known drift is asked for on a neural path, but must be learned"),
        (
            made([Source::Normal(2), Source::Checkerboard], 0.5, &straight(1.0), known()),
            "known drift is asked for between ends that are not both mixtures",
        ),
    ] {
        assert!(text.starts_with(said), "{text}");
    }
    let gpu = gpu();
    let trained = |bridge: &Bridge, fit: &BridgeFit| {
        BridgeTrainer::new(&gpu, bridge, fit, RngKey::new(1)).err().map(|error| error.to_string()).unwrap_or_default()
    };
    let silent = Schedule::Linear { gamma: Gamma::Zero };
    let idle = Bridge::new(ends(), 0.0, &fixed(silent), &known()).unwrap();
    assert!(trained(&idle, &fit(9, 0.1, 0.1)).starts_with("bridge is a known drift on a path without parameters"));
    let noisy = Bridge::new(ends(), 0.5, &straight(1.0), &affine()).unwrap();
    let single = BridgeFit { pairing: Pairing::Single, ..fit(9, 0.1, 0.1) };
    assert!(trained(&noisy, &single).starts_with("pairing is single on a path with noise, where 1/gamma"));
    assert!(trained(&noisy, &fit(9, f64::NAN, 0.1)).starts_with("drift_rate is NaN to 0"));
    assert!(trained(&noisy, &fit(9, 0.1, -1.0)).starts_with("path_rate is -1 to 0"));
    assert!(trained(&noisy, &fit(0, 0.1, 0.1)).starts_with("steps is 0"));
}

#[test]
fn the_bridge_on_a_grid_is_that_of_theory() {
    let of = GaussianBridge { means: [0.0, 2.0], deviations: [1.0, 0.5], epsilon: 0.5 };
    let [start, end] = ends(&of);
    let grid = GridBridge::new([&start, &end], of.epsilon, 300).unwrap();
    // The iteration stops at 1e-9 of mass; sums over smooth densities are exact.
    assert!((grid.cost() - of.cost()).abs() < 1e-7, "{} {}", grid.cost(), of.cost());
    let x = grid.places(0);
    let width = x[1] - x[0];
    for (t, want) in [(0.0, 1.0), (0.25, 0.843290), (0.5, 0.666053), (0.75, 0.468290), (1.0, 0.25)] {
        let density = grid.density(t);
        let moment = |f: &dyn Fn(f64) -> f64| x.iter().zip(&density).map(|(&x, rho)| f(x) * rho * width).sum::<f64>();
        let mean = moment(&|x| x);
        let variance = moment(&|x| (x - mean).powi(2));
        assert!((moment(&|_| 1.0) - 1.0).abs() < 1e-7 && (mean - 2.0 * t).abs() < 1e-6, "{t}: {mean}");
        assert!((variance - want).abs() < 1e-6, "{t}: {variance} {want}");
    }
    // In the plane costs of the axes add up.
    let end = GaussianMixture::new(&[1.0], &[vec![2.0, 0.0]], &[vec![0.25, 0.0, 0.0, 1.0]]).unwrap();
    let plane = GridBridge::new([&Source::Normal(2), &Source::Mixture(end)], 0.5, 64).unwrap();
    let still = GaussianBridge { means: [0.0, 0.0], deviations: [1.0, 1.0], epsilon: 0.5 };
    // Four cells a unit: two a deviation of the narrow end.
    assert!((plane.cost() - of.cost() - still.cost()).abs() < 1e-5, "{}", plane.cost());
    let text = |ends, epsilon, cells| GridBridge::new(ends, epsilon, cells).unwrap_err().to_string();
    let (line, rows) = (Source::Normal(1), Source::rows(1, vec![1.0]).unwrap());
    assert!(text([&line, &line], 0.0, 100).starts_with("epsilon is 0, but must be finite and above 0 on a grid"));
    assert!(
        text([&line, &rows], 0.5, 100).starts_with("end of a bridge is given as rows of data, but must be a density")
    );
    assert!(text([&line, &line], 0.5, 9).starts_with("number of cells is 9 for a width of 18"));
    let far = normal(60.0, 1.0);
    assert!(text([&line, &far], 0.5, 400).starts_with("epsilon is too small for f64"));
}
