//! Products that compute their first operand as they read it, and of which only sums along their rows leave the kernel.

mod common;
#[path = "common/compare.rs"]
mod compare;

use compare::assert_plan_close;
use ergodic::autodiff::{Trace, divergence};
use ergodic::gpu::Gpu;
use ergodic::graph::{Graph, Var};
use ergodic::kernels::matmul::{Layout, MatmulSpec, SharedTile, Variant};
use ergodic::nn::{Activation, Mlp};
use ergodic::plan::{CompileOptions, Plan, Products};

/// What a report says of a product that stores sums alone.
const SUMMED: &str = "along its rows";

/// A sum over elements of a product, in words, and whether the product's kernel makes it.
type Case = (&'static str, bool, fn(Var<'_>) -> Var<'_>);

fn compile(gpu: &Gpu, outputs: &[(&str, Var<'_>)]) -> Plan {
    let options = CompileOptions { products: Products::Tiled, ..CompileOptions::labelled("row sums") };
    Plan::compile(gpu, outputs, &options).unwrap_or_else(|error| panic!("{error}"))
}

/// Rounding of a sum of `terms` elements of a product with inner size `k` and elements of order 1. Each is off by k + 16
/// units, with some functions of a few units each on top; the running sums add a quarter of `terms` units of the whole.
fn tolerance(k: usize, terms: usize) -> f64 {
    let units = (k + terms / 4 + 16) as f64;
    terms as f64 * units * f64::from(f32::EPSILON)
}

/// Whether tiles of this device hold whole rows.
fn resident(gpu: &Gpu) -> bool {
    gpu.caps().is_software() && gpu.caps().subgroups.is_some()
}

/// `x w / k`, elements of order 1.
fn matrix<'g>(g: &'g Graph, [n, k, m]: [usize; 3]) -> Var<'g> {
    g.input("x", [n, k]).matmul(g.input("w", [k, m]) / k as f64)
}

#[test]
fn a_sum_along_the_rows_of_a_product_is_right_and_the_product_is_not_stored() {
    for (tier, gpu) in common::gpus() {
        for [n, k, m] in [[5, 8, 36], [61, 33, 67], [130, 64, 42], [257, 12, 129], [70, 128, 128]] {
            let g = Graph::new();
            let y = (matrix(&g, [n, k, m]) + g.input("b", [m])).tanh();
            let sum = (y * g.input("v", [m])).sum(1);
            let what = format!("[{n}, {k}] x [{k}, {m}] on {tier}");
            let plan = compile(&gpu, &[("sum", sum)]);
            let report = plan.report().to_string();
            // The scaled weights are stored first, and a window holds whole vectors.
            let fits = (k * m) % 4 == 0;
            assert_eq!(report.contains(SUMMED), resident(&gpu) && fits, "{what}: {report}");
            assert_plan_close(&what, &plan, &g, &[("sum", sum)], tolerance(k, m));
            // Control: whoever wants the product itself gets it, and the sum reads it.
            let both = [("sum", sum), ("y", y)];
            let plan = compile(&gpu, &both);
            assert!(!plan.report().to_string().contains(SUMMED), "{what}: {}", plan.report());
            assert_plan_close(&what, &plan, &g, &both, tolerance(k, m));
        }
    }
}

#[test]
fn rows_that_share_a_result_are_parts_of_it_on_whatever_axis_they_lie() {
    for (tier, gpu) in common::gpus() {
        for (a, b, m) in [(3, 41, 40), (37, 5, 66), (8, 16, 64)] {
            for axes in [vec![2], vec![1, 2], vec![0, 2]] {
                let g = Graph::new();
                let cube = matrix(&g, [a * b, 12, m]).reshape([a, b, m]);
                let sum = (cube.square() * g.input("v", [b, m]).unsqueeze(0)).sum(axes.clone());
                let plan = compile(&gpu, &[("sum", sum)]);
                let what = format!("[{a}, {b}, {m}] over {axes:?} on {tier}");
                assert_eq!(plan.report().to_string().contains(SUMMED), resident(&gpu), "{what}: {}", plan.report());
                assert_plan_close(&what, &plan, &g, &[("sum", sum)], tolerance(12, m * a.max(b)));
            }
        }
    }
}

#[test]
fn sums_that_need_more_than_their_own_row_element_by_element_stay_right() {
    for (tier, gpu) in common::gpus() {
        let (n, k, m) = (75, 20, 48);
        let cases: [Case; 5] = [
            ("each element over the sum of its row", false, |y| (y / (y.square().sum(1) + 1.0).unsqueeze(1)).sum(1)),
            ("columns", false, |y| y.sum(0)),
            ("half of the columns", false, |y| y.narrow(1, 8, 24).sum(1)),
            ("more rows than a reader should add", false, |y| y.sum_all()),
            ("two functions of one element", true, |y| (y.sin() * y + y.square()).sum(1)),
        ];
        for (what, summed, f) in cases {
            let g = Graph::new();
            let sum = f(matrix(&g, [n, k, m]));
            let plan = compile(&gpu, &[("sum", sum)]);
            assert_eq!(
                plan.report().to_string().contains(SUMMED),
                summed && resident(&gpu),
                "{what}: {}",
                plan.report()
            );
            assert_plan_close(&format!("{what} on {tier}"), &plan, &g, &[("sum", sum)], tolerance(k, n * m));
        }
        // Two products in one sum: one of them is stored and read by the other's kernel.
        let g = Graph::new();
        let other = g.input("z", [n, k]).matmul(g.input("u", [k, m]) / k as f64);
        let sum = (matrix(&g, [n, k, m]) * other).sum(1);
        assert_plan_close(
            &format!("a product of two on {tier}"),
            &compile(&gpu, &[("sum", sum)]),
            &g,
            &[("sum", sum)],
            tolerance(k, m),
        );
    }
}

#[test]
fn an_operand_that_is_spread_from_smaller_values_is_computed_where_it_is_read() {
    for (tier, gpu) in common::gpus() {
        for (n, t, k, m) in [(9, 7, 36, 40), (50, 10, 64, 33), (33, 5, 30, 48)] {
            let g = Graph::new();
            let (u, v) = (g.input("u", [n, k]).tanh(), g.input("v", [k, t]));
            let operand = (u.unsqueeze(1) * v.permute([1, 0]).unsqueeze(0)).reshape([n * t, k]);
            let y = operand.matmul(g.input("w", [k, m]) / k as f64);
            let (alone, what) = (compile(&gpu, &[("y", y)]), format!("[{n} {t}, {k}] x [{k}, {m}] on {tier}"));
            assert_plan_close(&what, &alone, &g, &[("y", y)], tolerance(k, 1));
            // Control: an operand that somebody else needs lies in memory.
            let both = [("y", y), ("operand", operand)];
            let stored = compile(&gpu, &both);
            assert_plan_close(&what, &stored, &g, &both, tolerance(k, 1));
            let cut = |plan: &Plan| plan.report().to_string().contains("operand of a tiled product");
            // `w / k` is the second operand; the first one adds a line for itself where it is stored.
            let lines = |plan: &Plan| plan.report().to_string().matches("operand of a tiled product").count();
            assert!(cut(&stored), "{what}: {}", stored.report());
            let read = resident(&gpu) && (k * m) % 4 == 0;
            assert_eq!(lines(&alone), if read { 1 } else { 2 }, "{what}: {}", alone.report());
        }
    }
}

#[test]
fn the_divergence_of_a_field_is_one_pass_over_its_tangents() {
    for (tier, gpu) in common::gpus() {
        for (n, d) in [(64, 10), (37, 5)] {
            let g = Graph::new();
            let mlp = Mlp::new(&[d, 72, 68, d], Activation::Silu).unwrap();
            let (theta, x) = (g.input("theta", [mlp.layout().len()]), g.input("x", [n, d]));
            let field = mlp.apply(theta * 0.125, x).unwrap();
            let outputs = [("divergence", divergence(field, x, Trace::Exact).unwrap())];
            let plan = compile(&gpu, &outputs);
            let what = format!("{d} dimensions, {n} rows on {tier}");
            assert_plan_close(&what, &plan, &g, &outputs, tolerance(72, 68 * d));
            // Neither the tangents of a layer nor their product with its weights pass through memory.
            let tangents = (n * d * 68 * 4) as u64;
            let most = plan.dispatches().iter().map(|dispatch| dispatch.bytes).max().unwrap();
            let reads = (2 * n * 72 + mlp.layout().len() + 72 * 68) as u64 * 4;
            assert!(!resident(&gpu) || most < tangents.max(reads + (n * d * 4) as u64), "{what}: {}", plan.report());
            assert_eq!(plan.report().to_string().contains(SUMMED), resident(&gpu), "{what}: {}", plan.report());
        }
    }
}

#[test]
fn only_tiles_that_hold_whole_rows_add_them_up() {
    let variants = [
        Variant::Register { lanes: 8, rows: 2, cols: 8 },
        Variant::Subgroup { lanes: 8, rows: 2, cols: 8 },
        Variant::Resident { lanes: 8, rows: 2 },
        Variant::Shared(SharedTile::SMALLEST),
    ];
    for variant in variants {
        let (a, b) = (Layout::Rows, Layout::Rows);
        let s = MatmulSpec { n: 64, k: 16, m: 40, a, b, variant, split_k: 1, b_uniform: true };
        assert!(s.template().wgsl.contains("fn put("), "{variant:?}");
        let is_resident = matches!(variant, Variant::Resident { .. });
        let text = s.row_sum_template().map(|template| template.wgsl);
        assert_eq!(text.is_some_and(|t| t.contains("fn term(") && !t.contains("fn put(")), is_resident, "{variant:?}");
    }
}
