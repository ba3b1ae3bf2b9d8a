//! Answers that are known: between Gaussians, on a grid, and the map that keeps order.

use super::problem::Problem;
use ergodic::Result;
use ergodic::methods::interpolant::{GaussianBridge, GaussianMixture, GridBridge, Source};

/// Cells along an axis, on a line and in the plane.
const CELLS: [usize; 2] = [400, 120];
/// Points of the map on a line.
const POINTS: usize = 2000;

/// The least cost, and densities on the way.
pub struct Answer {
    /// `E int u^2 dt / 2`.
    pub cost: f64,
    /// In one dimension between Gaussians.
    pub gaussian: Option<GaussianBridge>,
    way: Way,
}

enum Way {
    Grid(Box<GridBridge>),
    /// Without noise on a line: points of the start and where they go.
    Map(Box<[GaussianMixture; 2]>, Vec<(f64, f64)>),
    Nothing,
}

/// A density in cells, the lowest row first, between two corners.
pub struct Heat {
    pub values: Vec<f64>,
    pub n_x: usize,
    pub from: (f64, f64),
    pub to: (f64, f64),
}

/// What is known of a problem.
pub fn answer(problem: &Problem) -> Result<Option<Answer>> {
    let ends = [problem.start.source()?, problem.target.source()?];
    let mixtures = [mixture(&ends[0])?, mixture(&ends[1])?];
    let axes = match &mixtures {
        [Some(start), Some(end)] => gaussians(start, end, problem.epsilon),
        _ => vec![],
    };
    let exact = (!axes.is_empty()).then(|| axes.iter().map(GaussianBridge::cost).sum::<f64>());
    let gaussian = if let [only] = axes[..] { Some(only) } else { None };
    let d = ends[0].d();
    if problem.epsilon == 0.0 {
        let [Some(start), Some(end)] = mixtures else { return Ok(None) };
        let (way, cost) = if d == 1 { ordered(start, end)? } else { (Way::Nothing, f64::NAN) };
        let cost = exact.unwrap_or(cost);
        return Ok(cost.is_finite().then_some(Answer { cost, gaussian, way }));
    }
    // Where the grid cannot tell (data, many dimensions, noise too weak for it) nothing is known.
    let grid = CELLS.get(d - 1).and_then(|&cells| GridBridge::new([&ends[0], &ends[1]], problem.epsilon, cells).ok());
    let cost = exact.or(grid.as_ref().map(GridBridge::cost));
    let way = grid.map_or(Way::Nothing, |grid| Way::Grid(Box::new(grid)));
    Ok(cost.map(|cost| Answer { cost, gaussian, way }))
}

fn mixture(source: &Source) -> Result<Option<GaussianMixture>> {
    match source {
        Source::Normal(d) => GaussianMixture::normal(*d).map(Some),
        Source::Mixture(mixture) => Ok(Some(mixture.clone())),
        _ => Ok(None),
    }
}

/// One problem an axis between single Gaussians with diagonal covariances; else none.
fn gaussians(start: &GaussianMixture, end: &GaussianMixture, epsilon: f64) -> Vec<GaussianBridge> {
    let d = start.d();
    let diagonal = |m: &GaussianMixture| {
        let c = m.mode_covariance(0);
        m.n_modes() == 1 && (0..d * d).all(|at| at / d == at % d || c[at] == 0.0)
    };
    if !(diagonal(start) && diagonal(end)) {
        return vec![];
    }
    let axis = |i: usize| GaussianBridge {
        means: [start, end].map(|m| m.mode_mean(0)[i]),
        deviations: [start, end].map(|m| m.mode_covariance(0)[i * d + i].sqrt()),
        epsilon,
    };
    (0..d).map(axis).collect()
}

/// The map of a line that keeps order, and half its mean squared distance: an integral over equal parts of the mass.
fn ordered(start: GaussianMixture, end: GaussianMixture) -> Result<(Way, f64)> {
    let mut points = vec![];
    for k in 0..POINTS {
        let p = (k as f64 + 0.5) / POINTS as f64;
        points.push((start.quantile(p)?, end.quantile(p)?));
    }
    let cost = points.iter().map(|(x, y)| 0.5 * (y - x).powi(2)).sum::<f64>() / POINTS as f64;
    Ok((Way::Map(Box::new([start, end]), points), cost))
}

impl Answer {
    /// The density at `t` on a line: places and values.
    pub fn line(&self, t: f64) -> Option<(Vec<f64>, Vec<f64>)> {
        match &self.way {
            Way::Grid(grid) if grid.places(1).is_empty() => Some((grid.places(0), grid.density(t))),
            Way::Map(ends, points) => {
                let density = |end: usize, x: f64| ends[end].log_density(&[x]).exp();
                // Mass moves with its points: rho_t dx_t = rho_0 dx, and dy/dx = rho_0(x)/rho_1(y).
                let moved = |&(x, y): &(f64, f64)| {
                    let (start, end) = (density(0, x), density(1, y));
                    ((1.0 - t) * x + t * y, 1.0 / ((1.0 - t) / start + t / end))
                };
                Some(points.iter().map(moved).unzip())
            }
            _ => None,
        }
    }

    /// The density at `t` in the plane.
    pub fn heat(&self, t: f64) -> Option<Heat> {
        let Way::Grid(grid) = &self.way else { return None };
        let (x, y) = (grid.places(0), grid.places(1));
        let [half_x, half_y] = [&x, &y].map(|places| places.get(1).map_or(0.0, |second| 0.5 * (second - places[0])));
        let density = grid.density(t);
        let values = (0..x.len() * y.len()).map(|at| density[at % x.len() * y.len() + at / x.len()]).collect();
        let (first, last) = ((*x.first()?, *y.first()?), (*x.last()?, *y.last()?));
        let (from, to) = ((first.0 - half_x, first.1 - half_y), (last.0 + half_x, last.1 + half_y));
        Some(Heat { values, n_x: x.len(), from, to })
    }
}
