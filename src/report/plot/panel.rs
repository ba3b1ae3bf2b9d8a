//! Draws one set of axes: title, legend in a row above, grid, layers, labels.

use plotters::prelude::RGBColor;

use super::axis::{Scale, Tick};
use super::canvas::{Canvas, FAINT, GREY, INK, Pin, Point, text_width};
use super::{Layer, Plot, Shape, heat};

const TITLE: f64 = 28.0;
pub(super) const LABEL: f64 = 23.0;
pub(super) const TICK: f64 = 20.0;
const GAP: f64 = 14.0;

/// Okabe and Ito, Color Universal Design (2008), without yellow, which white paper swallows.
const PALETTE: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(90, 70, 160),
];

const DASH: Option<(f64, f64)> = Some((11.0, 8.0));

/// The frame of the axes on the page and the scales in it.
pub(super) struct Frame {
    pub left: f64,
    pub right: f64,
    pub top: f64,
    pub bottom: f64,
    x: Scale,
    y: Scale,
}

impl Frame {
    fn x_at(&self, x: f64) -> Option<f64> {
        self.x.place(x).map(|at| self.left + at * (self.right - self.left))
    }

    fn y_at(&self, y: f64) -> Option<f64> {
        self.y.place(y).map(|at| self.bottom - at * (self.bottom - self.top))
    }

    pub fn at(&self, (x, y): Point) -> Option<Point> {
        Some((self.x_at(x)?, self.y_at(y)?))
    }

    fn holds(&self, (x, y): Point) -> bool {
        (self.left - 0.5..=self.right + 0.5).contains(&x) && (self.top - 0.5..=self.bottom + 0.5).contains(&y)
    }

    pub fn clamp(&self, (x, y): Point) -> Point {
        (x.clamp(self.left, self.right), y.clamp(self.top, self.bottom))
    }

    /// The part of a segment inside the frame (Liang and Barsky, ACM TOG 3, 1 (1984)).
    fn clip(&self, (x0, y0): Point, (x1, y1): Point) -> Option<(Point, Point)> {
        let (dx, dy) = (x1 - x0, y1 - y0);
        let (mut enter, mut leave) = (0f64, 1f64);
        let sides = [(-dx, x0 - self.left), (dx, self.right - x0), (-dy, y0 - self.top), (dy, self.bottom - y0)];
        for (outward, room) in sides {
            if outward == 0.0 && room < 0.0 {
                return None;
            }
            if outward < 0.0 {
                enter = enter.max(room / outward);
            } else if outward > 0.0 {
                leave = leave.min(room / outward);
            }
        }
        let at = |t: f64| (x0 + t * dx, y0 + t * dy);
        // Clamped, because far-away ends cancel badly.
        (enter <= leave).then(|| (self.clamp(at(enter)), self.clamp(at(leave))))
    }
}

pub(super) fn draw(plot: &Plot, canvas: &mut Canvas, corner: Point, size: (f64, f64)) {
    let (x, y) = scales(plot);
    let y_ticks = y.ticks(((size.1 - 200.0) / 75.0) as usize);
    let x_ticks = named(plot).unwrap_or_else(|| x.ticks(((size.0 - 200.0) / 140.0) as usize));
    let widest = y_ticks.iter().map(|tick| text_width(&tick.label, TICK)).fold(0.0, f64::max);
    let y_label = if plot.y.label.is_empty() { 0.0 } else { LABEL + GAP };
    let frame = Frame {
        left: corner.0 + 22.0 + y_label + widest + GAP,
        right: corner.0 + size.0 - 40.0 - heat::bar_width(plot),
        top: 0.0,
        bottom: corner.1 + size.1 - 28.0 - TICK - GAP - if plot.x.label.is_empty() { 0.0 } else { LABEL + GAP },
        x,
        y,
    };
    let mut pen = corner.1 + 30.0;
    if !plot.title.is_empty() {
        canvas.text(&plot.title, (frame.left, pen + TITLE / 2.0), TITLE, Pin::Left, INK);
        pen += TITLE + GAP;
    }
    let top = legend(plot, canvas, (frame.left, pen), frame.right);
    let frame = Frame { top: top.min(frame.bottom - 40.0), left: frame.left.min(frame.right - 40.0), ..frame };
    axes(plot, canvas, &frame, &x_ticks, &y_ticks, corner);
    for layer in &plot.layers {
        draw_layer(layer, color_of(plot, layer), canvas, &frame);
    }
    heat::bar(plot, canvas, &frame);
    // The axis lines lie over bars that stand on them.
    canvas.line((frame.left, frame.bottom), (frame.right, frame.bottom), 1.4, INK);
    canvas.line((frame.left, frame.top), (frame.left, frame.bottom), 1.4, INK);
}

/// Scales that hold every layer. Bars and histograms stand on 0 without room below.
fn scales(plot: &Plot) -> (Scale, Scale) {
    let (mut xs, mut ys) = (Vec::new(), Vec::new());
    let (mut stands, mut field) = (false, false);
    for layer in &plot.layers {
        match &layer.shape {
            Shape::Line(points) | Shape::Points(points) | Shape::Reference(points) => {
                xs.extend(points.iter().map(|p| p.0));
                ys.extend(points.iter().map(|p| p.1));
            }
            Shape::Band(band) => {
                xs.extend(band.iter().map(|p| p.0));
                ys.extend(band.iter().flat_map(|p| [p.1, p.2]));
            }
            Shape::Steps(steps) => {
                xs.extend(steps.iter().flat_map(|s| [s.0, s.1]));
                ys.extend(steps.iter().map(|s| s.2));
                stands = true;
            }
            Shape::Bars(bars) => {
                xs.extend(bars.iter().flat_map(|b| [b.0 - 0.1, b.1 + 0.1]));
                ys.extend(bars.iter().flat_map(|b| [b.2 + b.3, b.2 - b.3]));
                stands = true;
            }
            Shape::Heat { from, to, .. } => {
                xs.extend([from.0, to.0]);
                ys.extend([from.1, to.1]);
                field = true;
            }
            Shape::Level(y) => ys.push(*y),
            Shape::Moment(x) => xs.push(*x),
        }
    }
    let stands = stands && !plot.y.log && plot.y.range.is_none() && ys.iter().all(|y| *y >= 0.0);
    let top = ys.iter().copied().filter(|y| y.is_finite()).fold(0.0, f64::max);
    let y_range = if stands && top > 0.0 { Some((0.0, 1.06 * top)) } else { plot.y.range };
    let x_room = if plot.x.names.is_empty() && only_lines(plot) { 0.0 } else { 0.03 };
    let x = Scale::fit(xs.into_iter(), plot.x.log, plot.x.range, x_room);
    (x, Scale::fit(ys.into_iter(), plot.y.log, y_range, if field { 0.0 } else { 0.05 }))
}

/// Lines may touch the frame; dots need room for their radius.
fn only_lines(plot: &Plot) -> bool {
    !plot.layers.iter().any(|layer| matches!(layer.shape, Shape::Points(_)))
}

fn named(plot: &Plot) -> Option<Vec<Tick>> {
    let tick = |(i, name): (usize, &String)| Tick { at: i as f64, label: name.clone() };
    (!plot.x.names.is_empty()).then(|| plot.x.names.iter().enumerate().map(tick).collect())
}

/// Labels in the order in which they first appear, each once.
fn labels(plot: &Plot) -> Vec<&Layer> {
    let mut seen: Vec<&Layer> = Vec::new();
    for layer in plot.layers.iter().filter(|layer| in_legend(layer)) {
        match seen.iter_mut().find(|there| there.label == layer.label) {
            // A band is explained by the line of its label.
            Some(there) if matches!(there.shape, Shape::Band(_)) => *there = layer,
            Some(_) => {}
            None => seen.push(layer),
        }
    }
    seen
}

/// A field is explained by its colour bar.
fn in_legend(layer: &Layer) -> bool {
    !layer.label.is_empty() && !matches!(layer.shape, Shape::Heat { .. })
}

fn is_reference(layer: &Layer) -> bool {
    matches!(layer.shape, Shape::Level(_) | Shape::Moment(_) | Shape::Reference(_))
}

fn color_of(plot: &Plot, layer: &Layer) -> RGBColor {
    let is_known = |label: &str| label == "exact" || label == "truth";
    let coloured = labels(plot).into_iter().filter(|layer| !is_reference(layer) && !is_known(&layer.label));
    let at = coloured.map(|layer| &layer.label).position(|label| *label == layer.label);
    match at {
        _ if is_reference(layer) => INK,
        _ if is_known(&layer.label) => GREY,
        at => PALETTE[at.unwrap_or(0) % PALETTE.len()],
    }
}

/// Draws the legend in rows from `(left, pen)`; returns where the frame may start.
fn legend(plot: &Plot, canvas: &mut Canvas, (left, mut pen): Point, right: f64) -> f64 {
    let entries = labels(plot);
    let mut x = left;
    for layer in &entries {
        let width = 44.0 + text_width(&layer.label, TICK) + 30.0;
        if x > left && x + width - 30.0 > right {
            (x, pen) = (left, pen + TICK + GAP);
        }
        let (y, color) = (pen + TICK / 2.0, color_of(plot, layer));
        match &layer.shape {
            Shape::Points(_) => canvas.disc((x + 17.0, y), 5.5, color, 1.0),
            Shape::Steps(_) | Shape::Bars(_) | Shape::Band(_) => {
                canvas.rect((x + 8.0, y - 8.0), (x + 30.0, y + 8.0), color, opacity(&layer.shape));
            }
            _ if is_reference(layer) => canvas.path(&[(x, y), (x + 34.0, y)], 2.2, color, Some((9.0, 5.0))),
            _ => canvas.line((x, y), (x + 34.0, y), 3.4, color),
        }
        canvas.text(&layer.label, (x + 44.0, y), TICK, Pin::Left, INK);
        x += width;
    }
    if entries.is_empty() { pen } else { pen + TICK + GAP + 4.0 }
}

fn opacity(shape: &Shape) -> f64 {
    match shape {
        Shape::Steps(_) => 0.35,
        Shape::Band(_) => 0.22,
        Shape::Bars(_) => 0.9,
        _ => 1.0,
    }
}

fn axes(plot: &Plot, canvas: &mut Canvas, frame: &Frame, x_ticks: &[Tick], y_ticks: &[Tick], corner: Point) {
    for tick in y_ticks {
        let Some(y) = frame.y_at(tick.at) else { continue };
        if tick.label.is_empty() {
            canvas.line((frame.left, y), (frame.left + 5.0, y), 1.0, GREY);
            continue;
        }
        canvas.line((frame.left, y), (frame.right, y), 1.0, FAINT);
        canvas.text(&tick.label, (frame.left - GAP * 0.7, y), TICK, Pin::Right, INK);
    }
    let mut free_from = f64::NEG_INFINITY;
    for tick in x_ticks {
        let Some(x) = frame.x_at(tick.at) else { continue };
        let named = !plot.x.names.is_empty();
        if !named {
            let long = if tick.label.is_empty() { 5.0 } else { 8.0 };
            canvas.line((x, frame.bottom - long), (x, frame.bottom), 1.2, GREY);
        }
        // A label that would touch its neighbour is left out; its mark stays.
        let half = text_width(&tick.label, TICK) / 2.0;
        if !tick.label.is_empty() && x - half > free_from {
            canvas.text(&tick.label, (x, frame.bottom + GAP * 0.7 + TICK / 2.0), TICK, Pin::Middle, INK);
            free_from = x + half + 8.0;
        }
    }
    let middle = ((frame.left + frame.right) / 2.0, (frame.top + frame.bottom) / 2.0);
    let below = frame.bottom + GAP + TICK + GAP * 0.6 + LABEL / 2.0;
    canvas.text(&plot.x.label, (middle.0, below), LABEL, Pin::Middle, INK);
    canvas.text(&plot.y.label, (corner.0 + 22.0 + LABEL / 2.0, middle.1), LABEL, Pin::Upwards, INK);
}

fn draw_layer(layer: &Layer, color: RGBColor, canvas: &mut Canvas, frame: &Frame) {
    let fill = opacity(&layer.shape);
    match &layer.shape {
        Shape::Line(points) => stroke(points, 2.6, color, None, canvas, frame),
        Shape::Reference(points) => stroke(points, 2.2, color, DASH, canvas, frame),
        Shape::Points(points) => {
            // Many dots are made smaller and see-through, so that a cloud shows its density.
            let (radius, fill) = if points.len() > 500 { (2.2, 0.5) } else { (5.0, 0.9) };
            for at in points.iter().filter_map(|p| frame.at(*p)).filter(|at| frame.holds(*at)) {
                canvas.disc(at, radius, color, fill);
            }
        }
        Shape::Band(band) => {
            for ends in band.windows(2) {
                let corners =
                    [(ends[0].0, ends[0].1), (ends[1].0, ends[1].1), (ends[1].0, ends[1].2), (ends[0].0, ends[0].2)];
                let corners: Option<Vec<Point>> =
                    corners.into_iter().map(|c| frame.at(c).map(|at| frame.clamp(at))).collect();
                canvas.polygon(&corners.unwrap_or_default(), color, fill);
            }
        }
        Shape::Steps(steps) => outline(steps, color, canvas, frame),
        Shape::Bars(bars) => bars.iter().for_each(|bar| draw_bar(*bar, color, canvas, frame)),
        Shape::Heat { .. } => heat::draw(layer, canvas, frame),
        Shape::Level(y) => {
            if let Some(y) = frame.y_at(*y).filter(|y| frame.holds((frame.left, *y))) {
                canvas.path(&[(frame.left, y), (frame.right, y)], 2.2, color, DASH);
            }
        }
        Shape::Moment(x) => {
            if let Some(x) = frame.x_at(*x).filter(|x| frame.holds((*x, frame.top))) {
                canvas.path(&[(x, frame.bottom), (x, frame.top)], 2.2, color, DASH);
            }
        }
    }
}

/// A line broken where a value has no place, and cut at the frame.
fn stroke(points: &[Point], width: f64, color: RGBColor, dash: Option<(f64, f64)>, canvas: &mut Canvas, frame: &Frame) {
    let placed: Vec<Option<Point>> = points.iter().map(|p| frame.at(*p)).collect();
    for piece in placed.split(Option::is_none) {
        let piece: Vec<Point> = piece.iter().flatten().copied().collect();
        let mut inside: Vec<Point> = Vec::new();
        for ends in piece.windows(2) {
            let Some((from, to)) = frame.clip(ends[0], ends[1]) else { continue };
            if inside.last().is_some_and(|last| (last.0 - from.0).hypot(last.1 - from.1) > 1e-6) {
                canvas.path(&std::mem::take(&mut inside), width, color, dash);
            }
            if inside.is_empty() {
                inside.push(from);
            }
            inside.push(to);
        }
        canvas.path(&inside, width, color, dash);
        if let [alone] = piece[..]
            && frame.holds(alone)
        {
            canvas.disc(alone, width, color, 1.0);
        }
    }
}

/// A filled staircase with its outline.
fn outline(steps: &[(f64, f64, f64)], color: RGBColor, canvas: &mut Canvas, frame: &Frame) {
    let mut edge: Vec<Point> = Vec::new();
    for &(left, right, height) in steps {
        let ends = frame.x_at(left).zip(frame.x_at(right));
        let (Some((left, right)), top) = (ends, frame.y_at(height).unwrap_or(frame.bottom)) else { continue };
        let (from, to) = (frame.clamp((left, top)), frame.clamp((right, top)));
        canvas.rect(from, (to.0, frame.bottom), color, opacity(&Shape::Steps(Vec::new())));
        edge.extend([from, to]);
    }
    if let (Some(first), Some(last)) = (edge.first().copied(), edge.last().copied()) {
        edge.insert(0, (first.0, frame.bottom));
        edge.push((last.0, frame.bottom));
        canvas.path(&edge, 2.4, color, None);
    }
}

fn draw_bar((left, right, height, error): (f64, f64, f64, f64), color: RGBColor, canvas: &mut Canvas, frame: &Frame) {
    let ground = frame.y_at(0.0).unwrap_or(frame.bottom).clamp(frame.top, frame.bottom);
    let (Some(left), Some(right), Some(top)) = (frame.x_at(left), frame.x_at(right), frame.y_at(height)) else {
        return;
    };
    canvas.rect(frame.clamp((left, top)), frame.clamp((right, ground)), color, 0.9);
    let (Some(low), Some(high)) = (frame.y_at(height - error), frame.y_at(height + error)) else { return };
    if error > 0.0 {
        let middle = (left + right) / 2.0;
        let (low, high) = (frame.clamp((middle, low)), frame.clamp((middle, high)));
        canvas.line(low, high, 2.0, INK);
        for (x, y) in [low, high] {
            canvas.line((x - 7.0, y), (x + 7.0, y), 2.0, INK);
        }
    }
}
