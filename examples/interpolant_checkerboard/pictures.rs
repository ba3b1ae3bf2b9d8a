//! Pictures: samples on their way, the learned or known density, losses.

use super::flow::Samples;
use super::learn::name;
use super::plane;
use super::problem::{Problem, label};
use ergodic::Result;
use ergodic::data::table;
use ergodic::methods::interpolant::Likelihood;
use ergodic::random::RngKey;
use ergodic::report::{Plot, Run, write_figure};

/// Cells of a density along one side.
const CELLS: usize = 80;

pub fn write(run: &Run, problem: &Problem, likelihood: Option<&Likelihood>, samples: &Samples) -> Result<()> {
    match samples.d {
        1 => in_one_dimension(run, problem, likelihood, samples)?,
        _ => in_the_plane(run, problem, likelihood, samples)?,
    }
    if problem.learned.is_none() {
        return Ok(());
    }
    let table = table::read(run.path("history.csv"))?;
    let column = |name: &str| table.column(name).unwrap_or_default();
    let known = problem.known();
    let plot = |field| {
        let (label, steps) = (format!("loss_{}", name(field)), column("step"));
        let (value, se) = (column(&label), column(&format!("{label}_se")));
        let off = |sign: f64| value.iter().zip(&se).map(|(v, se)| v + sign * 2.0 * se).collect::<Vec<_>>();
        let axes = Plot::new(format!("Loss of {}", name(field))).x("step").y("loss");
        let plot = axes.line(&label, &steps, &value).band(&label, &steps, &off(-1.0), &off(1.0));
        let least = run.metrics.get(&format!("{label}_min"));
        least.map_or(plot.clone(), |least| plot.exact(least))
    };
    let plots: Vec<_> = [known.motion, known.noise].into_iter().flatten().map(plot).collect();
    write_figure(run.path("losses.png"), plots.len().max(1), &plots)
}

/// Densities of the model at points `[n d]`.
fn densities(likelihood: &Likelihood, problem: &Problem, x: &[f64]) -> Result<Vec<f64>> {
    let narrow: Vec<_> = x.iter().map(|&x| x as f32).collect();
    let logs = likelihood.of(&narrow, RngKey::new(problem.seed).fold_in(8))?.values;
    Ok(logs.into_iter().map(f64::exp).collect())
}

/// One row for each noise, if there are several: the samples at the end, and how they came there.
pub fn noises(run: &Run, problem: &Problem, all: &[Samples]) -> Result<()> {
    let [first, _, ..] = all else { return Ok(()) };
    let frames = all.iter().flat_map(|samples| &samples.frames);
    let (low, high) = reach(frames.flat_map(|(_, x)| x.iter().step_by(first.d)));
    let grid: Vec<_> = (0..=400).map(|k| low + (high - low) * f64::from(k) / 400.0).collect();
    let exact = problem.exact()?.map(|path| plane::marginal(path.end(), &[0])).transpose()?;
    let x1 = if first.d == 1 { "x" } else { "x1" };
    let mut plots = vec![];
    for samples in all {
        let Some((_, last)) = samples.frames.last() else { continue };
        let title = format!("epsilon = {}", label(&samples.epsilon));
        let axes = Plot::new(format!("Samples at the end, {title}")).x(x1).y("density").x_range(low, high);
        let mut plot = axes.histogram("samples", &component(last, first.d, 0), 100);
        if let Some(exact) = &exact {
            let values: Vec<_> = grid.iter().map(|&x| exact.log_density(&[x]).exp()).collect();
            plot = plot.reference("exact", &grid, &values);
        }
        let (t, x) = tracks(samples, |t, _| t, 0);
        plots.push(plot);
        plots.push(Plot::new(format!("Trajectories, {title}")).x("t").y(x1).y_range(low, high).line("samples", &t, &x));
    }
    write_figure(run.path("noises.png"), 2, &plots)
}

fn component(x: &[f32], d: usize, i: usize) -> Vec<f64> {
    x.iter().skip(i).step_by(d).map(|&v| f64::from(v)).collect()
}

/// An interval around all but the outermost thousandths of these values.
fn reach<'a>(values: impl Iterator<Item = &'a f32>) -> (f64, f64) {
    let mut all: Vec<_> = values.map(|&v| f64::from(v)).collect();
    all.sort_by(f64::total_cmp);
    let cut = all.len() / 1000;
    let (low, high) = (all[cut], all[all.len() - 1 - cut]);
    (low - 0.1 * (high - low), high + 0.1 * (high - low))
}

/// Paths as one line, broken between them: times or the first coordinate against the last that is asked for.
fn tracks(samples: &Samples, across: impl Fn(f64, &[f32]) -> f64, up: usize) -> (Vec<f64>, Vec<f64>) {
    let (d, mut x, mut y) = (samples.d, vec![], vec![]);
    let n = samples.tracks.first().map_or(0, |(_, points)| points.len() / d);
    for i in 0..n {
        for (t, points) in &samples.tracks {
            let row = &points[i * d..(i + 1) * d];
            x.push(across(*t, row));
            y.push(f64::from(row[up]));
        }
        x.push(f64::NAN);
        y.push(f64::NAN);
    }
    (x, y)
}

fn in_one_dimension(run: &Run, problem: &Problem, likelihood: Option<&Likelihood>, samples: &Samples) -> Result<()> {
    let (low, high) = reach(samples.frames.iter().flat_map(|(_, x)| x));
    let grid: Vec<_> = (0..=400).map(|k| low + (high - low) * f64::from(k) / 400.0).collect();
    let exact = problem.exact()?;
    let mut plots = vec![];
    let point = |t: f64| t == 0.0 && problem.starts_in_a_point();
    for (t, x) in samples.frames.iter().filter(|(t, _)| !point(*t)) {
        let axes = Plot::new(format!("Samples at t = {t:.2}")).x("x").y("density").x_range(low, high);
        let mut plot = axes.histogram("samples", &component(x, 1, 0), 100);
        if let Some(path) = &exact {
            let density = path.marginal(*t)?;
            let values: Vec<_> = grid.iter().map(|&x| density.log_density(&[x]).exp()).collect();
            plot = plot.reference("exact", &grid, &values);
        }
        plots.push(plot);
    }
    let (t, x) = tracks(samples, |t, _| t, 0);
    plots.push(Plot::new("Trajectories").x("t").y("x").y_range(low, high).line("samples", &t, &x));
    write_figure(run.path("samples.png"), 3, &plots)?;
    let Some(likelihood) = likelihood else { return Ok(()) };
    let model = densities(likelihood, problem, &grid)?;
    let target = problem.target.source()?;
    let truth: Vec<_> = grid.iter().map(|&x| target.log_density(&[x]).unwrap_or(f64::NAN).exp()).collect();
    let plot = Plot::new("Density by the ODE").x("x").y("density").line("model", &grid, &model);
    write_figure(run.path("density.png"), 1, &[plot.reference("exact", &grid, &truth)])
}

fn in_the_plane(run: &Run, problem: &Problem, likelihood: Option<&Likelihood>, samples: &Samples) -> Result<()> {
    let d = samples.d;
    let of = |i: usize| reach(samples.frames.iter().flat_map(move |(_, x)| x.iter().skip(i).step_by(d)));
    let ((left, right), (low, high)) = (of(0), of(1));
    let axes = |title: String| Plot::new(title).x("x1").y("x2").x_range(left, right).y_range(low, high);
    let frame = |(t, x): &(f64, Vec<f32>)| {
        let (x, y) = (component(x, d, 0), component(x, d, 1));
        axes(format!("Samples at t = {t:.2}")).cloud("density", &x, &y, CELLS / 2, (left, low), (right, high))
    };
    let mut plots: Vec<_> = samples.frames.iter().map(frame).collect();
    let (x, y) = tracks(samples, |_, row| f64::from(row[0]), 1);
    let ends =
        |k: Option<&(f64, Vec<f32>)>| k.map(|(_, x)| (component(x, d, 0), component(x, d, 1))).unwrap_or_default();
    let (first, last) = (ends(samples.tracks.first()), ends(samples.tracks.last()));
    let paths = axes("Trajectories".into()).line("path", &x, &y).points("start", &first.0, &first.1);
    plots.push(paths.points("end", &last.0, &last.1));
    write_figure(run.path("samples.png"), 3, &plots)?;
    let Some(likelihood) = likelihood.filter(|_| d == 2) else { return Ok(()) };
    let side = |from: f64, to: f64, k: usize| from + (to - from) * (k as f64 + 0.5) / CELLS as f64;
    let cells: Vec<_> =
        (0..CELLS * CELLS).map(|at| (side(left, right, at % CELLS), side(low, high, at / CELLS))).collect();
    let model = densities(likelihood, problem, &cells.iter().flat_map(|&(x, y)| [x, y]).collect::<Vec<_>>())?;
    let target = problem.target.source()?;
    let truth = cells.iter().map(|&(x, y)| target.log_density(&[x, y]).unwrap_or(f64::NAN).exp());
    let heat =
        |title: &str, values: &[f64]| axes(title.into()).heat("density", values, CELLS, (left, low), (right, high));
    let both = [heat("Density by the ODE", &model), heat("Target", &truth.collect::<Vec<_>>())];
    write_figure(run.path("density.png"), 2, &both)
}
