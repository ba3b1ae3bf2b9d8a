//! Implicit steps along one axis: a tridiagonal system in every line.

use super::grid::Grid;
use super::walls::{Ghost, Parity};
use crate::error::{Error, Result};
use crate::graph::Var;
use crate::linalg::tridiagonal::RowSums;

impl Grid {
    /// The field `x` with `x - a d2x/dx_k^2 = right`, along axis `k` of the grid, for `a >= 0` in units of length squared. The
    /// second derivative is that of [`laplacian`](Self::laplacian) of order two, walls with their values and slopes included.
    ///
    /// One invocation a line ([`Var::tridiagonal_by_sums`]), and two lines more for all rings. By sums of rows: a field of one
    /// sign is exact to a few roundings a cell at any `a`, so steps far over the explicit limit conserve in f32 too.
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
            let sum = full(1.0, n, &mut shape);
            return RowSums { lower: side, sum, upper: side }.solve_cyclic(right, first + k);
        };
        // Beside a wall stands `1 + 2 r - r sign` on the diagonal, and one neighbour less: `-r (sign u + jump)` is beyond it.
        let end = |ghost: Ghost| 1.0 + r * (1.0 - ghost.sign);
        let parts = [(end(low), 1), (1.0, n - 2), (end(high), 1)];
        let parts: Vec<_> = parts.into_iter().map(|(value, len)| full(value, len, &mut shape)).collect();
        let sum = Var::concat(&parts, 0).unwrap_or(side);
        let place = g.iota(first + k, right.shape());
        let mut known = right;
        for (ghost, cell) in [(low, 0), (high, n - 1)] {
            if ghost.jump(0) != 0.0 {
                known = known + place.equal(cell as u32).select(right.zeros_like() + r * ghost.jump(0), 0.0);
            }
        }
        RowSums { lower: side, sum, upper: side }.solve(known, first + k)
    }

    /// One step of Crank and Nicolson along axis `k` alone, `a` its diffusivity times step: the middle of the step by half an
    /// implicit step, and once more as far. No second derivative is taken, which f32 would round in units of `a / dx^2`.
    pub(super) fn crank_nicolson_lines<'g>(&self, u: Var<'g>, k: usize, a: f64) -> Result<Var<'g>> {
        Ok(self.solve_lines(u, k, 0.5 * a)? * 2.0 - u)
    }
}
