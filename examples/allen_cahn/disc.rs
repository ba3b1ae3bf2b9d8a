//! A disc that shrinks by its curvature: `dR/dt = -D / R`, so its area falls by `2 pi D` in every unit of time.

use super::{RESTORING, Stepper, line, reaction};
use ergodic::Result;
use ergodic::dynamics::ode::Method;
use ergodic::field::{Axis, Edge, Grid, Linear, Order};
use ergodic::gpu::Gpu;
use ergodic::graph::Graph;
use ergodic::report::{Films, History, Plot, Progress, Run, write_figure};
use serde::{Deserialize, Serialize};
use std::f64::consts::PI;

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Disc {
    /// Cells along a side of the box, of size 1.
    cells: usize,
    /// Of the disc at the start, below the side of the box.
    radius: f64,
    /// Walls are `sqrt(2 diffusion)` wide; where they are not much wider than a cell, they stick to the cells.
    diffusion: f64,
    order: Order,
    step: f64,
    /// The part of its area at which the run ends.
    until: f64,
}

/// Looks at the disc.
const LOOKS: u64 = 40;

impl Disc {
    /// Tells `refuse` whether each field makes sense.
    pub fn check(&self, refuse: impl Fn(&str, bool, &str) -> Result<()>) -> Result<()> {
        refuse("cells", (3..=1 << 13).contains(&self.cells), "must be 3 to 8192")?;
        let far = 4.0 * self.width();
        refuse("diffusion", far.is_finite() && far > 0.0, "must be a positive number")?;
        let fits = self.radius > far && self.radius + far < self.cells as f64;
        refuse(
            "radius",
            fits,
            "must be more than 4 widths of a wall from the corner and from the other end of the box",
        )?;
        refuse("until", self.until > 0.0 && self.until < 1.0, "must be in (0, 1)")?;
        let limit = self.grid()?.largest_step(&self.linear(), Method::Euler)?;
        let why = format!("is {}, but must be above 0 and at most {limit:.5}, the limit of explicit Euler", self.step);
        refuse("step", self.step > 0.0 && self.step <= limit, &why)
    }

    /// Of a wall.
    fn width(&self) -> f64 {
        (2.0 * self.diffusion).sqrt()
    }

    fn linear(&self) -> Linear {
        Linear { order: self.order, restoring: RESTORING, ..Linear::diffusion(self.diffusion) }
    }

    fn grid(&self) -> Result<Grid> {
        let mirror = Edge::Reflecting;
        Grid::new([Axis::between(self.cells, self.cells as f64, mirror, mirror); 2])
    }

    /// Exact for a thin wall.
    fn area(&self, time: f64) -> f64 {
        PI * self.radius.powi(2) - 2.0 * PI * self.diffusion * time
    }

    /// What was found; `None` if the run was interrupted.
    pub fn run(&self, gpu: &Gpu, run: &mut Run, films: &mut Films) -> Result<Option<String>> {
        let (grid, g) = (self.grid()?, Graph::new());
        let u = g.input("u", grid.shape());
        let rest = |u| Ok(reaction(u, None));
        let next = grid.explicit_step(u, &self.linear(), Method::Euler, self.step, rest)?;
        films.begin("disc", LOOKS + 1);
        let start = || grid.sample(|x| ((self.radius - x[0].hypot(x[1])) / self.width()).tanh());
        let start = films.state().unwrap_or_else(start);
        let mut stepper = Stepper::new(gpu, next, &start, Ok)?;
        let time = (1.0 - self.until) * self.radius.powi(2) / (2.0 * self.diffusion);
        let between = (time / self.step / LOOKS as f64).ceil() as u64;
        let mut history = History::create(run.path("disc.csv"), &["time", "area", "area_exact"])?;
        let mut note = |look: u64, row: &[f64]| history.append(between * look, &[row[0], row[1], self.area(row[0])]);
        films.rows().iter().zip(0..).try_for_each(|(row, look)| note(look, row))?;
        let mut progress = Progress::new("disc", films.next_look().unwrap_or(LOOKS), LOOKS);
        while let Some(look) = films.next_look() {
            if look > 0 {
                stepper.run(run, between)?;
            }
            let (time, field) = (self.step * (between * look) as f64, stepper.field()?);
            // Four quarters; a cell counts by how far it is into the phase 1.
            let area = 4.0 * field.iter().map(|u| 0.5 * (u + 1.0)).sum::<f64>();
            note(look, &[time, area])?;
            progress.set(look, format_args!("area {area:.0}"));
            films.add(&[time, area], &field, look.is_multiple_of(LOOKS / 2).then_some(&field));
            if films.saved_and_interrupted(run)? {
                return Ok(None);
            }
        }
        progress.finish(format_args!("{} steps", between * LOOKS));
        run.metrics.set("disc.steps_together", stepper.together());
        let areas: Vec<(f64, f64)> = films.rows().iter().map(|row| (row[0], row[1])).collect();
        let timed = |(look, field): &(u64, Vec<f64>)| (areas[*look as usize].0, field.clone());
        self.report(run, &areas, &films.frames().iter().map(timed).collect::<Vec<_>>()).map(Some)
    }

    fn report(&self, run: &mut Run, areas: &[(f64, f64)], fields: &[(f64, Vec<f64>)]) -> Result<String> {
        // The shape at the start is that of a straight front; a tenth of the time is left to it.
        let (loss, exact) = (0.0 - line(&areas[areas.len() / 10..]).0, 2.0 * PI * self.diffusion);
        run.metrics.set("disc.area_loss", loss).set("disc.area_loss_exact", exact);
        let (times, found): (Vec<f64>, Vec<f64>) = areas.iter().copied().unzip();
        let thin: Vec<f64> = times.iter().map(|t| self.area(*t)).collect();
        let law = Plot::new("Area of the disc").x("time").y("area, cells");
        let law = law.points("device", &times, &found).reference("exact for a thin wall", &times, &thin);
        let at: Vec<f64> = (0..self.cells).map(|i| i as f64 + 0.5).collect();
        let mut cut = Plot::new("From its centre outwards").x("distance along a side, cells").y("u");
        for (time, field) in fields {
            let radius = (self.area(*time) / PI).sqrt();
            let tanh: Vec<f64> = at.iter().map(|x| ((radius - x.hypot(0.5)) / self.width()).tanh()).collect();
            cut = cut.line(&format!("t = {time:.0}"), &at, &field[..self.cells]).reference("thin wall", &at, &tanh);
        }
        write_figure(run.path("disc.png"), 2, &[law, cut])?;
        Ok(format!("disc loses {loss:.3} a unit of time, exact {exact:.3}"))
    }
}
