//! Which rows of two batches belong together: the pairs of least total squared distance.

use crate::error::{Error, Result};

/// Rows of `x1 [n, d]` in the order in which they belong to the rows of `x0 [n, d]`, so that the sum of squared distances is
/// least; and that sum over `n`, an estimate of `W_2^2` that is high by what `n` points do not resolve.
///
/// Pairs of a batch instead of independent draws shorten and straighten the paths of a flow; every pairing leaves the ends'
/// densities as they are. Exact, on the host, by shortest augmenting paths: `n^3` operations at most, a second for `n = 1000`.
///
/// ```
/// use ergodic::methods::interpolant::optimal_pairs;
/// let (order, cost) = optimal_pairs(&[0.0, 1.0, 5.0], &[5.5, 0.5, 1.5], 1)?;
/// assert_eq!(order, [1, 2, 0]);
/// assert_eq!(cost, 0.25);
/// # Ok::<(), ergodic::Error>(())
/// ```
///
/// Source: minibatch couplings of arXiv:2302.00482 and arXiv:2304.14772; the algorithm of Jonker and Volgenant, Computing 38,
/// 325 (1987), without its initial reductions.
///
/// # Errors
/// [`Error::Shape`] for batches that are not rows of `d` or not as many; [`Error::Invalid`] for a value that is not finite.
pub fn optimal_pairs(x0: &[f32], x1: &[f32], d: usize) -> Result<(Vec<usize>, f64)> {
    if d == 0 || x0.len() != x1.len() || !x0.len().is_multiple_of(d) {
        let got = format!("{} and {} values", x0.len(), x1.len());
        return Err(Error::Shape { op: "optimal_pairs", got, want: format!("as many rows of {d} in both"), at: None });
    }
    if let Some(value) = x0.iter().chain(x1).find(|v| !v.is_finite()) {
        return Err(Error::Invalid { what: "value of a batch", got: value.to_string(), want: "finite" });
    }
    let square = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum();
    let n = x0.len() / d;
    let cost: Vec<f64> = x0.chunks_exact(d).flat_map(|a| x1.chunks_exact(d).map(move |b| square(a, b))).collect();
    let order = assignment(&cost, n);
    let total: f64 = order.iter().enumerate().map(|(i, &j)| cost[i * n + j]).sum();
    Ok((order, total / n.max(1) as f64))
}

/// The column of each row in the assignment of least cost, `cost [n, n]`.
fn assignment(cost: &[f64], n: usize) -> Vec<usize> {
    // Prices of rows and columns with cost - row - column >= 0, and = 0 on pairs; column n stands for the row to be placed.
    let (mut row_price, mut column_price) = (vec![0.0; n], vec![0.0; n + 1]);
    let mut row_of: Vec<Option<usize>> = vec![None; n + 1];
    for row in 0..n {
        row_of[n] = Some(row);
        let mut tree =
            Tree { at: n, distance: vec![f64::INFINITY; n], before: vec![n; n], reached: vec![false; n + 1] };
        while let Some(from) = row_of[tree.at] {
            let step = tree.grow(&cost[from * n..(from + 1) * n], row_price[from], &column_price);
            for column in 0..=n {
                if tree.reached[column] {
                    if let Some(owner) = row_of[column] {
                        row_price[owner] += step;
                    }
                    column_price[column] -= step;
                } else if column < n {
                    tree.distance[column] -= step;
                }
            }
        }
        // Shift every pair on the way to the free column.
        let mut column = tree.at;
        while column != n {
            let before = tree.before[column];
            row_of[column] = row_of[before];
            column = before;
        }
    }
    let mut order = vec![0; n];
    for (column, row) in row_of[..n].iter().enumerate() {
        if let Some(row) = row {
            order[*row] = column;
        }
    }
    order
}

/// Shortest alternating paths from the row to be placed.
struct Tree {
    at: usize,
    distance: Vec<f64>,
    before: Vec<usize>,
    reached: Vec<bool>,
}

impl Tree {
    /// Go on from the row of the column reached last to the nearest column outside; how far that is.
    fn grow(&mut self, costs: &[f64], row_price: f64, column_price: &[f64]) -> f64 {
        self.reached[self.at] = true;
        let (mut nearest, mut least) = (self.at, f64::INFINITY);
        for (column, cost) in costs.iter().enumerate().filter(|(column, _)| !self.reached[*column]) {
            let reduced = cost - row_price - column_price[column];
            if reduced < self.distance[column] {
                (self.distance[column], self.before[column]) = (reduced, self.at);
            }
            if self.distance[column] < least {
                (nearest, least) = (column, self.distance[column]);
            }
        }
        self.at = nearest;
        least
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::RngKey;

    fn normals(n: usize, d: usize, seed: u64) -> Vec<f32> {
        let mut x = vec![0.0; n * d];
        RngKey::new(seed).fill_normal(0, d, &mut x);
        x
    }

    /// The least cost of all orders, by trying them.
    fn by_trial(cost: &[f64], n: usize, row: usize, used: &mut Vec<bool>) -> f64 {
        if row == n {
            return 0.0;
        }
        let mut best = f64::INFINITY;
        for column in 0..n {
            if !used[column] {
                used[column] = true;
                best = best.min(cost[row * n + column] + by_trial(cost, n, row + 1, used));
                used[column] = false;
            }
        }
        best
    }

    #[test]
    fn no_other_order_costs_less() {
        for seed in 0..20 {
            let (a, b, n, d) = (normals(7, 3, seed), normals(7, 3, 100 + seed), 7, 3);
            let (order, got) = optimal_pairs(&a, &b, d).unwrap();
            let square = |i: usize, j: usize| {
                (0..d).map(|c| (f64::from(a[i * d + c]) - f64::from(b[j * d + c])).powi(2)).sum::<f64>()
            };
            let cost: Vec<_> = (0..n * n).map(|at| square(at / n, at % n)).collect();
            let best = by_trial(&cost, n, 0, &mut vec![false; n]) / n as f64;
            assert!((got - best).abs() < 1e-12, "{got} {best}");
            let mut sorted = order;
            sorted.sort_unstable();
            assert_eq!(sorted, (0..n).collect::<Vec<_>>());
        }
    }

    #[test]
    fn on_a_line_pairs_keep_order() {
        let (a, b) = (normals(200, 1, 1), normals(200, 1, 2));
        let (order, cost) = optimal_pairs(&a, &b, 1).unwrap();
        let ranked = |x: &[f32]| {
            let mut rows: Vec<_> = (0..x.len()).collect();
            rows.sort_by(|i, j| x[*i].total_cmp(&x[*j]));
            rows
        };
        for (i, j) in ranked(&a).into_iter().zip(ranked(&b)) {
            assert_eq!(order[i], j);
        }
        let given: f64 = a.iter().zip(&b).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>() / 200.0;
        assert!(cost < 0.1 * given, "independent pairs cost 2: {given} {cost}");
    }

    #[test]
    fn batches_that_do_not_fit_are_refused() {
        assert!(optimal_pairs(&[], &[], 2).unwrap().0.is_empty());
        let text = optimal_pairs(&[1.0, 2.0], &[1.0], 1).unwrap_err().to_string();
        assert_eq!(text, "shape mismatch in `optimal_pairs`: got 2 and 1 values, want as many rows of 1 in both");
        let text = optimal_pairs(&[1.0], &[f32::NAN], 1).unwrap_err().to_string();
        assert_eq!(text, "value of a batch is NaN, but must be finite");
    }
}
