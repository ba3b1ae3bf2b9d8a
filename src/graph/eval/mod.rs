//! `eval_f64`: the reference meaning of every operation.
//!
//! One pass over the nodes in topological order, each computed in f64 from its definition, with `U32` exact and
//! wrapping. Kernels are held to this; it is clear before it is fast. Values are dropped after their last use.
//!
//! Layout: [`Feeds`] is what a graph is computed from; `views` moves elements, `reduce` sums them, `index` looks them
//! up, `random` draws them.

mod feeds;
mod index;
mod random;
mod reduce;
mod views;

pub use feeds::{Feed, Feeds};

use super::scalar::cast_f64;
use super::{DType, Graph, Node, NodeId, Op, Shape, Var, binary_f64, compare_f64, unary_f64};
use crate::error::{Error, Result};
use crate::random::RngKey;
use std::collections::HashMap;
use std::rc::Rc;

/// A dense array in f64, row-major. `U32` and `Bool` elements are held exactly.
#[derive(Clone, Debug, PartialEq)]
pub struct Value {
    /// Axis lengths.
    pub shape: Shape,
    /// Element type that it stands for.
    pub dtype: DType,
    /// Elements.
    pub data: Vec<f64>,
}

impl Graph {
    /// Interpret the graph in f64: the values of `outputs`, in their order.
    ///
    /// ```
    /// use ergodic::graph::{Feeds, Graph};
    /// # fn main() -> ergodic::Result<()> {
    /// let g = Graph::new();
    /// let (a, b) = (g.input("a", [2, 2]), g.input("b", [2]));
    /// let feeds = Feeds::new().tensor("a", &[1.0, 2.0, 3.0, 4.0]).tensor("b", &[10.0, 20.0]);
    /// let values = g.eval_f64(&[a * b, (a * b).sum(0)], &feeds)?;
    /// assert_eq!(values[0].data, [10.0, 40.0, 30.0, 80.0]);
    /// assert_eq!(values[1].data, [40.0, 120.0]);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// The first mistake made while building ([`Graph::check`]); [`Error::UnboundInput`] for an input without a value;
    /// [`Error::Shape`] for one of another size; [`Error::Invalid`] for an output that is a key or stands for a mistake,
    /// and for a `gather` from an empty table.
    pub fn eval_f64(&self, outputs: &[Var<'_>], feeds: &Feeds) -> Result<Vec<Value>> {
        self.check()?;
        let ids: Vec<_> = outputs.iter().map(|v| v.id()).collect();
        let mut held = Interpreter { graph: self, feeds, values: HashMap::new() };
        let order = self.reachable(&ids);
        let last_use = last_uses(self, &order);
        for &id in &order {
            let node = self.node(id);
            let value = held.compute(&node)?;
            held.values.insert(id, value);
            for arg in &node.args {
                if last_use[arg] == id && !ids.contains(arg) {
                    held.values.remove(arg);
                }
            }
        }
        ids.iter().map(|&id| held.output(id)).collect()
    }

    /// One step of a graph that carries state: the values of the named outputs. An output with the name of an input is
    /// that input's next value and replaces it in `feeds`; the step counter goes up by one.
    ///
    /// ```
    /// use ergodic::graph::{Feeds, Graph};
    /// # fn main() -> ergodic::Result<()> {
    /// let g = Graph::new();
    /// let x = g.input("x", []);
    /// let mut feeds = Feeds::new().tensor("x", 1.0);
    /// for _ in 0..10 {
    ///     g.eval_step(&[("x", x * 2.0), ("old", x)], &mut feeds)?;
    /// }
    /// assert_eq!(feeds.get("x"), Some(&[1024.0][..]));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`eval_f64`](Graph::eval_f64). The feeds are untouched then.
    pub fn eval_step(&self, outputs: &[(&str, Var<'_>)], feeds: &mut Feeds) -> Result<Vec<Value>> {
        let vars: Vec<_> = outputs.iter().map(|(_, var)| *var).collect();
        let values = self.eval_f64(&vars, feeds)?;
        feeds.advance(outputs.iter().map(|(name, _)| *name).zip(&values));
        Ok(values)
    }
}

fn last_uses(graph: &Graph, order: &[NodeId]) -> HashMap<NodeId, NodeId> {
    order.iter().flat_map(|&id| graph.node(id).args.clone().into_iter().map(move |arg| (arg, id))).collect()
}

#[derive(Clone)]
enum Held {
    Array(Rc<Vec<f64>>),
    Key(RngKey),
}

struct Interpreter<'a> {
    graph: &'a Graph,
    feeds: &'a Feeds,
    values: HashMap<NodeId, Held>,
}

impl Interpreter<'_> {
    fn compute(&self, node: &Node) -> Result<Held> {
        let (shape, dtype) = (&node.shape, node.dtype);
        let map1 = |f: &dyn Fn(f64) -> f64| self.data(node, 0).iter().map(|&x| f(x)).collect::<Vec<_>>();
        let map2 = |f: &dyn Fn(f64, f64) -> f64| {
            self.data(node, 0).iter().zip(self.data(node, 1)).map(|(&x, &y)| f(x, y)).collect::<Vec<_>>()
        };
        let data = match &node.op {
            Op::Const(bits) => vec![f64::from_bits(*bits)],
            Op::Input(name) if dtype == DType::Key => return Ok(Held::Key(self.feeds.input_key(name)?)),
            Op::Input(name) => return Ok(Held::Array(self.feeds.input_data(name, node)?)),
            Op::Step => vec![f64::from(self.feeds.step)],
            Op::FoldIn(word) => return Ok(Held::Key(self.key(node)?.fold_in(*word))),
            Op::Random(draw) => random::draw(self.key(node)?, *draw, shape, self.feeds.step),
            Op::Reshape | Op::StopGrad => return self.value(node, 0),
            Op::Cast => map1(&|x| cast_f64(x, dtype)),
            Op::Unary(f) => map1(&|x| unary_f64(*f, x)),
            Op::Binary(f) => map2(&|x, y| binary_f64(*f, x, y, dtype)),
            Op::Compare(f) => map2(&|x, y| f64::from(u8::from(compare_f64(*f, x, y)))),
            Op::Select => {
                let branches = self.data(node, 1).iter().zip(self.data(node, 2));
                self.data(node, 0)
                    .iter()
                    .zip(branches)
                    .map(|(&c, (&yes, &no))| if c != 0.0 { yes } else { no })
                    .collect()
            }
            Op::Iota { axis } => views::iota(*axis, shape),
            Op::Permute(perm) => views::permute(self.data(node, 0), &self.shape(node, 0), perm),
            Op::Broadcast => views::broadcast(self.data(node, 0), &self.shape(node, 0), shape),
            Op::Slice(start) => views::slice(self.data(node, 0), &self.shape(node, 0), start, shape),
            Op::Pad(start) => views::pad(self.data(node, 0), &self.shape(node, 0), start, shape),
            Op::Concat { axis } => {
                let parts: Vec<_> = (0..node.args.len()).map(|i| (self.data(node, i), self.shape(node, i))).collect();
                views::concat(&parts, *axis)
            }
            Op::Sum { axes } => reduce::sum(self.data(node, 0), &self.shape(node, 0), axes, dtype),
            Op::Max { axes } => reduce::max(self.data(node, 0), &self.shape(node, 0), axes, dtype),
            Op::CumSum { axis } => reduce::cumsum(self.data(node, 0), shape, *axis, dtype),
            Op::MatMul => reduce::matmul(self.data(node, 0), self.data(node, 1), shape),
            Op::Stencil { taps, boundary } => reduce::stencil(self.data(node, 0), shape, taps, *boundary),
            Op::Gather => index::gather(self.data(node, 0), &self.shape(node, 0), self.data(node, 1))?,
            Op::ScatterAdd => index::scatter_add(self.data(node, 0), self.data(node, 1), shape, dtype),
            Op::SearchSorted => index::search_sorted(self.data(node, 0), self.data(node, 1)),
            Op::Invalid => return Err(no_value("a value built from a mistake")),
        };
        Ok(Held::Array(Rc::new(data)))
    }

    fn value(&self, node: &Node, i: usize) -> Result<Held> {
        self.values.get(&node.args[i]).cloned().ok_or_else(|| no_value("a value that was dropped"))
    }

    /// Elements of an argument. Keys have none; only draws and `fold_in` take keys, and they ask for `key`.
    fn data(&self, node: &Node, i: usize) -> &[f64] {
        match self.values.get(&node.args[i]) {
            Some(Held::Array(data)) => data,
            _ => &[],
        }
    }

    fn key(&self, node: &Node) -> Result<RngKey> {
        match self.value(node, 0)? {
            Held::Key(key) => Ok(key),
            Held::Array(_) => Err(no_value("an array where a key belongs")),
        }
    }

    fn shape(&self, node: &Node, i: usize) -> Shape {
        self.graph.node(node.args[i]).shape.clone()
    }

    fn output(&self, id: NodeId) -> Result<Value> {
        let node = self.graph.node(id);
        match self.values.get(&id) {
            Some(Held::Array(data)) => {
                Ok(Value { shape: node.shape.clone(), dtype: node.dtype, data: data.as_ref().clone() })
            }
            Some(Held::Key(_)) => Err(no_value("a key")),
            None => Err(no_value("a value that was dropped")),
        }
    }
}

fn no_value(got: &str) -> Error {
    Error::Invalid { what: "an output", got: got.into(), want: "an array of this graph, built without mistakes" }
}
