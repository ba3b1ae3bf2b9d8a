//! Printing a graph as text.

use super::{Boundary, Compare, DType, Draw, Graph, Node, NodeId, NormalMode, Op, Var};
use std::fmt;

/// A graph as text, restricted to what some outputs need; made by [`Graph::print`].
pub struct Printed<'g> {
    graph: &'g Graph,
    outputs: Vec<NodeId>,
}

impl Graph {
    /// Text of everything that `outputs` depend on: one line a node, arguments first, then the outputs.
    ///
    /// Numbers are node ids, as in errors and generated kernels. A line ends with the place in the user's source.
    ///
    /// ```
    /// use ergodic::graph::Graph;
    /// let g = Graph::new();
    /// let x = g.input("x", [4, 2]);
    /// let text = g.print(&[x.tanh().sum(1)]).to_string();
    /// let ops: Vec<_> = text.lines().filter_map(|line| line.split("  ").next()).collect();
    /// assert_eq!(ops, [r#"%0 = input("x")"#, "%1 = tanh(%0)", "%2 = sum(%1, axes=[1])", "return %2"]);
    /// ```
    pub fn print(&self, outputs: &[Var<'_>]) -> Printed<'_> {
        Printed { graph: self, outputs: outputs.iter().map(|v| v.id()).collect() }
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "%{}", self.0)
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DType::F32 => "f32",
            DType::U32 => "u32",
            DType::Bool => "bool",
            DType::Key => "key",
        })
    }
}

/// The node's number, element type and shape.
impl fmt::Debug for Var<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}{}", self.id(), self.dtype(), self.shape())
    }
}

impl fmt::Display for Printed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for id in self.graph.reachable(&self.outputs) {
            let node = self.graph.node(id);
            write!(f, "{id} = ")?;
            call(f, &node)?;
            write!(f, "  {}", node.dtype)?;
            if !node.shape.is_empty() {
                write!(f, "{}", node.shape)?;
            }
            writeln!(f, "  @{}:{}", node.site.file(), node.site.line())?;
        }
        writeln!(f, "return {}", list(&self.outputs))
    }
}

fn list(ids: &[NodeId]) -> String {
    ids.iter().map(NodeId::to_string).collect::<Vec<_>>().join(", ")
}

/// The operation as a call: its arguments, then its constants by name.
fn call(f: &mut fmt::Formatter<'_>, node: &Node) -> fmt::Result {
    let args = list(&node.args);
    match &node.op {
        Op::Const(bits) => write!(f, "const({})", f64::from_bits(*bits)),
        Op::Input(name) => write!(f, "input({name:?})"),
        Op::Iota { axis } => write!(f, "iota(axis={axis})"),
        Op::Compare(Compare::Lt) => write!(f, "lt({args})"),
        Op::Compare(Compare::Le) => write!(f, "le({args})"),
        Op::Compare(Compare::Eq) => write!(f, "equal({args})"),
        Op::Sum { axes } | Op::Max { axes } => write!(f, "{}({args}, axes={axes:?})", node.op.name()),
        Op::CumSum { axis } | Op::Concat { axis } | Op::Tridiagonal { axis } => {
            write!(f, "{}({args}, axis={axis})", node.op.name())
        }
        Op::Permute(perm) => write!(f, "permute({args}, {perm:?})"),
        Op::Slice(start) | Op::Pad(start) => write!(f, "{}({args}, start={start:?})", node.op.name()),
        Op::Stencil { taps, boundary } => {
            let taps: Vec<_> = taps.iter().map(|tap| format!("{} at {:?}", tap.weight(), tap.offset)).collect();
            let beyond = if *boundary == Boundary::Periodic { "periodic" } else { "zero" };
            write!(f, "stencil({args}, {}, {beyond})", taps.join(" + "))
        }
        Op::FoldIn(word) => write!(f, "fold_in({args}, {word})"),
        Op::Random(draw) => write!(f, "{}({args})", draw_name(*draw)),
        op => write!(f, "{}({args})", op.name()),
    }
}

fn draw_name(draw: Draw) -> &'static str {
    match draw {
        Draw::Bits => "bits",
        Draw::Uniform => "uniform",
        Draw::Normal(NormalMode::BoxMuller) => "normal",
        Draw::Normal(NormalMode::Exact) => "normal_exact",
    }
}
