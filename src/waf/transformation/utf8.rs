//! `utf8toUnicode`.
//!
//! **Meaning.** A UTF-8 sequence becomes `%uHHHH` (at least four lower-case digits), which `urlDecodeUni` understands.
//! **Example.** the two bytes of `é` become `%u00e9`.
//! *Quirks kept from ModSecurity 2:* a lead byte without its continuation disappears, and so does a `NUL`; a stray
//! continuation byte stays; behind an overlong sequence, a surrogate or a lead byte above 0xF4 that lead byte appears
//! once more. *libmodsecurity 3* keeps malformed bytes.

use super::bytes::{at, find, hex_digit, tail};
use super::marks::{self, Marks, push_run};
use crate::waf::byte_tables::ByteTables;

/// What is not copied as it is.
static MARKS: ByteTables = ByteTables::of(b"\0").and_range(0xC0, 0xF7);

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

/// Four digits.
#[inline]
fn push_short_code(out: &mut Vec<u8>, code: u16) {
    let digit = |place: u16| hex_digit((code >> place & 0x0F) as u8);
    out.extend_from_slice(&[b'%', b'u', digit(12), digit(8), digit(4), digit(0)]);
}

/// NUL and lead bytes; others stay, also those that have no place.
const fn matters(byte: u8) -> bool {
    byte == 0 || (0xC0 <= byte && byte <= 0xF7)
}

/// See the file's page.
pub(super) fn to_unicode(input: &[u8], out: &mut Vec<u8>) -> bool {
    // Which is found faster than what matters, and mostly is that.
    let Some(first) = find(input, |byte| byte >= 0x80 || byte == 0) else { return false };
    if marks::are_worth_while(input.len() - first) {
        convert_marked(input, out, first)
    } else {
        let next = |from| Some(from + find(tail(input, from), matters)?);
        convert(input, out, next(first), next)
    }
}

#[inline(never)]
fn convert_marked(input: &[u8], out: &mut Vec<u8>, start: usize) -> bool {
    let mut marks = Marks::new(&MARKS, input, start);
    let first = marks.next(start);
    convert(input, out, first, |from| marks.next(from))
}

/// From the first byte on that matters; `next` finds further ones.
#[inline]
fn convert(
    input: &[u8],
    out: &mut Vec<u8>,
    first: Option<usize>,
    mut next: impl FnMut(usize) -> Option<usize>,
) -> bool {
    let mut changed = false;
    let mut start = 0;
    let mut found = first;
    while let Some(index) = found {
        push_run(out, input, start, index);
        let text = tail(input, index);
        let length = match *text {
            // Of these each has its two bytes.
            [lead @ 0xC2..=0xDF, byte @ 0x80..=0xBF, ..] => {
                push_short_code(out, u16::from(lead & 0x1F) << 6 | u16::from(byte & 0x3F));
                changed = true;
                2
            }
            // And of these three, and none is a surrogate.
            [lead @ (0xE1..=0xEC | 0xEE | 0xEF), byte @ 0x80..=0xBF, last @ 0x80..=0xBF, ..] => {
                let code = u16::from(lead & 0x0F) << 12 | u16::from(byte & 0x3F) << 6 | u16::from(last & 0x3F);
                push_short_code(out, code);
                changed = true;
                3
            }
            _ => {
                let (length, is_changed) = convert_other(text, out);
                changed |= is_changed;
                length
            }
        };
        start = index + length;
        found = next(start);
    }
    out.extend_from_slice(tail(input, start));
    changed
}

/// What is at the beginning of `text`: how long it was, and whether it is something else now.
fn convert_other(text: &[u8], out: &mut Vec<u8>) -> (usize, bool) {
    let byte = at(text, 0);
    if byte == 0 {
        return (1, true);
    }
    if byte >= 0xF5 {
        out.push(byte);
    }
    let Some((code, length)) = sequence(text) else { return (1, byte < 0xF5) };
    push_code(out, code);
    let is_surrogate = (0xD800..=0xDFFF).contains(&code);
    let is_overlong = code < [0, 0, 0x80, 0x800, 0x1_0000].get(length).copied().unwrap_or(0);
    // Four bytes for a surrogate are both.
    for _ in 0..u8::from(is_surrogate) + u8::from(is_overlong) {
        out.push(byte);
    }
    (length, true)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_give_the_same() {
        let parts: &[&[u8]] = &[
            b"\0",
            b"\xc2\x80",
            b"\xdf\xbf",
            b"\xc0\x80",
            b"\xc1\xbf",
            b"\xe0\x80\x80",
            b"\xe0\xa0\x80",
            b"\xed\xa0\x80",
            b"\xed\x9f\xbf",
            b"\xe4\xb8\xad",
            b"\xef\xbf\xbf",
            b"\xf0\x80\x80\x80",
            b"\xf0\x8d\xa0\x80",
            b"\xf0\x9f\x98\x80",
            b"\xf4\x90\x80\x80",
            b"\xf5\x80\x80\x80",
            b"\xf7\xbf\xbf\xbf",
            b"\xf8",
            b"\xff",
            b"\x80",
            b"\xbf",
            b"\xc3",
            b"\xe4",
            b"\xe4\xb8",
            b"\xf0\x9f\x98",
            b"\xf7",
        ];
        for value in marks::tests::values(parts) {
            let (mut out, mut expected) = (Vec::new(), Vec::new());
            let changed = to_unicode(&value, &mut out);
            assert_eq!(changed, convert_plainly(&value, &mut expected), "{}", value.escape_ascii());
            assert!(!changed || out == expected, "{}", value.escape_ascii());
        }
    }

    /// Byte by byte.
    fn convert_plainly(input: &[u8], out: &mut Vec<u8>) -> bool {
        let (mut changed, mut index) = (false, 0);
        while index < input.len() {
            let byte = at(input, index);
            if byte != 0 && byte < 0xC0 || byte > 0xF7 {
                out.push(byte);
                index += 1;
            } else {
                let (length, is_changed) = convert_other(tail(input, index), out);
                changed |= is_changed;
                index += length;
            }
        }
        changed
    }
}
