//! Both directions at many parameter points, on the host or on the device.

use super::problem::{Problem, Solver};
use ergodic::Result;
use ergodic::gpu::Gpu;
use ergodic::methods::action::{Climber, Model, Passage, System};

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

    /// One result for each point.
    pub fn passages(&self, points: &[Vec<f64>]) -> Result<Vec<Result<Passage>>> {
        let n = self.system.sites();
        let (low, high) = (vec![self.problem.states.0; n], vec![self.problem.states.1; n]);
        let options = &self.problem.paths;
        match &self.climber {
            Some(climber) => climber.passages(self.system, points, (&low, &high), options),
            None => {
                let one = |p: &Vec<f64>| Model::new(self.system, p)?.passage(&low, &high, options);
                Ok(points.iter().map(one).collect())
            }
        }
    }

    /// What it solves.
    pub fn system(&self) -> &'a dyn System {
        self.system
    }
}
