//! Divergences and Laplacians against closed forms, against sums of second derivatives, and against their estimators.

mod autodiff_support;

use autodiff_support::*;
use ergodic::autodiff::{Trace, divergence, estimate_divergence, estimate_laplacian, grad, jvp, laplacian};
use ergodic::graph::{Feeds, Graph, Op, Var};
use ergodic::random::RngKey;

/// `sum_k d/dx_k of d/dx_k u`, one direction at a time: the definition.
fn sum_of_second_derivatives<'g>(u: Var<'g>, x: Var<'g>) -> Var<'g> {
    let (g, n, d) = (u.graph(), x.shape()[0], x.shape()[1]);
    let slope = grad(u, x).unwrap();
    (0..d).fold(g.full(0.0, [n]), |sum, k| {
        let unit = g.iota(1, [n, d]).equal(g.constant_u32(k as u32)).select(1.0, 0.0);
        sum + (jvp(slope, x, unit).unwrap() * unit).sum(1)
    })
}

type Activation = for<'g> fn(Var<'g>) -> Var<'g>;

fn mlp<'g>(x: Var<'g>, widths: &[usize], f: Activation) -> Var<'g> {
    let g = x.graph();
    let mut h = x;
    for (k, w) in widths.windows(2).enumerate() {
        let weight = g.input(&format!("w{k}"), [w[0], w[1]]);
        let z = h.matmul(weight) + g.input(&format!("b{k}"), [w[1]]);
        h = if k + 2 < widths.len() { f(z) } else { z };
    }
    h
}

fn mlp_point(n: usize, widths: &[usize], seed: u64) -> Point {
    let mut draw = Seeded(seed);
    let mut at = vec![("x".to_string(), draw.vec(n * widths[0], -1.5, 1.5))];
    for (k, w) in widths.windows(2).enumerate() {
        at.push((format!("w{k}"), draw.vec(w[0] * w[1], -0.8, 0.8)));
        at.push((format!("b{k}"), draw.vec(w[1], -0.5, 0.5)));
    }
    at
}

#[test]
fn laplacian_of_a_mixture_density_has_its_closed_form() {
    // u = -log sum_m exp(-|x - c_m|^2 / 2). With p_m the responsibilities and r = sum_m p_m (x - c_m):
    // laplacian u = d - (sum_m p_m |x - c_m|^2 - |r|^2).
    let (n, d, centres) = (4, 3, [[1.0, -0.5, 0.2], [-1.2, 0.4, 0.9]]);
    let g = Graph::new();
    let x = g.input("x", [n, d]);
    let c = g.input("c", [2, d]);
    let u = -((x.unsqueeze(1) - c).square().sum(2) * -0.5).logsumexp(1);
    let mut draw = Seeded(1);
    let at = vec![("x".into(), draw.vec(n * d, -2.0, 2.0)), ("c".into(), centres.concat())];
    let got = value(laplacian(u, x, Trace::Exact).unwrap(), &at);
    let want: Vec<_> = at[0]
        .1
        .chunks(d)
        .map(|x| {
            let apart = |c: &[f64; 3]| [0, 1, 2].map(|k| x[k] - c[k]);
            let weight = centres.map(|c| (-0.5 * apart(&c).iter().map(|z| z * z).sum::<f64>()).exp());
            let total: f64 = weight.iter().sum();
            let second: f64 =
                (0..2).map(|m| weight[m] / total * apart(&centres[m]).map(|z| z * z).iter().sum::<f64>()).sum();
            let r = [0, 1, 2].map(|k| (0..2).map(|m| weight[m] / total * apart(&centres[m])[k]).sum::<f64>());
            d as f64 - (second - r.map(|z| z * z).iter().sum::<f64>())
        })
        .collect();
    assert_close(&got, &want, 1e-13, "mixture"); // 1e-13: some hundred roundings of 2e-16
}

#[test]
fn laplacian_of_a_quadratic_is_its_trace() {
    let (n, d) = (3, 4);
    let g = Graph::new();
    let (x, a) = (g.input("x", [n, d]), g.input("a", [d, d]));
    let u = (x.matmul(a) * x).sum(1); // x' A x: Hessian A + A'
    let mut draw = Seeded(2);
    let at = vec![("x".into(), draw.vec(n * d, -2.0, 2.0)), ("a".into(), draw.vec(d * d, -1.0, 1.0))];
    let trace: f64 = (0..d).map(|k| at[1].1[k * d + k]).sum();
    assert_close(&value(laplacian(u, x, Trace::Exact).unwrap(), &at), &[2.0 * trace; 3], 1e-14, "quadratic");
}

#[test]
fn forward_laplacian_equals_the_sum_of_second_derivatives_for_every_curved_operation() {
    let cases: [(&str, Activation); 22] = [
        ("exp", |x| x.exp().sum(1)),
        ("log", |x| x.log().sum(1)),
        ("log1p", |x| x.log1p().sum(1)),
        ("expm1", |x| x.expm1().sum(1)),
        ("sin", |x| x.sin().sum(1)),
        ("cos", |x| x.cos().sum(1)),
        ("tanh", |x| x.square().tanh().sum(1)),
        ("sqrt", |x| x.square().sum(1).sqrt()),
        ("rsqrt", |x| x.square().sum(1).rsqrt()),
        ("recip", |x| x.square().sum(1).recip()),
        ("erf", |x| x.square().erf().sum(1)),
        ("softplus", |x| (x.square() - 1.0).softplus().sum(1)),
        ("gelu", |x| x.square().gelu().sum(1)),
        ("mul", |x| (x * x.sin() * x.sum(1).unsqueeze(1)).sum(1)),
        ("div", |x| (x.sin() / (x.square() + 1.0) / x.exp().sum(1).unsqueeze(1)).sum(1)),
        ("pow", |x| x.pow(3.3).sum(1).pow(1.5)),
        ("logsumexp", |x| (x * x).logsumexp(1)),
        ("slices", |x| {
            (x.narrow(1, 0, 1).exp() * x.narrow(1, 1, 1).sin()).reshape([3]) + x.pad([0, 1], [3, 4]).cos().sum(1)
        }),
        ("concat", |x| Var::concat(&[x.sin(), x.square().sum(1).unsqueeze(1)], 1).unwrap().exp().sum(1)),
        ("views", |x| (x.reshape([3, 1, 2]).permute([0, 2, 1]).exp() * 2.0).cumsum(1).square().sum([1, 2])),
        ("stop_grad", |x| (x.exp() * x.stop_grad()).sum(1)),
        ("select", |x| x.stop_grad().lt(1.0).select(x.exp(), x.sin()).sum(1).tanh()),
    ];
    for (name, build) in cases {
        let g = Graph::new();
        let x = g.input("x", [3, 2]);
        let u = build(x);
        let at = vec![("x".to_string(), Seeded(3).vec(6, 0.3, 1.6))];
        let got = values(&[laplacian(u, x, Trace::Exact).unwrap(), sum_of_second_derivatives(u, x)], &at);
        assert_close(&got[0], &got[1], 1e-12, name); // 1e-12: some hundred roundings, a few of them cancelling
    }
}

#[test]
fn forward_laplacian_of_a_network_equals_the_sum_of_second_derivatives() {
    let activations: [Activation; 4] = [|z| z.tanh(), |z| z.silu(), |z| z.softplus(), |z| z.gelu()];
    for (seed, f) in activations.into_iter().enumerate() {
        let widths = [3, 5, 4, 1];
        let g = Graph::new();
        let x = g.input("x", [6, 3]);
        let u = mlp(x, &widths, f).reshape([6]);
        let at = mlp_point(6, &widths, seed as u64);
        let got = values(&[laplacian(u, x, Trace::Exact).unwrap(), sum_of_second_derivatives(u, x)], &at);
        assert_close(&got[0], &got[1], 1e-12, "network");
    }
}

#[test]
fn forward_laplacian_needs_two_products_a_layer_and_none_for_the_first_jacobian() {
    let g = Graph::new();
    let x = g.input("x", [6, 3]);
    let u = mlp(x, &[3, 5, 4, 1], |z| z.tanh()).reshape([6]);
    let lap = laplacian(u, x, Trace::Exact).unwrap();
    // Values: 3. Jacobians: one for the second layer (the first is the matrix, the last is not needed).
    // Laplacians: second and third layer. Summed second derivatives would need 3 * 4 more.
    assert_eq!(matmuls(&[lap]), 2 + 1 + 2);
}

#[test]
fn divergence_of_a_network_is_the_trace_of_its_jacobian() {
    let (n, d) = (5, 3);
    let g = Graph::new();
    let x = g.input("x", [n, d]);
    let f = mlp(x, &[d, 6, 4, d], |z| z.tanh());
    let at = mlp_point(n, &[d, 6, 4, d], 9);
    let sum = (0..d).fold(g.full(0.0, [n]), |sum, k| {
        let unit = g.iota(1, [n, d]).equal(g.constant_u32(k as u32)).select(1.0, 0.0);
        sum + (jvp(f, x, unit).unwrap() * unit).sum(1)
    });
    let div = divergence(f, x, Trace::Exact).unwrap();
    let got = values(&[div, sum], &at);
    assert_close(&got[0], &got[1], 1e-13, "divergence");
    // Two hidden layers of values, and one product for d tangents: the first layer is its matrix, the last is contracted.
    assert_eq!(matmuls(&[div]), 2 + 1);
}

#[test]
fn divergence_of_a_linear_field_is_a_trace_and_of_a_constant_zero() {
    let g = Graph::new();
    let (x, a) = (g.input("x", [2, 3]), g.input("a", [3, 3]));
    let at = point([("x", &[1.0; 6]), ("a", &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.5])]);
    assert_eq!(value(divergence(-x.matmul(a), x, Trace::Exact).unwrap(), &at), [-15.5; 2]);
    assert!(divergence(x.stop_grad().sin(), x, Trace::Exact).unwrap().is_zero());
    assert!(laplacian(x.sum(1), x, Trace::Exact).unwrap().is_zero());
}

#[test]
fn rows_of_any_shape_and_views_have_divergences() {
    let g = Graph::new();
    let flat = g.input("x", [2, 6]);
    let x = flat.reshape([2, 3, 2]);
    let at = vec![("x".to_string(), Seeded(4).vec(12, -1.0, 1.0))];
    let cosines = |row: &[f64]| row.iter().map(|x| x.cos()).sum::<f64>();
    let want: Vec<_> = at[0].1.chunks(6).map(cosines).collect();
    let direct = divergence(x.sin(), x, Trace::Exact).unwrap();
    let around = divergence(flat.sin().reshape([2, 3, 2]), x, Trace::Exact).unwrap(); // does not pass through x
    let scalar = g.input("s", [2]);
    let single = divergence(scalar.sin(), scalar, Trace::Exact).unwrap();
    let at: Point = at.into_iter().chain([("s".to_string(), vec![0.3, 0.4])]).collect();
    let got = values(&[direct, around, single], &at);
    assert_close(&got[0], &want, 1e-14, "direct");
    assert_close(&got[1], &want, 1e-14, "around the view");
    assert_close(&got[2], &[0.3f64.cos(), 0.4f64.cos()], 1e-15, "one dimension");
}

#[test]
fn hutchinson_agrees_with_the_exact_trace_within_four_standard_errors() {
    let (n, d, probes) = (20, 4, 50);
    let g = Graph::new();
    let x = g.input("x", [n, d]);
    let widths = [d, 6, d];
    let f = mlp(x, &widths, |z| z.silu());
    let u = (f * x).sum(1);
    let at = mlp_point(n, &widths, 11);
    let key = g.key("probes");
    let pairs = [
        (estimate_divergence(f, x, key, probes).unwrap(), divergence(f, x, Trace::Exact).unwrap()),
        (estimate_laplacian(u, x, key, probes).unwrap(), laplacian(u, x, Trace::Exact).unwrap()),
    ];
    for (estimate, exact) in pairs {
        let feeds = at.iter().fold(Feeds::new().key("probes", RngKey::new(5)), |f, (name, x)| f.tensor(name, x));
        let got = g.eval_f64(&[estimate.mean, estimate.variance, exact], &feeds).unwrap();
        // Chi-square of n z-scores with about 49 degrees of freedom each: mean n, spread sqrt(2 n); all within 4 each.
        let z: Vec<_> = (0..n).map(|i| (got[0].data[i] - got[2].data[i]) / got[1].data[i].sqrt()).collect();
        assert!(z.iter().all(|z| z.abs() < 4.0), "{z:?}");
        assert!(z.iter().map(|z| z * z).sum::<f64>() > 0.3 * n as f64, "the variance is not overstated: {z:?}");
    }
}

#[test]
fn probes_go_through_the_network_side_by_side() {
    let g = Graph::new();
    let x = g.input("x", [20, 4]);
    let f = mlp(x, &[4, 6, 6, 4], |z| z.tanh());
    let trace = |probes| Trace::Hutchinson { key: g.key("probes"), probes };
    let [one, many] = [1, 8].map(|probes| divergence(f, x, trace(probes)).unwrap());
    assert_eq!([matmuls(&[one]), matmuls(&[many])], [2 + 3; 2]);
}

#[test]
fn a_laplacian_through_a_kink_is_refused() {
    let builds: [Activation; 3] = [|x| x.relu(), |x| x.abs(), |x| x.lt(0.0).select(0.0, x * x)];
    for build in builds {
        let g = Graph::new();
        let x = g.input("x", [2, 2]);
        let u = build(x).square().sum(1);
        let error = laplacian(u, x, Trace::Exact).err().unwrap().to_string();
        assert!(error.contains("softplus") && error.contains("autodiff_traces.rs"), "{error}");
    }
}

#[test]
fn exact_laplacian_holds_no_random_numbers() {
    let g = Graph::new();
    let x = g.input("x", [2, 2]);
    let lap = laplacian(x.sin().sum(1), x, Trace::Exact).unwrap();
    assert_eq!(count(&[lap], |op| matches!(op, Op::Random(_))), 0);
}

#[test]
fn what_cannot_be_stacked_goes_one_direction_at_a_time() {
    // Walkers along axis 1 on the way, and an exponent that moves with x: no rule side by side, the same answer.
    let (n, d) = (4, 3);
    let g = Graph::new();
    let (x, w) = (g.input("x", [n, d]), g.input("w", [d, d]));
    let field = w.matmul(x.t()).sin().t();
    let beside = x.matmul(w.t()).sin();
    let power = (x.square() + 1.0).pow(x).sum(1);
    let same = ((x.square() + 1.0).log() * x).exp().sum(1);
    let key = g.key("probes");
    let probes = Trace::Hutchinson { key, probes: 3 };
    let pairs = [
        (divergence(field, x, Trace::Exact), divergence(beside, x, Trace::Exact)),
        (divergence(field, x, probes), divergence(beside, x, probes)),
        (laplacian((field * x).sum(1), x, Trace::Exact), laplacian((beside * x).sum(1), x, Trace::Exact)),
        (laplacian(power, x, Trace::Exact), laplacian(same, x, Trace::Exact)),
    ];
    let mut draw = Seeded(12);
    let (x, w) = (draw.vec(n * d, -1.0, 1.0), draw.vec(d * d, -1.0, 1.0));
    let feeds = Feeds::new().tensor("x", x).tensor("w", w).key("probes", RngKey::new(3));
    for (i, (one, stacked)) in pairs.into_iter().enumerate() {
        let got = g.eval_f64(&[one.unwrap(), stacked.unwrap()], &feeds).unwrap();
        assert_close(&got[0].data, &got[1].data, 1e-13, &format!("pair {i}"));
    }
}

#[test]
fn no_walkers_and_one_walker_have_traces() {
    for n in [0, 1, 2] {
        let g = Graph::new();
        let x = g.input("x", [n, 3]);
        let u = (x.matmul(g.input("w", [3, 2])).tanh() * 2.0).sum(1);
        let traces =
            [laplacian(u, x, Trace::Exact).unwrap(), divergence(grad(u, x).unwrap(), x, Trace::Exact).unwrap()];
        let mut draw = Seeded(1);
        let at = vec![("x".to_string(), draw.vec(3 * n, -1.0, 1.0)), ("w".to_string(), draw.vec(6, -1.0, 1.0))];
        let got = values(&traces, &at);
        assert_eq!(got[0].len(), n);
        assert_close(&got[0], &got[1], 1e-13, "walkers");
    }
}

#[test]
fn estimators_refuse_too_few_probes() {
    let g = Graph::new();
    let x = g.input("x", [2, 2]);
    let key = g.key("probes");
    let error = estimate_divergence(x.sin(), x, key, 1).err().unwrap().to_string();
    assert_eq!(error, "number of probes is 1, but must be at least 2, or there is no variance");
    assert!(divergence(x.sin(), x, Trace::Hutchinson { key, probes: 0 }).is_err());
}

#[test]
fn fields_and_energies_of_the_wrong_shape_are_refused() {
    let g = Graph::new();
    let x = g.input("x", [2, 3]);
    let message = |r: ergodic::Result<Var>| r.err().unwrap().to_string();
    assert!(message(divergence(x.sum(1), x, Trace::Exact)).contains("got [2] at x [2, 3], want a field"));
    assert!(message(laplacian(x, x, Trace::Exact)).contains("got [2, 3] at x [2, 3], want one value [n]"));
}
