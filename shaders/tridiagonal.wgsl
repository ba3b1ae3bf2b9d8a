// tridiagonal: lower_k x_{k-1} + diag_k x_k + upper_k x_{k+1} = right_k in LINES lines of LENGTH, without pivoting (Thomas).
//   DOWN  elimination over DOWN_START .. DOWN_END: x holds the right side over the pivot, ratio holds upper over pivot
//   UP    substitution over UP_START .. UP_END, from its end
//   ABOVE, BELOW  whether there is anything above or below the diagonal: without one of them a single loop is enough
// One invocation a line; neighbouring invocations have neighbouring lines. Software adapters cut long loops short, so long
// lines come in several dispatches, each from where memory says the one before has ended.
// Spliced in: tri_lower, tri_diag, tri_upper, tri_right (line, k) read; tri_load, tri_keep, tri_finish (line, k[, x]) move x,
//   the last one with a look at its bits; ratio_load, ratio_keep (place[, c]) move what elimination leaves.
// Fault: bit 0 where a result that the user sees is not finite. No barrier. Twin: Graph::eval_f64.
const LINES: u32 = #LINES#u;
const LENGTH: u32 = #LENGTH#u;
const DOWN_START: u32 = #DOWN_START#u;
const DOWN_END: u32 = #DOWN_END#u;
const UP_START: u32 = #UP_START#u;
const UP_END: u32 = #UP_END#u;

#splice io

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
    var ratio = 0.0;
#endif
    if (DOWN_START > 0u) {
        x = tri_load(line, max(DOWN_START, 1u) - 1u);
#if ABOVE
        ratio = ratio_load((max(DOWN_START, 1u) - 1u) * LINES + line);
#endif
    }
    for (var k = DOWN_START; k < DOWN_END; k++) {
        let below = select(0.0, tri_lower(line, k), k > 0u);
#if ABOVE
        let pivot = tri_diag(line, k) - below * ratio;
        x = (tri_right(line, k) - below * x) / pivot;
        ratio = tri_upper(line, k) / pivot;
        ratio_keep(k * LINES + line, ratio);
        tri_keep(line, k, x);
#else
        x = (tri_right(line, k) - below * x) / tri_diag(line, k);
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
        next = tri_load(line, k) - select(0.0, ratio_load(k * LINES + line), k + 1u < LENGTH) * next;
#else
        next = (tri_right(line, k) - select(0.0, tri_upper(line, k), k + 1u < LENGTH) * next) / tri_diag(line, k);
#endif
        tri_finish(line, k, next);
    }
#endif
}
