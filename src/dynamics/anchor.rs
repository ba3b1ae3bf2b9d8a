//! Where a run stopped being finite: the first step and the first walker.
//!
//! A device says only that something was not finite at some step since the fault word was last read, and by then a bad walker
//! has made the parameters bad, and these all walkers. But steps repeat bit for bit. So a copy of the states from when all was
//! well is kept, and after a fault the steps since then are taken again, one by one, until the first that raises it. This
//! costs a copy of the states on the device and, when a run has failed, as many steps as were lost.

use crate::error::{Error, Fault, NonFinite, Result};
use crate::gpu::{PollMode, Tensor};
use crate::graph::DType;
use crate::plan::{Bindings, Role, Session, TensorDecl};

/// Copies of a session's states at a step up to which there was no fault.
#[derive(Default)]
pub(crate) struct Anchor {
    step: u64,
    states: Vec<(String, Tensor)>,
}

/// What row `row` of a state is called, and its number there: such as `the energy of walker` and 12.
pub(crate) type NameRow<'a> = &'a dyn Fn(&str, usize) -> (String, usize);

impl Anchor {
    /// Copies the states as they are after everything submitted so far, which has been found without a fault.
    ///
    /// Without memory for the copies there are none, nor on a host's device, where nothing may be submitted; a later fault is
    /// reported without its place then.
    pub fn set(&mut self, session: &Session) -> Result<()> {
        if session.gpu().poll_mode() == PollMode::Host {
            return Ok(());
        }
        if self.states.is_empty() {
            match like_states(session) {
                Err(Error::OutOfMemory { .. }) => return Ok(()),
                states => self.states = states?,
            }
        }
        self.step = session.step();
        let mut pairs = vec![];
        for (name, copy) in &self.states {
            pairs.push((session.tensor(name)?, copy));
        }
        copy_all(session, &pairs)
    }

    /// The step at which the copies were made.
    pub fn step(&self) -> u64 {
        self.step
    }

    /// The same fault at its first step and with its first value, where repeating the steps since [`set`](Self::set) finds
    /// them. `bindings` are the session's; `order` says which states to look at before the others.
    pub fn explain(
        &self,
        fault: Error,
        session: &Session,
        bindings: &Bindings,
        (order, name_row): (&[&str], NameRow<'_>),
    ) -> Error {
        let Error::Fault { word, step, .. } = fault else { return fault };
        let again = if word & Fault::NON_FINITE != 0 { self.repeat(session, bindings.clone()) } else { Ok(None) };
        let found = again.and_then(|again| {
            let Some(again) = again else { return Ok((step, None)) };
            Ok((again.step(), first_non_finite(&again, order, name_row)?))
        });
        // What goes wrong here (memory, most likely) must not hide the fault.
        let (step, first) = found.unwrap_or((step, None));
        Error::Fault { word, step, first }
    }

    /// The session right after the first step that raises a fault.
    fn repeat(&self, session: &Session, mut bindings: Bindings) -> Result<Option<Session>> {
        if self.states.is_empty() {
            return Ok(None);
        }
        let states = like_states(session)?;
        let pairs: Vec<_> = self.states.iter().zip(&states).map(|(kept, to)| (&kept.1, &to.1)).collect();
        copy_all(session, &pairs)?;
        for (name, tensor) in &states {
            bindings = bindings.tensor(name, tensor);
        }
        let mut again = Session::new(session.plan(), bindings)?;
        again.set_step(self.step);
        while again.step() < session.step() {
            again.run(1)?;
            match again.check() {
                Err(Error::Fault { .. }) => return Ok(Some(again)),
                other => other?,
            }
        }
        Ok(None)
    }
}

/// The first value of a session's states (or outputs) that is not finite, those of `order` before the others.
pub(crate) fn first_non_finite(session: &Session, order: &[&str], name_row: NameRow<'_>) -> Result<Option<NonFinite>> {
    let decls = session.plan().tensors();
    let rank = |name: &str| order.iter().position(|first| *first == name).unwrap_or(order.len());
    let told = |decl: &&TensorDecl| decl.dtype == DType::F32 && decl.role != Role::Scratch;
    let mut names: Vec<_> = decls.iter().filter(told).map(|decl| decl.name.as_str()).collect();
    names.sort_by_key(|name| rank(name));
    for name in names {
        let tensor = session.tensor(name)?;
        let values = tensor.read::<f32>()?.wait()?;
        if let Some(at) = values.iter().position(|v| !v.is_finite()) {
            let width = tensor.len() / tensor.shape().first().copied().unwrap_or(1).max(1);
            let (whose, row) = name_row(name, at / width.max(1));
            return Ok(Some(NonFinite { whose, row, value: values[at] }));
        }
    }
    Ok(None)
}

/// New tensors of the names, shapes and types of the states.
fn like_states(session: &Session) -> Result<Vec<(String, Tensor)>> {
    let states = session.plan().tensors().iter().filter(|decl| decl.role == Role::State);
    let like = |name: &String| {
        let state = session.tensor(name)?;
        Ok((name.clone(), Tensor::uninit(session.gpu(), name, state.shape(), state.dtype())?))
    };
    states.map(|decl| like(&decl.name)).collect()
}

fn copy_all(session: &Session, pairs: &[(&Tensor, &Tensor)]) -> Result<()> {
    let mut encoder = session.gpu().encoder("anchor");
    for (from, to) in pairs {
        from.copy_in(&mut encoder, to);
    }
    session.gpu().submit(encoder).map(drop)
}
