//! Explicit Runge-Kutta methods as tables, and the graph of one step.

use super::Rates;
use crate::error::Result;
use crate::graph::Var;

/// An explicit Runge-Kutta method.
///
/// | | order | evaluations a step | use it |
/// |---|---|---|---|
/// | `Euler` | 1 | 1 | as a reference |
/// | `Heun` | 2 | 2 | with few steps |
/// | `Rk4` | 4 | 4 | with a fixed number of steps |
/// | `DormandPrince` | 5 | 6 | by [`Adaptive`](super::Adaptive): the last slope is the next step's first |
///
/// Source: Hairer, Norsett and Wanner, *Solving Ordinary Differential Equations I*, sections II.1 and II.5.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// `x + h f(t, x)`.
    Euler,
    /// The explicit trapezoid rule.
    Heun,
    /// The classical method of order 4.
    #[default]
    Rk4,
    /// The fifth-order result of Dormand and Prince's pair.
    DormandPrince,
}

/// Coefficients of a method: slope `i` is taken at `t + nodes[i] h` and `x + h sum_j stages[i][j] k_j`.
#[derive(Clone, Copy, Debug)]
pub struct Tableau {
    /// Order of the global error.
    pub order: usize,
    /// `c`, times of the slopes in units of the step.
    pub nodes: &'static [f64],
    /// `a`, row `i` has `i` entries.
    pub stages: &'static [&'static [f64]],
    /// `b`, weights of the slopes in the result.
    pub weights: &'static [f64],
    /// Weights of the slopes in the estimate of the error; empty where there is none.
    pub error: &'static [f64],
}

const EULER: Tableau = Tableau { order: 1, nodes: &[0.0], stages: &[&[]], weights: &[1.0], error: &[] };

const HEUN: Tableau =
    Tableau { order: 2, nodes: &[0.0, 1.0], stages: &[&[], &[1.0]], weights: &[0.5, 0.5], error: &[] };

const RK4: Tableau = Tableau {
    order: 4,
    nodes: &[0.0, 0.5, 0.5, 1.0],
    stages: &[&[], &[0.5], &[0.0, 0.5], &[0.0, 0.0, 1.0]],
    weights: &[1.0 / 6.0, 1.0 / 3.0, 1.0 / 3.0, 1.0 / 6.0],
    error: &[],
};

/// The last row of `stages` is `weights`: the seventh slope is the first of the next step.
pub(super) const DORMAND_PRINCE: Tableau = Tableau {
    order: 5,
    nodes: &[0.0, 0.2, 0.3, 0.8, 8.0 / 9.0, 1.0, 1.0],
    stages: &[
        &[],
        &[1.0 / 5.0],
        &[3.0 / 40.0, 9.0 / 40.0],
        &[44.0 / 45.0, -56.0 / 15.0, 32.0 / 9.0],
        &[19372.0 / 6561.0, -25360.0 / 2187.0, 64448.0 / 6561.0, -212.0 / 729.0],
        &[9017.0 / 3168.0, -355.0 / 33.0, 46732.0 / 5247.0, 49.0 / 176.0, -5103.0 / 18656.0],
        &[35.0 / 384.0, 0.0, 500.0 / 1113.0, 125.0 / 192.0, -2187.0 / 6784.0, 11.0 / 84.0],
    ],
    weights: &[35.0 / 384.0, 0.0, 500.0 / 1113.0, 125.0 / 192.0, -2187.0 / 6784.0, 11.0 / 84.0, 0.0],
    error: &[71.0 / 57600.0, 0.0, -71.0 / 16695.0, 71.0 / 1920.0, -17253.0 / 339_200.0, 22.0 / 525.0, -1.0 / 40.0],
};

impl Method {
    /// Its coefficients.
    pub fn tableau(self) -> &'static Tableau {
        match self {
            Method::Euler => &EULER,
            Method::Heun => &HEUN,
            Method::Rk4 => &RK4,
            Method::DormandPrince => &DORMAND_PRINCE,
        }
    }

    /// One step from `x [n, d]` at `t` to `t + h` (scalars, or `[n, 1]`): the new point and what its integrands gained.
    ///
    /// `h` may be negative. The slopes see their own `t` and `x`, both nodes of the graph.
    ///
    /// ```
    /// use ergodic::{dynamics::ode::{Method, Rates}, graph::{Feeds, Graph}};
    /// # fn main() -> ergodic::Result<()> {
    /// let g = Graph::new();
    /// let (t, x) = (g.input("t", []), g.input("x", [1, 1]));
    /// // dx/dt = t^3 x^0: a fourth-order method integrates the cubic exactly.
    /// let step = Method::Rk4.step(t, g.constant(2.0), x, |t, x| Ok(Rates::of(t * t * t + x * 0.0)))?;
    /// let got = g.eval_f64(&[step.x], &Feeds::new().tensor("t", 1.0).tensor("x", &[0.5]))?;
    /// assert!((got[0].data[0] - (0.5 + (3f64.powi(4) - 1.0) / 4.0)).abs() < 1e-13);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// What the field refuses.
    pub fn step<'g>(
        self,
        t: Var<'g>,
        h: Var<'g>,
        x: Var<'g>,
        field: impl Fn(Var<'g>, Var<'g>) -> Result<Rates<'g>>,
    ) -> Result<Step<'g>> {
        let slopes = self.tableau().slopes(|c| t + h * c, h, x, None, &field)?;
        Ok(self.tableau().step(h, x, &slopes))
    }
}

/// What a step gives.
#[derive(Clone)]
pub struct Step<'g> {
    /// The new point, `[n, d]`.
    pub x: Var<'g>,
    /// What each integral gained, `[n]`.
    pub gains: Vec<Var<'g>>,
}

impl Tableau {
    /// The slopes of a step; `first` is the one at its start where that is known.
    ///
    /// Slopes whose weight in the result, the error and all later stages is zero are left out by the caller's tables; a
    /// last slope that only estimates the error is computed only where there is a table for it.
    pub(super) fn slopes<'g>(
        &self,
        time: impl Fn(f64) -> Var<'g>,
        h: Var<'g>,
        x: Var<'g>,
        first: Option<Rates<'g>>,
        field: &impl Fn(Var<'g>, Var<'g>) -> Result<Rates<'g>>,
    ) -> Result<Vec<Rates<'g>>> {
        let mut slopes: Vec<Rates<'g>> = first.into_iter().collect();
        for i in slopes.len()..self.nodes.len() {
            let at = match combine(self.stages[i], slopes.iter().map(|k| k.velocity)) {
                Some(slope) => x + h * slope,
                None => x,
            };
            slopes.push(field(time(self.nodes[i]), at)?);
        }
        Ok(slopes)
    }

    /// The result of a step with these slopes.
    pub(super) fn step<'g>(&self, h: Var<'g>, x: Var<'g>, slopes: &[Rates<'g>]) -> Step<'g> {
        let (change, gains) = weighted(self.weights, h, slopes);
        Step { x: change.map_or(x, |change| x + change), gains }
    }

    /// The estimate of its error, in `x` and in each integral.
    pub(super) fn error<'g>(&self, h: Var<'g>, x: Var<'g>, slopes: &[Rates<'g>]) -> Step<'g> {
        let (error, gains) = weighted(self.error, h, slopes);
        Step { x: error.unwrap_or_else(|| x.zeros_like()), gains }
    }
}

/// `h` times the weighted sum of the slopes, and of each integrand.
fn weighted<'g>(weights: &[f64], h: Var<'g>, slopes: &[Rates<'g>]) -> (Option<Var<'g>>, Vec<Var<'g>>) {
    let x = combine(weights, slopes.iter().map(|k| k.velocity)).map(|sum| h * sum);
    let n = slopes.first().map_or(0, |k| k.integrands.len());
    let gain = |i: usize| combine(weights, slopes.iter().map(move |k| k.integrands[i])).map(|sum| h * sum);
    (x, (0..n).filter_map(gain).collect())
}

/// `sum_j weights[j] terms[j]`; `None` if all weights are zero.
fn combine<'g>(weights: &[f64], terms: impl Iterator<Item = Var<'g>>) -> Option<Var<'g>> {
    let parts = weights.iter().zip(terms).filter(|(w, _)| **w != 0.0).map(|(&w, k)| k * w);
    parts.reduce(|sum, part| sum + part)
}
