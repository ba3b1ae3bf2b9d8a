//! Laws of resampling: no scheme changes an average, systematic offspring are floor or ceiling, `log Z` does not jump.

mod gaussian_path;
mod walkers;

use ergodic::dynamics::compensated::reference;
use ergodic::dynamics::langevin;
use ergodic::dynamics::resample::reference::{ancestors as twin, offspring};
use ergodic::dynamics::resample::{Resampling, Scheme, Weighted, ancestors};
use ergodic::dynamics::{Compensated, EndPoint, Estimate, LogWeights, Proposal, Summary};
use ergodic::graph::{DType, Feeds, Graph};
use ergodic::random::RngKey;
use gaussian_path::{Rule, Wells};
use walkers::{Backend, at_next_step, device, iterate, state};

const SCHEMES: [Scheme; 4] = [Scheme::Multinomial, Scheme::Stratified, Scheme::Residual, Scheme::Systematic];

/// Relative weights over six orders of magnitude, the last and every seventh of them zero; the largest is 1.
fn weights(n: usize, seed: u64) -> Vec<f64> {
    let key = RngKey::new(seed);
    let one = |i: usize| (14.0 * f64::from(key.uniform(i as u32, 0, 0)) - 14.0).exp();
    (0..n)
        .map(|i| {
            if n > 1 && (i + 1 == n || i % 7 == 6) {
                0.0
            } else if i == 0 {
                1.0
            } else {
                one(i)
            }
        })
        .collect()
}

fn uniforms(n: usize, seed: u64) -> Vec<f64> {
    let key = RngKey::new(seed).fold_in(1);
    (0..n).map(|i| f64::from(key.uniform(i as u32, 0, 0))).collect()
}

fn normalised(w: &[f64]) -> Vec<f64> {
    let total: f64 = w.iter().sum();
    w.iter().map(|w| w / total).collect()
}

#[test]
fn v6_the_graph_of_every_scheme_is_its_definition() {
    for (n, seed) in [(1, 1), (2, 2), (7, 3), (64, 4), (1009, 5)] {
        for scheme in SCHEMES {
            let g = Graph::new();
            let shape = if scheme == Scheme::Systematic { vec![] } else { vec![n] };
            let draws = uniforms(if scheme == Scheme::Systematic { 1 } else { n }, seed);
            let drawn = ancestors(scheme, g.input("w", [n]), g.input("u", shape));
            let w = weights(n, seed);
            let got = g.eval_f64(&[drawn], &Feeds::new().tensor("w", &w[..]).tensor("u", &draws[..])).unwrap();
            let want: Vec<_> = twin(scheme, &w, &draws).into_iter().map(f64::from).collect();
            assert_eq!(got[0].data, want, "{scheme:?}, {n} walkers");
        }
    }
}

#[test]
fn v6_equal_weights_keep_every_walker_once_unless_multinomial() {
    for scheme in [Scheme::Stratified, Scheme::Residual, Scheme::Systematic] {
        let counts = offspring(&twin(scheme, &[1.0; 64], &uniforms(64, 1)), 64);
        assert_eq!(counts, [1; 64], "{scheme:?}");
    }
    assert_ne!(offspring(&twin(Scheme::Multinomial, &[1.0; 64], &uniforms(64, 1)), 64), [1; 64]);
}

/// Counts of offspring of the device or of f64, summed over `rounds` draws.
fn counts(backend: &Backend, scheme: Scheme, w: &[f64], rounds: u64) -> Vec<f64> {
    let (g, n) = (Graph::new(), w.len());
    let drawn = ancestors(scheme, g.input("w", [n]), scheme.uniforms(g.key("noise"), n));
    let counts = g.input("counts", [n]) + g.full(1.0, [n]).scatter_add(drawn, n);
    let narrow: Vec<_> = w.iter().map(|&w| w as f32).collect();
    let states = [state("counts", g.full(0.0, [n]), counts)];
    let mut end = iterate(backend, &[("w", narrow)], RngKey::new(8), &states, &[], rounds);
    end.remove("counts").unwrap()
}

#[test]
fn v6_no_scheme_changes_the_mean_number_of_offspring() {
    for (backend, rounds) in [(Backend::F64, 10_000), (device(), 500)] {
        let w = weights(24, 6);
        for scheme in SCHEMES {
            let counts = counts(&backend, scheme, &w, rounds);
            assert_eq!(counts.iter().sum::<f64>(), (24 * rounds) as f64, "{scheme:?} loses walkers");
            for (count, p) in counts.iter().zip(normalised(&w)) {
                let (mean, expected) = (count / rounds as f64, 24.0 * p);
                // Variance at most Np: 4 standard errors of the multinomial, more of the others; 5 counts where next to none
                // are expected and the distribution is Poisson's.
                let bound = 4.0 * (expected / rounds as f64).sqrt() + 5.0 / rounds as f64;
                assert!((mean - expected).abs() <= bound, "{scheme:?}: {mean} of {expected}");
            }
        }
    }
}

#[test]
fn v6_systematic_offspring_are_floor_or_ceiling() {
    for (backend, n) in [(Backend::F64, 5000), (device(), 20_000)] {
        // Without slack, in f64: no quota here is nearly whole. `tests/kernel_apportion.rs` judges in exact integers.
        let w: Vec<_> = weights(n, 7).iter().map(|&w| f64::from(w as f32)).collect();
        let p = normalised(&w);
        let breaks = |scheme| {
            let counts = counts(&backend, scheme, &w, 1);
            let allowed = |c: f64, e: f64| e.floor() <= c && c <= e.ceil();
            counts.iter().zip(&p).filter(|(c, p)| !allowed(**c, n as f64 * **p)).count()
        };
        assert_eq!(breaks(Scheme::Systematic), 0);
        // The control: independent points scatter further.
        assert!(breaks(Scheme::Multinomial) > n / 100);
    }
}

#[test]
fn v6_running_sums_keep_what_rounding_drops() {
    let (g, n) = (Graph::new(), 1_000_000);
    let sums = g.input("w", [n]).cumsum(0);
    let end = iterate(&device(), &[("w", vec![0.1; n])], RngKey::new(0), &[], &[("sums", sums)], 1);
    for (sum, terms) in end["sums"].iter().zip(1..) {
        let exact = f64::from(terms) * f64::from(0.1f32);
        // Rounded once. A plain running sum, or a driver that simplifies (a + b) - a, is off by 5e-5.
        assert!((sum / exact - 1.0).abs() < 2f64.powi(-23), "{terms} terms: {sum}, exact {exact}");
    }
}

#[test]
fn v6_log_z_is_continuous_where_all_weights_become_equal() {
    let n = 10_007;
    for backend in [Backend::F64, device()] {
        for offset in [0.0f32, 300.0, -5000.0] {
            let g = Graph::new();
            let a = Compensated { high: g.input("high", [n]), low: g.input("low", [n]) };
            let before = Weighted { log_weights: a, ..Weighted::equal(&g, n) };
            let rule = Resampling { scheme: Scheme::Systematic, ess_below: 0.999 };
            let after = before.resample_if(rule, g.key("noise")).weights;
            let draw = RngKey::new(9);
            let sum = |i| reference::plus((offset, 0.0), 2.0 * draw.normal(i, 0, 0));
            let (high, low): (Vec<_>, Vec<_>) = (0..n as u32).map(sum).unzip();
            let want = LogWeights::from_parts(&high, &low);
            let outputs = [
                ("log_z0", after.log_z0.high),
                ("log_z0.low", after.log_z0.low),
                ("var", after.log_z0_var),
                ("a", after.log_weights.high),
                ("count", after.resamplings),
            ];
            let got = iterate(&backend, &[("high", high), ("low", low)], RngKey::new(10), &[], &outputs, 1);
            let log_z0 = got["log_z0"][0] + got["log_z0.low"][0];
            let error = (log_z0 - want.log_mean_exp().value).abs();
            assert!(error < 1e-6, "log Z jumps by {error:e} at {offset}");
            assert!((got["var"][0] / (want.cv2() / n as f64) - 1.0).abs() < 1e-4); // n terms of f32 rounding
            assert!(got["a"].iter().all(|&a| a == 0.0) && got["count"] == [1.0]);
        }
    }
}

#[test]
fn v6_weights_above_the_threshold_change_nothing() {
    let (g, n) = (Graph::new(), 100);
    let a = Compensated { high: g.input("a", [n]), low: g.full(0.0, [n]) };
    let weighted = Weighted { log_weights: a, ..Weighted::equal(&g, n) };
    let rule = |ess_below| Resampling { scheme: Scheme::default(), ess_below };
    let a: Vec<_> = weights(n, 11).iter().map(|w| 0.5 * w).collect();
    let feeds = Feeds::new().key("noise", RngKey::new(1)).tensor("a", &a[..]);
    let ess = LogWeights::new(a.clone()).ess_fraction();
    for (threshold, happens) in [(ess - 1e-9, false), (ess + 1e-9, true)] {
        let after = weighted.resample_if(rule(threshold), g.key("noise"));
        let outputs = [after.ancestors, after.happened.cast(DType::U32), after.weights.log_weights.high];
        let got = g.eval_f64(&outputs, &feeds).unwrap();
        assert_eq!(got[1].data, [f64::from(u8::from(happens))]);
        assert_eq!(got[0].data.iter().enumerate().all(|(i, &j)| i as f64 == j), !happens);
        assert_eq!(got[2].data == a, !happens);
    }
}

/// The quadratic protocol with resampling: log Z through all events, log Z that forgets them, and how many there were.
fn resampled(backend: &Backend, wells: &Wells, n: usize, rule: Resampling) -> (Estimate, f64, f64) {
    let (g, d, rows) = (Graph::new(), wells.d, wells.omega.len());
    let omega = g.input("omega", [rows]);
    let key = g.key("noise");
    let x0 = key.fold_in(1).normal([n, d]) * omega.at_step().rsqrt();
    let start = EndPoint::of(|x| x.square().sum(1) * 0.5 * omega.at_step(), x0).unwrap();
    let from = EndPoint { x: g.input("x", [n, d]), u: g.input("u", [n]), grad: g.input("grad", [n, d]) };
    let proposal = Proposal::new(&g, wells.h);
    let stiffness = at_next_step(&g, omega);
    let moved = langevin::ula(from, &proposal, key.normal([n, d]), |x| x.square().sum(1) * 0.5 * stiffness).unwrap();
    let before = Weighted {
        log_weights: Compensated::input(&g, "a", [n]),
        log_z0: Compensated::input(&g, "z", []),
        log_z0_var: g.input("var", []),
        resamplings: g.input_of("count", [], DType::U32),
    };
    let done = before.gain(moved.gain).resample_if(rule, key.fold_in(2));
    let (to, after, equal) = (done.points(moved.to), done.weights, Weighted::equal(&g, n));
    let states = [
        state("x", start.x, to.x),
        state("u", start.u, to.u),
        state("grad", start.grad, to.grad),
        state("a", equal.log_weights.high, after.log_weights.high),
        state("a.low", equal.log_weights.low, after.log_weights.low),
        state("z", equal.log_z0.high, after.log_z0.high),
        state("z.low", equal.log_z0.low, after.log_z0.low),
        state("var", equal.log_z0_var, after.log_z0_var),
        state("count", equal.resamplings, after.resamplings),
    ];
    let tables = [("omega", wells.omega.iter().map(|&v| v as f32).collect())];
    let outputs = [("log_z", after.log_z()), ("ess", Summary::of(after.log_weights).ess_fraction())];
    let end = iterate(backend, &tables, RngKey::new(21), &states, &outputs, wells.steps() as u64);
    let a = end["a"].iter().zip(&end["a.low"]).map(|(h, l)| h + l).collect();
    let log_z0 = Estimate { value: end["z"][0] + end["z.low"][0], se: end["var"][0].sqrt() };
    let weights = LogWeights::new(a).with_log_z0(log_z0);
    // The graph's own figures, in f32.
    assert!((end["log_z"][0] - weights.log_z().value).abs() < 1e-5);
    assert!((end["ess"][0] / weights.ess_fraction() - 1.0).abs() < 1e-4);
    (weights.log_z(), weights.log_mean_exp().value, end["count"][0])
}

#[test]
fn v6_free_energies_survive_resampling() {
    let wells = Wells::linear(50, 0.1, 4, (1.0, 4.0), (0.0, 0.0));
    for backend in [Backend::F64, device()] {
        let n = if matches!(backend, Backend::F64) { 1500 } else { 20_000 };
        for scheme in SCHEMES {
            let (log_z, forgetful, events) = resampled(&backend, &wells, n, Resampling { scheme, ess_below: 0.8 });
            assert!(events >= 1.0, "{scheme:?}: nothing happened");
            // The reported error leaves out that copies resemble each other: up to twice the exact one without events.
            let se = 2.0 * wells.se(Rule::Exact, n);
            let error = (log_z.value - wells.log_z()).abs();
            assert!(error < 4.0 * se, "{scheme:?}: {log_z} of {:.3} after {events} events", wells.log_z());
            assert!(log_z.se < se && log_z.se > 0.2 * se, "{scheme:?}: error bar {}", log_z.se);
            assert!((forgetful - wells.log_z()).abs() > 10.0 * se, "{scheme:?}: forgetting the past must show");
        }
    }
}
