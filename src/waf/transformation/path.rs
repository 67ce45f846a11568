//! `normalisePath`, `normalisePathWin`.
//!
//! **Meaning.** `//`, `/./` and `/x/../` go, but never above the root; references above the beginning of a relative
//! path stay. Win turns `\` into `/` first. A trailing slash stays if there was one.
//! **Example.** `dir/./.././../../foo` becomes `../../foo`.
//! *Quirk kept from ModSecurity 2 and 3:* in the Win form the last of three or more slashes in a row is copied as it
//! was written.

use super::bytes::at;

/// See the file's page.
pub(super) fn normalise(input: &[u8], out: &mut Vec<u8>, windows: bool) -> bool {
    if !can_change(input, windows) {
        return false;
    }
    rewrite(input, out, windows);
    out.as_slice() != input
}

/// What ModSecurity 2 says about a change: not always the truth, a reference upwards that ends the path goes
/// unreported.
pub(super) fn reports_change(input: &[u8], windows: bool) -> bool {
    can_change(input, windows) && rewrite(input, &mut Vec::new(), windows)
}

/// `false` only if normalising certainly changes nothing: no empty segment, and none that ends with a dot.
fn can_change(input: &[u8], windows: bool) -> bool {
    if windows && memchr::memchr(b'\\', input).is_some() {
        return true;
    }
    input.last() == Some(&b'.')
        || memchr::memchr_iter(b'/', input).any(|index| index > 0 && matches!(at(input, index - 1), b'/' | b'.'))
}

/// Follows ModSecurity's in-place algorithm step by step: `source` reads and `target` writes the same buffer, and
/// `target` never overtakes, so nothing unread is overwritten.
fn rewrite(input: &[u8], out: &mut Vec<u8>, windows: bool) -> bool {
    rewrite_by(input, out, windows, true)
}

/// `runs` is whether what stands between slashes is moved together, or byte by byte.
#[inline]
fn rewrite_by(input: &[u8], out: &mut Vec<u8>, windows: bool, runs: bool) -> bool {
    out.clear();
    out.extend_from_slice(input);
    let buffer = out.as_mut_slice();
    let Some(last) = buffer.len().checked_sub(1) else { return false };
    let is_slash = |byte: u8| byte == b'/' || (windows && byte == b'\\');

    let relative = !is_slash(at(buffer, 0));
    let trailing = is_slash(at(buffer, last));
    let mut changed = false;
    let mut hit_root = false;
    let mut done = false;
    let mut source = 0;
    let mut target = 0_usize;

    while !done && source <= last {
        if runs && !is_slash(at(buffer, source)) {
            // Up to the byte before the next slash, and never the last one, nothing is to be done.
            let rest = buffer.get(source + 1..last).unwrap_or_default();
            let run = if windows { memchr::memchr2(b'/', b'\\', rest) } else { memchr::memchr(b'/', rest) };
            let run = run.unwrap_or(rest.len());
            buffer.copy_within(source..source + run, target);
            source += run;
            target += run;
        }
        if windows {
            for index in [source, source + 1] {
                if let Some(byte) = buffer.get_mut(index).filter(|byte| **byte == b'\\') {
                    *byte = b'/';
                    changed = true;
                }
            }
        }
        if source == last {
            done = true;
        }
        if done || at(buffer, source + 1) == b'/' {
            match segment_end(buffer, source, target, done, relative, hit_root) {
                End::Empty => changed = true,
                End::KeptReference => hit_root = true,
                End::Ordinary => hit_root = hit_root && target == 0,
                End::Other => {}
                End::Parent { target: new, at_root } => {
                    target = new;
                    hit_root = hit_root || at_root;
                    if done {
                        break;
                    }
                    source += 1;
                    changed = true;
                }
                End::Itself { target: new } => {
                    changed = true;
                    if done {
                        break;
                    }
                    target = new;
                    source += 1;
                }
            }
        }
        // Copy one byte; of several slashes only the last.
        if at(buffer, source) == b'/' {
            while source < last && is_slash(at(buffer, source + 1)) {
                source += 1;
                changed = true;
            }
            if relative && target == 0 {
                source += 1;
                continue;
            }
        }
        let byte = at(buffer, source);
        if let Some(place) = buffer.get_mut(target) {
            *place = byte;
        }
        target += 1;
        source += 1;
    }
    if !trailing && target > 0 && at(buffer, target - 1) == b'/' {
        target -= 1;
    }
    out.truncate(target);
    changed
}

/// What the segment that ends at `source` is.
enum End {
    /// A slash before a slash.
    Empty,
    /// `..` that must stay: nothing is left to take away.
    KeptReference,
    /// `..` that takes the segment before it away; where writing goes on.
    Parent { target: usize, at_root: bool },
    /// `.`; where writing goes on if more follows.
    Itself { target: usize },
    /// A name.
    Ordinary,
    /// A name that ends with a dot.
    Other,
}

fn segment_end(buffer: &[u8], source: usize, target: usize, done: bool, relative: bool, hit_root: bool) -> End {
    match at(buffer, source) {
        b'/' if !done => End::Empty,
        b'.' => {
            let before = target.checked_sub(1).map(|index| at(buffer, index));
            match before {
                Some(b'.') if relative && (hit_root || target <= 2) => End::KeptReference,
                Some(b'.') => {
                    let mut new = target.saturating_sub(3);
                    while new > 0 && at(buffer, new) != b'/' {
                        new -= 1;
                    }
                    // The root slash of an absolute path that ends here stays.
                    let at_root = new == 0;
                    if at_root && !relative && done {
                        new = 1;
                    }
                    End::Parent { target: new, at_root }
                }
                None => End::Itself { target },
                Some(b'/') => End::Itself { target: target - 1 },
                Some(_) => End::Other,
            }
        }
        _ => End::Ordinary,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_what_their_bytes_are() {
        let parts: &[&[u8]] = &[b"/", b"\\", b"/..", b"\\..", b"/.", b"\\./", b"..", b".", b"/a.", b"\\.a", b"//"];
        for value in crate::waf::transformation::marks::tests::values(parts) {
            for windows in [false, true] {
                let (mut out, mut expected) = (Vec::new(), Vec::new());
                let changed = rewrite(&value, &mut out, windows);
                assert_eq!(changed, rewrite_by(&value, &mut expected, windows, false), "{}", value.escape_ascii());
                assert_eq!(out, expected, "{}", value.escape_ascii());
            }
        }
    }
}
