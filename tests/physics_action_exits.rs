//! Actions beside the master equation that they are the limit of: exit times of two sites, exactly and by simulation.

use ergodic::methods::action::{Model, PathOptions, Schloegl};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// The network with uniform states `LOW`, `MIDDLE` and `HIGH`: barriers of order 1, so that small volumes have rare exits.
const LOW: f64 = 0.1;
const MIDDLE: f64 = 1.0;
const HIGH: f64 = 3.0;
const RATES: [f64; 4] = [LOW * MIDDLE * HIGH, LOW * MIDDLE + MIDDLE * HIGH + HIGH * LOW, LOW + MIDDLE + HIGH, 1.0];

/// Particles on two sites of a ring, each site the other's neighbour on both sides.
struct Particles {
    hops: f64,
    volume: f64,
    /// So many particles are an exit: well beyond the saddle.
    exit: usize,
}

impl Particles {
    fn new(hops: f64, volume: f64) -> Self {
        Particles { hops, volume, exit: (2.0 * (0.6 * MIDDLE + 0.4 * HIGH) * volume).round() as usize }
    }

    fn start(&self) -> [usize; 2] {
        [(LOW * self.volume).round() as usize; 2]
    }

    /// Rates out of a state: a birth, a death and a hop at either site.
    fn moves(&self, [a, b]: [usize; 2]) -> [(f64, [usize; 2]); 6] {
        let [k0, k1, k2, k3] = RATES;
        let v = self.volume;
        let gain = |n: usize| v * (k0 + k2 * (n as f64 / v).powi(2));
        let loss = |n: usize| v * (k1 * (n as f64 / v) + k3 * (n as f64 / v).powi(3));
        // All rates out of an empty site are 0.
        let (fewer, hop) = (|n: usize| n.saturating_sub(1), |n: usize| 2.0 * self.hops * n as f64);
        [
            (gain(a), [a + 1, b]),
            (gain(b), [a, b + 1]),
            (loss(a), [fewer(a), b]),
            (loss(b), [a, fewer(b)]),
            (hop(a), [fewer(a), b + 1]),
            (hop(b), [a + 1, fewer(b)]),
        ]
    }

    /// The mean time to exit: `sum_r w_r(n) (T(n) - T(n + nu_r)) = 1`, eliminated within its band. All entries off the diagonal
    /// are negative and rows sum to 0 or more, so pivots need no search.
    fn mean_time(&self) -> f64 {
        let (m, w) = (self.exit, self.exit + 1);
        // States in rows of constant a: a step changes the place by at most m.
        let place = |[a, b]: [usize; 2]| a * m - a * a.saturating_sub(1) / 2 + b;
        let n = place([m - 1, 0]) + 1;
        let (mut band, mut time) = (vec![0.0; n * (2 * w + 1)], vec![1.0; n]);
        let at = |row: usize, column: usize| row * (2 * w + 1) + w + column - row;
        for state in (0..m).flat_map(|a| (0..m - a).map(move |b| [a, b])) {
            for (rate, to) in self.moves(state) {
                band[at(place(state), place(state))] += rate;
                if to[0] + to[1] < m {
                    band[at(place(state), place(to))] -= rate;
                }
            }
        }
        for k in 0..n {
            let end = (k + w + 1).min(n);
            for row in k + 1..end {
                let factor = band[at(row, k)] / band[at(k, k)];
                if factor != 0.0 {
                    (k..end).for_each(|column| band[at(row, column)] -= factor * band[at(k, column)]);
                    time[row] -= factor * time[k];
                }
            }
        }
        for k in (0..n).rev() {
            let known: f64 = (k + 1..(k + w + 1).min(n)).map(|column| band[at(k, column)] * time[column]).sum();
            time[k] = (time[k] - known) / band[at(k, k)];
        }
        time[place(self.start())]
    }

    /// The time of one exit (Gillespie).
    fn simulated(&self, random: &mut StdRng) -> f64 {
        let (mut state, mut time) = (self.start(), 0.0);
        while state[0] + state[1] < self.exit {
            let moves = self.moves(state);
            let total: f64 = moves.iter().map(|(rate, _)| rate).sum();
            time -= (1.0 - random.random::<f64>()).ln() / total;
            let mut left = random.random::<f64>() * total;
            let chosen = moves.iter().filter(|(rate, _)| *rate > 0.0).find(|(rate, _)| {
                left -= rate;
                left <= 0.0
            });
            state = chosen.map_or(state, |(_, to)| *to);
        }
        time
    }
}

#[test]
fn exits_take_as_long_as_the_master_equation_says() {
    let (particles, mut random) = (Particles::new(0.5, 12.0), StdRng::seed_from_u64(1));
    const EXITS: usize = 400;
    let times: Vec<_> = (0..EXITS).map(|_| particles.simulated(&mut random)).collect();
    let mean = times.iter().sum::<f64>() / EXITS as f64;
    let variance = times.iter().map(|time| (time - mean).powi(2)).sum::<f64>() / (EXITS - 1) as f64;
    let (error, exact) = ((variance / EXITS as f64).sqrt(), particles.mean_time());
    assert!((mean - exact).abs() < 4.0 * error && error < 0.1 * exact, "{mean} +- {error}, exactly {exact}");
}

#[test]
fn exit_times_grow_with_the_volume_by_the_action_of_the_path_that_need_not_be_uniform() {
    let climb = |hops: f64, aside: f64| {
        let (system, rates) = (Schloegl::new(2), [&[hops], &RATES[..]].concat());
        let options = PathOptions { aside, ..PathOptions::default() };
        Model::new(&system, &rates).unwrap().climb(&[LOW; 2], &[MIDDLE; 2], &options).unwrap().value
    };
    // The saddle is uniform for D above .45; the best path is uniform too at the last value only.
    for (hops, is_uniform) in [(0.5, false), (0.6, false), (0.8, false), (1.5, true)] {
        let [few, many] = [30.0, 40.0].map(|volume| Particles::new(hops, volume).mean_time().ln());
        let slope = (many - few) / 10.0;
        let (action, uniform) = (climb(hops, 0.1), climb(hops, 0.0));
        // ln T = volume S + constant + O(1 / volume): the last term changes the slope by some per cent here.
        assert!((slope / action - 1.0).abs() < 0.05, "D {hops}: {slope}, action {action}");
        assert_eq!((slope / uniform - 1.0).abs() < 0.05, is_uniform, "D {hops}: {slope}, uniform {uniform}");
    }
}
