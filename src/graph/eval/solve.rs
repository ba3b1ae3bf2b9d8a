//! Systems of equations along an axis.

use crate::graph::{Middle, Shape};

/// Thomas' elimination in each line: no pivoting, so a pivot of zero gives infinities, here as on a device.
pub(super) fn tridiagonal(
    [lower, middle, upper]: [&[f64]; 3],
    by: Middle,
    right: &[f64],
    (shape, axis): (&Shape, usize),
) -> Vec<f64> {
    let (length, stride) = (shape[axis], shape.strides()[axis]);
    let place = |i: usize| (i / stride) % length;
    let diag = |i: usize| match by {
        Middle::Diagonal => middle[i],
        Middle::RowSum => {
            let below = if place(i) > 0 { lower[i] } else { 0.0 };
            middle[i] - below - if place(i) + 1 < length { upper[i] } else { 0.0 }
        }
    };
    let mut x = right.to_vec();
    let mut ratio = vec![0.0; x.len()];
    for i in 0..x.len() {
        let first = place(i) == 0;
        let (before, above) = if first { (0.0, 0.0) } else { (x[i - stride], ratio[i - stride]) };
        let below = if first { 0.0 } else { lower[i] };
        let pivot = diag(i) - below * above;
        x[i] = (x[i] - below * before) / pivot;
        ratio[i] = upper[i] / pivot;
    }
    for i in (0..x.len()).rev().filter(|i| place(*i) + 1 < length) {
        x[i] -= ratio[i] * x[i + stride];
    }
    x
}
