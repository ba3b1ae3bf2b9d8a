//! Row analysis: a proof that walkers do not read each other.
//!
//! Axis 0 of `x [n, ..]` is the walker. Every node that depends on `x` is followed with the row each of its elements
//! belongs to: element `f`, counted row-major, to row `(f / inner) mod n`. Element-wise functions want arguments that
//! agree, a reshape changes nothing, a permute changes `inner`, a reduction must leave the row alone, and whatever does
//! not fit mixes. So walkers may lie along any axis on the way, as in `w.matmul(x.t()).t()`.

use super::{Graph, Node, NodeId, Op, Shape, Unary, Var};
use crate::error::{Error, Result};
use std::collections::{HashMap, HashSet};

/// What counts as depending on a variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dependence {
    /// The value may change when the variable does.
    Value,
    /// The derivative may differ from zero: `stop_grad`, integers, comparisons and `floor` cut the path.
    Derivative,
}

/// Where rows lie in a node's value: element `f` belongs to row `(f / inner) % n`.
type Inner = usize;

struct Mixed;

impl Graph {
    /// The first operation between `x` and `y` through which row `i` of `y` could depend on another row of `x`; `None`
    /// proves that there is none. Rows run along axis 0 of both.
    ///
    /// ```
    /// use ergodic::graph::{Dependence::Value, Graph};
    /// let g = Graph::new();
    /// let x = g.input("x", [100, 2]);
    /// let alone = x.square().sum(1);
    /// let together = alone - alone.mean(0);
    /// assert_eq!(g.row_mixing(alone, x, Value), None);
    /// let mixes = g.row_mixing(together, x, Value);
    /// assert_eq!(mixes.map(|id| g.node(id).op.name()), Some("sum"));
    /// ```
    pub fn row_mixing(&self, y: Var<'_>, x: Var<'_>, dependence: Dependence) -> Option<NodeId> {
        let (rows, path) = (n_rows(x), self.path(y, x, dependence));
        if rows <= 1 || x.shape().numel() == 0 {
            // One row or none has nothing to mix with, but the axis can get lost.
            return (!path.is_empty() && n_rows(y) != rows).then_some(y.id());
        }
        let mut inner = HashMap::from([(x.id(), x.shape().numel() / rows)]);
        for id in path.into_iter().filter(|&id| id != x.id()) {
            let node = self.node(id);
            match self.place(&node, &inner, rows) {
                Ok(at) => inner.insert(id, at),
                Err(Mixed) => return Some(id),
            };
        }
        self.off_axis_0(y.id(), &inner, rows)
    }

    /// Refuse, with the line that mixes, unless [`row_mixing`](Graph::row_mixing) finds a proof.
    ///
    /// # Errors
    /// [`Error::NotRowwise`].
    pub fn check_rowwise(&self, y: Var<'_>, x: Var<'_>, dependence: Dependence) -> Result<()> {
        let Some(id) = self.row_mixing(y, x, dependence) else { return Ok(()) };
        let node = self.node(id);
        let hint =
            "reduce over the rows to mean all of them, as in grad(y.sum_all(), x), or cut the path with stop_grad";
        Err(Error::NotRowwise { op: node.op.name(), hint: hint.into(), at: Some(node.site) })
    }

    /// Nodes that depend on `x` and that `y` depends on, ascending. Empty ones have nothing to depend.
    fn path(&self, y: Var<'_>, x: Var<'_>, dependence: Dependence) -> Vec<NodeId> {
        let passes = |node: &Node, i: usize| dependence == Dependence::Value || has_slope(&node.op, i);
        let mut depends = HashSet::new();
        for id in self.reachable(&[y.id()]) {
            let node = self.node(id);
            let through = |(i, arg): (usize, &NodeId)| depends.contains(arg) && passes(&node, i);
            if id == x.id() || (node.shape.numel() > 0 && node.args.iter().enumerate().any(through)) {
                depends.insert(id);
            }
        }
        let mut path = vec![];
        let mut wanted = HashSet::from([y.id()]);
        let mut dependent: Vec<_> = depends.into_iter().collect();
        dependent.sort_unstable();
        for id in dependent.into_iter().rev() {
            if wanted.remove(&id) {
                path.push(id);
                let node = self.node(id);
                wanted.extend(node.args.iter().enumerate().filter(|(i, _)| passes(&node, *i)).map(|(_, arg)| *arg));
            }
        }
        path.reverse();
        path
    }

    fn place(&self, node: &Node, inner: &HashMap<NodeId, Inner>, rows: usize) -> Result<Inner, Mixed> {
        let args: Vec<_> = node.args.iter().map(|id| self.node(*id).shape.clone()).collect();
        let at: Vec<_> = node.args.iter().map(|id| inner.get(id).copied()).collect();
        Placement { node, args, at, rows }.place()
    }

    /// The operation that took the rows of a proven node off axis 0, if one did.
    fn off_axis_0(&self, mut id: NodeId, inner: &HashMap<NodeId, Inner>, rows: usize) -> Option<NodeId> {
        let is_off = |id: &NodeId| {
            let shape = &self.node(*id).shape;
            inner.get(id).is_some_and(|&inner| shape.first() != Some(&rows) || inner * rows != shape.numel())
        };
        if !is_off(&id) {
            return None;
        }
        while let Some(&arg) = self.node(id).args.iter().find(|arg| is_off(arg)) {
            id = arg;
        }
        Some(id)
    }
}

/// Whether the derivative passes from argument `i` to the result.
fn has_slope(op: &Op, i: usize) -> bool {
    match op {
        Op::StopGrad | Op::Cast | Op::Compare(_) | Op::Unary(Unary::Floor | Unary::Not) => false,
        Op::SearchSorted | Op::Apportion => false,
        Op::Select => i > 0,
        Op::Gather | Op::ScatterAdd => i == 0,
        _ => true,
    }
}

fn n_rows(v: Var<'_>) -> usize {
    v.shape().first().copied().unwrap_or(1)
}

fn suffix(shape: &[usize], axis: usize) -> usize {
    shape[axis + 1..].iter().product()
}

/// The axis that carries the rows, and how many of its elements in a row belong to one.
fn carrier(shape: &[usize], inner: Inner, rows: usize) -> Result<(usize, usize), Mixed> {
    let carries = |&axis: &usize| {
        let below = suffix(shape, axis);
        inner.is_multiple_of(below) && (below * shape[axis]).is_multiple_of(inner * rows)
    };
    let axis = (0..shape.len()).find(carries).ok_or(Mixed)?;
    Ok((axis, inner / suffix(shape, axis)))
}

/// One node, where rows lie in its arguments (`None` for those that do not depend on the variable), and how many.
struct Placement<'a> {
    node: &'a Node,
    args: Vec<Shape>,
    at: Vec<Option<Inner>>,
    rows: usize,
}

impl Placement<'_> {
    fn place(&self) -> Result<Inner, Mixed> {
        let shape = &self.node.shape;
        match &self.node.op {
            Op::Cast | Op::Unary(_) | Op::Binary(_) | Op::Compare(_) | Op::Select | Op::Reshape | Op::StopGrad => {
                self.agreed()
            }
            Op::Sum { axes } | Op::Max { axes } => self.reduced(axes, self.at[0].ok_or(Mixed)?),
            Op::CumSum { axis } | Op::Tridiagonal { axis } => {
                let inner = self.agreed()?;
                self.reduced(&[*axis], inner).and(Ok(inner))
            }
            Op::Permute(perm) => {
                let (axis, local) = self.carrier(0)?;
                self.on_axis(perm.iter().position(|&p| p == axis), local)
            }
            Op::Broadcast => {
                let (axis, local) = self.carrier(0)?;
                self.on_axis(Some(axis + shape.len() - self.args[0].len()), local)
            }
            Op::Slice(_) | Op::Pad(_) => {
                let (axis, local) = self.carrier(0)?;
                self.on_axis((self.args[0][axis] == shape[axis]).then_some(axis), local)
            }
            Op::Concat { axis } => self.concat(*axis),
            Op::Gather | Op::ScatterAdd | Op::SearchSorted => self.indexed(),
            Op::MatMul => self.matmul(),
            Op::Stencil { taps, .. } => {
                let (axis, _) = self.carrier(0)?;
                let first = |offset: &[i32]| shape.len() - offset.len();
                let touches =
                    taps.iter().any(|tap| axis >= first(&tap.offset) && tap.offset[axis - first(&tap.offset)] != 0);
                if touches { Err(Mixed) } else { self.at[0].ok_or(Mixed) }
            }
            Op::Apportion => Err(Mixed), // each place depends on all weights
            // These have no argument that could depend on rows.
            Op::Const(_) | Op::Input(_) | Op::Step | Op::Iota { .. } | Op::FoldIn(_) | Op::Random(_) | Op::Invalid => {
                Err(Mixed)
            }
        }
    }

    fn carrier(&self, i: usize) -> Result<(usize, usize), Mixed> {
        carrier(&self.args[i], self.at[i].ok_or(Mixed)?, self.rows)
    }

    fn on_axis(&self, axis: Option<usize>, local: usize) -> Result<Inner, Mixed> {
        axis.map(|axis| local * suffix(&self.node.shape, axis)).ok_or(Mixed)
    }

    /// Where rows lie in all arguments alike.
    fn agreed(&self) -> Result<Inner, Mixed> {
        let mut known = self.at.iter().flatten();
        let first = known.next().ok_or(Mixed)?;
        known.all(|other| other == first).then_some(*first).ok_or(Mixed)
    }

    /// A reduced axis must lie wholly inside the elements of one row, or wholly outside the whole list of rows.
    fn reduced(&self, axes: &[usize], inner: Inner) -> Result<Inner, Mixed> {
        let shape = &self.args[0];
        let mut left = inner;
        for &axis in axes {
            let (len, below) = (shape[axis], suffix(shape, axis));
            if inner.is_multiple_of(below * len) {
                left /= len;
            } else if !below.is_multiple_of(inner * self.rows) {
                return Err(Mixed);
            }
        }
        Ok(left)
    }

    fn concat(&self, axis: usize) -> Result<Inner, Mixed> {
        let dependent = (0..self.args.len()).filter(|&i| self.at[i].is_some());
        let carriers = dependent.map(|i| self.carrier(i)).collect::<Result<Vec<_>, _>>()?;
        let first = *carriers.first().ok_or(Mixed)?;
        if first.0 == axis || carriers.iter().any(|other| *other != first) {
            return Err(Mixed);
        }
        self.on_axis(Some(first.0), first.1)
    }

    /// Rows may be what is looked up with, or an inner axis of what is looked up in; never the axis that is indexed.
    fn indexed(&self) -> Result<Inner, Mixed> {
        match (&self.node.op, self.at[0], self.at[1]) {
            (Op::SearchSorted, None, Some(inner)) => Ok(inner),
            (Op::Gather, None, Some(_)) => {
                let (axis, local) = self.carrier(1)?;
                self.on_axis(Some(axis), local)
            }
            (Op::Gather, Some(_), None) => {
                let (axis, local) = self.carrier(0)?;
                self.on_axis((axis > 0).then(|| axis + self.args[1].len() - 1), local)
            }
            (Op::ScatterAdd, Some(_), None) => {
                let (axis, local) = self.carrier(0)?;
                self.on_axis((axis > 0).then_some(axis), local)
            }
            _ => Err(Mixed),
        }
    }

    fn matmul(&self) -> Result<Inner, Mixed> {
        match (self.at[0], self.at[1]) {
            (Some(_), None) => {
                let (axis, local) = self.carrier(0)?;
                self.on_axis((axis == 0).then_some(0), local)
            }
            (None, Some(_)) => {
                let (axis, local) = self.carrier(1)?;
                self.on_axis((axis == 1).then_some(1), local)
            }
            _ => Err(Mixed),
        }
    }
}
