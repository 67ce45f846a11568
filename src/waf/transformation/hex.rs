//! `hexDecode`, `hexEncode`, `sqlHexDecode`.
//!
//! **Meaning.** `hexEncode` writes two lower-case digits per byte; `hexDecode` reads them back, a last odd digit is
//! dropped, other characters give what ModSecurity's arithmetic gives; `sqlHexDecode` replaces `0x414243` by `ABC`
//! wherever it stands.
//! *Quirks kept from ModSecurity 2:* `sqlHexDecode` ends at the first `NUL`, also at one that it decoded, and copies the
//! byte after a number without looking at it. *libmodsecurity 3* does neither stop.

use super::bytes::{at, digits, head, hex_pair, push_hex, tail};

/// Pairs of digits to bytes.
pub(super) fn decode(input: &[u8], out: &mut Vec<u8>) -> bool {
    out.extend(input.chunks_exact(2).map(|pair| digits(at(pair, 0), at(pair, 1))));
    !input.is_empty()
}

/// Bytes to pairs of digits.
pub(super) fn encode(input: &[u8], out: &mut Vec<u8>) -> bool {
    out.reserve(input.len() * 2);
    for &byte in input {
        push_hex(out, byte);
    }
    !input.is_empty()
}

/// See the file's page.
pub(super) fn decode_sql(input: &[u8], out: &mut Vec<u8>) -> bool {
    let text = head(input, memchr::memchr(0, input).unwrap_or(input.len()));
    let first = memchr::memchr_iter(b'0', text).find(|&index| number(text, index));
    let Some(first) = first else {
        out.extend_from_slice(text);
        return text.len() != input.len();
    };
    out.extend_from_slice(head(text, first));
    let mut index = first;
    while index < text.len() {
        if number(text, index) {
            index += 2;
            while let Some(byte) = hex_pair(text, index) {
                out.push(byte);
                index += 2;
            }
        }
        if let Some(&byte) = tail(text, index).first() {
            out.push(byte);
        }
        index += 1;
    }
    out.truncate(memchr::memchr(0, out).unwrap_or(out.len()));
    true
}

/// Whether `0x` and two digits stand at `index`.
fn number(text: &[u8], index: usize) -> bool {
    at(text, index) == b'0' && matches!(at(text, index + 1), b'x' | b'X') && hex_pair(text, index + 2).is_some()
}
