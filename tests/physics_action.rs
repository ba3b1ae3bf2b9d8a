//! Laws of paths of least action, in f64: known quasipotentials, tables, symmetries, and what is refused.
//!
//! Numbers without a closed form were computed independently for the specification, to as many digits as are written here.

use ergodic::Error;
use ergodic::methods::action::{
    Climb, Curvature, GinzburgLandau, LinearSde, MaierStein, Model, Passage, Path, PathOptions, Schloegl, System,
    equal_action,
};
use std::f64::consts::PI;

const FREE: PathOptions = PathOptions { nodes: 101, max_steps: 2000, tolerance: 1e-6, free_end: true, aside: 0.1 };

fn rates(d: f64) -> Vec<f64> {
    [&[d], &Schloegl::RATES[..]].concat()
}

fn passage(system: &dyn System, parameters: &[f64], ends: (f64, f64)) -> Passage {
    let (model, n) = (Model::new(system, parameters).unwrap(), system.sites());
    model.passage(&vec![ends.0; n], &vec![ends.1; n], &PathOptions::default()).unwrap()
}

/// Relative distance, with what is printed in a message.
#[track_caller]
fn near(what: &str, got: f64, want: f64, tolerance: f64) {
    assert!((got - want).abs() <= tolerance, "{what}: {got} instead of {want}, {:e} off", (got - want).abs());
}

fn maier_stein(beta: f64) -> Climb {
    let model = Model::new(&MaierStein, &[beta, 1.0]).unwrap();
    let start = Path::along(&[-1.0, 0.0], &[0.0, 0.0], 101, |s, x| if x == 1 { 0.3 * (PI * s).sin() } else { 0.0 });
    model.climb_along(&start.unwrap(), &PathOptions::default()).unwrap()
}

#[test]
fn maier_and_steins_barrier_is_found_with_second_order_errors() {
    for (beta, want, top) in [(1.0, 0.5, 0.0), (6.0, 0.4523427, 0.29229), (10.0, 0.3400414, 0.31298)] {
        let climb = maier_stein(beta);
        // Richardson's step removes the second order; a tenth of it is more than the fourth, and 1e-7 is the last printed digit.
        near("action", climb.value, want, 0.1 * climb.error + 1e-7);
        let ratio = (climb.coarse - climb.value) / (climb.fine - climb.value);
        // Exactly 4 by construction of `value`; against the known answer it shows the order.
        near("ratio", (climb.coarse - want) / (climb.fine - want), ratio, 0.4);
        let y = climb.path().states().iter().skip(1).step_by(2).fold(0.0, |top: f64, y| top.max(y.abs()));
        // Half a segment of curvature 1 beside the top, and the printed digits.
        near("largest y", y, top, 2e-5);
        assert!(climb.converged() && climb.h_residual() < 1e-15, "{climb:?}");
    }
}

#[test]
fn two_sites_have_the_barriers_of_the_table() {
    let system = GinzburgLandau::sites(2);
    for (d, kappa, saddle, up, down) in [
        (0.05, 0.0, (0.447214, -0.447214), 0.480000, 0.480000),
        (0.05, 0.10, (0.392945, -0.486638), 0.402646, 0.567362),
        (0.05, 0.26, (0.315104, -0.511857), 0.301980, 0.711926),
        (0.025, 0.26, (0.095376, -0.817868), 0.200393, 0.711927),
        (0.10, 0.26, (0.0, 0.0), 0.356435, 0.711927),
    ] {
        let found = passage(&system, &[d, kappa, 0.0], (-1.0, 1.0));
        let profile = found.saddle.profile();
        near("saddle", profile.1, saddle.0, 1e-6);
        near("saddle", profile.0, saddle.1, 1e-6);
        assert_eq!(found.saddle.index(), 1);
        near("up", found.up.value, up, 2e-5 * up);
        near("down", found.down.value, down, 2e-5 * down);
        // Where it is cheaper the way down leads through the top of index 2, and slides to the saddle for free.
        let through: Vec<_> = found.down.through.iter().map(|point| point.index()).collect();
        assert_eq!(through, if kappa > 0.2 && d < 1.0 / 16.0 { vec![2] } else { vec![] }, "D {d}, kappa {kappa}");
    }
}

#[test]
fn turning_the_field_and_its_drive_around_exchanges_up_and_down() {
    let system = GinzburgLandau::sites(2);
    let (one, other) =
        (passage(&system, &[0.05, 0.1, 0.02], (-1.0, 1.0)), passage(&system, &[0.05, -0.1, -0.02], (-1.0, 1.0)));
    // Descents end where nodes move by 1e-6 of the length: the action is off by its square.
    near("up", one.up.value, other.down.value, 1e-10);
    near("down", one.down.value, other.up.value, 1e-10);
    assert!((one.up.value - one.down.value).abs() > 0.1, "the control: the two directions differ");
}

#[test]
fn far_from_equilibrium_a_path_does_not_return_the_way_it_came() {
    let system = GinzburgLandau::sites(2);
    for (kappa, far) in [(0.0, false), (0.1, true)] {
        let model = Model::new(&system, &[0.05, kappa, 0.0]).unwrap();
        let found = passage(&system, &[0.05, kappa, 0.0], (-1.0, 1.0));
        // Down from the saddle the drift is followed: the way back of the climb, if the drift is a gradient.
        let start = Path::straight(&found.saddle.state, &found.low.state, 201).unwrap();
        let slide = model.string(&start, 4000, 1e-8).unwrap().path;
        let (there, action) = (found.up.path(), model.action(&slide).unwrap());
        let apart = there.distance(&slide);
        let grid = there.length() / 200.0;
        assert_eq!(apart > 2.0 * grid, far, "kappa {kappa}: {apart}, nodes are {grid} apart");
        // What slides costs nothing; climbing along it costs at least the least action, and that only in equilibrium.
        assert!(action < 1e-6, "{action}");
        let climbed = model.action(&slide.reversed()).unwrap();
        assert_eq!(climbed > found.up.fine + 10.0 * found.up.error, far, "kappa {kappa}: {climbed}");
        assert!(climbed > found.up.value - found.up.error);
    }
}

#[test]
fn what_follows_the_saddle_is_free() {
    let system = GinzburgLandau::sites(2);
    let model = Model::new(&system, &[0.05, 0.1, 0.0]).unwrap();
    let found = passage(&system, &[0.05, 0.1, 0.0], (-1.0, 1.0));
    let near_saddle: Vec<_> = found.saddle.state.clone();
    let down = Path::straight(&near_saddle, &found.high.state, 201).unwrap();
    let slide = model.string(&down, 4000, 1e-8).unwrap().path;
    assert!(model.action(&slide).unwrap() < found.up.error);
}

#[test]
fn uniform_states_of_the_network_climb_over_the_known_barrier() {
    // By quadrature of ln(w-/w+), a site.
    let (up, down) = (0.0072716571, 0.0047553649);
    for (n, d) in [(1, 0.0), (2, 0.2), (8, 1.0)] {
        let found = passage(&Schloegl::new(n), &rates(d), (0.5, 1.6));
        near("saddle", found.saddle.profile().0, 1.0, 1e-9);
        // Printed digits, and the fourth order: the square of the second order's relative 1.5e-5.
        near("up", found.up.value / n as f64, up, 1e-9);
        near("down", found.down.value / n as f64, down, 1e-9);
        // The truncation is close here, and no more: by its own quadrature.
        let truncated = passage(&Schloegl::langevin(n), &rates(d), (0.5, 1.6));
        near("up, truncated", truncated.up.value / n as f64, 0.0072714370, 1e-9);
        near("down, truncated", truncated.down.value / n as f64, 0.0047553260, 1e-9);
    }
}

#[test]
fn where_sites_separate_the_high_state_becomes_the_preferred_one() {
    for (n, d, saddle, up, down) in [
        (2, 0.05, (0.664582, 1.180967), 0.0116024, 0.0095112),
        (8, 0.4, (0.721169, 1.252042), 0.0485714, 0.0380369),
        (8, 0.2, (0.527303, 1.366946), 0.0336728, 0.0352468),
    ] {
        let found = passage(&Schloegl::new(n), &rates(d), (0.5, 1.6));
        let profile = found.saddle.profile();
        near("lowest site", profile.0, saddle.0, 1e-6);
        near("highest site", profile.1, saddle.1, 1e-6);
        assert_eq!(found.saddle.index(), 1);
        // The table's numbers carry the error of 101 nodes, 2.5e-4 of them, or of 201.
        near("up", found.up.value, up, 2.5e-4 * up);
        near("down", found.down.value, down, 2.5e-4 * down);
        assert_eq!(found.difference() < 0.0, d == 0.2, "{n} sites, D {d}");
    }
}

#[test]
fn independent_particles_have_their_poisson_law_whatever_the_hops() {
    let profile = [2.0, 1.0, 0.6, 1.0];
    let exact: f64 = profile.iter().map(|rho: &f64| rho * rho.ln() - rho + 1.0).sum();
    for d in [0.3, 1.0] {
        let system = Schloegl::new(4);
        let model = Model::new(&system, &[d, 1.0, 1.0, 0.0, 0.0]).unwrap();
        let climb = model.climb(&[1.0; 4], &profile, &FREE).unwrap();
        near("quasipotential", climb.value, exact, climb.error);
        // theta = ln rho at the end, which is no critical point: half a segment before it, with the slope of the logarithm.
        let last = &climb.legs[0].momenta.theta;
        let theta = &last[last.len() - 4..];
        assert!(theta.iter().zip(profile).all(|(theta, rho)| (theta - rho.ln()).abs() < 0.02), "{theta:?}");
    }
}

#[test]
fn jumps_and_their_truncation_differ_where_momenta_are_large() {
    // Birth at rate 1, death at rate rho, from 1 to 2: 2 ln 2 - 1, and the integral of 2 (r - 1) / (r + 1).
    for (system, exact) in [(Schloegl::new(1), 2.0 * 2f64.ln() - 1.0), (Schloegl::langevin(1), 2.0 - 4.0 * 1.5f64.ln())]
    {
        let model = Model::new(&system, &[0.0, 1.0, 1.0, 0.0, 0.0]).unwrap();
        near("action", model.climb(&[1.0], &[2.0], &FREE).unwrap().value, exact, 1e-8);
    }
}

#[test]
fn a_linear_field_has_the_quadratic_form_of_its_stationary_law() {
    let a = [-1.0, 2.0, -1.0, -0.5];
    // A C + C A' = -1 for C = (p, q; q, r): three equations.
    let c = lyapunov(a);
    let (x, det) = ([1.0, 0.5], c[0] * c[2] - c[1] * c[1]);
    let exact = 0.5 * (c[2] * x[0] * x[0] - 2.0 * c[1] * x[0] * x[1] + c[0] * x[1] * x[1]) / det;
    let system = LinearSde::new(&a);
    let model = Model::new(&system, &[]).unwrap();
    let climb = model.climb(&[0.0, 0.0], &x, &FREE).unwrap();
    // The spiral winds without end into the origin: what a segment cuts off there is a part of ds^2.
    near("quasipotential", climb.value, exact, 1e-4 * exact + climb.error);
}

fn lyapunov([a, b, c, d]: [f64; 4]) -> [f64; 3] {
    // 2 (a p + b q) = -1,  c p + (a + d) q + b r = 0,  2 (c q + d r) = -1: q by elimination.
    let q = (c / (2.0 * a) + b / (2.0 * d)) / (a + d - b * c / a - b * c / d);
    [(-0.5 - b * q) / a, q, (-0.5 - c * q) / d]
}

#[test]
fn a_path_with_a_duration_costs_what_its_lagrangian_says() {
    // dx = -x dt + dW from 0 to 1 in time T: the least action is 1 / (1 - exp(-2 T)), along sinh t / sinh T.
    let system = LinearSde::new(&[-1.0]);
    let model = Model::new(&system, &[]).unwrap();
    let duration = 1.5f64;
    let node = |i: usize, n: usize| (duration * i as f64 / (n - 1) as f64).sinh() / duration.sinh();
    let action = |n: usize| {
        let path = Path::new(1, (0..n).map(|i| node(i, n)).collect()).unwrap();
        (model.timed_action(&path, duration).unwrap(), model.action(&path).unwrap())
    };
    let exact = 1.0 / (1.0 - (-2.0 * duration).exp());
    let ((coarse, _), (fine, geometric)) = (action(101), action(201));
    let ratio = (coarse - exact) / (fine - exact);
    assert!((ratio - 4.0).abs() < 0.1, "ratio {ratio}");
    near("action", fine + (fine - coarse) / 3.0, exact, 1e-8);
    // With all the time in the world: x^2 for a = 1.
    near("geometric", geometric, 1.0, 1e-8);
    assert!(fine > geometric);
    assert!(matches!(model.timed_action(&Path::straight(&[0.0], &[1.0], 9).unwrap(), 0.0), Err(Error::Invalid { .. })));
}

#[test]
fn descents_go_down_and_strings_cost_no_less() {
    let system = GinzburgLandau::sites(2);
    let found = passage(&system, &[0.05, 0.1, 0.0], (-1.0, 1.0));
    let model = Model::new(&system, &[0.05, 0.1, 0.0]).unwrap();
    let start = Path::straight(&found.low.state, &found.saddle.state, 101).unwrap();
    let after = |steps| {
        let options = PathOptions { max_steps: steps, ..PathOptions::default() };
        model.minimise(&start, &options).unwrap().action
    };
    let actions: Vec<_> = [0, 1, 2, 4, 8, 16, 32].map(after).to_vec();
    // Spreading nodes may raise it by the error of the quadrature.
    assert!(actions.windows(2).all(|w| w[1] <= w[0] * (1.0 + 1e-5)), "{actions:?}");
    assert!(actions[0] > found.up.value + 100.0 * found.up.error, "the control: the straight line is not the best");
}

#[test]
fn sweeps_of_descent_and_ascent_end_at_the_same_action() {
    let system = GinzburgLandau::sites(2);
    let model = Model::new(&system, &[0.05, 0.1, 0.0]).unwrap();
    let [low, _, saddle] = model.ends(&[-1.0; 2], &[1.0; 2]).unwrap();
    let swept = |n: usize| {
        let start = Path::straight(&low.state, &saddle.state, n).unwrap();
        model.sweep(&start, 0.1, 500).unwrap()
    };
    let (coarse, fine, exact) = (swept(26), swept(51), 0.402646);
    // Second order, and what linear interpolation cuts off at corners: from 51 to 101 nodes the ratio is 4.7.
    let ratio = (coarse.action - exact) / (fine.action - exact);
    assert!((3.0..7.0).contains(&ratio), "ratio {ratio}");
    near("action", fine.action, exact, 2e-3 * exact);
    assert!(fine.rate < 1e-6 && fine.h_residual < 0.5 * coarse.h_residual, "{} {}", fine.rate, fine.h_residual);
    let start = Path::straight(&low.state, &saddle.state, 26).unwrap();
    assert!(
        matches!(model.sweep(&start, 100.0, 500), Err(Error::Invalid { .. })),
        "a step too large for the reactions"
    );
    assert!(matches!(model.sweep(&start, 0.0, 1), Err(Error::Invalid { .. })));
}

#[test]
fn equal_action_is_found_where_it_is_known() {
    // Well mixed: h = -kappa/3 - 2 kappa^3/27, where the cubic has its roots at equal distances.
    let (system, kappa) = (GinzburgLandau::sites(1), 0.26);
    let options = PathOptions { nodes: 41, ..PathOptions::default() };
    let at = |h: f64| Model::new(&system, &[0.0, kappa, h])?.passage(&[-1.0], &[1.0], &options);
    let found = equal_action((-0.12, -0.05), 1e-9, at).unwrap();
    near("h", found.at, -kappa / 3.0 - 2.0 * kappa.powi(3) / 27.0, found.error);
    assert!(found.error < 1e-4 && found.tried < 12, "{} after {}", found.error, found.tried);
    let one_sided = equal_action((-0.06, -0.05), 1e-6, at).unwrap_err();
    assert!(one_sided.to_string().contains("must be of both signs: widen the range"), "{one_sided}");
}

#[test]
fn what_makes_no_sense_is_refused_with_its_remedy() {
    let gl = GinzburgLandau::sites(2);
    let model = Model::new(&gl, &[0.05, 0.1, 0.0]).unwrap();
    let text = |error: Error| error.to_string();
    let options = PathOptions::default();
    let low = model.critical_point(&[-1.0, -1.0]).unwrap().state;
    assert!(
        text(model.climb(&[-0.9, -0.9], &low, &options).unwrap_err()).starts_with("an end state is where the drift is")
    );
    assert!(text(model.climb(&low, &[0.3, 0.3], &options).unwrap_err()).contains("or set free_end"));
    let top = model.critical_point(&[0.01, 0.01]).unwrap();
    assert_eq!((top.index(), top.growth.len()), (2, 2));
    assert!(
        text(model.climb(&top.state, &low, &options).unwrap_err()).contains("fixed point with 2 growing directions")
    );
    let collapsed = Path::new(1, vec![0.0, 0.5, 0.5, 1.0]).unwrap();
    assert!(text(collapsed.respaced(4).unwrap_err()).contains("from node 1 to the next"));
    let network = Schloegl::new(1);
    let model = Model::new(&network, &[0.0, 1.0, 1.0, -1.0, 0.0]).unwrap();
    let negative = model.momenta(&Path::straight(&[0.5], &[2.0], 5).unwrap()).unwrap_err();
    assert!(text(negative).starts_with("a rate is -"));
    assert!(text(Model::new(&network, &[1.0]).err().unwrap()).contains("got 1 parameters, want 5: D, k0, k1, k2, k3"));
    assert!(matches!(Model::new(&network, &[f64::NAN; 5]), Err(Error::Invalid { .. })));
    assert!(matches!(Path::straight(&[0.0], &[1.0, 2.0], 9), Err(Error::Shape { .. })));
    assert_eq!(Schloegl::new(8).curvature(), Curvature::Ring);
}
