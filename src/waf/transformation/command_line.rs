//! `cmdLine`.
//!
//! **Meaning.** Undoes what shells undo: `"`, `'`, `\` and `^` disappear; white space, `,` and `;` become one space; a
//! space before `/` or `(` disappears; letters become lower case. The value ends at the first `NUL`.
//! **Example.** `C^OMMAND /C DIR` becomes `command/c dir`.
//! *Difference from libmodsecurity 3:* that one does not stop at `NUL`.

use super::bytes::{find, head, tail};

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
    let alone = find(input, matters);
    // A space followed by a space, '/' or '(' changes as well.
    let upto = head(input, alone.unwrap_or(input.len()));
    let pair =
        memchr::memchr_iter(b' ', upto).find(|&index| matches!(super::bytes::at(input, index + 1), b' ' | b'/' | b'('));
    pair.or(alone)
}

/// See the file's page.
pub(super) fn normalise(input: &[u8], out: &mut Vec<u8>) -> bool {
    let Some(first) = first_change(input) else { return false };
    out.extend_from_slice(head(input, first));
    let mut after_space = out.last() == Some(&b' ');
    let rest = tail(input, first);
    let rest = head(rest, memchr::memchr(0, rest).unwrap_or(rest.len()));
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
    // A removed byte may be made up for by nothing, so the result differs: except for "," alone becoming " " and
    // the like, where it differs too.
    true
}
