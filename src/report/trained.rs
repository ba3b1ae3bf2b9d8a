//! Fields in training as parts of a checkpoint.

use crate::methods::interpolant::{FieldTrainer, State};
use crate::report::Checkpoint;
use crate::{Error, Result};

impl Checkpoint {
    /// Adds everything that a field in training must remember, under `name`, with the hash of its plan.
    ///
    /// # Errors
    /// As [`FieldTrainer::state`].
    pub fn field(self, name: &str, trainer: &FieldTrainer) -> Result<Self> {
        let mut whole = self.text(&format!("{name}.plan"), format!("{:016x}", trainer.plan_hash()));
        for State { name: part, shape, values } in trainer.state()? {
            whole = whole.array(&format!("{name}/{part}"), &shape, &values)?;
        }
        Ok(whole)
    }

    /// Puts a trainer of the same problem where the one was that [`field`](Self::field) remembered: it goes on bit for bit.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] for another plan, or arrays that are missing or of another shape.
    pub fn restore_field(&self, name: &str, trainer: &mut FieldTrainer) -> Result<()> {
        self.expect(&format!("{name}.plan"), &format!("{:016x}", trainer.plan_hash()))?;
        let read = |(part, shape): (String, Vec<usize>)| {
            let values = self.get(&format!("{name}/{part}"), &shape)?;
            Ok::<_, Error>(State { name: part, shape, values })
        };
        let states = trainer.state_shapes().into_iter().map(read).collect::<Result<Vec<_>>>()?;
        trainer.restore(self.step(), &states)
    }
}
