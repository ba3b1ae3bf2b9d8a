//! The rows that are learned from and tested on, in standard units.

use super::problem::Problem;
use ergodic::Result;
use ergodic::data::{Plane, Prepared, Standard};
use ergodic::random::RngKey;
use ergodic::report::Preset;

/// Rows of a target, and of a start that is no normal.
pub struct Rows {
    pub data: Prepared,
    /// The density of the target, where it has a name.
    pub density: Option<Plane>,
    /// Draws of the start to learn from, and as many as test rows.
    pub start: Option<(Vec<f32>, Vec<f32>)>,
}

impl Rows {
    /// Draws, or a table as the preset wants it.
    pub fn new(preset: &Preset<Problem>, key: RngKey) -> Result<Self> {
        let problem: &Problem = preset;
        let Some(density) = problem.density else {
            let spec = problem.data.clone().unwrap_or_default();
            let mut data = preset.checked("data", spec.load())?;
            let d = data.d();
            data.test.truncate(problem.held_out * d);
            data.validation.truncate(problem.validation * d);
            return Ok(Rows { data, density: None, start: None });
        };
        let draw = |density: Plane, n: usize, k: u32| density.draw(n, key.fold_in(k));
        let data = Prepared {
            columns: ["x1", "x2"].map(String::from).to_vec(),
            dropped: vec![],
            standard: Standard::identity(2),
            train: draw(density, problem.rows, 1),
            validation: draw(density, problem.validation, 2),
            test: draw(density, problem.held_out, 3),
        };
        let start = problem.start.map(|start| (draw(start, problem.rows, 4), draw(start, problem.held_out, 5)));
        Ok(Rows { data, density: Some(density), start })
    }

    /// Number of dimensions.
    pub fn d(&self) -> usize {
        self.data.d()
    }

    /// Starts to be followed: fresh draws of the base, or of the density it starts from.
    pub fn base(&self, problem: &Problem, n: usize, key: RngKey) -> Vec<f32> {
        match problem.start {
            Some(start) => start.draw(n, key),
            None => {
                let mut x = vec![0.0; n * self.d()];
                key.fill_normal(0, self.d(), &mut x);
                x
            }
        }
    }

    /// Rows in a line for a message.
    pub fn summary(&self) -> String {
        let n = |x: &[f32]| x.len() / self.d();
        let data = &self.data;
        let counts = format!("{} training, {} validation, {} test", n(&data.train), n(&data.validation), n(&data.test));
        let dropped: Vec<_> = data.dropped.iter().map(|(name, why)| format!("{name} ({why})")).collect();
        let dropped = if dropped.is_empty() { String::new() } else { format!("; dropped {}", dropped.join(", ")) };
        format!("{} columns, {counts} rows{dropped}", self.d())
    }
}
