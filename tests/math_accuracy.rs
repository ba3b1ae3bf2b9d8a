//! The largest error of each function of `shaders/lib/math.wgsl`, against f64, over dense sweeps and at the extremes.

mod common;

use common::{dispatch, gpus, kernel};
use ergodic::gpu::shader::{Defines, preprocess};
use ergodic::gpu::{Binding, Gpu, Tensor};
use ergodic::kernels::math;
use std::f32::consts::{FRAC_1_SQRT_2, SQRT_2};

/// One function: its name in the shader, its f32 twin, its meaning, and the errors allowed.
struct Law {
    name: &'static str,
    twin: fn(f32) -> f32,
    meaning: fn(f64) -> f64,
    /// Units in the last place, on the whole domain.
    ulp: f64,
}

const LAWS: [Law; 7] = [
    Law { name: "m_exp", twin: math::exp, meaning: f64::exp, ulp: 2.0 },
    Law { name: "m_expm1", twin: math::expm1, meaning: f64::exp_m1, ulp: 3.0 },
    Law { name: "m_log", twin: math::log, meaning: f64::ln, ulp: 2.0 },
    Law { name: "m_log1p", twin: math::log1p, meaning: f64::ln_1p, ulp: 4.0 },
    Law { name: "m_softplus", twin: math::softplus, meaning: softplus, ulp: 4.0 },
    Law { name: "m_tanh", twin: math::tanh, meaning: f64::tanh, ulp: 8.0 },
    Law { name: "m_erf", twin: math::erf, meaning: libm::erf, ulp: 9.0 },
];

fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

/// Every sign and exponent with 509 mantissas, a dense sweep of [-20, 20], and edges.
fn sweep() -> Vec<f32> {
    let every_scale = (0..u32::MAX / 16_411).map(|i| f32::from_bits(i * 16_411));
    let dense = (-600_000..600_000).map(|i| i as f32 / 30_000.0);
    let edges = [0.0, 1e-45, 1.1754942e-38, f32::MIN_POSITIVE, 1e-30, 1e-8, 5.9604645e-8, 0.5, FRAC_1_SQRT_2];
    let more = [1.0, 0.99999994, 1.0000001, SQRT_2, 9.02, 88.72283, 88.72284, 103.97208, f32::MAX];
    let edges = edges.into_iter().chain(more).flat_map(|x| [x, -x]);
    every_scale.chain(dense).chain(edges).filter(|x| x.is_finite()).collect()
}

/// The distance of two neighbouring f32 at `want`; subnormal results may be flushed, so they count as 2^-126.
fn ulp(want: f64) -> f64 {
    let normal = want.abs() >= f64::from(f32::MIN_POSITIVE);
    if normal { (want.abs().log2().floor() - 23.0).exp2() } else { f64::from(f32::MIN_POSITIVE) }
}

/// Error in ulp, where both are finite; both must be infinite or not a number together.
fn error(x: f32, got: f32, want: f64) -> f64 {
    let rounded = want as f32;
    match (got.is_finite(), rounded.is_finite()) {
        (true, true) => (f64::from(got) - want).abs() / ulp(want),
        // The last number before overflow may round either way.
        (false, true) | (true, false) if (want.abs() / f64::from(f32::MAX) - 1.0).abs() < 1e-6 => 0.0,
        _ if got == rounded || (got.is_nan() && rounded.is_nan()) => 0.0,
        _ => panic!("at {x:e}: got {got:e}, want {want:e}"),
    }
}

fn worst(xs: &[f32], got: &[f32], meaning: impl Fn(f64) -> f64) -> (f64, f32) {
    let of = |x: f32, got: f32| match x.is_subnormal() && got == meaning(0.0) as f32 {
        true => 0.0, // a device may take it for 0
        false => error(x, got, meaning(f64::from(x))),
    };
    let errors = xs.iter().zip(got).map(|(x, got)| (of(*x, *got), *x));
    errors.fold((0.0, 0.0), |a, b| if b.0 > a.0 { b } else { a })
}

/// `expression` of `x` and `y` on the device, for every element.
fn on_device(gpu: &Gpu, expression: &str, xs: &[f32], ys: &[f32]) -> Vec<f32> {
    let text = format!(
        "#import lib/index
#import lib/math
@group(0) @binding(0) var<storage, read> xs: array<f32>;
@group(0) @binding(1) var<storage, read> ys: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) local: u32) {{
    let i = flat_index(group, groups, local, 64u);
    if (i < {}u) {{
        let x = xs[i];
        let y = ys[i];
        out[i] = {expression};
    }}
}}",
        xs.len()
    );
    let run = || {
        let wgsl = preprocess("math_accuracy", &text, &Defines::new())?;
        let upload = |name: &str, values: &[f32]| Tensor::from_slice(gpu, name, &[values.len()], values);
        let tensors = [upload("xs", xs)?, upload("ys", ys)?, upload("out", &vec![0.0; xs.len()])?];
        let source = kernel("math_accuracy", wgsl, &[Binding::Read, Binding::Read, Binding::ReadWrite]);
        dispatch(gpu, &source, &tensors.each_ref(), xs.len() as u64)?;
        tensors[2].read::<f32>()?.wait()
    };
    run().unwrap_or_else(|error: ergodic::Error| panic!("{error}"))
}

/// The host and both tiers of the device, as `expression of (x, y)` on whole arrays.
fn everywhere(
    expression: &str,
    host: impl Fn(f32, f32) -> f32,
    xs: &[f32],
    ys: &[f32],
) -> Vec<(&'static str, Vec<f32>)> {
    let host = xs.iter().zip(ys).map(|(x, y)| host(*x, *y)).collect();
    let device = gpus().map(|(tier, gpu)| (tier, on_device(&gpu, expression, xs, ys)));
    [("host", host)].into_iter().chain(device).collect()
}

#[test]
fn functions_follow_f64_within_their_bounds() {
    let xs = sweep();
    for law in &LAWS {
        for (place, got) in everywhere(&format!("{}(x)", law.name), |x, _| (law.twin)(x), &xs, &xs) {
            let (worst, at) = worst(&xs, &got, law.meaning);
            println!("{:<11} {place:<9} {worst:.2} ulp at {at:e}", law.name);
            assert!(worst <= law.ulp, "{} on {place}: {worst} ulp at {at:e}", law.name);
        }
    }
}

#[test]
fn saturating_functions_never_pass_one() {
    let xs: Vec<f32> = sweep();
    for law in LAWS.iter().filter(|law| ["m_tanh", "m_erf"].contains(&law.name)) {
        for (place, got) in everywhere(&format!("{}(x)", law.name), |x, _| (law.twin)(x), &xs, &xs) {
            assert!(got.iter().all(|y| y.abs() <= 1.0), "{} on {place}", law.name);
        }
    }
}

#[test]
fn sine_and_cosine_are_within_2_to_the_minus_23_up_to_1e5() {
    let near_zeros = (-64_000..64_000).map(|k| (f64::from(k) * std::f64::consts::FRAC_PI_2) as f32);
    let dense = (-500_000..500_000).map(|i| i as f32 * 0.2 + 0.01);
    let xs: Vec<f32> = near_zeros.chain(dense).chain(sweep()).filter(|x| x.abs() <= 1e5).collect();
    for (name, twin, meaning) in
        [("m_sin(x)", math::sin as fn(f32) -> f32, f64::sin as fn(f64) -> f64), ("m_cos(x)", math::cos, f64::cos)]
    {
        for (place, got) in everywhere(name, |x, _| twin(x), &xs, &xs) {
            let errors = xs.iter().zip(&got).map(|(x, y)| (f64::from(*y) - meaning(f64::from(*x))).abs());
            let worst = errors.fold(0.0, f64::max);
            println!("{name} {place:<9} {worst:e}");
            assert!(worst <= (-23_f64).exp2(), "{name} on {place}: {worst:e}");
        }
    }
}

#[test]
fn sine_and_cosine_stay_bounded_beyond_their_domain() {
    let xs: Vec<f32> = sweep();
    for (place, got) in everywhere("max(abs(m_sin(x)), abs(m_cos(x)))", |x, _| math::sin(x).abs(), &xs, &xs) {
        assert!(got.iter().all(|y| *y <= 1.0), "{place}");
    }
}

/// A power's error is that of its logarithm, `2 |y log m|` ulp with m the mantissa, and 2 for the rest.
#[test]
fn powers_follow_f64_within_the_error_of_their_logarithm() {
    let bases = [1e-38, 1e-5, 0.1, 0.5, 0.7, 0.99, 1.0, 1.01, 1.4, 1.5, 2.0, 3.0, 10.0, 1234.5, 1e20, 3e38];
    let exponents = (-400..=400).map(|i| i as f32 * 0.25).chain([0.33333334, 1e-5, 3e4, -3e4, 1e38, -1e38]);
    let pairs: Vec<(f32, f32)> = exponents.flat_map(|y| bases.map(|x| (x, y))).collect();
    let (xs, ys): (Vec<f32>, Vec<f32>) = pairs.into_iter().unzip();
    for (place, got) in everywhere("m_pow(x, y)", math::pow, &xs, &ys) {
        let mut worst = 0.0_f64;
        for ((x, y), got) in xs.iter().zip(&ys).zip(got) {
            let (x64, y64) = (f64::from(*x), f64::from(*y));
            let mantissa = (x64.log2() - x64.log2().round()) * std::f64::consts::LN_2;
            worst = worst.max(error(*x, got, x64.powf(y64)) / (2.0 + 2.0 * (y64 * mantissa).abs()));
        }
        println!("m_pow {place:<9} {worst:.2} of its bound");
        assert!(worst <= 1.0, "m_pow on {place}: {worst} of its bound");
    }
}

#[test]
fn powers_of_negative_numbers_and_zero_follow_powf() {
    let (mut xs, mut ys) = (Vec::new(), Vec::new());
    for x in [-8.0_f32, -2.0, -1.0, -0.5, 0.0, f32::INFINITY] {
        for y in [-3.0, -2.5, -2.0, -1.0, 0.0, 0.5, 1.0, 2.0, 3.0, 16_777_217.0] {
            xs.push(x);
            ys.push(y);
        }
    }
    for (place, got) in everywhere("m_pow(x, y)", math::pow, &xs, &ys) {
        for ((x, y), got) in xs.iter().zip(&ys).zip(got) {
            let want = x.powf(*y);
            assert!(got == want || (got.is_nan() && want.is_nan()), "{x}^{y} on {place}: got {got}, want {want}");
        }
    }
}

#[test]
fn a_fault_goes_through_every_function() {
    let xs = [f32::NAN, -f32::NAN, f32::from_bits(0x7F80_0001)];
    let names = LAWS.iter().map(|law| law.name).chain(["m_sin", "m_cos"]);
    for call in names.map(|name| format!("{name}(x)")).chain(["m_pow(x, 2.0)".into(), "m_pow(2.0, x)".into()]) {
        for (tier, gpu) in gpus() {
            let got = on_device(&gpu, &call, &xs, &xs);
            assert!(got.iter().all(|y| y.is_nan()), "{call} on {tier}: {got:?}");
        }
    }
    let infinite = [f32::INFINITY, f32::NEG_INFINITY];
    for (tier, gpu) in gpus() {
        assert!(on_device(&gpu, "m_sin(x)", &infinite, &infinite).iter().all(|y| y.is_nan()), "{tier}");
    }
}

#[test]
fn finiteness_is_read_from_the_bits() {
    let xs: Vec<f32> = sweep().into_iter().chain([f32::NAN, f32::INFINITY, f32::NEG_INFINITY]).collect();
    for (tier, gpu) in gpus() {
        let got = on_device(&gpu, "select(0.0, 1.0, is_finite_bits(x))", &xs, &xs);
        assert!(xs.iter().zip(got).all(|(x, y)| (y == 1.0) == x.is_finite()), "{tier}");
    }
}
