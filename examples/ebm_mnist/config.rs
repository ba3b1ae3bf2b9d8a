//! The preset: the whole problem in one file.

use std::path::PathBuf;

use ergodic::Result;
use ergodic::methods::ebm::{Method, TrainConfig};
use ergodic::nn::Activation;
use ergodic::report::{Preset, checked_in};
use serde::{Deserialize, Serialize};

/// What `assets/presets/ebm_mnist/*.ron` holds.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Of all random numbers.
    pub seed: u64,
    /// Where the four MNIST files are.
    #[serde(default = "folder")]
    pub folder: PathBuf,
    /// Each digit and how many images of it: the true masses of the modes.
    pub digits: Vec<(u8, usize)>,
    /// Squares of so many pixels a side are averaged; 1 keeps 28 x 28.
    pub pool: usize,
    /// What a walker is made of.
    pub coordinates: Coordinates,
    /// Standard deviation of the Gaussian noise on every component or pixel of every image: the model learns the density of
    /// noisy images.
    pub noise: f64,
    /// Widths of the energy's hidden layers.
    pub hidden: Vec<usize>,
    /// Between them.
    pub activation: Activation,
    /// Standard deviation of the Gaussian that the network is added to: it makes Z finite, and walkers start in it.
    pub bowl: f64,
    /// The weighted run.
    pub train: TrainConfig,
    /// The run beside it, the same but for this.
    pub baseline: Method,
    /// The network that tells digits apart.
    pub classifier: ClassifierConfig,
    /// Iterations from one line of the history to the next.
    pub report_every: u64,
    /// Seconds from one checkpoint to the next.
    pub checkpoint_s: f64,
}

/// What a walker is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Coordinates {
    /// So many leading principal components, all divided by the widest's standard deviation.
    Components(usize),
    /// Pixels, each less its mean and over its standard deviation, noise included: a Gaussian of width 1 has all their widths.
    Pixels,
}

/// The network that tells digits apart.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassifierConfig {
    /// Widths of its hidden layers.
    pub hidden: Vec<usize>,
    /// Training steps.
    pub steps: u64,
    /// Images a step.
    pub batch: usize,
    /// Of Adam at the first step; it falls to 0 linearly.
    pub learning_rate: f64,
}

fn folder() -> PathBuf {
    "assets/data/mnist".into()
}

/// What the types cannot say.
pub fn check(preset: &Preset<Config>) -> Result<()> {
    let positive = |x: f64| x > 0.0 && x.is_finite();
    let n = preset.digits.iter().fold(0, |n: usize, d| n.saturating_add(d.1));
    preset.check("digits", preset.digits.len() > 1 && n > 1, "is fewer than two digits; weigh at least two")?;
    preset.check("digits", preset.digits.iter().all(|d| d.0 < 10 && d.1 > 0), "must be (digit, images), both there")?;
    preset.check("noise", positive(preset.noise), format!("is {}, but must be positive", preset.noise))?;
    preset.check("bowl", positive(preset.bowl), format!("is {}, but must be positive", preset.bowl))?;
    preset.check("hidden", !preset.hidden.contains(&0), "has a layer of width 0")?;
    preset.check("report_every", preset.report_every > 0, "is 0, but must be at least 1")?;
    preset.check("checkpoint_s", preset.checkpoint_s >= 0.0, "is negative")?;
    let steps = preset.classifier.steps > 0 && preset.classifier.batch > 0;
    preset.check("classifier", steps, "must have at least 1 step and 1 image a step")?;
    let weighted = matches!(preset.train.method, Method::Weighted);
    preset.check("train.method", weighted, "must be `weighted`; the other method goes into `baseline`")?;
    preset.check("baseline", !preset.baseline.is_weighted(), "must be `pcd(..)` or `cd(..)`")?;
    let warm = preset.train.temperature;
    preset.check("train.temperature", warm == 1.0, format!("is {warm}, but must be 1: walkers start at 1"))?;
    if let Coordinates::Components(k) = preset.coordinates {
        preset.check("coordinates", k > 0, "is 0 components, but must be at least 1")?;
    }
    checked_in(&|field, ok, why| preset.check(field, ok, why), "train", preset.train.check())
}
