//! Numeric tables: CSV with a header line, such as the `history.csv` of a run ([`read`]), and rows to learn from, CSV or NPY,
//! plain or packed with gzip ([`select`]).

use std::path::Path;

use crate::data::{file, npy};
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

/// Reads a table, packed with gzip or not: a header line, then as many numbers in each line; an empty cell reads as NaN.
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
    let bytes = file::read_unpacked(path)?;
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

/// Which rows and columns of a table are read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// Columns by name, in this order; empty for all in the file's order.
    pub columns: Vec<String>,
    /// Columns that are left out, and need not be numbers: labels.
    pub discard: Vec<String>,
    /// `(column, text)`: only rows whose cell there is this text, or this number. Such a column is left out as well.
    pub only: Vec<(String, String)>,
    /// At most so many rows, the first ones that qualify.
    pub max_rows: Option<usize>,
}

/// Reads rows of finite numbers from a CSV or a two-dimensional NPY file, either packed with gzip or not.
///
/// A CSV file whose first line is all numbers has no header: its columns, like those of an NPY file, are called `0`, `1`, ...
///
/// # Errors
/// [`Error::Io`] when the file cannot be read. [`Error::Data`] with the byte (of the unpacked file) at which the wrong line
/// starts: an empty file or one without a row, a line of another length than the first, a cell that is empty, not a number or
/// not finite, a name that no column has, a choice that leaves no row or column.
///
/// ```
/// use ergodic::data::table::{self, Selection};
/// let path = std::env::temp_dir().join("ergodic-doc-select.csv");
/// std::fs::write(&path, "x,y,class\n1,2,g\n3,4,h\n5,6,g\n").unwrap();
/// let only = vec![("class".to_string(), "g".to_string())];
/// let table = table::select(&path, &Selection { only, ..Default::default() }).unwrap();
/// assert_eq!((table.columns, table.values), (vec!["x".to_string(), "y".to_string()], vec![1.0, 2.0, 5.0, 6.0]));
/// ```
pub fn select(path: impl AsRef<Path>, selection: &Selection) -> Result<Table> {
    let path = path.as_ref();
    let bytes = file::read_unpacked(path)?;
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(wrong(path, 0, "is empty; give a file with a header line and rows of numbers".into()));
    }
    if npy::is_array(&bytes) { of_array(path, &bytes, selection) } else { of_text(path, &bytes, selection) }
}

fn wrong(path: &Path, offset: u64, why: String) -> Error {
    Error::Data { file: path.into(), offset, why }
}

/// Which cells of a line are kept, and what others must say.
struct Places {
    keep: Vec<usize>,
    names: Vec<String>,
    only: Vec<(usize, String)>,
}

impl Places {
    fn new(path: &Path, names: &[String], selection: &Selection) -> Result<Self> {
        let place = |name: &String| {
            let why = || format!("has no column `{name}`; it has {}", names.join(", "));
            names.iter().position(|there| there == name).ok_or_else(|| wrong(path, 0, why()))
        };
        let only = selection.only.iter().map(|(name, text)| Ok((place(name)?, text.trim().to_string())));
        let only = only.collect::<Result<Vec<_>>>()?;
        let mut left_out = selection.discard.iter().map(place).collect::<Result<Vec<_>>>()?;
        left_out.extend(only.iter().map(|(at, _)| *at));
        let chosen = selection.columns.iter().map(place).collect::<Result<Vec<_>>>()?;
        if let Some(twice) = (1..chosen.len()).find(|&k| chosen[..k].contains(&chosen[k])) {
            return Err(wrong(path, 0, format!("column `{}` is chosen twice", selection.columns[twice])));
        }
        let all = if chosen.is_empty() { (0..names.len()).collect() } else { chosen };
        let keep: Vec<usize> = all.into_iter().filter(|at| !left_out.contains(at)).collect();
        if keep.is_empty() {
            return Err(wrong(path, 0, format!("no column is left of {}", names.join(", "))));
        }
        Ok(Self { names: keep.iter().map(|&at| names[at].clone()).collect(), keep, only })
    }

    /// The table, if it has a row.
    fn table(self, path: &Path, rows: usize, values: Vec<f64>) -> Result<Table> {
        if !values.is_empty() {
            return Ok(Table { columns: self.names, values });
        }
        Err(wrong(path, 0, format!("none of its {rows} rows qualifies: see `only` and `max_rows`, or give more rows")))
    }
}

fn of_text(path: &Path, bytes: &[u8], selection: &Selection) -> Result<Table> {
    let unreadable =
        |error: csv::Error| wrong(path, error.position().map_or(0, csv::Position::byte), error.to_string());
    let options = || {
        let mut options = csv::ReaderBuilder::new();
        options.flexible(true).has_headers(false).trim(csv::Trim::All);
        options
    };
    let first = options().from_reader(bytes).records().next().transpose().map_err(unreadable)?.unwrap_or_default();
    let has_header = first.iter().any(|cell| cell.parse::<f64>().is_err());
    let names: Vec<String> = if has_header { first.iter().map(String::from).collect() } else { numbered(first.len()) };
    let (places, mut values, mut rows) = (Places::new(path, &names, selection)?, vec![], 0);
    for record in options().from_reader(bytes).records().skip(usize::from(has_header)) {
        let record = record.map_err(unreadable)?;
        let (offset, line) = record.position().map_or((0, 0), |at| (at.byte(), at.line()));
        if record.len() != names.len() {
            let why = format!("line {line} has {} cells, the first has {}", record.len(), names.len());
            return Err(wrong(path, offset, why));
        }
        rows += 1;
        let is_full = selection.max_rows.is_some_and(|most| values.len() >= most * places.keep.len());
        if is_full || !places.only.iter().all(|(at, text)| is_same(&record[*at], text)) {
            continue;
        }
        for &at in &places.keep {
            let why = |what: &str| {
                format!("line {line}: `{}` is {what}; drop the row, or name the column in `discard`", names[at])
            };
            let value = match (&record[at], record[at].parse::<f64>()) {
                ("", _) => Err(why("empty")),
                (cell, Err(_)) => Err(why(&format!("`{cell}`, not a number"))),
                (cell, Ok(value)) if !value.is_finite() => Err(why(cell)),
                (_, Ok(value)) => Ok(value),
            };
            values.push(value.map_err(|why| wrong(path, offset, why))?);
        }
    }
    places.table(path, rows, values)
}

fn of_array(path: &Path, bytes: &[u8], selection: &Selection) -> Result<Table> {
    let array = npy::parse_wide(path, bytes)?;
    let [rows, columns] = array.shape[..] else {
        let why = format!("has shape {:?}, want rows and columns: reshape it to two axes", array.shape);
        return Err(wrong(path, 0, why));
    };
    let names = numbered(columns);
    let (places, mut values) = (Places::new(path, &names, selection)?, vec![]);
    for (i, row) in array.values.chunks_exact(columns.max(1)).enumerate() {
        let is_full = selection.max_rows.is_some_and(|most| values.len() >= most * places.keep.len());
        if is_full || !places.only.iter().all(|(at, text)| is_same(&row[*at].to_string(), text)) {
            continue;
        }
        for &at in &places.keep {
            if !row[at].is_finite() {
                let why = format!("row {i}: `{at}` is {}; drop the row, or name the column in `discard`", row[at]);
                return Err(wrong(path, 0, why));
            }
            values.push(row[at]);
        }
    }
    places.table(path, rows, values)
}

fn numbered(n: usize) -> Vec<String> {
    (0..n).map(|at| at.to_string()).collect()
}

/// Equal as text, or as numbers.
fn is_same(cell: &str, text: &str) -> bool {
    cell == text || matches!((cell.parse::<f64>(), text.parse::<f64>()), (Ok(a), Ok(b)) if a == b)
}
