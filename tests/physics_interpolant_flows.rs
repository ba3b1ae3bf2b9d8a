//! Flows and diffusions of known fields: maps, their invariance, densities, marginals of the SDEs.
mod common;
mod interpolant_support;

use ergodic::autodiff::Trace;
use ergodic::dynamics::ode::{Adaptive, FixedStep, Grid, Method, Rates, Tolerance, with_log_density};
use ergodic::gpu::Gpu;
use ergodic::graph::Graph;
use ergodic::methods::interpolant::{Gamma, GaussianMixture, MixturePath, Schedule};
use ergodic::random::RngKey;
use interpolant_support::*;

/// Where the ODE of a path carries these points, by equal steps.
fn carried(gpu: &Gpu, path: &MixturePath, x: &[f64], method: Method, grid: Grid) -> Vec<f64> {
    let g = Graph::new();
    let (d, theta) = (path.d(), theta(&g, path));
    let solver =
        FixedStep::new(gpu, g.input("x", [x.len() / d, d]), method, |t, x| velocity(path, theta, t, x)).unwrap();
    assert!(solver.report().loops_over_steps());
    read(solver.bind("theta", &parameters(gpu, path)).solve(&tensor(gpu, x, d), grid).unwrap().points().unwrap())
}

const STARTS: [f64; 5] = [-3.5, -3.0, -2.5, 2.8, 3.4];
const ENDS: [f64; 5] = [-6.504030, -5.523064, -0.366009, 4.498651, 6.335103];

#[test]
fn every_path_has_the_map_that_keeps_order() {
    for (x0, x1) in STARTS.into_iter().zip(ENDS) {
        assert!((two_modes().map_to(&three_modes(), x0).unwrap() - x1).abs() < 0.6e-6);
    }
    let gpu = common::gpu();
    for (name, schedule) in schedules() {
        let path = one_dimensional(schedule);
        let there = carried(&gpu, &path, &STARTS, Method::Rk4, Grid::new(0.0, 1.0, 1000));
        let back = carried(&gpu, &path, &ENDS, Method::Rk4, Grid::new(1.0, 0.0, 1000));
        for k in 0..STARTS.len() {
            // Rounding of 1000 steps adds up to 16 eps |x| as a random walk, and the stiffest way here stretches it tenfold.
            let bound = |x: f64| 160.0 * EPS * x.abs().max(1.0) + 1e-6;
            assert!((there[k] - ENDS[k]).abs() < 2.0 * bound(ENDS[k]), "{name}: {} {}", there[k], ENDS[k]);
            assert!((back[k] - STARTS[k]).abs() < 2.0 * bound(STARTS[k]), "{name} back: {} {}", back[k], STARTS[k]);
        }
    }
}

#[test]
fn adaptive_steps_find_the_map_with_fewer_evaluations() {
    let gpu = common::gpu();
    for (name, schedule) in schedules() {
        let path = one_dimensional(schedule);
        let (g, tolerance) = (Graph::new(), Tolerance::new(1e-6, 1e-6));
        let theta = theta(&g, &path);
        let field = |t, x| Ok(Rates::of(path.fields(theta, t, x)?.b));
        let solver = Adaptive::new(&gpu, g.input("x", [5, 1]), tolerance, field).unwrap();
        let solver = solver.bind("theta", &parameters(&gpu, &path));
        let end = solver.solve(&tensor(&gpu, &STARTS, 1), (0.0, 1.0)).unwrap();
        let used = end.statistics();
        for (got, want) in read(end.points().unwrap()).into_iter().zip(ENDS) {
            // A step errs by 1e-6 (1 + |x|) at most, in either direction; the stiffest way here stretches that tenfold. On GPUs,
            // whose rounding differs by compiler, the errors of all steps are allowed to add up as a random walk.
            let walk = if gpu.caps().is_software() { 1.0 } else { f64::from(used.accepted).sqrt() };
            let bound = 1e-5 * (1.0 + want.abs()) * walk;
            assert!((got - want).abs() < bound, "{name}: {got} {want} {used:?}");
        }
        // A tenth of the 4000 that equal steps take above; 212 to 296 were counted.
        assert!(used.evaluations < 400, "{name} {used:?}");
    }
}

/// `1/2 N(+-2, 0.25)`.
fn near_modes() -> GaussianMixture {
    GaussianMixture::isotropic(&[0.5, 0.5], &[vec![-2.0], vec![2.0]], &[0.25, 0.25]).unwrap()
}

fn from_normal(schedule: Schedule, end: &GaussianMixture) -> MixturePath {
    MixturePath::between(schedule, GaussianMixture::normal(end.d()).unwrap(), end.clone()).unwrap()
}

#[test]
fn maps_from_the_normal_have_their_known_values_to_fourth_order() {
    let (starts, ends) = ([-1.0, -0.2, 0.1, 0.7, 2.0], [-2.237616, -1.499719, 1.296304, 2.020150, 2.845071]);
    let gpu = common::gpu();
    for schedule in [Schedule::Trig { gamma: Gamma::Zero }, linear(Gamma::Zero)] {
        let path = from_normal(schedule, &near_modes());
        let error = |steps| {
            let got = carried(&gpu, &path, &starts, Method::Rk4, Grid::new(0.0, 1.0, steps));
            got.iter().zip(ends).map(|(got, want)| (got - want).abs()).fold(0.0, f64::max)
        };
        assert!(error(400) < 1e-5, "{schedule:?}: {:e}", error(400));
        // From 8 to 16 steps errors are above rounding still, and fall 16 times; the next order is a factor of 2 more or less.
        let slope = (error(16) / error(32)).log2();
        assert!((3.0..5.5).contains(&slope), "{schedule:?}: {slope} {:e} {:e}", error(16), error(32));
    }
}

#[test]
fn paths_without_noise_and_one_sided_paths_share_one_map() {
    // A mixture in the plane: whatever the weights of the ends, only their ratio matters.
    let end = GaussianMixture::new(
        &[0.6, 0.4],
        &[vec![1.5, 0.0], vec![-1.0, 1.0]],
        &[vec![0.3, 0.1, 0.1, 0.4], vec![0.5, -0.2, -0.2, 0.3]],
    )
    .unwrap();
    let (gpu, grid) = (common::gpu(), Grid::new(0.0, 1.0, 400));
    let starts = [0.3, -0.2, -1.0, 0.5, 1.2, 1.1, 0.0, 0.0];
    let linear = carried(&gpu, &from_normal(linear(Gamma::Zero), &end), &starts, Method::Rk4, grid);
    let trig = carried(&gpu, &from_normal(Schedule::Trig { gamma: Gamma::Zero }, &end), &starts, Method::Rk4, grid);
    let one_sided = |schedule| MixturePath::to(schedule, end.clone()).unwrap();
    let of_one = [Schedule::OneSidedLinear, Schedule::OneSidedTrig]
        .map(|schedule| carried(&gpu, &one_sided(schedule), &starts, Method::Rk4, grid));
    // Beside a normal base noise is more of the same base.
    let noisy = carried(&gpu, &from_normal(Schedule::Linear { gamma: root(2.0) }, &end), &starts, Method::Rk4, grid);
    for other in [&trig, &of_one[0], &of_one[1], &noisy] {
        for (a, b) in linear.iter().zip(other) {
            assert!((a - b).abs() < 400.0 * EPS * 2.0, "{a} {b}"); // an ulp a step each
        }
    }
    // The variance preserving path is infinitely steep at its end, where equal steps lose an order: stop before.
    let vp = carried(&gpu, &one_sided(Schedule::OneSidedVp), &starts, Method::Rk4, Grid::new(0.0, 1.0, 4000));
    for (a, b) in linear.iter().zip(&vp) {
        assert!((a - b).abs() < 2e-3, "{a} {b}");
    }
    // The control: beside another base noise is another direction, and the map another map.
    let from = |gamma| MixturePath::between(Schedule::Linear { gamma }, gaussian(C0), end.clone()).unwrap();
    let [plain, noisy] = [Gamma::Zero, root(2.0)].map(|g| carried(&gpu, &from(g), &starts, Method::Rk4, grid));
    assert!(plain.iter().zip(&noisy).any(|(a, b)| (a - b).abs() > 0.01), "{plain:?} {noisy:?}");
}

/// Covariances that do not commute.
const C0: [f64; 4] = [1.0, 0.6, 0.6, 1.0];
const C1: [f64; 4] = [0.5, -0.2, -0.2, 2.0];

fn gaussian(c: [f64; 4]) -> GaussianMixture {
    GaussianMixture::new(&[1.0], &[vec![0.0, 0.0]], &[c.to_vec()]).unwrap()
}

/// `a b a'` for 2 x 2 matrices.
fn congruent(a: &[f64], b: &[f64; 4]) -> [f64; 4] {
    let row = |i: usize| [a[2 * i], a[2 * i + 1]];
    let entry = |i: usize, j: usize| {
        let (x, y) = (row(i), row(j));
        x[0] * (b[0] * y[0] + b[1] * y[1]) + x[1] * (b[2] * y[0] + b[3] * y[1])
    };
    [entry(0, 0), entry(0, 1), entry(1, 0), entry(1, 1)]
}

#[test]
fn the_flow_between_gaussians_that_do_not_commute_is_the_known_matrix() {
    let gpu = common::gpu();
    let want = [0.845484, -0.301133, -0.843173, 1.748883];
    for schedule in [linear(Gamma::Zero), Schedule::Trig { gamma: Gamma::Zero }] {
        let path = MixturePath::between(schedule, gaussian(C0), gaussian(C1)).unwrap();
        let (g, grid) = (Graph::new(), Grid::new(0.0, 1.0, 200));
        let theta = theta(&g, &path);
        let solver = FixedStep::new(&gpu, g.input("x", [2, 2]), Method::Rk4, |t, x| {
            let rates = velocity(&path, theta, t, x)?;
            with_log_density(rates.velocity, x, Trace::Exact)
        });
        let solver = solver.unwrap().bind("theta", &parameters(&gpu, &path));
        let end = solver.solve(&tensor(&gpu, &[1.0, 0.0, 0.0, 1.0], 2), grid).unwrap();
        let columns = read(end.points().unwrap());
        let matrix = [columns[0], columns[2], columns[1], columns[3]];
        let bound = 200.0 * EPS; // an ulp a step
        for (got, want) in matrix.iter().zip(want) {
            assert!((got - want).abs() < bound, "{schedule:?}: {matrix:?}");
        }
        for (got, want) in congruent(&matrix, &C0).iter().zip(C1) {
            assert!((got - want).abs() < 8.0 * bound, "{schedule:?}: {matrix:?}");
        }
        for change in end.integral(0).unwrap() {
            assert!((change + 0.202733).abs() < bound, "{schedule:?}: {change}");
        }
        let off = [matrix[0] - 1.0, matrix[1], matrix[2], matrix[3] - 1.0];
        let moved = congruent(&off, &C0);
        assert!((moved[0] + moved[3] - 0.684434).abs() < 16.0 * bound, "{moved:?}");
    }
}

/// `int_0^1 E|v|^2 dt` of a linear velocity `v = K x` between centred Gaussians in the plane, by Simpson's rule.
fn gaussian_energy(path: &MixturePath) -> f64 {
    let energy = |t: f64| {
        let [a, b] = [path.at(t, &[1.0, 0.0]).unwrap().v, path.at(t, &[0.0, 1.0]).unwrap().v];
        let covariance: [f64; 4] = path.marginal(t).unwrap().mode_covariance(0).try_into().unwrap();
        let spread = congruent(&[a[0], b[0], a[1], b[1]], &covariance);
        spread[0] + spread[3]
    };
    simpson(200, energy)
}

fn simpson(n: u32, f: impl Fn(f64) -> f64) -> f64 {
    let weight = |k: u32| if k == 0 || k == n { 1.0 } else { 2.0 + 2.0 * f64::from(k % 2) };
    (0..=n).map(|k| weight(k) * f(f64::from(k) / f64::from(n))).sum::<f64>() / f64::from(3 * n)
}

#[test]
fn paths_have_their_known_lengths() {
    let trig = Schedule::Trig { gamma: Gamma::Zero };
    let plane = |schedule| MixturePath::between(schedule, gaussian(C0), gaussian(C1)).unwrap();
    assert!((gaussian_energy(&plane(trig)) - 0.844386).abs() < 0.6e-6);
    assert!((gaussian_energy(&plane(linear(Gamma::Zero))) - 1.503261).abs() < 0.6e-6);
    // E|v|^2 in one dimension: Simpson in time, the trapezoid rule in space, 12 deviations wide.
    let energy = |path: &MixturePath| {
        simpson(100, |t| {
            let marginal = path.marginal(t).unwrap();
            let (mean, sd) = (marginal.mean()[0], marginal.covariance()[0].sqrt());
            let h = sd / 50.0;
            let term = |k: i32| {
                let at = path.at(t, &[mean + h * f64::from(k)]).unwrap();
                at.log_density.exp() * at.v[0].powi(2)
            };
            (-600..=600).map(term).sum::<f64>() * h
        })
    };
    let one = |sd: f64, m2: f64| GaussianMixture::isotropic(&[1.0], &[vec![m2.sqrt()]], &[sd * sd]).unwrap();
    for (sd, m2, by_trig, by_line) in [
        (2.0, 0.0, 1.233701, 1.858407),
        (0.5, 4.0, 5.243227, 4.464602),
        (1.0, 4.0, 4.934802, 4.429204),
        (3.0, 9.0, 16.038107, 14.287611),
    ] {
        let got = (energy(&from_normal(trig, &one(sd, m2))), energy(&from_normal(linear(Gamma::Zero), &one(sd, m2))));
        assert!((got.0 - by_trig).abs() < 1e-6 && (got.1 - by_line).abs() < 1e-6, "{sd} {m2}: {got:?}");
    }
    let got = (energy(&from_normal(trig, &near_modes())), energy(&from_normal(linear(Gamma::Zero), &near_modes())));
    assert!((got.0 - 2.125092).abs() < 1e-6 && (got.1 - 2.479535).abs() < 1e-6, "{got:?}");
    assert!((near_modes().entropy().unwrap() - 1.418845).abs() < 0.6e-6);
}

/// `log rho(1, x)` by the ODE backwards and the density of the start.
fn log_density_by_ode(gpu: &Gpu, path: &MixturePath, x: &[f64]) -> Vec<f64> {
    let g = Graph::new();
    let theta = theta(&g, path);
    let solver = FixedStep::new(gpu, g.input("x", [x.len(), 1]), Method::Rk4, |t, x| {
        with_log_density(velocity(path, theta, t, x)?.velocity, x, Trace::Exact)
    });
    let solver = solver.unwrap().bind("theta", &parameters(gpu, path));
    let end = solver.solve(&tensor(gpu, x, 1), Grid::new(1.0, 0.0, 1000)).unwrap();
    let change = end.integral(0).unwrap();
    let starts = read(end.points().unwrap());
    starts.iter().zip(change).map(|(x0, change)| path.start().log_density(&[*x0]) - change).collect()
}

#[test]
fn the_ode_gives_the_log_density_and_the_entropy() {
    let gpu = common::gpu();
    for (name, schedule) in schedules() {
        let path = one_dimensional(schedule);
        let points = [-6.0, -3.0, 0.0, 2.0, 6.0];
        for (x, got) in points.iter().zip(log_density_by_ode(&gpu, &path, &points)) {
            let want = three_modes().log_density(&[*x]);
            // As for the map: rounding of 1000 steps as a random walk, stretched tenfold on the stiffest way.
            assert!((got - want).abs() < 160.0 * EPS * (1.0 + want.abs()), "{name} {x}: {got} {want}");
        }
    }
    let draws: Vec<_> = three_modes().sample(4000, RngKey::new(2)).into_iter().map(f64::from).collect();
    let logs = log_density_by_ode(&gpu, &one_dimensional(linear(root(1.0))), &draws);
    let mean = -logs.iter().sum::<f64>() / 4000.0;
    let se = (logs.iter().map(|l| (l + mean).powi(2)).sum::<f64>() / 4000f64.powi(2)).sqrt();
    assert!((mean - 2.101719).abs() < 4.0 * se, "{mean} {se}");
}

#[test]
fn the_density_of_a_flow_has_mass_one() {
    let (gpu, n) = (common::gpu(), 2001);
    let path = one_dimensional(linear(root(1.0)));
    let (low, h) = (-11.0, 0.011);
    let grid: Vec<_> = (0..n).map(|k| low + h * f64::from(k)).collect();
    let mass = log_density_by_ode(&gpu, &path, &grid).iter().map(|l| l.exp()).sum::<f64>() * h;
    // The trapezoid rule is exact here; points are rounded to f32, and each density to the bound of the log-density.
    assert!((mass - 1.0).abs() < 160.0 * EPS * 3.0, "{mass}");
}

#[test]
fn moving_and_widening_both_ends_moves_and_widens_the_flow() {
    let (gpu, scale, shift) = (common::gpu(), 1.7, 0.6);
    let changed = |m: GaussianMixture| {
        let means: Vec<_> = (0..m.n_modes()).map(|k| vec![scale * m.mode_mean(k)[0] + shift]).collect();
        let variances: Vec<_> = (0..m.n_modes()).map(|k| scale * scale * m.mode_covariance(k)[0]).collect();
        GaussianMixture::isotropic(m.weights(), &means, &variances).unwrap()
    };
    let trig = Schedule::Trig { gamma: Gamma::Zero };
    // A quarter turn moves a common shift: only the linear path, whose weights sum to 1, takes shifts along.
    let path = MixturePath::between(linear(Gamma::Zero), changed(two_modes()), changed(three_modes())).unwrap();
    let grid = Grid::new(0.0, 1.0, 1000);
    let plain = carried(&gpu, &one_dimensional(linear(Gamma::Zero)), &STARTS, Method::Rk4, grid);
    let moved = carried(&gpu, &path, &STARTS.map(|x| scale * x + shift), Method::Rk4, grid);
    for (a, b) in plain.iter().zip(&moved) {
        assert!((scale * a + shift - b).abs() < 2.0 * 160.0 * EPS * 12.0, "{a} {b}");
    }
    // At inner times a shift of both ends shows on the quarter turn, by (alpha + beta - 1) of it.
    let still = MixturePath::between(trig, changed(two_modes()), changed(three_modes())).unwrap();
    let mean = still.marginal(0.5).unwrap().mean()[0] - scale * one_dimensional(trig).marginal(0.5).unwrap().mean()[0];
    assert!((mean - shift * 2f64.sqrt()).abs() < 1e-12);
    let logs = log_density_by_ode(&gpu, &path, &[1.7 * 6.0 + 0.6]);
    assert!((logs[0] + f64::ln(scale) - three_modes().log_density(&[6.0])).abs() < 160.0 * EPS * 3.0, "{logs:?}");
}
