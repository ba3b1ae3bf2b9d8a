//! Systems of equations along an axis.

use crate::graph::Shape;

/// Thomas' elimination in each line: no pivoting, so a pivot of zero gives infinities, here as on a device.
pub(super) fn tridiagonal([lower, diag, upper]: [&[f64]; 3], right: &[f64], shape: &Shape, axis: usize) -> Vec<f64> {
    let (length, stride) = (shape[axis], shape.strides()[axis]);
    let mut x = right.to_vec();
    let mut ratio = vec![0.0; x.len()];
    for i in 0..x.len() {
        let first = (i / stride).is_multiple_of(length);
        let (before, above) = if first { (0.0, 0.0) } else { (x[i - stride], ratio[i - stride]) };
        let below = if first { 0.0 } else { lower[i] };
        let pivot = diag[i] - below * above;
        x[i] = (x[i] - below * before) / pivot;
        ratio[i] = upper[i] / pivot;
    }
    for i in (0..x.len()).rev().filter(|i| (i / stride) % length + 1 < length) {
        x[i] -= ratio[i] * x[i + stride];
    }
    x
}
