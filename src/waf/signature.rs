//! Which bytes a value has, as one number.
//!
//! Letters count as lower case, and everything beyond ASCII is one: the signature of a value and of its lower-case form
//! are the same, and so are all answers that are drawn from it.

use crate::waf::regex::ByteSet;

/// A bit for each byte of ASCII; the last stands for all bytes from 0x7f on.
pub(crate) type Signature = u128;

// Pairs of bytes that transformations look for have the bits of capital letters, which are not used.

/// `//`
pub(crate) const SLASHES: Signature = 1 << 65;

/// `./`
pub(crate) const DOT_SLASH: Signature = 1 << 66;

/// `/*`
pub(crate) const COMMENT_OPENS: Signature = 1 << 67;

/// `*/`
pub(crate) const COMMENT_CLOSES: Signature = 1 << 68;

/// `--`
pub(crate) const DASHES: Signature = 1 << 69;

/// `  `
pub(crate) const SPACES: Signature = 1 << 70;

/// ` /`
pub(crate) const SPACE_SLASH: Signature = 1 << 71;

/// ` (`
pub(crate) const SPACE_PARENTHESIS: Signature = 1 << 72;

/// `0x`
pub(crate) const HEX_PREFIX: Signature = 1 << 73;

/// The pairs.
pub(crate) const PAIRS: [(&[u8], Signature); 9] = [
    (b"//", SLASHES),
    (b"./", DOT_SLASH),
    (b"/*", COMMENT_OPENS),
    (b"*/", COMMENT_CLOSES),
    (b"--", DASHES),
    (b"  ", SPACES),
    (b" /", SPACE_SLASH),
    (b" (", SPACE_PARENTHESIS),
    (b"0x", HEX_PREFIX),
];

/// There are capital letters.
pub(crate) const CAPITALS: Signature = 1 << 75;

/// There are small letters.
pub(crate) const SMALL: Signature = 1 << 76;

/// The value ends with a dot.
pub(crate) const ENDS_WITH_DOT: Signature = 1 << 74;

/// What a byte adds to a signature.
#[expect(clippy::indexing_slicing, reason = "evaluated at compile time, below the length")]
const BITS: [Signature; 256] = {
    let mut bits = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let folded = (byte as u8).to_ascii_lowercase();
        bits[byte] = 1 << (if folded < 0x7f { folded } else { 0x7f });
        if (byte as u8).is_ascii_uppercase() {
            bits[byte] |= CAPITALS;
        } else if (byte as u8).is_ascii_lowercase() {
            bits[byte] |= SMALL;
        }
        byte += 1;
    }
    bits
};

/// What one byte adds.
#[expect(clippy::indexing_slicing, reason = "there is an element for every byte")]
pub(crate) const fn bit(byte: u8) -> Signature {
    BITS[byte as usize]
}

/// The signature of a value.
pub(crate) fn of_value(value: &[u8]) -> Signature {
    value.iter().fold(0, |signature, byte| signature | bit(*byte))
}

/// The bits that any byte of a set would leave.
pub(crate) fn of_set(set: ByteSet) -> Signature {
    set.iter().fold(0, |signature, byte| signature | bit(byte)) & !(CAPITALS | SMALL)
}

/// As [`of_set`], for sets written as text.
pub(crate) const fn of_bytes(bytes: &[u8]) -> Signature {
    let mut signature = 0;
    let mut rest = bytes;
    while let [first, tail @ ..] = rest {
        signature |= bit(*first);
        rest = tail;
    }
    signature & !(CAPITALS | SMALL)
}
