//! Carry a normal into a checkerboard, or any mixture into another, by a learned or known velocity; with exact likelihoods.
//!
//! Teaches:  stochastic interpolants; a field as a network trained in one replayed graph; samples by an ODE or SDE; likelihoods
//!           by the ODE with the exact trace; fields, densities and likelihoods of mixtures in closed form.
//! Run:      cargo run --release --example interpolant_checkerboard
//!           cargo run --release --example interpolant_checkerboard -- --config assets/presets/interpolant_checkerboard/mixture_1d.ron
//! Prints:   NLL 3.8257 +- 0.0065 nats, entropy 3.4657, KL 0.3599 +- 0.0065; 83.0 % of samples inside
//! Writes:   out/interpolant_checkerboard: metrics.json, history.csv, samples.png, density.png, losses.png (learned fields),
//!           fields.csv (known fields at the preset's points)
//! Source:   arXiv:2303.08797, its two-dimensional experiments and appendix A; without noise arXiv:2209.15571

mod flow;
mod learn;
mod measure;
mod pictures;
mod problem;

use ergodic::methods::interpolant::FieldTrainer;
use ergodic::report::{Args, Run};
use ergodic::{
    Result,
    gpu::{Gpu, Tensor},
    random::RngKey,
};
use flow::{Likelihood, Model, Part};
use problem::Problem;
use std::process::ExitCode;

fn main() -> ExitCode {
    match run(&Args::from_env(
        "interpolant_checkerboard",
        "Carry one density into another by a learned or known velocity",
    )) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
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
    let model = Model { problem, parts: parts(&gpu, problem, &trainers)? };
    measure::losses(&gpu, &mut run, problem, &trainers, key.fold_in(2))?;
    let likelihood = Likelihood::new(&gpu, &model, problem.held_out.min(problem::ROWS))?;
    measure::likelihoods(&gpu, &mut run, problem, &likelihood, key.fold_in(3))?;
    let samples = flow::sample(&gpu, &model, key.fold_in(4))?;
    measure::samples(&mut run, problem, &samples)?;
    measure::fields(&gpu, &mut run, problem)?;
    pictures::write(&gpu, &run, problem, &likelihood, &samples)?;
    run.metrics.set("compile_s", gpu.pipeline_stats().plan_time.as_secs_f64());
    let found = measure::summary(&run);
    run.finish(&found)?;
    Ok(())
}

/// The fields of a problem with their parameters on the device.
fn parts(gpu: &Gpu, problem: &Problem, trainers: &[FieldTrainer]) -> Result<Vec<(Part, &'static str, Tensor)>> {
    let Some(learned) = &problem.learned else {
        let Some(path) = problem.exact()? else { return Ok(vec![]) };
        let theta = path.parameters()?;
        let theta = Tensor::from_slice(gpu, "path", &[theta.len()], &theta)?;
        return Ok(vec![(Part::Exact(Box::new(path)), "path", theta)]);
    };
    let part = |(trainer, name)| {
        let trainer: &FieldTrainer = trainer;
        Ok((Part::Net(problem.net(learned)?), name, trainer.parameters()?.clone()))
    };
    trainers.iter().zip(["motion", "noise"]).map(part).collect()
}
