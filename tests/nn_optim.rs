//! Optimisers against loops over plain numbers, and their rates.

use ergodic::autodiff::grad;
use ergodic::graph::{Feeds, Graph, Var};
use ergodic::nn::{Adam, Decay, LearningRate, Optimizer, Sgd, clip_global_norm, ema};

const STEPS: usize = 50;
const START: [f64; 4] = [-1.2, 1.0, 0.3, -0.7];

/// A curved valley in four dimensions: two Rosenbrock functions.
fn loss(theta: Var<'_>) -> Var<'_> {
    let (x, y) = (theta.narrow(0, 0, 2), theta.narrow(0, 2, 2));
    ((1.0 - x).square() + (y - x.square()).square() * 10.0).sum_all()
}

fn slope(theta: &[f64]) -> Vec<f64> {
    let mut out = vec![0.0; 4];
    for i in 0..2 {
        let (x, y) = (theta[i], theta[i + 2]);
        out[i] = -2.0 * (1.0 - x) - 40.0 * x * (y - x * x);
        out[i + 2] = 20.0 * (y - x * x);
    }
    out
}

/// The parameters after each step of the graph.
fn run(optimizer: Optimizer, rate: LearningRate) -> Vec<Vec<f64>> {
    let g = Graph::new();
    let theta = g.input("theta", [4]);
    let slope = grad(loss(theta), theta).unwrap_or_else(|e| panic!("{e}"));
    let update = optimizer.step("opt", theta, slope, rate.at_step(&g, "lr", STEPS), g.step());
    let mut feeds = Feeds::new().tensor("theta", &START).tensor("lr", rate_f64(rate));
    for (name, zeros) in update.start() {
        feeds.set(&name, zeros);
    }
    let step = |_| g.eval_step(&update.outputs("theta"), &mut feeds).unwrap_or_else(|e| panic!("{e}")).remove(0).data;
    (0..STEPS).map(step).collect()
}

fn rate_f64(rate: LearningRate) -> Vec<f64> {
    (0..STEPS).map(|k| rate.at(k)).collect()
}

/// The same by hand, straight from the papers.
fn adam_by_hand(adam: Adam, rate: LearningRate) -> Vec<Vec<f64>> {
    let (mut theta, mut m, mut v) = (START.to_vec(), [0.0; 4], [0.0; 4]);
    let step = |k: usize| {
        let slope = slope(&theta);
        for i in 0..4 {
            m[i] = adam.beta1 * m[i] + (1.0 - adam.beta1) * slope[i];
            v[i] = adam.beta2 * v[i] + (1.0 - adam.beta2) * slope[i] * slope[i];
            let mean = m[i] / (1.0 - adam.beta1.powi(k as i32 + 1));
            let var = v[i] / (1.0 - adam.beta2.powi(k as i32 + 1));
            theta[i] -= rate.at(k) * (mean / (var.sqrt() + adam.eps) + adam.weight_decay * theta[i]);
        }
        theta.clone()
    };
    (0..STEPS).map(step).collect()
}

fn sgd_by_hand(sgd: Sgd, rate: LearningRate) -> Vec<Vec<f64>> {
    let (mut theta, mut v) = (START.to_vec(), [0.0; 4]);
    let step = |k: usize| {
        let slope = slope(&theta);
        for i in 0..4 {
            v[i] = sgd.momentum * v[i] + slope[i];
            theta[i] -= rate.at(k) * (v[i] + sgd.weight_decay * theta[i]);
        }
        theta.clone()
    };
    (0..STEPS).map(step).collect()
}

#[track_caller]
fn assert_same_path(got: &[Vec<f64>], want: &[Vec<f64>]) {
    // The same formulas in another order: a few roundings a step of numbers of order 1 (measured: 10 eps in all).
    let tolerance = 4.0 * STEPS as f64 * f64::EPSILON;
    for (k, (got, want)) in got.iter().zip(want).enumerate() {
        assert!(got.iter().zip(want).all(|(a, b)| (a - b).abs() < tolerance), "step {k}: {got:?} {want:?}");
    }
}

#[test]
fn adam_follows_its_algorithm_for_50_steps() {
    let rate = LearningRate::linear(0.05, 0.01, 40).warm_up(3);
    let decayed = Adam { weight_decay: 0.1, eps: 1e-3, ..Adam::default() };
    for adam in [Adam::default(), Adam { beta1: 0.0, ..Adam::default() }, Adam { beta1: 0.5, beta2: 0.9, ..decayed }] {
        assert_same_path(&run(Optimizer::Adam(adam), rate), &adam_by_hand(adam, rate));
    }
}

#[test] // the control: without the corrections the first step is another one
fn the_corrections_matter_from_the_first_step() {
    let rate = LearningRate::constant(0.05);
    let with = run(Optimizer::Adam(Adam::default()), rate)[0][0] - START[0];
    assert!((with.abs() - 0.05).abs() < 1e-6, "the first step has the length of the rate, not {with}");
    let uncorrected = 0.05 * 0.1 / 0.001f64.sqrt();
    assert!((uncorrected / with.abs() - 1.0).abs() > 1.0);
}

#[test]
fn sgd_follows_its_algorithm_for_50_steps() {
    let rate = LearningRate::cosine(0.004, 0.001, 30).hold(5);
    for sgd in [Sgd::default(), Sgd { momentum: 0.7, weight_decay: 0.2 }] {
        assert_same_path(&run(Optimizer::Sgd(sgd), rate), &sgd_by_hand(sgd, rate));
    }
}

#[test]
fn only_what_is_needed_is_carried() {
    let names = |optimizer: Optimizer| {
        let g = Graph::new();
        let theta = g.input("theta", [4]);
        let update = optimizer.step("opt", theta, theta, g.constant(0.1), g.step());
        assert_eq!(update.outputs("theta")[0].0, "theta");
        assert!(update.start().iter().all(|(_, zeros)| *zeros == [0.0; 4]));
        update.state.into_iter().map(|(name, _)| name).collect::<Vec<_>>()
    };
    assert_eq!(names(Optimizer::Adam(Adam::default())), ["opt.m", "opt.v"]);
    assert_eq!(names(Optimizer::Adam(Adam { beta1: 0.0, ..Adam::default() })), ["opt.v"]);
    assert_eq!(names(Optimizer::Sgd(Sgd::default())), [""; 0]);
    assert_eq!(names(Optimizer::Sgd(Sgd { momentum: 0.9, ..Sgd::default() })), ["opt.velocity"]);
}

#[test]
fn adam_minimises_where_its_rate_falls_to_zero() {
    // On a parabola with noise-free slopes Adam oscillates within the rate, so a rate that ends at 0 ends at the minimum.
    let g = Graph::new();
    let theta = g.input("theta", [2]);
    let slope = theta - 3.0;
    let rate = LearningRate::linear(0.1, 0.0, 400);
    let update = Adam::default().step("opt", theta, slope, rate.at_step(&g, "lr", 400), g.step());
    let mut feeds = Feeds::new().tensor("theta", &[0.0, 10.0]).tensor("lr", rate.table(400));
    for (name, zeros) in update.start() {
        feeds.set(&name, zeros);
    }
    for _ in 0..400 {
        g.eval_step(&update.outputs("theta"), &mut feeds).unwrap_or_else(|e| panic!("{e}"));
    }
    let end = feeds.get("theta").unwrap_or_default();
    assert!(end.iter().all(|x| (x - 3.0).abs() < 0.01), "{end:?}");
}

fn value(y: Var<'_>, feeds: &Feeds) -> Vec<f64> {
    y.graph().eval_f64(&[y], feeds).unwrap_or_else(|e| panic!("{e}")).remove(0).data
}

#[test]
fn clipping_keeps_the_direction_and_short_gradients() {
    let g = Graph::new();
    let (clipped, norm) = clip_global_norm(g.input("grad", [3]), 1.0);
    let at =
        |x: [f64; 3]| (value(clipped, &Feeds::new().tensor("grad", &x)), value(norm, &Feeds::new().tensor("grad", &x)));
    assert_eq!(at([0.3, 0.0, -0.4]), (vec![0.3, 0.0, -0.4], vec![0.5]));
    assert_eq!(at([0.0; 3]), (vec![0.0; 3], vec![0.0]));
    let (long, norm) = at([30.0, 0.0, -40.0]);
    assert_eq!(norm, [50.0]);
    assert!(long.iter().zip([0.6, 0.0, -0.8]).all(|(a, b)| (a - b).abs() <= 2.0 * f64::EPSILON), "{long:?}");
    assert_eq!(at([1e200, 1e200, 0.0]).0, [0.0; 3], "a norm that overflows stops the step");
}

#[test]
fn an_average_forgets_at_its_decay() {
    let g = Graph::new();
    let average = g.input("average", []);
    let next = ema(average, g.constant(1.0), 0.9);
    let mut feeds = Feeds::new().tensor("average", 0.0);
    for _ in 0..20 {
        g.eval_step(&[("average", next)], &mut feeds).unwrap_or_else(|e| panic!("{e}"));
    }
    let got = feeds.get("average").unwrap_or_default()[0];
    assert!((got - (1.0 - 0.9f64.powi(20))).abs() < 20.0 * f64::EPSILON, "{got}");
}

#[test]
fn rates_rise_hold_fall_and_stay() {
    let linear = LearningRate::linear(8.0, 4.0, 4).warm_up(3).hold(2);
    assert_eq!(linear.table(11), [2.0, 4.0, 6.0, 8.0, 8.0, 8.0, 7.0, 6.0, 5.0, 4.0, 4.0]);
    assert_eq!(LearningRate::constant(0.5).table(3), [0.5; 3]);
    let cosine = LearningRate::cosine(1.0, 0.0, 4);
    let want = [1.0, (2.0 + 2f64.sqrt()) / 4.0, 0.5, (2.0 - 2f64.sqrt()) / 4.0, 0.0, 0.0];
    for (k, want) in want.into_iter().enumerate() {
        assert!((cosine.at(k) - want).abs() < 2.0 * f64::EPSILON, "{k}");
    }
    assert_eq!(LearningRate::linear(1.0, 2.0, 0).table(2), [2.0, 2.0]);
    assert!(LearningRate::constant(1.0).table(0).is_empty());
}

#[test]
fn optimisers_and_rates_read_from_presets() {
    let adam: Optimizer = ron::from_str("Adam((beta1: 0.0))").expect("valid");
    assert_eq!(adam, Optimizer::Adam(Adam { beta1: 0.0, ..Adam::default() }));
    let rate: LearningRate = ron::from_str("(from: 1e-4, to: Some(0.0), over: 3000, decay: Cosine)").expect("valid");
    assert_eq!(rate, LearningRate { decay: Decay::Cosine, ..LearningRate::linear(1e-4, 0.0, 3000) });
    assert!(ron::from_str::<Optimizer>("Adam((beta3: 0.0))").is_err());
}
