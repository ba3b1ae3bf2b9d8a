//! Cholesky's factorisation as a graph, written out entry by entry: for a few dimensions, at a time of each row's own.

use super::fields::LEAST;
use crate::graph::Var;

/// `L` with `L L' = C`, `d` rows of `[1]` or, where times differ, `[n, 1]`.
pub(super) struct Triangle<'g> {
    rows: Vec<Vec<Var<'g>>>,
    /// One over the diagonal.
    inverse: Vec<Var<'g>>,
    /// `log det C`.
    pub log_det: Option<Var<'g>>,
}

impl<'g> Triangle<'g> {
    /// Of the matrix with these entries, `i >= j`. Pivots below 1e-20 count as that.
    pub fn of(d: usize, entry: impl Fn(usize, usize) -> Var<'g>) -> Self {
        let mut own = Triangle { rows: vec![], inverse: vec![], log_det: None };
        for i in 0..d {
            let mut row: Vec<Var<'g>> = vec![];
            for j in 0..i {
                let rest = (0..j).fold(entry(i, j), |rest, k| rest - row[k] * own.rows[j][k]);
                row.push(rest * own.inverse[j]);
            }
            let pivot = row.iter().fold(entry(i, i), |rest, &l| rest - l * l).max(LEAST);
            own.inverse.push(pivot.rsqrt());
            own.log_det = Some(own.log_det.map_or(pivot.log(), |sum| sum + pivot.log()));
            own.rows.push(row);
        }
        own
    }

    /// `z = L^-1 y` of columns `[n, 1]`.
    pub fn solve(&self, y: &[Var<'g>]) -> Vec<Var<'g>> {
        let mut z: Vec<Var<'g>> = vec![];
        for (i, row) in self.rows.iter().enumerate() {
            z.push((0..i).fold(y[i], |rest, k| rest - row[k] * z[k]) * self.inverse[i]);
        }
        z
    }

    /// `L'^-1 z`.
    pub fn solve_transposed(&self, z: &[Var<'g>]) -> Vec<Var<'g>> {
        let mut u = z.to_vec();
        for i in (0..z.len()).rev() {
            let below = i + 1..z.len();
            u[i] = below.fold(z[i], |rest, k| rest - self.rows[k][i] * u[k]) * self.inverse[i];
        }
        u
    }
}
