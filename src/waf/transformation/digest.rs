//! `md5`, `sha1`.
//!
//! **Meaning.** The raw digest (16 or 20 bytes) of the value; `t:sha1,t:hexEncode` gives the usual spelling.
//! *Difference from ModSecurity:* none.

use md5::{Digest, Md5};
use sha1::Sha1;

/// 16 bytes.
pub(super) fn md5(input: &[u8], out: &mut Vec<u8>) -> bool {
    out.extend_from_slice(&Md5::digest(input));
    input != out.as_slice()
}

/// 20 bytes.
pub(super) fn sha1(input: &[u8], out: &mut Vec<u8>) -> bool {
    out.extend_from_slice(&Sha1::digest(input));
    input != out.as_slice()
}
