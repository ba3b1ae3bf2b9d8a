//! Laws of the log-weights: exact free energies and averages from walkers out of equilibrium, at any step size.
//!
//! Every law is one function of the backend; the f64 run is the meaning of the graph, the device run the product. Error
//! bars are exact (tests/gaussian_path), so a bound of 5 of them has one false alarm in 1.7e6, and keys are fixed.

mod gaussian_path;
mod walkers;

use ergodic::dynamics::langevin::{self, Bath, Moved};
use ergodic::dynamics::{Compensated, EndPoint, Estimate, LogWeights, Proposal, weights};
use ergodic::graph::{Graph, Var};
use ergodic::random::RngKey;
use gaussian_path::{Rule, Wells};
use walkers::{Backend, at_next_step, device, iterate, state};

const SIGMAS: f64 = 5.0;

/// How walkers move in [`run`].
#[derive(Clone, Copy, Debug, PartialEq)]
enum Mover {
    Ula,
    KernelRatio,
    /// Drift limited to 0.2 a component: one component in fifteen.
    Clipped,
    Mala,
    Frozen,
    Underdamped,
    /// A quarter of the walkers a step.
    MiniBatch,
    WorkOnly,
    Aliased,
}

/// Walkers at the end of a protocol.
struct End {
    log_weights: LogWeights,
    /// `[n, d]`.
    x: Vec<f64>,
    d: usize,
    acceptance: f64,
}

impl End {
    /// Component `c` of every walker.
    fn component(&self, c: usize) -> Vec<f64> {
        self.x.iter().skip(c).step_by(self.d).copied().collect()
    }

    /// Error of `log Z` in standard errors of an exact `R`.
    fn sigmas(&self, wells: &Wells, r: f64) -> f64 {
        let se = ((r - 1.0) / self.log_weights.values().len() as f64).sqrt();
        (self.log_weights.log_mean_exp().value - wells.log_z()).abs() / se
    }
}

/// `U = omega |x - m e_1|^2 / 2` for walkers `[n, d]`.
fn well<'g>(x: Var<'g>, omega: Var<'g>, mean: Var<'g>) -> Var<'g> {
    let d = x.shape()[1];
    let first = x.graph().iota(0, [d]).equal(0u32).select(mean, 0.0);
    (x - first).square().sum(1) * omega * 0.5
}

/// One step of a mover between two energies; the new momentum where there is one.
fn advance<'g>(
    mover: Mover,
    (from, p): (EndPoint<'g>, Var<'g>),
    h: f64,
    now: impl Fn(Var<'g>) -> Var<'g> + Copy,
    next: impl Fn(Var<'g>) -> Var<'g> + Copy,
) -> ergodic::Result<(Moved<'g>, Var<'g>)> {
    let g = from.x.graph();
    let (shape, key) = (from.x.shape(), g.key("noise"));
    let proposal = Proposal::new(g, h);
    let xi = key.normal(&shape);
    let moved = match mover {
        Mover::Ula => langevin::ula(from, &proposal, xi, next)?,
        Mover::KernelRatio => {
            let moved = langevin::ula(from, &proposal, xi, next)?;
            Moved { gain: weights::kernel_ratio(from, moved.to, &proposal), ..moved }
        }
        Mover::Clipped => langevin::ula(from, &proposal.clip(0.2), xi, next)?,
        Mover::Mala => langevin::mala(from, &proposal, (xi, key.fold_in(2).uniform([shape[0]])), now, next)?,
        Mover::Frozen => langevin::frozen(from, proposal.temperature, next)?,
        Mover::Underdamped => {
            let bath = Bath { time_step: g.constant(h), friction: g.constant(1.0), temperature: g.constant(1.0) };
            return langevin::underdamped((from, p), &bath, (xi, key.fold_in(2).normal(&shape)), next);
        }
        Mover::MiniBatch => {
            let marks = langevin::rotating_batch(g, shape[0], shape[0] / 4);
            langevin::minibatch(from, &proposal, (xi, marks), next)?
        }
        Mover::WorkOnly => {
            let moved = langevin::ula(from, &proposal, xi, next)?;
            let (to, t) = (moved.to, proposal.temperature);
            Moved { gain: weights::work_only((from.u, next(from.x)), (now(to.x), to.u), t), ..moved }
        }
        Mover::Aliased => {
            let moved = langevin::ula(from, &proposal, xi, next)?;
            Moved { gain: weights::aliased(EndPoint::of(now, moved.to.x)?, moved.to, &proposal), ..moved }
        }
    };
    Ok((moved, p))
}

/// `n` walkers from equilibrium in the first well through the whole protocol.
fn run(backend: &Backend, wells: &Wells, n: usize, mover: Mover, seed: u64) -> End {
    run_shifted(backend, wells, n, mover, seed, 0.0)
}

/// [`run`] with a constant added to all energies.
fn run_shifted(backend: &Backend, wells: &Wells, n: usize, mover: Mover, seed: u64, shift: f64) -> End {
    let (g, d) = (Graph::new(), wells.d);
    let rows = wells.omega.len();
    let (omega, mean) = (g.input("omega", [rows]), g.input("mean", [rows]));
    let now = |x| well(x, omega.at_step(), mean.at_step()) + shift;
    let next = |x| well(x, at_next_step(&g, omega), at_next_step(&g, mean)) + shift;
    let key = g.key("noise").fold_in(1);
    let e1 = g.iota(0, [d]).equal(0u32).select(mean.at_step(), 0.0);
    let start = EndPoint::of(now, key.normal([n, d]) * omega.at_step().rsqrt() + e1).unwrap();
    let from = EndPoint { x: g.input("x", [n, d]), u: g.input("u", [n]), grad: g.input("grad", [n, d]) };
    let p = g.input("p", [n, d]);
    let (moved, p_next) = advance(mover, (from, p), wells.h, now, next).unwrap();
    let (a, zero) = (Compensated::input(&g, "a", [n]), Compensated::zeros(&g, [n]));
    let a_next = a.plus(moved.gain);
    let mut states = vec![
        state("x", start.x, moved.to.x),
        state("u", start.u, moved.to.u),
        state("grad", start.grad, moved.to.grad),
        state("a", zero.high, a_next.high),
        state("a.low", zero.low, a_next.low),
    ];
    if mover == Mover::Underdamped {
        states.push(state("p", key.fold_in(9).normal([n, d]), p_next));
    }
    let narrow = |v: &[f64]| v.iter().map(|&v| v as f32).collect();
    let tables = [("omega", narrow(&wells.omega)), ("mean", narrow(&wells.mean))];
    let outputs = [("acceptance", moved.acceptance.mean_all())];
    let mut end = iterate(backend, &tables, RngKey::new(seed), &states, &outputs, wells.steps() as u64);
    let a: Vec<_> = end["a"].iter().zip(&end["a.low"]).map(|(h, l)| h + l).collect();
    let x = end.remove("x").unwrap_or_default();
    End { log_weights: LogWeights::new(a), x, d, acceptance: end["acceptance"][0] }
}

/// The protocol of most laws: four dimensions, stiffer by 4 and moved by 1.
fn quadratic(steps: usize, h: f64) -> Wells {
    Wells::linear(steps, h, 4, (1.0, 4.0), (0.0, 1.0))
}

// ---------------------------------------------------------------------------------------------------------------------
// V2: a quadratic protocol whose answer, and whose error bar, are known.

/// Walkers on a device, and in f64 where each costs a thousand times more.
fn size(backend: &Backend, on_device: usize, in_f64: usize) -> usize {
    if matches!(backend, Backend::F64) { in_f64 } else { on_device }
}

fn weights_recover_the_free_energy(backend: &Backend, steps: usize, h: f64) {
    let (wells, n) = (quadratic(steps, h), size(backend, 100_000, 4000));
    let end = run(backend, &wells, n, Mover::Ula, 11);
    let r = wells.r(Rule::Exact);
    assert!(end.sigmas(&wells, r) < SIGMAS, "h = {h}: {}", end.log_weights.log_mean_exp());
    // 3 % at 1e5 walkers is 4 to 6 standard errors of the effective number; it falls with the root.
    let (ess, bound) = (end.log_weights.ess_fraction() * r, 0.03 * (1e5 / n as f64).sqrt());
    assert!((ess - 1.0).abs() < bound, "h = {h}: ESS is {ess} of the exact one");
    for c in 1..4 {
        let x = end.component(c);
        let weighted = end.log_weights.variance(&x);
        assert!(weighted.sigmas_from(0.25) < SIGMAS, "h = {h}: variance {weighted}");
        let plain = LogWeights::new(vec![0.0; n]).variance(&x);
        assert!(plain.sigmas_from(wells.unweighted_variance()) < SIGMAS, "h = {h}: unweighted variance {plain}");
    }
    let mean = end.log_weights.mean(&end.component(0));
    assert!(mean.sigmas_from(1.0) < SIGMAS, "h = {h}: mean {mean}");
    assert!(!end.log_weights.heavy_tailed());
}

#[test]
fn v2_weights_recover_free_energy_variance_and_ess_in_f64() {
    weights_recover_the_free_energy(&Backend::F64, 50, 0.1);
    weights_recover_the_free_energy(&Backend::F64, 50, 0.3);
}

#[test]
fn v2_weights_recover_free_energy_variance_and_ess_on_the_device() {
    let device = device();
    weights_recover_the_free_energy(&device, 50, 0.1);
    weights_recover_the_free_energy(&device, 50, 0.3);
    weights_recover_the_free_energy(&device, 200, 0.02);
}

/// The control: the same walkers with wrong weights have the wrong answer of exact theory, and so fail the law.
fn a_wrong_weight_misses(backend: &Backend, h: f64, mover: Mover, rule: Rule, answer: f64) {
    let (wells, n) = (quadratic(50, h), size(backend, 20_000, 2000));
    let biased = wells.log_moment(rule, 1.0).unwrap();
    assert!((biased - answer).abs() < 1e-3, "{mover:?}: {biased}");
    let end = run(backend, &wells, n, mover, 12);
    let got = Estimate { se: wells.se(rule, n), ..end.log_weights.log_mean_exp() };
    assert!(got.sigmas_from(biased) < SIGMAS, "{mover:?}: {got}, theory {biased}");
    assert!(end.sigmas(&wells, wells.r(Rule::Exact)) > 2.0 * SIGMAS, "{mover:?}: {got} passes for the truth");
}

#[test]
fn v2_control_aliased_and_work_only_weights_fail_the_law() {
    for backend in [Backend::F64, device()] {
        a_wrong_weight_misses(&backend, 0.1, Mover::Aliased, Rule::Aliased, -3.652);
        a_wrong_weight_misses(&backend, 0.3, Mover::Aliased, Rule::Aliased, -6.949);
        a_wrong_weight_misses(&backend, 0.1, Mover::WorkOnly, Rule::WorkOnly, -3.094);
    }
}

#[test]
fn v2_theory_of_the_error_bar_has_the_tabulated_values() {
    for (steps, h, r) in [(50, 0.1, 2.05888), (50, 0.3, 3.29437), (200, 0.02, 2.08627)] {
        let wells = quadratic(steps, h);
        assert!((wells.r(Rule::Exact) - r).abs() < 5e-6, "R is {}", wells.r(Rule::Exact)); // six digits were tabulated
        // Jarzynski's equality itself, for any step size: rounding of 50 to 200 eliminations.
        assert!((wells.log_moment(Rule::Exact, 1.0).unwrap() - wells.log_z()).abs() < 1e-12);
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// V3: the bias of unadjusted Langevin at rest.

fn weights_remove_the_bias_at_rest(backend: &Backend, h: f64, unweighted: f64) {
    let (wells, n) = (Wells::linear(10, h, 1, (1.0, 1.0), (0.0, 0.0)), size(backend, 200_000, 50_000));
    let end = run(backend, &wells, n, Mover::Ula, 13);
    let x = end.component(0);
    let plain = LogWeights::new(vec![0.0; n]).variance(&x);
    assert!(plain.sigmas_from(unweighted) < SIGMAS, "h = {h}: {plain}, theory {unweighted}");
    assert!(plain.sigmas_from(1.0) > SIGMAS, "h = {h}: {plain} shows no bias");
    assert!(end.log_weights.variance(&x).sigmas_from(1.0) < SIGMAS, "h = {h}: {}", end.log_weights.variance(&x));
    assert!(end.sigmas(&wells, wells.r(Rule::Exact)) < SIGMAS, "h = {h}: {}", end.log_weights.log_mean_exp());
}

#[test]
fn v3_weights_remove_the_bias_of_the_step() {
    for backend in [Backend::F64, device()] {
        weights_remove_the_bias_at_rest(&backend, 0.1, 1.046_232_8);
        weights_remove_the_bias_at_rest(&backend, 0.5, 1.333_333_3);
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// V4: weights without a variance are reported as such.

#[test]
fn v4_weights_of_infinite_variance_get_no_error_bar() {
    let wells = Wells::linear(20, 0.1, 4, (1.0, 0.25), (0.0, 0.0));
    assert_eq!(wells.r(Rule::Exact), f64::INFINITY);
    let device = device();
    for seed in 0..4 {
        let end = run(&device, &wells, 100_000, Mover::Ula, seed).log_weights;
        // Moments are finite below order 1.6, so the index is about 0.62; the fit scatters by 0.05 and the flag is at 0.55.
        assert!(end.heavy_tailed(), "seed {seed}: k = {:.3}", end.pareto_k());
        assert_eq!(end.log_mean_exp().se, f64::INFINITY);
        assert!(end.ess_fraction() < 0.1, "seed {seed}: ESS {:.3}", end.ess_fraction());
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// V7, V8 and other kernels: one answer from all of them. The error bar is the run's own.

fn the_kernel_does_not_matter(backend: &Backend, wells: &Wells, mover: Mover) -> End {
    let end = run(backend, wells, size(backend, 40_000, 4000), mover, 17);
    let log_z = end.log_weights.log_mean_exp();
    assert!(log_z.sigmas_from(wells.log_z()) < SIGMAS, "{mover:?}: {log_z}, exact {}", wells.log_z());
    end
}

#[test]
fn v7_walkers_that_do_not_move_weigh_the_change_alone() {
    for backend in [Backend::F64, device()] {
        let end = the_kernel_does_not_matter(&backend, &quadratic(50, 0.1), Mover::MiniBatch);
        // Independent repeats: every 25th walker is one of 25. Their scatter is an error bar without a formula.
        let a = end.log_weights.values();
        let repeat =
            |r: usize| LogWeights::new(a.iter().skip(r).step_by(25).copied().collect()).log_mean_exp().value.exp();
        let means: Vec<_> = (0..25).map(repeat).collect();
        let got = LogWeights::new(vec![0.0; 25]).mean(&means);
        assert!(got.sigmas_from(quadratic(50, 0.1).log_z().exp()) < SIGMAS, "{got:.5}");
    }
}

#[test]
fn v8_every_kernel_gives_the_same_free_energy() {
    let milder = Wells::linear(50, 0.1, 4, (1.0, 1.5), (0.0, 1.0));
    for backend in [Backend::F64, device()] {
        the_kernel_does_not_matter(&backend, &Wells::linear(50, 0.1, 4, (1.0, 1.5), (0.0, 0.0)), Mover::Frozen);
        for mover in [Mover::KernelRatio, Mover::Clipped, Mover::Underdamped] {
            the_kernel_does_not_matter(&backend, &milder, mover);
        }
        let mala = the_kernel_does_not_matter(&backend, &milder, Mover::Mala);
        assert!((0.8..1.0).contains(&mala.acceptance), "acceptance {}", mala.acceptance);
    }
}

#[test]
fn v8_metropolis_removes_the_bias_without_weights() {
    // The wells of V3 at h = 0.5, where unadjusted steps have variance 4/3.
    let wells = Wells::linear(10, 0.5, 1, (1.0, 1.0), (0.0, 0.0));
    for backend in [Backend::F64, device()] {
        let end = run(&backend, &wells, 30_000, Mover::Mala, 18);
        assert!(end.log_weights.values().iter().all(|a| a.abs() < 1e-5), "an energy at rest gives no weight");
        let variance = LogWeights::new(vec![0.0; 30_000]).variance(&end.component(0));
        assert!(variance.sigmas_from(1.0) < SIGMAS, "{variance}");
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// V11: what must not matter.

#[test]
fn v11_origin_of_energy_and_of_space_do_not_matter() {
    for backend in [Backend::F64, device()] {
        let eps = if matches!(backend, Backend::F64) { f64::EPSILON } else { f64::from(f32::EPSILON) };
        // Sixteen steps: all tables are exact in f32, and moved by 8 they still are.
        let wells = quadratic(16, 0.125);
        let plain = run(&backend, &wells, 1000, Mover::Ula, 19);
        let shifted = run_shifted(&backend, &wells, 1000, Mover::Ula, 19, 8.0);
        // Powers of two and a few binades: energies below 32 + 8 rounded at each of 20 steps, both ends.
        let bound = 20.0 * 2.0 * 40.0 * eps;
        let difference = |end: &End| {
            let pairs = end.log_weights.values().iter().zip(plain.log_weights.values());
            pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
        };
        assert!(difference(&shifted) < bound, "energy: {:e} over {bound:e}", difference(&shifted));
        let mut moved = wells.clone();
        moved.mean.iter_mut().for_each(|m| *m += 8.0);
        let translated = run(&backend, &moved, 1000, Mover::Ula, 19);
        // Positions are rounded at 16 eps, and forces pull the difference of two runs together, not apart.
        let bound = 20.0 * 16.0 * eps * (4.0 * 6.0) * 2.0;
        assert!(difference(&translated) < bound, "space: {:e} over {bound:e}", difference(&translated));
    }
}

#[test]
fn v11_the_order_of_walkers_does_not_matter() {
    let a: Vec<f64> = (0..1000).map(|i| 30.0 * f64::from(i * 379 % 1000) / 1000.0).collect();
    let f: Vec<f64> = a.iter().map(|a| a.sin()).collect();
    let reversed = |v: &[f64]| v.iter().rev().copied().collect::<Vec<_>>();
    let (one, two) = (LogWeights::new(a.clone()), LogWeights::new(reversed(&a)));
    let bound = 1000.0 * f64::EPSILON * 30.0; // two orders of the same sums
    assert!((one.log_mean_exp().value - two.log_mean_exp().value).abs() < bound);
    assert!((one.ess() - two.ess()).abs() < bound * one.ess());
    assert!((one.mean(&f).value - two.mean(&reversed(&f)).value).abs() < bound);
}
