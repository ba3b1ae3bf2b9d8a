//! Tables of real data, ready to learn a density from: columns chosen, split, standardised, with the volume that this costs.
//!
//! ```text
//! z = (x - m) / s        log p(x) = log p(z) - sum_i log s_i        NLL in the units of x = NLL of z + sum_i log s_i
//! ```
//!
//! The steps, in this order, are those of the sets POWER, GAS, HEPMASS and MINIBOONE in arXiv:1705.07057 (appendix D):
//!
//! 1. columns and rows are chosen, labels discarded ([`Selection`]);
//! 2. uniform noise fills the gap between the values of a discrete column (`dequantise`, as for POWER): a density of values that
//!    repeat has no bound;
//! 3. columns in which some value occurs more often than `max_recurring` times are dropped (as for HEPMASS and MINIBOONE, with
//!    5; the published code counts the smallest value only, here every value counts);
//! 4. while some column has a correlation above `max_correlation` with another, the first such column is dropped (as for GAS,
//!    with 0.98; here the magnitude counts, so that a copy with its sign changed goes too);
//! 5. rows are shuffled by the seed, the first become test rows, the next validation rows, the rest training rows;
//! 6. columns get mean 0 and deviation 1 **on the training rows** (the published code uses training and validation rows);
//! 7. if asked for, what columns have in common is taken out too (`whiten`), so that the Gaussian with the rows' covariance is
//!    the standard normal: `z = L w`, with the Cholesky factor of the correlations. A flow from the normal then starts where
//!    a Gaussian ends, and learns the rest. An affine map changes an NLL by its log-determinant and nothing else.

use std::collections::HashMap;
use std::path::PathBuf;

use faer::Side;
use serde::{Deserialize, Serialize};

use crate::data::moments::{mean_and_lower, moments};
use crate::data::table::{self, Selection, Table};
use crate::random::RngKey;
use crate::{Error, Result};

/// A table by its file, with everything that is done to it before training.
///
/// ```
/// use ergodic::data::TableSpec;
/// let path = std::env::temp_dir().join("ergodic-doc-tabular.csv");
/// let rows: String = (0..100).map(|i| format!("{i},{},{}\n", (i * 37) % 101, i % 2)).collect();
/// std::fs::write(&path, format!("a,b,label\n{rows}")).unwrap();
/// let spec = TableSpec { path, discard: vec!["label".into()], ..TableSpec::default() };
/// let data = spec.load().unwrap();
/// assert_eq!((data.d(), data.test.len() / 2, data.validation.len() / 2, data.train.len() / 2), (2, 10, 9, 81));
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TableSpec {
    /// CSV or NPY, packed with gzip or not.
    pub path: PathBuf,
    /// Columns by name, in this order; empty for all.
    pub columns: Vec<String>,
    /// Columns that are left out, such as labels.
    pub discard: Vec<String>,
    /// `(column, value)`: only rows that have it.
    pub only: Vec<(String, String)>,
    /// At most so many rows, the first ones.
    pub max_rows: Option<usize>,
    /// `(column, width)`: noise uniform in `[0, width)`, in the column's units.
    pub dequantise: Vec<(String, f64)>,
    /// Columns in which a value occurs more often are dropped.
    pub max_recurring: Option<usize>,
    /// Columns more correlated with another, in magnitude, are dropped.
    pub max_correlation: Option<f64>,
    /// Part of the rows that is kept for testing.
    pub test: f64,
    /// Part of the others that is kept for validation.
    pub validation: f64,
    /// Whether correlations are taken out as well.
    pub whiten: bool,
    /// Of the split and of the noise.
    pub seed: u64,
}

impl Default for TableSpec {
    /// All of a table whose path is empty; a tenth for testing, a tenth of the rest for validation.
    fn default() -> Self {
        TableSpec {
            path: PathBuf::new(),
            columns: vec![],
            discard: vec![],
            only: vec![],
            max_rows: None,
            dequantise: vec![],
            max_recurring: None,
            max_correlation: None,
            test: 0.1,
            validation: 0.1,
            whiten: false,
            seed: 0,
        }
    }
}

impl TableSpec {
    /// Whether it means anything, before a file is opened; the error's `what` is the field.
    ///
    /// # Errors
    /// [`Error::Invalid`] for an empty path, parts outside (0, 1), widths and correlations that are none, no rows.
    pub fn check(&self) -> Result<()> {
        let refuse = |what, got: String, want| Err(Error::Invalid { what, got, want });
        if self.path.as_os_str().is_empty() {
            return refuse("path", "empty".into(), "the file of a table: --data FILE, or --set 'data.path=\"FILE\"'");
        }
        for (what, part) in [("test", self.test), ("validation", self.validation)] {
            if !(part > 0.0 && part < 1.0) {
                return refuse(what, part.to_string(), "a part between 0 and 1");
            }
        }
        if let Some((name, width)) = self.dequantise.iter().find(|(_, width)| !(width.is_finite() && *width > 0.0)) {
            return refuse("dequantise", format!("{width} for `{name}`"), "finite and above 0");
        }
        if let Some(limit) = self.max_correlation.filter(|limit| !(*limit > 0.0 && *limit <= 1.0)) {
            return refuse("max_correlation", limit.to_string(), "above 0 and at most 1");
        }
        for (what, count) in [("max_recurring", self.max_recurring), ("max_rows", self.max_rows)] {
            if count == Some(0) {
                return refuse(what, "0".into(), "at least 1");
            }
        }
        Ok(())
    }

    /// Reads the file and prepares it.
    ///
    /// # Errors
    /// As [`check`](Self::check), [`table::select`] and [`prepare`](Self::prepare).
    pub fn load(&self) -> Result<Prepared> {
        self.check()?;
        let selection = Selection {
            columns: self.columns.clone(),
            discard: self.discard.clone(),
            only: self.only.clone(),
            max_rows: self.max_rows,
        };
        self.prepare(table::select(&self.path, &selection)?)
    }

    /// Prepares a table whose rows and columns are chosen already.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a value that is not finite (with its row and column), a name that no column has, a table of which
    /// no column is left, parts that get fewer than 2 rows, not more training rows than columns, a column that has one
    /// value in all training rows, and columns to whiten that depend on each other linearly.
    pub fn prepare(&self, table: Table) -> Result<Prepared> {
        let (mut names, mut d) = (table.columns.clone(), table.columns.len());
        let mut x = table.values;
        if let Some(at) = x.iter().position(|v| !v.is_finite()) {
            let got = format!("{} in row {}, column `{}`", x[at], at / d, names[at % d]);
            return Err(Error::Invalid { what: "value of the table", got, want: "finite; drop the row or the column" });
        }
        self.add_noise(&names, &mut x)?;
        let mut dropped = vec![];
        while let Some((at, why)) =
            recurring(&x, &names, self.max_recurring).or_else(|| correlated(&x, &names, self.max_correlation))
        {
            dropped.push((names.remove(at), why));
            x = x.chunks_exact(d).flat_map(|row| [&row[..at], &row[at + 1..]].concat()).collect();
            d -= 1;
        }
        if d == 0 {
            let got = "0 after dropping all".to_string();
            return Err(Error::Invalid { what: "number of columns", got, want: "at least 1; raise max_recurring" });
        }
        self.split(x, names, dropped)
    }

    fn add_noise(&self, names: &[String], x: &mut [f64]) -> Result<()> {
        let key = RngKey::new(self.seed).fold_in(1);
        for (name, width) in &self.dequantise {
            let Some(at) = names.iter().position(|there| there == name) else {
                let got = format!("`{name}`, which is not among {}", names.join(", "));
                return Err(Error::Invalid { what: "dequantise", got, want: "a column that is kept" });
            };
            for (i, row) in x.chunks_exact_mut(names.len()).enumerate() {
                row[at] += width * f64::from(key.uniform(i as u32, at as u32, 0));
            }
        }
        Ok(())
    }

    fn split(&self, x: Vec<f64>, columns: Vec<String>, dropped: Vec<(String, String)>) -> Result<Prepared> {
        let (d, n) = (columns.len(), x.len() / columns.len());
        let key = RngKey::new(self.seed).fold_in(2);
        let mut order: Vec<usize> = (0..n).collect();
        order.sort_by_key(|&i| (key.bits(i as u32, 0, 0), i));
        let n_test = (n as f64 * self.test) as usize;
        let n_validation = ((n - n_test) as f64 * self.validation) as usize;
        let n_train = n - n_test - n_validation;
        let part = |rows: &[usize]| rows.iter().flat_map(|&i| &x[i * d..(i + 1) * d]).copied().collect::<Vec<f64>>();
        for (what, rows) in [("test rows", n_test), ("validation rows", n_validation)] {
            if rows < 2 {
                let want = "at least 2, for an error bar; give more rows, or a larger part";
                return Err(Error::Invalid { what, got: format!("{rows} of {n}"), want });
            }
        }
        if n_train <= d {
            let got = format!("{n_train} for {d} columns");
            let want = "more than there are columns; give more rows, or choose fewer columns";
            return Err(Error::Invalid { what: "training rows", got, want });
        }
        let train = part(&order[n_test + n_validation..]);
        if let Some(at) = (0..d).find(|&at| train.iter().skip(at).step_by(d).all(|v| *v == train[at])) {
            let got = format!("`{}`, which is {} in all {n_train} training rows", columns[at], train[at]);
            return Err(Error::Invalid { what: "column", got, want: "of more than one value; name it in `discard`" });
        }
        let mut standard = Standard::fit(&train, d);
        if self.whiten {
            standard.factor = Some(factor(&standard.apply(&train), d)?);
        }
        let [test, validation] = [&order[..n_test], &order[n_test..n_test + n_validation]].map(part);
        let [train, validation, test] = [train, validation, test].map(|rows| standard.apply(&rows));
        Ok(Prepared { columns, dropped, standard, train, validation, test })
    }
}

/// Rows in standard units, and the way back.
#[derive(Debug, Clone, PartialEq)]
pub struct Prepared {
    /// Names of the columns that are left.
    pub columns: Vec<String>,
    /// Names of those that were dropped, with the reason.
    pub dropped: Vec<(String, String)>,
    /// What was subtracted and divided by.
    pub standard: Standard,
    /// `[n, d]`.
    pub train: Vec<f32>,
    /// `[n, d]`.
    pub validation: Vec<f32>,
    /// `[n, d]`.
    pub test: Vec<f32>,
}

impl Prepared {
    /// Number of columns.
    pub fn d(&self) -> usize {
        self.columns.len()
    }
}

/// Means and deviations of columns, and what they have in common.
#[derive(Debug, Clone, PartialEq)]
pub struct Standard {
    /// `[d]`, in the columns' units.
    pub mean: Vec<f64>,
    /// `[d]`, above 0, in the columns' units.
    pub deviation: Vec<f64>,
    /// `[d, d]`: lower triangle `L` with `L L'` the correlations; `None` where they are left in.
    pub factor: Option<Vec<f64>>,
}

impl Standard {
    /// Of rows `x [n, d]`, correlations left in; the deviation is that of the rows, divided by `n`.
    pub fn fit(x: &[f64], d: usize) -> Self {
        let n = (x.len() / d.max(1)) as f64;
        let column = |at: usize| x.iter().skip(at).step_by(d.max(1));
        let mean: Vec<f64> = (0..d).map(|at| column(at).sum::<f64>() / n).collect();
        let square = |at: usize| column(at).map(|v| (v - mean[at]).powi(2)).sum::<f64>() / n;
        Self { deviation: (0..d).map(|at| square(at).sqrt()).collect(), mean, factor: None }
    }

    /// Mean 0 and deviation 1: rows stay as they are.
    pub fn identity(d: usize) -> Self {
        Self { mean: vec![0.0; d], deviation: vec![1.0; d], factor: None }
    }

    /// `w = L^-1 (x - m) / s` of rows `[n, d]`.
    pub fn apply(&self, x: &[f64]) -> Vec<f32> {
        let d = self.mean.len();
        let mut all = Vec::with_capacity(x.len());
        for row in x.chunks_exact(d) {
            let mut w: Vec<f64> = (0..d).map(|at| (row[at] - self.mean[at]) / self.deviation[at]).collect();
            if let Some(l) = &self.factor {
                for i in 0..d {
                    let known: f64 = (0..i).map(|k| l[i * d + k] * w[k]).sum();
                    w[i] = (w[i] - known) / l[i * d + i];
                }
            }
            all.extend(w.into_iter().map(|v| v as f32));
        }
        all
    }

    /// `m + s L w` of rows `[n, d]`.
    pub fn undo(&self, w: &[f32]) -> Vec<f64> {
        let d = self.mean.len();
        let scaled = |row: &[f32], i: usize| match &self.factor {
            Some(l) => (0..=i).map(|k| l[i * d + k] * f64::from(row[k])).sum(),
            None => f64::from(row[i]),
        };
        let back =
            |row: &[f32]| (0..d).map(|i| self.mean[i] + self.deviation[i] * scaled(row, i)).collect::<Vec<f64>>();
        w.chunks_exact(d).flat_map(back).collect()
    }

    /// `sum_i log s_i + sum_i log L_ii`: what is added to an NLL of prepared rows, in nats, for that of rows in their own units.
    ///
    /// ```
    /// let standard = ergodic::data::Standard { mean: vec![3.0, 0.0], deviation: vec![2.0, 0.5], factor: None };
    /// assert_eq!(standard.log_det(), 0.0); // twice as wide, half as wide: the same volume
    /// assert_eq!(standard.apply(&[5.0, 1.0]), [1.0, 2.0]);
    /// ```
    pub fn log_det(&self) -> f64 {
        self.deviation.iter().map(|s| s.ln()).sum::<f64>() + self.log_det_of_factor()
    }

    /// `sum_i log L_ii`, the part of [`log_det`](Self::log_det) that leads to columns of deviation 1; 0 without a factor.
    pub fn log_det_of_factor(&self) -> f64 {
        let d = self.mean.len();
        self.factor.as_ref().map_or(0.0, |l| (0..d).map(|i| l[i * d + i].ln()).sum())
    }
}

/// The Cholesky factor of the correlations of standardised rows.
fn factor(z: &[f32], d: usize) -> Result<Vec<f64>> {
    let (_, c) = mean_and_lower(z, d);
    let dependent = || Error::Invalid {
        what: "whitening",
        got: "asked of columns that depend on each other linearly".into(),
        want: "off; or set max_correlation, or name some of them in `discard`",
    };
    let found = c.llt(Side::Lower).map_err(|_| dependent())?;
    let l: Vec<f64> = (0..d * d).map(|at| if at % d > at / d { 0.0 } else { found.L()[(at / d, at % d)] }).collect();
    // What is left of a column that others give is rounding of the rows to f32.
    let least = 1e-5;
    if (0..d).any(|i| l[i * d + i].is_nan() || l[i * d + i] < least) { Err(dependent()) } else { Ok(l) }
}

/// The first column with a value that comes up too often.
fn recurring(x: &[f64], names: &[String], limit: Option<usize>) -> Option<(usize, String)> {
    let (limit, d) = (limit?, names.len());
    (0..d).find_map(|at| {
        let mut counts: HashMap<u64, usize> = HashMap::new();
        x.iter().skip(at).step_by(d).for_each(|v| *counts.entry((v + 0.0).to_bits()).or_default() += 1);
        let (bits, most) = counts.into_iter().max_by_key(|(bits, count)| (*count, *bits))?;
        (most > limit).then(|| (at, format!("{} occurs {most} times", f64::from_bits(bits))))
    })
}

/// The first column that says nearly what another says.
fn correlated(x: &[f64], names: &[String], limit: Option<f64>) -> Option<(usize, String)> {
    let (limit, d) = (limit?, names.len());
    let (_, c) = moments(&Standard::fit(x, d).apply(x), d);
    let pair = (0..d).flat_map(|i| (0..d).map(move |j| (i, j)));
    let (i, j) = pair.filter(|(i, j)| i != j).find(|(i, j)| c[i * d + j].abs() > limit)?;
    Some((i, format!("correlates with `{}` by {:.3}", names[j], c[i * d + j])))
}
