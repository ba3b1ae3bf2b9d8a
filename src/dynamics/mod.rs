//! Walkers that follow an energy, and the log-weights that make their averages exact.
//!
//! Reading order: [`proposal`] (a Gaussian step and its density), [`weights`] (what a step adds to a log-weight),
//! [`langevin`] (whole steps: move, weight), [`resample`] (equalise weights), [`stats`] (averages with error bars, on the
//! host), [`sampler`] (all of it as one replayed plan). Everything but the sampler builds graphs and touches no device.
//!
//! Points that follow a given field, without an energy: [`ode`] and, with noise, [`sde`].

pub(crate) mod anchor;
pub mod compensated;
mod glance;
pub mod langevin;
pub mod ode;
mod options;
pub mod pareto;
pub mod proposal;
pub mod resample;
pub mod sampler;
pub mod schedule;
pub mod sde;
pub mod stats;
mod step;
pub mod summary;
pub mod weights;

pub use compensated::Compensated;
pub use glance::Glance;
pub use options::{Kernel, LangevinOptions};
pub use proposal::{EndPoint, Proposal};
pub use sampler::{Start, WeightedLangevin};
pub use schedule::Schedule;
pub use stats::{Estimate, LogWeights};
pub use summary::Summary;
pub use weights::WeightRule;
