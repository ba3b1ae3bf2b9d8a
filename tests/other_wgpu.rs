//! A host that is built on another version of wgpu: what the compiler says to it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// As much of another wgpu as a host needs for its first call.
const OTHER: &str = "pub struct AdapterInfo; pub struct Device; pub struct Queue;";

const HOST: &str = "
use ergodic::gpu::{Gpu, PollMode};
pub fn embed(info: wgpu::AdapterInfo, device: wgpu::Device, queue: wgpu::Queue) -> ergodic::Result<Gpu> {
    Gpu::from_wgpu(info, device, queue, PollMode::Host)
}";

/// The library that this test is linked with: the newest beside it.
fn ergodic() -> PathBuf {
    let deps = std::env::current_exe().expect("the path of this test").parent().expect("a folder").to_path_buf();
    let files = std::fs::read_dir(&deps).expect("its folder").filter_map(|entry| Some(entry.ok()?.path()));
    let is_ours = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        name.starts_with("libergodic-") && name.ends_with(".rlib")
    };
    let age = |path: &PathBuf| path.metadata().and_then(|data| data.modified()).expect("a time");
    files.filter(is_ours).max_by_key(age).expect("the library is built")
}

fn rustc(folder: &Path, name: &str, source: &str, externs: &[(&str, PathBuf)]) -> Output {
    let file = folder.join(format!("{name}.rs"));
    std::fs::write(&file, source).expect("a folder to write to");
    let mut command = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    command
        .args(["--edition", "2024", "--crate-type", "rlib", "--crate-name", name, "--out-dir"])
        .arg(folder)
        .arg(file);
    for (name, path) in externs {
        command.arg("--extern").arg(format!("{name}={}", path.display()));
    }
    let deps = ergodic();
    command.arg("-L").arg(format!("dependency={}", deps.parent().expect("a folder").display()));
    command.output().expect("rustc runs")
}

#[test]
fn a_host_on_another_wgpu_is_told_which_one_to_take() {
    let folder = std::env::temp_dir().join(format!("ergodic-wgpu-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let other = rustc(&folder, "wgpu", OTHER, &[]);
    assert!(other.status.success(), "{}", String::from_utf8_lossy(&other.stderr));
    let stranger = ("wgpu", folder.join("libwgpu.rlib"));
    let host = rustc(&folder, "host", HOST, &[("ergodic", ergodic()), stranger]);
    let said = String::from_utf8_lossy(&host.stderr);
    assert!(!host.status.success(), "a host on another wgpu compiles");
    for handle in ["AdapterInfo", "Device", "Queue"] {
        let message = format!("ergodic is built on wgpu 30, and this `wgpu::{handle}` is not its");
        assert!(said.contains(&message), "{said}");
    }
    assert!(said.contains("write `ergodic::wgpu` in place of `wgpu`, or ask for wgpu 30 in Cargo.toml"), "{said}");
    // The control: with the wgpu that the crate re-exports the same host compiles.
    let same = rustc(&folder, "host", &format!("use ergodic::wgpu;{HOST}"), &[("ergodic", ergodic())]);
    assert!(same.status.success(), "{}", String::from_utf8_lossy(&same.stderr));
    let _ = std::fs::remove_dir_all(&folder);
}

#[test]
fn the_message_names_the_wgpu_that_the_crate_asks_for() {
    let manifest = include_str!("../Cargo.toml");
    let wanted = manifest.lines().find(|line| line.starts_with("wgpu = ")).expect("a dependency");
    assert!(wanted.contains("\"30") && include_str!("../src/gpu/host.rs").contains("wgpu 30,"), "{wanted}");
}
