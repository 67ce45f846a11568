//! The first look at a value, for many bytes at once: its lower-case form and its signature.

use crate::limits::WAF_KEPT_BUFFER_BYTES;
use crate::waf::signature::{self, Signature};

/// Bytes that are looked at together.
pub(super) const BLOCK: usize = 32;

#[cfg(target_arch = "x86_64")]
const _: () = assert!(BLOCK == crate::waf::wide::BLOCK, "both ways take the same step");

/// Bytes behind the end of a value that may be read: they are zero.
const MARGIN: usize = BLOCK + 8;

/// What the first look at a value found.
#[derive(Debug, Default)]
pub(super) struct Survey {
    /// The value in lower case, and zeros behind it.
    pub(super) folded: Vec<u8>,
    /// Length of the value.
    pub(super) len: usize,
    /// Texts that were found in it, a bit each.
    pub(super) found: Vec<u64>,
    /// Where short texts may be, a bit for each place.
    pub(super) hits: Vec<u32>,
}

impl Survey {
    /// One large value shall not hold memory for good.
    pub(super) fn shrink(&mut self) {
        if self.folded.capacity() > WAF_KEPT_BUFFER_BYTES {
            (self.folded, self.hits) = (Vec::new(), Vec::new());
        }
    }

    /// Looks at a value; gives its signature.
    #[inline]
    pub(super) fn of(&mut self, value: &[u8]) -> Signature {
        let Self { folded, len, .. } = self;
        *len = value.len();
        folded.clear();
        folded.extend_from_slice(value);
        folded.resize(value.len().next_multiple_of(BLOCK) + MARGIN, 0);
        #[cfg(target_arch = "x86_64")]
        if crate::waf::wide::is_there() {
            return crate::waf::wide::survey(folded, *len);
        }
        plainly(folded, *len)
    }
}

/// Makes `folded`, a value of `len` bytes and zeros behind it, lower case; gives the value's
/// signature.
fn plainly(folded: &mut [u8], len: usize) -> Signature {
    let signature = signature::of_value(folded.get(..len).unwrap_or_default());
    folded.make_ascii_lowercase();
    signature
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::waf::tests::draws::draws;

    /// Values of all lengths around the borders of blocks, with few and with many different bytes.
    #[test]
    #[cfg(target_arch = "x86_64")]
    fn both_ways_find_the_same() {
        if !crate::waf::wide::is_there() {
            eprintln!("SKIPPED: this processor has no AVX2");
            return;
        }
        let mut draw = draws();
        for round in 0..4000 {
            let spread = [2, 26, 100, 256][round % 4];
            let first = draw(256);
            let value: Vec<u8> = (0..round % 131).map(|_| (first + draw(spread)) as u8).collect();
            let mut folded = value.clone();
            folded.resize(value.len().next_multiple_of(BLOCK) + MARGIN, 0);
            let mut wide = folded.clone();
            let signature = plainly(&mut folded, value.len());
            let other = crate::waf::wide::survey(&mut wide, value.len());
            assert_eq!((signature, folded), (other, wide), "{}", value.escape_ascii());
        }
    }
}
