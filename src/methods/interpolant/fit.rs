//! How a field is fitted: batches, steps, rates.

use super::losses::Pairing;
use crate::error::{Error, Result};
use crate::nn::{Adam, Decay, LearningRate};
use serde::{Deserialize, Serialize};

/// How a field is fitted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FitConfig {
    /// Draws a step; with [`Pairing::Antithetic`] the network is evaluated at twice as many points.
    pub batch: usize,
    /// Steps in all.
    pub steps: u64,
    /// The learning rate of each.
    pub learning_rate: LearningRate,
    /// Moments of the optimiser.
    pub adam: Adam,
    /// Longest gradient; longer ones are scaled down to it.
    pub clip_norm: Option<f64>,
    /// Whether each draw is used with both signs of its noise.
    pub pairing: Pairing,
    /// Steps over which [`FieldTrainer::loss`](super::FieldTrainer::loss) averages.
    pub look_every: u64,
    /// A running mean of the parameters, used in place of the last ones.
    pub average: Option<Average>,
}

/// An exponential moving average of parameters: noise of the last steps is averaged away.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Average {
    /// Memory, in [0, 1): the mean is over some `1/(1 - decay)` steps.
    pub decay: f64,
    /// The step after which it begins; before, it is the parameters themselves.
    #[serde(default)]
    pub from: u64,
}

impl Default for FitConfig {
    /// 2000 steps of 512 draws, the rate falling from 5e-3 to 0 along a cosine.
    fn default() -> Self {
        FitConfig {
            batch: 512,
            steps: 2000,
            learning_rate: LearningRate::cosine(5e-3, 0.0, 2000),
            adam: Adam::default(),
            clip_norm: None,
            pairing: Pairing::default(),
            look_every: 100,
            average: None,
        }
    }
}

impl FitConfig {
    /// Whether it means anything.
    ///
    /// # Errors
    /// [`Error::Invalid`] for no draws or steps, more than 2^24 steps, a rate or norm that is no number, and memories of
    /// moments outside [0, 1).
    pub fn check(&self) -> Result<()> {
        let refuse = |what, got: String, want| Err(Error::Invalid { what, got, want });
        let count = |n: u64| (1..1 << 24).contains(&n);
        let rates = [self.learning_rate.from, self.learning_rate.to.unwrap_or(0.0)];
        let moment = |beta: f64| (0.0..1.0).contains(&beta);
        if !count(self.batch as u64) {
            return refuse("batch", self.batch.to_string(), "at least 1 and below 2^24");
        }
        if !count(self.steps) {
            return refuse("steps", self.steps.to_string(), "at least 1 and below 2^24");
        }
        if !(2..1 << 16).contains(&self.look_every) {
            return refuse("look_every", self.look_every.to_string(), "at least 2, for an error bar, and below 65536");
        }
        if !rates.iter().all(|rate| rate.is_finite() && *rate >= 0.0) {
            return refuse("learning_rate", format!("{} to {}", rates[0], rates[1]), "finite and not negative");
        }
        if !(moment(self.adam.beta1) && moment(self.adam.beta2) && self.adam.beta2 > 0.0 && self.adam.eps > 0.0) {
            return refuse(
                "adam",
                format!("{:?}", self.adam),
                "of moments in [0, 1), the second above 0, and eps above 0",
            );
        }
        if let Decay::Steps { factor, every } = self.learning_rate.decay
            && !(factor > 0.0 && factor <= 1.0 && every > 0)
        {
            let got = format!("in stairs of {every} steps, times {factor}");
            return refuse("learning_rate", got, "in stairs of at least 1 step, times a factor above 0 and at most 1");
        }
        if let Some(Average { decay, .. }) = self.average.filter(|average| !moment(average.decay)) {
            return refuse("average", decay.to_string(), "of a memory in [0, 1)");
        }
        match self.clip_norm {
            Some(norm) if !(norm.is_finite() && norm > 0.0) => {
                refuse("clip_norm", norm.to_string(), "finite and above 0")
            }
            _ => Ok(()),
        }
    }
}
