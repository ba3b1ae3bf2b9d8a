//! Modes of the ring of sites, and how fast each decays: what steps are preconditioned by.

use super::model::Model;
use super::path::Path;
use crate::error::Result;
use std::f64::consts::TAU;

/// Reactions count as no slower than this part of the fastest one.
pub(super) const SLOWEST: f64 = 0.3;

/// An orthonormal basis of states, how fast hops make each of its members decay, and the fastest reaction.
#[derive(Clone, Debug)]
pub(super) struct Modes {
    /// Row `k` is mode `k`, `[d, d]`; empty where sites are no ring, and every site is a mode.
    basis: Vec<f64>,
    reaction: f64,
    hops: Vec<f64>,
}

impl Modes {
    /// For steps of paths near this one.
    pub fn new(model: &Model<'_>, path: &Path) -> Result<Modes> {
        let d = model.sites();
        let hopping = model.system().hopping(model.parameters()).filter(|_| d > 1);
        let reaction = reaction_rates(model, path.states(), hopping.is_some())?.into_iter().fold(1e-6, f64::max);
        let hops: Vec<_> = (0..d).map(|k| hopping.unwrap_or(0.0) * wave_number2(k, d)).collect();
        let basis = if hopping.is_some() { ring_basis(d) } else { vec![] };
        Ok(Modes { basis, reaction, hops })
    }

    /// How fast each mode decays by hops.
    pub fn hops(&self) -> &[f64] {
        &self.hops
    }

    /// How fast reactions are at each inner node of a path, but no slower than a part of the fastest.
    pub fn reaction_at(&self, model: &Model<'_>, path: &Path) -> Result<Vec<f64>> {
        let (d, n) = (self.hops.len(), path.n());
        let rates = reaction_rates(model, &path.states()[d..(n - 1) * d], !self.basis.is_empty())?;
        let least = SLOWEST * self.reaction;
        Ok(rates.chunks_exact(d).map(|row| row.iter().copied().fold(least, f64::max)).collect())
    }

    /// The time of a part of a step along the drift, with hops of mode `k` implicit.
    pub fn implicit_step(&self, k: usize, part: f64) -> f64 {
        let time = 0.25 * part / self.reaction;
        time / (1.0 + time * self.hops[k])
    }

    /// The fastest reaction's rate.
    pub fn reaction(&self) -> f64 {
        self.reaction
    }

    /// Its square.
    pub fn reaction2(&self) -> f64 {
        self.reaction * self.reaction
    }

    /// Coefficients of states `[m, d]`.
    pub fn forward(&self, states: &[f64]) -> Vec<f64> {
        let d = self.hops.len();
        self.apply(states, |k, x| self.basis[k * d + x])
    }

    /// States from coefficients.
    pub fn back(&self, coefficients: &[f64]) -> Vec<f64> {
        let d = self.hops.len();
        self.apply(coefficients, |x, k| self.basis[k * d + x])
    }

    fn apply(&self, rows: &[f64], entry: impl Fn(usize, usize) -> f64) -> Vec<f64> {
        let d = self.hops.len();
        if self.basis.is_empty() {
            return rows.to_vec();
        }
        let one = |row: &[f64], i: usize| row.iter().enumerate().map(|(j, x)| entry(i, j) * x).sum::<f64>();
        rows.chunks_exact(d).flat_map(|row| (0..d).map(|i| one(row, i)).collect::<Vec<_>>()).collect()
    }
}

/// Wave number of basis row `k`: rows are 1, cos, sin, cos, sin, ...
fn frequency(k: usize) -> usize {
    k.div_ceil(2)
}

/// Minus the eigenvalue of the ring's Laplacian, `2 - 2 cos(2 pi j / d)`.
pub(super) fn wave_number2(k: usize, d: usize) -> f64 {
    2.0 - 2.0 * (TAU * frequency(k) as f64 / d as f64).cos()
}

/// Orthonormal waves on a ring of `d` sites, one a row.
pub(super) fn ring_basis(d: usize) -> Vec<f64> {
    let entry = |at: usize| {
        let (k, x) = (at / d, at % d);
        let (j, phase) = (frequency(k), TAU * (frequency(k) * x) as f64 / d as f64);
        let wave = if k % 2 == 1 || k == 0 { phase.cos() } else { phase.sin() };
        let once = j == 0 || 2 * j == d;
        wave * (if once { 1.0 } else { 2.0 } / d as f64).sqrt()
    };
    (0..d * d).map(entry).collect()
}

/// How fast each site of states `[m, d]` decays other than by hops, which uniform changes do not feel. Where sites are no ring:
/// row sums of the Jacobian.
pub(super) fn reaction_rates(model: &Model<'_>, states: &[f64], is_ring: bool) -> Result<Vec<f64>> {
    let d = model.sites();
    let mut sums = vec![0.0; states.len()];
    for j in 0..if is_ring { 1 } else { d } {
        let unit: Vec<_> = (0..states.len()).map(|at| f64::from(u8::from(is_ring || at % d == j))).collect();
        model.drift_along(states, &unit)?.iter().zip(&mut sums).for_each(|(x, sum)| *sum += x.abs());
    }
    Ok(sums)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waves_are_orthonormal_and_eigenvectors_of_the_ring() {
        for d in [2, 3, 8, 11] {
            let q = ring_basis(d);
            for k in 0..d {
                for l in 0..d {
                    let product: f64 = (0..d).map(|x| q[k * d + x] * q[l * d + x]).sum();
                    // Sums of at most 11 products of numbers below 1.
                    assert!((product - f64::from(u8::from(k == l))).abs() < 1e-14, "{d} sites: {k} {l}");
                }
                for x in 0..d {
                    let laplacian = q[k * d + (x + 1) % d] - 2.0 * q[k * d + x] + q[k * d + (x + d - 1) % d];
                    assert!((laplacian + wave_number2(k, d) * q[k * d + x]).abs() < 1e-14);
                }
            }
        }
    }
}
