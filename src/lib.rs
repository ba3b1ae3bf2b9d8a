//! A GPU compute engine for statistical-physics machine learning.
#![warn(missing_docs)]

pub mod autodiff;
pub mod data;
pub mod dynamics;
pub mod error;
pub mod gpu;
pub mod graph;
pub mod kernels;
pub mod methods;
pub mod nn;
pub mod plan;
pub mod random;
#[cfg(feature = "report")]
pub mod report;

pub use error::{Error, Fault, Result};
pub use wgpu;
