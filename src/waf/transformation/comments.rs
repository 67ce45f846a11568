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

/// The first `/*`. Slashes are common in paths, so the search is for the star.
fn opening(text: &[u8]) -> Option<usize> {
    memchr::memchr_iter(b'*', text).filter_map(|star| star.checked_sub(1)).find(|&slash| at(text, slash) == b'/')
}

/// Whether there is a mark at all: each has a star, a number sign or two dashes in it.
fn has_mark(input: &[u8]) -> bool {
    memchr::memchr3_iter(b'*', b'#', b'-', input).any(|index| match at(input, index) {
        b'*' => at(input, index + 1) == b'/' || (index > 0 && at(input, index - 1) == b'/'),
        b'-' => at(input, index + 1) == b'-',
        _ => true,
    })
}

/// See the file's page.
pub(super) fn remove_marks(input: &[u8], out: &mut Vec<u8>) -> bool {
    if !has_mark(input) {
        return false;
    }
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
    let Some(first) = opening(input) else { return false };
    out.extend_from_slice(head(input, first));
    let mut rest = tail(input, first);
    loop {
        // `rest` begins with "/*".
        out.push(b' ');
        let body = tail(rest, 2);
        let Some(end) = memchr::memmem::find(body, b"*/") else { return true };
        rest = tail(body, end + 2);
        let Some(next) = opening(rest) else { break };
        out.extend_from_slice(head(rest, next));
        rest = tail(rest, next);
    }
    out.extend_from_slice(rest);
    true
}

#[cfg(test)]
mod tests {
    use super::super::tests::all_texts;
    use super::*;

    /// As ModSecurity writes it: byte by byte.
    fn replace_slowly(input: &[u8]) -> Vec<u8> {
        let (mut out, mut inside, mut index) = (Vec::new(), false, 0);
        while index < input.len() {
            let rest = &input[index..];
            if !inside && rest.starts_with(b"/*") {
                (inside, index) = (true, index + 2);
            } else if inside && rest.starts_with(b"*/") {
                (inside, index) = (false, index + 2);
                out.push(b' ');
            } else {
                if !inside {
                    out.push(rest[0]);
                }
                index += 1;
            }
        }
        if inside {
            out.push(b' ');
        }
        out
    }

    #[test]
    fn searching_finds_what_walking_finds() {
        for text in all_texts(b"/*ab", 7) {
            let mut out = Vec::new();
            let found = if replace(&text, &mut out) { &out } else { &text };
            assert_eq!(*found, replace_slowly(&text), "{}", text.escape_ascii());
        }
        for text in all_texts(b"/*<!->#", 5) {
            let marks = (0..text.len()).any(|index| mark(&text[index..]).is_some());
            assert_eq!(has_mark(&text), marks, "{}", text.escape_ascii());
        }
    }
}
