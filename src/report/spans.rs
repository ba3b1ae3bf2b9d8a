//! Where each field of a RON text stands, so that errors name fields and `--set` replaces values.
//!
//! RON's own `Value` forgets the names of enum variants, so an override cannot go through it: `kernel: mala` would come back as
//! a string. Replacing the text of one value keeps every type that RON can write. This scanner only finds where values start
//! and end; what they mean is left to the parser, and a malformed text just ends the list early.

use std::ops::Range;

/// One value and the path to it, such as `optimiser.rate` or `layers.0`; the whole text has the empty path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Field {
    pub path: String,
    /// From the field's name (or its value, where it has none) to the end of its value.
    pub whole: Range<usize>,
    pub value: Range<usize>,
    /// Just inside the parenthesis of a value with named fields (or none), where another can be added.
    pub inside: Option<usize>,
}

/// All values of a text in the order in which they start, outer before inner.
pub(crate) fn fields(text: &str) -> Vec<Field> {
    let mut scan = Scan { text, at: 0, fields: Vec::new() };
    scan.attributes();
    let _ = scan.value("", None);
    scan.fields
}

/// Whether `text` is exactly one RON value, with nothing after it.
pub(crate) fn is_one_value(text: &str) -> bool {
    let mut scan = Scan { text, at: 0, fields: Vec::new() };
    scan.value("", None).is_some() && {
        scan.space();
        scan.at == text.len()
    }
}

/// Line of a byte offset, from 1.
pub(crate) fn line_of(text: &str, offset: usize) -> usize {
    1 + text.as_bytes()[..offset.min(text.len())].iter().filter(|byte| **byte == b'\n').count()
}

struct Scan<'a> {
    text: &'a str,
    at: usize,
    fields: Vec<Field>,
}

impl Scan<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn eat(&mut self, token: &str) -> bool {
        let found = self.rest().starts_with(token);
        self.at += if found { token.len() } else { 0 };
        found
    }

    /// Skips white space and comments; block comments nest.
    fn space(&mut self) {
        loop {
            let rest = self.rest();
            if rest.starts_with("//") {
                self.at += rest.find('\n').unwrap_or(rest.len());
            } else if rest.starts_with("/*") {
                self.block_comment();
            } else {
                let skipped = rest.len() - rest.trim_start().len();
                if skipped == 0 {
                    return;
                }
                self.at += skipped;
            }
        }
    }

    fn block_comment(&mut self) {
        let mut depth = 0;
        loop {
            if self.eat("/*") {
                depth += 1;
            } else if self.eat("*/") {
                depth -= 1;
            } else {
                match self.rest().chars().next() {
                    Some(c) => self.at += c.len_utf8(),
                    None => return,
                }
            }
            if depth == 0 {
                return;
            }
        }
    }

    /// `#![enable(...)]` before the value.
    fn attributes(&mut self) {
        self.space();
        while self.rest().starts_with("#!") {
            self.at += self.rest().find(']').map_or(self.rest().len(), |end| end + 1);
            self.space();
        }
    }

    /// A run of characters of names and numbers; `r#name` is one.
    fn word(&mut self) -> &str {
        let start = self.at;
        let _ = self.eat("r#");
        let rest = self.rest();
        self.at += rest.find(|c: char| !(c.is_alphanumeric() || "_.+-".contains(c))).unwrap_or(rest.len());
        &self.text[start..self.at]
    }

    /// A field's name and its colon, or nothing eaten.
    fn name(&mut self) -> Option<String> {
        let start = self.at;
        let name = self.word().trim_start_matches("r#").to_string();
        self.space();
        if name.is_empty() || self.rest().starts_with("::") || !self.eat(":") {
            self.at = start;
            return None;
        }
        Some(name)
    }

    /// One value at `path`; `named_at` is where its name starts.
    fn value(&mut self, path: &str, named_at: Option<usize>) -> Option<()> {
        self.space();
        let (start, index) = (self.at, self.fields.len());
        let value = start..self.text.len();
        let whole = named_at.unwrap_or(start)..self.text.len();
        self.fields.push(Field { path: path.into(), whole, value, inside: None });
        self.unnamed(path, index)?;
        self.fields[index].value.end = self.at;
        self.fields[index].whole.end = self.at;
        Some(())
    }

    fn unnamed(&mut self, path: &str, index: usize) -> Option<()> {
        if self.string() {
            return Some(());
        }
        if self.eat("[") {
            return self.items(path, "]", false, index);
        }
        if self.eat("{") {
            return self.map(path);
        }
        let word = self.word().to_string();
        let end_of_word = self.at;
        self.space();
        if self.eat("(") {
            return self.items(path, ")", word == "Some", index);
        }
        self.at = end_of_word;
        (!word.is_empty()).then_some(())
    }

    /// Fields or elements up to `close`. What `Some(..)` holds has the path of the option itself.
    fn items(&mut self, path: &str, close: &str, transparent: bool, index: usize) -> Option<()> {
        let inside = self.at;
        for i in 0.. {
            self.space();
            if self.eat(close) {
                // `()` and `(name: ..)` take another field; `(1, 2)` and `[..]` do not.
                if i == 0 && close == ")" {
                    self.fields[index].inside = Some(inside);
                }
                return Some(());
            }
            let start = self.at;
            let name = if close == ")" { self.name() } else { None };
            if name.is_some() {
                self.fields[index].inside = Some(inside);
            }
            let named_at = name.is_some().then_some(start);
            let step = name.unwrap_or_else(|| i.to_string());
            let inner = if transparent { path.to_string() } else { join(path, &step) };
            self.value(&inner, named_at)?;
            self.space();
            if !self.eat(",") {
                return self.eat(close).then_some(());
            }
        }
        None
    }

    fn map(&mut self, path: &str) -> Option<()> {
        loop {
            self.space();
            if self.eat("}") {
                return Some(());
            }
            let start = self.at;
            let n_fields = self.fields.len();
            self.value("", None)?;
            self.fields.truncate(n_fields);
            let key = self.text[start..self.at].trim_matches('"').to_string();
            self.space();
            if !self.eat(":") {
                return None;
            }
            self.value(&join(path, &key), Some(start))?;
            self.space();
            if !self.eat(",") {
                return self.eat("}").then_some(());
            }
        }
    }

    /// A string, raw string, byte string or character; `false` and nothing eaten when there is none.
    fn string(&mut self) -> bool {
        let prefix = self.rest().trim_start_matches(['b', 'r']);
        let hashes = prefix.len() - prefix.trim_start_matches('#').len();
        let (skip, raw) =
            (self.rest().len() - prefix.len(), self.rest()[..self.rest().len() - prefix.len()].ends_with('r'));
        let quote = match prefix[hashes..].chars().next() {
            Some('"') if raw || hashes == 0 => '"',
            Some('\'') if hashes == 0 && !raw => '\'',
            _ => return false,
        };
        self.at += skip + hashes + 1;
        let end = format!("{quote}{}", "#".repeat(hashes));
        while self.at < self.text.len() && !self.eat(&end) {
            let escaped = !raw && self.eat("\\");
            let _ = escaped;
            self.at += self.rest().chars().next().map_or(0, char::len_utf8);
        }
        true
    }
}

fn join(path: &str, step: &str) -> String {
    if path.is_empty() { step.into() } else { format!("{path}.{step}") }
}
