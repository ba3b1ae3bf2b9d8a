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
    fixed.set("pool", x[..config.walkers * 3].to_vec());
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

/// A Gaussian well in four dimensions, stiffness 1 to `to` and centre 0 to 1, in `steps` steps.
fn stiffened(to: f64, steps: u64, config: TrainConfig) -> (Diagnostics, Trainer) {
    let config = TrainConfig { iterations: steps, seed: 11, ..config };
    let part = |k: u64| k as f64 / steps as f64;
    let path: Vec<_> = (0..=steps).flat_map(|k| [(1.0 + (to - 1.0) * part(k)) as f32, part(k) as f32]).collect();
    let well = Quadratic { d: 4 };
    let positions = well.sample(1.0, 0.0, config.rows(), KEY);
    let start = InitialWalkers { positions, log_z: well.log_z(1.0) };
    let mut trainer = Trainer::follow(&common::gpu(), &well, &path, start, &config).unwrap();
    trainer.run(steps).unwrap();
    (trainer.diagnostics().unwrap(), trainer)
}

#[test]
fn weights_are_exact_for_every_kernel_and_every_resampling() {
    let base = TrainConfig { walkers: 20_000, ..TrainConfig::default() };
    for kernel in [Kernel::Ula, Kernel::ClippedUla { clip: 0.15 }, Kernel::Mala, Kernel::Frozen] {
        let (found, _) = stiffened(1.5, 20, TrainConfig { kernel, sub_steps: 2, ..base.clone() });
        // Four standard errors: one false alarm in 16,000, and the seed is fixed.
        assert!(found.log_z.sigmas_from(Quadratic { d: 4 }.log_z(1.5)) < 4.0, "{kernel:?} {}", found.log_z);
    }
    let exact = Quadratic { d: 4 }.log_z(4.0);
    let (batched, _) = stiffened(4.0, 50, TrainConfig { batch_walkers: 5_000, sub_steps: 4, ..base.clone() });
    assert!(batched.log_z.sigmas_from(exact) < 4.0, "mini-batched {}", batched.log_z);
    use ergodic::dynamics::resample::{Resampling, Scheme};
    for scheme in [Scheme::Multinomial, Scheme::Stratified, Scheme::Residual, Scheme::Systematic] {
        let resample = Some(Resampling { scheme, ess_below: 0.8 });
        let (found, _) = stiffened(4.0, 50, TrainConfig { resample, observers: 3000, ..base.clone() });
        assert!(found.resamplings > 0 && found.log_z.sigmas_from(exact) < 4.0, "{scheme:?} {}", found.log_z);
        let observed = found.observer_log_z.unwrap();
        assert!(observed.sigmas_from(exact) < 4.0, "{scheme:?} observers {observed}");
    }
}

#[test]
fn the_price_of_a_path_is_the_exact_one() {
    let n = 40_000;
    let (found, trainer) = stiffened(4.0, 50, TrainConfig { walkers: n, ..TrainConfig::default() });
    // The second moment of the weights is a Gaussian integral along the path: R = 2.05888, and ess = 1/R.
    let se = (1.05888 / n as f64).sqrt();
    assert!((found.log_z.value - Quadratic { d: 4 }.log_z(4.0)).abs() < 4.0 * se, "{}", found.log_z);
    assert!((found.ess * 2.05888 - 1.0).abs() < 0.05, "{}", found.ess);
    let column: Vec<_> = trainer.walkers().unwrap().iter().skip(1).step_by(4).map(|&v| f64::from(v)).collect();
    let weighted = trainer.weights().unwrap().variance(&column);
    assert!(weighted.sigmas_from(0.25) < 4.0, "{weighted}");
    // The control: walkers lag behind the well, and without weights their variance is 0.319.
    let plain = column.iter().map(|x| x * x).sum::<f64>() / n as f64;
    assert!((plain - 0.319).abs() < 4.0 * 0.319 * (2.0 / n as f64).sqrt(), "{plain}");
}

#[test] // controls: what the test of exact weights must reject
fn work_alone_and_overwritten_positions_miss_log_z() {
    let exact = Quadratic { d: 4 }.log_z(4.0);
    let base = TrainConfig { walkers: 20_000, ..TrainConfig::default() };
    for method in [Method::WorkOnly, Method::Aliased] {
        let (found, _) = stiffened(4.0, 50, TrainConfig { method, ..base.clone() });
        let off = (found.log_z.value - exact).abs();
        assert!(off > 0.1, "{method:?} {} would pass for {exact}", found.log_z);
    }
}

/// One energy moved up by a constant.
struct Raised<'a>(&'a dyn Energy, f64);

impl Energy for Raised<'_> {
    fn n_params(&self) -> usize {
        self.0.n_params()
    }
    fn n_dims(&self) -> usize {
        self.0.n_dims()
    }
    fn energy<'g>(
        &self,
        theta: ergodic::graph::Var<'g>,
        x: ergodic::graph::Var<'g>,
    ) -> ergodic::Result<ergodic::graph::Var<'g>> {
        Ok(self.0.energy(theta, x)? + self.1)
    }
}

/// Parameters and log Z after 20 iterations of two wells, all moved by `by`, walkers in the order `order`.
fn trained(energy: &dyn Energy, by: f32, kernel: Kernel, order: impl Fn(usize) -> usize) -> (Vec<f32>, f64) {
    let (model, mut theta) = two_wells(2);
    let config = TrainConfig { walkers: 128, kernel, learning_rate: 0.05, iterations: 20, ..TrainConfig::default() };
    let first = start(&model, &theta, &config);
    let moved = |x: &[f32]| x.chunks(2).flat_map(|row| [row[0] + by, row[1]]).collect::<Vec<_>>();
    let positions = moved(&(0..128).flat_map(|i| first.positions[2 * order(i)..][..2].to_vec()).collect::<Vec<_>>());
    let data = moved(&ergodic::data::GaussianMixture::two_wells(2, -2.0, 2.0, 0.25).unwrap().sample(100, 3).x);
    let means = moved(&theta[..4]);
    theta[..4].copy_from_slice(&means);
    let first = InitialWalkers { positions, ..first };
    let mut trainer = Trainer::new(&common::gpu(), energy, &data, &theta, first, &config).unwrap();
    trainer.run(20).unwrap();
    (trainer.theta().unwrap(), trainer.diagnostics().unwrap().log_z.value)
}

#[test]
fn training_knows_no_origin_no_zero_of_energy_and_no_order_of_walkers() {
    let model = two_wells(2).0;
    // Rounding of energies up to 20 and positions up to 12 over 20 steps; the path itself moves parameters by 0.3.
    let close = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-4);
    let (theta, log_z) = trained(&model, 0.0, Kernel::Ula, |i| i);
    let (raised, raised_z) = trained(&Raised(&model, 8.0), 0.0, Kernel::Ula, |i| i);
    assert!(close(&theta, &raised), "{theta:?} {raised:?}");
    // The walkers' start has the log Z of the model without the constant, so what a constant moves is not seen: 0.
    assert!((log_z - raised_z).abs() < 1e-4, "{log_z} {raised_z}");
    let (mut moved, moved_z) = trained(&model, 8.0, Kernel::Ula, |i| i);
    moved[0] -= 8.0;
    moved[2] -= 8.0;
    assert!(close(&theta, &moved) && (log_z - moved_z).abs() < 1e-4, "{theta:?} {moved:?}");
    // Noise belongs to a walker's place, so an order is only immaterial where there is none.
    let (still, still_z) = trained(&model, 0.0, Kernel::Frozen, |i| i);
    let (mixed, mixed_z) = trained(&model, 0.0, Kernel::Frozen, |i| (i * 37) % 128);
    assert!(close(&still, &mixed) && (still_z - mixed_z).abs() < 1e-4, "{still:?} {mixed:?}");
    assert!(!close(&theta, &still), "the control: walkers that move go elsewhere");
}

#[test]
fn the_gradient_is_that_of_the_energy() {
    let (model, theta) = two_wells(2);
    let net = MlpEnergy::new(&[2, 5, 4], ergodic::nn::Activation::Silu, 1.3).unwrap();
    let mut weights = net.mlp().init(KEY);
    weights.iter_mut().for_each(|w| *w += 0.1);
    let config = TrainConfig { walkers: 6, ..TrainConfig::default() };
    let x = model.sample(&theta, 6, KEY);
    for (energy, theta) in [(&model as &dyn Energy, theta), (&net, weights)] {
        let g = Graph::new();
        let problem = Problem { energy, drive: Drive::Learn { n_data: 1 }, config: &config };
        let out = initial(&g, problem).unwrap();
        let by_name = |name: &str| out.iter().find(|(n, _)| n == name).unwrap().1;
        let (u, gradient) = (by_name("u"), by_name("model_gradient"));
        let at = |theta: Vec<f64>| Feeds::new().tensor("x", &x).tensor("theta", theta);
        let wide: Vec<_> = theta.iter().map(|&t| f64::from(t)).collect();
        let got = g.eval_f64(&[gradient], &at(wide.clone())).unwrap()[0].data.clone();
        let mean = |j: usize, by: f64| {
            let mut theta = wide.clone();
            theta[j] += by;
            g.eval_f64(&[u], &at(theta)).unwrap()[0].data.iter().sum::<f64>() / 6.0
        };
        for (j, got) in got.iter().enumerate() {
            let want = (mean(j, 1e-4) - mean(j, -1e-4)) / 2e-4;
            // Central differences in f64: 1e-8 of a third derivative, and 1e-12 of rounding.
            assert!((got - want).abs() < 1e-6 * (1.0 + want.abs()), "{j} {got} {want}");
        }
    }
}
