//! Operators: the test that a rule applies to a value.
//!
//! An [`Operator`] is compiled once, shared by all workers, and asked with [`Operator::matches`]. Those whose argument
//! holds macros get the expanded argument with each question. What a match leaves behind besides the answer (captures,
//! the record of a look-up) goes into [`Evidence`], which the caller reuses; what is said about it in the log is worked
//! out later by [`Operator::message`], for the few matches that are logged.
//!
//! One file per operator or family. They follow ModSecurity 2; each page says what differs.

#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic))]

mod byte_range;
mod content;
mod detect;
mod error;
mod geo_lookup;
mod ip_match;
mod message;
mod number;
mod phrase_trie;
mod phrases;
mod rbl;
mod rx;
mod text;
mod url_encoding;
mod utf8_encoding;
mod verify;

use std::path::Path;
use std::sync::Arc;

use memchr::memmem::Finder;

use crate::seclang::source::SourceLoader;
use crate::waf::line;
use crate::waf::number::atoi;
use crate::waf::regex::{Captures, LimitExceeded, Regex, RegexCache, RegexOptions};

pub use byte_range::ByteRanges;
pub use error::OperatorError;
pub use geo_lookup::{GeoDatabase, GeoRecord};
pub use ip_match::NetworkSet;
pub use message::required as required_message;
pub use number::Comparison;
pub use phrases::PhraseSet;
pub use rbl::{BlockList, BlockListCounts, Zone};
pub use verify::NumberKind;

/// What compiling needs besides the argument.
#[derive(Clone)]
pub struct CompileContext<'a> {
    /// Reads data files.
    pub loader: &'a dyn SourceLoader,
    /// The rule file; data files are relative to it.
    pub from: &'a Path,
    /// How `@rx` reads patterns.
    pub regex: RegexOptions,
    /// `@pm` finds every phrase, also those that ModSecurity misses.
    pub complete_phrases: bool,
    /// `@detectXSS` takes every attribute that begins with `on` for an event.
    pub any_event: bool,
    /// For `@geoLookup`; without it that matches nothing.
    pub geo: Option<Arc<dyn GeoDatabase>>,
    /// For `@rbl`; without it that matches nothing.
    pub block_list: Option<Arc<dyn BlockList>>,
    /// `SecHttpBlKey`
    pub http_bl_key: Option<Arc<str>>,
}

impl std::fmt::Debug for CompileContext<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("CompileContext").field("from", &self.from).finish_non_exhaustive()
    }
}

impl<'a> CompileContext<'a> {
    /// With the default reading of patterns and without look-ups.
    #[must_use]
    pub fn new(loader: &'a dyn SourceLoader, from: &'a Path) -> Self {
        Self {
            loader,
            from,
            regex: RegexOptions::default(),
            complete_phrases: true,
            any_event: false,
            geo: None,
            block_list: None,
            http_bl_key: None,
        }
    }
}

/// What asking needs besides the value.
#[derive(Debug)]
pub struct OperatorContext<'a> {
    /// The worker's.
    pub regexes: &'a mut RegexCache,
    /// What the match leaves behind; cleared first.
    pub evidence: &'a mut Evidence,
    /// Whether the rule has the action `capture`. Without it, captures cost nothing and are not in the evidence.
    pub captures: bool,
}

/// The answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Outcome {
    /// No.
    #[default]
    NoMatch,
    /// Yes.
    Match,
    /// The operator cannot be applied to this value (`@ipMatch` and no address): the rule does not fire, not even when
    /// it is negated.
    Undecided,
    /// A search ran out of its budget: the rule does not fire either, and `MSC_PCRE_LIMITS_EXCEEDED` is set.
    Exhausted,
}

impl From<bool> for Outcome {
    fn from(is_match: bool) -> Self {
        if is_match { Self::Match } else { Self::NoMatch }
    }
}

/// What a match leaves behind.
#[derive(Debug, Clone, Default)]
pub struct Evidence {
    /// For TX.0, TX.1 and so on, places in the value. Captures that are not here are unset.
    pub captures: Vec<Option<(usize, usize)>>,
    /// For TX.0, when it is no part of the value.
    pub phrase: Option<Vec<u8>>,
    /// Captures other than TX.0 keep their values (`@detectSQLi`, `@detectXSS`, `@rbl`).
    pub keeps_others: bool,
    /// Answer of `@geoLookup`.
    pub geo: Option<Box<GeoRecord>>,
    groups: Captures,
}

impl Evidence {
    /// Empty.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    pub(super) fn clear(&mut self) {
        self.captures.clear();
        self.phrase = None;
        self.keeps_others = false;
        self.geo = None;
    }

    /// The text of a capture.
    #[must_use]
    pub fn capture<'e>(&'e self, index: usize, value: &'e [u8]) -> Option<&'e [u8]> {
        if let (0, Some(phrase)) = (index, &self.phrase) {
            return Some(phrase);
        }
        let (start, end) = self.captures.get(index).copied().flatten()?;
        value.get(start..end)
    }
}

/// A comparison of texts, see the `text` module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextTest {
    /// `@beginsWith`
    Begins,
    /// `@contains`
    Contains,
    /// `@containsWord`
    ContainsWord,
    /// `@endsWith`
    Ends,
    /// `@streq`
    Equals,
    /// `@within`
    Within,
}

/// A compiled operator.
#[derive(Debug)]
pub enum Operator {
    /// `@unconditionalMatch`
    UnconditionalMatch,
    /// `@noMatch`
    NoMatch,
    /// `@beginsWith`, `@contains`, `@containsWord`, `@endsWith`, `@streq`, `@within`
    Text(TextTest, Box<[u8]>),
    /// `@strmatch`: the searcher, and the argument as written.
    StrMatch(Box<Finder<'static>>, Box<[u8]>),
    /// `@eq`, `@ge`, `@gt`, `@le`, `@lt`
    Number(Comparison, i64),
    /// `@pm`, `@pmFromFile`
    Phrases(PhraseSet),
    /// `@ipMatch`, and whether its networks come from a file.
    IpMatch(NetworkSet, bool),
    /// `@rx`; `None` when macros have to be expanded first.
    Rx(Option<Regex>, RegexOptions),
    /// `@rxGlobal`, likewise.
    RxGlobal(Option<Regex>, RegexOptions),
    /// `@detectSQLi`
    DetectSqli,
    /// `@detectXSS`
    DetectXss {
        /// As [`libinjection::detect_xss_any_event`](crate::waf::libinjection::detect_xss_any_event).
        any_event: bool,
    },
    /// `@geoLookup`
    GeoLookup(Option<Arc<dyn GeoDatabase>>),
    /// `@rbl`
    Rbl(Zone, Option<Arc<dyn BlockList>>, Option<Arc<str>>),
    /// `@validateByteRange`, and its argument.
    ByteRange(ByteRanges, Box<[u8]>),
    /// `@validateUrlEncoding`
    UrlEncoding,
    /// `@validateUtf8Encoding`
    Utf8Encoding,
    /// `@verifyCC`, `@verifyCPF`, `@verifySSN`, `@verifySVNR`
    Verify(NumberKind, Regex),
}

impl Operator {
    /// Compiles `@name argument`. Names are found in any case, and by their aliases.
    pub fn compile(name: &str, argument: &[u8], context: &CompileContext<'_>) -> Result<Self, OperatorError> {
        let name = canonical(name)?;
        let text = |test| Ok(Self::Text(test, argument.into()));
        let number = |comparison| Ok(Self::Number(comparison, atoi(argument)));
        let verify = |kind| {
            // These read `^` and `$` differently from @rx.
            let options = RegexOptions { is_multi_line: true, is_dollar_end_only: false, ..context.regex };
            Ok(Self::Verify(kind, Regex::compile(argument, options)?))
        };
        let pattern = || {
            let regex = if has_macro(argument) { None } else { Some(Regex::compile(argument, context.regex)?) };
            Ok::<_, OperatorError>(regex)
        };
        match name {
            "unconditionalMatch" => Ok(Self::UnconditionalMatch),
            "noMatch" => Ok(Self::NoMatch),
            "beginsWith" => text(TextTest::Begins),
            "contains" => text(TextTest::Contains),
            "containsWord" => text(TextTest::ContainsWord),
            "endsWith" => text(TextTest::Ends),
            "streq" => text(TextTest::Equals),
            "within" => text(TextTest::Within),
            "strmatch" => {
                let content = content::parse(argument)
                    .map_err(|error| OperatorError::UnknownEscape { escaped: char::from(error.0) })?;
                required_argument(name, &content)?;
                Ok(Self::StrMatch(Box::new(Finder::new(&content).into_owned()), argument.into()))
            }
            "eq" => number(Comparison::Equal),
            "ge" => number(Comparison::GreaterOrEqual),
            "gt" => number(Comparison::Greater),
            "le" => number(Comparison::LessOrEqual),
            "lt" => number(Comparison::Less),
            "pm" => {
                required_argument(name, argument)?;
                PhraseSet::from_words(argument, context.complete_phrases).map(Self::Phrases)
            }
            "pmFromFile" => {
                required_argument(name, argument)?;
                let names = argument.split(u8::is_ascii_whitespace).filter(|name| !name.is_empty());
                let files = names.map(|name| read(name, context)).collect::<Result<Vec<_>, _>>()?;
                PhraseSet::from_lines(&files, context.complete_phrases).map(Self::Phrases)
            }
            "ipMatch" => NetworkSet::from_list(argument).map(|networks| Self::IpMatch(networks, false)),
            "ipMatchFromFile" => {
                required_argument(name, argument)?;
                let networks = NetworkSet::from_lines(&read(argument.trim_ascii(), context)?)?;
                Ok(Self::IpMatch(networks, true))
            }
            "rx" => Ok(Self::Rx(pattern()?, context.regex)),
            "rxGlobal" => Ok(Self::RxGlobal(pattern()?, context.regex)),
            "detectSQLi" => Ok(Self::DetectSqli),
            "detectXSS" => Ok(Self::DetectXss { any_event: context.any_event }),
            "geoLookup" => Ok(Self::GeoLookup(context.geo.clone())),
            "rbl" => {
                required_argument(name, argument)?;
                let zone = Zone::new(&String::from_utf8_lossy(argument));
                Ok(Self::Rbl(zone, context.block_list.clone(), context.http_bl_key.clone()))
            }
            "validateByteRange" => Ok(Self::ByteRange(ByteRanges::parse(argument)?, argument.into())),
            "validateUrlEncoding" => Ok(Self::UrlEncoding),
            "validateUtf8Encoding" => Ok(Self::Utf8Encoding),
            "verifyCC" => verify(NumberKind::Card),
            "verifyCPF" => verify(NumberKind::Cpf),
            "verifySSN" => verify(NumberKind::Ssn),
            "verifySVNR" => verify(NumberKind::Svnr),
            name => Err(OperatorError::Unknown { name: name.to_owned() }),
        }
    }

    /// Whether macros in the argument are expanded at run time. If so, and if there are any, the expanded argument must
    /// be given to [`Operator::matches`] and [`Operator::message`].
    #[must_use]
    pub const fn expands_macros(&self) -> bool {
        matches!(self, Self::Text(..) | Self::Number(..) | Self::Rx(..) | Self::RxGlobal(..))
    }

    /// Puts `value` to the test. `argument` is the expanded argument, if the rule's holds macros.
    pub fn matches(&self, argument: Option<&[u8]>, value: &[u8], context: &mut OperatorContext<'_>) -> Outcome {
        context.evidence.clear();
        self.search(argument, value, context).unwrap_or(Outcome::Exhausted)
    }

    fn search(
        &self,
        argument: Option<&[u8]>,
        value: &[u8],
        context: &mut OperatorContext<'_>,
    ) -> Result<Outcome, LimitExceeded> {
        let OperatorContext { regexes, evidence, captures } = context;
        let wanted = captures.then_some(&mut **evidence);
        let is_match = match self {
            Self::UnconditionalMatch => true,
            Self::NoMatch => false,
            Self::Text(test, own) => {
                let argument = argument.unwrap_or(own);
                match test {
                    TextTest::Begins => text::begins_with(argument, value),
                    TextTest::Contains => text::contains(argument, value),
                    TextTest::ContainsWord => text::contains_word(argument, value),
                    TextTest::Ends => text::ends_with(argument, value),
                    TextTest::Equals => argument == value,
                    TextTest::Within => text::within(argument, value),
                }
            }
            Self::StrMatch(finder, _) => finder.find(value).is_some(),
            Self::Number(comparison, own) => comparison.holds(atoi(value), argument.map_or(*own, atoi)),
            Self::Phrases(phrases) => match wanted {
                None => phrases.is_match(value),
                Some(evidence) => {
                    evidence.phrase = phrases.find(value).map(<[u8]>::to_vec);
                    evidence.phrase.is_some()
                }
            },
            Self::IpMatch(networks, _) => match networks.contains(value) {
                Some(is_inside) => is_inside,
                None => return Ok(Outcome::Undecided),
            },
            Self::Rx(regex, options) => {
                return with_regex(regex.as_ref(), argument, *options, regexes, |regex, cache| {
                    rx::matches(regex, cache, value, wanted)
                });
            }
            Self::RxGlobal(regex, options) => {
                return with_regex(regex.as_ref(), argument, *options, regexes, |regex, cache| {
                    rx::matches_all(regex, cache, value, wanted)
                });
            }
            Self::DetectSqli => detect::sqli(value, evidence),
            Self::DetectXss { any_event } => detect::xss(value, *any_event, wanted),
            Self::GeoLookup(database) => {
                evidence.geo = geo_lookup::lookup(database.as_deref(), value).map(Box::new);
                evidence.geo.is_some()
            }
            Self::Rbl(zone, list, key) => {
                let name = zone.name(value, key.as_deref());
                let answer = name.zip(list.as_ref()).and_then(|(name, list)| Some((list.listed(&name)?, name)));
                // The variable's name is not known here and goes into the message when that is asked for.
                evidence.phrase = answer.map(|(answer, name)| zone.message(&name, answer, NAME_PLACE));
                evidence.keeps_others = true;
                evidence.phrase.is_some()
            }
            Self::ByteRange(ranges, _) => ranges.is_match(value),
            Self::UrlEncoding => url_encoding::fault(value).is_some(),
            Self::Utf8Encoding => utf8_encoding::fault(value).is_some(),
            Self::Verify(kind, regex) => return verify::matches(*kind, regex, regexes, value, evidence),
        };
        Ok(Outcome::from(is_match))
    }

    /// Appends what ModSecurity 2 says about a match of `value`, which the rule calls `name`: a sentence or two with full
    /// stop. `argument` as for [`Operator::matches`].
    pub fn message(&self, argument: Option<&[u8]>, value: &[u8], evidence: &Evidence, name: &[u8], out: &mut Vec<u8>) {
        use message::{Quoted, at, offset, quoted};
        match self {
            Self::UnconditionalMatch => out.extend_from_slice(b"Unconditional match in SecAction."),
            Self::NoMatch => out.extend_from_slice(b"No match."),
            Self::Text(TextTest::Within, own) => {
                let text = if value.is_empty() { b"" } else { argument.unwrap_or(own) };
                quoted(out, "String match within", text, Quoted::Whole, name);
            }
            Self::Text(_, own) => quoted(out, "String match", argument.unwrap_or(own), Quoted::Whole, name),
            Self::StrMatch(_, own) => quoted(out, "Pattern match", own, Quoted::Whole, name),
            Self::Number(comparison, own) => {
                let number = argument.map_or(*own, atoi);
                out.extend_from_slice(format!("Operator {} matched {number}", comparison.label()).as_bytes());
                at(out, name);
            }
            Self::Phrases(phrases) => {
                let phrase = evidence.phrase.as_deref().or_else(|| phrases.find(value)).unwrap_or_default();
                quoted(out, "Matched phrase", phrase, Quoted::Cut, name);
            }
            Self::IpMatch(_, from_file) => {
                out.extend_from_slice(if *from_file { b"IPmatchFromFile: \"" } else { b"IPmatch: \"" });
                line::escape(value, out);
                out.extend_from_slice(b"\" matched");
                at(out, name);
            }
            Self::Rx(regex, _) | Self::RxGlobal(regex, _) => {
                let pattern = regex.as_ref().map(Regex::pattern).or(argument).unwrap_or_default();
                quoted(out, "Pattern match", pattern, Quoted::Cut, name);
            }
            Self::DetectSqli => {
                out.extend_from_slice(b"detected SQLi using libinjection with fingerprint '");
                out.extend_from_slice(evidence.phrase.as_deref().unwrap_or_default());
                out.push(b'\'');
            }
            Self::DetectXss { .. } => out.extend_from_slice(b"detected XSS using libinjection."),
            Self::GeoLookup(_) => {
                out.extend_from_slice(b"Geo lookup for \"");
                line::escape(value, out);
                out.extend_from_slice(b"\" succeeded");
                at(out, name);
            }
            Self::Rbl(..) => {
                let text = evidence.phrase.as_deref().unwrap_or_default();
                out.extend_from_slice(&replace_name(text, name));
            }
            Self::ByteRange(ranges, own) => {
                out.extend_from_slice(format!("Found {} byte(s) in ", ranges.count(value)).as_bytes());
                out.extend_from_slice(name);
                out.extend_from_slice(b" outside range: ");
                out.extend_from_slice(own);
                out.push(b'.');
            }
            Self::UrlEncoding => {
                out.extend_from_slice(b"Invalid URL Encoding: ");
                out.extend_from_slice(match url_encoding::fault(value) {
                    Some(url_encoding::UrlFault::TooShort) => b"Not enough characters at the end of input",
                    _ => b"Non-hexadecimal digits used",
                });
                at(out, name);
            }
            Self::Utf8Encoding => {
                if let Some((fault, place)) = utf8_encoding::fault(value) {
                    out.extend_from_slice(b"Invalid UTF-8 encoding: ");
                    out.extend_from_slice(fault.text().as_bytes());
                    at(out, name);
                    offset(out, place);
                }
            }
            Self::Verify(kind, regex) => {
                quoted(out, kind.label(), regex.pattern(), Quoted::Whole, name);
                offset(out, evidence.captures.first().copied().flatten().map_or(0, |(start, _)| start));
            }
        }
    }
}

/// Stands for the variable's name in a message until that is known; no host name and no message holds it.
const NAME_PLACE: &[u8] = b"\0";

fn replace_name(text: &[u8], name: &[u8]) -> Vec<u8> {
    text.split(|byte| NAME_PLACE.contains(byte)).collect::<Vec<_>>().join(name)
}

/// Whether the argument holds a macro, as ModSecurity sees it.
#[must_use]
pub fn has_macro(argument: &[u8]) -> bool {
    memchr::memmem::find(argument, b"%{").is_some()
}

/// The name as the language's table spells it; refuses what is not carried out.
fn canonical(name: &str) -> Result<&'static str, OperatorError> {
    use crate::seclang::operator::OPERATORS;
    use crate::seclang::table::Support;
    let is_called = |spelling: &&str| spelling.eq_ignore_ascii_case(name);
    let row = OPERATORS.iter().find(|row| is_called(&row.name) || row.aliases.iter().any(is_called));
    let row = row.ok_or_else(|| OperatorError::Unknown { name: name.to_owned() })?;
    match row.support {
        Support::Refused(reason) => Err(OperatorError::Refused { name: row.name, reason }),
        _ => Ok(row.name),
    }
}

fn required_argument(name: &'static str, argument: &[u8]) -> Result<(), OperatorError> {
    if argument.trim_ascii().is_empty() { Err(OperatorError::MissingArgument { name }) } else { Ok(()) }
}

fn read(name: &[u8], context: &CompileContext<'_>) -> Result<Vec<u8>, OperatorError> {
    let file = String::from_utf8_lossy(name).into_owned();
    match std::str::from_utf8(name) {
        Ok(name) if !name.contains("://") => {
            context.loader.read(context.from, name).map_err(|source| OperatorError::Unreadable { file, source })
        }
        _ => Err(OperatorError::BadFileName { file }),
    }
}

/// Runs `search` with the compiled regex, or with one compiled now from the expanded argument. As in ModSecurity 2, a
/// pattern that expansion has spoiled matches nothing.
fn with_regex(
    regex: Option<&Regex>,
    argument: Option<&[u8]>,
    options: RegexOptions,
    cache: &mut RegexCache,
    search: impl FnOnce(&Regex, &mut RegexCache) -> Result<Outcome, LimitExceeded>,
) -> Result<Outcome, LimitExceeded> {
    match (regex, argument) {
        (Some(regex), _) => search(regex, cache),
        (None, Some(pattern)) => match Regex::compile(pattern, options) {
            // A cache of its own: the worker's would keep room for a regex that is never seen again.
            Ok(regex) => search(&regex, &mut RegexCache::new()),
            Err(_) => Ok(Outcome::NoMatch),
        },
        (None, None) => Ok(Outcome::NoMatch),
    }
}

#[cfg(test)]
mod tests;
