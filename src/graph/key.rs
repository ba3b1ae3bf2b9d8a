//! Random keys inside a graph.

use super::{DType, Draw, NormalMode, Op, Shape, Var};
use std::panic::Location;

/// A random key: the graph's side of [`RngKey`](crate::random::RngKey), bound by name when a session is made.
///
/// A draw is a pure function of (key, step, row, component): the same key gives the same numbers twice, so give every
/// purpose its own with [`fold_in`](Key::fold_in). Row is the index along axis 0, component the row-major index of the
/// other axes, step the session's step counter.
#[derive(Clone, Copy)]
#[must_use]
pub struct Key<'g> {
    var: Var<'g>,
}

impl<'g> Key<'g> {
    pub(super) fn new(var: Var<'g>) -> Self {
        Key { var }
    }

    /// The node of this key.
    pub fn var(self) -> Var<'g> {
        self.var
    }

    /// An independent key, equal to `RngKey::fold_in` of the bound one.
    #[track_caller]
    pub fn fold_in(self, data: u32) -> Key<'g> {
        let site = Location::caller();
        Key { var: self.var.graph().push(Op::FoldIn(data), vec![self.var.id()], Shape::default(), DType::Key, site) }
    }

    /// Standard normals.
    #[track_caller]
    pub fn normal(self, shape: impl Into<Shape>) -> Var<'g> {
        self.draw(Draw::Normal(NormalMode::BoxMuller), shape.into())
    }

    /// Standard normals that are bit-identical on every adapter.
    #[track_caller]
    pub fn normal_exact(self, shape: impl Into<Shape>) -> Var<'g> {
        self.draw(Draw::Normal(NormalMode::Exact), shape.into())
    }

    /// Uniforms in the open interval (0, 1).
    #[track_caller]
    pub fn uniform(self, shape: impl Into<Shape>) -> Var<'g> {
        self.draw(Draw::Uniform, shape.into())
    }

    /// Random bits, `U32`.
    #[track_caller]
    pub fn bits(self, shape: impl Into<Shape>) -> Var<'g> {
        self.draw(Draw::Bits, shape.into())
    }

    #[track_caller]
    fn draw(self, draw: Draw, shape: Shape) -> Var<'g> {
        let dtype = if draw == Draw::Bits { DType::U32 } else { DType::F32 };
        self.var.graph().push(Op::Random(draw), vec![self.var.id()], shape, dtype, Location::caller())
    }
}
