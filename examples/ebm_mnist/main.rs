//! Train an energy-based model of real digits, and weigh its modes.
//!
//! Teaches: an energy with parameters; weighted walkers beside persistent contrastive divergence at the same budget; a
//!          classifier trained by the same engine; a run that survives a kill.
//! Run:     cargo run --release --example ebm_mnist
//!          cargo run --release --example ebm_mnist -- --config assets/presets/ebm_mnist/pixels.ron --out out/pixels
//! Prints:  the mass of each digit under both models beside the true one, the cross-entropy, and where the pictures are
//! Source:  arXiv:2305.19414, section on MNIST; persistent chains: Tieleman, ICML 2008.
//!
//! | module | what it holds |
//! |---|---|
//! | `config` | the preset: which digits, which coordinates, which network, how it is trained |
//! | `target` | digits as points with noise, and pictures of points |
//! | `classifier` | which digit a walker shows |
//! | `duel` | the two runs side by side: advance, measure, save, restore |
//! | `pictures` | walkers beside digits, masses beside the truth, the history |

mod classifier;
pub mod config;
mod duel;
mod pictures;
mod target;

use std::process::ExitCode;
use std::time::Instant;

use classifier::Classifier;
use config::Config;
use duel::Duel;
use ergodic::Result;
use ergodic::data::file;
use ergodic::gpu::Gpu;
use ergodic::report::{Args, History, Metrics, Preset, Progress, Run};
use target::Target;

const ABOUT: &str = "An energy-based model of real digits, trained by weighted Langevin walkers";

fn main() -> ExitCode {
    Args::main("ebm_mnist", ABOUT, run)
}

/// The whole example: everything it finds is in the folder that `args` name. `None` if it was interrupted.
pub fn run(args: &Args) -> Result<Option<Metrics>> {
    let preset: Preset<Config> = args.preset()?;
    config::check(&preset)?;
    let target = Target::load(&preset)?;
    let mut run = Run::start(args, &preset)?;
    let gpu = Gpu::headless(args.gpu_options()?)?;
    eprintln!("{} on {}; {}", preset.file().display(), gpu.info().name, target.describe());

    let classifier = Classifier::train(&gpu, &target, &preset)?;
    let mut duel = Duel::new(&gpu, &target, &preset)?;
    classifier.check()?;
    file::write_atomic(run.path("plan.txt"), duel.plan_report().as_bytes())?;
    if let Some(checkpoint) = run.resumed() {
        duel.restore(checkpoint)?;
        eprintln!("going on from iteration {}", duel.iteration());
    }
    let history = train(&run, &mut duel, &classifier)?;
    if duel.iteration() < duel.iterations() {
        run.stop(duel.iteration());
        return Ok(None);
    }

    let score = classifier.accuracy(&target.held_out, &target.held_out_labels)?;
    run.metrics.set("classifier_accuracy", score);
    run.metrics.set("explained_variance", target.explained());
    let table = history.table()?;
    let found = duel.finish(&gpu, &target, &table, &mut run.metrics)?;
    run.metrics.set("compile_s", gpu.pipeline_stats().plan_time.as_secs_f64());
    pictures::draw(&run, &target, &duel, &table)?;
    run.finish(&format!("{found}; classifier right on {:.1} % of unseen digits", 100.0 * score)).map(Some)
}

/// Blocks of iterations, a line of history after each, and a checkpoint every so often, at the end and at an interrupt.
fn train(run: &Run, duel: &mut Duel<'_>, classifier: &Classifier) -> Result<History> {
    let columns = duel.columns();
    let mut history = run.history(&columns.iter().map(String::as_str).collect::<Vec<_>>())?;
    let total = duel.iterations();
    let mut progress = Progress::new("ebm_mnist", duel.iteration(), total);
    if run.resumed().is_none() {
        history.append(0, &duel.look(classifier)?)?;
    }
    let mut saved = Instant::now();
    while duel.iteration() < total {
        duel.advance(run)?;
        history.append(duel.iteration(), &duel.look(classifier)?)?;
        progress.set(duel.iteration(), format_args!("{}", duel.figures()));
        let stop = run.interrupted();
        let due = saved.elapsed().as_secs_f64() >= duel.config.checkpoint_s;
        if stop || due || duel.iteration() == total {
            run.save(&duel.save(run.checkpoint(duel.iteration()))?)?;
            saved = Instant::now();
        }
        if stop {
            break;
        }
    }
    if duel.seen.is_none() {
        duel.look(classifier)?;
    }
    progress.finish(format_args!("{}", duel.figures()));
    Ok(history)
}
