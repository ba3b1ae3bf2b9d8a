//! What a device can do: the numbers that kernels are chosen and checked by.

use super::options::Tier;
use crate::error::{Error, Result};
use wgpu::Features;

/// Optional features the engine has a use for. Everything else on an adapter stays off.
const OPTIONAL: Features = Features::SUBGROUP
    .union(Features::IMMEDIATES)
    .union(Features::TIMESTAMP_QUERY)
    .union(Features::PIPELINE_CACHE)
    .union(Features::SHADER_INT64)
    .union(Features::SHADER_F16);

/// Limits, features and kind of a device. They are the device's, which may be less than its adapter's.
#[derive(Clone, Debug)]
pub struct Caps {
    /// How much of the adapter is used.
    pub tier: Tier,
    /// Vulkan, Metal, DX12 or a browser.
    pub backend: wgpu::Backend,
    /// Discrete, integrated, virtual or software.
    pub device_type: wgpu::DeviceType,
    /// All limits of the device.
    pub limits: wgpu::Limits,
    /// All features of the device.
    pub features: Features,
    /// Smallest and largest number of invocations in a subgroup, where subgroup operations are on.
    pub subgroups: Option<(u32, u32)>,
    /// Whether a few bytes can travel with a dispatch (`var<immediate>`).
    pub immediates: bool,
    /// Whether passes can be timed on the device.
    pub timestamps: bool,
    /// Whether 16-bit floats can be stored.
    pub f16: bool,
    /// Whether shaders have 64-bit integers.
    pub int64: bool,
}

impl Caps {
    pub(super) fn of(info: &wgpu::AdapterInfo, features: Features, limits: wgpu::Limits) -> Self {
        let portable = Caps::portable().limits;
        let more = limits.max_storage_buffers_per_shader_stage > portable.max_storage_buffers_per_shader_stage;
        let sizes = (info.subgroup_min_size, info.subgroup_max_size);
        Caps {
            tier: if more || features.intersects(OPTIONAL) { Tier::Native } else { Tier::Portable },
            backend: info.backend,
            device_type: info.device_type,
            subgroups: (features.contains(Features::SUBGROUP) && sizes.0 > 0).then_some(sizes),
            immediates: features.contains(Features::IMMEDIATES) && limits.max_immediate_size > 0,
            timestamps: features.contains(Features::TIMESTAMP_QUERY),
            f16: features.contains(Features::SHADER_F16),
            int64: features.contains(Features::SHADER_INT64),
            features,
            limits,
        }
    }

    /// The portable tier, of no adapter in particular: enough to validate kernels without a device.
    ///
    /// ```
    /// let caps = ergodic::gpu::Caps::portable();
    /// assert_eq!((caps.storage_bindings(), caps.subgroups), (7, None));
    /// ```
    pub fn portable() -> Self {
        Caps {
            tier: Tier::Portable,
            backend: wgpu::Backend::Noop,
            device_type: wgpu::DeviceType::Other,
            limits: wgpu::Limits::default(),
            features: Features::empty(),
            subgroups: None,
            immediates: false,
            timestamps: false,
            f16: false,
            int64: false,
        }
    }

    /// Storage buffers that one kernel may bind. One is kept spare on Metal, where wgpu spends a slot on the buffers'
    /// lengths, and in the portable tier, which has to run there.
    pub fn storage_bindings(&self) -> u32 {
        let spare = self.backend == wgpu::Backend::Metal || self.tier == Tier::Portable;
        self.limits.max_storage_buffers_per_shader_stage - u32::from(spare)
    }

    /// Whether the device computes on the CPU.
    pub fn is_software(&self) -> bool {
        self.device_type == wgpu::DeviceType::Cpu
    }

    /// Whether memory is dear by the word, and a word may have 64 bits: so it is on software adapters, and was measured on Vulkan's.
    pub(crate) fn pays_by_word(&self) -> bool {
        self.is_software() && self.int64 && self.backend == wgpu::Backend::Vulkan
    }

    /// What [`Gpu::headless`](super::Gpu::headless) requests of an adapter for this tier.
    pub(super) fn request(tier: Tier, adapter: &wgpu::Adapter) -> (Features, wgpu::Limits) {
        match tier {
            Tier::Native => (adapter.features() & OPTIONAL, adapter.limits()),
            // Limits on textures and the like may be lower: nothing here uses them.
            Tier::Portable => (Features::empty(), wgpu::Limits::default().or_worse_values_from(&adapter.limits())),
        }
    }

    /// # Errors
    /// [`Error::LimitExceeded`] if a limit that the engine counts on is below the portable tier's.
    pub(super) fn check_floor(name: &str, limits: &wgpu::Limits) -> Result<()> {
        let least = wgpu::Limits::default();
        type Get = fn(&wgpu::Limits) -> u64;
        let counted: [(&str, Get); 7] = [
            ("storage buffers a kernel", |l| l.max_storage_buffers_per_shader_stage.into()),
            ("bytes of a storage binding", |l| l.max_storage_buffer_binding_size),
            ("bytes of a buffer", |l| l.max_buffer_size),
            ("bytes of workgroup memory", |l| l.max_compute_workgroup_storage_size.into()),
            ("invocations a workgroup", |l| l.max_compute_invocations_per_workgroup.into()),
            ("invocations a workgroup along x", |l| l.max_compute_workgroup_size_x.into()),
            ("workgroups a dimension", |l| l.max_compute_workgroups_per_dimension.into()),
        ];
        match counted.iter().find(|(_, get)| get(limits) < get(&least)) {
            None => Ok(()),
            Some((what, get)) => Err(Error::LimitExceeded {
                what: format!("the engine's smallest configuration ({what})"),
                needed: get(&least),
                limit: get(limits),
                hint: format!("`{name}` offers less than WebGPU asks of every device; choose another adapter"),
            }),
        }
    }
}
