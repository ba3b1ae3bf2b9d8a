//! One step of `du/dt = linear part + rest`, as a graph: explicit, implicit-explicit, and Crank-Nicolson.
//!
//! | | order in time | stable | a step costs |
//! |---|---|---|---|
//! | [`Grid::explicit_step`] | the method's | up to [`Grid::largest_step`] | stencils alone, several steps a pass |
//! | [`Grid::crank_nicolson`] | 2 | always; short waves fade slowly | a solve an axis |
//! | [`Grid::implicit_explicit`] | 1 | always in the linear part | a solve an axis, or a filter |
//! | [`Grid::implicit_explicit_two`] | 2 | the same | two of these |
//!
//! Solvers of `dynamics::ode` take fields as well: their field function may call any operator of a grid.
//!
//! Sources: Crank and Nicolson, Proc. Camb. Phil. Soc. 43, 50 (1947); Ascher, Ruuth and Spiteri, Appl. Numer. Math. 25, 151
//! (1997), section 2.6, for the second-order pair; Strang, SIAM J. Numer. Anal. 5, 506 (1968), for axes in turn.

use super::grid::Grid;
use super::operators::Order;
use super::spectral::Spectral;
use super::symbol::{Linear, check_positive};
use crate::dynamics::ode::{Method, Rates};
use crate::error::{Error, Result};
use crate::graph::Var;

/// How the linear part of an implicit step is solved.
#[derive(Clone, Copy)]
pub enum Implicit<'a, 'g> {
    /// Axis by axis, a tridiagonal system a line: diffusion of order two. In one dimension it is exact; in more, the product of
    /// the axes' factors stands for their sum, an error of order one in the step.
    Lines,
    /// By eigenvectors: diffusion and bilaplacian of any order, exact in any number of dimensions.
    Spectral(&'a Spectral<'g>),
}

impl Grid {
    /// A step of an explicit Runge-Kutta method, of the linear part with `rest(u)` added.
    ///
    /// ```
    /// use ergodic::dynamics::ode::Method;
    /// use ergodic::field::{Axis, Grid, Linear};
    /// use ergodic::graph::Graph;
    /// # fn main() -> ergodic::Result<()> {
    /// let (grid, g) = (Grid::new([Axis::periodic(64, 1.0)])?, Graph::new());
    /// let u = g.input("u", [64]);
    /// let slow = Linear::diffusion(1.0);
    /// assert!(grid.explicit_step(u, &slow, Method::Euler, 1.2e-4, |u| Ok(u - u * u * u)).is_ok());
    /// let error = grid.explicit_step(u, &slow, Method::Euler, 1.3e-4, |u| Ok(u - u * u * u)).err();
    /// let text = error.map(|error| error.to_string()).unwrap_or_default();
    /// assert!(text.starts_with("a step of 0.00013 is over 0.00012207, the stability limit of explicit Euler on 64 cells"));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Error::Unstable`] for a step over the limit of the linear part, of which the rest knows nothing; those of the
    /// operators and of `rest`.
    pub fn explicit_step<'g>(
        &self,
        u: Var<'g>,
        linear: &Linear,
        method: Method,
        step: f64,
        rest: impl Fn(Var<'g>) -> Result<Var<'g>>,
    ) -> Result<Var<'g>> {
        self.first_axis(u)?;
        self.check_step(linear, method, step)?;
        let g = u.graph();
        let rate = |_, u| Ok(Rates::of(self.rate(u, linear)? + rest(u)?));
        let next = method.step(g.constant(0.0), g.constant(step), u, rate)?.x;
        g.check().map(|()| next)
    }

    /// A step of Crank and Nicolson's method for diffusion alone, `du/dt = diffusion lap u` of order two in space.
    ///
    /// In more than one dimension the axes take their steps in turn, which changes nothing but the order of two in the size of
    /// the error: their operators commute. Walls with values or slopes do not commute, and have half steps around the last axis.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a diffusivity below 0 or a step that is not above 0; [`Error::Shape`] if `u` does not end with the
    /// grid's axes.
    pub fn crank_nicolson<'g>(&self, u: Var<'g>, diffusion: f64, step: f64) -> Result<Var<'g>> {
        check_positive(step)?;
        Linear::diffusion(diffusion).check(self)?;
        let (last, a) = (self.dimensions() - 1, diffusion * step);
        let split = if self.is_homogeneous() { 1.0 } else { 0.5 };
        let mut next = u;
        for k in 0..last {
            next = self.crank_nicolson_lines(next, k, a * split)?;
        }
        next = self.crank_nicolson_lines(next, last, a)?;
        if split < 1.0 {
            for k in (0..last).rev() {
                next = self.crank_nicolson_lines(next, k, a * split)?;
            }
        }
        Ok(next)
    }

    /// A step of order one: the linear part at its end, the rest at its start, `u' - dt L u' = u + dt rest(u)`.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a step that is not above 0, a linear part with a velocity (put it into the rest), or by lines with
    /// a bilaplacian or order four; those of the operators and of `rest`.
    pub fn implicit_explicit<'g>(
        &self,
        u: Var<'g>,
        linear: &Linear,
        implicit: Implicit<'_, 'g>,
        step: f64,
        rest: impl Fn(Var<'g>) -> Result<Var<'g>>,
    ) -> Result<Var<'g>> {
        self.solve_implicit(u + rest(u)? * step, linear, implicit, step)
    }

    /// A step of order two, the pair of Ascher, Ruuth and Spiteri with two implicit stages; the implicit part is L-stable, so
    /// short waves fade at once.
    ///
    /// # Errors
    /// As [`implicit_explicit`](Self::implicit_explicit); [`Error::Invalid`] by lines in more than one dimension, where order
    /// two would be lost.
    pub fn implicit_explicit_two<'g>(
        &self,
        u: Var<'g>,
        linear: &Linear,
        implicit: Implicit<'_, 'g>,
        step: f64,
        rest: impl Fn(Var<'g>) -> Result<Var<'g>>,
    ) -> Result<Var<'g>> {
        if matches!(implicit, Implicit::Lines) && self.dimensions() > 1 {
            let (what, got) = ("number of axes of a second-order step by lines", self.dimensions().to_string());
            return Err(Error::Invalid { what, got, want: "1; use Implicit::Spectral for more" });
        }
        let gamma = 1.0 - std::f64::consts::FRAC_1_SQRT_2;
        let delta = 1.0 - 0.5 / gamma;
        let start = rest(u)?;
        let known = u + start * (gamma * step);
        let inner = self.solve_implicit(known, linear, implicit, gamma * step)?;
        // What the linear part says at the inner stage, from the equation that the stage solves.
        let linear_gain = (inner - known) * ((1.0 - gamma) / gamma);
        let rest_gain = (start * delta + rest(inner)? * (1.0 - delta)) * step;
        self.solve_implicit(u + linear_gain + rest_gain, linear, implicit, gamma * step)
    }

    /// The field `x` with `x - step L x = right`.
    fn solve_implicit<'g>(
        &self,
        right: Var<'g>,
        linear: &Linear,
        implicit: Implicit<'_, 'g>,
        step: f64,
    ) -> Result<Var<'g>> {
        check_positive(step)?;
        linear.check(self)?;
        if linear.velocity.iter().any(|v| *v != 0.0) {
            let got = format!("{:?}", linear.velocity);
            return Err(Error::Invalid {
                what: "velocity of an implicit part",
                got,
                want: "zero; put it into the rest",
            });
        }
        match implicit {
            Implicit::Lines if linear.stiffness != 0.0 || linear.order != Order::Two => {
                let got = format!("order {:?} with a bilaplacian factor of {}", linear.order, linear.stiffness);
                let want = "diffusion of order two; use Implicit::Spectral for more";
                Err(Error::Invalid { what: "implicit part by lines", got, want })
            }
            Implicit::Lines => {
                let a = linear.diffusion * step;
                (0..self.dimensions()).try_fold(right, |x, k| self.solve_lines(x, k, a))
            }
            Implicit::Spectral(spectral) => {
                spectral.check(self, linear.order)?;
                // What walls add does not depend on the field.
                let walls = self.rate(right.zeros_like(), linear)? * step;
                let rate = |lambda: Var<'g>| lambda * linear.diffusion - lambda * lambda * linear.stiffness;
                spectral.filter(right + walls, |lambda| (1.0 - rate(lambda) * step).recip())
            }
        }
    }
}
