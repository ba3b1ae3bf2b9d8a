//! What this machine offers, and what the engine makes of it.
//!
//! Teaches: adapters and their ranking, limits, tiers.
//! Run:     cargo run --example adapter_info            (ERGODIC_ADAPTER=best|software|NAME chooses)
//! Prints:  a block for each adapter, then the one chosen with what is used of it in both tiers; exit code 1 without one.

use ergodic::gpu::{Gpu, GpuOptions, Tier, adapters};
use std::process::ExitCode;

fn main() -> ExitCode {
    for adapter in pollster::block_on(adapters()) {
        let info = adapter.get_info();
        println!("{}", info.name);
        line("backend, type", format!("{:?}, {:?}", info.backend, info.device_type));
        line("driver", format!("{} {}", info.driver, info.driver_info));
        line("subgroup size", format!("{} to {}", info.subgroup_min_size, info.subgroup_max_size));
        limits(&adapter.limits());
        features(adapter.features());
        println!();
    }
    match used() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// What the engine would run on.
fn used() -> ergodic::Result<()> {
    for tier in [Tier::Native, Tier::Portable] {
        let gpu = Gpu::headless(GpuOptions { tier, ..GpuOptions::from_env()? })?;
        let caps = gpu.caps();
        let yes = |has: bool| if has { "yes" } else { "no" }.to_string();
        println!("used with Tier::{tier:?}: {}", gpu.info().name);
        line("buffers a kernel", caps.storage_bindings().to_string());
        line("largest tensor", bytes(caps.limits.max_storage_buffer_binding_size));
        line("workgroup memory", bytes(caps.limits.max_compute_workgroup_storage_size.into()));
        line("workgroup size", caps.limits.max_compute_invocations_per_workgroup.to_string());
        line("subgroups", caps.subgroups.map_or("no".into(), |(min, max)| format!("{min} to {max} invocations")));
        line("immediates", yes(caps.immediates));
        line("timestamps", yes(caps.timestamps));
        line("16-bit storage", yes(caps.f16));
        line("64-bit integers", yes(caps.int64));
        println!();
    }
    Ok(())
}

fn limits(limits: &wgpu::Limits) {
    line("storage buffers", format!("{} a kernel", limits.max_storage_buffers_per_shader_stage));
    line("largest binding", bytes(limits.max_storage_buffer_binding_size));
    line("largest buffer", bytes(limits.max_buffer_size));
    line("workgroup memory", bytes(limits.max_compute_workgroup_storage_size.into()));
    line("workgroup size", limits.max_compute_invocations_per_workgroup.to_string());
    line("workgroups", format!("{} a dimension", limits.max_compute_workgroups_per_dimension));
    line("immediate data", bytes(limits.max_immediate_size.into()));
}

fn features(offered: wgpu::Features) {
    use wgpu::Features as F;
    let useful = F::SUBGROUP | F::IMMEDIATES | F::TIMESTAMP_QUERY | F::PIPELINE_CACHE | F::SHADER_F16;
    let list = |set: F| set.iter_names().map(|(name, _)| name).collect::<Vec<_>>().join(", ");
    line("useful features", list(offered & useful));
    line("missing", list(useful - offered));
}

fn line(what: &str, value: String) {
    println!("  {what:<18}{}", if value.is_empty() { "-" } else { value.trim() });
}

/// Bytes in the largest binary unit that they fill.
fn bytes(n: u64) -> String {
    let unit = [("GiB", 30), ("MiB", 20), ("KiB", 10)].into_iter().find(|(_, shift)| n >> shift > 0);
    unit.map_or(format!("{n} bytes"), |(name, shift)| format!("{} {name}", n >> shift))
}
