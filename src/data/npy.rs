//! NumPy's array files: `numpy.load` reads what [`write()`] leaves, and the other way round.
//!
//! ```text
//! \x93NUMPY 1 0  u16 header length  {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }  padding \n  values
//! ```
//!
//! Source: NumPy Enhancement Proposal 1, format versions 1 to 3. Little end first, C order; others are refused.

use std::path::Path;

use bytemuck::Pod;

use crate::data::file;
use crate::{Error, Result};

const MAGIC: &[u8] = b"\x93NUMPY";

mod sealed {
    pub trait Sealed {}
}

/// An element type that `.npy` files here can hold: `f32`, `f64`, `i32`, `u32` or `u8`.
pub trait Element: Pod + sealed::Sealed {
    /// NumPy's name for it, such as `<f4`.
    const DESCR: &'static str;
}

macro_rules! element {
    ($($rust:ty: $numpy:literal),*) => { $(
        impl sealed::Sealed for $rust {}
        impl Element for $rust { const DESCR: &'static str = $numpy; }
    )* };
}
element!(f32: "<f4", f64: "<f8", i32: "<i4", u32: "<u4", u8: "|u1");

/// An array with its shape, row-major.
#[derive(Debug, Clone, PartialEq)]
pub struct Array<T> {
    /// Lengths of the axes; empty for one number.
    pub shape: Vec<usize>,
    /// Values, last axis fastest.
    pub values: Vec<T>,
}

/// Writes an array, beside `path` first and then renamed over it.
///
/// # Errors
/// [`Error::Shape`] when `values` has not as many elements as `shape`; [`Error::Io`] naming `path`.
///
/// ```
/// use ergodic::data::npy;
/// let path = std::env::temp_dir().join("ergodic-doc.npy");
/// npy::write(&path, &[2, 3], &[0f32, 1.0, 2.0, 3.0, 4.0, 5.0]).unwrap();
/// assert_eq!(npy::read::<f32>(&path).unwrap().shape, [2, 3]);
/// ```
pub fn write<T: Element>(path: impl AsRef<Path>, shape: &[usize], values: &[T]) -> Result<()> {
    let n: usize = shape.iter().product();
    if n != values.len() {
        let (got, want) = (format!("{} values", values.len()), format!("{n} for shape {shape:?}"));
        return Err(Error::Shape { op: "npy::write", got, want, at: None });
    }
    let axes: String = shape.iter().map(|size| format!("{size}, ")).collect();
    let axes = if shape.len() == 1 { axes.trim_end() } else { axes.trim_end_matches(", ") };
    let mut header = format!("{{'descr': '{}', 'fortran_order': False, 'shape': ({axes}), }}", T::DESCR);
    // Values start at a multiple of 64 bytes, so that a reader can map them.
    let end = (MAGIC.len() + 4 + header.len() + 1).next_multiple_of(64);
    let spaces = end - (MAGIC.len() + 4 + header.len() + 1);
    header.extend(std::iter::repeat_n(' ', spaces));
    header.push('\n');
    let mut bytes = [MAGIC, &[1, 0], &(header.len() as u16).to_le_bytes(), header.as_bytes()].concat();
    bytes.extend_from_slice(bytemuck::cast_slice(values));
    file::write_atomic(path, &bytes)
}

/// Reads an array of exactly this element type.
///
/// # Errors
/// [`Error::Io`] when the file cannot be read; [`Error::Data`] when it is not a `.npy` file, has another element type or axis
/// order, or too few or too many bytes.
pub fn read<T: Element>(path: impl AsRef<Path>) -> Result<Array<T>> {
    let path = path.as_ref();
    parse(path, &file::read(path)?)
}

/// Whether these are the first bytes of an array file.
pub(super) fn is_array(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC)
}

/// An array of any element type here as f64, from the bytes of a file.
pub(super) fn parse_wide(path: &Path, bytes: &[u8]) -> Result<Array<f64>> {
    fn wide<T: Element + Into<f64>>(array: Array<T>) -> Array<f64> {
        Array { shape: array.shape, values: array.values.into_iter().map(Into::into).collect() }
    }
    let descr = split(bytes).and_then(|(_, header)| value(header, "descr"));
    match descr.map(|text| text.trim_matches(['\'', '"'])) {
        Some("<f4") => parse::<f32>(path, bytes).map(wide),
        Some("<i4") => parse::<i32>(path, bytes).map(wide),
        Some("<u4") => parse::<u32>(path, bytes).map(wide),
        Some("|u1") => parse::<u8>(path, bytes).map(wide),
        _ => parse::<f64>(path, bytes),
    }
}

fn parse<T: Element>(path: &Path, bytes: &[u8]) -> Result<Array<T>> {
    let wrong = |offset: usize, why: String| Error::Data { file: path.into(), offset: offset as u64, why };
    let (start, header) = split(bytes).ok_or_else(|| wrong(0, "is not a NumPy array file".into()))?;
    let descr = value(header, "descr").map(|text| text.trim_matches(['\'', '"']));
    if descr != Some(T::DESCR) {
        let found = descr.unwrap_or("no element type");
        return Err(wrong(10, format!("holds {found}, want {}: convert it with astype", T::DESCR)));
    }
    if value(header, "fortran_order") != Some("False") {
        return Err(wrong(10, "is in Fortran order, want C order: save numpy.ascontiguousarray(a)".into()));
    }
    let shape = value(header, "shape").and_then(shape).ok_or_else(|| wrong(10, "has no readable shape".into()))?;
    let width = size_of::<T>();
    let needed = shape.iter().try_fold(width, |n, size| n.checked_mul(*size));
    let have = bytes.len() - start;
    if needed != Some(have) {
        let needed = needed.map_or("more than memory holds".into(), |n| format!("{n} bytes"));
        return Err(wrong(bytes.len(), format!("shape {shape:?} needs {needed}, the file has {have}")));
    }
    // The bytes are not aligned for T, so they are collected one element at a time.
    let values = bytes[start..].chunks_exact(width).map(bytemuck::pod_read_unaligned).collect();
    Ok(Array { shape, values })
}

/// Where the values start, and the header's text.
fn split(bytes: &[u8]) -> Option<(usize, &str)> {
    let rest = bytes.strip_prefix(MAGIC)?;
    let (start, length) = match rest.first()? {
        1 => (10, usize::from(u16::from_le_bytes(rest.get(2..4)?.try_into().ok()?))),
        2 | 3 => (12, u32::from_le_bytes(rest.get(2..6)?.try_into().ok()?) as usize),
        _ => return None,
    };
    let end = start + length;
    Some((end, std::str::from_utf8(bytes.get(start..end)?).ok()?))
}

/// The text of `key` in a Python dictionary whose values are a string, a boolean and a tuple.
fn value<'a>(header: &'a str, key: &str) -> Option<&'a str> {
    let (_, after) = header.split_once(&format!("'{key}':"))?;
    let after = after.trim_start();
    let end = if after.starts_with('(') { after.find(')')? + 1 } else { after.find([',', '}'])? };
    Some(after[..end].trim_end())
}

fn shape(tuple: &str) -> Option<Vec<usize>> {
    let inside = tuple.strip_prefix('(')?.strip_suffix(')')?;
    inside.split(',').map(str::trim).filter(|size| !size.is_empty()).map(|size| size.parse().ok()).collect()
}
