//! Fronts: `tanh` in space, at a speed that the drive sets.
//!
//! With `u = tanh((x - c t) / w)`, `w = sqrt(2 D)`, the equation `u_t = D u_xx + (1 - u^2)(u + h)` holds for `c = -h w`: the
//! phase 1 on the right grows into the other one.

use super::{Stepper, line, reaction};
use ergodic::Result;
use ergodic::field::{Axis, Edge, Grid, Implicit, Linear};
use ergodic::gpu::{Gpu, Tensor};
use ergodic::graph::Graph;
use ergodic::report::{Films, Plot, Progress, Run, write_figure};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fronts {
    cells: usize,
    length: f64,
    /// One a front, in (-1, 1).
    drives: Vec<f64>,
    step: f64,
    time: f64,
}

/// Width of a front, `sqrt(2 D)`.
const WIDTH: f64 = 1.0;
/// Where fronts start, as a part of the length.
const START: f64 = 0.8;
/// Looks at the fronts.
const LOOKS: u64 = 40;

impl Fronts {
    /// Tells `refuse` whether each field makes sense.
    pub fn check(&self, refuse: impl Fn(&str, bool, &str) -> Result<()>) -> Result<()> {
        let positive = |x: f64| x.is_finite() && x > 0.0;
        refuse("cells", (3..=1 << 20).contains(&self.cells), "must be 3 to 2^20")?;
        refuse("length", positive(self.length), "must be a positive number")?;
        refuse("step", positive(self.step), "must be a positive number")?;
        refuse("time", positive(self.time) && self.time >= self.step, "must be at least a step")?;
        let phases = !self.drives.is_empty() && self.drives.iter().all(|h| h.abs() < 1.0);
        refuse("drives", phases, "must be numbers in (-1, 1), at least one")?;
        let farthest = self.drives.iter().fold(0.0, |far, h| f64::max(far, h * WIDTH * self.time));
        let nearest = self.drives.iter().fold(0.0, |far, h| f64::min(far, h * WIDTH * self.time));
        let room = START * self.length - farthest > 5.0 && (1.0 - START) * self.length + nearest > 5.0;
        refuse("length", room, "is too short: a front comes within 5 widths of a wall")
    }

    /// What was found; `None` if the run was interrupted.
    pub fn run(&self, gpu: &Gpu, run: &mut Run, films: &mut Films) -> Result<Option<String>> {
        let wall = Edge::Reflecting;
        let axis = Axis::between(self.cells, self.length, wall, wall);
        let (grid, g, n) = (Grid::new([axis])?, Graph::new(), self.drives.len());
        let (u, drive) = (g.input("u", [n, self.cells]), g.input("drive", [n, 1]));
        let linear = Linear::diffusion(0.5 * WIDTH * WIDTH);
        let rest = |u| Ok(reaction(u, Some(drive)));
        let next = grid.implicit_explicit_two(u, &linear, Implicit::Lines, self.step, rest)?;
        let tanh = |x: f64, at: f64| ((x - at) / WIDTH).tanh();
        films.begin("fronts", LOOKS);
        let start = || (0..n).flat_map(|_| grid.sample(|x| tanh(x[0], START * self.length))).collect();
        let start = films.state().unwrap_or_else(start);
        let drives: Vec<f32> = self.drives.iter().map(|&h| h as f32).collect();
        let drives = Tensor::from_slice(gpu, "drive", &[n, 1], &drives)?;
        let mut stepper = Stepper::new(gpu, next, &start, |bindings| Ok(bindings.tensor("drive", &drives)))?;
        let between = (self.time / self.step / LOOKS as f64).ceil().max(1.0) as u64;
        let place = |field: &[f64]| self.length * 0.5 - 0.5 * field.iter().sum::<f64>() * axis.spacing();
        let mut progress = Progress::new("fronts", films.next_look().unwrap_or(LOOKS), LOOKS);
        while let Some(look) = films.next_look() {
            stepper.run(run, between)?;
            let (time, fields) = (self.step * (between * (look + 1)) as f64, stepper.field()?);
            let row: Vec<f64> = [time].into_iter().chain(fields.chunks_exact(self.cells).map(place)).collect();
            progress.set(look + 1, format_args!("time {time:.1}"));
            films.add(&row, &fields, (look + 1 == LOOKS).then_some(&fields));
            if films.saved_and_interrupted(run)? {
                return Ok(None);
            }
        }
        progress.finish(format_args!("{n} fronts"));
        let places = |k: usize| films.rows().iter().map(|row| (row[0], row[k + 1])).collect();
        let places: Vec<Vec<(f64, f64)>> = (0..n).map(places).collect();
        let last = films.frames().last().map_or(&[][..], |(_, fields)| fields);
        self.report(run, &axis, &places, last).map(Some)
    }

    /// Speeds and shapes beside the exact ones. The second half of the time is used: a front first takes its own shape.
    fn report(&self, run: &mut Run, axis: &Axis, places: &[Vec<(f64, f64)>], fields: &[f64]) -> Result<String> {
        let at: Vec<f64> = (0..self.cells).map(|i| axis.center(i)).collect();
        let (mut profile, mut speeds) = (Plot::new("Fronts at the end").x("x").y("u"), vec![]);
        for ((h, place), field) in self.drives.iter().zip(places).zip(fields.chunks_exact(self.cells)) {
            let speed = 0.0 - line(&place[place.len() / 2..]).0;
            let front = place.last().map_or(0.0, |p| p.1);
            let exact: Vec<f64> = at.iter().map(|x| ((x - front) / WIDTH).tanh()).collect();
            let worst = field.iter().zip(&exact).fold(0.0, |worst, (u, e)| f64::max(worst, (u - e).abs()));
            run.metrics.set(format!("front_{h}.speed"), speed).set(format!("front_{h}.speed_exact"), h * WIDTH);
            run.metrics.set(format!("front_{h}.profile_error"), worst);
            profile = profile.line(&format!("drive {h}"), &at, field).reference("tanh", &at, &exact);
            speeds.push(speed);
        }
        let laws = Plot::new("Their speeds").x("drive").y("speed, widths a unit of time");
        let exact: Vec<f64> = self.drives.iter().map(|h| h * WIDTH).collect();
        let laws = laws.points("device", &self.drives, &speeds).reference("exact", &self.drives, &exact);
        write_figure(run.path("fronts.png"), 2, &[profile, laws])?;
        let list = |speeds: &[f64]| speeds.iter().map(|c| format!("{c:.4}")).collect::<Vec<_>>().join(", ");
        Ok(format!("fronts at {}, exact {}", list(&speeds), list(&exact)))
    }
}
