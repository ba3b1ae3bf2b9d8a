//! Single kernels under criterion: how fast each is by itself, and whether a change moved it.
//!
//! Run:     cargo bench                                  (all; `cargo bench --bench kernels -- 'matmul/nn'` for some)
//!          cargo bench --bench kernels -- --save-baseline before     then `--baseline before` after a change
//! Prints:  time of a step and units a second, by group; a group's unit stands in its name
//!
//! An iteration is one step of a session; many are submitted together, so a launch is in the time and a submission is not.

mod groups;

use criterion::{Criterion, SamplingMode, Throughput};
use ergodic::gpu::{Gpu, GpuOptions};
use groups::{Group, Scale};
use std::process::ExitCode;
use std::time::Duration;

fn main() -> ExitCode {
    let gpu = match GpuOptions::from_env().and_then(Gpu::headless) {
        Ok(gpu) => gpu,
        Err(error) => {
            eprintln!("kernels: {error}");
            return ExitCode::FAILURE;
        }
    };
    eprintln!("{}, {}", gpu.info().name, gpu.info().driver_info);
    // Half a second each: the whole takes two minutes on a software adapter.
    let settings = Criterion::default().sample_size(10).warm_up_time(Duration::from_millis(300));
    let mut criterion = settings.measurement_time(Duration::from_millis(700)).configure_from_args();
    for group in groups::all() {
        if let Err(error) = measure(&mut criterion, &gpu, &group) {
            eprintln!("kernels: {}: {error}", group.name);
            return ExitCode::FAILURE;
        }
    }
    criterion.final_summary();
    ExitCode::SUCCESS
}

fn measure(criterion: &mut Criterion, gpu: &Gpu, group: &Group) -> ergodic::Result<()> {
    let mut timed = criterion.benchmark_group(format!("{} ({}s)", group.name, group.unit));
    timed.sampling_mode(SamplingMode::Flat);
    for mut kernel in (group.build)(gpu, Scale::Full)? {
        timed.throughput(Throughput::Elements(kernel.units as u64));
        let mut failed = None;
        timed.bench_function(&kernel.name, |bencher| {
            bencher.iter_custom(|steps| match groups::seconds(&mut kernel.session, steps) {
                Ok(time) => time,
                Err(error) => {
                    failed = Some(error);
                    Duration::from_nanos(1)
                }
            });
        });
        if let Some(error) = failed {
            return Err(error);
        }
        kernel.session.check()?;
    }
    timed.finish();
    Ok(())
}
