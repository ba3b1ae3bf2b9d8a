//! Averages and error bars from weighted walkers: f64, on the host, from f32 read back.

use super::pareto::{self, Tail};
use std::fmt;

/// A number with its standard error.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The estimate.
    pub value: f64,
    /// Its standard error; infinite where there is none to trust.
    pub se: f64,
}

impl Estimate {
    /// Distance from `exact` in standard errors.
    pub fn sigmas_from(&self, exact: f64) -> f64 {
        (self.value - exact).abs() / self.se
    }
}

impl fmt::Display for Estimate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = f.precision().unwrap_or(3);
        write!(f, "{:.digits$} +- {:.digits$}", self.value, self.se)
    }
}

/// Log-weights of walkers, and what they are worth.
///
/// ```
/// # use ergodic::dynamics::LogWeights;
/// let a = LogWeights::new(vec![0.0, 3f64.ln()]); // weights 1 and 3
/// assert!((a.log_mean_exp().value - 2f64.ln()).abs() < 1e-15);
/// assert!((a.ess() - 1.6).abs() < 1e-15); // (1 + 3)^2 / (1 + 9)
/// assert_eq!(a.mean(&[0.0, 1.0]).value, 0.75);
/// ```
/// Source: estimators of arXiv:2305.19414; standard errors by the delta method, Owen, *Monte Carlo theory*, ch. 9.
#[derive(Clone, Debug, PartialEq)]
pub struct LogWeights {
    values: Vec<f64>,
    probabilities: Vec<f64>,
    log_mean: f64,
    log_z0: Estimate,
}

impl LogWeights {
    /// Of these log-weights, one a walker, since a start or resampling at which all were equal.
    pub fn new(values: Vec<f64>) -> Self {
        let top = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let mut probabilities: Vec<_> = values.iter().map(|a| (a - top).exp()).collect();
        let total: f64 = probabilities.iter().sum();
        probabilities.iter_mut().for_each(|p| *p /= total);
        let log_mean = top + (total / values.len() as f64).ln();
        LogWeights { values, probabilities, log_mean, log_z0: Estimate { value: 0.0, se: 0.0 } }
    }

    /// Of the two parts of a [`Compensated`](super::Compensated) sum, as read back.
    pub fn from_parts(high: &[f32], low: &[f32]) -> Self {
        Self::new(high.iter().zip(low).map(|(&h, &l)| f64::from(h) + f64::from(l)).collect())
    }

    /// With `log(Z/Z_0)` at the last resampling, which [`log_z`](Self::log_z) adds.
    #[must_use]
    pub fn with_log_z0(self, log_z0: Estimate) -> Self {
        LogWeights { log_z0, ..self }
    }

    /// The log-weights.
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// Normalised weights; they sum to 1.
    pub fn probabilities(&self) -> &[f64] {
        &self.probabilities
    }

    /// Effective number of walkers, `1 / sum p_i^2`, between 1 and n.
    pub fn ess(&self) -> f64 {
        1.0 / self.probabilities.iter().map(|p| p * p).sum::<f64>()
    }

    /// [`ess`](Self::ess) over the number of walkers.
    pub fn ess_fraction(&self) -> f64 {
        self.ess() / self.values.len() as f64
    }

    /// Squared coefficient of variation of the weights, `1/ess_fraction - 1`.
    pub fn cv2(&self) -> f64 {
        (1.0 / self.ess_fraction() - 1.0).max(0.0)
    }

    /// Log of the mean weight; standard error `sqrt(cv2/n)`, infinite if the weights are [heavy-tailed](Self::heavy_tailed).
    pub fn log_mean_exp(&self) -> Estimate {
        let se = (self.cv2() / self.values.len() as f64).sqrt();
        Estimate { value: self.log_mean, se: if self.heavy_tailed() { f64::INFINITY } else { se } }
    }

    /// `log(Z/Z_0)` since the start, through all resamplings.
    ///
    /// The variances of the stretches between resamplings add up; that copies of one walker stay alike for a while is not
    /// counted, so with many resamplings the error bar is a lower bound.
    pub fn log_z(&self) -> Estimate {
        let here = self.log_mean_exp();
        Estimate { value: self.log_z0.value + here.value, se: self.log_z0.se.hypot(here.se) }
    }

    /// Weighted mean of one value a walker: `sum p f`, standard error `sqrt(sum p^2 (f - mean)^2)`.
    pub fn mean(&self, f: &[f64]) -> Estimate {
        let pairs = || self.probabilities.iter().zip(f);
        let value = pairs().map(|(p, f)| p * f).sum::<f64>();
        let variance = pairs().map(|(p, f)| (p * (f - value)).powi(2)).sum::<f64>();
        Estimate { value, se: variance.sqrt() }
    }

    /// Weighted variance of one value a walker, with the standard error of the mean of `(f - mean)^2`.
    pub fn variance(&self, f: &[f64]) -> Estimate {
        let mean = self.mean(f).value;
        self.mean(&f.iter().map(|f| (f - mean).powi(2)).collect::<Vec<_>>())
    }

    /// Tail of the largest weights: its Pareto index and what that allows.
    pub fn tail(&self) -> Tail {
        pareto::tail(&self.probabilities)
    }

    /// Index of the Pareto tail of the largest weights; their moments of order `1/k` and above are infinite.
    pub fn pareto_k(&self) -> f64 {
        self.tail().k
    }

    /// Whether the tail is too heavy for an error bar ([`Tail::is_heavy`]).
    pub fn heavy_tailed(&self) -> bool {
        self.tail().is_heavy()
    }
}
