//! Shader text from parts: a preprocessor of five directives, and the shaders that come with the crate.
//!
//! ```text
//! #import lib/philox       the text of shaders/lib/philox.wgsl, each file at most once
//! #if NAME                 keep what follows if NAME is set and neither `0` nor `false`
//! #if NAME == value        keep it if NAME has this value; NAME has to be set. Also `!=` and `#if !NAME`
//! #else / #endif
//! #splice NAME             the text given under NAME; it may contain directives
//! ```
//!
//! A directive is alone on its line. Where lines of the result do not follow each other in their file, a comment
//! `//: file:line` says where the next one comes from; [`locate`] reads it, so that errors name the line that was
//! written. Names are never changed.

use crate::error::{Error, Result};
use std::collections::{BTreeMap, BTreeSet};

/// Shaders that `#import` finds, by name. A file of `shaders/lib/` is listed here.
const LIBRARY: &[(&str, &str)] = &[
    ("lib/fixed_point", include_str!("../../shaders/lib/fixed_point.wgsl")),
    ("lib/index", include_str!("../../shaders/lib/index.wgsl")),
    ("lib/math", include_str!("../../shaders/lib/math.wgsl")),
    ("lib/philox", include_str!("../../shaders/lib/philox.wgsl")),
];

/// The text of a shader that comes with the crate.
pub fn library(name: &str) -> Option<&'static str> {
    LIBRARY.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
}

/// Names of all shaders that `#import` finds.
pub fn library_names() -> impl Iterator<Item = &'static str> {
    LIBRARY.iter().map(|(name, _)| *name)
}

/// What directives refer to.
#[derive(Clone, Debug, Default)]
pub struct Defines {
    values: BTreeMap<String, String>,
    splices: BTreeMap<String, String>,
    files: BTreeMap<String, String>,
}

impl Defines {
    /// Nothing set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a name for `#if`.
    #[must_use]
    pub fn set(mut self, name: &str, value: impl ToString) -> Self {
        self.values.insert(name.into(), value.to_string());
        self
    }

    /// Gives the text for `#splice NAME`.
    #[must_use]
    pub fn splice(mut self, name: &str, text: impl Into<String>) -> Self {
        self.splices.insert(name.into(), text.into());
        self
    }

    /// Gives a text for `#import`, before those of the crate.
    #[must_use]
    pub fn file(mut self, name: &str, text: impl Into<String>) -> Self {
        self.files.insert(name.into(), text.into());
        self
    }
}

/// Expands all directives of `text`. `name` is what messages call it.
///
/// # Errors
/// [`Error::Shader`] with file and line, for an unknown directive or name, and for an `#if` without its `#endif`.
///
/// ```
/// use ergodic::gpu::shader::{Defines, preprocess};
/// let text = "#if TILE == 4\nconst N = 4u;\n#else\nconst N = 1u;\n#endif\n#splice body\n";
/// let defines = Defines::new().set("TILE", 4).splice("body", "fn f() -> u32 { return N; }");
/// assert!(preprocess("demo", text, &defines)?.contains("const N = 4u;"));
/// # Ok::<(), ergodic::Error>(())
/// ```
pub fn preprocess(name: &str, text: &str, defines: &Defines) -> Result<String> {
    let mut expander =
        Expander { defines, out: String::new(), imported: BTreeSet::new(), last: Some((name.to_string(), 0)) };
    expander.expand(name, text, 0).map_err(|message| Error::Shader {
        kernel: name.into(),
        wgsl: text.into(),
        message,
    })?;
    Ok(expander.out)
}

/// File and line that line `line` (from 1) of a preprocessed text comes from; `name` is the text's own.
pub fn locate(name: &str, wgsl: &str, line: usize) -> (String, usize) {
    let before = wgsl.lines().take(line).enumerate();
    let marks = before.filter_map(|(at, text)| {
        let (file, first) = text.strip_prefix("//: ")?.rsplit_once(':')?;
        Some((at, file.to_string(), first.parse::<usize>().ok()?))
    });
    match marks.last() {
        // The mark on line `at + 1` tells of line `at + 2`.
        Some((at, file, first)) => (file, (first + line).saturating_sub(at + 2)),
        None => (name.into(), line),
    }
}

struct Expander<'a> {
    defines: &'a Defines,
    out: String,
    imported: BTreeSet<String>,
    /// Where the last line of `out` came from, if the next one may follow it without a mark.
    last: Option<(String, usize)>,
}

/// An open `#if`.
struct Open {
    line: usize,
    holds: bool,
    /// Whether the lines around it are kept.
    around: bool,
    in_else: bool,
}

impl Open {
    fn keeps(&self) -> bool {
        self.around && (self.holds != self.in_else)
    }
}

impl Expander<'_> {
    fn expand(&mut self, file: &str, text: &str, depth: usize) -> Result<(), String> {
        let mut open: Vec<Open> = Vec::new();
        for (line, written) in (1..).zip(text.lines()) {
            let at = |why: String| format!("{file}:{line}: {why}");
            let keep = open.last().is_none_or(Open::keeps);
            let Some(directive) = written.trim().strip_prefix('#') else {
                if keep {
                    self.push(file, line, written);
                }
                continue;
            };
            let (word, rest) = directive.split_once(char::is_whitespace).unwrap_or((directive, ""));
            let rest = rest.trim();
            match word {
                "if" => {
                    let holds = keep && self.holds(rest).map_err(at)?;
                    open.push(Open { line, holds, around: keep, in_else: false });
                }
                "else" => match open.last_mut() {
                    Some(o) if !o.in_else => o.in_else = true,
                    _ => return Err(at("#else without an #if before it".into())),
                },
                "endif" => {
                    open.pop().ok_or_else(|| at("#endif without an #if before it".into()))?;
                }
                "import" | "splice" if keep => self.include(word, rest, depth, &at)?,
                "import" | "splice" => {}
                _ => return Err(at(format!("#{word} is none of #import, #if, #else, #endif, #splice"))),
            }
        }
        match open.pop() {
            None => Ok(()),
            Some(open) => Err(format!("{file}:{}: #if without an #endif", open.line)),
        }
    }

    fn include(&mut self, word: &str, name: &str, depth: usize, at: &dyn Fn(String) -> String) -> Result<(), String> {
        if depth == 16 {
            return Err(at(format!("#{word} {name} goes round in a circle")));
        }
        let defines = self.defines;
        if word == "splice" {
            let given = || names(defines.splices.keys().map(String::as_str));
            let text = defines.splices.get(name);
            let text =
                text.ok_or_else(|| at(format!("no text is given for #splice {name}; given are: {}", given())))?;
            return self.expand(&format!("splice {name}"), text, depth + 1);
        }
        if !self.imported.insert(name.into()) {
            return Ok(());
        }
        let text = defines.files.get(name).map(String::as_str).or_else(|| library(name));
        let given = || names(defines.files.keys().map(String::as_str).chain(LIBRARY.iter().map(|(name, _)| *name)));
        let text = text.ok_or_else(|| at(format!("#import {name} names no shader; there are: {}", given())))?;
        self.expand(name, text, depth + 1)
    }

    fn holds(&self, condition: &str) -> Result<bool, String> {
        let value = |name: &str| {
            let known = || names(self.defines.values.keys().map(String::as_str));
            self.defines.values.get(name).ok_or_else(|| format!("`{name}` is not set; set are: {}", known()))
        };
        if let Some((name, wanted)) = condition.split_once("==") {
            return Ok(value(name.trim())? == wanted.trim());
        }
        if let Some((name, unwanted)) = condition.split_once("!=") {
            return Ok(value(name.trim())? != unwanted.trim());
        }
        let name = condition.trim_start_matches('!').trim();
        if name.is_empty() || name.contains(char::is_whitespace) {
            return Err(format!("`#if {condition}` is none of NAME, !NAME, NAME == value, NAME != value"));
        }
        let set = self.defines.values.get(name).is_some_and(|value| value != "0" && value != "false");
        Ok(set != condition.starts_with('!'))
    }

    fn push(&mut self, file: &str, line: usize, text: &str) {
        if !self.last.as_ref().is_some_and(|(f, l)| f == file && l + 1 == line) {
            self.out.push_str(&format!("//: {file}:{line}\n"));
        }
        self.last = Some((file.into(), line));
        self.out.push_str(text);
        self.out.push('\n');
    }
}

fn names<'a>(all: impl Iterator<Item = &'a str>) -> String {
    let all: Vec<_> = all.collect();
    if all.is_empty() { "none".into() } else { all.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::{LIBRARY, library};

    #[test]
    fn every_file_of_the_shader_library_can_be_imported() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/shaders/lib");
        let mut files = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            let file = entry.unwrap().file_name().into_string().unwrap();
            let name = format!("lib/{}", file.strip_suffix(".wgsl").unwrap());
            assert!(library(&name).is_some(), "{name} is missing in LIBRARY");
            files += 1;
        }
        assert_eq!(files, LIBRARY.len());
    }
}
