//! What grows: four problems, each along one size.
//!
//! | sweep | problem | along |
//! |---|---|---|
//! | `walkers` | a Langevin step in two wells, two dimensions | number of walkers |
//! | `dimension` | the same, 4096 walkers | number of dimensions |
//! | `width` | a step of Adam on a network `16-w-w-1`, 256 rows | width of its layers |
//! | `grid` | a heat step, five points, periodic | number of cells of a square |
//!
//! Every point has a device of its own, so that its memory is its own.

use ergodic::Result;
use ergodic::autodiff::grad;
use ergodic::gpu::{Gpu, GpuOptions, Tensor};
use ergodic::graph::{Boundary, DType, Graph, Tap, Var};
use ergodic::nn::{Activation, Adam, Mlp};
use ergodic::plan::{Bindings, CompileOptions, Plan, Role, Session};
use ergodic::random::RngKey;
use std::time::Instant;

/// Seconds that a timed run should fill.
const SPAN: f64 = 0.15;
/// Steps of the heat equation in a step of the plan: there and back between two tensors, without a copy.
const CHAIN: usize = 2;
/// Walkers where the dimension grows.
const WALKERS: usize = 4096;
/// Rows and inputs of the network.
const BATCH: [usize; 2] = [256, 16];

/// One curve.
pub struct Sweep {
    /// Its name.
    pub name: &'static str,
    /// What grows, for an axis.
    pub along: &'static str,
    /// What a step is.
    pub step: &'static str,
    /// The power of the size that the cost should not exceed.
    pub power: f64,
    /// Sizes, smallest first.
    pub sizes: Vec<usize>,
    /// Steps of the problem in one step of its plan.
    pub chain: usize,
    /// Compiles and binds the problem of one size.
    pub build: fn(&Gpu, usize) -> Result<Session>,
}

/// One point of a curve.
#[derive(Clone, Copy, Debug)]
pub struct Point {
    /// The size.
    pub size: usize,
    /// Shortest time of a step, in seconds.
    pub seconds: f64,
    /// Most bytes of device memory that were in use at a time: tensors, intermediate values, copies to the host.
    pub bytes: u64,
    /// Kernel launches a step, or for all steps if one kernel loops over them.
    pub dispatches: usize,
    /// Seconds to compile.
    pub compile_s: f64,
}

/// All curves.
pub fn all() -> [Sweep; 4] {
    let doubling = |from: usize, to: usize| -> Vec<usize> {
        std::iter::successors(Some(from), |n| Some(2 * n)).take_while(|n| *n <= to).collect()
    };
    let decades = (6..=14).map(|half| 10f64.powf(f64::from(half) / 2.0).round() as usize).collect();
    let cells = doubling(64, 4096).into_iter().map(|side| side * side).collect();
    [
        Sweep {
            name: "walkers",
            along: "walkers",
            step: "Langevin step",
            power: 1.0,
            sizes: decades,
            chain: 1,
            build: walkers,
        },
        Sweep {
            name: "dimension",
            along: "dimensions",
            step: "Langevin step",
            power: 1.0,
            sizes: doubling(2, 512),
            chain: 1,
            build: dimension,
        },
        Sweep {
            name: "width",
            along: "units a layer",
            step: "training step",
            power: 2.0,
            sizes: doubling(16, 1024),
            chain: 1,
            build: width,
        },
        Sweep { name: "grid", along: "cells", step: "heat step", power: 1.0, sizes: cells, chain: CHAIN, build: grid },
    ]
}

impl Sweep {
    /// Measures one size, the shortest of `repeats` runs.
    pub fn measure(&self, size: usize, repeats: usize) -> Result<Point> {
        let gpu = Gpu::headless(GpuOptions::from_env()?)?;
        let mut session = (self.build)(&gpu, size)?;
        let mut run = |steps: u64| -> Result<f64> {
            let started = Instant::now();
            session.run(steps)?;
            session.gpu().wait()?;
            Ok(started.elapsed().as_secs_f64() / steps as f64)
        };
        run(1)?; // a driver may compile at the first launch
        let once = run(8)?;
        let steps = ((SPAN / once) as u64).clamp(1, 1000);
        let mut shortest = once;
        for _ in 0..repeats {
            shortest = shortest.min(run(steps)?);
        }
        session.check()?;
        let compile_s = gpu.pipeline_stats().plan_time.as_secs_f64();
        let dispatches = session.plan().report().dispatches();
        let seconds = shortest / self.chain as f64;
        Ok(Point { size, seconds, bytes: gpu.memory().high_water, dispatches, compile_s })
    }
}

/// The slope of log cost over log size by least squares, over the larger half of the sizes.
pub fn exponent(points: &[Point]) -> f64 {
    let upper = &points[points.len() / 2..];
    let logs = || upper.iter().map(|p| ((p.size as f64).ln(), p.seconds.ln()));
    let n = upper.len() as f64;
    let (mx, my) = (logs().map(|p| p.0).sum::<f64>() / n, logs().map(|p| p.1).sum::<f64>() / n);
    logs().map(|(x, y)| (x - mx) * (y - my)).sum::<f64>() / logs().map(|(x, _)| (x - mx).powi(2)).sum::<f64>()
}

/// Compiles and binds: states and inputs by name, zeros for moments and whatever else there is.
fn session(gpu: &Gpu, outputs: &[(&str, Var<'_>)], given: Vec<(&str, Vec<f32>)>) -> Result<Session> {
    let plan = Plan::compile(gpu, outputs, &CompileOptions::default())?;
    let mut bindings = Bindings::new().key("noise", RngKey::new(1));
    for decl in plan.tensors().iter().filter(|decl| matches!(decl.role, Role::Input | Role::State)) {
        let tensor = match given.iter().find(|(name, _)| *name == decl.name) {
            Some((_, values)) => Tensor::from_slice(gpu, &decl.name, &decl.shape, values)?,
            None => Tensor::zeros(gpu, &decl.name, &decl.shape, DType::F32)?,
        };
        bindings = bindings.tensor(&decl.name, &tensor);
    }
    Session::new(&plan, bindings)
}

fn walkers(gpu: &Gpu, n: usize) -> Result<Session> {
    two_wells(gpu, n, 2)
}

fn dimension(gpu: &Gpu, d: usize) -> Result<Session> {
    two_wells(gpu, WALKERS, d)
}

/// Unit wells at -2 and 2 on the first axis: `-log(e^-a + e^-b) = a - softplus(a - b)`.
fn two_wells(gpu: &Gpu, n: usize, d: usize) -> Result<Session> {
    let (g, h) = (Graph::new(), 0.05);
    let (x, means) = (g.input("x", [n, d]), g.input("means", [2, d]));
    let well = |k: usize| (x - means.narrow(0, k, 1).reshape([d])).square().sum(1) * 0.5;
    let energy = well(0) - (well(0) - well(1)).softplus();
    let moved = x - grad(energy, x)? * h + g.key("noise").normal([n, d]) * f64::sqrt(2.0 * h);
    let mut at = vec![0.0; 2 * d];
    (at[0], at[d]) = (-2.0, 2.0);
    session(gpu, &[("x", moved)], vec![("means", at)])
}

fn width(gpu: &Gpu, width: usize) -> Result<Session> {
    let [rows, d] = BATCH;
    let mlp = Mlp::new(&[d, width, width, 1], Activation::Silu)?;
    let g = Graph::new();
    let theta = g.input("theta", [mlp.layout().len()]);
    let (x, y) = (g.input("x", [rows, d]), g.input("y", [rows, 1]));
    let loss = (mlp.apply(theta, x)? - y).square().mean_all();
    let update = Adam::default().step("theta", theta, grad(loss, theta)?, g.constant(1e-3), g.step());
    let mut numbers = vec![0.0; rows * (d + 1)];
    RngKey::new(2).fill_normal(0, d + 1, &mut numbers);
    let y = numbers.split_off(rows * d);
    session(gpu, &update.outputs("theta"), vec![("theta", mlp.init(RngKey::new(3))), ("x", numbers), ("y", y)])
}

fn grid(gpu: &Gpu, cells: usize) -> Result<Session> {
    let side = cells.isqrt();
    let g = Graph::new();
    let tap = |dy: i32, dx: i32| Tap::new([dy, dx], 0.2);
    let taps = [tap(0, 0), tap(-1, 0), tap(1, 0), tap(0, -1), tap(0, 1)];
    let u = g.input("u", [side, side]);
    let next = (0..CHAIN).fold(u, |u, _| u.stencil(&taps, Boundary::Periodic));
    let wave = (0..cells).map(|i| ((i % side) as f32 * std::f32::consts::TAU / side as f32).cos()).collect();
    session(gpu, &[("u", next)], vec![("u", wave)])
}
