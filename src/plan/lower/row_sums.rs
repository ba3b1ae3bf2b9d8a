//! Tiled products of which sums along their rows are stored, and nothing else.

use super::kernel::Frame;
use super::tiled::{LANES, named};
use super::{About, Dispatch, Lowering, STEP, Sources};
use crate::error::Result;
use crate::graph::{DType, NodeId, Op};
use crate::kernels::matmul::MatmulSpec;
use crate::plan::emit::{Affine, Emitter, Val, flatten};
use crate::plan::partition::Group;
use crate::plan::row_sums::RowSum;

impl Lowering<'_> {
    pub(super) fn row_sum(&self, g: usize, group: &Group, id: NodeId, sum: RowSum) -> Result<Option<Dispatch>> {
        let RowSum { product, parts } = sum;
        let Some((spec, knob)) = self.part.tiles.tile_and_knob(product) else { return Ok(None) };
        let Some(template) = spec.row_sum_template().filter(|template| !template.groups.contains(&0)) else {
            return Ok(None);
        };
        let (mut frame, sources) = self.sources(g, group);
        let mut io = self.operands(&mut frame, &sources, &spec, product);
        io.push_str(&self.row_terms(&sources, id, product, spec.vectors().store));
        io.push_str(&self.store_sum(&mut frame, &sources, id, &spec));
        let source = frame.source("matmul", &template.with_io(&io), self.key_paths.len(), template.workgroup_size)?;
        let of = if parts > 1 { format!("{parts} parts of ") } else { String::new() };
        let what = format!("{} -> {of}sum #{} along its rows", named(product, &spec), id.0);
        let flops = 2.0 * (spec.n * spec.k * spec.m) as f64;
        let bytes = self.bytes(g, group) + spec.n as u64 * DType::BYTES;
        let made = self.dispatch(&frame, source, template.groups, About { looped: None, flops, bytes, what })?;
        Ok(Some(Dispatch { knob: Some(knob), ..made }))
    }

    /// The function that says what elements of the product add to the sum of their row.
    fn row_terms(&self, sources: &Sources, id: NodeId, product: NodeId, vector: bool) -> String {
        let mut out = self.emitter(sources, 0);
        let at = self.row_index(&mut out, id);
        let (arg, matrix) = (self.node(id).args[0], &self.node(product).shape);
        let row = flatten(&at, &self.node(arg).shape[..at.len()]);
        let columns: Vec<_> = match vector {
            true => {
                let quad = out.symbol("quad", matrix[1] / 4, 0).times(4);
                (0..4).map(|lane| (LANES[lane], quad.offset(lane))).collect()
            }
            false => vec![("v", out.symbol("j", matrix[1], 0))],
        };
        let mut terms = vec![];
        for (name, column) in columns {
            out.assume(product, vec![row.clone(), column.clone()], Val::new(name, 0));
            let idx: Vec<_> = at.iter().cloned().chain([column]).collect();
            terms.push(out.value(arg, &idx).to_string());
        }
        let (body, terms) = (out.finish(), terms.join(", "));
        match vector {
            true => format!(
                "fn sum4(i: u32, j: u32, v: vec4<f32>) -> vec4<f32> {{\n{STEP}    let quad = j / 4u;\n{body}    \
                 return vec4<f32>({terms});\n}}\n"
            ),
            false => format!("fn sum1(i: u32, j: u32, v: f32) -> f32 {{\n{STEP}{body}    return {terms};\n}}\n"),
        }
    }

    /// The function that stores the sum of a row: rows that share a result are its parts.
    fn store_sum(&self, frame: &mut Frame, sources: &Sources, id: NodeId, spec: &MatmulSpec) -> String {
        let node = self.node(id);
        let (Some(&(base, _, stride)), Op::Sum { axes }) = (self.parts.get(&id), &node.op) else {
            return String::new();
        };
        let mut out = self.emitter(sources, 0);
        let at = self.row_index(&mut out, id);
        debug_assert_eq!(self.node(node.args[0]).shape[..at.len()].iter().product::<usize>(), spec.n);
        let shape = &self.node(node.args[0]).shape;
        let (mut part, mut place) = (Affine::default(), Affine::default());
        for (axis, index) in at.iter().enumerate() {
            let into = if axes.contains(&axis) { &mut part } else { &mut place };
            *into = into.times(shape[axis]).plus(index);
        }
        let (arena, base) = (frame.arena(), frame.base(base));
        let word = part.times(stride).plus(&place).plus(&out.base(base));
        out.store(arena, &word, &[Val::new("s", 0)], DType::F32);
        format!("fn store_sum(i: u32, s: f32) {{\n{STEP}{}}}\n", out.finish())
    }

    /// Indices of the argument of a sum, without the last one, in row `i` of the product.
    fn row_index(&self, out: &mut Emitter<'_>, id: NodeId) -> Vec<Affine> {
        let shape = &self.node(self.node(id).args[0]).shape;
        let rows = &shape[..shape.len() - 1];
        let i = out.symbol("i", rows.iter().product(), 0);
        out.unflatten(&i, rows)
    }
}
