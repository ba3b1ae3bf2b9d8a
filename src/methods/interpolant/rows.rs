//! Points on the host, for what is compiled for so many rows.

use super::source::Source;
use crate::error::{Error, Result};
use crate::gpu::{Gpu, Tensor};

/// `each` of the parts of `x [n, d]` as a tensor `[rows, d]`, with how many of its rows are meant: the last part is filled up with
/// copies of its first row.
///
/// # Errors
/// [`Error::Shape`] for values that are not rows of `d`; what `each` says.
pub(super) fn in_parts(
    gpu: &Gpu,
    x: &[f32],
    (rows, d): (usize, usize),
    mut each: impl FnMut(&Tensor, usize) -> Result<()>,
) -> Result<()> {
    if !x.len().is_multiple_of(d.max(1)) {
        let got = format!("{} values", x.len());
        return Err(Error::Shape { op: "points", got, want: format!("rows of {d}"), at: None });
    }
    for part in x.chunks((rows * d).max(1)) {
        let mut full = part.to_vec();
        while full.len() < rows * d {
            full.extend_from_within(..d);
        }
        each(&Tensor::from_slice(gpu, "points", &[rows, d], &full)?, part.len() / d)?;
    }
    Ok(())
}

/// `log rho` of points `x [n, d]`, nats.
///
/// # Errors
/// [`Error::Invalid`] for data, whose density is not known.
pub(super) fn log_densities(source: &Source, x: &[f32]) -> Result<Vec<f64>> {
    let own = |row: &[f32]| source.log_density(&row.iter().map(|&v| f64::from(v)).collect::<Vec<_>>());
    let all: Option<Vec<_>> = x.chunks_exact(source.d().max(1)).map(own).collect();
    all.ok_or_else(|| {
        let got = "data, whose own is not known".to_string();
        Error::Invalid { what: "density at the start", got, want: "a normal, a mixture or a checkerboard" }
    })
}
