//! What a preset says, and whether it makes sense.

use ergodic::dynamics::sde;
use ergodic::methods::interpolant::{
    Coupling, Ends, Epsilon, Field, FieldNet, FitConfig, GaussianMixture, Interpolant, Known, MixturePath, MixtureSpec,
    Schedule, Solver, Source, Spread,
};
use ergodic::nn::Activation;
use ergodic::report::{Refuse, checked_by};
use ergodic::{Error, Result};
use serde::{Deserialize, Serialize};

/// Two densities, what goes between them, how its fields are had, and how they are followed.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Problem {
    /// Seed of draws, networks and noise.
    #[serde(default)]
    pub seed: u64,
    pub schedule: Schedule,
    /// The density at t = 0; left out where the schedule knows it.
    #[serde(default)]
    pub start: Option<Density>,
    /// The density at t = 1.
    pub target: Density,
    /// Which draws of the two belong together: `independent`, or pairs of least distance in `minibatch(size: 64)`.
    #[serde(default)]
    pub coupling: Coupling,
    /// Networks to be trained; left out, fields are those known between mixtures (a normal is one).
    #[serde(default)]
    pub learned: Option<Learned>,
    /// How the ODE is solved, for likelihoods and, without noise, for samples.
    pub solver: Solver,
    /// Noise of the sampler.
    #[serde(default = "no_noise")]
    pub epsilon: Epsilon,
    /// More noises with which samples are made, each in a run of its own.
    #[serde(default)]
    pub more_epsilon: Vec<Epsilon>,
    /// How the sampler's SDE is solved, if it has noise.
    #[serde(default)]
    pub sde: Sde,
    /// Where samples stop, to end in one step of the denoiser.
    #[serde(default)]
    pub denoised_from: Option<f64>,
    /// How the divergence of a likelihood is computed.
    #[serde(default)]
    pub divergence: Spread,
    /// Number of samples.
    pub samples: usize,
    /// Fresh points of the target whose likelihood is computed.
    pub held_out: usize,
    /// Fresh draws on which losses are measured in the end.
    #[serde(default = "many")]
    pub loss_draws: usize,
    /// How many samples' paths are drawn in the picture.
    #[serde(default = "some")]
    pub trajectories: usize,
    /// Times and places at which fields, learned or known, are written to `fields.csv`.
    #[serde(default)]
    pub points: Vec<(f64, Vec<f64>)>,
}

/// Points whose likelihood is computed together.
pub const ROWS: usize = 4096;

/// A density by name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Density {
    /// `N(0, 1)` in so many dimensions.
    Normal(usize),
    /// Uniform on eight cells of `[-4, 4]^2`, area 32.
    Checkerboard,
    Mixture(MixtureSpec),
    /// One point: a start for `point_mass`.
    Point(Vec<f64>),
}

/// Networks and their training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Learned {
    /// Which fields; each has a network of its own.
    pub known: Known,
    /// Sizes of the hidden layers.
    pub hidden: Vec<usize>,
    pub activation: Activation,
    #[serde(default)]
    pub fit: FitConfig,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sde {
    pub method: sde::Method,
    pub steps: u32,
}

impl Default for Sde {
    fn default() -> Self {
        Sde { method: sde::Method::Heun, steps: 200 }
    }
}

fn no_noise() -> Epsilon {
    Epsilon::Zero
}

fn many() -> usize {
    20_000
}

fn some() -> usize {
    40
}

/// A noise in the name of a metric.
pub fn label(epsilon: &Epsilon) -> String {
    match epsilon {
        Epsilon::Zero => "0".into(),
        Epsilon::Constant { value } => value.to_string(),
        Epsilon::Gamma { scale } => format!("{scale}_gamma"),
        Epsilon::GammaSquared { scale } => format!("{scale}_gamma2"),
    }
}

impl Density {
    /// # Errors
    /// As [`GaussianMixture::new`].
    pub fn source(&self) -> Result<Source> {
        match self {
            Density::Normal(d) => Ok(Source::Normal(*d)),
            Density::Checkerboard => Ok(Source::Checkerboard),
            Density::Mixture(spec) => Ok(Source::Mixture(spec.try_into()?)),
            Density::Point(x) => Source::rows(x.len(), x.iter().map(|&v| v as f32).collect()),
        }
    }

    fn mixture(&self) -> Result<Option<GaussianMixture>> {
        match self {
            Density::Normal(d) => GaussianMixture::normal(*d).map(Some),
            Density::Checkerboard | Density::Point(_) => Ok(None),
            Density::Mixture(spec) => spec.try_into().map(Some),
        }
    }
}

impl Problem {
    /// Tells `refuse` whether each field makes sense.
    pub fn check(&self, refuse: Refuse<'_>) -> Result<()> {
        for (field, n) in self.counts() {
            refuse(field, n >= 2, &format!("is {n}, but must be at least 2, for an error bar"))?;
        }
        let end = checked_by(refuse, "target", self.target.source())?;
        refuse("target", end.d() > 0, "has 0 dimensions, but must have at least 1")?;
        checked_by(refuse, "schedule", self.schedule.check())?;
        refuse("target", !matches!(self.target, Density::Point(_)), "is a point, but must be a density")?;
        let (point, from_point) = (self.starts_in_a_point(), matches!(self.start, Some(Density::Point(_))));
        refuse("start", point == from_point, "must be a point for the schedule point_mass, and for no other")?;
        let known = !point || self.learned.is_none();
        refuse("learned", known, "is given, but fields from a point are followed here in closed form only")?;
        if let Some(start) = &self.start {
            checked_by(refuse, "start", start.source())?;
            let smooth = *start != Density::Checkerboard;
            refuse("start", smooth, "is checkerboard, but must be a normal or a mixture: a likelihood divides by it")?;
        }
        checked_by(
            refuse,
            if self.coupling == Coupling::Independent { "start" } else { "coupling" },
            self.interpolant(),
        )?;
        self.check_coupling(refuse)?;
        self.check_fields(refuse)?;
        self.check_solvers(refuse)?;
        let placed = |(t, x): &(f64, Vec<f64>)| (0.0..=1.0).contains(t) && x.len() == end.d();
        let good = self.points.iter().all(placed);
        refuse("points", good, &format!("must be times from 0 to 1 with {} coordinates each", end.d()))
    }

    /// Whether there is no density at the start, and so no likelihood by the ODE.
    pub fn starts_in_a_point(&self) -> bool {
        matches!(self.schedule, Schedule::PointMass { .. })
    }

    fn check_coupling(&self, refuse: Refuse<'_>) -> Result<()> {
        let paired = self.coupling == Coupling::Paired;
        refuse("coupling", !paired, "is paired, which is for rows of data; densities are independent or minibatch")?;
        let Coupling::Minibatch { size } = self.coupling else { return Ok(()) };
        let batch = self.learned.as_ref().map(|learned| learned.fit.batch);
        refuse(
            "coupling",
            batch.is_some(),
            "is minibatch, but fields that are known in closed form are independent's",
        )?;
        let parts = batch.is_some_and(|batch| batch.is_multiple_of(size));
        refuse("coupling", parts, "must be minibatch of a size that learned.fit.batch is a multiple of")
    }

    fn check_fields(&self, refuse: Refuse<'_>) -> Result<()> {
        let Some(learned) = &self.learned else {
            let exact = checked_by(refuse, "target", self.exact())?;
            return refuse("learned", exact.is_some(), "is left out, but a checkerboard has no known fields");
        };
        checked_by(refuse, "learned.known", learned.known.check(&self.schedule))?;
        checked_by(refuse, "learned.hidden", self.net(learned))?;
        match learned.fit.check() {
            Err(Error::Invalid { what, got, want }) => {
                refuse(&format!("learned.fit.{what}"), false, &format!("is {got}, but must be {want}"))
            }
            other => other,
        }
    }

    fn check_solvers(&self, refuse: Refuse<'_>) -> Result<()> {
        if let Solver::Fixed { steps, .. } = self.solver {
            refuse("solver.steps", steps > 0, "is 0, but must be at least 1")?;
        }
        let ode = matches!(self.solver, Solver::Fixed { .. } | Solver::Adaptive(_));
        refuse("solver", ode, "must be fixed or adaptive: it is the ODE's; noise has `sde`")?;
        refuse("sde.steps", self.sde.steps > 0, "is 0, but must be at least 1")?;
        checked_by(refuse, "divergence", self.divergence.check())?;
        let known = self.known();
        for (field, epsilon) in self.noises() {
            let span = known.span_for(&self.schedule, epsilon);
            checked_by(refuse, field, epsilon.check(&self.schedule, &known, span))?;
            let own = matches!((self.schedule, *epsilon), (Schedule::PointMass { a }, Epsilon::Constant { value }) if a == value);
            refuse(
                field,
                own || !self.starts_in_a_point(),
                "must be constant, the a of point_mass: no other starts in a point",
            )?;
        }
        let last = self.denoised_from.is_none_or(|t| t > 0.0 && t < 1.0);
        refuse("denoised_from", last, "must lie between 0 and 1")
    }

    /// All noises, by the names of their fields.
    fn noises(&self) -> impl Iterator<Item = (&'static str, &Epsilon)> {
        let more = self.more_epsilon.iter().map(|epsilon| ("more_epsilon", epsilon));
        std::iter::once(("epsilon", &self.epsilon)).chain(more)
    }

    /// How many points it asks for, by the names of the fields.
    pub fn counts(&self) -> [(&'static str, usize); 3] {
        [("samples", self.samples), ("held_out", self.held_out), ("loss_draws", self.loss_draws)]
    }

    /// Which fields there are.
    pub fn known(&self) -> Known {
        let all = Known { motion: Some(Field::B), noise: self.schedule.has_noise().then_some(Field::S) };
        self.learned.as_ref().map_or(all, |learned| learned.known)
    }

    /// Times between which fields are trained.
    pub fn span(&self) -> (f64, f64) {
        self.known().span()
    }

    pub fn interpolant(&self) -> Result<Interpolant> {
        let start = self.start.as_ref().map(Density::source).transpose()?;
        let path = Interpolant::new(self.schedule, start, self.target.source()?)?;
        match self.coupling {
            Coupling::Minibatch { size } => path.with_minibatches(size),
            _ => Ok(path),
        }
    }

    /// A network for one field.
    pub fn net(&self, learned: &Learned) -> Result<FieldNet> {
        FieldNet::new(self.target.source()?.d(), &learned.hidden, learned.activation)
    }

    /// The path whose fields are known, if both ends are mixtures.
    pub fn exact(&self) -> Result<Option<MixturePath>> {
        let Some(end) = self.target.mixture()? else { return Ok(None) };
        match (self.schedule.ends(), &self.start) {
            (Ends::Two, Some(Density::Point(x))) => MixturePath::from_point(self.schedule, x, end).map(Some),
            (Ends::Two, Some(start)) => {
                let Some(start) = start.mixture()? else { return Ok(None) };
                MixturePath::between(self.schedule, start, end).map(Some)
            }
            (Ends::Two, None) => Ok(None),
            _ => MixturePath::to(self.schedule, end).map(Some),
        }
    }
}
