// scan: running sums along one axis, in two dispatches; LENGTH terms a line, cut into CHUNKS.
//   STAGE 0 writes the total of every chunk, STAGE 1 starts each chunk from the totals before it.
// One invocation a chunk of a line. Float sums carry a second word that holds what rounding took away: a plain
// running sum of 10^6 weights would put about 120 resampled walkers into the wrong place.
// Spliced in: scan_load(line, k) reads a term, scan_store(line, k, x) writes a sum,
//   total_load(i) and total_store(i, x) move a pair (sum, compensation) of the totals.
// No barrier, no atomic. Twin: kernels/scan.rs.
const LINES: u32 = #LINES#u;
const LENGTH: u32 = #LENGTH#u;
const CHUNKS: u32 = #CHUNKS#u;
const CHUNK: u32 = (LENGTH + CHUNKS - 1u) / CHUNKS;

#splice io

#if FLOAT
// The value, through an operation that compilers do not see through. Mesa's turns (a + b) - a into b, and with it the
// error of every addition below into 0: running sums of 10^6 terms were off by 5e-5 [measured, lavapipe 22.3].
fn held(x: f32) -> f32 { return clamp(x, -3.4028234e38, 3.4028234e38); }
// (sum, compensation) + x, with the error of the addition kept (Knuth's two-sum).
fn add(s: vec2<f32>, x: f32) -> vec2<f32> {
    let t = held(s.x + x);
    let virt = held(t - s.x);
    let err = (s.x - (t - virt)) + (x - virt);
    return vec2<f32>(t, s.y + err);
}
fn join(a: vec2<f32>, b: vec2<f32>) -> vec2<f32> {
    let s = add(a, b.x);
    return vec2<f32>(s.x, s.y + b.y);
}
fn rounded(s: vec2<f32>) -> f32 { return s.x + s.y; }
#else
fn add(s: vec2<u32>, x: u32) -> vec2<u32> { return vec2<u32>(s.x + x, 0u); }
fn join(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> { return a + b; }
fn rounded(s: vec2<u32>) -> u32 { return s.x; }
#endif

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let place = flat_index(group, groups, local, 64u);
    if (place >= LINES * CHUNKS) { return; }
    let line = place / CHUNKS;
    let chunk = place % CHUNKS;
    let start = min(chunk * CHUNK, LENGTH);
    let end = min(start + CHUNK, LENGTH);
    var s = ZERO;
#if STAGE == 0
    for (var k = start; k < end; k++) { s = add(s, scan_load(line, k)); }
    total_store(place, s);
#else
    for (var c = 0u; c < chunk; c++) { s = join(s, total_load(line * CHUNKS + c)); }
    for (var k = start; k < end; k++) {
        s = add(s, scan_load(line, k));
        scan_store(line, k, rounded(s));
    }
#endif
}
