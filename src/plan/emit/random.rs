//! Random nodes: Philox with counter (row, block of four components, step, stream).

use super::{Affine, Emitter, Val, XYZW, flatten, offset_name};
use crate::graph::{Draw, Node, NormalMode};

impl Emitter<'_> {
    pub(super) fn random(&mut self, node: &Node, draw: Draw, idx: &[Affine]) -> Val {
        let row = idx.first().cloned().unwrap_or_default();
        let component = if idx.is_empty() { Affine::default() } else { flatten(&idx[1..], &node.shape[1..]) };
        let (block, lane) = self.div_rem(&component, 4);
        let box_muller = draw == Draw::Normal(NormalMode::BoxMuller);
        let four = self.block(node, &row, &block, box_muller);
        let levels = [lane.levels(&self.syms), vec![four.level]].concat();
        let word = match lane.as_constant() {
            Some(c) => format!("{four}.{}", XYZW[c & 3]),
            None => format!("{four}[{}]", self.wgsl(&lane)),
        };
        let expr = match draw {
            Draw::Uniform => format!("uniform01({word})"),
            Draw::Normal(NormalMode::Exact) => format!("normal_exact({word})"),
            Draw::Bits | Draw::Normal(NormalMode::BoxMuller) => word,
        };
        self.define_at(&expr, &levels)
    }

    /// Four neighbouring draws at once: bits, or normals made from them.
    fn block(&mut self, node: &Node, row: &Affine, block: &Affine, normals: bool) -> Val {
        let key = node.args[0];
        let memo = (key, row.clone(), block.clone(), normals);
        if let Some(val) = self.blocks.get(&memo) {
            return val.clone();
        }
        let val = if normals {
            let bits = self.block(node, row, block, false);
            self.count(60.0);
            self.define(&format!("normal4({bits})"), &[&bits])
        } else {
            let slot = offset_name(self.keys.get(&key).copied().unwrap_or(0));
            let (r, b, step) = (self.wgsl(row), self.wgsl(block), self.step.clone());
            let expr =
                format!("philox4x32(vec4<u32>({r}, {b}, {step}, session.keys[{slot}].z), session.keys[{slot}].xy)");
            self.count(100.0);
            let levels = [row.levels(&self.syms), block.levels(&self.syms), vec![step.level]].concat();
            self.define_at(&expr, &levels)
        };
        self.blocks.insert(memo, val.clone());
        val
    }
}
