//! What kernels complain of.

use super::device::Gpu;
use super::readback::Readback;
use super::tensor::Tensor;
use crate::error::{Error, Result};
use crate::graph::DType;

/// One `u32` on a device into which kernels OR the bits of [`Fault`](crate::Fault).
///
/// A kernel declares it as `var<storage, read_write> faults: array<atomic<u32>>` and calls `atomicOr(&faults[0], bit)`.
/// Nothing is thrown on the device; the word rides with the next readback and becomes an error on the host, with the
/// step after which it was read. Test floats on their bits: `x != x` may be optimised away.
#[derive(Clone, Debug)]
pub struct FaultWord(Tensor);

impl FaultWord {
    /// A word without faults.
    ///
    /// # Errors
    /// Those of [`Tensor::zeros`].
    pub fn new(gpu: &Gpu) -> Result<FaultWord> {
        Ok(FaultWord(Tensor::zeros(gpu, "faults", &[1], DType::U32)?))
    }

    /// The word as a tensor, `U32` `[1]`.
    pub fn tensor(&self) -> &Tensor {
        &self.0
    }

    /// The word as an entry of a bind group, to be declared [`ReadWrite`](super::Binding::ReadWrite).
    pub fn binding(&self) -> wgpu::BindingResource<'_> {
        self.0.binding()
    }

    /// Forgets all faults, before whatever is submitted next.
    ///
    /// # Errors
    /// Those of [`Tensor::write`].
    pub fn clear(&self) -> Result<()> {
        self.0.write(&[0u32])
    }

    /// Records the copy to the host beside other readbacks; give what arrives to [`check`](Self::check).
    ///
    /// # Errors
    /// Those of [`Tensor::read_in`].
    pub fn read_in(&self, encoder: &mut wgpu::CommandEncoder) -> Result<Readback<u32>> {
        self.0.read_in(encoder)
    }

    /// # Errors
    /// [`Error::Fault`] if `words`, as read back after `step`, has a bit set.
    ///
    /// ```
    /// use ergodic::gpu::FaultWord;
    /// assert!(FaultWord::check(&[0], 10).is_ok());
    /// assert!(FaultWord::check(&[ergodic::Fault::NON_FINITE], 10).is_err());
    /// ```
    pub fn check(words: &[u32], step: u64) -> Result<()> {
        match words.iter().fold(0, |all, word| all | word) {
            0 => Ok(()),
            word => Err(Error::Fault { word, step, first: None }),
        }
    }
}
