// apportion_owners: the last stage of apportion. Which of N weights owns each of PLACES places, from running sums of quotas.
// One invocation a run of RUN places: it finds the first by bisection of chunks and blocks, then walks along weights and places
//   together, four at a time.
// Spliced in: offset(j) reads u_j, owners_store(j, x) writes four owners, table_load(i) reads a vector of the table.
// No barrier, no atomic. Host side: kernels/apportion.rs.
const N: u32 = #N#u;
const PLACES: u32 = #PLACES#u;
const CHUNKS: u32 = #CHUNKS#u;
const CHUNK_BLOCKS: u32 = #CHUNK_BLOCKS#u;
const BLOCK: u32 = #BLOCK#u;
const RUN: u32 = #RUN#u;
const COUNT: u32 = #COUNT#u;
const CHUNK_ROUNDS: u32 = #CHUNK_ROUNDS#u;
const BLOCK_ROUNDS: u32 = #BLOCK_ROUNDS#u;
const QUADS: u32 = (N + 3u) / 4u;
const BLOCKS: u32 = (N + BLOCK - 1u) / BLOCK;
const HIGH: u32 = 2u + CHUNKS;
const LOW: u32 = HIGH + QUADS;

#import lib/fixed_point
#splice io


// Running sums of quotas behind each of four weights.
struct Quad { low: vec4<u32>, high: vec4<u32> }
fn quad(q: u32) -> Quad {
#if EACH
    return Quad(table_load(LOW + q), table_load(HIGH + q));
#else
    return Quad(vec4<u32>(), table_load(HIGH + q));
#endif
}
// Whether a running sum ends before the place j, at j + u.
#if EACH
fn before(low: u32, high: u32, j: u32, u: u32) -> bool { return high < j || (high == j && low < u); }
#else
// Sums carry 1 - u, so that their integer part is the number of places that they reach.
fn before(low: u32, high: u32, j: u32, u: u32) -> bool { return high <= j; }
#endif
// Which of the places j, j + 1, .. a running sum ends before.
fn behind(s: vec2<u32>, j: u32, u: vec4<u32>) -> vec4<u32> {
    let at = vec4<u32>(j, j + 1u, j + 2u, j + 3u);
    let high = vec4<u32>(s.y);
#if EACH
    return select(vec4<u32>(), vec4<u32>(1u), (high < at) | ((high == at) & (vec4<u32>(s.x) < u)));
#else
    return select(vec4<u32>(), vec4<u32>(1u), high <= at);
#endif
}
// How many of four running sums end before each of the places j, j + 1, ..
fn passed(s: Quad, j: u32, u: vec4<u32>) -> vec4<u32> {
    return behind(vec2<u32>(s.low.x, s.high.x), j, u) + behind(vec2<u32>(s.low.y, s.high.y), j, u)
        + behind(vec2<u32>(s.low.z, s.high.z), j, u) + behind(vec2<u32>(s.low.w, s.high.w), j, u);
}
#if EACH
fn offsets_fixed(j: u32, range: vec4<u32>) -> vec4<u32> {
    return vec4<u32>(
        fixed(offset(j), range),
        fixed(offset(j + 1u), range),
        fixed(offset(j + 2u), range),
        fixed(offset(j + 3u), range),
    );
}
#endif
fn chunk_start(c: u32, carry: u32) -> vec2<u32> { return add(table_load(2u + c).xy, vec2<u32>(carry, 0u)); }
// The last block that starts before a place: the weight that owns it is in there.
fn seek(j: u32, u: u32, carry: u32) -> u32 {
    var lower = 0u;
    var upper = CHUNKS;
    for (var i = 0u; i < CHUNK_ROUNDS; i++) {
        let mid = (lower + upper) / 2u;
        let start = chunk_start(mid, carry);
        let is_before = before(start.x, start.y, j, u);
        lower = select(lower, mid, is_before);
        upper = select(mid, upper, is_before);
    }
    lower *= CHUNK_BLOCKS;
    upper = min(lower + CHUNK_BLOCKS, BLOCKS);
    for (var i = 0u; i < BLOCK_ROUNDS; i++) {
        let mid = (lower + upper) / 2u;
        // A block starts where the one before it ends; the first of all is not asked.
        let start = quad(max(mid * (BLOCK / 4u), 1u) - 1u);
        let is_before = before(start.low.w, start.high.w, j, u);
        lower = select(lower, mid, is_before);
        upper = select(mid, upper, is_before);
    }
    return lower;
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let place = flat_index(group, groups, local, 64u);
    if (place >= COUNT) { return; }
    let first = place * RUN;
    let range = table_load(1u);
#if EACH
    let carry = 0u;
    var u = offsets_fixed(first, range);
#else
    let one = fixed(offset(0u), range);
    let carry = 0u - one;
    let u = vec4<u32>(one);
#endif
    let end = min(first + RUN, PLACES);
    var j = first;
    // Weights before the next four, and the owners of the four places from j on, as far as they are known.
    var i = 0u;
    var owners = vec4<u32>();
    var s = Quad();
    // Once for most runs; again where two blocks went by without a place.
    while (j < end) {
        let open = behind(vec2<u32>(s.low.w, s.high.w), j, u);
        let at = 4u - (open.x + open.y + open.z + open.w);
        let block = seek(j + at, u[at], carry);
        owners += open * (block * BLOCK - i);
        i = block * BLOCK;
        s = quad(i / 4u);
        i += 4u;
        owners += passed(s, j, u);
        var idle = 0u;
        // Every turn loads and stores, needed or not: an adapter that moves memory lane by lane guesses branches badly.
        while (j < end && idle < BLOCK / 2u) {
            let last = min(j + 3u, PLACES - 1u);
            let next = quad(min(i / 4u, QUADS - 1u));
            let goes_on = i < N && before(s.low.w, s.high.w, last, u.w);
            idle = select(idle, select(idle + 1u, 0u, next.high.w != s.high.w), goes_on);
            i = select(i, i + 4u, goes_on);
            s.high = select(s.high, next.high, goes_on);
            s.low = select(s.low, next.low, goes_on);
            owners = select(owners, owners + passed(s, j, u), goes_on);
            owners_store(j, min(owners, vec4<u32>(N - 1u)));
            let done = i >= N || !before(s.low.w, s.high.w, last, u.w);
            j = select(j, j + 4u, done);
#if EACH
            u = offsets_fixed(j, range);
#endif
            owners = select(owners, vec4<u32>(i - 4u) + passed(s, j, u), done);
        }
    }
}
