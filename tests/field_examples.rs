//! The examples `heat_2d` and `allen_cahn` as a user meets them: small runs beside their exact answers, and bad presets.
#![cfg(feature = "report")]

#[path = "../examples/allen_cahn/main.rs"]
#[allow(dead_code, reason = "its main is the example's")]
mod allen_cahn;
#[path = "common/child.rs"]
#[allow(dead_code, reason = "each test binary uses a part of it")]
mod child;
#[path = "../examples/heat_2d/main.rs"]
#[allow(dead_code, reason = "its main is the example's")]
mod heat_2d;

use ergodic::Result;
use ergodic::data::{file, table};
use ergodic::report::{Args, Checkpoint, Metrics};
use std::path::{Path, PathBuf};

fn start(example: &'static str, preset: &str, out: &Path, sets: &[&str]) -> Result<()> {
    let all = arguments(example, preset, out, sets);
    let args = Args::parse_from(example, "", all).expect("flags");
    if example == "heat_2d" { heat_2d::run(&args) } else { allen_cahn::run(&args) }
}

fn arguments(example: &str, preset: &str, out: &Path, sets: &[&str]) -> Vec<String> {
    let config = file::find(format!("assets/presets/{example}/{preset}.ron")).display().to_string();
    let fixed = ["x".into(), "--config".into(), config, "--out".into(), out.display().to_string()];
    let set = sets.iter().flat_map(|set| ["--set".to_string(), set.to_string()]);
    fixed.into_iter().chain(["--cache", "off"].map(String::from)).chain(set).collect()
}

/// What a child process does; nothing in an ordinary run of the tests.
#[test]
fn child_process() {
    let Some(arguments) = child::arguments() else { return };
    let args = Args::parse_from("allen_cahn", "", arguments).expect("flags");
    allen_cahn::run(&args).expect("a run");
}

fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("ergodic-field-{}-{name}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    folder
}

fn found(out: &Path, name: &str) -> f64 {
    let metrics = Metrics::read(out.join("metrics.json")).expect("metrics");
    metrics.get(name).unwrap_or_else(|| panic!("no `{name}` in {metrics:?}"))
}

/// Grids of 32 x 48 cells as presets write them.
fn grid(low: &str, high: &str) -> String {
    format!(
        "grid=[(cells: 32, length: 1.0, low: {low}, high: {high}), (cells: 48, length: 1.5, low: periodic, high: periodic)]"
    )
}

#[test]
fn heat_flows_as_its_scheme_says_by_every_stepper() {
    let (out, tight) = (folder("heat"), grid("reflecting", "reflecting"));
    let steppers = ["explicit(method: euler, part: 0.9)", "crank_nicolson(step: 5e-4)", "modes(step: 2e-4)"];
    for stepper in steppers {
        start("heat_2d", "quick", &out, &[&tight, "looks=5", &format!("stepper={stepper}")]).unwrap();
        let [mode, scheme, exact] = ["mode", "mode_scheme", "mode_exact"].map(|name| found(&out, name));
        let steps = found(&out, "steps");
        // Ten roundings a step of values up to 2, which fade with the mode; a mean over cells takes most of them out.
        assert!(
            (mode - scheme).abs() < 10.0 * 2.0 * f64::from(f32::EPSILON) * steps.sqrt(),
            "{stepper}: {mode}, {scheme}"
        );
        // And the scheme is close to the equation: the rate is short by a twelfth of (k dx)^2 in space, and off by half of
        // rate times step in time.
        assert!((scheme / exact).ln().abs() < 0.05 * exact.ln().abs(), "{stepper}: {scheme}, {exact}");
        assert!(found(&out, "heat_drift") < 10.0 * f64::from(f32::EPSILON) * steps.sqrt(), "{stepper}");
        assert!(found(&out, "kernel_error") < 0.05, "{stepper}");
    }
    assert_eq!(table::read(out.join("history.csv")).unwrap().n_rows(), 6); // the start is one
    assert!(["fields.png", "laws.png"].iter().all(|name| out.join(name).exists()));
    // Heat that a cold wall takes: the images have the sign of the wall.
    start("heat_2d", "quick", &out, &[&grid("dirichlet(0.0)", "reflecting"), "looks=5", "time=0.03"]).unwrap();
    let (heat, exact) = (found(&out, "heat"), found(&out, "heat_exact"));
    assert!(exact < 0.95 && (heat - exact).abs() < 0.01, "{heat}, {exact}");
}

#[test]
fn fronts_and_discs_move_at_their_exact_speeds() {
    let out = folder("allen_cahn");
    let fronts = "fronts=(cells: 160, length: 32.0, drives: [0.0, 0.3], step: 0.1, time: 20.0)";
    let disc = "disc=(cells: 64, radius: 40.0, diffusion: 4.0, order: four, step: 0.04, until: 0.6)";
    let domains = "coarsening=(rows: 32, columns: 48, fields: 2, noise: 0.2, step: 0.15, time: 20.0, looks: 8)";
    start("allen_cahn", "quick", &out, &[fronts, disc, domains]).unwrap();
    // Cells of a fifth of a front slow it by a tenth of their square; steps of order two add as little.
    assert!(found(&out, "front_0.speed").abs() < 1e-4);
    assert!((found(&out, "front_0.3.speed") - 0.3).abs() < 0.01 * 0.3);
    // A wall of width 2.8 on a radius of 35: corrections are of order (w / R)^2.
    let exact = found(&out, "disc.area_loss_exact");
    assert!((found(&out, "disc.area_loss") / exact - 1.0).abs() < (2.83f64 / 31.0).powi(2));
    assert_eq!(found(&out, "coarsening.energy_rises"), 0.0);
    let files = ["fronts.png", "disc.png", "coarsening.png", "laws.png", "disc.csv", "history.csv"];
    assert!(files.iter().all(|name| out.join(name).exists()));
}

#[test]
fn presets_that_make_no_sense_are_refused_at_their_field() {
    let out = folder("bad");
    let refused = |example: &'static str, sets: &[&str], said: &str| {
        let error = start(example, "quick", &out, sets).unwrap_err().to_string();
        assert!(error.contains(said), "{error}\nwant: {said}");
    };
    refused("heat_2d", &[&grid("periodic", "reflecting")], "pair of ends of an axis is periodic and reflecting");
    refused("heat_2d", &[&grid("dirichlet(1.0)", "reflecting")], "grid: has a wall with a value or slope");
    refused("heat_2d", &["stepper=explicit(method: euler, part: 1.5)"], "stepper: part must be in (0, 1]");
    refused("heat_2d", &["point=(2.0, 0.5)"], "point: lies outside the grid");
    refused(
        "allen_cahn",
        &["coarsening.step=0.3"],
        "coarsening.step: is 0.3, but must be above 0 and at most 0.20000, the limit",
    );
    refused("allen_cahn", &["disc.radius=95.0"], "disc.radius: must be more than 4 widths");
    refused("allen_cahn", &["fronts.drives=[2.0]"], "fronts.drives: must be numbers in (-1, 1)");
    assert!(!out.exists());
}

#[cfg(unix)]
#[test]
fn an_interrupt_between_two_experiments_costs_nothing_that_was_seen() {
    let (whole, stopped) = (folder("whole"), folder("stopped"));
    let sets = ["disc=None", "fronts.time=4.0", "coarsening.rows=96", "coarsening.columns=128"];
    start("allen_cahn", "quick", &whole, &sets).expect("a run in one go");
    let lines = arguments("allen_cahn", "quick", &stopped, &sets);
    let saved = stopped.join("checkpoint.safetensors");
    child::interrupted_after(&saved, &lines);
    assert!(!stopped.join("metrics.json").exists());
    let looks = Checkpoint::read(&saved).expect("a whole checkpoint").step();
    assert!((40..81).contains(&looks), "{looks} looks of 40 at fronts and 41 at domains");

    let resumed = [&lines[..], &["--resume".into()]].concat();
    allen_cahn::run(&Args::parse_from("allen_cahn", "", resumed).expect("flags")).expect("a resumed run");
    for name in ["front_0.3.speed", "coarsening.energy_rises", "coarsening.exponent", "coarsening.domain"] {
        assert_eq!(found(&whole, name).to_bits(), found(&stopped, name).to_bits(), "{name}");
    }
    for name in ["history.csv", "fronts.png", "coarsening.png", "laws.png"] {
        assert!(file::read(whole.join(name)).unwrap() == file::read(stopped.join(name)).unwrap(), "{name} differs");
    }
}
