//! What log lines say of a rule, as each worker has it for itself.
//!
//! A match is read when its transaction is over, so it shares what it says of its rule. If it shared that with the
//! program, each match would count references up and down that the other workers count as well, and a cache line that
//! two cores write in turn costs more than all else that a match does: three references of six matches were 3 % of a
//! blocked request (29 November 2026, two cores of an AMD EPYC). So a worker shares with itself: the first match of a
//! rule copies, later ones count where nobody else does.

use std::sync::Arc;

use super::RuleFacts;
use super::program::{Head, Program};

/// So many rules are kept by a worker; those with the same place here take turns.
const PLACES: usize = 1024;

/// Those of the rules that have matched.
#[derive(Debug, Default)]
pub(crate) struct KnownFacts {
    places: Vec<Option<Kept>>,
}

#[derive(Debug)]
struct Kept {
    /// [`Program::number`]
    program: u64,
    /// Index of the head.
    head: u32,
    facts: Arc<RuleFacts>,
}

impl KnownFacts {
    /// Of the head with this index.
    pub(crate) fn of(&mut self, program: &Program, index: u32, head: &Head) -> Arc<RuleFacts> {
        if self.places.is_empty() {
            self.places.resize_with(PLACES, || None);
        }
        // Rules of the same kind often have the same index in two programs.
        let place = (program.number as usize).wrapping_mul(397).wrapping_add(index as usize) % PLACES;
        let place = self.places.get_mut(place);
        if let Some(Some(kept)) = &place
            && (kept.program, kept.head) == (program.number, index)
        {
            return Arc::clone(&kept.facts);
        }
        let facts = Arc::new(facts_of(head));
        if let Some(place) = place {
            *place = Some(Kept { program: program.number, head: index, facts: Arc::clone(&facts) });
        }
        facts
    }

    /// Drops those of older programs than this one.
    pub(crate) fn forget_older(&mut self, number: u64) {
        for place in &mut self.places {
            if place.as_ref().is_some_and(|kept| kept.program < number) {
                *place = None;
            }
        }
    }
}

#[cold]
fn facts_of(head: &Head) -> RuleFacts {
    RuleFacts {
        message: head.plain_message().unwrap_or_default(),
        severity: head.severity,
        tags: head.plain_tags.clone().unwrap_or_default(),
        file: (*head.file).into(),
        line: head.line,
        version: head.version.clone(),
        revision: head.revision.clone(),
        maturity: head.maturity,
        accuracy: head.accuracy,
    }
}
