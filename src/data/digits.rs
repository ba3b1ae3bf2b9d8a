//! Real digits in chosen proportions: a target with several modes of known relative mass.
//!
//! [`MnistSubset`] takes so many images of each digit, scales pixels to [-1, 1] and, if asked, averages squares of pixels.
//! The test set serves twice: [`MnistSubset::held_out`] keeps the proportions of the training set, so an energy's cross-entropy
//! on it estimates the same average; [`MnistSubset::all_held_out`] has every image of the digits, to score a classifier.

use std::path::Path;

use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

use crate::data::idx::{self, Images};
use crate::random::RngKey;
use crate::{Error, Result};

/// Which digits, how many of each, and how their pixels are prepared.
///
/// ```
/// use ergodic::data::{MnistSubset, file};
/// let data = MnistSubset::new(&[(2, 40), (3, 20), (6, 10)]).pool(2).train(file::find("assets/data/mnist")).unwrap();
/// assert_eq!((data.n(), data.side, data.x.len()), (70, 14, 70 * 14 * 14));
/// assert_eq!(data.count(3), 20);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MnistSubset {
    counts: Vec<(u8, usize)>,
    pool: usize,
    shuffle: Option<u64>,
}

/// Prepared images with their labels.
#[derive(Debug, Clone, PartialEq)]
pub struct Digits {
    /// `[n, side * side]`, -1 (paper) to 1 (ink).
    pub x: Vec<f32>,
    /// `[n]`, the digit each image shows.
    pub labels: Vec<u8>,
    /// Height and width of an image in (pooled) pixels.
    pub side: usize,
}

impl Digits {
    /// Number of images.
    pub fn n(&self) -> usize {
        self.labels.len()
    }

    /// Pixels of one image, `side * side`.
    pub fn n_pixels(&self) -> usize {
        self.side * self.side
    }

    /// How many images show `digit`.
    pub fn count(&self, digit: u8) -> usize {
        self.labels.iter().filter(|label| **label == digit).count()
    }

    /// The same images in an order that the key draws, each order as likely.
    ///
    /// A subset lies in the order in which its quotas fill up: until the rarest digit has run out, all digits come equally
    /// often. Whoever takes the first rows for a sample (as walkers do that start on data) needs this.
    ///
    /// ```
    /// use ergodic::{data::{MnistSubset, file}, random::RngKey};
    /// let data = MnistSubset::new(&[(2, 400), (6, 100)]).pool(4).train(file::find("assets/data/mnist"))?;
    /// let mixed = data.shuffled(RngKey::new(1));
    /// let twos = |labels: &[u8]| labels.iter().filter(|label| **label == 2).count();
    /// assert_eq!((twos(&data.labels), twos(&mixed.labels)), (400, 400));
    /// // Of 100 rows 80 should be twos, with a standard deviation below 4.
    /// assert!(twos(&data.labels[..100]) < 60 && twos(&mixed.labels[..100]).abs_diff(80) < 20);
    /// # Ok::<(), ergodic::Error>(())
    /// ```
    #[must_use]
    pub fn shuffled(&self, key: RngKey) -> Self {
        let mut order: Vec<usize> = (0..self.n()).collect();
        order.sort_by_key(|&i| key.bits(i as u32, 0, 0));
        let p = self.n_pixels();
        let x = order.iter().flat_map(|&i| &self.x[i * p..(i + 1) * p]).copied().collect();
        Self { x, labels: order.iter().map(|&i| self.labels[i]).collect(), side: self.side }
    }
}

impl MnistSubset {
    /// So many images of each digit, the first ones in the file's order, 28 x 28 pixels.
    #[must_use]
    pub fn new(counts: &[(u8, usize)]) -> Self {
        Self { counts: counts.to_vec(), pool: 1, shuffle: None }
    }

    /// Averages squares of `k` x `k` pixels: 2 gives 14 x 14. `k` divides 28.
    #[must_use]
    pub fn pool(mut self, k: usize) -> Self {
        self.pool = k;
        self
    }

    /// Chooses the images at random instead; equal seeds choose equally. For their order see [`Digits::shuffled`].
    #[must_use]
    pub fn shuffle(mut self, seed: u64) -> Self {
        self.shuffle = Some(seed);
        self
    }

    /// The subset of the training set in `folder`.
    ///
    /// # Errors
    /// Those of [`idx::images`], and those of [`MnistSubset::select`].
    pub fn train(&self, folder: impl AsRef<Path>) -> Result<Digits> {
        let (images, labels) = load(folder.as_ref(), "train")?;
        self.select(&images, &labels)
    }

    /// The largest part of the test set with the same proportions, rounded down for each digit.
    ///
    /// # Errors
    /// As [`MnistSubset::train`].
    pub fn held_out(&self, folder: impl AsRef<Path>) -> Result<Digits> {
        let (images, labels) = load(folder.as_ref(), "t10k")?;
        let there = |digit: u8| labels.iter().filter(|label| **label == digit).count();
        // The scarcest digit has the smallest ratio there/wanted; that ratio scales every count, in integers.
        let wanted = self.counts.iter().filter(|(_, count)| *count > 0).map(|&(digit, count)| (there(digit), count));
        let (num, den) = wanted.min_by(|a, b| (a.0 * b.1).cmp(&(b.0 * a.1))).unwrap_or((0, 1));
        let counts = self.counts.iter().map(|&(digit, count)| (digit, count * num / den)).collect();
        Self { counts, ..self.clone() }.select(&images, &labels)
    }

    /// Every image of the chosen digits in the test set, in no special proportion.
    ///
    /// # Errors
    /// As [`MnistSubset::train`].
    pub fn all_held_out(&self, folder: impl AsRef<Path>) -> Result<Digits> {
        let (images, labels) = load(folder.as_ref(), "t10k")?;
        let there = |digit: u8| labels.iter().filter(|label| **label == digit).count();
        let counts = self.counts.iter().map(|&(digit, _)| (digit, there(digit))).collect();
        Self { counts, ..self.clone() }.select(&images, &labels)
    }

    /// The subset of any images with one label each.
    ///
    /// # Errors
    /// [`Error::Shape`] when labels and images differ in number or the images are not square; [`Error::Invalid`] when a digit
    /// is asked for twice, more often than it is there, or the pooling does not divide the side.
    pub fn select(&self, images: &Images, labels: &[u8]) -> Result<Digits> {
        if images.n != labels.len() || images.rows != images.cols {
            let got = format!("{} labels for [{}, {}, {}] images", labels.len(), images.n, images.rows, images.cols);
            return Err(Error::Shape { op: "MnistSubset", got, want: "one label a square image".into(), at: None });
        }
        if self.pool == 0 || !images.rows.is_multiple_of(self.pool) {
            let got = self.pool.to_string();
            return Err(Error::Invalid { what: "pool", got, want: "a divisor of the image's side" });
        }
        let side = images.rows / self.pool;
        let chosen = self.choose(labels)?;
        let mut x = Vec::with_capacity(chosen.len() * side * side);
        for &i in &chosen {
            pooled(images.image(i), images.cols, self.pool, &mut x);
        }
        Ok(Digits { x, labels: chosen.iter().map(|&i| labels[i]).collect(), side })
    }

    /// Indices of the chosen images.
    fn choose(&self, labels: &[u8]) -> Result<Vec<usize>> {
        let mut order: Vec<usize> = (0..labels.len()).collect();
        if let Some(seed) = self.shuffle {
            order.shuffle(&mut StdRng::seed_from_u64(seed));
        }
        let mut left = [0usize; 256];
        for (at, &(digit, count)) in self.counts.iter().enumerate() {
            if self.counts[..at].iter().any(|(other, _)| *other == digit) {
                let got = format!("{digit} twice");
                return Err(Error::Invalid { what: "digits", got, want: "each digit once" });
            }
            left[usize::from(digit)] = count;
        }
        order.retain(|&i| {
            let left = &mut left[usize::from(labels[i])];
            let take = *left > 0;
            *left -= usize::from(take);
            take
        });
        for &(digit, count) in &self.counts {
            let there = count - left[usize::from(digit)];
            if there < count {
                let got = format!("{count} of digit {digit}, of which there are {there}");
                return Err(Error::Invalid { what: "count", got, want: "no more than the files hold" });
            }
        }
        Ok(order)
    }
}

/// Means of `k` x `k` squares, from 0..=255 to [-1, 1]. The sum is an integer: no rounding before the division.
fn pooled(image: &[u8], cols: usize, k: usize, x: &mut Vec<f32>) {
    let side = cols / k;
    let full = (k * k) as f32 * 127.5;
    for (row, col) in (0..side).flat_map(|row| (0..side).map(move |col| (row, col))) {
        let square = (0..k).flat_map(|i| (0..k).map(move |j| (row * k + i) * cols + col * k + j));
        let sum: u32 = square.map(|at| u32::from(image[at])).sum();
        x.push(sum as f32 / full - 1.0);
    }
}

fn load(folder: &Path, set: &str) -> Result<(Images, Vec<u8>)> {
    let images = idx::images(folder.join(format!("{set}-images-idx3-ubyte.gz"))).map_err(not_mnist)?;
    let file = folder.join(format!("{set}-labels-idx1-ubyte.gz"));
    let labels = idx::labels(&file).map_err(not_mnist)?;
    if labels.len() == images.n {
        return Ok((images, labels));
    }
    let why = format!("{} labels for {} images in the file beside it", labels.len(), images.n);
    Err(not_mnist(Error::Data { file, offset: 4, why }))
}

/// What is wrong with a file, and where a right one is.
fn not_mnist(error: Error) -> Error {
    match error {
        Error::Data { file, offset, why } => {
            let why = format!(
                "{why}\n  take the file of this name from the crate's assets/data/mnist, or the four of another set"
            );
            Error::Data { file, offset, why }
        }
        other => other,
    }
}
