//! Let heat flow in the plane, and hold a mode and the heat kernel against their exact answers.
//!
//! Teaches:  a grid with walls; an explicit step, of which a plan takes many in one pass; implicit ones; several fields at once;
//!           the factor of a scheme in f64 by the same graph.
//! Run:      cargo run --release --example heat_2d
//!           cargo run --release --example heat_2d -- --config assets/presets/heat_2d/walls.ron
//! Prints:   mode 0.1388, exact 0.1389; kernel off by 2.7e-4 of its peak; heat drifts by 5e-9
//! Writes:   out/heat_2d: metrics.json, history.csv, fields.png (temperatures and what is wrong with them), laws.png
//! Source:   Carslaw and Jaeger, Conduction of Heat in Solids, sections 2.2 and 10.2 to 10.4

mod pictures;
mod problem;

use ergodic::Result;
use ergodic::gpu::{Gpu, Tensor};
use ergodic::graph::Graph;
use ergodic::plan::{Bindings, CompileOptions, Plan, Session};
use ergodic::report::{Args, Films, History, Progress, Run};
use problem::{Problem, dot};
use std::process::ExitCode;
use std::time::Instant;

fn main() -> ExitCode {
    Args::main("heat_2d", "Let heat flow in the plane", run)
}

/// The whole example: everything it finds is in the folder that `args` name.
pub fn run(args: &Args) -> Result<()> {
    let preset = args.preset::<Problem>()?;
    let problem: &Problem = &preset;
    problem.check(|field, ok, why| preset.check(field, ok, why))?;
    let gpu = Gpu::headless(args.gpu_options()?)?;
    let mut run = Run::start(args, &preset)?;
    let mut films = Films::open(&run, &gpu.info().name)?;
    films.begin("heat", problem.looks + 1);
    flow(&gpu, &mut run, problem, &mut films)?;
    if let Some(look) = films.next_look() {
        run.stop(problem.steps()?.0 * (look - 1));
        return Ok(());
    }
    let looks: Vec<Look> = films.rows().iter().map(|row| Look { time: row[0], mode: row[1], heat: row[2] }).collect();
    let (Some(last), Some((_, kernel))) = (looks.last(), films.frames().last()) else { return Ok(()) };
    let worst = measure(&mut run, problem, last, kernel)?;
    pictures::write(&run, problem, &looks, films.frames())?;
    let [mode, exact] = ["mode", "mode_exact"].map(|name| run.metrics.get(name).unwrap_or(f64::NAN));
    let heat = match problem.conserves() {
        true => format!("heat drifts by {:.0e}", run.metrics.get("heat_drift").unwrap_or(f64::NAN)),
        false => format!("{:.1} % of the heat is left", 100.0 * last.heat),
    };
    run.finish(&format!("mode {mode:.4}, exact {exact:.4}; kernel off by {worst:.1e} of its peak; {heat}"))?;
    Ok(())
}

/// Both fields at one time.
pub struct Look {
    pub time: f64,
    /// Amplitude of the mode.
    pub mode: f64,
    /// Of the unit that was put into one cell, what is there.
    pub heat: f64,
}

const COLUMNS: [&str; 4] = ["time", "mode", "mode_exact", "heat"];

/// Let the heat flow, from where it was; a look at the fields now and then, until the last or an interrupt.
fn flow(gpu: &Gpu, run: &mut Run, problem: &Problem, films: &mut Films) -> Result<()> {
    let ((between, step), cells) = (problem.steps()?, problem.grid.n_cells());
    let start = films.state().unwrap_or_else(|| start(problem));
    let (plan, mut session) = session(gpu, problem, step, &start)?;
    let mut history = History::create(run.path("history.csv"), &COLUMNS)?;
    let mut line =
        |i: u64, row: &[f64]| history.append(between * i, &[row[0], row[1], (problem.rate() * row[0]).exp(), row[2]]);
    films.rows().iter().zip(0..).try_for_each(|(row, i)| line(i, row))?;
    let begun_at = films.next_look().unwrap_or(problem.looks);
    let (mut progress, mut seconds) = (Progress::new("heat_2d", begun_at, problem.looks), 0.0);
    while let Some(i) = films.next_look() {
        let begun = Instant::now();
        if i > 0 {
            session.run(between)?;
            session.check()?;
            run.stepped();
        }
        // The first steps compile the kernels.
        seconds += if i > begun_at.max(1) { begun.elapsed().as_secs_f64() } else { 0.0 };
        let fields: Vec<f64> = session.read::<f32>("u")?.wait()?.into_iter().map(f64::from).collect();
        let row = look(problem, step * (between * i) as f64, &fields);
        line(i, &row)?;
        progress.set(i, format_args!("mode {:.4}  heat {:.6}", row[1], row[2]));
        films.add(&row, &fields, problem.shown().contains(&i).then_some(&fields[cells..]));
        if films.saved_and_interrupted(run)? {
            return Ok(());
        }
    }
    progress.finish(format_args!("{} steps of {step:.2e}", between * problem.looks));
    run.metrics.set("steps", (between * problem.looks) as f64).set("step", step);
    run.metrics.set("steps_together", plan.report().steps_together() as f64);
    let timed = between * problem.looks.saturating_sub(begun_at.max(1));
    if timed > 0 {
        run.metrics.set("cell_steps_per_s", (2 * cells) as f64 * timed as f64 / seconds);
    }
    Ok(())
}

/// What takes steps of this length from these fields.
fn session(gpu: &Gpu, problem: &Problem, step: f64, start: &[f64]) -> Result<(Plan, Session)> {
    let g = Graph::new();
    let shape = [&[2], &problem.grid.shape()[..]].concat();
    let modes = problem.modes(&g);
    let next = problem.next(g.input("u", shape.clone()), modes.as_ref(), step)?;
    let plan = Plan::compile(gpu, &[("u", next)], &CompileOptions::labelled("heat"))?;
    let start: Vec<f32> = start.iter().map(|&u| u as f32).collect();
    let bindings = Bindings::new().tensor("u", &Tensor::from_slice(gpu, "u", &shape, &start)?);
    let bindings = modes.as_ref().map_or(Ok(bindings.clone()), |modes| modes.bind(gpu, bindings))?;
    let session = Session::new(&plan, bindings)?;
    Ok((plan, session))
}

/// The mode, and a unit of heat in one cell.
fn start(problem: &Problem) -> Vec<f64> {
    let mean = f64::from(u8::from(problem.conserves()));
    let ((row, column), columns) = (problem.cell(), problem.grid.axis(1).cells);
    let mut point = vec![0.0; problem.grid.n_cells()];
    point[row * columns + column] = 1.0 / problem.grid.cell_volume();
    problem.mode().iter().map(|u| u + mean).chain(point).collect()
}

/// Time, amplitude of the mode, and heat.
fn look(problem: &Problem, time: f64, fields: &[f64]) -> [f64; 3] {
    let (waves, kernel) = fields.split_at(problem.grid.n_cells());
    let mode = problem.mode();
    let mean = f64::from(u8::from(problem.conserves()));
    let amplitude = (dot(waves, &mode) - mean * mode.iter().sum::<f64>()) / dot(&mode, &mode);
    let heat = kernel.iter().sum::<f64>() * problem.grid.cell_volume();
    [time, amplitude, heat]
}

/// The last look beside what is known; how far the kernel is off, in units of its peak.
fn measure(run: &mut Run, problem: &Problem, last: &Look, found: &[f64]) -> Result<f64> {
    let (between, step) = problem.steps()?;
    let steps = (between * problem.looks) as i32;
    let kernel = problem.kernel(last.time);
    let peak = kernel.iter().copied().fold(0.0, f64::max);
    let worst = kernel.iter().zip(found).fold(0.0, |worst, (k, u)| f64::max(worst, (k - u).abs())) / peak;
    let found = found.iter().copied().fold(0.0, f64::max);
    let heat = kernel.iter().sum::<f64>() * problem.grid.cell_volume();
    run.metrics.set("mode", last.mode).set("mode_exact", (problem.rate() * last.time).exp());
    run.metrics.set("mode_scheme", problem.growth(step)?.powi(steps));
    run.metrics.set("kernel_error", worst).set("kernel_peak", found).set("kernel_peak_exact", peak);
    run.metrics.set("heat", last.heat).set("heat_exact", if problem.conserves() { 1.0 } else { heat });
    if problem.conserves() {
        run.metrics.set("heat_drift", (last.heat - 1.0).abs());
    }
    Ok(worst)
}
