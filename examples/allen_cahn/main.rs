//! Two phases and what moves the boundary between them: a drive, or its own curvature.
//!
//! Teaches:  a reaction beside a linear part; fronts by an implicit-explicit step along lines, a batch of them; explicit steps on
//!           walls and rings, many in one pass; an energy as a graph.
//! Run:      cargo run --release --example allen_cahn
//! Prints:   fronts at 0.0000, 0.0999, 0.1998, 0.2997, exact 0.0000, 0.1000, 0.2000, 0.3000; disc loses 25.139 a unit of time,
//!           exact 25.133; energy never rises; domains grow like t^(0.48 +- 0.03), expected 1/2
//! Writes:   out/allen_cahn: metrics.json, history.csv (coarsening), disc.csv, fronts.png, disc.png, coarsening.png, laws.png
//! Source:   Allen and Cahn, Acta Metallurgica 27, 1085 (1979); fronts: Murray, Mathematical Biology I, section 13.5

mod coarsening;
mod disc;
mod fronts;

use ergodic::Result;
use ergodic::gpu::{Gpu, Tensor};
use ergodic::graph::Var;
use ergodic::plan::{Bindings, CompileOptions, Plan, Session};
use ergodic::report::{Args, Films, Preset, Run};
use serde::{Deserialize, Serialize};
use std::process::ExitCode;

/// Any of the three experiments.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Problem {
    /// Seed of the fields that domains grow from.
    #[serde(default)]
    seed: u64,
    #[serde(default)]
    fronts: Option<fronts::Fronts>,
    #[serde(default)]
    disc: Option<disc::Disc>,
    #[serde(default)]
    coarsening: Option<coarsening::Coarsening>,
}

fn main() -> ExitCode {
    Args::main("allen_cahn", "Two phases and what moves the boundary between them", run)
}

/// The whole example: everything it finds is in the folder that `args` name.
pub fn run(args: &Args) -> Result<()> {
    let preset = args.preset::<Problem>()?;
    check(&preset)?;
    let problem: &Problem = &preset;
    let gpu = Gpu::headless(args.gpu_options()?)?;
    let mut run = Run::start(args, &preset)?;
    let mut films = Films::open(&run, &gpu.info().name)?;
    match experiments(&gpu, &mut run, &mut films, problem)? {
        Some(found) => run.finish(&found).map(drop),
        None => {
            run.stop(films.next_look().unwrap_or(0));
            Ok(())
        }
    }
}

/// What the experiments of a preset found; `None` if the run was interrupted.
fn experiments(gpu: &Gpu, run: &mut Run, films: &mut Films, problem: &Problem) -> Result<Option<String>> {
    let mut found = vec![];
    if let Some(fronts) = &problem.fronts {
        let Some(line) = fronts.run(gpu, run, films)? else { return Ok(None) };
        found.push(line);
    }
    if let Some(disc) = &problem.disc {
        let Some(line) = disc.run(gpu, run, films)? else { return Ok(None) };
        found.push(line);
    }
    if let Some(coarsening) = &problem.coarsening {
        let Some(line) = coarsening.run(gpu, run, films, problem.seed)? else { return Ok(None) };
        found.push(line);
    }
    Ok(Some(found.join("; ")))
}

/// What the types cannot say.
pub fn check(preset: &Preset<Problem>) -> Result<()> {
    let problem: &Problem = preset;
    let any = problem.fronts.is_some() || problem.disc.is_some() || problem.coarsening.is_some();
    preset.check("preset", any, "needs one of `fronts`, `disc` and `coarsening`")?;
    let within =
        |part: &'static str| move |field: &str, ok: bool, why: &str| preset.check(&format!("{part}.{field}"), ok, why);
    problem.fronts.as_ref().map_or(Ok(()), |fronts| fronts.check(within("fronts")))?;
    problem.disc.as_ref().map_or(Ok(()), |disc| disc.check(within("disc")))?;
    problem.coarsening.as_ref().map_or(Ok(()), |coarsening| coarsening.check(within("coarsening")))
}

/// Rate at which the reaction pulls each phase back.
pub const RESTORING: f64 = 2.0;

/// `(1 - u^2)(u + drive)`: the two phases -1 and 1, and what lies between them.
pub fn reaction<'g>(u: Var<'g>, drive: Option<Var<'g>>) -> Var<'g> {
    (1.0 - u * u) * drive.map_or(u, |drive| u + drive)
}

/// A state that steps by this graph.
pub struct Stepper {
    plan: Plan,
    session: Session,
}

impl Stepper {
    pub fn new(
        gpu: &Gpu,
        next: Var<'_>,
        start: &[f64],
        more: impl FnOnce(Bindings) -> Result<Bindings>,
    ) -> Result<Self> {
        let plan = Plan::compile(gpu, &[("u", next)], &CompileOptions::labelled("allen_cahn"))?;
        let start: Vec<f32> = start.iter().map(|&u| u as f32).collect();
        let bindings = Bindings::new().tensor("u", &Tensor::from_slice(gpu, "u", &next.shape(), &start)?);
        let session = Session::new(&plan, more(bindings)?)?;
        Ok(Stepper { plan, session })
    }

    /// Take so many steps.
    pub fn run(&mut self, run: &Run, steps: u64) -> Result<()> {
        self.session.run(steps)?;
        self.session.check()?;
        run.stepped();
        Ok(())
    }

    pub fn field(&self) -> Result<Vec<f64>> {
        Ok(self.session.read::<f32>("u")?.wait()?.into_iter().map(f64::from).collect())
    }

    pub fn tensor(&self) -> Result<&Tensor> {
        self.session.tensor("u")
    }

    /// Steps that one pass over memory takes.
    pub fn together(&self) -> f64 {
        self.plan.report().steps_together() as f64
    }
}

/// Slope and intercept of the line through these points, by least squares.
pub fn line(points: &[(f64, f64)]) -> (f64, f64) {
    let n = points.len() as f64;
    let (x, y) = points.iter().fold((0.0, 0.0), |sum, p| (sum.0 + p.0 / n, sum.1 + p.1 / n));
    let (xx, xy) = points.iter().fold((0.0, 0.0), |sum, p| (sum.0 + (p.0 - x).powi(2), sum.1 + (p.0 - x) * (p.1 - y)));
    (xy / xx, y - xy / xx * x)
}
