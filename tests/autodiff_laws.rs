//! Laws that hold for the derivative of every operation, checked in f64.
//!
//! Tangents against central differences, the transpose by `<w, J t> = <J' w, t>`, second order by both ways of taking
//! it and by symmetry. A table of cases covers each rule; `autodiff_random.rs` covers their combinations.

mod autodiff_support;

use autodiff_support::*;
use ergodic::autodiff::{grad, grads, jvps, vjps};
use ergodic::graph::{Boundary, DType, Graph, Tap, Var};

type Build = for<'g> fn(&[Var<'g>]) -> Var<'g>;

/// One operation: shapes of its inputs, the range they are drawn from, and how it is built.
struct Case {
    name: &'static str,
    shapes: &'static [&'static [usize]],
    range: (f64, f64),
    build: Build,
}

const fn case(name: &'static str, shapes: &'static [&'static [usize]], range: (f64, f64), build: Build) -> Case {
    Case { name, shapes, range, build }
}

const ANY: (f64, f64) = (-2.0, 2.0);
const POSITIVE: (f64, f64) = (0.5, 2.0);
const V: &[&[usize]] = &[&[5]];
const M: &[&[usize]] = &[&[3, 4]];
const MM: &[&[usize]] = &[&[3, 4], &[3, 4]];

fn laplace() -> [Tap; 4] {
    [Tap::new([-1, 0], 1.0), Tap::new([0, 2], 0.5), Tap::new([1, 1], -2.0), Tap::new([0, 0], 3.0)]
}

fn rows<'g>(x: Var<'g>, picked: [u32; 4]) -> Var<'g> {
    let g = x.graph();
    let parts: Vec<_> = picked.iter().map(|&i| g.constant_u32(i).reshape([1])).collect();
    Var::concat(&parts, 0).unwrap()
}

/// Twice differentiable.
const SMOOTH: &[Case] = &[
    case("neg", V, ANY, |x| -x[0]),
    case("exp", V, ANY, |x| x[0].exp()),
    case("log", V, POSITIVE, |x| x[0].log()),
    case("log1p", V, (-0.5, 2.0), |x| x[0].log1p()),
    case("expm1", V, ANY, |x| x[0].expm1()),
    case("sin", V, ANY, |x| x[0].sin()),
    case("cos", V, ANY, |x| x[0].cos()),
    case("tanh", V, ANY, |x| x[0].tanh()),
    case("sqrt", V, POSITIVE, |x| x[0].sqrt()),
    case("rsqrt", V, POSITIVE, |x| x[0].rsqrt()),
    case("recip", V, POSITIVE, |x| x[0].recip()),
    case("erf", V, ANY, |x| x[0].erf()),
    case("softplus", V, ANY, |x| x[0].softplus()),
    case("sigmoid", V, ANY, |x| x[0].sigmoid()),
    case("silu", V, ANY, |x| x[0].silu()),
    case("gelu", V, ANY, |x| x[0].gelu()),
    case("floor", V, (0.1, 0.9), |x| (x[0] * 3.0 + x[0].floor()) * x[0]),
    case("add", MM, ANY, |x| x[0] + x[1]),
    case("sub", MM, ANY, |x| x[0] - x[1]),
    case("mul", MM, ANY, |x| x[0] * x[1]),
    case("square", M, ANY, |x| x[0] * x[0]),
    case("div", MM, POSITIVE, |x| x[0] / x[1]),
    case("pow", MM, POSITIVE, |x| x[0].pow(x[1])),
    case("pow constant", M, POSITIVE, |x| x[0].pow(2.7)),
    case("add broadcast", &[&[3, 4], &[4]], ANY, |x| x[0] + x[1].sin()),
    case("mul broadcast", &[&[3, 1], &[2, 1, 4]], ANY, |x| x[0] * x[1]),
    case("sum", &[&[2, 3, 4]], ANY, |x| x[0].sin().sum([0, 2])),
    case("mean", &[&[2, 3]], ANY, |x| x[0].exp().mean_all()),
    case("logsumexp", M, ANY, |x| x[0].logsumexp(1)),
    case("cumsum", M, ANY, |x| x[0].sin().cumsum(1) * x[0].cumsum(0)),
    case("tridiagonal", &[&[4], &[2, 4], &[2, 1], &[2, 4]], ANY, |x| x[3].tridiagonal(1, [x[0], x[1] + 6.0, x[2]])),
    case("recurrence", &[&[3, 1], &[3, 2]], ANY, |x| x[1].tridiagonal(0, [x[0].sin(), x[0] + 4.0, x[0] * 0.0])),
    case("reshape", M, ANY, |x| x[0].reshape([6, 2]).sin()),
    case("permute", &[&[2, 3, 4]], ANY, |x| x[0].permute([2, 0, 1]).sin()),
    case("slice", M, ANY, |x| x[0].slice([1, 1], [2, 2]).sin() * x[0].narrow(0, 0, 2).narrow(1, 2, 2)),
    case("pad", M, ANY, |x| x[0].pad([1, 0], [5, 6]).cos()),
    case("concat", &[&[2, 3], &[2, 1]], ANY, |x| Var::concat(&[x[0].sin(), x[1], x[0] * x[0]], 1).unwrap()),
    case("gather", M, ANY, |x| x[0].sin().gather(rows(x[0], [2, 0, 2, 9]))),
    case("scatter_add", &[&[4, 2]], ANY, |x| x[0].sin().scatter_add(rows(x[0], [2, 0, 2, 1]), 3)),
    case("matmul", &[&[3, 4], &[4, 2]], ANY, |x| x[0].sin().matmul(x[1].cos())),
    case("matmul inner 1", &[&[3, 1], &[1, 2]], ANY, |x| x[0].sin().matmul(x[1])),
    case("matmul self", &[&[3, 3]], ANY, |x| x[0].matmul(x[0].t()).matmul(x[0])),
    case("stencil periodic", &[&[2, 4, 5]], ANY, |x| x[0].sin().stencil(&laplace(), Boundary::Periodic)),
    case("stencil zero", &[&[4, 5]], ANY, |x| x[0].sin().stencil(&laplace(), Boundary::Zero) * x[0]),
    case("stop_grad", V, ANY, |x| x[0].sin() + x[0].stop_grad() * 0.0),
    case("select on another", MM, ANY, |x| x[1].stop_grad().lt(0.0).select(x[0].sin(), x[0] * x[0])),
    case("cast", V, (0.1, 0.9), |x| x[0].exp() + x[0].cast(DType::U32).cast(DType::F32) * x[0]),
];

/// Once differentiable: the switch depends on the variable. Ranges and builds keep 0.1 from the kink.
const KINKED: &[Case] = &[
    case("abs", V, (0.1, 2.0), |x| (x[0] * x[0] - 5.0).abs() + (-x[0]).abs()),
    case("max", V, (0.1, 2.0), |x| (x[0] * 3.0).max(x[0] * x[0]) + x[0].max(-1.0)),
    case("min", V, (0.1, 2.0), |x| (x[0] * 3.0).min(x[0] * x[0]) + x[0].min(-1.0)),
    case("relu", V, (0.1, 2.0), |x| x[0].relu() + (-x[0]).relu()),
    case("leaky_relu", V, (-2.0, -0.1), |x| x[0].leaky_relu(0.2).sin()),
    case("select", V, (0.1, 2.0), |x| x[0].lt(0.0).select(x[0].exp(), x[0].sin())),
];

/// Built once: inputs, a random point, a direction `t` for each input and a cotangent `w`.
struct Built<'g> {
    xs: Vec<Var<'g>>,
    ts: Vec<Var<'g>>,
    y: Var<'g>,
    w: Var<'g>,
    at: Point,
}

fn build<'g>(g: &'g Graph, case: &Case, seed: u64) -> Built<'g> {
    let mut draw = Seeded(seed);
    let mut at = Point::new();
    let mut input = |name: String, shape: &[usize], (lo, hi)| {
        at.push((name.clone(), draw.vec(shape.iter().product(), lo, hi)));
        g.input(&name, shape)
    };
    let xs: Vec<_> = case.shapes.iter().enumerate().map(|(i, s)| input(format!("x{i}"), s, case.range)).collect();
    let ts = case.shapes.iter().enumerate().map(|(i, s)| input(format!("t{i}"), s, (-1.0, 1.0))).collect();
    let y = (case.build)(&xs);
    let w = input("w".into(), &y.shape(), (-1.0, 1.0));
    Built { xs, ts, y, w, at }
}

impl Built<'_> {
    /// The point moved by `h` along the direction.
    fn moved(&self, h: f64) -> Point {
        let n = self.xs.len();
        let mut at = self.at.clone();
        for ((_, x), (_, t)) in at.iter_mut().zip(&self.at[n..2 * n]) {
            x.iter_mut().zip(t).for_each(|(x, t)| *x += h * t);
        }
        at
    }

    /// Central difference of `f` along the direction, with a bound on its own error: truncation falls as h², so the
    /// difference between steps 2h and h is three times the truncation at h; rounding is eps |f| / h.
    fn difference(&self, f: Var) -> Vec<(f64, f64)> {
        let h = f64::EPSILON.powf(1.0 / 3.0); // where the two errors are of one size, for inputs of order 1
        let central = |h: f64| {
            let (up, down) = (value(f, &self.moved(h)), value(f, &self.moved(-h)));
            up.into_iter().zip(down).map(|(u, d)| ((u - d) / (2.0 * h), u.abs().max(d.abs()))).collect::<Vec<_>>()
        };
        let scale = value(f, &self.at).iter().fold(1.0f64, |m, v| m.max(v.abs()));
        let pairs = central(h).into_iter().zip(central(2.0 * h));
        pairs.map(|((fine, _), (coarse, _))| (fine, (coarse - fine).abs() + 64.0 * f64::EPSILON * scale / h)).collect()
    }
}

#[track_caller]
fn assert_derivative(got: &[f64], difference: &[(f64, f64)], what: &str) {
    for (i, (got, (want, bound))) in got.iter().zip(difference).enumerate() {
        assert!((got - want).abs() <= *bound, "{what}: element {i} is {got}, differences give {want} within {bound:e}");
    }
}

fn seeds<'g>(built: &Built<'g>) -> Vec<(Var<'g>, Var<'g>)> {
    built.xs.iter().copied().zip(built.ts.iter().copied()).collect()
}

#[test]
fn tangents_equal_central_differences() {
    for case in SMOOTH.iter().chain(KINKED) {
        let g = Graph::new();
        let built = build(&g, case, 1);
        let tangent = jvps(&[built.y], &seeds(&built)).unwrap()[0];
        assert_derivative(&value(tangent, &built.at), &built.difference(built.y), case.name);
    }
}

#[test] // the control: differences see a derivative that is wrong by one part in a million
fn differences_refuse_a_derivative_that_is_slightly_wrong() {
    let g = Graph::new();
    let built = build(&g, &case("exp", V, ANY, |x| x[0].exp()), 1);
    let tangent = value(jvps(&[built.y], &seeds(&built)).unwrap()[0], &built.at);
    let differences = built.difference(built.y);
    let refused = |(got, (want, bound)): (&f64, &(f64, f64))| (got * (1.0 + 1e-6) - want).abs() > *bound;
    assert!(tangent.iter().zip(&differences).any(refused));
}

#[test]
fn transposes_satisfy_the_inner_product_law() {
    for case in SMOOTH.iter().chain(KINKED) {
        let g = Graph::new();
        let built = build(&g, case, 2);
        let tangent = jvps(&[built.y], &seeds(&built)).unwrap()[0];
        let cts = vjps(&[(built.y, built.w)], &built.xs).unwrap();
        let ends: Vec<_> = [tangent, built.w].into_iter().chain(cts).chain(built.ts.iter().copied()).collect();
        let got = values(&ends, &built.at);
        let n = built.xs.len();
        let left = dot(&got[0], &got[1]);
        let right: f64 = (0..n).map(|i| dot(&got[2 + i], &got[2 + n + i])).sum();
        let scale = (0..n).map(|i| dot_scale(&got[2 + i], &got[2 + n + i])).sum::<f64>() + dot_scale(&got[0], &got[1]);
        // Each side is a sum of < 64 rounded terms, each through < 64 rounded operations.
        let bound = 64.0 * f64::EPSILON * scale;
        assert!((left - right).abs() <= bound, "{}: {left} and {right} differ by more than {bound:e}", case.name);
    }
}

#[test]
fn second_derivatives_commute_are_symmetric_and_equal_differences() {
    for case in SMOOTH {
        let g = Graph::new();
        let built = build(&g, case, 3);
        let along = seeds(&built);
        let scalar = (built.y * built.w).sum_all();
        let gradients = grads(scalar, &built.xs).unwrap();
        let hessian_t = jvps(&gradients, &along).unwrap();
        let slope = jvps(&[scalar], &along).unwrap()[0];
        let grad_of_jvp = grads(slope, &built.xs).unwrap();
        let mut nodes = hessian_t.clone();
        nodes.extend(grad_of_jvp);
        let got = values(&nodes, &built.at);
        let n = built.xs.len();
        for i in 0..n {
            assert_close(&got[i], &got[n + i], 1e-12, case.name); // 1e-12: some hundred roundings of size 2e-16
            assert_derivative(&got[i], &built.difference(gradients[i]), case.name);
        }
    }
}

#[test]
fn hessians_are_symmetric() {
    for case in SMOOTH {
        let g = Graph::new();
        let built = build(&g, case, 4);
        let scalar = (built.y * built.w).sum_all();
        let mut draw = Seeded(5);
        let mut at = built.at.clone();
        let mut other = Vec::new();
        for (i, x) in built.xs.iter().enumerate() {
            at.push((format!("s{i}"), draw.vec(x.shape().numel(), -1.0, 1.0)));
            other.push((*x, g.input(&format!("s{i}"), x.shape())));
        }
        let gradients = grads(scalar, &built.xs).unwrap();
        let bilinear = |inner: &[(Var, Var)], outer: &[(Var, Var)]| {
            let inner: Vec<_> = inner.iter().map(|(x, t)| (g.var(x.id()), g.var(t.id()))).collect();
            let hessian = jvps(&gradients, &inner).unwrap();
            let products = hessian.iter().zip(outer).map(|(h, (_, t))| (*h * g.var(t.id())).sum_all());
            let terms: Vec<_> = products.collect();
            let all = values(&terms, &at);
            all.iter().map(|v| v[0]).sum::<f64>()
        };
        let (a, b) = (bilinear(&seeds(&built), &other), bilinear(&other, &seeds(&built)));
        assert!((a - b).abs() <= 1e-12 * (1.0 + a.abs()) * 16.0, "{}: s'Ht = {a}, t'Hs = {b}", case.name);
    }
}

#[test]
fn a_second_derivative_through_a_kink_is_refused() {
    for case in KINKED {
        let g = Graph::new();
        let built = build(&g, case, 6);
        let first = grad((built.y * built.w).sum_all(), built.xs[0]).unwrap();
        let error = grad((first * first).sum_all(), built.xs[0]).err().unwrap().to_string();
        assert!(error.contains("softplus or silu") && error.contains("autodiff_laws.rs"), "{}: {error}", case.name);
    }
}
