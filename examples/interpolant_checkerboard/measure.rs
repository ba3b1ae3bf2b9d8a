//! What is measured in the end, by the names of the metrics.

use super::flow::{Samples, wide};
use super::learn::name;
use super::plane;
use super::problem::Problem;
use ergodic::Result;
use ergodic::dynamics::Estimate;
use ergodic::gpu::Gpu;
use ergodic::methods::interpolant::{
    Epsilon, Excess, Field, FieldTrainer, GaussianMixture, Likelihood, Model, Pairing, Source, cross_entropy,
};
use ergodic::random::RngKey;
use ergodic::report::Run;

/// Mean and standard error.
fn mean(values: &[f64]) -> Estimate {
    let Estimate { value, se } = cross_entropy(values);
    Estimate { value: -value, se }
}

/// `name` and `name_se`.
fn set(run: &mut Run, name: &str, of: Estimate) {
    run.metrics.set(name, of.value).set(format!("{name}_se"), of.se);
}

/// Losses on fresh draws of all fields that are learned, and of `b` and `s` where they follow; where fields are known also
/// their least values, and by how much the model exceeds them on the same draws. Then what the excess says of the divergence.
pub fn losses(
    gpu: &Gpu,
    run: &mut Run,
    problem: &Problem,
    (model, trainers): (&Model, &[FieldTrainer]),
    key: RngKey,
) -> Result<()> {
    if problem.starts_in_a_point() {
        return Ok(()); // mean squares of b and s are infinite: they grow as 1/t
    }
    let (exact, known) = (problem.exact()?, problem.known());
    let exact = exact.as_ref().map(|path| Model::exact(gpu, path)).transpose()?;
    let of_noise = known.noise.is_some().then_some(Field::S);
    let derived = [Some(Field::B), of_noise].into_iter().flatten().filter(|_| exact.is_some());
    let mut fields: Vec<_> = [known.motion, known.noise].into_iter().flatten().collect();
    fields.extend(derived.filter(|field| ![known.motion, known.noise].contains(&Some(*field))).collect::<Vec<_>>());
    let mut excess = vec![];
    for (i, field) in fields.into_iter().enumerate() {
        let draws = (problem.loss_draws, key.fold_in(i as u32));
        let fitted = problem.learned.as_ref().map(|learned| learned.fit.pairing).unwrap_or_default();
        // A score's target is infinite where gamma is 0; only in pairs is its variance finite.
        let pairing = if field == Field::S { Pairing::Antithetic } else { fitted };
        let losses = |model: &Model| model.losses((field, pairing, problem.span()), draws);
        let found = losses(model)?;
        let label = format!("loss_{}", name(field));
        set(run, &label, mean(&found));
        let Some(exact) = &exact else { continue };
        let least = if trainers.is_empty() { found.clone() } else { losses(exact)? };
        set(run, &format!("{label}_min"), mean(&least));
        if !trainers.is_empty() {
            let above = mean(&found.iter().zip(&least).map(|(a, b)| a - b).collect::<Vec<_>>());
            set(run, &format!("excess_{}", name(field)), above);
            excess.push((field, above));
        }
    }
    bound(run, problem, &excess);
    Ok(())
}

/// What the excess losses of `b` and `s` bound: the divergence of the diffusion with constant noise, and the noise of the least
/// bound.
fn bound(run: &mut Run, problem: &Problem, excess: &[(Field, Estimate)]) {
    let of = |field: Field| excess.iter().find(|(of, _)| *of == field).map(|(_, excess)| *excess);
    let (Some(b), Some(s)) = (of(Field::B), of(Field::S)) else { return };
    let both = Excess { motion: b.value, score: s.value };
    if let Epsilon::Constant { value } = problem.epsilon {
        let se = (b.se / value).hypot(value * s.se);
        set(run, "kl_bound", Estimate { value: both.kl_bound(value), se });
    }
    // Where an excess is not measurably above 0 there is no best noise to speak of.
    if let Ok(best) = both.best_epsilon() {
        run.metrics.set("epsilon_best", best).set("kl_bound_best", both.kl_bound(best));
    }
}

/// Entropy of a density in nats; its error is 0 where it is known exactly.
fn entropy(source: &Source, key: RngKey) -> Result<Estimate> {
    Ok(match source {
        Source::Checkerboard => Estimate { value: 32f64.ln(), se: 0.0 },
        Source::Normal(d) => Estimate { value: 0.5 * *d as f64 * (1.0 + std::f64::consts::TAU.ln()), se: 0.0 },
        Source::Mixture(mixture) if mixture.d() == 1 => Estimate { value: mixture.entropy()?, se: 0.0 },
        Source::Mixture(mixture) => mixture.entropy_sampled(200_000, key),
        Source::Rows { .. } => Estimate { value: f64::NAN, se: f64::INFINITY },
    })
}

/// Cross-entropy of fresh points of the target with the model, and what is left of it above their own density.
pub fn likelihoods(gpu: &Gpu, run: &mut Run, problem: &Problem, likelihood: &Likelihood, key: RngKey) -> Result<()> {
    let target = problem.target.source()?;
    let x = target.draw(gpu, problem.held_out, key)?.read::<f32>()?.wait()?;
    let model = likelihood.of(&x, key.fold_in(2))?;
    let truth = x.chunks_exact(target.d()).map(|row| target.log_density(&wide(row)).unwrap_or(f64::NAN));
    let gaps: Vec<_> = truth.zip(&model.values).map(|(truth, model)| truth - model).collect();
    let exact = entropy(&target, key.fold_in(1))?;
    set(run, "nll", cross_entropy(&model.values));
    set(run, "kl", mean(&gaps));
    run.metrics.set("entropy_exact", exact.value).set("entropy_exact_se", exact.se);
    run.metrics.set("log_density_error_max", gaps.iter().fold(0.0, |most: f64, gap| most.max(gap.abs())));
    if model.probe_se > 0.0 {
        // Of one point's log-density; what it adds to the error of the NLL is in that already.
        run.metrics.set("log_density_probe_se", model.probe_se);
    }
    Ok(())
}

/// What the samples show: the part inside the checkerboard; else the distance of each coordinate from its exact distribution,
/// and that of the density in the plane of the first two.
pub fn samples(run: &mut Run, problem: &Problem, samples: &Samples) -> Result<()> {
    let Some((_, last)) = samples.frames.last() else { return Ok(()) };
    let (target, n, end) = (problem.target.source()?, last.len() / samples.d, samples.suffix(problem));
    run.metrics.set(format!("samples_per_s{end}"), n as f64 / samples.seconds);
    if target == Source::Checkerboard {
        let inside = |row: &[f32]| target.log_density(&wide(row)).is_some_and(f64::is_finite);
        let hits = last.chunks_exact(2).filter(|row| inside(row)).count();
        run.metrics.set(format!("inside{end}"), hits as f64 / n as f64);
    }
    let Some(path) = problem.exact()? else { return Ok(()) };
    let mut most: f64 = 0.0;
    for (t, x) in &samples.frames {
        if *t == 0.0 && problem.starts_in_a_point() {
            continue; // a point has no distribution function to compare with
        }
        let exact = path.marginal(*t)?;
        for c in 0..samples.d {
            let own: Vec<_> = x.iter().skip(c).step_by(samples.d).copied().collect();
            most = most.max(ks(&plane::marginal(&exact, &[c])?, &own)?);
        }
    }
    run.metrics.set(format!("ks_max{end}"), most).set("ks_1_percent", 1.63 / (n as f64).sqrt());
    if samples.d == 1 {
        run.metrics.set(format!("w2{end}"), w2(path.end(), last)?);
    } else {
        let key = RngKey::new(problem.seed).fold_in(9);
        set(run, &format!("kl_plane{end}"), plane::divergence(path.end(), last, key)?);
        set(run, "kl_plane_of_exact", plane::control(path.end(), n, key)?);
    }
    Ok(())
}

/// What the history says where nothing is learned: mean and variance of the first coordinate at each look.
pub fn moments(run: &Run, problem: &Problem, samples: &Samples) -> Result<()> {
    if problem.learned.is_some() {
        return Ok(());
    }
    let mut history = run.history(&["t", "mean", "variance"])?;
    for (k, (t, x)) in samples.frames.iter().enumerate() {
        let first: Vec<_> = x.iter().step_by(samples.d).map(|&v| f64::from(v)).collect();
        let centre = mean(&first).value;
        let spread: Vec<_> = first.iter().map(|v| (v - centre).powi(2)).collect();
        history.append(k as u64, &[*t, centre, mean(&spread).value])?;
    }
    Ok(())
}

fn sorted(x: &[f32]) -> Vec<f64> {
    let mut x = wide(x);
    x.sort_by(f64::total_cmp);
    x
}

/// The largest difference of two distribution functions (Kolmogorov and Smirnov).
fn ks(exact: &GaussianMixture, x: &[f32]) -> Result<f64> {
    let (x, n, mut most) = (sorted(x), x.len() as f64, 0f64);
    for (i, x) in x.into_iter().enumerate() {
        let below = exact.cdf(x)?;
        most = most.max((below - i as f64 / n).abs()).max((below - (i + 1) as f64 / n).abs());
    }
    Ok(most)
}

/// Wasserstein's distance in one dimension: between points of equal rank.
fn w2(exact: &GaussianMixture, x: &[f32]) -> Result<f64> {
    let (x, n, mut sum) = (sorted(x), x.len() as f64, 0.0);
    for (i, x) in x.into_iter().enumerate() {
        sum += (x - exact.quantile((i as f64 + 0.5) / n)?).powi(2);
    }
    Ok((sum / n).sqrt())
}

pub fn summary(run: &Run) -> String {
    let get = |name: &str| run.metrics.get(name).unwrap_or(f64::NAN);
    let samples = match (run.metrics.get("ks_max"), run.metrics.get("inside")) {
        (Some(ks), _) => format!("KS distance of samples {ks:.4}, 1 % level {:.4}", get("ks_1_percent")),
        (_, Some(inside)) => format!("{:.1} % of samples inside", 100.0 * inside),
        _ => format!("{:.0} samples/s", get("samples_per_s")),
    };
    let Some(nll) = run.metrics.get("nll") else { return format!("no likelihood from a point; {samples}") };
    let (se, entropy, kl) = (get("nll_se"), get("entropy_exact"), get("kl"));
    format!("NLL {nll:.4} +- {se:.4} nats, entropy {entropy:.4}, KL {kl:.4} +- {:.4}; {samples}", get("kl_se"))
}
