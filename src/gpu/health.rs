//! What went wrong on a device outside of any call that could have returned it.
//!
//! WebGPU reports mistakes and losses late, to callbacks; wgpu panics where there is none. On a device of our own the
//! callbacks write here, and [`Gpu::check`](super::Gpu::check) and every readback look. On a host's device the callbacks are
//! the host's, and only [`Gpu::lost_callback`](super::Gpu::lost_callback) writes.

use crate::error::{Error, Result};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Takes a lock, also one whose holder panicked: what the locks of this folder guard is valid after every statement.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Default)]
pub(super) struct Health {
    lost: Mutex<Option<String>>,
    refused: Mutex<Option<wgpu::Error>>,
}

impl Health {
    /// Registers the callbacks of a device that is ours.
    pub(super) fn watch(device: &wgpu::Device) -> Arc<Self> {
        let health = Arc::new(Self::default());
        let (on_lost, on_error) = (health.clone(), health.clone());
        device.set_device_lost_callback(move |reason, message| on_lost.lose(format!("{reason:?}: {message}")));
        device.on_uncaptured_error(Arc::new(move |error| {
            log::error!("uncaptured device error: {error}");
            // The first one is the cause; what follows are usually its consequences.
            lock(&on_error.refused).get_or_insert(error);
        }));
        health
    }

    pub(super) fn lose(&self, reason: String) {
        lock(&self.lost).get_or_insert(reason);
    }

    /// A loss stays; another error is reported once.
    pub(super) fn check(&self, in_use: u64) -> Result<()> {
        self.check_lost()?;
        match lock(&self.refused).take() {
            None => Ok(()),
            Some(error) => Err(refused(error, "a submission", 0, in_use)),
        }
    }

    pub(super) fn check_lost(&self) -> Result<()> {
        match &*lock(&self.lost) {
            None => Ok(()),
            Some(reason) => Err(Error::DeviceLost { reason: reason.clone() }),
        }
    }
}

/// The device's complaint as an error of ours. Out of memory means that the device itself is the budget.
pub(super) fn refused(error: wgpu::Error, name: &str, needed: u64, in_use: u64) -> Error {
    match error {
        wgpu::Error::OutOfMemory { .. } => Error::OutOfMemory { name: name.into(), needed, in_use, budget: in_use },
        other => Error::Refused { message: other.to_string() },
    }
}

/// Runs `make` and returns what the device says of it at once, instead of to the uncaptured-error callback.
///
/// Safe on a host's device: on native targets the scopes are a stack of this thread, pushed and popped here without a
/// suspension between, and popping is ready at once. In a browser the answer would come later, so there is no scope.
#[cfg(not(target_arch = "wasm32"))]
pub(super) fn scoped<R>(device: &wgpu::Device, make: impl FnOnce() -> R) -> Result<R, wgpu::Error> {
    use wgpu::ErrorFilter::{Internal, OutOfMemory, Validation};
    let scopes = [Internal, OutOfMemory, Validation].map(|filter| device.push_error_scope(filter));
    let made = make();
    let said = scopes.into_iter().rev().filter_map(|scope| pollster::block_on(scope.pop())).last();
    said.map_or(Ok(made), Err)
}

#[cfg(target_arch = "wasm32")]
pub(super) fn scoped<R>(_: &wgpu::Device, make: impl FnOnce() -> R) -> Result<R, wgpu::Error> {
    Ok(make())
}
