//! One iteration of training as a graph.

use super::config::{Method, Optimiser, Start, TrainConfig};
use super::energy::Energy;
use super::kernel::{Arrival, Mover, random_rows, restart_rows};
use super::optimiser::update;
use crate::autodiff::{grad, per_sample, vjp};
use crate::dynamics::resample::{Resampled, Weighted};
use crate::dynamics::{Compensated, EndPoint, Summary, weights};
use crate::error::{Error, Result};
use crate::graph::{DType, Graph, Key, Var};

/// What moves the parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drive {
    /// The gradient of the cross-entropy with `n` data points, input `data [n, d]`.
    Learn {
        /// Number of data points.
        n_data: usize,
    },
    /// A path given in advance, input `path [n, P]`: iteration `k` goes from row `k` to row `k + 1`.
    Follow {
        /// Rows of the path.
        n_points: usize,
    },
}

/// An energy, its drive and its configuration: everything that decides the graph.
#[derive(Clone, Copy)]
pub struct Problem<'a> {
    /// The family of models.
    pub energy: &'a dyn Energy,
    /// What moves the parameters.
    pub drive: Drive,
    /// The rest.
    pub config: &'a TrainConfig,
}

/// Named values: what a plan computes.
type Outputs<'g> = Vec<(String, Var<'g>)>;

/// The graph of one iteration, all of whose outputs are states: each has the name of an input.
///
/// | state | shape | |
/// |---|---|---|
/// | `theta` | `[P]` | parameters `theta_k` |
/// | `x`, `u`, `grad` | `[n, d]`, `[n]`, `[n, d]` | walkers, then observers; energy and gradient under `theta_k` |
/// | `model_gradient` | `[P]` | `<dU/dtheta>` under `theta_k` |
/// | `theta.m`, `theta.v` | `[P]` | moments of Adam |
/// | `a`, `a.low`, `log_z0`, `log_z0.low`, `log_z0_var`, `resamplings` | `[walkers]`, then scalars | weights of the walkers |
/// | the same with `observer.` before | `[observers]`, then scalars | weights of the observers |
///
/// Other inputs: the key `key`; `data` or `path`; `rate_factors [P]` if set; `pool [walkers, d]`, where persistent walkers
/// started, if they return there.
///
/// The model's gradient is taken with the weights before a resampling: the same expectation, less variance, and the
/// backward pass is that of the last sub-step, so an iteration costs one evaluation a sub-step and one on the data.
///
/// # Errors
/// What [`TrainConfig::check`] and the energy refuse; [`Error::Shape`] for an energy that is not one value a walker.
pub fn iteration<'g>(graph: &'g Graph, problem: Problem<'_>) -> Result<Outputs<'g>> {
    problem.config.check()?;
    let step = Step { g: graph, p: problem, key: graph.key("key"), theta: theta(graph, problem) };
    let (next_theta, mut out) = step.parameters()?;
    let start = problem.end_point(graph);
    let arrival = step.moves(start, next_theta)?;
    let drivers = step.driver_weights(start, &arrival, next_theta)?;
    let observers = step.observer_weights(&arrival);
    if matches!(problem.drive, Drive::Learn { .. }) {
        let p = drivers.map(|w| Summary::of(w.log_weights).probabilities());
        out.push(("model_gradient".into(), problem.model_gradient(graph, arrival.to.u, next_theta, p)?));
    }
    let to = step.resampled(arrival.to, drivers, observers, &mut out);
    for (name, var) in [("theta", next_theta), ("x", to.x), ("u", to.u), ("grad", to.grad)] {
        out.push((name.into(), var));
    }
    graph.check()?;
    Ok(out)
}

/// What the first iteration needs beside `theta`, `x` and zeros: `u`, `grad`, and `model_gradient` at equal weights.
///
/// # Errors
/// As [`iteration`].
pub fn initial<'g>(graph: &'g Graph, problem: Problem<'_>) -> Result<Outputs<'g>> {
    problem.config.check()?;
    let (theta, rows) = (theta(graph, problem), [problem.config.rows(), problem.energy.n_dims()]);
    let x = graph.input("x", rows);
    let at = EndPoint::of(|x| problem.energy_at(theta, x), x)?;
    let mut out = vec![("u".into(), at.u), ("grad".into(), at.grad)];
    if matches!(problem.drive, Drive::Learn { .. }) {
        out.push(("model_gradient".into(), problem.model_gradient(graph, at.u, theta, None)?));
    }
    graph.check()?;
    Ok(out)
}

fn theta<'g>(graph: &'g Graph, problem: Problem<'_>) -> Var<'g> {
    graph.input("theta", [problem.energy.n_params()])
}

impl Problem<'_> {
    fn energy_at<'g>(&self, theta: Var<'g>, x: Var<'g>) -> Var<'g> {
        self.energy.energy(theta, x).unwrap_or_else(|error| x.graph().invalid(error))
    }

    fn end_point<'g>(&self, graph: &'g Graph) -> EndPoint<'g> {
        let (n, d) = (self.config.rows(), self.energy.n_dims());
        EndPoint { x: graph.input("x", [n, d]), u: graph.input("u", [n]), grad: graph.input("grad", [n, d]) }
    }

    /// `sum_i p_i (1/T - 2 alpha U_i) dU_i/dtheta` over the walkers; observers have weight 0.
    fn model_gradient<'g>(
        &self,
        graph: &'g Graph,
        u: Var<'g>,
        theta: Var<'g>,
        probabilities: Option<Var<'g>>,
    ) -> Result<Var<'g>> {
        let n = self.config.walkers;
        let p = probabilities.unwrap_or_else(|| graph.full(1.0 / n as f64, [n]));
        let p = if self.config.observers > 0 { p.pad([0], [self.config.rows()]) } else { p };
        let per_kt = 1.0 / self.config.temperature;
        let factor = match self.config.energy_penalty {
            0.0 => graph.constant(per_kt),
            alpha => per_kt - u * (2.0 * alpha),
        };
        pulled(u, theta, (p * factor).stop_grad())
    }

    /// `mean (1/T + 2 alpha U) dU/dtheta` over data, and the regulariser's gradient.
    fn data_gradient<'g>(&self, graph: &'g Graph, theta: Var<'g>, n_data: usize, key: Key<'g>) -> Result<Var<'g>> {
        let all = graph.input("data", [n_data, self.energy.n_dims()]);
        let (batch, y) = match self.config.data_batch {
            0 => (n_data, all),
            batch => (batch, all.gather(random_rows(key, batch, n_data))),
        };
        let u = self.energy_at(theta, y);
        let (each, per_kt) = (1.0 / batch as f64, 1.0 / self.config.temperature);
        let factor = match self.config.energy_penalty {
            0.0 => graph.full(each * per_kt, [batch]),
            alpha => (u * (2.0 * alpha) + per_kt).stop_grad() * each,
        };
        let gradient = pulled(u, theta, factor)?;
        Ok(match self.energy.regulariser(theta)? {
            Some(extra) => gradient + grad(extra, theta)?,
            None => gradient,
        })
    }
}

/// `sum_i weights_i dU_i/dtheta`. Factored where the parameters are those of layers, because the backward pass is then the
/// one of the gradient by positions.
fn pulled<'g>(u: Var<'g>, theta: Var<'g>, weights: Var<'g>) -> Result<Var<'g>> {
    match per_sample(u, theta) {
        Ok(jacobian) => jacobian.vjp(weights),
        Err(Error::NotDifferentiable { .. } | Error::NotRowwise { .. }) => vjp(u, weights, theta),
        Err(error) => Err(error),
    }
}

/// An iteration under construction.
struct Step<'a, 'g> {
    g: &'g Graph,
    p: Problem<'a>,
    key: Key<'g>,
    theta: Var<'g>,
}

/// One purpose each for the iteration's key.
mod purpose {
    pub const NOISE: u32 = 1;
    pub const RESAMPLE: u32 = 2;
    pub const RESAMPLE_OBSERVERS: u32 = 3;
    pub const DATA: u32 = 4;
    pub const RESTART: u32 = 5;
    pub const RESTART_FROM: u32 = 6;
}

impl<'g> Step<'_, 'g> {
    /// The next parameters, and the state of the optimiser.
    fn parameters(&self) -> Result<(Var<'g>, Outputs<'g>)> {
        match self.p.drive {
            Drive::Follow { n_points } => {
                let path = self.g.input("path", [n_points, self.p.energy.n_params()]);
                Ok((path.gather(self.g.step() + 1), vec![]))
            }
            Drive::Learn { n_data } => {
                let model = self.g.input("model_gradient", self.theta.shape());
                let data = self.p.data_gradient(self.g, self.theta, n_data, self.key.fold_in(purpose::DATA))?;
                let update = update(self.g, self.p.config, self.theta, data - model);
                Ok((update.theta, update.state))
            }
        }
    }

    fn moves(&self, start: EndPoint<'g>, next_theta: Var<'g>) -> Result<Arrival<'g>> {
        let mover = Mover {
            graph: self.g,
            config: self.p.config,
            key: self.key.fold_in(purpose::NOISE),
            now: &|x| self.p.energy_at(self.theta, x),
            next: &|x| self.p.energy_at(next_theta, x),
            restart: &|x| self.restarted(x),
        };
        mover.run(start)
    }

    /// Unweighted walkers that begin anew.
    fn restarted(&self, x: Var<'g>) -> Var<'g> {
        let (g, config) = (self.g, self.p.config);
        let (n, rows) = (config.walkers as u32, x.shape()[0]);
        let Drive::Learn { n_data } = self.p.drive else { return x };
        let row = g.iota(0, [rows]);
        let data = g.input("data", [n_data, self.p.energy.n_dims()]);
        let from = self.key.fold_in(purpose::RESTART_FROM);
        match config.method {
            Method::Cd { every } => {
                let done = g.step() + 1;
                let due = (done - done / every * every).equal(0);
                restart_rows(x, data, row.lt(due.select(g.constant_u32(n), g.constant_u32(0))), from)
            }
            Method::Pcd { start, reinit } if reinit > 0.0 => {
                let pool = match start {
                    Start::Data => data,
                    Start::Model => g.input("pool", [config.walkers, self.p.energy.n_dims()]),
                };
                let chance = row.lt(n).select(g.constant(reinit), g.constant(0.0));
                let marked = self.key.fold_in(purpose::RESTART).uniform([rows]).lt(chance);
                restart_rows(x, pool, marked, from)
            }
            _ => x,
        }
    }

    fn driver_weights(
        &self,
        start: EndPoint<'g>,
        arrival: &Arrival<'g>,
        next_theta: Var<'g>,
    ) -> Result<Option<Weighted<'g>>> {
        if !self.p.config.method.is_weighted() {
            return Ok(None);
        }
        let n = self.p.config.walkers;
        let gain = match self.p.config.method {
            Method::WorkOnly => self.work_only(start, arrival, next_theta),
            Method::Aliased => self.aliased(arrival)?,
            _ => arrival.gain.narrow(0, 0, n),
        };
        Ok(Some(weighted_input(self.g, "", n).gain(gain)))
    }

    fn observer_weights(&self, arrival: &Arrival<'g>) -> Option<Weighted<'g>> {
        let (n, m) = (self.p.config.walkers, self.p.config.observers);
        (m > 0).then(|| weighted_input(self.g, "observer.", m).gain(arrival.gain.narrow(0, n, m)))
    }

    /// The trapezoid of the change of energy at the start and at the end of the iteration.
    fn work_only(&self, start: EndPoint<'g>, arrival: &Arrival<'g>, next_theta: Var<'g>) -> Var<'g> {
        let n = self.p.config.walkers;
        let part = |v: Var<'g>| v.narrow(0, 0, n);
        let (x, y) = (part(start.x), part(arrival.to.x));
        let at_start = (part(start.u), self.p.energy_at(next_theta, x));
        let at_end = (self.p.energy_at(self.theta, y), part(arrival.to.u));
        weights::work_only(at_start, at_end, self.g.constant(self.p.config.temperature))
    }

    fn aliased(&self, arrival: &Arrival<'g>) -> Result<Var<'g>> {
        let n = self.p.config.walkers;
        let to = EndPoint {
            x: arrival.to.x.narrow(0, 0, n),
            u: arrival.to.u.narrow(0, 0, n),
            grad: arrival.to.grad.narrow(0, 0, n),
        };
        let now = EndPoint::of(|x| self.p.energy_at(self.theta, x), to.x)?;
        let config = self.p.config;
        let proposal = crate::dynamics::Proposal::new(self.g, config.step_size).temperature(config.temperature);
        Ok(weights::aliased(now, to, &proposal))
    }

    /// Equalise weights where that is due, and put them out.
    fn resampled(
        &self,
        to: EndPoint<'g>,
        drivers: Option<Weighted<'g>>,
        observers: Option<Weighted<'g>>,
        out: &mut Outputs<'g>,
    ) -> EndPoint<'g> {
        let (g, n, m) = (self.g, self.p.config.walkers, self.p.config.observers);
        let draw = |w: Option<Weighted<'g>>, purpose| match (self.p.config.resample, w) {
            (Some(rule), Some(w)) => Some(w.resample_if(rule, self.key.fold_in(purpose))),
            _ => None,
        };
        let (d, o) = (draw(drivers, purpose::RESAMPLE), draw(observers, purpose::RESAMPLE_OBSERVERS));
        put_weights(out, "", d.map(|r| r.weights).or(drivers));
        put_weights(out, "observer.", o.map(|r| r.weights).or(observers));
        if d.is_none() && o.is_none() {
            return to;
        }
        let own = |r: Option<Resampled<'g>>, len: usize| r.map_or_else(|| g.iota(0, [len]), |r| r.ancestors);
        let ancestors = [own(d, n), own(o, m) + n as u32];
        to.gather(Var::concat(&ancestors[..if m > 0 { 2 } else { 1 }], 0).unwrap_or(ancestors[0]))
    }
}

/// Names of the scalars that go with log-weights, and their element types.
pub(super) const WEIGHT_SCALARS: [(&str, DType); 4] =
    [("log_z0", DType::F32), ("log_z0.low", DType::F32), ("log_z0_var", DType::F32), ("resamplings", DType::U32)];

fn weighted_input<'g>(g: &'g Graph, prefix: &str, n: usize) -> Weighted<'g> {
    Weighted {
        log_weights: Compensated::input(g, &format!("{prefix}a"), [n]),
        log_z0: Compensated::input(g, &format!("{prefix}log_z0"), []),
        log_z0_var: g.input(&format!("{prefix}log_z0_var"), []),
        resamplings: g.input_of(&format!("{prefix}resamplings"), [], DType::U32),
    }
}

fn put_weights<'g>(out: &mut Outputs<'g>, prefix: &str, weights: Option<Weighted<'g>>) {
    let Some(w) = weights else { return };
    let (a, z) = (w.log_weights, w.log_z0);
    let scalars =
        [("log_z0", z.high), ("log_z0.low", z.low), ("log_z0_var", w.log_z0_var), ("resamplings", w.resamplings)];
    let all = [("a", a.high), ("a.low", a.low)].into_iter().chain(scalars);
    out.extend(all.map(|(name, var)| (format!("{prefix}{name}"), var)));
}

/// Names, shapes and types of the states of an [`iteration`] that start at zero.
pub(super) fn zero_states(problem: Problem<'_>) -> Vec<(String, Vec<usize>, DType)> {
    let config = problem.config;
    let mut all = vec![];
    for (prefix, n, there) in
        [("", config.walkers, config.method.is_weighted()), ("observer.", config.observers, config.observers > 0)]
    {
        if there {
            all.extend(["a", "a.low"].map(|name| (format!("{prefix}{name}"), vec![n], DType::F32)));
            all.extend(WEIGHT_SCALARS.map(|(name, dtype)| (format!("{prefix}{name}"), vec![], dtype)));
        }
    }
    if let (Optimiser::Adam { beta1, .. }, Drive::Learn { .. }) = (config.optimiser, problem.drive) {
        let moments = [("theta.m", beta1 > 0.0), ("theta.v", true)].into_iter().filter(|m| m.1);
        all.extend(moments.map(|(name, _)| (name.to_string(), vec![problem.energy.n_params()], DType::F32)));
    }
    all
}
