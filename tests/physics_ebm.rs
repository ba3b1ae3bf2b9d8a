//! Energy-based models: exact log Z along prescribed paths, training against closed forms, and controls that fail.

mod common;

use ergodic::graph::{Feeds, Graph};
use ergodic::methods::ebm::*;
use ergodic::random::RngKey;

const KEY: RngKey = RngKey { seed: [7, 0], stream: 0 };

fn two_wells(d: usize) -> (Mixture, Vec<f32>) {
    let model = Mixture::new(2, d).unwrap();
    let at = |v: f64| (0..d).map(|i| if i == 0 { v } else { 0.0 }).collect::<Vec<_>>();
    let theta = model.parameters(&[at(-1.5), at(1.0)], &[0.4, 0.6]).unwrap();
    (model, theta)
}

fn start(model: &Mixture, theta: &[f32], config: &TrainConfig) -> InitialWalkers {
    InitialWalkers { positions: model.sample(theta, config.rows(), KEY), log_z: model.log_z(theta) }
}

/// States of one problem after `steps` iterations, by the f64 meaning of its graph.
fn in_f64(problem: Problem<'_>, fixed: Feeds, theta: &[f32], x: &[f32], zeros: &[State], steps: usize) -> Feeds {
    let g = Graph::new();
    let first = initial(&g, problem).unwrap();
    let vars: Vec<_> = first.iter().map(|(_, var)| *var).collect();
    let mut feeds = fixed.tensor("theta", theta).tensor("x", x);
    let values = g.eval_f64(&vars, &feeds).unwrap();
    for state in zeros {
        feeds.set(&state.name, vec![0.0; state.shape.iter().product::<usize>()]);
    }
    feeds.set("theta", theta);
    feeds.set("x", x);
    first.iter().zip(values).for_each(|((name, _), value)| feeds.set(name, value.data));
    let g = Graph::new();
    let out = iteration(&g, problem).unwrap();
    let vars: Vec<_> = out.iter().map(|(_, var)| *var).collect();
    for _ in 0..steps {
        let values = g.eval_f64(&vars, &feeds).unwrap();
        feeds.advance(out.iter().map(|(name, _)| name.as_str()).zip(&values));
    }
    feeds
}

fn assert_same_as_f64(what: &str, config: &TrainConfig) {
    let (model, theta) = two_wells(3);
    let data = ergodic::data::GaussianMixture::two_wells(3, -2.0, 2.0, 0.25).unwrap().sample(40, 3).x;
    let first = start(&model, &theta, config);
    let problem = Problem { energy: &model, drive: Drive::Learn { n_data: 40 }, config };
    let mut trainer = Trainer::new(&common::gpu(), &model, &data, &theta, first.clone(), config).unwrap();
    let zeros = trainer.state().unwrap();
    let mut x = first.positions.clone();
    if config.method.starts_on_data() {
        x[..config.walkers * 3].copy_from_slice(&data[..config.walkers * 3]);
    }
    let mut fixed = Feeds::new().tensor("data", &data).key("key", RngKey::new(config.seed));
    fixed.set("pool", &x[..config.walkers * 3].to_vec());
    fixed.set("rate_factors", &config.rate_factors);
    let want = in_f64(problem, fixed, &theta, &x, &zeros, 5);
    trainer.run(5).unwrap();
    for state in trainer.state().unwrap() {
        let Values::F32(got) = state.values else { continue };
        let want = want.get(&state.name).unwrap();
        for (i, (got, want)) in got.iter().zip(want).enumerate() {
            // Five steps of about a hundred roundings each, on values up to the size of the largest energy.
            let allowed = 1e-4 * (1.0 + want.abs());
            assert!((f64::from(*got) - want).abs() < allowed, "{what}: {}[{i}] {got} {want}", state.name);
        }
    }
}

#[test]
fn an_iteration_on_the_device_is_its_f64_meaning() {
    let base =
        TrainConfig { walkers: 23, observers: 9, step_size: 0.05, iterations: 50, seed: 5, ..TrainConfig::default() };
    let adam = Optimiser::Adam { beta1: 0.5, beta2: 0.9 };
    assert_same_as_f64("weighted", &base);
    let dressed = TrainConfig {
        sub_steps: 2,
        optimiser: adam,
        decay: Decay::Linear,
        clip_norm: Some(0.3),
        rate_factors: vec![1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 2.0],
        energy_penalty: 0.01,
        data_batch: 16,
        temperature: 0.8,
        ..base.clone()
    };
    assert_same_as_f64("all options", &dressed);
    assert_same_as_f64("batched walkers", &TrainConfig { batch_walkers: 6, sub_steps: 3, ..base.clone() });
    assert_same_as_f64("clipped", &TrainConfig { kernel: Kernel::ClippedUla { clip: 0.02 }, ..base.clone() });
    assert_same_as_f64("work only", &TrainConfig { method: Method::WorkOnly, ..base.clone() });
    assert_same_as_f64("cd", &TrainConfig { method: Method::Cd { every: 3 }, observers: 0, ..base.clone() });
    let pcd = Method::Pcd { start: Start::Model, reinit: 0.3 };
    assert_same_as_f64("pcd", &TrainConfig { method: pcd, ..base });
}
