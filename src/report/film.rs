//! What was seen of a state on its way: numbers at every look, and fields at some. A run goes on from it.

use crate::Result;
use crate::report::{Checkpoint, Run};

/// Looks at one state after another, each a film with a name. All of them are in the run's checkpoint, with the state of the one
/// that is not complete, so that a run which is killed loses at most five seconds.
///
/// ```
/// # use ergodic::report::{Args, Films, Preset, Run};
/// # let args = Args::parse_from("demo", "", ["demo", "--out", std::env::temp_dir().join("ergodic-film").to_str().unwrap()].map(String::from)).expect("flags");
/// # let run = Run::start(&args, &Preset::<u32>::parse("demo.ron", "7", &[])?)?;
/// let mut films = Films::open(&run, "an adapter")?;
/// films.begin("halves", 4);
/// let mut state = films.state().unwrap_or_else(|| vec![1.0]);
/// while let Some(look) = films.next_look() {
///     if look > 0 {
///         state[0] *= 0.5;
///     }
///     films.add(&[look as f64, state[0]], &state, None);
///     if films.saved_and_interrupted(&run)? {
///         return Ok(run.stop(look)); // --resume goes on with the next look
///     }
/// }
/// assert_eq!(films.rows()[3], [3.0, 0.125]);
/// # Ok::<(), ergodic::Error>(())
/// ```
#[derive(Debug)]
pub struct Films {
    /// What the checkpoint holds of films that were not begun yet.
    resumed: Option<Checkpoint>,
    adapter: String,
    films: Vec<Film>,
}

#[derive(Debug, Default)]
struct Film {
    name: String,
    looks: usize,
    rows: Vec<Vec<f64>>,
    /// The look at which a field was kept, and the field.
    frames: Vec<(u64, Vec<f64>)>,
    /// At the last look.
    state: Vec<f32>,
}

impl Films {
    /// No film yet; those that the run goes on from are found by their names.
    ///
    /// # Errors
    /// [`Error::Checkpoint`](crate::Error::Checkpoint) for a checkpoint of another adapter, whose numbers would not be the same.
    pub fn open(run: &Run, adapter: &str) -> Result<Self> {
        let resumed = run.resumed().cloned();
        resumed.as_ref().map_or(Ok(()), |checkpoint| checkpoint.expect("adapter", adapter))?;
        Ok(Films { resumed, adapter: adapter.into(), films: vec![] })
    }

    /// A film of so many looks, or what there is of it.
    pub fn begin(&mut self, name: &str, looks: u64) {
        let film = self.resumed.as_ref().and_then(|checkpoint| Film::read(checkpoint, name));
        let film = film.unwrap_or_else(|| Film { name: name.into(), ..Film::default() });
        self.films.push(Film { looks: looks as usize, ..film });
    }

    fn film(&self) -> Option<&Film> {
        self.films.last()
    }

    /// The number of the look that comes next, from 0 on; `None` after the last.
    pub fn next_look(&self) -> Option<u64> {
        self.film().filter(|film| film.rows.len() < film.looks).map(|film| film.rows.len() as u64)
    }

    /// The state at the last look, if the film goes on from a checkpoint.
    pub fn state(&self) -> Option<Vec<f64>> {
        let state = self.film().map(|film| film.state.iter().map(|&x| f64::from(x)).collect::<Vec<_>>());
        state.filter(|state| !state.is_empty())
    }

    /// A look: its numbers, the state (f32 numbers) to go on from, and a field if it is kept.
    pub fn add(&mut self, row: &[f64], state: &[f64], frame: Option<&[f64]>) {
        let Some(film) = self.films.last_mut() else { return };
        film.frames.extend(frame.map(|field| (film.rows.len() as u64, field.to_vec())));
        film.rows.push(row.to_vec());
        film.state.clear();
        film.state.extend(state.iter().map(|&x| x as f32));
    }

    /// Numbers of all looks.
    pub fn rows(&self) -> &[Vec<f64>] {
        self.film().map_or(&[], |film| &film.rows)
    }

    /// Fields that were kept, each with the number of its look.
    pub fn frames(&self) -> &[(u64, Vec<f64>)] {
        self.film().map_or(&[], |film| &film.frames)
    }

    /// Writes the checkpoint if the last one is old, the film complete or the run interrupted; whether it is interrupted.
    ///
    /// # Errors
    /// Those of [`Checkpoint::write`].
    pub fn saved_and_interrupted(&mut self, run: &Run) -> Result<bool> {
        if self.next_look().is_none() || run.checkpoint_due() {
            let looks = self.films.iter().map(|film| film.rows.len()).sum::<usize>();
            let empty = run.checkpoint(looks as u64).text("adapter", self.adapter.as_str());
            run.save(&self.films.iter().try_fold(empty, |all, film| film.write(all))?)?;
        }
        Ok(run.interrupted())
    }
}

impl Film {
    fn read(checkpoint: &Checkpoint, name: &str) -> Option<Film> {
        fn all<T: super::Element>(checkpoint: &Checkpoint, name: String) -> Option<(Vec<T>, usize)> {
            let shape = checkpoint.shape(&name)?;
            Some((checkpoint.get(&name, shape).ok()?, *shape.last()?))
        }
        let (rows, width) = all::<f64>(checkpoint, format!("{name}/rows"))?;
        let (shown, _) = all::<u64>(checkpoint, format!("{name}/shown"))?;
        let (fields, cells) = all::<f64>(checkpoint, format!("{name}/frames"))?;
        let (state, _) = all::<f32>(checkpoint, format!("{name}/state"))?;
        let rows = rows.chunks(width.max(1)).map(<[f64]>::to_vec).collect();
        let frames = shown.into_iter().zip(fields.chunks(cells.max(1)).map(<[f64]>::to_vec)).collect();
        Some(Film { name: name.into(), looks: 0, rows, frames, state })
    }

    fn write(&self, checkpoint: Checkpoint) -> Result<Checkpoint> {
        let name = |part: &str| format!("{}/{part}", self.name);
        let width = self.rows.first().map_or(0, Vec::len);
        let cells = self.frames.first().map_or(0, |(_, field)| field.len());
        let (shown, fields): (Vec<u64>, Vec<&[f64]>) = self.frames.iter().map(|(at, field)| (*at, &field[..])).unzip();
        checkpoint
            .array(&name("rows"), &[self.rows.len(), width], &self.rows.concat())?
            .array(&name("shown"), &[shown.len()], &shown)?
            .array(&name("frames"), &[fields.len(), cells], &fields.concat())?
            .array(&name("state"), &[self.state.len()], &self.state)
    }
}
