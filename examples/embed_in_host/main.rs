//! A wgpu application that owns its device, its encoder and its submit, and draws walkers that the engine moves.
//!
//! Teaches: an engine on a device that exists; steps recorded into the host's encoder; drawing from the buffer that the engine
//!          writes, without a copy; hearing of a lost device.
//! Run:     cargo run --release --example embed_in_host -- --frames 60 --out out/embed_in_host
//!          cargo run --release --example embed_in_host --features window -- --window --frames 6000
//! Prints:  how many walkers have crossed the barrier, and where the frames are
//! Writes:  `frame_000.png` and so on, but with `--window`

mod draw;
mod points;
mod walkers;
#[cfg(feature = "window")]
mod window;

use clap::Parser;
use draw::Canvas;
use ergodic::gpu::{Gpu, PollMode};
use ergodic::plan::Session;
use std::path::PathBuf;

/// Flags.
#[derive(Clone, Debug, Parser)]
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
    /// Show the frames in a window instead of writing them; needs the feature `window`.
    #[arg(long)]
    pub window: bool,
}

/// What can go wrong in the host: the engine's errors and its own.
pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result<()> {
    let args = Args::parse();
    let percent = 100.0 * run(&args)?;
    let frames = if args.window { "shown".to_string() } else { format!("frames in {}", args.out.display()) };
    println!("{percent:.1} % of {} walkers have crossed; {frames}", args.walkers);
    Ok(())
}

/// The host. Returns the part of the walkers that are in the right well at the end: one half, after long enough.
pub fn run(args: &Args) -> Result<f64> {
    if args.window {
        #[cfg(feature = "window")]
        return window::run(args);
        #[cfg(not(feature = "window"))]
        return Err("--window needs the feature `window`: cargo run --example embed_in_host --features window".into());
    }
    std::fs::create_dir_all(&args.out)?;
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle_from_env());
    let host = host(&instance, None)?;
    let (gpu, buffer) = (host.engine()?, walkers::buffer(&host.device, args.walkers));
    let mut session = walkers::session(&gpu, &buffer, args.walkers)?;
    let canvas = Canvas::new(&host.device);
    for frame in 0..args.frames {
        let mut encoder = host.device.create_command_encoder(&Default::default());
        session.encode(&mut encoder, args.steps)?; // the engine's part of the frame
        canvas.draw(&mut encoder, &buffer, args.walkers as u32);
        host.queue.submit([encoder.finish()]); // the only one
        canvas.save(&host.device, &args.out.join(format!("frame_{frame:03}.png")))?;
    }
    part_across(&host.device, &host.queue, &gpu, &session)
}

/// What any wgpu program has; the engine asks for nothing beyond the default limits.
struct Host {
    adapter: wgpu::Adapter,
    device: wgpu::Device,
    queue: wgpu::Queue,
}

fn host(instance: &wgpu::Instance, compatible_surface: Option<&wgpu::Surface<'_>>) -> Result<Host> {
    let wanted = wgpu::RequestAdapterOptions { compatible_surface, ..Default::default() };
    let adapter = pollster::block_on(instance.request_adapter(&wanted))?;
    let (device, queue) = pollster::block_on(adapter.request_device(&Default::default()))?;
    Ok(Host { adapter, device, queue })
}

impl Host {
    /// The engine on this device, which the host polls; what the host hears of its loss, the engine hears too.
    fn engine(&self) -> Result<Gpu> {
        let (device, queue) = (self.device.clone(), self.queue.clone());
        let gpu = Gpu::from_wgpu(self.adapter.get_info(), device, queue, PollMode::Host)?;
        self.device.set_device_lost_callback(gpu.lost_callback());
        Ok(gpu)
    }
}

/// Reads the walkers back, as a host does, and counts those in the right well.
fn part_across(device: &wgpu::Device, queue: &wgpu::Queue, gpu: &Gpu, session: &Session) -> Result<f64> {
    let mut encoder = device.create_command_encoder(&Default::default());
    let read = session.tensor("x")?.read_in::<f32>(&mut encoder)?;
    queue.submit([encoder.finish()]);
    device.poll(wgpu::PollType::wait_indefinitely())?;
    gpu.check()?;
    let x = read.wait()?;
    Ok(x.chunks(2).filter(|walker| walker[0] > 0.0).count() as f64 / (x.len() / 2).max(1) as f64)
}
