//! Body processors: what a request body says, as arguments, files, a tree.
//!
//! Push parsers: chunks go in with `feed`, the end is `finish`, findings come out through a sink trait; each module
//! also has one function over a whole body. Whether the body came in one piece or in many makes no difference to
//! what comes out (the fuzz targets hold them to it). Nothing here does input or output, every limit is an argument,
//! and an error leaves what was already given to the sink standing, as in ModSecurity.
//!
//! The engine core calls these; `inflate` comes first when the body has a content coding.

#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic))]

pub mod inflate;
pub mod json;
pub mod multipart;
pub mod urlencoded;
pub mod xml;

/// Bytes found in a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece<'a> {
    /// What the rules see: escapes resolved.
    pub bytes: &'a [u8],
    /// Where exactly these bytes stand in the body (over all chunks), when they do: a caller that keeps the body
    /// can keep `offset..offset + bytes.len()` instead of a copy.
    pub offset: Option<usize>,
}

impl<'a> Piece<'a> {
    /// The piece at this offset of the body.
    #[must_use]
    pub fn at(bytes: &'a [u8], offset: usize) -> Self {
        Self { bytes, offset: Some(offset) }
    }

    /// Bytes that do not stand in the body as they are.
    #[must_use]
    pub fn made(bytes: &'a [u8]) -> Self {
        Self { bytes, offset: None }
    }
}

/// Takes the arguments of a form or of a JSON document, in order.
pub trait ArgumentSink {
    /// One argument. Names repeat.
    fn argument(&mut self, name: Piece<'_>, value: Piece<'_>);
}

impl<F: FnMut(Piece<'_>, Piece<'_>)> ArgumentSink for F {
    fn argument(&mut self, name: Piece<'_>, value: Piece<'_>) {
        self(name, value);
    }
}
