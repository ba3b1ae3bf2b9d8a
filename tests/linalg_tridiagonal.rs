//! Tridiagonal solves: on the device as in f64, on lines and on rings, along any axis, and of any length.

mod common;
#[path = "common/compare.rs"]
mod compare;

use compare::{assert_close, noise};
use ergodic::autodiff::grads;
use ergodic::graph::{Dependence, Feeds, Graph, Var};
use ergodic::linalg::tridiagonal::{Diagonals, RowSums, cyclic_tridiagonal, tridiagonal};

const EPS: f64 = f32::EPSILON as f64;

/// Entries beside the diagonal are below 1 and those on it above 2.5, so `|A^-1| <= 2` and `|x| <= 2` row by row. Three
/// products, a sum and a division a place, each direction: 10 eps of terms up to 3.5 * 2, times `|A^-1|`.
const BOUND: f64 = 10.0 * 3.5 * 2.0 * 2.0 * EPS;

fn input<'g>(g: &'g Graph, name: &str, shape: &[usize]) -> Var<'g> {
    g.input(name, shape)
}

#[test]
fn solves_along_any_axis_equal_their_f64_meaning() {
    for (n, tiers) in [(1, 1), (2, 1), (3, 2), (131, 1)] {
        for (tier, gpu) in common::gpus().into_iter().take(tiers) {
            let g = Graph::new();
            let [l, d, u] = ["l", "d", "u"].map(|name| input(&g, name, &[n]));
            let (rows, r) = (input(&g, "rows", &[3, n]), input(&g, "r", &[3, n]));
            let (inner, d) = (input(&g, "inner", &[2, n, 5]), d + 3.5);
            let columns = |v: Var<'_>| v.id();
            let [lc, dc, uc] = [l, d, u].map(|v| g.var(columns(v)).reshape([n, 1]));
            let zero = g.constant(0.0);
            let mut outputs = vec![
                ("shared", tridiagonal(l, d, u, r).unwrap()),
                ("by row", tridiagonal(rows, d, rows * 0.5, r * 2.0).unwrap()),
                ("inner axis", Diagonals { lower: lc, diag: dc, upper: uc }.solve(inner, 1).unwrap()),
                ("down", tridiagonal(l, d, zero, r).unwrap()),
                ("up", tridiagonal(zero, d, rows, r).unwrap()),
                ("diagonal", tridiagonal(zero, d, zero, r).unwrap()),
                ("sums", RowSums { lower: l, sum: d + 2.0, upper: u }.solve(r, 1).unwrap()),
                ("sums down", RowSums { lower: l, sum: d + 2.0, upper: zero }.solve(r, 1).unwrap()),
                ("sums up", RowSums { lower: zero, sum: d + 2.0, upper: u }.solve(r, 1).unwrap()),
            ];
            if n >= 3 {
                outputs.push(("ring", cyclic_tridiagonal(l, d, u, r).unwrap()));
                outputs
                    .push(("ring by sums", RowSums { lower: l, sum: d + 2.0, upper: u }.solve_cyclic(r, 1).unwrap()));
                outputs.push(("rings by row", cyclic_tridiagonal(rows, d, u, r + 1.0).unwrap()));
            }
            assert_close(&format!("{n} unknowns on {tier}"), &gpu, &g, &outputs, BOUND);
        }
    }
}

#[test]
fn lines_beyond_the_turns_of_a_software_adapter_are_whole() {
    let (g, n) = (Graph::new(), 70_001);
    let (r, one) = (input(&g, "r", &[2, n]), g.constant(1.0));
    let sums = RowSums { lower: -one, sum: one * 0.5, upper: -one }.solve(r, 1).unwrap();
    let outputs = [("x", tridiagonal(one, one * 3.5, -one, r).unwrap()), ("sums", sums)];
    assert_close("70001 unknowns", &common::gpu(), &g, &outputs, BOUND);
}

/// Worst relative error of `(1 + 2 r) x_k - r (x_{k-1} + x_{k+1}) = u_k` for a field of one sign, on the device.
fn worst_relative(r: f64, solve: impl for<'g> Fn(Var<'g>, Var<'g>) -> Var<'g>) -> f64 {
    let (g, n) = (Graph::new(), 128);
    let (noise, sides) = (input(&g, "u", &[3, n]), g.constant(-r));
    let x = solve(noise + 1.5, sides);
    let all = compare::both(&common::gpu(), &g, &[("x", x)]).unwrap();
    let pairs = all[0].0.iter().zip(&all[0].1);
    pairs.fold(0.0, |worst, (got, want)| f64::max(worst, (got / want - 1.0).abs()))
}

#[test]
fn sums_of_rows_keep_a_field_of_one_sign_at_any_step() {
    for r in [1.0, 1e3, 1e6] {
        let ring = worst_relative(r, |u, sides| {
            RowSums { lower: sides, sum: sides * 0.0 + 1.0, upper: sides }.solve_cyclic(u, 1).unwrap()
        });
        let line = worst_relative(r, |u, sides| {
            RowSums { lower: sides, sum: sides * 0.0 + 1.0, upper: sides }.solve(u, 1).unwrap()
        });
        // Eight roundings a place of positive terms, down and up a line of 128 places, three times around a ring.
        assert!(line < 8.0 * 2.0 * 128.0 * 0.5 * EPS, "r = {r}: {line:e}");
        assert!(ring < 3.0 * 8.0 * 2.0 * 128.0 * 0.5 * EPS, "r = {r}: {ring:e}");
    }
    // The control: the diagonal has forgotten its 1.
    let by_diagonal = worst_relative(1e6, |u, sides| cyclic_tridiagonal(sides, 1.0 - sides * 2.0, sides, u).unwrap());
    assert!(by_diagonal > 1e-3, "{by_diagonal:e}");
}

#[test]
fn derivatives_run_on_the_device() {
    let (g, n) = (Graph::new(), 19);
    let [l, d, u] = ["l", "d", "u"].map(|name| input(&g, name, &[n]));
    let r = input(&g, "r", &[4, n]);
    let x = cyclic_tridiagonal(l, d + 3.5, u, r).unwrap();
    let found = grads(x.square().sum_all(), &[l, d, u, r]).unwrap();
    let outputs: Vec<_> = ["dl", "dd", "du", "dr"].into_iter().zip(found).collect();
    // A gradient is a product of two solutions, `|x| <= 2` and `|A'^-1 2 x| <= 8`, summed over four rows.
    assert_close("gradients", &common::gpu(), &g, &outputs, 2.0 * 8.0 * 4.0 * BOUND);
}

/// Coefficients of a ring of `n`, and what the matrix makes of `x`.
fn ring(n: usize, seed: u64) -> ([Vec<f64>; 3], impl Fn(&[f64]) -> Vec<f64>) {
    let wide = |seed| noise(n, seed).into_iter().map(f64::from).collect::<Vec<_>>();
    let [l, d, u] = [wide(seed), wide(seed + 1).iter().map(|d| d + 3.5).collect(), wide(seed + 2)];
    let all = [l.clone(), d.clone(), u.clone()];
    let apply = move |x: &[f64]| {
        (0..n).map(|k| l[k] * x[(k + n - 1) % n] + d[k] * x[k] + u[k] * x[(k + 1) % n]).collect::<Vec<_>>()
    };
    (all, apply)
}

#[test]
fn the_solution_on_a_ring_satisfies_its_equations() {
    for n in [3, 4, 5, 16, 101] {
        let ([l, d, u], apply) = ring(n, 10);
        let (g, want) = (Graph::new(), noise(n, 7).into_iter().map(f64::from).collect::<Vec<_>>());
        let [lower, diag, upper, right] = ["l", "d", "u", "r"].map(|name| input(&g, name, &[n]));
        let x = cyclic_tridiagonal(lower, diag, upper, right).unwrap();
        let cut = tridiagonal(lower, diag, upper, right).unwrap();
        let sums = RowSums { lower, sum: lower + diag + upper, upper }.solve_cyclic(right, 0).unwrap();
        let feeds = Feeds::new().tensor("l", &l).tensor("d", &d).tensor("u", &u).tensor("r", apply(&want));
        let got = g.eval_f64(&[x, cut, sums], &feeds).unwrap();
        let worst = |got: &[f64]| got.iter().zip(&want).fold(0f64, |worst, (g, w)| worst.max((g - w).abs()));
        assert!(worst(&got[0].data) < BOUND / EPS * f64::EPSILON, "{n}: {}", worst(&got[0].data));
        assert!(worst(&got[2].data) < BOUND / EPS * f64::EPSILON, "{n} by sums: {}", worst(&got[2].data));
        // The control: without the corners the answer is another one.
        assert!(worst(&got[1].data) > 1e-3, "{n}");
    }
}

#[test]
fn lines_keep_rows_apart_and_axis_0_mixes_them() {
    let g = Graph::new();
    let (x, one) = (input(&g, "x", &[4, 5]), g.constant(1.0));
    let along = |axis| x.tridiagonal(axis, [one, one * 3.0, one]);
    assert_eq!(g.row_mixing(along(1), x, Dependence::Value), None);
    let mixes = g.row_mixing(along(0), x, Dependence::Value);
    assert_eq!(mixes.map(|id| g.node(id).op.name()), Some("tridiagonal"));
}

#[test]
fn a_singular_matrix_is_a_fault_and_not_a_number() {
    use ergodic::gpu::Tensor;
    use ergodic::plan::{Bindings, CompileOptions, Plan, Session};
    let (gpu, g) = (common::gpu(), Graph::new());
    let (r, one) = (input(&g, "r", &[1, 3]), g.constant(1.0));
    let x = tridiagonal(one, one, one, r).unwrap(); // the second pivot is 1 - 1
    let plan = Plan::compile(&gpu, &[("x", x)], &CompileOptions::default()).unwrap();
    let r = Tensor::from_slice(&gpu, "r", &[1, 3], &[1.0f32, 2.0, 3.0]).unwrap();
    let mut session = Session::new(&plan, Bindings::new().tensor("r", &r)).unwrap();
    session.run(1).unwrap();
    let error = session.check().unwrap_err().to_string();
    assert!(error.contains("not finite"), "{error}");
}

#[test]
fn mistakes_name_shapes_and_sizes() {
    let g = Graph::new();
    let (r, four, one) = (input(&g, "r", &[2, 3]), input(&g, "four", &[4]), g.constant(1.0));
    let text = |result: ergodic::Result<Var<'_>>| result.err().map(|e| e.to_string()).unwrap_or_default();
    let bad = text(tridiagonal(one, four, one, r));
    assert!(bad.starts_with("shape mismatch in `tridiagonal`: got a coefficient [4] for [2, 3], want axes"), "{bad}");
    let bad = text(Diagonals { lower: one, diag: one, upper: one }.solve(r, 2));
    assert!(bad.starts_with("shape mismatch in `tridiagonal`: got axis 2 of [2, 3], want an axis below"), "{bad}");
    let bad = text(tridiagonal(one, one, one, one));
    assert!(bad.contains("got a scalar right side, want [.., n]"), "{bad}");
    let bad = text(cyclic_tridiagonal(one, one, one, input(&g, "two", &[2])));
    assert_eq!(bad, "length of a cyclic system is 2, but must be at least 3");
    let bad = text(cyclic_tridiagonal(one, four, one, r));
    assert!(bad.contains("broadcast"), "{bad}");
}
