//! Header lines: the part that requests, responses and trailers share.

use super::super::head::{Field, Span};
use super::super::{HeadError, Known};
use crate::octets;

/// Where the head ends (behind the empty line), searched from `from` on. A lone LF counts as a line end here so that
/// a head with bare LFs is found, and then refused, instead of waited for.
pub(super) fn find_end(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    while let Some(found) = memchr::memchr(b'\n', bytes.get(at..)?) {
        let next = at + found + 1;
        match bytes.get(next..)? {
            [b'\r', b'\n', ..] => return Some(next + 2),
            [b'\n', ..] => return Some(next + 1),
            _ => at = next,
        }
    }
    None
}

/// Takes the next line (without CRLF) of a complete head; returns it and the offset of the one behind.
pub(super) fn next_line(bytes: &[u8], at: usize) -> Result<(&[u8], usize), HeadError> {
    let rest = bytes.get(at..).unwrap_or_default();
    let end = memchr::memchr(b'\n', rest).ok_or(HeadError::BareLineFeed)?;
    match rest.get(..end).unwrap_or_default() {
        [line @ .., b'\r'] => Ok((line, at + end + 1)),
        _ => Err(HeadError::BareLineFeed),
    }
}

/// Parses header lines from `at` to the empty line.
pub(super) fn parse_fields(
    bytes: &[u8],
    mut at: usize,
    maximum: usize,
    list: &mut Vec<Field>,
) -> Result<(), HeadError> {
    if list.capacity() == 0 {
        list.reserve(USUAL_FIELDS.min(maximum));
    }
    loop {
        let (line, next) = next_line(bytes, at)?;
        if line.is_empty() {
            return Ok(());
        }
        if list.len() >= maximum {
            return Err(HeadError::TooManyFields);
        }
        list.push(parse_field(line, at)?);
        at = next;
    }
}

/// Room for those of an ordinary head.
const USUAL_FIELDS: usize = 16;

fn parse_field(line: &[u8], at: usize) -> Result<Field, HeadError> {
    if matches!(line.first(), Some(b' ' | b'\t')) {
        return Err(HeadError::FoldedLine);
    }
    if has_control(line) {
        return Err(HeadError::ControlCharacter);
    }
    let colon = line.iter().position(|byte| !is_token_byte(*byte)).unwrap_or(line.len());
    let (name, raw) = match line.split_at_checked(colon) {
        Some((name, [b':', raw @ ..])) if !name.is_empty() => (name, raw),
        _ => return Err(misnamed(line)),
    };
    // An all-blank value is an empty span behind its blanks, still within the line.
    let lead = raw.iter().position(|byte| !matches!(byte, b' ' | b'\t')).unwrap_or(raw.len());
    let value = trim(raw.get(lead..).unwrap_or_default());
    let start = at + colon + 1 + lead;
    Ok(Field { name: Span::new(at, at + colon), value: Span::new(start, start + value.len()), known: Known::of(name) })
}

/// What is wrong with a line that does not begin with a name and a colon.
#[cold]
fn misnamed(line: &[u8]) -> HeadError {
    match memchr::memchr(b':', line).and_then(|colon| line.get(..colon)) {
        None => HeadError::MissingColon,
        Some([.., b' ' | b'\t']) => HeadError::SpaceBeforeColon,
        Some(_) => HeadError::HeaderName,
    }
}

/// Without spaces and tabs around it.
pub(super) fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = value {
        value = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// Any control character but tab?
pub fn has_control(bytes: &[u8]) -> bool {
    octets::any(bytes, |byte| ((byte < 0x20) & (byte != b'\t')) | (byte == 0x7F))
}

/// A token of RFC 9110, at least one character.
pub fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|byte| is_token_byte(*byte))
}

fn is_token_byte(byte: u8) -> bool {
    TOKEN.get(usize::from(byte)).copied().unwrap_or(false)
}

/// Token characters of RFC 9110 section 5.6.2.
static TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0u8;
    loop {
        let is_token = byte.is_ascii_alphanumeric()
            || matches!(
                byte,
                b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
            );
        #[expect(clippy::indexing_slicing, reason = "a u8 indexes 256 entries")]
        {
            table[byte as usize] = is_token;
        }
        if byte == u8::MAX {
            break;
        }
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_all_but_tab() {
        for byte in 0..=255 {
            let is_control = (byte < b' ' && byte != b'\t') || byte == 0x7F;
            for value in [&[byte][..], &[b'a', b'a', byte], &[b'a', byte, b'a'].repeat(9)] {
                assert_eq!(has_control(value), is_control, "{byte}");
            }
        }
        assert!(!has_control(b""));
    }

    #[test]
    fn what_is_wrong_with_a_name_is_told() {
        for (line, error) in [
            (&b"Host a\r\n\r\n"[..], HeadError::MissingColon),
            (b"Host : a\r\n\r\n", HeadError::SpaceBeforeColon),
            (b"Ho st: a\r\n\r\n", HeadError::HeaderName),
            (b": a\r\n\r\n", HeadError::HeaderName),
            (b" Host: a\r\n\r\n", HeadError::FoldedLine),
            (b"Ho\x01st: a\r\n\r\n", HeadError::ControlCharacter),
            (b"Ho@st a\x7f\r\n\r\n", HeadError::ControlCharacter),
            (b"A: b\r\nB: c\n\r\n", HeadError::BareLineFeed),
            (b"A: b\r\nB: c\r\nC: \x01\r\n\r\n", HeadError::TooManyFields),
        ] {
            assert_eq!(parse_fields(line, 0, 2, &mut Vec::new()), Err(error), "{line:?}");
        }
    }
}
