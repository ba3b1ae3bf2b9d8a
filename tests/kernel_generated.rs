//! Kernels that plans generate: reductions, running sums, gathers, resampling, the optimiser, at sizes around every edge.
//!
//! Outputs hold a sentinel before the run. A sum may be off by `c eps sum |terms|`, where `c` is the longest chain of additions
//! behind one result: `parts + terms / parts` of the two stages.

mod common;
#[path = "common/compare.rs"]
mod compare;

use compare::{both_by, noise};
use ergodic::dynamics::Compensated;
use ergodic::dynamics::resample::{Resampling, Scheme, Weighted};
use ergodic::gpu::{Gpu, Tensor};
use ergodic::graph::{DType, Graph, Var};
use ergodic::nn::Adam;
use ergodic::plan::{Bindings, CompileOptions, Plan, Session};

const EPS: f64 = f32::EPSILON as f64;

/// Nothing, one, a prime, the edges of a group, of inlined sums and of parts, and lengths that are taken four at a time.
const SIZES: [usize; 14] = [0, 1, 3, 61, 63, 64, 65, 127, 129, 1009, 4097, 16_384, 100_003, 100_004];

/// One more row than fit into a grid of one dimension.
const TALL: usize = 65_535 * 64 + 1;

fn compile(gpu: &Gpu, outputs: &[(&str, Var<'_>)]) -> Plan {
    Plan::compile(gpu, outputs, &CompileOptions::default()).unwrap_or_else(|error| panic!("{error}"))
}

/// Compare outputs with their f64 meaning, each element within its bound.
fn check(what: &str, gpu: &Gpu, g: &Graph, outputs: &[(&str, Var<'_>)], bound: impl Fn(&str, f64) -> f64) {
    let all = both_by(&compile(gpu, outputs), g, outputs).unwrap_or_else(|error| panic!("{what}: {error}"));
    for ((name, _), (got, want)) in outputs.iter().zip(&all) {
        assert_eq!(got.len(), want.len(), "{what}: size of `{name}`");
        for (i, (got, want)) in got.iter().zip(want).enumerate() {
            let bound = bound(name, *want);
            assert!((got - want).abs() <= bound, "{what}: `{name}`[{i}] is {got}, not {want} within {bound:e}");
        }
    }
}

/// Additions behind one sum of `terms`: at most so many one after the other, whatever the stages.
fn chain(terms: usize) -> f64 {
    2.0 * (terms as f64).sqrt() + 64.0
}

#[test]
fn full_reductions_of_any_length() {
    for (tier, gpu) in common::gpus() {
        for n in SIZES {
            let g = Graph::new();
            let x = g.input("x", [n]);
            let mut outputs = vec![("sum", x.sum_all()), ("squares", x.square().sum_all())];
            if n > 0 {
                outputs.extend([("max", x.max_over(0)), ("logsumexp", x.logsumexp(0))]);
            }
            let size = n as f64; // every |term| is below 1
            check(&format!("{n} terms, {tier}"), &gpu, &g, &outputs, |name, _| match name {
                "max" => 0.0,
                "logsumexp" => chain(n) * EPS + 8.0 * EPS * size.max(1.0).ln().max(1.0),
                _ => chain(n) * EPS * size,
            });
        }
    }
}

#[test]
fn reductions_of_rows_and_columns() {
    for (tier, gpu) in common::gpus() {
        for (n, d) in [(0, 3), (1, 65), (3, 0), (61, 1), (65, 127), (1009, 4), (129, 1009), (2000, 300)] {
            let g = Graph::new();
            let x = g.input("x", [n, d]);
            let mut outputs = vec![("rows", x.sum(1)), ("columns", x.sum(0))];
            if n * d > 0 {
                outputs.extend([("highest", x.max_over(1)), ("top", x.max_over(0))]);
            }
            check(&format!("{n} x {d}, {tier}"), &gpu, &g, &outputs, |name, _| match name {
                "rows" => chain(d) * EPS * d as f64,
                "columns" => chain(n) * EPS * n as f64,
                _ => 0.0,
            });
        }
    }
}

#[test]
fn columns_of_integers_and_products_of_few_rows() {
    for (tier, gpu) in common::gpus() {
        for (n, k, m) in [
            (1, 65, 4),
            (3, 2051, 8),
            (4, 300, 20),
            (2, 1009, 7),
            (3, 129, 256),
            (16, 131, 1),
            (64, 300, 2),
            (8, 257, 3),
        ] {
            let g = Graph::new();
            let (a, b, at) = (g.input("a", [k, n]), g.input("b", [k, m]), g.input_of("at", [k, m], DType::U32));
            // The second factor is dear enough to be stored for a product that goes through it once a row.
            let dear = b.sin().exp().cos();
            let outputs = [("product", a.t().matmul(dear)), ("turned", dear.t().matmul(a)), ("count", at.sum(0))];
            check(&format!("{n} x {k} x {m}, {tier}"), &gpu, &g, &outputs, |name, _| match name {
                "count" => 0.0,
                _ => (chain(k) + 16.0) * EPS * k as f64,
            });
        }
    }
}

fn flat(x: Var<'_>) -> Var<'_> {
    x.reshape([x.shape().numel()])
}

#[test]
fn vectors_joined_of_matrices_at_any_boundary() {
    for (tier, gpu) in common::gpus() {
        // Parts that begin and end with vectors, parts that do not, and too few numbers to be taken four at a time.
        let aligned = [(64, 20), (1, 4), (8, 12)];
        for sizes in [aligned, [(64, 20), (1, 2), (7, 11)], [(3, 130), (5, 1), (5, 9)], [(1, 2), (1, 1), (1, 1)]] {
            let g = Graph::new();
            let of = |name: &str, (n, m)| g.input(name, [n, m]);
            let [a, b, c] = [of("a", sizes[0]), of("b", sizes[1]), of("c", sizes[2])];
            let stored = c.matmul(c.t()); // in the arena
            let whole = Var::concat(&[flat(a), flat(b), flat(c.t()), flat(stored)], 0).unwrap();
            // Twice the rounding of a sum of at most twelve products below 1.
            let bound = 2.0 * 12.0 * 12.0 * EPS;
            check(&format!("{sizes:?}, {tier}"), &gpu, &g, &[("joined", whole), ("twice", 2.0 * whole)], |_, _| bound);
        }
    }
}

#[test]
fn running_sums_keep_their_place() {
    for (tier, gpu) in common::gpus() {
        for n in SIZES {
            let g = Graph::new();
            let x = g.input("x", [n]);
            // Compensated: a few roundings of the partial sum, whatever its length; and the parts are independent of it.
            check(&format!("{n} terms, {tier}"), &gpu, &g, &[("running", x.cumsum(0))], |_, want| {
                8.0 * EPS * (want.abs() + (n as f64).sqrt())
            });
        }
    }
}

#[test]
fn gathers_copy_bits() {
    for (tier, gpu) in common::gpus() {
        for (n, d, m) in [(1, 1, 1), (7, 3, 0), (61, 4, 129), (1009, 5, 64), (65, 1, 4097)] {
            let g = Graph::new();
            let (x, at) = (g.input("x", [n, d]), g.input_of("at", [m], DType::U32));
            // Indices are 0, 7, .. modulo 11: those past the end mean the last row.
            check(&format!("{m} of {n} x {d}, {tier}"), &gpu, &g, &[("rows", x.gather(at))], |_, _| 0.0);
        }
    }
}

#[test]
fn grids_of_more_than_65535_groups_reach_every_row() {
    for (tier, gpu) in common::gpus() {
        let g = Graph::new();
        let (x, at) = (g.input("x", [TALL, 2]), g.input_of("at", [TALL], DType::U32));
        let outputs = [("rows", x.sum(1)), ("all", x.sum(0)), ("taken", x.narrow(1, 0, 1).gather(at))];
        let plan = compile(&gpu, &outputs);
        assert!(plan.dispatches().iter().any(|d| d.grid[1] > 1), "{tier}: {}", plan.report());
        // Row i holds i modulo 1024 and 1: sums of whole numbers below 2^24 in every part are exact.
        let data: Vec<f32> = (0..TALL).flat_map(|i| [(i % 1024) as f32, 1.0]).collect();
        let back: Vec<u32> = (0..TALL as u32).rev().collect();
        let x = Tensor::from_slice(&gpu, "x", &[TALL, 2], &data).unwrap();
        let at = Tensor::zeros(&gpu, "at", &[TALL], DType::U32).unwrap();
        at.write(&back).unwrap();
        let mut session = Session::new(&plan, Bindings::new().tensor("x", &x).tensor("at", &at)).unwrap();
        session.run(1).unwrap();
        let [rows, all, taken] = ["rows", "all", "taken"].map(|n| session.read::<f32>(n).unwrap().wait().unwrap());
        assert_eq!(rows.iter().zip(0..).find(|(sum, i)| **sum != (i % 1024 + 1) as f32), None, "{tier}");
        assert_eq!(taken.iter().zip(back).find(|(x, i)| **x != (i % 1024) as f32), None, "{tier}");
        let exact: f64 = (0..TALL).map(|i| (i % 1024) as f64).sum();
        assert!((f64::from(all[0]) - exact).abs() <= chain(TALL) * EPS * exact, "{tier}: {} {exact}", all[0]);
        assert!((f64::from(all[1]) - TALL as f64).abs() <= chain(TALL) * EPS * TALL as f64, "{tier}");
    }
}

#[test]
fn systematic_offspring_are_floor_or_ceiling_at_every_size() {
    for (tier, gpu) in common::gpus() {
        for n in [1, 2, 61, 64, 65, 1009, 100_003, 100_004] {
            let g = Graph::new();
            let zero = |name| g.input(name, []);
            let weighted = Weighted {
                log_weights: Compensated::input(&g, "a", [n]),
                log_z0: Compensated::input(&g, "z", []),
                log_z0_var: zero("var"),
                resamplings: g.input_of("count", [], DType::U32),
            };
            // Any spread of weights is below an effective part of 1.
            let rule = Resampling { scheme: Scheme::Systematic, ess_below: 1.0 };
            let drawn = weighted.resample_if(rule, g.key("draw"));
            let plan = compile(&gpu, &[("ancestors", drawn.ancestors)]);
            let a: Vec<f32> = noise(n, 8).into_iter().map(|x| 2.0 * x).collect();
            let tensor =
                |name: &str, shape: &[usize], data: &[f32]| Tensor::from_slice(&gpu, name, shape, data).unwrap();
            let mut bindings = Bindings::new().tensor("a", &tensor("a", &[n], &a));
            for name in plan.tensors().iter().map(|t| t.name.clone()).filter(|name| name != "a" && name != "ancestors")
            {
                let decl = plan.tensors().iter().find(|t| t.name == name).unwrap();
                if matches!(decl.role, ergodic::plan::Role::Input) {
                    bindings = bindings.tensor(&name, &Tensor::zeros(&gpu, &name, &decl.shape, decl.dtype).unwrap());
                }
            }
            let mut session = Session::new(&plan, bindings.key("draw", ergodic::random::RngKey::new(9))).unwrap();
            session.run(1).unwrap();
            let ancestors = session.read::<u32>("ancestors").unwrap().wait().unwrap();
            let (mut counts, total) = (vec![0u32; n], a.iter().map(|&a| f64::from(a).exp()).sum::<f64>());
            ancestors.iter().for_each(|&i| counts[i as usize] += 1);
            for (i, (&count, a)) in counts.iter().zip(&a).enumerate() {
                let mean = n as f64 * f64::from(*a).exp() / total;
                // exp and the division by the sum round, so a mean that is nearly whole may fall on either side of it.
                let slack = 64.0 * EPS * n as f64;
                let fits = f64::from(count) >= (mean - slack).floor() && f64::from(count) <= (mean + slack).ceil();
                assert!(fits, "{n} walkers, {tier}: walker {i} has {count} offspring, on average {mean}");
            }
        }
    }
}

#[test]
fn one_step_of_the_optimiser_at_every_size() {
    for (tier, gpu) in common::gpus() {
        for (n, beta1) in [1, 61, 64, 65, 4097, 100_003, 100_004].into_iter().flat_map(|n| [(n, 0.0), (n, 0.9)]) {
            let g = Graph::new();
            let adam = Adam { beta1, ..Adam::default() };
            let update = adam.step("adam", g.input("theta", [n]), g.input("slope", [n]), g.constant(1e-2), g.step());
            let mut outputs = vec![("theta", update.theta)];
            outputs.extend(update.state.iter().map(|(name, var)| (name.as_str(), *var)));
            let plan = compile(&gpu, &outputs);
            assert_eq!(plan.report().dispatches(), 1, "{tier}: {}", plan.report());
            let [theta, slope, m] = [1, 2, 3].map(|seed| noise(n, seed));
            let v: Vec<f32> = noise(n, 4).into_iter().map(|x| x * x).collect();
            let mut bindings = Bindings::new();
            for (name, data) in [("theta", &theta), ("slope", &slope), ("adam.m", &m), ("adam.v", &v)] {
                bindings = bindings.tensor(name, &Tensor::from_slice(&gpu, name, &[n], data).unwrap());
            }
            let mut session = Session::new(&plan, bindings).unwrap();
            session.set_step(3);
            session.run(1).unwrap();
            let got = session.read::<f32>("theta").unwrap().wait().unwrap();
            for i in 0..n {
                let [theta, slope, m, v] = [theta[i], slope[i], m[i], v[i]].map(f64::from);
                let mean =
                    if beta1 == 0.0 { slope } else { (beta1 * m + (1.0 - beta1) * slope) / (1.0 - beta1.powi(4)) };
                let root = ((0.999 * v + 0.001 * slope * slope) / (1.0 - 0.999f64.powi(4))).sqrt();
                let want = theta - 1e-2 * mean / (root + 1e-8);
                // A dozen roundings of the step, and one of the result.
                let bound = EPS * (16.0 * (want - theta).abs() + 16.0 * 1e-2 / root.max(1e-3) + theta.abs());
                let got = f64::from(got[i]);
                assert!((got - want).abs() <= bound, "{n}, beta1 {beta1}, {tier}: [{i}] is {got}, not {want}");
            }
        }
    }
}
