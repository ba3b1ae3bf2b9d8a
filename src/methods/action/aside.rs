//! Paths that only a symmetry holds: pushed aside, they fall to a cheaper one.
//!
//! A descent keeps every symmetry of the path that it starts from, and the straight line between uniform states has them all. Out
//! of equilibrium the best path often has fewer (Maier and Stein, J. Stat. Phys. 83, 291 (1996)).

use super::batch::Climber;
use super::descent::{Minimum, PathOptions};
use super::model::Model;
use super::path::{Path, norm};
use crate::error::Result;
use std::f64::consts::PI;

/// Steps after which a path that was pushed aside is compared with the one at rest.
const LOOK: usize = 200;

/// What counts as cheaper: beyond what other places of the nodes change.
const CHEAPER: f64 = 1e-4;

/// Falls that are followed.
const FALLS: usize = 3;

impl PathOptions {
    /// For the look at a path that was pushed aside.
    pub(super) fn look(&self) -> PathOptions {
        PathOptions { max_steps: self.max_steps.min(LOOK), ..*self }
    }
}

impl Minimum {
    /// Whether this path, pushed aside from `rest`, has become cheaper.
    pub(super) fn fell_from(&self, rest: &Minimum) -> bool {
        self.action < rest.action - CHEAPER * rest.action.abs()
    }
}

impl Path {
    /// The path moved by `size` of its length, most in the middle, in a direction that no symmetry of the sites keeps; `None`
    /// where there is no aside: on one site, or without a size.
    pub(super) fn pushed_aside(&self, size: f64) -> Option<Path> {
        let (d, n) = (self.sites(), self.n());
        if d == 1 || size == 0.0 {
            return None;
        }
        // The golden angle: turns by it never repeat.
        let turn = PI * (3.0 - 5f64.sqrt());
        let direction: Vec<_> = (0..d).map(|x| (1.0 + turn * x as f64).cos()).collect();
        let scale = size * self.length() / norm(&direction);
        let bump = |i: usize| scale * (PI * i as f64 / (n - 1) as f64).sin();
        let moved = self.states().iter().enumerate().map(|(at, phi)| phi + bump(at / d) * direction[at % d]);
        Some(Path::from_parts(d, moved.collect()))
    }
}

impl Model<'_> {
    /// The path pushed aside, by less where a rate would be negative.
    fn pushed(&self, path: &Path, size: f64) -> Option<Path> {
        let pushes = [1.0, 0.25, 0.0625].map(|part| path.pushed_aside(part * size)?.respaced(path.n()).ok());
        pushes.into_iter().flatten().find(|path| self.momenta(path).is_ok())
    }

    /// A path at rest, or the cheaper one that it falls to.
    pub(super) fn settled(&self, mut rest: Minimum, options: &PathOptions) -> Result<Minimum> {
        for _ in 0..FALLS {
            let Some(aside) = self.pushed(&rest.path, options.aside) else { break };
            // What is at rest is not lost where a path from its side leaves the system's domain.
            let Ok(looked) = self.minimise(&aside, &options.look()) else { break };
            if !looked.fell_from(&rest) {
                rest.steps += looked.steps;
                break;
            }
            let fallen = self.minimise(&looked.path, options)?;
            rest = Minimum { steps: rest.steps + looked.steps + fallen.steps, ..fallen };
        }
        Ok(rest)
    }
}

impl Climber<'_> {
    /// Paths at rest, or the cheaper ones that they fall to, all together.
    pub(super) fn settled(
        &self,
        mut rest: Vec<Minimum>,
        jobs: &[(Model<'_>, Path)],
        options: &PathOptions,
    ) -> Result<Vec<Minimum>> {
        let job = |i: usize, path: Path| (jobs[i].0.clone(), path);
        let mut asked: Vec<_> = (0..rest.len()).collect();
        for _ in 0..FALLS {
            let aside = |i: usize| Some((i, job(i, jobs[i].0.pushed(&rest[i].path, options.aside)?)));
            let (asked_now, pushed): (Vec<_>, Vec<_>) = asked.into_iter().filter_map(aside).unzip();
            let looked = self.coarse(&pushed, &options.look())?;
            let fell = asked_now.into_iter().zip(looked).filter(|(i, looked)| looked.fell_from(&rest[*i]));
            let (fell, start): (Vec<_>, Vec<_>) = fell.map(|(i, looked)| (i, job(i, looked.path))).unzip();
            let fallen = self.coarse(&start, options)?;
            fell.iter().zip(fallen).for_each(|(&i, fallen)| rest[i] = fallen);
            asked = fell;
        }
        Ok(rest)
    }
}
