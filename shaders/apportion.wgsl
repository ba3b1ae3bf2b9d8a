// apportion: PLACES places shared out among N weights; place j, at j + u_j, belongs to the weight on whose quota it lies.
//   Quotas are places * w / sum w, in fixed point: pairs (low, high) of u32 with 32 bits before the point. All arithmetic is
//   on integers, so no compiler may reorder it, and every stage that computes a quota computes the same bits.
//   STAGE 0 sums the weights of every chunk       STAGE 1 makes places / sum of them, one invocation
//   STAGE 2 sums the quotas of every chunk
//   STAGE 3 makes running sums of totals, and the range of offsets for which all places are taken, one invocation
//   STAGE 4 writes the running sums of quotas: their integer parts, and their fractions if offsets differ between places
//   and shaders/apportion_owners.wgsl walks along sums and places.
// One invocation a chunk of CHUNK_BLOCKS blocks of BLOCK weights. Where a barrier is cheap, a team of invocations does what else
//   falls to one: sums of quotas are exact in any order, sums of weights are cut off by far less than their bound.
// Spliced in: weight_bits(q) reads four weights, offset(j) reads u_j,
//   table_load(i) and table_store(i, x) move vectors of the table: 0 ratio, 1 offsets, then chunks, high and low words of sums.
// No atomic; barriers for teams only. Derivation and host side: kernels/apportion.rs; f64 meaning: graph/eval/apportion.rs.
const N: u32 = #N#u;
const PLACES: u32 = #PLACES#u;
const CHUNKS: u32 = #CHUNKS#u;
const CHUNK_BLOCKS: u32 = #CHUNK_BLOCKS#u;
const BLOCK: u32 = #BLOCK#u;
const COUNT: u32 = #COUNT#u;
const WORKGROUP: u32 = #WORKGROUP#u;
// Invocations that share the work of one, and chunks of each.
const STRIDE: u32 = #STRIDE#u;
const SHARE: u32 = (CHUNKS + STRIDE - 1u) / STRIDE;
const QUADS: u32 = (N + 3u) / 4u;
const HIGH: u32 = 2u + CHUNKS;
const LOW: u32 = HIGH + QUADS;

#import lib/fixed_point
#splice io

// a >> by, for any number of bits.
fn right(a: vec2<u32>, by: u32) -> vec2<u32> {
    let t = by & 31u;
    let low = (a.x >> t) | ((a.y << 1u) << (31u - t));
    let high = a.y >> t;
    let near = by < 32u;
    return vec2<u32>(select(select(0u, high, by < 64u), low, near), select(0u, high, near));
}
// A weight is significand * 2^(exponent - 150). Subnormal ones count as 0: many devices have none.
fn exponent(bits: u32) -> u32 { return max(bits >> 23u, 1u); }
fn significand(bits: u32) -> u32 { return select(0u, (bits & 0x7fffffu) | 0x800000u, bits >= 0x800000u); }

#if SUMS
// A sum of weights, high * 2^(scale - 150) + low * 2^(scale - 182): low, high, scale.
// Raise the scale to make room for four significands above it.
fn scaled(s: vec3<u32>, scale: u32) -> vec3<u32> {
    let roomy = s.z + select(0u, 8u, s.y >= 0x40000000u);
    let to = max(roomy, scale);
    return vec3<u32>(right(s.xy, to - s.z), to);
}
#endif

#if STAGE == 1
// s < t, both 64 bits.
fn less(s: vec2<u32>, t: vec2<u32>) -> bool { return s.y < t.y || (s.y == t.y && s.x < t.x); }
fn left(a: vec2<u32>) -> vec2<u32> { return vec2<u32>(a.x << 1u, (a.y << 1u) | (a.x >> 31u)); }
// places / s: 40 bits of the quotient in two halves of 20, and the shift that makes a product with it a quota.
fn ratio(s: vec3<u32>) -> vec4<u32> {
    if (s.x == 0u && s.y == 0u) { return vec4<u32>(); }
    var divisor = s.xy;
    var shift = s.z - 26u;
    if (divisor.y >= 0x80000000u) { divisor = right(divisor, 1u); shift += 1u; }
    for (var i = 0u; i < 63u && divisor.y < 0x40000000u; i++) { divisor = left(divisor); shift -= 1u; }
    var rest = vec2<u32>(PLACES, 0u);
    for (var i = 0u; i < 63u && rest.y < 0x40000000u; i++) { rest = left(rest); shift += 1u; }
    if (less(rest, divisor)) { rest = left(rest); shift += 1u; }
    var quotient = vec2<u32>();
    for (var i = 0u; i < 40u; i++) {
        let over = !less(rest, divisor);
        quotient = left(quotient);
        if (over) {
            rest = add(rest, add(~divisor, vec2<u32>(1u, 0u)));
            quotient.x |= 1u;
        }
        rest = left(rest);
    }
    return vec4<u32>(quotient.x & 0xfffffu, (quotient.y << 12u) | (quotient.x >> 20u), shift, 0u);
}
#endif

#if QUOTAS
// The quota of a weight: the nearest integer if rounding cannot tell it from that, else rounded to 2^-32.
fn quota(bits: u32, ratio: vec4<u32>) -> vec2<u32> {
    let m = significand(bits);
    let m1 = m >> 12u;
    let m0 = m & 0xfffu;
    let b = m1 * ratio.x;
    let c = m0 * ratio.y;
    let product = add(add(vec2<u32>(m0 * ratio.x, m1 * ratio.y), vec2<u32>(b << 12u, b >> 20u)), vec2<u32>(c << 20u, c >> 12u));
    let r = right(product, ratio.z - exponent(bits));
    let low = ((r.x >> 1u) | (r.y << 31u)) + (r.x & 1u);
    let high = (r.y >> 1u) + select(0u, 1u, low == 0u && (r.x & 1u) == 1u);
    let slack = 4u + (high >> 4u);
    let from_below = low + slack;
    let whole = high + select(0u, 1u, from_below < slack);
    return vec2<u32>(select(low, 0u, whole > 0u && from_below <= 2u * slack), whole);
}
#endif

#if SUMS
// Both below 2^63, so the sum of them fits.
fn join(s: vec3<u32>, t: vec3<u32>) -> vec3<u32> {
    let scale = max(s.z + select(0u, 1u, s.y >= 0x40000000u), t.z + select(0u, 1u, t.y >= 0x40000000u));
    return vec3<u32>(add(right(s.xy, scale - s.z), right(t.xy, scale - t.z)), scale);
}
#endif
#if TEAM
var<workgroup> team: array<vec3<u32>, WORKGROUP>;
#endif

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let place = flat_index(group, groups, local, WORKGROUP);
#if !TEAM
    if (place >= COUNT) { return; }
#endif
#if STAGE == 0
    let end = min((place + 1u) * (CHUNK_BLOCKS * BLOCK / 4u), QUADS);
    var s = vec3<u32>(0u, 0u, 1u);
    for (var q = place * (CHUNK_BLOCKS * BLOCK / 4u); q < end; q++) {
        let w = weight_bits(q);
        let x = vec4<u32>(exponent(w.x), exponent(w.y), exponent(w.z), exponent(w.w));
        s = scaled(s, max(max(x.x, x.y), max(x.z, x.w)));
        var sum = add(s.xy, right(vec2<u32>(0u, significand(w.x)), s.z - x.x));
        sum = add(sum, right(vec2<u32>(0u, significand(w.y)), s.z - x.y));
        sum = add(sum, right(vec2<u32>(0u, significand(w.z)), s.z - x.z));
        sum = add(sum, right(vec2<u32>(0u, significand(w.w)), s.z - x.w));
        s = vec3<u32>(sum, s.z);
    }
    table_store(2u + place, vec4<u32>(s, 0u));
#endif
#if STAGE == 1
    var s = vec3<u32>(0u, 0u, 1u);
    for (var c = local; c < CHUNKS; c += STRIDE) { s = join(s, table_load(2u + c).xyz); }
#if TEAM
    team[local] = s;
    workgroupBarrier();
    for (var half = WORKGROUP / 2u; half > 0u; half /= 2u) {
        if (local < half) { team[local] = join(team[local], team[local + half]); }
        workgroupBarrier();
    }
    s = team[0];
#endif
    if (local == 0u) { table_store(0u, ratio(s)); }
#endif
#if STAGE == 2
    let ratio = table_load(0u);
    let end = min((place + 1u) * (CHUNK_BLOCKS * BLOCK / 4u), QUADS);
    var sum = vec2<u32>();
    for (var q = place * (CHUNK_BLOCKS * BLOCK / 4u); q < end; q++) {
        let w = weight_bits(q);
        sum = add(add(add(add(sum, quota(w.x, ratio)), quota(w.y, ratio)), quota(w.z, ratio)), quota(w.w, ratio));
    }
    table_store(2u + place, vec4<u32>(sum, 0u, 0u));
#endif
#if STAGE == 3
    // Each invocation of a team has a stretch of chunks.
    let begin = min(local * SHARE, CHUNKS);
    let end = min(begin + SHARE, CHUNKS);
    var sum = vec2<u32>();
#if TEAM
    for (var c = begin; c < end; c++) { sum = add(sum, table_load(2u + c).xy); }
    team[local] = vec3<u32>(sum, 0u);
    workgroupBarrier();
    for (var by = 1u; by < WORKGROUP; by *= 2u) {
        let before = team[local - min(by, local)].xy;
        workgroupBarrier();
        if (local >= by) { team[local] = vec3<u32>(add(team[local].xy, before), 0u); }
        workgroupBarrier();
    }
    sum = select(vec2<u32>(), team[max(local, 1u) - 1u].xy, local > 0u);
#endif
    for (var c = begin; c < end; c++) {
        let total = table_load(2u + c).xy;
        table_store(2u + c, vec4<u32>(sum, 0u, 0u));
        sum = add(sum, total);
    }
    // The sum of all quotas is PLACES up to rounding: above it offsets must be, below it they must end.
    let over = sum.y >= PLACES;
    if (local == STRIDE - 1u) {
        table_store(1u, vec4<u32>(select(1u, sum.x + 1u, over), select(sum.x, 0xffffffffu, over), 0u, 0u));
    }
#endif
#if STAGE == 4
    let ratio = table_load(0u);
    let end = min((place + 1u) * (CHUNK_BLOCKS * BLOCK / 4u), QUADS);
    var sum = table_load(2u + place).xy;
#if !EACH
    sum = add(sum, vec2<u32>(0u - fixed(offset(0u), table_load(1u)), 0u));
#endif
    for (var q = place * (CHUNK_BLOCKS * BLOCK / 4u); q < end; q++) {
        let w = weight_bits(q);
        let a = add(sum, quota(w.x, ratio));
        let b = add(a, quota(w.y, ratio));
        let c = add(b, quota(w.z, ratio));
        sum = add(c, quota(w.w, ratio));
        table_store(HIGH + q, vec4<u32>(a.y, b.y, c.y, sum.y));
#if EACH
        table_store(LOW + q, vec4<u32>(a.x, b.x, c.x, sum.x));
#endif
    }
#endif
}
