//! Log-likelihoods: by the ODE, by paths of the SDE, and what measured losses say about the Kullback-Leibler divergence.
//!
//! Along the ODE backwards from `x`, with `X_1 = x`:
//!
//! ```text
//! log rho(1, x) = log rho_0(X_0) - int_0^1 div b dt                                       one path, exact
//! ```
//!
//! which is [`with_log_density`](crate::dynamics::ode::with_log_density) in a solver from 1 to 0 (subtract its integral),
//!
//! and along paths of an SDE backwards in time from `x`, with `b_F = b + eps s`, `b_B = b - eps s`:
//!
//! | [`PathForm`] | drift | `A = log rho_0(Y_0) - int ... dt` | estimate | |
//! |---|---|---|---|---|
//! | `FeynmanKac` | `b_F` | `div b_F` | `log E exp A` | right for any drift of the SDE: its own density |
//! | `Jensen` | `b_F` | `div b_F` | `E A` | a lower bound, far below where noise is strong |
//! | `Energy` | `b_F` | `div b_F - eps s^2` | `E A` | right at exact scores |
//! | `Generative` | `b_B` | `div b_F + eps s^2` | `E A` | right at exact scores; the paths are those of the sampler |
//!
//! Exact losses bound the divergence of a learned diffusion. With the losses of [`losses`](super::loss), which have the factor
//! 1/2, the constants are 1 and 1: `KL <= dL_b/eps + eps dL_s`. (Half of each, as printed in arXiv:2303.08797, can fail: take
//! `rho_0 = N(0, 0.01)`, `rho_1 = N(0, 1.01)`, `eps = 1/2`, errors 0.2 of `b` and 0.4 of `s`.)
//!
//! Source: arXiv:2303.08797, section 2 (likelihoods, bounds); the constants are re-derived from
//! `KL <= int E|b_F error|^2 dt / (4 eps)`.

use super::schedule::Coefficients;
use crate::autodiff::{Trace, divergence};
use crate::dynamics::ode::Rates;
use crate::dynamics::{Estimate, LogWeights};
use crate::error::{Error, Result};
use crate::graph::Var;
use serde::{Deserialize, Serialize};
use std::f64::consts::LN_2;

/// How paths of an SDE give a likelihood; see the table of the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)] // each is a row of the module's table
pub enum PathForm {
    FeynmanKac,
    Jensen,
    Energy,
    Generative,
}

impl PathForm {
    /// Drift and integrand of paths that go from `t = 1` to `0`, for a [`Diffusion`](crate::dynamics::sde::Diffusion) with
    /// noise `epsilon`.
    ///
    /// `b` and `s` are fields `[n, d]` at the node `x`; `epsilon` is a scalar, or `[n, 1]`. Because time runs backwards, `A` is
    /// the log-density of the start **plus** the solver's integral.
    ///
    /// # Errors
    /// As [`divergence`].
    pub fn rates<'g>(
        self,
        (b, s): (Var<'g>, Var<'g>),
        x: Var<'g>,
        epsilon: Var<'g>,
        trace: Trace<'g>,
    ) -> Result<Rates<'g>> {
        let forward = b + epsilon * s;
        let spread = divergence(forward, x, trace)?;
        let energy = (epsilon * s.square()).sum(1);
        Ok(match self {
            PathForm::FeynmanKac | PathForm::Jensen => Rates::of(forward).and(spread),
            PathForm::Energy => Rates::of(forward).and(spread - energy),
            PathForm::Generative => Rates::of(b - epsilon * s).and(spread + energy),
        })
    }

    /// The log-likelihood of one point from the `A` of its paths, with a standard error.
    ///
    /// [`FeynmanKac`](Self::FeynmanKac) is corrected for its bias of order `1/R` by the jackknife, which also gives the error;
    /// that is infinite where few paths carry the weight.
    ///
    /// ```
    /// use ergodic::methods::interpolant::PathForm;
    /// assert_eq!(PathForm::Energy.estimate(&[-1.0, -2.0, -3.0])?.value, -2.0);
    /// let weights = [0.0, 2f64.ln(), 0.0, 2f64.ln()]; // 1, 2, 1, 2
    /// assert!((PathForm::FeynmanKac.estimate(&weights)?.value - 1.5f64.ln()).abs() < 0.03);
    /// # Ok::<(), ergodic::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Invalid`] for fewer than 2 paths.
    pub fn estimate(self, a: &[f64]) -> Result<Estimate> {
        if a.len() < 2 {
            let got = a.len().to_string();
            return Err(Error::Invalid { what: "number of paths", got, want: "at least 2, or there is no error bar" });
        }
        Ok(match self {
            PathForm::FeynmanKac => jackknife(a),
            _ => mean(a),
        })
    }

    /// Estimates of several points from `paths` rows each, one after the other.
    ///
    /// # Errors
    /// As [`estimate`](Self::estimate).
    pub fn estimates(self, a: &[f64], paths: usize) -> Result<Vec<Estimate>> {
        a.chunks(paths.max(1)).map(|own| self.estimate(own)).collect()
    }
}

/// Mean of log-likelihoods with its sign changed, nats, and standard error: the cross-entropy of the data with the model.
pub fn cross_entropy(log_likelihoods: &[f64]) -> Estimate {
    let Estimate { value, se } = mean(log_likelihoods);
    Estimate { value: -value, se }
}

/// Nats a point as bits a dimension.
pub fn bits_per_dimension(nats: Estimate, d: usize) -> Estimate {
    let scale = 1.0 / (d as f64 * LN_2);
    Estimate { value: nats.value * scale, se: nats.se * scale }
}

/// By how much measured losses exceed their minima.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Excess {
    /// Of the velocity `b`, or of `v`.
    pub motion: f64,
    /// Of the score.
    pub score: f64,
}

impl Excess {
    /// Bound on `KL(rho_1 | model)` of the diffusion with constant `epsilon`, if `motion` is that of `b`.
    ///
    /// ```
    /// use ergodic::methods::interpolant::Excess;
    /// // The counterexample of the module: the divergence is 0.0792.
    /// let excess = Excess { motion: 0.5 * 0.2f64.powi(2), score: 0.5 * 0.4f64.powi(2) };
    /// assert!((excess.kl_bound(0.5) - 0.08).abs() < 1e-15);
    /// ```
    pub fn kl_bound(&self, epsilon: f64) -> f64 {
        self.motion / epsilon + epsilon * self.score
    }

    /// The same if `motion` is that of `v`: `b_F = v - (gamma gamma' - eps) s`, `rate` bounds `|gamma gamma' - eps|`.
    pub fn kl_bound_of_v(&self, epsilon: f64, rate: f64) -> f64 {
        self.motion / epsilon + rate * rate / epsilon * self.score
    }

    /// Bound on `W_2^2` between the target and the ODE's end, if `motion` is that of a velocity whose estimate has Lipschitz
    /// constant `k` in `x`: `exp(1 + 2 k) int E|error|^2 dt`. The divergence of an ODE has no such bound.
    ///
    /// Source: arXiv:2209.15571, the bound of the Wasserstein distance by the objective; the integral is twice this excess.
    pub fn w2_bound(&self, k: f64) -> f64 {
        (1.0 + 2.0 * k).exp() * 2.0 * self.motion
    }

    /// The `epsilon` that makes [`kl_bound`](Self::kl_bound) least, `sqrt(dL_b/dL_s)`.
    ///
    /// # Errors
    /// [`Error::Invalid`] unless both are above 0: a loss measured at or below its minimum is exact, or too noisy to tell.
    pub fn best_epsilon(&self) -> Result<f64> {
        match self.motion > 0.0 && self.score > 0.0 {
            true => Ok((self.motion / self.score).sqrt()),
            false => {
                let got = format!("{} of the velocity and {} of the score", self.motion, self.score);
                Err(Error::Invalid {
                    what: "excess of losses",
                    got,
                    want: "above 0 both; measure them with more draws",
                })
            }
        }
    }
}

/// The largest `|gamma gamma' - eps|` of a schedule, from 1000 times.
pub fn largest_rate(at: impl Fn(f64) -> Coefficients<f64>, epsilon: f64) -> f64 {
    let rate = |k: i32| (at(f64::from(k) / 1000.0).gamma_gamma_dot - epsilon).abs();
    (0..=1000).map(rate).fold(0.0, f64::max)
}

pub(super) fn mean(values: &[f64]) -> Estimate {
    let n = values.len() as f64;
    let value = values.iter().sum::<f64>() / n;
    let spread = values.iter().map(|v| (v - value).powi(2)).sum::<f64>() / (n - 1.0).max(1.0);
    Estimate { value, se: (spread / n).sqrt() }
}

/// Log of the mean of `exp(a)` without its first-order bias.
fn jackknife(a: &[f64]) -> Estimate {
    let (weights, n) = (LogWeights::new(a.to_vec()), a.len() as f64);
    let log_mean = weights.log_mean_exp();
    // Leaving path i out, in units of the whole: log((1 - p_i) n/(n - 1)).
    let shifts: Vec<_> = weights.probabilities().iter().map(|p| (-p).ln_1p() + (n / (n - 1.0)).ln()).collect();
    let centre = shifts.iter().sum::<f64>() / n;
    // One path with all the weight: leaving it out leaves nothing.
    if !centre.is_finite() {
        return Estimate { se: f64::INFINITY, ..log_mean };
    }
    let spread = shifts.iter().map(|s| (s - centre).powi(2)).sum::<f64>();
    // The tail of the weights says whether an error bar can be trusted, this sum what it is.
    let se = if log_mean.se.is_finite() { (spread * (n - 1.0) / n).sqrt() } else { f64::INFINITY };
    Estimate { value: log_mean.value - (n - 1.0) * centre, se }
}
