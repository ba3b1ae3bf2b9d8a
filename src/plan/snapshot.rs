//! Copies of what a session writes, to be put back.

use crate::error::Result;
use crate::gpu::{Gpu, Tensor};

/// Tensors, and what was in them.
pub(super) struct Snapshot {
    tensors: Vec<Tensor>,
    kept: Vec<Tensor>,
}

impl Snapshot {
    /// # Errors
    /// [`Error::OutOfMemory`](crate::Error::OutOfMemory) for the copy; [`Error::DeviceLost`](crate::Error::DeviceLost).
    pub fn take(gpu: &Gpu, tensors: Vec<Tensor>) -> Result<Self> {
        let kept = tensors.iter().map(|t| Tensor::uninit(gpu, t.label(), t.shape(), t.dtype()));
        let kept = kept.collect::<Result<Vec<_>>>()?;
        copy(gpu, &tensors, &kept)?;
        Ok(Snapshot { tensors, kept })
    }

    /// Put it back, bit for bit.
    pub fn restore(&self, gpu: &Gpu) -> Result<()> {
        copy(gpu, &self.kept, &self.tensors)
    }
}

fn copy(gpu: &Gpu, from: &[Tensor], to: &[Tensor]) -> Result<()> {
    let mut encoder = gpu.encoder("snapshot");
    for (from, to) in from.iter().zip(to) {
        from.copy_in(&mut encoder, to);
    }
    gpu.submit(encoder)?;
    gpu.wait()
}
