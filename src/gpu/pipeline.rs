//! Kernels: text with declared bindings, compiled once.

use super::device::Gpu;
use super::disk::DiskCache;
use super::health::lock;
use super::reflect::Reflection;
use crate::error::{Error, Result};
use std::borrow::Cow;
use std::collections::HashMap;
use std::num::NonZeroU64;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// One entry of a kernel's only bind group. Its index is its place in the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Binding {
    /// `var<uniform>`.
    Uniform {
        /// Whether the offset is given with each dispatch.
        dynamic_offset: bool,
        /// Bytes bound; at least as many as the WGSL type has.
        bytes: u32,
    },
    /// `var<storage, read>`.
    Read,
    /// `var<storage, read_write>`.
    ReadWrite,
}

/// A kernel as text, and what the host has to know about it. The entry point is `main`, the bind group is 0.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KernelSource {
    /// For messages and debuggers.
    pub name: String,
    /// WGSL, after [`preprocess`](super::shader::preprocess).
    pub wgsl: String,
    /// Its bindings, in order from 0.
    pub bindings: Vec<Binding>,
    /// Invocations in a workgroup, all dimensions multiplied.
    pub workgroup_size: u32,
}

/// A compiled kernel.
#[derive(Debug)]
pub struct Pipeline {
    /// The pipeline.
    pub raw: wgpu::ComputePipeline,
    /// Layout of its bind group.
    pub layout: wgpu::BindGroupLayout,
    /// What its text says.
    pub reflection: Reflection,
    name: String,
    entries: usize,
}

/// How often the cache had a pipeline ready, and how often it had to compile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PipelineStats {
    /// Found.
    pub hits: u64,
    /// Compiled.
    pub misses: u64,
    /// Wall time of all calls of [`Plan::compile`](crate::plan::Plan::compile), from graph to pipelines; what several threads do
    /// at once counts once. A driver may put off a part of its work to a kernel's first dispatch, which is not in it.
    pub plan_time: Duration,
}

/// Pipelines are keyed by the whole source, so that no two texts can be taken for each other.
#[derive(Default)]
pub(super) struct PipelineCache {
    kernels: Mutex<Kernels>,
    /// Told whenever a kernel that was in the making is there, or will not be.
    ended: Condvar,
    watch: Mutex<Stopwatch>,
}

#[derive(Default)]
struct Kernels {
    /// `None` while somebody compiles it.
    known: HashMap<KernelSource, Option<Arc<Pipeline>>>,
    stats: PipelineStats,
}

impl PipelineCache {
    /// Waits until all of these are compiled. `None` if one of them is not there, because making it failed.
    fn wait_for(&self, sources: &[&KernelSource]) -> Option<Vec<Arc<Pipeline>>> {
        let mut kernels = lock(&self.kernels);
        loop {
            let there: Vec<_> =
                sources.iter().map(|source| kernels.known.get(*source).cloned()).collect::<Option<_>>()?;
            if let Some(all) = there.into_iter().collect() {
                return Some(all);
            }
            kernels = self.ended.wait(kernels).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Kernels that one thread undertook to compile. Those without a pipeline when it goes, after an error or a panic, are free again.
struct Claim<'a> {
    cache: &'a PipelineCache,
    sources: Vec<&'a KernelSource>,
}

impl<'a> Claim<'a> {
    /// Of these, each once and in order, those that nobody has compiled and nobody is compiling.
    fn new(cache: &'a PipelineCache, sources: &[&'a KernelSource]) -> Self {
        let known = &mut lock(&cache.kernels).known;
        let mut claim = Claim { cache, sources: vec![] };
        for &source in sources {
            if !known.contains_key(source) {
                known.insert(source.clone(), None);
                claim.sources.push(source);
            }
        }
        claim
    }

    /// Hands in what was made of them, in order, up to the first error.
    fn fulfil(self, made: Vec<Result<Pipeline>>) -> Result<()> {
        let kernels = &mut *lock(&self.cache.kernels);
        for (source, made) in self.sources.iter().zip(made) {
            let made = Some(Arc::new(made?));
            if let Some(place) = kernels.known.get_mut(*source) {
                *place = made;
            }
            kernels.stats.misses += 1;
        }
        Ok(())
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        let known = &mut lock(&self.cache.kernels).known;
        for &source in &self.sources {
            if let Some(None) = known.get(source) {
                known.remove(source);
            }
        }
        self.cache.ended.notify_all();
    }
}

/// Wall time with at least one plan in the making: what two threads do at once counts once.
#[derive(Default)]
struct Stopwatch {
    running: u32,
    since: Option<Instant>,
    total: Duration,
}

/// Stops the watch when it goes, also in a panic.
struct Counted<'a>(&'a Mutex<Stopwatch>);

impl<'a> Counted<'a> {
    fn new(watch: &'a Mutex<Stopwatch>) -> Self {
        let mut now = lock(watch);
        now.running += 1;
        if now.running == 1 {
            // A browser has no `Instant`.
            now.since = (!cfg!(target_arch = "wasm32")).then(Instant::now);
        }
        Counted(watch)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        let mut now = lock(self.0);
        now.running -= 1;
        if now.running == 0 {
            let passed = now.since.take().map_or(Duration::ZERO, |since| since.elapsed());
            now.total += passed;
        }
    }
}

impl Gpu {
    /// The compiled kernel; validated and compiled if this text with these bindings was not asked for before.
    ///
    /// # Errors
    /// [`Error::Shader`] and [`Error::LimitExceeded`] as [`KernelSource::reflect`] gives them, [`Error::Shader`] if the
    /// driver's compiler refuses, [`Error::DeviceLost`].
    pub fn pipeline(&self, source: &KernelSource) -> Result<Arc<Pipeline>> {
        Ok(self.pipelines(&[source])?.remove(0)) // one for one
    }

    /// Compiled kernels for all of these, in order. Those that were not asked for before are compiled side by side, by as many
    /// threads as the machine has cores, and the calling one is among them. A kernel that another thread is compiling is waited for.
    ///
    /// # Errors
    /// Those of [`pipeline`](Self::pipeline), of the first source in order that has one.
    pub fn pipelines(&self, sources: &[&KernelSource]) -> Result<Vec<Arc<Pipeline>>> {
        let cache = self.pipeline_cache();
        let mut compiled = 0;
        loop {
            let claim = Claim::new(cache, sources);
            if !claim.sources.is_empty() {
                compiled += claim.sources.len();
                let made = side_by_side(claim.sources.len(), |i| self.compile(claim.sources[i]));
                let fulfilled = claim.fulfil(made);
                if let Some(disk) = self.disk() {
                    disk.save();
                }
                fulfilled?;
            }
            if let Some(all) = cache.wait_for(sources) {
                lock(&cache.kernels).stats.hits += (sources.len() - compiled) as u64;
                return Ok(all);
            }
        }
    }

    /// Runs `compile` and counts its wall time in [`PipelineStats::plan_time`].
    pub(crate) fn timed<R>(&self, compile: impl FnOnce() -> R) -> R {
        let _counted = Counted::new(&self.pipeline_cache().watch);
        compile()
    }

    /// How the pipeline cache did so far.
    pub fn pipeline_stats(&self) -> PipelineStats {
        let plan_time = lock(&self.pipeline_cache().watch).total;
        PipelineStats { plan_time, ..lock(&self.pipeline_cache().kernels).stats }
    }

    /// A bind group for a kernel, with one resource per declared binding.
    ///
    /// # Errors
    /// [`Error::Shape`] for another number of resources; [`Error::Refused`] for resources that do not fit.
    pub fn bind_group(&self, pipeline: &Pipeline, resources: &[wgpu::BindingResource<'_>]) -> Result<wgpu::BindGroup> {
        if resources.len() != pipeline.entries {
            let (got, want) = (format!("{} resources", resources.len()), format!("{}", pipeline.entries));
            return Err(Error::Shape { op: "Gpu::bind_group", got, want, at: None });
        }
        let numbered = (0..).zip(resources.iter().cloned());
        let entries: Vec<_> = numbered.map(|(binding, resource)| wgpu::BindGroupEntry { binding, resource }).collect();
        let label = format!("ergodic/{}", pipeline.name);
        let wanted = wgpu::BindGroupDescriptor { label: Some(&label), layout: &pipeline.layout, entries: &entries };
        self.scoped(&pipeline.name, 0, |device| device.create_bind_group(&wanted))
    }

    fn compile(&self, source: &KernelSource) -> Result<Pipeline> {
        let (reflection, module) = source.parse(self.caps())?;
        self.texts().map_or(Ok(()), |texts| texts.keep(source))?;
        let label = format!("ergodic/{}", source.name);
        let label = Some(label.as_str());
        let entries: Vec<_> = (0..).zip(&source.bindings).map(|(i, b)| b.layout_entry(i)).collect();
        let build = |device: &wgpu::Device| {
            let layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label, entries: &entries });
            let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
                label,
                bind_group_layouts: &[Some(&layout)],
                immediate_size: reflection.immediate_bytes,
            });
            let source = if cfg!(target_arch = "wasm32") {
                wgpu::ShaderSource::Wgsl(for_browsers(&source.wgsl))
            } else {
                wgpu::ShaderSource::Naga(Cow::Owned(module))
            };
            let module = device.create_shader_module(wgpu::ShaderModuleDescriptor { label, source });
            let raw = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                label,
                layout: Some(&pipeline_layout),
                module: &module,
                entry_point: Some("main"),
                compilation_options: Default::default(),
                cache: self.disk().map(DiskCache::raw),
            });
            (raw, layout)
        };
        let (raw, layout) = self.scoped(&source.name, 0, build).map_err(|error| match error {
            Error::Refused { message } => source.disagrees(message),
            other => other,
        })?;
        Ok(Pipeline { raw, layout, reflection, name: source.name.clone(), entries: entries.len() })
    }
}

/// Stack of a thread that compiles: what a main thread has on Linux, because parsers of shaders recurse.
#[cfg(not(target_arch = "wasm32"))]
const STACK_BYTES: usize = 8 << 20;

/// `make(0)` to `make(n - 1)` on all cores. Indices are taken in order and none is taken after an error, so all before an
/// error are there: the first error in the list is the same in every run.
#[cfg(not(target_arch = "wasm32"))]
fn side_by_side<T: Send + Sync>(n: usize, make: impl Fn(usize) -> Result<T> + Sync) -> Vec<Result<T>> {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    let made: Vec<OnceLock<Result<T>>> = (0..n).map(|_| OnceLock::new()).collect();
    let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
    let work = || {
        while !failed.load(Ordering::Relaxed) {
            let i = next.fetch_add(1, Ordering::Relaxed);
            let Some(place) = made.get(i) else { break };
            let result = make(i);
            failed.fetch_or(result.is_err(), Ordering::Relaxed);
            let _ = place.set(result);
        }
    };
    let helpers = std::thread::available_parallelism().map_or(0, |cores| cores.get().min(n).saturating_sub(1));
    std::thread::scope(|scope| {
        for _ in 0..helpers {
            // Without a thread the work is done by those that there are.
            let _ = std::thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, work);
        }
        work();
    });
    made.into_iter().filter_map(OnceLock::into_inner).collect()
}

/// A browser has one thread, and its devices stay on it.
#[cfg(target_arch = "wasm32")]
fn side_by_side<T>(n: usize, make: impl Fn(usize) -> Result<T>) -> Vec<Result<T>> {
    (0..n).map(make).collect()
}

impl Binding {
    fn layout_entry(self, binding: u32) -> wgpu::BindGroupLayoutEntry {
        use wgpu::BufferBindingType::{Storage, Uniform};
        let (ty, has_dynamic_offset, min_binding_size) = match self {
            Binding::Uniform { dynamic_offset, bytes } => (Uniform, dynamic_offset, NonZeroU64::new(bytes.into())),
            Binding::Read => (Storage { read_only: true }, false, None),
            Binding::ReadWrite => (Storage { read_only: false }, false, None),
        };
        wgpu::BindGroupLayoutEntry {
            binding,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: wgpu::BindingType::Buffer { ty, has_dynamic_offset, min_binding_size },
            count: None,
        }
    }
}

/// Browsers demand `enable subgroups;`, which naga rejects.
pub(super) fn for_browsers(wgsl: &str) -> Cow<'_, str> {
    match wgsl.contains("subgroup") {
        true => format!("enable subgroups;\n{wgsl}").into(),
        false => wgsl.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_side_by_side_comes_back_in_order() {
        for n in [0, 1, 2, 97] {
            let squares: Vec<usize> = side_by_side(n, |i| Ok(i * i)).into_iter().map(Result::unwrap).collect();
            assert_eq!(squares, (0..n).map(|i| i * i).collect::<Vec<_>>());
        }
    }

    #[test]
    fn time_that_overlaps_counts_once() {
        let (watch, nap) = (Mutex::new(Stopwatch::default()), Duration::from_millis(20));
        let started = Instant::now();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let _counted = Counted::new(&watch);
                    std::thread::sleep(nap);
                });
            }
        });
        let total = lock(&watch).total;
        // Eight naps one after the other would count as the whole; side by side they are no longer than what passed here.
        assert!(nap <= total && total <= started.elapsed(), "{total:?}");
        drop(Counted::new(&watch));
        assert!(lock(&watch).total >= total && lock(&watch).running == 0);
    }

    #[test]
    fn the_first_error_is_the_one_of_the_lowest_index_and_nothing_before_it_is_left_out() {
        let fail = |i: usize| Error::Refused { message: i.to_string() };
        for _ in 0..50 {
            // The first of two failures takes the longer.
            let made = side_by_side(40, |i| {
                std::thread::sleep(Duration::from_micros(if i == 7 { 300 } else { 10 }));
                if i == 7 || i == 8 { Err(fail(i)) } else { Ok(i) }
            });
            let first = made.iter().position(Result::is_err).unwrap();
            assert_eq!(first, 7);
            assert_eq!(made[first].as_ref().unwrap_err().to_string(), fail(7).to_string());
        }
    }
}
