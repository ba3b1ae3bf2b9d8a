//! The Schrodinger bridge between two Gaussians in one dimension, in closed form.

use crate::error::{Error, Result};

/// The diffusion `dX = u dt + sqrt(2 epsilon) dW` of least `E int u^2 dt / 2` from `N(m_0, s_0^2)` to `N(m_1, s_1^2)`.
///
/// ```text
/// r = sqrt(epsilon^2 + s_0^2 s_1^2)        covariance of the ends: c = r - epsilon
/// mean(t) = (1 - t) m_0 + t m_1            variance(t) = (1 - t)^2 s_0^2 + t^2 s_1^2 + 2 t (1 - t) r
/// ```
///
/// So the linear path between independent ends with `gamma^2 = 2 r t (1 - t)` has the density of the bridge. In more dimensions
/// with covariances that commute each principal axis is such a problem, and costs add up.
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
    /// Strength of the noise, length^2 a unit of time, above 0.
    pub epsilon: f64,
}

impl GaussianBridge {
    /// Whether its numbers mean anything.
    ///
    /// # Errors
    /// [`Error::Invalid`] for deviations or a noise that are not finite and above 0.
    pub fn check(&self) -> Result<()> {
        let [a, b] = self.deviations;
        let wrong = [("deviation of an end", a), ("deviation of an end", b), ("epsilon", self.epsilon)]
            .into_iter()
            .find(|(_, v)| !(v.is_finite() && *v > 0.0));
        match wrong {
            Some((what, v)) => Err(Error::Invalid { what, got: v.to_string(), want: "finite and above 0" }),
            None => Ok(()),
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
        let (start, c) = (self.deviations[0].powi(2), self.covariance());
        let q = (self.deviations[1].powi(2) - c * c / start) / (2.0 * self.epsilon);
        let shift = self.means[1] - self.means[0];
        let moved = shift * shift + (c / start - 1.0).powi(2) * start;
        2.0 * self.epsilon * (0.5 * (q - 1.0 - q.ln()) + moved / (4.0 * self.epsilon))
    }
}
