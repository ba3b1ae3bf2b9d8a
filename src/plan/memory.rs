//! The buffers that a session has of its own beside tensors: a ring of numbers of steps, and a block with the step counter.

use super::lower::{Slot, session_bytes};
use super::offsets::part;
use crate::gpu::{FaultWord, Gpu, Tensor};

/// Steps of one run that share the ring of step offsets; longer runs go around it.
pub(super) const RING: u64 = 1024;

/// What a session has of its own beside tensors.
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
pub(super) fn ring_buffer(gpu: &Gpu, stride: u32) -> wgpu::Buffer {
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
