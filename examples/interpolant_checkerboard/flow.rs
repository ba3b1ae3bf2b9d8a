//! Fields as they are followed: by the ODE backwards for likelihoods, by the ODE or an SDE forwards for samples.

use super::problem::{Problem, Solver};
use ergodic::Result;
use ergodic::autodiff::Trace;
use ergodic::dynamics::ode::{Adaptive, FixedStep, Grid, Rates, with_log_density};
use ergodic::dynamics::sde::Diffusion;
use ergodic::gpu::{Gpu, Tensor};
use ergodic::graph::{Graph, Var};
use ergodic::methods::interpolant::{Epsilon, FieldNet, MixturePath, Source};
use ergodic::random::RngKey;
use std::time::Instant;

/// A field of a graph, with the parameters that it reads.
pub enum Part {
    Exact(Box<MixturePath>),
    Net(FieldNet),
}

/// `b` and `s` of a problem: known, or learned.
pub struct Model<'a> {
    pub problem: &'a Problem,
    /// The one path, or a network each for motion and noise; with names and values of their parameters.
    pub parts: Vec<(Part, &'static str, Tensor)>,
}

impl Model<'_> {
    fn b_and_s<'g>(&self, g: &'g Graph, t: Var<'g>, x: Var<'g>) -> Result<(Var<'g>, Option<Var<'g>>)> {
        let n = x.shape()[0];
        let mut values = vec![];
        for (part, name, tensor) in &self.parts {
            let theta = g.input(name, tensor.shape());
            match part {
                Part::Net(net) => values.push(net.apply(theta, t, x)?),
                Part::Exact(path) => {
                    let fields = path.fields(theta, t.broadcast_to([n, 1]), x)?;
                    return Ok((fields.b, Some(fields.s)));
                }
            }
        }
        let c = self.problem.schedule.at(t);
        Ok(self.problem.known().b_and_s(&c, values[0], values.get(1).copied()))
    }
}

/// A compiled solver.
enum Way {
    Fixed(FixedStep, u32),
    Adaptive(Adaptive),
    Noisy(Diffusion, u32),
}

impl Way {
    /// From one time to another; with the integral along the way if there is one.
    fn go(&self, from: &Tensor, times: (f64, f64), key: RngKey, integral: bool) -> Result<(Tensor, Vec<f64>)> {
        let part = |steps: u32| {
            let n = (f64::from(steps) * (times.1 - times.0).abs()).ceil().max(1.0);
            Grid::new(times.0, times.1, n as u32)
        };
        let arrived = match self {
            Way::Adaptive(solver) => {
                let arrived = solver.solve(from, times)?;
                let along = if integral { arrived.integral(0)? } else { vec![] };
                return Ok((arrived.points()?.clone(), along));
            }
            Way::Fixed(solver, steps) => solver.solve(from, part(*steps))?,
            Way::Noisy(solver, steps) => solver.solve(from, part(*steps), key)?,
        };
        let along = if integral { arrived.integral(0)? } else { vec![] };
        Ok((arrived.points()?.clone(), along))
    }
}

/// `f` compiled as an ODE.
fn ode(
    gpu: &Gpu,
    (n, model): (usize, &Model<'_>),
    f: impl for<'g> Fn(Var<'g>, Var<'g>, Var<'g>) -> Result<Rates<'g>>,
) -> Result<Way> {
    let g = Graph::new();
    let x = g.input("x", [n, model.problem.target.source()?.d()]);
    let field = |t, x| model.b_and_s(&g, t, x).and_then(|(b, _)| f(t, x, b));
    Ok(match model.problem.solver {
        Solver::Fixed { method, steps } => {
            let solver = FixedStep::new(gpu, x, method, field)?;
            Way::Fixed(model.parts.iter().fold(solver, |s, (_, name, tensor)| s.bind(name, tensor)), steps)
        }
        Solver::Adaptive(tolerance) => {
            let solver = Adaptive::new(gpu, x, tolerance, field)?;
            Way::Adaptive(model.parts.iter().fold(solver, |s, (_, name, tensor)| s.bind(name, tensor)))
        }
    })
}

/// Log-likelihoods by the ODE, with the exact trace.
pub struct Likelihood {
    way: Way,
    rows: usize,
    span: (f64, f64),
    start: Source,
}

impl Likelihood {
    /// For `rows` points at a time.
    pub fn new(gpu: &Gpu, model: &Model<'_>, rows: usize) -> Result<Self> {
        let way = ode(gpu, (rows, model), |_, x, b| with_log_density(b, x, Trace::Exact))?;
        Ok(Likelihood { way, rows, span: model.problem.span(), start: model.problem.interpolant()?.start() })
    }

    /// `log rho(1, x)` of points `x [n, d]`.
    pub fn of(&self, gpu: &Gpu, x: &[f32]) -> Result<Vec<f64>> {
        let (d, mut found) = (self.start.d(), vec![]);
        for part in x.chunks(self.rows * d) {
            // The last part is filled up with copies of its first row.
            let mut rows = part.to_vec();
            while rows.len() < self.rows * d {
                rows.extend_from_within(..d);
            }
            let from = Tensor::from_slice(gpu, "points", &[self.rows, d], &rows)?;
            let (to, along) = self.way.go(&from, (self.span.1, self.span.0), RngKey::new(0), true)?;
            let base = to.read::<f32>()?.wait()?;
            let base = base.chunks_exact(d).map(|row| self.start.log_density(&wide(row)).unwrap_or(f64::NAN));
            found.extend(base.zip(along).map(|(base, along)| base - along).take(part.len() / d));
        }
        Ok(found)
    }
}

/// Samples on their way: all of them at a few times, a few at many.
pub struct Samples {
    pub d: usize,
    /// Times and points `[n, d]`.
    pub frames: Vec<(f64, Vec<f32>)>,
    /// Times and the first points.
    pub tracks: Vec<(f64, Vec<f32>)>,
    /// Seconds that the solver took.
    pub seconds: f64,
}

/// Pieces of time between two looks at the samples, and how many looks are kept whole.
const PIECES: usize = 20;
const FRAMES: usize = 4;

/// Draw the start and follow it.
pub fn sample(gpu: &Gpu, model: &Model<'_>, key: RngKey) -> Result<Samples> {
    let (problem, (from, to)) = (model.problem, model.problem.span());
    let (start, n, d) = (problem.interpolant()?.start(), problem.samples, problem.target.source()?.d());
    let way = match problem.epsilon {
        Epsilon::Zero => ode(gpu, (n, model), |_, _, b| Ok(Rates::of(b)))?,
        epsilon => {
            let g = Graph::new();
            let drift = |t, x| {
                let (b, s) = model.b_and_s(&g, t, x)?;
                Ok(Rates::of(s.map_or(b, |s| epsilon.forwards(&problem.schedule.at(t), b, s))))
            };
            let strength = |t| Ok(epsilon.at(&problem.schedule.at(t)));
            let solver = Diffusion::new(gpu, g.input("x", [n, d]), problem.sde.method, drift, strength)?;
            Way::Noisy(model.parts.iter().fold(solver, |s, (_, name, tensor)| s.bind(name, tensor)), problem.sde.steps)
        }
    };
    let mut x = start.draw(gpu, n, key.fold_in(1))?;
    let first = x.read::<f32>()?.wait()?;
    let few = |x: &[f32]| x[..problem.trajectories.min(n) * d].to_vec();
    let (mut frames, mut tracks) = (vec![(from, first.clone())], vec![(from, few(&first))]);
    let (mut seconds, time) = (0.0, |k: usize| from + (to - from) * k as f64 / PIECES as f64);
    for k in 1..=PIECES {
        let begun = Instant::now();
        x = way.go(&x, (time(k - 1), time(k)), key.fold_in(1 + k as u32), false)?.0;
        let points = x.read::<f32>()?.wait()?;
        seconds += begun.elapsed().as_secs_f64();
        tracks.push((time(k), few(&points)));
        if k % (PIECES / FRAMES) == 0 {
            frames.push((time(k), points));
        }
    }
    Ok(Samples { d, frames, tracks, seconds })
}

pub fn wide(row: &[f32]) -> Vec<f64> {
    row.iter().map(|&v| f64::from(v)).collect()
}
