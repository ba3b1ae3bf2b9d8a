//! The tile of GPUs: a group of invocations stages blocks of A and B through workgroup memory, and each invocation holds
//! several rows and columns of sums in registers.
//!
//! While the sums take up one block, the next is on its way from memory to registers. A block of A lies by columns, so
//! that a vector holds four rows of one term; its columns are four words longer than the tile, because a warp that
//! stores a column of quads would otherwise meet in one bank.
//!
//! Where a product has too few elements to keep a GPU busy, several **slices** of a group share a tile: each adds up its own
//! terms of every block, and in the end the first adds what the others have. Small products wait for latency, not arithmetic.

use super::emit::{XYZW, line};
use super::{Layout, MatmulSpec};
use crate::gpu::Caps;
use std::fmt::{self, Write};

/// A tile of `threads * sums` elements of C, both along its rows and along its columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SharedTile {
    /// Invocations along the rows, and along the columns.
    pub threads: [u32; 2],
    /// Rows and columns of sums an invocation, multiples of 4.
    pub sums: [u32; 2],
    /// Terms staged at a time, a multiple of 4 and of the slices. Each invocation loads at least one vector of either block:
    /// both sides of the tile times `depth` are multiples of four times the invocations.
    pub depth: u32,
    /// Into how many slices the terms of a block are shared out. With more than one, `threads` are those of a slice.
    pub slices: u32,
}

impl fmt::Display for SharedTile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (rows, cols) = self.size();
        let [i, j] = self.sums;
        write!(f, "{rows} x {cols} x {} by {i} x {j}, {} slices", self.depth, self.slices)
    }
}

/// Terms that are written out in the loop over a block.
const WRITTEN_OUT: u32 = 8;

impl SharedTile {
    /// Fits every device.
    pub const SMALLEST: SharedTile = SharedTile { threads: [8, 8], sums: [4, 4], depth: 32, slices: 4 };

    /// All sizes that the device has the workgroup memory for, largest first.
    #[must_use]
    pub fn all(caps: &Caps) -> Vec<SharedTile> {
        let tile = |threads, sums, depth, slices| SharedTile { threads, sums, depth, slices };
        let tiles = [
            tile([16, 16], [8, 8], 16, 1),
            tile([16, 16], [8, 8], 8, 1),
            tile([16, 8], [8, 8], 16, 2),
            tile([8, 8], [8, 8], 32, 4),
            tile([16, 16], [4, 4], 32, 2),
            tile([16, 16], [4, 4], 16, 1),
            tile([8, 16], [4, 4], 32, 2),
            SharedTile::SMALLEST,
        ];
        let limits = &caps.limits;
        let fits = |tile: &SharedTile| {
            tile.bytes() <= limits.max_compute_workgroup_storage_size
                && tile.invocations() <= limits.max_compute_invocations_per_workgroup
        };
        tiles.into_iter().filter(fits).collect()
    }

    /// Rows and columns of the tile.
    #[must_use]
    pub fn size(&self) -> (usize, usize) {
        ((self.threads[0] * self.sums[0]) as usize, (self.threads[1] * self.sums[1]) as usize)
    }

    /// Invocations a group.
    #[must_use]
    pub fn invocations(&self) -> u32 {
        self.slice() * self.slices
    }

    /// Invocations of a slice.
    fn slice(&self) -> u32 {
        self.threads[0] * self.threads[1]
    }

    /// Vectors from one term to the next in the blocks of A and of B.
    fn strides(&self) -> [u32; 2] {
        [self.threads[0] * self.sums[0] / 4 + 1, self.threads[1] * self.sums[1] / 4 + 1]
    }

    fn bytes(&self) -> u32 {
        let [a, b] = self.strides();
        (a + b) * self.depth * 16
    }

    /// The two blocks.
    pub(super) fn declarations(&self) -> String {
        let [a, b] = self.strides().map(|stride| stride * self.depth);
        format!("var<workgroup> as_: array<vec4<f32>, {a}>;\nvar<workgroup> bs: array<vec4<f32>, {b}>;\n")
    }

    /// The body of `main`.
    pub(super) fn body(&self, out: &mut String, s: &MatmulSpec) {
        let (rows, cols) = self.size();
        let [quads_i, quads_j] = self.sums.map(|n| n / 4);
        line!(out, "    let i0 = (group % TILES_I) * {rows}u;");
        line!(out, "    let j0 = (group / TILES_I % TILES_J) * {cols}u;");
        line!(out, "    let part = group / (TILES_I * TILES_J);");
        let [ti, tj] = self.threads;
        line!(
            out,
            "    let slice = lane / {}u;\n    let y = lane / {tj}u % {ti}u;\n    let x = lane % {tj}u;",
            ti * tj
        );
        for (r, p) in (0..self.sums[0]).flat_map(|r| (0..quads_j).map(move |p| (r, p))) {
            line!(out, "    var c{r}_{p} = vec4<f32>();");
        }
        if s.k > 0 {
            self.sum(out, s);
            self.join(out);
        }
        if self.slices > 1 {
            line!(out, "    if slice > 0u {{ return; }}");
        }
        for (q, c) in (0..quads_i).flat_map(|q| (0..4).map(move |c| (q, c))) {
            for p in 0..quads_j {
                let i = format!("i0 + 4u * (y + {}u) + {c}u", self.threads[0] * q);
                let j = format!("j0 + 4u * (x + {}u)", self.threads[1] * p);
                line!(out, "    put({i}, {j}, part, c{}_{p});", 4 * q + c);
            }
        }
    }

    /// The loop over blocks of terms.
    fn sum(&self, out: &mut String, s: &MatmulSpec) {
        let (first, end) = match s.split_k {
            1 => ("0u", "K"),
            _ => ("part * CHUNK", "min(part * CHUNK + CHUNK, K)"),
        };
        line!(out, "    let first = {first};\n    let end = {end};");
        let sides = [Side::a(self, s), Side::b(self, s)];
        for side in &sides {
            (0..side.loads).for_each(|v| line!(out, "    var {}{v} = vec4<f32>();", side.held));
        }
        // A chunk may be empty.
        line!(out, "    if first < end {{");
        sides.iter().for_each(|side| side.fetch(out, "first"));
        line!(out, "    }}");
        line!(out, "    for (var k = first; k < end; k += {}u) {{", self.depth);
        sides.iter().for_each(|side| side.stage(out));
        line!(out, "        workgroupBarrier();\n        let next = k + {}u;\n        if next < end {{", self.depth);
        sides.iter().for_each(|side| side.fetch(out, "next"));
        line!(out, "        }}");
        let own = self.depth / self.slices;
        let written = own.min(WRITTEN_OUT);
        let first = if self.slices > 1 { format!(" + slice * {own}u") } else { String::new() };
        line!(
            out,
            "        for (var step = 0u; step < {own}u; step += {written}u) {{\n            let t = step{first};"
        );
        (0..written).for_each(|t| self.term(out, t));
        line!(out, "        }}\n        workgroupBarrier();\n    }}");
    }

    /// Adds what the other slices have to the sums of the first, in their order: a vector of each invocation at a time, through the
    /// two blocks in turn.
    fn join(&self, out: &mut String) {
        if self.slices == 1 {
            return;
        }
        for (i, (r, p)) in (0..self.sums[0]).flat_map(|r| (0..self.sums[1] / 4).map(move |p| (r, p))).enumerate() {
            let block = ["as_", "bs"][i % 2];
            line!(out, "    {block}[lane] = c{r}_{p};\n    workgroupBarrier();");
            let others = (1..self.slices)
                .map(|slice| format!(" + {block}[(lane + {}u) % {}u]", slice * self.slice(), self.invocations()));
            line!(out, "    c{r}_{p} = c{r}_{p}{};", others.collect::<String>());
        }
    }

    /// What the `t + u`-th term of a block adds.
    fn term(&self, out: &mut String, u: u32) {
        let [a, b] = self.strides();
        for q in 0..self.sums[0] / 4 {
            line!(out, "            let x{q}_{u} = as_[(t + {u}u) * {a}u + y + {}u];", self.threads[0] * q);
        }
        for p in 0..self.sums[1] / 4 {
            line!(out, "            let w{p}_{u} = bs[(t + {u}u) * {b}u + x + {}u];", self.threads[1] * p);
        }
        for (r, p) in (0..self.sums[0]).flat_map(|r| (0..self.sums[1] / 4).map(move |p| (r, p))) {
            line!(out, "            c{r}_{p} += x{}_{u}.{} * w{p}_{u};", r / 4, XYZW[r as usize % 4]);
        }
    }
}

/// How a group moves the block of one operand.
struct Side {
    /// Prefix of the names of the vectors that an invocation holds.
    held: char,
    /// The block.
    block: &'static str,
    /// Vectors an invocation loads.
    loads: u32,
    invocations: u32,
    depth: u32,
    /// Rows (of A) or columns (of B) in the block.
    long: u32,
    stride: u32,
    /// Whether four neighbours in memory are four terms, rather than four rows or columns.
    along_k: bool,
    /// Whether blocks reach past the end of k.
    ragged: bool,
}

impl Side {
    fn a(tile: &SharedTile, s: &MatmulSpec) -> Side {
        Side::of(tile, s, 0, s.a == Layout::Rows)
    }

    fn b(tile: &SharedTile, s: &MatmulSpec) -> Side {
        Side::of(tile, s, 1, s.b == Layout::Cols)
    }

    fn of(tile: &SharedTile, s: &MatmulSpec, side: usize, along_k: bool) -> Side {
        let long = tile.threads[side] * tile.sums[side];
        Side {
            held: ['a', 'b'][side],
            block: ["as_", "bs"][side],
            loads: long * tile.depth / 4 / tile.invocations(),
            invocations: tile.invocations(),
            depth: tile.depth,
            long,
            stride: tile.strides()[side],
            along_k,
            ragged: !s.k.is_multiple_of(tile.depth as usize),
        }
    }

    /// Place of the `v`-th vector of an invocation in the block: along k, and along the rows or columns.
    fn place(&self, v: u32) -> (String, String) {
        let item = match v {
            0 => "lane".to_string(),
            _ => format!("(lane + {}u)", v * self.invocations),
        };
        let (inner, scale) = if self.along_k { (self.depth / 4, (4, 1)) } else { (self.long / 4, (1, 4)) };
        let times = |n: u32, index: String| if n == 1 { index } else { format!("{n}u * ({index})") };
        let (fast, slow) = (format!("{item} % {inner}u"), format!("{item} / {inner}u"));
        let (k, along) = if self.along_k { (fast, slow) } else { (slow, fast) };
        (times(scale.0, k), times(scale.1, along))
    }

    /// The invocation's part of the block that starts at `from`, from memory to registers.
    fn fetch(&self, out: &mut String, from: &str) {
        (0..self.loads).for_each(|v| line!(out, "        {}{v} = {};", self.held, self.load(v, from)));
    }

    /// The `v`-th vector of it. Terms past the end of a chunk are 0 on both sides, so that no infinity
    /// of a neighbour leaks in as a NaN.
    fn load(&self, v: u32, from: &str) -> String {
        let (k, along) = self.place(v);
        let value = match self.held {
            'a' => format!("qa(i0 + {along}, {from} + {k})"),
            _ => format!("qb({from} + {k}, j0 + {along})"),
        };
        match (self.ragged, self.along_k) {
            (false, _) => value,
            (true, false) => format!("select(vec4<f32>(), {value}, {from} + {k} < end)"),
            (true, true) => {
                let inside = format!("vec4<u32>({from} + {k}) + vec4(0u, 1u, 2u, 3u) < vec4(end)");
                format!("select(vec4<f32>(), {value}, {inside})")
            }
        }
    }

    /// From registers to workgroup memory.
    fn stage(&self, out: &mut String) {
        let Side { block, held, stride, .. } = self;
        for v in 0..self.loads {
            let (k, along) = self.place(v);
            if !self.along_k {
                line!(out, "        {block}[({k}) * {stride}u + ({along}) / 4u] = {held}{v};");
                continue;
            }
            for (c, part) in XYZW.iter().enumerate() {
                let at = format!("({k} + {c}u) * {stride}u + ({along}) / 4u");
                line!(out, "        {block}[{at}][({along}) % 4u] = {held}{v}.{part};");
            }
        }
    }
}
