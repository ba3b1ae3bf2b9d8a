//! One step of the descent for a batch of parameter points, as a graph: what a device replays.
//!
//! The formulas are those of the f64 descent ([`Model::minimise`](super::Model::minimise)), for paths `[b, n, sites]`. Whether a
//! step went down is decided point by point on the device: one that did not is taken back, and damped more.

use super::model::Derivatives;
use super::modes::SLOWEST;
use super::system::{Curvature, Parameters, System, neighbour};
use crate::autodiff::jvp;
use crate::error::{Error, Result};
use crate::graph::{DType, Graph, Var};
use crate::linalg::tridiagonal::Diagonals;

/// Most sites for which a dense noise matrix is eliminated in straight-line code.
pub(super) const DENSE_SITES: usize = 8;

/// Sizes of a batch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Sizes {
    pub points: usize,
    pub nodes: usize,
    pub sites: usize,
    pub parameters: usize,
    pub colours: usize,
}

/// States of a step, with the inputs of their names.
pub(super) struct Step<'g> {
    pub states: Vec<(&'static str, Var<'g>)>,
}

/// Everything that the step reads.
struct Inputs<'g> {
    /// The path that is tried, `[b, n, d]`.
    phi: Var<'g>,
    /// The last path that was accepted, with its momenta and action.
    kept: Candidate<'g>,
    /// `c [b, 1, 1]`.
    damping: Var<'g>,
    p: Parameters<'g>,
    probes: Var<'g>,
    /// Zeros `[b, n - 1, d]`: momenta at rest.
    rest: Var<'g>,
    /// Waves `[d, d]`, one a row.
    basis: Var<'g>,
    /// How fast hops make each wave decay, `[b, 1, d]`.
    hops: Var<'g>,
    /// The fastest reaction, `[b, 1, 1]`.
    reaction: Var<'g>,
}

/// A path with momenta `[b, n - 1, d]`, `lambda [b, n - 1, 1]` and action `[b, 1, 1]`.
#[derive(Clone, Copy)]
struct Candidate<'g> {
    phi: Var<'g>,
    theta: Var<'g>,
    lambda: Var<'g>,
    action: Var<'g>,
}

impl<'g> Inputs<'g> {
    fn declare(g: &'g Graph, s: Sizes) -> Self {
        let (b, n, d) = (s.points, s.nodes, s.sites);
        let kept = Candidate {
            phi: g.input("kept", [b, n, d]),
            theta: g.input("theta", [b, n - 1, d]),
            lambda: g.input("lambda", [b, n - 1, 1]),
            action: g.input("action", [b, 1, 1]),
        };
        Inputs {
            phi: g.input("phi", [b, n, d]),
            kept,
            damping: g.input("damping", [b, 1, 1]),
            p: Parameters::new(g.input("p", [b, s.parameters])),
            probes: g.input("probes", [s.colours, d]),
            rest: g.input("rest", [b, n - 1, d]),
            basis: g.input("basis", [d, d]),
            hops: g.input("hops", [b, 1, d]),
            reaction: g.input("reaction", [b, 1, 1]),
        }
    }
}

/// The step of this system.
///
/// # Errors
/// [`Error::LimitExceeded`] for a dense noise matrix of too many sites; mistakes in the system's graph.
pub(super) fn step<'g>(g: &'g Graph, system: &dyn System, s: Sizes) -> Result<Step<'g>> {
    if system.curvature() == Curvature::Dense && s.sites > DENSE_SITES {
        let (what, hint) = ("a dense noise matrix (sites)".into(), "minimise it in f64, or use Curvature::Ring".into());
        return Err(Error::LimitExceeded { what, needed: s.sites as u64, limit: DENSE_SITES as u64, hint });
    }
    let i = Inputs::declare(g, s);
    let tried = momenta(system, &i)?;
    // As in f64: a little is allowed. False for what is not a number.
    let down = tried.action.le(i.kept.action + i.kept.action.abs() * 1e-5 + 1e-7);
    let choose = |yes: Var<'g>, no: Var<'g>| down.broadcast_to(yes.shape()).select(yes, no);
    let base = Candidate {
        phi: choose(tried.phi, i.kept.phi),
        theta: choose(tried.theta, i.kept.theta),
        lambda: choose(tried.lambda, i.kept.lambda),
        action: choose(tried.action, i.kept.action),
    };
    let reaction2 = i.reaction.square();
    let damping = choose(i.damping * 0.6, i.damping.max(reaction2 * 0.1) * 4.0);
    let by = descent(system, &i, base, damping)?;
    let inner = base.phi.narrow(1, 1, s.nodes - 2) + by;
    let ends = [base.phi.narrow(1, 0, 1), inner, base.phi.narrow(1, s.nodes - 1, 1)];
    let moved = Var::concat(&ends, 1).unwrap_or(inner);
    let (spread, length) = respaced(moved);
    let largest = by.square().sum(2).max_over(1).sqrt() / length;
    g.check()?;
    let states = vec![
        ("phi", spread),
        ("kept", base.phi),
        ("theta", base.theta),
        ("lambda", base.lambda),
        ("action", base.action),
        ("damping", damping),
        ("moved", largest),
    ];
    Ok(Step { states })
}

/// Momenta and action of the path that is tried.
fn momenta<'g>(system: &dyn System, i: &Inputs<'g>) -> Result<Candidate<'g>> {
    let n = i.phi.shape()[1];
    let (first, second) = (i.phi.narrow(1, 0, n - 1), i.phi.narrow(1, 1, n - 1));
    let (steps, middles) = (second - first, ((first + second) * 0.5).stop_grad());
    let v = steps * (n - 1) as f64;
    let (mut theta, mut lambda) = (i.kept.theta, i.kept.lambda);
    if system.noise().is_quadratic() {
        let at = Derivatives::new(system, middles, i.rest, i.p)?;
        let columns = at.columns(i.probes)?;
        let solve = |r| solve_noise(system, &columns, i.probes, r);
        let (by_drift, by_v) = (solve(at.slope)?, solve(v)?);
        lambda = (dot(at.slope, by_drift) / dot(v, by_v)).max(0.0).sqrt();
        theta = lambda * by_v - by_drift;
    } else {
        // One Newton step a step of the path, from the momenta of the last: they converge together.
        let from = theta.stop_grad();
        let at = Derivatives::new(system, middles, from, i.p)?;
        let columns = at.columns(i.probes)?;
        let solve = |r| solve_noise(system, &columns, i.probes, r);
        let (x1, x2) = (solve(lambda * v - at.slope)?, solve(v)?);
        let h = at.h.unsqueeze(2);
        let by = (-(h + dot(at.slope, x1)) / dot(at.slope, x2)).max(lambda * -0.9);
        lambda = lambda + by;
        theta = from + (x1 + by * x2).max(-2.0).min(2.0);
    }
    let action = (theta * steps).sum(2).sum(1).reshape([i.phi.shape()[0], 1, 1]);
    Ok(Candidate { phi: i.phi, theta, lambda, action })
}

/// `A^-1 r` from the products of `A` with the probes.
fn solve_noise<'g>(system: &dyn System, columns: &[Var<'g>], probes: Var<'g>, r: Var<'g>) -> Result<Var<'g>> {
    let d = r.shape()[2];
    let picked = |by: i32| {
        let shifted = if by == 0 { probes } else { neighbour(probes, by) };
        let term = |(c, column): (usize, &Var<'g>)| *column * shifted.narrow(0, c, 1).reshape([1, 1, d]);
        columns.iter().enumerate().map(term).reduce(|sum, term| sum + term).unwrap_or(r)
    };
    match system.curvature() {
        Curvature::Diagonal => Ok(r / columns[0]),
        Curvature::Ring => Diagonals { lower: picked(-1), diag: picked(0), upper: picked(1) }.solve_cyclic(r, 2),
        Curvature::Dense => Ok(solve_dense(columns, r)),
    }
}

/// Elimination in straight-line code; noise matrices are symmetric and positive, so without pivots.
fn solve_dense<'g>(columns: &[Var<'g>], r: Var<'g>) -> Var<'g> {
    let d = columns.len();
    let site = |x: Var<'g>, i: usize| x.narrow(2, i, 1);
    let mut a: Vec<Vec<Var<'g>>> = (0..d).map(|i| columns.iter().map(|column| site(*column, i)).collect()).collect();
    let mut x: Vec<_> = (0..d).map(|i| site(r, i)).collect();
    for k in 0..d {
        let pivot = a[k].clone();
        for i in k + 1..d {
            let factor = a[i][k] / pivot[k];
            a[i].iter_mut().zip(&pivot).skip(k + 1).for_each(|(own, above)| *own = *own - factor * *above);
            x[i] = x[i] - factor * x[k];
        }
    }
    for i in (0..d).rev() {
        let known = (i + 1..d).fold(x[i], |rest, j| rest - a[i][j] * x[j]);
        x[i] = known / a[i][i];
    }
    Var::concat(&x, 2).unwrap_or(r)
}

/// The step of the inner nodes, `[b, n - 2, d]`.
fn descent<'g>(system: &dyn System, i: &Inputs<'g>, at: Candidate<'g>, damping: Var<'g>) -> Result<Var<'g>> {
    let (b, n, d) = (at.phi.shape()[0], at.phi.shape()[1], at.phi.shape()[2]);
    let pair = |x: Var<'g>| (x.narrow(1, 0, n - 2), x.narrow(1, 1, n - 2));
    let mean = |x: Var<'g>| {
        let (before, after) = pair(x);
        (before + after) * 0.5
    };
    let normal = normal_force(system, i, at)?;
    let (theta, lambda) = (mean(at.theta).stop_grad(), mean(at.lambda));
    let inner = at.phi.narrow(1, 1, n - 2).stop_grad();
    let noisy = jvp(Derivatives::new(system, inner, theta, i.p)?.slope, theta, normal)?;
    let rate = reaction(system, i, inner)?.max(i.reaction * SLOWEST);
    let off = -lambda.square() * ((n - 1) * (n - 1)) as f64;
    let diag = damping + (rate + i.hops).square() - off * 2.0;
    let waves = is_ring(system, d);
    let turned = |x: Var<'g>, by: Var<'g>| x.reshape([b * (n - 2), d]).matmul(by).reshape([b, n - 2, d]);
    let force = noisy * lambda;
    let force = if waves { turned(force, i.basis.t()) } else { force };
    let solved = Diagonals { lower: off, diag, upper: off }.solve(force, 1)?;
    Ok(if waves { turned(solved, i.basis) } else { solved })
}

/// Whether steps are preconditioned wave by wave.
pub(super) fn is_ring(system: &dyn System, d: usize) -> bool {
    // Which sites hop does not depend on how fast they do.
    d > 1 && system.hopping(&vec![1.0; system.parameters().len()]).is_some()
}

/// `G = theta_s + H_phi / lambda` at the inner nodes without its part along the path.
fn normal_force<'g>(system: &dyn System, i: &Inputs<'g>, at: Candidate<'g>) -> Result<Var<'g>> {
    let (b, n) = (at.phi.shape()[0], at.phi.shape()[1]);
    let (first, second) = (at.phi.narrow(1, 0, n - 1), at.phi.narrow(1, 1, n - 1));
    let (middles, theta) = (((first + second) * 0.5).stop_grad(), at.theta.stop_grad());
    let largest = at.lambda.max_over([1, 2]).reshape([b, 1, 1]);
    let per_lambda = Derivatives::new(system, middles, theta, i.p)?.force / at.lambda.max(largest * 1e-6);
    let (before, after) = (|x: Var<'g>| x.narrow(1, 0, n - 2), |x: Var<'g>| x.narrow(1, 1, n - 2));
    let rise = (after(at.theta) - before(at.theta)) * (n - 1) as f64;
    let force = rise + (before(per_lambda) + after(per_lambda)) * 0.5;
    let along = at.phi.narrow(1, 2, n - 2) - at.phi.narrow(1, 0, n - 2);
    Ok(force - along * (dot(force, along) / dot(along, along)))
}

/// How fast reactions are at states, `[b, m, 1]`.
fn reaction<'g>(system: &dyn System, i: &Inputs<'g>, states: Var<'g>) -> Result<Var<'g>> {
    let (b, m, d) = (states.shape()[0], states.shape()[1], states.shape()[2]);
    let drift = Derivatives::new(system, states, i.rest.narrow(1, 0, m).stop_grad(), i.p)?.slope;
    let all = drift.graph().full(1.0, [b, m, d]);
    let unit = |j: usize| all.narrow(2, 0, 1).pad([0, 0, j], [b, m, d]);
    let mut sums = jvp(drift, states, if is_ring(system, d) { all } else { unit(0) })?.abs();
    for j in 1..if is_ring(system, d) { 1 } else { d } {
        sums = sums + jvp(drift, states, unit(j))?.abs();
    }
    Ok(sums.max_over(2).unsqueeze(2))
}

/// Products summed over sites, `[b, m, 1]`.
fn dot<'g>(a: Var<'g>, b: Var<'g>) -> Var<'g> {
    (a * b).sum(2).unsqueeze(2)
}

/// The same paths through nodes at equal distances, and their lengths `[b]`.
fn respaced<'g>(phi: Var<'g>) -> (Var<'g>, Var<'g>) {
    let (g, shape) = (phi.graph(), phi.shape());
    let (b, n, d) = (shape[0], shape[1], shape[2]);
    let steps = phi.narrow(1, 1, n - 1) - phi.narrow(1, 0, n - 1);
    let sums = steps.square().sum(2).sqrt().cumsum(1);
    let length = sums.narrow(1, n - 2, 1);
    let at = (sums / length).pad([0, 1], [b, n]);
    // One ascending table for all paths: each begins 2 above the one before.
    let base = g.iota(0, [b, n]).cast(DType::F32) * 2.0;
    let wanted = g.iota(1, [b, n]).cast(DType::F32) / (n - 1) as f64;
    let below = (at + base).reshape([b * n]).search_sorted((wanted + base).reshape([b * n]));
    let row = g.iota(0, [b, n]).reshape([b * n]) * (n as u32);
    let most = (n - 4) as u32;
    let start = (below - row).max(2u32) - 2u32;
    let start = row + start.min(most);
    let (at, x) = (at.reshape([b * n, 1]), wanted.reshape([b * n, 1]));
    let places: Vec<_> = (0..4u32).map(|k| at.gather(start + k)).collect();
    let flat = phi.reshape([b * n, d]);
    let mut sum = None;
    for i in 0..4 {
        let others = (0..4).filter(|&j| j != i);
        let weight = others.map(|j| (x - places[j]) / (places[i] - places[j])).reduce(|a, b| a * b).unwrap_or(x);
        let term = flat.gather(start + i as u32) * weight;
        sum = Some(sum.map_or(term, |sum: Var<'g>| sum + term));
    }
    let spread = sum.unwrap_or(flat).reshape([b, n, d]);
    let ends = [phi.narrow(1, 0, 1), spread.narrow(1, 1, n - 2), phi.narrow(1, n - 1, 1)];
    (Var::concat(&ends, 1).unwrap_or(spread), length.reshape([b]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Feeds;
    use crate::methods::action::batch::start_values;
    use crate::methods::action::{GinzburgLandau, MaierStein, Model, Path, PathOptions, Schloegl};

    /// Steps of the graph, interpreted in f64, and steps of the descent on the host, from the same path.
    fn agree(system: &dyn System, points: &[Vec<f64>], ends: (f64, f64)) {
        let d = system.sites();
        let wave =
            |s: f64, x: usize| 0.2 * (std::f64::consts::PI * s).sin() * if x.is_multiple_of(2) { 1.0 } else { -0.7 };
        let path = Path::along(&vec![ends.0; d], &vec![ends.1; d], 12, wave).unwrap().respaced(12).unwrap();
        let jobs: Vec<_> = points.iter().map(|p| (Model::new(system, p).unwrap(), path.clone())).collect();
        // The descent spreads nodes before its first step.
        let spread =
            |(m, path): &(Model<'_>, Path)| (Model::new(system, m.parameters()).unwrap(), path.respaced(12).unwrap());
        let start = start_values(system, &jobs.iter().map(spread).collect::<Vec<_>>()).unwrap();
        let g = Graph::new();
        let step = step(&g, system, start.sizes).unwrap();
        let mut feeds = Feeds::new();
        start.values.iter().for_each(|(name, _, values)| feeds.set(name, &values[..]));
        // Where momenta are found by Newton's method, they are exact in the first step only: one step of it a step of the path.
        let exact = system.noise().is_quadratic();
        let (steps, on_host, name) = if exact { (4, 3, "kept") } else { (1, 1, "phi") };
        for _ in 0..steps {
            g.eval_step(&step.states, &mut feeds).unwrap();
        }
        for (i, (model, path)) in jobs.iter().enumerate() {
            let options = PathOptions { max_steps: on_host, tolerance: 0.0, ..PathOptions::default() };
            let want = model.minimise(path, &options).unwrap();
            let kept = &feeds.get(name).unwrap()[i * 12 * d..(i + 1) * 12 * d];
            let off = kept.iter().zip(want.path.states()).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            // Both are f64, with Jacobians of order 10.
            assert!(off < 1e-10, "point {i}: {off:e}");
            let action = feeds.get("action").unwrap()[i] * system.site_weight();
            let want = if exact { want.action } else { model.action(&path.respaced(12).unwrap()).unwrap() };
            assert!((action - want).abs() < 1e-10 * want, "point {i}: {action} {want}");
        }
    }

    #[test]
    fn the_graph_of_a_step_is_the_step_of_the_host() {
        agree(&GinzburgLandau::field(6), &[vec![0.01, 0.1, 0.0], vec![0.02, 0.0, 0.05]], (-1.0, 0.9));
        agree(&MaierStein, &[vec![4.0, 1.0]], (-0.9, 0.2));
        let network = |d: f64| [&[d], &Schloegl::RATES[..]].concat();
        agree(&Schloegl::new(7), &[network(0.2), network(0.7)], (0.6, 1.4));
        agree(&Schloegl::new(2), &[network(0.05)], (0.6, 1.4));
    }
}
