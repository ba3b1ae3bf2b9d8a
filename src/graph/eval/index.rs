//! Operations that look elements up.

use crate::error::{Error, Result};
use crate::graph::{Binary, DType, Shape, binary_f64};

pub(super) fn gather(data: &[f64], from: &Shape, index: &[f64]) -> Result<Vec<f64>> {
    let row: usize = from[1..].iter().product();
    if from[0] == 0 && !index.is_empty() {
        return Err(Error::Invalid { what: "the number of rows to gather from", got: "0".into(), want: "1 or more" });
    }
    let rows = index.iter().map(|&i| (i as usize).min(from[0] - 1) * row);
    Ok(rows.flat_map(|at| &data[at..at + row]).copied().collect())
}

/// Indices are clamped as in `gather`, so that each is the other's transpose for every index.
pub(super) fn scatter_add(data: &[f64], index: &[f64], shape: &Shape, dtype: DType) -> Vec<f64> {
    let row: usize = shape[1..].iter().product();
    let mut out = vec![0.0; shape.numel()];
    if out.is_empty() {
        return out;
    }
    for (source, &i) in data.chunks_exact(row).zip(index) {
        let at = (i as usize).min(shape[0] - 1) * row;
        for (sum, &x) in out[at..at + row].iter_mut().zip(source) {
            *sum = binary_f64(Binary::Add, *sum, x, dtype);
        }
    }
    out
}

pub(super) fn search_sorted(ascending: &[f64], queries: &[f64]) -> Vec<f64> {
    queries.iter().map(|query| ascending.partition_point(|x| x < query) as f64).collect()
}
