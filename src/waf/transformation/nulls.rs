//! `removeNulls`, `replaceNulls`.
//!
//! **Meaning.** `NUL` bytes go, or become spaces. *Difference from ModSecurity:* none.

use super::bytes::{head, tail};
use super::marks;
use crate::waf::byte_tables::ByteTables;

static NUL: ByteTables = ByteTables::of(b"\0");

/// Takes them out.
pub(super) fn remove(input: &[u8], out: &mut Vec<u8>) -> bool {
    marks::remove(&NUL, input, out, |byte| byte == 0)
}

/// Makes them spaces.
pub(super) fn replace(input: &[u8], out: &mut Vec<u8>) -> bool {
    let Some(first) = memchr::memchr(0, input) else { return false };
    out.extend_from_slice(head(input, first));
    out.extend(tail(input, first).iter().map(|&byte| if byte == 0 { b' ' } else { byte }));
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_of_them_go() {
        for value in marks::tests::values(&[b"\0", b"\0\0"]) {
            let expected: Vec<u8> = value.iter().copied().filter(|byte| *byte != 0).collect();
            let mut out = Vec::new();
            let is_changed = remove(&value, &mut out);
            assert_eq!(is_changed, expected.len() < value.len(), "{}", value.escape_ascii());
            assert!(!is_changed || out == expected, "{}", value.escape_ascii());
        }
    }
}
