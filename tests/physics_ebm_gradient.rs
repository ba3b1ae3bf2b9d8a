//! V9: the gradient of an energy by its parameters. Its average has a closed form; on the device it is that of differences.

mod common;

use ergodic::autodiff::{jvp, vjp};
use ergodic::dynamics::{Estimate, LogWeights};
use ergodic::gpu::Tensor;
use ergodic::graph::{Graph, Var};
use ergodic::methods::ebm::*;
use ergodic::nn::Activation;
use ergodic::plan::{Bindings, CompileOptions, Plan, Session};
use ergodic::random::RngKey;

const KEY: RngKey = RngKey { seed: [9, 0], stream: 0 };

/// An energy at points `x [n, d]`, and what is made of it and its parameters, on the device.
struct OnDevice {
    session: Session,
    theta: Tensor,
}

impl OnDevice {
    fn new<'g>(
        g: &'g Graph,
        energy: &dyn Energy,
        x: &[f32],
        outputs: impl Fn(Var<'g>, Var<'g>) -> Vec<(String, Var<'g>)>,
    ) -> Self {
        let (gpu, p, d) = (common::gpu(), energy.n_params(), energy.n_dims());
        let rows = [x.len() / d, d];
        let theta = g.input("theta", [p]);
        let outputs = outputs(energy.energy(theta, g.input("x", rows)).unwrap(), theta);
        let outputs: Vec<_> = outputs.iter().map(|(name, var)| (name.as_str(), *var)).collect();
        let plan = Plan::compile(&gpu, &outputs, &CompileOptions::default()).unwrap();
        let theta = Tensor::from_slice(&gpu, "theta", &[p], &vec![0.0; p]).unwrap();
        let x = Tensor::from_slice(&gpu, "x", &rows, x).unwrap();
        let session = Session::new(&plan, Bindings::new().tensor("theta", &theta).tensor("x", &x)).unwrap();
        OnDevice { session, theta }
    }

    fn at(&mut self, theta: &[f32], output: &str) -> Vec<f64> {
        self.theta.write(theta).unwrap();
        self.session.run(1).unwrap();
        self.session.check().unwrap();
        self.session.read::<f32>(output).unwrap().wait().unwrap().into_iter().map(f64::from).collect()
    }
}

/// `dU/dtheta_j` of every walker, one list a parameter.
fn by_each_parameter(energy: &dyn Energy, theta: &[f32], x: &[f32]) -> Vec<Vec<f64>> {
    let (g, p) = (Graph::new(), theta.len());
    let along = |j: usize| g.full(1.0, [1]).pad([j], [p]);
    let mut device = OnDevice::new(&g, energy, x, |u, theta| {
        (0..p).map(|j| (format!("by {j}"), jvp(u, theta, along(j)).unwrap())).collect()
    });
    (0..p).map(|j| device.at(theta, &format!("by {j}"))).collect()
}

/// Two wells in the plane that stay, and a log-mass `z` that goes from 0 to 1.5 in 40 steps: the mass of the second falls from
/// 0.5 to 0.18, and few walkers cross between them.
fn moved_mass(n: usize) -> (Mixture, Vec<f32>, Trainer) {
    let model = Mixture::new(2, 2).unwrap();
    let path: Vec<_> = (0..=40).flat_map(|k| [-2.5, 0.0, 2.0, 0.0, 1.5 * k as f32 / 40.0]).collect();
    let config = TrainConfig { walkers: n, step_size: 0.05, iterations: 40, seed: 21, ..TrainConfig::default() };
    let start = InitialWalkers { positions: model.sample(&path[..5], n, KEY), log_z: model.log_z(&path[..5]) };
    let mut trainer = Trainer::follow(&common::gpu(), &model, &path, start, &config).unwrap();
    trainer.run(40).unwrap();
    trainer.diagnostics().unwrap();
    (model, path[40 * 5..].to_vec(), trainer)
}

#[test]
fn the_weighted_mean_of_the_gradient_is_that_of_the_closed_form() {
    let n = 20_000;
    let (model, theta, trainer) = moved_mass(n);
    let z = f64::from(theta[4]);
    // <dU/dtheta> = -d log Z/dtheta, and log Z = log(2 pi) + log(1 + e^-z) does not depend on where the wells are.
    let exact = [0.0, 0.0, 0.0, 0.0, (-z).exp() / (1.0 + (-z).exp())];
    let weights = trainer.weights().unwrap();
    let gradients = by_each_parameter(&model, &theta, &trainer.walkers().unwrap());
    let found: Vec<_> = gradients.iter().map(|g| weights.mean(g)).collect();
    for (j, (found, exact)) in found.iter().zip(exact).enumerate() {
        // Four standard errors: one false alarm in 16,000 each, and the seed is fixed.
        assert!(found.sigmas_from(exact) < 4.0, "by parameter {j}: {found}, exact {exact}");
    }
    // The error bar is one: that of n (ESS) coins, within the scatter of the weights.
    let coins = (exact[4] * (1.0 - exact[4]) / weights.ess()).sqrt();
    assert!((0.5..2.0).contains(&(found[4].se / coins)), "{} for {coins}", found[4].se);
    // The control: without weights the walkers still show the mass that they started with.
    let plain: Estimate = LogWeights::new(vec![0.0; n]).mean(&gradients[4]);
    assert!(plain.sigmas_from(exact[4]) > 20.0, "{plain} passes for {}", exact[4]);
    assert!((plain.value - 0.5).abs() < 0.1, "{plain}");
}

/// Largest difference of two gradients, in units of the largest component of the second.
fn relative(got: &[f64], want: &[f64]) -> f64 {
    let largest = |v: &mut dyn Iterator<Item = f64>| v.fold(0.0, |a: f64, b| a.max(b.abs()));
    largest(&mut got.iter().zip(want).map(|(a, b)| a - b)) / largest(&mut want.iter().copied())
}

#[test]
fn the_gradient_on_the_device_is_that_of_central_differences() {
    let wells = Mixture::new(2, 3).unwrap();
    let at = |v: f64| vec![v, 0.2, -0.3];
    let wells_theta = wells.parameters(&[at(-1.5), at(1.0)], &[0.4, 0.6]).unwrap();
    let net = MlpEnergy::new(&[3, 7, 5], Activation::Silu, 1.3).unwrap();
    let mut net_theta = net.mlp().init(KEY);
    net_theta.iter_mut().for_each(|w| *w += 0.1);
    let x = wells.sample(&wells_theta, 64, KEY.fold_in(1));
    // Lengths and kT are the wells' scale, the root mean square of the weights the network's.
    let rms = (net_theta.iter().map(|w| w * w).sum::<f32>() / net_theta.len() as f32).sqrt();
    for (name, energy, theta, scale) in
        [("wells", &wells as &dyn Energy, wells_theta, 1.0), ("network", &net, net_theta, rms)]
    {
        let g = Graph::new();
        let ones = g.full(1.0 / 64.0, [64]);
        let mut device = OnDevice::new(&g, energy, &x, |u, theta| {
            vec![("u".into(), u), ("gradient".into(), vjp(u, ones, theta).unwrap())]
        });
        let got = device.at(&theta, "gradient");
        // Energies are f32 and are averaged on the host in f64.
        let step = 1e-2 * scale;
        let mut mean = |j: usize, by: f32| {
            let mut moved = theta.clone();
            moved[j] += by;
            (device.at(&moved, "u").iter().sum::<f64>() / 64.0, f64::from(moved[j]))
        };
        let slope = |j: usize| {
            let ((low, from), (high, to)) = (mean(j, -step), mean(j, step));
            (high - low) / (to - from) // what was added is rounded too
        };
        let central: Vec<_> = (0..theta.len()).map(slope).collect();
        // The step's square times a third derivative, below 1e-4 here, and 1e-7 of an energy over the step, 1e-5.
        let off = relative(&got, &central);
        assert!(off <= 1e-3, "{name}: {off:e}");
        // The control: the gradient at parameters ten steps away is another.
        let away: Vec<_> = theta.iter().map(|t| t + 10.0 * step).collect();
        let off = relative(&device.at(&away, "gradient"), &central);
        assert!(off > 1e-2, "{name}: {off:e}");
    }
}
