//! `lowercase`, `uppercase`.
//!
//! **Meaning.** ASCII letters change case; every other byte stays. **Example.** `TestCase` becomes `testcase`.
//! *Difference from ModSecurity:* none (`uppercase` exists in libmodsecurity 3 only).

use super::bytes::{find, head, tail};

/// A-Z to a-z.
pub(super) fn lower(input: &[u8], out: &mut Vec<u8>) -> bool {
    let Some(first) = find(input, |byte| byte.is_ascii_uppercase()) else { return false };
    out.extend_from_slice(head(input, first));
    out.extend(tail(input, first).iter().map(u8::to_ascii_lowercase));
    true
}

/// a-z to A-Z.
pub(super) fn upper(input: &[u8], out: &mut Vec<u8>) -> bool {
    let Some(first) = find(input, |byte| byte.is_ascii_lowercase()) else { return false };
    out.extend_from_slice(head(input, first));
    out.extend(tail(input, first).iter().map(u8::to_ascii_uppercase));
    true
}
