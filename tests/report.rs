//! Presets name the field that is wrong; what a run leaves survives a kill; pictures are whole on a machine without fonts.
#![cfg(feature = "report")]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ergodic::Error;
use ergodic::data::table;
use ergodic::gpu::{AdapterChoice, Tier};
use ergodic::report::{
    Args, Checkpoint, History, Metrics, Plot, Preset, Progress, Run, Tiles, image_grid, write_figure,
};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Problem {
    walkers: usize,
    step_size: f32,
    seed: u64,
    kernel: Kernel,
    #[serde(default)]
    clip: Option<f32>,
    #[serde(default)]
    resample: Option<Scheme>,
    optimiser: Optimiser,
    layers: Vec<usize>,
    #[serde(default)]
    name: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Kernel {
    Ula,
    Mala { target_acceptance: f32 },
    Mixed(Vec<Kernel>),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Scheme {
    Systematic,
    Multinomial,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Optimiser {
    rate: f64,
    #[serde(default)]
    decay: f64,
}

const TEXT: &str = "\
// A small problem; walkers: 3 here is a comment.
(
    walkers: 64, /* nested /* (step_size: 9) */ comment */
    step_size: 0.1,
    seed: 7,
    kernel: mala(target_acceptance: 0.57),
    optimiser: (rate: 1e-3),
    layers: [24, 128, 1],
)
";

fn parse(text: &str, set: &[&str]) -> Result<Preset<Problem>, Error> {
    let set: Vec<String> = set.iter().map(|s| s.to_string()).collect();
    Preset::parse("quick.ron", text, &set)
}

/// The message for a text with one place replaced.
fn message(from: &str, to: &str) -> String {
    assert!(TEXT.contains(from));
    parse(&TEXT.replace(from, to), &[]).unwrap_err().to_string()
}

fn set_message(set: &str) -> String {
    parse(TEXT, &[set]).unwrap_err().to_string()
}

/// An empty folder of this test's own.
fn folder(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("ergodic-report-{}-{name}", std::process::id()));
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
fn an_unknown_field_is_named_with_its_line_and_the_allowed_ones() {
    let allowed = "allowed are: walkers, step_size, seed, kernel, clip, resample, optimiser, layers, name";
    let wrong = format!("quick.ron:3: walker: is not a field here; did you mean `walkers`?; {allowed}");
    assert_eq!(message("walkers: 64", "walker: 64"), wrong);
    let wrong = format!("quick.ron:5: temperature: is not a field here; {allowed}");
    assert_eq!(message("seed: 7", "temperature: 7"), wrong);
    let nested = "quick.ron:7: optimiser.momentum: is not a field here; allowed are: rate, decay";
    assert_eq!(message("rate: 1e-3", "rate: 1e-3, momentum: 0.9"), nested);
    let variant = "quick.ron:6: kernel.target: is not a field here; allowed are: target_acceptance";
    assert_eq!(message("target_acceptance", "target"), variant);
}

#[test]
fn a_wrong_value_is_shown_with_its_field_and_line() {
    assert_eq!(message("walkers: 64", "walkers: many"), "quick.ron:3: walkers: `many` is not an integer");
    let fraction = "quick.ron:3: walkers: `6.5` has the wrong type: it is understood up to `6`";
    assert_eq!(message("walkers: 64", "walkers: 6.5"), fraction);
    assert_eq!(message("walkers: 64", "walkers: -4"), "quick.ron:3: walkers: `-4` is out of range for this integer");
    assert_eq!(message("step_size: 0.1", "step_size: \"x\""), "quick.ron:4: step_size: `\"x\"` is not a number");
    assert_eq!(message("rate: 1e-3", "rate: fast"), "quick.ron:7: optimiser.rate: `fast` is not a number");
    assert_eq!(message("[24, 128, 1]", "[24, wide, 1]"), "quick.ron:8: layers.1: `wide` is not an integer");
    assert_eq!(message("[24, 128, 1]", "24"), "quick.ron:8: layers: `24` is not a list in brackets");
    let enums = "quick.ron:6: kernel: `mela` is not allowed; did you mean `mala`?; allowed are: ula, mala, mixed";
    assert_eq!(message("mala(target", "mela(target"), enums);
}

#[test]
fn missing_and_repeated_fields_are_named() {
    assert_eq!(message("seed: 7,", ""), "quick.ron:2: seed: is missing; add `seed: VALUE,`");
    assert_eq!(message("rate: 1e-3", ""), "quick.ron:7: optimiser.rate: is missing; add `rate: VALUE,`");
    assert_eq!(message("seed: 7,", "seed: 7, seed: 8,"), "quick.ron:5: seed: is given twice");
}

#[test]
fn a_malformed_text_is_an_error_at_its_line() {
    assert_eq!(message("seed: 7,", "seed: 7"), "quick.ron:5: seed: expected comma at `7`");
    assert!(message("optimiser: (rate: 1e-3),", "optimiser: (rate: 1e-3,").starts_with("quick.ron:8: "));
    assert_eq!(
        parse("", &[]).unwrap_err().to_string(),
        "quick.ron:1: preset: expected opening `(` for struct `Problem`"
    );
}

#[test]
fn an_override_replaces_a_value_of_any_type() {
    let set = |set: &[&str]| parse(TEXT, set).unwrap();
    assert_eq!(set(&["walkers=4096"]).walkers, 4096);
    assert_eq!(set(&["kernel=ula"]).kernel, Kernel::Ula);
    assert_eq!(set(&["kernel.target_acceptance=0.8"]).kernel, Kernel::Mala { target_acceptance: 0.8 });
    let mixed = set(&["kernel=mixed([ula, mala(target_acceptance: 0.5)])", "kernel.0.1.target_acceptance = 0.25"]);
    assert_eq!(mixed.kernel, Kernel::Mixed(vec![Kernel::Ula, Kernel::Mala { target_acceptance: 0.25 }]));
    assert_eq!(set(&["clip=2.0"]).clip, Some(2.0), "an option may be written without Some");
    assert_eq!(set(&["clip=Some(2.0)", "clip=None"]).clip, None);
    assert_eq!(set(&["resample=Some(systematic)"]).resample, Some(Scheme::Systematic));
    assert_eq!(set(&["optimiser.rate=1e-4"]).optimiser.rate, 1e-4);
    assert_eq!(set(&["optimiser.decay=0.5"]).optimiser, Optimiser { rate: 1e-3, decay: 0.5 });
    assert_eq!(set(&["layers.1=64"]).layers, [24, 64, 1]);
    assert_eq!(set(&["name=\"a, b: (c)\""]).name, "a, b: (c)");
}

#[test]
fn a_wrong_override_is_blamed_on_the_command_line() {
    let unknown = "--set: walker: is not a field here; did you mean `walkers`?; allowed are: walkers, step_size, seed, \
                   kernel, clip, resample, optimiser, layers, name";
    assert_eq!(set_message("walker=3"), unknown);
    assert_eq!(set_message("walkers=many"), "--set: walkers: `many` is not an integer");
    assert_eq!(set_message("walkers"), "--set: walkers: has no `=`; write --set field=value");
    let two = "--set: walkers: `3, seed: 4` is not one RON value; texts need quotes: --set 'walkers=\"text\"'";
    assert_eq!(set_message("walkers=3, seed: 4"), two);
    let nothing = "--set: noise.width: there is no `noise` with named fields in quick.ron; set `noise` whole";
    assert_eq!(set_message("noise.width=3"), nothing);
    let kernel = "--set: kernel: `hmc` is not allowed; allowed are: ula, mala, mixed";
    assert_eq!(set_message("kernel=hmc"), kernel);
    assert_eq!(set_message("optimiser.rate=\"x\""), "--set: optimiser.rate: `\"x\"` is not a number");
}

#[test]
fn a_value_without_meaning_is_reported_at_its_line() {
    let preset = parse(TEXT, &[]).unwrap();
    let rate = preset.check("optimiser.rate", false, "is 0.001, but must be below 0").unwrap_err().to_string();
    assert_eq!(rate, "quick.ron:7: optimiser.rate: is 0.001, but must be below 0");
    assert!(preset.check("walkers", true, "").is_ok());
    let preset = parse(TEXT, &["walkers=0"]).unwrap();
    let walkers = preset.check("walkers", preset.walkers > 0, "is 0, but must be at least 1").unwrap_err().to_string();
    assert_eq!(walkers, "--set: walkers: is 0, but must be at least 1");
}

#[test]
fn a_resolved_preset_reads_back_to_itself() {
    for set in [&[][..], &["kernel=ula", "clip=0.1"], &["resample=Some(multinomial)", "name=\"quote \\\" and \\\\\""]] {
        let preset = parse(TEXT, set).unwrap();
        let again = parse(&preset.resolved().unwrap(), &[]).unwrap();
        assert_eq!(*again, *preset);
        assert_eq!(again.resolved().unwrap(), preset.resolved().unwrap(), "a fixed point, so its hash is one");
    }
}

#[test]
fn the_command_line_gives_preset_seed_and_folder() {
    let folder = folder("args");
    let file = folder.join("p.ron");
    fs::write(&file, TEXT).unwrap();
    let args = |more: &[&str]| {
        let all =
            ["demo", "--config", file.to_str().unwrap()].into_iter().chain(more.iter().copied()).map(|s| s.to_string());
        Args::parse_from("demo", "A demonstration", all)
    };
    let sets = ["--seed", "9", "--set", "walkers=2", "--set", "kernel=ula"];
    let parsed = args(&[&sets[..], &["--resume", "--adapter", "software", "--tier", "portable"]].concat()).unwrap();
    let preset: Preset<Problem> = parsed.preset().unwrap();
    assert_eq!((preset.seed, preset.walkers, &preset.kernel), (9, 2, &Kernel::Ula));
    assert_eq!((parsed.out_dir(), parsed.resume), ("out/demo".into(), true));
    let options = parsed.gpu_options().unwrap();
    assert_eq!((options.adapter, options.tier), (AdapterChoice::Software, Tier::Portable));
    let tier = args(&["--tier", "all"]).unwrap_err().to_string();
    let why =
        "error: invalid value 'all' for '--tier <native|portable>': tier is `all`, but must be native or portable";
    assert!(tier.starts_with(why), "{tier}");
    let unknown = args(&["--walkers", "3"]).unwrap_err().to_string();
    assert!(unknown.starts_with("error: unexpected argument '--walkers' found"), "{unknown}");
    let missing = Args::parse_from("demo", "", ["demo", "--config", "no/such.ron"]).unwrap().preset::<Problem>();
    assert_eq!(missing.unwrap_err().to_string(), "cannot read no/such.ron: No such file or directory (os error 2)");
    let default = Args::parse_from("no_such_example", "", ["x"]).unwrap().preset::<Problem>().unwrap_err().to_string();
    assert!(default.starts_with("cannot read assets/presets/no_such_example/quick.ron: "), "{default}");
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
    assert_eq!(error, format!("cannot write {}: Is a directory (os error 21)", path.display()));
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
    let metrics = run.finish("ess 1").unwrap();
    assert!(metrics.get("wall_s").is_some_and(|s| s >= 0.0));
    let out = folder.join("out");
    assert_eq!(names(&out), ["checkpoint.safetensors", "config.ron", "history.csv", "metrics.json"]);
    assert_eq!(*Preset::<Problem>::load(out.join("config.ron"), &[]).unwrap(), *parse(TEXT, &[]).unwrap());
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
    assert_eq!(error, format!("cannot create {}: File exists (os error 17)", folder.join("out").display()));
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

/// Width and height in a PNG's header (its first chunk, big end first).
fn png_size(path: &Path) -> (u32, u32) {
    let bytes = fs::read(path).unwrap();
    assert_eq!(&bytes[..8], b"\x89PNG\r\n\x1a\n");
    let word = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
    (word(16), word(20))
}

#[test]
fn every_kind_of_picture_is_written_whole() {
    let folder = folder("plots");
    let x: Vec<f64> = (0..50).map(f64::from).collect();
    let y: Vec<f64> = x.iter().map(|x| 1.0 / (1.0 + x)).collect();
    let low: Vec<f64> = y.iter().map(|y| y - 0.1).collect();
    let lines = Plot::new("lines").x("step").y("value").line("a", &x, &y).band("a", &x, &low, &y).exact(0.0);
    let logs = Plot::new("logs").log_x().log_y().points("b", &x, &y).reference("1/x", &x, &y).moment("here", 10.0);
    let histogram = Plot::new("histogram").histogram("c", &y, 10);
    let bars =
        Plot::new("bars").bars("truth", &["2", "3"], &[0.6, 0.4], &[]).bars("d", &["2", "3"], &[0.5, 0.5], &[0.1, 0.1]);
    let field = Plot::new("field").heat("u", &y, 10, (0.0, 0.0), (1.0, 2.0)).line("path", &[0.0, 1.0], &[0.0, 2.0]);
    let cloud = Plot::new("cloud").cloud("density", &x, &y, 8, (0.0, 0.0), (50.0, 1.0));
    let plots = [lines, logs, histogram, bars, field, cloud];
    write_figure(folder.join("one.png"), 1, &plots[..1]).unwrap();
    assert_eq!(png_size(&folder.join("one.png")), (1200, 800));
    write_figure(folder.join("six.png"), 2, &plots).unwrap();
    assert_eq!(png_size(&folder.join("six.png")), (2000, 1860));
    assert_eq!(names(&folder), ["one.png", "six.png"], "nothing is left beside them");
    // A title is text: without a font the page would be the same with and without.
    write_figure(folder.join("title.png"), 1, &[Plot::new("title")]).unwrap();
    write_figure(folder.join("none.png"), 1, &[Plot::new("")]).unwrap();
    assert_ne!(fs::read(folder.join("title.png")).unwrap(), fs::read(folder.join("none.png")).unwrap());
}

#[test]
fn pictures_survive_odd_numbers() {
    let path = folder("odd").join("odd.png");
    let odd = [f64::NAN, f64::INFINITY, -f64::INFINITY, 0.0, -1.0, 1e300, 1e-300, f64::MAX, -f64::MAX];
    for (x, y) in [(&odd[..], &odd[..]), (&[], &[]), (&[1.0], &[1.0]), (&[0.0, 0.0], &[5.0, 5.0])] {
        let plot = Plot::new("odd").line("a", x, y).points("b", x, y).band("a", x, y, y).histogram("c", y, 7);
        let plot = plot
            .reference("d", x, y)
            .heat("h", y, 2, (0.0, 1.0), (f64::NAN, 1e308))
            .cloud("k", x, y, 3, (0.0, 0.0), (0.0, 0.0))
            .level("e", f64::NAN)
            .moment("f", f64::INFINITY)
            .bars("g", &["x"], y, x);
        for plot in [plot.clone(), plot.clone().log_x(), plot.log_x().log_y().y_range(1.0, f64::NAN)] {
            write_figure(&path, 1, &[plot]).unwrap();
        }
    }
    let error = write_figure(&path, 0, &[]).unwrap_err().to_string();
    assert_eq!(error, "number of plots is 0 in 0 columns, but must be at least 1, in at least 1 column");
}

#[test]
fn image_grids_show_their_tiles() {
    let folder = folder("grid");
    let pixels: Vec<f32> = (0..9 * 4).map(|i| if i == 3 { f32::NAN } else { i as f32 / 18.0 - 1.0 }).collect();
    let tiles = |title| Tiles { title, pixels: &pixels, size: (2, 2) };
    let path = folder.join("grid.png");
    image_grid(&path, &[tiles("walkers"), tiles("data")], 3, -1.0, 1.0).unwrap();
    let (width, height) = png_size(&path);
    assert!(width > 1000 && height > 600, "{width} x {height}");
    let wrong = Tiles { title: "walkers", pixels: &pixels[1..], size: (2, 2) };
    let error = image_grid(&path, &[wrong], 3, -1.0, 1.0).unwrap_err().to_string();
    assert_eq!(error, "shape mismatch in `image_grid`: got 35 pixels in `walkers`, want images of (2, 2)");
    let error = image_grid(folder.join("no/grid.png"), &[tiles("data")], 3, -1.0, 1.0).unwrap_err().to_string();
    assert!(error.starts_with(&format!("cannot write {}: ", folder.join("no/grid.png").display())), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_override_gives_a_preset_or_names_a_field(path in "[a-z_.0-9]{0,12}", value in "[-a-z0-9.,:()\\[\\]\"' {}#/*]{0,12}") {
        let set = format!("{path}={value}");
        if let Err(error) = parse(TEXT, &[&set]) {
            prop_assert!(matches!(error, Error::Config { .. }), "{error}");
        }
    }

    #[test]
    fn any_damage_to_a_preset_is_found_without_a_panic(at in 0usize..250, text in "[-a-z0-9.,:()\\[\\]\"' {}#/*\n]{0,6}") {
        let at = at.min(TEXT.len());
        let _ = parse(&format!("{}{text}{}", &TEXT[..at], &TEXT[at..]), &["walkers=5", "optimiser.decay=1"]);
        let _ = parse(&format!("{}{text}", &TEXT[..at]), &["layers.0=5"]);
    }

    #[test]
    fn metrics_read_back_to_the_same_bits(values in prop::collection::btree_map("[a-z_.]{1,8}", any::<f64>(), 0..8)) {
        let path = std::env::temp_dir().join(format!("ergodic-metrics-{}.json", std::process::id()));
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
