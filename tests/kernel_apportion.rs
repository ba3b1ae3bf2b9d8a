//! Places shared out among weights: each weight owns floor or ceiling of its quota, judged in exact integers.
//!
//! A weight owns `c` of `n` places and has the part `w / S` of the sum: `c` is floor or ceiling of `n w / S` if and only if
//! `|c S - n w| < S`. All are whole multiples of `2^-149`, so no side of this is ever rounded.

mod common;

use ergodic::gpu::{Gpu, Tensor};
use ergodic::graph::{DType, Feeds, Graph, Var};
use ergodic::plan::{Bindings, CompileOptions, Plan, Session, Sums};
use ergodic::random::RngKey;

/// A whole multiple of `2^-149`, below `2^235`: any sum of fewer than `2^54` floats, times fewer than `2^53`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
struct Exact([u64; 6]);

impl Exact {
    fn of(w: f32) -> Self {
        let (mantissa, exponent) = (w.to_bits() & 0x7f_ffff, w.to_bits() >> 23);
        assert!(exponent < 255, "finite and not negative");
        let (digits, shift) = if exponent == 0 { (mantissa, 0) } else { (mantissa | 0x80_0000, exponent - 1) };
        let mut all = [0; 7];
        let wide = u128::from(digits) << (shift % 64);
        (all[shift as usize / 64], all[shift as usize / 64 + 1]) = (wide as u64, (wide >> 64) as u64);
        Exact(std::array::from_fn(|i| all[6 - 1 - i]))
    }

    /// This times `factor` plus another, most significant word first.
    fn times_plus(self, factor: u64, other: Self) -> Self {
        let mut carry = 0u128;
        let mut out = [0; 6];
        for i in (0..6).rev() {
            let word = u128::from(self.0[i]) * u128::from(factor) + u128::from(other.0[i]) + carry;
            (out[i], carry) = (word as u64, word >> 64);
        }
        assert_eq!(carry, 0);
        Exact(out)
    }
}

/// Weights whose number of places is neither floor nor ceiling of their quota.
fn wrong(w: &[f32], owners: &[u32]) -> Vec<usize> {
    let mut counts = vec![0u64; w.len()];
    owners.iter().for_each(|&i| counts[i as usize] += 1);
    let sum = w.iter().fold(Exact::default(), |sum, &w| Exact::of(w).times_plus(1, sum));
    let (none, places) = (Exact::default(), owners.len() as u64);
    let bad = |&i: &usize| {
        let (own, share) = (sum.times_plus(counts[i], none), Exact::of(w[i]).times_plus(places, none));
        own >= share.times_plus(1, sum) || share >= own.times_plus(1, sum)
    };
    (0..w.len()).filter(bad).collect()
}

/// Weights on which sums in f32 fail, or that meet an edge of the kernel.
fn families(n: usize, seed: u64) -> Vec<(&'static str, Vec<f32>)> {
    let key = RngKey::new(seed);
    let uniform = |i: usize, of: u32| key.uniform(i as u32, of, 0);
    let all = |f: &dyn Fn(usize) -> f32| (0..n).map(f).collect::<Vec<f32>>();
    vec![
        ("equal", all(&|_| 0.1)),
        ("one dominates", all(&|i| if i == n / 3 { 1.0 } else { 1e-7 * uniform(i, 0) })),
        ("one in a thousand", all(&|i| if i % 1000 == 999 || i + 1 == n { 1.0 } else { 1e-9 })),
        ("one alone", all(&|i| if i == n - 1 { 3e-20 } else { 0.0 })),
        ("powers of two", all(&|i| 2f32.powi(-(i as i32 % 50)))),
        ("falling powers of two", all(&|i| 2f32.powi(20 - (i as i32).min(140)))),
        ("thirty decades", all(&|i| 10f32.powf(30.0 * uniform(i, 1) - 15.0))),
        ("zeros at both ends", all(&|i| if (n / 4..n - n / 4).contains(&i) { uniform(i, 2) } else { 0.0 })),
        ("gaps", all(&|i| if i % 1000 < 997 && n > 1000 { 0.0 } else { 1.0 + uniform(i, 3) })),
        ("two far apart", all(&|i| if i == 5 % n || i + 5 == n { 1.0 } else { 0.0 })),
        ("whole quotas", all(&|i| [0.75, 0.0, 1.5][i % 3])),
        ("a last digit from equal", all(&|i| if uniform(i, 4) < 0.5 { 1.0 } else { 1.0 + f32::EPSILON })),
        ("exponentials", all(&|i| (6.0 * uniform(i, 5) - 6.0).exp())),
    ]
}

/// From 0 to 1, and the smallest and largest that a draw can give.
const OFFSETS: [f32; 7] = [0.0, f32::MIN_POSITIVE, 5.9604645e-8, 0.3, 0.5, 0.99999994, 1.0];

/// A plan from weights `w [n]` and a number `u` to the owners of places.
struct Shares {
    gpu: Gpu,
    plan: Plan,
    n: usize,
}

impl Shares {
    fn new(gpu: &Gpu, n: usize, owners: impl for<'g> Fn(Var<'g>, Var<'g>) -> Var<'g>) -> Self {
        Self::with(gpu, n, Sums::Auto, owners)
    }

    fn with(gpu: &Gpu, n: usize, sums: Sums, owners: impl for<'g> Fn(Var<'g>, Var<'g>) -> Var<'g>) -> Self {
        let g = Graph::new();
        let owners = owners(g.input("w", [n]), g.input("u", []));
        let options = CompileOptions { sums, ..CompileOptions::labelled("shares") };
        let plan = Plan::compile(gpu, &[("owners", owners)], &options);
        Shares { gpu: gpu.clone(), plan: plan.unwrap_or_else(|error| panic!("{error}")), n }
    }

    fn of(&self, w: &[f32], u: f32) -> Vec<u32> {
        let tensor =
            |name: &str, shape: &[usize], data: &[f32]| Tensor::from_slice(&self.gpu, name, shape, data).unwrap();
        let bindings = Bindings::new().tensor("w", &tensor("w", &[self.n], w)).tensor("u", &tensor("u", &[], &[u]));
        let mut session = Session::new(&self.plan, bindings).unwrap();
        session.run(1).unwrap();
        session.read::<u32>("owners").unwrap().wait().unwrap()
    }
}

#[test]
fn every_share_is_floor_or_ceiling_of_the_quota() {
    // By single invocations, and by teams: on a software adapter neither is what the other adapters do.
    let all = [1, 2, 5, 31, 32, 33, 128, 1009, 4097, 100_003];
    let ways = all.map(|n| (n, Sums::Parts)).into_iter().chain([1, 33, 4097, 100_003].map(|n| (n, Sums::Stages)));
    for (tier, gpu) in common::gpus() {
        for (n, sums) in ways.clone() {
            let shares = Shares::with(&gpu, n, sums, |w, u| w.apportion(n, u));
            for (what, w) in (1..3).flat_map(|seed| families(n, seed)) {
                for u in OFFSETS {
                    let owners = shares.of(&w, u);
                    assert!(owners.is_sorted(), "{what}, {n}, u = {u}, {tier}");
                    let wrong = wrong(&w, &owners);
                    assert!(
                        wrong.is_empty(),
                        "{what}, {n}, u = {u}, {tier}: {} wrong, first {:?}",
                        wrong.len(),
                        wrong[0]
                    );
                }
            }
        }
    }
}

#[test]
fn a_million_shares_and_ten_million_are_floor_or_ceiling() {
    for (n, offsets) in [(1_000_000, &OFFSETS[1..6]), (10_000_019, &OFFSETS[2..3])] {
        let shares = Shares::new(&common::gpu(), n, |w, u| w.apportion(n, u));
        for (what, w) in families(n, 3) {
            for &u in offsets {
                assert_eq!(wrong(&w, &shares.of(&w, u)).first(), None, "{what}, {n}, u = {u}");
            }
        }
    }
}

#[test]
fn fewer_and_more_places_than_weights() {
    for (tier, gpu) in common::gpus() {
        for (n, places) in
            [(1000, 1), (1000, 10), (7, 1009), (1, 5), (300_000, 2), (300_000, 5), (4097, 100), (100, 40_001)]
        {
            let shares = Shares::new(&gpu, n, |w, u| w.apportion(places, u));
            for (what, w) in families(n, 4) {
                let owners = shares.of(&w, 0.7);
                assert_eq!(owners.len(), places);
                assert_eq!(wrong(&w, &owners).first(), None, "{what}, {places} of {n}, {tier}");
            }
        }
    }
}

/// Ancestors by bisection of running sums that are rounded to f32.
fn by_search<'g>(w: Var<'g>, u: Var<'g>) -> Var<'g> {
    let (g, n, sums) = (w.graph(), w.shape().numel(), w.cumsum(0));
    let total = sums.narrow(0, n - 1, 1).sum(0);
    let points = (g.iota(0, [n]).cast(DType::F32) + u) * (total / n as f64);
    sums.search_sorted(points.min(total)).min(n as u32 - 1)
}

#[test] // the control: the same test finds what sums in f32 do
fn running_sums_in_f32_give_wrong_shares() {
    let n = 1_000_000;
    let shares = Shares::new(&common::gpu(), n, by_search);
    for (what, w) in families(n, 3).into_iter().filter(|(what, _)| ["equal", "exponentials"].contains(what)) {
        assert!(wrong(&w, &shares.of(&w, 0.01)).len() > 10, "{what}: the control must find something");
    }
}

#[test]
fn owners_are_those_of_f64() {
    for n in [1, 3, 64, 1009, 4096] {
        for (what, w) in families(n, 5) {
            for each in [false, true] {
                let g = Graph::new();
                let shape = if each { vec![n] } else { vec![] };
                let owners = g.input("w", [n]).apportion(n, g.input("u", &shape[..]));
                let count = if each { n } else { 1 };
                let u: Vec<f32> = (0..count).map(|i| RngKey::new(6).uniform(i as u32, 0, 0)).collect();
                let wide = |x: &[f32]| x.iter().map(|&x| f64::from(x)).collect::<Vec<_>>();
                let want = g.eval_f64(&[owners], &Feeds::new().tensor("w", wide(&w)).tensor("u", wide(&u))).unwrap();
                let gpu = common::gpu();
                let plan = Plan::compile(&gpu, &[("owners", owners)], &CompileOptions::default()).unwrap();
                let tensor = |name: &str, shape: &[usize], x: &[f32]| Tensor::from_slice(&gpu, name, shape, x).unwrap();
                let bindings =
                    Bindings::new().tensor("w", &tensor("w", &[n], &w)).tensor("u", &tensor("u", &shape, &u));
                let mut session = Session::new(&plan, bindings).unwrap();
                session.run(1).unwrap();
                let got = session.read::<u32>("owners").unwrap().wait().unwrap();
                // Boundaries differ by at most the sum of 2 s over quotas, n 2^-29: a draw that near has a chance of n^2 2^-29, and
                // the key is fixed.
                let differ = got.iter().zip(&want[0].data).filter(|(a, b)| f64::from(**a) != **b).count();
                assert_eq!(differ, 0, "{what}, {n}, each {each}");
            }
        }
    }
}

#[test]
fn owners_stay_in_range_whatever_the_weights_are() {
    let n = 1000;
    let shares = Shares::new(&common::gpu(), n, |w, u| w.apportion(n, u));
    for odd in [0.0, -1.0, f32::NAN, f32::INFINITY, f32::MAX, 1e-40] {
        for w in [vec![odd; n], (0..n).map(|i| if i % 7 == 3 { odd } else { 1.0 }).collect()] {
            for u in [f32::NAN, -1.0, 0.5, 2.0] {
                assert!(shares.of(&w, u).iter().all(|&i| (i as usize) < n), "{odd}, {u}");
            }
        }
    }
}
