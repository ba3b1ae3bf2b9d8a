//! Paths of many parameter points at once on a device, finished in f64 on the host.

use super::climb::{Climb, Passage};
use super::critical::CriticalPoint;
use super::descent::{Minimum, PathOptions};
use super::model::{Model, probes};
use super::modes::{Modes, ring_basis};
use super::path::Path;
use super::step::{Sizes, Step, is_ring, step};
use super::system::System;
use crate::error::{Error, Result};
use crate::gpu::{Gpu, Tensor};
use crate::graph::Graph;
use crate::plan::{Bindings, CompileOptions, Plan, Products, Session};

/// Steps between two looks at how far paths still move.
const LOOK_EVERY: usize = 25;

/// What f32 lets a path come to rest to, relative to its length: nodes are rounded, and momenta are differences of rates.
const REST: f64 = 2e-5;

/// A compiled step for paths of one system, of one number of nodes, at so many parameter points.
///
/// ```
/// use ergodic::gpu::{Gpu, GpuOptions};
/// use ergodic::methods::action::{MaierStein, Model, Path, PathOptions, Paths};
/// # fn main() -> ergodic::Result<()> {
/// let gpu = Gpu::headless(GpuOptions::from_env()?)?;
/// let straight = Path::along(&[-1.0, 0.0], &[0.0, 0.0], 33, |s, x| if x == 1 { s * (1.0 - s) } else { 0.0 })?;
/// let jobs = vec![(Model::new(&MaierStein, &[1.0, 1.0])?, straight)];
/// let paths = Paths::new(&gpu, &MaierStein, 1, 33)?;
/// let found = paths.minimise(&jobs, &PathOptions::default())?;
/// // A gradient, with barrier 1/2; the midpoint rule on 32 segments is 1/(4 32^2) off.
/// assert!((found[0].action - 0.5).abs() < 0.3 / 1024.0);
/// # Ok(()) }
/// ```
pub struct Paths<'a> {
    system: &'a dyn System,
    plan: Plan,
    sizes: Sizes,
}

/// Start of a run: each tensor with its shape.
pub(super) struct Start {
    #[cfg(test)]
    pub sizes: Sizes,
    pub values: Vec<(&'static str, Vec<usize>, Vec<f64>)>,
}

impl<'a> Paths<'a> {
    /// Compile the step.
    ///
    /// # Errors
    /// [`Error::Invalid`] for fewer than five nodes or no point; [`Error::LimitExceeded`] for a dense noise matrix of more than
    /// eight sites; what compiling refuses.
    pub fn new(gpu: &Gpu, system: &'a dyn System, points: usize, nodes: usize) -> Result<Self> {
        if nodes < 5 || points == 0 {
            let got = format!("{nodes} nodes at {points} points");
            return Err(Error::Invalid { what: "size of a batch", got, want: "at least 5 nodes at 1 point" });
        }
        let sizes = sizes(system, points, nodes);
        let graph = Graph::new();
        let Step { states } = step(&graph, system, sizes)?;
        // Products with the waves get kernels of their own: inside rows every sum of them would be written out.
        let options = CompileOptions { products: Products::Tiled, ..CompileOptions::labelled("paths of least action") };
        let plan = Plan::compile(gpu, &states, &options)?;
        Ok(Paths { system, plan, sizes })
    }

    /// The plan, for its report.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Nodes of a path.
    pub fn nodes(&self) -> usize {
        self.sizes.nodes
    }

    /// The least action near each path, all together: f32 paths, whose momenta and actions are computed in f64.
    ///
    /// Fewer jobs than points are filled up with copies of the last. Waits for the device.
    ///
    /// # Errors
    /// [`Error::Shape`] for more jobs than points, or paths of other sizes; [`Error::Fault`]; as [`Model::momenta`].
    pub fn minimise(&self, jobs: &[(Model<'_>, Path)], options: &PathOptions) -> Result<Vec<Minimum>> {
        let Some((last, more)) = jobs.last().zip(self.sizes.points.checked_sub(jobs.len())) else {
            let (got, want) = (format!("{} paths", jobs.len()), format!("1 to {}", self.sizes.points));
            return Err(Error::Shape { op: "Paths::minimise", got, want, at: None });
        };
        let all: Vec<_> = jobs.iter().chain(std::iter::repeat_n(last, more)).collect();
        let respaced = all.iter().map(|(_, path)| path.respaced(self.sizes.nodes)).collect::<Result<Vec<_>>>()?;
        let pairs: Vec<_> = all.iter().map(|(model, _)| model).zip(&respaced).collect();
        let mut session = Session::new(&self.plan, self.bindings(&start(self.system, &pairs)?)?)?;
        let rest = options.tolerance.max(REST) as f32;
        let (mut steps, mut moved) = (0, vec![f32::INFINITY; self.sizes.points]);
        while steps < options.max_steps && moved.iter().any(|moved| *moved > rest) {
            let now = LOOK_EVERY.min(options.max_steps - steps);
            session.run(now as u64)?;
            steps += now;
            moved = session.read::<f32>("moved")?.wait()?;
        }
        let kept = session.read::<f32>("kept")?.wait()?;
        let per_path = self.sizes.nodes * self.sizes.sites;
        let finish = |(i, (model, path)): (usize, &(Model<'_>, Path))| {
            let own = &kept[i * per_path..(i + 1) * per_path];
            model.finish(own, path, (steps, f64::from(moved[i])), moved[i] <= rest)
        };
        jobs.iter().enumerate().map(finish).collect()
    }

    fn in_batches(&self, jobs: &[(Model<'_>, Path)], options: &PathOptions) -> Result<Vec<Minimum>> {
        let mut found = vec![];
        for part in jobs.chunks(self.sizes.points) {
            found.extend(self.minimise(part, options)?);
        }
        Ok(found)
    }

    fn bindings(&self, start: &Start) -> Result<Bindings> {
        let gpu = self.plan.gpu();
        let mut bindings = Bindings::new();
        for (name, shape, values) in &start.values {
            let narrow: Vec<_> = values.iter().map(|&x| x as f32).collect();
            bindings = bindings.tensor(name, &Tensor::from_slice(gpu, name, shape, &narrow)?);
        }
        // A plan has only the inputs that its system needs.
        Ok(bindings)
    }
}

impl Model<'_> {
    /// Momenta and action of a device's path, between the exact ends.
    fn finish(&self, kept: &[f32], from: &Path, (steps, moved): (usize, f64), converged: bool) -> Result<Minimum> {
        let d = self.sites();
        let mut phi: Vec<_> = kept.iter().map(|&x| f64::from(x)).collect();
        let last = phi.len() - d;
        phi[..d].copy_from_slice(from.state(0));
        phi[last..].copy_from_slice(from.state(from.n() - 1));
        let path = Path::new(d, phi)?.respaced(kept.len() / d)?;
        let momenta = self.momenta(&path)?;
        let action = self.action_of(&path, &momenta);
        Ok(Minimum { path, momenta, action, steps, moved, converged })
    }
}

fn sizes(system: &dyn System, points: usize, nodes: usize) -> Sizes {
    let colours = match system.curvature() {
        super::Curvature::Diagonal => 1,
        super::Curvature::Dense => system.sites(),
        super::Curvature::Ring => {
            if system.sites().is_multiple_of(3) {
                3
            } else {
                4
            }
        }
    };
    Sizes { points, nodes, sites: system.sites(), parameters: system.parameters().len(), colours }
}

/// Values of all inputs for paths at their parameters.
fn start(system: &dyn System, jobs: &[(&Model<'_>, &Path)]) -> Result<Start> {
    let (d, n) = (system.sites(), jobs.first().map_or(0, |(_, path)| path.n()));
    let b = jobs.len();
    let sizes = sizes(system, b, n);
    let (mut p, mut phi, mut theta, mut lambda) = (vec![], vec![], vec![], vec![]);
    let (mut hops, mut reaction, mut damping, mut action) = (vec![], vec![], vec![], vec![]);
    for (model, path) in jobs {
        let (modes, momenta) = (Modes::new(model, path)?, model.momenta(path)?);
        p.extend_from_slice(model.parameters());
        phi.extend_from_slice(path.states());
        action.push(model.action_of(path, &momenta) / system.site_weight());
        theta.extend(momenta.theta);
        lambda.extend(momenta.lambda);
        hops.extend_from_slice(modes.hops());
        reaction.push(modes.reaction());
        // The first step finds the path as good as it is, and takes a part of the damping away.
        damping.push(0.1 * modes.reaction2() / 0.6);
    }
    let colours = jobs.first().map_or(vec![], |(model, _)| probes(model.colours()));
    let basis = if is_ring(system, d) { ring_basis(d) } else { vec![0.0; d * d] };
    let values = vec![
        ("phi", vec![b, n, d], phi.clone()),
        ("kept", vec![b, n, d], phi),
        ("theta", vec![b, n - 1, d], theta),
        ("lambda", vec![b, n - 1, 1], lambda),
        ("action", vec![b, 1, 1], action),
        ("damping", vec![b, 1, 1], damping),
        ("p", vec![b, sizes.parameters], p),
        ("probes", vec![sizes.colours, d], colours),
        ("rest", vec![b, n - 1, d], vec![0.0; b * (n - 1) * d]),
        ("basis", vec![d, d], basis),
        ("hops", vec![b, 1, d], hops),
        ("reaction", vec![b, 1, 1], reaction),
    ];
    Ok(Start {
        #[cfg(test)]
        sizes,
        values,
    })
}

#[cfg(test)]
pub(super) fn start_values(system: &dyn System, jobs: &[(Model<'_>, Path)]) -> Result<Start> {
    start(system, &jobs.iter().map(|(model, path)| (model, path)).collect::<Vec<_>>())
}

/// Many climbs at once: coarse paths on a device, fine ones on the host in f64, from which they are a few steps away, or on the
/// device as well.
pub struct Climber<'a> {
    coarse: Paths<'a>,
    fine: Option<Paths<'a>>,
}

impl<'a> Climber<'a> {
    /// Compile for this many climbs at once.
    ///
    /// # Errors
    /// As [`Paths::new`].
    pub fn new(gpu: &Gpu, system: &'a dyn System, points: usize, nodes: usize) -> Result<Self> {
        Ok(Climber { coarse: Paths::new(gpu, system, points, nodes)?, fine: None })
    }

    /// Compute fine paths on the device, too: worth the second compilation for hundreds of climbs.
    ///
    /// # Errors
    /// As [`Paths::new`].
    pub fn fine_on_device(mut self) -> Result<Self> {
        let Sizes { points, nodes, .. } = self.coarse.sizes;
        self.fine = Some(Paths::new(self.coarse.plan.gpu(), self.coarse.system, points, 2 * nodes - 1)?);
        Ok(self)
    }

    /// Climbs along paths, all together. Paths that touch critical points are split into legs; the legs of all climbs are
    /// minimised together again.
    ///
    /// # Errors
    /// As [`Paths::minimise`].
    pub fn climb(&self, jobs: &[(Model<'_>, Path)], options: &PathOptions) -> Result<Vec<Climb>> {
        let options = PathOptions { nodes: self.coarse.nodes(), ..*options };
        let whole = self.settled(self.coarse(jobs, &options)?, jobs, &options)?;
        let mut climbs = vec![];
        for ((model, _), whole) in jobs.iter().zip(whole) {
            climbs.push(model.legs(whole, &options)?);
        }
        let mut legs = vec![];
        for ((model, _), (parts, _)) in jobs.iter().zip(&climbs) {
            for part in parts {
                let path = part.path.respaced(2 * part.path.n() - 1)?;
                legs.push((model.clone(), path));
            }
        }
        let fine = match &self.fine {
            Some(paths) => paths.in_batches(&legs, &options)?,
            None => legs.iter().map(|(model, path)| model.minimise(path, &options)).collect::<Result<_>>()?,
        };
        let mut fine = fine.into_iter();
        let add = |((model, _), (parts, through)): (&(Model<'_>, Path), (Vec<Minimum>, Vec<_>))| {
            let pairs = parts.into_iter().zip(fine.by_ref()).collect::<Vec<_>>();
            model.added_up(pairs, through)
        };
        Ok(jobs.iter().zip(climbs).map(add).collect())
    }

    /// Both directions between the attractors nearest to `low` and `high`, at many parameter points; saddles are found on the host.
    ///
    /// A point without two attractors or a saddle between them has its own error, and does not stop the others.
    ///
    /// # Errors
    /// As [`climb`](Self::climb).
    pub fn passages(
        &self,
        system: &dyn System,
        points: &[Vec<f64>],
        (low, high): (&[f64], &[f64]),
        options: &PathOptions,
    ) -> Result<Vec<Result<Passage>>> {
        let mut found = vec![];
        for p in points {
            found.push(Model::new(system, p).and_then(|model| model.ends(low, high).map(|ends| (model, ends))));
        }
        let mut jobs = vec![];
        for (model, [low, high, saddle]) in found.iter().flatten() {
            for from in [low, high] {
                let start = Path::straight(&from.state, &saddle.state, self.coarse.nodes())?;
                jobs.push((model.clone(), start));
            }
        }
        let mut climbs = if jobs.is_empty() { vec![] } else { self.climb(&jobs, options)? }.into_iter();
        let mut passage = |(model, ends): (Model<'_>, [CriticalPoint; 3])| {
            let [low, high, saddle] = ends;
            let (up, down) = climbs.next().zip(climbs.next()).ok_or_else(no_climb)?;
            let rests = model.rests([&low, &high], &saddle);
            Ok(Passage { low, high, saddle, up, down, rests })
        };
        Ok(found.into_iter().map(|found| found.and_then(&mut passage)).collect())
    }

    /// Coarse paths of any number of jobs.
    pub(super) fn coarse(&self, jobs: &[(Model<'_>, Path)], options: &PathOptions) -> Result<Vec<Minimum>> {
        self.coarse.in_batches(jobs, options)
    }
}

fn no_climb() -> Error {
    Error::Invalid { what: "number of climbs", got: "fewer than asked for".into(), want: "two a point" }
}
