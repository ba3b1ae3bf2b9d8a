//! Compiled pipelines on the disk, where a driver hands them out: Vulkan with `Features::PIPELINE_CACHE`.
//!
//! Most desktop drivers keep such a cache themselves, and some (lavapipe) put nothing into ours. A cache must never fail a
//! run: what cannot be read is ignored, what cannot be written is not written, and a line in the log says so.
//!
//! The file is one line of text and the driver's bytes:
//!
//! ```text
//! ergodic-pipelines 1 KEY SUM BYTES
//! ```
//!
//! `KEY` is a hash of adapter, driver and its version, `SUM` one of the bytes. Both are compared before a byte reaches the
//! driver: a truncated file, one of another driver, and one that something else wrote are passed over.

use super::hash::fnv1a;
use super::health::lock;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::{fs, io};

const MAGIC: &str = "ergodic-pipelines 1";

/// A driver's bytes grow with every kernel ever compiled and cannot be pruned; a larger file is begun anew.
const LARGEST: u64 = 256 << 20;

/// A driver's cache and the file that it comes from and goes to.
pub(super) struct DiskCache {
    raw: wgpu::PipelineCache,
    file: PathBuf,
    key: u64,
    /// Sum of the bytes on the disk, so that what has not changed is not written again.
    on_disk: Mutex<Option<u64>>,
}

impl DiskCache {
    /// `None` where the device has no such cache, or hands out nothing.
    pub fn open(device: &wgpu::Device, info: &wgpu::AdapterInfo, folder: &Path) -> Option<Self> {
        if !device.features().contains(wgpu::Features::PIPELINE_CACHE) {
            return None;
        }
        let file = folder.join(wgpu::util::pipeline_cache_key(info)?);
        let key = key(info);
        let data = match read(&file, key) {
            Ok(data) => Some(data),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                log::warn!("ignored the pipeline cache {}: {error}", file.display());
                None
            }
        };
        let on_disk = Mutex::new(data.as_deref().map(fnv1a));
        Some(DiskCache { raw: create(device, data.as_deref()), file, key, on_disk })
    }

    /// For descriptors of pipelines.
    pub fn raw(&self) -> &wgpu::PipelineCache {
        &self.raw
    }

    /// Writes what the driver has, if that is not what is there already.
    pub fn save(&self) {
        let Some(data) = self.raw.get_data() else { return };
        let mut on_disk = lock(&self.on_disk);
        if *on_disk == Some(fnv1a(&data)) {
            return;
        }
        // Also after a failure: it is said once, not after every plan.
        *on_disk = Some(fnv1a(&data));
        if let Err(error) = write(&self.file, self.key, &data) {
            log::warn!("the pipeline cache {} was not written: {error}", self.file.display());
        }
    }
}

/// The only unsafe call of the crate. wgpu asks that the data come from `PipelineCache::get_data`: [`read`] gives only what
/// [`write()`] wrote for this adapter, driver and version, byte for byte. Against a file that someone forges on purpose there is
/// no defence here, as there is none for the program itself: it lies in a folder of the user's own. With `fallback` data
/// that the driver does not want count as none.
#[allow(unsafe_code)]
fn create(device: &wgpu::Device, data: Option<&[u8]>) -> wgpu::PipelineCache {
    let wanted = wgpu::PipelineCacheDescriptor { label: Some("ergodic/pipelines"), data, fallback: true };
    // SAFETY: `data` is what `get_data` returned, as far as a sum and a key can tell; see above.
    unsafe { device.create_pipeline_cache(&wanted) }
}

/// Everything that a driver's bytes may depend on and that wgpu tells.
fn key(info: &wgpu::AdapterInfo) -> u64 {
    let wgpu::AdapterInfo { name, vendor, device, driver, driver_info, backend, .. } = info;
    fnv1a(format!("{name}|{vendor}|{device}|{driver}|{driver_info}|{backend:?}|{}", usize::BITS).as_bytes())
}

fn header(key: u64, data: &[u8]) -> String {
    format!("{MAGIC} {key:016x} {:016x} {}\n", fnv1a(data), data.len())
}

/// The bytes of the driver in a file that [`write()`] wrote with this key.
fn read(file: &Path, key: u64) -> io::Result<Vec<u8>> {
    let odd = |why: &str| io::Error::new(io::ErrorKind::InvalidData, why);
    if fs::metadata(file)?.len() > LARGEST {
        return Err(odd("it has grown too large, and is begun anew"));
    }
    let mut bytes = fs::read(file)?;
    let end = bytes.iter().position(|byte| *byte == b'\n').ok_or_else(|| odd("it has no header"))?;
    let data = bytes.split_off(end + 1);
    if bytes == header(key, &data).as_bytes() {
        return Ok(data);
    }
    let another = bytes.starts_with(MAGIC.as_bytes()) && !bytes.starts_with(format!("{MAGIC} {key:016x}").as_bytes());
    Err(odd(if another { "it is of another driver or version" } else { "it is damaged" }))
}

/// Writes beside the file and renames: a reader finds the old file or the new one, whole. Nothing is flushed to the disk,
/// because a file that a crash leaves short is found out by its sum.
fn write(file: &Path, key: u64, data: &[u8]) -> io::Result<()> {
    static WRITES: AtomicU64 = AtomicU64::new(0);
    let folder = file.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let unique = format!(".partial-{}-{}", std::process::id(), WRITES.fetch_add(1, Ordering::Relaxed));
    let beside = folder.join(unique);
    let written =
        fs::write(&beside, [header(key, data).as_bytes(), data].concat()).and_then(|()| fs::rename(&beside, file));
    if written.is_err() {
        // It may never have been created; the first error is the one that matters.
        let _ = fs::remove_file(&beside);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("ergodic-disk-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        folder.join("cache")
    }

    fn data() -> Vec<u8> {
        (0..5000u32).map(|i| (i * i % 251) as u8).collect()
    }

    #[test]
    fn what_is_written_is_read_back_and_nothing_is_left_beside_it() {
        let file = file("round-trip");
        for data in [data(), vec![], vec![b'\n'; 3]] {
            write(&file, 7, &data).unwrap();
            assert_eq!(read(&file, 7).unwrap(), data);
        }
        assert_eq!(fs::read_dir(file.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_that_lost_or_changed_a_byte_gives_nothing() {
        let file = file("damage");
        write(&file, 7, &data()).unwrap();
        let whole = fs::read(&file).unwrap();
        for end in [0, 1, MAGIC.len(), 40, whole.len() / 2, whole.len() - 1] {
            fs::write(&file, &whole[..end]).unwrap();
            assert_eq!(read(&file, 7).unwrap_err().kind(), io::ErrorKind::InvalidData, "cut at {end}");
        }
        for at in (0..whole.len()).step_by(97).chain([whole.len() - 1]) {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            fs::write(&file, &changed).unwrap();
            assert_eq!(read(&file, 7).unwrap_err().kind(), io::ErrorKind::InvalidData, "byte {at}");
        }
        fs::write(&file, [&whole[..], b"x"].concat()).unwrap();
        assert!(read(&file, 7).is_err(), "longer than it says");
        fs::write(&file, &whole).unwrap();
        assert_eq!(read(&file, 7).unwrap(), data(), "the control: the whole file is good");
    }

    #[test]
    fn another_driver_gets_nothing() {
        let file = file("driver");
        write(&file, 7, &data()).unwrap();
        assert!(read(&file, 8).unwrap_err().to_string().contains("another driver"));
        let info = |driver: &str| wgpu::AdapterInfo {
            driver_info: driver.into(),
            ..wgpu::AdapterInfo::new(wgpu::DeviceType::Cpu, wgpu::Backend::Vulkan)
        };
        assert_eq!(key(&info("22.3.6")), key(&info("22.3.6")));
        assert_ne!(key(&info("22.3.6")), key(&info("22.3.7")));
    }

    #[test]
    fn a_folder_that_takes_no_file_is_an_error_and_no_more() {
        let file = file("unwritable");
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, b"a file where the folder should be").unwrap();
        assert!(write(&file.join("cache"), 7, &data()).is_err());
        assert!(read(&file.join("cache"), 7).is_err());
    }
}
