//! Which groups of checks ask for nothing that a kept value has.
//!
//! What follows from a value's class and from what was learned of it is the same for thousands of values: a hundred sets
//! of groups are all there are. A value has the number of its set, and another one when a group more is in it.

/// Number of a set of groups; 0 is none.
pub(super) type QuietId = u16;

/// Most sets.
const MOST: usize = if cfg!(fuzzing) { 8 } else { 1024 };

/// Not yet looked for.
const UNKNOWN: QuietId = QuietId::MAX;

/// Sets of groups.
#[derive(Debug, Default)]
pub(super) struct Quiet {
    /// Words of a set.
    width: usize,
    /// Groups of each set, a bit each.
    words: Vec<u64>,
    /// For each set and each group: the set with that group more.
    next: Vec<QuietId>,
}

impl Quiet {
    /// Of so many groups.
    pub(super) fn new(groups: usize) -> Self {
        let mut quiet = Self { width: groups.div_ceil(64), ..Self::default() };
        quiet.clear();
        quiet
    }

    /// Forgets all sets but the one without groups.
    pub(super) fn clear(&mut self) {
        self.words.clear();
        self.next.clear();
        self.add(&vec![0; self.width]);
    }

    fn add(&mut self, set: &[u64]) {
        self.words.extend_from_slice(set);
        self.next.resize(self.next.len() + self.width * 64, UNKNOWN);
    }

    /// Is the group in the set?
    #[inline]
    pub(super) fn has(&self, set: QuietId, group: u32) -> bool {
        let word = self.words.get(usize::from(set) * self.width + (group / 64) as usize);
        word.is_some_and(|word| word >> (group % 64) & 1 == 1)
    }

    /// The set with a group more; nothing when there are too many.
    pub(super) fn with(&mut self, set: QuietId, group: u32) -> Option<QuietId> {
        let place = usize::from(set) * self.width * 64 + group as usize;
        match self.next.get(place).copied()? {
            UNKNOWN => {
                let found = self.find(set, group)?;
                *self.next.get_mut(place)? = found;
                Some(found)
            }
            found => Some(found),
        }
    }

    /// One after the other: once for each set and group.
    fn find(&mut self, set: QuietId, group: u32) -> Option<QuietId> {
        let start = usize::from(set) * self.width;
        let mut wanted = self.words.get(start..start + self.width)?.to_vec();
        *wanted.get_mut((group / 64) as usize)? |= 1 << (group % 64);
        let mut sets = self.words.chunks_exact(self.width);
        let count = sets.len();
        if let Some(found) = sets.position(|set| set == wanted) {
            return Some(found as QuietId);
        }
        if count >= MOST {
            return None;
        }
        self.add(&wanted);
        Some(count as QuietId)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_the_same_in_whatever_order_its_groups_come() {
        let mut quiet = Quiet::new(70);
        let one = quiet.with(0, 3).and_then(|set| quiet.with(set, 69)).unwrap();
        let other = quiet.with(0, 69).and_then(|set| quiet.with(set, 3)).unwrap();
        assert_eq!(one, other);
        assert_eq!(quiet.with(one, 3), Some(one));
        let groups: Vec<u32> = (0..70).filter(|group| quiet.has(one, *group)).collect();
        assert_eq!(groups, [3, 69]);
        assert!((0..70).all(|group| !quiet.has(0, group)));
        quiet.clear();
        assert!(!quiet.has(one, 3));
        assert!(quiet.with(0, 5).is_some_and(|set| quiet.has(set, 5)));
    }

    #[test]
    fn sets_have_a_bound() {
        let mut quiet = Quiet::new(64);
        let mut count = 0;
        'all: for first in 0..64 {
            let Some(set) = quiet.with(0, first) else { break };
            for second in 0..first {
                if quiet.with(set, second).is_none() {
                    break 'all;
                }
                count += 1;
            }
        }
        assert!(count < MOST && quiet.words.len() == MOST, "{count}");
        assert_eq!(quiet.with(0, 1).map(|set| quiet.has(set, 1)), Some(true), "what is there is found");
        assert_eq!(Quiet::new(0).with(0, 0), None);
    }
}
