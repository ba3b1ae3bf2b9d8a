//! Explicit steps of two equations on periodic grids.

use super::replay::{Inputs, Replay, first};
use super::{Bed, Case, Figure, Sizes, Workload, wide};
use ergodic::graph::{Boundary, Graph, Tap};
use ergodic::plan::Session;
use std::f64::consts::TAU;

/// Diffusion number of both: time step times diffusivity over the square of a cell.
const DIFFUSION: f64 = 0.2;
/// Time step of Allen-Cahn, in units of the reaction's time.
const TIME_STEP: f64 = 0.002;
/// Rows of a field that are compared.
const CHECKED: usize = 2;
/// Wave numbers of the field that diffuses.
const WAVES: [f64; 2] = [3.0, 2.0];
const EPS: f64 = f32::EPSILON as f64;

/// `u' = u + r (sum of four neighbours - 4 u)`.
pub fn heat_2d() -> Workload {
    Workload {
        id: "heat_2d",
        unit: "cell-step",
        target: 0.6,
        sizes: [
            Sizes(&[("rows", 1024), ("cells", 1024), ("steps", 100)]),
            Sizes(&[("rows", 128), ("cells", 128), ("steps", 20)]),
            Sizes(&[("rows", 32), ("cells", 48), ("steps", 12)]),
        ],
        units: cell_steps,
        build: build_heat,
        score: score_heat,
    }
}

/// `u' = u + r (u_left + u_right - 2 u) + dt (u - u^3)`, each row by itself.
pub fn allen_cahn() -> Workload {
    Workload {
        id: "allen_cahn",
        unit: "cell-step",
        target: 0.6,
        sizes: [
            Sizes(&[("rows", 256), ("cells", 1024), ("steps", 1000)]),
            Sizes(&[("rows", 32), ("cells", 256), ("steps", 100)]),
            Sizes(&[("rows", 4), ("cells", 64), ("steps", 20)]),
        ],
        units: cell_steps,
        build: build_allen_cahn,
        score: score_allen_cahn,
    }
}

fn cell_steps(sizes: &Sizes) -> f64 {
    (sizes.get("rows") * sizes.get("cells") * sizes.get("steps")) as f64
}

fn plan_steps(sizes: &Sizes) -> u64 {
    sizes.get("steps") as u64
}

/// `1 + cos(2 pi k x) cos(2 pi l y)`: a mean, and a mode that decays by a known factor each step.
fn wave(rows: usize, cells: usize) -> Vec<f32> {
    let value = |i: usize| 1.0 + mode(i / cells, i % cells, rows, cells);
    (0..rows * cells).map(|i| value(i) as f32).collect()
}

fn mode(row: usize, cell: usize, rows: usize, cells: usize) -> f64 {
    (TAU * WAVES[0] * row as f64 / rows as f64).cos() * (TAU * WAVES[1] * cell as f64 / cells as f64).cos()
}

fn build_heat(bed: &Bed<'_>, sizes: &Sizes) -> ergodic::Result<Box<dyn Case>> {
    let (rows, cells) = (sizes.get("rows"), sizes.get("cells"));
    let g = Graph::new();
    let side = |dy: i32, dx: i32| Tap::new([dy, dx], DIFFUSION);
    let taps = [Tap::new([0, 0], 1.0 - 4.0 * DIFFUSION), side(-1, 0), side(1, 0), side(0, -1), side(0, 1)];
    let next = g.input("u", [rows, cells]).stencil(&taps, Boundary::Periodic);
    let inputs = Inputs { tensors: vec![("u", vec![rows, cells], wave(rows, cells))], keys: vec![] };
    let answer = move |session: &Session| {
        let u = wide(&session.read::<f32>("u")?.wait()?);
        let mass: f64 = u.iter().sum();
        Ok([&[mass], &u[..CHECKED * cells]].concat())
    };
    Ok(Box::new(Replay::new(bed, &[("u", next)], inputs, plan_steps(sizes), Box::new(answer))?))
}

/// An answer is the mass of the whole field and its first rows.
fn score_heat(sizes: &Sizes, answer: &[f64]) -> ergodic::Result<Vec<Figure>> {
    let (rows, cells, steps) = (sizes.get("rows"), sizes.get("cells"), sizes.get("steps"));
    let curvature = |waves: f64, n: usize| 2.0 - 2.0 * (TAU * waves / n as f64).cos();
    let decay = 1.0 - DIFFUSION * (curvature(WAVES[0], rows) + curvature(WAVES[1], cells));
    let exact = |i: usize| 1.0 + decay.powi(steps as i32) * mode(i / cells, i % cells, rows, cells);
    let error = answer.iter().skip(1).enumerate().map(|(i, u)| (u - exact(i)).abs());
    let worst = if answer.len() == 1 + CHECKED * cells { error.fold(0.0, f64::max) } else { f64::INFINITY };
    let mass = (rows * cells) as f64;
    // Five products and four sums of terms of sign + that add up to 2 at most, each step; the weights' own rounding with them.
    let bound = 10.0 * EPS * 2.0 * (steps + 1) as f64;
    Ok(vec![
        Figure { name: "field, absolute error", value: worst, bound },
        Figure { name: "mass, relative drift", value: (answer[0] / mass - 1.0).abs(), bound: bound / 2.0 },
    ])
}

/// A different smooth pattern in each row, well inside (-1, 1).
fn pattern(rows: usize, cells: usize) -> Vec<f32> {
    let value = |row: usize, cell: usize| {
        let x = TAU * cell as f64 / cells as f64;
        0.5 * ((1 + row % 3) as f64 * x).sin() + 0.3 * ((2 + row % 5) as f64 * x).cos()
    };
    (0..rows * cells).map(|i| value(i / cells, i % cells) as f32).collect()
}

fn build_allen_cahn(bed: &Bed<'_>, sizes: &Sizes) -> ergodic::Result<Box<dyn Case>> {
    let (rows, cells) = (sizes.get("rows"), sizes.get("cells"));
    let g = Graph::new();
    let taps = [Tap::new([0], 1.0 - 2.0 * DIFFUSION), Tap::new([-1], DIFFUSION), Tap::new([1], DIFFUSION)];
    let u = g.input("u", [rows, cells]);
    let next = u.stencil(&taps, Boundary::Periodic) + (u - u * u * u) * TIME_STEP;
    let inputs = Inputs { tensors: vec![("u", vec![rows, cells], pattern(rows, cells))], keys: vec![] };
    let answer = first("u", CHECKED * cells);
    Ok(Box::new(Replay::new(bed, &[("u", next)], inputs, plan_steps(sizes), answer)?))
}

/// The first rows against the same scheme in f64.
fn score_allen_cahn(sizes: &Sizes, answer: &[f64]) -> ergodic::Result<Vec<Figure>> {
    let (cells, steps) = (sizes.get("cells"), sizes.get("steps"));
    let mut worst: f64 = if answer.len() == CHECKED * cells { 0.0 } else { f64::INFINITY };
    for (row, got) in pattern(CHECKED, cells).chunks_exact(cells).zip(answer.chunks_exact(cells)) {
        let want = (0..steps).fold(wide(row), |u, _| allen_cahn_step(&u));
        worst = got.iter().zip(&want).fold(worst, |worst, (g, w)| worst.max((g - w).abs()));
    }
    // Each step rounds by at most 4 eps for |u| < 1, and a deviation grows by 1 + dt a step while u is near 0.
    let growth = (1.0 + TIME_STEP).powi(steps as i32);
    let bound = 4.0 * EPS * (growth + (growth - 1.0) / TIME_STEP);
    Ok(vec![Figure { name: "field, absolute error", value: worst, bound }])
}

fn allen_cahn_step(u: &[f64]) -> Vec<f64> {
    let n = u.len();
    let laplacian = |i: usize| u[(i + n - 1) % n] + u[(i + 1) % n] - 2.0 * u[i];
    let next = |i: usize| u[i] + DIFFUSION * laplacian(i) + TIME_STEP * (u[i] - u[i].powi(3));
    (0..n).map(next).collect()
}
