//! Learning rates over steps.

use crate::graph::{Graph, Var};
use std::f64::consts::PI;

/// A number that depends on the step: constant, or falling from `from` to `to`, with a warm-up if wanted.
///
/// ```text
/// warm_up steps    from (k + 1) / (warm_up + 1)
/// hold steps       from
/// over steps       from -> to, linearly or along half a cosine
/// afterwards       to
/// ```
///
/// or, [`stepped`](Self::stepped), in stairs: times a factor every so many steps, for as long as it takes.
///
/// It becomes a table `[steps]` that is uploaded once; a graph reads the row of its step.
///
/// ```
/// use ergodic::{graph::{Feeds, Graph}, nn::LearningRate};
/// # fn main() -> ergodic::Result<()> {
/// let rate = LearningRate::linear(1.0, 0.0, 4).warm_up(1);
/// assert_eq!(rate.table(6), [0.5, 1.0, 0.75, 0.5, 0.25, 0.0]);
/// let g = Graph::new();
/// let lr = rate.at_step(&g, "lr", 6);
/// let got = g.eval_f64(&[lr], &Feeds::new().tensor("lr", rate.table(6)).step(3))?;
/// assert_eq!(got[0].data, [0.5]);
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LearningRate {
    /// Value after the warm-up.
    pub from: f64,
    /// Value at the end; that of a constant is `from`.
    #[serde(default)]
    pub to: Option<f64>,
    /// Steps from one to the other.
    #[serde(default)]
    pub over: usize,
    /// The way there.
    #[serde(default)]
    pub decay: Decay,
    /// Steps at `from` before.
    #[serde(default)]
    pub hold: usize,
    /// Steps of linear growth before that.
    #[serde(default)]
    pub warm_up: usize,
}

/// The way from the first value to the last.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub enum Decay {
    /// A straight line.
    #[default]
    Linear,
    /// Half a period of a cosine: slow at both ends.
    Cosine,
    /// Stairs, which neither need nor heed `over`; not below `to`, if there is one.
    Steps {
        /// What each stair multiplies by, above 0 and at most 1.
        factor: f64,
        /// Steps on each stair, at least 1.
        every: usize,
    },
}

impl LearningRate {
    /// One value at every step.
    pub fn constant(value: f64) -> Self {
        LearningRate { from: value, to: None, over: 0, decay: Decay::Linear, hold: 0, warm_up: 0 }
    }

    /// A straight line from the one to the other in `over` steps.
    pub fn linear(from: f64, to: f64, over: usize) -> Self {
        LearningRate { to: Some(to), over, ..LearningRate::constant(from) }
    }

    /// Half a cosine from the one to the other in `over` steps. Source: arXiv:1608.03983, eq. 5, without restarts.
    pub fn cosine(from: f64, to: f64, over: usize) -> Self {
        LearningRate { decay: Decay::Cosine, ..LearningRate::linear(from, to, over) }
    }

    /// Times `factor` after every `every` steps: halved each 1500 steps is `stepped(lr, 0.5, 1500)`.
    ///
    /// ```
    /// use ergodic::nn::LearningRate;
    /// assert_eq!(LearningRate::stepped(1.0, 0.5, 2).table(5), [1.0, 1.0, 0.5, 0.5, 0.25]);
    /// ```
    pub fn stepped(from: f64, factor: f64, every: usize) -> Self {
        LearningRate { decay: Decay::Steps { factor, every }, ..LearningRate::constant(from) }
    }

    /// With this many steps at the first value before it falls.
    #[must_use]
    pub fn hold(self, steps: usize) -> Self {
        LearningRate { hold: steps, ..self }
    }

    /// With this many steps of linear growth before everything else.
    #[must_use]
    pub fn warm_up(self, steps: usize) -> Self {
        LearningRate { warm_up: steps, ..self }
    }

    /// Value at step `k`, counted from 0.
    pub fn at(&self, k: usize) -> f64 {
        if k < self.warm_up {
            return self.from * (k + 1) as f64 / (self.warm_up + 1) as f64;
        }
        let k = (k - self.warm_up).saturating_sub(self.hold);
        if let Decay::Steps { factor, every } = self.decay {
            let stairs = (k / every.max(1)).min(i32::MAX as usize) as i32;
            return (self.from * factor.powi(stairs)).max(self.to.unwrap_or(0.0));
        }
        let to = self.to.unwrap_or(self.from);
        let part = if k >= self.over { 1.0 } else { k as f64 / self.over as f64 };
        match self.decay {
            _ if part == 1.0 => to,
            Decay::Linear | Decay::Steps { .. } => self.from + (to - self.from) * part,
            Decay::Cosine => to + (self.from - to) * (1.0 + (PI * part).cos()) / 2.0,
        }
    }

    /// Values at steps `0..steps`.
    pub fn table(&self, steps: usize) -> Vec<f32> {
        (0..steps).map(|k| self.at(k) as f32).collect()
    }

    /// The value at the graph's step, out of an input `name [steps]` that is to be fed with the [`table`](Self::table).
    #[track_caller]
    pub fn at_step<'g>(&self, g: &'g Graph, name: &str, steps: usize) -> Var<'g> {
        g.input(name, [steps]).at_step()
    }
}
