//! Sums of neighbours along axes, with what walls put beyond them.
//!
//! A sum along walled axes is a stencil that finds zeros outside, plus a correction in each cell that reaches through the wall:
//! there the mirrored cells are added by their own shifts. All of it is stencils and element-wise work, so a plan takes several
//! steps of it in one pass as it does on rings.

use super::grid::{Axis, Edge, Grid};
use crate::error::{Error, Result};
use crate::graph::{Boundary, Tap, Var};

/// `weight * u[i + offset]` along one axis.
pub(super) type Along = (i32, f64);

/// How a field continues beyond a wall: `sign * mirrored + jump(j)` in the `j`-th cell behind it.
#[derive(Clone, Copy)]
pub(super) enum Parity {
    /// As the grid's edges say.
    Own,
    /// As the derivative along the axis of such a field does: the other sign; a slope becomes a value.
    Derivative,
}

/// What stands behind one wall.
#[derive(Clone, Copy)]
pub(super) struct Ghost {
    /// Of the mirrored cell.
    pub sign: f64,
    /// The constant, and what it grows by from cell to cell.
    jump: (f64, f64),
}

impl Ghost {
    /// Behind the edge of an axis; `None` on a ring. `outward` is 1 at the high end, -1 at the low one.
    pub fn new(axis: &Axis, edge: Edge, outward: f64, parity: Parity) -> Option<Ghost> {
        let dx = axis.spacing();
        let sign = edge.sign()?;
        Some(match (parity, edge) {
            (Parity::Own, Edge::Dirichlet(value)) => Ghost { sign, jump: (2.0 * value, 0.0) },
            (Parity::Own, Edge::Neumann(slope)) => {
                Ghost { sign, jump: (outward * slope * dx, 2.0 * outward * slope * dx) }
            }
            (Parity::Derivative, Edge::Neumann(slope)) => Ghost { sign: -sign, jump: (2.0 * slope, 0.0) },
            (Parity::Derivative, _) => Ghost { sign: -sign, jump: (0.0, 0.0) },
            (Parity::Own, _) => Ghost { sign, jump: (0.0, 0.0) },
        })
    }

    /// What is added to the mirrored cell, in the cell so far behind the wall.
    pub fn jump(self, behind: i64) -> f64 {
        self.jump.0 + self.jump.1 * behind as f64
    }
}

impl Grid {
    /// `sum_k sum_taps weight u[i + offset along k]`, and the same for all axes in `parts`.
    pub(super) fn sum_along<'g>(&self, u: Var<'g>, parts: &[(usize, Vec<Along>)], parity: Parity) -> Result<Var<'g>> {
        let first = self.first_axis(u)?;
        for (k, along) in parts {
            self.check_reach(*k, along.iter().map(|(by, _)| by.unsigned_abs() as usize).max().unwrap_or(0))?;
        }
        let mut sum: Option<Var<'g>> = None;
        for boundary in [Boundary::Periodic, Boundary::Zero] {
            let of_kind = |k: usize| self.axis(k).is_periodic() == (boundary == Boundary::Periodic);
            let taps = self.taps(parts.iter().filter(|(k, _)| of_kind(*k)));
            if !taps.is_empty() {
                sum = add(sum, u.stencil(&taps, boundary));
            }
        }
        for (k, along) in parts {
            let (axis, n) = (self.axis(*k), self.axis(*k).cells as i64);
            for (edge, outward) in [(axis.low, -1.0), (axis.high, 1.0)] {
                let Some(ghost) = Ghost::new(axis, edge, outward, parity) else { continue };
                for i in self.reaching(along, outward) {
                    let cell = if outward < 0.0 { i } else { n - 1 - i };
                    let Some(term) = self.through_wall(u, *k, along, (cell, n), ghost) else { continue };
                    let place = u.graph().iota(first + k, u.shape());
                    sum = add(sum, place.equal(cell as u32).select(term, 0.0));
                }
            }
        }
        u.graph().check()?;
        Ok(sum.unwrap_or_else(|| u.zeros_like()))
    }

    /// Cells, counted from the wall, in which a sum reaches through it.
    fn reaching(&self, along: &[Along], outward: f64) -> std::ops::Range<i64> {
        let reach = along.iter().map(|(by, _)| i64::from(*by) * outward as i64).max().unwrap_or(0);
        0..reach.max(0)
    }

    /// What a sum finds behind the wall, seen from one cell: mirrored cells by their own shifts, and constants.
    fn through_wall<'g>(
        &self,
        u: Var<'g>,
        k: usize,
        along: &[Along],
        (cell, n): (i64, i64),
        ghost: Ghost,
    ) -> Option<Var<'g>> {
        let (mut taps, mut constant): (Vec<Along>, f64) = (vec![], 0.0);
        for (by, weight) in along {
            let to = cell + i64::from(*by);
            let (behind, mirrored) = match to {
                ..0 => (-1 - to, -1 - to),
                _ if to >= n => (to - n, 2 * n - 1 - to),
                _ => continue,
            };
            taps.push(((mirrored - cell) as i32, weight * ghost.sign));
            constant += weight * ghost.jump(behind);
        }
        let taps = self.taps([&(k, taps)].into_iter());
        let centre = |tap: &Tap| tap.offset.iter().all(|by| *by == 0);
        match &taps[..] {
            [] => None,
            [one] if centre(one) => Some(u * one.weight() + constant),
            _ => Some(u.stencil(&taps, Boundary::Zero) + constant),
        }
    }

    /// Taps over all axes of the grid, those of one place as one.
    fn taps<'a>(&self, parts: impl Iterator<Item = &'a (usize, Vec<Along>)>) -> Vec<Tap> {
        let mut all: Vec<(Vec<i32>, f64)> = vec![];
        for (k, along) in parts {
            for (by, weight) in along {
                let mut offset = vec![0; self.dimensions()];
                offset[*k] = *by;
                match all.iter_mut().find(|(at, _)| *at == offset) {
                    Some((_, sum)) => *sum += weight,
                    None => all.push((offset, *weight)),
                }
            }
        }
        all.into_iter().filter(|(_, weight)| *weight != 0.0).map(|(offset, weight)| Tap::new(offset, weight)).collect()
    }

    /// Taps must not meet on a ring, nor reach past a mirrored wall's other end.
    pub(super) fn check_reach(&self, k: usize, reach: usize) -> Result<()> {
        let axis = self.axis(k);
        if axis.cells > 2 * reach {
            return Ok(());
        }
        let got = format!("{reach} cells each way along {} cells", axis.cells);
        Err(Error::Invalid { what: "reach of a stencil", got, want: "less than half of the axis" })
    }

    /// The field with `reach[k]` cells more at both ends of each axis.
    pub(super) fn extended<'g>(&self, u: Var<'g>, reach: &[usize]) -> Result<Var<'g>> {
        let first = self.first_axis(u)?;
        let mut all = u;
        for (k, &r) in reach.iter().enumerate().filter(|(_, r)| **r > 0) {
            self.check_reach(k, r)?;
            let (axis, at, n) = (self.axis(k), first + k, self.axis(k).cells);
            let low = |j: usize| match Ghost::new(axis, axis.low, -1.0, Parity::Own) {
                None => all.narrow(at, n - 1 - j, 1),
                Some(ghost) => all.narrow(at, j, 1) * ghost.sign + ghost.jump(j as i64),
            };
            let high = |j: usize| match Ghost::new(axis, axis.high, 1.0, Parity::Own) {
                None => all.narrow(at, j, 1),
                Some(ghost) => all.narrow(at, n - 1 - j, 1) * ghost.sign + ghost.jump(j as i64),
            };
            let parts: Vec<_> = (0..r).rev().map(low).chain([all]).chain((0..r).map(high)).collect();
            all = Var::concat(&parts, at).unwrap_or(all);
        }
        u.graph().check().map(|()| all)
    }
}

pub(super) fn add<'g>(sum: Option<Var<'g>>, term: Var<'g>) -> Option<Var<'g>> {
    Some(sum.map_or(term, |sum| sum + term))
}
