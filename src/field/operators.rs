//! Derivatives in space.

use super::grid::Grid;
use super::walls::{Along, Parity};
use crate::error::{Error, Result};
use crate::graph::Var;
use serde::{Deserialize, Serialize};

/// Order of accuracy in the size of a cell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Neighbours.
    #[default]
    Two,
    /// Neighbours and theirs; an axis needs 5 cells.
    Four,
}

const SLOPE_2: &[Along] = &[(-1, -0.5), (1, 0.5)];
const SLOPE_4: &[Along] = &[(-2, 1.0 / 12.0), (-1, -2.0 / 3.0), (1, 2.0 / 3.0), (2, -1.0 / 12.0)];
const CURVATURE_2: &[Along] = &[(0, -2.0), (-1, 1.0), (1, 1.0)];
const CURVATURE_4: &[Along] = &[(0, -2.5), (-1, 4.0 / 3.0), (1, 4.0 / 3.0), (-2, -1.0 / 12.0), (2, -1.0 / 12.0)];

impl Order {
    /// Weights of the first derivative, of cells of size 1.
    pub(super) fn slope(self) -> &'static [Along] {
        match self {
            Order::Two => SLOPE_2,
            Order::Four => SLOPE_4,
        }
    }

    /// Weights of the second derivative, of cells of size 1.
    pub(super) fn curvature(self) -> &'static [Along] {
        match self {
            Order::Two => CURVATURE_2,
            Order::Four => CURVATURE_4,
        }
    }
}

/// Weights for cells of another size.
pub(super) fn scaled(along: &[Along], by: f64) -> Vec<Along> {
    along.iter().map(|(offset, weight)| (*offset, weight * by)).collect()
}

impl Grid {
    /// Central first derivative of `u [.., grid]` along axis `k` of the grid.
    ///
    /// # Errors
    /// [`Error::Shape`] if `u` does not end with the grid's axes; [`Error::Invalid`] for an axis that the grid does not have, or
    /// one too short for the order.
    pub fn derivative<'g>(&self, u: Var<'g>, k: usize, order: Order) -> Result<Var<'g>> {
        self.check_axis(k)?;
        self.sum_along(u, &[(k, scaled(order.slope(), 1.0 / self.axis(k).spacing()))], Parity::Own)
    }

    /// Central first derivatives along all axes.
    ///
    /// # Errors
    /// As [`derivative`](Self::derivative).
    pub fn gradient<'g>(&self, u: Var<'g>, order: Order) -> Result<Vec<Var<'g>>> {
        (0..self.dimensions()).map(|k| self.derivative(u, k, order)).collect()
    }

    /// Sum of second derivatives, compact: neighbours in reach 1 or 2. Periodic and walled without slope, its sum over all cells
    /// is zero.
    ///
    /// # Errors
    /// As [`derivative`](Self::derivative).
    pub fn laplacian<'g>(&self, u: Var<'g>, order: Order) -> Result<Var<'g>> {
        let part = |k: usize| (k, scaled(order.curvature(), self.axis(k).spacing().powi(-2)));
        self.sum_along(u, &(0..self.dimensions()).map(part).collect::<Vec<_>>(), Parity::Own)
    }

    /// Central divergence of a vector field, one component an axis. Beyond a wall, components continue as those of a gradient
    /// of a field of this grid do: at a wall without slope, nothing flows through.
    ///
    /// # Errors
    /// As [`derivative`](Self::derivative); [`Error::Shape`] if there is not one component an axis.
    pub fn divergence<'g>(&self, components: &[Var<'g>], order: Order) -> Result<Var<'g>> {
        self.one_an_axis("divergence", components.len())?;
        let part = |(k, f): (usize, &Var<'g>)| {
            self.sum_along(*f, &[(k, scaled(order.slope(), 1.0 / self.axis(k).spacing()))], Parity::Derivative)
        };
        let parts = components.iter().enumerate().map(part).collect::<Result<Vec<_>>>()?;
        let sum = parts.iter().copied().reduce(|sum, part| sum + part).unwrap_or(parts[0]);
        sum.graph().check().map(|()| sum)
    }

    /// The Laplacian of the Laplacian. Beyond a wall the inner one is mirrored like `u`, without the wall's number: a simply
    /// supported plate where `u` is given, no flux of it where the slope is.
    ///
    /// # Errors
    /// As [`derivative`](Self::derivative).
    pub fn bilaplacian<'g>(&self, u: Var<'g>, order: Order) -> Result<Var<'g>> {
        self.homogeneous().laplacian(self.laplacian(u, order)?, order)
    }

    pub(super) fn one_an_axis(&self, op: &'static str, n: usize) -> Result<()> {
        if n == self.dimensions() {
            return Ok(());
        }
        let (got, want) = (format!("{n} components"), format!("{}, one an axis of the grid", self.dimensions()));
        Err(Error::Shape { op, got, want, at: None })
    }
}
