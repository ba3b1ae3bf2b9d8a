//! Places shared out among weights: the dispatches of `shaders/apportion.wgsl`.

use super::{About, Dispatch, Lowering};
use crate::error::Result;
use crate::graph::{Node, NodeId};
use crate::kernels::apportion::{Cuts, Io, Stage, text};
use crate::plan::emit::{Affine, offset_name};
use crate::plan::partition::Group;
use crate::plan::stages::Stages;
use std::rc::Rc;

/// How the work of a node is cut; `None` if there are no places.
fn cuts(nodes: &[Rc<Node>], id: NodeId, stages: &Stages) -> Option<Cuts> {
    let node = &nodes[id.index()];
    let (weights, places) = (nodes[node.args[0].index()].shape.numel(), node.shape.numel());
    (weights > 0 && places > 0).then(|| Cuts::new(weights, places, stages.team))
}

/// Words that the dispatches of a node share.
pub(super) fn table_words(nodes: &[Rc<Node>], id: NodeId, stages: &Stages) -> usize {
    let each = !nodes[nodes[id.index()].args[1].index()].shape.is_empty();
    cuts(nodes, id, stages).map_or(0, |cuts| cuts.table_words(each))
}

impl Lowering<'_> {
    pub(super) fn apportion(&self, g: usize, group: &Group, id: NodeId) -> Result<Vec<Dispatch>> {
        let Some(cuts) = cuts(self.nodes, id, self.part.stages) else { return Ok(vec![]) };
        Stage::ALL.into_iter().map(|stage| self.apportion_stage(g, group, id, &cuts, stage)).collect()
    }

    fn apportion_stage(&self, g: usize, group: &Group, id: NodeId, cuts: &Cuts, stage: Stage) -> Result<Dispatch> {
        let node = self.node(id);
        let (weights, each) = (node.args[0], !self.node(node.args[1]).shape.is_empty());
        let (mut frame, sources) = self.sources(g, group);
        let (n, places) = (self.node(weights).shape.numel(), node.shape.numel());
        let mut io = Io { each, ..Io::default() };
        let mut flops = 0.0;
        {
            let mut out = self.emitter(&sources, 0);
            let quad = out.symbol("q", n.div_ceil(4), 0).times(4);
            let names = [0, 1, 2, 3].map(|lane| out.value(weights, &[quad.offset(lane)]).to_string());
            io.weights = (out.finish(), names);
        }
        {
            let mut out = self.emitter(&sources, 0);
            let idx: Vec<Affine> = if each { vec![out.symbol("j", places, 0)] } else { vec![] };
            let name = out.value(node.args[1], &idx).to_string();
            flops += out.flops;
            io.offset = (out.finish(), name);
        }
        let result = self.place_of(&mut frame, id, true);
        io.table = frame.arena();
        let base = self.parts.get(&id).and_then(|&(base, ..)| frame.base(base));
        io.table_base = base.map_or("0u".into(), offset_name);
        let (into, first) = result.unwrap_or((io.table, None));
        (io.into, io.into_base) = (into, first.map_or("0u".into(), offset_name));
        let text = text(stage, cuts, &io)?;
        let count = cuts.invocations(stage);
        // Integer operations are counted like others: some 50 a quota, 10 a term of the sum of weights.
        flops += match stage {
            Stage::Sums => 10.0 * n as f64,
            Stage::Ratio | Stage::Starts => 0.0,
            Stage::Quotas | Stage::Ends => 50.0 * n as f64,
            Stage::Owners => 16.0 * places as f64,
        };
        let words = match stage {
            Stage::Sums | Stage::Quotas => n,
            Stage::Ratio | Stage::Starts => 0,
            Stage::Ends => {
                if each {
                    3 * n
                } else {
                    2 * n
                }
            }
            Stage::Owners => n + places,
        };
        let what = format!("{} of apportion #{}", stage.name(), id.0);
        let about = About { looped: None, flops, bytes: 4 * words as u64, what };
        self.finish_in(&frame, "apportion", &text, count, cuts.group(stage) as u32, about)
    }
}
