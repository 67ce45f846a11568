//! `@validateByteRange`.
//!
//! **Meaning.** Matches if a byte of the value is outside of the ranges. **Arguments.** `10,13,32-126`: numbers and
//! ranges from 0 to 255, read by `atoi`; nothing is no byte at all.
//! **Example.** `SecRule ARGS "@validateByteRange 9,10,13,32-126,128-255"`. *Difference from ModSecurity:* none.

use super::error::OperatorError;
use crate::waf::number::atoi;

/// The bytes that are allowed.
#[derive(Debug, Clone)]
pub struct ByteRanges {
    allowed: [bool; 256],
}

impl ByteRanges {
    pub(super) fn parse(argument: &[u8]) -> Result<Self, OperatorError> {
        let mut allowed = [false; 256];
        for part in argument.split(|byte| *byte == b',').filter(|part| !part.is_empty()) {
            let bad = || OperatorError::BadByteRange { range: String::from_utf8_lossy(part).into_owned() };
            let (first, last) = match memchr::memchr(b'-', part) {
                // A minus in front makes a negative number as well as a range; ModSecurity refuses both ways.
                Some(dash) => (atoi(part), atoi(part.get(dash + 1..).unwrap_or_default())),
                None => (atoi(part), atoi(part)),
            };
            let first = u8::try_from(first).map_err(|_| bad())?;
            let last = u8::try_from(last).map_err(|_| bad())?;
            if first > last {
                return Err(bad());
            }
            for slot in allowed.iter_mut().take(usize::from(last) + 1).skip(usize::from(first)) {
                *slot = true;
            }
        }
        Ok(Self { allowed })
    }

    /// Whether `byte` is in a range.
    #[inline]
    #[must_use]
    pub fn allows(&self, byte: u8) -> bool {
        self.allowed.get(usize::from(byte)).copied().unwrap_or(false)
    }

    /// Whether a byte of `value` is outside.
    #[must_use]
    pub fn is_match(&self, value: &[u8]) -> bool {
        value.iter().any(|&byte| !self.allows(byte))
    }

    /// How many bytes of `value` are outside.
    pub(super) fn count(&self, value: &[u8]) -> usize {
        value.iter().filter(|&&byte| !self.allows(byte)).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        let ranges = ByteRanges::parse(b"10, 13,32-126").expect("well formed");
        assert!(!ranges.is_match(b"abc\r\n~"));
        assert_eq!(ranges.count(b"\t\x7F\xFFa"), 3);
        for bad in ["256", "5-3", "-1", "1-300"] {
            assert!(ByteRanges::parse(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(ByteRanges::parse(b"").expect("empty").is_match(b"\0"));
    }
}
