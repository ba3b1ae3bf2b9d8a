//! What a flow does to a field: carried along, or carried out and in.

use super::grid::Grid;
use super::operators::{Order, scaled};
use super::walls::{Along, Parity, add};
use crate::error::Result;
use crate::graph::Var;
use serde::{Deserialize, Serialize};

/// How `v . grad u` is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scheme {
    /// From the side that the flow comes from; order one, keeps bounds at Courant numbers up to 1, and smears.
    Upwind,
    /// The same with two cells of that side; order two.
    UpwindTwo,
    /// From both sides alike; no smearing, but waves of two cells stand still.
    Central(Order),
}

/// How [`Grid::transport`] takes the value on a face.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Flux {
    /// The cell that the flow comes from; order one, keeps positive fields positive.
    Upwind,
    /// The mean of both cells; order two.
    Central,
}

const BACKWARD: &[Along] = &[(-1, -1.0), (0, 1.0)];
const BACKWARD_2: &[Along] = &[(-2, 0.5), (-1, -2.0), (0, 1.5)];

/// The same, of the other side.
fn forward(backward: &[Along]) -> Vec<Along> {
    backward.iter().map(|(by, weight)| (-by, -weight)).collect()
}

impl Scheme {
    /// Weights for a flow along the axis and against it; equal for central schemes.
    pub(super) fn weights(self) -> (Vec<Along>, Vec<Along>) {
        match self {
            Scheme::Upwind => (BACKWARD.to_vec(), forward(BACKWARD)),
            Scheme::UpwindTwo => (BACKWARD_2.to_vec(), forward(BACKWARD_2)),
            Scheme::Central(order) => (order.slope().to_vec(), order.slope().to_vec()),
        }
    }
}

impl Grid {
    /// `v . grad u`, so that a field that is carried along has `du/dt = -advection`. One component of the velocity an axis, of
    /// shapes that broadcast to `u`.
    ///
    /// ```
    /// use ergodic::field::{Axis, Grid, Scheme};
    /// use ergodic::graph::{Feeds, Graph};
    /// # fn main() -> ergodic::Result<()> {
    /// let (grid, g) = (Grid::new([Axis::periodic(4, 4.0)])?, Graph::new());
    /// let u = g.input("u", [4]);
    /// let moved = u - grid.advection(u, &[g.constant(-1.0)], Scheme::Upwind)?; // a step of 1: one cell to the left
    /// let got = g.eval_f64(&[moved], &Feeds::new().tensor("u", &[0.0, 5.0, 0.0, 0.0]))?;
    /// assert_eq!(got[0].data, [5.0, 0.0, 0.0, 0.0]);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`derivative`](Self::derivative); [`Error::Shape`](crate::Error::Shape) if there is not one component an axis.
    pub fn advection<'g>(&self, u: Var<'g>, velocity: &[Var<'g>], scheme: Scheme) -> Result<Var<'g>> {
        self.one_an_axis("advection", velocity.len())?;
        let (with, against) = scheme.weights();
        let mut sum = None;
        for (k, &v) in velocity.iter().enumerate() {
            let slope =
                |along: &[Along]| self.sum_along(u, &[(k, scaled(along, 1.0 / self.axis(k).spacing()))], Parity::Own);
            let carried = match scheme {
                Scheme::Central(_) => v * slope(&with)?,
                _ => v.max(0.0) * slope(&with)? + v.min(0.0) * slope(&against)?,
            };
            sum = add(sum, carried);
        }
        u.graph().check().map(|()| sum.unwrap_or_else(|| u.zeros_like()))
    }

    /// `div (v u)` from what passes the faces: what leaves a cell enters its neighbour, so the sum over all cells changes only
    /// through walls, and not at all through reflecting ones. Velocities stand at the centres, of shapes that broadcast to `u`;
    /// a face has their mean, a reflecting wall none.
    ///
    /// # Errors
    /// As [`advection`](Self::advection).
    pub fn transport<'g>(&self, u: Var<'g>, velocity: &[Var<'g>], flux: Flux) -> Result<Var<'g>> {
        self.one_an_axis("transport", velocity.len())?;
        let mut sum = None;
        for (k, &v) in velocity.iter().enumerate() {
            let v = v.broadcast_to(u.shape());
            let beside = |x: Var<'g>, by: i32, parity: Parity| self.sum_along(x, &[(k, vec![(by, 1.0)])], parity);
            let through = |low: Var<'g>, high: Var<'g>, speed: Var<'g>| match flux {
                Flux::Upwind => speed.max(0.0) * low + speed.min(0.0) * high,
                Flux::Central => speed * (low + high) * 0.5,
            };
            let (before, after) = (beside(u, -1, Parity::Own)?, beside(u, 1, Parity::Own)?);
            let enters = through(before, u, (beside(v, -1, Parity::Derivative)? + v) * 0.5);
            let leaves = through(u, after, (beside(v, 1, Parity::Derivative)? + v) * 0.5);
            sum = add(sum, (leaves - enters) * (1.0 / self.axis(k).spacing()));
        }
        u.graph().check().map(|()| sum.unwrap_or_else(|| u.zeros_like()))
    }
}
