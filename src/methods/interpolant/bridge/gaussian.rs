//! The Schrodinger bridge between two Gaussians in one dimension, in closed form.

use super::super::schedule::Coefficients;
use crate::error::{Error, Result};

/// Points of the rule for the cost of a path.
const NODES: usize = 2000;

/// The diffusion `dX = u dt + sqrt(2 epsilon) dW` of least `E int u^2 dt / 2` from `N(m_0, s_0^2)` to `N(m_1, s_1^2)`.
///
/// ```text
/// r = sqrt(epsilon^2 + s_0^2 s_1^2)        covariance of the ends: c = r - epsilon
/// mean(t) = (1 - t) m_0 + t m_1            variance(t) = (1 - t)^2 s_0^2 + t^2 s_1^2 + 2 t (1 - t) r
/// ```
///
/// So the linear path between independent ends with `gamma^2 = 2 r t (1 - t)` has the density of the bridge. In more dimensions
/// with covariances that commute each principal axis is such a problem, and costs add up. With `epsilon = 0` it is optimal
/// transport, and twice the cost is Wasserstein's squared distance.
///
/// Source: arXiv:2303.08797, theorem 3.10, for Gaussians: the coupling of the ends is the one closest to that of Brownian
/// motion, of variance `2 epsilon`.
///
/// ```
/// use ergodic::methods::interpolant::GaussianBridge;
/// let bridge = GaussianBridge { means: [0.0, 2.0], deviations: [1.0, 0.5], epsilon: 0.5 };
/// assert!((bridge.covariance() - 0.207107).abs() < 1e-6);
/// assert!((bridge.cost() - 2.705154).abs() < 1e-6);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GaussianBridge {
    /// `m_0` and `m_1`, length.
    pub means: [f64; 2],
    /// `s_0` and `s_1`, length, above 0.
    pub deviations: [f64; 2],
    /// Strength of the noise, length^2 a unit of time, not negative.
    pub epsilon: f64,
}

impl GaussianBridge {
    /// Whether its numbers mean anything.
    ///
    /// # Errors
    /// [`Error::Invalid`] for deviations that are not finite and above 0, and a noise that is not finite or negative.
    pub fn check(&self) -> Result<()> {
        let refuse = |what, v: f64, want| Err(Error::Invalid { what, got: v.to_string(), want });
        if let Some(v) = self.deviations.into_iter().find(|v| !(v.is_finite() && *v > 0.0)) {
            return refuse("deviation of an end", v, "finite and above 0");
        }
        match self.epsilon.is_finite() && self.epsilon >= 0.0 {
            true => Ok(()),
            false => refuse("epsilon", self.epsilon, "finite and not negative"),
        }
    }

    fn root(&self) -> f64 {
        self.epsilon.hypot(self.deviations[0] * self.deviations[1])
    }

    /// Covariance of start and end.
    pub fn covariance(&self) -> f64 {
        // r - epsilon without cancellation where the noise is strong.
        (self.deviations[0] * self.deviations[1]).powi(2) / (self.root() + self.epsilon)
    }

    /// Mean at `t`.
    pub fn mean(&self, t: f64) -> f64 {
        (1.0 - t) * self.means[0] + t * self.means[1]
    }

    /// Variance at `t`.
    pub fn variance(&self, t: f64) -> f64 {
        let [a, b] = self.deviations;
        ((1.0 - t) * a).powi(2) + (t * b).powi(2) + 2.0 * t * (1.0 - t) * self.root()
    }

    /// Drift at `t` and `x`: `mean' + (variance'/2 - epsilon)(x - mean)/variance`, as of any Gaussian path.
    pub fn drift(&self, t: f64, x: f64) -> f64 {
        let [a, b] = self.deviations;
        let half_rate = -(1.0 - t) * a * a + t * b * b + (1.0 - 2.0 * t) * self.root();
        self.means[1] - self.means[0] + (half_rate - self.epsilon) * (x - self.mean(t)) / self.variance(t)
    }

    /// `a` with which the linear path with `gamma^2 = a t (1 - t)` is the bridge.
    pub fn best_a(&self) -> f64 {
        2.0 * self.root()
    }

    /// `E int u^2 dt / 2`: `2 epsilon` times the divergence of the joint law of the ends from that of Brownian motion.
    pub fn cost(&self) -> f64 {
        // Given the start, the end has variance 2 epsilon q in the bridge: c^2 + 2 epsilon c = s_0^2 s_1^2.
        let start = self.deviations[0].powi(2);
        let q = self.covariance() / start;
        let shift = self.means[1] - self.means[0];
        let moved = shift * shift + (q - 1.0).powi(2) * start;
        2.0 * self.epsilon * 0.5 * (q - 1.0 - q.ln()) + 0.5 * moved
    }

    /// The same cost of the diffusion along another path `alpha x_0 + beta x_1 + gamma z` between independent ends, never below
    /// [`cost`](Self::cost): `int [mean'^2 + (variance'/2 - epsilon)^2 / variance] dt / 2`, by the midpoint rule on 2000 points.
    ///
    /// ```
    /// use ergodic::methods::interpolant::{Gamma, GaussianBridge, Schedule};
    /// let bridge = GaussianBridge { means: [0.0, 2.0], deviations: [1.0, 0.5], epsilon: 0.5 };
    /// let linear = |a| bridge.cost_along(|t| Ok(Schedule::Linear { gamma: Gamma::Root { a } }.at(t)));
    /// assert!((linear(1.0)? - 2.721574).abs() < 1e-6);
    /// assert!((linear(bridge.best_a())? - bridge.cost()).abs() < 1e-6);
    /// # Ok::<(), ergodic::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of `path`.
    pub fn cost_along(&self, path: impl Fn(f64) -> Result<Coefficients<f64>>) -> Result<f64> {
        let ([m0, m1], [s0, s1]) = (self.means, self.deviations.map(|s| s * s));
        let rate = |k: usize| {
            let c = path((k as f64 + 0.5) / NODES as f64)?;
            let variance = c.alpha * c.alpha * s0 + c.beta * c.beta * s1 + c.gamma2;
            let half_rate = c.alpha * c.alpha_dot * s0 + c.beta * c.beta_dot * s1 + c.gamma_gamma_dot;
            let speed = c.alpha_dot * m0 + c.beta_dot * m1;
            Ok(0.5 * (speed * speed + (half_rate - self.epsilon).powi(2) / variance))
        };
        Ok((0..NODES).map(rate).sum::<Result<f64>>()? / NODES as f64)
    }
}
