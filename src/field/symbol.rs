//! What linear operators do to a wave, and the largest step that explicit methods bear.
//!
//! On a ring, `exp(i theta . cell)` is an eigenvector of every stencil; its eigenvalue is the *symbol*. A method multiplies a
//! wave by its stability polynomial `R(dt symbol)` each step, and a step is stable if no wave of the grid grows. Walls keep a
//! part of a larger ring's waves, so the limit of the ring holds for them.
//!
//! Source: LeVeque, *Finite Difference Methods for Ordinary and Partial Differential Equations*, sections 7.3 and 9.6.

use super::advection::Scheme;
use super::grid::Grid;
use super::operators::Order;
use super::walls::Along;
use crate::dynamics::ode::{Method, Tableau};
use crate::error::{Error, Result};
use crate::graph::Var;
use serde::{Deserialize, Serialize};
use std::f64::consts::PI;

/// The linear part of an equation, `du/dt = diffusion lap u - stiffness lap lap u - velocity . grad u`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Linear {
    /// Diffusivity, length^2 over time, not below 0.
    pub diffusion: f64,
    /// Factor of the bilaplacian, length^4 over time, not below 0.
    pub stiffness: f64,
    /// Velocity along each axis; empty for none.
    pub velocity: Vec<f64>,
    /// Order of Laplacian and bilaplacian.
    pub order: Order,
    /// How the field is carried along.
    pub scheme: Scheme,
}

impl Default for Linear {
    fn default() -> Self {
        Linear { diffusion: 0.0, stiffness: 0.0, velocity: vec![], order: Order::Two, scheme: Scheme::Upwind }
    }
}

impl Linear {
    /// Diffusion alone, of order two.
    pub fn diffusion(diffusion: f64) -> Self {
        Linear { diffusion, ..Linear::default() }
    }

    pub(super) fn check(&self, grid: &Grid) -> Result<()> {
        for (what, value) in [("diffusivity", self.diffusion), ("factor of the bilaplacian", self.stiffness)] {
            if !(value.is_finite() && value >= 0.0) {
                return Err(Error::Invalid { what, got: value.to_string(), want: "finite and not below 0" });
            }
        }
        if let Some(speed) = self.velocity.iter().find(|v| !v.is_finite()) {
            return Err(Error::Invalid { what: "velocity", got: speed.to_string(), want: "finite" });
        }
        if self.velocity.is_empty() { Ok(()) } else { grid.one_an_axis("velocity", self.velocity.len()) }
    }

    /// Whether it is zero.
    fn is_empty(&self) -> bool {
        self.diffusion == 0.0 && self.stiffness == 0.0 && self.velocity.iter().all(|v| *v == 0.0)
    }
}

/// A complex number.
type Complex = (f64, f64);

fn times((a, b): Complex, (c, d): Complex) -> Complex {
    (a * c - b * d, a * d + b * c)
}

/// `sum weight exp(i offset theta)`.
fn wave(along: &[Along], theta: f64) -> Complex {
    let term =
        |(by, weight): &Along| (weight * (f64::from(*by) * theta).cos(), weight * (f64::from(*by) * theta).sin());
    along.iter().map(term).fold((0.0, 0.0), |sum, term| (sum.0 + term.0, sum.1 + term.1))
}

/// Growth of a wave in one step of the method, `R(z)`: with stages `k_i = z (1 + sum_j a_ij k_j)`.
fn growth(tableau: &Tableau, z: Complex) -> Complex {
    let mut slopes: Vec<Complex> = vec![];
    let after = |weights: &[f64], slopes: &[Complex]| {
        let add = |sum: Complex, (w, k): (&f64, &Complex)| (sum.0 + w * k.0, sum.1 + w * k.1);
        weights.iter().zip(slopes).fold((1.0, 0.0), add)
    };
    for stage in tableau.stages {
        let slope = times(z, after(stage, &slopes));
        slopes.push(slope);
    }
    after(tableau.weights, &slopes)
}

/// Rounding of a growth that is 1.
const STABLE: f64 = 1.0 + 1e-14;

impl Grid {
    /// Rate at which the linear part multiplies the wave `exp(i sum_k theta_k cell_k)`: real and imaginary part. `theta` is
    /// wave number times cell size, one an axis, in `[-pi, pi]`.
    ///
    /// ```
    /// use ergodic::field::{Axis, Grid, Linear};
    /// let grid = Grid::new([Axis::periodic(10, 1.0)])?;
    /// // The shortest wave: -4 D / dx^2.
    /// let (rate, turn) = grid.symbol(&Linear::diffusion(0.5), &[std::f64::consts::PI]);
    /// assert!((rate + 200.0).abs() < 1e-9 && turn.abs() < 1e-9);
    /// # Ok::<(), ergodic::Error>(())
    /// ```
    pub fn symbol(&self, linear: &Linear, theta: &[f64]) -> (f64, f64) {
        let (mut laplacian, mut carried) = (0.0, (0.0, 0.0));
        for (k, (axis, &theta)) in self.axes().iter().zip(theta).enumerate() {
            laplacian += wave(linear.order.curvature(), theta).0 / axis.spacing().powi(2);
            let v = linear.velocity.get(k).copied().unwrap_or(0.0);
            let (with, against) = linear.scheme.weights();
            let slope = wave(if v > 0.0 { &with } else { &against }, theta);
            carried = (carried.0 + v * slope.0 / axis.spacing(), carried.1 + v * slope.1 / axis.spacing());
        }
        let real = linear.diffusion * laplacian - linear.stiffness * laplacian * laplacian;
        (real - carried.0, -carried.1)
    }

    /// Largest stable step of an explicit method for the linear part; infinite if there is none, zero if the method bears none,
    /// as Euler's does not bear a flow taken from both sides.
    ///
    /// ```
    /// use ergodic::dynamics::ode::Method;
    /// use ergodic::field::{Axis, Grid, Linear};
    /// let grid = Grid::new([Axis::periodic(20, 1.0), Axis::periodic(20, 1.0)])?;
    /// let limit = grid.largest_step(&Linear::diffusion(2.0), Method::Euler)?;
    /// assert!((limit - 0.05f64.powi(2) / (4.0 * 2.0)).abs() < 1e-9); // dx^2 / 2 d D
    /// # Ok::<(), ergodic::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Invalid`] for a diffusivity below 0 or a number that is not finite; [`Error::Shape`] for a velocity of another
    /// number of axes.
    pub fn largest_step(&self, linear: &Linear, method: Method) -> Result<f64> {
        linear.check(self)?;
        if linear.is_empty() {
            return Ok(f64::INFINITY);
        }
        let symbols = self.symbols(linear);
        let fastest = symbols.iter().map(|z| z.0.hypot(z.1)).fold(0.0, f64::max);
        if fastest == 0.0 {
            return Ok(f64::INFINITY);
        }
        let bears = |dt: f64| {
            symbols.iter().all(|z| {
                let r = growth(method.tableau(), (z.0 * dt, z.1 * dt));
                r.0.hypot(r.1) <= STABLE
            })
        };
        // All explicit methods here end before |z| = 4, and the stable steps are an interval.
        let (mut low, mut high) = (0.0, 8.0 / fastest);
        for _ in 0..60 {
            let middle = 0.5 * (low + high);
            *(if bears(middle) { &mut low } else { &mut high }) = middle;
        }
        Ok(if low * fastest < 1e-3 { 0.0 } else { low })
    }

    /// Symbols of waves spread over all directions, the shortest ones included.
    fn symbols(&self, linear: &Linear) -> Vec<Complex> {
        let turns = if self.dimensions() == 3 { 8 } else { 32 };
        let mut thetas: Vec<Vec<f64>> = vec![vec![]];
        for _ in 0..self.dimensions() {
            let angles = || (1 - turns..=turns).map(|i| PI * f64::from(i) / f64::from(turns));
            thetas = thetas.iter().flat_map(|at| angles().map(|a| [&at[..], &[a]].concat())).collect();
        }
        thetas.iter().map(|theta| self.symbol(linear, theta)).collect()
    }

    /// Refuses a step that is not positive, or over the limit of an explicit method.
    ///
    /// # Errors
    /// [`Error::Unstable`], with the limit; [`Error::Invalid`] for a step that is not finite and above 0; those of
    /// [`largest_step`](Self::largest_step).
    pub fn check_step(&self, linear: &Linear, method: Method, step: f64) -> Result<()> {
        check_positive(step)?;
        let limit = self.largest_step(linear, method)?;
        // A step that was computed as the limit, and rounded.
        if step <= limit * (1.0 + 1e-6) {
            return Ok(());
        }
        let cells = self.shape().iter().map(usize::to_string).collect::<Vec<_>>().join(" x ");
        let what = format!("explicit {method:?} on {cells} cells");
        Err(Error::Unstable { what, step, limit })
    }

    /// `du/dt` of the linear part, with this grid's walls.
    ///
    /// # Errors
    /// Those of the operators.
    pub fn rate<'g>(&self, u: Var<'g>, linear: &Linear) -> Result<Var<'g>> {
        linear.check(self)?;
        let mut sum = u.zeros_like();
        if linear.diffusion != 0.0 {
            sum = sum + self.laplacian(u, linear.order)? * linear.diffusion;
        }
        if linear.stiffness != 0.0 {
            sum = sum - self.bilaplacian(u, linear.order)? * linear.stiffness;
        }
        if linear.velocity.iter().any(|v| *v != 0.0) {
            let velocity: Vec<_> = linear.velocity.iter().map(|v| u.graph().constant(*v)).collect();
            sum = sum - self.advection(u, &velocity, linear.scheme)?;
        }
        Ok(sum)
    }
}

/// A step of time must be finite and above 0.
pub(super) fn check_positive(step: f64) -> Result<()> {
    if step.is_finite() && step > 0.0 {
        return Ok(());
    }
    Err(Error::Invalid { what: "step of time", got: step.to_string(), want: "finite and above 0" })
}
