//! A page to draw on: lengths in points of the finished picture, drawn three times finer and averaged, so edges are smooth.

use std::io;
use std::path::Path;
use std::sync::Once;

use plotters::prelude::{BitMapBackend, Color, DrawingBackend, IntoFont, RGBColor};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{FontStyle, FontTransform, IntoTextStyle, TextStyle, register_font};

use crate::Result;
use crate::data::file;

/// Each pixel of the file averages this many squared.
const FINE: u32 = 3;

/// Bundled, so that a machine without any fonts draws the same picture.
static SANS: &[u8] = include_bytes!("../../../assets/fonts/DejaVuSans.ttf");
const FAMILY: &str = "ergodic-sans";

pub(super) const INK: RGBColor = RGBColor(38, 38, 38);
pub(super) const FAINT: RGBColor = RGBColor(226, 226, 226);
pub(super) const GREY: RGBColor = RGBColor(110, 110, 110);

/// Where a text's box is pinned.
#[derive(Clone, Copy)]
pub(super) enum Pin {
    Left,
    Middle,
    Right,
    /// Read from below to above, pinned at the middle.
    Upwards,
}

pub(super) type Point = (f64, f64);

/// A white page.
pub(super) struct Canvas {
    width: u32,
    height: u32,
    pixels: Vec<u8>,
}

fn fine(length: f64) -> i32 {
    (length * f64::from(FINE)).round() as i32
}

fn fine_point((x, y): Point) -> (i32, i32) {
    (fine(x), fine(y))
}

fn style(size: f64, pin: Pin, color: RGBColor) -> TextStyle<'static> {
    static REGISTER: Once = Once::new();
    REGISTER.call_once(|| {
        // The bundled file parses; a failure would show as missing text, not as a lost picture.
        let _ = register_font(FAMILY, FontStyle::Normal, SANS);
    });
    let horizontal = match pin {
        Pin::Left => HPos::Left,
        Pin::Right => HPos::Right,
        Pin::Middle | Pin::Upwards => HPos::Center,
    };
    let font = (FAMILY, size * f64::from(FINE)).into_font();
    let font = if matches!(pin, Pin::Upwards) { font.transform(FontTransform::Rotate270) } else { font };
    font.with_color(color).into_text_style(&(1, 1)).pos(Pos::new(horizontal, VPos::Center))
}

/// Width of a text on the page.
pub(super) fn text_width(text: &str, size: f64) -> f64 {
    let box_ = style(size, Pin::Left, INK).font.box_size(text);
    box_.map_or(0.6 * size * text.chars().count() as f64, |(width, _)| f64::from(width) / f64::from(FINE))
}

impl Canvas {
    pub fn new(width: u32, height: u32) -> Self {
        Self { width, height, pixels: vec![255; (width * height * FINE * FINE * 3) as usize] }
    }

    /// Draws with plotters; a buffer in memory has no errors to report, so none is kept.
    fn with(&mut self, draw: impl FnOnce(&mut BitMapBackend<'_>)) {
        let size = (self.width * FINE, self.height * FINE);
        draw(&mut BitMapBackend::with_buffer(&mut self.pixels, size));
    }

    pub fn rect(&mut self, from: Point, to: Point, color: RGBColor, opacity: f64) {
        let ((x0, y0), (x1, y1)) = (fine_point(from), fine_point(to));
        let (width, height) = ((self.width * FINE) as i32, (self.height * FINE) as i32);
        let within = |a: i32, b: i32, size: i32| a.min(b).clamp(0, size) as usize..a.max(b).clamp(0, size) as usize;
        let (columns, rows) = (within(x0, x1, width), within(y0, y1, height));
        let blend =
            |below: u8, above: u8| (f64::from(below) * (1.0 - opacity) + f64::from(above) * opacity).round() as u8;
        for row in rows {
            let row = row * width as usize;
            // Half-open, so that neighbours neither overlap nor leave a seam.
            for pixel in self.pixels[3 * (row + columns.start)..3 * (row + columns.end)].chunks_exact_mut(3) {
                pixel.copy_from_slice(&[blend(pixel[0], color.0), blend(pixel[1], color.1), blend(pixel[2], color.2)]);
            }
        }
    }

    pub fn polygon(&mut self, points: &[Point], color: RGBColor, opacity: f64) {
        let points: Vec<_> = points.iter().copied().map(fine_point).collect();
        if points.len() > 2 {
            self.with(|b| drop(b.fill_polygon(points, &color.mix(opacity))));
        }
    }

    pub fn disc(&mut self, at: Point, radius: f64, color: RGBColor, opacity: f64) {
        let radius = fine(radius).max(1) as u32;
        self.with(|b| drop(b.draw_circle(fine_point(at), radius, &color.mix(opacity), true)));
    }

    /// A straight line with round ends.
    pub fn line(&mut self, (x0, y0): Point, (x1, y1): Point, width: f64, color: RGBColor) {
        let (dx, dy) = (x1 - x0, y1 - y0);
        let length = dx.hypot(dy);
        if dx == 0.0 || dy == 0.0 {
            let half = width / 2.0;
            let (left, right, top, bottom) = (x0.min(x1), x0.max(x1), y0.min(y1), y0.max(y1));
            return self.rect((left - half, top - half), (right + half, bottom + half), color, 1.0);
        }
        let (nx, ny) = (-dy / length * width / 2.0, dx / length * width / 2.0);
        self.polygon(&[(x0 + nx, y0 + ny), (x1 + nx, y1 + ny), (x1 - nx, y1 - ny), (x0 - nx, y0 - ny)], color, 1.0);
        self.disc((x0, y0), width / 2.0, color, 1.0);
        self.disc((x1, y1), width / 2.0, color, 1.0);
    }

    /// A line through points, in dashes of `(on, off)` if given.
    pub fn path(&mut self, points: &[Point], width: f64, color: RGBColor, dash: Option<(f64, f64)>) {
        let Some((on, off)) = dash else {
            return points.windows(2).for_each(|ends| self.line(ends[0], ends[1], width, color));
        };
        let mut phase = 0.0;
        for ends in points.windows(2) {
            let ((x0, y0), (x1, y1)) = (ends[0], ends[1]);
            let length = (x1 - x0).hypot(y1 - y0);
            let at = |s: f64| (x0 + (x1 - x0) * s / length, y0 + (y1 - y0) * s / length);
            let mut start = -phase;
            while start < length {
                if start + on > 0.0 {
                    self.line(at(start.max(0.0)), at((start + on).min(length)), width, color);
                }
                start += on + off;
            }
            phase = length - (start - on - off);
        }
    }

    /// A text whose capitals are centred on `at` across the direction of reading.
    pub fn text(&mut self, text: &str, (x, y): Point, size: f64, pin: Pin, color: RGBColor) {
        let style = style(size, pin, color);
        // plotters centres a box that reaches far above the capitals; measured on the bundled font.
        let lower = 0.21 * size;
        let at = if matches!(pin, Pin::Upwards) { (x + lower, y) } else { (x, y + lower) };
        self.with(|b| drop(b.draw_text(text, &style, fine_point(at))));
    }

    /// Averages and writes a PNG, beside `path` first.
    pub fn write(&self, path: &Path) -> Result<()> {
        let (width, height, fine) = (self.width as usize, self.height as usize, FINE as usize);
        let mut averaged = Vec::with_capacity(width * height * 3);
        for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
            for channel in 0..3 {
                let pixel = |i: usize, j: usize| ((y * fine + i) * width * fine + x * fine + j) * 3 + channel;
                let sum: u32 = (0..fine * fine).map(|k| u32::from(self.pixels[pixel(k / fine, k % fine)])).sum();
                averaged.push(((sum + FINE * FINE / 2) / (FINE * FINE)) as u8);
            }
        }
        let size = (self.width, self.height);
        file::replace(path, |temporary| {
            let mut backend = BitMapBackend::new(temporary, size);
            backend.blit_bitmap((0, 0), size, &averaged).and_then(|()| backend.present()).map_err(io::Error::other)
        })
    }
}
