//! `utf8toUnicode`.
//!
//! **Meaning.** A UTF-8 sequence becomes `%uHHHH` (at least four lower-case digits), which `urlDecodeUni` understands.
//! **Example.** the two bytes of `é` become `%u00e9`.
//! *Quirks kept from ModSecurity 2:* a lead byte without its continuation disappears, and so does a `NUL`; a stray
//! continuation byte stays; behind an overlong sequence, a surrogate or a lead byte above 0xF4 that lead byte appears
//! once more. *libmodsecurity 3* keeps malformed bytes.

use super::bytes::{at, find, head, tail};

/// A sequence: code and length; `None` for a lead byte without its continuation.
fn sequence(text: &[u8]) -> Option<(u32, usize)> {
    let lead = at(text, 0);
    let (length, bits) = match lead {
        0xC0..=0xDF => (2, lead & 0x1F),
        0xE0..=0xEF => (3, lead & 0x0F),
        0xF0..=0xF7 => (4, lead & 0x07),
        _ => return None,
    };
    let mut code = u32::from(bits);
    for index in 1..length {
        let byte = at(text, index);
        if byte & 0xC0 != 0x80 {
            return None;
        }
        code = (code << 6) | u32::from(byte & 0x3F);
    }
    Some((code, length))
}

/// At least four digits.
fn push_code(out: &mut Vec<u8>, code: u32) {
    out.extend_from_slice(b"%u");
    let digits = (32 - code.leading_zeros()).div_ceil(4).max(4);
    for place in (0..digits).rev() {
        let digit = (code >> (4 * place)) & 0x0F;
        out.push(char::from_digit(digit, 16).map_or(b'0', |digit| digit as u8));
    }
}

/// See the file's page.
pub(super) fn to_unicode(input: &[u8], out: &mut Vec<u8>) -> bool {
    let Some(first) = find(input, |byte| byte >= 0x80 || byte == 0) else { return false };
    out.extend_from_slice(head(input, first));
    let mut changed = false;
    let mut index = first;
    while index < input.len() {
        let byte = at(input, index);
        match byte {
            0 => {
                changed = true;
                index += 1;
            }
            0x01..=0x7F => {
                let rest = tail(input, index);
                let run = find(rest, |byte| byte >= 0x80 || byte == 0).unwrap_or(rest.len());
                out.extend_from_slice(head(rest, run));
                index += run;
            }
            0x80..=0xBF | 0xF8..=0xFF => {
                out.push(byte);
                index += 1;
            }
            _ => {
                if byte >= 0xF5 {
                    out.push(byte);
                }
                let Some((code, length)) = sequence(tail(input, index)) else {
                    changed |= byte < 0xF5;
                    index += 1;
                    continue;
                };
                changed = true;
                push_code(out, code);
                let is_surrogate = (0xD800..=0xDFFF).contains(&code);
                let is_overlong = code < [0, 0, 0x80, 0x800, 0x1_0000].get(length).copied().unwrap_or(0);
                // Four bytes for a surrogate are both.
                for _ in 0..u8::from(is_surrogate) + u8::from(is_overlong) {
                    out.push(byte);
                }
                index += length;
            }
        }
    }
    changed
}

/// ModSecurity 2 reports a change only for a sequence, not for bytes that disappeared.
pub(super) fn reports_change(input: &[u8]) -> bool {
    let mut index = 0;
    while let Some(next) = find(tail(input, index), |byte| (0xC0..0xF8).contains(&byte)) {
        index += next;
        if sequence(tail(input, index)).is_some() {
            return true;
        }
        index += 1;
    }
    false
}
