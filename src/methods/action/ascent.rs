//! The authors' solver: descent in the path and ascent in the momenta, by upwind sweeps (arXiv:2202.06936).
//!
//! ```text
//! theta_tau = lambda phi_s - H_theta        phi_tau = lambda theta_s + H_phi
//! U = phi + theta:  U_tau =  lambda U_s + H_phi - H_theta        from s = 1
//! V = phi - theta:  V_tau = -lambda V_s + H_phi + H_theta        from s = 0
//! ```
//!
//! Transport is implicit and upwind, of second order; reactions are explicit, so hops and reactions limit the step. Both ends are
//! critical points with momentum 0. Where both rest, Hamilton's equations hold. It is here to compare with: the descent of
//! [`minimise`](super::Model::minimise), which solves for momenta exactly, needs some hundred times fewer steps.

use super::model::Model;
use super::path::{Path, dot};
use crate::error::{Error, Result};

/// A path with momenta at its nodes, as far as sweeps have brought them.
#[derive(Clone, Debug)]
pub struct Swept {
    /// The path.
    pub path: Path,
    /// Momenta `[n, sites]`.
    pub theta: Vec<f64>,
    /// `sum <theta, d phi>` by the trapezoidal rule, in the system's units.
    pub action: f64,
    /// The largest `|H|` at a node.
    pub h_residual: f64,
    /// How far the last sweep moved a node, over its step of time.
    pub rate: f64,
}

/// Rates of one state of a sweep.
struct Rates {
    lambda: Vec<f64>,
    slope: Vec<f64>,
    force: Vec<f64>,
    h: Vec<f64>,
}

impl Model<'_> {
    /// Sweep `sweeps` times from a path between two critical points, with steps `time_step` of artificial time.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a step that is not above 0, collapsed nodes, or values that are not finite: then the step is too
    /// large for the reactions or hops.
    pub fn sweep(&self, path: &Path, time_step: f64, sweeps: usize) -> Result<Swept> {
        if !(time_step > 0.0 && time_step.is_finite()) {
            let got = time_step.to_string();
            return Err(Error::Invalid { what: "time step", got, want: "finite and above 0" });
        }
        let (d, n) = (self.sites(), path.n());
        let mut phi = path.respaced(n)?.states().to_vec();
        let (mut theta, mut rate) = (vec![0.0; n * d], 0.0);
        for _ in 0..sweeps {
            let before = phi.clone();
            for from_end in [true, false] {
                self.half_sweep(&mut phi, &mut theta, time_step, from_end)?;
                (phi, theta) = spread(d, &phi, &theta)?;
            }
            rate = before.iter().zip(&phi).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max) / time_step;
        }
        let h = self.sweep_rates(&phi, &theta)?.h;
        let path = Path::new(d, phi)?;
        let means = Path::new(d, theta.clone())?.middles();
        let action = self.system().site_weight() * dot(&means, &path.steps());
        let h_residual = h.iter().fold(0.0, |top: f64, h| top.max(h.abs()));
        Ok(Swept { path, theta, action, h_residual, rate })
    }

    /// Move `U` from the end, or `V` from the start.
    fn half_sweep(&self, phi: &mut [f64], theta: &mut [f64], time_step: f64, from_end: bool) -> Result<()> {
        let (d, n) = (self.sites(), phi.len() / self.sites());
        let sign = if from_end { 1.0 } else { -1.0 };
        let rates = self.sweep_rates(phi, theta)?;
        // At the ends momenta are 0, so U and V are the states.
        let mut moved: Vec<_> = phi.iter().zip(theta.iter()).map(|(phi, theta)| phi + sign * theta).collect();
        let kept: Vec<_> = phi.iter().zip(theta.iter()).map(|(phi, theta)| phi - sign * theta).collect();
        let r = time_step * (n - 1) as f64;
        for k in 1..n - 1 {
            let i = if from_end { n - 1 - k } else { k };
            let ahead = |by: usize| if from_end { i + by } else { i - by };
            let speed = r * rates.lambda[i];
            for x in 0..d {
                let reaction = rates.force[i * d + x] - sign * rates.slope[i * d + x];
                let old = moved[i * d + x] + time_step * reaction;
                let next = moved[ahead(1) * d + x];
                moved[i * d + x] = if k == 1 {
                    (old + speed * next) / (1.0 + speed)
                } else {
                    (old + 2.0 * speed * next - 0.5 * speed * moved[ahead(2) * d + x]) / (1.0 + 1.5 * speed)
                };
            }
        }
        for (at, (a, b)) in moved.iter().zip(&kept).enumerate().take((n - 1) * d).skip(d) {
            (phi[at], theta[at]) = (0.5 * (a + b), 0.5 * sign * (a - b));
        }
        match phi.iter().chain(theta.iter()).all(|x| x.is_finite()) {
            true => Ok(()),
            false => {
                let want = "finite: take a smaller time step, below 1 over the fastest rate of reactions and hops";
                Err(Error::Invalid { what: "a state of a sweep", got: "not a number".into(), want })
            }
        }
    }

    /// Slopes of `H`, and `lambda` by the authors' rule, `<v, g> + sqrt(<v, g>^2 - 4 H <v, v>)` over `2 <v, v>`.
    fn sweep_rates(&self, phi: &[f64], theta: &[f64]) -> Result<Rates> {
        let (d, n) = (self.sites(), phi.len() / self.sites());
        let (local, force) = (self.local(phi, theta)?, self.force(phi, theta)?);
        let at = |i: usize, x: usize| phi[i * d + x];
        let mut lambda = vec![0.0; n];
        for (i, lambda) in lambda.iter_mut().enumerate().take(n - 1).skip(1) {
            let v: Vec<_> = (0..d).map(|x| 0.5 * (n - 1) as f64 * (at(i + 1, x) - at(i - 1, x))).collect();
            let (along, size) = (dot(&v, &local.slope[i * d..(i + 1) * d]), dot(&v, &v));
            *lambda = ((along + (along * along - 4.0 * local.h[i] * size).max(0.0).sqrt()) / (2.0 * size)).max(0.0);
        }
        Ok(Rates { lambda, slope: local.slope, force, h: local.h })
    }
}

/// Nodes at equal distances again, momenta carried along by linear interpolation, as the authors do.
fn spread(d: usize, phi: &[f64], theta: &[f64]) -> Result<(Vec<f64>, Vec<f64>)> {
    let path = Path::new(d, phi.to_vec())?;
    let at = path.arclength();
    path.check_nodes(&at)?;
    let (n, length) = (path.n(), path.length());
    let (mut states, mut momenta, mut k) = (phi.to_vec(), theta.to_vec(), 0);
    for j in 1..n - 1 {
        let target = length * j as f64 / (n - 1) as f64;
        while k + 2 < n && at[k + 1] < target {
            k += 1;
        }
        let part = (target - at[k]) / (at[k + 1] - at[k]);
        for x in 0..d {
            let mix = |values: &[f64]| values[k * d + x] + part * (values[(k + 1) * d + x] - values[k * d + x]);
            (states[j * d + x], momenta[j * d + x]) = (mix(phi), mix(theta));
        }
    }
    Ok((states, momenta))
}
