//! Printing: standard output that may be closed early, colours where they belong, diagnostics in both forms.

use std::io::{IsTerminal as _, Write as _};

use serde_json::json;

use crate::diagnostics::{Diagnostic, Diagnostics, Severity};

/// Prints to standard output. A reader that went away (`| head`) is no error.
pub(super) fn print(text: &str) {
    print_bytes(text.as_bytes());
}

/// [`print()`] for text in any encoding.
pub(super) fn print_bytes(text: &[u8]) {
    let mut out = std::io::stdout().lock();
    let _gone = out.write_all(text).and_then(|()| out.flush());
}

/// Prints to standard error.
pub(super) fn print_error(text: &str) {
    let _gone = std::io::stderr().lock().write_all(text.as_bytes());
}

/// Colours for one stream; empty where there are none.
#[derive(Debug, Clone, Copy)]
pub(super) struct Colours {
    pub(super) red: &'static str,
    pub(super) yellow: &'static str,
    pub(super) green: &'static str,
    pub(super) bold: &'static str,
    pub(super) off: &'static str,
}

impl Colours {
    const NONE: Self = Self { red: "", yellow: "", green: "", bold: "", off: "" };
    const SOME: Self = Self { red: "\x1b[31m", yellow: "\x1b[33m", green: "\x1b[32m", bold: "\x1b[1m", off: "\x1b[0m" };

    fn when(is_terminal: bool) -> Self {
        let is_refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        if is_terminal && !is_refused { Self::SOME } else { Self::NONE }
    }

    /// For standard output.
    pub(super) fn stdout() -> Self {
        Self::when(std::io::stdout().is_terminal())
    }

    /// For standard error.
    pub(super) fn stderr() -> Self {
        Self::when(std::io::stderr().is_terminal())
    }
}

/// All problems, each with its place, and a line that counts them; for standard error.
pub(super) fn human(problems: &Diagnostics, colours: Colours) -> String {
    let mut out = String::new();
    for problem in problems.iter() {
        let text = problem.to_string();
        let (word, colour) = match problem.severity {
            Severity::Error => ("error: ", colours.red),
            Severity::Warning => ("warning: ", colours.yellow),
        };
        // The word stands once, before the message.
        out.push_str(&text.replacen(word, &format!("{colour}{word}{}", colours.off), 1));
        out.push('\n');
    }
    let (errors, warnings) = count(problems);
    if errors + warnings > 0 {
        out.push_str(&format!("{}, {}\n", plural(errors, "error"), plural(warnings, "warning")));
    }
    out
}

/// The same for programs: one object.
pub(super) fn json(problems: &Diagnostics) -> String {
    let entry = |problem: &Diagnostic| {
        let place = problem.location.as_ref();
        json!({
            "severity": match problem.severity { Severity::Error => "error", Severity::Warning => "warning" },
            "file": place.map(|place| place.source.path().display().to_string()),
            "line": place.map(|place| place.position.line),
            "column": place.map(|place| place.position.column),
            "rule": problem.rule_id,
            "message": problem.message,
            "advice": problem.advice,
        })
    };
    let (errors, warnings) = count(problems);
    let all: Vec<_> = problems.iter().map(entry).collect();
    let report = json!({ "ok": errors == 0, "errors": errors, "warnings": warnings, "problems": all });
    serde_json::to_string_pretty(&report).unwrap_or_default() + "\n"
}

fn count(problems: &Diagnostics) -> (usize, usize) {
    let errors = problems.iter().filter(|problem| problem.severity == Severity::Error).count();
    (errors, problems.len() - errors)
}

fn plural(count: usize, word: &str) -> String {
    if count == 1 { format!("1 {word}") } else { format!("{count} {word}s") }
}
