//! What a driven system is: its Hamiltonian as a graph.

use crate::graph::{Boundary, Tap, Var};

/// Parameters of a system inside a graph, one row of numbers a parameter point.
#[derive(Clone, Copy)]
pub struct Parameters<'g> {
    table: Var<'g>,
}

impl<'g> Parameters<'g> {
    /// From the table `[b, p]`: `b` parameter points of `p` numbers.
    pub fn new(table: Var<'g>) -> Self {
        Parameters { table }
    }

    /// Number `i` of every point, `[b, 1, 1]`: it meets states `[b, n, sites]` as they are.
    pub fn at(&self, i: usize) -> Var<'g> {
        let b = self.table.shape()[0];
        self.table.narrow(1, i, 1).reshape([b, 1, 1])
    }
}

/// Where `H_theta theta`, the noise of a state, has entries that are not zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Curvature {
    /// Each site has noise of its own.
    Diagonal,
    /// Sites on a ring share noise with their two neighbours, as hops between them do. At least six sites.
    Ring,
    /// Anywhere. For up to eight sites on a device.
    Dense,
}

/// Which law the noise has.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Noise {
    /// `d phi = f dt + sqrt(eps a) dW` with this `a` on every site; `H` is quadratic in `theta`.
    Gaussian {
        /// The variance `a`.
        variance: f64,
    },
    /// Jumps at rates `volume * w`; `eps` is one over the volume.
    Jumps,
    /// The second-order truncation of jumps (chemical Langevin); `H` is quadratic in `theta`.
    Langevin,
}

impl Noise {
    /// Whether `H` is quadratic in `theta`, so that the inner problem has a closed solution.
    pub fn is_quadratic(self) -> bool {
        self != Noise::Jumps
    }
}

/// A system driven by weak noise, by its Hamiltonian
/// `H(phi, theta) = sup_v <theta, v> - L(phi, v)`.
///
/// The Hamiltonian is a graph; every derivative that the method needs is made from it by `autodiff`. For rates, build it
/// with [`jumps`] or [`langevin`]; for an SDE with [`quadratic`].
///
/// ```
/// use ergodic::graph::Var;
/// use ergodic::methods::action::{Channel, Curvature, Model, Noise, Parameters, PathOptions, System, jumps};
/// /// Born at rate k, dying at rate rho: the quasipotential is rho ln(rho/k) - rho + k.
/// struct BirthDeath;
/// impl System for BirthDeath {
///     fn sites(&self) -> usize { 1 }
///     fn parameters(&self) -> &[&str] { &["k"] }
///     fn noise(&self) -> Noise { Noise::Jumps }
///     fn curvature(&self) -> Curvature { Curvature::Diagonal }
///     fn hamiltonian<'g>(&self, rho: Var<'g>, theta: Var<'g>, p: Parameters<'g>) -> Var<'g> {
///         jumps(&[Channel::new(p.at(0), theta), Channel::new(rho, -theta)])
///     }
/// }
/// # fn main() -> ergodic::Result<()> {
/// let climb = Model::new(&BirthDeath, &[1.0])?.climb(&[1.0], &[2.0], &PathOptions { free_end: true, ..Default::default() })?;
/// // On one site the path is known, and so what is left is the error of the quadrature.
/// assert!((climb.value - (2.0 * 2f64.ln() - 1.0)).abs() < 1e-8);
/// # Ok(()) }
/// ```
pub trait System {
    /// Numbers in a state.
    fn sites(&self) -> usize;
    /// Names of the parameters, in the order in which numbers are given for them.
    fn parameters(&self) -> &[&str];
    /// The law of the noise; it is stored with every action.
    fn noise(&self) -> Noise;
    /// `H`, one value a node `[b, n]`, of states and momenta `[b, n, sites]`. Nodes must not mix.
    fn hamiltonian<'g>(&self, phi: Var<'g>, theta: Var<'g>, p: Parameters<'g>) -> Var<'g>;
    /// Where the second derivative of `H` in `theta` is not zero.
    fn curvature(&self) -> Curvature {
        Curvature::Dense
    }
    /// Rate at which a difference between neighbours on the ring of sites decays, `D / dx^2`; `None` where sites are no ring.
    fn hopping(&self, _p: &[f64]) -> Option<f64> {
        None
    }
    /// Factor from sums over sites to the action: `dx` for a field in the continuum's units.
    fn site_weight(&self) -> f64 {
        1.0
    }
    /// Rates of all channels at states `[b, n, sites]`, which must not be negative.
    fn rates<'g>(&self, _phi: Var<'g>, _p: Parameters<'g>) -> Vec<Var<'g>> {
        vec![]
    }
}

/// One kind of jump: how often, and the momentum `<nu, theta>` along what it adds to the state.
#[derive(Clone, Copy)]
pub struct Channel<'g> {
    rate: Var<'g>,
    along: Var<'g>,
}

impl<'g> Channel<'g> {
    /// At every site: rates and momenta `[b, n, sites]`.
    pub fn new(rate: Var<'g>, along: Var<'g>) -> Self {
        Channel { rate, along }
    }
}

/// `H = sum_r w_r (exp <nu_r, theta> - 1)`, with `exp z - 1` computed without cancellation.
pub fn jumps<'g, const R: usize>(channels: &[Channel<'g>; R]) -> Var<'g> {
    summed(channels, |z| z.expm1())
}

/// The truncation of [`jumps`] after the second order: `H = sum_r w_r (z_r + z_r^2 / 2)`.
pub fn langevin<'g, const R: usize>(channels: &[Channel<'g>; R]) -> Var<'g> {
    summed(channels, |z| z + z.square() * 0.5)
}

fn summed<'g, const R: usize>(channels: &[Channel<'g>; R], f: impl Fn(Var<'g>) -> Var<'g>) -> Var<'g> {
    const { assert!(R > 0, "a Hamiltonian needs a channel") };
    let term = |c: &Channel<'g>| (c.rate * f(c.along)).sum(2);
    channels[1..].iter().fold(term(&channels[0]), |sum, c| sum + term(c))
}

/// `H = <f, theta> + a/2 <theta, theta>` of an SDE with drift `f` and noise `sqrt(eps a)`.
pub fn quadratic<'g>(drift: Var<'g>, theta: Var<'g>, variance: f64) -> Var<'g> {
    (theta * (drift + theta * (0.5 * variance))).sum(2)
}

/// `x` of the neighbour `by` sites further on the ring.
pub fn neighbour(x: Var<'_>, by: i32) -> Var<'_> {
    x.stencil(&[Tap::new([by], 1.0)], Boundary::Periodic)
}

/// `x_{i+1} - 2 x_i + x_{i-1}` on the ring, as a difference of differences: neighbours are nearly equal, so these are exact.
pub fn ring_laplacian(x: Var<'_>) -> Var<'_> {
    let forward = x.stencil(&[Tap::new([1], 1.0), Tap::new([0], -1.0)], Boundary::Periodic);
    forward.stencil(&[Tap::new([0], 1.0), Tap::new([-1], -1.0)], Boundary::Periodic)
}
