//! `removeComments`, `removeCommentsChar`, `replaceComments`.
//!
//! **Meaning.** `removeComments` takes out `/* */` and `<!-- -->` with what is inside, and cuts the value at `--` or
//! `#`; `removeCommentsChar` takes out only the marks; `replaceComments` puts one space for each `/* */`. A comment
//! that is not closed is one space.
//! **Example.** `a/*x*/b` becomes `ab`, `axb`, `a b`.
//! *Quirk kept from ModSecurity 2 and 3:* `removeComments` copies the byte after a closing mark without looking at it,
//! and at the end of the value that byte is the terminating `NUL`.

use super::bytes::{at, find, head, tail};
use super::marks::{self, Marks, push_run};
use crate::waf::byte_tables::ByteTables;

static MARKS: ByteTables = ByteTables::of(b"/*<-#");

/// See the file's page.
pub(super) fn remove(input: &[u8], out: &mut Vec<u8>) -> bool {
    let Some(first) = find(input, |byte| matches!(byte, b'/' | b'<' | b'-' | b'#')) else { return false };
    out.extend_from_slice(head(input, first));
    let mut changed = false;
    let mut inside = false;
    let mut index = first;
    while index < input.len() {
        let rest = tail(input, index);
        if inside {
            let closing = if rest.starts_with(b"*/") {
                2
            } else if rest.starts_with(b"-->") {
                3
            } else {
                index += 1;
                continue;
            };
            inside = false;
            out.push(at(input, index + closing));
            index += closing + 1;
        } else if rest.starts_with(b"/*") {
            (changed, inside) = (true, true);
            index += 2;
        } else if rest.starts_with(b"<!--") {
            (changed, inside) = (true, true);
            index += 4;
        } else if rest.starts_with(b"--") || rest.starts_with(b"#") {
            changed = true;
            break;
        } else {
            out.push(at(input, index));
            index += 1;
        }
    }
    if inside {
        out.push(b' ');
    }
    changed
}

/// Length of the comment mark at the beginning of `rest`.
fn mark(rest: &[u8]) -> Option<usize> {
    match rest {
        [b'/', b'*', ..] | [b'*', b'/', ..] => Some(2),
        [b'<', b'!', b'-', b'-', ..] => Some(4),
        [b'-', b'-', b'>', ..] => Some(3),
        [b'-', b'-', ..] => Some(2),
        [b'#', ..] => Some(1),
        _ => None,
    }
}

/// See the file's page.
pub(super) fn remove_marks(input: &[u8], out: &mut Vec<u8>) -> bool {
    let matters = |byte| matches!(byte, b'/' | b'*' | b'<' | b'-' | b'#');
    let Some(first) = marks::find(&MARKS, input, matters) else { return false };
    if marks::are_worth_while(input.len() - first) {
        remove_marked(input, out, first)
    } else {
        remove_marks_with(input, out, first, |from| Some(from + find(tail(input, from), matters)?))
    }
}

#[inline(never)]
fn remove_marked(input: &[u8], out: &mut Vec<u8>, first: usize) -> bool {
    let mut marks = Marks::new(&MARKS, input, first);
    remove_marks_with(input, out, first, |from| marks.next(from))
}

/// From the first byte on that may be one; `next` finds further ones.
#[inline]
fn remove_marks_with(input: &[u8], out: &mut Vec<u8>, first: usize, next: impl FnMut(usize) -> Option<usize>) -> bool {
    let mut next = next;
    let mut changed = false;
    // What stays begins here.
    let mut start = 0;
    let mut found = Some(first);
    while let Some(index) = found {
        let length = mark(tail(input, index));
        if let Some(length) = length {
            push_run(out, input, start, index);
            changed = true;
            start = index + length;
        }
        found = next(index + length.unwrap_or(1));
    }
    if changed {
        out.extend_from_slice(tail(input, start));
    }
    changed
}

/// See the file's page.
pub(super) fn replace(input: &[u8], out: &mut Vec<u8>) -> bool {
    let Some(first) = memchr::memmem::find(input, b"/*") else { return false };
    out.extend_from_slice(head(input, first));
    let mut rest = tail(input, first);
    loop {
        // `rest` begins with "/*".
        out.push(b' ');
        let body = tail(rest, 2);
        let Some(end) = memchr::memmem::find(body, b"*/") else { return true };
        rest = tail(body, end + 2);
        let Some(next) = memchr::memmem::find(rest, b"/*") else { break };
        out.extend_from_slice(head(rest, next));
        rest = tail(rest, next);
    }
    out.extend_from_slice(rest);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_give_the_same() {
        let parts: &[&[u8]] = &[
            b"/", b"*", b"/*", b"*/", b"<!--", b"-->", b"--", b"-", b"#", b"<", b"!", b"/*/", b"---", b"<!-", b".",
            b"$",
        ];
        let matters = |byte| matches!(byte, b'/' | b'*' | b'<' | b'-' | b'#');
        marks::tests::compare(
            parts,
            |value| find(value, matters),
            |value, first, out| {
                remove_marks_with(value, out, first, |from| Some(from + find(tail(value, from), matters)?))
            },
            |value, first, out| remove_marked(value, out, first),
            |changed| *changed,
        );
        let parts: &[&[u8]] = &[b"/**/", b"x/"];
        for value in marks::tests::values(parts) {
            let mut out = Vec::new();
            let changed = remove_marks(&value, &mut out);
            assert_eq!(if changed { out } else { value.clone() }, without_marks(&value), "{}", value.escape_ascii());
        }
    }

    /// Byte by byte.
    fn without_marks(value: &[u8]) -> Vec<u8> {
        let (mut rest, mut out) = (value, Vec::new());
        while let Some((byte, behind)) = rest.split_first() {
            rest = match mark(rest) {
                Some(length) => &rest[length..],
                None => {
                    out.push(*byte);
                    behind
                }
            };
        }
        out
    }
}
