//! Wide rows of a kernel's own: layers of a network in arrays, each filled by a loop.
//!
//! A kernel of rows that holds products computes them stage by stage. A stage is a loop over quads of columns that fills
//! the arrays of one depth (products passed so far) and one width; it is written when something first asks for one of its
//! elements, and lands, like every loop, in the outermost scope that knows what it reads. An operand of a product is read
//! from its array once, before the loop, into names: the loop itself then has constants for indices.

use super::{Affine, Emitter, Source, Val, XYZW, flatten};
use crate::graph::{DType, Node, NodeId, Op};
use crate::plan::layers::{Layers, is_wide};
use crate::plan::products::RowTile;
use std::collections::HashMap;

/// Where a stage stands.
#[derive(Clone, Debug)]
enum Progress {
    Waiting,
    /// In its loop, with this index of a quad.
    Open(Affine),
    /// Filled, in the scope of this level.
    Done(usize),
}

/// What an emitter knows of the arrays of its kernel.
pub struct Arrays {
    layers: Layers,
    tile: RowTile,
    /// Index of each row that an invocation computes.
    rows: Vec<Affine>,
    lane: Affine,
    progress: Vec<Progress>,
    /// Quads of arrays that have a name, by node, row and quad.
    quads: HashMap<(NodeId, usize, Affine), Val>,
}

impl Emitter<'_> {
    /// Compute these layers in arrays, for these rows; `lane` is the place in the subgroup.
    pub fn hold(&mut self, layers: Layers, tile: RowTile, rows: Vec<Affine>, lane: Affine) {
        let progress = vec![Progress::Waiting; layers.stages.len()];
        self.arrays = Some(Arrays { layers, tile, rows, lane, progress, quads: HashMap::new() });
    }

    /// Whether this node lies in an array while the kernel runs, and is wider than what is held in scalars.
    pub fn has_array(&self, node: NodeId) -> bool {
        let held = |arrays: &Arrays| arrays.layers.stage_of.contains_key(&node);
        is_wide(self.nodes, node) && self.arrays.as_ref().is_some_and(held)
    }

    /// The element of a node that has an array, unless it is asked for in the loop that fills it.
    pub(super) fn array_element(&mut self, node: NodeId, idx: &[Affine]) -> Option<Val> {
        let arrays = self.arrays.as_ref()?;
        let stage = *arrays.layers.stage_of.get(&node)?;
        let row = arrays.rows.iter().position(|row| *row == idx[0])?;
        if let Progress::Open(quad) = arrays.progress[stage].clone() {
            if self.is_product(node) {
                self.product(node, &quad);
            }
            return self.values.get(&(node, idx.to_vec())).cloned();
        }
        let is_sum = arrays.layers.stages[stage].sums.contains(&node);
        let level = self.fill(stage);
        if is_sum {
            let column = idx.get(1).and_then(Affine::as_constant).unwrap_or(0);
            return Some(Val::new(sum_name(node, row, column), level));
        }
        let (quad, lane) = self.div_rem(&idx[1], 4);
        let levels = [quad.levels(&self.syms), vec![level]].concat();
        let memo = (node, row, quad.clone());
        let known = self.arrays.as_ref().and_then(|arrays| arrays.quads.get(&memo)).cloned();
        let whole = known.unwrap_or_else(|| {
            let whole = self.define_at(&format!("{}[{}]", array_name(node, row), self.wgsl(&quad)), &levels);
            self.arrays.iter_mut().for_each(|arrays| drop(arrays.quads.insert(memo.clone(), whole.clone())));
            whole
        });
        Some(match lane.as_constant() {
            Some(c) => self.define(&format!("{whole}.{}", XYZW[c & 3]), &[&whole]),
            None => {
                let levels = [lane.levels(&self.syms), vec![whole.level]].concat();
                self.define_at(&format!("{whole}[{}]", self.wgsl(&lane)), &levels)
            }
        })
    }

    fn is_product(&self, node: NodeId) -> bool {
        self.nodes[node.index()].op == Op::MatMul
    }

    /// Write the loop of a stage, once. Returns the level of its arrays.
    fn fill(&mut self, stage: usize) -> usize {
        let Some(arrays) = &self.arrays else { return 0 };
        if let Progress::Done(level) = arrays.progress[stage] {
            return level;
        }
        let (what, rows) = (arrays.layers.stages[stage].clone(), arrays.rows.clone());
        let counter = format!("q{}", self.names);
        self.names += 1;
        let (level, quads) = (self.open(), what.width / 4);
        let quad = self.symbol(&counter, quads, level);
        self.set_progress(stage, Progress::Open(quad.clone()));
        // Not times the loop that asked first: it lands outside of it.
        let asking = std::mem::replace(&mut self.weight, quads as f64);
        self.turns += quads as f64;
        let mut head = String::new();
        let places = |row: &Affine| [0, 1, 2, 3].map(|c| [row.clone(), quad.times(4).offset(c)]);
        for &node in &what.arrays {
            for (r, row) in rows.iter().enumerate() {
                let vals = places(row).map(|at| self.value(node, &at));
                if what.kept.contains(&node) {
                    let (name, ty) = (array_name(node, r), self.wgsl_type(node));
                    head.push_str(&format!("var {name}: array<vec4<{ty}>, {quads}>;\n"));
                    let text = vals.iter().map(Val::to_string).collect::<Vec<_>>().join(", ");
                    let levels: Vec<_> = vals.iter().map(|val| val.level).collect();
                    self.statement(level, &format!("{name}[{counter}] = vec4<{ty}>({text});"), &levels);
                }
            }
        }
        for &node in &what.sums {
            rows.iter().enumerate().for_each(|(r, row)| self.add_up(node, r, &places(row), &mut head));
        }
        self.weight = asking;
        head.push_str(&format!("for (var {counter} = 0u; {counter} < {quads}u; {counter}++) {{"));
        let at = self.close(&head, &[]);
        self.set_progress(stage, Progress::Done(at));
        at
    }

    /// The terms of a sum along a row that lie in one quad of columns.
    fn add_up(&mut self, id: NodeId, row: usize, places: &[[Affine; 2]; 4], head: &mut String) {
        let (node, level) = (self.node(id), self.level());
        let x = places.each_ref().map(|at| self.value(node.args[0], at));
        let columns = if node.op == Op::MatMul { node.shape[1] } else { 1 };
        for column in 0..columns {
            let terms = match &node.op {
                Op::MatMul => {
                    let w = places
                        .each_ref()
                        .map(|at| self.value(node.args[1], &[at[1].clone(), Affine::constant(column)]));
                    [0, 1, 2, 3].map(|c| self.define(&format!("{} * {}", x[c], w[c]), &[&x[c], &w[c]]))
                }
                _ => x.clone(),
            };
            self.count(8.0);
            let name = sum_name(id, row, column);
            head.push_str(&format!("var {name} = {};\n", self.literal(0.0, node.dtype)));
            let [a, b, c, d] = &terms;
            let levels = terms.each_ref().map(|term| term.level);
            self.statement(level, &format!("{name} += ({a} + {b}) + ({c} + {d});"), &levels);
        }
    }

    fn set_progress(&mut self, stage: usize, progress: Progress) {
        if let Some(arrays) = &mut self.arrays {
            arrays.progress[stage] = progress;
        }
    }

    fn wgsl_type(&self, node: NodeId) -> &'static str {
        match self.nodes[node.index()].dtype {
            DType::F32 => "f32",
            DType::Bool => "bool",
            DType::U32 | DType::Key => "u32",
        }
    }

    /// Four columns of a product, for all rows of the tile: their elements are known afterwards.
    fn product(&mut self, id: NodeId, quad: &Affine) {
        let Some(arrays) = &self.arrays else { return };
        let (tile, rows) = (arrays.tile, arrays.rows.clone());
        let first = (id, vec![rows[0].clone(), quad.times(4)]);
        if self.values.contains_key(&first) {
            return;
        }
        let node = self.node(id);
        let (a, b) = (node.args[0], node.args[1]);
        let k = self.node(a).shape[1];
        let x: Vec<Vec<Val>> = rows
            .iter()
            .map(|row| (0..k).map(|t| self.value(a, &[row.clone(), Affine::constant(t)])).collect())
            .collect();
        self.count(2.0 * (4 * k * rows.len()) as f64);
        let weights = Weights { id: b, k, lanes: tile.group as usize, broadcast: tile.broadcast };
        let columns = match &self.node(b).op {
            Op::Permute(_) => self.dot_form(&weights, quad, &x),
            _ => self.outer_form(&weights, quad, &x),
        };
        for (row, columns) in rows.iter().zip(columns) {
            for (c, val) in columns.into_iter().enumerate() {
                self.values.insert((id, vec![row.clone(), quad.times(4).offset(c)]), val);
            }
        }
    }

    /// `C[4q..] += x[k] B[k, 4q..]`: B lies by rows, so that its vectors run along the columns of C.
    fn outer_form(&mut self, b: &Weights, quad: &Affine, x: &[Vec<Val>]) -> Vec<[Val; 4]> {
        let level = self.level();
        let sums: Vec<_> = x.iter().map(|_| self.accumulator(level)).collect();
        let mut loaded = None;
        for t in 0..b.k {
            let places = [0, 1, 2, 3].map(|c| [Affine::constant(t), quad.times(4).offset(c)]);
            let from_lane = |e: &mut Self, first| [e.lane_index(first, b.k), quad.times(4)];
            let w = self.weights(b, t, &mut loaded, from_lane, places);
            for (sum, x) in sums.iter().zip(x) {
                self.statement(level, &format!("{sum} += {} * {w};", x[t]), &[x[t].level, w.level]);
            }
        }
        sums.iter().map(|sum| XYZW.map(|c| self.define_at(&format!("{sum}.{c}"), &[level]))).collect()
    }

    /// `C[j] = sum over quads of x[4t..] . B[4t.., j]`: B lies by columns, so that its vectors run along the sum.
    fn dot_form(&mut self, b: &Weights, quad: &Affine, x: &[Vec<Val>]) -> Vec<[Val; 4]> {
        let level = self.level();
        let x: Vec<Vec<Val>> =
            x.iter().map(|row| row.chunks_exact(4).map(|four| self.vector(four)).collect()).collect();
        let mut columns: Vec<Vec<Val>> = x.iter().map(|_| vec![]).collect();
        for c in 0..4 {
            let column = quad.times(4).offset(c);
            let sums: Vec<_> = x.iter().map(|_| self.accumulator(level)).collect();
            let mut loaded = None;
            for t in 0..b.k / 4 {
                let places = [0, 1, 2, 3].map(|e| [Affine::constant(4 * t + e), column.clone()]);
                let from_lane = |e: &mut Self, first| [e.lane_index(first, b.k / 4).times(4), column.clone()];
                let w = self.weights(b, t, &mut loaded, from_lane, places);
                for (sum, x) in sums.iter().zip(&x) {
                    self.statement(level, &format!("{sum} += {} * {w};", x[t]), &[x[t].level, w.level]);
                }
            }
            for (sum, of_row) in sums.iter().zip(&mut columns) {
                of_row.push(self.define_at(&format!("({sum}.x + {sum}.y) + ({sum}.z + {sum}.w)"), &[level]));
            }
        }
        columns.into_iter().map(|c| [c[0].clone(), c[1].clone(), c[2].clone(), c[3].clone()]).collect()
    }

    /// A vector of four sums in the innermost scope.
    fn accumulator(&mut self, level: usize) -> String {
        let name = format!("sum{}", self.names);
        self.names += 1;
        self.statement(level, &format!("var {name} = vec4<f32>();"), &[]);
        name
    }

    fn vector(&mut self, four: &[Val]) -> Val {
        let text = four.iter().map(Val::to_string).collect::<Vec<_>>().join(", ");
        self.define(&format!("vec4<f32>({text})"), &four.iter().collect::<Vec<_>>())
    }

    /// The `t`-th vector of weights of a loop, at these places. Where lanes hand weights to each other, each of them loads
    /// one in every so many: the one from `first + lane` on, which is kept in `loaded`.
    fn weights(
        &mut self,
        b: &Weights,
        t: usize,
        loaded: &mut Option<Val>,
        from_lane: impl Fn(&mut Self, usize) -> [Affine; 2],
        places: [[Affine; 2]; 4],
    ) -> Val {
        if b.broadcast && t.is_multiple_of(b.lanes) {
            let at = from_lane(self, t);
            *loaded = self.quad_of(b.id, at);
        }
        match loaded {
            Some(four) => self.define(&format!("subgroupBroadcast({four}, {}u)", t % b.lanes), &[four]),
            None => {
                let four = places.map(|at| self.value(b.id, &at));
                self.vector(&four)
            }
        }
    }

    /// `first + lane`, at most `end - 1`.
    fn lane_index(&mut self, first: usize, end: usize) -> Affine {
        let Some(arrays) = &self.arrays else { return Affine::default() };
        let at = arrays.lane.offset(first);
        if at.extent(&self.syms) <= end {
            return at;
        }
        let text = format!("min({}, {}u)", self.wgsl(&at), end - 1);
        self.opaque(text, end, &[0])
    }

    /// Four neighbours in memory of a stored matrix or its transpose, from this element on; `None` if they are not one
    /// vector.
    fn quad_of(&mut self, id: NodeId, at: [Affine; 2]) -> Option<Val> {
        let [i, j] = at;
        let (view, at) = match &self.node(id).op {
            Op::Permute(_) => (self.node(id).args[0], [j, i]),
            _ => (id, [i, j]),
        };
        let (binding, word) = self.word_of(view, flatten(&at, &self.node(view).shape))?;
        let (vector, rest) = word.div_rem(4, &self.syms)?;
        let levels = word.levels(&self.syms);
        let text = format!("bitcast<vec4<f32>>({})", self.load_of(binding, &vector));
        (rest.as_constant() == Some(0)).then(|| self.define_at(&text, &levels))
    }

    /// Where a word of a view lies that is a piece of a stored vector or matrix.
    fn word_of(&mut self, id: NodeId, flat: Affine) -> Option<(usize, Affine)> {
        if let Some(Source::Words { binding, base }) = self.sources.get(&id) {
            let base = self.base(*base);
            return Some((*binding, flat.plus(&base)));
        }
        let node: std::rc::Rc<Node> = self.node(id);
        match &node.op {
            Op::Reshape | Op::StopGrad => self.word_of(node.args[0], flat),
            Op::Slice(start) if start.len() == 1 => self.word_of(node.args[0], flat.offset(start[0])),
            _ => None,
        }
    }
}

/// The second operand of a product, as a tile reads it.
struct Weights {
    id: NodeId,
    k: usize,
    lanes: usize,
    broadcast: bool,
}

/// Name of a node's array for one row of the tile.
fn array_name(node: NodeId, row: usize) -> String {
    format!("a{}_{row}", node.index())
}

/// Name of a sum along one row of the tile.
fn sum_name(node: NodeId, row: usize, column: usize) -> String {
    format!("t{}_{row}_{column}", node.index())
}
