//! Where the groups of a match are.
//!
//! An automaton knows that there is a match. The backtracker finds its groups from there: in most values at once; where the
//! match begins far behind, or much looks like it, from where the scanner says that it begins. What takes too many steps
//! even so is left to automata that know groups, and a pattern that wastes steps again and again is left to them at once:
//! they take time and memory to be made, but no longer than the value is.

use std::sync::atomic::Ordering;

use super::backtrack::Backtracker;
use super::scanner::Scanner;
use super::{LimitExceeded, Regex, RegexCache, ast, parser};

/// Steps in which most matches are found; for each byte of the value so many more; and at most so many of those.
const FIRST_STEPS: u64 = if cfg!(any(test, fuzzing)) { 24 } else { 1000 };
const FIRST_STEPS_PER_BYTE: u64 = if cfg!(any(test, fuzzing)) { 0 } else { 2 };
const MOST_FIRST_STEPS: u64 = 10_000;

/// The same once it is known where the match begins.
const STEPS: u64 = 100_000;
const STEPS_PER_BYTE: u64 = 24;
const MOST_STEPS: u64 = 1_000_000;

/// Finding out where a match begins takes so many for each place that is left.
const STEPS_PER_PLACE: u64 = 4;

/// So many for each byte are not too many.
const ORDINARY_STEPS_PER_BYTE: u64 = 8;

/// Steps of one pattern that led to nothing, or were too many for the value, after which automata find its groups.
pub(super) const WASTED_STEPS: u64 = 1_000_000;

impl Regex {
    /// The backtracker of a pattern that automata run: of few steps, it knows the groups of a match.
    pub(super) fn tracer(&self) -> &Backtracker {
        let inner = &*self.inner;
        inner.tracer.get_or_init(|| {
            // It was parsed before: keeping the trees of all patterns for the few that ever match would be dearer.
            let node = parser::parse(&inner.pattern, &inner.options).map_or(ast::Node::Empty, |parsed| parsed.node);
            Backtracker::compile_tracer(
                &node,
                inner.group_names.len(),
                inner.scanner.as_ref().and_then(Scanner::openings),
            )
        })
    }

    /// Finds the groups of a match with the backtracker, which gives up where an automaton does better.
    pub(super) fn trace(
        &self,
        tracer: &Backtracker,
        scanner: &Scanner,
        cache: &mut RegexCache,
        haystack: &[u8],
        start: usize,
    ) -> Result<bool, LimitExceeded> {
        let bytes = haystack.len() as u64;
        let first = FIRST_STEPS + (bytes * FIRST_STEPS_PER_BYTE).min(MOST_FIRST_STEPS);
        let found = tracer.search(&mut cache.memory, haystack, start, start, first);
        if found.is_ok() {
            return found;
        }
        let inner = &*self.inner;
        if inner.wasted.load(Ordering::Relaxed) > WASTED_STEPS {
            return Err(LimitExceeded);
        }
        let waste = |steps: u64| inner.wasted.fetch_add(steps, Ordering::Relaxed);
        let (from, left) = cache.leftmost(&self.inner, scanner, haystack, start);
        let Some(from) = from else {
            waste(STEPS);
            return Err(LimitExceeded);
        };
        let most = STEPS + (bytes * STEPS_PER_BYTE).min(MOST_STEPS);
        let found = tracer.search(&mut cache.memory, haystack, start, from, most);
        let steps = cache.memory.steps() + left as u64 * STEPS_PER_PLACE;
        waste(steps.saturating_sub(bytes * ORDINARY_STEPS_PER_BYTE));
        found
    }
}
