//! Reductions over more terms than one invocation should add, and running sums.
//!
//! No barriers and no workgroup memory: a first kernel makes parts, a second one adds them. The tree has a fixed shape,
//! so results do not depend on timing, and on software adapters, where a barrier is dear, it is the faster way.

use super::kernel::{GROUP, entry};
use super::map::FLAT;
use super::{About, Dispatch, Lowering, STEP};
use crate::error::Result;
use crate::graph::{DType, Node, NodeId, Op, Shape};
use crate::kernels::scan;
use crate::plan::classify::parts;
use crate::plan::emit::{Affine, Emitter, PartCut, flatten, offset_name};
use crate::plan::partition::Group;

/// Words that a scan needs for the totals of its chunks (two words each: sum and compensation).
pub(super) fn scan_parts(shape: &Shape, op: &Op) -> usize {
    let Op::CumSum { axis } = op else { return 0 };
    let length = shape[*axis];
    2 * parts(length) * (shape.numel() / length.max(1))
}

impl Lowering<'_> {
    pub(super) fn parts(&self, g: usize, group: &Group, id: NodeId, count: usize) -> Result<Option<Dispatch>> {
        let node = self.node(id);
        let Some(&(base, _, stride)) = self.parts.get(&id) else { return Ok(None) };
        let results = node.shape.numel();
        let source = &self.node(node.args[0]).shape;
        let terms = match &node.op {
            Op::MatMul => source[1],
            _ => source.numel() / results.max(1),
        };
        let across = self.results_together(node, source);
        let places = count * results / if across.is_some() { 4 } else { 1 };
        if places == 0 {
            return Ok(None);
        }
        let (mut frame, sources) = self.sources(g, group);
        let mut out = self.emitter(&sources, 0);
        let idx = first_result(&mut out, places, count, &node.shape, across);
        let cut = PartCut { parts: count, terms, lanes: if self.is_flat(g, source, FLAT) { 4 } else { 1 }, across };
        let part = out.part(id, &idx[1..], &idx[0], cut);
        let (arena, base) = (frame.arena(), frame.base(base));
        let word = idx[0].times(stride).plus(&flatten(&idx[1..], &node.shape)).plus(&out.base(base));
        // Words from one result of an invocation to the next: those that lie apart are stored apart.
        let apart: usize = across.map_or(1, |axis| node.shape[axis + 1..].iter().product());
        for (c, part) in part.chunks(if apart == 1 { 4 } else { 1 }).enumerate() {
            out.store(arena, &word.offset(c * apart), part, node.dtype);
        }
        let (flops, what) = (out.flops * places as f64, format!("{count} parts of {} #{}", node.op.name(), id.0));
        self.within_turns(out.turns, &what)?;
        let body = format!("{STEP}{}", out.finish());
        let bytes = self.bytes(g, group) + (count * results) as u64 * DType::BYTES;
        let about = About { looped: None, flops, bytes, what };
        self.finish(&frame, "parts", &entry(places, GROUP, &body), places, about).map(Some)
    }

    /// The axis along which one invocation makes four results: they read neighbours in memory, which are one load. That counts on a
    /// software adapter; a GPU has more lanes than results.
    fn results_together(&self, node: &Node, source: &Shape) -> Option<usize> {
        let fours = |axis: &usize| node.shape[*axis].is_multiple_of(4);
        let axis = match &node.op {
            Op::Sum { axes } | Op::Max { axes } => {
                let along_rows = axes.last().is_some_and(|&last| last + 1 == source.len());
                node.shape.len().checked_sub(1).filter(fours).filter(|_| !along_rows)
            }
            _ => {
                let turned = matches!(self.node(node.args[0]).op, Op::Permute(_));
                Some(1).filter(fours).or(Some(0).filter(|axis| turned && fours(axis)))
            }
        };
        axis.filter(|_| self.caps.is_software())
    }

    /// A running sum: totals of chunks, then each chunk from the sum of the totals before it.
    pub(super) fn scan(&self, g: usize, group: &Group, id: NodeId) -> Result<Vec<Dispatch>> {
        let node = self.node(id);
        let Op::CumSum { axis } = node.op else { return Ok(vec![]) };
        let Some(&(base, ..)) = self.parts.get(&id) else { return Ok(vec![]) };
        let length = node.shape[axis];
        let chunks = parts(length);
        let lines = node.shape.numel() / length.max(1);
        let inner: usize = node.shape[axis + 1..].iter().product();
        if lines == 0 {
            return Ok(vec![]);
        }
        let mut all = vec![];
        for stage in [scan::Stage::Totals, scan::Stage::Sums] {
            let (mut frame, sources) = self.sources(g, group);
            let mut load = self.emitter(&sources, 0);
            let line = load.symbol("line", lines, 0);
            let k = load.symbol("k", length, 0);
            let split = load.unflatten(&line, &[lines / inner.max(1), inner]);
            // Axes before the scanned one, the scanned one, axes after it.
            let mut idx = load.unflatten(&split[0], &node.shape[..axis]);
            idx.push(k);
            idx.extend(load.unflatten(&split[1], &node.shape[axis + 1..]));
            let x = load.value(node.args[0], &idx);
            let word = flatten(&idx, &node.shape);
            let result = self.place_of(&mut frame, id, true);
            let arena = frame.arena();
            let (into, first) = result.unwrap_or((arena, None));
            let totals_base = frame.base(base).map_or("0u".into(), offset_name);
            let word = word.plus(&load.base(first));
            let at = load.wgsl(&word);
            let load = load.finish();
            let io =
                scan::Io { load: &load, value: &x.text, word: &at, into, totals: arena, totals_base: &totals_base };
            let text = scan::text(stage, node.dtype, lines, length, chunks, &io)?;
            let places = lines * chunks;
            let what = format!("{} of cumsum #{}", stage.name(), id.0);
            let flops = 6.0 * node.shape.numel() as f64;
            let about = About { looped: None, flops, bytes: self.bytes(g, group), what };
            all.push(self.finish(&frame, "scan", &text, places, about)?);
        }
        Ok(all)
    }
}

/// Which part an invocation makes, and of which result, the first one if it makes four along an axis.
fn first_result(
    out: &mut Emitter<'_>,
    places: usize,
    parts: usize,
    shape: &Shape,
    across: Option<usize>,
) -> Vec<Affine> {
    let place = out.symbol("place", places, 0);
    let mut boxes: Vec<_> = [parts].into_iter().chain(shape.iter().copied()).collect();
    let Some(axis) = across.map(|axis| axis + 1) else { return out.unflatten(&place, &boxes) };
    boxes[axis] /= 4;
    let mut idx = out.unflatten(&place, &boxes);
    idx[axis] = idx[axis].times(4);
    idx
}
