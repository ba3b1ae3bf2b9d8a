//! Pictures: temperatures, what is wrong with them, and how the mode fades.

use super::Look;
use super::problem::Problem;
use ergodic::Result;
use ergodic::report::{Plot, Run, write_figure};

/// A field and the number of its look.
type Frame = (u64, Vec<f64>);

pub fn write(run: &Run, problem: &Problem, looks: &[Look], kernels: &[Frame]) -> Result<()> {
    fields(run, problem, looks, kernels)?;
    laws(run, problem, looks, kernels)
}

/// Time and temperatures of the `k`-th look that is shown.
fn shown<'a>(problem: &Problem, looks: &[Look], kernels: &'a [Frame], k: usize) -> (f64, &'a [f64]) {
    let at = problem.shown()[k];
    let frame = kernels.iter().find(|(look, _)| *look == at);
    (looks[at as usize].time, frame.map_or(&[], |(_, field)| field))
}

fn fields(run: &Run, problem: &Problem, looks: &[Look], kernels: &[Frame]) -> Result<()> {
    let (rows, columns) = (problem.grid.axis(0), problem.grid.axis(1));
    let heat = |title: String, label: &str, values: &[f64]| {
        let axes = Plot::new(title).x("x").y("y");
        axes.heat(label, values, columns.cells, (0.0, 0.0), (columns.length, rows.length))
    };
    let view = |k| {
        let (time, kernel) = shown(problem, looks, kernels, k);
        heat(format!("A unit of heat after t = {time:.4}"), "temperature", kernel)
    };
    let mut plots = [0, 2, 4].map(view).to_vec();
    let (time, kernel) = shown(problem, looks, kernels, 4);
    let exact = problem.kernel(time);
    let off: Vec<f64> = kernel.iter().zip(&exact).map(|(u, k)| u - k).collect();
    plots.push(heat(format!("Found minus exact at t = {time:.4}"), "temperature", &off));
    write_figure(run.path("fields.png"), 2, &plots)
}

fn laws(run: &Run, problem: &Problem, looks: &[Look], kernels: &[Frame]) -> Result<()> {
    let times: Vec<f64> = looks.iter().map(|look| look.time).collect();
    let modes: Vec<f64> = looks.iter().map(|look| look.mode).collect();
    let exact: Vec<f64> = times.iter().map(|t| (problem.rate() * t).exp()).collect();
    let fades = Plot::new(format!("Mode {:?}", problem.waves)).x("time").y("amplitude").log_y();
    let fades = fades.points("device", &times, &modes).reference("exact", &times, &exact);
    let (row, columns) = (problem.cell().0, problem.grid.axis(1));
    let at: Vec<f64> = (0..columns.cells).map(|i| columns.center(i)).collect();
    let cut = |field: &[f64]| field[row * columns.cells..][..columns.cells].to_vec();
    let mut profile = Plot::new("Through the point").x("x").y("temperature");
    for (time, kernel) in [1, 3, 4].map(|k| shown(problem, looks, kernels, k)) {
        let label = format!("t = {time:.4}");
        profile = profile.line(&label, &at, &cut(kernel)).reference("exact", &at, &cut(&problem.kernel(time)));
    }
    write_figure(run.path("laws.png"), 2, &[fades, profile])
}
