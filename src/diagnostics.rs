//! What is wrong with a text that a person wrote, and where: used by the rule language and by the configuration.
//!
//! A loader collects every problem it finds into [`Diagnostics`] and goes on; the caller prints all of them.
//! Rendering happens here and nowhere else, so that a caret looks the same in both languages.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A named source text. Cheap to clone; positions refer to it.
#[derive(Debug, Clone)]
pub struct Source {
    inner: Arc<SourceInner>,
}

#[derive(Debug)]
struct SourceInner {
    path: PathBuf,
    text: Vec<u8>,
}

impl Source {
    /// `path` is what messages print; `text` is the whole content, any bytes.
    pub fn new(path: impl Into<PathBuf>, text: impl Into<Vec<u8>>) -> Self {
        Self { inner: Arc::new(SourceInner { path: path.into(), text: text.into() }) }
    }

    /// The name to print.
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// The whole text.
    pub fn text(&self) -> &[u8] {
        &self.inner.text
    }

    /// The 1-based line, without its line end; empty when there is no such line.
    pub fn line(&self, number: u32) -> &[u8] {
        let line = self.inner.text.split(|b| *b == b'\n').nth((number as usize).saturating_sub(1));
        line.map(|l| l.strip_suffix(b"\r").unwrap_or(l)).unwrap_or_default()
    }

    /// The position of a byte offset (clamped to the end of the text).
    pub fn position(&self, offset: usize) -> Position {
        let before = self.inner.text.get(..offset.min(self.inner.text.len())).unwrap_or_default();
        let line = before.iter().filter(|b| **b == b'\n').count() + 1;
        let column = before.iter().rev().take_while(|b| **b != b'\n').count() + 1;
        Position { line: line as u32, column: column as u32 }
    }
}

/// A place in a source: 1-based line and 1-based column in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Position {
    /// Line, from 1.
    pub line: u32,
    /// Column in bytes, from 1.
    pub column: u32,
}

/// A [`Position`] together with the text it is in.
#[derive(Debug, Clone)]
pub struct Location {
    /// The text.
    pub source: Source,
    /// Where in it.
    pub position: Position,
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.source.path().display(), self.position.line, self.position.column)
    }
}

/// Does a problem stop loading?
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Loading goes on.
    Warning,
    /// Nothing is loaded.
    Error,
}

/// One problem: what, where, and what to do about it.
#[derive(Debug, Clone)]
pub struct Diagnostic {
    /// Does it stop loading?
    pub severity: Severity,
    /// Where; absent for a problem of the whole (a file that cannot be read).
    pub location: Option<Location>,
    /// How many bytes from the location on the caret line underlines; 0 or 1 is a single caret.
    pub length: usize,
    /// The id of the rule concerned.
    pub rule_id: Option<u32>,
    /// What is wrong, in one sentence without a full stop.
    pub message: String,
    /// What to do, in one sentence.
    pub advice: Option<String>,
}

impl Diagnostic {
    /// An error at a place.
    pub fn error(location: impl Into<Option<Location>>, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            location: location.into(),
            length: 1,
            rule_id: None,
            message: message.into(),
            advice: None,
        }
    }

    /// A warning at a place.
    pub fn warning(location: impl Into<Option<Location>>, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(location, message) }
    }

    /// Adds what to do.
    #[must_use]
    pub fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }

    /// Adds the length of the underlined text.
    #[must_use]
    pub fn spanning(mut self, length: usize) -> Self {
        self.length = length;
        self
    }

    /// Adds the rule's id.
    #[must_use]
    pub fn rule(mut self, id: u32) -> Self {
        self.rule_id = Some(id);
        self
    }
}

impl fmt::Display for Diagnostic {
    /// `file:line:column: error: message (rule 942100)`, the line with a caret, and the advice.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(location) = &self.location {
            write!(f, "{location}: ")?;
        }
        f.write_str(match self.severity {
            Severity::Warning => "warning: ",
            Severity::Error => "error: ",
        })?;
        f.write_str(&self.message)?;
        if let Some(id) = self.rule_id {
            write!(f, " (rule {id})")?;
        }
        if let Some(location) = &self.location {
            let (window, caret) = excerpt(location.source.line(location.position.line), location.position.column);
            if !window.is_empty() {
                let width = self.length.clamp(1, window.chars().count().saturating_sub(caret).max(1));
                write!(f, "\n    {window}\n    {:caret$}{}", "", "^".repeat(width))?;
            }
        }
        if let Some(advice) = &self.advice {
            write!(f, "\n    help: {advice}")?;
        }
        Ok(())
    }
}

/// At most this much of a line is shown around the caret: CRS has lines of 12 kB.
const EXCERPT_CHARACTERS: usize = 120;

/// The part of a line worth showing, control characters and bytes above 0x7E replaced one for one, and the
/// caret's column in it.
fn excerpt(line: &[u8], column: u32) -> (String, usize) {
    let caret = (column as usize).saturating_sub(1).min(line.len());
    let start = if line.len() <= EXCERPT_CHARACTERS { 0 } else { caret.saturating_sub(EXCERPT_CHARACTERS / 2) };
    let shown = line.iter().skip(start).take(EXCERPT_CHARACTERS);
    let text = shown.map(|b| {
        if (0x20..0x7f).contains(b) {
            char::from(*b)
        } else if *b == b'\t' {
            ' '
        } else {
            '?'
        }
    });
    (text.collect(), caret - start)
}

/// All problems found in one load, in the order found.
#[derive(Debug, Clone, Default)]
pub struct Diagnostics {
    entries: Vec<Diagnostic>,
}

impl Diagnostics {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.entries.push(diagnostic);
    }

    /// Adds those of a part.
    pub fn extend(&mut self, other: Self) {
        self.entries.extend(other.entries);
    }

    /// Does any of them stop loading?
    pub fn has_errors(&self) -> bool {
        self.entries.iter().any(|d| d.severity == Severity::Error)
    }

    /// None at all.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many, warnings included.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// In the order found.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.entries.iter()
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, entry) in self.entries.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{entry}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diagnostic_shows_place_line_caret_rule_and_advice() {
        let source = Source::new("a.conf", "SecRuleEngine On\nSecRule ARGS \"@nope x\" \"id:1\"\n");
        let location = Location { position: source.position(31), source };
        let text =
            Diagnostic::error(location, "unknown operator @nope").rule(1).spanning(5).advise("did you mean @rx?");
        assert_eq!(
            text.to_string(),
            "a.conf:2:15: error: unknown operator @nope (rule 1)\n    SecRule ARGS \"@nope x\" \"id:1\"\n    \
             \u{20}             ^^^^^\n    help: did you mean @rx?"
        );
    }

    #[test]
    fn a_long_line_is_cut_around_the_caret() {
        let source = Source::new("b.conf", vec![b'a'; 12_000]);
        let location = Location { position: source.position(6_000), source };
        let text = Diagnostic::warning(location, "long").to_string();
        assert!(text.lines().all(|line| line.len() <= 130), "{text}");
    }
}
