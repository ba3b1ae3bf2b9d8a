//! Grids of every kind, and fields on them evaluated in f64.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use ergodic::Result;
use ergodic::field::{Axis, Edge, Grid};
use ergodic::graph::{Feeds, Graph, Var};

pub const REFLECTING: Edge = Edge::Reflecting;

/// One axis with this edge at both ends.
pub fn between(cells: usize, length: f64, edge: Edge) -> Axis {
    Axis::between(cells, length, edge, edge)
}

pub fn line(axis: Axis) -> Grid {
    Grid::new([axis]).unwrap()
}

/// What a graph of one field makes of `u`, in f64.
pub fn eval(grid: &Grid, u: &[f64], build: impl for<'g> FnOnce(Var<'g>) -> Result<Var<'g>>) -> Vec<f64> {
    let g = Graph::new();
    let out = build(g.input("u", grid.shape())).unwrap();
    g.eval_f64(&[out], &Feeds::new().tensor("u", u)).unwrap().remove(0).data
}

/// The field after so many steps, in f64.
pub fn march(grid: &Grid, u: &[f64], steps: usize, build: impl for<'g> FnOnce(Var<'g>) -> Result<Var<'g>>) -> Vec<f64> {
    let g = Graph::new();
    let next = build(g.input("u", grid.shape())).unwrap();
    let mut feeds = Feeds::new().tensor("u", u);
    for _ in 0..steps {
        g.eval_step(&[("u", next)], &mut feeds).unwrap();
    }
    feeds.get("u").unwrap().to_vec()
}

pub fn worst(got: &[f64], want: &[f64]) -> f64 {
    assert_eq!(got.len(), want.len());
    got.iter().zip(want).fold(0.0, |worst, (g, w)| f64::max(worst, (g - w).abs()))
}

pub fn largest(u: &[f64]) -> f64 {
    u.iter().fold(0.0, |largest, u| f64::max(largest, u.abs()))
}

/// Pseudo-random numbers in (-1, 1).
pub fn rough(n: usize, seed: u64) -> Vec<f64> {
    (0..n).map(|i| f64::from(ergodic::random::RngKey::new(seed).uniform(i as u32, 0, 0)) * 2.0 - 1.0).collect()
}

/// Pairs of ends, and for each a function of `x` in `(0, 1)` that continues as its mirror says: value, slope, curvature and
/// fourth derivative.
pub type Smooth = (&'static str, (Edge, Edge), [fn(f64) -> f64; 4]);

const PI: f64 = std::f64::consts::PI;

pub const KINDS: [Smooth; 5] = [
    (
        "periodic",
        (Edge::Periodic, Edge::Periodic),
        [
            |x| (2.0 * PI * x).sin() + (4.0 * PI * x).cos(),
            |x| 2.0 * PI * (2.0 * PI * x).cos() - 4.0 * PI * (4.0 * PI * x).sin(),
            |x| -(2.0 * PI).powi(2) * (2.0 * PI * x).sin() - (4.0 * PI).powi(2) * (4.0 * PI * x).cos(),
            |x| (2.0 * PI).powi(4) * (2.0 * PI * x).sin() + (4.0 * PI).powi(4) * (4.0 * PI * x).cos(),
        ],
    ),
    (
        "dirichlet",
        (Edge::Dirichlet(0.7), Edge::Dirichlet(0.7)),
        [
            |x| 0.7 + (2.0 * PI * x).sin(),
            |x| 2.0 * PI * (2.0 * PI * x).cos(),
            |x| -(2.0 * PI).powi(2) * (2.0 * PI * x).sin(),
            |x| (2.0 * PI).powi(4) * (2.0 * PI * x).sin(),
        ],
    ),
    (
        "neumann",
        (Edge::Neumann(1.5), Edge::Neumann(1.5)),
        [
            |x| 1.5 * x + (2.0 * PI * x).cos(),
            |x| 1.5 - 2.0 * PI * (2.0 * PI * x).sin(),
            |x| -(2.0 * PI).powi(2) * (2.0 * PI * x).cos(),
            |x| (2.0 * PI).powi(4) * (2.0 * PI * x).cos(),
        ],
    ),
    (
        "reflecting",
        (REFLECTING, REFLECTING),
        [
            |x| (PI * x).cos() + 0.5 * (2.0 * PI * x).cos(),
            |x| -PI * (PI * x).sin() - PI * (2.0 * PI * x).sin(),
            |x| -PI.powi(2) * (PI * x).cos() - 2.0 * PI.powi(2) * (2.0 * PI * x).cos(),
            |x| PI.powi(4) * (PI * x).cos() + 8.0 * PI.powi(4) * (2.0 * PI * x).cos(),
        ],
    ),
    (
        "one of each",
        (Edge::Dirichlet(0.3), REFLECTING),
        [
            |x| 0.3 + (1.5 * PI * x).sin(),
            |x| 1.5 * PI * (1.5 * PI * x).cos(),
            |x| -(1.5 * PI).powi(2) * (1.5 * PI * x).sin(),
            |x| (1.5 * PI).powi(4) * (1.5 * PI * x).sin(),
        ],
    ),
];

/// A grid of one axis of length 1 between these ends.
pub fn of_kind((_, (low, high), _): &Smooth, cells: usize) -> Grid {
    line(Axis::between(cells, 1.0, *low, *high))
}
