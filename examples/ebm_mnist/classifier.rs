//! Which digit a walker shows: a small softmax network, trained by the same engine on the same noisy coordinates.

use std::cell::RefCell;
use std::collections::HashMap;

use ergodic::Result;
use ergodic::autodiff::grad;
use ergodic::gpu::{Gpu, Tensor};
use ergodic::graph::{DType, Graph, Var};
use ergodic::nn::{Activation, Adam, Mlp};
use ergodic::plan::{Bindings, CompileOptions, Plan, Session};
use ergodic::random::RngKey;

use super::config::{ClassifierConfig, Config};
use super::target::Target;

/// A trained network, and one session for each number of rows that it was asked about.
pub struct Classifier {
    gpu: Gpu,
    mlp: Mlp,
    theta: Tensor,
    training: Session,
    sessions: RefCell<HashMap<usize, Session>>,
}

impl Classifier {
    /// Minimises the cross-entropy of the labels; every step draws a batch and noise anew, on the device. Returns when that is
    /// submitted: the device works while the host compiles what comes next.
    pub fn train(gpu: &Gpu, target: &Target, config: &Config) -> Result<Self> {
        let (d, n, classes) = (target.d(), target.images.n(), target.digits.len());
        let sizes: Vec<_> = [d].into_iter().chain(config.classifier.hidden.iter().copied()).chain([classes]).collect();
        let mlp = Mlp::new(&sizes, Activation::Silu)?;
        let key = RngKey::new(config.seed).fold_in(201);
        let mut one_hot = vec![0.0f32; n * classes];
        target.labels().into_iter().enumerate().for_each(|(i, class)| one_hot[i * classes + class] = 1.0);
        let theta = Tensor::from_slice(gpu, "classifier", &[mlp.layout().len()], &mlp.init(key.fold_in(1)))?;
        let mut bindings = Bindings::new()
            .key("key", key.fold_in(2))
            .tensor("theta", &theta)
            .tensor("noise", &Tensor::from_slice(gpu, "noise", &[d], &target.noise)?)
            .tensor("x", &Tensor::from_slice(gpu, "x", &[n, d], &target.clean)?)
            .tensor("y", &Tensor::from_slice(gpu, "y", &[n, classes], &one_hot)?);

        let g = Graph::new();
        let (x, y) = (g.input("x", [n, d]), g.input("y", [n, classes]));
        let step = TrainingStep { mlp: &mlp, config: &config.classifier };
        let outputs = step.graph(&g, x, y)?;
        for (name, moment) in outputs.iter().filter(|(name, _)| name != "theta" && name != "loss") {
            bindings = bindings.tensor(name, &Tensor::zeros(gpu, name, &moment.shape(), DType::F32)?);
        }
        let outputs: Vec<_> = outputs.iter().map(|(name, var)| (name.as_str(), *var)).collect();
        let plan = Plan::compile(gpu, &outputs, &CompileOptions::labelled("classifier step"))?;
        let mut session = Session::new(&plan, bindings)?;
        session.run(config.classifier.steps)?;
        Ok(Self { gpu: gpu.clone(), mlp, theta, training: session, sessions: RefCell::default() })
    }

    /// Waits for the end of training, and says if it went wrong.
    pub fn check(&self) -> Result<()> {
        self.training.check()
    }

    /// The likeliest digit, as an index, of each row of `x [n, d]`.
    pub fn classify(&self, x: &[f32]) -> Result<Vec<usize>> {
        let (d, classes) = (self.mlp.sizes[0], self.mlp.sizes[self.mlp.sizes.len() - 1]);
        let n = x.len() / d;
        let mut sessions = self.sessions.borrow_mut();
        let session = match sessions.entry(n) {
            std::collections::hash_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::hash_map::Entry::Vacant(entry) => entry.insert(self.session(n)?),
        };
        session.tensor("x")?.write(x)?;
        session.run(1)?;
        let logits = session.read::<f32>("logits")?.wait()?;
        let likeliest = |row: &[f32]| (0..classes).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap_or(0);
        Ok(logits.chunks_exact(classes).map(likeliest).collect())
    }

    /// Part of the rows of `x` that it assigns to their labels.
    pub fn accuracy(&self, x: &[f32], labels: &[usize]) -> Result<f64> {
        let right = self.classify(x)?.iter().zip(labels).filter(|(got, want)| got == want).count();
        Ok(right as f64 / labels.len().max(1) as f64)
    }

    fn session(&self, n: usize) -> Result<Session> {
        let g = Graph::new();
        let (theta, x) = (g.input("theta", self.theta.shape()), g.input("x", [n, self.mlp.sizes[0]]));
        let logits = self.mlp.apply(theta, x)?;
        let plan = Plan::compile(&self.gpu, &[("logits", logits)], &CompileOptions::labelled("classifier"))?;
        let x = Tensor::zeros(&self.gpu, "x", &[n, self.mlp.sizes[0]], DType::F32)?;
        Session::new(&plan, Bindings::new().tensor("theta", &self.theta).tensor("x", &x))
    }
}

/// One step of its training as a graph.
struct TrainingStep<'a> {
    mlp: &'a Mlp,
    config: &'a ClassifierConfig,
}

impl TrainingStep<'_> {
    /// The next parameters and moments under the names of their inputs, and the loss of the batch.
    fn graph<'g>(&self, g: &'g Graph, x: Var<'g>, y: Var<'g>) -> Result<Vec<(String, Var<'g>)>> {
        let (n, batch, key) = (x.shape()[0], self.config.batch, g.key("key"));
        let theta = g.input("theta", [self.mlp.layout().len()]);
        let rows = (key.fold_in(1).uniform([batch]) * n as f64).floor().cast(DType::U32).min(n as u32 - 1);
        let noise = key.fold_in(2).normal([batch, x.shape()[1]]) * g.input("noise", [x.shape()[1]]);
        let logits = self.mlp.apply(theta, x.gather(rows) + noise)?;
        let loss = (logits.logsumexp(1) - (logits * y.gather(rows)).sum(1)).mean_all();
        let left = 1.0 - g.step().cast(DType::F32) / self.config.steps as f64;
        let rate = left * self.config.learning_rate;
        let update = Adam::default().step("adam", theta, grad(loss, theta)?, rate, g.step());
        let mut outputs = vec![("theta".to_string(), update.theta), ("loss".to_string(), loss)];
        outputs.extend(update.state);
        Ok(outputs)
    }
}
