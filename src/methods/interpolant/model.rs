//! Fields that are known together, in closed form or as networks: what samplers follow and likelihoods divide.

use super::derived::{Known, Values};
use super::losses::{Field, Pairing};
use super::path::MixturePath;
use super::process::Interpolant;
use super::schedule::Schedule;
use super::source::Source;
use super::trainer::{FieldNet, FieldTrainer};
use crate::error::{Error, Result};
use crate::gpu::{Gpu, Tensor};
use crate::graph::Var;
use crate::plan::Bindings;
use crate::random::RngKey;

/// Name of a closed form's numbers in a graph.
const EXACT: &str = "path";

/// All that is known of a path's fields, with its ends.
///
/// ```
/// use ergodic::gpu::{Gpu, GpuOptions};
/// use ergodic::methods::interpolant::{Field, Gamma, GaussianMixture, MixturePath, Model, Pairing, Schedule};
/// use ergodic::random::RngKey;
/// # fn main() -> ergodic::Result<()> {
/// let gpu = Gpu::headless(GpuOptions::from_env()?)?;
/// let end = GaussianMixture::isotropic(&[1.0], &[vec![2.0]], &[0.25])?;
/// let schedule = Schedule::Linear { gamma: Gamma::Zero };
/// let model = Model::exact(&gpu, &MixturePath::between(schedule, GaussianMixture::normal(1)?, end)?)?;
/// // Twice the least loss is minus the mean square of the velocity, known for Gaussians: 4.464602.
/// let losses = model.losses((Field::B, Pairing::Single, (0.0, 1.0)), (100_000, RngKey::new(1)))?;
/// let mean = losses.iter().sum::<f64>() / 1e5;
/// assert!((2.0 * mean + 4.464602).abs() < 0.05); // four standard errors
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Model {
    path: Interpolant,
    parts: Parts,
}

#[derive(Clone)]
enum Parts {
    Exact { path: Box<MixturePath>, theta: Tensor },
    Learned { known: Known, nets: Vec<(Field, FieldNet, Tensor)> },
}

impl Model {
    /// The fields between mixtures.
    ///
    /// # Errors
    /// Those of an allocation.
    pub fn exact(gpu: &Gpu, path: &MixturePath) -> Result<Self> {
        let theta = path.parameters()?;
        let theta = Tensor::from_slice(gpu, EXACT, &[theta.len()], &theta)?;
        let ends = Interpolant::of_mixtures(path)?;
        Ok(Model { path: ends, parts: Parts::Exact { path: Box::new(path.clone()), theta } })
    }

    /// Networks as fields of `path`, each with its parameters `[P]`: `b` or `v`, with `s` or `eta`; or one of them, where the
    /// rest follows ([`Known`]).
    ///
    /// # Errors
    /// [`Error::Invalid`] for a field that comes twice, and as [`Known::check`]; [`Error::Shape`] for a network of another
    /// dimension or parameters of another.
    pub fn learned(path: &Interpolant, nets: &[(Field, FieldNet, Tensor)]) -> Result<Self> {
        let mut known = Known { motion: None, noise: None };
        for (field, net, theta) in nets {
            let place = if matches!(field, Field::B | Field::V) { &mut known.motion } else { &mut known.noise };
            if let Some(other) = place.replace(*field) {
                let got = format!("{other:?} and {field:?}");
                return Err(Error::Invalid {
                    what: "fields of a model",
                    got,
                    want: "b or v, with s or eta: one of each",
                });
            }
            if net.d() != path.d() || *theta.shape() != [net.n_params()] {
                let got = format!("{} dimensions and parameters {:?}", net.d(), theta.shape());
                let want = format!("{} dimensions and parameters [{}]", path.d(), net.n_params());
                return Err(Error::Shape { op: "Model::learned", got, want, at: None });
            }
        }
        known.check(path.schedule())?;
        Ok(Model { path: path.clone(), parts: Parts::Learned { known, nets: nets.to_vec() } })
    }

    /// What these trainers have learned, averages of parameters where they are kept. The model shares their tensors: it goes
    /// on learning with them.
    ///
    /// # Errors
    /// As [`learned`](Self::learned); [`Error::Invalid`] for none, or for trainers of different paths.
    pub fn trained(trainers: &[FieldTrainer]) -> Result<Self> {
        let Some(first) = trainers.first() else {
            return Err(Error::Invalid { what: "number of trainers", got: "0".into(), want: "at least 1" });
        };
        if let Some(other) = trainers.iter().find(|t| t.path() != first.path()) {
            let got = format!("{:?} and {:?}", first.path().schedule(), other.path().schedule());
            return Err(Error::Invalid { what: "paths of a model's fields", got, want: "one, with the same ends" });
        }
        let part = |t: &FieldTrainer| Ok((t.field(), t.net().clone(), t.parameters()?.clone()));
        Self::learned(first.path(), &trainers.iter().map(part).collect::<Result<Vec<_>>>()?)
    }

    /// Number of dimensions.
    pub fn d(&self) -> usize {
        self.path.d()
    }

    /// How its ends are mixed.
    pub fn schedule(&self) -> &Schedule {
        self.path.schedule()
    }

    /// The ends it goes between.
    pub fn path(&self) -> &Interpolant {
        &self.path
    }

    /// Which fields are known; `None` if all are.
    pub fn known(&self) -> Option<Known> {
        match &self.parts {
            Parts::Exact { .. } => None,
            Parts::Learned { known, .. } => Some(*known),
        }
    }

    /// The density at a time's end: at 0, or at 1.
    pub(super) fn end(&self, last: bool) -> Source {
        if last { self.path.end().clone() } else { self.path.start() }
    }

    /// All that is known at `x [n, d]` and `t`, a scalar or `[n, 1]`. Inputs that it declares in `x`'s graph are bound by
    /// [`bind`](Self::bind).
    ///
    /// # Errors
    /// [`Error::Shape`] for points or times that do not fit.
    pub fn at<'g>(&self, t: Var<'g>, x: Var<'g>) -> Result<Values<Var<'g>>> {
        let (g, n) = (x.graph(), x.shape().first().copied().unwrap_or(0));
        match &self.parts {
            Parts::Exact { path, theta } => {
                // Where every row computes its own time the steps of a solver are one dispatch.
                let t = if path.wants_one_time() { t } else { t.broadcast_to([n, 1]) };
                let fields = path.fields(g.input(EXACT, theta.shape()), t, x)?;
                Ok(Values { b: fields.b, v: Some(fields.v), s: Some(fields.s), eta: Some(fields.eta_z) })
            }
            Parts::Learned { known, nets } => {
                let (mut motion, mut noise) = (None, None);
                for (field, net, theta) in nets {
                    let value = net.apply(g.input(name(*field), theta.shape()), t, x)?;
                    *(if known.motion == Some(*field) { &mut motion } else { &mut noise }) = Some(value);
                }
                Ok(known.values(self.schedule(), &self.schedule().at(t), x, (motion, noise)))
            }
        }
    }

    /// Names and values of the inputs of [`at`](Self::at).
    pub(super) fn tensors(&self) -> Vec<(&'static str, &Tensor)> {
        match &self.parts {
            Parts::Exact { theta, .. } => vec![(EXACT, theta)],
            Parts::Learned { nets, .. } => nets.iter().map(|(field, _, theta)| (name(*field), theta)).collect(),
        }
    }

    /// The inputs that [`at`](Self::at) declares.
    pub fn bind(&self, bindings: Bindings) -> Bindings {
        self.tensors().into_iter().fold(bindings, |bindings, (name, tensor)| bindings.tensor(name, tensor))
    }

    /// Losses of one of its fields, learned or derived, on `n` fresh draws: `[n]`. As [`Interpolant::losses`], with the same
    /// draws for the same key.
    ///
    /// # Errors
    /// As there; [`Error::Invalid`] for a field that does not follow from those that are known.
    pub fn losses(
        &self,
        (field, pairing, span): (Field, Pairing, (f64, f64)),
        (n, key): (usize, RngKey),
    ) -> Result<Vec<f64>> {
        let gpu = self.tensors().first().map(|(_, tensor)| tensor.gpu().clone());
        let gpu = gpu.ok_or_else(|| not_known(field))?;
        let bound = |bindings: Bindings| self.bind(bindings);
        self.path.losses_of((field, pairing, span), (n, key), (&gpu, &bound), |_, t, x| {
            self.at(t, x)?.get(field).ok_or_else(|| not_known(field))
        })
    }
}

fn not_known(field: Field) -> Error {
    let want = "one that is learned, or follows from those that are";
    Error::Invalid { what: "field", got: format!("{field:?}"), want }
}

/// Name of a network's parameters in a graph.
fn name(field: Field) -> &'static str {
    match field {
        Field::B => "theta.b",
        Field::V => "theta.v",
        Field::S => "theta.s",
        Field::Eta => "theta.eta",
    }
}

impl<R: Copy> Values<R> {
    /// One of them.
    pub fn get(&self, field: Field) -> Option<R> {
        match field {
            Field::B => Some(self.b),
            Field::V => self.v,
            Field::S => self.s,
            Field::Eta => self.eta,
        }
    }
}
