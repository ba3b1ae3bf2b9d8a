//! Several explicit steps of a field in one pass over memory: host side of `shaders/stencil.wgsl`.
//!
//! A software adapter spends some twenty operations on each word that it reads or writes, and does arithmetic eight lanes
//! at a time. So a pass takes as many steps as it can before it writes; what bounds it is the halo, whose cells are
//! computed twice, and the length of the text. [`Tile::choose`] weighs these.
//!
//! The twin of a pass is the f64 meaning of a stencil, step after step.

use crate::error::Result;
use crate::gpu::shader::{Defines, preprocess};

/// What a pass works on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Cells along which tiles stream: the last axis of a line, the last but one of a plane.
    pub along: usize,
    /// Cells across: 1 for a line.
    pub across: usize,
    /// Fields side by side.
    pub batch: usize,
    /// Whether it is a plane.
    pub plane: bool,
}

/// What is computed in one pass.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Work {
    /// Floating-point operations a cell, of all levels together.
    pub flops: f64,
    /// Reach of all stencils together along and across the field, in cells.
    pub reach: [usize; 2],
}

/// How a pass is cut into tiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tile {
    /// The field.
    pub field: Field,
    /// Lanes that share a tile.
    pub lanes: usize,
    /// Cells across that a lane holds.
    pub chunk: usize,
    /// Cells along that a round reads.
    pub unroll: usize,
    /// Cells across at both ends that are computed and not stored; a multiple of 4, as the chunk is.
    pub halo: usize,
    /// Cells along by which the last level is behind the first.
    pub lag: usize,
    /// Cells along that a tile stores.
    pub segment: usize,
}

/// Operations that a word read, a word written, and a cell carried to the next round cost on a software adapter, in units of
/// vector operations a lane [measured, lavapipe 22.3: 0.7 ns, 1.2 ns and 0.1 ns, where a multiplication takes 0.03 ns].
const COST: (f64, f64, f64) = (24.0, 40.0, 4.0);
/// Operations written out in one kernel: 1200 take a driver 0.3 s to compile, and twice as many three times as long.
const TEXT: f64 = 1800.0;
/// Tiles, counted in subgroups, that keep a few cores busy.
const TILES: usize = 32;
/// Most levels in one pass.
const DEEPEST: usize = 32;

impl Tile {
    /// The best tiles for this work; `None` if its text is too long or its halo leaves nothing.
    pub fn choose(field: Field, work: Work, lanes: Option<usize>) -> Option<(Tile, f64)> {
        let all = Self::candidates(field, work, lanes).into_iter();
        let fits = all.filter(|tile| tile.text(work) <= TEXT && tile.strip() > 0);
        let priced = fits.map(|tile| (tile, tile.cost(work)));
        priced.min_by(|a, b| a.1.total_cmp(&b.1))
    }

    /// How many levels of this work, one level's, a pass should take.
    pub fn levels(field: Field, level: Work, lanes: Option<usize>) -> usize {
        let of = |levels: usize| {
            let reach = level.reach.map(|reach| reach * levels);
            let (_, cost) = Self::choose(field, Work { flops: level.flops * levels as f64, reach }, lanes)?;
            Some((levels, cost / levels as f64))
        };
        (1..=DEEPEST).filter_map(of).min_by(|a, b| a.1.total_cmp(&b.1)).map_or(0, |best| best.0)
    }

    fn candidates(field: Field, work: Work, lanes: Option<usize>) -> Vec<Tile> {
        let halo = work.reach[1].next_multiple_of(4);
        let lanes = if field.plane { lanes.unwrap_or(1) } else { 1 };
        let chunks: &[usize] = match (field.plane, lanes) {
            (false, _) => &[1],
            (true, 1) => &[8, 12, 16, 24, 32, 48],
            (true, _) => &[4, 8, 12, 16, 24],
        };
        let unroll = if field.plane { 1 } else { 4 };
        let tile = |&chunk: &usize| Tile { field, lanes, chunk, unroll, halo, lag: work.reach[0], segment: 0 };
        chunks.iter().map(tile).map(|tile| tile.cut(lanes)).collect()
    }

    /// Cut the field along into as many segments as keep cores busy, as long as few cells are read twice.
    fn cut(mut self, lanes: usize) -> Tile {
        let abreast = if self.field.plane && lanes > 1 { 1 } else { 8 };
        let beside = self.strips() * self.field.batch;
        let wanted = (TILES * abreast).div_ceil(beside.max(1));
        let most = (self.field.along / (16 * self.lag.max(1))).max(1);
        self.segment = self.field.along.div_ceil(wanted.min(most)).next_multiple_of(self.unroll);
        self
    }

    /// Cells across that a tile computes.
    pub fn width(&self) -> usize {
        self.lanes * self.chunk
    }

    /// Cells across that a tile stores.
    pub fn strip(&self) -> usize {
        if self.field.plane { self.width().saturating_sub(2 * self.halo) } else { 1 }
    }

    fn strips(&self) -> usize {
        self.field.across.div_ceil(self.strip().max(1)).max(1)
    }

    fn segments(&self) -> usize {
        self.field.along.div_ceil(self.segment).max(1)
    }

    /// Tiles in all.
    pub fn tiles(&self) -> usize {
        self.strips() * self.segments() * self.field.batch
    }

    /// Invocations in all.
    pub fn invocations(&self) -> usize {
        self.tiles() * self.lanes
    }

    /// Invocations in a workgroup: one subgroup where lanes share a tile, few elsewhere, so that there are many groups.
    pub fn group(&self) -> u32 {
        if self.lanes > 1 { self.lanes as u32 } else { 8 }
    }

    /// Cells along by which stores are behind the last level, so that they are whole vectors.
    pub fn delay(&self) -> usize {
        self.lag.next_multiple_of(self.unroll) - self.lag
    }

    /// Cells along that are read before the first one that is stored.
    pub fn ahead(&self) -> usize {
        self.lag.next_multiple_of(self.unroll)
    }

    /// The first round that stores.
    pub fn first_round(&self) -> usize {
        (self.ahead() + self.lag + self.delay()) / self.unroll
    }

    /// Rounds of a tile.
    pub fn rounds(&self) -> usize {
        self.first_round() + self.segment / self.unroll
    }

    /// Operations written out.
    fn text(&self, work: Work) -> f64 {
        work.flops * (self.chunk * self.unroll) as f64
    }

    /// Operations a cell that is stored.
    fn cost(&self, work: Work) -> f64 {
        let cells = (self.field.along * self.field.across * self.field.batch).max(1) as f64;
        let rounds = (self.rounds() * self.unroll) as f64;
        let computed = self.tiles() as f64 * rounds * (self.width() as f64) / cells;
        let (read, write, carry) = COST;
        let carried = 2.0 * carry * work.reach[0] as f64 / self.unroll as f64;
        computed * (read + work.flops + carried) + write
    }

    /// The text, without imports and the declarations of bindings.
    ///
    /// # Errors
    /// Those of the preprocessor; none for the shader that comes with the crate.
    pub fn wgsl(&self, body: &str) -> Result<String> {
        let sizes = [
            ("GROUP", self.group() as usize),
            ("LANES", self.lanes),
            ("TILES", self.tiles()),
            ("STRIPS", self.strips()),
            ("STRIP", self.strip()),
            ("SEGMENTS", self.segments()),
            ("SEGMENT", self.segment),
        ];
        let sizes: String = sizes.iter().map(|(name, n)| format!("const {name}: u32 = {n}u;\n")).collect();
        let defines =
            Defines::new().set("SHUFFLE", self.lanes > 1).splice("sizes", sizes).splice("body", body.to_string());
        preprocess("stencil", include_str!("../../shaders/stencil.wgsl"), &defines)
    }
}
