//! What weights are worth at a glance: summed on the device, four numbers read back.

use super::compensated::Compensated;
use super::sampler::{State, WeightedLangevin};
use super::step::{LOG_WEIGHTS, LOG_Z0};
use super::summary::Summary;
use crate::error::Result;
use crate::gpu::{Gpu, Readback};
use crate::graph::{Graph, Var};
use crate::plan::{Bindings, CompileOptions, Plan, Session};
use std::ops::Range;
use std::sync::PoisonError;

/// All numbers in one tensor, so that one copy brings them to the host.
const SEEN: &str = "glance";

/// What the weights of all walkers are worth, without reading them: for curves and decisions. Error bars need the weights
/// themselves ([`WeightedLangevin::info`]).
///
/// f32 sums on the device: `log_mean_weight` is within `1e-5` and `ess` within a part in `1e4` of the f64 values, tested.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Glance {
    /// `log(Z/Z_0)`: the log of the mean weight since the start, through all resamplings.
    pub log_mean_weight: f64,
    /// Effective number of walkers.
    pub ess: f64,
}

/// `[3]` of log-weights `[n]`: the largest, the log of the mean weight in units of that, effective walkers over `n`. With
/// resamplings also the two parts of the log of the mean weight before the last one, `[5]`.
fn plan(gpu: &Gpu, n: usize, resamples: bool) -> Result<Plan> {
    let g = Graph::new();
    let summary = Summary::of(Compensated::input(&g, LOG_WEIGHTS, [n]));
    // Top and rest apart: the host adds them without a rounding of f32.
    let mut seen = vec![summary.top, summary.log_mean_relative(), summary.ess_fraction()];
    if resamples {
        let before = Compensated::input(&g, LOG_Z0, []);
        seen.extend([before.high, before.low]);
    }
    let seen = seen.into_iter().map(|number| number.reshape([1])).collect::<Vec<_>>();
    let seen = Var::concat(&seen, 0).unwrap_or(summary.top);
    Plan::compile(gpu, &[(SEEN, seen)], &CompileOptions::labelled("langevin glance"))
}

impl WeightedLangevin {
    /// What the weights are worth, by sums on the device: a few dispatches and one wait, whatever the number of walkers. The first
    /// call compiles them, and a state keeps what they need.
    ///
    /// ```
    /// # use ergodic::{autodiff, dynamics::{Schedule, Start, WeightedLangevin}, gpu::{Gpu, GpuOptions}, graph::Graph, random::RngKey};
    /// # fn main() -> ergodic::Result<()> {
    /// let gpu = Gpu::headless(GpuOptions::from_env()?)?;
    /// let g = Graph::new();
    /// let (x, stiffness) = (g.input("x", [1000, 2]), g.input("stiffness", []));
    /// let energy = x.square().sum(1) * stiffness * 0.5;
    /// let schedule = Schedule::new(0.1).vary("stiffness", (0..=50).map(|k| 1.0 + 0.02 * k as f32));
    /// let sampler = WeightedLangevin::new(&gpu, &energy, &x, schedule)?;
    /// let mut state = sampler.init(RngKey::new(0), Start::normal(1.0))?;
    /// sampler.advance(&mut state, 0..50)?;
    /// let (seen, read) = (sampler.glance(&state)?, sampler.info(&state)?);
    /// assert!((seen.log_mean_weight - read.log_mean_weight().value).abs() < 1e-5);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Error::DeviceLost`](crate::Error::DeviceLost); what compiling refuses.
    pub fn glance(&self, state: &State) -> Result<Glance> {
        let mut encoder = self.plan.gpu().encoder("langevin glance");
        let seen = self.encode_glance(state, &mut encoder)?;
        self.seen(seen.after(self.plan.gpu().submit(encoder)?))
    }

    /// [`advance`](Self::advance) and [`glance`](Self::glance) in one submission, with one wait: for long runs of short stretches.
    ///
    /// # Errors
    /// Those of both.
    pub fn advance_and_glance(&self, state: &mut State, steps: Range<u64>) -> Result<Glance> {
        let steps = state.begin(steps)?;
        let mut encoder = self.plan.gpu().encoder("langevin");
        let faults = state.session.encode_checked(&mut encoder, steps)?;
        let seen = self.encode_glance(state, &mut encoder)?;
        let submission = self.plan.gpu().submit(encoder)?;
        let ran = state.session.checked(faults.after(submission.clone()));
        state.ended(ran)?;
        self.seen(seen.after(submission))
    }

    fn encode_glance(&self, state: &State, encoder: &mut wgpu::CommandEncoder) -> Result<Readback<f32>> {
        let mut kept = state.glance.lock().unwrap_or_else(PoisonError::into_inner);
        let session = match &mut *kept {
            Some(session) => session,
            none => none.insert(self.glance_session(state)?),
        };
        session.encode(encoder, 1)?;
        session.tensor(SEEN)?.read_in(encoder)
    }

    fn seen(&self, seen: Readback<f32>) -> Result<Glance> {
        let seen: Vec<_> = seen.wait()?.into_iter().map(f64::from).collect();
        let [top, rest, ess] = [0, 1, 2].map(|i| seen.get(i).copied().unwrap_or(f64::NAN));
        let before: f64 = seen.iter().skip(3).sum();
        Ok(Glance { log_mean_weight: before + top + rest, ess: ess * self.shape[0] as f64 })
    }

    /// The sums, bound to the weights of a state.
    fn glance_session(&self, state: &State) -> Result<Session> {
        let resamples = self.options.resampling.is_some();
        let plan = match self.glance.get() {
            Some(plan) => plan,
            None => {
                let made = plan(self.plan.gpu(), self.shape[0], resamples)?;
                self.glance.get_or_init(|| made)
            }
        };
        let mut bindings = Bindings::new();
        for decl in plan.tensors().iter().filter(|decl| decl.name != SEEN) {
            bindings = bindings.tensor(&decl.name, state.session.tensor(&decl.name)?);
        }
        Session::new(plan, bindings)
    }
}
