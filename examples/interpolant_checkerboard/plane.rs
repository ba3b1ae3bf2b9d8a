//! Samples against a mixture in more than one dimension: its axes one by one, and the density in the plane of the first two.

use ergodic::Result;
use ergodic::dynamics::Estimate;
use ergodic::methods::interpolant::{GaussianMixture, cross_entropy};
use ergodic::random::RngKey;
use std::f64::consts::TAU;

/// Most points of either kind in an estimate of the density: the work is their product.
const MOST: usize = 5000;

/// The distribution of some coordinates of a mixture.
pub fn marginal(mixture: &GaussianMixture, coordinates: &[usize]) -> Result<GaussianMixture> {
    let (d, modes) = (mixture.d(), 0..mixture.n_modes());
    let mean = |k: usize| coordinates.iter().map(|&c| mixture.mode_mean(k)[c]).collect();
    let pairs: Vec<_> = coordinates.iter().flat_map(|&i| coordinates.iter().map(move |&j| i * d + j)).collect();
    let covariance = |k: usize| pairs.iter().map(|&at| mixture.mode_covariance(k)[at]).collect();
    let means: Vec<Vec<f64>> = modes.clone().map(mean).collect();
    let covariances: Vec<Vec<f64>> = modes.map(covariance).collect();
    GaussianMixture::new(mixture.weights(), &means, &covariances)
}

/// Gaussian kernels of the width that Scott's rule gives, `n^(-1/6)` of the spread, with its correlation.
struct Kernels {
    points: Vec<[f64; 2]>,
    /// Inverse of the covariance of a kernel: `[xx, xy, yy]`.
    inverse: [f64; 3],
    log_norm: f64,
}

impl Kernels {
    fn new(points: Vec<[f64; 2]>) -> Self {
        let n = points.len() as f64;
        let mean = [0, 1].map(|c| points.iter().map(|p| p[c]).sum::<f64>() / n);
        let moment =
            |i: usize, j: usize| points.iter().map(|p| (p[i] - mean[i]) * (p[j] - mean[j])).sum::<f64>() / (n - 1.0);
        let scale = n.powf(-1.0 / 3.0);
        let [a, b, c] = [moment(0, 0), moment(0, 1), moment(1, 1)].map(|v| v * scale);
        let det = a * c - b * b;
        Kernels { points, inverse: [c / det, -b / det, a / det], log_norm: -(n * TAU * det.sqrt()).ln() }
    }

    fn log_density(&self, x: [f64; 2]) -> f64 {
        let [a, b, c] = self.inverse;
        let term = |p: &[f64; 2]| {
            let (u, v) = (x[0] - p[0], x[1] - p[1]);
            (-0.5 * (a * u * u + 2.0 * b * u * v + c * v * v)).exp()
        };
        self.points.iter().map(term).sum::<f64>().max(f64::MIN_POSITIVE).ln() + self.log_norm
    }
}

/// `KL(rho | kernels of x)` in the plane of the first two coordinates of `x [n, d]`, as the mean of `r - 1 - log r` over fresh
/// points of `rho`, `r` the ratio of the densities: `r - 1` has mean 0 and takes most of the noise away.
///
/// Kernels widen what they stand for, so the estimate of perfect samples is not 0; see [`control`].
pub fn divergence(target: &GaussianMixture, x: &[f32], key: RngKey) -> Result<Estimate> {
    let (d, plane) = (target.d(), marginal(target, &[0, 1])?);
    let pair = |row: &[f32]| [f64::from(row[0]), f64::from(row[1])];
    let kernels = Kernels::new(x.chunks_exact(d).take(MOST).map(pair).collect());
    let fresh = plane.sample(MOST.min(kernels.points.len()), key);
    let term = |row: &[f32]| {
        let x = pair(row);
        let log_ratio = kernels.log_density(x) - plane.log_density(&x);
        -(log_ratio.exp_m1() - log_ratio)
    };
    Ok(cross_entropy(&fresh.chunks_exact(2).map(term).collect::<Vec<_>>()))
}

/// The same of as many draws of the target itself.
pub fn control(target: &GaussianMixture, n: usize, key: RngKey) -> Result<Estimate> {
    divergence(target, &target.sample(n.min(MOST), key.fold_in(1)), key.fold_in(2))
}
