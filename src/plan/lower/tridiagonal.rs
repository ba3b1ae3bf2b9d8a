//! Tridiagonal solves: the dispatches of `shaders/tridiagonal.wgsl`.

use super::kernel::Frame;
use super::{About, Dispatch, Lowering, STEP, Sources};
use crate::error::Result;
use crate::graph::{DType, Middle, Node, NodeId, Op};
use crate::kernels::tridiagonal::{Sides, dispatches, text};
use crate::plan::classify::LOOPS;
use crate::plan::emit::{Affine, Emitter, Val, flatten, offset_name};
use crate::plan::partition::Group;
use std::rc::Rc;

fn is_zero(nodes: &[Rc<Node>], id: NodeId) -> bool {
    match &nodes[id.index()].op {
        Op::Const(bits) => f64::from_bits(*bits) == 0.0,
        Op::Broadcast => is_zero(nodes, nodes[id.index()].args[0]),
        _ => false,
    }
}

fn sides(nodes: &[Rc<Node>], id: NodeId) -> Sides {
    let Node { op, args, .. } = &*nodes[id.index()];
    let sums = matches!(op, Op::Tridiagonal { middle: Middle::RowSum, .. });
    Sides { below: !is_zero(nodes, args[0]), above: !is_zero(nodes, args[2]), sums }
}

/// Words that elimination leaves for substitution, beside the result.
pub(super) fn share_words(nodes: &[Rc<Node>], id: NodeId) -> usize {
    let Sides { below, above, .. } = sides(nodes, id);
    if below && above { nodes[id.index()].shape.numel().max(1) } else { 1 }
}

impl Lowering<'_> {
    pub(super) fn tridiagonal(&self, g: usize, group: &Group, id: NodeId) -> Result<Vec<Dispatch>> {
        let node = self.node(id);
        let Op::Tridiagonal { axis, .. } = node.op else { return Ok(vec![]) };
        let (length, sides) = (node.shape[axis], sides(self.nodes, id));
        let lines = node.shape.numel() / length.max(1);
        if lines == 0 {
            return Ok(vec![]);
        }
        let mut all = vec![];
        for part in dispatches(length, sides, LOOPS) {
            let (mut frame, sources) = self.sources(g, group);
            let mut io = String::new();
            for (name, &arg) in ["tri_lower", "tri_middle", "tri_upper", "tri_right"].into_iter().zip(&node.args) {
                io.push_str(&self.coefficient(&sources, id, arg, axis, name));
            }
            io.push_str(&self.solution(&mut frame, &sources, id, axis));
            io.push_str(&self.share(&mut frame, id));
            let text = text(&part, lines, length, sides, &io)?;
            let turns = part.down.len() + part.up.len();
            let what = format!("solve of {length} unknowns a line, tridiagonal #{}", id.0);
            let flops = 5.0 * (lines * turns) as f64;
            let about = About { looped: None, flops, bytes: self.bytes(g, group), what };
            all.push(self.finish(&frame, "tridiagonal", &text, lines, about)?);
        }
        Ok(all)
    }

    /// Indices of element `k` of a line.
    fn line_index(&self, out: &mut Emitter<'_>, id: NodeId, axis: usize) -> Vec<Affine> {
        let shape = &self.node(id).shape;
        let inner: usize = shape[axis + 1..].iter().product();
        let lines = shape.numel() / shape[axis];
        let (line, k) = (out.symbol("line", lines, 0), out.symbol("k", shape[axis], 0));
        let split = out.unflatten(&line, &[lines / inner, inner]);
        let mut idx = out.unflatten(&split[0], &shape[..axis]);
        idx.push(k);
        idx.extend(out.unflatten(&split[1], &shape[axis + 1..]));
        idx
    }

    fn coefficient(&self, sources: &Sources, id: NodeId, arg: NodeId, axis: usize, name: &str) -> String {
        let mut out = self.emitter(sources, 0);
        let idx = self.line_index(&mut out, id, axis);
        let value = out.value(arg, &idx).to_string();
        format!("fn {name}(line: u32, k: u32) -> f32 {{\n{STEP}{}    return {value};\n}}\n", out.finish())
    }

    /// The functions that move the solution.
    fn solution(&self, frame: &mut Frame, sources: &Sources, id: NodeId, axis: usize) -> String {
        let Some((binding, base)) = self.place_of(frame, id, true) else { return String::new() };
        let mut io = String::new();
        for name in ["tri_keep", "tri_finish", "tri_load"] {
            let mut out = self.emitter(sources, 0);
            let idx = self.line_index(&mut out, id, axis);
            let word = flatten(&idx, &self.node(id).shape).plus(&out.base(base));
            if name == "tri_load" {
                let word = out.wgsl(&word);
                io.push_str(&format!(
                    "fn tri_load(line: u32, k: u32) -> f32 {{\n{}    let word = {word};\n    \
                     return bitcast<f32>(pick_buf{binding}(word / 4u, word % 4u));\n}}\n",
                    out.finish()
                ));
                continue;
            }
            let x = Val::new("x", 0);
            out.store(binding, &word, std::slice::from_ref(&x), DType::F32);
            if name == "tri_finish" {
                self.guard(frame, &mut out, 0, &[(id, vec![x])]);
            }
            io.push_str(&format!("fn {name}(line: u32, k: u32, x: f32) {{\n{}}}\n", out.finish()));
        }
        io
    }

    /// The functions that move what elimination leaves for substitution.
    fn share(&self, frame: &mut Frame, id: NodeId) -> String {
        let base = self.parts.get(&id).and_then(|&(base, ..)| frame.base(base));
        let (arena, base) = (frame.arena(), base.map_or("0u".into(), offset_name));
        format!(
            "fn share_load(place: u32) -> f32 {{\n    let word = 4u * {base} + place;\n    \
             return bitcast<f32>(pick_buf{arena}(word / 4u, word % 4u));\n}}\n\
             fn share_keep(place: u32, c: f32) {{\n    let word = 4u * {base} + place;\n    \
             put_buf{arena}(word / 4u, word % 4u, bitcast<u32>(c));\n}}\n"
        )
    }
}
