//! The systems of the paper, and those with known answers that the tests hold the method to.

use super::system::{
    Channel, Curvature, Noise, Parameters, System, jumps, langevin, neighbour, quadratic, ring_laplacian,
};
use crate::graph::Var;

/// Modified Ginzburg-Landau on a ring of length 1, with a chemical potential that is no gradient (arXiv:2202.06936):
///
/// ```text
/// phi_t = D phi_xx + phi - phi^3 + kappa <phi^2> + h + sqrt(eps a) eta,   a = 2
/// ```
///
/// Parameters `D`, `kappa`, `h`. Actions are sums over sites, or multiplied by `dx = 1 / sites` ([`field`](Self::field)).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GinzburgLandau {
    sites: usize,
    weight: f64,
}

impl GinzburgLandau {
    /// This many sites, actions summed over sites.
    pub fn sites(sites: usize) -> Self {
        GinzburgLandau { sites, weight: 1.0 }
    }

    /// A field on this many sites, actions in the units of the continuum.
    pub fn field(sites: usize) -> Self {
        GinzburgLandau { sites, weight: 1.0 / sites as f64 }
    }
}

impl System for GinzburgLandau {
    fn sites(&self) -> usize {
        self.sites
    }

    fn parameters(&self) -> &[&str] {
        &["D", "kappa", "h"]
    }

    fn noise(&self) -> Noise {
        Noise::Gaussian { variance: 2.0 }
    }

    fn curvature(&self) -> Curvature {
        Curvature::Diagonal
    }

    fn hopping(&self, p: &[f64]) -> Option<f64> {
        Some(p[0] * (self.sites * self.sites) as f64)
    }

    fn site_weight(&self) -> f64 {
        self.weight
    }

    fn hamiltonian<'g>(&self, phi: Var<'g>, theta: Var<'g>, p: Parameters<'g>) -> Var<'g> {
        let per_dx2 = (self.sites * self.sites) as f64;
        let (b, n) = (phi.shape()[0], phi.shape()[1]);
        let mean = phi.square().mean(2).reshape([b, n, 1]);
        let drift = ring_laplacian(phi) * (p.at(0) * per_dx2) + phi * (1.0 - phi.square()) + p.at(1) * mean + p.at(2);
        quadratic(drift, theta, 2.0)
    }
}

/// The Schlögl network `0 <-> A, 2A <-> 3A` on a ring of sites with hops to both neighbours (arXiv:2202.06936).
///
/// ```text
/// w+ = k0 + k2 rho^2     w- = k1 rho + k3 rho^3     hops at rate D rho to each side
/// ```
///
/// Parameters `D`, `k0`, `k1`, `k2`, `k3`; with `k2 = k3 = 0` it is birth and death with hopping, whose quasipotential is
/// known. Actions are sums over sites.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schloegl {
    sites: usize,
    noise: Noise,
}

impl Schloegl {
    /// The paper's rates, whose states are .5, 1 and 1.6: `k0, k1, k2, k3`.
    pub const RATES: [f64; 4] = [0.8, 2.9, 3.1, 1.0];

    /// With jumps.
    pub fn new(sites: usize) -> Self {
        Schloegl { sites, noise: Noise::Jumps }
    }

    /// The chemical Langevin truncation.
    pub fn langevin(sites: usize) -> Self {
        Schloegl { sites, noise: Noise::Langevin }
    }
}

impl System for Schloegl {
    fn sites(&self) -> usize {
        self.sites
    }

    fn parameters(&self) -> &[&str] {
        &["D", "k0", "k1", "k2", "k3"]
    }

    fn noise(&self) -> Noise {
        self.noise
    }

    fn curvature(&self) -> Curvature {
        if self.sites < 6 { Curvature::Dense } else { Curvature::Ring }
    }

    fn hopping(&self, p: &[f64]) -> Option<f64> {
        Some(p[0])
    }

    fn hamiltonian<'g>(&self, rho: Var<'g>, theta: Var<'g>, p: Parameters<'g>) -> Var<'g> {
        let [up, down, hop] = self.all_rates(rho, p);
        let channels = [
            Channel::new(up, theta),
            Channel::new(down, -theta),
            Channel::new(hop, neighbour(theta, 1) - theta),
            Channel::new(hop, neighbour(theta, -1) - theta),
        ];
        match self.noise {
            Noise::Jumps => jumps(&channels),
            _ => langevin(&channels),
        }
    }

    fn rates<'g>(&self, rho: Var<'g>, p: Parameters<'g>) -> Vec<Var<'g>> {
        self.all_rates(rho, p).to_vec()
    }
}

impl Schloegl {
    fn all_rates<'g>(&self, rho: Var<'g>, p: Parameters<'g>) -> [Var<'g>; 3] {
        let square = rho.square();
        [p.at(1) + p.at(3) * square, rho * (p.at(2) + p.at(4) * square), p.at(0) * rho]
    }
}

/// Maier and Stein's field in the plane, `a = 1`, parameters `beta` and `mu`:
/// `u = x - x^3 - beta x y^2`, `v = -mu (1 + x^2) y`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MaierStein;

impl System for MaierStein {
    fn sites(&self) -> usize {
        2
    }

    fn parameters(&self) -> &[&str] {
        &["beta", "mu"]
    }

    fn noise(&self) -> Noise {
        Noise::Gaussian { variance: 1.0 }
    }

    fn curvature(&self) -> Curvature {
        Curvature::Diagonal
    }

    fn hamiltonian<'g>(&self, phi: Var<'g>, theta: Var<'g>, p: Parameters<'g>) -> Var<'g> {
        let (x, y) = (phi.narrow(2, 0, 1), phi.narrow(2, 1, 1));
        let u = x * (1.0 - x.square() - p.at(0) * y.square());
        let v = -(p.at(1) * (1.0 + x.square()) * y);
        let two = phi.shape();
        let drift = u.pad([0, 0, 0], &two) + v.pad([0, 0, 1], &two);
        quadratic(drift, theta, 1.0)
    }
}

/// `f = A x` with `a = 1`: the quasipotential is quadratic, and paths are spirals unless `A` is symmetric.
#[derive(Clone, Debug, PartialEq)]
pub struct LinearSde {
    matrix: Vec<f64>,
    sites: usize,
}

impl LinearSde {
    /// From `A [d, d]`, row-major.
    pub fn new(matrix: &[f64]) -> Self {
        LinearSde { matrix: matrix.to_vec(), sites: matrix.len().isqrt() }
    }
}

impl System for LinearSde {
    fn sites(&self) -> usize {
        self.sites
    }

    fn parameters(&self) -> &[&str] {
        &[]
    }

    fn noise(&self) -> Noise {
        Noise::Gaussian { variance: 1.0 }
    }

    fn curvature(&self) -> Curvature {
        Curvature::Diagonal
    }

    fn hamiltonian<'g>(&self, phi: Var<'g>, theta: Var<'g>, _: Parameters<'g>) -> Var<'g> {
        let (d, shape) = (self.sites, phi.shape());
        let column = |j: usize| phi.narrow(2, j, 1);
        let entry = |i: usize, j: usize| column(j) * self.matrix[i * d + j];
        let row = |i: usize| (1..d).fold(entry(i, 0), |sum, j| sum + entry(i, j)).pad([0, 0, i], &shape);
        let drift = (1..d).fold(row(0), |sum, i| sum + row(i));
        quadratic(drift, theta, 1.0)
    }
}
