//! A network as an energy, held together by a Gaussian.

use super::energy::Energy;
use super::trainer::InitialWalkers;
use crate::error::{Error, Result};
use crate::graph::Var;
use crate::nn::Mlp;
use crate::random::RngKey;
use std::f64::consts::TAU;

/// `U(x) = net(x) + |x|^2 / (2 s^2)`: a network and a fixed quadratic term, which makes the model normalisable.
///
/// At [`start_parameters`](Self::start_parameters) the last layer is zero, so the model **is** the Gaussian of width `s`, whose
/// draws and log Z are known: what exact weights need to start from.
///
/// ```
/// use ergodic::{methods::ebm::{Energy, MlpEnergy}, nn::Activation, random::RngKey};
/// let energy = MlpEnergy::new(&[24, 128, 128], Activation::Silu, 1.0)?;
/// let theta = energy.start_parameters(RngKey::new(1));
/// assert_eq!(theta.len(), energy.n_params());
/// let start = energy.start(1000, RngKey::new(2));
/// assert!((start.log_z - 12.0 * std::f64::consts::TAU.ln()).abs() < 1e-12);
/// # Ok::<(), ergodic::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct MlpEnergy {
    mlp: Mlp,
    gaussian: f64,
}

impl MlpEnergy {
    /// Layers of these sizes (positions first; the one output is added, without a bias: its gradient is zero, and
    /// rounding would move log Z through it), and a Gaussian of standard deviation `gaussian`, length.
    ///
    /// # Errors
    /// [`Error::Invalid`] for no sizes, a size of 0, or a width that is not a positive number.
    pub fn new(sizes: &[usize], activation: crate::nn::Activation, gaussian: f64) -> Result<Self> {
        if !(gaussian > 0.0 && gaussian.is_finite()) {
            let got = gaussian.to_string();
            return Err(Error::Invalid { what: "width of the Gaussian", got, want: "a positive number" });
        }
        let sizes: Vec<_> = sizes.iter().copied().chain([1]).collect();
        Ok(MlpEnergy { mlp: Mlp::new(&sizes, activation)?.without_output_bias(), gaussian })
    }

    /// The network.
    pub fn mlp(&self) -> &Mlp {
        &self.mlp
    }

    /// Initial parameters `[P]` with a last layer of zeros.
    pub fn start_parameters(&self, key: RngKey) -> Vec<f32> {
        let mut theta = self.mlp.init(key);
        let last = format!("w{}", self.mlp.sizes.len() - 2);
        if let Ok(weights) = self.mlp.layout().view_mut(&mut theta, &last) {
            weights.fill(0.0);
        }
        theta
    }

    /// `n` draws from the model at the [`start_parameters`](Self::start_parameters) at temperature 1, and its log Z.
    pub fn start(&self, n: usize, key: RngKey) -> InitialWalkers {
        let d = self.n_dims();
        let mut positions = vec![0.0; n * d];
        key.fill_normal(0, d, &mut positions);
        positions.iter_mut().for_each(|x| *x *= self.gaussian as f32);
        InitialWalkers { positions, log_z: 0.5 * d as f64 * (TAU * self.gaussian.powi(2)).ln() }
    }
}

impl Energy for MlpEnergy {
    fn n_params(&self) -> usize {
        self.mlp.layout().len()
    }

    fn n_dims(&self) -> usize {
        self.mlp.sizes[0]
    }

    fn energy<'g>(&self, theta: Var<'g>, x: Var<'g>) -> Result<Var<'g>> {
        let net = self.mlp.apply(theta, x)?;
        let n = net.shape()[0];
        Ok(net.reshape([n]) + x.square().sum(1) * (0.5 / self.gaussian.powi(2)))
    }
}
