//! The example `embed_in_host`, as a host application runs it.
#![cfg(feature = "report")]

#[path = "../examples/embed_in_host/main.rs"]
#[allow(dead_code, reason = "main is the program's own")]
mod example;

use example::{Args, run};

#[test]
fn walkers_on_a_hosts_device_spread_over_both_wells_and_every_frame_shows_them() {
    let out = std::env::temp_dir().join(format!("ergodic-embed-{}", std::process::id()));
    let (walkers, frames) = (4096, 3);
    let args = Args { walkers, frames, steps: 2000, out: out.clone(), window: false };
    let crossed = run(&args).expect("a run");
    // 30 units of time are many crossings of a barrier of 2 kT: independent walkers, half of them on either side.
    let se = 0.5 / (walkers as f64).sqrt();
    assert!((crossed - 0.5).abs() < 4.0 * se, "{crossed}");
    // The control: within 20 steps hardly any has crossed.
    let soon = run(&Args { steps: 5, ..args }).expect("a run");
    assert!(soon < 0.1, "{soon}");
    let size = |frame: usize| std::fs::metadata(out.join(format!("frame_{frame:03}.png"))).expect("a frame").len();
    // A black picture of 512 x 512 takes some three kilobytes as PNG, thousands of points ten times as much.
    assert!((0..frames).all(|frame| size(frame) > 10_000), "{}", size(0));
    let _ = std::fs::remove_dir_all(out);
}
