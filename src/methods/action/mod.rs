//! Most likely paths of driven systems with weak noise, and their action: barriers where no free energy exists.
//!
//! A transition between two states happens along one path, at a rate `exp(-S / eps)`, where `S` is the least action. Of two
//! states the one that is harder to leave is preferred; where both actions are equal lies a transition of first order, in
//! equilibrium or not.
//!
//! ```text
//! S = inf_phi sup_{theta: H(phi, theta) = 0} int <theta, d phi>          lambda phi_s = H_theta,  lambda theta_s = -H_phi
//! ```
//!
//! Reading order: [`System`] (a Hamiltonian as a graph, for SDEs, jumps, and the truncation of jumps), [`Model`] (one at given
//! parameters, in f64), [`Path`], [`Momenta`] (the inner problem), [`Minimum`] (the path of least action), [`CriticalPoint`],
//! [`Flow`] (the string method, and saddles), [`Climb`] and [`Passage`] (legs, Richardson's value, both directions).
//!
//! Source: arXiv:2202.06936; geometric action: Heymann and Vanden-Eijnden, Commun. Pure Appl. Math. 61, 1052 (2008).

mod ascent;
mod aside;
mod batch;
mod climb;
mod critical;
mod descent;
mod fixed_time;
mod linear;
mod model;
mod modes;
mod momenta;
mod path;
mod step;
mod string;
mod system;
mod systems;
mod transition;

pub use ascent::Swept;
pub use batch::{Climber, Paths};
pub use climb::{Climb, Part, Passage};
pub use critical::CriticalPoint;
pub use descent::{Minimum, PathOptions};
pub use model::Model;
pub use momenta::Momenta;
pub use path::Path;
pub use string::Flow;
pub use system::{
    Channel, Curvature, Noise, Parameters, System, jumps, langevin, neighbour, quadratic, ring_laplacian,
};
pub use systems::{GinzburgLandau, LinearSde, MaierStein, Schloegl};
pub use transition::{Transition, equal_action};
