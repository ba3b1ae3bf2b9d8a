//! Pictures: the cost while it is learned, trajectories, and densities on the way beside the exact ones.

use super::flow::Samples;
use super::known::Answer;
use super::problem::Problem;
use ergodic::Result;
use ergodic::data::table;
use ergodic::methods::interpolant::{BridgeTrainer, Coefficients};
use ergodic::report::{Plot, Run, write_figure};

/// Cells of a density along one side, and bins of a histogram.
const CELLS: usize = 48;
const BINS: usize = 80;

pub fn write(
    run: &Run,
    problem: &Problem,
    trainer: &BridgeTrainer,
    answer: Option<&Answer>,
    samples: &Samples,
) -> Result<()> {
    cost(run, problem, trainer, answer)?;
    match samples.d {
        1 => on_a_line(run, answer, samples),
        _ => in_the_plane(run, problem, answer, samples),
    }
}

/// The cost against the step; and the path that was found, as its weights and noise over time.
fn cost(run: &Run, problem: &Problem, trainer: &BridgeTrainer, answer: Option<&Answer>) -> Result<()> {
    let table = table::read(run.path("history.csv"))?;
    let column = |name: &str| table.column(name).unwrap_or_default();
    let (steps, value, se) = (column("step"), column("cost"), column("cost_se"));
    // Without noise the length of the path is what W_2^2 bounds.
    let (title, factor) =
        if problem.epsilon == 0.0 { ("E int u^2 dt against W2^2", 2.0) } else { ("Cost E int u^2/2 dt", 1.0) };
    let scaled = |off: f64| value.iter().zip(&se).map(|(v, se)| factor * (v + off * se)).collect::<Vec<_>>();
    let axes = Plot::new(title).x("step").y(if factor == 2.0 { "path length" } else { "cost" });
    let plot = axes.line("path", &steps, &scaled(0.0)).band("path", &steps, &scaled(-2.0), &scaled(2.0));
    let plot = answer.map_or(plot.clone(), |answer| plot.exact(factor * answer.cost));
    let mut plots = vec![plot];
    plots.extend(weights(trainer)?);
    write_figure(run.path("cost.png"), plots.len(), &plots)
}

/// The weights and the noise of the path over time; of a neural path only the noise says something.
fn weights(trainer: &BridgeTrainer) -> Result<Option<Plot>> {
    let path = trainer.bridge().path();
    let phi = trainer.parameters()[1].read::<f32>()?.wait()?;
    let phi: Vec<_> = phi[..path.n_params()].iter().map(|&v| f64::from(v)).collect();
    let times: Vec<_> = (0..=200).map(|k| f64::from(k) / 200.0).collect();
    let at = times.iter().map(|&t| path.at(&phi, t)).collect::<Result<Vec<_>>>()?;
    let values = |f: fn(&Coefficients<f64>) -> f64| at.iter().map(f).collect::<Vec<_>>();
    let mut plot = Plot::new("The path").x("t").y("weight");
    if path.is_linear() {
        plot = plot.line("alpha", &times, &values(|c| c.alpha)).line("beta", &times, &values(|c| c.beta));
    }
    if path.has_noise() {
        plot = plot.line("gamma", &times, &values(|c| c.gamma()));
    }
    Ok((path.is_linear() || path.has_noise()).then_some(plot))
}

/// A range that holds all but the outermost thousandth on each side, with room.
fn reach<'a>(values: impl Iterator<Item = &'a f32>) -> (f64, f64) {
    let mut x: Vec<_> = values.map(|&v| f64::from(v)).collect();
    x.sort_by(f64::total_cmp);
    let Some(last) = x.len().checked_sub(1) else { return (0.0, 1.0) };
    let cut = last / 1000;
    let room = 0.05 * (x[last - cut] - x[cut]).max(1e-3);
    (x[cut] - room, x[last - cut] + room)
}

fn component(x: &[f32], d: usize, i: usize) -> Vec<f64> {
    x.iter().skip(i).step_by(d).map(|&v| f64::from(v)).collect()
}

/// Paths one after another, NaN between them: what `across` says of each time and point, and coordinate `up`.
fn tracks(samples: &Samples, across: impl Fn(f64, &[f32]) -> f64, up: usize) -> (Vec<f64>, Vec<f64>) {
    let (d, mut x, mut y) = (samples.d, vec![], vec![]);
    for i in 0..samples.tracks[0].1.len() / d {
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

fn on_a_line(run: &Run, answer: Option<&Answer>, samples: &Samples) -> Result<()> {
    let (low, high) = reach(samples.frames.iter().flat_map(|(_, x)| x));
    let mut plots = vec![];
    for (t, x) in &samples.frames {
        let axes = Plot::new(format!("t = {t:.2}")).x("x").y("density").x_range(low, high);
        let inside: Vec<_> = component(x, 1, 0).into_iter().filter(|x| (low..high).contains(x)).collect();
        let plot = axes.histogram("samples", &inside, BINS);
        let line = answer.and_then(|answer| answer.line(*t));
        plots.push(match line {
            Some((x, density)) => plot.reference("exact", &x, &density),
            None => plot,
        });
    }
    let (t, x) = tracks(samples, |t, _| t, 0);
    let paths = Plot::new("Trajectories").x("t").y("x").y_range(low, high).line("samples", &t, &x);
    plots.push(paths.clone());
    write_figure(run.path("densities.png"), 3, &plots)?;
    write_figure(run.path("trajectories.png"), 1, &[paths])
}

fn in_the_plane(run: &Run, problem: &Problem, answer: Option<&Answer>, samples: &Samples) -> Result<()> {
    let d = samples.d;
    let of = |i: usize| reach(samples.frames.iter().flat_map(move |(_, x)| x.iter().skip(i).step_by(d)));
    let ((left, right), (low, high)) = (of(0), of(1));
    let axes = |title: String| Plot::new(title).x("x1").y("x2").x_range(left, right).y_range(low, high);
    let frame = |(t, x): &(f64, Vec<f32>)| {
        let (x, y) = (component(x, d, 0), component(x, d, 1));
        axes(format!("Samples at t = {t:.2}")).cloud("density", &x, &y, CELLS, (left, low), (right, high))
    };
    let mut plots: Vec<_> = samples.frames.iter().map(frame).collect();
    let exact = |(t, _): &(f64, Vec<f32>)| {
        let exact = answer?.heat(*t)?;
        Some(axes(format!("Exact at t = {t:.2}")).heat("density", &exact.values, exact.n_x, exact.from, exact.to))
    };
    plots.extend(samples.frames.iter().filter_map(exact));
    write_figure(run.path("densities.png"), samples.frames.len(), &plots)?;
    let (x, y) = tracks(samples, |_, row| f64::from(row[0]), 1);
    let ends =
        |k: Option<&(f64, Vec<f32>)>| k.map(|(_, x)| (component(x, d, 0), component(x, d, 1))).unwrap_or_default();
    let (first, last) = (ends(samples.tracks.first()), ends(samples.tracks.last()));
    let title = format!("Trajectories, epsilon = {}", problem.epsilon);
    let paths = axes(title).line("path", &x, &y).points("start", &first.0, &first.1);
    write_figure(run.path("trajectories.png"), 1, &[paths.points("end", &last.0, &last.1)])
}
