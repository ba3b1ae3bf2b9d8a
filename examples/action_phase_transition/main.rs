//! Which of two states of a driven system is preferred, by the action of the most likely paths between them.
//!
//! Teaches:  a system as a Hamiltonian; paths of least action in both directions; critical nuclei; legs that end at critical
//!           points; a first-order transition without a free energy.
//! Run:      cargo run --release --example action_phase_transition
//!           cargo run --release --example action_phase_transition -- --config assets/presets/action_phase_transition/sweep.ron
//! Prints:   S up and down, which state is preferred, and with `transition` where that changes
//! Writes:   out/action_phase_transition: metrics.json, history.csv, paths.png, nucleus.png, checkpoint.safetensors; with a
//!           sweep phase.png
//! Source:   arXiv:2202.06936

mod kept;
mod measure;
mod pictures;
mod problem;
mod solve;

use ergodic::gpu::Gpu;
use ergodic::methods::action::{Passage, Transition, equal_action};
use ergodic::report::{Args, Progress, Run};
use ergodic::{Error, Result};
use kept::Kept;
use problem::{Problem, Solver, Sweep};
use solve::Solve;
use std::process::ExitCode;

fn main() -> ExitCode {
    let about = "Compare two states of a driven system by the action of the paths between them";
    Args::main("action_phase_transition", about, run)
}

/// The whole example: everything it finds is in the folder that `args` name.
pub fn run(args: &Args) -> Result<()> {
    let preset = args.preset::<Problem>()?;
    let problem: &Problem = &preset;
    problem.check(&|field, ok, why| preset.check(field, ok, why))?;
    let gpu = match problem.solver {
        Solver::Device { .. } => Some(Gpu::headless(args.gpu_options()?)?),
        Solver::Host => None,
    };
    let mut run = Run::start(args, &preset)?;
    let system = problem.system();
    let points = problem.sweep.as_ref().map_or(1, Sweep::points);
    let solve = Solve::new(problem, &*system, gpu.as_ref(), points)?;
    let adapter = gpu.as_ref().map_or("host", |gpu| &gpu.info().name);
    let mut kept = Kept::open(&run, solve, adapter)?;
    let found = found(&mut run, problem, &mut kept);
    kept.save(&run)?;
    if let Err(Error::Interrupted) = found {
        run.stop(kept.len());
        return Ok(());
    }
    if let Some(gpu) = &gpu {
        run.metrics.set("compile_s", gpu.pipeline_stats().plan_time.as_secs_f64());
    }
    run.finish(&found?)?;
    Ok(())
}

/// What the preset asks for: a point or a sweep, then the transition.
fn found(run: &mut Run, problem: &Problem, kept: &mut Kept<'_>) -> Result<String> {
    let found = match &problem.sweep {
        Some(sweep) => sweep_over(run, problem, kept, sweep)?,
        None => {
            let passage = kept.passage(run, "action_phase_transition", problem.point(&[])?)?;
            measure::passage(&mut run.metrics, "", &passage);
            measure::history(run, &[(vec![], Some(&passage))], &[])?;
            pictures::paths(run, problem, &passage)?;
            pictures::nucleus(run, problem, &passage)?;
            measure::said(&passage)
        }
    };
    let Some(transition) = search(run, problem, kept)? else { return Ok(found) };
    measure::transition(&mut run.metrics, problem, &transition);
    Ok(format!("{found}; {}", measure::said_transition(problem, &transition)))
}

/// Both directions on a grid of two parameters.
fn sweep_over(run: &mut Run, problem: &Problem, kept: &mut Kept<'_>, sweep: &Sweep) -> Result<String> {
    let total = sweep.points();
    let mut progress = Progress::new("action_phase_transition", 0, total as u64);
    let mut found: Vec<Result<Passage>> = vec![];
    while found.len() < total {
        let now = found.len()..(found.len() + kept.together()).min(total);
        let point = |i: usize| {
            let (x, y) = sweep.at(i);
            problem.point(&[(&sweep.x.parameter, x), (&sweep.y.parameter, y)])
        };
        let points = now.map(point).collect::<Result<Vec<_>>>()?;
        found.extend(kept.passages(run, &points)?);
        let high = found.iter().flatten().filter(|passage| passage.difference() < 0.0).count();
        progress.set(found.len() as u64, format_args!("{high} points prefer the high state"));
    }
    let line = measure::sweep(run, sweep, &found)?;
    progress.finish(format_args!("{line}"));
    pictures::phase(run, sweep, &found)?;
    if let Some(passage) = measure::nearest_to_the_line(&found) {
        pictures::paths(run, problem, passage)?;
        pictures::nucleus(run, problem, passage)?;
    }
    Ok(line)
}

/// The transition that a preset asks for.
fn search(run: &Run, problem: &Problem, kept: &mut Kept<'_>) -> Result<Option<Transition>> {
    let Some(search) = &problem.transition else { return Ok(None) };
    let at = |value: f64| {
        let name = format!("{} = {value:.6}", search.parameter);
        kept.passage(run, &name, problem.point(&[(&search.parameter, value)])?)
    };
    equal_action((search.from, search.to), search.tolerance, at).map(Some)
}
