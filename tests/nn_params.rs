//! Flat parameters and networks against loops over plain numbers.

use ergodic::Error;
use ergodic::autodiff::grad;
use ergodic::graph::{Feeds, Graph, Var};
use ergodic::nn::{Activation, Init, Mlp, ParamLayout};
use ergodic::random::RngKey;

fn ok<T>(result: ergodic::Result<T>) -> T {
    result.unwrap_or_else(|e| panic!("{e}"))
}

fn value(y: Var<'_>, feeds: &Feeds) -> Vec<f64> {
    ok(y.graph().eval_f64(&[y], feeds)).remove(0).data
}

fn layout() -> ParamLayout {
    ok(ok(ok(ParamLayout::new().with("w", [3, 3])).with("b", [3])).with("scale", []))
}

#[test]
fn every_tensor_starts_at_a_multiple_of_4_and_so_does_the_end() {
    let layout = layout();
    let starts: Vec<_> = layout.params().iter().map(|p| (p.name.as_str(), p.range())).collect();
    assert_eq!(starts, [("w", 0..9), ("b", 12..15), ("scale", 16..17)]);
    assert_eq!((layout.len(), layout.n_params()), (20, 13));
    assert!(ParamLayout::new().is_empty());
}

#[test]
fn tensors_and_host_views_name_the_same_elements() {
    let layout = layout();
    let theta: Vec<f64> = (0..20).map(f64::from).collect();
    let g = Graph::new();
    let var = g.input("theta", [20]);
    let feeds = Feeds::new().tensor("theta", &theta);
    for (name, tensor) in ok(layout.unflatten(var)) {
        assert_eq!(value(tensor, &feeds), ok(layout.view(&theta, name)));
        assert_eq!(ok(layout.get(var, name)).id(), tensor.id());
    }
    assert_eq!(*ok(layout.get(var, "w")).shape(), [3, 3]);
    assert!(ok(layout.get(var, "scale")).shape().is_empty());
}

#[test]
fn gaps_have_no_gradient() {
    let layout = layout();
    let g = Graph::new();
    let theta = g.input("theta", [20]);
    let total = ok(layout.unflatten(theta)).into_iter().fold(g.constant(0.0), |sum, (_, v)| sum + v.exp().sum_all());
    let slope = value(ok(grad(total, theta)), &Feeds::new().tensor("theta", vec![0.0; 20]));
    let used = |i: usize| layout.params().iter().any(|p| p.range().contains(&i));
    let want: Vec<_> = (0..20).map(|i| f64::from(u8::from(used(i)))).collect();
    assert_eq!(slope, want);
}

#[test]
fn a_nested_layout_is_one_slice() {
    let inner = layout();
    let nested = ok(ok(ok(ParamLayout::new().with("first", [5])).nest("a", &inner)).nest("b", &inner));
    assert_eq!(nested.len(), 8 + 20 + 20);
    let g = Graph::new();
    let theta = g.input("theta", [48]);
    let b = ok(nested.part(theta, "b"));
    assert_eq!(*b.shape(), [20]);
    let feeds = Feeds::new().tensor("theta", (0..48).map(f64::from).collect::<Vec<_>>());
    assert_eq!(value(ok(inner.get(b, "w")), &feeds), value(ok(nested.get(theta, "b/w")), &feeds));
    assert_eq!(value(b, &feeds)[0], 28.0);
}

#[test]
fn mistakes_in_names_and_lengths_are_errors() {
    let layout = layout();
    let g = Graph::new();
    let theta = g.input("theta", [19]);
    let text = |result: ergodic::Result<Var<'_>>| result.expect_err("a mistake").to_string();
    let unknown = text(layout.get(theta, "c"));
    assert_eq!(unknown, "a parameter's name is `c`, which is not among w, b, scale, but must be one of the layout");
    let short = text(layout.get(theta, "w"));
    let line = line!() - 1;
    let want = "shape mismatch in `parameters`: got [19], want [20], the layout's length";
    assert_eq!(short, format!("{want}\n  built at tests/nn_params.rs:{line}"));
    assert!(matches!(layout.part(theta, "w"), Err(Error::Invalid { .. })));
    assert!(matches!(layout.view(&[0.0; 21], "w"), Err(Error::Shape { .. })));
    assert!(matches!(layout.clone().with("w", [1]), Err(Error::Invalid { .. })));
    assert!(matches!(layout.clone().with("a/w", [1]), Err(Error::Invalid { .. })));
    assert!(layout.clone().nest("a", &layout).and_then(|l| l.nest("a", &layout)).is_err());
}

fn scalar(activation: Activation, x: f64) -> f64 {
    match activation {
        Activation::Silu => x / (1.0 + (-x).exp()),
        Activation::Tanh => x.tanh(),
        Activation::Softplus => (1.0 + x.exp()).ln(),
        Activation::Relu => x.max(0.0),
        Activation::LeakyRelu(slope) => {
            if x > 0.0 {
                x
            } else {
                slope * x
            }
        }
        Activation::Gelu => x * 0.5 * libm::erfc(-x / 2f64.sqrt()),
    }
}

/// The network as loops over units.
fn by_hand(mlp: &Mlp, theta: &[f32], x: &[f64]) -> Vec<f64> {
    let layout = mlp.layout();
    let n_layers = mlp.sizes.len() - 1;
    let mut h = x.to_vec();
    for l in 0..n_layers {
        let w = ok(layout.view(theta, &format!("w{l}")));
        let bias = layout.view(theta, &format!("b{l}"));
        let (n_in, n_out) = (mlp.sizes[l], mlp.sizes[l + 1]);
        let unit = |j: usize| {
            let weighted: f64 = (0..n_in).map(|i| h[i] * f64::from(w[i * n_out + j])).sum();
            let z = weighted + bias.as_ref().map_or(0.0, |b| f64::from(b[j]));
            if l + 1 < n_layers { scalar(mlp.activation, z) } else { z }
        };
        h = (0..n_out).map(unit).collect();
    }
    h
}

const ALL: [Activation; 6] = [
    Activation::Silu,
    Activation::Tanh,
    Activation::Softplus,
    Activation::Relu,
    Activation::LeakyRelu(0.1),
    Activation::Gelu,
];

#[test]
fn a_network_is_its_loops() {
    for (activation, output_bias) in ALL.into_iter().flat_map(|a| [(a, true), (a, false)]) {
        let mlp = Mlp { output_bias, ..ok(Mlp::new(&[3, 5, 7, 2], activation)) };
        let theta = mlp.clone().with_init(Init::Torch).init(RngKey::new(5)); // biases that are not zero
        let g = Graph::new();
        let y = ok(mlp.apply(g.input("theta", [mlp.layout().len()]), g.input("x", [4, 3])));
        let x: Vec<f64> = (0..12).map(|i| (i as f64 * 0.7).sin() * 2.0).collect();
        let got = value(y, &Feeds::new().tensor("theta", &theta).tensor("x", &x));
        let want: Vec<_> = x.chunks(3).flat_map(|row| by_hand(&mlp, &theta, row)).collect();
        // Sums of at most 8 terms through 3 layers, values of order 1.
        let tolerance = 3.0 * 8.0 * 4.0 * f64::EPSILON;
        assert!(got.iter().zip(&want).all(|(a, b)| (a - b).abs() < tolerance), "{activation:?}: {got:?} {want:?}");
    }
}

#[test]
fn rows_of_a_network_do_not_mix() {
    let mlp = ok(Mlp::new(&[3, 4, 1], Activation::Silu));
    let g = Graph::new();
    let x = g.input("x", [9, 3]);
    let y = ok(mlp.apply(g.input("theta", [mlp.layout().len()]), x));
    assert_eq!(g.row_mixing(y, x, ergodic::graph::Dependence::Value), None);
}

#[test]
fn initial_weights_have_the_variance_of_their_law_and_biases_are_zero() {
    let laws = [
        (Init::LecunNormal, 1.0 / 200.0),
        (Init::LecunUniform, 1.0 / 200.0),
        (Init::GlorotNormal, 2.0 / 500.0),
        (Init::GlorotUniform, 2.0 / 500.0),
        (Init::HeNormal, 2.0 / 200.0),
        (Init::HeUniform, 2.0 / 200.0),
        (Init::Torch, 1.0 / 600.0),
    ];
    for (law, var) in laws {
        let mlp = ok(Mlp::new(&[200, 300, 1], Activation::Silu)).with_init(law);
        let theta = mlp.init(RngKey::new(8));
        let layout = mlp.layout();
        let w = ok(layout.view(&theta, "w0"));
        let n = w.len() as f64;
        let mean = w.iter().map(|&x| f64::from(x)).sum::<f64>() / n;
        let got = w.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / n;
        // Five standard errors; a normal's square has variance 2 var^2, a uniform's less.
        assert!(mean.abs() < 5.0 * (var / n).sqrt(), "{law:?}: mean {mean}");
        assert!((got / var - 1.0).abs() < 5.0 * (2.0 / n).sqrt(), "{law:?}: variance {got}, want {var}");
        let zero = ok(layout.view(&theta, "b0")).iter().all(|&b| b == 0.0);
        assert_eq!(zero, law != Init::Torch, "{law:?}");
        assert_eq!(law.std(200, 300), var.sqrt());
    }
}

#[test]
fn the_key_decides_the_initial_weights() {
    let mlp = ok(Mlp::new(&[4, 8, 8, 1], Activation::Tanh));
    assert_eq!(mlp.init(RngKey::new(1)), mlp.init(RngKey::new(1)));
    assert_ne!(mlp.init(RngKey::new(1)), mlp.init(RngKey::new(2)));
    let (theta, layout) = (mlp.init(RngKey::new(1)), mlp.layout());
    assert_ne!(ok(layout.view(&theta, "w0"))[..8], ok(layout.view(&theta, "w1"))[..8], "layers are independent");
}

#[test]
fn networks_that_mean_nothing_are_refused() {
    for sizes in [&[][..], &[3], &[3, 0, 1]] {
        assert!(matches!(Mlp::new(sizes, Activation::Silu), Err(Error::Invalid { .. })), "{sizes:?}");
    }
    assert!(Mlp::new(&[1, 1], Activation::LeakyRelu(1.5)).is_err());
    let mlp = ok(Mlp::new(&[3, 2], Activation::Silu));
    let g = Graph::new();
    let result = mlp.apply(g.input("theta", [8 + 4]), g.input("x", [5, 4]));
    let line = line!() - 1;
    let text = result.err().map(|e| e.to_string()).unwrap_or_default();
    let want = "shape mismatch in `mlp`: got [5, 4], want [n, 3], the first of its sizes [3, 2]";
    assert_eq!(text, format!("{want}\n  built at tests/nn_params.rs:{line}"));
}

#[test]
fn a_network_reads_from_a_preset() {
    let mlp: Mlp = ron::from_str("(sizes: [2, 8, 1], activation: LeakyRelu(0.2), output_bias: false)").expect("valid");
    assert_eq!(mlp, ok(Mlp::new(&[2, 8, 1], Activation::LeakyRelu(0.2))).without_output_bias());
    assert!(ron::from_str::<Mlp>("(sizes: [2, 1], activation: Silu, width: 3)").is_err());
}
