//! Operators at work: macros in their arguments, what they found, what they say about it.

use std::path::Path;

use super::Program;
use super::expand::Text;
use super::line;
use super::number::atoi;
use super::program::{Rule, RuleIndex, TxNames};
use super::regex::{Regex, RegexOptions};
use super::scratch::Scratch;
use super::transaction::Transaction;
use crate::seclang::SourceLoader;

/// An operator with its argument.
#[derive(Debug)]
pub(crate) struct CompiledOperator {
    pub(crate) name: &'static str,
    /// As written.
    pub(crate) argument: Box<[u8]>,
    text: Option<Text>,
    kind: Kind,
}

/// What an operator found in a value.
#[derive(Debug, Default)]
pub(crate) struct Evidence {
    /// Groups of a pattern, as ranges of the value.
    pub(crate) captures: Vec<Option<(usize, usize)>>,
    /// What is captured when it is not a part of the value: a phrase, a fingerprint.
    pub(crate) phrase: Option<Vec<u8>>,
}

/// How a test ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Match,
    NoMatch,
    /// A pattern ran out of its budget: not a match, and noted.
    Exhausted,
}

#[derive(Debug)]
enum Kind {
    Rx(Regex),
    Pm(aho_corasick::AhoCorasick),
    Text,
    Always,
    Never,
}

/// A pattern of the rule language outside of operators.
pub(crate) fn pattern(pattern: &[u8], ignore_case: bool) -> Result<Regex, String> {
    let options = RegexOptions { is_case_insensitive: ignore_case, ..RegexOptions::default() };
    Regex::compile(pattern, options).map_err(|problem| problem.to_string())
}

impl CompiledOperator {
    /// `file` is where the rule stands, for data files beside it.
    pub(crate) fn compile(
        name: &'static str,
        argument: &[u8],
        file: &Path,
        loader: &dyn SourceLoader,
        names: &mut TxNames,
    ) -> Result<Self, String> {
        let kind = match name {
            "rx" => Kind::Rx(pattern(argument, false)?),
            "pm" => Kind::Pm(words(argument.split(u8::is_ascii_whitespace))?),
            "pmFromFile" => {
                let text = loader.read(file, &String::from_utf8_lossy(argument)).map_err(|e| e.to_string())?;
                let lines = text.split(|b| *b == b'\n').map(<[u8]>::trim_ascii);
                Kind::Pm(words(lines.filter(|l| !l.starts_with(b"#")))?)
            }
            "unconditionalMatch" => Kind::Always,
            "noMatch" => Kind::Never,
            _ => Kind::Text,
        };
        let text = Text::parse(argument, names);
        let text = text.literal().is_none().then_some(text);
        Ok(Self { name, argument: argument.into(), text, kind })
    }

    /// In the place of one that could not be compiled.
    pub(crate) fn nothing() -> Self {
        Self { name: "noMatch", argument: Box::default(), text: None, kind: Kind::Never }
    }
}

fn words<'a>(words: impl Iterator<Item = &'a [u8]>) -> Result<aho_corasick::AhoCorasick, String> {
    aho_corasick::AhoCorasick::builder()
        .ascii_case_insensitive(true)
        .build(words.filter(|w| !w.is_empty()))
        .map_err(|e| e.to_string())
}

/// Puts a value to an operator.
pub(crate) fn test(
    operator: &CompiledOperator,
    program: &Program,
    transaction: &Transaction,
    scratch: &mut Scratch,
    rule: RuleIndex,
    captures: bool,
    value: &[u8],
) -> Outcome {
    scratch.evidence.captures.clear();
    scratch.evidence.phrase = None;
    let mut expanded = Vec::new();
    let argument = match &operator.text {
        Some(text) => {
            text.expand(program, transaction, scratch, Some(rule), &mut expanded);
            &expanded[..]
        }
        None => &operator.argument,
    };
    let is_match = match &operator.kind {
        Kind::Always => true,
        Kind::Never => false,
        Kind::Rx(regex) if captures => match regex.captures(&mut scratch.caches.cache, value, &mut scratch.captures) {
            Ok(true) => {
                let groups = (0..scratch.captures.len()).map(|group| scratch.captures.span(group));
                scratch.evidence.captures.extend(groups.take(10));
                while scratch.evidence.captures.last() == Some(&None) {
                    scratch.evidence.captures.pop();
                }
                true
            }
            Ok(false) => false,
            Err(_) => return Outcome::Exhausted,
        },
        Kind::Rx(regex) => match regex.is_match(&mut scratch.caches.cache, value) {
            Ok(is_match) => is_match,
            Err(_) => return Outcome::Exhausted,
        },
        Kind::Pm(set) => match set.find(value) {
            Some(found) => {
                scratch.evidence.phrase = value.get(found.range()).map(<[u8]>::to_vec);
                true
            }
            None => false,
        },
        Kind::Text => {
            let contains = |hay: &[u8], needle: &[u8]| memchr::memmem::find(hay, needle).is_some();
            match operator.name {
                "eq" => atoi(value) == atoi(argument),
                "ge" => atoi(value) >= atoi(argument),
                "gt" => atoi(value) > atoi(argument),
                "le" => atoi(value) <= atoi(argument),
                "lt" => atoi(value) < atoi(argument),
                "streq" => value == argument,
                "contains" | "strmatch" => contains(value, argument),
                "within" => value.is_empty() || contains(argument, value),
                "beginsWith" => value.starts_with(argument),
                "endsWith" => value.ends_with(argument),
                _ => false,
            }
        }
    };
    if is_match { Outcome::Match } else { Outcome::NoMatch }
}

/// What the operator says of a match: `Pattern match "…" at ARGS:q.`
pub(crate) fn message(
    operator: &CompiledOperator,
    _rule: &Rule,
    name: &[u8],
    full_name: &[u8],
    is_hit: bool,
    evidence: &Evidence,
) -> Vec<u8> {
    let mut out = Vec::new();
    if !is_hit {
        out.extend_from_slice(b"Match of \"");
        out.extend_from_slice(operator.name.as_bytes());
        out.push(b' ');
        line::argument(&operator.argument, &mut out);
        out.extend_from_slice(b"\" against \"");
        line::escape(full_name, &mut out);
        out.extend_from_slice(b"\" required.");
        return out;
    }
    let (before, quoted): (&[u8], &[u8]) = match operator.name {
        "unconditionalMatch" => return b"Unconditional match in SecAction.".to_vec(),
        "pm" | "pmFromFile" => (b"Matched phrase \"", evidence.phrase.as_deref().unwrap_or_default()),
        _ => (b"Pattern match \"", &operator.argument),
    };
    out.extend_from_slice(before);
    line::argument(quoted, &mut out);
    out.extend_from_slice(b"\" at ");
    out.extend_from_slice(name);
    out.push(b'.');
    out
}
