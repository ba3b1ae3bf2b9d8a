//! Tables of offsets: where each dispatch finds its values. They are data, not text, so that kernels which differ in nothing
//! else are one pipeline.

use super::lower::{Dispatch, offset_bytes};
use crate::gpu::Gpu;

/// The tables of offsets of some dispatches in one buffer.
pub(super) struct Offsets {
    buffer: wgpu::Buffer,
    /// First byte and number of bytes of each.
    places: Vec<(u64, u64)>,
}

impl Offsets {
    pub fn new(gpu: &Gpu, dispatches: &[Dispatch]) -> Self {
        let align = u64::from(gpu.caps().limits.min_uniform_buffer_offset_alignment.max(16));
        let (mut words, mut places) = (vec![], vec![]);
        for dispatch in dispatches {
            let (start, bytes) = (4 * words.len() as u64, offset_bytes(&dispatch.offsets));
            places.push((start, bytes));
            words.extend(&dispatch.offsets);
            words.resize(((start + bytes).next_multiple_of(align) / 4) as usize, 0u32);
        }
        let usage = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
        let (label, size) = (Some("ergodic/offsets"), 4 * words.len().max(4) as u64);
        let desc = wgpu::BufferDescriptor { label, size, usage, mapped_at_creation: false };
        let buffer = gpu.device().create_buffer(&desc);
        gpu.queue().write_buffer(&buffer, 0, bytemuck::cast_slice(&words));
        Offsets { buffer, places }
    }

    /// The table of the `d`-th dispatch.
    pub fn part(&self, d: usize) -> wgpu::BindingResource<'_> {
        let (start, bytes) = self.places[d];
        part(&self.buffer, start, bytes)
    }
}

/// Some bytes of a buffer, as a binding.
pub(super) fn part(buffer: &wgpu::Buffer, offset: u64, bytes: u64) -> wgpu::BindingResource<'_> {
    let size = std::num::NonZeroU64::new(bytes);
    wgpu::BindingResource::Buffer(wgpu::BufferBinding { buffer, offset, size })
}
