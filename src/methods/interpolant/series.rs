//! Inverses of a covariance that changes with time, for matrices of any size that share no basis: Chebyshev series in time.
//!
//! `C(t) = alpha^2 C_i + beta^2 C_j + gamma^2` is positive definite on the whole of [0, 1] and, with the schedule, analytic
//! around it: so are its inverse and `log det C`, whose series converge geometrically. They are summed up on the host, in f64,
//! from as many Chebyshev points as it takes; a graph evaluates the polynomials and refines once:
//!
//! ```text
//! P(t) = sum_k T_k(2 t - 1) P_k        u_0 = P y,    u = u_0 + P (y - C(t) u_0)
//! ```
//!
//! so that what the f32 series lacks, at most a thousandth where `C(t)` changes by a factor of 10^4, is left in its square.
//!
//! Source: Trefethen, *Approximation Theory and Approximation Practice*, chapters 3 and 8.

use super::linalg::{cholesky, product, solve_lower, solve_upper};
use super::path::Pair;
use super::schedule::Schedule;
use crate::error::{Error, Result};
use crate::graph::Var;
use std::f64::consts::PI;

/// Most terms of a series: with so many, one covariance is nearly singular at some time.
const TERMS: usize = 256;
/// How far `P C` may be from the identity, in f64.
const RESIDUAL: f64 = 1e-6;

/// Coefficients of the inverse and of `log det`.
#[derive(Clone, Debug)]
pub(super) struct Series {
    pub terms: usize,
    /// `[terms, d d]`.
    pub inverse: Vec<f64>,
    /// `[terms]`.
    pub log_det: Vec<f64>,
}

impl Series {
    /// Of the covariance of a pair.
    pub fn new(pair: &Pair, schedule: &Schedule, d: usize) -> Result<Self> {
        let mut terms = 16;
        while terms <= TERMS {
            let nodes = (0..terms).map(|k| (PI * (k as f64 + 0.5) / terms as f64).cos());
            let values: Option<Vec<_>> = nodes.map(|s| inverted(pair, schedule, 0.5 + 0.5 * s, d)).collect();
            let Some(values) = values else { break };
            let made = Self::through(&values);
            if made.residual(pair, schedule, d) < RESIDUAL {
                return Ok(made);
            }
            terms *= 2;
        }
        let got = format!("two that do not commute, in {d} dimensions, and nearly singular at some time");
        let want = "farther from singular: add a small multiple of the identity";
        Err(Error::Invalid { what: "covariances of a path with noise", got, want })
    }

    /// The polynomial through values at Chebyshev points: each an inverse and, last, its `log det C`.
    fn through(values: &[Vec<f64>]) -> Self {
        let (terms, width) = (values.len(), values[0].len());
        let coefficient = |j: usize| {
            let scale = if j == 0 { 1.0 } else { 2.0 } / terms as f64;
            let mut sum = vec![0.0; width];
            for (k, value) in values.iter().enumerate() {
                let weight = scale * (PI * j as f64 * (k as f64 + 0.5) / terms as f64).cos();
                sum.iter_mut().zip(value).for_each(|(sum, v)| *sum += weight * v);
            }
            sum
        };
        let mut all: Vec<_> = (0..terms).map(coefficient).collect();
        // What is below f32 of the whole need not be evaluated.
        let size = |c: &Vec<f64>| c.iter().map(|v| v.abs()).fold(0.0, f64::max);
        let least = 1e-9 * all.iter().map(size).fold(0.0, f64::max);
        while all.len() > 2 && all.last().is_some_and(|c| size(c) < least) {
            all.pop();
        }
        let log_det = all.iter_mut().filter_map(Vec::pop).collect();
        Series { terms: all.len(), inverse: all.concat(), log_det }
    }

    /// The largest entry of `P C - 1`, and error of `log det`, halfway between points and at both ends.
    fn residual(&self, pair: &Pair, schedule: &Schedule, d: usize) -> f64 {
        let mut worst = 0f64;
        for k in 0..=2 * self.terms {
            let t = k as f64 / (2 * self.terms) as f64;
            let Some(exact) = inverted(pair, schedule, t, d) else { return f64::INFINITY };
            let weights = polynomials(2.0 * t - 1.0, self.terms);
            let entry = |at: usize| weights.iter().enumerate().map(|(k, w)| w * self.inverse[k * d * d + at]).sum();
            let inverse: Vec<f64> = (0..d * d).map(entry).collect();
            let found = product(&inverse, &pair.covariance(&schedule.at(t)), d);
            let off = |at: usize| (found[at] - f64::from(u8::from(at / d == at % d))).abs();
            let log_det: f64 = weights.iter().zip(&self.log_det).map(|(w, c)| w * c).sum();
            worst = (0..d * d).map(off).fold(worst, f64::max).max((log_det - exact[d * d]).abs());
        }
        worst
    }
}

/// `C^-1` and, last, `log det C` at `t`.
fn inverted(pair: &Pair, schedule: &Schedule, t: f64, d: usize) -> Option<Vec<f64>> {
    let factor = cholesky(&pair.covariance(&schedule.at(t)), d)?;
    let column = |i: usize| {
        let unit: Vec<_> = (0..d).map(|j| f64::from(u8::from(i == j))).collect();
        solve_upper(&factor, &solve_lower(&factor, &unit))
    };
    let log_det = 2.0 * (0..d).map(|i| factor[i * d + i].ln()).sum::<f64>();
    Some((0..d).flat_map(column).chain([log_det]).collect())
}

/// `T_0 .. T_(terms - 1)` at `s`.
fn polynomials(s: f64, terms: usize) -> Vec<f64> {
    let mut all = vec![1.0, s];
    for k in 2..terms {
        all.push(2.0 * s * all[k - 1] - all[k - 2]);
    }
    all.truncate(terms);
    all
}

/// The same as nodes side by side, `[1, terms]` for a scalar time and `[n, terms]` for `[n, 1]`.
pub(super) fn weights<'g>(t: Var<'g>, terms: usize) -> Result<Var<'g>> {
    let s = if t.shape().is_empty() { t.reshape([1, 1]) } else { t } * 2.0 - 1.0;
    let mut all = vec![s.zeros_like() + 1.0, s];
    for k in 2..terms {
        all.push(s * 2.0 * all[k - 1] - all[k - 2]);
    }
    let nothing = Error::Invalid { what: "number of terms", got: "0".into(), want: "at least 1" };
    Var::concat(&all[..terms.min(all.len())], 1).ok_or(nothing)
}
