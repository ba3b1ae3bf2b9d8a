//! A path between two sources: what a field is trained and measured on.

use super::losses::{Draws, Field, Pairing, loss};
use super::pairs::{self, Pairs};
use super::path::MixturePath;
use super::schedule::{Ends, Schedule};
use super::source::Source;
use crate::error::{Error, Result};
use crate::gpu::{Gpu, Tensor};
use crate::graph::{DType, Graph, Key, Var};
use crate::plan::{Bindings, CompileOptions, Plan, Session};
use crate::random::RngKey;
use serde::{Deserialize, Serialize};

/// Names of the tables of the two ends.
pub(super) const TABLES: [&str; 2] = ["start", "end"];

/// Which draws of the two ends belong together. Every choice has the same densities at the ends, and another flow between.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Coupling {
    /// None: each is drawn for itself.
    #[default]
    Independent,
    /// Rows of the same number, of two tables of data.
    Paired,
    /// Those of least total squared distance ([`optimal_pairs`](super::optimal_pairs)) among so many draws of each.
    Minibatch {
        /// Draws of each end that are paired with each other, at least 2.
        size: usize,
    },
}

/// A schedule with its ends, and which of their draws belong together.
///
/// ```
/// use ergodic::methods::interpolant::{Interpolant, Schedule, Source};
/// let path = Interpolant::new(Schedule::OneSidedTrig, None, Source::Checkerboard)?;
/// assert_eq!(path.d(), 2);
/// # Ok::<(), ergodic::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Interpolant {
    schedule: Schedule,
    start: Option<Source>,
    end: Source,
    coupling: Coupling,
}

impl Interpolant {
    /// Between independent ends, from `start`, which is `None` where the schedule knows it (one-sided: `N(0, 1)`; mirror: `end`), to `end`.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a start that is missing or not wanted, and as [`Schedule::check`]; [`Error::Shape`] for ends of
    /// different dimensions.
    pub fn new(schedule: Schedule, start: Option<Source>, end: Source) -> Result<Self> {
        schedule.check()?;
        if (schedule.ends() == Ends::Two) != start.is_some() {
            let got = if start.is_some() { "given" } else { "missing" };
            let want = "given for a schedule between two densities, and left out for a one-sided or mirror one";
            return Err(Error::Invalid { what: "start", got: format!("{got} for {schedule:?}"), want });
        }
        if let Some(other) = start.as_ref().map(Source::d).filter(|&d| d != end.d()) {
            let got = format!("{other} dimensions at the start and {} at the end", end.d());
            return Err(Error::Shape { op: "Interpolant", got, want: "as many at both".into(), at: None });
        }
        Ok(Interpolant { schedule, start, end, coupling: Coupling::Independent })
    }

    /// Between rows of data that belong together, `x0 [n, d]` and `x1 [n, d]`: given pairs, or those of a learned flow
    /// ([`Sampler::pairs`](super::Sampler::pairs)), whose own flow is then straight and has the same map (rectified).
    ///
    /// Only the two densities are kept by a flow that is learned, not the pairs: a field of `t` and `x` cannot tell which point
    /// it carries.
    ///
    /// ```
    /// use ergodic::methods::interpolant::{Coupling, Gamma, Interpolant, Schedule};
    /// let line = Schedule::Linear { gamma: Gamma::Zero };
    /// let path = Interpolant::paired(line, 1, vec![0.0, 1.0], vec![2.0, 5.0])?;
    /// assert_eq!(path.coupling(), Coupling::Paired);
    /// assert!(Interpolant::paired(line, 1, vec![0.0], vec![2.0, 5.0]).is_err());
    /// # Ok::<(), ergodic::Error>(())
    /// ```
    ///
    /// Source: arXiv:2303.08797, its section on rectification; arXiv:2209.03003.
    ///
    /// # Errors
    /// As [`new`](Self::new) and [`Source::rows`]; [`Error::Shape`] for tables of different lengths.
    pub fn paired(schedule: Schedule, d: usize, x0: Vec<f32>, x1: Vec<f32>) -> Result<Self> {
        if x0.len() != x1.len() {
            let got = format!("{} and {} values", x0.len(), x1.len());
            return Err(Error::Shape { op: "Interpolant::paired", got, want: "as many rows in both".into(), at: None });
        }
        let path = Self::new(schedule, Some(Source::rows(d, x0)?), Source::rows(d, x1)?)?;
        Ok(Interpolant { coupling: Coupling::Paired, ..path })
    }

    /// The same ends with pairs of least distance among `size` draws of each: shorter and straighter paths, the less so the
    /// larger `d` and the smaller `size`; on the host, `size^3` operations for each such batch.
    ///
    /// # Errors
    /// [`Error::Invalid`] for less than 2 draws, and on a path that has not two ends to be paired.
    pub fn with_minibatches(self, size: usize) -> Result<Self> {
        if size < 2 {
            let want = "at least 2: one pair has no choice";
            return Err(Error::Invalid { what: "size of a minibatch", got: size.to_string(), want });
        }
        if self.schedule.ends() != Ends::Two {
            let got = format!("minibatches on {:?}", self.schedule);
            let want = "independent: the base is the noise; use linear() or trig() with a normal as start";
            return Err(Error::Invalid { what: "coupling", got, want });
        }
        Ok(Interpolant { coupling: Coupling::Minibatch { size }, ..self })
    }

    /// Which draws of the ends belong together.
    pub fn coupling(&self) -> Coupling {
        self.coupling
    }

    /// The ends of a path between mixtures; a point mass is data of one row.
    pub(super) fn of_mixtures(path: &MixturePath) -> Result<Self> {
        let point = || path.pairs[0].means[0].iter().map(|&m| m as f32).collect();
        let start = match path.schedule() {
            Schedule::PointMass { .. } => Some(Source::rows(path.d(), point())?),
            schedule => (schedule.ends() == Ends::Two).then(|| Source::Mixture(path.start().clone())),
        };
        Self::new(*path.schedule(), start, Source::Mixture(path.end().clone()))
    }

    /// Number of dimensions.
    pub fn d(&self) -> usize {
        self.end.d()
    }

    /// Its schedule.
    pub fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    /// The density at `t = 0`.
    pub fn start(&self) -> Source {
        match (&self.start, self.schedule.ends()) {
            (Some(start), _) => start.clone(),
            (None, Ends::Same) => self.end.clone(),
            (None, _) => Source::Normal(self.d()),
        }
    }

    /// The density at `t = 1`.
    pub fn end(&self) -> &Source {
        &self.end
    }

    /// `n` points with their times as a graph, fresh in every step: time `i` is uniform in the `i`-th of `n` equal parts of
    /// `span`.
    ///
    /// Averages over them have the expectation of independent times, and less variance. Bind the inputs with
    /// [`bind`](Self::bind).
    ///
    /// # Errors
    /// As [`Source::draws`]; [`Error::Invalid`] for minibatches, which the host makes: [`losses`](Self::losses) and
    /// [`FieldTrainer`](super::FieldTrainer) do.
    pub fn draws<'g>(&self, g: &'g Graph, key: Key<'g>, n: usize, span: (f64, f64)) -> Result<Draws<'g>> {
        let ends = match (&self.start, &self.end, self.coupling) {
            (Some(Source::Rows { d, x }), Source::Rows { .. }, Coupling::Paired) => {
                let (rows, row) = (x.len() / d, any_row(key.fold_in(2), n, x.len() / d));
                let table = |name| g.input(name, [rows, *d]).gather(row);
                (Some(table(TABLES[0])), table(TABLES[1]))
            }
            (.., Coupling::Minibatch { .. }) => return Err(self.made_by_the_host()),
            _ => self.end_draws(g, key, n)?,
        };
        self.draws_of(g, key, (n, span), ends)
    }

    /// Independent draws of the ends.
    pub(super) fn end_draws<'g>(&self, g: &'g Graph, key: Key<'g>, n: usize) -> Result<(Option<Var<'g>>, Var<'g>)> {
        let start = self.start.as_ref().map(|start| start.draws(g, key.fold_in(2), n, TABLES[0])).transpose()?;
        Ok((start, self.end.draws(g, key.fold_in(3), n, TABLES[1])?))
    }

    /// Points between given draws of the ends.
    pub(super) fn draws_of<'g>(
        &self,
        g: &'g Graph,
        key: Key<'g>,
        (n, (from, to)): (usize, (f64, f64)),
        (start, end): (Option<Var<'g>>, Var<'g>),
    ) -> Result<Draws<'g>> {
        let place = g.iota(0, [n]).cast(DType::F32).reshape([n, 1]) + key.fold_in(1).uniform([n, 1]);
        let span = to - from;
        // Rounding must not reach the end, where a one-sided path divides 0 by 0.
        let t = (place * (span / n.max(1) as f64) + from).min(to - span * f64::from(f32::EPSILON) / 2.0);
        Draws::new(&self.schedule, t, start, end, key.fold_in(4).normal([n, self.d()]))
    }

    fn made_by_the_host(&self) -> Error {
        let (got, want) =
            (format!("{:?} in a graph", self.coupling), "independent or paired: the host pairs minibatches");
        Error::Invalid { what: "coupling", got, want }
    }

    /// The inputs of [`draws`](Self::draws) but its key.
    ///
    /// # Errors
    /// Those of an allocation.
    pub fn bind(&self, gpu: &Gpu, mut bindings: Bindings) -> Result<Bindings> {
        if let Some(start) = &self.start {
            bindings = start.bind(gpu, TABLES[0], bindings)?;
        }
        self.end.bind(gpu, TABLES[1], bindings)
    }

    /// The losses of `f(theta, t, x)` as an estimate of `field` on `n` fresh draws, one a row: `[n]`.
    ///
    /// The same key gives the same draws, so that two estimates are compared without the noise that they share.
    ///
    /// # Errors
    /// What [`loss`] and `f` refuse; [`Error::Fault`] for a loss that is not finite; those of an allocation.
    pub fn losses(
        &self,
        (field, pairing, span): (Field, Pairing, (f64, f64)),
        (n, key): (usize, RngKey),
        theta: &Tensor,
        f: impl for<'g> Fn(Var<'g>, Var<'g>, Var<'g>) -> Result<Var<'g>>,
    ) -> Result<Vec<f64>> {
        let shape = theta.shape();
        let bound = |bindings: Bindings| bindings.tensor("theta", theta);
        self.losses_of((field, pairing, span), (n, key), (theta.gpu(), &bound), |g, t, x| {
            f(g.input("theta", shape), t, x)
        })
    }

    /// The same for a function of a graph that declares its own inputs, which `bound` binds.
    pub(super) fn losses_of(
        &self,
        (field, pairing, span): (Field, Pairing, (f64, f64)),
        (n, key): (usize, RngKey),
        (gpu, bound): (&Gpu, &dyn Fn(Bindings) -> Bindings),
        f: impl for<'g> Fn(&'g Graph, Var<'g>, Var<'g>) -> Result<Var<'g>>,
    ) -> Result<Vec<f64>> {
        let (g, bindings) = (Graph::new(), bound(Bindings::new().key("key", key)));
        let draws = match self.coupling {
            Coupling::Minibatch { .. } => {
                self.draws_of(&g, g.key("key"), (n, span), pairs::ends(&g, n, self.d(), None))?
            }
            _ => self.draws(&g, g.key("key"), n, span)?,
        };
        let bindings = match self.coupling {
            Coupling::Minibatch { size } => {
                let mut pairs = Pairs::new(gpu, self, (size, n), key.fold_in(5))?;
                pairs.load(0)?;
                pairs.bind(bindings)
            }
            _ => self.bind(gpu, bindings)?,
        };
        let rows = loss(field, &draws, pairing, |t, x| f(&g, t, x))?;
        let plan = Plan::compile(gpu, &[("losses", rows)], &CompileOptions::labelled("interpolant losses"))?;
        let mut session = Session::new(&plan, bindings)?;
        session.run(1)?;
        session.check()?;
        Ok(session.read::<f32>("losses")?.wait()?.into_iter().map(f64::from).collect())
    }
}

/// A row number for each of `n` draws, of `rows`.
pub(super) fn any_row<'g>(key: Key<'g>, n: usize, rows: usize) -> Var<'g> {
    (key.uniform([n]) * rows as f64).min(rows as f64 - 1.0).floor().cast(DType::U32)
}
