//! Playing the game of a preset, with checkpoints.

use super::known::Answer;
use super::problem::Problem;
use ergodic::Result;
use ergodic::gpu::Gpu;
use ergodic::methods::interpolant::{BridgeTrainer, State};
use ergodic::report::{Checkpoint, Progress, Run};
use std::time::Instant;

fn remember(checkpoint: Checkpoint, trainer: &BridgeTrainer) -> Result<Checkpoint> {
    let mut checkpoint = checkpoint.text("plan", format!("{:016x}", trainer.plan_hash()));
    for State { name, shape, values } in trainer.state()? {
        checkpoint = checkpoint.array(&name, &shape, &values)?;
    }
    Ok(checkpoint)
}

fn recall(checkpoint: &Checkpoint, trainer: &mut BridgeTrainer) -> Result<()> {
    checkpoint.expect("plan", &format!("{:016x}", trainer.plan_hash()))?;
    let read = |(name, shape): (String, Vec<usize>)| {
        let values = checkpoint.get(&name, &shape)?;
        Ok(State { name, shape, values })
    };
    let states = trainer.state_shapes().into_iter().map(read).collect::<Result<Vec<_>>>()?;
    trainer.restore(checkpoint.step(), &states)
}

/// Play to the end; `false` if the run was interrupted before.
pub fn train(
    gpu: &Gpu,
    run: &mut Run,
    trainer: &mut BridgeTrainer,
    problem: &Problem,
    answer: Option<&Answer>,
) -> Result<bool> {
    if let Some(checkpoint) = run.resumed() {
        checkpoint.expect("adapter", &gpu.info().name)?;
        recall(checkpoint, trainer)?;
    }
    let mut history = run.history(&["cost", "cost_se"])?;
    let (total, first) = (problem.fit.steps, trainer.step());
    let mut progress = Progress::new("schrodinger_bridge", first, total);
    if first < total {
        trainer.run(1)?;
        trainer.cost()?;
        run.stepped();
    }
    let begun = Instant::now();
    while trainer.step() < total {
        let done = trainer.step();
        // Looks stand at multiples, wherever a run was cut.
        trainer.run(problem.fit.look_every - done % problem.fit.look_every)?;
        let (step, cost) = (trainer.step(), trainer.cost()?);
        history.append(step, &[cost.value, cost.se])?;
        match answer {
            Some(answer) => progress.set(step, format_args!("cost {cost}, least {:.4}", answer.cost)),
            None => progress.set(step, format_args!("cost {cost}")),
        }
        if step == total || run.checkpoint_due() {
            let empty = run.checkpoint(step).text("adapter", gpu.info().name.as_str());
            run.save(&remember(empty, trainer)?)?;
        }
        if run.interrupted() && step < total {
            return Ok(false);
        }
    }
    if total > first + 1 {
        run.metrics.set("train_steps_per_s", (total - first - 1) as f64 / begun.elapsed().as_secs_f64());
    }
    progress.finish(format_args!("{total} steps"));
    Ok(true)
}
