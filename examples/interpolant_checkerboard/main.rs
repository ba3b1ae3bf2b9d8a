//! Carry a normal into a checkerboard, or any mixture into another, by a learned or known velocity; with exact likelihoods.
//!
//! Teaches:  stochastic interpolants; a field as a network trained in one replayed graph; samples by an ODE or SDE; likelihoods
//!           by the ODE with the exact trace; fields, densities and likelihoods of mixtures in closed form.
//! Run:      cargo run --release --example interpolant_checkerboard
//!           cargo run --release --example interpolant_checkerboard -- --config assets/presets/interpolant_checkerboard/mixture_1d.ron
//! Prints:   NLL 3.8257 +- 0.0065 nats, entropy 3.4657, KL 0.3599 +- 0.0065; 83.0 % of samples inside
//! Writes:   out/interpolant_checkerboard: metrics.json, history.csv, samples.png, density.png, losses.png (learned fields),
//!           noises.png (several noises), fields.csv (fields at the preset's points)
//! Source:   arXiv:2303.08797, its two-dimensional experiments and appendix A; without noise arXiv:2209.15571

mod fields;
mod flow;
mod learn;
mod measure;
mod pictures;
mod plane;
mod problem;

use ergodic::methods::interpolant::{FieldTrainer, Likelihood, Model};
use ergodic::report::{Args, Run};
use ergodic::{
    Result,
    gpu::{Gpu, Tensor},
    random::RngKey,
};
use problem::Problem;
use std::process::ExitCode;

fn main() -> ExitCode {
    Args::main("interpolant_checkerboard", "Carry one density into another by a learned or known velocity", run)
}

/// The whole example: everything it finds is in the folder that `args` name.
pub fn run(args: &Args) -> Result<()> {
    let preset = args.preset::<Problem>()?;
    let problem: &Problem = &preset;
    problem.check(&|field, ok, why| preset.check(field, ok, why))?;
    let gpu = Gpu::headless(args.gpu_options()?)?;
    let d = problem.target.source()?.d();
    for (name, n) in problem.counts() {
        Tensor::check_fits(&gpu, name, &[n, d])?;
    }
    let (mut run, key) = (Run::start(args, &preset)?, RngKey::new(problem.seed));
    let mut trainers = vec![];
    if let Some(learned) = &problem.learned {
        trainers = learn::trainers(&gpu, problem, learned, key.fold_in(1))?;
        if !learn::train(&gpu, &mut run, &mut trainers, learned)? {
            run.stop(trainers.first().map_or(0, FieldTrainer::step));
            return Ok(());
        }
    }
    let model = match problem.exact()?.filter(|_| problem.learned.is_none()) {
        Some(path) => Model::exact(&gpu, &path)?,
        None => Model::trained(&trainers)?,
    };
    measure::losses(&gpu, &mut run, problem, (&model, &trainers), key.fold_in(2))?;
    let mut likelihood = None;
    if !problem.starts_in_a_point() {
        let rows = problem.held_out.min(problem::ROWS);
        let by_ode = Likelihood::new(&gpu, &model, rows, problem.solver, problem.divergence)?;
        measure::likelihoods(&gpu, &mut run, problem, &by_ode, key.fold_in(3))?;
        likelihood = Some(by_ode);
    }
    let all = flow::sample(&gpu, &model, problem, key.fold_in(4))?;
    all.iter().try_for_each(|samples| measure::samples(&mut run, problem, samples))?;
    if let Some(first) = all.first() {
        measure::moments(&run, problem, first)?;
        pictures::write(&run, problem, likelihood.as_ref(), first)?;
        pictures::noises(&run, problem, &all)?;
    }
    fields::write(&gpu, &mut run, problem, &model)?;
    run.metrics.set("compile_s", gpu.pipeline_stats().plan_time.as_secs_f64());
    let found = measure::summary(&run);
    run.finish(&found)?;
    Ok(())
}
