//! Where a run stands, with error bars.

use crate::dynamics::{Estimate, LogWeights};

/// What one look at a run says. Energies and logarithms are in units of kT; what does not exist is NaN.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Diagnostics {
    /// Iterations done.
    pub iteration: u64,
    /// `log Z` by the walkers that drive the gradient; NaN in unweighted methods.
    pub log_z: Estimate,
    /// `log Z` by the observers, free of feedback.
    pub observer_log_z: Option<Estimate>,
    /// `log Z` of the walkers minus that of the observers: what the walkers' own noise did to it.
    pub feedback: Option<Estimate>,
    /// Mean energy of the data, with the standard error of the mean.
    pub data_energy: Estimate,
    /// Weighted mean energy of the walkers.
    pub model_energy: Estimate,
    /// `log Z + data_energy`, by the observers if there are any. Its standard error is that of `log Z` alone: the error of
    /// these data's cross-entropy, not of another sample's.
    pub cross_entropy: Estimate,
    /// Effective number of walkers over their number, in `(0, 1]`.
    pub ess: f64,
    /// The same of the observers.
    pub observer_ess: Option<f64>,
    /// Index of the tail of the walkers' weights; above 0.7 no average is to be trusted.
    pub pareto_k: f64,
    /// Resamplings of the walkers so far.
    pub resamplings: u32,
}

/// Numbers read back.
pub(super) struct Readings<'a> {
    pub iteration: u64,
    pub temperature: f64,
    pub log_z_start: f64,
    pub resamplings: u32,
    pub walker_energies: &'a [f64],
    pub data_energies: &'a [f64],
    pub walkers: Option<LogWeights>,
    pub observers: Option<LogWeights>,
}

const NONE: Estimate = Estimate { value: f64::NAN, se: f64::NAN };

impl Diagnostics {
    /// Names of the numbers of [`row`](Self::row).
    pub const COLUMNS: [&'static str; 14] = [
        "log_z",
        "log_z_se",
        "observer_log_z",
        "observer_log_z_se",
        "feedback",
        "feedback_se",
        "cross_entropy",
        "cross_entropy_se",
        "data_energy",
        "model_energy",
        "ess",
        "observer_ess",
        "pareto_k",
        "resamplings",
    ];

    pub(super) fn new(read: Readings<'_>) -> Self {
        let above_start = |w: &LogWeights| {
            let log_z = w.log_z();
            Estimate { value: read.log_z_start + log_z.value, se: log_z.se }
        };
        let log_z = read.walkers.as_ref().map_or(NONE, above_start);
        let observer_log_z = read.observers.as_ref().map(above_start);
        let per_kt = |e: Estimate| Estimate { value: e.value / read.temperature, se: e.se / read.temperature };
        let data_energy = per_kt(mean(read.data_energies));
        let best = observer_log_z.unwrap_or(log_z);
        let equal = LogWeights::new(vec![0.0; read.walker_energies.len()]);
        let walkers = read.walkers.as_ref().unwrap_or(&equal);
        Diagnostics {
            iteration: read.iteration,
            log_z,
            observer_log_z,
            feedback: observer_log_z.map(|o| Estimate { value: log_z.value - o.value, se: log_z.se.hypot(o.se) }),
            data_energy,
            model_energy: per_kt(walkers.mean(read.walker_energies)),
            cross_entropy: Estimate { value: best.value + data_energy.value, se: best.se },
            ess: walkers.ess_fraction(),
            observer_ess: read.observers.as_ref().map(LogWeights::ess_fraction),
            pareto_k: walkers.pareto_k(),
            resamplings: read.resamplings,
        }
    }

    /// All numbers but the iteration, in the order of [`COLUMNS`](Self::COLUMNS); NaN for what does not exist.
    pub fn row(&self) -> Vec<f64> {
        let observer = self.observer_log_z.unwrap_or(NONE);
        let feedback = self.feedback.unwrap_or(NONE);
        let pairs = [self.log_z, observer, feedback, self.cross_entropy].into_iter().flat_map(|e| [e.value, e.se]);
        let rest = [
            self.data_energy.value,
            self.model_energy.value,
            self.ess,
            self.observer_ess.unwrap_or(f64::NAN),
            self.pareto_k,
            f64::from(self.resamplings),
        ];
        pairs.chain(rest).collect()
    }
}

fn mean(values: &[f64]) -> Estimate {
    if values.is_empty() {
        return NONE;
    }
    let n = values.len() as f64;
    let value = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|v| (v - value).powi(2)).sum::<f64>() / (n - 1.0).max(1.0);
    Estimate { value, se: (variance / n).sqrt() }
}
