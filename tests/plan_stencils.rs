//! Chains of stencils: several steps in one pass over memory give what the graph means, and the bits of one step at a time.

mod common;
#[path = "common/compare.rs"]
mod compare;

use compare::{assert_plan_close, both_by, noise};
use ergodic::autodiff::grad;
use ergodic::gpu::{Gpu, Tensor};
use ergodic::graph::{Boundary, DType, Graph, Tap, Var};
use ergodic::plan::{Bindings, CompileOptions, Plan, Session, Stencils};

const EPS: f64 = f32::EPSILON as f64;
const BOUNDARIES: [Boundary; 2] = [Boundary::Periodic, Boundary::Zero];

fn compile(gpu: &Gpu, outputs: &[(&str, Var<'_>)], stencils: Stencils) -> Plan {
    let options = CompileOptions { stencils, ..CompileOptions::labelled("field") };
    Plan::compile(gpu, outputs, &options).unwrap()
}

/// The ways to cut fields into tiles: both on a software adapter; a GPU would compile long tiles for minutes.
fn cuts(gpu: &Gpu) -> &'static [Stencils] {
    if gpu.caps().is_software() { &[Stencils::Long, Stencils::Short] } else { &[Stencils::Short] }
}

/// Whether a device has passes cut in this way for these outputs: short tiles are subgroups, and lie across lines side by side.
fn has_passes(gpu: &Gpu, cut: Stencils, outputs: &[(&str, Var<'_>)]) -> bool {
    let subgroups = gpu.caps().subgroups.is_some_and(|(low, high)| low == high);
    cut == Stencils::Long || (subgroups && outputs.iter().any(|(_, var)| var.shape().len() > 1))
}

fn line(radius: i32) -> Vec<Tap> {
    let weights = [0.5, 0.2, -0.1, 0.15, 0.05];
    (0..)
        .zip([0, -1, 1, -2, 2])
        .take_while(|(_, by): &(usize, i32)| by.abs() <= radius)
        .map(|(i, by)| Tap::new([by], weights[i]))
        .collect()
}

fn plane(radius: i32) -> Vec<Tap> {
    let far = [([0, 0], 0.4), ([-1, 0], 0.2), ([1, 0], -0.1), ([0, -1], 0.15), ([0, 1], 0.05), ([1, -1], 0.07)];
    let wide = [([-2, 1], 0.03), ([0, 2], -0.05), ([2, 0], 0.02)];
    let all = far.into_iter().chain(wide.into_iter().filter(|_| radius > 1));
    all.map(|(at, weight)| Tap::new(at, weight)).collect()
}

/// Passes of stencils that a plan has, by the number of steps in each.
fn passes(plan: &Plan) -> Vec<usize> {
    let steps = |what: &str| what.split_once(" stencil step")?.0.parse().ok();
    plan.dispatches().iter().filter_map(|dispatch| steps(&dispatch.what)).collect()
}

/// Each output equals its f64 meaning, and on a software adapter the same bits come out one stencil at a time: a GPU's compiler may
/// contract a product and a sum in one kernel and not in the other. An output of `steps` steps whose
/// weights have an absolute sum below 1 rounds each step by a few units: 16 of them are a bound for the steps here.
fn check(what: &str, steps: usize, build: impl for<'g> Fn(&'g Graph) -> Vec<(&'static str, Var<'g>)>) {
    check_bits(what, steps, (true, true), build);
}

/// The same; `bits` if they must agree. Where a field is so short that taps meet in one cell, a driver adds up their weights
/// first as long as it sees that, which is in one kernel and not in the other. `passed` if there are passes: fields of fewer than
/// three cells along an axis have none.
fn check_bits(
    what: &str,
    steps: usize,
    (passed, bits): (bool, bool),
    build: impl for<'g> Fn(&'g Graph) -> Vec<(&'static str, Var<'g>)>,
) {
    for (tier, gpu) in common::gpus() {
        let graph = Graph::new();
        let outputs = build(&graph);
        let single = compile(&gpu, &outputs, Stencils::Single);
        assert!(passes(&single).is_empty(), "{what}: {}", single.report());
        let alone = both_by(&single, &graph, &outputs).unwrap();
        for &cut in cuts(&gpu) {
            let what = format!("{what} on {tier}, {cut:?}");
            let plan = compile(&gpu, &outputs, cut);
            let wanted = passed && has_passes(&gpu, cut, &outputs);
            assert_eq!(wanted, !passes(&plan).is_empty(), "{what}: {}", plan.report());
            assert_plan_close(&what, &plan, &graph, &outputs, 16.0 * EPS * steps as f64);
            if bits && gpu.caps().is_software() {
                assert_eq!(both_by(&plan, &graph, &outputs).unwrap(), alone, "{what}");
            }
        }
    }
}

fn reacts(u: Var<'_>) -> Var<'_> {
    (u - u * u * u) * 0.05
}

fn stepped<'g>(u: Var<'g>, taps: &[Tap], boundary: Boundary) -> Var<'g> {
    u.stencil(taps, boundary) + reacts(u)
}

#[test]
fn lines_of_any_length_and_boundary() {
    for boundary in BOUNDARIES {
        for n in [1, 2, 3, 4, 5, 7, 8, 13, 64, 67, 255, 256, 257, 1031] {
            for (radius, steps) in [(1, 4), (2, 5)] {
                let apart = n > 2 * radius as usize;
                check_bits(&format!("{n} cells, radius {radius}, {boundary:?}"), steps, (n > 2, apart), |g| {
                    let u = g.input("u", [n]);
                    vec![("v", (0..steps).fold(u, |u, _| stepped(u, &line(radius), boundary)))]
                });
            }
        }
    }
}

#[test]
fn batches_of_lines() {
    for boundary in BOUNDARIES {
        for shape in [&[3, 68][..], &[2, 3, 128], &[37, 101], &[1, 1000]] {
            check(&format!("{shape:?}, {boundary:?}"), 6, |g| {
                let u = g.input("u", shape);
                vec![("v", (0..6).fold(u, |u, _| stepped(u, &line(1), boundary)))]
            });
        }
    }
}

#[test]
fn planes_of_any_size_and_boundary() {
    for boundary in BOUNDARIES {
        for shape in [&[1, 1][..], &[1, 2], &[2, 1], &[3, 3], &[5, 7], &[17, 4], &[8, 96], &[31, 113], &[2, 33, 64]] {
            for (radius, steps) in [(1, 3), (2, 2), (1, 1)] {
                let apart = shape.iter().rev().take(2).all(|&n| n > 2 * radius as usize);
                let passed = shape.iter().rev().take(2).all(|&n| n > 2);
                let what = format!("{shape:?}, radius {radius}, {steps} steps, {boundary:?}");
                check_bits(&what, steps, (passed, apart), |g| {
                    let u = g.input("u", shape);
                    vec![("v", (0..steps).fold(u, |u, _| stepped(u, &plane(radius), boundary)))]
                });
            }
        }
    }
}

/// The state after runs of these lengths, and what one plan step means.
fn after(plan: &Plan, shape: &[usize], runs: &[u64]) -> Vec<f32> {
    let u = Tensor::from_slice(plan.gpu(), "u", shape, &noise(shape.iter().product(), 3)).unwrap();
    let mut session = Session::new(plan, Bindings::new().tensor("u", &u).scalar("rate", 0.05)).unwrap();
    runs.iter().for_each(|&steps| session.run(steps).unwrap());
    session.check().unwrap();
    assert_eq!(session.step(), runs.iter().sum::<u64>());
    u.read::<f32>().unwrap().wait().unwrap()
}

#[test]
fn runs_of_a_step_equal_one_long_run_and_single_steps_bit_for_bit() {
    for (tier, gpu) in common::gpus() {
        for (shape, taps) in
            [(&[37, 131][..], plane(1)), (&[2, 60, 64], plane(1)), (&[3, 256], line(1)), (&[211], line(2))]
        {
            for boundary in BOUNDARIES {
                let g = Graph::new();
                let u = g.input("u", shape);
                let outputs = [("u", u.stencil(&taps, boundary) + (u - u * u * u) * g.input("rate", []))];
                let single = compile(&gpu, &outputs, Stencils::Single);
                for &cut in cuts(&gpu) {
                    let (plan, what) = (compile(&gpu, &outputs, cut), format!("{tier} {shape:?} {cut:?} {boundary:?}"));
                    let together = plan.report().steps_together();
                    assert_eq!(has_passes(&gpu, cut, &outputs), together >= 4, "{what}: {}", plan.report());
                    let total = 2 * together + 7;
                    let long = after(&plan, shape, &[total]);
                    // Bit for bit; on a GPU within what each step may round in another way, as in `check`.
                    let bound = if gpu.caps().is_software() { 0.0 } else { 16.0 * EPS * total as f64 };
                    let same = |other: Vec<f32>| long.iter().zip(other).all(|(a, b)| f64::from(a - b).abs() <= bound);
                    assert!(same(after(&plan, shape, &[1, together, 3, total - together - 4])), "{what}");
                    assert!(same(after(&plan, shape, &vec![1; total as usize])), "{what}");
                    assert!(same(after(&single, shape, &[total])), "{what}");
                }
            }
        }
    }
}

#[test]
fn fields_that_do_not_step_may_enter() {
    for boundary in BOUNDARIES {
        for shape in [&[41, 97][..], &[2, 24, 64]] {
            check(&format!("sources of {shape:?}, {boundary:?}"), 3, |g| {
                let u = g.input("u", shape);
                let (across, along) =
                    (g.input("across", &shape[shape.len() - 1..]), g.input("along", [shape[shape.len() - 2], 1]));
                let source = (g.input("source", shape) * 0.3).sin();
                let place = g.iota(shape.len() - 1, shape).cast(DType::F32) * 1e-3;
                let (across, along) = (across.broadcast_to(shape), along.broadcast_to(shape));
                let added = source * g.input("rate", []) * 0.1;
                let step = (0..3)
                    .fold(u, |u, _| u.stencil(&plane(1), boundary) * (across * 0.1 + 0.9) + added + along * place);
                vec![("u", step)]
            });
        }
        check(&format!("a line between walls, {boundary:?}"), 4, |g| {
            let (u, wall) = (g.input("u", [3, 130]), g.input("wall", [3, 130]));
            let inner = (0..4).fold(u * 0.5, |u, _| wall.lt(0.0).select(u.stencil(&line(1), boundary), wall * 0.5));
            vec![("v", inner)]
        });
    }
}

#[test]
fn systems_of_fields_step_together() {
    for shape in [&[150][..], &[19, 70]] {
        let taps = if shape.len() == 1 { line(1) } else { plane(1) };
        // Two species that react, both diffuse; the second output keeps what a step before the last had.
        check(&format!("two species on {shape:?}"), 5, |g| {
            let (mut u, mut v) = (g.input("u", shape), g.input("v", shape));
            let mut before = u;
            for _ in 0..4 {
                let reaction = u * v * v * 0.1;
                before = u;
                (u, v) =
                    (u.stencil(&taps, Boundary::Zero) - reaction, v.stencil(&taps, Boundary::Zero) * 0.5 + reaction);
            }
            vec![("u", u), ("v", v), ("before", before * 2.0)]
        });
        // Leapfrog: the step before the last is read where it is, and only there.
        check(&format!("a wave on {shape:?}"), 20, |g| {
            let (mut now, mut before) = (g.input("now", shape), g.input("before", shape));
            for _ in 0..5 {
                (now, before) = (now.stencil(&taps, Boundary::Periodic) + now * 0.4 - before * 0.5, now);
            }
            vec![("now", now), ("before", before)]
        });
    }
}

#[test]
fn axes_that_end_in_different_ways_share_a_pass() {
    let rows = [Tap::new([-1, 0], 0.2), Tap::new([1, 0], 0.1)];
    let columns = [Tap::new([0, -1], 0.15), Tap::new([0, 1], 0.05), Tap::new([0, 0], 0.3)];
    let [ring, wall] = BOUNDARIES;
    for shape in [&[41, 97][..], &[3, 24, 64], &[5, 7]] {
        for (along, across) in [(ring, wall), (wall, ring)] {
            check(&format!("{shape:?}, {along:?} and {across:?}"), 4, |g| {
                let u = (0..4).fold(g.input("u", shape), |u, _| {
                    u.stencil(&rows, along) + u.stencil(&columns, across) + reacts(u)
                });
                vec![("v", u)]
            });
        }
    }
    for (tier, gpu) in common::gpus() {
        let g = Graph::new();
        let u = g.input("u", [64, 96]);
        let next = u.stencil(&rows, ring) + u.stencil(&columns, wall);
        for &cut in cuts(&gpu) {
            let plan = compile(&gpu, &[("u", next)], cut);
            let possible = has_passes(&gpu, cut, &[("u", next)]);
            assert_eq!(possible, plan.report().steps_together() >= 4, "{tier} {cut:?}: {}", plan.report());
        }
    }
}

#[test]
fn what_is_read_on_the_way_is_stored() {
    check("means between steps", 6, |g| {
        let u = g.input("u", [23, 90]);
        let middle = stepped(stepped(u, &plane(1), Boundary::Periodic), &plane(1), Boundary::Periodic);
        // The mean needs the whole field, so the pass ends there.
        let centred = middle - middle.mean_all().broadcast_to([23, 90]);
        let last = stepped(stepped(centred, &plane(1), Boundary::Periodic), &plane(1), Boundary::Periodic);
        vec![
            ("u", last),
            ("middle", middle),
            ("energy", last.square().mean(1)),
            ("shifted", last.slice([0, 3], [23, 37]).exp()),
        ]
    });
    check("two boundaries", 4, |g| {
        let u = g.input("u", [1, 77]);
        let order = [Boundary::Periodic, Boundary::Zero, Boundary::Zero, Boundary::Periodic];
        vec![("u", order.iter().fold(u, |u, &boundary| stepped(u, &line(1), boundary)))]
    });
    check("noise in every cell", 8, |g| {
        let (u, key) = (g.input("u", [21, 66]), g.key("noise"));
        let noise = |k| key.fold_in(k).normal([21, 66]) * 0.1;
        vec![("u", (1..3).fold(u, |u, k| u.stencil(&plane(1), Boundary::Periodic) + noise(k)))]
    });
    check("a gradient through a chain", 40, |g| {
        let u = g.input("u", [18, 68]);
        let last = (0..3).fold(u, |u, _| stepped(u, &plane(1), Boundary::Zero));
        vec![("grad", grad(last.square().sum_all() * 0.5, u).unwrap())]
    });
}

#[test]
fn more_tiles_than_a_grid_has_groups_along_one_axis() {
    check("70000 planes", 2, |g| {
        let u = g.input("u", [70_000, 5, 13]);
        vec![("u", (0..2).fold(u, |u, _| stepped(u, &plane(1), Boundary::Periodic)))]
    });
}

#[test]
fn what_no_pass_takes_is_computed_as_it_was_and_the_report_says_why() {
    for (tier, gpu) in common::gpus() {
        let said = |g: &Graph, what: &str, outputs: &[(&str, Var<'_>)], taken: bool, note: &str| {
            for &cut in cuts(&gpu) {
                let (plan, possible) = (compile(&gpu, outputs, cut), has_passes(&gpu, cut, outputs));
                let report = plan.report().to_string();
                assert_eq!(possible && taken, !passes(&plan).is_empty(), "{what} on {tier}: {report}");
                assert!(!possible || report.contains(note), "{what} on {tier}: {report}");
                assert_plan_close(what, &plan, g, outputs, 64.0 * EPS);
            }
        };
        let g = Graph::new();
        let cube = [Tap::new([0, 0, 0], 0.5), Tap::new([1, 0, 0], 0.2), Tap::new([0, 0, -1], 0.2)];
        let (u, rows) = (g.input("u", [5, 6, 70]), g.input("rows", [90, 20]));
        said(&g, "three axes", &[("u", u.stencil(&cube, Boundary::Periodic))], false, "plan");
        said(&g, "rows in scalars", &[("rows", rows.stencil(&line(1), Boundary::Periodic))], false, "loops over steps");
        let v = g.input("v", [20, 70]);
        let noisy = v.stencil(&plane(1), Boundary::Zero) + g.key("k").normal([20, 70]) * 0.1;
        said(&g, "noise", &[("v", noisy)], true, "one by one: it depends on the number of the step");
        let many = (0..8).map(|i| g.input(&format!("c{i}"), [20, 70])).fold(v, |sum, c| sum + c);
        let few = gpu.caps().storage_bindings() < 12;
        if !few {
            said(
                &g,
                "eight sources",
                &[("v", many.stencil(&plane(1), Boundary::Zero) + many)],
                true,
                "steps of a run together",
            );
        }
        let chain = (0..40).fold(v, |v, _| v.stencil(&plane(1), Boundary::Zero));
        said(&g, "a long chain", &[("v", chain)], true, "one by one: a step is a chain itself");
        let plan = compile(&gpu, &[("v", v.stencil(&plane(1), Boundary::Zero))], Stencils::Single);
        assert_eq!(plan.report().steps_together(), 1);
        assert!(plan.report().to_string().contains("stencils are computed one at a time: it was asked for"));
    }
}

#[test] // the control: were a cell of the halo wrong, the comparison would tell
fn one_more_step_is_not_the_same() {
    for (_, gpu) in common::gpus() {
        let g = Graph::new();
        let u = g.input("u", [33, 80]);
        let of = |steps: usize| [("u", (0..steps).fold(u, |u, _| u.stencil(&plane(1), Boundary::Periodic)))];
        for &cut in cuts(&gpu) {
            let after = |steps| both_by(&compile(&gpu, &of(steps), cut), &g, &of(steps)).unwrap().remove(0).0;
            let apart = after(4).iter().zip(after(5)).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(apart > 1e3 * 16.0 * EPS * 5.0, "{apart}");
        }
    }
}

#[test]
fn dear_sources_are_computed_once_for_all_steps() {
    for (tier, gpu) in common::gpus() {
        let g = Graph::new();
        let (u, source) = (g.input("u", [40, 72]), g.input("source", [40, 72]).sin() * 0.1);
        let chain = (0..4).fold(u, |u, _| u.stencil(&plane(1), Boundary::Periodic) + source);
        for &cut in cuts(&gpu) {
            let plan = compile(&gpu, &[("v", chain)], cut);
            let said = plan.report().to_string().contains("mul [40, 72]: the same in several steps");
            assert_eq!(said, has_passes(&gpu, cut, &[("v", chain)]), "{tier}: {}", plan.report());
            assert_plan_close(tier, &plan, &g, &[("v", chain)], 64.0 * EPS);
        }
    }
}
