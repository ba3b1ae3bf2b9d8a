//! Operations that combine elements along axes.

use super::views::walk;
use crate::graph::{Binary, Boundary, DType, Shape, Tap, binary_f64};

/// Fold the elements that share an index on the kept axes.
fn fold(data: &[f64], from: &Shape, axes: &[usize], first: f64, f: impl Fn(f64, f64) -> f64) -> Vec<f64> {
    let kept = from.without(axes);
    let mut strides = kept.strides().into_iter();
    let along: Vec<_> =
        (0..from.len()).map(|axis| if axes.contains(&axis) { 0 } else { strides.next().unwrap_or(0) }).collect();
    let mut out = vec![first; kept.numel()];
    let mut source = data.iter();
    walk(from, &along, 0, |at| {
        if let Some(&x) = source.next() {
            out[at] = f(out[at], x);
        }
    });
    out
}

pub(super) fn sum(data: &[f64], from: &Shape, axes: &[usize], dtype: DType) -> Vec<f64> {
    fold(data, from, axes, 0.0, |total, x| binary_f64(Binary::Add, total, x, dtype))
}

/// The maximum of nothing is the least value of the type. NaN is passed on, as it is by arithmetic.
pub(super) fn max(data: &[f64], from: &Shape, axes: &[usize], dtype: DType) -> Vec<f64> {
    let least = if dtype == DType::F32 { f64::NEG_INFINITY } else { 0.0 };
    fold(data, from, axes, least, |top, x| if x > top || x.is_nan() { x } else { top })
}

pub(super) fn cumsum(data: &[f64], shape: &Shape, axis: usize, dtype: DType) -> Vec<f64> {
    let stride = shape.strides()[axis];
    let mut out = data.to_vec();
    for i in 0..out.len() {
        if !(i / stride).is_multiple_of(shape[axis]) {
            out[i] = binary_f64(Binary::Add, out[i - stride], out[i], dtype);
        }
    }
    out
}

pub(super) fn matmul(a: &[f64], b: &[f64], shape: &Shape) -> Vec<f64> {
    let (n, m) = (shape[0], shape[1]);
    let mut out = vec![0.0; n * m];
    if n * m == 0 {
        return out;
    }
    let inner = a.len() / n;
    for (i, row) in out.chunks_exact_mut(m).enumerate() {
        for (x, right) in a[i * inner..(i + 1) * inner].iter().zip(b.chunks_exact(m)) {
            for (sum, y) in row.iter_mut().zip(right) {
                *sum += x * y;
            }
        }
    }
    out
}

pub(super) fn stencil(data: &[f64], shape: &Shape, taps: &[Tap], boundary: Boundary) -> Vec<f64> {
    let strides = shape.strides();
    let source = |cell: usize, tap: &Tap| -> Option<usize> {
        let first = shape.len() - tap.offset.len();
        tap.offset.iter().enumerate().try_fold(cell, |at, (k, &offset)| {
            let (len, stride) = (shape[first + k] as i64, strides[first + k]);
            let here = (cell / stride) as i64 % len;
            let there = match boundary {
                Boundary::Periodic => (here + i64::from(offset)).rem_euclid(len),
                Boundary::Zero => here + i64::from(offset),
            };
            (0..len).contains(&there).then(|| at - here as usize * stride + there as usize * stride)
        })
    };
    let value = |cell| taps.iter().filter_map(|tap| Some(tap.weight() * data[source(cell, tap)?])).sum();
    (0..data.len()).map(value).collect()
}
