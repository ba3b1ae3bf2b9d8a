//! Kernels that share a launch: a function each, and an entry point that gives each its own workgroups.

use super::kernel::{Frame, GROUP};
use super::{About, Dispatch, Lowering};
use crate::error::Result;
use crate::gpu::grid;
use crate::plan::choices::Form;
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

    /// One kernel for these groups.
    pub(super) fn shared(&self, groups: Range<usize>) -> Result<Option<Dispatch>> {
        let mut frame = Frame::new(Form::plain(self.caps).wide_multiply);
        let (mut members, mut bytes, mut what) = (vec![], 0, vec![]);
        for g in groups {
            let group = &self.groups[g];
            members.extend(self.member(&mut frame, g, group)?);
            bytes += self.bytes(g, group);
            what.push(self.what(group));
        }
        let flops = members.iter().map(|member| member.flops).sum();
        let about = About { looped: None, flops, bytes, what: what.join(" | ") };
        let (text, groups) = text(&members);
        if groups == 0 {
            return Ok(None);
        }
        let source = frame.source("shared", &text, self.key_paths.len(), GROUP)?;
        let grid = grid(groups as u64 * u64::from(GROUP), GROUP, &self.caps.limits)?;
        self.dispatch(&frame, source, grid, about).map(Some)
    }
}

/// All functions and the entry point; and the number of workgroups.
fn text(members: &[Member]) -> (String, usize) {
    let (mut functions, mut calls, mut first) = (String::new(), String::new(), 0);
    for (i, Member { number, text, count, .. }) in members.iter().enumerate() {
        let end = first + count.div_ceil(GROUP as usize);
        let _ = write!(functions, "fn member{i}({number}: u32) {{\n{text}}}\n");
        let _ = write!(
            calls,
            "    if at >= {first}u && at < {end}u {{\n        let number = (at - {first}u) * {GROUP}u + local;\n        \
             if number < {count}u {{ member{i}(number); }}\n    }}\n"
        );
        first = end;
    }
    let entry = format!(
        "@compute @workgroup_size({GROUP})\n\
         fn main(\n    @builtin(workgroup_id) group: vec3<u32>,\n    @builtin(num_workgroups) groups: vec3<u32>,\n    \
         @builtin(local_invocation_index) local: u32,\n) {{\n    let at = flat_group(group, groups);\n{calls}}}\n"
    );
    (functions + &entry, first)
}
