//! Two ends, a path between them that may be learned, and the drift along it: what is played for and how it is measured.

use super::super::losses::{Draws, Field, Pairing, drift_loss, loss};
use super::super::schedule::Schedule;
use super::super::source::Source;
use super::drift::{Drift, DriftSpec};
use super::path::{Family, LearnedPath, PathSpec};
use crate::error::{Error, Result};
use crate::gpu::{Gpu, Tensor};
use crate::graph::{DType, Graph, Key, Var};
use crate::plan::{Bindings, CompileOptions, Plan, Session};
use crate::random::RngKey;

/// Names of the parameters in plans, and of the tables of the two ends.
pub(super) const DRIFT: &str = "drift";
pub(super) const PATH: &str = "path";
const TABLES: [&str; 2] = ["start", "end"];
/// Draws that are measured together.
const ROWS: usize = 1 << 14;

/// The game of a path against a drift; see the [module](super).
///
/// ```
/// use ergodic::methods::interpolant::{Bridge, DriftSpec, Family, Noise, PathSpec, Source};
/// let path = PathSpec { family: Family::Linear, noise: Some(Noise { a: 1.0, modes: 0 }) };
/// let bridge = Bridge::new([Source::Normal(2), Source::Checkerboard], 0.5, &path, &DriftSpec::Affine { degree: 4 })?;
/// assert_eq!((bridge.d(), bridge.n_params()?), (2, [5 * 2 * 2, 4]));
/// // Without noise there is nothing to divide by.
/// let silent = PathSpec { noise: None, ..path };
/// assert!(Bridge::new([Source::Normal(2), Source::Checkerboard], 0.5, &silent, &DriftSpec::Known).is_err());
/// # Ok::<(), ergodic::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Bridge {
    ends: [Source; 2],
    epsilon: f64,
    path: LearnedPath,
    drift: Drift,
}

impl Bridge {
    /// From the first density to the second, by a diffusion of noise `sqrt(2 epsilon)`.
    ///
    /// # Errors
    /// [`Error::Invalid`] for an `epsilon` that is negative or not finite, or above 0 on a path without noise, or not the `a` of
    /// a path from a point; for such a path from more than a point; for a known drift where there is none; as
    /// [`LearnedPath::new`]. [`Error::Shape`] for ends of different dimensions.
    pub fn new(ends: [Source; 2], epsilon: f64, path: &PathSpec, drift: &DriftSpec) -> Result<Self> {
        let refuse = |got, want| Err(Error::Invalid { what: "epsilon", got, want });
        if !(epsilon.is_finite() && epsilon >= 0.0) {
            return refuse(epsilon.to_string(), "finite and not negative");
        }
        let [from, to] = [ends[0].d(), ends[1].d()];
        if from != to {
            let got = format!("{from} dimensions at the start and {to} at the end");
            return Err(Error::Shape { op: "Bridge", got, want: "as many at both".into(), at: None });
        }
        let path = LearnedPath::new(path, to)?;
        if epsilon > 0.0 && !path.has_noise() {
            return refuse(format!("{epsilon} on a path without noise"), "0 there: it is divided by gamma");
        }
        if let Family::Fixed(Schedule::PointMass { a }) = path.spec().family {
            check_point(a, epsilon, &ends[0])?;
        }
        let drift = Drift::new(drift, &path, &ends[0], &ends[1])?;
        Ok(Bridge { ends, epsilon, path, drift })
    }

    /// Number of dimensions.
    pub fn d(&self) -> usize {
        self.path.d()
    }

    /// The densities at `t = 0` and `t = 1`.
    pub fn ends(&self) -> &[Source; 2] {
        &self.ends
    }

    /// Strength of the noise of the diffusion.
    pub fn epsilon(&self) -> f64 {
        self.epsilon
    }

    /// The path.
    pub fn path(&self) -> &LearnedPath {
        &self.path
    }

    /// Lengths of the parameters of drift and path.
    ///
    /// # Errors
    /// None that a bridge that exists can give.
    pub fn n_params(&self) -> Result<[usize; 2]> {
        Ok([self.drift.n_params()?, self.path.n_params()])
    }

    /// Whether drift and path are learned.
    pub fn is_learned(&self) -> [bool; 2] {
        [self.drift.is_learned(), self.path.n_params() > 0]
    }

    /// Parameters of drift and path to start from.
    ///
    /// # Errors
    /// None that a bridge that exists can give.
    pub fn init(&self, key: RngKey) -> Result<[Vec<f32>; 2]> {
        Ok([self.drift.init(key.fold_in(1))?, self.path.init(key.fold_in(2))])
    }

    /// The nodes of the parameters: inputs `drift` and `path`.
    ///
    /// # Errors
    /// As [`n_params`](Self::n_params).
    pub fn parameters<'g>(&self, g: &'g Graph) -> Result<[Var<'g>; 2]> {
        let [drift, path] = self.n_params()?;
        // A path without parameters does not read its input.
        Ok([g.input(DRIFT, [drift]), g.input(PATH, [path.max(1)])])
    }

    /// Binds the parameters, those of a path only if it has any.
    pub fn bind_parameters(&self, bindings: Bindings, [drift, path]: [&Tensor; 2]) -> Bindings {
        let bindings = bindings.tensor(DRIFT, drift);
        if self.path.n_params() > 0 { bindings.tensor(PATH, path) } else { bindings }
    }

    /// `n` points with their times as a graph, fresh in every step: time `i` is uniform in the `i`-th of `n` equal parts, and
    /// the ends are independent. Bind the inputs with [`bind`](Self::bind).
    ///
    /// # Errors
    /// As [`Source::draws`] and [`LearnedPath::draws`].
    pub fn draws<'g>(&self, g: &'g Graph, key: Key<'g>, n: usize, phi: Var<'g>) -> Result<Draws<'g>> {
        let place = g.iota(0, [n]).cast(DType::F32).reshape([n, 1]) + key.fold_in(1).uniform([n, 1]);
        // Strictly inside: gamma is divided by.
        let t = (place / n.max(1) as f64).min(1.0 - f64::from(f32::EPSILON) / 2.0);
        let x0 = self.ends[0].draws(g, key.fold_in(2), n, TABLES[0])?;
        let x1 = self.ends[1].draws(g, key.fold_in(3), n, TABLES[1])?;
        self.path.draws(phi, t, [x0, x1], key.fold_in(4).normal([n, self.d()]))
    }

    /// The inputs of [`draws`](Self::draws) but its key and the parameters.
    ///
    /// # Errors
    /// Those of an allocation.
    pub fn bind(&self, gpu: &Gpu, bindings: Bindings) -> Result<Bindings> {
        let bindings = self.ends[0].bind(gpu, TABLES[0], bindings)?;
        self.ends[1].bind(gpu, TABLES[1], bindings)
    }

    /// What the path maximises and the drift minimises, one number a row: `|u|^2/2 - (I' + (gamma' - epsilon/gamma) z) . u`.
    ///
    /// # Errors
    /// What the drift refuses.
    pub fn objective<'g>(&self, draws: &Draws<'g>, theta: Var<'g>, pairing: Pairing) -> Result<Var<'g>> {
        let u = |t, x| self.drift.apply(theta, (&draws.c, self.epsilon), t, x);
        match self.path.has_noise() {
            true => drift_loss(draws, draws.t.graph().constant(self.epsilon), pairing, u),
            false => loss(Field::V, draws, pairing, u),
        }
    }

    /// The drift `u(t, x)` for a solver: `[n, d]` at `t`, a scalar or `[n, 1]`, and `x [n, d]`.
    ///
    /// # Errors
    /// [`Error::Shape`] for what does not fit.
    pub fn drift<'g>(&self, [theta, phi]: [Var<'g>; 2], t: Var<'g>, x: Var<'g>) -> Result<Var<'g>> {
        let c = self.path.at_parameters(phi, t)?;
        self.drift.apply(theta, (&c, self.epsilon), t, x)
    }

    /// Minus the objective on `n` fresh draws, one a row. Their mean is the cost of the path if the drift is that of the path,
    /// and below it by half the mean squared error of the drift if not.
    ///
    /// # Errors
    /// [`Error::Fault`] for one that is not finite; those of an allocation.
    pub fn costs(&self, (n, key): (usize, RngKey), parameters: [&Tensor; 2], pairing: Pairing) -> Result<Vec<f64>> {
        let (g, gpu, rows) = (Graph::new(), parameters[0].gpu(), n.min(ROWS));
        let [theta, phi] = self.parameters(&g)?;
        let draws = self.draws(&g, g.key("key"), rows, phi)?;
        let costs = -self.objective(&draws, theta, pairing)?;
        let plan = Plan::compile(gpu, &[("costs", costs)], &CompileOptions::labelled("bridge costs"))?;
        let bindings = self.bind_parameters(Bindings::new().key("key", key), parameters);
        let mut session = Session::new(&plan, self.bind(gpu, bindings)?)?;
        let mut found = vec![];
        // Each step has draws of its own.
        while found.len() < n {
            session.run(1)?;
            session.check()?;
            let costs = session.read::<f32>("costs")?.wait()?;
            found.extend(costs.into_iter().map(f64::from).take(n - found.len()));
        }
        Ok(found)
    }
}

/// From a point every noise but its own has an infinite drift, and other points have no path.
fn check_point(a: f64, epsilon: f64, start: &Source) -> Result<()> {
    if epsilon != a {
        let (got, want) = (format!("{epsilon} on a path from a point with a = {a}"), "that a");
        return Err(Error::Invalid { what: "epsilon", got, want });
    }
    match start {
        Source::Rows { d, x } if x.len() == *d => Ok(()),
        _ => {
            let (got, want) = ("more than a point".into(), "one row of data, on a path from a point");
            Err(Error::Invalid { what: "start", got, want })
        }
    }
}
