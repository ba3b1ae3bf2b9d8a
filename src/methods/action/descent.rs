//! The outer problem: the path of least action, by preconditioned descent (gMAM).
//!
//! The action of a path through nodes `phi_i` is `S = sum_i <theta_i, phi_{i+1} - phi_i>`, momenta taken in the middle of each
//! segment, where they make it as large as `H = 0` allows. So its derivative in a node needs no derivative of the momenta:
//!
//! ```text
//! -1/ds dS/dphi_i = G_i = (theta_{i+1/2} - theta_{i-1/2}) / ds + mean over both segments of H_phi / lambda
//! ```
//!
//! which is `theta_s + H_phi / lambda`, Hamilton's second equation. Nodes move along `lambda H_theta theta G` as in gMAM
//! (Heymann and Vanden-Eijnden, Commun. Pure Appl. Math. 61, 2008), `G` without its part along the path. The step is that of
//! a quasi-Newton method: mode `k` of the ring of sites is solved with `c + sigma_k^2 - lambda^2 d^2/ds^2`, in which
//! `sigma_k = D mu_k + r` is how fast that mode decays; so neither hops nor short waves along the path limit it. Then nodes are
//! spread to equal distances again.

use super::linear::solve_tridiagonal;
use super::model::Model;
use super::modes::Modes;
use super::momenta::Momenta;
use super::path::{Path, dot, norm, sub};
use crate::error::Result;
use serde::{Deserialize, Serialize};

/// How paths are computed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PathOptions {
    /// Nodes of the coarse path; the fine one has `2 nodes - 1`.
    pub nodes: usize,
    /// Steps at most.
    pub max_steps: usize,
    /// A path is done when no node moves by more than this part of its length in a step.
    pub tolerance: f64,
    /// Whether the end need not be a fixed point, as for a quasipotential at any state.
    pub free_end: bool,
    /// By which part of its length a path at rest is pushed aside, to see whether only a symmetry holds it: then it falls to a
    /// cheaper one. 0 leaves it.
    pub aside: f64,
}

impl Default for PathOptions {
    fn default() -> Self {
        PathOptions { nodes: 101, max_steps: 2000, tolerance: 1e-6, free_end: false, aside: 0.1 }
    }
}

/// A path of least action, or as far as it came.
#[derive(Clone, Debug)]
pub struct Minimum {
    /// The path.
    pub path: Path,
    /// Its momenta.
    pub momenta: Momenta,
    /// Its action, by the midpoint rule on its nodes.
    pub action: f64,
    /// Steps taken.
    pub steps: usize,
    /// How far the last step moved a node, relative to the length.
    pub moved: f64,
    /// Whether that is within the tolerance.
    pub converged: bool,
}

impl Model<'_> {
    /// The least action near a path, by descent. Both ends stay.
    ///
    /// # Errors
    /// As [`momenta`](Self::momenta).
    pub fn minimise(&self, path: &Path, options: &PathOptions) -> Result<Minimum> {
        let mut path = path.respaced(path.n())?;
        let modes = Modes::new(self, &path)?;
        let mut momenta = self.momenta(&path)?;
        let mut action = self.action_of(&path, &momenta);
        let (mut damping, mut moved, mut steps) = (0.1 * modes.reaction2(), f64::INFINITY, 0);
        while steps < options.max_steps && moved > options.tolerance {
            steps += 1;
            let step = self.descent(&path, &momenta, &modes, damping)?;
            let tried = self.moved(&path, &step, &momenta);
            let better = match tried {
                // A little is allowed: spreading nodes changes the action by the error of the quadrature.
                Ok((path, momenta, new)) if new <= action + 1e-5 * action.abs() + 1e-13 => Some((path, momenta, new)),
                _ => None,
            };
            let Some(next) = better else {
                damping = 4.0 * damping.max(0.1 * modes.reaction2());
                if damping > 1e12 * modes.reaction2() {
                    break;
                }
                continue;
            };
            let largest = step.chunks_exact(self.sites()).map(norm).fold(0.0, f64::max);
            moved = largest / path.length();
            (path, momenta, action) = next;
            damping *= 0.6;
        }
        Ok(Minimum { path, momenta, action, steps, moved, converged: moved <= options.tolerance })
    }

    /// The path after a step of its inner nodes, spread to equal distances.
    fn moved(&self, path: &Path, step: &[f64], near: &Momenta) -> Result<(Path, Momenta, f64)> {
        let d = self.sites();
        let mut phi = path.states().to_vec();
        phi[d..].iter_mut().zip(step).for_each(|(x, by)| *x += by);
        let path = Path::new(d, phi)?.respaced(path.n())?;
        let momenta = self.momenta_from(&path, Some(near))?;
        let action = self.action_of(&path, &momenta);
        Ok((path, momenta, action))
    }

    /// The step of the inner nodes, `[n - 2, sites]`.
    fn descent(&self, path: &Path, momenta: &Momenta, modes: &Modes, damping: f64) -> Result<Vec<f64>> {
        let (d, n) = (self.sites(), path.n());
        let slope = self.normal_force(path, momenta)?;
        let theta = Path::from_parts(d, momenta.theta.clone()).middles();
        let lambda: Vec<_> = momenta.lambda.windows(2).map(|w| 0.5 * (w[0] + w[1])).collect();
        let mut step = self.noise(&path.states()[d..(n - 1) * d], &theta, &slope)?;
        step.iter_mut().enumerate().for_each(|(i, x)| *x *= lambda[i / d]);
        let mut step = modes.forward(&step);
        let per_ds2 = ((n - 1) * (n - 1)) as f64;
        let reaction = modes.reaction_at(self, path)?;
        let off: Vec<_> = lambda.iter().map(|l| -l * l * per_ds2).collect();
        for (k, hop) in modes.hops().iter().enumerate() {
            let own = off.iter().zip(&reaction).map(|(off, rate)| damping + (rate + hop).powi(2) - 2.0 * off);
            let diagonal: Vec<_> = own.collect();
            let mut mode: Vec<_> = (0..n - 2).map(|i| step[i * d + k]).collect();
            solve_tridiagonal(&off, &diagonal, &off, &mut mode);
            mode.iter().enumerate().for_each(|(i, x)| step[i * d + k] = *x);
        }
        Ok(modes.back(&step))
    }

    /// `G` at the inner nodes without its part along the path.
    fn normal_force(&self, path: &Path, momenta: &Momenta) -> Result<Vec<f64>> {
        let (d, n) = (self.sites(), path.n());
        let force = self.force(&path.middles(), &momenta.theta)?;
        let least = 1e-9 * momenta.lambda.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
        let per_lambda = |i: usize, x: usize| force[i * d + x] / momenta.lambda[i].max(least);
        let mut normal = Vec::with_capacity((n - 2) * d);
        for i in 1..n - 1 {
            let rise = |x: usize| (momenta.theta[i * d + x] - momenta.theta[(i - 1) * d + x]) * (n - 1) as f64;
            let g: Vec<_> = (0..d).map(|x| rise(x) + 0.5 * (per_lambda(i, x) + per_lambda(i - 1, x))).collect();
            let along = sub(path.state(i + 1), path.state(i - 1));
            let part = dot(&g, &along) / dot(&along, &along);
            normal.extend(g.iter().zip(&along).map(|(g, along)| g - part * along));
        }
        Ok(normal)
    }
}
