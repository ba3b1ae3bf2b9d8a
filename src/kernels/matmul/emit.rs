//! Writes the unrolled body of `shaders/matmul.wgsl` for one problem and one tile.
//!
//! Everything known before the run is decided here: indices are clamped and stores guarded only where a tile can
//! reach over an edge, and the remainder of K is a tail with its exact number of terms.

use super::{Layout, MatmulSpec, Variant};
use std::fmt::Write;

/// Components of a vector, in order.
pub(super) const XYZW: [char; 4] = ['x', 'y', 'z', 'w'];

/// Writing to a `String` cannot fail: this keeps the lines below readable.
macro_rules! line {
    ($out:expr, $($arg:tt)*) => {{ let _ = writeln!($out, $($arg)*); }};
}
pub(super) use line;

/// Sizes and layouts as constants, and names for what the body needs.
pub(super) fn sizes(s: &MatmulSpec) -> String {
    let groups = s.groups();
    let (ti, tj) = s.tiles();
    let (ti, tj) = (ti.max(1), tj.max(1)); // an empty product is not dispatched, but its text is still valid
    format!(
        "const N: u32 = {}u;\nconst K: u32 = {}u;\nconst M: u32 = {}u;\nconst SPLIT: u32 = {}u;\nconst CHUNK: u32 = {}u;\n\
         const WORKGROUP: u32 = {}u;\nconst TILES_I: u32 = {ti}u;\nconst TILES_J: u32 = {tj}u;\nconst GROUPS_X: u32 = {}u;\n",
        s.n,
        s.k,
        s.m,
        s.split_k,
        s.chunk(),
        s.workgroup_size(),
        groups[0]
    )
}

/// The entry point's arguments.
pub(super) fn builtins(s: &MatmulSpec) -> &'static str {
    match s.variant {
        Variant::Subgroup { .. } | Variant::Resident { .. } => {
            "@builtin(workgroup_id) wid: vec3<u32>, @builtin(subgroup_invocation_id) lane: u32"
        }
        _ => "@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lane: u32",
    }
}

/// `qa`, `qb` and `put` (or `term`): four elements at a time, in range whatever they are called with.
pub(super) fn loads(s: &MatmulSpec, summed: bool) -> String {
    let v = s.vectors();
    let (ti, tj) = s.tile();
    let mut out = String::new();
    // A row or column index can be past the end only if the tiles do not divide the matrix.
    let clamp = |name: &str, size: usize, tile: usize, step: usize| match size % tile {
        0 => name.to_string(),
        _ => format!("min({name}, {}u)", size - step),
    };
    let step = |vector: bool| if vector { 4 } else { 1 };
    let i4 = clamp("i", s.n, ti, step(v.a && s.a == Layout::Cols));
    let j4 = clamp("j", s.m, tj, step(v.b && s.b == Layout::Rows));
    let last = |size: usize| size.saturating_sub(1);
    // Only the shared tile reads A past the end of K: elsewhere the terms of the tail are counted.
    let ka = match s.variant {
        Variant::Shared(_) => past_k(s, v.a && s.a == Layout::Rows),
        _ => "k".into(),
    };
    let a = match (v.a, s.a) {
        (true, _) => format!("a4({i4}, {ka})"),
        (false, Layout::Rows) => four("a1", |c| format!("{i4}, min(k + {c}u, {}u)", last(s.k))),
        (false, Layout::Cols) => four("a1", |c| format!("min(i + {c}u, {}u), {ka}", last(s.n))),
    };
    let kb = match s.variant {
        Variant::Shared(_) => past_k(s, v.b && s.b == Layout::Cols),
        _ => format!("min(k, {}u)", s.k.saturating_sub(step(v.b && s.b == Layout::Cols))),
    };
    let b = match (v.b, s.b) {
        (true, _) => format!("b4({kb}, {j4})"),
        (false, Layout::Rows) => four("b1", |c| format!("{kb}, min(j + {c}u, {}u)", last(s.m))),
        (false, Layout::Cols) => four("b1", |c| format!("min(k + {c}u, {}u), {j4}", last(s.k))),
    };
    if let Variant::Shared(tile) = s.variant {
        out.push_str(&tile.declarations());
    }
    line!(out, "fn qa(i: u32, k: u32) -> vec4<f32> {{ return {a}; }}");
    line!(out, "fn qb(k: u32, j: u32) -> vec4<f32> {{ return {b}; }}");
    out.push_str(&if summed { term(s, &clamp("i", s.n, ti, 1)) } else { put(s) });
    out
}

/// An index along k that stays in range: a tile that stages whole blocks reads past the end of a k that they do not divide.
fn past_k(s: &MatmulSpec, vector: bool) -> String {
    match s.k % s.chunk_unit() {
        0 => "k".into(),
        _ => format!("min(k, {}u)", s.k.saturating_sub(if vector { 4 } else { 1 })),
    }
}

/// What four neighbours add to the sum of row `i`.
fn term(s: &MatmulSpec, i: &str) -> String {
    let mut out = String::new();
    line!(out, "fn term(i: u32, j: u32, v: vec4<f32>) -> vec4<f32> {{");
    if s.vectors().store {
        line!(out, "    return sum4({i}, j, v);\n}}");
        return out;
    }
    line!(out, "    var s = vec4<f32>();");
    for (c, name) in XYZW.iter().enumerate() {
        line!(out, "    if j + {c}u < M {{ s.{name} = sum1({i}, j + {c}u, v.{name}); }}");
    }
    line!(out, "    return s;\n}}");
    out
}

fn put(s: &MatmulSpec) -> String {
    let mut out = String::new();
    line!(out, "fn put(i: u32, j: u32, part: u32, v: vec4<f32>) {{");
    line!(out, "    if i >= N {{ return; }}");
    let row = if s.split_k > 1 { "part * N + i" } else { "i" };
    if s.vectors().store {
        line!(out, "    if j < M {{ store4({row}, j, v); }}");
    } else {
        for (c, name) in XYZW.iter().enumerate() {
            line!(out, "    if j + {c}u < M {{ store1({row}, j + {c}u, v.{name}); }}");
        }
    }
    line!(out, "}}");
    out
}

fn four(load: &str, index: impl Fn(usize) -> String) -> String {
    format!("vec4({})", (0..4).map(|c| format!("{load}({})", index(c))).collect::<Vec<_>>().join(", "))
}

/// The body of `main`.
pub(super) fn body(s: &MatmulSpec, summed: bool) -> String {
    let mut out = String::new();
    line!(out, "    let group = wid.x + wid.y * GROUPS_X;");
    if s.groups()[1] > 1 {
        line!(out, "    if group >= {}u {{ return; }}", s.n_groups());
    }
    match s.variant {
        Variant::Register { rows, cols, .. } | Variant::Subgroup { rows, cols, .. } => {
            tile(&mut out, s, rows as usize, cols as usize)
        }
        Variant::Resident { rows, .. } => resident(&mut out, s, rows as usize, summed),
        Variant::Shared(tile) => tile.body(&mut out, s),
    }
    out
}

/// The index of the `r`-th row of an invocation, `i0` being the first of its group. Neighbouring invocations hold
/// neighbouring rows, or neighbouring quads of rows where A is contiguous down its columns.
fn row(s: &MatmulSpec, r: usize) -> String {
    match s.a {
        Layout::Rows => format!("i0 + {}u + lane", r * s.lanes()),
        Layout::Cols => format!("i0 + {}u + 4u * lane", r / 4 * 4 * s.lanes() + r % 4),
    }
}

/// A tile of `rows` x `cols` sums an invocation, A and B read as they are needed.
fn tile(out: &mut String, s: &MatmulSpec, rows: usize, cols: usize) {
    line!(out, "    let i0 = (group % TILES_I) * {}u;", rows * s.lanes());
    line!(out, "    let j0 = (group / TILES_I % TILES_J) * {cols}u;");
    line!(out, "    let part = group / (TILES_I * TILES_J);");
    for r in 0..rows {
        for v in 0..cols / 4 {
            line!(out, "    var c{r}_{v} = vec4<f32>();");
        }
    }
    let step = s.step();
    let (whole, tail) = (s.k / step * step, s.k % step);
    let (first, end) = match s.split_k {
        1 => ("0u", format!("{whole}u")),
        _ => ("part * CHUNK", format!("min(part * CHUNK + CHUNK, {whole}u)")),
    };
    if whole > 0 {
        line!(out, "    for (var k = {first}; k < {end}; k += {step}u) {{");
        terms(out, s, rows, cols, step);
        line!(out, "    }}");
    }
    if tail > 0 {
        line!(out, "    if part == {}u {{", whole / s.chunk());
        line!(out, "        let k = {whole}u;");
        terms(out, s, rows, cols, tail);
        line!(out, "    }}");
    }
    for r in 0..rows {
        for v in 0..cols / 4 {
            line!(out, "    put({}, j0 + {}u, part, c{r}_{v});", row(s, r), 4 * v);
        }
    }
}

/// `n_k` <= 4 consecutive terms of every sum of a tile, from `k` on.
fn terms(out: &mut String, s: &MatmulSpec, rows: usize, cols: usize, n_k: usize) {
    match s.a {
        Layout::Rows => (0..rows).for_each(|r| line!(out, "        let x{r} = qa({}, k);", row(s, r))),
        Layout::Cols => {
            for (q, kk) in (0..rows / 4).flat_map(|q| (0..n_k).map(move |kk| (q, kk))) {
                line!(out, "        let x{q}_{kk} = qa({}, k + {kk}u);", row(s, 4 * q));
            }
        }
    }
    load_b(out, s, cols, n_k);
    // What does not fit into registers goes to memory and back for every term, unless all terms of a sum follow each other;
    // small tiles stay in registers, and compile faster with each weight spread out once, where it is used.
    let by_sum = rows * cols > 128;
    let order: Vec<_> = match by_sum {
        true => (0..cols / 4).map(|v| (0..n_k, v)).collect(),
        false => (0..n_k).flat_map(|kk| (0..cols / 4).map(move |v| (kk..kk + 1, v))).collect(),
    };
    for (terms, v) in order {
        terms.clone().for_each(|kk| line!(out, "        let w{kk}_{v} = {};", weight(s, cols, kk, v)));
        for (r, kk) in (0..rows).flat_map(|r| terms.clone().map(move |kk| (r, kk))) {
            let x = match s.a {
                Layout::Rows => format!("x{r}.{}", XYZW[kk]),
                Layout::Cols => format!("x{}_{kk}.{}", r / 4, XYZW[r % 4]),
            };
            line!(out, "        c{r}_{v} += {x} * w{kk}_{v};");
        }
    }
}

/// Loads that `weight` takes the elements of B from: in a subgroup tile each element by one lane, to be broadcast.
fn load_b(out: &mut String, s: &MatmulSpec, cols: usize, n_k: usize) {
    let lanes = s.lanes();
    match (&s.variant, s.b) {
        (Variant::Subgroup { .. }, _) => {
            // B by rows: vector number kk * cols / 4 + v is B[k + kk, 4 v..]. By columns: number c is B[k.., c].
            let count = if s.b == Layout::Rows { n_k * cols / 4 } else { cols };
            for t in 0..count.div_ceil(lanes) {
                let item = match count % lanes {
                    0 => format!("({}u + lane)", t * lanes),
                    _ => format!("min({}u + lane, {}u)", t * lanes, count - 1),
                };
                let (k, j) = match s.b {
                    Layout::Rows => (format!("k + {item} / {}u", cols / 4), format!("4u * ({item} % {}u)", cols / 4)),
                    Layout::Cols => ("k".into(), item),
                };
                line!(out, "        let q{t} = qb({k}, j0 + {j});");
            }
        }
        (_, Layout::Rows) => {}
        (_, Layout::Cols) => (0..cols).for_each(|c| line!(out, "        let q{c} = qb(k, j0 + {c}u);")),
    }
}

/// The vector B[k + kk, j0 + 4 v..] of a tile.
fn weight(s: &MatmulSpec, cols: usize, kk: usize, v: usize) -> String {
    let spread =
        |item: usize, part: &str| format!("subgroupBroadcast(q{}{part}, {}u)", item / s.lanes(), item % s.lanes());
    let component =
        |of: &dyn Fn(usize) -> String| format!("vec4({})", (4 * v..4 * v + 4).map(of).collect::<Vec<_>>().join(", "));
    match (&s.variant, s.b) {
        (Variant::Subgroup { .. }, Layout::Rows) => spread(kk * cols / 4 + v, ""),
        (Variant::Subgroup { .. }, Layout::Cols) => component(&|c| spread(c, &format!(".{}", XYZW[kk]))),
        (_, Layout::Rows) => format!("qb(k + {kk}u, j0 + {}u)", 4 * v),
        (_, Layout::Cols) => component(&|c| format!("q{c}.{}", XYZW[kk])),
    }
}

/// Whole rows of A stay in registers while the columns of B pass by, four at a time; and so do the sums along rows.
fn resident(out: &mut String, s: &MatmulSpec, rows: usize, summed: bool) {
    let (lanes, quads) = (s.lanes(), s.k.div_ceil(4));
    line!(out, "    let i0 = group * {}u;", rows * lanes);
    for (q, r) in (0..quads).flat_map(|q| (0..rows).map(move |r| (q, r))) {
        line!(out, "    let x{r}_{q} = qa({}, {}u);", row(s, r), 4 * q);
    }
    if summed {
        (0..rows).for_each(|r| line!(out, "    var s{r} = vec4<f32>();"));
    }
    line!(out, "    for (var j = 0u; j < M; j += 4u) {{");
    (0..rows).for_each(|r| line!(out, "        var c{r} = vec4<f32>();"));
    // Each load of a subgroup covers the next `lanes` terms: B[k + lane, j..j+4], or quads of k of 4 neighbouring columns.
    for k in 0..s.k {
        let (t, first, part) = (k / lanes, k % lanes / 4 * 4, XYZW[k % 4]);
        if k % lanes == 0 {
            match s.b {
                Layout::Rows => line!(out, "        let q{t} = qb({k}u + lane, j);"),
                Layout::Cols => line!(out, "        let q{t} = qb({k}u + lane / 4u * 4u, j + lane % 4u);"),
            }
        }
        let w = match s.b {
            Layout::Rows => format!("subgroupBroadcast(q{t}, {}u)", k % lanes),
            Layout::Cols => four("subgroupBroadcast", |c| format!("q{t}.{part}, {}u", first + c)),
        };
        line!(out, "        let w{k} = {w};");
        (0..rows).for_each(|r| line!(out, "        c{r} += x{r}_{}.{part} * w{k};", k / 4));
    }
    match summed {
        true => (0..rows).for_each(|r| line!(out, "        s{r} += term({}, j, c{r});", row(s, r))),
        false => (0..rows).for_each(|r| line!(out, "        put({}, j, 0u, c{r});", row(s, r))),
    }
    line!(out, "    }}");
    for (r, i) in (0..rows).map(|r| (r, row(s, r))).filter(|_| summed) {
        line!(out, "    if {i} < N {{ store_sum({i}, (s{r}.x + s{r}.y) + (s{r}.z + s{r}.w)); }}");
    }
}
