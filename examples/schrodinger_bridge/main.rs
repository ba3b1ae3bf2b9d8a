//! Carry one density into another by the diffusion of least effort: a Schrodinger bridge, or optimal transport without noise.
//!
//! Teaches:  a path and a drift as players of one game, in one replayed graph; networks as paths; the answer between Gaussians
//!           in closed form and between other densities by Sinkhorn's iteration; samples by the learned SDE.
//! Run:      cargo run --release --example schrodinger_bridge
//!           cargo run --release --example schrodinger_bridge -- --config assets/presets/schrodinger_bridge/transport.ron
//! Prints:   cost 1.013 +- 0.012, least 1.0121; along samples 0.990 +- 0.005; KS distance of the end 0.0086, 1 % level 0.0115
//!           The first cost is that of the path, but for errors of the drift, which lower it; that along samples is the drift's
//!           own, which ends near the target and may save by what it misses.
//! Writes:   out/schrodinger_bridge: metrics.json, history.csv, cost.png, densities.png, trajectories.png
//! Source:   arXiv:2303.08797, theorem 3.10; without noise arXiv:2209.15571, its optimised interpolants

mod flow;
mod known;
mod learn;
mod measure;
mod pictures;
mod problem;

use ergodic::Result;
use ergodic::gpu::{Gpu, Tensor};
use ergodic::methods::interpolant::BridgeTrainer;
use ergodic::random::RngKey;
use ergodic::report::{Args, Run};
use problem::Problem;
use std::process::ExitCode;

fn main() -> ExitCode {
    Args::main("schrodinger_bridge", "Carry one density into another by the diffusion of least effort", run)
}

/// The whole example: everything it finds is in the folder that `args` name.
pub fn run(args: &Args) -> Result<()> {
    let preset = args.preset::<Problem>()?;
    let problem: &Problem = &preset;
    problem.check(&|field, ok, why| preset.check(field, ok, why))?;
    let gpu = Gpu::headless(args.gpu_options()?)?;
    let bridge = problem.bridge()?;
    for (name, n) in problem.counts() {
        Tensor::check_fits(&gpu, name, &[n, bridge.d()])?;
    }
    let (mut run, key) = (Run::start(args, &preset)?, RngKey::new(problem.seed));
    let answer = known::answer(problem)?;
    let mut trainer = BridgeTrainer::new(&gpu, &bridge, &problem.fit, key.fold_in(1))?;
    if !learn::train(&gpu, &mut run, &mut trainer, problem, answer.as_ref())? {
        run.stop(trainer.step());
        return Ok(());
    }
    measure::costs(&mut run, problem, &trainer, answer.as_ref(), key.fold_in(2))?;
    let samples = flow::sample(&gpu, problem, &trainer, key.fold_in(3))?;
    measure::samples(&gpu, &mut run, problem, (&samples, answer.as_ref()), key.fold_in(4))?;
    pictures::write(&run, problem, &trainer, answer.as_ref(), &samples)?;
    run.metrics.set("compile_s", gpu.pipeline_stats().plan_time.as_secs_f64());
    let found = measure::summary(&run);
    run.finish(&found)?;
    Ok(())
}
