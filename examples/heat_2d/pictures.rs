//! Pictures: temperatures, what is wrong with them, and how the mode fades.

use super::Look;
use super::problem::Problem;
use ergodic::Result;
use ergodic::report::{Plot, Run, write_figure};

pub fn write(run: &Run, problem: &Problem, looks: &[Look]) -> Result<()> {
    fields(run, problem, looks)?;
    laws(run, problem, looks)
}

fn fields(run: &Run, problem: &Problem, looks: &[Look]) -> Result<()> {
    let (rows, columns) = (problem.grid.axis(0), problem.grid.axis(1));
    let heat = |title: String, label: &str, values: &[f64]| {
        let axes = Plot::new(title).x("x").y("y");
        axes.heat(label, values, columns.cells, (0.0, 0.0), (columns.length, rows.length))
    };
    let last = looks.len() - 1;
    let mut plots: Vec<Plot> = [last.div_ceil(10).max(1), last.div_ceil(3), last]
        .into_iter()
        .map(|i| heat(format!("A unit of heat after t = {:.4}", looks[i].time), "temperature", &looks[i].kernel))
        .collect();
    let exact = problem.kernel(looks[last].time);
    let off: Vec<f64> = looks[last].kernel.iter().zip(&exact).map(|(u, k)| u - k).collect();
    plots.push(heat(format!("Found minus exact at t = {:.4}", looks[last].time), "temperature", &off));
    write_figure(run.path("fields.png"), 2, &plots)
}

fn laws(run: &Run, problem: &Problem, looks: &[Look]) -> Result<()> {
    let times: Vec<f64> = looks.iter().map(|look| look.time).collect();
    let modes: Vec<f64> = looks.iter().map(|look| look.mode).collect();
    let exact: Vec<f64> = times.iter().map(|t| (problem.rate() * t).exp()).collect();
    let fades = Plot::new(format!("Mode {:?}", problem.waves)).x("time").y("amplitude").log_y();
    let fades = fades.points("device", &times, &modes).reference("exact", &times, &exact);
    let (row, columns) = (problem.cell().0, problem.grid.axis(1));
    let at: Vec<f64> = (0..columns.cells).map(|i| columns.center(i)).collect();
    let cut = |field: &[f64]| field[row * columns.cells..][..columns.cells].to_vec();
    let mut profile = Plot::new("Through the point").x("x").y("temperature");
    let last = looks.len() - 1;
    for i in [last.div_ceil(4), last.div_ceil(2), last] {
        let (time, label) = (looks[i].time, format!("t = {:.4}", looks[i].time));
        profile =
            profile.line(&label, &at, &cut(&looks[i].kernel)).reference("exact", &at, &cut(&problem.kernel(time)));
    }
    write_figure(run.path("laws.png"), 2, &[fades, profile])
}
