//! What is measured in the end, by the names of the metrics.

use super::flow::{Likelihood, Samples, wide};
use super::learn::name;
use super::problem::Problem;
use ergodic::dynamics::Estimate;
use ergodic::gpu::{Gpu, Tensor};
use ergodic::graph::Graph;
use ergodic::methods::interpolant::{
    Field, FieldTrainer, GaussianMixture, MixturePath, PointFields, Source, cross_entropy,
};
use ergodic::plan::{Bindings, CompileOptions, Plan, Session};
use ergodic::random::RngKey;
use ergodic::report::Run;
use ergodic::{Error, Result};

/// Mean and standard error.
fn mean(values: &[f64]) -> Estimate {
    let Estimate { value, se } = cross_entropy(values);
    Estimate { value: -value, se }
}

/// `name` and `name_se`.
fn set(run: &mut Run, name: &str, of: Estimate) {
    run.metrics.set(name, of.value).set(format!("{name}_se"), of.se);
}

/// Losses on fresh draws; where fields are known also their least values, and by how much networks exceed them on the same
/// draws.
pub fn losses(gpu: &Gpu, run: &mut Run, problem: &Problem, trainers: &[FieldTrainer], key: RngKey) -> Result<()> {
    let (exact, known) = (problem.exact()?, problem.known());
    for (i, field) in [Some(known.motion), known.noise].into_iter().flatten().enumerate() {
        let draws = (problem.loss_draws, key.fold_in(i as u32));
        let learned = trainers.get(i).map(|trainer| trainer.losses(draws.0, draws.1)).transpose()?;
        let least = exact.as_ref().map(|path| exact_losses(gpu, problem, path, field, draws)).transpose()?;
        let label = format!("loss_{}", name(field));
        if let Some(found) = learned.as_ref().or(least.as_ref()) {
            set(run, &label, mean(found));
        }
        if let Some(least) = &least {
            set(run, &format!("{label}_min"), mean(least));
            if let Some(learned) = &learned {
                let excess: Vec<_> = learned.iter().zip(least).map(|(a, b)| a - b).collect();
                set(run, &format!("excess_{}", name(field)), mean(&excess));
            }
        }
    }
    Ok(())
}

fn exact_losses(
    gpu: &Gpu,
    problem: &Problem,
    path: &MixturePath,
    field: Field,
    draws: (usize, RngKey),
) -> Result<Vec<f64>> {
    let theta = path.parameters()?;
    let theta = Tensor::from_slice(gpu, "theta", &[theta.len()], &theta)?;
    let pairing = problem.learned.as_ref().map(|learned| learned.fit.pairing).unwrap_or_default();
    problem.interpolant()?.losses((field, pairing, problem.span()), draws, &theta, |theta, t, x| {
        let fields = path.fields(theta, t, x)?;
        Ok(match field {
            Field::B => fields.b,
            Field::V => fields.v,
            Field::S => fields.s,
            Field::Eta => fields.eta_z,
        })
    })
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
    let model = likelihood.of(gpu, &x)?;
    let truth = x.chunks_exact(target.d()).map(|row| target.log_density(&wide(row)).unwrap_or(f64::NAN));
    let gaps: Vec<_> = truth.zip(&model).map(|(truth, model)| truth - model).collect();
    let exact = entropy(&target, key.fold_in(1))?;
    set(run, "nll", cross_entropy(&model));
    set(run, "kl", mean(&gaps));
    run.metrics.set("entropy_exact", exact.value).set("entropy_exact_se", exact.se);
    run.metrics.set("log_density_error_max", gaps.iter().fold(0.0, |most: f64, gap| most.max(gap.abs())));
    Ok(())
}

/// What the samples show: the part inside the checkerboard; in one dimension the distance from the exact distribution.
pub fn samples(run: &mut Run, problem: &Problem, samples: &Samples) -> Result<()> {
    let Some((_, last)) = samples.frames.last() else { return Ok(()) };
    let (target, n) = (problem.target.source()?, last.len() / samples.d);
    run.metrics.set("samples_per_s", n as f64 / samples.seconds);
    if problem.learned.is_none() {
        moments(run, samples)?;
    }
    if target == Source::Checkerboard {
        let inside = |row: &[f32]| target.log_density(&wide(row)).is_some_and(f64::is_finite);
        let hits = last.chunks_exact(2).filter(|row| inside(row)).count();
        run.metrics.set("inside", hits as f64 / n as f64);
    }
    let Some(path) = problem.exact()?.filter(|path| path.d() == 1) else { return Ok(()) };
    let mut most: f64 = 0.0;
    for (t, x) in &samples.frames {
        most = most.max(ks(&path.marginal(*t)?, x)?);
    }
    run.metrics.set("ks_max", most).set("ks_1_percent", 1.63 / (n as f64).sqrt());
    run.metrics.set("w2", w2(path.end(), last)?);
    Ok(())
}

/// What the history says where nothing is learned: mean and variance of the first coordinate at each look.
fn moments(run: &Run, samples: &Samples) -> Result<()> {
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

/// Known fields at the preset's points, as the device computes them, to `fields.csv`; and how far they are from f64.
pub fn fields(gpu: &Gpu, run: &mut Run, problem: &Problem) -> Result<()> {
    let Some(path) = problem.exact()?.filter(|_| !problem.points.is_empty()) else { return Ok(()) };
    let (n, d) = (problem.points.len(), path.d());
    let numbered = |name: &str| match d {
        1 => name.to_string(),
        _ => (1..=d).map(|i| format!("{name}{i}")).collect::<Vec<_>>().join(","),
    };
    let mut text = format!("t,{},rho,{},{},{}\n", numbered("x"), numbered("b"), numbered("s"), numbered("v"));
    let (found, mut worst) = (on_device(gpu, &path, &problem.points)?, 0f64);
    for (i, (t, x)) in problem.points.iter().enumerate() {
        let at = |k: usize| &found[k][i * d..(i + 1) * d];
        let row = [&[*t][..], x, &[found[3][i].exp()], at(0), at(1), at(2)].concat();
        text += &row.iter().map(f64::to_string).collect::<Vec<_>>().join(",");
        text += "\n";
        let PointFields { b, s, v, .. } = path.at(*t, x)?;
        for (got, want) in at(0).iter().zip(&b).chain(at(1).iter().zip(&s)).chain(at(2).iter().zip(&v)) {
            worst = worst.max((got - want).abs() / want.abs().max(1.0));
        }
    }
    run.metrics.set("fields_error_max", worst).set("fields_points", n as f64);
    let file = run.path("fields.csv");
    std::fs::write(&file, text).map_err(|source| Error::Io { verb: "write", file, source })
}

/// `b`, `s`, `v` and the log-density at points.
fn on_device(gpu: &Gpu, path: &MixturePath, points: &[(f64, Vec<f64>)]) -> Result<[Vec<f64>; 4]> {
    let (g, n, d) = (Graph::new(), points.len(), path.d());
    let fields = path.fields(g.input("theta", [path.n_params()?]), g.input("t", [n, 1]), g.input("x", [n, d]))?;
    let outputs = [("b", fields.b), ("s", fields.s), ("v", fields.v), ("log_density", fields.log_density)];
    let plan = Plan::compile(gpu, &outputs, &CompileOptions::labelled("fields"))?;
    let theta = path.parameters()?;
    let t: Vec<_> = points.iter().map(|(t, _)| *t as f32).collect();
    let x: Vec<_> = points.iter().flat_map(|(_, x)| x.iter().map(|&v| v as f32)).collect();
    let tensor = |name: &str, shape: &[usize], values: &[f32]| Tensor::from_slice(gpu, name, shape, values);
    let bindings = Bindings::new().tensor("theta", &tensor("theta", &[theta.len()], &theta)?);
    let bindings = bindings.tensor("t", &tensor("t", &[n, 1], &t)?).tensor("x", &tensor("x", &[n, d], &x)?);
    let mut session = Session::new(&plan, bindings)?;
    session.run(1)?;
    session.check()?;
    let mut found = outputs.map(|_| vec![]);
    for (to, (name, _)) in found.iter_mut().zip(outputs) {
        *to = wide(&session.read::<f32>(name)?.wait()?);
    }
    Ok(found)
}

pub fn summary(run: &Run) -> String {
    let get = |name: &str| run.metrics.get(name).unwrap_or(f64::NAN);
    let samples = match (run.metrics.get("ks_max"), run.metrics.get("inside")) {
        (Some(ks), _) => format!("KS distance of samples {ks:.4}, 1 % level {:.4}", get("ks_1_percent")),
        (_, Some(inside)) => format!("{:.1} % of samples inside", 100.0 * inside),
        _ => format!("{:.0} samples/s", get("samples_per_s")),
    };
    format!(
        "NLL {:.4} +- {:.4} nats, entropy {:.4}, KL {:.4} +- {:.4}; {samples}",
        get("nll"),
        get("nll_se"),
        get("entropy_exact"),
        get("kl"),
        get("kl_se")
    )
}
