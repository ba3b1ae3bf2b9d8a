//! Log-likelihoods of a [`Model`] by its ODE, exactly or by Hutchinson's estimator.

use super::model::Model;
use super::rows::{in_parts, log_densities};
use super::sampler::{Sampler, averaged};
use super::sampling::{Sampling, Solver, Spread};
use super::source::Source;
use crate::error::{Error, Result};
use crate::gpu::{Gpu, Tensor};
use crate::random::RngKey;

/// Log-likelihoods of a model by the ODE.
///
/// ```text
/// log rho(t, x) = log rho_0(X_0) - int_0^t div b ds        along the path that ends in x
/// ```
#[must_use]
pub struct Likelihood {
    sampler: Sampler,
    base: Source,
}

/// Log-likelihoods of points.
#[derive(Clone, Debug, PartialEq)]
pub struct LogLikelihoods {
    /// Nats, one a point.
    pub values: Vec<f64>,
    /// Standard error of one of them by the probes, over all points; 0 if the divergence is exact.
    pub probe_se: f64,
}

impl Likelihood {
    /// For `rows` points at a time, by one of the solvers of the ODE.
    ///
    /// # Errors
    /// As [`Sampling::compile`]; [`Error::Invalid`] for a start whose density is not known.
    pub fn new(gpu: &Gpu, model: &Model, rows: usize, solver: Solver, spread: Spread) -> Result<Self> {
        let base = model.end(false);
        if matches!(base, Source::Rows { .. }) {
            let got = "data, whose own is not known".to_string();
            return Err(Error::Invalid { what: "density at the start", got, want: "a normal or a mixture" });
        }
        let sampler = Sampling::new(solver).backwards().with_log_density(spread).compile(gpu, model, rows)?;
        Ok(Likelihood { sampler, base })
    }

    /// The first time, at which the density is that of the start.
    pub fn first(&self) -> f64 {
        self.sampler.times.1
    }

    /// `log rho(1, x)` of points `x [n, d]`; signs of probes are drawn from `key`.
    ///
    /// # Errors
    /// [`Error::Shape`] for values that are not whole rows; those of the solvers.
    pub fn of(&self, x: &[f32], key: RngKey) -> Result<LogLikelihoods> {
        self.at(self.sampler.times.0, x, key)
    }

    /// `log rho(t, x)` at a time above the start's.
    ///
    /// # Errors
    /// As [`of`](Self::of); [`Error::Invalid`] for a time outside the model's.
    pub fn at(&self, t: f64, x: &[f32], key: RngKey) -> Result<LogLikelihoods> {
        let own = &self.sampler;
        let (last, first) = own.times;
        if !(t > first && t <= last) {
            let got = format!("{t}, with {first} and {last} the model's own");
            return Err(Error::Invalid { what: "time", got, want: "after the first and not after the last" });
        }
        let (mut values, mut square, mut k) = (vec![], 0.0, 0);
        in_parts(&own.gpu, x, (own.n.max(1), self.base.d()), |from, n| {
            let (logs, se) = self.part(from, t, key.fold_in(k))?;
            k += 1;
            square += se * se * n as f64;
            values.extend(logs.into_iter().take(n));
            Ok(())
        })?;
        Ok(LogLikelihoods { probe_se: (square / values.len().max(1) as f64).sqrt(), values })
    }

    fn part(&self, from: &Tensor, t: f64, key: RngKey) -> Result<(Vec<f64>, f64)> {
        let (own, (last, first)) = (&self.sampler, self.sampler.times);
        let steps = own.steps_of((t - first) / (last - first));
        let logs = |(to, gains): (Tensor, Vec<f64>)| {
            // What the log-density gains on the way back.
            let base = log_densities(&self.base, &to.read::<f32>()?.wait()?)?;
            Ok(base.into_iter().zip(gains).map(|(base, gain)| base - gain).collect())
        };
        let runs = own.carry(from, (t, first), steps, key)?;
        Ok(averaged(&runs.into_iter().map(logs).collect::<Result<Vec<Vec<f64>>>>()?))
    }
}
