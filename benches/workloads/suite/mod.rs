//! The eleven workloads, through the public API alone: graphs, autodiff, plans, sessions, samplers.
//!
//! A [`Workload`] is a row of the table: what is computed, at which sizes, and how its answer is judged. [`Workload::build`]
//! makes a [`Case`] on a device, which can be run and timed. The **answer** of a case is a list of numbers; [`Workload::score`]
//! compares it with f64 or a closed form. A peer in another framework computes from the same numbers ([`noise`]), answers in
//! the same form, and is scored by the same function.
//!
//! Layout: [`mixture`] walkers on an analytic energy, [`networks`] and [`ebm`] what is trained, [`fields`] stencils, [`arrays`]
//! products and resampling; [`replay`] the case that most of them are.

pub mod arrays;
pub mod ebm;
pub mod fields;
pub mod mixture;
pub mod networks;
pub mod replay;

use ergodic::gpu::Gpu;
use ergodic::graph::Var;
use ergodic::plan::{Bindings, CompileOptions, Plan, Profile, Trial, Tuner};
use std::cell::RefCell;
use std::time::Instant;

/// How large the workloads are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "report", derive(clap::ValueEnum))]
pub enum Scale {
    /// Those of the table.
    Full,
    /// A smoke run of seconds.
    Small,
    /// For tests in unoptimised code.
    Tiny,
}

/// Named sizes of one workload.
#[derive(Clone, Copy, Debug)]
pub struct Sizes(pub &'static [(&'static str, usize)]);

impl Sizes {
    /// The size of this name. A name that is not there is a mistake in the suite.
    pub fn get(&self, name: &str) -> usize {
        let found = self.0.iter().find(|(own, _)| *own == name);
        found.unwrap_or_else(|| panic!("no size `{name}` in {:?}", self.0)).1
    }
}

/// One row of the table.
pub struct Workload {
    /// Its name.
    pub id: &'static str,
    /// What one unit of work is.
    pub unit: &'static str,
    /// The ratio of speeds to reach on a software adapter with two cores, against JAX on the same cores.
    pub target: f64,
    /// Sizes at full, small and tiny scale.
    pub sizes: [Sizes; 3],
    /// Units of work in one run.
    pub units: fn(&Sizes) -> f64,
    /// Compile and bind.
    pub build: fn(&Bed<'_>, &Sizes) -> ergodic::Result<Box<dyn Case>>,
    /// Compare an answer with f64 or a closed form.
    pub score: fn(&Sizes, &[f64]) -> ergodic::Result<Vec<Figure>>,
}

impl Workload {
    /// Sizes at this scale.
    pub fn at(&self, scale: Scale) -> &Sizes {
        &self.sizes[scale as usize]
    }
}

/// Where cases are made.
#[derive(Clone, Copy)]
pub struct Bed<'a> {
    /// The device.
    pub gpu: &'a Gpu,
    /// Tries out the kernels of every plan before it is compiled for good, and prints what became of them.
    pub tuner: Option<&'a RefCell<Tuner>>,
}

impl Bed<'_> {
    fn tune(&self, outputs: &[(&str, Var<'_>)], bindings: &Bindings, options: &CompileOptions) -> ergodic::Result<()> {
        let Some(tuner) = self.tuner else { return Ok(()) };
        let mut tuner = tuner.borrow_mut();
        for Trial { kernel, candidate, outcome } in tuner.warm(outputs, bindings, options)? {
            println!("{kernel} | {candidate} | {outcome:?}");
        }
        self.gpu.set_tunings(tuner.tunings().clone());
        Ok(())
    }
}

/// A workload on a device.
pub trait Case {
    /// Back to the start. Not timed.
    fn prepare(&mut self) -> ergodic::Result<()>;
    /// One run, until the device is done. Timed.
    fn run(&mut self) -> ergodic::Result<()>;
    /// What a run gives, in the form that the workload's score wants.
    fn answer(&mut self) -> ergodic::Result<Vec<f64>>;
    /// What the plan says of itself.
    fn cost(&self) -> Cost;
    /// Each dispatch of a step timed alone, where the case is one session.
    fn profile(&mut self) -> ergodic::Result<Option<Profile>> {
        Ok(None)
    }
}

/// One step of the plan, as its report counts it, and how many steps a run takes.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// Kernel launches a step, or for all steps together if the kernel loops over them.
    pub dispatches: usize,
    /// Whether one dispatch computes all steps of a run.
    pub loops: bool,
    /// Bytes read and written at least.
    pub bytes: u64,
    /// Floating-point operations of a step, about.
    pub flops: f64,
    /// Steps in one run.
    pub steps: u64,
}

impl Cost {
    /// Of a plan that is run for so many steps.
    pub fn of(plan: &Plan, steps: u64) -> Self {
        Self::reported(&plan.report(), steps)
    }

    /// Of a plan's report.
    pub fn reported(report: &ergodic::plan::Report<'_>, steps: u64) -> Self {
        let (dispatches, loops) = (report.dispatches(), report.loops_over_steps());
        Cost { dispatches, loops, bytes: report.bytes(), flops: report.flops(), steps }
    }
}

/// How right an answer is: a deviation, and the largest one that is not an error.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Figure {
    /// What deviates, and in which unit.
    pub name: &'static str,
    /// How far.
    pub value: f64,
    /// The most that rounding or four standard errors explain; one false alarm in 16000 a statistic, with fixed seeds.
    pub bound: f64,
}

impl Figure {
    /// Whether the answer is right.
    pub fn holds(&self) -> bool {
        self.value <= self.bound
    }

    /// A deviation in standard errors.
    pub fn sigmas(name: &'static str, value: f64) -> Self {
        Figure { name, value, bound: 4.0 }
    }
}

/// All workloads, in the table's order.
pub fn all() -> [Workload; 11] {
    [
        mixture::ula(),
        mixture::jarzynski(),
        networks::mlp_train(),
        networks::mlp_input_grad(),
        ebm::step(),
        networks::velocity_step(),
        networks::divergence(),
        fields::heat_2d(),
        fields::allen_cahn(),
        arrays::gram(),
        arrays::resample(),
    ]
}

/// Seconds of `repeats` runs after one that warms up, shortest first.
pub fn time(case: &mut dyn Case, repeats: usize) -> ergodic::Result<Vec<f64>> {
    let mut seconds = vec![];
    for _ in 0..=repeats {
        case.prepare()?;
        let start = Instant::now();
        case.run()?;
        seconds.push(start.elapsed().as_secs_f64());
    }
    seconds.remove(0);
    seconds.sort_by(f64::total_cmp);
    Ok(seconds)
}

/// Middle of a sorted list, the upper one of two.
pub fn median(sorted: &[f64]) -> f64 {
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Pseudo-random numbers in (-1, 1) that a peer computes to the same bits: 32-bit mixing of the index by shifts and products.
///
/// Source of the mixing constants: Wellons, hash-prospector, `lowbias32`.
pub fn noise(n: usize, seed: u32) -> Vec<f32> {
    let mix = |i: u32| {
        let x = i.wrapping_add(seed.wrapping_mul(0x9e37_79b9));
        let x = (x ^ (x >> 16)).wrapping_mul(0x7feb_352d);
        let x = (x ^ (x >> 15)).wrapping_mul(0x846c_a68b);
        x ^ (x >> 16)
    };
    (0..n as u32).map(|i| ((f64::from(mix(i)) + 0.5) / 2f64.powi(31) - 1.0) as f32).collect()
}

/// Largest `|got - want|` over the largest `|want|`.
pub fn relative(got: &[f64], want: &[f64]) -> f64 {
    if got.len() != want.len() {
        return f64::INFINITY;
    }
    let top =
        |values: &mut dyn Iterator<Item = f64>| values.fold(0.0, |a: f64, b| if b.is_nan() { b } else { a.max(b) });
    let error = top(&mut got.iter().zip(want).map(|(g, w)| (g - w).abs()));
    error / top(&mut want.iter().map(|w| w.abs()))
}

/// To f64.
pub fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().copied().map(f64::from).collect()
}
