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
    /// `[d]`: standard deviation of the noise.
    pub noise: Vec<f32>,
    /// Which digits.
    pub digits: Vec<u8>,
    /// Part of each in the data.
    pub masses: Vec<f64>,
    chart: Chart,
}

/// From pixels to coordinates and back.
enum Chart {
    Components(Pca),
    /// Pixels less their means, over their standard deviations with noise.
    Pixels {
        mean: Vec<f32>,
        scale: Vec<f32>,
    },
}

impl Target {
    /// Reads the files and adds the noise.
    pub fn load(preset: &Preset<Config>) -> Result<Self> {
        let folder = file::find(&preset.folder);
        let subset = MnistSubset::new(&preset.digits).pool(preset.pool);
        // In the order of the files the rarer digits run out first: walkers that start on the first rows would start with
        // other masses than the data's.
        let (images, chart, fresh, held_out) = std::thread::scope(|scope| {
            let unseen = scope.spawn(|| Ok::<_, Error>((subset.held_out(&folder)?, subset.all_held_out(&folder)?)));
            let images = subset.train(&folder)?.shuffled(RngKey::new(preset.seed).fold_in(104));
            let chart = Chart::fit(preset, &images)?;
            let (fresh, held_out) = unseen.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            Ok::<_, Error>((images, chart, fresh, held_out))
        })?;
        let digits: Vec<u8> = preset.digits.iter().map(|d| d.0).collect();
        let key = RngKey::new(preset.seed);
        let noise = chart.noise(preset.noise);
        let noisy = |x: &[f32], purpose| with_noise(x, &noise, key.fold_in(purpose));
        let clean = chart.encode(&images.x);
        Ok(Self {
            noisy: noisy(&clean, 101),
            fresh: noisy(&chart.encode(&fresh.x), 102),
            held_out: noisy(&chart.encode(&held_out.x), 103),
            held_out_labels: indices(&digits, &held_out.labels),
            masses: digits.iter().map(|&digit| images.count(digit) as f64 / images.n() as f64).collect(),
            images,
            clean,
            noise,
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
            Chart::Pixels { mean, scale } => {
                let chart = mean.iter().zip(scale).cycle();
                x.iter().zip(chart).map(|(x, (m, s))| x * s + m).collect()
            }
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
                let (mut mean, mut square) = (vec![0.0f64; p], vec![0.0f64; p]);
                for image in images.x.chunks_exact(p) {
                    for ((m, q), &x) in mean.iter_mut().zip(&mut square).zip(image) {
                        *m += f64::from(x) / images.n() as f64;
                        *q += f64::from(x).powi(2) / images.n() as f64;
                    }
                }
                let width = |(m, q): (&f64, &f64)| ((q - m * m).max(0.0) + preset.noise.powi(2)).sqrt() as f32;
                let scale = mean.iter().zip(&square).map(width).collect();
                Ok(Chart::Pixels { mean: mean.into_iter().map(|m| m as f32).collect(), scale })
            }
        }
    }

    fn d(&self) -> usize {
        match self {
            Chart::Components(pca) => pca.k(),
            Chart::Pixels { mean, .. } => mean.len(),
        }
    }

    /// Standard deviation of the noise on each coordinate.
    fn noise(&self, width: f64) -> Vec<f32> {
        match self {
            Chart::Components(pca) => vec![width as f32; pca.k()],
            Chart::Pixels { scale, .. } => scale.iter().map(|s| width as f32 / s).collect(),
        }
    }

    fn encode(&self, pixels: &[f32]) -> Vec<f32> {
        match self {
            Chart::Components(pca) => pca.encode(pixels),
            Chart::Pixels { mean, scale } => {
                let chart = mean.iter().zip(scale).cycle();
                pixels.iter().zip(chart).map(|(x, (m, s))| (x - m) / s).collect()
            }
        }
    }
}

/// Noise of these standard deviations on the coordinates of every row.
fn with_noise(x: &[f32], widths: &[f32], key: RngKey) -> Vec<f32> {
    let mut noise = vec![0.0; x.len()];
    key.fill_normal(0, widths.len(), &mut noise);
    let noise = noise.into_iter().zip(widths.iter().cycle());
    x.iter().zip(noise).map(|(x, (xi, width))| x + width * xi).collect()
}

fn indices(digits: &[u8], labels: &[u8]) -> Vec<usize> {
    labels.iter().filter_map(|label| digits.iter().position(|digit| digit == label)).collect()
}
