//! Substitution: the same formula of other arguments.

use super::{Graph, Var};
use crate::error::Error;
use std::collections::HashMap;
use std::panic::Location;

impl Graph {
    /// `y` with every use of the first of each pair replaced by the second, simplified again as it is rebuilt.
    ///
    /// All pairs are replaced at once: a replacement may contain what is replaced, which stays in it. A shape or an
    /// element type that differs is a mistake that [`check`](Graph::check) reports.
    ///
    /// ```
    /// use ergodic::graph::{Feeds, Graph};
    /// # fn main() -> ergodic::Result<()> {
    /// let g = Graph::new();
    /// let (x, k) = (g.input("x", [2]), g.step());
    /// let energy = x.square().sum_all();
    /// let moved = g.substitute(energy, &[(x, x + 1.0)]);
    /// assert_eq!(g.eval_f64(&[moved], &Feeds::new().tensor("x", &[1.0, 2.0]))?[0].data, [13.0]);
    /// // A table at the next step.
    /// let rate = g.input("rate", [3]).at_step();
    /// let next = g.substitute(rate, &[(k, k + 1)]);
    /// assert_eq!(g.eval_f64(&[next], &Feeds::new().tensor("rate", &[1.0, 2.0, 3.0]))?[0].data, [2.0]);
    /// # Ok(()) }
    /// ```
    #[track_caller]
    pub fn substitute<'g>(&'g self, y: Var<'g>, replacements: &[(Var<'g>, Var<'g>)]) -> Var<'g> {
        self.substitute_all(&[y], replacements)[0]
    }

    /// [`substitute`](Graph::substitute) in several formulas at once, in their order; what they share stays shared.
    #[track_caller]
    pub fn substitute_all<'g>(&'g self, ys: &[Var<'g>], replacements: &[(Var<'g>, Var<'g>)]) -> Vec<Var<'g>> {
        let site = Location::caller();
        let mut rebuilt = HashMap::new();
        for (from, to) in replacements {
            if from.is_invalid() || to.is_invalid() {
                continue;
            }
            if from.shape() != to.shape() || from.dtype() != to.dtype() {
                let got = format!("{} {:?}", to.shape(), to.dtype());
                let want = format!("{} {:?}, as what it replaces", from.shape(), from.dtype());
                let mistake = self.invalid(Error::Shape { op: "substitute", got, want, at: Some(site) });
                return vec![mistake; ys.len()];
            }
            rebuilt.insert(from.id(), to.id());
        }
        let ids: Vec<_> = ys.iter().map(|y| y.id()).collect();
        for id in self.reachable(&ids) {
            let node = self.node(id);
            if !rebuilt.contains_key(&id) && node.args.iter().any(|arg| rebuilt.contains_key(arg)) {
                let args = node.args.iter().map(|arg| rebuilt.get(arg).copied().unwrap_or(*arg)).collect();
                let new = self.push(node.op.clone(), args, node.shape.clone(), node.dtype, node.site);
                rebuilt.insert(id, new.id());
            }
        }
        ids.iter().map(|id| self.var(rebuilt.get(id).copied().unwrap_or(*id))).collect()
    }
}
