//! Tiled matrix products: the template of `kernels::matmul`, with generated functions that read its operands (views of
//! stored nodes, or light expressions of them) and finish its results (bias, activation, any number of outputs).

use super::kernel::Frame;
use super::{About, Dispatch, Location, Lowering, STEP, Sources};
use crate::error::Result;
use crate::graph::{DType, Node, NodeId, Op};
use crate::kernels::matmul::{Layout, MatmulSpec, Variant};
use crate::plan::choices::{Choices, Knob};
use crate::plan::classify::{How, how};
use crate::plan::emit::{Affine, Emitter, Val, flatten};
use crate::plan::partition::Group;
use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

pub(super) const LANES: [&str; 4] = ["v.x", "v.y", "v.z", "v.w"];

/// How an operand lies in memory: views of a stored matrix, transposed or not.
fn layout(nodes: &[Rc<Node>], id: NodeId) -> Layout {
    let (mut at, mut transposed) = (id, false);
    loop {
        let node = &nodes[at.index()];
        match &node.op {
            Op::Permute(perm) if perm[..] == [1, 0] => transposed = !transposed,
            Op::Slice(_) | Op::StopGrad | Op::Reshape => {}
            _ => return if transposed { Layout::Cols } else { Layout::Rows },
        }
        at = node.args[0];
    }
}

/// The tile for a product, by rule.
fn rule(nodes: &[Rc<Node>], id: NodeId, caps: &crate::gpu::Caps) -> MatmulSpec {
    let node = &nodes[id.index()];
    let (a, b) = (node.args[0], node.args[1]);
    let k = nodes[a.index()].shape[1];
    let (n, m) = (node.shape[0], node.shape[1]);
    let spec = MatmulSpec::choose(n, k, m, layout(nodes, a), layout(nodes, b), caps);
    if window(nodes, b, caps).is_some() { spec } else { spec.with_storage_b() }
}

/// The tiles of all products of a graph that are computed by tiles, and what else could compute them.
pub(in crate::plan) struct Tiles(HashMap<NodeId, (MatmulSpec, Knob)>);

impl Tiles {
    pub fn choose(nodes: &[Rc<Node>], order: &[NodeId], choices: &Choices<'_>) -> Self {
        let tiled = order.iter().filter(|&&id| how(nodes, id) == How::MatMul);
        Tiles(tiled.map(|&id| (id, Self::one(rule(nodes, id, choices.caps()), choices))).collect())
    }

    fn one(rule: MatmulSpec, choices: &Choices<'_>) -> (MatmulSpec, Knob) {
        let all = rule.candidates(choices.caps());
        let knob = choices.knob(rule.problem(), all.iter().map(|spec| spec.variant.to_string()).collect());
        (all.get(knob.taken).copied().unwrap_or(rule), knob)
    }

    /// Parts into which a product is split along its inner axis; 1 is no split.
    pub fn split_k(&self, id: NodeId) -> usize {
        self.0.get(&id).map_or(1, |(spec, _)| spec.split_k)
    }

    /// Whether the tile of a product holds whole rows of its first operand and reads each element once.
    pub fn is_resident(&self, id: NodeId) -> bool {
        self.0.get(&id).is_some_and(|(spec, _)| matches!(spec.variant, Variant::Resident { .. }))
    }

    /// The tile of a product and what else could compute it; `None` for what is no tiled product.
    pub fn tile_and_knob(&self, id: NodeId) -> Option<(MatmulSpec, Knob)> {
        self.0.get(&id).cloned()
    }
}

/// A matrix that lies in one piece in a stored node, and the uniform binding through which to read it.
pub(in crate::plan) struct Window {
    /// The matrix, by rows.
    pub view: NodeId,
    /// The stored node.
    pub root: NodeId,
    /// Where it lies there.
    pub span: Span,
}

/// Words of a tensor that a uniform binding covers, from a place where one may start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::plan) struct Span {
    /// First word of the binding.
    pub start: usize,
    /// Words between that and the first word that is wanted.
    pub skip: usize,
    /// Words of the binding.
    pub words: usize,
}

impl Span {
    /// Around `words` words from `start` on; `None` if they do not begin and end with a vector or are too many.
    pub fn around(start: usize, words: usize) -> Option<Span> {
        let skip = start % WINDOW.0;
        let fits = start.is_multiple_of(4) && words.is_multiple_of(4) && (1..=WINDOW.1).contains(&(words + skip));
        (words > 0 && fits).then_some(Span { start: start - skip, skip, words: words + skip })
    }
}

/// Words between the places where a uniform binding may start, on any device; and its greatest length.
const WINDOW: (usize, usize) = (64, 64 * 1024 / 4);

/// The window through which a software adapter should read this operand, if there is one.
pub(in crate::plan) fn window(nodes: &[Rc<Node>], operand: NodeId, caps: &crate::gpu::Caps) -> Option<Window> {
    let node = |id: NodeId| &nodes[id.index()];
    let view = match &node(operand).op {
        Op::Permute(perm) if perm[..] == [1, 0] => node(operand).args[0],
        _ => operand,
    };
    let (mut root, mut start) = (view, 0);
    if matches!(node(root).op, Op::Reshape) {
        root = node(root).args[0];
        if let Op::Slice(at) = &node(root).op
            && at.len() == 1
        {
            (root, start) = (node(root).args[0], at[0]);
        }
    }
    let words = node(view).shape.numel();
    let stored = !matches!(node(root).op, Op::Slice(_) | Op::Reshape | Op::Permute(_) | Op::Broadcast | Op::StopGrad);
    let span = Span::around(start, words)?;
    (caps.is_software() && stored).then_some(Window { view, root, span })
}

/// Computed values that second operands of products are read from through windows.
pub(in crate::plan) fn windowed(nodes: &[Rc<Node>], order: &[NodeId], caps: &crate::gpu::Caps) -> BTreeSet<NodeId> {
    let tiled = order.iter().filter(|&&id| how(nodes, id) == How::MatMul);
    let roots = tiled.filter_map(|id| window(nodes, nodes[id.index()].args[1], caps)).map(|window| window.root);
    roots.filter(|root| !matches!(nodes[root.index()].op, Op::Input(_))).collect()
}

impl Lowering<'_> {
    pub(super) fn matmul(&self, g: usize, group: &Group, id: NodeId, parts: usize) -> Result<Option<Dispatch>> {
        let Some((mut spec, knob)) = self.part.tiles.tile_and_knob(id) else { return Ok(None) };
        spec.split_k = parts;
        let template = spec.template();
        if template.groups.contains(&0) {
            return Ok(None);
        }
        let (mut frame, sources) = self.sources(g, group);
        let vectors = spec.vectors();
        let mut io = self.operands(&mut frame, &sources, &spec, id);
        io.push_str(&match parts {
            1 => self.epilogue(&mut frame, &sources, group, id, vectors.store),
            _ => self.parts_of(&mut frame, &sources, id, vectors.store),
        });
        let workgroup_size = template.workgroup_size;
        let text = template.with_io(&io);
        let source = frame.source("matmul", &text, self.key_paths.len(), workgroup_size)?;
        let what = format!("{} -> {}", named(id, &spec), self.what(group));
        let (n, k, m) = (spec.n, spec.k, spec.m);
        let flops = 2.0 * (n * k * m) as f64;
        let bytes = self.bytes(g, group) + if parts > 1 { (parts * n * m) as u64 * DType::BYTES } else { 0 };
        let made = self.dispatch(&frame, source, template.groups, About { looped: None, flops, bytes, what })?;
        Ok(Some(Dispatch { knob: Some(knob), ..made }))
    }

    /// The functions that read the operands of a product.
    pub(super) fn operands(&self, frame: &mut Frame, sources: &Sources, spec: &MatmulSpec, id: NodeId) -> String {
        let node = self.node(id);
        // B is read through its own window, everything else (a bias in the same tensor, say) as storage.
        let mut sources_b = Sources { nodes: sources.nodes.clone(), keys: sources.keys.clone() };
        if let Some(Window { view, root, span }) = window(self.nodes, node.args[1], self.caps)
            && let Some(&Location::Tensor(index)) = self.locations.get(&root)
            && spec.b_uniform
        {
            sources_b.nodes.insert(view, frame.window(index, span, false));
        }
        let vectors = spec.vectors();
        let mut io = String::new();
        for (name, vector, layout, operand, sources) in
            [("a", vectors.a, spec.a, node.args[0], sources), ("b", vectors.b, spec.b, node.args[1], &sources_b)]
        {
            let axes = if name == "a" { ["i", "k"] } else { ["k", "j"] };
            io.push_str(&self.operand(sources, operand, name, axes, vector, layout));
        }
        io
    }

    /// A function that reads one element of an operand, or four neighbours.
    fn operand(
        &self,
        sources: &Sources,
        id: NodeId,
        name: &str,
        axes: [&str; 2],
        vector: bool,
        layout: Layout,
    ) -> String {
        let shape = &self.node(id).shape;
        let mut out = self.emitter(sources, 0);
        let along = usize::from(layout == Layout::Rows); // the axis of neighbours
        let lanes = if vector { 4 } else { 1 };
        let mut idx: Vec<Affine> = vec![];
        let mut head = String::new();
        for axis in 0..2 {
            let name = axes[axis];
            idx.push(if vector && axis == along {
                head = format!("    let quad = {name} / 4u;\n");
                out.symbol("quad", shape[axis] / 4, 0).times(4)
            } else {
                out.symbol(name, shape[axis], 0)
            });
        }
        let vals: Vec<_> = (0..lanes)
            .map(|lane| {
                let mut at = idx.clone();
                at[along] = at[along].offset(lane);
                out.value(id, &at).to_string()
            })
            .collect();
        let body = out.finish();
        let (params, vals) = (format!("{}: u32, {}: u32", axes[0], axes[1]), vals.join(", "));
        match vector {
            true => {
                format!("fn {name}4({params}) -> vec4<f32> {{\n{STEP}{head}{body}    return vec4<f32>({vals});\n}}\n")
            }
            false => format!("fn {name}1({params}) -> f32 {{\n{STEP}{body}    return {vals};\n}}\n"),
        }
    }

    /// The function that finishes results and stores what the group stores.
    fn epilogue(&self, frame: &mut Frame, sources: &Sources, group: &Group, id: NodeId, vector: bool) -> String {
        let shape = &self.node(id).shape;
        let mut out = self.emitter(sources, 0);
        let idx = result_index(&mut out, shape, vector);
        for (lane, at) in idx.iter().enumerate() {
            let name = if vector { LANES[lane] } else { "v" };
            out.assume(id, at.clone(), Val::new(name, 0));
        }
        let mut stored = vec![];
        for &root in &group.roots {
            let vals: Vec<_> = idx.iter().map(|at| out.value(root, at)).collect();
            stored.push((root, vals));
        }
        for (root, vals) in &stored {
            self.store(frame, &mut out, *root, &idx[0], vals);
        }
        self.guard(frame, &mut out, 0, &stored);
        store_function(vector, &out.finish())
    }

    /// The function that stores one chunk of a sum that is split along its inner axis.
    fn parts_of(&self, frame: &mut Frame, sources: &Sources, id: NodeId, vector: bool) -> String {
        let Some(&(base, count, stride)) = self.parts.get(&id) else { return String::new() };
        let shape = &self.node(id).shape;
        let mut out = self.emitter(sources, 0);
        let rows = out.symbol("i", count * shape[0], 0);
        let at = out.unflatten(&rows, &[count, shape[0]]);
        let column = result_index(&mut out, shape, vector)[0][1].clone();
        let word = at[0].times(stride).plus(&flatten(&[at[1].clone(), column], shape));
        let vals: Vec<_> = if vector { LANES.map(|v| Val::new(v, 0)).to_vec() } else { vec![Val::new("v", 0)] };
        let (arena, base) = (frame.arena(), frame.base(base));
        let word = word.plus(&out.base(base));
        out.store(arena, &word, &vals, DType::F32);
        store_function(vector, &out.finish())
    }
}

/// A product and its sizes, for the report.
pub(super) fn named(id: NodeId, spec: &MatmulSpec) -> String {
    let (n, k, m) = (spec.n, spec.k, spec.m);
    format!("matmul #{} [{n}, {k}] x [{k}, {m}]", id.0)
}

/// Indices of the results that one call stores, in terms of the function's arguments.
pub(super) fn result_index(out: &mut Emitter<'_>, shape: &[usize], vector: bool) -> Vec<Vec<Affine>> {
    let i = out.symbol("i", shape[0], 0);
    if !vector {
        let j = out.symbol("j", shape[1], 0);
        return vec![vec![i, j]];
    }
    let quad = out.symbol("quad", shape[1] / 4, 0).times(4);
    (0..4).map(|lane| vec![i.clone(), quad.offset(lane)]).collect()
}

fn store_function(vector: bool, body: &str) -> String {
    match vector {
        true => format!("fn store4(i: u32, j: u32, v: vec4<f32>) {{\n{STEP}    let quad = j / 4u;\n{body}}}\n"),
        false => format!("fn store1(i: u32, j: u32, v: f32) {{\n{STEP}{body}}}\n"),
    }
}
