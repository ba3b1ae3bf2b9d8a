//! Factored per-row Jacobians: equal to the rows one by one, and no more work than a hand-written backward pass.

mod autodiff_support;

use autodiff_support::*;
use ergodic::autodiff::{PerSample, grad, jvp, per_sample, vjp};
use ergodic::graph::{Graph, Var};

const N: usize = 5;
const WIDTHS: [usize; 4] = [3, 6, 4, 1];

fn n_params(widths: &[usize]) -> usize {
    widths.windows(2).map(|w| (w[0] + 1) * w[1]).sum()
}

/// An energy `[n]` from a flat vector of weights and biases.
fn energy<'g>(theta: Var<'g>, x: Var<'g>, widths: &[usize]) -> Var<'g> {
    let (mut h, mut at) = (x, 0);
    for (k, w) in widths.windows(2).enumerate() {
        let weight = theta.narrow(0, at, w[0] * w[1]).reshape([w[0], w[1]]);
        let bias = theta.narrow(0, at + w[0] * w[1], w[1]);
        at += (w[0] + 1) * w[1];
        let z = h.matmul(weight) + bias;
        h = if k + 2 < widths.len() { z.silu() } else { z };
    }
    h.reshape([x.shape()[0]])
}

fn setup(g: &Graph) -> (Var<'_>, Var<'_>, Var<'_>, Point) {
    let p = n_params(&WIDTHS);
    let (theta, x, w) = (g.input("theta", [p]), g.input("x", [N, 3]), g.input("w", [N]));
    let mut draw = Seeded(1);
    let at = vec![
        ("theta".to_string(), draw.vec(p, -0.8, 0.8)),
        ("x".to_string(), draw.vec(N * 3, -1.5, 1.5)),
        ("w".to_string(), draw.vec(N, 0.0, 1.0)),
        ("v".to_string(), draw.vec(p, -1.0, 1.0)),
        ("z".to_string(), draw.vec(7 * 3, -1.5, 1.5)),
    ];
    (theta, x, w, at)
}

/// The Jacobian by its definition: one pull-back a row.
fn row_by_row<'g>(y: Var<'g>, params: Var<'g>) -> Var<'g> {
    let (n, p) = (y.shape()[0], params.shape()[0]);
    let row = |i| grad(y.narrow(0, i, 1).reshape([]), params).unwrap().reshape([1, p]);
    Var::concat(&(0..n).map(row).collect::<Vec<_>>(), 0).unwrap()
}

#[test]
fn all_products_equal_those_of_the_jacobian_row_by_row() {
    let g = Graph::new();
    let (theta, x, w, at) = setup(&g);
    let u = energy(theta, x, &WIDTHS);
    let jacobian = per_sample(u, theta).unwrap();
    let matrix = value(row_by_row(u, theta), &at);
    check_products(&g, &jacobian, &matrix, w, &at, "network");
}

/// `vjp`, `jvp`, `gram`, `materialize` and `rows` against the dense matrix.
fn check_products<'g>(g: &'g Graph, jacobian: &PerSample<'g>, matrix: &[f64], w: Var<'g>, at: &Point, what: &str) {
    let (n, p) = (jacobian.n_rows(), jacobian.n_params());
    let v = g.input("v", [p]);
    let nodes = [
        jacobian.materialize(),
        jacobian.rows(1, 2),
        jacobian.vjp(w).unwrap(),
        jacobian.jvp(v).unwrap(),
        jacobian.gram(jacobian).unwrap(),
    ];
    let got = values(&nodes, at);
    let find = |name: &str| at.iter().find(|(n, _)| n == name).unwrap().1.clone();
    let (w, v) = (find("w"), find("v"));
    let row = |i: usize| &matrix[i * p..(i + 1) * p];
    let vjp: Vec<_> = (0..p).map(|k| (0..n).map(|i| w[i] * row(i)[k]).sum()).collect();
    let jvp: Vec<_> = (0..n).map(|i| dot(row(i), &v[..p])).collect();
    let gram: Vec<_> = (0..n * n).map(|ij| dot(row(ij / n), row(ij % n))).collect();
    for (got, want, part) in [
        (&got[0], &matrix.to_vec(), "materialize"),
        (&got[1], &matrix[p..3 * p].to_vec(), "rows"),
        (&got[2], &vjp, "vjp"),
        (&got[3], &jvp, "jvp"),
        (&got[4], &gram, "gram"),
    ] {
        assert_close(got, want, 1e-13, &format!("{what}: {part}")); // 1e-13: some hundred roundings of 2e-16
    }
}

#[test]
fn every_supported_use_of_parameters_is_exact() {
    type Build = for<'g> fn(Var<'g>, Var<'g>) -> Var<'g>;
    let cases: [(&str, usize, Build); 8] = [
        ("one unit", 3, |t, x| x.matmul(t.reshape([3, 1])).tanh().reshape([N])),
        ("element-wise weights", 3, |t, x| (x * t).sin().sum(1)),
        ("mean-field network", 8, |t, x| {
            let (a, w) = (t.narrow(0, 0, 2), t.narrow(0, 2, 6).reshape([2, 3]));
            ((x.unsqueeze(1) * w).sum(2).tanh() * a).mean(1)
        }),
        ("transposed and scaled", 6, |t, x| (x.matmul(t.reshape([2, 3]).t() / 3f64.sqrt()).exp() * -0.5).sum(1)),
        ("shared weight", 9, |t, x| {
            let w = t.reshape([3, 3]);
            x.matmul(w).tanh().matmul(w).square().sum(1)
        }),
        ("tied, transposed", 9, |t, x| {
            let w = t.reshape([3, 3]);
            x.matmul(w).tanh().matmul(w.t()).square().sum(1)
        }),
        ("overlapping slices", 4, |t, x| (x * t.narrow(0, 0, 3)).exp().sum(1) + (x * t.narrow(0, 1, 3)).sin().sum(1)),
        ("a scalar", 2, |t, x| (x.square().sum(1) * t.narrow(0, 1, 1).reshape([])).exp()),
    ];
    for (name, p, build) in cases {
        let g = Graph::new();
        let (theta, x, w) = (g.input("theta", [p]), g.input("x", [N, 3]), g.input("w", [N]));
        let mut draw = Seeded(3);
        let at = vec![
            ("theta".to_string(), draw.vec(p, -0.7, 0.7)),
            ("x".to_string(), draw.vec(N * 3, -1.0, 1.0)),
            ("w".to_string(), draw.vec(N, 0.0, 1.0)),
            ("v".to_string(), draw.vec(p, -1.0, 1.0)),
        ];
        let u = build(theta, x);
        let matrix = value(row_by_row(u, theta), &at);
        check_products(&g, &per_sample(u, theta).unwrap(), &matrix, w, &at, name);
    }
}

#[test]
fn gram_of_two_batches_is_the_tangent_kernel_between_them() {
    let g = Graph::new();
    let (theta, x, _, at) = setup(&g);
    let z = g.input("z", [7, 3]);
    let (u, s) = (energy(theta, x, &WIDTHS), energy(theta, z, &WIDTHS));
    let (ju, js) = (per_sample(u, theta).unwrap(), per_sample(s, theta).unwrap());
    let kernel = row_by_row(u, theta).matmul(row_by_row(s, theta).t());
    let got = values(&[ju.gram(&js).unwrap(), kernel], &at);
    assert_close(&got[0], &got[1], 1e-13, "kernel");
}

#[test]
fn agrees_with_vjp_and_jvp_of_the_whole_function() {
    let g = Graph::new();
    let (theta, x, w, at) = setup(&g);
    let v = g.input("v", theta.shape());
    let u = energy(theta, x, &WIDTHS);
    let jacobian = per_sample(u, theta).unwrap();
    let nodes =
        [jacobian.vjp(w).unwrap(), vjp(u, w, theta).unwrap(), jacobian.jvp(v).unwrap(), jvp(u, theta, v).unwrap()];
    let got = values(&nodes, &at);
    assert_close(&got[0], &got[1], 1e-13, "vjp");
    assert_close(&got[2], &got[3], 1e-13, "jvp");
}

#[test]
fn deltas_are_shared_with_the_gradient_in_x() {
    let layers = WIDTHS.len() - 1;
    let g = Graph::new();
    let (theta, x, w, _) = setup(&g);
    let u = energy(theta, x, &WIDTHS);
    let force = grad(u, x).unwrap();
    // Forward one a layer; backward one a layer but the last, whose delta is its weight in every row.
    assert_eq!(matmuls(&[u]), layers);
    assert_eq!(matmuls(&[u, force]), layers + (layers - 1));
    // Parameters: one more a layer, and no second backward pass.
    let descent = per_sample(u, theta).unwrap().vjp(w).unwrap();
    assert_eq!(matmuls(&[u, force, descent]), layers + (layers - 1) + layers);
    // The control: pulling w itself back repeats the backward pass (all but its first product, with the last layer).
    let separate = vjp(u, w, theta).unwrap();
    assert!(matmuls(&[u, force, separate]) > layers + (layers - 1) + layers);
}

#[test]
fn uses_of_parameters_without_a_factored_form_are_refused_by_name() {
    type Build = for<'g> fn(Var<'g>, Var<'g>) -> Var<'g>;
    let cases: [(&str, Build); 3] = [
        ("broadcast", |t, x| {
            let h = x.matmul(t.reshape([3, 1]));
            (h - h.sum(0)).reshape([N])
        }),
        ("matmul", |t, x| x.matmul((t * t).reshape([3, 1])).reshape([N])),
        ("cumsum", |t, x| x.matmul(t.reshape([3, 1])).reshape([N]).cumsum(0)),
    ];
    for (op, build) in cases {
        let g = Graph::new();
        let (theta, x) = (g.input("theta", [3]), g.input("x", [N, 3]));
        let error = per_sample(build(theta, x), theta).err().unwrap().to_string();
        assert!(error.starts_with(&format!("`{op}`")) && error.contains("autodiff_per_sample.rs"), "{error}");
    }
}
