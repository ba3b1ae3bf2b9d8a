//! Samplers and likelihoods of a model: every direction arrives at its density, ends of time are kept, errors are as stated.
mod common;
mod interpolant_support;

use ergodic::Error;
use ergodic::dynamics::ode::{Grid, Method, Norm, Rates, Tolerance};
use ergodic::dynamics::sde::{self, Diffusion};
use ergodic::gpu::{Gpu, Tensor};
use ergodic::graph::{DType, Graph};
use ergodic::methods::interpolant::{
    Epsilon, Field, FieldNet, GaussianMixture, Interpolant, Likelihood, MixturePath, Model, Sampling, Schedule, Solver,
    Source, Spread,
};
use ergodic::nn::Activation;
use ergodic::random::RngKey;
use interpolant_support::*;

const N: usize = 20_000;
/// The 1 % level of the Kolmogorov-Smirnov distance.
fn level() -> f64 {
    1.63 / (N as f64).sqrt()
}

fn model(gpu: &Gpu) -> Model {
    Model::exact(gpu, &one_dimensional(linear(root(1.0)))).unwrap()
}

fn constant(value: f64) -> Epsilon {
    Epsilon::Constant { value }
}

const DIFFUSION: Solver = Solver::Diffusion { method: sde::Method::Trapezoid, steps: 400 };
const ODE: Solver =
    Solver::Adaptive(Tolerance { rtol: 1e-5, atol: 1e-5, max_steps: 10_000, first_step: None, norm: Norm::Mean });

#[test]
fn every_sampler_arrives_at_its_density() {
    let gpu = common::gpu();
    let (model, path) = (model(&gpu), one_dimensional(linear(root(1.0))));
    for (sampling, back) in [
        (Sampling::new(ODE), false),
        (Sampling::new(ODE).backwards(), true),
        (Sampling::new(DIFFUSION).epsilon(constant(2.0)), false),
        (Sampling::new(DIFFUSION).epsilon(constant(2.0)).backwards(), true),
        (Sampling::new(DIFFUSION).epsilon(Epsilon::Gamma { scale: 1.0 }), false),
    ] {
        let sampler = sampling.compile(&gpu, &model, N).unwrap();
        let start = if back { three_modes() } else { two_modes() }.draw(&gpu, N, RngKey::new(21)).unwrap();
        let mut looks = vec![];
        let end = sampler.follow(&start, 4, RngKey::new(22), |t, points, _| {
            looks.push((t, kolmogorov_smirnov(&read(points), &path.marginal(t)?)));
            Ok(())
        });
        assert_eq!(looks.len(), 4, "{sampling:?}");
        assert!(looks.iter().all(|(_, distance)| *distance < level()), "{sampling:?}: {looks:?}");
        let at_end = kolmogorov_smirnov(&read(&end.unwrap().points), if back { path.start() } else { path.end() });
        assert!((at_end - looks[3].1).abs() < 1e-12, "{sampling:?}: the last look is the end");
    }
}

#[test]
fn points_carry_their_log_density() {
    let gpu = common::gpu();
    let (model, path) = (model(&gpu), one_dimensional(linear(root(1.0))));
    for (sampling, first) in [(Sampling::new(ODE), two_modes()), (Sampling::new(ODE).backwards(), three_modes())] {
        let sampler = sampling.with_log_density(Spread::Exact).compile(&gpu, &model, 500).unwrap();
        let start = first.draw(&gpu, 500, RngKey::new(3)).unwrap();
        let mut worst = 0f64;
        let end = sampler.follow(&start, 3, RngKey::new(4), |t, points, carried| {
            let exact = path.marginal(t)?;
            for (x, log_density) in read(points).iter().zip(carried) {
                worst = worst.max((log_density - exact.log_density(&[*x])).abs());
            }
            Ok(())
        });
        // Steps err by 1e-5 (1 + |.|), some hundred of them; between the modes the flow stretches errors tenfold, and the density
        // is as steep as 14 a unit there.
        assert!(worst < 100.0 * 1e-5 * 14.0, "{sampling:?}: {worst}");
        assert_eq!(end.unwrap().probe_se, 0.0);
    }
}

#[test]
fn points_of_a_diffusion_carry_their_log_density_to_first_order() {
    let gpu = common::gpu();
    let (model, path, n) = (model(&gpu), one_dimensional(linear(root(1.0))), 2000);
    for back in [false, true] {
        let error = |steps: u32| {
            let solver = Solver::Diffusion { method: sde::Method::Heun, steps };
            let sampling = Sampling::new(solver).epsilon(constant(0.5)).with_log_density(Spread::Exact);
            let sampling = if back { sampling.backwards() } else { sampling };
            let end = sampling.compile(&gpu, &model, n).unwrap().run(RngKey::new(6)).unwrap();
            let exact = if back { path.start() } else { path.end() };
            let pairs = read(&end.points).into_iter().zip(&end.log_density);
            pairs.map(|(x, log_density)| (log_density - exact.log_density(&[x])).abs()).sum::<f64>() / n as f64
        };
        let (coarse, fine) = (error(200), error(800));
        // A quarter at first order. Log-densities of three modes differ by 1 and more between points.
        assert!(fine < 0.02 && fine < 0.5 * coarse, "{back}: {coarse} {fine}");
    }
}

#[test]
fn the_denoiser_converges_to_the_flow_at_first_order() {
    let gpu = common::gpu();
    let end = GaussianMixture::isotropic(&[0.5, 0.5], &[vec![-2.0], vec![2.0]], &[0.25, 0.25]).unwrap();
    let normal = || GaussianMixture::normal(1).unwrap();
    let starts = [-1.0, -0.2, 0.1, 0.7, 2.0];
    for path in [
        MixturePath::to(Schedule::OneSidedLinear, end.clone()).unwrap(),
        MixturePath::to(Schedule::OneSidedVp, end.clone()).unwrap(),
        MixturePath::between(linear(root(1.0)), normal(), end.clone()).unwrap(),
    ] {
        let model = Model::exact(&gpu, &path).unwrap();
        let error = |steps: u32| {
            let sampler = Sampling::new(Solver::Denoiser { steps }).compile(&gpu, &model, 5).unwrap();
            let arrived = sampler.follow(&tensor(&gpu, &starts, 1), 1, RngKey::new(1), |_, _, _| Ok(())).unwrap();
            let ends = starts.map(|x| normal().map_to(&end, x).unwrap());
            read(&arrived.points).iter().zip(ends).map(|(x, want)| (x - want).abs()).fold(0.0, f64::max)
        };
        let (coarse, fine) = (error(200), error(400));
        let order = (coarse / fine).log2();
        assert!((0.85..1.15).contains(&order) && fine < 0.03, "{:?}: {order} {fine}", path.schedule());
    }
}

#[test]
fn a_last_step_of_the_denoiser_ends_in_the_mean() {
    let (gpu, t) = (common::gpu(), 0.9);
    let path = one_dimensional(linear(root(1.0)));
    let (model, n) = (model(&gpu), 200);
    let solver = Solver::Fixed { method: Method::Rk4, steps: 200 };
    let stopped = Sampling::new(solver).between(0.0, t).compile(&gpu, &model, n).unwrap();
    let ended = Sampling::new(solver).denoised_from(t).compile(&gpu, &model, n).unwrap();
    let start = two_modes().draw(&gpu, n, RngKey::new(5)).unwrap();
    let quiet = |_: f64, _: &Tensor, _: &[f64]| Ok(());
    let before = read(&stopped.follow(&start, 1, RngKey::new(6), quiet).unwrap().points);
    let after = read(&ended.follow(&start, 1, RngKey::new(6), quiet).unwrap().points);
    for (x, mean) in before.iter().zip(after) {
        let want = path.at(t, &[*x]).unwrap().eta_1[0];
        // The mean is a quotient of small differences: alpha = 0.1 and gamma = 0.3 divide rounding of x and v of size 10.
        assert!((mean - want).abs() < 1e3 * EPS * (1.0 + want.abs()), "{x}: {mean} {want}");
    }
}

/// Networks that have learned nothing yet: enough for rules about times.
fn untrained(gpu: &Gpu, schedule: Schedule, fields: &[Field]) -> ergodic::Result<Model> {
    let two = matches!(schedule, Schedule::Linear { .. });
    let path = Interpolant::new(schedule, two.then_some(Source::Normal(1)), Source::Mixture(two_modes()))?;
    let net = FieldNet::new(1, &[8], Activation::Silu)?;
    let theta = Tensor::zeros(gpu, "theta", &[net.n_params()], DType::F32)?;
    let nets: Vec<_> = fields.iter().map(|field| (*field, net.clone(), theta.clone())).collect();
    Model::learned(&path, &nets)
}

#[test]
fn samplers_stay_away_from_ends_at_which_they_divide_by_nothing() {
    use Field::{B, Eta, S, V};
    let gpu = common::gpu();
    let (away, noisy, fades) = (1e-4, constant(0.5), Epsilon::Gamma { scale: 1.0 });
    let (two, one, vp) = (linear(root(1.0)), Schedule::OneSidedLinear, Schedule::OneSidedVp);
    for (schedule, fields, epsilon, want) in [
        (two, vec![B, Eta], Epsilon::Zero, (0.0, 1.0)),
        (two, vec![B, Eta], noisy, (away, 1.0 - away)),
        (two, vec![B, Eta], fades, (0.0, 1.0)),
        (two, vec![V, Eta], Epsilon::Zero, (away, 1.0 - away)),
        (two, vec![V, S], noisy, (0.0, 1.0)),
        (two, vec![B], Epsilon::Zero, (0.0, 1.0)),
        (one, vec![B], noisy, (0.0, 1.0 - away)),
        (vp, vec![B], noisy, (0.0, 1.0)),
        (one, vec![Eta], Epsilon::Zero, (away, 1.0 - away)),
        (one, vec![S], Epsilon::Zero, (away, 1.0)),
    ] {
        let model = untrained(&gpu, schedule, &fields).unwrap();
        let solver = if epsilon == Epsilon::Zero { ODE } else { DIFFUSION };
        let sampling = Sampling::new(solver).epsilon(epsilon);
        assert_eq!(sampling.check(&model).unwrap(), want, "{schedule:?} {fields:?} {epsilon:?}");
        if want != (0.0, 1.0) {
            let text = sampling.between(0.0, 1.0).check(&model).unwrap_err().to_string();
            assert!(text.starts_with("span of times is (0, 1) for ") && text.contains("1e-4 away"), "{text}");
        }
    }
    // The denoiser alone starts one step late.
    let eta = untrained(&gpu, one, &[Eta]).unwrap();
    assert_eq!(Sampling::new(Solver::Denoiser { steps: 50 }).check(&eta).unwrap(), (0.02, 1.0 - away));
}

#[test]
fn samplers_that_make_no_sense_are_refused() {
    let gpu = common::gpu();
    let exact = model(&gpu);
    let only_b = untrained(&gpu, linear(root(1.0)), &[Field::B]).unwrap();
    let point = MixturePath::from_point(Schedule::PointMass { a: 0.5 }, &[0.5], three_modes()).unwrap();
    let point = Model::exact(&gpu, &point).unwrap();
    let steps = |steps| Sampling::new(Solver::Fixed { method: Method::Heun, steps });
    let noisy = |value| Sampling::new(DIFFUSION).epsilon(constant(value));
    for (sampling, model, said) in [
        (steps(0), &exact, "number of steps is 0"),
        (steps(9).epsilon(constant(0.5)), &exact, "epsilon is Constant { value: 0.5 } for Fixed"),
        (Sampling::new(DIFFUSION), &exact, "epsilon is Zero for Diffusion"),
        (noisy(-1.0), &exact, "epsilon is -1, but must be finite and above 0"),
        (noisy(0.5), &only_b, "epsilon is Constant { value: 0.5 } without a score"),
        (steps(9).denoised_from(0.9).with_log_density(Spread::Exact), &exact, "log-density is wanted along Fixed"),
        (steps(9).with_log_density(Spread::Probes(3)), &exact, "number of probes is 3"),
        (steps(9).between(0.5, 0.5), &exact, "span of times is (0.5, 0.5)"),
        (steps(9).between(0.0, 1.5), &exact, "span of times is (0, 1.5)"),
        (steps(9).denoised_from(1.0), &exact, "span of times is (0, 1)"),
        (steps(9).denoised_from(0.9).backwards(), &exact, "denoiser is wanted backwards"),
        (steps(9).denoised_from(0.9), &only_b, "denoiser is not among"),
        (Sampling::new(Solver::Denoiser { steps: 9 }), &point, "denoiser is wanted on PointMass"),
        (steps(9), &point, "epsilon of a point mass is Zero forwards"),
        (noisy(0.5).backwards(), &point, "epsilon of a point mass is Constant { value: 0.5 } backwards"),
        (noisy(0.7), &point, "epsilon of a point mass is Constant { value: 0.7 } forwards"),
    ] {
        let text = sampling.check(model).unwrap_err().to_string();
        assert!(text.starts_with(said), "{text}: {said}");
    }
    assert_eq!(noisy(0.5).check(&point).unwrap(), (0.0, 1.0));
    let text = Likelihood::new(&gpu, &point, 9, ODE, Spread::Exact).err().unwrap().to_string();
    assert!(text.starts_with("density at the start is data"), "{text}");
    for (fields, said) in [
        (vec![], "pair of fields is None and None"),
        (vec![Field::B, Field::V], "fields of a model is B and V"),
        (vec![Field::S], "pair of fields is None and Some(S) on Linear"),
        (vec![Field::V], "pair of fields is V and None on Linear"),
    ] {
        let text = untrained(&gpu, linear(root(1.0)), &fields).err().unwrap().to_string();
        assert!(text.starts_with(said), "{text}: {said}");
    }
    assert!(untrained(&gpu, Schedule::OneSidedLinear, &[Field::S]).is_ok());
}

#[test]
fn a_stiff_flow_says_how_far_it_came() {
    let gpu = common::gpu();
    // Modes a thousandth wide: a tolerance of 1e-6 needs more than 8 steps.
    let end = GaussianMixture::isotropic(&[0.5, 0.5], &[vec![-2.0], vec![2.0]], &[1e-6, 1e-6]).unwrap();
    let stiff = Model::exact(&gpu, &MixturePath::to(Schedule::OneSidedLinear, end).unwrap()).unwrap();
    let tolerance = Tolerance { max_steps: 8, ..Tolerance::new(1e-6, 1e-6) };
    let sampler = Sampling::new(Solver::Adaptive(tolerance)).compile(&gpu, &stiff, 64).unwrap();
    let error = sampler.run(RngKey::new(1)).err().expect("no such flow in 8 steps");
    let Error::StepLimit { reached, target, accepted, rejected, .. } = &error else { panic!("{error}") };
    assert!(*reached > 0.0 && *reached < 1.0 && *target == 1.0, "{error}");
    assert_eq!(accepted + rejected, 8, "{error}");
    // The control: with steps enough it arrives.
    let patient = Sampling::new(Solver::Adaptive(Tolerance::new(1e-4, 1e-4))).compile(&gpu, &stiff, 64).unwrap();
    assert!(read(&patient.run(RngKey::new(1)).unwrap().points).iter().all(|x| (x.abs() - 2.0).abs() < 0.1));
}

#[test]
fn probes_have_the_error_that_is_known_for_a_linear_flow() {
    // N(0, 1) to N(0, C), C = R diag(e^2, e^-2) R' turned by 45 degrees: the integrated Jacobian is log(C)/2 = [[0, 1], [1, 0]],
    // so that a probe of the log-density errs by 2 v_1 v_2, of variance 2 (|M|^2 - sum M_ii^2) = 4.
    let gpu = common::gpu();
    let (cosh, sinh) = (2f64.cosh(), 2f64.sinh());
    let end = GaussianMixture::new(&[1.0], &[vec![0.0; 2]], &[vec![cosh, sinh, sinh, cosh]]).unwrap();
    let path =
        MixturePath::between(linear(ergodic::methods::interpolant::Gamma::Zero), normal(2), end.clone()).unwrap();
    let (model, n) = (Model::exact(&gpu, &path).unwrap(), 2000);
    let x = end.sample(n, RngKey::new(7));
    let of = |spread| {
        let solver = Solver::Fixed { method: Method::Rk4, steps: 40 };
        Likelihood::new(&gpu, &model, n, solver, spread).unwrap().of(&x, RngKey::new(8)).unwrap()
    };
    let exact = of(Spread::Exact);
    assert_eq!(exact.probe_se, 0.0);
    for (row, value) in x.chunks_exact(2).zip(&exact.values) {
        let want = end.log_density(&[f64::from(row[0]), f64::from(row[1])]);
        assert!((value - want).abs() < 1e-4 * (1.0 + want.abs()), "{value} {want}");
    }
    for probes in [2, 8] {
        let found = of(Spread::Probes(probes));
        let want = (4.0 / probes as f64).sqrt();
        // A variance from n pairs of halves: each is one of few values of kurtosis at most 3, so 4 sqrt(2/n) of it; half that of
        // the root.
        assert!((found.probe_se / want - 1.0).abs() < 2.0 * (2.0 / n as f64).sqrt(), "{probes}: {}", found.probe_se);
        let gaps: Vec<_> = found.values.iter().zip(&exact.values).map(|(a, b)| a - b).collect();
        let mean = gaps.iter().sum::<f64>() / n as f64;
        assert!(mean.abs() < 4.0 * want / (n as f64).sqrt(), "{probes}: averaged, not summed: {mean}");
    }
}

fn normal(d: usize) -> GaussianMixture {
    GaussianMixture::normal(d).unwrap()
}

#[test]
fn likelihoods_are_known_at_inner_times() {
    let gpu = common::gpu();
    let (model, path) = (model(&gpu), one_dimensional(linear(root(1.0))));
    let likelihood = Likelihood::new(&gpu, &model, 3, ODE, Spread::Exact).unwrap();
    for t in [0.25, 0.75, 1.0] {
        let (exact, x) = (path.marginal(t).unwrap(), [-5.5, 0.3, 4.0]);
        let found = likelihood.at(t, &x.map(|x| x as f32), RngKey::new(1)).unwrap().values;
        for (x, got) in x.iter().zip(found) {
            let want = exact.log_density(&[*x]);
            assert!((got - want).abs() < 100.0 * 1e-5 * 14.0, "{t} {x}: {got} {want}"); // as above
        }
    }
    assert!(likelihood.at(0.0, &[1.0], RngKey::new(1)).is_err() && likelihood.at(1.1, &[1.0], RngKey::new(1)).is_err());
}

#[test]
fn score_based_diffusion_is_this_diffusion_with_noise_one_over_time() {
    // dX = (X + 2 s)/t dt + sqrt(2/t) dW on the variance preserving path: singular at 0, as time goes to infinity there.
    let gpu = common::gpu();
    let path = MixturePath::to(Schedule::OneSidedVp, three_modes()).unwrap();
    for t in [0.011, 0.1, 0.5, 0.9] {
        for x in [-6.1, -0.4, 1.5] {
            let at = path.at(t, &[x]).unwrap();
            let (singular, regular) = ((x + 2.0 * at.s[0]) / t, at.b[0] + at.s[0] / t);
            // Both are differences of numbers of size |x|/t.
            assert!((singular - regular).abs() < 1e-12 * (1.0 + x.abs()) / (t * t), "{t} {x}: {singular} {regular}");
        }
    }
    let (g, first) = (Graph::new(), 0.01);
    let theta = theta(&g, &path);
    let walk = Diffusion::new(
        &gpu,
        g.input("x", [N, 1]),
        sde::Method::Trapezoid,
        |t, x| {
            let t = t.broadcast_to([N, 1]);
            Ok(Rates::of((x + path.fields(theta, t, x)?.s * 2.0) / t))
        },
        |t| Ok(g.constant(1.0) / t),
    );
    let walk = walk.unwrap().bind("theta", &parameters(&gpu, &path));
    let start = path.marginal(first).unwrap().draw(&gpu, N, RngKey::new(61)).unwrap();
    let mut moving = walk.begin(&start, Grid::new(first, 1.0, 2000), RngKey::new(62)).unwrap();
    for part in 0..2 {
        moving.advance(1000 * part..1000 * (part + 1)).unwrap();
        let distance = kolmogorov_smirnov(&read(moving.points().unwrap()), &path.marginal(moving.time()).unwrap());
        assert!(distance < level(), "at {}: {distance}", moving.time());
    }
}
