//! Life in a host's application: its device, its encoder, its submit, its poll.

mod common;

use common::kernel;
use ergodic::gpu::{Binding, Gpu, GpuOptions, PollMode, Tensor, Tier};
use ergodic::graph::DType;
use ergodic::{Error, Result};
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

/// A host that made its device without us, and counts what it hears.
struct Host {
    info: wgpu::AdapterInfo,
    device: wgpu::Device,
    queue: wgpu::Queue,
    complaints: Arc<AtomicUsize>,
}

fn host(limits: wgpu::Limits) -> Host {
    let wanted = GpuOptions::from_env().expect("a valid ERGODIC_TIER").adapter;
    let adapters = pollster::block_on(ergodic::gpu::adapters());
    let named = |adapter: &wgpu::Adapter| match &wanted {
        ergodic::gpu::AdapterChoice::Named(part) => adapter.get_info().name.contains(part.as_str()),
        _ => true,
    };
    let adapter = adapters.into_iter().find(named).expect("the tests need an adapter");
    let descriptor = wgpu::DeviceDescriptor { required_limits: limits, ..Default::default() };
    let (device, queue) = pollster::block_on(adapter.request_device(&descriptor)).expect("a device");
    let complaints = Arc::new(AtomicUsize::new(0));
    let heard = complaints.clone();
    device.on_uncaptured_error(Arc::new(move |_| {
        heard.fetch_add(1, Ordering::Relaxed);
    }));
    Host { info: adapter.get_info(), device, queue, complaints }
}

fn embed(host: &Host) -> Result<Gpu> {
    Gpu::from_wgpu(host.info.clone(), host.device.clone(), host.queue.clone(), PollMode::Host)
}

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

const DOUBLE: &str = "
@group(0) @binding(0) var<storage, read_write> x: array<f32>;
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) { if (id.x < 5u) { x[id.x] = 2.0 * x[id.x]; } }";

#[test]
fn a_tensor_goes_up_through_a_kernel_and_back_with_the_hosts_submit_and_poll() -> Result<()> {
    let host = host(wgpu::Limits::default());
    let gpu = embed(&host)?;
    let x = Tensor::from_slice(&gpu, "x", &[5], &[1.0f32, 2.0, 3.0, 4.0, 5.0])?;
    let pipeline = gpu.pipeline(&kernel("double", DOUBLE, &[Binding::ReadWrite]))?;
    let group = gpu.bind_group(&pipeline, &[x.binding()])?;

    let mut encoder = host.device.create_command_encoder(&Default::default());
    {
        let mut pass = encoder.begin_compute_pass(&Default::default());
        pass.set_pipeline(&pipeline.raw);
        pass.set_bind_group(0, &group, &[]);
        pass.dispatch_workgroups(1, 1, 1);
    }
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(wakes.clone());
    let mut read = pin!(x.read_in::<f32>(&mut encoder)?);
    drop(x);
    assert!(read.as_mut().poll(&mut Context::from_waker(&waker)).is_pending(), "nothing is submitted");

    host.queue.submit([encoder.finish()]);
    assert_eq!(wakes.0.load(Ordering::Relaxed), 0, "nobody but the host polls");
    host.device.poll(wgpu::PollType::wait_indefinitely()).expect("the host polls");
    assert_eq!(wakes.0.load(Ordering::Relaxed), 1, "the host's poll wakes the reader");
    match read.as_mut().poll(&mut Context::from_waker(&waker)) {
        Poll::Ready(values) => assert_eq!(values?, [2.0, 4.0, 6.0, 8.0, 10.0]),
        Poll::Pending => panic!("it was woken without a value"),
    }
    assert_eq!(host.complaints.load(Ordering::Relaxed), 0);
    Ok(())
}

#[test]
fn waiting_takes_what_the_host_has_polled_and_never_blocks() -> Result<()> {
    let host = host(wgpu::Limits::default());
    let gpu = embed(&host)?;
    let x = Tensor::from_slice(&gpu, "x", &[2], &[3u32, 4])?;
    let mut encoder = host.device.create_command_encoder(&Default::default());
    let (early, late) = (x.read_in::<u32>(&mut encoder)?, x.read_in::<u32>(&mut encoder)?);
    host.queue.submit([encoder.finish()]);
    assert!(matches!(early.wait(), Err(Error::Invalid { what: "Readback::wait", .. })));
    host.device.poll(wgpu::PollType::wait_indefinitely()).expect("the host polls");
    assert_eq!(late.wait()?, [3, 4]);
    Ok(())
}

#[test]
fn what_would_submit_or_poll_is_refused_and_names_the_way() -> Result<()> {
    let gpu = embed(&host(wgpu::Limits::default()))?;
    let x = Tensor::zeros(&gpu, "x", &[2], DType::F32)?;
    assert_eq!(
        x.read::<f32>().map(drop).unwrap_err().to_string(),
        "Gpu::read_many is called on a host's device, but must be recorded into an encoder that the host submits: \
         see Tensor::read_in and PollMode::Host"
    );
    assert!(matches!(gpu.submit(gpu.encoder("x")), Err(Error::Invalid { what: "Gpu::submit", .. })));
    assert!(matches!(gpu.wait(), Err(Error::Invalid { what: "Gpu::wait", .. })));
    Ok(())
}

#[test]
fn zeros_need_no_submission_of_ours() -> Result<()> {
    let host = host(wgpu::Limits::default());
    let gpu = embed(&host)?;
    drop(Tensor::from_slice(&gpu, "used", &[100_003], &vec![1.0f32; 100_003])?);
    let zeros = Tensor::zeros(&gpu, "zeros", &[100_003], DType::F32)?;
    let mut encoder = host.device.create_command_encoder(&Default::default());
    let read = zeros.read_in::<f32>(&mut encoder)?;
    host.queue.submit([encoder.finish()]);
    host.device.poll(wgpu::PollType::wait_indefinitely()).expect("the host polls");
    assert_eq!(read.wait()?, vec![0.0; 100_003]);
    Ok(())
}

#[test]
fn limits_and_features_are_the_devices_and_not_the_adapters() -> Result<()> {
    let asked = wgpu::Limits { max_texture_dimension_1d: 1024, ..Default::default() };
    let gpu = embed(&host(asked))?;
    assert_eq!(gpu.caps().limits.max_texture_dimension_1d, 1024);
    assert_eq!(gpu.caps().limits.max_compute_workgroup_storage_size, 16_384);
    assert_eq!((gpu.caps().tier, gpu.caps().features), (Tier::Portable, wgpu::Features::empty()));
    assert_eq!((gpu.caps().subgroups, gpu.caps().immediates, gpu.caps().storage_bindings()), (None, false, 7));
    Ok(())
}

#[test]
fn a_device_below_the_portable_limits_is_refused() {
    let asked = wgpu::Limits { max_storage_buffers_per_shader_stage: 4, ..Default::default() };
    match embed(&host(asked)) {
        Err(error @ Error::LimitExceeded { needed: 8, limit: 4, .. }) => {
            let said = error.to_string();
            let both = "the engine's smallest configuration (storage buffers a kernel) needs 8; this device allows 4";
            assert!(said.starts_with(both), "{said}");
            assert!(said.ends_with("offers less than WebGPU asks of every device; choose another adapter"), "{said}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn mistakes_we_catch_never_reach_the_hosts_error_callback() -> Result<()> {
    let host = host(wgpu::Limits::default());
    let gpu = embed(&host)?;
    assert!(gpu.pipeline(&kernel("wrong", "fn main( {", &[])).is_err());
    let pipeline = gpu.pipeline(&kernel("double", DOUBLE, &[Binding::ReadWrite]))?;
    let short = Tensor::zeros(&gpu, "short", &[1], DType::F32)?;
    let misplaced = wgpu::BufferBinding { offset: 4, ..short.buffer_binding() };
    assert!(gpu.bind_group(&pipeline, &[wgpu::BindingResource::Buffer(misplaced)]).is_err());
    assert_eq!(host.complaints.load(Ordering::Relaxed), 0);
    Ok(())
}
