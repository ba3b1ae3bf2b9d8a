//! Fields from each other, conditional steps, and how much noise a diffusion may have where.
//!
//! ```text
//! s = -eta_z/gamma        b = v - gamma gamma' s = v + gamma' eta_z
//! one-sided:  s = (beta b - beta' x) / (gamma^2 beta' - beta gamma gamma')
//! E[x_s | x_t] = beta(s) eta_1 + gamma(s) eta_z,   eta_1 = (x_t - gamma(t) eta_z)/beta(t)        (one-sided)
//! ```
//!
//! Source: arXiv:2303.08797, section 2 and its one-sided and denoising paths; arXiv:2209.15571 for the score of a flow.

use super::losses::Field;
use super::schedule::{Coefficients, Real, Schedule};
use crate::error::{Error, Result};
use crate::graph::Var;
use serde::{Deserialize, Serialize};

/// Distance from the ends of time at which a score is taken from a denoiser.
const AWAY: f64 = 1e-4;

impl<R: Real> Coefficients<R> {
    /// `s` from `eta_z`. Infinite where `gamma` is 0.
    pub fn score_of_denoiser(&self, eta_z: R) -> R {
        -eta_z / self.gamma()
    }

    /// `eta_z` from `s`.
    pub fn denoiser_of_score(&self, s: R) -> R {
        -self.gamma() * s
    }

    /// `b` from `v` and `s`.
    pub fn velocity(&self, v: R, s: R) -> R {
        v - self.gamma_gamma_dot * s
    }

    /// `v` from `b` and `s`.
    pub fn velocity_without_noise(&self, b: R, s: R) -> R {
        b + self.gamma_gamma_dot * s
    }

    /// `s` from `b` at `x`, where the base is the noise (one-sided). It is 0/0 at `t = 1`, but for the variance preserving
    /// path.
    pub fn score_of_velocity(&self, b: R, x: R) -> R {
        (self.beta * b - self.beta_dot * x) / (self.gamma2 * self.beta_dot - self.beta * self.gamma_gamma_dot)
    }

    /// `E[x_1 | x]` from `eta_z` at `x`, one-sided. Infinite at `t = 0`.
    pub fn end_of_denoiser(&self, eta_z: R, x: R) -> R {
        (x - self.gamma() * eta_z) / self.beta
    }

    /// `E[x | x_t]` at the time of these coefficients from the conditional means at an earlier `t`, one-sided: one step of the
    /// denoiser.
    ///
    /// A single step from `t = 0` ends in the mean; many follow the ODE, to first order in their size.
    pub fn denoised(&self, eta_1: R, eta_z: R) -> R {
        self.beta * eta_1 + self.gamma() * eta_z
    }
}

/// Which two fields are known: one that moves, one of the noise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Known {
    /// [`Field::B`] or [`Field::V`].
    pub motion: Field,
    /// [`Field::S`] or [`Field::Eta`]; `None` for an ODE only.
    #[serde(default)]
    pub noise: Option<Field>,
}

impl Default for Known {
    /// `b` and `eta`: of the four pairs the one with the smallest errors in the experiments of arXiv:2303.08797.
    fn default() -> Self {
        Known { motion: Field::B, noise: Some(Field::Eta) }
    }
}

impl Known {
    /// Whether the pair makes sense on this path.
    ///
    /// # Errors
    /// [`Error::Invalid`] for fields in the wrong place, for `v` without a field of the noise on a path that has noise, and
    /// for a denoiser on one that has none.
    pub fn check(&self, schedule: &Schedule) -> Result<()> {
        let refuse = |want| {
            let got = format!("{:?} and {:?} on {schedule:?}", self.motion, self.noise);
            Err(Error::Invalid { what: "pair of fields", got, want })
        };
        let placed =
            matches!(self.motion, Field::B | Field::V) && matches!(self.noise, None | Some(Field::S | Field::Eta));
        match (placed, schedule.has_noise(), self.noise) {
            (false, ..) => refuse("b or v, with s or eta or nothing"),
            (_, true, None) if self.motion == Field::V => refuse("v with s or eta: b is made of both"),
            (_, false, Some(_)) => refuse("without a field of the noise: there is none to learn it from"),
            _ => Ok(()),
        }
    }

    /// `b` and `s` from the fields' values at one time. Without a field of the noise `s` is `None`.
    pub fn b_and_s<R: Real>(&self, c: &Coefficients<R>, motion: R, noise: Option<R>) -> (R, Option<R>) {
        let s = noise.map(|noise| if self.noise == Some(Field::Eta) { c.score_of_denoiser(noise) } else { noise });
        let b = match (self.motion, s) {
            (Field::V, Some(s)) => c.velocity(motion, s),
            _ => motion,
        };
        (b, s)
    }

    /// Times between which it may be used: all of them, or those at which a denoiser may be divided by `gamma`.
    pub fn span(&self) -> (f64, f64) {
        if self.noise == Some(Field::Eta) { (AWAY, 1.0 - AWAY) } else { (0.0, 1.0) }
    }
}

/// Strength of the noise of a diffusion; every choice has the same densities.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Epsilon {
    /// None: the ODE.
    Zero,
    /// The same at all times.
    Constant {
        /// Above 0.
        value: f64,
    },
    /// `scale gamma(t)^2`: it fades where the score grows.
    GammaSquared {
        /// Above 0.
        scale: f64,
    },
}

impl Epsilon {
    /// Its value at a time with these coefficients.
    pub fn at<R: Real>(&self, c: &Coefficients<R>) -> R {
        match *self {
            Epsilon::Zero => c.gamma2.fill(0.0),
            Epsilon::Constant { value } => c.gamma2.fill(value),
            Epsilon::GammaSquared { scale } => c.gamma2.at_least(0.0) * scale,
        }
    }

    /// Whether it can be used with these fields between these times.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a strength that is not finite and above 0, without a field of the noise, and where it is divided
    /// by a `gamma` that is 0.
    pub fn check(&self, schedule: &Schedule, known: &Known, span: (f64, f64)) -> Result<()> {
        let refuse = |got: String, want| Err(Error::Invalid { what: "epsilon", got, want });
        let (strength, fades) = match *self {
            Epsilon::Zero => return Ok(()),
            Epsilon::Constant { value } => (value, false),
            Epsilon::GammaSquared { scale } => (scale, true),
        };
        if !(strength.is_finite() && strength > 0.0) {
            return refuse(strength.to_string(), "finite and above 0");
        }
        if known.noise.is_none() {
            return refuse(format!("{self:?} without a score"), "zero; or learn s or eta too");
        }
        let silent = [span.0, span.1].into_iter().find(|&t| schedule.at(t).gamma2 <= f64::EPSILON);
        match (known.noise, silent) {
            (Some(Field::Eta), Some(t)) if !fades => refuse(
                format!("{self:?} at t = {t}, where gamma is 0 and eta is divided by it"),
                "used from 1e-4 to 1 - 1e-4, or GammaSquared, or with s",
            ),
            _ => Ok(()),
        }
    }

    /// Drift of the SDE forwards, `b + epsilon s`.
    pub fn forwards<'g>(&self, c: &Coefficients<Var<'g>>, b: Var<'g>, s: Var<'g>) -> Var<'g> {
        b + self.at(c) * s
    }

    /// Drift of the SDE backwards, `b - epsilon s`.
    pub fn backwards<'g>(&self, c: &Coefficients<Var<'g>>, b: Var<'g>, s: Var<'g>) -> Var<'g> {
        b - self.at(c) * s
    }
}
