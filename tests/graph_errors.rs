//! Mistakes in formulas: the whole text of each, with the line that made it.

use ergodic::graph::{Boundary, DType, Graph, Tap, Var};

#[track_caller]
fn assert_mistake(g: &Graph, bad: Var<'_>, line: u32, want: &str) {
    assert!(bad.is_invalid(), "want a mistake: {want}");
    let error = g.check().expect_err(want);
    assert_eq!(error.to_string(), format!("{want}\n  built at tests/graph_errors.rs:{line}"));
    assert!(g.check().is_ok(), "one mistake is one error");
}

/// The expression must be on the line of the macro.
macro_rules! mistake {
    ($bad:expr, $want:expr) => {{
        let bad = $bad;
        assert_mistake(bad.graph(), bad, line!(), concat!("shape mismatch in ", $want))
    }};
}

#[test]
#[rustfmt::skip] // one mistake a line: its number is part of the text
fn every_mistake_tells_both_shapes_what_is_wanted_and_the_line() {
    let g = Graph::new();
    let (x, y, n) = (g.input("x", [4, 2]), g.input("y", [3]), g.input_of("n", [4], DType::U32));
    let taps = [Tap::new([1, 0, 0], 1.0)];
    mistake!(x + y, "`add`: got [4, 2] and [3], want axes that are equal or 1, aligned from the last");
    mistake!(x * n, "`mul`: got F32 and U32, want two arguments of one number type; convert with .cast()");
    mistake!(x.lt(y), "`compare`: got [4, 2] and [3], want axes that are equal or 1, aligned from the last");
    mistake!(n.exp(), "`exp`: got U32, want F32; convert with .cast()");
    mistake!(x.logical_not(), "`not`: got F32, want Bool; convert with .cast()");
    mistake!(x.select(1.0, 2.0), "`select`: got F32 ? F32 : F32, want Bool ? T : T");
    mistake!(x.sum(2), "`sum`: got axes [2] of [4, 2], want axes below the rank");
    mistake!(x.max_over([0, 3]), "`max_over`: got axes [0, 3] of [4, 2], want axes below the rank");
    mistake!(x.cumsum(2), "`cumsum`: got axis 2 of [4, 2], want an axis below the rank");
    mistake!(x.reshape([3, 3]), "`reshape`: got [4, 2] to [3, 3] (9 elements), want 8 elements");
    mistake!(x.broadcast_to([4]), "`broadcast`: got [4, 2] to [4], want axes that are equal or 1, aligned from the last");
    mistake!(y.t(), "`permute`: got [1, 0] of [3], want each of 0..1 once");
    mistake!(x.slice([3, 0], [2, 2]), "`slice`: got [2, 2] from [3, 0], want a box inside [4, 2]");
    mistake!(x.narrow(1, 1, 2), "`slice`: got [4, 2] from [0, 1], want a box inside [4, 2]");
    mistake!(x.pad([0, 1], [4, 2]), "`pad`: got [4, 2] at [0, 1], want a box inside [4, 2]");
    mistake!(x.gather(y), "`gather`: got [4, 2] at [3] F32, want [m, ..] at U32 indices");
    mistake!(y.scatter_add(n, 2), "`scatter_add`: got [3] at [4] U32, want [k, ..] at U32 [k]");
    mistake!(x.search_sorted(y), "`search_sorted`: got [4, 2] F32 and queries F32, want [m] and queries of its type");
    mistake!(x.apportion(3, y), "`apportion`: got [4, 2] F32 and offsets [3] F32 for 3 places, want F32 [n] and offsets F32 [] or [places]");
    mistake!(y.apportion(4, y), "`apportion`: got [3] F32 and offsets [3] F32 for 4 places, want F32 [n] and offsets F32 [] or [places]");
    mistake!(y.apportion(1 << 30, g.constant(0.5)), "`apportion`: got 3 weights and 1073741824 places, want a weight or more, and fewer than 1073741824 places");
    mistake!(x.matmul(x), "`matmul`: got [4, 2] times [4, 2], want [n, k] times [k, m], F32; did you mean .t() of one of them");
    mistake!(x.stencil(&taps, Boundary::Zero), "`stencil`: got taps of rank 3 on [4, 2], want at least one tap, all of one rank in 1..=2");
    mistake!(g.iota(1, [2]), "`iota`: got axis 1, want an axis of [2]");
    mistake!(g.input("x", [5]), "`input`: got `x` [5] F32, want [4, 2] F32, declared before");
}

#[test]
#[rustfmt::skip] // one mistake a line: its number is part of the text
fn arithmetic_on_conditions_is_a_mistake_that_names_cast() {
    let g = Graph::new();
    let (x, n) = (g.input("x", [4, 4]), g.input_of("n", [4], DType::U32));
    let (b, row) = (x.lt(0.0), n.equal(0u32));
    let taps = [Tap::new([1], 1.0)];
    mistake!(b + b, "`add`: got Bool and Bool, want two arguments of one number type; convert with .cast()");
    mistake!(b - b, "`sub`: got Bool and Bool, want two arguments of one number type; convert with .cast()");
    mistake!(b * 2.0, "`mul`: got Bool and Bool, want two arguments of one number type; convert with .cast()");
    mistake!(1.0 / b, "`div`: got Bool and Bool, want two arguments of one number type; convert with .cast()");
    mistake!(b * x, "`mul`: got Bool and F32, want two arguments of one number type; convert with .cast()");
    mistake!(b.min(b), "`min`: got Bool and Bool, want two arguments of one number type; convert with .cast()");
    mistake!(b.max(b), "`max`: got Bool and Bool, want two arguments of one number type; convert with .cast()");
    mistake!(b.pow(2.0), "`pow`: got Bool and Bool, want two arguments of one number type; convert with .cast()");
    mistake!(b.square(), "`mul`: got Bool and Bool, want two arguments of one number type; convert with .cast()");
    mistake!(b.lt(b), "`compare`: got Bool and Bool, want two arguments of one number type; convert with .cast()");
    mistake!(b.le(b), "`compare`: got Bool and Bool, want two arguments of one number type; convert with .cast()");
    mistake!(-b, "`neg`: got Bool, want F32; convert with .cast()");
    mistake!(b.sum(1), "`sum`: got Bool, want F32 or U32; convert with .cast()");
    mistake!(b.sum_all(), "`sum`: got Bool, want F32 or U32; convert with .cast()");
    mistake!(b.mean_all(), "`sum`: got Bool, want F32 or U32; convert with .cast()");
    mistake!(b.mean(0), "`sum`: got Bool, want F32 or U32; convert with .cast()");
    mistake!(b.max_over(1), "`max_over`: got Bool, want F32 or U32; convert with .cast()");
    mistake!(b.cumsum(1), "`cumsum`: got Bool, want F32 or U32; convert with .cast()");
    mistake!(b.matmul(x), "`matmul`: got Bool times F32, want F32 times F32; convert with .cast()");
    mistake!(x.matmul(b), "`matmul`: got F32 times Bool, want F32 times F32; convert with .cast()");
    mistake!(b.stencil(&taps, Boundary::Zero), "`stencil`: got Bool, want F32; convert with .cast()");
    mistake!(n.stencil(&taps, Boundary::Zero), "`stencil`: got U32, want F32; convert with .cast()");
    mistake!(b.scatter_add(n, 2), "`scatter_add`: got Bool, want F32 or U32; convert with .cast()");
    mistake!(row.search_sorted(b), "`search_sorted`: got Bool, want F32 or U32; convert with .cast()");
}

#[test] // the control: what conditions are for, and arithmetic after the conversion that the messages name
fn conditions_select_compare_and_move_and_are_numbers_once_cast() {
    let g = Graph::new();
    let x = g.input("x", [4, 4]);
    let b = x.lt(0.0);
    let kept = [
        b.equal(b.t()),
        b.logical_not(),
        b.select(x, 0.0),
        b.reshape([16]),
        b.slice([0, 1], [2, 2]),
        b.pad([0, 0], [5, 5]),
        b.broadcast_to([3, 4, 4]),
        b.gather(g.iota(0, [2])),
        b.stop_grad(),
        b.cast(DType::F32) * x,
        b.cast(DType::U32).sum_all(),
    ];
    assert!(kept.iter().all(|var| !var.is_invalid()));
    g.check().expect("no mistake");
}

#[test]
fn joining_nothing_is_no_value_and_joining_misfits_a_mistake() {
    let g = Graph::new();
    let (x, y) = (g.input("x", [4, 2]), g.input("y", [3, 3]));
    assert!(Var::concat(&[], 0).is_none());
    let bad = Var::concat(&[x, y], 1).expect("two parts");
    let want = "shape mismatch in `concat`: got [4, 2], [3, 3], want one type, and equal lengths on every axis but 1";
    assert_mistake(&g, bad, line!() - 2, want);
}

#[test]
fn a_mistake_spreads_without_further_errors() {
    let g = Graph::new();
    let x = g.input("x", [4, 2]);
    let bad = x.matmul(x);
    let spread = [
        bad + 1.0,
        1.0 - bad,
        bad.tanh(),
        x + bad,
        bad.sum(7),
        bad.reshape([9]),
        bad.broadcast_to([1, 2, 3]),
        bad.permute([4, 4]),
        bad.slice([1], [1]),
        bad.pad([1], [3]),
        bad.cumsum(3),
        bad.matmul(x),
        x.matmul(bad),
        bad.cast(DType::U32),
        bad.lt(0.0),
        bad.stop_grad(),
    ];
    assert!(g.check().is_err());
    for (k, var) in spread.into_iter().enumerate() {
        assert!(var.is_invalid(), "case {k}");
        assert!(g.check().is_ok(), "case {k} is reported again");
    }
}

#[test]
fn mistakes_are_reported_in_the_order_they_were_made() {
    let g = Graph::new();
    let x = g.input("x", [4, 2]);
    let _ = (x.sum(5), x.t().matmul(x.t()));
    let ops: Vec<_> = std::iter::from_fn(|| g.check().err()).map(|e| e.to_string()[..24].to_string()).collect();
    assert_eq!(ops, ["shape mismatch in `sum`:", "shape mismatch in `matmu"]);
}
