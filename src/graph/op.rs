//! The operations: a closed set, small enough that every pass over a graph is one `match`.

use std::rc::Rc;

/// Element-wise functions of one argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // each is the function of its name
pub enum Unary {
    Neg,
    Abs,
    Exp,
    Log,
    Log1p,
    Expm1,
    Sin,
    Cos,
    Tanh,
    Sqrt,
    Rsqrt,
    Recip,
    Floor,
    Erf,
    /// `log(1 + exp(x))` without overflow. Its derivative is the logistic function.
    Softplus,
    /// Logical not of a `Bool`.
    Not,
}

/// Element-wise functions of two arguments of one shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // each is the function of its name
pub enum Binary {
    Add,
    Sub,
    Mul,
    Div,
    Min,
    Max,
    /// `a^b` for `a >= 0`.
    Pow,
}

impl Binary {
    /// Whether the arguments may be exchanged.
    pub fn commutes(self) -> bool {
        matches!(self, Binary::Add | Binary::Mul | Binary::Min | Binary::Max)
    }
}

/// Comparisons; the result is `Bool`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // each is the comparison of its name
pub enum Compare {
    Lt,
    Le,
    Eq,
}

/// Which standard normals a draw gives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum NormalMode {
    /// Box-Muller in f32: fast; equal within a few units in the last place between adapters.
    #[default]
    BoxMuller,
    /// Integer inverse of the cumulative distribution: bit-identical on every adapter.
    Exact,
}

/// What a random node draws from its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Draw {
    /// 32 random bits (`U32`).
    Bits,
    /// Uniform in the open interval (0, 1).
    Uniform,
    /// Standard normal.
    Normal(NormalMode),
}

/// How a stencil continues a field beyond its edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Boundary {
    /// The field repeats.
    Periodic,
    /// The field is zero outside.
    Zero,
}

/// One term of a stencil: `weight * x[i + offset]` over the trailing `offset.len()` axes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Tap {
    /// Shift along each trailing axis, in cells.
    pub offset: Vec<i32>,
    /// Factor, as the bits of an `f64` (so that nodes can be hashed); see [`Tap::weight`].
    pub weight_bits: u64,
}

impl Tap {
    /// A term with this shift and factor.
    pub fn new(offset: impl Into<Vec<i32>>, weight: f64) -> Self {
        Tap { offset: offset.into(), weight_bits: weight.to_bits() }
    }

    /// The factor.
    pub fn weight(&self) -> f64 {
        f64::from_bits(self.weight_bits)
    }
}

/// What a node computes from its arguments. The node's shape and element type complete the meaning.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    /// A scalar, as the bits of an `f64`.
    Const(u64),
    /// A tensor bound by name when a session is made (or a [`Key`](super::DType::Key)).
    Input(Rc<str>),
    /// Number of the step being computed, a `U32` scalar.
    Step,
    /// `U32` index along one axis.
    Iota {
        /// The axis.
        axis: usize,
    },
    /// Conversion to the node's element type; floats are truncated toward zero.
    Cast,
    /// Element-wise function.
    Unary(Unary),
    /// Element-wise function of two arguments of the node's shape.
    Binary(Binary),
    /// Comparison of two arguments of the node's shape.
    Compare(Compare),
    /// `args[0] ? args[1] : args[2]`, element by element.
    Select,
    /// Sum over axes, which disappear.
    Sum {
        /// The axes, ascending.
        axes: Vec<usize>,
    },
    /// Maximum over axes, which disappear.
    Max {
        /// The axes, ascending.
        axes: Vec<usize>,
    },
    /// Inclusive running sum along one axis.
    CumSum {
        /// The axis.
        axis: usize,
    },
    /// Solution of a tridiagonal system in each line along one axis: `args` are what stands below the diagonal, on it and
    /// above it, and the right side, all of the node's shape. See [`Var::tridiagonal`](super::Var::tridiagonal).
    Tridiagonal {
        /// The axis.
        axis: usize,
    },
    /// Same elements in row-major order, other axes.
    Reshape,
    /// Axis `i` of the result is axis `perm[i]` of the argument.
    Permute(Vec<usize>),
    /// Repeat along new leading axes and along axes of length 1.
    Broadcast,
    /// The box that starts here and has the node's shape.
    Slice(Vec<usize>),
    /// The argument placed at this corner of a box of zeros of the node's shape.
    Pad(Vec<usize>),
    /// Arguments one after the other along one axis.
    Concat {
        /// The axis.
        axis: usize,
    },
    /// Rows of `args[0] [m, ..]` at `args[1]` (`U32`, any shape `[k ..]`): `[k .., ..]`. Indices are clamped.
    Gather,
    /// Sum into row `args[1][i]` of a zero tensor of the node's shape the row `args[0][i]`. Indices are clamped.
    ScatterAdd,
    /// For each query in `args[1]`, how many entries of the ascending `args[0] [m]` are below it: `U32` in `0..=m`.
    SearchSorted,
    /// Ancestors: which of the weights `args[0] [n]` owns each of the node's places, place `j` at `j + args[1][j]` (or
    /// `j + args[1]`, a scalar) of as many as there are: `U32`. See [`Var::apportion`](super::Var::apportion).
    Apportion,
    /// `[n, k] x [k, m]`.
    MatMul,
    /// Sum of shifted copies over the trailing axes.
    Stencil {
        /// The terms.
        taps: Rc<[Tap]>,
        /// What lies beyond the edge.
        boundary: Boundary,
    },
    /// A key derived from `args[0]`.
    FoldIn(u32),
    /// Random numbers from the key `args[0]`, counter (row, component, step).
    Random(Draw),
    /// The argument, whose derivative is taken to be zero.
    StopGrad,
    /// The result of a mistake that the graph has recorded; see [`Graph::check`](super::Graph::check).
    Invalid,
}

impl Op {
    /// The name used in errors, prints and generated code.
    pub fn name(&self) -> &'static str {
        match self {
            Op::Const(_) => "const",
            Op::Input(_) => "input",
            Op::Step => "step",
            Op::Iota { .. } => "iota",
            Op::Cast => "cast",
            Op::Unary(f) => f.name(),
            Op::Binary(f) => f.name(),
            Op::Compare(_) => "compare",
            Op::Select => "select",
            Op::Sum { .. } => "sum",
            Op::Max { .. } => "max_over",
            Op::CumSum { .. } => "cumsum",
            Op::Tridiagonal { .. } => "tridiagonal",
            Op::Reshape => "reshape",
            Op::Permute(_) => "permute",
            Op::Broadcast => "broadcast",
            Op::Slice(_) => "slice",
            Op::Pad(_) => "pad",
            Op::Concat { .. } => "concat",
            Op::Gather => "gather",
            Op::ScatterAdd => "scatter_add",
            Op::SearchSorted => "search_sorted",
            Op::Apportion => "apportion",
            Op::MatMul => "matmul",
            Op::Stencil { .. } => "stencil",
            Op::FoldIn(_) => "fold_in",
            Op::Random(_) => "random",
            Op::StopGrad => "stop_grad",
            Op::Invalid => "invalid",
        }
    }
}

impl Unary {
    /// The name used in errors and prints.
    pub fn name(self) -> &'static str {
        match self {
            Unary::Neg => "neg",
            Unary::Abs => "abs",
            Unary::Exp => "exp",
            Unary::Log => "log",
            Unary::Log1p => "log1p",
            Unary::Expm1 => "expm1",
            Unary::Sin => "sin",
            Unary::Cos => "cos",
            Unary::Tanh => "tanh",
            Unary::Sqrt => "sqrt",
            Unary::Rsqrt => "rsqrt",
            Unary::Recip => "recip",
            Unary::Floor => "floor",
            Unary::Erf => "erf",
            Unary::Softplus => "softplus",
            Unary::Not => "not",
        }
    }
}

impl Binary {
    /// The name used in errors and prints.
    pub fn name(self) -> &'static str {
        match self {
            Binary::Add => "add",
            Binary::Sub => "sub",
            Binary::Mul => "mul",
            Binary::Div => "div",
            Binary::Min => "min",
            Binary::Max => "max",
            Binary::Pow => "pow",
        }
    }
}
