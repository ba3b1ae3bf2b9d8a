//! The Gaussian step that all overdamped kernels share, kept in one place so that a move and its density agree.

use crate::autodiff;
use crate::error::{Error, Result};
use crate::graph::{Graph, IntoVar, Var};

/// A point with its energy and gradient: one end of a step.
#[derive(Clone, Copy)]
pub struct EndPoint<'g> {
    /// Position `[n, ..]`, length.
    pub x: Var<'g>,
    /// Energy `[n]`.
    pub u: Var<'g>,
    /// Gradient `[n, ..]`, energy / length.
    pub grad: Var<'g>,
}

impl<'g> EndPoint<'g> {
    /// Energy and gradient at `x [n, ..]`.
    ///
    /// # Errors
    /// [`Error::Shape`] unless the energy is one value a walker, `[n]`; what [`autodiff::grad`] refuses,
    /// an energy of several walkers together ([`Error::NotRowwise`]) among it.
    pub fn of(energy: impl Fn(Var<'g>) -> Var<'g>, x: Var<'g>) -> Result<Self> {
        let u = energy(x);
        check_energy(x, u)?;
        Ok(EndPoint { x, u, grad: autodiff::grad(u, x)? })
    }

    /// The rows at these `U32` indices `[n]`.
    #[track_caller]
    pub fn gather(self, index: Var<'g>) -> Self {
        EndPoint { x: self.x.gather(index), u: self.u.gather(index), grad: self.grad.gather(index) }
    }

    /// Walker by walker, `yes` where the `Bool [n]` holds and `no` elsewhere.
    #[track_caller]
    pub fn choose(condition: Var<'g>, yes: Self, no: Self) -> Self {
        let rows = per_row(condition, yes.x);
        EndPoint { x: rows.select(yes.x, no.x), u: condition.select(yes.u, no.u), grad: rows.select(yes.grad, no.grad) }
    }
}

/// An energy must be one value a walker: a column `[n, 1]` would silently broadcast to `[n, n]` in the weights.
pub(crate) fn check_energy(x: Var<'_>, u: Var<'_>) -> Result<()> {
    u.graph().check()?;
    let (x_shape, u_shape) = (x.shape(), u.shape());
    if !x_shape.is_empty() && u_shape[..] == x_shape[..1] {
        return Ok(());
    }
    let want = format!("one value a walker, [n] for positions {x_shape}; sum over the other axes");
    Err(Error::Shape { op: "energy", got: u_shape.to_string(), want, at: Some(u.site()) })
}

/// Sum over every axis but the first.
#[track_caller]
pub(crate) fn row_sum(x: Var<'_>) -> Var<'_> {
    let axes: Vec<_> = (1..x.shape().len()).collect();
    x.sum(axes)
}

/// `[n]` with axes of length 1 appended, so that it broadcasts over the rows of `like [n, ..]`.
#[track_caller]
pub(crate) fn per_row<'g>(v: Var<'g>, like: Var<'g>) -> Var<'g> {
    let mut shape = vec![1; like.shape().len()];
    shape[0] = v.shape()[0];
    v.reshape(shape)
}

/// `y = x + drift(grad U(x)) + noise_sd * xi`, `xi` standard normal: the move, and everything a weight needs to know of it.
///
/// ```text
/// drift(g) = -h g, each component limited to [-clip, clip] if asked for       noise_sd^2 = 2 h T by default
/// ```
///
/// The stationary density aimed at is `exp(-U/T)`. A noise other than the default is allowed, and corrected for by the
/// weights; without weights it samples another temperature, `noise_sd^2 / 2h`.
#[derive(Clone, Copy)]
pub struct Proposal<'g> {
    /// `h`, scalar, length^2 / energy, > 0.
    pub step_size: Var<'g>,
    /// `T`, scalar, energy, > 0.
    pub temperature: Var<'g>,
    /// Standard deviation of the noise, scalar, length; `None` is `sqrt(2 h T)`.
    pub noise_sd: Option<Var<'g>>,
    /// Largest drift of one component, scalar, length; `None` is no limit.
    pub clip: Option<Var<'g>>,
}

impl<'g> Proposal<'g> {
    /// Step size `h` at temperature 1, with the noise of unadjusted Langevin.
    #[track_caller]
    pub fn new(graph: &'g Graph, step_size: impl IntoVar<'g>) -> Self {
        let step_size = step_size.into_var(graph, crate::graph::DType::F32);
        Proposal { step_size, temperature: graph.constant(1.0), noise_sd: None, clip: None }
    }

    /// At another temperature.
    #[must_use]
    pub fn temperature(self, temperature: impl IntoVar<'g>) -> Self {
        Proposal { temperature: self.scalar(temperature), ..self }
    }

    /// With another noise.
    #[must_use]
    pub fn noise_sd(self, noise_sd: impl IntoVar<'g>) -> Self {
        Proposal { noise_sd: Some(self.scalar(noise_sd)), ..self }
    }

    /// With the drift of each component limited.
    #[must_use]
    pub fn clip(self, limit: impl IntoVar<'g>) -> Self {
        Proposal { clip: Some(self.scalar(limit)), ..self }
    }

    fn scalar(&self, value: impl IntoVar<'g>) -> Var<'g> {
        value.into_var(self.step_size.graph(), crate::graph::DType::F32)
    }

    /// Standard deviation of the noise, a scalar.
    pub fn sd(&self) -> Var<'g> {
        self.noise_sd.unwrap_or_else(|| (self.step_size * self.temperature * 2.0).sqrt())
    }

    /// Variance of the noise, a scalar.
    pub fn variance(&self) -> Var<'g> {
        self.noise_sd.map_or_else(|| self.step_size * self.temperature * 2.0, Var::square)
    }

    /// Mean displacement `[n, ..]` where the gradient is `grad [n, ..]`.
    pub fn drift(&self, grad: Var<'g>) -> Var<'g> {
        let free = -(self.step_size * grad);
        self.clip.map_or(free, |limit| free.max(-limit).min(limit))
    }

    /// Where `from` goes with standard normals `xi` of the shape of `x`.
    pub fn propose(&self, from: EndPoint<'g>, xi: Var<'g>) -> Var<'g> {
        from.x + self.drift(from.grad) + self.sd() * xi
    }
}
