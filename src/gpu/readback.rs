//! Copies on their way to the host.

use super::device::{Gpu, PollMode};
use super::pool::{Kind, Lease, Pool};
use super::tensor::{Element, Tensor, padded};
use crate::error::{Error, Result};
use futures_intrusive::channel::shared::oneshot_channel;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// What the mapping callback was told, or `None` if it was dropped without being called.
type Arrival = dyn Future<Output = Option<std::result::Result<(), wgpu::BufferAsyncError>>> + Send;

/// The elements of a tensor as they were when the copy ran, on their way to the host.
///
/// It is a future. On a host's device it completes when the host polls the device. On a device of our own nobody else
/// would poll, so awaiting it (outside a browser) blocks the thread until the copy has run, as [`wait`](Self::wait) does.
#[must_use = "a readback does nothing unless it is awaited or waited for"]
pub struct Readback<T> {
    gpu: Gpu,
    label: String,
    elements: usize,
    staging: Option<Lease>,
    arrival: Pin<Box<Arrival>>,
    submission: Option<wgpu::SubmissionIndex>,
    element: PhantomData<fn() -> T>,
}

impl<T: Element> Readback<T> {
    /// Records the copy and the mapping that follows it.
    pub(super) fn record(tensor: &Tensor, encoder: &mut wgpu::CommandEncoder) -> Result<Self> {
        let (gpu, bytes) = (tensor.gpu().clone(), tensor.padded_bytes());
        gpu.check_lost()?;
        let staging = Pool::lease(&gpu, Kind::Staging, "readback", bytes)?;
        encoder.copy_buffer_to_buffer(tensor.buffer(), tensor.offset(), &staging.buffer, 0, bytes);
        let (sender, receiver) = oneshot_channel();
        // The callback owns a clone, so that the tensor's buffer cannot be handed out before the copy is submitted.
        let source = tensor.clone();
        encoder.map_buffer_on_submit(&staging.buffer, wgpu::MapMode::Read, 0..bytes, move |mapped| {
            drop(source);
            // Nobody listens if the readback was dropped.
            let _ = sender.send(mapped);
        });
        let (label, elements) = (tensor.label().to_string(), tensor.len());
        // The receiver closes the channel when it is dropped, so it lives in the future.
        let arrival = Box::pin(async move { receiver.receive().await });
        Ok(Readback { gpu, label, elements, staging: Some(staging), arrival, submission: None, element: PhantomData })
    }

    /// Tells which submission holds the copy, so that waiting does not wait for later ones.
    pub fn after(mut self, submission: wgpu::SubmissionIndex) -> Self {
        self.submission = Some(submission);
        self
    }

    /// Blocks until the elements are here. On a host's device it does not block: the host has to have polled.
    ///
    /// # Errors
    /// [`Error::DeviceLost`]; what [`Gpu::check`] knows of; [`Error::Refused`] if the copy was never submitted;
    /// [`Error::Invalid`] on a host's device that has not run the copy yet.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn wait(mut self) -> Result<Vec<T>> {
        match Pin::new(&mut self).poll(&mut Context::from_waker(std::task::Waker::noop())) {
            Poll::Ready(result) => result,
            Poll::Pending => Err(Error::Invalid {
                what: "Readback::wait",
                got: format!("called on a host's device before `{}` arrived", self.label),
                want: "awaited, or called after the host has submitted the copy and polled the device to its end",
            }),
        }
    }

    fn take(&mut self) -> Result<Vec<T>> {
        self.gpu.check()?;
        let refused = |message: String| Error::Refused { message };
        let mut staging =
            self.staging.take().ok_or_else(|| refused(format!("the readback of `{}` was taken before", self.label)))?;
        let mut elements = vec![T::zeroed(); self.elements];
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut elements);
        let mapped = 0..padded(bytes.len() as u64);
        let view = staging.buffer.get_mapped_range(mapped).map_err(|error| refused(error.to_string()))?;
        bytes.copy_from_slice(&view[..bytes.len()]);
        drop(view);
        staging.buffer.unmap();
        staging.reusable = true;
        Ok(elements)
    }

    fn failed(&self) -> Error {
        self.gpu.check().err().unwrap_or_else(|| Error::Refused {
            message: format!(
                "the copy of `{}` did not run: its encoder was not submitted, or its device is lost",
                self.label
            ),
        })
    }
}

impl<T: Element> Future for Readback<T> {
    type Output = Result<Vec<T>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let ours = this.gpu.poll_mode() == PollMode::Own && cfg!(not(target_arch = "wasm32"));
        let submission = this.submission.take();
        let submitted = submission.is_some();
        if ours && let Err(error) = this.gpu.poll(submission) {
            return Poll::Ready(Err(error));
        }
        let mut arrived = this.arrival.as_mut().poll(cx);
        // The copy has run, but the poll of another thread may be about to say so.
        let patience = Instant::now() + Duration::from_secs(10);
        while ours && submitted && arrived.is_pending() && Instant::now() < patience {
            std::thread::yield_now();
            arrived = this.arrival.as_mut().poll(cx);
        }
        match arrived {
            Poll::Ready(Some(Ok(()))) => Poll::Ready(this.take()),
            Poll::Ready(_) => Poll::Ready(Err(this.failed())),
            // All that was submitted has run, and this was not among it.
            Poll::Pending if ours => Poll::Ready(Err(this.failed())),
            // A lost device calls nobody back.
            Poll::Pending => this.gpu.check_lost().map_or_else(|error| Poll::Ready(Err(error)), |()| Poll::Pending),
        }
    }
}

impl Gpu {
    /// Starts copying several tensors to the host with one submission, on a device of our own.
    ///
    /// # Errors
    /// Those of [`Tensor::read`], and [`Error::ForeignDevice`].
    pub fn read_many<T: Element>(&self, tensors: &[&Tensor]) -> Result<Vec<Readback<T>>> {
        self.may_submit("Gpu::read_many")?;
        let mut encoder = self.encoder("readback");
        let record = |tensor: &&Tensor| {
            tensor.check_on(self, "readback")?;
            tensor.read_in(&mut encoder)
        };
        let reads = tensors.iter().map(record).collect::<Result<Vec<_>>>()?;
        let submission = self.submit(encoder)?;
        Ok(reads.into_iter().map(|read| read.after(submission.clone())).collect())
    }
}
