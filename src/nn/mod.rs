//! Small networks and their training, as pieces of a graph.
//!
//! All parameters of a model live in **one flat vector** `theta [P]`; a [`ParamLayout`] says where each tensor lies. So a
//! gradient, a moment or an average is one vector too, and an optimiser is one element-wise expression of the graph.
//!
//! ```
//! use ergodic::{autodiff::grad, graph::{Feeds, Graph}, nn::{Activation, Adam, Mlp}, random::RngKey};
//! # fn main() -> ergodic::Result<()> {
//! let mlp = Mlp::new(&[2, 16, 1], Activation::Silu)?;
//! let layout = mlp.layout();
//! let g = Graph::new();
//! let (theta, x, y) = (g.input("theta", [layout.len()]), g.input("x", [4, 2]), g.input("y", [4, 1]));
//! let loss = (mlp.apply(theta, x)? - y).square().mean_all();
//! let update = Adam::default().step("theta", theta, grad(loss, theta)?, g.constant(0.01), g.step());
//!
//! // One training step is one graph: outputs that carry the name of an input are its next value.
//! let mut outputs = update.outputs("theta");
//! outputs.push(("loss", loss));
//! let xor = Feeds::new().tensor("x", &[0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0]).tensor("y", &[0.0, 1.0, 1.0, 0.0]);
//! let mut feeds = xor.tensor("theta", mlp.init(RngKey::new(1)));
//! for (name, zeros) in update.start() {
//!     feeds.set(&name, zeros);
//! }
//! let mut losses = vec![];
//! for _ in 0..500 {
//!     losses.extend(g.eval_step(&outputs, &mut feeds)?.pop().map(|value| value.data[0]));
//! }
//! assert!(losses[499] < 1e-3 * losses[0], "{} {}", losses[0], losses[499]);
//! # Ok(()) }
//! ```
//!
//! Layout: [`ParamLayout`] the flat vector, [`Mlp`] with [`Activation`] and [`Init`], [`Sgd`] and [`Adam`] with
//! [`clip_global_norm`] and [`ema`], [`LearningRate`] tables over steps.

mod init;
mod mlp;
mod optim;
mod params;
mod schedule;

pub use init::Init;
pub use mlp::{Activation, Mlp};
pub use optim::{Adam, Optimizer, Sgd, Update, clip_global_norm, ema};
pub use params::{Param, ParamLayout};
pub use schedule::{Decay, LearningRate};
