//! The boundary parameter of a multipart content type.

use super::{Error, Flags};

/// Longest content type that is read.
const CONTENT_TYPE_BYTES: usize = 1024;

const MIME_TYPE: &[u8] = b"multipart/form-data";
const PARAMETER: &[u8] = b"boundary";

/// A boundary, and what was odd about how it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Boundary {
    bytes: Vec<u8>,
    is_quoted: bool,
    has_whitespace: bool,
    is_semicolon_missing: bool,
}

impl Boundary {
    /// Reads a Content-Type header's value. An error raises [`Flags::has_error`] too.
    pub fn parse(content_type: Option<&[u8]>) -> Result<Self, Error> {
        let invalid = |what| Err(Error::InvalidBoundaryParameter(what));
        let Some(content_type) = content_type else { return Err(Error::ContentTypeMissing) };
        if content_type.len() > CONTENT_TYPE_BYTES {
            return invalid("length");
        }
        let Some((mime_type, parameters)) = content_type.split_at_checked(MIME_TYPE.len()) else {
            return Err(Error::InvalidMimeType);
        };
        if !mime_type.eq_ignore_ascii_case(MIME_TYPE) {
            return Err(Error::InvalidMimeType);
        }
        if count_parameters(content_type) > 1 {
            return Err(Error::SeveralBoundaries);
        }
        let Some(at) = memchr::memmem::find(parameters, PARAMETER) else {
            if count_parameters(content_type) > 0 {
                return invalid("case sensitivity");
            }
            return Err(Error::BoundaryMissing);
        };
        let (before, after) = parameters.split_at(at);
        let mut has_semicolon = false;
        for byte in before.iter().filter(|byte| !is_space(**byte)) {
            if has_semicolon || *byte != b';' {
                return invalid("malformed");
            }
            has_semicolon = true;
        }
        let after = after.get(PARAMETER.len()..).unwrap_or_default();
        let Some(equals) = memchr::memchr(b'=', after) else { return invalid("malformed") };
        let (between, value) = after.split_at(equals);
        if between.iter().any(|byte| !is_space(*byte)) {
            return invalid("parameter name");
        }
        let value = value.get(1..).unwrap_or_default();
        let has_whitespace = !between.is_empty() || value.first().is_some_and(|byte| is_space(*byte));
        let (bytes, is_quoted) = match value {
            [b'"', inner @ .., b'"'] => (inner, true),
            [b'"', ..] | [_, .., b'"'] => return invalid("quote"),
            plain => (plain, false),
        };
        if count_parameters(bytes) > 0 {
            return invalid("content");
        }
        if !are_characters_valid(bytes) {
            return invalid("characters");
        }
        if bytes.is_empty() {
            return invalid("empty");
        }
        Ok(Self { bytes: bytes.to_vec(), is_quoted, has_whitespace, is_semicolon_missing: !has_semicolon })
    }

    /// The boundary itself, without dashes and quotes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn flags(&self) -> Flags {
        Flags {
            is_boundary_quoted: self.is_quoted,
            has_boundary_whitespace: self.has_whitespace,
            is_semicolon_missing: self.is_semicolon_missing,
            ..Flags::default()
        }
    }
}

/// C's isspace.
pub(super) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

/// How often the word stands there, in any case, with an `=` somewhere behind it.
fn count_parameters(value: &[u8]) -> usize {
    let lower = value.to_ascii_lowercase();
    memchr::memmem::find_iter(&lower, PARAMETER)
        .filter(|at| lower.get(at + PARAMETER.len()..).is_some_and(|rest| rest.contains(&b'=')))
        .count()
}

/// RFC 2046's characters; a space not as the last one.
fn are_characters_valid(boundary: &[u8]) -> bool {
    boundary.last() != Some(&b' ')
        && boundary.iter().all(|byte| byte.is_ascii_alphanumeric() || b" '()+_,-./:=?".contains(byte))
}
