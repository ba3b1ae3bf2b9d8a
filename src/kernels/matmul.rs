//! Matrix products, `C = A B`, as a template that other code reads from and writes to through its own functions.
//!
//! ```text
//! C[i, j] = epilogue( sum_k A[i, k] B[k, j] )        A [n, k], B [k, m], C [n, m], f32
//! ```
//!
//! [`MatmulSpec::choose`] picks a tile for the device, [`MatmulSpec::template`] writes the kernel. Its memory accesses
//! are functions that the caller splices in, so the bias, the activation, the offset operand and the several outputs of
//! a fused kernel cost no pass over memory of their own.
//!
//! # On a software adapter
//!
//! Mesa's lavapipe (22.3) reads storage and workgroup memory lane by lane, with two tests a word; a uniform buffer it gathers from.
//! `choose` counts on a uniform buffer for a B of up to 64 KiB. Everything else is a matter of loads a multiply-add, of sums that
//! fit into registers, and of a loop that fits into 32 KiB of instructions. Gflop/s of both cores (Mesa 22.3.6, AMD Zen 5, vectors
//! moved as words of 64 bits, 2026-11-27):
//!
//! | tile: lanes x rows x columns | `[4096, 128] [128, 128]`, B uniform | `[2048, 256] [256, 256]` | `[256, 2048] [2048, 256]`, A by columns | compile, s |
//! |---|---|---|---|---|
//! | subgroup, 8 x 8 x 32 | 84 | 100 | 90 | 0.3 |
//! | subgroup, 8 x 4 x 64 | 70 | 73 to 99 | 70 | 0.3 |
//! | subgroup, 8 x 4 x 32 | 67 | 73 | 61 | 0.1 |
//! | subgroup, 8 x 8 x 64 | 64 | 69 | 83 | 0.8 |
//! | subgroup, 8 x 8 x 8 | 46 | 51 | 43 | 0.1 |
//! | resident, 8 x 2 rows | 68 | 53 | | 0.4 |
//! | resident, 8 x 4 rows | 75 | | | 1.0 |
//!
//! A resident tile is taken for a uniform B nevertheless: it writes its epilogue out once and not for every sum, so more fits into
//! it. B by columns (`dY W^T`) is as fast as B by rows: there is no need to transpose a weight in memory. The sums of C run over
//! ascending k, but for the slices of a shared tile, which each sum terms of their own; the order is fixed.
//!
//! [`reference`](mod@reference) is the f64 twin.

mod candidates;
mod emit;
mod shared;

use crate::gpu::Caps;
pub use shared::SharedTile;

/// How a matrix lies in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Layout {
    /// Row-major: neighbours in memory differ in the second index.
    Rows,
    /// Column-major, the transpose of a row-major matrix: neighbours in memory differ in the first index.
    Cols,
}

/// The shape of the work of one invocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Variant {
    /// `rows` x `cols` sums an invocation, `lanes` invocations a group side by side along the rows of C.
    /// Runs everywhere: no workgroup memory, no barrier, no subgroup.
    Register {
        /// Invocations a group.
        lanes: u32,
        /// Rows of C an invocation; a multiple of 4 if A is stored by columns.
        rows: u32,
        /// Columns of C an invocation; a multiple of 4.
        cols: u32,
    },
    /// The same, with each element of B loaded by one lane of a subgroup and broadcast to the others.
    /// Needs subgroups of `lanes` invocations, no fewer and no more.
    Subgroup {
        /// Invocations a group, and a subgroup.
        lanes: u32,
        /// Rows of C an invocation; a multiple of 4 if A is stored by columns.
        rows: u32,
        /// Columns of C an invocation; a multiple of 4.
        cols: u32,
    },
    /// `rows` whole rows of A in registers, while the columns of B pass by. A by rows, `split_k` 1.
    /// Needs subgroups of `lanes` invocations, no fewer and no more.
    Resident {
        /// Invocations a group, and a subgroup; a multiple of 4.
        lanes: u32,
        /// Rows of A an invocation; `rows * k` vectors of registers.
        rows: u32,
    },
    /// A group works on one tile, staged through workgroup memory: the tile for GPUs. See [`SharedTile`].
    Shared(SharedTile),
}

/// One matrix product: its sizes, its layouts and how it is computed.
///
/// Any size works, 0 included: with `n` or `m` 0 there are no groups and nothing to dispatch; with `k` 0 every sum is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MatmulSpec {
    /// Rows of A and C.
    pub n: usize,
    /// Terms of each sum.
    pub k: usize,
    /// Columns of B and C.
    pub m: usize,
    /// How A lies in memory; `Cols` for the `X^T dY` of a weight gradient.
    pub a: Layout,
    /// How B lies in memory; `Cols` for the `dY W^T` of a backward pass.
    pub b: Layout,
    /// The tile.
    pub variant: Variant,
    /// Into how many chunks the sum over k is cut. With more than 1, C is `[split_k * n, m]`: block s holds the sums over
    /// the s-th chunk, and the caller adds the blocks, in that order.
    pub split_k: usize,
    /// Whether the tile counts on B being read from a uniform buffer. It is right without, but slow.
    pub b_uniform: bool,
}

/// Which of the spliced functions a template calls: the vector one, or the scalar one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vectors {
    /// `a4` (true) or `a1`.
    pub a: bool,
    /// `b4` (true) or `b1`.
    pub b: bool,
    /// `store4` (true) or `store1`.
    pub store: bool,
}

/// A kernel without its memory accesses.
#[derive(Clone, Debug)]
pub struct Template {
    /// WGSL with one line `#splice io`, for bindings and the functions named by [`MatmulSpec::vectors`].
    pub wgsl: String,
    /// Invocations a group.
    pub workgroup_size: u32,
    /// Groups to dispatch; any 0 means that there is nothing to do.
    pub groups: [u32; 3],
}

impl Template {
    /// The kernel, with `io` in its place.
    #[must_use]
    pub fn with_io(&self, io: &str) -> String {
        self.wgsl.replace("#splice io", io)
    }
}

/// Groups that keep a large GPU busy: two for each of some 130 processors.
const GPU_GROUPS: usize = 256;
/// Invocations that keep it busy while they wait for memory: sixteen warps for each of its processors.
const GPU_INVOCATIONS: usize = 1 << 16;
/// Most chunks of a sum over k on a GPU: whoever reads the product adds them.
const GPU_CHUNKS: usize = 16;

/// Bytes of a uniform binding that every device allows.
const UNIFORM_BYTES: usize = 64 * 1024;

impl MatmulSpec {
    /// The tile for a device. On a software adapter it counts on a uniform buffer for a B that fits into one; see
    /// [`with_storage_b`](Self::with_storage_b) for a caller that cannot bind it so.
    #[must_use]
    pub fn choose(n: usize, k: usize, m: usize, a: Layout, b: Layout, caps: &Caps) -> Self {
        let lanes = caps.subgroups.filter(|(low, high)| low == high && low.is_multiple_of(4)).map(|(size, _)| size);
        let b_uniform = caps.is_software() && (1..=UNIFORM_BYTES / 4).contains(&(k * m));
        let few = Variant::Register { lanes: 64, rows: if a == Layout::Cols { 4 } else { 1 }, cols: columns(m, 8) };
        let spec = MatmulSpec { n, k, m, a, b, variant: few, split_k: 1, b_uniform };
        let variant = match (caps.is_software(), lanes) {
            (true, Some(lanes)) => spec.subgroup_tile(lanes),
            (true, None) => spec.register_tile(),
            (false, _) if n < 32 || m < 16 => few,
            (false, _) => spec.shared_tile(caps),
        };
        spec.with_variant(variant, caps)
    }

    /// The same product by this tile, cut along k into as many chunks as the device has work for.
    fn with_variant(self, variant: Variant, caps: &Caps) -> Self {
        let whole = MatmulSpec { variant, split_k: 1, ..self };
        let split_k = match caps.is_software() {
            true => whole.chunks(4, 256),
            false => whole.chunks(GPU_GROUPS, 256).min(GPU_CHUNKS),
        };
        MatmulSpec { split_k, ..whole }
    }

    /// The largest tile of which there are enough to keep a GPU busy, or else the smallest.
    fn shared_tile(&self, caps: &Caps) -> Variant {
        let tiles = SharedTile::all(caps);
        let busy = |tile: &&SharedTile| {
            let groups = self.with_variant(Variant::Shared(**tile), caps).n_groups();
            groups >= GPU_GROUPS / 2 && groups * tile.invocations() as usize >= GPU_INVOCATIONS
        };
        let tile = tiles.iter().find(busy).or(tiles.last()).copied().unwrap_or(SharedTile::SMALLEST);
        Variant::Shared(tile)
    }

    /// The same product, with the tile for a B that lies in a storage buffer.
    #[must_use]
    pub fn with_storage_b(mut self) -> Self {
        if std::mem::take(&mut self.b_uniform) {
            self.variant = match self.variant {
                Variant::Subgroup { lanes, .. } | Variant::Resident { lanes, .. } => self.subgroup_tile(lanes),
                _ => self.register_tile(),
            };
            self.split_k = self.chunks(4, 256);
        }
        self
    }

    /// The tile for a software adapter without subgroups.
    fn register_tile(&self) -> Variant {
        let (rows, most) = if self.b_uniform && self.a == Layout::Rows { (2, 32) } else { (8, 8) };
        Variant::Register { lanes: 8, rows, cols: columns(self.m, most) }
    }

    fn subgroup_tile(&self, lanes: u32) -> Variant {
        let (whole_rows, by_rows) = (self.a == Layout::Rows, self.b == Layout::Rows);
        if self.b_uniform && whole_rows && self.m > 32 && self.k <= 256 {
            // 256 * 4 multiply-adds in the loop over columns: a second of compiling.
            return Variant::Resident { lanes, rows: (256 / self.k.max(32)) as u32 };
        }
        let quad = if whole_rows { 1 } else { 4 };
        let few = !whole_rows && by_rows && self.n <= 4 * lanes as usize;
        let (rows, most) = if few { (4, 128) } else { (8, 32) };
        let enough = self.n.div_ceil(lanes as usize).max(1) as u32;
        Variant::Subgroup { lanes, rows: enough.min(rows).next_multiple_of(quad), cols: columns(self.m, most) }
    }

    /// How many chunks of at least so many terms make about `wanted` groups.
    fn chunks(&self, wanted: usize, terms: usize) -> usize {
        let (ti, tj) = self.tiles();
        match self.variant {
            Variant::Resident { .. } => 1,
            _ => (wanted / (ti * tj).max(1)).clamp(1, (self.k / terms).max(1)),
        }
    }

    /// The kernel's text, workgroup size and grid.
    #[must_use]
    pub fn template(&self) -> Template {
        self.text(false)
    }

    /// The kernel that stores no element of C but one number a row; `None` unless the tile is [`Variant::Resident`].
    ///
    /// Of the spliced functions, `sum4(i, j, v) -> vec4<f32>` (or `sum1`, by [`vectors`](Self::vectors)) says what
    /// `C[i, j..j+4]` adds to its row, and `store_sum(i, s)` stores the row's sum. It is made of four running sums over
    /// ascending j, and of no more than `m / 4 + 2` additions one after the other.
    #[must_use]
    pub fn row_sum_template(&self) -> Option<Template> {
        matches!(self.variant, Variant::Resident { .. }).then(|| self.text(true))
    }

    fn text(&self, summed: bool) -> Template {
        let wgsl = include_str!("../../shaders/matmul.wgsl")
            .replace("#splice sizes", emit::sizes(self).trim_end())
            .replace("#splice loads", emit::loads(self, summed).trim_end())
            .replace("#splice builtins", emit::builtins(self))
            .replace("#splice body", emit::body(self, summed).trim_end());
        Template { wgsl, workgroup_size: self.workgroup_size() as u32, groups: self.groups() }
    }

    /// Groups to dispatch, folded into two dimensions above 65535.
    #[must_use]
    pub fn groups(&self) -> [u32; 3] {
        let n = self.n_groups();
        let y = n.div_ceil(65535).max(1);
        [n.div_ceil(y) as u32, y as u32, 1]
    }

    /// Which functions the template calls: vectors need the contiguous size to be a multiple of 4.
    #[must_use]
    pub fn vectors(&self) -> Vectors {
        let a = if self.a == Layout::Rows { self.k } else { self.n };
        let b = if self.b == Layout::Rows { self.m } else { self.k };
        Vectors { a: a.is_multiple_of(4), b: b.is_multiple_of(4), store: self.m.is_multiple_of(4) }
    }

    /// Terms a chunk of the sum over k, a multiple of 4, and of what a tile stages at a time.
    #[must_use]
    pub fn chunk(&self) -> usize {
        let unit = self.chunk_unit();
        self.k.div_ceil(self.split_k.max(1)).next_multiple_of(unit).max(unit)
    }

    fn chunk_unit(&self) -> usize {
        match self.variant {
            Variant::Shared(tile) => tile.depth as usize,
            _ => 4,
        }
    }

    fn n_groups(&self) -> usize {
        let (ti, tj) = self.tiles();
        ti * tj * self.split_k.max(1)
    }

    /// Tiles along the rows and along the columns of C.
    fn tiles(&self) -> (usize, usize) {
        let (ti, tj) = self.tile();
        let tj = if matches!(self.variant, Variant::Resident { .. }) { self.m.max(1) } else { tj };
        (self.n.div_ceil(ti), self.m.div_ceil(tj))
    }

    /// Rows and columns of C that a group works on at a time.
    fn tile(&self) -> (usize, usize) {
        match self.variant {
            Variant::Register { lanes, rows, cols } | Variant::Subgroup { lanes, rows, cols } => {
                ((lanes * rows) as usize, cols as usize)
            }
            Variant::Resident { lanes, rows } => ((lanes * rows) as usize, 4),
            Variant::Shared(tile) => tile.size(),
        }
    }

    /// Terms of each sum that a pass of a tile's loop adds. Where neither operand is contiguous along k, wide tiles add
    /// one at a time: the text stays short, and no load is lost by it.
    fn step(&self) -> usize {
        let (ti, tj) = self.tile();
        self.step_of((ti / self.lanes() * tj) as u32) as usize
    }

    /// [`step`](Self::step) of a tile with so many sums an invocation.
    fn step_of(&self, sums: u32) -> u32 {
        match (self.a, self.b) {
            (Layout::Cols, Layout::Rows) if sums > 256 => 1,
            _ => 4,
        }
    }

    fn lanes(&self) -> usize {
        match self.variant {
            Variant::Register { lanes, .. } | Variant::Subgroup { lanes, .. } | Variant::Resident { lanes, .. } => {
                lanes as usize
            }
            Variant::Shared(tile) => tile.invocations() as usize,
        }
    }

    fn workgroup_size(&self) -> usize {
        self.lanes()
    }
}

/// A width of tile up to `most` that leaves few columns over.
fn columns(m: usize, most: usize) -> u32 {
    let tiles = m.div_ceil(most).max(1);
    m.div_ceil(tiles).next_multiple_of(4).max(4) as u32
}

/// The meaning of the kernel, in f64 from f32 inputs.
pub mod reference {
    use super::Layout;

    /// `C = A B`, and for each element of C the sum of |a||b| that its rounding error is proportional to.
    ///
    /// `a` has n k elements and `b` k m, each in its layout; both results are `[n, m]` by rows.
    ///
    /// ```
    /// use ergodic::kernels::matmul::{Layout, reference::matmul};
    /// let (c, scale) = matmul(1, 2, 1, (&[3.0, 4.0], Layout::Rows), (&[1.0, -1.0], Layout::Rows));
    /// assert_eq!((c, scale), (vec![-1.0], vec![7.0]));
    /// ```
    #[must_use]
    pub fn matmul(n: usize, k: usize, m: usize, a: (&[f32], Layout), b: (&[f32], Layout)) -> (Vec<f64>, Vec<f64>) {
        let at = |(x, layout): (&[f32], Layout), rows: usize, cols: usize, i: usize, j: usize| match layout {
            Layout::Rows => f64::from(x[i * cols + j]),
            Layout::Cols => f64::from(x[j * rows + i]),
        };
        let (mut c, mut scale) = (Vec::with_capacity(n * m), Vec::with_capacity(n * m));
        for (i, j) in (0..n).flat_map(|i| (0..m).map(move |j| (i, j))) {
            let terms = (0..k).map(|l| at(a, n, k, i, l) * at(b, k, m, l, j));
            c.push(terms.clone().sum());
            scale.push(terms.map(f64::abs).sum());
        }
        (c, scale)
    }
}
