//! Optimisers as pieces of a graph.
//!
//! A step takes the flat parameters, their gradient, a learning rate and the number of updates made before, and gives
//! the next parameters and the next state. State tensors are inputs of the graph that the optimiser declares under
//! names of its own, and outputs of the same names: a session carries them from step to step.

use crate::graph::{DType, Var};

/// The next parameters and optimiser state.
#[derive(Clone)]
#[must_use]
pub struct Update<'g> {
    /// Next parameters, in the shape of the old ones.
    pub theta: Var<'g>,
    /// Names of the state's inputs, with their next values.
    pub state: Vec<(String, Var<'g>)>,
}

impl<'g> Update<'g> {
    /// Everything as named outputs of a plan; the parameters under the name of their input.
    pub fn outputs<'a>(&'a self, theta: &'a str) -> Vec<(&'a str, Var<'g>)> {
        let state = self.state.iter().map(|(name, next)| (name.as_str(), *next));
        std::iter::once((theta, self.theta)).chain(state).collect()
    }

    /// The state's inputs before the first step: all zeros.
    pub fn start(&self) -> Vec<(String, Vec<f32>)> {
        self.state.iter().map(|(name, next)| (name.clone(), vec![0.0; next.shape().numel()])).collect()
    }
}

/// An optimiser by name, for presets.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub enum Optimizer {
    /// Stochastic gradient descent.
    Sgd(Sgd),
    /// Adam.
    Adam(Adam),
}

impl Optimizer {
    /// As [`Sgd::step`] or [`Adam::step`].
    #[track_caller]
    pub fn step<'g>(&self, name: &str, theta: Var<'g>, grad: Var<'g>, lr: Var<'g>, t: Var<'g>) -> Update<'g> {
        match self {
            Optimizer::Sgd(sgd) => sgd.step(name, theta, grad, lr),
            Optimizer::Adam(adam) => adam.step(name, theta, grad, lr, t),
        }
    }
}

/// Stochastic gradient descent, with heavy-ball momentum if it is not 0.
///
/// ```text
/// v' = momentum v + grad,   theta' = theta - lr (v' + weight_decay theta)
/// ```
///
/// State: `NAME.velocity`, in the shape of the parameters; none when `momentum` is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sgd {
    /// Part of the velocity kept from step to step, in [0, 1).
    pub momentum: f64,
    /// Pull toward zero, in units of the inverse learning rate; not part of the velocity.
    pub weight_decay: f64,
}

impl Sgd {
    /// One step with learning rate `lr` (scalar).
    #[track_caller]
    pub fn step<'g>(&self, name: &str, theta: Var<'g>, grad: Var<'g>, lr: Var<'g>) -> Update<'g> {
        let mut state = vec![];
        let mut direction = grad;
        if self.momentum != 0.0 {
            let named = format!("{name}.velocity");
            direction = state_input(&named, theta) * self.momentum + grad;
            state.push((named, direction));
        }
        Update { theta: theta - decayed(direction, self.weight_decay, theta) * lr, state }
    }
}

/// Adam, with decoupled weight decay if it is not 0.
///
/// ```text
/// m' = beta1 m + (1 - beta1) grad          v' = beta2 v + (1 - beta2) grad^2
/// theta' = theta - lr [ (m' / (1 - beta1^k)) / (sqrt(v' / (1 - beta2^k)) + eps) + weight_decay theta ],   k = t + 1
/// ```
///
/// State: `NAME.m` and `NAME.v`, in the shape of the parameters; `beta1 = 0` carries no `m`. The corrections
/// `1 - beta^k` are computed as `-expm1(k log beta)`: in f32 `1 - 0.999^1` would be wrong in its fifth digit.
///
/// Source: Kingma and Ba, arXiv:1412.6980, algorithm 1; weight decay: Loshchilov and Hutter, arXiv:1711.05101.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Adam {
    /// Memory of the mean gradient, in [0, 1).
    pub beta1: f64,
    /// Memory of the mean squared gradient, in (0, 1).
    pub beta2: f64,
    /// Added to the root, in units of the gradient.
    pub eps: f64,
    /// Pull toward zero, in units of the inverse learning rate.
    pub weight_decay: f64,
}

impl Default for Adam {
    /// `beta1 = 0.9, beta2 = 0.999, eps = 1e-8`, no weight decay.
    fn default() -> Self {
        Adam { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.0 }
    }
}

impl Adam {
    /// One step with learning rate `lr` (scalar) after `t` earlier ones (`U32` scalar, [`Graph::step`] if every step of
    /// the graph updates).
    ///
    /// [`Graph::step`]: crate::graph::Graph::step
    #[track_caller]
    pub fn step<'g>(&self, name: &str, theta: Var<'g>, grad: Var<'g>, lr: Var<'g>, t: Var<'g>) -> Update<'g> {
        let k = t.cast(DType::F32) + 1.0;
        let correction = |beta: f64| -(k * beta.ln()).expm1();
        let mut state = vec![];
        let mut moment = |suffix: &str, beta: f64, sample: Var<'g>| {
            let named = format!("{name}.{suffix}");
            let next = state_input(&named, theta) * beta + sample * (1.0 - beta);
            state.push((named, next));
            next
        };
        let mean = if self.beta1 == 0.0 { grad } else { moment("m", self.beta1, grad) / correction(self.beta1) };
        let scale = (moment("v", self.beta2, grad.square()) / correction(self.beta2)).sqrt() + self.eps;
        Update { theta: theta - decayed(mean / scale, self.weight_decay, theta) * lr, state }
    }
}

#[track_caller]
fn state_input<'g>(name: &str, theta: Var<'g>) -> Var<'g> {
    theta.graph().input(name, theta.shape())
}

#[track_caller]
fn decayed<'g>(direction: Var<'g>, weight_decay: f64, theta: Var<'g>) -> Var<'g> {
    if weight_decay == 0.0 { direction } else { direction + theta * weight_decay }
}

/// A gradient scaled down so that its Euclidean norm is at most `max_norm > 0`, and the norm before.
///
/// The factor is exactly 1 for a norm up to `max_norm`, and 0 for one that overflows. All parameters being one vector,
/// this is the global norm.
///
/// ```
/// use ergodic::{graph::{Feeds, Graph}, nn::clip_global_norm};
/// # fn main() -> ergodic::Result<()> {
/// let g = Graph::new();
/// let (clipped, norm) = clip_global_norm(g.input("grad", [2]), 2.5);
/// let got = g.eval_f64(&[clipped, norm], &Feeds::new().tensor("grad", &[3.0, 4.0]))?;
/// assert_eq!((&got[0].data[..], got[1].data[0]), (&[1.5, 2.0][..], 5.0));
/// # Ok(()) }
/// ```
#[track_caller]
pub fn clip_global_norm<'g>(grad: Var<'g>, max_norm: f64) -> (Var<'g>, Var<'g>) {
    let norm = grad.square().sum_all().sqrt();
    (grad * (max_norm / norm.max(max_norm)), norm)
}

/// Exponential moving average: `average + (1 - decay) (value - average)`.
///
/// Make `average` an input and this its next value. Started at zero it lags; started at the value it does not.
#[track_caller]
pub fn ema<'g>(average: Var<'g>, value: Var<'g>, decay: f64) -> Var<'g> {
    average + (value - average) * (1.0 - decay)
}
