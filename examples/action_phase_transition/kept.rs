//! What was computed, kept in the run's checkpoint: a run that goes on computes none of it again.

use super::solve::Solve;
use ergodic::methods::action::{Climb, CriticalPoint, Minimum, Momenta, Passage, Path, System};
use ergodic::report::Run;
use ergodic::{Error, Result};

/// Passages with the parameters of their points.
pub struct Kept<'a> {
    solve: Solve<'a>,
    found: Vec<(Vec<f64>, Passage)>,
    adapter: String,
}

impl<'a> Kept<'a> {
    /// Nothing, or what the run goes on from.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] for one of another adapter, or damaged.
    pub fn open(run: &Run, solve: Solve<'a>, adapter: &str) -> Result<Self> {
        let mut found = vec![];
        if let Some(checkpoint) = run.resumed() {
            checkpoint.expect("adapter", adapter)?;
            for i in 0..checkpoint.step() {
                let numbers = |part: &str| {
                    let name = format!("{part} {i}");
                    checkpoint.get::<f64>(&name, checkpoint.shape(&name).unwrap_or(&[]))
                };
                let (point, passage) = (numbers("point")?, Numbers(numbers("passage")?));
                // What has the right name and configuration was written below: it is whole.
                found.extend(passage.read(solve.system()).map(|passage| (point, passage)));
            }
        }
        Ok(Kept { solve, found, adapter: adapter.into() })
    }

    /// How many points are together on a device.
    pub fn together(&self) -> usize {
        self.solve.together
    }

    /// How many passages there are.
    pub fn len(&self) -> u64 {
        self.found.len() as u64
    }

    /// One result for each point.
    ///
    /// # Errors
    /// [`Error::Interrupted`], and what there is has to be saved; those of the device and the disk.
    pub fn passages(&mut self, run: &Run, points: &[Vec<f64>]) -> Result<Vec<Result<Passage>>> {
        let missing: Vec<_> = points.iter().filter(|point| self.get(point).is_none()).cloned().collect();
        let mut new = if missing.is_empty() { vec![] } else { self.solve.passages(&missing)? }.into_iter();
        let mut one = |point: &Vec<f64>| match self.get(point) {
            Some(passage) => Some(Ok(passage)),
            None => new.next().inspect(|found| {
                self.found.extend(found.as_ref().ok().map(|passage| (point.clone(), passage.clone())));
            }),
        };
        let all = points.iter().filter_map(&mut one).collect();
        self.kept(run)?;
        Ok(all)
    }

    /// The passage at one point, with a line on how far it is, which begins with `name`.
    ///
    /// # Errors
    /// As [`passages`](Self::passages); why there is none.
    pub fn passage(&mut self, run: &Run, name: &str, point: Vec<f64>) -> Result<Passage> {
        if let Some(passage) = self.get(&point) {
            return Ok(passage);
        }
        let passage = self.solve.passage(name, &point)?;
        self.found.push((point, passage.clone()));
        self.kept(run)?;
        Ok(passage)
    }

    /// After something was found: a checkpoint now and then, and the end of a run that is interrupted.
    fn kept(&mut self, run: &Run) -> Result<()> {
        run.stepped();
        if run.interrupted() {
            return Err(Error::Interrupted);
        }
        if run.checkpoint_due() { self.save(run) } else { Ok(()) }
    }

    fn get(&self, point: &[f64]) -> Option<Passage> {
        self.found.iter().find(|(at, _)| at == point).map(|(_, passage)| passage.clone())
    }

    /// Write all of it into the checkpoint.
    ///
    /// # Errors
    /// [`Error::Io`] naming the file.
    pub fn save(&self, run: &Run) -> Result<()> {
        let mut checkpoint = run.checkpoint(self.len()).text("adapter", self.adapter.as_str());
        for (i, (point, passage)) in self.found.iter().enumerate() {
            let Numbers(passage) = Numbers::of(passage);
            checkpoint = checkpoint.array(&format!("point {i}"), &[point.len()], point)?;
            checkpoint = checkpoint.array(&format!("passage {i}"), &[passage.len()], &passage)?;
        }
        run.save(&checkpoint)
    }
}

/// All that a passage is, in f64: lists, each behind its length. Counts are below 2^53.
struct Numbers(Vec<f64>);

impl Numbers {
    fn of(passage: &Passage) -> Self {
        let mut numbers = Numbers(vec![]);
        [&passage.low, &passage.high, &passage.saddle].into_iter().for_each(|point| numbers.write_point(point));
        [&passage.up, &passage.down].into_iter().for_each(|climb| numbers.write_climb(climb));
        passage.rests.iter().for_each(|point| numbers.write_point(point));
        numbers
    }

    fn write(&mut self, list: &[f64]) {
        self.0.push(list.len() as f64);
        self.0.extend_from_slice(list);
    }

    fn write_point(&mut self, point: &CriticalPoint) {
        self.write(&point.state);
        self.write(&point.growth);
        self.write(&[point.residual]);
    }

    fn write_climb(&mut self, climb: &Climb) {
        let counts = [climb.steps as f64, climb.legs.len() as f64, climb.through.len() as f64];
        self.write(&[&[climb.value, climb.error, climb.coarse, climb.fine][..], &counts].concat());
        for Minimum { path, momenta, action, steps, moved, converged } in &climb.legs {
            self.write(path.states());
            self.write(&momenta.theta);
            self.write(&momenta.lambda);
            self.write(&[momenta.h_residual, momenta.slope_residual, momenta.newton as f64]);
            self.write(&[*action, *steps as f64, *moved, f64::from(u8::from(*converged))]);
        }
        climb.through.iter().for_each(|point| self.write_point(point));
    }

    /// `None` where the numbers end too early.
    fn read(&self, system: &dyn System) -> Option<Passage> {
        let mut lists = Lists(&self.0);
        let [low, high, saddle] = [lists.point()?, lists.point()?, lists.point()?];
        let (up, down) = (lists.climb(system)?, lists.climb(system)?);
        let rests = std::iter::from_fn(|| lists.point()).collect();
        Some(Passage { low, high, saddle, up, down, rests })
    }
}

/// What is left to read.
struct Lists<'a>(&'a [f64]);

impl Lists<'_> {
    fn next(&mut self) -> Option<Vec<f64>> {
        let (length, rest) = self.0.split_first()?;
        let (list, rest) = rest.split_at_checked(*length as usize)?;
        self.0 = rest;
        Some(list.to_vec())
    }

    fn numbers<const N: usize>(&mut self) -> Option<[f64; N]> {
        self.next()?.try_into().ok()
    }

    fn point(&mut self) -> Option<CriticalPoint> {
        let (state, growth, [residual]) = (self.next()?, self.next()?, self.numbers()?);
        Some(CriticalPoint { state, growth, residual })
    }

    fn leg(&mut self, system: &dyn System) -> Option<Minimum> {
        let path = Path::new(system.sites(), self.next()?).ok()?;
        let (theta, lambda) = (self.next()?, self.next()?);
        let [h_residual, slope_residual, newton] = self.numbers()?;
        let momenta = Momenta { theta, lambda, h_residual, slope_residual, newton: newton as usize };
        let [action, steps, moved, converged] = self.numbers()?;
        Some(Minimum { path, momenta, action, steps: steps as usize, moved, converged: converged > 0.0 })
    }

    fn climb(&mut self, system: &dyn System) -> Option<Climb> {
        let [value, error, coarse, fine, steps, legs, through] = self.numbers()?;
        let legs = (0..legs as usize).map(|_| self.leg(system)).collect::<Option<_>>()?;
        let through = (0..through as usize).map(|_| self.point()).collect::<Option<_>>()?;
        let (noise, site_weight) = (system.noise(), system.site_weight());
        Some(Climb { value, error, coarse, fine, legs, through, steps: steps as usize, noise, site_weight })
    }
}
