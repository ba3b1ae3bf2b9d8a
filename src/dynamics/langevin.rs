//! One step of a walker, as a graph: the move, and the log-weight it earns.
//!
//! A step starts from an [`EndPoint`] under `U_k` and ends at one under `U_{k+1}`, so energy and gradient at the new point
//! are the next step's start: **one gradient a step**, carried as state, also while the energy changes ([`mala`] needs two
//! then). The noise is an argument, so a step is a function like any other: test it, replay it, differentiate it.
//!
//! | kernel | stationary density at fixed energy | weighted averages | gradients a step |
//! |---|---|---|---|
//! | [`ula`] | `exp(-U)` up to O(h) | exact | 1 |
//! | [`ula`], clipped proposal | another one where the clip acts | exact | 1 |
//! | [`mala`] | `exp(-U)` | exact | 1, and 1 where the energy changes |
//! | [`underdamped`] (OBABO) | `exp(-U)` up to O(h^2) | exact | 1 |
//! | [`frozen`] | every density | exact | 1 (0 if the gradient is not used) |

use super::proposal::{EndPoint, Proposal, per_row};
use super::weights;
use crate::error::Result;
use crate::graph::{Graph, Var};

/// What a step gives.
#[derive(Clone, Copy)]
pub struct Moved<'g> {
    /// The new point, under the next energy.
    pub to: EndPoint<'g>,
    /// Log-weight gained, `[n]`.
    pub gain: Var<'g>,
    /// Probability with which the move was accepted, `[n]`: 1 where there is no test.
    pub acceptance: Var<'g>,
}

/// Unadjusted Langevin: `y = x + drift(grad U_k(x)) + sd xi`, then the energy becomes `next`.
///
/// `xi` are standard normals of the shape of `x`. The weight is the proposal's own: [`weights::ula`], or
/// [`weights::kernel_ratio`] where the drift is clipped. Weak order 1 in the step size, without weights.
///
/// # Errors
/// As [`EndPoint::of`].
pub fn ula<'g>(
    from: EndPoint<'g>,
    proposal: &Proposal<'g>,
    xi: Var<'g>,
    next: impl Fn(Var<'g>) -> Var<'g>,
) -> Result<Moved<'g>> {
    let to = EndPoint::of(next, proposal.propose(from, xi))?;
    let weigh = if proposal.clip.is_some() { weights::kernel_ratio } else { weights::ula };
    Ok(Moved { to, gain: weigh(from, to, proposal), acceptance: from.u.graph().full(1.0, from.u.shape()) })
}

/// Metropolis-adjusted Langevin under `now` (the energy `from` carries), then the energy becomes `next`.
///
/// ```text
/// accept y with probability min(1, exp[(U(x) - U(y))/T + l(y -> x) - l(x -> y)])
/// ```
///
/// `uniform [n]` in (0, 1) decides. A proposal at which the energy is not a number is rejected. The weight is
/// [`weights::reversible`]. At fixed energy use [`metropolis`], which needs no second gradient.
///
/// # Errors
/// As [`EndPoint::of`].
pub fn mala<'g>(
    from: EndPoint<'g>,
    proposal: &Proposal<'g>,
    (xi, uniform): (Var<'g>, Var<'g>),
    now: impl Fn(Var<'g>) -> Var<'g>,
    next: impl Fn(Var<'g>) -> Var<'g>,
) -> Result<Moved<'g>> {
    let kept = metropolis(from, proposal, (xi, uniform), now)?;
    let to = EndPoint::of(next, kept.to.x)?;
    Ok(Moved { to, gain: weights::reversible(kept.to.u, to.u, proposal.temperature), ..kept })
}

/// One accepted or rejected step at fixed energy, which leaves `exp(-U/T)` unchanged: the gain is 0.
///
/// # Errors
/// As [`EndPoint::of`].
pub fn metropolis<'g>(
    from: EndPoint<'g>,
    proposal: &Proposal<'g>,
    (xi, uniform): (Var<'g>, Var<'g>),
    energy: impl Fn(Var<'g>) -> Var<'g>,
) -> Result<Moved<'g>> {
    let to = EndPoint::of(energy, proposal.propose(from, xi))?;
    let log_ratio = weights::kernel_ratio(from, to, proposal);
    // The comparison is false for NaN, so such a proposal is rejected.
    let accepted = uniform.log().lt(log_ratio);
    let acceptance = log_ratio.min(0.0).exp();
    Ok(Moved { to: EndPoint::choose(accepted, to, from), gain: from.u.zeros_like(), acceptance })
}

/// No move; the energy becomes `next`. The weight is [`weights::frozen`]: plain importance sampling.
///
/// # Errors
/// As [`EndPoint::of`].
pub fn frozen<'g>(from: EndPoint<'g>, temperature: Var<'g>, next: impl Fn(Var<'g>) -> Var<'g>) -> Result<Moved<'g>> {
    let to = EndPoint::of(next, from.x)?;
    let gain = weights::frozen(from.u, to.u, temperature);
    Ok(Moved { to, gain, acceptance: from.u.graph().full(1.0, from.u.shape()) })
}

/// Underdamped Langevin with momentum `p` and unit masses, by OBABO: half a refreshment of the momentum, half a kick by
/// `U_k`, a drift, half a kick by `U_{k+1}`, half a refreshment. Returns the step and the new momentum.
///
/// ```text
/// O: p <- c p + sqrt((1 - c^2) T) xi,  c = exp(-friction dt/2)      B: p <- p - (dt/2) grad U      A: x <- x + dt p
/// ```
///
/// `time_step` has the unit of time (`length / sqrt(energy)` at unit mass). Walkers start with momenta `sqrt(T) N(0, 1)`.
/// This order, because all that is not reversible is the deterministic middle, which preserves volume: its energy error
/// is the exact log-weight ([`weights::shadow_work`]) and the second kick's gradient is the next step's first. Without
/// weights configurational averages have a bias of second order in `time_step`.
///
/// Source: Bussi and Parrinello, PRE 75, 056707 (2007); the weight: Sivak, Chodera and Crooks, PRX 3, 011007 (2013).
///
/// # Errors
/// As [`EndPoint::of`].
pub fn underdamped<'g>(
    (from, p): (EndPoint<'g>, Var<'g>),
    bath: &Bath<'g>,
    (xi, xi_after): (Var<'g>, Var<'g>),
    next: impl Fn(Var<'g>) -> Var<'g>,
) -> Result<(Moved<'g>, Var<'g>)> {
    let half = bath.time_step * 0.5;
    let refreshed = bath.refresh(p, xi);
    let kicked = refreshed - half * from.grad;
    let to = EndPoint::of(next, from.x + bath.time_step * kicked)?;
    let arrived = kicked - half * to.grad;
    let gain = weights::shadow_work((from.u, refreshed), (to.u, arrived), bath.temperature);
    let moved = Moved { to, gain, acceptance: from.u.graph().full(1.0, from.u.shape()) };
    Ok((moved, bath.refresh(arrived, xi_after)))
}

/// Scalars of [`underdamped`].
#[derive(Clone, Copy)]
pub struct Bath<'g> {
    /// `dt`, time, > 0.
    pub time_step: Var<'g>,
    /// Rate at which momenta are forgotten, 1 / time, >= 0.
    pub friction: Var<'g>,
    /// `T`, energy.
    pub temperature: Var<'g>,
}

impl<'g> Bath<'g> {
    fn refresh(&self, p: Var<'g>, xi: Var<'g>) -> Var<'g> {
        let decay = self.friction * self.time_step * -0.5;
        // 1 - c^2 by expm1: at weak friction the difference would lose all its digits.
        let sd = ((decay * 2.0).expm1() * -self.temperature).sqrt();
        decay.exp() * p + sd * xi
    }
}

/// The step of a mini-batch: walkers marked in `moved` (`Bool [n]`) take `step`; the others stay, and earn the weight of a
/// frozen walker, `(U_k(x) - U_{k+1}(x))/T`. Exact as long as the marks do not depend on positions.
///
/// # Errors
/// As [`EndPoint::of`].
pub fn minibatch<'g>(
    from: EndPoint<'g>,
    proposal: &Proposal<'g>,
    (xi, moved): (Var<'g>, Var<'g>),
    next: impl Fn(Var<'g>) -> Var<'g>,
) -> Result<Moved<'g>> {
    let x = per_row(moved, from.x).select(proposal.propose(from, xi), from.x);
    let to = EndPoint::of(next, x)?;
    let ratio = weights::log_density_ratio(from, to, proposal);
    let gain = weights::frozen(from.u, to.u, proposal.temperature) + moved.select(ratio, 0.0);
    Ok(Moved { to, gain, acceptance: from.u.graph().full(1.0, from.u.shape()) })
}

/// Marks one block of at most `batch` of `n` walkers, the next block at each step, round and round: `Bool [n]`.
///
/// Walkers are exchangeable, so a block is as good as a random subset; no draw, no permutation, and each walker moves
/// once in `ceil(n / batch)` steps.
pub fn rotating_batch(graph: &Graph, n: usize, batch: usize) -> Var<'_> {
    let batch = batch.clamp(1, n.max(1));
    let (blocks, batch) = (n.div_ceil(batch).max(1) as u32, batch as u32);
    let step = graph.step();
    let block = step - step / blocks * blocks;
    (graph.iota(0, [n]) / batch).equal(block)
}
