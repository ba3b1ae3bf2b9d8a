//! What a sampler of a [`Model`] should do: fields, a schedule, a noise, a solver and a direction in one builder.
//!
//! | [`Solver`] | follows | needs | from 0 to 1 | from 1 to 0 |
//! |---|---|---|---|---|
//! | `Fixed`, `Adaptive` | `dX = b dt` | `b` | yes | yes |
//! | `Diffusion` | `dX = (b +- eps s) dt + sqrt(2 eps) dW` | `b`, `s`, `eps > 0` | `+` | `-`, time running backwards |
//! | `Denoiser` | `X' = alpha' eta_0 + beta' eta_1 + gamma' eta_z`, the mean at the next time | `b` or `v`, `eta` | yes | no |
//!
//! The ends of time. Without other wishes a sampler goes from 0 to 1, or stays 1e-4 away from an end at which its own fields are
//! divided by 0: [`Known::span_for`] has the table. Points start there as if they were the end's (they miss noise of standard
//! deviation `gamma(1e-4)`, 0.01 for a root). Times beyond are refused, not clamped. Where a score grows faster than a network
//! follows, [`Sampling::denoised_from`] stops earlier and ends in one step of the denoiser, in the mean `E[x_1 | x]`.
//!
//! A one-sided path of which only the denoiser is known has no first step of the denoiser: it starts one step later, with the
//! base itself there, at an error of the size of one step.
//!
//! Source: arXiv:2303.08797, sections 2 (ODE, SDEs), 5 (denoising steps) and 7 (ends of time, integrators).

use super::derived::{Epsilon, Values};
use super::model::Model;
use super::sampler::{Sampler, Way};
use super::schedule::{Coefficients, Ends, Schedule};
use crate::autodiff::Trace;
use crate::dynamics::ode::{Adaptive, FixedStep, Method, Rates, Tolerance, with_log_density, with_log_density_along};
use crate::dynamics::sde::{self, Diffusion};
use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::graph::{Graph, Var};
use serde::{Deserialize, Serialize};

/// Name of Hutchinson's signs in a graph.
pub(super) const SIGNS: &str = "sampler.signs";

/// How fields are followed; see the table of the module.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Solver {
    /// The ODE in equal steps.
    Fixed {
        /// What a step is.
        method: Method,
        /// How many.
        steps: u32,
    },
    /// The ODE by Dormand and Prince's pair.
    Adaptive(Tolerance),
    /// The SDE in equal steps.
    Diffusion {
        /// What a step is.
        method: sde::Method,
        /// How many.
        steps: u32,
    },
    /// Means at the next time.
    Denoiser {
        /// How many.
        steps: u32,
    },
}

/// How the divergence of the velocity is computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Spread {
    /// Exactly, `d` derivatives a point.
    #[default]
    Exact,
    /// Hutchinson's estimator, averaged over this many random signs a point: even, so that two halves give an error.
    Probes(usize),
}

impl Spread {
    /// Exact in up to 64 dimensions, 8 probes above.
    pub fn in_dimensions(d: usize) -> Self {
        if d <= 64 { Spread::Exact } else { Spread::Probes(8) }
    }

    /// Probes of each of how many runs.
    pub(super) fn runs(self) -> (usize, usize) {
        match self {
            Spread::Exact => (0, 1),
            Spread::Probes(n) => (n / 2, 2),
        }
    }

    /// The velocity with the rate of its log-density.
    fn carried<'g>(self, b: Var<'g>, x: Var<'g>) -> Result<Rates<'g>> {
        let (n, d) = (x.shape()[0], x.shape()[1]);
        match self {
            Spread::Exact => with_log_density(b, x, Trace::Exact),
            Spread::Probes(_) => with_log_density_along(b, x, x.graph().input(SIGNS, [n, self.runs().0, d])),
        }
    }

    /// Whether it means anything.
    ///
    /// # Errors
    /// [`Error::Invalid`] for no probes or an odd number.
    pub fn check(self) -> Result<()> {
        match self {
            Spread::Probes(n) if n == 0 || n % 2 == 1 => {
                let want = "even and at least 2, so that two halves give an error";
                Err(Error::Invalid { what: "number of probes", got: n.to_string(), want })
            }
            _ => Ok(()),
        }
    }
}

/// What a sampler should do, to be compiled for a model.
///
/// ```
/// use ergodic::dynamics::ode::Tolerance;
/// use ergodic::gpu::{Gpu, GpuOptions};
/// use ergodic::methods::interpolant::{GaussianMixture, MixturePath, Model, Sampling, Schedule, Solver, Spread};
/// use ergodic::random::RngKey;
/// # fn main() -> ergodic::Result<()> {
/// let gpu = Gpu::headless(GpuOptions::from_env()?)?;
/// let end = GaussianMixture::isotropic(&[1.0], &[vec![2.0]], &[0.25])?;
/// let model = Model::exact(&gpu, &MixturePath::to(Schedule::OneSidedLinear, end.clone())?)?;
/// let ode = Sampling::new(Solver::Adaptive(Tolerance::default())).with_log_density(Spread::Exact);
/// let samples = ode.compile(&gpu, &model, 100)?.run(RngKey::new(1))?;
/// let x = samples.points.read::<f32>()?.wait()?;
/// for (x, log_density) in x.iter().zip(&samples.log_density) {
///     assert!((end.log_density(&[f64::from(*x)]) - log_density).abs() < 1e-3);
/// }
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[must_use]
pub struct Sampling {
    solver: Solver,
    epsilon: Epsilon,
    backwards: bool,
    times: Option<(f64, f64)>,
    denoised_from: Option<f64>,
    spread: Option<Spread>,
}

impl Sampling {
    /// Forwards without noise, between all times that the model allows.
    pub fn new(solver: Solver) -> Self {
        Sampling { solver, epsilon: Epsilon::Zero, backwards: false, times: None, denoised_from: None, spread: None }
    }

    /// With this noise, for [`Solver::Diffusion`].
    pub fn epsilon(self, epsilon: Epsilon) -> Self {
        Sampling { epsilon, ..self }
    }

    /// From the density at `t = 1` to that at 0.
    pub fn backwards(self) -> Self {
        Sampling { backwards: true, ..self }
    }

    /// Only between these times, the earlier first.
    pub fn between(self, from: f64, to: f64) -> Self {
        Sampling { times: Some((from, to)), ..self }
    }

    /// Stop at `t < 1` and end in one step of the denoiser.
    pub fn denoised_from(self, t: f64) -> Self {
        Sampling { denoised_from: Some(t), ..self }
    }

    /// Carry the log-density along, by the divergence of `b`; of a diffusion that of the fields' own density, to first order
    /// in the step:
    ///
    /// ```text
    /// ODE:  d log rho = -div b dt          diffusion:  d log rho = -(div b + b . s) dt + s . dX   (Stratonovich)
    /// ```
    pub fn with_log_density(self, spread: Spread) -> Self {
        Sampling { spread: Some(spread), ..self }
    }

    /// Times between which it goes, the earlier first; or why it cannot.
    ///
    /// # Errors
    /// [`Error::Invalid`] for no steps, noise without a diffusion and a diffusion without noise, noise without a score
    /// ([`Epsilon::check`]), times at which fields are divided by 0, a denoiser that is not known or wanted backwards, a
    /// log-density of its means, and a point mass followed by anything but its own SDE.
    pub fn check(&self, model: &Model) -> Result<(f64, f64)> {
        let refuse = |what, got: String, want| Err(Error::Invalid { what, got, want });
        let noisy = matches!(self.solver, Solver::Diffusion { .. });
        if let Solver::Fixed { steps: 0, .. } | Solver::Diffusion { steps: 0, .. } | Solver::Denoiser { steps: 0 } =
            self.solver
        {
            return refuse("number of steps", "0".into(), "at least 1");
        }
        if noisy == (self.epsilon == Epsilon::Zero) {
            let got = format!("{:?} for {:?}", self.epsilon, self.solver);
            return refuse("epsilon", got, "above 0 for a diffusion, and zero for everything else");
        }
        self.check_means(model)?;
        if let Some(spread) = self.spread {
            spread.check()?;
            if matches!(self.solver, Solver::Denoiser { .. }) || self.denoised_from.is_some() {
                let got = format!("wanted along {:?}", self.solver);
                return refuse("log-density", got, "of an ODE or a diffusion: means are no draws");
            }
        }
        self.check_point(model.schedule())?;
        self.check_times(model)
    }

    /// What a denoiser needs.
    fn check_means(&self, model: &Model) -> Result<()> {
        let (schedule, steps) = (model.schedule(), matches!(self.solver, Solver::Denoiser { .. }));
        if !steps && self.denoised_from.is_none() {
            return Ok(());
        }
        let refuse = |got: String, want| Err(Error::Invalid { what: "denoiser", got, want });
        let kinds =
            matches!(schedule, Schedule::Linear { .. } | Schedule::Trig { .. } | Schedule::DiffusiveBridge { .. });
        if !(schedule.ends() == Ends::One || kinds) {
            return refuse(
                format!("wanted on {schedule:?}"),
                "of a one-sided, linear or trig path, whose means follow",
            );
        }
        if self.backwards {
            return refuse("wanted backwards".into(), "forwards: it ends in a mean at t = 1");
        }
        match model.known() {
            Some(known) if schedule.has_noise() && !known.has_score(schedule) => {
                refuse(format!("not among {known:?}"), "known: learn eta or s too")
            }
            _ => Ok(()),
        }
    }

    /// A point has no density: only the diffusion that the path is made of starts there.
    fn check_point(&self, schedule: &Schedule) -> Result<()> {
        let Schedule::PointMass { a } = *schedule else { return Ok(()) };
        if !self.backwards && self.epsilon == (Epsilon::Constant { value: a }) {
            return Ok(());
        }
        let direction = if self.backwards { "backwards" } else { "forwards" };
        let got = format!("{:?} {direction}", self.epsilon);
        let want = "constant, the path's own a, forwards: the drift of any other is infinite at the point";
        Err(Error::Invalid { what: "epsilon of a point mass", got, want })
    }

    fn check_times(&self, model: &Model) -> Result<(f64, f64)> {
        let refuse = |what, got: String, want| Err(Error::Invalid { what, got, want });
        let known = model.known();
        let allowed = known.map_or((0.0, 1.0), |known| known.span_for(model.schedule(), &self.epsilon));
        let late = match (self.solver, known) {
            // The first step of a denoiser alone divides by beta(0) = 0.
            (Solver::Denoiser { steps }, Some(known)) if known.motion.is_none() => 1.0 / f64::from(steps),
            _ => allowed.0,
        };
        let (from, to) = self.times.unwrap_or((late, allowed.1));
        let to = self.denoised_from.unwrap_or(to);
        if !(0.0 <= from && from < to && to <= 1.0) || (self.denoised_from.is_some() && to >= 1.0) {
            return refuse(
                "span of times",
                format!("({from}, {to})"),
                "two times in order, from 0 to 1; a denoised end below 1",
            );
        }
        if from < allowed.0 || to > allowed.1 {
            let got = format!("({from}, {to}) for {known:?} with {:?}", self.epsilon);
            return refuse("span of times", got, "1e-4 away from an end at which the fields are divided by 0");
        }
        match &known {
            Some(known) => self.epsilon.check(model.schedule(), known, (from, to))?,
            None => self.epsilon.check_strength()?,
        }
        Ok((from, to))
    }

    /// For `n` points of a model.
    ///
    /// # Errors
    /// As [`check`](Self::check); what compiling reports.
    pub fn compile(&self, gpu: &Gpu, model: &Model, n: usize) -> Result<Sampler> {
        let span = self.check(model)?;
        let times = if self.backwards { (span.1, span.0) } else { span };
        let way = self.way(gpu, model, n)?;
        let last = match self.denoised_from {
            Some(_) => Some(denoiser(gpu, model, n)?),
            None => None,
        };
        let start = model.end(self.backwards);
        Ok(Sampler { gpu: gpu.clone(), way, last, n, times, start, spread: self.spread })
    }

    fn way(&self, gpu: &Gpu, model: &Model, n: usize) -> Result<Way> {
        let g = Graph::new();
        let x = g.input("x", [n, model.d()]);
        let velocity = |t, x| {
            let b = model.at(t, x)?.b;
            self.spread.map_or(Ok(Rates::of(b)), |spread| spread.carried(b, x))
        };
        let way = match self.solver {
            Solver::Fixed { method, steps } => Way::Fixed(FixedStep::new(gpu, x, method, velocity)?, steps),
            Solver::Adaptive(tolerance) => Way::Adaptive(Adaptive::new(gpu, x, tolerance, velocity)?),
            Solver::Denoiser { steps } => return Ok(Way::Fixed(denoiser(gpu, model, n)?, steps)),
            Solver::Diffusion { method, steps } => Way::Noisy(self.diffusion(gpu, model, x, method)?, steps),
        };
        Ok(model.tensors().iter().fold(way, |way, (name, tensor)| way.bind(name, tensor)))
    }

    fn diffusion<'g>(&self, gpu: &Gpu, model: &Model, x: Var<'g>, method: sde::Method) -> Result<Diffusion> {
        let drift = |t, x| {
            let (c, values) = (model.schedule().at(t), model.at(t, x)?);
            let noisy = self.epsilon.times_score(&c, &values).unwrap_or(values.b * 0.0);
            let drift = if self.backwards { values.b - noisy } else { values.b + noisy };
            let Some((spread, s)) = self.spread.zip(values.s) else { return Ok(Rates::of(drift)) };
            // -div b, and the rest of the density's own rate.
            let own = spread.carried(values.b, x)?.integrands[0] - (values.b * s).sum(1);
            Ok(Rates::of(drift).and(own))
        };
        let strength = |t| Ok(self.epsilon.at(&model.schedule().at(t)));
        let score = |t, x| model.at(t, x).map(|values| values.s.unwrap_or(values.b * 0.0));
        match self.spread {
            None => Diffusion::new(gpu, x, method, drift, strength),
            Some(_) => Diffusion::with_work(gpu, x, method, drift, strength, score),
        }
    }
}

/// Steps to the mean at the next time.
fn denoiser(gpu: &Gpu, model: &Model, n: usize) -> Result<FixedStep> {
    let g = Graph::new();
    let schedule = model.schedule();
    let solver = FixedStep::of_map(gpu, g.input("x", [n, model.d()]), |(t, after), x| {
        let (c, next) = (schedule.at(t), schedule.at(after));
        Ok(mean_at(schedule, model, &model.at(t, x)?, (t, x), (&c, &next)))
    })?;
    Ok(model.tensors().iter().fold(solver, |s, (name, tensor)| s.bind(name, tensor)))
}

/// `E[x_s | x_t]`.
fn mean_at<'g>(
    schedule: &Schedule,
    model: &Model,
    values: &Values<Var<'g>>,
    (t, x): (Var<'g>, Var<'g>),
    (c, next): (&Coefficients<Var<'g>>, &Coefficients<Var<'g>>),
) -> Var<'g> {
    let (v, eta) = (values.v.unwrap_or(values.b), values.eta.unwrap_or(x * 0.0));
    if schedule.ends() == Ends::One {
        // Early beta is small, late its rate may be: v = beta' eta_1 and x = beta eta_1 + gamma eta_z say the same.
        let by_place = c.end_of_denoiser(eta, x);
        let moves = model.known().is_none_or(|known| known.motion.is_some());
        let eta_1 = if moves { t.lt(0.5).select((v / c.beta_dot).broadcast_to(x.shape()), by_place) } else { by_place };
        return next.denoised(eta_1, eta);
    }
    let (eta_0, eta_1) = c.ends_of(v, eta, x);
    next.point(eta_0, eta_1, eta)
}
