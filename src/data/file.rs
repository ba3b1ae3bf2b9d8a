//! Finding files of the repository, and writing files so that a crash never leaves half of one.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// The whole file, or [`Error::Io`] with its path.
pub fn read(path: impl AsRef<Path>) -> Result<Vec<u8>> {
    let path = path.as_ref();
    fs::read(path).map_err(|source| Error::Io { verb: "read", file: path.into(), source })
}

/// `relative` under the current folder, else under the folder of this crate's sources.
///
/// An absolute path, or one that exists in neither place, comes back unchanged: opening it then names it in the error.
///
/// ```
/// let labels = ergodic::data::file::find("assets/data/mnist/t10k-labels-idx1-ubyte.gz");
/// assert!(labels.exists());
/// assert_eq!(ergodic::data::file::find("no/such/file"), std::path::Path::new("no/such/file"));
/// ```
pub fn find(relative: impl AsRef<Path>) -> PathBuf {
    let relative = relative.as_ref();
    let beside_the_sources = Path::new(env!("CARGO_MANIFEST_DIR")).join(relative);
    if !relative.exists() && beside_the_sources.exists() { beside_the_sources } else { relative.into() }
}

/// Creates a folder and its parents.
///
/// # Errors
/// [`Error::Io`] naming the folder.
pub fn create_dir(path: impl AsRef<Path>) -> Result<()> {
    let path = path.as_ref();
    fs::create_dir_all(path).map_err(|source| Error::Io { verb: "create", file: path.into(), source })
}

/// Writes `bytes` to `path`: beside it first, flushed to the disk, then renamed over it.
///
/// A crash, a full disk or a missing right leaves the file that was there before, whole.
///
/// # Errors
/// [`Error::Io`] naming `path`; nothing is left beside it.
pub fn write_atomic(path: impl AsRef<Path>, bytes: &[u8]) -> Result<()> {
    let path = path.as_ref();
    replace(path, |temporary| File::create(temporary)?.write_all(bytes))
}

/// Lets `write` fill a file beside `path` and renames it over `path` once it is on the disk.
///
/// The file beside keeps the extension of `path`, for writers that choose their format by it.
///
/// # Errors
/// [`Error::Io`] naming `path`; nothing is left beside it.
pub fn replace(path: &Path, write: impl FnOnce(&Path) -> std::io::Result<()>) -> Result<()> {
    let temporary = beside(path);
    let written = write(&temporary)
        .and_then(|()| OpenOptions::new().write(true).open(&temporary)?.sync_all())
        .and_then(|()| fs::rename(&temporary, path))
        .map_err(|source| Error::Io { verb: "write", file: path.into(), source });
    if written.is_err() {
        // It may never have been created; the first error is the one that matters.
        let _ = fs::remove_file(&temporary);
    } else if let Some(folder) = path.parent().and_then(|folder| File::open(folder).ok()) {
        // The rename itself must reach the disk; not every platform can flush a folder.
        let _ = folder.sync_all();
    }
    written
}

/// `folder/.partial-PID-name.ext`: the same folder, because a rename across file systems is a copy.
fn beside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".partial-{}-{name}", std::process::id()))
}
