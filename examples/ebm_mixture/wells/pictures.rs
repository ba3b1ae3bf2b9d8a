//! Pictures of a race: masses, divergence, log Z and weights over iterations; the walkers at the end.

use super::{Racer, Truth};
use ergodic::Result;
use ergodic::data::table::Table;
use ergodic::methods::ebm::Energy;
use ergodic::report::{Plot, Run, write_figure};

pub fn write(run: &Run, mass_1: f64, truth: &Truth, racers: &[Racer], table: &Table) -> Result<()> {
    let axes = |title: &str, y: &str| Plot::new(title).x("iteration").y(y);
    let mut masses = axes("Mass of the first well in the model", "mass").y_range(0.0, 1.0);
    let mut kl = axes("Divergence of the model from the data", "KL / nats").log_y();
    let mut log_z = axes("log Z minus its closed form", "error / nats");
    let mut ess = axes("Effective walkers", "part of all").y_range(0.0, 1.05);
    let steps = table.column("step").unwrap_or_default();
    for Racer { name, trainer } in racers {
        let column = |what: &str| table.column(&format!("{name}.{what}")).unwrap_or_default();
        masses = masses.line(name, &steps, &column("mass_1"));
        // Below this the sign of a finite sample's divergence is noise, and a logarithmic axis has no room for it.
        kl = kl.line(name, &steps, &column("kl").iter().map(|v| v.max(1e-4)).collect::<Vec<_>>());
        if trainer.config().method.is_weighted() {
            let error =
                |what: &str| column(what).iter().zip(column("log_z_exact")).map(|(a, b)| a - b).collect::<Vec<_>>();
            log_z = log_z.line(name, &steps, &error("log_z"));
            ess = ess.line(name, &steps, &column("ess"));
            if trainer.config().observers > 0 {
                let (label, values, se) =
                    (format!("{name}, observers"), error("observer_log_z"), column("observer_log_z_se"));
                let off = |sign: f64| values.iter().zip(&se).map(|(v, s)| v + sign * 2.0 * s).collect::<Vec<_>>();
                log_z = log_z.line(&label, &steps, &values).band(&label, &steps, &off(-1.0), &off(1.0));
                ess = ess.line(&label, &steps, &column("observer_ess"));
            }
        }
    }
    let panels = [masses.exact(mass_1), kl, log_z.exact(0.0), ess];
    write_figure(run.path("history.png"), 2, &panels)?;
    walkers(run, truth, racers)
}

/// Density along the first axis: walkers with their weights beside the truth.
fn walkers(run: &Run, truth: &Truth, racers: &[Racer]) -> Result<()> {
    let d = truth.model.n_dims();
    let first = |x: &[f32]| x.iter().step_by(d).map(|&v| f64::from(v)).collect::<Vec<_>>();
    let masses = truth.model.masses(&truth.theta);
    let (a, b) = (f64::from(truth.model.mean(&truth.theta, 0)[0]), f64::from(truth.model.mean(&truth.theta, 1)[0]));
    let (lo, hi) = (a.min(b) - 5.0, a.max(b) + 5.0);
    let grid: Vec<_> = (0..=400).map(|i| lo + (hi - lo) * f64::from(i) / 400.0).collect();
    let bell = |x: f64, m: f64| (-(x - m).powi(2) / 2.0).exp() / std::f64::consts::TAU.sqrt();
    let density: Vec<_> = grid.iter().map(|&x| masses[0] * bell(x, a) + masses[1] * bell(x, b)).collect();
    let mut plots = vec![];
    for Racer { name, trainer } in racers {
        let (x, weights) = (first(&trainer.walkers()?), trainer.weights()?);
        let plot =
            Plot::new(format!("Walkers of {name}")).x("position along the first axis").y("density").x_range(lo, hi);
        plots.push(plot.weighted_histogram(name, &x, weights.probabilities(), 80).reference("exact", &grid, &density));
    }
    write_figure(run.path("walkers.png"), 2, &plots)
}
