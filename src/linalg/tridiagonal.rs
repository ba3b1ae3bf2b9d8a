//! Tridiagonal systems along an axis, batched: on lines, and cyclic ones on rings.
//!
//! ```text
//! lower_k x_{k-1} + diag_k x_k + upper_k x_{k+1} = right_k        k = 0 .. n - 1
//! ```
//!
//! On a line the outer coefficients `lower_0` and `upper_{n-1}` are not used. On a ring they are the corners of the matrix, and
//! indices are modulo `n`: one rank-one correction of a line's matrix (Sherman and Morrison), whose second solve has the
//! coefficients' own shape, so a matrix that a batch shares costs it once.
//!
//! Coefficients broadcast to the right side: `[n]` for one matrix, `[batch, n]` for one a row. Matrices must be diagonally
//! dominant, or symmetric and positive: nothing is exchanged for a larger pivot. A solve takes one invocation a line.
//!
//! Source: Press et al., *Numerical Recipes*, sections 2.4 and 2.7.2.

use crate::error::{Error, Result};
use crate::graph::Var;

/// The three diagonals of a matrix.
#[derive(Clone, Copy)]
pub struct Diagonals<'g> {
    /// Factor of the unknown before; on a ring its first entry is the corner at the top right.
    pub lower: Var<'g>,
    /// Factor of the unknown itself.
    pub diag: Var<'g>,
    /// Factor of the unknown after; on a ring its last entry is the corner at the bottom left.
    pub upper: Var<'g>,
}

/// Solve along the last axis of `right`.
///
/// ```
/// use ergodic::graph::{Feeds, Graph};
/// use ergodic::linalg::tridiagonal::tridiagonal;
/// # fn main() -> ergodic::Result<()> {
/// let g = Graph::new();
/// // One implicit step of diffusion, (1 + 2 r) x_k - r (x_{k-1} + x_{k+1}) = u_k with r = 1, zero beyond both ends.
/// let (r, u) = (g.constant(1.0), g.input("u", [3]));
/// let x = tridiagonal(-r, r * 2.0 + 1.0, -r, u)?;
/// let got = g.eval_f64(&[x], &Feeds::new().tensor("u", &[2.0, 1.0, 2.0]))?;
/// assert!(got[0].data.iter().all(|x| (x - 1.0).abs() < 1e-15));
/// # Ok(()) }
/// ```
///
/// # Errors
/// [`Error::Shape`] if coefficients do not broadcast to the right side.
#[track_caller]
pub fn tridiagonal<'g>(lower: Var<'g>, diag: Var<'g>, upper: Var<'g>, right: Var<'g>) -> Result<Var<'g>> {
    Diagonals { lower, diag, upper }.solve(right, last_axis(right)?)
}

/// Solve on a ring of at least three, along the last axis of `right`.
///
/// ```
/// use ergodic::graph::{Feeds, Graph};
/// use ergodic::linalg::tridiagonal::cyclic_tridiagonal;
/// # fn main() -> ergodic::Result<()> {
/// let g = Graph::new();
/// let (one, u) = (g.constant(1.0), g.input("u", [4]));
/// let x = cyclic_tridiagonal(-one, one * 3.0, -one, u)?; // a constant is multiplied by 3 - 1 - 1
/// let got = g.eval_f64(&[x], &Feeds::new().tensor("u", &[5.0; 4]))?;
/// assert!(got[0].data.iter().all(|x| (x - 5.0).abs() < 1e-14));
/// # Ok(()) }
/// ```
///
/// # Errors
/// [`Error::Shape`] if coefficients do not broadcast to the right side; [`Error::Invalid`] for a ring of fewer than three.
#[track_caller]
pub fn cyclic_tridiagonal<'g>(lower: Var<'g>, diag: Var<'g>, upper: Var<'g>, right: Var<'g>) -> Result<Var<'g>> {
    Diagonals { lower, diag, upper }.solve_cyclic(right, last_axis(right)?)
}

fn last_axis(right: Var<'_>) -> Result<usize> {
    right.graph().check()?;
    right.shape().len().checked_sub(1).ok_or_else(|| Error::Shape {
        op: "tridiagonal",
        got: "a scalar right side".into(),
        want: "[.., n], with the unknowns of a line along the last axis".into(),
        at: Some(right.site()),
    })
}

impl<'g> Diagonals<'g> {
    /// Solve along `axis` of `right`. Coefficients broadcast to it: along an inner axis of `[batch, n, m]` a matrix for all
    /// is `[n, 1]`.
    ///
    /// # Errors
    /// [`Error::Shape`] if they do not, or if there is no such axis.
    #[track_caller]
    pub fn solve(self, right: Var<'g>, axis: usize) -> Result<Var<'g>> {
        let x = right.tridiagonal(axis, [self.lower, self.diag, self.upper]);
        right.graph().check().map(|()| x)
    }

    /// Solve on rings along `axis` of `right`.
    ///
    /// With `gamma = -diag_0`, the matrix is that of a line, with `diag_0 - gamma` and `diag_{n-1} - lower_0 upper_{n-1} / gamma`
    /// at its ends, plus the product of `(gamma, 0 .. 0, upper_{n-1})` and `(1, 0 .. 0, lower_0 / gamma)`.
    ///
    /// # Errors
    /// As [`solve`](Self::solve); [`Error::Invalid`] for rings of fewer than three, on which neighbours are one and the same.
    #[track_caller]
    pub fn solve_cyclic(self, right: Var<'g>, axis: usize) -> Result<Var<'g>> {
        let (g, shape) = (right.graph(), right.shape());
        let Some(&n) = shape.get(axis) else { return self.solve(right, axis) };
        if n < 3 {
            return Err(Error::Invalid { what: "length of a cyclic system", got: n.to_string(), want: "at least 3" });
        }
        // Coefficients with all axes of the right side, those that they do not have of length 1.
        let from_end = shape.len() - axis;
        let spread = |v: Var<'g>| {
            let own = v.shape();
            let missing = shape.len().saturating_sub(own.len());
            let mut to = [vec![1; missing], own.to_vec()].concat();
            let at = to.len().checked_sub(from_end)?;
            to[at] = n;
            Some(v.reshape([vec![1; missing], own.to_vec()].concat()).broadcast_to(to))
        };
        let [Some(lower), Some(diag), Some(upper)] = [self.lower, self.diag, self.upper].map(spread) else {
            return self.solve(right, axis);
        };
        g.check()?;
        let end = |v: Var<'g>, at: usize| v.narrow(axis, at, 1);
        let (first, corner, other) = (end(diag, 0), end(lower, 0), end(upper, n - 1));
        let last = end(diag, n - 1) + corner * other / first;
        let middle = diag.narrow(axis, 1, n - 2);
        let on_line = Diagonals { diag: joined(&[first * 2.0, middle, last], axis), lower, upper };
        let ends = joined(&[-first, middle.zeros_like(), other], axis);
        let y = on_line.solve(right, axis)?;
        let z = on_line.solve_like(ends, axis)?;
        let along = |v: Var<'g>| end(v, 0) - end(v, n - 1) * corner / first;
        let x = y - z * (along(y) / (along(z) + 1.0));
        g.check().map(|()| x)
    }

    /// Solve for a right side that has to be repeated where the coefficients have a batch.
    #[track_caller]
    fn solve_like(self, right: Var<'g>, axis: usize) -> Result<Var<'g>> {
        let like = right + (self.lower + self.diag + self.upper) * 0.0;
        self.solve(like, axis)
    }
}

/// Parts that broadcast to each other on all axes but `axis`, one after the other along it.
#[track_caller]
fn joined<'g>(parts: &[Var<'g>], axis: usize) -> Var<'g> {
    let rank = parts[0].shape().len();
    let widest: Vec<usize> = (0..rank).map(|i| parts.iter().map(|p| p.shape()[i]).max().unwrap_or(1)).collect();
    let like = |part: &Var<'g>| {
        let mut to = widest.clone();
        to[axis] = part.shape()[axis];
        part.broadcast_to(to)
    };
    let parts: Vec<_> = parts.iter().map(like).collect();
    Var::concat(&parts, axis).unwrap_or(parts[0])
}
