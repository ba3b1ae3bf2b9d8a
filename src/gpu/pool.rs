//! Buffers by size class.
//!
//! A [`Lease`] is one buffer out of the pool; dropping it puts the buffer back. That happens when the last clone of a
//! tensor goes, while submissions that use the buffer may still be running. Handing it out again at once is safe: all
//! work of a device goes through its one queue, `queue.write_buffer` included, and runs in that order, so the next user
//! writes after the last one has read. What is *not* ordered is a command that is recorded but not submitted yet;
//! therefore whoever records a tensor into an encoder keeps a clone with the encoder until it is submitted
//! ([`Tensor::keep_for`](super::Tensor::keep_for)).
//!
//! Classes are 16 bytes and then quarter steps between powers of two, so at most a fifth of a buffer is slack.

use super::device::Gpu;
use super::health::lock;
use crate::error::{Error, Result};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use wgpu::BufferUsages;

/// What a buffer is for; buffers of different kinds are not exchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// Bound by kernels.
    Storage,
    /// Mapped by the host.
    Staging,
}

impl Kind {
    fn usage(self) -> BufferUsages {
        match self {
            Kind::Storage => {
                BufferUsages::STORAGE | BufferUsages::UNIFORM | BufferUsages::COPY_SRC | BufferUsages::COPY_DST
            }
            Kind::Staging => BufferUsages::MAP_READ | BufferUsages::COPY_DST,
        }
    }
}

/// Bytes that a [`Gpu`] holds. Sizes are those of the buffers, which are up to a quarter larger than the tensors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryReport {
    /// In tensors and copies on their way to the host.
    pub in_use: u64,
    /// The largest `in_use` so far.
    pub high_water: u64,
    /// In buffers waiting to be used again.
    pub pooled: u64,
    /// What `in_use` and `pooled` may reach together.
    pub budget: Option<u64>,
}

pub(super) struct Pool {
    state: Mutex<State>,
    largest: u64,
}

#[derive(Default)]
struct State {
    free: BTreeMap<(Kind, u64), Vec<wgpu::Buffer>>,
    report: MemoryReport,
}

impl State {
    /// Drops pooled buffers, largest class first, until `allowed` bytes are left.
    fn shrink(&mut self, allowed: u64) -> Vec<wgpu::Buffer> {
        let mut dropped = Vec::new();
        while self.report.pooled > allowed {
            let Some(((_, class), buffers)) = self.free.iter_mut().filter(|(_, b)| !b.is_empty()).max_by_key(|e| e.0.1)
            else {
                break;
            };
            dropped.extend(buffers.pop());
            self.report.pooled -= class;
        }
        dropped
    }

    fn take(&mut self, bytes: u64) {
        self.report.in_use += bytes;
        self.report.high_water = self.report.high_water.max(self.report.in_use);
    }
}

impl Pool {
    pub(super) fn new(budget: Option<u64>, largest: u64) -> Self {
        let report = MemoryReport { budget, ..Default::default() };
        Pool { state: Mutex::new(State { report, ..Default::default() }), largest }
    }

    pub(super) fn report(&self) -> MemoryReport {
        lock(&self.state).report
    }

    pub(super) fn trim(&self) -> u64 {
        // The buffers are dropped after the lock: destroying them may run callbacks that drop tensors.
        let dropped = lock(&self.state).shrink(0);
        dropped.iter().map(wgpu::Buffer::size).sum()
    }

    /// A buffer of at least `bytes`, which is no larger than the device's largest buffer.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`] if the budget would be passed, before anything is allocated, or if the device refuses.
    pub(super) fn lease(gpu: &Gpu, kind: Kind, name: &str, bytes: u64) -> Result<Lease> {
        let pool = gpu.pool();
        let class = size_class(bytes).min(pool.largest & !15);
        let (pooled, _dropped) = pool.reserve(kind, name, bytes, class)?;
        let fresh = pooled.is_none();
        let buffer = match pooled {
            Some(buffer) => Ok(buffer),
            None => create(gpu, kind, name, bytes, class),
        };
        match buffer {
            // A staging buffer is good for another copy only once it is unmapped again.
            Ok(buffer) => Ok(Lease { pool: pool.clone(), buffer, kind, fresh, reusable: kind == Kind::Storage }),
            Err(error) => {
                lock(&pool.state).report.in_use -= class;
                Err(error)
            }
        }
    }

    /// Counts `class` bytes as used, and finds a pooled buffer for them. Also returns what had to be dropped for it.
    fn reserve(
        &self,
        kind: Kind,
        name: &str,
        needed: u64,
        class: u64,
    ) -> Result<(Option<wgpu::Buffer>, Vec<wgpu::Buffer>)> {
        let mut state = lock(&self.state);
        if let Some(buffer) = state.free.get_mut(&(kind, class)).and_then(Vec::pop) {
            state.report.pooled -= class;
            state.take(class);
            return Ok((Some(buffer), Vec::new()));
        }
        let in_use = state.report.in_use;
        let budget = state.report.budget.unwrap_or(u64::MAX);
        let Some(spare) = budget.checked_sub(in_use).and_then(|left| left.checked_sub(class)) else {
            return Err(Error::OutOfMemory { name: name.into(), needed, in_use, budget });
        };
        let dropped = state.shrink(spare);
        state.take(class);
        Ok((None, dropped))
    }
}

fn create(gpu: &Gpu, kind: Kind, name: &str, bytes: u64, class: u64) -> Result<wgpu::Buffer> {
    let label = format!("ergodic/{name}");
    let wanted =
        wgpu::BufferDescriptor { label: Some(&label), size: class, usage: kind.usage(), mapped_at_creation: false };
    gpu.scoped(name, bytes, |device| device.create_buffer(&wanted))
}

/// The smallest class that holds `bytes`.
fn size_class(bytes: u64) -> u64 {
    let bytes = bytes.max(16);
    let step = (bytes.next_power_of_two() / 8).max(16);
    bytes.next_multiple_of(step)
}

/// One buffer out of the pool.
pub(super) struct Lease {
    pool: Arc<Pool>,
    pub(super) buffer: wgpu::Buffer,
    kind: Kind,
    /// Never used before, hence zero.
    pub(super) fresh: bool,
    /// Whether it may go back to the pool.
    pub(super) reusable: bool,
}

impl Drop for Lease {
    fn drop(&mut self) {
        let class = self.buffer.size();
        let mut state = lock(&self.pool.state);
        state.report.in_use -= class;
        if self.reusable {
            state.report.pooled += class;
            state.free.entry((self.kind, class)).or_default().push(self.buffer.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::size_class;

    #[test]
    fn classes_hold_their_bytes_with_a_quarter_of_slack_at_most() {
        for bytes in 1..=70_000u64 {
            let class = size_class(bytes);
            assert!(class >= bytes && class.is_multiple_of(16), "{bytes} -> {class}");
            assert!(class < bytes + 16 || 4 * (class - bytes) <= bytes, "{bytes} -> {class}");
            assert_eq!(size_class(class), class, "a class is its own class");
        }
    }
}
