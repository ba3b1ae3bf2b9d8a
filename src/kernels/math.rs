//! The functions of `shaders/lib/math.wgsl` on the host, in f32 and with the same polynomials.
//!
//! They exist so that a host twin of a kernel makes the kernel's errors and no others. Their meaning is the function of
//! the same name in f64 (`f64::tanh`, `libm::erf`, ..); the largest errors against it, in units in the last place:
//!
//! | | domain | ulp |
//! |---|---|---|
//! | `exp` | all | 1.2 |
//! | `expm1` | all | 1.6 |
//! | `log` | all, subnormals included | 0.8 |
//! | `log1p` | all | 2.4 |
//! | `softplus` | all | 2.6 |
//! | `tanh`, `erf` | all; the largest where they are near 1, absolute 3.7e-7 | 6.1 |
//! | `sin`, `cos` | absolute value to 1e5 | absolute 2^-23 |
//! | `pow` | all x, result finite and normal | 2 + 2 abs(y log m), m in [0.7, 1.42) the mantissa of x |
//!
//! A software adapter gives the same errors. A GPU may contract `a * b + c` and divide with 2.5 ulp of error, so it
//! differs from these functions by about as much as either differs from the true value.
//!
//! Overflow gives infinity, `log(0)` is `-inf`, a logarithm of a negative number NaN, and NaN goes through: a fault is
//! never hidden. Subnormal results may be flushed to zero on a GPU.

const LN2_HI: f32 = 0.693_359_4; // 0.693359375, 10 bits
const LN2_LO: f32 = -0.00021219444;

// Minimax fits, constant term first, with the relative error of the function they serve.
/// `(e^r - 1 - r) / r^2`, |r| <= ln(2)/2: 2^-26.
const EXP: [f32; 5] = [0.5, 0.16666548, 0.041666854, 0.0083661, 0.0013898242];
/// `(log(1+f) - f + f^2/2) / f^3`, 1 + f in [sqrt(1/2), sqrt(2)]: 2^-27.
const LOG: [f32; 8] = [0.3333333, -0.25000823, 0.20001227, -0.16623357, 0.14201762, -0.13160194, 0.1276155, -0.0763443];
/// `tanh(x) / x = P(x^2) / Q(x^2)`, |x| <= 9.02: 2^-25.5.
const TANH_P: [f32; 5] = [1.0, 0.13379721, 0.003494039, 2.0583553e-5, 1.331916e-8];
const TANH_Q: [f32; 5] = [1.0, 0.46713036, 0.02587109, 0.00032831, 7.762058e-7];
/// `erf(x) / x = P(x^2) / Q(x^2)`, |x| <= 3.93: 2^-25.6.
const ERF_P: [f32; 6] =
    [std::f32::consts::FRAC_2_SQRT_PI, 0.19078307, 0.052790187, 0.0037795764, 0.00028480787, 2.041977e-6];
const ERF_Q: [f32; 6] = [1.0, 0.5024098, 0.11425721, 0.014997372, 0.0011652047, 3.8004102e-5];
/// `(sin(a) - a) / a^3` and `(cos(a) - 1 + a^2/2) / a^4` in `a^2`, |a| <= pi/4: 2^-28, 2^-33.
const SIN: [f32; 3] = [-0.16666655, 0.008332158, -0.00019514957];
const COS: [f32; 3] = [0.041666646, -0.0013887313, 2.4432784e-5];
/// pi/2 in three parts of 8 bits and a rest.
const HALF_PI: [f32; 4] = [1.5703125, 0.0004825592, 1.2665987e-6, 9.920936e-10];

fn horner(coefficients: &[f32], x: f32) -> f32 {
    coefficients.iter().rev().fold(0.0, |sum, c| sum * x + c)
}

fn pow2(n: i32) -> f32 {
    f32::from_bits(((n + 127) << 23) as u32)
}

/// `(r, n)` with `x = n ln 2 + r`.
fn exp_split(x: f32) -> (f32, i32) {
    let n = (x * std::f32::consts::LOG2_E + 0.5).floor();
    ((x - n * LN2_HI) - n * LN2_LO, n as i32)
}

/// `e^r 2^n`, in two factors: `2^n` alone is no f32 number for every n of interest.
fn exp_scaled(r: f32, n: i32) -> f32 {
    ((horner(&EXP, r) * r + 1.0) * r + 1.0) * pow2(n >> 1) * pow2(n - (n >> 1))
}

/// `(f, k)` with `x = 2^k (1 + f)`, for positive x.
fn log_split(x: f32) -> (f32, f32) {
    let bits = x.to_bits();
    let tiny = bits < 0x0080_0000;
    let b = if tiny { (bits as f32).to_bits() } else { bits };
    let k = b.wrapping_sub(0x3F35_04F3) as i32 >> 23;
    let f = f32::from_bits(b.wrapping_sub((k << 23) as u32)) - 1.0;
    (f, k as f32 - if tiny { 149.0 } else { 0.0 })
}

/// `log(1 + f) + k ln 2`.
fn log_sum(f: f32, k: f32) -> f32 {
    let z = f * f;
    let y = z * (f * horner(&LOG, f)) + k * LN2_LO - 0.5 * z;
    k * LN2_HI + (f + y)
}

fn log_edges(x: f32) -> Option<f32> {
    match x {
        x if x.is_nan() || x == f32::INFINITY => Some(x),
        0.0 => Some(f32::NEG_INFINITY),
        x if x < 0.0 => Some(f32::NAN),
        _ => None,
    }
}

/// `e^x`; infinity above 88.72, zero below -104.
pub fn exp(x: f32) -> f32 {
    let (r, n) = exp_split(x.clamp(-104.0, 89.0));
    exp_scaled(r, n)
}

/// `e^x - 1` without cancellation.
pub fn expm1(x: f32) -> f32 {
    let (r, n) = exp_split(x.clamp(-20.0, 89.0));
    let s = pow2(n - 1);
    if x.abs() < 1e-30 { x } else { 2.0 * (s * (horner(&EXP, r) * (r * r) + r) + (s - 0.5)) }
}

/// Natural logarithm, subnormals included.
pub fn log(x: f32) -> f32 {
    let (f, k) = log_split(x);
    log_edges(x).unwrap_or_else(|| log_sum(f, k))
}

/// `log(1 + x)` without cancellation.
pub fn log1p(x: f32) -> f32 {
    let (f, k) = log_split(1.0 + x);
    log_edges(1.0 + x).unwrap_or_else(|| log_sum(if k == 0.0 { x } else { f }, k))
}

/// `log(1 + e^x)` without overflow.
pub fn softplus(x: f32) -> f32 {
    if x.is_nan() { x } else { x.max(0.0) + log1p(exp(-x.abs())) }
}

/// Hyperbolic tangent, never beyond 1.
pub fn tanh(x: f32) -> f32 {
    let c = x.clamp(-9.02, 9.02);
    (c * horner(&TANH_P, c * c) / horner(&TANH_Q, c * c)).clamp(-1.0, 1.0)
}

/// Error function, never beyond 1.
pub fn erf(x: f32) -> f32 {
    let c = x.clamp(-3.93, 3.93);
    (c * horner(&ERF_P, c * c) / horner(&ERF_Q, c * c)).clamp(-1.0, 1.0)
}

/// `(sin x, cos x)`, absolute error below 2^-23 for |x| <= 1e5. Beyond, bounded by 1 but without meaning.
pub fn sincos(x: f32) -> (f32, f32) {
    if !x.is_finite() {
        return (f32::NAN, f32::NAN);
    }
    let n = (x * std::f32::consts::FRAC_2_PI + 0.5).floor();
    let r = HALF_PI.iter().fold(x, |r, part| r - n * part);
    let a = r.clamp(-0.8, 0.8);
    let z = a * a;
    let s = horner(&SIN, z) * (z * a) + a;
    let c = 1.0 - z * (0.5 - z * horner(&COS, z));
    match n.clamp(-1e9, 1e9) as i32 & 3 {
        0 => (s, c),
        1 => (c, -s),
        2 => (-s, -c),
        _ => (-c, s),
    }
}

/// Sine; see [`sincos`].
pub fn sin(x: f32) -> f32 {
    sincos(x).0
}

/// Cosine; see [`sincos`].
pub fn cos(x: f32) -> f32 {
    sincos(x).1
}

/// `x^y` for finite y; a negative x needs a whole y, as in `f32::powf`.
pub fn pow(x: f32, y: f32) -> f32 {
    let magnitude = match x.abs() {
        _ if y == 0.0 => return 1.0,
        a if a.is_nan() || y.is_nan() || (x < 0.0 && y.floor() != y) => return f32::NAN,
        a if a == 0.0 || a.is_infinite() => {
            if (a == 0.0) == (y < 0.0) {
                f32::INFINITY
            } else {
                0.0
            }
        }
        a => pow_magnitude(a, y),
    };
    let odd = (y * 0.5).floor() * 2.0 != y;
    if x < 0.0 && odd { -magnitude } else { magnitude }
}

/// `2^(y k) exp(y log m)` with `x = 2^k m`.
fn pow_magnitude(x: f32, y: f32) -> f32 {
    let (f, k) = log_split(x);
    let y_hi = f32::from_bits(y.to_bits() & 0xFFFF_F000);
    // |log2 m| <= 1/2, so b is at most half of a: the clamped sum still over- or underflows where the true one does.
    let a = (y_hi * k).clamp(-512.0, 512.0);
    let b = ((y - y_hi) * k + y * (log_sum(f, 0.0) * std::f32::consts::LOG2_E)).clamp(-256.0, 256.0);
    let n_a = (a + 0.5).floor();
    let n_b = ((a - n_a) + b + 0.5).floor();
    let r = ((a - n_a) - n_b) + b;
    let n = ((n_a + n_b) as i32).clamp(-252, 254);
    exp_scaled(r * std::f32::consts::LN_2, n)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shader_holds_the_constants_of_this_file() {
        let text = include_str!("../../shaders/lib/math.wgsl");
        let numbers: Vec<f32> = text
            .split(|c: char| !(c.is_ascii_alphanumeric() || c == '.' || c == '-'))
            .filter_map(|word| word.parse::<f32>().ok())
            .map(f32::abs)
            .collect();
        let tables: [&[f32]; 10] =
            [&EXP, &LOG, &TANH_P, &TANH_Q, &ERF_P, &ERF_Q, &SIN, &COS, &HALF_PI, &[LN2_HI, LN2_LO]];
        for c in tables.into_iter().flatten() {
            assert!(numbers.contains(&c.abs()), "{c} is missing");
        }
    }

    #[test]
    fn the_shader_library_is_valid_wgsl() {
        use crate::gpu::shader::{Defines, preprocess};
        let (none, int64) = (naga::valid::Capabilities::empty(), naga::valid::Capabilities::SHADER_INT64);
        for (name, wide, caps) in [("math", false, none), ("philox", false, none), ("philox", true, int64)] {
            let defines = Defines::new().set("WIDE_MULTIPLY", wide);
            let text = preprocess(name, &format!("#import lib/{name}\n"), &defines);
            let text = text.unwrap_or_else(|error| panic!("{error}"));
            let module = naga::front::wgsl::parse_str(&text).map_err(|e| e.emit_to_string(&text));
            let module = module.unwrap_or_else(|message| panic!("{message}"));
            let checked = naga::valid::Validator::new(naga::valid::ValidationFlags::all(), caps).validate(&module);
            assert!(checked.is_ok(), "{checked:?}");
        }
    }
}
