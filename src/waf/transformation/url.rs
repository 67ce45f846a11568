//! `urlDecode`, `urlDecodeUni`, `urlEncode`.
//!
//! **Meaning.** Decoding: `%HH` is a byte, `+` a space, anything malformed stays as it is. Uni also knows `%uHHHH`:
//! mapped to one byte by the best-fit map, else the low byte (full-width ASCII folds to ASCII). Encoding leaves
//! letters, digits and `*`, makes a space `+` and everything else `%hh`.
//! **Example.** `%u0053ELECT+%31` with Uni becomes `SELECT 1`.
//! *Difference from libmodsecurity 3:* from 3.0.6 it puts `x` for a code without mapping; this takes the low byte, as
//! ModSecurity 2 does.

use super::bytes::{at, between, digits, find, head, hex_pair, narrow, push_hex, tail};
use super::unicode_map::UnicodeMap;

/// `%HH` and `+`.
pub(super) fn decode(input: &[u8], out: &mut Vec<u8>) -> bool {
    decode_with(input, out, |_| None)
}

/// `%HH`, `%uHHHH` and `+`.
pub(super) fn decode_unicode(input: &[u8], out: &mut Vec<u8>, map: Option<&UnicodeMap>) -> bool {
    decode_with(input, out, |text| match *text {
        [b'u' | b'U', a, b, c, d, ..] if [a, b, c, d].iter().all(u8::is_ascii_hexdigit) => {
            let code = u16::from_be_bytes([digits(a, b), digits(c, d)]);
            let mapped = map.and_then(|map| map.byte(code));
            Some((mapped.unwrap_or_else(|| narrow(digits(c, d), (a, b))), 5))
        }
        _ => None,
    })
}

/// `unicode` gets what stands behind the percent sign, and says which byte it is and how long.
#[inline]
fn decode_with(input: &[u8], out: &mut Vec<u8>, unicode: impl Fn(&[u8]) -> Option<(u8, usize)>) -> bool {
    let Some(first) = memchr::memchr2(b'%', b'+', input) else { return false };
    out.extend_from_slice(head(input, first));
    let mut changed = false;
    let mut index = first;
    while index < input.len() {
        match at(input, index) {
            b'+' => {
                out.push(b' ');
                changed = true;
                index += 1;
            }
            b'%' => {
                let decoded = hex_pair(input, index + 1).map(|byte| (byte, 2));
                let decoded = decoded.or_else(|| unicode(tail(input, index + 1)));
                let (byte, length) = decoded.unwrap_or((b'%', 0));
                out.push(byte);
                changed |= decoded.is_some();
                index += 1 + length;
            }
            _ => {
                let run = memchr::memchr2(b'%', b'+', tail(input, index)).unwrap_or(input.len() - index);
                out.extend_from_slice(between(input, index, index + run));
                index += run;
            }
        }
    }
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
