//! What a preset says, and what is known about it: modes, and the kernel by images.

use ergodic::Result;
use ergodic::dynamics::ode::Method;
use ergodic::field::{Axis, Edge, Grid, Implicit, Linear, Order, Spectral};
use ergodic::graph::{Feeds, Graph, Var};
use serde::{Deserialize, Serialize};
use std::f64::consts::PI;

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Problem {
    /// Two axes, the vertical one first, without values or slopes on the walls.
    pub grid: Grid,
    pub diffusion: f64,
    /// How long heat flows.
    pub time: f64,
    /// Number of waves (between walls: half waves) along each axis.
    pub waves: (u32, u32),
    /// Where the unit of heat is put.
    pub point: (f64, f64),
    pub stepper: Stepper,
    /// How often the fields are looked at.
    pub looks: u64,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Stepper {
    Explicit {
        method: Method,
        /// Of the largest stable step.
        part: f64,
    },
    CrankNicolson {
        step: f64,
    },
    Modes {
        step: f64,
    },
}

/// What the table of eigenvectors is called.
const MODES: &str = "modes";

impl Problem {
    /// Tells `refuse` whether each field makes sense.
    pub fn check(&self, refuse: impl Fn(&str, bool, &str) -> Result<()>) -> Result<()> {
        refuse("grid", self.grid.dimensions() == 2, "must have two axes")?;
        refuse("grid", self.grid.n_cells() <= 1 << 26, "has more than 2^26 cells, half a gigabyte for two fields")?;
        let still = self.grid == self.grid.homogeneous();
        refuse("grid", still, "has a wall with a value or slope; the exact kernel is known for 0.0")?;
        let positive = |x: f64| x.is_finite() && x > 0.0;
        refuse("diffusion", positive(self.diffusion), "must be a positive number")?;
        refuse("time", positive(self.time), "must be a positive number")?;
        refuse("looks", self.looks > 0, "is 0, but must be at least 1")?;
        let inside = |at: f64, k: usize| (0.0..self.grid.axis(k).length).contains(&at);
        refuse("point", inside(self.point.0, 0) && inside(self.point.1, 1), "lies outside the grid")?;
        match self.stepper {
            Stepper::Explicit { part, .. } => {
                refuse("stepper", positive(part) && part <= 1.0, "part must be in (0, 1]")
            }
            Stepper::CrankNicolson { step } | Stepper::Modes { step } => {
                refuse("stepper", positive(step), "step must be a positive number")
            }
        }
    }

    /// Steps between two looks, and the step that makes them end at the time asked for.
    pub fn steps(&self) -> Result<(u64, f64)> {
        let wanted = match self.stepper {
            Stepper::Explicit { method, part } => {
                part * self.grid.largest_step(&Linear::diffusion(self.diffusion), method)?
            }
            Stepper::CrankNicolson { step } | Stepper::Modes { step } => step,
        };
        let between = (self.time / (self.looks as f64 * wanted)).ceil().max(1.0);
        Ok((between as u64, self.time / (self.looks as f64 * between)))
    }

    /// Looks whose fields pictures show, in order.
    pub fn shown(&self) -> [u64; 5] {
        [self.looks.div_ceil(10), self.looks.div_ceil(4), self.looks.div_ceil(3), self.looks.div_ceil(2), self.looks]
    }

    /// The eigenvectors that the stepper reads, if it does.
    pub fn modes<'g>(&self, g: &'g Graph) -> Option<Spectral<'g>> {
        matches!(self.stepper, Stepper::Modes { .. }).then(|| Spectral::new(g, MODES, &self.grid, Order::Two))
    }

    /// The fields `[.., rows, columns]` a step later.
    pub fn next<'g>(&self, u: Var<'g>, modes: Option<&Spectral<'g>>, step: f64) -> Result<Var<'g>> {
        let linear = Linear::diffusion(self.diffusion);
        match (self.stepper, modes) {
            (Stepper::Explicit { method, .. }, _) => {
                self.grid.explicit_step(u, &linear, method, step, |u| Ok(u.zeros_like()))
            }
            (Stepper::Modes { .. }, Some(modes)) => {
                self.grid.implicit_explicit(u, &linear, Implicit::Spectral(modes), step, |u| Ok(u.zeros_like()))
            }
            _ => self.grid.crank_nicolson(u, self.diffusion, step),
        }
    }

    /// Whether no heat is lost.
    pub fn conserves(&self) -> bool {
        let cold = |edge| matches!(edge, Edge::Dirichlet(_));
        !self.grid.axes().iter().any(|axis| cold(axis.low) || cold(axis.high))
    }

    /// The mode at every cell; it stands on a mean of 1 where heat is conserved.
    pub fn mode(&self) -> Vec<f64> {
        let waves = [self.waves.0, self.waves.1];
        let along = |k: usize, x: f64| wave(self.grid.axis(k), waves[k], x);
        self.grid.sample(|x| along(0, x[0]) * along(1, x[1]))
    }

    /// Rate at which the equation makes the mode fade.
    pub fn rate(&self) -> f64 {
        let waves = [self.waves.0, self.waves.1];
        let square = |k: usize| wave_number(self.grid.axis(k), waves[k]).powi(2);
        -self.diffusion * (square(0) + square(1))
    }

    /// What one step of the scheme leaves of the mode, by the same graph in f64.
    pub fn growth(&self, step: f64) -> Result<f64> {
        let (g, mode) = (Graph::new(), self.mode());
        let modes = self.modes(&g);
        let next = self.next(g.input("u", self.grid.shape()), modes.as_ref(), step)?;
        let feeds = Feeds::new().tensor("u", &mode);
        let feeds = modes.as_ref().map_or(feeds.clone(), |modes| modes.feed(feeds));
        let next = g.eval_f64(&[next], &feeds)?;
        Ok(dot(&next[0].data, &mode) / dot(&mode, &mode))
    }

    /// The cell in which the heat is put, as its two numbers.
    pub fn cell(&self) -> (usize, usize) {
        let of = |at: f64, axis: &Axis| ((at / axis.spacing()) as usize).min(axis.cells - 1);
        (of(self.point.0, self.grid.axis(0)), of(self.point.1, self.grid.axis(1)))
    }

    /// Exact temperature at every cell, a time after the heat was put into the centre of its cell.
    pub fn kernel(&self, time: f64) -> Vec<f64> {
        let (row, column) = self.cell();
        let width = (2.0 * self.diffusion * time).sqrt();
        let along = |k: usize, at: usize| {
            let axis = self.grid.axis(k);
            (0..axis.cells).map(|i| images(axis, axis.center(i), axis.center(at), width)).collect::<Vec<_>>()
        };
        let (rows, columns) = (along(0, row), along(1, column));
        rows.iter().flat_map(|r| columns.iter().map(move |c| r * c)).collect()
    }
}

fn wave_number(axis: &Axis, waves: u32) -> f64 {
    let (k, odd) = (f64::from(waves), |edge: Edge| matches!(edge, Edge::Dirichlet(_)));
    match axis.is_periodic() {
        true => 2.0 * PI * k / axis.length,
        // Between unlike walls a quarter of a wave is missing.
        false if odd(axis.low) != odd(axis.high) => PI * (k - 0.5) / axis.length,
        false => PI * k / axis.length,
    }
}

fn wave(axis: &Axis, waves: u32, x: f64) -> f64 {
    let phase = wave_number(axis, waves) * x;
    if matches!(axis.low, Edge::Dirichlet(_)) { phase.sin() } else { phase.cos() }
}

/// A Gaussian of this width and all its mirror images, of either sign.
fn images(axis: &Axis, x: f64, from: f64, width: f64) -> f64 {
    let gauss = |d: f64| (-0.5 * (d / width).powi(2)).exp() / (width * (2.0 * PI).sqrt());
    let sign = |edge: Edge| if matches!(edge, Edge::Dirichlet(_)) { -1f64 } else { 1.0 };
    let (low, high) = (sign(axis.low), sign(axis.high));
    let turns = (5.0 * width / axis.length).ceil() as i32 + 1;
    let turn = |m: i32| {
        if axis.is_periodic() {
            return gauss(x - from - f64::from(m) * axis.length);
        }
        let shift = 2.0 * f64::from(m) * axis.length;
        let both = (low * high).powi(m.abs());
        // `2 m L - from` has passed the walls in turn, an odd number of times in all.
        let odd = if m > 0 { high * (low * high).powi(m - 1) } else { low * both };
        both * gauss(x - from - shift) + odd * gauss(x + from - shift)
    };
    (-turns..=turns).map(turn).sum()
}

pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
