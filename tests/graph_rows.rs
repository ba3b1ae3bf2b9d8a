//! The row analysis: what it proves, what it finds, and that its proofs hold for values.

use ergodic::Error;
use ergodic::graph::Dependence::{Derivative, Value};
use ergodic::graph::{Boundary, DType, Feeds, Graph, Tap, Var};

const N: usize = 6;
const D: usize = 4;

/// Name of the operation that mixes rows of `x [6, 4]` on the way to this function of it.
fn mixes(f: impl for<'g> Fn(Var<'g>) -> Var<'g>) -> Option<&'static str> {
    let g = Graph::new();
    let x = g.input("x", [N, D]);
    let y = f(x);
    let found = g.row_mixing(y, x, Value);
    g.check().unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(found.is_none(), rows_stay_apart_in_values(y), "{}", g.print(&[y]));
    found.map(|id| g.node(id).op.name())
}

/// Change one row of x at a time; no other row of y may move. Empirical, but blind to the analysis.
fn rows_stay_apart_in_values(y: Var<'_>) -> bool {
    let g = y.graph();
    let start: Vec<f64> = (0..N * D).map(|i| (i as f64 * 0.37).sin() + 1.5).collect();
    let shape = y.shape();
    if shape.first() != Some(&N) {
        return false;
    }
    let rows = |x: Vec<f64>| {
        let feeds = Feeds::new().tensor("x", x).tensor("w", vec![0.3; D * N]);
        let y = g.eval_f64(&[y], &feeds).unwrap_or_else(|e| panic!("{e}")).remove(0).data;
        y.chunks(shape.numel() / N).map(<[f64]>::to_vec).collect::<Vec<_>>()
    };
    let base = rows(start.clone());
    (0..N).all(|i| {
        // Every element by another amount, so that no sum or maximum stays where it was.
        let moved = start.iter().enumerate().map(|(f, x)| if f / D == i { -x * (1.0 + f as f64) } else { *x });
        let moved = rows(moved.collect());
        (0..N).all(|j| j == i || moved[j] == base[j])
    })
}

fn weights<'g>(x: Var<'g>, shape: [usize; 2]) -> Var<'g> {
    x.graph().input("w", shape)
}

#[test]
fn per_row_formulas_are_proven() {
    assert_eq!(mixes(|x| x), None);
    assert_eq!(mixes(|x| x.square().sum(1)), None);
    assert_eq!(mixes(|x| x.tanh() * x.sum(1).unsqueeze(1)), None);
    assert_eq!(mixes(|x| x.matmul(weights(x, [D, N])).softplus().sum(1)), None);
    assert_eq!(mixes(|x| x.logsumexp(1)), None);
    assert_eq!(mixes(|x| x.cumsum(1).narrow(1, 1, 2)), None);
    assert_eq!(mixes(|x| Var::concat(&[x, x.cos().sum(1).unsqueeze(1)], 1).unwrap_or(x)), None);
    assert_eq!(mixes(|x| x.pad([0, 2], [N, 9]).max_over(1)), None);
    assert_eq!(mixes(|x| x.stencil(&[Tap::new([1], 1.0), Tap::new([-1], -1.0)], Boundary::Periodic)), None);
    assert_eq!(mixes(|x| x.stencil(&[Tap::new([0, 1], 1.0), Tap::new([0, -1], 1.0)], Boundary::Zero)), None);
    assert_eq!(mixes(|x| x.lt(0.0).select(-x, x * 2.0)), None);
}

#[test]
fn rows_are_followed_along_other_axes_and_through_reshapes() {
    assert_eq!(mixes(|x| x.t().sum(0)), None);
    assert_eq!(mixes(|x| weights(x, [N, D]).matmul(x.t()).t()), None);
    assert_eq!(mixes(|x| x.reshape([N * D]).exp().reshape([N, D]).sum(1)), None);
    assert_eq!(mixes(|x| x.reshape([N, 2, 2]).permute([1, 0, 2]).sum(0)), None);
    assert_eq!(mixes(|x| x.reshape([N, 2, 2]).sum([1, 2])), None);
    assert_eq!(mixes(|x| x.reshape([N * 2, 2]).sum(1).reshape([N, 2])), None);
    assert_eq!(mixes(|x| x.broadcast_to([3, N, D]).cumsum(0).sum(0)), None);
    assert_eq!(mixes(|x| x.t().gather(x.graph().constant_u32(1))), None);
    assert_eq!(mixes(|x| x.reshape([2, N / 2, D]).exp().reshape([N, D])), None);
}

#[test]
fn what_mixes_is_named() {
    assert_eq!(mixes(|x| x - x.mean(0)), Some("sum"));
    assert_eq!(mixes(|x| x.sum(0).broadcast_to([N, D])), Some("sum"));
    assert_eq!(mixes(|x| x / x.max_over([0, 1])), Some("max_over"));
    assert_eq!(mixes(|x| x.cumsum(0)), Some("cumsum"));
    assert_eq!(mixes(|x| x.t().reshape([N, D])), Some("permute"));
    assert_eq!(mixes(|x| x.t()), Some("permute"));
    assert_eq!(mixes(|x| x.t().exp()), Some("permute"));
    assert_eq!(mixes(|x| x.narrow(0, 1, N - 1).pad([0, 0], [N, D])), Some("slice"));
    assert_eq!(mixes(|x| x.pad([0, 0], [N + 1, D]).narrow(0, 1, N)), Some("pad"));
    assert_eq!(mixes(|x| Var::concat(&[x, x], 0).unwrap_or(x).narrow(0, 1, N)), Some("concat"));
    assert_eq!(mixes(|x| x.gather((x.graph().iota(0, [N]) + 1u32) / 2u32)), Some("gather"));
    assert_eq!(mixes(|x| x.scatter_add(x.graph().iota(0, [N]) / 2u32, N)), Some("scatter_add"));
    assert_eq!(mixes(|x| x.matmul(x.t()).sum(1)), Some("matmul"));
    assert_eq!(mixes(|x| x.matmul(weights(x, [D, N]).matmul(x))), Some("matmul"));
    assert_eq!(mixes(|x| x.stencil(&[Tap::new([1, 0], 1.0)], Boundary::Periodic)), Some("stencil"));
    assert_eq!(
        mixes(|x| x.narrow(1, 0, 1).reshape([N]).search_sorted(x.narrow(1, 1, 1).reshape([N]))),
        Some("search_sorted")
    );
    assert_eq!(mixes(|x| x.sum(1).apportion(N, x.graph().constant(0.5))), Some("apportion"));
    assert_eq!(mixes(|x| x.unsqueeze(1) - x.unsqueeze(0)), Some("sub")); // all pairs
    assert_eq!(mixes(|x| x.reshape([2, N / 2, D]).sum(0).broadcast_to([2, N / 2, D]).reshape([N, D])), Some("sum"));
}

#[test]
fn lookups_by_row_are_proven() {
    assert_eq!(mixes(|x| weights(x, [D, N]).gather(x.narrow(1, 0, 1).reshape([N]).cast(DType::U32))), None);
    assert_eq!(mixes(|x| x.graph().iota(0, [9]).cast(DType::F32).search_sorted(x).cast(DType::F32)), None);
}

#[test]
fn nodes_that_do_not_depend_on_x_never_mix() {
    let g = Graph::new();
    let (x, z) = (g.input("x", [N, D]), g.input("z", [N, D]));
    assert_eq!(g.row_mixing(z.sum(0), x, Value), None);
    assert_eq!(g.row_mixing(x * z.sum(0), x, Value), None);
    let noise = g.key("noise").normal([N, D]).sum(0);
    assert_eq!(g.row_mixing(x + noise, x, Value), None);
}

#[test]
fn derivatives_do_not_pass_stop_grad_and_integers() {
    let g = Graph::new();
    let x = g.input("x", [N, D]);
    let centred = x - x.mean(0).stop_grad();
    let rank = x.sum(1).search_sorted(x.sum(1)).cast(DType::F32);
    for y in [centred, x * rank.unsqueeze(1), x.lt(x.mean(0)).select(x, -x)] {
        assert!(g.row_mixing(y, x, Value).is_some());
        assert_eq!(g.row_mixing(y, x, Derivative), None);
    }
    assert!(g.row_mixing(x - x.mean(0), x, Derivative).is_some());
}

#[test]
fn one_walker_has_nobody_to_mix_with() {
    let g = Graph::new();
    let x = g.input("x", [1, 3]);
    assert_eq!(g.row_mixing(x.sum(0).sum(0).reshape([1]), x, Value), None);
    assert!(g.row_mixing(x.broadcast_to([5, 3]), x, Value).is_some()); // but it can become several
    let none = g.input("none", [0, 3]);
    assert_eq!(g.row_mixing(none.sum(1), none, Value), None);
    let flat = g.input("flat", [5, 0]);
    assert_eq!(g.row_mixing(flat.sum(1), flat, Value), None);
}

#[test]
fn the_error_names_the_operation_and_its_line() {
    let g = Graph::new();
    let x = g.input("x", [N, D]);
    let y = x * x.sum(0);
    let line = line!() - 1;
    let error = g.check_rowwise(y, x, Value).expect_err("rows mix");
    assert!(matches!(error, Error::NotRowwise { op: "sum", .. }));
    let text = error.to_string();
    let first = "`sum` mixes rows, so there is no derivative of one row alone";
    assert!(text.starts_with(&format!("{first}\n  built at tests/graph_rows.rs:{line}\n  reduce over")), "{text}");
    assert!(g.check_rowwise(x.square(), x, Value).is_ok());
}
