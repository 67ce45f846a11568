//! `removeComments`, `removeCommentsChar`, `replaceComments`.
//!
//! **Meaning.** `removeComments` takes out `/* */` and `<!-- -->` with what is inside, and cuts the value at `--` or
//! `#`; `removeCommentsChar` takes out only the marks; `replaceComments` puts one space for each `/* */`. A comment
//! that is not closed is one space.
//! **Example.** `a/*x*/b` becomes `ab`, `axb`, `a b`.
//! *Quirk kept from ModSecurity 2 and 3:* `removeComments` copies the byte after a closing mark without looking at it,
//! and at the end of the value that byte is the terminating `NUL`.

use super::bytes::{at, find, head, tail};

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
    let mut changed = false;
    let mut rest = input;
    while let Some(first) = find(rest, matters) {
        out.extend_from_slice(head(rest, first));
        rest = tail(rest, first);
        if let Some(length) = mark(rest) {
            changed = true;
            rest = tail(rest, length);
        } else {
            out.push(at(rest, 0));
            rest = tail(rest, 1);
        }
    }
    out.extend_from_slice(rest);
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
