//! Kernels of rows: each invocation computes whole rows, in scalars, and layers of small networks in arrays. Where the
//! plan is one such kernel it loops over steps, with the state in registers.

use super::kernel::{Frame, row_entry};
use super::shared::Member;
use super::{About, Dispatch, Lowering, Needs, Role, STEP, Sources};
use crate::error::Result;
use crate::graph::{DType, NodeId, Op};
use crate::plan::choices::Form;
use crate::plan::classify::LOOPS;
use crate::plan::emit::{Affine, Emitter, Val};
use crate::plan::layers::{Layers, is_wide};
use crate::plan::partition::Group;
use crate::plan::products::RowTile;
use std::collections::BTreeSet;

/// A kernel of rows without products: one row an invocation.
const ONE: RowTile = RowTile { rows: 1, group: super::kernel::GROUP, broadcast: false, widest: 0 };

/// A row that an invocation computes.
pub(super) struct Row {
    /// Its index, always in range.
    pub index: Affine,
    /// The WGSL condition under which it is this invocation's to store; `None` is always.
    pub own: Option<String>,
}

impl Lowering<'_> {
    pub(super) fn rows(&self, g: usize, group: &Group, count: usize, form: Form) -> Result<Dispatch> {
        if let Some(spread) = self.part.spread {
            return self.spread_rows(g, group, *spread, form);
        }
        let Needs { reads, inlined } = &self.needs[g];
        // What is found in memory, sums in parts among it, is not computed here.
        let computed: BTreeSet<_> = inlined.iter().copied().filter(|id| !reads.contains_key(id)).collect();
        let holds = computed.iter().any(|id| self.part.products.contains(*id));
        let plain = RowTile { rows: form.rows, group: form.group, ..ONE };
        let tile = self.part.products.tile.filter(|_| holds).unwrap_or(plain);
        let layers = holds.then(|| Layers::new(self.nodes, self.part.products, &computed, &group.roots));
        let arrays = holds && group.roots.iter().any(|&root| is_wide(self.nodes, root));
        if self.loops() && !arrays {
            let (dispatch, escaped) = self.rows_kernel(g, group, count, (tile, form), layers.clone(), true)?;
            if !escaped {
                return Ok(dispatch);
            }
        }
        Ok(self.rows_kernel(g, group, count, (tile, form), layers, false)?.0)
    }

    /// Code for each of so many rows of one of several kernels of a launch: rows without products, one an invocation.
    pub(super) fn plain_rows(
        &self,
        frame: &mut Frame,
        sources: &Sources,
        group: &Group,
        count: usize,
    ) -> Result<Member> {
        let mut out = self.emitter(sources, 0);
        let index = out.symbol("row0", count, 0);
        self.store_rows(frame, &mut out, group, &[Row { index, own: None }]);
        self.within_turns(out.turns, &self.what(group))?;
        let flops = out.flops * count as f64;
        Ok(Member { number: "row0", text: format!("{STEP}{}", out.finish()), count, flops })
    }

    /// The kernel; and whether it should loop over steps but needs an element of its state at an index that a loop counts.
    fn rows_kernel(
        &self,
        g: usize,
        group: &Group,
        count: usize,
        (tile, form): (RowTile, Form),
        layers: Option<Layers>,
        looped: bool,
    ) -> Result<(Dispatch, bool)> {
        let (mut frame, sources) = self.sources(g, group);
        frame.wide_multiply = form.wide_multiply;
        let mut out = self.emitter(&sources, usize::from(looped));
        let invocations =
            count.div_ceil(tile.rows).next_multiple_of(if tile.broadcast { tile.group as usize } else { 1 });
        let rows: Vec<_> = (0..tile.rows)
            .map(|r| Row { index: out.symbol(&format!("row{r}"), count, 0), own: own(tile, r, invocations, count) })
            .collect();
        let lane = out.symbol("lane", tile.group as usize, 0);
        if let Some(layers) = layers {
            out.hold(layers, tile, rows.iter().map(|row| row.index.clone()).collect(), lane);
        }
        match looped {
            true => self.over_steps(&mut frame, &mut out, group, &rows),
            false => self.store_rows(&mut frame, &mut out, group, &rows),
        }
        let (flops, turns, escaped) = (out.flops * invocations as f64, out.turns, out.escaped);
        self.within_turns(turns, &self.what(group))?;
        let looped = looped.then(|| steps_at_once(turns));
        let body = format!("{}{}", if looped.is_some() { "" } else { STEP }, out.finish());
        let about = About { looped, flops, bytes: self.bytes(g, group), what: self.what(group) };
        let text = row_entry(tile, count, invocations, &body);
        let source = frame.source("rows", &text, self.key_paths.len(), tile.group)?;
        let grid = crate::gpu::grid(invocations as u64, tile.group, &self.caps.limits)?;
        Ok((self.dispatch(&frame, source, grid, about)?, escaped))
    }

    /// Whether one dispatch may compute many steps: it is the whole plan, and every row needs only itself.
    pub(super) fn loops(&self) -> bool {
        let alone = self.groups.len() == 1 && self.copies.is_empty();
        alone && self.tensors.iter().any(|t| t.role == Role::State)
    }

    /// Compute every root, then store them all: own places are read before they are overwritten.
    fn store_rows(&self, frame: &mut Frame, out: &mut Emitter<'_>, group: &Group, rows: &[Row]) {
        let (wide, narrow): (Vec<NodeId>, Vec<_>) = group.roots.iter().partition(|&&root| out.has_array(root));
        let mut stored = vec![];
        for row in rows {
            let all = |out: &mut Emitter<'_>, &id: &NodeId| {
                let places = elements_of(&self.node(id).shape, &row.index);
                (id, places.iter().map(|idx| out.value(id, idx)).collect::<Vec<_>>())
            };
            stored.push(narrow.iter().map(|id| all(out, id)).collect::<Vec<_>>());
            wide.iter().for_each(|&id| drop(out.value(id, &[row.index.clone(), Affine::default()])));
        }
        for (row, stored) in rows.iter().zip(&stored) {
            out.only_if(row.own.as_deref(), |out| {
                for (id, vals) in stored {
                    self.store(frame, out, *id, &elements_of(&self.node(*id).shape, &row.index)[0], vals);
                }
                wide.iter().for_each(|&id| self.store_array(frame, out, id, row));
                self.guard(frame, out, 0, stored);
            });
        }
    }

    /// Store a row that lies in an array, vector by vector.
    fn store_array(&self, frame: &mut Frame, out: &mut Emitter<'_>, id: NodeId, row: &Row) {
        out.each_quad(self.node(id).shape[1] / 4, |out, quad| {
            let places: Vec<_> = (0..4).map(|c| vec![row.index.clone(), quad.times(4).offset(c)]).collect();
            let vals: Vec<_> = places.iter().map(|idx| out.value(id, idx)).collect();
            self.store(frame, out, id, &places[0], &vals);
            let level = out.level();
            self.guard(frame, out, level, &[(id, vals)]);
        });
    }

    /// The whole plan in one dispatch: state in registers, a loop over steps around the body.
    fn over_steps(&self, frame: &mut Frame, out: &mut Emitter<'_>, group: &Group, rows: &[Row]) {
        let registers = self.step_loop(out, group, rows);
        for (r, row) in rows.iter().enumerate() {
            out.only_if(row.own.as_deref(), |out| {
                let own: Vec<_> = registers.iter().filter(|held| held.row == r).collect();
                own.iter().for_each(|held| self.store(frame, out, held.root, &held.places[0], &held.names));
                let stored: Vec<_> = own.iter().map(|held| (held.root, held.names.clone())).collect();
                self.guard(frame, out, 0, &stored);
            });
        }
    }

    /// The loop over steps, and what it leaves in registers.
    pub(super) fn step_loop(&self, out: &mut Emitter<'_>, group: &Group, rows: &[Row]) -> Vec<Registers> {
        let registers = self.registers(out, group, rows);
        let level = out.open();
        out.statement(level, "let step = session.base_step + t;", &[]);
        let mut assignments = vec![];
        for held in &registers {
            for (idx, name) in held.places.iter().zip(&held.names) {
                let val = out.value(held.root, idx);
                // A new value may be the register of another state, so all are named before any is assigned.
                out.statement(level, &format!("let next_{name} = {val};"), &[]);
                assignments.push(format!("{name} = next_{name};"));
            }
        }
        // After all values are computed from the old state.
        assignments.iter().for_each(|text| out.statement(level, text, &[]));
        out.close("for (var t = 0u; t < ring.count; t++) {", &[]);
        registers
    }

    /// A variable for every element that a looping kernel stores: states start from memory, other outputs from nothing.
    fn registers(&self, out: &mut Emitter<'_>, group: &Group, rows: &[Row]) -> Vec<Registers> {
        let mut all = vec![];
        let mut n = 0;
        for &root in &group.roots {
            let (old, dtype) = (self.old_state(root), self.node(root).dtype);
            for (r, row) in rows.iter().enumerate() {
                let places = elements_in(out, &self.node(root).shape, &row.index);
                let mut names = vec![];
                for idx in &places {
                    let name = format!("s{n}");
                    n += 1;
                    let start = old.map_or(zero(dtype).to_string(), |input| out.value(input, idx).to_string());
                    out.statement(0, &format!("var {name} = {start};"), &[]);
                    if let Some(input) = old {
                        out.assume(input, idx.clone(), Val::new(name.clone(), 1));
                    }
                    names.push(Val::new(name, 0));
                }
                all.push(Registers { root, row: r, places, names });
            }
        }
        group.roots.iter().filter_map(|&root| self.old_state(root)).for_each(|input| out.in_registers(input));
        all
    }

    /// The input whose next value this node is.
    fn old_state(&self, root: NodeId) -> Option<NodeId> {
        let to = self.locations.get(&root)?;
        self.locations
            .iter()
            .find(|(id, at)| *at == to && matches!(self.node(**id).op, Op::Input(_)))
            .map(|(&id, _)| id)
    }
}

/// The names of one row of a stored node in a looping kernel.
pub(super) struct Registers {
    pub root: NodeId,
    row: usize,
    pub places: Vec<Vec<Affine>>,
    pub names: Vec<Val>,
}

/// When the `r`-th row of an invocation is its own to store: tiles may reach over the last row, grids over the last tile.
fn own(tile: RowTile, r: usize, invocations: usize, count: usize) -> Option<String> {
    let all = invocations * tile.rows == count && (!tile.broadcast || invocations <= 65535 * tile.group as usize);
    (tile != ONE && !all).then(|| format!("flat < {invocations}u && flat + {}u < {count}u", r * invocations))
}

/// Steps that a kernel may take in one launch, each with so many turns of loops inside.
pub(super) fn steps_at_once(turns: f64) -> u32 {
    (LOOPS as f64 / (1.0 + turns)).clamp(1.0, f64::from(u32::MAX)) as u32
}

fn zero(dtype: DType) -> &'static str {
    match dtype {
        DType::F32 => "0.0",
        DType::Bool => "false",
        _ => "0u",
    }
}

/// Indices of the elements of row `i` that an invocation holds: all of them, or a lane's own columns.
fn elements_in(out: &Emitter<'_>, shape: &[usize], i: &Affine) -> Vec<Vec<Affine>> {
    let Some(columns) = out.columns(shape) else { return elements_of(shape, i) };
    let others = elements_of(&shape[..shape.len() - 1], i);
    let with = |other: &Vec<Affine>, column: &Affine| other.iter().chain([column]).cloned().collect();
    others.iter().flat_map(|other| columns.iter().map(move |column| with(other, &column.index))).collect()
}

/// Indices of all elements of row `i`.
fn elements_of(shape: &[usize], i: &Affine) -> Vec<Vec<Affine>> {
    let width = shape[1..].iter().product();
    (0..width)
        .map(|flat| {
            let mut rest = flat;
            let mut idx: Vec<_> = shape[1..]
                .iter()
                .rev()
                .map(|&n| {
                    let at = Affine::constant(rest % n);
                    rest /= n;
                    at
                })
                .collect();
            idx.push(i.clone());
            idx.reverse();
            idx
        })
        .collect()
}
