//! Tridiagonal solves along an axis: host side of `shaders/tridiagonal.wgsl`. Its twin is [`Graph::eval_f64`](crate::graph::Graph::eval_f64).
//!
//! Elimination goes down a line and substitution comes up again, `2 n` turns of loops. Software adapters end all loops of an
//! invocation after some 65,000 turns, so [`dispatches`] gives long lines several.

use crate::error::Result;
use crate::gpu::shader::{Defines, preprocess};
use std::ops::Range;

/// What a matrix has beside its diagonal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sides {
    /// Anything below it.
    pub below: bool,
    /// Anything above it.
    pub above: bool,
}

/// What one dispatch does: the places that it eliminates, and those in which it substitutes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Eliminated, from the start.
    pub down: Range<usize>,
    /// Substituted, from the end.
    pub up: Range<usize>,
}

/// The dispatches of lines of this length, of at most `turns` turns each.
///
/// ```
/// use ergodic::kernels::tridiagonal::{Part, Sides, dispatches};
/// let both = Sides { below: true, above: true };
/// assert_eq!(dispatches(30, both, 60), [Part { down: 0..30, up: 0..30 }]);
/// let parts = dispatches(80, both, 60);
/// assert_eq!(parts.iter().map(|part| part.down.clone()).collect::<Vec<_>>(), [0..60, 60..80, 0..0, 0..0]);
/// assert_eq!(parts.iter().map(|part| part.up.clone()).collect::<Vec<_>>(), [80..80, 80..80, 20..80, 0..20]);
/// ```
pub fn dispatches(length: usize, sides: Sides, turns: usize) -> Vec<Part> {
    // A diagonal alone is eliminated in any order.
    let (goes_down, comes_up) = (sides.below || !sides.above, sides.above);
    if length * (usize::from(goes_down) + usize::from(comes_up)) <= turns {
        let part = |goes: bool| if goes { 0..length } else { 0..0 };
        return vec![Part { down: part(goes_down), up: part(comes_up) }];
    }
    let chunks = || (0..length).step_by(turns);
    let down = chunks().map(|start| Part { down: start..length.min(start + turns), up: length..length });
    let up = chunks().map(|done| Part { down: 0..0, up: (length - done).saturating_sub(turns)..length - done });
    down.filter(|_| goes_down).chain(up.filter(|_| comes_up)).collect()
}

/// The text of one dispatch, without the declarations of its bindings; `io` holds the functions that it asks for.
///
/// # Errors
/// Those of the preprocessor; none for the shader that comes with the crate.
pub fn text(part: &Part, lines: usize, length: usize, sides: Sides, io: &str) -> Result<String> {
    let mut shader = include_str!("../../shaders/tridiagonal.wgsl").to_string();
    for (name, value) in [
        ("#LINES#", lines),
        ("#LENGTH#", length),
        ("#DOWN_START#", part.down.start),
        ("#DOWN_END#", part.down.end),
        ("#UP_START#", part.up.start),
        ("#UP_END#", part.up.end),
    ] {
        shader = shader.replace(name, &value.to_string());
    }
    let defines = Defines::new()
        .set("DOWN", u8::from(!part.down.is_empty()))
        .set("UP", u8::from(!part.up.is_empty()))
        .set("ABOVE", u8::from(sides.above))
        .set("BELOW", u8::from(sides.below))
        .splice("io", io);
    preprocess("tridiagonal", &shader, &defines)
}
