//! Losses at exact fields: their known minima, the variance of pairs, and fields from each other.
mod common;
mod interpolant_support;

use ergodic::autodiff::Trace;
use ergodic::gpu::{Gpu, Tensor};
use ergodic::graph::{Graph, Var};
use ergodic::methods::interpolant::{
    Draws, Epsilon, Field, Fields, Gamma, GaussianBridge, GaussianMixture, Known, MixturePath, Pairing, Schedule,
    drift_loss, energy_loss, implicit_score_loss, loss,
};
use ergodic::plan::{Bindings, CompileOptions, Plan, Session};
use ergodic::random::RngKey;
use interpolant_support::*;

const N: usize = 100_000;

/// Draws of a path at times uniform in `(from, to)`.
fn drawn<'g>(g: &'g Graph, path: &MixturePath, (from, to): (f64, f64)) -> Draws<'g> {
    let (key, d) = (g.key("draws"), path.d());
    let t = key.fold_in(10).uniform([N, 1]) * (to - from) + from;
    let draws = |m: &GaussianMixture, name: &str, key| m.draws(key, N, g.input(name, [m.n_table()])).unwrap();
    let (x0, x1) = (draws(path.start(), "start", key.fold_in(11)), draws(path.end(), "end", key.fold_in(12)));
    Draws::new(path.schedule(), t, Some(x0), x1, key.fold_in(13).normal([N, d])).unwrap()
}

/// The key and the ends of [`drawn`].
fn tables(gpu: &Gpu, path: &MixturePath) -> Bindings {
    let table = |m: &GaussianMixture| Tensor::from_slice(gpu, "table", &[m.n_table()], &m.table()).unwrap();
    let bindings = Bindings::new().key("draws", RngKey::new(61));
    bindings.tensor("start", &table(path.start())).tensor("end", &table(path.end()))
}

/// Values of `[n]` outputs, by what the path's own tables give.
fn values(gpu: &Gpu, path: &MixturePath, outputs: &[(&str, Var<'_>)]) -> Vec<Vec<f64>> {
    let plan = Plan::compile(gpu, outputs, &CompileOptions::labelled("losses")).unwrap();
    let bindings = tables(gpu, path).tensor("theta", &parameters(gpu, path));
    let mut session = Session::new(&plan, bindings).unwrap();
    session.run(1).unwrap();
    session.check().unwrap();
    outputs.iter().map(|(name, _)| read(session.tensor(name).unwrap())).collect()
}

fn mean(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    (mean, (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n / n).sqrt())
}

fn pick<'g>(field: Field, fields: &Fields<'g>) -> Var<'g> {
    match field {
        Field::B => fields.b,
        Field::V => fields.v,
        Field::S => fields.s,
        Field::Eta => fields.eta_z,
    }
}

/// The loss of a path's own field.
fn exact_loss<'g>(field: Field, draws: &Draws<'g>, path: &MixturePath, theta: Var<'g>, pairing: Pairing) -> Var<'g> {
    loss(field, draws, pairing, |t, x| Ok(pick(field, &path.fields(theta, t, x)?))).unwrap()
}

#[test]
fn losses_of_exact_fields_are_their_known_minima() {
    let gpu = common::gpu();
    let known = [
        ("linear a=1", vec![-9.80429, -9.42077, -0.68022, -0.09173]),
        ("linear a=2", vec![-9.18165, -8.38784, -0.48108, -0.10673]),
        ("trig unit", vec![-9.79559, -8.88336, -0.43203, -0.09835]),
        ("enc-dec", vec![-32.74965, -35.01762, -1.18321, -0.23176]),
        ("linear 0", vec![-11.26946, -11.26946]),
        ("trig 0", vec![-12.02308, -12.02308]),
    ];
    for (name, want) in known {
        let schedule = schedules().into_iter().find(|(own, _)| *own == name).unwrap().1;
        let (path, g) = (one_dimensional(schedule), Graph::new());
        let (draws, theta) = (drawn(&g, &path, (0.0, 1.0)), theta(&g, &path));
        let fields = [("b", Field::B), ("v", Field::V), ("s", Field::S), ("eta", Field::Eta)];
        let of = |&(name, field)| (name, exact_loss(field, &draws, &path, theta, Pairing::Antithetic));
        let outputs: Vec<_> = fields.iter().take(want.len()).map(of).collect();
        for (((field, _), want), got) in fields.iter().zip(&want).zip(values(&gpu, &path, &outputs)) {
            let (mean, se) = mean(&got);
            assert!((mean - want).abs() < 4.0 * se, "{name} {field}: {mean} +- {se}, {want}");
            // The control: an error of the field would be seen, half its mean square.
            assert!(se < 0.02 * want.abs(), "{name} {field}: {se}");
        }
    }
}

#[test]
fn the_loss_of_a_wrong_field_is_above_by_half_its_square_error() {
    let gpu = common::gpu();
    let (path, g) = (one_dimensional(linear(root(1.0))), Graph::new());
    let (draws, theta) = (drawn(&g, &path, (0.0, 1.0)), theta(&g, &path));
    for field in [Field::B, Field::V, Field::S, Field::Eta] {
        let exact = exact_loss(field, &draws, &path, theta, Pairing::Antithetic);
        let wrong = loss(field, &draws, Pairing::Antithetic, |t, x| {
            Ok(pick(field, &path.fields(theta, t, x)?) + (x * 0.4).sin() * 0.5)
        })
        .unwrap();
        let error = |sign: f64| ((draws.point(sign) * 0.4).sin() * 0.5).square().sum(1) * 0.5;
        let excess = wrong - exact - (error(1.0) + error(-1.0)) * 0.5;
        let (mean, se) = mean(&values(&gpu, &path, &[("excess", excess)])[0]);
        assert!(mean.abs() < 4.0 * se && se < 0.02, "{field:?}: {mean} +- {se}");
    }
}

#[test]
fn losses_without_halves_are_the_known_lengths_of_flows() {
    let gpu = common::gpu();
    let end = GaussianMixture::isotropic(&[0.5, 0.5], &[vec![-2.0], vec![2.0]], &[0.25, 0.25]).unwrap();
    for (schedule, want) in [(Schedule::Trig { gamma: Gamma::Zero }, 2.125092), (linear(Gamma::Zero), 2.479535)] {
        let path = MixturePath::between(schedule, GaussianMixture::normal(1).unwrap(), end.clone()).unwrap();
        let g = Graph::new();
        let (draws, theta) = (drawn(&g, &path, (0.0, 1.0)), theta(&g, &path));
        let half = exact_loss(Field::V, &draws, &path, theta, Pairing::Single);
        let square = path.fields(theta, draws.t, draws.point(1.0)).unwrap().v.square().sum(1);
        let all = values(&gpu, &path, &[("G", half * 2.0), ("D", square + half * 2.0)]);
        let ((g, g_se), (d, d_se)) = (mean(&all[0]), mean(&all[1]));
        assert!((g + want).abs() < 4.0 * g_se && d.abs() < 4.0 * d_se, "{schedule:?}: {g} +- {g_se}, {d} +- {d_se}");
    }
}

#[test]
fn scores_by_divergence_and_by_energy_have_the_same_minimum() {
    let gpu = common::gpu();
    let (path, g) = (one_dimensional(linear(root(1.0))), Graph::new());
    let (draws, theta) = (drawn(&g, &path, (0.0, 1.0)), theta(&g, &path));
    let x = draws.point(1.0);
    let implicit = implicit_score_loss(path.fields(theta, draws.t, x).unwrap().s, x, Trace::Exact).unwrap();
    let energy = energy_loss(&draws, Pairing::Antithetic, |t, x| Ok(-path.fields(theta, t, x)?.log_density)).unwrap();
    let all = values(&gpu, &path, &[("implicit", implicit), ("energy", energy)]);
    let ((implicit, implicit_se), (energy, energy_se)) = (mean(&all[0]), mean(&all[1]));
    assert!((implicit + 2.0 * 0.68022).abs() < 4.0 * implicit_se, "{implicit} +- {implicit_se}");
    assert!((energy + 0.68022).abs() < 4.0 * energy_se, "{energy} +- {energy_se}");
}

#[test]
fn no_linear_path_beats_the_bridge_and_one_is_the_bridge() {
    let bridge = GaussianBridge { means: [0.0, 2.0], deviations: [1.0, 0.5], epsilon: 0.5 };
    assert!((bridge.covariance() - 0.207107).abs() < 0.6e-6 && (bridge.cost() - 2.705154).abs() < 0.6e-6);
    for (t, want) in [(0.25, 0.843290), (0.5, 0.666053), (0.75, 0.468290)] {
        assert!((bridge.variance(t) - want).abs() < 0.6e-6);
    }
    assert!((bridge.best_a() - 2f64.sqrt()).abs() < 1e-12);
    let wide = GaussianBridge { means: [0.0, 0.0], deviations: [1.0, 2.0], epsilon: 1.0 };
    assert!((wide.cost() - 0.051997).abs() < 0.6e-6 && (wide.best_a() - 4.472136).abs() < 0.6e-6);
    assert!(GaussianBridge { epsilon: -0.1, ..wide }.check().is_err() && wide.check().is_ok());
    // Without noise it is optimal transport: W_2^2 = 2^2 + (1 - 1/2)^2, twice the cost.
    let transport = GaussianBridge { epsilon: 0.0, ..bridge };
    assert!(transport.check().is_ok() && (2.0 * transport.cost() - 4.25).abs() < 1e-14);

    let gpu = common::gpu();
    let end = GaussianMixture::isotropic(&[1.0], &[vec![2.0]], &[0.25]).unwrap();
    let costs = [(0.5, 2.797149), (1.0, 2.721574), (2.0, 2.731920), (bridge.best_a(), bridge.cost())];
    for (a, want) in costs {
        let path = MixturePath::between(linear(root(a)), GaussianMixture::normal(1).unwrap(), end.clone()).unwrap();
        let g = Graph::new();
        let (draws, theta, epsilon) = (drawn(&g, &path, (0.0, 1.0)), theta(&g, &path), g.constant(bridge.epsilon));
        let drift = |t, x| Ok(path.fields(theta, t, x)?.forward_drift(epsilon));
        let exact = drift_loss(&draws, epsilon, Pairing::Antithetic, drift).unwrap();
        let (mean, se) = mean(&values(&gpu, &path, &[("cost", exact)])[0]);
        assert!((mean + want).abs() < 4.0 * se, "{a}: {mean} +- {se}, {want}");
        assert!(want >= bridge.cost());
    }
    // At the best `a` drifts are those of the bridge.
    let path = linear(root(bridge.best_a()));
    let path = MixturePath::between(path, GaussianMixture::normal(1).unwrap(), end).unwrap();
    for (t, x) in [(0.1, -1.0), (0.5, 1.3), (0.9, 2.2)] {
        let at = path.at(t, &[x]).unwrap();
        assert!((at.b[0] + bridge.epsilon * at.s[0] - bridge.drift(t, x)).abs() < 1e-12);
    }
}

#[test]
fn pairs_keep_the_variance_finite_where_gamma_vanishes() {
    let gpu = common::gpu();
    // Near t = 0 a score that is linear there, s = K x with K = -1: paired draws have variance 2 K^2, single ones grow.
    let normal = GaussianMixture::normal(1).unwrap();
    let path = MixturePath::between(linear(root(1.0)), normal.clone(), normal).unwrap();
    let g = Graph::new();
    let draws = drawn(&g, &path, (1e-4, 1.0001e-4));
    let linear_term = |pairing| {
        let all = loss(Field::S, &draws, pairing, |_, x| Ok(-x)).unwrap();
        let square = |sign: f64| draws.point(sign).square().sum(1) * 0.5;
        match pairing {
            Pairing::Single => all - square(1.0),
            Pairing::Antithetic => all - (square(1.0) + square(-1.0)) * 0.5,
        }
    };
    let outputs = [("paired", linear_term(Pairing::Antithetic)), ("single", linear_term(Pairing::Single))];
    let plan = Plan::compile(&gpu, &outputs, &CompileOptions::default()).unwrap();
    let bindings = tables(&gpu, &path);
    let mut session = Session::new(&plan, bindings).unwrap();
    session.run(1).unwrap();
    session.check().unwrap();
    let variance = |name: &str| mean(&read(session.tensor(name).unwrap())).1.powi(2) * N as f64;
    let (paired, single) = (variance("paired"), variance("single"));
    // Of z^2: variance 2, kurtosis 15, and rounding of x/gamma, (eps/0.01)^2.
    assert!((paired / 2.0 - 1.0).abs() < 4.0 * (14.0 / N as f64).sqrt(), "{paired}");
    // K^2 (E I^2/gamma^2 + 2) = 1e4.
    assert!(single > 1e3 * paired && (single / 1e4 - 1.0).abs() < 0.1, "{single}");
}

#[test]
fn fields_follow_from_each_other() {
    for (name, schedule) in schedules() {
        let path = one_dimensional(schedule);
        for (t, x) in [(0.2, 1.3), (0.55, 0.2), (0.8, 4.0)] {
            let (at, c) = (path.at(t, &[x]).unwrap(), schedule.at(t));
            let (b, s, v, eta) = (at.b[0], at.s[0], at.v[0], at.eta_z[0]);
            let close =
                |got: f64, want: f64| assert!((got - want).abs() < 1e-11 * (1.0 + want.abs()), "{name} {got} {want}");
            close(c.velocity(v, s), b);
            close(c.velocity_without_noise(b, s), v);
            close(c.denoiser_of_score(s), eta);
            if schedule.has_noise() {
                for (motion, m) in [(Field::B, b), (Field::V, v)] {
                    for (noise, z) in [(Field::S, s), (Field::Eta, eta)] {
                        let known = Known { motion: Some(motion), noise: Some(noise) };
                        let got = known.values(&schedule, &c, x, (Some(m), Some(z)));
                        close(got.b, b);
                        for (got, want) in [(got.v, v), (got.s, s), (got.eta, eta)] {
                            close(got.unwrap(), want);
                        }
                    }
                }
            }
        }
    }
    for schedule in [Schedule::OneSidedLinear, Schedule::OneSidedTrig, Schedule::OneSidedVp] {
        let path = MixturePath::to(schedule, three_modes()).unwrap();
        let (at, c) = (path.at(0.6, &[1.3]).unwrap(), schedule.at(0.6));
        assert!((c.score_of_velocity(at.b[0], 1.3) - at.s[0]).abs() < 1e-12, "{schedule:?}");
        assert!((c.end_of_denoiser(at.eta_z[0], 1.3) - at.eta_1[0]).abs() < 1e-11, "{schedule:?}");
        // A denoiser's step to the same time stays, to another it is the mean of the coefficients there.
        assert!((c.denoised(at.eta_1[0], at.eta_z[0]) - 1.3).abs() < 1e-12, "{schedule:?}");
    }
}

#[test]
fn denoising_steps_converge_to_the_ode_at_first_order() {
    let end = GaussianMixture::isotropic(&[0.5, 0.5], &[vec![-2.0], vec![2.0]], &[0.25, 0.25]).unwrap();
    let start = GaussianMixture::normal(1).unwrap();
    for schedule in [Schedule::OneSidedLinear, Schedule::OneSidedVp] {
        let path = MixturePath::to(schedule, end.clone()).unwrap();
        let error = |n: u32| {
            let mut x = 0.7;
            for k in 0..n {
                let time = |k: u32| f64::from(k) / f64::from(n);
                let at = path.at(time(k), &[x]).unwrap();
                x = schedule.at(time(k + 1)).denoised(at.eta_1[0], at.eta_z[0]);
            }
            (x - start.map_to(&end, 0.7).unwrap()).abs()
        };
        let slope = (error(400) / error(800)).log2();
        assert!((0.9..1.1).contains(&slope) && error(800) < 0.01, "{schedule:?}: {slope} {}", error(800));
    }
}

#[test]
fn noise_that_would_divide_by_nothing_is_refused() {
    let schedule = linear(root(1.0));
    let (eta, s) = (Known::default(), Known { motion: Some(Field::B), noise: Some(Field::S) });
    let constant = Epsilon::Constant { value: 0.5 };
    assert!(constant.check(&schedule, &s, (0.0, 1.0)).is_ok());
    assert!(constant.check(&schedule, &eta, eta.span()).is_ok());
    assert!(Epsilon::GammaSquared { scale: 1.0 }.check(&schedule, &eta, (0.0, 1.0)).is_ok());
    let refused =
        |epsilon: Epsilon, known: Known| epsilon.check(&schedule, &known, (0.0, 1.0)).err().unwrap().to_string();
    assert_eq!(
        refused(constant, eta),
        "epsilon is Constant { value: 0.5 } at t = 0, where gamma is 0 and eta is divided by it, but must be used from 1e-4 to \
         1 - 1e-4, or GammaSquared, or with s"
    );
    assert_eq!(
        refused(constant, Known { motion: Some(Field::B), noise: None }),
        "epsilon is Constant { value: 0.5 } without a score, but must be zero; or learn s or eta too"
    );
    assert_eq!(refused(Epsilon::Constant { value: -1.0 }, s), "epsilon is -1, but must be finite and above 0");
    let v = Known { motion: Some(Field::V), noise: None };
    assert_eq!(
        v.check(&schedule).err().unwrap().to_string(),
        "pair of fields is V and None on Linear { gamma: Root { a: 1.0 } }, but must be v with s or eta: b is made of both"
    );
    assert!(v.check(&linear(Gamma::Zero)).is_ok() && eta.check(&linear(Gamma::Zero)).is_err());
    let g = Graph::new();
    let path = one_dimensional(linear(Gamma::Zero));
    let draws = drawn(&g, &path, (0.0, 1.0));
    let error = loss(Field::S, &draws, Pairing::Single, |_, x| Ok(x)).err().unwrap().to_string();
    assert_eq!(error, "gamma is 0 at all times, but must be above 0 inside the path: the noise is what is learned");
}
