//! Sessions: a plan bound to tensors, replayed.

use super::compile::Plan;
use super::lower::{COPY, Dispatch, Role, Slot};
use super::memory::{Constants, Own, RING, block_buffer, ring_slot};
use super::offsets::Offsets;
use crate::error::{Error, Result};
use crate::gpu::{Binding, Element, FaultWord, Gpu, KernelSource, Pipeline, Readback, Tensor};
use crate::graph::DType;
use crate::random::RngKey;
use std::collections::HashMap;
use std::sync::Arc;

/// What a plan's inputs are bound to, by name.
#[derive(Clone, Default)]
#[must_use]
pub struct Bindings {
    tensors: HashMap<String, Tensor>,
    scalars: HashMap<String, f32>,
    keys: HashMap<String, RngKey>,
}

impl Bindings {
    /// Nothing bound yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Bind an input, a state, or an output to a tensor. The session and the caller share it.
    pub fn tensor(mut self, name: &str, tensor: &Tensor) -> Self {
        self.tensors.insert(name.into(), tensor.clone());
        self
    }

    /// Bind an `F32` scalar to a new tensor with this value.
    pub fn scalar(mut self, name: &str, value: f32) -> Self {
        self.scalars.insert(name.into(), value);
        self
    }

    /// Bind a random key.
    pub fn key(mut self, name: &str, key: RngKey) -> Self {
        self.keys.insert(name.into(), key);
        self
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<_> =
            self.tensors.keys().chain(self.scalars.keys()).chain(self.keys.keys()).cloned().collect();
        names.sort();
        names
    }
}

/// A plan with its tensors, ready to run.
///
/// The step counter lives on the device and every encoded run advances it there, so runs may be encoded ahead, into
/// any encoder, as long as they are submitted in the order in which they were encoded.
pub struct Session {
    plan: Plan,
    tensors: Vec<Tensor>,
    arena: Tensor,
    fault: FaultWord,
    block: wgpu::Buffer,
    ring_stride: u32,
    groups: Vec<wgpu::BindGroup>,
    /// Those of a step that reads the next values of states and writes the states, if that can be.
    turned: Option<Vec<wgpu::BindGroup>>,
    /// Those of each leap of the plan.
    leaps: Vec<Vec<wgpu::BindGroup>>,
    advance: Arc<Pipeline>,
    advance_group: wgpu::BindGroup,
    keys: HashMap<String, RngKey>,
    step: u64,
}

impl Session {
    /// Bind a plan. Outputs that are not bound get tensors of the session's own.
    ///
    /// # Errors
    /// [`Error::UnboundInput`] for an input or key without a binding; [`Error::Shape`] for a tensor of another shape or
    /// type; [`Error::ForeignDevice`]; [`Error::OutOfMemory`].
    pub fn new(plan: &Plan, bindings: Bindings) -> Result<Session> {
        let gpu = plan.gpu().clone();
        let tensors = bind_tensors(plan, &bindings)?;
        if let Some(key) = plan.keys().iter().find(|key| !bindings.keys.contains_key(&key.name)) {
            return Err(Error::UnboundInput { name: key.name.clone(), shape: vec![], bound: bindings.names() });
        }
        let arena_words = (plan.arena_bytes() / DType::BYTES).max(4) as usize;
        let arena = Tensor::uninit(&gpu, "intermediate values", &[arena_words], DType::U32)?;
        let fault = FaultWord::new(&gpu)?;
        let Constants { ring, ring_stride, offsets } = plan.constants();
        let block = block_buffer(&gpu, plan.keys().len());
        let own = Own { ring, block: &block, arena: &arena, fault: &fault };
        let bind = |dispatches: &[Dispatch], pipelines: &[Arc<Pipeline>], offsets: &Offsets, tensors: &[Tensor]| {
            let one = |(d, (dispatch, pipeline)): (usize, (&Dispatch, &Arc<Pipeline>))| {
                let resource =
                    |slot: &Slot| if *slot == Slot::Offsets { offsets.part(d) } else { own.resource(slot, tensors) };
                let resources: Vec<_> = dispatch.slots.iter().map(resource).collect();
                gpu.bind_group(pipeline, &resources)
            };
            dispatches.iter().zip(pipelines).enumerate().map(one).collect::<Result<Vec<_>>>()
        };
        let step = |tensors: &[Tensor]| bind(plan.dispatches(), plan.pipelines(), &offsets[0], tensors);
        let groups = step(&tensors)?;
        let turned = turned(plan, &tensors).map(|turned| step(&turned)).transpose()?;
        let leaps = plan.leaps().iter().zip(&offsets[1..]);
        let leaps = leaps.map(|(leap, offsets)| bind(&leap.dispatches, &leap.pipelines, offsets, &tensors));
        let leaps = leaps.collect::<Result<_>>()?;
        let advance = gpu.pipeline(&advance_source())?;
        let advance_group = gpu.bind_group(&advance, &[ring_slot(ring), block.as_entire_binding()])?;
        let (plan, keys, ring_stride) = (plan.clone(), bindings.keys, *ring_stride);
        let session = Session {
            plan,
            tensors,
            arena,
            fault,
            block,
            ring_stride,
            groups,
            turned,
            leaps,
            advance,
            advance_group,
            keys,
            step: 0,
        };
        session.write_keys();
        Ok(session)
    }

    /// Record `steps` steps into an encoder, as one compute pass. The caller submits it.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the step counter would pass 2^32; [`Error::DeviceLost`] once it is known, on a host's device by
    /// [`Gpu::lost_callback`].
    pub fn encode(&mut self, encoder: &mut wgpu::CommandEncoder, steps: u64) -> Result<()> {
        self.gpu().check_lost()?;
        let end = self.step.checked_add(steps).filter(|end| *end <= u64::from(u32::MAX));
        let Some(end) = end else {
            let got = format!("{} + {steps}", self.step);
            return Err(Error::Invalid { what: "step counter", got, want: "at most 2^32 - 1" });
        };
        let label = format!("ergodic/{}", self.plan.label());
        let desc = wgpu::ComputePassDescriptor { label: Some(&label), timestamp_writes: None };
        let mut pass = encoder.begin_compute_pass(&desc);
        let looped = self.plan.dispatches().iter().find_map(|dispatch| dispatch.looped);
        let most = looped.map_or(RING, |most| RING.min(u64::from(most)));
        let mut left = steps;
        while left > 0 {
            let now = left.min(most);
            // A kernel that loops takes all its steps from one entry of the ring.
            let leapt = self.encode_leaps(&mut pass, now);
            for entry in if looped.is_some() { now..now + 1 } else { leapt..now } {
                self.encode_step(&mut pass, entry, now - entry, entry == leapt);
            }
            pass.set_pipeline(&self.advance.raw);
            pass.set_bind_group(0, &self.advance_group, &[self.ring_stride * now as u32]);
            pass.dispatch_workgroups(1, 1, 1);
            left -= now;
        }
        drop(pass);
        for tensor in self.tensors.iter().chain([&self.arena, self.fault.tensor()]) {
            tensor.keep_for(encoder);
        }
        self.step = end;
        Ok(())
    }

    /// One step, with `left` of its run to go. Where next values of states lie beside them, every other step is turned, the last
    /// one among them: it leaves the states in place, and nothing is copied but after the first of an odd number.
    fn encode_step(&self, pass: &mut wgpu::ComputePass<'_>, entry: u64, left: u64, is_first: bool) {
        let (plan, is_odd) = (&self.plan, left % 2 == 1);
        let (groups, copies) = match &self.turned {
            None => (&self.groups, true),
            Some(_) if is_odd && is_first => (&self.groups, true),
            Some(turned) if is_odd => (turned, false),
            Some(_) => (&self.groups, false),
        };
        for ((dispatch, pipeline), group) in plan.dispatches().iter().zip(plan.pipelines()).zip(groups) {
            if copies || dispatch.source.name != COPY {
                self.launch(pass, entry, dispatch, pipeline, group);
            }
        }
    }

    /// As many of the next steps as leaps take; returns how many these are.
    fn encode_leaps(&self, pass: &mut wgpu::ComputePass<'_>, steps: u64) -> u64 {
        let mut done = 0;
        for (leap, groups) in self.plan.leaps().iter().zip(&self.leaps) {
            while steps - done >= leap.steps {
                self.encode_kernels(pass, done, &leap.dispatches, &leap.pipelines, groups);
                done += leap.steps;
            }
        }
        done
    }

    fn encode_kernels(
        &self,
        pass: &mut wgpu::ComputePass<'_>,
        entry: u64,
        dispatches: &[Dispatch],
        pipelines: &[Arc<Pipeline>],
        groups: &[wgpu::BindGroup],
    ) {
        for ((dispatch, pipeline), group) in dispatches.iter().zip(pipelines).zip(groups) {
            self.launch(pass, entry, dispatch, pipeline, group);
        }
    }

    /// One launch. Entry `j` of the ring is step `j` from here, and of a kernel that loops so many steps.
    pub(super) fn encode_dispatch(&self, pass: &mut wgpu::ComputePass<'_>, dispatch: usize, entry: u64) {
        let (kernel, pipeline) = (&self.plan.dispatches()[dispatch], &self.plan.pipelines()[dispatch]);
        self.launch(pass, entry, kernel, pipeline, &self.groups[dispatch]);
    }

    fn launch(
        &self,
        pass: &mut wgpu::ComputePass<'_>,
        entry: u64,
        dispatch: &Dispatch,
        pipeline: &Pipeline,
        group: &wgpu::BindGroup,
    ) {
        let [x, y, z] = dispatch.grid;
        pass.set_pipeline(&pipeline.raw);
        pass.set_bind_group(0, group, &[self.ring_stride * entry as u32]);
        pass.dispatch_workgroups(x, y, z);
    }

    /// Everything that kernels write and a later run may read: intermediate values are not among them.
    pub(super) fn written(&self) -> Vec<Tensor> {
        let decls = self.plan.tensors().iter().zip(&self.tensors);
        let written = decls.filter(|(decl, _)| decl.role != Role::Input).map(|(_, tensor)| tensor);
        written.chain([self.fault.tensor()]).cloned().collect()
    }

    /// Record `steps` steps and submit them. Does not wait.
    ///
    /// # Errors
    /// Those of [`encode`](Self::encode), and [`Error::DeviceLost`].
    pub fn run(&mut self, steps: u64) -> Result<()> {
        let mut encoder = self.gpu().encoder(self.plan.label());
        self.encode(&mut encoder, steps)?;
        self.gpu().submit(encoder)?;
        Ok(())
    }

    /// [`run`](Self::run) and [`check`](Self::check) in one submission.
    ///
    /// # Errors
    /// Those of both.
    pub fn run_checked(&mut self, steps: u64) -> Result<()> {
        let mut encoder = self.gpu().encoder(self.plan.label());
        let faults = self.encode_checked(&mut encoder, steps)?;
        self.checked(faults.after(self.gpu().submit(encoder)?))
    }

    /// [`encode`](Self::encode), and what [`checked`](Self::checked) wants after the submission.
    pub(crate) fn encode_checked(&mut self, encoder: &mut wgpu::CommandEncoder, steps: u64) -> Result<Readback<u32>> {
        self.encode(encoder, steps)?;
        self.fault.read_in(encoder)
    }

    /// Wait for a copy of the fault word and report its bits.
    pub(crate) fn checked(&self, faults: Readback<u32>) -> Result<()> {
        FaultWord::check(&faults.wait()?, self.step)
    }

    /// The tensor bound to, or made for, this input or output.
    ///
    /// # Errors
    /// [`Error::UnboundInput`] if the plan has no tensor of this name.
    pub fn tensor(&self, name: &str) -> Result<&Tensor> {
        let decls = self.plan.tensors();
        match decls.iter().position(|decl| decl.name == name) {
            Some(i) => Ok(&self.tensors[i]),
            None => {
                let bound = decls.iter().map(|decl| decl.name.clone()).collect();
                Err(Error::UnboundInput { name: name.into(), shape: vec![], bound })
            }
        }
    }

    /// Copy a tensor to the host, after everything that was submitted before.
    ///
    /// # Errors
    /// Those of [`tensor`](Self::tensor) and [`Tensor::read`].
    pub fn read<T: Element>(&self, name: &str) -> Result<Readback<T>> {
        self.tensor(name)?.read()
    }

    /// Number of the next step.
    pub fn step(&self) -> u64 {
        self.step
    }

    /// Set the number of the next step. Takes effect for runs that are submitted after this call.
    pub fn set_step(&mut self, step: u64) {
        self.step = step;
        self.gpu().queue().write_buffer(&self.block, 0, &(step as u32).to_le_bytes());
    }

    /// Bind a key anew. Takes effect for runs that are submitted after this call.
    pub fn set_key(&mut self, name: &str, key: RngKey) {
        self.keys.insert(name.into(), key);
        self.write_keys();
    }

    /// Wait for what was submitted and report bits of the fault word.
    ///
    /// # Errors
    /// [`Error::Fault`] with the bits and the step reached; [`Error::DeviceLost`].
    pub fn check(&self) -> Result<()> {
        FaultWord::check(&self.fault.tensor().read()?.wait()?, self.step)
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The device.
    pub fn gpu(&self) -> &Gpu {
        self.plan.gpu()
    }

    fn write_keys(&self) {
        for (slot, path) in self.plan.keys().iter().enumerate() {
            let Some(&bound) = self.keys.get(&path.name) else { continue };
            let key = path.folds.iter().fold(bound, |key, &data| key.fold_in(data));
            let words = [key.seed[0], key.seed[1], key.stream, 0];
            self.gpu().queue().write_buffer(&self.block, 16 + 16 * slot as u64, bytemuck::cast_slice(&words));
        }
    }
}

/// The tensors of a plan with each state and its next value exchanged; `None` if it has no such states, or if one shares a buffer
/// with another tensor: what is only read could then not be bound beside it.
fn turned(plan: &Plan, tensors: &[Tensor]) -> Option<Vec<Tensor>> {
    let mut turned = tensors.to_vec();
    for shadow in plan.shadows() {
        let buffer = tensors[shadow.state].buffer();
        if tensors.iter().filter(|tensor| tensor.buffer() == buffer).count() > 1 {
            return None;
        }
        turned.swap(shadow.state, shadow.next);
    }
    (!plan.shadows().is_empty()).then_some(turned)
}

fn bind_tensors(plan: &Plan, bindings: &Bindings) -> Result<Vec<Tensor>> {
    let gpu = plan.gpu();
    let bind = |decl: &super::TensorDecl| {
        let scalar = bindings.scalars.get(&decl.name).filter(|_| decl.shape.is_empty());
        match (bindings.tensors.get(&decl.name), scalar) {
            (Some(tensor), _) => {
                tensor.check_on(gpu, "plan")?;
                if tensor.shape() != &decl.shape[..] || tensor.dtype() != decl.dtype {
                    let got = format!("tensor `{}` {:?} {:?}", decl.name, tensor.shape(), tensor.dtype());
                    let want = format!("{} {:?}", decl.shape, decl.dtype);
                    return Err(Error::Shape { op: "Session::new", got, want, at: None });
                }
                Ok(tensor.clone())
            }
            (None, Some(&value)) => Tensor::from_slice(gpu, &decl.name, &[], &[value]),
            (None, None) if matches!(decl.role, Role::Output | Role::Scratch) => {
                Tensor::zeros(gpu, &decl.name, &decl.shape, decl.dtype)
            }
            (None, None) => {
                let (name, shape) = (decl.name.clone(), decl.shape.to_vec());
                Err(Error::UnboundInput { name, shape, bound: bindings.names() })
            }
        }
    };
    plan.tensors().iter().map(bind).collect()
}

/// One invocation that adds a ring entry's count to the step counter.
fn advance_source() -> KernelSource {
    let wgsl = "struct Ring { offset: u32, count: u32 }\n\
        @group(0) @binding(0) var<uniform> ring: Ring;\n\
        @group(0) @binding(1) var<storage, read_write> session: array<u32>;\n\
        @compute @workgroup_size(1)\n\
        fn main() { session[0] = session[0] + ring.count; }\n";
    let bindings = vec![Binding::Uniform { dynamic_offset: true, bytes: 8 }, Binding::ReadWrite];
    KernelSource { name: "advance".into(), wgsl: wgsl.into(), bindings, workgroup_size: 1 }
}
