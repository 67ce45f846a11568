//! A set of bytes as vector instructions look it up: where the first of its bytes is in a value, and where all are.

#[cfg(target_arch = "x86_64")]
use super::wide;

/// A set of bytes, by the halves of each: for each low half a bit for each high one, below 8 and from 8 on.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ByteTables {
    rows: [[u8; 16]; 2],
}

impl ByteTables {
    pub(crate) const fn of(bytes: &[u8]) -> Self {
        let mut set = Self { rows: [[0; 16]; 2] };
        let mut rest = bytes;
        while let [byte, behind @ ..] = rest {
            set.insert(*byte);
            rest = behind;
        }
        set
    }

    /// With all bytes from one to another.
    pub(crate) const fn and_range(mut self, first: u8, last: u8) -> Self {
        let mut byte = first;
        while byte < last {
            self.insert(byte);
            byte += 1;
        }
        self.insert(last);
        self
    }

    #[cfg_attr(not(test), expect(clippy::indexing_slicing, reason = "halves of bytes are always within the table"))]
    pub(crate) const fn insert(&mut self, byte: u8) {
        self.rows[(byte >> 7) as usize][(byte & 15) as usize] |= 1 << (byte >> 4 & 7);
    }

    #[inline]
    fn contains(&self, byte: u8) -> bool {
        let row = self.rows.get(usize::from(byte >> 7)).and_then(|rows| rows.get(usize::from(byte & 15)));
        row.is_some_and(|row| row >> (byte >> 4 & 7) & 1 != 0)
    }

    /// How many bytes there are before the first one of the set.
    pub(crate) fn find(&self, value: &[u8]) -> usize {
        #[cfg(target_arch = "x86_64")]
        if wide::is_there() {
            let (blocks, rest) = value.as_chunks();
            let found = wide::find(&self.rows, blocks);
            return found.unwrap_or_else(|| value.len() - rest.len() + self.find_plainly(rest));
        }
        self.find_plainly(value)
    }

    fn find_plainly(&self, value: &[u8]) -> usize {
        value.iter().position(|byte| self.contains(*byte)).unwrap_or(value.len())
    }

    /// Where the bytes of the set are: a bit for each byte, a word for each 64 of them; what stands behind the value has
    /// none. Words behind the last byte stay as they are.
    pub(crate) fn mark(&self, value: &[u8], words: &mut [u64]) {
        #[cfg(target_arch = "x86_64")]
        if wide::is_there() {
            return wide::marks(&self.rows, value, words);
        }
        self.mark_plainly(value, words);
    }

    fn mark_plainly(&self, value: &[u8], words: &mut [u64]) {
        for (bytes, word) in value.chunks(64).zip(words) {
            let marks = bytes.iter().enumerate().filter(|(_, byte)| self.contains(**byte));
            *word = marks.fold(0, |all, (place, _)| all | 1 << place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::waf::tests::draws::draws;

    #[test]
    fn both_ways_find_the_same() {
        let mut draw = draws();
        for round in 0..2000 {
            let members: Vec<u8> = (0..round % 9).map(|_| draw(256) as u8).collect();
            let set = ByteTables::of(&members);
            let value: Vec<u8> = (0..draw(200)).map(|_| draw(256) as u8).collect();
            let expected = value.iter().position(|byte| members.contains(byte)).unwrap_or(value.len());
            assert_eq!(set.find_plainly(&value), expected);
            assert_eq!(set.find(&value), expected, "{members:x?} in {value:x?}");
            let mut marks = [[0; 4]; 2];
            set.mark(&value, &mut marks[0]);
            set.mark_plainly(&value, &mut marks[1]);
            assert_eq!(marks[0], marks[1], "{members:x?} in {value:x?}");
            let marked = marks[0].iter().map(|word| word.count_ones() as usize).sum::<usize>();
            assert_eq!(marked, value.iter().filter(|byte| members.contains(byte)).count());
        }
    }

    #[test]
    fn a_set_has_its_bytes_and_no_others() {
        let set = ByteTables::of(b"\0\x7f\x80").and_range(0xC0, 0xF7);
        for byte in 0..=u8::MAX {
            let expected = matches!(byte, 0 | 0x7f | 0x80 | 0xC0..=0xF7);
            assert_eq!(set.contains(byte), expected, "{byte}");
        }
    }
}
