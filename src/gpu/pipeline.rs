//! Kernels: text with declared bindings, compiled once.

use super::device::Gpu;
use super::health::lock;
use super::reflect::Reflection;
use crate::error::{Error, Result};
use std::borrow::Cow;
use std::collections::HashMap;
use std::num::NonZeroU64;
use std::sync::{Arc, Mutex};

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
}

/// Keyed by the whole source, so that no two texts can be taken for each other.
#[derive(Default)]
pub(super) struct PipelineCache(Mutex<(HashMap<KernelSource, Arc<Pipeline>>, PipelineStats)>);

impl Gpu {
    /// The compiled kernel; validated and compiled if this text with these bindings was not asked for before.
    ///
    /// # Errors
    /// [`Error::Shader`] and [`Error::LimitExceeded`] as [`KernelSource::reflect`] gives them, [`Error::Shader`] if the
    /// driver's compiler refuses, [`Error::DeviceLost`].
    pub fn pipeline(&self, source: &KernelSource) -> Result<Arc<Pipeline>> {
        let cache = &self.pipelines().0;
        {
            let (pipelines, stats) = &mut *lock(cache);
            if let Some(found) = pipelines.get(source) {
                stats.hits += 1;
                return Ok(found.clone());
            }
        }
        // Compiling takes milliseconds to seconds; two threads may both do it, and the first one's result stays.
        let made = Arc::new(self.compile(source)?);
        let (pipelines, stats) = &mut *lock(cache);
        stats.misses += 1;
        Ok(pipelines.entry(source.clone()).or_insert(made).clone())
    }

    /// How the pipeline cache did so far.
    pub fn pipeline_stats(&self) -> PipelineStats {
        lock(&self.pipelines().0).1
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
        let reflection = source.reflect(self.caps())?;
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
            let text = wgpu::ShaderSource::Wgsl(Cow::Owned(for_target(&source.wgsl)));
            let module = device.create_shader_module(wgpu::ShaderModuleDescriptor { label, source: text });
            let raw = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                label,
                layout: Some(&pipeline_layout),
                module: &module,
                entry_point: Some("main"),
                compilation_options: Default::default(),
                cache: None,
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

/// Browsers demand `enable subgroups;`, which naga rejects, so it is written for browsers only.
fn for_target(wgsl: &str) -> String {
    let enable = cfg!(target_arch = "wasm32") && wgsl.contains("subgroup");
    format!("{}{wgsl}", if enable { "enable subgroups;\n" } else { "" })
}
