//! Sums by teams: each invocation adds up its share of the terms, and workgroup memory brings the shares together.
//!
//! ```text
//! invocation t of a team     x_t = what stands in the sum, its own terms already added
//! local = t W + w            sum w of the W sums of a workgroup
//! s[local] = x_t;   then in rounds, until W are left:   s[i] += s[i + h] + s[i + 2h] + ..
//! ```
//!
//! The tree has a fixed shape, so that results do not depend on timing.

use super::kernel::{Frame, GROUP};
use super::shared::Member;
use super::{Lowering, STEP, Sources};
use crate::error::Result;
use crate::graph::{Node, NodeId, Op, Shape};
use crate::plan::classify::Team;
use crate::plan::emit::{Affine, Emitter, Fold, Val};
use crate::plan::partition::Group;
use std::fmt::Write;

/// Shares that one invocation adds in a round.
const ROUND: usize = 8;

/// Sums of a workgroup, those of four neighbours counted once.
fn sums(team: Team) -> usize {
    GROUP as usize / team.size
}

/// Workgroups for results of this shape.
pub(super) fn groups(shape: &Shape, team: Team) -> usize {
    (shape.numel() / team.lanes).div_ceil(sums(team))
}

/// Declarations of the workgroup memory that this text uses.
pub(super) fn memory(text: &str) -> String {
    let all = [("team1_0", "f32"), ("team1_1", "f32"), ("team4_0", "vec4<f32>"), ("team4_1", "vec4<f32>")];
    let used = all.into_iter().filter(|(name, _)| text.contains(name));
    used.map(|(name, ty)| format!("var<workgroup> {name}: array<{ty}, {GROUP}>;\n")).collect()
}

impl Lowering<'_> {
    /// Sums of this shape, or maxima, each by a team.
    pub(super) fn team(
        &self,
        frame: &mut Frame,
        sources: &Sources,
        group: &Group,
        shape: &Shape,
        team: Team,
    ) -> Result<Member> {
        let (results, w) = (shape.numel() / team.lanes, sums(team));
        let mut text = format!(
            "{STEP}    let local = number % {GROUP}u;\n    let own = number / {GROUP}u * {w}u + local % {w}u;\n    \
             let result = min(own, {}u);\n    let t = local / {w}u;\n",
            results - 1
        );
        let mut shares = self.emitter(sources, 0);
        let idx = neighbours(&mut shares, shape, team);
        let t = shares.symbol("t", team.size, 0);
        let mut own = vec![];
        for &root in &group.roots {
            let node = self.node(root);
            let at = |idx: &Vec<Affine>| within(node, idx, &t);
            let vals: Vec<_> = idx.iter().map(|idx| shares.value(node.args[0], &at(idx)).to_string()).collect();
            own.push(if team.lanes == 4 { format!("vec4<f32>({})", vals.join(", ")) } else { vals.join("") });
        }
        self.within_turns(shares.turns, &self.what(group))?;
        let flops = (shares.flops + group.roots.len() as f64) * (results * team.size) as f64;
        text.push_str(&shares.finish());
        for (r, (&root, own)) in group.roots.iter().zip(&own).enumerate() {
            text.push_str(&join(r, own, Fold::of(&self.node(root).op), team));
        }
        let stores = self.store_sums(frame, sources, group, shape, team);
        let _ = write!(text, "    if local < {w}u && own < {results}u {{\n{stores}    }}\n");
        Ok(Member { number: "number", text, count: groups(shape, team) * GROUP as usize, flops })
    }

    /// Statements that store the sums, which are called `sum0`, `sum1`, ..
    fn store_sums(&self, frame: &mut Frame, sources: &Sources, group: &Group, shape: &Shape, team: Team) -> String {
        let mut out = self.emitter(sources, 0);
        let idx = neighbours(&mut out, shape, team);
        let name = |r: usize, lane: usize| match team.lanes {
            4 => format!("sum{r}[{lane}]"),
            _ => format!("sum{r}"),
        };
        let named = |(r, &root): (usize, &NodeId)| {
            (root, (0..team.lanes).map(|lane| Val::new(name(r, lane), 0)).collect::<Vec<_>>())
        };
        let stored: Vec<_> = group.roots.iter().enumerate().map(named).collect();
        for (root, vals) in &stored {
            self.store(frame, &mut out, *root, &idx[0], vals);
        }
        self.guard(frame, &mut out, 0, &stored);
        out.finish()
    }
}

/// Indices of the results of an invocation, of which `result` is the number.
fn neighbours(out: &mut Emitter<'_>, shape: &Shape, team: Team) -> Vec<Vec<Affine>> {
    let result = out.symbol("result", shape.numel() / team.lanes, 0);
    let mut boxes = shape.to_vec();
    let Some(last) = boxes.len().checked_sub(1) else { return vec![vec![]] };
    boxes[last] /= team.lanes;
    let first = out.unflatten(&result, &boxes);
    let lane = |lane| {
        let mut idx = first.clone();
        idx[last] = idx[last].times(team.lanes).offset(lane);
        idx
    };
    (0..team.lanes).map(lane).collect()
}

/// Where invocation `t` of a team finds its share of a result.
fn within(node: &Node, idx: &[Affine], t: &Affine) -> Vec<Affine> {
    let axis = match &node.op {
        Op::Sum { axes } | Op::Max { axes } => axes.first().copied().unwrap_or(0),
        _ => 0,
    };
    [&idx[..axis], std::slice::from_ref(t), &idx[axis..]].concat()
}

/// The rounds of one sum. Two stretches of memory take turns, so that the next sum need not wait for this one to be read.
fn join(r: usize, own: &str, fold: Fold, team: Team) -> String {
    let memory = format!("team{}_{}", team.lanes, r % 2);
    let mut text = format!("    {memory}[local] = {own};\n    workgroupBarrier();\n");
    let mut left = GROUP as usize;
    while left > sums(team) {
        let round = (left / sums(team)).min(ROUND);
        left /= round;
        let shares = (1..round).map(|k| format!("{memory}[local + {}u]", k * left));
        let all = shares.fold(format!("{memory}[local]"), |all, share| fold.combine(&all, &share));
        let _ = write!(text, "    if local < {left}u {{ {memory}[local] = {all}; }}\n    workgroupBarrier();\n");
    }
    text + &format!("    let sum{r} = {memory}[local];\n")
}
