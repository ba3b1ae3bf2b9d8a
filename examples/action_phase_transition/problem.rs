//! What a preset says, and whether it makes sense.

use ergodic::methods::action::{GinzburgLandau, PathOptions, Schloegl, System};
use ergodic::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A system with two states, and where in its parameters they are compared.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Problem {
    /// Nothing is drawn at random; part of every preset.
    #[serde(default)]
    pub seed: u64,
    pub system: Which,
    /// Parameters by name.
    pub parameters: BTreeMap<String, f64>,
    /// Values on every site from which the two attractors are found.
    pub states: (f64, f64),
    pub solver: Solver,
    #[serde(default)]
    pub paths: PathOptions,
    /// Two parameters to vary; left out, one point is computed.
    #[serde(default)]
    pub sweep: Option<Sweep>,
    /// A parameter to vary until both directions cost the same.
    #[serde(default)]
    pub transition: Option<Search>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Which {
    /// Modified Ginzburg-Landau, parameters `D`, `kappa`, `h`; actions summed over sites, or of the continuum.
    GinzburgLandau { sites: usize, continuum: bool },
    /// The Schlögl network, parameters `D`, `k0` to `k3`.
    Schloegl { sites: usize, noise: Law },
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Law {
    Jumps,
    Langevin,
}

/// Where paths are computed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Solver {
    /// All in f64 on the host.
    Host,
    /// On the GPU, so many paths at once; actions are finished in f64.
    Device { paths: usize },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sweep {
    pub x: Axis,
    pub y: Axis,
}

impl Sweep {
    pub fn points(&self) -> usize {
        self.x.points * self.y.points
    }

    /// Both parameters at point `i`; the first one changes fastest.
    pub fn at(&self, i: usize) -> (f64, f64) {
        (self.x.value(i % self.x.points), self.y.value(i / self.x.points))
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Axis {
    pub parameter: String,
    pub from: f64,
    pub to: f64,
    pub points: usize,
}

impl Axis {
    pub fn value(&self, i: usize) -> f64 {
        self.from + (self.to - self.from) * i as f64 / (self.points.max(2) - 1) as f64
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Search {
    pub parameter: String,
    pub from: f64,
    pub to: f64,
    pub tolerance: f64,
}

/// What `refuse` is asked: the field, whether it makes sense, and what is wrong if not.
pub type Refuse<'a> = &'a dyn Fn(&str, bool, &str) -> Result<()>;

impl Problem {
    pub fn system(&self) -> Box<dyn System> {
        match self.system {
            Which::GinzburgLandau { sites, continuum: true } => Box::new(GinzburgLandau::field(sites)),
            Which::GinzburgLandau { sites, .. } => Box::new(GinzburgLandau::sites(sites)),
            Which::Schloegl { sites, noise: Law::Jumps } => Box::new(Schloegl::new(sites)),
            Which::Schloegl { sites, .. } => Box::new(Schloegl::langevin(sites)),
        }
    }

    /// Tells `refuse` whether each field makes sense.
    pub fn check(&self, refuse: Refuse<'_>) -> Result<()> {
        let (Which::GinzburgLandau { sites, .. } | Which::Schloegl { sites, .. }) = self.system;
        refuse("system", (1..=4096).contains(&sites), &format!("has {sites} sites, but must have 1 to 4096"))?;
        let system = self.system();
        let names = system.parameters();
        let known = |name: &str| names.contains(&name);
        for name in self.parameters.keys() {
            refuse("parameters", known(name), &format!("has `{name}`, but must have: {}", names.join(", ")))?;
        }
        for name in names {
            let value = self.parameters.get(*name);
            let good = value.is_some_and(|value| value.is_finite());
            refuse("parameters", good, &format!("has no finite `{name}`, but must have: {}", names.join(", ")))?;
        }
        refuse("states", self.states.0 < self.states.1, "must be two numbers, the lower one first")?;
        let PathOptions { nodes, max_steps, tolerance, free_end, aside } = self.paths;
        refuse("paths.nodes", (5..=4096).contains(&nodes), &format!("is {nodes}, but must be 5 to 4096"))?;
        refuse("paths.max_steps", max_steps > 0, "is 0, but must be at least 1")?;
        refuse("paths.tolerance", tolerance > 0.0, &format!("is {tolerance}, but must be above 0"))?;
        refuse("paths.aside", (0.0..=1.0).contains(&aside), &format!("is {aside}, but must be 0 to 1"))?;
        refuse("paths.free_end", !free_end, "is true, but paths end at a saddle here: leave it out")?;
        if let Solver::Device { paths } = self.solver {
            refuse("solver.paths", paths > 0, "is 0, but must be at least 1")?;
        }
        for (place, axis) in self.sweep.iter().flat_map(|sweep| [("sweep.x", &sweep.x), ("sweep.y", &sweep.y)]) {
            let said = format!("is `{}`, but must be one of: {}", axis.parameter, names.join(", "));
            refuse(&format!("{place}.parameter"), known(&axis.parameter), &said)?;
            refuse(
                &format!("{place}.points"),
                axis.points > 1,
                &format!("is {}, but must be at least 2", axis.points),
            )?;
            let range = axis.from.is_finite() && axis.to.is_finite() && axis.from != axis.to;
            refuse(place, range, "must go from one finite number to another")?;
        }
        if let Some(search) = &self.transition {
            let said = format!("is `{}`, but must be one of: {}", search.parameter, names.join(", "));
            refuse("transition.parameter", known(&search.parameter), &said)?;
            refuse("transition.tolerance", search.tolerance > 0.0, "must be above 0")?;
        }
        Ok(())
    }

    /// Numbers for all parameters, some of them replaced.
    pub fn point(&self, replaced: &[(&str, f64)]) -> Result<Vec<f64>> {
        let value = |name: &&str| {
            let own = replaced.iter().find(|(other, _)| other == name).map(|(_, value)| *value);
            own.or_else(|| self.parameters.get(*name).copied()).ok_or_else(|| Error::Invalid {
                what: "parameter",
                got: format!("no `{name}`"),
                want: "given in the preset",
            })
        };
        self.system().parameters().iter().map(value).collect()
    }
}
