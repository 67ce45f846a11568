//! `compressWhitespace`, `removeWhitespace`.
//!
//! **Meaning.** Runs of white space (C `isspace`, and the no-break space 0xA0) become one space, or go.
//! **Example.** `a \t b` becomes `a b` or `ab`.
//! *Difference from libmodsecurity 3:* it does not count 0xA0 when compressing.

use super::bytes::{NBSP, extend_steps, find, head, is_space, tail};

const fn is_white(byte: u8) -> bool {
    is_space(byte) || byte == NBSP
}

/// One space for each run.
pub(super) fn compress(input: &[u8], out: &mut Vec<u8>) -> bool {
    let Some(white) = find(input, is_white) else { return false };
    // A lone space stays; look for the first run that does not.
    let mut before = false;
    let first = tail(input, white).iter().position(|&byte| {
        let changes = is_white(byte) && (before || byte != b' ');
        before = is_white(byte);
        changes
    });
    let Some(first) = first.map(|index| white + index) else { return false };
    out.extend_from_slice(head(input, first));
    let mut before = out.last() == Some(&b' ');
    extend_steps(out, tail(input, first), |byte| {
        let white = is_white(byte);
        let stays = !(white & before);
        before = white;
        (if white { b' ' } else { byte }, stays)
    });
    true
}

/// None is left.
pub(super) fn remove(input: &[u8], out: &mut Vec<u8>) -> bool {
    let Some(first) = find(input, is_white) else { return false };
    out.extend_from_slice(head(input, first));
    extend_steps(out, tail(input, first), |byte| (byte, !is_white(byte)));
    true
}
