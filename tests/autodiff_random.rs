//! The laws of derivatives on random graphs, and on functions whose derivatives of every order are known.

mod autodiff_support;

use autodiff_support::*;
use ergodic::autodiff::{grad, grads, jvp, jvps, vjp, vjps};
use ergodic::graph::{Boundary, Graph, Tap, Var};

/// Twenty random operations on a pool of `[4, 3]` arrays of order 1, ended by a sum of some of them.
fn random_graph<'g>(g: &'g Graph, draw: &mut Seeded) -> (Vec<Var<'g>>, Var<'g>) {
    let xs = vec![g.input("x", [4, 3]), g.input("w", [3, 3]), g.input("b", [3])];
    let mut pool = vec![xs[0], xs[0].matmul(xs[1]).tanh(), xs[0] * 0.5 + xs[2]];
    for _ in 0..20 {
        let (a, b) = (pool[draw.below(pool.len())], pool[draw.below(pool.len())]);
        pool.push(match draw.below(16) {
            0 => a + b,
            1 => a - b,
            2 => (a * b).tanh(),
            3 => a / (b.square() + 1.0),
            4 => a.sin(),
            5 => (a * 0.5).tanh().exp(),
            6 => a.softplus() - b,
            7 => a.matmul(xs[1]).sin(),
            8 => a.sum(0) * 0.2 + b,
            9 => (a.reshape([3, 4]).t() * 0.3).cumsum(1),
            10 => Var::concat(&[a.narrow(1, 1, 2), b.narrow(1, 0, 1)], 1).unwrap(),
            11 => a.narrow(0, 1, 3).pad([0, 0], [4, 3]) + b.stop_grad(),
            12 => a.stencil(&[Tap::new([-1], 0.5), Tap::new([1], -0.5)], Boundary::Periodic).cos(),
            13 => a.gather(Var::concat(&[2, 0, 1, 2].map(|i| g.constant_u32(i).reshape([1])), 0).unwrap()),
            14 => b.stop_grad().lt(0.1).select(a, b),
            _ => (a.square() + 0.5).sqrt() - (b.square() + 1.0).log(),
        });
    }
    let n = pool.len();
    (xs, (pool[n - 1] + pool[n - 2] * pool[n - 3]).tanh().sum(1) + pool[n - 4].sum_all() * 0.1)
}

/// Inputs with a direction `t` and another one `s` for each.
type Directions<'g> = Vec<(Var<'g>, Var<'g>)>;

fn directions<'g>(g: &'g Graph, xs: &[Var<'g>], prefix: &str, draw: &mut Seeded, at: &mut Point) -> Directions<'g> {
    let mut direction = |(i, x): (usize, &Var<'g>)| {
        let name = format!("{prefix}{i}");
        at.push((name.clone(), draw.vec(x.shape().numel(), -1.0, 1.0)));
        (*x, g.input(&name, x.shape()))
    };
    xs.iter().enumerate().map(&mut direction).collect()
}

#[test]
fn random_graphs_obey_the_laws_of_first_and_second_derivatives() {
    for seed in 0..60 {
        let (g, mut draw) = (Graph::new(), Seeded(seed));
        let (xs, y) = random_graph(&g, &mut draw);
        let mut at = vec![
            ("x".to_string(), draw.vec(12, -1.5, 1.5)),
            ("w".to_string(), draw.vec(9, -0.8, 0.8)),
            ("b".to_string(), draw.vec(3, -1.0, 1.0)),
            ("ct".to_string(), draw.vec(4, -1.0, 1.0)),
        ];
        let t = directions(&g, &xs, "t", &mut draw, &mut at);
        let s = directions(&g, &xs, "s", &mut draw, &mut at);
        let ct = g.input("ct", [4]);
        let scalar = (y * ct).sum_all();
        let pair = |a: &[Var<'_>], b: &Directions<'_>| -> f64 {
            let nodes: Vec<_> = a.iter().copied().map(|v| g.var(v.id())).collect();
            let others: Vec<_> = b.iter().map(|(_, t)| g.var(t.id())).collect();
            values(&nodes, &at).iter().zip(values(&others, &at)).map(|(a, b)| dot(a, &b)).sum()
        };

        let slope = jvps(&[scalar], &t).unwrap()[0];
        let gradients = grads(scalar, &xs).unwrap();
        let (forward, backward) = (value(slope, &at)[0], pair(&gradients, &t));
        let size = |v: f64| 1.0 + v.abs();
        // 1e-12 of the size: a few hundred roundings of 2e-16 with factors of order 1.
        assert!((forward - backward).abs() < 1e-12 * size(forward), "seed {seed}: {forward} and {backward}");

        let hessian_t = jvps(&gradients, &t).unwrap();
        let hessian_s = jvps(&gradients, &s).unwrap();
        let other_way = vjps(&[(slope, g.constant(1.0))], &xs).unwrap();
        let (st, ts, gj) = (pair(&hessian_t, &s), pair(&hessian_s, &t), pair(&other_way, &s));
        assert!((st - ts).abs() < 1e-11 * size(st), "seed {seed}: Hessian {st} and {ts}");
        assert!((st - gj).abs() < 1e-11 * size(st), "seed {seed}: jvp of grad {st}, grad of jvp {gj}");

        // Third order: a derivative of the symmetric form along t, both ways.
        let form = hessian_t.iter().zip(&s).map(|(h, (_, s))| (*h * *s).sum_all()).reduce(|a, b| a + b).unwrap();
        let (third, back) = (value(jvps(&[form], &t).unwrap()[0], &at)[0], pair(&grads(form, &xs).unwrap(), &t));
        assert!((third - back).abs() < 1e-10 * size(third), "seed {seed}: third order {third} and {back}");
    }
}

#[test]
fn derivatives_of_random_graphs_equal_differences() {
    for seed in 100..140 {
        let (g, mut draw) = (Graph::new(), Seeded(seed));
        let (xs, y) = random_graph(&g, &mut draw);
        let inputs = [draw.vec(12, -1.5, 1.5), draw.vec(9, -0.8, 0.8), draw.vec(3, -1.0, 1.0)];
        let steps = [draw.vec(12, -1.0, 1.0), draw.vec(9, -1.0, 1.0), draw.vec(3, -1.0, 1.0)];
        let moved = |h: f64| -> Point {
            let shift = |i: usize| inputs[i].iter().zip(&steps[i]).map(|(x, t)| x + h * t).collect::<Vec<_>>();
            ["x", "w", "b"].iter().enumerate().map(|(i, name)| (name.to_string(), shift(i))).collect()
        };
        let mut at = moved(0.0);
        let t: Directions = xs
            .iter()
            .enumerate()
            .map(|(i, x)| {
                at.push((format!("t{i}"), steps[i].clone()));
                (*x, g.input(&format!("t{i}"), x.shape()))
            })
            .collect();
        let got = value(jvps(&[y], &t).unwrap()[0], &at);
        let h = f64::EPSILON.powf(1.0 / 3.0);
        let central = |h: f64| -> Vec<f64> {
            // stop_grad is transparent to values, so a function with it is compared only where none is reached.
            value(y, &moved(h)).iter().zip(value(y, &moved(-h))).map(|(u, d)| (u - d) / (2.0 * h)).collect()
        };
        if count(&[y], |op| matches!(op, ergodic::graph::Op::StopGrad)) > 0 {
            continue;
        }
        for ((got, fine), coarse) in got.iter().zip(central(h)).zip(central(2.0 * h)) {
            let bound = (fine - coarse).abs() + 1e3 * f64::EPSILON / h; // truncation, and rounding of some 10^3 operations
            assert!((got - fine).abs() <= bound, "seed {seed}: {got}, differences give {fine} within {bound:e}");
        }
    }
}

/// Derivatives of order 1, 2, 3 of an element-wise function.
fn orders<'g>(f: Var<'g>, x: Var<'g>) -> [Var<'g>; 3] {
    let first = grad(f, x).unwrap();
    let second = grad(first, x).unwrap();
    [first, second, grad(second, x).unwrap()]
}

#[test]
fn third_derivatives_have_their_closed_forms() {
    type Build = for<'g> fn(Var<'g>) -> Var<'g>;
    type Closed = fn(f64) -> [f64; 3];
    let cases: [(&str, Build, Closed); 7] = [
        ("x^5", |x| x * x * x * x * x, |x| [5.0 * x.powi(4), 20.0 * x.powi(3), 60.0 * x * x]),
        ("pow 5", |x| x.pow(5.0), |x| [5.0 * x.powi(4), 20.0 * x.powi(3), 60.0 * x * x]),
        (
            "tanh",
            |x| x.tanh(),
            |x| {
                let (y, s) = (x.tanh(), 1.0 - x.tanh().powi(2));
                [s, -2.0 * y * s, s * (4.0 * y * y - 2.0 * s)]
            },
        ),
        (
            "softplus",
            |x| x.softplus(),
            |x| {
                let s = 1.0 / (1.0 + (-x).exp());
                [s, s * (1.0 - s), s * (1.0 - s) * (1.0 - 2.0 * s)]
            },
        ),
        ("log", |x| x.log(), |x| [1.0 / x, -1.0 / (x * x), 2.0 / (x * x * x)]),
        ("sqrt", |x| x.sqrt(), |x| [0.5 / x.sqrt(), -0.25 * x.powf(-1.5), 0.375 * x.powf(-2.5)]),
        (
            "erf",
            |x| x.erf(),
            |x| {
                let s = std::f64::consts::FRAC_2_SQRT_PI * (-x * x).exp();
                [s, -2.0 * x * s, (4.0 * x * x - 2.0) * s]
            },
        ),
    ];
    for (name, build, closed) in cases {
        let g = Graph::new();
        let x = g.input("x", [6]);
        let points = Seeded(1).vec(6, 0.2, 1.8);
        let got = values(&orders(build(x), x), &point([("x", &points)]));
        for (order, got) in got.iter().enumerate() {
            let want: Vec<_> = points.iter().map(|&x| closed(x)[order]).collect();
            assert_close(got, &want, 1e-13, &format!("{name}, order {}", order + 1)); // some hundred roundings
        }
    }
}

#[test]
fn derivatives_along_a_view_are_those_of_its_elements() {
    let g = Graph::new();
    let theta = g.input("theta", [6]);
    let w = theta.narrow(0, 2, 4).reshape([2, 2]);
    let at = point([("theta", &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]), ("t", &[1.0, 0.0, 0.0, 2.0])]);
    // None of these reads the node w: views of views are simplified past it.
    let around = [w.t().t().exp().sum_all(), w.reshape([4]).narrow(0, 1, 3).exp().sum_all(), (-(-w)).exp().sum_all()];
    let e = |x: f64| x.exp();
    let want = [[e(3.0), e(4.0), e(5.0), e(6.0)], [0.0, e(4.0), e(5.0), e(6.0)], [e(3.0), e(4.0), e(5.0), e(6.0)]];
    for (u, want) in around.into_iter().zip(want) {
        assert_eq!(value(grad(u, w).unwrap(), &at), want);
        let along = value(jvp(u, w, g.input("t", [2, 2])).unwrap(), &at)[0];
        assert_eq!(along, want[0] + 2.0 * want[3]);
    }
    let negated = -theta;
    assert_eq!(value(grad((theta * 3.0).sum_all(), negated).unwrap(), &at), [-3.0; 6]);
}

#[test]
fn several_variables_at_once_equal_one_at_a_time() {
    let g = Graph::new();
    let (x, y) = (g.input("x", [3]), g.input("y", [3]));
    let h = x.sin() * y;
    let u = (h.exp() + x * y).sum_all();
    let at = point([("x", &[0.1, 0.2, 0.3]), ("y", &[1.0, -1.0, 0.5])]);
    let together = values(&grads(u, &[x, y, h, x.reshape([3, 1])]).unwrap(), &at);
    let alone = [x, y, h, x.reshape([3, 1])].map(|v| value(grad(u, v).unwrap(), &at));
    assert_eq!(together, alone);
    let outputs = values(&vjps(&[(h, x), (u, g.constant(2.0))], &[y]).unwrap(), &at).remove(0);
    let [first, second] = [vjp(h, x, y), vjp(u, g.constant(2.0), y)].map(|v| value(v.unwrap(), &at));
    let sum: Vec<_> = first.iter().zip(second).map(|(a, b)| a + b).collect();
    assert_close(&outputs, &sum, 1e-15, "several outputs");
}

#[test]
fn a_repeated_variable_read_past_its_repetition_is_refused() {
    let g = Graph::new();
    let b = g.input("b", [3]);
    let x = b.broadcast_to([2, 3]);
    let u = x.broadcast_to([4, 2, 3]).exp().sum_all(); // repeats b, and never reads x
    let error = grad(u, x).err().unwrap().to_string();
    assert!(error.starts_with("`broadcast` has no derivative here") && error.contains("autodiff_random.rs"), "{error}");
    assert_eq!(value(grad(x.sum_all(), x).unwrap(), &point([("b", &[0.0; 3])])), [1.0; 6]);
}
