//! Sets of bits, each of which is stored once however many values have it.

use crate::waf::number_index::NumberIndex;
use crate::waf::scratch::make_room;

/// Number of a set.
pub(super) type SetId = u32;

/// Sets of one width.
#[derive(Debug, Default)]
pub(super) struct Sets {
    /// Words of a set.
    width: usize,
    words: Vec<u64>,
    index: NumberIndex,
}

impl Sets {
    /// Of so many words each.
    pub(super) fn new(width: usize) -> Self {
        Self { width, ..Self::default() }
    }

    pub(super) fn clear(&mut self) {
        self.words.clear();
        self.index.clear();
    }

    /// The words of a set; none if there is no such set.
    #[inline]
    pub(super) fn get(&self, set: SetId) -> Option<&[u64]> {
        let start = set as usize * self.width;
        self.words.get(start..start + self.width)
    }

    /// The number of a set; nothing if it is a new one and there are `most` already.
    pub(super) fn number(&mut self, set: &[u64], most: usize) -> Option<SetId> {
        let Self { width, words, index } = self;
        debug_assert_eq!(set.len(), *width);
        let hash = index.hash(set.iter().copied());
        let is_it = |number: u32| {
            let start = number as usize * *width;
            words.get(start..start + *width).is_some_and(|own| own.iter().eq(set))
        };
        if let Some(number) = index.find(hash, is_it) {
            return Some(number);
        }
        let count = words.len() / (*width).max(1);
        if count >= most {
            return None;
        }
        make_room(words, *width);
        words.extend_from_slice(set);
        index.insert(hash, count as SetId, |index, number| {
            let start = number as usize * *width;
            index.hash(words.get(start..start + *width).unwrap_or_default().iter().copied())
        });
        Some(count as SetId)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_sets_have_one_number() {
        let mut sets = Sets::new(3);
        let of = |low: u64| [low, 7, low.rotate_left(20)];
        for round in 0..2 {
            for low in 0..500 {
                assert_eq!(sets.number(&of(low), 500), Some(low as u32), "{round}");
            }
        }
        assert_eq!(sets.get(321), Some(&of(321)[..]));
        assert_eq!(sets.get(500), None);
        assert_eq!(sets.number(&of(500), 500), None, "there is no room");
        assert_eq!(sets.number(&of(3), 500), Some(3), "but what is there is found");
        sets.clear();
        assert_eq!(sets.get(0), None);
        assert_eq!(sets.number(&of(9), 500), Some(0));
    }
}
