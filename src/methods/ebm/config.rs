//! What a training run is told, as it stands in a preset.

use crate::dynamics::resample::Resampling;
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// What the walkers' average is, and where walkers start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Method {
    /// Exact log-weights: averages under the model at every iteration. Walkers start in the model.
    #[default]
    Weighted,
    /// **A control, wrong on purpose**: the work alone, without the ratio of transition densities. Biased at O(step size).
    WorkOnly,
    /// **A control, wrong on purpose**: the weights of code that overwrites the old position.
    Aliased,
    /// Contrastive divergence: equal weights, all walkers restart from random data every so many iterations.
    Cd {
        /// Iterations from one restart to the next.
        every: u32,
    },
    /// Persistent contrastive divergence: equal weights, no restarts.
    Pcd {
        /// Where walkers start.
        start: Start,
        /// Part of the walkers that goes back to a random start point at each iteration, in `[0, 1)`.
        #[serde(default)]
        reinit: f64,
    },
}

impl Method {
    /// Whether walkers carry weights.
    pub fn is_weighted(self) -> bool {
        matches!(self, Method::Weighted | Method::WorkOnly | Method::Aliased)
    }

    /// Whether walkers start on data points.
    pub fn starts_on_data(self) -> bool {
        matches!(self, Method::Cd { .. } | Method::Pcd { start: Start::Data, .. })
    }
}

/// Where persistent walkers start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Start {
    /// On data points.
    #[default]
    Data,
    /// In the model at the first parameters.
    Model,
}

/// How walkers move.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Kernel {
    /// Unadjusted Langevin.
    #[default]
    Ula,
    /// Unadjusted Langevin with the drift of each component limited; weighed by the densities of the limited step.
    ClippedUla {
        /// Largest drift of one component in one sub-step, length.
        clip: f64,
    },
    /// Langevin with an accept test. One evaluation more an iteration.
    Mala,
    /// No moves: importance sampling.
    Frozen,
}

/// How a gradient becomes a step of the parameters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Optimiser {
    /// `theta -= rate * gradient`.
    #[default]
    Sgd,
    /// Adam with bias correction and 1e-8 beside the root; `beta1 = 0` keeps no first moment.
    Adam {
        /// Memory of the mean gradient, in `[0, 1)`.
        beta1: f64,
        /// Memory of the mean square, in `[0, 1)`.
        beta2: f64,
    },
}

/// How the learning rate goes from its value down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Decay {
    /// Not at all.
    #[default]
    Constant,
    /// Linearly to 0 at the last iteration.
    Linear,
}

/// All that a [`Trainer`](super::Trainer) needs beside an energy and data. Energies are in units of kT at temperature 1.
///
/// ```
/// use ergodic::methods::ebm::{Method, TrainConfig};
/// let config = TrainConfig { walkers: 500, method: Method::Cd { every: 4 }, ..TrainConfig::default() };
/// assert!(config.check().is_ok());
/// assert!(TrainConfig { step_size: 0.0, ..config }.check().is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// Weights and start.
    #[serde(default)]
    pub method: Method,
    /// Walkers that drive the gradient, at least 1.
    pub walkers: usize,
    /// How many of them move in one iteration, block after block; 0 is all. The others earn the weight of a frozen walker.
    #[serde(default)]
    pub batch_walkers: usize,
    /// Walkers that carry weights and never enter the gradient.
    #[serde(default)]
    pub observers: usize,
    /// Moves between two steps of the parameters, at least 1.
    #[serde(default = "one_step")]
    pub sub_steps: usize,
    /// `h` of one move, length^2 / energy, > 0.
    pub step_size: f64,
    /// `T`, energy, > 0.
    #[serde(default = "one")]
    pub temperature: f64,
    /// How walkers move.
    #[serde(default)]
    pub kernel: Kernel,
    /// When weights are equalised; `None` is never.
    #[serde(default)]
    pub resample: Option<Resampling>,
    /// How the gradient becomes a step.
    #[serde(default)]
    pub optimiser: Optimiser,
    /// Step of the optimiser at the first iteration.
    pub learning_rate: f64,
    /// What becomes of it.
    #[serde(default)]
    pub decay: Decay,
    /// One factor a parameter on the optimiser's step; empty is 1 for all, 0 keeps a parameter fixed.
    #[serde(default)]
    pub rate_factors: Vec<f32>,
    /// Largest norm of the whole gradient; a longer one is shortened to it.
    #[serde(default)]
    pub clip_norm: Option<f64>,
    /// Factor of `mean_data U^2 + <U^2>_theta`, added to what is minimised. It moves the optimum.
    #[serde(default)]
    pub energy_penalty: f64,
    /// Data points drawn for one gradient; 0 is all.
    #[serde(default)]
    pub data_batch: usize,
    /// Length of the whole run, which the decay needs to know.
    pub iterations: u64,
    /// Of all random numbers of the run.
    #[serde(default)]
    pub seed: u64,
}

fn one_step() -> usize {
    1
}

fn one() -> f64 {
    1.0
}

impl Default for TrainConfig {
    fn default() -> Self {
        TrainConfig {
            method: Method::Weighted,
            walkers: 1000,
            batch_walkers: 0,
            observers: 0,
            sub_steps: 1,
            step_size: 0.1,
            temperature: 1.0,
            kernel: Kernel::Ula,
            resample: None,
            optimiser: Optimiser::Sgd,
            learning_rate: 1e-2,
            decay: Decay::Constant,
            rate_factors: vec![],
            clip_norm: None,
            energy_penalty: 0.0,
            data_batch: 0,
            iterations: 1000,
            seed: 0,
        }
    }
}

impl TrainConfig {
    /// Walkers and observers.
    pub fn rows(&self) -> usize {
        self.walkers + self.observers
    }

    /// How many walkers move in one iteration.
    pub fn moving(&self) -> usize {
        if self.batch_walkers == 0 { self.walkers } else { self.batch_walkers.min(self.walkers) }
    }

    /// Whether every number is in the range in which the method means anything.
    ///
    /// # Errors
    /// [`Error::Invalid`] with the field, its value, and what it must be.
    pub fn check(&self) -> Result<()> {
        let positive = |what, x: f64| demand(what, x, x > 0.0 && x.is_finite(), "a positive number");
        let not_negative = |what, x: f64| demand(what, x, x >= 0.0 && x.is_finite(), "a number that is not negative");
        demand("walkers", self.walkers, self.walkers > 0, "at least 1")?;
        demand("sub_steps", self.sub_steps, self.sub_steps > 0, "at least 1")?;
        demand("iterations", self.iterations, self.iterations < 1 << 24, "below 2^24")?;
        positive("step_size", self.step_size)?;
        positive("temperature", self.temperature)?;
        not_negative("learning_rate", self.learning_rate)?;
        not_negative("energy_penalty", self.energy_penalty)?;
        self.clip_norm.map_or(Ok(()), |norm| positive("clip_norm", norm))?;
        let batched = self.moving() < self.walkers;
        let exact = matches!(self.kernel, Kernel::Ula | Kernel::ClippedUla { .. });
        demand("kernel", format!("{:?}", self.kernel), !batched || exact, "ula or clipped_ula with batch_walkers")?;
        if let Kernel::ClippedUla { clip } = self.kernel {
            positive("kernel.clip", clip)?;
        }
        if let Some(rule) = self.resample {
            demand("resample.ess_below", rule.ess_below, (0.0..=1.0).contains(&rule.ess_below), "from 0 to 1")?;
        }
        if let Optimiser::Adam { beta1, beta2 } = self.optimiser {
            demand("optimiser.beta1", beta1, (0.0..1.0).contains(&beta1), "from 0 to below 1")?;
            demand("optimiser.beta2", beta2, (0.0..1.0).contains(&beta2), "from 0 to below 1")?;
        }
        match self.method {
            Method::Cd { every } => demand("method.every", every, every > 0, "at least 1"),
            Method::Pcd { reinit, .. } => {
                demand("method.reinit", reinit, (0.0..1.0).contains(&reinit), "from 0 to below 1")
            }
            Method::Aliased | Method::WorkOnly => demand(
                "batch_walkers",
                self.batch_walkers,
                !batched,
                "0 for the controls, whose weights it is not made for",
            ),
            Method::Weighted => Ok(()),
        }
    }
}

fn demand(what: &'static str, got: impl ToString, ok: bool, want: &'static str) -> Result<()> {
    if ok { Ok(()) } else { Err(Error::Invalid { what, got: got.to_string(), want }) }
}
