//! `removeNulls`, `replaceNulls`.
//!
//! **Meaning.** `NUL` bytes go, or become spaces. *Difference from ModSecurity:* none.

use super::bytes::{head, tail};

/// Takes them out.
pub(super) fn remove(input: &[u8], out: &mut Vec<u8>) -> bool {
    let Some(first) = memchr::memchr(0, input) else { return false };
    out.extend_from_slice(head(input, first));
    out.extend(tail(input, first).iter().filter(|&&byte| byte != 0));
    true
}

/// Makes them spaces.
pub(super) fn replace(input: &[u8], out: &mut Vec<u8>) -> bool {
    let Some(first) = memchr::memchr(0, input) else { return false };
    out.extend_from_slice(head(input, first));
    out.extend(tail(input, first).iter().map(|&byte| if byte == 0 { b' ' } else { byte }));
    true
}
