//! Sums in f32 that keep what rounding drops.

use crate::graph::{Graph, Shape, Var};

/// A running sum as two floats: its value is `high + low`, good to about twice the precision of f32.
///
/// Thousands of small increments of a log-weight would each lose up to half a unit in the last place of the sum; here
/// what an addition loses goes to `low`. Both parts are state of a plan. The trick needs additions to be done as
/// written: a driver that reorders them ("fast math") turns `low` into zero, and the sum into an ordinary one.
///
/// ```
/// # use ergodic::dynamics::compensated::reference::add;
/// let (mut high, mut low, mut plain) = (0f32, 0f32, 0f32);
/// for _ in 0..1_000_000 {
///     (high, low) = add((high, low), 0.1);
///     plain += 0.1;
/// }
/// let exact = 1e6 * f64::from(0.1f32);
/// assert!((f64::from(high) + f64::from(low) - exact).abs() < 1e-5);
/// assert!((f64::from(plain) - exact).abs() > 900.0);
/// ```
/// Source: the two-sum of Knuth, TAOCP 2, 4.2.2, theorem B; double-length sums as in Dekker, Numer. Math. 18, 224 (1971).
#[derive(Clone, Copy)]
pub struct Compensated<'g> {
    /// The sum, rounded.
    pub high: Var<'g>,
    /// What rounding took from it: at most half a unit in the last place of `high`.
    pub low: Var<'g>,
}

impl<'g> Compensated<'g> {
    /// Zeros of this shape.
    pub fn zeros(graph: &'g Graph, shape: impl Into<Shape>) -> Self {
        let zero = graph.full(0.0, shape);
        Compensated { high: zero, low: zero }
    }

    /// The pair of inputs `name` and `name.low`, as a session binds them.
    #[track_caller]
    pub fn input(graph: &'g Graph, name: &str, shape: impl Into<Shape>) -> Self {
        let shape = shape.into();
        Compensated { high: graph.input(name, &shape), low: graph.input(&format!("{name}.low"), &shape) }
    }

    /// This sum and one more term of its shape.
    #[track_caller]
    #[must_use]
    pub fn add(self, term: Var<'g>) -> Self {
        let sum = self.high + term;
        let kept = sum - self.high;
        let lost = self.low + ((self.high - (sum - kept)) + (term - kept));
        let high = sum + lost;
        Compensated { high, low: lost - (high - sum) }
    }

    /// The sum, rounded to one float.
    #[track_caller]
    pub fn value(self) -> Var<'g> {
        self.high + self.low
    }

    /// Where `condition` holds `other`, elsewhere this.
    #[track_caller]
    #[must_use]
    pub fn replace_if(self, condition: Var<'g>, other: Self) -> Self {
        Compensated { high: condition.select(other.high, self.high), low: condition.select(other.low, self.low) }
    }
}

/// The same arithmetic on the host.
pub mod reference {
    /// `sum + term` with its rounding error as the second part; see [`Compensated`](super::Compensated).
    pub fn add((high, low): (f32, f32), term: f32) -> (f32, f32) {
        let sum = high + term;
        let kept = sum - high;
        let lost = low + ((high - (sum - kept)) + (term - kept));
        let rounded = sum + lost;
        (rounded, lost - (rounded - sum))
    }
}
