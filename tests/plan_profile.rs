//! Timing the dispatches of a plan tells where time goes, and leaves no trace.

mod common;

use ergodic::autodiff::grad;
use ergodic::gpu::{Gpu, Tensor};
use ergodic::graph::{DType, Graph};
use ergodic::nn::{Activation, Adam, Mlp};
use ergodic::plan::{Bindings, CompileOptions, Plan, Products, Profile, Session};
use ergodic::random::RngKey;
use ergodic::{Error, Result};

const ROWS: usize = 301;

/// Adam on a small network with noise on its input: states that are updated in place, a key and a step counter.
fn training(gpu: &Gpu) -> Result<Session> {
    let mlp = Mlp::new(&[6, 33, 1], Activation::Silu)?;
    let g = Graph::new();
    let theta = g.input("theta", [mlp.layout().len()]);
    let x = g.input("x", [ROWS, 6]) + g.key("noise").normal([ROWS, 6]) * 0.1;
    let loss = mlp.apply(theta, x)?.square().mean_all();
    let update = Adam::default().step("adam", theta, grad(loss, theta)?, g.constant(1e-2), g.step());
    let mut outputs = vec![("theta".to_string(), update.theta), ("loss".into(), loss)];
    outputs.extend(update.state);
    let named: Vec<_> = outputs.iter().map(|(name, var)| (name.as_str(), *var)).collect();
    let options = CompileOptions { products: Products::Tiled, ..CompileOptions::labelled("training") };
    let plan = Plan::compile(gpu, &named, &options)?;
    let mut x = vec![0.0; ROWS * 6];
    RngKey::new(2).fill_normal(0, 6, &mut x);
    let mut bindings = Bindings::new()
        .key("noise", RngKey::new(3))
        .tensor("theta", &Tensor::from_slice(gpu, "theta", &[mlp.layout().len()], &mlp.init(RngKey::new(1)))?)
        .tensor("x", &Tensor::from_slice(gpu, "x", &[ROWS, 6], &x)?);
    for (name, moment) in named.iter().filter(|(name, _)| name.starts_with("adam")) {
        bindings = bindings.tensor(name, &Tensor::zeros(gpu, name, &moment.shape(), DType::F32)?);
    }
    Session::new(&plan, bindings)
}

/// The bits of everything that a plan writes.
fn bits(session: &Session) -> Result<Vec<Vec<u32>>> {
    let decls = session.plan().tensors().iter();
    decls.map(|decl| Ok(session.read::<f32>(&decl.name)?.wait()?.into_iter().map(f32::to_bits).collect())).collect()
}

fn matches(profile: &Profile, plan: &Plan) {
    assert_eq!(profile.dispatches.len(), plan.dispatches().len());
    for (timed, dispatch) in profile.dispatches.iter().zip(plan.dispatches()) {
        assert_eq!((&timed.name, &timed.what), (&dispatch.source.name, &dispatch.what));
        assert_eq!((timed.flops, timed.bytes), (dispatch.flops, dispatch.bytes));
        assert!(timed.seconds > 0.0 && timed.seconds.is_finite(), "{timed:?}");
    }
    let table = profile.to_string();
    assert_eq!(table.lines().count(), 1 + plan.dispatches().len(), "{table}");
}

#[test]
fn every_dispatch_is_timed_under_its_name_and_the_session_does_not_notice() -> Result<()> {
    for (tier, gpu) in common::gpus() {
        let (mut watched, mut control) = (training(&gpu)?, training(&gpu)?);
        watched.run(3)?;
        control.run(3)?;
        let profile = watched.time_dispatches(4)?;
        matches(&profile, watched.plan());
        assert!(profile.dispatches.len() > 3, "{tier}: {profile}");
        assert_eq!(profile.on_device, gpu.caps().timestamps, "{tier}");
        assert_eq!((watched.step(), bits(&watched)?), (control.step(), bits(&control)?), "{tier}: right after");
        watched.run(4)?;
        control.run(4)?;
        watched.check()?;
        assert_eq!(bits(&watched)?, bits(&control)?, "{tier}: four steps later");
        control.run(1)?;
        assert_ne!(bits(&watched)?, bits(&control)?, "{tier}: the control, one step more");
    }
    Ok(())
}

#[test]
fn a_loop_over_steps_is_timed_by_the_step() -> Result<()> {
    for (tier, gpu) in common::gpus() {
        let n = 20_000;
        let g = Graph::new();
        let x = g.input("x", [n]);
        let moved = x * 0.99 + g.key("noise").normal([n]) * 0.1;
        let plan = Plan::compile(&gpu, &[("x", moved)], &CompileOptions::default())?;
        assert!(plan.report().loops_over_steps());
        let x = Tensor::zeros(&gpu, "x", &[n], DType::F32)?;
        let mut session = Session::new(&plan, Bindings::new().tensor("x", &x).key("noise", RngKey::new(5)))?;
        session.run(2)?;
        let before = x.read::<f32>()?.wait()?;
        matches(&session.time_dispatches(3)?, &plan);
        assert_eq!((session.step(), x.read::<f32>()?.wait()?), (2, before), "{tier}");
    }
    Ok(())
}

#[test]
fn a_fault_that_only_the_repeats_raise_is_not_the_sessions() -> Result<()> {
    let gpu = common::gpu();
    let g = Graph::new();
    // Ten orders of magnitude a step: one step is finite, five are not.
    let grown = g.input("x", [7]) * 1e10;
    let plan = Plan::compile(&gpu, &[("x", grown)], &CompileOptions::default())?;
    let x = Tensor::from_slice(&gpu, "x", &[7], &[1.0f32; 7])?;
    let mut session = Session::new(&plan, Bindings::new().tensor("x", &x))?;
    let _ = session.time_dispatches(8)?;
    session.run(1)?;
    session.check()?;
    assert_eq!(x.read::<f32>()?.wait()?, [1e10; 7]);
    session.run(5)?;
    assert!(matches!(session.check(), Err(Error::Fault { .. })), "the control: such a plan can raise a fault");
    Ok(())
}

#[test]
fn no_repeats_are_refused() -> Result<()> {
    let mut session = training(&common::gpu())?;
    let said = session.time_dispatches(0).unwrap_err().to_string();
    assert_eq!(said, "number of repeats is 0, but must be at least 1");
    Ok(())
}
