//! Tridiagonal systems along an axis, batched: on lines, and cyclic ones on rings.
//!
//! ```text
//! lower_k x_{k-1} + diag_k x_k + upper_k x_{k+1} = right_k        k = 0 .. n - 1
//! ```
//!
//! On a line the outer coefficients `lower_0` and `upper_{n-1}` are not used. On a ring they are the corners of the matrix, and
//! indices are modulo `n`: it is cut at its last unknown, and what that one adds to the others is solved for in the
//! coefficients' own shape, so a matrix that a batch shares costs it once.
//!
//! Coefficients broadcast to the right side: `[n]` for one matrix, `[batch, n]` for one a row. Matrices must be diagonally
//! dominant, or symmetric and positive: nothing is exchanged for a larger pivot. A solve takes one invocation a line. Implicit
//! steps of diffusion should be given by [`RowSums`]: their diagonal is `1 + 2 r`, of which f32 forgets the 1.
//!
//! Source: Press et al., *Numerical Recipes*, section 2.4; Grassmann, Taksar and Heyman, Oper. Res. 33, 1107 (1985), for sums of
//! rows.

use crate::error::{Error, Result};
use crate::graph::{Middle, Var};

/// A matrix by its three diagonals.
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
        self.matrix().solve(right, axis)
    }

    /// Solve on rings along `axis` of `right`.
    ///
    /// # Errors
    /// As [`solve`](Self::solve); [`Error::Invalid`] for rings of fewer than three, on which neighbours are one and the same.
    #[track_caller]
    pub fn solve_cyclic(self, right: Var<'g>, axis: usize) -> Result<Var<'g>> {
        self.matrix().solve_cyclic(right, axis)
    }

    fn matrix(self) -> Matrix<'g> {
        Matrix { sides: [self.lower, self.upper], middle: self.diag, by: Middle::Diagonal }
    }
}

/// A matrix by what stands beside the diagonal and the sums of its rows: exact where sums are small beside the diagonal.
///
/// If no side is above 0 and no sum is below 0, nothing is subtracted anywhere, on a ring neither: see
/// [`Var::tridiagonal_by_sums`].
///
/// ```
/// use ergodic::graph::{Feeds, Graph};
/// use ergodic::linalg::tridiagonal::RowSums;
/// # fn main() -> ergodic::Result<()> {
/// let (g, r) = (Graph::new(), 1e6);
/// let sides = g.constant(-r);
/// // A step of diffusion on a ring keeps the sum: here 9, spread evenly up to parts in a million.
/// let x = RowSums { lower: sides, sum: g.constant(1.0), upper: sides }.solve_cyclic(g.input("u", [3]), 0)?;
/// let got = g.eval_f64(&[x], &Feeds::new().tensor("u", &[9.0, 0.0, 0.0]))?;
/// assert!(got[0].data.iter().all(|x| (x - 3.0).abs() < 1e-5));
/// # Ok(()) }
/// ```
#[derive(Clone, Copy)]
pub struct RowSums<'g> {
    /// Factor of the unknown before; on a ring its first entry is the corner at the top right.
    pub lower: Var<'g>,
    /// Sum of each row's entries: on a line of those inside the matrix, on a ring of all three.
    pub sum: Var<'g>,
    /// Factor of the unknown after; on a ring its last entry is the corner at the bottom left.
    pub upper: Var<'g>,
}

impl<'g> RowSums<'g> {
    /// Solve along `axis` of `right`, as [`Diagonals::solve`].
    ///
    /// # Errors
    /// As there.
    #[track_caller]
    pub fn solve(self, right: Var<'g>, axis: usize) -> Result<Var<'g>> {
        self.matrix().solve(right, axis)
    }

    /// Solve on rings along `axis` of `right`, as [`Diagonals::solve_cyclic`].
    ///
    /// # Errors
    /// As there.
    #[track_caller]
    pub fn solve_cyclic(self, right: Var<'g>, axis: usize) -> Result<Var<'g>> {
        self.matrix().solve_cyclic(right, axis)
    }

    fn matrix(self) -> Matrix<'g> {
        Matrix { sides: [self.lower, self.upper], middle: self.sum, by: Middle::RowSum }
    }
}

/// Either of the two.
#[derive(Clone, Copy)]
struct Matrix<'g> {
    sides: [Var<'g>; 2],
    middle: Var<'g>,
    by: Middle,
}

impl<'g> Matrix<'g> {
    #[track_caller]
    fn solve(self, right: Var<'g>, axis: usize) -> Result<Var<'g>> {
        let coefficients = [self.sides[0], self.middle, self.sides[1]];
        let x = match self.by {
            Middle::Diagonal => right.tridiagonal(axis, coefficients),
            Middle::RowSum => right.tridiagonal_by_sums(axis, coefficients),
        };
        right.graph().check().map(|()| x)
    }

    /// Cut the ring at its last unknown, `z`. The others are a line, `T x = r - b z`, so `x = y + p z` with `T y = r` and
    /// `T p = -b`; the last equation then has `z` alone. By sums, `q = 1 - p` solves `T q = sums of the ring's rows`, and the
    /// factor of `z` is `sum - lower q_{n-2} - upper q_0`.
    #[track_caller]
    fn solve_cyclic(self, right: Var<'g>, axis: usize) -> Result<Var<'g>> {
        let (g, shape) = (right.graph(), right.shape());
        let Some(&n) = shape.get(axis) else { return self.solve(right, axis) };
        if n < 3 {
            return Err(Error::Invalid { what: "length of a cyclic system", got: n.to_string(), want: "at least 3" });
        }
        let all = [self.sides[0], self.middle, self.sides[1]].map(|v| spread(v, shape.len(), axis, n));
        let [Some(lower), Some(middle), Some(upper)] = all else { return self.solve(right, axis) };
        g.check()?;
        let (m, at) = (n - 1, |v: Var<'g>, i: usize| v.narrow(axis, i, 1));
        let head = |v: Var<'g>| v.narrow(axis, 0, m);
        // The column of `z`: the corner, and the last but one entry above the diagonal. They leave the sums of the line's rows.
        let (corner, other) = (at(lower, 0), at(upper, m - 1));
        let inner = |v: Var<'g>| (m > 2).then(|| v.narrow(axis, 1, m - 2));
        let ends = |first: Var<'g>, between: Var<'g>, last: Var<'g>| {
            joined(&[Some(first), inner(between), Some(last)].into_iter().flatten().collect::<Vec<_>>(), axis)
        };
        let on_line = match self.by {
            Middle::Diagonal => head(middle),
            Middle::RowSum => ends(at(middle, 0) - corner, middle, at(middle, m - 1) - other),
        };
        let line = Matrix { sides: [head(lower), head(upper)], middle: on_line, by: self.by };
        let p = ends(-corner, lower.zeros_like(), -other);
        let [p, q] = line.solve_two(p, head(middle), axis)?;
        let y = line.solve(head(right), axis)?;
        let crossing = |v: Var<'g>| at(lower, m) * at(v, m - 1) + at(upper, m) * at(v, 0);
        let factor = match self.by {
            Middle::Diagonal => at(middle, m) + crossing(p),
            Middle::RowSum => at(middle, m) - crossing(q),
        };
        let z = (at(right, m) - crossing(y)) / factor;
        let x = joined(&[y + p * z, z], axis);
        g.check().map(|()| x)
    }

    /// Two right sides that all lines share; the second one is needed by sums alone.
    #[track_caller]
    fn solve_two(self, p: Var<'g>, q: Var<'g>, axis: usize) -> Result<[Var<'g>; 2]> {
        // Of the coefficients' common shape.
        let like = |v: Var<'g>| v + (self.sides[0] + self.middle + self.sides[1]) * 0.0;
        if self.by == Middle::Diagonal {
            let p = self.solve(like(p), axis)?;
            return Ok([p, p]);
        }
        let both = joined(&[like(p).unsqueeze(0), like(q).unsqueeze(0)], 0);
        let both = self.solve(both, axis + 1)?;
        let shape = both.shape();
        Ok([0, 1].map(|i| both.narrow(0, i, 1).reshape(&shape[1..])))
    }
}

/// A coefficient with as many axes as the right side; those that it does not have are of length 1, `axis` of length `n`.
fn spread<'g>(v: Var<'g>, rank: usize, axis: usize, n: usize) -> Option<Var<'g>> {
    let own = v.shape();
    let from = [vec![1; rank.saturating_sub(own.len())], own.to_vec()].concat();
    let mut to = from.clone();
    let at = to.len().checked_sub(rank - axis)?;
    to[at] = n;
    Some(v.reshape(from).broadcast_to(to))
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
