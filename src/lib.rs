//! Weighted walkers and small networks on any GPU, with exact derivatives of every order and an f64 answer beside every kernel.
//!
//! You write an energy, or a whole training iteration, as a small [`graph`] of array operations. [`autodiff`] turns it into
//! graphs of derivatives; [`plan`] compiles graphs ahead of time into a few WGSL dispatches and replays them thousands of
//! times, on a device of its own or in a host's encoder.
//!
//! ```
//! use ergodic::autodiff::grad;
//! use ergodic::gpu::{Gpu, GpuOptions, Tensor};
//! use ergodic::graph::{DType, Graph};
//! use ergodic::plan::{Bindings, CompileOptions, Plan, Session};
//! use ergodic::random::RngKey;
//!
//! // Langevin dynamics in U = x^2 / 2: x' = x - h U'(x) + sqrt(2 h) xi.
//! let g = Graph::new();
//! let (x, h) = (g.input("x", [10_000]), 0.1);
//! let moved = x - grad(x.square() / 2.0, x)? * h + g.key("noise").normal([10_000]) * f64::sqrt(2.0 * h);
//!
//! let gpu = Gpu::headless(GpuOptions::from_env()?)?;
//! let plan = Plan::compile(&gpu, &[("x", moved)], &CompileOptions::default())?;
//! let walkers = Tensor::zeros(&gpu, "walkers", &[10_000], DType::F32)?;
//! let mut session = Session::new(&plan, Bindings::new().tensor("x", &walkers).key("noise", RngKey::new(1)))?;
//! session.run(200)?; // 200 steps in one dispatch
//! session.check()?;
//!
//! // The chain's own law has variance 1 / (1 - h/2). Five standard errors of a variance: 5 sqrt(2/n).
//! let x = walkers.read::<f32>()?.wait()?;
//! let variance = x.iter().map(|x| f64::from(x * x)).sum::<f64>() / 1e4;
//! assert!((variance * (1.0 - h / 2.0) - 1.0).abs() < 5.0 * f64::sqrt(2.0 / 1e4));
//! # Ok::<(), ergodic::Error>(())
//! ```
//!
//! # Should I use this?
//!
//! Yes, to sample, weigh or train on energies with log Z, masses and error bars that are right at a finite step size; for second
//! derivatives of small networks on any vendor's GPU; for such work inside a wgpu application. No, to train large networks (there
//! is no convolution or attention here), or where f64 is needed on the device: WGSL has none.
//!
//! # Precision contract
//!
//! - Every operation has an f64 meaning, [`Graph::eval_f64`](graph::Graph::eval_f64). The device computes in f32, within bounds
//!   under test that are formulas. Final sums, log Z and error bars are finished on the host in f64.
//! - Random bits, uniforms and exact normals are identical everywhere; default normals agree within a few units in the last
//!   place. See [`random`].
//! - Trajectories are bit-identical for one adapter and one [plan hash](plan::Plan::hash), however the steps are divided into
//!   runs, and across a restart from a checkpoint. Between adapters they agree in law.
//! - Sums are trees of fixed shape, without float atomics.
//! - A value that is not finite raises a bit on the device, [`Fault`], and becomes an [`Error`] when the session is checked.
//!
//! # Features
//!
//! | feature | | |
//! |---|---|---|
//! | `report` | on | command line, presets, metrics, pictures, checkpoints; adds clap, plotters, safetensors and others |
//!
//! Embedders turn `report` off; no feature changes a number.
//!
//! # In a host's application
//!
//! On a host's device nothing is submitted, polled or called back: work goes into the encoder that is given, and values come back
//! through [`Tensor::read_in`](gpu::Tensor::read_in) when the host polls.
//!
//! ```rust
//! # use ergodic::wgpu;
//! use ergodic::autodiff::grad;
//! use ergodic::gpu::{Gpu, PollMode, Tensor};
//! use ergodic::graph::{DType, Graph};
//! use ergodic::plan::{Bindings, CompileOptions, Plan, Session};
//! use ergodic::random::RngKey;
//!
//! fn walkers(info: wgpu::AdapterInfo, device: &wgpu::Device, queue: &wgpu::Queue) -> ergodic::Result<(Session, Tensor)> {
//!     let gpu = Gpu::from_wgpu(info, device.clone(), queue.clone(), PollMode::Host)?;
//!     let g = Graph::new();
//!     let (x, h) = (g.input("x", [4096, 2]), 0.01);
//!     let energy = (x.square().sum(1) - 1.0).square(); // one value per walker, in kT
//!     let moved = x - grad(energy, x)? * h + g.key("noise").normal([4096, 2]) * f64::sqrt(2.0 * h);
//!     let plan = Plan::compile(&gpu, &[("x", moved)], &CompileOptions::labelled("walkers"))?;
//!     let x = Tensor::zeros(&gpu, "walkers", &[4096, 2], DType::F32)?;
//!     Ok((Session::new(&plan, Bindings::new().tensor("x", &x).key("noise", RngKey::new(1)))?, x))
//! }
//!
//! fn frame(session: &mut Session, x: &Tensor, encoder: &mut wgpu::CommandEncoder) -> ergodic::Result<()> {
//!     session.encode(encoder, 10)?; // ten steps; the host submits
//!     let (_buffer, _bytes) = x.as_wgpu(); // draw the walkers from here: nothing is copied
//!     Ok(())
//! }
//! # let adapter = pollster::block_on(ergodic::gpu::adapters()).into_iter().next().expect("an adapter");
//! # let (device, queue) = pollster::block_on(adapter.request_device(&Default::default())).expect("a device");
//! # let (mut session, x) = walkers(adapter.get_info(), &device, &queue)?;
//! # let mut encoder = device.create_command_encoder(&Default::default());
//! # frame(&mut session, &x, &mut encoder)?;
//! # let read = x.read_in::<f32>(&mut encoder)?;
//! # queue.submit([encoder.finish()]);
//! # device.poll(wgpu::PollType::wait_indefinitely()).expect("the host polls");
//! # // A reference run of 200000 walkers gave <x^2> = 0.474 with deviation 0.42; without the gradient it is 0.4.
//! # // Five standard errors of 4096 walkers.
//! # let x = read.wait()?;
//! # let second = x.iter().map(|v| v * v).sum::<f32>() / 4096.0;
//! # assert!((second - 0.474).abs() < 5.0 * 0.42 / 64.0, "{second}");
//! # Ok::<(), ergodic::Error>(())
//! ```
#![warn(missing_docs)]
#![deny(unsafe_code)] // one exception: gpu/disk.rs

pub mod autodiff;
pub mod data;
pub mod dynamics;
pub mod error;
pub mod field;
pub mod gpu;
pub mod graph;
pub mod kernels;
pub mod linalg;
pub mod methods;
pub mod nn;
pub mod plan;
pub mod random;
#[cfg(feature = "report")]
pub mod report;

pub use error::{Error, Fault, NonFinite, Result};
pub use wgpu;
