//! Energies with parameters, and those whose partition function is known.

use crate::error::{Error, Result};
use crate::graph::Var;
use crate::random::RngKey;
use std::f64::consts::TAU;

/// The most evenly spread sequence of fractions is that of multiples of this.
const GOLDEN: f64 = 0.618_033_988_749_894_9;

/// A family of energies `U_theta(x)`; the model is `exp(-U_theta(x)/T) / Z`.
pub trait Energy {
    /// Number of parameters, `P`.
    fn n_params(&self) -> usize;

    /// Number of dimensions, `d`.
    fn n_dims(&self) -> usize;

    /// One energy a row, `[n]`, of parameters `theta [P]` and positions `x [n, d]`. Rows must not mix.
    ///
    /// # Errors
    /// What building the graph refuses.
    fn energy<'g>(&self, theta: Var<'g>, x: Var<'g>) -> Result<Var<'g>>;

    /// A scalar function of the parameters that is added to the cross-entropy; `None` is 0.
    ///
    /// # Errors
    /// What building the graph refuses.
    fn regulariser<'g>(&self, _theta: Var<'g>) -> Result<Option<Var<'g>>> {
        Ok(None)
    }
}

/// A mixture of `K` Gaussians of unit covariance with movable means and masses.
///
/// ```text
/// U(x) = -log sum_k exp(-|x - m_k|^2/2 - z_k),   z_0 = 0        Z = (2 pi)^(d/2) sum_k exp(-z_k)
/// ```
///
/// Parameters: `m_0 .. m_(K-1)` (each `d`), then `z_1 .. z_(K-1)`. At temperature 1 the mass of mode `k` is `exp(-z_k)` over
/// the sum.
///
/// ```
/// use ergodic::methods::ebm::{Energy, Mixture};
/// let wells = Mixture::new(2, 3)?;
/// let theta = wells.parameters(&[vec![-1.0, 0.0, 0.0], vec![1.0, 0.0, 0.0]], &[0.25, 0.75])?;
/// assert_eq!(wells.n_params(), 7);
/// assert!((wells.masses(&theta)[0] - 0.25).abs() < 1e-7);
/// # Ok::<(), ergodic::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mixture {
    modes: usize,
    d: usize,
}

impl Mixture {
    /// `modes` Gaussians in `d` dimensions.
    ///
    /// # Errors
    /// [`Error::Invalid`] if either is 0.
    pub fn new(modes: usize, d: usize) -> Result<Self> {
        if modes == 0 || d == 0 {
            let got = format!("{modes} in {d} dimensions");
            return Err(Error::Invalid { what: "number of modes", got, want: "at least 1 in at least 1 dimension" });
        }
        Ok(Mixture { modes, d })
    }

    /// The parameters that put these masses at these means.
    ///
    /// # Errors
    /// [`Error::Shape`] unless there is one mean of `d` components and one positive mass a mode.
    pub fn parameters(&self, means: &[Vec<f64>], masses: &[f64]) -> Result<Vec<f32>> {
        let fits = means.len() == self.modes && masses.len() == self.modes && means.iter().all(|m| m.len() == self.d);
        if !fits || masses.iter().any(|&m| m.is_nan() || m <= 0.0) {
            let got = format!("{} means and masses {masses:?}", means.len());
            let want = format!("{} means of {} components and as many positive masses", self.modes, self.d);
            return Err(Error::Shape { op: "Mixture::parameters", got, want, at: None });
        }
        let levels = masses[1..].iter().map(|m| -(m / masses[0]).ln());
        Ok(means.iter().flatten().copied().chain(levels).map(|v| v as f32).collect())
    }

    /// Mean of mode `k`, `[d]`.
    pub fn mean<'t>(&self, theta: &'t [f32], k: usize) -> &'t [f32] {
        &theta[k * self.d..(k + 1) * self.d]
    }

    /// Relative mass of each mode, of sum 1, by the parameters alone.
    pub fn masses(&self, theta: &[f32]) -> Vec<f64> {
        let terms = self.boltzmann_factors(theta);
        let total: f64 = terms.iter().sum();
        terms.iter().map(|t| t / total).collect()
    }

    /// `log Z` at temperature 1.
    pub fn log_z(&self, theta: &[f32]) -> f64 {
        0.5 * self.d as f64 * TAU.ln() + self.boltzmann_factors(theta).iter().sum::<f64>().ln()
    }

    /// `U(x)` of one point, in f64.
    pub fn energy_at(&self, theta: &[f32], x: &[f64]) -> f64 {
        let terms: Vec<_> = (0..self.modes).map(|k| self.log_term(theta, x, k)).collect();
        let top = terms.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        -(top + terms.iter().map(|t| (t - top).exp()).sum::<f64>().ln())
    }

    /// The mode of largest responsibility for each row of `x [n, d]`.
    pub fn assign(&self, theta: &[f32], x: &[f32]) -> Vec<usize> {
        let best = |row: &[f32]| {
            let row: Vec<_> = row.iter().map(|&v| f64::from(v)).collect();
            let terms = (0..self.modes).map(|k| (self.log_term(theta, &row, k), k));
            terms.max_by(|a, b| a.0.total_cmp(&b.0)).map_or(0, |t| t.1)
        };
        x.chunks_exact(self.d).map(best).collect()
    }

    /// `n` draws from the model at temperature 1, `[n, d]`.
    ///
    /// Each is exact; the modes of all are spread evenly (a golden-ratio sequence with a random start), in every block of
    /// rows. Where walkers never change wells the fractions they start with are the answer's noise, and this takes most of
    /// it away; standard errors that suppose independent walkers are upper bounds.
    pub fn sample(&self, theta: &[f32], n: usize, key: RngKey) -> Vec<f32> {
        let [which, noise] = key.split();
        let mut x = vec![0.0; n * self.d];
        noise.fill_normal(0, self.d, &mut x);
        let masses = self.masses(theta);
        for (i, row) in x.chunks_exact_mut(self.d).enumerate() {
            let u = (f64::from(which.uniform(0, 0, 0)) + i as f64 * GOLDEN).fract();
            let (mut sum, mut k) = (masses[0], 0);
            while sum < u && k + 1 < self.modes {
                k += 1;
                sum += masses[k];
            }
            row.iter_mut().zip(self.mean(theta, k)).for_each(|(x, m)| *x += m);
        }
        x
    }

    fn level(&self, theta: &[f32], k: usize) -> f64 {
        if k == 0 { 0.0 } else { f64::from(theta[self.modes * self.d + k - 1]) }
    }

    fn log_term(&self, theta: &[f32], x: &[f64], k: usize) -> f64 {
        let square: f64 = x.iter().zip(self.mean(theta, k)).map(|(x, &m)| (x - f64::from(m)).powi(2)).sum();
        -0.5 * square - self.level(theta, k)
    }

    fn boltzmann_factors(&self, theta: &[f32]) -> Vec<f64> {
        (0..self.modes).map(|k| (-self.level(theta, k)).exp()).collect()
    }
}

impl Energy for Mixture {
    fn n_params(&self) -> usize {
        self.modes * self.d + self.modes - 1
    }

    fn n_dims(&self) -> usize {
        self.d
    }

    fn energy<'g>(&self, theta: Var<'g>, x: Var<'g>) -> Result<Var<'g>> {
        let well = |k: usize| {
            let bowl = (x - theta.narrow(0, k * self.d, self.d)).square().sum(1) * 0.5;
            if k == 0 { bowl } else { bowl + theta.narrow(0, self.modes * self.d + k - 1, 1) }
        };
        // Two at a time, -log(e^-a + e^-b) = a - softplus(a - b): smooth, no overflow, no maximum over an axis.
        Ok((1..self.modes).map(well).fold(well(0), |total, next| total - (total - next).softplus()))
    }
}

/// One Gaussian well that can be stiffened and moved: `U(x) = w |x - m e_1|^2 / 2`, parameters `(w, m)`.
///
/// `Z = (2 pi / w)^(d/2)`; every average along a path of `(w, m)` is known, which makes it a measure of weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quadratic {
    /// Number of dimensions.
    pub d: usize,
}

impl Quadratic {
    /// `log Z` at temperature 1 and stiffness `w`.
    pub fn log_z(&self, w: f64) -> f64 {
        0.5 * self.d as f64 * (TAU / w).ln()
    }

    /// `n` independent draws at `(w, m)`, `[n, d]`.
    pub fn sample(&self, w: f32, m: f32, n: usize, key: RngKey) -> Vec<f32> {
        let mut x = vec![0.0; n * self.d];
        key.fill_normal(0, self.d, &mut x);
        x.iter_mut().for_each(|v| *v /= w.sqrt());
        x.chunks_exact_mut(self.d.max(1)).for_each(|row| row[0] += m);
        x
    }
}

impl Energy for Quadratic {
    fn n_params(&self) -> usize {
        2
    }

    fn n_dims(&self) -> usize {
        self.d
    }

    fn energy<'g>(&self, theta: Var<'g>, x: Var<'g>) -> Result<Var<'g>> {
        let centre = theta.narrow(0, 1, 1).pad([0], [self.d]);
        Ok((x - centre).square().sum(1) * theta.narrow(0, 0, 1) * 0.5)
    }
}
