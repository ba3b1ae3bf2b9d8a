//! Times the workloads of the suite, and the same work in JAX, one after the other in one run.
//!
//! Run:     make bench                                        (ARGS='--scale small --only gram,heat_2d --repeats 9')
//!          cargo bench --bench workloads -- --peers python3   what make does, with a Python that has JAX
//! Prints:  a table; exit code 1 if an answer of ours is wrong
//! Writes:  `ratios.json` (one entry a workload) and `machine.json` under `--out`
//!
//! A cargo bench rather than an example: it is optimised by default, `cargo bench` finds it, and `examples/` stays a list of
//! methods. It has no harness, because a criterion group can neither interleave another process nor judge an answer.

mod peers;
mod suite;
mod table;

use clap::Parser;
use ergodic::gpu::{Gpu, GpuOptions, Tunings};
use ergodic::plan::Tuner;
use peers::Peers;
use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use suite::{Bed, Scale, Workload};
use table::{Measured, Row};

/// Flags.
#[derive(Parser)]
struct Args {
    /// Sizes of the table, a smoke run of seconds, or what the tests take.
    #[arg(long, value_enum, default_value_t = Scale::Full)]
    scale: Scale,
    /// Workloads to run, all by default.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Timed runs of each, after one that warms up.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..))]
    repeats: u64,
    /// A Python that has JAX; without it only ours is measured.
    #[arg(long)]
    peers: Option<PathBuf>,
    /// Where the results go.
    #[arg(long, default_value = "out/bench")]
    out: PathBuf,
    /// First try out the ways to compute each kernel that this table does not know, and keep the fastest in it.
    #[arg(long)]
    tune: Option<PathBuf>,
    /// Also print the time of each dispatch.
    #[arg(long)]
    profile: bool,
    /// What cargo bench adds.
    #[arg(long, hide = true)]
    bench: bool,
}

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    match bench(&Args::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether all answers of ours are right.
fn bench(args: &Args) -> Result<bool> {
    let workloads = chosen(&args.only)?;
    let gpu = Gpu::headless(GpuOptions::from_env()?)?;
    let tuner = args.tune.as_ref().map(|table| tuner(&gpu, table)).transpose()?;
    let bed = Bed { gpu: &gpu, tuner: tuner.as_ref() };
    let mut peers = args.peers.as_ref().map(|python| Peers::start(python)).transpose().unwrap_or_else(|error| {
        eprintln!("bench: no JAX, so only ours is measured: {error}");
        None
    });
    if args.peers.is_none() {
        eprintln!("bench: no --peers PYTHON, so only ours is measured");
    }
    let mut machine = table::machine(&gpu, peers.as_ref().map(Peers::about), args.scale, args.repeats);
    if let Some(peers) = peers.as_mut().filter(|_| !gpu.caps().is_software()) {
        machine["ceilings"] = peers.ceilings()?;
    }
    println!("{machine:#}\n\n{}", table::HEAD);
    let mut rows = vec![];
    for workload in &workloads {
        let row = measure(&bed, workload, args, peers.as_mut())?;
        println!("{row}");
        rows.push(row);
        if let (Some(tuner), Some(table)) = (&tuner, &args.tune) {
            tuner.borrow().tunings().save(table)?;
        }
        table::write(&args.out, &rows, &machine)?; // after each: what exists can be read if a later one stops
    }
    println!("\n{}written to {}", table::wrong(&rows), args.out.display());
    Ok(rows.iter().all(|row| row.ours.right()))
}

/// A tuner that starts from this table, if it is there, and from the device's own otherwise.
fn tuner(gpu: &Gpu, table: &Path) -> ergodic::Result<RefCell<Tuner>> {
    if table.exists() {
        gpu.set_tunings(Tunings::load(table)?);
    }
    Ok(RefCell::new(Tuner::new(gpu)))
}

fn chosen(only: &[String]) -> Result<Vec<Workload>> {
    let all = suite::all();
    if let Some(name) = only.iter().find(|name| !all.iter().any(|w| w.id == **name)) {
        let ids: Vec<_> = all.iter().map(|w| w.id).collect();
        return Err(format!("no workload `{name}`; there are {}", ids.join(", ")).into());
    }
    Ok(all.into_iter().filter(|w| only.is_empty() || only.iter().any(|name| name == w.id)).collect())
}

/// Ours, then theirs.
fn measure(bed: &Bed<'_>, workload: &Workload, args: &Args, peers: Option<&mut Peers>) -> Result<Row> {
    let (scale, repeats) = (args.scale, args.repeats as usize);
    let sizes = workload.at(scale);
    let start = std::time::Instant::now();
    let mut case = (workload.build)(bed, sizes)?;
    let compile_s = start.elapsed().as_secs_f64();
    let seconds = suite::time(&mut *case, repeats)?;
    let figures = (workload.score)(sizes, &case.answer()?)?;
    if let Some(profile) = args.profile.then(|| case.profile()).transpose()?.flatten() {
        println!("{profile}");
    }
    let (cost, ours) = (case.cost(), Measured { seconds, figures, variants: None });
    drop(case);
    let jax = match peers.map(|peers| peers.measure(workload.id, sizes, repeats)) {
        None => None,
        Some(Ok(theirs)) => {
            let figures = (workload.score)(sizes, &theirs.answer)?;
            Some(Measured { seconds: theirs.seconds, figures, variants: Some((theirs.variant, theirs.variants)) })
        }
        Some(Err(error)) => {
            eprintln!("bench: {} in JAX: {error}", workload.id);
            None
        }
    };
    let (units, target) = ((workload.units)(sizes), (scale == Scale::Full).then_some(workload.target));
    Ok(Row { id: workload.id, unit: workload.unit, units, target, cost, compile_s, ours, jax })
}
