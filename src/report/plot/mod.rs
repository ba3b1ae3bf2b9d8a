//! Pictures of a run: lines with bands, histograms, bars, coloured fields and grids of images, as PNG.
//!
//! A known answer is drawn as a dashed line, so that a picture shows what is right beside what was found. Colours are those of
//! Okabe and Ito, told apart by colour-blind readers; a label keeps one colour in all layers of
//! a plot, and what is called `exact` or `truth` is grey. The font is bundled.
//!
//! ```
//! use ergodic::report::{Plot, write_figure};
//! let steps: Vec<f64> = (0..100).map(f64::from).collect();
//! let found: Vec<f64> = steps.iter().map(|s| 2.0 - (-s / 20.0).exp()).collect();
//! let plot = Plot::new("Free energy").x("step").y("log Z").line("weighted walkers", &steps, &found).exact(2.0);
//! write_figure(std::env::temp_dir().join("ergodic-doc.png"), 1, &[plot]).unwrap();
//! ```

mod axis;
mod canvas;
mod grid;
mod heat;
mod panel;

use std::path::Path;

pub use grid::{Tiles, image_grid};

use crate::{Error, Result};
use canvas::Canvas;

/// One set of axes with its layers. All values are in the units that the axis labels name.
///
/// NaN breaks a line. On a logarithmic axis values that are not above 0 are left out.
#[derive(Debug, Clone, Default)]
pub struct Plot {
    title: String,
    x: Axis,
    y: Axis,
    layers: Vec<Layer>,
}

#[derive(Debug, Clone, Default)]
struct Axis {
    label: String,
    log: bool,
    range: Option<(f64, f64)>,
    names: Vec<String>,
}

#[derive(Debug, Clone)]
struct Layer {
    label: String,
    shape: Shape,
}

#[derive(Debug, Clone)]
enum Shape {
    Line(Vec<(f64, f64)>),
    Points(Vec<(f64, f64)>),
    Band(Vec<(f64, f64, f64)>),
    /// `(left, right, height)`, standing on 0.
    Steps(Vec<(f64, f64, f64)>),
    /// `(left, right, height, error)`.
    Bars(Vec<(f64, f64, f64, f64)>),
    /// Coloured cells `[n_y, n_x]` from corner to corner.
    Heat {
        n_x: usize,
        values: Vec<f64>,
        from: (f64, f64),
        to: (f64, f64),
    },
    /// Dashed, at one height.
    Level(f64),
    /// Dashed, at one abscissa.
    Moment(f64),
    /// Dashed, through points.
    Reference(Vec<(f64, f64)>),
}

impl Plot {
    /// Empty axes.
    #[must_use]
    pub fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), ..Self::default() }
    }

    /// Name and unit along the horizontal axis, such as `time / s`.
    #[must_use]
    pub fn x(mut self, label: impl Into<String>) -> Self {
        self.x.label = label.into();
        self
    }

    /// Name and unit along the vertical axis.
    #[must_use]
    pub fn y(mut self, label: impl Into<String>) -> Self {
        self.y.label = label.into();
        self
    }

    /// A logarithmic horizontal axis.
    #[must_use]
    pub fn log_x(mut self) -> Self {
        self.x.log = true;
        self
    }

    /// A logarithmic vertical axis.
    #[must_use]
    pub fn log_y(mut self) -> Self {
        self.y.log = true;
        self
    }

    /// Shows exactly these abscissas; what lies outside is cut off.
    #[must_use]
    pub fn x_range(mut self, from: f64, to: f64) -> Self {
        self.x.range = Some((from, to));
        self
    }

    /// Shows exactly these ordinates; what lies outside is cut off.
    #[must_use]
    pub fn y_range(mut self, from: f64, to: f64) -> Self {
        self.y.range = Some((from, to));
        self
    }

    /// A line through `(x, y)`. The longer list is cut to the shorter.
    #[must_use]
    pub fn line(self, label: &str, x: &[f64], y: &[f64]) -> Self {
        self.layer(label, Shape::Line(pairs(x, y)))
    }

    /// A dot at each `(x, y)`.
    #[must_use]
    pub fn points(self, label: &str, x: &[f64], y: &[f64]) -> Self {
        self.layer(label, Shape::Points(pairs(x, y)))
    }

    /// A shaded band from `low` to `high`, in the colour of the line of the same label.
    #[must_use]
    pub fn band(self, label: &str, x: &[f64], low: &[f64], high: &[f64]) -> Self {
        let band = x.iter().zip(low).zip(high).map(|((x, low), high)| (*x, *low, *high)).collect();
        self.layer(label, Shape::Band(band))
    }

    /// The density of `values` in `n_bins` equal bins between the smallest and the largest: the area is 1.
    #[must_use]
    pub fn histogram(self, label: &str, values: &[f64], n_bins: usize) -> Self {
        let ones = vec![1.0; values.len()];
        self.weighted_histogram(label, values, &ones, n_bins)
    }

    /// The density of weighted values, such as walkers with their weights; weights need not add up to 1.
    #[must_use]
    pub fn weighted_histogram(self, label: &str, values: &[f64], weights: &[f64], n_bins: usize) -> Self {
        let steps = density(values, weights, n_bins.max(1));
        self.layer(label, Shape::Steps(steps))
    }

    /// Bars over named groups, one series a label; call it once for each series with the same `groups`.
    ///
    /// `errors` are half-lengths of the whiskers, or empty.
    #[must_use]
    pub fn bars(mut self, label: &str, groups: &[&str], heights: &[f64], errors: &[f64]) -> Self {
        self.x.names = groups.iter().map(|group| group.to_string()).collect();
        let bar = |(i, height): (usize, &f64)| (i as f64, 0.0, *height, errors.get(i).copied().unwrap_or(0.0));
        let bars = heights.iter().take(groups.len()).enumerate().map(bar).collect();
        let mut plot = self.layer(label, Shape::Bars(bars));
        plot.spread_bars();
        plot
    }

    /// Coloured cells: `values` `[n_y, n_x]`, the first row lowest, between the corners `from` and `to`; `label` names the
    /// colour bar. For straight axes; the colours are viridis, NaN stays white.
    #[must_use]
    pub fn heat(self, label: &str, values: &[f64], n_x: usize, from: (f64, f64), to: (f64, f64)) -> Self {
        self.layer(label, Shape::Heat { n_x: n_x.max(1), values: values.to_vec(), from, to })
    }

    /// The density of points in the plane in `n_bins` squared cells between `from` and `to`: the volume is the part inside.
    #[must_use]
    pub fn cloud(self, label: &str, x: &[f64], y: &[f64], n_bins: usize, from: (f64, f64), to: (f64, f64)) -> Self {
        let n = n_bins.max(1);
        let cell = |value: f64, lo: f64, hi: f64| {
            let at = (value - lo) / (hi - lo);
            (0.0..1.0).contains(&at).then_some((at * n as f64) as usize)
        };
        let one = (n * n) as f64 / ((to.0 - from.0) * (to.1 - from.1) * x.len().min(y.len()).max(1) as f64);
        let mut density = vec![0.0; n * n];
        for (x, y) in x.iter().zip(y) {
            if let (Some(column), Some(row)) = (cell(*x, from.0, to.0), cell(*y, from.1, to.1)) {
                density[row * n + column] += one;
            }
        }
        self.heat(label, &density, n, from, to)
    }

    /// The known answer: a dashed horizontal line, `exact` in the legend.
    #[must_use]
    pub fn exact(self, y: f64) -> Self {
        self.level("exact", y)
    }

    /// A dashed horizontal line.
    #[must_use]
    pub fn level(self, label: &str, y: f64) -> Self {
        self.layer(label, Shape::Level(y))
    }

    /// A dashed vertical line.
    #[must_use]
    pub fn moment(self, label: &str, x: f64) -> Self {
        self.layer(label, Shape::Moment(x))
    }

    /// A dashed line through `(x, y)`: a known answer that varies.
    #[must_use]
    pub fn reference(self, label: &str, x: &[f64], y: &[f64]) -> Self {
        self.layer(label, Shape::Reference(pairs(x, y)))
    }

    fn layer(mut self, label: &str, shape: Shape) -> Self {
        self.layers.push(Layer { label: label.into(), shape });
        self
    }

    /// Puts the bars of one group side by side, with a gap of a quarter between groups.
    fn spread_bars(&mut self) {
        let series = self.layers.iter_mut().filter_map(|layer| match &mut layer.shape {
            Shape::Bars(bars) => Some(bars),
            _ => None,
        });
        let series: Vec<_> = series.collect();
        let width = 0.75 / series.len() as f64;
        for (s, bars) in series.into_iter().enumerate() {
            for (group, bar) in bars.iter_mut().enumerate() {
                let left = group as f64 - 0.375 + s as f64 * width;
                (bar.0, bar.1) = (left + 0.04 * width, left + 0.96 * width);
            }
        }
    }
}

/// Writes plots as one PNG, in rows of `n_columns`, each 1200 x 800 pixels alone, less tall when they share a page.
///
/// # Errors
/// [`Error::Invalid`] for no plots; [`Error::Io`] naming the file, which ends in `.png`.
pub fn write_figure(path: impl AsRef<Path>, n_columns: usize, plots: &[Plot]) -> Result<()> {
    if plots.is_empty() || n_columns == 0 {
        let got = format!("{} in {n_columns} columns", plots.len());
        return Err(Error::Invalid { what: "number of plots", got, want: "at least 1, in at least 1 column" });
    }
    let n_rows = plots.len().div_ceil(n_columns);
    let width = if n_columns == 1 { 1200 } else { 1000 };
    let height = if n_rows == 1 && n_columns == 1 { 800 } else { 620 };
    let mut canvas = Canvas::new(width * n_columns as u32, height * n_rows as u32);
    for (i, plot) in plots.iter().enumerate() {
        let (row, column) = (i / n_columns, i % n_columns);
        let corner = (column as f64 * f64::from(width), row as f64 * f64::from(height));
        panel::draw(plot, &mut canvas, corner, (f64::from(width), f64::from(height)));
    }
    canvas.write(path.as_ref())
}

fn pairs(x: &[f64], y: &[f64]) -> Vec<(f64, f64)> {
    x.iter().copied().zip(y.iter().copied()).collect()
}

/// `(left, right, density)` of each bin.
fn density(values: &[f64], weights: &[f64], n_bins: usize) -> Vec<(f64, f64, f64)> {
    let finite = || values.iter().copied().zip(weights.iter().copied()).filter(|(v, w)| v.is_finite() && w.is_finite());
    let limits = |(lo, hi): (f64, f64), (v, _): (f64, f64)| (lo.min(v), hi.max(v));
    let (lo, hi) = finite().fold((f64::INFINITY, f64::NEG_INFINITY), limits);
    let total: f64 = finite().map(|(_, weight)| weight).sum();
    if lo > hi || total <= 0.0 {
        return Vec::new();
    }
    let (lo, hi) = if lo == hi { (lo - 0.5, hi + 0.5) } else { (lo, hi) };
    let width = (hi - lo) / n_bins as f64;
    let mut sums = vec![0.0; n_bins];
    for (value, weight) in finite() {
        // The largest value belongs to the last bin.
        sums[(((value - lo) / width) as usize).min(n_bins - 1)] += weight;
    }
    let bin = |(i, sum): (usize, &f64)| (lo + i as f64 * width, lo + (i + 1) as f64 * width, sum / total / width);
    sums.iter().enumerate().map(bin).collect()
}
