//! What weights are worth at a glance: summed on the device, four numbers read back.

use super::compensated::Compensated;
use super::sampler::{State, WeightedLangevin};
use super::step::{LOG_WEIGHTS, LOG_Z0};
use super::summary::Summary;
use crate::error::Result;
use crate::gpu::Gpu;
use crate::graph::Graph;
use crate::plan::{Bindings, CompileOptions, Plan, Session};

const TOP: &str = "glance.top";
const REST: &str = "glance.rest";
const ESS: &str = "glance.ess";

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

/// The sums, of log-weights `[n]`.
fn plan(gpu: &Gpu, n: usize) -> Result<Plan> {
    let g = Graph::new();
    let summary = Summary::of(Compensated::input(&g, LOG_WEIGHTS, [n]));
    // Top and rest apart: the host adds them without a rounding of f32.
    let outputs = [(TOP, summary.top), (REST, summary.log_mean_relative()), (ESS, summary.ess_fraction())];
    Plan::compile(gpu, &outputs, &CompileOptions::labelled("langevin glance"))
}

impl WeightedLangevin {
    /// What the weights are worth, by sums on the device: a few dispatches and one wait, whatever the number of walkers. The first
    /// call compiles them.
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
        let (gpu, n) = (self.plan.gpu(), self.shape[0]);
        let plan = match self.glance.get() {
            Some(plan) => plan,
            None => {
                let made = plan(gpu, n)?;
                self.glance.get_or_init(|| made)
            }
        };
        let mut bindings = Bindings::new();
        for name in [LOG_WEIGHTS.to_string(), format!("{LOG_WEIGHTS}.low")] {
            bindings = bindings.tensor(&name, state.session.tensor(&name)?);
        }
        let mut session = Session::new(plan, bindings)?;
        session.run(1)?;
        let mut numbers = vec![session.tensor(TOP)?, session.tensor(REST)?, session.tensor(ESS)?];
        let low = format!("{LOG_Z0}.low");
        if self.options.resampling.is_some() {
            numbers.extend([state.session.tensor(LOG_Z0)?, state.session.tensor(&low)?]);
        }
        let mut read = vec![];
        for number in gpu.read_many::<f32>(&numbers)? {
            read.push(number.wait()?.first().copied().map_or(f64::NAN, f64::from));
        }
        let log_z0: f64 = read[3..].iter().sum();
        Ok(Glance { log_mean_weight: log_z0 + read[0] + read[1], ess: read[2] * n as f64 })
    }
}
