//! Fields on grids: stencils, walls, steppers and noise, as builders of graphs.
//!
//! A field is a variable `[batch.., n_0, .., n_{d-1}]` whose trailing axes are those of a [`Grid`] of one, two or three
//! dimensions. Values stand at the centres of cells, `x_i = (i + 1/2) dx`; walls lie on faces. Every operator gives a graph: it is
//! fused into whatever surrounds it, has derivatives of any order and an f64 meaning.
//!
//! | edge | cells beyond it | so that on the wall |
//! |---|---|---|
//! | `Periodic` | those of the other end | there is none |
//! | `Dirichlet(g)` | `2 g - u`, mirrored | `u = g` |
//! | `Neumann(s)` | `u` mirrored, sloped by `s` | `du/dx = s` along the axis |
//! | `Reflecting` | `u` mirrored | `du/dx = 0`, and nothing is carried through |
//!
//! On periodic grids all operators of order two or four have that order. At a wall the mirror is exact for fields with its
//! symmetry: those that vanish there together with their even derivatives (`Dirichlet(0)`), or whose odd derivatives vanish. The
//! solutions of homogeneous diffusion and reaction stay such fields. For others, order two is left for solutions.
//!
//! ```
//! use ergodic::field::{Axis, Grid, Order};
//! use ergodic::graph::{Feeds, Graph};
//! # fn main() -> ergodic::Result<()> {
//! let grid = Grid::new([Axis::periodic(32, 1.0)])?;
//! let g = Graph::new();
//! let laplacian = grid.laplacian(g.input("u", [32]), Order::Two)?;
//! let k = std::f64::consts::TAU;
//! let wave: Vec<f64> = (0..32).map(|i| (k * grid.axis(0).center(i)).cos()).collect();
//! let got = g.eval_f64(&[laplacian], &Feeds::new().tensor("u", &wave))?;
//! // The wave is an eigenvector: -k^2, short by a twelfth of (k dx)^2.
//! let want = -(2.0 * (k / 64.0).sin() * 32.0).powi(2);
//! assert!(got[0].data.iter().zip(&wave).all(|(l, u)| (l - want * u).abs() < 1e-10));
//! # Ok(()) }
//! ```
//!
//! Layout: `grid` the cells and their edges; `walls` sums of neighbours along axes; `operators`, `advection` and [`Stencil`] what
//! is computed from them; `symbol` what they do to a wave, and the largest stable step; `lines` implicit solves axis by axis;
//! `spectral` the same by eigenvectors, and filters; `steppers` one step of an equation; `noise` white noise.

mod advection;
mod grid;
mod lines;
mod noise;
mod operators;
mod spectral;
mod stencil;
mod steppers;
mod symbol;
mod walls;

pub use advection::{Flux, Scheme};
pub use grid::{Axis, Edge, Grid};
pub use operators::Order;
pub use spectral::Spectral;
pub use stencil::{Stencil, Weight};
pub use steppers::Implicit;
pub use symbol::Linear;
