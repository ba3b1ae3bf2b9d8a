//! Learn the relative mass of two far-apart wells, by weighted walkers and by the methods that lose it.
//!
//! Teaches:  an energy with parameters; training as one replayed graph; weights, observers and their error bars; the same
//!           code as contrastive divergence and as persistent contrastive divergence; log Z along a prescribed path.
//! Run:      cargo run --release --example ebm_mixture
//!           cargo run --release --example ebm_mixture -- --config assets/presets/ebm_mixture/quadratic.ron
//! Prints:   mass of well 1 (exact 0.250): weighted 0.256, cd 0.458, pcd 0.000, work_only 0.249; log Z 10.577 +- 0.023, exact 10.554
//! Writes:   out/ebm_mixture: history.csv, metrics.json, history.png, walkers.png, plan.txt (what each iteration runs)
//! Source:   arXiv:2305.19414, the mixture experiments

mod quadratic;
mod wells;

use ergodic::methods::ebm::{State, Trainer, Values};
use ergodic::report::{Args, Checkpoint, Preset, Run};
use ergodic::{Error, Result, gpu::Gpu};
use serde::{Deserialize, Serialize};
use std::process::ExitCode;

/// One preset holds one of the problems.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Problem {
    /// Seed of data, walkers and noise.
    #[serde(default)]
    seed: u64,
    /// Two wells whose means and masses are learned.
    #[serde(default)]
    wells: Option<wells::Wells>,
    /// One well that is stiffened and moved along a known path.
    #[serde(default)]
    quadratic: Option<quadratic::Path>,
}

fn main() -> ExitCode {
    Args::main("ebm_mixture", "Learn the relative mass of two far-apart wells", run)
}

/// The whole example: everything it finds is in the folder that `args` name.
pub fn run(args: &Args) -> Result<()> {
    let preset = args.preset::<Problem>()?;
    check(&preset)?;
    let gpu = Gpu::headless(args.gpu_options()?)?;
    let run = Run::start(args, &preset)?;
    match (&preset.wells, &preset.quadratic) {
        (Some(problem), _) => wells::run(&gpu, run, problem, preset.seed),
        (_, Some(problem)) => quadratic::run(&gpu, run, problem, preset.seed),
        _ => Ok(()),
    }
}

/// What the types cannot say.
pub fn check(preset: &Preset<Problem>) -> Result<()> {
    let one = preset.wells.is_some() != preset.quadratic.is_some();
    preset.check("preset", one, "needs one of `wells` and `quadratic`")?;
    if let Some(problem) = &preset.wells {
        problem.check(|field, ok, why| preset.check(&format!("wells.{field}"), ok, why))?;
    }
    if let Some(problem) = &preset.quadratic {
        problem.check(|field, ok, why| preset.check(&format!("quadratic.{field}"), ok, why))?;
    }
    Ok(())
}

/// A checkpoint with everything that `trainer` must remember, names starting with `prefix`.
pub fn remember(mut checkpoint: Checkpoint, prefix: &str, trainer: &Trainer) -> Result<Checkpoint> {
    checkpoint = checkpoint.text(&format!("{prefix}.plan"), format!("{:016x}", trainer.plan_hash()));
    for State { name, shape, values } in trainer.state()? {
        let name = format!("{prefix}/{name}");
        checkpoint = match values {
            Values::F32(values) => checkpoint.array(&name, &shape, &values)?,
            Values::U32(values) => checkpoint.array(&name, &shape, &values)?,
        };
    }
    Ok(checkpoint)
}

/// Put a trainer back to where [`remember`] found it.
pub fn recall(checkpoint: &Checkpoint, prefix: &str, trainer: &mut Trainer) -> Result<()> {
    checkpoint.expect(&format!("{prefix}.plan"), &format!("{:016x}", trainer.plan_hash()))?;
    let read = |(name, shape, counts): (String, Vec<usize>, bool)| {
        let stored = format!("{prefix}/{name}");
        let values = match counts {
            true => Values::U32(checkpoint.get(&stored, &shape)?),
            false => Values::F32(checkpoint.get(&stored, &shape)?),
        };
        Ok::<_, Error>(State { name, shape, values })
    };
    let states = trainer.state_shapes()?.into_iter().map(read).collect::<Result<Vec<_>>>()?;
    trainer.restore(checkpoint.step(), &states)
}
