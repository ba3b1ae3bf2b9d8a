//! Numeric CSV tables with a header line, such as the `history.csv` of a run.

use std::path::Path;

use crate::data::file;
use crate::{Error, Result};

/// A table of numbers with named columns.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// Column names, in the file's order.
    pub columns: Vec<String>,
    /// `[rows, columns]`.
    pub values: Vec<f64>,
}

impl Table {
    /// Number of rows.
    pub fn n_rows(&self) -> usize {
        self.values.len() / self.columns.len().max(1)
    }

    /// One column by name, or `None`.
    pub fn column(&self, name: &str) -> Option<Vec<f64>> {
        let at = self.columns.iter().position(|column| column == name)?;
        Some(self.values.iter().skip(at).step_by(self.columns.len()).copied().collect())
    }
}

/// Reads a table: a header line, then as many numbers in each line; an empty cell reads as NaN.
///
/// # Errors
/// [`Error::Io`] when the file cannot be read; [`Error::Data`] with the byte at which the wrong line starts, naming line and
/// column, when a cell is not a number or a line has another length than the header.
///
/// ```
/// let dir = std::env::temp_dir().join("ergodic-doc-table.csv");
/// std::fs::write(&dir, "step,ess\n0,1\n10,0.75\n").unwrap();
/// let table = ergodic::data::table::read(&dir).unwrap();
/// assert_eq!(table.column("ess"), Some(vec![1.0, 0.75]));
/// ```
pub fn read(path: impl AsRef<Path>) -> Result<Table> {
    let path = path.as_ref();
    let bytes = file::read(path)?;
    let wrong = |offset: u64, why: String| Error::Data { file: path.into(), offset, why };
    let mut reader = csv::ReaderBuilder::new().flexible(true).trim(csv::Trim::All).from_reader(bytes.as_slice());
    let unreadable = |error: csv::Error| wrong(error.position().map_or(0, csv::Position::byte), error.to_string());
    let columns: Vec<String> = reader.headers().map_err(unreadable)?.iter().map(String::from).collect();
    if columns.iter().all(String::is_empty) {
        return Err(wrong(0, "the first line names no columns".into()));
    }
    let mut values = Vec::new();
    for record in reader.records() {
        let record = record.map_err(unreadable)?;
        let (offset, line) = record.position().map_or((0, 0), |at| (at.byte(), at.line()));
        if record.len() != columns.len() {
            let (got, want) = (record.len(), columns.len());
            return Err(wrong(offset, format!("line {line} has {got} cells, the header has {want}")));
        }
        for (cell, column) in record.iter().zip(&columns) {
            let value = if cell.is_empty() { Ok(f64::NAN) } else { cell.parse() };
            values
                .push(value.map_err(|_| wrong(offset, format!("line {line}: `{column}` is `{cell}`, not a number")))?);
        }
    }
    Ok(Table { columns, values })
}
