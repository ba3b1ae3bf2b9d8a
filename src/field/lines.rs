//! Implicit steps along one axis: a tridiagonal system in every line.

use super::grid::Grid;
use super::operators::{Order, scaled};
use super::walls::{Ghost, Parity};
use crate::error::{Error, Result};
use crate::graph::Var;
use crate::linalg::tridiagonal::Diagonals;

impl Grid {
    /// The field `x` with `x - a d2x/dx_k^2 = right`, along axis `k` of the grid, for `a >= 0` in units of length squared. The
    /// second derivative is that of [`laplacian`](Self::laplacian) of order two, walls with their values and slopes included.
    ///
    /// One invocation a line ([`Var::tridiagonal`]); rings take one line more for all.
    ///
    /// ```
    /// use ergodic::field::{Axis, Edge, Grid};
    /// use ergodic::graph::{Feeds, Graph};
    /// # fn main() -> ergodic::Result<()> {
    /// // Between walls at 0 and 3, without a source and with all the time there is: a straight line.
    /// let ends = (Edge::Dirichlet(0.0), Edge::Dirichlet(3.0));
    /// let (grid, g) = (Grid::new([Axis::between(3, 3.0, ends.0, ends.1)])?, Graph::new());
    /// let x = grid.solve_lines(g.input("right", [3]), 0, 1e9)?;
    /// let got = g.eval_f64(&[x], &Feeds::new().tensor("right", &[0.0, 0.0, 0.0]))?;
    /// assert!(got[0].data.iter().zip([0.5, 1.5, 2.5]).all(|(x, want)| (x - want).abs() < 1e-6));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Error::Shape`] if `right` does not end with the grid's axes; [`Error::Invalid`] for an axis that the grid does not
    /// have, or an `a` below 0.
    pub fn solve_lines<'g>(&self, right: Var<'g>, k: usize, a: f64) -> Result<Var<'g>> {
        self.check_axis(k)?;
        let first = self.first_axis(right)?;
        if !(a.is_finite() && a >= 0.0) {
            let got = a.to_string();
            return Err(Error::Invalid { what: "diffusivity times step", got, want: "finite and not below 0" });
        }
        let (g, axis, n) = (right.graph(), self.axis(k), self.axis(k).cells);
        let r = a / axis.spacing().powi(2);
        let mut shape = vec![1; self.dimensions() - k];
        let full = |value: f64, len: usize, shape: &mut Vec<usize>| {
            shape[0] = len;
            g.full(value, shape.clone())
        };
        let side = full(-r, n, &mut shape);
        let walls = [(axis.low, -1.0), (axis.high, 1.0)].map(|(edge, out)| Ghost::new(axis, edge, out, Parity::Own));
        let [Some(low), Some(high)] = walls else {
            let diag = full(1.0 + 2.0 * r, n, &mut shape);
            return Diagonals { lower: side, diag, upper: side }.solve_cyclic(right, first + k);
        };
        // Half a matrix row beyond the wall: `-r (sign u + jump)`.
        let end = |ghost: Ghost| 1.0 + 2.0 * r - r * ghost.sign;
        let parts = [(end(low), 1), (1.0 + 2.0 * r, n - 2), (end(high), 1)];
        let parts: Vec<_> = parts.into_iter().map(|(value, len)| full(value, len, &mut shape)).collect();
        let diag = Var::concat(&parts, 0).unwrap_or(side);
        let place = g.iota(first + k, right.shape());
        let mut known = right;
        for (ghost, cell) in [(low, 0), (high, n - 1)] {
            if ghost.jump(0) != 0.0 {
                known = known + place.equal(cell as u32).select(right.zeros_like() + r * ghost.jump(0), 0.0);
            }
        }
        Diagonals { lower: side, diag, upper: side }.solve(known, first + k)
    }

    /// `u + a d2u/dx_k^2`.
    fn forward_lines<'g>(&self, u: Var<'g>, k: usize, a: f64) -> Result<Var<'g>> {
        let along = scaled(Order::Two.curvature(), a / self.axis(k).spacing().powi(2));
        Ok(u + self.sum_along(u, &[(k, along)], Parity::Own)?)
    }

    /// One step of Crank and Nicolson along axis `k` alone, `a` its diffusivity times step.
    pub(super) fn crank_nicolson_lines<'g>(&self, u: Var<'g>, k: usize, a: f64) -> Result<Var<'g>> {
        self.solve_lines(self.forward_lines(u, k, 0.5 * a)?, k, 0.5 * a)
    }
}
