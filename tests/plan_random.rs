//! Random graphs on the device against their meaning in f64, on both tiers.
//!
//! Every node carries a bound of its values and one of its rounding errors, both propagated by hand while the graph is built: an
//! operation with Lipschitz constants `L` and a result of size `m` turns errors `e` into `sum L e + c eps m`, with `c` additions in a
//! row or the ulps that `shaders/lib/math.wgsl` promises. More graphs: `PROPTEST_CASES=2000 cargo test --test plan_random`.

mod common;
#[path = "common/compare.rs"]
mod compare;

use compare::{both_by, noise};
use ergodic::Result;
use ergodic::gpu::{Gpu, Tensor};
use ergodic::graph::{Boundary, DType, Graph, Tap, Var};
use ergodic::plan::{Bindings, CompileOptions, Launches, Plan, Session, Stencils, Sums};
use ergodic::random::RngKey;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

const EPS: f64 = f32::EPSILON as f64;

/// Ulps of one elementary operation, the constants in it and the functions of the shader library included.
const OWN: f64 = 8.0;

/// A node `[n, d]` with `|value| <= size` and `|f32 - f64| <= error`.
#[derive(Clone, Copy)]
struct Value<'g> {
    var: Var<'g>,
    size: f64,
    error: f64,
}

/// What operation to take, and of which nodes: numbers modulo how many there are.
type Step = (u8, u8, u8);

#[derive(Clone, Debug)]
struct Recipe {
    n: usize,
    d: usize,
    steps: Vec<Step>,
}

fn recipes() -> impl Strategy<Value = Recipe> {
    let n = prop::sample::select(vec![1, 2, 3, 7, 61, 64, 65, 130, 1000]);
    let d = prop::sample::select(vec![1, 2, 3, 4, 5, 16, 33, 64, 65, 130]);
    (n, d, prop::collection::vec(any::<Step>(), 1..12)).prop_map(|(n, d, steps)| Recipe { n, d, steps })
}

/// Inputs, and every operation on what was there before it.
struct Build<'g> {
    g: &'g Graph,
    n: usize,
    d: usize,
    weights: Var<'g>,
    rows: Var<'g>,
    pool: Vec<Value<'g>>,
}

impl<'g> Build<'g> {
    fn new(g: &'g Graph, recipe: &Recipe) -> Self {
        let Recipe { n, d, .. } = *recipe;
        let exact = |var| Value { var, size: 1.0, error: 0.0 };
        let (x, b) = (g.input("x", [n, d]), g.input("b", [d]));
        let pool = vec![exact(x), exact(b.broadcast_to([n, d]))];
        Build { g, n, d, weights: g.input("w", [d, d]), rows: g.input_of("rows", [n], DType::U32), pool }
    }

    fn all(mut self, recipe: &Recipe) -> Vec<Value<'g>> {
        for step in &recipe.steps {
            let made = self.made(*step);
            // Values that grow would make the bounds of later products worthless.
            self.pool.push(if made.size > 2.0 { unary(made, Var::tanh, 1.0, 1.0) } else { made });
        }
        self.pool
    }

    fn made(&self, (which, a, b): Step) -> Value<'g> {
        let pick = |i: u8| self.pool[i as usize % self.pool.len()];
        let (a, b) = (pick(a), pick(b));
        match which % 6 {
            0 | 1 => self.element(which / 6, a, b),
            2 => self.reduced(which / 6, a, b),
            3 => self.product(which / 6, a, b),
            4 => self.moved(which / 6, a, b),
            _ => self.indexed(which / 6, a, b),
        }
    }

    fn element(&self, which: u8, a: Value<'g>, b: Value<'g>) -> Value<'g> {
        let (x, y) = (a.var, b.var);
        match which % 19 {
            0 => sum(a, b, x + y),
            1 => sum(a, b, x - y),
            2 => product(a, b, x * y),
            // d/db 1 / (1 + b^2) is at most .65.
            3 => Value { var: x / (1.0 + y * y), size: a.size, error: a.error + a.size * (0.65 * b.error + OWN * EPS) },
            4 => larger(a, b, x.max(y)),
            5 => larger(a, b, x.min(y)),
            // The condition is exact: it is between inputs.
            6 => larger(a, b, self.pool[0].var.lt(self.pool[1].var).select(x, y)),
            7 => unary(a, Var::tanh, 1.0, 1.0),
            8 => unary(a, Var::sin, 1.0, 1.0),
            9 => unary(a, Var::cos, 1.0, 1.0),
            10 => unary(a, Var::sigmoid, 0.25, 1.0),
            11 => unary(a, Var::softplus, 1.0, a.size + 0.7),
            12 => unary(a, Var::abs, 1.0, a.size),
            13 => unary(a, Var::silu, 1.1, a.size),
            14 => unary(a, Var::erf, 1.13, 1.0),
            15 => unary(a, |x| (1.0 + x * x).sqrt(), 1.0, 1.0 + a.size),
            16 => unary(a, |x| (x * x).log1p(), 1.0, a.size),
            // 1 <= exp(|x|) on values of at most 2: e^2 < 7.4.
            17 => unary(a, |x| x.expm1() * 0.13, 0.97, 1.0),
            _ => unary(a, |x| (1.0 + x * x).recip(), 0.65, 1.0),
        }
    }

    fn reduced(&self, which: u8, a: Value<'g>, b: Value<'g>) -> Value<'g> {
        let (n, d, x) = (self.n, self.d, a.var);
        let whole = |small: Var<'g>, axis: usize| small.unsqueeze(axis).broadcast_to([n, d]);
        let mean =
            |var, terms: usize| Value { var, size: a.size, error: a.error + (terms as f64 + OWN) * EPS * a.size };
        match which % 8 {
            0 => mean(whole(x.mean(1), 1), d),
            1 => mean(whole(x.mean(0), 0), n),
            2 => mean(x.mean_all().broadcast_to([n, d]), n * d),
            3 => larger(a, a, whole(x.max_over(1), 1)),
            4 => larger(a, a, whole(x.max_over(0), 0)),
            5 => {
                let size = a.size + (d as f64).ln();
                let error = a.error + (d as f64 + 2.0 * OWN) * EPS * (1.0 + size);
                Value { var: whole(x.logsumexp(1), 1) * 0.2, size: 0.2 * size, error: 0.2 * error }
            }
            6 => mean(x.cumsum(1) * (1.0 / d as f64), d),
            _ => {
                let running = mean(x.cumsum(0) * (1.0 / n as f64), n);
                sum(b, running, b.var + running.var)
            }
        }
    }

    fn product(&self, which: u8, a: Value<'g>, b: Value<'g>) -> Value<'g> {
        let (n, d) = (self.n as f64, self.d as f64);
        // Weights are below 1: a row's mean product is no larger than the row.
        let by_weights = |var| Value { var, size: a.size, error: a.error + (d + OWN) * EPS * a.size };
        match which % 4 {
            0 => by_weights(a.var.matmul(self.weights) * (1.0 / d)),
            1 => by_weights(a.var.matmul(self.weights.t()) * (1.0 / d)),
            2 => {
                let gram = a.var.t().matmul(b.var) * (1.0 / n);
                let rough = a.size * b.error + b.size * a.error + a.error * b.error;
                let (size, error) = (a.size * b.size, rough + (n + OWN) * EPS * a.size * b.size);
                let var = a.var.matmul(gram) * (1.0 / d);
                let error = a.size * error + size * a.error + a.error * error + (d + OWN) * EPS * a.size * size;
                Value { var, size: a.size * size, error }
            }
            _ => {
                let hidden = unary(by_weights(a.var.matmul(self.weights) * (1.0 / d)), Var::tanh, 1.0, 1.0);
                let var = hidden.var.matmul(self.weights.t()) * (1.0 / d) + b.var;
                let error = hidden.error + b.error + (d + 2.0 * OWN) * EPS * (1.0 + b.size);
                Value { var, size: 1.0 + b.size, error }
            }
        }
    }

    fn moved(&self, which: u8, a: Value<'g>, b: Value<'g>) -> Value<'g> {
        let (n, d, x, y) = (self.n, self.d, a.var, b.var);
        let turned = |x: Var<'g>, y: Var<'g>, axis: usize, at: usize, len: usize| {
            Var::concat(&[x.narrow(axis, at, len - at), y.narrow(axis, 0, at)], axis).unwrap_or(x)
        };
        match which % 6 {
            0 => larger(a, a, x.reshape([d, n]).t()),
            1 => larger(a, a, x.t().reshape([n, d])),
            2 => larger(a, b, turned(x, y, 1, d / 2, d)),
            3 => larger(a, b, turned(x, y, 0, n / 2, n)),
            4 => larger(a, a, x.narrow(0, n / 3, n - n / 3).pad([0, 0], [n, d])),
            _ => sum(a, b, x.narrow(1, d / 2, 1).broadcast_to([n, d]) + y),
        }
    }

    fn indexed(&self, which: u8, a: Value<'g>, b: Value<'g>) -> Value<'g> {
        let (n, x) = (self.n, a.var);
        let taps = |at: [i32; 2]| [Tap::new(at, 0.5), Tap::new([0, 0], -0.25)];
        let shifted = |taps: &[Tap], boundary| unary(a, |x| x.stencil(taps, boundary), 0.75, a.size);
        match which % 6 {
            0 => larger(a, a, x.gather(self.rows)),
            1 => {
                // All rows may end in one.
                let var = x.scatter_add(self.rows, n) * (1.0 / n as f64);
                Value { var, size: a.size, error: a.error + (n as f64 + OWN) * EPS * a.size }
            }
            2 => shifted(&taps([0, 1]), Boundary::Periodic),
            3 => shifted(&taps([-1, 0]), Boundary::Zero),
            4 => shifted(&taps([1, -1]), Boundary::Periodic),
            _ => {
                // Two transcendental functions and their product: 16 ulp of at most 6.
                let draw = self.g.key("noise").normal([n, self.d]) * 0.1;
                sum(b, Value { var: draw, size: 0.6, error: 16.0 * EPS * 0.6 }, b.var + draw)
            }
        }
    }
}

fn unary<'g>(a: Value<'g>, f: impl Fn(Var<'g>) -> Var<'g>, slope: f64, size: f64) -> Value<'g> {
    Value { var: f(a.var), size, error: slope * a.error + OWN * EPS * size.max(1.0) }
}

fn sum<'g>(a: Value<'g>, b: Value<'g>, var: Var<'g>) -> Value<'g> {
    let size = a.size + b.size;
    Value { var, size, error: a.error + b.error + OWN * EPS * size }
}

fn product<'g>(a: Value<'g>, b: Value<'g>, var: Var<'g>) -> Value<'g> {
    let error = a.size * b.error + b.size * a.error + a.error * b.error;
    Value { var, size: a.size * b.size, error: error + OWN * EPS * a.size * b.size }
}

/// One of the two, element by element.
fn larger<'g>(a: Value<'g>, b: Value<'g>, var: Var<'g>) -> Value<'g> {
    Value { var, size: a.size.max(b.size), error: a.error.max(b.error) }
}

/// The last node, one on the way, and a sum over the whole.
fn outputs<'g>(recipe: &Recipe, all: &[Value<'g>]) -> Vec<(&'static str, Value<'g>)> {
    let last = all[all.len() - 1];
    let total = Value {
        var: last.var.mean_all(),
        error: last.error + ((recipe.n * recipe.d) as f64 + OWN) * EPS * last.size,
        ..last
    };
    vec![("last", last), ("middle", all[all.len() / 2]), ("total", total)]
}

/// As a device suggests, and as a GPU does it.
fn ways() -> [CompileOptions; 2] {
    let (sums, launches, stencils) = (Sums::Stages, Launches::Shared, Stencils::Short);
    [CompileOptions::default(), CompileOptions { sums, launches, stencils, ..CompileOptions::default() }]
}

fn agrees(tier: &str, gpu: &Gpu, options: &CompileOptions, recipe: &Recipe) -> std::result::Result<(), TestCaseError> {
    let g = Graph::new();
    let wanted = outputs(recipe, &Build::new(&g, recipe).all(recipe));
    let named: Vec<_> = wanted.iter().map(|(name, value)| (*name, value.var)).collect();
    let found = Plan::compile(gpu, &named, options).and_then(|plan| both_by(&plan, &g, &named));
    let found = found.map_err(|error| TestCaseError::fail(format!("{tier}: {error}")))?;
    for ((name, value), (got, want)) in wanted.iter().zip(&found) {
        prop_assert_eq!(got.len(), want.len());
        for (i, (got, want)) in got.iter().zip(want).enumerate() {
            prop_assert!(want.abs() <= value.size * (1.0 + 1e-9), "size of `{name}`[{i}]: {want}, not {}", value.size);
            let near = (got - want).abs() <= value.error;
            prop_assert!(near, "{tier}: `{name}`[{i}] is {got}, not {want} within {:e}", value.error);
        }
    }
    Ok(())
}

/// The state `x` after some runs of so many steps each.
fn walked(gpu: &Gpu, plan: &Plan, recipe: &Recipe, runs: &[u64]) -> Result<Vec<u32>> {
    let Recipe { n, d, .. } = *recipe;
    let tensor =
        |name, shape: &[usize], seed| Tensor::from_slice(gpu, name, shape, &noise(shape.iter().product(), seed));
    let rows = Tensor::from_slice(gpu, "rows", &[n], &(0..n as u32).map(|k| (7 * k) % 11).collect::<Vec<_>>())?;
    let x = tensor("x", &[n, d], 1)?;
    let bindings = Bindings::new().tensor("x", &x).tensor("b", &tensor("b", &[d], 2)?).tensor("rows", &rows);
    let bindings = bindings.tensor("w", &tensor("w", &[d, d], 3)?).key("noise", RngKey::new(4));
    let mut session = Session::new(plan, bindings)?;
    runs.iter().try_for_each(|steps| session.run(*steps))?;
    session.check()?;
    Ok(session.read::<f32>("x")?.wait()?.into_iter().map(f32::to_bits).collect())
}

/// The same graphs on every run, unless more are asked for.
fn cases(default: u32) -> ProptestConfig {
    let more = std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok());
    let rng_seed = if more.is_some() { RngSeed::Random } else { RngSeed::Fixed(5) };
    // Shrinking compiles anew each time: a smaller example is worth a minute, and no more.
    let rest = ProptestConfig { max_shrink_time: 60_000, failure_persistence: None, ..ProptestConfig::default() };
    ProptestConfig { cases: more.unwrap_or(default), rng_seed, ..rest }
}

proptest! {
    #![proptest_config(cases(48))]

    #[test]
    fn graphs_on_the_device_are_what_they_mean_in_f64(recipe in recipes()) {
        for (tier, gpu) in common::gpus() {
            for options in ways() {
                agrees(tier, &gpu, &options, &recipe)?;
            }
        }
    }
}

proptest! {
    #![proptest_config(cases(24))]

    #[test]
    fn steps_may_be_taken_together_or_one_by_one_with_the_same_bits(recipe in recipes()) {
        for (tier, gpu) in common::gpus() {
            let g = Graph::new();
            let all = Build::new(&g, &recipe).all(&recipe);
            let next = all[all.len() - 1].var.tanh();
            for options in ways() {
                let plan = Plan::compile(&gpu, &[("x", next)], &options);
                let plan = plan.map_err(|error| TestCaseError::fail(format!("{tier}: {error}")))?;
                let runs = [&[5][..], &[1, 1, 1, 1, 1], &[2, 3]].map(|runs| walked(&gpu, &plan, &recipe, runs));
                let [together, single, mixed] =
                    runs.map(|run| run.map_err(|error| TestCaseError::fail(format!("{tier}: {error}"))));
                let together = together?;
                prop_assert!(together == single? && together == mixed?, "{tier}");
            }
        }
    }
}
