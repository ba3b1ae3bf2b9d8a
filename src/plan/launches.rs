//! Kernels that share a launch.
//!
//! A GPU takes some four microseconds from one launch to the next, as long as it takes to add up a million numbers: the next kernel
//! starts only when the last one has finished and its results are visible. Small kernels that do not wait for each other therefore
//! share a launch, each with workgroups of its own. Let `d` be the number of launches of small kernels before one, on the longest way
//! to it. All small kernels with the same `d` are ready at the same time, after everything else that waits for fewer:
//!
//! ```text
//! d(small kernel) = 1 + max d(what it waits for)        d(any other) = max d(what it waits for)
//! ```
//!
//! But for what one launch can bind, no order has fewer of them. Software adapters start kernels quickly and compile long ones slowly,
//! so there each has its own launch.

use super::lower::{Lowered, Needs, needs, places};
use super::partition::{Body, Group, Partition, Partitioner};
use crate::error::Result;
use crate::gpu::Caps;
use crate::graph::NodeId;
use std::collections::BTreeSet;

/// Which kernels share a launch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Launches {
    /// As the device suggests.
    #[default]
    Auto,
    /// None: each kernel has a launch of its own.
    Apart,
    /// Small ones that do not wait for each other.
    Shared,
}

impl Launches {
    fn are_shared(self, caps: &Caps) -> bool {
        match self {
            Launches::Auto => !caps.is_software(),
            Launches::Apart => false,
            Launches::Shared => true,
        }
    }
}

/// Most invocations of a kernel that is small: as many as a large GPU runs at a time. A larger one fills it by itself.
const SMALL: usize = 1 << 18;
/// Most kernels in a launch: their text is one.
const KERNELS: usize = 12;

/// Words of intermediate values, 32 MiB, that a GPU's cache holds beside those that a kernel works on.
const HELD: usize = 1 << 23;

/// The kernels in order of launch, and what `lower` makes of them.
///
/// Kernels that share a launch wait for the last of them, and what they read is held until then. Where that doubles the memory of
/// a plan, and more than a cache has, launches are shared only within stretches of it.
pub fn in_launches(
    apart: Partition,
    (part, caps, option): (&Partitioner<'_>, &Caps, Launches),
    lower: impl Fn(&Partition) -> Result<Lowered>,
) -> Result<(Partition, Lowered)> {
    let lowered = |partition: Partition| lower(&partition).map(|lowered| (partition, lowered));
    if apart.groups.len() < 2 || !option.are_shared(caps) {
        return lowered(apart);
    }
    let mut stretches = 1;
    let mut made = lowered(apart.share_launches(part, stretches))?;
    if made.1.arena_words > HELD {
        let most = 2 * lower(&apart)?.arena_words;
        // It ends: of stretches of one kernel each the memory is that of kernels apart.
        while made.1.arena_words > most {
            stretches *= 2;
            made = lowered(apart.share_launches(part, stretches))?;
        }
    }
    Ok(made)
}

impl Partition {
    /// Puts the kernels of each of so many stretches in order of launch, and small ones together.
    fn share_launches(&self, part: &Partitioner<'_>, stretches: usize) -> Partition {
        let all = Waits { part, groups: &self.groups, needs: needs(part, &self.groups) };
        let small: Vec<_> = self.groups.iter().enumerate().map(|(g, group)| all.is_small(g, group)).collect();
        let mut depth: Vec<usize> = vec![];
        for (g, own) in small.iter().enumerate() {
            let before = all.of(g).into_iter().map(|other| depth[other]).max().unwrap_or(0);
            depth.push(before + usize::from(*own));
        }
        let turn = |g: usize| (g * stretches / small.len(), depth[g], !small[g]);
        // Stable: kernels are in an order in which each comes after those that it waits for.
        let mut order: Vec<_> = (0..self.groups.len()).collect();
        order.sort_by_key(|&g| turn(g));
        let mut shared: Vec<Vec<usize>> = vec![];
        for &g in &order {
            let takes = |last: &Vec<usize>| small[g] && turn(last[0]) == turn(g) && all.fit(last, g);
            match shared.last_mut() {
                Some(last) if takes(last) => last.push(g),
                _ => shared.push(vec![g]),
            }
        }
        let launches = shared.iter().enumerate().flat_map(|(launch, of)| vec![launch; of.len()]).collect();
        let groups = order.iter().map(|&g| self.groups[g].clone()).collect();
        Partition { groups, launches, cut: self.cut.clone() }
    }
}

/// What each kernel waits for.
struct Waits<'a> {
    part: &'a Partitioner<'a>,
    groups: &'a [Group],
    needs: Vec<Needs>,
}

impl Waits<'_> {
    /// The kernels that this one waits for, all of them before it: those that make what it reads, and those that read the old value
    /// of a state before it writes the new one.
    fn of(&self, g: usize) -> Vec<usize> {
        let own: Vec<_> = self.groups[g].roots.iter().filter_map(|root| self.part.states.get(root)).collect();
        let makes = |h: usize| {
            let Group { body, roots, .. } = &self.groups[h];
            let parts = |id: &NodeId| matches!(body, Body::Parts(made, _) if made == id);
            self.needs[g].reads.keys().any(|id| roots.contains(id) || parts(id))
        };
        let reads_old = |h: usize| own.iter().any(|state| self.needs[h].reads.contains_key(state));
        (0..g).filter(|&h| makes(h) || reads_old(h)).collect()
    }

    /// Whether a kernel is straight-line code for few places, without networks held in its rows.
    fn is_small(&self, g: usize, group: &Group) -> bool {
        let holds = self.needs[g].inlined.iter().any(|id| self.part.products.contains(*id));
        group.body == Body::Map && (1..=SMALL).contains(&places(&group.domain)) && !group.roots.is_empty() && !holds
    }

    /// Whether a kernel may join these: together they bind few enough tensors, the next values of states among them.
    fn fit(&self, members: &[usize], g: usize) -> bool {
        let part = self.part;
        let bound = |id: &NodeId| part.is_input(*id) || part.outputs.contains(id) || part.windowed.contains(id);
        let all = members.iter().chain([&g]).flat_map(|&h| self.needs[h].reads.keys().chain(&self.groups[h].roots));
        let tensors: BTreeSet<_> = all.copied().filter(bound).collect();
        let old = tensors.iter().filter_map(|id| part.states.get(id)).filter(|id| !tensors.contains(id)).count();
        members.len() < KERNELS && tensors.len() + old <= part.max_tensors
    }
}
