//! Domains that grow out of noise: the energy falls all the time, the length of a domain grows like the root of time.
//!
//! `E = sum of cells of D |grad u|^2 / 2 + (1 - u^2)^2 / 4`, of which the equation is the gradient flow. A wall between phases
//! costs `2 sqrt(2 D) / 3` a unit of its length, so area times that over the energy is the length of a domain.

use super::{RESTORING, Stepper, line, reaction};
use ergodic::Result;
use ergodic::dynamics::ode::Method;
use ergodic::field::{Axis, Grid, Linear};
use ergodic::gpu::Gpu;
use ergodic::graph::{Graph, Var};
use ergodic::plan::{Bindings, CompileOptions, Plan, Session};
use ergodic::random::RngKey;
use ergodic::report::{Films, History, Plot, Progress, Run, write_figure};
use serde::{Deserialize, Serialize};
use std::time::Instant;

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Coarsening {
    /// Cells, of size 1.
    rows: usize,
    columns: usize,
    /// Independent fields; their spread is the error bar.
    fields: usize,
    /// Deviation of the field at the start.
    noise: f64,
    step: f64,
    time: f64,
    /// Evenly spaced in the logarithm of time.
    looks: u64,
}

/// All fields at one time.
struct Look<'a> {
    time: f64,
    /// Energy a cell, of each field.
    energy: &'a [f64],
}

fn linear() -> Linear {
    Linear { restoring: RESTORING, ..Linear::diffusion(1.0) }
}

/// What a wall costs, a unit of length.
fn tension() -> f64 {
    2.0 * f64::sqrt(2.0) / 3.0
}

/// Energy a cell of each field `[fields, rows, columns]`: differences to the next cells, whose gradient is the compact Laplacian.
fn energy<'g>(grid: &Grid, u: Var<'g>) -> Result<Var<'g>> {
    let step = |k: usize| {
        let mut ahead = [0, 0];
        ahead[k] = 1;
        grid.apply(&ergodic::field::Stencil::new().tap(ahead, 1.0).tap([0, 0], -1.0), u)
    };
    let slopes = step(0)?.square() + step(1)?.square();
    let phases = (1.0 - u * u).square() * 0.25;
    Ok((slopes * 0.5 + phases).mean([1, 2]))
}

impl Coarsening {
    /// Tells `refuse` whether each field makes sense.
    pub fn check(&self, refuse: impl Fn(&str, bool, &str) -> Result<()>) -> Result<()> {
        refuse("rows", (3..=1 << 14).contains(&self.rows), "must be 3 to 16384")?;
        refuse("columns", (3..=1 << 14).contains(&self.columns), "must be 3 to 16384")?;
        refuse("fields", (1..=1 << 10).contains(&self.fields), "must be 1 to 1024")?;
        let cells = self.rows * self.columns * self.fields;
        refuse("fields", cells <= 1 << 27, "are more than 2^27 cells in all, half a gigabyte")?;
        refuse("looks", self.looks >= 4, "must be at least 4")?;
        let positive = |x: f64| x.is_finite() && x > 0.0;
        let limit = self.grid()?.largest_step(&linear(), Method::Euler)?;
        let why = format!("is {}, but must be above 0 and at most {limit:.5}, the limit of explicit Euler", self.step);
        refuse("step", self.step > 0.0 && self.step <= limit, &why)?;
        refuse("noise", positive(self.noise), "must be a positive number")?;
        refuse("time", positive(self.time) && self.time >= 10.0, "must be at least 10")
    }

    fn grid(&self) -> Result<Grid> {
        Grid::new([self.rows, self.columns].map(|cells| Axis::periodic(cells, cells as f64)))
    }

    /// What was found; `None` if the run was interrupted.
    pub fn run(&self, gpu: &Gpu, run: &mut Run, films: &mut Films, seed: u64) -> Result<Option<String>> {
        let (grid, g) = (self.grid()?, Graph::new());
        let shape = [self.fields, self.rows, self.columns];
        let u = g.input("u", shape);
        let rest = |u| Ok(reaction(u, None));
        let next = grid.explicit_step(u, &linear(), Method::Euler, self.step, rest)?;
        let (key, cells) = (RngKey::new(seed), grid.n_cells());
        let draw = |i: usize| self.noise * f64::from(key.normal((i / cells) as u32, (i % cells) as u32, 0));
        films.begin("coarsening", self.looks + 1);
        let start = films.state().unwrap_or_else(|| (0..self.fields * cells).map(draw).collect());
        let mut stepper = Stepper::new(gpu, next, &start, Ok)?;
        self.watch(gpu, run, films, &mut stepper, energy(&grid, u)?)?;
        if films.next_look().is_some() {
            return Ok(None);
        }
        run.metrics.set("coarsening.steps_together", stepper.together());
        let looks: Vec<_> = films.rows().iter().map(|row| Look { time: row[0], energy: &row[1..] }).collect();
        self.report(run, &looks, films.frames()).map(Some)
    }

    /// Step and look, and step again, until the last look or an interrupt.
    fn watch(&self, gpu: &Gpu, run: &mut Run, films: &mut Films, stepper: &mut Stepper, energy: Var<'_>) -> Result<()> {
        let plan = Plan::compile(gpu, &[("energy", energy)], &CompileOptions::labelled("energy"))?;
        let mut watch = Session::new(&plan, Bindings::new().tensor("u", stepper.tensor()?))?;
        let mut history = History::create(run.path("history.csv"), &["time", "energy", "energy_se", "domain"])?;
        let mut note = |look: u64, row: &[f64]| {
            let (energy, se) = mean(&row[1..]);
            history.append(self.steps_at(look), &[row[0], energy, se, tension() / energy]).map(|()| energy)
        };
        films.rows().iter().zip(0..).try_for_each(|(row, look)| note(look, row).map(drop))?;
        let (mut taken, mut seconds, cells) = (0, 0.0, self.rows * self.columns);
        let mut progress = Progress::new("coarsening", films.next_look().unwrap_or(self.looks), self.looks);
        while let Some(i) = films.next_look() {
            let begun = Instant::now();
            let steps = self.steps_at(i) - self.steps_at(i.saturating_sub(1));
            if steps > 0 {
                stepper.run(run, steps)?;
            }
            taken += steps;
            seconds += begun.elapsed().as_secs_f64();
            watch.run(1)?;
            let energy = watch.read::<f32>("energy")?.wait()?.into_iter().map(f64::from);
            let row: Vec<f64> = [self.step * self.steps_at(i) as f64].into_iter().chain(energy).collect();
            let (energy, field) = (note(i, &row)?, stepper.field()?);
            progress.set(i, format_args!("energy {energy:.4}  domains {:.1}", tension() / energy));
            films.add(&row, &field, self.shown().contains(&i).then_some(&field[..cells]));
            if films.saved_and_interrupted(run)? {
                return Ok(());
            }
        }
        progress.finish(format_args!("{} steps", self.steps_at(self.looks)));
        if taken > 0 {
            run.metrics.set("coarsening.cell_steps_per_s", (self.fields * cells) as f64 * taken as f64 / seconds);
        }
        Ok(())
    }

    /// Looks that are shown.
    fn shown(&self) -> [u64; 4] {
        [0.1, 0.4, 0.7, 1.0].map(|part| (self.looks as f64 * part).round() as u64)
    }

    /// Steps done at look `i`: evenly spaced in the logarithm of time from 1 on.
    fn steps_at(&self, i: u64) -> u64 {
        match i {
            0 => 0,
            i => (self.time.powf(i as f64 / self.looks as f64) / self.step).round() as u64,
        }
    }

    fn report(&self, run: &mut Run, looks: &[Look<'_>], views: &[(u64, Vec<f64>)]) -> Result<String> {
        let pairs = looks.windows(2).flat_map(|pair| pair[0].energy.iter().zip(pair[1].energy));
        let rises = pairs.filter(|(a, b)| b > a).count();
        run.metrics.set("coarsening.energy_rises", rises as f64);
        // The law holds once domains are wider than walls and until they feel the torus: the last decade in time.
        let late = |look: &&Look<'_>| look.time > self.time / 10.0;
        let grown = |field: usize| {
            let point = |look: &Look<'_>| (look.time.ln(), (tension() / look.energy[field]).ln());
            line(&looks.iter().filter(late).map(point).collect::<Vec<_>>()).0
        };
        let exponents: Vec<f64> = (0..self.fields).map(grown).collect();
        let (exponent, se) = mean(&exponents);
        run.metrics.set("coarsening.exponent", exponent).set("coarsening.exponent_se", se);
        run.metrics.set("coarsening.exponent_expected", 0.5);
        let last = looks.last().map_or(f64::NAN, |look| tension() / look.mean().0);
        run.metrics.set("coarsening.domain", last);
        self.pictures(run, looks, views)?;
        let energy = match rises {
            0 => "energy never rises".to_string(),
            n => format!("energy rises {n} times"),
        };
        Ok(format!("{energy}; domains grow like t^({exponent:.2} +- {se:.2}), expected 1/2"))
    }

    fn pictures(&self, run: &Run, looks: &[Look<'_>], views: &[(u64, Vec<f64>)]) -> Result<()> {
        let corner = (self.columns as f64, self.rows as f64);
        let heat = |(look, view): &(u64, Vec<f64>)| {
            let axes = Plot::new(format!("t = {:.1}", looks[*look as usize].time)).x("x").y("y");
            axes.heat("u", view, self.columns, (0.0, 0.0), corner)
        };
        write_figure(run.path("coarsening.png"), 2, &views.iter().map(heat).collect::<Vec<_>>())?;
        let later: Vec<&Look<'_>> = looks.iter().filter(|look| look.time > 0.0).collect();
        let times: Vec<f64> = later.iter().map(|look| look.time).collect();
        let (mean, se): (Vec<f64>, Vec<f64>) = later.iter().map(|look| look.mean()).unzip();
        let off = |sign: f64| mean.iter().zip(&se).map(|(m, se)| m + sign * 2.0 * se).collect::<Vec<_>>();
        let energy = Plot::new("Energy").x("time").y("energy a cell").log_x().log_y();
        let energy = energy.line("device", &times, &mean).band("device", &times, &off(-1.0), &off(1.0));
        let domains: Vec<f64> = mean.iter().map(|e| tension() / e).collect();
        let (t, l) = (times[times.len() - 1], domains[domains.len() - 1]);
        let root: Vec<f64> = times.iter().map(|time| l * (time / t).sqrt()).collect();
        let growth = Plot::new("Length of a domain").x("time").y("cells").log_x().log_y();
        let growth = growth.line("device", &times, &domains).reference("root of time", &times, &root);
        write_figure(run.path("laws.png"), 2, &[energy, growth])
    }
}

impl Look<'_> {
    /// Mean over fields and its standard error.
    fn mean(&self) -> (f64, f64) {
        mean(self.energy)
    }
}

/// Mean and its standard error; NaN for one value.
fn mean(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let square = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>();
    (mean, (square / (n * (n - 1.0))).sqrt())
}
