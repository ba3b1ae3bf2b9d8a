//! The example `schrodinger_bridge` as a user meets it: bad presets of every kind, known answers, a run that is cut.
#![cfg(feature = "report")]

#[path = "../examples/schrodinger_bridge/main.rs"]
#[allow(dead_code, reason = "its main is the example's")]
mod example;

use std::path::{Path, PathBuf};

use ergodic::Result;
use ergodic::data::{file, table};
use ergodic::report::{Args, Checkpoint, Metrics};
use ergodic::{Error, dynamics::Estimate};

/// A few steps, a few samples; a mean over 64 draws or fewer would be written out, which compiles for seconds.
const SMALL: [&str; 4] =
    ["fit=(batch: 300, steps: 40, look_every: 10)", "samples=300", "cost_draws=500", "sde=(steps: 40)"];
/// Networks in seconds: one layer of tiled products.
const TINY: [&str; 6] = [
    "path.family=neural(hidden: [80], activation: Silu)",
    "drift=net(hidden: [80], activation: Silu)",
    SMALL[0],
    SMALL[1],
    SMALL[2],
    SMALL[3],
];
/// Players whose kernels compile in a second.
const PLAIN: [&str; 2] = ["path.family=linear", "drift=affine(degree: 0)"];

fn start(preset: &str, out: &Path, sets: &[&str], more: &[&str]) -> Result<()> {
    let config = file::find(format!("assets/presets/schrodinger_bridge/{preset}.ron")).display().to_string();
    let fixed = ["x".into(), "--config".into(), config, "--out".into(), out.display().to_string()];
    let set = sets.iter().flat_map(|set| ["--set".to_string(), set.to_string()]);
    let more = more.iter().map(|s| s.to_string());
    let all = fixed.into_iter().chain(["--cache", "off"].map(String::from)).chain(set).chain(more);
    example::run(&Args::parse_from("schrodinger_bridge", "", all).expect("flags"))
}

fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("ergodic-bridge-{}-{name}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    folder
}

fn metrics(out: &Path) -> Metrics {
    Metrics::read(out.join("metrics.json")).expect("metrics")
}

fn get(of: &Metrics, name: &str) -> f64 {
    of.get(name).unwrap_or_else(|| panic!("no {name}"))
}

/// A mixture of two modes on a line as a preset writes it.
fn mixture(field: &str, weights: &str, covariances: &str) -> String {
    format!("{field}=mixture((weights: {weights}, means: [[0.0], [1.0]], covariances: {covariances}))")
}

#[test]
fn a_preset_that_makes_no_sense_is_refused_at_its_field_before_anything_is_written() {
    let out = folder("bad");
    let round = "isotropic([1.0, 1.0])";
    let (heavy, negative) = (mixture("target", "[0.5, 0.4]", round), mixture("start", "[1.5, -0.5]", round));
    let thin = mixture("target", "[0.5, 0.5]", "isotropic([1.0, -1.0])");
    let flat = "target=mixture((weights: [1.0], means: [[0.0, 0.0]], covariances: full([[[1.0, 1.0], [1.0, 1.0]]])))";
    let fixed = "path=(family: fixed(point_mass(a: 0.5)))";
    for (preset, sets, said) in [
        ("quick", vec!["epsilon=-0.5"], "epsilon: is -0.5, but must be finite and not negative"),
        ("quick", vec!["epsilon=NaN"], "epsilon: is NaN, but must be finite and not negative"),
        ("transport", vec!["epsilon=0.5"], "epsilon: is 0.5 on a path without noise, but must be 0 there"),
        (
            "quick",
            vec![&heavy],
            "target: sum of the weights of a mixture is 0.9, but must be 1; divide each by their sum",
        ),
        ("quick", vec![&negative], "start: weight of a mode is -0.5, but must be finite and above 0"),
        ("quick", vec![&thin], "target: covariance of a mode is without a Cholesky factor in mode 1"),
        ("mixture_2d", vec![flat], "target: covariance of a mode is without a Cholesky factor in mode 0"),
        ("quick", vec!["start=normal(2)"], "target: has 1 dimensions, but must have 2, as many as the start"),
        ("quick", vec!["start=normal(0)"], "start: has 0 dimensions, but must have at least 1"),
        ("mixture_2d", vec!["start=ring(radius: 2.0, width: 0.0)"], "start: width of the ring is 0"),
        ("quick", vec!["path.noise=(a: 0.0)"], "path: a of the path's noise is 0, but must be finite and above 0"),
        ("quick", vec!["path.family=fourier(modes: 0)"], "path: number of modes is 0, but must be at least 1"),
        ("quick", vec!["path.family=neural(hidden: [0], activation: Tanh)"], "path: Mlp::sizes is [3, 0, 1]"),
        ("quick", vec!["path.family=fixed(one_sided_trig)"], "path: fixed path is OneSidedTrig"),
        ("quick", vec!["path.family=fixed(linear(gamma: root(a: 1.0)))"], "path: noise is given beside Linear"),
        ("quick", vec![fixed], "start: must be a point on a path from a point, and only there"),
        ("quick", vec!["start=point([0.0])"], "start: must be a point on a path from a point, and only there"),
        (
            "quick",
            vec![fixed, "start=point([0.0])", "epsilon=1.0"],
            "epsilon: is 1 on a path from a point with a = 0.5",
        ),
        ("quick", vec!["drift=known"], "drift: known drift is asked for on a neural path"),
        (
            "transport",
            vec!["drift=known", "path=(family: linear)"],
            "drift: is known on a path without parameters: nothing to learn",
        ),
        ("quick", vec!["fit.pairing=single"], "fit.pairing: is single on a path with noise, but must be antithetic"),
        ("quick", vec!["fit.steps=0"], "fit.steps: is 0, but must be at least 1"),
        ("quick", vec!["fit.path_rate=(from: -1.0)"], "fit.path_rate: is -1 to 0, but must be finite and not negative"),
        ("quick", vec!["samples=1"], "samples: is 1, but must be at least 2"),
        ("quick", vec!["sde=(steps: 0)"], "sde.steps: is 0, but must be at least 1"),
    ] {
        let error = start(preset, &out, &sets, &[]).expect_err(&sets.join(" "));
        assert!(matches!(error, Error::Config { .. }), "{sets:?}: {error}");
        assert!(error.to_string().contains(&format!(": {said}")), "{sets:?}: {error}");
    }
    assert!(!out.exists(), "a refused preset must not leave a folder");
}

#[test]
fn between_gaussians_the_example_finds_the_cost_that_is_known() {
    let out = folder("gaussian");
    start("gaussian", &out, &["samples=4000"], &[]).expect("a run");
    let found = metrics(&out);
    let exact = get(&found, "cost_exact");
    assert!((exact - 2.705154).abs() < 1e-6, "{exact}");
    // The path by its formula: never below the least, and within 2 %.
    let path = get(&found, "cost_of_path");
    assert!(path > exact - 1e-6 && path < 1.02 * exact, "{path} {exact}");
    for name in ["cost", "cost_of_samples"] {
        let of = Estimate { value: get(&found, name), se: get(&found, &format!("{name}_se")) };
        assert!(of.value < 1.02 * exact + 4.0 * of.se && of.value > 0.98 * exact - 4.0 * of.se, "{name}: {of} {exact}");
    }
    // The learned drift and 200 steps leave less than another 1 % level of 4000 samples.
    assert!(get(&found, "ks") < 2.0 * get(&found, "ks_1_percent"), "{}", get(&found, "ks"));
    for picture in ["cost.png", "densities.png", "trajectories.png"] {
        assert!(out.join(picture).exists(), "{picture}");
    }
}

#[test]
fn a_checkpoint_goes_on_to_the_same_numbers() {
    let (whole, cut) = (folder("whole"), folder("cut"));
    let few = [&SMALL[..], &PLAIN, &["path.noise=(a: 1.0, modes: 0)"]].concat();
    start("gaussian", &whole, &few, &[]).expect("a run");
    start("gaussian", &cut, &few, &[]).expect("a run");
    // As if the run had been killed after its last checkpoint: no results.
    std::fs::remove_file(cut.join("metrics.json")).expect("metrics");
    start("gaussian", &cut, &few, &["--resume"]).expect("a resumed run");
    let (a, b) = (metrics(&whole), metrics(&cut));
    for name in ["cost", "cost_se", "cost_of_path", "cost_of_samples", "ks", "w2_to_target"] {
        assert!(get(&a, name).is_finite(), "{name}");
        assert_eq!(a.get(name), b.get(name), "{name}");
    }
    let history = |out: &Path| file::read(out.join("history.csv")).expect("a history");
    assert!(history(&whole) == history(&cut), "the histories differ");
    assert_eq!(Checkpoint::read(cut.join("checkpoint.safetensors")).expect("a checkpoint").step(), 40);
    let other = start("gaussian", &cut, &[&few[..], &["fit.batch=301"]].concat(), &["--resume"]).unwrap_err();
    assert!(matches!(other, Error::Checkpoint { .. }), "{other}");
}

#[test]
fn networks_are_played_and_measured() {
    let out = folder("quick");
    start("quick", &out, &TINY, &[]).expect("a run");
    let found = metrics(&out);
    for name in
        ["cost", "cost_se", "cost_exact", "cost_of_samples", "loss", "epsilon", "ks", "ks_between", "w2_to_target"]
    {
        assert!(get(&found, name).is_finite(), "{name}");
    }
    assert!(found.get("cost_of_path").is_none(), "a neural path has no formula");
    assert_eq!(table::read(out.join("history.csv")).expect("a history").column("cost_se").expect("a column").len(), 4);
}

#[test]
fn every_preset_runs_with_a_small_drift() {
    let small = [&SMALL[..], &PLAIN].concat();
    for (preset, names) in [
        ("mixture_2d", &["cost_exact", "sliced_w2_to_target", "sliced_w2_of_draws"][..]),
        ("transport", &["cost_exact", "w2_squared_exact", "straightness", "ks", "ks_between"]),
        ("paper", &["cost_exact", "sliced_w2_to_target"]),
    ] {
        let out = folder(preset);
        start(preset, &out, &small, &[]).expect("a run");
        let found = metrics(&out);
        for name in ["cost", "cost_se", "cost_of_samples"].iter().chain(names) {
            assert!(get(&found, name).is_finite(), "{preset}: {name}");
        }
    }
    // Twice the cost is W_2^2 = 1.478098 between the normal and two modes. Parts of the mass are 1/2000, and what their rule leaves
    // out is of the size of one part times the squared distance there, below 1/4.
    let exact = get(&metrics(&folder_of("transport")), "cost_exact");
    assert!((2.0 * exact - 1.478098).abs() < 0.25 / 2000.0, "{exact}");
}

/// The folder of a run of this process.
fn folder_of(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("ergodic-bridge-{}-{name}", std::process::id()))
}

#[test]
fn a_point_and_sets_by_name_are_ends_too() {
    let out = folder("point");
    let affine = PLAIN[1];
    start("point", &out, &["samples=4000", "sde.steps=400", "fit.steps=1000"], &[]).expect("a run");
    let found = metrics(&out);
    assert!(found.get("cost_exact").is_none(), "nothing is optimised");
    // The learned drift and 400 steps leave less than another 1 % level of 4000 samples.
    assert!(get(&found, "ks") < 2.0 * get(&found, "ks_1_percent"), "{}", get(&found, "ks"));
    let sets = ["start=ring(radius: 3.0, width: 0.2)", "target=moons(width: 0.2)", "path.family=linear", affine];
    start("mixture_2d", &out, &[&SMALL[..], &sets].concat(), &[]).expect("a run");
    let found = metrics(&out);
    assert!(found.get("cost_exact").is_none() && get(&found, "sliced_w2_to_target").is_finite());
}
