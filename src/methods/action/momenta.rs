//! The inner problem: momenta of a path, by Newton's method on the surface `H = 0` (Heymann and Vanden-Eijnden, 2008).

use super::linear::solve_noise;
use super::model::{Local, Model};
use super::path::{Path, dot};
use crate::error::{Error, Result};

/// Newton steps at most; ten are usual where momenta are of order one, none where `H` is quadratic.
const NEWTON_STEPS: usize = 60;

/// `theta` and `lambda` in the middle of each segment, with `H_theta = lambda phi_s` and `H = 0`.
#[derive(Clone, Debug, PartialEq)]
pub struct Momenta {
    /// `[n - 1, sites]`.
    pub theta: Vec<f64>,
    /// `[n - 1]`; `dt = ds / lambda`.
    pub lambda: Vec<f64>,
    /// The largest `|H|`.
    pub h_residual: f64,
    /// The largest `|H_theta - lambda phi_s|`.
    pub slope_residual: f64,
    /// Newton steps taken.
    pub newton: usize,
}

impl Model<'_> {
    /// Momenta of a path.
    ///
    /// ```text
    /// x1 = A^-1 (lambda v - g)   x2 = A^-1 v   d lambda = -(H + <g, x1>) / <g, x2>   d theta = x1 + d lambda x2
    /// ```
    ///
    /// with `g = H_theta`, `A = H_theta theta`, `v = phi_s`, from the solution for the quadratic part of `H`.
    ///
    /// # Errors
    /// [`Error::Invalid`] for collapsed nodes, a rate that is negative, or momenta that are not finite.
    pub fn momenta(&self, path: &Path) -> Result<Momenta> {
        self.momenta_from(path, None)
    }

    /// The same, from momenta of a path nearby.
    pub(super) fn momenta_from(&self, path: &Path, near: Option<&Momenta>) -> Result<Momenta> {
        path.check_nodes(&path.arclength())?;
        let middles = path.middles();
        self.check_rates(&middles)?;
        let per_s = (path.n() - 1) as f64;
        let velocity: Vec<_> = path.steps().iter().map(|step| step * per_s).collect();
        let quadratic = self.system().noise().is_quadratic();
        let (mut theta, mut lambda) = match near.filter(|near| !quadratic && near.theta.len() == middles.len()) {
            Some(near) => (near.theta.clone(), near.lambda.clone()),
            None => {
                let at_rest = self.local(&middles, &vec![0.0; middles.len()])?;
                self.quadratic_solution(&at_rest, &velocity)
            }
        };
        let mut local = self.local(&middles, &theta)?;
        let mut newton = 0;
        if !quadratic {
            while newton < NEWTON_STEPS {
                newton += 1;
                let moved = self.newton(&local, &velocity, &mut theta, &mut lambda);
                local = self.local(&middles, &theta)?;
                // Newton's method squares what is left.
                if moved <= 1e-7 {
                    break;
                }
            }
        }
        let d = self.sites();
        let largest = |values: &mut dyn Iterator<Item = f64>| values.map(f64::abs).fold(0.0, f64::max);
        let off = local.slope.iter().zip(&velocity).enumerate().map(|(i, (g, v))| g - lambda[i / d] * v);
        let (h_residual, slope_residual) =
            (largest(&mut local.h.iter().copied()), largest(&mut off.collect::<Vec<_>>().into_iter()));
        if !theta.iter().chain(&lambda).all(|x| x.is_finite()) {
            let want =
                "finite: the noise matrix must be positive definite, and the path must keep away from where it is not";
            return Err(Error::Invalid { what: "a momentum", got: "not a number".into(), want });
        }
        Ok(Momenta { theta, lambda, h_residual, slope_residual, newton })
    }

    /// `A^-1 r` for rows of right sides.
    fn solve_rows(&self, local: &Local, rhs: &mut [&mut Vec<f64>]) {
        let d = self.sites();
        for i in 0..local.h.len() {
            let mut rows: Vec<_> = rhs.iter_mut().map(|r| &mut r[i * d..(i + 1) * d]).collect();
            let column = |c: usize, x: usize| local.columns[c][i * d + x];
            solve_noise(self.system().curvature(), self.colours(), column, &mut rows);
        }
    }

    /// The solution where `H` is `<b, theta> + <theta, A theta> / 2`: `lambda = |b| / |v|` in the norm of `A^-1`.
    fn quadratic_solution(&self, local: &Local, velocity: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let d = self.sites();
        let (mut by_drift, mut by_velocity) = (local.slope.clone(), velocity.to_vec());
        self.solve_rows(local, &mut [&mut by_drift, &mut by_velocity]);
        let (mut theta, mut lambda) = (Vec::with_capacity(velocity.len()), vec![]);
        let rows = |x: &'_ [f64], i: usize| x[i * d..(i + 1) * d].to_vec();
        for i in 0..local.h.len() {
            let (b, v) = (rows(&by_drift, i), rows(&by_velocity, i));
            let ratio = dot(&rows(&local.slope, i), &b) / dot(&rows(velocity, i), &v);
            let l = ratio.max(0.0).sqrt();
            theta.extend(v.iter().zip(&b).map(|(v, b)| l * v - b));
            lambda.push(l);
        }
        (theta, lambda)
    }

    /// One Newton step for every segment; returns the largest change of a momentum, relative to the largest momentum.
    fn newton(&self, local: &Local, velocity: &[f64], theta: &mut [f64], lambda: &mut [f64]) -> f64 {
        let d = self.sites();
        let off = velocity.iter().zip(&local.slope).enumerate().map(|(i, (v, g))| lambda[i / d] * v - g);
        let (mut x1, mut x2) = (off.collect::<Vec<_>>(), velocity.to_vec());
        self.solve_rows(local, &mut [&mut x1, &mut x2]);
        let (mut moved, mut size) = (0f64, 0f64);
        for (i, lambda) in lambda.iter_mut().enumerate() {
            let own = i * d..(i + 1) * d;
            let (g, x1, x2) = (&local.slope[own.clone()], &x1[own.clone()], &x2[own.clone()]);
            // At a critical point g is 0 and so is everything that a step could change.
            let by = -(local.h[i] + dot(g, x1)) / dot(g, x2);
            let by = if by.is_finite() { by.max(-0.9 * *lambda) } else { 0.0 };
            *lambda += by;
            for ((theta, x1), x2) in theta[own].iter_mut().zip(x1).zip(x2) {
                // Momenta are exponents: a step of more than 2 is shortened.
                let step = (x1 + by * x2).clamp(-2.0, 2.0);
                *theta += step;
                (moved, size) = (moved.max(step.abs()), size.max(theta.abs()));
            }
        }
        moved / size.max(f64::MIN_POSITIVE)
    }

    /// The action of a path with given momenta, `sum <theta, d phi>`, in the system's units.
    pub(super) fn action_of(&self, path: &Path, momenta: &Momenta) -> f64 {
        self.system().site_weight() * dot(&momenta.theta, &path.steps())
    }

    /// The geometric action of a path: its cost however fast it is followed. Units: those of the system, `eps` times nats.
    ///
    /// # Errors
    /// As [`momenta`](Self::momenta).
    pub fn action(&self, path: &Path) -> Result<f64> {
        Ok(self.action_of(path, &self.momenta(path)?))
    }
}
