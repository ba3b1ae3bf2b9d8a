//! Paths: states one after the other, at equal distances.

use crate::error::{Error, Result};

/// A path of `n` states, row-major `[n, sites]`, in f64.
#[derive(Clone, Debug, PartialEq)]
pub struct Path {
    sites: usize,
    phi: Vec<f64>,
}

impl Path {
    /// From states `[n, sites]`.
    ///
    /// # Errors
    /// [`Error::Shape`] if they are not whole states or fewer than three.
    pub fn new(sites: usize, phi: Vec<f64>) -> Result<Self> {
        if sites == 0 || !phi.len().is_multiple_of(sites) || phi.len() < 3 * sites {
            let got = format!("{} numbers of states with {sites} sites", phi.len());
            return Err(Error::Shape { op: "Path::new", got, want: "at least 3 whole states".into(), at: None });
        }
        Ok(Path { sites, phi })
    }

    /// The straight line in `n` nodes.
    ///
    /// # Errors
    /// As [`new`](Self::new); [`Error::Shape`] for ends of different sizes.
    pub fn straight(from: &[f64], to: &[f64], n: usize) -> Result<Self> {
        Self::along(from, to, n, |_, _| 0.0)
    }

    /// The straight line with `bump(s, x)` added to site `x` at `s` in `[0, 1]`; it should vanish at both ends.
    ///
    /// # Errors
    /// As [`straight`](Self::straight).
    pub fn along(from: &[f64], to: &[f64], n: usize, bump: impl Fn(f64, usize) -> f64) -> Result<Self> {
        if from.len() != to.len() {
            let got = format!("{} and {} sites", from.len(), to.len());
            return Err(Error::Shape { op: "Path::straight", got, want: "two states of one system".into(), at: None });
        }
        let node = |i: usize| {
            let s = i as f64 / n.max(2).saturating_sub(1) as f64;
            let at = |(x, (a, b)): (usize, (&f64, &f64))| a + s * (b - a) + bump(s, x);
            from.iter().zip(to).enumerate().map(at).collect::<Vec<_>>()
        };
        Self::new(from.len(), (0..n).flat_map(node).collect())
    }

    /// Nodes.
    pub fn n(&self) -> usize {
        self.phi.len() / self.sites
    }

    /// Numbers in a state.
    pub fn sites(&self) -> usize {
        self.sites
    }

    /// All states, `[n, sites]`.
    pub fn states(&self) -> &[f64] {
        &self.phi
    }

    /// State `i`.
    pub fn state(&self, i: usize) -> &[f64] {
        &self.phi[i * self.sites..(i + 1) * self.sites]
    }

    /// Middles of the segments, `[n - 1, sites]`.
    pub(super) fn middles(&self) -> Vec<f64> {
        self.pairs(|a, b| 0.5 * (a + b))
    }

    /// Steps between nodes, `[n - 1, sites]`.
    pub(super) fn steps(&self) -> Vec<f64> {
        self.pairs(|a, b| b - a)
    }

    pub(super) fn pairs(&self, f: impl Fn(f64, f64) -> f64) -> Vec<f64> {
        self.phi.iter().zip(&self.phi[self.sites..]).map(|(&a, &b)| f(a, b)).collect()
    }

    /// Distance from the start to every node along the path, Euclidean in the sites.
    pub fn arclength(&self) -> Vec<f64> {
        let mut total = 0.0;
        let lengths = self.steps();
        let lengths = lengths.chunks_exact(self.sites).map(norm);
        std::iter::once(0.0)
            .chain(lengths.map(|length| {
                total += length;
                total
            }))
            .collect()
    }

    /// Length of the whole path.
    pub fn length(&self) -> f64 {
        self.arclength().last().copied().unwrap_or(0.0)
    }

    /// The same path through `n` nodes at equal distances, by cubic interpolation in the arclength.
    ///
    /// # Errors
    /// [`Error::Invalid`] if nodes have collapsed: a segment is shorter than 1e-6 of the mean, so that the path says nothing
    /// about the direction there, or a state is not finite.
    pub fn respaced(&self, n: usize) -> Result<Path> {
        let at = self.arclength();
        self.check_nodes(&at)?;
        let (last, sites) = (self.n() - 1, self.sites);
        let mut phi = Vec::with_capacity(n * sites);
        phi.extend_from_slice(self.state(0));
        let mut segment = 0;
        for j in 1..n.saturating_sub(1) {
            let target = at[last] * j as f64 / (n - 1) as f64;
            while segment + 1 < last && at[segment + 1] < target {
                segment += 1;
            }
            let first = segment.saturating_sub(1).min(last.saturating_sub(3));
            let nodes = first..=(first + 3).min(last);
            let weights = lagrange(&at[nodes.clone()], target);
            let value = |x: usize| nodes.clone().zip(&weights).map(|(i, w)| w * self.state(i)[x]).sum::<f64>();
            phi.extend((0..sites).map(value));
        }
        phi.extend_from_slice(self.state(last));
        Path::new(sites, phi)
    }

    /// Refuse a path whose nodes have collapsed.
    pub(super) fn check_nodes(&self, at: &[f64]) -> Result<()> {
        let mean = at.last().copied().unwrap_or(0.0) / (self.n() - 1) as f64;
        let short = at.windows(2).position(|w| !(w[1] - w[0]).is_finite() || w[1] - w[0] <= 1e-6 * mean);
        let Some(i) = short else { return Ok(()) };
        let got = format!("{:e} from node {i} to the next, the mean is {mean:e}", at[i + 1] - at[i]);
        let want =
            "above 1e-6 of the mean: nodes have collapsed; start from a path whose states differ, or use fewer nodes";
        Err(Error::Invalid { what: "length of a segment", got, want })
    }

    /// From the last state to the first.
    #[must_use]
    pub fn reversed(&self) -> Path {
        let phi = self.phi.chunks_exact(self.sites).rev().flatten().copied().collect();
        Path { sites: self.sites, phi }
    }

    /// Nodes `from..=to` as a path of its own.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn part(&self, from: usize, to: usize) -> Result<Path> {
        Path::new(self.sites, self.phi[from * self.sites..(to + 1) * self.sites].to_vec())
    }

    /// This path and then another that starts where it ends.
    #[must_use]
    pub fn then(&self, next: &Path) -> Path {
        let phi = self.phi.iter().chain(&next.phi[next.sites..]).copied().collect();
        Path { sites: self.sites, phi }
    }

    /// The largest distance of a node to the other path's piecewise line.
    pub fn distance(&self, other: &Path) -> f64 {
        let to_segment = |p: &[f64], a: &[f64], b: &[f64]| {
            let (d, e): (Vec<f64>, Vec<f64>) = (sub(b, a), sub(p, a));
            let t = (dot(&d, &e) / dot(&d, &d).max(f64::MIN_POSITIVE)).clamp(0.0, 1.0);
            e.iter().zip(&d).map(|(e, d)| (e - t * d) * (e - t * d)).sum::<f64>().sqrt()
        };
        let nearest = |p: &[f64]| {
            (1..other.n()).map(|i| to_segment(p, other.state(i - 1), other.state(i))).fold(f64::INFINITY, f64::min)
        };
        self.phi.chunks_exact(self.sites).map(nearest).fold(0.0, f64::max)
    }

    pub(super) fn from_parts(sites: usize, phi: Vec<f64>) -> Path {
        Path { sites, phi }
    }
}

/// Weights of values at `at` in their polynomial's value at `x`.
fn lagrange(at: &[f64], x: f64) -> Vec<f64> {
    let weight = |i: usize| {
        let others = (0..at.len()).filter(|&j| j != i);
        others.map(|j| (x - at[j]) / (at[i] - at[j])).product()
    };
    (0..at.len()).map(weight).collect()
}

pub(super) fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

pub(super) fn norm(a: &[f64]) -> f64 {
    dot(a, a).sqrt()
}

pub(super) fn sub(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a - b).collect()
}
