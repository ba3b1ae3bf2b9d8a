//! Compilation: pipelines are built side by side, and that changes nothing else.

mod common;

use ergodic::autodiff::grad;
use ergodic::gpu::{Binding, Gpu, KernelSource, Tensor};
use ergodic::graph::{DType, Graph};
use ergodic::nn::{Activation, Mlp};
use ergodic::plan::{Bindings, CompileOptions, Plan, Products, Session};
use ergodic::random::RngKey;
use ergodic::{Error, Result};

const ROWS: usize = 67;

/// Gradient of a loss by the parameters of a network, in a dozen kernels.
fn network(gpu: &Gpu) -> Result<(Plan, Mlp)> {
    let mlp = Mlp::new(&[5, 17, 13, 1], Activation::Silu)?;
    let g = Graph::new();
    let (theta, x) = (g.input("theta", [mlp.layout().len()]), g.input("x", [ROWS, 5]));
    let loss = mlp.apply(theta, x)?.square().mean_all();
    let options = CompileOptions { products: Products::Tiled, ..CompileOptions::default() };
    Ok((Plan::compile(gpu, &[("gradient", grad(loss, theta)?)], &options)?, mlp))
}

fn gradient(plan: &Plan, mlp: &Mlp) -> Result<Vec<f32>> {
    let gpu = plan.gpu();
    let theta = Tensor::from_slice(gpu, "theta", &[mlp.layout().len()], &mlp.init(RngKey::new(1)))?;
    let mut x = vec![0.0; ROWS * 5];
    RngKey::new(2).fill_normal(0, 5, &mut x);
    let x = Tensor::from_slice(gpu, "x", &[ROWS, 5], &x)?;
    let mut session = Session::new(plan, Bindings::new().tensor("theta", &theta).tensor("x", &x))?;
    session.run(1)?;
    session.check()?;
    session.read("gradient")?.wait()
}

#[test]
fn pipelines_built_side_by_side_give_the_plan_and_the_bits_of_those_built_one_by_one() -> Result<()> {
    let (one_by_one, at_once) = (common::fresh(|_| ()), common::fresh(|_| ()));
    let (plan, _) = network(&at_once)?;
    let sources: Vec<KernelSource> = plan.dispatches().iter().map(|d| d.source.clone()).collect();
    assert!(sources.len() > 5, "{} kernels", sources.len());
    for source in &sources {
        one_by_one.pipeline(source)?;
    }
    let before = one_by_one.pipeline_stats();
    let (same, mlp) = network(&one_by_one)?;
    let after = one_by_one.pipeline_stats();
    assert_eq!((after.misses, after.hits - before.hits), (before.misses, sources.len() as u64), "all were there");
    assert_eq!(plan.hash(), same.hash());
    let (want, got) = (gradient(&same, &mlp)?, gradient(&plan, &mlp)?);
    assert!(want.iter().any(|v| *v != 0.0) && want.iter().all(|v| v.is_finite()));
    assert_eq!(bits(&want), bits(&got));
    Ok(())
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|v| v.to_bits()).collect()
}

#[test]
fn each_text_is_compiled_once_however_often_a_plan_uses_it() -> Result<()> {
    let gpu = common::fresh(|_| ());
    let (two, three) = (scaling(2), scaling(3));
    let made = gpu.pipelines(&[&two, &three, &two, &two])?;
    assert_eq!((gpu.pipeline_stats().misses, gpu.pipeline_stats().hits), (2, 2));
    let same = |i: usize, j: usize| std::sync::Arc::ptr_eq(&made[i], &made[j]);
    assert!(made.len() == 4 && same(0, 2) && same(0, 3) && !same(0, 1));
    Ok(())
}

#[test]
fn kernels_that_several_threads_ask_for_at_once_are_compiled_once() -> Result<()> {
    let gpu = common::fresh(|_| ());
    let sources: Vec<_> = (0..6).map(scaling).collect();
    let sources: Vec<_> = sources.iter().collect();
    let made: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| gpu.pipelines(&sources))).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect::<Result<_>>()
    })?;
    assert_eq!((gpu.pipeline_stats().misses, gpu.pipeline_stats().hits), (6, 42));
    assert!(made.iter().flat_map(|all| all.iter().zip(&made[0])).all(|(a, b)| std::sync::Arc::ptr_eq(a, b)));
    Ok(())
}

#[test]
fn a_kernel_that_failed_may_be_tried_again_by_those_who_waited_for_it() {
    let gpu = common::fresh(|_| ());
    let bad = common::kernel("bad", "fn", &[]);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert!(matches!(gpu.pipeline(&bad), Err(Error::Shader { kernel, .. }) if kernel == "bad")));
        }
    });
}

#[test]
fn the_same_network_in_two_plans_is_the_same_kernels() -> Result<()> {
    let gpu = common::fresh(|_| ());
    let mlp = Mlp::new(&[5, 17, 13, 1], Activation::Silu)?;
    let compile = |n_keys: u32| {
        let g = Graph::new();
        let _ = g.full(0.5 * f64::from(n_keys), [ROWS, 17]); // with one key, a constant of the network is older than its values
        let (theta, x, key) = (g.input("theta", [mlp.layout().len()]), g.input("x", [ROWS, 5]), g.key("key"));
        let noise = (0..n_keys).map(|i| key.fold_in(i).normal([3, 2]).sum_all()).reduce(|a, b| a + b);
        let options = CompileOptions { products: Products::Tiled, ..CompileOptions::default() };
        let loss = mlp.apply(theta, x)?.square().mean_all();
        let outputs = [("gradient", grad(loss, theta)?), ("noise", noise.expect("one key at least"))];
        Plan::compile(&gpu, &outputs, &options)
    };
    let (one, three) = (compile(1)?, compile(3)?);
    let others = |plan: &Plan, than: &Plan| {
        let there: Vec<_> = than.dispatches().iter().map(|d| &d.source).collect();
        plan.dispatches().iter().filter(|d| !there.contains(&&d.source)).count()
    };
    assert!(one.dispatches().len() > 3, "{}", one.report());
    assert_eq!((others(&one, &three), others(&three, &one)), (1, 1), "only the kernel of the noise is another one");
    Ok(())
}

#[test]
fn of_several_kernels_that_are_wrong_the_first_is_reported_each_time() {
    let gpu = common::fresh(|_| ());
    let good: Vec<_> = (0..8).map(scaling).collect();
    let bad = |name: &str| common::kernel(name, "fn", &[]);
    let (first, second) = (bad("first"), bad("second"));
    let mut sources: Vec<_> = good.iter().collect();
    sources.insert(3, &first);
    sources.insert(4, &second);
    for _ in 0..20 {
        match gpu.pipelines(&sources) {
            Err(Error::Shader { kernel, .. }) => assert_eq!(kernel, "first"),
            other => panic!("{:?}", other.map(|made| made.len())),
        }
    }
}

#[test]
fn the_time_of_compiling_plans_adds_up() -> Result<()> {
    let gpu = common::fresh(|_| ());
    let started = std::time::Instant::now();
    let _ = network(&gpu)?;
    let once = gpu.pipeline_stats().plan_time;
    let _ = network(&gpu)?;
    let twice = gpu.pipeline_stats().plan_time;
    assert!(once > std::time::Duration::ZERO && twice > once && twice <= started.elapsed(), "{once:?} {twice:?}");
    let g = Graph::new();
    let _ = g.input("x", [1]).cast(DType::U32);
    assert_eq!(gpu.pipeline_stats().plan_time, twice, "a graph alone compiles nothing");
    Ok(())
}

fn scaling(factor: u32) -> KernelSource {
    let text = format!(
        "@group(0) @binding(0) var<storage, read_write> x: array<f32>;\n\
         @compute @workgroup_size(64)\n\
         fn main(@builtin(global_invocation_id) id: vec3<u32>) {{ x[id.x] = f32({factor}u) * x[id.x]; }}\n"
    );
    common::kernel("scale", text, &[Binding::ReadWrite])
}

#[test]
fn a_component_that_is_looked_up_at_a_constant_does_not_crash_the_adapter() -> Result<()> {
    // Slices of a table of two numbers, the second one read first, each at an index that is 0: a crash of Mesa 22.3 as a gather.
    for (tier, gpu) in common::gpus() {
        let g = Graph::new();
        let (n, table, z) = (5, g.input("table", [2]), g.key("key").normal([5, 1]));
        let (first, second) = (table.narrow(0, 0, 1).reshape([1, 1]), table.narrow(0, 1, 1).reshape([1, 1, 1]));
        let zero = g.full(0.0, [n]).cast(DType::U32);
        let scaled = (second.gather(zero) * z.reshape([n, 1, 1])).sum(2);
        let x = first.gather(zero) + scaled;
        let plan = Plan::compile(&gpu, &[("x", x), ("z", z)], &CompileOptions::default())?;
        let table = Tensor::from_slice(&gpu, "table", &[2], &[1.0f32, 2.0])?;
        let mut session = Session::new(&plan, Bindings::new().key("key", RngKey::new(1)).tensor("table", &table))?;
        session.run(1)?;
        session.check()?;
        let (x, z) = (session.read::<f32>("x")?.wait()?, session.read::<f32>("z")?.wait()?);
        assert!(x.iter().zip(&z).all(|(x, z)| (x - (1.0 + 2.0 * z)).abs() < 4.0 * f32::EPSILON), "{tier}: {x:?} {z:?}");
        let empty = g.input("none", [0]).mean_all();
        let plan = Plan::compile(&gpu, &[("mean", empty)], &CompileOptions::default())?;
        let none = Tensor::zeros(&gpu, "none", &[0], DType::F32)?;
        let mut session = Session::new(&plan, Bindings::new().tensor("none", &none))?;
        session.run(1)?;
        session.check()?;
        assert_eq!(session.read::<f32>("mean")?.wait()?, [0.0], "{tier}: the mean of nothing");
    }
    Ok(())
}
