//! A run that stops being finite says at which step and in which walker that began.

mod common;

use ergodic::dynamics::{Schedule, Start, WeightedLangevin};
use ergodic::gpu::{Gpu, Tensor};
use ergodic::graph::{Graph, Var};
use ergodic::methods::ebm::*;
use ergodic::random::RngKey;
use ergodic::{Error, Fault, NonFinite, Result};

const KEY: RngKey = RngKey { seed: [4, 0], stream: 0 };

/// Step, whose, row of a fault.
fn place(error: Error) -> (u64, String, usize) {
    let text = error.to_string();
    match error {
        Error::Fault { word: Fault::NON_FINITE, step, first: Some(NonFinite { whose, row, value }) } => {
            assert!(!value.is_finite());
            (step, whose, row)
        }
        _ => panic!("{text}"),
    }
}

/// `x^2 / 2` in one dimension, and a wall: beyond `edge` the energy overflows. One parameter, a shift of the well.
struct Walled {
    edge: f64,
}

impl Energy for Walled {
    fn n_params(&self) -> usize {
        1
    }
    fn n_dims(&self) -> usize {
        1
    }
    fn energy<'g>(&self, theta: Var<'g>, x: Var<'g>) -> Result<Var<'g>> {
        let from_well = x - theta.unsqueeze(0);
        // exp(1000) is not a number that f32 holds; before the edge the term is below exp(-1000).
        let wall = ((x - self.edge) * 1e6).max(-1000.0).min(1000.0).exp();
        Ok((from_well.square() * 0.5 + wall).sum(1))
    }
}

/// Walkers at 0 that stand still, but for one, which starts near the wall and is carried over it by the moving well.
fn carried(walkers: usize, observers: usize, bad: usize, steps: u64) -> Trainer {
    carried_on(&common::gpu(), (walkers, observers), bad, steps)
}

fn carried_on(gpu: &Gpu, (walkers, observers): (usize, usize), bad: usize, steps: u64) -> Trainer {
    let config = TrainConfig {
        walkers,
        observers,
        step_size: 0.1,
        temperature: 1e-8, // no noise to speak of
        iterations: steps,
        ..TrainConfig::default()
    };
    // Each step takes a walker a tenth of the way to the well, which is at 1: the bad one from 0.9 to 1 - 0.1 * 0.9^k.
    let path = vec![1.0; steps as usize + 1];
    let mut positions = vec![0.0; config.rows()];
    positions[bad] = 0.9;
    let start = InitialWalkers { positions, log_z: 0.0 };
    Trainer::follow(gpu, &Walled { edge: 0.96 }, &path, start, &config).unwrap()
}

#[test]
fn an_energy_that_overflows_is_named_with_its_iteration_and_walker() {
    // 1 - 0.1 * 0.9^k passes 0.96 at k = 9: 0.9^8 = 0.430, 0.9^9 = 0.387. The others would come there at k = 31.
    let mut trainer = carried(300, 0, 217, 20);
    trainer.run(20).unwrap();
    let text = trainer.diagnostics().unwrap_err().to_string();
    let want = "fault 0x0001 at step 9, where the energy of walker 217 is inf: a value is not finite: lower the step size or \
                the learning rate";
    assert_eq!(text, want);
    // It is said again, and what a checkpoint would hold is refused with the same words.
    assert_eq!(trainer.diagnostics().unwrap_err().to_string(), want);
    assert_eq!(trainer.state().unwrap_err().to_string(), want);
}

#[test]
fn the_first_iteration_does_not_depend_on_when_one_looks() {
    for looks in [&[5, 3, 12][..], &[8, 1], &[9]] {
        let mut trainer = carried(40, 0, 3, 20);
        let found = looks.iter().find_map(|&steps| {
            trainer.run(steps).unwrap();
            trainer.diagnostics().err()
        });
        assert_eq!(place(found.unwrap()), (9, "the energy of walker".into(), 3), "{looks:?}");
    }
    // The control: a run that ends before is sound.
    let mut trainer = carried(40, 0, 3, 20);
    trainer.run(8).unwrap();
    trainer.diagnostics().unwrap();
}

#[test]
fn an_observer_is_called_one() {
    let mut trainer = carried(10, 7, 14, 12);
    trainer.run(12).unwrap();
    assert_eq!(place(trainer.diagnostics().unwrap_err()), (9, "the energy of observer".into(), 4));
}

#[test]
fn a_restored_run_names_the_iteration_of_the_whole_one() {
    let mut trainer = carried(40, 0, 3, 20);
    trainer.run(6).unwrap();
    let kept = trainer.state().unwrap();
    let mut second = carried(40, 0, 5, 20);
    second.restore(6, &kept).unwrap();
    second.run(14).unwrap();
    assert_eq!(place(second.diagnostics().unwrap_err()), (9, "the energy of walker".into(), 3));
}

#[test]
fn without_memory_for_copies_a_run_goes_on_and_its_fault_has_no_place() {
    let roomy = common::fresh(|_| ());
    let _trainer = carried_on(&roomy, (100_000, 0), 3, 20);
    // One byte less than with the copies: they are what there is no room for.
    let tight = roomy.memory().in_use - 1;
    let mut trainer = carried_on(&common::fresh(|options| options.memory_budget = Some(tight)), (100_000, 0), 3, 20);
    trainer.run(20).unwrap();
    let error = trainer.diagnostics().unwrap_err();
    assert!(matches!(error, Error::Fault { word: Fault::NON_FINITE, step: 20, first: None }), "{error}");
}

/// Two wells, trained at a rate that throws the parameters out of f32.
fn thrown(rate: f64) -> Error {
    let model = Mixture::new(2, 1).unwrap();
    let theta = model.parameters(&[vec![-1.0], vec![1.0]], &[0.5, 0.5]).unwrap();
    let config = TrainConfig { walkers: 16, learning_rate: rate, iterations: 50, ..TrainConfig::default() };
    let start = InitialWalkers { positions: model.sample(&theta, 16, KEY), log_z: model.log_z(&theta) };
    let data = [-4.0, -3.0, 5.0];
    let mut trainer = Trainer::new(&common::gpu(), &model, &data, &theta, start, &config).unwrap();
    trainer.run(50).unwrap();
    trainer.diagnostics().unwrap_err()
}

#[test]
fn parameters_are_named_before_the_walkers_that_they_spoil() {
    // A mean moves by 1e30 in the first iteration: its square is not a number of f32, so all energies are bad, and named first.
    assert_eq!(place(thrown(1e30)), (1, "the energy of walker".into(), 0));
    // At 3e38 and above the parameter itself is not.
    let (step, whose, _) = place(thrown(1e39));
    assert_eq!((step, whose.as_str()), (1, "parameter"));
}

#[test]
fn bad_numbers_are_refused_where_they_are_uploaded() {
    let model = Mixture::new(2, 1).unwrap();
    let theta = model.parameters(&[vec![-1.0], vec![1.0]], &[0.5, 0.5]).unwrap();
    let config = TrainConfig { walkers: 3, ..TrainConfig::default() };
    let said = |data: &[f32], theta: &[f32], positions: &[f32]| {
        let start = InitialWalkers { positions: positions.to_vec(), log_z: 0.0 };
        let made = Trainer::new(&common::gpu(), &model, data, theta, start, &config);
        made.err().map(|error| error.to_string()).unwrap_or_default()
    };
    let nan = f32::NAN;
    let good = [0.0; 3];
    assert_eq!(said(&[0.0, 1.0, nan], &theta, &good), "data is NaN in row 2, but must be finite everywhere");
    assert_eq!(said(&good, &[0.0, nan, 0.0], &good), "theta is NaN in row 1, but must be finite everywhere");
    let inf = [0.0, f32::INFINITY, 0.0];
    assert_eq!(said(&good, &theta, &inf), "first positions is inf in row 1, but must be finite everywhere");
    // Finite, but the energy is not: the first energies are looked at as well. Both wells' are infinite, their mixture's NaN.
    let far = "fault 0x0001 at step 0, where the energy of walker 2 is NaN: ";
    assert!(said(&good, &theta, &[0.0, 0.0, 3e38]).starts_with(far), "{}", said(&good, &theta, &[0.0, 0.0, 3e38]));
    let far = "fault 0x0001 at step 0, where the energy of data point 1 is NaN: ";
    let start = InitialWalkers { positions: good.to_vec(), log_z: 0.0 };
    let mut trainer = Trainer::new(&common::gpu(), &model, &[0.0, 3e38], &theta, start, &config).unwrap();
    let error = trainer.diagnostics().unwrap_err().to_string();
    assert!(error.starts_with(far), "{error}");
}

/// 100 walkers of the sampler in a well whose stiffness is multiplied at each step, from `walkers`.
fn stiffening(walkers: &[f32], to: f32) -> (WeightedLangevin, Tensor) {
    let gpu = common::gpu();
    let g = Graph::new();
    let (x, k) = (g.input("x", [100, 1]), g.input("k", []));
    let energy = x.square().sum(1) * k;
    let schedule = Schedule::new(1e-3).vary("k", (0..=30).map(|i| to.powi(i)));
    let sampler = WeightedLangevin::new(&gpu, &energy, &x, schedule).unwrap();
    (sampler, Tensor::from_slice(&gpu, "start", &[100, 1], walkers).unwrap())
}

#[test]
fn a_sampler_names_the_step_and_the_walker() {
    // Walker 61 is far out, where it overflows first: not its energy, but the gradient's square in its log-weight. Steps are
    // too long from k = 2000 on, for all.
    let mut walkers = vec![0.0; 100];
    walkers[61] = 1e15;
    let (sampler, start) = stiffening(&walkers, 10.0);
    let mut state = sampler.init(KEY, Start::tensor(&start)).unwrap();
    let (step, whose, row) = place(sampler.step(&mut state, 0..30).unwrap_err());
    assert_eq!((whose.as_str(), row), ("the log-weight of walker", 61));
    // Looked at step by step, it is the same step.
    let (sampler, start) = stiffening(&walkers, 10.0);
    let mut state = sampler.init(KEY, Start::tensor(&start)).unwrap();
    let (at, error) = (0..30).find_map(|k| Some((k + 1, sampler.step(&mut state, k..k + 1).err()?))).unwrap();
    assert_eq!(place(error), (at, whose, row));
    assert_eq!(at, step);
}

#[test]
fn walkers_that_are_uploaded_bad_are_named_before_the_first_step() {
    for (bad, value) in [(f32::NAN, "NaN"), (1e30, "inf")] {
        let mut walkers = vec![0.5; 100];
        walkers[7] = bad;
        let (sampler, start) = stiffening(&walkers, 1.1);
        let error = sampler.init(KEY, Start::tensor(&start)).err().unwrap().to_string();
        let want = format!("fault 0x0001 at step 0, where the energy of walker 7 is {value}: ");
        assert!(error.starts_with(&want), "{error}");
    }
}
