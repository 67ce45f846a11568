//! Header names that the gateway itself acts on, recognised once while parsing so that later steps compare a byte.

/// A header name that the gateway knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(u8)]
#[allow(missing_docs, reason = "each variant is the header of its name")]
pub enum Known {
    /// None of the others.
    #[default]
    Other,
    Accept,
    Connection,
    ContentEncoding,
    ContentLength,
    ContentType,
    Date,
    Expect,
    Forwarded,
    Host,
    Http2Settings,
    KeepAlive,
    ProxyAuthenticate,
    ProxyConnection,
    Referer,
    SecWebsocketKey,
    Te,
    Trailer,
    TransferEncoding,
    Upgrade,
    UserAgent,
    XForwardedFor,
    XForwardedHost,
    XForwardedPort,
    XForwardedProto,
    XRequestId,
    /// `Content_Length`, `Transfer_Encoding` and their like: CGI-style backends would take them for the real thing.
    FramingLookalike,
}

impl Known {
    /// Recognises a name, whatever its case.
    #[must_use]
    pub fn of(name: &[u8]) -> Self {
        let is = |other: &[u8]| name.eq_ignore_ascii_case(other);
        match name.len() {
            2 if is(b"te") => Self::Te,
            4 if is(b"host") => Self::Host,
            4 if is(b"date") => Self::Date,
            6 if is(b"accept") => Self::Accept,
            6 if is(b"expect") => Self::Expect,
            7 if is(b"upgrade") => Self::Upgrade,
            7 if is(b"trailer") => Self::Trailer,
            7 if is(b"referer") => Self::Referer,
            9 if is(b"forwarded") => Self::Forwarded,
            10 if is(b"connection") => Self::Connection,
            10 if is(b"keep-alive") => Self::KeepAlive,
            10 if is(b"user-agent") => Self::UserAgent,
            12 if is(b"content-type") => Self::ContentType,
            12 if is(b"x-request-id") => Self::XRequestId,
            14 if is(b"content-length") => Self::ContentLength,
            14 if is(b"http2-settings") => Self::Http2Settings,
            14 if is(b"content_length") => Self::FramingLookalike,
            15 if is(b"x-forwarded-for") => Self::XForwardedFor,
            16 if is(b"content-encoding") => Self::ContentEncoding,
            16 if is(b"proxy-connection") => Self::ProxyConnection,
            16 if is(b"x-forwarded-host") => Self::XForwardedHost,
            16 if is(b"x-forwarded-port") => Self::XForwardedPort,
            17 if is(b"transfer-encoding") => Self::TransferEncoding,
            17 if is(b"x-forwarded-proto") => Self::XForwardedProto,
            17 if is(b"sec-websocket-key") => Self::SecWebsocketKey,
            17 if is(b"transfer_encoding") => Self::FramingLookalike,
            18 if is(b"proxy-authenticate") => Self::ProxyAuthenticate,
            _ => Self::Other,
        }
    }
}
