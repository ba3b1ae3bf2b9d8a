//! Sums in f32 that keep what rounding drops.

use crate::graph::{Graph, Shape, Var};

/// A running sum as two floats: its value is `high + low`.
///
/// Thousands of small increments of a log-weight would each lose up to half a unit in the last place of the sum. Here
/// `high` is a multiple of 1/256 and `low` lies in `[0, 1/256)`, so that the sum of the high parts is exact as long as it
/// is below 65536, and one of the low parts is good to `2^-32`. Both are state of a plan.
///
/// The usual trick, the rounding error of an addition by Knuth's two-sum, does not survive drivers: Mesa's compiler (among
/// others) turns `(a + b) - a` into `b`, which makes the error 0. Rounding down to a grid leaves nothing to simplify.
///
/// ```
/// # use ergodic::dynamics::compensated::reference::plus;
/// let (mut sum, mut plain) = ((0f32, 0f32), 0f32);
/// for _ in 0..100_000 {
///     sum = plus(sum, 0.1);
///     plain += 0.1;
/// }
/// let exact = 1e5 * f64::from(0.1f32);
/// assert!((f64::from(sum.0) + f64::from(sum.1) - exact).abs() < 1e5 * 2f64.powi(-32));
/// assert!((f64::from(plain) - exact).abs() > 1.0);
/// ```
#[derive(Clone, Copy)]
pub struct Compensated<'g> {
    /// Multiples of 1/256.
    pub high: Var<'g>,
    /// The rest, in `[0, 1/256)`.
    pub low: Var<'g>,
}

/// Cells of the grid of high parts in a unit. A power of two: scaling by it is exact.
const CELLS: f64 = 256.0;

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
    pub fn plus(self, term: Var<'g>) -> Self {
        let on_grid = |v: Var<'g>| (v * CELLS).floor() * (1.0 / CELLS);
        let high = on_grid(term);
        let low = self.low + (term - high);
        let carry = on_grid(low);
        Compensated { high: self.high + high + carry, low: low - carry }
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
    /// `sum + term`, as [`Compensated::plus`](super::Compensated::plus) does it on a device.
    pub fn plus((high, low): (f32, f32), term: f32) -> (f32, f32) {
        let cells = super::CELLS as f32;
        let on_grid = |v: f32| (v * cells).floor() / cells;
        let low = low + (term - on_grid(term));
        (high + on_grid(term) + on_grid(low), low - on_grid(low))
    }
}
