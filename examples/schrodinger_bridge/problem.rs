//! What a preset says, and whether it makes sense.

use ergodic::dynamics::sde;
use ergodic::methods::interpolant::{
    Bridge, BridgeFit, DriftSpec, Family, LearnedPath, MixtureSpec, Pairing, PathSpec, Schedule, Source,
};
use ergodic::random::RngKey;
use ergodic::report::{Refuse, checked_by};
use ergodic::{Error, Result};
use serde::{Deserialize, Serialize};
use std::f64::consts::TAU;

/// Two densities, the noise between them, who plays, and how the result is followed.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Problem {
    /// Seed of draws, networks and noise.
    #[serde(default)]
    pub seed: u64,
    /// The density at t = 0.
    pub start: Density,
    /// The density at t = 1.
    pub target: Density,
    /// The bridge is of least cost among diffusions with noise `sqrt(2 epsilon)`; 0 is optimal transport.
    pub epsilon: f64,
    /// The path that is learned.
    pub path: PathSpec,
    /// The drift.
    pub drift: DriftSpec,
    #[serde(default)]
    pub fit: BridgeFit,
    /// How the diffusion is followed.
    #[serde(default)]
    pub sde: Sde,
    /// Number of samples.
    pub samples: usize,
    /// Fresh draws on which the cost is measured in the end.
    #[serde(default = "many")]
    pub cost_draws: usize,
    /// How many samples' paths are drawn in the picture.
    #[serde(default = "some")]
    pub trajectories: usize,
}

/// A density by name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Density {
    /// `N(0, 1)` in so many dimensions.
    Normal(usize),
    Mixture(MixtureSpec),
    /// Uniform on eight cells of `[-4, 4]^2`.
    Checkerboard,
    /// All in one place, for `path: (family: fixed(point_mass(a: ..)))` with `epsilon` the same `a`.
    Point(Vec<f64>),
    /// A circle with normal noise across it, in the plane.
    Ring {
        radius: f64,
        width: f64,
    },
    /// Two half circles that reach into each other, with normal noise.
    Moons {
        width: f64,
    },
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

fn many() -> usize {
    50_000
}

fn some() -> usize {
    40
}

/// Points that stand for a ring or moons.
const ROWS: usize = 20_000;

impl Density {
    /// # Errors
    /// [`Error::Invalid`] for a mixture, radius or width that means nothing.
    pub fn source(&self) -> Result<Source> {
        let positive = |what, v: f64| match v.is_finite() && v > 0.0 {
            true => Ok(()),
            false => Err(Error::Invalid { what, got: v.to_string(), want: "finite and above 0" }),
        };
        match self {
            Density::Normal(d) => Ok(Source::Normal(*d)),
            Density::Mixture(spec) => Ok(Source::Mixture(spec.try_into()?)),
            Density::Checkerboard => Ok(Source::Checkerboard),
            Density::Point(x) => Source::rows(x.len(), x.iter().map(|&v| v as f32).collect()),
            Density::Ring { radius, width } => {
                positive("radius of the ring", *radius)?;
                positive("width of the ring", *width)?;
                Source::rows(
                    2,
                    plane(|u, xi| {
                        let r = radius + width * xi[0];
                        [r * (TAU * u).cos(), r * (TAU * u).sin()]
                    }),
                )
            }
            Density::Moons { width } => {
                positive("width of the moons", *width)?;
                Source::rows(
                    2,
                    plane(|u, xi| {
                        // The upper half circle around (-1, -1/2), then the lower one around (1, 1/2); radius 2.
                        let side = if u < 0.5 { 1.0 } else { -1.0 };
                        let (c, s) = ((TAU * u).cos(), (TAU * u).sin());
                        [2.0 * c - side + width * xi[0], 2.0 * s - 0.5 * side + width * xi[1]]
                    }),
                )
            }
        }
    }
}

/// Points in the plane from a uniform number and two normals each; the same in every run.
fn plane(at: impl Fn(f64, [f64; 2]) -> [f64; 2]) -> Vec<f32> {
    let (key, mut xi) = (RngKey::new(0), vec![0f32; 2 * ROWS]);
    key.fill_normal(0, 2, &mut xi);
    let row = |i: usize| {
        let u = (i as f64 + 0.5) / ROWS as f64;
        at(u, [f64::from(xi[2 * i]), f64::from(xi[2 * i + 1])]).map(|v| v as f32)
    };
    (0..ROWS).flat_map(row).collect()
}

impl Problem {
    /// Tells `refuse` whether each field makes sense.
    pub fn check(&self, refuse: Refuse<'_>) -> Result<()> {
        for (field, n) in self.counts() {
            refuse(field, n >= 2, &format!("is {n}, but must be at least 2, for an error bar"))?;
        }
        let ends =
            [checked_by(refuse, "start", self.start.source())?, checked_by(refuse, "target", self.target.source())?];
        let [from, to] = [ends[0].d(), ends[1].d()];
        refuse("start", from > 0, "has 0 dimensions, but must have at least 1")?;
        refuse("target", from == to, &format!("has {to} dimensions, but must have {from}, as many as the start"))?;
        let good = self.epsilon.is_finite() && self.epsilon >= 0.0;
        refuse("epsilon", good, &format!("is {}, but must be finite and not negative", self.epsilon))?;
        let path = checked_by(refuse, "path", LearnedPath::new(&self.path, to))?;
        let silent = self.epsilon > 0.0 && !path.has_noise();
        let why = format!("is {} on a path without noise, but must be 0 there: it is divided by gamma", self.epsilon);
        refuse("epsilon", !silent, &why)?;
        let point = matches!(self.path.family, Family::Fixed(Schedule::PointMass { .. }));
        let placed = matches!(self.start, Density::Point(_));
        refuse("start", point == placed, "must be a point on a path from a point, and only there")?;
        if let Family::Fixed(Schedule::PointMass { a }) = self.path.family {
            let why = format!("is {} on a path from a point with a = {a}, but must be that a", self.epsilon);
            refuse("epsilon", self.epsilon == a, &why)?;
        }
        let bridge = checked_by(refuse, "drift", Bridge::new(ends, self.epsilon, &self.path, &self.drift))?;
        refuse(
            "drift",
            bridge.is_learned() != [false, false],
            "is known on a path without parameters: nothing to learn",
        )?;
        if let Err(Error::Invalid { what, got, want }) = self.fit.check() {
            refuse(&format!("fit.{what}"), false, &format!("is {got}, but must be {want}"))?;
        }
        let paired = self.fit.pairing == Pairing::Antithetic || !path.has_noise();
        refuse(
            "fit.pairing",
            paired,
            "is single on a path with noise, but must be antithetic: 1/gamma is infinite at its ends",
        )?;
        refuse("sde.steps", self.sde.steps > 0, "is 0, but must be at least 1")
    }

    /// How many points it asks for, by the names of the fields.
    pub fn counts(&self) -> [(&'static str, usize); 2] {
        [("samples", self.samples), ("cost_draws", self.cost_draws)]
    }

    pub fn bridge(&self) -> Result<Bridge> {
        Bridge::new([self.start.source()?, self.target.source()?], self.epsilon, &self.path, &self.drift)
    }
}
