//! Matrix products, `C = A B`, as a template that other code reads from and writes to through its own functions.
//!
//! ```text
//! C[i, j] = epilogue( sum_k A[i, k] B[k, j] )        A [n, k], B [k, m], C [n, m], f32
//! ```
//!
//! [`MatmulSpec::choose`] picks a tile for the device, [`MatmulSpec::template`] writes the kernel. Its memory accesses
//! are functions that the caller splices in, so the bias, the activation, the transposed or offset operand and the
//! several outputs of a fused kernel cost no pass over memory of their own.
//!
//! [`reference`] is the f64 twin.

mod emit;

use crate::gpu::Caps;

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
    /// 64 x 64 sums a group of 256 invocations, staged through 8 KiB of workgroup memory: the tile for GPUs.
    Shared,
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
    /// Whether the tile counts on B being a uniform buffer.
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

/// Bytes of a uniform binding that every device allows.
const UNIFORM_BYTES: usize = 64 * 1024;

impl MatmulSpec {
    /// The tile for a device.
    #[must_use]
    pub fn choose(n: usize, k: usize, m: usize, a: Layout, b: Layout, caps: &Caps) -> Self {
        let lanes = caps.subgroups.filter(|(low, high)| low == high && low % 4 == 0).map(|(size, _)| size);
        let mut spec = MatmulSpec { n, k, m, a, b, variant: Variant::Shared, split_k: 1, b_uniform: false };
        if caps.is_software() {
            spec.b_uniform = k * m * 4 <= UNIFORM_BYTES;
            spec.variant = match lanes {
                Some(lanes) if a == Layout::Rows && spec.b_uniform && k <= 256 => {
                    Variant::Resident { lanes, rows: (256 / k.max(32)) as u32 }
                }
                Some(lanes) => Variant::Subgroup { lanes, rows: 4, cols: columns(m, 32) },
                None => Variant::Register { lanes: 8, rows: 8, cols: columns(m, 8) },
            };
        } else if n < 32 || m < 16 {
            spec.variant =
                Variant::Register { lanes: 64, rows: if a == Layout::Cols { 4 } else { 1 }, cols: columns(m, 8) };
        }
        spec.split_k = spec.chunks(if caps.is_software() { 4 } else { 128 });
        spec
    }

    /// The same product for a B that is not a uniform buffer.
    #[must_use]
    pub fn with_storage_b(mut self) -> Self {
        self.b_uniform = false;
        if let Variant::Resident { lanes, .. } = self.variant {
            self.variant = Variant::Subgroup { lanes, rows: 4, cols: columns(self.m, 32) };
        }
        self
    }

    /// How many chunks of at least 256 terms make about `wanted` groups.
    fn chunks(&self, wanted: usize) -> usize {
        let (ti, tj) = self.tiles();
        match self.variant {
            Variant::Resident { .. } => 1,
            _ => (wanted / (ti * tj).max(1)).clamp(1, (self.k / 256).max(1)),
        }
    }

    /// The kernel's text, workgroup size and grid.
    #[must_use]
    pub fn template(&self) -> Template {
        let wgsl = include_str!("../../shaders/matmul.wgsl")
            .replace("#splice sizes", emit::sizes(self).trim_end())
            .replace("#splice loads", emit::loads(self).trim_end())
            .replace("#splice builtins", emit::builtins(self))
            .replace("#splice body", emit::body(self).trim_end());
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
        Vectors { a: a % 4 == 0, b: b % 4 == 0, store: self.m % 4 == 0 }
    }

    /// Terms a chunk of the sum over k, a multiple of 4.
    #[must_use]
    pub fn chunk(&self) -> usize {
        self.k.div_ceil(self.split_k.max(1)).next_multiple_of(4).max(4)
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
            Variant::Shared => (64, 64),
        }
    }

    fn lanes(&self) -> usize {
        match self.variant {
            Variant::Register { lanes, .. } | Variant::Subgroup { lanes, .. } | Variant::Resident { lanes, .. } => {
                lanes as usize
            }
            Variant::Shared => 256,
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
