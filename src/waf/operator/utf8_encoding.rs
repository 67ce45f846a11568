//! `@validateUtf8Encoding`.
//!
//! **Meaning.** Matches if the value is not UTF-8: continuation bytes missing or out of place, overlong forms,
//! surrogates, lead bytes above 0xF4. **Arguments.** None.
//! *Difference from ModSecurity:* none; as there, codes from U+110000 to U+13FFFF pass.

use crate::waf::utf8;

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Utf8Fault {
    /// The value ends inside a character.
    CharactersMissing,
    /// A byte that cannot be there.
    InvalidEncoding,
    /// More bytes than needed.
    Overlong,
    /// A surrogate, or a lead byte that would go beyond Unicode.
    Restricted,
}

impl Utf8Fault {
    /// ModSecurity's words.
    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::CharactersMissing => "not enough bytes in character",
            Self::InvalidEncoding => "invalid byte value in character",
            Self::Overlong => "overlong character detected",
            Self::Restricted => "use of restricted character",
        }
    }
}

/// The first fault and where its character begins.
pub(super) fn fault(value: &[u8]) -> Option<(Utf8Fault, usize)> {
    if utf8::is_strict(value) {
        return None;
    }
    let mut index = std::str::from_utf8(value).map_or_else(|error| error.valid_up_to(), str::len);
    while let Some(rest) = value.get(index..).filter(|rest| !rest.is_empty()) {
        match character(rest) {
            Ok(length) => index += length,
            Err(fault) => return Some((fault, index)),
        }
    }
    None
}

/// Length of the character at the beginning of `text`.
fn character(text: &[u8]) -> Result<usize, Utf8Fault> {
    let (lead, rest) = text.split_first().ok_or(Utf8Fault::CharactersMissing)?;
    let (length, smallest) = match lead {
        0..=0x7F => return Ok(1),
        0xC0..=0xDF => (2, 0x80),
        0xE0..=0xEF => (3, 0x800),
        0xF0..=0xF4 => (4, 0x1_0000),
        0xF5..=0xF7 => return Err(Utf8Fault::Restricted),
        _ => return Err(Utf8Fault::InvalidEncoding),
    };
    let continuation = rest.get(..length - 1).ok_or(Utf8Fault::CharactersMissing)?;
    let mut code = u32::from(lead & (0x7F >> length));
    for byte in continuation {
        if byte & 0xC0 != 0x80 {
            return Err(Utf8Fault::InvalidEncoding);
        }
        code = (code << 6) | u32::from(byte & 0x3F);
    }
    if (0xD800..=0xDFFF).contains(&code) {
        Err(Utf8Fault::Restricted)
    } else if code < smallest {
        Err(Utf8Fault::Overlong)
    } else {
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults() {
        for (value, expected) in [
            (&b"gr\xC3\xBC\xC3\x9Fe"[..], None),
            (b"a\xC3", Some((Utf8Fault::CharactersMissing, 1))),
            (b"a\xC3(", Some((Utf8Fault::InvalidEncoding, 1))),
            (b"\xC0\xAF", Some((Utf8Fault::Overlong, 0))),
            (b"\xED\xA0\x80", Some((Utf8Fault::Restricted, 0))),
            (b"\xF5\x80\x80\x80", Some((Utf8Fault::Restricted, 0))),
            (b"\x80", Some((Utf8Fault::InvalidEncoding, 0))),
            (b"\xF4\x90\x80\x80\xFF", Some((Utf8Fault::InvalidEncoding, 4))),
        ] {
            assert_eq!(fault(value), expected, "{value:?}");
        }
    }
}
