//! The largest error of each function of `shaders/lib/math.wgsl`, against f64, over dense sweeps and at the extremes.

use ergodic::kernels::math;

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
    let edges = [0.0, 1e-45, 1.1754942e-38, f32::MIN_POSITIVE, 1e-30, 1e-8, 5.9604645e-8, 0.5, 0.70710677, 0.7071068];
    let more = [1.0, 0.99999994, 1.0000001, std::f32::consts::SQRT_2, 9.02, 88.72283, 88.72284, 103.97208, f32::MAX];
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
    let errors = xs.iter().zip(got).map(|(x, got)| (error(*x, *got, meaning(f64::from(*x))), *x));
    errors.fold((0.0, 0.0), |a, b| if b.0 > a.0 { b } else { a })
}

#[test]
fn the_twins_follow_f64_within_their_bounds() {
    let xs = sweep();
    for law in &LAWS {
        let got: Vec<f32> = xs.iter().map(|x| (law.twin)(*x)).collect();
        let (worst, at) = worst(&xs, &got, law.meaning);
        println!("{:<11} host {worst:.2} ulp at {at:e}", law.name);
        assert!(worst <= law.ulp, "{}: {worst} ulp at {at:e}", law.name);
    }
}
