//! Other tiles for a product, for a tuner to try; and names of tiles.

use super::{Layout, MatmulSpec, SharedTile, Variant};
use crate::gpu::Caps;
use std::fmt;

/// Multiply-adds that the loop of a tile may write out: a software adapter compiles about a thousand a second.
const WRITTEN_OUT: u32 = 1024;

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Variant::Register { lanes, rows, cols } => write!(f, "register {lanes} x {rows} x {cols}"),
            Variant::Subgroup { lanes, rows, cols } => write!(f, "subgroup {lanes} x {rows} x {cols}"),
            Variant::Resident { lanes, rows } => write!(f, "resident {lanes} x {rows}"),
            Variant::Shared(tile) => write!(f, "shared {tile}"),
        }
    }
}

impl MatmulSpec {
    /// The name of the problem, whatever computes it: n to a power of two, k, m, layouts, whether B is uniform.
    #[must_use]
    pub fn problem(&self) -> String {
        let side = |layout: Layout| if layout == Layout::Rows { "rows" } else { "cols" };
        let (a, b, uniform) = (side(self.a), side(self.b), if self.b_uniform { " uniform" } else { "" });
        format!("matmul {} x {} x {}, {a}, {b}{uniform}", self.n.next_power_of_two(), self.k, self.m)
    }

    /// This product by other tiles that the device can run, this one first. All give the same sums, in the same order over k
    /// unless they are cut into other chunks.
    #[must_use]
    pub fn candidates(&self, caps: &Caps) -> Vec<MatmulSpec> {
        let mut all = vec![*self];
        for variant in self.variants(caps) {
            let other = self.with_variant(variant, caps);
            if !all.iter().any(|spec| spec.variant == other.variant) {
                all.push(other);
            }
        }
        all
    }

    fn variants(&self, caps: &Caps) -> Vec<Variant> {
        let lanes = caps.subgroups.filter(|(low, high)| low == high && low.is_multiple_of(4)).map(|(size, _)| size);
        let mut all = vec![];
        if caps.is_software() {
            all.extend([(8, 8), (2, 32)].map(|(rows, cols)| Variant::Register { lanes: 8, rows, cols }));
        } else {
            all.extend(SharedTile::all(caps).into_iter().map(Variant::Shared));
            all.extend([(1, 8), (4, 4), (4, 8), (8, 8)].map(|(rows, cols)| Variant::Register {
                lanes: 64,
                rows,
                cols,
            }));
        }
        if let Some(lanes) = lanes {
            let tiles = [(4, 16), (4, 32), (8, 16), (8, 32), (2, 64), (4, 64), (4, 8), (8, 8)];
            all.extend(tiles.map(|(rows, cols)| Variant::Subgroup { lanes, rows, cols }));
            all.extend([1, 2, 4].map(|rows| Variant::Resident { lanes, rows }));
        }
        all.retain(|variant| self.suits(variant));
        all
    }

    /// Whether a tile can compute this product and is not far too large for it.
    fn suits(&self, variant: &Variant) -> bool {
        let wide = |cols: u32| cols as usize <= self.m.next_multiple_of(4);
        let quads = |rows: u32| self.a == Layout::Rows || rows.is_multiple_of(4);
        match *variant {
            Variant::Register { rows, cols, .. } | Variant::Subgroup { rows, cols, .. } => {
                wide(cols) && quads(rows) && rows * cols * self.step_of(rows * cols) <= WRITTEN_OUT
            }
            Variant::Resident { rows, .. } => {
                self.a == Layout::Rows && self.k > 0 && self.k * rows as usize * 4 <= 2 * WRITTEN_OUT as usize
            }
            Variant::Shared(tile) => {
                let (rows, cols) = tile.size();
                rows < 2 * self.n.max(32) && cols < 2 * self.m.max(32)
            }
        }
    }
}
