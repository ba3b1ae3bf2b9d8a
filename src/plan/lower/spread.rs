//! Kernels of wide rows: one row a subgroup, its columns spread over the lanes, with the state in registers and the loop over
//! steps around them.

use super::kernel::{Frame, subgroup_entry};
use super::rows::{Registers, Row, steps_at_once};
use super::{About, Dispatch, Lowering};
use crate::error::Result;
use crate::plan::choices::Form;
use crate::plan::classify::LOOPS;
use crate::plan::emit::{Affine, Emitter};
use crate::plan::partition::Group;
use crate::plan::spread::Spread;

impl Lowering<'_> {
    /// The kernel. It loops over steps, unless an element of a state is needed that its lane does not hold, or its loops are too
    /// long: then it is not right, and the plan takes others.
    pub(super) fn spread_rows(&self, g: usize, group: &Group, spread: Spread, form: Form) -> Result<Dispatch> {
        let (mut frame, sources) = self.sources(g, group);
        frame.wide_multiply = form.wide_multiply;
        let mut out = self.emitter(&sources, 1);
        let Spread { rows, lanes, .. } = spread;
        // Views of a single row write its index as 0.
        let index = if rows == 1 { Affine::default() } else { out.symbol("row0", rows, 0) };
        out.spread(spread, index.clone());
        let own = (rows > 65_535).then(|| format!("flat < {}u", rows * lanes));
        let registers = self.step_loop(&mut out, group, &[Row { index, own: own.clone() }]);
        out.only_if(own.as_deref(), |out| {
            registers.iter().for_each(|held| self.store_spread(&mut frame, out, spread, held));
        });
        let right = self.loops() && !out.escaped && out.turns < LOOPS as f64;
        let looped = right.then(|| steps_at_once(out.turns));
        let flops = out.flops * (rows * lanes) as f64;
        let about = About { looped, flops, bytes: self.bytes(g, group), what: self.what(group) };
        let (group, count) = (lanes as u32, rows * lanes);
        self.finish_in(&frame, "rows", &subgroup_entry(rows, group, &out.finish()), count, group, about)
    }

    /// Store what is held of one root: the first lane a narrow row, each lane its own columns of a wide one.
    fn store_spread(&self, frame: &mut Frame, out: &mut Emitter<'_>, spread: Spread, held: &Registers) {
        let columns = out.columns(&self.node(held.root).shape);
        // Rows of whole vectors are stored by vectors.
        let piece = match &columns {
            None => held.names.len(),
            Some(_) if spread.width.is_multiple_of(4) => 4,
            Some(_) => 1,
        };
        for (i, (places, names)) in held.places.chunks(piece).zip(held.names.chunks(piece)).enumerate() {
            let own = match &columns {
                None => Some("lane == 0u".to_string()),
                Some(columns) => columns[i * piece % columns.len()].own.as_ref().map(ToString::to_string),
            };
            out.only_if(own.as_deref(), |out| {
                self.store(frame, out, held.root, &places[0], names);
                self.guard(frame, out, 0, &[(held.root, names.to_vec())]);
            });
        }
    }
}
