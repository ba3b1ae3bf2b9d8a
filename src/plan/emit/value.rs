//! One element of one node.

use super::{Affine, Emitter, Val, flatten};
use crate::graph::{DType, Node, NodeId, Op};

impl Emitter<'_> {
    /// The element of `node` at `idx` (one affine form an axis): emit what is missing, return its name.
    pub fn value(&mut self, node: NodeId, idx: &[Affine]) -> Val {
        let key = (node, idx.to_vec());
        if let Some(val) = self.values.get(&key) {
            return val.clone();
        }
        if let Some(val) = self.array_element(node, idx) {
            return val;
        }
        if let Some(val) = self.of_another_lane(node, idx) {
            return val;
        }
        self.escaped |= self.states.contains(&node);
        let sources = self.sources;
        let val = match sources.get(&node) {
            Some(source) => self.stored(node, idx, source),
            None => self.computed(node, idx),
        };
        self.values.insert(key, val.clone());
        val
    }

    fn computed(&mut self, id: NodeId, idx: &[Affine]) -> Val {
        let node = self.node(id);
        let arg = |i: usize| node.args[i];
        match &node.op {
            Op::Const(bits) => self.literal(f64::from_bits(*bits), node.dtype),
            Op::Step => self.step.clone(),
            Op::Iota { axis } => {
                let levels = idx[*axis].levels(&self.syms);
                self.define_at(&self.wgsl(&idx[*axis]), &levels)
            }
            Op::Cast => self.cast(&node, idx),
            Op::Unary(f) => self.unary(*f, arg(0), idx),
            Op::Binary(f) => self.binary(*f, &node, idx),
            Op::Compare(f) => self.compare(*f, &node, idx),
            Op::Select => self.select(&node, idx),
            Op::Sum { axes } | Op::Max { axes } => self.over_axes(&node, axes, idx),
            Op::CumSum { axis } => self.cumsum(&node, *axis, idx),
            Op::Reshape => self.flat_word(&node, idx).unwrap_or_else(|| {
                let idx = self.reshaped(&node, idx);
                self.value(arg(0), &idx)
            }),
            Op::Permute(perm) => {
                let mut from = vec![Affine::default(); idx.len()];
                perm.iter().zip(idx).for_each(|(&p, i)| from[p] = i.clone());
                self.value(arg(0), &from)
            }
            Op::Broadcast => {
                let from = self.node(arg(0)).shape.clone();
                let skip = idx.len() - from.len();
                let at = |(&n, i): (&usize, &Affine)| if n == 1 { Affine::default() } else { i.clone() };
                let from: Vec<_> = from.iter().zip(&idx[skip..]).map(at).collect();
                self.value(arg(0), &from)
            }
            Op::Slice(start) => {
                let from: Vec<_> = idx.iter().zip(start).map(|(i, &s)| i.offset(s)).collect();
                self.value(arg(0), &from)
            }
            Op::Pad(start) => self.pad(&node, start, idx),
            Op::Concat { axis } => self.concat(&node, *axis, idx),
            Op::Gather => self.gather(&node, idx),
            Op::ScatterAdd => self.scatter_add(&node, idx),
            Op::SearchSorted => self.search_sorted(&node, idx),
            Op::MatMul => self.dot(&node, idx),
            Op::Stencil { taps, boundary } => self.stencil(&node, taps, *boundary, idx),
            Op::Random(draw) => self.random(&node, *draw, idx),
            Op::StopGrad => self.value(arg(0), idx),
            // Nothing lies there for this kernel: better a text that no compiler takes than a wrong number.
            Op::Input(_) | Op::FoldIn(_) | Op::Apportion | Op::Tridiagonal { .. } | Op::Invalid => {
                Val::new(format!("no_source_{}", id.0), 0)
            }
        }
    }

    /// A constant of this type as a WGSL literal.
    pub(super) fn literal(&self, value: f64, dtype: DType) -> Val {
        let text = match dtype {
            DType::U32 | DType::Key => format!("{}u", value as u32),
            DType::Bool => (value != 0.0).to_string(),
            DType::F32 => {
                let value = value as f32;
                if value.is_finite() {
                    format!("({value:?}f)")
                } else {
                    // Constant expressions may not be infinite in WGSL, so the bits travel in the uniform block.
                    let slot = if value.is_nan() { "nan" } else { "inf" };
                    let sign = if value < 0.0 { "-" } else { "" };
                    format!("({sign}bitcast<f32>(session.{slot}_bits))")
                }
            }
        };
        Val::new(text, 0)
    }

    /// An element of a flat view of a matrix in memory whose row is not known before the kernel runs: nor need it be.
    fn flat_word(&mut self, view: &Node, idx: &[Affine]) -> Option<Val> {
        let sources = self.sources;
        let whole = view.args[0];
        let (source, flat) = (sources.get(&whole)?, idx.first()?);
        let width = *self.node(whole).shape.last()?;
        let plain = self.arrays.is_none() && self.lanes.is_none() && !self.states.contains(&whole);
        let unknown = idx.len() == 1 && width > 0 && flat.div_rem(width, &self.syms).is_none();
        (plain && unknown).then(|| self.stored_at(view.dtype, flat, source))
    }

    fn reshaped(&mut self, node: &Node, idx: &[Affine]) -> Vec<Affine> {
        let from = self.node(node.args[0]).shape.clone();
        let to = &node.shape;
        // Equal leading axes (the walkers) stay as they are: only the rest is flattened and divided.
        let same = from.iter().zip(to.iter()).take_while(|(a, b)| a == b).count();
        // So does a last axis: lanes of a subgroup may hold its columns.
        let last = usize::from(same < from.len().min(to.len()) && from.last() == to.last());
        let (from_end, to_end) = (from.len() - last, to.len() - last);
        let mut flat = flatten(&idx[same..to_end], &to[same..to_end]);
        let mut tail = idx[to_end..].to_vec();
        for &n in from[same..from_end].iter().rev() {
            let (quotient, rest) = if n == 0 { Default::default() } else { self.div_rem(&flat, n) };
            tail.push(rest);
            flat = quotient;
        }
        tail.reverse();
        idx[..same].iter().cloned().chain(tail).collect()
    }
}
