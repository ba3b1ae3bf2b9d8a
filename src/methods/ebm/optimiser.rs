//! From a gradient to the next parameters, as part of the iteration's graph.

use super::config::{Decay, Optimiser, TrainConfig};
use crate::graph::{DType, Graph, Var};
use crate::nn::{Adam, Sgd, Update, clip_global_norm};

/// One step down `gradient [P]`. Reads the inputs `theta.m`, `theta.v` (Adam) and `rate_factors` where the configuration has
/// them.
pub(super) fn update<'g>(graph: &'g Graph, config: &TrainConfig, theta: Var<'g>, gradient: Var<'g>) -> Update<'g> {
    let gradient = config.clip_norm.map_or(gradient, |limit| clip_global_norm(gradient, limit).0);
    let rate = rate(graph, config);
    let rates = match config.rate_factors.is_empty() {
        true => rate,
        false => graph.input("rate_factors", theta.shape()) * rate,
    };
    match config.optimiser {
        Optimiser::Sgd => Sgd::default().step("theta", theta, gradient, rates),
        Optimiser::Adam { beta1, beta2 } => {
            Adam { beta1, beta2, ..Adam::default() }.step("theta", theta, gradient, rates, graph.step())
        }
    }
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
