//! Both directions at many parameter points, on the host or on the device.

use super::problem::{Problem, Solver};
use ergodic::Result;
use ergodic::gpu::Gpu;
use ergodic::methods::action::{Climber, Model, Part, Passage, System};
use ergodic::report::Progress;

/// A way to compute passages of one problem.
pub struct Solve<'a> {
    problem: &'a Problem,
    system: &'a dyn System,
    climber: Option<Climber<'a>>,
    /// Parameter points that are computed together.
    pub together: usize,
}

impl<'a> Solve<'a> {
    pub fn new(problem: &'a Problem, system: &'a dyn System, gpu: Option<&Gpu>, points: usize) -> Result<Self> {
        let (climber, together) = match (problem.solver, gpu) {
            (Solver::Device { paths }, Some(gpu)) => {
                let paths = paths.min(2 * points);
                (Some(Climber::new(gpu, system, paths, problem.paths.nodes)?), paths.div_ceil(2))
            }
            _ => (None, 1),
        };
        Ok(Solve { problem, system, climber, together })
    }

    /// What it solves.
    pub fn system(&self) -> &'a dyn System {
        self.system
    }

    /// At one point, with a line on how far it is, which begins with `name`.
    pub fn passage(&self, name: &str, point: &[f64]) -> Result<Passage> {
        let mut progress = Progress::new(name, 0, 3);
        let found = match &self.climber {
            Some(_) => self.passages(&[point.to_vec()])?.remove(0)?,
            None => {
                let (low, high) = self.states();
                let seen = |part: Part<'_>| match part {
                    Part::Saddle(point) => progress.set(1, format_args!("a saddle of index {}", point.index())),
                    Part::Up(climb) => progress.set(2, format_args!("S up {:.6}", climb.value)),
                    Part::Down(climb) => progress.set(3, format_args!("S down {:.6}", climb.value)),
                };
                Model::new(self.system, point)?.passage_seen(&low, &high, &self.problem.paths, seen)?
            }
        };
        progress.finish(format_args!("S up {:.6}  down {:.6}", found.up.value, found.down.value));
        Ok(found)
    }

    /// Where the attractors are looked for.
    fn states(&self) -> (Vec<f64>, Vec<f64>) {
        let n = self.system.sites();
        (vec![self.problem.states.0; n], vec![self.problem.states.1; n])
    }

    /// One result for each point.
    pub fn passages(&self, points: &[Vec<f64>]) -> Result<Vec<Result<Passage>>> {
        let ((low, high), options) = (self.states(), &self.problem.paths);
        match &self.climber {
            Some(climber) => climber.passages(self.system, points, (&low, &high), options),
            None => {
                let one = |p: &Vec<f64>| Model::new(self.system, p)?.passage(&low, &high, options);
                Ok(points.iter().map(one).collect())
            }
        }
    }
}
