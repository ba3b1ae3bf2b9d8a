//! Texts of kernels on the disk: to read, and to give to other compilers.

use super::hash::fnv1a;
use super::pipeline::{KernelSource, for_browsers};
use crate::error::{Error, Result};
use std::fs;
use std::path::{Path, PathBuf};

/// A folder of texts, each kernel once.
pub(super) struct Texts(PathBuf);

impl Texts {
    pub fn open(folder: &Path) -> Result<Self> {
        let io = |source| Error::Io { verb: "create", file: folder.into(), source };
        fs::create_dir_all(folder).map_err(io)?;
        Ok(Texts(folder.into()))
    }

    /// `NAME-HASH.wgsl` as browsers take it.
    pub fn keep(&self, source: &KernelSource) -> Result<()> {
        let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
        let name: String = source.name.chars().map(plain).take(60).collect();
        let file = self.0.join(format!("{name}-{:016x}.wgsl", fnv1a(source.wgsl.as_bytes())));
        if file.exists() {
            return Ok(());
        }
        fs::write(&file, for_browsers(&source.wgsl).as_bytes()).map_err(|source| Error::Io {
            verb: "write",
            file,
            source,
        })
    }
}
