//! The device handle.

use super::caps::Caps;
use super::disk::DiskCache;
use super::health::{self, Health};
use super::host::HostHandle;
use super::options::{self, GpuOptions};
use super::pipeline::PipelineCache;
use super::pool::{MemoryReport, Pool};
use super::texts::Texts;
use super::tuning::{Tuning, Tunings};
use crate::error::{Error, Result};
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

/// Who submits work and waits for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PollMode {
    /// The device is ours: methods submit, and waiting polls.
    Own,
    /// The device belongs to a host application. Nothing here submits, polls or sets a callback: what a method has to
    /// do on the device it records into the host's encoder, and a readback completes when the host polls.
    Host,
}

/// A device, its queue, its memory and its compiled kernels. Clones are cheap and share all of it.
#[derive(Clone)]
pub struct Gpu(Arc<Inner>);

struct Inner {
    device: wgpu::Device,
    queue: wgpu::Queue,
    info: wgpu::AdapterInfo,
    caps: Caps,
    poll: PollMode,
    health: Arc<Health>,
    pool: Arc<Pool>,
    pipelines: PipelineCache,
    disk: OnceLock<DiskCache>,
    texts: OnceLock<Texts>,
    tunings: Mutex<Arc<Tunings>>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(disk) = self.disk.get() {
            disk.save();
        }
    }
}

impl Gpu {
    /// Opens an adapter without a window.
    ///
    /// # Errors
    /// [`Error::NoAdapter`]; [`Error::LimitExceeded`] if the adapter is below the portable tier; [`Error::DeviceLost`]
    /// if its driver gives no device; [`Error::Io`] and [`Error::Invalid`] for a table of tunings or a folder that options name.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn headless(options: GpuOptions) -> Result<Gpu> {
        pollster::block_on(Self::headless_async(options))
    }

    /// [`headless`](Self::headless) for where blocking is not possible.
    ///
    /// # Errors
    /// Those of [`headless`](Self::headless).
    pub async fn headless_async(options: GpuOptions) -> Result<Gpu> {
        let tunings = Tunings::open(&options.tuning)?;
        let adapter = options.adapter.pick(options::adapters().await)?;
        let info = adapter.get_info();
        let (features, limits) = Caps::request(options.tier, &adapter);
        Caps::check_floor(&info.name, &limits)?;
        let wanted = wgpu::DeviceDescriptor {
            label: Some("ergodic/device"),
            required_features: features,
            required_limits: limits,
            ..Default::default()
        };
        let (device, queue) = adapter
            .request_device(&wanted)
            .await
            .map_err(|error| Error::DeviceLost { reason: format!("`{}` gave no device: {error}", info.name) })?;
        let health = Health::watch(&device);
        let mut gpu = Self::wrap(info, device, queue, PollMode::Own, health, options.memory_budget);
        if let Some(inner) = Arc::get_mut(&mut gpu.0) {
            inner.caps.tier = options.tier;
        }
        gpu.set_tunings(tunings);
        if let Some(folder) = &options.pipeline_cache {
            gpu.keep_pipelines(folder);
        }
        if let Some(folder) = &options.shader_texts {
            gpu.keep_texts(folder)?;
        }
        Ok(gpu)
    }

    /// Wraps a device that exists: the adapter's `wgpu::AdapterInfo`, a `wgpu::Device` and its `wgpu::Queue`. Features and limits are
    /// the device's; its adapter may offer more, but did not grant it.
    ///
    /// # Errors
    /// [`Error::LimitExceeded`] if the device was requested with less than `wgpu::Limits::default()` of what kernels use.
    pub fn from_wgpu(
        info: impl HostHandle<wgpu::AdapterInfo>,
        device: impl HostHandle<wgpu::Device>,
        queue: impl HostHandle<wgpu::Queue>,
        poll: PollMode,
    ) -> Result<Gpu> {
        let (info, device, queue) = (info.into_own(), device.into_own(), queue.into_own());
        Caps::check_floor(&info.name, &device.limits())?;
        Ok(Self::wrap(info, device, queue, poll, Arc::default(), None))
    }

    fn wrap(
        info: wgpu::AdapterInfo,
        device: wgpu::Device,
        queue: wgpu::Queue,
        poll: PollMode,
        health: Arc<Health>,
        budget: Option<u64>,
    ) -> Gpu {
        let caps = Caps::of(&info, device.features(), device.limits());
        let pool = Arc::new(Pool::new(budget, caps.limits.max_buffer_size));
        let (pipelines, disk, texts) = (PipelineCache::default(), OnceLock::new(), OnceLock::new());
        let tunings = Mutex::new(Arc::new(Tunings::open(&Tuning::Shipped).unwrap_or_default()));
        Gpu(Arc::new(Inner { device, queue, info, caps, poll, health, pool, pipelines, disk, texts, tunings }))
    }

    /// Keep what the driver compiles in a file of this folder, and start from what is there: kernels compiled from now on use
    /// it. Call it once, before the first plan; on a device of our own [`GpuOptions::pipeline_cache`] does.
    ///
    /// The file is named by the adapter, and is written after a plan that compiled something and when the last handle goes. It
    /// never fails a run: a file that is damaged or of another driver is passed over, one that cannot be written is not, and
    /// the log says so. Returns whether there is such a cache: it needs Vulkan and `Features::PIPELINE_CACHE`, which the
    /// native tier asks for and a host may. Several processes may share a folder; the file is that of the last to write.
    pub fn keep_pipelines(&self, folder: impl AsRef<Path>) -> bool {
        let open = || DiskCache::open(&self.0.device, &self.0.info, folder.as_ref());
        if self.0.disk.get().is_none() {
            match self.scoped("pipeline cache", 0, |_| open()) {
                Ok(Some(disk)) => drop(self.0.disk.set(disk)),
                Ok(None) => {}
                Err(error) => log::warn!("no pipeline cache: {error}"),
            }
        }
        self.0.disk.get().is_some()
    }

    /// Write the text of every kernel that is compiled from now on into this folder, as `NAME-HASH.wgsl`: to read what a graph
    /// became, or to give it to another compiler. Texts are as browsers take them, but for 64-bit integers, which WGSL lacks
    /// and only the native tier uses. On a device of our own [`GpuOptions::shader_texts`] does it. The first folder stays.
    ///
    /// # Errors
    /// [`Error::Io`] if the folder cannot be made; so does a later compilation whose text cannot be written.
    pub fn keep_texts(&self, folder: impl AsRef<Path>) -> Result<()> {
        let _ = self.0.texts.set(Texts::open(folder.as_ref())?);
        Ok(())
    }

    /// The wgpu device.
    pub fn device(&self) -> &wgpu::Device {
        &self.0.device
    }

    /// The wgpu queue.
    pub fn queue(&self) -> &wgpu::Queue {
        &self.0.queue
    }

    /// Limits and features of the device.
    pub fn caps(&self) -> &Caps {
        &self.0.caps
    }

    /// Name, driver and backend of the adapter.
    pub fn info(&self) -> &wgpu::AdapterInfo {
        &self.0.info
    }

    /// Who submits and polls.
    pub fn poll_mode(&self) -> PollMode {
        self.0.poll
    }

    /// Whether one is a clone of the other, so that tensors of both can be used together. Wrap a host's device once and
    /// clone the handle: wgpu numbers devices per instance and cannot tell whether two wrapped ones are the same.
    pub fn same_device(&self, other: &Gpu) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Bytes in use, pooled, and at most in use so far.
    pub fn memory(&self) -> MemoryReport {
        self.0.pool.report()
    }

    /// Gives pooled buffers back to the driver; returns how many bytes that were.
    pub fn trim(&self) -> u64 {
        self.0.pool.trim()
    }

    /// An encoder for commands of the engine, named `ergodic/label`.
    pub fn encoder(&self, label: &str) -> wgpu::CommandEncoder {
        let label = format!("ergodic/{label}");
        self.0.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some(&label) })
    }

    /// Submits one encoder, on a device of our own.
    ///
    /// # Errors
    /// [`Error::Invalid`] on a host's device; [`Error::DeviceLost`]. Mistakes in the commands come with [`check`](Self::check).
    pub fn submit(&self, encoder: wgpu::CommandEncoder) -> Result<wgpu::SubmissionIndex> {
        self.may_submit("Gpu::submit")?;
        self.0.health.check_lost()?;
        Ok(self.0.queue.submit([encoder.finish()]))
    }

    /// Waits until everything submitted has run.
    ///
    /// # Errors
    /// [`Error::Invalid`] on a host's device, and those of [`check`](Self::check).
    pub fn wait(&self) -> Result<()> {
        self.may_submit("Gpu::wait")?;
        self.poll(None)?;
        self.check()
    }

    /// What the device complained of since the last call. On a host's device that is a loss which the host
    /// [told](Self::lost_callback), and nothing else: the host hears it.
    ///
    /// # Errors
    /// [`Error::DeviceLost`], which stays; [`Error::OutOfMemory`] or [`Error::Refused`], each reported once.
    pub fn check(&self) -> Result<()> {
        self.0.health.check(self.memory().in_use)
    }

    /// What a host's device-lost callback does for the engine, or is: only the host hears of a loss. Once it was called, whatever
    /// needs the device returns [`Error::DeviceLost`], readbacks on their way among them. It does not keep the device.
    ///
    /// ```
    /// use ergodic::gpu::{Gpu, PollMode};
    /// fn embed(info: wgpu::AdapterInfo, device: wgpu::Device, queue: wgpu::Queue) -> ergodic::Result<Gpu> {
    ///     let gpu = Gpu::from_wgpu(info, device.clone(), queue, PollMode::Host)?;
    ///     let tell = gpu.lost_callback();
    ///     device.set_device_lost_callback(move |reason, message| {
    ///         // ... what the host does of its own ...
    ///         tell(reason, message);
    ///     });
    ///     Ok(gpu)
    /// }
    /// ```
    pub fn lost_callback(&self) -> impl Fn(wgpu::DeviceLostReason, String) + Send + 'static {
        let health = self.0.health.clone();
        move |reason, message| health.lose(format!("{reason:?}: {message}"))
    }

    pub(crate) fn check_lost(&self) -> Result<()> {
        self.0.health.check_lost()
    }

    pub(crate) fn may_submit(&self, what: &'static str) -> Result<()> {
        match self.0.poll {
            PollMode::Own => Ok(()),
            PollMode::Host => Err(Error::Invalid {
                what,
                got: "called on a host's device".into(),
                want: "recorded into an encoder that the host submits: see Tensor::read_in and PollMode::Host",
            }),
        }
    }

    /// Blocks until a submission (the latest if `None`) has run. Only for a device of our own.
    pub(super) fn poll(&self, submission: Option<wgpu::SubmissionIndex>) -> Result<()> {
        self.0.health.check_lost()?;
        // wgpu 30 panics if the device is lost while it waits (`handle_error_fatal` in `Device::poll`).
        let poll = |how| std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.0.device.poll(how)));
        let looking = Looking::start(!self.caps().is_software());
        while looking.goes_on() {
            match poll(wgpu::PollType::Poll) {
                Ok(Ok(wgpu::PollStatus::QueueEmpty)) => return self.0.health.check_lost(),
                Ok(Ok(_)) => std::hint::spin_loop(),
                _ => break, // what is wrong, waiting tells
            }
        }
        match poll(wgpu::PollType::Wait { submission_index: submission, timeout: None }) {
            Ok(Ok(_)) => self.0.health.check_lost(),
            // A destroyed device says so at the next poll with an empty queue, and before that knows no submissions.
            Ok(Err(error)) => {
                let _ = poll(wgpu::PollType::Poll);
                self.0.health.check_lost()?;
                Err(Error::Refused { message: error.to_string() })
            }
            Err(_) => {
                self.0.health.lose("it stopped answering while work was waited for".into());
                self.0.health.check_lost()
            }
        }
    }

    pub(super) fn pool(&self) -> &Arc<Pool> {
        &self.0.pool
    }

    pub(super) fn pipeline_cache(&self) -> &PipelineCache {
        &self.0.pipelines
    }

    pub(super) fn tuning_table(&self) -> &Mutex<Arc<Tunings>> {
        &self.0.tunings
    }

    pub(super) fn disk(&self) -> Option<&DiskCache> {
        self.0.disk.get()
    }

    pub(super) fn texts(&self) -> Option<&Texts> {
        self.0.texts.get()
    }

    /// Runs `make`; a complaint of the device becomes an error about `name`.
    pub(super) fn scoped<R>(&self, name: &str, needed: u64, make: impl FnOnce(&wgpu::Device) -> R) -> Result<R> {
        self.0.health.check_lost()?;
        let made = health::scoped(&self.0.device, || make(&self.0.device));
        let made = made.map_err(|error| health::refused(error, name, needed, self.memory().in_use))?;
        self.0.health.check_lost()?;
        Ok(made)
    }
}

/// How long a wait looks again and again before it sleeps. A driver takes some 30 us to wake a thread [measured, NVIDIA
/// 580.159.04], as long as a short run takes; a software adapter computes on the cores that would be looking.
///
/// It looks at whether the queue is empty. Looking for a submission by a wait without patience is not for several threads: wgpu 30
/// panics (`the current submission index should be at least ..`) when another one takes note of its end meanwhile.
struct Looking(Option<Instant>);

/// Longest time of looking.
const LOOK: Duration = Duration::from_millis(2);

impl Looking {
    fn start(looks: bool) -> Self {
        // A browser has no `Instant`, and nothing there may block.
        Looking((looks && cfg!(not(target_arch = "wasm32"))).then(Instant::now))
    }

    fn goes_on(&self) -> bool {
        self.0.is_some_and(|start| start.elapsed() < LOOK)
    }
}

impl fmt::Debug for Gpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let caps = &self.0.caps;
        write!(f, "Gpu({}, {:?}, {:?}, {:?})", self.0.info.name, caps.backend, caps.tier, self.0.poll)
    }
}
