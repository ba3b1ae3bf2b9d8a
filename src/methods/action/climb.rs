//! Climbs: the action from an attractor to a state, with its error; both directions between two attractors.

use super::critical::CriticalPoint;
use super::descent::{Minimum, PathOptions};
use super::model::Model;
use super::path::{Path, norm, sub};
use super::system::Noise;
use crate::error::{Error, Result};

/// How many times a path is split at most.
const STOPS: usize = 12;

/// A path of least action from one state to another, in legs that end at critical points.
#[derive(Clone, Debug)]
pub struct Climb {
    /// The action: Richardson's value of the fine and the coarse path, `(4 S_fine - S_coarse) / 3`, summed over legs.
    pub value: f64,
    /// What Richardson's step changed, summed over legs: the error of the fine path, and a bound for that of `value`.
    pub error: f64,
    /// Action of the coarse path.
    pub coarse: f64,
    /// Action of the fine path, with twice as many segments.
    pub fine: f64,
    /// Fine paths of all legs.
    pub legs: Vec<Minimum>,
    /// Critical points at which the path was split.
    pub through: Vec<CriticalPoint>,
    /// Steps of all descents.
    pub steps: usize,
    /// The law of the noise that the action belongs to.
    pub noise: Noise,
    /// The factor from sums over sites that the action has.
    pub site_weight: f64,
}

impl Climb {
    /// All legs one after the other.
    pub fn path(&self) -> Path {
        let mut legs = self.legs.iter().map(|leg| leg.path.clone());
        let first = legs.next().unwrap_or_else(|| Path::from_parts(1, vec![]));
        legs.fold(first, |path, leg| path.then(&leg))
    }

    /// The largest `|H|` on any leg.
    pub fn h_residual(&self) -> f64 {
        self.legs.iter().map(|leg| leg.momenta.h_residual).fold(0.0, f64::max)
    }

    /// Whether every leg came to rest.
    pub fn converged(&self) -> bool {
        self.legs.iter().all(|leg| leg.converged)
    }
}

/// Both directions between two attractors, over the saddle between them.
#[derive(Clone, Debug)]
pub struct Passage {
    /// The attractor that the way up starts from.
    pub low: CriticalPoint,
    /// The attractor that the way down starts from.
    pub high: CriticalPoint,
    /// The critical nucleus.
    pub saddle: CriticalPoint,
    /// From `low` to the saddle; what follows is free.
    pub up: Climb,
    /// From `high` to the saddle.
    pub down: Climb,
    /// Attractors other than these two to which the drift leads from the saddle. Where there are any, the states are not
    /// neighbours: what follows the saddle rests there, and has more to climb. A drift that does not come to rest is not told
    /// here, but in the log.
    pub rests: Vec<CriticalPoint>,
}

/// What a passage is computed from, in this order.
#[derive(Clone, Copy, Debug)]
pub enum Part<'a> {
    /// The critical nucleus.
    Saddle(&'a CriticalPoint),
    /// The way up to it.
    Up(&'a Climb),
    /// The way down to it.
    Down(&'a Climb),
}

impl Passage {
    /// `S_up - S_down`: above 0 where the low state is the more stable one, 0 on the line of transition.
    pub fn difference(&self) -> f64 {
        self.up.value - self.down.value
    }

    /// Bound for the error of [`difference`](Self::difference).
    pub fn error(&self) -> f64 {
        self.up.error + self.down.error
    }
}

impl Model<'_> {
    /// The least action from an attractor to another state, starting from the straight line, and from its side: see
    /// [`PathOptions::aside`].
    ///
    /// # Errors
    /// [`Error::Invalid`] if `from` is no attractor, or `to` no fixed point and
    /// [`PathOptions::free_end`] is not set; as [`momenta`](Self::momenta).
    pub fn climb(&self, from: &[f64], to: &[f64], options: &PathOptions) -> Result<Climb> {
        self.climb_along(&Path::straight(from, to, options.nodes)?, options)
    }

    /// The same from any path between the two.
    ///
    /// # Errors
    /// As [`climb`](Self::climb).
    pub fn climb_along(&self, path: &Path, options: &PathOptions) -> Result<Climb> {
        self.attractor(path.state(0))?;
        if !options.free_end {
            self.fixed_point(path.state(path.n() - 1))?;
        }
        let coarse = self.minimise(&path.respaced(options.nodes)?, options)?;
        self.finished(self.settled(coarse, options)?, options)
    }

    /// Split a coarse path at the critical points on it, and add the fine paths.
    fn finished(&self, coarse: Minimum, options: &PathOptions) -> Result<Climb> {
        let (legs, through) = self.legs(coarse, options)?;
        let mut pairs = vec![];
        for leg in legs {
            let fine = self.minimise(&leg.path.respaced(2 * leg.path.n() - 1)?, options)?;
            pairs.push((leg, fine));
        }
        Ok(self.added_up(pairs, through))
    }

    /// The climb of coarse and fine legs.
    pub(super) fn added_up(&self, legs: Vec<(Minimum, Minimum)>, through: Vec<CriticalPoint>) -> Climb {
        let mut climb = Climb {
            value: 0.0,
            error: 0.0,
            coarse: 0.0,
            fine: 0.0,
            legs: vec![],
            through,
            steps: 0,
            noise: self.system().noise(),
            site_weight: self.system().site_weight(),
        };
        for (coarse, fine) in legs {
            let change = (fine.action - coarse.action) / 3.0;
            climb.value += fine.action + change;
            climb.error += change.abs();
            climb.coarse += coarse.action;
            climb.fine += fine.action;
            climb.steps += coarse.steps + fine.steps;
            climb.legs.push(fine);
        }
        climb
    }

    /// A coarse path in legs between the critical points on it.
    pub(super) fn legs(&self, coarse: Minimum, options: &PathOptions) -> Result<(Vec<Minimum>, Vec<CriticalPoint>)> {
        self.split(coarse, options, STOPS)
    }

    /// Both directions between the attractors nearest to two states.
    ///
    /// # Errors
    /// [`Error::Invalid`] if these are no attractors or have no saddle of index 1 between them.
    pub fn passage(&self, low: &[f64], high: &[f64], options: &PathOptions) -> Result<Passage> {
        self.passage_seen(low, high, options, |_| {})
    }

    /// The same, telling `seen` about each part as soon as it is there.
    ///
    /// # Errors
    /// As [`passage`](Self::passage).
    pub fn passage_seen(
        &self,
        low: &[f64],
        high: &[f64],
        options: &PathOptions,
        mut seen: impl FnMut(Part<'_>),
    ) -> Result<Passage> {
        let [low, high, saddle] = self.ends(low, high)?;
        seen(Part::Saddle(&saddle));
        let up = self.climb(&low.state, &saddle.state, options)?;
        seen(Part::Up(&up));
        let down = self.climb(&high.state, &saddle.state, options)?;
        seen(Part::Down(&down));
        let rests = self.rests([&low, &high], &saddle);
        Ok(Passage { low, high, saddle, up, down, rests })
    }

    /// Attractors beside the saddle that are none of the two. What is known of the paths is not lost where the drift goes elsewhere.
    pub(super) fn rests(&self, ends: [&CriticalPoint; 2], saddle: &CriticalPoint) -> Vec<CriticalPoint> {
        let is_end = |point: &CriticalPoint| ends.iter().any(|end| norm(&sub(&end.state, &point.state)) < 1e-6);
        match self.beside(saddle) {
            Ok(beside) => beside.into_iter().filter(|point| !is_end(point)).collect(),
            Err(error) => {
                log::warn!("where the drift leads from the saddle is not known: {error}");
                vec![]
            }
        }
    }

    /// The attractors nearest to two states, and the saddle between them.
    ///
    /// # Errors
    /// As [`passage`](Self::passage).
    pub fn ends(&self, low: &[f64], high: &[f64]) -> Result<[CriticalPoint; 3]> {
        let attractor = |near| self.attractor(&self.critical_point(near)?.state);
        let (low, high) = (attractor(low)?, attractor(high)?);
        if norm(&sub(&low.state, &high.state)) < 1e-6 {
            let want = "two attractors: start from states nearer to each, or choose parameters at which both exist";
            return Err(Error::Invalid { what: "number of attractors", got: "1".into(), want });
        }
        let saddle = self.saddle(&low.state, &high.state)?;
        Ok([low, high, saddle])
    }

    /// Legs between critical points, and these points.
    fn split(&self, whole: Minimum, options: &PathOptions, depth: usize) -> Result<(Vec<Minimum>, Vec<CriticalPoint>)> {
        let Some((node, point)) = (if depth > 0 { self.stop_on(&whole) } else { None }) else {
            return Ok((vec![whole], vec![]));
        };
        let leg = |from: usize, to: usize, end: usize| {
            let mut part = whole.path.part(from, to)?.states().to_vec();
            part[end * self.sites()..(end + 1) * self.sites()].copy_from_slice(&point.state);
            self.minimise(&Path::new(self.sites(), part)?.respaced(options.nodes)?, options)
        };
        let (before, after) = (leg(0, node, node)?, leg(node, whole.path.n() - 1, 0)?);
        // What comes before an attractor and what comes after it may break their symmetries one by one.
        let (before, after) = match point.index() {
            0 => (self.settled(before, options)?, self.settled(after, options)?),
            _ => (before, after),
        };
        // A path that rests on the way costs no less than the best that does not; the other one only lacked nodes.
        if before.action + after.action > whole.action * (1.0 + 1e-2) {
            return Ok((vec![whole], vec![]));
        }
        let (mut legs, mut through) = self.split(before, options, depth - 1)?;
        legs.iter_mut().take(1).for_each(|leg| leg.steps += whole.steps);
        let (more, points) = self.split(after, options, depth - 1)?;
        legs.extend(more);
        through.push(point);
        through.extend(points);
        Ok((legs, through))
    }

    /// An inner node next to a critical point: where `lambda` dips, and Newton's method ends within three segments. Attractors
    /// come first, then points of lower index.
    fn stop_on(&self, whole: &Minimum) -> Option<(usize, CriticalPoint)> {
        // Legs need three nodes.
        const MARGIN: usize = 2;
        let (lambda, path) = (&whole.momenta.lambda, &whole.path);
        let segment = path.length() / (path.n() - 1) as f64;
        let largest = lambda.iter().copied().fold(0.0, f64::max);
        let dips = |&i: &usize| lambda[i] < lambda[i - 1] && lambda[i] <= lambda[i + 1] && lambda[i] < 0.2 * largest;
        let stop = |i: usize| {
            let point = self.critical_point(path.state(i)).ok()?;
            let far = |node: usize| norm(&sub(path.state(node), &point.state));
            let nodes = MARGIN.max(i - 1)..(i + 3).min(path.n() - MARGIN);
            let node = nodes.min_by(|&a, &b| far(a).total_cmp(&far(b)))?;
            let is_end = [far(0), far(path.n() - 1)].iter().any(|end| *end < 0.5 * segment);
            (far(node) < 3.0 * segment && !is_end).then_some((node, point))
        };
        let inner = MARGIN..lambda.len().saturating_sub(MARGIN);
        inner.filter(dips).filter_map(stop).min_by_key(|(_, point)| point.index())
    }

    fn fixed_point(&self, state: &[f64]) -> Result<()> {
        let drift = super::critical::largest(&self.drift(state)?);
        if drift <= 1e-7 {
            return Ok(());
        }
        let want = "a fixed point, where the drift is below 1e-7: take one from Model::critical_point, or set free_end";
        Err(Error::Invalid { what: "an end state", got: format!("where the drift is {drift:e}"), want })
    }
}
