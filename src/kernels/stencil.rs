//! Several explicit steps of a field in one pass over memory: host side of `shaders/stencil.wgsl`.
//!
//! A software adapter spends some twenty operations on each word that it reads or writes, and does arithmetic eight lanes
//! at a time; a GPU spends as long on starting a kernel as on a step of a million cells. So a pass takes as many steps as it can
//! before it writes; what bounds it is the halo, whose cells are computed twice, and the length of the text; and on a GPU that
//! a tile waits for one level after the other. [`Tile::choose`] weighs these.
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

/// What tiles are cut for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// A few cores: few long tiles, each of so many lanes of a subgroup, or of one invocation.
    Cores {
        /// Invocations of a subgroup, if the device has subgroups of one size.
        lanes: Option<usize>,
    },
    /// Thousands of invocations at a time: many short tiles, each of a subgroup.
    Gpu {
        /// Invocations of a subgroup.
        lanes: usize,
    },
}

impl Target {
    fn lanes(self) -> usize {
        match self {
            Target::Cores { lanes } => lanes.unwrap_or(1),
            Target::Gpu { lanes } => lanes,
        }
    }
}

/// What is computed in one pass.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Work {
    /// Levels.
    pub levels: usize,
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
    /// Whether a round reads the cells of the next one, so that they are on their way meanwhile.
    pub early: bool,
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

/// What a pass costs a GPU, in nanoseconds: to start it, to wait for a round's cells and for a level of it, and an operation of a
/// lane. On an H200, by Vulkan, a step of 1024 x 1024 cells takes 3.7 us in passes of four levels and 3.2 us in passes of eight, one of
/// 256 lines of 1024 cells 0.5 us in passes of 16 and 0.40 us in passes of 32; this says 3.1, 2.7, 0.44 and 0.37.
const GPU_COST: GpuCost = GpuCost { launch: 4500.0, load: 250.0, level: 20.0, operation: 3.5e-5 };
/// Registers of a lane that a GPU may spend on what levels keep between rounds.
const KEPT: usize = 96;

struct GpuCost {
    launch: f64,
    load: f64,
    level: f64,
    operation: f64,
}

impl Tile {
    /// The best tiles for this work, and what they cost a cell; `None` if their text is too long or their halo leaves nothing.
    pub fn choose(field: Field, work: Work, target: Target) -> Option<(Tile, f64)> {
        let all = Self::candidates(field, work, target).into_iter();
        let fits = all.filter(|tile| tile.text(work) <= TEXT && tile.strip() > 0);
        let priced = fits.filter_map(|tile| Some((tile, tile.cost(work, target)?)));
        priced.min_by(|a, b| a.1.total_cmp(&b.1))
    }

    /// How many levels of this work, one level's, a pass should take.
    pub fn levels(field: Field, level: Work, target: Target) -> usize {
        let of = |levels: usize| {
            let reach = level.reach.map(|reach| reach * levels);
            let work = Work { levels, flops: level.flops * levels as f64, reach };
            Some((levels, Self::choose(field, work, target)?.1 / levels as f64))
        };
        (1..=DEEPEST).filter_map(of).min_by(|a, b| a.1.total_cmp(&b.1)).map_or(0, |best| best.0)
    }

    fn candidates(field: Field, work: Work, target: Target) -> Vec<Tile> {
        let halo = work.reach[1].next_multiple_of(4);
        let lanes = if field.plane { target.lanes() } else { 1 };
        let chunks: &[usize] = match (field.plane, target) {
            (false, _) => &[1],
            (true, Target::Gpu { .. }) => &[4, 8],
            (true, _) if lanes == 1 => &[8, 12, 16, 24, 32, 48],
            (true, _) => &[4, 8, 12, 16, 24],
        };
        let unroll = if field.plane { 1 } else { 4 };
        let tile =
            |&chunk: &usize| Tile { field, lanes, chunk, unroll, halo, lag: work.reach[0], segment: 0, early: false };
        let tiles = chunks.iter().map(tile);
        match target {
            Target::Cores { .. } => tiles.map(|tile| tile.cut(lanes)).collect(),
            Target::Gpu { .. } => tiles.flat_map(|tile| tile.cuts()).collect(),
        }
    }

    /// Cut the field along into segments of every power of two.
    fn cuts(self) -> impl Iterator<Item = Tile> {
        let longest = self.field.along.next_power_of_two();
        let lengths = (0..=longest.ilog2()).map(move |log| (1usize << log).next_multiple_of(self.unroll));
        let cut = lengths.map(move |segment| Tile { segment, ..self });
        cut.map(|tile| Tile { early: tile.field.plane && tile.rounds() > 1, ..tile })
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

    /// What a cell that is stored costs, in units of the target; `None` if it cannot be.
    fn cost(&self, work: Work, target: Target) -> Option<f64> {
        let cells = (self.field.along * self.field.across * self.field.batch).max(1) as f64;
        let rounds = (self.rounds() * self.unroll) as f64;
        let computed = self.tiles() as f64 * rounds * (self.width() as f64);
        let kept = 2 * work.reach[0];
        match target {
            Target::Cores { .. } => {
                let (read, write, carry) = COST;
                let carried = carry * kept as f64 / self.unroll as f64;
                Some(computed / cells * (read + work.flops + carried) + write)
            }
            Target::Gpu { .. } => {
                let GpuCost { launch, load, level, operation } = GPU_COST;
                // A round waits for its cells or for one level after the other, the first one for both.
                let levels = level * work.levels as f64;
                let waits = load + levels + (rounds - 1.0) * load.max(levels);
                let operations = computed * (work.flops + kept as f64);
                let fits = kept * self.chunk <= KEPT;
                fits.then_some((launch + waits + operation * operations) / cells)
            }
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The tile for the five-point stencil of a plane, or the three-point one of lines side by side.
    fn tile(along: usize, across: usize, reach: [usize; 2], target: Target) -> (usize, Tile) {
        let field = Field { along, across, batch: 1, plane: true };
        let levels = Tile::levels(field, Work { levels: 1, flops: 10.0, reach }, target);
        let work = Work { levels, flops: 10.0 * levels as f64, reach: reach.map(|by| by * levels) };
        (levels, Tile::choose(field, work, target).unwrap().0)
    }

    #[test]
    fn a_gpu_gets_many_short_tiles_and_a_few_cores_long_ones() {
        let (few, many) = (Target::Cores { lanes: Some(8) }, Target::Gpu { lanes: 32 });
        for (along, across, reach) in [(1024, 1024, [1, 1]), (256, 1024, [0, 1]), (300, 77, [1, 1])] {
            let ((deep, long), (levels, short)) = (tile(along, across, reach, few), tile(along, across, reach, many));
            assert!(deep >= 4 && levels >= 4, "{deep} {levels}");
            assert!(short.tiles() > 2 * long.tiles() && short.segment < long.segment, "{short:?} {long:?}");
            assert!(2 * short.lag * short.chunk <= KEPT, "{short:?}");
            for tile in [long, short] {
                assert!(tile.strips() * tile.strip() >= across && tile.segments() * tile.segment >= along, "{tile:?}");
                assert!(tile.strip() > 0 && tile.halo >= reach[1] && tile.rounds() >= tile.segment, "{tile:?}");
            }
        }
        // Lines have nothing to wait for along: a round a tile, and no cell is read early.
        let (_, lines) = tile(256, 1024, [0, 1], many);
        assert_eq!((lines.segment, lines.rounds(), lines.early), (1, 1, false));
    }
}
