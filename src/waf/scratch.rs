//! What a worker reuses from request to request: regex caches and buffers.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::collection::Value;
use super::collection::store::CollectionStore;
use super::eval::CandidateScratch;
use super::facts::KnownFacts;
use super::operator::Evidence;
use super::program::Program;
use super::regex::{Regex, RegexCache};
use super::transaction::Transaction;

/// One per worker thread.
#[derive(Debug, Default)]
pub struct Scratch {
    /// Targets of the rule under evaluation.
    pub(crate) values: Vec<Value>,
    /// Bytes generated for them.
    pub(crate) text: Vec<u8>,
    /// The value under test, after transformation.
    pub(crate) front: Vec<u8>,
    /// The other buffer of a transformation.
    pub(crate) back: Vec<u8>,
    /// What matched, and its name.
    pub(crate) subject: Vec<u8>,
    pub(crate) name: Vec<u8>,
    /// Name and value that an action sets.
    pub(crate) new_name: Vec<u8>,
    pub(crate) new_value: Vec<u8>,
    /// What the operator found.
    pub(crate) evidence: Evidence,
    /// Values and bytes of macros.
    pub(crate) macro_values: Vec<Value>,
    pub(crate) macro_text: Vec<u8>,
    /// An operator's argument after expansion.
    pub(crate) argument: Vec<u8>,
    /// Transactions that are over; as many as run at a time begin without allocating.
    #[expect(clippy::vec_box, reason = "they go from hand to hand without being copied")]
    pub(crate) spares: Vec<Box<Transaction>>,
    /// Of the fast evaluation.
    pub(crate) candidates: Option<Box<CandidateScratch>>,
    /// On while somebody measures where the time goes.
    pub(crate) stopwatch: Option<Box<super::profile::Stopwatch>>,
    /// Working memory of regular expressions.
    pub(crate) caches: RegexCaches,
    /// What matches share of their rules.
    pub(crate) facts: KnownFacts,
    /// Numbers for transactions that begin here.
    serials: Range<u64>,
    /// [`Program::number`] of the newest program that had a phase here.
    newest: u64,
    /// Where persistent collections live; without it they begin empty in every transaction.
    pub(crate) collections: Option<Arc<dyn CollectionStore>>,
}

/// Room for more of what stays with a worker. It grows by a quarter, as doubling it would leave up to half unused.
pub(crate) fn make_room<T>(all: &mut Vec<T>, more: usize) {
    if all.capacity() - all.len() < more {
        all.reserve_exact(more.max(all.len() / 4).max(16));
    }
}

impl Scratch {
    /// Empty.
    pub fn new() -> Self {
        Self::default()
    }

    /// With a store for persistent collections.
    pub fn with_collections(store: Arc<dyn CollectionStore>) -> Self {
        Self { collections: Some(store), ..Self::default() }
    }

    /// A phase of the program begins. With the first one of a newer program than all so far rules have been loaded: what is
    /// kept for those that are gone since has to go too, or it would add up over reloads.
    pub(crate) fn meet(&mut self, program: &Program) {
        if program.number > self.newest {
            self.newest = program.number;
            self.caches.cache.forget_gone();
            self.facts.forget_older(program.number);
            if let Some(candidates) = &mut self.candidates {
                candidates.forget_programs();
            }
        }
    }

    /// Values that are known from request to request.
    #[cfg(test)]
    pub(crate) fn kept_values(&self) -> usize {
        self.candidates.as_ref().map_or(0, |candidates| candidates.kept_values())
    }

    /// A number that no other transaction of the process has or had; not zero. Taken from the process many at a time:
    /// a counter that every worker writes for every transaction goes from core to core.
    pub(crate) fn serial(&mut self) -> u64 {
        const BATCH: u64 = 1024;
        /// The first batch that nobody has taken.
        static NEXT: AtomicU64 = AtomicU64::new(0);
        self.serials.next().unwrap_or_else(|| {
            let first = NEXT.fetch_add(1, Ordering::Relaxed) * BATCH + 1;
            self.serials = first + 1..first + BATCH;
            first
        })
    }
}

/// Working memory of regular expressions, for patterns that are not operators: selectors, tags.
#[derive(Debug, Default)]
pub(crate) struct RegexCaches {
    pub(crate) cache: RegexCache,
}

impl RegexCaches {
    /// Does the pattern match? One that runs out of its budget selects: a target too many is looked at rather than
    /// one too few.
    pub(crate) fn is_match(&mut self, regex: &Regex, value: &[u8]) -> bool {
        regex.is_match(&mut self.cache, value).unwrap_or(true)
    }

    /// As [`RegexCaches::is_match`] for what takes targets away: in doubt nothing is.
    pub(crate) fn excludes(&mut self, regex: &Regex, value: &[u8]) -> bool {
        regex.is_match(&mut self.cache, value).unwrap_or(false)
    }
}
