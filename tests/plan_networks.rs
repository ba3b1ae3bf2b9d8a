//! Small networks inside row kernels: one dispatch, and the meaning of the graph.

mod common;
#[path = "common/compare.rs"]
mod compare;

use compare::{assert_plan_close, noise};
use ergodic::autodiff::{Trace, grad, laplacian};
use ergodic::gpu::{Gpu, Tensor};
use ergodic::graph::{Graph, Var};
use ergodic::nn::{Activation, Mlp};
use ergodic::plan::{Bindings, CompileOptions, Plan, Products, Session};
use ergodic::random::RngKey;

/// Every sum has at most 64 terms of order 1/8, so its rounding error is at most 64 * 8 units; four products in a row.
const TOLERANCE: f64 = 4.0 * 64.0 * 8.0 * f32::EPSILON as f64;

/// Both tiers, with products as the device suggests and in rows even where it would not.
fn ways() -> impl Iterator<Item = (String, Gpu, CompileOptions)> {
    let all = common::gpus().into_iter().flat_map(|way| [Products::Auto, Products::Rows].map(|p| (way.clone(), p)));
    all.map(|((tier, gpu), products)| {
        let options = CompileOptions { products, ..CompileOptions::labelled("network") };
        (format!("{products:?} on {tier}"), gpu, options)
    })
}

/// Whether rows compute small networks themselves: where lanes can hand weights to each other, on GPUs, or where they must.
fn in_rows(gpu: &Gpu, options: &CompileOptions) -> bool {
    gpu.caps().subgroups.is_some() || !gpu.caps().is_software() || options.products == Products::Rows
}

/// A network on rows of `x`, its parameters scaled so that sums stay of order 1.
fn network<'g>(g: &'g Graph, n: usize, sizes: &[usize], activation: Activation) -> (Var<'g>, Var<'g>, Var<'g>) {
    let mlp = Mlp::new(sizes, activation).unwrap();
    let theta = g.input("theta", [mlp.layout().len()]);
    let x = g.input("x", [n, sizes[0]]);
    let y = mlp.apply(theta * 0.125, x).unwrap();
    (x, theta, y)
}

fn compile(gpu: &Gpu, outputs: &[(&str, Var<'_>)], options: &CompileOptions) -> Plan {
    Plan::compile(gpu, outputs, options).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn energy_and_force_of_a_small_network_are_one_dispatch_and_right() {
    let shapes: [&[usize]; 3] = [&[2, 32, 32, 1], &[4, 64, 64, 1], &[3, 52, 20, 1]];
    for (way, gpu, options) in ways() {
        for (n, sizes) in [1, 61, 128, 1009].into_iter().flat_map(|n| shapes.map(|sizes| (n, sizes))) {
            let g = Graph::new();
            let (x, _, y) = network(&g, n, sizes, Activation::Silu);
            let u = y.sum(1);
            let outputs = [("u", u), ("force", grad(u, x).unwrap())];
            let plan = compile(&gpu, &outputs, &options);
            let what = format!("{sizes:?} on {n} rows, {way}");
            let fused = n >= 128 && in_rows(&gpu, &options);
            // The scaled parameters are a vector that a kernel before makes.
            assert!(!fused || plan.report().dispatches() == 2, "{what}: {}", plan.report());
            assert_plan_close(&what, &plan, &g, &outputs, TOLERANCE);
        }
    }
}

#[test]
fn layers_may_be_outputs_sums_and_operands_of_other_kernels() {
    for (way, gpu, options) in ways() {
        for n in [130, 331] {
            let g = Graph::new();
            let (x, theta, y) = network(&g, n, &[4, 48, 24, 20], Activation::Tanh);
            let scaled = y / (y.square().sum(1) + 1.0).sqrt().unsqueeze(1);
            let shifted = y.narrow(1, 3, 8) * y.narrow(1, 0, 8);
            let wide = y.lt(0.0);
            let loss = scaled.square().mean_all();
            let outputs = [
                ("y", y),
                ("scaled", scaled),
                ("shifted", shifted),
                ("signs", wide),
                ("largest", y.max_over(1)),
                ("loss", loss),
                ("slope", grad(loss, theta).unwrap()),
                ("force", grad(scaled.sum_all(), x).unwrap()),
            ];
            let plan = compile(&gpu, &outputs, &options);
            assert_plan_close(&format!("{n} rows, {way}"), &plan, &g, &outputs, TOLERANCE);
        }
    }
}

#[test]
fn second_derivatives_stay_right() {
    for (way, gpu, options) in ways() {
        let g = Graph::new();
        let (x, _, y) = network(&g, 96, &[3, 20, 20, 1], Activation::Softplus);
        let u = y.sum(1);
        let outputs = [("u", u), ("laplacian", laplacian(u, x, Trace::Exact).unwrap())];
        let plan = compile(&gpu, &outputs, &options);
        assert_plan_close(&way, &plan, &g, &outputs, TOLERANCE);
    }
}

/// Unadjusted Langevin on a network's energy.
fn sampler<'g>(g: &'g Graph, n: usize, sizes: &[usize]) -> [(&'static str, Var<'g>); 2] {
    let mlp = Mlp::new(sizes, Activation::Silu).unwrap();
    let (theta, x) = (g.input("theta", [mlp.layout().len()]), g.input("x", [n, sizes[0]]));
    let u = mlp.apply(theta, x).unwrap().sum(1) + x.square().sum(1) / 2.0;
    let moved = x - grad(u, x).unwrap() * 0.1 + g.key("noise").normal([n, sizes[0]]) * f64::sqrt(0.2);
    [("x", moved), ("u", u)]
}

/// Walkers after so many steps, a run for each chunk.
fn walk(plan: &Plan, n: usize, d: usize, chunks: &[u64]) -> Vec<f32> {
    let gpu = plan.gpu();
    let theta = plan.tensors().iter().find(|decl| decl.name == "theta").unwrap().shape.to_vec();
    let scaled: Vec<_> = noise(theta[0], 2).into_iter().map(|w| w / 8.0).collect();
    let theta = Tensor::from_slice(gpu, "theta", &theta, &scaled).unwrap();
    let x = Tensor::from_slice(gpu, "x", &[n, d], &noise(n * d, 3)).unwrap();
    let bindings = Bindings::new().tensor("theta", &theta).tensor("x", &x).key("noise", RngKey::new(4));
    let mut session = Session::new(plan, bindings).unwrap();
    chunks.iter().for_each(|&steps| session.run(steps).unwrap());
    session.check().unwrap();
    x.read::<f32>().unwrap().wait().unwrap()
}

#[test]
fn a_sampler_of_a_small_network_loops_over_steps_in_one_dispatch() {
    for (way, gpu, options) in ways() {
        let (n, sizes) = (200, [2, 32, 32, 1]);
        let g = Graph::new();
        let plan = compile(&gpu, &sampler(&g, n, &sizes), &options);
        let fused = in_rows(&gpu, &options);
        assert_eq!(plan.report().loops_over_steps(), fused, "{way}: {}", plan.report());
        let whole = walk(&plan, n, 2, &[9]);
        assert_eq!(whole, walk(&plan, n, 2, &[4, 1, 4]), "{way}");
        let tiled = CompileOptions { products: Products::Tiled, ..options };
        let apart = walk(&compile(&gpu, &sampler(&g, n, &sizes), &tiled), n, 2, &[9]);
        // Nine steps of a contracting map, each as far off as one evaluation may be.
        let bound = |w: f32| 9.0 * TOLERANCE * (1.0 + f64::from(w.abs()));
        let off = whole.iter().zip(&apart).find(|(a, b)| f64::from((*a - *b).abs()) > bound(**b));
        assert!(off.is_none(), "{way}: {off:?}");
    }
}

#[test]
fn states_too_wide_for_registers_are_stored_at_each_step() {
    for (way, gpu, options) in ways() {
        let (n, d) = (160, 20);
        let g = Graph::new();
        let plan = compile(&gpu, &sampler(&g, n, &[d, 32, 32, 1]), &options);
        assert!(!plan.report().loops_over_steps(), "{way}");
        assert_eq!(walk(&plan, n, d, &[5]), walk(&plan, n, d, &[2, 3]), "{way}");
        let tiled = CompileOptions { products: Products::Tiled, ..options };
        let apart = walk(&compile(&gpu, &sampler(&g, n, &[d, 32, 32, 1]), &tiled), n, d, &[5]);
        for (a, b) in walk(&plan, n, d, &[5]).iter().zip(&apart) {
            assert!(f64::from((a - b).abs()) <= 5.0 * TOLERANCE * (1.0 + f64::from(b.abs())), "{way}: {a} {b}");
        }
    }
}

#[test]
fn a_state_that_a_loop_over_columns_reads_is_not_taken_from_an_old_step() {
    for (way, gpu, options) in ways() {
        let g = Graph::new();
        let (x, w) = (g.input("x", [160, 12]), g.input("w", [24, 24]));
        let both = Var::concat(&[x, x * x], 1).unwrap();
        let moved = x * 0.5 + both.matmul(w * 0.05).narrow(1, 2, 12);
        let plan = compile(&gpu, &[("x", moved)], &options);
        let run = |plan: &Plan| {
            let w = Tensor::from_slice(&gpu, "w", &[24, 24], &noise(576, 5)).unwrap();
            let x = Tensor::from_slice(&gpu, "x", &[160, 12], &noise(1920, 6)).unwrap();
            let mut session = Session::new(plan, Bindings::new().tensor("w", &w).tensor("x", &x)).unwrap();
            session.run(3).unwrap();
            x.read::<f32>().unwrap().wait().unwrap()
        };
        let tiled = CompileOptions { products: Products::Tiled, ..options };
        for (a, b) in run(&plan).iter().zip(run(&compile(&gpu, &[("x", moved)], &tiled))) {
            assert!(f64::from((a - b).abs()) <= TOLERANCE * (1.0 + f64::from(b.abs())), "{way}: {a} {b}");
        }
    }
}

#[test]
fn rows_beyond_the_largest_grid_are_computed() {
    for (way, gpu, options) in ways().filter(|(.., options)| options.products == Products::Rows) {
        let lanes = gpu.caps().subgroups.map_or(64, |(size, _)| 2 * size as usize);
        let (n, period) = (65_536 * lanes + 37, 97);
        let mlp = Mlp::new(&[2, 20, 20, 1], Activation::Relu).unwrap();
        let g = Graph::new();
        let (theta, x) = (g.input("theta", [mlp.layout().len()]), g.input("x", [n, 2]));
        let u = mlp.apply(theta, x).unwrap().sum(1);
        let plan = compile(&gpu, &[("u", u)], &options);
        assert_eq!(plan.report().dispatches(), 1, "{way}");
        let theta = Tensor::from_slice(&gpu, "theta", &[mlp.layout().len()], &mlp.init(RngKey::new(1))).unwrap();
        let one = noise(2 * period, 7);
        let all: Vec<f32> = one.iter().copied().cycle().take(2 * n).collect();
        let x = Tensor::from_slice(&gpu, "x", &[n, 2], &all).unwrap();
        let out = Tensor::from_slice(&gpu, "u", &[n], &vec![f32::MAX; n]).unwrap(); // a sentinel where nothing is written
        let bindings = Bindings::new().tensor("theta", &theta).tensor("x", &x).tensor("u", &out);
        let mut session = Session::new(&plan, bindings).unwrap();
        session.run(1).unwrap();
        let u = out.read::<f32>().unwrap().wait().unwrap();
        let wrong = (0..n).find(|&i| u[i].to_bits() != u[i % period].to_bits() || u[i] == f32::MAX);
        assert_eq!(wrong, None, "{way}");
    }
}

#[test]
fn a_network_too_long_for_one_kernel_is_cut_and_stays_right() {
    for (way, gpu, options) in ways() {
        let g = Graph::new();
        let (_, _, y) = network(&g, 128, &[4, 64, 64, 64, 64, 64, 4], Activation::Tanh);
        let plan = compile(&gpu, &[("y", y)], &options);
        let fused = in_rows(&gpu, &options);
        let reasons = plan.report().to_string();
        assert_eq!(reasons.contains("enough products for one kernel"), fused, "{way}: {reasons}");
        assert_plan_close(&way, &plan, &g, &[("y", y)], 2.0 * TOLERANCE);
    }
}

#[test]
fn several_networks_are_no_more_products_than_fit_into_a_kernel() {
    for (way, gpu, options) in ways().filter(|(.., options)| options.products == Products::Auto) {
        let g = Graph::new();
        let mlp = Mlp::new(&[4, 64, 64, 1], Activation::Tanh).unwrap();
        let theta = g.input("theta", [3 * mlp.layout().len()]);
        let x = g.input("x", [128, 4]);
        let net = |i: usize| mlp.apply(theta.narrow(0, i * mlp.layout().len(), mlp.layout().len()) * 0.125, x).unwrap();
        let u = net(0) * net(1) + net(2); // three sums of 64 terms: two are within the bound of a kernel
        let plan = compile(&gpu, &[("u", u)], &options);
        let reasons = plan.report().to_string();
        let fused = in_rows(&gpu, &options);
        assert_eq!(reasons.contains("enough products for one kernel"), fused, "{way}: {reasons}");
        assert_plan_close(&way, &plan, &g, &[("u", u)], 2.0 * TOLERANCE);
    }
}

#[test]
fn a_long_sum_beside_a_network_is_not_taken_for_one_of_its_layers() {
    for (way, gpu, options) in ways() {
        let g = Graph::new();
        // 256 sums of 196 terms are added up in parts by a kernel before; the network's kernel finds them in memory.
        let (_, _, y) = network(&g, 256, &[48, 64, 32, 1], Activation::Silu);
        let far = g.input("far", [256, 196]).square().sum(1);
        let outputs = [("u", y.sum(1) + far), ("scaled", y / far.unsqueeze(1))];
        let plan = compile(&gpu, &outputs, &options);
        // Sums of 196 terms of order 1 instead of 64.
        assert_plan_close(&way, &plan, &g, &outputs, 4.0 * TOLERANCE);
    }
}

#[test]
fn a_network_on_few_rows_is_not_written_out_term_by_term() {
    // In one invocation a row it was a megabyte of text, which one driver compiled for 20 seconds and another gave up on.
    let gpu = common::gpu();
    for n in [1, 4] {
        let g = Graph::new();
        let (x, _, y) = network(&g, n, &[4, 64, 64, 1], Activation::Silu);
        let outputs = [("u", y), ("force", grad(y.sum(1), x).unwrap())];
        let plan = compile(&gpu, &outputs, &CompileOptions::default());
        let longest = plan.dispatches().iter().map(|dispatch| dispatch.source.wgsl.len()).max();
        assert!(longest.is_some_and(|bytes| bytes < 150_000), "{longest:?}");
    }
}
