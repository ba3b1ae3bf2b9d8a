//! What a preset says, and whether it makes sense.

use ergodic::dynamics::{ode, sde};
use ergodic::methods::interpolant::{
    Ends, Epsilon, Field, FieldNet, FitConfig, GaussianMixture, Interpolant, Known, MixturePath, MixtureSpec, Schedule,
    Source,
};
use ergodic::nn::Activation;
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
    /// Networks to be trained; left out, fields are those known between mixtures (a normal is one).
    #[serde(default)]
    pub learned: Option<Learned>,
    /// How the ODE is solved, for likelihoods and, without noise, for samples.
    pub solver: Solver,
    /// Noise of the sampler.
    #[serde(default = "no_noise")]
    pub epsilon: Epsilon,
    /// How the sampler's SDE is solved, if it has noise.
    #[serde(default)]
    pub sde: Sde,
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
    /// Times and places at which known fields are written to `fields.csv`.
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
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Solver {
    /// Equal steps.
    Fixed { method: ode::Method, steps: u32 },
    /// Dormand and Prince's pair, with the steps that a tolerance asks for.
    Adaptive(ode::Tolerance),
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

/// What `refuse` is asked: the field, whether it makes sense, and what is wrong if not.
pub type Refuse<'a> = &'a dyn Fn(&str, bool, &str) -> Result<()>;

/// An error of the library about the value of `field`.
fn at<T>(refuse: Refuse<'_>, field: &str, checked: Result<T>) -> Result<T> {
    let why = match &checked {
        Err(Error::Invalid { what, got, want }) => format!("{what} is {got}, but must be {want}"),
        Err(Error::Shape { got, want, .. }) => format!("has {got}, but must have {want}"),
        _ => return checked,
    };
    refuse(field, false, &why)?;
    checked
}

impl Density {
    /// # Errors
    /// As [`GaussianMixture::new`].
    pub fn source(&self) -> Result<Source> {
        match self {
            Density::Normal(d) => Ok(Source::Normal(*d)),
            Density::Checkerboard => Ok(Source::Checkerboard),
            Density::Mixture(spec) => Ok(Source::Mixture(spec.try_into()?)),
        }
    }

    fn mixture(&self) -> Result<Option<GaussianMixture>> {
        match self {
            Density::Normal(d) => GaussianMixture::normal(*d).map(Some),
            Density::Checkerboard => Ok(None),
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
        let end = at(refuse, "target", self.target.source())?;
        refuse("target", end.d() > 0, "has 0 dimensions, but must have at least 1")?;
        at(refuse, "schedule", self.schedule.check())?;
        let point = matches!(self.schedule, Schedule::PointMass { .. });
        refuse("schedule", !point, "is point_mass, which has no ODE at its start; give one between densities")?;
        if let Some(start) = &self.start {
            at(refuse, "start", start.source())?;
            let smooth = *start != Density::Checkerboard;
            refuse("start", smooth, "is checkerboard, but must be a normal or a mixture: a likelihood divides by it")?;
        }
        at(refuse, "start", self.interpolant())?;
        self.check_fields(refuse)?;
        self.check_solvers(refuse)?;
        let placed = |(t, x): &(f64, Vec<f64>)| (0.0..=1.0).contains(t) && x.len() == end.d();
        let good = self.points.iter().all(placed);
        refuse("points", good, &format!("must be times from 0 to 1 with {} coordinates each", end.d()))?;
        refuse("points", self.points.is_empty() || self.exact()?.is_some(), "needs known fields: two mixtures")
    }

    fn check_fields(&self, refuse: Refuse<'_>) -> Result<()> {
        let Some(learned) = &self.learned else {
            let exact = at(refuse, "target", self.exact())?;
            return refuse("learned", exact.is_some(), "is left out, but a checkerboard has no known fields");
        };
        at(refuse, "learned.known", learned.known.check(&self.schedule))?;
        at(refuse, "learned.hidden", self.net(learned))?;
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
        refuse("sde.steps", self.sde.steps > 0, "is 0, but must be at least 1")?;
        let (known, span) = (self.known(), self.span());
        at(refuse, "epsilon", self.epsilon.check(&self.schedule, &known, span))
    }

    /// How many points it asks for, by the names of the fields.
    pub fn counts(&self) -> [(&'static str, usize); 3] {
        [("samples", self.samples), ("held_out", self.held_out), ("loss_draws", self.loss_draws)]
    }

    /// Which fields there are.
    pub fn known(&self) -> Known {
        let all = Known { motion: Field::B, noise: self.schedule.has_noise().then_some(Field::S) };
        self.learned.as_ref().map_or(all, |learned| learned.known)
    }

    /// Times between which fields are used.
    pub fn span(&self) -> (f64, f64) {
        self.known().span()
    }

    pub fn interpolant(&self) -> Result<Interpolant> {
        Interpolant::new(self.schedule, self.start.as_ref().map(Density::source).transpose()?, self.target.source()?)
    }

    /// A network for one field.
    pub fn net(&self, learned: &Learned) -> Result<FieldNet> {
        FieldNet::new(self.target.source()?.d(), &learned.hidden, learned.activation)
    }

    /// The path whose fields are known, if both ends are mixtures.
    pub fn exact(&self) -> Result<Option<MixturePath>> {
        let Some(end) = self.target.mixture()? else { return Ok(None) };
        match (self.schedule.ends(), &self.start) {
            (Ends::Two, Some(start)) => {
                let Some(start) = start.mixture()? else { return Ok(None) };
                MixturePath::between(self.schedule, start, end).map(Some)
            }
            (Ends::Two, None) => Ok(None),
            _ => MixturePath::to(self.schedule, end).map(Some),
        }
    }
}
