//! How a run went: one line a diagnostic, `history.csv`.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::data::{file, table};
use crate::{Error, Result};

/// A CSV file that grows by one line at a time and can be cut back to a checkpoint.
///
/// The first column is `step`. Each line reaches the system in one write, so a killed run leaves at most one line that is not
/// whole, and [`History::resume`] drops it. NaN is an empty cell.
#[derive(Debug)]
pub struct History {
    path: PathBuf,
    columns: Vec<String>,
    file: File,
}

impl History {
    /// Starts a file with `step` and these columns, in place of one that is there.
    ///
    /// # Errors
    /// [`Error::Io`] naming the file.
    pub fn create(path: impl AsRef<Path>, columns: &[&str]) -> Result<Self> {
        let columns = header(columns);
        file::write_atomic(&path, (columns.join(",") + "\n").as_bytes())?;
        Self::open(path.as_ref(), columns)
    }

    /// Keeps the lines up to and including `step` and goes on from there; starts a file if there is none.
    ///
    /// # Errors
    /// [`Error::Data`] when the file has other columns: its numbers would not line up. [`Error::Io`] naming the file.
    pub fn resume(path: impl AsRef<Path>, columns: &[&str], step: u64) -> Result<Self> {
        let path = path.as_ref();
        if !path.exists() {
            return Self::create(path, columns);
        }
        let columns = header(columns);
        let bytes = file::read(path)?;
        let text = String::from_utf8_lossy(&bytes);
        let mut lines = text.split_inclusive('\n');
        let found = lines.next().unwrap_or("").trim_end().to_string();
        if found != columns.join(",") {
            let why = format!("has the columns {found}, this run writes {}: rename the file", columns.join(","));
            return Err(Error::Data { file: path.into(), offset: 0, why });
        }
        let step_of = |line: &str| line.split(',').next().and_then(|cell| cell.parse::<f64>().ok());
        let whole = |line: &&str| line.ends_with('\n') && step_of(line).is_some_and(|at| at <= step as f64);
        let kept: String = lines.take_while(whole).collect();
        file::write_atomic(path, (columns.join(",") + "\n" + &kept).as_bytes())?;
        Self::open(path, columns)
    }

    fn open(path: &Path, columns: Vec<String>) -> Result<Self> {
        let file = OpenOptions::new().append(true).open(path);
        let file = file.map_err(|source| Error::Io { verb: "write", file: path.into(), source })?;
        Ok(Self { path: path.into(), columns, file })
    }

    /// Appends one line.
    ///
    /// # Errors
    /// [`Error::Shape`] when `values` are not as many as the columns after `step`; [`Error::Io`] naming the file.
    pub fn append(&mut self, step: u64, values: &[f64]) -> Result<()> {
        if values.len() + 1 != self.columns.len() {
            let (got, want) = (format!("{} values", values.len()), format!("{} columns", self.columns.len() - 1));
            return Err(Error::Shape { op: "History::append", got, want, at: None });
        }
        let mut line = step.to_string();
        for value in values {
            line += ",";
            line += &cell(*value);
        }
        line += "\n";
        let written = self.file.write_all(line.as_bytes());
        written.map_err(|source| Error::Io { verb: "write", file: self.path.clone(), source })
    }

    /// Everything written so far, for plots.
    ///
    /// # Errors
    /// Those of [`table::read`].
    pub fn table(&self) -> Result<table::Table> {
        table::read(&self.path)
    }
}

fn header(columns: &[&str]) -> Vec<String> {
    std::iter::once(&"step").chain(columns).map(|column| column.to_string()).collect()
}

/// The shortest text that reads back to the same bits.
fn cell(value: f64) -> String {
    let size = value.abs();
    if value.is_nan() {
        String::new()
    } else if value == 0.0 || (1e-4..1e15).contains(&size) || value.is_infinite() {
        value.to_string()
    } else {
        format!("{value:e}")
    }
}
