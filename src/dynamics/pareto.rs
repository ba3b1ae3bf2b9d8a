//! How heavy the tail of the weights is: the generalised Pareto index of the largest ones.
//!
//! A weight distribution with index `k` has infinite moments of order `1/k` and above. From 1/2 on the variance is infinite,
//! an effective number of walkers means little and a standard error nothing; above [`RELIABLE`] no affordable number of
//! walkers gives an average.
//!
//! Source: Vehtari, Simpson, Gelman, Yao and Gabry, "Pareto smoothed importance sampling", JMLR 25(72), 2024; the fit is that
//! of Zhang and Stephens, Technometrics 51, 316 (2009), with the weak prior of the former (10 observations at 1/2).

/// The largest index at which weighted averages are still to be trusted.
pub const RELIABLE: f64 = 0.7;

/// Fewer tail points than this are not fitted.
const FEWEST: usize = 5;

/// A fitted tail.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tail {
    /// The index.
    pub k: f64,
    /// Its standard error, `(1 + k)/sqrt(points in the tail)`; 0 where nothing was fitted.
    pub se: f64,
}

impl Tail {
    /// Whether a standard error of the weights' mean means nothing: `k` is above 1/2 by more than its own error, or above
    /// [`RELIABLE`]. Without the allowance for the error one in six runs of harmless weights would be refused.
    pub fn is_heavy(&self) -> bool {
        self.k > RELIABLE || self.k - self.se > 0.5
    }
}

/// Tail of these weights (any common scale), fitted to the `min(n/5, 3 sqrt n)` largest.
///
/// Equal weights have -1, the index of a uniform distribution. Fewer than 25 weights, and weights that are not numbers, have
/// infinity: there is nothing to trust.
pub fn tail(weights: &[f64]) -> Tail {
    let n = weights.len();
    let points = (n / 5).min((3.0 * (n as f64).sqrt()).ceil() as usize);
    if points < FEWEST || weights.iter().any(|w| !w.is_finite()) {
        return Tail { k: f64::INFINITY, se: 0.0 };
    }
    // Only the tail has to be in order.
    let mut all = weights.to_vec();
    let (_, &mut cutoff, tail) = all.select_nth_unstable_by(n - points - 1, f64::total_cmp);
    tail.sort_unstable_by(f64::total_cmp);
    let excess: Vec<_> = tail.iter().map(|w| w - cutoff).collect();
    // Excesses that are all rounding are a constant tail, as are the equal weights just after a resampling.
    if excess[points - 1] <= 1e-12 * tail[points - 1].abs() {
        return Tail { k: -1.0, se: 0.0 };
    }
    let k = shape(&excess);
    Tail { k, se: (1.0 + k).max(0.0) / (points as f64).sqrt() }
}

/// Shape of a generalised Pareto distribution with location 0, from ascending excesses (not all of them 0).
pub fn shape(excess: &[f64]) -> f64 {
    let n = excess.len() as f64;
    let grid = 30 + n.sqrt() as usize;
    let quartile = excess[((n / 4.0 + 0.5) as usize).max(1) - 1].max(1e-9 * excess[excess.len() - 1]);
    // One logarithm of eight factors: each is between 0 and 1e10.
    let mean_log =
        |b: f64| excess.chunks(8).map(|x| x.iter().map(|x| 1.0 - b * x).product::<f64>().ln()).sum::<f64>() / n;
    let candidate = |j: usize| {
        let spread = 1.0 - (grid as f64 / (j as f64 - 0.5)).sqrt();
        1.0 / excess[excess.len() - 1] + spread / (3.0 * quartile)
    };
    let scored: Vec<_> = (1..=grid).map(candidate).map(|b| (b, n * profile(b, mean_log(b)))).collect();
    let best = scored.iter().map(|s| s.1).fold(f64::NEG_INFINITY, f64::max);
    let total: f64 = scored.iter().map(|s| (s.1 - best).exp()).sum();
    let b = scored.iter().map(|s| s.0 * (s.1 - best).exp()).sum::<f64>() / total;
    (n * mean_log(b) + 10.0 * 0.5) / (n + 10.0)
}

/// Profile log-likelihood, one observation's share.
fn profile(b: f64, k: f64) -> f64 {
    (-b / k).ln() - k - 1.0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Quantiles of a generalised Pareto distribution in place of a sample: no scatter, so the bound is that of the fit.
    fn quantiles(k: f64, n: usize) -> Vec<f64> {
        (0..n).map(|i| (i as f64 + 0.5) / n as f64).map(|q| ((1.0 - q).powf(-k) - 1.0) / k).collect()
    }

    #[test]
    fn the_fit_finds_the_index_of_exact_quantiles() {
        for k in [-0.5, 0.2, 0.5, 0.9, 1.5] {
            let got = shape(&quantiles(k, 2000));
            // The prior pulls by 10 (1/2 - k)/2010; half-spaced quantiles cut the tail, of order 1/sqrt(2000).
            let bound = 10.0 * (0.5 - k).abs() / 2010.0 + 1.0 / 2000f64.sqrt();
            assert!((got - k).abs() < bound, "k = {k}: {got}");
        }
    }

    #[test]
    fn equal_weights_have_no_tail_and_few_weights_no_index() {
        assert_eq!(tail(&[0.25; 1000]).k, -1.0);
        assert_eq!(tail(&[0.25; 24]).k, f64::INFINITY);
        assert_eq!(tail(&[f64::NAN; 1000]).k, f64::INFINITY);
    }

    #[test]
    fn the_index_does_not_depend_on_scale_or_order() {
        let mut weights = quantiles(0.6, 3000);
        let k = tail(&weights).k;
        weights.iter_mut().for_each(|w| *w *= 1e-30);
        weights.reverse();
        // Powers of ten are not exact in binary: each weight moves by half a unit in the last place.
        assert!((tail(&weights).k - k).abs() < 3000.0 * f64::EPSILON);
    }
}
