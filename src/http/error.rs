//! What can be wrong with a message, each with its own name: the cause text of the answer and of the record.
//!
//! A head that is refused never reaches the rules or a backend. `status` is the answer that a client gets when the
//! message was a request; the same defects in a response become 502 in `gateway::reply`.

/// Why a head was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    /// LF without CR before it.
    #[error("a line of the head ends in LF without CR")]
    BareLineFeed,
    /// A control character (NUL and bare CR among them).
    #[error("the head contains a control character")]
    ControlCharacter,
    /// A header line that begins with white space.
    #[error("the head contains a folded header line")]
    FoldedLine,
    /// A header name with bytes that are not token characters.
    #[error("a header name contains characters that are not allowed")]
    HeaderName,
    /// `Name : value`.
    #[error("white space stands between a header name and its colon")]
    SpaceBeforeColon,
    /// A header line without a colon.
    #[error("a header line has no colon")]
    MissingColon,
    /// More fields than the limit.
    #[error("the head has too many header fields")]
    TooManyFields,
    /// More bytes than the limit.
    #[error("the head is too large")]
    TooLarge,
    /// The request line alone is longer than the limit.
    #[error("the request line is too long")]
    RequestLineTooLong,
    /// Not `METHOD target HTTP/x.y` with single spaces.
    #[error("the request line is malformed")]
    RequestLine,
    /// Not a token.
    #[error("the method contains characters that are not allowed")]
    Method,
    /// None of the four target forms, or not the one that the method needs.
    #[error("the request target is malformed")]
    Target,
    /// A raw `#`.
    #[error("the request target contains a fragment")]
    Fragment,
    /// Not `HTTP/x.y`, or a version below 1.0.
    #[error("the protocol version is malformed")]
    Version,
    /// `GET /`: HTTP/0.9, whose answers have no head. The connection is closed without an answer.
    #[error("the request line has no protocol version")]
    NoVersion,
    /// HTTP/1.1 without Host.
    #[error("the Host header is missing")]
    MissingHost,
    /// HTTP/1.1 with an empty Host.
    #[error("the Host header is empty")]
    EmptyHost,
    /// More than one Host.
    #[error("there is more than one Host header")]
    SeveralHosts,
    /// Characters that no host name has.
    #[error("the Host header contains characters that are not allowed")]
    Host,
    /// Not a decimal number within 64 bits.
    #[error("the Content-Length header is not a number")]
    ContentLength,
    /// Several that differ.
    #[error("there are several Content-Length headers that differ")]
    ConflictingContentLengths,
    /// Anything but exactly `chunked`.
    #[error("the Transfer-Encoding header is not exactly \"chunked\"")]
    TransferEncoding,
    /// HTTP/1.0 has no transfer codings.
    #[error("an HTTP/1.0 message has a Transfer-Encoding header")]
    TransferEncodingInHttp10,
    /// A response's first line.
    #[error("the status line is malformed")]
    StatusLine,
    /// An Expect other than `100-continue`.
    #[error("the Expect header asks for something unknown")]
    Expectation,
    /// HTTP/2: a pseudo-header or field that cannot be said in HTTP/1 without changing its meaning.
    #[error("the HTTP/2 head contains a field that is not allowed")]
    Downgrade,
    /// HTTP/2: Host and :authority differ.
    #[error("the Host header and the :authority differ")]
    AuthorityMismatch,
}

impl HeadError {
    /// The answer to a request with this defect.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::TooManyFields | Self::TooLarge => 431,
            Self::RequestLineTooLong => 414,
            Self::Expectation => 417,
            _ => 400,
        }
    }
}

/// Why a body could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// Not 1 to 16 hexadecimal digits followed by CRLF or `;`.
    #[error("a chunk size is malformed")]
    ChunkSize,
    /// More extension bytes than the limit, or control characters among them.
    #[error("the chunk extensions are malformed or too long")]
    ChunkExtension,
    /// No CRLF after a chunk's data.
    #[error("a chunk does not end where its size says")]
    ChunkEnd,
    /// The trailer section is malformed.
    #[error("the trailers are malformed: {0}")]
    Trailers(HeadError),
    /// The peer closed before the body was complete.
    #[error("the connection closed before the body was complete")]
    Incomplete,
}
