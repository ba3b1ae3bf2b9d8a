//! The example `action_phase_transition` as a user meets it: bad presets, one point, a search, a sweep on the device.
#![cfg(feature = "report")]

#[path = "common/child.rs"]
#[allow(dead_code, reason = "each test binary uses a part of it")]
mod child;
#[path = "../examples/action_phase_transition/main.rs"]
#[allow(dead_code, reason = "its main is the example's")]
mod example;

use ergodic::data::{file, table};
use ergodic::report::{Args, Checkpoint, Metrics};
use ergodic::{Error, Result};
use std::path::{Path, PathBuf};

fn start(preset: &str, out: &Path, sets: &[&str]) -> Result<()> {
    example::run(&Args::parse_from("action_phase_transition", "", arguments(preset, out, sets)).expect("flags"))
}

fn arguments(preset: &str, out: &Path, sets: &[&str]) -> Vec<String> {
    let config = file::find(format!("assets/presets/action_phase_transition/{preset}.ron")).display().to_string();
    let fixed = ["x".into(), "--config".into(), config, "--out".into(), out.display().to_string()];
    let set = sets.iter().flat_map(|set| ["--set".to_string(), set.to_string()]);
    fixed.into_iter().chain(["--cache", "off"].map(String::from)).chain(set).collect()
}

/// What a child process does; nothing in an ordinary run of the tests.
#[test]
fn child_process() {
    let Some(arguments) = child::arguments() else { return };
    example::run(&Args::parse_from("action_phase_transition", "", arguments).expect("flags")).expect("a run");
}

fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("ergodic-action-{}-{name}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    folder
}

fn metrics(out: &Path) -> Metrics {
    Metrics::read(out.join("metrics.json")).expect("metrics")
}

#[test]
fn a_preset_that_makes_no_sense_is_refused_at_its_field_before_anything_is_written() {
    let out = folder("bad");
    for (sets, said) in [
        ("system=ginzburg_landau(sites: 0, continuum: true)", "system: has 0 sites, but must have 1 to 4096"),
        ("parameters={\"D\": 0.1}", "parameters: has no finite `kappa`, but must have: D, kappa, h"),
        ("parameters={\"k0\": 0.1}", "parameters: has `k0`, but must have: D, kappa, h"),
        ("states=(1.0, -1.0)", "states: must be two numbers, the lower one first"),
        ("paths=(nodes: 4)", "paths.nodes: is 4, but must be 5 to 4096"),
        ("paths=(max_steps: 0)", "paths.max_steps: is 0, but must be at least 1"),
        ("paths=(tolerance: 0.0)", "paths.tolerance: is 0, but must be above 0"),
        ("paths=(aside: 2.0)", "paths.aside: is 2, but must be 0 to 1"),
        ("paths=(free_end: true)", "paths.free_end: is true, but paths end at a saddle here"),
        ("solver=device(paths: 0)", "solver.paths: is 0, but must be at least 1"),
        (
            "sweep=(x: (parameter: \"D\", from: 0.1, to: 0.2, points: 1), y: (parameter: \"h\", from: 0.0, to: 0.1, points: 2))",
            "sweep.x.points: is 1, but must be at least 2",
        ),
        (
            "transition=(parameter: \"k1\", from: 0.1, to: 0.2, tolerance: 1e-3)",
            "transition.parameter: is `k1`, but must be one of: D, kappa, h",
        ),
    ] {
        let error = start("gl_two_sites", &out, &[sets]).expect_err(sets);
        assert!(matches!(error, Error::Config { .. }), "{sets}: {error}");
        assert!(error.to_string().contains(&format!(": {said}")), "{sets}: {error}");
    }
    assert!(!out.exists(), "a refused preset must not leave a folder");
    let one = start("gl_two_sites", &out, &["parameters={\"D\": 0.1, \"kappa\": 0.0, \"h\": 3.0}"]).unwrap_err();
    assert!(one.to_string().starts_with("drift after Newton's method is "), "{one}");
}

#[test]
fn two_sites_are_written_with_their_saddle_and_the_stop_on_the_way_down() {
    let out = folder("two");
    start("gl_two_sites", &out, &["paths=(nodes: 41)"]).expect("a run");
    let found = metrics(&out);
    let get = |name: &str| found.get(name).unwrap_or_else(|| panic!("no {name}"));
    // The table, within the error of 41 and 81 nodes after Richardson's step.
    assert!((get("s_up") - 0.301980).abs() < get("s_error") && (get("s_down") - 0.711926).abs() < get("s_error"));
    assert!(get("s_error") < 1e-4 && get("h_residual_max") < 1e-14 && get("iterations") > 0.0);
    assert!((get("saddle_max") - 0.315104).abs() < 1e-6 && (get("saddle_min") + 0.511857).abs() < 1e-6);
    let mean = (get("saddle_max") + get("saddle_min")) / 2.0;
    assert!((get("saddle_mean") - mean).abs() < 1e-12);
    assert_eq!((get("saddle_index"), get("preferred"), get("stops"), get("converged")), (1.0, 1.0, 1.0, 1.0));
    assert!(out.join("paths.png").exists() && out.join("nucleus.png").exists());
    let history = table::read(out.join("history.csv")).expect("a history");
    assert_eq!(history.column("s_up").expect("a column"), [get("s_up")]);
}

#[test]
fn the_search_of_the_quick_preset_finds_the_transition() {
    let out = folder("quick");
    let two = "system=schloegl(sites: 2, noise: jumps)";
    let search = "transition=(parameter: \"k0\", from: 0.79, to: 0.82, tolerance: 1e-7)";
    let mixed = "parameters={\"D\": 0.2, \"k0\": 0.8, \"k1\": 2.9, \"k2\": 3.1, \"k3\": 1.0}";
    start("quick", &out, &[two, search, mixed, "paths=(nodes: 31)"]).expect("a run");
    let found = metrics(&out);
    let get = |name: &str| found.get(name).unwrap_or_else(|| panic!("no {name}"));
    // Two well mixed sites have the transition of one: k0 by quadrature.
    assert!((get("transition_k0") - 0.8082789845).abs() < get("transition_k0_error") + 1e-7);
    assert!(get("transition_k0_error") < 1e-5);
    assert_eq!(get("preferred"), -1.0);
}

#[test]
fn a_sweep_on_the_device_draws_the_line_of_transition() {
    let out = folder("sweep");
    let grid = "sweep=(x: (parameter: \"D\", from: 0.06, to: 0.1, points: 2), y: (parameter: \"h\", from: -0.2, to: 3.0, points: 3))";
    start("sweep", &out, &[grid, "solver=device(paths: 12)", "paths=(nodes: 21, max_steps: 200)"]).expect("a run");
    let found = metrics(&out);
    // At h = 1.4 and 3 there is one state: these points are left out, and do not stop the others.
    assert_eq!(
        (found.get("points"), found.get("bistable_points"), found.get("high_points")),
        (Some(6.0), Some(2.0), Some(0.0))
    );
    assert_eq!(found.get("resting_points"), Some(0.0));
    assert!(found.get("point_001.s_up").is_some() && found.get("point_005.s_up").is_none());
    assert!(out.join("phase.png").exists());
    let history = table::read(out.join("history.csv")).expect("a history");
    assert_eq!(history.column("h").expect("a column").len(), 6);
}

#[test]
fn points_of_a_sweep_whose_nucleus_leads_to_a_third_state_are_counted() {
    let out = folder("rests");
    // One site in each state is an attractor where hops are slow.
    let grid = "sweep=(x: (parameter: \"D\", from: 0.01, to: 0.05, points: 2), y: (parameter: \"h\", from: -0.05, to: 0.0, points: 2))";
    start("sweep", &out, &[grid, "solver=host", "paths=(nodes: 21, max_steps: 200)"]).expect("a run");
    let rests = [1, 2, 3, 4].map(|i| metrics(&out).get(&format!("point_00{i}.rests")));
    assert_eq!(rests, [Some(1.0), Some(0.0), Some(1.0), Some(0.0)]);
    assert_eq!(metrics(&out).get("resting_points"), Some(2.0));
}

#[cfg(unix)]
#[test]
fn an_interrupted_search_goes_on_with_the_paths_that_it_has() {
    let (whole, stopped) = (folder("whole"), folder("stopped"));
    let sets = ["paths=(nodes: 41)"];
    start("quick", &whole, &sets).expect("a run in one go");
    let lines = arguments("quick", &stopped, &sets);
    // It is written after the first point; the search comes then.
    child::interrupted_after(&stopped.join("history.csv"), &lines);
    assert!(!stopped.join("metrics.json").exists());
    let known = |out: &Path| Checkpoint::read(out.join("checkpoint.safetensors")).expect("a whole checkpoint").step();
    let (all, before) = (known(&whole), known(&stopped));
    assert!((1..all).contains(&before), "{before} of {all} points");

    let resumed = [&lines[..], &["--resume".into()]].concat();
    example::run(&Args::parse_from("action_phase_transition", "", resumed).expect("flags")).expect("a resumed run");
    assert_eq!(known(&stopped), all);
    let same =
        |name: &str| metrics(&whole).get(name).map(f64::to_bits) == metrics(&stopped).get(name).map(f64::to_bits);
    for name in ["s_up", "s_down", "iterations", "h_residual_max", "transition_D", "transition_s", "transition_tried"] {
        assert!(metrics(&whole).get(name).is_some() && same(name), "{name}");
    }
    for name in ["history.csv", "paths.png", "nucleus.png"] {
        assert!(file::read(whole.join(name)).unwrap() == file::read(stopped.join(name)).unwrap(), "{name} differs");
    }
}
