//! [`Var`]: a handle on a node, with element-wise functions and the arithmetic operators.

use super::{Binary, Compare, DType, Graph, NodeId, Op, Shape, Unary};
use crate::error::{Error, Site};
use std::ops::{Add, Div, Mul, Neg, Sub};
use std::panic::Location;

/// A value in a graph: an array that does not exist yet.
///
/// Copy it freely. Arguments of element-wise functions broadcast as in NumPy: axes are aligned from the last one, and
/// an axis of length 1 repeats. Mistakes in shapes are recorded by the graph ([`Graph::check`]), with the line.
#[derive(Clone, Copy)]
pub struct Var<'g> {
    graph: &'g Graph,
    id: NodeId,
}

/// What can stand beside a [`Var`] in a formula: another one, or a number.
pub trait IntoVar<'g> {
    /// The node, made in this graph if it is a number, of this element type.
    fn into_var(self, graph: &'g Graph, dtype: DType) -> Var<'g>;
}

impl<'g> IntoVar<'g> for Var<'g> {
    fn into_var(self, _: &'g Graph, _: DType) -> Var<'g> {
        self
    }
}

macro_rules! number_into_var {
    ($($number:ty),*) => {$(
        impl<'g> IntoVar<'g> for $number {
            #[track_caller]
            fn into_var(self, graph: &'g Graph, dtype: DType) -> Var<'g> {
                let value = f64::from(self);
                graph.push(Op::Const(value.to_bits()), vec![], Shape::default(), dtype, Location::caller())
            }
        }
    )*};
}
number_into_var!(f64, f32, i32, u32);

impl<'g> Var<'g> {
    pub(crate) fn new(graph: &'g Graph, id: NodeId) -> Self {
        Var { graph, id }
    }

    /// The graph it belongs to.
    pub fn graph(self) -> &'g Graph {
        self.graph
    }

    /// The node it names.
    pub fn id(self) -> NodeId {
        self.id
    }

    /// Axis lengths.
    pub fn shape(self) -> Shape {
        self.graph.node(self.id).shape.clone()
    }

    /// Element type.
    pub fn dtype(self) -> DType {
        self.graph.node(self.id).dtype
    }

    /// The line that built it.
    pub fn site(self) -> Site {
        self.graph.node(self.id).site
    }

    /// Whether it is zero everywhere, known without computing.
    pub fn is_zero(self) -> bool {
        self.graph.constant_value(self.id) == Some(0.0)
    }

    /// Whether it stands for a mistake.
    pub fn is_invalid(self) -> bool {
        matches!(self.graph.node(self.id).op, Op::Invalid)
    }

    /// A tensor of zeros of the same shape and type.
    #[track_caller]
    pub fn zeros_like(self) -> Var<'g> {
        let (shape, dtype) = (self.shape(), self.dtype());
        0.0.into_var(self.graph, dtype).broadcast_to(shape)
    }

    /// Apply a function to every element.
    #[track_caller]
    pub fn unary(self, f: Unary) -> Var<'g> {
        let (dtype, shape, site) = (self.dtype(), self.shape(), Location::caller());
        let want = if f == Unary::Not { DType::Bool } else { DType::F32 };
        if dtype != want && !self.is_invalid() {
            return self.mismatch(f.name(), format!("{dtype:?}"), format!("{want:?}; convert with .cast()"), site);
        }
        self.graph.push(Op::Unary(f), vec![self.id], shape, dtype, site)
    }

    /// Apply a function of two arguments to every pair of elements, after broadcasting.
    #[track_caller]
    pub fn binary(self, f: Binary, other: impl IntoVar<'g>) -> Var<'g> {
        let dtype = self.dtype();
        self.pairwise(Op::Binary(f), other.into_var(self.graph, dtype), dtype)
    }

    #[track_caller]
    fn pairwise(self, op: Op, other: Var<'g>, dtype: DType) -> Var<'g> {
        let site = Location::caller();
        if self.is_invalid() || other.is_invalid() {
            return if self.is_invalid() { self } else { other };
        }
        let (a, b) = (self.shape(), other.shape());
        let of_bools = self.dtype() == DType::Bool && op != Op::Compare(Compare::Eq);
        if self.dtype() != other.dtype() || self.dtype() == DType::Key || of_bools {
            let got = format!("{:?} and {:?}", self.dtype(), other.dtype());
            return self.mismatch(
                op.name(),
                got,
                "two arguments of one number type; convert with .cast()".into(),
                site,
            );
        }
        let Some(shape) = a.broadcast(&b) else {
            let want = "axes that are equal or 1, aligned from the last".into();
            return self.mismatch(op.name(), format!("{a} and {b}"), want, site);
        };
        let args = vec![self.broadcast_to(&shape).id, other.broadcast_to(&shape).id];
        self.graph.push(op, args, shape, dtype, site)
    }

    /// The mistake of arithmetic on what is no number, a `Bool` or a key.
    pub(super) fn not_a_number(self, op: &'static str, site: Site) -> Option<Var<'g>> {
        let dtype = self.dtype();
        let want = || "F32 or U32; convert with .cast()".into();
        let number = matches!(dtype, DType::F32 | DType::U32);
        (!number).then(|| self.mismatch(op, format!("{dtype:?}"), want(), site))
    }

    pub(super) fn mismatch(self, op: &'static str, got: String, want: String, site: Site) -> Var<'g> {
        self.graph.invalid(Error::Shape { op, got, want, at: Some(site) })
    }

    /// `self < other`, a `Bool`.
    #[track_caller]
    pub fn lt(self, other: impl IntoVar<'g>) -> Var<'g> {
        self.pairwise(Op::Compare(Compare::Lt), other.into_var(self.graph, self.dtype()), DType::Bool)
    }

    /// `self <= other`, a `Bool`.
    #[track_caller]
    pub fn le(self, other: impl IntoVar<'g>) -> Var<'g> {
        self.pairwise(Op::Compare(Compare::Le), other.into_var(self.graph, self.dtype()), DType::Bool)
    }

    /// `self == other`, a `Bool`.
    #[track_caller]
    pub fn equal(self, other: impl IntoVar<'g>) -> Var<'g> {
        self.pairwise(Op::Compare(Compare::Eq), other.into_var(self.graph, self.dtype()), DType::Bool)
    }

    /// Logical not of a `Bool`.
    #[track_caller]
    pub fn logical_not(self) -> Var<'g> {
        self.unary(Unary::Not)
    }

    /// Where this `Bool` holds the elements of `yes`, elsewhere those of `no`.
    #[track_caller]
    pub fn select(self, yes: impl IntoVar<'g>, no: impl IntoVar<'g>) -> Var<'g> {
        let site = Location::caller();
        let yes = yes.into_var(self.graph, DType::F32);
        let no = no.into_var(self.graph, yes.dtype());
        if self.dtype() != DType::Bool || yes.dtype() != no.dtype() {
            let got = format!("{:?} ? {:?} : {:?}", self.dtype(), yes.dtype(), no.dtype());
            return self.mismatch("select", got, "Bool ? T : T".into(), site);
        }
        let (c, a, b) = (self.shape(), yes.shape(), no.shape());
        let Some(shape) = a.broadcast(&b).and_then(|s| s.broadcast(&c)) else {
            let want = "axes that are equal or 1, aligned from the last".into();
            return self.mismatch("select", format!("{c}, {a} and {b}"), want, site);
        };
        let args = vec![self.broadcast_to(&shape).id, yes.broadcast_to(&shape).id, no.broadcast_to(&shape).id];
        self.graph.push(Op::Select, args, shape, yes.dtype(), site)
    }

    /// Smaller of two.
    #[track_caller]
    pub fn min(self, other: impl IntoVar<'g>) -> Var<'g> {
        self.binary(Binary::Min, other)
    }

    /// Larger of two.
    #[track_caller]
    pub fn max(self, other: impl IntoVar<'g>) -> Var<'g> {
        self.binary(Binary::Max, other)
    }

    /// `self^exponent`, for `self >= 0`.
    #[track_caller]
    pub fn pow(self, exponent: impl IntoVar<'g>) -> Var<'g> {
        self.binary(Binary::Pow, exponent)
    }

    /// `self * self`.
    #[track_caller]
    pub fn square(self) -> Var<'g> {
        self * self
    }

    /// Logistic function `1 / (1 + exp(-x))`, from `tanh` so that neither tail overflows.
    #[track_caller]
    pub fn sigmoid(self) -> Var<'g> {
        (self * 0.5).tanh() * 0.5 + 0.5
    }

    /// `x * sigmoid(x)`.
    #[track_caller]
    pub fn silu(self) -> Var<'g> {
        self * self.sigmoid()
    }

    /// `max(x, 0)`; a second derivative through it is refused, see [`autodiff`](crate::autodiff).
    #[track_caller]
    pub fn relu(self) -> Var<'g> {
        self.max(0.0)
    }

    /// `max(x, slope * x)` for a slope in (0, 1).
    #[track_caller]
    pub fn leaky_relu(self, slope: f64) -> Var<'g> {
        self.max(self * slope)
    }

    /// `x * Phi(x)` with the standard normal distribution function `Phi`.
    #[track_caller]
    pub fn gelu(self) -> Var<'g> {
        self * ((self * std::f64::consts::FRAC_1_SQRT_2).erf() * 0.5 + 0.5)
    }
}

macro_rules! unary_methods {
    ($($(#[$doc:meta])* $name:ident => $op:ident;)*) => {
        impl<'g> Var<'g> {$(
            $(#[$doc])*
            #[track_caller]
            pub fn $name(self) -> Var<'g> { self.unary(Unary::$op) }
        )*}
    };
}
unary_methods! {
    /// Absolute value.
    abs => Abs;
    /// Exponential.
    exp => Exp;
    /// Natural logarithm.
    log => Log;
    /// `log(1 + x)`, accurate near 0.
    log1p => Log1p;
    /// `exp(x) - 1`, accurate near 0.
    expm1 => Expm1;
    /// Sine.
    sin => Sin;
    /// Cosine.
    cos => Cos;
    /// Hyperbolic tangent.
    tanh => Tanh;
    /// Square root.
    sqrt => Sqrt;
    /// `1 / sqrt(x)`.
    rsqrt => Rsqrt;
    /// `1 / x`.
    recip => Recip;
    /// Largest integer not above.
    floor => Floor;
    /// Error function.
    erf => Erf;
    /// `log(1 + exp(x))` without overflow.
    softplus => Softplus;
}

macro_rules! operators {
    ($($trait:ident $method:ident $op:ident;)*) => {$(
        impl<'g, T: IntoVar<'g>> $trait<T> for Var<'g> {
            type Output = Var<'g>;
            #[track_caller]
            fn $method(self, other: T) -> Var<'g> { self.binary(Binary::$op, other) }
        }
        impl<'g> $trait<Var<'g>> for f64 {
            type Output = Var<'g>;
            #[track_caller]
            fn $method(self, other: Var<'g>) -> Var<'g> {
                self.into_var(other.graph, other.dtype()).binary(Binary::$op, other)
            }
        }
    )*};
}
operators! {
    Add add Add;
    Sub sub Sub;
    Mul mul Mul;
    Div div Div;
}

impl<'g> Neg for Var<'g> {
    type Output = Var<'g>;
    #[track_caller]
    fn neg(self) -> Var<'g> {
        self.unary(Unary::Neg)
    }
}
