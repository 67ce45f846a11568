//! Header lines: the part that requests, responses and trailers share.

use super::super::head::{Field, Span};
use super::super::{HeadError, Known};

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
    let colon = memchr::memchr(b':', line).ok_or(HeadError::MissingColon)?;
    let name = line.get(..colon).unwrap_or_default();
    let known = Known::of(name);
    // Names that are known are tokens.
    if known == Known::Other && !is_token(name) {
        let is_spaced = matches!(name.last(), Some(b' ' | b'\t'));
        return Err(if is_spaced { HeadError::SpaceBeforeColon } else { HeadError::HeaderName });
    }
    let raw = line.get(colon + 1..).unwrap_or_default();
    let value = trim(raw);
    let lead = raw.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    // An all-blank value is an empty span behind its blanks, still within the line.
    let start = at + colon + 1 + lead;
    Ok(Field { name: Span::new(at, at + colon), value: Span::new(start, start + value.len()), known })
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

/// Any control character but tab? Written without an early exit so that it compiles to vector instructions.
pub fn has_control(bytes: &[u8]) -> bool {
    bytes.iter().fold(false, |found, &byte| found | ((byte < 0x20) & (byte != b'\t')) | (byte == 0x7F))
}

/// A token of RFC 9110, at least one character.
pub fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|byte| TOKEN.get(usize::from(*byte)).copied().unwrap_or(false))
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
