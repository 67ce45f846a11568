//! `@beginsWith`, `@contains`, `@containsWord`, `@endsWith`, `@streq`, `@within`, `@strmatch`.
//!
//! **Meaning.** Comparisons of bytes, case-sensitive. `@within` asks whether the *value* occurs in the argument, all
//! others whether the argument occurs in the value. A word is letters, digits and `_`.
//! **Arguments.** Any text; macros are expanded at run time (not by `@strmatch`, which reads the notation of the
//! `content` module instead). An empty text occurs everywhere: an empty argument matches, except with `@streq` and
//! `@strmatch`; an empty value is within everything.
//! **Example.** `SecRule REQUEST_METHOD "!@within GET HEAD POST"`.
//! *Difference from ModSecurity:* none.

use memchr::memmem;

/// Longest text that is searched without a searcher.
const SHORT: usize = 256;

/// The text begins with `argument`.
pub(super) fn begins_with(argument: &[u8], value: &[u8]) -> bool {
    value.starts_with(argument)
}

/// The text ends with `argument`.
pub(super) fn ends_with(argument: &[u8], value: &[u8]) -> bool {
    value.ends_with(argument)
}

/// `argument` occurs in the text.
pub(super) fn contains(argument: &[u8], value: &[u8]) -> bool {
    memmem::find(value, argument).is_some()
}

/// The text occurs in `argument`.
pub(super) fn within(argument: &[u8], value: &[u8]) -> bool {
    if value.len() > argument.len() {
        return false;
    }
    if argument.len() > SHORT || value.len() < 2 {
        return memmem::find(argument, value).is_some();
    }
    // Making a searcher would take longer than the search.
    let rank = |byte: &u8| match byte {
        b'e' | b't' | b'a' | b'o' | b'i' | b'n' | b's' | b'r' | b' ' | b'/' | b'-' => 2,
        b'a'..=b'z' => 1,
        _ => 0,
    };
    let Some((offset, rarest)) = value.iter().enumerate().min_by_key(|(_, byte)| rank(byte)) else { return true };
    memchr::memchr_iter(*rarest, argument).any(|at| {
        let start = at.checked_sub(offset);
        start.and_then(|start| argument.get(start..start + value.len())) == Some(value)
    })
}

/// `argument` occurs in the text with no word character beside it.
pub(super) fn contains_word(argument: &[u8], value: &[u8]) -> bool {
    if argument.is_empty() {
        return true;
    }
    let is_word = |byte: Option<&u8>| byte.is_some_and(|&byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let mut start = 0;
    while let Some(found) = value.get(start..).and_then(|rest| memmem::find(rest, argument)) {
        let index = start + found;
        let before = index.checked_sub(1).and_then(|before| value.get(before));
        if !is_word(before) && !is_word(value.get(index + argument.len())) {
            return true;
        }
        start = index + 1;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_whole() {
        assert!(contains_word(b"abc", b"xabc abc"));
        assert!(contains_word(b"abc", b"abc\0"));
        assert!(!contains_word(b"abc", b"abc_ 1abc"));
        assert!(contains_word(b"a a", b"xa a a"));
    }

    #[test]
    fn empty_texts() {
        assert!(begins_with(b"", b"x") && ends_with(b"", b"x") && contains(b"", b"") && contains_word(b"", b"x"));
        assert!(within(b"abc", b"") && !within(b"", b"a"));
    }
}
