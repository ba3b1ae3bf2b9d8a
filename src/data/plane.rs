//! Densities in the plane that flows are tried on: draws of all, exact densities and entropies of those that have them.
//!
//! | | draws | density | entropy / nats |
//! |---|---|---|---|
//! | `Checkerboard` | uniform on eight cells of side 2 in `[-4, 4]^2` | exact | log 32 |
//! | `Rings` | radii 1, 2, 3 with deviation 0.1, as likely as they are long | exact | by quadrature |
//! | `Circles` | radii 1.5 and 3 with deviation 0.1, equally likely | exact | by quadrature |
//! | `Pinwheel` | five arms, `N((2, 0), diag(0.6^2, 0.2^2))` turned by 72 degrees each, then by 0.6 a unit of radius | exact | by quadrature |
//! | `Moons` | two half circles of radius 2 with deviation 0.2 | none | |
//! | `SwissRoll` | a spiral of one and a half turns with deviation 0.15 | none | |
//!
//! A twist that depends on the radius alone moves no area, so the density of a pinwheel is that of its arms before. With a radius
//! of density `f` and a uniform angle, `p(x) = f(|x|) / (2 pi |x|)`.
//!
//! Source: the targets of arXiv:1810.01367 (figure 2) and arXiv:2209.15571 (figure 3); the pinwheel there turns by the
//! exponential of a coordinate, which has no density this simple.

use std::f64::consts::{PI, TAU};

use serde::{Deserialize, Serialize};

use crate::random::RngKey;

/// A density in the plane by name.
///
/// ```
/// use ergodic::{data::Plane, random::RngKey};
/// let x = Plane::Rings.draw(1000, RngKey::new(1));
/// let radius = |row: &[f32]| row[0].hypot(row[1]);
/// assert!(x.chunks_exact(2).all(|row| (0.5..3.5).contains(&radius(row))));
/// assert!(Plane::Rings.log_density([2.0, 0.0]) > Plane::Rings.log_density([1.5, 0.0]));
/// assert_eq!(Plane::Checkerboard.entropy(), Some(32f64.ln()));
/// assert_eq!(Plane::Moons.log_density([0.0, 0.0]), None);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)] // each is a row of the module's table
pub enum Plane {
    Checkerboard,
    Rings,
    Circles,
    Pinwheel,
    Moons,
    SwissRoll,
}

/// Deviation of a radius from its ring.
const RING: f64 = 0.1;
/// Arms of the pinwheel, their distance from the centre, deviations along and across, radians a unit of radius.
const ARMS: u32 = 5;
const REACH: f64 = 2.0;
const ALONG: f64 = 0.6;
const ACROSS: f64 = 0.2;
const TWIST: f64 = 0.6;

impl Plane {
    /// `n` independent draws `[n, 2]`; equal keys give equal draws.
    pub fn draw(self, n: usize, key: RngKey) -> Vec<f32> {
        let mut x = Vec::with_capacity(2 * n);
        for i in 0..n as u32 {
            let u = |c: u32| f64::from(key.uniform(i, c, 0));
            let normal = |c: u32| f64::from(key.normal(i, c, 1));
            x.extend(self.point(&u, &normal).map(|v| v as f32));
        }
        x
    }

    fn point(self, u: &dyn Fn(u32) -> f64, normal: &dyn Fn(u32) -> f64) -> [f64; 2] {
        match self {
            Plane::Checkerboard => {
                let (across, up) = (u(0) * 4.0, u(1) * 2.0);
                let odd = across.floor() % 2.0;
                // Rounding to f32 must not reach the next cell: 4 - 2^-22 is an f32.
                let inside = |v: f64| v.min(1.0 - 0.25f64.powi(11));
                let height = up.floor() * 2.0 + odd + inside(up.fract());
                [across.floor() + inside(across.fract()), height].map(|v| 2.0 * v - 4.0)
            }
            Plane::Rings | Plane::Circles => {
                let (rings, place) = (self.rings(), u(0));
                let mut below = 0.0;
                let chosen = rings.iter().find(|(_, weight)| {
                    below += weight;
                    place < below
                });
                let radius = chosen.or(rings.last()).map_or(0.0, |(radius, _)| radius + RING * normal(0));
                turned([radius, 0.0], TAU * u(1))
            }
            Plane::Pinwheel => {
                let arm = [REACH + ALONG * normal(0), ACROSS * normal(1)];
                let which = (u(0) * f64::from(ARMS)).floor();
                turned(arm, TAU * which / f64::from(ARMS) + TWIST * arm[0].hypot(arm[1]))
            }
            Plane::Moons => {
                let (angle, upper) = (PI * u(0), u(1) < 0.5);
                let [x, y] = if upper { [angle.cos(), angle.sin()] } else { [1.0 - angle.cos(), 0.5 - angle.sin()] };
                [2.0 * (x - 0.5) + 0.2 * normal(0), 2.0 * (y - 0.25) + 0.2 * normal(1)]
            }
            Plane::SwissRoll => {
                let angle = 1.5 * PI * (1.0 + 2.0 * u(0));
                let [x, y] = turned([angle * 4.0 / (4.5 * PI), 0.0], angle);
                [x + 0.15 * normal(0), y + 0.15 * normal(1)]
            }
        }
    }

    /// Radii and weights.
    fn rings(self) -> Vec<(f64, f64)> {
        match self {
            Plane::Rings => vec![(1.0, 1.0 / 6.0), (2.0, 1.0 / 3.0), (3.0, 0.5)],
            Plane::Circles => vec![(1.5, 0.5), (3.0, 0.5)],
            _ => vec![],
        }
    }

    /// `log p(x)`, where it is known.
    pub fn log_density(self, x: [f64; 2]) -> Option<f64> {
        match self {
            Plane::Checkerboard => {
                let inside = x.iter().all(|v| (-4.0..4.0).contains(v));
                let coloured = x.iter().map(|v| ((v + 4.0) / 2.0).floor()).sum::<f64>() % 2.0 == 0.0;
                Some(if inside && coloured { -32f64.ln() } else { f64::NEG_INFINITY })
            }
            Plane::Rings | Plane::Circles => Some(self.log_of_radius(x[0].hypot(x[1]))),
            Plane::Pinwheel => Some(log_arms(turned(x, -TWIST * x[0].hypot(x[1])))),
            Plane::Moons | Plane::SwissRoll => None,
        }
    }

    /// Entropy in nats, where it is known; by quadrature to 1e-8 or better.
    pub fn entropy(self) -> Option<f64> {
        let term = |log_p: f64| if log_p > -700.0 { -log_p * log_p.exp() } else { 0.0 };
        match self {
            Plane::Checkerboard => Some(32f64.ln()),
            Plane::Rings | Plane::Circles => {
                // Rectangles of a smooth function that dies at both ends converge beyond any power of their width.
                let (n, most) = (8000, 3.0 + 12.0 * RING);
                let radius = |k: i32| most * (f64::from(k) + 0.5) / f64::from(n);
                let ring = |k: i32| TAU * radius(k) * term(self.log_of_radius(radius(k)));
                Some((0..n).map(ring).sum::<f64>() * most / f64::from(n))
            }
            Plane::Pinwheel => {
                let (n, most) = (800, REACH + 9.0 * ALONG);
                let at = |k: i32| most * (2.0 * (f64::from(k) + 0.5) / f64::from(n) - 1.0);
                let cells = (0..n * n).map(|k| term(log_arms([at(k % n), at(k / n)]))).sum::<f64>();
                Some(cells * (2.0 * most / f64::from(n)).powi(2))
            }
            Plane::Moons | Plane::SwissRoll => None,
        }
    }

    /// The radius is that of its ring plus a normal; below 0 it comes out on the other side.
    fn log_of_radius(self, radius: f64) -> f64 {
        let rings = self.rings();
        let terms = rings.iter().flat_map(|(ring, weight)| {
            [radius - ring, radius + ring].map(|off| weight.ln() - 0.5 * (off / RING).powi(2))
        });
        log_sum(&terms.collect::<Vec<_>>()) - (RING * TAU.sqrt()).ln() - (TAU * radius).ln()
    }
}

fn turned([x, y]: [f64; 2], angle: f64) -> [f64; 2] {
    let (sin, cos) = angle.sin_cos();
    [cos * x - sin * y, sin * x + cos * y]
}

/// The density of the pinwheel before its twist.
fn log_arms(x: [f64; 2]) -> f64 {
    let term = |arm: u32| {
        let [along, across] = turned(x, -TAU * f64::from(arm) / f64::from(ARMS));
        -0.5 * (((along - REACH) / ALONG).powi(2) + (across / ACROSS).powi(2))
    };
    log_sum(&(0..ARMS).map(term).collect::<Vec<_>>()) - (f64::from(ARMS) * TAU * ALONG * ACROSS).ln()
}

fn log_sum(terms: &[f64]) -> f64 {
    let top = terms.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    top + terms.iter().map(|term| (term - top).exp()).sum::<f64>().ln()
}
