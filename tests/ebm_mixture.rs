//! The example `ebm_mixture` as a user meets it: bad input of every kind, an interrupt, and a run that overflows.
#![cfg(feature = "report")]

#[path = "common/child.rs"]
#[allow(dead_code, reason = "each test binary uses a part of it")]
mod child;
#[path = "../examples/ebm_mixture/main.rs"]
#[allow(dead_code, reason = "its main is the example's")]
mod example;

use std::path::{Path, PathBuf};

use ergodic::data::{file, table};
use ergodic::report::{Args, Checkpoint, Metrics};
use ergodic::{Error, Fault, NonFinite, Result};

/// A quadratic protocol that takes less than a second.
const TINY: [&str; 2] = ["quadratic.walkers=200", "quadratic.d=2"];

/// A command line with these overrides, then `more`.
fn arguments(preset: &str, out: &Path, sets: &[&str], more: &[&str]) -> Vec<String> {
    let config = file::find(format!("assets/presets/ebm_mixture/{preset}.ron")).display().to_string();
    let fixed = ["ebm_mixture".into(), "--config".into(), config, "--out".into(), out.display().to_string()];
    let set = sets.iter().flat_map(|set| ["--set".to_string(), set.to_string()]);
    let fixed = fixed.into_iter().chain(["--cache", "off"].map(String::from));
    fixed.chain(set).chain(more.iter().map(|s| s.to_string())).collect()
}

fn start(arguments: impl IntoIterator<Item = impl Into<std::ffi::OsString> + Clone>) -> Result<()> {
    example::run(&Args::parse_from("ebm_mixture", "", arguments).expect("flags"))
}

fn quadratic(out: &Path, sets: &[&str], more: &[&str]) -> Result<()> {
    start(arguments("quadratic", out, &[&TINY[..], sets].concat(), more))
}

fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("ergodic-ebm-mixture-{}-{name}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    folder
}

/// What a child process does; nothing in an ordinary run of the tests.
#[test]
fn child_process() {
    let Some(arguments) = child::arguments() else { return };
    if let Err(error) = start(arguments) {
        println!("{error}");
        std::process::exit(3);
    }
}

#[test]
fn a_preset_that_makes_no_sense_is_refused_at_its_field_before_anything_is_written() {
    let out = folder("bad");
    let walkers = "--set: quadratic.walkers: is 0, but must be at least 1";
    for (preset, set, said) in [
        ("quadratic", "quadratic.walker=64", "--set: quadratic.walker: is not a field here; did you mean `walkers`?"),
        ("quadratic", "quadratic.walkers=many", "--set: quadratic.walkers: `many` is not an integer"),
        ("quadratic", "quadratic.walkers=2.5", "--set: quadratic.walkers: `2.5` has the wrong type"),
        ("quadratic", "quadratic.walkers=0", walkers),
        ("quadratic", "quadratic.d=0", "--set: quadratic.d: is 0, but must be at least 1"),
        ("quadratic", "quadratic.steps=0", "--set: quadratic.steps: is 0, but must be at least 1"),
        ("quadratic", "quadratic.steps=100000000", "--set: quadratic.steps: is 100000000, but must be below 2^24"),
        ("quadratic", "quadratic.step_size=0.0", "--set: quadratic.step_size: is 0, but must be a positive number"),
        ("quadratic", "quadratic.step_size=-0.1", "--set: quadratic.step_size: is -0.1, but must be a positive number"),
        ("quadratic", "quadratic.step_size=NaN", "--set: quadratic.step_size: is NaN, but must be a positive number"),
        ("quadratic", "quadratic.omega=(1.0, 0.0)", "--set: quadratic.omega: must be a positive number at both ends"),
        ("quick", "wells.train.walkers=0", "--set: wells.train.walkers: is 0, but must be at least 1"),
        ("quick", "wells.train.step_size=0.0", "--set: wells.train.step_size: is 0, but must be a positive number"),
        ("quick", "wells.d=0", "--set: wells.d: is 0, but must be at least 1"),
        ("quick", "wells.n_data=0", "--set: wells.n_data: is 0, but must be at least 1"),
        ("quick", "wells.mass_1=1.5", "--set: wells.mass_1: must be above 0 and below 1"),
    ] {
        let error = start(arguments(preset, &out, &[set], &[])).expect_err(set);
        assert!(matches!(error, Error::Config { .. }), "{set}: {error}");
        assert!(error.to_string().starts_with(said), "{set}: {error}");
    }
    assert!(!out.exists(), "a refused preset must not leave a folder");
}

#[test]
fn more_walkers_than_fit_are_refused_before_the_host_makes_room_for_them() {
    // 2^43 bytes and more: to fill an array of them first would end the process.
    let out = folder("memory");
    for (preset, set) in [
        ("quadratic", "quadratic.walkers=1000000000000"),
        ("quadratic", "quadratic.walkers=18446744073709551615"),
        ("quick", "wells.train.walkers=1000000000000"),
        ("quick", "wells.n_data=1000000000000"),
    ] {
        let error = start(arguments(preset, &out, &[set], &[])).expect_err(set);
        assert!(matches!(error, Error::BindingTooLarge { .. }), "{set}: {error}");
        assert!(error.to_string().contains("split its"), "{set}: {error}");
    }
}

#[test]
fn an_adapter_that_is_not_there_is_named_with_those_that_are() {
    let error = quadratic(&folder("adapter"), &[], &["--adapter", "abacus"]).unwrap_err().to_string();
    assert!(error.starts_with("no adapter matches `abacus`; this machine offers: "), "{error}");
    assert!(error.ends_with("\n  name one of these, or ask for `best` or `software`"), "{error}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_machine_without_a_driver_is_told_which_package_has_one() {
    // The loader looks for drivers in these lists alone where they are set; the older name is for older loaders.
    let out = folder("driver");
    let mut command = child::command(&arguments("quadratic", &out, &TINY, &[]));
    let command = command.env("VK_DRIVER_FILES", "/no/such.json").env("VK_ICD_FILENAMES", "/no/such.json");
    let output = command.output().expect("a child");
    assert_eq!(output.status.code(), Some(3));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let want = "no adapter matches `best`; this machine offers: nothing\n  install a driver; software ones are \
                mesa-vulkan-drivers (Debian, Ubuntu, Fedora) and vulkan-swrast (Arch)";
    assert!(said.contains(want), "{said}");
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let blocked = folder("blocked");
    std::fs::write(&blocked, "a file where the folder should be").expect("a file");
    let error = quadratic(&blocked.join("out"), &[], &[]).unwrap_err();
    assert!(matches!(&error, Error::Io { verb: "create", file, .. } if file.starts_with(&blocked)), "{error}");
    // A file that is there but cannot be replaced: a folder in its place.
    for name in ["config.ron", "history.csv", "metrics.json"] {
        let out = folder("taken");
        std::fs::create_dir_all(out.join(name).join("full")).expect("a folder");
        let error = quadratic(&out, &[], &[]).unwrap_err();
        assert!(matches!(&error, Error::Io { file, .. } if *file == out.join(name)), "{name}: {error}");
    }
}

#[test]
fn a_run_that_overflows_names_iteration_and_walker_and_leaves_all_before_it() {
    let out = folder("overflow");
    // Ten stiffer at each step; a step of 0.1 is stable up to a stiffness of 20, and beyond throws walkers ever further out.
    let error = quadratic(&out, &["quadratic.omega=(1.0, 1e3)", "quadratic.steps=100"], &[]).unwrap_err();
    let Error::Fault { word: Fault::NON_FINITE, step, first: Some(NonFinite { whose, row, .. }) } = &error else {
        panic!("{error}")
    };
    assert!(whose.ends_with("of walker") && *row < 200, "{error}");
    // Two iterations a look: the last line and the checkpoint are those of the look before.
    let before = (step - 1) / 2 * 2;
    let history = table::read(out.join("history.csv")).expect("a history");
    let steps = history.column("step").expect("steps");
    assert!(before > 0 && steps.last() == Some(&(before as f64)), "{error}: {steps:?}");
    assert!(history.column("log_z").expect("log Z").iter().all(|z| z.is_finite()));
    assert_eq!(Checkpoint::read(out.join("checkpoint.safetensors")).expect("a checkpoint").step(), before);
    assert!(!out.join("metrics.json").exists(), "a failed run has found nothing");
    // To go on from there leads to the same place.
    let again = quadratic(&out, &["quadratic.omega=(1.0, 1e3)", "quadratic.steps=100"], &["--resume"]).unwrap_err();
    assert_eq!(again.to_string(), error.to_string());
}

#[test]
fn a_checkpoint_of_another_run_is_refused_with_what_disagrees() {
    let out = folder("foreign");
    quadratic(&out, &[], &[]).expect("a run");
    let path = out.join("checkpoint.safetensors");
    let whole = Checkpoint::read(&path).expect("a checkpoint");
    let refused = |checkpoint: Checkpoint, sets: &[&str]| {
        checkpoint.write(&path).expect("a file");
        let error = quadratic(&out, sets, &["--resume"]).unwrap_err();
        assert!(matches!(error, Error::Checkpoint { .. }), "{error}");
        error.to_string()
    };
    let other = refused(whole.clone(), &["quadratic.m=(0.0, 2.0)"]);
    assert!(other.contains("was written with config ") && other.contains("or start without --resume"), "{other}");
    let graph = refused(whole.clone().text("path.plan", "0123"), &[]);
    assert!(graph.contains("was written with path.plan 0123; this run has "), "{graph}");
    let shape = refused(whole.clone().array("path/x", &[1, 2], &[0f32; 2]).expect("an array"), &[]);
    assert!(shape.contains("`path/x` is F32 [1, 2]; this run needs F32 [200, 2]"), "{shape}");
    let bytes = file::read(&path).expect("bytes");
    std::fs::write(&path, &bytes[..bytes.len() / 2]).expect("half a file");
    let cut = quadratic(&out, &[], &["--resume"]).unwrap_err().to_string();
    assert!(cut.contains("is damaged or cut short") && cut.contains("start without --resume"), "{cut}");
    // The control: the checkpoint as it was is taken.
    whole.write(&path).expect("a file");
    quadratic(&out, &[], &["--resume"]).expect("a run that goes on");
}

#[cfg(unix)]
#[test]
fn an_interrupt_stops_with_everything_on_disk_and_the_run_goes_on_to_the_same_numbers() {
    let (whole, stopped) = (folder("whole"), folder("stopped"));
    let sets = [&TINY[..], &["quadratic.steps=20000"]].concat();
    start(arguments("quadratic", &whole, &sets, &[])).expect("a run in one go");
    let run = arguments("quadratic", &stopped, &sets, &[]);
    let said = child::interrupted_after(&stopped.join("checkpoint.safetensors"), &run);
    let step = Checkpoint::read(stopped.join("checkpoint.safetensors")).expect("a whole checkpoint").step();
    assert!(step < 20_000, "the child ended before it was interrupted");
    assert!(said.contains(&format!("stopped after step {step}; add --resume to go on from ")), "{said}");
    assert!(!stopped.join("metrics.json").exists());
    let steps = table::read(stopped.join("history.csv")).expect("a history").column("step").expect("steps");
    assert_eq!(steps.last(), Some(&(step as f64)));

    start(arguments("quadratic", &stopped, &sets, &["--resume"])).expect("a resumed run");
    let metrics = |out: &Path| Metrics::read(out.join("metrics.json")).expect("metrics");
    assert_eq!(metrics(&whole).get("log_z"), metrics(&stopped).get("log_z"));
    let history = |out: &Path| file::read(out.join("history.csv")).expect("a history");
    assert!(history(&whole) == history(&stopped), "the histories differ");
}
