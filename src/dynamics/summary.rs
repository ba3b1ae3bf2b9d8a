//! What log-weights say while a plan runs: normalised weights, effective number of walkers, log of the mean weight.

use super::compensated::Compensated;
use crate::graph::Var;

/// Log-weights seen through their largest: nothing here overflows, whatever the log-weights are.
///
/// These are f32 graph values, for decisions inside a step and for curves; error bars come from
/// [`LogWeights`](super::LogWeights), in f64, on the host.
#[derive(Clone, Copy)]
pub struct Summary<'g> {
    /// The largest high part of a log-weight, scalar.
    pub top: Var<'g>,
    /// `exp(A - top) [n]`, in `[0, 1.004]`.
    pub relative: Var<'g>,
    /// Sum of [`relative`](Self::relative), scalar, at least 1.
    pub total: Var<'g>,
}

impl<'g> Summary<'g> {
    /// Of log-weights `[n]`.
    #[track_caller]
    pub fn of(log_weights: Compensated<'g>) -> Self {
        let top = log_weights.high.max_over(0).stop_grad();
        let relative = ((log_weights.high - top) + log_weights.low).exp();
        Summary { top, relative, total: relative.sum(0) }
    }

    /// Normalised weights `[n]`; they sum to 1.
    #[track_caller]
    pub fn probabilities(&self) -> Var<'g> {
        self.relative / self.total
    }

    /// Effective number of walkers over their number, `(sum w)^2 / (n sum w^2)`: scalar, in `[1/n, 1]`.
    #[track_caller]
    pub fn ess_fraction(&self) -> Var<'g> {
        let n = self.relative.shape().numel() as f64;
        self.total.square() / (self.relative.square().sum(0) * n)
    }

    /// `log(mean exp(A - top))`, scalar, above `-log n`: add [`top`](Self::top) for the log of the mean weight. The two
    /// are kept apart because their sum in f32 loses the digits that resampling must not lose.
    #[track_caller]
    pub fn log_mean_relative(&self) -> Var<'g> {
        (self.total / self.relative.shape().numel() as f64).log()
    }

    /// `log(mean exp(A))`, scalar.
    #[track_caller]
    pub fn log_mean_exp(&self) -> Var<'g> {
        self.top + self.log_mean_relative()
    }

    /// Weighted mean of `f [n]`, scalar.
    #[track_caller]
    pub fn mean(&self, f: Var<'g>) -> Var<'g> {
        (self.relative * f).sum(0) / self.total
    }
}
