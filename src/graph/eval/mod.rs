//! `eval_f64`: the reference meaning of every operation.
//!
//! One pass over the nodes in topological order, each computed in f64 from its definition, with `U32` exact and
//! wrapping. Kernels are held to this; it is clear before it is fast. Values are dropped after their last use.
//!
//! Layout: [`Feeds`] is what a graph is computed from; `views` moves elements, `reduce` sums them, `solve` solves along
//! them, `index` looks them up, `apportion` shares places out, `random` draws them.

mod apportion;
mod feeds;
mod index;
mod random;
mod reduce;
mod solve;
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
        let data = match &node.op {
            Op::Input(name) if node.dtype == DType::Key => return Ok(Held::Key(self.feeds.input_key(name)?)),
            Op::Input(name) => return Ok(Held::Array(self.feeds.input_data(name, node)?)),
            Op::FoldIn(word) => return Ok(Held::Key(self.key(node)?.fold_in(*word))),
            Op::Reshape | Op::StopGrad => return self.value(node, 0),
            Op::Random(draw) => random::draw(self.key(node)?, *draw, &node.shape, self.feeds.step),
            Op::Step => vec![f64::from(self.feeds.step)],
            _ => apply(node, &(0..node.args.len()).map(|i| self.arg(node, i)).collect::<Vec<_>>())?,
        };
        Ok(Held::Array(Rc::new(data)))
    }

    fn value(&self, node: &Node, i: usize) -> Result<Held> {
        self.values.get(&node.args[i]).cloned().ok_or_else(|| no_value("a value that was dropped"))
    }

    /// An argument. Keys have no elements; only draws and `fold_in` take keys, and they ask for `key`.
    fn arg(&self, node: &Node, i: usize) -> Arg<'_> {
        let data: &[f64] = match self.values.get(&node.args[i]) {
            Some(Held::Array(data)) => data,
            _ => &[],
        };
        Arg { data, shape: self.graph.node(node.args[i]).shape.clone() }
    }

    fn key(&self, node: &Node) -> Result<RngKey> {
        match self.value(node, 0)? {
            Held::Key(key) => Ok(key),
            Held::Array(_) => Err(no_value("an array where a key belongs")),
        }
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

struct Arg<'a> {
    data: &'a [f64],
    shape: Shape,
}

/// The operations that are functions of their arguments alone.
fn apply(node: &Node, args: &[Arg<'_>]) -> Result<Vec<f64>> {
    let (to, dtype) = (&node.shape, node.dtype);
    Ok(match (&node.op, args) {
        (Op::Const(bits), _) => vec![f64::from_bits(*bits)],
        (Op::Iota { axis }, _) => views::iota(*axis, to),
        (Op::Cast, [x]) => x.data.iter().map(|&x| cast_f64(x, dtype)).collect(),
        (Op::Unary(f), [x]) => x.data.iter().map(|&x| unary_f64(*f, x)).collect(),
        (Op::Binary(f), [x, y]) => pairs(x, y).map(|(x, y)| binary_f64(*f, x, y, dtype)).collect(),
        (Op::Compare(f), [x, y]) => pairs(x, y).map(|(x, y)| f64::from(u8::from(compare_f64(*f, x, y)))).collect(),
        (Op::Select, [c, yes, no]) => {
            c.data.iter().zip(pairs(yes, no)).map(|(&c, (yes, no))| if c != 0.0 { yes } else { no }).collect()
        }
        (Op::Permute(perm), [x]) => views::permute(x.data, &x.shape, perm),
        (Op::Broadcast, [x]) => views::broadcast(x.data, &x.shape, to),
        (Op::Slice(start), [x]) => views::slice(x.data, &x.shape, start, to),
        (Op::Pad(start), [x]) => views::pad(x.data, &x.shape, start, to),
        (Op::Concat { axis }, parts) => views::concat(parts, *axis),
        (Op::Sum { axes }, [x]) => reduce::sum(x.data, &x.shape, axes, dtype),
        (Op::Max { axes }, [x]) => reduce::max(x.data, &x.shape, axes, dtype),
        (Op::CumSum { axis }, [x]) => reduce::cumsum(x.data, to, *axis, dtype),
        (Op::Tridiagonal { axis }, [l, d, u, r]) => solve::tridiagonal([l.data, d.data, u.data], r.data, to, *axis),
        (Op::MatMul, [a, b]) => reduce::matmul(a.data, b.data, to),
        (Op::Stencil { taps, boundary }, [x]) => reduce::stencil(x.data, to, taps, *boundary),
        (Op::Gather, [table, at]) => index::gather(table.data, &table.shape, at.data)?,
        (Op::ScatterAdd, [x, at]) => index::scatter_add(x.data, at.data, to, dtype),
        (Op::SearchSorted, [table, queries]) => index::search_sorted(table.data, queries.data),
        (Op::Apportion, [w, at]) => apportion::reference(w.data, to.numel(), at.data),
        _ => return Err(no_value("a value built from a mistake")),
    })
}

fn pairs<'a>(x: &Arg<'a>, y: &Arg<'a>) -> impl Iterator<Item = (f64, f64)> + use<'a> {
    x.data.iter().copied().zip(y.data.iter().copied())
}

fn no_value(got: &str) -> Error {
    Error::Invalid { what: "an output", got: got.into(), want: "an array of this graph, built without mistakes" }
}
