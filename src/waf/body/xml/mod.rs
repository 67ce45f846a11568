//! XML bodies: well-formed or not, and the values that an XPath selects.
//!
//! [`parse`] makes a [`Document`] or says what libxml2 would refuse; [`XPath`] selects from it. `XML:/*` is the text
//! of the whole root, white space included, as one value; `XML://@*` gives every attribute's value.
//!
//! Nothing outside the body is ever loaded, and no entity is expanded but the five of XML and character references:
//! a reference to an entity that the document declares stays in the text as it is written, so there is no expansion
//! to bomb with. A document type is read over, not obeyed.
//!
//! Why not `quick-xml`: it is a reader of reasonable documents. It accepts two roots, `<` in attribute values, `--`
//! in comments, control characters, bytes that are not UTF-8 and undeclared entities; each of these is an error that
//! rules ask for (REQBODY_ERROR), and checking for them afterwards was longer than reading.

mod document;
mod encoding;
mod scanner;
mod xpath;

pub use document::Document;
pub use xpath::{XPath, XPathError};

/// Bounds of one document.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of the document.
    pub bytes: usize,
    /// Open elements (libxml2: 256).
    pub depth: usize,
    /// Elements, text nodes and attributes together.
    pub nodes: usize,
}

/// Why a document is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("XML: Failed parsing document: {kind} at byte {offset}.")]
pub struct Error {
    /// Where, in the document as UTF-8.
    pub offset: usize,
    /// What is wrong.
    pub kind: ErrorKind,
}

/// What can be wrong with a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "each is said by its message")]
pub enum ErrorKind {
    #[error("document too large")]
    TooLarge,
    #[error("elements nested too deep")]
    TooDeep,
    #[error("too many nodes")]
    TooManyNodes,
    #[error("unsupported encoding")]
    UnsupportedEncoding,
    #[error("invalid character or byte sequence")]
    InvalidCharacter,
    #[error("document ends early")]
    PrematureEnd,
    #[error("start tag expected")]
    RootMissing,
    #[error("extra content after the root element")]
    ExtraContent,
    #[error("invalid name")]
    InvalidName,
    #[error("malformed tag")]
    InvalidTag,
    #[error("attribute without value or quotes")]
    InvalidAttribute,
    #[error("'<' in an attribute value")]
    LessThanInAttribute,
    #[error("attribute given twice")]
    DuplicateAttribute,
    #[error("opening and closing tag mismatch")]
    TagMismatch,
    #[error("']]>' in text")]
    CdataEndInText,
    #[error("malformed comment")]
    InvalidComment,
    #[error("malformed processing instruction or XML declaration")]
    InvalidInstruction,
    #[error("malformed document type")]
    InvalidDoctype,
    #[error("malformed reference")]
    InvalidReference,
    #[error("entity not defined")]
    UnknownEntity,
}

/// Reads a whole document.
pub fn parse(input: &[u8], limits: Limits) -> Result<Document, Error> {
    if input.len() > limits.bytes {
        return Err(Error { offset: limits.bytes, kind: ErrorKind::TooLarge });
    }
    let text = encoding::to_utf8(input)?;
    scanner::scan(&text, limits)
}

/// Reads a document that arrives in chunks. The chunks are kept until the end: the encoding and the tree need the
/// whole, and the limit on bytes bounds them.
#[derive(Debug)]
pub struct Parser {
    limits: Limits,
    input: Vec<u8>,
    is_too_large: bool,
}

impl Parser {
    /// For one document.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits, input: Vec::new(), is_too_large: false }
    }

    /// The next bytes.
    pub fn feed(&mut self, chunk: &[u8]) -> Result<(), Error> {
        self.is_too_large |= self.input.len() + chunk.len() > self.limits.bytes;
        if self.is_too_large {
            self.input = Vec::new();
            return Err(Error { offset: self.limits.bytes, kind: ErrorKind::TooLarge });
        }
        self.input.extend_from_slice(chunk);
        Ok(())
    }

    /// The end of the document.
    pub fn finish(self) -> Result<Document, Error> {
        if self.is_too_large {
            return Err(Error { offset: self.limits.bytes, kind: ErrorKind::TooLarge });
        }
        parse(&self.input, self.limits)
    }
}

#[cfg(test)]
mod tests;
