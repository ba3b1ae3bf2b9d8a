//! A [`Sampling`] that is compiled: points on their way.

use super::rows::log_densities;
use super::sampling::{SIGNS, Spread};
use super::source::Source;
use crate::dynamics::ode::{Adaptive, FixedStep, Grid, draw_signs};
use crate::dynamics::sde::Diffusion;
use crate::error::Result;
use crate::gpu::{Gpu, Tensor};
use crate::random::RngKey;

/// What the key is folded with for signs.
const SIGN_KEY: u32 = u32::MAX;

/// A compiled solver.
pub(super) enum Way {
    Fixed(FixedStep, u32),
    Adaptive(Adaptive),
    Noisy(Diffusion, u32),
}

impl Way {
    /// The same with another input bound.
    pub(super) fn bind(&self, name: &str, tensor: &Tensor) -> Self {
        match self {
            Way::Fixed(solver, steps) => Way::Fixed(solver.clone().bind(name, tensor), *steps),
            Way::Adaptive(solver) => Way::Adaptive(solver.clone().bind(name, tensor)),
            Way::Noisy(solver, steps) => Way::Noisy(solver.clone().bind(name, tensor), *steps),
        }
    }
}

/// Points that have arrived.
#[must_use]
pub struct Samples {
    /// `[n, d]`.
    pub points: Tensor,
    /// The log-density that the points carry, `[n]`; empty if it was not asked for.
    pub log_density: Vec<f64>,
    /// Standard error of one of them by the probes, over all points; 0 if it is exact.
    pub probe_se: f64,
}

/// A model, a solver and a direction, compiled.
#[must_use]
pub struct Sampler {
    pub(super) gpu: Gpu,
    pub(super) way: Way,
    /// The denoiser's last step.
    pub(super) last: Option<FixedStep>,
    pub(super) n: usize,
    pub(super) times: (f64, f64),
    pub(super) start: Source,
    pub(super) spread: Option<Spread>,
}

impl Sampler {
    /// Times at which points start and stop; the last step of a denoiser goes on to 1.
    pub fn times(&self) -> (f64, f64) {
        self.times
    }

    /// Draw the density that it starts from and carry it to the other end. Waits for the device.
    ///
    /// # Errors
    /// As [`follow`](Self::follow).
    pub fn run(&self, key: RngKey) -> Result<Samples> {
        let start = self.start.draw(&self.gpu, self.n, key.fold_in(0))?;
        self.follow(&start, 1, key, |_, _, _| Ok(()))
    }

    /// Points of the density that it starts from, and where each of them arrives: `[n, d]` both. For
    /// [`Interpolant::paired`](super::Interpolant::paired), whose flow straightens this one. Waits for the device.
    ///
    /// # Errors
    /// As [`follow`](Self::follow).
    pub fn pairs(&self, key: RngKey) -> Result<(Vec<f32>, Vec<f32>)> {
        let start = self.start.draw(&self.gpu, self.n, key.fold_in(0))?;
        let end = self.follow(&start, 1, key, |_, _, _| Ok(()))?;
        Ok((start.read::<f32>()?.wait()?, end.points.read::<f32>()?.wait()?))
    }

    /// Carry a copy of `start [n, d]`, points of the density at the first time, and `look(t, points, log_density)` after each
    /// of so many equal pieces of time, or of steps. Waits for the device.
    ///
    /// # Errors
    /// What `look` says; [`Invalid`](crate::Error::Invalid) for a log-density of data, whose own is not known;
    /// [`StepLimit`](crate::Error::StepLimit), [`Fault`](crate::Error::Fault) and others of the solvers.
    pub fn follow(
        &self,
        start: &Tensor,
        looks: usize,
        key: RngKey,
        mut look: impl FnMut(f64, &Tensor, &[f64]) -> Result<()>,
    ) -> Result<Samples> {
        let mut logs = match self.spread {
            Some(spread) => vec![log_densities(&self.start, &start.read::<f32>()?.wait()?)?; spread.runs().1],
            None => vec![vec![]],
        };
        let (mut x, marks) = (start.clone(), self.marks(looks));
        for (k, pair) in marks.windows(2).enumerate() {
            let runs = self.carry(&x, (pair[0].0, pair[1].0), pair[1].1, key.fold_in(k as u32 + 1))?;
            for (log, (points, gains)) in logs.iter_mut().zip(runs) {
                log.iter_mut().zip(gains).for_each(|(log, gain)| *log += gain);
                x = points;
            }
            look(pair[1].0, &x, &averaged(&logs).0)?;
        }
        if let Some(last) = &self.last {
            x = last.solve(&x, Grid::new(self.times.1, 1.0, 1))?.points()?.clone();
            look(1.0, &x, &[])?;
        }
        let (log_density, probe_se) = averaged(&logs);
        Ok(Samples { points: x, log_density, probe_se })
    }

    /// Steps of a part of the whole time.
    pub(super) fn steps_of(&self, share: f64) -> u32 {
        match &self.way {
            Way::Fixed(_, steps) | Way::Noisy(_, steps) => (f64::from(*steps) * share).ceil().max(1.0) as u32,
            Way::Adaptive(_) => 1,
        }
    }

    /// Times of the looks, the first one included, and steps to each from the one before.
    fn marks(&self, looks: usize) -> Vec<(f64, u32)> {
        let ((from, to), looks) = (self.times, looks.max(1));
        let steps = match &self.way {
            Way::Adaptive(_) => None,
            Way::Fixed(_, steps) | Way::Noisy(_, steps) => Some(*steps),
        };
        let whole = steps.map_or(looks, |steps| steps as usize);
        let looks = looks.min(whole);
        let at = |k: usize| whole * k / looks;
        let mark =
            |k: usize| (from + (to - from) * at(k) as f64 / whole as f64, (at(k) - at(k.saturating_sub(1))) as u32);
        (0..=looks).map(mark).collect()
    }

    /// From one time to another as often as the divergence asks for: points, and what the log-density gained.
    pub(super) fn carry(
        &self,
        x: &Tensor,
        times: (f64, f64),
        steps: u32,
        key: RngKey,
    ) -> Result<Vec<(Tensor, Vec<f64>)>> {
        let (probes, runs) = self.spread.map_or((0, 1), Spread::runs);
        let run = |k: u32| {
            let shape = [self.n, probes, self.start.d()];
            let signs = match probes {
                0 => None,
                _ => Some(draw_signs(&self.gpu, shape, key.fold_in(SIGN_KEY - k))?),
            };
            self.leg(x, times, (steps, key), signs.as_ref())
        };
        (0..runs as u32).map(run).collect()
    }

    /// From one time to another, with the log-density's gain.
    fn leg(
        &self,
        x: &Tensor,
        (from, to): (f64, f64),
        (steps, key): (u32, RngKey),
        signs: Option<&Tensor>,
    ) -> Result<(Tensor, Vec<f64>)> {
        let bound = signs.map(|signs| self.way.bind(SIGNS, signs));
        let grid = Grid::new(from, to, steps);
        let arrived = match bound.as_ref().unwrap_or(&self.way) {
            Way::Adaptive(solver) => {
                let arrived = solver.solve(x, (from, to))?;
                let gains = if self.spread.is_some() { arrived.integral(0)? } else { vec![] };
                return Ok((arrived.points()?.clone(), gains));
            }
            Way::Fixed(solver, _) => solver.solve(x, grid)?,
            Way::Noisy(solver, _) => solver.solve(x, grid, key)?,
        };
        let mut gains = if self.spread.is_some() { arrived.integral(0)? } else { vec![] };
        if let (Way::Noisy(..), Some(_)) = (&self.way, self.spread) {
            // What the noisy path itself adds.
            gains.iter_mut().zip(arrived.integral(1)?).for_each(|(gain, work)| *gain += work);
        }
        Ok((arrived.points()?.clone(), gains))
    }
}

/// Mean of runs, row by row, and the standard error of a row's mean, over all rows.
pub(super) fn averaged(runs: &[Vec<f64>]) -> (Vec<f64>, f64) {
    match runs {
        [a, b] => {
            let mean = a.iter().zip(b).map(|(a, b)| 0.5 * (a + b)).collect();
            let square: f64 = a.iter().zip(b).map(|(a, b)| 0.25 * (a - b).powi(2)).sum();
            (mean, (square / a.len().max(1) as f64).sqrt())
        }
        _ => (runs.first().cloned().unwrap_or_default(), 0.0),
    }
}
