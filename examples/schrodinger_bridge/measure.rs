//! What is measured in the end, by the names of the metrics.

use super::flow::Samples;
use super::known::Answer;
use super::problem::Problem;
use ergodic::Result;
use ergodic::dynamics::Estimate;
use ergodic::gpu::Gpu;
use ergodic::methods::interpolant::{BridgeTrainer, GaussianMixture, Source, cross_entropy};
use ergodic::random::RngKey;
use ergodic::report::Run;

/// Directions of the sliced distance.
const DIRECTIONS: usize = 64;

/// Mean and standard error.
fn mean(values: &[f64]) -> Estimate {
    let Estimate { value, se } = cross_entropy(values);
    Estimate { value: -value, se }
}

/// `name` and `name_se`.
fn set(run: &mut Run, name: &str, of: Estimate) {
    run.metrics.set(name, of.value).set(format!("{name}_se"), of.se);
}

fn wide(row: &[f32]) -> Vec<f64> {
    row.iter().map(|&v| f64::from(v)).collect()
}

/// The cost on fresh draws, beside the least one where it is known; between Gaussians also that of the path itself, by its
/// formula.
pub fn costs(
    run: &mut Run,
    problem: &Problem,
    trainer: &BridgeTrainer,
    answer: Option<&Answer>,
    key: RngKey,
) -> Result<()> {
    let cost = mean(&trainer.costs(problem.cost_draws, key)?);
    set(run, "cost", cost);
    run.metrics.set("loss", -cost.value).set("epsilon", problem.epsilon);
    let Some(answer) = answer else { return Ok(()) };
    run.metrics.set("cost_exact", answer.cost);
    if problem.epsilon == 0.0 {
        run.metrics.set("w2_squared_exact", 2.0 * answer.cost);
    }
    let path = trainer.bridge().path();
    if let Some(gaussian) = answer.gaussian.filter(|_| path.is_linear()) {
        let phi = wide(&trainer.parameters()[1].read::<f32>()?.wait()?);
        let phi = &phi[..path.n_params()];
        let times = |t| path.at(phi, t);
        times(0.5)?;
        run.metrics.set("cost_of_path", gaussian.cost_along(times)?);
    }
    Ok(())
}

/// What the samples show: their cost on the way, and how far they end from the target.
pub fn samples(
    gpu: &Gpu,
    run: &mut Run,
    problem: &Problem,
    (samples, answer): (&Samples, Option<&Answer>),
    key: RngKey,
) -> Result<()> {
    let (Some((_, first)), Some((_, last))) = (samples.frames.first(), samples.frames.last()) else { return Ok(()) };
    let (d, n, target) = (samples.d, problem.samples, problem.target.source()?);
    let cost = mean(&samples.costs);
    set(run, "cost_of_samples", cost);
    run.metrics.set("samples_per_s", n as f64 / samples.seconds);
    if problem.epsilon == 0.0 {
        let square = first.iter().zip(last).map(|(a, b)| f64::from(b - a).powi(2)).sum::<f64>() / n as f64;
        // 1 for straight lines at constant speed, else less.
        run.metrics.set("moved_squared", square).set("straightness", square / (2.0 * cost.value));
    }
    // On a line also how far they are from the exact densities on the way.
    let inside = samples.frames.iter().filter(|(t, _)| *t > 0.0 && *t < 1.0);
    let lines = inside.filter_map(|(t, x)| Some((answer?.line(*t)?, x)));
    if let Some(most) = lines.map(|((at, density), x)| ks_to_line(&at, &density, x)).reduce(f64::max) {
        run.metrics.set("ks_between", most);
    }
    if let Some(mixture) = on_a_line(&target)? {
        run.metrics.set("ks", ks(&mixture, last)?).set("ks_1_percent", 1.63 / (n as f64).sqrt());
        run.metrics.set("w2_to_target", w2(&mixture, last)?);
        return Ok(());
    }
    let [fresh, other] = [target.draw(gpu, n, key.fold_in(1))?, target.draw(gpu, n, key.fold_in(2))?];
    let (fresh, other) = (fresh.read::<f32>()?.wait()?, other.read::<f32>()?.wait()?);
    // Two sets of draws of the target are not the same either.
    run.metrics.set("sliced_w2_to_target", sliced_w2(last, &fresh, d));
    run.metrics.set("sliced_w2_of_draws", sliced_w2(&other, &fresh, d));
    Ok(())
}

fn on_a_line(source: &Source) -> Result<Option<GaussianMixture>> {
    match source {
        Source::Normal(1) => GaussianMixture::normal(1).map(Some),
        Source::Mixture(mixture) if mixture.d() == 1 => Ok(Some(mixture.clone())),
        _ => Ok(None),
    }
}

fn sorted(x: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut x: Vec<_> = x.collect();
    x.sort_by(f64::total_cmp);
    x
}

/// The largest difference of two distribution functions (Kolmogorov and Smirnov).
fn ks(exact: &GaussianMixture, x: &[f32]) -> Result<f64> {
    let (x, n, mut most) = (sorted(x.iter().map(|&v| f64::from(v))), x.len() as f64, 0f64);
    for (i, x) in x.into_iter().enumerate() {
        let below = exact.cdf(x)?;
        most = most.max((below - i as f64 / n).abs()).max((below - (i + 1) as f64 / n).abs());
    }
    Ok(most)
}

/// The same from a density at places in order, by the trapezoid rule.
fn ks_to_line(at: &[f64], density: &[f64], x: &[f32]) -> f64 {
    let (x, n) = (sorted(x.iter().map(|&v| f64::from(v))), x.len() as f64);
    let (mut below, mut count, mut most) = (0.0, 0, 0f64);
    for (place, rho) in at.windows(2).zip(density.windows(2)) {
        below += 0.5 * (rho[0] + rho[1]) * (place[1] - place[0]);
        while x.get(count).is_some_and(|x| *x < place[1]) {
            count += 1;
        }
        most = most.max((below - count as f64 / n).abs());
    }
    most
}

/// Wasserstein's distance in one dimension: between points of equal rank.
fn w2(exact: &GaussianMixture, x: &[f32]) -> Result<f64> {
    let (x, n, mut sum) = (sorted(x.iter().map(|&v| f64::from(v))), x.len() as f64, 0.0);
    for (i, x) in x.into_iter().enumerate() {
        sum += (x - exact.quantile((i as f64 + 0.5) / n)?).powi(2);
    }
    Ok((sum / n).sqrt())
}

/// Root of the mean squared `W_2` of projections on random directions, between as many points.
fn sliced_w2(x: &[f32], y: &[f32], d: usize) -> f64 {
    let mut directions = vec![0f32; DIRECTIONS * d];
    RngKey::new(1).fill_normal(0, d, &mut directions);
    let mut sum = 0.0;
    for direction in directions.chunks_exact(d) {
        let direction = wide(direction);
        let norm = direction.iter().map(|v| v * v).sum::<f64>().sqrt();
        let along = |x: &[f32]| {
            let dot = |row: &[f32]| row.iter().zip(&direction).map(|(x, v)| f64::from(*x) * v / norm).sum();
            sorted(x.chunks_exact(d).map(dot))
        };
        let (a, b) = (along(x), along(y));
        sum += a.iter().zip(&b).map(|(a, b)| (a - b).powi(2)).sum::<f64>() / a.len() as f64;
    }
    (sum / DIRECTIONS as f64).sqrt()
}

pub fn summary(run: &Run) -> String {
    let get = |name: &str| run.metrics.get(name).unwrap_or(f64::NAN);
    let exact = run.metrics.get("cost_exact").map(|cost| format!(", least {cost:.4}")).unwrap_or_default();
    let end = match run.metrics.get("ks") {
        Some(ks) => format!("KS distance of the end {ks:.4}, 1 % level {:.4}", get("ks_1_percent")),
        None => format!(
            "sliced W2 of the end {:.3}, of two draws {:.3}",
            get("sliced_w2_to_target"),
            get("sliced_w2_of_draws")
        ),
    };
    let se = Estimate { value: get("cost"), se: get("cost_se") };
    let sampled = Estimate { value: get("cost_of_samples"), se: get("cost_of_samples_se") };
    format!("cost {se}{exact}; along samples {sampled}; {end}")
}
