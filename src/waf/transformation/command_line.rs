//! `cmdLine`.
//!
//! **Meaning.** Undoes what shells undo: `"`, `'`, `\` and `^` disappear; white space, `,` and `;` become one space; a
//! space before `/` or `(` disappears; letters become lower case. The value ends at the first `NUL`.
//! **Example.** `C^OMMAND /C DIR` becomes `command/c dir`.
//! *Difference from libmodsecurity 3:* that one does not stop at `NUL`.

use super::bytes::{head, tail};
use super::marks;
use crate::waf::byte_tables::ByteTables;

/// What [`matters`].
static ALONE: ByteTables = ByteTables::of(b"\0\"'\\^,;\t\r\nABCDEFGHIJKLMNOPQRSTUVWXYZ");
static REMOVED: ByteTables = ByteTables::of(b"\"'\\^");
static SPACE: ByteTables = ByteTables::of(b" ,;\t\r\n");
/// A space before one of these is not the last one, or goes as well.
static BEHIND_SPACE: ByteTables = ByteTables::of(b" ,;\t\r\n/(");

/// Bytes that can change the result on their own; a space does only in company, see [`first_change`].
const fn matters(byte: u8) -> bool {
    byte.is_ascii_uppercase() | matches!(byte, 0 | b'"' | b'\'' | b'\\' | b'^' | b',' | b';' | b'\t' | b'\r' | b'\n')
}

const fn is_removed(byte: u8) -> bool {
    matches!(byte, b'"' | b'\'' | b'\\' | b'^')
}

const fn becomes_space(byte: u8) -> bool {
    matches!(byte, b' ' | b',' | b';' | b'\t' | b'\r' | b'\n')
}

/// Length of the longest prefix that certainly stays as it is.
fn first_change(input: &[u8]) -> Option<usize> {
    let alone = marks::find(&ALONE, input, matters);
    // A space followed by a space, '/' or '(' changes as well.
    let upto = head(input, alone.unwrap_or(input.len()));
    let pair =
        memchr::memchr_iter(b' ', upto).find(|&index| matches!(super::bytes::at(input, index + 1), b' ' | b'/' | b'('));
    pair.or(alone)
}

/// See the file's page.
pub(super) fn normalise(input: &[u8], out: &mut Vec<u8>) -> bool {
    let Some(first) = first_change(input) else { return false };
    let end = memchr::memchr(0, tail(input, first)).map_or(input.len(), |length| first + length);
    let input = head(input, end);
    if marks::are_worth_while(input.len() - first) {
        normalise_marked(input, first, out);
    } else {
        normalise_plainly(input, first, out);
    }
    // A removed byte may be made up for by nothing, so the result differs: except for "," alone becoming " " and
    // the like, where it differs too.
    true
}

/// From the first byte on that changes.
#[inline(never)]
fn normalise_marked(input: &[u8], first: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(input);
    // The space in front may be one that goes.
    let start = if head(input, first).last() == Some(&b' ') { first - 1 } else { first };
    marks::retain(out, start, [&REMOVED], |[removed], _| !removed);
    marks::retain(out, start, [&SPACE, &BEHIND_SPACE], |[space, behind], next| {
        let goes_with_next = becomes_space(next) || matches!(next, b'/' | b'(');
        !(space & (behind >> 1 | u64::from(goes_with_next) << 63))
    });
    for byte in out.iter_mut().skip(start) {
        let is_mark = (*byte == b',') | (*byte == b';') | (*byte == b'\t') | (*byte == b'\r') | (*byte == b'\n');
        *byte = if is_mark { b' ' } else { byte.to_ascii_lowercase() };
    }
}

/// From the first byte on that changes.
fn normalise_plainly(input: &[u8], first: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(head(input, first));
    let mut after_space = out.last() == Some(&b' ');
    let rest = tail(input, first);
    let start = out.len();
    out.resize(start + rest.len(), 0);
    let mut end = start;
    for &byte in rest {
        let (is_space, is_removed) = (becomes_space(byte), is_removed(byte));
        if after_space && matches!(byte, b'/' | b'(') {
            end -= 1;
        }
        if let Some(slot) = out.get_mut(end) {
            *slot = if is_space { b' ' } else { byte.to_ascii_lowercase() };
        }
        end += usize::from(!is_removed & !(is_space & after_space));
        after_space = is_space | (is_removed & after_space);
    }
    out.truncate(end);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_give_the_same() {
        let parts: &[&[u8]] = &[
            b" ", b"  ", b" /", b" (", b"/", b"(", b"\"", b"'", b"\\", b"^", b",", b";", b"\t", b"\r\n", b" ^ '/",
            b"A", b"Z", b"\"\"", b",;", b" \"(", b"[", b"@",
        ];
        marks::tests::compare(parts, first_change, normalise_plainly, normalise_marked, |()| true);
        for byte in 0..=u8::MAX {
            let value = [[b'a'; 99].as_slice(), &[byte], &[b'a'; 30]].concat();
            assert_eq!(marks::find(&ALONE, &value, matters), matters(byte).then_some(99), "{byte}");
            let goes = |set| marks::Marks::new(set, &value, 0).next(0).is_some();
            if marks::are_worth_while(value.len()) {
                assert_eq!(goes(&REMOVED), is_removed(byte), "{byte}");
                assert_eq!(goes(&SPACE), becomes_space(byte), "{byte}");
                assert_eq!(goes(&BEHIND_SPACE), becomes_space(byte) || matches!(byte, b'/' | b'('), "{byte}");
            }
        }
    }
}
