//! Small networks: training, gradients in the inputs, and an exact divergence.

use super::replay::{Answer, Inputs, Replay, first, whole};
use super::{Bed, Case, Figure, Sizes, Workload, noise, relative, wide};
use ergodic::autodiff::{Trace, grad};
use ergodic::graph::{Feeds, Graph, Var};
use ergodic::nn::{Activation, Adam, Mlp};
use ergodic::random::RngKey;

/// Rows of which a gradient or a divergence is compared with f64.
const CHECKED: usize = 16;
const LEARNING_RATE: f64 = 1e-3;

/// 64-128-128-1, batch 4096: value, parameter gradient, Adam.
pub fn mlp_train() -> Workload {
    Workload {
        id: "mlp_train",
        unit: "step",
        target: 0.2,
        sizes: [
            Sizes(&[("n", 4096), ("d", 64), ("width", 128), ("steps", 10)]),
            Sizes(&[("n", 512), ("d", 64), ("width", 128), ("steps", 3)]),
            Sizes(&[("n", 128), ("d", 8), ("width", 16), ("steps", 2)]),
        ],
        units: steps,
        build: build_train,
        score: score_train,
    }
}

/// The same network: gradient of each output in its input.
pub fn mlp_input_grad() -> Workload {
    let train = mlp_train();
    Workload { id: "mlp_input_grad", unit: "gradient", build: build_input_grad, score: score_input_grad, ..train }
}

/// 3-256-256-256-2, batch 2048: a velocity field learns a linear interpolant from noise to data.
pub fn velocity_step() -> Workload {
    Workload {
        id: "velocity_step",
        unit: "step",
        target: 0.2,
        sizes: [
            Sizes(&[("n", 2048), ("width", 256), ("steps", 5)]),
            Sizes(&[("n", 256), ("width", 128), ("steps", 3)]),
            Sizes(&[("n", 64), ("width", 16), ("steps", 2)]),
        ],
        units: steps,
        build: build_velocity,
        score: score_velocity,
    }
}

/// Exact divergence of a time-dependent field, 11-128-128-10, batch 2048.
pub fn divergence() -> Workload {
    Workload {
        id: "divergence",
        unit: "divergence",
        target: 0.4,
        sizes: [
            Sizes(&[("n", 2048), ("d", 10), ("width", 128), ("steps", 5)]),
            Sizes(&[("n", 256), ("d", 10), ("width", 128), ("steps", 2)]),
            Sizes(&[("n", 64), ("d", 3), ("width", 16), ("steps", 2)]),
        ],
        units: steps,
        build: build_divergence,
        score: score_divergence,
    }
}

fn steps(sizes: &Sizes) -> f64 {
    sizes.get("steps") as f64
}

/// Weights uniform with variance `1/fan_in`, biases uniform in (-0.1, 0.1): the same bits wherever they are computed.
pub fn parameters(mlp: &Mlp, seed: u32) -> Vec<f32> {
    let layout = mlp.layout();
    let mut theta = noise(layout.len(), seed);
    for l in 0..mlp.sizes.len() - 1 {
        let weight = (3.0 / mlp.sizes[l] as f64).sqrt();
        for (name, scale) in [(format!("w{l}"), weight), (format!("b{l}"), 0.1)] {
            if let Ok(part) = layout.view_mut(&mut theta, &name) {
                part.iter_mut().for_each(|v| *v = (f64::from(*v) * scale) as f32);
            }
        }
    }
    theta
}

/// Rounding of a gradient, relative to its largest entry. A product of inner size `k` is off by at most `k eps` of the sum of
/// its absolute terms; they are added over all layers, forwards and backwards, twice for terms that cancel.
pub fn rounding(mlp: &Mlp) -> f64 {
    4.0 * f64::from(f32::EPSILON) * mlp.sizes.iter().sum::<usize>() as f64
}

fn regression_net(sizes: &Sizes) -> ergodic::Result<Mlp> {
    Mlp::new(&[sizes.get("d"), sizes.get("width"), sizes.get("width"), 1], Activation::Silu)
}

fn regression_loss<'g>(g: &'g Graph, mlp: &Mlp, n: usize) -> ergodic::Result<(Var<'g>, Var<'g>)> {
    let theta = g.input("theta", [mlp.layout().len()]);
    let (x, y) = (g.input("x", [n, mlp.sizes[0]]), g.input("y", [n, 1]));
    Ok(((mlp.apply(theta, x)? - y).square().mean_all(), theta))
}

/// Adam on a loss as a case; it answers with the first moment after one step, `(1 - beta1)` times the gradient.
fn training<'a>(
    bed: &Bed<'_>,
    (loss, theta): (Var<'_>, Var<'_>),
    mut inputs: Inputs<'a>,
    start: Vec<f32>,
    steps: u64,
    answer: Answer,
) -> ergodic::Result<Box<dyn Case>> {
    let g = theta.graph();
    let update = Adam::default().step("theta", theta, grad(loss, theta)?, g.constant(LEARNING_RATE), g.step());
    let mut outputs = update.outputs("theta");
    outputs.push(("loss", loss));
    let p = start.len();
    let zeros = || vec![0.0; p];
    inputs.tensors.extend([("theta", vec![p], start), ("theta.m", vec![p], zeros()), ("theta.v", vec![p], zeros())]);
    Ok(Box::new(Replay::new(bed, &outputs, inputs, steps, answer)?.answer_after(1)))
}

/// The first moment after one step by f64, and how far an answer is from it.
fn score_moment(
    mlp: &Mlp,
    (loss, theta): (Var<'_>, Var<'_>),
    feeds: Feeds,
    answer: &[f64],
) -> ergodic::Result<Vec<Figure>> {
    let value = theta.graph().eval_f64(&[grad(loss, theta)?], &feeds)?;
    let want: Vec<_> = value[0].data.iter().map(|g| (1.0 - Adam::default().beta1) * g).collect();
    Ok(vec![gradient_error(mlp, answer, &want)])
}

fn gradient_error(mlp: &Mlp, got: &[f64], want: &[f64]) -> Figure {
    Figure { name: "gradient, relative error", value: relative(got, want), bound: rounding(mlp) }
}

fn build_train(bed: &Bed<'_>, sizes: &Sizes) -> ergodic::Result<Box<dyn Case>> {
    let (mlp, n, d) = (regression_net(sizes)?, sizes.get("n"), sizes.get("d"));
    let g = Graph::new();
    let tensors = vec![("x", vec![n, d], noise(n * d, 2)), ("y", vec![n, 1], noise(n, 3))];
    let inputs = Inputs { tensors, keys: vec![] };
    let loss = regression_loss(&g, &mlp, n)?;
    training(bed, loss, inputs, parameters(&mlp, 1), sizes.get("steps") as u64, whole("theta.m"))
}

fn score_train(sizes: &Sizes, answer: &[f64]) -> ergodic::Result<Vec<Figure>> {
    let (mlp, n) = (regression_net(sizes)?, sizes.get("n"));
    let g = Graph::new();
    let feeds = Feeds::new().tensor("theta", parameters(&mlp, 1)).tensor("x", noise(n * mlp.sizes[0], 2));
    score_moment(&mlp, regression_loss(&g, &mlp, n)?, feeds.tensor("y", noise(n, 3)), answer)
}

/// `d u_i / d x_i` for the rows of `x [n, d]`.
fn input_grad<'g>(g: &'g Graph, mlp: &Mlp, n: usize) -> ergodic::Result<Var<'g>> {
    let (theta, x) = (g.input("theta", [mlp.layout().len()]), g.input("x", [n, mlp.sizes[0]]));
    grad(mlp.apply(theta, x)?.reshape([n]), x)
}

fn build_input_grad(bed: &Bed<'_>, sizes: &Sizes) -> ergodic::Result<Box<dyn Case>> {
    let (mlp, n, d) = (regression_net(sizes)?, sizes.get("n"), sizes.get("d"));
    let (g, theta) = (Graph::new(), parameters(&mlp, 1));
    let tensors = vec![("theta", vec![theta.len()], theta), ("x", vec![n, d], noise(n * d, 2))];
    let inputs = Inputs { tensors, keys: vec![] };
    let answer = first("gradient", CHECKED * d);
    let outputs = [("gradient", input_grad(&g, &mlp, n)?)];
    Ok(Box::new(Replay::new(bed, &outputs, inputs, sizes.get("steps") as u64, answer)?))
}

fn score_input_grad(sizes: &Sizes, answer: &[f64]) -> ergodic::Result<Vec<Figure>> {
    let (mlp, g) = (regression_net(sizes)?, Graph::new());
    let x = noise(CHECKED * mlp.sizes[0], 2);
    let feeds = Feeds::new().tensor("theta", parameters(&mlp, 1)).tensor("x", x);
    let want = g.eval_f64(&[input_grad(&g, &mlp, CHECKED)?], &feeds)?;
    Ok(vec![gradient_error(&mlp, answer, &want[0].data)])
}

fn velocity_net(sizes: &Sizes) -> ergodic::Result<Mlp> {
    let width = sizes.get("width");
    Mlp::new(&[3, width, width, width, 2], Activation::Silu)
}

/// Mean of `|v(t, x_t) - (x_1 - x_0)|^2` with `x_t = (1 - t) x_0 + t x_1`, and the parameters.
fn interpolant_loss<'g>(
    mlp: &Mlp,
    theta: Var<'g>,
    (t, x0, x1): (Var<'g>, Var<'g>, Var<'g>),
) -> ergodic::Result<(Var<'g>, Var<'g>)> {
    let at = x0 * (1.0 - t) + x1 * t;
    let input = Var::concat(&[t, at], 1).unwrap_or(at);
    let error = mlp.apply(theta, input)? - (x1 - x0);
    Ok((error.square().sum(1).mean_all(), theta))
}

fn build_velocity(bed: &Bed<'_>, sizes: &Sizes) -> ergodic::Result<Box<dyn Case>> {
    let (mlp, n) = (velocity_net(sizes)?, sizes.get("n"));
    let g = Graph::new();
    let key = g.key("draws");
    let draws = (key.fold_in(0).uniform([n, 1]), key.fold_in(1).normal([n, 2]), g.input("data", [n, 2]));
    let loss = interpolant_loss(&mlp, g.input("theta", [mlp.layout().len()]), draws)?;
    let host = RngKey::new(4);
    let inputs = Inputs { tensors: vec![("data", vec![n, 2], noise(2 * n, 5))], keys: vec![("draws", host)] };
    let answer = move |session: &ergodic::plan::Session| {
        let (mut t, mut x0) = (vec![0.0; n], vec![0.0; 2 * n]);
        host.fold_in(0).fill_uniform(0, 1, &mut t);
        host.fold_in(1).fill_normal(0, 2, &mut x0);
        let moment = session.read::<f32>("theta.m")?.wait()?;
        Ok(wide(&[t, x0, moment].concat()))
    };
    training(bed, loss, inputs, parameters(&mlp, 1), sizes.get("steps") as u64, Box::new(answer))
}

/// An answer holds its own draws: `t [n]`, `x_0 [n, 2]`, then the first moment.
fn score_velocity(sizes: &Sizes, answer: &[f64]) -> ergodic::Result<Vec<Figure>> {
    let (mlp, n) = (velocity_net(sizes)?, sizes.get("n"));
    if answer.len() != 3 * n + mlp.layout().len() {
        return Ok(vec![gradient_error(&mlp, answer, &[])]);
    }
    let g = Graph::new();
    let draws = (g.input("t", [n, 1]), g.input("x0", [n, 2]), g.input("data", [n, 2]));
    let loss = interpolant_loss(&mlp, g.input("theta", [mlp.layout().len()]), draws)?;
    let (draws, moment) = answer.split_at(3 * n);
    let feeds = Feeds::new().tensor("t", &draws[..n]).tensor("x0", &draws[n..]);
    let feeds = feeds.tensor("theta", parameters(&mlp, 1)).tensor("data", noise(2 * n, 5));
    score_moment(&mlp, loss, feeds, moment)
}

fn field_net(sizes: &Sizes) -> ergodic::Result<Mlp> {
    let (d, width) = (sizes.get("d"), sizes.get("width"));
    Mlp::new(&[d + 1, width, width, d], Activation::Silu)
}

/// `div_x f(t, x)` of each row, `[n]`.
fn field_divergence<'g>(g: &'g Graph, mlp: &Mlp, n: usize) -> ergodic::Result<Var<'g>> {
    let d = mlp.sizes[0] - 1;
    let (theta, t, x) = (g.input("theta", [mlp.layout().len()]), g.input("t", [n, 1]), g.input("x", [n, d]));
    let field = mlp.apply(theta, Var::concat(&[t, x], 1).unwrap_or(x))?;
    ergodic::autodiff::divergence(field, x, Trace::Exact)
}

fn build_divergence(bed: &Bed<'_>, sizes: &Sizes) -> ergodic::Result<Box<dyn Case>> {
    let (mlp, n, d) = (field_net(sizes)?, sizes.get("n"), sizes.get("d"));
    let (g, theta) = (Graph::new(), parameters(&mlp, 1));
    let tensors =
        vec![("theta", vec![theta.len()], theta), ("t", vec![n, 1], noise(n, 2)), ("x", vec![n, d], noise(n * d, 3))];
    let inputs = Inputs { tensors, keys: vec![] };
    let outputs = [("divergence", field_divergence(&g, &mlp, n)?)];
    let answer = first("divergence", CHECKED);
    Ok(Box::new(Replay::new(bed, &outputs, inputs, sizes.get("steps") as u64, answer)?))
}

fn score_divergence(sizes: &Sizes, answer: &[f64]) -> ergodic::Result<Vec<Figure>> {
    let (mlp, d, g) = (field_net(sizes)?, sizes.get("d"), Graph::new());
    let feeds = Feeds::new().tensor("theta", parameters(&mlp, 1)).tensor("t", noise(CHECKED, 2));
    let feeds = feeds.tensor("x", noise(CHECKED * d, 3));
    let want = g.eval_f64(&[field_divergence(&g, &mlp, CHECKED)?], &feeds)?;
    let value = relative(answer, &want[0].data);
    Ok(vec![Figure { name: "divergence, relative error", value, bound: rounding(&mlp) }])
}
