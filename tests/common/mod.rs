//! What every test of the device needs. No adapter is a failure, never a skip.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use ergodic::gpu::{Binding, Gpu, GpuOptions, KernelSource, Tensor, Tier, grid};
use std::sync::OnceLock;

/// The device that `ERGODIC_ADAPTER` and `ERGODIC_TIER` choose, the best adapter's native tier by default.
pub fn gpu() -> Gpu {
    static GPU: OnceLock<Gpu> = OnceLock::new();
    GPU.get_or_init(|| open(GpuOptions::from_env())).clone()
}

/// The chosen adapter twice, with what every device has and with all it offers. Name them in assertions.
pub fn gpus() -> [(&'static str, Gpu); 2] {
    static GPUS: OnceLock<[(&str, Gpu); 2]> = OnceLock::new();
    let tier = |tier| open(GpuOptions::from_env().map(|options| GpuOptions { tier, ..options }));
    GPUS.get_or_init(|| [("portable", tier(Tier::Portable)), ("native", tier(Tier::Native))]).clone()
}

/// A device of its own, for tests that break it or count on it.
pub fn fresh(change: impl FnOnce(&mut GpuOptions)) -> Gpu {
    open(GpuOptions::from_env().map(|mut options| {
        change(&mut options);
        options
    }))
}

fn open(options: ergodic::Result<GpuOptions>) -> Gpu {
    options.and_then(Gpu::headless).unwrap_or_else(|error| panic!("the tests need a device: {error}"))
}

/// Runs a kernel once over `invocations`, with these tensors bound in order, and waits for it.
pub fn dispatch(gpu: &Gpu, kernel: &KernelSource, tensors: &[&Tensor], invocations: u64) -> ergodic::Result<()> {
    let pipeline = gpu.pipeline(kernel)?;
    let resources: Vec<_> = tensors.iter().map(|tensor| tensor.binding()).collect();
    let group = gpu.bind_group(&pipeline, &resources)?;
    let [x, y, z] = grid(invocations, kernel.workgroup_size, &gpu.caps().limits)?;
    let mut encoder = gpu.encoder("test");
    {
        let mut pass = encoder.begin_compute_pass(&Default::default());
        pass.set_pipeline(&pipeline.raw);
        pass.set_bind_group(0, &group, &[]);
        pass.dispatch_workgroups(x, y, z);
    }
    gpu.submit(encoder)?;
    gpu.wait()
}

/// A kernel from text, 64 invocations a group.
pub fn kernel(name: &str, wgsl: impl Into<String>, bindings: &[Binding]) -> KernelSource {
    KernelSource { name: name.into(), wgsl: wgsl.into(), bindings: bindings.to_vec(), workgroup_size: 64 }
}
