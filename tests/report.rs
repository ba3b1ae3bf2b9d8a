//! What a run leaves survives a kill: metrics, history and checkpoint are whole, and the next run goes on from them.
#![cfg(feature = "report")]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ergodic::Error;
use ergodic::data::table;
use ergodic::report::{Args, Checkpoint, History, Metrics, Preset, Progress, Run};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Problem {
    walkers: usize,
}

const TEXT: &str = "(walkers: 64)";

/// An empty folder of this test's own.
fn folder(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("ergodic-report-{}-{name}", std::process::id()));
    let _ = fs::remove_dir_all(&path);
    fs::create_dir_all(&path).unwrap();
    path
}

/// What lies in a folder, sorted.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = entries.collect();
    names.sort();
    names
}

#[test]
fn metrics_keep_their_order_and_their_bits() {
    let path = folder("metrics").join("metrics.json");
    let mut metrics = Metrics::default();
    metrics.set("z", 0.1 + 0.2).set("a", f64::NAN).set("n", 4096.0).set("z", 1e300);
    metrics.write(&path).unwrap();
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(text, "{\n  \"z\": 1e+300,\n  \"a\": null,\n  \"n\": 4096.0\n}\n");
    assert_eq!(metrics.not_finite(), ["a"]);
    let back = Metrics::read(&path).unwrap();
    assert_eq!((back.get("z"), back.get("a").map(f64::is_nan), back.get("b")), (Some(1e300), Some(true), None));
    fs::write(&path, "{\n  \"z\": [1]\n}").unwrap();
    let wrong = Metrics::read(&path).unwrap_err().to_string().replace(path.to_str().unwrap(), "FILE");
    assert!(wrong.starts_with("FILE at byte 9: is not an object of numbers: invalid type: sequence"), "{wrong}");
}

#[test]
fn a_failed_write_keeps_the_metrics_that_were_there() {
    let folder = folder("readonly");
    let path = folder.join("metrics.json");
    let mut metrics = Metrics::default();
    metrics.set("log_z", 1.0).write(&path).unwrap();
    // A folder under the temporary file's name stands in for a full disk, for a user who may write anywhere.
    let blocked = folder.join(format!(".partial-{}-metrics.json", std::process::id()));
    fs::create_dir(&blocked).unwrap();
    let error = metrics.set("log_z", 2.0).write(&path).unwrap_err().to_string();
    assert!(error.starts_with(&format!("cannot write {}: Is a directory (os error 21)\n", path.display())), "{error}");
    assert_eq!(Metrics::read(&path).unwrap().get("log_z"), Some(1.0));
}

#[test]
fn a_history_goes_on_after_the_checkpoint_as_if_never_killed() {
    let folder = folder("history");
    let (whole, killed) = (folder.join("whole.csv"), folder.join("killed.csv"));
    let value = |step: u64| [1.0 / (step + 1) as f64, if step == 2 { f64::NAN } else { step as f64 * 1e20 }];
    let write = |history: &mut History, steps: std::ops::Range<u64>| {
        steps.for_each(|step| history.append(step, &value(step)).unwrap());
    };
    write(&mut History::create(&whole, &["ess", "u"]).unwrap(), 0..6);
    write(&mut History::create(&killed, &["ess", "u"]).unwrap(), 0..5);
    // Killed in the middle of a line, after the checkpoint of step 2.
    fs::OpenOptions::new().append(true).open(&killed).unwrap().write_all(b"5,0.1").unwrap();
    let mut history = History::resume(&killed, &["ess", "u"], 2).unwrap();
    assert_eq!(fs::read_to_string(&killed).unwrap(), "step,ess,u\n0,1,0\n1,0.5,1e20\n2,0.3333333333333333,\n");
    write(&mut history, 3..6);
    assert_eq!(fs::read(&killed).unwrap(), fs::read(&whole).unwrap());
    let ess = table::read(&killed).unwrap().column("ess").unwrap();
    assert_eq!(ess, (0..6).map(|step| value(step)[0]).collect::<Vec<_>>(), "numbers read back to the same bits");
}

#[test]
fn a_history_of_other_columns_is_refused_and_kept() {
    let path = folder("columns").join("history.csv");
    History::create(&path, &["ess"]).unwrap().append(0, &[1.0]).unwrap();
    let before = fs::read(&path).unwrap();
    let error = History::resume(&path, &["ess", "kl"], 0).unwrap_err().to_string();
    let why = "at byte 0: has the columns step,ess, this run writes step,ess,kl: rename the file";
    assert_eq!(error, format!("{} {why}", path.display()));
    assert_eq!(fs::read(&path).unwrap(), before);
    let error = History::create(&path, &["ess"]).unwrap().append(0, &[1.0, 2.0]).unwrap_err().to_string();
    assert_eq!(error, "shape mismatch in `History::append`: got 2 values, want 1 columns");
    assert!(History::resume(path.with_file_name("none.csv"), &["ess"], 5).is_ok(), "no file starts one");
}

fn checkpoint() -> Checkpoint {
    let walkers = [f32::from_bits(0x7fc0_1234), -0.0, f32::MIN_POSITIVE / 2.0, 1.5];
    let checkpoint = Checkpoint::new(300).text("config", "abc").array("walkers", &[2, 2], &walkers).unwrap();
    checkpoint.array("key", &[2], &[7u32, 9]).unwrap().array("log_weights", &[2], &[1e-300f64, 2.0]).unwrap()
}

#[test]
fn a_checkpoint_keeps_every_bit() {
    let path = folder("checkpoint").join("c.safetensors");
    checkpoint().write(&path).unwrap();
    let back = Checkpoint::read(&path).unwrap();
    let bits: Vec<u32> = back.get::<f32>("walkers", &[2, 2]).unwrap().iter().map(|x| x.to_bits()).collect();
    assert_eq!(bits, [0x7fc0_1234, 0x8000_0000, (f32::MIN_POSITIVE / 2.0).to_bits(), 1.5f32.to_bits()]);
    assert_eq!(back.get::<u32>("key", &[2]).unwrap(), [7, 9]);
    assert_eq!(back.get::<f64>("log_weights", &[2]).unwrap(), [1e-300, 2.0]);
    assert_eq!((back.step(), back.get_text("config"), back.get_text("plan")), (300, Some("abc"), None));
}

#[test]
fn a_checkpoint_of_another_run_says_what_disagrees() {
    let path = folder("other").join("c.safetensors");
    checkpoint().write(&path).unwrap();
    let back = Checkpoint::read(&path).unwrap();
    let text = |error: Error| error.to_string().replace(path.to_str().unwrap(), "FILE");
    let hint = "\n  use the config.ron beside it, or start without --resume";
    let shape = text(back.get::<f32>("walkers", &[4, 2]).unwrap_err());
    assert_eq!(shape, format!("checkpoint FILE: `walkers` is F32 [2, 2]; this run needs F32 [4, 2]{hint}"));
    let dtype = text(back.get::<u32>("walkers", &[2, 2]).unwrap_err());
    assert_eq!(dtype, format!("checkpoint FILE: `walkers` is F32 [2, 2]; this run needs U32 [2, 2]{hint}"));
    let name = text(back.get::<f32>("theta", &[1]).unwrap_err());
    assert_eq!(name, format!("checkpoint FILE: has no array `theta`; it has: key, log_weights, walkers{hint}"));
    let config = text(back.expect("config", "def").unwrap_err());
    let hint = "\n  use the config.ron beside it on the same adapter, or start without --resume";
    assert_eq!(config, format!("checkpoint FILE: was written with config abc; this run has def{hint}"));
    let plan = text(back.expect("plan", "3f").unwrap_err());
    assert_eq!(plan, format!("checkpoint FILE: was written with plan nothing; this run has 3f{hint}"));
    let size = Checkpoint::new(0).array("x", &[3], &[1f32]).unwrap_err().to_string();
    assert_eq!(size, "shape mismatch in `Checkpoint::array`: got 1 values for `x`, want 3 for shape [3]");
}

#[test]
fn a_checkpoint_cut_anywhere_is_refused() {
    let path = folder("cut").join("c.safetensors");
    checkpoint().write(&path).unwrap();
    let bytes = fs::read(&path).unwrap();
    for cut in 0..bytes.len() {
        fs::write(&path, &bytes[..cut]).unwrap();
        let error = Checkpoint::read(&path).unwrap_err();
        assert!(matches!(&error, Error::Checkpoint { .. }), "cut at {cut}: {error}");
    }
    fs::write(&path, &bytes[..20]).unwrap();
    let error = Checkpoint::read(&path).unwrap_err().to_string().replace(path.to_str().unwrap(), "FILE");
    let why = "is damaged or cut short at 20 bytes: invalid header length";
    assert_eq!(error, format!("checkpoint FILE: {why}\n  delete it and start without --resume"));
}

#[test]
fn another_programs_safetensors_is_refused() {
    let path = folder("foreign").join("c.safetensors");
    let header = b"{}      ";
    fs::write(&path, [&8u64.to_le_bytes()[..], header].concat()).unwrap();
    let error = Checkpoint::read(&path).unwrap_err().to_string().replace(path.to_str().unwrap(), "FILE");
    let why = "has no step count, so it is another program's file";
    assert_eq!(error, format!("checkpoint FILE: {why}\n  move it away and start without --resume"));
}

fn args(folder: &Path, more: &[&str]) -> Args {
    let file = folder.join("p.ron");
    fs::write(&file, TEXT).unwrap();
    let out = folder.join("out");
    let all = ["demo", "--config", file.to_str().unwrap(), "--out", out.to_str().unwrap()];
    let all: Vec<String> = all.iter().chain(more).map(|s| s.to_string()).collect();
    Args::parse_from("demo", "", all).unwrap()
}

fn start(folder: &Path, more: &[&str]) -> Result<Run, Error> {
    let args = args(folder, more);
    Run::start(&args, &args.preset::<Problem>().unwrap())
}

#[test]
fn a_run_leaves_its_files_and_goes_on_from_its_checkpoint() {
    let folder = folder("run");
    let run = start(&folder, &[]).unwrap();
    assert!(run.resumed().is_none());
    let mut history = run.history(&["ess"]).unwrap();
    (0..5).for_each(|step| history.append(step, &[1.0]).unwrap());
    run.checkpoint(2).array("x", &[1], &[1f32]).unwrap().write(run.checkpoint_path()).unwrap();
    drop(run); // the kill

    let mut run = start(&folder, &["--resume"]).unwrap();
    assert_eq!(run.resumed().map(Checkpoint::step), Some(2));
    assert_eq!(run.history(&["ess"]).unwrap().table().unwrap().n_rows(), 3);
    run.metrics.set("ess", 1.0);
    run.stepped();
    std::thread::sleep(std::time::Duration::from_millis(2));
    run.stepped();
    let metrics = run.finish("ess 1").unwrap();
    let (first, all) = (metrics.get("start_s").unwrap(), metrics.get("wall_s").unwrap());
    assert!(0.0 <= first && first + 2e-3 <= all, "the first step ends the start: {first} {all}");
    let out = folder.join("out");
    assert_eq!(names(&out), ["checkpoint.safetensors", "config.ron", "history.csv", "metrics.json"]);
    assert_eq!(*Preset::<Problem>::load(out.join("config.ron"), &[]).unwrap(), Problem { walkers: 64 });
}

#[test]
fn a_run_refuses_the_checkpoint_of_another_configuration_and_changes_nothing() {
    let folder = folder("config");
    let run = start(&folder, &[]).unwrap();
    run.checkpoint(2).write(run.checkpoint_path()).unwrap();
    let before = fs::read(run.path("config.ron")).unwrap();
    let error = start(&folder, &["--resume", "--set", "walkers=65"]).unwrap_err();
    assert!(matches!(&error, Error::Checkpoint { why, .. } if why.starts_with("was written with config ")), "{error}");
    assert_eq!(fs::read(run.path("config.ron")).unwrap(), before);
    // Without --resume the run starts afresh, and the old checkpoint is kept under another name.
    assert!(start(&folder, &["--set", "walkers=65"]).unwrap().resumed().is_none());
    assert_eq!(names(run.folder()), ["checkpoint.previous.safetensors", "config.ron"]);
    assert!(start(&folder, &["--resume", "--set", "walkers=65"]).unwrap().resumed().is_none(), "none to go on from");
}

#[cfg(unix)]
#[test]
fn an_interrupt_is_a_request_and_leaves_whole_files() {
    let run = start(&folder("interrupt"), &[]).unwrap();
    assert!(!run.interrupted());
    // Without the run's handler this would end the test itself.
    let sent = std::process::Command::new("kill").args(["-INT", &std::process::id().to_string()]).status().unwrap();
    assert!(sent.success());
    let patience = std::time::Instant::now();
    while !run.interrupted() && patience.elapsed() < Duration::from_secs(10) {
        std::thread::yield_now();
    }
    assert!(run.interrupted());
    run.checkpoint(7).write(run.checkpoint_path()).unwrap();
    let path = run.checkpoint_path();
    run.stop(7);
    assert_eq!(Checkpoint::read(path).unwrap().step(), 7);
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let folder = folder("unwritable");
    fs::write(folder.join("out"), b"a file, not a folder").unwrap();
    let error = start(&folder, &[]).unwrap_err().to_string();
    let hint = "there is a file for a folder, or a folder for a file: move it away, or write elsewhere (--out DIR)";
    let out = folder.join("out");
    assert_eq!(error, format!("cannot create {}: File exists (os error 17)\n  {hint}", out.display()));
}

/// A writer whose text the test can read.
#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn progress_without_a_terminal_is_a_line_an_interval() {
    let lines = |interval| {
        let sink = Sink::default();
        let mut progress = Progress::lines("train", 0, 100, interval, Box::new(sink.clone()));
        (0..100).for_each(|step| progress.set(step, format_args!("ess {:.2}", 0.5)));
        progress.finish(format_args!("done"));
        String::from_utf8(sink.0.lock().unwrap().clone()).unwrap()
    };
    assert_eq!(lines(Duration::from_secs(3600)), "train 0/100  ess 0.50\ntrain 100/100 in 0 s  done\n");
    assert_eq!(lines(Duration::ZERO).lines().count(), 101, "the control: no interval, a line a step");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn metrics_read_back_to_the_same_bits(values in prop::collection::btree_map("[a-z_.]{1,8}", any::<f64>(), 0..8)) {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("ergodic-metrics-{}.json", std::process::id()));
        let mut metrics = Metrics::default();
        values.iter().for_each(|(name, value)| { metrics.set(name.as_str(), *value); });
        metrics.write(&path).unwrap();
        let back = Metrics::read(&path).unwrap();
        for (name, value) in values {
            let read = back.get(&name).unwrap();
            prop_assert!(read.to_bits() == value.to_bits() || !value.is_finite() && read.is_nan(), "{name}: {read} for {value}");
        }
    }
}
