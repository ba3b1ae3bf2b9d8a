//! Where the ends of a path come from: densities that are drawn on the device, or rows of data.

use super::gaussian::GaussianMixture;
use super::process::any_row;
use crate::error::{Error, Result};
use crate::gpu::{Gpu, Tensor};
use crate::graph::{Graph, Key, Var};
use crate::plan::{Bindings, CompileOptions, Plan, Session};
use crate::random::RngKey;
use std::f64::consts::TAU;

/// Cells along one side of the checkerboard.
const CELLS: f64 = 4.0;
/// Half of its side.
const HALF: f64 = 4.0;

/// A density, or data that stand for one.
///
/// ```
/// use ergodic::methods::interpolant::Source;
/// let board = Source::Checkerboard;
/// assert_eq!(board.log_density(&[-3.0, -3.5]), Some(-32f64.ln()));
/// assert_eq!(board.log_density(&[-1.0, -3.5]), Some(f64::NEG_INFINITY));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// `N(0, 1)` in so many dimensions.
    Normal(usize),
    /// A mixture of Gaussians.
    Mixture(GaussianMixture),
    /// Uniform on the eight cells of side 2 of one colour in `[-4, 4]^2`, the lower left one among them: area 32.
    Checkerboard,
    /// Rows of data, drawn with equal probability.
    Rows {
        /// Number of dimensions.
        d: usize,
        /// `[n, d]`.
        x: Vec<f32>,
    },
}

impl Source {
    /// Data `x [n, d]`.
    ///
    /// # Errors
    /// [`Error::Shape`] for no rows, or values that are not whole rows; [`Error::Invalid`] for a value that is not finite, with
    /// its row.
    pub fn rows(d: usize, x: Vec<f32>) -> Result<Self> {
        if d == 0 || x.is_empty() || !x.len().is_multiple_of(d) {
            let got = format!("{} values", x.len());
            return Err(Error::Shape { op: "Source::rows", got, want: format!("at least one row of {d}"), at: None });
        }
        if let Some(at) = x.iter().position(|v| !v.is_finite()) {
            let got = format!("{} in row {}", x[at], at / d);
            return Err(Error::Invalid { what: "value of the data", got, want: "finite" });
        }
        Ok(Source::Rows { d, x })
    }

    /// Number of dimensions.
    pub fn d(&self) -> usize {
        match self {
            Source::Normal(d) | Source::Rows { d, .. } => *d,
            Source::Mixture(mixture) => mixture.d(),
            Source::Checkerboard => 2,
        }
    }

    /// Shape and values of what [`draws`](Self::draws) reads, if it reads anything.
    pub fn table(&self) -> Option<(Vec<usize>, Vec<f32>)> {
        match self {
            Source::Normal(_) | Source::Checkerboard => None,
            Source::Mixture(mixture) => Some((vec![mixture.n_table()], mixture.table())),
            Source::Rows { d, x } => Some((vec![x.len() / d, *d], x.clone())),
        }
    }

    /// `n` draws `[n, d]` as a node; `table` names the input that is to be bound to [`table`](Self::table).
    ///
    /// # Errors
    /// As [`GaussianMixture::draws`].
    pub fn draws<'g>(&self, g: &'g Graph, key: Key<'g>, n: usize, table: &str) -> Result<Var<'g>> {
        match self {
            Source::Normal(d) => Ok(key.normal([n, *d])),
            Source::Mixture(mixture) => mixture.draws(key, n, g.input(table, [mixture.n_table()])),
            Source::Checkerboard => Ok(checkerboard(g, key, n)),
            Source::Rows { d, x } => {
                let rows = x.len() / d;
                Ok(g.input(table, [rows, *d]).gather(any_row(key, n, rows)))
            }
        }
    }

    /// `n` draws `[n, d]` on the device.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`]; [`Error::DeviceLost`].
    pub fn draw(&self, gpu: &Gpu, n: usize, key: RngKey) -> Result<Tensor> {
        let g = Graph::new();
        let x = self.draws(&g, g.key("key"), n, "table")?;
        let plan = Plan::compile(gpu, &[("draws", x)], &CompileOptions::labelled("draws"))?;
        let bindings = self.bind(gpu, "table", Bindings::new().key("key", key))?;
        let mut session = Session::new(&plan, bindings)?;
        session.run(1)?;
        session.tensor("draws").cloned()
    }

    /// The table, if there is one, on the device and under this name.
    pub(super) fn bind(&self, gpu: &Gpu, name: &str, bindings: Bindings) -> Result<Bindings> {
        match self.table() {
            Some((shape, values)) => Ok(bindings.tensor(name, &Tensor::from_slice(gpu, name, &shape, &values)?)),
            None => Ok(bindings),
        }
    }

    /// `log rho(x)`; `None` for data.
    pub fn log_density(&self, x: &[f64]) -> Option<f64> {
        match self {
            Source::Normal(d) => Some(-0.5 * (x.iter().map(|v| v * v).sum::<f64>() + *d as f64 * TAU.ln())),
            Source::Mixture(mixture) => Some(mixture.log_density(x)),
            Source::Checkerboard => {
                let cell = |v: &f64| ((v + HALF) * CELLS / (2.0 * HALF)).floor();
                let inside = x.len() == 2 && x.iter().all(|v| (-HALF..HALF).contains(v));
                let coloured = inside && x.iter().map(cell).sum::<f64>() % 2.0 == 0.0;
                Some(if coloured { -(2.0 * HALF * HALF).ln() } else { f64::NEG_INFINITY })
            }
            Source::Rows { .. } => None,
        }
    }
}

/// A column, then one of the two cells in it, then a place there.
fn checkerboard<'g>(g: &'g Graph, key: Key<'g>, n: usize) -> Var<'g> {
    let side = 2.0 * HALF / CELLS;
    let (across, up) = (key.uniform([n, 1]) * CELLS, key.fold_in(1).uniform([n, 1]) * (CELLS / 2.0));
    let column = across.floor();
    let odd = column - (column * 0.5).floor() * 2.0;
    // Cells of one colour alternate: the k-th of a column lies 2 k cells up, one more where the column is odd. The sum must
    // not round up into the next cell: 4 - 2^-22 is an f32.
    let place = (up - up.floor()).min(1.0 - 0.25f64.powi(11));
    let height = up.floor() * 2.0 + odd + place;
    let corner = g.constant(-HALF);
    Var::concat(&[across * side + corner, height * side + corner], 1).unwrap_or(across)
}
