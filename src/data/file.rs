//! Finding files of the repository, and writing files so that a crash never leaves half of one.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use flate2::bufread::GzDecoder;

use crate::{Error, Result};

/// Unpacked sizes above this are refused: a damaged or hostile file must not take all memory.
pub(super) const MAX_UNPACKED_BYTES: u64 = 1 << 31;

/// The whole file, or [`Error::Io`] with its path.
pub fn read(path: impl AsRef<Path>) -> Result<Vec<u8>> {
    let path = path.as_ref();
    fs::read(path).map_err(|source| Error::Io { verb: "read", file: path.into(), source })
}

/// The file's bytes, unpacked if they start with gzip's magic number, whatever the file is called.
///
/// # Errors
/// [`Error::Io`] when the file cannot be read; [`Error::Data`] for a gzip stream that is damaged, cut short, followed by other
/// bytes, or larger than 2 GiB unpacked.
pub fn read_unpacked(path: impl AsRef<Path>) -> Result<Vec<u8>> {
    let path = path.as_ref();
    let packed = read(path)?;
    if !packed.starts_with(&[0x1f, 0x8b]) {
        return Ok(packed);
    }
    let mut decoder = GzDecoder::new(packed.as_slice());
    let mut bytes = Vec::new();
    let outcome = (&mut decoder).take(MAX_UNPACKED_BYTES + 17).read_to_end(&mut bytes);
    let left = decoder.get_ref().len();
    let wrong = |why| Error::Data { file: path.into(), offset: (packed.len() - left) as u64, why };
    match outcome {
        Err(error) => Err(wrong(format!("the gzip stream is damaged or cut short: {error}"))),
        Ok(_) if bytes.len() as u64 > MAX_UNPACKED_BYTES + 16 => {
            Err(wrong(format!("unpacks to more than the {MAX_UNPACKED_BYTES} bytes that are read")))
        }
        Ok(_) if left > 0 => Err(wrong(format!("{left} bytes follow the gzip stream"))),
        Ok(_) => Ok(bytes),
    }
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
