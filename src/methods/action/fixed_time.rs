//! The action of paths with a given duration, nodes at equal times.

use super::linear::solve_noise;
use super::model::Model;
use super::path::{Path, dot};
use crate::error::{Error, Result};

impl Model<'_> {
    /// The action `sum dt L` of a path whose nodes follow each other at equal times over `duration`; `L(phi, v)` is the largest
    /// `<theta, v> - H`, in the middle of each segment. Units: those of the system.
    ///
    /// It is never below the geometric action of the same nodes, which is that of the best times.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a duration that is not above 0, a negative rate, or momenta that are not finite.
    pub fn timed_action(&self, path: &Path, duration: f64) -> Result<f64> {
        let (theta, h) = self.timed_momenta(path, duration)?;
        let dt = duration / (path.n() - 1) as f64;
        Ok(self.system().site_weight() * (dot(&theta, &path.steps()) - dt * h.iter().sum::<f64>()))
    }

    /// The duration of a path that is followed at the times of least action, from the `lambda` of its momenta: `dt = ds / lambda`.
    /// It grows without bound with the number of nodes where an end is a critical point.
    ///
    /// # Errors
    /// As [`momenta`](Self::momenta).
    pub fn duration(&self, path: &Path) -> Result<f64> {
        let momenta = self.momenta(path)?;
        Ok(momenta.lambda.iter().map(|lambda| 1.0 / lambda).sum::<f64>() / (path.n() - 1) as f64)
    }

    /// `theta` with `H_theta = v`, by Newton's method, and `H` there.
    fn timed_momenta(&self, path: &Path, duration: f64) -> Result<(Vec<f64>, Vec<f64>)> {
        if !(duration > 0.0 && duration.is_finite()) {
            let got = format!("{duration}");
            return Err(Error::Invalid { what: "duration", got, want: "finite and above 0" });
        }
        let (d, middles) = (self.sites(), path.middles());
        self.check_rates(&middles)?;
        let per_time = (path.n() - 1) as f64 / duration;
        let mut theta = vec![0.0; middles.len()];
        let mut local = self.local(&middles, &theta)?;
        for _ in 0..60 {
            let off = path.steps().into_iter().zip(&local.slope).map(|(step, g)| step * per_time - g);
            let mut by: Vec<_> = off.collect();
            for (i, row) in by.chunks_exact_mut(d).enumerate() {
                let column = |c: usize, x: usize| local.columns[c][i * d + x];
                solve_noise(self.system().curvature(), self.colours(), column, &mut [row]);
            }
            theta.iter_mut().zip(&by).for_each(|(theta, by)| *theta += by.clamp(-2.0, 2.0));
            local = self.local(&middles, &theta)?;
            let moved = by.iter().fold(0.0, |top: f64, by| top.max(by.abs()));
            if moved <= 1e-9 || moved.is_nan() {
                break;
            }
        }
        if theta.iter().any(|theta| !theta.is_finite()) {
            let want = "finite: give more time, or a path that the noise can follow";
            return Err(Error::Invalid { what: "a momentum", got: "not a number".into(), want });
        }
        Ok((theta, local.h))
    }
}
