//! Which of several equal kernels an adapter runs fastest: a table by adapter and kernel, kept as RON.
//!
//! Only [`plan::Tuner`](crate::plan::Tuner) measures, and only when it is asked to; compiling looks up what it found. A kernel that
//! is not in the table is computed as its rule says, and an entry that does not name a candidate of its kernel is passed
//! over, so a stale table can make nothing wrong.

use super::device::Gpu;
use super::health::lock;
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

/// The entries that any software adapter uses where it has none of its own.
const SOFTWARE: &str = "software";

/// Where a device's table of tunings comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Tuning {
    /// The table that comes with the crate: measured on a software adapter, and used by those alone.
    #[default]
    Shipped,
    /// No table: every kernel as its rule says.
    Off,
    /// A table that [`Tunings::save`] wrote.
    File(PathBuf),
    /// The candidate of this number for every kernel that has so many: for tests, which must pass with any.
    Candidate(usize),
}

impl FromStr for Tuning {
    type Err = Error;
    /// Reads `off`, `candidate:N`, or a file's name; nothing is the shipped table.
    fn from_str(text: &str) -> Result<Self> {
        let text = text.trim();
        let number = text.strip_prefix("candidate:").map(str::parse);
        Ok(match (text, number) {
            ("", _) => Tuning::Shipped,
            ("off", _) => Tuning::Off,
            (_, Some(Ok(number))) => Tuning::Candidate(number),
            (_, Some(Err(_))) => {
                return Err(Error::Invalid {
                    what: "tuning",
                    got: format!("`{text}`"),
                    want: "candidate: and a number",
                });
            }
            _ => Tuning::File(text.into()),
        })
    }
}

/// What was found for one kernel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tuned {
    /// The candidate, by its name.
    pub choice: String,
    /// How much faster its plan ran than with the rule's own, as a ratio of times.
    pub speedup: f32,
}

/// Tunings by adapter and kernel.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tunings {
    adapters: BTreeMap<String, BTreeMap<String, Tuned>>,
    #[serde(skip)]
    forced: Option<usize>,
}

impl Tunings {
    /// The table for this choice.
    ///
    /// # Errors
    /// Those of [`load`](Self::load).
    pub fn open(choice: &Tuning) -> Result<Self> {
        match choice {
            Tuning::Shipped => Self::parse(Path::new("assets/tuning.ron"), include_str!("../../assets/tuning.ron")),
            Tuning::Off => Ok(Self::default()),
            Tuning::File(path) => Self::load(path),
            Tuning::Candidate(number) => Ok(Tunings { forced: Some(*number), ..Self::default() }),
        }
    }

    /// Reads a table.
    ///
    /// # Errors
    /// [`Error::Data`] if the file cannot be read; [`Error::Config`] with the line if it is no such table.
    pub fn load(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|error| Error::Data {
            file: path.into(),
            offset: 0,
            why: format!("{error}; `make tune` writes one"),
        })?;
        Self::parse(path, &text)
    }

    fn parse(path: &Path, text: &str) -> Result<Self> {
        ron::from_str(text).map_err(|error| Error::Config {
            file: path.into(),
            line: error.span.start.line,
            field: String::new(),
            why: format!("{}; remove the file and run `make tune` again", error.code),
        })
    }

    /// Writes the table: beside, then renamed, so that a reader never sees half of one.
    ///
    /// # Errors
    /// [`Error::Data`] if the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        let failed = |why: String| Error::Data { file: path.into(), offset: 0, why };
        let pretty = ron::ser::PrettyConfig::new().depth_limit(3);
        let text = ron::ser::to_string_pretty(self, pretty).map_err(|error| failed(error.to_string()))?;
        let beside = path.with_extension("part");
        let written = std::fs::write(&beside, text + "\n").and_then(|()| std::fs::rename(&beside, path));
        written.map_err(|error| failed(error.to_string()))
    }

    /// What was found for a kernel on this adapter, or on software adapters in general.
    pub fn get(&self, adapter: &wgpu::AdapterInfo, kernel: &str) -> Option<&Tuned> {
        let general = (adapter.device_type == wgpu::DeviceType::Cpu).then_some(SOFTWARE);
        let tables =
            [Some(adapter_key(adapter).as_str()), general].map(|key| key.and_then(|key| self.adapters.get(key)));
        tables.into_iter().flatten().find_map(|table| table.get(kernel))
    }

    /// Enters what was found.
    pub fn set(&mut self, adapter: &wgpu::AdapterInfo, kernel: &str, found: Tuned) {
        self.adapters.entry(adapter_key(adapter)).or_default().insert(kernel.into(), found);
    }

    /// How many kernels it knows, over all adapters.
    pub fn len(&self) -> usize {
        self.adapters.values().map(BTreeMap::len).sum()
    }

    /// Whether it knows none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Position of the candidate to take, among these.
    pub(crate) fn position(&self, adapter: &wgpu::AdapterInfo, kernel: &str, candidates: &[String]) -> usize {
        match self.forced {
            Some(number) => {
                if number < candidates.len() {
                    number
                } else {
                    0
                }
            }
            None => {
                let found = self.get(adapter, kernel).map(|tuned| &tuned.choice);
                found.and_then(|choice| candidates.iter().position(|name| name == choice)).unwrap_or(0)
            }
        }
    }
}

/// Adapter and driver: another version of the driver compiles other code.
fn adapter_key(info: &wgpu::AdapterInfo) -> String {
    format!("{}, {} {}", info.name, info.driver, info.driver_info)
}

impl Gpu {
    /// The table that plans of this device are compiled with.
    pub fn tunings(&self) -> Arc<Tunings> {
        lock(self.tuning_table()).clone()
    }

    /// Compile plans with this table from now on. Plans that exist stay as they are.
    pub fn set_tunings(&self, tunings: Tunings) {
        *lock(self.tuning_table()) = Arc::new(tunings);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn adapter(device_type: wgpu::DeviceType) -> wgpu::AdapterInfo {
        wgpu::AdapterInfo { name: "one".into(), ..wgpu::AdapterInfo::new(device_type, wgpu::Backend::Vulkan) }
    }

    fn tuned(choice: &str) -> Tuned {
        Tuned { choice: choice.into(), speedup: 1.5 }
    }

    #[test]
    fn a_table_survives_the_disk_and_a_broken_one_is_named_with_its_line() {
        let folder = std::env::temp_dir().join(format!("ergodic-tunings-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap_or_else(|error| panic!("{error}"));
        let path = folder.join("tuning.ron");
        let mut table = Tunings::default();
        table.set(&adapter(wgpu::DeviceType::Cpu), "matmul", tuned("shared"));
        table
            .save(&path)
            .and_then(|()| Tunings::load(&path))
            .map_or_else(|e| panic!("{e}"), |read| assert_eq!(read, table));
        std::fs::write(&path, "(adapters: {\n  nonsense\n").unwrap_or_else(|error| panic!("{error}"));
        let message = Tunings::load(&path).map(|_| ()).map_err(|error| error.to_string());
        assert!(
            message.as_ref().is_err_and(|text| text.contains("tuning.ron") && text.contains("make tune")),
            "{message:?}"
        );
        let gone = Tunings::load(&folder.join("none.ron")).map(|_| ()).map_err(|error| error.to_string());
        assert!(gone.as_ref().is_err_and(|text| text.contains("make tune")), "{gone:?}");
        std::fs::remove_dir_all(&folder).unwrap_or_else(|error| panic!("{error}"));
    }

    #[test]
    fn an_entry_that_is_no_candidate_is_passed_over_and_a_gpu_does_not_use_what_software_found() {
        let (software, gpu) = (adapter(wgpu::DeviceType::Cpu), adapter(wgpu::DeviceType::DiscreteGpu));
        let mut table = Tunings::default();
        table.adapters.entry(SOFTWARE.into()).or_default().insert("k".into(), tuned("b"));
        let names = ["a", "b", "c"].map(String::from);
        assert_eq!(table.position(&software, "k", &names), 1);
        assert_eq!(table.position(&gpu, "k", &names), 0);
        assert_eq!(table.position(&software, "k", &names[..1]), 0);
        table.set(&software, "k", tuned("c")); // its own entry comes first
        assert_eq!(table.position(&software, "k", &names), 2);
        assert_eq!(Tunings { forced: Some(2), ..table }.position(&gpu, "else", &names), 2);
    }

    #[test]
    fn the_environment_names_a_table() {
        assert_eq!("".parse::<Tuning>().ok(), Some(Tuning::Shipped));
        assert_eq!("off".parse::<Tuning>().ok(), Some(Tuning::Off));
        assert_eq!("candidate:2".parse::<Tuning>().ok(), Some(Tuning::Candidate(2)));
        assert_eq!("my.ron".parse::<Tuning>().ok(), Some(Tuning::File("my.ron".into())));
        assert!("candidate:x".parse::<Tuning>().is_err());
    }

    #[test]
    fn the_shipped_table_can_be_read_and_names_the_gpus_that_it_was_made_on() {
        let table = Tunings::open(&Tuning::Shipped).unwrap_or_else(|error| panic!("{error}"));
        assert!(table.adapters.keys().all(|key| key == SOFTWARE || key.starts_with("NVIDIA H200, ")));
    }
}
