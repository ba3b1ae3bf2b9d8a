//! A Gram matrix, and the resampling of a million walkers.

use super::replay::{Inputs, Replay, first};
use super::{Bed, Case, Figure, Sizes, Workload, noise, wide};
use ergodic::dynamics::resample::{Scheme, ancestors};
use ergodic::dynamics::{Compensated, Summary};
use ergodic::graph::Graph;
use ergodic::plan::Session;
use ergodic::random::RngKey;

/// Rows of the Gram matrix that are compared.
const CHECKED: usize = 4;
const EPS: f64 = f32::EPSILON as f64;
/// Log-weights are uniform in plus or minus this.
const SPREAD: f64 = 3.0;

/// `X X'`.
pub fn gram() -> Workload {
    Workload {
        id: "gram",
        unit: "Gflop",
        target: 0.1,
        sizes: [
            Sizes(&[("n", 2048), ("k", 512), ("steps", 1)]),
            Sizes(&[("n", 512), ("k", 128), ("steps", 1)]),
            Sizes(&[("n", 64), ("k", 32), ("steps", 1)]),
        ],
        units: |sizes| 2e-9 * (sizes.get("n").pow(2) * sizes.get("k") * sizes.get("steps")) as f64,
        build: build_gram,
        score: score_gram,
    }
}

/// Systematic resampling: log of the mean weight, running sum, ancestors, and one float a walker copied from its ancestor.
pub fn resample() -> Workload {
    Workload {
        id: "resample",
        unit: "weight",
        target: 0.7,
        sizes: [
            Sizes(&[("n", 1_000_000), ("steps", 1)]),
            Sizes(&[("n", 20_000), ("steps", 1)]),
            Sizes(&[("n", 1_009), ("steps", 1)]),
        ],
        units: |sizes| (sizes.get("n") * sizes.get("steps")) as f64,
        build: build_resample,
        score: score_resample,
    }
}

fn build_gram(bed: &Bed<'_>, sizes: &Sizes) -> ergodic::Result<Box<dyn Case>> {
    let (n, k) = (sizes.get("n"), sizes.get("k"));
    let g = Graph::new();
    let x = g.input("x", [n, k]);
    let inputs = Inputs { tensors: vec![("x", vec![n, k], noise(n * k, 1))], keys: vec![] };
    let answer = first("gram", CHECKED * n);
    let steps = sizes.get("steps") as u64;
    Ok(Box::new(Replay::new(bed, &[("gram", x.matmul(x.t()))], inputs, steps, answer)?))
}

/// The first rows against f64. A sum of `k` products is off by at most `k eps` of the sum of their absolute values.
fn score_gram(sizes: &Sizes, answer: &[f64]) -> ergodic::Result<Vec<Figure>> {
    let (n, k) = (sizes.get("n"), sizes.get("k"));
    let x = wide(&noise(n * k, 1));
    let row = |i: usize| &x[i * k..(i + 1) * k];
    let mut worst: f64 = if answer.len() == CHECKED * n { 0.0 } else { f64::INFINITY };
    for (at, got) in answer.iter().enumerate() {
        let products = || row(at / n).iter().zip(row(at % n)).map(|(a, b)| a * b);
        let (sum, size) = (products().sum::<f64>(), products().map(f64::abs).sum::<f64>());
        worst = worst.max((got - sum).abs() / size);
    }
    Ok(vec![Figure { name: "error over the sum of absolute terms", value: worst, bound: k as f64 * EPS }])
}

fn log_weights(n: usize) -> Vec<f32> {
    noise(n, 1).into_iter().map(|u| (f64::from(u) * SPREAD) as f32).collect()
}

fn build_resample(bed: &Bed<'_>, sizes: &Sizes) -> ergodic::Result<Box<dyn Case>> {
    let n = sizes.get("n");
    let g = Graph::new();
    let (log_weights_in, x) = (g.input("log_weights", [n]), g.input("x", [n]));
    let summary = Summary::of(Compensated { high: log_weights_in, low: g.full(0.0, [n]) });
    let drawn = ancestors(Scheme::Systematic, summary.relative, Scheme::Systematic.uniforms(g.key("point"), n));
    let outputs = [("ancestors", drawn), ("moved", x.gather(drawn)), ("log_mean", summary.log_mean_exp())];
    let tensors = vec![("log_weights", vec![n], log_weights(n)), ("x", vec![n], noise(n, 2))];
    let inputs = Inputs { tensors, keys: vec![("point", RngKey::new(3))] };
    let answer = move |session: &Session| {
        let log_mean = session.read::<f32>("log_mean")?.wait()?;
        let drawn = session.read::<u32>("ancestors")?.wait()?;
        let (moved, x) = (session.read::<f32>("moved")?.wait()?, noise(n, 2));
        let astray = drawn.iter().zip(&moved).filter(|(i, moved)| x[**i as usize] != **moved).count();
        let mut counts = vec![0.0; n];
        drawn.iter().for_each(|&i| counts[i as usize] += 1.0);
        Ok([vec![f64::from(log_mean[0]), astray as f64], counts].concat())
    };
    Ok(Box::new(Replay::new(bed, &outputs, inputs, sizes.get("steps") as u64, Box::new(answer))?))
}

/// An answer is the log of the mean weight, how many walkers are no copy of their ancestor, and all counts of offspring.
///
/// A systematic count is `floor(n p)` or `ceil(n p)` whatever the uniform is. Weights `exp(a - top)` in f32 are only good to
/// `eps (4 + |a - top|)`, so an `n p` that close to an integer may fall to either side of it.
fn score_resample(sizes: &Sizes, answer: &[f64]) -> ergodic::Result<Vec<Figure>> {
    let (n, a) = (sizes.get("n"), wide(&log_weights(sizes.get("n"))));
    let top = a.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let total: f64 = a.iter().map(|a| (a - top).exp()).sum();
    let is_wrong = |&(&a, &count): &(&f64, &f64)| {
        let expected = n as f64 * (a - top).exp() / total;
        let slack = expected * EPS * (4.0 + top - a);
        count < (expected - slack).floor() || count > (expected + slack).ceil()
    };
    let counts = answer.get(2..).unwrap_or_default();
    let wrong = a.iter().zip(counts).filter(is_wrong).count() + n.abs_diff(counts.len());
    let log_mean = top + (total / n as f64).ln();
    // The sum is a tree of depth log2 n of terms that are good to eps (4 + 2 SPREAD).
    let bound = EPS * ((n as f64).log2() + 4.0 + 2.0 * SPREAD + log_mean.abs());
    Ok(vec![
        Figure { name: "wrong counts of offspring", value: wrong as f64, bound: 0.0 },
        Figure { name: "copies of another walker", value: answer[1], bound: 0.0 },
        Figure { name: "log of the mean weight, error", value: (answer[0] - log_mean).abs(), bound },
    ])
}
