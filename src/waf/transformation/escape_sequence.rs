//! `escapeSeqDecode`.
//!
//! **Meaning.** ANSI C escapes: `\a \b \f \n \r \t \v \\ \? \' \" \xHH \OOO`. From any other escape only the backslash
//! is taken. An octal number beyond 255 keeps its low byte.
//! **Example.** `\x41\102` becomes `AB`.
//! *Difference from libmodsecurity 3:* none.

use super::bytes::{at, between, head, hex_pair, is_octal, tail};

/// The control character of a one-letter escape, shared with `jsDecode`.
pub(super) const fn control(letter: u8) -> Option<u8> {
    match letter {
        b'a' => Some(7),
        b'b' => Some(8),
        b'f' => Some(12),
        b'n' => Some(b'\n'),
        b'r' => Some(b'\r'),
        b't' => Some(b'\t'),
        b'v' => Some(11),
        _ => None,
    }
}

/// Value and number of up to three octal digits at the beginning of `text`.
pub(super) fn octal(text: &[u8]) -> Option<(u16, usize)> {
    let length = head(text, 3).iter().take_while(|&&byte| is_octal(byte)).count();
    let value = head(text, length).iter().fold(0, |value, byte| value * 8 + u16::from(byte - b'0'));
    (length > 0).then_some((value, length))
}

/// See the file's page.
pub(super) fn decode(input: &[u8], out: &mut Vec<u8>) -> bool {
    let Some(first) = memchr::memchr(b'\\', input) else { return false };
    out.extend_from_slice(head(input, first));
    let mut index = first;
    while index < input.len() {
        let run = memchr::memchr(b'\\', tail(input, index)).unwrap_or(input.len() - index);
        out.extend_from_slice(between(input, index, index + run));
        index += run;
        if index >= input.len() {
            break;
        }
        if index + 1 == input.len() {
            out.push(b'\\');
            break;
        }
        let letter = at(input, index + 1);
        let hex = if matches!(letter, b'x' | b'X') { hex_pair(input, index + 2) } else { None };
        if let Some(byte) = control(letter) {
            out.push(byte);
            index += 2;
        } else if let Some(byte) = hex {
            out.push(byte);
            index += 4;
        } else if let Some((value, length)) = octal(tail(input, index + 1)) {
            out.push((value & 0xFF) as u8);
            index += 1 + length;
        } else {
            out.push(letter);
            index += 2;
        }
    }
    // Every escape shortens.
    out.len() != input.len()
}
