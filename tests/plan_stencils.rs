//! Chains of stencils: several steps in one pass over memory give what the graph means, and the bits of one step at a time.

mod common;
#[path = "common/compare.rs"]
mod compare;

use compare::{assert_plan_close, both_by, noise};
use ergodic::gpu::{Gpu, Tensor};
use ergodic::graph::{Boundary, Graph, Tap, Var};
use ergodic::plan::{Bindings, CompileOptions, Plan, Session, Stencils};

const EPS: f64 = f32::EPSILON as f64;
const BOUNDARIES: [Boundary; 2] = [Boundary::Periodic, Boundary::Zero];

fn compile(gpu: &Gpu, outputs: &[(&str, Var<'_>)], stencils: Stencils) -> Plan {
    let options = CompileOptions { stencils, ..CompileOptions::labelled("field") };
    Plan::compile(gpu, outputs, &options).unwrap()
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

/// Each output equals its f64 meaning, and the same bits come out one stencil at a time. An output of `steps` steps whose
/// weights have an absolute sum below 1 rounds each step by a few units: 16 of them are a bound for the steps here.
fn check(what: &str, steps: usize, build: impl for<'g> Fn(&'g Graph) -> Vec<(&'static str, Var<'g>)>) {
    check_bits(what, steps, true, build);
}

/// The same; `bits` if they must agree. Where a field is so short that taps meet in one cell, a driver adds up their weights
/// first as long as it sees that, which is in one kernel and not in the other.
fn check_bits(what: &str, steps: usize, bits: bool, build: impl for<'g> Fn(&'g Graph) -> Vec<(&'static str, Var<'g>)>) {
    for (tier, gpu) in common::gpus() {
        let (what, graph) = (format!("{what} on {tier}"), Graph::new());
        let outputs = build(&graph);
        let plan = compile(&gpu, &outputs, Stencils::Auto);
        assert_eq!(gpu.caps().is_software(), !passes(&plan).is_empty(), "{what}: {}", plan.report());
        assert_plan_close(&what, &plan, &graph, &outputs, 16.0 * EPS * steps as f64);
        let single = compile(&gpu, &outputs, Stencils::Single);
        assert!(passes(&single).is_empty(), "{what}: {}", single.report());
        if bits {
            assert_eq!(
                both_by(&plan, &graph, &outputs).unwrap(),
                both_by(&single, &graph, &outputs).unwrap(),
                "{what}"
            );
        }
    }
}

fn reacts(u: Var<'_>) -> Var<'_> {
    (u - u * u * u) * 0.05
}

#[test]
fn lines_of_any_length_and_boundary() {
    for boundary in BOUNDARIES {
        for n in [1, 2, 3, 4, 5, 7, 8, 13, 64, 67, 255, 256, 257, 1031] {
            for (radius, steps) in [(1, 4), (2, 5)] {
                let apart = n > 2 * radius as usize;
                check_bits(&format!("{n} cells, radius {radius}, {boundary:?}"), steps, apart, |g| {
                    let u = g.input("u", [n]);
                    vec![("u", (0..steps).fold(u, |u, _| u.stencil(&line(radius), boundary) + reacts(u)))]
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
                vec![("v", (0..6).fold(u, |u, _| u.stencil(&line(1), boundary) + reacts(u)))]
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
                check_bits(&format!("{shape:?}, radius {radius}, {steps} steps, {boundary:?}"), steps, apart, |g| {
                    let u = g.input("u", shape);
                    vec![("u", (0..steps).fold(u, |u, _| u.stencil(&plane(radius), boundary) + reacts(u)))]
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
                let (plan, single) =
                    (compile(&gpu, &outputs, Stencils::Auto), compile(&gpu, &outputs, Stencils::Single));
                let together = plan.report().steps_together();
                assert!(!gpu.caps().is_software() || together >= 4, "{tier} {shape:?}: {}", plan.report());
                let total = 2 * together + 7;
                let long = after(&plan, shape, &[total]);
                assert_eq!(long, after(&plan, shape, &[1, together, 3, total - together - 4]), "{tier} {shape:?}");
                assert_eq!(long, after(&plan, shape, &vec![1; total as usize]), "{tier} {shape:?}");
                assert_eq!(long, after(&single, shape, &[total]), "{tier} {shape:?} {boundary:?}");
            }
        }
    }
}
