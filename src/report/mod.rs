//! What a run takes and leaves: command line, presets, metrics, history, progress, plots, checkpoints.
//!
//! Every example takes the flags of [`Args`], reads a [`Preset`], and writes into the folder of its [`Run`]. Files that hold
//! results are written beside and renamed: a kill at any moment leaves whole files.
//!
//! Behind the feature `report`, on by default; a host that embeds the engine turns it off.

mod args;
mod checkpoint;
mod film;
mod history;
mod metrics;
mod plot;
mod preset;
mod progress;
mod run;
mod spans;
mod stop;
mod trained;

pub use args::Args;
pub use checkpoint::{Checkpoint, Element};
pub use film::Films;
pub use history::History;
pub use metrics::Metrics;
pub use plot::{Plot, Tiles, image_grid, write_figure};
pub use preset::{Preset, Refuse, checked_by, checked_in};
pub use progress::Progress;
pub use run::Run;
