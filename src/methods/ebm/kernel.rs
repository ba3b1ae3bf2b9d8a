//! The moves of one iteration: sub-steps under `theta_k`, the last of which ends under `theta_{k+1}`.

use super::config::{Kernel, TrainConfig};
use crate::dynamics::langevin::{self, Moved};
use crate::dynamics::proposal::per_row;
use crate::dynamics::{EndPoint, Proposal, weights};
use crate::error::Result;
use crate::graph::{DType, Graph, Key, Var};

/// Energies at fixed parameters, one value a row.
pub(super) type EnergyAt<'a, 'g> = dyn Fn(Var<'g>) -> Var<'g> + 'a;

/// What moves walkers: drivers first, observers behind them.
pub(super) struct Mover<'a, 'g> {
    pub graph: &'g Graph,
    pub config: &'a TrainConfig,
    pub key: Key<'g>,
    pub now: &'a EnergyAt<'a, 'g>,
    pub next: &'a EnergyAt<'a, 'g>,
    /// Sends positions `[n, d]` elsewhere before they are evaluated: restarts.
    pub restart: &'a dyn Fn(Var<'g>) -> Var<'g>,
}

/// Where an iteration brought the walkers.
pub(super) struct Arrival<'g> {
    /// Position, energy and gradient under `theta_{k+1}`.
    pub to: EndPoint<'g>,
    /// Exact log-weight gained in all sub-steps, `[n]`.
    pub gain: Var<'g>,
}

impl<'g> Mover<'_, 'g> {
    /// All sub-steps. One energy and one gradient each; with the accept test one more for the whole.
    pub fn run(&self, start: EndPoint<'g>) -> Result<Arrival<'g>> {
        match self.config.kernel {
            Kernel::Frozen => self.cross_unmoved(start),
            Kernel::Mala => {
                let mut at = start;
                for s in 0..self.config.sub_steps {
                    let noise = (self.noise(s, at.x), self.key.fold_in(1000 + s as u32).uniform(at.u.shape()));
                    at = langevin::metropolis(at, &self.proposal(), noise, self.now)?.to;
                }
                self.cross_unmoved(at)
            }
            Kernel::Ula | Kernel::ClippedUla { .. } if self.config.moving() < self.config.walkers => {
                self.batched(start)
            }
            Kernel::Ula | Kernel::ClippedUla { .. } => {
                let (from, gain) = self.inner(start)?;
                let to = self.proposal().propose(from, self.noise(self.config.sub_steps - 1, from.x));
                let to = EndPoint::of(self.next, (self.restart)(to))?;
                Ok(Arrival { to, gain: gain + self.weigh(from, to) })
            }
        }
    }

    pub fn proposal(&self) -> Proposal<'g> {
        let proposal = Proposal::new(self.graph, self.config.step_size).temperature(self.config.temperature);
        match self.config.kernel {
            Kernel::ClippedUla { clip } => proposal.clip(clip),
            _ => proposal,
        }
    }

    fn noise(&self, sub_step: usize, like: Var<'g>) -> Var<'g> {
        self.key.fold_in(sub_step as u32).normal(like.shape())
    }

    fn weigh(&self, from: EndPoint<'g>, to: EndPoint<'g>) -> Var<'g> {
        let proposal = self.proposal();
        let weigh = if proposal.clip.is_some() { weights::kernel_ratio } else { weights::ula };
        weigh(from, to, &proposal)
    }

    /// All sub-steps but the last, at fixed parameters.
    fn inner(&self, start: EndPoint<'g>) -> Result<(EndPoint<'g>, Var<'g>)> {
        let (mut at, mut total) = (start, start.u.zeros_like());
        for s in 0..self.config.sub_steps - 1 {
            let Moved { to, gain, .. } = langevin::ula(at, &self.proposal(), self.noise(s, at.x), self.now)?;
            (at, total) = (to, total + gain);
        }
        Ok((at, total))
    }

    fn cross_unmoved(&self, from: EndPoint<'g>) -> Result<Arrival<'g>> {
        let to = EndPoint::of(self.next, (self.restart)(from.x))?;
        let gain = weights::frozen(from.u, to.u, self.proposal().temperature);
        Ok(Arrival { to, gain })
    }

    /// One block of the walkers, and all observers, take the sub-steps; the parameters change for everyone.
    fn batched(&self, start: EndPoint<'g>) -> Result<Arrival<'g>> {
        let (g, n, rows, batch) = (self.graph, self.config.walkers, self.config.rows(), self.config.moving());
        let row = g.iota(0, [rows]);
        let first = self.block() * batch as u32;
        let offset = row - first; // wraps below the block, so one comparison decides
        let moved = row.lt(n as u32).select(offset, g.constant_u32(0)).lt(batch as u32);
        let moving = batch + self.config.observers;
        let slot = g.iota(0, [moving]);
        let source = slot.lt(batch as u32).select((slot + first).min(n as u32 - 1), slot + (n - batch) as u32);
        let (at, gain) = self.inner(start.gather(source))?;
        // A row's place among those that moved; of rows that did not, any place will do.
        let place = row.lt(n as u32).select(offset.min(batch as u32 - 1), row - (n - batch) as u32);
        let from = EndPoint::choose(moved, at.gather(place), start);
        let (proposal, xi) = (self.proposal(), self.noise(self.config.sub_steps - 1, from.x));
        let x = per_row(moved, from.x).select(proposal.propose(from, xi), from.x);
        let to = EndPoint::of(self.next, (self.restart)(x))?;
        let ratio = weights::log_density_ratio(from, to, &proposal);
        let work = weights::frozen(from.u, to.u, proposal.temperature);
        Ok(Arrival { to, gain: work + moved.select(gain.gather(place) + ratio, 0.0) })
    }

    fn block(&self) -> Var<'g> {
        let blocks = self.config.walkers.div_ceil(self.config.moving()).max(1) as u32;
        let step = self.graph.step();
        step - step / blocks * blocks
    }
}

/// Random rows of `pool [m, d]` instead of those marked in `marked` (`Bool [n]`).
pub(super) fn restart_rows<'g>(x: Var<'g>, pool: Var<'g>, marked: Var<'g>, key: Key<'g>) -> Var<'g> {
    let (n, m) = (x.shape()[0], pool.shape()[0]);
    let index = random_rows(key, n, m);
    marked.unsqueeze(1).select(pool.gather(index), x)
}

/// `n` independent row numbers below `m`, each as likely.
pub(super) fn random_rows<'g>(key: Key<'g>, n: usize, m: usize) -> Var<'g> {
    (key.uniform([n]) * m as f64).floor().cast(DType::U32).min(m.max(1) as u32 - 1)
}
