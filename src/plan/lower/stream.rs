//! Passes of stencils: the body of `shaders/stencil.wgsl`.
//!
//! One round of a tile computes `unroll` cells along the field, times `chunk` cells across, of every level. A level sees
//! the cells that the level below has just computed and those that it kept from rounds before, in order along the field.
//! Expressions are the emitter's own, told what its neighbours are called; so a step is the same in every pass.

use super::kernel::Frame;
use super::places::Places;
use super::{About, Dispatch, Lowering, STEP, Sources};
use crate::error::Result;
use crate::graph::{Boundary, DType, NodeId, Op};
use crate::plan::emit::{Affine, Emitter, Val};
use crate::plan::partition::Group;
use crate::plan::stencils::{Level, Pass, offset};
use std::collections::{BTreeMap, HashMap};

/// Cells of one value: by place along the field, then across.
type Cells = Vec<Vec<Val>>;

impl Lowering<'_> {
    pub(super) fn stream(&self, g: usize, group: &Group, pass: &Pass) -> Result<Dispatch> {
        let (mut frame, sources) = self.sources(g, group);
        let mut out = self.emitter(&sources, 0);
        let places = Places::new(&mut out, pass);
        let mut stream = Stream { lowering: self, pass, out, sources: &sources, places, kept: vec![] };
        stream.write(&mut frame);
        let (tile, cells) = (pass.tile, (pass.tile.chunk * pass.tile.unroll) as f64);
        let flops = stream.out.flops / cells * pass.shape.numel() as f64;
        let text = tile.wgsl(&format!("{STEP}{}", stream.out.finish()))?;
        let source = frame.source("stencil", &text, self.key_paths.len(), tile.group())?;
        let depth = pass.levels.len() - 1;
        let what =
            format!("{depth} stencil step{} in one pass: {}", if depth == 1 { "" } else { "s" }, self.what(group));
        let grid = crate::gpu::grid(tile.invocations() as u64, tile.group(), &self.caps.limits)?;
        self.dispatch(&frame, source, grid, About { looped: None, flops, bytes: self.bytes(g, group), what })
    }
}

/// Cells of a value of one level that the next one keeps between rounds.
struct Kept {
    cells: Vec<Vec<String>>,
    next: Cells,
}

struct Stream<'a> {
    lowering: &'a Lowering<'a>,
    pass: &'a Pass,
    out: Emitter<'a>,
    sources: &'a Sources,
    places: Places,
    kept: Vec<Kept>,
}

impl Stream<'_> {
    fn write(&mut self, frame: &mut Frame) {
        let tile = self.pass.tile;
        self.out.statement(0, "let nothing = session.seed_pad;", &[]);
        self.name_inside_across();
        self.out.open();
        let mut lag = 0;
        let mut below = self.read();
        for (k, level) in self.pass.levels.iter().enumerate().skip(1) {
            lag += level.reach[0];
            below = self.level(k, level, &below, lag);
        }
        let depth = self.pass.levels.len();
        let last: Vec<_> =
            self.pass.roots.iter().map(|&id| (id, self.keep(depth, id, &below[&id], tile.delay()))).collect();
        self.store(frame, &last);
        // The last level first: what a level hands on may be the name of what another one keeps.
        for kept in std::mem::take(&mut self.kept).into_iter().rev() {
            for (names, vals) in kept.cells.iter().zip(&kept.next) {
                for (name, val) in names.iter().zip(vals) {
                    self.out.statement(1, &format!("{name} = {val};"), &[]);
                }
            }
        }
        // A number of rounds that a compiler knows would be unrolled if it is small, and llvmpipe's does not survive that (Mesa 22.3.6).
        self.out.close(&format!("for (var i = 0u; i < {}u + nothing; i++) {{", tile.rounds()), &[]);
    }

    /// Level 0: what the pass reads.
    fn read(&mut self) -> BTreeMap<NodeId, Cells> {
        let (tile, level) = (self.pass.tile, &self.pass.levels[0]);
        let n = tile.field.along;
        self.name_inside_along(0, 0);
        let first = self.places.wrap[0] - tile.ahead();
        let along: Vec<Affine> = if !self.pass.plane && self.places.vectors {
            self.out.statement(1, &format!("let q = ((start + {first}u) / 4u + i) % {}u;", n / 4), &[]);
            let quad = self.places.quad(&mut self.out, "q", n / 4, 1);
            (0..4).map(|j| quad.offset(j)).collect()
        } else {
            (0..tile.unroll).map(|j| self.along(0, j, 0)).collect()
        };
        let mut held = BTreeMap::new();
        for &id in &level.held {
            let computed = !self.sources.nodes.contains_key(&id);
            let cells = match tile.early && !computed {
                true => self.read_early(id),
                false => self.cells(0, id, &along, computed),
            };
            held.insert(id, cells);
        }
        held
    }

    /// The cells of a plane that the round before has read, while it reads those of the next one: they are on their way as long as
    /// the levels of a round take.
    fn read_early(&mut self, id: NodeId) -> Cells {
        let (tile, wrap) = (self.pass.tile, self.places.wrap[0]);
        let (ahead, n) = (wrap - tile.ahead(), tile.field.along);
        let place = |out: &mut Emitter<'_>, name: &str, at: &str, level: usize| {
            out.statement(level, &format!("let {name} = ({at}) % {n}u;"), &[]);
            out.symbol(name, n, level)
        };
        let first = place(&mut self.out, &format!("first{}", id.0), &format!("start + {ahead}u"), 0);
        let next = place(&mut self.out, &format!("next{}", id.0), &format!("start + i + {}u", ahead + 1), 1);
        let names: Vec<_> = (0..tile.chunk).map(|c| format!("early{}_{c}", id.0)).collect();
        let mut coming = vec![];
        for (c, name) in names.iter().enumerate() {
            let start = self.out.value(id, &self.places.index(&first, c));
            self.out.statement(0, &format!("var {name} = {start};"), &[]);
            coming.push(self.out.value(id, &self.places.index(&next, c)));
        }
        let dtype = self.lowering.node(id).dtype;
        let named = |(c, name): (usize, &String)| self.inside(0, 0, c, Val::new(name.as_str(), 1), dtype);
        let here = names.iter().enumerate().map(named).collect();
        self.kept.push(Kept { cells: vec![names], next: vec![coming] });
        vec![here]
    }

    /// Place along the field of the `j`-th cell of a round at a level with this lag.
    fn along(&mut self, k: usize, j: usize, lag: usize) -> Affine {
        let (tile, name) = (self.pass.tile, format!("p{k}_{j}"));
        let first = self.places.wrap[0] - tile.ahead() + j - lag;
        let text = format!("let {name} = (start + {}u * i + {first}u) % {}u;", tile.unroll, tile.field.along);
        self.out.statement(1, &text, &[]);
        self.out.symbol(&name, tile.field.along, 1)
    }

    /// All cells of a round of one value. What was computed is held by an operation that compilers do not see through (an
    /// exclusive or with a 0 from memory): they would merge the factors of two steps, and a pass of two steps would
    /// differ from two passes of one.
    fn cells(&mut self, k: usize, id: NodeId, along: &[Affine], computed: bool) -> Cells {
        let dtype = self.lowering.node(id).dtype;
        let mut rows = vec![];
        for (j, at) in along.iter().enumerate() {
            let mut row = vec![];
            for c in 0..self.pass.tile.chunk {
                let idx = self.places.index(at, c);
                let mut val = self.out.value(id, &idx);
                if computed && dtype == DType::F32 {
                    val = self.out.define_at(&format!("bitcast<f32>(bitcast<u32>({val}) ^ nothing)"), &[val.level]);
                }
                row.push(self.inside(k, j, c, val, dtype));
            }
            rows.push(row);
        }
        rows
    }

    /// Outside of a field that ends, a stencil finds 0.
    fn inside(&mut self, k: usize, j: usize, c: usize, val: Val, dtype: DType) -> Val {
        let [along, across] = self.pass.ends.map(|end| end == Boundary::Zero);
        if !along && !across {
            return val;
        }
        let zero = match dtype {
            DType::F32 => "0.0",
            DType::Bool => "false",
            DType::U32 | DType::Key => "0u",
        };
        let along = along.then(|| format!("along{k}_{j}"));
        let across = (across && self.pass.plane).then(|| format!("inside{}", c / self.places.lanes()));
        let inside = along.into_iter().chain(across).collect::<Vec<_>>().join(" && ");
        self.out.define_at(&format!("select({zero}, {val}, {inside})"), &[1])
    }

    fn name_inside_along(&mut self, k: usize, lag: usize) {
        if self.pass.ends[0] == Boundary::Periodic {
            return;
        }
        let (tile, wrap) = (self.pass.tile, self.places.wrap[0]);
        for j in 0..tile.unroll {
            let at = format!("start + {}u * i + {}u", tile.unroll, wrap - tile.ahead() + j - lag);
            // Below the field the difference wraps around, so one comparison does for both ends.
            let text = format!("let along{k}_{j} = {at} - {wrap}u < {}u;", tile.field.along);
            self.out.statement(1, &text, &[]);
        }
    }

    fn name_inside_across(&mut self) {
        if self.pass.ends[1] == Boundary::Periodic || !self.pass.plane {
            return;
        }
        let (lanes, m) = (self.places.lanes(), self.pass.tile.field.across);
        for q in 0..self.pass.tile.chunk / lanes {
            let text = format!("let inside{q} = across + {}u - {}u < {m}u;", q * lanes, self.places.wrap[1]);
            self.out.statement(0, &text, &[]);
        }
    }

    /// What a level holds, from what the level below holds.
    fn level(
        &mut self,
        k: usize,
        level: &Level,
        below: &BTreeMap<NodeId, Cells>,
        lag: usize,
    ) -> BTreeMap<NodeId, Cells> {
        let reach = level.reach[0];
        let seen: BTreeMap<NodeId, Cells> = below.iter().map(|(&id, new)| (id, self.seen(k, id, new, reach))).collect();
        let unroll = self.pass.tile.unroll;
        let named = level.placed;
        let along: Vec<Affine> = (0..unroll)
            .map(|j| if named { self.along(k, j, lag) } else { self.out.symbol(&format!("p{k}_{j}"), 1 << 24, 1) })
            .collect();
        self.name_inside_along(k, lag);
        self.introduce(level, &seen, &along);
        let mut held = BTreeMap::new();
        for &id in &level.held {
            let cells = match level.made.contains(&id) {
                true => self.cells(k, id, &along, true),
                false => seen[&id][reach..reach + unroll].to_vec(),
            };
            held.insert(id, cells);
        }
        held
    }

    /// Tell the emitter what the cells of the level below are called, seen from each cell of this level.
    fn introduce(&mut self, level: &Level, seen: &BTreeMap<NodeId, Cells>, along: &[Affine]) {
        let (reach, chunk) = (level.reach[0], self.pass.tile.chunk);
        let mut handed: HashMap<(String, bool), Val> = HashMap::new();
        for (j, at) in along.iter().enumerate() {
            for c in 0..chunk {
                let idx = self.places.index(at, c);
                for (&id, cells) in seen {
                    self.out.assume(id, idx.clone(), cells[reach + j][c].clone());
                }
                for &stencil in &level.stencils {
                    let node = self.lowering.node(stencil);
                    let Op::Stencil { taps, .. } = &node.op else { continue };
                    for tap in taps.iter() {
                        let [y, x] = offset(tap);
                        let (by, aside) = if self.pass.plane { (y, x) } else { (x, 0) };
                        let row = &seen[&node.args[0]][(reach + j).saturating_add_signed(by as isize)];
                        let val = self.neighbour(row, c, aside, &mut handed);
                        self.out.assume_neighbour(node.args[0], &idx, &tap.offset, val);
                    }
                }
            }
        }
    }

    /// The cell of a row that is `aside` of the `c`-th; another lane may hold it.
    fn neighbour(&mut self, row: &[Val], c: usize, aside: i32, handed: &mut HashMap<(String, bool), Val>) -> Val {
        let chunk = row.len() as i32;
        let at = c as i32 + aside;
        if (0..chunk).contains(&at) {
            return row[at as usize].clone();
        }
        let own = &row[at.rem_euclid(chunk) as usize];
        if self.pass.tile.lanes == 1 {
            return own.clone(); // in the halo, which spoils
        }
        let key = (own.to_string(), at < 0);
        if let Some(val) = handed.get(&key) {
            return val.clone();
        }
        let lane = if at < 0 { "to_left" } else { "to_right" };
        let val = self.out.define_at(&format!("subgroupShuffle({own}, {lane})"), &[own.level]);
        handed.insert(key, val.clone());
        val
    }

    /// A value of the level below as this level sees it: what it kept, then what is new.
    fn seen(&mut self, k: usize, id: NodeId, new: &Cells, reach: usize) -> Cells {
        self.keep_with(k, id, new, 2 * reach)
    }

    /// The same, delayed by so many cells along.
    fn keep(&mut self, k: usize, id: NodeId, new: &Cells, delay: usize) -> Cells {
        let mut cells = self.keep_with(k, id, new, delay);
        cells.truncate(new.len());
        cells
    }

    fn keep_with(&mut self, k: usize, id: NodeId, new: &Cells, count: usize) -> Cells {
        let dtype = self.lowering.node(id).dtype;
        let (ty, zero) = match dtype {
            DType::F32 => ("f32", "0.0"),
            DType::Bool => ("bool", "false"),
            DType::U32 | DType::Key => ("u32", "0u"),
        };
        let mut cells: Vec<Vec<String>> = vec![];
        for r in 0..count {
            let names: Vec<_> = (0..self.pass.tile.chunk).map(|c| format!("k{k}_{}_{r}_{c}", id.0)).collect();
            for name in &names {
                self.out.statement(0, &format!("var {name}: {ty} = {zero};"), &[]);
            }
            cells.push(names);
        }
        let old = cells.iter().map(|names| names.iter().map(|name| Val::new(name.as_str(), 1)).collect());
        let all: Cells = old.chain(new.iter().cloned()).collect();
        let next = all[new.len()..].to_vec();
        self.kept.push(Kept { cells, next });
        all
    }

    /// Store the cells of the last level that are the tile's own.
    fn store(&mut self, frame: &mut Frame, last: &[(NodeId, Cells)]) {
        let tile = self.pass.tile;
        let first = tile.first_round();
        if self.pass.plane {
            self.out.statement(1, &format!("let row = start + i - {first}u;"), &[]);
            let text = format!("let stores = own && i >= {first}u && row < {}u;", tile.field.along);
            self.out.statement(1, &text, &[]);
            let row = self.out.symbol("row", tile.field.along, 1);
            self.store_row(frame, last, &row);
        } else {
            self.out.statement(1, &format!("let cell = start / 4u + i - {first}u;"), &[]);
            self.out.statement(1, &format!("let stores = own && i >= {first}u;"), &[]);
            let quad = self.places.quad(&mut self.out, "cell", tile.field.along.div_ceil(4), 1);
            let lanes = self.places.lanes();
            for from in (0..4).step_by(lanes) {
                let condition = format!("stores && 4u * cell + {from}u < {}u", tile.field.along);
                let at: Vec<_> = (from..from + lanes).map(|j| self.places.index(&quad.offset(j), 0)).collect();
                let vals = |cells: &Cells| cells[from..from + lanes].iter().map(|row| row[0].clone()).collect();
                let vals = last.iter().map(|(id, cells)| (*id, vals(cells))).collect::<Vec<_>>();
                self.store_cells(frame, &condition, &at[0], &vals);
            }
        }
    }

    fn store_row(&mut self, frame: &mut Frame, last: &[(NodeId, Cells)], row: &Affine) {
        let lanes = self.places.lanes();
        for from in (0..self.pass.tile.chunk).step_by(lanes) {
            let at = format!("across + {from}u");
            self.out.statement(0, &format!("let own{from} = {at} >= west && {at} < east;"), &[]);
            let idx = self.places.index(row, from);
            let vals = last.iter().map(|(id, cells)| (*id, cells[0][from..from + lanes].to_vec())).collect::<Vec<_>>();
            self.store_cells(frame, &format!("stores && own{from}"), &idx, &vals);
        }
    }

    fn store_cells(&mut self, frame: &mut Frame, condition: &str, first: &[Affine], vals: &[(NodeId, Vec<Val>)]) {
        let lowering = self.lowering;
        self.out.only_if(Some(condition), |out| {
            vals.iter().for_each(|(id, vals)| lowering.store(frame, out, *id, first, vals));
            lowering.guard(frame, out, 1, vals);
        });
    }
}
