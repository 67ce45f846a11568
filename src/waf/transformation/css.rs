//! `cssDecode`.
//!
//! **Meaning.** CSS 2 escapes: a backslash and one to six hexadecimal digits are one byte (the last two digits; full
//! width ASCII folds to ASCII), one white-space character after them goes; a backslash before a newline goes with it;
//! before anything else only the backslash goes.
//! **Example.** `j\061vascript` becomes `javascript`.
//! *Difference from libmodsecurity 3:* none known that matters here.

use super::bytes::{at, between, digit, digits, head, is_space, narrow, tail};

/// See the file's page.
pub(super) fn decode(input: &[u8], out: &mut Vec<u8>) -> bool {
    let Some(first) = memchr::memchr(b'\\', input) else { return false };
    out.extend_from_slice(head(input, first));
    let mut index = first;
    while index < input.len() {
        if at(input, index) != b'\\' {
            let run = memchr::memchr(b'\\', tail(input, index)).unwrap_or(input.len() - index);
            out.extend_from_slice(between(input, index, index + run));
            index += run;
            continue;
        }
        index += 1;
        let length = between(input, index, index + 6).iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        if length > 0 {
            out.push(escape(between(input, index, index + length)));
            index += length;
            if index < input.len() && is_space(at(input, index)) {
                index += 1;
            }
        } else if index < input.len() {
            if at(input, index) != b'\n' {
                out.push(at(input, index));
            }
            index += 1;
        }
    }
    // The first backslash is gone.
    true
}

/// One to six hexadecimal digits as one byte. Five and six digits are looked at for full width only with leading
/// zeros.
fn escape(text: &[u8]) -> u8 {
    match *text {
        [low] => digit(low),
        [.., a, b, high, low] if text.iter().rev().skip(4).all(|&byte| byte == b'0') => {
            narrow(digits(high, low), (a, b))
        }
        [.., high, low] => digits(high, low),
        [] => 0,
    }
}
