//! Fields on the device: operators and steps as in f64, passes of several steps, conservation in f32, and the law of noise.

mod common;
#[path = "common/compare.rs"]
mod compare;
mod field_support;

use compare::{assert_close, assert_plan_close};
use ergodic::autodiff::grad;
use ergodic::dynamics::ode::{self, FixedStep, Method, Rates};
use ergodic::field::{Axis, Edge, Flux, Grid, Implicit, Linear, Order, Scheme, Spectral, Stencil};
use ergodic::gpu::Tensor;
use ergodic::graph::{DType, Graph, Var};
use ergodic::plan::{Bindings, CompileOptions, Plan, Session};
use ergodic::random::RngKey;
use field_support::{REFLECTING, between};

const EPS: f64 = f32::EPSILON as f64;

/// A plane between unlike walls.
fn walled() -> Grid {
    let low = Axis::between(7, 7.0, Edge::Dirichlet(0.3), Edge::Neumann(-0.2));
    Grid::new([low, Axis::between(9, 9.0, REFLECTING, Edge::Dirichlet(0.0))]).unwrap()
}

#[test]
fn operators_on_the_device_equal_their_f64_meaning() {
    let ring = Axis::periodic(9, 9.0);
    let space = Grid::new([ring, between(6, 6.0, REFLECTING), Axis::periodic(5, 5.0)]).unwrap();
    for (name, grid) in [("walled", walled()), ("space", space)] {
        let g = Graph::new();
        let u = g.input("u", [&[2], &grid.shape()[..]].concat());
        let v = vec![u.sin(); grid.dimensions()];
        let taps =
            Stencil::new().tap(vec![1; grid.dimensions()], 0.5).tap(vec![-1; grid.dimensions()], g.input("w", []));
        let own = grid.apply(&taps, u).unwrap();
        let outputs = [
            ("laplacian", grid.laplacian(u, Order::Two).unwrap()),
            ("wide", grid.laplacian(u, Order::Four).unwrap()),
            ("bilaplacian", grid.bilaplacian(u, Order::Two).unwrap()),
            ("divergence", grid.divergence(&grid.gradient(u, Order::Two).unwrap(), Order::Two).unwrap()),
            ("advection", grid.advection(u, &v, Scheme::Upwind).unwrap()),
            ("transport", grid.transport(u, &v, Flux::Upwind).unwrap()),
            ("own", own),
            ("slope of a weight", grad(own.square().sum_all(), g.input("w", [])).unwrap()),
        ];
        // Cells of size 1: weights of a bilaplacian sum to 12^2, values are below 1; sums of up to 500 squares.
        assert_close(name, &common::gpu(), &g, &outputs, 16.0 * 144.0 * EPS);
    }
}

#[test]
fn steppers_on_the_device_equal_their_f64_meaning() {
    let grid = walled();
    let linear = Linear::diffusion(0.2);
    let g = Graph::new();
    let u = g.input("u", [&[3], &grid.shape()[..]].concat());
    let solved = grid.solve_lines(u, 0, 2.0).unwrap();
    let outputs = [
        ("trapezoid", grid.crank_nicolson(u, 0.2, 1.0).unwrap()),
        ("implicit", grid.implicit_explicit(u, &linear, Implicit::Lines, 1.0, |u| Ok(u * 0.5)).unwrap()),
        ("explicit", grid.explicit_step(u, &linear, Method::Heun, 0.5, |u| Ok(u * 0.5)).unwrap()),
        ("reacted", solved - solved * solved * solved),
    ];
    assert_close("steppers", &common::gpu(), &g, &outputs, 200.0 * EPS);
}

#[test]
fn modes_filter_on_the_device() {
    let (gpu, grid) = (common::gpu(), Grid::new([Axis::periodic(12, 1.0), between(10, 1.0, REFLECTING)]).unwrap());
    let g = Graph::new();
    let spectral = Spectral::new(&g, "modes", &grid, Order::Two);
    let next = spectral.filter(g.input("u", [4, 12, 10]), |rate| (rate * 0.01).exp()).unwrap();
    let plan = Plan::compile(&gpu, &[("next", next)], &CompileOptions::default()).unwrap();
    let noise = compare::noise(480, 1);
    let u = Tensor::from_slice(&gpu, "u", &[4, 12, 10], &noise).unwrap();
    let bindings = spectral.bind(&gpu, Bindings::new().tensor("u", &u)).unwrap();
    let mut session = Session::new(&plan, bindings).unwrap();
    session.run(1).unwrap();
    let got = session.read::<f32>("next").unwrap().wait().unwrap();
    let feeds = spectral.feed(ergodic::graph::Feeds::new().tensor("u", &noise));
    let want = g.eval_f64(&[next], &feeds).unwrap().remove(0).data;
    // Four products of 10 or 12 terms of norm 1: their roundings add up like norms.
    let worst = got.iter().zip(&want).fold(0.0, |worst, (g, w)| f64::max(worst, (f64::from(*g) - w).abs()));
    assert!(worst < 4.0 * 12.0 * 2.0 * EPS, "{worst:e}");
}

#[test]
fn steps_on_rings_and_between_walls_are_taken_together() {
    let gpu = common::gpu();
    let (ring, wall) = (Axis::periodic(96, 96.0), between(96, 96.0, REFLECTING));
    for axes in [[ring, ring], [ring, wall], [wall, ring], [wall, wall]] {
        let grid = Grid::new(axes).unwrap();
        let g = Graph::new();
        let u = g.input("u", grid.shape());
        let next =
            grid.explicit_step(u, &Linear::diffusion(0.2), Method::Euler, 1.0, |u| Ok((u - u * u * u) * 0.1)).unwrap();
        let plan = Plan::compile(&gpu, &[("u", next)], &CompileOptions::default()).unwrap();
        let together = plan.report().steps_together();
        assert!(!gpu.caps().is_software() || together > 1, "{axes:?}: {}", plan.report());
        assert_plan_close("a step", &plan, &g, &[("u", next)], 16.0 * EPS);
    }
}

#[test]
fn heat_is_conserved_in_f32_up_to_the_rounding_of_each_step() {
    let (gpu, steps) = (common::gpu(), 400);
    let grid = Grid::new([Axis::periodic(32, 32.0), between(24, 24.0, REFLECTING)]).unwrap();
    let g = Graph::new();
    let u = g.input("u", grid.shape());
    let next = grid.explicit_step(u, &Linear::diffusion(0.2), Method::Euler, 1.0, |u| Ok(u.zeros_like())).unwrap();
    let plan = Plan::compile(&gpu, &[("u", next)], &CompileOptions::default()).unwrap();
    let start: Vec<f32> = compare::noise(grid.n_cells(), 2).iter().map(|u| u + 2.0).collect();
    let tensor = Tensor::from_slice(&gpu, "u", &grid.shape(), &start).unwrap();
    let mut session = Session::new(&plan, Bindings::new().tensor("u", &tensor)).unwrap();
    session.run(steps).unwrap();
    let end = session.read::<f32>("u").unwrap().wait().unwrap();
    let total = |u: &[f32]| u.iter().map(|u| f64::from(*u)).sum::<f64>();
    // A step rounds about ten times by at most eps / 2 of values below 4, in any direction: as random walks over cells and steps.
    let bound = 4.0 * 10.0 * 0.5 * EPS * 4.0 * ((grid.n_cells() as u64 * steps) as f64).sqrt();
    assert!((total(&end) - total(&start)).abs() < bound, "{:e} of {bound:e}", total(&end) - total(&start));
}

#[test]
fn steps_far_over_the_explicit_limit_conserve_heat_in_f32() {
    let (gpu, steps, far) = (common::gpu(), 20, 1000.3);
    let grid = Grid::new([Axis::periodic(32, 32.0), between(24, 24.0, REFLECTING)]).unwrap();
    let g = Graph::new();
    let (u, v) = (g.input("u", grid.shape()), g.input("v", grid.shape()));
    let trapezoid = grid.crank_nicolson(u, far, 1.0).unwrap();
    let implicit =
        grid.implicit_explicit(v, &Linear::diffusion(far), Implicit::Lines, 1.0, |v| Ok(v.zeros_like())).unwrap();
    let plan = Plan::compile(&gpu, &[("u", trapezoid), ("v", implicit)], &CompileOptions::default()).unwrap();
    let start: Vec<f32> = compare::noise(grid.n_cells(), 2).iter().map(|u| u + 2.0).collect();
    let fields = ["u", "v"].map(|name| Tensor::from_slice(&gpu, name, &grid.shape(), &start).unwrap());
    let bindings = Bindings::new().tensor("u", &fields[0]).tensor("v", &fields[1]);
    let mut session = Session::new(&plan, bindings).unwrap();
    session.run(steps).unwrap();
    let total = |u: &[f32]| u.iter().map(|u| f64::from(*u)).sum::<f64>();
    for name in ["u", "v"] {
        let end = session.read::<f32>(name).unwrap().wait().unwrap();
        // Some ten roundings a place, which add up along a line as a walk, an axis and step.
        let bound = 10.0 * 0.5 * EPS * (32f64 + 24.0).sqrt() * steps as f64;
        let drift = (total(&end) / total(&start) - 1.0).abs();
        assert!(drift < bound, "{name}: {drift:e} of {bound:e}");
    }
}

#[test]
fn solvers_of_ordinary_equations_take_fields() {
    let (gpu, n) = (common::gpu(), 24);
    let grid = Grid::new([Axis::periodic(n, n as f64)]).unwrap();
    let g = Graph::new();
    let x = g.input("x", [2, n]);
    let flow = FixedStep::new(&gpu, x, Method::Rk4, |_, x| Ok(Rates::of(grid.laplacian(x, Order::Two)?))).unwrap();
    let theta = std::f64::consts::TAU * 3.0 / n as f64;
    let wave = |i: usize| (theta * (i % n) as f64).cos() * (1 + i / n) as f64;
    let start: Vec<f32> = (0..2 * n).map(|i| wave(i) as f32).collect();
    let start = Tensor::from_slice(&gpu, "start", &[2, n], &start).unwrap();
    let end = flow.solve(&start, ode::Grid::new(0.0, 4.0, 40)).unwrap();
    let rate = grid.symbol(&Linear::diffusion(1.0), &[theta]).0;
    let got = end.points().unwrap().read::<f32>().unwrap().wait().unwrap();
    for (i, got) in got.iter().enumerate() {
        // The method is off by (rate step)^5 / 120 a step; each step rounds some thirty times, a tenth of the field each.
        let bound = 40.0 * ((rate * 0.1).abs().powi(5) / 120.0 + 3.0 * EPS) * 2.0;
        assert!((f64::from(*got) - wave(i) * (4.0 * rate).exp()).abs() < bound, "{i}: {got}");
    }
}

/// Stationary variance of each mode, from `rows` fields after `steps` steps from zero, against `want(rate, steps)`.
fn check_spectrum(
    what: &str,
    step: impl for<'g> Fn(&Grid, Var<'g>, Var<'g>) -> Var<'g>,
    want: impl Fn(f64, i32) -> f64,
) {
    let (gpu, rows, steps, n) = (common::gpu(), 2048, 40, 16);
    let grid = Grid::new([between(n, 2.0, Edge::Dirichlet(0.0))]).unwrap();
    let g = Graph::new();
    let u = g.input("u", [rows, n]);
    let noise = grid.white_noise(g.key("noise"), &[rows], EPSILON, STEP).unwrap();
    let next = step(&grid, u, noise);
    let plan = Plan::compile(&gpu, &[("u", next)], &CompileOptions::default()).unwrap();
    let tensor = Tensor::zeros(&gpu, "u", &[rows, n], DType::F32).unwrap();
    let bindings = Bindings::new().tensor("u", &tensor).key("noise", RngKey::new(5));
    let mut session = Session::new(&plan, bindings).unwrap();
    session.run(steps).unwrap();
    session.check().unwrap();
    let fields = session.read::<f32>("u").unwrap().wait().unwrap();
    let theta = |j: usize| std::f64::consts::PI * (j + 1) as f64 / n as f64;
    let norm = (n as f64 / 2.0).sqrt();
    for j in 0..n {
        let norm = if j + 1 == n { (n as f64).sqrt() } else { norm };
        let amplitude = |u: &[f32]| {
            let terms = u.iter().enumerate().map(|(i, u)| f64::from(*u) * ((i as f64 + 0.5) * theta(j)).sin());
            terms.sum::<f64>() / norm
        };
        let variance = fields.chunks_exact(n).map(|u| amplitude(u).powi(2)).sum::<f64>() / rows as f64;
        let want = want(grid.symbol(&Linear::diffusion(DIFFUSION), &[theta(j)]).0, steps as i32);
        // Four standard errors of a variance; 16 modes and three methods: a false alarm in 300 draws, and the key is fixed.
        let bound = 4.0 * want * (2.0 / rows as f64).sqrt();
        assert!((variance - want).abs() < bound, "{what}, mode {j}: {variance}, want {want} +- {bound}");
    }
}

const EPSILON: f64 = 0.3;
const DIFFUSION: f64 = 0.05;
/// 0.8 of the explicit limit, dx^2 / 2 D.
const STEP: f64 = 0.8 * 0.125 * 0.125 / (2.0 * DIFFUSION);

/// Variance after `k` steps of `a' = growth a + sqrt(gain) xi` from 0.
fn after(growth: f64, gain: f64, k: i32) -> f64 {
    gain * (1.0 - growth.powi(2 * k)) / (1.0 - growth * growth)
}

#[test]
fn the_stochastic_heat_equation_has_the_spectrum_of_its_stepper() {
    let power = 2.0 * EPSILON * STEP / 0.125; // of the noise, a step and mode
    let linear = Linear::diffusion(DIFFUSION);
    check_spectrum(
        "euler",
        |grid, u, noise| grid.explicit_step(u, &linear, Method::Euler, STEP, |u| Ok(u.zeros_like())).unwrap() + noise,
        |rate, k| after(1.0 + rate * STEP, power, k),
    );
    check_spectrum(
        "implicit",
        |grid, u, noise| {
            grid.implicit_explicit(u + noise, &linear, Implicit::Lines, STEP, |u| Ok(u.zeros_like())).unwrap()
        },
        |rate, k| after(1.0 / (1.0 - rate * STEP), power / (1.0 - rate * STEP).powi(2), k),
    );
    // Noise inside the trapezoid: its stationary variance is the equation's own, epsilon / (-rate dx), at any step.
    check_spectrum(
        "trapezoid",
        |grid, u, noise| {
            let a = 0.5 * DIFFUSION * STEP;
            let known = u + grid.laplacian(u, Order::Two).unwrap() * a + noise;
            grid.solve_lines(known, 0, a).unwrap()
        },
        |rate, k| {
            let growth = (1.0 + rate * STEP / 2.0) / (1.0 - rate * STEP / 2.0);
            EPSILON / (-rate * 0.125) * (1.0 - growth.powi(2 * k))
        },
    );
}
