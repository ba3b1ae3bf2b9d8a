//! Training the networks of a preset, with checkpoints.

use super::problem::{Learned, Problem};
use ergodic::Result;
use ergodic::gpu::Gpu;
use ergodic::methods::interpolant::{Field, FieldTrainer, State};
use ergodic::random::RngKey;
use ergodic::report::{Checkpoint, Progress, Run};
use std::time::Instant;

pub fn name(field: Field) -> &'static str {
    match field {
        Field::B => "b",
        Field::V => "v",
        Field::S => "s",
        Field::Eta => "eta",
    }
}

/// One trainer for each field, ready to begin.
pub fn trainers(gpu: &Gpu, problem: &Problem, learned: &Learned, key: RngKey) -> Result<Vec<FieldTrainer>> {
    let (path, net) = (problem.interpolant()?, problem.net(learned)?);
    let fields = [learned.known.motion, learned.known.noise].into_iter().flatten().enumerate();
    let span = problem.span();
    let trainer = |(i, field)| FieldTrainer::new(gpu, &path, field, &net, span, &learned.fit, key.fold_in(i as u32));
    fields.map(trainer).collect()
}

fn remember(mut checkpoint: Checkpoint, trainer: &FieldTrainer) -> Result<Checkpoint> {
    let prefix = name(trainer.field());
    checkpoint = checkpoint.text(&format!("{prefix}.plan"), format!("{:016x}", trainer.plan_hash()));
    for State { name, shape, values } in trainer.state()? {
        checkpoint = checkpoint.array(&format!("{prefix}/{name}"), &shape, &values)?;
    }
    Ok(checkpoint)
}

fn recall(checkpoint: &Checkpoint, trainer: &mut FieldTrainer) -> Result<()> {
    let prefix = name(trainer.field());
    checkpoint.expect(&format!("{prefix}.plan"), &format!("{:016x}", trainer.plan_hash()))?;
    let read = |(name, shape): (String, Vec<usize>)| {
        let values = checkpoint.get(&format!("{prefix}/{name}"), &shape)?;
        Ok(State { name, shape, values })
    };
    let states = trainer.state_shapes().into_iter().map(read).collect::<Result<Vec<_>>>()?;
    trainer.restore(checkpoint.step(), &states)
}

/// Train to the end; `false` if the run was interrupted before.
pub fn train(gpu: &Gpu, run: &mut Run, trainers: &mut [FieldTrainer], learned: &Learned) -> Result<bool> {
    let mut step = 0;
    if let Some(checkpoint) = run.resumed() {
        checkpoint.expect("adapter", &gpu.info().name)?;
        trainers.iter_mut().try_for_each(|trainer| recall(checkpoint, trainer))?;
        step = checkpoint.step();
    }
    let names = trainers.iter().flat_map(|t| ["", "_se"].map(|end| format!("loss_{}{end}", name(t.field()))));
    let names: Vec<_> = names.collect();
    let mut history = run.history(&names.iter().map(String::as_str).collect::<Vec<_>>())?;
    let (total, first) = (learned.fit.steps, step);
    let mut progress = Progress::new("interpolant_checkerboard", step, total);
    if step < total {
        trainers.iter_mut().try_for_each(|t| t.run(1).and_then(|()| t.loss()).map(drop))?;
        run.stepped();
    }
    let begun = Instant::now();
    while step < total {
        step += learned.fit.look_every.clamp(1, total - step);
        trainers.iter_mut().try_for_each(|t| t.run(step - t.step()))?;
        let (mut values, mut figures) = (vec![], vec![]);
        for trainer in trainers.iter_mut() {
            let loss = trainer.loss()?;
            values.extend([loss.value, loss.se]);
            figures.push(format!("loss {} {loss}", name(trainer.field())));
        }
        history.append(step, &values)?;
        progress.set(step, format_args!("{}", figures.join("  ")));
        if step == total || run.checkpoint_due() {
            let empty = run.checkpoint(step).text("adapter", gpu.info().name.as_str());
            run.save(&trainers.iter().try_fold(empty, remember)?)?;
        }
        if run.interrupted() && step < total {
            return Ok(false);
        }
    }
    if step > first + 1 {
        run.metrics.set("train_steps_per_s", (step - first - 1) as f64 / begun.elapsed().as_secs_f64());
    }
    progress.finish(format_args!("{} fields", trainers.len()));
    Ok(true)
}
