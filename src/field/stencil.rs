//! Stencils of the user's own: constant weights, or weights that are part of the graph.

use super::grid::Grid;
use super::walls::add;
use crate::error::{Error, Result};
use crate::graph::{Boundary, Tap, Var};

/// A weight of a [`Stencil`].
#[derive(Clone, Copy)]
pub enum Weight<'g> {
    /// A number.
    Number(f64),
    /// A value of the graph that broadcasts to the field: a parameter to learn, or a weight for each cell.
    Var(Var<'g>),
}

impl From<f64> for Weight<'_> {
    fn from(number: f64) -> Self {
        Weight::Number(number)
    }
}

impl<'g> From<Var<'g>> for Weight<'g> {
    fn from(var: Var<'g>) -> Self {
        Weight::Var(var)
    }
}

/// A sum over neighbours, `sum_k weight_k u[i + offset_k]`.
///
/// ```
/// use ergodic::autodiff::grad;
/// use ergodic::field::{Axis, Edge, Grid, Stencil};
/// use ergodic::graph::{Feeds, Graph};
/// # fn main() -> ergodic::Result<()> {
/// let wall = Edge::Dirichlet(1.0);
/// let (grid, g) = (Grid::new([Axis::between(3, 3.0, wall, wall)])?, Graph::new());
/// let (u, w) = (g.input("u", [3]), g.input("w", []));
/// let sum = grid.apply(&Stencil::new().tap([-1], 1.0).tap([1], w), u)?;
/// let feeds = Feeds::new().tensor("u", &[1.0, 2.0, 4.0]).tensor("w", 10.0);
/// let got = g.eval_f64(&[sum, grad(sum.sum_all(), w)?], &feeds)?;
/// // Beyond the walls, on which u = 1: 2 - 1 and 2 - 4.
/// assert_eq!(got[0].data, [1.0 + 20.0, 1.0 + 40.0, 2.0 - 20.0]);
/// assert_eq!(got[1].data, [2.0 + 4.0 - 2.0]);
/// # Ok(()) }
/// ```
#[derive(Clone, Default)]
pub struct Stencil<'g> {
    taps: Vec<(Vec<i32>, Weight<'g>)>,
}

impl<'g> Stencil<'g> {
    /// Without neighbours.
    pub fn new() -> Self {
        Stencil::default()
    }

    /// With one more term: a shift along each axis of the grid, and its weight.
    #[must_use]
    pub fn tap(mut self, offset: impl Into<Vec<i32>>, weight: impl Into<Weight<'g>>) -> Self {
        self.taps.push((offset.into(), weight.into()));
        self
    }

    fn reach(&self, dimensions: usize) -> Vec<usize> {
        let far = |k: usize| self.taps.iter().map(|(at, _)| at[k].unsigned_abs() as usize).max().unwrap_or(0);
        (0..dimensions).map(far).collect()
    }
}

impl Grid {
    /// A stencil of the user's own on `u [.., grid]`. Differentiable in the field and in weights that are part of the graph.
    ///
    /// Numbers together are one stencil, each other weight is one more. On walled grids the field is copied with its mirrored
    /// cells around it, so the built-in operators are faster there; in a corner the wall across the last axis mirrors what the
    /// others have made.
    ///
    /// # Errors
    /// [`Error::Shape`] if `u` does not end with the grid's axes, for an offset of another number of axes, and for a weight that
    /// does not broadcast to `u`; [`Error::Invalid`] for no taps, or for a reach of half an axis or more.
    pub fn apply<'g>(&self, stencil: &Stencil<'g>, u: Var<'g>) -> Result<Var<'g>> {
        self.first_axis(u)?;
        if stencil.taps.is_empty() {
            return Err(Error::Invalid { what: "number of taps", got: "0".into(), want: "at least 1" });
        }
        if let Some((at, _)) = stencil.taps.iter().find(|(at, _)| at.len() != self.dimensions()) {
            let (got, want) = (format!("a tap at {at:?}"), format!("{} shifts, one an axis", self.dimensions()));
            return Err(Error::Shape { op: "stencil", got, want, at: Some(u.site()) });
        }
        let reach = stencil.reach(self.dimensions());
        reach.iter().enumerate().try_for_each(|(k, &reach)| self.check_reach(k, reach))?;
        let periodic = self.axes().iter().all(|axis| axis.is_periodic());
        let field = if periodic { u } else { self.extended(u, &reach)? };
        let inside = |sum: Var<'g>| if periodic { sum } else { self.cropped(sum, u, &reach) };
        let summed =
            |taps: &[Tap]| inside(field.stencil(taps, if periodic { Boundary::Periodic } else { Boundary::Zero }));
        let numbers = stencil.taps.iter().filter_map(|(at, weight)| match weight {
            Weight::Number(number) => Some(Tap::new(at.clone(), *number)),
            Weight::Var(_) => None,
        });
        let numbers: Vec<_> = numbers.collect();
        let mut sum = (!numbers.is_empty()).then(|| summed(&numbers));
        for (at, weight) in &stencil.taps {
            if let Weight::Var(weight) = weight {
                let weight = weight.broadcast_to(u.shape());
                sum = add(sum, weight * summed(&[Tap::new(at.clone(), 1.0)]));
            }
        }
        u.graph().check().map(|()| sum.unwrap_or_else(|| u.zeros_like()))
    }

    /// Without the cells that were added around a field like `u`.
    fn cropped<'g>(&self, sum: Var<'g>, u: Var<'g>, reach: &[usize]) -> Var<'g> {
        let shape = u.shape();
        let mut start = vec![0; shape.len()];
        start[shape.len() - reach.len()..].copy_from_slice(reach);
        sum.slice(start, shape)
    }
}
