//! Systems of equations along an axis.

use super::{DType, Op, Var};
use std::panic::Location;

impl<'g> Var<'g> {
    /// The solution `x` of a tridiagonal system in every line along `axis`, this being the right side:
    ///
    /// ```text
    /// lower_k x_{k-1} + diag_k x_k + upper_k x_{k+1} = self_k        k = 0 .. n - 1
    /// ```
    ///
    /// `lower_0` and `upper_{n-1}` stand outside the matrix and are not used. The three coefficients have this shape, or one
    /// that broadcasts to it: along the last axis `[n]` is one matrix for all lines, `[batch, 1, n]` one for each of a batch. A
    /// coefficient that is the constant zero costs nothing: with `upper = 0` this is the recurrence
    /// `x_k = (self_k - lower_k x_{k-1}) / diag_k`, with `lower = 0` the one from the other end.
    ///
    /// Elimination without pivoting (Thomas): right for matrices that are diagonally dominant, or symmetric and positive. Linear
    /// in the right side; differentiable in all four. One invocation a line, `2 n` turns, so speed comes from many lines.
    ///
    /// ```
    /// # use ergodic::graph::{Feeds, Graph};
    /// # fn main() -> ergodic::Result<()> {
    /// let g = Graph::new();
    /// let one = g.constant(1.0);
    /// let x = g.input("r", [2, 3]).tridiagonal(1, [-one, one * 2.0, -one]);
    /// let got = g.eval_f64(&[x], &Feeds::new().tensor("r", &[4.0, 0.0, 0.0, 1.0, 0.0, 1.0]))?;
    /// let want = [3.0, 2.0, 1.0, 1.0, 1.0, 1.0];
    /// assert!(got[0].data.iter().zip(want).all(|(x, want)| (x - want).abs() < 1e-14));
    /// # Ok(()) }
    /// ```
    ///
    /// # Accuracy
    /// `|err| <= 4 n eps |A^-1| |A| |x|` at worst; of a diagonally dominant matrix a few `eps` times `|A^-1| |self|`.
    #[track_caller]
    pub fn tridiagonal(self, axis: usize, [lower, diag, upper]: [Var<'g>; 3]) -> Var<'g> {
        let (shape, site) = (self.shape(), Location::caller());
        let args = [lower, diag, upper, self];
        if let Some(bad) = args.iter().find(|v| v.is_invalid()) {
            return *bad;
        }
        if axis >= shape.len() {
            let want = "an axis below the rank".into();
            return self.mismatch("tridiagonal", format!("axis {axis} of {shape}"), want, site);
        }
        if let Some(other) = args.iter().find(|v| v.dtype() != DType::F32) {
            let got = format!("{:?}", other.dtype());
            return self.mismatch("tridiagonal", got, "F32; convert with .cast()".into(), site);
        }
        if let Some(other) = args.iter().find(|v| v.shape().broadcast(&shape).as_ref() != Some(&shape)) {
            let got = format!("a coefficient {} for {shape}", other.shape());
            return self.mismatch("tridiagonal", got, "axes that are equal or 1, aligned from the last".into(), site);
        }
        let args = args.map(|v| v.broadcast_to(shape.clone()).id()).to_vec();
        self.graph().push(Op::Tridiagonal { axis }, args, shape, DType::F32, site)
    }
}
