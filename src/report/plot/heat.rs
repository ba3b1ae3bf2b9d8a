//! Coloured fields and the bar that explains their colours.

use plotters::prelude::RGBColor;

use super::axis::Scale;
use super::canvas::{Canvas, INK, Pin, Point, text_width};
use super::panel::{Frame, LABEL, TICK};
use super::{Layer, Plot, Shape};

/// Ten of the colours of viridis (Smith and van der Walt, 2015), evenly spaced; lightness grows throughout.
const VIRIDIS: [(f64, f64, f64); 10] = [
    (68.0, 1.0, 84.0),
    (72.0, 40.0, 120.0),
    (62.0, 74.0, 137.0),
    (49.0, 104.0, 142.0),
    (38.0, 130.0, 142.0),
    (31.0, 158.0, 137.0),
    (53.0, 183.0, 121.0),
    (109.0, 205.0, 89.0),
    (180.0, 222.0, 44.0),
    (253.0, 231.0, 37.0),
];

const BAR: f64 = 22.0;

/// The colour at 0 to 1.
fn viridis(at: f64) -> RGBColor {
    let position = at.clamp(0.0, 1.0) * (VIRIDIS.len() - 1) as f64;
    let below = (position as usize).min(VIRIDIS.len() - 2);
    let (part, low, high) = (position - below as f64, VIRIDIS[below], VIRIDIS[below + 1]);
    let mix = |a: f64, b: f64| (a + part * (b - a)).round() as u8;
    RGBColor(mix(low.0, high.0), mix(low.1, high.1), mix(low.2, high.2))
}

/// The first field of a plot, which its colour bar explains, and the scale of its values.
fn first(plot: &Plot) -> Option<(&Layer, Scale)> {
    plot.layers.iter().find_map(|layer| match &layer.shape {
        Shape::Heat { values, .. } => Some((layer, Scale::fit(values.iter().copied(), false, None, 0.0))),
        _ => None,
    })
}

/// Width to keep free on the right for the colour bar.
pub(super) fn bar_width(plot: &Plot) -> f64 {
    first(plot).map_or(0.0, |(layer, scale)| {
        let widest = scale.ticks(6).iter().map(|tick| text_width(&tick.label, TICK)).fold(0.0, f64::max);
        let label = if layer.label.is_empty() { 0.0 } else { LABEL + 12.0 };
        BAR + 40.0 + widest + label
    })
}

/// The bar itself, right of the frame.
pub(super) fn bar(plot: &Plot, canvas: &mut Canvas, frame: &Frame) {
    let Some((layer, scale)) = first(plot) else { return };
    let (left, height) = (frame.right + 24.0, frame.bottom - frame.top);
    for row in 0..height as usize {
        let y = frame.bottom - row as f64;
        canvas.rect((left, y), (left + BAR, (y - 1.0).max(frame.top)), viridis(row as f64 / height), 1.0);
    }
    let mut widest = 0f64;
    for tick in scale.ticks(6) {
        let y = frame.bottom - scale.place(tick.at).unwrap_or(0.0) * height;
        canvas.line((left + BAR, y), (left + BAR + 5.0, y), 1.2, INK);
        canvas.text(&tick.label, (left + BAR + 11.0, y), TICK, Pin::Left, INK);
        widest = widest.max(text_width(&tick.label, TICK));
    }
    let middle = (left + BAR + 11.0 + widest + 10.0 + LABEL / 2.0, (frame.top + frame.bottom) / 2.0);
    canvas.text(&layer.label, middle, LABEL, Pin::Upwards, INK);
}

/// The cells; those with no place or no colour are left white.
pub(super) fn draw(layer: &Layer, canvas: &mut Canvas, frame: &Frame) {
    let Shape::Heat { n_x, values, from, to } = &layer.shape else { return };
    let scale = Scale::fit(values.iter().copied(), false, None, 0.0);
    let n_y = values.len().div_ceil(*n_x).max(1);
    let corner = |column: usize, row: usize| -> Option<Point> {
        let x = from.0 + (to.0 - from.0) * column as f64 / *n_x as f64;
        let y = from.1 + (to.1 - from.1) * row as f64 / n_y as f64;
        frame.at((x, y)).map(|at| frame.clamp(at))
    };
    for (i, value) in values.iter().enumerate() {
        let (row, column) = (i / n_x, i % n_x);
        let corners = corner(column, row).zip(corner(column + 1, row + 1));
        if let (Some((low, high)), Some(at)) = (corners, scale.place(*value)) {
            canvas.rect(low, high, viridis(at), 1.0);
        }
    }
}
