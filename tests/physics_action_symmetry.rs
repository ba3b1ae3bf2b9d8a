//! Paths of least action that have fewer symmetries than their ends: known barriers and known bifurcations.
mod common;

use common::gpu;
use ergodic::Error;
use ergodic::methods::action::{
    Climb, Climber, GinzburgLandau, MaierStein, Model, Path, PathOptions, Schloegl, System,
};

const HELD: PathOptions = PathOptions { nodes: 101, max_steps: 2000, tolerance: 1e-6, free_end: false, aside: 0.0 };
const FREED: PathOptions = PathOptions { aside: 0.1, ..HELD };

/// Off the axis from `beta = 4` on (Maier and Stein, J. Stat. Phys. 83, 291 (1996)).
const BARRIERS: [(f64, f64); 3] = [(1.0, 0.5), (6.0, 0.4523427), (10.0, 0.3400414)];

#[test]
fn maier_and_steins_path_leaves_the_axis_by_itself() {
    for (beta, want) in BARRIERS {
        let model = Model::new(&MaierStein, &[beta, 1.0]).unwrap();
        let climb = |options| model.climb(&[-1.0, 0.0], &[0.0, 0.0], options).unwrap();
        let (held, freed) = (climb(&HELD), climb(&FREED));
        // Along the axis the field is a gradient. A tenth of Richardson's step, and the last digit of what is known.
        assert!((held.value - 0.5).abs() < 0.1 * held.error, "beta {beta}: {}", held.value);
        assert!((freed.value - want).abs() < 0.1 * freed.error + 1e-7, "beta {beta}: {}", freed.value);
        assert!(freed.converged());
    }
}

#[test]
fn a_device_finds_the_same_for_all_points_together() {
    let (gpu, straight) = (gpu(), Path::straight(&[-1.0, 0.0], &[0.0, 0.0], 101).unwrap());
    let jobs = BARRIERS.map(|(beta, _)| (Model::new(&MaierStein, &[beta, 1.0]).unwrap(), straight.clone()));
    let found = Climber::new(&gpu, &MaierStein, 2, 101).unwrap().climb(&jobs, &FREED).unwrap();
    for ((beta, want), climb) in BARRIERS.iter().zip(found) {
        // `n eps max |theta| |d phi|` of a coarse path in f32.
        let floor = 101.0 * f64::from(f32::EPSILON);
        assert!((climb.value - want).abs() < 0.1 * climb.error + floor, "beta {beta}: {}", climb.value);
    }
}

/// Whether the uniform path between two uniform states of the network is a minimum for waves whose hops decay at `D mu`.
///
/// Along it the second derivative `w` of the quasipotential in the amplitude of such a wave solves a Riccati equation, from its
/// value at the attractor on. The path is a minimum if `w` is positive at the saddle; from below 0 it goes to minus infinity there,
/// which is a conjugate point.
fn uniform_is_minimal(from: f64, hops: f64) -> bool {
    let [k0, k1, k2, k3] = Schloegl::RATES;
    let (gain, loss) = (|r: f64| k0 + k2 * r * r, |r: f64| k1 * r + k3 * r * r * r);
    // H per site in quadratic order: H_rr/2 x^2 + (H_rt - D mu) x p + (H_tt + 2 D r mu)/2 p^2, at e^theta = loss/gain.
    let slope = |r: f64, w: f64| {
        let e = loss(r) / gain(r);
        let curved = 2.0 * k2 * (e - 1.0) + 6.0 * k3 * r * (1.0 / e - 1.0);
        let rate = 2.0 * k2 * r * e - (k1 + 3.0 * k3 * r * r) / e - hops;
        let noise = gain(r) * e + loss(r) / e + 2.0 * hops * r;
        let uphill = loss(r) - gain(r);
        (-(curved + 2.0 * rate * w + noise * w * w) / uphill, -2.0 * rate / noise)
    };
    const STEPS: usize = 20_000;
    // Both ends are critical points, at which nothing moves.
    let (first, last) = (from + 1e-3 * (1.0 - from), 1.0 - 1e-3 * (1.0 - from));
    let h = (last - first) / STEPS as f64;
    let (_, mut w) = slope(from + 1e-9 * (1.0 - from), 0.0);
    for i in 0..STEPS {
        let r = first + h * i as f64;
        let (a, _) = slope(r, w);
        let (b, _) = slope(r + 0.5 * h, w + 0.5 * h * a);
        let (c, _) = slope(r + 0.5 * h, w + 0.5 * h * b);
        let (d, _) = slope(r + h, w + h * c);
        w += h / 6.0 * (a + 2.0 * b + 2.0 * c + d);
        if !w.is_finite() || w < -1e3 {
            return false;
        }
    }
    w > 0.0
}

fn climb(sites: usize, d: f64, from: f64, options: &PathOptions) -> Climb {
    let rates = [&[d], &Schloegl::RATES[..]].concat();
    let system = Schloegl::new(sites);
    Model::new(&system, &rates).unwrap().climb(&vec![from; sites], &vec![1.0; sites], options).unwrap()
}

#[test]
fn the_uniform_path_of_the_network_is_left_where_its_riccati_equation_says() {
    // Bisection for D mu, well above the .3 at which the saddle itself stops being uniform.
    let (mut left, mut stays) = (0.3, 1.0);
    assert!(!uniform_is_minimal(0.5, left) && uniform_is_minimal(0.5, stays));
    while stays - left > 1e-4 {
        let middle = 0.5 * (left + stays);
        *(if uniform_is_minimal(0.5, middle) { &mut stays } else { &mut left }) = middle;
    }
    assert!((stays - 0.45652).abs() < 2e-4, "{stays}");
    // Down from the high state it never is left while the saddle is uniform.
    assert!(uniform_is_minimal(1.6, 0.3));
    // The slowest wave: mu = 2 - 2 cos(2 pi / n), twice that for two sites, which are neighbours on both sides.
    for (sites, mu) in [(2, 4.0), (8, 2.0 - 2f64.sqrt())] {
        let value = |part: f64, from: f64, options| climb(sites, part * stays / mu, from, options);
        for (part, from, falls) in [(0.85, 0.5, true), (1.1, 0.5, false), (0.85, 1.6, false)] {
            let (held, freed) = (value(part, from, &HELD), value(part, from, &FREED));
            let found = (held.value - freed.value) / held.value;
            assert_eq!(found > 1e-3, falls, "{sites} sites from {from} at {part}: {found:e}");
            // What does not fall comes back to the same.
            assert!(falls || found.abs() < 1e-9, "{sites} sites from {from} at {part}: {found:e}");
        }
    }
}

#[test]
fn what_is_cheaper_than_the_uniform_path_is_so_at_any_resolution_and_by_another_solver() {
    let (system, rates) = (Schloegl::new(2), [&[0.08], &Schloegl::RATES[..]].concat());
    let model = Model::new(&system, &rates).unwrap();
    let freed = model.climb(&[0.5; 2], &[1.0; 2], &FREED).unwrap();
    // Every path costs at least the quasipotential: no descent is needed to see that this one is below 2 .0072716571.
    let uniform = 2.0 * 0.0072716571;
    for n in [51, 401, 1601] {
        let cost = model.action(&freed.path().respaced(n).unwrap()).unwrap();
        assert!(cost < 0.95 * uniform, "{n} nodes: {cost}");
    }
    // The authors' descent and ascent, which shares no formula with the descent but those of the system.
    let aside = |s: f64, x: usize| 0.1 * (std::f64::consts::PI * s).sin() * if x == 0 { 1.0 } else { -1.0 };
    let swept = |n: usize| {
        let start = Path::along(&[0.5; 2], &[1.0; 2], n, aside).unwrap();
        model.sweep(&start, 0.1, 4000).unwrap()
    };
    let (coarse, fine) = (swept(51), swept(101));
    let error = (fine.action - coarse.action).abs();
    assert!((fine.action - freed.value).abs() < error, "{} {} {}", coarse.action, fine.action, freed.value);
    assert!(error < 0.01 * uniform, "{error}");
}

/// The saddle between two uniform states, and how many of the attractors beside it are neither.
fn between(system: &dyn System, parameters: &[f64], ends: (f64, f64)) -> (Vec<f64>, usize) {
    let (model, n) = (Model::new(system, parameters).unwrap(), system.sites());
    let [low, high, saddle] = model.ends(&vec![ends.0; n], &vec![ends.1; n]).unwrap();
    assert_eq!(saddle.index(), 1);
    let beside = model.beside(&saddle).unwrap();
    let is = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-6);
    let others = beside.iter().filter(|p| !is(&p.state, &low.state) && !is(&p.state, &high.state)).count();
    assert!(beside.iter().all(|point| point.index() == 0) && !is(&beside[0].state, &beside[1].state));
    (saddle.state, others)
}

#[test]
fn slow_hops_pin_fronts_and_the_saddle_then_leads_to_a_third_state() {
    let network = |d: f64| between(&Schloegl::new(8), &[&[d], &Schloegl::RATES[..]].concat(), (0.5, 1.6));
    for (d, others) in [(1.0, 0), (0.4, 0), (0.2, 0), (0.1, 1)] {
        assert_eq!(network(d).1, others, "D {d}");
    }
    // Between the nuclei at a site and between two sites there is one that has no symmetry, where both have index 2.
    let (saddle, _) = network(0.15);
    let mirrored = |about: usize| (0..8).map(|x| (saddle[x] - saddle[(about + 8 - x) % 8]).abs()).fold(0.0, f64::max);
    assert!((0..8).all(|about| mirrored(about) > 0.1), "{saddle:?}");
    // Fields: with hops that reach over many sites, and an interface that costs nothing to move.
    assert_eq!(between(&GinzburgLandau::field(32), &[0.005, 0.26, -0.2], (-1.0, 1.0)).1, 0);
    assert_eq!(between(&GinzburgLandau::sites(2), &[0.05, 0.26, 0.0], (-1.0, 1.0)).1, 0);
    let system = GinzburgLandau::sites(2);
    let model = Model::new(&system, &[0.05, 0.26, 0.0]).unwrap();
    let top = model.critical_point(&[0.0, 0.0]).unwrap();
    let refused = model.beside(&top).unwrap_err();
    assert!(matches!(refused, Error::Invalid { what: "a saddle", .. }), "{refused}");
}
