//! Pictures: the history; in the plane samples on their way and the density; of a table its marginals and pairs.

use super::measure::Samples;
use super::problem::Problem;
use super::rows::Rows;
use ergodic::Result;
use ergodic::data::table;
use ergodic::methods::interpolant::{Flow, Source};
use ergodic::report::{Plot, Run, write_figure};

/// Cells of a density along one side.
const CELLS: usize = 80;
/// Dots in one cloud of pairs.
const DOTS: usize = 1000;
/// Columns whose marginals are drawn.
const MARGINALS: usize = 12;

pub fn write(
    run: &mut Run,
    problem: &Problem,
    rows: &Rows,
    flow: Option<&Flow>,
    samples: &Samples,
    pairs: &[usize],
) -> Result<()> {
    history(run, problem)?;
    if rows.density.is_none() {
        let last = samples.frames.last().map_or(&[][..], |(_, x)| x);
        return tables(run, rows, &rows.data.standard.undo(last), pairs);
    }
    let window = on_their_way(run, rows, samples)?;
    flow.map_or(Ok(()), |flow| density(run, rows, flow, window))
}

/// `G` and, where there were looks, the NLL of validation rows.
fn history(run: &Run, problem: &Problem) -> Result<()> {
    let table = table::read(run.path("history.csv"))?;
    let plot = |name: &str, title: &str, label: &str| {
        let column = |name: &str| table.column(name).unwrap_or_default();
        let all = column("step").into_iter().zip(column(name).into_iter().zip(column(&format!("{name}_se"))));
        // Most lines have no NLL, and NaN would break the line.
        let (steps, both): (Vec<_>, Vec<_>) = all.filter(|(_, (value, _))| value.is_finite()).unzip();
        let value: Vec<_> = both.iter().map(|(value, _)| *value).collect();
        let off = |sign: f64| both.iter().map(|(value, se)| value + sign * 2.0 * se).collect::<Vec<_>>();
        let plot = Plot::new(title).x("step").y(label).line(name, &steps, &value);
        plot.band(name, &steps, &off(-1.0), &off(1.0))
    };
    let mut plots = vec![plot("g", "Objective on training rows, with two standard errors", "G")];
    if problem.nll_every > 0 && problem.start.is_none() {
        let nll = plot("nll", "Validation rows, with two standard errors", "NLL / nats");
        let kept = run.metrics.get("parameters_of_step").unwrap_or(f64::NAN);
        let exact = run.metrics.get("entropy_exact").filter(|_| run.metrics.get("nll").is_some());
        let nll = exact.map_or(nll.clone(), |entropy| nll.exact(entropy));
        // The last parameters need no line at the frame.
        plots.push(if kept < problem.fit.steps as f64 { nll.moment("kept", kept) } else { nll });
    }
    write_figure(run.path("history.png"), plots.len(), &plots)
}

fn column(x: &[f32], d: usize, at: usize) -> Vec<f64> {
    x.iter().skip(at).step_by(d).map(|&v| f64::from(v)).collect()
}

/// An interval around all but the outermost `1/part` of these values.
fn reach(mut values: Vec<f64>, part: usize) -> (f64, f64) {
    values.sort_by(f64::total_cmp);
    let cut = values.len() / part;
    let (low, high) = (values[cut], values[values.len() - 1 - cut]);
    (low - 0.1 * (high - low), high + 0.1 * (high - low))
}

type Window = ((f64, f64), (f64, f64));

/// Samples at several times, the target, and paths; returns the window, horizontal and vertical.
fn on_their_way(run: &Run, rows: &Rows, samples: &Samples) -> Result<Window> {
    let all = |at: usize| {
        let frames = samples.frames.iter().map(|(_, x)| &x[..]).chain([&rows.data.test[..]]);
        reach(frames.flat_map(|x| column(x, 2, at)).collect(), 1000)
    };
    let ((left, right), (low, high)) = (all(0), all(1));
    let axes = |title: String| Plot::new(title).x("x1").y("x2").x_range(left, right).y_range(low, high);
    let cloud = |title: String, x: &[f32]| {
        axes(title).cloud("density", &column(x, 2, 0), &column(x, 2, 1), CELLS / 2, (left, low), (right, high))
    };
    let frame = |(t, x): &(f64, Vec<f32>)| cloud(format!("Samples at t = {t:.2}"), x);
    let mut plots: Vec<_> = samples.frames.iter().map(frame).collect();
    let n = samples.tracks.first().map_or(0, |(_, x)| x.len() / 2);
    // One line, broken between paths.
    let along = |at: usize| {
        let path = |i: usize| samples.tracks.iter().map(move |(_, x)| f64::from(x[2 * i + at])).chain([f64::NAN]);
        (0..n).flat_map(path).collect::<Vec<_>>()
    };
    let end = |k: usize, at: usize| samples.tracks.get(k).map_or(vec![], |(_, x)| column(x, 2, at));
    let last = samples.tracks.len().saturating_sub(1);
    let paths = axes("Trajectories".into()).line("path", &along(0), &along(1));
    let paths = paths.points("start", &end(0, 0), &end(0, 1)).points("end", &end(last, 0), &end(last, 1));
    plots.extend([paths]);
    write_figure(run.path("samples.png"), 3, &plots)?;
    Ok(((left, right), (low, high)))
}

/// The learned density, its integral over the window, and the target: its density, or its test rows where it has none.
fn density(run: &mut Run, rows: &Rows, flow: &Flow, ((left, right), (low, high)): Window) -> Result<()> {
    let side = |from: f64, to: f64, k: usize| from + (to - from) * (k as f64 + 0.5) / CELLS as f64;
    let cells = (0..CELLS * CELLS).map(|at| [side(left, right, at % CELLS), side(low, high, at / CELLS)]);
    let cells: Vec<_> = cells.collect();
    let narrow: Vec<_> = cells.iter().flatten().map(|&v| v as f32).collect();
    let model = flow.log_likelihoods(&narrow, &Source::Normal(2), (0.0, 1.0))?;
    let model: Vec<_> = model.into_iter().map(f64::exp).collect();
    let cell = (right - left) * (high - low) / (CELLS * CELLS) as f64;
    run.metrics.set("mass_in_picture", model.iter().sum::<f64>() * cell);
    let axes = |title: &str| Plot::new(title).x("x1").y("x2").x_range(left, right).y_range(low, high);
    let heat = |title: &str, values: &[f64]| axes(title).heat("density", values, CELLS, (left, low), (right, high));
    let exact = cells.iter().map(|&x| rows.density.and_then(|density| density.log_density(x)).map(f64::exp));
    let target = match exact.collect::<Option<Vec<_>>>() {
        Some(exact) => heat("Target", &exact),
        None => {
            let (x, y) = (column(&rows.data.test, 2, 0), column(&rows.data.test, 2, 1));
            axes("Test rows").cloud("density", &x, &y, CELLS / 2, (left, low), (right, high))
        }
    };
    write_figure(run.path("density.png"), 2, &[heat("Density by the ODE", &model), target])
}

/// Histograms of columns, test and training rows against samples, and clouds of pairs; in the table's own units.
fn tables(run: &Run, rows: &Rows, samples: &[f64], pairs: &[usize]) -> Result<()> {
    let (d, names) = (rows.d(), &rows.data.columns);
    let data = rows.data.standard.undo(&[&rows.data.test[..], &rows.data.validation, &rows.data.train].concat());
    let of = |x: &[f64], at: usize| x.iter().skip(at).step_by(d).copied().collect::<Vec<_>>();
    let window = |at: usize| reach(of(&data, at), 200);
    let inside = |x: &[f64], at: usize| {
        let (low, high) = window(at);
        of(x, at).into_iter().filter(|v| (low..high).contains(v)).collect::<Vec<_>>()
    };
    let marginal = |at: usize| {
        let (low, high) = window(at);
        let axes = Plot::new(&*names[at]).x(&*names[at]).y("density").x_range(low, high);
        axes.histogram("data", &inside(&data, at), 60).histogram("samples", &inside(samples, at), 60)
    };
    let plots: Vec<_> = (0..d.min(MARGINALS)).map(marginal).collect();
    write_figure(run.path("marginals.png"), plots.len().min(3), &plots)?;
    let cloud = |row: usize, across: usize| {
        // Below the diagonal the data, above it the samples.
        let (label, x) = if across < row { ("data", &data[..]) } else { ("samples", samples) };
        let ((left, right), (low, high)) = (window(pairs[across]), window(pairs[row]));
        let dots = |at: usize| of(x, at).into_iter().take(DOTS).collect::<Vec<_>>();
        let axes = Plot::new("").x(&*names[pairs[across]]).y(&*names[pairs[row]]);
        let axes = axes.x_range(left, right).y_range(low, high);
        // Both labels are in every legend, so that a colour means one thing in the whole picture.
        axes.points("data", &[], &[]).points("samples", &[], &[]).points(label, &dots(pairs[across]), &dots(pairs[row]))
    };
    let place = |(row, across): (usize, usize)| if row == across { marginal(pairs[row]) } else { cloud(row, across) };
    let all: Vec<_> = (0..pairs.len()).flat_map(|row| (0..pairs.len()).map(move |across| (row, across))).collect();
    let plots: Vec<_> = all.into_iter().map(place).collect();
    write_figure(run.path("pairs.png"), pairs.len(), &plots)
}
