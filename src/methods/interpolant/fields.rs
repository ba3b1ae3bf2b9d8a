//! The fields of a path between mixtures, as graphs.

use super::linalg::{is_multiple_of_identity, transposed};
use super::path::{Form, MixturePath, Pair};
use super::schedule::Coefficients;
use super::series;
use super::stacked::{self, Parameters};
use super::triangle::Triangle;
use crate::error::{Error, Result};
use crate::graph::Var;
use crate::nn::ParamLayout;
use std::f64::consts::TAU;

/// Smallest variance that is divided by: the f32 quotient of two numbers that vanish together is then 0, not NaN.
pub(super) const LEAST: f64 = 1e-20;

/// All fields at points `x [n, d]`: what is not used is not computed.
#[derive(Clone, Copy)]
pub struct Fields<'g> {
    /// `log rho(t, x)`, `[n]`.
    pub log_density: Var<'g>,
    /// Velocity of the ODE, `[n, d]`.
    pub b: Var<'g>,
    /// Score.
    pub s: Var<'g>,
    /// The velocity's part without noise.
    pub v: Var<'g>,
    /// `E[x_0 | x]`.
    pub eta_0: Var<'g>,
    /// `E[x_1 | x]`.
    pub eta_1: Var<'g>,
    /// `E[z | x]`.
    pub eta_z: Var<'g>,
}

impl Fields<'_> {
    fn check(self) -> Result<Self> {
        self.b.graph().check()?;
        Ok(self)
    }
}

impl<'g> Fields<'g> {
    /// Drift of the SDE forwards in time, `b + epsilon s`.
    pub fn forward_drift(&self, epsilon: Var<'g>) -> Var<'g> {
        self.b + epsilon * self.s
    }

    /// Drift of the SDE backwards in time, `b - epsilon s`.
    pub fn backward_drift(&self, epsilon: Var<'g>) -> Var<'g> {
        self.b - epsilon * self.s
    }
}

/// What all pairs give together, weighted by their shares.
pub(super) struct Averages<'g> {
    /// `[n]`.
    pub log_density: Var<'g>,
    /// `<u>`, `[n, d]`.
    pub u: Var<'g>,
    /// `<C_i u>` and `<C_j u>`.
    pub moved: [Var<'g>; 2],
    /// `<m_i>` and `<m_j>`.
    pub means: [Var<'g>; 2],
}

/// What a pair needs at the points.
struct Solved<'g> {
    /// `log w`, `[n, 1]`.
    log_weight: Var<'g>,
    /// `u = C^-1 (x - m)`, then `C_i u` and `C_j u`, each `[n, d]`.
    u: Var<'g>,
    moved: [Var<'g>; 2],
    /// `m_i` and `m_j`, `[d]`.
    means: [Var<'g>; 2],
}

impl MixturePath {
    /// Names, shapes and values of what graphs read.
    fn numbers(&self) -> Parameters {
        let of_pairs = || {
            let pairs = self.pairs.iter().enumerate();
            let named = |(k, pair): (usize, &Pair)| {
                let parts = pair.parameters(self.d).into_iter();
                parts.map(move |(name, shape, values)| (format!("{k}.{name}"), shape, values)).collect::<Parameters>()
            };
            pairs.flat_map(named).collect()
        };
        stacked::parameters(self).unwrap_or_else(of_pairs)
    }

    /// Where they lie in the parameter vector.
    fn layout(&self) -> Result<ParamLayout> {
        self.numbers().into_iter().try_fold(ParamLayout::new(), |layout, (name, shape, _)| layout.with(&name, shape))
    }

    /// The numbers of this path in f32, `[P]`: what the node `theta` of [`fields`](Self::fields) is bound to.
    ///
    /// # Errors
    /// None that a path that exists can give.
    pub fn parameters(&self) -> Result<Vec<f32>> {
        let layout = self.layout()?;
        let mut theta = vec![0f32; layout.len()];
        for (name, _, values) in self.numbers() {
            let place = layout.view_mut(&mut theta, &name)?;
            place.iter_mut().zip(&values).for_each(|(to, &v)| *to = v as f32);
        }
        Ok(theta)
    }

    /// Length of [`parameters`](Self::parameters).
    ///
    /// # Errors
    /// As there.
    pub fn n_params(&self) -> Result<usize> {
        Ok(self.layout()?.len())
    }

    /// All fields at `x [n, d]` and `t`, a scalar or `[n, 1]`, in `[0, 1]`.
    ///
    /// With a scalar `t` what depends on time alone may be computed once a step, in a kernel of its own; with
    /// `t.broadcast_to([n, 1])` every row computes it, so that the steps of a solver are one dispatch.
    ///
    /// # Errors
    /// [`Error::Shape`] for points, times or parameters of other shapes.
    pub fn fields<'g>(&self, theta: Var<'g>, t: Var<'g>, x: Var<'g>) -> Result<Fields<'g>> {
        let (points, time) = (x.shape(), t.shape());
        let n = points.first().copied().unwrap_or(0);
        if *points != [n, self.d] || !(time.is_empty() || *time == [n, 1]) {
            let want = format!("[n, {}] and [] or [n, 1]", self.d);
            let got = format!("x {points} and t {time}");
            return Err(Error::Shape { op: "MixturePath::fields", got, want, at: Some(x.site()) });
        }
        self.fields_at(theta, (Some(t), &self.schedule.at(t)), x)
    }

    /// The same for coefficients of your own, scalars or `[n, 1]`, such as those of a [`Fourier`](super::Fourier) path. They must
    /// have noise if, and only if, the schedule of this path has.
    ///
    /// # Errors
    /// As [`fields`](Self::fields); [`Error::Invalid`] for covariances of more than eight dimensions that share no basis, which are
    /// known along this path's own schedule only.
    pub fn fields_of<'g>(&self, theta: Var<'g>, c: &Coefficients<Var<'g>>, x: Var<'g>) -> Result<Fields<'g>> {
        self.fields_at(theta, (None, c), x)
    }

    fn fields_at<'g>(
        &self,
        theta: Var<'g>,
        (t, c): (Option<Var<'g>>, &Coefficients<Var<'g>>),
        x: Var<'g>,
    ) -> Result<Fields<'g>> {
        let layout = self.layout()?;
        let get = |name: &str| layout.get(theta, name);
        if let Some(averages) = stacked::averages(self, &get, c, x)? {
            return averages.fields(c).check();
        }
        let mut all = vec![];
        for (k, pair) in self.pairs.iter().enumerate() {
            all.push(pair.solve(&|name: &str| get(&format!("{k}.{name}")), (t, c), x)?);
        }
        averaged(&all).fields(c).check()
    }
}

impl<'g> Averages<'g> {
    fn fields(&self, c: &Coefficients<Var<'g>>) -> Fields<'g> {
        let eta_0 = self.means[0] + c.alpha * self.moved[0];
        let eta_1 = self.means[1] + c.beta * self.moved[1];
        let v = c.alpha_dot * eta_0 + c.beta_dot * eta_1;
        let b = v + c.gamma_gamma_dot * self.u;
        Fields { log_density: self.log_density, b, s: -self.u, v, eta_0, eta_1, eta_z: c.gamma() * self.u }
    }
}

/// Averages over pairs that were solved one by one.
fn averaged<'g>(all: &[Solved<'g>]) -> Averages<'g> {
    let (first, rest) = (&all[0], &all[1..]);
    let (n, rows) = (first.u.shape()[0], first.u.shape());
    let top = rest.iter().fold(first.log_weight, |top, other| top.max(other.log_weight)).stop_grad();
    let weights: Vec<_> = all.iter().map(|solved| (solved.log_weight - top).exp()).collect();
    let total = weights[1..].iter().fold(weights[0], |sum, &w| sum + w);
    // One pair: without a choice there is nothing to average.
    let average = |f: &dyn Fn(&Solved<'g>) -> Var<'g>| match rest {
        [] => f(first).broadcast_to(&rows),
        _ => {
            let terms = all.iter().zip(&weights).map(|(solved, &w)| w / total * f(solved));
            terms.reduce(|sum, term| sum + term).unwrap_or(first.u)
        }
    };
    Averages {
        log_density: (total.log() + top).reshape([n]),
        u: average(&|solved| solved.u),
        moved: [0, 1].map(|end| average(&|solved| solved.moved[end])),
        means: [0, 1].map(|end| average(&|solved| solved.means[end])),
    }
}

impl Pair {
    /// Names, shapes and values of what a graph reads of this pair.
    fn parameters(&self, d: usize) -> Vec<(&'static str, Vec<usize>, Vec<f64>)> {
        let constant = self.weight.ln() - 0.5 * d as f64 * TAU.ln();
        let mut all = vec![("mean0", vec![d], self.means[0].clone()), ("mean1", vec![d], self.means[1].clone())];
        match &self.form {
            Form::Basis { change, p, q, log_det, .. } => {
                all.push(("constant", vec![1], vec![constant + log_det]));
                all.extend([("p", vec![d], p.clone()), ("q", vec![d], q.clone())]);
                if let Some([w, u]) = change {
                    // Rows are multiplied from the right.
                    all.push(("to", vec![d, d], transposed(w, d)));
                    all.push(("from", vec![d, d], transposed(u, d)));
                }
            }
            Form::Cholesky => {
                all.push(("constant", vec![1], vec![constant]));
                let [a, b] = &self.covariances;
                all.extend([("covariance0", vec![d, d], a.clone()), ("covariance1", vec![d, d], b.clone())]);
            }
            Form::Series(series) => {
                all.push(("constant", vec![1], vec![constant]));
                all.push(("inverse", vec![series.terms, d * d], series.inverse.clone()));
                all.push(("log_det", vec![series.terms, 1], series.log_det.clone()));
                let [a, b] = &self.covariances;
                all.extend([("covariance0", vec![d, d], a.clone()), ("covariance1", vec![d, d], b.clone())]);
            }
        }
        all
    }

    fn solve<'g>(
        &self,
        get: &dyn Fn(&str) -> Result<Var<'g>>,
        (t, c): (Option<Var<'g>>, &Coefficients<Var<'g>>),
        x: Var<'g>,
    ) -> Result<Solved<'g>> {
        let means = [get("mean0")?, get("mean1")?];
        let y = x - (c.alpha * means[0] + c.beta * means[1]);
        let (exponent, u, moved) = match &self.form {
            Form::Basis { change, r, .. } => {
                let change = if change.is_some() { Some([get("to")?, get("from")?]) } else { None };
                // In a generalised basis (r = 0) even the identity is no multiple of itself.
                let same =
                    [0, 1].map(|end| *r == 1.0 && is_multiple_of_identity(&self.covariances[end], self.means[0].len()));
                in_basis(y, c, [get("p")?, get("q")?], *r, change, same)
            }
            Form::Cholesky => written_out(y, c, [get("covariance0")?, get("covariance1")?])?,
            Form::Series(series) => {
                let t = t.ok_or(Error::Invalid {
                    what: "coefficients of a path",
                    got: "some of another path, for covariances in many dimensions that share no basis".into(),
                    want: "those of its own schedule, or covariances that commute",
                })?;
                let weights = series::weights(t, series.terms)?;
                let both = [get("covariance0")?, get("covariance1")?];
                by_series(y, c, weights, [get("inverse")?, get("log_det")?], both)
            }
        };
        Ok(Solved { log_weight: exponent + get("constant")?, u, moved, means })
    }
}

type Parts<'g> = (Var<'g>, Var<'g>, [Var<'g>; 2]);

/// Exponent `[n, 1]`, `u`, `C_i u`, `C_j u` where all covariances are diagonal after a change of basis.
fn in_basis<'g>(
    y: Var<'g>,
    c: &Coefficients<Var<'g>>,
    [p, q]: [Var<'g>; 2],
    r: f64,
    change: Option<[Var<'g>; 2]>,
    same: [bool; 2],
) -> Parts<'g> {
    let rows = y.shape()[0];
    let variance = (c.alpha.square() * p + c.beta.square() * q + c.gamma2 * r).max(LEAST);
    let turned = change.map_or(y, |[to, _]| times(y, to));
    let scaled = turned / variance;
    // [d] or, with times of their own, [n, d]: one number, or one a row, as a column.
    let axis = variance.shape().len() - 1;
    let log_det = variance.log().sum(axis).unsqueeze(axis);
    let square = (turned * scaled).sum(1).reshape([rows, 1]);
    // W' is the transpose of `to`, which multiplies rows from the right.
    let u = change.map_or(scaled, |[to, _]| times(scaled, to.t()));
    // A multiple of the identity does not need the basis: it is `p` wherever it is applied.
    let moved = |p: Var<'g>, same: bool| match change {
        Some([_, from]) if !same => times(p * scaled, from),
        Some(_) => p * u,
        None => p * scaled,
    };
    ((square + log_det) * -0.5, u, [moved(p, same[0]), moved(q, same[1])])
}

/// `x m` for a small matrix, column by column, which stands inside any kernel.
fn times<'g>(x: Var<'g>, m: Var<'g>) -> Var<'g> {
    let d = x.shape()[1];
    let row = |k: usize| x.narrow(1, k, 1) * m.narrow(0, k, 1);
    (1..d).map(row).fold(row(0), |sum, term| sum + term)
}

/// The same by Cholesky's factorisation of `C(t)`, entry by entry.
fn written_out<'g>(y: Var<'g>, c: &Coefficients<Var<'g>>, covariances: [Var<'g>; 2]) -> Result<Parts<'g>> {
    let d = y.shape()[1];
    let entry = |m: Var<'g>, i: usize, j: usize| m.slice([i, j], [1, 1]).reshape([1]);
    let triangle = Triangle::of(d, |i, j| {
        let [a, b] = covariances.map(|m| entry(m, i, j));
        let sum = c.alpha.square() * a + c.beta.square() * b;
        if i == j { sum + c.gamma2 } else { sum }
    });
    let columns: Vec<_> = (0..d).map(|i| y.narrow(1, i, 1)).collect();
    let z = triangle.solve(&columns);
    let u = triangle.solve_transposed(&z);
    let square = z.iter().map(|z| z.square()).reduce(|a, b| a + b).unwrap_or(y);
    let moved = |m: Var<'g>| {
        let row = |i: usize| (1..d).fold(entry(m, i, 0) * u[0], |sum, k| sum + entry(m, i, k) * u[k]);
        side_by_side(&(0..d).map(row).collect::<Vec<_>>(), y)
    };
    let exponent = triangle.log_det.map_or(square, |log_det| square + log_det) * -0.5;
    Ok((exponent, side_by_side(&u, y)?, [moved(covariances[0])?, moved(covariances[1])?]))
}

/// The same by series of the inverse and of `log det`, and one refinement.
fn by_series<'g>(
    y: Var<'g>,
    c: &Coefficients<Var<'g>>,
    weights: Var<'g>,
    [inverse, log_det]: [Var<'g>; 2],
    covariances: [Var<'g>; 2],
) -> Parts<'g> {
    let (n, d) = (y.shape()[0], y.shape()[1]);
    let whole = weights.matmul(inverse);
    // Matrices are symmetric: rows are multiplied from the right.
    let solve = |y: Var<'g>| match weights.shape()[0] {
        1 => y.matmul(whole.reshape([d, d])),
        rows => (whole.reshape([rows, d, d]) * y.reshape([n, 1, d])).sum(2),
    };
    let moved = |u: Var<'g>| covariances.map(|m| u.matmul(m));
    let first = solve(y);
    let [a, b] = moved(first);
    let u = first + solve(y - (c.alpha.square() * a + c.beta.square() * b + c.gamma2 * first));
    let square = (y * u).sum(1).reshape([n, 1]);
    ((square + weights.matmul(log_det)) * -0.5, u, moved(u))
}

fn side_by_side<'g>(columns: &[Var<'g>], like: Var<'g>) -> Result<Var<'g>> {
    let rows = like.shape()[0];
    let whole: Vec<_> = columns.iter().map(|c| c.broadcast_to([rows, 1])).collect();
    let nothing = Error::Invalid { what: "number of dimensions", got: "0".into(), want: "at least 1" };
    Var::concat(&whole, 1).ok_or(nothing)
}
