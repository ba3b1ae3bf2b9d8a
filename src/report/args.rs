//! The command line that all examples share.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::{CommandFactory, FromArgMatches, Parser};
use serde::{Serialize, de::DeserializeOwned};

use crate::Result;
use crate::data::file;
use crate::gpu::{AdapterChoice, GpuOptions, Tier, folder_named};
use crate::report::Preset;

/// Flags of an example.
#[derive(Debug, Clone, Parser)]
#[command(disable_version_flag = true)]
pub struct Args {
    /// The preset to run [default: assets/presets/NAME/quick.ron]
    #[arg(long, value_name = "FILE.ron")]
    pub config: Option<PathBuf>,
    /// Where pictures, metrics and checkpoints go [default: out/NAME]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Seed of all random numbers; short for --set seed=N
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// The GPU: `best`, `software`, or a part of an adapter's name [default: ERGODIC_ADAPTER, else best]
    #[arg(long, value_name = "best|software|NAME")]
    pub adapter: Option<String>,
    /// How much of the adapter to use: `native`, all, or `portable`, what every device has [default: ERGODIC_TIER, else native]
    #[arg(long, value_name = "native|portable")]
    pub tier: Option<Tier>,
    /// Where the driver's compiled kernels are kept for the next run, or `off` [default: ERGODIC_CACHE, else `ergodic` in
    /// the user's cache folder]
    #[arg(long, value_name = "DIR|off")]
    pub cache: Option<String>,
    /// Go on from the checkpoint in DIR, if there is one
    #[arg(long)]
    pub resume: bool,
    /// The table to learn from, where the preset takes one; short for --set 'data.path="FILE"'
    #[arg(long, value_name = "FILE")]
    pub data: Option<PathBuf>,
    /// Replace a field of the preset, such as walkers=4096, optimiser.rate=1e-3 or kernel=mala
    #[arg(long, value_name = "FIELD=VALUE")]
    pub set: Vec<String>,
    #[arg(skip)]
    name: String,
    /// When the command line was read: a run's time counts from here.
    #[arg(skip = Instant::now())]
    pub(super) started: Instant,
}

impl Args {
    /// What an example's `main` does: runs it with the command line of this process, and says what went wrong.
    ///
    /// `name` and `about` as in [`from_env`](Self::from_env), which may end the process itself.
    pub fn main<T>(
        name: &'static str,
        about: &'static str,
        run: impl FnOnce(&Args) -> crate::error::Result<T>,
    ) -> ExitCode {
        match run(&Self::from_env(name, about)) {
            Ok(_) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{name}: {error}");
                ExitCode::FAILURE
            }
        }
    }

    /// The command line of this process. Ends the process for `--help` and for a flag that does not exist.
    ///
    /// `name` is the example's name, the folder of its presets; `about` is its line in `--help`.
    #[must_use]
    pub fn from_env(name: &'static str, about: &'static str) -> Self {
        Self::parse_from(name, about, std::env::args_os()).unwrap_or_else(|error| error.exit())
    }

    /// The same from any list of arguments, the program's name first.
    ///
    /// # Errors
    /// clap's, whose text is what a user should see.
    pub fn parse_from<I, S>(name: &'static str, about: &'static str, arguments: I) -> Result<Self, clap::Error>
    where
        I: IntoIterator<Item = S>,
        S: Into<std::ffi::OsString> + Clone,
    {
        let matches = Self::command().name(name).about(about).try_get_matches_from(arguments)?;
        Ok(Self { name: name.into(), ..Self::from_arg_matches(&matches)? })
    }

    /// The example's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The adapter, tier and cache that the flags ask for, else the environment ([`GpuOptions::from_env`]), else the user's cache
    /// folder: `ergodic` under `XDG_CACHE_HOME` or `~/.cache`, `~/Library/Caches` on macOS, `%LOCALAPPDATA%` on Windows.
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error::Invalid) for a tier in the environment that is none.
    pub fn gpu_options(&self) -> Result<GpuOptions> {
        let mut options = GpuOptions::from_env()?;
        if let Some(adapter) = &self.adapter {
            options.adapter = AdapterChoice::parse(adapter);
        }
        options.tier = self.tier.unwrap_or(options.tier);
        options.pipeline_cache = match &self.cache {
            Some(folder) => folder_named(folder),
            None if std::env::var_os("ERGODIC_CACHE").is_some() => options.pipeline_cache,
            None => user_cache(|name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)),
        };
        Ok(options)
    }

    /// The folder that the run writes to.
    pub fn out_dir(&self) -> PathBuf {
        self.out.clone().unwrap_or_else(|| PathBuf::from("out").join(&self.name))
    }

    /// The preset that the flags describe: the file, then each `--set`, then `--seed` and `--data`.
    ///
    /// # Errors
    /// Those of [`Preset::load`].
    pub fn preset<T: DeserializeOwned + Serialize>(&self) -> Result<Preset<T>> {
        let default = || file::find(format!("assets/presets/{}/quick.ron", self.name));
        let seed = self.seed.map(|seed| format!("seed={seed}"));
        let data = self.data.as_ref().map(|file| format!("data.path={:?}", file.display().to_string()));
        let overrides: Vec<String> = self.set.iter().cloned().chain(seed).chain(data).collect();
        Preset::load(self.config.clone().unwrap_or_else(default), &overrides)
    }
}

/// `ergodic` in the folder that this system has for what can be made again; `None` without a home.
fn user_cache(var: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    let folder = if cfg!(windows) {
        var("LOCALAPPDATA")
    } else if cfg!(target_os = "macos") {
        var("HOME").map(|home| home.join("Library/Caches"))
    } else {
        // Freedesktop asks that a relative path be ignored.
        var("XDG_CACHE_HOME").filter(|path| path.is_absolute()).or_else(|| var("HOME").map(|home| home.join(".cache")))
    };
    folder.map(|folder| folder.join("ergodic"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(all(unix, not(target_os = "macos")))]
    fn the_cache_lies_where_freedesktop_says() {
        let of = |pairs: &[(&str, &str)]| {
            user_cache(|name| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| PathBuf::from(value)))
        };
        assert_eq!(of(&[("HOME", "/home/ada")]), Some("/home/ada/.cache/ergodic".into()));
        assert_eq!(of(&[("HOME", "/home/ada"), ("XDG_CACHE_HOME", "/tmp/c")]), Some("/tmp/c/ergodic".into()));
        assert_eq!(of(&[("HOME", "/home/ada"), ("XDG_CACHE_HOME", "c")]), Some("/home/ada/.cache/ergodic".into()));
        assert_eq!(of(&[]), None);
    }

    #[test]
    fn a_flag_names_the_cache_or_turns_it_off() {
        let options =
            |cache: &str| Args::parse_from("demo", "", ["demo", "--cache", cache]).unwrap().gpu_options().unwrap();
        assert_eq!(options("off").pipeline_cache, None);
        assert_eq!(options("some/where").pipeline_cache, Some("some/where".into()));
    }
}
