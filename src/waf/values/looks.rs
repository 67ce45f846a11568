//! What was found in the long values of a transaction, for the forms that transformations make of them.

use std::ops::Range;

use super::known::ValueId;
use crate::limits::WAF_PHASE_BYTES;
use crate::waf::prefilter::{Kind, Look};

/// Words of all rows that there is room for.
const WORDS: usize = WAF_PHASE_BYTES / 16;

/// Of some of the values that are known for the duration of the transaction.
#[derive(Debug, Default)]
pub(super) struct Looks {
    /// Values in the order of their numbers, what they were looked through for, and where their texts end.
    values: Vec<(ValueId, Kind, usize)>,
    /// Texts, a row for each.
    texts: Vec<u64>,
}

impl Looks {
    pub(super) fn clear(&mut self) {
        self.values.clear();
        self.texts.clear();
        // One large request shall not hold memory for good.
        if self.texts.capacity() > WORDS / 32 {
            *self = Self::default();
        }
    }

    /// Notes what was found in a value, whose number is above those of others, if there is room.
    pub(super) fn note(&mut self, id: ValueId, look: Look<'_>) {
        if self.has_room(look.texts.len()) {
            self.texts.extend_from_slice(look.texts);
            self.end(id, look.kind);
        }
    }

    /// Notes of a value what is noted of another one.
    pub(super) fn note_again(&mut self, id: ValueId, other: ValueId) {
        if let Some((texts, kind)) = self.find(other)
            && self.has_room(texts.len())
        {
            self.texts.extend_from_within(texts);
            self.end(id, kind);
        }
    }

    /// What was found in a value, if that is noted.
    pub(super) fn of(&self, id: ValueId) -> Option<Look<'_>> {
        let (texts, kind) = self.find(id)?;
        Some(Look { texts: self.texts.get(texts)?, kind })
    }

    fn find(&self, id: ValueId) -> Option<(Range<usize>, Kind)> {
        let place = self.values.binary_search_by_key(&id, |(other, ..)| *other).ok()?;
        let (_, kind, end) = *self.values.get(place)?;
        let start = place.checked_sub(1).and_then(|before| self.values.get(before)).map_or(0, |(.., end)| *end);
        Some((start..end, kind))
    }

    const fn has_room(&self, more: usize) -> bool {
        self.texts.len() + more <= WORDS
    }

    fn end(&mut self, id: ValueId, kind: Kind) {
        debug_assert!(self.values.last().is_none_or(|(last, ..)| *last < id));
        self.values.push((id, kind, self.texts.len()));
    }
}
