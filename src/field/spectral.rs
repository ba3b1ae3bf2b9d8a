//! Fields in the eigenvectors of their Laplacian: filters, and implicit steps in any number of dimensions.

use super::grid::{Axis, Edge, Grid};
use super::operators::Order;
use crate::error::{Error, Result};
use crate::gpu::{Gpu, Tensor};
use crate::graph::{Feeds, Graph, Var};
use crate::plan::Bindings;
use std::f64::consts::PI;

/// The eigenvectors of a grid's second derivatives: real Fourier modes on rings, cosines between walls without flux, sines
/// between walls at zero, quarter waves between one of each. Walls' values and slopes do not enter: transform what is left of a
/// field without them.
///
/// A transform is a product with a small orthogonal matrix along each axis: `2 n` operations a cell and axis. For axes up to a
/// few hundred cells that is what a fast transform costs in practice; there is no fast one here.
///
/// ```
/// use ergodic::field::{Axis, Edge, Grid, Order, Spectral};
/// use ergodic::graph::{Feeds, Graph};
/// # fn main() -> ergodic::Result<()> {
/// let (wall, g) = (Edge::Reflecting, Graph::new());
/// let grid = Grid::new([Axis::between(6, 1.0, wall, wall)])?;
/// let spectral = Spectral::new(&g, "modes", &grid, Order::Two);
/// // Keep the mean alone.
/// let mean = spectral.filter(g.input("u", [6]), |rate| rate.lt(-1e-6).select(rate * 0.0, 1.0))?;
/// let feeds = spectral.feed(Feeds::new().tensor("u", &[1.0, 2.0, 3.0, 4.0, 5.0, 9.0]));
/// assert!(g.eval_f64(&[mean], &feeds)?[0].data.iter().all(|x| (x - 4.0).abs() < 1e-12));
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Spectral<'g> {
    grid: Grid,
    order: Order,
    tables: Vec<Table>,
    /// Eigenvectors along each axis, `[n, n]`: cell, mode.
    bases: Vec<Var<'g>>,
    /// Eigenvalues of the second derivative along each axis, `[n]`.
    rates: Vec<Var<'g>>,
}

#[derive(Clone)]
struct Table {
    name: String,
    shape: Vec<usize>,
    values: Vec<f64>,
}

/// Wave numbers times cell size of an axis' modes, and the modes' values at cell centres.
fn modes(axis: &Axis) -> Vec<(f64, Vec<f64>)> {
    let n = axis.cells;
    let odd = |edge: Edge| matches!(edge, Edge::Dirichlet(_));
    let mode = |j: usize| -> (f64, bool) {
        let j = j as f64;
        match (axis.is_periodic(), odd(axis.low), odd(axis.high)) {
            (true, ..) => (2.0 * PI * (j / 2.0).ceil() / n as f64, j % 2.0 == 1.0),
            (_, false, false) => (PI * j / n as f64, false),
            (_, true, true) => (PI * (j + 1.0) / n as f64, true),
            (_, odd, _) => (PI * (j + 0.5) / n as f64, odd),
        }
    };
    let values = |(theta, sine): (f64, bool)| {
        let at = |i: usize| (i as f64 + 0.5) * theta;
        let wave: Vec<f64> = (0..n).map(|i| if sine { at(i).sin() } else { at(i).cos() }).collect();
        let norm = wave.iter().map(|w| w * w).sum::<f64>().sqrt();
        (theta, wave.iter().map(|w| w / norm).collect())
    };
    (0..n).map(|j| values(mode(j))).collect()
}

fn tables(name: &str, axis: &Axis, order: Order) -> [Table; 2] {
    let (n, modes) = (axis.cells, modes(axis));
    let basis = (0..n * n).map(|at| modes[at % n].1[at / n]).collect();
    let rate = |theta: f64| {
        let sum = order.curvature().iter().map(|(by, weight)| weight * (f64::from(*by) * theta).cos()).sum::<f64>();
        sum / axis.spacing().powi(2)
    };
    let rates = modes.iter().map(|(theta, _)| rate(*theta)).collect();
    let table = |end: &str, shape: Vec<usize>, values| Table { name: format!("{name}.{end}"), shape, values };
    [table("basis", vec![n, n], basis), table("rates", vec![n], rates)]
}

impl<'g> Spectral<'g> {
    /// The modes of a grid, whose tables are inputs of the graph under this name.
    pub fn new(graph: &'g Graph, name: &str, grid: &Grid, order: Order) -> Self {
        let made = grid.axes().iter().enumerate().map(|(k, axis)| tables(&format!("{name}.{k}"), axis, order));
        let tables: Vec<Table> = made.flatten().collect();
        let input = |table: &Table| graph.input(&table.name, table.shape.clone());
        let (bases, rates) = (tables.iter().step_by(2).map(input).collect(), tables.iter().skip(1).step_by(2));
        Spectral { grid: grid.clone(), order, bases, rates: rates.map(input).collect(), tables: tables.clone() }
    }

    /// Its tables for an evaluation in f64.
    #[must_use]
    pub fn feed(&self, feeds: Feeds) -> Feeds {
        self.tables.iter().fold(feeds, |feeds, table| feeds.tensor(&table.name, &table.values))
    }

    /// Its tables for a session.
    ///
    /// # Errors
    /// Those of making a tensor.
    pub fn bind(&self, gpu: &Gpu, bindings: Bindings) -> Result<Bindings> {
        self.tables.iter().try_fold(bindings, |bindings, table| {
            let values: Vec<f32> = table.values.iter().map(|&v| v as f32).collect();
            Ok(bindings.tensor(&table.name, &Tensor::from_slice(gpu, &table.name, &table.shape, &values)?))
        })
    }

    /// Amplitudes of the modes of `u [.., grid]`, of its shape.
    ///
    /// # Errors
    /// [`Error::Shape`] if `u` does not end with the grid's axes.
    pub fn forward(&self, u: Var<'g>) -> Result<Var<'g>> {
        let first = self.grid.first_axis(u)?;
        let x = self.bases.iter().enumerate().fold(u, |x, (k, basis)| along(x, first + k, *basis));
        u.graph().check().map(|()| x)
    }

    /// The field of these amplitudes.
    ///
    /// # Errors
    /// As [`forward`](Self::forward).
    pub fn inverse(&self, amplitudes: Var<'g>) -> Result<Var<'g>> {
        let first = self.grid.first_axis(amplitudes)?;
        let x = self.bases.iter().enumerate().fold(amplitudes, |x, (k, basis)| along(x, first + k, basis.t()));
        amplitudes.graph().check().map(|()| x)
    }

    /// Eigenvalues of the Laplacian, one a mode, `[grid]`; none above 0.
    pub fn eigenvalues(&self) -> Var<'g> {
        let place = |(k, rates): (usize, &Var<'g>)| {
            let mut shape = vec![1; self.rates.len()];
            shape[k] = rates.shape()[0];
            rates.reshape(shape)
        };
        let parts: Vec<_> = self.rates.iter().enumerate().map(place).collect();
        parts.iter().copied().reduce(|sum, part| sum + part).unwrap_or(parts[0])
    }

    /// Refuses to stand for the modes of another grid, up to what its walls are at.
    pub(super) fn check(&self, grid: &Grid, order: Order) -> Result<()> {
        if self.grid.homogeneous() == grid.homogeneous() && self.order == order {
            return Ok(());
        }
        let got = format!("of {:?} cells, order {:?}", self.grid.shape(), self.order);
        Err(Error::Invalid { what: "set of modes", got, want: "made for the same axes and order" })
    }

    /// Every mode times a function of its eigenvalue: `exp(lambda t)` diffuses, `1 / (1 - a lambda)` is an implicit step.
    ///
    /// # Errors
    /// As [`forward`](Self::forward).
    pub fn filter(&self, u: Var<'g>, gain: impl FnOnce(Var<'g>) -> Var<'g>) -> Result<Var<'g>> {
        self.inverse(self.forward(u)? * gain(self.eigenvalues()))
    }
}

/// The product of each line along an axis with a matrix.
fn along<'g>(x: Var<'g>, axis: usize, matrix: Var<'g>) -> Var<'g> {
    let (shape, n) = (x.shape(), matrix.shape()[0]);
    let last = shape.len() - 1;
    let mut swap: Vec<usize> = (0..shape.len()).collect();
    swap.swap(axis, last);
    let turned = x.permute(swap.clone());
    let product = turned.reshape([shape.numel() / n.max(1), n]).matmul(matrix);
    product.reshape(turned.shape()).permute(swap)
}
