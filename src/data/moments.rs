//! Mean and covariance of rows, in f64.

use faer::linalg::matmul::triangular::{self, BlockStructure};
use faer::{Accum, Mat, Par};

/// Rows that are centred at a time: long tables need no second copy.
const ROWS: usize = 4096;

/// Mean `[d]` and covariance `[d, d]` of rows `x [n, d]`, divided by `n`: the Gaussian of greatest likelihood. A last row that is
/// not whole is left out; without rows the means are NaN.
///
/// ```
/// let (mean, covariance) = ergodic::data::moments(&[0.0, 1.0, 2.0, 5.0], 2);
/// assert_eq!(mean, [1.0, 3.0]);
/// assert_eq!(covariance, [1.0, 2.0, 2.0, 4.0]);
/// ```
pub fn moments(x: &[f32], d: usize) -> (Vec<f64>, Vec<f64>) {
    let (mean, lower) = mean_and_lower(x, d);
    let covariance = (0..d * d).map(|at| lower[((at / d).max(at % d), (at / d).min(at % d))]).collect();
    (mean, covariance)
}

/// [`moments`], of the covariance the lower triangle; what is above it stays zero.
pub(super) fn mean_and_lower(x: &[f32], d: usize) -> (Vec<f64>, Mat<f64>) {
    let n = (x.len() / d.max(1)) as f64;
    let (mut mean, mut covariance) = (vec![0.0; d], Mat::zeros(d, d));
    if d == 0 {
        return (mean, covariance);
    }
    for row in x.chunks_exact(d) {
        mean.iter_mut().zip(row).for_each(|(sum, v)| *sum += f64::from(*v));
    }
    mean.iter_mut().for_each(|sum| *sum /= n);
    let (lower, whole) = (BlockStructure::TriangularLower, BlockStructure::Rectangular);
    for rows in x.chunks(ROWS * d) {
        let off = Mat::from_fn(d, rows.len() / d, |j, i| f64::from(rows[i * d + j]) - mean[j]);
        triangular::matmul(&mut covariance, lower, Accum::Add, &off, whole, off.transpose(), whole, 1.0 / n, Par::Seq);
    }
    (mean, covariance)
}
