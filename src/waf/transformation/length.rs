//! `length`.
//!
//! **Meaning.** The number of bytes, in decimal. *Difference from ModSecurity:* none.

/// See the file's page.
pub(super) fn write(input: &[u8], out: &mut Vec<u8>) -> bool {
    out.extend_from_slice(itoa::Buffer::new().format(input.len()).as_bytes());
    input != out.as_slice()
}
