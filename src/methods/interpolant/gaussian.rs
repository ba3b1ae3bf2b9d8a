//! Mixtures of Gaussians with full covariances, on the host in f64: densities, draws, moments, entropies.

use super::linalg::{cholesky, solve_lower, times};
use crate::dynamics::Estimate;
use crate::error::{Error, Result};
use crate::gpu::{Gpu, Tensor};
use crate::graph::{Graph, Key, Var};
use crate::plan::{Bindings, CompileOptions, Plan, Session};
use crate::random::RngKey;
use serde::{Deserialize, Serialize};
use std::f64::consts::{SQRT_2, TAU};

/// How far weights may sum from 1: presets write thirds as decimals.
const WEIGHT_SUM: f64 = 1e-6;
/// What the key is folded with to choose modes; normals use the key itself.
const MODE: u32 = 1;

/// A mixture as it stands in a preset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MixtureSpec {
    /// One a mode, above 0, of sum 1.
    pub weights: Vec<f64>,
    /// `[modes][d]`.
    pub means: Vec<Vec<f64>>,
    /// Widths of the modes.
    pub covariances: Covariances,
}

/// Covariances of all modes, as short as they can be written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Covariances {
    /// One variance a mode, the same in all directions.
    Isotropic(Vec<f64>),
    /// `[modes][d]` variances along the axes.
    Diagonal(Vec<Vec<f64>>),
    /// `[modes][d][d]`.
    Full(Vec<Vec<Vec<f64>>>),
}

/// `rho(x) = sum_k w_k N(x | m_k, C_k)` in `d` dimensions.
///
/// ```
/// use ergodic::methods::interpolant::GaussianMixture;
/// let wells = GaussianMixture::isotropic(&[0.25, 0.75], &[vec![-2.0], vec![2.0]], &[0.5, 0.5])?;
/// assert_eq!(wells.mean(), [1.0]);
/// assert!((wells.cdf(0.0)? - 0.25).abs() < 0.003);
/// assert!((wells.quantile(wells.cdf(1.3)?)? - 1.3).abs() < 1e-9);
/// # Ok::<(), ergodic::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct GaussianMixture {
    d: usize,
    weights: Vec<f64>,
    means: Vec<Vec<f64>>,
    covariances: Vec<Vec<f64>>,
    /// Lower triangles of the covariances.
    factors: Vec<Vec<f64>>,
}

impl GaussianMixture {
    /// Modes with these weights, means `[modes][d]` and covariances `[modes][d d]`, row-major.
    ///
    /// # Errors
    /// [`Error::Invalid`] for weights that are not positive or do not sum to 1 (within 1e-6; the rest is divided out), values
    /// that are not finite, and covariances that are not symmetric or not positive definite; [`Error::Shape`] for lists of
    /// different lengths.
    pub fn new(weights: &[f64], means: &[Vec<f64>], covariances: &[Vec<f64>]) -> Result<Self> {
        let (d, total) = (check_shapes(weights, means, covariances)?, weights.iter().sum::<f64>());
        if let Some(weight) = weights.iter().find(|w| !(w.is_finite() && **w > 0.0)) {
            let (what, got) = ("weight of a mode", weight.to_string());
            return Err(Error::Invalid { what, got, want: "finite and above 0; leave the mode out instead" });
        }
        if (total - 1.0).abs() > WEIGHT_SUM {
            let got = total.to_string();
            return Err(Error::Invalid {
                what: "sum of the weights of a mixture",
                got,
                want: "1; divide each by their sum",
            });
        }
        if let Some(k) = means.iter().position(|m| m.iter().any(|v| !v.is_finite())) {
            let got = format!("{:?} for mode {k}", means[k]);
            return Err(Error::Invalid { what: "mean of a mode", got, want: "finite" });
        }
        let factors = covariances.iter().enumerate().map(|(k, c)| factor(k, c, d)).collect::<Result<_>>()?;
        let weights = weights.iter().map(|w| w / total).collect();
        Ok(GaussianMixture { d, weights, means: means.to_vec(), covariances: covariances.to_vec(), factors })
    }

    /// Modes as wide in every direction, with one variance each.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn isotropic(weights: &[f64], means: &[Vec<f64>], variances: &[f64]) -> Result<Self> {
        let d = means.first().map_or(0, Vec::len);
        let covariance = |v: &f64| diagonal(&vec![*v; d]);
        Self::new(weights, means, &variances.iter().map(covariance).collect::<Vec<_>>())
    }

    /// The standard normal in `d` dimensions.
    ///
    /// # Errors
    /// [`Error::Shape`] for no dimensions.
    pub fn normal(d: usize) -> Result<Self> {
        Self::isotropic(&[1.0], &[vec![0.0; d]], &[1.0])
    }

    /// Number of dimensions.
    pub fn d(&self) -> usize {
        self.d
    }

    /// Number of modes.
    pub fn n_modes(&self) -> usize {
        self.weights.len()
    }

    /// Weights, of sum 1.
    pub fn weights(&self) -> &[f64] {
        &self.weights
    }

    /// Mean of mode `k`, `[d]`.
    pub fn mode_mean(&self, k: usize) -> &[f64] {
        &self.means[k]
    }

    /// Covariance of mode `k`, `[d d]`.
    pub fn mode_covariance(&self, k: usize) -> &[f64] {
        &self.covariances[k]
    }

    /// `log rho(x)`.
    pub fn log_density(&self, x: &[f64]) -> f64 {
        let terms = (0..self.n_modes())
            .map(|k| self.weights[k].ln() + log_normal(&self.factors[k], &difference(x, &self.means[k])));
        log_sum_exp(&terms.collect::<Vec<_>>())
    }

    /// Mean, `[d]`.
    pub fn mean(&self) -> Vec<f64> {
        let modes = || self.weights.iter().zip(&self.means);
        (0..self.d).map(|c| modes().map(|(w, m)| w * m[c]).sum()).collect()
    }

    /// Covariance, `[d d]`.
    pub fn covariance(&self) -> Vec<f64> {
        let (d, mean) = (self.d, self.mean());
        let mut total = vec![0.0; d * d];
        for ((w, m), c) in self.weights.iter().zip(&self.means).zip(&self.covariances) {
            for at in 0..d * d {
                let (i, j) = (at / d, at % d);
                total[at] += w * (c[at] + (m[i] - mean[i]) * (m[j] - mean[j]));
            }
        }
        total
    }

    /// Probability below `x`, in one dimension.
    ///
    /// # Errors
    /// [`Error::Invalid`] in more dimensions.
    pub fn cdf(&self, x: f64) -> Result<f64> {
        self.one_dimensional()?;
        let below = |k: usize| 0.5 * libm::erfc((self.means[k][0] - x) / (self.factors[k][0] * SQRT_2));
        Ok((0..self.n_modes()).map(|k| self.weights[k] * below(k)).sum())
    }

    /// Where the probability below is `p`, in one dimension, by bisection to the last bit.
    ///
    /// # Errors
    /// [`Error::Invalid`] in more dimensions, or for `p` outside (0, 1).
    pub fn quantile(&self, p: f64) -> Result<f64> {
        if !(p > 0.0 && p < 1.0) {
            return Err(Error::Invalid { what: "probability", got: p.to_string(), want: "between 0 and 1" });
        }
        let (mut low, mut high) = self.support()?;
        while self.cdf(low)? > p {
            low -= high - low;
        }
        while self.cdf(high)? < p {
            high += high - low;
        }
        loop {
            let middle = 0.5 * (low + high);
            if middle <= low || middle >= high {
                return Ok(middle);
            }
            if self.cdf(middle)? < p { low = middle } else { high = middle }
        }
    }

    /// The exact map to another mixture in one dimension, which keeps order: `F_1^-1(F_0(x))`. Every path of this crate has it.
    ///
    /// # Errors
    /// As [`quantile`](Self::quantile).
    pub fn map_to(&self, other: &GaussianMixture, x: f64) -> Result<f64> {
        other.quantile(self.cdf(x)?)
    }

    /// Entropy `-E log rho` in nats, in one dimension, by the trapezoid rule: exact to 1e-10 or so, for a smooth density on
    /// 20,000 points that reach 12 deviations of the outermost modes.
    ///
    /// # Errors
    /// [`Error::Invalid`] in more dimensions; use [`entropy_sampled`](Self::entropy_sampled).
    pub fn entropy(&self) -> Result<f64> {
        let ((low, high), n) = (self.support()?, 20_000);
        let h = (high - low) / f64::from(n);
        let term = |k: i32| {
            let log = self.log_density(&[low + h * f64::from(k)]);
            -log.exp() * log
        };
        Ok((0..=n).map(term).sum::<f64>() * h)
    }

    /// Entropy in nats from `n` draws, with its standard error.
    pub fn entropy_sampled(&self, n: usize, key: RngKey) -> Estimate {
        let draws = self.sample(n, key);
        let wide = |row: &[f32]| row.iter().map(|&v| f64::from(v)).collect::<Vec<_>>();
        let terms: Vec<_> = draws.chunks_exact(self.d).map(|row| -self.log_density(&wide(row))).collect();
        let value = terms.iter().sum::<f64>() / n as f64;
        let spread = terms.iter().map(|t| (t - value).powi(2)).sum::<f64>() / (n as f64 - 1.0);
        Estimate { value, se: (spread / n as f64).sqrt() }
    }

    /// `n` independent draws `[n, d]`; the same as [`draw`](Self::draw) up to rounding.
    pub fn sample(&self, n: usize, key: RngKey) -> Vec<f32> {
        let (which, table) = (key.fold_in(MODE), self.cumulative());
        let mut x = vec![0f32; n * self.d];
        key.fill_normal(0, self.d, &mut x);
        for (i, row) in x.chunks_exact_mut(self.d).enumerate() {
            let u = which.uniform(i as u32, 0, 0);
            let k = table.iter().filter(|&&below| below < u).count();
            let xi: Vec<_> = row.iter().map(|&v| f64::from(v)).collect();
            let moved = times(&self.factors[k], &xi);
            row.iter_mut().zip(moved).zip(&self.means[k]).for_each(|((x, v), m)| *x = (v + m) as f32);
        }
        x
    }

    /// Draws as a graph: `[n, d]` from `key` and the node `table`, which is bound to [`table`](Self::table).
    ///
    /// One tensor a mixture, because kernels may bind only a few.
    ///
    /// # Errors
    /// [`Error::Shape`] for a table of another length.
    pub fn draws<'g>(&self, key: Key<'g>, n: usize, table: Var<'g>) -> Result<Var<'g>> {
        let (d, k, got) = (self.d, self.n_modes(), table.shape());
        if *got != [self.n_table()] {
            let want = format!("[{}], the mixture's table", self.n_table());
            return Err(Error::Shape {
                op: "GaussianMixture::draws",
                got: got.to_string(),
                want,
                at: Some(table.site()),
            });
        }
        let means = table.narrow(0, 0, k * d).reshape([k, d]);
        let factors = table.narrow(0, k * d, k * d * d).reshape([k, d, d]);
        let moved = |factors: Var<'g>| (factors * key.normal([n, d]).reshape([n, 1, d])).sum(2);
        if k == 1 {
            // No choice, so no uniform draw and no search.
            return Ok(means + moved(factors));
        }
        // The last threshold is left out: a uniform above all of them is in the last mode.
        let thresholds = table.narrow(0, k * d * (d + 1), k - 1);
        let mode = thresholds.search_sorted(key.fold_in(MODE).uniform([n]));
        Ok(means.gather(mode) + moved(factors.gather(mode)))
    }

    /// What [`draws`](Self::draws) reads: means `[modes, d]`, Cholesky factors `[modes, d, d]`, running sums of the weights.
    pub fn table(&self) -> Vec<f32> {
        let numbers = self.means.iter().chain(&self.factors).flatten();
        numbers.map(|&v| v as f32).chain(self.cumulative()).collect()
    }

    /// Length of [`table`](Self::table).
    pub fn n_table(&self) -> usize {
        self.n_modes() * (self.d * (self.d + 1) + 1) - 1
    }

    /// `n` independent draws `[n, d]` on the device.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`]; [`Error::DeviceLost`].
    pub fn draw(&self, gpu: &Gpu, n: usize, key: RngKey) -> Result<Tensor> {
        let g = Graph::new();
        let x = self.draws(g.key("key"), n, g.input("mixture", [self.n_table()]))?;
        let plan = Plan::compile(gpu, &[("draws", x)], &CompileOptions::labelled("mixture draws"))?;
        let table = Tensor::from_slice(gpu, "mixture", &[self.n_table()], &self.table())?;
        let mut session = Session::new(&plan, Bindings::new().key("key", key).tensor("mixture", &table))?;
        session.run(1)?;
        session.tensor("draws").cloned()
    }

    /// Where all modes but the last begin to be passed: running sums of the weights, one less than modes.
    fn cumulative(&self) -> Vec<f32> {
        let running = self.weights.iter().scan(0.0, |sum, w| {
            *sum += w;
            Some(*sum as f32)
        });
        running.take(self.n_modes() - 1).collect()
    }

    /// An interval with all but 1e-32 of the mass, in one dimension.
    fn support(&self) -> Result<(f64, f64)> {
        self.one_dimensional()?;
        let reach = |k: usize, sign: f64| self.means[k][0] + sign * 12.0 * self.factors[k][0];
        let low = (0..self.n_modes()).map(|k| reach(k, -1.0)).fold(f64::INFINITY, f64::min);
        let high = (0..self.n_modes()).map(|k| reach(k, 1.0)).fold(f64::NEG_INFINITY, f64::max);
        Ok((low, high))
    }

    fn one_dimensional(&self) -> Result<()> {
        match self.d {
            1 => Ok(()),
            d => Err(Error::Invalid {
                what: "number of dimensions",
                got: d.to_string(),
                want: "1 for what needs an order",
            }),
        }
    }
}

impl TryFrom<&MixtureSpec> for GaussianMixture {
    type Error = Error;

    fn try_from(spec: &MixtureSpec) -> Result<Self> {
        let covariances = match &spec.covariances {
            Covariances::Isotropic(variances) => {
                return GaussianMixture::isotropic(&spec.weights, &spec.means, variances);
            }
            Covariances::Diagonal(rows) => rows.iter().map(|row| diagonal(row)).collect(),
            Covariances::Full(all) => all.iter().map(|rows| rows.concat()).collect::<Vec<_>>(),
        };
        GaussianMixture::new(&spec.weights, &spec.means, &covariances)
    }
}

pub(super) fn difference(x: &[f64], m: &[f64]) -> Vec<f64> {
    x.iter().zip(m).map(|(x, m)| x - m).collect()
}

/// `log N(y | 0, L L')`.
pub(super) fn log_normal(factor: &[f64], y: &[f64]) -> f64 {
    let d = y.len();
    let square: f64 = solve_lower(factor, y).iter().map(|v| v * v).sum();
    let log_det: f64 = (0..d).map(|i| factor[i * d + i].ln()).sum();
    -0.5 * square - log_det - 0.5 * d as f64 * TAU.ln()
}

pub(super) fn log_sum_exp(terms: &[f64]) -> f64 {
    let top = terms.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    top + terms.iter().map(|t| (t - top).exp()).sum::<f64>().ln()
}

fn diagonal(values: &[f64]) -> Vec<f64> {
    let d = values.len();
    (0..d * d).map(|at| if at / d == at % d { values[at / d] } else { 0.0 }).collect()
}

fn check_shapes(weights: &[f64], means: &[Vec<f64>], covariances: &[Vec<f64>]) -> Result<usize> {
    let (modes, d) = (weights.len(), means.first().map_or(0, Vec::len));
    let fits = modes > 0 && d > 0 && means.len() == modes && covariances.len() == modes;
    if fits && means.iter().all(|m| m.len() == d) && covariances.iter().all(|c| c.len() == d * d) {
        return Ok(d);
    }
    let lengths = |rows: &[Vec<f64>]| rows.iter().map(Vec::len).collect::<Vec<_>>();
    let got = format!("{modes} weights, means of {:?} and covariances of {:?}", lengths(means), lengths(covariances));
    let want = format!("as many means of {} and covariances of {} numbers, at least 1 each", d.max(1), (d * d).max(1));
    Err(Error::Shape { op: "GaussianMixture", got, want, at: None })
}

fn factor(k: usize, covariance: &[f64], d: usize) -> Result<Vec<f64>> {
    let refuse = |got: String, want| Err(Error::Invalid { what: "covariance of a mode", got, want });
    if let Some(value) = covariance.iter().find(|v| !v.is_finite()) {
        return refuse(format!("{value} somewhere in mode {k}"), "finite");
    }
    for at in 0..d * d {
        let (i, j) = (at / d, at % d);
        let (a, b) = (covariance[at], covariance[j * d + i]);
        if (a - b).abs() > 1e-9 * (covariance[i * d + i] * covariance[j * d + j]).abs().sqrt() {
            return refuse(format!("{a} at ({i}, {j}) and {b} at ({j}, {i}) of mode {k}"), "symmetric");
        }
    }
    match cholesky(covariance, d) {
        Some(factor) => Ok(factor),
        None => refuse(
            format!("without a Cholesky factor in mode {k}"),
            "positive definite: every eigenvalue above 0; add a small multiple of the identity",
        ),
    }
}
