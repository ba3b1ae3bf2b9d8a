//! Every operation, compiled and run, equals its f64 meaning.
//!
//! Tolerances are multiples of the f32 unit roundoff: arguments are of order 1, a case has at most about ten roundings
//! in a row, library functions are good to a few units (see `math_accuracy`).

mod common;
#[path = "common/compare.rs"]
mod compare;

use compare::assert_close;
use ergodic::autodiff::{grad, grads};
use ergodic::graph::{Boundary, DType, Graph, Tap, Unary, Var};

const EPS: f64 = f32::EPSILON as f64;

/// Run one graph on both tiers.
fn check(what: &str, ulps: f64, build: impl for<'g> Fn(&'g Graph) -> Vec<(&'static str, Var<'g>)>) {
    for (tier, gpu) in common::gpus() {
        let graph = Graph::new();
        let outputs = build(&graph);
        assert_close(&format!("{what} on {tier}"), &gpu, &graph, &outputs, ulps * EPS);
    }
}

#[test]
fn unary_functions() {
    for n in [1, 5, 64, 1001] {
        check("unary", 16.0, |g| {
            let x = g.input("x", [n]);
            let up = x + 1.5;
            let unary = |f| (if matches!(f, Unary::Log | Unary::Sqrt | Unary::Rsqrt) { up } else { x }).unary(f);
            vec![
                ("neg", unary(Unary::Neg)),
                ("abs", unary(Unary::Abs)),
                ("exp", unary(Unary::Exp)),
                ("log", unary(Unary::Log)),
                ("log1p", unary(Unary::Log1p)),
                ("expm1", unary(Unary::Expm1)),
                ("sin", unary(Unary::Sin)),
                ("cos", unary(Unary::Cos)),
                ("tanh", unary(Unary::Tanh)),
                ("sqrt", unary(Unary::Sqrt)),
                ("rsqrt", unary(Unary::Rsqrt)),
                ("recip", up.recip()),
                ("floor", (x * 3.0).floor()),
                ("erf", unary(Unary::Erf)),
                ("softplus", unary(Unary::Softplus)),
            ]
        });
    }
}

#[test]
fn binary_functions_selection_and_casts() {
    check("binary", 16.0, |g| {
        let (x, y) = (g.input("x", [33, 8]), g.input("y", [33, 8]));
        let k = g.iota(1, [33, 8]);
        vec![
            ("add", x + y),
            ("sub", x - y),
            ("mul", x * y),
            ("div", x / (y + 2.0)),
            ("min", x.min(y)),
            ("max", x.max(y)),
            ("pow", (x + 1.5).pow(y)),
            ("lt", x.lt(y)),
            ("le", x.le(y)),
            ("select", x.lt(y).select(x * 2.0, y)),
            ("cast_u32", ((x + 1.0) * 100.0).cast(DType::U32)),
            ("cast_f32", k.cast(DType::F32) * x),
            ("integer", k * 3u32 + 4294967295u32),
            ("step", g.step() + 1u32),
            ("infinite", x.lt(2.0).select(x, f64::INFINITY)),
        ]
    });
}

#[test]
fn views_are_index_arithmetic() {
    for n in [1, 7, 130] {
        check("views", 8.0, |g| {
            let x = g.input("x", [n, 6, 4]);
            let y = g.input("y", [n, 6]);
            let parts = [y, y.narrow(1, 1, 3), y * 2.0];
            vec![
                ("reshape", x.reshape([n * 2, 12]) + 1.0),
                ("permute", x.permute([2, 0, 1]) * 2.0),
                ("transpose", y.t() + 0.5),
                ("broadcast", y.unsqueeze(2).broadcast_to([n, 6, 5]) + 1.0),
                ("slice", x.slice([0, 2, 1], [n, 3, 2]) - 1.0),
                ("pad", y.pad([1, 2], [n + 3, 9]) + 1.0),
                ("concat", Var::concat(&parts, 1).unwrap() + 1.0),
                ("concat_rows", Var::concat(&[y, y + 1.0], 0).unwrap() * 2.0),
                ("mixed", x.permute([1, 0, 2]).reshape([6, n * 4]).t().narrow(1, 1, 4) + 1.0),
            ]
        });
    }
}

#[test]
fn reductions_of_any_length() {
    // Sums of n terms of order 1 in two stages: the error grows like the length of the longer stage at worst.
    for (n, d) in [(1, 1), (1, 70), (65, 3), (1009, 7), (5000, 130), (70_000, 1)] {
        let terms = (n.max(d) as f64).sqrt() + 8.0;
        check(&format!("reductions {n} x {d}"), 4.0 * terms, |g| {
            let x = g.input("x", [n, d]);
            vec![
                ("rows", x.sum(1)),
                ("columns", x.sum(0)),
                ("all", x.sum_all()),
                ("mean", x.square().mean_all()),
                ("max_rows", x.max_over(1)),
                ("max_columns", x.max_over(0)),
                ("max_all", x.max_over([0, 1])),
                ("lse", x.logsumexp([0, 1])),
                ("softmax", (x - x.logsumexp(1).unsqueeze(1)).exp().sum(0)),
            ]
        });
    }
}

#[test]
fn running_sums_and_searches() {
    for n in [1, 10, 64, 65, 1000, 4099] {
        check(&format!("cumsum {n}"), 8.0 * (n as f64), |g| {
            let x = g.input("x", [n]);
            let c = (x + 1.1).cumsum(0);
            let counts = g.iota(0, [n]).cumsum(0);
            let queries = g.iota(0, [37]).cast(DType::F32) * (1.1 * n as f64 / 37.0) + 0.013;
            vec![
                ("cumsum", c),
                ("integers", counts),
                ("rows", (x.unsqueeze(1).broadcast_to([n, 3]) * 2.0).cumsum(0)),
                ("found", c.search_sorted(queries)),
                ("table", x.gather(c.search_sorted(queries))),
            ]
        });
    }
}

#[test]
fn gather_and_scatter() {
    for n in [3, 100] {
        check("gather", 16.0, |g| {
            let x = g.input("x", [n, 5]);
            let index = g.input_of("index", [n], DType::U32);
            vec![
                ("rows", x.gather(index) + 1.0),
                ("of_expression", (x * x).gather(index)),
                ("at_step", x.at_step()),
                ("scattered", x.scatter_add(index, 11)),
                ("past_the_end", x.scatter_add(index + 2, 3)),
            ]
        });
    }
}

#[test]
fn stencils_on_both_boundaries() {
    let laplace = [
        Tap::new([0, 0], -4.0),
        Tap::new([1, 0], 1.0),
        Tap::new([-1, 0], 1.0),
        Tap::new([0, 1], 1.0),
        Tap::new([0, -1], 1.0),
    ];
    for (n, m) in [(1, 1), (3, 8), (17, 33)] {
        check("stencil", 16.0, |g| {
            let x = g.input("x", [2, n, m]);
            vec![
                ("periodic", x.stencil(&laplace, Boundary::Periodic)),
                ("zero", x.stencil(&laplace, Boundary::Zero)),
                ("line", (x + 1.0).stencil(&[Tap::new([2], 1.0), Tap::new([-1], -0.5)], Boundary::Periodic)),
            ]
        });
    }
}

#[test]
fn random_numbers_have_the_bits_of_their_key() {
    for d in [1, 3, 10, 130] {
        check("random", 64.0, |g| {
            let key = g.key("key");
            vec![
                ("bits", key.bits([20, d])),
                ("uniform", key.fold_in(1).uniform([20, d])),
                ("normal", key.fold_in(2).fold_in(7).normal([20, d])),
                ("exact", key.fold_in(3).normal_exact([20, d])),
                ("scalar", key.fold_in(4).uniform([])),
            ]
        });
    }
}

#[test]
fn products_of_every_shape() {
    for (n, k, m) in [
        (1, 1, 1),
        (3, 2, 70),
        (70, 5, 1),
        (33, 128, 1),
        (17, 24, 128),
        (64, 128, 64),
        (100, 65, 7),
        (3, 1000, 2),
        (16, 3000, 16),
    ] {
        check(&format!("matmul {n} {k} {m}"), 4.0 * (k as f64), |g| {
            let (a, b) = (g.input("a", [n, k]), g.input("b", [k, m]));
            let (at, bt) = (g.input("at", [k, n]), g.input("bt", [m, k]));
            let bias = g.input("bias", [m]);
            let z = a.matmul(b) + bias;
            vec![
                ("plain", a.matmul(b)),
                ("left", at.t().matmul(b)),
                ("right", a.matmul(bt.t())),
                ("both", at.t().matmul(bt.t())),
                ("tanh", z.tanh()),
                ("kept", z),
                ("light", (a * 2.0).matmul(b)),
            ]
        });
    }
}

#[test]
fn an_mlp_energy_with_both_gradients() {
    for (n, width) in [(33, 16), (100, 128)] {
        check(&format!("mlp {n} {width}"), 64.0 * width as f64, |g| {
            let x = g.input("x", [n, 24]);
            let theta = g.input("theta", [24 * width + width * width + 3 * width]);
            let w1 = theta.narrow(0, 0, 24 * width).reshape([24, width]);
            let b1 = theta.narrow(0, 24 * width, width);
            let w2 = theta.narrow(0, 25 * width, width * width).reshape([width, width]);
            let b2 = theta.narrow(0, 25 * width + width * width, width);
            let w3 = theta.narrow(0, 26 * width + width * width, width).reshape([width, 1]);
            let scale = (1.0 / width as f64).sqrt();
            let h1 = (x.matmul(w1) + b1).silu();
            let h2 = (h1.matmul(w2) * scale + b2).silu();
            let u = (h2.matmul(w3) * scale).reshape([n]);
            let g_x = grad(u, x).unwrap();
            let g_theta = grads(u.sum_all() / n as f64, &[theta]).unwrap()[0];
            vec![("u", u), ("grad_x", g_x), ("grad_theta", g_theta)]
        });
    }
}
