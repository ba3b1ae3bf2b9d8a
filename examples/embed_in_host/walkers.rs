//! What the engine does in the host: Langevin walkers in two wells, in a buffer that the host owns.

use ergodic::Result;
use ergodic::autodiff::grad;
use ergodic::gpu::{Gpu, Tensor};
use ergodic::graph::{DType, Graph, Var};
use ergodic::plan::{Bindings, CompileOptions, Plan, Session};
use ergodic::random::RngKey;

/// Step size, length^2.
pub const STEP: f64 = 0.005;

/// Positions `[n, 2]`, which the engine writes and the host draws: both know this one buffer.
pub fn buffer(device: &wgpu::Device, n: usize) -> wgpu::Buffer {
    use wgpu::BufferUsages as U;
    device.create_buffer(&wgpu::BufferDescriptor {
        label: Some("walkers"),
        size: (8 * n as u64).next_multiple_of(16).max(16),
        usage: U::STORAGE | U::UNIFORM | U::COPY_SRC | U::COPY_DST | U::VERTEX,
        mapped_at_creation: false,
    })
}

/// Walkers in two wells, `U(x, y) = 2 (x^2 - 1)^2 + 2 y^2`, all in the left one at first. `kT` is a tensor of one number, 1 at
/// first, that the host may write between frames.
pub fn session(gpu: &Gpu, buffer: &wgpu::Buffer, n: usize) -> Result<Session> {
    let g = Graph::new();
    let (x, temperature) = (g.input("x", [n, 2]), g.input("kT", [1]).reshape([]));
    let column = |i: usize| -> Var<'_> { x.narrow(1, i, 1).reshape([n]) };
    let energy = (column(0).square() - 1.0).square() * 2.0 + column(1).square() * 2.0;
    let noise = g.key("noise").normal([n, 2]) * (temperature * (2.0 * STEP)).sqrt();
    let moved = x - grad(energy, x)? * STEP + noise;
    let plan = Plan::compile(gpu, &[("x", moved)], &CompileOptions::labelled("walkers"))?;
    let walkers = Tensor::from_wgpu(gpu, "walkers", &[n, 2], DType::F32, buffer.clone(), 0)?;
    let warmth = Tensor::from_slice(gpu, "kT", &[1], &[1f32])?;
    let bindings = Bindings::new().tensor("x", &walkers).tensor("kT", &warmth).key("noise", RngKey::new(1));
    let session = Session::new(&plan, bindings)?;
    gather(&session, n)?;
    Ok(session)
}

/// All walkers in the left well.
pub fn gather(session: &Session, n: usize) -> Result<()> {
    session.tensor("x")?.write(&[-1.0f32, 0.0].repeat(n))
}
