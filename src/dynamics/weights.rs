//! Log-weights: exact averages from walkers that never equilibrate.
//!
//! Walkers follow an energy `U_k` that changes at every step, so they lag behind its Gibbs density `exp(-U_k/T)`. Each
//! walker carries a log-weight `A` that repairs the lag:
//!
//! ```text
//! <f>_k = sum_i f(x_i) exp(A_i) / sum_i exp(A_i)        Z_k / Z_0 = mean_i exp(A_i)
//! ```
//!
//! Both hold for every step size, provided the walkers start exactly in `exp(-U_0/T)` and the energies do not depend on
//! the walkers: `A` includes the ratio of backward to forward transition densities. The price is variance; watch
//! [`LogWeights::ess`](super::LogWeights::ess).
//!
//! One function a kernel: [`ula`], [`kernel_ratio`] (any Gaussian proposal), [`reversible`] (MALA and every kernel with
//! detailed balance), [`shadow_work`] (underdamped), [`frozen`] (no move). [`work_only`] and [`aliased`] are wrong on
//! purpose: two mistakes found in published code, kept as controls that a test of the others must reject.
//! Add the increments up with [`Compensated`](super::Compensated). [`mod@reference`] holds the f64 twins.
//!
//! Source: arXiv:2305.19414 (discrete time); Jarzynski, PRL 78, 2690 (1997); Neal, Stat. Comput. 11, 125 (2001).

use super::proposal::{EndPoint, Proposal, check_energy, row_sum};
use crate::graph::Var;

/// Which increment a sampler adds, for its kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WeightRule {
    /// The exact one of the kernel in use.
    #[default]
    #[serde(alias = "ula")]
    Exact,
    /// Exact, by the densities of the Gaussian proposal: [`kernel_ratio`].
    KernelRatio,
    /// Biased at first order in the step size, on purpose: [`work_only`].
    #[serde(alias = "work_only")]
    WorkOnly,
    /// Wrong, on purpose: [`aliased`].
    Aliased,
}

/// Log-weight gained in one unadjusted Langevin step from `from` (energy `U_k`) to `to` (energy `U_{k+1}`).
///
/// ```text
/// dA = a_k(x, y) - a_{k+1}(y, x),   a_k(x, y) = [U_k(x) + (y-x).grad U_k(x)/2 + h |grad U_k(x)|^2/4] / T
/// ```
///
/// With a noise of its own (variance s^2, not 2hT) the last two terms have the factors `h/s^2` and `h^2/2s^2`. The terms
/// are summed as `(y - x + h (g - g')/2).(g + g')`, which cancels before it rounds.
///
/// | | shape | unit | |
/// |---|---|---|---|
/// | `from`, `to` | x `[n, ..]`, u `[n]`, grad `[n, ..]` | length, energy, energy/length | end points of the step |
/// | `proposal` | scalars | | the one that moved the walkers, without a clip |
/// | returns | `[n]` | 1 | add to `A`; finite whenever both energies and gradients are |
///
/// # Errors
/// Shapes that disagree are recorded by the graph ([`Graph::check`](crate::graph::Graph::check)); so is a clipped
/// proposal, whose weight is [`kernel_ratio`].
///
/// # Accuracy
/// f32 against the f64 twin: `|err| <= 64 eps (|U| + |U'| + h |g|^2 + h |g'|^2 + 1)`, tested.
///
/// Source: arXiv:2305.19414, the discrete-time weights; at `T` and `s` by the same calculation.
#[track_caller]
pub fn ula<'g>(from: EndPoint<'g>, to: EndPoint<'g>, proposal: &Proposal<'g>) -> Var<'g> {
    if proposal.clip.is_some() {
        let want = "no clip; weigh a clipped step with kernel_ratio";
        return invalid(from, crate::Error::Invalid { what: "drift limit of a ULA weight", got: "set".into(), want });
    }
    if let Err(error) = check(from, to) {
        return invalid(from, error);
    }
    let half = match proposal.noise_sd {
        None => 0.5 / proposal.temperature,
        Some(_) => proposal.step_size / proposal.variance(),
    };
    let bend = (from.grad - to.grad) * (proposal.step_size * 0.5);
    let path = row_sum((to.x - from.x + bend) * (from.grad + to.grad));
    (from.u - to.u) / proposal.temperature + half * path
}

/// Log-weight gained in one step of any Gaussian proposal, by the densities of the step and of its reverse.
///
/// ```text
/// dA = (U_k(x) - U_{k+1}(y)) / T + l_{k+1}(y -> x) - l_k(x -> y),   l_k(x -> y) = -|y - x - drift_k(x)|^2 / 2 s^2
/// ```
///
/// Equal to [`ula`] for its proposal, up to rounding of `|xi|^2`: prefer that one there. Shapes, units and errors as in
/// [`ula`]; a clipped drift is allowed, because the density is that of the drift actually used.
#[track_caller]
pub fn kernel_ratio<'g>(from: EndPoint<'g>, to: EndPoint<'g>, proposal: &Proposal<'g>) -> Var<'g> {
    if let Err(error) = check(from, to) {
        return invalid(from, error);
    }
    (from.u - to.u) / proposal.temperature + log_density_ratio(from, to, proposal)
}

/// `l(y -> x) - l(x -> y)` of a proposal: the log-ratio of backward to forward densities, `[n]`.
#[track_caller]
pub fn log_density_ratio<'g>(from: EndPoint<'g>, to: EndPoint<'g>, proposal: &Proposal<'g>) -> Var<'g> {
    let move_ = to.x - from.x;
    let forward = (move_ - proposal.drift(from.grad)).square();
    let backward = (move_ + proposal.drift(to.grad)).square();
    row_sum(forward - backward) / (proposal.variance() * 2.0)
}

/// Log-weight gained when a kernel with detailed balance for `exp(-U_k/T)` moved a walker to `y`, and `U_k` then became
/// `U_{k+1}`: `dA = (U_k(y) - U_{k+1}(y)) / T`.
///
/// `now` and `next` are the two energies `[n]` at the new point. MALA, HMC with its accept test, and Gibbs moves are such
/// kernels. Source: Neal, Stat. Comput. 11, 125 (2001); as a general kernel, arXiv:2506.07843.
#[track_caller]
pub fn reversible<'g>(now: Var<'g>, next: Var<'g>, temperature: Var<'g>) -> Var<'g> {
    (now - next) / temperature
}

/// Log-weight gained by a walker that stays where it is while `U_k` becomes `U_{k+1}`: plain importance sampling.
///
/// The formula of [`reversible`], at the one point there is.
#[track_caller]
pub fn frozen<'g>(now: Var<'g>, next: Var<'g>, temperature: Var<'g>) -> Var<'g> {
    reversible(now, next, temperature)
}

/// Log-weight gained in a kick-drift-kick between two half-refreshments of the momentum (OBABO):
/// `dA = (U_k(x) + |p|^2/2 - U_{k+1}(x') - |p'|^2/2) / T`, the work of the discrete map alone.
///
/// `p [n, ..]` is the momentum after the first refreshment, `p_next` the one before the second; masses are 1. Exact because
/// the map preserves volume and the refreshments have detailed balance for the Maxwell density.
/// Source: Sivak, Chodera and Crooks, PRX 3, 011007 (2013), shadow work.
#[track_caller]
pub fn shadow_work<'g>(
    (u, p): (Var<'g>, Var<'g>),
    (u_next, p_next): (Var<'g>, Var<'g>),
    temperature: Var<'g>,
) -> Var<'g> {
    // (p - p')(p + p')/2 instead of the difference of two squares: p' is p and a small kick.
    let kinetic = row_sum((p - p_next) * (p + p_next)) * 0.5;
    (u - u_next + kinetic) / temperature
}

/// **A control, wrong on purpose.** The work of changing the energy, by the trapezoidal rule, and nothing for the step:
/// `dA = -[dU(x) + dU(y)] / 2T`, `dU = U_{k+1} - U_k`.
///
/// Right as `h -> 0`, where `dA/dt = -dU/dt` (Jarzynski); at a finite step the missing kernel ratio is a bias of first
/// order in `h`. Arguments are `(U_k, U_{k+1})` at each end point, `[n]`.
#[track_caller]
pub fn work_only<'g>(at_from: (Var<'g>, Var<'g>), at_to: (Var<'g>, Var<'g>), temperature: Var<'g>) -> Var<'g> {
    ((at_from.0 - at_from.1) + (at_to.0 - at_to.1)) * 0.5 / temperature
}

/// **A control, wrong on purpose.** The ULA weight as computed by code that overwrites the old position in place, so that
/// `y - x` is 0 and both ends of the step are the new point:
/// `dA = [U_k(y) - U_{k+1}(y) + h (|grad U_k(y)|^2 - |grad U_{k+1}(y)|^2)/4] / T`.
///
/// Nearly invisible while energies change slowly, and off by any amount when they do not.
/// `now` and `next` are the same point under `U_k` and `U_{k+1}`.
#[track_caller]
pub fn aliased<'g>(now: EndPoint<'g>, next: EndPoint<'g>, proposal: &Proposal<'g>) -> Var<'g> {
    ula(now, EndPoint { x: now.x, ..next }, proposal)
}

fn check(from: EndPoint<'_>, to: EndPoint<'_>) -> crate::Result<()> {
    for end in [from, to] {
        check_energy(end.x, end.u)?;
        if end.x.shape() != from.x.shape() || end.grad.shape() != from.x.shape() {
            let got = format!("x {} and grad {}", end.x.shape(), end.grad.shape());
            let want = format!("both {}, as at the start of the step", from.x.shape());
            return Err(crate::Error::Shape { op: "log-weight", got, want, at: Some(end.x.site()) });
        }
    }
    Ok(())
}

fn invalid(from: EndPoint<'_>, error: crate::Error) -> Var<'_> {
    from.x.graph().invalid(error)
}

/// The same increments in f64 for one component of one walker; a walker's `dA` is their sum over components, where each
/// carries its share of the energy.
pub mod reference {
    /// A point in one dimension with its energy and gradient.
    #[derive(Clone, Copy, Debug, PartialEq)]
    pub struct EndPoint {
        /// Position.
        pub x: f64,
        /// Energy.
        pub u: f64,
        /// Gradient.
        pub grad: f64,
    }

    /// Twin of [`ula`](super::ula) at temperature 1.
    ///
    /// ```
    /// # use ergodic::dynamics::weights::reference::{increment, EndPoint};
    /// // Gaussians of width 1 then 2, in one dimension: grad U = x and x/4.
    /// let from = EndPoint { x: 1.0, u: 0.5, grad: 1.0 };
    /// let to = EndPoint { x: 0.5, u: 0.03125, grad: 0.125 };
    /// assert_eq!(increment(from, to, 0.125), 0.21826171875);
    /// ```
    pub fn increment(from: EndPoint, to: EndPoint, h: f64) -> f64 {
        let a = |p: EndPoint, q: EndPoint| p.u + 0.5 * (q.x - p.x) * p.grad + 0.25 * h * p.grad * p.grad;
        a(from, to) - a(to, from)
    }

    /// Twin of [`kernel_ratio`](super::kernel_ratio): temperature `t`, noise of standard deviation `sd`, drift at most
    /// `clip` (which may be infinite).
    pub fn kernel_ratio(from: EndPoint, to: EndPoint, h: f64, t: f64, sd: f64, clip: f64) -> f64 {
        let log_density = |p: EndPoint, q: EndPoint| {
            let r = q.x - p.x + (h * p.grad).clamp(-clip, clip);
            -r * r / (2.0 * sd * sd)
        };
        (from.u - to.u) / t + log_density(to, from) - log_density(from, to)
    }

    /// Twin of [`aliased`](super::aliased) at temperature 1.
    pub fn aliased(now: EndPoint, next: EndPoint, h: f64) -> f64 {
        now.u - next.u + 0.25 * h * (now.grad * now.grad - next.grad * next.grad)
    }

    /// Twin of [`shadow_work`](super::shadow_work) at temperature 1: energy and momentum before and after.
    pub fn shadow_work((u, p): (f64, f64), (u_next, p_next): (f64, f64)) -> f64 {
        u + 0.5 * p * p - u_next - 0.5 * p_next * p_next
    }
}
