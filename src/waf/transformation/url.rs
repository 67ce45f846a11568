//! `urlDecode`, `urlDecodeUni`, `urlEncode`.
//!
//! **Meaning.** Decoding: `%HH` is a byte, `+` a space, anything malformed stays as it is. Uni also knows `%uHHHH`:
//! mapped to one byte by the best-fit map, else the low byte (full-width ASCII folds to ASCII). Encoding leaves
//! letters, digits and `*`, makes a space `+` and everything else `%hh`.
//! **Example.** `%u0053ELECT+%31` with Uni becomes `SELECT 1`.
//! *Difference from libmodsecurity 3:* from 3.0.6 it puts `x` for a code without mapping; this takes the low byte, as
//! ModSecurity 2 does.

use super::bytes::{at, find, head, hex_code, hex_pair, narrow, push_hex, tail};
use super::marks::{self, Marks, push_run};
use super::unicode_map::UnicodeMap;
use crate::waf::byte_tables::ByteTables;

static ESCAPES: ByteTables = ByteTables::of(b"%+");

/// `%HH` and `+`.
pub(super) fn decode(input: &[u8], out: &mut Vec<u8>) -> bool {
    decode_with(input, out, |_| None)
}

/// `%HH`, `%uHHHH` and `+`.
pub(super) fn decode_unicode(input: &[u8], out: &mut Vec<u8>, map: Option<&UnicodeMap>) -> bool {
    decode_with(input, out, |text| match text {
        [b'u' | b'U', rest @ ..] => {
            let digits = rest.first_chunk()?;
            let code = hex_code(digits)?;
            let [a, b, ..] = *digits;
            let unmapped = narrow((code & 0xFF) as u8, (a, b));
            Some((map.and_then(|map| map.byte(code)).unwrap_or(unmapped), 5))
        }
        _ => None,
    })
}

/// `unicode` gets what stands behind the percent sign, and says which byte it is and how long.
#[inline]
fn decode_with(input: &[u8], out: &mut Vec<u8>, unicode: impl Fn(&[u8]) -> Option<(u8, usize)>) -> bool {
    let Some(first) = memchr::memchr2(b'%', b'+', input) else { return false };
    if marks::are_worth_while(input.len() - first) {
        decode_marked(input, out, first, unicode)
    } else {
        decode_from(input, out, first, unicode, |from| match input.get(from)? {
            b'%' | b'+' => Some(from),
            _ => Some(from + memchr::memchr2(b'%', b'+', tail(input, from))?),
        })
    }
}

#[inline(never)]
fn decode_marked(
    input: &[u8],
    out: &mut Vec<u8>,
    first: usize,
    unicode: impl Fn(&[u8]) -> Option<(u8, usize)>,
) -> bool {
    let mut marks = Marks::new(&ESCAPES, input, first);
    decode_from(input, out, first, unicode, |from| marks.next(from))
}

/// From the first escape on; `next` finds further ones.
#[inline]
fn decode_from(
    input: &[u8],
    out: &mut Vec<u8>,
    first: usize,
    unicode: impl Fn(&[u8]) -> Option<(u8, usize)>,
    mut next: impl FnMut(usize) -> Option<usize>,
) -> bool {
    let mut changed = false;
    let mut start = 0;
    let mut found = Some(first);
    while let Some(index) = found {
        push_run(out, input, start, index);
        let decoded = if at(input, index) == b'+' {
            Some((b' ', 0))
        } else {
            // No hexadecimal digit is a `u`.
            let decoded = unicode(tail(input, index + 1));
            decoded.or_else(|| hex_pair(input, index + 1).map(|byte| (byte, 2)))
        };
        changed |= decoded.is_some();
        let (byte, length) = decoded.unwrap_or((b'%', 0));
        out.push(byte);
        start = index + 1 + length;
        found = next(start);
    }
    out.extend_from_slice(tail(input, start));
    changed
}

/// See the file's page.
pub(super) fn encode(input: &[u8], out: &mut Vec<u8>) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'*';
    let Some(first) = find(input, |byte| !is_plain(byte)) else { return false };
    out.extend_from_slice(head(input, first));
    for &byte in tail(input, first) {
        if is_plain(byte) {
            out.push(byte);
        } else if byte == b' ' {
            out.push(b'+');
        } else {
            out.push(b'%');
            push_hex(out, byte);
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::waf::transformation::bytes::digits;

    const PARTS: &[&[u8]] = &[
        b"%", b"+", b"%20", b"%2", b"%g0", b"%u0041", b"%u2018", b"%uff1c", b"%UFF5f", b"%u004", b"%%41", b"%u00g1",
        b"++", b"%u4e2d", b"%7F", b"%aF",
    ];

    #[test]
    fn both_ways_give_the_same() {
        let map = UnicodeMap::us_ascii();
        for map in [None, Some(&*map)] {
            let wanted = |text: &[u8]| match *text {
                [b'u' | b'U', a, b, c, d, ..] if [a, b, c, d].iter().all(u8::is_ascii_hexdigit) => {
                    let code = u16::from_be_bytes([digits(a, b), digits(c, d)]);
                    let mapped = map.and_then(|map| map.byte(code));
                    Some((mapped.unwrap_or_else(|| narrow(digits(c, d), (a, b))), 5))
                }
                _ => None,
            };
            for value in marks::tests::values(PARTS) {
                let (mut out, mut expected) = (Vec::new(), Vec::new());
                let changed = decode_unicode(&value, &mut out, map);
                assert_eq!(changed, decode_plainly(&value, &mut expected, wanted), "{}", value.escape_ascii());
                assert!(!changed || out == expected, "{}", value.escape_ascii());
                (out, expected) = (Vec::new(), Vec::new());
                let changed = decode(&value, &mut out);
                assert_eq!(changed, decode_plainly(&value, &mut expected, |_| None), "{}", value.escape_ascii());
                assert!(!changed || out == expected, "{}", value.escape_ascii());
            }
        }
    }

    /// Byte by byte.
    fn decode_plainly(input: &[u8], out: &mut Vec<u8>, unicode: impl Fn(&[u8]) -> Option<(u8, usize)>) -> bool {
        let (mut index, mut changed) = (0, false);
        while index < input.len() {
            let decoded = match at(input, index) {
                b'+' => Some((b' ', 0)),
                b'%' => hex_pair(input, index + 1).map(|byte| (byte, 2)).or_else(|| unicode(tail(input, index + 1))),
                _ => None,
            };
            changed |= decoded.is_some();
            let (byte, length) = decoded.unwrap_or_else(|| (at(input, index), 0));
            out.push(byte);
            index += 1 + length;
        }
        changed
    }
}
