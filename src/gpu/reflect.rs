//! What a kernel's text says of itself, compared with what was declared beside it.

use super::caps::Caps;
use super::pipeline::{Binding, KernelSource};
use super::shader;
use crate::error::{Error, Result};
use naga::proc::Layouter;
use naga::valid::{Capabilities, ValidationFlags, Validator};
use naga::{AddressSpace, GlobalVariable, Module, ShaderStage, StorageAccess};
use wgpu::Features;

/// Facts about a valid kernel that its declaration does not repeat.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reflection {
    /// Bytes of its `var<immediate>`, 0 without one.
    pub immediate_bytes: u32,
    /// Bytes of workgroup memory.
    pub workgroup_bytes: u32,
}

impl KernelSource {
    /// Parses and validates the text for a device with these capabilities and compares its bindings and workgroup size
    /// with the declaration. No device is needed: [`Caps::portable`] will do.
    ///
    /// # Errors
    /// [`Error::Shader`] with the line and an excerpt, or with the two things that disagree; [`Error::LimitExceeded`] for
    /// bindings, workgroup memory or invocations over the device's limits.
    pub fn reflect(&self, caps: &Caps) -> Result<Reflection> {
        Ok(self.parse(caps)?.0)
    }

    /// [`reflect`](Self::reflect), and what it parsed.
    pub(super) fn parse(&self, caps: &Caps) -> Result<(Reflection, Module)> {
        let module = naga::front::wgsl::parse_str(&self.wgsl).map_err(|error| {
            let line = error.location(&self.wgsl).map(|at| at.line_number as usize);
            self.invalid(line, &error.emit_to_string_with_path(&self.wgsl, &self.name))
        })?;
        Validator::new(ValidationFlags::all(), naga_capabilities(caps.features)).validate(&module).map_err(
            |error| {
                let line = error.location(&self.wgsl).map(|at| at.line_number as usize);
                self.invalid(line, &error.emit_to_string_with_path(&self.wgsl, &self.name))
            },
        )?;
        self.check_entry_point(&module, caps)?;
        let mut layouter = Layouter::default();
        layouter.update(module.to_ctx()).map_err(|error| self.disagrees(error.to_string()))?;
        self.check_bindings(&module, &layouter)?;
        let bytes = |space: AddressSpace| {
            let in_space = module.global_variables.iter().filter(move |(_, var)| var.space == space);
            in_space.map(|(_, var)| layouter[var.ty].size).sum()
        };
        let found = Reflection {
            immediate_bytes: bytes(AddressSpace::Immediate),
            workgroup_bytes: bytes(AddressSpace::WorkGroup),
        };
        self.check_limits(&found, caps)?;
        Ok((found, module))
    }

    fn check_entry_point(&self, module: &Module, caps: &Caps) -> Result<()> {
        let is_main = |entry: &&naga::EntryPoint| entry.name == "main" && entry.stage == ShaderStage::Compute;
        let main = module.entry_points.iter().find(is_main);
        let main = main.ok_or_else(|| self.disagrees("it has no `@compute fn main`".into()))?;
        let [x, y, z] = main.workgroup_size;
        if x * y * z != self.workgroup_size {
            let declared = self.workgroup_size;
            return Err(self.disagrees(format!("@workgroup_size({x}, {y}, {z}) is declared as {declared} invocations")));
        }
        let most = caps.limits.max_compute_invocations_per_workgroup;
        let hint = "use smaller workgroups";
        self.check_limit("invocations a workgroup", self.workgroup_size.into(), most.into(), hint)
    }

    fn check_bindings(&self, module: &Module, layouter: &Layouter) -> Result<()> {
        let mut found = vec![false; self.bindings.len()];
        for (_, var) in module.global_variables.iter() {
            let Some(at) = &var.binding else { continue };
            let name = var.name.as_deref().unwrap_or("_");
            let place = format!("@group({}) @binding({}) {name}", at.group, at.binding);
            if at.group != 0 {
                return Err(self.disagrees(format!("{place}: kernels bind group 0 only")));
            }
            let index = at.binding as usize;
            let Some(declared) = self.bindings.get(index) else {
                let n = self.bindings.len();
                return Err(self.disagrees(format!("{place} is not declared; declared are {n} bindings, from 0")));
            };
            found[index] = true;
            self.check_binding(&place, var, layouter[var.ty].size, declared)?;
        }
        match found.iter().position(|found| !found) {
            None => Ok(()),
            Some(i) => {
                Err(self.disagrees(format!("binding {i}, declared as {:?}, is not in the text", self.bindings[i])))
            }
        }
    }

    fn check_binding(&self, place: &str, var: &GlobalVariable, bytes: u32, declared: &Binding) -> Result<()> {
        let is = match var.space {
            AddressSpace::Uniform => "uniform",
            AddressSpace::Storage { access } if access.contains(StorageAccess::STORE) => "storage, read_write",
            AddressSpace::Storage { .. } => "storage, read",
            _ => "no buffer",
        };
        let wanted = match declared {
            Binding::Uniform { .. } => "uniform",
            Binding::Read => "storage, read",
            Binding::ReadWrite => "storage, read_write",
        };
        if is != wanted {
            return Err(self.disagrees(format!("{place} is var<{is}>, but declared as {declared:?}")));
        }
        match declared {
            Binding::Uniform { bytes: declared, .. } if *declared < bytes => {
                Err(self.disagrees(format!("{place} takes {bytes} bytes, but is declared with {declared}")))
            }
            _ => Ok(()),
        }
    }

    fn check_limits(&self, found: &Reflection, caps: &Caps) -> Result<()> {
        let limits = &caps.limits;
        let buffers = self.bindings.iter().filter(|b| !matches!(b, Binding::Uniform { .. })).count() as u64;
        let uniform =
            self.bindings.iter().map(|b| if let Binding::Uniform { bytes, .. } = b { *bytes } else { 0 }).max();
        for (what, needed, limit, hint) in [
            (
                "storage buffers",
                buffers,
                limits.max_storage_buffers_per_shader_stage.into(),
                "split the kernel, or put tensors into one buffer",
            ),
            (
                "bytes of workgroup memory",
                found.workgroup_bytes.into(),
                limits.max_compute_workgroup_storage_size.into(),
                "use smaller tiles",
            ),
            (
                "bytes of immediate data",
                found.immediate_bytes.into(),
                limits.max_immediate_size.into(),
                "use a uniform buffer",
            ),
            (
                "bytes of one uniform buffer",
                uniform.unwrap_or(0).into(),
                limits.max_uniform_buffer_binding_size,
                "use a storage buffer",
            ),
        ] {
            self.check_limit(what, needed, limit, hint)?;
        }
        Ok(())
    }

    fn check_limit(&self, what: &str, needed: u64, limit: u64, hint: &str) -> Result<()> {
        if needed <= limit {
            return Ok(());
        }
        Err(Error::LimitExceeded { what: format!("kernel `{}` ({what})", self.name), needed, limit, hint: hint.into() })
    }

    /// The validator's report, headed by the place in the file that a line was written in.
    fn invalid(&self, line: Option<usize>, report: &str) -> Error {
        let place = line.map(|line| shader::locate(&self.name, &self.wgsl, line));
        let place = place.map_or(String::new(), |(file, line)| format!("{file}:{line}\n"));
        self.disagrees(format!("{place}{}", report.trim_end()))
    }

    pub(super) fn disagrees(&self, message: String) -> Error {
        Error::Shader { kernel: self.name.clone(), wgsl: self.wgsl.clone(), message }
    }
}

/// What wgpu will let its own validator accept on a device with these features.
fn naga_capabilities(features: Features) -> Capabilities {
    let mut capabilities = Capabilities::SHADER_FLOAT16_IN_FLOAT32;
    for (feature, capability) in [
        (Features::IMMEDIATES, Capabilities::IMMEDIATES),
        (Features::SUBGROUP, Capabilities::SUBGROUP),
        (Features::SUBGROUP_BARRIER, Capabilities::SUBGROUP_BARRIER),
        (Features::SHADER_F16, Capabilities::SHADER_FLOAT16),
        (Features::SHADER_I16, Capabilities::SHADER_INT16),
        (Features::SHADER_INT64, Capabilities::SHADER_INT64),
        (Features::SHADER_FLOAT32_ATOMIC, Capabilities::SHADER_FLOAT32_ATOMIC),
    ] {
        capabilities.set(capability, features.contains(feature));
    }
    capabilities
}
