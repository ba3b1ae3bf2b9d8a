//! Steps of time on grids, in f64: orders, growth of modes, limits of stability, conservation, bounds, and what is refused.

mod field_support;

use ergodic::Result;
use ergodic::dynamics::ode::Method;
use ergodic::field::{Axis, Edge, Grid, Implicit, Linear, Order, Scheme, Spectral};
use ergodic::graph::{Feeds, Graph, Var};
use field_support::*;

const EPS: f64 = f64::EPSILON;

/// A rest that is neither linear nor small.
fn reacts(u: Var<'_>) -> Result<Var<'_>> {
    Ok(u - u * u * u + 0.3)
}

fn walls() -> Grid {
    line(Axis::between(9, 1.0, Edge::Dirichlet(0.5), Edge::Neumann(-1.0)))
}

/// Order in time, from the changes of the result at time `t` when steps are halved twice.
fn order_in_time(at: impl Fn(usize) -> Vec<f64>) -> f64 {
    let [coarse, middle, fine] = [8, 16, 32].map(at);
    (worst(&coarse, &middle) / worst(&middle, &fine)).log2()
}

/// Halving the step of a method of order p leaves `1 + O(dt)` in the ratio: at 8 steps and more, a quarter of an order.
#[track_caller]
fn assert_time_order(what: &str, order: f64, at: impl Fn(usize) -> Vec<f64>) {
    let observed = order_in_time(at);
    assert!((observed - order).abs() < 0.25, "{what}: order {observed:.3}, want {order}");
}

#[test]
fn explicit_methods_keep_their_order_on_fields() {
    let linear =
        Linear { diffusion: 0.05, velocity: vec![0.4], scheme: Scheme::Central(Order::Two), ..Linear::default() };
    let grid = walls();
    let u = grid.sample(|x| 0.5 - x[0] + x[0] * x[0] * 0.2);
    for (method, order) in [(Method::Euler, 1.0), (Method::Heun, 2.0), (Method::Rk4, 4.0), (Method::DormandPrince, 5.0)]
    {
        assert_time_order(&format!("{method:?}"), order, |steps| {
            march(&grid, &u, steps, |u| grid.explicit_step(u, &linear, method, 0.1 / steps as f64, reacts))
        });
    }
}

#[test]
fn implicit_explicit_steps_have_their_order_and_more_axes_cost_lines_theirs() {
    let linear = Linear::diffusion(0.3);
    let plane = Grid::new([*walls().axis(0), Axis::periodic(6, 1.0)]).unwrap();
    for grid in [walls(), plane] {
        let u = grid.sample(|x| 0.5 - x[0] + x.get(1).map_or(0.0, |y| (6.3 * y).sin() * x[0]));
        let by_lines = |steps: usize| {
            let dt = 0.2 / steps as f64;
            march(&grid, &u, steps, |u| grid.implicit_explicit(u, &linear, Implicit::Lines, dt, reacts))
        };
        assert_time_order("order one by lines", 1.0, by_lines);
        for (second, order) in [(false, 1.0), (true, 2.0)] {
            assert_time_order(&format!("order {order} by modes"), order, |steps| {
                let (g, dt) = (Graph::new(), 0.2 / steps as f64);
                let (spectral, x) = (Spectral::new(&g, "modes", &grid, Order::Two), g.input("u", grid.shape()));
                let modes = Implicit::Spectral(&spectral);
                let next = match second {
                    true => grid.implicit_explicit_two(x, &linear, modes, dt, reacts),
                    false => grid.implicit_explicit(x, &linear, modes, dt, reacts),
                };
                let (next, mut feeds) = (next.unwrap(), spectral.feed(Feeds::new().tensor("u", &u)));
                (0..steps).for_each(|_| drop(g.eval_step(&[("u", next)], &mut feeds).unwrap()));
                feeds.get("u").unwrap().to_vec()
            });
        }
    }
    let line = walls();
    let u = line.sample(|x| 0.5 - x[0]);
    assert_time_order("order two by lines", 2.0, |steps| {
        let dt = 0.2 / steps as f64;
        march(&line, &u, steps, |u| line.implicit_explicit_two(u, &linear, Implicit::Lines, dt, reacts))
    });
}

#[test]
fn crank_nicolson_has_order_two_with_walls_that_do_not_commute() {
    let grid =
        Grid::new([*walls().axis(0), Axis::between(7, 1.0, Edge::Dirichlet(0.0), Edge::Dirichlet(2.0))]).unwrap();
    let u = grid.sample(|x| 0.5 - x[0] + x[0] * x[1]);
    // Steps resolve the fastest mode, about (4 / dx^2) 2 D = 8: rough walls excite it, and it fades slowly.
    assert_time_order("crank-nicolson", 2.0, |steps| {
        march(&grid, &u, 8 * steps, |u| grid.crank_nicolson(u, 0.02, 1.0 / (8 * steps) as f64))
    });
}

#[test]
fn modes_grow_by_the_factors_of_their_method() {
    let (reflecting, periodic) = (between(8, 1.0, REFLECTING), Axis::periodic(10, 2.0));
    let grid = Grid::new([reflecting, periodic]).unwrap();
    let theta = [3.0 * std::f64::consts::PI / 8.0, std::f64::consts::TAU * 2.0 / 10.0];
    let mode = grid.sample(|x| (theta[0] * x[0] * 8.0).cos() * (theta[1] * x[1] * 5.0).sin());
    let (d, dt) = (0.2, 0.01);
    let rate = |k: usize| {
        let mut only = [0.0, 0.0];
        only[k] = theta[k];
        d * dt * grid.symbol(&Linear::diffusion(1.0), &only).0
    };
    let (z, axes) = (rate(0) + rate(1), [rate(0), rate(1)]);
    let linear = Linear::diffusion(d);
    let runge = 1.0 + z + z * z / 2.0 + z.powi(3) / 6.0 + z.powi(4) / 24.0;
    let trapezoid: f64 = axes.iter().map(|z| (1.0 + z / 2.0) / (1.0 - z / 2.0)).product();
    let implicit: f64 = axes.iter().map(|z| 1.0 / (1.0 - z)).product();
    let found = [
        (runge, eval(&grid, &mode, |u| grid.explicit_step(u, &linear, Method::Rk4, dt, |u| Ok(u.zeros_like())))),
        (trapezoid, eval(&grid, &mode, |u| grid.crank_nicolson(u, d, dt))),
        (
            implicit,
            eval(&grid, &mode, |u| grid.implicit_explicit(u, &linear, Implicit::Lines, dt, |u| Ok(u.zeros_like()))),
        ),
    ];
    for (want, got) in found {
        assert!(worst(&got, &mode.iter().map(|u| want * u).collect::<Vec<_>>()) < 100.0 * EPS, "{want}");
    }
}

#[test]
fn lines_and_modes_solve_the_same_system() {
    for kind in &KINDS {
        let grid = of_kind(kind, 12);
        let (g, u) = (Graph::new(), rough(12, 2));
        let (spectral, x) = (Spectral::new(&g, "modes", &grid, Order::Two), g.input("u", [12]));
        let linear = Linear::diffusion(0.4);
        let step = |implicit| grid.implicit_explicit(x, &linear, implicit, 0.05, |u| Ok(u.zeros_like())).unwrap();
        let outputs = [step(Implicit::Lines), step(Implicit::Spectral(&spectral))];
        let got = g.eval_f64(&outputs, &spectral.feed(Feeds::new().tensor("u", &u))).unwrap();
        assert!(worst(&got[0].data, &got[1].data) < 1000.0 * EPS, "{}", kind.0);
        // And it is the implicit equation that they solve.
        let back = eval(&grid, &got[0].data, |x| Ok(x - grid.laplacian(x, Order::Two)? * (0.4 * 0.05)));
        assert!(worst(&back, &u) < 1000.0 * EPS * 0.02 * 4.0 * 144.0, "{}", kind.0);
    }
}

#[test]
fn largest_steps_are_those_of_the_textbooks() {
    let (n, l, d) = (20, 2.0, 0.7);
    let dx = l / f64::from(n);
    let ring = |dimensions: usize| Grid::new(vec![Axis::periodic(n as usize, l); dimensions]).unwrap();
    let diffusion = |order| Linear { diffusion: d, order, ..Linear::default() };
    let flow = |v: &[f64], scheme| Linear { velocity: v.to_vec(), scheme, ..Linear::default() };
    let central = Scheme::Central(Order::Two);
    let unit = dx * dx / d;
    // The real interval of Runge-Kutta 4 ends at 2.785293563; upwind at Courant number 1; bilaplacian of the shortest wave.
    let cases = [
        ("euler", 1, diffusion(Order::Two), Method::Euler, unit / 2.0),
        ("three axes", 3, diffusion(Order::Two), Method::Heun, unit / 6.0),
        ("order four", 2, diffusion(Order::Four), Method::Euler, 2.0 * unit / (2.0 * 16.0 / 3.0)),
        ("runge-kutta", 1, diffusion(Order::Two), Method::Rk4, 2.785_293_563 * unit / 4.0),
        (
            "bilaplacian",
            1,
            Linear { stiffness: 0.3, ..Linear::default() },
            Method::Euler,
            2.0 * dx.powi(4) / (0.3 * 16.0),
        ),
        ("upwind", 1, flow(&[-1.5], Scheme::Upwind), Method::Euler, dx / 1.5),
        ("upwind in a plane", 2, flow(&[1.5, 0.5], Scheme::Upwind), Method::Euler, dx / 2.0),
        ("central", 1, flow(&[1.5], central), Method::Rk4, 8f64.sqrt() * dx / 1.5),
        ("central by euler", 1, flow(&[1.5], central), Method::Euler, 0.0),
        // Euler bears rates up to 2 / dt: those of diffusion and of what pulls back, together.
        ("restored", 1, Linear { restoring: 30.0, ..diffusion(Order::Two) }, Method::Euler, 2.0 / (4.0 / unit + 30.0)),
        ("nothing", 2, Linear::default(), Method::Euler, f64::INFINITY),
    ];
    for (what, dimensions, linear, method, want) in cases {
        let got = ring(dimensions).largest_step(&linear, method).unwrap();
        assert!(got == want || (got - want).abs() < 1e-8 * want, "{what}: {got}, want {want}");
    }
}

#[test]
fn the_largest_step_is_stable_and_a_larger_one_is_not() {
    let grid = line(between(10, 1.0, Edge::Dirichlet(0.0)));
    let limit = grid.largest_step(&Linear::diffusion(1.0), Method::Euler).unwrap();
    let u = rough(10, 3);
    let after = |dt: f64| largest(&march(&grid, &u, 2000, |u| Ok(u + grid.laplacian(u, Order::Two)? * dt)));
    assert!(after(limit) < 1.0);
    // The shortest wave between these walls is as short as that of the ring: it grows by 1.02 - a step.
    assert!(after(1.02 * limit) > 1e3);
}

#[test]
fn diffusion_and_upwind_flow_keep_the_bounds_of_the_field() {
    let axes = [Axis::periodic(8, 1.0), Axis::between(7, 1.0, Edge::Dirichlet(0.2), REFLECTING)];
    let grid = Grid::new(axes).unwrap();
    let linear = Linear { diffusion: 0.1, velocity: vec![1.0, -2.0], ..Linear::default() };
    // Weights of neighbours stay positive up to the step at which the cell's own weight is zero. At a wall with a value the
    // mirrored cell takes one more diffusion number from it.
    let rates = [0.1 * 64.0, 0.1 * 49.0, 8.0, 14.0];
    let dt = 1.0 / (2.0 * rates[0] + 3.0 * rates[1] + rates[2] + 2.0 * rates[3]);
    let u: Vec<f64> = rough(grid.n_cells(), 4).iter().map(|u| f64::from(*u > 0.0)).collect();
    let step = |by: f64| march(&grid, &u, 1, |u| Ok(u + grid.rate(u, &linear)? * (dt * by)));
    let inside = |u: &[f64]| u.iter().all(|u| (-10.0 * EPS..=1.0 + 10.0 * EPS).contains(u));
    assert!(inside(&step(1.0)));
    assert!(!inside(&step(2.5)), "the control: a longer step leaves the bounds");
    let slow = Linear::diffusion(0.1);
    let far = eval(&grid, &u, |u| grid.implicit_explicit(u, &slow, Implicit::Lines, 100.0, |u| Ok(u.zeros_like())));
    assert!(inside(&far), "implicit diffusion at any step");
}

type Step<'a> = dyn for<'g> Fn(Var<'g>) -> Result<Var<'g>> + 'a;

#[test]
fn steps_without_walls_that_give_or_take_conserve_the_field() {
    let grid = Grid::new([Axis::periodic(6, 1.0), between(7, 2.0, REFLECTING)]).unwrap();
    let u = rough(grid.n_cells(), 5);
    let total = |u: &[f64]| u.iter().sum::<f64>();
    let linear = Linear::diffusion(0.3);
    let steps: [&Step; 3] = [
        &|u| grid.crank_nicolson(u, 0.3, 0.4),
        &|u| grid.implicit_explicit(u, &linear, Implicit::Lines, 0.4, |u| Ok(u.zeros_like())),
        &|u| grid.explicit_step(u, &linear, Method::Rk4, 0.001, |u| Ok(u.zeros_like())),
    ];
    for (i, step) in steps.iter().enumerate() {
        let end = march(&grid, &u, 5, *step);
        assert!((total(&end) - total(&u)).abs() < 1000.0 * EPS, "step {i}: {:e}", total(&end) - total(&u));
        assert!(worst(&end, &u) > 1e-3);
    }
}

#[test]
fn fields_between_walls_tend_to_the_straight_line() {
    let grid = line(Axis::between(5, 2.0, Edge::Neumann(3.0), Edge::Dirichlet(1.0)));
    let want = grid.sample(|x| 1.0 + 3.0 * (x[0] - 2.0));
    let linear = Linear::diffusion(1.0);
    let end = march(&grid, &[0.0; 5], 6, |u| {
        grid.implicit_explicit(u, &linear, Implicit::Lines, 1e3, |u| Ok(u.zeros_like()))
    });
    assert!(worst(&end, &want) < 1e-9); // the slowest mode fades by 1 / (1 + 1e3 (pi / 4)^2) a step
    // The slowest mode, at a rate of 0.61, fades by 0.88 a step of 0.2; the fastest, at 25, by -0.43.
    assert!(worst(&march(&grid, &[0.0; 5], 300, |u| grid.crank_nicolson(u, 1.0, 0.2)), &want) < 1e-9);
}

#[test]
fn a_steady_state_by_lines_has_order_two_in_space() {
    // x - a x'' = right with x = exp(2 s), of no symmetry at the walls.
    let error = |n: usize| {
        let grid = line(Axis::between(n, 1.0, Edge::Dirichlet(1.0), Edge::Neumann(2.0 * 2f64.exp())));
        let right = grid.sample(|x| (1.0 - 0.3 * 4.0) * (2.0 * x[0]).exp());
        let got = eval(&grid, &right, |r| grid.solve_lines(r, 0, 0.3));
        worst(&got, &grid.sample(|x| (2.0 * x[0]).exp()))
    };
    let observed = (error(64) / error(128)).log2();
    assert!((observed - 2.0).abs() < 0.1, "order {observed}");
}

#[test]
fn grids_are_read_from_presets_and_checked() {
    let text = "[(cells: 8, length: 2.0, low: periodic, high: periodic), (cells: 4, length: 1.0, low: dirichlet(0.5), high: reflecting)]";
    let grid: Grid = ron::from_str(text).unwrap();
    assert_eq!(grid.axis(1).low, Edge::Dirichlet(0.5));
    assert_eq!(ron::from_str::<Grid>(&ron::to_string(&grid).unwrap()).unwrap(), grid);
    let bad = text.replace("high: periodic", "high: reflecting");
    let error = ron::from_str::<Grid>(&bad).unwrap_err().to_string();
    assert!(error.contains("pair of ends of an axis is periodic and reflecting"), "{error}");
}

#[test]
fn what_makes_no_sense_is_refused_by_name() {
    let text = |result: Result<()>| result.err().map(|e| e.to_string()).unwrap_or_default();
    for cells in [0, 1, 2] {
        let got = text(Grid::new([Axis::periodic(cells, 1.0)]).map(drop));
        assert_eq!(got, format!("number of cells along an axis is {cells}, but must be at least 3"));
    }
    let got = text(Grid::new([Axis::periodic(1 << 16, 1.0), Axis::periodic(1 << 16, 1.0)]).map(drop));
    assert_eq!(got, "number of cells of a grid is 65536 x 65536, but must be at most 2^31 in all");
    assert_eq!(text(Grid::new([]).map(drop)), "number of axes of a grid is 0, but must be 1, 2 or 3");
    let got = text(Grid::new([Axis::periodic(4, 0.0)]).map(drop));
    assert_eq!(got, "length of an axis is 0, but must be finite and above 0");
    let got = text(Grid::new([between(4, 1.0, Edge::Dirichlet(f64::NAN))]).map(drop));
    assert_eq!(got, "value on a wall is NaN, but must be finite");

    let (g, grid) = (Graph::new(), line(Axis::periodic(4, 1.0)));
    let u = g.input("u", [4]);
    let got = text(grid.laplacian(u, Order::Four).map(drop));
    assert_eq!(got, "reach of a stencil is 2 cells each way along 4 cells, but must be less than half of the axis");
    let got = text(grid.laplacian(g.input("other", [2, 5]), Order::Two).map(drop));
    assert!(got.starts_with("shape mismatch in `field`: got [2, 5], want [.., 4], the grid's cells"), "{got}");
    let got = text(grid.derivative(u, 1, Order::Two).map(drop));
    assert_eq!(got, "axis is 1 of 1 dimensions, but must be below the grid's dimensions");
    let got = text(grid.advection(u, &[], Scheme::Upwind).map(drop));
    assert!(got.starts_with("shape mismatch in `advection`: got 0 components, want 1"), "{got}");

    let explicit = |linear: &Linear, dt| text(grid.explicit_step(u, linear, Method::Euler, dt, Ok).map(drop));
    let got = explicit(&Linear::diffusion(1.0), 0.04);
    assert!(
        got.starts_with("a step of 0.04 is over 0.03125, the stability limit of explicit Euler on 4 cells"),
        "{got}"
    );
    let central = Linear { velocity: vec![1.0], scheme: Scheme::Central(Order::Two), ..Linear::default() };
    assert!(explicit(&central, 1e-3).starts_with("a step of 0.001 is over 0, "));
    assert_eq!(explicit(&Linear::diffusion(1.0), 0.0), "step of time is 0, but must be finite and above 0");
    assert!(explicit(&Linear::diffusion(-1.0), 0.1).starts_with("diffusivity is -1"));
    let implicit = |linear: &Linear| text(grid.implicit_explicit(u, linear, Implicit::Lines, 0.1, Ok).map(drop));
    assert!(implicit(&central).contains("put it into the rest"));
    let stiff = Linear { stiffness: 1.0, ..Linear::default() };
    assert!(implicit(&stiff).contains("use Implicit::Spectral for more"));
    let plane = Grid::new([Axis::periodic(4, 1.0), Axis::periodic(4, 1.0)]).unwrap();
    let field = g.input("field", [4, 4]);
    let two = plane.implicit_explicit_two(field, &Linear::diffusion(1.0), Implicit::Lines, 0.1, Ok);
    assert!(text(two.map(drop)).contains("1; use Implicit::Spectral for more"));
    let wrong = Spectral::new(&g, "wrong", &grid, Order::Four);
    let step = grid.implicit_explicit(u, &Linear::diffusion(1.0), Implicit::Spectral(&wrong), 0.1, Ok);
    assert!(text(step.map(drop)).contains("made for the same axes and order"));
    assert!(text(grid.white_noise(g.key("k"), &[], -1.0, 0.1).map(drop)).contains("finite and not below 0"));
    assert!(text(grid.apply(&Default::default(), u).map(drop)).contains("number of taps is 0"));
}
