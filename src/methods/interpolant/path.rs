//! Paths between mixtures of Gaussians, whose fields are known: in f64 on the host, and as graphs.
//!
//! At each time the density is again a mixture, of one Gaussian for each pair of modes:
//!
//! ```text
//! m_ij = alpha m_i + beta m_j,    C_ij = alpha^2 C_i + beta^2 C_j + gamma^2,    w_ij = p_i p_j N(x | m_ij, C_ij)
//! u_ij = C_ij^-1 (x - m_ij),      <f> = sum w f / sum w                           (by log-sum-exp of log w)
//! s = -<u>,   eta_z = gamma <u>,   eta_0 = <m_i + alpha C_i u>,   eta_1 = <m_j + beta C_j u>
//! v = <m' + (alpha alpha' C_i + beta beta' C_j) u> = alpha' eta_0 + beta' eta_1
//! b = v + gamma gamma' <u> = v - gamma gamma' s
//! ```
//!
//! The host inverts `C_ij` by Cholesky at each point, from the first form of each line; that is what graphs are tested
//! against. A graph needs `C_ij(t)` for any `t`, perhaps another one in each row, and does one of three things for a pair:
//!
//! | when | how | |
//! |---|---|---|
//! | they are diagonal, or commute (as with the identity) | `C_ij` is diagonal in a basis that stays | any `d` |
//! | no noise on the path | `C_i = U U'`, `C_j = U Q U'` with diagonal `Q`: again one basis | any `d` |
//! | else | Cholesky of `C_ij(t)`, written out, some `d^3/3` operations a row | `d <= 8` |
//! | else | a Chebyshev series of `C_ij(t)^-1` in time, refined once; products with matrices | any `d` |
//!
//! In more than 4 dimensions pairs with bases stand side by side, and three products serve all of them. A series wants one time
//! for all rows, a scalar `t`: else each row has a matrix of its own, `n d^2` numbers.
//!
//! Source: arXiv:2303.08797, appendix A.

use super::gaussian::{GaussianMixture, difference, log_normal, log_sum_exp};
use super::linalg::{
    cholesky, eigenvectors, identity, is_diagonal, norm, product, solve_lower, solve_upper, times, transposed,
};
use super::schedule::{Coefficients, Ends, Schedule};
use super::series::Series;
use crate::error::{Error, Result};

/// Largest dimension of a Cholesky factorisation that is written out.
const WRITTEN_OUT: usize = 8;

/// Two mixtures and a schedule between them.
///
/// ```
/// use ergodic::methods::interpolant::{Gamma, GaussianMixture, MixturePath, Schedule};
/// let start = GaussianMixture::normal(1)?;
/// let end = GaussianMixture::isotropic(&[1.0], &[vec![1.5]], &[0.25])?;
/// let path = MixturePath::between(Schedule::Trig { gamma: Gamma::Zero }, start, end)?;
/// let at = path.at(0.3, &[0.7])?;
/// assert!((at.s[0] + 0.022491).abs() < 1e-6);
/// # Ok::<(), ergodic::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct MixturePath {
    pub(super) schedule: Schedule,
    pub(super) d: usize,
    pub(super) pairs: Vec<Pair>,
    start: GaussianMixture,
    end: GaussianMixture,
}

/// A mode of the start with one of the end.
#[derive(Clone, Debug)]
pub(super) struct Pair {
    pub weight: f64,
    pub means: [Vec<f64>; 2],
    pub covariances: [Vec<f64>; 2],
    pub form: Form,
}

/// How a graph solves with `C_ij(t)`.
#[derive(Clone, Debug)]
pub(super) enum Form {
    /// `C_i = U p U'`, `C_j = U q U'` and the noise's identity `U r U'`, all three diagonal.
    Basis {
        /// `W = U^-1` and `U`, row-major; `None` is the identity.
        change: Option<[Vec<f64>; 2]>,
        p: Vec<f64>,
        q: Vec<f64>,
        r: f64,
        log_det: f64,
    },
    /// Cholesky, written out.
    Cholesky,
    /// A series in time.
    Series(Series),
}

/// All fields at one point.
#[derive(Clone, Debug, PartialEq)]
pub struct PointFields {
    /// `log rho(t, x)`.
    pub log_density: f64,
    /// Velocity of the ODE, `[d]`.
    pub b: Vec<f64>,
    /// Score, the gradient of the log-density.
    pub s: Vec<f64>,
    /// The velocity's part without noise, `E[dI/dt | x]`.
    pub v: Vec<f64>,
    /// `E[x_0 | x]`; of a one-sided or mirror path the base's own mean, 0, which nothing uses.
    pub eta_0: Vec<f64>,
    /// `E[x_1 | x]`.
    pub eta_1: Vec<f64>,
    /// `E[z | x]`.
    pub eta_z: Vec<f64>,
}

impl MixturePath {
    /// From one mixture to another, for schedules with two ends.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a schedule that has one end, or whose numbers mean nothing; [`Error::Shape`] for mixtures of
    /// different dimensions.
    pub fn between(schedule: Schedule, start: GaussianMixture, end: GaussianMixture) -> Result<Self> {
        if schedule.ends() != Ends::Two {
            let got = format!("{schedule:?}");
            return Err(Error::Invalid {
                what: "schedule",
                got,
                want: "one between two densities; or use MixturePath::to",
            });
        }
        let modes = |m: &GaussianMixture| {
            let mode = |k| (m.weights()[k], m.mode_mean(k).to_vec(), m.mode_covariance(k).to_vec());
            (0..m.n_modes()).map(mode).collect::<Vec<_>>()
        };
        let first = modes(&start);
        Self::new(schedule, first, start, end)
    }

    /// To a mixture from the normal (one-sided schedules) or from itself (mirror).
    ///
    /// # Errors
    /// [`Error::Invalid`] for a schedule that needs a start.
    pub fn to(schedule: Schedule, end: GaussianMixture) -> Result<Self> {
        let d = end.d();
        let start = match schedule.ends() {
            Ends::One => GaussianMixture::normal(d)?,
            Ends::Same => end.clone(),
            Ends::Two => {
                let got = format!("{schedule:?}");
                return Err(Error::Invalid {
                    what: "schedule",
                    got,
                    want: "one-sided or mirror; or use MixturePath::between",
                });
            }
        };
        // The base is the noise or the end itself: alpha is 0, and a point at 0 stands for what has no weight.
        Self::new(schedule, vec![(1.0, vec![0.0; d], vec![0.0; d * d])], start, end)
    }

    /// From the single point `from`, by [`Schedule::PointMass`].
    ///
    /// The ODE of such a path is undefined at its start; the SDE with `epsilon = a` and drift `b + a s` samples the end. At
    /// `t = 0` that drift is 0, which is what graphs give at the point itself.
    ///
    /// # Errors
    /// [`Error::Invalid`] for another schedule; [`Error::Shape`] for a point of another dimension.
    pub fn from_point(schedule: Schedule, from: &[f64], end: GaussianMixture) -> Result<Self> {
        if !matches!(schedule, Schedule::PointMass { .. }) {
            let got = format!("{schedule:?}");
            return Err(Error::Invalid { what: "schedule", got, want: "PointMass, to start from a point" });
        }
        let d = from.len();
        // Nobody asks for the density of a point; a normal around it keeps the dimension.
        let start = GaussianMixture::isotropic(&[1.0], &[from.to_vec()], &[1.0])?;
        Self::new(schedule, vec![(1.0, from.to_vec(), vec![0.0; d * d])], start, end)
    }

    fn new(
        schedule: Schedule,
        first: Vec<(f64, Vec<f64>, Vec<f64>)>,
        start: GaussianMixture,
        end: GaussianMixture,
    ) -> Result<Self> {
        schedule.check()?;
        let d = end.d();
        if start.d() != d {
            let got = format!("{} dimensions at the start and {d} at the end", start.d());
            return Err(Error::Shape { op: "MixturePath", got, want: "as many at both".into(), at: None });
        }
        let mut pairs = vec![];
        for (weight, mean, covariance) in first {
            for k in 0..end.n_modes() {
                let covariances = [covariance.clone(), end.mode_covariance(k).to_vec()];
                let means = [mean.clone(), end.mode_mean(k).to_vec()];
                let weight = weight * end.weights()[k];
                let mut pair = Pair { weight, means, covariances, form: Form::Cholesky };
                pair.form = match form(&pair.covariances, d, schedule.has_noise()) {
                    Some(form) => form,
                    None => Form::Series(Series::new(&pair, &schedule, d)?),
                };
                pairs.push(pair);
            }
        }
        Ok(MixturePath { schedule, d, pairs, start, end })
    }

    /// Its schedule.
    pub fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    /// Number of dimensions.
    pub fn d(&self) -> usize {
        self.d
    }

    /// The density at `t = 0`; of a point mass, a unit normal around it.
    pub fn start(&self) -> &GaussianMixture {
        &self.start
    }

    /// The density at `t = 1`.
    pub fn end(&self) -> &GaussianMixture {
        &self.end
    }

    /// The density at `t`, a mixture with one mode a pair.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a time outside [0, 1], or at which a covariance is singular (a point mass at 0).
    pub fn marginal(&self, t: f64) -> Result<GaussianMixture> {
        let c = self.coefficients(t)?;
        let weights: Vec<_> = self.pairs.iter().map(|pair| pair.weight).collect();
        let means: Vec<_> = self.pairs.iter().map(|pair| pair.mean(&c)).collect();
        let covariances: Vec<_> = self.pairs.iter().map(|pair| pair.covariance(&c)).collect();
        GaussianMixture::new(&weights, &means, &covariances)
    }

    /// Whether graphs should have one time for all rows, a scalar.
    pub(super) fn wants_one_time(&self) -> bool {
        self.pairs.iter().any(|pair| matches!(pair.form, Form::Series(_)))
    }

    fn coefficients(&self, t: f64) -> Result<Coefficients<f64>> {
        match (0.0..=1.0).contains(&t) {
            true => Ok(self.schedule.at(t)),
            false => Err(Error::Invalid { what: "time", got: t.to_string(), want: "between 0 and 1" }),
        }
    }

    /// All fields at `t` and `x [d]`, in f64, from their definitions.
    ///
    /// # Errors
    /// [`Error::Shape`] for a point of another dimension; [`Error::Invalid`] for a time outside [0, 1], or at which a
    /// covariance is singular.
    pub fn at(&self, t: f64, x: &[f64]) -> Result<PointFields> {
        if x.len() != self.d {
            let got = format!("a point of {} components", x.len());
            return Err(Error::Shape { op: "MixturePath::at", got, want: self.d.to_string(), at: None });
        }
        let c = self.coefficients(t)?;
        let mut terms = vec![];
        for pair in &self.pairs {
            terms.push(pair.at(&c, x).ok_or_else(|| Error::Invalid {
                what: "covariance of the path",
                got: format!("singular at t = {t}"),
                want: "positive definite: stay away from a point mass",
            })?);
        }
        let log_density = log_sum_exp(&terms.iter().map(|term| term.log_weight).collect::<Vec<_>>());
        let average = |f: &dyn Fn(&Term) -> &Vec<f64>| {
            let mut sum = vec![0.0; self.d];
            for term in &terms {
                let share = (term.log_weight - log_density).exp();
                sum.iter_mut().zip(f(term)).for_each(|(s, v)| *s += share * v);
            }
            sum
        };
        let s = average(&|term| &term.score);
        let gamma = c.gamma();
        Ok(PointFields {
            log_density,
            b: average(&|term| &term.b),
            v: average(&|term| &term.v),
            eta_0: average(&|term| &term.eta_0),
            eta_1: average(&|term| &term.eta_1),
            eta_z: s.iter().map(|s| -gamma * s).collect(),
            s,
        })
    }
}

/// What a pair adds to the averages.
struct Term {
    log_weight: f64,
    score: Vec<f64>,
    b: Vec<f64>,
    v: Vec<f64>,
    eta_0: Vec<f64>,
    eta_1: Vec<f64>,
}

impl Pair {
    fn mean(&self, c: &Coefficients<f64>) -> Vec<f64> {
        self.means[0].iter().zip(&self.means[1]).map(|(a, b)| c.alpha * a + c.beta * b).collect()
    }

    /// `x C_i + y C_j + z` times the identity.
    fn combined(&self, x: f64, y: f64, z: f64) -> Vec<f64> {
        let d = self.means[0].len();
        let entry = |at: usize| {
            let diagonal = if at / d == at % d { z } else { 0.0 };
            x * self.covariances[0][at] + y * self.covariances[1][at] + diagonal
        };
        (0..d * d).map(entry).collect()
    }

    pub(super) fn covariance(&self, c: &Coefficients<f64>) -> Vec<f64> {
        self.combined(c.alpha * c.alpha, c.beta * c.beta, c.gamma2)
    }

    fn at(&self, c: &Coefficients<f64>, x: &[f64]) -> Option<Term> {
        let factor = cholesky(&self.covariance(c), x.len())?;
        let y = difference(x, &self.mean(c));
        let u = solve_upper(&factor, &solve_lower(&factor, &y));
        let [m0, m1] = &self.means;
        let plus = |a: f64, b: f64, moved: Vec<f64>| {
            (0..x.len()).map(|i| a * m0[i] + b * m1[i] + moved[i]).collect::<Vec<_>>()
        };
        let (rate_0, rate_1) = (c.alpha * c.alpha_dot, c.beta * c.beta_dot);
        let half_rate = self.combined(rate_0, rate_1, c.gamma_gamma_dot);
        Some(Term {
            log_weight: self.weight.ln() + log_normal(&factor, &y),
            score: u.iter().map(|u| -u).collect(),
            b: plus(c.alpha_dot, c.beta_dot, times(&half_rate, &u)),
            v: plus(c.alpha_dot, c.beta_dot, times(&self.combined(rate_0, rate_1, 0.0), &u)),
            eta_0: plus(1.0, 0.0, times(&self.combined(c.alpha, 0.0, 0.0), &u)),
            eta_1: plus(0.0, 1.0, times(&self.combined(0.0, c.beta, 0.0), &u)),
        })
    }
}

/// How a graph solves with `alpha^2 C_i + beta^2 C_j + gamma^2` at any time, if not by a series.
fn form(covariances: &[Vec<f64>; 2], d: usize, noise: bool) -> Option<Form> {
    let [a, b] = covariances;
    if is_diagonal(a, d) && is_diagonal(b, d) {
        let diagonal = |c: &[f64]| (0..d).map(|i| c[i * d + i]).collect();
        return Some(Form::Basis { change: None, p: diagonal(a), q: diagonal(b), r: 1.0, log_det: 0.0 });
    }
    let shared = common_basis(a, b, d);
    let shared = if noise { shared } else { shared.or_else(|| generalised_basis(a, b, d)) };
    shared.or((d <= WRITTEN_OUT).then_some(Form::Cholesky))
}

/// Orthonormal eigenvectors that two matrices share, if they do.
fn common_basis(a: &[f64], b: &[f64], d: usize) -> Option<Form> {
    // Two matrices that commute have the eigenvectors of almost every combination of theirs.
    let (scale_a, scale_b) = (norm(a).max(f64::MIN_POSITIVE), norm(b).max(f64::MIN_POSITIVE));
    let mixed: Vec<_> = a.iter().zip(b).map(|(a, b)| a / scale_a + 0.618_033_988_749_895 * b / scale_b).collect();
    let u = eigenvectors(&mixed, d)?;
    let w = transposed(&u, d);
    let (p, q) = (diagonal_in(&w, a, &u, d, scale_a)?, diagonal_in(&w, b, &u, d, scale_b)?);
    Some(Form::Basis { change: Some([w, u]), p, q, r: 1.0, log_det: 0.0 })
}

/// The diagonal of `W a U`; `None` if there is more to it than rounding.
fn diagonal_in(w: &[f64], a: &[f64], u: &[f64], d: usize, scale: f64) -> Option<Vec<f64>> {
    let turned = product(&product(w, a, d), u, d);
    let off = (0..d * d).filter(|at| at / d != at % d).map(|at| turned[at].abs()).fold(0.0, f64::max);
    // Eigenvectors are good to eps over their gap; what is left out of C is then far below f32 rounding.
    (off <= 1e-10 * scale).then(|| (0..d).map(|i| turned[i * d + i].max(0.0)).collect())
}

/// `C_i = U U'` and `C_j = U Q U'`, by the eigenvectors of `L^-1 C_j L^-T`.
fn generalised_basis(a: &[f64], b: &[f64], d: usize) -> Option<Form> {
    let l = cholesky(a, d)?;
    let solved = |m: &[f64]| {
        let columns: Vec<f64> = transposed(m, d).chunks_exact(d).flat_map(|column| solve_lower(&l, column)).collect();
        transposed(&columns, d)
    };
    let half = solved(b);
    let inner = solved(&transposed(&half, d));
    let turn = eigenvectors(&inner, d)?;
    let w = product(&transposed(&turn, d), &solved(&identity(d)), d);
    let u = product(&l, &turn, d);
    let q = diagonal_in(&transposed(&turn, d), &inner, &turn, d, norm(&inner))?;
    let log_det = -(0..d).map(|i| l[i * d + i].ln()).sum::<f64>();
    Some(Form::Basis { change: Some([w, u]), p: vec![1.0; d], q, r: 0.0, log_det })
}
