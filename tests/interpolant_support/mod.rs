//! The mixtures of the checks, and their fields on a device.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use ergodic::Result;
use ergodic::dynamics::ode::Rates;
use ergodic::gpu::{Gpu, Tensor};
use ergodic::graph::{Graph, Var};
use ergodic::methods::interpolant::{Fields, Gamma, GaussianMixture, MixturePath, Schedule};
use ergodic::plan::{Bindings, CompileOptions, Plan, Session};

pub const EPS: f64 = f32::EPSILON as f64;

/// `1/2 N(+-3, 0.25)`.
pub fn two_modes() -> GaussianMixture {
    GaussianMixture::isotropic(&[0.5, 0.5], &[vec![-3.0], vec![3.0]], &[0.25, 0.25]).unwrap()
}

/// `1/3 {N(-6, 0.5), N(0, 0.33), N(6, 0.5)}`.
pub fn three_modes() -> GaussianMixture {
    let third = 1.0 / 3.0;
    GaussianMixture::isotropic(&[third; 3], &[vec![-6.0], vec![0.0], vec![6.0]], &[0.5, 0.33, 0.5]).unwrap()
}

pub fn one_dimensional(schedule: Schedule) -> MixturePath {
    MixturePath::between(schedule, two_modes(), three_modes()).unwrap()
}

pub fn root(a: f64) -> Gamma {
    Gamma::Root { a }
}

pub fn linear(gamma: Gamma) -> Schedule {
    Schedule::Linear { gamma }
}

/// The schedules of the table of values, by name.
pub fn schedules() -> [(&'static str, Schedule); 7] {
    [
        ("linear a=1", linear(root(1.0))),
        ("linear a=2", linear(root(2.0))),
        ("trig unit", Schedule::UnitTrig { gamma: root(2.0) }),
        ("enc-dec", Schedule::EncodeDecode { gamma: Gamma::SineSquared }),
        ("linear 0", linear(Gamma::Zero)),
        ("trig 0", Schedule::Trig { gamma: Gamma::Zero }),
        ("trig a=1", Schedule::Trig { gamma: root(1.0) }),
    ]
}

/// All fields of a path by name, as a graph.
pub fn named<'g>(fields: &Fields<'g>) -> [(&'static str, Var<'g>); 7] {
    [
        ("log_density", fields.log_density),
        ("b", fields.b),
        ("s", fields.s),
        ("v", fields.v),
        ("eta_0", fields.eta_0),
        ("eta_1", fields.eta_1),
        ("eta_z", fields.eta_z),
    ]
}

pub fn tensor(gpu: &Gpu, values: &[f64], d: usize) -> Tensor {
    let values: Vec<f32> = values.iter().map(|&v| v as f32).collect();
    Tensor::from_slice(gpu, "values", &[values.len() / d, d], &values).unwrap()
}

pub fn read(tensor: &Tensor) -> Vec<f64> {
    tensor.read::<f32>().unwrap().wait().unwrap().into_iter().map(f64::from).collect()
}

pub fn parameters(gpu: &Gpu, path: &MixturePath) -> Tensor {
    let theta = path.parameters().unwrap();
    Tensor::from_slice(gpu, "theta", &[theta.len()], &theta).unwrap()
}

/// The node of a path's parameters.
pub fn theta<'g>(g: &'g Graph, path: &MixturePath) -> Var<'g> {
    g.input("theta", [path.n_params().unwrap()])
}

/// All fields at rows `(t, x)` on a device, by name.
pub fn on_device(gpu: &Gpu, path: &MixturePath, t: &[f64], x: &[f64]) -> Vec<(&'static str, Vec<f64>)> {
    let (g, n) = (Graph::new(), t.len());
    let fields = path.fields(theta(&g, path), g.input("t", [n, 1]), g.input("x", [n, path.d()])).unwrap();
    let all = named(&fields);
    let plan = Plan::compile(gpu, &all, &CompileOptions::default()).unwrap();
    let bindings = Bindings::new().tensor("theta", &parameters(gpu, path)).tensor("t", &tensor(gpu, t, 1));
    let mut session = Session::new(&plan, bindings.tensor("x", &tensor(gpu, x, path.d()))).unwrap();
    session.run(1).unwrap();
    session.check().unwrap();
    all.iter().map(|(name, _)| (*name, read(session.tensor(name).unwrap()))).collect()
}

/// The velocity of a path for a solver; every row computes its own time, so that steps are one dispatch.
pub fn velocity<'g>(path: &MixturePath, theta: Var<'g>, t: Var<'g>, x: Var<'g>) -> Result<Rates<'g>> {
    let t = t.broadcast_to([x.shape()[0], 1]);
    Ok(Rates::of(path.fields(theta, t, x)?.b))
}

/// Largest distance between the empirical distribution of `x` and an exact one.
pub fn kolmogorov_smirnov(x: &[f64], exact: &GaussianMixture) -> f64 {
    let mut sorted = x.to_vec();
    sorted.sort_by(f64::total_cmp);
    let n = sorted.len() as f64;
    let gap = |(i, &x): (usize, &f64)| {
        let p = exact.cdf(x).unwrap();
        (p - i as f64 / n).abs().max(((i + 1) as f64 / n - p).abs())
    };
    sorted.iter().enumerate().map(gap).fold(0.0, f64::max)
}
