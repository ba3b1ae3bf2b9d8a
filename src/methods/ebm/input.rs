//! What a trainer is given, checked; and names for what becomes bad later.

use super::config::TrainConfig;
use super::iteration::{Drive, Problem};
use crate::error::{Error, Result};
use crate::gpu::{Gpu, Tensor};

impl TrainConfig {
    /// Whether this device can hold so many walkers and observers of `n_dims` dimensions in one tensor at all. Ask before
    /// drawing their first positions: the host may have less room than the device refuses.
    ///
    /// ```no_run
    /// # fn main() -> ergodic::Result<()> {
    /// let gpu = ergodic::gpu::Gpu::headless(Default::default())?;
    /// let config = ergodic::methods::ebm::TrainConfig { walkers: 1 << 40, ..Default::default() };
    /// assert!(config.check_fits(&gpu, 2).is_err());
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Error::BindingTooLarge`] with how many fit; [`Error::OutOfMemory`] if they alone pass the memory budget.
    pub fn check_fits(&self, gpu: &Gpu, n_dims: usize) -> Result<()> {
        Tensor::check_fits(gpu, "walkers", &[self.walkers.saturating_add(self.observers), n_dims])
    }
}

/// The rows that walkers and observers start from.
pub(super) fn first_positions(problem: Problem<'_>, data: &[f32], mut x: Vec<f32>) -> Result<Vec<f32>> {
    let (config, d) = (problem.config, problem.energy.n_dims());
    same_length("first positions", &x, config.rows() * d)?;
    if config.method.starts_on_data() && matches!(problem.drive, Drive::Learn { .. }) {
        let driven = x.chunks_exact_mut(d).take(config.walkers);
        driven.zip(data.chunks_exact(d).cycle()).for_each(|(to, from)| to.copy_from_slice(from));
    }
    finite("first positions", &x, d)?;
    Ok(x)
}

pub(super) fn same_length(what: &str, values: &[f32], want: usize) -> Result<()> {
    if values.len() == want {
        return Ok(());
    }
    let (got, want) = (format!("{} numbers of {what}", values.len()), format!("{want}"));
    Err(Error::Shape { op: "Trainer::new", got, want, at: None })
}

pub(super) fn finite(what: &'static str, values: &[f32], width: usize) -> Result<()> {
    match values.iter().position(|v| !v.is_finite()) {
        Some(at) => {
            let got = format!("{} in row {}", values[at], at / width.max(1));
            Err(Error::Invalid { what, got, want: "finite everywhere" })
        }
        None => Ok(()),
    }
}

/// States in the order in which one bad value makes the next bad.
pub(super) const CAUSES: [&str; 6] = ["theta", "u", "x", "grad", "a", "observer.a"];

/// What row `row` of a state is called when it is bad, of a run with so many walkers.
pub(super) fn name_row(walkers: usize, state: &str, row: usize) -> (String, usize) {
    let what = match state {
        "theta" => return ("parameter".into(), row),
        "a" => return ("the log-weight of walker".into(), row),
        "observer.a" => return ("the log-weight of observer".into(), row),
        "u" => "the energy",
        "x" => "the position",
        "grad" => "the energy's gradient",
        _ => return (format!("`{state}` in row"), row),
    };
    if row < walkers { (format!("{what} of walker"), row) } else { (format!("{what} of observer"), row - walkers) }
}
