//! An explanation for people.

use std::fmt::{self, Display, Formatter};

use super::{Condition, Explanation, Influence, Piece, Place};
use crate::seclang::ast::{Directive, Ruleset};
use crate::seclang::format;

/// A directive as text without line breaks.
pub(super) fn one_line(directive: &Directive) -> String {
    let printed = format::print(&Ruleset { directives: vec![directive.clone()] });
    let text = String::from_utf8_lossy(&printed).replace("\\\n", " ");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

impl Display for Place {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

impl Display for Explanation {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "rule {} at {}", self.id, self.place)?;
        if let Some(message) = &self.message {
            writeln!(f, "  {message}")?;
        }
        const PHASES: [&str; 5] = ["request head", "request body", "response head", "response body", "logging"];
        let when = PHASES.get(usize::from(self.phase).wrapping_sub(1)).copied().unwrap_or("never");
        write!(f, "  phase {} ({when})", self.phase)?;
        if let Some(severity) = &self.severity {
            write!(f, ", severity {severity}")?;
        }
        if let Some(level) = self.paranoia {
            write!(f, ", from paranoia level {level} on")?;
        }
        writeln!(f)?;
        if !self.tags.is_empty() {
            writeln!(f, "  tags: {}", self.tags.join(", "))?;
        }
        for (index, link) in self.links.iter().enumerate() {
            writeln!(f, "\n{}", if index == 0 { "Condition" } else { "And, as the next link of the chain" })?;
            write!(f, "{link}")?;
        }
        writeln!(f, "\nEffect")?;
        let from = self.effect.default.as_ref().map(|place| format!(" (SecDefaultAction at {place})"));
        line(f, &self.effect.action, &format!("{}{}", self.effect.meaning, from.unwrap_or_default()))?;
        influences(f, "Passed over by", &self.skipped_by)?;
        influences(f, "Taken away or changed by", &self.changed_by)
    }
}

impl Display for Condition {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.operator {
            None => writeln!(f, "  always holds")?,
            Some(operator) => {
                pieces(f, "looks at", &self.targets)?;
                pieces(f, "after", &self.transformations)?;
                let what = if self.is_negated { "and matches where this is not so" } else { "and matches where" };
                pieces(f, what, std::slice::from_ref(operator))?;
            }
        }
        pieces(f, "then", &self.actions)
    }
}

fn pieces(f: &mut Formatter<'_>, what: &str, pieces: &[Piece]) -> fmt::Result {
    if pieces.is_empty() {
        return Ok(());
    }
    writeln!(f, "  {what}")?;
    pieces.iter().try_for_each(|piece| line(f, &piece.text, &piece.meaning))
}

/// Long texts get a line of their own.
fn line(f: &mut Formatter<'_>, text: &str, meaning: &str) -> fmt::Result {
    const WIDTH: usize = 30;
    if text.chars().count() <= WIDTH {
        writeln!(f, "    {text:WIDTH$}  {meaning}")
    } else {
        writeln!(f, "    {text}\n    {:WIDTH$}  {meaning}", "")
    }
}

fn influences(f: &mut Formatter<'_>, what: &str, influences: &[Influence]) -> fmt::Result {
    if influences.is_empty() {
        return Ok(());
    }
    writeln!(f, "\n{what}")?;
    for Influence { text, place, rule, when, void } in influences {
        writeln!(f, "  {text}")?;
        write!(f, "    ")?;
        if let Some(rule) = rule {
            write!(f, "rule {rule} ")?;
        }
        write!(f, "at {place}")?;
        match (rule, when) {
            (Some(_), Some(when)) => write!(f, ", when {when}")?,
            (Some(_), None) => write!(f, ", always")?,
            (None, _) => {}
        }
        if let Some(void) = void {
            write!(f, "; without effect: {void}")?;
        }
        writeln!(f)?;
    }
    Ok(())
}
