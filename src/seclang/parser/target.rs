//! The targets of a rule: `ARGS|!ARGS:/^x/|&REQUEST_HEADERS:Host`.
//!
//! Separators are `|` and `,` (ModSecurity 2 takes both, and white space around them). A selector may stand in
//! single quotes; without them it ends at a separator or white space, except that a regex between slashes may hold
//! separators when what follows the separator cannot be a target (ModSecurity 3 reads it so).

use super::Context;
use super::{PROBLEMS_OF_A_LIST, shown};
use crate::diagnostics::{Diagnostic, Location};
use crate::seclang::action::COLLECTIONS;
use crate::seclang::ast::{Selector, Target};
use crate::seclang::lexer::{Word, is_space};
use crate::seclang::table::{Support, closest, did_you_mean, find};
use crate::seclang::variable::{Selection, VARIABLES, Variable};

impl Context<'_> {
    pub(super) fn targets(&mut self, word: &Word<'_>) -> Vec<Target> {
        let mut problems = Vec::new();
        let targets = parse(&word.text, &|index| self.location(word, index), &mut problems);
        if targets.is_empty() && problems.is_empty() {
            problems.push(self.error(word, 0, "there is no target").advise("name a variable, such as ARGS"));
        }
        self.problems.append(&mut problems);
        targets
    }
}

/// Reads a list of targets; `locate` tells where a byte of `text` stands.
pub(super) fn parse(text: &[u8], locate: &dyn Fn(usize) -> Location, problems: &mut Vec<Diagnostic>) -> Vec<Target> {
    let mut targets = Vec::new();
    let mut at = 0;
    let most = problems.len() + PROBLEMS_OF_A_LIST;
    while let Some(begin) = skip(text, at).filter(|_| problems.len() < most) {
        let (raw, next) = split(text, begin);
        at = next;
        match target(&raw, text, begin, locate) {
            Ok((target, warning)) => {
                targets.push(target);
                problems.extend(warning);
            }
            Err(problem) => problems.push(*problem),
        }
    }
    targets
}

/// A target cut out of its list.
struct Raw<'t> {
    name: &'t [u8],
    /// Behind the colon, quotes removed.
    selector: Option<Vec<u8>>,
    /// Text between name and separator that belongs to nothing.
    stray: bool,
    is_unclosed: bool,
}

fn skip(text: &[u8], from: usize) -> Option<usize> {
    let rest = text.get(from..)?;
    rest.iter().position(|b| !is_space(*b) && !is_separator(*b)).map(|at| from + at)
}

fn is_separator(byte: u8) -> bool {
    byte == b'|' || byte == b','
}

/// Cuts the target that begins at `begin`; tells where the next may begin.
fn split(text: &[u8], begin: usize) -> (Raw<'_>, usize) {
    let rest = text.get(begin..).unwrap_or_default();
    let length = rest.iter().position(|b| is_space(*b) || is_separator(*b) || *b == b':').unwrap_or(rest.len());
    let name = rest.get(..length).unwrap_or_default();
    let plain = Raw { name, selector: None, stray: false, is_unclosed: false };
    let after = rest.get(length..).unwrap_or_default();
    if after.first() != Some(&b':') {
        let blank = after.iter().take_while(|b| is_space(**b)).count();
        let stray = after.get(blank).is_some_and(|b| !is_separator(*b));
        return (Raw { stray, ..plain }, begin + length + blank);
    }
    let value = after.get(1..).unwrap_or_default();
    let value_at = begin + length + 1;
    if value.first() == Some(&b'\'') {
        let (selector, used) = quoted(value);
        let is_unclosed = used.is_none();
        return (Raw { selector: Some(selector), is_unclosed, ..plain }, value_at + used.unwrap_or(value.len()));
    }
    let end = selector_end(value);
    let selector = value.get(..end).filter(|selector| !selector.is_empty()).map(<[u8]>::to_vec);
    (Raw { selector, ..plain }, value_at + end)
}

/// Unquotes `'…'`: a backslash hides a quote or a backslash. The length is that with both quotes.
pub(super) fn quoted(text: &[u8]) -> (Vec<u8>, Option<usize>) {
    let mut value = Vec::new();
    let mut bytes = text.iter().enumerate().skip(1).peekable();
    while let Some((index, byte)) = bytes.next() {
        match byte {
            b'\'' => return (value, Some(index + 1)),
            b'\\' => {
                let hidden = bytes.next_if(|(_, next)| matches!(**next, b'\'' | b'\\'));
                value.push(hidden.map_or(b'\\', |(_, next)| *next));
            }
            other => value.push(*other),
        }
    }
    (value, None)
}

/// How far the closing slash of a pattern with separators is looked for.
const LONGEST_OPEN_REGEX: usize = 4096;

fn selector_end(value: &[u8]) -> usize {
    let short = value.iter().position(|b| is_space(*b) || is_separator(*b)).unwrap_or(value.len());
    let head = value.get(..short).unwrap_or_default();
    let is_hidden_slash = head.iter().rev().skip(1).take_while(|b| **b == b'\\').count() % 2 == 1;
    let is_closed = head.len() > 2 && head.last() == Some(&b'/') && !is_hidden_slash;
    let is_open_regex = head.first() == Some(&b'/') && !is_closed;
    if !is_open_regex || begins_target(value.get(short..).unwrap_or_default()) {
        return short;
    }
    let mut is_hidden = false;
    for (index, byte) in value.iter().enumerate().take(LONGEST_OPEN_REGEX).skip(1) {
        let closes = *byte == b'/' && !is_hidden;
        let ends = value.get(index + 1).is_none_or(|next| is_space(*next) || is_separator(*next));
        if closes && ends && index > 1 {
            return index + 1;
        }
        is_hidden = *byte == b'\\' && !is_hidden;
    }
    short
}

/// Does a separator and a known variable come next?
fn begins_target(text: &[u8]) -> bool {
    let Some(begin) = skip(text, 0) else { return true };
    let rest = text.get(begin..).unwrap_or_default();
    let rest = rest.strip_prefix(b"!").or_else(|| rest.strip_prefix(b"&")).unwrap_or(rest);
    let length = rest.iter().position(|b| is_space(*b) || is_separator(*b) || *b == b':').unwrap_or(rest.len());
    rest.get(..length).is_some_and(|name| find(VARIABLES, name).is_some())
}

type Checked = Result<(Target, Option<Diagnostic>), Box<Diagnostic>>;

fn target(raw: &Raw<'_>, text: &[u8], begin: usize, locate: &dyn Fn(usize) -> Location) -> Checked {
    let location = locate(begin);
    let error =
        |at: usize, length: usize, message: String| Box::new(Diagnostic::error(locate(at), message).spanning(length));
    let is_exclusion = raw.name.first() == Some(&b'!');
    let is_count = raw.name.first() == Some(&b'&');
    let prefix = usize::from(is_exclusion || is_count);
    let name = raw.name.get(prefix..).unwrap_or_default();
    let name_at = begin + prefix;
    // ModSecurity 2: HTTP_X is REQUEST_HEADERS:X.
    let (name, header) = match name.strip_prefix(b"HTTP_") {
        Some(header) if !header.is_empty() && raw.selector.is_none() => {
            (&b"REQUEST_HEADERS"[..], Some(header.to_vec()))
        }
        _ => dotted(name).filter(|_| raw.selector.is_none()).unwrap_or((name, None)),
    };
    let Some(variable) = find(VARIABLES, name) else {
        let problem = if name.is_empty() {
            error(begin, 1, "a variable is missing".into())
        } else {
            error(name_at, name.len(), format!("unknown variable {}", shown(name)))
        };
        return Err(match did_you_mean(closest(VARIABLES, name)) {
            Some(advice) => Box::new(problem.advise(advice)),
            None => problem,
        });
    };
    if raw.is_unclosed {
        return Err(error(name_at, name.len(), format!("the selector of {} lacks its closing quote", variable.name)));
    }
    if raw.stray {
        let problem = error(name_at + name.len(), 1, "targets are separated by |".into());
        return Err(Box::new(problem.advise("put the whole list in double quotes if it contains spaces")));
    }
    let selector = match (variable.selection, raw.selector.clone().or(header)) {
        (Selection::None, Some(_)) => {
            let length = text.len().saturating_sub(name_at).min(name.len() + 1);
            return Err(error(name_at, length, format!("{} has one value and takes no selector", variable.name)));
        }
        (Selection::Required, None) => {
            return Err(error(name_at, name.len(), format!("{} needs a selector", variable.name)));
        }
        (_, None) => None,
        (Selection::XPath, Some(path)) => Some(Selector::XPath(path)),
        (_, Some(key)) => Some(key_or_regex(key)),
    };
    let warning = inert(variable, &location, raw.name.len());
    Ok((Target { location, is_exclusion, is_count, name: variable.name, selector }, warning))
}

/// ModSecurity 3: `TX.x` is `TX:x`, in the collections that setvar changes.
fn dotted(name: &[u8]) -> Option<(&[u8], Option<Vec<u8>>)> {
    let (collection, key) = name.split_at_checked(memchr::memchr(b'.', name)?)?;
    let is_collection = COLLECTIONS.iter().any(|known| known.as_bytes().eq_ignore_ascii_case(collection));
    (is_collection && key.len() > 1).then(|| (collection, key.get(1..).map(<[u8]>::to_vec)))
}

fn inert(variable: &Variable, location: &Location, length: usize) -> Option<Diagnostic> {
    match variable.support {
        Support::Inert(reason) | Support::Refused(reason) => {
            let message = format!("{} is always absent: {reason}", variable.name);
            Some(Diagnostic::warning(location.clone(), message).spanning(length))
        }
        Support::Full => None,
    }
}

fn key_or_regex(key: Vec<u8>) -> Selector {
    match key.strip_prefix(b"/").and_then(|rest| rest.strip_suffix(b"/")) {
        Some(pattern) if !pattern.is_empty() => Selector::Regex(unescape_slashes(pattern)),
        _ => Selector::Key(key),
    }
}

fn unescape_slashes(pattern: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(pattern.len());
    let mut bytes = pattern.iter();
    while let Some(byte) = bytes.next() {
        match (byte, (*byte == b'\\').then(|| bytes.next()).flatten()) {
            (_, Some(b'/')) => out.push(b'/'),
            (byte, Some(next)) => out.extend([*byte, *next]),
            (byte, None) => out.push(*byte),
        }
    }
    out
}
