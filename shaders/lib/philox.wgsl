// philox: counter-based random bits, uniforms and normals.
//   philox4x32(counter, key)  Philox4x32-10; here counter = (walker, block of 4 components, step, stream), key = seed
//   uniform01(r)              one word -> uniform, strictly inside (0, 1)
//   normal4(bits)             four words -> four standard normals, Box-Muller on (0, 1) and on (2, 3)
//   normal_exact(r)           one word -> one standard normal, by integer arithmetic alone
// Bits, uniform01 and normal_exact are equal on every device; normal4 agrees within a few ulp (compilers may or may not
// contract a*b+c). No built-in log, sin or cos: their error is the driver's choice. 64-bit integers only with WIDE_MULTIPLY,
// which needs the feature SHADER_INT64 and gives the same bits.
// No tables: indexing a constant array by a varying value is slow on many drivers.
// Source: Salmon et al., SC11 (Philox). Twins: random/philox.rs, random/normal.rs.

const PHILOX_WEYL = vec2<u32>(0x9E3779B9u, 0xBB67AE85u);

// High words of (0xD2511F53, 0xCD9E8D57) * x.
fn philox_high(x: vec2<u32>) -> vec2<u32> {
#if WIDE_MULTIPLY
    return vec2<u32>(u32((u64(x.x) * 0xD2511F53lu) >> 32u), u32((u64(x.y) * 0xCD9E8D57lu) >> 32u));
#else
    // By 16-bit halves; no partial sum passes 2^32.
    let m0 = vec2<u32>(0x1F53u, 0x8D57u);
    let m1 = vec2<u32>(0xD251u, 0xCD9Eu);
    let x0 = x & vec2<u32>(0xFFFFu);
    let x1 = x >> vec2<u32>(16u);
    let p = m1 * x0 + ((m0 * x0) >> vec2<u32>(16u));
    let q = m0 * x1 + (p & vec2<u32>(0xFFFFu));
    return m1 * x1 + (p >> vec2<u32>(16u)) + (q >> vec2<u32>(16u));
#endif
}

fn philox_round(c: vec4<u32>, key: vec2<u32>) -> vec4<u32> {
    let hi = philox_high(c.xz);
    let lo = vec2<u32>(0xD2511F53u, 0xCD9E8D57u) * c.xz;
    return vec4<u32>(hi.y ^ c.y ^ key.x, lo.y, hi.x ^ c.w ^ key.y, lo.x);
}

fn philox4x32(counter: vec4<u32>, key: vec2<u32>) -> vec4<u32> {
    var c = philox_round(counter, key);
    c = philox_round(c, key + 1u * PHILOX_WEYL);
    c = philox_round(c, key + 2u * PHILOX_WEYL);
    c = philox_round(c, key + 3u * PHILOX_WEYL);
    c = philox_round(c, key + 4u * PHILOX_WEYL);
    c = philox_round(c, key + 5u * PHILOX_WEYL);
    c = philox_round(c, key + 6u * PHILOX_WEYL);
    c = philox_round(c, key + 7u * PHILOX_WEYL);
    c = philox_round(c, key + 8u * PHILOX_WEYL);
    return philox_round(c, key + 9u * PHILOX_WEYL);
}

// (k + 1/2) 2^-23 for the upper 23 bits k: every operation is exact, so contraction cannot change it.
fn uniform01(r: u32) -> f32 {
    return (f32(r >> 9u) + 0.5) * 1.1920928955078125e-7;
}

// sqrt(-2 log u), u = 2^-e m with e leading zeros and m in [1/2, 1): all 32 bits reach the tail (6.66 sigma), and the
// integer shift is the logarithm's range reduction.
fn normal_radius(r: vec2<u32>) -> vec2<f32> {
    let v = r | vec2<u32>(1u);
    let e = countLeadingZeros(v);
    let m = (vec2<f32>((v << e) >> vec2<u32>(9u)) + 0.5) * 1.1920928955078125e-7;
    let low = m < vec2<f32>(0.70710677);
    let f = select(m, m + m, low) - 1.0;
    let k = vec2<f32>(e) + select(vec2<f32>(0.0), vec2<f32>(1.0), low);
    var p = 0.0870036 * f - 0.14267476;
    p = p * f + 0.14914787;
    p = p * f - 0.16577587;
    p = p * f + 0.19963062;
    p = p * f - 0.25001338;
    p = p * f + 0.3333391;
    let z = f * f;
    let log_m = f + (z * (f * p) - 0.5 * z);
    return sqrt(2.0 * (k * 0.6931472 - log_m));
}

fn normal4(bits: vec4<u32>) -> vec4<f32> {
    let radius = normal_radius(bits.xz);
    // Angle: quadrant from the two upper bits, t in (-1/2, 1/2) quadrants from the next 23; exact.
    let a = bits.yw;
    let quadrant = a >> vec2<u32>(30u);
    let t = (vec2<f32>((a << vec2<u32>(2u)) >> vec2<u32>(9u)) + 0.5) * 1.1920928955078125e-7 - 0.5;
    let z = t * t;
    let s = radius * t * (((-0.0046016574 * z + 0.07968003) * z - 0.6459635) * z + 1.5707964);
    let c = radius * ((((0.000903363 * z - 0.020859936) * z + 0.25366917) * z - 1.2337005) * z + 1.0);
    let swap = (quadrant & vec2<u32>(1u)) != vec2<u32>(0u);
    let flip_x = ((quadrant + 1u) & vec2<u32>(2u)) << vec2<u32>(30u);
    let flip_y = (quadrant & vec2<u32>(2u)) << vec2<u32>(30u);
    let x = bitcast<vec2<f32>>(bitcast<vec2<u32>>(select(c, s, swap)) ^ flip_x);
    let y = bitcast<vec2<f32>>(bitcast<vec2<u32>>(select(s, c, swap)) ^ flip_y);
    return vec4<f32>(x.x, y.x, x.y, y.y);
}

// a b 2^-32, up to 3 units too low: the product of the low halves and two carries are dropped, alike everywhere.
fn exact_mul(a: i32, b: i32) -> i32 {
    let a1 = a >> 16u;
    let a0 = a & 0xFFFF;
    let b1 = b >> 16u;
    let b0 = b & 0xFFFF;
    return a1 * b1 + ((a1 * b0) >> 16u) + ((a0 * b1) >> 16u);
}

// Inverse of the normal distribution function at q = (2 (r mod 2^31) + 1) 2^-33, signed by the upper bit of r:
// y = -log2 q by a polynomial on the octave of q, z = g(y) by a polynomial on the octave of y, in fixed point.
// |error| <= 2^-21; the largest value is 6.338.
fn normal_exact(r: u32) -> f32 {
    let w = (r << 1u) | 1u;
    let e = countLeadingZeros(w);
    let s = bitcast<i32>(((w << e) << 1u) ^ 0x80000000u);
    // log2 of the mantissa, 30 fraction bits.
    var l = -9759013;
    l = exact_mul(l, s) + 15868627;
    l = exact_mul(l, s) - 22096330;
    l = exact_mul(l, s) + 40225481;
    l = exact_mul(l, s) - 76557509;
    l = exact_mul(l, s) + 153036530;
    l = exact_mul(l, s) - 344238225;
    l = exact_mul(l, s) + 1032720561;
    l = exact_mul(l, s) + 628098689;
    // y = e + 2 - l lies in (e + 1, e + 2), inside the octave [2^j, 2^(j+1)); u = y / 2^j - 3/2, 32 fraction bits.
    let frac = bitcast<u32>(clamp(l, 1, 0x3FFFFFFF)) << 1u;
    let j = 31u - countLeadingZeros(e + 1u);
    let y = ((e + 2u) << (31u - j)) - (frac >> j);
    let u = bitcast<i32>((y << 1u) ^ 0x80000000u);
    // g on the five octaves, 28 fraction bits, constant term first.
    var lo = vec4<i32>(100863195, 176956990, -39415693, 15419458);
    var hi = vec4<i32>(-7116694, 3585387, -2302223, 1345457);
    lo = select(lo, vec4<i32>(308794586, 225967920, -47223164, 18029395), j == 1u);
    hi = select(hi, vec4<i32>(-8212615, 4102013, -2612740, 1519344), j == 1u);
    lo = select(lo, vec4<i32>(578176365, 296496378, -58347962, 21680165), j == 2u);
    hi = select(hi, vec4<i32>(-9721868, 4804760, -3029840, 1750997), j == 2u);
    lo = select(lo, vec4<i32>(936062415, 398082225, -74425532, 26909412), j == 3u);
    hi = select(hi, vec4<i32>(-11860612, 5790500, -3607954, 2069386), j == 3u);
    lo = select(lo, vec4<i32>(1421286348, 544048176, -97764359, 34497860), j == 4u);
    hi = select(hi, vec4<i32>(-14951691, 7207329, -4432080, 2520312), j == 4u);
    var g = exact_mul(hi.w, u) + hi.z;
    g = exact_mul(g, u) + hi.y;
    g = exact_mul(g, u) + hi.x;
    g = exact_mul(g, u) + lo.w;
    g = exact_mul(g, u) + lo.z;
    g = exact_mul(g, u) + lo.y;
    g = exact_mul(g, u) + lo.x;
    // The one word of each sign beyond the last octave.
    let z = select(max(g, 0), 1701332580, e == 31u);
    // Round to 24 significant bits in integers; then the conversion and the scaling are exact.
    let drop = 8u - min(countLeadingZeros(bitcast<u32>(z)), 8u);
    let unit = 1i << drop;
    let rounded = (z + (unit >> 1u)) & -unit;
    return f32(select(rounded, -rounded, r >= 0x80000000u)) * 3.7252902984619140625e-9;
}
