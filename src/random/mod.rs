//! Random numbers as a pure function of where they are used.
//!
//! A draw has no state: it is Philox4x32-10 of (walker, component, step) under a key, so the same walker gets the same
//! noise on every adapter, in any order, and again when a run is replayed or restarted.
//!
//! ```text
//! word c of walker i at step s  =  philox4x32(counter (i, c / 4, s, stream), key seed)[c mod 4]
//! ```
//!
//! | | equal on every device | cost | |
//! |---|---|---|---|
//! | bits, uniforms | to the bit | 1 | 23-bit uniforms, strictly inside (0, 1) |
//! | normals | within a few ulp | small | Box-Muller on the words (0, 1) and (2, 3) of a block; up to 6.66 sigma |
//! | exact normals | to the bit | a few times the bits | inverse distribution function in integers; up to 6.34 sigma |
//!
//! Each purpose takes its own key: [`RngKey::fold_in`] and [`RngKey::split`] give independent ones. There is no global
//! state: noise repeats only where a key is passed twice.
//!
//! Layout: [`RngKey`] here, `philox` the bits, `normal` words to normals, `stream` the adaptor to the `rand` crates.
//! The shader twin is `shaders/lib/philox.wgsl`. Source: Salmon et al., SC11.

mod normal;
mod philox;
mod stream;

pub use normal::{box_muller, normal_exact, uniform01};
pub use philox::philox4x32;
pub use stream::KeyRng;

// Blocks that no draw reaches (a component index is 32 bits, so a block is below 2^30): they make child keys.
const FOLD_BLOCK: u32 = u32::MAX;
const SPLIT_BLOCK: u32 = u32::MAX - 1;

/// A key: everything that decides a random number apart from where it is used.
///
/// # Example
/// ```
/// # use ergodic::random::RngKey;
/// let key = RngKey::new(7);
/// let (start, noise) = (key.fold_in(0), key.fold_in(1));
/// assert_eq!(noise.normal(3, 0, 12), noise.normal(3, 0, 12)); // same place, same number
/// assert_ne!(noise.normal(3, 0, 12), start.normal(3, 0, 12));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[must_use]
pub struct RngKey {
    /// Key of the block cipher.
    pub seed: [u32; 2],
    /// Last word of the counter: streams of one seed never meet.
    pub stream: u32,
}

impl RngKey {
    /// The key of a seed, stream 0. Seeds that differ in any bit give independent numbers.
    pub fn new(seed: u64) -> Self {
        RngKey { seed: [seed as u32, (seed >> 32) as u32], stream: 0 }
    }

    /// An independent key for the purpose, part or iteration `data`.
    ///
    /// Seed and stream of the child are three words of Philox at a counter that no draw reaches. Children of different
    /// `data` or of different parents are as good as random: two of `n` keys coincide with probability `n^2 2^-97`.
    pub fn fold_in(self, data: u32) -> Self {
        self.child(data, FOLD_BLOCK)
    }

    /// `N` independent keys, different from every [`fold_in`](Self::fold_in).
    ///
    /// # Example
    /// ```
    /// # use ergodic::random::RngKey;
    /// let [weights, walkers] = RngKey::new(7).split();
    /// assert_ne!(weights, walkers);
    /// ```
    pub fn split<const N: usize>(self) -> [Self; N] {
        std::array::from_fn(|i| self.child(i as u32, SPLIT_BLOCK))
    }

    /// The first `n` of the keys that [`split`](Self::split) gives, when their number is known at run time only.
    pub fn split_n(self, n: u32) -> impl ExactSizeIterator<Item = Self> {
        (0..n as usize).map(move |i| self.child(i as u32, SPLIT_BLOCK))
    }

    fn child(self, data: u32, block: u32) -> Self {
        let [low, high, stream, _] = philox4x32([data, block, 0, self.stream], self.seed);
        RngKey { seed: [low, high], stream }
    }

    /// The four words of components `4 block .. 4 block + 4`.
    pub fn block(self, walker: u32, block: u32, step: u32) -> [u32; 4] {
        philox4x32([walker, block, step, self.stream], self.seed)
    }

    /// 32 random bits for one component of one walker at one step.
    pub fn bits(self, walker: u32, component: u32, step: u32) -> u32 {
        self.block(walker, component / 4, step)[component as usize % 4]
    }

    /// A uniform in the open interval (0, 1), with 23 bits.
    pub fn uniform(self, walker: u32, component: u32, step: u32) -> f32 {
        uniform01(self.bits(walker, component, step))
    }

    /// A standard normal by Box-Muller; adapters agree with it within a few ulp.
    pub fn normal(self, walker: u32, component: u32, step: u32) -> f32 {
        normal4(self.block(walker, component / 4, step))[component as usize % 4]
    }

    /// A standard normal that is equal on every adapter.
    pub fn normal_exact(self, walker: u32, component: u32, step: u32) -> f32 {
        normal_exact(self.bits(walker, component, step))
    }

    /// Fill `[n, d]` row-major words, walkers `0..n`: `out[i d + c]` is `bits(i, c, step)`.
    ///
    /// `d = 0` leaves `out` untouched; a last row that is cut short is filled as far as it goes.
    pub fn fill_bits(self, step: u32, d: usize, out: &mut [u32]) {
        self.fill(step, d, out, |words| words);
    }

    /// Fill `[n, d]` row-major uniforms: `out[i d + c]` is `uniform(i, c, step)`.
    pub fn fill_uniform(self, step: u32, d: usize, out: &mut [f32]) {
        self.fill(step, d, out, |words| words.map(uniform01));
    }

    /// Fill `[n, d]` row-major normals: `out[i d + c]` is `normal(i, c, step)`.
    ///
    /// # Example
    /// ```
    /// # use ergodic::random::RngKey;
    /// let mut start = vec![0.0; 1000 * 10]; // 1000 walkers in 10 dimensions
    /// RngKey::new(7).fill_normal(0, 10, &mut start);
    /// let mean = start.iter().sum::<f32>() / 1e4;
    /// assert!(mean.abs() < 5.0 / 100.0); // five standard errors of 10^4 normals
    /// ```
    pub fn fill_normal(self, step: u32, d: usize, out: &mut [f32]) {
        self.fill(step, d, out, normal4);
    }

    /// Fill `[n, d]` row-major exact normals: `out[i d + c]` is `normal_exact(i, c, step)`.
    pub fn fill_normal_exact(self, step: u32, d: usize, out: &mut [f32]) {
        self.fill(step, d, out, |words| words.map(normal_exact));
    }

    fn fill<T: Copy>(self, step: u32, d: usize, out: &mut [T], draw: impl Fn([u32; 4]) -> [T; 4]) {
        if d == 0 {
            return;
        }
        for (walker, row) in out.chunks_mut(d).enumerate() {
            for (block, part) in row.chunks_mut(4).enumerate() {
                let drawn = draw(self.block(walker as u32, block as u32, step));
                part.copy_from_slice(&drawn[..part.len()]);
            }
        }
    }

    /// The words of one walker and step as a stream for the `rand` and `rand_distr` crates.
    ///
    /// # Example
    /// ```
    /// # use ergodic::random::RngKey;
    /// use rand_distr::{Distribution, Gamma};
    /// let mut rng = RngKey::new(7).rng(0, 0);
    /// let time = Gamma::new(2.0, 1.5).map(|law| law.sample(&mut rng));
    /// assert!(time.is_ok_and(|t: f64| t > 0.0));
    /// ```
    pub fn rng(self, walker: u32, step: u32) -> KeyRng {
        KeyRng::new(self, walker, step)
    }
}

/// Four standard normals from the four words of a block: Box-Muller on the words (0, 1) and (2, 3).
fn normal4(words: [u32; 4]) -> [f32; 4] {
    let ([a, b], [c, d]) = (box_muller([words[0], words[1]]), box_muller([words[2], words[3]]));
    [a, b, c, d]
}
