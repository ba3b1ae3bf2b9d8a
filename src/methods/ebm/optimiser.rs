//! From a gradient to the next parameters, as part of the iteration's graph.

use super::config::{Decay, Optimiser, TrainConfig};
use crate::graph::{DType, Graph, Var};

/// The next parameters, and the optimiser's state by the names of its inputs.
pub(super) struct Update<'g> {
    pub theta: Var<'g>,
    pub state: Vec<(&'static str, Var<'g>)>,
}

/// One step down `gradient [P]`. Reads the inputs `moment1`, `moment2` and `rate_factors` where the configuration has them.
pub(super) fn update<'g>(graph: &'g Graph, config: &TrainConfig, theta: Var<'g>, gradient: Var<'g>) -> Update<'g> {
    let shape = theta.shape();
    let gradient = config.clip_norm.map_or(gradient, |limit| clipped(gradient, limit));
    let factors = (!config.rate_factors.is_empty()).then(|| graph.input("rate_factors", &shape));
    let (direction, state) = match config.optimiser {
        Optimiser::Sgd => (gradient, vec![]),
        Optimiser::Adam { beta1, beta2 } => {
            let second = graph.input("moment2", &shape) * beta2 + gradient.square() * (1.0 - beta2);
            let (first, mut state) = (first_moment(graph, beta1, gradient), vec![("moment2", second)]);
            if beta1 > 0.0 {
                state.push(("moment1", first));
            }
            let mean = if beta1 > 0.0 { first / bias(graph, beta1) } else { first };
            (mean / ((second / bias(graph, beta2)).sqrt() + 1e-8), state)
        }
    };
    let step = direction * rate(graph, config);
    Update { theta: theta - factors.map_or(step, |f| step * f), state }
}

fn first_moment<'g>(graph: &'g Graph, beta1: f64, gradient: Var<'g>) -> Var<'g> {
    if beta1 == 0.0 {
        return gradient;
    }
    graph.input("moment1", gradient.shape()) * beta1 + gradient * (1.0 - beta1)
}

/// `1 - beta^(k+1)`: what the average of k+1 gradients is short of, having started at 0.
fn bias<'g>(graph: &'g Graph, beta: f64) -> Var<'g> {
    let count = graph.step().cast(DType::F32) + 1.0;
    if beta == 0.0 { graph.constant(1.0) } else { -(count * beta.ln()).expm1() }
}

fn rate<'g>(graph: &'g Graph, config: &TrainConfig) -> Var<'g> {
    match config.decay {
        Decay::Constant => graph.constant(config.learning_rate),
        Decay::Linear => {
            let done = graph.step().cast(DType::F32) / config.iterations.max(1) as f64;
            (1.0 - done).max(0.0) * config.learning_rate
        }
    }
}

fn clipped(gradient: Var<'_>, limit: f64) -> Var<'_> {
    let norm = gradient.square().sum(0).sqrt();
    gradient * (limit / norm.max(1e-30)).min(1.0)
}
