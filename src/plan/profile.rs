//! Where the time of a plan goes: each dispatch timed alone.

use super::session::Session;
use super::snapshot::Snapshot;
use crate::error::{Error, Result};
use crate::gpu::Gpu;
use std::fmt;
use std::time::{Duration, Instant};

/// Steps that a kernel which loops over steps takes in one timed launch.
const LOOPED_STEPS: u64 = 16;
/// Launches in one submission that the host times: so many that they fill this time, and a submission weighs little.
const HOST_SPAN: Duration = Duration::from_millis(2);
const HOST_LAUNCHES: u32 = 64;

/// Seconds of each dispatch of a plan beside what the plan says of it. Print it: `{}` is a table.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// One a dispatch, in the plan's order.
    pub dispatches: Vec<TimedDispatch>,
    /// Whether the device's clock was read (`Features::TIMESTAMP_QUERY`) or the host's.
    pub on_device: bool,
}

/// One dispatch of a step.
#[derive(Clone, Debug, PartialEq)]
pub struct TimedDispatch {
    /// The kernel's name, as in the plan's report.
    pub name: String,
    /// What it computes, for a reader.
    pub what: String,
    /// Shortest time of one step, in seconds.
    pub seconds: f64,
    /// Floating-point operations a step, about.
    pub flops: f64,
    /// Bytes a step reads and writes at least.
    pub bytes: u64,
}

impl Profile {
    /// Seconds of all dispatches together. A step takes longer where launches are dear, and less where kernels overlap.
    pub fn seconds(&self) -> f64 {
        self.dispatches.iter().map(|d| d.seconds).sum()
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (n, total) = (self.dispatches.len(), self.seconds());
        let clock = if self.on_device { "device" } else { "host" };
        writeln!(f, "{n} dispatches, {:.1} us a step by the {clock}'s clock", total * 1e6)?;
        for d in &self.dispatches {
            writeln!(
                f,
                "  {:<14} {:>9.1} us {:>5.1} %  {:>8.2} Gflop/s {:>8.2} GB/s  {}",
                d.name,
                d.seconds * 1e6,
                100.0 * d.seconds / total,
                d.flops / d.seconds * 1e-9,
                d.bytes as f64 / d.seconds * 1e-9,
                d.what
            )?;
        }
        Ok(())
    }
}

impl Session {
    /// Times each dispatch of a step alone, the shortest of `repeats` tries after one that is not timed, on any adapter: by
    /// the device's clock where it has [timestamps](crate::gpu::Caps::timestamps), else by the host's.
    ///
    /// The session is left as it was: states, outputs, faults and the number of the next step are put back, bit for bit. That
    /// takes a copy of what the plan writes, on the device, while it lasts. A kernel that updates a tensor in place finds what the
    /// try before left there, so values may run away meanwhile; kernels whose time depends on their values (few do) are timed
    /// at those. A kernel that loops over steps is timed over 16 steps, and its time is that of one.
    ///
    /// # Errors
    /// [`Error::Invalid`] on a host's device and for no repeats; [`Error::OutOfMemory`] for the copy; [`Error::DeviceLost`].
    ///
    /// # Example
    /// ```
    /// use ergodic::gpu::{Gpu, GpuOptions, Tensor};
    /// use ergodic::graph::Graph;
    /// use ergodic::plan::{Bindings, CompileOptions, Plan, Session};
    /// let gpu = Gpu::headless(GpuOptions::from_env()?)?;
    /// let g = Graph::new();
    /// let plan = Plan::compile(&gpu, &[("norm", g.input("x", [1000]).square().sum_all())], &CompileOptions::default())?;
    /// let x = Tensor::from_slice(&gpu, "x", &[1000], &[2.0f32; 1000])?;
    /// let mut session = Session::new(&plan, Bindings::new().tensor("x", &x))?;
    /// let profile = session.time_dispatches(5)?;
    /// assert_eq!(profile.dispatches.len(), plan.dispatches().len());
    /// assert!(profile.seconds() > 0.0);
    /// # Ok::<(), ergodic::Error>(())
    /// ```
    pub fn time_dispatches(&mut self, repeats: u32) -> Result<Profile> {
        self.gpu().may_submit("Session::time_dispatches")?;
        if repeats == 0 {
            return Err(Error::Invalid { what: "number of repeats", got: "0".into(), want: "at least 1" });
        }
        let before = Snapshot::take(self.gpu(), self.written())?;
        let timed = self.timed(repeats);
        before.restore(self.gpu())?;
        let (seconds, on_device) = timed?;
        let timed = |(d, seconds): (&super::Dispatch, f64)| TimedDispatch {
            name: d.source.name.clone(),
            what: d.what.clone(),
            seconds,
            flops: d.flops,
            bytes: d.bytes,
        };
        let dispatches = self.plan().dispatches().iter().zip(seconds).map(timed).collect();
        Ok(Profile { dispatches, on_device })
    }

    /// In the order of a step, so that each dispatch finds the intermediate values that those before it made.
    fn timed(&self, repeats: u32) -> Result<(Vec<f64>, bool)> {
        let dispatches = || self.plan().dispatches().iter().enumerate();
        let steps = |looped: Option<u32>| looped.map_or(1, |most| LOOPED_STEPS.min(u64::from(most)));
        let launch = |d: usize, looped: Option<u32>| Launch {
            session: self,
            dispatch: d,
            entry: looped.map_or(0, |_| steps(looped)),
        };
        let clock = self.gpu().caps().timestamps.then(|| DeviceClock::new(self.gpu(), repeats));
        let time = |(d, dispatch): (usize, &super::Dispatch)| {
            let launch = launch(d, dispatch.looped);
            launch.on_host(1)?;
            let seconds = match &clock {
                Some(clock) => clock.time(&launch)?,
                None => launch.shortest_on_host(repeats)?,
            };
            Ok(seconds / steps(dispatch.looped) as f64)
        };
        Ok((dispatches().map(time).collect::<Result<_>>()?, clock.is_some()))
    }
}

/// One dispatch at one entry of the ring.
struct Launch<'s> {
    session: &'s Session,
    dispatch: usize,
    entry: u64,
}

impl Launch<'_> {
    fn encode(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        times: u32,
        clock: Option<wgpu::ComputePassTimestampWrites<'_>>,
    ) {
        let desc = wgpu::ComputePassDescriptor { label: Some("ergodic/profile"), timestamp_writes: clock };
        let mut pass = encoder.begin_compute_pass(&desc);
        for _ in 0..times {
            self.session.encode_dispatch(&mut pass, self.dispatch, self.entry);
        }
    }

    /// Seconds of so many launches in one submission, until the device is done.
    fn on_host(&self, times: u32) -> Result<f64> {
        let gpu = self.session.gpu();
        let mut encoder = gpu.encoder("profile");
        self.encode(&mut encoder, times, None);
        let started = Instant::now();
        gpu.submit(encoder)?;
        gpu.wait()?;
        Ok(started.elapsed().as_secs_f64())
    }

    /// Seconds of one launch.
    fn shortest_on_host(&self, repeats: u32) -> Result<f64> {
        let once = self.on_host(1)?;
        let times = ((HOST_SPAN.as_secs_f64() / once).ceil() as u32).clamp(1, HOST_LAUNCHES);
        let mut shortest = f64::INFINITY;
        for _ in 0..repeats {
            shortest = shortest.min(self.on_host(times)? / f64::from(times));
        }
        Ok(shortest)
    }
}

/// Pairs of timestamps, one a try.
struct DeviceClock {
    queries: wgpu::QuerySet,
    resolved: wgpu::Buffer,
    staging: wgpu::Buffer,
    repeats: u32,
}

impl DeviceClock {
    fn new(gpu: &Gpu, repeats: u32) -> Self {
        let repeats = repeats.min(wgpu::QUERY_SET_MAX_QUERIES / 2);
        let (label, count) = (Some("ergodic/profile"), 2 * repeats);
        let queries = wgpu::QuerySetDescriptor { label, ty: wgpu::QueryType::Timestamp, count };
        let size = u64::from(count) * u64::from(wgpu::QUERY_SIZE);
        let buffer = |usage| {
            gpu.device().create_buffer(&wgpu::BufferDescriptor { label, size, usage, mapped_at_creation: false })
        };
        use wgpu::BufferUsages as U;
        DeviceClock {
            queries: gpu.device().create_query_set(&queries),
            resolved: buffer(U::QUERY_RESOLVE | U::COPY_SRC),
            staging: buffer(U::COPY_DST | U::MAP_READ),
            repeats,
        }
    }

    /// Seconds of the shortest launch.
    fn time(&self, launch: &Launch<'_>) -> Result<f64> {
        let gpu = launch.session.gpu();
        let mut encoder = gpu.encoder("profile");
        for i in 0..self.repeats {
            let (begin, end) = (Some(2 * i), Some(2 * i + 1));
            let query_set = &self.queries;
            let clock = wgpu::ComputePassTimestampWrites {
                query_set,
                beginning_of_pass_write_index: begin,
                end_of_pass_write_index: end,
            };
            launch.encode(&mut encoder, 1, Some(clock));
        }
        encoder.resolve_query_set(&self.queries, 0..2 * self.repeats, &self.resolved, 0);
        encoder.copy_buffer_to_buffer(&self.resolved, 0, &self.staging, 0, self.resolved.size());
        gpu.submit(encoder)?;
        self.staging.map_async(wgpu::MapMode::Read, .., |_| ());
        gpu.wait()?;
        let view = self.staging.get_mapped_range(..).map_err(|error| Error::Refused { message: error.to_string() })?;
        let ticks: Vec<u64> = view.chunks_exact(8).map(bytemuck::pod_read_unaligned).collect();
        drop(view);
        self.staging.unmap();
        let shortest = ticks.chunks_exact(2).map(|pair| pair[1].saturating_sub(pair[0])).min().unwrap_or(0);
        // A clock that did not move is coarser than the launch; its one tick is the most that can be said.
        Ok(shortest.max(1) as f64 * f64::from(gpu.queue().get_timestamp_period()) * 1e-9)
    }
}
