//! How two ends and a noise are mixed at each time.
//!
//! ```text
//! x_t = alpha(t) x_0 + beta(t) x_1 + gamma(t) z        z ~ N(0, 1), 0 <= t <= 1
//! ```
//!
//! A schedule gives `gamma^2` and `gamma gamma'`, never `gamma'`: that is infinite at the ends wherever `gamma` is a root, and
//! every field is made of the product. Formulas are written once, for f64 and for nodes of a graph ([`Real`]).
//!
//! Where the base is the normal itself (one-sided), the base **is** the noise: `alpha` is 0 and `gamma(0)` is 1. So one set of
//! formulas serves all kinds.
//!
//! | | alpha | beta | gamma^2 | |
//! |---|---|---|---|---|
//! | `Linear` | 1 - t | t | any | `Root { a: 2 }` makes the squares sum to 1 |
//! | `Trig` | cos(pi t/2) | sin(pi t/2) | any | |
//! | `UnitTrig` | r cos(pi t/2) | r sin(pi t/2) | any below 1 | r = sqrt(1 - gamma^2): the squares sum to 1 |
//! | `EncodeDecode` | cos^2(pi t), t < 1/2 | cos^2(pi t), t > 1/2 | any | noise alone at 1/2; see `CosineComplement` |
//! | `OneSidedLinear` | 0 | t | (1 - t)^2 | base N(0, 1) |
//! | `OneSidedTrig` | 0 | sin(pi t/2) | cos^2(pi t/2) | base N(0, 1) |
//! | `OneSidedVp` | 0 | t | 1 - t^2 | base N(0, 1); score-based diffusion at `t = exp(-tau)` |
//! | `Mirror` | 0 | 1 | any | both ends are the same density |
//! | `DiffusiveBridge` | 1 - t | t | 2 a t (1 - t) | at each time the law of a Brownian bridge of diffusivity `a` |
//! | `PointMass` | 1 - t^2 | t^2 | 2 a t (1 - t) | starts in one point, at rest; sampled by the SDE of `epsilon = a` |
//!
//! Source: arXiv:2303.08797, section 4 and table 8 (its encoding-decoding row does not have unit variance, and its equation
//! 4.9 has the ends exchanged), theorem 3.1 for the point mass; arXiv:2209.15571 for `gamma = 0`.

pub use super::real::Real;
use crate::error::{Error, Result};
use crate::graph::Var;
use serde::{Deserialize, Serialize};
use std::f64::consts::{FRAC_PI_2, PI};

/// The noise in the middle.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Gamma {
    /// None.
    #[default]
    Zero,
    /// `gamma = sqrt(a t (1 - t))`: infinitely steep at the ends, where the velocity carries the ends' scores.
    Root {
        /// Above 0.
        a: f64,
    },
    /// `gamma = t (1 - t)`.
    Product,
    /// `gamma = sin^2(pi t)`.
    SineSquared,
    /// `gamma^2 = 1 - cos^4(pi t)`: makes the squares of `EncodeDecode` sum to 1.
    CosineComplement,
    /// `gamma = s(u + 1) - s(u - 1) - s(1 - f/2) + s(-1 - f/2)`, `u = f (t - 1/2)`, with the logistic function `s`.
    Sigmoid {
        /// `f`, above 0.
        f: f64,
    },
}

/// A path between two densities.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[allow(missing_docs)] // each is a row of the module's table
pub enum Schedule {
    Linear {
        #[serde(default)]
        gamma: Gamma,
    },
    Trig {
        #[serde(default)]
        gamma: Gamma,
    },
    UnitTrig {
        #[serde(default)]
        gamma: Gamma,
    },
    EncodeDecode {
        gamma: Gamma,
    },
    OneSidedLinear,
    OneSidedTrig,
    OneSidedVp,
    Mirror {
        gamma: Gamma,
    },
    DiffusiveBridge {
        a: f64,
    },
    PointMass {
        a: f64,
    },
}

/// What a path needs to be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ends {
    /// Both densities.
    Two,
    /// The target; the base is N(0, 1).
    One,
    /// The density at both ends.
    Same,
}

/// Values of a schedule at one time: numbers, or nodes shaped like the time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Coefficients<R> {
    /// Weight of the start.
    pub alpha: R,
    /// Weight of the end.
    pub beta: R,
    /// Variance of the noise.
    pub gamma2: R,
    /// `d alpha / dt`.
    pub alpha_dot: R,
    /// `d beta / dt`.
    pub beta_dot: R,
    /// `gamma d gamma / dt`, half the rate of `gamma2`.
    pub gamma_gamma_dot: R,
}

impl<R: Real> Coefficients<R> {
    /// Weight of the noise; rounding below 0 counts as 0.
    pub fn gamma(&self) -> R {
        self.gamma2.at_least(0.0).sqrt()
    }

    /// A point of the path, `alpha x_0 + beta x_1 + gamma z`.
    pub fn point(&self, x0: R, x1: R, z: R) -> R {
        self.alpha * x0 + self.beta * x1 + self.gamma() * z
    }
}

impl Gamma {
    /// `(gamma^2, gamma gamma')` at `t`.
    pub fn at<R: Real>(&self, t: R) -> (R, R) {
        let u = -t + 1.0;
        match *self {
            Gamma::Zero => (t.fill(0.0), t.fill(0.0)),
            Gamma::Root { a } => (t * u * a, (u - t) * (0.5 * a)),
            Gamma::Product => ((t * u).squared(), t * u * (u - t)),
            Gamma::SineSquared => {
                let (s, c) = ((t * PI).sin(), (t * PI).cos());
                (s.squared().squared(), s.squared() * s * c * (2.0 * PI))
            }
            Gamma::CosineComplement => {
                let (s, c) = ((t * PI).sin(), (t * PI).cos());
                // 1 - c^4 without the cancellation near the ends.
                (s.squared() * (c.squared() + 1.0), c.squared() * c * s * (2.0 * PI))
            }
            Gamma::Sigmoid { f } => {
                let x = (t - 0.5) * f;
                let (up, down) = ((x + 1.0).sigmoid(), (x - 1.0).sigmoid());
                let slope = |s: R| s * (-s + 1.0);
                let gamma = up - down - (sigmoid(1.0 - 0.5 * f) - sigmoid(-1.0 - 0.5 * f));
                (gamma.squared(), gamma * (slope(up) - slope(down)) * f)
            }
        }
    }

    /// The largest `gamma^2`, at the middle.
    pub fn peak(&self) -> f64 {
        self.at(0.5).0
    }

    fn check(&self) -> Result<()> {
        match *self {
            Gamma::Root { a } => positive("a of gamma", a),
            Gamma::Sigmoid { f } => positive("f of gamma", f),
            _ => Ok(()),
        }
    }
}

fn sigmoid(x: f64) -> f64 {
    Real::sigmoid(x)
}

/// Each mode is terms of a graph.
pub(super) fn check_modes(modes: usize) -> Result<()> {
    match (1..=1024).contains(&modes) {
        true => Ok(()),
        false => Err(Error::Invalid {
            what: "number of modes",
            got: modes.to_string(),
            want: "at least 1, and at most 1024",
        }),
    }
}

pub(super) fn positive(what: &'static str, value: f64) -> Result<()> {
    match value.is_finite() && value > 0.0 {
        true => Ok(()),
        false => Err(Error::Invalid { what, got: value.to_string(), want: "finite and above 0" }),
    }
}

impl Schedule {
    /// Values at `t` in `[0, 1]`: an f64, or a node of any shape.
    ///
    /// ```
    /// use ergodic::methods::interpolant::{Gamma, Schedule};
    /// let c = Schedule::Linear { gamma: Gamma::Root { a: 2.0 } }.at(0.25);
    /// assert_eq!((c.alpha, c.beta, c.gamma2, c.gamma_gamma_dot), (0.75, 0.25, 0.375, 0.5));
    /// assert_eq!(c.alpha.powi(2) + c.beta.powi(2) + c.gamma2, 1.0);
    /// ```
    pub fn at<R: Real>(&self, t: R) -> Coefficients<R> {
        let u = -t + 1.0;
        let (zero, one) = (t.fill(0.0), t.fill(1.0));
        let noise = |gamma: Gamma| gamma.at(t);
        let (c, s) = ((t * FRAC_PI_2).cos(), (t * FRAC_PI_2).sin());
        let quarter = ((c, s * -FRAC_PI_2), (s, c * FRAC_PI_2));
        match *self {
            Schedule::Linear { gamma } => of((u, -one), (t, one), noise(gamma)),
            Schedule::DiffusiveBridge { a } => of((u, -one), (t, one), noise(Gamma::Root { a: 2.0 * a })),
            Schedule::PointMass { a } => {
                let gamma = noise(Gamma::Root { a: 2.0 * a });
                of((u * (t + 1.0), t * -2.0), (t.squared(), t * 2.0), gamma)
            }
            Schedule::Trig { gamma } => of(quarter.0, quarter.1, noise(gamma)),
            Schedule::UnitTrig { gamma } => {
                let (gamma2, rate) = noise(gamma);
                let r = (-gamma2 + 1.0).sqrt();
                let r_dot = -rate / r;
                let scaled = |(v, dot): (R, R)| (r * v, r_dot * v + r * dot);
                of(scaled(quarter.0), scaled(quarter.1), (gamma2, rate))
            }
            Schedule::EncodeDecode { gamma } => {
                let (c, s) = ((t * PI).cos(), (t * PI).sin());
                let (v, dot) = (c.squared(), c * s * (-2.0 * PI));
                let half = |yes: R, no: R| t.if_below(0.5, yes, no);
                of((half(v, zero), half(dot, zero)), (half(zero, v), half(zero, dot)), noise(gamma))
            }
            Schedule::OneSidedLinear => of((zero, zero), (t, one), (u.squared(), -u)),
            Schedule::OneSidedTrig => of((zero, zero), quarter.1, (c.squared(), c * s * -FRAC_PI_2)),
            Schedule::OneSidedVp => of((zero, zero), (t, one), (u * (t + 1.0), -t)),
            Schedule::Mirror { gamma } => of((zero, zero), (one, zero), noise(gamma)),
        }
    }

    /// What it goes between.
    pub fn ends(&self) -> Ends {
        match self {
            Schedule::OneSidedLinear | Schedule::OneSidedTrig | Schedule::OneSidedVp => Ends::One,
            Schedule::Mirror { .. } => Ends::Same,
            _ => Ends::Two,
        }
    }

    /// Whether there is noise at times between 0 and 1.
    pub fn has_noise(&self) -> bool {
        self.at(0.5).gamma2 > 0.0
    }

    /// Whether its numbers mean anything.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a constant that is not finite and above 0, for unit variance with a `gamma` that reaches 1, and
    /// for a mirror or encoder without noise.
    pub fn check(&self) -> Result<()> {
        match *self {
            Schedule::DiffusiveBridge { a } | Schedule::PointMass { a } => positive("diffusivity a", a),
            Schedule::UnitTrig { gamma } if gamma.peak() >= 1.0 => {
                let got = format!("{gamma:?}, whose square reaches {}", gamma.peak());
                Err(Error::Invalid {
                    what: "gamma of unit_trig",
                    got,
                    want: "below 1 at all times: the rest is divided by",
                })
            }
            Schedule::EncodeDecode { gamma: Gamma::Zero } | Schedule::Mirror { gamma: Gamma::Zero } => {
                Err(Error::Invalid {
                    what: "gamma",
                    got: "zero".into(),
                    want: "above 0 on this path: it is all that moves",
                })
            }
            Schedule::Linear { gamma }
            | Schedule::Trig { gamma }
            | Schedule::UnitTrig { gamma }
            | Schedule::EncodeDecode { gamma }
            | Schedule::Mirror { gamma } => gamma.check(),
            _ => Ok(()),
        }
    }
}

fn of<R>((alpha, alpha_dot): (R, R), (beta, beta_dot): (R, R), (gamma2, gamma_gamma_dot): (R, R)) -> Coefficients<R> {
    Coefficients { alpha, beta, gamma2, alpha_dot, beta_dot, gamma_gamma_dot }
}

/// A path with movable weights: a quarter turn and sine series that vanish at both ends.
///
/// ```text
/// alpha = cos(pi t/2) + 1/M sum_m a_m sin(m pi t)        beta = sin(pi t/2) + 1/M sum_m b_m sin(m pi t),   m = 1..M
/// ```
///
/// Parameters: `a_1 .. a_M`, then `b_1 .. b_M`. Source: arXiv:2209.15571.
///
/// ```
/// use ergodic::methods::interpolant::{Fourier, Gamma};
/// let path = Fourier::new(2, Gamma::Zero)?;
/// let c = path.at(&[0.5, 0.0, 0.0, 0.0], 0.5);
/// assert!((c.alpha - (0.5f64.sqrt() + 0.25)).abs() < 1e-15);
/// # Ok::<(), ergodic::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fourier {
    modes: usize,
    #[serde(default)]
    gamma: Gamma,
}

impl Fourier {
    /// `modes` sines in each weight.
    ///
    /// # Errors
    /// [`Error::Invalid`] for no modes or more than 1024, or a gamma that means nothing.
    pub fn new(modes: usize, gamma: Gamma) -> Result<Self> {
        gamma.check()?;
        check_modes(modes)?;
        Ok(Fourier { modes, gamma })
    }

    /// Number of parameters, `2 M`. Zeros are [`Schedule::Trig`].
    pub fn n_params(&self) -> usize {
        2 * self.modes
    }

    /// Values at `t`. Parameters that are missing count as 0.
    pub fn at<R: Real>(&self, parameters: &[R], t: R) -> Coefficients<R> {
        let mut c = Schedule::Trig { gamma: self.gamma }.at(t);
        for m in 0..self.modes {
            let (w, scale) = (PI * (m + 1) as f64, 1.0 / self.modes as f64);
            let (s, s_dot) = ((t * w).sin() * scale, (t * w).cos() * (w * scale));
            if let Some(&a) = parameters.get(m) {
                (c.alpha, c.alpha_dot) = (c.alpha + a * s, c.alpha_dot + a * s_dot);
            }
            if let Some(&b) = parameters.get(self.modes + m) {
                (c.beta, c.beta_dot) = (c.beta + b * s, c.beta_dot + b * s_dot);
            }
        }
        c
    }

    /// Values at the node `t` for parameters `theta [2 M]`, with derivatives in both.
    ///
    /// # Errors
    /// [`Error::Shape`] for parameters of another shape.
    pub fn at_parameters<'g>(&self, theta: Var<'g>, t: Var<'g>) -> Result<Coefficients<Var<'g>>> {
        let (got, n) = (theta.shape(), self.n_params());
        if *got != [n] {
            let want = format!("[{n}], one for each sine");
            return Err(Error::Shape { op: "Fourier::at", got: got.to_string(), want, at: Some(theta.site()) });
        }
        let parameters: Vec<_> = (0..n).map(|i| theta.narrow(0, i, 1).reshape([])).collect();
        Ok(self.at(&parameters, t))
    }
}
