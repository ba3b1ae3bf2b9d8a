//! Small symmetric matrices in f64, row-major `[d, d]`.

use faer::{Mat, Side};

/// Lower triangle `L` with `L L' = a`; `None` if `a` is not positive definite.
pub(super) fn cholesky(a: &[f64], d: usize) -> Option<Vec<f64>> {
    let mut l = vec![0.0; d * d];
    for i in 0..d {
        for j in 0..=i {
            let dot: f64 = (0..j).map(|k| l[i * d + k] * l[j * d + k]).sum();
            let rest = a[i * d + j] - dot;
            if i == j {
                // What is left of a singular matrix is rounding of either sign.
                if rest.is_nan() || rest <= a[i * d + i].abs() * f64::EPSILON * d as f64 {
                    return None;
                }
                l[i * d + i] = rest.sqrt();
            } else {
                l[i * d + j] = rest / l[j * d + j];
            }
        }
    }
    Some(l)
}

/// `y` with `L y = x`.
pub(super) fn solve_lower(l: &[f64], x: &[f64]) -> Vec<f64> {
    let d = x.len();
    let mut y: Vec<f64> = Vec::with_capacity(d);
    for i in 0..d {
        let dot: f64 = y.iter().enumerate().map(|(k, y)| l[i * d + k] * y).sum();
        y.push((x[i] - dot) / l[i * d + i]);
    }
    y
}

/// `y` with `L' y = x`.
pub(super) fn solve_upper(l: &[f64], x: &[f64]) -> Vec<f64> {
    let d = x.len();
    let mut y = vec![0.0; d];
    for i in (0..d).rev() {
        let dot: f64 = (i + 1..d).map(|k| l[k * d + i] * y[k]).sum();
        y[i] = (x[i] - dot) / l[i * d + i];
    }
    y
}

/// Matrix times vector.
pub(super) fn times(a: &[f64], x: &[f64]) -> Vec<f64> {
    a.chunks_exact(x.len()).map(|row| row.iter().zip(x).map(|(a, x)| a * x).sum()).collect()
}

/// Matrix product `a b`.
pub(super) fn product(a: &[f64], b: &[f64], d: usize) -> Vec<f64> {
    let entry = |i: usize, j: usize| (0..d).map(|k| a[i * d + k] * b[k * d + j]).sum();
    (0..d * d).map(|at| entry(at / d, at % d)).collect()
}

/// Transpose.
pub(super) fn transposed(a: &[f64], d: usize) -> Vec<f64> {
    (0..d * d).map(|at| a[at % d * d + at / d]).collect()
}

/// The identity.
pub(super) fn identity(d: usize) -> Vec<f64> {
    (0..d * d).map(|at| f64::from(u8::from(at / d == at % d))).collect()
}

/// Root of the sum of squares.
pub(super) fn norm(a: &[f64]) -> f64 {
    a.iter().map(|a| a * a).sum::<f64>().sqrt()
}

pub(super) fn is_diagonal(a: &[f64], d: usize) -> bool {
    (0..d * d).all(|at| at / d == at % d || a[at] == 0.0)
}

pub(super) fn is_multiple_of_identity(a: &[f64], d: usize) -> bool {
    is_diagonal(a, d) && (0..d).all(|i| a[i * d + i] == a[0])
}

/// Orthonormal eigenvectors as columns `[d, d]`; `None` if the iteration does not converge.
pub(super) fn eigenvectors(a: &[f64], d: usize) -> Option<Vec<f64>> {
    let matrix = Mat::from_fn(d, d, |i, j| a[i * d + j]);
    let eigen = matrix.self_adjoint_eigen(Side::Lower).ok()?;
    Some((0..d * d).map(|at| eigen.U()[(at / d, at % d)]).collect())
}
