//! What was learned of values by asking operators about them.
//!
//! A row of bits for each value of which something was: the operators that could still match it as it is, and behind
//! these those that certainly match. During a transaction such a row is the value's own. When the transaction is over,
//! rows of kept values become sets that values share ([`Sets`]): what operators say is alike for most values of a class,
//! so thousands of values need few sets.

use super::known::NONE;
use super::sets::Sets;
use crate::limits::{WAF_KEPT_LESSONS, WAF_PHASE_BYTES};
use crate::waf::prefilter::is_set;

/// What was learned of a value: nothing ([`NONE`]), a row of its own if [`OWN`] is set, or a set.
pub(super) type LessonId = u32;

/// See [`LessonId`].
const OWN: u32 = 1 << 31;

/// All rows.
#[derive(Debug, Default)]
pub(super) struct Lessons {
    /// Words of an answer; a row has twice as many.
    words: usize,
    sets: Sets,
    own: Vec<u64>,
}

impl Lessons {
    /// For answers of so many words.
    pub(super) fn new(words: usize) -> Self {
        Self { words, sets: Sets::new(2 * words), own: Vec::new() }
    }

    /// Forgets sets, when no value has one any more.
    pub(super) fn clear(&mut self) {
        self.sets.clear();
    }

    /// Forgets rows that are values' own, when they are settled or their values are gone.
    pub(super) fn clear_own(&mut self) {
        self.own.clear();
        // One large request shall not hold memory for good.
        if self.own.capacity() > WAF_PHASE_BYTES / 64 {
            self.own = Vec::new();
        }
    }

    fn row(&self, lesson: LessonId) -> Option<&[u64]> {
        match lesson {
            NONE => None,
            own if own & OWN != 0 => self.own_row(own),
            set => self.sets.get(set),
        }
    }

    fn own_row(&self, own: LessonId) -> Option<&[u64]> {
        let start = (own & !OWN) as usize * 2 * self.words;
        self.own.get(start..start + 2 * self.words)
    }

    /// Operators that could match a value as it is, if anything was learned of it.
    #[inline]
    pub(super) fn open(&self, lesson: LessonId) -> Option<&[u64]> {
        self.row(lesson)?.get(..self.words)
    }

    /// Is it known that the operator of this bit matches?
    pub(super) fn surely_matches(&self, lesson: LessonId, bit: u32) -> bool {
        self.row(lesson).and_then(|row| row.get(self.words..)).is_some_and(|row| is_set(row, bit))
    }

    /// The operator of this bit was asked about a value with this answer of the prefilter, and does or does not match:
    /// what is learned of the value then.
    pub(super) fn learn(&mut self, lesson: LessonId, answer: &[u64], bit: u32, is_match: bool) -> LessonId {
        let is_known =
            if is_match { self.surely_matches(lesson, bit) } else { !is_set(self.open(lesson).unwrap_or(answer), bit) };
        if is_known {
            return lesson;
        }
        let own = if lesson != NONE && lesson & OWN != 0 { lesson } else { self.begin_own(lesson, answer) };
        let start = (own & !OWN) as usize * 2 * self.words;
        let place = start + (bit / 64) as usize + if is_match { self.words } else { 0 };
        if let Some(word) = self.own.get_mut(place) {
            let mask = 1 << (bit % 64);
            *word = if is_match { *word | mask } else { *word & !mask };
        }
        own
    }

    /// A row of its own, with what was learned so far.
    fn begin_own(&mut self, lesson: LessonId, answer: &[u64]) -> LessonId {
        let start = self.own.len();
        match self.sets.get(lesson).filter(|_| lesson != NONE) {
            Some(set) => self.own.extend_from_slice(set),
            None => self.own.extend_from_slice(answer),
        }
        self.own.resize(start + 2 * self.words, 0);
        (start / (2 * self.words).max(1)) as u32 | OWN
    }

    /// The same as a set, for the transactions that follow; nothing when there are too many.
    pub(super) fn settle(&mut self, lesson: LessonId) -> Option<LessonId> {
        if lesson == NONE || lesson & OWN == 0 {
            return Some(lesson);
        }
        let start = (lesson & !OWN) as usize * 2 * self.words;
        self.sets.number(self.own.get(start..start + 2 * self.words)?, WAF_KEPT_LESSONS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_values_that_learned_the_same_become_one() {
        let mut lessons = Lessons::new(2);
        let answer = [0b1011, 1 << 40];
        assert_eq!(lessons.open(NONE), None);
        assert!(!lessons.surely_matches(NONE, 0));
        assert_eq!(lessons.learn(NONE, &answer, 2, false), NONE, "the answer says so already");
        let one = lessons.learn(NONE, &answer, 0, false);
        let one = lessons.learn(one, &answer, 104, true);
        let other = lessons.learn(NONE, &answer, 104, true);
        assert_eq!(lessons.open(other), Some(&answer[..]));
        let other = lessons.learn(other, &answer, 0, false);
        assert_eq!(lessons.learn(other, &answer, 0, false), other);
        let third = lessons.learn(NONE, &answer, 1, true);
        for row in [one, other] {
            assert_eq!(lessons.open(row), Some(&[0b1010, 1 << 40][..]));
            assert!(lessons.surely_matches(row, 104) && !lessons.surely_matches(row, 1));
        }
        let settled = lessons.settle(one).unwrap();
        assert_eq!(lessons.settle(other), Some(settled));
        let third = lessons.settle(third).unwrap();
        assert_ne!(third, settled);
        lessons.clear_own();
        assert_eq!(lessons.open(settled), Some(&[0b1010, 1 << 40][..]));
        assert!(lessons.surely_matches(settled, 104) && lessons.surely_matches(third, 1));

        // The next transaction learns more of a value, and the other one keeps what it has.
        let more = lessons.learn(settled, &answer, 3, false);
        assert_eq!(lessons.open(more), Some(&[0b10, 1 << 40][..]));
        assert!(lessons.surely_matches(more, 104));
        assert_eq!(lessons.open(settled), Some(&[0b1010, 1 << 40][..]));
    }

    #[test]
    fn sets_have_a_bound() {
        let mut lessons = Lessons::new(1);
        for number in 0..=WAF_KEPT_LESSONS as u64 {
            let own = lessons.learn(NONE, &[number << 1 | 1], 0, true);
            assert_eq!(lessons.settle(own).is_some(), number < WAF_KEPT_LESSONS as u64, "{number}");
        }
    }
}
