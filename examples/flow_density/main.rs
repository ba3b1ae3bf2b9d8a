//! Learn a density from rows, a table or a sample in the plane, as a flow with exact likelihoods; or a map between two samples.
//!
//! Teaches:  a velocity regressed on an interpolant; likelihoods by the ODE with the exact trace; preparing a table; a held-out
//!           NLL with its error bar beside that of a Gaussian; keeping the parameters that validation rows like best.
//! Run:      cargo run --release --example flow_density
//!           cargo run --release --example flow_density -- --config assets/presets/flow_density/magic.ron --data magic04.csv.gz
//! Prints:   NLL 2.4899 +- 0.0173 nats, entropy 2.3206, KL 0.1612 +- 0.0070; a Gaussian 3.6384 +- 0.0087, gain 1.1484 +- 0.0174;
//!           G -1.1126 +- 0.0150
//! Writes:   out/flow_density: metrics.json, history.csv, history.png, samples.npy, samples.png and density.png (in the plane) or
//!           marginals.png and pairs.png (tables), test_log_density.npy (if asked for)
//! Source:   arXiv:2209.15571; preparation of tables: arXiv:1705.07057, appendix D

mod learn;
mod measure;
mod pictures;
mod problem;
mod rows;

use ergodic::report::{Args, Run};
use ergodic::{Result, gpu::Gpu, random::RngKey};
use learn::Learner;
use problem::Problem;
use rows::Rows;
use std::process::ExitCode;

fn main() -> ExitCode {
    Args::main("flow_density", "Learn a density from rows as a flow with exact likelihoods", run)
}

/// The whole example: everything it finds is in the folder that `args` name.
pub fn run(args: &Args) -> Result<()> {
    let preset = args.preset::<Problem>()?;
    Problem::check(&preset)?;
    let (problem, key): (&Problem, _) = (&preset, RngKey::new(preset.seed));
    let gpu = Gpu::headless(args.gpu_options()?)?;
    if problem.density.is_some() {
        measure::check_sizes(&gpu, problem, 2)?;
    }
    let rows = Rows::new(&preset, key.fold_in(1))?;
    let pairs = problem::pairs(&preset, &rows.data.columns)?;
    measure::check_sizes(&gpu, problem, rows.d())?;
    let mut run = Run::start(args, &preset)?;
    let mut learner = Learner::new(&gpu, problem, &rows, key.fold_in(2))?;
    if !learner.train(&gpu, &mut run, problem, &rows)? {
        run.stop(learner.trainer.step());
        return Ok(());
    }
    let (theta, step) = learner.parameters(&gpu)?;
    run.metrics.set("parameters_of_step", step as f64);
    measure::losses(&mut run, problem, &rows, &theta, key.fold_in(3))?;
    let likely = match problem.start {
        None => Some(learn::flow(&gpu, problem, (rows.d(), rows.data.test.len() / rows.d()), &theta, true)?),
        Some(_) => None,
    };
    if let Some(flow) = &likely {
        measure::likelihoods(&mut run, problem, &rows, flow)?;
    }
    let flow = learn::flow(&gpu, problem, (rows.d(), problem.samples), &theta, false)?;
    measure::round_trip(&mut run, problem, &rows, &flow)?;
    measure::backwards(&mut run, &rows, &flow, key.fold_in(4))?;
    let samples = measure::samples(&mut run, problem, &rows, &flow, key.fold_in(5))?;
    pictures::write(&mut run, problem, &rows, likely.as_ref(), &samples, &pairs)?;
    run.metrics.set("compile_s", gpu.pipeline_stats().plan_time.as_secs_f64());
    let found = measure::summary(&run);
    run.finish(&found)?;
    Ok(())
}
