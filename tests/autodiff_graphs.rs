//! What derivatives cost and what they refuse: sizes of the graphs that come out, ties, and errors.

mod autodiff_support;

use autodiff_support::*;
use ergodic::autodiff::{grad, jvp, vjp};
use ergodic::graph::{DType, Graph, Op, Unary, Var};

fn network<'g>(x: Var<'g>, widths: &[usize], f: for<'a> fn(Var<'a>) -> Var<'a>) -> Var<'g> {
    let g = x.graph();
    let mut h = x;
    for (k, w) in widths.windows(2).enumerate() {
        let z = h.matmul(g.input(&format!("w{k}"), [w[0], w[1]])) + g.input(&format!("b{k}"), [w[1]]);
        h = if k + 2 < widths.len() { f(z) } else { z };
    }
    h.reshape([x.shape()[0]])
}

#[test]
fn the_force_of_a_network_has_the_products_one_writes_by_hand() {
    for layers in [2, 3, 5] {
        let g = Graph::new();
        let x = g.input("x", [7, 4]);
        let widths: Vec<_> = std::iter::once(4).chain(std::iter::repeat_n(8, layers - 1)).chain([1]).collect();
        let u = network(x, &widths, |z| z.tanh());
        let force = grad(u, x).unwrap();
        // Backward through the last layer is a copy of its weights to every row.
        assert_eq!(matmuls(&[u, force]), layers + layers - 1);
        assert_eq!(matmuls(&[force]), 2 * (layers - 1), "the value itself is not needed");
        assert_eq!(count(&[u, force], |op| matches!(op, Op::Unary(Unary::Tanh))), layers - 1, "tanh' reuses tanh");
        assert_eq!(count(&[force], |op| matches!(op, Op::Sum { .. })), 0);
    }
}

#[test]
fn element_wise_gradients_stay_small() {
    let g = Graph::new();
    let x = g.input("x", [7, 4]);
    let force = grad(x.square().sum(1) * 0.5, x).unwrap();
    let nodes = g.reachable(&[force.id()]).len();
    assert!(nodes <= 5, "grad of |x|²/2 has {nodes} nodes: input, 1/2, its broadcast, product, sum");
}

#[test]
fn gradients_of_a_flat_parameter_vector_are_one_concatenation() {
    let g = Graph::new();
    let (theta, x) = (g.input("theta", [4 * 8 + 8 + 8 + 1]), g.input("x", [7, 4]));
    let hidden = x.matmul(theta.narrow(0, 0, 32).reshape([4, 8])) + theta.narrow(0, 32, 8);
    let u = hidden.silu().matmul(theta.narrow(0, 40, 8).reshape([8, 1])) + theta.narrow(0, 48, 1);
    let slope = grad(u.mean_all(), theta).unwrap();
    assert_eq!(count(&[slope], |op| matches!(op, Op::Concat { .. })), 1);
    assert_eq!(count(&[slope], |op| matches!(op, Op::Pad(_))), 0);
    // One layer's gradient out of the whole is the layer's own node, not a slice of the vector.
    let part = grad(u.mean_all(), theta.narrow(0, 32, 8)).unwrap();
    assert_eq!(count(&[part], |op| matches!(op, Op::Concat { .. })), 0);
}

#[test]
fn deep_graphs_need_no_stack() {
    let g = Graph::new();
    let x = g.input("x", [2]);
    let y = (0..20_000).fold(x, |h, _| h.sin());
    let slope = value(grad(y, x).unwrap(), &point([("x", &[0.0, 0.0])]));
    assert_eq!(slope, [1.0, 1.0]);
}

#[test]
fn what_does_not_depend_on_x_costs_nothing() {
    let g = Graph::new();
    let (x, other) = (g.input("x", [3]), g.input("other", [3]));
    assert!(grad(other.exp(), x).unwrap().is_zero());
    assert!(grad(x.stop_grad() * other, x).unwrap().is_zero());
    assert!(grad(x.floor() + x.lt(0.5).cast(DType::F32), x).unwrap().is_zero());
    let found = g.input("table", [5]).search_sorted(x).cast(DType::F32);
    assert!(grad(found, x).unwrap().is_zero());
    assert!(grad(x.apportion(3, g.constant(0.5)).cast(DType::F32), x).unwrap().is_zero());
    assert_eq!(grad(x + found, x).unwrap().id(), g.full(1.0, [3]).id());
}

#[test]
fn ties_are_shared_evenly() {
    let g = Graph::new();
    let (a, b) = (g.input("a", [3]), g.input("b", [3]));
    let at = point([("a", &[1.0, 2.0, 0.0]), ("b", &[2.0, 2.0, -1.0])]);
    assert_eq!(value(grad(a.max(b), a).unwrap(), &at), [0.0, 0.5, 1.0]);
    assert_eq!(value(grad(a.max(b), b).unwrap(), &at), [1.0, 0.5, 0.0]);
    assert_eq!(value(grad(a.min(b), a).unwrap(), &at), [1.0, 0.5, 0.0]);
    assert_eq!(value(grad((a - b).abs(), a).unwrap(), &at), [-1.0, 0.0, 1.0]);
}

#[test]
fn kinked_energies_have_forces_and_parameter_gradients_but_not_mixed_ones() {
    let g = Graph::new();
    let (x, w) = (g.input("x", [3, 2]), g.input("w", [2, 4]));
    let u = x.matmul(w).leaky_relu(0.1).sum(1);
    let force = grad(u, x).unwrap();
    assert!(grad(u.mean_all(), w).is_ok());
    assert!(jvp(u, w, w).is_ok());
    // The force as it enters a loss: its switch moves with w and with x.
    for v in [x, w] {
        let error = grad(force.square().sum_all(), v).err().unwrap().to_string();
        assert!(error.starts_with("`kink of relu, max, min, abs or select` has no derivative here"), "{error}");
        assert!(error.contains("tests/autodiff_graphs.rs"), "{error}");
    }
    // Frozen, it is a number like any other; and along what it does not depend on, there is no kink to cross.
    assert!(grad(force.stop_grad().square().sum_all() * w.sum_all(), w).is_ok());
    let scale = g.input("scale", []);
    assert!(grad((force * scale).square().sum_all(), scale).is_ok());
}

#[test]
fn smooth_pieces_may_be_joined_for_higher_orders() {
    let g = Graph::new();
    let x = g.input("x", [2]);
    let y = x.stop_grad().lt(0.0).select(x.sin(), x - x * x * x / 6.0); // joined to third order at 0
    let second = grad(grad(y, x).unwrap(), x).unwrap();
    assert_close(&value(second, &point([("x", &[-0.5, 0.5])])), &[0.5f64.sin(), -0.5], 1e-15, "second");
}

#[test]
fn maxima_are_refused_unless_frozen() {
    let g = Graph::new();
    let x = g.input("x", [3, 2]);
    let error = grad(x.max_over(1), x).err().unwrap().to_string();
    assert!(error.starts_with("`max_over` has no derivative here") && error.contains("stop_grad"), "{error}");
    assert!(grad(x.max_over(1).stop_grad() + x.sum(1), x).is_ok());
}

#[test]
fn shapes_and_types_that_do_not_fit_are_refused() {
    let g = Graph::new();
    let (x, w) = (g.input("x", [3, 2]), g.input("w", [2]));
    let message = |r: ergodic::Result<Var>| r.err().unwrap().to_string();
    let error = message(grad((x * w).sum(1), w));
    assert!(error.contains("got y [3] and x [2]") && error.contains(".sum_all()"), "{error}");
    assert!(message(grad(x, x)).contains("a scalar y, or one value a row of x"));
    assert!(message(vjp(x, w, x)).contains("got [2] F32, want [3, 2] F32"));
    assert!(message(jvp(x, x, w)).contains("got [2] F32, want [3, 2] F32"));
    assert!(message(grad(x.sum_all(), g.iota(0, [3]))).contains("integers have no derivatives"));
    assert!(message(grad(x.sum_all(), g.full(1.0, [3]))).contains("use an input"));
    assert!(message(grad(x + g.input("bad", [7]), x)).contains("shape mismatch in `add`"), "the first mistake is told");
}

#[test]
fn rows_that_mix_are_refused_by_the_name_of_the_operation() {
    let g = Graph::new();
    let x = g.input("x", [3, 2]);
    let centred = x - x.mean(0);
    let error = grad(centred.square().sum(1), x).err().unwrap().to_string();
    assert!(error.starts_with("`sum` mixes rows") && error.contains("tests/autodiff_graphs.rs"), "{error}");
    assert!(grad(centred.square().sum_all(), x).is_ok());
    // Frozen, the mean moves nothing.
    assert!(grad((x - x.mean(0).stop_grad()).square().sum(1), x).is_ok());
}

#[test]
fn rows_that_mix_past_a_view_are_refused() {
    let g = Graph::new();
    let flat = g.input("x", [6]);
    let x = flat.reshape([3, 2]);
    let alone = x.reshape([3, 1, 2]).square().sum([1, 2]); // reads `flat`: x is simplified away
    let error = grad(alone, x).err().unwrap().to_string();
    assert!(error.contains("x is a view of [6], read past the view"), "{error}");
    let square = g.input("square", [3, 2, 1]);
    let x = square.reshape([3, 2]);
    assert!(grad(x.reshape([3, 1, 2]).square().sum([1, 2]), x).is_ok());
    assert!(grad(square.sum([1, 2]) - square.mean_all(), x).err().unwrap().to_string().starts_with("`sum` mixes rows"));
}
