//! How far two samples are from each other, where neither has a density: ranks on a line, and lines through the cloud.

use crate::random::RngKey;
use crate::{Error, Result};

fn sorted(x: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut x: Vec<f64> = x.collect();
    x.sort_by(f64::total_cmp);
    x
}

/// The largest difference between the distribution functions of two samples (Kolmogorov and Smirnov), 0 to 1.
///
/// Two samples of one law are further apart than `1.63 sqrt(1/n + 1/m)` once in a hundred times.
///
/// ```
/// use ergodic::data::distance;
/// assert_eq!(distance::kolmogorov_smirnov(&[1.0, 2.0, 3.0, 4.0], &[1.5, 2.5, 9.0, 9.0]), 0.5);
/// ```
pub fn kolmogorov_smirnov(x: &[f64], y: &[f64]) -> f64 {
    let (x, y) = (sorted(x.iter().copied()), sorted(y.iter().copied()));
    let (mut i, mut j, mut most) = (0, 0, 0f64);
    while i < x.len() && j < y.len() {
        // Equal values are passed together, or ties would count as a difference.
        let at = x[i].min(y[j]);
        i += x[i..].iter().take_while(|v| **v <= at).count();
        j += y[j..].iter().take_while(|v| **v <= at).count();
        most = most.max((i as f64 / x.len() as f64 - j as f64 / y.len() as f64).abs());
    }
    most
}

/// Sliced Wasserstein distance of two samples of one size, in their unit: the root of the mean over random directions of the
/// mean squared difference between projections of equal rank.
///
/// It is 0 only for equal samples; between two samples of one law it is of the order `n^-1/2`, so show that beside it.
///
/// ```
/// use ergodic::{data::distance::sliced_w2, random::RngKey};
/// let x = [0.0, 0.0, 1.0, 0.0, 5.0, 2.0];
/// let moved = [3.0, 4.0, 4.0, 4.0, 8.0, 6.0];
/// // A shift by 5 in the plane is 5 cos(angle) along a direction: 5 / sqrt(2) in the mean of squares, here of 400 directions.
/// let found = sliced_w2(&x, &moved, 2, 400, RngKey::new(1)).unwrap();
/// assert!((found / (5.0 / 2f64.sqrt()) - 1.0).abs() < 0.1);
/// ```
///
/// # Errors
/// [`Error::Shape`] for samples that are not rows of `d`, or not as many; [`Error::Invalid`] for no directions.
///
/// Source: Bonneel, Rabin, Peyre and Pfister, J. Math. Imaging Vis. 51, 22 (2015).
pub fn sliced_w2(x: &[f32], y: &[f32], d: usize, directions: usize, key: RngKey) -> Result<f64> {
    if d == 0 || x.is_empty() || x.len() != y.len() || !x.len().is_multiple_of(d) {
        let (got, want) = (format!("{} and {} values", x.len(), y.len()), format!("as many rows of {d} in both"));
        return Err(Error::Shape { op: "sliced_w2", got, want, at: None });
    }
    if directions == 0 {
        return Err(Error::Invalid { what: "number of directions", got: "0".into(), want: "at least 1" });
    }
    let mut sum = 0.0;
    for k in 0..directions as u32 {
        let mut along: Vec<f64> = (0..d as u32).map(|c| f64::from(key.normal(k, c, 0))).collect();
        let length = along.iter().map(|v| v * v).sum::<f64>().sqrt();
        along.iter_mut().for_each(|v| *v /= length);
        let shadow = |x: &[f32]| {
            let dot = |row: &[f32]| row.iter().zip(&along).map(|(v, a)| f64::from(*v) * a).sum();
            sorted(x.chunks_exact(d).map(dot))
        };
        let (x, y) = (shadow(x), shadow(y));
        sum += x.iter().zip(&y).map(|(a, b)| (a - b).powi(2)).sum::<f64>() / x.len() as f64;
    }
    Ok((sum / directions as f64).sqrt())
}
