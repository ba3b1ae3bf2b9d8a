//! What a run found: a flat, ordered list of names and numbers, `metrics.json`.

use std::path::Path;

use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::data::file;
use crate::{Error, Result};

/// Names and numbers in the order in which they were first set.
///
/// Names say their unit where there is one (`wall_s`, `walker_steps_per_s`), a part of the run by a dot (`pcd.mass_2`), and a
/// standard error by `_se`. JSON has no NaN and no infinity: they are written as `null`, and [`Metrics::not_finite`] lists them.
///
/// ```
/// let mut metrics = ergodic::report::Metrics::default();
/// metrics.set("log_z", -2.77).set("log_z_se", 0.003);
/// assert_eq!(metrics.get("log_z"), Some(-2.77));
/// assert_eq!(metrics.to_json(), "{\n  \"log_z\": -2.77,\n  \"log_z_se\": 0.003\n}\n");
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Metrics {
    entries: Vec<(String, f64)>,
}

impl Metrics {
    /// Sets a number; a name that is there keeps its place.
    pub fn set(&mut self, name: impl Into<String>, value: f64) -> &mut Self {
        let name = name.into();
        match self.entries.iter_mut().find(|(there, _)| *there == name) {
            Some(entry) => entry.1 = value,
            None => self.entries.push((name, value)),
        }
        self
    }

    /// The number of that name.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.iter().find(|(there, _)| *there == name).map(|(_, value)| value)
    }

    /// All names and numbers, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, f64)> {
        self.entries.iter().map(|(name, value)| (name.as_str(), *value))
    }

    /// Names whose numbers are NaN or infinite: `null` in the file.
    pub fn not_finite(&self) -> Vec<&str> {
        self.iter().filter(|(_, value)| !value.is_finite()).map(|(name, _)| name).collect()
    }

    /// The text of `metrics.json`, one number a line; numbers read back to the same bits.
    pub fn to_json(&self) -> String {
        // Strings and numbers always serialise; an empty object is what is left if a future serde disagrees.
        serde_json::to_string_pretty(self).unwrap_or_else(|_| "{}".into()) + "\n"
    }

    /// Writes the file beside `path` and renames it.
    ///
    /// # Errors
    /// [`Error::Io`] naming `path`; a file that was there before is still there, whole.
    pub fn write(&self, path: impl AsRef<Path>) -> Result<()> {
        file::write_atomic(path, self.to_json().as_bytes())
    }

    /// Reads a file; `null` comes back as NaN, in the file's alphabetical order.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be read, [`Error::Data`] when it is not a flat object of numbers.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let bytes = file::read(path)?;
        let parsed: Result<std::collections::BTreeMap<String, Option<f64>>, _> = serde_json::from_slice(&bytes);
        let map = parsed.map_err(|error| {
            let lines = bytes.split_inclusive(|byte| *byte == b'\n').take(error.line().saturating_sub(1));
            let offset = lines.map(<[u8]>::len).sum::<usize>() + error.column();
            Error::Data {
                file: path.into(),
                offset: offset as u64,
                why: format!("is not an object of numbers: {error}"),
            }
        })?;
        Ok(Self { entries: map.into_iter().map(|(name, value)| (name, value.unwrap_or(f64::NAN))).collect() })
    }
}

impl Serialize for Metrics {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.entries.len()))?;
        for (name, value) in &self.entries {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}
