//! Resampling: walkers of large weight are copied, walkers of small weight dropped, all weights become equal.
//!
//! It costs variance at once and saves more later, so it is done only when the effective number of walkers has become
//! small. All of it is graph: the test, the draw and the copy are part of the step, the host decides nothing. `log Z` does
//! not jump: the log of the mean weight before the event is carried on in [`Weighted::log_z0`].
//!
//! | [`Scheme`] | uniforms | offspring of walker i, of mean `N p_i` under all |
//! |---|---|---|
//! | `Multinomial` | n | binomial: the largest variance |
//! | `Residual` | n | `floor(N p_i)`, the rest multinomial |
//! | `Stratified` | n | within 2 of `N p_i`; never more variance than multinomial |
//! | `Systematic` | 1 | `floor(N p_i)` or `ceil(N p_i)`; the default |
//!
//! Source: Douc, Cappe and Moulines, "Comparison of resampling schemes for particle filtering", ISPA 2005.

use super::compensated::Compensated;
use super::proposal::EndPoint;
use super::summary::Summary;
use crate::graph::{DType, Graph, Key, Var};

/// How ancestors are drawn. See the [module](self).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)] // the table in the module's head
pub enum Scheme {
    Multinomial,
    Stratified,
    Residual,
    #[default]
    Systematic,
}

/// When and how a sampler resamples.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resampling {
    /// How ancestors are drawn.
    #[serde(default)]
    pub scheme: Scheme,
    /// Resample when the effective number of walkers falls below this part of all, in `(0, 1]`.
    pub ess_below: f64,
}

impl Scheme {
    /// The uniforms that [`ancestors`] needs: a scalar for systematic, `[n]` for the others.
    #[track_caller]
    pub fn uniforms(self, key: Key<'_>, n: usize) -> Var<'_> {
        if self == Scheme::Systematic { key.uniform([]) } else { key.uniform([n]) }
    }
}

/// Ancestors of `n` walkers with relative weights `w [n]` (not normalised, none negative): `U32 [n]`.
///
/// `uniforms` as [`Scheme::uniforms`] draws them. Ancestor `j` is the first walker whose running sum of weights reaches
/// the `j`-th point; a walker of weight 0 is never one. Weights below `2^-126` may count as 0.
///
/// # Accuracy
/// With `Systematic` every walker has `floor(n p_i)` or `ceil(n p_i)` offspring, `p_i` being exactly `w_i` over the sum of all `w`:
/// no rounding and no driver can break it, because sums are integers ([`Var::apportion`], derived in `kernels::apportion`). The
/// mean is kept within `2^-29 (1 + n p_i / 64)` and the part of uniforms, below `n 2^-28` and about `2^-33 sqrt(n)`, that would
/// leave a point without an owner. `Stratified` has its points on the same line: counts are within 2 of `n p_i`.
///
/// `Multinomial` searches a running sum in f32, so that a point within `2^-24` of a boundary may fall to the neighbour.
/// `Residual` does so for the places that are left; its whole offspring are summed as integers, and an `n p_i` that f32 cannot
/// tell from an integer counts as that.
#[track_caller]
pub fn ancestors<'g>(scheme: Scheme, w: Var<'g>, uniforms: Var<'g>) -> Var<'g> {
    match scheme {
        Scheme::Stratified | Scheme::Systematic => w.apportion(w.shape().numel(), uniforms),
        Scheme::Multinomial => multinomial(w, uniforms),
        Scheme::Residual => residual(w, uniforms),
    }
}

#[track_caller]
fn multinomial<'g>(w: Var<'g>, uniforms: Var<'g>) -> Var<'g> {
    let sums = w.cumsum(0);
    let total = last(sums);
    reach(sums, (uniforms * total).min(total))
}

/// Whole offspring first, `floor(n p_i)` each; the places left are drawn from the fractions.
#[track_caller]
fn residual<'g>(w: Var<'g>, uniforms: Var<'g>) -> Var<'g> {
    let (g, n) = (w.graph(), w.shape().numel());
    let expected = w * (n as f64 / last(w.cumsum(0)));
    // Four roundings, of 2^-24 each, stand between this and `n p`.
    let whole = (expected * (1.0 + 2f64.powi(-22))).floor();
    let rest_sums = (expected - whole).max(0.0).cumsum(0);
    let whole_sums = whole.cast(DType::U32).cumsum(0);
    let place = g.iota(0, [n]);
    let fixed = reach(whole_sums, place + 1);
    let rest = last(rest_sums);
    place.lt(last(whole_sums)).select(fixed, reach(rest_sums, (uniforms * rest).min(rest)))
}

/// The first walker whose running sum reaches each point. Points are at most the last sum, so a tail of zero weights is
/// not reached; the bound on the index holds for weights that are not numbers, too.
#[track_caller]
fn reach<'g>(sums: Var<'g>, points: Var<'g>) -> Var<'g> {
    let n = sums.shape().numel();
    sums.search_sorted(points).min(n.saturating_sub(1) as u32)
}

#[track_caller]
fn last(sums: Var<'_>) -> Var<'_> {
    let n = sums.shape().numel();
    sums.narrow(0, n.saturating_sub(1), n.min(1)).sum(0)
}

/// Log-weights and what earlier resamplings left behind: the state that carries exact averages.
#[derive(Clone, Copy)]
pub struct Weighted<'g> {
    /// Log-weights since the last resampling, `[n]`.
    pub log_weights: Compensated<'g>,
    /// `log(Z/Z_0)` at the last resampling, scalar; compensated, because it is a difference of large numbers later on.
    pub log_z0: Compensated<'g>,
    /// Variance of [`log_z0`](Self::log_z0): the sum of `(1/ess - 1)/n` over resamplings, scalar.
    pub log_z0_var: Var<'g>,
    /// How many resamplings there were, `U32` scalar.
    pub resamplings: Var<'g>,
}

impl<'g> Weighted<'g> {
    /// `n` walkers of equal weight.
    pub fn equal(graph: &'g Graph, n: usize) -> Self {
        Weighted {
            log_weights: Compensated::zeros(graph, [n]),
            log_z0: Compensated::zeros(graph, []),
            log_z0_var: graph.constant(0.0),
            resamplings: graph.constant_u32(0),
        }
    }

    /// These log-weights increased by `gain [n]`.
    #[must_use]
    pub fn gain(self, gain: Var<'g>) -> Self {
        Weighted { log_weights: self.log_weights.plus(gain), ..self }
    }

    /// `log(Z/Z_0)`, scalar, in f32.
    pub fn log_z(self) -> Var<'g> {
        self.log_z0.value() + Summary::of(self.log_weights).log_mean_exp()
    }

    /// Resample if the effective number of walkers is below `rule.ess_below` of all.
    ///
    /// Where it is not, ancestors are `0, 1, 2 ..` and nothing else changes, so the step's cost does not depend on it.
    #[track_caller]
    pub fn resample_if(self, rule: Resampling, key: Key<'g>) -> Resampled<'g> {
        let summary = Summary::of(self.log_weights);
        let happened = summary.ess_fraction().lt(rule.ess_below);
        self.resample_where(happened, summary, rule.scheme, key)
    }

    /// Resample where the `Bool` scalar `happened` holds; `summary` is that of the log-weights.
    #[track_caller]
    pub fn resample_where(
        self,
        happened: Var<'g>,
        summary: Summary<'g>,
        scheme: Scheme,
        key: Key<'g>,
    ) -> Resampled<'g> {
        let (g, n) = (happened.graph(), summary.relative.shape().numel());
        let drawn = ancestors(scheme, summary.relative, scheme.uniforms(key, n));
        // Two additions: `top` is a high part and added exactly, only the small remainder is rounded.
        let log_z0 = self.log_z0.plus(summary.top).plus(summary.log_mean_relative());
        let variance = self.log_z0_var + (summary.ess_fraction().recip() - 1.0).max(0.0) / n as f64;
        let weights = Weighted {
            log_weights: self.log_weights.replace_if(happened, Compensated::zeros(g, [n])),
            log_z0: self.log_z0.replace_if(happened, log_z0),
            log_z0_var: happened.select(variance, self.log_z0_var),
            resamplings: self.resamplings + happened.cast(DType::U32),
        };
        Resampled { ancestors: happened.select(drawn, g.iota(0, [n])), happened, weights }
    }
}

/// What [`Weighted::resample_if`] gives.
#[derive(Clone, Copy)]
pub struct Resampled<'g> {
    /// Row of which each walker is a copy, `U32 [n]`.
    pub ancestors: Var<'g>,
    /// Whether there was a resampling, `Bool` scalar.
    pub happened: Var<'g>,
    /// Weights after it.
    pub weights: Weighted<'g>,
}

impl<'g> Resampled<'g> {
    /// The rows of a walkers' state `[n, ..]` that go on.
    #[track_caller]
    pub fn rows(&self, state: Var<'g>) -> Var<'g> {
        state.gather(self.ancestors)
    }

    /// The points that go on.
    #[track_caller]
    pub fn points(&self, state: EndPoint<'g>) -> EndPoint<'g> {
        state.gather(self.ancestors)
    }
}

/// The same draws in f64 on the host, written from the definitions.
pub mod reference {
    use super::Scheme;

    /// Twin of [`ancestors`](super::ancestors). One uniform for `Systematic`, `w.len()` for the others.
    ///
    /// ```
    /// # use ergodic::dynamics::resample::{reference::{ancestors, offspring}, Scheme};
    /// // N p = 0.8, 2, 0, 1.2, and the points are 0.5, 1.5, 2.5, 3.5.
    /// let drawn = ancestors(Scheme::Systematic, &[0.2, 0.5, 0.0, 0.3], &[0.5]);
    /// assert_eq!(drawn, [0, 1, 1, 3]);
    /// assert_eq!(offspring(&drawn, 4), [1, 2, 0, 1]);
    /// ```
    pub fn ancestors(scheme: Scheme, w: &[f64], uniforms: &[f64]) -> Vec<u32> {
        let (n, total) = (w.len(), w.iter().sum::<f64>());
        let spaced = |j: usize, u: f64| (j as f64 + u) / n as f64;
        match scheme {
            Scheme::Multinomial => uniforms.iter().map(|&u| pick(w, u * total)).collect(),
            Scheme::Stratified => (0..n).map(|j| pick(w, spaced(j, uniforms[j]) * total)).collect(),
            Scheme::Systematic => (0..n).map(|j| pick(w, spaced(j, uniforms[0]) * total)).collect(),
            Scheme::Residual => {
                let expected: Vec<_> = w.iter().map(|w| w / total * n as f64).collect();
                let fraction: Vec<_> = expected.iter().map(|e| e.fract()).collect();
                let whole = (0..n).flat_map(|i| std::iter::repeat_n(i as u32, expected[i] as usize));
                let mut drawn: Vec<_> = whole.take(n).collect();
                let rest: f64 = fraction.iter().sum();
                let left = drawn.len();
                drawn.extend(uniforms[left..].iter().map(|&u| pick(&fraction, u * rest)));
                drawn
            }
        }
    }

    /// The first index whose running sum of weights reaches the point.
    fn pick(w: &[f64], point: f64) -> u32 {
        let mut sum = 0.0;
        let mut last = 0;
        for (i, &w) in w.iter().enumerate().filter(|(_, w)| **w > 0.0) {
            (sum, last) = (sum + w, i as u32);
            if sum >= point {
                break;
            }
        }
        last
    }

    /// How many walkers descend from each of `n`.
    pub fn offspring(ancestors: &[u32], n: usize) -> Vec<usize> {
        let mut counts = vec![0; n];
        ancestors.iter().for_each(|&a| counts[a as usize] += 1);
        counts
    }
}
