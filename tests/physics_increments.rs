//! Laws of one increment of a log-weight: two forms of one number, and walkers that do not move but let a mass learn.
//!
//! Every law is one function of the backend; the f64 run is the meaning of the graph, the device run the product.

mod walkers;

use ergodic::dynamics::weights::{self, reference};
use ergodic::dynamics::{Compensated, EndPoint, Proposal, langevin};
use ergodic::graph::{Feeds, Graph, Var};
use ergodic::random::RngKey;
use walkers::{Backend, device, iterate, state};

// ---------------------------------------------------------------------------------------------------------------------
// V1: algebra.

#[test]
fn v1_the_two_forms_of_the_increment_agree_and_equal_the_f64_twin() {
    for backend in [Backend::F64, device()] {
        let eps = if matches!(backend, Backend::F64) { f64::EPSILON } else { f64::from(f32::EPSILON) };
        for h in [0.01, 0.1, 0.5] {
            let got = both_forms(&backend, h);
            for (i, (&ula, &ratio)) in got["ula"].iter().zip(&got["ratio"]).enumerate() {
                let end = |x: &str| reference::EndPoint {
                    x: got[x][i],
                    u: got[&format!("{x}.u")][i],
                    grad: got[&format!("{x}.g")][i],
                };
                let (from, to) = (end("x"), end("y"));
                let scale = from.u.abs() + to.u.abs() + h * (from.grad.powi(2) + to.grad.powi(2)) + 1.0;
                let exact = reference::increment(from, to, h);
                for (form, got) in [("ula", ula), ("ratio", ratio)] {
                    let (error, bound) = ((got - exact).abs(), 64.0 * eps * scale);
                    assert!(error <= bound, "{form} at h = {h}: {error:e} over {bound:e}");
                }
            }
        }
    }
}

/// Both forms of the weight of one step in one dimension, with both end points.
fn both_forms(backend: &Backend, h: f64) -> walkers::Values {
    let (g, n) = (Graph::new(), 1000);
    let from = EndPoint::of(
        |x| (x.square() * x.square() * 0.25 - x.square()).sum(1),
        g.key("noise").fold_in(1).normal([n, 1]) * 2.0,
    )
    .unwrap();
    let proposal = Proposal::new(&g, h);
    let xi = g.key("noise").normal([n, 1]);
    let to = langevin::ula(from, &proposal, xi, |x| (x.square() * 1.7 - x).sum(1)).unwrap().to;
    let (ula, ratio) = (weights::ula(from, to, &proposal), weights::kernel_ratio(from, to, &proposal));
    let outputs = [
        ("ula", ula),
        ("ratio", ratio),
        ("x", from.x),
        ("x.u", from.u),
        ("x.g", from.grad),
        ("y", to.x),
        ("y.u", to.u),
        ("y.g", to.grad),
    ];
    iterate(backend, &[], RngKey::new(1), &[], &outputs, 1)
}

#[test]
fn v1_sums_of_many_small_increments_do_not_drift() {
    let (g, steps) = (Graph::new(), 20_000);
    let (a, plain, gain) = (Compensated::input(&g, "a", [5]), g.input("plain", [5]), g.input("gain", [5]));
    let (sum, zero) = (a.plus(gain), g.full(0.0, [5]));
    let states = [state("a", zero, sum.high), state("a.low", zero, sum.low), state("plain", zero, plain + gain)];
    let end = iterate(&device(), &[("gain", vec![0.1; 5])], RngKey::new(0), &states, &[], steps);
    let exact = steps as f64 * f64::from(0.1f32);
    let error = (end["a"][0] + end["a.low"][0] - exact).abs();
    // Each addition is rounded at 2^-32; drivers that simplify (a + b) - a would leave the error of a plain sum.
    assert!(error < steps as f64 * 2f64.powi(-32), "{error:e}");
    assert!((end["plain"][0] - exact).abs() > 100.0 * error, "a plain sum is off by {:e}", end["plain"][0] - exact);
}

#[test]
fn v1_temperature_and_noise_of_their_own_keep_the_two_forms_equal() {
    let (g, n) = (Graph::new(), 1000);
    let proposal = Proposal::new(&g, 0.2).temperature(1.7).noise_sd(0.31);
    let from = EndPoint::of(|x: Var<'_>| x.square().sum(1), g.key("noise").fold_in(1).normal([n, 3])).unwrap();
    let to = langevin::ula(from, &proposal, g.key("noise").normal([n, 3]), |x| x.square().sum(1) * 1.5).unwrap().to;
    let forms = [weights::ula(from, to, &proposal), weights::kernel_ratio(from, to, &proposal)];
    let got = g.eval_f64(&forms, &Feeds::new().key("noise", RngKey::new(3))).unwrap();
    for (a, b) in got[0].data.iter().zip(&got[1].data) {
        // Terms are |xi|^2 and drift^2/sd^2, about 20 here.
        assert!((a - b).abs() <= 64.0 * f64::EPSILON * 20.0, "{a} {b}");
    }
}

#[test]
fn v1_a_clipped_step_is_not_weighed_by_the_formula_of_a_free_one() {
    let g = Graph::new();
    let from = EndPoint::of(|x: Var<'_>| x.square().sum(1), g.input("x", [4, 2])).unwrap();
    let _ = weights::ula(from, from, &Proposal::new(&g, 0.1).clip(0.5));
    let error = g.check().unwrap_err().to_string();
    assert_eq!(
        error,
        "drift limit of a ULA weight is set, but must be no clip; weigh a clipped step with kernel_ratio"
    );
}

#[test]
fn v1_an_energy_with_a_column_too_many_is_refused() {
    let g = Graph::new();
    let error = EndPoint::of(|x: Var<'_>| x.square(), g.input("x", [4, 1])).err().unwrap().to_string();
    assert!(error.starts_with("shape mismatch in `energy`: got [4, 1], want one value a walker, [n]"), "{error}");
}

// ---------------------------------------------------------------------------------------------------------------------
// V5: two wells far apart, walkers that do not move, a mass that learns.

/// Log-odds of the second well after `steps` of `z += eta (P - 3/4)`, for walkers at `x`: the model's mass `P` is the
/// weighted mean of the second well's responsibility, or the plain one.
fn learn_mass(backend: &Backend, x: Vec<f32>, weighted: bool, steps: u64) -> f64 {
    let (g, n) = (Graph::new(), x.len());
    let (x_in, z) = (g.input("x", [n, 1]), g.input("z", []));
    let to_first = (x_in + 12.0).square().sum(1) * -0.5;
    let to_second = (x_in - 9.0).square().sum(1) * -0.5;
    let gap = to_second - to_first;
    let energy = |z| -to_first - (gap - z).softplus();
    let a = Compensated::input(&g, "a", [n]);
    let second = (gap - z).sigmoid();
    let mass = if weighted { ergodic::dynamics::Summary::of(a).mean(second) } else { second.mean_all() };
    let z_next = z + (mass - 0.75) * ETA;
    let a_next = a.plus(weights::frozen(energy(z), energy(z_next), g.constant(1.0)));
    let zero = Compensated::zeros(&g, [n]);
    let mut states = vec![state("z", g.constant(0.0), z_next)];
    if weighted {
        states.extend([state("a", zero.high, a_next.high), state("a.low", zero.low, a_next.low)]);
    }
    iterate(backend, &[("x", x)], RngKey::new(0), &states, &[], steps)["z"][0]
}

const ETA: f64 = 0.0125;

/// `n` points, each in the second well (at 9) where `second` says so, else in the first (at -12).
fn points(n: usize, seed: u64, second: impl Fn(usize) -> bool) -> Vec<f32> {
    let key = RngKey::new(seed);
    (0..n).map(|i| key.normal(i as u32, 0, 0) + if second(i) { 9.0 } else { -12.0 }).collect()
}

fn frozen_walkers_learn_a_mass_only_with_weights(backend: &Backend, n: usize, steps: u64) {
    let coin = RngKey::new(5).fold_in(1);
    let model = points(n, 5, |i| coin.uniform(i as u32, 0, 0) < 0.5);
    let mass = |z: f64| 1.0 / (1.0 + z.exp());
    let logistic = (0..steps).fold(0.0, |z, _| z + ETA * (mass(z) - 0.75));
    let got = learn_mass(backend, model, true, steps);
    let bound = 4.0 * (mass(logistic) * (1.0 - mass(logistic)) / n as f64).sqrt();
    assert!((mass(got) - mass(logistic)).abs() < bound, "mass {} of {}", mass(got), mass(logistic));
    assert!(mass(got) > 0.6, "{steps} steps are too few to tell");
    // Started at the data, with three quarters of them in the second well: nothing ever pulls.
    let data = learn_mass(backend, points(n, 6, |i| i % 4 != 0), false, steps);
    assert!(data.abs() < 1e-3, "z = {data}");
    // Started in the model, without weights: the pull never ends, and z runs away.
    let drift = learn_mass(backend, points(n, 7, |i| i % 2 == 0), false, steps) / steps as f64;
    assert!((drift / (ETA * (0.5 - 0.75)) - 1.0).abs() < 0.02, "drift {drift}");
}

#[test]
fn v5_frozen_walkers_learn_a_mass_only_with_weights() {
    frozen_walkers_learn_a_mass_only_with_weights(&Backend::F64, 2000, 400);
    frozen_walkers_learn_a_mass_only_with_weights(&device(), 20_000, 600);
}
