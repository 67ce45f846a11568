//! `@validateUrlEncoding`.
//!
//! **Meaning.** Matches if a per cent sign is not followed by two hexadecimal digits. **Arguments.** None.
//! *Difference from ModSecurity:* none.

/// What is wrong with the first bad sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum UrlFault {
    /// Something else than digits follows.
    NotHexadecimal,
    /// The value ends too soon.
    TooShort,
}

/// The first fault.
pub(super) fn fault(value: &[u8]) -> Option<UrlFault> {
    let mut rest = value;
    while let Some(index) = memchr::memchr(b'%', rest) {
        rest = match rest.get(index + 1..).unwrap_or_default() {
            [high, low, after @ ..] => {
                if !high.is_ascii_hexdigit() || !low.is_ascii_hexdigit() {
                    return Some(UrlFault::NotHexadecimal);
                }
                after
            }
            _ => return Some(UrlFault::TooShort),
        };
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults() {
        assert_eq!(fault(b"a%20b%fF"), None);
        assert_eq!(fault(b"%0"), Some(UrlFault::TooShort));
        assert_eq!(fault(b"%g0"), Some(UrlFault::NotHexadecimal));
        assert_eq!(fault(b"%u0041"), Some(UrlFault::NotHexadecimal));
    }
}
