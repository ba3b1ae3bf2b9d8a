//! Jacobians of one value a row with respect to shared parameters, kept factored.
//!
//! For `u [n]` and parameters `theta [P]` the Jacobian `J [n, P]` is large, and each dense layer `h @ W` gives it a
//! block of rank one a row:
//!
//! ```text
//! d u_i / d W = h_i ⊗ delta_i         h [n, k]: what enters the layer      delta [n, m]: d u_i / d (h @ W)_i
//! d u_i / d b = delta_i
//! ```
//!
//! The deltas are the cotangents of `1` in every row. `grad(u, x)` computes the same ones, so both together go
//! backward once. Everything below is made of `h` and `delta`:
//!
//! ```text
//! J' p = h' (p ⊙ delta)        J v = sum of delta ⊙ (h V)        J_a J_b' = (h_a h_b') ⊙ (delta_a delta_b')
//! ```

use super::block::{Block, Chains};
use super::linear::{forward, path, placeholder, product, transposed};
use super::names::Name;
use super::same_shape;
use super::transpose::{Cotangent, transpose};
use crate::error::{Error, Result};
use crate::graph::{Graph, Node, NodeId, Op, Var};
use std::collections::HashMap;

/// The factored Jacobian `[n, P]` of one value a row; made by [`per_sample`].
#[must_use]
pub struct PerSample<'g> {
    graph: &'g Graph,
    n_rows: usize,
    n_params: usize,
    terms: Vec<Term<'g>>,
}

/// One use of parameters.
struct Term<'g> {
    block: Block,
    factor: Factor<'g>,
}

/// `d u_i / d block`.
#[derive(Clone, Copy)]
enum Factor<'g> {
    /// `input_i ⊗ delta_i` for a matrix `[k, m]`.
    Dense { input: Var<'g>, delta: Var<'g> },
    /// `delta_i`, in the shape of the block.
    Direct { delta: Var<'g> },
}

/// Per-row Jacobian of `y [n]` with respect to one flat parameter vector `[P]`, factored.
///
/// Parameters are followed through `narrow`, `slice`, `reshape`, `permute` and constant factors into matrix products
/// from the right (`h @ W`) and broadcasts (`+ b`, element-wise weights).
///
/// # Errors
/// [`Error::NotRowwise`] if a row's value reads another row on its way from the parameters; [`Error::Shape`];
/// [`Error::NotDifferentiable`] for parameters used in another way than above, with the line.
///
/// # Example
/// ```
/// use ergodic::{autodiff::per_sample, graph::{Feeds, Graph}};
/// # fn main() -> ergodic::Result<()> {
/// let g = Graph::new();
/// let (x, theta, p) = (g.input("x", [2, 2]), g.input("theta", [3]), g.input("p", [2]));
/// let u = (x.matmul(theta.narrow(0, 0, 2).reshape([2, 1])) + theta.narrow(0, 2, 1)).reshape([2]);
/// let jacobian = per_sample(u, theta)?;
/// let weighted = jacobian.vjp(p)?; // sum_i p_i du_i/dtheta
/// let feeds = Feeds::new().tensor("x", &[1.0, 2.0, 3.0, 4.0]).tensor("p", &[1.0, 10.0]);
/// let got = g.eval_f64(&[weighted, jacobian.materialize()], &feeds)?;
/// assert_eq!(got[0].data, [31.0, 42.0, 11.0]);
/// assert_eq!(got[1].data, [1.0, 2.0, 1.0, 3.0, 4.0, 1.0]);
/// # Ok(()) }
/// ```
#[track_caller]
pub fn per_sample<'g>(y: Var<'g>, params: Var<'g>) -> Result<PerSample<'g>> {
    let (shape, flat) = (y.shape(), params.shape());
    if shape.len() != 1 || flat.len() != 1 {
        let (got, want) = (format!("y {shape} and parameters {flat}"), "y [n] and one flat vector [P]".into());
        return Err(Error::Shape { op: "per_sample", got, want, at: Some(y.site()) });
    }
    if Name::is_passed_by(y, params)? {
        let why = "y reads these parameters past this view of them; differentiate by the vector itself";
        return Err(Error::NotDifferentiable { op: "per_sample", why: why.into(), at: Some(params.site()) });
    }
    let mut jacobian = PerSample { graph: y.graph(), n_rows: shape[0], n_params: flat[0], terms: vec![] };
    let t = placeholder(params);
    if let Some(&tangent) = forward(&[y], &[(params, t)])?.get(&y.id()) {
        jacobian.collect(tangent, t, y.zeros_like() + 1.0)?;
    }
    Ok(jacobian)
}

impl<'g> PerSample<'g> {
    /// Walk the tangent of `y` backward with `ones` until parameters turn into rows, and keep both factors there.
    #[track_caller]
    fn collect(&mut self, tangent: Var<'g>, t: Var<'g>, ones: Var<'g>) -> Result<()> {
        let g = self.graph;
        let nodes = path(g, &[tangent.id()], &[t.id()]);
        let chains = Chains::of(g, &nodes, t);
        let linear: std::collections::HashSet<_> = nodes.iter().copied().collect();
        let mut pending: HashMap<NodeId, Cotangent<'g>> = HashMap::new();
        pending.entry(tangent.id()).or_default().add(ones);
        for &id in nodes.iter().rev() {
            let node = g.node(id);
            let ct = pending.remove(&id).and_then(|ct| g.built_at(node.site, || ct.total(&node.shape)));
            let Some(ct) = ct.filter(|ct| !ct.is_zero()) else { continue };
            if chains.block(id).is_some() {
                return Err(unfactored(&node)); // a row-shaped use of the parameters themselves
            }
            for (k, arg) in node.args.iter().enumerate().filter(|(_, arg)| linear.contains(arg)) {
                match (chains.block(*arg), &node.op) {
                    (Some(block), Op::MatMul) if k == 1 => {
                        let factor = Factor::Dense { input: g.var(node.args[0]), delta: ct };
                        self.terms.push(Term { block: block.clone(), factor });
                    }
                    (Some(block), Op::Broadcast) => {
                        let factor = Factor::Direct { delta: rows_of(ct, &block.shape) };
                        self.terms.push(Term { block: block.clone(), factor });
                    }
                    (Some(_), _) => return Err(unfactored(&node)),
                    (None, Op::MatMul) if k == 1 => return Err(unfactored(&node)), // a matrix made of parameters, curved
                    (None, _) => {
                        keeps_rows(g, &node, k, self.n_rows)?;
                        let to = pending.entry(*arg).or_default();
                        g.built_at(node.site, || transpose(g, id, &node, k, ct, to))?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Number of rows `n`.
    pub fn n_rows(&self) -> usize {
        self.n_rows
    }

    /// Number of parameters `P`.
    pub fn n_params(&self) -> usize {
        self.n_params
    }

    /// `J' weights`: `sum_i weights_i d y_i / d theta`, `[P]`. One matrix product a dense layer.
    ///
    /// # Errors
    /// [`Error::Shape`] if `weights` is not `[n]`.
    #[track_caller]
    pub fn vjp(&self, weights: Var<'g>) -> Result<Var<'g>> {
        same_shape("per_sample vjp", weights, &[self.n_rows].into())?;
        let mut total = Cotangent::default();
        for term in &self.terms {
            let ct = match term.factor {
                Factor::Dense { input, delta } => product(transposed(input), delta * weights.unsqueeze(1)),
                Factor::Direct { delta } => {
                    let mut shape = vec![1; delta.shape().len()];
                    shape[0] = self.n_rows;
                    (delta * weights.reshape(shape)).sum(0)
                }
            };
            let flat = term.block.pull(ct.unsqueeze(0)).reshape([term.block.len]);
            total.add_box(&[term.block.start], flat);
        }
        Ok(total.total(&[self.n_params].into()).unwrap_or_else(|| self.graph.full(0.0, [self.n_params])))
    }

    /// `J v`: the derivative of every `y_i` along `v [P]`, `[n]`. One matrix product a dense layer.
    ///
    /// # Errors
    /// [`Error::Shape`] if `v` is not `[P]`.
    #[track_caller]
    pub fn jvp(&self, v: Var<'g>) -> Result<Var<'g>> {
        same_shape("per_sample jvp", v, &[self.n_params].into())?;
        let mut total = None;
        for term in &self.terms {
            let along = term.block.push(v);
            let row = match term.factor {
                Factor::Dense { input, delta } => (delta * product(input, along)).sum(1),
                Factor::Direct { delta } => (delta * along).sum((1..delta.shape().len()).collect::<Vec<_>>()),
            };
            total = super::jvp::add(total, Some(row));
        }
        Ok(total.unwrap_or_else(|| self.graph.full(0.0, [self.n_rows])))
    }

    /// `J_self J_other'`: inner products of all pairs of rows, `[n, n_other]`. Both must be of one parameter vector.
    ///
    /// # Errors
    /// [`Error::Shape`] if the numbers of parameters differ.
    #[track_caller]
    pub fn gram(&self, other: &PerSample<'g>) -> Result<Var<'g>> {
        if self.n_params != other.n_params {
            let (got, want) = (format!("{} and {}", self.n_params, other.n_params), "one number of parameters".into());
            return Err(Error::Shape { op: "per_sample gram", got, want, at: None });
        }
        let pairs = || self.terms.iter().flat_map(|a| other.terms.iter().map(move |b| (a, b)));
        let meet = |a: &Block, b: &Block| a.start < b.start + b.len && b.start < a.start + a.len;
        if pairs().any(|(a, b)| meet(&a.block, &b.block) && !a.block.same_layout(&b.block)) {
            return Ok(self.materialize().matmul(other.materialize().t()));
        }
        let mut total = None;
        for (a, b) in pairs().filter(|(a, b)| meet(&a.block, &b.block)) {
            let inner = match (a.factor, b.factor) {
                (Factor::Dense { input: h, delta: d }, Factor::Dense { input: k, delta: e }) => {
                    product(h, transposed(k)) * product(d, transposed(e))
                }
                (a, b) => product(a.flat(), transposed(b.flat())),
            };
            total = super::jvp::add(total, Some(inner * (a.block.scale * b.block.scale)));
        }
        Ok(total.unwrap_or_else(|| self.graph.full(0.0, [self.n_rows, other.n_rows])))
    }

    /// The whole Jacobian, `[n, P]`: `4 n P` bytes on a device. [`rows`](PerSample::rows) makes a part of it.
    #[track_caller]
    pub fn materialize(&self) -> Var<'g> {
        self.rows(0, self.n_rows)
    }

    /// Rows `start .. start + count` of the Jacobian, `[count, P]`. A range outside is a mistake the graph records.
    #[track_caller]
    pub fn rows(&self, start: usize, count: usize) -> Var<'g> {
        let part = |v: Var<'g>| v.narrow(0, start, count);
        let mut total = Cotangent::default();
        for term in &self.terms {
            let dense = match term.factor {
                Factor::Dense { input, delta } => part(input).unsqueeze(2) * part(delta).unsqueeze(1),
                Factor::Direct { delta } => part(delta),
            };
            total.add_box(&[0, term.block.start], term.block.pull(dense).reshape([count, term.block.len]));
        }
        let shape = [count, self.n_params].into();
        total.total(&shape).unwrap_or_else(|| self.graph.full(0.0, shape))
    }
}

impl<'g> Factor<'g> {
    /// One row of all entries a row.
    #[track_caller]
    fn flat(self) -> Var<'g> {
        let dense = match self {
            Factor::Dense { input, delta } => input.unsqueeze(2) * delta.unsqueeze(1),
            Factor::Direct { delta } => delta,
        };
        let shape = dense.shape();
        dense.reshape([shape[0], shape[1..].iter().product()])
    }
}

/// Cotangent `[n, ..]` of a broadcast from a block: summed over the repeats within a row, `[n, block ..]`.
#[track_caller]
fn rows_of<'g>(ct: Var<'g>, block: &[usize]) -> Var<'g> {
    let wide = ct.shape();
    let new = wide.len() - block.len();
    let repeated = |&i: &usize| wide[i] != 1 && (i < new || block[i - new] == 1);
    let axes: Vec<_> = (1..wide.len()).filter(repeated).collect();
    let shape: Vec<_> = wide[..1].iter().chain(block).copied().collect();
    ct.sum(axes).reshape(shape)
}

/// Refuse a step of the backward walk after which axis 0 would not be the row.
fn keeps_rows(g: &Graph, node: &Node, k: usize, rows: usize) -> Result<()> {
    let arg = g.node(node.args[k]);
    let same = arg.shape.first() == Some(&rows);
    let kept = match &node.op {
        Op::Unary(_) | Op::Binary(_) | Op::Select => true,
        Op::Sum { axes } => axes.first().is_none_or(|&axis| axis > 0),
        Op::CumSum { axis } | Op::Concat { axis } | Op::Tridiagonal { axis } => *axis > 0,
        Op::Permute(perm) => perm.first() == Some(&0),
        Op::Broadcast => same && arg.shape.len() == node.shape.len(),
        Op::Reshape | Op::Slice(_) | Op::Pad(_) => same && node.shape.first() == Some(&rows),
        Op::Stencil { taps, .. } => taps.iter().all(|tap| tap.offset.len() < node.shape.len()),
        Op::MatMul => k == 0,
        _ => false,
    };
    if kept {
        return Ok(());
    }
    let hint = "per_sample wants every y_i to be computed from row i alone; vjp gives the sum over rows".into();
    Err(Error::NotRowwise { op: node.op.name(), hint, at: Some(node.site) })
}

fn unfactored(node: &Node) -> Error {
    let why = "per_sample follows parameters through slice, reshape, permute and constant factors into h @ W or a \
               broadcast; for other uses take vjp or jvp of the whole function";
    Error::NotDifferentiable { op: node.op.name(), why: why.into(), at: Some(node.site) }
}
