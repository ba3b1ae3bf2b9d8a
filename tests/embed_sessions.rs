//! Sessions inside a host: its passes around ours, encoders that it drops, tensors that stay, two engines and two threads.

mod common;

use ergodic::Result;
use ergodic::autodiff::grad;
use ergodic::gpu::{Gpu, GpuOptions, PollMode, Tensor};
use ergodic::graph::{DType, Graph};
use ergodic::plan::{Bindings, CompileOptions, Plan, Session};
use ergodic::random::RngKey;

const N: usize = 500;

struct Host {
    info: wgpu::AdapterInfo,
    device: wgpu::Device,
    queue: wgpu::Queue,
}

/// A host that asked its adapter for nothing beyond the default limits.
fn host() -> Host {
    let wanted = GpuOptions::from_env().expect("a valid ERGODIC_TIER").adapter;
    let named = |adapter: &wgpu::Adapter| match &wanted {
        ergodic::gpu::AdapterChoice::Named(part) => adapter.get_info().name.contains(part.as_str()),
        _ => true,
    };
    let adapters = pollster::block_on(ergodic::gpu::adapters());
    let adapter = adapters.into_iter().find(named).expect("the tests need an adapter");
    let (device, queue) = pollster::block_on(adapter.request_device(&Default::default())).expect("a device");
    Host { info: adapter.get_info(), device, queue }
}

fn embed(host: &Host) -> Result<Gpu> {
    Gpu::from_wgpu(host.info.clone(), host.device.clone(), host.queue.clone(), PollMode::Host)
}

/// Walkers in a well, all at 1 at first.
fn walkers(gpu: &Gpu, seed: u64) -> Result<Session> {
    let g = Graph::new();
    let x = g.input("x", [N, 2]);
    let moved = x - grad(x.square().sum(1), x)? * 0.05 + g.key("noise").normal([N, 2]) * 0.3;
    let plan = Plan::compile(gpu, &[("x", moved)], &CompileOptions::labelled("walkers"))?;
    let x = Tensor::from_slice(gpu, "x", &[N, 2], &[1f32; 2 * N])?;
    Session::new(&plan, Bindings::new().tensor("x", &x).key("noise", RngKey::new(seed)))
}

/// Copies a tensor, submits the host's encoder with all that is in it, and waits as a host does.
fn submit_and_read(host: &Host, mut encoder: wgpu::CommandEncoder, tensor: &Tensor) -> Result<Vec<f32>> {
    let read = tensor.read_in::<f32>(&mut encoder)?;
    host.queue.submit([encoder.finish()]);
    host.device.poll(wgpu::PollType::wait_indefinitely()).expect("the host polls");
    read.wait()
}

/// Where walkers are after so many steps, in one run on a host of their own.
fn expected(seed: u64, steps: u64) -> Result<Vec<f32>> {
    let host = host();
    let mut session = walkers(&embed(&host)?, seed)?;
    let mut encoder = host.device.create_command_encoder(&Default::default());
    session.encode(&mut encoder, steps)?;
    submit_and_read(&host, encoder, session.tensor("x")?)
}

#[test]
fn two_engines_share_a_device_and_an_encoder_with_passes_of_the_host() -> Result<()> {
    let host = host();
    let mut sessions = [walkers(&embed(&host)?, 1)?, walkers(&embed(&host)?, 2)?];
    let target = host.device.create_texture(&wgpu::TextureDescriptor {
        label: None,
        size: wgpu::Extent3d { width: 4, height: 4, depth_or_array_layers: 1 },
        mip_level_count: 1,
        sample_count: 1,
        dimension: wgpu::TextureDimension::D2,
        format: wgpu::TextureFormat::Rgba8Unorm,
        usage: wgpu::TextureUsages::RENDER_ATTACHMENT,
        view_formats: &[],
    });
    let view = target.create_view(&Default::default());
    let mut encoder = host.device.create_command_encoder(&Default::default());
    for _ in 0..3 {
        for session in &mut sessions {
            session.encode(&mut encoder, 2)?;
            let attachment = wgpu::RenderPassColorAttachment {
                view: &view,
                depth_slice: None,
                resolve_target: None,
                ops: Default::default(),
            };
            let color_attachments = &[Some(attachment)];
            drop(encoder.begin_render_pass(&wgpu::RenderPassDescriptor { color_attachments, ..Default::default() }));
        }
    }
    let first = submit_and_read(&host, encoder, sessions[0].tensor("x")?)?;
    let second =
        submit_and_read(&host, host.device.create_command_encoder(&Default::default()), sessions[1].tensor("x")?)?;
    assert_eq!((first, second), (expected(1, 6)?, expected(2, 6)?));
    Ok(())
}

#[test]
fn a_host_may_drop_an_encoder_and_set_the_step_back() -> Result<()> {
    let host = host();
    let mut session = walkers(&embed(&host)?, 3)?;
    let mut dropped = host.device.create_command_encoder(&Default::default());
    session.encode(&mut dropped, 4)?;
    drop(dropped);
    session.set_step(0);
    let mut encoder = host.device.create_command_encoder(&Default::default());
    session.encode(&mut encoder, 5)?;
    assert_eq!(submit_and_read(&host, encoder, session.tensor("x")?)?, expected(3, 5)?);
    assert_eq!(session.step(), 5);
    Ok(())
}

#[test]
fn tensors_outlive_session_plan_and_engine() -> Result<()> {
    let host = host();
    let (x, encoder) = {
        let mut session = walkers(&embed(&host)?, 4)?;
        let mut encoder = host.device.create_command_encoder(&Default::default());
        session.encode(&mut encoder, 3)?;
        (session.tensor("x")?.clone(), encoder)
    };
    assert_eq!(submit_and_read(&host, encoder, &x)?, expected(4, 3)?);
    Ok(())
}

#[test]
fn a_device_that_the_host_destroys_is_no_panic_of_ours() -> Result<()> {
    let host = host();
    let gpu = embed(&host)?;
    let mut session = walkers(&gpu, 5)?;
    host.device.destroy();
    let mut encoder = host.device.create_command_encoder(&Default::default());
    let encoded = session.encode(&mut encoder, 1);
    let made =
        Tensor::zeros(&gpu, "late", &[4], DType::F32).and_then(|late| late.read_in::<f32>(&mut encoder).map(drop));
    drop((encoded, made, encoder, session)); // an error or a value that nobody can use, and nothing else
    Ok(())
}

#[test]
fn a_loss_that_the_host_tells_of_is_a_typed_error_of_every_call_and_a_new_device_goes_on() -> Result<()> {
    let host = host();
    let gpu = embed(&host)?;
    host.device.set_device_lost_callback(gpu.lost_callback());
    let mut session = walkers(&gpu, 6)?;
    let mut encoder = host.device.create_command_encoder(&Default::default());
    session.encode(&mut encoder, 4)?;
    let saved = submit_and_read(&host, encoder, session.tensor("x")?)?;
    let mut encoder = host.device.create_command_encoder(&Default::default());
    session.encode(&mut encoder, 1)?;
    let on_its_way = session.tensor("x")?.read_in::<f32>(&mut encoder)?;
    host.device.destroy();
    let _ = host.device.poll(wgpu::PollType::Poll);
    let mut late = host.device.create_command_encoder(&Default::default());
    let x = session.tensor("x")?.clone();
    let said = [
        on_its_way.wait().map(drop),
        session.encode(&mut late, 1),
        x.read_in::<f32>(&mut late).map(drop),
        x.write(&[0f32; 2 * N]),
        Tensor::zeros(&gpu, "late", &[4], DType::F32).map(drop),
        walkers(&gpu, 6).map(drop),
        gpu.check(),
    ];
    for (call, outcome) in said.into_iter().enumerate() {
        let error = outcome.expect_err("the device is gone");
        assert!(matches!(error, ergodic::Error::DeviceLost { .. }), "call {call}: {error}");
        assert!(error.to_string().contains("create a new Gpu"), "{error}");
    }
    // What was read back before goes on elsewhere, to the same walkers.
    let other = self::host();
    let mut again = walkers(&embed(&other)?, 6)?;
    again.tensor("x")?.write(&saved)?;
    again.set_step(4);
    let mut encoder = other.device.create_command_encoder(&Default::default());
    again.encode(&mut encoder, 3)?;
    assert_eq!(submit_and_read(&other, encoder, again.tensor("x")?)?, expected(6, 7)?);
    Ok(())
}

#[test]
fn the_callback_for_losses_does_not_keep_the_device() -> Result<()> {
    let host = host();
    let gpu = embed(&host)?;
    let (tell, token) = (gpu.lost_callback(), std::sync::Arc::new(()));
    let kept = std::sync::Arc::downgrade(&token);
    host.device.set_device_lost_callback(move |reason, message| {
        let _ = &token;
        tell(reason, message);
    });
    assert!(kept.upgrade().is_some());
    drop((gpu, host));
    assert!(kept.upgrade().is_none(), "the last handle takes the device and its callback along");
    Ok(())
}

#[test]
fn two_threads_have_a_session_each_on_one_device() {
    let gpu = common::gpu();
    let run = |seed| {
        let mut session = walkers(&gpu, seed)?;
        (0..20).try_for_each(|_| session.run(3))?;
        session.read::<f32>("x")?.wait()
    };
    let alone = [run(6), run(7)].map(Result::unwrap);
    std::thread::scope(|scope| {
        let threads = [6, 7].map(|seed| scope.spawn(move || run(seed)));
        let together = threads.map(|thread| thread.join().expect("no panic").unwrap());
        assert_eq!(together, alone);
    });
}
