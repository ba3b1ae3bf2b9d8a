//! Learned fields: what they are trained on, that a loss gap is an error, and that a run can be cut and go on.
mod common;
mod interpolant_support;

use common::{gpu, gpus};
use ergodic::Error;
use ergodic::gpu::{Gpu, Tensor};
use ergodic::graph::Graph;
use ergodic::methods::interpolant::{
    Field, FieldNet, FieldTrainer, FitConfig, Gamma, GaussianMixture, Interpolant, MixturePath, Pairing, Schedule,
    Source,
};
use ergodic::nn::{Activation, LearningRate};
use ergodic::plan::{Bindings, CompileOptions, Plan, Session};
use ergodic::random::RngKey;
use interpolant_support::*;

fn floats(tensor: &Tensor) -> Vec<f32> {
    tensor.read().unwrap().wait().unwrap()
}

fn mean(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    (mean, (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0) / n).sqrt())
}

fn wide(row: &[f32]) -> Vec<f64> {
    row.iter().map(|&v| f64::from(v)).collect()
}

#[test]
fn a_checkerboard_is_uniform_on_its_eight_cells() {
    let n = 80_000;
    for (tier, gpu) in gpus() {
        let x = floats(&Source::Checkerboard.draw(&gpu, n, RngKey::new(5)).unwrap());
        // Quarters of each cell: 32 bins of equal mass.
        let mut counts = std::collections::BTreeMap::new();
        for row in x.chunks_exact(2) {
            assert!(Source::Checkerboard.log_density(&wide(row)).unwrap().is_finite(), "{tier}: {row:?}");
            *counts.entry((row[0].floor() as i32, row[1].floor() as i32)).or_insert(0u32) += 1;
        }
        assert_eq!(counts.len(), 32, "{tier}");
        let expected = n as f64 / 32.0;
        let chi2: f64 = counts.values().map(|&c| (f64::from(c) - expected).powi(2) / expected).sum();
        // 31 degrees of freedom: mean 31, deviation sqrt(62); five of them.
        assert!((chi2 - 31.0).abs() < 5.0 * 62f64.sqrt(), "{tier}: {chi2}");
    }
}

#[test]
fn rows_are_drawn_with_equal_probability() {
    let data: Vec<f32> = (0..7).flat_map(|i| [i as f32, -(i as f32)]).collect();
    let (n, source) = (70_000, Source::rows(2, data).unwrap());
    let x = floats(&source.draw(&gpu(), n, RngKey::new(3)).unwrap());
    let mut counts = [0f64; 7];
    for row in x.chunks_exact(2) {
        assert_eq!(row[0], -row[1], "components of a row stay together");
        counts[row[0] as usize] += 1.0;
    }
    let chi2: f64 = counts.iter().map(|c| (c - 1e4).powi(2) / 1e4).sum();
    assert!((chi2 - 6.0).abs() < 5.0 * 12f64.sqrt(), "{counts:?}");
}

/// A normal into two modes on a line.
fn problem() -> (Interpolant, MixturePath) {
    let end = GaussianMixture::isotropic(&[0.5, 0.5], &[vec![-2.0], vec![2.0]], &[0.25, 0.25]).unwrap();
    let path = MixturePath::to(Schedule::OneSidedTrig, end.clone()).unwrap();
    (Interpolant::new(Schedule::OneSidedTrig, None, Source::Mixture(end)).unwrap(), path)
}

fn fit(steps: u64) -> FitConfig {
    let learning_rate = LearningRate::cosine(1e-2, 0.0, steps as usize);
    FitConfig { batch: 256, steps, learning_rate, look_every: 20, ..FitConfig::default() }
}

/// One hidden layer; more than 64 units make tiled products, which compile in a second.
fn net() -> FieldNet {
    FieldNet::new(1, &[80], Activation::Silu).unwrap()
}

fn trainer(gpu: &Gpu, path: &Interpolant, field: Field, steps: u64) -> FieldTrainer {
    FieldTrainer::new(gpu, path, field, &net(), (0.0, 1.0), &fit(steps), RngKey::new(17)).unwrap()
}

/// `|f - b|^2 / 2` of a trained velocity on the draws of a key.
fn direct_errors(
    gpu: &Gpu,
    path: &Interpolant,
    exact: &MixturePath,
    theta: &Tensor,
    n: usize,
    key: RngKey,
) -> Vec<f64> {
    let g = Graph::new();
    let draws = path.draws(&g, g.key("key"), n, (0.0, 1.0)).unwrap();
    let learned = net().apply(g.input("theta", [net().n_params()]), draws.t, draws.point(1.0)).unwrap();
    let known = exact.fields(g.input("path", [exact.n_params().unwrap()]), draws.t, draws.point(1.0)).unwrap().b;
    let half = (learned - known).square().sum(1) * 0.5;
    let plan = Plan::compile(gpu, &[("half", half)], &CompileOptions::default()).unwrap();
    let bindings = Bindings::new().key("key", key).tensor("theta", theta).tensor("path", &parameters(gpu, exact));
    let mut session = Session::new(&plan, path.bind(gpu, bindings).unwrap()).unwrap();
    session.run(1).unwrap();
    session.check().unwrap();
    wide(&floats(session.tensor("half").unwrap()))
}

#[test]
fn what_a_loss_exceeds_its_least_value_by_is_half_the_squared_error() {
    let (gpu, (path, exact), n) = (gpu(), problem(), 200_000);
    let mut b = trainer(&gpu, &path, Field::B, 40);
    let key = RngKey::new(23);
    let least = path
        .losses((Field::B, Pairing::Antithetic, (0.0, 1.0)), (n, key), &parameters(&gpu, &exact), |theta, t, x| {
            Ok(exact.fields(theta, t, x)?.b)
        })
        .unwrap();
    let excess = |b: &FieldTrainer| {
        let losses = b.losses(n, key).unwrap();
        mean(&losses.iter().zip(&least).map(|(l, m)| l - m).collect::<Vec<_>>())
    };
    let (untrained, _) = excess(&b);
    b.run(40).unwrap();
    let (gap, gap_se) = excess(&b);
    let (error, error_se) = mean(&direct_errors(&gpu, &path, &exact, b.parameters().unwrap(), n, key));
    assert!((gap - error).abs() < 4.0 * gap_se.hypot(error_se), "{gap} +- {gap_se}, {error} +- {error_se}");
    assert!((gap / error - 1.0).abs() < 0.1, "{gap} {error}: within a tenth");
    assert!(gap_se < 0.05 * gap, "{gap_se} {gap}: else the tenth says nothing");
    assert!(gap < 0.5 * untrained, "{untrained} {gap}: forty steps halve the error at least");
    let seen = b.loss().unwrap();
    assert!(seen.value < mean(&least).0 + untrained && seen.se < 0.2, "{seen}");
}

#[test]
fn a_run_that_is_cut_goes_on_bit_for_bit() {
    let (path, _) = problem();
    for (tier, gpu) in gpus() {
        let mut whole = trainer(&gpu, &path, Field::Eta, 30);
        whole.run(30).unwrap();
        let mut cut = trainer(&gpu, &path, Field::Eta, 30);
        cut.run(11).unwrap();
        let (step, state) = (cut.step(), cut.state().unwrap());
        let mut again = trainer(&gpu, &path, Field::Eta, 30);
        again.restore(step, &state).unwrap();
        again.run(1000).unwrap();
        assert_eq!(again.step(), 30, "{tier}: no step beyond the last");
        assert_eq!(again.state().unwrap(), whole.state().unwrap(), "{tier}");
        // The control: a state that is missing, and one of another step.
        assert!(matches!(again.restore(step, &state[1..]), Err(Error::Shape { .. })), "{tier}");
        again.restore(step + 1, &state).unwrap();
        again.run(1000).unwrap();
        assert_ne!(again.state().unwrap(), whole.state().unwrap(), "{tier}");
    }
}

#[test]
fn a_score_with_an_infinite_target_is_learned_in_pairs() {
    let schedule = Schedule::Linear { gamma: Gamma::Root { a: 1.0 } };
    let path = Interpolant::new(schedule, Some(Source::Normal(1)), problem().0.end().clone()).unwrap();
    let gpu = gpu();
    let mut s = trainer(&gpu, &path, Field::S, 20);
    s.run(20).unwrap();
    assert!(s.loss().unwrap().value.is_finite());
    let config = FitConfig { pairing: Pairing::Single, ..fit(20) };
    let single = |span| FieldTrainer::new(&gpu, &path, Field::S, &net(), span, &config, RngKey::new(1)).err();
    let text = single((0.0, 1.0)).unwrap().to_string();
    assert_eq!(
        text,
        "pairing is single for a score between 0 and 1, where gamma is 0 and divided by, but must be antithetic; or keep \
         times away from there, or learn eta"
    );
    assert!(single((0.01, 0.99)).is_none());
    assert!(single((0.5, 0.5)).is_some(), "no time at all");
}

#[test]
fn what_means_nothing_is_refused() {
    let text = |e: Error| e.to_string();
    let start = |start| Interpolant::new(Schedule::OneSidedTrig, start, Source::Checkerboard);
    assert!(
        text(start(Some(Source::Normal(2))).unwrap_err()).starts_with("start is given for OneSidedTrig, but must be ")
    );
    let linear = Schedule::Linear { gamma: Gamma::Zero };
    assert!(
        text(Interpolant::new(linear, None, Source::Checkerboard).unwrap_err()).starts_with("start is missing for ")
    );
    let ends = Interpolant::new(linear, Some(Source::Normal(3)), Source::Checkerboard).unwrap_err();
    assert_eq!(
        text(ends),
        "shape mismatch in `Interpolant`: got 3 dimensions at the start and 2 at the end, want as many at both"
    );
    assert!(text(Source::rows(2, vec![1.0, f32::NAN]).unwrap_err()).starts_with("value of the data is NaN in row 0"));
    assert!(Source::rows(2, vec![]).is_err() && Source::rows(2, vec![1.0]).is_err());
    for (config, field) in [
        (FitConfig { batch: 0, ..fit(9) }, "batch is 0"),
        (FitConfig { steps: 0, ..fit(9) }, "steps is 0"),
        (FitConfig { look_every: 1, ..fit(9) }, "look_every is 1"),
        (FitConfig { learning_rate: LearningRate::constant(f64::NAN), ..fit(9) }, "learning_rate is NaN"),
        (FitConfig { clip_norm: Some(0.0), ..fit(9) }, "clip_norm is 0"),
    ] {
        assert!(text(config.check().unwrap_err()).starts_with(field), "{field}");
    }
    let (path, wrong) = (problem().0, FieldNet::new(2, &[80], Activation::Silu).unwrap());
    let made = FieldTrainer::new(&gpu(), &path, Field::B, &wrong, (0.0, 1.0), &fit(9), RngKey::new(1));
    assert!(matches!(made.err(), Some(Error::Shape { .. })));
}

#[test]
fn a_rate_without_bounds_is_a_fault_with_its_step() {
    let (path, _) = problem();
    let config = FitConfig { learning_rate: LearningRate::constant(1e30), ..fit(30) };
    let mut b = FieldTrainer::new(&gpu(), &path, Field::B, &net(), (0.0, 1.0), &config, RngKey::new(1)).unwrap();
    b.run(30).unwrap();
    let error = b.loss().unwrap_err();
    let Error::Fault { step, first: Some(first), .. } = &error else { panic!("{error}") };
    assert!(*step < 5 && first.whose.contains("losses"), "{error}");
}
