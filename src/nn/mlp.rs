//! Multilayer perceptrons.

use super::{Init, ParamLayout};
use crate::error::{Error, Result};
use crate::graph::Var;
use crate::random::RngKey;
use std::panic::Location;

/// Parameters that a tensor can hold: 4 GiB.
const MOST: usize = 1 << 30;

/// What a hidden unit does to its input.
///
/// Second derivatives (a Laplacian, the gradient of a force) need a smooth one: [`Relu`](Activation::Relu) and
/// [`LeakyRelu`](Activation::LeakyRelu) are refused there.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub enum Activation {
    /// `x / (1 + exp(-x))`.
    Silu,
    /// `tanh x`.
    Tanh,
    /// `log(1 + exp(x))`.
    Softplus,
    /// `max(x, 0)`.
    Relu,
    /// `max(x, slope x)`, slope in (0, 1).
    LeakyRelu(f64),
    /// `x Phi(x)` with the standard normal distribution function.
    Gelu,
}

impl Activation {
    /// Applied to every element.
    #[track_caller]
    pub fn apply<'g>(self, x: Var<'g>) -> Var<'g> {
        match self {
            Activation::Silu => x.silu(),
            Activation::Tanh => x.tanh(),
            Activation::Softplus => x.softplus(),
            Activation::Relu => x.relu(),
            Activation::LeakyRelu(slope) => x.leaky_relu(slope),
            Activation::Gelu => x.gelu(),
        }
    }

    /// The initial law that keeps variances from layer to layer: He for rectifiers, Glorot for `tanh`, else LeCun.
    pub fn init(self) -> Init {
        match self {
            Activation::Relu | Activation::LeakyRelu(_) => Init::HeNormal,
            Activation::Tanh => Init::GlorotNormal,
            Activation::Silu | Activation::Softplus | Activation::Gelu => Init::LecunNormal,
        }
    }
}

/// A multilayer perceptron: linear layers with an activation between them.
///
/// ```text
/// h_0 = x [n, sizes[0]],   h_{l+1} = act(h_l w_l + b_l),   no activation after the last layer
/// ```
///
/// Parameters are `w0 [sizes[0], sizes[1]]`, `b0 [sizes[1]]`, `w1`, .. in one flat vector; see [`ParamLayout`].
///
/// ```
/// use ergodic::{graph::{Feeds, Graph}, nn::{Activation, Mlp}, random::RngKey};
/// # fn main() -> ergodic::Result<()> {
/// let energy = Mlp::new(&[24, 128, 128, 1], Activation::Silu)?.without_output_bias();
/// let g = Graph::new();
/// let theta = g.input("theta", [energy.layout().len()]);
/// let u = energy.apply(theta, g.input("x", [100, 24]))?; // [100, 1]
/// assert_eq!(*u.shape(), [100, 1]);
/// let start = energy.init(RngKey::new(0));
/// assert_eq!(start.len(), 24 * 128 + 128 + 128 * 128 + 128 + 128);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mlp {
    /// Units of every layer, input first.
    pub sizes: Vec<usize>,
    /// Between layers.
    pub activation: Activation,
    /// Whether the last layer has a bias. An energy needs none: a constant moves nothing but log Z.
    #[serde(default = "yes")]
    pub output_bias: bool,
    /// How weights start; by default what [`Activation::init`] says.
    #[serde(default)]
    pub init: Option<Init>,
}

fn yes() -> bool {
    true
}

impl Mlp {
    /// With a bias on every layer.
    ///
    /// # Errors
    /// [`Error::Invalid`] as [`check`](Mlp::check).
    pub fn new(sizes: &[usize], activation: Activation) -> Result<Self> {
        let mlp = Mlp { sizes: sizes.to_vec(), activation, output_bias: true, init: None };
        mlp.check()?;
        Ok(mlp)
    }

    /// Without a bias on the last layer.
    #[must_use]
    pub fn without_output_bias(self) -> Self {
        Mlp { output_bias: false, ..self }
    }

    /// With this law for the initial weights.
    #[must_use]
    pub fn with_init(self, init: Init) -> Self {
        Mlp { init: Some(init), ..self }
    }

    /// Whether it means anything.
    ///
    /// # Errors
    /// [`Error::Invalid`] for fewer than two sizes, a size of 0, more than 2^30 parameters, or a slope outside (0, 1).
    pub fn check(&self) -> Result<()> {
        if self.sizes.len() < 2 || self.sizes.contains(&0) {
            let want = "two or more positive numbers, input first";
            return Err(Error::Invalid { what: "Mlp::sizes", got: format!("{:?}", self.sizes), want });
        }
        if self.layout().len() > MOST {
            let want = "of at most 2^30 parameters, which is the largest tensor of any device";
            return Err(Error::Invalid { what: "Mlp::sizes", got: format!("{:?}", self.sizes), want });
        }
        match self.activation {
            Activation::LeakyRelu(slope) if !(slope > 0.0 && slope < 1.0) => {
                Err(Error::Invalid { what: "the slope of LeakyRelu", got: slope.to_string(), want: "in (0, 1)" })
            }
            _ => Ok(()),
        }
    }

    fn n_layers(&self) -> usize {
        self.sizes.len().saturating_sub(1)
    }

    fn has_bias(&self, layer: usize) -> bool {
        self.output_bias || layer + 1 < self.n_layers()
    }

    /// Where its parameters lie.
    pub fn layout(&self) -> ParamLayout {
        let mut layout = ParamLayout::new();
        for l in 0..self.n_layers() {
            layout.push(format!("w{l}"), [self.sizes[l], self.sizes[l + 1]].into());
            if self.has_bias(l) {
                layout.push(format!("b{l}"), [self.sizes[l + 1]].into());
            }
        }
        layout
    }

    /// Initial parameters `[P]`. They depend on the key and the sizes alone.
    pub fn init(&self, key: RngKey) -> Vec<f32> {
        let (layout, law) = (self.layout(), self.init.unwrap_or(self.activation.init()));
        let mut theta = vec![0.0; layout.len()];
        for l in 0..self.n_layers() {
            let (key, fan_in, fan_out) = (key.fold_in(l as u32), self.sizes[l], self.sizes[l + 1]);
            if let Ok(w) = layout.view_mut(&mut theta, &format!("w{l}")) {
                law.weights(key, fan_in, fan_out, w);
            }
            // The last layer may have none.
            if let Ok(b) = layout.view_mut(&mut theta, &format!("b{l}")) {
                law.biases(key, fan_in, b);
            }
        }
        theta
    }

    /// The network with parameters `theta [P]` on the rows of `x [n, sizes[0]]`, giving `[n, sizes[last]]`.
    ///
    /// # Errors
    /// [`Error::Shape`] if `theta` or `x` does not fit; [`Error::Invalid`] as [`check`](Mlp::check).
    #[track_caller]
    pub fn apply<'g>(&self, theta: Var<'g>, x: Var<'g>) -> Result<Var<'g>> {
        self.check()?;
        let shape = x.shape();
        if (shape.len() != 2 || shape[1] != self.sizes[0]) && !x.is_invalid() {
            let want = format!("[n, {}], the first of its sizes {:?}", self.sizes[0], self.sizes);
            return Err(Error::Shape { op: "mlp", got: shape.to_string(), want, at: Some(Location::caller()) });
        }
        let layout = self.layout();
        let mut h = x;
        for l in 0..self.n_layers() {
            h = h.matmul(layout.get(theta, &format!("w{l}"))?);
            if self.has_bias(l) {
                h = h + layout.get(theta, &format!("b{l}"))?;
            }
            if l + 1 < self.n_layers() {
                h = self.activation.apply(h);
            }
        }
        Ok(h)
    }
}
