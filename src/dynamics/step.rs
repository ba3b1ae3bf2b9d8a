//! The graph of one step of a sampler: move, weigh, resample.

use super::compensated::Compensated;
use super::langevin::{self, Bath, Moved};
use super::options::{Kernel, LangevinOptions};
use super::proposal::{EndPoint, Proposal};
use super::resample::Weighted;
use super::schedule::Moving;
use super::weights::{self, WeightRule};
use crate::error::Result;
use crate::graph::{DType, Key, Var};

/// Name of the key that a session binds.
pub(super) const KEY: &str = "langevin.key";
pub(super) const ENERGY: &str = "langevin.energy";
pub(super) const GRADIENT: &str = "langevin.gradient";
pub(super) const MOMENTUM: &str = "langevin.momentum";
pub(super) const LOG_WEIGHTS: &str = "langevin.log_weights";
pub(super) const ACCEPTED: &str = "langevin.accepted";
pub(super) const LOG_Z0: &str = "langevin.log_z0";
pub(super) const LOG_Z0_VAR: &str = "langevin.log_z0_var";
pub(super) const RESAMPLINGS: &str = "langevin.resamplings";

/// What the key is folded with, so that no two purposes share a number. Noise is the key itself.
pub(super) const START: u32 = 1;
const ACCEPT: u32 = 2;
const SECOND_NOISE: u32 = 3;
const RESAMPLE: u32 = 4;
pub(super) const START_MOMENTUM: u32 = 5;

/// Next values of all states, by name.
pub(super) type States<'g> = Vec<(String, Var<'g>)>;

/// One step under these options. The states not listed are not needed by them.
pub(super) fn build<'g>(moving: &Moving<'g>, name: &str, h: f64, options: &LangevinOptions) -> Result<States<'g>> {
    let (g, shape) = (moving.x.graph(), moving.x.shape());
    let n = shape[0];
    let from = EndPoint { x: moving.x, u: g.input(ENERGY, [n]), grad: g.input(GRADIENT, &shape) };
    let key = g.key(KEY);
    let (moved, momentum) = advance(moving, from, h, options, key)?;
    let weights = Weighted { log_weights: Compensated::input(g, LOG_WEIGHTS, [n]), ..Weighted::equal(g, n) };
    let mut states = vec![];
    let (to, momentum, log_weights) = match options.resampling {
        None => (moved.to, momentum, weights.gain(moved.gain).log_weights),
        Some(rule) => {
            let weights = Weighted {
                log_z0: Compensated::input(g, LOG_Z0, []),
                log_z0_var: g.input(LOG_Z0_VAR, []),
                resamplings: g.input_of(RESAMPLINGS, [], DType::U32),
                ..weights
            };
            let done = weights.gain(moved.gain).resample_if(rule, key.fold_in(RESAMPLE));
            states.push((LOG_Z0_VAR.into(), done.weights.log_z0_var));
            states.push((RESAMPLINGS.into(), done.weights.resamplings));
            pair(&mut states, LOG_Z0, done.weights.log_z0);
            (done.points(moved.to), momentum.map(|p| done.rows(p)), done.weights.log_weights)
        }
    };
    pair(&mut states, LOG_WEIGHTS, log_weights);
    states.extend([(name.into(), to.x), (ENERGY.into(), to.u), (GRADIENT.into(), to.grad)]);
    states.extend(momentum.map(|p| (MOMENTUM.into(), p)));
    if options.kernel == Kernel::Mala {
        // Summed a walker, not averaged over walkers: rows that do not mix may loop over steps inside one kernel.
        states.push((ACCEPTED.into(), g.input(ACCEPTED, [n]) + moved.acceptance));
    }
    Ok(states)
}

fn pair<'g>(states: &mut States<'g>, name: &str, sum: Compensated<'g>) {
    states.extend([(name.to_string(), sum.high), (format!("{name}.low"), sum.low)]);
}

/// The move and its weight, and the new momentum where there is one.
fn advance<'g>(
    moving: &Moving<'g>,
    from: EndPoint<'g>,
    h: f64,
    options: &LangevinOptions,
    key: Key<'g>,
) -> Result<(Moved<'g>, Option<Var<'g>>)> {
    let (g, shape) = (from.x.graph(), from.x.shape());
    let mut proposal = Proposal::new(g, h).temperature(options.temperature);
    proposal.noise_sd = options.noise_sd.map(|sd| g.constant(sd));
    let (now, next) = (|x| moving.now(x), |x| moving.next(x));
    let xi = || key.normal(&shape);
    let uniform = || key.fold_in(ACCEPT).uniform([shape[0]]);
    let moved = match options.kernel {
        Kernel::Frozen => langevin::frozen(from, proposal.temperature, next)?,
        Kernel::Mala if moving.tables.is_empty() => langevin::metropolis(from, &proposal, (xi(), uniform()), now)?,
        Kernel::Mala => langevin::mala(from, &proposal, (xi(), uniform()), now, next)?,
        Kernel::Ula => reweigh(langevin::ula(from, &proposal, xi(), next)?, moving, from, &proposal, options.weights)?,
        Kernel::ClippedUla { max_drift } => langevin::ula(from, &proposal.clip(max_drift), xi(), next)?,
        Kernel::Underdamped { friction } => {
            let bath =
                Bath { time_step: g.constant(h), friction: g.constant(friction), temperature: proposal.temperature };
            let (p, second) = (g.input(MOMENTUM, &shape), key.fold_in(SECOND_NOISE).normal(&shape));
            let (moved, p) = langevin::underdamped((from, p), &bath, (xi(), second), next)?;
            return Ok((moved, Some(p)));
        }
    };
    Ok((moved, None))
}

/// The weight that a rule gives to an unadjusted step.
fn reweigh<'g>(
    moved: Moved<'g>,
    moving: &Moving<'g>,
    from: EndPoint<'g>,
    proposal: &Proposal<'g>,
    rule: WeightRule,
) -> Result<Moved<'g>> {
    let (to, t) = (moved.to, proposal.temperature);
    let gain = match rule {
        WeightRule::Exact => moved.gain,
        WeightRule::KernelRatio => weights::kernel_ratio(from, to, proposal),
        WeightRule::WorkOnly => weights::work_only((from.u, moving.next(from.x)), (moving.now(to.x), to.u), t),
        WeightRule::Aliased => weights::aliased(EndPoint::of(|x| moving.now(x), to.x)?, to, proposal),
    };
    Ok(Moved { gain, ..moved })
}
