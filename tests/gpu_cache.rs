//! Compiled kernels on the disk: they come back, they are shared, and nothing that happens to the file fails a run.

mod common;

use ergodic::Result;
use ergodic::gpu::{Binding, Gpu, GpuOptions, PollMode, Tensor, Tier};
use ergodic::graph::Graph;
use ergodic::plan::{Bindings, CompileOptions, Plan, Session};
use std::fs;
use std::path::{Path, PathBuf};

/// An empty folder of this test's own.
fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("ergodic-cache-{}-{name}", std::process::id()));
    let _ = fs::remove_dir_all(&folder);
    folder
}

fn with_cache(folder: &Path) -> Gpu {
    common::fresh(|options: &mut GpuOptions| {
        options.tier = Tier::Native;
        options.pipeline_cache = Some(folder.into());
    })
}

/// Whether the device has such a cache. Only Vulkan does; elsewhere no file is written, and that is all there is to test.
fn has_cache(gpu: &Gpu) -> bool {
    gpu.caps().features.contains(wgpu::Features::PIPELINE_CACHE) && gpu.caps().backend == wgpu::Backend::Vulkan
}

/// Something that no other test compiles, and its answer.
fn answer(gpu: &Gpu, factor: f64) -> Result<Vec<u32>> {
    let g = Graph::new();
    let y = (g.input("x", [33]) * factor).exp();
    let plan = Plan::compile(gpu, &[("y", y)], &CompileOptions::default())?;
    let x = Tensor::from_slice(gpu, "x", &[33], &(0..33).map(|i| i as f32 / 33.0).collect::<Vec<_>>())?;
    let mut session = Session::new(&plan, Bindings::new().tensor("x", &x))?;
    session.run(1)?;
    session.check()?;
    Ok(session.read::<f32>("y")?.wait()?.into_iter().map(f32::to_bits).collect())
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).map(|entries| entries.filter_map(|entry| Some(entry.ok()?.path())).collect());
    entries.unwrap_or_default()
}

#[test]
fn a_plan_leaves_one_file_and_the_next_process_starts_from_it() -> Result<()> {
    let folder = folder("one");
    let first = with_cache(&folder);
    assert_eq!(files(&folder).len(), 0, "nothing is written before something is compiled");
    let want = answer(&first, 0.5)?;
    assert_eq!(files(&folder).len(), usize::from(has_cache(&first)), "{:?}", files(&folder));
    drop(first);
    let second = with_cache(&folder);
    assert_eq!(answer(&second, 0.5)?, want);
    assert_ne!(answer(&second, 0.25)?, want, "the control");
    drop(second);
    assert_eq!(files(&folder).len(), usize::from(has_cache(&with_cache(&folder))));
    Ok(())
}

#[test]
fn two_devices_share_a_file_and_write_it_at_once() -> Result<()> {
    let folder = folder("two");
    let gpus = [with_cache(&folder), with_cache(&folder)];
    let want = answer(&common::fresh(|options| options.tier = Tier::Native), 0.7)?;
    std::thread::scope(|scope| {
        for gpu in &gpus {
            let want = &want;
            scope.spawn(move || {
                for _ in 0..3 {
                    assert_eq!(&answer(gpu, 0.7).expect("an answer"), want);
                }
            });
        }
    });
    let had = has_cache(&gpus[0]);
    drop(gpus);
    assert_eq!(files(&folder).len(), usize::from(had), "no partial file is left: {:?}", files(&folder));
    assert_eq!(answer(&with_cache(&folder), 0.7)?, want);
    Ok(())
}

#[test]
fn a_file_that_is_damaged_or_foreign_is_passed_over_and_replaced() -> Result<()> {
    let folder = folder("damaged");
    let want = answer(&with_cache(&folder), 0.9)?;
    let Some(file) = files(&folder).pop() else { return Ok(()) };
    let whole = fs::read(&file).expect("the file");
    let mut changed = whole.clone();
    let last = changed.len() - 1;
    changed[last] ^= 0x40;
    let foreign = b"ergodic-pipelines 1 0123456789abcdef 0000000000000000 4\nJUNK".to_vec();
    for damaged in [whole[..whole.len() / 2].to_vec(), changed, foreign, vec![], vec![0xff; 4096]] {
        fs::write(&file, &damaged).expect("a damaged file");
        assert_eq!(answer(&with_cache(&folder), 0.9)?, want);
        let after = fs::read(&file).expect("the file");
        assert!(after != damaged && after.starts_with(b"ergodic-pipelines 1 "), "{} bytes", after.len());
    }
    Ok(())
}

#[test]
fn a_folder_that_cannot_be_made_changes_nothing_but_the_log() -> Result<()> {
    let folder = folder("unwritable");
    fs::create_dir_all(&folder).expect("a folder");
    let taken = folder.join("taken");
    fs::write(&taken, b"a file").expect("a file");
    let want = answer(&with_cache(&folder), 1.1)?;
    assert_eq!(answer(&with_cache(&taken.join("below")), 1.1)?, want);
    assert_eq!(fs::read(&taken).expect("the file"), b"a file");
    Ok(())
}

/// A device as a host makes it.
fn host(features: wgpu::Features) -> Gpu {
    let adapter = pollster::block_on(ergodic::gpu::adapters()).into_iter().next().expect("the tests need an adapter");
    let required_features = features & adapter.features();
    let wanted = wgpu::DeviceDescriptor { required_features, ..Default::default() };
    let (device, queue) = pollster::block_on(adapter.request_device(&wanted)).expect("a device");
    Gpu::from_wgpu(adapter.get_info(), device, queue, PollMode::Host).expect("a wrapped device")
}

#[test]
fn on_a_hosts_device_nothing_is_written_unless_it_has_the_feature_and_names_a_folder() -> Result<()> {
    let compiled = |gpu: &Gpu| {
        let text = "@group(0) @binding(0) var<storage, read_write> x: array<f32>;\n\
            @compute @workgroup_size(64) fn main() { x[0] = 1.25; }";
        gpu.pipeline(&common::kernel("host", text, &[Binding::ReadWrite])).map(drop)
    };
    let folder = folder("host");
    let without = host(wgpu::Features::empty());
    assert!(!without.keep_pipelines(&folder), "the device has no such feature");
    compiled(&without)?;
    drop(without);
    assert_eq!(files(&folder).len(), 0);
    let silent = host(wgpu::Features::PIPELINE_CACHE);
    compiled(&silent)?;
    drop(silent);
    assert_eq!(files(&folder).len(), 0, "nobody named a folder");
    let asked = host(wgpu::Features::PIPELINE_CACHE);
    let kept = asked.keep_pipelines(&folder);
    assert_eq!(kept, has_cache(&asked));
    compiled(&asked)?;
    drop(asked);
    assert_eq!(files(&folder).len(), usize::from(kept), "written when the last handle goes");
    Ok(())
}

#[test]
fn texts_of_kernels_are_kept_once_each_and_a_folder_that_cannot_be_is_named() -> Result<()> {
    let folder = folder("texts");
    let gpu = common::fresh(|options: &mut GpuOptions| options.shader_texts = Some(folder.clone()));
    let twice = [answer(&gpu, 0.62)?, answer(&gpu, 0.62)?];
    assert_eq!(twice[0], twice[1]);
    let files = || fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
    let before = files();
    assert!(!before.is_empty() && before.iter().all(|file| fs::read_to_string(file).unwrap().contains("fn main(")));
    answer(&gpu, 0.63)?;
    assert!(files().len() > before.len(), "another factor is another text");
    // A file stands where the folder should be.
    let error = gpu.keep_texts(&before[0]).unwrap_err().to_string();
    assert!(error.contains(&before[0].display().to_string()), "{error}");
    Ok(())
}
