//! Devices, tensors and kernels: the only code of the crate that talks to wgpu.
//!
//! A [`Gpu`] is a device with its queue, what it can do ([`Caps`]), a pool of buffers and a cache of pipelines. It is
//! made in one of two ways. [`Gpu::headless`] opens an adapter and owns the device: it submits, waits, and keeps the
//! device's complaints until [`Gpu::check`] or a readback reports them. [`Gpu::from_wgpu`] wraps the device of a host
//! application and stays out of its way: no instance, no submit, no poll, no callback. What a method may do in which
//! mode is its [`PollMode`].
//!
//! A [`Tensor`] is a shape, an element type and a byte range of a buffer; clones share it, and the buffer goes back to
//! the pool with the last clone. A [`Readback`] is a copy on its way to the host. A [`KernelSource`] is WGSL text with
//! its bindings declared beside it; [`Gpu::pipeline`] parses and validates it, compares the declaration with what the
//! text says, and compiles it once.
//!
//! Layout: [`options`](GpuOptions) what to ask for, [`caps`](Caps) what was got, `device` the handle, `host` what a host passes in, `health` errors
//! that no call returned, `pool` and `tensor` memory, `readback` the way back, [`shader`] the preprocessor, `pipeline`
//! validation and cache, `tuning` which of several kernels is fastest, `disk` what drivers keep between
//! processes, `texts` WGSL to read, `grid` workgroup counts, `fault` what kernels complain of.
//!
//! ```
//! use ergodic::gpu::{Gpu, GpuOptions, Tensor};
//! let gpu = Gpu::headless(GpuOptions::from_env()?)?;
//! let x = Tensor::from_slice(&gpu, "x", &[2, 3], &[0.0f32, 1.0, 2.0, 3.0, 4.0, 5.0])?;
//! assert_eq!(x.read::<f32>()?.wait()?, [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
//! # Ok::<(), ergodic::Error>(())
//! ```

mod caps;
mod device;
mod disk;
mod fault;
mod grid;
mod hash;
mod health;
mod host;
mod options;
mod pipeline;
mod pool;
mod readback;
mod reflect;
pub mod shader;
mod tensor;
mod texts;
mod tuning;

pub use caps::Caps;
pub use device::{Gpu, PollMode};
pub use fault::FaultWord;
pub use grid::grid;
pub(crate) use hash::fnv1a;
pub use host::HostHandle;
#[cfg(feature = "report")]
pub(crate) use options::folder_named;
pub use options::{AdapterChoice, GpuOptions, Tier, adapters};
pub use pipeline::{Binding, KernelSource, Pipeline, PipelineStats};
pub use pool::MemoryReport;
pub use readback::Readback;
pub use reflect::Reflection;
pub use tensor::{Element, Tensor};
pub use tuning::{Tuned, Tuning, Tunings};
