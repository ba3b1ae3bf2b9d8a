//! Paths with parameters: weights, noise and bends that can be learned.

use super::super::losses::Draws;
use super::super::real::Real;
use super::super::schedule::{Coefficients, Ends, Fourier, Gamma, Schedule, check_modes, positive};
use crate::error::{Error, Result};
use crate::graph::Var;
use crate::nn::{Activation, Mlp, ParamLayout};
use crate::random::RngKey;
use serde::{Deserialize, Serialize};
use std::f64::consts::PI;

/// Names of the parts of a path's parameters.
const WEIGHTS: &str = "weights";
const NOISE: &str = "noise";
const NET: &str = "net";

/// How the middle `I(t, x_0, x_1)` of a path depends on parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Family {
    /// Not at all, nor does the noise: a schedule between two ends.
    Fixed(Schedule),
    /// `(1 - t) x_0 + t x_1`; only the noise can be learned.
    Linear,
    /// `alpha x_0 + beta x_1` with the sine series of [`Fourier`].
    Fourier {
        /// Sines in each weight, at least 1.
        modes: usize,
    },
    /// `(1 - t) x_0 + t x_1 + t (1 - t) net(t, x_0, x_1)`. It starts straight: the last layer starts as zeros.
    Neural {
        /// Sizes of the hidden layers.
        hidden: Vec<usize>,
        /// Between layers.
        activation: Activation,
    },
}

/// Noise that is learned: `gamma^2 = a t (1 - t) exp(c_0 + sum_k c_k cos(k pi t))`, `k = 1..modes`, from `c = 0`.
///
/// It is positive inside and 0 at the ends for all parameters, with any slope there: the noise of a Schrodinger bridge grows as
/// `t` at its start. So `gamma'` is infinite at the ends, and only `gamma gamma'` is ever formed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Noise {
    /// Where it starts, length^2, above 0.
    pub a: f64,
    /// Cosines; with none only the strength is learned.
    #[serde(default)]
    pub modes: usize,
}

impl Noise {
    /// `(gamma^2, gamma gamma')` for parameters `c_0 .. c_modes`.
    fn at<R: Real>(&self, c: &[R], t: R) -> (R, R) {
        let (u, mut log, mut slope) = (-t + 1.0, t.fill(self.a.ln()), t.fill(0.0));
        for (k, &c) in c.iter().enumerate() {
            let w = PI * k as f64;
            log = log + if k == 0 { c } else { c * (t * w).cos() };
            slope = if k == 0 { slope } else { slope - c * (t * w).sin() * w };
        }
        let strength = log.exp();
        (t * u * strength, ((u - t) + t * u * slope) * strength * 0.5)
    }
}

/// A path as a preset describes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PathSpec {
    /// Its middle.
    pub family: Family,
    /// Its noise; left out there is none (or that of a fixed schedule).
    #[serde(default)]
    pub noise: Option<Noise>,
}

/// A path between two ends in `d` dimensions, whose parameters are one flat vector.
///
/// ```
/// use ergodic::methods::interpolant::{Family, LearnedPath, Noise, PathSpec};
/// let spec = PathSpec { family: Family::Fourier { modes: 3 }, noise: Some(Noise { a: 2.0, modes: 1 }) };
/// let path = LearnedPath::new(&spec, 1)?;
/// assert_eq!(path.n_params(), 8 + 4); // six sines and two of the noise, each part padded to a multiple of 4
/// let c = path.at(&vec![0.0; path.n_params()], 0.5)?;
/// assert!((c.alpha.powi(2) + c.beta.powi(2) - 1.0).abs() < 1e-15 && (c.gamma2 - 0.5).abs() < 1e-15);
/// # Ok::<(), ergodic::Error>(())
/// ```
///
/// Source: arXiv:2209.15571 (sines, networks); arXiv:2303.08797, theorem 3.10.
#[derive(Clone, Debug, PartialEq)]
pub struct LearnedPath {
    spec: PathSpec,
    d: usize,
    layout: ParamLayout,
    net: Option<Mlp>,
}

impl LearnedPath {
    /// In `d` dimensions.
    ///
    /// # Errors
    /// [`Error::Invalid`] for constants that mean nothing, a schedule with one end, and noise beside a fixed schedule, which
    /// has its own; as [`Mlp::check`].
    pub fn new(spec: &PathSpec, d: usize) -> Result<Self> {
        let (mut layout, mut net) = (ParamLayout::new(), None);
        match &spec.family {
            Family::Fixed(schedule) => check_fixed(schedule, spec.noise)?,
            Family::Linear => {}
            Family::Fourier { modes } => {
                layout = layout.with(WEIGHTS, [Fourier::new(*modes, Gamma::Zero)?.n_params()])?;
            }
            Family::Neural { hidden, activation } => {
                let sizes: Vec<_> = [2 * d + 1].into_iter().chain(hidden.iter().copied()).chain([d]).collect();
                let bend = Mlp::new(&sizes, *activation)?;
                layout = layout.nest(NET, &bend.layout())?;
                net = Some(bend);
            }
        }
        if let Some(noise) = spec.noise {
            positive("a of the path's noise", noise.a)?;
            check_modes(noise.modes.max(1))?;
            layout = layout.with(NOISE, [noise.modes + 1])?;
        }
        Ok(LearnedPath { spec: spec.clone(), d, layout, net })
    }

    /// Number of dimensions.
    pub fn d(&self) -> usize {
        self.d
    }

    /// What it was made of.
    pub fn spec(&self) -> &PathSpec {
        &self.spec
    }

    /// Length of its parameter vector; 0 if there is nothing to learn.
    pub fn n_params(&self) -> usize {
        self.layout.len()
    }

    /// Whether there is noise between the ends.
    pub fn has_noise(&self) -> bool {
        match self.spec.family {
            Family::Fixed(schedule) => schedule.has_noise(),
            _ => self.spec.noise.is_some(),
        }
    }

    /// Whether the middle is a sum of the ends with weights, so that fields between mixtures are known.
    pub fn is_linear(&self) -> bool {
        self.net.is_none()
    }

    /// Parameters to start from: the straight or quarter-turn path with the noise of the preset. A network's inner layers
    /// depend on the key.
    pub fn init(&self, key: RngKey) -> Vec<f32> {
        let mut phi = vec![0f32; self.layout.len()];
        let Some(net) = &self.net else { return phi };
        let (theta, inner) = (net.init(key), net.layout());
        let last = ["w", "b"].map(|kind| format!("{kind}{}", net.sizes.len() - 2));
        for param in inner.params().iter().filter(|param| !last.contains(&param.name)) {
            if let Ok(to) = self.layout.view_mut(&mut phi, &format!("{NET}/{}", param.name)) {
                to.copy_from_slice(&theta[param.range()]);
            }
        }
        phi
    }

    /// Its weights and noise at `t` in f64. Of a neural path these are the weights of the straight line.
    ///
    /// # Errors
    /// [`Error::Shape`] for parameters of another length.
    pub fn at(&self, phi: &[f64], t: f64) -> Result<Coefficients<f64>> {
        let part = |name: &str| self.layout.view(phi, name);
        self.coefficients(&part, t)
    }

    /// The same at the node `t`, a scalar or `[n, 1]`, for parameters `phi [P]`, with derivatives in both.
    ///
    /// # Errors
    /// [`Error::Shape`] for parameters of another shape.
    pub fn at_parameters<'g>(&self, phi: Var<'g>, t: Var<'g>) -> Result<Coefficients<Var<'g>>> {
        let part = |name: &str| {
            let all = self.layout.get(phi, name)?;
            Ok((0..all.shape()[0]).map(|i| all.narrow(0, i, 1).reshape([])).collect::<Vec<_>>())
        };
        self.coefficients(&part, t)
    }

    fn coefficients<R: Real, V: AsRef<[R]>>(&self, part: &dyn Fn(&str) -> Result<V>, t: R) -> Result<Coefficients<R>> {
        let mut c = match &self.spec.family {
            Family::Fixed(schedule) => schedule.at(t),
            Family::Linear | Family::Neural { .. } => Schedule::Linear { gamma: Gamma::Zero }.at(t),
            Family::Fourier { modes } => Fourier::new(*modes, Gamma::Zero)?.at(part(WEIGHTS)?.as_ref(), t),
        };
        if let Some(noise) = self.spec.noise {
            (c.gamma2, c.gamma_gamma_dot) = noise.at(part(NOISE)?.as_ref(), t);
        }
        Ok(c)
    }

    /// Points of the path for draws of the ends and the noise, `[n, d]` each, at times `[n, 1]`, with derivatives in `phi`.
    ///
    /// # Errors
    /// [`Error::Shape`] for shapes that do not fit.
    pub fn draws<'g>(&self, phi: Var<'g>, t: Var<'g>, [x0, x1]: [Var<'g>; 2], z: Var<'g>) -> Result<Draws<'g>> {
        let c = self.at_parameters(phi, t)?;
        let Some(net) = &self.net else { return Draws::with(c, t, Some(x0), x1, z) };
        let theta = self.layout.part(phi, NET)?;
        let inputs = Var::concat(&[x0, x1, t], 1).unwrap_or(t);
        let bend = t * (-t + 1.0) * net.apply(theta, inputs)?;
        Draws::along(c, t, c.alpha * x0 + c.beta * x1 + bend, z)
    }
}

fn check_fixed(schedule: &Schedule, noise: Option<Noise>) -> Result<()> {
    schedule.check()?;
    if schedule.ends() != Ends::Two {
        let got = format!("{schedule:?}");
        return Err(Error::Invalid { what: "fixed path", got, want: "a schedule between two ends" });
    }
    match noise {
        Some(_) => Err(Error::Invalid {
            what: "noise",
            got: format!("given beside {schedule:?}"),
            want: "left out: a fixed schedule has its own gamma",
        }),
        None => Ok(()),
    }
}
