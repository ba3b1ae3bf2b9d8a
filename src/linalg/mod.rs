//! Systems of equations as builders of graphs: batched, differentiable, with an f64 meaning.
//!
//! Layout: [`tridiagonal`] systems along an axis, on lines and on rings.

pub mod tridiagonal;
