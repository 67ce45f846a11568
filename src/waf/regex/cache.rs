//! What searches need besides the compiled pattern, kept by each worker.
//!
//! Caches are found by the regex's number. Regexes of one program are numbered one after the other, so the table is
//! direct-mapped: a slot that holds another regex's cache is taken over. What was kept for the regexes of a program that
//! is gone is dropped when a newer program comes ([`RegexCache::forget_gone`]): left to be taken over, it added up over
//! reloads. All of it together is bounded: when it grows beyond the limit it is dropped and begins anew.

use std::fmt;
use std::sync::{Arc, Weak};

use regex_automata::hybrid::{self, dfa::DFA};
use regex_automata::meta;

use super::Inner;
use super::backtrack::Memory;
use crate::limits::{REGEX_CACHE_BYTES, REGEX_CACHE_SLOTS};

/// Searches between two looks at the memory in use.
const SEARCHES_PER_CHECK: u32 = 4096;

/// One per worker.
#[derive(Default)]
pub struct RegexCache {
    slots: Vec<Slot>,
    searches: u32,
    pub(super) memory: Memory,
}

/// What searches with one regex need.
#[derive(Default)]
struct Slot {
    id: u64,
    /// The regex, while there is one.
    regex: Weak<Inner>,
    scanner: Option<Box<hybrid::dfa::Cache>>,
    automaton: Option<Box<meta::Cache>>,
}

impl Slot {
    fn memory_usage(&self) -> usize {
        self.scanner.as_ref().map_or(0, |cache| cache.memory_usage())
            + self.automaton.as_ref().map_or(0, |cache| cache.memory_usage())
    }
}

impl RegexCache {
    /// An empty cache; it grows with use.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes held at the moment.
    #[must_use]
    pub fn memory_usage(&self) -> usize {
        let caches: usize = self.slots.iter().map(Slot::memory_usage).sum();
        self.slots.capacity() * size_of::<Slot>() + caches + self.memory.memory_usage()
    }

    /// Drops what is kept for regexes that are gone. Those that there are lose nothing.
    pub(crate) fn forget_gone(&mut self) {
        for slot in self.slots.iter_mut().filter(|slot| slot.regex.strong_count() == 0) {
            *slot = Slot::default();
        }
    }

    /// Regexes that something is kept for.
    pub(crate) fn len(&self) -> usize {
        self.slots.iter().filter(|slot| slot.memory_usage() > 0).count()
    }

    pub(super) fn scanner(&mut self, regex: &Arc<Inner>, dfa: &DFA) -> &mut hybrid::dfa::Cache {
        self.slot(regex).scanner.get_or_insert_with(|| Box::new(dfa.create_cache()))
    }

    pub(super) fn automaton(&mut self, regex: &Arc<Inner>, automaton: &meta::Regex) -> &mut meta::Cache {
        self.slot(regex).automaton.get_or_insert_with(|| Box::new(automaton.create_cache()))
    }

    fn slot(&mut self, regex: &Arc<Inner>) -> &mut Slot {
        let id = regex.id;
        self.searches += 1;
        if self.searches >= SEARCHES_PER_CHECK {
            self.searches = 0;
            self.forget_gone();
            if self.memory_usage() > REGEX_CACHE_BYTES {
                self.slots.clear();
                self.memory = Memory::default();
            }
        }
        let index = usize::try_from(id % REGEX_CACHE_SLOTS as u64).unwrap_or_default();
        if index >= self.slots.len() {
            self.slots.resize_with(index + 1, Slot::default);
        }
        #[expect(clippy::indexing_slicing, reason = "the table was just made long enough")]
        let slot = &mut self.slots[index];
        if slot.id != id {
            *slot = Slot { id, regex: Arc::downgrade(regex), ..Slot::default() };
        }
        slot
    }
}

impl fmt::Debug for RegexCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegexCache").field("caches", &self.len()).finish_non_exhaustive()
    }
}
