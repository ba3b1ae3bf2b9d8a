//! A wgpu application that owns its device, its encoder and its submit, and draws walkers that the engine moves.
//!
//! Teaches: an engine on a device that exists; steps recorded into the host's encoder; drawing from the buffer that the engine
//!          writes, without a copy.
//! Run:     cargo run --release --example embed_in_host -- --frames 60 --out out/embed_in_host
//! Prints:  how many walkers have crossed the barrier, and where the frames are
//! Writes:  `frame_000.png` and so on

mod draw;

use clap::Parser;
use draw::Canvas;
use ergodic::autodiff::grad;
use ergodic::gpu::{Gpu, PollMode, Tensor};
use ergodic::graph::{DType, Graph, Var};
use ergodic::plan::{Bindings, CompileOptions, Plan, Session};
use ergodic::random::RngKey;
use std::path::PathBuf;

/// Flags.
#[derive(Debug, Parser)]
pub struct Args {
    /// Walkers, all in the left well at first.
    #[arg(long, default_value_t = 100_000)]
    pub walkers: usize,
    /// Frames to draw.
    #[arg(long, default_value_t = 30)]
    pub frames: usize,
    /// Langevin steps a frame.
    #[arg(long, default_value_t = 20)]
    pub steps: u64,
    /// Where the frames go.
    #[arg(long, default_value = "out/embed_in_host")]
    pub out: PathBuf,
}

/// What can go wrong in the host: the engine's errors and its own.
pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Step size, length^2.
const STEP: f64 = 0.005;

fn main() -> Result<()> {
    let args = Args::parse();
    let crossed = run(&args)?;
    let percent = 100.0 * crossed;
    println!("{percent:.1} % of {} walkers have crossed; frames in {}", args.walkers, args.out.display());
    Ok(())
}

/// The host. Returns the part of the walkers that are in the right well at the end: one half, after long enough.
pub fn run(args: &Args) -> Result<f64> {
    std::fs::create_dir_all(&args.out)?;
    let (info, device, queue) = open()?;
    let buffer = walkers_buffer(&device, args.walkers);
    let (gpu, mut session) = engine(info, &device, &queue, &buffer, args.walkers)?;
    let canvas = Canvas::new(&device);
    for frame in 0..args.frames {
        let mut encoder = device.create_command_encoder(&Default::default());
        session.encode(&mut encoder, args.steps)?; // the engine's part of the frame
        canvas.draw(&mut encoder, &buffer, args.walkers as u32);
        queue.submit([encoder.finish()]); // the only one
        canvas.save(&device, &args.out.join(format!("frame_{frame:03}.png")))?;
    }
    let mut encoder = device.create_command_encoder(&Default::default());
    let read = session.tensor("x")?.read_in::<f32>(&mut encoder)?;
    queue.submit([encoder.finish()]);
    device.poll(wgpu::PollType::wait_indefinitely())?;
    gpu.check()?;
    let right = read.wait()?.chunks(2).filter(|walker| walker[0] > 0.0).count();
    Ok(right as f64 / args.walkers.max(1) as f64)
}

/// A device as any wgpu program makes it; the engine asks for nothing beyond the default limits.
fn open() -> Result<(wgpu::AdapterInfo, wgpu::Device, wgpu::Queue)> {
    let instance = wgpu::Instance::default();
    let adapter = pollster::block_on(instance.request_adapter(&Default::default()))?;
    let (device, queue) = pollster::block_on(adapter.request_device(&Default::default()))?;
    Ok((adapter.get_info(), device, queue))
}

/// Positions `[n, 2]`, which the engine writes and the host draws: both know this one buffer.
fn walkers_buffer(device: &wgpu::Device, n: usize) -> wgpu::Buffer {
    use wgpu::BufferUsages as U;
    device.create_buffer(&wgpu::BufferDescriptor {
        label: Some("walkers"),
        size: (8 * n as u64).next_multiple_of(16).max(16),
        usage: U::STORAGE | U::UNIFORM | U::COPY_SRC | U::COPY_DST | U::VERTEX,
        mapped_at_creation: false,
    })
}

/// Langevin walkers in two wells, `U(x, y) = 2 (x^2 - 1)^2 + 2 y^2` in kT, on the host's device.
fn engine(
    info: wgpu::AdapterInfo,
    device: &wgpu::Device,
    queue: &wgpu::Queue,
    buffer: &wgpu::Buffer,
    n: usize,
) -> ergodic::Result<(Gpu, Session)> {
    let gpu = Gpu::from_wgpu(info, device.clone(), queue.clone(), PollMode::Host)?;
    let g = Graph::new();
    let x = g.input("x", [n, 2]);
    let column = |i: usize| -> Var<'_> { x.narrow(1, i, 1).reshape([n]) };
    let energy = (column(0).square() - 1.0).square() * 2.0 + column(1).square() * 2.0;
    let moved = x - grad(energy, x)? * STEP + g.key("noise").normal([n, 2]) * (2.0 * STEP).sqrt();
    let plan = Plan::compile(&gpu, &[("x", moved)], &CompileOptions::labelled("walkers"))?;
    let walkers = Tensor::from_wgpu(&gpu, "walkers", &[n, 2], DType::F32, buffer.clone(), 0)?;
    walkers.write(&[-1.0f32, 0.0].repeat(n))?;
    let bindings = Bindings::new().tensor("x", &walkers).key("noise", RngKey::new(1));
    Ok((gpu, Session::new(&plan, bindings)?))
}
