//! Random formulas on 3 x 3 matrices, with two meanings: a graph, and plain loops.

use ergodic::graph::{Binary, Boundary, Tap, Unary, Var};
use proptest::prelude::*;

pub const N: usize = 3;
pub type Matrix = [[f64; N]; N];

/// A formula of two matrices. Every operation takes and gives 3 x 3, and keeps values finite.
#[derive(Clone, Debug)]
pub enum Expr {
    X,
    W,
    Full(f64),
    Map(Unary, Box<Expr>),
    Zip(Binary, Box<Expr>, Box<Expr>),
    /// `a / (1 + b^2)`.
    Divide(Box<Expr>, Box<Expr>),
    /// `a < b ? a : c`.
    Where(Box<Expr>, Box<Expr>, Box<Expr>),
    Move(Move, Box<Expr>),
    MatMul(Box<Expr>, Box<Expr>),
    /// The first column of one beside the last two of the other.
    Join(Box<Expr>, Box<Expr>),
}

/// Operations that move or combine elements of one matrix.
#[derive(Clone, Copy, Debug)]
pub enum Move {
    Transpose,
    /// Sums of rows, in every column.
    RowSums,
    ColumnMaxima,
    RunningRows,
    RunningColumns,
    /// Up by one row, zeros below.
    Shift,
    Reverse,
    /// Running sum of all nine elements.
    RunningAll,
    /// `x[i, j + 1] - 2 x[i, j - 1]`, periodic.
    Difference,
    /// Row `i` added into row `i / 2`.
    Scatter,
    StopGrad,
}

const MOVES: [Move; 11] = [
    Move::Transpose,
    Move::RowSums,
    Move::ColumnMaxima,
    Move::RunningRows,
    Move::RunningColumns,
    Move::Shift,
    Move::Reverse,
    Move::RunningAll,
    Move::Difference,
    Move::Scatter,
    Move::StopGrad,
];
const MAPS: [Unary; 7] = [Unary::Neg, Unary::Neg, Unary::Abs, Unary::Tanh, Unary::Sin, Unary::Softplus, Unary::Floor];
const ZIPS: [Binary; 5] = [Binary::Add, Binary::Sub, Binary::Mul, Binary::Min, Binary::Max];

pub fn expr() -> impl Strategy<Value = Expr> {
    // Constants that invite simplification are as frequent as variables.
    let full = proptest::sample::select(vec![0.0, 1.0, -1.0, 0.5, 2.0]).prop_map(Expr::Full);
    let leaf = prop_oneof![2 => Just(Expr::X), 1 => Just(Expr::W), 2 => full];
    leaf.prop_recursive(6, 40, 3, |inner| {
        let one = || inner.clone().prop_map(Box::new);
        prop_oneof![
            3 => (proptest::sample::select(&MAPS[..]), one()).prop_map(|(f, a)| Expr::Map(f, a)),
            5 => (proptest::sample::select(&ZIPS[..]), one(), one()).prop_map(|(f, a, b)| Expr::Zip(f, a, b)),
            1 => (one(), one()).prop_map(|(a, b)| Expr::Divide(a, b)),
            1 => (one(), one(), one()).prop_map(|(a, b, c)| Expr::Where(a, b, c)),
            3 => (proptest::sample::select(&MOVES[..]), one()).prop_map(|(m, a)| Expr::Move(m, a)),
            1 => (one(), one()).prop_map(|(a, b)| Expr::MatMul(a, b)),
            1 => (one(), one()).prop_map(|(a, b)| Expr::Join(a, b)),
        ]
    })
}

/// The formula as nodes.
pub fn build<'g>(e: &Expr, x: Var<'g>, w: Var<'g>) -> Var<'g> {
    let of = |e: &Expr| build(e, x, w);
    match e {
        Expr::X => x,
        Expr::W => w,
        Expr::Full(c) => x.graph().full(*c, [N, N]),
        Expr::Map(f, a) => of(a).unary(*f),
        Expr::Zip(f, a, b) => of(a).binary(*f, of(b)),
        Expr::Divide(a, b) => of(a) / (1.0 + of(b).square()),
        Expr::Where(a, b, c) => of(a).lt(of(b)).select(of(a), of(c)),
        Expr::Move(m, a) => moved(*m, of(a)),
        Expr::MatMul(a, b) => of(a).matmul(of(b)),
        Expr::Join(a, b) => {
            let parts = [of(a).narrow(1, 0, 1), of(b).narrow(1, 1, 2)];
            Var::concat(&parts, 1).unwrap_or(x)
        }
    }
}

fn moved(m: Move, a: Var<'_>) -> Var<'_> {
    let rows = || a.graph().iota(0, [N]);
    match m {
        Move::Transpose => a.t(),
        Move::RowSums => a.sum(1).unsqueeze(1).broadcast_to([N, N]),
        Move::ColumnMaxima => a.max_over(0).broadcast_to([N, N]),
        Move::RunningRows => a.cumsum(1),
        Move::RunningColumns => a.cumsum(0),
        Move::Shift => a.narrow(0, 1, N - 1).pad([0, 0], [N, N]),
        Move::Reverse => a.gather(a.graph().constant_u32(2) - rows()),
        Move::RunningAll => a.reshape([N * N]).cumsum(0).reshape([N, N]),
        Move::Difference => a.stencil(&[Tap::new([1], 1.0), Tap::new([-1], -2.0)], Boundary::Periodic),
        Move::Scatter => a.scatter_add(rows() / 2u32, N),
        Move::StopGrad => a.stop_grad(),
    }
}

/// The formula as loops.
pub fn meaning(e: &Expr, x: &Matrix, w: &Matrix) -> Matrix {
    let of = |e: &Expr| meaning(e, x, w);
    match e {
        Expr::X => *x,
        Expr::W => *w,
        Expr::Full(c) => [[*c; N]; N],
        Expr::Map(f, a) => of(a).map(|row| row.map(|x| map(*f, x))),
        Expr::Zip(f, a, b) => each(|i, j| zip(*f, of(a)[i][j], of(b)[i][j])),
        Expr::Divide(a, b) => each(|i, j| of(a)[i][j] / (1.0 + of(b)[i][j] * of(b)[i][j])),
        Expr::Where(a, b, c) => each(|i, j| if of(a)[i][j] < of(b)[i][j] { of(a)[i][j] } else { of(c)[i][j] }),
        Expr::Move(m, a) => moved_by_loops(*m, of(a)),
        Expr::MatMul(a, b) => each(|i, j| (0..N).fold(0.0, |sum, k| sum + of(a)[i][k] * of(b)[k][j])),
        Expr::Join(a, b) => each(|i, j| if j == 0 { of(a)[i][0] } else { of(b)[i][j] }),
    }
}

pub fn each(f: impl Fn(usize, usize) -> f64) -> Matrix {
    std::array::from_fn(|i| std::array::from_fn(|j| f(i, j)))
}

fn map(f: Unary, x: f64) -> f64 {
    match f {
        Unary::Neg => -x,
        Unary::Abs => x.abs(),
        Unary::Tanh => x.tanh(),
        Unary::Sin => x.sin(),
        Unary::Floor => x.floor(),
        Unary::Softplus => x.max(0.0) + (-x.abs()).exp().ln_1p(),
        other => panic!("{other:?} is not in MAPS"),
    }
}

fn zip(f: Binary, a: f64, b: f64) -> f64 {
    match f {
        Binary::Add => a + b,
        Binary::Sub => a - b,
        Binary::Mul => a * b,
        Binary::Min => a.min(b),
        Binary::Max => a.max(b),
        other => panic!("{other:?} is not in ZIPS"),
    }
}

fn moved_by_loops(m: Move, a: Matrix) -> Matrix {
    match m {
        Move::Transpose => each(|i, j| a[j][i]),
        Move::RowSums => each(|i, _| a[i][0] + a[i][1] + a[i][2]),
        Move::ColumnMaxima => each(|_, j| a[0][j].max(a[1][j]).max(a[2][j])),
        Move::RunningRows => each(|i, j| a[i][..=j].iter().fold(0.0, |sum, x| sum + x)),
        Move::RunningColumns => each(|i, j| (0..=i).fold(0.0, |sum, k| sum + a[k][j])),
        Move::Shift => each(|i, j| if i + 1 < N { a[i + 1][j] } else { 0.0 }),
        Move::Reverse => each(|i, j| a[N - 1 - i][j]),
        Move::RunningAll => each(|i, j| (0..=i * N + j).fold(0.0, |sum, f| sum + a[f / N][f % N])),
        Move::Difference => each(|i, j| a[i][(j + 1) % N] - 2.0 * a[i][(j + N - 1) % N]),
        Move::Scatter => each(|i, j| {
            if i == 0 {
                a[0][j] + a[1][j]
            } else if i == 1 {
                a[2][j]
            } else {
                0.0
            }
        }),
        Move::StopGrad => a,
    }
}
