//! From nodes to WGSL: demand-driven scalar code.
//!
//! [`Emitter::value`] asks for one element of one node at an index and gets the name of a `let`. Whatever it depends on
//! is asked for in the same way, so views vanish into index arithmetic, and nothing is computed that nobody reads.
//! Answers are remembered, so shared nodes are computed once.
//!
//! Code goes into scopes: level 0 is the body of the kernel, the next ones are loops opened inside it. A statement goes
//! to the outermost scope in which everything that it needs is known, so invariants leave their loops by themselves.

mod arrays;
mod index;
mod load;
mod ops;
mod parts;
mod random;
mod spread;
mod sums;
mod value;

pub use index::{Affine, Sym, SymInfo, flatten};
pub use load::{Base, Reach, Source, buffer_name, offset_name};
pub(super) use ops::{binary_flops, unary_flops};
pub(super) use parts::PartCut;
pub use sums::Fold;

use crate::graph::{Node, NodeId};
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

/// Components of a vector, in order.
const XYZW: [&str; 4] = ["x", "y", "z", "w"];

/// The name of a computed scalar, and the scope in which it is known.
#[derive(Clone, Debug, PartialEq)]
pub struct Val {
    /// A WGSL identifier or literal.
    pub text: Rc<str>,
    /// Level of its scope.
    pub level: usize,
}

impl Val {
    /// A literal or a name of the kernel's own.
    pub fn new(text: impl Into<Rc<str>>, level: usize) -> Self {
        Val { text: text.into(), level }
    }
}

impl std::fmt::Display for Val {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

#[derive(Default)]
struct Scope {
    text: String,
    /// Bit `l` is set if a statement here reads a name of level `l`.
    reads: u64,
}

/// Writes the body of one kernel. See the [module](self).
pub struct Emitter<'a> {
    nodes: &'a [Rc<Node>],
    /// Nodes whose value lies in memory when the kernel starts.
    sources: &'a HashMap<NodeId, Source>,
    /// Entry of the table of offsets that holds the slot of each key node.
    keys: &'a HashMap<NodeId, usize>,
    step: Val,
    syms: Vec<SymInfo>,
    scopes: Vec<Scope>,
    values: HashMap<(NodeId, Vec<Affine>), Val>,
    loads: HashMap<(usize, Affine), Val>,
    blocks: HashMap<(NodeId, Affine, Affine, bool), Val>,
    opaque: HashMap<String, Sym>,
    names: usize,
    /// Layers of a network that the kernel holds.
    arrays: Option<arrays::Arrays>,
    /// The columns of wide rows that a lane holds, where they are spread over a subgroup.
    lanes: Option<spread::Lanes>,
    /// What neighbours of an element are called, by the shift.
    neighbours: HashMap<(NodeId, Vec<Affine>, Vec<i32>), Val>,
    /// States that are known by names alone.
    states: HashSet<NodeId>,
    /// Whether of a long concatenation only the part is computed that is wanted.
    branches: bool,
    /// Whether an element of such a state was asked for that has no name: memory holds an older step's.
    pub escaped: bool,
    /// Floating-point operations written so far, loops counted with their length.
    pub flops: f64,
    /// Turns of loops, at most; of a kernel that loops over steps those of one step.
    pub turns: f64,
    weight: f64,
}

impl<'a> Emitter<'a> {
    /// An emitter for a kernel that finds these nodes in memory and its step number under this name.
    pub fn new(
        nodes: &'a [Rc<Node>],
        sources: &'a HashMap<NodeId, Source>,
        keys: &'a HashMap<NodeId, usize>,
        step: Val,
    ) -> Self {
        Emitter {
            nodes,
            sources,
            keys,
            step,
            syms: vec![],
            scopes: vec![Scope::default()],
            values: HashMap::new(),
            loads: HashMap::new(),
            blocks: HashMap::new(),
            opaque: HashMap::new(),
            names: 0,
            arrays: None,
            lanes: None,
            neighbours: HashMap::new(),
            states: HashSet::new(),
            branches: false,
            escaped: false,
            flops: 0.0,
            turns: 0.0,
            weight: 1.0,
        }
    }

    /// Compute of long concatenations only the part that is wanted, if this says so. A software adapter goes through all branches.
    pub fn with_branches(self, branches: bool) -> Self {
        Emitter { branches, ..self }
    }

    /// A symbol that the kernel's own text defines.
    pub fn symbol(&mut self, name: &str, extent: usize, level: usize) -> Affine {
        Affine::symbol(self.add_symbol(name.into(), extent, level))
    }

    fn add_symbol(&mut self, name: String, extent: usize, level: usize) -> Sym {
        self.syms.push(SymInfo { name, extent, level });
        Sym(self.syms.len() as u32 - 1)
    }

    /// State beforehand what an element is called.
    pub fn assume(&mut self, node: NodeId, idx: Vec<Affine>, val: Val) {
        self.values.insert((node, idx), val);
    }

    /// State beforehand what a stencil finds when it reads an element at this shift from its own place.
    pub fn assume_neighbour(&mut self, node: NodeId, idx: &[Affine], offset: &[i32], val: Val) {
        self.neighbours.insert((node, idx.to_vec(), offset.to_vec()), val);
    }

    /// From here on this input is known by its names alone: what lies in memory is out of date.
    pub fn in_registers(&mut self, input: NodeId) {
        self.states.insert(input);
    }

    /// An index as a WGSL expression.
    pub fn wgsl(&self, idx: &Affine) -> String {
        idx.wgsl(&self.syms)
    }

    /// Name an expression of these operands; it goes where all of them are known.
    pub fn define(&mut self, expr: &str, operands: &[&Val]) -> Val {
        let levels: Vec<_> = operands.iter().map(|v| v.level).collect();
        self.define_at(expr, &levels)
    }

    /// Name an expression that reads names of these levels.
    pub fn define_at(&mut self, expr: &str, levels: &[usize]) -> Val {
        let level = levels.iter().copied().max().unwrap_or(0);
        let name = format!("v{}", self.names);
        self.names += 1;
        self.statement(level, &format!("let {name} = {expr};"), levels);
        Val::new(name, level)
    }

    /// Append a statement to the scope of this level.
    pub fn statement(&mut self, level: usize, text: &str, reads: &[usize]) {
        let scope = &mut self.scopes[level];
        scope.text.push_str(&"    ".repeat(level + 1));
        scope.text.push_str(text);
        scope.text.push('\n');
        scope.reads |= reads.iter().filter(|&&l| l < level).fold(0, |bits, &l| bits | 1 << l);
    }

    /// A line for readers, in the innermost scope.
    pub fn comment(&mut self, text: &str) {
        self.statement(self.level(), &format!("// {text}"), &[]);
    }

    /// Level of the innermost scope.
    pub fn level(&self) -> usize {
        self.scopes.len() - 1
    }

    /// What `write` writes, under a condition. It may use what is known outside; an index that it names is forgotten.
    pub fn only_if(&mut self, condition: Option<&str>, write: impl FnOnce(&mut Self)) {
        let Some(condition) = condition else { return write(self) };
        let (level, known) = (self.level(), self.opaque.clone());
        self.statement(level, &format!("if ({condition}) {{"), &[]);
        write(self);
        self.statement(level, "}", &[]);
        self.opaque = known;
    }

    /// [`only_if`](Self::only_if), and all that it names is forgotten. The condition holds for this part of all places.
    fn apart(&mut self, condition: &str, part: f64, write: impl FnOnce(&mut Self)) {
        let known = (self.values.clone(), self.loads.clone(), self.blocks.clone());
        let weight = self.weight;
        self.weight *= part;
        self.only_if(Some(condition), write);
        self.weight = weight;
        (self.values, self.loads, self.blocks) = known;
    }

    /// A loop over `quads` vectors that stores: it stays where it is written.
    pub fn each_quad(&mut self, quads: usize, write: impl FnOnce(&mut Self, Affine)) {
        let (around, counter) = (self.level(), format!("q{}", self.names));
        self.names += 1;
        let level = self.open();
        let quad = self.symbol(&counter, quads, level);
        self.turns += quads as f64;
        write(self, quad);
        let head = format!("for (var {counter} = 0u; {counter} < {quads}u; {counter}++) {{");
        self.close(&head, &[around]);
    }

    /// Open a scope; statements that depend on what is defined in it go there until it is closed.
    pub fn open(&mut self) -> usize {
        self.scopes.push(Scope::default());
        self.scopes.len() - 1
    }

    /// Close the innermost scope: `head { body }` goes to the outermost scope that knows what it reads.
    /// The head may read names of the given levels. Returns the level where it went.
    pub fn close(&mut self, head: &str, head_reads: &[usize]) -> usize {
        let level = self.scopes.len() - 1;
        let Some(scope) = self.scopes.pop() else { return 0 };
        let reads = head_reads.iter().filter(|&&l| l < level).fold(scope.reads, |bits, &l| bits | 1 << l);
        let target = if reads == 0 { 0 } else { 63 - reads.leading_zeros() as usize };
        let below: Vec<_> = (0..target).filter(|l| reads >> l & 1 == 1).collect();
        for line in head.lines() {
            self.statement(target, line, &below);
        }
        self.scopes[target].text.push_str(&scope.text);
        self.statement(target, "}", &[]);
        target
    }

    /// Accumulate over `0..extent` in a loop. Returns the accumulator.
    fn fold_loop(
        &mut self,
        fold: Fold,
        extent: usize,
        start: &str,
        term: impl FnOnce(&mut Self, Affine) -> Val,
    ) -> Val {
        let id = self.names;
        self.names += 1;
        let (acc, counter) = (format!("acc{id}"), format!("r{id}"));
        let level = self.open();
        let r = self.symbol(&counter, extent, level);
        let outer = self.weight;
        self.weight *= extent as f64;
        self.turns += self.weight;
        let val = term(self, r);
        self.count(1.0);
        self.weight = outer;
        let update = format!("{acc} = {};", fold.combine(&acc, &val.text));
        self.statement(level, &update, &[val.level]);
        let head = format!("var {acc} = {start};\nfor (var {counter} = 0u; {counter} < {extent}u; {counter}++) {{");
        let at = self.close(&head, &[]);
        Val::new(acc, at)
    }

    /// An index that is not affine, as a symbol of its own.
    fn opaque(&mut self, expr: String, extent: usize, levels: &[usize]) -> Affine {
        if let Some(&sym) = self.opaque.get(&expr) {
            return Affine::symbol(sym);
        }
        let val = self.define_at(&expr, levels);
        let sym = self.add_symbol(val.text.to_string(), extent, val.level);
        self.opaque.insert(expr, sym);
        Affine::symbol(sym)
    }

    fn div_rem(&mut self, idx: &Affine, divisor: usize) -> (Affine, Affine) {
        if let Some(exact) = idx.div_rem(divisor, &self.syms) {
            return exact;
        }
        let (text, levels, extent) = (self.wgsl(idx), idx.levels(&self.syms), idx.extent(&self.syms));
        let quotient = self.opaque(format!("({text}) / {divisor}u"), extent.div_ceil(divisor), &levels);
        let rest = self.opaque(format!("({text}) % {divisor}u"), divisor, &levels);
        (quotient, rest)
    }

    /// Indices along the axes of a box from a row-major position in it.
    pub fn unflatten(&mut self, flat: &Affine, shape: &[usize]) -> Vec<Affine> {
        let mut rest = flat.clone();
        let mut idx = vec![];
        for (i, &n) in shape.iter().enumerate().rev() {
            if i == 0 {
                idx.push(rest.clone());
            } else {
                let (quotient, at) = self.div_rem(&rest, n.max(1));
                idx.push(at);
                rest = quotient;
            }
        }
        idx.reverse();
        idx
    }

    fn node(&self, id: NodeId) -> Rc<Node> {
        self.nodes[id.index()].clone()
    }

    fn count(&mut self, flops: f64) {
        self.flops += flops * self.weight;
    }

    /// The finished body.
    pub fn finish(mut self) -> String {
        std::mem::take(&mut self.scopes[0].text)
    }
}
