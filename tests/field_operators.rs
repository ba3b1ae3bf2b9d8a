//! Operators on grids, in f64: orders of convergence at every boundary, dispersion, conservation, and the mirror by brute force.

mod field_support;

use ergodic::autodiff::grads;
use ergodic::field::{Axis, Edge, Flux, Grid, Linear, Order, Scheme, Spectral, Stencil};
use ergodic::graph::{Feeds, Graph, Var};
use field_support::*;

const EPS: f64 = f64::EPSILON;

/// Observed order between 64 and 128 cells. The next term of the error is smaller by `(k dx)^2 <= (4 pi / 64)^2 = 0.04`, which
/// moves the exponent by less than 0.1.
#[track_caller]
fn assert_order(what: &str, order: f64, error: impl Fn(usize) -> f64) {
    let (coarse, fine) = (error(64), error(128));
    let observed = (coarse / fine).log2();
    assert!((observed - order).abs() < 0.1, "{what}: order {observed:.3}, want {order} (errors {coarse:e}, {fine:e})");
}

#[test]
fn derivatives_converge_at_their_order_at_every_boundary() {
    for kind in &KINDS {
        for (order, p) in [(Order::Two, 2.0), (Order::Four, 4.0)] {
            let error = |n: usize, which: usize| {
                let grid = of_kind(kind, n);
                let u = grid.sample(|x| kind.2[0](x[0]));
                let got = eval(&grid, &u, |u| match which {
                    1 => grid.derivative(u, 0, order),
                    2 => grid.laplacian(u, order),
                    _ => grid.bilaplacian(u, order),
                });
                worst(&got, &grid.sample(|x| kind.2[which](x[0])))
            };
            for (which, name) in [(1, "derivative"), (2, "laplacian"), (3, "bilaplacian")] {
                assert_order(&format!("{name}, {order:?}, {}", kind.0), p, |n| error(n, which));
            }
        }
    }
}

#[test] // the control: a mirror is not exact for a field without its symmetry
fn a_field_without_the_walls_symmetry_loses_the_order_at_the_wall() {
    let error = |n: usize| {
        let grid = line(between(n, 1.0, Edge::Dirichlet(0.0)));
        let u = grid.sample(|x| (3.0 * x[0]).exp() - 1.0); // zero at x = 0, but with curvature there
        let got = eval(&grid, &u, |u| grid.laplacian(u, Order::Four));
        (got[0] - 9.0 * (3.0 * grid.axis(0).center(0)).exp()).abs()
    };
    assert!((error(64) / error(128)).log2() < 0.5);
}

#[test]
fn flows_are_carried_at_the_order_of_their_scheme() {
    let schemes = [
        (Scheme::Upwind, 1.0),
        (Scheme::UpwindTwo, 2.0),
        (Scheme::Central(Order::Two), 2.0),
        (Scheme::Central(Order::Four), 4.0),
    ];
    for (scheme, p) in schemes {
        for speed in [1.3, -0.7] {
            let error = |n: usize| {
                let kind = &KINDS[0];
                let grid = of_kind(kind, n);
                let u = grid.sample(|x| kind.2[0](x[0]));
                let got = eval(&grid, &u, |u| grid.advection(u, &[u.graph().constant(speed)], scheme));
                worst(&got, &grid.sample(|x| speed * kind.2[1](x[0])))
            };
            assert_order(&format!("{scheme:?} at {speed}"), p, error);
        }
    }
}

/// Grids of one, two and three dimensions with every kind of edge, without values on the walls.
fn grids() -> Vec<Grid> {
    let zero = Edge::Dirichlet(0.0);
    let axes = [
        Axis::periodic(7, 2.0),
        between(6, 1.5, zero),
        between(5, 1.0, REFLECTING),
        Axis::between(6, 0.8, zero, Edge::Neumann(0.0)),
        Axis::between(5, 1.2, REFLECTING, zero),
    ];
    let mut grids: Vec<_> = axes.iter().map(|axis| line(*axis)).collect();
    grids.push(Grid::new([axes[0], axes[2]]).unwrap());
    grids.push(Grid::new([axes[1], axes[3]]).unwrap());
    grids.push(Grid::new([axes[2], axes[0], axes[4]]).unwrap());
    grids
}

#[test]
fn modes_are_orthonormal_eigenvectors_of_the_stencils() {
    for grid in grids() {
        for order in [Order::Two, Order::Four] {
            let (g, u) = (Graph::new(), rough(grid.n_cells(), 1));
            let spectral = Spectral::new(&g, "modes", &grid, order);
            let x = g.input("u", grid.shape());
            let outputs = [
                spectral.inverse(spectral.forward(x).unwrap()).unwrap(),
                spectral.forward(x).unwrap().square().sum_all(),
                spectral.filter(x, |lambda| lambda).unwrap(),
                grid.laplacian(x, order).unwrap(),
            ];
            let got = g.eval_f64(&outputs, &spectral.feed(Feeds::new().tensor("u", &u))).unwrap();
            let norm: f64 = u.iter().map(|u| u * u).sum();
            // Three products of up to 7 terms each way; eigenvalues up to 16/3 / dx^2 an axis.
            let rate: f64 = grid.axes().iter().map(|axis| 16.0 / 3.0 / axis.spacing().powi(2)).sum();
            assert!(worst(&got[0].data, &u) < 100.0 * EPS, "{:?}", grid.shape());
            assert!((got[1].data[0] - norm).abs() < 100.0 * EPS * norm);
            assert!(worst(&got[2].data, &got[3].data) < 100.0 * EPS * rate, "{:?} {order:?}", grid.shape());
        }
    }
}

#[test]
fn waves_obey_the_discrete_dispersion_relation() {
    let rings = [vec![Axis::periodic(8, 2.0)], vec![Axis::periodic(8, 2.0), Axis::periodic(6, 1.0)]];
    let three = vec![Axis::periodic(6, 2.0), Axis::periodic(5, 1.0), Axis::periodic(8, 1.0)];
    for axes in rings.into_iter().chain([three]) {
        let grid = Grid::new(axes).unwrap();
        for (i, scheme) in [Scheme::Upwind, Scheme::UpwindTwo, Scheme::Central(Order::Four)].into_iter().enumerate() {
            let order = if i == 0 { Order::Two } else { Order::Four };
            let velocity = [0.9, -1.7, 0.4][..grid.dimensions()].to_vec();
            let linear = Linear { diffusion: 0.3, stiffness: 0.02, velocity, order, scheme, ..Linear::default() };
            let turns = [2.0, 1.0, 3.0];
            let theta: Vec<f64> =
                grid.axes().iter().zip(turns).map(|(a, m)| std::f64::consts::TAU * m / a.cells as f64).collect();
            // Phase at a cell: counted from its centre, half a cell changes nothing.
            let phase =
                |x: &[f64]| grid.axes().iter().zip(x).zip(&theta).map(|((a, x), t)| t * x / a.spacing()).sum::<f64>();
            let got = eval(&grid, &grid.sample(|x| phase(x).cos()), |u| grid.rate(u, &linear));
            let (real, turn) = grid.symbol(&linear, &theta);
            let want = grid.sample(|x| real * phase(x).cos() - turn * phase(x).sin());
            let fastest: f64 = grid.axes().iter().map(|a| 6.0 / a.spacing().powi(2)).sum();
            let size = 0.3 * fastest + 0.02 * fastest * fastest + 30.0 * 2.0;
            assert!(worst(&got, &want) < 100.0 * EPS * size, "{:?} {scheme:?}: {:e}", grid.shape(), worst(&got, &want));
        }
    }
}

/// The mirror, one cell at a time: what stands at place `at` of the grid, inside or outside. In a corner the wall across the
/// last axis mirrors what the others have made.
fn beyond(grid: &Grid, u: &[f64], at: &[i64]) -> f64 {
    let (mut factor, mut sum, mut cell, mut stride) = (1.0, 0.0, 0, 1);
    for (axis, &i) in grid.axes().iter().zip(at).rev() {
        let (n, dx) = (axis.cells as i64, axis.spacing());
        let (edge, inside, distance) = match i {
            ..0 => (axis.low, -1 - i, -(2.0 * (-1 - i) as f64 + 1.0) * dx),
            _ if i >= n => (axis.high, 2 * n - 1 - i, (2.0 * (i - n) as f64 + 1.0) * dx),
            _ => (REFLECTING, i, 0.0),
        };
        let inside = match edge {
            Edge::Periodic => i.rem_euclid(n),
            Edge::Dirichlet(value) => {
                (sum, factor) = (sum + factor * 2.0 * value, -factor);
                inside
            }
            Edge::Neumann(slope) => {
                sum += factor * slope * distance;
                inside
            }
            Edge::Reflecting => inside,
        };
        cell += stride * inside as usize;
        stride *= axis.cells;
    }
    sum + factor * u[cell]
}

#[test]
fn stencils_of_any_shape_find_mirrored_cells_at_walls_and_corners() {
    let walled = Axis::between(6, 1.5, Edge::Dirichlet(0.4), Edge::Neumann(-0.8));
    let other = Axis::between(5, 2.0, Edge::Neumann(0.6), REFLECTING);
    for axes in [
        vec![walled],
        vec![Axis::periodic(5, 1.0), walled],
        vec![other, walled],
        vec![other, walled, Axis::periodic(5, 1.0)],
    ] {
        let grid = Grid::new(axes).unwrap();
        let d = grid.dimensions();
        let taps: Vec<(Vec<i32>, f64)> = [[0, 0, 0], [1, -2, 1], [-2, 1, 0], [2, 2, -1], [-1, -1, 2], [0, -2, 0]]
            .into_iter()
            .enumerate()
            .map(|(i, at)| (at[..d].to_vec(), 0.3 + 0.2 * i as f64))
            .collect();
        let u = rough(grid.n_cells(), 3);
        let g = Graph::new();
        let (x, w) = (g.input("u", grid.shape()), g.input("w", []));
        let last = taps.len() - 1;
        let numbers = taps.iter().fold(Stencil::new(), |s, (at, weight)| s.tap(at.clone(), *weight));
        // The same, the last weight a value of the graph.
        let mixed = taps[..last].iter().fold(Stencil::new(), |s, (at, weight)| s.tap(at.clone(), *weight));
        let mixed = mixed.tap(taps[last].0.clone(), w);
        let outputs = [grid.apply(&numbers, x).unwrap(), grid.apply(&mixed, x).unwrap()];
        let feeds = Feeds::new().tensor("u", &u).tensor("w", taps[last].1);
        let got = g.eval_f64(&outputs, &feeds).unwrap();
        let shape = grid.shape();
        let want: Vec<f64> = (0..grid.n_cells())
            .map(|cell| {
                let mut rest = cell;
                let mut at: Vec<i64> = shape
                    .iter()
                    .rev()
                    .map(|n| {
                        let i = rest % n;
                        rest /= n;
                        i as i64
                    })
                    .collect();
                at.reverse();
                let shifted = |by: &[i32]| at.iter().zip(by).map(|(a, b)| a + i64::from(*b)).collect::<Vec<_>>();
                taps.iter().map(|(by, weight)| weight * beyond(&grid, &u, &shifted(by))).sum()
            })
            .collect();
        assert!(worst(&got[0].data, &want) < 100.0 * EPS, "{shape:?}: {:e}", worst(&got[0].data, &want));
        assert!(worst(&got[1].data, &want) < 100.0 * EPS, "{shape:?}");
    }
}

#[test]
fn operators_along_axes_are_the_stencils_of_their_weights() {
    let walled = Axis::between(6, 3.0, Edge::Dirichlet(0.4), Edge::Neumann(-0.8));
    let grid = Grid::new([Axis::between(5, 5.0, REFLECTING, Edge::Dirichlet(1.0)), walled]).unwrap();
    let u = rough(grid.n_cells(), 4);
    // Cells of size 1 and 0.5: fourth order, compact.
    let curvature = [(-2, -1.0 / 12.0), (-1, 4.0 / 3.0), (0, -2.5), (1, 4.0 / 3.0), (2, -1.0 / 12.0)];
    let by_taps = eval(&grid, &u, |u| {
        let taps = curvature.iter().fold(Stencil::new(), |s, (by, w)| s.tap([*by, 0], *w).tap([0, *by], 4.0 * w));
        grid.apply(&taps, u)
    });
    let got = eval(&grid, &u, |u| grid.laplacian(u, Order::Four));
    assert!(worst(&got, &by_taps) < 1000.0 * EPS, "{:e}", worst(&got, &by_taps));
}

#[test]
fn weights_of_a_stencil_are_learnt_by_their_gradient() {
    let grid = line(between(6, 1.0, Edge::Dirichlet(0.5)));
    let (g, u) = (Graph::new(), rough(6, 5));
    let (x, w, field) = (g.input("u", [6]), g.input("w", []), g.input("field", [6]));
    let sum = grid.apply(&Stencil::new().tap([1], w).tap([-1], field).tap([0], -2.0), x).unwrap();
    let found = grads(sum.sum_all(), &[w, field, x]).unwrap();
    let feeds = Feeds::new().tensor("u", &u).tensor("w", 0.3).tensor("field", rough(6, 6));
    let got = g.eval_f64(&found, &feeds).unwrap();
    let ahead: f64 = u[1..].iter().sum::<f64>() + 1.0 - u[5];
    assert!((got[0].data[0] - ahead).abs() < 20.0 * EPS);
    let behind: Vec<f64> = [1.0 - u[0]].into_iter().chain(u[..5].iter().copied()).collect();
    assert!(worst(&got[1].data, &behind) < 20.0 * EPS);
    // The last cell is read by its neighbour (w), by itself (-2), and mirrored by its own wall (-w).
    assert!((got[2].data[5] - (0.3 - 2.0 - 0.3)).abs() < 20.0 * EPS);
}

fn total(u: &[f64]) -> f64 {
    u.iter().sum()
}

#[test]
fn what_leaves_a_cell_enters_another() {
    let tight = |axis: usize| if axis == 0 { Axis::periodic(7, 2.0) } else { between(6, 1.5, REFLECTING) };
    for grid in [line(tight(0)), line(tight(1)), Grid::new([tight(0), tight(1)]).unwrap()] {
        let u = rough(grid.n_cells(), 7);
        let size = 1000.0 * EPS * 300.0 * 300.0;
        let sums = |build: &dyn for<'g> Fn(Var<'g>) -> ergodic::Result<Var<'g>>| total(&eval(&grid, &u, build)).abs();
        for order in [Order::Two, Order::Four] {
            assert!(sums(&|u| grid.laplacian(u, order)) < size);
            assert!(sums(&|u| grid.bilaplacian(u, order)) < size);
            assert!(sums(&|u| grid.divergence(&vec![u.sin(); grid.dimensions()], order)) < size);
        }
        for flux in [Flux::Upwind, Flux::Central] {
            // A flow that is blocked by the walls: its normal part is odd there.
            assert!(sums(&|u| grid.transport(u, &vec![u * 3.0; grid.dimensions()], flux)) < size);
        }
    }
    // The control: heat leaves through a wall at zero.
    let grid = line(between(6, 1.0, Edge::Dirichlet(0.0)));
    assert!(total(&eval(&grid, &[1.0; 6], |u| grid.laplacian(u, Order::Two))).abs() > 1.0);
}

#[test]
fn the_divergence_of_a_gradient_tends_to_the_laplacian() {
    for kind in &KINDS {
        let error = |n: usize| {
            let grid = of_kind(kind, n);
            let u = grid.sample(|x| kind.2[0](x[0]));
            let got = eval(&grid, &u, |u| grid.divergence(&grid.gradient(u, Order::Two)?, Order::Two));
            worst(&got, &grid.sample(|x| kind.2[2](x[0])))
        };
        assert_order(kind.0, 2.0, error);
    }
}

#[test]
fn transport_agrees_with_advection_of_a_steady_flow() {
    let grid = Grid::new([Axis::periodic(12, 1.0), Axis::periodic(9, 1.0)]).unwrap();
    let u = rough(grid.n_cells(), 8);
    let pairs = [(Flux::Upwind, Scheme::Upwind), (Flux::Central, Scheme::Central(Order::Two))];
    for (flux, scheme) in pairs {
        let carried = eval(&grid, &u, |u| grid.transport(u, &[0.7, -1.2].map(|v| u.graph().constant(v)), flux));
        let other = eval(&grid, &u, |u| grid.advection(u, &[0.7, -1.2].map(|v| u.graph().constant(v)), scheme));
        assert!(worst(&carried, &other) < 100.0 * EPS * 30.0);
    }
}
