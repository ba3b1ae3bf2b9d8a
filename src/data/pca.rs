//! Principal components in f64: the few directions in which the data vary most.
//!
//! ```text
//! C = 1/n sum_i (x_i - m)(x_i - m)' = V diag(v) V'       v_1 >= v_2 >= ...
//! encode:  z = V_k' (x - m) / s        decode:  x = m + s V_k z         s = sqrt(v_1)
//! ```
//!
//! One factor `s` for all coordinates: the widest has unit variance, the others less, and distances keep their proportions, so
//! isotropic noise of width `w` on `z` is isotropic noise of width `s w` within the subspace of the data. Each component's sign
//! makes its entry of largest magnitude positive, which fixes the coordinates for any solver.
//!
//! Source: Jolliffe, Principal Component Analysis, section 3.1.

use faer::Side;

use super::moments::mean_and_lower;
use crate::{Error, Result};

/// A linear map to the leading `k` components and back.
#[derive(Debug, Clone, PartialEq)]
pub struct Pca {
    /// `[p]`: mean of the data.
    pub mean: Vec<f64>,
    /// `[k, p]`: orthonormal rows, widest first.
    pub components: Vec<f64>,
    /// Standard deviation along the widest component, in units of the data.
    pub scale: f64,
    /// `[p]`: variance along every component, kept or not, in squared units of the data, largest first.
    pub variances: Vec<f64>,
    k: usize,
}

impl Pca {
    /// Fits to `data` `[n, p]`, keeping `k` components.
    ///
    /// Costs `n p^2` multiplications and an eigenvalue problem of size `p`.
    ///
    /// # Errors
    /// [`Error::Shape`] when `data` is not `n` rows of `p`; [`Error::Invalid`] when `k` is 0 or above `p`, fewer than 2 rows are
    /// given, a value is not finite, or all rows are equal.
    ///
    /// ```
    /// use ergodic::data::Pca;
    /// // Points on the diagonal: one direction, and nothing across.
    /// let pca = Pca::fit(&[0.0, 0.0, 1.0, 1.0, 2.0, 2.0], 2, 1).unwrap();
    /// assert!((pca.explained() - 1.0).abs() < 1e-12);
    /// let z = pca.encode(&[2.0, 2.0]);
    /// assert!((z[0] - 1.5f32.sqrt()).abs() < 1e-6);
    /// assert!((pca.decode(&z)[1] - 2.0).abs() < 1e-6);
    /// ```
    pub fn fit(data: &[f32], p: usize, k: usize) -> Result<Self> {
        let n = data.len() / p.max(1);
        check(data, n, p, k)?;
        let (mean, covariance) = mean_and_lower(data, p);
        // A non-finite value is excluded above, and the QR iteration of a finite symmetric matrix converges.
        let eigen = covariance.self_adjoint_eigen(Side::Lower).map_err(|_| not_converged(p))?;
        // Eigenvalues come smallest first; those that are zero come out as rounding of either sign.
        let variances: Vec<f64> = (0..p).rev().map(|j| eigen.S()[j].max(0.0)).collect();
        if variances[0] == 0.0 {
            return Err(Error::Invalid { what: "variance of the data", got: "0".into(), want: "above 0" });
        }
        let mut components = Vec::with_capacity(k * p);
        for j in (p - k..p).rev() {
            let column: Vec<f64> = (0..p).map(|i| eigen.U()[(i, j)]).collect();
            let widest = column.iter().fold(0.0, |best: f64, v| if v.abs() > best.abs() { *v } else { best });
            components.extend(column.iter().map(|v| v * widest.signum()));
        }
        Ok(Self { mean, components, scale: variances[0].sqrt(), variances, k })
    }

    /// Number of data values in a row.
    pub fn p(&self) -> usize {
        self.mean.len()
    }

    /// Number of components kept.
    pub fn k(&self) -> usize {
        self.k
    }

    /// The part of the total variance that lies in the kept components, 0 to 1.
    pub fn explained(&self) -> f64 {
        self.variances[..self.k].iter().sum::<f64>() / self.variances.iter().sum::<f64>()
    }

    /// Variance of each coordinate of [`Pca::encode`] on the data, `[k]`: 1 first, then falling.
    pub fn coordinate_variances(&self) -> Vec<f64> {
        self.variances[..self.k].iter().map(|v| v / self.variances[0]).collect()
    }

    /// Coordinates `[n, k]` of rows `[n, p]`; a last row that is not whole is left out.
    pub fn encode(&self, x: &[f32]) -> Vec<f32> {
        // One pixel at a time for all components: each sum keeps its order, and the sums do not wait for their own additions.
        let (p, k) = (self.p(), self.k);
        let by_value: Vec<f64> = (0..p * k).map(|i| self.components[i % k * p + i / k]).collect();
        let mut z = Vec::with_capacity(x.len() / p * k);
        let mut sums = vec![0.0f64; k];
        for row in x.chunks_exact(p) {
            sums.fill(0.0);
            for ((x, m), v) in row.iter().zip(&self.mean).zip(by_value.chunks_exact(k)) {
                let centred = f64::from(*x) - m;
                sums.iter_mut().zip(v).for_each(|(sum, v)| *sum += centred * v);
            }
            z.extend(sums.iter().map(|sum| (sum / self.scale) as f32));
        }
        z
    }

    /// Rows `[n, p]` at coordinates `[n, k]`; a last row that is not whole is left out.
    pub fn decode(&self, z: &[f32]) -> Vec<f32> {
        let mut x = Vec::with_capacity(z.len() / self.k * self.p());
        for z in z.chunks_exact(self.k) {
            let mut row = self.mean.clone();
            for (z, v) in z.iter().zip(self.components.chunks_exact(self.p())) {
                row.iter_mut().zip(v).for_each(|(x, v)| *x += self.scale * f64::from(*z) * v);
            }
            x.extend(row.iter().map(|x| *x as f32));
        }
        x
    }
}

fn check(data: &[f32], n: usize, p: usize, k: usize) -> Result<()> {
    if p == 0 || data.len() != n * p {
        let got = format!("{} values", data.len());
        return Err(Error::Shape { op: "Pca::fit", got, want: format!("rows of {p} values"), at: None });
    }
    if k == 0 || k > p {
        return Err(Error::Invalid {
            what: "number of components",
            got: k.to_string(),
            want: "1 up to the row's length",
        });
    }
    if n < 2 {
        return Err(Error::Invalid { what: "number of rows", got: n.to_string(), want: "at least 2" });
    }
    if let Some(at) = data.iter().position(|x| !x.is_finite()) {
        let got = format!("{} in row {}, column {}", data[at], at / p, at % p);
        return Err(Error::Invalid { what: "value of the data", got, want: "finite" });
    }
    Ok(())
}

fn not_converged(p: usize) -> Error {
    let got = format!("without eigenvalues found ({p} x {p})");
    Error::Invalid { what: "covariance", got, want: "a symmetric matrix whose eigenvalues f64 can hold" }
}
