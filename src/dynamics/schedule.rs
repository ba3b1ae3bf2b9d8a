//! Energies that change from step to step: scalar inputs become tables.

use crate::error::{Error, Result};
use crate::graph::{Graph, Op, Var};

/// A step size, and the inputs of an energy that change from step to step.
///
/// ```
/// use ergodic::dynamics::Schedule;
/// // From width 1 to 2 in 50 steps: 51 values, because step k goes from row k to row k + 1.
/// let schedule = Schedule::new(0.2).vary("sigma", (0..=50).map(|k| 2f32.powf(k as f32 / 50.0)));
/// assert_eq!(schedule.steps(), 50);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    pub(super) step_size: f64,
    pub(super) tables: Vec<(String, Vec<f32>)>,
    rows: usize,
}

impl Schedule {
    /// Steps of this size (`h`, length^2 / energy; the time step in underdamped dynamics) under one energy.
    pub fn new(step_size: f64) -> Self {
        Schedule { step_size, tables: vec![], rows: 0 }
    }

    /// The input `name` of the energy, a scalar, takes these values: the `k`-th in `U_k`. After the last it stands still.
    #[must_use]
    pub fn vary(mut self, name: &str, values: impl IntoIterator<Item = f32>) -> Self {
        let values: Vec<_> = values.into_iter().collect();
        self.rows = self.rows.max(values.len());
        self.tables.push((name.into(), values));
        self
    }

    /// Steps until nothing changes any more: one less than the longest table has rows.
    pub fn steps(&self) -> u64 {
        self.rows.saturating_sub(1) as u64
    }

    pub(super) fn check(&self, graph: &Graph) -> Result<()> {
        if !(self.step_size.is_finite() && self.step_size > 0.0) {
            let got = self.step_size.to_string();
            return Err(Error::Invalid { what: "step size", got, want: "finite and above 0" });
        }
        for (name, values) in &self.tables {
            if values.is_empty() {
                let got = format!("empty for `{name}`");
                return Err(Error::Invalid { what: "schedule", got, want: "at least one value" });
            }
            if let Some(row) = values.iter().position(|v| !v.is_finite()) {
                let got = format!("{} in row {row} of `{name}`", values[row]);
                return Err(Error::Invalid { what: "schedule", got, want: "finite everywhere" });
            }
            let scalar = graph.input_named(name).is_some_and(|input| input.shape().is_empty());
            if !scalar {
                let got = format!("for `{name}`; inputs are {}", graph.input_names().join(", "));
                return Err(Error::Invalid { what: "schedule", got, want: "for a scalar input of the energy" });
            }
        }
        Ok(())
    }

    /// Names and inputs of the tables in this graph.
    pub(super) fn rows<'g>(&self, graph: &'g Graph) -> Vec<(Var<'g>, Var<'g>)> {
        let pair = |(name, values): &(String, Vec<f32>)| {
            let table = graph.input(&table_name(name), [values.len()]);
            graph.input_named(name).map(|input| (input, table))
        };
        self.tables.iter().filter_map(pair).collect()
    }
}

/// The plan's name of the table of an input.
pub(super) fn table_name(input: &str) -> String {
    format!("{input}.table")
}

/// An energy as a function of positions, at the current step of its schedule or at the next.
#[derive(Clone)]
pub(super) struct Moving<'g> {
    pub(super) energy: Var<'g>,
    pub(super) x: Var<'g>,
    /// Scalar inputs and the tables that take their place.
    pub(super) tables: Vec<(Var<'g>, Var<'g>)>,
}

impl<'g> Moving<'g> {
    /// `U_k` at these positions.
    pub(super) fn now(&self, x: Var<'g>) -> Var<'g> {
        self.at(x, self.energy.graph().step())
    }

    /// `U_{k+1}` at these positions.
    pub(super) fn next(&self, x: Var<'g>) -> Var<'g> {
        self.at(x, self.energy.graph().step() + 1)
    }

    fn at(&self, x: Var<'g>, step: Var<'g>) -> Var<'g> {
        let rows = self.tables.iter().map(|(input, table)| (*input, table.gather(step)));
        self.energy.graph().substitute(self.energy, &rows.chain([(self.x, x)]).collect::<Vec<_>>())
    }
}

/// Name of an input.
pub(super) fn input_name(x: Var<'_>) -> Result<String> {
    match &x.graph().node(x.id()).op {
        Op::Input(name) => Ok(name.to_string()),
        other => {
            let got = format!("the result of `{}`", other.name());
            Err(Error::Shape { op: "walkers", got, want: "an input of the graph".into(), at: Some(x.site()) })
        }
    }
}
