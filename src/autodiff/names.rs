//! What a derivative is taken with respect to.
//!
//! Views are simplified away as a graph grows (`x.t().t()` is `x`), so a path can lead around a view. A view of a
//! variable is therefore a *name for its elements*: a derivative with respect to it is one with respect to them.

use super::linear::{leads_around, slice_of};
use super::transpose::inverse;
use crate::error::{Error, Result};
use crate::graph::{DType, Node, Op, Unary, Var};
use std::rc::Rc;

/// A variable as a chain of views of another one.
pub(super) struct Name<'g> {
    /// The node that is not a view.
    pub(super) source: Var<'g>,
    /// The views, the last one (the variable itself) first, each with its argument.
    views: Vec<(Rc<Node>, Var<'g>)>,
}

impl<'g> Name<'g> {
    pub(super) fn of(x: Var<'g>) -> Result<Self> {
        let g = x.graph();
        let (mut source, mut views) = (x, vec![]);
        if x.is_invalid() {
            g.check()?;
        }
        if x.dtype() != DType::F32 {
            let (got, want) = (format!("{:?}", x.dtype()), "F32: integers have no derivatives".into());
            return Err(Error::Shape { op: "derivative", got, want, at: Some(x.site()) });
        }
        loop {
            let node = g.node(source.id());
            match &node.op {
                Op::Reshape | Op::Permute(_) | Op::Slice(_) | Op::Unary(Unary::Neg) => {
                    source = g.var(node.args[0]);
                    views.push((node, source));
                }
                _ if g.constant_value(source.id()).is_some() => {
                    let why = "constants fold as a graph is built, so nothing depends on this one; use an input";
                    return Err(Error::NotDifferentiable { op: "const", why: why.into(), at: Some(x.site()) });
                }
                _ => return Ok(Name { source, views }),
            }
        }
    }

    /// Whether `x` is a view and `y` reads what it names past it, so that tangents of `x` alone would miss something.
    pub(super) fn is_passed_by(y: Var<'g>, x: Var<'g>) -> Result<bool> {
        let name = Name::of(x)?;
        Ok(!name.views.is_empty() && leads_around(y, name.source, x))
    }

    /// Refuse a repeated variable that `y` also reads past the repetition: repetitions of repetitions are simplified
    /// past it, so its own derivative cannot be told from that of what it repeats.
    pub(super) fn refuse_if_ambiguous(&self, y: Var<'g>) -> Result<()> {
        let g = y.graph();
        let node = g.node(self.source.id());
        if matches!(node.op, Op::Broadcast) && leads_around(y, g.var(node.args[0]), self.source) {
            let why = "what this repeats is also read elsewhere; differentiate with respect to that instead";
            return Err(Error::NotDifferentiable { op: "broadcast", why: why.into(), at: Some(node.site) });
        }
        Ok(())
    }

    /// The source's tangent from the variable's.
    pub(super) fn pushed_to_source(&self, mut t: Var<'g>) -> Var<'g> {
        for (node, arg) in &self.views {
            t = match &node.op {
                Op::Reshape => t.reshape(arg.shape()),
                Op::Permute(perm) => t.permute(inverse(perm)),
                Op::Slice(start) => t.pad(start.clone(), arg.shape()),
                _ => -t,
            };
        }
        t
    }

    /// The variable's cotangent from the source's.
    pub(super) fn pulled_to(&self, mut ct: Var<'g>) -> Var<'g> {
        for (node, _) in self.views.iter().rev() {
            ct = match &node.op {
                Op::Reshape => ct.reshape(&node.shape),
                Op::Permute(perm) => ct.permute(perm.clone()),
                Op::Slice(start) => slice_of(ct, start, &node.shape),
                _ => -ct,
            };
        }
        ct
    }
}
