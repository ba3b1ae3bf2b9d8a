//! Minibatches of nearest pairs: drawn on the device, paired on the host, read by a graph step by step.

use super::coupling::optimal_pairs;
use super::process::{Interpolant, TABLES};
use crate::error::Result;
use crate::gpu::{Gpu, Tensor};
use crate::graph::{Graph, Var};
use crate::plan::{Bindings, CompileOptions, Plan, Session};
use crate::random::RngKey;

/// Steps between two visits to the host: one readback then serves as many.
pub(super) const STEPS: u64 = 16;

/// Two tables of rows that belong together.
pub(super) struct Pairs {
    session: Session,
    tables: [Tensor; 2],
    key: RngKey,
    /// Rows that are paired among each other.
    size: usize,
    d: usize,
    /// What the tables hold.
    block: Option<u64>,
}

/// The ends of `n` draws as nodes: the whole tables, or those rows of longer ones that the step reads.
pub(super) fn ends<'g>(g: &'g Graph, n: usize, d: usize, per_step: Option<u64>) -> (Option<Var<'g>>, Var<'g>) {
    let table = |name: &str| match per_step {
        None => g.input(name, [n, d]),
        Some(steps) => {
            let (k, steps) = (g.step(), steps as u32);
            let first = (k - k / steps * steps) * n as u32;
            g.input(name, [n * steps as usize, d]).gather(g.iota(0, [n]) + first)
        }
    };
    (Some(table(TABLES[0])), table(TABLES[1]))
}

impl Pairs {
    /// For `rows` rows, `size` at a time, of which the last may be fewer.
    pub fn new(gpu: &Gpu, path: &Interpolant, (size, rows): (usize, usize), key: RngKey) -> Result<Self> {
        let (g, d) = (Graph::new(), path.d());
        let (start, end) = path.end_draws(&g, g.key("key"), rows)?;
        let outputs: Vec<_> = [("x0", start), ("x1", Some(end))]
            .into_iter()
            .filter_map(|(name, draws)| draws.map(|draws| (name, draws)))
            .collect();
        let plan = Plan::compile(gpu, &outputs, &CompileOptions::labelled("ends of minibatches"))?;
        let session = Session::new(&plan, path.bind(gpu, Bindings::new().key("key", key))?)?;
        let table = |name| Tensor::uninit(gpu, name, &[rows, d], crate::graph::DType::F32);
        let tables = [table(TABLES[0])?, table(TABLES[1])?];
        Ok(Pairs { session, tables, key, size, d, block: None })
    }

    /// Whether the tables hold another block.
    pub fn needs(&self, block: u64) -> bool {
        self.block != Some(block)
    }

    /// Fill the tables with draws that depend on the key and `block` alone; nothing if they are there. Waits for the device.
    pub fn load(&mut self, block: u64) -> Result<()> {
        if !self.needs(block) {
            return Ok(());
        }
        self.session.set_key("key", self.key.fold_in(block as u32));
        self.session.set_step(0);
        self.session.run(1)?;
        self.session.check()?;
        let (x0, x1) = (self.session.read::<f32>("x0")?.wait()?, self.session.read::<f32>("x1")?.wait()?);
        let (d, part, mut ordered) = (self.d, self.size * self.d, Vec::with_capacity(x1.len()));
        for (from, to) in x0.chunks(part).zip(x1.chunks(part)) {
            let (order, _) = optimal_pairs(from, to, d)?;
            order.iter().for_each(|&j| ordered.extend_from_slice(&to[j * d..(j + 1) * d]));
        }
        self.tables[0].write(&x0)?;
        self.tables[1].write(&ordered)?;
        self.block = Some(block);
        Ok(())
    }

    /// The inputs of [`ends`].
    pub fn bind(&self, bindings: Bindings) -> Bindings {
        bindings.tensor(TABLES[0], &self.tables[0]).tensor(TABLES[1], &self.tables[1])
    }
}
