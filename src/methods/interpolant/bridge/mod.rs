//! Paths that are optimised: the Schrodinger bridge, and transport at least cost without noise.
//!
//! ```text
//! J[I, u] = int E[ |u(t, x_t)|^2 / 2 - (dI/dt + (gamma' - epsilon/gamma) z) . u(t, x_t) ] dt,   x_t = I(t, x_0, x_1) + gamma z
//! ```
//!
//! For a path the least `J` is `-int E|b + epsilon s|^2 dt / 2`, reached by the drift of its diffusion: minus the path's
//! **cost**. The largest of these is that of the Schrodinger bridge, and without noise that of optimal transport, where twice
//! the cost is `W_2^2`. So a path ascends and a drift descends the same `J`, each with a learning rate of its own. A path's
//! gradient is taken at a fixed drift (the envelope theorem), through its points, their rates and its noise. No path and no
//! error of the sampling can push the least `J` above the answer, but an imperfect drift makes a path look cheaper than it is.
//!
//! `J` is estimated with both signs of `z` for the same ends ([`Pairing::Antithetic`](super::Pairing)): `1/gamma` is infinite
//! at the ends of time, and cancels in pairs up to what has a finite variance.
//!
//! A path that is not learned ([`Family::Fixed`]) leaves a regression of the drift of its diffusion: with
//! [`PointMass`](super::Schedule::PointMass) and `epsilon = a` the target is `dI/dt - sqrt(2 a t/(1 - t)) z`, the drift that starts
//! from a single point.
//!
//! Layout: [`Bridge`] (the two players, their draws and costs), [`LearnedPath`] and [`Family`] (paths with parameters),
//! [`DriftSpec`] (models of the drift), [`BridgeTrainer`] (the game, one replayed graph), [`GaussianBridge`] (the answer between
//! Gaussians), [`GridBridge`] (that between other densities, on a grid).
//!
//! Source: arXiv:2303.08797, theorem 3.10, and theorem 3.1 for the start from a point; arXiv:2209.15571 for paths without noise.

mod drift;
mod gaussian;
mod grid;
mod path;
mod problem;
mod trainer;

pub use drift::DriftSpec;
pub use gaussian::GaussianBridge;
pub use grid::GridBridge;
pub use path::{Family, LearnedPath, Noise, PathSpec};
pub use problem::Bridge;
pub use trainer::{BridgeFit, BridgeTrainer};
