//! Hand-written kernels: the host's side and the f64 twin of each file in `shaders/`.

pub mod apportion;
pub mod math;
pub mod matmul;
pub mod scan;
pub mod stencil;
pub mod tridiagonal;
