//! What to ask of a machine: which adapter, how much of it, how much memory.

use super::tuning::Tuning;
use crate::error::{Error, Result};
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// Which adapter to open.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AdapterChoice {
    /// The first of: discrete, integrated, virtual, other, software.
    #[default]
    Best,
    /// A driver that computes on the CPU, known by its device type and never by its name.
    Software,
    /// The best adapter whose name contains this text, upper and lower case alike.
    Named(String),
}

impl AdapterChoice {
    /// Reads `best`, `software`, or a part of a name.
    ///
    /// ```
    /// use ergodic::gpu::AdapterChoice;
    /// assert_eq!(AdapterChoice::parse("software"), AdapterChoice::Software);
    /// assert_eq!(AdapterChoice::parse("radeon"), AdapterChoice::Named("radeon".into()));
    /// ```
    pub fn parse(text: &str) -> Self {
        match text.trim().to_ascii_lowercase().as_str() {
            "" | "best" => Self::Best,
            "software" => Self::Software,
            _ => Self::Named(text.trim().into()),
        }
    }

    fn accepts(&self, info: &wgpu::AdapterInfo) -> bool {
        match self {
            Self::Best => true,
            Self::Software => info.device_type == wgpu::DeviceType::Cpu,
            Self::Named(part) => info.name.to_lowercase().contains(&part.to_lowercase()),
        }
    }

    /// The best adapter that matches.
    ///
    /// # Errors
    /// [`Error::NoAdapter`], with the names of all that are there.
    pub(super) fn pick(&self, adapters: Vec<wgpu::Adapter>) -> Result<wgpu::Adapter> {
        let seen = adapters.iter().map(|adapter| adapter.get_info().name).collect();
        let found = adapters.into_iter().find(|adapter| self.accepts(&adapter.get_info()));
        found.ok_or_else(|| Error::NoAdapter { wanted: self.to_string(), seen })
    }
}

impl fmt::Display for AdapterChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Best => "best",
            Self::Software => "software",
            Self::Named(name) => name,
        })
    }
}

/// How much of the adapter to use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tier {
    /// All limits of the adapter, and those optional features that the engine knows how to use.
    #[default]
    Native,
    /// What every WebGPU implementation has: `wgpu::Limits::default()` and no feature.
    Portable,
}

impl FromStr for Tier {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        match text.trim().to_ascii_lowercase().as_str() {
            "native" => Ok(Self::Native),
            "portable" => Ok(Self::Portable),
            _ => Err(Error::Invalid { what: "tier", got: format!("`{text}`"), want: "native or portable" }),
        }
    }
}

/// What [`Gpu::headless`](super::Gpu::headless) opens.
#[derive(Clone, Debug, Default)]
pub struct GpuOptions {
    /// Which adapter.
    pub adapter: AdapterChoice,
    /// How much of it.
    pub tier: Tier,
    /// Bytes that tensors, staging copies and pooled buffers may take together; no bound but the device's if `None`.
    pub memory_budget: Option<u64>,
    /// A folder in which the driver's compiled kernels are kept for the next process, see [`Gpu::keep_pipelines`](super::Gpu::keep_pipelines);
    /// nothing is written if `None`.
    pub pipeline_cache: Option<PathBuf>,
    /// A folder into which the text of every compiled kernel is written, see [`Gpu::keep_texts`](super::Gpu::keep_texts).
    pub shader_texts: Option<PathBuf>,
    /// Which table says what kernels are fastest.
    pub tuning: Tuning,
}

impl GpuOptions {
    /// The defaults, with `ERGODIC_ADAPTER` (`best`, `software` or a part of a name), `ERGODIC_TIER` (`native` or
    /// `portable`), `ERGODIC_CACHE` (a folder for [`pipeline_cache`](Self::pipeline_cache), or `off`), `ERGODIC_TEXTS` (a folder for
    /// [`shader_texts`](Self::shader_texts), or `off`) and `ERGODIC_TUNING` (a file of [`Tunings`](super::Tunings), or `off`) from
    /// the environment where they are set.
    ///
    /// # Errors
    /// [`Error::Invalid`] for another tier, or a tuning that is none.
    pub fn from_env() -> Result<Self> {
        let var = |name| std::env::var(name).unwrap_or_default();
        let tier = var("ERGODIC_TIER");
        Ok(Self {
            adapter: AdapterChoice::parse(&var("ERGODIC_ADAPTER")),
            tier: if tier.is_empty() { Tier::default() } else { tier.parse()? },
            memory_budget: None,
            pipeline_cache: folder_named(&var("ERGODIC_CACHE")),
            shader_texts: folder_named(&var("ERGODIC_TEXTS")),
            tuning: var("ERGODIC_TUNING").parse()?,
        })
    }
}

/// A folder by name; `None` for nothing and for `off`.
pub(crate) fn folder_named(text: &str) -> Option<PathBuf> {
    let text = text.trim();
    (!text.is_empty() && text != "off").then(|| text.into())
}

/// All adapters of this machine, in the order in which [`AdapterChoice::Best`] prefers them.
pub async fn adapters() -> Vec<wgpu::Adapter> {
    // OpenGL is left out: its compute shaders lack what the portable tier promises, and where it is, Vulkan is as well.
    let mut wanted = wgpu::InstanceDescriptor::new_without_display_handle();
    wanted.backends = wgpu::Backends::PRIMARY;
    // WGPU_VALIDATION, WGPU_DEBUG and so on, as in any program on wgpu.
    wanted.flags = wanted.flags.with_env();
    let mut found = wgpu::Instance::new(wanted).enumerate_adapters(wgpu::Backends::PRIMARY).await;
    found.sort_by_key(|adapter| rank(adapter.get_info().device_type));
    found
}

fn rank(device_type: wgpu::DeviceType) -> u8 {
    match device_type {
        wgpu::DeviceType::DiscreteGpu => 0,
        wgpu::DeviceType::IntegratedGpu => 1,
        wgpu::DeviceType::VirtualGpu => 2,
        wgpu::DeviceType::Other => 3,
        wgpu::DeviceType::Cpu => 4,
    }
}
