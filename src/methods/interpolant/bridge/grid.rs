//! The Schrodinger bridge between any two densities on a line or in the plane, on a grid, in f64.

use super::super::source::Source;
use crate::error::{Error, Result};
use std::f64::consts::TAU;

/// Masses below this part of the largest count as none.
const FAINT: f64 = 1e-24;
/// How many deviations of an outer mode the grid reaches.
const REACH: f64 = 7.0;
/// Sinkhorn's iterations end when what is wrong with the marginals is below this, or after so many.
const TOLERANCE: f64 = 1e-9;
const ITERATIONS: usize = 5000;

/// The bridge of least `E int u^2 dt / 2` for `dX = u dt + sqrt(2 epsilon) dW`, by Sinkhorn's iteration.
///
/// With the transition density `K_t` of Brownian motion of variance `2 epsilon t`,
///
/// ```text
/// law of both ends = a(x) K_1(x, y) b(y)                  a and b such that its marginals are rho_0 and rho_1
/// density at t     = (K_t a)(x) (K_{1-t} b)(x)
/// cost             = 2 epsilon [ E_0 log(a/rho_0) + E_1 log b ]
/// ```
///
/// What learned bridges between mixtures, or a mixture and a checkerboard, are compared with. Cells are 1, 1/2, 1/3, .. wide; sums
/// over smooth densities are exact to rounding when a cell is less than half of `sqrt(2 epsilon)` and of all deviations.
///
/// ```
/// use ergodic::methods::interpolant::{GaussianBridge, GaussianMixture, GridBridge, Source};
/// let end = GaussianMixture::isotropic(&[1.0], &[vec![2.0]], &[0.25])?;
/// let grid = GridBridge::new([&Source::Normal(1), &Source::Mixture(end)], 0.5, 200)?;
/// let exact = GaussianBridge { means: [0.0, 2.0], deviations: [1.0, 0.5], epsilon: 0.5 };
/// assert!((grid.cost() - exact.cost()).abs() < 1e-6);
/// # Ok::<(), ergodic::Error>(())
/// ```
///
/// Source: Schrodinger's system; Sinkhorn, Amer. Math. Monthly 74, 402 (1967); arXiv:1306.0895.
#[derive(Clone, Debug)]
pub struct GridBridge {
    axes: Vec<Axis>,
    epsilon: f64,
    /// Masses of the ends, `[cells]`.
    ends: [Vec<f64>; 2],
    /// `a` and `b` times the size of a cell and 1.
    potentials: [Vec<f64>; 2],
}

/// Cells along one direction, by the centre of the first.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Axis {
    first: f64,
    width: f64,
    n: usize,
}

impl Axis {
    fn at(&self, i: usize) -> f64 {
        self.first + self.width * i as f64
    }

    /// Values along this axis `[.., n, inner]` after so much diffusion.
    fn blur(&self, values: &[f64], inner: usize, variance: f64) -> Vec<f64> {
        let scale = self.width / (TAU * variance).sqrt();
        let kernel: Vec<_> =
            (0..self.n).map(|k| scale * (-0.5 * (self.width * k as f64).powi(2) / variance).exp()).collect();
        let mut blurred = vec![0.0; values.len()];
        let block = self.n * inner;
        for (from, to) in values.chunks_exact(block).zip(blurred.chunks_exact_mut(block)) {
            for (j, source) in from.chunks_exact(inner).enumerate() {
                if source.iter().all(|v| *v == 0.0) {
                    continue;
                }
                for (i, row) in to.chunks_exact_mut(inner).enumerate() {
                    let weight = kernel[i.abs_diff(j)];
                    row.iter_mut().zip(source).for_each(|(to, v)| *to += weight * v);
                }
            }
        }
        blurred
    }
}

impl GridBridge {
    /// Between the first density and the second, on at most `cells` cells along each axis.
    ///
    /// # Errors
    /// [`Error::Invalid`] for data, which have no density; for more than two dimensions; an `epsilon` that is not above 0, or so
    /// small that no path of the noise reaches from one end to the other in f64; and if the iteration does not converge.
    /// [`Error::Shape`] for ends of different dimensions.
    pub fn new(ends: [&Source; 2], epsilon: f64, cells: usize) -> Result<Self> {
        let refuse = |what, got: String, want| Err(Error::Invalid { what, got, want });
        if !(epsilon.is_finite() && epsilon > 0.0) {
            return refuse("epsilon", epsilon.to_string(), "finite and above 0 on a grid");
        }
        let [from, to] = ends.map(Source::d);
        if from != to {
            let got = format!("{from} dimensions at the start and {to} at the end");
            return Err(Error::Shape { op: "GridBridge", got, want: "as many at both".into(), at: None });
        }
        if !(1..=2).contains(&to) {
            return refuse("number of dimensions", to.to_string(), "1 or 2 on a grid");
        }
        let mut axes = vec![];
        for i in 0..to {
            axes.push(axis(ends, i, epsilon, cells)?);
        }
        let ends = [masses(&axes, ends[0])?, masses(&axes, ends[1])?];
        let potentials = [vec![], vec![]];
        let mut made = GridBridge { axes, epsilon, ends, potentials };
        made.potentials = made.sinkhorn()?;
        Ok(made)
    }

    fn sinkhorn(&self) -> Result<[Vec<f64>; 2]> {
        let [p, q] = &self.ends;
        let mut b = vec![1.0; q.len()];
        for _ in 0..ITERATIONS {
            let a = quotient(p, &self.blur(&b, 1.0))?;
            let reached = self.blur(&a, 1.0);
            let wrong: f64 = reached.iter().zip(&b).zip(q).map(|((r, b), q)| (r * b - q).abs()).sum();
            if wrong < TOLERANCE {
                return Ok([a, b]);
            }
            b = quotient(q, &reached)?;
        }
        let got = format!("not within {TOLERANCE} of its ends after {ITERATIONS} iterations");
        Err(Error::Invalid { what: "bridge on a grid", got, want: "of a larger epsilon, or of ends that are closer" })
    }

    /// `K_t` times values on the grid.
    fn blur(&self, values: &[f64], t: f64) -> Vec<f64> {
        let variance = 2.0 * self.epsilon * t;
        let mut values = values.to_vec();
        for (i, axis) in self.axes.iter().enumerate() {
            let inner = self.axes[i + 1..].iter().map(|axis| axis.n).product();
            values = axis.blur(&values, inner, variance);
        }
        values
    }

    /// `E int u^2 dt / 2` of the bridge.
    pub fn cost(&self) -> f64 {
        let term = |mass: &f64, v: f64| if *mass > 0.0 { mass * v.ln() } else { 0.0 };
        let [p, q] = &self.ends;
        let start: f64 = p.iter().zip(&self.potentials[0]).map(|(p, a)| term(p, a / p)).sum();
        let end: f64 = q.iter().zip(&self.potentials[1]).map(|(q, b)| term(q, *b)).sum();
        2.0 * self.epsilon * (start + end)
    }

    /// Places of the cells' centres along axis `i`.
    pub fn places(&self, i: usize) -> Vec<f64> {
        self.axes.get(i).map_or(vec![], |axis| (0..axis.n).map(|k| axis.at(k)).collect())
    }

    /// The density at `t` in every cell, the last axis fastest. Where `2 epsilon t` or `2 epsilon (1 - t)` is below the square of
    /// a cell it is that of the end.
    pub fn density(&self, t: f64) -> Vec<f64> {
        let (cell, width) = (self.axes.iter().map(|axis| axis.width).product::<f64>(), self.axes[0].width);
        let short = |t: f64| 2.0 * self.epsilon * t < width * width;
        let [p, q] = &self.ends;
        if short(t) || short(1.0 - t) {
            return (if t < 0.5 { p } else { q }).iter().map(|mass| mass / cell).collect();
        }
        // Both blurs sum over cells: `a` holds the size of its cell already.
        let [a, b] = &self.potentials;
        let (forth, back) = (self.blur(a, t), self.blur(b, 1.0 - t));
        forth.iter().zip(back).map(|(a, b)| a * b / cell).collect()
    }
}

/// `mass / reached`, and 0 where there is no mass.
fn quotient(mass: &[f64], reached: &[f64]) -> Result<Vec<f64>> {
    let divided = mass.iter().zip(reached).map(|(m, r)| if *m == 0.0 { 0.0 } else { m / r }).collect::<Vec<_>>();
    match divided.iter().all(|v| v.is_finite()) {
        true => Ok(divided),
        false => Err(Error::Invalid {
            what: "epsilon",
            got: "too small for f64: some of one end is not reached from the other".into(),
            want: "larger",
        }),
    }
}

/// Whole units around both ends and what the noise adds between them.
fn axis(ends: [&Source; 2], i: usize, epsilon: f64, cells: usize) -> Result<Axis> {
    let noise = 4.0 * (0.5 * epsilon).sqrt();
    let mut reach = (f64::INFINITY, f64::NEG_INFINITY);
    for end in ends {
        let (low, high) = extent(end, i)?;
        reach = (reach.0.min((low - noise).floor()), reach.1.max((high + noise).ceil()));
    }
    let units = reach.1 - reach.0;
    let parts = (cells as f64 / units).floor();
    if parts < 1.0 {
        let got = format!("{cells} for a width of {units}");
        return Err(Error::Invalid { what: "number of cells", got, want: "at least one a unit of length" });
    }
    let width = 1.0 / parts;
    Ok(Axis { first: reach.0 + 0.5 * width, width, n: (units * parts) as usize })
}

/// Where a density is, along one axis.
fn extent(source: &Source, i: usize) -> Result<(f64, f64)> {
    match source {
        Source::Normal(_) => Ok((-REACH, REACH)),
        Source::Checkerboard => Ok((-4.0, 4.0)),
        Source::Mixture(mixture) => {
            let d = mixture.d();
            let mode = |k: usize| {
                let (mean, reach) = (mixture.mode_mean(k)[i], REACH * mixture.mode_covariance(k)[i * d + i].sqrt());
                (mean - reach, mean + reach)
            };
            let widest = |a: (f64, f64), b: (f64, f64)| (a.0.min(b.0), a.1.max(b.1));
            Ok((0..mixture.n_modes()).map(mode).fold((f64::INFINITY, f64::NEG_INFINITY), widest))
        }
        Source::Rows { .. } => {
            let (got, want) = ("given as rows of data".to_string(), "a density, on a grid");
            Err(Error::Invalid { what: "end of a bridge", got, want })
        }
    }
}

/// Masses of the cells by their centres, of sum 1.
fn masses(axes: &[Axis], source: &Source) -> Result<Vec<f64>> {
    let n: usize = axes.iter().map(|axis| axis.n).product();
    let place = |at: usize| match axes {
        [x, y] => vec![x.at(at / y.n), y.at(at % y.n)],
        _ => vec![axes[0].at(at)],
    };
    let mut masses: Vec<f64> = (0..n).map(|at| source.log_density(&place(at)).map_or(0.0, f64::exp)).collect();
    let most = masses.iter().copied().fold(0.0, f64::max);
    masses.iter_mut().filter(|m| **m < FAINT * most).for_each(|m| *m = 0.0);
    let total: f64 = masses.iter().sum();
    masses.iter_mut().for_each(|m| *m /= total);
    Ok(masses)
}
