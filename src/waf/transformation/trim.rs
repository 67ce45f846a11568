//! `trim`, `trimLeft`, `trimRight`.
//!
//! **Meaning.** White space (C `isspace`) at the ends goes. *Difference from ModSecurity:* none.

use super::bytes::{head, is_space, tail};

fn write(input: &[u8], out: &mut Vec<u8>, rest: &[u8]) -> bool {
    let changed = rest.len() != input.len();
    if changed {
        out.extend_from_slice(rest);
    }
    changed
}

fn without_start(input: &[u8]) -> &[u8] {
    tail(input, input.iter().take_while(|&&byte| is_space(byte)).count())
}

fn without_end(input: &[u8]) -> &[u8] {
    head(input, input.len() - input.iter().rev().take_while(|&&byte| is_space(byte)).count())
}

/// Both ends.
pub(super) fn both(input: &[u8], out: &mut Vec<u8>) -> bool {
    write(input, out, without_end(without_start(input)))
}

/// The beginning.
pub(super) fn left(input: &[u8], out: &mut Vec<u8>) -> bool {
    write(input, out, without_start(input))
}

/// The end.
pub(super) fn right(input: &[u8], out: &mut Vec<u8>) -> bool {
    write(input, out, without_end(input))
}
