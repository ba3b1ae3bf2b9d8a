// tridiagonal: lower_k x_{k-1} + diag_k x_k + upper_k x_{k+1} = right_k in LINES lines of LENGTH, without pivoting (Thomas).
//   DOWN  elimination over DOWN_START .. DOWN_END: x holds the right side over the pivot, share what substitution needs
//   UP    substitution over UP_START .. UP_END, from its end
//   ABOVE, BELOW  whether there is anything above or below the diagonal: without one of them a single loop is enough
//   SUMS  the middle coefficient is the sum of the row, diag = sum - lower - upper, and share = sum of the row that elimination
//         has made over its pivot, which is 1 + upper / pivot: nothing is subtracted where lower and upper are not positive
// One invocation a line; neighbouring invocations have neighbouring lines. Software adapters cut long loops short, so long
// lines come in several dispatches, each from where memory says the one before has ended.
// Spliced in: tri_lower, tri_middle, tri_upper, tri_right (line, k) read; tri_load, tri_keep, tri_finish (line, k[, x]) move x,
//   the last one with a look at its bits; share_load, share_keep (place[, c]) move what elimination leaves.
// Fault: bit 0 where a result that the user sees is not finite. No barrier. Twin: Graph::eval_f64.
const LINES: u32 = #LINES#u;
const LENGTH: u32 = #LENGTH#u;
const DOWN_START: u32 = #DOWN_START#u;
const DOWN_END: u32 = #DOWN_END#u;
const UP_START: u32 = #UP_START#u;
const UP_END: u32 = #UP_END#u;

#splice io

// What stands inside the matrix.
fn below_at(line: u32, k: u32) -> f32 { return select(0.0, tri_lower(line, k), k > 0u); }
fn above_at(line: u32, k: u32) -> f32 { return select(0.0, tri_upper(line, k), k + 1u < LENGTH); }

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let line = flat_index(group, groups, local, 64u);
    if (line >= LINES) { return; }
#if DOWN
    var x = 0.0;
#if ABOVE
    var share = 0.0;
#endif
    if (DOWN_START > 0u) {
        x = tri_load(line, max(DOWN_START, 1u) - 1u);
#if ABOVE
        share = share_load((max(DOWN_START, 1u) - 1u) * LINES + line);
#endif
    }
    for (var k = DOWN_START; k < DOWN_END; k++) {
        let below = below_at(line, k);
#if ABOVE
        let above = above_at(line, k);
#if SUMS
        let sum = tri_middle(line, k) - below * share;
        let pivot = sum - above;
        share = sum / pivot;
#else
        let pivot = tri_middle(line, k) - below * share;
        share = above / pivot;
#endif
        x = (tri_right(line, k) - below * x) / pivot;
        share_keep(k * LINES + line, share);
        tri_keep(line, k, x);
#else
#if SUMS
        let pivot = tri_middle(line, k) - below;
#else
        let pivot = tri_middle(line, k);
#endif
        x = (tri_right(line, k) - below * x) / pivot;
        tri_finish(line, k, x);
#endif
    }
#endif
#if UP
    var next = 0.0;
    if (UP_END < LENGTH) { next = tri_load(line, min(UP_END, LENGTH - 1u)); }
    for (var i = UP_START; i < UP_END; i++) {
        let k = UP_END - 1u - (i - UP_START);
#if BELOW
#if SUMS
        let ratio = share_load(k * LINES + line) - 1.0;
#else
        let ratio = share_load(k * LINES + line);
#endif
        next = tri_load(line, k) - ratio * next;
#else
        let above = above_at(line, k);
#if SUMS
        let pivot = tri_middle(line, k) - above;
#else
        let pivot = tri_middle(line, k);
#endif
        next = (tri_right(line, k) - above * next) / pivot;
#endif
        tri_finish(line, k, next);
    }
#endif
}
