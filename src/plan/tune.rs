//! The tuner: tries out the ways in which the kernels of a plan can be computed, and keeps the fastest that is right.
//!
//! A way is judged in its plan, on the user's own tensors: another tile may fuse with other neighbours, so its kernel alone
//! says little. It may win only if one step gives what the rules' own kernels give, within rounding, and if several steps
//! take less time, by the median of pairs of runs, one right after the other, with the best so far.

use super::choices::{Choices, Knob};
use super::compile::{CompileOptions, Plan};
use super::lower::Role;
use super::session::{Bindings, Session};
use super::snapshot::Snapshot;
use crate::error::Result;
use crate::gpu::{Gpu, Tuned, Tunings};
use crate::graph::{DType, Var};
use std::collections::BTreeMap;
use std::time::Instant;

/// How much faster a way must be before it is preferred: below lies the noise of repeated runs.
const GAIN: f64 = 0.03;
/// Pairs of runs by which two ways are compared.
const RUNS: usize = 5;
/// Seconds that one timed run should last, so that submitting it weighs little.
const SPAN: f64 = 0.02;
/// Most steps of one timed run.
const STEPS: f64 = 256.0;
/// Largest difference of two right results, over the largest number of their tensor. Sums in another order differ by some eps times
/// their absolute terms; a wrong kernel differs by the terms themselves. What cancels by more than this is not tuned.
const ROUNDING: f64 = 1024.0 * f32::EPSILON as f64;

/// What became of a candidate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Outcome {
    /// The fastest so far, this many times as fast as the best before.
    Faster(f64),
    /// Right, and not fast enough to be preferred.
    Slower(f64),
    /// Its results differ from the rules' by this much, over the largest number of a tensor.
    Wrong(f64),
    /// It cannot be compiled here.
    Refused,
}

/// One candidate of one kernel.
#[derive(Clone, Debug, PartialEq)]
pub struct Trial {
    /// The kernel.
    pub kernel: String,
    /// The candidate.
    pub candidate: String,
    /// What became of it.
    pub outcome: Outcome,
}

/// Finds the fastest way to compute each kernel, when it is asked to.
///
/// # Example
/// ```no_run
/// use ergodic::gpu::{Gpu, GpuOptions, Tensor};
/// use ergodic::graph::Graph;
/// use ergodic::plan::{Bindings, CompileOptions, Plan, Tuner};
/// let gpu = Gpu::headless(GpuOptions::from_env()?)?;
/// let g = Graph::new();
/// let x = g.input("x", [2048, 512]);
/// let gram = x.matmul(x.t());
/// let tensor = Tensor::from_slice(&gpu, "x", &[2048, 512], &vec![1.0f32; 2048 * 512])?;
/// let mut tuner = Tuner::new(&gpu);
/// tuner.warm(&[("gram", gram)], &Bindings::new().tensor("x", &tensor), &CompileOptions::default())?;
/// tuner.tunings().save("tuning.ron".as_ref())?; // for ERGODIC_TUNING=tuning.ron
/// gpu.set_tunings(tuner.tunings().clone()); // and for plans of this process
/// let plan = Plan::compile(&gpu, &[("gram", gram)], &CompileOptions::default())?;
/// # let _ = plan;
/// # Ok::<(), ergodic::Error>(())
/// ```
pub struct Tuner {
    gpu: Gpu,
    tunings: Tunings,
}

impl Tuner {
    /// Starts from the device's own table: what is in it for this adapter is not tried again.
    pub fn new(gpu: &Gpu) -> Self {
        Tuner { gpu: gpu.clone(), tunings: (*gpu.tunings()).clone() }
    }

    /// What was found so far.
    pub fn tunings(&self) -> &Tunings {
        &self.tunings
    }

    /// Tries every candidate of every kernel of this plan. Takes as long as compiling and running the plan once for each; states
    /// are put back as they were. Returns what became of each candidate.
    ///
    /// # Errors
    /// Those of [`Plan::compile`] and [`Session::new`] for the rules' own kernels; [`Error::Invalid`](crate::Error::Invalid) on a host's
    /// device, where nothing may be submitted; [`Error::DeviceLost`](crate::Error::DeviceLost).
    pub fn warm(
        &mut self,
        outputs: &[(&str, Var<'_>)],
        bindings: &Bindings,
        options: &CompileOptions,
    ) -> Result<Vec<Trial>> {
        self.gpu.may_submit("Tuner::warm")?;
        let problem = Problem { gpu: &self.gpu, outputs, bindings, options };
        let mut rules = problem.bench(&Tunings::default(), None)?;
        let wanted = rules.answers()?;
        let mut trials = vec![];
        for knob in rules.open_knobs(&self.tunings) {
            let found = problem.best(&self.tunings, &knob, &wanted, &mut trials)?;
            self.tunings.set(self.gpu.info(), &knob.kernel, found);
        }
        Ok(trials)
    }
}

/// What is tuned.
struct Problem<'p, 'g> {
    gpu: &'p Gpu,
    outputs: &'p [(&'p str, Var<'g>)],
    bindings: &'p Bindings,
    options: &'p CompileOptions,
}

impl<'p> Problem<'p, '_> {
    fn bench(&self, tunings: &Tunings, tried: Option<(&str, usize)>) -> Result<Bench<'p>> {
        let choices = Choices::trying(self.gpu, tunings, tried);
        let plan = Plan::build(self.gpu, self.outputs, self.options, &choices)?;
        let session = Session::new(&plan, self.bindings.clone())?;
        let before = Snapshot::take(self.gpu, session.written())?;
        Ok(Bench { gpu: self.gpu, session, before })
    }

    /// The fastest right candidate of a kernel.
    fn best(&self, tunings: &Tunings, knob: &Knob, wanted: &Answers, trials: &mut Vec<Trial>) -> Result<Tuned> {
        let mut best = self.bench(tunings, Some((&knob.kernel, 0)))?;
        let (mut taken, mut speedup) = (0, 1.0);
        for (number, candidate) in knob.candidates.iter().enumerate().skip(1) {
            let outcome = match self.bench(tunings, Some((&knob.kernel, number))) {
                Err(error @ crate::Error::DeviceLost { .. }) => return Err(error),
                Err(_) => Outcome::Refused,
                Ok(mut other) => match other.answers()?.distance(wanted) {
                    far if far.is_nan() || far > ROUNDING => Outcome::Wrong(far),
                    _ => {
                        let ratio = best.over(&mut other)?;
                        let faster = ratio > 1.0 + GAIN;
                        // Twice: of a dozen candidates one looks faster by chance.
                        let ratio = if faster { ratio.min(best.over(&mut other)?) } else { ratio };
                        if ratio > 1.0 + GAIN {
                            (best, taken, speedup) = (other, number, speedup * ratio);
                            Outcome::Faster(ratio)
                        } else {
                            Outcome::Slower(ratio)
                        }
                    }
                },
            };
            trials.push(Trial { kernel: knob.kernel.clone(), candidate: candidate.clone(), outcome });
        }
        Ok(Tuned { choice: knob.candidates[taken].clone(), speedup: speedup as f32 })
    }
}

/// A plan that can be run again and again from the same start.
struct Bench<'p> {
    gpu: &'p Gpu,
    session: Session,
    before: Snapshot,
}

/// What a step leaves in each tensor that it writes: numbers, or words.
struct Answers(BTreeMap<String, std::result::Result<Vec<f32>, Vec<u32>>>);

impl Bench<'_> {
    /// Kernels that can be computed in several ways and are not in the table, each once.
    fn open_knobs(&self, tunings: &Tunings) -> Vec<Knob> {
        let knobs = self.session.plan().dispatches().iter().filter_map(|dispatch| dispatch.knob.as_ref());
        let open = |knob: &&Knob| knob.candidates.len() > 1 && tunings.get(self.gpu.info(), &knob.kernel).is_none();
        let mut all: Vec<Knob> = vec![];
        for knob in knobs.filter(open) {
            if !all.iter().any(|other| other.kernel == knob.kernel) {
                all.push(knob.clone());
            }
        }
        all
    }

    fn answers(&mut self) -> Result<Answers> {
        self.seconds(1)?;
        let mut all = BTreeMap::new();
        let decls = self.session.plan().tensors().iter();
        for decl in decls.filter(|decl| matches!(decl.role, Role::State | Role::Output)) {
            let values = match decl.dtype {
                DType::F32 => Ok(self.session.read::<f32>(&decl.name)?.wait()?),
                _ => Err(self.session.read::<u32>(&decl.name)?.wait()?),
            };
            all.insert(decl.name.clone(), values);
        }
        self.before.restore(self.gpu)?;
        Ok(Answers(all))
    }

    /// Seconds of a run from the start. What it leaves stays until the next one.
    fn seconds(&mut self, steps: u64) -> Result<f64> {
        self.before.restore(self.gpu)?;
        let first = self.session.step();
        let start = Instant::now();
        self.session.run(steps)?;
        self.gpu.wait()?;
        let seconds = start.elapsed().as_secs_f64();
        self.session.set_step(first);
        Ok(seconds)
    }

    /// The time of this plan over that of another: the median over pairs of runs, one right after the other.
    fn over(&mut self, other: &mut Bench<'_>) -> Result<f64> {
        let once = self.seconds(1)?.min(self.seconds(1)?);
        let steps = (SPAN / once).clamp(1.0, STEPS) as u64;
        other.seconds(steps)?; // a driver may compile at the first launch
        let mut ratios = vec![];
        for _ in 0..RUNS {
            ratios.push(self.seconds(steps)? / other.seconds(steps)?);
        }
        self.before.restore(self.gpu)?;
        ratios.sort_by(f64::total_cmp);
        Ok(ratios[RUNS / 2])
    }
}

impl Answers {
    /// The largest difference over the largest number of its tensor; NaN and infinities must be in the same places, words equal.
    fn distance(&self, wanted: &Answers) -> f64 {
        let pairs = wanted.0.iter().map(|(name, want)| match (self.0.get(name), want) {
            (Some(Ok(got)), Ok(want)) => difference(got, want),
            (Some(Err(got)), Err(want)) if got == want => 0.0,
            _ => f64::INFINITY,
        });
        pairs.fold(0.0, f64::max)
    }
}

fn difference(got: &[f32], want: &[f32]) -> f64 {
    let finite = want.iter().filter(|v| v.is_finite()).fold(f32::MIN_POSITIVE, |top, v| top.max(v.abs()));
    let apart = |(got, want): (&f32, &f32)| match got.is_finite() && want.is_finite() {
        true => f64::from((got - want).abs() / finite),
        false if got.to_bits() == want.to_bits() || (got.is_nan() && want.is_nan()) => 0.0,
        false => f64::INFINITY,
    };
    if got.len() == want.len() { got.iter().zip(want).map(apart).fold(0.0, f64::max) } else { f64::INFINITY }
}
