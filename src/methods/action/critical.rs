//! Critical points of the drift with their index, by Newton's method.

use super::model::Model;
use super::modes::Modes;
use super::path::{Path, norm, sub};
use crate::error::{Error, Result};
use faer::Mat;

/// A state at which the drift vanishes.
#[derive(Clone, Debug, PartialEq)]
pub struct CriticalPoint {
    /// The state.
    pub state: Vec<f64>,
    /// Real parts of the eigenvalues of the drift's Jacobian, the largest first: growth rates.
    pub growth: Vec<f64>,
    /// The largest component of the drift that is left.
    pub residual: f64,
}

impl CriticalPoint {
    /// Growing directions: 0 of an attractor, 1 of a saddle that a rare path may cross. Rates within 1e-9 of the largest are
    /// translations, which neither grow nor decay.
    pub fn index(&self) -> usize {
        let size = self.growth.iter().map(|g| g.abs()).fold(0.0, f64::max);
        self.growth.iter().filter(|&&g| g > 1e-9 * size).count()
    }

    /// Smallest, largest and mean value of a site.
    pub fn profile(&self) -> (f64, f64, f64) {
        let fold = |first: f64, f: fn(f64, f64) -> f64| self.state.iter().copied().fold(first, f);
        let mean = self.state.iter().sum::<f64>() / self.state.len() as f64;
        (fold(f64::INFINITY, f64::min), fold(f64::NEG_INFINITY, f64::max), mean)
    }
}

impl Model<'_> {
    /// The critical point that Newton's method finds from this state, with steps shortened until the drift falls.
    ///
    /// The step is the shortest that solves the linearised equations: translations of a nucleus, which change nothing, are not
    /// followed.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the drift does not vanish after 100 steps; [`Error::Shape`].
    pub fn critical_point(&self, near: &[f64]) -> Result<CriticalPoint> {
        let mut state = near.to_vec();
        let mut drift = self.drift(&state)?;
        for _ in 0..100 {
            if largest(&drift) <= 1e-14 {
                break;
            }
            let jacobian = self.jacobian(&state)?;
            let Some(step) = shortest_solution(&jacobian, &drift) else { break };
            let Some((next, b)) = self.shortened(&state, &step, norm(&drift))? else { break };
            (state, drift) = (next, b);
        }
        let residual = largest(&drift);
        // Rates are of order 1 and stencils multiply rounding by D / dx^2, some hundreds.
        if residual > 1e-9 || residual.is_nan() {
            let want = "below 1e-9: start nearer to a critical point";
            return Err(Error::Invalid { what: "drift after Newton's method", got: format!("{residual:e}"), want });
        }
        let growth = growth_rates(&self.jacobian(&state)?, state.len())?;
        Ok(CriticalPoint { state, growth, residual })
    }

    /// The attractors that a saddle lies between: where the drift leads to from either side of it.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a point whose index is not 1, or a drift that does not come to rest.
    pub fn beside(&self, saddle: &CriticalPoint) -> Result<[CriticalPoint; 2]> {
        if saddle.index() != 1 {
            let got = format!("a point of index {}", saddle.index());
            return Err(Error::Invalid { what: "a saddle", got, want: "of index 1, with one direction that grows" });
        }
        let grows = growing_direction(&self.jacobian(&saddle.state)?, saddle.state.len())?;
        let size = 1e-3 * (1.0 + norm(&saddle.state));
        let side = |sign: f64| {
            let start: Vec<_> = saddle.state.iter().zip(&grows).map(|(x, by)| x + sign * size * by).collect();
            self.downhill(&saddle.state, start)
        };
        Ok([side(-1.0)?, side(1.0)?])
    }

    /// The attractor that the drift leads to.
    fn downhill(&self, from: &[f64], mut state: Vec<f64>) -> Result<CriticalPoint> {
        const ROUNDS: usize = 400;
        for _ in 0..ROUNDS {
            let modes = Modes::new(self, &Path::from_parts(state.len(), state.clone()))?;
            for _ in 0..50 {
                state = self.implicit_step(&modes, &state, 1.0)?;
            }
            let Ok(point) = self.critical_point(&state) else { continue };
            let (left, way) = (norm(&sub(&point.state, &state)), norm(&sub(from, &state)));
            if point.index() == 0 && left < 0.05 * way {
                return Ok(point);
            }
        }
        let got = format!("{:e} after {ROUNDS} times 50 steps", largest(&self.drift(&state)?));
        let want = "close to 0: follow it further, or choose a saddle from which it leads to an attractor";
        Err(Error::Invalid { what: "the drift beside a saddle", got, want })
    }

    /// The first of the step and its halves that makes the drift smaller.
    fn shortened(&self, state: &[f64], step: &[f64], size: f64) -> Result<Option<(Vec<f64>, Vec<f64>)>> {
        let mut part = 1.0;
        for _ in 0..40 {
            let next: Vec<_> = state.iter().zip(step).map(|(x, step)| x - part * step).collect();
            let drift = self.drift(&next)?;
            if norm(&drift) < size {
                return Ok(Some((next, drift)));
            }
            part *= 0.5;
        }
        Ok(None)
    }

    /// Critical points that are the same on every site, between two values, ascending.
    ///
    /// # Errors
    /// As [`critical_point`](Self::critical_point).
    pub fn uniform_states(&self, from: f64, to: f64) -> Result<Vec<CriticalPoint>> {
        const PLACES: usize = 400;
        let (d, mut found) = (self.sites(), Vec::<CriticalPoint>::new());
        let value = |i: usize| from + (to - from) * i as f64 / PLACES as f64;
        let states: Vec<_> = (0..=PLACES).flat_map(|i| vec![value(i); d]).collect();
        let drift: Vec<_> = self.drift(&states)?.chunks_exact(d).map(|row| row[0]).collect();
        for i in 0..PLACES {
            if (drift[i] > 0.0) != (drift[i + 1] > 0.0) || drift[i] == 0.0 {
                let point = self.critical_point(&vec![0.5 * (value(i) + value(i + 1)); d])?;
                let near = |old: &CriticalPoint| (old.state[0] - point.state[0]).abs() < 1e-9;
                if !found.iter().any(near) {
                    found.push(point);
                }
            }
        }
        Ok(found)
    }

    /// Refuse a state that is no attractor.
    ///
    /// # Errors
    /// [`Error::Invalid`] with the drift there, or the directions that grow.
    pub fn attractor(&self, state: &[f64]) -> Result<CriticalPoint> {
        let drift = largest(&self.drift(state)?);
        if drift > 1e-7 || drift.is_nan() {
            let want = "a fixed point, where the drift is below 1e-7: take one from Model::critical_point";
            return Err(Error::Invalid { what: "an end state", got: format!("where the drift is {drift:e}"), want });
        }
        let point = self.critical_point(state)?;
        if point.index() > 0 {
            let got = format!("a fixed point with {} growing directions", point.index());
            let want = "an attractor: start from a stable state";
            return Err(Error::Invalid { what: "an end state", got, want });
        }
        Ok(point)
    }
}

pub(super) fn largest(x: &[f64]) -> f64 {
    x.iter().fold(0.0, |top: f64, x| if x.is_nan() { f64::NAN } else { top.max(x.abs()) })
}

/// The shortest `x` with `a x = r`, singular values below 1e-12 of the largest left out.
fn shortest_solution(a: &[f64], r: &[f64]) -> Option<Vec<f64>> {
    let d = r.len();
    let svd = Mat::from_fn(d, d, |i, j| a[i * d + j]).svd().ok()?;
    let (u, v, s) = (svd.U(), svd.V(), svd.S());
    let sizes: Vec<f64> = (0..d).map(|k| s[k]).collect();
    let least = 1e-12 * sizes.iter().copied().fold(0.0, f64::max);
    let mut x = vec![0.0; d];
    for (k, size) in sizes.iter().enumerate().filter(|(_, size)| **size > least) {
        let part = (0..d).map(|i| u[(i, k)] * r[i]).sum::<f64>() / size;
        x.iter_mut().enumerate().for_each(|(i, x)| *x += part * v[(i, k)]);
    }
    Some(x)
}

/// The unit vector along which a Jacobian with one growing direction grows.
fn growing_direction(jacobian: &[f64], d: usize) -> Result<Vec<f64>> {
    let matrix = Mat::from_fn(d, d, |i, j| jacobian[i * d + j]);
    let eigen = matrix.eigen().map_err(|_| no_eigenvalues())?;
    let (values, vectors) = (eigen.S(), eigen.U());
    let most = (0..d).max_by(|&a, &b| values[a].re.total_cmp(&values[b].re)).unwrap_or(0);
    let direction: Vec<_> = (0..d).map(|i| vectors[(i, most)].re).collect();
    let size = norm(&direction);
    Ok(direction.into_iter().map(|x| x / size).collect())
}

fn no_eigenvalues() -> Error {
    let got = "a matrix whose eigenvalues do not converge".into();
    Error::Invalid { what: "the Jacobian at a critical point", got, want: "finite" }
}

fn growth_rates(jacobian: &[f64], d: usize) -> Result<Vec<f64>> {
    let matrix = Mat::from_fn(d, d, |i, j| jacobian[i * d + j]);
    let values = matrix.eigenvalues().map_err(|_| no_eigenvalues())?;
    let mut growth: Vec<_> = values.iter().map(|z| z.re).collect();
    growth.sort_by(|a, b| b.total_cmp(a));
    Ok(growth)
}
