//! What searches need besides the compiled pattern, kept by each worker.
//!
//! Caches are found by the regex's number. Regexes of one program are numbered one after the other, so the table is
//! direct-mapped: a slot that holds another regex's cache is taken over. What was kept for the regexes of a program that
//! is gone is dropped when a newer program comes ([`RegexCache::forget_gone`]): left to be taken over, it added up over
//! reloads. All of it together is bounded: when it grows beyond the limit, caches go that were used least for what they
//! take. Those that were not used for longest would be no better a choice: of large caches that are needed now and then, and
//! for which there is no room together, each would go before it is needed again.

use std::fmt;
use std::sync::{Arc, Weak};

use regex_automata::meta;

use super::Inner;
use super::backtrack::Memory;
use super::scanner::{Scanner, States, Workshop};
use crate::limits::{REGEX_CACHE_BYTES, REGEX_CACHE_SLOTS};

/// What is left when caches were dropped.
const KEPT_BYTES: usize = REGEX_CACHE_BYTES / 8 * 7;

/// The backtracker's memory is given back when it is more.
const KEPT_BACKTRACK_BYTES: usize = 1 << 20;

/// One per worker.
#[derive(Default)]
pub struct RegexCache {
    slots: Vec<Slot>,
    /// Bytes of all slots, as of their last uses.
    held: usize,
    workshop: Workshop,
    pub(super) memory: Memory,
}

/// What searches with one regex need.
#[derive(Default)]
struct Slot {
    id: u64,
    /// The regex, while there is one.
    regex: Weak<Inner>,
    states: Option<Box<States>>,
    automaton: Option<Box<meta::Cache>>,
    /// Bytes when they were last counted.
    held: usize,
    /// How often it was used; half of it counts whenever room is made.
    uses: u32,
}

impl Slot {
    /// Uses for what it takes.
    fn worth(&self) -> u64 {
        (u64::from(self.uses) << 32) / (self.held as u64).max(1)
    }

    fn memory_usage(&self) -> usize {
        let states = self.states.as_ref().map_or(0, |states| size_of::<States>() + states.memory_usage());
        states + self.automaton.as_ref().map_or(0, |cache| size_of::<meta::Cache>() + cache.memory_usage())
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
        self.slots.capacity() * size_of::<Slot>() + caches + self.workshop.memory_usage() + self.memory.memory_usage()
    }

    /// Drops what is kept for regexes that are gone. Those that there are lose nothing.
    pub(crate) fn forget_gone(&mut self) {
        for slot in self.slots.iter_mut().filter(|slot| slot.regex.strong_count() == 0) {
            self.held -= slot.held;
            *slot = Slot::default();
        }
    }

    /// Regexes that something is kept for.
    pub(crate) fn len(&self) -> usize {
        self.slots.iter().filter(|slot| slot.memory_usage() > 0).count()
    }

    /// Does the scanner, which is that of this regex, find a match? Then none begins before the place given.
    pub(super) fn scan(&mut self, regex: &Arc<Inner>, scanner: &Scanner, value: &[u8]) -> Option<usize> {
        self.walk(regex, |states, workshop| scanner.find(states, workshop, value))?
    }

    /// Where the leftmost match of the regex begins, at `from` or later, if the scanner finds that out in few steps; and how
    /// many places it left for that.
    pub(super) fn leftmost(
        &mut self,
        regex: &Arc<Inner>,
        scanner: &Scanner,
        value: &[u8],
        from: usize,
    ) -> (Option<usize>, usize) {
        let found = self.walk(regex, |states, workshop| scanner.leftmost(states, workshop, value, from));
        (found.flatten(), self.workshop.left())
    }

    /// Gives the states of the regex for a walk, and counts what it made.
    #[inline]
    fn walk<T>(&mut self, regex: &Arc<Inner>, walk: impl FnOnce(&mut States, &mut Workshop) -> T) -> Option<T> {
        let index = self.slot(regex);
        let states = self.slots.get_mut(index)?.states.get_or_insert_default();
        let before = (self.workshop.made(), states.entries());
        let found = walk(states, &mut self.workshop);
        if (self.workshop.made(), states.entries()) != before {
            self.count(index);
        }
        Some(found)
    }

    /// For a search with the automata of this regex.
    pub(super) fn automaton(&mut self, regex: &Arc<Inner>, automaton: &meta::Regex) -> &mut meta::Cache {
        let index = self.slot(regex);
        // What the last search made.
        self.count(index);
        #[expect(clippy::indexing_slicing, reason = "the slot was just found")]
        let slot = &mut self.slots[index];
        slot.automaton.get_or_insert_with(|| Box::new(automaton.create_cache()))
    }

    /// Counts the bytes of a slot again, and makes room when all together are too many.
    fn count(&mut self, index: usize) {
        let Some(slot) = self.slots.get_mut(index) else { return };
        let now = slot.memory_usage();
        self.held = self.held + now - slot.held;
        slot.held = now;
        if self.held > REGEX_CACHE_BYTES {
            self.make_room();
        }
    }

    #[cold]
    fn make_room(&mut self) {
        self.forget_gone();
        let mut least: Vec<(u64, usize)> = (0..)
            .zip(&self.slots)
            .filter(|(_, slot)| slot.held > 0)
            .map(|(index, slot)| (slot.worth(), index))
            .collect();
        least.sort_unstable();
        for (_, index) in least {
            if self.held <= KEPT_BYTES {
                break;
            }
            if let Some(slot) = self.slots.get_mut(index) {
                self.held -= slot.held;
                let (id, regex) = (slot.id, std::mem::take(&mut slot.regex));
                *slot = Slot { id, regex, uses: slot.uses, ..Slot::default() };
            }
        }
        self.slots.iter_mut().for_each(|slot| slot.uses /= 2);
    }

    /// The place of the slot of a regex.
    fn slot(&mut self, regex: &Arc<Inner>) -> usize {
        let id = regex.id;
        let index = usize::try_from(id % REGEX_CACHE_SLOTS as u64).unwrap_or_default();
        if index >= self.slots.len() {
            self.slots.resize_with(index + 1, Slot::default);
        }
        if self.memory.memory_usage() > KEPT_BACKTRACK_BYTES {
            self.memory = Memory::default();
        }
        if let Some(slot) = self.slots.get_mut(index) {
            if slot.id != id {
                self.held -= slot.held;
                *slot = Slot { id, regex: Arc::downgrade(regex), ..Slot::default() };
            }
            slot.uses = slot.uses.saturating_add(1);
        }
        index
    }
}

impl fmt::Debug for RegexCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegexCache").field("caches", &self.len()).finish_non_exhaustive()
    }
}
