//! The example `flow_density` as a user meets it: bad presets and tables of every kind, a table, a map, a run that is cut.
#![cfg(feature = "report")]

#[path = "../examples/flow_density/main.rs"]
#[allow(dead_code, reason = "its main is the example's")]
mod example;

use std::path::{Path, PathBuf};

use ergodic::data::{file, npy, table};
use ergodic::report::{Args, Checkpoint, Metrics};
use ergodic::{Error, Result};

/// A preset in seconds: one layer of tiled products, a few steps.
const TINY: [&str; 10] = [
    "hidden=[80]",
    "fit.batch=64",
    "fit.steps=40",
    "fit.look_every=10",
    "solver=fixed(method: rk4, steps: 4)",
    "validation=50",
    "held_out=200",
    "samples=200",
    "loss_draws=500",
    "nll_every=20",
];

fn start(preset: &str, out: &Path, sets: &[&str], more: &[&str]) -> Result<()> {
    let config = file::find(format!("assets/presets/flow_density/{preset}.ron")).display().to_string();
    let fixed = ["x".into(), "--config".into(), config, "--out".into(), out.display().to_string()];
    let set = sets.iter().flat_map(|set| ["--set".to_string(), set.to_string()]);
    let more = more.iter().map(|s| s.to_string());
    let all = fixed.into_iter().chain(["--cache", "off"].map(String::from)).chain(set).chain(more);
    example::run(&Args::parse_from("flow_density", "", all).expect("flags"))
}

fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("ergodic-density-{}-{name}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    folder
}

fn metrics(out: &Path) -> Metrics {
    Metrics::read(out.join("metrics.json")).expect("metrics")
}

/// A table of three correlated columns and a class, as a file.
fn written(name: &str, n: u32) -> String {
    let folder = folder(name);
    std::fs::create_dir_all(&folder).expect("a folder");
    let noise = |i: u32, c: u32| f64::from(ergodic::random::RngKey::new(5).normal(i, c, 0));
    let row = |i: u32| {
        let (u, v) = (noise(i, 0), noise(i, 1));
        format!(
            "{},{},{},{}\n",
            100.0 + 10.0 * u,
            0.01 * (v + u),
            u * u + noise(i, 2),
            if i.is_multiple_of(3) { "h" } else { "g" }
        )
    };
    let rows: String = (0..n).map(row).collect();
    let path = folder.join("table.csv");
    std::fs::write(&path, format!("a,b,c,class\n{rows}")).expect("a table");
    path.display().to_string()
}

const TABLE: &str = "data=(path: \"\", only: [(\"class\", \"g\")], whiten: true)";

#[test]
fn a_preset_that_makes_no_sense_is_refused_at_its_field_before_anything_is_written() {
    let out = folder("bad");
    for (preset, sets, said) in [
        ("quick", vec!["density=None"], "density: is missing, and so is data; give one of them"),
        ("quick", vec!["data=(path: \"x.csv\")"], "density: is given beside data; leave one of them out"),
        ("magic", vec![], "data.path: is empty, but must be the file of a table: --data FILE"),
        ("quick", vec!["density=torus"], "density: `torus` is not allowed; allowed are: checkerboard, rings,"),
        ("quick", vec!["data=(file: \"x.csv\")"], "data.file: is not a field here"),
        (
            "magic",
            vec!["data.path=\"x.csv\"", "data.test=1.5"],
            "data.test: is 1.5, but must be a part between 0 and 1",
        ),
        (
            "magic",
            vec!["data.path=\"x.csv\"", "start=rings"],
            "start: is a density in the plane, but the target is a table",
        ),
        ("quick", vec!["start=rings"], "start: is given for a one-sided schedule, which starts from the normal"),
        ("maps", vec!["schedule=mirror(gamma: product)"], "schedule: has no ODE between two densities"),
        ("maps", vec!["schedule=point_mass(a: 1.0)"], "schedule: has no ODE between two densities"),
        ("maps", vec!["schedule=linear(gamma: root(a: -1.0))"], "schedule: a of gamma is -1, but must be"),
        ("quick", vec!["hidden=[64, 0]"], "hidden: Mlp::sizes is [3, 64, 0, 2]"),
        ("quick", vec!["fit.batch=0"], "fit.batch: is 0, but must be at least 1"),
        ("quick", vec!["fit.steps=0"], "fit.steps: is 0, but must be at least 1"),
        ("quick", vec!["solver=fixed(method: rk4, steps: 0)"], "solver.steps: is 0, but must be at least 1"),
        ("quick", vec!["solver=adaptive((rtol: -1.0))"], "solver.tolerance: is rtol -1, atol"),
        ("quick", vec!["held_out=1"], "held_out: is 1, but must be at least 2"),
        ("quick", vec!["samples=0"], "samples: is 0, but must be at least 2"),
        ("quick", vec!["rows=0"], "rows: is 0, but must be at least 2"),
        ("quick", vec!["validation=0"], "validation: is 0, but must be at least 2"),
        ("quick", vec!["pairs=[\"x3\"]"], "pairs: names `x3`, but the columns are x1, x2"),
    ] {
        let small: Vec<&str> = ["rows=100", "held_out=100"].into_iter().chain(sets).collect();
        let error = start(preset, &out, &small, &[]).expect_err(&small.join(" "));
        assert!(matches!(error, Error::Config { .. }), "{small:?}: {error}");
        assert!(error.to_string().contains(&format!(": {said}")), "{small:?}: {error}");
    }
    assert!(!out.exists(), "a refused preset must not leave a folder");
}

#[test]
fn a_table_that_cannot_be_learned_from_is_refused_before_anything_is_written() {
    let (out, tables) = (folder("refused"), folder("tables"));
    std::fs::create_dir_all(&tables).expect("a folder");
    let said = |text: &str, sets: &[&str]| {
        let path = tables.join("t.csv");
        std::fs::write(&path, text).expect("a table");
        let sets: Vec<&str> = ["data=(path: \"\")", "pairs=[]"].into_iter().chain(sets.iter().copied()).collect();
        start("htru2", &out, &sets, &["--data", path.to_str().expect("a path")]).expect_err(text)
    };
    let many: String = (0..100).map(|i| format!("{i},{}\n", i * i)).collect();
    let good = format!("a,b\n{many}");
    for (text, sets, want) in [
        ("", vec![], "is empty; give a file with a header line"),
        ("a,b\n1,2\n3\n", vec![], "line 3 has 1 cells, the first has 2"),
        ("a,b\n1,x\n", vec![], "line 2: `b` is `x`, not a number; drop the row, or name the column in `discard`"),
        ("a,b\n1,inf\n", vec![], "line 2: `b` is inf; drop the row"),
        (&good, vec!["data.discard=[\"class\"]"], "has no column `class`; it has a, b"),
    ] {
        let error = said(text, &sets);
        assert!(matches!(error, Error::Data { .. }) && error.to_string().contains(want), "{error}");
    }
    let error = said("a,b\n1,2\n", &[]);
    assert!(matches!(error, Error::Config { .. }), "{error}");
    assert!(error.to_string().contains("data: test rows is 0 of 1, but must be at least 2"), "{error}");
    let flat: String = (0..100).map(|i| format!("{i},7\n")).collect();
    let error = said(&format!("a,b\n{flat}"), &[]).to_string();
    assert!(error.contains("data: column is `b`, which is 7 in all 81 training rows, but must be"), "{error}");
    let missing = start("htru2", &out, &[], &["--data", "no/such.csv"]).unwrap_err();
    assert!(matches!(missing, Error::Io { .. }), "{missing}");
    assert!(!out.exists(), "a refused table must not leave a folder");
}

#[test]
fn a_table_has_its_likelihood_in_both_units_and_goes_on_bit_for_bit() {
    let (whole, cut, table) = (folder("whole"), folder("cut"), written("csv", 1500));
    let sets = [&TINY[..], &[TABLE, "log_densities=true", "pairs=[\"c\", \"a\"]"]].concat();
    let flags = ["--data", &table];
    start("htru2", &whole, &sets, &flags).expect("a run");
    start("htru2", &cut, &sets, &flags).expect("a run");
    let found = metrics(&whole);
    let get = |name: &str| found.get(name).unwrap_or_else(|| panic!("no {name}"));
    // Deviations 10, 0.01 sqrt(2) and sqrt(3): what standard units take away comes back in the table's.
    let shift = get("nll_original") - get("nll");
    let exact = (10.0 * 0.01 * 2f64.sqrt() * 3f64.sqrt()).ln();
    // Each log of a deviation of 810 rows has a standard error of up to 1/sqrt(2 * 810), twice that for c; four of their sum.
    assert!((shift - exact).abs() < 4.0 * 4.0 / (2.0f64 * 810.0).sqrt(), "{shift} {exact}");
    assert!((get("bits_per_dim") - get("nll") / (3.0 * 2f64.ln())).abs() < 1e-12);
    let logs = npy::read::<f64>(whole.join("test_log_density.npy")).expect("log-densities").values;
    assert_eq!(logs.len(), 100, "a tenth of the rows of class g");
    let mean = logs.iter().sum::<f64>() / logs.len() as f64;
    assert!((mean + get("nll_original")).abs() < 1e-9 * mean.abs().max(1.0), "{mean}");
    // Whitened, an untrained velocity of 0 is the Gaussian; forty steps are not far from it.
    assert!((get("nll") - get("nll_gaussian")).abs() < 1.0 && get("nll_gaussian_se") > 0.0);
    assert!((get("gain") - (get("nll_gaussian") - get("nll"))).abs() < 1e-9);
    assert!(get("round_trip_max") < 0.1 && get("sliced_w2") > 0.0 && get("ks_max") > 0.0);
    for name in ["g", "g_se", "d", "d_se", "g_train", "nll_train", "samples_per_s", "parameters_of_step"] {
        assert!(get(name).is_finite(), "{name}");
    }
    let samples = npy::read::<f32>(whole.join("samples.npy")).expect("samples");
    assert_eq!(samples.shape, [200, 3]);
    let first = samples.values.iter().step_by(3).sum::<f32>() / 200.0;
    assert!((first - 100.0).abs() < 10.0, "{first}: samples are in the table's units");
    for picture in ["marginals.png", "pairs.png", "history.png"] {
        assert!(whole.join(picture).exists(), "{picture}");
    }
    let history = table::read(whole.join("history.csv")).expect("a history");
    let nll = history.column("nll").expect("a column");
    assert_eq!(nll.iter().map(|v| v.is_finite()).collect::<Vec<_>>(), [false, true, false, true]);

    // As if the run had been killed after its last checkpoint: no results, and a history that went on.
    std::fs::remove_file(cut.join("metrics.json")).expect("metrics");
    start("htru2", &cut, &sets, &[&flags[..], &["--resume"]].concat()).expect("a resumed run");
    let again = metrics(&cut);
    for name in ["nll", "nll_se", "g", "d", "gain", "sliced_w2", "ks_max", "parameters_of_step"] {
        assert_eq!(found.get(name), again.get(name), "{name}");
    }
    let text = |out: &Path| file::read(out.join("history.csv")).expect("a history");
    assert!(text(&whole) == text(&cut), "the histories differ");
    assert_eq!(Checkpoint::read(cut.join("checkpoint.safetensors")).expect("a checkpoint").step(), 40);
    let other = start("htru2", &cut, &[&sets[..], &["fit.batch=65"]].concat(), &[&flags[..], &["--resume"]].concat());
    assert!(matches!(other, Err(Error::Checkpoint { .. })));
}

#[test]
fn a_density_in_the_plane_has_pictures_and_a_divergence_that_is_not_negative() {
    let out = folder("plane");
    start("quick", &out, &[&TINY[..], &["rows=2000", "solver=adaptive((rtol: 1e-2, atol: 1e-2))"]].concat(), &[])
        .expect("a run");
    let found = metrics(&out);
    let get = |name: &str| found.get(name).unwrap_or_else(|| panic!("no {name}"));
    assert!(get("kl") > -4.0 * get("kl_se") && get("entropy_exact") > 2.0);
    assert_eq!(get("nll"), get("nll_original"));
    // Whatever was learned, it is a density; a hundredth is what such a solver is worth.
    assert!((get("mass_in_picture") - 1.0).abs() < 0.05, "{}", get("mass_in_picture"));
    for picture in ["samples.png", "density.png", "history.png"] {
        assert!(out.join(picture).exists(), "{picture}");
    }
}

#[test]
fn a_map_between_two_samples_has_distances_and_no_likelihood() {
    let out = folder("map");
    start("maps", &out, &[&TINY[..], &["rows=2000"]].concat(), &[]).expect("a run");
    let found = metrics(&out);
    assert!(found.get("nll").is_none() && !out.join("density.png").exists());
    for name in ["g", "sliced_w2", "sliced_w2_train", "sliced_w2_start", "sliced_w2_back", "round_trip_max"] {
        assert!(found.get(name).is_some_and(f64::is_finite), "{name}");
    }
    assert!(found.get("sliced_w2") < found.get("sliced_w2_start"), "forty steps bring it nearer");
}

#[test]
fn the_papers_preset_runs_with_a_small_network() {
    let out = folder("paper");
    start("paper", &out, &[&TINY[..], &["rows=2000"]].concat(), &[]).expect("a run");
    let found = metrics(&out);
    assert!(found.get("kl").is_some_and(f64::is_finite));
    assert_eq!(found.get("entropy_exact"), Some(32f64.ln()));
}

/// A real table, which may not be committed: the flow finds what no Gaussian has.
#[test]
fn pulsar_candidates_are_learned_better_than_by_a_gaussian() {
    let table = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/tabular/htru2.csv.gz");
    if !table.exists() {
        return eprintln!("skipped: {} is absent", table.display());
    }
    let out = folder("pulsars");
    let learn = [
        "fit.steps=200",
        "fit.learning_rate=(from: 4e-3, to: 0.0, over: 200, decay: Cosine)",
        "solver=fixed(method: rk4, steps: 8)",
        "held_out=1024",
        "nll_every=200",
    ];
    let sets = [&TINY[..1], &TINY[5..6], &TINY[7..9], &learn].concat();
    start("htru2", &out, &sets, &["--data", &table.display().to_string()]).expect("a run");
    let metrics = metrics(&out);
    let [nll, se, gaussian, gain, gain_se] =
        ["nll", "nll_se", "nll_gaussian", "gain", "gain_se"].map(|name| metrics.get(name).expect(name));
    assert!(gain > 4.0 * gain_se, "nll {nll} +- {se}, a Gaussian {gaussian}, gain {gain} +- {gain_se}");
}
