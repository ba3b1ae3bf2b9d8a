//! What a preset says, and whether it makes sense.

use ergodic::data::{Plane, TableSpec};
use ergodic::dynamics::ode::{Solver, Tolerance};
use ergodic::methods::interpolant::{Ends, FieldNet, FitConfig, Interpolant, Schedule, Source};
use ergodic::nn::Activation;
use ergodic::report::Preset;
use ergodic::{Error, Result};
use serde::{Deserialize, Serialize};

/// What is learned, by which path, network and steps, and how the velocity is followed.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Problem {
    /// Seed of draws and networks; a table is split by a seed of its own.
    #[serde(default)]
    pub seed: u64,
    /// The target: a density in the plane by name, or else ..
    #[serde(default)]
    pub density: Option<Plane>,
    /// .. a table by its file.
    #[serde(default)]
    pub data: Option<TableSpec>,
    /// Where the flow starts; left out, the standard normal.
    #[serde(default)]
    pub start: Option<Plane>,
    /// Draws of a named density to learn from.
    #[serde(default = "many")]
    pub rows: usize,
    pub schedule: Schedule,
    /// Sizes of the hidden layers.
    pub hidden: Vec<usize>,
    pub activation: Activation,
    #[serde(default)]
    pub fit: FitConfig,
    /// How the ODE is solved.
    #[serde(default = "adaptive")]
    pub solver: Solver,
    /// Steps between two looks at the likelihood of validation rows; the parameters of the best look are kept. 0: never, the
    /// last ones are kept.
    #[serde(default)]
    pub nll_every: u64,
    /// Validation rows that are looked at, at most.
    #[serde(default = "some")]
    pub validation: usize,
    /// Test rows whose likelihood is computed: draws of a named density, or at most so many of a table.
    pub held_out: usize,
    /// Number of samples.
    pub samples: usize,
    /// Fresh draws on which G is measured in the end.
    #[serde(default = "loss_draws")]
    pub loss_draws: usize,
    /// Paths in the picture.
    #[serde(default = "few")]
    pub trajectories: usize,
    /// Columns of a table in the picture of pairs; empty for the first four.
    #[serde(default)]
    pub pairs: Vec<String>,
    /// Whether the log-density of every test row is written.
    #[serde(default)]
    pub log_densities: bool,
}

fn adaptive() -> Solver {
    Solver::Adaptive(Tolerance::new(1e-4, 1e-4))
}

fn many() -> usize {
    100_000
}

fn some() -> usize {
    1024
}

fn loss_draws() -> usize {
    50_000
}

fn few() -> usize {
    40
}

impl Problem {
    /// Whether each field makes sense, before any file is read.
    pub fn check(preset: &Preset<Self>) -> Result<()> {
        let problem: &Problem = preset;
        for (field, n) in problem.counts() {
            preset.check(field, n >= 2, format!("is {n}, but must be at least 2, for an error bar"))?;
        }
        match (&problem.density, &problem.data) {
            (None, None) => preset.check("density", false, "is missing, and so is data; give one of them")?,
            (Some(_), Some(_)) => preset.check("density", false, "is given beside data; leave one of them out")?,
            (None, Some(data)) => preset.checked_inside("data", data.check())?,
            _ => {}
        }
        let planar = problem.start.is_none() || problem.density.is_some();
        preset.check("start", planar, "is a density in the plane, but the target is a table; leave it out")?;
        preset.checked("schedule", problem.schedule.check())?;
        let flows = !matches!(problem.schedule, Schedule::PointMass { .. } | Schedule::Mirror { .. });
        preset.check("schedule", flows, "has no ODE between two densities; give a linear, trig or one-sided one")?;
        let one_sided = problem.schedule.ends() != Ends::Two;
        let fits = problem.start.is_none() || !one_sided;
        preset.check("start", fits, "is given for a one-sided schedule, which starts from the normal; leave it out")?;
        preset.checked("hidden", problem.net(2))?;
        preset.checked_inside("fit", problem.fit.check())?;
        preset.checked_inside("solver", problem.solver.check())
    }

    /// How many points it asks for, by the names of the fields.
    pub fn counts(&self) -> [(&'static str, usize); 5] {
        [
            ("rows", self.rows),
            ("validation", self.validation),
            ("held_out", self.held_out),
            ("samples", self.samples),
            ("loss_draws", self.loss_draws),
        ]
    }

    /// The path that ends in these rows.
    pub fn path(&self, start: Option<&[f32]>, d: usize, rows: &[f32]) -> Result<Interpolant> {
        let end = Source::rows(d, rows.to_vec())?;
        let start = match (self.schedule.ends(), start) {
            (Ends::Two, Some(rows)) => Some(Source::rows(d, rows.to_vec())?),
            (Ends::Two, None) => Some(Source::Normal(d)),
            _ => None,
        };
        Interpolant::new(self.schedule, start, end)
    }

    /// The network of the velocity.
    pub fn net(&self, d: usize) -> Result<FieldNet> {
        FieldNet::new(d, &self.hidden, self.activation)
    }

    /// Points that are followed together: the tangents of all of them are in memory.
    pub fn chunk(&self, d: usize, n: usize) -> usize {
        n.min((16_384 / d.max(1)).clamp(64, 4096)).max(1)
    }
}

/// Names that a table does not have, or more than the picture holds, are refused.
pub fn pairs(preset: &Preset<Problem>, columns: &[String]) -> Result<Vec<usize>> {
    let found = preset.pairs.iter().map(|name| columns.iter().position(|there| there == name).ok_or(name));
    let found: Vec<usize> = match found.collect() {
        Ok(found) => found,
        Err(name) => {
            let why = format!("names `{name}`, but the columns are {}", columns.join(", "));
            preset.check("pairs", false, why)?;
            return Err(Error::Invalid { what: "pairs", got: name.clone(), want: "columns that are kept" });
        }
    };
    preset.check("pairs", found.len() <= 4, format!("has {} columns, but may have 4", found.len()))?;
    Ok(if found.is_empty() { (0..columns.len().min(4)).collect() } else { found })
}
