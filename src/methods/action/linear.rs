//! Small linear systems in f64: the noise matrix of one state, tridiagonal systems, dense ones.

use super::system::Curvature;

/// Solve `A x = r` for each right side, in place, from the products of `A [d, d]` with the probes of `colours`.
///
/// `column(c, i)` is entry `i` of the product with probe `c`. A singular matrix gives what is not finite.
pub(super) fn solve_noise(
    curvature: Curvature,
    colours: &[usize],
    column: impl Fn(usize, usize) -> f64,
    rhs: &mut [&mut [f64]],
) {
    let d = colours.len();
    match curvature {
        Curvature::Diagonal => {
            rhs.iter_mut().for_each(|r| r.iter_mut().enumerate().for_each(|(i, x)| *x /= column(0, i)));
        }
        Curvature::Ring => {
            let diagonal: Vec<_> = (0..d).map(|i| column(colours[i], i)).collect();
            let above: Vec<_> = (0..d).map(|i| column(colours[(i + 1) % d], i)).collect();
            let below: Vec<_> = (0..d).map(|i| column(colours[(i + d - 1) % d], i)).collect();
            rhs.iter_mut().for_each(|r| solve_ring(&below, &diagonal, &above, r));
        }
        Curvature::Dense => {
            let mut a: Vec<_> = (0..d * d).map(|at| column(at % d, at / d)).collect();
            solve_dense(&mut a, rhs);
        }
    }
}

/// Gaussian elimination with row pivots; `a [d, d]` is destroyed.
pub(super) fn solve_dense(a: &mut [f64], rhs: &mut [&mut [f64]]) {
    let d = a.len().isqrt();
    for k in 0..d {
        let pivot = (k..d).max_by(|&i, &j| a[i * d + k].abs().total_cmp(&a[j * d + k].abs())).unwrap_or(k);
        if pivot != k {
            (0..d).for_each(|j| a.swap(k * d + j, pivot * d + j));
            rhs.iter_mut().for_each(|r| r.swap(k, pivot));
        }
        for i in k + 1..d {
            let factor = a[i * d + k] / a[k * d + k];
            if factor == 0.0 {
                continue;
            }
            (k..d).for_each(|j| a[i * d + j] -= factor * a[k * d + j]);
            rhs.iter_mut().for_each(|r| r[i] -= factor * r[k]);
        }
    }
    for r in rhs {
        for i in (0..d).rev() {
            let known: f64 = (i + 1..d).map(|j| a[i * d + j] * r[j]).sum();
            r[i] = (r[i] - known) / a[i * d + i];
        }
    }
}

/// Thomas' algorithm: `below[i] x[i-1] + diagonal[i] x[i] + above[i] x[i+1] = r[i]`, in place.
pub(super) fn solve_tridiagonal(below: &[f64], diagonal: &[f64], above: &[f64], r: &mut [f64]) {
    let n = r.len();
    let mut ratio = vec![0.0; n];
    for i in 0..n {
        let (left, before) = if i == 0 { (0.0, 0.0) } else { (below[i], r[i - 1]) };
        let pivot = diagonal[i] - left * if i == 0 { 0.0 } else { ratio[i - 1] };
        ratio[i] = above[i] / pivot;
        r[i] = (r[i] - left * before) / pivot;
    }
    for i in (0..n.saturating_sub(1)).rev() {
        r[i] -= ratio[i] * r[i + 1];
    }
}

/// The same on a ring, by Sherman and Morrison's formula.
fn solve_ring(below: &[f64], diagonal: &[f64], above: &[f64], r: &mut [f64]) {
    let n = r.len();
    let (corner_low, corner_high, gamma) = (above[n - 1], below[0], -diagonal[0]);
    let mut inner = diagonal.to_vec();
    inner[0] -= gamma;
    inner[n - 1] -= corner_low * corner_high / gamma;
    let mut u = vec![0.0; n];
    (u[0], u[n - 1]) = (gamma, corner_low);
    solve_tridiagonal(below, &inner, above, r);
    solve_tridiagonal(below, &inner, above, &mut u);
    let part = |x: &[f64]| x[0] + corner_high * x[n - 1] / gamma;
    let factor = part(r) / (1.0 + part(&u));
    r.iter_mut().zip(&u).for_each(|(x, u)| *x -= factor * u);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn solutions_solve_their_systems() {
        let n = 9;
        let below: Vec<_> = (0..n).map(|i| -0.3 - 0.05 * i as f64).collect();
        let above: Vec<_> = (0..n).map(|i| -0.7 + 0.03 * i as f64).collect();
        let diagonal: Vec<_> = (0..n).map(|i| 2.0 + 0.1 * i as f64).collect();
        let r: Vec<_> = (0..n).map(|i| (i as f64).sin()).collect();
        for ring in [false, true] {
            let wrap = |i: usize, by: usize| (i + by) % n;
            let apply = |x: &[f64], i: usize| {
                let left = if i == 0 && !ring { 0.0 } else { below[i] * x[wrap(i, n - 1)] };
                let right = if i == n - 1 && !ring { 0.0 } else { above[i] * x[wrap(i, 1)] };
                left + diagonal[i] * x[i] + right
            };
            let mut x = r.clone();
            if ring {
                solve_ring(&below, &diagonal, &above, &mut x)
            } else {
                solve_tridiagonal(&below, &diagonal, &above, &mut x)
            }
            // Backward stable and well conditioned: a few roundings of numbers up to 4.
            assert!((0..n).all(|i| (apply(&x, i) - r[i]).abs() < 1e-14), "ring {ring}: {x:?}");
            let mut dense = vec![0.0; n * n];
            for j in 0..n {
                let unit: Vec<_> = (0..n).map(|i| f64::from(u8::from(i == j))).collect();
                (0..n).for_each(|i| dense[i * n + j] = apply(&unit, i));
            }
            let mut y = r.clone();
            solve_dense(&mut dense, &mut [&mut y]);
            assert!(x.iter().zip(&y).all(|(x, y)| (x - y).abs() < 1e-14));
        }
    }
}
