//! Where two states are equally hard to leave: a point of the line of transition.

use super::climb::Passage;
use crate::error::{Error, Result};

/// A parameter at which the actions of both directions are equal.
#[derive(Clone, Debug)]
pub struct Transition {
    /// The parameter.
    pub at: f64,
    /// Its uncertainty: that of both actions over the slope of their difference, and what the search left.
    pub error: f64,
    /// Both directions at the last value tried.
    pub passage: Passage,
    /// Values tried.
    pub tried: usize,
}

/// Find where `S_up - S_down` changes its sign between two values of a parameter, by secants that keep the sign change between
/// them (Illinois), until the difference is within its own error or the step below `tolerance`.
///
/// # Errors
/// [`Error::Invalid`] if both values have one sign; what `passage` returns.
pub fn equal_action(
    (mut a, mut b): (f64, f64),
    tolerance: f64,
    mut passage: impl FnMut(f64) -> Result<Passage>,
) -> Result<Transition> {
    let (first, second) = (passage(a)?, passage(b)?);
    let (mut at_a, mut at_b) = (first.difference(), second.difference());
    if at_a * at_b > 0.0 {
        let got = format!("{at_a:e} at {a} and {at_b:e} at {b}");
        return Err(Error::Invalid {
            what: "S_up - S_down",
            got,
            want: "of both signs: widen the range of the parameter",
        });
    }
    let slope = (at_b - at_a) / (b - a);
    let (mut last, mut tried, mut width) = (second, 2, (b - a).abs());
    while tried < 40 {
        let x = (a * at_b - b * at_a) / (at_b - at_a);
        let found = passage(x)?;
        tried += 1;
        let value = found.difference();
        width = (x - b).abs().min((x - a).abs());
        let within = found.error();
        last = found;
        if value.abs() <= within || width <= tolerance {
            return Ok(Transition { at: x, error: within / slope.abs() + width.min(tolerance), passage: last, tried });
        }
        if value * at_b < 0.0 {
            (a, at_a) = (b, at_b);
        } else {
            // The end that stays counts half, so that it moves, too.
            at_a *= 0.5;
        }
        (b, at_b) = (x, value);
    }
    let at = b;
    Ok(Transition { at, error: last.error() / slope.abs() + width, passage: last, tried })
}
