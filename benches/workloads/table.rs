//! Results as lines of a table and as JSON.

use super::Result;
use super::suite::{Cost, Figure, Scale, median};
use ergodic::gpu::Gpu;
use serde_json::{Map, Value, json};
use std::fmt;
use std::path::Path;

/// One side of a workload.
pub struct Measured {
    /// Of each run, sorted.
    pub seconds: Vec<f64>,
    /// How right the answer is.
    pub figures: Vec<Figure>,
    /// The fastest formulation, where there was a choice, and median seconds of each.
    pub variants: Option<(String, Value)>,
}

impl Measured {
    /// Whether the answer is right.
    pub fn right(&self) -> bool {
        self.figures.iter().all(Figure::holds)
    }
}

/// A workload, measured.
pub struct Row {
    /// Its name.
    pub id: &'static str,
    /// What is counted.
    pub unit: &'static str,
    /// Units of one run.
    pub units: f64,
    /// Ratio to reach at full size.
    pub target: Option<f64>,
    /// What the plan reports.
    pub cost: Cost,
    /// Seconds to build, compile and bind.
    pub compile_s: f64,
    /// This crate.
    pub ours: Measured,
    /// JAX, if it was there.
    pub jax: Option<Measured>,
}

/// Names of the columns.
pub const HEAD: &str = "\
| workload | ours, s a unit | JAX, s a unit | ratio | target | ours, units/s | dispatches | MB | Mflop | compile, s | error, ours / JAX / bound |
|---|---|---|---|---|---|---|---|---|---|---|";

impl Row {
    fn rate(&self, side: &Measured) -> f64 {
        self.units / median(&side.seconds)
    }

    /// Speed of ours over that of JAX.
    fn ratio(&self) -> Option<f64> {
        self.jax.as_ref().map(|jax| self.rate(&self.ours) / self.rate(jax))
    }

    /// The figure that is nearest to its bound, or past it, and the peer's.
    fn worst(&self) -> Option<(Figure, Option<f64>)> {
        // A count that must be zero has no ratio to its bound.
        let strain = |f: &Figure| if f.bound > 0.0 { f.value / f.bound } else { f.value };
        let index = (0..self.ours.figures.len())
            .max_by(|&a, &b| strain(&self.ours.figures[a]).total_cmp(&strain(&self.ours.figures[b])))?;
        let theirs = self.jax.as_ref().and_then(|jax| jax.figures.get(index)).map(|f| f.value);
        Some((self.ours.figures[index], theirs))
    }

    fn json(&self) -> Value {
        let figures = self.ours.figures.iter().enumerate().map(|(i, f)| {
            let theirs = self.jax.as_ref().and_then(|jax| jax.figures.get(i)).map(|f| f.value);
            json!({ "name": f.name, "ours": f.value, "jax": theirs, "bound": f.bound })
        });
        let of_jax = |of: &dyn Fn(&Measured) -> Value| self.jax.as_ref().map_or(Value::Null, of);
        json!({
            "ours": self.rate(&self.ours),
            "jax": of_jax(&|jax| json!(self.rate(jax))),
            "ratio": self.ratio(),
            "target": self.target,
            "unit": format!("{}/s", self.unit),
            "units": self.units,
            "dispatches": self.cost.dispatches,
            "bytes": self.cost.bytes,
            "flops": self.cost.flops,
            "steps": self.cost.steps,
            "loops_over_steps": self.cost.loops,
            "compile_s": self.compile_s,
            "seconds": { "ours": self.ours.seconds, "jax": of_jax(&|jax| json!(jax.seconds)) },
            "jax_variant": of_jax(&|jax| json!(jax.variants.as_ref().map(|(best, _)| best))),
            "jax_variants_s": of_jax(&|jax| json!(jax.variants.as_ref().map(|(_, all)| all))),
            "correctness": figures.collect::<Vec<_>>(),
        })
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dash = || "-".to_string();
        let per_unit = |side: &Measured| format!("{:.3e}", median(&side.seconds) / self.units);
        let (ours, jax) = (per_unit(&self.ours), self.jax.as_ref().map_or_else(dash, per_unit));
        let ratio = self.ratio().map_or_else(dash, |ratio| format!("{ratio:.2}"));
        let target = self.target.map_or_else(dash, |target| format!("{target}"));
        let cost = &self.cost;
        let dispatches = format!("{}{}", cost.dispatches, if cost.loops { " (loops)" } else { "" });
        let (mb, mflop) = (cost.bytes as f64 / 1e6, cost.flops / 1e6);
        let error = self.worst().map_or_else(dash, |(figure, theirs)| {
            let theirs = theirs.map_or_else(dash, |value| format!("{value:.1e}"));
            format!("{}: {:.1e} / {theirs} / {:.1e}", figure.name, figure.value, figure.bound)
        });
        let (rate, compile) = (self.rate(&self.ours), self.compile_s);
        write!(f, "| {} | {ours} | {jax} | {ratio} | {target} | {rate:.3e} {} ", self.id, self.unit)?;
        write!(f, "| {dispatches} | {mb:.2} | {mflop:.1} | {compile:.1} | {error} |")
    }
}

/// What must not be overlooked: a line for each wrong answer.
pub fn wrong(rows: &[Row]) -> String {
    let mut lines = String::new();
    for row in rows {
        for (who, side) in [("ours", Some(&row.ours)), ("JAX", row.jax.as_ref())] {
            for figure in side.iter().flat_map(|side| &side.figures).filter(|figure| !figure.holds()) {
                let Figure { name, value, bound } = figure;
                lines +=
                    &format!("{} is wrong in {who}: {name} is {value:.3e}, at most {bound:.1e} is right\n", row.id);
            }
        }
    }
    lines
}

/// Where it was measured.
pub fn machine(gpu: &Gpu, jax: Option<&Value>, scale: Scale, repeats: u64) -> Value {
    let info = gpu.info();
    let load = std::fs::read_to_string("/proc/loadavg").ok();
    json!({
        "adapter": info.name,
        "driver": format!("{} {}", info.driver, info.driver_info).trim(),
        "tier": format!("{:?}", gpu.caps().tier),
        "cores": std::thread::available_parallelism().map_or(0, usize::from),
        "load_before": load.as_deref().and_then(|load| load.split(' ').next()),
        "jax": jax,
        "scale": format!("{scale:?}").to_lowercase(),
        "repeats": repeats,
    })
}

/// Both files, whole or not at all.
pub fn write(folder: &Path, rows: &[Row], machine: &Value) -> Result<()> {
    let all: Map<_, _> = rows.iter().map(|row| (row.id.to_string(), row.json())).collect();
    std::fs::create_dir_all(folder)?;
    std::fs::write(folder.join("ratios.json"), format!("{:#}\n", Value::Object(all)))?;
    std::fs::write(folder.join("machine.json"), format!("{machine:#}\n"))?;
    Ok(())
}
