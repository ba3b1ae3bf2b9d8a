//! Data for the host side: readers that fail with the byte that is wrong, real digits, and samples with known answers.
//!
//! | module | what it does |
//! |---|---|
//! | [`file`](mod@file) | finds files of the repository; writes files so that a crash leaves the old or the new one, never half |
//! | [`idx`] | IDX images and labels, plain or packed with gzip |
//! | [`table`] | numeric CSV tables with named columns; rows to learn from, chosen out of a CSV or NPY file |
//! | [`tabular`] | such rows made ready: noise, columns dropped, split, standardised, with the volume of the scale |
//! | [`npy`] | NumPy arrays, so that Python reads what a run leaves |
//! | [`digits`] | MNIST digits in chosen proportions, scaled and pooled |
//! | [`moments()`] | means and covariances of rows |
//! | [`pca`] | principal components in f64 |
//! | [`synthetic`] | Gaussian mixtures with exact counts and an exact density |
//! | [`plane`] | checkerboard, rings, pinwheel and other densities in the plane, most with exact entropies |
//! | [`distance`] | distances between two samples |
//!
//! Everything is row-major, one sample a row, and nothing here touches a GPU.

pub mod digits;
pub mod distance;
pub mod file;
pub mod idx;
mod moments;
pub mod npy;
pub mod pca;
pub mod plane;
pub mod synthetic;
pub mod table;
pub mod tabular;

pub use digits::{Digits, MnistSubset};
pub use moments::moments;
pub use pca::Pca;
pub use plane::Plane;
pub use synthetic::{GaussianMixture, Samples};
pub use tabular::{Prepared, Standard, TableSpec};
