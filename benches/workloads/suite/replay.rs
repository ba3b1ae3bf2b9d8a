//! A case that is one session, run for some steps from the same start each time.

use super::{Bed, Case, Cost};
use ergodic::gpu::Tensor;
use ergodic::graph::{DType, Var};
use ergodic::plan::{Bindings, CompileOptions, Plan, Profile, Session};
use ergodic::random::RngKey;

/// Tries of each dispatch in a profile.
pub const PROFILED: u32 = 5;

/// What a finished run is asked for.
pub type Answer = Box<dyn Fn(&Session) -> ergodic::Result<Vec<f64>>>;

/// A session with the values that its states start from.
pub struct Replay {
    session: Session,
    start: Vec<(Tensor, Vec<f32>)>,
    steps: u64,
    answer_steps: u64,
    answer: Answer,
}

/// What a session is bound to: inputs with their values, and keys.
pub struct Inputs<'a> {
    /// Name, shape, values.
    pub tensors: Vec<(&'a str, Vec<usize>, Vec<f32>)>,
    /// Keys by name.
    pub keys: Vec<(&'a str, RngKey)>,
}

impl Replay {
    /// Compile `outputs` and bind them; a run is `steps` steps.
    pub fn new(
        bed: &Bed<'_>,
        outputs: &[(&str, Var<'_>)],
        inputs: Inputs<'_>,
        steps: u64,
        answer: Answer,
    ) -> ergodic::Result<Self> {
        let (gpu, options) = (bed.gpu, CompileOptions::default());
        let (mut bindings, mut start) = (Bindings::new(), vec![]);
        for (name, shape, values) in inputs.tensors {
            let tensor = Tensor::from_slice(gpu, name, &shape, &values)?;
            bindings = bindings.tensor(name, &tensor);
            if outputs.iter().any(|(output, _)| *output == name) {
                start.push((tensor, values));
            }
        }
        for (name, key) in inputs.keys {
            bindings = bindings.key(name, key);
        }
        bed.tune(outputs, &bindings, &options)?;
        let plan = Plan::compile(gpu, outputs, &options)?;
        let session = Session::new(&plan, bindings)?;
        Ok(Replay { session, start, steps, answer_steps: steps, answer })
    }

    /// Answer after so many steps instead of after a whole run.
    pub fn answer_after(self, steps: u64) -> Self {
        Replay { answer_steps: steps, ..self }
    }

    fn advance(&mut self, steps: u64) -> ergodic::Result<()> {
        self.session.run(steps)?;
        self.session.gpu().wait()
    }
}

impl Case for Replay {
    fn prepare(&mut self) -> ergodic::Result<()> {
        for (tensor, values) in &self.start {
            tensor.write(values)?;
        }
        self.session.set_step(0);
        // Uploads wait for the next submission: an empty one takes them out of the clock.
        self.session.gpu().submit(self.session.gpu().encoder("prepare"))?;
        self.session.gpu().wait()
    }

    fn run(&mut self) -> ergodic::Result<()> {
        self.advance(self.steps)
    }

    fn answer(&mut self) -> ergodic::Result<Vec<f64>> {
        self.prepare()?;
        self.advance(self.answer_steps)?;
        self.session.check()?;
        (self.answer)(&self.session)
    }

    fn cost(&self) -> Cost {
        Cost::of(self.session.plan(), self.steps)
    }

    fn profile(&mut self) -> ergodic::Result<Option<Profile>> {
        self.prepare()?;
        self.session.time_dispatches(PROFILED).map(Some)
    }
}

/// Answer with all numbers of one tensor.
pub fn whole(name: &'static str) -> Answer {
    first(name, usize::MAX)
}

/// Answer with the first `n` numbers of one tensor.
pub fn first(name: &'static str, n: usize) -> Answer {
    Box::new(move |session| {
        let tensor = session.tensor(name)?;
        let mut values: Vec<f64> = match tensor.dtype() {
            DType::F32 => super::wide(&tensor.read::<f32>()?.wait()?),
            _ => tensor.read::<u32>()?.wait()?.into_iter().map(f64::from).collect(),
        };
        values.truncate(n);
        Ok(values)
    })
}
