//! What searches need besides the compiled pattern, kept by each worker.
//!
//! Caches are found by the regex's number. Regexes of one program are numbered one after the other, so the table is
//! direct-mapped: a slot that holds another regex's cache (of a program that is gone, say) is taken over. All of it
//! together is bounded: when it grows beyond the limit it is dropped and begins anew.

use std::fmt;

use regex_automata::meta;

use super::backtrack::Memory;
use crate::limits::{REGEX_CACHE_BYTES, REGEX_CACHE_SLOTS};

/// Searches between two looks at the memory in use.
const SEARCHES_PER_CHECK: u32 = 4096;

/// One per worker.
#[derive(Default)]
pub struct RegexCache {
    slots: Vec<Option<Slot>>,
    searches: u32,
    pub(super) memory: Memory,
}

struct Slot {
    id: u64,
    cache: Box<meta::Cache>,
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
        let caches: usize = self.slots.iter().flatten().map(|slot| slot.cache.memory_usage()).sum();
        self.slots.capacity() * size_of::<Option<Slot>>() + caches + self.memory.memory_usage()
    }

    pub(super) fn automaton(&mut self, id: u64, regex: &meta::Regex) -> &mut meta::Cache {
        self.searches += 1;
        if self.searches >= SEARCHES_PER_CHECK {
            self.searches = 0;
            if self.memory_usage() > REGEX_CACHE_BYTES {
                self.slots.clear();
                self.memory = Memory::default();
            }
        }
        let index = usize::try_from(id % REGEX_CACHE_SLOTS as u64).unwrap_or_default();
        if index >= self.slots.len() {
            self.slots.resize_with(index + 1, || None);
        }
        // The index is below the length: the slot exists, and the fallback is never used.
        let fresh = || Slot { id, cache: Box::new(regex.create_cache()) };
        #[expect(clippy::indexing_slicing, reason = "the table was just made long enough")]
        let place = &mut self.slots[index];
        if place.as_ref().is_some_and(|slot| slot.id != id) {
            *place = None;
        }
        &mut place.get_or_insert_with(fresh).cache
    }
}

impl fmt::Debug for RegexCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let used = self.slots.iter().flatten().count();
        f.debug_struct("RegexCache").field("caches", &used).finish_non_exhaustive()
    }
}
