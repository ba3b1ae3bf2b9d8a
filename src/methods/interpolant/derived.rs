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
use super::schedule::{Coefficients, Ends, Real, Schedule};
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
        (self.beta * b - self.beta_dot * x) / self.velocity_per_score()
    }

    /// `gamma^2 beta' - beta gamma gamma'`: the score times this is `beta b - beta' x`, one-sided.
    pub(super) fn velocity_per_score(&self) -> R {
        self.gamma2 * self.beta_dot - self.beta * self.gamma_gamma_dot
    }

    /// `E[x_0 | x]` and `E[x_1 | x]` from `v` and `eta_z` at `x`, two-sided: `alpha eta_0 + beta eta_1 = x - gamma eta_z` with
    /// `alpha' eta_0 + beta' eta_1 = v`. Needs `alpha beta' != alpha' beta`, which linear and trigonometric paths have at all
    /// times.
    pub fn ends_of(&self, v: R, eta_z: R, x: R) -> (R, R) {
        let middle = x - self.gamma() * eta_z;
        let turn = self.alpha * self.beta_dot - self.alpha_dot * self.beta;
        ((self.beta_dot * middle - self.beta * v) / turn, (self.alpha * v - self.alpha_dot * middle) / turn)
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

/// Which fields are known: one that moves, one of the noise, or one of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Known {
    /// [`Field::B`] or [`Field::V`]; `None` where the noise says it all: one-sided paths, mirrors.
    #[serde(default)]
    pub motion: Option<Field>,
    /// [`Field::S`] or [`Field::Eta`]; `None` for an ODE only, or a one-sided path, on which `b` has the score in it.
    #[serde(default)]
    pub noise: Option<Field>,
}

impl Default for Known {
    /// `b` and `eta`: of the four pairs the one with the smallest errors in the experiments of arXiv:2303.08797.
    fn default() -> Self {
        Known { motion: Some(Field::B), noise: Some(Field::Eta) }
    }
}

/// What known fields say at one time and place: numbers, or nodes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Values<R> {
    /// Velocity of the ODE.
    pub b: R,
    /// Its part without noise; `None` if it does not follow.
    pub v: Option<R>,
    /// Score; `None` if it does not follow.
    pub s: Option<R>,
    /// Denoiser; `None` if it does not follow.
    pub eta: Option<R>,
}

impl Known {
    /// Whether the fields make sense on this path.
    ///
    /// # Errors
    /// [`Error::Invalid`] for fields in the wrong place or none, for `v` without a field of the noise on a path that has noise,
    /// for a field of the noise on one that has none, or alone on one between two densities.
    pub fn check(&self, schedule: &Schedule) -> Result<()> {
        let refuse = |want| {
            let motion = self.motion.map_or("None".into(), |field| format!("{field:?}"));
            let got = format!("{motion} and {:?} on {schedule:?}", self.noise);
            Err(Error::Invalid { what: "pair of fields", got, want })
        };
        let placed = matches!(self.motion, None | Some(Field::B | Field::V))
            && matches!(self.noise, None | Some(Field::S | Field::Eta));
        match (placed, schedule.has_noise(), self.motion, self.noise) {
            (false, ..) | (_, _, None, None) => refuse("b or v, with s or eta or nothing"),
            (_, true, Some(Field::V), None) => refuse("v with s or eta: b is made of both"),
            (_, false, _, Some(_)) => refuse("without a field of the noise: there is none to learn it from"),
            (_, _, None, _) if schedule.ends() == Ends::Two => {
                refuse("b or v too: noise alone moves only one-sided paths and mirrors")
            }
            _ => Ok(()),
        }
    }

    /// All fields that follow from the known ones at `x`, which [`check`](Self::check) has accepted.
    ///
    /// ```text
    /// b from v and s:   v - gamma gamma' s                 one-sided, from s:    b = (beta' x + (gamma^2 beta' - beta gamma gamma') s)/beta
    /// b from v and eta: v + gamma' eta                     one-sided, from b:    s by score_of_velocity
    /// mirror:           v = 0, b = -gamma gamma' s
    /// ```
    ///
    /// What is divided by is 0 at times outside [`span_for`](Self::span_for).
    pub fn values<R: Real>(
        &self,
        schedule: &Schedule,
        c: &Coefficients<R>,
        x: R,
        (motion, noise): (Option<R>, Option<R>),
    ) -> Values<R> {
        let (s, eta) = match (self.noise, noise) {
            (Some(Field::Eta), Some(eta)) => (Some(c.score_of_denoiser(eta)), Some(eta)),
            (_, Some(s)) => (Some(s), Some(c.denoiser_of_score(s))),
            _ => {
                let own = schedule.ends() == Ends::One && self.motion == Some(Field::B);
                let s = motion.filter(|_| own).map(|b| c.score_of_velocity(b, x));
                (s, s.map(|s| c.denoiser_of_score(s)))
            }
        };
        // gamma' eta where eta is known, so that nothing is divided by gamma twice.
        let noisy = match (self.noise, eta) {
            (Some(Field::Eta), Some(eta)) => Some(c.gamma_gamma_dot / c.gamma() * eta),
            _ => s.map(|s| -c.gamma_gamma_dot * s),
        };
        let still = match (schedule.ends(), eta) {
            (Ends::One, Some(eta)) => c.beta_dot * c.end_of_denoiser(eta, x),
            _ => x * 0.0,
        };
        let (b, v) = match (self.motion, motion, noisy) {
            (Some(Field::V), Some(v), Some(noisy)) => (v + noisy, Some(v)),
            (Some(_), Some(b), Some(noisy)) => (b, Some(b - noisy)),
            (_, Some(b), None) => (b, (!schedule.has_noise()).then_some(b)),
            (_, _, noisy) => (noisy.map_or(still, |noisy| still + noisy), Some(still)),
        };
        Values { b, v, s, eta }
    }

    /// Whether a score follows.
    pub fn has_score(&self, schedule: &Schedule) -> bool {
        self.noise.is_some() || (schedule.ends() == Ends::One && self.motion == Some(Field::B))
    }

    /// Times between which it may be trained and used whatever for: all of them, or those at which a denoiser may be divided by
    /// `gamma`.
    pub fn span(&self) -> (f64, f64) {
        if self.noise == Some(Field::Eta) { (AWAY, 1.0 - AWAY) } else { (0.0, 1.0) }
    }

    /// Times between which `b`, and with noise `epsilon s`, are finite: 0 and 1, or 1e-4 away from an end at which something is
    /// divided by 0.
    ///
    /// | known | `b` | `epsilon s` |
    /// |---|---|---|
    /// | `b` | all | as `s`; one-sided without a field of the noise: not at 1, but for the variance preserving path |
    /// | `v` and `s` | all | all |
    /// | `v` and `eta` | where `gamma > 0` | where `gamma > 0` |
    /// | `eta` with `b` | all | constant `epsilon`: where `gamma > 0`; one that fades with `gamma`: all |
    /// | one-sided, noise alone | not at 0, where `beta` is divided by, nor at 1 with `eta` | as above |
    ///
    /// Source: arXiv:2303.08797, the remarks on denoisers at the ends of time, and its experiments, which stay 1e-4 away.
    pub fn span_for(&self, schedule: &Schedule, epsilon: &Epsilon) -> (f64, f64) {
        let away = |t: f64| {
            let c = schedule.at(t);
            let silent = schedule.has_noise() && c.gamma2 <= f64::EPSILON;
            let (eta, one) = (self.noise == Some(Field::Eta), schedule.ends() == Ends::One);
            let by_gamma = eta && self.motion != Some(Field::B) && silent;
            let by_beta = self.motion.is_none() && one && c.beta.abs() <= f64::EPSILON;
            let scored = *epsilon != Epsilon::Zero;
            let of_eta = scored && eta && silent && matches!(epsilon, Epsilon::Constant { .. });
            let of_b = scored && self.noise.is_none() && one && c.velocity_per_score().abs() <= 4.0 * f64::EPSILON;
            by_gamma || by_beta || of_eta || of_b
        };
        (if away(0.0) { AWAY } else { 0.0 }, if away(1.0) { 1.0 - AWAY } else { 1.0 })
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
    /// `scale gamma(t)`: times the score it is `-scale eta`, finite at all times.
    Gamma {
        /// Above 0.
        scale: f64,
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
            Epsilon::Gamma { scale } => c.gamma() * scale,
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
        self.check_strength()?;
        if *self == Epsilon::Zero {
            return Ok(());
        }
        if !known.has_score(schedule) {
            return refuse(format!("{self:?} without a score"), "zero; or learn s or eta too");
        }
        let silent = [span.0, span.1].into_iter().find(|&t| schedule.at(t).gamma2 <= f64::EPSILON);
        match (known.noise, silent) {
            (Some(Field::Eta), Some(t)) if matches!(self, Epsilon::Constant { .. }) => refuse(
                format!("{self:?} at t = {t}, where gamma is 0 and eta is divided by it"),
                "used from 1e-4 to 1 - 1e-4, or GammaSquared, or with s",
            ),
            _ => self.check_score(schedule, known, span),
        }
    }

    /// Its strength is finite and above 0, if there is one.
    pub(super) fn check_strength(&self) -> Result<()> {
        match *self {
            Epsilon::Constant { value: v } | Epsilon::Gamma { scale: v } | Epsilon::GammaSquared { scale: v }
                if !(v.is_finite() && v > 0.0) =>
            {
                Err(Error::Invalid { what: "epsilon", got: v.to_string(), want: "finite and above 0" })
            }
            _ => Ok(()),
        }
    }

    /// A score that is made of `b` is 0/0 at the end of most one-sided paths.
    fn check_score(&self, schedule: &Schedule, known: &Known, (from, to): (f64, f64)) -> Result<()> {
        let (first, last) = known.span_for(schedule, self);
        if from >= first && to <= last {
            return Ok(());
        }
        let got = format!("{self:?} from {from} to {to}, where the score of these fields is divided by 0");
        Err(Error::Invalid { what: "epsilon", got, want: "used 1e-4 away from that end: see Known::span_for" })
    }

    /// `epsilon s` from what is known: by the denoiser, without a division, where this fades with `gamma`. `None` without a
    /// score.
    pub fn times_score<R: Real>(&self, c: &Coefficients<R>, values: &Values<R>) -> Option<R> {
        match (*self, values.eta, values.s) {
            (Epsilon::Gamma { scale }, Some(eta), _) => Some(-eta * scale),
            (Epsilon::GammaSquared { scale }, Some(eta), _) => Some(-(c.gamma() * eta) * scale),
            (_, _, s) => s.map(|s| self.at(c) * s),
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
