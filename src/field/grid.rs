//! Cells, their sizes, and what lies beyond their ends.

use crate::error::{Error, Result};
use crate::graph::Var;
use serde::{Deserialize, Serialize};

/// What lies beyond one end of an axis.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Edge {
    /// The other end.
    Periodic,
    /// A wall on which the field has this value.
    Dirichlet(f64),
    /// A wall on which the field has this slope along the axis, in units of the field over length.
    Neumann(f64),
    /// A wall through which nothing passes: no slope, and no flow in [`Grid::transport`].
    Reflecting,
}

impl Edge {
    /// Sign of the mirrored field; `None` without a wall.
    pub(super) fn sign(self) -> Option<f64> {
        match self {
            Edge::Periodic => None,
            Edge::Dirichlet(_) => Some(-1.0),
            Edge::Neumann(_) | Edge::Reflecting => Some(1.0),
        }
    }

    fn number(self) -> f64 {
        match self {
            Edge::Periodic | Edge::Reflecting => 0.0,
            Edge::Dirichlet(value) | Edge::Neumann(value) => value,
        }
    }

    fn name(self) -> String {
        match self {
            Edge::Periodic => "periodic".into(),
            Edge::Dirichlet(value) => format!("dirichlet({value})"),
            Edge::Neumann(slope) => format!("neumann({slope})"),
            Edge::Reflecting => "reflecting".into(),
        }
    }
}

/// One axis of a grid.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Axis {
    /// Cells, at least 3.
    pub cells: usize,
    /// Length from end to end.
    pub length: f64,
    /// Beyond the first cell.
    pub low: Edge,
    /// Beyond the last one.
    pub high: Edge,
}

impl Axis {
    /// A ring.
    pub fn periodic(cells: usize, length: f64) -> Self {
        Axis { cells, length, low: Edge::Periodic, high: Edge::Periodic }
    }

    /// A stretch between these ends.
    pub fn between(cells: usize, length: f64, low: Edge, high: Edge) -> Self {
        Axis { cells, length, low, high }
    }

    /// Size of a cell.
    pub fn spacing(&self) -> f64 {
        self.length / self.cells as f64
    }

    /// Centre of cell `i`.
    pub fn center(&self, i: usize) -> f64 {
        (i as f64 + 0.5) * self.spacing()
    }

    /// Whether its ends are one.
    pub fn is_periodic(&self) -> bool {
        self.low == Edge::Periodic
    }

    fn check(&self) -> Result<()> {
        if self.cells < 3 {
            let got = self.cells.to_string();
            return Err(Error::Invalid { what: "number of cells along an axis", got, want: "at least 3" });
        }
        if !(self.length.is_finite() && self.length > 0.0 && self.spacing() > 0.0) {
            let got = self.length.to_string();
            return Err(Error::Invalid { what: "length of an axis", got, want: "finite and above 0" });
        }
        if (self.low == Edge::Periodic) != (self.high == Edge::Periodic) {
            let got = format!("{} and {}", self.low.name(), self.high.name());
            return Err(Error::Invalid { what: "pair of ends of an axis", got, want: "periodic both, or a wall each" });
        }
        let walls = [self.low.number(), self.high.number()];
        match walls.iter().find(|value| !value.is_finite()) {
            Some(value) => Err(Error::Invalid { what: "value on a wall", got: value.to_string(), want: "finite" }),
            None => Ok(()),
        }
    }
}

/// Cells in one, two or three dimensions. Axis 0 of the grid is the outermost axis of a field.
///
/// ```
/// use ergodic::field::{Axis, Edge, Grid};
/// let wall = Edge::Dirichlet(0.0);
/// let grid = Grid::new([Axis::between(4, 2.0, wall, Edge::Reflecting), Axis::periodic(8, 1.0)])?;
/// assert_eq!((grid.shape(), grid.cell_volume()), (vec![4, 8], 0.5 * 0.125));
/// let error = Grid::new([Axis::between(4, 2.0, wall, Edge::Periodic)]).unwrap_err();
/// let text = "pair of ends of an axis is dirichlet(0) and periodic, but must be periodic both, or a wall each";
/// assert_eq!(error.to_string(), text);
/// # Ok::<(), ergodic::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Axis>", into = "Vec<Axis>")]
pub struct Grid {
    axes: Vec<Axis>,
}

/// Kernels number elements in 32 bits.
const MOST_CELLS: usize = 1 << 31;

impl TryFrom<Vec<Axis>> for Grid {
    type Error = Error;

    fn try_from(axes: Vec<Axis>) -> Result<Self> {
        if !(1..=3).contains(&axes.len()) {
            let got = axes.len().to_string();
            return Err(Error::Invalid { what: "number of axes of a grid", got, want: "1, 2 or 3" });
        }
        axes.iter().try_for_each(Axis::check)?;
        let cells = axes.iter().try_fold(1usize, |all, axis| all.checked_mul(axis.cells));
        if cells.is_none_or(|cells| cells > MOST_CELLS) {
            let got = axes.iter().map(|axis| axis.cells.to_string()).collect::<Vec<_>>().join(" x ");
            return Err(Error::Invalid { what: "number of cells of a grid", got, want: "at most 2^31 in all" });
        }
        Ok(Grid { axes })
    }
}

impl From<Grid> for Vec<Axis> {
    fn from(grid: Grid) -> Self {
        grid.axes
    }
}

impl Grid {
    /// A grid of these axes.
    ///
    /// # Errors
    /// [`Error::Invalid`] for none or more than three axes, fewer than 3 cells along one, a length that is not finite and above
    /// 0, ends of which only one is periodic, a value on a wall that is not finite, or more than 2^31 cells in all.
    pub fn new(axes: impl Into<Vec<Axis>>) -> Result<Self> {
        Self::try_from(axes.into())
    }

    /// Its axes.
    pub fn axes(&self) -> &[Axis] {
        &self.axes
    }

    /// Axis `k`; the last one for any `k` beyond.
    pub fn axis(&self, k: usize) -> &Axis {
        &self.axes[k.min(self.axes.len() - 1)]
    }

    /// Number of axes.
    pub fn dimensions(&self) -> usize {
        self.axes.len()
    }

    /// Cells along each axis.
    pub fn shape(&self) -> Vec<usize> {
        self.axes.iter().map(|axis| axis.cells).collect()
    }

    /// Cells in all.
    pub fn n_cells(&self) -> usize {
        self.axes.iter().map(|axis| axis.cells).product()
    }

    /// Length, area or volume of a cell.
    pub fn cell_volume(&self) -> f64 {
        self.axes.iter().map(Axis::spacing).product()
    }

    /// `f` of the centre of every cell, in the order of a field.
    pub fn sample(&self, f: impl Fn(&[f64]) -> f64) -> Vec<f64> {
        let mut at = vec![0.0; self.axes.len()];
        let mut one = |mut cell: usize| {
            for (k, axis) in self.axes.iter().enumerate().rev() {
                at[k] = axis.center(cell % axis.cells);
                cell /= axis.cells;
            }
            f(&at)
        };
        (0..self.n_cells()).map(&mut one).collect()
    }

    /// The same grid between walls without values or slopes: what changes of a field satisfy.
    #[must_use]
    pub fn homogeneous(&self) -> Self {
        let still = |edge: Edge| match edge {
            Edge::Dirichlet(_) => Edge::Dirichlet(0.0),
            Edge::Neumann(_) => Edge::Neumann(0.0),
            other => other,
        };
        let axes = self.axes.iter().map(|a| Axis { low: still(a.low), high: still(a.high), ..*a }).collect();
        Grid { axes }
    }

    /// Whether all values and slopes on walls are zero.
    pub(super) fn is_homogeneous(&self) -> bool {
        *self == self.homogeneous()
    }

    /// First axis of this grid in a field, which must end with the grid's axes and be `F32`.
    pub(super) fn first_axis(&self, u: Var<'_>) -> Result<usize> {
        u.graph().check()?;
        let shape = u.shape();
        let first = shape.len().checked_sub(self.axes.len()).filter(|&first| shape[first..] == self.shape());
        first.ok_or_else(|| {
            let want = format!("[.., {}], the grid's cells", join(&self.shape()));
            Error::Shape { op: "field", got: shape.to_string(), want, at: Some(u.site()) }
        })
    }

    /// Refuses an axis that this grid does not have.
    pub(super) fn check_axis(&self, k: usize) -> Result<()> {
        if k < self.axes.len() {
            return Ok(());
        }
        let got = format!("{k} of {} dimensions", self.axes.len());
        Err(Error::Invalid { what: "axis", got, want: "below the grid's dimensions" })
    }
}

fn join(numbers: &[usize]) -> String {
    numbers.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")
}
