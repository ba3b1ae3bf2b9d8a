//! A preset that is wrong names the field, its line and what may be there; an override keeps every type that RON can write.
#![cfg(feature = "report")]

use std::fs;
use std::path::{Path, PathBuf};

use ergodic::Error;
use ergodic::gpu::{AdapterChoice, Tier};
use ergodic::report::{Args, Preset};
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
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("ergodic-presets-{}-{name}", std::process::id()));
    let _ = fs::remove_dir_all(&path);
    fs::create_dir_all(&path).unwrap();
    path
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
    let wrong = "cannot read no/such.ron: No such file or directory (os error 2)\n  \
                 check the path; a relative one starts at the working directory";
    assert_eq!(missing.unwrap_err().to_string(), wrong);
    let default = Args::parse_from("no_such_example", "", ["x"]).unwrap().preset::<Problem>().unwrap_err().to_string();
    assert!(default.starts_with("cannot read assets/presets/no_such_example/quick.ron: "), "{default}");
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
}
