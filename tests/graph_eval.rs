//! The f64 meaning of every operation, against values worked out by hand.

use ergodic::Error;
use ergodic::graph::{Binary, Boundary, DType, Feed, Feeds, Graph, Shape, Tap, Unary, Value, Var};
use ergodic::random::RngKey;

/// Values of one output of a graph whose inputs are named in order.
fn eval(y: Var<'_>, feeds: &Feeds) -> Value {
    y.graph().eval_f64(&[y], feeds).unwrap_or_else(|e| panic!("{e}")).remove(0)
}

fn of(shape: &[usize], data: impl Feed, f: impl for<'g> Fn(Var<'g>) -> Var<'g>) -> Vec<f64> {
    let g = Graph::new();
    eval(f(g.input("x", shape)), &Feeds::new().tensor("x", data)).data
}

fn of_u32(shape: &[usize], data: &[u32], f: impl for<'g> Fn(Var<'g>) -> Var<'g>) -> Vec<f64> {
    let g = Graph::new();
    eval(f(g.input_of("x", shape, DType::U32)), &Feeds::new().tensor("x", data)).data
}

type Function = (Unary, fn(f64) -> f64);

fn count(n: usize) -> Vec<f64> {
    (1..=n).map(|i| i as f64).collect()
}

#[test]
fn functions_of_one_argument_are_those_of_their_names() {
    let x = [-1.5, -0.25, 0.0, 0.5, 3.0];
    let positive = [0.25, 1.0, 7.5];
    let on_reals: [Function; 10] = [
        (Unary::Neg, |x| -x),
        (Unary::Abs, f64::abs),
        (Unary::Exp, f64::exp),
        (Unary::Expm1, f64::exp_m1),
        (Unary::Sin, f64::sin),
        (Unary::Cos, f64::cos),
        (Unary::Tanh, f64::tanh),
        (Unary::Floor, f64::floor),
        (Unary::Erf, libm::erf),
        (Unary::Softplus, |x| (1.0 + x.exp()).ln()),
    ];
    let on_positive: [Function; 5] = [
        (Unary::Log, f64::ln),
        (Unary::Log1p, |x| (1.0 + x).ln()),
        (Unary::Sqrt, f64::sqrt),
        (Unary::Rsqrt, |x| x.powf(-0.5)),
        (Unary::Recip, |x| 1.0 / x),
    ];
    let cases = on_reals.iter().map(|c| (c, &x[..])).chain(on_positive.iter().map(|c| (c, &positive[..])));
    for ((f, definition), at) in cases {
        let got = of(&[at.len()], at, |x| x.unary(*f));
        for (got, x) in got.iter().zip(at) {
            let want = definition(*x);
            // The definitions in this list round a few times more than the functions do.
            assert!(
                (got - want).abs() <= 4.0 * f64::EPSILON * want.abs().max(1.0),
                "{} at {x}: {got} {want}",
                f.name()
            );
        }
    }
}

#[test]
fn softplus_and_sigmoid_do_not_overflow() {
    assert_eq!(of(&[2], &[800.0, -800.0], |x| x.softplus()), [800.0, 0.0]);
    assert_eq!(of(&[2], &[800.0, -800.0], |x| x.sigmoid()), [1.0, 0.0]);
}

#[test]
fn arithmetic_broadcasts_over_trailing_axes() {
    let g = Graph::new();
    let (a, b, c) = (g.input("a", [2, 2]), g.input("b", [2]), g.input("c", [2, 1]));
    let feeds = Feeds::new().tensor("a", &[1.0, 2.0, 3.0, 4.0]).tensor("b", &[10.0, 20.0]).tensor("c", &[5.0, 7.0]);
    let eval = |y| eval(y, &feeds).data;
    assert_eq!(eval(a + b), [11.0, 22.0, 13.0, 24.0]);
    assert_eq!(eval(a - c), [-4.0, -3.0, -4.0, -3.0]);
    assert_eq!(eval(b * c), [50.0, 100.0, 70.0, 140.0]);
    assert_eq!(eval(b / a), [10.0, 10.0, 10.0 / 3.0, 5.0]);
    assert_eq!(eval(a.min(2.5)), [1.0, 2.0, 2.5, 2.5]);
    assert_eq!(eval(a.max(2.5)), [2.5, 2.5, 3.0, 4.0]);
    assert_eq!(eval(a.pow(b / 10.0)), [1.0, 4.0, 3.0, 16.0]);
    assert_eq!(eval(2.0 - a), [1.0, 0.0, -1.0, -2.0]);
}

#[test]
fn unsigned_arithmetic_wraps_and_truncates() {
    let x = [0, 3, u32::MAX];
    assert_eq!(of_u32(&[3], &x, |x| x + 2u32), [2.0, 5.0, 1.0]);
    assert_eq!(of_u32(&[3], &x, |x| x - 1u32), [f64::from(u32::MAX), 2.0, f64::from(u32::MAX - 1)]);
    assert_eq!(of_u32(&[3], &x, |x| x / 2u32), [0.0, 1.0, f64::from(u32::MAX / 2)]);
    assert_eq!(of_u32(&[3], &x, |x| x * x), [0.0, 9.0, 1.0]);
    assert_eq!(of_u32(&[3], &x, |x| x.binary(Binary::Pow, 3u32)), [0.0, 27.0, f64::from(u32::MAX)]);
    assert_eq!(of_u32(&[3], &x, |x| x.sum(0)), [2.0]);
    assert_eq!(of_u32(&[3], &x, |x| x.cumsum(0)), [0.0, 3.0, 2.0]);
    assert_eq!(of_u32(&[0], &[], |x| x.max_over(0)), [0.0]);
}

#[test]
fn casts_truncate_toward_zero_and_saturate() {
    let x = [-3.7, 2.9, 5e9, 0.0];
    assert_eq!(of(&[4], &x, |x| x.cast(DType::U32)), [0.0, 2.0, f64::from(u32::MAX), 0.0]);
    assert_eq!(of(&[4], &x, |x| x.cast(DType::Bool)), [1.0, 1.0, 1.0, 0.0]);
    assert_eq!(of(&[4], &x, |x| x.lt(1.0).cast(DType::F32)), [1.0, 0.0, 0.0, 1.0]);
}

#[test]
fn comparisons_and_select_take_the_branch_of_each_element() {
    let x = [1.0, 2.0, 3.0];
    assert_eq!(of(&[3], &x, |x| x.lt(2.0)), [1.0, 0.0, 0.0]);
    assert_eq!(of(&[3], &x, |x| x.le(2.0)), [1.0, 1.0, 0.0]);
    assert_eq!(of(&[3], &x, |x| x.equal(2.0)), [0.0, 1.0, 0.0]);
    assert_eq!(of(&[3], &x, |x| x.lt(2.0).logical_not()), [0.0, 1.0, 1.0]);
    assert_eq!(of(&[3], &x, |x| x.lt(2.0).select(x * 10.0, -x)), [10.0, -2.0, -3.0]);
    // The branch that is not taken may be anything, NaN included.
    assert_eq!(of(&[1], &[-1.0], |x| x.lt(0.0).select(0.0, x.sqrt())), [0.0]);
}

#[test]
fn sums_and_maxima_reduce_the_named_axes() {
    let x = count(12); // [2, 3, 2]
    let shape = [2, 3, 2];
    assert_eq!(of(&shape, &x, |x| x.sum(0)), [8.0, 10.0, 12.0, 14.0, 16.0, 18.0]);
    assert_eq!(of(&shape, &x, |x| x.sum(1)), [9.0, 12.0, 27.0, 30.0]);
    assert_eq!(of(&shape, &x, |x| x.sum([0, 2])), [18.0, 26.0, 34.0]);
    assert_eq!(of(&shape, &x, |x| x.sum_all()), [78.0]);
    assert_eq!(of(&shape, &x, |x| x.mean([0, 2])), [4.5, 6.5, 8.5]);
    assert_eq!(of(&shape, &x, |x| x.max_over([0, 1])), [11.0, 12.0]);
    assert_eq!(of(&shape, &x, |x| x.mean_all()), [6.5]);
    assert_eq!(of(&[0, 2], &[] as &[f64], |x| x.sum(0)), [0.0, 0.0]);
    assert_eq!(of(&[0], &[] as &[f64], |x| x.max_over(0)), [f64::NEG_INFINITY]);
    assert!(of(&[3], &[1.0, f64::NAN, 2.0], |x| x.max_over(0))[0].is_nan());
}

#[test]
fn the_mean_of_nothing_is_its_sum() {
    assert_eq!(of(&[0], Vec::<f64>::new(), |x| x.mean_all()), [0.0]);
    assert_eq!(of(&[0, 3], Vec::<f64>::new(), |x| x.mean(0)), [0.0; 3]);
    assert_eq!(of(&[2], vec![1.0, 4.0], |x| x.mean_all()), [2.5]);
}

#[test]
fn logsumexp_is_shift_invariant() {
    let got = of(&[2, 2], &[1000.0, 1000.0, -1000.0, -1000.0], |x| x.logsumexp(1));
    let ln2 = std::f64::consts::LN_2;
    assert_eq!(got, [1000.0 + ln2, -1000.0 + ln2]);
}

#[test]
fn cumsum_runs_along_its_axis() {
    assert_eq!(of(&[2, 3], count(6), |x| x.cumsum(1)), [1.0, 3.0, 6.0, 4.0, 9.0, 15.0]);
    assert_eq!(of(&[2, 3], count(6), |x| x.cumsum(0)), [1.0, 2.0, 3.0, 5.0, 7.0, 9.0]);
    assert!(of(&[2, 0], &[] as &[f64], |x| x.cumsum(0)).is_empty());
}

#[test]
fn views_move_elements() {
    let x = count(6); // [2, 3]
    assert_eq!(of(&[2, 3], &x, |x| x.reshape([3, 2])), x);
    assert_eq!(of(&[2, 3], &x, |x| x.t()), [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
    assert_eq!(of(&[2, 3], &x, |x| x.slice([0, 1], [2, 2])), [2.0, 3.0, 5.0, 6.0]);
    assert_eq!(of(&[2, 3], &x, |x| x.slice([0, 1], [2, 2]).slice([1, 1], [1, 1])), [6.0]);
    assert_eq!(of(&[2, 1], &[1.0, 2.0], |x| x.pad([1, 0], [3, 2])), [0.0, 0.0, 1.0, 0.0, 2.0, 0.0]);
    assert_eq!(of(&[2, 1], &[1.0, 2.0], |x| x.broadcast_to([2, 2, 2])), [1.0, 1.0, 2.0, 2.0, 1.0, 1.0, 2.0, 2.0]);
    assert_eq!(of(&[1, 2], &[1.0, 2.0], |x| x.broadcast_to([2, 2])), [1.0, 2.0, 1.0, 2.0]);
    let rotated = of(&[1, 2, 3], &x, |x| x.permute([2, 0, 1]));
    assert_eq!(rotated, [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
    assert_eq!(of(&[2, 2, 2], count(8), |x| x.permute([2, 0, 1]).permute([1, 2, 0])), count(8));
    assert_eq!(of(&[2, 3], &x, |x| x.stop_grad()), x);
}

#[test]
fn concat_joins_along_its_axis() {
    let g = Graph::new();
    let (a, b) = (g.input("a", [2, 1]), g.input("b", [2, 2]));
    let feeds = Feeds::new().tensor("a", &[1.0, 2.0]).tensor("b", &[10.0, 11.0, 20.0, 21.0]);
    let wide = Var::concat(&[a, b], 1).expect("two parts");
    assert_eq!(eval(wide, &feeds).data, [1.0, 10.0, 11.0, 2.0, 20.0, 21.0]);
    let tall = Var::concat(&[b, b], 0).expect("two parts");
    assert_eq!(eval(tall, &feeds).data, [10.0, 11.0, 20.0, 21.0, 10.0, 11.0, 20.0, 21.0]);
}

#[test]
fn iota_and_step_count() {
    let g = Graph::new();
    assert_eq!(eval(g.iota(1, [2, 3]), &Feeds::new()).data, [0.0, 1.0, 2.0, 0.0, 1.0, 2.0]);
    assert_eq!(eval(g.iota(0, [2, 3]), &Feeds::new()).data, [0.0, 0.0, 0.0, 1.0, 1.0, 1.0]);
    assert_eq!(eval(g.step(), &Feeds::new().step(7)).data, [7.0]);
}

#[test]
fn gather_clamps_and_scatter_add_is_its_transpose() {
    let g = Graph::new();
    let (table, at, ct) = (g.input("t", [3, 2]), g.input_of("i", [4], DType::U32), g.input("ct", [4, 2]));
    let feeds = Feeds::new().tensor("t", count(6)).tensor("i", &[2u32, 0, 9, 2]).tensor("ct", count(8));
    let picked = table.gather(at);
    assert_eq!(eval(picked, &feeds).data, [5.0, 6.0, 1.0, 2.0, 5.0, 6.0, 5.0, 6.0]);
    // Where the row is known there is nothing to look up.
    let (first, past, only) =
        (g.full(0.0, [2]).cast(DType::U32), g.full(7.0, []).cast(DType::U32), table.narrow(0, 1, 1));
    assert_eq!(eval(table.gather(first), &feeds).data, [1.0, 2.0, 1.0, 2.0]);
    assert_eq!(eval(table.gather(past), &feeds).data, [5.0, 6.0]);
    assert_eq!(eval(only.gather(at), &feeds).data, [3.0, 4.0, 3.0, 4.0, 3.0, 4.0, 3.0, 4.0]);
    let spread = ct.scatter_add(at, 3);
    assert_eq!(eval(spread, &feeds).data, [3.0, 4.0, 0.0, 0.0, 1.0 + 5.0 + 7.0, 2.0 + 6.0 + 8.0]);
    // <ct, gather(t)> = <scatter(ct), t>, integers: equal to the bit.
    let (left, right) = ((ct * picked).sum_all(), (spread * table).sum_all());
    assert_eq!(eval(left, &feeds).data, eval(right, &feeds).data);
}

#[test]
fn a_table_at_step_holds_its_last_row() {
    let g = Graph::new();
    let rate = g.input("rate", [3]).at_step();
    let at = |step| eval(rate, &Feeds::new().tensor("rate", &[0.5, 0.25, 0.125]).step(step)).data[0];
    assert_eq!([0, 1, 2, 3, 1000].map(at), [0.5, 0.25, 0.125, 0.125, 0.125]);
}

#[test]
fn scatter_add_of_integers_at_a_constant_index_keeps_the_data() {
    let g = Graph::new();
    let x = g.input_of("x", [2], DType::U32);
    let zero = g.constant_u32(0).broadcast_to([2]);
    assert_eq!(eval(x.scatter_add(zero, 2), &Feeds::new().tensor("x", &[3u32, 4])).data, [7.0, 0.0]);
}

#[test]
fn search_sorted_counts_entries_strictly_below() {
    let g = Graph::new();
    let found = g.input("x", [4]).search_sorted(g.input("q", [5]));
    let feeds = Feeds::new().tensor("x", &[1.0, 2.0, 2.0, 3.0]).tensor("q", &[0.0, 1.0, 2.0, 2.5, 9.0]);
    let got = eval(found, &feeds);
    assert_eq!((got.data, got.dtype), (vec![0.0, 0.0, 1.0, 3.0, 4.0], DType::U32));
}

#[test]
fn apportion_gives_places_to_the_weights_on_which_they_lie() {
    let g = Graph::new();
    let owners = |w: &[f64], places: usize, u: f64| {
        let owners = g.input(&format!("w{}", w.len()), [w.len()]).apportion(places, g.constant(u));
        let got = eval(owners, &Feeds::new().tensor(&format!("w{}", w.len()), w));
        assert_eq!(got.dtype, DType::U32);
        got.data
    };
    assert_eq!(owners(&[2.0, 5.0, 0.0, 3.0], 5, 0.5), [0.0, 1.0, 1.0, 1.0, 3.0]);
    assert_eq!(owners(&[0.0, 1.0, 0.0], 3, 0.5), [1.0, 1.0, 1.0]); // zeros own nothing, at either end
    assert_eq!(owners(&[1.0, 1.0], 1, 0.5), [0.0]); // a place on a boundary belongs to what ends there
    assert_eq!(owners(&[], 0, 0.5), [0.0; 0]);
    // Quotas of 1, of which none is representable: rounding of sums may not give two places to one weight.
    for u in [1e-300, 0.5, 1.0 - f64::EPSILON / 2.0] {
        let all: Vec<_> = (0..1009).map(f64::from).collect();
        assert_eq!(owners(&[0.1; 1009], 1009, u), all, "u = {u}");
    }
    let each = g.input("w", [2]).apportion(3, g.input("u", [3]));
    let feeds = Feeds::new().tensor("w", &[1.0, 1.0]).tensor("u", &[0.9, 0.6, 0.1]);
    assert_eq!(eval(each, &feeds).data, [0.0, 1.0, 1.0]);
}

#[test]
fn matmul_sums_over_the_inner_axis() {
    let g = Graph::new();
    let (a, b) = (g.input("a", [2, 3]), g.input("b", [3, 2]));
    let feeds = Feeds::new().tensor("a", count(6)).tensor("b", &[1.0, 0.0, 0.0, 1.0, 10.0, 100.0]);
    assert_eq!(eval(a.matmul(b), &feeds).data, [31.0, 302.0, 64.0, 605.0]);
    let empty = g.input("e", [2, 0]).matmul(g.input("f", [0, 2]));
    let none = Feeds::new().tensor("e", &[] as &[f64]).tensor("f", &[] as &[f64]);
    assert_eq!(eval(empty, &none).data, [0.0; 4]);
}

#[test]
fn a_matmul_of_a_batch_through_a_layer_takes_less_than_a_second() {
    let g = Graph::new();
    let y = g.input("a", [2048, 128]).matmul(g.input("b", [128, 128]));
    let feeds = Feeds::new().tensor("a", vec![0.5; 2048 * 128]).tensor("b", vec![2.0; 128 * 128]);
    let start = std::time::Instant::now();
    assert!(eval(y, &feeds).data.iter().all(|&x| x == 128.0));
    assert!(start.elapsed().as_secs_f64() < 1.0, "took {:?}", start.elapsed());
}

#[test]
fn stencils_shift_over_trailing_axes_and_follow_their_boundary() {
    let right = [Tap::new([1], 1.0), Tap::new([0], -1.0)]; // forward difference
    let x = [1.0, 4.0, 9.0, 10.0, 20.0, 40.0]; // two rows of three
    let periodic = of(&[2, 3], &x, |x| x.stencil(&right, Boundary::Periodic));
    assert_eq!(periodic, [3.0, 5.0, -8.0, 10.0, 20.0, -30.0]);
    let zero = of(&[2, 3], &x, |x| x.stencil(&right, Boundary::Zero));
    assert_eq!(zero, [3.0, 5.0, -9.0, 10.0, 20.0, -40.0]);
    // Two axes, shifts past the whole field: periodic ones wrap, the others read zero.
    let far = [Tap::new([-1, 4], 2.0)];
    assert_eq!(of(&[2, 3], count(6), |x| x.stencil(&far, Boundary::Periodic)), [10.0, 12.0, 8.0, 4.0, 6.0, 2.0]);
    assert_eq!(of(&[2, 3], count(6), |x| x.stencil(&far, Boundary::Zero)), [0.0; 6]);
}

#[test]
fn state_advances_step_by_step() {
    let g = Graph::new();
    let (x, v) = (g.input("x", [1]), g.input("v", [1]));
    let t = g.step().cast(DType::F32);
    let outputs = [("x", x + v), ("v", v + t), ("energy", v.square().sum_all())];
    let mut feeds = Feeds::new().tensor("x", &[0.0]).tensor("v", &[1.0]);
    let mut energies = vec![];
    for _ in 0..4 {
        let values = g.eval_step(&outputs, &mut feeds).unwrap_or_else(|e| panic!("{e}"));
        energies.push(values[2].data[0]);
    }
    // v_k = 1 + k (k - 1) / 2: 1, 1, 2, 4, 7; x_4 = 1 + 1 + 2 + 4. Both read the values before the step.
    assert_eq!((feeds.get("x"), feeds.get("v")), (Some(&[8.0][..]), Some(&[7.0][..])));
    assert_eq!((feeds.at_step(), energies), (4, vec![1.0, 1.0, 4.0, 16.0]));
    assert_eq!(feeds.get("energy"), None);
}

#[test]
fn a_value_is_known_by_its_shape_and_type() {
    let g = Graph::new();
    let value = eval(g.iota(0, [2, 1]), &Feeds::new());
    assert_eq!(value, Value { shape: Shape::from([2, 1]), dtype: DType::U32, data: vec![0.0, 1.0] });
}

#[test]
fn an_output_may_stand_twice_and_be_an_input() {
    let g = Graph::new();
    let x = g.input("x", []);
    let got = g.eval_f64(&[x, x + 1.0, x], &Feeds::new().tensor("x", 3.0)).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(got.iter().map(|v| v.data[0]).collect::<Vec<_>>(), [3.0, 4.0, 3.0]);
}

fn fails(g: &Graph, y: Var<'_>, feeds: &Feeds) -> Error {
    g.eval_f64(&[y], feeds).expect_err("this must fail")
}

#[test]
fn feeds_that_do_not_fit_are_refused_by_name_and_size() {
    let g = Graph::new();
    let x = g.input("x", [2, 3]);
    let line = line!() - 1;
    let missing = fails(&g, x, &Feeds::new().tensor("z", 1.0).tensor("b", 1.0)).to_string();
    assert!(missing.starts_with("input `x` [2, 3] is not bound; bound are: b, z\n"), "{missing}");
    let short = fails(&g, x, &Feeds::new().tensor("x", count(5))).to_string();
    let want = "shape mismatch in `input`: got 5 elements for `x`, want 6 elements, shape [2, 3]";
    assert_eq!(short, format!("{want}\n  built at tests/graph_eval.rs:{line}"));
    let no_key = fails(&g, g.key("noise").uniform([2]), &Feeds::new()).to_string();
    assert!(no_key.starts_with("input `noise` [] is not bound; bound are: nothing\n"), "{no_key}");
}

#[test]
fn a_mistake_is_reported_once_and_its_value_never_exists() {
    let g = Graph::new();
    let x = g.input("x", [2, 3]);
    let bad = x.matmul(x);
    let feeds = Feeds::new().tensor("x", count(6));
    assert!(matches!(fails(&g, x, &feeds), Error::Shape { op: "matmul", .. })); // although x does not need it
    assert!(g.eval_f64(&[x], &feeds).is_ok());
    assert!(matches!(fails(&g, (bad + 1.0).tanh(), &feeds), Error::Invalid { .. }));
    assert!(matches!(fails(&g, g.key("k").var(), &feeds), Error::UnboundInput { .. }));
    let empty = g.input("none", [0, 2]).gather(g.step());
    assert!(matches!(fails(&g, empty, &feeds.clone().tensor("none", &[] as &[f64])), Error::Invalid { .. }));
}

#[test]
fn evaluation_and_feeds_take_the_host_s_number_types() {
    let twice = |data: Vec<f64>| data.iter().map(|x| 2.0 * x).collect::<Vec<_>>();
    assert_eq!(of(&[2], &[0.5f32, 0.25], |x| x * 2.0), twice(vec![0.5, 0.25]));
    assert_eq!(of(&[2], vec![0.5f32, 0.25], |x| x * 2.0), twice(vec![0.5, 0.25]));
    let g = Graph::new();
    let flag = g.input_of("flag", [2], DType::Bool);
    let feeds = Feeds::new().tensor("flag", &[true, false]);
    assert_eq!(eval(flag.select(1.0, 2.0), &feeds).data, [1.0, 2.0]);
}

#[test]
fn a_chain_of_a_hundred_thousand_nodes_evaluates_without_recursion() {
    let g = Graph::new();
    let mut x = g.input("x", []);
    for _ in 0..100_000 {
        x = (x + 1.0) * 0.5;
    }
    // Fixed point 1, error halved each time.
    assert_eq!(eval(x, &Feeds::new().tensor("x", 5.0)).data, [1.0]);
}

#[test]
fn draws_are_those_of_the_host_key_at_row_component_and_step() {
    let g = Graph::new();
    let key = g.key("noise");
    let host = RngKey::new(11);
    let shape = [3, 2, 5]; // ten components a walker: two blocks and a half
    let draws = [key.bits(shape), key.uniform(shape), key.normal(shape), key.normal_exact(shape)];
    let values = g.eval_f64(&draws, &Feeds::new().key("noise", host).step(9)).unwrap_or_else(|e| panic!("{e}"));
    for i in 0..30 {
        let (walker, c) = (i as u32 / 10, i as u32 % 10);
        assert_eq!(values[0].data[i], f64::from(host.bits(walker, c, 9)));
        // Uniforms have 23 bits, so the f32 one is exact. Normals in f32 are 4 ulp from their f64 meaning (their docs).
        assert_eq!(values[1].data[i], f64::from(host.uniform(walker, c, 9)));
        let (normal, in_f32) = (values[2].data[i], f64::from(host.normal(walker, c, 9)));
        assert!((normal - in_f32).abs() <= 4.0 * f64::from(f32::EPSILON) * normal.abs(), "{normal} {in_f32}");
        assert_eq!(values[3].data[i], f64::from(host.normal_exact(walker, c, 9)));
    }
}

#[test]
fn a_scalar_draw_is_component_0_of_walker_0_and_steps_differ() {
    let g = Graph::new();
    let draw = g.key("noise").fold_in(3).uniform([]);
    let host = RngKey::new(2);
    let at = |step| eval(draw, &Feeds::new().key("noise", host).step(step)).data[0];
    assert_eq!(at(5), f64::from(host.fold_in(3).uniform(0, 0, 5)));
    assert_ne!(at(5), at(6));
    assert_ne!(at(5), f64::from(host.uniform(0, 0, 5)));
}

#[test]
fn normals_have_zero_mean_and_unit_variance() {
    let g = Graph::new();
    let xi = g.key("noise").normal([1000, 100]);
    let data = eval(xi, &Feeds::new().key("noise", RngKey::new(4))).data;
    let (n, mean) = (data.len() as f64, data.iter().sum::<f64>() / data.len() as f64);
    let var = data.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
    // Five standard errors: one false alarm in 1.7e6, and the key is fixed.
    assert!(mean.abs() < 5.0 / n.sqrt(), "mean {mean}");
    assert!((var - 1.0).abs() < 5.0 * (2.0 / n).sqrt(), "variance {var}");
}
