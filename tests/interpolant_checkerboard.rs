//! The example `interpolant_checkerboard` as a user meets it: bad presets of every kind, known fields, a run that is cut.
#![cfg(feature = "report")]

#[path = "../examples/interpolant_checkerboard/main.rs"]
#[allow(dead_code, reason = "its main is the example's")]
mod example;

use std::path::{Path, PathBuf};

use ergodic::data::{file, table};
use ergodic::report::{Args, Checkpoint, Metrics};
use ergodic::{Error, Result};

/// The checkerboard in seconds: one layer of tiled products, a few steps.
const TINY: [&str; 7] = [
    "learned.hidden=[80]",
    "learned.fit.batch=64",
    "learned.fit.steps=40",
    "learned.fit.look_every=10",
    "samples=300",
    "held_out=300",
    "loss_draws=500",
];
/// Known fields, with as little.
const FEW: [&str; 4] = ["samples=500", "held_out=200", "loss_draws=500", "sde.steps=40"];

fn start(preset: &str, out: &Path, sets: &[&str], more: &[&str]) -> Result<()> {
    let config = file::find(format!("assets/presets/interpolant_checkerboard/{preset}.ron")).display().to_string();
    let fixed = ["x".into(), "--config".into(), config, "--out".into(), out.display().to_string()];
    let set = sets.iter().flat_map(|set| ["--set".to_string(), set.to_string()]);
    let more = more.iter().map(|s| s.to_string());
    let all = fixed.into_iter().chain(["--cache", "off"].map(String::from)).chain(set).chain(more);
    example::run(&Args::parse_from("interpolant_checkerboard", "", all).expect("flags"))
}

fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("ergodic-interpolant-{}-{name}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    folder
}

fn metrics(out: &Path) -> Metrics {
    Metrics::read(out.join("metrics.json")).expect("metrics")
}

/// A mixture of two modes in the plane as a preset writes it.
fn mixture(weights: &str, covariances: &str) -> String {
    format!("target=mixture((weights: {weights}, means: [[0.0, 0.0], [1.0, 1.0]], covariances: {covariances}))")
}

#[test]
fn a_preset_that_makes_no_sense_is_refused_at_its_field_before_anything_is_written() {
    let out = folder("bad");
    let round = "isotropic([1.0, 1.0])";
    let flat = mixture("[0.5, 0.5]", "full([[[1.0, 1.0], [1.0, 1.0]], [[1.0, 0.0], [0.0, 1.0]]])");
    let skew = mixture("[0.5, 0.5]", "full([[[1.0, 0.5], [0.0, 1.0]], [[1.0, 0.0], [0.0, 1.0]]])");
    let (heavy, negative) = (mixture("[0.5, 0.4]", round), mixture("[1.5, -0.5]", round));
    let (uneven, thin) = (mixture("[1.0]", round), mixture("[0.5, 0.5]", "isotropic([1.0, -1.0])"));
    let noisy = "schedule=linear(gamma: root(a: 1.0))";
    let two = "start=normal(2)";
    for (preset, sets, said) in [
        (
            "quick",
            vec![flat.as_str()],
            "target: covariance of a mode is without a Cholesky factor in mode 0, but must be positive definite",
        ),
        (
            "quick",
            vec![&skew],
            "target: covariance of a mode is 0.5 at (0, 1) and 0 at (1, 0) of mode 0, but must be symmetric",
        ),
        ("quick", vec![&thin], "target: covariance of a mode is without a Cholesky factor in mode 1"),
        (
            "quick",
            vec![&heavy],
            "target: sum of the weights of a mixture is 0.9, but must be 1; divide each by their sum",
        ),
        ("quick", vec![&negative], "target: weight of a mode is -0.5, but must be finite and above 0"),
        ("quick", vec![&uneven], "target: has 1 weights, means of [2, 2]"),
        ("quick", vec!["target=normal(0)"], "target: has 0 dimensions, but must have at least 1"),
        ("quick", vec![two], "start: start is given for OneSidedTrig, but must be"),
        ("quick", vec!["schedule=linear()"], "start: start is missing for Linear"),
        ("quick", vec![noisy, "start=normal(3)"], "start: has 3 dimensions at the start and 2 at the end"),
        ("quick", vec![noisy, "start=checkerboard"], "start: is checkerboard, but must be a normal or a mixture"),
        (
            "quick",
            vec!["schedule=linear(gamma: root(a: 0.0))", two],
            "schedule: a of gamma is 0, but must be finite and above 0",
        ),
        ("quick", vec!["schedule=unit_trig(gamma: root(a: 4.0))", two], "schedule: gamma of unit_trig is "),
        (
            "quick",
            vec!["schedule=point_mass(a: 1.0)", two],
            "start: must be a point for the schedule point_mass, and for no other",
        ),
        ("quick", vec!["start=point([0.0, 0.0])"], "start: must be a point for the schedule point_mass"),
        ("quick", vec!["target=point([0.0, 0.0])"], "target: is a point, but must be a density"),
        (
            "quick",
            vec!["schedule=point_mass(a: 1.0)", "start=point([0.0, 0.0])"],
            "learned: is given, but fields from a point",
        ),
        (
            "mixture_1d",
            vec!["schedule=point_mass(a: 1.0)", "start=point([0.0])", "epsilon=constant(value: 0.5)"],
            "epsilon: must be constant, the a of point_mass",
        ),
        (
            "mixture_1d",
            vec!["more_epsilon=[zero, constant(value: -5.0)]"],
            "more_epsilon: epsilon is -5, but must be finite",
        ),
        ("mixture_1d", vec!["divergence=probes(3)"], "divergence: number of probes is 3, but must be even"),
        ("mixture_1d", vec!["denoised_from=1.0"], "denoised_from: must lie between 0 and 1"),
        ("mixture_1d", vec!["solver=denoiser(steps: 9)"], "solver: must be fixed or adaptive"),
        ("quick", vec!["learned=None"], "learned: is left out, but a checkerboard has no known fields"),
        ("quick", vec!["learned.known=(motion: s)"], "learned.known: pair of fields is S and None"),
        ("quick", vec![noisy, two, "learned.known=(motion: v)"], "learned.known: pair of fields is V and None"),
        (
            "quick",
            vec!["schedule=linear()", two, "learned.known=(motion: b, noise: eta)"],
            "learned.known: pair of fields is B and Some(Eta)",
        ),
        ("quick", vec!["learned.hidden=[64, 0]"], "learned.hidden: Mlp::sizes is [3, 64, 0, 2]"),
        ("quick", vec!["learned.fit.batch=0"], "learned.fit.batch: is 0, but must be at least 1"),
        ("quick", vec!["learned.fit.steps=0"], "learned.fit.steps: is 0, but must be at least 1"),
        ("quick", vec!["learned.fit.adam=(beta2: 1.0)"], "learned.fit.adam: is Adam"),
        (
            "quick",
            vec!["schedule=linear(gamma: root(a: 1.0))", two, "epsilon=constant(value: 0.5)"],
            "epsilon: epsilon is Constant { value: 0.5 } without a score, but must be zero; or learn s or eta too",
        ),
        ("mixture_1d", vec!["epsilon=constant(value: -1.0)"], "epsilon: epsilon is -1, but must be finite and above 0"),
        ("quick", vec!["samples=0"], "samples: is 0, but must be at least 2"),
        ("quick", vec!["held_out=1"], "held_out: is 1, but must be at least 2"),
        ("quick", vec!["solver=fixed(method: rk4, steps: 0)"], "solver.steps: is 0, but must be at least 1"),
        ("mixture_1d", vec!["points=[(0.5, [0.0, 0.0])]"], "points: must be times from 0 to 1 with 1 coordinates each"),
        ("mixture_1d", vec!["points=[(1.5, [0.0])]"], "points: must be times from 0 to 1"),
    ] {
        let error = start(preset, &out, &sets, &[]).expect_err(&sets.join(" "));
        assert!(matches!(error, Error::Config { .. }), "{sets:?}: {error}");
        assert!(error.to_string().contains(&format!(": {said}")), "{sets:?}: {error}");
    }
    assert!(!out.exists(), "a refused preset must not leave a folder");
}

#[test]
fn more_samples_than_fit_are_refused_before_the_host_makes_room_for_them() {
    for set in ["samples=1000000000000", "loss_draws=1000000000000", "held_out=1000000000000"] {
        let error = start("mixture_1d", &folder("memory"), &[set], &[]).expect_err(set);
        assert!(matches!(error, Error::BindingTooLarge { .. }), "{set}: {error}");
    }
}

#[test]
fn a_solver_without_steps_left_says_how_far_it_came() {
    let out = folder("stiff");
    let solver = "solver=adaptive((rtol: 1e-6, atol: 1e-6, max_steps: 3))";
    let error = start("mixture_1d", &out, &[&FEW[..], &[solver]].concat(), &[]).unwrap_err();
    let Error::StepLimit { reached, target, accepted, rejected, .. } = &error else { panic!("{error}") };
    assert!(*reached > 0.0 && *reached < 1.0 && *target == 0.0, "{error}: backwards from 1");
    assert_eq!(accepted + rejected, 3, "{error}");
    assert!(!out.join("metrics.json").exists(), "a failed run has found nothing");
}

#[test]
fn known_fields_are_written_and_their_likelihoods_are_exact() {
    let out = folder("known");
    start("mixture_1d", &out, &FEW, &[]).expect("a run");
    let fields = table::read(out.join("fields.csv")).expect("fields");
    let column = |name: &str| fields.column(name).unwrap_or_else(|| panic!("no column {name}"));
    // t, x, rho, b, s, v of arXiv:2303.08797's mixture by quadrature-free f64 evaluation, to six digits.
    for (name, want) in [
        ("t", [0.25, 0.5, 0.75]),
        ("x", [1.0, -2.0, 4.0]),
        ("rho", [0.115229, 0.152716, 0.108608]),
        ("b", [-8.057776, -3.034820, 7.946395]),
        ("s", [-0.306993, 1.201370, 0.026785]),
        ("v", [-8.134525, -3.034820, 7.939699]),
    ] {
        for (got, want) in column(name).iter().zip(want) {
            // Half a unit of the last digit, and what f32 fields are worth.
            assert!((got - want).abs() < 1e-6 + 1e-5 * want.abs(), "{name}: {got} {want}");
        }
    }
    let found = metrics(&out);
    let get = |name: &str| found.get(name).unwrap_or_else(|| panic!("no {name}"));
    assert!((get("entropy_exact") - 2.101719).abs() < 1e-6);
    // 200 points, 500 samples: four standard errors, and the 1 % level of the largest of five distances.
    assert!((get("nll") - get("entropy_exact")).abs() < 4.0 * get("nll_se"));
    // The tolerance of a step is 1e-5; some hundred steps through stiff boundaries of the modes.
    assert!(get("log_density_error_max") < 0.01 && get("kl").abs() < 1e-3);
    assert!(get("ks_max") < 1.3 * get("ks_1_percent"), "{}", get("ks_max"));
    assert_eq!(get("loss_b"), get("loss_b_min"));
    for (name, least) in [("loss_b", -9.80429), ("loss_s", -0.68022)] {
        assert!((get(name) - least).abs() < 4.0 * get(&format!("{name}_se")), "{name}: {}", get(name));
    }
    assert_eq!(table::read(out.join("history.csv")).expect("a history").column("t").expect("times").len(), 5);
    for picture in ["samples.png", "density.png"] {
        assert!(out.join(picture).exists(), "{picture}");
    }
}

#[test]
fn a_checkpoint_goes_on_to_the_same_numbers() {
    let (whole, cut) = (folder("whole"), folder("cut"));
    start("quick", &whole, &TINY, &[]).expect("a run");
    start("quick", &cut, &TINY, &[]).expect("a run");
    // As if the run had been killed after its last checkpoint: no results, and a history that went on.
    std::fs::remove_file(cut.join("metrics.json")).expect("metrics");
    start("quick", &cut, &TINY, &["--resume"]).expect("a resumed run");
    let (a, b) = (metrics(&whole), metrics(&cut));
    for name in ["nll", "nll_se", "kl", "loss_b", "inside", "entropy_exact"] {
        assert!(a.get(name).is_some_and(f64::is_finite), "{name}");
        assert_eq!(a.get(name), b.get(name), "{name}");
    }
    assert!((a.get("entropy_exact").expect("entropy") - 32f64.ln()).abs() < 1e-12);
    // Nothing may be more likely than the target itself.
    assert!(a.get("kl") > Some(-4.0 * a.get("kl_se").expect("an error")));
    let history = |out: &Path| file::read(out.join("history.csv")).expect("a history");
    assert!(history(&whole) == history(&cut), "the histories differ");
    assert_eq!(Checkpoint::read(cut.join("checkpoint.safetensors")).expect("a checkpoint").step(), 40);
    let other = start("quick", &cut, &[&TINY[..], &["learned.fit.batch=65"]].concat(), &["--resume"]).unwrap_err();
    assert!(matches!(other, Error::Checkpoint { .. }), "{other}");
    for picture in ["samples.png", "density.png", "losses.png"] {
        assert!(whole.join(picture).exists(), "{picture}");
    }
}

#[test]
fn two_learned_fields_drive_a_diffusion_between_two_mixtures() {
    let out = folder("two");
    let start_at = "start=normal(1)";
    let target = "target=mixture((weights: [0.5, 0.5], means: [[-1.0], [1.0]], covariances: isotropic([0.25, 0.25])))";
    let more = [
        target,
        start_at,
        "schedule=linear(gamma: root(a: 1.0))",
        "learned.known=(motion: v, noise: eta)",
        "learned.fit.pairing=antithetic",
        "epsilon=constant(value: 0.5)",
        "more_epsilon=[zero]",
        "solver=adaptive((rtol: 1e-3, atol: 1e-3))",
        "divergence=probes(2)",
        "denoised_from=0.97",
        "points=[(0.0, [0.3]), (0.5, [0.3])]",
        "sde=(steps: 40)",
    ];
    start("quick", &out, &[&TINY[..], &more].concat(), &[]).expect("a run");
    let found = metrics(&out);
    for name in
        ["loss_v", "loss_v_min", "loss_eta", "loss_eta_min", "nll", "kl", "ks_max", "w2", "ks_max_eps_0", "kl_bound"]
    {
        assert!(found.get(name).is_some_and(f64::is_finite), "{name}");
    }
    // In one dimension a sign squared is 1: a probe is exact.
    assert_eq!(found.get("log_density_probe_se"), None);
    let bound = found.get("excess_b").unwrap() / 0.5 + 0.5 * found.get("excess_s").unwrap();
    assert!((found.get("kl_bound").unwrap() / bound - 1.0).abs() < 1e-12);
    // The learned fields at two points: at the start the density is that of the base.
    let fields = table::read(out.join("fields.csv")).expect("fields");
    let column = |name: &str| fields.column(name).unwrap_or_else(|| panic!("no column {name}"));
    let base = (-0.5f64 * 0.09).exp() / std::f64::consts::TAU.sqrt();
    assert!((column("rho")[0] / base - 1.0).abs() < 1e-6, "{:?}", column("rho"));
    assert!(["b", "s", "v"].iter().all(|name| column(name)[1].is_finite()));
    // b = v - gamma gamma' s, at the middle of the path b = v.
    assert!((column("b")[1] - column("v")[1]).abs() < 1e-6 && found.get("fields_error_max").is_some());
    assert!(out.join("noises.png").exists());
    for field in ["v", "eta", "b", "s"] {
        let (excess, se) = (found.get(&format!("excess_{field}")), found.get(&format!("excess_{field}_se")));
        assert!(excess > se.map(|se| -4.0 * se), "{field}: {excess:?}: no field is below the least loss");
    }
}

#[test]
fn one_run_has_several_noises_and_each_keeps_the_densities() {
    let out = folder("noises");
    start("noises_1d", &out, &["samples=2000", "held_out=100", "loss_draws=500"], &[]).expect("a run");
    let found = metrics(&out);
    for name in ["ks_max", "ks_max_eps_0.5", "ks_max_eps_5"] {
        // The 1 % level of the largest of five distances.
        let got = found.get(name).unwrap_or_else(|| panic!("no {name}"));
        assert!(got < 1.3 * found.get("ks_1_percent").unwrap(), "{name}: {got}");
    }
    assert!(out.join("noises.png").exists());
}

#[test]
fn samples_start_in_a_point() {
    let out = folder("point");
    start("point_1d", &out, &["samples=2000", "loss_draws=500", "sde.steps=200"], &[]).expect("a run");
    let found = metrics(&out);
    assert!(found.get("ks_max").unwrap() < 1.3 * found.get("ks_1_percent").unwrap());
    assert!(found.get("nll").is_none(), "there is no likelihood from a point");
    // One point in a hundred in a wrong mode, 6 away, makes 0.6; weights of modes have a standard error of 0.011 in 2000 points.
    assert!(found.get("w2").unwrap() < 1.0, "{:?}", found.get("w2"));
    assert!(out.join("samples.png").exists() && !out.join("density.png").exists());
}

#[test]
fn eight_dimensions_are_measured_in_the_plane_and_along_axes() {
    let out = folder("eight");
    // Known fields: what is tested is what is measured of them.
    let sets = ["learned=None", "sde.steps=60", "more_epsilon=[]", "samples=1000", "held_out=100", "loss_draws=500"];
    // Probes are an eighth of the kernels that an exact trace asks for.
    let cheap = ["solver=fixed(method: heun, steps: 60)", "divergence=probes(2)"];
    start("mixture_8d", &out, &[&sets[..], &cheap].concat(), &[]).expect("a run");
    let found = metrics(&out);
    let get = |name: &str| found.get(name).unwrap_or_else(|| panic!("no {name}"));
    // Sixty steps alone err by 0.01 nats.
    assert!(get("kl").abs() < 4.0 * get("kl_se") + 0.02 && get("loss_s").is_finite(), "{}", get("kl"));
    assert!(get("log_density_probe_se") > 0.0, "in eight dimensions a probe has an error");
    // The largest of forty distances: 1 % of each of them is 33 % of all, so the level of one in 4000.
    assert!(get("ks_max") < 2.1 / 1000f64.sqrt(), "{}", get("ks_max"));
    let (kl, se, control) = (get("kl_plane"), get("kl_plane_se"), get("kl_plane_of_exact"));
    assert!((kl - control).abs() < 4.0 * se.hypot(get("kl_plane_of_exact_se")), "{kl} +- {se}, {control}");
}

#[test]
fn the_papers_presets_run_with_a_small_network() {
    for preset in ["paper", "figure_9"] {
        let out = folder(preset);
        start(preset, &out, &[&TINY[..], &["sde.steps=20"]].concat(), &[]).expect("a run");
        let found = metrics(&out);
        for name in ["loss_b", "loss_eta", "nll", "nll_se", "kl", "inside", "samples_per_s"] {
            assert!(found.get(name).is_some_and(f64::is_finite), "{preset} {name}");
        }
        assert!(found.get("kl") > Some(-4.0 * found.get("kl_se").expect("an error")), "below the target's entropy");
        let history = table::read(out.join("history.csv")).expect("a history");
        assert_eq!(history.column("loss_eta_se").expect("a column").len(), 4);
    }
}

#[test]
fn ends_that_are_paired_in_minibatches_are_learned() {
    let loss = |coupling: &str| {
        let out = folder("minibatch");
        start("minibatch", &out, &[&TINY[..], &[coupling]].concat(), &[]).expect("a run");
        let found = metrics(&out);
        assert!(found.get("nll").is_some_and(f64::is_finite));
        found.get("loss_b").expect("a loss")
    };
    // That pairs are the nearest is tested with the library; here that the preset's word arrives.
    let [paired, free] = ["coupling=minibatch(size: 64)", "coupling=independent"].map(loss);
    assert!(paired != free, "{paired} {free}");
    let out = folder("minibatch-bad");
    for (set, said) in [
        ("coupling=paired", "coupling: is paired, which is for rows of data; densities are independent or minibatch"),
        (
            "coupling=minibatch(size: 7)",
            "coupling: must be minibatch of a size that learned.fit.batch is a multiple of",
        ),
        ("coupling=minibatch(size: 1)", "coupling: size of a minibatch is 1, but must be at least 2"),
        ("schedule=one_sided_trig", "start"),
    ] {
        let error = start("minibatch", &out, &[set], &[]).expect_err(set);
        assert!(matches!(error, Error::Config { .. }) && error.to_string().contains(said), "{error}");
    }
    let known = start("mixture_1d", &out, &["coupling=minibatch(size: 8)"], &[]).expect_err("closed form").to_string();
    assert!(
        known.contains("coupling: is minibatch, but fields that are known in closed form are independent's"),
        "{known}"
    );
    assert!(!out.exists());
}
