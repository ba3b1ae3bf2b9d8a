//! Where the cells of a tile of stencils lie in their field.

use crate::kernels::stencil::Tile;
use crate::plan::emit::{Affine, Emitter};
use crate::plan::stencils::Pass;

/// Indices of cells, with the names in which they are written.
pub(super) struct Places {
    tile: Tile,
    leading: Vec<Affine>,
    /// Across the field, for each cell of a chunk; none on a line.
    across: Vec<Affine>,
    /// Multiples of the field's lengths that keep positions from becoming negative.
    pub wrap: [usize; 2],
    /// Whether cells along, or across, lie in whole vectors.
    pub vectors: bool,
}

impl Places {
    pub fn new(out: &mut Emitter<'_>, pass: &Pass) -> Places {
        let tile = pass.tile;
        let (n, m) = (tile.field.along, tile.field.across);
        let leading = &pass.shape[..pass.shape.len() - if pass.plane { 2 } else { 1 }];
        let batch = out.symbol("batch", tile.field.batch, 0);
        let leading = out.unflatten(&batch, leading);
        let behind = tile.ahead() + tile.lag + tile.delay();
        let wrap = [n * behind.div_ceil(n), m * tile.halo.div_ceil(m)];
        let vectors = (if pass.plane { m } else { n }).is_multiple_of(4);
        let mut places = Places { tile, leading, across: vec![], wrap, vectors };
        if pass.plane {
            places.name_cells_across(out);
        }
        places
    }

    fn name_cells_across(&mut self, out: &mut Emitter<'_>) {
        let (tile, m) = (self.tile, self.tile.field.across);
        let first = format!("strip * STRIP + lane * {}u + {}u", tile.chunk, self.wrap[1] - tile.halo);
        out.statement(0, &format!("let across = {first};"), &[]);
        out.statement(0, &format!("let west = strip * STRIP + {}u;", self.wrap[1]), &[]);
        out.statement(0, &format!("let east = min(west + STRIP, {}u);", self.wrap[1] + m), &[]);
        for c in 0..tile.chunk {
            let place = if self.vectors {
                let quad = format!("q{}", c / 4);
                if c % 4 == 0 {
                    out.statement(0, &format!("let {quad} = (across / 4u + {}u) % {}u;", c / 4, m / 4), &[]);
                }
                self.quad(out, &quad, m / 4, 0).offset(c % 4)
            } else {
                out.statement(0, &format!("let x{c} = (across + {c}u) % {m}u;"), &[]);
                out.symbol(&format!("x{c}"), m, 0)
            };
            self.across.push(place);
        }
    }

    pub fn quad(&self, out: &mut Emitter<'_>, name: &str, extent: usize, level: usize) -> Affine {
        out.symbol(name, extent, level).times(4)
    }

    /// Cells of a chunk, or cells along of a round, that are stored together.
    pub fn lanes(&self) -> usize {
        if self.vectors { 4 } else { 1 }
    }

    pub fn index(&self, along: &Affine, c: usize) -> Vec<Affine> {
        let across = self.across.get(c).cloned();
        self.leading.iter().cloned().chain([along.clone()]).chain(across).collect()
    }
}
