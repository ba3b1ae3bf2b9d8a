//! Digits as points with noise, and pictures of points.

use ergodic::data::{Digits, MnistSubset, Pca, file};
use ergodic::random::RngKey;
use ergodic::report::Preset;
use ergodic::{Error, Result};

use super::config::{Config, Coordinates};

/// The data in the coordinates of the walkers.
pub struct Target {
    /// The images themselves.
    pub images: Digits,
    /// `[n, d]`: their coordinates, without noise.
    pub clean: Vec<f32>,
    /// `[n, d]`: with noise, what the energy learns.
    pub noisy: Vec<f32>,
    /// `[m, d]`: images of the test set in equal proportions, with noise; one sample more of the same density.
    pub fresh: Vec<f32>,
    /// `[m, d]`: all images of these digits in the test set, with noise, and which digit (as an index) each shows.
    pub held_out: Vec<f32>,
    /// Indices into `digits`.
    pub held_out_labels: Vec<usize>,
    /// Which digits.
    pub digits: Vec<u8>,
    /// Part of each in the data.
    pub masses: Vec<f64>,
    chart: Chart,
}

/// From pixels to coordinates and back.
enum Chart {
    Components(Pca),
    Pixels { mean: Vec<f32> },
}

impl Target {
    /// Reads the files and adds the noise.
    pub fn load(preset: &Preset<Config>) -> Result<Self> {
        let folder = file::find(&preset.folder);
        let subset = MnistSubset::new(&preset.digits).pool(preset.pool);
        let images = mixed(subset.train(&folder)?, RngKey::new(preset.seed).fold_in(104));
        let (fresh, held_out) = (subset.held_out(&folder)?, subset.all_held_out(&folder)?);
        let chart = Chart::fit(preset, &images)?;
        let digits: Vec<u8> = preset.digits.iter().map(|d| d.0).collect();
        let key = RngKey::new(preset.seed);
        let noisy = |x: &[f32], purpose| with_noise(x, chart.d(), preset.noise, key.fold_in(purpose));
        let clean = chart.encode(&images.x);
        Ok(Self {
            noisy: noisy(&clean, 101),
            fresh: noisy(&chart.encode(&fresh.x), 102),
            held_out: noisy(&chart.encode(&held_out.x), 103),
            held_out_labels: indices(&digits, &held_out.labels),
            masses: digits.iter().map(|&digit| images.count(digit) as f64 / images.n() as f64).collect(),
            images,
            clean,
            digits,
            chart,
        })
    }

    /// Number of coordinates.
    pub fn d(&self) -> usize {
        self.chart.d()
    }

    /// Which digit, as an index, each image shows.
    pub fn labels(&self) -> Vec<usize> {
        indices(&self.digits, &self.images.labels)
    }

    /// Pixels `[n, side, side]` of points `[n, d]`.
    pub fn decode(&self, x: &[f32]) -> Vec<f32> {
        match &self.chart {
            Chart::Components(pca) => pca.decode(x),
            Chart::Pixels { mean } => x.iter().zip(mean.iter().cycle()).map(|(x, m)| x + m).collect(),
        }
    }

    /// The part of the images' variance that the coordinates hold.
    pub fn explained(&self) -> f64 {
        match &self.chart {
            Chart::Components(pca) => pca.explained(),
            Chart::Pixels { .. } => 1.0,
        }
    }

    /// One line about the data.
    pub fn describe(&self) -> String {
        let counts: Vec<_> = self.digits.iter().map(|&d| format!("{} of {d}", self.images.count(d))).collect();
        let part = 100.0 * self.explained();
        format!("digits {}; {} coordinates with {part:.0} % of the variance", counts.join(", "), self.d())
    }
}

impl Chart {
    fn fit(preset: &Preset<Config>, images: &Digits) -> Result<Self> {
        let p = images.n_pixels();
        match preset.coordinates {
            Coordinates::Components(k) => match Pca::fit(&images.x, p, k) {
                Err(Error::Invalid { got, want, .. }) => {
                    preset.check("coordinates", false, format!("is {got}, but must be {want}, here {p}"))?;
                    Err(Error::Invalid { what: "coordinates", got, want })
                }
                fitted => fitted.map(Chart::Components),
            },
            Coordinates::Pixels => {
                let mut mean = vec![0.0f64; p];
                for image in images.x.chunks_exact(p) {
                    mean.iter_mut().zip(image).for_each(|(m, x)| *m += f64::from(*x) / images.n() as f64);
                }
                Ok(Chart::Pixels { mean: mean.into_iter().map(|m| m as f32).collect() })
            }
        }
    }

    fn d(&self) -> usize {
        match self {
            Chart::Components(pca) => pca.k(),
            Chart::Pixels { mean } => mean.len(),
        }
    }

    fn encode(&self, pixels: &[f32]) -> Vec<f32> {
        match self {
            Chart::Components(pca) => pca.encode(pixels),
            Chart::Pixels { mean } => pixels.iter().zip(mean.iter().cycle()).map(|(x, m)| x - m).collect(),
        }
    }
}

/// The images in random order: by quota the rarer digits run out first, so walkers that start on the first rows of the files
/// would start with equal masses.
fn mixed(images: Digits, key: RngKey) -> Digits {
    let mut order: Vec<usize> = (0..images.n()).collect();
    order.sort_by_key(|&i| key.bits(i as u32, 0, 0));
    let p = images.n_pixels();
    let x = order.iter().flat_map(|&i| images.x[i * p..(i + 1) * p].iter().copied()).collect();
    Digits { x, labels: order.iter().map(|&i| images.labels[i]).collect(), side: images.side }
}

fn with_noise(x: &[f32], d: usize, width: f64, key: RngKey) -> Vec<f32> {
    let mut noise = vec![0.0; x.len()];
    key.fill_normal(0, d, &mut noise);
    x.iter().zip(noise).map(|(x, xi)| x + width as f32 * xi).collect()
}

fn indices(digits: &[u8], labels: &[u8]) -> Vec<usize> {
    labels.iter().filter_map(|label| digits.iter().position(|digit| digit == label)).collect()
}
