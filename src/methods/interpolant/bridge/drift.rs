//! Models of the drift that a path needs.

use super::super::fields::Fields;
use super::super::gaussian::GaussianMixture;
use super::super::path::MixturePath;
use super::super::schedule::{Coefficients, Gamma, Schedule};
use super::super::source::Source;
use super::super::trainer::FieldNet;
use super::path::{Family, LearnedPath};
use crate::error::{Error, Result};
use crate::graph::Var;
use crate::nn::Activation;
use crate::random::RngKey;
use serde::{Deserialize, Serialize};

/// What the drift is, as a preset describes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum DriftSpec {
    /// That of the path itself, in closed form: between mixtures, on paths linear in their ends.
    Known,
    /// `p(t) + q(t) x` component by component, `p` and `q` polynomials of this degree: exact enough between Gaussians whose
    /// covariances are diagonal.
    Affine {
        /// Of the polynomials.
        degree: usize,
    },
    /// A network of `t` and `x`.
    Net {
        /// Sizes of the hidden layers.
        hidden: Vec<usize>,
        /// Between layers.
        activation: Activation,
    },
}

/// A drift `u(t, x)`; see [`DriftSpec`].
#[derive(Clone, Debug)]
pub(super) enum Drift {
    Known(Box<MixturePath>),
    Affine { d: usize, degree: usize },
    Net(FieldNet),
}

impl Drift {
    pub fn new(spec: &DriftSpec, path: &LearnedPath, start: &Source, end: &Source) -> Result<Self> {
        let d = path.d();
        Ok(match spec {
            DriftSpec::Known => Drift::Known(Box::new(known(path, start, end)?)),
            DriftSpec::Affine { degree } => Drift::Affine { d, degree: *degree },
            DriftSpec::Net { hidden, activation } => Drift::Net(FieldNet::new(d, hidden, *activation)?),
        })
    }

    /// Whether there is anything to learn.
    pub fn is_learned(&self) -> bool {
        !matches!(self, Drift::Known(_))
    }

    /// Length of [`init`](Self::init).
    pub fn n_params(&self) -> Result<usize> {
        match self {
            Drift::Known(path) => path.n_params(),
            Drift::Affine { d, degree } => Ok((degree + 1) * 2 * d),
            Drift::Net(net) => Ok(net.n_params()),
        }
    }

    /// What it starts from; of a known drift, the numbers of the mixtures.
    pub fn init(&self, key: RngKey) -> Result<Vec<f32>> {
        match self {
            Drift::Known(path) => path.parameters(),
            Drift::Affine { .. } => Ok(vec![0.0; self.n_params()?]),
            Drift::Net(net) => Ok(net.init(key)),
        }
    }

    /// `u(t, x)`, `[n, d]`, for a path with coefficients `c` at `t`. A function of `t` and `x` alone: what `c` owes to the path's
    /// parameters is held fixed.
    pub fn apply<'g>(
        &self,
        theta: Var<'g>,
        (c, epsilon): (&Coefficients<Var<'g>>, f64),
        t: Var<'g>,
        x: Var<'g>,
    ) -> Result<Var<'g>> {
        match self {
            Drift::Known(path) => {
                let fields: Fields<'g> = path.fields_of(theta, &frozen(c), x)?;
                Ok(fields.forward_drift(x.graph().constant(epsilon)))
            }
            Drift::Affine { d, degree } => affine(theta, *d, *degree, t, x),
            Drift::Net(net) => net.apply(theta, t, x),
        }
    }
}

/// The same numbers, as constants to a derivative.
fn frozen<'g>(c: &Coefficients<Var<'g>>) -> Coefficients<Var<'g>> {
    // Of zeros this must stay what the graph knows to be zero.
    let fixed = |v: Var<'g>| if v.is_zero() { v } else { v.stop_grad() };
    Coefficients {
        alpha: fixed(c.alpha),
        beta: fixed(c.beta),
        gamma2: fixed(c.gamma2),
        alpha_dot: fixed(c.alpha_dot),
        beta_dot: fixed(c.beta_dot),
        gamma_gamma_dot: fixed(c.gamma_gamma_dot),
    }
}

/// Chebyshev's polynomials of `2 t - 1`, times two coefficients a component.
fn affine<'g>(theta: Var<'g>, d: usize, degree: usize, t: Var<'g>, x: Var<'g>) -> Result<Var<'g>> {
    let (n, s) = (x.shape()[0], t.broadcast_to([x.shape()[0], 1]) * 2.0 - 1.0);
    let theta = theta.reshape([degree + 1, 2, d]);
    let part = |k: usize, which: usize| theta.slice([k, which, 0], [1, 1, d]).reshape([1, d]);
    let (mut before, mut now) = (s, s.zeros_like() + 1.0); // T_-1 and T_0
    let (mut constant, mut slope) = (x.zeros_like(), x.zeros_like());
    for k in 0..=degree {
        (constant, slope) = (constant + now * part(k, 0), slope + now * part(k, 1));
        (before, now) = (now, s * now * 2.0 - before);
    }
    x.graph().check()?;
    Ok((constant + slope * x).broadcast_to([n, d]))
}

/// The closed form that fits a path; the schedule in it only says whether there is noise.
fn known(path: &LearnedPath, start: &Source, end: &Source) -> Result<MixturePath> {
    let refuse = |got: String| {
        let want = "learned, or between mixtures on a path that is linear in its ends";
        Err(Error::Invalid { what: "known drift", got, want })
    };
    if !path.is_linear() {
        return refuse("asked for on a neural path".into());
    }
    let gamma = if path.has_noise() { Gamma::Root { a: 1.0 } } else { Gamma::Zero };
    if let (Source::Rows { d, x }, Family::Fixed(schedule @ Schedule::PointMass { .. })) = (start, &path.spec().family)
        && x.len() == *d
        && let Some(end) = mixture(end)?
    {
        let point: Vec<_> = x.iter().map(|&v| f64::from(v)).collect();
        return MixturePath::from_point(*schedule, &point, end);
    }
    match (mixture(start)?, mixture(end)?) {
        (Some(start), Some(end)) => MixturePath::between(Schedule::Linear { gamma }, start, end),
        _ => refuse("asked for between ends that are not both mixtures".into()),
    }
}

/// A source as a mixture, if it is one.
pub(super) fn mixture(source: &Source) -> Result<Option<GaussianMixture>> {
    match source {
        Source::Normal(d) => GaussianMixture::normal(*d).map(Some),
        Source::Mixture(mixture) => Ok(Some(mixture.clone())),
        _ => Ok(None),
    }
}
