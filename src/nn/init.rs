//! Initial values of weights.

use crate::random::RngKey;
use rand_distr::{Distribution, StandardNormal, StandardUniform};

/// How a weight matrix from `fan_in` to `fan_out` units starts. Biases start at zero unless said otherwise.
///
/// Uniform laws have the variance of the normal ones: their half-width is `sqrt(3)` standard deviations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Init {
    /// `N(0, 1/fan_in)`: keeps the variance of a linear layer. Source: LeCun et al., Efficient BackProp, 1998.
    LecunNormal,
    /// Uniform with variance `1/fan_in`.
    LecunUniform,
    /// `N(0, 2/(fan_in + fan_out))`. Source: Glorot and Bengio, AISTATS 2010, eq. 16.
    GlorotNormal,
    /// Uniform with variance `2/(fan_in + fan_out)`.
    GlorotUniform,
    /// `N(0, 2/fan_in)`: keeps the variance through a ReLU. Source: He et al., arXiv:1502.01852, eq. 10.
    HeNormal,
    /// Uniform with variance `2/fan_in`.
    HeUniform,
    /// Uniform in `+-1/sqrt(fan_in)`, biases too: what PyTorch's `Linear` does.
    Torch,
}

impl Init {
    /// Standard deviation of a weight.
    pub fn std(self, fan_in: usize, fan_out: usize) -> f64 {
        let (fan_in, fan_out) = (fan_in as f64, fan_out as f64);
        match self {
            Init::LecunNormal | Init::LecunUniform => (1.0 / fan_in).sqrt(),
            Init::GlorotNormal | Init::GlorotUniform => (2.0 / (fan_in + fan_out)).sqrt(),
            Init::HeNormal | Init::HeUniform => (2.0 / fan_in).sqrt(),
            Init::Torch => (1.0 / (3.0 * fan_in)).sqrt(),
        }
    }

    /// Draw the weights of a layer; they depend on the key alone.
    pub fn weights(self, key: RngKey, fan_in: usize, fan_out: usize, out: &mut [f32]) {
        let std = self.std(fan_in, fan_out);
        let mut rng = key.rng(0, 0);
        let normal = matches!(self, Init::LecunNormal | Init::GlorotNormal | Init::HeNormal);
        for w in out {
            let standard: f64 = if normal { StandardNormal.sample(&mut rng) } else { uniform(&mut rng) };
            *w = (std * standard) as f32;
        }
    }

    /// Draw the biases of a layer.
    pub fn biases(self, key: RngKey, fan_in: usize, out: &mut [f32]) {
        let std = if self == Init::Torch { self.std(fan_in, 0) } else { 0.0 };
        let mut rng = key.rng(1, 0);
        out.fill_with(|| (std * uniform(&mut rng)) as f32);
    }
}

/// Uniform with zero mean and unit variance.
fn uniform(rng: &mut crate::random::KeyRng) -> f64 {
    let u: f64 = StandardUniform.sample(rng);
    (2.0 * u - 1.0) * 3f64.sqrt()
}
