//! Tensors: what is written is read, memory is counted and bounded, and devices are kept apart.

mod common;

use common::{fresh, gpus};
use ergodic::gpu::{Gpu, Tensor};
use ergodic::graph::DType;
use ergodic::{Error, Result};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const _: fn() = || {
    fn is_shared_between_threads<T: Clone + Send + Sync>() {}
    is_shared_between_threads::<Gpu>();
    is_shared_between_threads::<Tensor>();
};

#[test]
fn what_is_written_is_read_at_every_size() -> Result<()> {
    for (tier, gpu) in gpus() {
        for n in [0, 1, 2, 3, 4, 5, 97, 4096, 65_537, 1_000_003] {
            let floats: Vec<f32> = (0..n).map(|i| i as f32 * 0.5 - 3.0).collect();
            let words: Vec<u32> = (0..n as u32).map(|i| i.wrapping_mul(2_654_435_761)).collect();
            let x = Tensor::from_slice(&gpu, "x", &[n], &floats)?;
            let w = Tensor::from_slice(&gpu, "w", &[n, 1], &words)?;
            assert_eq!(x.read::<f32>()?.wait()?, floats, "{tier}, {n} floats");
            assert_eq!(w.read::<u32>()?.wait()?, words, "{tier}, {n} words");
            assert_eq!(x.padded_bytes() % 16, 0);
        }
    }
    Ok(())
}

#[test]
fn several_tensors_arrive_with_one_submission() -> Result<()> {
    let (_, gpu) = &gpus()[0];
    let tensors: Vec<_> =
        (0..5u32).map(|i| Tensor::from_slice(gpu, "t", &[3], &[i, i + 1, i + 2])).collect::<Result<_>>()?;
    let reads = gpu.read_many::<u32>(&tensors.iter().collect::<Vec<_>>())?;
    for (i, read) in (0..).zip(reads) {
        assert_eq!(read.wait()?, [i, i + 1, i + 2]);
    }
    Ok(())
}

#[test]
fn an_awaited_readback_of_our_own_device_completes_without_a_poll_by_the_caller() -> Result<()> {
    let (_, gpu) = &gpus()[0];
    let x = Tensor::from_slice(gpu, "x", &[2], &[1.0f32, 2.0])?;
    assert_eq!(pollster::block_on(x.read::<f32>()?)?, [1.0, 2.0]);
    Ok(())
}

#[test]
fn zeros_are_zero_also_in_a_buffer_that_was_used_before() -> Result<()> {
    let gpu = fresh(|_| ());
    for n in [5, 100_003] {
        // Either side of the size above which clearing is a submission of its own.
        let used = Tensor::from_slice(&gpu, "used", &[n], &vec![7.0f32; n])?;
        let (buffer, _) = used.as_wgpu();
        let buffer = buffer.clone();
        drop(used);
        let zeros = Tensor::zeros(&gpu, "zeros", &[n], DType::F32)?;
        assert_eq!(*zeros.as_wgpu().0, buffer, "the test is about a reused buffer");
        assert_eq!(zeros.read::<f32>()?.wait()?, vec![0.0; n]);
    }
    Ok(())
}

#[test]
fn a_dropped_tensor_is_reused_and_its_pending_reader_still_sees_the_old_values() -> Result<()> {
    let gpu = fresh(|_| ());
    let old = Tensor::from_slice(&gpu, "old", &[1000], &[1.0f32; 1000])?;
    let read = old.read::<f32>()?;
    drop(old);
    let new = Tensor::from_slice(&gpu, "new", &[1000], &[2.0f32; 1000])?;
    assert_eq!(read.wait()?, [1.0; 1000]);
    assert_eq!(new.read::<f32>()?.wait()?, [2.0; 1000]);
    Ok(())
}

#[test]
fn a_recorded_copy_keeps_its_tensor_from_being_overtaken() -> Result<()> {
    let gpu = fresh(|_| ());
    let old = Tensor::from_slice(&gpu, "old", &[1000], &[1.0f32; 1000])?;
    let mut encoder = gpu.encoder("late");
    let read = old.read_in::<f32>(&mut encoder)?;
    drop(old);
    // Uploads run before the commands of the next submission: had this reused the buffer, the copy would read 2.
    let _new = Tensor::from_slice(&gpu, "new", &[1000], &[2.0f32; 1000])?;
    gpu.submit(encoder)?;
    assert_eq!(read.wait()?, [1.0; 1000]);
    Ok(())
}

#[test]
fn a_tensor_kept_for_an_encoder_lives_until_its_commands_have_run() -> Result<()> {
    let gpu = fresh(|_| ());
    let kept = Tensor::zeros(&gpu, "kept", &[4], DType::F32)?;
    let encoder = gpu.encoder("keeps");
    kept.keep_for(&encoder);
    drop(kept);
    assert_eq!((gpu.memory().in_use, gpu.memory().pooled), (16, 0));
    gpu.submit(encoder)?;
    gpu.wait()?;
    assert_eq!((gpu.memory().in_use, gpu.memory().pooled), (0, 16));
    Ok(())
}

#[test]
fn memory_is_counted_reused_and_given_back() -> Result<()> {
    let gpu = fresh(|_| ());
    let a = Tensor::zeros(&gpu, "a", &[256], DType::F32)?;
    let b = Tensor::zeros(&gpu, "b", &[256], DType::F32)?;
    assert_eq!((gpu.memory().in_use, gpu.memory().high_water, gpu.memory().pooled), (2048, 2048, 0));
    let clone = a.clone();
    drop((a, b));
    assert_eq!((gpu.memory().in_use, gpu.memory().pooled), (1024, 1024), "a clone keeps the memory");
    drop(clone);
    let _c = Tensor::zeros(&gpu, "c", &[250], DType::F32)?;
    assert_eq!((gpu.memory().in_use, gpu.memory().pooled), (1024, 1024), "250 floats fit the class of 256");
    assert_eq!(gpu.trim(), 1024);
    assert_eq!((gpu.memory().in_use, gpu.memory().high_water, gpu.memory().pooled), (1024, 2048, 0));
    Ok(())
}

#[test]
fn the_budget_refuses_before_it_allocates_and_pooled_buffers_make_room() -> Result<()> {
    let gpu = fresh(|options| options.memory_budget = Some(4096));
    let small = Tensor::zeros(&gpu, "small", &[512], DType::F32)?;
    match Tensor::zeros(&gpu, "large", &[1024], DType::F32) {
        Err(Error::OutOfMemory { name, needed: 4096, in_use: 2048, budget: 4096 }) => assert_eq!(name, "large"),
        other => panic!("{other:?}"),
    }
    drop(small);
    assert_eq!(gpu.memory().pooled, 2048);
    let _large = Tensor::zeros(&gpu, "large", &[1024], DType::F32)?;
    assert_eq!((gpu.memory().in_use, gpu.memory().pooled), (4096, 0));
    Ok(())
}

#[test]
fn a_tensor_over_the_binding_limit_is_refused_with_the_number_of_rows_that_fit() {
    let (_, gpu) = &gpus()[0];
    match Tensor::zeros(gpu, "walkers", &[2_097_152, 32], DType::F32) {
        Err(Error::BindingTooLarge { name, needed: 268_435_456, limit: 134_217_728, hint }) => {
            assert_eq!(name, "walkers");
            assert_eq!(hint, "split its 2097152 rows into 2 tensors of at most 1048576");
        }
        other => panic!("{other:?}"),
    }
    let overflow = Tensor::zeros(gpu, "huge", &[usize::MAX, 8], DType::F32);
    assert!(matches!(overflow, Err(Error::BindingTooLarge { needed: u64::MAX, .. })));
}

#[test]
fn a_tensor_of_another_device_is_refused() -> Result<()> {
    let [(_, a), (_, b)] = gpus();
    let x = Tensor::zeros(&a, "x", &[4], DType::F32)?;
    assert!(x.check_on(&a.clone(), "session").is_ok());
    assert!(matches!(x.check_on(&b, "session"), Err(Error::ForeignDevice { name, user: "session" }) if name == "x"));
    assert!(matches!(b.read_many::<f32>(&[&x]), Err(Error::ForeignDevice { .. })));
    Ok(())
}

#[test]
fn a_shape_or_element_type_that_does_not_fit_is_refused() -> Result<()> {
    let (_, gpu) = &gpus()[0];
    let refused = |result: Result<()>| matches!(result, Err(Error::Shape { .. }));
    assert!(refused(Tensor::from_slice(gpu, "x", &[2, 3], &[0.0f32; 5]).map(drop)));
    let x = Tensor::zeros(gpu, "x", &[2, 3], DType::F32)?;
    assert!(refused(x.write(&[0.0f32; 5])));
    assert!(refused(x.write(&[0u32; 6])));
    assert!(refused(x.read::<u32>().map(drop)));
    assert!(refused(x.reshape(&[7]).map(drop)));
    let flags = Tensor::zeros(gpu, "flags", &[3], DType::Bool)?;
    flags.write(&[0u32, 1, 0])?;
    assert_eq!(flags.read::<u32>()?.wait()?, [0, 1, 0]);
    assert!(matches!(Tensor::zeros(gpu, "key", &[], DType::Key), Err(Error::Invalid { .. })));
    Ok(())
}

#[test]
fn a_reshaped_tensor_shares_its_memory() -> Result<()> {
    let (_, gpu) = &gpus()[0];
    let x = Tensor::from_slice(gpu, "x", &[2, 3], &[1u32, 2, 3, 4, 5, 6])?;
    let flat = x.reshape(&[6])?;
    drop(x);
    assert_eq!(flat.read::<u32>()?.wait()?, [1, 2, 3, 4, 5, 6]);
    Ok(())
}

#[test]
fn a_buffer_of_the_host_becomes_a_tensor_if_it_is_fit_for_it() -> Result<()> {
    let (_, gpu) = &gpus()[0];
    use wgpu::BufferUsages as U;
    let buffer = |size, usage| {
        gpu.device().create_buffer(&wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false })
    };
    let any = U::STORAGE | U::COPY_SRC | U::COPY_DST;
    let good = buffer(512, any | U::UNIFORM);
    let x = Tensor::from_wgpu(gpu, "x", &[3], DType::F32, good.clone(), 256)?;
    x.write(&[1.0f32, 2.0, 3.0])?;
    assert_eq!(x.read::<f32>()?.wait()?, [1.0, 2.0, 3.0]);
    assert_eq!(x.as_wgpu(), (&good, 256..268));
    let refused = |buffer, shape, offset| {
        matches!(Tensor::from_wgpu(gpu, "x", &[shape], DType::F32, buffer, offset), Err(Error::Invalid { .. }))
    };
    assert!(refused(good.clone(), 3, 8), "an offset that cannot be bound");
    assert!(refused(good.clone(), 65, 256), "a buffer that is too short");
    assert!(refused(buffer(512, U::STORAGE), 3, 0), "a buffer that cannot be copied");
    assert_eq!(refused(buffer(512, any), 3, 0), gpu.caps().is_software(), "uniforms are for software adapters");
    Ok(())
}

#[test]
fn a_copy_that_was_never_submitted_is_an_error_and_not_a_hang() -> Result<()> {
    let (_, gpu) = &gpus()[0];
    let x = Tensor::zeros(gpu, "x", &[4], DType::F32)?;
    let mut encoder = gpu.encoder("dropped");
    let read = x.read_in::<f32>(&mut encoder)?;
    drop(encoder);
    assert!(matches!(read.wait(), Err(Error::Refused { message }) if message.contains("not submitted")));
    let mut encoder = gpu.encoder("forgotten");
    let read = x.read_in::<f32>(&mut encoder)?;
    assert!(matches!(read.wait(), Err(Error::Refused { message }) if message.contains("not submitted")));
    Ok(())
}

#[test]
fn a_lost_device_is_an_error_from_every_call_and_never_a_panic() -> Result<()> {
    let gpu = fresh(|_| ());
    let x = Tensor::zeros(&gpu, "x", &[4], DType::F32)?;
    gpu.device().destroy();
    let lost = |result: Result<()>| matches!(result, Err(Error::DeviceLost { .. }));
    assert!(lost(x.read::<f32>().and_then(|read| read.wait()).map(drop)), "read");
    assert!(lost(gpu.wait()), "wait");
    assert!(lost(Tensor::zeros(&gpu, "y", &[4], DType::F32).map(drop)), "zeros");
    assert!(lost(gpu.check()), "check, which repeats it");
    Ok(())
}

#[test]
fn a_mistake_in_the_commands_is_reported_by_the_next_check_once() -> Result<()> {
    let gpu = fresh(|_| ());
    let x = Tensor::zeros(&gpu, "x", &[4], DType::F32)?;
    let mut encoder = gpu.encoder("wrong");
    let (buffer, _) = x.as_wgpu();
    encoder.copy_buffer_to_buffer(buffer, 0, buffer, 0, 16);
    gpu.submit(encoder)?;
    assert!(matches!(gpu.wait(), Err(Error::Refused { .. })));
    gpu.check()
}

#[test]
fn readbacks_can_be_waited_for_on_another_thread() -> Result<()> {
    let (_, gpu) = &gpus()[1];
    let x = Tensor::from_slice(gpu, "x", &[3], &[1u32, 2, 3])?;
    let read = x.read::<u32>()?;
    let done = Arc::new(AtomicBool::new(false));
    let seen = done.clone();
    let thread = std::thread::spawn(move || {
        let values = read.wait();
        seen.store(true, Ordering::Relaxed);
        values
    });
    assert_eq!(thread.join().expect("the thread does not panic")?, [1, 2, 3]);
    assert!(done.load(Ordering::Relaxed));
    Ok(())
}
