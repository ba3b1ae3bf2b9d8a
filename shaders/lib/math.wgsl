// math: f32 functions whose accuracy does not depend on the driver.
// Built-in sin, cos, tanh and log are as good as the driver likes (sin is off by 2e-4 on one software adapter, tanh may
// overflow); these use + - * /, floor, select and integer operations only. Largest errors in ulp, measured in
// tests/math_accuracy.rs:
//   m_exp m_expm1 m_log m_log1p m_softplus m_tanh m_erf  see the table in kernels/math.rs
//   m_sin m_cos m_sincos  absolute 2^-23 for |x| <= 1e5; beyond, bounded by 1 but without meaning
//   m_pow(x, y)           2 + 2 |y log m| ulp, m in [0.7, 1.42) the mantissa of x; a negative x needs a whole y
// Where the true value is finite and normal, so is the result. Overflow gives inf, log(0) is -inf, log(-1) is NaN, NaN
// in gives NaN out: a fault is never hidden. Subnormal arguments and results may be flushed to zero.
// sincos relies on the order of its subtractions: a compiler that reassociates (Metal's fast math may) leaves an error
// of about |x| 2^-24. No tables, no branches: every lane does the same work. Twin: kernels/math.rs.

// On the bits: x != x may be optimised away.
fn is_finite_bits(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7F800000u) != 0x7F800000u;
}

// y, or NaN where x is NaN; min, max and clamp may drop a NaN.
fn m_keep_nan(x: f32, y: f32) -> f32 {
    let nan = (bitcast<u32>(x) & 0x7FFFFFFFu) > 0x7F800000u;
    return bitcast<f32>(select(bitcast<u32>(y), 0x7FC00000u, nan));
}

// 2^n for n in -126..127.
fn m_pow2(n: i32) -> f32 {
    return bitcast<f32>(bitcast<u32>(n + 127) << 23u);
}

// (e^r - 1 - r) / r^2 on [-ln 2 / 2, ln 2 / 2].
fn m_exp_poly(r: f32) -> f32 {
    var p = 0.0013898242 * r + 0.0083661;
    p = p * r + 0.041666854;
    p = p * r + 0.16666548;
    return p * r + 0.5;
}

// e^r 2^n. Two factors: 2^n alone is no f32 number for every n of interest.
fn m_exp_scaled(r: f32, n: i32) -> f32 {
    let half = n >> 1u;
    return ((m_exp_poly(r) * r + 1.0) * r + 1.0) * m_pow2(half) * m_pow2(n - half);
}

// (r, n) with x = n ln 2 + r; n times the first constant is exact for |n| < 2^14.
fn m_exp_split(x: f32) -> vec2<f32> {
    let n = floor(x * 1.442695 + 0.5);
    return vec2<f32>((x - n * 0.693359375) + n * 0.00021219444, n);
}

fn m_exp(x: f32) -> f32 {
    let split = m_exp_split(clamp(x, -104.0, 89.0));
    return m_keep_nan(x, m_exp_scaled(split.x, i32(split.y)));
}

fn m_expm1(x: f32) -> f32 {
    let split = m_exp_split(clamp(x, -20.0, 89.0));
    let r = split.x;
    let s = m_pow2(i32(split.y) - 1);
    // Where half of x is subnormal many devices have nothing.
    let y = select(2.0 * (s * (m_exp_poly(r) * (r * r) + r) + (s - 0.5)), x, abs(x) < 1e-30);
    return m_keep_nan(x, y);
}

// log(1 + f) + k ln 2 for f in [sqrt(1/2) - 1, sqrt(2) - 1].
fn m_log_sum(f: f32, k: f32) -> f32 {
    var p = -0.076344296 * f + 0.1276155;
    p = p * f - 0.13160194;
    p = p * f + 0.14201762;
    p = p * f - 0.16623357;
    p = p * f + 0.20001227;
    p = p * f - 0.25000823;
    p = p * f + 0.3333333;
    let z = f * f;
    let y = z * (f * p) - k * 0.00021219444 - 0.5 * z;
    return k * 0.693359375 + (f + y);
}

// y, or what a logarithm gives for an argument with these bits: inf and NaN stay, log(-x) = NaN, log(0) = -inf.
fn m_log_edges(bits: u32, y: f32) -> f32 {
    var out = select(bitcast<u32>(y), bits, bits >= 0x7F800000u);
    out = select(out, 0x7FC00000u, bits > 0x80000000u);
    return bitcast<f32>(select(out, 0xFF800000u, (bits & 0x7FFFFFFFu) == 0u));
}

// (f, k) with x = 2^k (1 + f), from the bits of a positive x.
fn m_log_split(bits: u32) -> vec2<f32> {
    // A subnormal is a multiple of 2^-149 and may be flushed by float arithmetic: normalise it as an integer.
    let tiny = bits < 0x00800000u;
    let b = select(bits, bitcast<u32>(f32(bits)), tiny);
    let k = bitcast<i32>(b - 0x3F3504F3u) >> 23u;
    let f = bitcast<f32>(b - bitcast<u32>(k << 23u)) - 1.0;
    return vec2<f32>(f, f32(k) - select(0.0, 149.0, tiny));
}

fn m_log(x: f32) -> f32 {
    let bits = bitcast<u32>(x);
    let split = m_log_split(bits);
    return m_log_edges(bits, m_log_sum(split.x, split.y));
}

fn m_log1p(x: f32) -> f32 {
    let bits = bitcast<u32>(1.0 + x);
    let split = m_log_split(bits);
    // With k = 0, x itself is f without the rounding of 1 + x; elsewhere that rounding costs at most 2 ulp.
    return m_log_edges(bits, m_log_sum(select(split.x, x, split.y == 0.0), split.y));
}

fn m_softplus(x: f32) -> f32 {
    return m_keep_nan(x, max(x, 0.0) + m_log1p(m_exp(-abs(x))));
}

fn m_tanh(x: f32) -> f32 {
    let c = clamp(x, -9.02, 9.02);
    let z = c * c;
    let p = (((1.331916e-8 * z + 2.0583553e-5) * z + 0.003494039) * z + 0.13379721) * z + 1.0;
    let q = (((7.762058e-7 * z + 0.0003283100) * z + 0.02587109) * z + 0.46713036) * z + 1.0;
    return m_keep_nan(x, clamp(c * p / q, -1.0, 1.0));
}

fn m_erf(x: f32) -> f32 {
    let c = clamp(x, -3.93, 3.93);
    let z = c * c;
    var p = 2.041977e-6 * z + 0.00028480787;
    p = ((p * z + 0.0037795764) * z + 0.052790187) * z + 0.19078307;
    p = p * z + 1.1283792;
    var q = 3.8004102e-5 * z + 0.0011652047;
    q = ((q * z + 0.014997372) * z + 0.11425721) * z + 0.5024098;
    q = q * z + 1.0;
    return m_keep_nan(x, clamp(c * p / q, -1.0, 1.0));
}

// (sin x, cos x).
fn m_sincos(x: f32) -> vec2<f32> {
    let n = floor(x * 0.63661975 + 0.5);
    // pi/2 in three parts of 8 bits and a rest: n times a part is exact for |n| < 2^16, that is |x| < 102943.
    let r = ((x - n * 1.5703125) - n * 0.0004825592) - n * 1.2665987e-6 - n * 9.9209363e-10;
    let a = clamp(r, -0.8, 0.8); // keeps the result bounded far out, where r has lost its meaning
    let z = a * a;
    let s = ((-0.00019514957 * z + 0.0083321584) * z - 0.16666655) * (z * a) + a;
    let c = 1.0 - z * (0.5 - z * ((2.4432784e-5 * z - 0.0013887313) * z + 0.041666646));
    let quadrant = bitcast<u32>(i32(clamp(n, -1e9, 1e9)));
    let swap = (quadrant & 1u) != 0u;
    let flip_s = (quadrant & 2u) << 30u;
    let flip_c = ((quadrant + 1u) & 2u) << 30u;
    let bits = bitcast<vec2<u32>>(select(vec2<f32>(s, c), vec2<f32>(c, s), swap)) ^ vec2<u32>(flip_s, flip_c);
    return bitcast<vec2<f32>>(select(vec2<u32>(0x7FC00000u), bits, is_finite_bits(x)));
}

fn m_sin(x: f32) -> f32 {
    return m_sincos(x).x;
}

fn m_cos(x: f32) -> f32 {
    return m_sincos(x).y;
}

// |x|^y = 2^(y k) exp(y log m) with |x| = 2^k m: y k is formed exactly, so only y log m carries an error.
fn m_pow_magnitude(bits: u32, y: f32) -> f32 {
    let split = m_log_split(bits);
    let y_hi = bitcast<f32>(bitcast<u32>(y) & 0xFFFFF000u);
    // |log2 m| <= 1/2, so b is at most half of a: the clamped sum still over- or underflows where the true one does.
    let a = clamp(y_hi * split.y, -512.0, 512.0);
    let b = clamp((y - y_hi) * split.y + y * (m_log_sum(split.x, 0.0) * 1.442695), -256.0, 256.0);
    let n_a = floor(a + 0.5);
    let n_b = floor((a - n_a) + b + 0.5);
    let r = ((a - n_a) - n_b) + b;
    let n = clamp(i32(n_a + n_b), -252, 254);
    return m_exp_scaled(r * 0.6931472, n);
}

// For finite y. 0^0 = 1, 0^-1 = inf; the sign of a negative x follows a whole y, any other y gives NaN.
fn m_pow(x: f32, y: f32) -> f32 {
    let bits = bitcast<u32>(x) & 0x7FFFFFFFu;
    let grows = (bits == 0u) == (y < 0.0);
    let edge = select(0u, 0x7F800000u, grows);
    var out = select(bitcast<u32>(m_pow_magnitude(bits, y)), edge, bits == 0u || bits == 0x7F800000u);
    let negative = bitcast<u32>(x) > 0x80000000u;
    let odd = floor(y * 0.5) * 2.0 != y;
    out = select(out, out ^ 0x80000000u, negative && odd);
    out = select(out, 0x7FC00000u, (negative && floor(y) != y) || bits > 0x7F800000u);
    return m_keep_nan(y, bitcast<f32>(select(out, 0x3F800000u, y == 0.0)));
}
