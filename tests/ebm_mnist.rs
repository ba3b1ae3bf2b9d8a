//! The example `ebm_mnist` as a user meets it: what it leaves, what a kill costs, and what it says to bad input.
#![cfg(feature = "report")]

#[path = "common/child.rs"]
#[allow(dead_code, reason = "each test binary uses a part of it")]
mod child;
#[path = "../examples/ebm_mnist/main.rs"]
#[allow(dead_code, reason = "its main is the example's")]
mod example;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ergodic::data::file;
use ergodic::report::{Args, Checkpoint, Metrics, Preset};
use ergodic::{Error, Result};

/// Sizes at which a run takes seconds; the methods and the plan are those of the preset.
const TINY: [&str; 9] = [
    "train.walkers=48",
    "train.data_batch=32",
    "train.sub_steps=2",
    "hidden=[8]",
    "coordinates=components(4)",
    "digits=[(2, 400), (3, 200), (6, 100)]",
    "classifier.steps=200",
    "report_every=10",
    "checkpoint_s=0.0",
];

fn arguments(out: &Path, more: &[&str]) -> Vec<String> {
    let fixed =
        ["ebm_mnist", "--cache", "off", "--out"].map(String::from).into_iter().chain([out.display().to_string()]);
    let set = TINY.iter().flat_map(|set| ["--set".to_string(), set.to_string()]);
    fixed.chain(set).chain(more.iter().map(|s| s.to_string())).collect()
}

fn run(out: &Path, more: &[&str]) -> Result<Metrics> {
    let ended = example::run(&Args::parse_from("ebm_mnist", "", arguments(out, more)).expect("flags"))?;
    Ok(ended.expect("nobody interrupts this process"))
}

fn error(out: &Path, more: &[&str]) -> Error {
    run(out, more).expect_err("this run must not succeed")
}

fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("ergodic-ebm-mnist-{}-{name}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    folder
}

/// What a child process of the kill test does; nothing in an ordinary run of the tests.
#[test]
fn child_process() {
    if let Some(arguments) = child::arguments() {
        example::run(&Args::parse_from("ebm_mnist", "", arguments).expect("flags")).expect("a child's run");
    }
}

fn spawn(arguments: &[String]) -> Child {
    child::command(arguments).stdout(Stdio::null()).spawn().expect("a child")
}

/// Waits until the checkpoint is another one than `before`, then kills the child without notice.
fn kill_after_a_checkpoint(mut child: Child, checkpoint: &Path, before: Option<Vec<u8>>) -> Vec<u8> {
    let started = Instant::now();
    let there = loop {
        match std::fs::read(checkpoint) {
            Ok(bytes) if before.as_ref() != Some(&bytes) => break bytes,
            _ => {}
        }
        assert!(started.elapsed() < Duration::from_secs(300), "no checkpoint after five minutes");
        assert!(child.try_wait().expect("a child").is_none(), "the child ended before it was killed");
        std::thread::sleep(Duration::from_millis(2));
    };
    child.kill().expect("a child to kill");
    let status = child.wait().expect("a child");
    assert!(!status.success(), "the child ended before it was killed");
    there
}

/// Waits until there is a checkpoint, does something to the child, and waits for its end.
fn wait_for(mut child: Child, checkpoint: &Path, then: impl FnOnce()) -> std::process::ExitStatus {
    let started = Instant::now();
    while !checkpoint.exists() {
        assert!(started.elapsed() < Duration::from_secs(300), "no checkpoint after five minutes");
        assert!(child.try_wait().expect("a child").is_none(), "the child ended early");
        std::thread::sleep(Duration::from_millis(2));
    }
    then();
    child.wait().expect("a child")
}

#[test]
fn a_killed_run_goes_on_to_the_same_bits() {
    let (whole, killed) = (folder("whole"), folder("killed"));
    let sizes = ["--set", "train.iterations=600", "--set", "train.observers=16"];
    let metrics = run(&whole, &sizes).expect("a run in one go");

    let checkpoint = killed.join("checkpoint.safetensors");
    let first = kill_after_a_checkpoint(spawn(&arguments(&killed, &sizes)), &checkpoint, None);
    let resume = [&sizes[..], &["--resume"]].concat();
    kill_after_a_checkpoint(spawn(&arguments(&killed, &resume)), &checkpoint, Some(first));
    let resumed = run(&killed, &resume).expect("a resumed run");

    let (a, b) = (bits(&whole), bits(&killed));
    for (name, (a, b)) in STATES.iter().zip(a.iter().zip(&b)) {
        assert!(a == b, "{name} differs");
    }
    let history = |folder: &Path| file::read(folder.join("history.csv")).expect("a history");
    assert!(history(&whole) == history(&killed), "the histories differ");
    assert_eq!(metrics.get("log_z"), resumed.get("log_z"));

    // The control: the comparison sees another seed.
    let other = folder("other");
    run(&other, &[&sizes[..], &["--seed", "1"]].concat()).expect("a run with another seed");
    assert!(bits(&whole)[0] != bits(&other)[0], "the walkers of another seed are others");

    let foreign = error(&killed, &[&resume[..], &["--set", "train.walkers=50"]].concat());
    assert!(matches!(&foreign, Error::Checkpoint { .. }), "{foreign}");
}

/// What decides how a run goes on; `theta.v` is Adam's.
const STATES: [&str; 6] = ["weighted.x", "weighted.a", "weighted.a.low", "weighted.theta", "pcd.x", "pcd.theta"];

/// Their bits in the last checkpoint of a folder.
fn bits(folder: &Path) -> Vec<Vec<u32>> {
    let checkpoint = Checkpoint::read(folder.join("checkpoint.safetensors")).expect("a checkpoint");
    assert_eq!(checkpoint.step(), 600);
    let layout = ergodic::nn::Mlp::new(&[4, 8, 1], ergodic::nn::Activation::Silu).expect("a network");
    let parameters = layout.without_output_bias().layout().len();
    // 48 walkers, and beside them 16 observers.
    let shape = |name: &str| match name.split_once('.') {
        Some((_, "x")) => vec![64, 4],
        Some((_, "theta")) => vec![parameters],
        _ => vec![48],
    };
    let read = |name: &&str| checkpoint.get::<f32>(name, &shape(name)).expect("a state");
    STATES.iter().map(|name| read(name).into_iter().map(f32::to_bits).collect()).collect()
}

#[test]
fn an_interrupt_stops_with_everything_on_disk_and_the_run_goes_on() {
    let (whole, stopped) = (folder("uninterrupted"), folder("stopped"));
    let sizes = ["--set", "train.iterations=600", "--set", "train.observers=16"];
    run(&whole, &sizes).expect("a run in one go");
    let child = spawn(&arguments(&stopped, &sizes));
    let (id, checkpoint) = (child.id().to_string(), stopped.join("checkpoint.safetensors"));
    let status = wait_for(child, &checkpoint, || {
        assert!(Command::new("kill").args(["-INT", &id]).status().expect("kill").success());
    });
    assert!(status.success(), "an interrupt is no failure: {status}");
    let step = Checkpoint::read(&checkpoint).expect("a whole checkpoint").step();
    assert!(step < 600, "the child ended before it was interrupted");
    assert!(!stopped.join("metrics.json").exists());
    run(&stopped, &[&sizes[..], &["--resume"]].concat()).expect("a resumed run");
    assert!(bits(&whole) == bits(&stopped), "the walkers differ");
}

#[test]
fn a_run_leaves_its_numbers_and_pictures() {
    let out = folder("leaves");
    let metrics = run(&out, &["--set", "train.iterations=40", "--set", "train.observers=32"]).expect("a run");
    let names = ["cross_entropy", "log_z", "log_z_se", "ess", "classifier_accuracy", "walker_steps_per_s"];
    let masses = ["mass_2", "mass_3", "mass_6", "mass_error_max"];
    let of_each = ["weighted", "pcd"].into_iter().flat_map(|side| masses.map(|mass| format!("{side}.{mass}")));
    for name in of_each.chain(names.map(String::from)).chain([
        "weighted.model_mass_2".into(),
        "pcd.model_mass_error_rms".into(),
        "feedback".into(),
    ]) {
        assert!(metrics.get(&name).is_some_and(f64::is_finite), "{name}: {:?}", metrics.get(&name));
    }
    for side in ["weighted", "pcd"] {
        // Every walker is given one digit, and weights are normalised: the sum of three f64 numbers is 1 to rounding.
        let sum: f64 =
            [2, 3, 6].map(|digit| metrics.get(&format!("{side}.mass_{digit}")).expect("a mass")).iter().sum();
        assert!((sum - 1.0).abs() < 1e-12, "{side} {sum}");
    }
    // Always saying 2 is right on 1032 of the 3000 unseen digits.
    let accuracy = metrics.get("classifier_accuracy").expect("set");
    assert!(accuracy > 0.6, "{accuracy}");
    let seconds = |name: &str| metrics.get(name).expect("seconds");
    assert!(0.0 < seconds("compile_s") && seconds("compile_s") < seconds("wall_s"));
    assert!(0.0 < seconds("start_s") && seconds("start_s") < seconds("wall_s"));
    for file in ["walkers.png", "masses.png", "history.png", "history.csv", "config.ron", "plan.txt", "metrics.json"] {
        assert!(out.join(file).exists(), "{file}");
    }
}

#[test]
fn bad_input_is_named() {
    let out = folder("bad");
    let text = |more: &[&str]| error(&out, more).to_string();
    let unknown = error(&out, &["--set", "train.walker=64"]);
    assert!(matches!(&unknown, Error::Config { .. }), "{unknown}");
    assert!(unknown.to_string().contains("walkers"), "{unknown}");
    for (set, said) in [
        ("train.walkers=0", "train.walkers: is 0"),
        ("train.step_size=0.0", "train.step_size: is 0"),
        ("coordinates=components(0)", "0 components"),
        ("coordinates=components(800)", "800"),
        ("noise=-0.1", "noise: is -0.1"),
        ("train.walkers=2.5", "wrong type"),
        ("digits=[(2, 400), (3, 100000)]", "100000 of digit 3"),
    ] {
        let got = text(&["--set", set]);
        assert!(got.contains(said), "{set}: {got}");
    }
    assert!(!out.exists(), "a refused preset must not leave a folder");
}

#[test]
fn walkers_over_memory_are_refused_before_the_host_makes_room_for_them() {
    let refused = error(&folder("memory"), &["--set", "train.walkers=1000000000000"]);
    assert!(matches!(&refused, Error::BindingTooLarge { name, .. } if name == "walkers"), "{refused}");
}

#[test]
fn data_that_is_missing_or_cut_short_is_named() {
    let (out, data) = (folder("no-data-out"), folder("data"));
    let set = format!("folder=\"{}\"", data.display());
    let missing = error(&out, &["--set", &set]);
    assert!(matches!(&missing, Error::Io { verb: "read", file, .. } if file.starts_with(&data)), "{missing}");
    std::fs::create_dir_all(&data).expect("a folder");
    for name in ["train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"] {
        let bytes = file::read(file::find(format!("assets/data/mnist/{name}"))).expect("the data");
        std::fs::write(data.join(name), &bytes[..bytes.len() / 2]).expect("half of it");
    }
    let cut = error(&out, &["--set", &set]);
    assert!(matches!(&cut, Error::Data { file, .. } if file.starts_with(&data)), "{cut}");
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let blocked = folder("blocked");
    std::fs::write(&blocked, "a file where the folder should be").expect("a file");
    let refused = error(&blocked.join("out"), &["--set", "train.iterations=10"]);
    assert!(matches!(&refused, Error::Io { .. }), "{refused}");
}

#[test]
fn every_preset_is_understood() {
    for entry in std::fs::read_dir(file::find("assets/presets/ebm_mnist")).expect("the presets") {
        let path = entry.expect("a preset").path();
        let preset: Preset<example::config::Config> =
            Preset::load(&path, &[]).unwrap_or_else(|error| panic!("{error}"));
        example::config::check(&preset).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
}
