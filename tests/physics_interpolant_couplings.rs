//! Couplings of the ends and what training does with them: given pairs, nearest pairs of minibatches, rectified flows; averages
//! of parameters.
mod common;
mod interpolant_support;

use ergodic::Error;
use ergodic::dynamics::ode::{FixedStep, Grid, Method, Rates};
use ergodic::gpu::Gpu;
use ergodic::graph::Graph;
use ergodic::methods::interpolant::{
    Average, Coupling, Field, FieldNet, FieldTrainer, FitConfig, Gamma, GaussianMixture, Interpolant, MixturePath,
    Model, Pairing, Sampling, Schedule, Solver, Source, State,
};
use ergodic::nn::{Activation, Decay, LearningRate};
use ergodic::random::RngKey;
use interpolant_support::*;

const MEAN: f64 = 2.0;
const WIDTH: f64 = 0.5;

fn target() -> GaussianMixture {
    GaussianMixture::isotropic(&[1.0], &[vec![MEAN]], &[WIDTH * WIDTH]).unwrap()
}

fn line() -> Schedule {
    linear(Gamma::Zero)
}

/// `N(0, 1)` to `N(2, 1/4)` on straight lines between independent ends: the mean square of the velocity is 4.464602, and that
/// of the shortest flow 4 + 1/4.
fn independent() -> Interpolant {
    Interpolant::new(line(), Some(Source::Normal(1)), Source::Mixture(target())).unwrap()
}

fn net() -> FieldNet {
    FieldNet::new(1, &[80], Activation::Silu).unwrap()
}

fn fit(steps: u64) -> FitConfig {
    let learning_rate = LearningRate::cosine(2e-2, 0.0, steps as usize);
    FitConfig { batch: 256, steps, learning_rate, look_every: 20, ..FitConfig::default() }
}

fn trainer(gpu: &Gpu, path: &Interpolant, config: &FitConfig) -> FieldTrainer {
    FieldTrainer::new(gpu, path, Field::B, &net(), (0.0, 1.0), config, RngKey::new(17)).unwrap()
}

fn mean(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    (mean, (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0) / n).sqrt())
}

/// `E int |b|^2 dt` along the flow of a learned velocity.
fn length_of(gpu: &Gpu, b: &FieldTrainer) -> f64 {
    let (g, n) = (Graph::new(), 4000);
    let theta = g.input("theta", [net().n_params()]);
    let solver = FixedStep::new(gpu, g.input("x", [n, 1]), Method::Heun, |t, x| {
        let b = net().apply(theta, t, x)?;
        Ok(Rates::of(b).and(b.square().sum(1)))
    });
    let solver = solver.unwrap().bind("theta", b.parameters().unwrap());
    let start = Source::Normal(1).draw(gpu, n, RngKey::new(5)).unwrap();
    mean(&solver.solve(&start, Grid::new(0.0, 1.0, 20)).unwrap().integral(0).unwrap()).0
}

#[test]
fn nearest_pairs_of_minibatches_have_shorter_paths() {
    let gpu = common::gpu();
    let coupled = independent().with_minibatches(64).unwrap();
    assert_eq!(coupled.coupling(), Coupling::Minibatch { size: 64 });
    // The loss of f = x is int E x_t^2 dt/2 - (E x_1^2 - E x_0^2)/2, and E x_t^2 has t (1 - t) 2 E x_0 x_1 in it.
    let n = 64 * 500;
    let theta = tensor(&gpu, &[0.0], 1);
    let of = |path: &Interpolant| {
        let losses =
            path.losses((Field::B, Pairing::Single, (0.0, 1.0)), (n, RngKey::new(3)), &theta, |theta, _, x| {
                Ok(x + theta.sum_all() * 0.0)
            });
        let (loss, se) = mean(&losses.unwrap());
        let square = MEAN * MEAN + WIDTH * WIDTH;
        (6.0 * (loss + (square - 1.0) / 2.0) - 1.0 - square, 6.0 * se)
    };
    let (apart, apart_se) = of(&independent());
    assert!(apart.abs() < 4.0 * apart_se, "{apart} +- {apart_se}: independent ends");
    let (together, se) = of(&coupled);
    // Nearest pairs of all points have covariance 1/2; 64 of each leave a little.
    assert!(together > 0.4 && together < WIDTH + 4.0 * se, "{together} +- {se}");

    let (mut plain, mut near) = (trainer(&gpu, &independent(), &fit(300)), trainer(&gpu, &coupled, &fit(300)));
    plain.run(300).unwrap();
    near.run(300).unwrap();
    let (long, short) = (length_of(&gpu, &plain), length_of(&gpu, &near));
    // 4000 starts know a mean square of 4.3 to 0.03; networks err by 1 % of a velocity.
    assert!((long - 4.464602).abs() < 0.1, "{long}");
    assert!((short - 4.25).abs() < 0.1 && short < long - 0.08, "{short} {long}");
}

#[test]
fn a_run_with_minibatches_goes_on_bit_for_bit_from_anywhere() {
    let (gpu, path) = (common::gpu(), independent().with_minibatches(32).unwrap());
    let config = FitConfig { batch: 64, ..fit(40) };
    let mut whole = trainer(&gpu, &path, &config);
    whole.run(40).unwrap();
    let mut cut = trainer(&gpu, &path, &config);
    cut.run(21).unwrap(); // in the middle of what the host pairs at once
    let (step, state) = (cut.step(), cut.state().unwrap());
    let mut again = trainer(&gpu, &path, &config);
    again.restore(step, &state).unwrap();
    again.run(40).unwrap();
    assert_eq!(again.state().unwrap(), whole.state().unwrap());
}

#[test]
fn a_rectified_flow_is_straight_and_has_the_same_map() {
    let gpu = common::gpu();
    // On a quarter turn the flow from N(0, 1) is curved; its map is 2 + x/2.
    let path = MixturePath::to(Schedule::OneSidedTrig, target()).unwrap();
    let (model, n) = (Model::exact(&gpu, &path).unwrap(), 4096);
    let flow = Sampling::new(Solver::Fixed { method: Method::Rk4, steps: 40 }).compile(&gpu, &model, n).unwrap();
    let (x0, x1) = flow.pairs(RngKey::new(9)).unwrap();
    let map = |x: f64| MEAN + WIDTH * x;
    // RK4 in 40 steps errs by 1e-6, rounding by as much.
    assert!(x0.iter().zip(&x1).all(|(a, b)| (map(f64::from(*a)) - f64::from(*b)).abs() < 2e-5));
    let pairs = Interpolant::paired(line(), 1, x0, x1).unwrap();
    let mut b = trainer(&gpu, &pairs, &fit(300));
    b.run(300).unwrap();
    let learned = Model::trained(std::slice::from_ref(&b)).unwrap();
    // Each pair has its own line, so all that a loss is above -E|x_1 - x_0|^2/2 = -(4 + 1/4)/2 is how far from straight it is.
    let (loss, se) = mean(&learned.losses((Field::B, Pairing::Single, (0.0, 1.0)), (20_000, RngKey::new(4))).unwrap());
    let least = -0.5 * (MEAN * MEAN + (1.0 - WIDTH).powi(2));
    assert!((loss - least) < 0.01 + 4.0 * se && loss > least - 4.0 * se - 0.02, "{loss} +- {se}, {least}");
    // One step of the curved flow misses by a lot, one of the straight flow hits; and so do many.
    let steps = |model: &Model, steps: u32| {
        let sampler = Sampling::new(Solver::Fixed { method: Method::Euler, steps }).compile(&gpu, model, 5).unwrap();
        let starts = [-1.5, -0.5, 0.0, 0.7, 1.4];
        let end = sampler.follow(&tensor(&gpu, &starts, 1), 1, RngKey::new(1), |_, _, _| Ok(())).unwrap();
        let gaps = read(&end.points).into_iter().zip(starts).map(|(x, x0)| (x - map(x0)).abs());
        gaps.fold(0.0, f64::max)
    };
    let (one, many, curved) = (steps(&learned, 1), steps(&learned, 50), steps(&model, 1));
    assert!(curved > 1.0 && one < 0.15 && many < 0.15, "{curved}, {one}, {many}");
}

#[test]
fn the_mean_of_parameters_forgets_as_it_should() {
    let gpu = common::gpu();
    let (decay, from) = (0.75, 3);
    let config = FitConfig { average: Some(Average { decay, from }), ..fit(20) };
    let mut b = trainer(&gpu, &independent(), &config);
    let named = |states: &[State], name: &str| states.iter().find(|s| s.name == name).unwrap().values.clone();
    let mut want: Vec<f64> = vec![];
    for step in 0..8 {
        b.run(1).unwrap();
        let states = b.state().unwrap();
        let theta: Vec<f64> = named(&states, "theta").into_iter().map(f64::from).collect();
        let keep = if step < from { 0.0 } else { decay };
        want.resize(theta.len(), 0.0);
        want.iter_mut().zip(&theta).for_each(|(w, v)| *w = keep * *w + (1.0 - keep) * v);
        for (got, want) in named(&states, "theta.average").iter().zip(&want) {
            // Three roundings a step, of numbers that halve in two.
            assert!((f64::from(*got) - want).abs() < 16.0 * EPS * (want.abs() + 0.1), "{step}: {got} {want}");
        }
    }
    let used: Vec<f32> = b.parameters().unwrap().read().unwrap().wait().unwrap();
    assert_eq!(used, named(&b.state().unwrap(), "theta.average"), "what is used is the mean");
    assert_ne!(used, named(&b.state().unwrap(), "theta"));
}

#[test]
fn what_cannot_be_coupled_is_refused() {
    let text = |e: Error| e.to_string();
    assert!(text(independent().with_minibatches(1).unwrap_err()).starts_with("size of a minibatch is 1"));
    let one = Interpolant::new(Schedule::OneSidedLinear, None, Source::Checkerboard).unwrap();
    assert!(text(one.with_minibatches(8).unwrap_err()).starts_with("coupling is minibatches on OneSidedLinear"));
    let odd = Interpolant::paired(line(), 1, vec![0.0, 1.0], vec![1.0]).unwrap_err();
    assert_eq!(text(odd), "shape mismatch in `Interpolant::paired`: got 2 and 1 values, want as many rows in both");
    let gpu = common::gpu();
    let made = |config: &FitConfig| {
        let path = independent().with_minibatches(48).unwrap();
        FieldTrainer::new(&gpu, &path, Field::B, &net(), (0.0, 1.0), config, RngKey::new(1)).err().map(text)
    };
    let cut = made(&fit(9)).unwrap();
    assert!(cut.starts_with("batch is 256 draws in minibatches of 48, but must be a multiple"), "{cut}");
    let g = Graph::new();
    let drawn = independent().with_minibatches(8).unwrap();
    let drawn = drawn.draws(&g, g.key("key"), 8, (0.0, 1.0)).err().map(text).unwrap();
    assert!(drawn.starts_with("coupling is Minibatch { size: 8 } in a graph"), "{drawn}");
    let config: FitConfig =
        ron::from_str("(learning_rate: (from: 2e-3, decay: Steps(factor: 0.5, every: 1500)))").unwrap();
    assert_eq!(config.learning_rate, LearningRate::stepped(2e-3, 0.5, 1500));
    assert_eq!([1499, 1500, 4500].map(|k| config.learning_rate.at(k)), [2e-3, 1e-3, 2.5e-4]);
    for (config, said) in [
        (FitConfig { average: Some(Average { decay: 1.0, from: 0 }), ..fit(9) }, "average is 1"),
        (
            FitConfig {
                learning_rate: LearningRate {
                    decay: Decay::Steps { factor: 0.0, every: 5 },
                    ..LearningRate::constant(1e-3)
                },
                ..fit(9)
            },
            "learning_rate is in stairs of 5 steps, times 0",
        ),
    ] {
        assert!(text(config.check().unwrap_err()).starts_with(said), "{said}");
    }
}
