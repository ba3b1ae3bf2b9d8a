//! Graphs: array computations as data.
//!
//! A [`Graph`] is a growing list of immutable nodes; a [`Var`] names one of them and carries the methods that build
//! more. A node knows its operation, its arguments (always earlier nodes, so the list is in topological order), its
//! shape and its element type. Building never touches a device and never computes: values exist when a plan compiled
//! from the graph runs, or when [`eval_f64`](Graph::eval_f64) interprets it, which is what every operation *means*.
//!
//! Two nodes with the same operation and arguments are one node (hash-consing), so `x.tanh()` written twice is computed
//! once, and derivatives share what they have in common with the function. Small algebra happens as nodes are made:
//! constants fold, `x + 0`, `1 * x` and `0 * x` disappear (`0 * x` is 0 even where `x` would not be finite).
//!
//! Building does not fail at once: a mistake becomes an invalid node and is remembered with the line that made it;
//! compiling or evaluating then reports it. So formulas can be written as formulas.
//!
//! ```
//! use ergodic::graph::{Graph, DType};
//! let g = Graph::new();
//! let x = g.input("x", [4, 2]);
//! let energy = x.square().sum(1) / 2.0; // one value a walker
//! assert_eq!(*energy.shape(), [4]);
//! assert!(g.check().is_ok());
//! ```

mod build;
mod eval;
mod key;
mod op;
mod ops;
mod print;
mod rows;
mod scalar;
mod shape;
mod solve;
mod substitute;
mod var;

pub use eval::{Feed, Feeds, Value};
pub use key::Key;
pub use op::{Binary, Boundary, Compare, Draw, NormalMode, Op, Tap, Unary};
pub use ops::Axes;
pub use print::Printed;
pub use rows::Dependence;
pub use scalar::{binary_f64, compare_f64, unary_f64};
pub use shape::{DType, Shape};
pub use var::{IntoVar, Var};

use crate::error::{Error, Result, Site};
use std::cell::RefCell;
use std::collections::HashMap;
use std::panic::Location;
use std::rc::Rc;

/// Index of a node in its graph. Arguments have smaller ids than the node that uses them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub(crate) u32);

impl NodeId {
    /// Position in [`Graph::nodes`].
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// One operation with its arguments and what is known about its value.
#[derive(Clone, Debug)]
pub struct Node {
    /// What it computes.
    pub op: Op,
    /// From what.
    pub args: Vec<NodeId>,
    /// The value's shape.
    pub shape: Shape,
    /// The value's element type.
    pub dtype: DType,
    /// The user's line that built it.
    pub site: Site,
}

/// A list of nodes under construction. See the [module](self).
#[derive(Default)]
pub struct Graph {
    inner: RefCell<Inner>,
}

#[derive(Default)]
struct Inner {
    nodes: Vec<Rc<Node>>,
    ids: HashMap<(Op, Vec<NodeId>, Shape, DType), NodeId>,
    inputs: Vec<NodeId>,
    errors: Vec<Error>,
    /// Stands in for the caller's line while a pass makes nodes on behalf of another node.
    site: Option<Site>,
}

impl Graph {
    /// A graph without nodes.
    pub fn new() -> Self {
        Graph::default()
    }

    /// An `F32` tensor that a session binds by this name.
    #[track_caller]
    pub fn input(&self, name: &str, shape: impl Into<Shape>) -> Var<'_> {
        self.input_of(name, shape, DType::F32)
    }

    /// A tensor of this element type that a session binds by this name.
    #[track_caller]
    pub fn input_of(&self, name: &str, shape: impl Into<Shape>, dtype: DType) -> Var<'_> {
        let (shape, site) = (shape.into(), Location::caller());
        let declared = self.input_named(name).map(|v| (v.shape(), v.dtype()));
        if let Some((old, old_dtype)) = declared.filter(|(s, t)| (s, *t) != (&shape, dtype)) {
            let (got, want) = (format!("`{name}` {shape} {dtype:?}"), format!("{old} {old_dtype:?}, declared before"));
            return self.invalid(Error::Shape { op: "input", got, want, at: Some(site) });
        }
        let var = self.push(Op::Input(Rc::from(name)), vec![], shape, dtype, site);
        let mut inner = self.inner.borrow_mut();
        if !inner.inputs.contains(&var.id()) {
            inner.inputs.push(var.id());
        }
        drop(inner);
        var
    }

    /// A random key that a session binds by this name; draws are made from it with [`Key::normal`] and its siblings.
    #[track_caller]
    pub fn key(&self, name: &str) -> Key<'_> {
        Key::new(self.input_of(name, [], DType::Key))
    }

    /// An `F32` scalar constant.
    #[track_caller]
    pub fn constant(&self, value: f64) -> Var<'_> {
        self.push(Op::Const(value.to_bits()), vec![], Shape::default(), DType::F32, Location::caller())
    }

    /// A `U32` scalar constant.
    #[track_caller]
    pub fn constant_u32(&self, value: u32) -> Var<'_> {
        self.push(Op::Const(f64::from(value).to_bits()), vec![], Shape::default(), DType::U32, Location::caller())
    }

    /// An `F32` tensor with one value everywhere.
    #[track_caller]
    pub fn full(&self, value: f64, shape: impl Into<Shape>) -> Var<'_> {
        self.constant(value).broadcast_to(shape)
    }

    /// `U32` indices along `axis` of this shape.
    #[track_caller]
    pub fn iota(&self, axis: usize, shape: impl Into<Shape>) -> Var<'_> {
        let (shape, site) = (shape.into(), Location::caller());
        if axis >= shape.len() {
            let (got, want) = (format!("axis {axis}"), format!("an axis of {shape}"));
            return self.invalid(Error::Shape { op: "iota", got, want, at: Some(site) });
        }
        self.push(Op::Iota { axis }, vec![], shape, DType::U32, site)
    }

    /// Number of the step being computed: a `U32` scalar that counts from where the session was set.
    #[track_caller]
    pub fn step(&self) -> Var<'_> {
        self.push(Op::Step, vec![], Shape::default(), DType::U32, Location::caller())
    }

    /// The input of this name, if there is one.
    pub fn input_named(&self, name: &str) -> Option<Var<'_>> {
        let inner = self.inner.borrow();
        let is_named = |id: &&NodeId| matches!(&inner.nodes[id.index()].op, Op::Input(n) if **n == *name);
        inner.inputs.iter().find(is_named).map(|&id| Var::new(self, id))
    }

    /// Names of all inputs, in the order in which they were declared.
    pub fn input_names(&self) -> Vec<String> {
        let inner = self.inner.borrow();
        let name = |id: &NodeId| match &inner.nodes[id.index()].op {
            Op::Input(name) => name.to_string(),
            other => other.name().to_string(),
        };
        inner.inputs.iter().map(name).collect()
    }

    /// The first mistake made while building, if any.
    ///
    /// # Errors
    /// The recorded error; it is taken out, so the next call reports the next one.
    pub fn check(&self) -> Result<()> {
        let mut inner = self.inner.borrow_mut();
        if inner.errors.is_empty() { Ok(()) } else { Err(inner.errors.remove(0)) }
    }

    /// All nodes, in topological order.
    pub fn nodes(&self) -> Vec<Rc<Node>> {
        self.inner.borrow().nodes.clone()
    }

    /// The node behind an id.
    pub fn node(&self, id: NodeId) -> Rc<Node> {
        self.inner.borrow().nodes[id.index()].clone()
    }

    /// The variable that names a node.
    pub fn var(&self, id: NodeId) -> Var<'_> {
        Var::new(self, id)
    }

    /// Nodes that the given ones depend on, themselves included, ascending (so arguments come first).
    pub fn reachable(&self, from: &[NodeId]) -> Vec<NodeId> {
        let inner = self.inner.borrow();
        let mut seen = vec![false; inner.nodes.len()];
        let mut stack = from.to_vec();
        while let Some(id) = stack.pop() {
            if !std::mem::replace(&mut seen[id.index()], true) {
                stack.extend(&inner.nodes[id.index()].args);
            }
        }
        (0..inner.nodes.len() as u32).map(NodeId).filter(|id| seen[id.index()]).collect()
    }

    /// Let nodes that `make` builds carry this line: a derivative is blamed on the line it is the derivative of.
    pub(crate) fn built_at<T>(&self, site: Site, make: impl FnOnce() -> T) -> T {
        let outer = self.inner.borrow_mut().site.replace(site);
        let made = make();
        self.inner.borrow_mut().site = outer;
        made
    }

    /// Remember a mistake and stand an invalid node in for the value.
    pub(crate) fn invalid(&self, error: Error) -> Var<'_> {
        let site = Location::caller();
        self.inner.borrow_mut().errors.push(error);
        self.push(Op::Invalid, vec![], Shape::default(), DType::F32, site)
    }
}
