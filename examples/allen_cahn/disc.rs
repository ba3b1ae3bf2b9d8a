//! A disc that shrinks by its curvature: `dR/dt = -D / R`, so its area falls by `2 pi D` in every unit of time.

use super::{Stepper, line, reaction};
use ergodic::Result;
use ergodic::dynamics::ode::Method;
use ergodic::field::{Axis, Edge, Grid, Linear, Order};
use ergodic::gpu::Gpu;
use ergodic::graph::Graph;
use ergodic::report::{History, Plot, Progress, Run, write_figure};
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
        refuse("cells", self.cells >= 3, "must be at least 3")?;
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
        Linear { order: self.order, ..Linear::diffusion(self.diffusion) }
    }

    fn grid(&self) -> Result<Grid> {
        let mirror = Edge::Reflecting;
        Grid::new([Axis::between(self.cells, self.cells as f64, mirror, mirror); 2])
    }

    /// Exact for a thin wall.
    fn area(&self, time: f64) -> f64 {
        PI * self.radius.powi(2) - 2.0 * PI * self.diffusion * time
    }

    pub fn run(&self, gpu: &Gpu, run: &mut Run) -> Result<String> {
        let (grid, g) = (self.grid()?, Graph::new());
        let u = g.input("u", grid.shape());
        let rest = |u| Ok(reaction(u, None));
        let next = grid.explicit_step(u, &self.linear(), Method::Euler, self.step, rest)?;
        let start = grid.sample(|x| ((self.radius - x[0].hypot(x[1])) / self.width()).tanh());
        let mut stepper = Stepper::new(gpu, next, &start, Ok)?;
        let time = (1.0 - self.until) * self.radius.powi(2) / (2.0 * self.diffusion);
        let between = (time / self.step / LOOKS as f64).ceil() as u64;
        let mut history = History::create(run.path("disc.csv"), &["time", "area", "area_exact"])?;
        let (mut areas, mut fields, mut progress) = (vec![], vec![], Progress::new("disc", 0, LOOKS));
        for look in 0..=LOOKS {
            if look > 0 {
                stepper.run(run, between)?;
            }
            let (time, field) = (self.step * (between * look) as f64, stepper.field()?);
            // Four quarters; a cell counts by how far it is into the phase 1.
            let area = 4.0 * field.iter().map(|u| 0.5 * (u + 1.0)).sum::<f64>();
            areas.push((time, area));
            history.append(between * look, &[time, area, self.area(time)])?;
            progress.set(look, format_args!("area {area:.0}"));
            if look % (LOOKS / 2) == 0 {
                fields.push((time, field));
            }
        }
        progress.finish(format_args!("{} steps", between * LOOKS));
        run.metrics.set("disc.steps_together", stepper.together());
        self.report(run, &areas, &fields)
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
