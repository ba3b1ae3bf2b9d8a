//! A path between two sources: what a field is trained and measured on.

use super::losses::{Draws, Field, Pairing, loss};
use super::schedule::{Ends, Schedule};
use super::source::Source;
use crate::error::{Error, Result};
use crate::gpu::{Gpu, Tensor};
use crate::graph::{DType, Graph, Key, Var};
use crate::plan::{Bindings, CompileOptions, Plan, Session};
use crate::random::RngKey;

/// Names of the tables of the two ends.
const TABLES: [&str; 2] = ["start", "end"];

/// A schedule with its ends, which are independent of each other.
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
}

impl Interpolant {
    /// From `start`, which is `None` where the schedule knows it (one-sided: `N(0, 1)`; mirror: `end`), to `end`.
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
        Ok(Interpolant { schedule, start, end })
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
    /// As [`Source::draws`].
    pub fn draws<'g>(&self, g: &'g Graph, key: Key<'g>, n: usize, (from, to): (f64, f64)) -> Result<Draws<'g>> {
        let place = g.iota(0, [n]).cast(DType::F32).reshape([n, 1]) + key.fold_in(1).uniform([n, 1]);
        let span = to - from;
        // Rounding must not reach the end, where a one-sided path divides 0 by 0.
        let t = (place * (span / n.max(1) as f64) + from).min(to - span * f64::from(f32::EPSILON) / 2.0);
        let start = self.start.as_ref().map(|start| start.draws(g, key.fold_in(2), n, TABLES[0])).transpose()?;
        let end = self.end.draws(g, key.fold_in(3), n, TABLES[1])?;
        Draws::new(&self.schedule, t, start, end, key.fold_in(4).normal([n, self.d()]))
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
        let (g, gpu) = (Graph::new(), theta.gpu());
        let parameters = g.input("theta", theta.shape());
        let draws = self.draws(&g, g.key("key"), n, span)?;
        let rows = loss(field, &draws, pairing, |t, x| f(parameters, t, x))?;
        let plan = Plan::compile(gpu, &[("losses", rows)], &CompileOptions::labelled("interpolant losses"))?;
        let bindings = self.bind(gpu, Bindings::new().key("key", key).tensor("theta", theta))?;
        let mut session = Session::new(&plan, bindings)?;
        session.run(1)?;
        session.check()?;
        Ok(session.read::<f32>("losses")?.wait()?.into_iter().map(f64::from).collect())
    }
}
