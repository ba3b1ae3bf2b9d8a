//! Samples whose answers are known: Gaussian mixtures with exact counts in each mode, and their exact density.
//!
//! ```text
//! p(x) = sum_j w_j N(x; m_j, s_j^2 I)
//! ```
//!
//! Counts are stratified: `floor(n w_j)` samples in mode `j`, the rest in the last mode, so that the relative masses of the data
//! carry no sampling error.

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_distr::StandardNormal;

use crate::{Error, Result};

/// A mixture of isotropic Gaussians in `d` dimensions.
#[derive(Debug, Clone, PartialEq)]
pub struct GaussianMixture {
    weights: Vec<f64>,
    means: Vec<Vec<f64>>,
    widths: Vec<f64>,
}

/// Samples with the mode each came from.
#[derive(Debug, Clone, PartialEq)]
pub struct Samples {
    /// `[n, d]`.
    pub x: Vec<f32>,
    /// `[n]`: the mode.
    pub labels: Vec<u32>,
    /// Number of dimensions.
    pub d: usize,
}

impl GaussianMixture {
    /// Modes of relative mass `weights`, at `means`, of standard deviation `widths`. Weights are divided by their sum.
    ///
    /// # Errors
    /// [`Error::Shape`] when the lists differ in length, are empty, or the means differ in dimension; [`Error::Invalid`] for a
    /// weight or width that is not a positive number.
    pub fn new(weights: &[f64], means: &[Vec<f64>], widths: &[f64]) -> Result<Self> {
        let d = means.first().map_or(0, Vec::len);
        let n = means.len();
        if d == 0 || weights.len() != n || widths.len() != n || means.iter().any(|mean| mean.len() != d) {
            let lengths: Vec<usize> = means.iter().map(Vec::len).collect();
            let got = format!("{} weights, {} widths, means of lengths {lengths:?}", weights.len(), widths.len());
            let want = "as many of each, in one dimension of at least 1".into();
            return Err(Error::Shape { op: "GaussianMixture", got, want, at: None });
        }
        for (what, values) in [("mixture weight", weights), ("mixture width", widths)] {
            if let Some(bad) = values.iter().find(|v| !(v.is_finite() && **v > 0.0)) {
                return Err(Error::Invalid { what, got: bad.to_string(), want: "a positive number" });
            }
        }
        let total: f64 = weights.iter().sum();
        let weights = weights.iter().map(|w| w / total).collect();
        Ok(Self { weights, means: means.to_vec(), widths: widths.to_vec() })
    }

    /// Two unit wells on the first axis: `mass` at `a`, the rest at `b`.
    ///
    /// ```
    /// use ergodic::data::GaussianMixture;
    /// let data = GaussianMixture::two_wells(10, -10.0, 6.0, 0.25).unwrap().sample(1001, 7);
    /// assert_eq!(data.labels.iter().filter(|mode| **mode == 0).count(), 250);
    /// ```
    ///
    /// # Errors
    /// As [`GaussianMixture::new`]: `d` above 0, `mass` between 0 and 1.
    pub fn two_wells(d: usize, a: f64, b: f64, mass: f64) -> Result<Self> {
        let on_axis = |at: f64| (0..d).map(|i| if i == 0 { at } else { 0.0 }).collect();
        Self::new(&[mass, 1.0 - mass], &[on_axis(a), on_axis(b)], &[1.0, 1.0])
    }

    /// Number of dimensions.
    pub fn d(&self) -> usize {
        self.means[0].len()
    }

    /// Relative masses of the modes, of sum 1.
    pub fn weights(&self) -> &[f64] {
        &self.weights
    }

    /// How many of `n` samples fall in each mode: `floor(n w_j)`, and what is missing to `n` in the last.
    pub fn counts(&self, n: usize) -> Vec<usize> {
        // 0.1 * 30 is below 3 in f64: a relative 1e-12 repairs it and moves no honest floor.
        let mut counts: Vec<usize> = self.weights.iter().map(|w| (n as f64 * w * (1.0 + 1e-12)) as usize).collect();
        let before_last: usize = counts[..counts.len() - 1].iter().sum();
        if let Some(last) = counts.last_mut() {
            *last = n - before_last.min(n);
        }
        counts
    }

    /// `n` samples in random order, with exactly [`GaussianMixture::counts`] in each mode; equal seeds give equal samples.
    pub fn sample(&self, n: usize, seed: u64) -> Samples {
        let mut rng = StdRng::seed_from_u64(seed);
        let modes = self.counts(n).into_iter().enumerate();
        let mut labels: Vec<u32> = modes.flat_map(|(mode, count)| std::iter::repeat_n(mode as u32, count)).collect();
        labels.shuffle(&mut rng);
        let mut x = Vec::with_capacity(n * self.d());
        for &mode in &labels {
            let (mean, width) = (&self.means[mode as usize], self.widths[mode as usize]);
            x.extend(mean.iter().map(|m| (m + width * rng.sample::<f64, _>(StandardNormal)) as f32));
        }
        Samples { x, labels, d: self.d() }
    }

    /// `ln p(x)` of one point `[d]`, normalised.
    pub fn log_density(&self, x: &[f64]) -> f64 {
        let d = self.d() as f64;
        let terms = self.weights.iter().zip(&self.means).zip(&self.widths).map(|((weight, mean), width)| {
            let squares: f64 = x.iter().zip(mean).map(|(x, m)| ((x - m) / width).powi(2)).sum();
            weight.ln() - squares / 2.0 - d * (width * std::f64::consts::TAU.sqrt()).ln()
        });
        let terms: Vec<f64> = terms.collect();
        let top = terms.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        top + terms.iter().map(|term| (term - top).exp()).sum::<f64>().ln()
    }
}
