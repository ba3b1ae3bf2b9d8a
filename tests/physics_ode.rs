//! Laws of the ODE solvers: orders of convergence, both directions of time, densities along the path, error control.
mod common;

use ergodic::autodiff::Trace;
use ergodic::dynamics::ode::{
    Adaptive, FixedStep, Grid, Method, Norm, Rates, Tolerance, draw_signs, with_log_density, with_log_density_along,
};
use ergodic::gpu::{Gpu, Tensor};
use ergodic::graph::{Feeds, Graph, Var};
use ergodic::random::RngKey;
use ergodic::{Error, Result};

const EPS: f64 = f32::EPSILON as f64;
const METHODS: [Method; 4] = [Method::Euler, Method::Heun, Method::Rk4, Method::DormandPrince];

/// `dx/dt = -2 t x^2`, so `x = 1 / (t^2 + 1/x_0)`.
fn bell<'g>(t: Var<'g>, x: Var<'g>) -> Result<Rates<'g>> {
    Ok(Rates::of(t * x.square() * -2.0))
}

fn bell_at(t: f64, x0: f64) -> f64 {
    1.0 / (t * t + 1.0 / x0)
}

const STARTS: [f64; 3] = [0.5, 1.0, 1.7];

/// Errors in f64 after `steps` steps of a method from 0 to `to`, the largest of all starts.
fn error_in_f64(method: Method, steps: u32, to: f64) -> f64 {
    let g = Graph::new();
    let (t, h, x) = (g.input("t", []), g.input("h", []), g.input("x", [3, 1]));
    let step = method.step(t, h, x, bell).unwrap();
    let size = to / f64::from(steps);
    let mut feeds = Feeds::new().tensor("t", 0.0).tensor("h", size).tensor("x", &STARTS);
    for k in 0..steps {
        feeds.set("t", size * f64::from(k));
        g.eval_step(&[("x", step.x)], &mut feeds).unwrap();
    }
    let x = feeds.get("x").unwrap();
    x.iter().zip(STARTS).map(|(x, x0)| (x - bell_at(to, x0)).abs()).fold(0.0, f64::max)
}

#[test]
fn errors_fall_with_the_order_of_the_method() {
    for method in METHODS {
        let order = method.tableau().order as f64;
        // The next term of the error is a step smaller: half of it at each doubling (Dormand and Prince's slopes are 5.39,
        // 5.21 and 5.13 from 40, 80 and 160 steps). At 320 steps its error is 1e-14, near f64 rounding.
        for steps in [80, 160] {
            let slope = (error_in_f64(method, steps, 2.0) / error_in_f64(method, 2 * steps, 2.0)).log2();
            assert!((slope - order).abs() < 0.25, "{method:?} at {steps}: order {slope}");
        }
        let back = (error_in_f64(method, 80, -2.0) / error_in_f64(method, 160, -2.0)).log2();
        assert!((back - order).abs() < 0.25, "{method:?} backwards: order {back}");
    }
}

#[test] // the control: this test must be able to fail
fn a_method_with_a_wrong_weight_is_of_order_zero_or_one() {
    let g = Graph::new();
    let (t, h, x) = (g.input("t", []), g.input("h", []), g.input("x", [3, 1]));
    // Heun's second slope taken at the start of the step.
    let step = Method::Heun.step(t, h * 1.0, x, |_, x| bell(t, x)).unwrap();
    let error = |steps: u32| {
        let size = 2.0 / f64::from(steps);
        let mut feeds = Feeds::new().tensor("t", 0.0).tensor("h", size).tensor("x", &STARTS);
        for k in 0..steps {
            feeds.set("t", size * f64::from(k));
            g.eval_step(&[("x", step.x)], &mut feeds).unwrap();
        }
        (feeds.get("x").unwrap()[1] - bell_at(2.0, 1.0)).abs()
    };
    assert!((error(40) / error(80)).log2() < 1.25);
}

fn tensor(gpu: &Gpu, values: &[f64], d: usize) -> Tensor {
    let values: Vec<f32> = values.iter().map(|&v| v as f32).collect();
    Tensor::from_slice(gpu, "start", &[values.len() / d, d], &values).unwrap()
}

fn read(tensor: &Tensor) -> Vec<f64> {
    tensor.read::<f32>().unwrap().wait().unwrap().into_iter().map(f64::from).collect()
}

#[test]
fn devices_take_the_steps_of_the_f64_meaning() {
    for (tier, gpu) in common::gpus() {
        for method in METHODS {
            let g = Graph::new();
            let solver = FixedStep::new(&gpu, g.input("x", [3, 1]), method, bell).unwrap();
            assert!(solver.report().loops_over_steps(), "{tier} {method:?}");
            let (steps, to) = (160, 2.0);
            let end = solver.solve(&tensor(&gpu, &STARTS, 1), Grid::new(0.0, to, steps)).unwrap();
            // Rounding of 160 additions to numbers below 2, half an ulp each, and as much from the time and the slopes.
            let rounding = f64::from(steps) * 2.0 * EPS;
            let bound = error_in_f64(method, steps, to) + rounding;
            for (x, x0) in read(end.points().unwrap()).iter().zip(STARTS) {
                let error = (x - bell_at(to, x0)).abs();
                assert!(error <= bound, "{tier} {method:?}: {error:e}, bound {bound:e}");
            }
            assert_eq!(end.time(), to);
        }
    }
}

#[test]
fn a_way_in_pieces_is_the_way_and_back_again_is_the_start() {
    let gpu = common::gpu();
    let g = Graph::new();
    let solver = FixedStep::new(&gpu, g.input("x", [3, 1]), Method::Rk4, bell).unwrap();
    let (start, grid) = (tensor(&gpu, &STARTS, 1), Grid::new(0.0, 2.0, 100));
    let whole = solver.solve(&start, grid).unwrap();
    let mut pieces = solver.begin(&start, grid).unwrap();
    [0..1, 1..40, 40..100].into_iter().for_each(|steps| pieces.advance(steps).unwrap());
    assert_eq!(read(whole.points().unwrap()), read(pieces.points().unwrap()));
    assert_eq!(read(&start), STARTS.map(|x| f64::from(x as f32)), "the start is not moved");
    let back = solver.solve(whole.points().unwrap(), grid.reversed()).unwrap();
    // The way back spreads errors by |dx_0/dx_1| = (x_0/x_1)^2 < (1.7 * 4.6)^2; the method adds 1e-7 and less.
    let bound = 200.0 * 2.0 * EPS * 62.0;
    for (x, x0) in read(back.points().unwrap()).iter().zip(STARTS) {
        assert!((x - x0).abs() < bound, "{x} {x0}");
    }
}

/// A linear field with this matrix, row by row.
const A: [[f64; 3]; 3] = [[-0.5, 0.8, 0.3], [-0.2, 0.4, 0.6], [0.7, -0.4, -0.3]];

fn linear<'g>(_: Var<'g>, x: Var<'g>) -> Result<Var<'g>> {
    let column = |c: usize| x.narrow(1, c, 1);
    let row = |r: &[f64; 3]| column(0) * r[0] + column(1) * r[1] + column(2) * r[2];
    Ok(Var::concat(&[row(&A[0]), row(&A[1]), row(&A[2])], 1).unwrap())
}

fn trace() -> f64 {
    A[0][0] + A[1][1] + A[2][2]
}

#[test]
fn the_log_density_changes_by_minus_the_divergence() {
    for (tier, gpu) in common::gpus() {
        let g = Graph::new();
        let x = g.input("x", [2, 3]);
        let solver = FixedStep::new(&gpu, x, Method::Rk4, |t, x| {
            // A scaling that depends on time, so that the integral does: div = tr A + 3 cos t.
            let v = linear(t, x)? + x * t.cos();
            with_log_density(v, x, Trace::Exact)
        })
        .unwrap();
        let start = tensor(&gpu, &[1.0, 0.0, -1.0, 0.3, 2.0, 0.1], 3);
        for (from, to) in [(0.0, 1.5), (1.5, 0.0)] {
            let end = solver.solve(&start, Grid::new(from, to, 64)).unwrap();
            let exact = -(trace() * (to - from) + 3.0 * (f64::sin(to) - f64::sin(from)));
            for got in end.integral(0).unwrap() {
                // 64 terms of size h |div| <= 0.06, each rounded a few times; the method's own error is 1e-8.
                assert!((got - exact).abs() < 64.0 * 8.0 * EPS * 0.06 + 1e-8, "{tier}: {got} {exact}");
            }
        }
    }
}

#[test]
fn hutchinson_is_unbiased_with_the_variance_of_its_formula() {
    let (gpu, n) = (common::gpu(), 20_000);
    let off = off_diagonal();
    let start = tensor(&gpu, &vec![0.1; 3 * n], 3);
    for probes in [1, 4] {
        // Signs that stay along the path: the integral over time 1 has the variance of one estimate.
        let g = Graph::new();
        let (x, signs) = (g.input("x", [n, 3]), g.input("signs", [n, probes, 3]));
        let along = |t, x| with_log_density_along(linear(t, x)?, x, signs);
        let drawn = draw_signs(&gpu, [n, probes, 3], RngKey::new(5)).unwrap();
        let solver = FixedStep::new(&gpu, x, Method::Rk4, along).unwrap().bind("signs", &drawn);
        check(&solver.solve(&start, Grid::new(0.0, 1.0, 8)).unwrap().integral(0).unwrap(), off / probes as f64);
        // Fresh signs in each of 8 steps: an eighth of it.
        let g = Graph::new();
        let (x, key) = (g.input("x", [n, 3]), g.key("probes"));
        let fresh = |t, x| with_log_density(linear(t, x)?, x, Trace::Hutchinson { key, probes });
        let solver = FixedStep::new(&gpu, x, Method::Rk4, fresh).unwrap().bind_key("probes", RngKey::new(6));
        check(&solver.solve(&start, Grid::new(0.0, 1.0, 8)).unwrap().integral(0).unwrap(), off / (8 * probes) as f64);
    }
}

/// A probe's variance, `2 (|A_sym|^2 - sum A_ii^2)`: what is off the diagonal.
fn off_diagonal() -> f64 {
    let symmetric = |i: usize, j: usize| 0.5 * (A[i][j] + A[j][i]);
    [(0, 1), (0, 2), (1, 2)].into_iter().map(|(i, j)| 4.0 * symmetric(i, j).powi(2)).sum()
}

/// Mean and variance of samples against exact ones, at four standard errors; a probe's law is bounded, kurtosis below 3 + 12.
fn check(got: &[f64], variance: f64) {
    let n = got.len() as f64;
    let mean = got.iter().sum::<f64>() / n;
    let spread = got.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n;
    assert!((mean + trace()).abs() < 4.0 * (variance / n).sqrt(), "{mean} {}", -trace());
    assert!((spread / variance - 1.0).abs() < 4.0 * (15.0 / n).sqrt(), "{spread} {variance}");
}

#[test]
fn adaptive_steps_keep_the_error_near_the_tolerance_and_land_on_time() {
    for (tier, gpu) in common::gpus() {
        let (mut errors, mut accepted) = (vec![], vec![]);
        for tolerance in [1e-3, 1e-4, 1e-5] {
            let g = Graph::new();
            let solver = Adaptive::new(&gpu, g.input("x", [3, 1]), Tolerance::new(tolerance, tolerance), bell).unwrap();
            for (from, to) in [(0.0, 3.0), (0.0, -3.0)] {
                let end = solver.solve(&tensor(&gpu, &STARTS, 1), (from, to)).unwrap();
                let ends = read(end.points().unwrap());
                let worst = ends.iter().zip(STARTS).map(|(x, x0)| (x - bell_at(to, x0)).abs()).fold(0.0, f64::max);
                let used = end.statistics();
                // One step errs by 2 tol at most (sizes below 2, and rtol + atol); this field forgets, so errors do not grow.
                assert!(worst < 2.0 * tolerance * f64::from(used.accepted), "{tier} {tolerance}: {worst:e} {used:?}");
                assert_eq!(used.evaluations, 2 + 6 * (used.accepted + used.rejected));
                (to > 0.0).then(|| (errors.push(worst), accepted.push(used.accepted)));
            }
        }
        // Two decades of tolerance are two decades of error, give or take one; and 10^(2/5) = 2.5 times the steps.
        assert!(errors[2] < 0.1 * errors[0], "{tier} {errors:?}");
        assert!(accepted[2] > accepted[0] && accepted[2] < 6 * accepted[0], "{tier} {accepted:?}");
    }
}

/// `dx/dt = w cos(w t)`, `dw/dt = 0`.
fn swinging<'g>(t: Var<'g>, x: Var<'g>) -> Result<Rates<'g>> {
    let w = x.narrow(1, 1, 1);
    let parts = [w * (w * t).cos(), w * 0.0];
    Ok(Rates::of(Var::concat(&parts, 1).unwrap()))
}

#[test]
fn the_largest_error_of_a_row_sets_the_steps_of_all() {
    for (tier, gpu) in common::gpus() {
        let solve = |rows: usize, norm: Norm| {
            let g = Graph::new();
            let tolerance = Tolerance { norm, first_step: Some(1e-3), ..Tolerance::new(1e-4, 1e-4) };
            let solver = Adaptive::new(&gpu, g.input("x", [rows, 2]), tolerance, swinging).unwrap();
            let start: Vec<f64> = (0..rows).flat_map(|i| [0.0, if i == 0 { 40.0 } else { 0.1 }]).collect();
            let end = solver.solve(&tensor(&gpu, &start, 2), (0.0, 1.0)).unwrap();
            let error = (read(end.points().unwrap())[0] - f64::sin(40.0)).abs();
            (error, end.statistics())
        };
        let [alone, mean, max] =
            [(1, Norm::Mean), (4096, Norm::Mean), (4096, Norm::Max)].map(|(n, norm)| solve(n, norm));
        // The hard row alone takes the same steps, but for the rounding of an error that is close to 1.
        assert!(max.1.accepted.abs_diff(alone.1.accepted) <= 1, "{tier} {max:?} {alone:?}");
        // One step errs by sqrt(2) tol (1 + |x|) at most, |x| <= 1, and errors do not grow.
        assert!(max.0 < 8f64.sqrt() * 1e-4 * f64::from(max.1.accepted), "{tier} {max:?}");
        // Among n rows of two components an error of sqrt(2 n) tolerances passes.
        assert!(mean.0 > 10.0 * max.0 && mean.1.accepted < max.1.accepted, "{tier} {mean:?} {max:?}");
    }
}

#[test]
fn adaptive_steps_carry_the_log_density() {
    let gpu = common::gpu();
    let g = Graph::new();
    let x = g.input("x", [2, 3]);
    let solver = Adaptive::new(&gpu, x, Tolerance::new(1e-5, 1e-5), |t, x| {
        with_log_density(linear(t, x)? + x * t.cos(), x, Trace::Exact)
    })
    .unwrap();
    let end = solver.solve(&tensor(&gpu, &[1.0, 0.0, -1.0, 0.3, 2.0, 0.1], 3), (1.5, 0.0)).unwrap();
    let exact = trace() * 1.5 + 3.0 * f64::sin(1.5);
    for got in end.integral(0).unwrap() {
        let bound = 1e-5 * (1.0 + exact) * f64::from(end.statistics().accepted);
        assert!((got - exact).abs() < bound, "{got} {exact}");
    }
}

#[test]
fn adaptive_steps_with_signs_that_stay_estimate_the_log_density() {
    let (gpu, n) = (common::gpu(), 4000);
    let g = Graph::new();
    let (x, signs) = (g.input("x", [n, 3]), g.input("signs", [n, 2, 3]));
    let along = |t, x| with_log_density_along(linear(t, x)?, x, signs);
    let solver = Adaptive::new(&gpu, x, Tolerance::new(1e-4, 1e-4), along).unwrap();
    let drawn = draw_signs(&gpu, [n, 2, 3], RngKey::new(8)).unwrap();
    let solver = solver.bind("signs", &drawn);
    let end = solver.solve(&tensor(&gpu, &vec![0.1; 3 * n], 3), (0.0, 1.0)).unwrap();
    check(&end.integral(0).unwrap(), off_diagonal() / 2.0);
}

#[test]
fn a_field_that_no_step_is_small_enough_for_says_where_it_stopped() {
    let gpu = common::gpu();
    // dx/dt = x^2 from 1 is infinite at t = 1.
    let g = Graph::new();
    let solver =
        Adaptive::new(&gpu, g.input("x", [1, 1]), Tolerance::new(1e-5, 1e-5), |_, x| Ok(Rates::of(x.square())));
    match solver.unwrap().solve(&tensor(&gpu, &[1.0], 1), (0.0, 2.0)).err() {
        Some(Error::StepLimit { reached, target, rejected, .. }) => {
            assert!((0.99..1.01).contains(&reached) && target == 2.0 && rejected > 0, "{reached}");
        }
        other => panic!("{other:?}"),
    }
    // A stiff decay: an explicit method takes steps of 3.3 / 1e4 whatever the tolerance.
    let g = Graph::new();
    let few = Tolerance { max_steps: 50, ..Tolerance::new(1e-3, 1e-3) };
    let stiff = Adaptive::new(&gpu, g.input("x", [1, 1]), few, |t, x| Ok(Rates::of((t.cos() - x) * 1e4))).unwrap();
    match stiff.solve(&tensor(&gpu, &[1.0], 1), (0.0, 1.0)).err() {
        Some(Error::StepLimit { reached, accepted, rejected, step, .. }) => {
            assert!(
                accepted + rejected == 50 && reached < 0.1 && step < 1e-2,
                "{reached} {accepted} {rejected} {step}"
            );
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn any_number_of_rows_moves() {
    let gpu = common::gpu();
    // None, one, a prime, and more than fit into 65535 groups of 64 along one dimension.
    for n in [0, 1, 131, 65_536 * 64 + 1] {
        let g = Graph::new();
        let solver = FixedStep::new(&gpu, g.input("x", [n, 1]), Method::Euler, |_, x| Ok(Rates::of(x))).unwrap();
        let start: Vec<f64> = (0..n).map(|i| f64::from(i as u32 % 7)).collect();
        let end = solver.solve(&tensor_of(&gpu, &start, n), Grid::new(0.0, 1.0, 2)).unwrap();
        for (x, x0) in read(end.points().unwrap()).iter().zip(&start) {
            assert_eq!(*x, x0 * 2.25); // exact in binary
        }
        if n < 1000 {
            let g = Graph::new();
            let field = |_, x| Ok(Rates::of(x));
            let solver = Adaptive::new(&gpu, g.input("x", [n, 1]), Tolerance::new(1e-5, 1e-5), field).unwrap();
            let end = solver.solve(&tensor_of(&gpu, &start, n), (0.0, 1.0)).unwrap();
            for (x, x0) in read(end.points().unwrap()).iter().zip(&start) {
                let bound = 1e-5 * (1.0 + std::f64::consts::E * x0) * f64::from(end.statistics().accepted);
                assert!((x - x0 * std::f64::consts::E).abs() <= bound, "{n}: {x} {x0}");
            }
        }
    }
}

fn tensor_of(gpu: &Gpu, values: &[f64], n: usize) -> Tensor {
    let values: Vec<f32> = values.iter().map(|&v| v as f32).collect();
    Tensor::from_slice(gpu, "start", &[n, 1], &values).unwrap()
}

#[test]
fn mistakes_are_refused_with_their_numbers() {
    let gpu = common::gpu();
    let g = Graph::new();
    let x = g.input("x", [3, 1]);
    let solver = FixedStep::new(&gpu, x, Method::Rk4, bell).unwrap();
    let start = tensor(&gpu, &STARTS, 1);
    let refused = |grid| solver.solve(&start, grid).err().unwrap().to_string();
    assert_eq!(refused(Grid::new(0.0, 0.0, 3)), "span of time is 0 to 0, but must be two different finite times");
    assert_eq!(refused(Grid::new(0.0, 1.0, 0)), "number of steps is 0, but must be at least 1");
    let error = solver.begin(&start, Grid::new(0.0, 1.0, 5)).unwrap().advance(1..2).err().unwrap().to_string();
    assert_eq!(error, "range of steps is 1..2 at step 0 of 5, but must be from the points' own step to the grid's end");
    let none = Adaptive::new(&gpu, x, Tolerance::new(0.0, 0.0), bell).err().unwrap().to_string();
    assert_eq!(none, "tolerance is rtol 0, atol 0, but must be not negative, one of them above 0");
    let wide = FixedStep::new(&gpu, x, Method::Euler, |_, x| Ok(Rates::of(x).and(x))).err().unwrap().to_string();
    assert!(wide.starts_with("shape mismatch in `field`: got [3, 1], want [3], one value a row"), "{wide}");
    let nan = FixedStep::new(&gpu, x, Method::Euler, |_, x| Ok(Rates::of((-x).log()))).unwrap();
    assert!(matches!(nan.solve(&start, Grid::new(0.0, 1.0, 1)).err(), Some(Error::Fault { .. })));
}
