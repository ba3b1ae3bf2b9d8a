//! What a trainer remembers: the states of its session, as arrays.

use crate::error::{Error, Result};
use crate::plan::{Role, Session};

/// One named array of what a run must remember; all of them together are a checkpoint.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    /// Its name in the plan of a step.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Its numbers, bit for bit.
    pub values: Vec<f32>,
}

/// Names and shapes of a session's states.
pub(super) fn shapes(session: &Session) -> Vec<(String, Vec<usize>)> {
    let states = session.plan().tensors().iter().filter(|decl| decl.role == Role::State);
    states.map(|decl| (decl.name.clone(), decl.shape.to_vec())).collect()
}

/// All states, read back.
pub(super) fn read(session: &Session) -> Result<Vec<State>> {
    let read = |(name, shape): (String, Vec<usize>)| {
        let values = session.read::<f32>(&name)?.wait()?;
        Ok(State { name, shape, values })
    };
    shapes(session).into_iter().map(read).collect()
}

/// Puts the states of an earlier session back, and the number of the next step. `op` is who asks, for the error.
///
/// # Errors
/// [`Error::Shape`] if a state is missing or of another shape.
pub(super) fn restore(session: &mut Session, step: u64, states: &[State], op: &'static str) -> Result<()> {
    for (name, shape) in shapes(session) {
        let Some(state) = states.iter().find(|s| s.name == name && s.shape == shape) else {
            let got = states.iter().map(|s| format!("{} {:?}", s.name, s.shape)).collect::<Vec<_>>().join(", ");
            let want = format!("{name} {shape:?}");
            return Err(Error::Shape { op, got, want, at: None });
        };
        session.tensor(&name)?.write(&state.values)?;
    }
    session.set_step(step);
    Ok(())
}
