//! What may stand right before and right behind a text.
//!
//! Many patterns are about short words where a command or an expression begins: `id` behind a semicolon or at the very
//! beginning, `in` before white space or a parenthesis. Without what stands around it such a word is found in every
//! other value.

use super::pattern::commonness;
use crate::waf::regex::ByteSet;

/// Kinds of bytes, a bit each. Letters are of one kind with their capitals, as values are searched in lower case; digits
/// are one kind, so is white space other than the space, and so are other controls and all beyond ASCII.
pub(super) type Kinds = u64;

/// Besides these, whatever stands before or behind the part of the pattern that was looked at.
pub(super) const OPEN: Kinds = 1 << 63;

/// All kinds.
pub(super) const ANY: Kinds = Kinds::MAX;

/// The border of a value, where a byte is read as zero. It is of one kind with that byte.
pub(super) const BORDER: Kinds = 1;

/// What is part of a word.
const WORD: Kinds = {
    let mut all = 0;
    let mut byte = 0_u8;
    while byte < 0x80 {
        if byte.is_ascii_alphanumeric() || byte == b'_' {
            all |= of(byte);
        }
        byte += 1;
    }
    all
};

/// By byte: its kind.
#[expect(clippy::indexing_slicing, reason = "worked out by the compiler")]
const KINDS: [u8; 256] = {
    let mut all = [1; 256];
    all[0] = 0;
    let mut next = 5;
    let mut byte = 1;
    while byte < 0x7f {
        let character = byte as u8;
        if matches!(character, b'\t'..=b'\r') {
            all[byte] = 2;
        } else if character == b' ' {
            all[byte] = 3;
        } else if character.is_ascii_digit() {
            all[byte] = 4;
        } else if character.is_ascii_graphic() && !character.is_ascii_uppercase() {
            all[byte] = next;
            next += 1;
        }
        byte += 1;
    }
    let mut letter = b'A';
    while letter <= b'Z' {
        all[letter as usize] = all[letter.to_ascii_lowercase() as usize];
        letter += 1;
    }
    assert!(next == OPEN.trailing_zeros() as u8);
    all
};

/// By kind: how often a byte of it may be met where there is something, or, of [`BORDER`], how often there is nothing.
#[expect(clippy::indexing_slicing, reason = "worked out by the compiler")]
const SHARES: [f64; 63] = {
    let mut all = [0.0; 63];
    all[0] = 0.05;
    let mut byte = 1;
    while byte < 256 {
        all[KINDS[byte] as usize] += commonness(byte as u8);
        byte += 1;
    }
    all
};

/// The kind of a byte.
#[inline]
#[expect(clippy::indexing_slicing, reason = "there are as many as values of a byte")]
pub(super) const fn of(byte: u8) -> Kinds {
    1 << KINDS[byte as usize]
}

/// Is a byte of one of these?
#[inline]
#[expect(clippy::indexing_slicing, reason = "there are as many as values of a byte")]
pub(super) const fn has(kinds: Kinds, byte: u8) -> bool {
    kinds >> KINDS[byte as usize] & 1 != 0
}

/// Those of the bytes of a set.
pub(super) fn of_set(set: &ByteSet) -> Kinds {
    set.iter().fold(0, |all, byte| all | of(byte))
}

/// Puts what stands there in the place of [`OPEN`].
pub(super) const fn closed(kinds: Kinds, there: Kinds) -> Kinds {
    if kinds & OPEN == 0 { kinds } else { kinds & !OPEN | there }
}

/// What is of both, of two that are true of the same place.
pub(super) const fn both(one: Kinds, other: Kinds) -> Kinds {
    match (one & OPEN != 0, other & OPEN != 0) {
        (true, false) => other,
        (false, true) => one,
        _ => one & other,
    }
}

/// What may stand right before and right behind a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Around {
    pub(super) before: Kinds,
    pub(super) behind: Kinds,
}

impl Around {
    /// Anything.
    pub(super) const ANYTHING: Self = Self { before: ANY, behind: ANY };

    /// What stands around the part of the pattern.
    pub(super) const OUTSIDE: Self = Self { before: OPEN, behind: OPEN };

    /// What stands around this one or the other.
    pub(super) const fn or(self, other: Self) -> Self {
        Self { before: self.before | other.before, behind: self.behind | other.behind }
    }

    /// What is true of both.
    pub(super) const fn and(self, other: Self) -> Self {
        Self { before: both(self.before, other.before), behind: both(self.behind, other.behind) }
    }

    /// Puts what stands around the part in the place of [`OPEN`].
    pub(super) const fn within(self, outside: Self) -> Self {
        Self { before: closed(self.before, outside.before), behind: closed(self.behind, outside.behind) }
    }

    /// Is everything that may stand around the other allowed here?
    pub(super) const fn allows(self, other: Self) -> bool {
        other.before & !self.before == 0 && other.behind & !self.behind == 0
    }

    /// The share of places that have this around them.
    pub(super) fn share(self) -> f64 {
        let share = |kinds: Kinds| {
            let of_kind = |(kind, share): (u32, &f64)| if kinds >> kind & 1 == 0 { 0.0 } else { *share };
            if kinds & OPEN == 0 { (0..).zip(&SHARES).map(of_kind).sum::<f64>().min(1.0) } else { 1.0 }
        };
        share(self.before) * share(self.behind)
    }
}

/// A border of words stands before or behind a text with this byte there: what may stand on the other side.
pub(super) const fn across_border(byte: u8) -> Kinds {
    if WORD & of(byte) == 0 { ANY } else { !WORD & !OPEN }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_tell_what_matters() {
        assert!(has(of(b'A'), b'a') && has(of(b'7'), b'0') && has(of(b'\n'), b'\r') && has(BORDER, 0));
        for (one, other) in
            [(b'a', b'b'), (b';', b'{'), (b' ', b'\n'), (0, 1), (b'_', b'a'), (b'0', b'a'), (b'!', b'a')]
        {
            assert!(!has(of(one), other), "{one} {other}");
        }
        assert!(WORD == of_set(&ByteSet::ranges(&[(b'0', b'9'), (b'a', b'z'), (b'_', b'_')])));
        assert!((0..=u8::MAX).all(|byte| !has(OPEN, byte)));
    }

    #[test]
    fn what_is_open_is_what_stands_outside() {
        let (word, space) = (of(b'a'), of(b' '));
        assert_eq!(closed(word | OPEN, space), word | space);
        assert_eq!(closed(word, space), word);
        assert_eq!(both(word | space, word | OPEN), word | space);
        assert_eq!(both(word | space, word), word);
        let around = Around { before: BORDER | space, behind: ANY };
        assert!(Around::ANYTHING.allows(around) && around.allows(Around { before: space, behind: OPEN }));
        assert!(!around.allows(Around::ANYTHING) && Around::ANYTHING.share() == 1.0 && around.share() < 0.1);
    }
}
