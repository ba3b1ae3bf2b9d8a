//! Compilation: from named variables to a plan.

use super::choices::Choices;
use super::launches::{Launches, in_launches};
use super::leap::{self, Leap};
use super::lower::{Dispatch, KeyPath, Lowered, Shadow, TensorDecl, Tiles, lower, windowed};
use super::memory::Constants;
use super::partition::{Partition, Partitioner};
use super::products::{Products, RowProducts};
use super::report::Report;
use super::row_sums::RowSums;
use super::spread::Spread;
use super::stages::{Stages, Sums};
use super::stencils::{Passes, Search, Stencils};
use crate::error::{Error, Result};
use crate::gpu::{Caps, Gpu, Pipeline};
use crate::graph::{DType, Graph, Node, NodeId, Op, Var};
use std::collections::{BTreeSet, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;
use std::sync::{Arc, OnceLock};

/// Choices in compiling; the default is right unless you measure otherwise.
#[derive(Clone, Debug, Default)]
pub struct CompileOptions {
    /// A name for messages and debuggers.
    pub label: String,
    /// How products of small matrices are computed.
    pub products: Products,
    /// How chains of stencils are computed.
    pub stencils: Stencils,
    /// How long sums are computed.
    pub sums: Sums,
    /// Which kernels share a launch.
    pub launches: Launches,
}

impl CompileOptions {
    /// Options with this label.
    pub fn labelled(label: &str) -> Self {
        CompileOptions { label: label.into(), ..Self::default() }
    }
}

/// A compiled graph. Cheap to clone and to share; it holds no data. See the [module](super).
#[derive(Clone)]
#[must_use]
pub struct Plan {
    inner: Arc<Inner>,
}

struct Inner {
    gpu: Gpu,
    label: String,
    dispatches: Vec<Dispatch>,
    pipelines: Vec<Arc<Pipeline>>,
    tensors: Vec<TensorDecl>,
    keys: Vec<KeyPath>,
    arena_words: usize,
    cuts: Vec<(String, &'static str)>,
    leaps: Vec<Leap>,
    shadows: Vec<Shadow>,
    notes: Vec<String>,
    constants: OnceLock<Constants>,
}

impl Plan {
    /// Compile named outputs for a device.
    ///
    /// # Errors
    /// The first mistake made while building the graph; [`Error::Shape`] if an output and the input of its name differ
    /// in shape or type, or two outputs have one name; [`Error::BindingTooLarge`] if the intermediate values do not fit
    /// into one binding; [`Error::LimitExceeded`] if a kernel needs more bindings than the device has;
    /// [`Error::Shader`] if a driver refuses a kernel.
    pub fn compile(gpu: &Gpu, outputs: &[(&str, Var<'_>)], options: &CompileOptions) -> Result<Plan> {
        gpu.timed(|| Self::build(gpu, outputs, options, &Choices::of(gpu)))
    }

    pub(super) fn build(
        gpu: &Gpu,
        outputs: &[(&str, Var<'_>)],
        options: &CompileOptions,
        choices: &Choices<'_>,
    ) -> Result<Plan> {
        let Some((_, first)) = outputs.first() else {
            return Err(Error::Invalid { what: "number of outputs", got: "0".into(), want: "at least 1" });
        };
        let graph = first.graph();
        graph.check()?;
        check_outputs(&graph.nodes(), outputs)?;
        // An input under another name is a value to be stored, like any other: states may exchange what they hold.
        let stored = |(name, var): &(&str, Var<'_>)| match &graph.node(var.id()).op {
            Op::Input(input) if **input != **name => var.stop_grad().id(),
            _ => var.id(),
        };
        let caps = gpu.caps();
        let ids: Vec<_> = outputs.iter().map(stored).collect();
        let names: Vec<_> = outputs.iter().map(|(name, _)| *name).collect();
        let (named, Kernels { lowered, cuts, leaps, notes }) = best(graph, &names, ids, (options, choices))?;
        let (needed, limit) = (lowered.arena_words as u64 * DType::BYTES, caps.limits.max_storage_buffer_binding_size);
        if needed > limit {
            let (name, hint) = ("intermediate values".into(), "use fewer walkers, or split them over sessions".into());
            return Err(Error::BindingTooLarge { name, needed, limit, hint });
        }
        let pipelines = gpu.pipelines(&lowered.dispatches.iter().map(|d| &d.source).collect::<Vec<_>>())?;
        let vars: Vec<_> = named.iter().map(|(name, id)| (name.clone(), graph.var(*id))).collect();
        let leaps = leap::compile(gpu, &vars, &lowered, &leaps, (options, choices))?;
        let inner = Inner {
            gpu: gpu.clone(),
            label: if options.label.is_empty() { "plan".into() } else { options.label.clone() },
            dispatches: lowered.dispatches,
            pipelines,
            tensors: lowered.tensors,
            keys: lowered.keys,
            arena_words: leaps.iter().map(|leap| leap.arena_words).fold(lowered.arena_words, usize::max),
            cuts,
            leaps,
            shadows: lowered.shadows,
            notes,
            constants: OnceLock::new(),
        };
        Ok(Plan { inner: Arc::new(inner) })
    }

    /// The device that it is compiled for.
    pub fn gpu(&self) -> &Gpu {
        &self.inner.gpu
    }

    /// Its name in messages and debuggers.
    pub fn label(&self) -> &str {
        &self.inner.label
    }

    /// Kernel launches of one step, in order.
    pub fn dispatches(&self) -> &[Dispatch] {
        &self.inner.dispatches
    }

    /// Bound and output tensors.
    pub fn tensors(&self) -> &[TensorDecl] {
        &self.inner.tensors
    }

    /// Random keys that it uses.
    pub fn keys(&self) -> &[KeyPath] {
        &self.inner.keys
    }

    /// Bytes of intermediate values in each session.
    pub fn arena_bytes(&self) -> u64 {
        self.inner.arena_words as u64 * DType::BYTES
    }

    /// A number that changes whenever any kernel does: trajectories are bit-identical for one adapter and one hash.
    pub fn hash(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        let in_leaps = self.leaps().iter().flat_map(|leap| &leap.dispatches);
        for dispatch in self.dispatches().iter().chain(in_leaps) {
            (&dispatch.source, &dispatch.slots, &dispatch.offsets, dispatch.grid).hash(&mut hasher);
        }
        hasher.finish()
    }

    /// What will run and why: dispatches, bytes, bindings, flops, texts, and where fusion stopped.
    pub fn report(&self) -> Report<'_> {
        Report { plan: self, cuts: &self.inner.cuts, notes: &self.inner.notes }
    }

    /// Chains of several steps, the longest first.
    pub(super) fn leaps(&self) -> &[Leap] {
        &self.inner.leaps
    }

    /// What all sessions of the plan read alike, made for the first one.
    pub(super) fn constants(&self) -> &Constants {
        let in_leaps = self.leaps().iter().map(|leap| &leap.dispatches[..]);
        let lists = || [self.dispatches()].into_iter().chain(in_leaps);
        self.inner.constants.get_or_init(|| Constants::new(self.gpu(), lists()))
    }

    /// States that steps may write in turn with another tensor.
    pub(super) fn shadows(&self) -> &[Shadow] {
        &self.inner.shadows
    }

    pub(super) fn pipelines(&self) -> &[Arc<Pipeline>] {
        &self.inner.pipelines
    }
}

/// What a graph is compiled to.
pub(super) struct Kernels {
    /// Kernels and memory.
    pub lowered: Lowered,
    /// Why each stored value is stored.
    cuts: Vec<(String, &'static str)>,
    /// Numbers of steps that are worth compiling as one.
    leaps: Vec<usize>,
    /// What else a report should say.
    notes: Vec<String>,
}

/// Outputs by name, as nodes of the graph that is compiled.
type Named = Vec<(String, NodeId)>;

/// The kernels of a plan whose wide rows are spread over subgroups, if all of it can be one kernel in this way; else with its long
/// sums in stages.
fn best(
    graph: &Graph,
    names: &[&str],
    ids: Vec<NodeId>,
    how: (&CompileOptions, &Choices<'_>),
) -> Result<(Named, Kernels)> {
    let named = |ids: &[NodeId]| names.iter().zip(ids).map(|(name, &id)| (name.to_string(), id)).collect::<Named>();
    let plain = named(&ids);
    let reason = match spread(&graph.nodes(), &graph.reachable(&ids), &plain, how)? {
        Ok(kernels) => return Ok((plain, kernels)),
        Err(reason) => reason,
    };
    let (stages, ids) = Stages::make(graph, &ids, how.1.caps(), how.0.sums);
    let staged = named(&ids);
    let mut kernels = kernels(&graph.nodes(), &graph.reachable(&ids), &staged, &stages, how)?;
    if let Some(reason) = reason {
        kernels.notes.push(format!("wide rows are not spread over a subgroup, nor steps looped over: {reason}"));
    }
    Ok((staged, kernels))
}

/// The one kernel of all these outputs with its rows spread over subgroups; or why not, if it has wide rows.
fn spread(
    nodes: &[Rc<Node>],
    order: &[NodeId],
    outputs: &[(String, NodeId)],
    how: (&CompileOptions, &Choices<'_>),
) -> Result<std::result::Result<Kernels, Option<&'static str>>> {
    search(nodes, order, outputs, how.1.caps(), |search| {
        let spread = match Spread::choose(search, how.1.caps()) {
            Some(Ok(spread)) => spread,
            Some(Err(reason)) => return Ok(Err(Some(reason))),
            None => return Ok(Err(None)),
        };
        let kernels = compiled(search, outputs, how, &Stages::default(), Some(&spread))?;
        let looped = kernels.lowered.dispatches.iter().all(|dispatch| dispatch.looped.is_some());
        let reason = "a lane needs a column that another one holds, or a step has too many turns of loops";
        Ok(if looped { Ok(kernels) } else { Err(Some(reason)) })
    })
}

/// The kernels for these outputs.
pub(super) fn kernels(
    nodes: &[Rc<Node>],
    order: &[NodeId],
    outputs: &[(String, NodeId)],
    stages: &Stages,
    how: (&CompileOptions, &Choices<'_>),
) -> Result<Kernels> {
    search(nodes, order, outputs, how.1.caps(), |search| compiled(search, outputs, how, stages, None))
}

/// What passes over these outputs look for.
fn search<R>(
    nodes: &[Rc<Node>],
    order: &[NodeId],
    outputs: &[(String, NodeId)],
    caps: &Caps,
    then: impl FnOnce(&Search<'_>) -> R,
) -> R {
    let ids: Vec<_> = outputs.iter().map(|(_, id)| *id).collect();
    let input = |name: &str| order.iter().find(|id| is_input(&nodes[id.index()], name)).copied();
    let states = outputs.iter().filter_map(|(name, id)| Some((*id, input(name)?))).collect();
    // The arena and the fault word take two bindings of a kernel.
    let max_tensors = (caps.storage_bindings() as usize).saturating_sub(2);
    then(&Search { nodes, order, outputs: &ids, states: &states, max_tensors })
}

/// The kernels, with the rows of all of it spread in this way, if they are.
fn compiled(
    search: &Search<'_>,
    outputs: &[(String, NodeId)],
    (options, choices): (&CompileOptions, &Choices<'_>),
    stages: &Stages,
    spread: Option<&Spread>,
) -> Result<Kernels> {
    let (nodes, order, caps) = (search.nodes, search.order, choices.caps());
    let tiles = Tiles::choose(nodes, order, choices);
    // Software adapters compile on the cores that should compute, and most tiles write their epilogue out for every sum: 4
    // flops are a bias and a residual. A resident tile has it once, in its loop over columns.
    let epilogue_flops = |id: NodeId| match tiles.is_resident(id) {
        true => 64.0,
        _ if caps.is_software() => 4.0,
        _ => 64.0,
    };
    let (mut products, mut passes, mut row_sums) = Default::default();
    if spread.is_none() {
        products = RowProducts::choose(nodes, order, caps, options.products);
        passes = Passes::choose(search, caps, options.stencils);
        row_sums = RowSums::choose(search, &products, &passes, &tiles);
    }
    let windowed: BTreeSet<_> = windowed(nodes, order, caps).union(&row_sums.tables).copied().collect();
    let part = Partitioner {
        nodes,
        order,
        outputs: search.outputs,
        states: search.states,
        max_tensors: search.max_tensors,
        epilogue_flops: &epilogue_flops,
        tiles: &tiles,
        row_sums: &row_sums,
        products: &products,
        passes: &passes,
        windowed: &windowed,
        stages,
        spread,
    };
    let leaps = leap::lengths(&part);
    // A GPU gains by a pass only if that takes several steps.
    if !caps.is_software() && options.stencils == Stencils::Auto && part.passes.are_single() && leaps.is_err() {
        let options = CompileOptions { stencils: Stencils::Single, ..options.clone() };
        return compiled(search, outputs, (&options, choices), stages, spread);
    }
    let lower = |partition: &Partition| lower(&part, partition, outputs, choices);
    let (partition, lowered) = in_launches(part.run(), (&part, caps, options.launches), lower)?;
    let mut notes = vec![];
    if let Some(reason) = part.passes.reason {
        notes.push(format!("stencils are computed one at a time: {reason}"));
    } else if let (Err(reason), false) = (&leaps, part.passes.list.is_empty()) {
        notes.push(format!("steps of a run are taken one by one: {reason}"));
    }
    let cuts = describe(nodes, &partition);
    Ok(Kernels { lowered, cuts, leaps: leaps.unwrap_or_default(), notes })
}

fn check_outputs(nodes: &[Rc<Node>], outputs: &[(&str, Var<'_>)]) -> Result<()> {
    let mut seen = HashSet::new();
    for (name, var) in outputs {
        let at = Some(var.site());
        if !seen.insert(*name) {
            let want = "one value for each name".into();
            return Err(Error::Shape { op: "output", got: format!("two outputs `{name}`"), want, at });
        }
        let input = nodes.iter().find(|node| is_input(node, name));
        if let Some(input) = input.filter(|i| i.shape != var.shape() || i.dtype != var.dtype()) {
            let got = format!("`{name}` {} {:?}", var.shape(), var.dtype());
            let want = format!("{} {:?}, as the input of this name", input.shape, input.dtype);
            return Err(Error::Shape { op: "output", got, want, at });
        }
    }
    Ok(())
}

fn is_input(node: &Node, name: &str) -> bool {
    matches!(&node.op, Op::Input(n) if **n == *name)
}

fn describe(nodes: &[Rc<Node>], partition: &Partition) -> Vec<(String, &'static str)> {
    let stored = |id: &NodeId| partition.groups.iter().any(|group| group.roots.contains(id));
    let name = |id: NodeId| {
        let node = &nodes[id.index()];
        format!("#{} {} {}", id.index(), node.op.name(), node.shape)
    };
    partition.cut.iter().filter(|(id, _)| stored(id)).map(|(&id, &why)| (name(id), why)).collect()
}
