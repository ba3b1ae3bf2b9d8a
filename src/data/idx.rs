//! IDX files, the format of MNIST: images and labels of one byte a value, plain or packed with gzip.
//!
//! ```text
//! bytes 0-3   0 0 8 D     8: unsigned bytes; D: number of axes, 3 for images, 1 for labels
//! then        D sizes, 32-bit, big end first, and the values, last axis fastest
//! ```
//!
//! Source: the format table of LeCun, Cortes, Burges, The MNIST database.

use std::path::Path;

use crate::data::file::{self, MAX_UNPACKED_BYTES};
use crate::{Error, Result};

/// Grey images of equal size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Images {
    /// Number of images.
    pub n: usize,
    /// Height in pixels.
    pub rows: usize,
    /// Width in pixels.
    pub cols: usize,
    /// `[n, rows, cols]`, 0 to 255.
    pub pixels: Vec<u8>,
}

impl Images {
    /// Pixels `[rows, cols]` of image `i`; empty when there is none.
    pub fn image(&self, i: usize) -> &[u8] {
        let size = self.rows * self.cols;
        self.pixels.get(i * size..(i + 1) * size).unwrap_or(&[])
    }
}

/// Reads images.
///
/// # Errors
/// [`Error::Io`] when the file cannot be read; [`Error::Data`] with the first wrong byte (counted in the unpacked file, except
/// inside a damaged gzip stream) for another magic number, a size of 0, missing or extra bytes.
pub fn images(path: impl AsRef<Path>) -> Result<Images> {
    let path = path.as_ref();
    let (sizes, pixels) = read(path, 3)?;
    Ok(Images { n: sizes[0], rows: sizes[1], cols: sizes[2], pixels })
}

/// Reads labels, `[n]`. Errors as in [`images`].
pub fn labels(path: impl AsRef<Path>) -> Result<Vec<u8>> {
    Ok(read(path.as_ref(), 1)?.1)
}

fn read(path: &Path, axes: usize) -> Result<(Vec<usize>, Vec<u8>)> {
    let mut bytes = file::read_unpacked(path)?;
    let wrong = |offset: usize, why: String| Error::Data { file: path.into(), offset: offset as u64, why };
    let start = 4 + 4 * axes;
    let word = |i: usize| bytes.get(4 * i..4 * i + 4).map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]));
    let (want, found) = (0x800 + axes as u32, word(0));
    if found.is_some_and(|found| found != want) {
        return Err(wrong(0, format!("starts with {}, want {}", kind(found.unwrap_or(0)), kind(want))));
    }
    let sizes: Option<Vec<usize>> = (1..=axes).map(|i| word(i).map(|size| size as usize)).collect();
    let Some(sizes) = sizes else {
        return Err(wrong(bytes.len(), format!("the file ends inside its header of {start} bytes")));
    };
    if let Some(axis) = sizes.iter().position(|size| *size == 0) {
        return Err(wrong(4 + 4 * axis, format!("axis {axis} of {sizes:?} is empty")));
    }
    let needed = sizes.iter().try_fold(1usize, |n, size| n.checked_mul(*size));
    let Some(needed) = needed.filter(|n| *n as u64 <= MAX_UNPACKED_BYTES) else {
        return Err(wrong(4, format!("sizes {sizes:?} are over the {MAX_UNPACKED_BYTES} bytes that are read")));
    };
    let have = bytes.len() - start;
    if have < needed {
        return Err(wrong(bytes.len(), format!("sizes {sizes:?} need {needed} bytes of values, the file has {have}")));
    }
    if have > needed {
        let extra = have - needed;
        return Err(wrong(start + needed, format!("{extra} bytes follow the {needed} that sizes {sizes:?} need")));
    }
    bytes.drain(..start);
    Ok((sizes, bytes))
}

fn kind(magic: u32) -> String {
    let name = match magic {
        0x803 => "IDX images",
        0x801 => "IDX labels",
        _ => "not an IDX file of bytes",
    };
    format!("{magic:#010x} ({name})")
}
