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
//! # On a software adapter, bind inputs as uniform buffers
//!
//! Mesa's lavapipe (22.3) reads a storage or workgroup buffer lane by lane through a slot on the stack, about 30 cycles a
//! scalar; from a uniform buffer it gathers at 1.5. A multiply-add of 8 lanes takes about 1.5, so where the operands
//! lie decides. `choose` counts on uniform buffers (`a_uniform`, `b_uniform`) for operands of up to 64 KiB. A
//! taller A pays by windows of its rows, each a product of its own with the same kernel: see [`uniform_rows`].
//!
//! Processor time of `[2048, 128] [128, 128]`, both cores added up, Mesa 22.3.6, AMD Zen 3, on a busy machine:
//!
//! | tile: lanes x rows x columns | A | B | ms | GFLOP/s a core | compile, s |
//! |---|---|---|---|---|---|
//! | resident, 8 x 2 rows | 16 uniform windows | uniform | 3.8 | 17.6 | 1.3 |
//! | subgroup, 8 x 4 x 16 | 16 uniform windows | uniform | 4.3 | 15.6 | 0.2 |
//! | resident, 8 x 2 rows | storage | uniform | 5.6 | 12.0 | 1.3 |
//! | register, 8 x 8 x 16 | 16 uniform windows | uniform | 7.0 | 9.6 | 0.6 |
//! | subgroup, 8 x 2 x 64 | storage | uniform | 8.4 | 8.0 | 0.4 |
//! | register, 8 x 2 x 32 | storage | uniform | 19 | 3.6 | 0.6 |
//! | subgroup, 8 x 4 x 32 | storage | storage | 20 | 3.3 | 0.4 |
//! | register, 8 x 8 x 8 | storage | storage | 72 | 0.9 | 0.3 |
//! | shared, 64 x 64 | storage | storage | 166 | 0.4 | 0.3 |
//! | `X^T dY`, subgroup, 8 x 8 x 64 | storage | storage | 11 | 6.0 | 1.9 |
//! | `X^T dY`, subgroup, 8 x 4 x 16 | 16 uniform windows | 16 uniform windows | 4.3 | 15.6 | 0.2 |
//!
//! The last row leaves out the sum of its 16 partial products. B by columns (`dY W^T`) is as fast as B by rows: there is
//! no need to transpose a weight in memory. The sums of C run over ascending k, but for the
//! slices of a shared tile, which each sum terms of their own; the order is fixed.
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
    /// Whether the tile counts on A being read from a uniform buffer. It is right without, but slow.
    pub a_uniform: bool,
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

/// Rows a window, if a matrix `[n, width]` by rows can be cut into equal windows of its rows that can be bound as uniform
/// buffers: they fit, and they start where a binding may (every 256 bytes, for any tensor with these rows).
///
/// `[n, k] [k, m]` is then `n / rows` dispatches of one kernel, the one for `[rows, k] [k, m]`; dispatch `w` binds rows
/// `w * rows..` of A, of C, and of what the epilogue reads. A weight gradient `[k, n]^T [k, m]`, cut along k, makes
/// as many partial products `[n, m]`, to be added. The extra dispatches themselves cost next to nothing.
///
/// ```
/// use ergodic::kernels::matmul::uniform_rows;
/// assert_eq!(uniform_rows(2048, 128), Some(128)); // 16 windows of 64 KiB
/// assert_eq!(uniform_rows(2048, 24), Some(512)); // 4 windows of 48 KiB
/// assert_eq!((uniform_rows(100, 24), uniform_rows(2048, 784)), (None, None));
/// ```
#[must_use]
pub fn uniform_rows(n: usize, width: usize) -> Option<usize> {
    let most = UNIFORM_BYTES / 4 / width.max(1) / 64;
    (1..=most).rev().map(|rows| rows * 64).find(|&rows| n > 0 && n.is_multiple_of(rows))
}

impl MatmulSpec {
    /// The tile for a device. On a software adapter it counts on a uniform buffer for each operand that fits into one;
    /// see [`with_storage`](Self::with_storage) for a caller that cannot bind it so.
    #[must_use]
    pub fn choose(n: usize, k: usize, m: usize, a: Layout, b: Layout, caps: &Caps) -> Self {
        let lanes = caps.subgroups.filter(|(low, high)| low == high && low.is_multiple_of(4)).map(|(size, _)| size);
        let fits = |elements: usize| caps.is_software() && 0 < elements && elements * 4 <= UNIFORM_BYTES;
        let (a_uniform, b_uniform) = (fits(n * k), fits(k * m));
        let few = Variant::Register { lanes: 64, rows: if a == Layout::Cols { 4 } else { 1 }, cols: columns(m, 8) };
        let spec = MatmulSpec { n, k, m, a, b, variant: few, split_k: 1, a_uniform, b_uniform };
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

    /// The same product, with the tile for operands of which those named lie in storage buffers.
    #[must_use]
    pub fn with_storage(mut self, a: bool, b: bool) -> Self {
        let chosen = (self.a_uniform, self.b_uniform);
        self.a_uniform &= !a;
        self.b_uniform &= !b;
        if chosen != (self.a_uniform, self.b_uniform) {
            self.variant = match self.variant {
                Variant::Subgroup { lanes, .. } | Variant::Resident { lanes, .. } => self.subgroup_tile(lanes),
                _ => self.register_tile(),
            };
            self.split_k = self.chunks(4, 256);
        }
        self
    }

    /// [`with_storage`](Self::with_storage) for B alone.
    #[must_use]
    pub fn with_storage_b(self) -> Self {
        self.with_storage(false, true)
    }

    /// The tile for a software adapter without subgroups.
    fn register_tile(&self) -> Variant {
        let (rows, most) = match (self.a_uniform, self.b_uniform) {
            (true, true) => (8, 16),
            (false, true) if self.a == Layout::Rows => (2, 32),
            _ => (8, 8),
        };
        Variant::Register { lanes: 8, rows, cols: columns(self.m, most) }
    }

    /// A tile costs its loads, 16 times dearer from a storage buffer: that side of the tile gets to be read rarely.
    fn subgroup_tile(&self, lanes: u32) -> Variant {
        let quad = if self.a == Layout::Cols { 4 } else { 1 };
        let rows = |most: u32| most.min(self.n.div_ceil(lanes as usize).max(1) as u32).next_multiple_of(quad);
        let tile = |r: u32, most: usize| Variant::Subgroup { lanes, rows: rows(r), cols: columns(self.m, most) };
        match (self.a_uniform, self.b_uniform, self.a, self.b) {
            (_, true, Layout::Rows, _) if self.m > 32 && self.k <= 256 => {
                // 256 * 4 multiply-adds in the loop over columns: a second of compiling.
                Variant::Resident { lanes, rows: (256 / self.k.max(32)) as u32 }
            }
            (true, true, ..) => tile(4, 16),
            (false, true, ..) => tile(2, 64),
            (true, false, ..) => tile(8, 16),
            (false, false, Layout::Cols, Layout::Rows) if self.n <= 4 * lanes as usize => tile(4, 128),
            (false, false, ..) => tile(8, 32),
        }
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
