//! Noise that is white in space and time.

use super::grid::Grid;
use super::symbol::check_positive;
use crate::error::{Error, Result};
use crate::graph::{Key, Var};

impl Grid {
    /// What white noise of strength `epsilon` adds to `u [batch.., grid]` in one step of time,
    ///
    /// ```text
    /// sqrt(2 epsilon dt / cell volume) xi,   xi ~ N(0, 1) in every cell       du = .. dt + sqrt(2 epsilon) dW(x, t)
    /// ```
    ///
    /// so that the mean over a region of volume `V` moves by a variance of `2 epsilon dt / V`, whatever the cells. With
    /// `du/dt = -dE/du` (the functional derivative) fields are drawn from `exp(-E / epsilon)`, up to the bias of the step.
    ///
    /// ```
    /// use ergodic::field::{Axis, Grid};
    /// use ergodic::{graph::{Feeds, Graph}, random::RngKey};
    /// # fn main() -> ergodic::Result<()> {
    /// let (grid, g) = (Grid::new([Axis::periodic(4, 0.5), Axis::periodic(4, 0.5)])?, Graph::new());
    /// let noise = grid.white_noise(g.key("noise"), &[2], 0.25, 0.01)?;
    /// let got = g.eval_f64(&[noise], &Feeds::new().key("noise", RngKey::new(1)))?;
    /// let xi = f64::from(RngKey::new(1).normal(0, 0, 0)); // row 0, component 0, step 0
    /// assert!((got[0].data[0] - xi * (2.0 * 0.25 * 0.01 / 0.125f64.powi(2)).sqrt()).abs() < 1e-6);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Error::Invalid`] for a strength below 0 or a step that is not above 0.
    pub fn white_noise<'g>(&self, key: Key<'g>, batch: &[usize], epsilon: f64, step: f64) -> Result<Var<'g>> {
        check_positive(step)?;
        if !(epsilon.is_finite() && epsilon >= 0.0) {
            let got = epsilon.to_string();
            return Err(Error::Invalid { what: "strength of noise", got, want: "finite and not below 0" });
        }
        let shape = [batch, &self.shape()].concat();
        Ok(key.normal(shape) * (2.0 * epsilon * step / self.cell_volume()).sqrt())
    }
}
