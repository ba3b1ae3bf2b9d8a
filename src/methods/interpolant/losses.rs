//! What is regressed: quadratic losses whose minimisers are the fields of a path.
//!
//! Every loss is one formula with another target:
//!
//! ```text
//! L = int E[ |f(t, x_t)|^2 / 2 - y . f(t, x_t) ] dt        x_t = I + gamma z,  I = alpha x_0 + beta x_1
//!
//! b:  y = I' + gamma' z        v:  y = I'        s:  y = -z / gamma        eta:  y = z
//! b + epsilon s:  y = I' + (gamma' - epsilon/gamma) z
//! ```
//!
//! At its minimum `L = -int E|field|^2 dt / 2`, and above it `L - min L = int E|f - field|^2 dt / 2`. (`eta` is `E[z | x]`, so
//! `s = -eta / gamma`. Losses without the halves, as in arXiv:2209.15571, are twice these.)
//!
//! Some targets are infinite where `gamma` is 0. Taken at `x^+ = I + gamma z` and `x^- = I - gamma z` and averaged
//! ([`Pairing::Antithetic`]) their variance stays finite, at twice the evaluations.
//!
//! Nothing is averaged here: a loss is one number a row, for [`mean_all`](Var::mean_all), weights, or an error bar.
//!
//! Source: arXiv:2303.08797, section 2 (objectives) and its antithetic pairs; Hyvarinen, JMLR 6, 695 (2005).

use super::schedule::{Coefficients, Schedule};
use crate::autodiff::{Trace, divergence, grad, jvp};
use crate::error::{Error, Result};
use crate::graph::Var;

/// What is learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Field {
    /// The whole velocity, `b = E[dx_t/dt | x]`.
    B,
    /// Its part without noise, `v = E[dI/dt | x]`.
    V,
    /// The score.
    S,
    /// The denoiser, `E[z | x]`.
    Eta,
}

/// How noise is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pairing {
    /// Each draw with both signs.
    #[default]
    Antithetic,
    /// Once.
    Single,
}

/// Points of a path with what made them, one a row.
#[derive(Clone, Copy)]
pub struct Draws<'g> {
    /// Times, `[n, 1]`.
    pub t: Var<'g>,
    /// The schedule there.
    pub c: Coefficients<Var<'g>>,
    /// `I = alpha x_0 + beta x_1`, `[n, d]`.
    pub middle: Var<'g>,
    /// `dI/dt`.
    pub middle_dot: Var<'g>,
    /// The noise, `[n, d]`.
    pub z: Var<'g>,
}

impl<'g> Draws<'g> {
    /// From draws of the ends and the noise, `[n, d]` each, at times `[n, 1]`. `None` stands for an end without weight: the
    /// start of a one-sided or mirror path.
    ///
    /// # Errors
    /// [`Error::Shape`] for shapes that do not fit.
    pub fn new(schedule: &Schedule, t: Var<'g>, x0: Option<Var<'g>>, x1: Var<'g>, z: Var<'g>) -> Result<Self> {
        Self::with(schedule.at(t), t, x0, x1, z)
    }

    /// The same with coefficients of your own, such as a [`Fourier`](super::Fourier) path's.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with(c: Coefficients<Var<'g>>, t: Var<'g>, x0: Option<Var<'g>>, x1: Var<'g>, z: Var<'g>) -> Result<Self> {
        check_draws(t, x1, &x0.into_iter().chain([z]).collect::<Vec<_>>())?;
        let mixed = |a: Var<'g>, b: Var<'g>| x0.map_or(b * x1, |x0| a * x0 + b * x1);
        let (middle, middle_dot) = (mixed(c.alpha, c.beta), mixed(c.alpha_dot, c.beta_dot));
        Ok(Draws { t, c, middle, middle_dot, z })
    }

    /// From a path of your own between the ends, such as `alpha x_0 + beta x_1 + t (1 - t) net(t, x_0, x_1)`: `middle [n, d]`
    /// is built from `t [n, 1]`, and its rate is its derivative. Only `c`'s noise is used.
    ///
    /// ```
    /// use ergodic::graph::{Feeds, Graph};
    /// use ergodic::methods::interpolant::{Draws, Gamma, Schedule};
    /// # fn main() -> ergodic::Result<()> {
    /// let g = Graph::new();
    /// let (t, x0, x1, z) = (g.input("t", [1, 1]), g.input("x0", [1, 2]), g.input("x1", [1, 2]), g.input("z", [1, 2]));
    /// let c = Schedule::Linear { gamma: Gamma::Zero }.at(t);
    /// let bent = c.alpha * x0 + c.beta * x1 + t * c.alpha * (x0 * x1);
    /// let draws = Draws::along(c, t, bent, z)?;
    /// let feeds = Feeds::new().tensor("t", &[0.25]).tensor("x0", &[1.0, 2.0]).tensor("x1", &[3.0, 4.0]);
    /// assert_eq!(g.eval_f64(&[draws.middle_dot], &feeds)?[0].data, [2.0 + 0.5 * 3.0, 2.0 + 0.5 * 8.0]);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Error::Shape`] for shapes that do not fit; [`Error::NotDifferentiable`].
    pub fn along(c: Coefficients<Var<'g>>, t: Var<'g>, middle: Var<'g>, z: Var<'g>) -> Result<Self> {
        check_draws(t, middle, &[z])?;
        let middle_dot = jvp(middle, t, t.zeros_like() + 1.0)?;
        Ok(Draws { t, c, middle, middle_dot, z })
    }

    /// `x^+`, or `x^-` for a negative sign.
    pub fn point(&self, sign: f64) -> Var<'g> {
        self.middle + self.c.gamma() * self.z * sign
    }

    /// `v / gamma`; without noise the factors that stand here are zeros of the graph, and so is the quotient.
    fn over_gamma(&self, v: Var<'g>) -> Var<'g> {
        if v.is_zero() { v } else { v / self.c.gamma() }
    }

    fn target(&self, field: Field, sign: f64) -> Var<'g> {
        match field {
            Field::B => self.middle_dot + self.over_gamma(self.c.gamma_gamma_dot) * self.z * sign,
            Field::V => self.middle_dot,
            Field::S => self.over_gamma(self.z) * -sign,
            Field::Eta => self.z * sign,
        }
    }

    fn is_silent(&self) -> bool {
        self.c.gamma2.is_zero()
    }

    /// `|f|^2/2 - y . f` at both signs of the noise, or at one.
    fn quadratic(
        &self,
        pairing: Pairing,
        target: impl Fn(f64) -> Var<'g>,
        f: impl Fn(Var<'g>, Var<'g>) -> Result<Var<'g>>,
    ) -> Result<Var<'g>> {
        let of = |sign: f64| {
            let f = f(self.t, self.point(sign))?;
            Ok((f.square() * 0.5 - target(sign) * f).sum(1))
        };
        match pairing {
            Pairing::Antithetic if !self.is_silent() => Ok((of(1.0)? + of(-1.0)?) * 0.5),
            _ => of(1.0),
        }
    }
}

/// Points are `[n, d]`, all alike, and times `[n, 1]`.
fn check_draws<'g>(t: Var<'g>, points: Var<'g>, others: &[Var<'g>]) -> Result<()> {
    let (rows, time) = (points.shape(), t.shape());
    if rows.len() == 2 && others.iter().all(|v| v.shape() == rows) && *time == [rows[0], 1] {
        return Ok(());
    }
    let shapes: Vec<_> = others.iter().map(|v| v.shape().to_string()).collect();
    let got = format!("points {rows} and {}, times {time}", shapes.join(" and "));
    let want = "points and noise [n, d] and times [n, 1]".into();
    Err(Error::Shape { op: "Draws", got, want, at: Some(points.site()) })
}

/// The loss of `f(t, x)` as an estimate of `field`, one number a row: `[n]`.
///
/// ```
/// use ergodic::graph::{Feeds, Graph};
/// use ergodic::methods::interpolant::{Draws, Field, Gamma, Pairing, Schedule, loss};
/// # fn main() -> ergodic::Result<()> {
/// let g = Graph::new();
/// let (t, x0, x1, z) = (g.input("t", [1, 1]), g.input("x0", [1, 1]), g.input("x1", [1, 1]), g.input("z", [1, 1]));
/// let draws = Draws::new(&Schedule::Linear { gamma: Gamma::Zero }, t, Some(x0), x1, z)?;
/// let l = loss(Field::B, &draws, Pairing::Single, |_, x| Ok(x))?; // x = 1.5 and y = 2 at the middle of 0.5 and 2.5
/// let feeds = Feeds::new().tensor("t", &[0.5]).tensor("x0", &[0.5]).tensor("x1", &[2.5]).tensor("z", &[9.0]);
/// assert_eq!(g.eval_f64(&[l], &feeds)?[0].data, [1.5 * 1.5 / 2.0 - 2.0 * 1.5]);
/// # Ok(()) }
/// ```
///
/// # Errors
/// [`Error::Invalid`] for a score or denoiser of a path without noise; what `f` refuses.
pub fn loss<'g>(
    field: Field,
    draws: &Draws<'g>,
    pairing: Pairing,
    f: impl Fn(Var<'g>, Var<'g>) -> Result<Var<'g>>,
) -> Result<Var<'g>> {
    if draws.is_silent() && matches!(field, Field::S | Field::Eta) {
        return Err(silent());
    }
    draws.quadratic(pairing, |sign| draws.target(field, sign), f)
}

/// The loss of the drift of the SDE forwards, `b + epsilon s`, learned as one field: `y = I' + (gamma' - epsilon/gamma) z`.
///
/// `epsilon` is a scalar, or `[n, 1]`. On a [`PointMass`](Schedule::PointMass) path with `epsilon = a` this is the drift that
/// starts from a point. The largest minimum over all paths is that of the Schrodinger bridge ([`GaussianBridge`]).
///
/// [`GaussianBridge`]: super::GaussianBridge
///
/// # Errors
/// As [`loss`].
pub fn drift_loss<'g>(
    draws: &Draws<'g>,
    epsilon: Var<'g>,
    pairing: Pairing,
    f: impl Fn(Var<'g>, Var<'g>) -> Result<Var<'g>>,
) -> Result<Var<'g>> {
    if draws.is_silent() {
        return Err(silent());
    }
    let rate = draws.over_gamma(draws.c.gamma_gamma_dot - epsilon);
    draws.quadratic(pairing, |sign| draws.middle_dot + rate * draws.z * sign, f)
}

fn silent() -> Error {
    let got = "0 at all times".to_string();
    Error::Invalid { what: "gamma", got, want: "above 0 inside the path: the noise is what is learned" }
}

/// The loss of a score by its divergence, which needs points but no noise: `|s|^2 + 2 div s`, `[n]`; at its minimum
/// `-E|s|^2`.
///
/// # Errors
/// As [`divergence`].
pub fn implicit_score_loss<'g>(s: Var<'g>, x: Var<'g>, trace: Trace<'g>) -> Result<Var<'g>> {
    Ok(s.square().sum(1) + divergence(s, x, trace)? * 2.0)
}

/// [`loss`] of the score `-grad E`, for an energy `E(t, x)` of one value a row.
///
/// # Errors
/// As [`loss`] and [`grad`].
pub fn energy_loss<'g>(
    draws: &Draws<'g>,
    pairing: Pairing,
    energy: impl Fn(Var<'g>, Var<'g>) -> Result<Var<'g>>,
) -> Result<Var<'g>> {
    loss(Field::S, draws, pairing, |t, x| Ok(-grad(energy(t, x)?, x)?))
}
