//! Prints and substitutions.

use ergodic::Error;
use ergodic::graph::{Boundary, DType, Feeds, Graph, Tap, Var};

#[test]
fn a_graph_prints_one_line_a_node() {
    let g = Graph::new();
    let line = line!();
    let x = g.input("x", [4, 2]);
    let energy = (x.square() * 0.5).sum(1);
    let noise = g.key("noise").fold_in(3).normal([4, 2]);
    let unused = x.exp();
    let moved = x + noise;
    let text = g.print(&[moved, energy]).to_string();
    let at = |k: u32| format!("  @tests/graph_text.rs:{}\n", line + k);
    let want = [
        (r#"%0 = input("x")  f32[4, 2]"#, 1),
        ("%1 = mul(%0, %0)  f32[4, 2]", 2),
        ("%2 = const(0.5)  f32", 2),
        ("%3 = broadcast(%2)  f32[4, 2]", 2),
        ("%4 = mul(%1, %3)  f32[4, 2]", 2),
        ("%5 = sum(%4, axes=[1])  f32[4]", 2),
        (r#"%6 = input("noise")  key"#, 3),
        ("%7 = fold_in(%6, 3)  key", 3),
        ("%8 = normal(%7)  f32[4, 2]", 3),
        ("%10 = add(%0, %8)  f32[4, 2]", 5),
    ];
    let want: String = want.iter().map(|(text, k)| format!("{text}{}", at(*k))).collect();
    assert_eq!(text, want + "return %10, %5\n");
    assert_eq!(format!("{unused:?}"), "%9: f32[4, 2]");
}

#[test]
fn every_constant_of_an_operation_is_printed() {
    let g = Graph::new();
    let x = g.input("x", [2, 3]);
    let i = g.input_of("i", [2], DType::U32);
    let taps = [Tap::new([1], 0.5), Tap::new([-1], -0.5)];
    let cases = [
        (x.t(), "permute(%0, [1, 0])  f32[3, 2]"),
        (x.narrow(1, 1, 2), "slice(%0, start=[0, 1])  f32[2, 2]"),
        (x.pad([1, 0], [3, 3]), "pad(%0, start=[1, 0])  f32[3, 3]"),
        (x.cumsum(1), "cumsum(%0, axis=1)  f32[2, 3]"),
        (x.max_over([0, 1]), "max_over(%0, axes=[0, 1])  f32"),
        (Var::concat(&[x, x], 1).unwrap_or(x), "concat(%0, %0, axis=1)  f32[2, 6]"),
        (x.stencil(&taps, Boundary::Zero), "stencil(%0, 0.5 at [1] + -0.5 at [-1], zero)  f32[2, 3]"),
        (x.gather(i), "gather(%0, %1)  f32[2, 3]"),
        (x.sum(0).apportion(5, g.constant(0.5)), "apportion(%10, %11)  u32[5]"),
        (x.scatter_add(i, 4), "scatter_add(%0, %1)  f32[4, 3]"),
        (x.le(x), "le(%0, %0)  bool[2, 3]"),
        (x.cast(DType::U32), "cast(%0)  u32[2, 3]"),
        (g.iota(1, [1, 2]), "iota(axis=1)  u32[1, 2]"),
        (g.key("k").normal_exact([]), "normal_exact(%17)  f32"),
        (g.step(), "step()  u32"),
    ];
    for (var, want) in cases {
        let text = g.print(&[var]).to_string();
        let line = text.lines().rev().nth(1).unwrap_or_default();
        assert!(line.starts_with(&format!("{} = {want}  @", var.id())), "{line}\nwant {want}");
    }
}

fn value(y: Var<'_>, feeds: &Feeds) -> Vec<f64> {
    y.graph().eval_f64(&[y], feeds).unwrap_or_else(|e| panic!("{e}")).remove(0).data
}

#[test]
fn substitution_is_composition() {
    fn f(x: Var<'_>) -> Var<'_> {
        (x * 2.0).tanh().sum_all()
    }
    let g = Graph::new();
    let (x, w) = (g.input("x", [3]), g.input("w", [3]));
    let inner = x.sin() + w;
    let composed = g.substitute(f(x) * w.sum_all(), &[(x, inner)]);
    assert_eq!(composed.id(), (f(inner) * w.sum_all()).id(), "the same nodes as writing it directly");
}

#[test]
fn pairs_are_replaced_at_once() {
    let g = Graph::new();
    let (x, y) = (g.input("x", []), g.input("y", []));
    let swapped = g.substitute(x - y * 2.0, &[(x, y), (y, x)]);
    let feeds = Feeds::new().tensor("x", 3.0).tensor("y", 5.0);
    assert_eq!(value(swapped, &feeds), [5.0 - 6.0]);
    let shifted = g.substitute_all(&[x * x, x + y], &[(x, x + 1.0)]);
    assert_eq!(shifted.iter().map(|v| value(*v, &feeds)[0]).collect::<Vec<_>>(), [16.0, 9.0]);
}

#[test]
fn inner_nodes_can_be_replaced_and_constants_fold() {
    let g = Graph::new();
    let x = g.input("x", [2]);
    let inner = x.exp();
    let y = inner * (inner + 1.0).log();
    let cut = g.substitute(y, &[(inner, g.full(0.0, [2]))]);
    assert!(cut.is_zero(), "0 * log(1) folds");
    assert_eq!(g.substitute(y, &[]).id(), y.id());
    assert_eq!(g.substitute(x, &[(x, inner)]).id(), inner.id());
}

#[test]
fn a_replacement_of_another_shape_or_type_is_a_mistake() {
    let g = Graph::new();
    let (x, z) = (g.input("x", [2]), g.input("z", [3]));
    let bad = g.substitute(x.exp(), &[(x, z)]);
    let line = line!() - 1;
    assert!(bad.is_invalid());
    let error = g.check().expect_err("shapes differ");
    let want = "shape mismatch in `substitute`: got [3] F32, want [2] F32, as what it replaces";
    assert_eq!(error.to_string(), format!("{want}\n  built at tests/graph_text.rs:{line}"));
    g.substitute(x.exp(), &[(x, g.input_of("n", [2], DType::U32))]);
    assert!(matches!(g.check(), Err(Error::Shape { op: "substitute", .. })));
}

#[test]
fn a_formula_of_a_hundred_thousand_nodes_is_rebuilt_without_recursion() {
    let g = Graph::new();
    let (x, z) = (g.input("x", []), g.input("z", []));
    let mut y = x;
    for _ in 0..50_000 {
        y = (y + 1.0) * 0.5;
    }
    let moved = g.substitute(y, &[(x, z * 3.0)]);
    assert_eq!(value(moved, &Feeds::new().tensor("z", 9.0)), [1.0]);
    assert_eq!(g.row_mixing(moved, z, ergodic::graph::Dependence::Value), None);
}
