//! Words to uniforms and normals: the twins of `uniform01`, `normal4` and `normal_exact` in `shaders/lib/philox.wgsl`.

const EPS_23: f32 = 1.0 / 8_388_608.0;

/// `(k + 1/2) 2^-23` for the upper 23 bits `k` of a word: strictly inside (0, 1), equal on every device.
pub fn uniform01(r: u32) -> f32 {
    ((r >> 9) as f32 + 0.5) * EPS_23
}

/// Two standard normals from two words, by Box-Muller: the radius takes all bits of the first (at most 6.66), the angle
/// 25 bits of the second.
///
/// Error of each against the same map in f64: below 4 ulp (measured 3.6 over 2 10^6 values). A GPU's differ from these
/// by as much again.
pub fn box_muller(r: [u32; 2]) -> [f32; 2] {
    let radius = radius(r[0]);
    let t = ((r[1] << 2 >> 9) as f32 + 0.5) * EPS_23 - 0.5;
    let z = t * t;
    let s = radius * t * horner(&SIN, z);
    let c = radius * horner(&COS, z);
    match r[1] >> 30 {
        0 => [c, s],
        1 => [-s, c],
        2 => [-c, -s],
        _ => [s, -c],
    }
}

/// `sqrt(-2 log u)`, `u = 2^-e m` with `e` the leading zeros of the word.
fn radius(r: u32) -> f32 {
    let v = r | 1;
    let e = v.leading_zeros();
    let m = (((v << e) >> 9) as f32 + 0.5) * EPS_23;
    let (f, k) = if m < std::f32::consts::FRAC_1_SQRT_2 { (m + m - 1.0, e + 1) } else { (m - 1.0, e) };
    let z = f * f;
    let log_m = f + (z * (f * horner(&LOG, f)) - 0.5 * z);
    (2.0 * (k as f32 * std::f32::consts::LN_2 - log_m)).sqrt()
}

fn horner(coefficients: &[f32], x: f32) -> f32 {
    coefficients.iter().rev().fold(0.0, |sum, c| sum * x + c)
}

// Minimax fits, constant term first: (log(1+f) - f + f^2/2) / f^3 on [sqrt(1/2) - 1, 0] and on to sqrt(2) - 1, relative
// error of the logarithm 2^-24.9; sin(pi t/2)/t and cos(pi t/2) in t^2 for |t| <= 1/2, 2^-28 and 2^-34.
const LOG: [f32; 7] = [0.3333391, -0.25001338, 0.19963062, -0.16577587, 0.14914787, -0.14267476, 0.0870036];
const SIN: [f32; 4] = [std::f32::consts::FRAC_PI_2, -0.6459635, 0.07968003, -0.0046016574];
const COS: [f32; 5] = [1.0, -1.2337005, 0.25366917, -0.020859936, 0.000903363];

/// A standard normal from one word by integer arithmetic alone, so that it is equal on every device.
///
/// ```text
/// |z| = -Phi^-1(q),   q = (2 (r mod 2^31) + 1) 2^-33,   sign from the upper bit of r
/// ```
///
/// `q` is normalised by its leading zeros, `y = -log2 q` is a polynomial of degree 8 on an octave of `q`, and `|z|` one
/// of degree 7 on an octave of `y`, in fixed point. The result is rounded to 24 bits in integers, so that its
/// conversion to f32 is exact.
///
/// Error: `|z - Phi^-1| <= 2^-21`, tails included (measured 2^-21.2 over 3 10^6 words, all of the outer 2^20 among them).
/// Largest value: 6.338. The law is symmetric to the bit: its mean is 0.
///
/// # Example
/// ```
/// # use ergodic::random::normal_exact;
/// assert_eq!(normal_exact(0), 6.3379579);
/// assert_eq!(normal_exact(0x8000_0000), -6.3379579);
/// ```
pub fn normal_exact(r: u32) -> f32 {
    let w = (r << 1) | 1;
    let e = w.leading_zeros();
    let log2_m = fixed_horner(&LOG2, (((w << e) << 1) ^ 0x8000_0000) as i32);
    let frac = (log2_m.clamp(1, 0x3FFF_FFFF) as u32) << 1;
    let j = 31 - (e + 1).leading_zeros();
    let y = ((u64::from(e) + 2) << (31 - j)) as u32;
    let u = (y.wrapping_sub(frac >> j) << 1) ^ 0x8000_0000;
    let z = match OCTAVES.get(j as usize) {
        Some(octave) => fixed_horner(octave, u as i32).max(0),
        None => FARTHEST,
    };
    let unit = 1 << 8_u32.saturating_sub(z.leading_zeros());
    let rounded = (z + (unit >> 1)) & -unit;
    (if r >> 31 == 1 { -rounded } else { rounded }) as f32 / (1 << 28) as f32
}

/// Horner's rule; `x` has 32 fraction bits, the sum those of the coefficients.
fn fixed_horner(coefficients: &[i32], x: i32) -> i32 {
    coefficients.iter().rev().fold(0, |sum, c| fixed_mul(sum, x) + c)
}

/// `a b 2^-32`, up to 3 units too low, with the same carries dropped as in the shader.
fn fixed_mul(a: i32, b: i32) -> i32 {
    let (a1, a0, b1, b0) = (a >> 16, a & 0xFFFF, b >> 16, b & 0xFFFF);
    a1 * b1 + ((a1 * b0) >> 16) + ((a0 * b1) >> 16)
}

// Minimax fits in u in [-1/2, 1/2], constant term first. log2(3/2 + u), 30 fraction bits, error 2^-24.5.
const LOG2: [i32; 9] =
    [628098689, 1032720561, -344238225, 153036530, -76557509, 40225481, -22096330, 15868627, -9759013];
// -Phi^-1(2^-y) at y = 2^j (3/2 + u) for j = 0..5, 28 fraction bits, error 2^-23.4 to 2^-22.5.
const OCTAVES: [[i32; 8]; 5] = [
    [100863195, 176956990, -39415693, 15419458, -7116694, 3585387, -2302223, 1345457],
    [308794586, 225967920, -47223164, 18029395, -8212615, 4102013, -2612740, 1519344],
    [578176365, 296496378, -58347962, 21680165, -9721868, 4804760, -3029840, 1750997],
    [936062415, 398082225, -74425532, 26909412, -11860612, 5790500, -3607954, 2069386],
    [1421286348, 544048176, -97764359, 34497860, -14951691, 7207329, -4432080, 2520312],
];
// -Phi^-1(2^-33), the one value beyond the last octave.
const FARTHEST: i32 = 1701332580;

#[cfg(test)]
mod tests {
    use super::*;

    /// `-Phi^-1(q) - z` to first order; `erfc` keeps its relative accuracy in the tail.
    fn exact_error(r: u32) -> f64 {
        let z = f64::from(normal_exact(r & 0x7FFF_FFFF));
        let q = f64::from((r << 1) | 1) * (-33_f64).exp2();
        let tail = 0.5 * libm::erfc(z * std::f64::consts::FRAC_1_SQRT_2);
        let density = (-0.5 * z * z).exp() / (2.0 * std::f64::consts::PI).sqrt();
        (tail - q) / density
    }

    #[test]
    fn the_exact_normal_inverts_the_distribution_function_to_2_to_the_minus_21() {
        // Every word of the outer 2^-11 of the tail, and every 1021st word (a prime) of the rest.
        let words = (0..1 << 20).chain((0..1 << 31).step_by(1021));
        let worst = words.map(|r| exact_error(r).abs()).fold(0.0, f64::max);
        println!("largest error {worst:e}, 2^{}", worst.log2());
        assert!(worst <= (-21_f64).exp2(), "error {worst:e}");
    }

    #[test]
    fn the_exact_normal_is_odd_in_the_upper_bit() {
        for r in (0..1 << 31).step_by(65537) {
            assert_eq!(normal_exact(r), -normal_exact(r | 0x8000_0000), "word {r:#x}");
        }
    }

    #[test]
    fn box_muller_follows_its_f64_meaning_within_4_ulp() {
        let mut r = 1_u32;
        let mut worst = 0.0_f64;
        for i in 0..1_000_000_u32 {
            r = r.wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
            let words = [if i % 2 == 0 { r } else { r >> (i % 32) }, r.rotate_left(16) ^ i];
            for (got, want) in box_muller(words).into_iter().zip(box_muller_f64(words)) {
                let ulp = (want.abs().log2().floor() - 23.0).exp2();
                worst = worst.max((f64::from(got) - want).abs() / ulp);
            }
        }
        println!("largest error {worst} ulp");
        assert!(worst <= 4.0, "{worst} ulp");
    }

    /// Box-Muller from its formula: the uniform keeps 24 significant bits of the word, the angle 25.
    fn box_muller_f64(r: [u32; 2]) -> [f64; 2] {
        let shift = 31 - (r[0] | 1).ilog2();
        let mantissa = (((r[0] | 1) << shift) >> 9) as f64 + 0.5;
        let radius = (-2.0 * (mantissa * (-23.0 - f64::from(shift)).exp2()).ln()).sqrt();
        let (quadrant, part) = (r[1] >> 30, (r[1] & 0x3FFF_FFFF) >> 7);
        let t = (f64::from(part) + 0.5) * (-23_f64).exp2() - 0.5;
        let (s, c) = (t * std::f64::consts::FRAC_PI_2).sin_cos();
        [[c, s], [-s, c], [-c, -s], [s, -c]][quadrant as usize].map(|v| radius * v)
    }

    #[test]
    fn the_shader_holds_the_constants_of_this_file() {
        let text = include_str!("../../shaders/lib/philox.wgsl");
        for octave in OCTAVES {
            for half in octave.chunks(4) {
                let row = half.iter().map(i32::to_string).collect::<Vec<_>>().join(", ");
                assert!(text.contains(&format!("vec4<i32>({row})")), "octave row {row} is missing");
            }
        }
        for c in LOG2.into_iter().chain([FARTHEST]) {
            assert!(text.contains(&c.abs().to_string()), "{c} is missing");
        }
        for c in LOG.into_iter().chain(SIN).chain(COS) {
            assert!(text.contains(&c.abs().to_string()), "{c} is missing");
        }
    }
}
