//! A system at one parameter point, in f64 on the host: what its graphs give at states and momenta.

use super::system::{Curvature, Parameters, System};
use crate::autodiff::{grads, jvp};
use crate::error::{Error, Result};
use crate::graph::{Feeds, Graph, NodeId, Var};
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

/// A system with numbers for its parameters. Host f64: this is what the device's results are judged by and finished with.
#[derive(Clone)]
pub struct Model<'a> {
    system: &'a dyn System,
    parameters: Vec<f64>,
    colours: Vec<usize>,
    formulas: RefCell<HashMap<(What, usize), Rc<Formula>>>,
}

/// Which derivatives of `H` a formula gives.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum What {
    /// `H`, `H_theta` and columns of `H_theta theta`.
    Momentum,
    /// `H_theta`.
    Drift,
    /// `H_phi`.
    Force,
    /// `H_theta theta w`.
    Noise,
    /// `H_theta phi w`.
    Jacobian,
    /// Rates of all channels.
    Rates,
}

struct Formula {
    graph: Graph,
    outputs: Vec<NodeId>,
}

/// `H [m]`, `H_theta [m, sites]` and columns of `H_theta theta`, each `[m, sites]`.
pub(super) struct Local {
    pub h: Vec<f64>,
    pub slope: Vec<f64>,
    pub columns: Vec<Vec<f64>>,
}

impl<'a> Model<'a> {
    /// A system with these parameters.
    ///
    /// # Errors
    /// [`Error::Shape`] for another number of parameters than the system names; [`Error::Invalid`] for one that is not finite,
    /// or a ring of fewer than six sites declared [`Curvature::Ring`].
    pub fn new(system: &'a dyn System, parameters: &[f64]) -> Result<Self> {
        let names = system.parameters();
        if names.len() != parameters.len() {
            let got = format!("{} parameters", parameters.len());
            let want = format!("{}: {}", names.len(), names.join(", "));
            return Err(Error::Shape { op: "Model::new", got, want, at: None });
        }
        if let Some(at) = parameters.iter().position(|p| !p.is_finite()) {
            let got = format!("{} for {}", parameters[at], names[at]);
            return Err(Error::Invalid { what: "parameter", got, want: "finite" });
        }
        let colours = colours(system)?;
        Ok(Model { system, parameters: parameters.to_vec(), colours, formulas: RefCell::default() })
    }

    /// The system.
    pub fn system(&self) -> &'a dyn System {
        self.system
    }

    /// The parameters, in the order of [`System::parameters`].
    pub fn parameters(&self) -> &[f64] {
        &self.parameters
    }

    /// Numbers in a state.
    pub fn sites(&self) -> usize {
        self.system.sites()
    }

    pub(super) fn colours(&self) -> &[usize] {
        &self.colours
    }

    /// The deterministic drift `H_theta(phi, 0)` of states `[m, sites]`.
    ///
    /// # Errors
    /// [`Error::Shape`] for states of another size; mistakes in the system's graph.
    pub fn drift(&self, states: &[f64]) -> Result<Vec<f64>> {
        let zero = vec![0.0; states.len()];
        self.one(What::Drift, states, &zero, &[])
    }

    /// `H`, its slope and its curvature in `theta`.
    pub(super) fn local(&self, states: &[f64], theta: &[f64]) -> Result<Local> {
        let mut values = self.eval(What::Momentum, states, theta, &[])?.into_iter();
        let mut next = || values.next().unwrap_or_default();
        Ok(Local { h: next(), slope: next(), columns: values.collect() })
    }

    /// `H_phi`.
    pub(super) fn force(&self, states: &[f64], theta: &[f64]) -> Result<Vec<f64>> {
        self.one(What::Force, states, theta, &[])
    }

    /// `H_theta theta w`.
    pub(super) fn noise(&self, states: &[f64], theta: &[f64], w: &[f64]) -> Result<Vec<f64>> {
        self.one(What::Noise, states, theta, w)
    }

    /// Derivative of the drift along `w`, row by row.
    pub(super) fn drift_along(&self, states: &[f64], w: &[f64]) -> Result<Vec<f64>> {
        let zero = vec![0.0; states.len()];
        self.one(What::Jacobian, states, &zero, w)
    }

    /// Jacobian of the drift at one state, row-major: entry `(i, j)` is `d b_i / d phi_j`.
    ///
    /// # Errors
    /// As [`drift`](Self::drift).
    pub fn jacobian(&self, state: &[f64]) -> Result<Vec<f64>> {
        let d = self.sites();
        let unit: Vec<_> = (0..d * d).map(|at| f64::from(u8::from(at / d == at % d))).collect();
        let columns = self.drift_along(&state.repeat(d), &unit)?;
        Ok((0..d * d).map(|at| columns[at % d * d + at / d]).collect())
    }

    /// Refuse states at which a rate is negative or not finite.
    ///
    /// # Errors
    /// [`Error::Invalid`] with the rate and the node.
    pub fn check_rates(&self, states: &[f64]) -> Result<()> {
        let zero = vec![0.0; states.len()];
        for rate in self.eval(What::Rates, states, &zero, &[])? {
            let per_node = rate.len() / (states.len() / self.sites()).max(1);
            // Not `rate < 0`: a NaN has to be found as well.
            let Some(at) = rate.iter().position(|&rate| !(rate >= 0.0 && rate.is_finite())) else { continue };
            let got = format!("{:e} at node {}", rate[at], at / per_node.max(1));
            let want = "finite and not negative along the whole path: choose states and rates that keep it so";
            return Err(Error::Invalid { what: "a rate", got, want });
        }
        Ok(())
    }

    fn one(&self, what: What, states: &[f64], theta: &[f64], w: &[f64]) -> Result<Vec<f64>> {
        Ok(self.eval(what, states, theta, w)?.into_iter().next().unwrap_or_default())
    }

    fn eval(&self, what: What, states: &[f64], theta: &[f64], w: &[f64]) -> Result<Vec<Vec<f64>>> {
        let d = self.sites();
        if !states.len().is_multiple_of(d) || states.is_empty() {
            let got = format!("{} numbers", states.len());
            let want = format!("states of {d} sites");
            return Err(Error::Shape { op: "Model", got, want, at: None });
        }
        let rows = states.len() / d;
        let formula = self.formula(what, rows)?;
        let feeds = Feeds::new().tensor("phi", states).tensor("theta", theta).tensor("p", &self.parameters[..]);
        let feeds = feeds.tensor("w", w).tensor("probes", &probes(&self.colours)[..]);
        let outputs: Vec<_> = formula.outputs.iter().map(|&id| formula.graph.var(id)).collect();
        let values = formula.graph.eval_f64(&outputs, &feeds)?;
        Ok(values.into_iter().map(|value| value.data).collect())
    }

    fn formula(&self, what: What, rows: usize) -> Result<Rc<Formula>> {
        if let Some(known) = self.formulas.borrow().get(&(what, rows)) {
            return Ok(known.clone());
        }
        let graph = Graph::new();
        let outputs = self.build(&graph, what, rows)?.iter().map(|v| v.id()).collect();
        graph.check()?;
        let formula = Rc::new(Formula { graph, outputs });
        self.formulas.borrow_mut().insert((what, rows), formula.clone());
        Ok(formula)
    }

    fn build<'g>(&self, g: &'g Graph, what: What, rows: usize) -> Result<Vec<Var<'g>>> {
        let shape = [1, rows, self.sites()];
        let (phi, theta, w) = (g.input("phi", shape), g.input("theta", shape), g.input("w", shape));
        let p = Parameters::new(g.input("p", [1, self.parameters.len()]));
        if what == What::Rates {
            return Ok(self.system.rates(phi, p));
        }
        let derivatives = Derivatives::new(self.system, phi, theta, p)?;
        Ok(match what {
            What::Momentum => {
                let columns = derivatives.columns(g.input("probes", [n_colours(&self.colours), self.sites()]))?;
                [derivatives.h, derivatives.slope].into_iter().chain(columns).collect()
            }
            What::Force => vec![derivatives.force],
            What::Noise => vec![jvp(derivatives.slope, theta, w)?],
            What::Jacobian => vec![jvp(derivatives.slope, phi, w)?],
            What::Drift | What::Rates => vec![derivatives.slope],
        })
    }
}

/// `H [b, n]` and its first derivatives `[b, n, sites]` as graphs.
pub(super) struct Derivatives<'g> {
    theta: Var<'g>,
    pub h: Var<'g>,
    pub force: Var<'g>,
    pub slope: Var<'g>,
}

impl<'g> Derivatives<'g> {
    pub fn new(system: &dyn System, phi: Var<'g>, theta: Var<'g>, p: Parameters<'g>) -> Result<Self> {
        let (h, shape) = (system.hamiltonian(phi, theta, p), phi.shape());
        phi.graph().check()?;
        if h.shape()[..] != shape[..2] {
            let want = format!("[{}, {}], one value a node", shape[0], shape[1]);
            return Err(Error::Shape { op: "hamiltonian", got: h.shape().to_string(), want, at: Some(h.site()) });
        }
        let both = grads(h.sum_all(), &[phi, theta])?;
        Ok(Derivatives { theta, h, force: both[0], slope: both[1] })
    }

    /// `H_theta theta` times each probe `[c, sites]`.
    pub fn columns(&self, probes: Var<'g>) -> Result<Vec<Var<'g>>> {
        let (shape, n) = (self.theta.shape(), probes.shape()[0]);
        let probe = |c: usize| probes.narrow(0, c, 1).reshape([1, 1, shape[2]]).broadcast_to(&shape);
        (0..n).map(|c| jvp(self.slope, self.theta, probe(c))).collect()
    }
}

/// Sites of one colour have columns of `H_theta theta` that do not overlap, so that one product gives them all.
fn colours(system: &dyn System) -> Result<Vec<usize>> {
    let d = system.sites();
    Ok(match system.curvature() {
        Curvature::Diagonal => vec![0; d],
        Curvature::Dense => (0..d).collect(),
        Curvature::Ring if d < 6 => {
            let want = "at least 6 for Curvature::Ring: use Curvature::Dense";
            return Err(Error::Invalid { what: "number of sites", got: d.to_string(), want });
        }
        // Blocks of four and then of three: no site has the colour of one that is two or fewer away.
        Curvature::Ring => {
            let fours = 4 * (d % 3);
            (0..d).map(|i| if i < fours { i % 4 } else { (i - fours) % 3 }).collect()
        }
    })
}

fn n_colours(colours: &[usize]) -> usize {
    colours.iter().max().map_or(0, |most| most + 1)
}

/// One row a colour: 1 on its sites.
pub(super) fn probes(colours: &[usize]) -> Vec<f64> {
    (0..n_colours(colours)).flat_map(|c| colours.iter().map(move |&own| f64::from(u8::from(own == c)))).collect()
}
