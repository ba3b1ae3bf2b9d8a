//! Fields in more than a few dimensions: all pairs of modes side by side, in three products with matrices.
//!
//! Each pair `k` has a basis `W_k` in which its covariance is diagonal at all times, `C = U D(t) U'`, `U = W^-1`. The bases
//! stand in one matrix, and the shares `r_k` of the pairs enter before the way back, which sums over pairs:
//!
//! ```text
//! y = x [W_1' .. W_K'] - (alpha m_i + beta m_j) W_k'      [n, K d]
//! log w_k = -(sum y^2/D + sum log D)/2 + constant,   r = softmax(log w)
//! <u> = [r y/D] [W_1; ..; W_K],    <C_i u> = [r p y/D] [U_1'; ..; U_K'],   <C_j u> the same with q
//! ```
//!
//! Three large products fill tiles that one for each pair would not, and a plan has one kernel for each instead of one a pair.

use super::fields::{Averages, LEAST};
use super::linalg::{identity, is_multiple_of_identity, times, transposed};
use super::path::{Form, MixturePath, Pair};
use super::schedule::Coefficients;
use crate::error::Result;
use crate::graph::Var;
use std::f64::consts::TAU;

/// Largest dimension in which products are written out column by column instead.
const WRITTEN_OUT: usize = 4;

/// Names, shapes and values of parameters.
pub(super) type Parameters = Vec<(String, Vec<usize>, Vec<f64>)>;

/// What a pair is in its basis.
struct Basis<'a> {
    pair: &'a Pair,
    w: Vec<f64>,
    u: Vec<f64>,
    p: &'a [f64],
    q: &'a [f64],
    /// The noise's identity in this basis: 1, or 0 where there is none.
    r: f64,
    log_det: f64,
}

/// The bases of all pairs, if stacking them serves: every pair has one, not all are the axes, and there are many dimensions.
fn bases(path: &MixturePath) -> Option<Vec<Basis<'_>>> {
    let d = path.d;
    let moves = |pair: &Pair| matches!(&pair.form, Form::Basis { change: Some(_), .. });
    if d <= WRITTEN_OUT || !path.pairs.iter().any(moves) {
        return None;
    }
    let mut all = vec![];
    for pair in &path.pairs {
        let Form::Basis { change, p, q, r, log_det } = &pair.form else { return None };
        let [w, u] = change.clone().unwrap_or_else(|| [identity(d), identity(d)]);
        all.push(Basis { pair, w, u, p, q, r: *r, log_det: *log_det });
    }
    Some(all)
}

/// The parameters of a path whose pairs are stacked; `None` if they are not.
pub(super) fn parameters(path: &MixturePath) -> Option<Parameters> {
    let (d, all) = (path.d, bases(path)?);
    let k = all.len();
    let rows = |f: &dyn Fn(&Basis<'_>) -> Vec<f64>| all.iter().flat_map(f).collect::<Vec<f64>>();
    let constant = |b: &Basis<'_>| vec![b.pair.weight.ln() - 0.5 * d as f64 * TAU.ln() + b.log_det];
    // Blocks one below the other; `to` is the transpose of the blocks W, side by side.
    let blocks = rows(&|b| b.w.clone());
    let to = (0..d * k * d).map(|at| blocks[at % (k * d) * d + at / (k * d)]).collect();
    Some(vec![
        ("mean0".into(), vec![k, d], rows(&|b| b.pair.means[0].clone())),
        ("mean1".into(), vec![k, d], rows(&|b| b.pair.means[1].clone())),
        ("turned0".into(), vec![k, d], rows(&|b| times(&b.w, &b.pair.means[0]))),
        ("turned1".into(), vec![k, d], rows(&|b| times(&b.w, &b.pair.means[1]))),
        ("constant".into(), vec![k], rows(&constant)),
        ("p".into(), vec![k, d], rows(&|b| b.p.to_vec())),
        ("q".into(), vec![k, d], rows(&|b| b.q.to_vec())),
        ("to".into(), vec![d, k * d], to),
        ("from".into(), vec![k * d, d], rows(&|b| transposed(&b.u, d))),
    ])
}

/// Averages over the pairs at `x [n, d]`; `None` if they are not stacked.
pub(super) fn averages<'g>(
    path: &MixturePath,
    get: &dyn Fn(&str) -> Result<Var<'g>>,
    c: &Coefficients<Var<'g>>,
    x: Var<'g>,
) -> Result<Option<Averages<'g>>> {
    let Some(all) = bases(path) else { return Ok(None) };
    let (n, d, k) = (x.shape()[0], path.d, all.len());
    // Times of rows' own stand on the first axis of [n, K, d].
    let time = |v: Var<'g>| if v.shape().is_empty() { v } else { v.reshape([n, 1, 1]) };
    let (alpha, beta, gamma2) = (time(c.alpha), time(c.beta), time(c.gamma2));
    let (p, q, to) = (get("p")?, get("q")?, get("to")?);
    let turned = x.matmul(to).reshape([n, k, d]) - (alpha * get("turned0")? + beta * get("turned1")?);
    let variance = (alpha.square() * p + beta.square() * q + gamma2 * all[0].r).max(LEAST);
    let scaled = turned / variance;
    let last = variance.shape().len() - 1;
    let exponent = ((turned * scaled).sum(2) + variance.log().sum(last)) * -0.5 + get("constant")?;
    let top = exponent.max_over(1).stop_grad().reshape([n, 1]);
    let weights = (exponent - top).exp();
    let total = weights.sum(1).reshape([n, 1]);
    let shares = weights / total;
    let shared = shares.reshape([n, k, 1]) * scaled;
    let flat = |v: Var<'g>| v.reshape([n, k * d]);
    let u = flat(shared).matmul(to.t());
    let from = get("from")?;
    let moved = |spectrum: Var<'g>, end: usize| match multiple(&all, end, d) {
        Some(factor) => u * factor,
        None => flat(shared * spectrum).matmul(from),
    };
    Ok(Some(Averages {
        log_density: (total.log() + top).reshape([n]),
        u,
        moved: [moved(p, 0), moved(q, 1)],
        means: [shares.matmul(get("mean0")?), shares.matmul(get("mean1")?)],
    }))
}

/// The number of which all covariances of one end are that multiple of the identity.
fn multiple(all: &[Basis<'_>], end: usize, d: usize) -> Option<f64> {
    let first = all.first()?.pair.covariances[end][0];
    let same =
        |b: &Basis<'_>| is_multiple_of_identity(&b.pair.covariances[end], d) && b.pair.covariances[end][0] == first;
    all.iter().all(same).then_some(first)
}
