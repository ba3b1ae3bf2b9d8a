//! The state of a run on disk, so that a kill at any moment costs only the steps since the last one.
//!
//! A checkpoint is a safetensors file: named arrays, and text about what they belong to. It is written beside the old one,
//! flushed and renamed, so there is always a whole checkpoint. Bits are kept, NaN payloads included: a run that goes on from a
//! checkpoint repeats the uninterrupted one.
//!
//! What must agree before a checkpoint may be used is said by [`Checkpoint::expect`]: the hash of the configuration (by
//! [`Run`](crate::report::Run)), of the plan, the adapter's name.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use bytemuck::Pod;
use safetensors::{Dtype, SafeTensors, tensor::TensorView};

use crate::data::file;
use crate::{Error, Result};

mod sealed {
    pub trait Sealed {}
}

/// An element type of a checkpoint's arrays: `f32`, `f64`, `u32` or `u64`.
pub trait Element: Pod + sealed::Sealed {
    #[doc(hidden)]
    const DTYPE: Dtype;
}

macro_rules! element {
    ($($rust:ty: $dtype:ident),*) => { $(
        impl sealed::Sealed for $rust {}
        impl Element for $rust { const DTYPE: Dtype = Dtype::$dtype; }
    )* };
}
element!(f32: F32, f64: F64, u32: U32, u64: U64);

/// Named arrays and text.
///
/// ```
/// use ergodic::report::Checkpoint;
/// let path = std::env::temp_dir().join("ergodic-doc.safetensors");
/// Checkpoint::new(100).text("plan", "3f2a").array("walkers", &[2, 2], &[0f32, 1.0, 2.0, 3.0])?.write(&path)?;
///
/// let back = Checkpoint::read(&path)?;
/// back.expect("plan", "3f2a")?;
/// assert_eq!((back.step(), back.get::<f32>("walkers", &[2, 2])?[3]), (100, 3.0));
/// # Ok::<(), ergodic::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint {
    file: PathBuf,
    step: u64,
    texts: BTreeMap<String, String>,
    arrays: BTreeMap<String, Array>,
}

#[derive(Debug, Clone, PartialEq)]
struct Array {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Checkpoint {
    /// An empty checkpoint after `step` steps.
    #[must_use]
    pub fn new(step: u64) -> Self {
        Self { file: "in memory".into(), step, texts: BTreeMap::new(), arrays: BTreeMap::new() }
    }

    /// How many steps were done.
    pub fn step(&self) -> u64 {
        self.step
    }

    /// Adds a text, such as a hash or a name. `step` is taken.
    #[must_use]
    pub fn text(mut self, key: &str, value: impl Into<String>) -> Self {
        self.texts.insert(key.into(), value.into());
        self
    }

    /// Adds an array, row-major.
    ///
    /// # Errors
    /// [`Error::Shape`] when `values` are not as many as `shape` has elements.
    pub fn array<T: Element>(mut self, name: &str, shape: &[usize], values: &[T]) -> Result<Self> {
        let n: usize = shape.iter().product();
        if n != values.len() {
            let (got, want) = (format!("{} values for `{name}`", values.len()), format!("{n} for shape {shape:?}"));
            return Err(Error::Shape { op: "Checkpoint::array", got, want, at: None });
        }
        let bytes = bytemuck::cast_slice(values).to_vec();
        self.arrays.insert(name.into(), Array { dtype: T::DTYPE, shape: shape.into(), bytes });
        Ok(self)
    }

    /// Writes the file; the one that was there is replaced only once the new one is whole and on the disk.
    ///
    /// # Errors
    /// [`Error::Io`] naming `path`; [`Error::Checkpoint`] when the format cannot hold it.
    pub fn write(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let unfit = |error: safetensors::SafeTensorError| {
            fault(path, error.to_string(), "give arrays and texts shorter names, or fewer of them")
        };
        let mut texts: HashMap<String, String> = self.texts.clone().into_iter().collect();
        texts.insert("step".into(), self.step.to_string());
        let views = self.arrays.iter().map(|(name, array)| {
            TensorView::new(array.dtype, array.shape.clone(), &array.bytes).map(|view| (name, view))
        });
        let views: Vec<_> = views.collect::<Result<_, _>>().map_err(unfit)?;
        let bytes = safetensors::serialize(views, Some(texts)).map_err(unfit)?;
        file::write_atomic(path, &bytes)
    }

    /// Reads a whole file.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be read; [`Error::Checkpoint`] when it is cut short, damaged, or not a checkpoint.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let bytes = file::read(path)?;
        let damaged = |error: safetensors::SafeTensorError| {
            let why = format!("is damaged or cut short at {} bytes: {error}", bytes.len());
            fault(path, why, "delete it and start without --resume")
        };
        let tensors = SafeTensors::deserialize(&bytes).map_err(damaged)?;
        let (_, header) = SafeTensors::read_metadata(&bytes).map_err(damaged)?;
        let texts: BTreeMap<_, _> = header.metadata().clone().unwrap_or_default().into_iter().collect();
        let Some(step) = texts.get("step").and_then(|step| step.parse().ok()) else {
            let why = "has no step count, so it is another program's file".into();
            return Err(fault(path, why, "move it away and start without --resume"));
        };
        let array = |view: &TensorView| Array {
            dtype: view.dtype(),
            shape: view.shape().to_vec(),
            bytes: view.data().to_vec(),
        };
        let arrays = tensors.tensors().iter().map(|(name, view)| (name.clone(), array(view))).collect();
        Ok(Self { file: path.into(), step, texts, arrays })
    }

    /// [`Error::Checkpoint`] unless the text `key` is `value`.
    pub fn expect(&self, key: &str, value: &str) -> Result<()> {
        let found = self.texts.get(key).map_or("nothing", String::as_str);
        if found == value {
            return Ok(());
        }
        let why = format!("was written with {key} {found}; this run has {value}");
        Err(fault(&self.file, why, "use the config.ron beside it on the same adapter, or start without --resume"))
    }

    /// The text `key`.
    pub fn get_text(&self, key: &str) -> Option<&str> {
        self.texts.get(key).map(String::as_str)
    }

    /// The shape of the array `name`, if there is one.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.arrays.get(name).map(|array| &array.shape[..])
    }

    /// The array `name`, row-major.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] when there is none, or it has another shape or element type.
    pub fn get<T: Element>(&self, name: &str, shape: &[usize]) -> Result<Vec<T>> {
        let hint = "use the config.ron beside it, or start without --resume";
        let Some(array) = self.arrays.get(name) else {
            let names: Vec<&str> = self.arrays.keys().map(String::as_str).collect();
            return Err(fault(&self.file, format!("has no array `{name}`; it has: {}", names.join(", ")), hint));
        };
        if array.dtype != T::DTYPE || array.shape != shape {
            let (found, want) = (&array.dtype, T::DTYPE);
            let why = format!("`{name}` is {found} {:?}; this run needs {want} {shape:?}", array.shape);
            return Err(fault(&self.file, why, hint));
        }
        Ok(array.bytes.chunks_exact(size_of::<T>()).map(bytemuck::pod_read_unaligned).collect())
    }
}

fn fault(file: &Path, why: String, hint: &str) -> Error {
    Error::Checkpoint { file: file.into(), why, hint: hint.into() }
}
