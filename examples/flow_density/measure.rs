//! What is measured in the end, by the names of the metrics.

use super::problem::Problem;
use super::rows::Rows;
use ergodic::data::{distance, moments, npy};
use ergodic::dynamics::Estimate;
use ergodic::gpu::{Gpu, Tensor};
use ergodic::methods::interpolant::{Field, Flow, GaussianMixture, Source, bits_per_dimension, cross_entropy};
use ergodic::random::RngKey;
use ergodic::report::Run;
use ergodic::{Error, Result};
use std::time::Instant;

/// Directions of a sliced distance.
const DIRECTIONS: usize = 200;

/// Mean and standard error.
fn mean(values: &[f64]) -> Estimate {
    let Estimate { value, se } = cross_entropy(values);
    Estimate { value: -value, se }
}

/// `name` and `name_se`.
fn set(run: &mut Run, name: &str, of: Estimate) {
    run.metrics.set(name, of.value).set(format!("{name}_se"), of.se);
}

/// `G = E|v|^2 - 2 E v . dI/dt` on test rows and on training rows, and `D = E|v|^2 + G`, which is 0 at the minimum.
///
/// With the library's `L(v) = E|v|^2/2 - E v . dI/dt` these are `2 L(v)` and `L(2 v)`.
pub fn losses(run: &mut Run, problem: &Problem, rows: &Rows, theta: &Tensor, key: RngKey) -> Result<()> {
    let (net, d) = (problem.net(rows.d())?, rows.d());
    let starts = rows.start.as_ref().map(|(train, test)| [&test[..], &train[..]]);
    for (k, (end, data)) in [("", &rows.data.test), ("_train", &rows.data.train)].into_iter().enumerate() {
        let path = problem.path(starts.map(|starts| starts[k]), d, data)?;
        let of = (Field::B, problem.fit.pairing, (0.0, 1.0));
        let draws = (problem.loss_draws, key.fold_in(k as u32));
        let by = |scale: f64| path.losses(of, draws, theta, |theta, t, x| Ok(net.apply(theta, t, x)? * scale));
        let g: Vec<_> = by(1.0)?.iter().map(|loss| 2.0 * loss).collect();
        set(run, &format!("g{end}"), mean(&g));
        set(run, &format!("d{end}"), mean(&by(2.0)?));
    }
    Ok(())
}

/// A look at the device before anything is learned: what is asked for must fit.
pub fn check_sizes(gpu: &Gpu, problem: &Problem, d: usize) -> Result<()> {
    problem.counts().iter().try_for_each(|(name, n)| Tensor::check_fits(gpu, name, &[*n, d]))
}

/// Likelihoods of test rows, of columns of deviation 1 and in the table's own units, beside the Gaussian of the training rows.
pub fn likelihoods(run: &mut Run, problem: &Problem, rows: &Rows, flow: &Flow) -> Result<()> {
    let (d, data, base) = (rows.d(), &rows.data, Source::Normal(rows.d()));
    let (begun, scale) = (Instant::now(), data.standard.log_det());
    let model = flow.log_likelihoods(&data.test, &base, (0.0, 1.0))?;
    run.metrics.set("likelihoods_per_s", model.len() as f64 / begun.elapsed().as_secs_f64());
    // Rows may be whitened; the NLL is that of columns of deviation 1, or in their own units.
    let (inner, within) = (cross_entropy(&model), data.standard.log_det_of_factor());
    let nll = Estimate { value: inner.value + within, ..inner };
    let own = Estimate { value: inner.value + scale, ..inner };
    set(run, "nll", nll);
    set(run, "nll_original", own);
    set(run, "bits_per_dim", bits_per_dimension(nll, d));
    set(run, "bits_per_dim_original", bits_per_dimension(own, d));
    run.metrics.set("log_det", scale).set("dimensions", d as f64).set("test_rows", model.len() as f64);
    let (centre, covariance) = moments(&data.train, d);
    match GaussianMixture::new(&[1.0], &[centre], &[covariance]) {
        Ok(gaussian) => {
            let plain: Vec<_> = data.test.chunks_exact(d).map(|row| gaussian.log_density(&wide(row))).collect();
            let found = cross_entropy(&plain);
            set(run, "nll_gaussian", Estimate { value: found.value + within, ..found });
            set(run, "gain", mean(&model.iter().zip(&plain).map(|(a, b)| a - b).collect::<Vec<_>>()));
        }
        // Columns that depend on each other linearly have no such density; the flow has one, however narrow.
        Err(Error::Invalid { .. }) => set(run, "nll_gaussian", Estimate { value: f64::NAN, se: f64::NAN }),
        Err(error) => return Err(error),
    }
    let seen = &data.train[..data.train.len().min(problem.validation * d)];
    let seen = cross_entropy(&flow.log_likelihoods(seen, &base, (0.0, 1.0))?);
    set(run, "nll_train", Estimate { value: seen.value + within, ..seen });
    divergence(run, rows, &model);
    if problem.log_densities {
        let own: Vec<f64> = model.iter().map(|log| log - scale).collect();
        npy::write(run.path("test_log_density.npy"), &[own.len()], &own)?;
    }
    Ok(())
}

/// What is left of the NLL above the entropy of the target, where its density is known.
fn divergence(run: &mut Run, rows: &Rows, model: &[f64]) {
    if let Some((density, entropy)) = rows.density.and_then(|density| Some((density, density.entropy()?))) {
        let truth = rows.data.test.chunks_exact(2).map(|row| density.log_density([row[0], row[1]].map(f64::from)));
        let gaps: Vec<_> = truth.zip(model).map(|(truth, model)| truth.unwrap_or(f64::NAN) - model).collect();
        set(run, "kl", mean(&gaps));
        run.metrics.set("entropy_exact", entropy);
    }
}

/// How far test rows are from themselves after going to the start and coming back, at most, in units of prepared rows.
pub fn round_trip(run: &mut Run, problem: &Problem, rows: &Rows, flow: &Flow) -> Result<()> {
    let some = &rows.data.test[..rows.data.test.len().min(problem.validation * rows.d())];
    let there = flow.carry(some, (1.0, 0.0))?;
    let back = flow.carry(&there.x, (0.0, 1.0))?;
    run.metrics.set("evaluations", f64::from(there.evaluations));
    let off = back.x.iter().zip(some).map(|(a, b)| f64::from((a - b).abs()));
    run.metrics.set("round_trip_max", off.fold(0.0, f64::max));
    Ok(())
}

/// Samples on their way: all of them at a few times, a few at many.
pub struct Samples {
    /// Times and points `[n, d]`.
    pub frames: Vec<(f64, Vec<f32>)>,
    /// Times and the first points.
    pub tracks: Vec<(f64, Vec<f32>)>,
}

/// Pieces of time between two looks at the samples, and how many looks are kept whole.
const PIECES: usize = 20;
const FRAMES: usize = 4;

/// Draw the start, follow it, and write where it ends in the units of the data.
pub fn samples(run: &mut Run, problem: &Problem, rows: &Rows, flow: &Flow, key: RngKey) -> Result<Samples> {
    let (n, d) = (problem.samples, rows.d());
    let mut x = rows.base(problem, n, key);
    let few = |x: &[f32]| x[..problem.trajectories.min(n) * d].to_vec();
    let (mut frames, mut tracks) = (vec![(0.0, x.clone())], vec![(0.0, few(&x))]);
    let begun = Instant::now();
    // Only what is drawn in the plane needs looks on the way.
    let pieces = if d == 2 { PIECES } else { 1 };
    for k in 1..=pieces {
        let time = |k: usize| k as f64 / pieces as f64;
        x = flow.carry(&x, (time(k - 1), time(k)))?.x;
        tracks.push((time(k), few(&x)));
        if (k * FRAMES).is_multiple_of(pieces) {
            frames.push((time(k), x.clone()));
        }
    }
    run.metrics.set("samples_per_s", n as f64 / begun.elapsed().as_secs_f64());
    let own: Vec<f32> = rows.data.standard.undo(&x).into_iter().map(|v| v as f32).collect();
    npy::write(run.path("samples.npy"), &[n, d], &own)?;
    agreement(run, rows, &x, key.fold_in(1))?;
    Ok(Samples { frames, tracks })
}

/// How samples and test rows differ: along random lines, and in the worst column.
fn agreement(run: &mut Run, rows: &Rows, x: &[f32], key: RngKey) -> Result<()> {
    let (d, data) = (rows.d(), &rows.data);
    let n = (x.len() / d).min(data.test.len() / d).min(data.train.len() / d);
    let sliced = |a: &[f32], b: &[f32]| distance::sliced_w2(&a[..n * d], &b[..n * d], d, DIRECTIONS, key);
    run.metrics.set("sliced_w2", sliced(x, &data.test)?);
    run.metrics.set("sliced_w2_train", sliced(&data.train, &data.test)?);
    if let Some((start, _)) = &rows.start {
        let n = n.min(start.len() / d);
        run.metrics
            .set("sliced_w2_start", distance::sliced_w2(&start[..n * d], &data.test[..n * d], d, DIRECTIONS, key)?);
    }
    let column = |x: &[f32], at: usize| x.iter().skip(at).step_by(d).map(|&v| f64::from(v)).collect::<Vec<_>>();
    let apart = |at: usize| distance::kolmogorov_smirnov(&column(x, at), &column(&data.test, at));
    let rows = |x: &[f32]| (x.len() / d) as f64;
    run.metrics.set("ks_max", (0..d).map(apart).fold(0.0, f64::max));
    run.metrics.set("ks_1_percent", 1.63 * (1.0 / rows(x) + 1.0 / rows(&data.test)).sqrt());
    Ok(())
}

/// Test rows of the target carried back to the start, beside what the start is.
pub fn backwards(run: &mut Run, rows: &Rows, flow: &Flow, key: RngKey) -> Result<()> {
    let Some((train, test)) = &rows.start else { return Ok(()) };
    let back = flow.carry(&rows.data.test, (1.0, 0.0))?.x;
    let n = back.len().min(test.len()).min(train.len());
    run.metrics.set("sliced_w2_back", distance::sliced_w2(&back[..n], &test[..n], 2, DIRECTIONS, key)?);
    run.metrics.set("sliced_w2_back_train", distance::sliced_w2(&train[..n], &test[..n], 2, DIRECTIONS, key)?);
    Ok(())
}

pub fn wide(row: &[f32]) -> Vec<f64> {
    row.iter().map(|&v| f64::from(v)).collect()
}

pub fn summary(run: &Run) -> String {
    let get = |name: &str| run.metrics.get(name).unwrap_or(f64::NAN);
    let two = |name: &str| format!("{:.4} +- {:.4}", get(name), get(&format!("{name}_se")));
    if run.metrics.get("nll").is_none() {
        return format!(
            "G {}; sliced W2 to the target {:.4} (between two samples of it {:.4}; of the start {:.3}), back {:.4} ({:.4})",
            two("g"),
            get("sliced_w2"),
            get("sliced_w2_train"),
            get("sliced_w2_start"),
            get("sliced_w2_back"),
            get("sliced_w2_back_train")
        );
    }
    let exact = match run.metrics.get("entropy_exact") {
        Some(entropy) => format!(", entropy {entropy:.4}, KL {}", two("kl")),
        None => format!(", in the table's units {:.4}", get("nll_original")),
    };
    format!("NLL {} nats{exact}; a Gaussian {}, gain {}; G {}", two("nll"), two("nll_gaussian"), two("gain"), two("g"))
}
