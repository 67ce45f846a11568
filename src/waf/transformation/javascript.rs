//! `jsDecode`.
//!
//! **Meaning.** JavaScript escapes: `\uHHHH` (low byte; full-width ASCII folds to ASCII), `\xHH`, octal up to `\377`,
//! `\a \b \f \n \r \t \v`; from any other escape only the backslash is taken.
//! **Example.** `\x3cscript\u003e` becomes `<script>`.
//! *Difference from libmodsecurity 3:* none.

use super::bytes::{at, between, digits, head, hex_pair, narrow, tail};
use super::escape_sequence::{control, octal};

/// See the file's page.
pub(super) fn decode(input: &[u8], out: &mut Vec<u8>) -> bool {
    let Some(first) = memchr::memchr(b'\\', input) else { return false };
    out.extend_from_slice(head(input, first));
    let mut index = first;
    while index < input.len() {
        let run = memchr::memchr(b'\\', tail(input, index)).unwrap_or(input.len() - index);
        out.extend_from_slice(between(input, index, index + run));
        index += run;
        let (byte, length) = match *tail(input, index) {
            [b'\\', b'u', a, b, c, d, ..] if [a, b, c, d].iter().all(u8::is_ascii_hexdigit) => {
                (narrow(digits(c, d), (a, b)), 6)
            }
            [b'\\', b'x', ..] if hex_pair(input, index + 2).is_some() => {
                (digits(at(input, index + 2), at(input, index + 3)), 4)
            }
            [b'\\', letter, ..] => match octal(tail(input, index + 1)) {
                // Three digits only if they fit one byte.
                Some((value, 3)) if value > 0xFF => ((value >> 3) as u8, 3),
                Some((value, length)) => ((value & 0xFF) as u8, 1 + length),
                None => (control(letter).unwrap_or(letter), 2),
            },
            [backslash] => (backslash, 1),
            _ => break,
        };
        out.push(byte);
        index += length;
    }
    // Every escape shortens.
    out.len() != input.len()
}
