//! Exact answers for walkers in a moving harmonic well: every weight is a Gaussian integral over the path.
//!
//! `U_k = omega_k |x - m_k e_1|^2 / 2`, `k = 0..=K`, unadjusted Langevin steps of size `h`, temperature 1. The density of a path
//! and `exp(q A)` are exponentials of quadratic forms that couple neighbours only, so `E exp(q A)` is the determinant of a
//! tridiagonal matrix a dimension; it is eliminated point by point from the start.
#![allow(dead_code)] // each test file uses a part

/// What is added up to the log-weight.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule {
    Exact,
    WorkOnly,
    Aliased,
}

/// The protocol.
#[derive(Clone, Debug)]
pub struct Wells {
    pub omega: Vec<f64>,
    pub mean: Vec<f64>,
    pub d: usize,
    pub h: f64,
}

/// `-(xx x^2 + 2 xy x y + yy y^2)/2 + bx x + by y + c`
#[derive(Clone, Copy, Default)]
struct Form {
    xx: f64,
    xy: f64,
    yy: f64,
    bx: f64,
    by: f64,
    c: f64,
}

impl Form {
    /// Add `-weight (a x + b y + c)^2 / 2`.
    fn square(&mut self, weight: f64, [a, b, c]: [f64; 3]) {
        self.xx += weight * a * a;
        self.xy += weight * a * b;
        self.yy += weight * b * b;
        self.bx -= weight * a * c;
        self.by -= weight * b * c;
        self.c -= 0.5 * weight * c * c;
    }

    /// Integrate over x: what is left is a form in y, handed on as one in x. `None` if the integral diverges.
    fn integrate(self) -> Option<Form> {
        if self.xx <= 0.0 {
            return None;
        }
        let c = self.c + 0.5 * (std::f64::consts::TAU / self.xx).ln() + 0.5 * self.bx * self.bx / self.xx;
        let bx = self.by - self.bx * self.xy / self.xx;
        Some(Form { xx: self.yy - self.xy * self.xy / self.xx, bx, c, ..Form::default() })
    }
}

impl Wells {
    /// `omega` and `m` linear in `k = 0..=steps`.
    pub fn linear(steps: usize, h: f64, d: usize, omega: (f64, f64), mean: (f64, f64)) -> Self {
        let line = |(a, b): (f64, f64)| (0..=steps).map(|k| a + (b - a) * k as f64 / steps as f64).collect();
        Wells { omega: line(omega), mean: line(mean), d, h }
    }

    pub fn steps(&self) -> usize {
        self.omega.len() - 1
    }

    /// `log(Z_K/Z_0)`.
    pub fn log_z(&self) -> f64 {
        0.5 * self.d as f64 * (self.omega[0] / self.omega[self.steps()]).ln()
    }

    /// `log E exp(q A)`; `None` if it is infinite.
    pub fn log_moment(&self, rule: Rule, q: f64) -> Option<f64> {
        let along = self.log_moment_1d(rule, q, &self.mean)?;
        let across = self.log_moment_1d(rule, q, &vec![0.0; self.mean.len()])?;
        Some(along + (self.d - 1) as f64 * across)
    }

    fn log_moment_1d(&self, rule: Rule, q: f64, mean: &[f64]) -> Option<f64> {
        let (h, last) = (self.h, self.steps());
        let energy = |k: usize| (self.omega[k], [1.0, 0.0, -mean[k]]);
        let mut form = Form { c: 0.5 * (self.omega[0] / std::f64::consts::TAU).ln(), ..Form::default() };
        form.square(energy(0).0, energy(0).1);
        for k in 0..last {
            let (w, next) = (self.omega[k], self.omega[k + 1]);
            let forward = [h * w - 1.0, 1.0, -h * w * mean[k]];
            let backward = [1.0, h * next - 1.0, -h * next * mean[k + 1]];
            let at = |k: usize, [a, b]: [f64; 2]| [a, b, -mean[k]];
            form.square(0.5 / h, forward);
            form.c -= 0.5 * (2.0 * std::f64::consts::TAU * h).ln();
            match rule {
                Rule::Exact => {
                    form.square(-q * 0.5 / h, forward);
                    form.square(q * 0.5 / h, backward);
                    form.square(-q * w, at(k, [1.0, 0.0]));
                    form.square(q * next, at(k + 1, [0.0, 1.0]));
                }
                Rule::WorkOnly => {
                    for end in [[1.0, 0.0], [0.0, 1.0]] {
                        form.square(-0.5 * q * w, at(k, end));
                        form.square(0.5 * q * next, at(k + 1, end));
                    }
                }
                Rule::Aliased => {
                    form.square(-q * (w + 0.5 * h * w * w), at(k, [0.0, 1.0]));
                    form.square(q * (next + 0.5 * h * next * next), at(k + 1, [0.0, 1.0]));
                }
            }
            form = form.integrate()?;
        }
        form.integrate().map(|done| done.c)
    }

    /// `R = E exp(2A) / (E exp A)^2`; infinite if the weights have no variance.
    pub fn r(&self, rule: Rule) -> f64 {
        let moments = self.log_moment(rule, 2.0).zip(self.log_moment(rule, 1.0));
        moments.map_or(f64::INFINITY, |(second, first)| (second - 2.0 * first).exp())
    }

    /// Standard error of `log Z` from `n` walkers.
    pub fn se(&self, rule: Rule, n: usize) -> f64 {
        ((self.r(rule) - 1.0) / n as f64).sqrt()
    }

    /// Variance across the axis of motion of walkers without weights.
    pub fn unweighted_variance(&self) -> f64 {
        let step = |v: f64, w: &f64| (1.0 - self.h * w).powi(2) * v + 2.0 * self.h;
        self.omega[..self.steps()].iter().fold(1.0 / self.omega[0], step)
    }
}
