//! Random draws: the bits of [`crate::random`], and the law of the draw in f64.

use crate::graph::{Draw, NormalMode, Shape};
use crate::random::{RngKey, normal_exact};

/// Row `i` is the index along axis 0 (0 for a scalar), component `c` the row-major index of the other axes.
pub(super) fn draw(key: RngKey, draw: Draw, shape: &Shape, step: u32) -> Vec<f64> {
    let mut out = vec![0.0; shape.numel()];
    let components: usize = shape.iter().skip(1).product();
    for (walker, row) in out.chunks_mut(components.max(1)).enumerate() {
        for (block, part) in row.chunks_mut(4).enumerate() {
            let words = key.block(walker as u32, block as u32, step);
            part.copy_from_slice(&law(draw, words)[..part.len()]);
        }
    }
    out
}

fn law(draw: Draw, words: [u32; 4]) -> [f64; 4] {
    match draw {
        Draw::Bits => words.map(f64::from),
        Draw::Uniform => words.map(|r| (f64::from(r >> 9) + 0.5) * (-23_f64).exp2()),
        Draw::Normal(NormalMode::Exact) => words.map(|r| f64::from(normal_exact(r))),
        Draw::Normal(NormalMode::BoxMuller) => {
            let ([a, b], [c, d]) = (box_muller(words[0], words[1]), box_muller(words[2], words[3]));
            [a, b, c, d]
        }
    }
}

/// `sqrt(-2 log u) (cos phi, sin phi)`. A small `u` keeps 24 significant bits of its word, so the tail is smooth; the
/// angle is a quadrant and 23 bits within it, which starts half a quadrant below the axis.
fn box_muller(r: u32, angle: u32) -> [f64; 2] {
    let zeros = (r | 1).leading_zeros();
    let mantissa = f64::from(((r | 1) << zeros) >> 9) + 0.5;
    let u = mantissa * (-23.0 - f64::from(zeros)).exp2();
    let radius = (-2.0 * u.ln()).sqrt();
    let within = (f64::from((angle << 2) >> 9) + 0.5) * (-23_f64).exp2() - 0.5;
    let phi = (f64::from(angle >> 30) + within) * std::f64::consts::FRAC_PI_2;
    [radius * phi.cos(), radius * phi.sin()]
}
