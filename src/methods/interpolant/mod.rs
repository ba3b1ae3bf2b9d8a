//! Flows and diffusions from one time-dependent density between two given ones: stochastic interpolants.
//!
//! ```text
//! x_t = alpha(t) x_0 + beta(t) x_1 + gamma(t) z          x_0 ~ rho_0, x_1 ~ rho_1, z ~ N(0, 1)
//! b(t, x) = E[dx_t/dt | x_t = x] = v - gamma gamma' s     velocity: the ODE dX = b dt carries rho_0 into rho_1
//! s(t, x) = grad log rho(t, x)  = -E[z | x_t = x]/gamma  score: dX = (b + eps s) dt + sqrt(2 eps) dW has the same densities,
//!                                                         forwards; so has b - eps s backwards; any eps(t) >= 0
//! ```
//!
//! With `gamma = 0` this is a normalizing flow by velocity regression; with the normal as base it is also a diffusion model.
//! Between mixtures of Gaussians every field is known, and nothing needs to be learned: [`MixturePath`].
//!
//! Fields go into the solvers of [`dynamics::ode`](crate::dynamics::ode) and [`dynamics::sde`](crate::dynamics::sde).
//!
//! Layout: [`Schedule`] and [`Gamma`] (how things are mixed), [`Fourier`] (a schedule with parameters), [`GaussianMixture`]
//! (densities, draws, entropies), [`MixturePath`] (fields in f64), [`Fields`] (the same as graphs), [`loss`] and [`Draws`]
//! (what a model of a field is trained on), [`Known`] and [`Epsilon`] (fields from each other, and the noise that they
//! allow), [`PathForm`] (likelihoods by paths), [`Excess`] (bounds from losses), [`Bridge`] (paths that are learned: Schrodinger
//! bridges and optimal transport; module `bridge`), [`GaussianBridge`] (the path of least cost between Gaussians),
//! [`optimal_pairs`] and [`Coupling`] (which rows of two batches belong together), [`Source`] and [`Interpolant`] (ends that are
//! drawn on the device), [`FieldNet`] and [`FieldTrainer`] (fields that are learned), [`Model`] (fields that are known together),
//! [`Sampling`] and [`Likelihood`] (how they are followed, and what density they carry), [`Flow`] (a velocity that is followed,
//! with its likelihoods).
//!
//! Source: arXiv:2303.08797; without noise arXiv:2209.15571.

pub mod bridge;
mod coupling;
mod density;
mod derived;
mod fields;
mod fit;
mod flow;
mod gaussian;
mod likelihood;
mod linalg;
mod losses;
mod model;
mod pairs;
mod path;
mod process;
mod real;
mod rows;
mod sampler;
mod sampling;
pub mod schedule;
mod series;
mod source;
mod stacked;
mod state;
mod trainer;
mod triangle;

pub use bridge::{
    Bridge, BridgeFit, BridgeTrainer, DriftSpec, Family, GaussianBridge, GridBridge, LearnedPath, Noise, PathSpec,
};
pub use coupling::optimal_pairs;
pub use density::{Likelihood, LogLikelihoods};
pub use derived::{Epsilon, Known, Values};
pub use fields::Fields;
pub use fit::{Average, FitConfig};
pub use flow::{Flow, Moved};
pub use gaussian::{Covariances, GaussianMixture, MixtureSpec};
pub use likelihood::{Excess, PathForm, bits_per_dimension, cross_entropy, largest_rate};
pub use losses::{Draws, Field, Pairing, drift_loss, energy_loss, implicit_score_loss, loss};
pub use model::Model;
pub use path::{MixturePath, PointFields};
pub use process::{Coupling, Interpolant};
pub use sampler::{Sampler, Samples};
pub use sampling::{Sampling, Solver, Spread};
pub use schedule::{Coefficients, Ends, Fourier, Gamma, Schedule};
pub use source::Source;
pub use state::State;
pub use trainer::{FieldNet, FieldTrainer};
