//! Buffers beside tensors: what all sessions of a plan read alike, and a block with the step counter for each.

use super::lower::{Dispatch, Slot, session_bytes};
use super::offsets::{Offsets, part};
use crate::gpu::{FaultWord, Gpu, Tensor};

/// Steps of one run that share the ring of step offsets; longer runs go around it.
pub(super) const RING: u64 = 1024;

/// A ring of numbers of steps, and tables of offsets.
pub(super) struct Constants {
    pub ring: wgpu::Buffer,
    /// Bytes from one entry of the ring to the next.
    pub ring_stride: u32,
    /// Of the kernels of a step, then of those of each leap.
    pub offsets: Vec<Offsets>,
}

impl Constants {
    pub fn new<'d>(gpu: &Gpu, lists: impl Iterator<Item = &'d [Dispatch]>) -> Self {
        let ring_stride = gpu.caps().limits.min_uniform_buffer_offset_alignment.max(16);
        let offsets = lists.map(|dispatches| Offsets::new(gpu, dispatches)).collect();
        Constants { ring: ring_buffer(gpu, ring_stride), ring_stride, offsets }
    }
}

/// What a session has beside tensors.
pub(super) struct Own<'a> {
    pub ring: &'a wgpu::Buffer,
    pub block: &'a wgpu::Buffer,
    pub arena: &'a Tensor,
    pub fault: &'a FaultWord,
}

impl Own<'_> {
    /// What a dispatch binds to this slot, given the session's tensors; not for its table of offsets.
    pub fn resource<'b>(&'b self, slot: &Slot, tensors: &'b [Tensor]) -> wgpu::BindingResource<'b> {
        match slot {
            Slot::Ring | Slot::Offsets => ring_slot(self.ring),
            Slot::Window { index, start, words } => {
                let whole = tensors[*index].buffer_binding();
                part(whole.buffer, whole.offset + 4 * *start as u64, 4 * *words as u64)
            }
            Slot::Session => self.block.as_entire_binding(),
            Slot::Arena => self.arena.binding(),
            Slot::Fault => self.fault.binding(),
            Slot::Tensor { index, .. } => tensors[*index].binding(),
        }
    }
}

/// Entry `j` holds offset `j` and count `j`.
fn ring_buffer(gpu: &Gpu, stride: u32) -> wgpu::Buffer {
    let words = stride as usize / 4;
    let mut data = vec![0u32; words * (RING as usize + 1)];
    for (j, entry) in data.chunks_mut(words).enumerate() {
        entry[..2].fill(j as u32);
    }
    let buffer = gpu.device().create_buffer(&wgpu::BufferDescriptor {
        label: Some("ergodic/steps"),
        size: 4 * data.len() as u64,
        usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    });
    gpu.queue().write_buffer(&buffer, 0, bytemuck::cast_slice(&data));
    buffer
}

pub(super) fn ring_slot(ring: &wgpu::Buffer) -> wgpu::BindingResource<'_> {
    part(ring, 0, 8)
}

/// Step counter, the bits that WGSL cannot write as constants, and keys.
pub(super) fn block_buffer(gpu: &Gpu, n_keys: usize) -> wgpu::Buffer {
    let usage = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST;
    let label = Some("ergodic/session");
    let size = session_bytes(n_keys);
    let buffer = gpu.device().create_buffer(&wgpu::BufferDescriptor { label, size, usage, mapped_at_creation: false });
    let words = [0, f32::INFINITY.to_bits(), f32::NAN.to_bits(), 0];
    gpu.queue().write_buffer(&buffer, 0, bytemuck::cast_slice(&words));
    buffer
}
