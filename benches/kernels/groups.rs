//! Single kernels, each as a user gets it: a graph of one operation, its plan, a session.
//!
//! A [`Group`] is one kind of kernel at several sizes or kinds. Its unit is what a kernel of this kind should be judged by:
//! flops, numbers, or steps of a walker.

use ergodic::Result;
use ergodic::autodiff::grad;
use ergodic::gpu::{Gpu, Tensor};
use ergodic::graph::{Boundary, DType, Graph, Tap, Var};
use ergodic::nn::Adam;
use ergodic::plan::{Bindings, CompileOptions, Plan, Products, Session};
use ergodic::random::RngKey;

/// How large the kernels are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(dead_code, reason = "the bench has one scale, the tests the other")]
pub enum Scale {
    /// So large that a launch is small beside the work.
    Full,
    /// For tests in unoptimised code: one past a tile, or a prime.
    Tiny,
}

impl Scale {
    fn of(self, full: usize, tiny: usize) -> usize {
        match self {
            Scale::Full => full,
            Scale::Tiny => tiny,
        }
    }
}

/// One kind of kernel.
pub struct Group {
    /// Its name.
    pub name: &'static str,
    /// What is counted.
    pub unit: &'static str,
    /// Compiles and binds all of it.
    pub build: fn(&Gpu, Scale) -> Result<Vec<Kernel>>,
}

/// One kernel, bound.
pub struct Kernel {
    /// Which of its group.
    pub name: String,
    /// Units of work in one step.
    pub units: f64,
    /// Its session; every step does the same work.
    pub session: Session,
}

/// All groups.
pub fn all() -> [Group; 9] {
    [
        Group { name: "matmul", unit: "flop", build: matmul },
        Group { name: "reduction", unit: "number", build: reduction },
        Group { name: "scan", unit: "number", build: scan },
        Group { name: "gather", unit: "number", build: gather },
        Group { name: "stencil", unit: "cell", build: stencil },
        Group { name: "random", unit: "number", build: random },
        Group { name: "math", unit: "evaluation", build: math },
        Group { name: "langevin", unit: "walker-step", build: langevin },
        Group { name: "adam", unit: "parameter", build: adam },
    ]
}

/// Seconds of `steps` steps, submitted in pieces that no watchdog minds.
pub fn seconds(session: &mut Session, steps: u64) -> Result<std::time::Duration> {
    let started = std::time::Instant::now();
    let mut left = steps;
    while left > 0 {
        let now = left.min(64);
        session.run(now)?;
        left -= now;
    }
    session.gpu().wait()?;
    Ok(started.elapsed())
}

/// A kernel that computes `outputs`; inputs hold the numbers given, or spread ones where there are none.
fn kernel(
    gpu: &Gpu,
    name: impl Into<String>,
    units: usize,
    outputs: &[(&str, Var<'_>)],
    given: Given<'_>,
) -> Result<Kernel> {
    let options = CompileOptions { products: Products::Tiled, ..CompileOptions::default() };
    let plan = Plan::compile(gpu, outputs, &options)?;
    let mut bindings = Bindings::new().key("key", RngKey::new(1));
    for decl in
        plan.tensors().iter().filter(|d| matches!(d.role, ergodic::plan::Role::Input | ergodic::plan::Role::State))
    {
        let n = decl.shape.iter().product::<usize>();
        let tensor = match given.iter().find(|(name, _)| *name == decl.name) {
            Some((_, numbers)) => Tensor::from_slice(gpu, &decl.name, &decl.shape, numbers)?,
            None if decl.name.contains('.') => Tensor::zeros(gpu, &decl.name, &decl.shape, DType::F32)?,
            None => Tensor::from_slice(gpu, &decl.name, &decl.shape, &spread(n))?,
        };
        bindings = bindings.tensor(&decl.name, &tensor);
    }
    Ok(Kernel { name: name.into(), units: units as f64, session: Session::new(&plan, bindings)? })
}

/// Integers for inputs by name.
type Given<'a> = &'a [(&'a str, Vec<u32>)];

/// Numbers in (-1, 1) that repeat after a prime.
fn spread(n: usize) -> Vec<f32> {
    (0..n).map(|i| ((i * 389 % 997) as f32 - 498.0) / 499.0).collect()
}

/// Square products in each layout, and the tall ones of a batch through a layer.
fn matmul(gpu: &Gpu, scale: Scale) -> Result<Vec<Kernel>> {
    let mut made = vec![];
    for n in [scale.of(128, 17), scale.of(512, 65)] {
        for layout in ["nn", "nt", "tn", "tt"] {
            let g = Graph::new();
            let (a, b) = (g.input("a", [n, n]), g.input("b", [n, n]));
            let (a, b) =
                (if layout.starts_with('t') { a.t() } else { a }, if layout.ends_with('t') { b.t() } else { b });
            made.push(kernel(gpu, format!("{layout}/{n}"), 2 * n * n * n, &[("c", a.matmul(b))], &[])?);
        }
    }
    let (rows, d) = (scale.of(4096, 129), scale.of(128, 33));
    let g = Graph::new();
    let layer = g.input("x", [rows, d]).matmul(g.input("w", [d, d])) + g.input("b", [d]);
    made.push(kernel(gpu, format!("layer/{rows}x{d}"), 2 * rows * d * d, &[("c", layer.tanh())], &[])?);
    Ok(made)
}

fn reduction(gpu: &Gpu, scale: Scale) -> Result<Vec<Kernel>> {
    let (rows, columns) = (scale.of(4096, 67), scale.of(256, 19));
    let n = rows * columns;
    let g = Graph::new();
    let x = g.input("x", [rows, columns]);
    let kinds = [
        ("sum of all", x.sum_all()),
        ("sum of rows", x.sum(1)),
        ("sum of columns", x.sum(0)),
        ("log-sum-exp of rows", x.logsumexp(1)),
    ];
    kinds.into_iter().map(|(name, y)| kernel(gpu, name, n, &[("y", y)], &[])).collect()
}

fn scan(gpu: &Gpu, scale: Scale) -> Result<Vec<Kernel>> {
    let (n, rows) = (scale.of(1 << 20, 1031), scale.of(1024, 13));
    let g = Graph::new();
    let (long, short) = (g.input("long", [n]), g.input("short", [rows, n / rows]));
    Ok(vec![
        kernel(gpu, format!("one of {n}"), n, &[("y", long.cumsum(0))], &[])?,
        kernel(gpu, format!("{rows} of {}", n / rows), n / rows * rows, &[("y", short.cumsum(1))], &[])?,
    ])
}

fn gather(gpu: &Gpu, scale: Scale) -> Result<Vec<Kernel>> {
    let n = scale.of(1 << 20, 1031);
    let mut made = vec![];
    for width in [1, 8] {
        let rows = n / width;
        let g = Graph::new();
        let (table, index) = (g.input("table", [rows, width]), g.input_of("index", [rows], DType::U32));
        // A permutation that jumps far: neighbours read from different pages.
        let jump = (rows as f64 * 0.618) as usize | 1;
        let index_of = (0..rows).map(|i| (i * jump % rows) as u32).collect();
        made.push(kernel(
            gpu,
            format!("rows of {width}"),
            rows * width,
            &[("y", table.gather(index))],
            &[("index", index_of)],
        )?);
    }
    Ok(made)
}

fn stencil(gpu: &Gpu, scale: Scale) -> Result<Vec<Kernel>> {
    let side = scale.of(1024, 37);
    let g = Graph::new();
    let tap = |dy: i32, dx: i32, w: f64| Tap::new([dy, dx], w);
    let five = [tap(0, 0, 0.2), tap(-1, 0, 0.2), tap(1, 0, 0.2), tap(0, -1, 0.2), tap(0, 1, 0.2)];
    let corners = [tap(-1, -1, 0.1), tap(-1, 1, 0.1), tap(1, -1, 0.1), tap(1, 1, 0.1)];
    let u = g.input("u", [side, side]);
    let nine = [&five[..], &corners].concat();
    let points = |name: &str, taps: &[Tap], boundary| {
        kernel(gpu, format!("{name}/{side}"), side * side, &[("next", u.stencil(taps, boundary))], &[])
    };
    Ok(vec![points("five points", &five, Boundary::Periodic)?, points("nine points", &nine, Boundary::Periodic)?])
}

fn random(gpu: &Gpu, scale: Scale) -> Result<Vec<Kernel>> {
    let n = scale.of(1 << 20, 1031);
    let g = Graph::new();
    let kinds = [("uniform", g.key("key").uniform([n])), ("normal", g.key("key").normal([n]))];
    kinds.into_iter().map(|(name, y)| kernel(gpu, name, n, &[("y", y)], &[])).collect()
}

type Function = for<'g> fn(Var<'g>) -> Var<'g>;

/// Evaluations an element: the function and not the memory is to be timed.
const EVALUATIONS: usize = 8;

fn math(gpu: &Gpu, scale: Scale) -> Result<Vec<Kernel>> {
    let n = scale.of(1 << 18, 1031);
    let functions: [(&str, Function); 5] = [
        ("tanh", |x| x.tanh()),
        ("exp", |x| x.exp()),
        ("log", |x| (x.square() + 0.5).log()),
        ("sin", |x| x.sin()),
        ("silu", |x| x.silu()),
    ];
    let chain = |(name, f): (&str, Function)| {
        let g = Graph::new();
        let x = g.input("x", [n]);
        // Of different arguments, so that they do not wait for one another.
        let sum = (1..EVALUATIONS).fold(f(x), |sum, i| sum + f(x * (1.0 - i as f64 / 16.0)));
        kernel(gpu, name, EVALUATIONS * n, &[("y", sum)], &[])
    };
    functions.into_iter().map(chain).collect()
}

/// Unadjusted steps in a quartic well: the kernel loops over them.
fn langevin(gpu: &Gpu, scale: Scale) -> Result<Vec<Kernel>> {
    let n = scale.of(1 << 16, 131);
    let mut made = vec![];
    for d in [2, 10] {
        let g = Graph::new();
        let (x, h) = (g.input("x", [n, d]), 0.01);
        let energy = (x.square().sum(1) - 1.0).square();
        let moved = x - grad(energy, x)? * h + g.key("key").normal([n, d]) * f64::sqrt(2.0 * h);
        made.push(kernel(gpu, format!("quartic well, d = {d}"), n, &[("x", moved)], &[])?);
    }
    Ok(made)
}

fn adam(gpu: &Gpu, scale: Scale) -> Result<Vec<Kernel>> {
    let n = scale.of(1 << 20, 1031);
    let g = Graph::new();
    let (theta, gradient) = (g.input("theta", [n]), g.input("gradient", [n]));
    let update = Adam::default().step("theta", theta, gradient, g.constant(1e-3), g.step());
    Ok(vec![kernel(gpu, format!("{n} parameters"), n, &update.outputs("theta"), &[])?])
}
