//! Grey images side by side: what a model draws beside what it learned from.

use std::path::Path;

use plotters::prelude::RGBColor;

use super::canvas::{Canvas, INK, Pin, text_width};
use crate::{Error, Result};

const TITLE: f64 = 28.0;
const MARGIN: f64 = 36.0;

/// A block of images of one size.
#[derive(Debug, Clone)]
pub struct Tiles<'a> {
    /// Written above the block.
    pub title: &'a str,
    /// `[n, rows, cols]`: `paper` is white, `ink` black, in between grey.
    pub pixels: &'a [f32],
    /// Height and width of an image in pixels.
    pub size: (usize, usize),
}

/// Writes blocks side by side as one PNG: from each the first `n_columns` squared images, row by row.
///
/// Values from `paper` to `ink` run from white to black and are cut off outside; NaN is drawn red.
///
/// # Errors
/// [`Error::Shape`] when a block's pixels are not a whole number of images; [`Error::Invalid`] for no blocks or columns;
/// [`Error::Io`] naming the file, which ends in `.png`.
///
/// ```
/// use ergodic::report::{Tiles, image_grid};
/// let ramp: Vec<f32> = (0..4 * 16).map(|i| i as f32 / 32.0 - 1.0).collect();
/// let tiles = Tiles { title: "ramps", pixels: &ramp, size: (4, 4) };
/// image_grid(std::env::temp_dir().join("ergodic-doc-grid.png"), &[tiles], 2, -1.0, 1.0).unwrap();
/// ```
pub fn image_grid(path: impl AsRef<Path>, blocks: &[Tiles<'_>], n_columns: usize, paper: f32, ink: f32) -> Result<()> {
    let largest = blocks.iter().map(|block| block.size.0.max(block.size.1)).max().unwrap_or(0);
    if n_columns == 0 || largest == 0 {
        let got = format!("{} of {n_columns} columns", blocks.len());
        return Err(Error::Invalid { what: "number of blocks", got, want: "at least 1 with a column and a pixel" });
    }
    for block in blocks {
        let one = block.size.0 * block.size.1;
        if one == 0 || !block.pixels.len().is_multiple_of(one) {
            let (got, want) =
                (format!("{} pixels in `{}`", block.pixels.len(), block.title), format!("images of {:?}", block.size));
            return Err(Error::Shape { op: "image_grid", got, want, at: None });
        }
    }
    // Whole pixels a value keep every image's squares equal; a block is at least 560 wide.
    let zoom = (560.0 / (n_columns * (largest + 1)) as f64).ceil().max(1.0);
    let tile = zoom * largest as f64 + (zoom * 0.6).round().max(3.0);
    let titles = blocks.iter().map(|block| text_width(block.title, TITLE)).fold(0.0, f64::max);
    let block_width = (tile * n_columns as f64).max(titles);
    let width = MARGIN + (block_width + MARGIN) * blocks.len() as f64;
    let n_rows =
        |block: &Tiles<'_>| (block.pixels.len() / (block.size.0 * block.size.1)).div_ceil(n_columns).min(n_columns);
    let height = 2.0 * MARGIN + TITLE + 16.0 + tile * blocks.iter().map(n_rows).max().unwrap_or(0) as f64;
    let mut canvas = Canvas::new(width.ceil() as u32, height.ceil() as u32);
    for (b, block) in blocks.iter().enumerate() {
        let left = MARGIN + b as f64 * (block_width + MARGIN);
        canvas.text(block.title, (left, MARGIN + TITLE / 2.0), TITLE, Pin::Left, INK);
        let one = block.size.0 * block.size.1;
        for (i, image) in block.pixels.chunks_exact(one).take(n_columns * n_columns).enumerate() {
            let corner = (left + tile * (i % n_columns) as f64, MARGIN + TITLE + 16.0 + tile * (i / n_columns) as f64);
            draw_image(&mut canvas, corner, image, block.size.1, zoom, |value| shade(value, paper, ink));
        }
    }
    canvas.write(path.as_ref())
}

fn draw_image(
    canvas: &mut Canvas,
    corner: (f64, f64),
    image: &[f32],
    cols: usize,
    zoom: f64,
    shade: impl Fn(f32) -> RGBColor,
) {
    let rows = image.len() / cols;
    let far = (corner.0 + zoom * cols as f64, corner.1 + zoom * rows as f64);
    // A hairline of grey shows where a white image ends.
    canvas.rect((corner.0 - 1.0, corner.1 - 1.0), (far.0 + 1.0, far.1 + 1.0), RGBColor(205, 205, 205), 1.0);
    for (p, value) in image.iter().enumerate() {
        let at = (corner.0 + zoom * (p % cols) as f64, corner.1 + zoom * (p / cols) as f64);
        canvas.rect(at, (at.0 + zoom, at.1 + zoom), shade(*value), 1.0);
    }
}

fn shade(value: f32, paper: f32, ink: f32) -> RGBColor {
    let dark = (value - paper) / (ink - paper);
    if dark.is_nan() {
        return RGBColor(213, 0, 0);
    }
    let grey = (255.0 * (1.0 - dark.clamp(0.0, 1.0))).round() as u8;
    RGBColor(grey, grey, grey)
}
