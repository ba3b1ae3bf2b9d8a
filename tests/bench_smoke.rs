//! The workloads of `make bench` give right answers, the kernels of `cargo bench` and the problems of `make growth` run: the
//! same code, at sizes of a second.

#[path = "../benches/kernels/groups.rs"]
mod groups;
#[path = "../benches/workloads/suite/mod.rs"]
mod suite;
#[path = "../benches/growth/sweeps.rs"]
mod sweeps;

mod common;

use suite::{Bed, Figure, Scale, Workload};

/// What a workload answers at the smallest sizes, and how that is judged.
fn figures(workload: &Workload, spoil: impl Fn(&mut Vec<f64>)) -> Vec<Figure> {
    let sizes = workload.at(Scale::Tiny);
    let mut case = (workload.build)(&Bed { gpu: &common::gpu(), tuner: None }, sizes)
        .unwrap_or_else(|error| panic!("{}: {error}", workload.id));
    let mut answer = case.answer().unwrap_or_else(|error| panic!("{}: {error}", workload.id));
    spoil(&mut answer);
    let (cost, units) = (case.cost(), (workload.units)(sizes));
    assert!(cost.dispatches > 0 && cost.bytes > 0 && cost.flops > 0.0 && cost.steps > 0, "{} {cost:?}", workload.id);
    assert!(cost.dispatches == 1 || !cost.loops, "{} {cost:?}", workload.id);
    let larger = [Scale::Small, Scale::Full].map(|scale| (workload.units)(workload.at(scale)));
    assert!(units > 0.0 && units <= larger[0] && larger[0] <= larger[1], "{} {units} {}", workload.id, workload.unit);
    assert!(workload.target > 0.0, "{}", workload.id);
    (workload.score)(sizes, &answer).unwrap_or_else(|error| panic!("{}: {error}", workload.id))
}

#[test]
fn every_workload_answers_within_rounding_or_four_standard_errors() {
    for workload in suite::all() {
        for figure in figures(&workload, |_| ()) {
            assert!(figure.holds(), "{}: {figure:?}", workload.id);
        }
    }
}

#[test] // the control: each score must be able to fail
fn a_spoilt_answer_is_refused() {
    for workload in suite::all() {
        let spoilt = figures(&workload, |answer| answer.iter_mut().for_each(|value| *value *= 2.0));
        assert!(!spoilt.iter().all(Figure::holds), "{}: {spoilt:?}", workload.id);
    }
}

#[test]
fn a_timed_run_starts_again_from_the_start() {
    let heat = suite::fields::heat_2d();
    let mut case = (heat.build)(&Bed { gpu: &common::gpu(), tuner: None }, heat.at(Scale::Tiny)).unwrap();
    let first = case.answer().unwrap();
    let seconds = suite::time(&mut *case, 5).unwrap();
    assert_eq!(seconds.len(), 5);
    assert!(seconds[0] > 0.0 && suite::median(&seconds) >= seconds[0]);
    assert!(case.profile().unwrap().is_some_and(|profile| profile.seconds() > 0.0));
    assert_eq!(case.answer().unwrap(), first);
}

#[test]
fn peers_compute_from_the_same_numbers() {
    // What benches/peers/common.py gives for noise(4, 1) and noise(1, 7).
    assert_eq!(suite::noise(4, 1), [-0.984_469_7, 0.244_639_19, -0.940_450_8, -0.878_554]);
    assert_eq!(suite::noise(1, 7), [0.136_341_8]);
}

#[test]
fn every_kernel_of_cargo_bench_runs_without_a_fault_and_its_numbers_are_finite() {
    let gpu = common::gpu();
    for group in groups::all() {
        let kernels =
            (group.build)(&gpu, groups::Scale::Tiny).unwrap_or_else(|error| panic!("{}: {error}", group.name));
        assert!(!kernels.is_empty() && !group.unit.is_empty(), "{}", group.name);
        for mut kernel in kernels {
            let name = format!("{} {}", group.name, kernel.name);
            let time = groups::seconds(&mut kernel.session, 65).unwrap_or_else(|error| panic!("{name}: {error}"));
            kernel.session.check().unwrap_or_else(|error| panic!("{name}: {error}"));
            assert!(kernel.units > 0.0 && time.as_secs_f64() > 0.0 && kernel.session.step() == 65, "{name}");
            let written = |role| matches!(role, ergodic::plan::Role::State | ergodic::plan::Role::Output);
            for decl in kernel.session.plan().tensors().iter().filter(|decl| written(decl.role)) {
                let values = kernel.session.read::<f32>(&decl.name).and_then(|read| read.wait()).expect("numbers");
                assert!(
                    values.iter().all(|v| v.is_finite()) && values.iter().any(|v| *v != 0.0),
                    "{name}: {}",
                    decl.name
                );
            }
        }
    }
}

#[test]
fn every_sweep_runs_at_its_smallest_sizes_and_counts_its_memory() {
    for sweep in sweeps::all() {
        assert!(sweep.sizes.windows(2).all(|pair| pair[0] < pair[1]) && sweep.sizes.len() > 5, "{}", sweep.name);
        assert!(!sweep.along.is_empty() && !sweep.step.is_empty() && sweep.power >= 1.0, "{}", sweep.name);
        let points: Vec<_> = sweep.sizes[..2].iter().map(|&size| sweep.measure(size, 1).expect(sweep.name)).collect();
        for point in &points {
            assert!(point.seconds > 0.0 && point.compile_s > 0.0 && point.dispatches > 0, "{} {point:?}", sweep.name);
        }
        assert!(points[0].bytes < points[1].bytes, "{} {points:?}", sweep.name);
    }
}

#[test]
fn the_power_of_a_curve_is_that_of_its_larger_half() {
    let point = |size: usize, seconds: f64| sweeps::Point { size, seconds, bytes: 1, dispatches: 1, compile_s: 1.0 };
    let curve = |power: f64| -> Vec<_> {
        // The smaller half is flat, as launches make it.
        let cost = |size: usize| if size < 16 { 1.0 } else { (size as f64 / 16.0).powf(power) };
        (0..8).map(|i| point(1 << i, cost(1 << i))).collect()
    };
    for power in [1.0, 2.0, 0.5] {
        assert!((sweeps::exponent(&curve(power)) - power).abs() < 1e-12, "{power}");
    }
}
