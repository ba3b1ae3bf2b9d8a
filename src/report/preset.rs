//! Presets: a whole problem in one RON file, checked before anything runs.
//!
//! A preset type derives serde's traits with `deny_unknown_fields`, so a misspelt field is an error and never a silent default.
//! Every error names the file, the line and the field's path, what is there, and what may be there.
//!
//! `--set path=value` replaces one value in the text, before it is parsed: `--set kernel=mala`, `--set layers.0=64`,
//! `--set resample=Some(systematic)`. A field that the file leaves to its default is added. RON's `implicit_some` is on:
//! `--set clip=2.0` sets an `Option<f32>`.

use std::ops::Deref;
use std::path::{Path, PathBuf};

use ron::error::SpannedError;
use ron::extensions::Extensions;
use ron::ser::PrettyConfig;
use serde::{Serialize, de::DeserializeOwned};

use crate::data::file;
use crate::report::spans::{Field, fields, is_one_value, line_of};
use crate::{Error, Result};

/// A preset with the text it came from, so that a value that parses but makes no sense is still reported at its line.
///
/// ```
/// #[derive(serde::Deserialize, serde::Serialize)]
/// #[serde(deny_unknown_fields)]
/// struct Problem { walkers: usize, step_size: f32 }
///
/// let overrides = ["walkers=0".to_string()];
/// let preset = ergodic::report::Preset::<Problem>::parse("quick.ron", "(\n  walkers: 64,\n  step_size: 0.1,\n)", &overrides).unwrap();
/// assert_eq!(preset.walkers, 0);
/// let error = preset.check("walkers", preset.walkers > 0, "is 0, but must be at least 1").unwrap_err();
/// assert_eq!(error.to_string(), "--set: walkers: is 0, but must be at least 1");
/// ```
#[derive(Debug, Clone)]
pub struct Preset<T> {
    value: T,
    source: Source,
}

impl<T> Deref for Preset<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: DeserializeOwned + Serialize> Preset<T> {
    /// Reads `file` and applies `overrides`, each `path=value`, in their order.
    ///
    /// # Errors
    /// [`Error::Io`] when the file cannot be read; else those of [`Preset::parse`].
    pub fn load(file: impl AsRef<Path>, overrides: &[String]) -> Result<Self> {
        let bytes = file::read(&file)?;
        let text = String::from_utf8(bytes).map_err(|error| {
            let offset = error.utf8_error().valid_up_to() as u64;
            Error::Data { file: file.as_ref().into(), offset, why: "is not UTF-8 text".into() }
        })?;
        Self::parse(file, &text, overrides)
    }

    /// Parses a text; `file` is only named in errors.
    ///
    /// # Errors
    /// [`Error::Config`] for a malformed text, an unknown, missing or repeated field, a value of the wrong type, or an override
    /// whose field or value is none.
    pub fn parse(file: impl AsRef<Path>, text: &str, overrides: &[String]) -> Result<Self> {
        let mut source = Source { file: file.as_ref().into(), text: text.into(), overridden: Vec::new() };
        // A file that is wrong by itself is reported at its own lines, before overrides move them.
        let parsed: Result<T, _> = options().from_str(text);
        if let Err(error) = parsed.as_ref()
            && !matches!(error.code, ron::Error::MissingStructField { .. })
        {
            return Err(source.describe(error));
        }
        for set in overrides {
            source.set(set)?;
        }
        let parsed = if overrides.is_empty() { parsed } else { options().from_str(&source.text) };
        let value = parsed.map_err(|error| source.describe(&error))?;
        Ok(Self { value, source })
    }

    /// The preset as RON with every field written out, overrides and defaults included; [`Preset::load`] reads it back.
    ///
    /// # Errors
    /// [`Error::Config`] for a type that RON cannot write.
    pub fn resolved(&self) -> Result<String> {
        let pretty = PrettyConfig::new().new_line("\n").struct_names(false);
        let text = options().to_string_pretty(&self.value, pretty);
        let text =
            text.map_err(|error| self.source.error("preset", 0, format!("cannot be written as RON: {error}")))?;
        Ok(text + "\n")
    }
}

impl<T> Preset<T> {
    /// [`Error::Config`] at the line of `field` (a path such as `optimiser.rate`) unless `ok`.
    ///
    /// `why` says what is there and what may be, such as `"is 0, but must be at least 1"`.
    pub fn check(&self, field: &str, ok: bool, why: impl Into<String>) -> Result<()> {
        if ok {
            return Ok(());
        }
        let at = fields(&self.source.text).into_iter().find(|f| f.path == field).map_or(0, |f| f.whole.start);
        Err(self.source.error(field, at, why.into()))
    }

    /// A result of the library about the value of `field`: [`Error::Invalid`] and [`Error::Shape`] become errors at its line.
    ///
    /// # Errors
    /// [`Error::Config`], or what `found` was.
    pub fn checked<X>(&self, field: &str, found: Result<X>) -> Result<X> {
        checked_by(&|field, ok, why| self.check(field, ok, why), field, found)
    }

    /// The same where [`Error::Invalid`] names a field inside of `field`, as the checks of configurations do.
    ///
    /// # Errors
    /// [`Error::Config`], or what `found` was.
    pub fn checked_inside<X>(&self, field: &str, found: Result<X>) -> Result<X> {
        if let Err(Error::Invalid { what, got, want }) = &found {
            self.check(&format!("{field}.{what}"), false, format!("is {got}, but must be {want}"))?;
        }
        found
    }

    /// The file it came from.
    pub fn file(&self) -> &Path {
        &self.source.file
    }
}

/// What a problem asks while it checks itself: the field, whether it makes sense, and what is wrong if not; mostly
/// [`Preset::check`].
pub type Refuse<'a> = &'a dyn Fn(&str, bool, &str) -> Result<()>;

/// [`Preset::checked`] for a problem that knows its preset only by what refuses a field.
///
/// # Errors
/// What `refuse` gives for [`Error::Invalid`] and [`Error::Shape`], or what `found` was.
pub fn checked_by<X>(refuse: Refuse<'_>, field: &str, found: Result<X>) -> Result<X> {
    let why = match &found {
        Err(Error::Invalid { what, got, want }) => format!("{what} is {got}, but must be {want}"),
        Err(Error::Shape { got, want, .. }) => format!("has {got}, but must have {want}"),
        _ => return found,
    };
    refuse(field, false, &why)?;
    found
}

/// [`checked_by`] for what checks its own fields, such as a training's configuration: the one refused is `part.WHAT`.
///
/// # Errors
/// What `refuse` gives for [`Error::Invalid`], or what `found` was.
pub fn checked_in(refuse: Refuse<'_>, part: &str, found: Result<()>) -> Result<()> {
    match found {
        Err(Error::Invalid { what, got, want }) => {
            refuse(&format!("{part}.{what}"), false, &format!("is {got}, but must be {want}"))
        }
        other => other,
    }
}

fn options() -> ron::Options {
    ron::Options::default().with_default_extension(Extensions::IMPLICIT_SOME)
}

/// A preset's text with the paths that overrides replaced.
#[derive(Debug, Clone)]
struct Source {
    file: PathBuf,
    text: String,
    overridden: Vec<String>,
}

impl Source {
    /// An error at byte `at`: in `--set` if an override put that text there.
    fn error(&self, field: &str, at: usize, why: String) -> Error {
        let covers = |f: &Field| f.whole.contains(&at) && self.overridden.contains(&f.path);
        let by_set = self.overridden.iter().any(|path| path == field) || fields(&self.text).iter().any(covers);
        let (file, line) = if by_set { ("--set".into(), 0) } else { (self.file.clone(), line_of(&self.text, at)) };
        Error::Config { file, line, field: field.into(), why }
    }

    /// Applies one `path=value`.
    fn set(&mut self, set: &str) -> Result<()> {
        let wrong = |field: &str, why: &str| Error::Config {
            file: "--set".into(),
            line: 0,
            field: field.into(),
            why: why.into(),
        };
        let Some((path, value)) = set.split_once('=').map(|(path, value)| (path.trim(), value.trim())) else {
            return Err(wrong(set, "has no `=`; write --set field=value"));
        };
        if !is_one_value(value) {
            return Err(wrong(
                path,
                &format!("`{value}` is not one RON value; texts need quotes: --set '{path}=\"text\"'"),
            ));
        }
        let all = fields(&self.text);
        if let Some(field) = all.iter().find(|field| field.path == path) {
            self.text.replace_range(field.value.clone(), value);
        } else {
            let (parent, name) = path.rsplit_once('.').unwrap_or(("", path));
            let Some(inside) = all.iter().rev().find(|f| f.path == parent).and_then(|f| f.inside) else {
                let why = format!(
                    "there is no `{parent}` with named fields in {}; set `{parent}` whole",
                    self.file.display()
                );
                return Err(wrong(path, &why));
            };
            self.text.insert_str(inside, &format!("{name}: {value}, "));
        }
        self.overridden.push(path.into());
        Ok(())
    }

    /// What the parser says, with the field and its line.
    fn describe(&self, error: &SpannedError) -> Error {
        let (start, end) = (self.offset(&error.span.start), self.offset(&error.span.end));
        let all = fields(&self.text);
        let last_before = |at: usize| all.iter().rfind(|f| f.whole.start <= at && !f.path.is_empty());
        let named = |name: &str| {
            let is_it = |f: &&Field| f.path.rsplit('.').next() == Some(name);
            all.iter().filter(|f| f.whole.start <= end).rfind(is_it)
        };
        use ron::Error as E;
        match &error.code {
            E::NoSuchStructField { expected, found, .. } => {
                let (path, at) = named(found).map_or((found.clone(), start), |f| (f.path.clone(), f.whole.start));
                self.error(
                    &path,
                    at,
                    format!("is not a field here{}; allowed are: {}", near(found, expected), expected.join(", ")),
                )
            }
            E::DuplicateStructField { field, .. } => {
                let at = named(field).map_or(start, |f| f.whole.start);
                self.error(field, at, "is given twice".into())
            }
            E::MissingStructField { field, .. } => {
                // The innermost value with named fields that the parser has just read.
                let open = all.iter().rfind(|f| f.inside.is_some() && f.value.start <= end && end <= f.value.end + 1);
                let parent = open.map_or("", |f| f.path.as_str());
                let path = if parent.is_empty() { field.to_string() } else { format!("{parent}.{field}") };
                self.error(&path, open.map_or(start, |f| f.value.start), format!("is missing; add `{field}: VALUE,`"))
            }
            code => {
                let field = last_before(end.saturating_sub(usize::from(end > start))).or_else(|| all.first());
                let there = field.map_or("", |f| &self.text[f.value.clone()]);
                let read = field.map_or("", |f| &self.text[f.value.start..end.clamp(f.value.start, f.value.end)]);
                let (path, at) = field.map_or(("", start), |f| (f.path.as_str(), f.whole.start));
                let (path, at) = if path.is_empty() { ("preset", start) } else { (path, at) };
                self.error(path, at, in_words(code, there, read))
            }
        }
    }

    /// Byte offset of a line and column, both from 1, the column in characters.
    fn offset(&self, position: &ron::error::Position) -> usize {
        let line: usize = self.text.split_inclusive('\n').take(position.line.saturating_sub(1)).map(str::len).sum();
        let column = self.text[line..].char_indices().nth(position.col.saturating_sub(1));
        column.map_or(self.text.len(), |(at, _)| line + at)
    }
}

/// What is wrong with the value `there`, of which the parser has read the start.
fn in_words(code: &ron::Error, there: &str, read: &str) -> String {
    use ron::Error as E;
    let part = !read.is_empty() && read.len() < there.len();
    let there = if there.len() > 40 || there.contains('\n') { "this".into() } else { format!("`{there}`") };
    match code {
        E::ExpectedInteger => format!("{there} is not an integer"),
        E::ExpectedFloat => format!("{there} is not a number"),
        E::ExpectedBoolean => format!("{there} is not `true` or `false`"),
        E::ExpectedString => format!("{there} is not a text in quotes"),
        E::ExpectedArray => format!("{there} is not a list in brackets"),
        E::IntegerOutOfBounds => format!("{there} is out of range for this integer"),
        E::NoSuchEnumVariant { expected, found, .. } => {
            format!("`{found}` is not allowed{}; allowed are: {}", near(found, expected), expected.join(", "))
        }
        E::InvalidValueForType { expected, found } => format!("is {found}, want {expected}"),
        // `6.5` for an integer ends, for the parser, behind the 6.
        E::ExpectedComma if part => format!("{there} has the wrong type: it is understood up to `{read}`"),
        E::Message(message) => message.clone(),
        other => {
            let text = other.to_string();
            let mut chars = text.chars();
            let first = chars.next().map(|c| c.to_lowercase().to_string()).unwrap_or_default();
            let at = if there == "``" { String::new() } else { format!(" at {there}") };
            format!("{first}{}{at}", chars.as_str())
        }
    }
}

/// `; did you mean ..` for the allowed name that is at most two edits away.
fn near(found: &str, allowed: &[&str]) -> String {
    let closest = allowed.iter().map(|name| (edits(found, name), name)).min();
    let close = closest.filter(|(distance, name)| *distance <= 2 && *distance < name.chars().count());
    close.map_or(String::new(), |(_, name)| format!("; did you mean `{name}`?"))
}

/// Levenshtein's distance: insertions, deletions and replacements from `a` to `b`.
fn edits(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.chars().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row.last().copied().unwrap_or(0)
}
