//! `fields.csv`: the fields of the model, learned or in closed form, at the preset's points.

use super::flow::wide;
use super::problem::Problem;
use ergodic::gpu::{Gpu, Tensor};
use ergodic::graph::Graph;
use ergodic::methods::interpolant::{Likelihood, MixturePath, Model, PointFields};
use ergodic::plan::{Bindings, CompileOptions, Plan, Session};
use ergodic::random::RngKey;
use ergodic::report::Run;
use ergodic::{Error, Result};

/// Values at points: `b`, `s` and `v`, `[n d]` each, and the log-density `[n]`; NaN where one does not follow.
struct Found {
    fields: [Vec<f64>; 3],
    log_density: Vec<f64>,
}

/// Write them as the device computes them; the largest difference from f64 where fields are known.
pub fn write(gpu: &Gpu, run: &mut Run, problem: &Problem, model: &Model) -> Result<()> {
    let (n, d, exact) = (problem.points.len(), model.d(), problem.exact()?);
    if n == 0 {
        return Ok(());
    }
    let numbered = |name: &str| match d {
        1 => name.to_string(),
        _ => (1..=d).map(|i| format!("{name}{i}")).collect::<Vec<_>>().join(","),
    };
    let mut text = format!("t,{},rho,{},{},{}\n", numbered("x"), numbered("b"), numbered("s"), numbered("v"));
    let (found, mut worst) = (find(gpu, problem, model)?, 0f64);
    for (i, (t, x)) in problem.points.iter().enumerate() {
        let [b, s, v] = [0, 1, 2].map(|k| &found.fields[k][i * d..(i + 1) * d]);
        let row = [&[*t][..], x, &[found.log_density[i].exp()], b, s, v].concat();
        text += &row.iter().map(f64::to_string).collect::<Vec<_>>().join(",");
        text += "\n";
        if let Some(path) = &exact {
            worst = worst.max(error(path, (*t, x), [b, s, v])?);
        }
    }
    run.metrics.set("fields_points", n as f64);
    if exact.is_some() {
        run.metrics.set("fields_error_max", worst);
    }
    let file = run.path("fields.csv");
    std::fs::write(&file, text).map_err(|source| Error::Io { verb: "write", file, source })
}

/// The largest error relative to the larger of 1 and the value.
fn error(path: &MixturePath, (t, x): (f64, &[f64]), found: [&[f64]; 3]) -> Result<f64> {
    let PointFields { b, s, v, .. } = path.at(t, x)?;
    let pairs = found.into_iter().zip([&b, &s, &v]).flat_map(|(got, want)| got.iter().zip(want));
    let defined = pairs.filter(|(got, _)| got.is_finite());
    Ok(defined.map(|(got, want)| (got - want).abs() / want.abs().max(1.0)).fold(0.0, f64::max))
}

fn find(gpu: &Gpu, problem: &Problem, model: &Model) -> Result<Found> {
    let (g, n, d) = (Graph::new(), problem.points.len(), model.d());
    let values = model.at(g.input("t", [n, 1]), g.input("x", [n, d]))?;
    let all = [("b", Some(values.b)), ("s", values.s), ("v", values.v)];
    let outputs: Vec<_> = all.iter().filter_map(|(name, value)| value.map(|value| (*name, value))).collect();
    let plan = Plan::compile(gpu, &outputs, &CompileOptions::labelled("fields"))?;
    let t: Vec<_> = problem.points.iter().map(|(t, _)| *t as f32).collect();
    let x: Vec<_> = problem.points.iter().flat_map(|(_, x)| x.iter().map(|&v| v as f32)).collect();
    let bindings = Bindings::new().tensor("t", &Tensor::from_slice(gpu, "t", &[n, 1], &t)?);
    let bindings = bindings.tensor("x", &Tensor::from_slice(gpu, "x", &[n, d], &x)?);
    let mut session = Session::new(&plan, model.bind(bindings))?;
    session.run(1)?;
    let mut fields = [(); 3].map(|()| vec![f64::NAN; n * d]);
    for (to, (name, value)) in fields.iter_mut().zip(all) {
        if value.is_some() {
            *to = wide(&session.read::<f32>(name)?.wait()?);
        }
    }
    Ok(Found { fields, log_density: log_densities(gpu, problem, model)? })
}

/// In closed form, or by the ODE of what was learned.
fn log_densities(gpu: &Gpu, problem: &Problem, model: &Model) -> Result<Vec<f64>> {
    if let Some(path) = problem.exact()?.filter(|_| problem.learned.is_none()) {
        return problem.points.iter().map(|(t, x)| Ok(path.at(*t, x)?.log_density)).collect();
    }
    let by_ode = Likelihood::new(gpu, model, 1, problem.solver, problem.divergence)?;
    let base = model.path().start();
    let one = |(t, x): &(f64, Vec<f64>)| {
        if *t <= by_ode.first() {
            return Ok(base.log_density(x).unwrap_or(f64::NAN));
        }
        let x: Vec<_> = x.iter().map(|&v| v as f32).collect();
        Ok(by_ode.at(*t, &x, RngKey::new(problem.seed))?.values[0])
    };
    problem.points.iter().map(one).collect()
}
