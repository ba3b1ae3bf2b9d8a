//! How walkers move, are weighed and resampled: the choices of a [`WeightedLangevin`](super::WeightedLangevin).

use super::WeightRule;
use super::resample::Resampling;
use crate::error::{Error, Result};

/// How walkers move; see the table of [`langevin`](super::langevin).
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Kernel {
    /// Unadjusted Langevin.
    #[default]
    Ula,
    /// Unadjusted Langevin, each component of the drift limited.
    ClippedUla {
        /// The limit, length, above 0.
        max_drift: f64,
    },
    /// Metropolis-adjusted Langevin.
    Mala,
    /// No move.
    Frozen,
    /// Underdamped Langevin by OBABO; the step size is its time step.
    Underdamped {
        /// Rate at which momenta are forgotten, 1 / time, not below 0.
        friction: f64,
    },
}

/// Choices of [`WeightedLangevin`](super::WeightedLangevin); the default is unadjusted Langevin at temperature 1, without resampling.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LangevinOptions {
    /// How walkers move.
    pub kernel: Kernel,
    /// How they are weighed; only [`Kernel::Ula`] has a choice.
    pub weights: WeightRule,
    /// `T` in `exp(-U/T)`, energy.
    pub temperature: f64,
    /// Standard deviation of the noise, length; `None` is `sqrt(2 h T)`. For unadjusted and adjusted Langevin.
    pub noise_sd: Option<f64>,
    /// When to resample; `None` is never.
    pub resampling: Option<Resampling>,
}

impl Default for LangevinOptions {
    fn default() -> Self {
        let (kernel, weights) = (Kernel::default(), WeightRule::default());
        LangevinOptions { kernel, weights, temperature: 1.0, noise_sd: None, resampling: None }
    }
}

impl LangevinOptions {
    pub(super) fn check(&self) -> Result<()> {
        let refuse = |what, got: String, want| Err(Error::Invalid { what, got, want });
        let positive = |x: f64| x.is_finite() && x > 0.0;
        if !positive(self.temperature) {
            return refuse("temperature", self.temperature.to_string(), "finite and above 0");
        }
        if let Some(sd) = self.noise_sd.filter(|sd| !positive(*sd)) {
            return refuse("noise", sd.to_string(), "finite and above 0");
        }
        if let Some(rule) = self.resampling.filter(|rule| !(rule.ess_below > 0.0 && rule.ess_below <= 1.0)) {
            return refuse("resampling threshold", rule.ess_below.to_string(), "in (0, 1]");
        }
        match self.kernel {
            Kernel::ClippedUla { max_drift } if !positive(max_drift) => {
                refuse("drift limit", max_drift.to_string(), "finite and above 0")
            }
            Kernel::Underdamped { friction } if !(friction.is_finite() && friction >= 0.0) => {
                refuse("friction", friction.to_string(), "finite and not below 0")
            }
            Kernel::Ula => Ok(()),
            kernel if self.weights != WeightRule::Exact => {
                refuse("weight rule", format!("{:?} for {kernel:?}", self.weights), "exact, except with the kernel ula")
            }
            _ => Ok(()),
        }
    }
}
