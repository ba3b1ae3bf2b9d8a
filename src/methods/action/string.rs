//! The string method: the path that the deterministic flow follows from a saddle to two attractors (E, Ren and Vanden-Eijnden).

use super::critical::CriticalPoint;
use super::model::Model;
use super::modes::Modes;
use super::path::{Path, dot, norm, sub};
use crate::error::{Error, Result};
use std::f64::consts::{PI, TAU};

/// A path along the drift, or as far as it came.
#[derive(Clone, Debug)]
pub struct Flow {
    /// The path.
    pub path: Path,
    /// Steps taken.
    pub steps: usize,
    /// How far the last step moved a node, relative to the length.
    pub moved: f64,
}

impl Model<'_> {
    /// Let the inner nodes of a path follow the drift for a short time, spread them to equal distances, and repeat until they rest.
    ///
    /// At rest the path follows the drift or opposes it everywhere. Hops are taken implicitly, the rest explicitly, in steps of a
    /// quarter of the fastest reaction's time; the path is off by the error of such a step.
    ///
    /// # Errors
    /// [`Error::Invalid`] for collapsed nodes.
    pub fn string(&self, path: &Path, max_steps: usize, tolerance: f64) -> Result<Flow> {
        let (d, n) = (self.sites(), path.n());
        let mut path = path.respaced(n)?;
        let modes = Modes::new(self, &path)?;
        let (mut steps, mut moved) = (0, f64::INFINITY);
        while steps < max_steps && moved > tolerance {
            steps += 1;
            let inner = &path.states()[d..(n - 1) * d];
            let whole = self.implicit_step(&modes, inner, 1.0)?;
            let halves = self.implicit_step(&modes, &self.implicit_step(&modes, inner, 0.5)?, 0.5)?;
            let mut phi = path.states().to_vec();
            // Two half steps and a whole one extrapolated: of second order.
            phi[d..].iter_mut().zip(halves.iter().zip(&whole)).for_each(|(x, (two, one))| *x = 2.0 * two - one);
            let next = Path::new(d, phi)?.respaced(n)?;
            let apart = sub(next.states(), path.states());
            moved = apart.chunks_exact(d).map(norm).fold(0.0, f64::max) / next.length();
            path = next;
        }
        Ok(Flow { path, steps, moved })
    }

    /// States after a part of a step of Euler's method, implicit in the hops.
    pub(super) fn implicit_step(&self, modes: &Modes, states: &[f64], part: f64) -> Result<Vec<f64>> {
        let mut step = modes.forward(&self.drift(states)?);
        step.iter_mut().enumerate().for_each(|(i, x)| *x *= modes.implicit_step(i % self.sites(), part));
        Ok(states.iter().zip(modes.back(&step)).map(|(x, by)| x + by).collect())
    }

    /// The saddle of index 1 between two attractors: where a string between them turns from uphill to downhill, refined by
    /// Newton's method.
    ///
    /// Newton's method is tried from a string that still moves, and what it finds is taken if it is near.
    ///
    /// On a ring the string starts with a wave at a site, then with one between two sites: of the two nuclei only one has index 1.
    /// Where neither has, the nucleus is less symmetric, and so is a third start.
    ///
    /// # Errors
    /// [`Error::Invalid`] if none leads to a critical point of index 1.
    pub fn saddle(&self, from: &[f64], to: &[f64]) -> Result<CriticalPoint> {
        const NODES: usize = 41;
        const ROUNDS: usize = 12;
        let (d, size) = (self.sites(), norm(&sub(to, from)) / (self.sites() as f64).sqrt());
        let ring = d > 1 && self.system().hopping(self.parameters()).is_some();
        let (mut seen, mut failed) = (vec![], None);
        for centre in if ring { vec![0.0, 0.5, 0.25] } else { vec![0.0] } {
            let wave = |x: usize| (TAU * (x as f64 - centre) / d as f64).cos();
            let bump = |s: f64, x: usize| if ring { 0.25 * size * (PI * s).sin().powi(2) * wave(x) } else { 0.0 };
            let mut path = Path::along(from, to, NODES, bump)?;
            for _ in 0..ROUNDS {
                let flow = self.string(&path, 50, 1e-6)?;
                path = flow.path;
                let summit = path.state(self.summit(&path)?);
                let point = match self.critical_point(summit) {
                    Ok(point) => point,
                    Err(error) => {
                        failed = Some(error);
                        continue;
                    }
                };
                let is_near = norm(&sub(&point.state, summit)) < 0.1 * path.length();
                if is_near && point.index() == 1 {
                    return Ok(point);
                }
                seen.push(point.index().to_string());
            }
        }
        let want =
            "one of index 1: the states may have none between them, or several; give a saddle from critical_point";
        match failed {
            Some(error) if seen.is_empty() => Err(error),
            _ => Err(Error::Invalid { what: "the saddle", got: format!("of index {}", seen.join(" and ")), want }),
        }
    }

    /// The inner node at which the drift along the path changes from backwards to forwards; that of the least drift if none does.
    fn summit(&self, path: &Path) -> Result<usize> {
        let (d, n) = (self.sites(), path.n());
        let drift = self.drift(path.states())?;
        let own = |i: usize| &drift[i * d..(i + 1) * d];
        let along = |i: usize| dot(own(i), &sub(path.state(i + 1), path.state(i - 1)));
        let turn = (1..n - 2).find(|&i| along(i) <= 0.0 && along(i + 1) > 0.0);
        let nearer = |i: usize| if norm(own(i)) <= norm(own(i + 1)) { i } else { i + 1 };
        let least = || (1..n - 1).min_by(|&a, &b| norm(own(a)).total_cmp(&norm(own(b)))).unwrap_or(1);
        Ok(turn.map_or_else(least, nearer))
    }
}
