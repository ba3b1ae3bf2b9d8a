//! Kernels that share a launch: a function each, and an entry point that gives each its own workgroups. So it is with sums by
//! teams that have a launch to themselves.

use super::kernel::{Frame, GROUP};
use super::{About, Dispatch, Location, Lowering, team};
use crate::error::Result;
use crate::gpu::grid;
use crate::graph::NodeId;
use std::fmt::Write;
use std::ops::Range;

/// The text of one of several kernels, which finds its number under this name.
pub(super) struct Member {
    pub number: &'static str,
    pub text: String,
    pub count: usize,
    pub flops: f64,
}

impl Lowering<'_> {
    /// The groups of one launch.
    pub(super) fn together(&self, g: usize) -> Range<usize> {
        let launch = self.launches[g];
        let first = self.launches.partition_point(|&other| other < launch);
        first..self.launches.partition_point(|&other| other <= launch)
    }

    /// What a group reads from and writes to, as tensors and words of the arena.
    fn touches(&self, g: usize) -> [Vec<(Option<usize>, Range<usize>)>; 2] {
        let place = |id: &NodeId| {
            Some(match *self.locations.get(id)? {
                Location::Tensor(t) => (Some(t), 0..usize::MAX),
                Location::Arena(first) => (None, first..first + self.node(*id).shape.numel().max(1)),
            })
        };
        let read = |id: &NodeId| match self.parts.get(id) {
            Some(&(first, count, stride)) if self.reads_parts(*id, g) => Some((None, first..first + count * stride)),
            _ => place(id),
        };
        let group = &self.groups[g];
        let reads = self.needs[g].reads.keys().filter_map(read).collect();
        [reads, group.roots.iter().filter_map(place).collect()]
    }

    /// Whether no group of a launch writes what another one of it reads or writes.
    pub(super) fn is_free_of_races(&self, groups: Range<usize>) -> bool {
        let meet = |a: &[(Option<usize>, Range<usize>)], b: &[(Option<usize>, Range<usize>)]| {
            a.iter().any(|(s, p)| b.iter().any(|(t, q)| s == t && p.start < q.end && q.start < p.end))
        };
        let all: Vec<_> = groups.map(|g| self.touches(g)).collect();
        all.iter().enumerate().all(|(i, [_, writes])| {
            all.iter().enumerate().all(|(j, [read, written])| i == j || !(meet(writes, read) || meet(writes, written)))
        })
    }

    /// One kernel for these groups.
    pub(super) fn shared(&self, groups: Range<usize>) -> Result<Dispatch> {
        debug_assert!(self.is_free_of_races(groups.clone()), "kernels of one launch wait for each other");
        let mut frame = Frame::new(self.caps);
        let (mut members, mut bytes, mut what) = (vec![], 0, vec![]);
        for g in groups {
            let group = &self.groups[g];
            members.push(self.member(&mut frame, g, group)?);
            bytes += self.bytes(g, group);
            what.push(self.what(group));
        }
        let flops = members.iter().map(|member| member.flops).sum();
        let about = About { looped: None, flops, bytes, what: what.join(" | ") };
        let (text, groups) = text(&members);
        let name = if members.len() > 1 { "shared" } else { "team" };
        let source = frame.source(name, &text, self.key_paths.len(), GROUP)?;
        let grid = grid(groups as u64 * u64::from(GROUP), GROUP, &self.caps.limits)?;
        self.dispatch(&frame, source, grid, about)
    }
}

/// All functions and the entry point; and the number of workgroups.
fn text(members: &[Member]) -> (String, usize) {
    let (mut functions, mut calls, mut first) = (String::new(), String::new(), 0);
    for (i, Member { number, text, count, .. }) in members.iter().enumerate() {
        let end = first + count.div_ceil(GROUP as usize);
        let _ = write!(functions, "fn member{i}({number}: u32) {{\n{text}}}\n");
        // Invocations of a team wait for each other: none of a group of whole teams may stay out.
        let inside = if count.is_multiple_of(GROUP as usize) { "".into() } else { format!("if number < {count}u ") };
        let _ = write!(
            calls,
            "    if at >= {first}u && at < {end}u {{\n        let number = (at - {first}u) * {GROUP}u + local;\n        \
             {inside}{{ member{i}(number); }}\n    }}\n"
        );
        first = end;
    }
    functions.insert_str(0, &team::memory(&functions));
    let entry = format!(
        "@compute @workgroup_size({GROUP})\n\
         fn main(\n    @builtin(workgroup_id) group: vec3<u32>,\n    @builtin(num_workgroups) groups: vec3<u32>,\n    \
         @builtin(local_invocation_index) local: u32,\n) {{\n    let at = flat_group(group, groups);\n{calls}}}\n"
    );
    (functions + &entry, first)
}
