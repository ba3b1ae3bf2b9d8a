//! Energy-based models trained by maximum likelihood, with walkers that never need to equilibrate.
//!
//! For a model `p(x) = exp(-U_theta(x)/T) / Z` the gradient of the cross-entropy with the data is
//!
//! ```text
//! dH/dtheta = mean over data of dU/dtheta - <dU/dtheta>_theta        (in units of kT)
//! ```
//!
//! and the second term is an average under the model as it is now. Langevin walkers follow the model while `theta`
//! moves, each with a log-weight `A` ([`weights`](crate::dynamics::weights)) that makes weighted averages exact at every
//! iteration, however slowly the walkers mix, and the mean weight the ratio of partition functions: log Z, the
//! cross-entropy and the relative masses of separated modes come with error bars.
//!
//! One iteration is **one graph** ([`iteration`]): gradient, optimiser, sub-steps, weights, resampling. A [`Trainer`]
//! replays it without a decision on the host. Weighted training, contrastive divergence and persistent contrastive
//! divergence are the same graph with another [`Method`].
//!
//! Weights are exact for a path of parameters that does not depend on the walkers. The walkers that drive the gradient
//! feel their own noise: that biases their log Z by about `-rate * iterations * E|dU/dtheta|^2 / walkers`, unseen by the
//! effective number of walkers. **Observers** carry weights along the same path without entering the gradient; their
//! averages have no such bias, and [`Diagnostics::feedback`] is the difference.
//!
//! Layout: [`Energy`] and its models, [`TrainConfig`], [`iteration`], [`Trainer`], [`Diagnostics`].
//!
//! Source: arXiv:2305.19414; persistent chains: Tieleman, ICML 2008; contrastive divergence: Hinton, Neural Comput. 14, 1771 (2002).

mod config;
mod diagnostics;
mod energy;
mod input;
mod iteration;
mod kernel;
mod mlp;
mod optimiser;
mod trainer;

pub use config::{Decay, Kernel, Method, Optimiser, Start, TrainConfig};
pub use diagnostics::Diagnostics;
pub use energy::{Energy, Mixture, Quadratic};
pub use iteration::{Drive, Problem, initial, iteration};
pub use mlp::MlpEnergy;
pub use trainer::{InitialWalkers, State, Trainer, Values};
