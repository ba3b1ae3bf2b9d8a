//! Rows of more numbers than one invocation holds: samplers on analytic energies stay one dispatch for many steps.
//!
//! Where subgroups have one size, the columns of a row are spread over the lanes of one. Sums there have a chain of at most
//! 16 additions (a tree in each lane, then the lanes), so a sum of terms below `t` is off by `16 eps d t`.

mod common;
#[path = "common/compare.rs"]
mod compare;

use compare::{assert_close, noise};
use ergodic::autodiff::grad;
use ergodic::dynamics::{Kernel, LangevinOptions, Schedule, Start, WeightedLangevin};
use ergodic::gpu::{Gpu, Tensor};
use ergodic::graph::{DType, Feeds, Graph, Var};
use ergodic::plan::{Bindings, CompileOptions, Plan, Role, Session};
use ergodic::random::RngKey;
use ergodic::{Error, Fault};

const EPS: f64 = f32::EPSILON as f64;
/// One past registers, a prime of odd tails, a whole number of chunks, tails of whole vectors, and the widest of eight lanes.
const WIDTHS: [usize; 5] = [65, 127, 128, 200, 512];

fn compile(gpu: &Gpu, outputs: &[(&str, Var<'_>)]) -> Plan {
    Plan::compile(gpu, outputs, &CompileOptions::labelled("wide rows")).unwrap_or_else(|error| panic!("{error}"))
}

/// Whether rows can be spread over lanes.
fn has_lanes(gpu: &Gpu) -> bool {
    gpu.caps().subgroups.is_some_and(|(low, high)| low == high && low % 4 == 0)
}

/// Whether all widths of these tests fit: with four lanes, as one software adapter has them, the widest rows do not.
fn decided(gpu: &Gpu) -> bool {
    gpu.caps().subgroups.is_none_or(|(low, _)| low >= 8)
}

/// `x - h grad U + sqrt(2h) xi` for unit wells at two means.
fn two_wells(g: &Graph, n: usize, d: usize, h: f64) -> Var<'_> {
    let (x, means) = (g.input("x", [n, d]), g.input("means", [2, d]));
    let well = |k: usize| (x - means.narrow(0, k, 1).reshape([d])).square().sum(1) * 0.5;
    let energy = well(0) - (well(0) - well(1)).softplus();
    x - grad(energy, x).unwrap() * h + g.key("noise").normal([n, d]) * f64::sqrt(2.0 * h)
}

/// A session with noise in every input, scaled, and its tensors by name.
fn session(plan: &Plan, scale: f32) -> Session {
    let mut bindings = Bindings::new();
    for (decl, i) in plan.tensors().iter().zip(0..).filter(|(d, _)| matches!(d.role, Role::Input | Role::State)) {
        assert_eq!(decl.dtype, DType::F32);
        let data: Vec<_> = noise(decl.shape.numel(), 10 + i).into_iter().map(|x| x * scale).collect();
        let tensor = Tensor::from_slice(plan.gpu(), &decl.name, &decl.shape, &data).unwrap();
        bindings = bindings.tensor(&decl.name, &tensor);
    }
    bindings = plan.keys().iter().fold(bindings, |all, key| all.key(&key.name, RngKey::new(5)));
    Session::new(plan, bindings).unwrap()
}

fn state(session: &Session, name: &str) -> Vec<f32> {
    session.read::<f32>(name).unwrap().wait().unwrap()
}

/// Run so many steps on the device and in f64, and compare every output within `tolerance * (1 + |want|)`.
fn check_steps(what: &str, plan: &Plan, g: &Graph, outputs: &[(&str, Var<'_>)], steps: u64, tolerance: f64) {
    let mut session = session(plan, 1.0);
    let mut feeds = plan.keys().iter().fold(Feeds::new(), |all, key| all.key(&key.name, RngKey::new(5)));
    for decl in plan.tensors().iter().filter(|d| matches!(d.role, Role::Input | Role::State)) {
        feeds = feeds.tensor(&decl.name, state(&session, &decl.name).into_iter().map(f64::from).collect::<Vec<_>>());
    }
    session.run(steps).unwrap();
    session.check().unwrap();
    let mut want = vec![];
    for _ in 0..steps {
        want = g.eval_step(outputs, &mut feeds).unwrap();
    }
    for ((name, _), want) in outputs.iter().zip(&want) {
        for (i, (got, want)) in state(&session, name).iter().zip(&want.data).enumerate() {
            let bound = tolerance * (1.0 + want.abs());
            let off = (f64::from(*got) - want).abs();
            assert!(off <= bound, "{what}: `{name}`[{i}] is {got}, not {want} within {bound:e}: {:#}", plan.report());
        }
    }
}

#[test]
fn a_sampler_is_one_dispatch_for_many_steps_at_any_width() {
    let h = 0.05;
    for (tier, gpu) in common::gpus() {
        for (n, d) in WIDTHS.into_iter().flat_map(|d| [(1, d), (67, d)]) {
            let g = Graph::new();
            let outputs = [("x", two_wells(&g, n, d, h))];
            let plan = compile(&gpu, &outputs);
            let report = plan.report();
            let spread = report.loops_over_steps();
            assert!(!decided(&gpu) || spread == has_lanes(&gpu), "{n} x {d} on {tier}: {report}");
            assert!(has_lanes(&gpu) || report.to_string().contains("no subgroups"), "{tier}: {report}");
            // Terms are below 2 and the weight of a well is 1/4 as steep as their difference; |means| < 1. Normals: 16 eps.
            let tolerance = h * 2.0 * 0.25 * 2.0 * (16.0 * EPS * 2.0 * d as f64) + 32.0 * EPS;
            check_steps(&format!("{n} x {d} on {tier}"), &plan, &g, &outputs, 1, tolerance);
        }
    }
}

#[test]
fn n_runs_of_k_steps_equal_one_run_bit_for_bit() {
    for (tier, gpu) in common::gpus() {
        for d in [127, 200] {
            let g = Graph::new();
            let plan = compile(&gpu, &[("x", two_wells(&g, 33, d, 0.1))]);
            let run = |chunks: &[u64]| {
                let mut session = session(&plan, 1.0);
                chunks.iter().for_each(|&steps| session.run(steps).unwrap());
                session.check().unwrap();
                state(&session, "x")
            };
            assert_eq!(run(&[12]), run(&[5, 1, 6]), "{d} columns on {tier}");
        }
    }
}

/// Three wells at once as one array of three axes, a bond between two single columns, the largest column, temperatures by
/// row and by column, projections by products, a schedule that is looked up by the step, and a momentum.
fn everything(g: &Graph, n: usize, d: usize) -> Vec<(&'static str, Var<'_>)> {
    let (x, p) = (g.input("x", [n, d]), g.input("p", [n, d]));
    let (means, scales, heat) = (g.input("means", [3, d]), g.input("scales", [d]), g.input("heat", [n]));
    let distances = (x.unsqueeze(1) - means).square().sum(2) / d as f64;
    let wells = -((distances * -0.5).logsumexp(1));
    let bond = (x.narrow(1, 1, 1) - x.narrow(1, d - 1, 1) * 0.5).square().sum(1) * 0.5;
    let projected = x.matmul(means.permute([1, 0])) / d as f64;
    let back = projected.tanh().matmul(means) * 0.1;
    let energy = wells + bond + (x * scales).sin().sum(1) / d as f64;
    let pull = grad(energy, x).unwrap() + back;
    let strength = g.input("schedule", [4]).gather(g.step() - g.step() / 4 * 4);
    let xi = g.key("noise").normal([n, d]);
    let p1 = p * 0.9 - pull * 0.1 + xi * (heat.abs() * 0.1).unsqueeze(1) * strength;
    let work = (xi.square().sum(1) - (p1 * p).sum(1)) / d as f64 + p1.max_over(1);
    vec![("x", x + p1 * 0.1), ("p", p1), ("energy", energy), ("work", work), ("projected", projected)]
}

#[test]
fn single_columns_sums_products_and_tables_mean_what_the_graph_says() {
    for (tier, gpu) in common::gpus() {
        for (n, d) in [(1, 72), (37, 101), (130, 256)] {
            let g = Graph::new();
            let outputs = everything(&g, n, d);
            let plan = compile(&gpu, &outputs);
            let spread = plan.report().loops_over_steps();
            assert!(!decided(&gpu) || spread == has_lanes(&gpu), "{tier}: {}", plan.report());
            // Sums are divided by d, so each is off by 16 eps times terms below 8; three steps that do not amplify.
            check_steps(&format!("{n} x {d} on {tier}"), &plan, &g, &outputs, 3, 3.0 * 16.0 * 8.0 * EPS);
        }
    }
}

#[test]
fn elements_that_need_no_sum_are_a_loop_too() {
    for (tier, gpu) in common::gpus() {
        let (n, d) = (50, 130);
        let g = Graph::new();
        let x = g.input("x", [n, d]);
        let outputs = [("x", x - (x * x.square() - x) * 0.1 + g.key("noise").normal([n, d]) * 0.1)];
        let plan = compile(&gpu, &outputs);
        assert_eq!(plan.report().loops_over_steps(), has_lanes(&gpu), "{tier}: {}", plan.report());
        check_steps(tier, &plan, &g, &outputs, 3, 64.0 * EPS);
    }
}

#[test]
fn rows_that_cannot_be_spread_have_other_kernels_and_the_report_says_why() {
    type Step = for<'g> fn(&'g Graph) -> Var<'g>;
    let chain: Step = |g| {
        let x = g.input("x", [60, 100]);
        let ahead = Var::concat(&[x.narrow(1, 1, 99), x.narrow(1, 0, 1)], 1).unwrap();
        x * 0.5 + ahead * 0.25
    };
    let mixed: Step = |g| {
        let x = g.input("x", [60, 100]);
        x * 0.5 + x.mean(0) * 0.25
    };
    let long: Step = |g| g.input("x", [3, 20_000]) * 0.5;
    for (tier, gpu) in common::gpus() {
        for (step, reason) in [(chain, "other width"), (mixed, "rows mix"), (long, "too long")] {
            let g = Graph::new();
            let outputs = [("x", step(&g))];
            let plan = compile(&gpu, &outputs);
            let report = plan.report().to_string();
            assert!(!plan.report().loops_over_steps(), "{tier}: {report}");
            assert!(report.contains(if has_lanes(&gpu) { reason } else { "no subgroups" }), "{tier}: {report}");
            assert_close(tier, &gpu, &g, &outputs, 64.0 * EPS);
        }
    }
}

#[test]
fn a_column_that_is_not_finite_raises_the_fault_word_and_padding_does_not() {
    for (tier, gpu) in common::gpus() {
        for d in [65, 68, 126] {
            let g = Graph::new();
            let (x, y) = (g.input("x", [9, d]), g.input("y", [9]));
            // 1 / (column + 1 - d) is infinite one past the last column only.
            let outputs = [("x", x * x / (g.iota(1, [9, d]).cast(DType::F32) - d as f64)), ("y", y + x.sum(1) * 0.0)];
            let plan = compile(&gpu, &outputs);
            for bad in [None, Some(4 * d), Some(5 * d - 1)] {
                let mut data = vec![1.0; 9 * d];
                bad.into_iter().for_each(|i: usize| data[i] = 1e25);
                let x = Tensor::from_slice(&gpu, "x", &[9, d], &data).unwrap();
                let y = Tensor::from_slice(&gpu, "y", &[9], &[0.0; 9]).unwrap();
                let mut session = Session::new(&plan, Bindings::new().tensor("x", &x).tensor("y", &y)).unwrap();
                session.run(2).unwrap();
                match (bad, session.check()) {
                    (None, Ok(())) | (Some(_), Err(Error::Fault { word: Fault::NON_FINITE, step: 2, .. })) => {}
                    (_, other) => panic!("{d} columns on {tier}, bad {bad:?}: {other:?}"),
                }
            }
        }
    }
}

#[test]
fn rows_beyond_the_largest_grid_are_computed() {
    for (tier, gpu) in common::gpus() {
        let (n, d, period) = (65_535 + 70, 65, 97);
        let g = Graph::new();
        let x = g.input("x", [n, d]);
        let plan = compile(&gpu, &[("x", x * 0.5 + x.sum(1).unsqueeze(1))]);
        let one = noise(period * d, 7);
        let all: Vec<f32> = one.iter().copied().cycle().take(n * d).collect();
        let x = Tensor::from_slice(&gpu, "x", &[n, d], &all).unwrap();
        let mut session = Session::new(&plan, Bindings::new().tensor("x", &x)).unwrap();
        session.run(1).unwrap();
        let x = x.read::<f32>().unwrap().wait().unwrap();
        let want = |i: usize| one[i % (period * d)] * 0.5 + one[i / d % period * d..][..d].iter().sum::<f32>();
        let bound = 16.0 * EPS * d as f64;
        let wrong = (0..n * d).find(|&i| f64::from((x[i] - want(i)).abs()) > bound);
        assert_eq!(wrong, None, "{tier}");
    }
}

/// `U = |x|^2/2 + a (sum x)^2/(2 d)`: along the diagonal the stiffness is `1 + a`, across it 1. Unadjusted Langevin at
/// stiffness `s` is stationary at the variance `1 / (s (1 - s h/2))`.
#[test]
fn a_gaussian_of_128_dimensions_has_the_exact_variance_of_its_scheme() {
    let (n, d, h, a) = (2048, 128, 0.2, 2.0);
    for (tier, gpu) in common::gpus() {
        let g = Graph::new();
        let x = g.input("x", [n, d]);
        let energy = x.square().sum(1) * 0.5 + x.sum(1).square() * (a / (2.0 * d as f64));
        let moved = x - grad(energy, x).unwrap() * h + g.key("noise").normal([n, d]) * f64::sqrt(2.0 * h);
        let plan = compile(&gpu, &[("x", moved)]);
        let mut session = session(&plan, 1.0);
        session.run(60).unwrap(); // the memory of the start is 0.8^120 of the variance
        session.check().unwrap();
        let x = state(&session, "x");
        let along: Vec<f64> =
            x.chunks(d).map(|row| row.iter().map(|&x| f64::from(x)).sum::<f64>() / (d as f64).sqrt()).collect();
        let square = |xs: &[f64]| xs.iter().map(|x| x * x).sum::<f64>();
        let whole: f64 = x.iter().map(|&x| f64::from(x).powi(2)).sum();
        let across = whole - square(&along);
        let exact = |s: f64| 1.0 / (s * (1.0 - s * h / 2.0));
        for (name, sum, count, s) in [("along", square(&along), n, 1.0 + a), ("across", across, n * (d - 1), 1.0)] {
            // A variance from so many independent normals is known to sqrt(2/count): four of these, 6e-5 of false alarms.
            let (got, error) = (sum / count as f64, (2.0 / count as f64).sqrt());
            assert!((got / exact(s) - 1.0).abs() < 4.0 * error, "{name} on {tier}: {got}, exact {}", exact(s));
            // The control: the variance of the continuous process is another one, further off than that.
            assert!((got * s - 1.0).abs() > 4.0 * error, "{name} on {tier}: {got}");
        }
    }
}

/// A Gaussian of 96 dimensions that widens from 1 to 1.1 in 100 steps: `log Z` grows by `96 log 1.1`, whatever the kernel.
#[test]
fn every_kernel_gives_the_free_energy_of_96_dimensions() {
    let (gpu, n, d, steps) = (common::gpu(), 2048, 96, 100);
    for kernel in
        [Kernel::Ula, Kernel::ClippedUla { max_drift: 0.4 }, Kernel::Mala, Kernel::Underdamped { friction: 1.0 }]
    {
        let g = Graph::new();
        let (x, sigma) = (g.input("x", [n, d]), g.input("sigma", []));
        let energy = x.square().sum(1) / (2.0 * sigma.square());
        let schedule = Schedule::new(0.1).vary("sigma", (0..=steps).map(|k| 1.0 + 0.1 * k as f32 / steps as f32));
        let options = LangevinOptions { kernel, ..LangevinOptions::default() };
        let sampler = WeightedLangevin::with_options(&gpu, &energy, &x, schedule, options).unwrap();
        assert_eq!(sampler.report().loops_over_steps(), has_lanes(&gpu), "{kernel:?}: {}", sampler.report());
        let mut state = sampler.init(RngKey::new(7), Start::normal(1.0)).unwrap();
        let got = sampler.step(&mut state, 0..steps).unwrap().log_mean_weight();
        // Four standard errors: one false alarm in 16 000, and the key is fixed.
        assert!(got.sigmas_from(d as f64 * 1.1f64.ln()) < 4.0, "{kernel:?}: {got}");
    }
}

#[test]
fn whole_numbers_are_counted_exactly() {
    for (tier, gpu) in common::gpus() {
        let (n, d) = (21, 70);
        let g = Graph::new();
        let (x, count) = (g.input("x", [n, d]), g.input_of("count", [n, d], DType::U32));
        let below = x.lt(0.0).cast(DType::U32);
        let outputs = [("x", -x), ("count", count + below), ("all", count.sum(1)), ("last", count.narrow(1, 69, 1))];
        let plan = compile(&gpu, &outputs);
        assert_eq!(plan.report().loops_over_steps(), has_lanes(&gpu), "{tier}: {}", plan.report());
        let data = noise(n * d, 3);
        let x = Tensor::from_slice(&gpu, "x", &[n, d], &data).unwrap();
        let count = Tensor::zeros(&gpu, "count", &[n, d], DType::U32).unwrap();
        let mut session = Session::new(&plan, Bindings::new().tensor("x", &x).tensor("count", &count)).unwrap();
        session.run(4).unwrap(); // every number is below 0 in two of the steps
        assert_eq!(count.read::<u32>().unwrap().wait().unwrap(), vec![2; n * d], "{tier}");
        // The sum and the last column are those before the fourth step.
        let before = |x: &f32| if *x < 0.0 { 2 } else { 1 };
        let sums: Vec<u32> = data.chunks(d).map(|row| row.iter().map(before).sum()).collect();
        assert_eq!(session.read::<u32>("all").unwrap().wait().unwrap(), sums, "{tier}");
        let last: Vec<u32> = data.chunks(d).map(|row| before(&row[d - 1])).collect();
        assert_eq!(session.read::<u32>("last").unwrap().wait().unwrap(), last, "{tier}");
    }
}
