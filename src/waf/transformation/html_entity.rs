//! `htmlEntityDecode`.
//!
//! **Meaning.** `&#NN;`, `&#xHH;`, `&quot;`, `&amp;`, `&lt;`, `&gt;`, `&nbsp;` (byte 0xA0), with or without the
//! semicolon, in any case. A number keeps its low byte. Everything else stays.
//! **Example.** `&#x3c;script&gt` becomes `<script>`.
//! *Difference from libmodsecurity 3:* none for these entities.

use super::bytes::{NBSP, at, between, head, tail};

/// See the file's page.
pub(super) fn decode(input: &[u8], out: &mut Vec<u8>) -> bool {
    let Some(first) = memchr::memchr(b'&', input) else { return false };
    out.extend_from_slice(head(input, first));
    let mut index = first;
    while index < input.len() {
        let run = memchr::memchr(b'&', tail(input, index)).unwrap_or(input.len() - index);
        out.extend_from_slice(between(input, index, index + run));
        index += run;
        match entity(tail(input, index)) {
            Some((byte, length)) => {
                out.push(byte);
                index += length;
                if at(input, index) == b';' {
                    index += 1;
                }
            }
            None => {
                out.extend(tail(input, index).first());
                index += 1;
            }
        }
    }
    // Every entity is longer than its byte.
    out.len() != input.len()
}

/// The entity at the beginning of `text`: its byte and its length without semicolon.
fn entity(text: &[u8]) -> Option<(u8, usize)> {
    match *text {
        [b'&', b'#', b'x' | b'X', ref digits @ ..] => {
            let length = digits.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
            (length > 0).then(|| (number(head(digits, length), 16), 3 + length))
        }
        [b'&', b'#', ref digits @ ..] => {
            let length = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
            (length > 0).then(|| (number(head(digits, length), 10), 2 + length))
        }
        [b'&', ref name @ ..] => {
            // No name is longer than four, so a fifth letter is enough to know better.
            let length = head(name, 5).iter().take_while(|byte| byte.is_ascii_alphanumeric()).count();
            let name = head(name, length);
            let byte = [(&b"quot"[..], b'"'), (b"amp", b'&'), (b"lt", b'<'), (b"gt", b'>'), (b"nbsp", NBSP)]
                .iter()
                .find(|(known, _)| name.eq_ignore_ascii_case(known))?
                .1;
            Some((byte, 1 + length))
        }
        _ => None,
    }
}

/// Low byte of the number, which is C's `strtol`: too large is the largest.
fn number(digits: &[u8], radix: u64) -> u8 {
    let value = digits.iter().fold(0_u64, |value, byte| {
        let digit = (*byte as char).to_digit(16).unwrap_or(0);
        value.saturating_mul(radix).saturating_add(u64::from(digit))
    });
    (value.min(i64::MAX.unsigned_abs()) & 0xFF) as u8
}
