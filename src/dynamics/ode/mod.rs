//! Points that follow a field, `dx/dt = f(t, x)`, with integrals along their paths: the change of log-density among them.
//!
//! ```text
//! dx/dt = f(t, x)        d log rho(t, x_t)/dt = -div f(t, x_t)        forwards or backwards in time
//! ```
//!
//! A field is a function that builds nodes: `f(t, x)` with `t` a scalar (or `[n, 1]`) and `x [n, d]` gives [`Rates`]. Rows may
//! not mix if a log-density is carried.
//!
//! | | steps | on the device |
//! |---|---|---|
//! | [`Method::step`] | one | a graph, part of anything |
//! | [`FixedStep`] | as many as you say, all alike | one dispatch for all steps where rows do not mix and the field is small |
//! | [`Adaptive`] | as many as the tolerance needs | decides on the device; the host looks at the time now and then |
//! | [`Solver`] | either, as a preset says | |
//!
//! Layout: `tableau` methods as tables, `fixed` and `adaptive` the two solvers, `choice` between them, `density` what a
//! log-density needs.

mod adaptive;
mod choice;
mod density;
pub(super) mod fixed;
mod tableau;

pub use adaptive::{Adaptive, Arrived, Norm, Statistics, Tolerance};
pub use choice::{Solved, Solver, Solving};
pub use density::{draw_signs, signs_divergence, with_log_density, with_log_density_along};
pub use fixed::{FixedStep, Grid, Solution};
pub use tableau::{Method, Step, Tableau};

use crate::graph::Var;

/// What a field says at one time and place.
#[derive(Clone)]
pub struct Rates<'g> {
    /// `dx/dt`, `[n, d]`.
    pub velocity: Var<'g>,
    /// Rates of what is integrated along the path, `[n]` each; the path does not depend on them.
    pub integrands: Vec<Var<'g>>,
}

impl<'g> Rates<'g> {
    /// A velocity without integrals.
    pub fn of(velocity: Var<'g>) -> Self {
        Rates { velocity, integrands: vec![] }
    }

    /// With one more integrand, `[n]`.
    #[must_use]
    pub fn and(mut self, integrand: Var<'g>) -> Self {
        self.integrands.push(integrand);
        self
    }
}
