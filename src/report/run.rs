//! One run of an example: its folder, what it leaves there, and how it goes on after a kill.

use std::cell::{Cell, OnceCell};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Serialize, de::DeserializeOwned};

use crate::data::file;
use crate::gpu::fnv1a;
use crate::report::{Args, Checkpoint, History, Metrics, Preset, stop};
use crate::{Error, Result};

/// Between two checkpoints.
const SPARE: Duration = Duration::from_secs(5);

/// A run in its folder.
///
/// | file | what |
/// |---|---|
/// | `config.ron` | the preset with every override and default, ready for `--config` |
/// | `history.csv` | one line a diagnostic |
/// | `checkpoint.safetensors` | the state to go on from |
/// | `metrics.json` | names and numbers, written by [`Run::finish`] |
///
/// A run that starts afresh in a folder with a checkpoint keeps that one as `checkpoint.previous.safetensors`.
#[derive(Debug)]
pub struct Run {
    /// What the run found.
    pub metrics: Metrics,
    folder: PathBuf,
    config_hash: String,
    resumed: Option<Checkpoint>,
    started: Instant,
    stepped: OnceCell<f64>,
    saved: Cell<Instant>,
}

impl Run {
    /// Creates the folder, writes `config.ron`, and with `--resume` reads the checkpoint, if there is one.
    ///
    /// # Errors
    /// [`Error::Io`] naming the folder or file that cannot be written or read; [`Error::Checkpoint`] for a checkpoint of another
    /// configuration, before anything in the folder is changed.
    pub fn start<T: DeserializeOwned + Serialize>(args: &Args, preset: &Preset<T>) -> Result<Self> {
        let config = preset.resolved()?;
        let run = Self {
            metrics: Metrics::default(),
            folder: args.out_dir(),
            config_hash: format!("{:016x}", fnv1a(config.as_bytes())),
            resumed: None,
            started: args.started,
            stepped: OnceCell::new(),
            saved: Cell::new(Instant::now()),
        };
        file::create_dir(&run.folder)?;
        let path = run.checkpoint_path();
        let mut resumed = None;
        if path.exists() && args.resume {
            let checkpoint = Checkpoint::read(&path)?;
            checkpoint.expect("config", &run.config_hash)?;
            resumed = Some(checkpoint);
        } else if path.exists() {
            let previous = run.path("checkpoint.previous.safetensors");
            fs::rename(&path, &previous).map_err(|source| Error::Io { verb: "write", file: previous, source })?;
        }
        file::write_atomic(run.path("config.ron"), config.as_bytes())?;
        stop::listen();
        Ok(Self { resumed, ..run })
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A file in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// `checkpoint.safetensors` in the folder.
    pub fn checkpoint_path(&self) -> PathBuf {
        self.path("checkpoint.safetensors")
    }

    /// Hash of the resolved configuration: 16 hexadecimal digits, the same on every machine.
    pub fn config_hash(&self) -> &str {
        &self.config_hash
    }

    /// The checkpoint to go on from; `None` starts from the beginning.
    pub fn resumed(&self) -> Option<&Checkpoint> {
        self.resumed.as_ref()
    }

    /// An empty checkpoint that belongs to this run's configuration.
    #[must_use]
    pub fn checkpoint(&self, step: u64) -> Checkpoint {
        Checkpoint::new(step).text("config", self.config_hash.as_str())
    }

    /// Whether it is time for a checkpoint: five seconds after the start or the last one, and at an interrupt. A run that is killed
    /// loses no more.
    pub fn checkpoint_due(&self) -> bool {
        self.interrupted() || self.saved.get().elapsed() > SPARE
    }

    /// Writes the checkpoint.
    ///
    /// # Errors
    /// Those of [`Checkpoint::write`].
    pub fn save(&self, checkpoint: &Checkpoint) -> Result<()> {
        checkpoint.write(self.checkpoint_path())?;
        self.saved.set(Instant::now());
        Ok(())
    }

    /// `history.csv`, cut back to the checkpoint that the run goes on from.
    ///
    /// # Errors
    /// Those of [`History::create`] and [`History::resume`].
    pub fn history(&self, columns: &[&str]) -> Result<History> {
        let path = self.path("history.csv");
        match &self.resumed {
            Some(checkpoint) => History::resume(path, columns, checkpoint.step()),
            None => History::create(path, columns),
        }
    }

    /// Says that a step is done, its results on the host. The first call is the end of the start: `start_s` in `metrics.json`.
    pub fn stepped(&self) {
        self.stepped.get_or_init(|| self.started.elapsed().as_secs_f64());
    }

    /// Whether Ctrl-C was pressed (or the process was asked to end): write a checkpoint and call [`Run::stop`].
    ///
    /// A second Ctrl-C ends the process at once; every file is still whole then.
    pub fn interrupted(&self) -> bool {
        stop::requested()
    }

    /// Says where an interrupted run stopped and how to go on; `metrics.json` is left to the run that ends.
    pub fn stop(self, step: u64) {
        let _ = writeln!(
            std::io::stdout(),
            "stopped after step {step}; add --resume to go on from {}",
            self.folder.display()
        );
    }

    /// Writes `metrics.json` and prints what was found and where the files are.
    ///
    /// It adds seconds since the command line was read: `start_s` up to the first [`Run::stepped`], `wall_s` in all.
    ///
    /// # Errors
    /// [`Error::Io`] naming the file.
    pub fn finish(mut self, found: &str) -> Result<Metrics> {
        if let Some(seconds) = self.stepped.get() {
            self.metrics.set("start_s", *seconds);
        }
        self.metrics.set("wall_s", self.started.elapsed().as_secs_f64());
        self.metrics.write(self.path("metrics.json"))?;
        // A closed pipe is no reason to fail: everything is on the disk.
        let _ = writeln!(std::io::stdout(), "{}", self.last_lines(found)?);
        Ok(self.metrics)
    }

    fn last_lines(&self, found: &str) -> Result<String> {
        let entries = fs::read_dir(&self.folder);
        let entries = entries.map_err(|source| Error::Io { verb: "read", file: self.folder.clone(), source })?;
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut names: Vec<String> = names.filter(|name| !name.starts_with('.')).collect();
        names.sort();
        let missing = self.metrics.not_finite();
        let missing = if missing.is_empty() { String::new() } else { format!("not finite: {}\n", missing.join(", ")) };
        Ok(format!("{missing}{} holds {}\n{found}", self.folder.display(), names.join(", ")))
    }
}
