//! Walkers beside digits, masses beside the truth, and how it went.

use ergodic::Result;
use ergodic::data::table::Table;
use ergodic::report::{Plot, Run, Tiles, image_grid, write_figure};

use super::duel::{Duel, Seen};
use super::target::Target;

/// Images a row and a column.
const TILES: usize = 8;

/// `walkers.png`, `masses.png` and `history.png`.
pub fn draw(run: &Run, target: &Target, duel: &Duel<'_>, history: &Table) -> Result<()> {
    let Some([weighted, baseline]) = &duel.seen else { return Ok(()) };
    walkers(run, target, weighted, baseline)?;
    masses(target, weighted, baseline)?.write(run)?;
    write_figure(run.path("history.png"), 2, &curves(history, target, [weighted, baseline]))
}

fn walkers(run: &Run, target: &Target, weighted: &Seen, baseline: &Seen) -> Result<()> {
    let (side, d) = (target.images.side, target.d());
    let block = |title, pixels| Tiles { title, pixels, size: (side, side) };
    let first = |x: &[f32], width: usize| x[..x.len().min(TILES * TILES * width)].to_vec();
    let real = first(&target.images.x, side * side);
    let learned_from = target.decode(&first(&target.noisy, d));
    let drawn = [target.decode(&in_proportion(weighted, d)), target.decode(&in_proportion(baseline, d))];
    let title = format!("walkers of {}", baseline.name);
    let blocks = [
        block("digits", &real),
        block("what the models see of them", &learned_from),
        block("weighted walkers", &drawn[0]),
        block(&title, &drawn[1]),
    ];
    image_grid(run.path("walkers.png"), &blocks, TILES, -1.0, 1.0)
}

/// As many walkers as there are tiles, each as often as its weight says: the walker whose running sum of weights reaches the
/// middle of each of so many equal parts.
fn in_proportion(seen: &Seen, d: usize) -> Vec<f32> {
    let p = seen.weights.probabilities();
    let (mut drawn, mut sum, mut i) = (vec![], p[0], 0);
    for tile in 0..TILES * TILES {
        let point = (tile as f64 + 0.5) / (TILES * TILES) as f64;
        while sum < point && i + 1 < p.len() {
            i += 1;
            sum += p[i];
        }
        drawn.extend_from_slice(&seen.walkers[i * d..(i + 1) * d]);
    }
    drawn
}

/// A figure of one plot.
struct Figure(&'static str, Plot);

impl Figure {
    fn write(self, run: &Run) -> Result<()> {
        write_figure(run.path(self.0), 1, &[self.1])
    }
}

fn masses(target: &Target, weighted: &Seen, baseline: &Seen) -> Result<Figure> {
    let names: Vec<_> = target.digits.iter().map(|digit| format!("digit {digit}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let mut plot = Plot::new("Mass of each digit under the model").y("part of all walkers");
    plot = plot.bars("truth", &names, &target.masses, &[]);
    for seen in [weighted, baseline] {
        let (heights, errors): (Vec<_>, Vec<_>) = seen.masses.iter().map(|m| (m.value, m.se)).unzip();
        plot = plot.bars(&format!("walkers of {}", seen.name), &names, &heights, &errors);
        let (heights, errors): (Vec<_>, Vec<_>) = seen.model_masses.iter().map(|m| (m.value, m.se)).unzip();
        if !heights.is_empty() {
            plot = plot.bars(&format!("model of {}", seen.name), &names, &heights, &errors);
        }
    }
    Ok(Figure("masses.png", plot))
}

fn curves(table: &Table, target: &Target, seen: [&Seen; 2]) -> Vec<Plot> {
    let column = |name: &str| table.column(name).unwrap_or_default();
    let steps = column("step");
    let line = |title: &str, name: &str| Plot::new(title).x("iteration").line("weighted", &steps, &column(name));
    let mut plots = vec![
        line("Cross-entropy with the data", "cross_entropy").y("nats"),
        line("Effective walkers over walkers", "ess").y("part of all walkers").y_range(0.0, 1.05),
    ];
    let model_too =
        |seen: &Seen| ["mass", "model_mass"].into_iter().take(1 + usize::from(!seen.model_masses.is_empty()));
    for (seen, kind) in seen.into_iter().flat_map(|seen| model_too(seen).map(move |kind| (seen, kind))) {
        let whose = if kind == "mass" { "walkers" } else { "model" };
        let title = format!("Mass of each digit, {whose} of {}", seen.name);
        let mut plot = Plot::new(title).x("iteration").y("part of all walkers").y_range(0.0, 1.0);
        for (digit, truth) in target.digits.iter().zip(&target.masses) {
            let name = format!("{}.{kind}_{digit}", seen.name);
            plot = plot.line(&format!("digit {digit}"), &steps, &column(&name)).level("truth", *truth);
        }
        plots.push(plot);
    }
    plots
}
