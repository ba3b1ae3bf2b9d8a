//! Measure a free-energy difference with walkers that are never in equilibrium.
//!
//! Teaches: an energy as a graph; a schedule; weights; an estimate with its error bar.
//! Run:     cargo run --release --example hello_langevin
//! Prints:  log Z1/Z0 = 1.384 +- 0.003   exact 1.386   effective walkers 55 %
//! Source:  arXiv:2305.19414
use ergodic::dynamics::{Schedule, Start, WeightedLangevin};
use ergodic::gpu::{Gpu, GpuOptions};
use ergodic::graph::Graph;
use ergodic::random::RngKey;

const N: usize = 100_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let gpu = Gpu::headless(GpuOptions::default())?;
    let g = Graph::new();
    let (x, sigma) = (g.input("x", [N, 2]), g.input("sigma", []));
    let energy = x.square().sum(1) / (2.0 * sigma.square()); // one value per walker, in kT

    // Widen the well from 1 to 2 in 50 steps, too fast for the walkers to follow.
    let widths = (0..=50).map(|k| 2f32.powf(k as f32 / 50.0));
    let schedule = Schedule::new(0.2).vary("sigma", widths);
    let sampler = WeightedLangevin::new(&gpu, &energy, &x, schedule)?;
    let mut state = sampler.init(RngKey::new(7), Start::normal(1.0))?; // exact start: A = 0
    let info = sampler.step(&mut state, 0..50)?;
    let (free, exact, ess) = (info.log_mean_weight(), 2.0 * f64::ln(2.0), 100.0 * info.ess() / N as f64);
    println!("log Z1/Z0 = {free}   exact {exact:.3}   effective walkers {ess:.0} %");
    Ok(())
}
