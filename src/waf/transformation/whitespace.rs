//! `compressWhitespace`, `removeWhitespace`.
//!
//! **Meaning.** Runs of white space (C `isspace`, and the no-break space 0xA0) become one space, or go.
//! **Example.** `a \t b` becomes `a b` or `ab`.
//! *Difference from libmodsecurity 3:* it does not count 0xA0 when compressing.

use super::bytes::{NBSP, extend_steps, find, head, is_space, tail};
use super::marks;
use crate::waf::byte_tables::ByteTables;

static WHITE: ByteTables = ByteTables::of(b" \t\n\x0b\x0c\r\xa0");
/// All but the space.
static OTHER_WHITE: ByteTables = ByteTables::of(b"\t\n\x0b\x0c\r\xa0");

const fn is_white(byte: u8) -> bool {
    is_space(byte) || byte == NBSP
}

/// One space for each run.
pub(super) fn compress(input: &[u8], out: &mut Vec<u8>) -> bool {
    let Some(first) = first_change(input) else { return false };
    if marks::are_worth_while(input.len() - first) {
        compress_marked(input, first, out);
    } else {
        compress_plainly(input, first, out);
    }
    true
}

/// A lone space stays; where is the first white space that does not?
fn first_change(input: &[u8]) -> Option<usize> {
    if marks::are_worth_while(input.len()) {
        let other = marks::find(&OTHER_WHITE, input, |byte| is_white(byte) && byte != b' ');
        let spaces = memchr::memmem::find(head(input, other.unwrap_or(input.len())), b"  ");
        return spaces.map(|index| index + 1).or(other);
    }
    first_change_plainly(input)
}

fn first_change_plainly(input: &[u8]) -> Option<usize> {
    let white = find(input, is_white)?;
    let mut before = false;
    let first = tail(input, white).iter().position(|&byte| {
        let changes = is_white(byte) && (before || byte != b' ');
        before = is_white(byte);
        changes
    });
    Some(white + first?)
}

/// From the first byte on that changes.
#[inline(never)]
fn compress_marked(input: &[u8], first: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(input);
    let mut before = u64::from(head(input, first).last() == Some(&b' '));
    marks::retain(out, first, [&WHITE], |[white], _| {
        let goes = white & (white << 1 | before);
        before = white >> 63;
        !goes
    });
    for byte in out.iter_mut().skip(first) {
        let is_white = (*byte == b' ') | (byte.wrapping_sub(b'\t') < 5) | (*byte == NBSP);
        *byte = if is_white { b' ' } else { *byte };
    }
}

/// From the first byte on that changes.
fn compress_plainly(input: &[u8], first: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(head(input, first));
    let mut before = out.last() == Some(&b' ');
    extend_steps(out, tail(input, first), |byte| {
        let white = is_white(byte);
        let stays = !(white & before);
        before = white;
        (if white { b' ' } else { byte }, stays)
    });
}

/// None is left.
pub(super) fn remove(input: &[u8], out: &mut Vec<u8>) -> bool {
    marks::remove(&WHITE, input, out, is_white)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARTS: &[&[u8]] =
        &[b" ", b"  ", b"\t", b"\n", b"\xa0", b" \x0c", b"\x0b", b"\r \r", b" a ", b"\x08", b"\x0e", b"!"];

    #[test]
    fn both_ways_give_the_same() {
        marks::tests::compare(PARTS, first_change_plainly, compress_plainly, compress_marked, |()| true);
        for value in marks::tests::values(PARTS) {
            assert_eq!(first_change(&value), first_change_plainly(&value), "{}", value.escape_ascii());
            let expected: Vec<u8> = value.iter().copied().filter(|byte| !is_white(*byte)).collect();
            let mut out = Vec::new();
            let is_changed = remove(&value, &mut out);
            assert_eq!(is_changed, expected.len() < value.len(), "{}", value.escape_ascii());
            assert!(!is_changed || out == expected, "{}", value.escape_ascii());
        }
    }
}
