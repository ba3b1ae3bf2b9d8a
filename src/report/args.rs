//! The command line that all examples share.

use std::path::PathBuf;

use clap::{CommandFactory, FromArgMatches, Parser};
use serde::{Serialize, de::DeserializeOwned};

use crate::Result;
use crate::data::file;
use crate::gpu::{AdapterChoice, GpuOptions, Tier};
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
    /// Go on from the checkpoint in DIR, if there is one
    #[arg(long)]
    pub resume: bool,
    /// Replace a field of the preset, such as walkers=4096, optimiser.rate=1e-3 or kernel=mala
    #[arg(long, value_name = "FIELD=VALUE")]
    pub set: Vec<String>,
    #[arg(skip)]
    name: String,
}

impl Args {
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

    /// The adapter and tier that the flags ask for, else the environment ([`GpuOptions::from_env`]).
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error::Invalid) for a tier in the environment that is none.
    pub fn gpu_options(&self) -> Result<GpuOptions> {
        let mut options = GpuOptions::from_env()?;
        if let Some(adapter) = &self.adapter {
            options.adapter = AdapterChoice::parse(adapter);
        }
        options.tier = self.tier.unwrap_or(options.tier);
        Ok(options)
    }

    /// The folder that the run writes to.
    pub fn out_dir(&self) -> PathBuf {
        self.out.clone().unwrap_or_else(|| PathBuf::from("out").join(&self.name))
    }

    /// The preset that the flags describe: the file, then each `--set`, then `--seed`.
    ///
    /// # Errors
    /// Those of [`Preset::load`].
    pub fn preset<T: DeserializeOwned + Serialize>(&self) -> Result<Preset<T>> {
        let default = || file::find(format!("assets/presets/{}/quick.ron", self.name));
        let seed = self.seed.map(|seed| format!("seed={seed}"));
        let overrides: Vec<String> = self.set.iter().cloned().chain(seed).collect();
        Preset::load(self.config.clone().unwrap_or_else(default), &overrides)
    }
}
