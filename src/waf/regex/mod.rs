//! Regular expressions over bytes, as PCRE reads them without UTF.
//!
//! A pattern becomes a tree (`parser`), the tree a HIR (`lower`) and automata that run in linear time. What automata
//! cannot express (look-around, back-references, atomic groups that matter) runs on a bounded backtracker, behind the
//! same face; there the automata of the superset still say "no" first. Nothing is UTF-8 here: `\x{e9}` is one byte,
//! `.` is one byte and, by default, any byte; `$` is the very end (ModSecurity 2 compiles with DOTALL and
//! DOLLAR_ENDONLY).
//!
//! A [`Regex`] is immutable and shared by all workers; what a search needs besides is in a [`RegexCache`], one per
//! worker.

#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic))]

mod ast;
mod backtrack;
mod cache;
mod groups;
mod lower;
mod match_limit;
mod parser;
mod plain;
mod scanner;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use regex_automata::meta;
use regex_automata::util::primitives::NonMaxUsize;
use regex_automata::{Input, MatchKind, PatternID};
use regex_syntax::hir::Hir;

use crate::limits::{REGEX_BACKTRACK_STEPS, REGEX_LAZY_DFA_BYTES};

pub use ast::ByteSet;
use backtrack::Backtracker;
pub use cache::RegexCache;
use plain::Plain;
use scanner::Scanner;

/// How a pattern is read and run. The default is ModSecurity 2's reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RegexOptions {
    /// `(?i)` from the start: ASCII letters match both cases.
    pub is_case_insensitive: bool,
    /// `.` matches newlines too.
    pub is_dot_all: bool,
    /// `^` and `$` match at line ends too (libmodsecurity's and Coraza's reading).
    pub is_multi_line: bool,
    /// `$` matches at the very end only, not before a last newline.
    pub is_dollar_end_only: bool,
    /// Steps of one search on the backtracker (SecPcreMatchLimit).
    pub backtrack_steps: u64,
    /// Let the backtracker find the groups of matches, before automata are made that know them.
    pub traces_matches: bool,
    /// Give up where PCRE's interpreter would with this match limit, though an automaton knows the answer: for
    /// comparisons with ModSecurity.
    pub match_limit: Option<u64>,
    /// Never use automata: the reference interpretation, for tests.
    pub is_reference: bool,
}

impl Default for RegexOptions {
    fn default() -> Self {
        Self {
            is_case_insensitive: false,
            is_dot_all: true,
            is_multi_line: false,
            is_dollar_end_only: true,
            backtrack_steps: REGEX_BACKTRACK_STEPS,
            traces_matches: true,
            match_limit: None,
            is_reference: false,
        }
    }
}

/// A pattern that cannot be compiled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} (at byte {position} of the pattern)")]
pub struct RegexError {
    /// Where in the pattern.
    pub position: usize,
    /// What is wrong.
    pub kind: ErrorKind,
}

/// What can be wrong with a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "each is said by its message")]
pub enum ErrorKind {
    #[error("the pattern is too long")]
    PatternTooLong,
    #[error("groups or quantifiers are nested too deep")]
    NestedTooDeep,
    #[error("too many capturing groups")]
    TooManyGroups,
    #[error("unmatched closing parenthesis")]
    UnopenedGroup,
    #[error("missing closing parenthesis")]
    UnclosedGroup,
    #[error("missing closing bracket of a character class")]
    UnclosedClass,
    #[error("nothing to repeat before this quantifier")]
    NothingToRepeat,
    #[error("repetition bound above 65535")]
    RepeatTooLarge,
    #[error("repetition bounds out of order")]
    RepeatOutOfOrder,
    #[error("range out of order in a character class")]
    RangeOutOfOrder,
    #[error("unknown POSIX class name")]
    UnknownPosixClass,
    #[error("unknown option after (?")]
    UnknownGroupOption,
    #[error("invalid group name")]
    InvalidGroupName,
    #[error("two groups have the same name")]
    DuplicateGroupName,
    #[error("reference to a group that does not exist")]
    UnknownGroup,
    #[error("a look-behind must match text of one length")]
    LookBehindNotFixed,
    #[error("invalid escape sequence")]
    InvalidEscape,
    #[error("backslash at the end of the pattern")]
    TrailingBackslash,
    #[error("character above FF: patterns match bytes")]
    CodePointTooLarge,
    #[error("not supported: {0}")]
    Unsupported(&'static str),
}

/// A search on the backtracker ran out of steps or memory: neither a match nor none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("regex match limit exceeded")]
pub struct LimitExceeded;

/// Where groups matched: those of the last successful search.
#[derive(Debug, Clone, Default)]
pub struct Captures {
    slots: Vec<Option<NonMaxUsize>>,
}

impl Captures {
    /// An empty set of groups; reuse it.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Start and end of a group; 0 is the whole match.
    #[must_use]
    pub fn span(&self, group: usize) -> Option<(usize, usize)> {
        let place = |slot: usize| self.slots.get(slot).copied().flatten().map(NonMaxUsize::get);
        Some((place(group * 2)?, place(group * 2 + 1)?))
    }

    /// The text of a group.
    #[must_use]
    pub fn text<'h>(&self, group: usize, haystack: &'h [u8]) -> Option<&'h [u8]> {
        let (start, end) = self.span(group)?;
        haystack.get(start..end)
    }

    /// Groups of the pattern, the whole match included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.len() / 2
    }

    /// Those that the backtracker found.
    fn take(&mut self, found: &backtrack::Slots) {
        for (slot, found) in self.slots.iter_mut().zip(found) {
            *slot = found.and_then(NonMaxUsize::new);
        }
    }

    /// Was there no search yet?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }
}

/// A compiled pattern; cheap to clone.
#[derive(Clone)]
pub struct Regex {
    inner: Arc<Inner>,
}

struct Inner {
    /// Unique in the process: finds the caches. 0 is nobody's.
    id: u64,
    pattern: Box<[u8]>,
    options: RegexOptions,
    /// When it needs none of the following.
    plain: Option<Plain>,
    hir: Hir,
    group_names: Vec<Option<Box<str>>>,
    /// Says whether there is a match; nothing when automata would be too large.
    scanner: Option<Scanner>,
    /// Says where it is; made when there first is one, because most patterns never match.
    automaton: OnceLock<Option<meta::Regex>>,
    backtracker: Option<Backtracker>,
    /// Tells where groups are, and takes less time and memory for that than an automaton that does; made when there first
    /// is a match.
    tracer: OnceLock<Backtracker>,
    /// Steps of it that led to nothing, or were too many ([`groups`]).
    wasted: AtomicU64,
    /// May the automaton tell otherwise where groups are?
    has_idle_rounds: bool,
    /// Tells where PCRE gives up.
    match_limit: Option<Backtracker>,
}

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

impl Regex {
    /// Compiles a pattern.
    pub fn compile(pattern: &[u8], options: RegexOptions) -> Result<Self, RegexError> {
        let parsed = parser::parse(pattern, &options)?;
        let lowered = lower::lower(&parsed.node);
        let scanner = if options.is_reference { None } else { Scanner::new(&lowered.hir) };
        let backtracker = (!lowered.is_exact || scanner.is_none())
            .then(|| Backtracker::compile(&parsed.node, parsed.group_names.len()));
        let match_limit =
            options.match_limit.map(|limit| match_limit::compile(&parsed.node, parsed.group_names.len(), limit));
        Ok(Self {
            inner: Arc::new(Inner {
                match_limit,
                tracer: OnceLock::new(),
                wasted: AtomicU64::new(0),
                has_idle_rounds: parsed.node.has_idle_rounds(),
                options,
                id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
                pattern: pattern.into(),
                plain: Plain::of(pattern, &options),
                hir: lowered.hir,
                group_names: parsed.group_names,
                scanner,
                automaton: OnceLock::new(),
                backtracker,
            }),
        })
    }

    /// Does it match anywhere?
    pub fn is_match(&self, cache: &mut RegexCache, haystack: &[u8]) -> Result<bool, LimitExceeded> {
        let inner = &*self.inner;
        if let Some(plain) = &inner.plain {
            return Ok(plain.end(haystack).is_some());
        }
        if let Some(limited) = &inner.match_limit {
            limited.search(&mut cache.memory, haystack, 0, 0, u64::MAX)?;
        }
        let Some(scanner) = &inner.scanner else {
            return self.backtrack(cache, haystack, 0, 0);
        };
        if cache.scan(&self.inner, scanner, haystack).is_none() {
            return Ok(false);
        }
        if inner.backtracker.is_none() {
            return Ok(true);
        }
        let Some(automaton) = self.automaton() else { return self.backtrack(cache, haystack, 0, 0) };
        match automaton.search_with(cache.automaton(&self.inner, automaton), &Input::new(haystack)) {
            None => Ok(false),
            Some(found) => self.backtrack(cache, haystack, 0, found.start()),
        }
    }

    /// The automata that know where a match is; nothing when they would be too large.
    fn automaton(&self) -> Option<&meta::Regex> {
        let inner = &*self.inner;
        inner.scanner.as_ref()?;
        inner.automaton.get_or_init(|| automaton(&inner.hir)).as_ref()
    }

    /// Like [`Regex::is_match`], and where each group matched.
    pub fn captures(
        &self,
        cache: &mut RegexCache,
        haystack: &[u8],
        captures: &mut Captures,
    ) -> Result<bool, LimitExceeded> {
        self.captures_at(cache, haystack, 0, captures)
    }

    /// As [`Self::is_match`] and then [`Self::captures`], which begins where the first knows that no match began before.
    pub fn match_captures(
        &self,
        cache: &mut RegexCache,
        haystack: &[u8],
        captures: &mut Captures,
    ) -> Result<bool, LimitExceeded> {
        let inner = &*self.inner;
        if let (Some(scanner), None, None, None) =
            (&inner.scanner, &inner.plain, &inner.match_limit, &inner.backtracker)
        {
            return match cache.scan(&self.inner, scanner, haystack) {
                Some(begin) => self.captures_at(cache, haystack, begin, captures),
                None => Ok(false),
            };
        }
        Ok(self.is_match(cache, haystack)? && self.captures(cache, haystack, captures)?)
    }

    /// The first match that begins at `start` or later; what stands before `start` is still seen by `^` and `\b`.
    pub fn captures_at(
        &self,
        cache: &mut RegexCache,
        haystack: &[u8],
        start: usize,
        captures: &mut Captures,
    ) -> Result<bool, LimitExceeded> {
        let inner = &*self.inner;
        captures.slots.clear();
        if start > haystack.len() {
            return Ok(false);
        }
        captures.slots.resize(inner.group_names.len() * 2, None);
        if let Some(plain) = inner.plain.as_ref().filter(|_| start == 0) {
            let end = plain.end(haystack);
            if let (Some(end), [first, last, ..]) = (end, captures.slots.as_mut_slice()) {
                (*first, *last) = (NonMaxUsize::new(0), NonMaxUsize::new(end));
            }
            return Ok(end.is_some());
        }
        let tracer = inner.scanner.as_ref().filter(|_| inner.backtracker.is_none()).map(|_| self.tracer());
        if let (Some(tracer), Some(scanner), true) = (tracer, &inner.scanner, inner.options.traces_matches)
            && let Ok(is_match) = self.trace(tracer, scanner, cache, haystack, start)
        {
            if is_match {
                captures.take(cache.memory.slots());
            }
            return Ok(is_match);
        }
        let mut from = start;
        if let Some(automaton) = self.automaton() {
            let input = Input::new(haystack).range(start..);
            let searched = cache.automaton(&self.inner, automaton);
            if let Some(tracer) = tracer {
                // The automaton may know fewer groups: those that can never take part are not in it.
                let groups = automaton.group_info().group_len(PatternID::ZERO) * 2;
                let groups = groups.min(captures.slots.len());
                let slots = captures.slots.get_mut(..groups).unwrap_or_default();
                let is_match = automaton.search_slots_with(searched, &input, slots).is_some();
                if is_match && inner.has_idle_rounds {
                    // It takes another way than PCRE through rounds of a loop that consume nothing.
                    let from = captures.span(0).map_or(start, |(start, _)| start);
                    // Out of steps, the automaton's groups are good enough: the match stands.
                    if tracer.search(&mut cache.memory, haystack, start, from, inner.options.backtrack_steps)
                        == Ok(true)
                    {
                        captures.take(cache.memory.slots());
                    }
                }
                return Ok(is_match);
            }
            match automaton.search_with(searched, &input) {
                None => return Ok(false),
                Some(found) => from = found.start(),
            }
        }
        let is_match = self.backtrack(cache, haystack, start, from)?;
        if is_match {
            captures.take(cache.memory.slots());
        }
        Ok(is_match)
    }

    /// The matches one after the other, not overlapping (`@rxGlobal`, `@rsub`).
    pub fn find_iter<'r, 'h>(&'r self, cache: &'r mut RegexCache, haystack: &'h [u8]) -> Matches<'r, 'h> {
        Matches { regex: self, cache, haystack, start: 0, last_end: None, captures: Captures::new() }
    }

    fn backtrack(
        &self,
        cache: &mut RegexCache,
        haystack: &[u8],
        search_start: usize,
        from: usize,
    ) -> Result<bool, LimitExceeded> {
        match &self.inner.backtracker {
            Some(engine) => {
                engine.search(&mut cache.memory, haystack, search_start, from, self.inner.options.backtrack_steps)
            }
            None => Ok(false),
        }
    }

    /// Does it need the backtracker, with a budget that input can exhaust? (`lint` names such rules.)
    #[must_use]
    pub fn uses_backtracker(&self) -> bool {
        self.inner.backtracker.is_some()
    }

    /// Is there no text that it could match? (A `false` says nothing.)
    #[must_use]
    pub fn matches_nothing(&self) -> bool {
        self.inner.hir.properties().minimum_len().is_none()
    }

    /// Does it give up where PCRE would ([`RegexOptions::match_limit`])?
    #[must_use]
    pub fn has_match_limit(&self) -> bool {
        self.inner.match_limit.is_some()
    }

    /// What every match must satisfy, for prefilters: the pattern itself, or when [`Regex::uses_backtracker`] a
    /// superset of it.
    #[must_use]
    pub fn hir(&self) -> &Hir {
        &self.inner.hir
    }

    /// The pattern as written.
    #[must_use]
    pub fn pattern(&self) -> &[u8] {
        &self.inner.pattern
    }

    /// Groups including the whole match.
    #[must_use]
    pub fn group_count(&self) -> usize {
        self.inner.group_names.len()
    }

    /// Names of the groups by number.
    #[must_use]
    pub fn group_names(&self) -> &[Option<Box<str>>] {
        &self.inner.group_names
    }

    /// Bytes it holds, without its caches.
    #[must_use]
    pub fn memory_usage(&self) -> usize {
        self.inner.pattern.len()
            + self.inner.scanner.as_ref().map_or(0, Scanner::memory_usage)
            + self.inner.automaton.get().and_then(Option::as_ref).map_or(0, meta::Regex::memory_usage)
            + self.inner.backtracker.as_ref().map_or(0, Backtracker::memory_usage)
    }
}

impl fmt::Debug for Regex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Regex({})", self.inner.pattern.escape_ascii())
    }
}

/// Automata of a pattern that are found to have a match.
fn automaton(hir: &Hir) -> Option<meta::Regex> {
    let config = meta::Config::new()
        .utf8_empty(false)
        .match_kind(MatchKind::LeftmostFirst)
        // Groups make it larger than the scanner's, whose size is limited.
        .nfa_size_limit(None)
        .hybrid_cache_capacity(REGEX_LAZY_DFA_BYTES)
        .onepass_size_limit(Some(256 * 1024))
        .dfa(true);
    meta::Builder::new().configure(config).build_from_hir(hir).ok()
}

/// Iterates over matches; ends after an exhausted budget.
#[derive(Debug)]
pub struct Matches<'r, 'h> {
    regex: &'r Regex,
    cache: &'r mut RegexCache,
    haystack: &'h [u8],
    start: usize,
    last_end: Option<usize>,
    captures: Captures,
}

impl Matches<'_, '_> {
    /// The groups of the match that `next` gave last.
    #[must_use]
    pub fn captures(&self) -> &Captures {
        &self.captures
    }
}

impl Iterator for Matches<'_, '_> {
    type Item = Result<(usize, usize), LimitExceeded>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.regex.captures_at(self.cache, self.haystack, self.start, &mut self.captures) {
                Ok(true) => {}
                Ok(false) => return None,
                Err(limit) => {
                    self.start = self.haystack.len() + 1;
                    return Some(Err(limit));
                }
            }
            let (start, end) = self.captures.span(0)?;
            if start == end {
                // An empty match moves on by one byte, and does not stand right behind the previous match.
                self.start = end + 1;
                if self.last_end == Some(end) {
                    continue;
                }
            } else {
                self.start = end;
            }
            self.last_end = Some(end);
            return Some(Ok((start, end)));
        }
    }
}

#[cfg(test)]
mod tests;
