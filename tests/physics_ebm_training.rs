//! Training against closed forms: masses of wells, log Z with and without feedback, and methods that lose the masses.

mod common;

use ergodic::data::GaussianMixture;
use ergodic::dynamics::resample::Resampling;
use ergodic::methods::ebm::*;
use ergodic::random::RngKey;

const KEY: RngKey = RngKey { seed: [3, 0], stream: 0 };

fn on_axis(d: usize, at: f64) -> Vec<f64> {
    (0..d).map(|i| if i == 0 { at } else { 0.0 }).collect()
}

/// A student of two wells that starts at `from` with equal masses, before data with wells at -10 and 6.
fn student(d: usize, n_data: usize, from: (f64, f64), config: &TrainConfig) -> (Mixture, Trainer) {
    let data = GaussianMixture::two_wells(d, -10.0, 6.0, 0.25).unwrap().sample(n_data, 5).x;
    let model = Mixture::new(2, d).unwrap();
    let theta = model.parameters(&[on_axis(d, from.0), on_axis(d, from.1)], &[0.5, 0.5]).unwrap();
    let start = InitialWalkers { positions: model.sample(&theta, config.rows(), KEY), log_z: model.log_z(&theta) };
    let trainer = Trainer::new(&common::gpu(), &model, &data, &theta, start, config).unwrap();
    (model, trainer)
}

/// Ten dimensions, from one blob: the protocol of the paper's mixture, three times faster.
fn race(method: Method, rate: f64, observers: usize) -> (Mixture, Trainer) {
    let mut rate_factors = vec![1.0; 21];
    rate_factors[20] = 5.0;
    let config = TrainConfig {
        method,
        walkers: 2000,
        observers,
        learning_rate: rate,
        rate_factors,
        iterations: 2000,
        resample: Some(Resampling { scheme: Default::default(), ess_below: 0.5 }),
        seed: 1,
        ..TrainConfig::default()
    };
    let (model, mut trainer) = student(10, 2000, (-0.1, 0.1), &config);
    trainer.run(2000).unwrap();
    (model, trainer)
}

#[test]
fn weighted_walkers_find_the_masses_and_log_z() {
    let (model, mut trainer) = race(Method::Weighted, 0.0075, 2000);
    let (found, theta) = (trainer.diagnostics().unwrap(), trainer.theta().unwrap());
    // The scatter of the mass over seeds is 0.016 at 2000 walkers and data: 2.5 of it, at a fixed seed.
    assert!((model.masses(&theta)[0] - 0.25).abs() < 0.04, "{:?}", model.masses(&theta));
    let exact = model.log_z(&theta);
    let observed = found.observer_log_z.unwrap();
    assert!(observed.sigmas_from(exact) < 4.0, "{observed} {exact}");
    // Drivers feel their own noise: rate d K / N nats of log Z, with a measured factor of up to 1.6.
    let feedback = 1.6 * 0.0075 * 10.0 * 2000.0 / 2000.0;
    assert!((found.log_z.value - exact).abs() < 4.0 * found.log_z.se + feedback, "{} {exact}", found.log_z);
}

#[test] // controls: the same gate rejects the methods without weights
fn contrastive_divergence_loses_the_masses() {
    for (method, rate) in [(Method::Cd { every: 4 }, 0.025), (Method::Pcd { start: Start::Data, reinit: 0.0 }, 0.0075)]
    {
        let (model, trainer) = race(method, rate, 0);
        let theta = trainer.theta().unwrap();
        assert!((model.masses(&theta)[0] - 0.25).abs() > 0.1, "{method:?} {:?}", model.masses(&theta));
        // The means are found: it is the mass alone that is lost.
        assert!((model.mean(&theta, 1)[0] - 6.0).abs() < 0.2, "{method:?} {:?}", model.mean(&theta, 1));
    }
}

/// Wells that stay where the data has them; only the log-mass `z` moves, by `0.0125` of its gradient.
fn fixed_wells(method: Method, walkers: usize) -> f64 {
    let mut rate_factors = vec![0.0; 5];
    rate_factors[4] = 1.0;
    let base = TrainConfig::default();
    let config = TrainConfig { method, walkers, learning_rate: 0.0125, rate_factors, iterations: 200, seed: 2, ..base };
    let (_, mut trainer) = student(2, 1000, (-10.0, 6.0), &config);
    trainer.run(200).unwrap();
    f64::from(trainer.theta().unwrap()[4])
}

#[test]
fn frozen_wells_follow_the_logistic_recursion() {
    let mass_2 = |z: f64| 1.0 / (1.0 + z.exp());
    let want = (0..200).fold(0.0, |z, _| z + 0.0125 * (mass_2(z) - 0.75));
    let got = fixed_wells(Method::Weighted, 4000);
    let (p, q) = (mass_2(want), mass_2(got));
    assert!((p - q).abs() < 4.0 * (p * (1.0 - p) / 4000.0).sqrt(), "{q} {p}");
    // From data with exact fractions the gradient is zero from the start.
    let stuck = fixed_wells(Method::Pcd { start: Start::Data, reinit: 0.0 }, 1000);
    assert!(stuck.abs() < 1e-3, "{stuck}");
    // From the model it never changes: a straight line to the loss of one well.
    let drift = fixed_wells(Method::Pcd { start: Start::Model, reinit: 0.0 }, 4000) / 200.0;
    assert!((drift / (0.0125 * (0.5 - 0.75)) - 1.0).abs() < 0.02, "{drift}");
}

#[test]
fn a_restored_run_repeats_the_uninterrupted_one_bit_for_bit() {
    let config = TrainConfig {
        walkers: 300,
        observers: 100,
        optimiser: Optimiser::Adam { beta1: 0.9, beta2: 0.99 },
        resample: Some(Resampling { scheme: Default::default(), ess_below: 0.99 }),
        data_batch: 50,
        iterations: 100,
        ..TrainConfig::default()
    };
    let make = || student(3, 200, (-0.5, 0.5), &config).1;
    let mut whole = make();
    let report = whole.report();
    assert!(report.dispatches() > 1 && report.bytes() > 0 && report.flops() > 0.0, "{report}");
    assert_eq!(whole.plan_report(), report.to_string());
    whole.run(40).unwrap();
    let kept = whole.state().unwrap();
    whole.run(37).unwrap();
    let mut second = make();
    second.restore(40, &kept).unwrap();
    second.run(30).unwrap();
    second.run(7).unwrap();
    let bits =
        |t: &Trainer| t.state().unwrap().into_iter().map(|s| format!("{} {:?}", s.name, s.values)).collect::<Vec<_>>();
    assert_eq!((second.iteration(), bits(&second)), (77, bits(&whole)));
    assert!(whole.diagnostics().unwrap().resamplings > 0, "no resampling: the test says less than it should");
    let mut other = student(3, 200, (-0.5, 0.5), &TrainConfig { walkers: 200, ..config }).1;
    let error = other.restore(40, &kept).unwrap_err().to_string();
    assert!(error.contains("Trainer::restore"), "{error}");
}

#[test]
fn what_makes_no_sense_is_refused_with_its_name() {
    let model = Mixture::new(2, 1).unwrap();
    let theta = model.parameters(&[vec![-1.0], vec![1.0]], &[0.5, 0.5]).unwrap();
    let base = TrainConfig { walkers: 4, ..TrainConfig::default() };
    let refusal = |config: &TrainConfig, data: &[f32], positions: Vec<f32>| {
        let start = InitialWalkers { positions, log_z: 0.0 };
        let made = Trainer::new(&common::gpu(), &model, data, &theta, start, config);
        made.err().map_or(String::new(), |error| error.to_string())
    };
    let said = refusal(&TrainConfig { step_size: -1.0, ..base.clone() }, &[0.0], vec![0.0; 4]);
    assert_eq!(said, "step_size is -1, but must be a positive number");
    let said = refusal(&TrainConfig { walkers: 0, ..base.clone() }, &[0.0], vec![]);
    assert_eq!(said, "walkers is 0, but must be at least 1");
    assert_eq!(refusal(&base, &[0.0, f32::NAN], vec![0.0; 4]), "data is NaN in row 1, but must be finite everywhere");
    assert!(refusal(&base, &[0.0], vec![0.0; 3]).contains("got 3 numbers of first positions, want 4"));
    assert!(refusal(&base, &[], vec![0.0; 4]).contains("at least one row of 1"));
}

#[test]
fn an_energy_that_overflows_raises_the_fault_word() {
    let config = TrainConfig { walkers: 16, learning_rate: 1e38, iterations: 50, ..TrainConfig::default() };
    let (_, mut trainer) = student(1, 50, (-0.5, 0.5), &config);
    trainer.run(50).unwrap();
    let error = trainer.diagnostics().unwrap_err();
    assert!(matches!(error, ergodic::Error::Fault { word, .. } if word & ergodic::Fault::NON_FINITE != 0), "{error}");
}
