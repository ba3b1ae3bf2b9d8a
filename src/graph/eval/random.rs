//! Random draws; they follow with the keys of [`crate::random`].

use crate::error::{Error, Result};
use crate::graph::{Draw, Shape};
use crate::random::RngKey;

pub(super) fn draw(_: RngKey, draw: Draw, _: &Shape, _: u32) -> Result<Vec<f64>> {
    Err(Error::Invalid { what: "a random draw", got: format!("{draw:?}"), want: "a later version of this crate" })
}

pub(super) fn fold_in(_: RngKey, _: u32) -> Result<RngKey> {
    Err(Error::Invalid { what: "a random key", got: "fold_in".into(), want: "a later version of this crate" })
}
