//! Plans: a graph compiled ahead of time into a short list of kernel launches.
//!
//! Compiling goes through four steps, each a file or two that can be read alone:
//!
//! 1. `classify`: which operations can stand inside any kernel, and which need one of their own; `products`: which
//!    products of small matrices are computed by the rows that use them, `layers`: in which loops; `stencils`: which steps
//!    of a field are one pass over memory;
//! 2. `partition`: which values lie in memory; `schedule`: which kernel computes each of them; `launches`:
//!    which of these share a launch;
//! 3. `emit`: scalar WGSL for any element of any node;
//! 4. `lower`: bindings, memory layout, and the whole text of every kernel.
//!
//! A [`Plan`] is data: it prints ([`Plan::report`]), it can be shared, and it holds no tensor. A [`Session`] binds it to
//! tensors and replays it.
//!
//! An output that has the name of an input is that input's **next value**: it is a state, and each step leaves it in the
//! tensor bound to the input. When a whole plan is one kernel whose rows do not mix, the kernel itself loops over the
//! steps, with the state in registers; `spread`: rows that are too wide for one invocation's are a subgroup's.

mod bindings;
mod choices;
mod classify;
mod compile;
mod emit;
mod launches;
mod layers;
mod leap;
mod lower;
mod memory;
mod offsets;
mod partition;
mod products;
mod profile;
mod prologue;
mod repeats;
mod report;
mod row_sums;
mod schedule;
mod session;
mod snapshot;
mod spread;
mod stages;
mod stencils;
mod tune;

pub use choices::Knob;
pub use compile::{CompileOptions, Plan};
pub use launches::Launches;
pub use lower::{Dispatch, KeyPath, Role, Slot, TensorDecl};
pub use products::Products;
pub use profile::{Profile, TimedDispatch};
pub use report::Report;
pub use session::{Bindings, Session};
pub use stages::Sums;
pub use stencils::Stencils;
pub use tune::{Outcome, Trial, Tuner};
