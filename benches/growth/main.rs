//! Cost and memory of four problems as one of their sizes grows.
//!
//! Run:     make growth                                   (ARGS='--only walkers,grid --up-to 100000 --repeats 9')
//! Prints:  a table, and the power with which the cost grows over the larger half of the sizes
//! Writes:  `growth.json` and `growth.png` under `--out`; a log-log panel of cost and one of memory for each problem

mod sweeps;

use clap::Parser;
use ergodic::gpu::{Gpu, GpuOptions};
use ergodic::report::{Plot, write_figure};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::ExitCode;
use sweeps::{Point, Sweep, exponent};

/// Flags.
#[derive(Parser)]
struct Args {
    /// Sweeps to run, all by default.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Timed runs of each point, after those that warm up; the shortest counts.
    #[arg(long, default_value_t = 5)]
    repeats: usize,
    /// Leave out larger sizes.
    #[arg(long)]
    up_to: Option<usize>,
    /// Where the results go.
    #[arg(long, default_value = "out/growth")]
    out: PathBuf,
    /// What cargo bench adds.
    #[arg(long, hide = true)]
    bench: bool,
}

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    match growth(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("growth: {error}");
            ExitCode::FAILURE
        }
    }
}

fn growth(args: &Args) -> Result<()> {
    let sweeps = chosen(args)?;
    let adapter = adapter()?;
    println!(
        "{adapter}\n\n| sweep | size | time a step | memory | dispatches | compiled in |\n|---|---|---|---|---|---|"
    );
    let mut curves = vec![];
    for sweep in sweeps {
        let mut points = vec![];
        for &size in &sweep.sizes {
            let point = sweep.measure(size, args.repeats)?;
            println!("{}", row(&sweep, &point));
            points.push(point);
        }
        curves.push((sweep, points));
    }
    println!("\n{}", powers(&curves));
    std::fs::create_dir_all(&args.out)?;
    std::fs::write(args.out.join("growth.json"), format!("{:#}\n", as_json(&adapter, &curves)))?;
    let panels: Vec<_> = curves.iter().flat_map(|(sweep, points)| panels(sweep, points)).collect();
    write_figure(args.out.join("growth.png"), 2, &panels)?;
    println!("written to {}", args.out.display());
    Ok(())
}

fn chosen(args: &Args) -> Result<Vec<Sweep>> {
    let all = sweeps::all();
    if let Some(name) = args.only.iter().find(|name| !all.iter().any(|s| s.name == **name)) {
        let names: Vec<_> = all.iter().map(|s| s.name).collect();
        return Err(format!("no sweep `{name}`; there are {}", names.join(", ")).into());
    }
    let mut sweeps: Vec<_> =
        all.into_iter().filter(|s| args.only.is_empty() || args.only.iter().any(|n| n == s.name)).collect();
    for sweep in &mut sweeps {
        sweep.sizes.retain(|size| args.up_to.is_none_or(|most| *size <= most));
    }
    sweeps.retain(|sweep| !sweep.sizes.is_empty());
    Ok(sweeps)
}

fn adapter() -> Result<String> {
    let gpu = Gpu::headless(GpuOptions::from_env()?)?;
    Ok(format!("{}, {}", gpu.info().name, gpu.info().driver_info))
}

fn row(sweep: &Sweep, p: &Point) -> String {
    let time = match p.seconds {
        s if s < 1e-3 => format!("{:.1} us", s * 1e6),
        s => format!("{:.2} ms", s * 1e3),
    };
    let memory = format!("{:.3} MB", p.bytes as f64 * 1e-6);
    format!("| {} | {} | {time} | {memory} | {} | {:.2} s |", sweep.name, p.size, p.dispatches, p.compile_s)
}

/// How each curve ends, in words.
fn powers(curves: &[(Sweep, Vec<Point>)]) -> String {
    let line = |(sweep, points): &(Sweep, Vec<Point>)| {
        let upper = points.get(points.len() / 2).map_or(0, |p| p.size);
        let power = exponent(points);
        format!(
            "{}: from {upper} on the cost grows with power {power:.2} of the {}; {} is to be expected\n",
            sweep.name, sweep.along, sweep.power
        )
    };
    curves.iter().filter(|(_, points)| points.len() > 3).map(line).collect()
}

fn as_json(adapter: &str, curves: &[(Sweep, Vec<Point>)]) -> Value {
    let point = |p: &Point| json!({ "size": p.size, "seconds": p.seconds, "bytes": p.bytes, "dispatches": p.dispatches, "compile_s": p.compile_s });
    let curve = |(sweep, points): &(Sweep, Vec<Point>)| {
        let points: Vec<_> = points.iter().map(point).collect();
        json!({ "sweep": sweep.name, "along": sweep.along, "step": sweep.step, "expected_power": sweep.power, "points": points })
    };
    json!({ "adapter": adapter, "curves": curves.iter().map(curve).collect::<Vec<_>>() })
}

/// Cost, and memory beside it. The dashed line has the power that is to be expected, through the last point.
fn panels(sweep: &Sweep, points: &[Point]) -> [Plot; 2] {
    let x: Vec<f64> = points.iter().map(|p| p.size as f64).collect();
    let panel = |title: String, label: &str, name: &str, y: Vec<f64>, power: f64| {
        let (last_x, last_y) = (x[x.len() - 1], y[y.len() - 1]);
        let slope: Vec<f64> = x.iter().map(|x| last_y * (x / last_x).powf(power)).collect();
        let dashed = if power == 1.0 { "proportional" } else { "quadratic" };
        let plot = Plot::new(title).x(sweep.along).y(label).log_x().log_y();
        plot.line(name, &x, &y).points(name, &x, &y).reference(dashed, &x, &slope)
    };
    let seconds = points.iter().map(|p| p.seconds * 1e3).collect();
    let bytes = points.iter().map(|p| p.bytes as f64 * 1e-6).collect();
    [
        panel(format!("Cost of a {} by {}", sweep.step, sweep.along), "time / ms", "measured", seconds, sweep.power),
        panel(
            format!("Memory by {}, high water", sweep.along),
            "memory / MB",
            "tensors and intermediate values",
            bytes,
            sweep.power,
        ),
    ]
}
