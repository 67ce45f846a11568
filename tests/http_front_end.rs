//! The HTTP/1 front end, case by case: every row of the front-end table, every disguise of request smuggling, and
//! what must stay possible. Cases are data; one runner feeds each whole, byte by byte, and pipelined.

use bytes::{BufMut as _, BytesMut};
use portcullis::http::h1::{
    BodyDecoder, BodyPart, Framing, HeadLimits, Length, RequestReader, ResponseReader, request_framing,
    response_framing,
};
use portcullis::http::{BodyError, HeadError, Known, RequestHead, ResponseHead};

const LIMITS: HeadLimits = HeadLimits { bytes: 8192, fields: 100 };

/// What a case expects.
enum Want {
    /// The head is refused.
    Refused(HeadError),
    /// The head is accepted with this framing.
    Accepted(Length, Keeps),
    /// The head is accepted and the body is then refused.
    BodyRefused(BodyError),
    /// The head is accepted and the body is this.
    Body(&'static [u8]),
    /// The head is accepted but the body never ends with the bytes given.
    Incomplete,
}

#[derive(PartialEq, Debug)]
enum Keeps {
    Open,
    Closes,
}

use HeadError as E;
use Keeps::{Closes, Open};
use Want::{Accepted, Body, BodyRefused, Incomplete, Refused};

/// (name, bytes, expectation)
const CASES: &[(&str, &[u8], Want)] = &[
    // The front-end table, row by row.
    ("920100-2 spaces before the method", b"     GET /get HTTP/1.1\r\nHost: a\r\n\r\n", Refused(E::RequestLine)),
    ("920100-12 tab before the method", b"\tGET /get HTTP/1.1\r\nHost: a\r\n\r\n", Refused(E::Method)),
    ("920100-11 target backslash", b"GET \\ HTTP/1.1\r\nHost: a\r\n\r\n", Refused(E::Target)),
    ("920100-13 backslash target and version", b"GET \\index.html HTTP\\1.0\r\nHost: a\r\n\r\n", Refused(E::Version)),
    ("920100-15 spaces inside the target", b"GET /a?b=<script x=\"y\">c HTTP/1.1\r\nHost: a\r\n\r\n", Refused(E::Target)),
    ("920100-8 raw fragment", b"GET /i:80?I=Like#tag HTTP/1.1\r\nHost: a\r\n\r\n", Refused(E::Fragment)),
    ("920610-2 raw fragment", b"GET /#foo HTTP/1.1\r\nHost: a\r\n\r\n", Refused(E::Fragment)),
    ("920100-5 CONNECT without port", b"CONNECT www.coreruleset.org HTTP/1.1\r\nHost: a\r\n\r\n", Refused(E::Target)),
    ("920100-4 CONNECT", b"CONNECT 1.2.3.4:80 HTTP/1.1\r\nHost: a\r\n\r\n", Accepted(Length::None, Closes)),
    ("920100-3 OPTIONS *", b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", Accepted(Length::None, Open)),
    ("920100-10 long method", b"REALLYLONGUNREALMETHOD / HTTP/1.1\r\nHost: a\r\n\r\n", Accepted(Length::None, Open)),
    ("920100-14 method |GET", b"|GET /get HTTP/1.1\r\nHost: a\r\n\r\n", Accepted(Length::None, Open)),
    ("920100-16 absolute form without path", b"GET http://localhost HTTP/1.1\r\nHost: a\r\n\r\n", Accepted(Length::None, Open)),
    ("920160-1 length of letters", b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: NotDigits\r\n\r\n", Refused(E::ContentLength)),
    ("920160-3 length 123x", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 123x\r\n\r\n", Refused(E::ContentLength)),
    ("920160-5 length 3;", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3;\r\n\r\n", Refused(E::ContentLength)),
    ("920181-1 both framings", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 7\r\n\r\n0\r\n\r\n", Accepted(Length::Chunked, Closes)),
    ("920171-1 chunked GET", b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n7\r\nfoo=bar\r\n0\r\n\r\n", Body(b"foo=bar")),
    ("920171-2 chunked HEAD", b"HEAD / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", Body(b"")),
    ("920270-4 Host with %00", b"GET / HTTP/1.1\r\nHost: localhost%00\r\n\r\n", Refused(E::Host)),
    ("920274-1 Host with %1F", b"GET / HTTP/1.1\r\nHost: localhost%1F\r\n\r\n", Refused(E::Host)),
    ("920290-1 empty Host on 1.1", b"GET / HTTP/1.1\r\nHost: \r\n\r\n", Refused(E::EmptyHost)),
    ("920290-4 empty Host on 1.0", b"GET / HTTP/1.0\r\nHost:\r\n\r\n", Accepted(Length::None, Closes)),
    ("920290-2 Host %00", b"GET / HTTP/1.1\r\nHost: %00\r\n\r\n", Refused(E::Host)),
    ("920280-1 1.0 without Host", b"GET / HTTP/1.0\r\nAccept: */*\r\n\r\n", Accepted(Length::None, Closes)),
    ("920280-3 0.9 with headers", b"GET / HTTP/0.9\r\nHost: a\r\n\r\n", Refused(E::Version)),
    ("920430-6 version 1.1", b"GET / 1.1\r\nHost: a\r\n\r\n", Refused(E::Version)),
    ("920430-7 version TEST", b"GET / TEST\r\nHost: a\r\n\r\n", Refused(E::Version)),
    ("920430-9 version 0.8", b"GET / HTTP/0.8\r\nHost: a\r\n\r\n", Refused(E::Version)),
    ("920430-10 version JUNK/1.0", b"GET / JUNK/1.0\r\nHost: a\r\n\r\n", Refused(E::Version)),
    ("920430-4 version HTTP/2", b"GET / HTTP/2\r\nHost: a\r\n\r\n", Accepted(Length::None, Closes)),
    ("920180-4 version HTTP/2.0", b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", Accepted(Length::None, Closes)),
    ("920430-8 version HTTP/4.0", b"GET / HTTP/4.0\r\nHost: a\r\n\r\n", Accepted(Length::None, Closes)),
    ("920430-5 no version", b"GET /\r\nHost: a\r\n\r\n", Refused(E::NoVersion)),
    ("920430-5 as the runner sends it", b"GET / \r\nHost: a\r\n\r\n", Refused(E::NoVersion)),
    ("920620-1 two Content-Types", b"GET / HTTP/1.1\r\nHost: a\r\nContent-Type: text/a\r\nX: y\r\nContent-Type: b\r\n\r\n", Accepted(Length::None, Open)),
    ("920640-5 bytes behind the head", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Type:\r\n\r\nnot a body", Body(b"")),
    ("921140-1 bare CR in a value", b"GET / HTTP/1.1\r\nHost: a\r\nX: b\rSet-Cookie: c\r\n\r\n", Refused(E::ControlCharacter)),
    ("920272-5 broken UTF-8 escape", b"GET /i%FFndex.html HTTP/1.1\r\nHost: a\r\n\r\n", Accepted(Length::None, Open)),
    ("920170-4 length shorter than sent", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcdef", Body(b"abc")),
    ("characters beyond RFC 3986", b"GET /[ok]\\x<>\"{}|`?a=%zz HTTP/1.1\r\nHost: a\r\n\r\n", Accepted(Length::None, Open)),
    ("bytes above 0x7F in target and value", b"GET /\xff\xfe HTTP/1.1\r\nHost: a\r\nX: \xe4\r\n\r\n", Accepted(Length::None, Open)),
    ("names with dot and underscore", b"GET / HTTP/1.1\r\nHost: a\r\nx.y: 1\r\nx_y: 2\r\n\r\n", Accepted(Length::None, Open)),
    // Disguised Transfer-Encoding.
    ("TE with space before the colon", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n", Refused(E::SpaceBeforeColon)),
    ("TE with tab before the colon", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding\t: chunked\r\n\r\n", Refused(E::SpaceBeforeColon)),
    ("TE chunked, identity", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n", Refused(E::TransferEncoding)),
    ("TE identity, chunked", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity, chunked\r\n\r\n", Refused(E::TransferEncoding)),
    ("TE gzip, chunked", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", Refused(E::TransferEncoding)),
    ("TE xchunked", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n", Refused(E::TransferEncoding)),
    ("TE quoted", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \"chunked\"\r\n\r\n", Refused(E::TransferEncoding)),
    ("TE empty", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n\r\n", Refused(E::TransferEncoding)),
    ("TE identity", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\nContent-Length: 3\r\n\r\nabc", Refused(E::TransferEncoding)),
    ("TE twice", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", Refused(E::TransferEncoding)),
    ("TE twice, one wrong", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-encoding: x\r\n\r\n", Refused(E::TransferEncoding)),
    ("TE with semicolon", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked;q=1\r\n\r\n", Refused(E::TransferEncoding)),
    ("TE with vertical tab", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0bchunked\r\n\r\n", Refused(E::ControlCharacter)),
    ("TE with a tab as white space", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\tchunked\r\n\r\n0\r\n\r\n", Body(b"")),
    ("TE in other case", b"POST / HTTP/1.1\r\nHost: a\r\ntRANSFER-eNCODING: ChUnKeD\r\n\r\n1\r\nx\r\n0\r\n\r\n", Body(b"x")),
    ("TE folded", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n chunked\r\n\r\n", Refused(E::FoldedLine)),
    ("TE as first folded line", b"POST / HTTP/1.1\r\n Transfer-Encoding: chunked\r\nHost: a\r\n\r\n", Refused(E::FoldedLine)),
    ("TE on HTTP/1.0", b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", Refused(E::TransferEncodingInHttp10)),
    ("TE hidden behind a bare LF", b"POST / HTTP/1.1\r\nHost: a\r\nX: y\nTransfer-Encoding: chunked\r\n\r\n", Refused(E::BareLineFeed)),
    ("TE hidden behind a bare CR", b"POST / HTTP/1.1\r\nHost: a\r\nX: y\rTransfer-Encoding: chunked\r\n\r\n", Refused(E::ControlCharacter)),
    ("TE with NUL", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\0\r\n\r\n", Refused(E::ControlCharacter)),
    ("TE name with NUL", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding\0: chunked\r\n\r\n", Refused(E::ControlCharacter)),
    ("TE name in brackets", b"POST / HTTP/1.1\r\nHost: a\r\n[Transfer-Encoding]: chunked\r\n\r\n", Refused(E::HeaderName)),
    ("TE with UTF-8 lookalike", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \xc4\xb7chunked\r\n\r\n", Refused(E::TransferEncoding)),
    // Content-Length.
    ("CL +5", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nabcde", Refused(E::ContentLength)),
    ("CL -5", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\n", Refused(E::ContentLength)),
    ("CL 0x5", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x5\r\n\r\nabcde", Refused(E::ContentLength)),
    ("CL with spaces inside", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1 0\r\n\r\n", Refused(E::ContentLength)),
    ("CL empty", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n", Refused(E::ContentLength)),
    ("CL overflow", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551616\r\n\r\n", Refused(E::ContentLength)),
    ("CL overflow to small", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551621\r\n\r\nabcde", Refused(E::ContentLength)),
    ("CL list", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\nabcde", Refused(E::ContentLength)),
    ("CL differing", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcde", Refused(E::ConflictingContentLengths)),
    ("CL twice the same", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nabcde", Body(b"abcde")),
    ("CL on GET", b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab", Body(b"ab")),
    ("CL longer than sent", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabcde", Incomplete),
    ("CL with space before the colon", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length : 5\r\n\r\nabcde", Refused(E::SpaceBeforeColon)),
    // Lines and characters.
    ("bare LF everywhere", b"GET / HTTP/1.1\nHost: a\n\n", Refused(E::BareLineFeed)),
    ("bare LF after the request line", b"GET / HTTP/1.1\nHost: a\r\n\r\n", Refused(E::BareLineFeed)),
    ("bare LF as the empty line", b"GET / HTTP/1.1\r\nHost: a\r\n\n", Refused(E::BareLineFeed)),
    ("bare CR in the request line", b"GET /\r HTTP/1.1\r\nHost: a\r\n\r\n", Refused(E::Target)),
    ("two CRs at a line end", b"GET / HTTP/1.1\r\r\nHost: a\r\n\r\n", Refused(E::Version)),
    ("NUL in a value", b"GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n", Refused(E::ControlCharacter)),
    ("NUL in the target", b"GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n", Refused(E::Target)),
    ("NUL in the method", b"GE\0T / HTTP/1.1\r\nHost: a\r\n\r\n", Refused(E::Method)),
    ("DEL in a value", b"GET / HTTP/1.1\r\nHost: a\r\nX: a\x7f\r\n\r\n", Refused(E::ControlCharacter)),
    ("folded line", b"GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n", Refused(E::FoldedLine)),
    ("folded with tab", b"GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n\tb\r\n\r\n", Refused(E::FoldedLine)),
    ("header without colon", b"GET / HTTP/1.1\r\nHost: a\r\nnonsense\r\n\r\n", Refused(E::MissingColon)),
    ("header without name", b"GET / HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n", Refused(E::HeaderName)),
    ("name with a space inside", b"GET / HTTP/1.1\r\nHost: a\r\nX Y: x\r\n\r\n", Refused(E::HeaderName)),
    ("tab inside a value", b"GET / HTTP/1.1\r\nHost: a\r\nX: a\tb\r\n\r\n", Accepted(Length::None, Open)),
    ("empty lines first", b"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", Accepted(Length::None, Open)),
    ("two spaces before the version", b"GET /  HTTP/1.1\r\nHost: a\r\n\r\n", Refused(E::Target)),
    ("tab as separator", b"GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", Refused(E::Method)),
    ("space behind the version", b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n", Refused(E::Version)),
    ("lower-case protocol", b"GET / http/1.1\r\nHost: a\r\n\r\n", Refused(E::Version)),
    ("version with three parts", b"GET / HTTP/1.1.1\r\nHost: a\r\n\r\n", Refused(E::Version)),
    ("version with two digits", b"GET / HTTP/1.10\r\nHost: a\r\n\r\n", Refused(E::Version)),
    ("HTTP/1", b"GET / HTTP/1\r\nHost: a\r\n\r\n", Refused(E::Version)),
    ("the HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\n", Refused(E::Target)),
    // Host.
    ("no Host", b"GET / HTTP/1.1\r\nAccept: */*\r\n\r\n", Refused(E::MissingHost)),
    ("two Hosts", b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", Refused(E::SeveralHosts)),
    ("two Hosts on 1.0", b"GET / HTTP/1.0\r\nHost: a\r\nhost: b\r\n\r\n", Refused(E::SeveralHosts)),
    ("Host with slash", b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", Refused(E::Host)),
    ("Host with user", b"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", Refused(E::Host)),
    ("Host with space", b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", Refused(E::Host)),
    ("Host list", b"GET / HTTP/1.1\r\nHost: a,b\r\n\r\n", Refused(E::Host)),
    ("Host with letters as port", b"GET / HTTP/1.1\r\nHost: a:b\r\n\r\n", Refused(E::Host)),
    ("Host with too large port", b"GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n", Refused(E::Host)),
    ("Host with bytes above 0x7F", b"GET / HTTP/1.1\r\nHost: \xff\r\n\r\n", Refused(E::Host)),
    ("Host with port", b"GET / HTTP/1.1\r\nHost: a:8443\r\n\r\n", Accepted(Length::None, Open)),
    ("Host IPv6", b"GET / HTTP/1.1\r\nHost: [::1]:8443\r\n\r\n", Accepted(Length::None, Open)),
    ("Host broken IPv6", b"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", Refused(E::Host)),
    // Targets.
    ("* with GET", b"GET * HTTP/1.1\r\nHost: a\r\n\r\n", Refused(E::Target)),
    ("path without slash", b"GET index.html HTTP/1.1\r\nHost: a\r\n\r\n", Refused(E::Target)),
    ("absolute with user", b"GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n", Refused(E::Target)),
    ("absolute with other scheme", b"GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", Refused(E::Target)),
    ("absolute without host", b"GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n", Refused(E::Target)),
    ("authority form with GET", b"GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n", Refused(E::Target)),
    ("CONNECT with a path", b"CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n", Refused(E::Target)),
    // Persistence.
    ("close", b"GET / HTTP/1.1\r\nHost: a\r\nConnection: x, Close\r\n\r\n", Accepted(Length::None, Closes)),
    ("1.0 keep-alive", b"GET / HTTP/1.0\r\nHost: a\r\nConnection: Keep-Alive\r\n\r\n", Accepted(Length::None, Open)),
    // Chunks.
    ("chunks", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n", Body(b"abc0123456789")),
    ("chunk extension", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b;c=\"d\"\r\nabc\r\n0;x\r\n\r\n", Body(b"abc")),
    ("chunk trailers", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 1\r\nHost: evil\r\n\r\n", Body(b"abc")),
    ("chunk size 0x3", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n", BodyRefused(BodyError::ChunkSize)),
    ("chunk size +3", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n+3\r\nabc\r\n0\r\n\r\n", BodyRefused(BodyError::ChunkSize)),
    ("chunk size -3", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n-3\r\nabc\r\n0\r\n\r\n", BodyRefused(BodyError::ChunkSize)),
    ("chunk size empty", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\r\nabc\r\n0\r\n\r\n", BodyRefused(BodyError::ChunkSize)),
    ("chunk size with space", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3 \r\nabc\r\n0\r\n\r\n", BodyRefused(BodyError::ChunkSize)),
    ("chunk size behind space", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n 3\r\nabc\r\n0\r\n\r\n", BodyRefused(BodyError::ChunkSize)),
    ("chunk size with underscore", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3_0\r\nabc\r\n0\r\n\r\n", BodyRefused(BodyError::ChunkSize)),
    ("chunk size of 17 digits", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000003\r\nabc\r\n0\r\n\r\n", BodyRefused(BodyError::ChunkSize)),
    ("chunk size that wraps when signed", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nabc\r\n0\r\n\r\n", BodyRefused(BodyError::ChunkSize)),
    ("chunk size ended by LF", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n", BodyRefused(BodyError::ChunkSize)),
    ("chunk extension with bare CR", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;a\rb\r\nabc\r\n0\r\n\r\n", BodyRefused(BodyError::ChunkExtension)),
    ("chunk extension ended by LF", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;a\nabc\r\n0\r\n\r\n", BodyRefused(BodyError::ChunkSize)),
    ("chunk longer than its size", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n", BodyRefused(BodyError::ChunkEnd)),
    ("chunk ended by LF", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\n0\r\n\r\n", BodyRefused(BodyError::ChunkEnd)),
    ("trailers with bare LF", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: y\n\r\n", BodyRefused(BodyError::Trailers(E::BareLineFeed))),
    ("trailers folded", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: y\r\n z\r\n\r\n", BodyRefused(BodyError::Trailers(E::FoldedLine))),
    ("chunks without end", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", Incomplete),
];

#[derive(Debug, PartialEq)]
enum Outcome {
    Refused(HeadError),
    BodyRefused(BodyError),
    Message { framing: Framing, body: Vec<u8>, rest: Vec<u8> },
    Incomplete,
}

fn run(input: &[u8], step: usize) -> (Outcome, RequestHead) {
    let (mut head, mut reader, mut buffer) = (RequestHead::default(), RequestReader::default(), BytesMut::new());
    let mut pieces = input.chunks(step);
    loop {
        match reader.read(&mut buffer, LIMITS, &mut head) {
            Err(error) => return (Outcome::Refused(error), head),
            Ok(true) => break,
            Ok(false) => match pieces.next() {
                Some(piece) => buffer.put_slice(piece),
                None => return (Outcome::Incomplete, head),
            },
        }
    }
    let framing = match request_framing(&mut head) {
        Ok(framing) => framing,
        Err(error) => return (Outcome::Refused(error), head),
    };
    let (mut decoder, mut body) = (BodyDecoder::new(framing.length), Vec::new());
    loop {
        match decoder.decode(&mut buffer, false) {
            Err(error) => return (Outcome::BodyRefused(error), head),
            Ok(Some(BodyPart::Data(data))) => body.extend_from_slice(&data),
            Ok(Some(BodyPart::Trailers(fields))) => assert!(fields.first(Known::Host).is_none()),
            Ok(Some(BodyPart::End)) => break,
            Ok(None) => match pieces.next() {
                Some(piece) => buffer.put_slice(piece),
                None => return (Outcome::Incomplete, head),
            },
        }
    }
    let mut rest = buffer.to_vec();
    pieces.for_each(|piece| rest.extend_from_slice(piece));
    (Outcome::Message { framing, body, rest }, head)
}

#[test]
fn every_case_whole_and_byte_by_byte() {
    let mut wrong = Vec::new();
    for (name, input, want) in CASES {
        for step in [input.len(), 1, 3, 7] {
            let (got, _) = run(input, step);
            let is_right = match (want, &got) {
                (Refused(want), Outcome::Refused(got)) => want == got,
                (BodyRefused(want), Outcome::BodyRefused(got)) => want == got,
                (Accepted(length, keeps), Outcome::Message { framing, .. }) => {
                    *length == framing.length && (*keeps == Open) == framing.is_persistent
                }
                (Body(want), Outcome::Message { body, .. }) => *want == body.as_slice(),
                (Incomplete, Outcome::Incomplete) => true,
                _ => false,
            };
            if !is_right {
                wrong.push(format!("{name} (fed by {step}): {got:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), CASES.len() * 4, wrong.join("\n"));
}

#[test]
fn what_follows_a_message_is_the_next_message() {
    for (name, input, want) in CASES {
        let (Outcome::Message { rest, .. }, _) = run(input, input.len()) else { continue };
        let is_trailing = matches!(*name, "920640-5 bytes behind the head" | "920170-4 length shorter than sent");
        let _ = want;
        assert_eq!(rest.is_empty(), !is_trailing, "{name}: {:?}", String::from_utf8_lossy(&rest));
    }
}

#[test]
fn rules_see_what_was_sent() {
    let (_, head) = run(b"gEt /a?b#".split(|b| *b == b'#').next().unwrap(), 1);
    assert_eq!(head.line(), b"");
    let input = b"GET http://shop.test?x=1 HTTP/1.1\r\nHOST: other.test\r\nx-A: 1\r\nX-a:   2  \r\nContent-Type: a\r\nContent-Type: b\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    let (_, head) = run(input, 5);
    assert_eq!(head.line(), b"GET http://shop.test?x=1 HTTP/1.1");
    assert_eq!(head.target(), b"http://shop.test?x=1");
    assert_eq!(head.path_and_query(), b"/?x=1");
    assert_eq!(head.authority(), b"shop.test");
    let fields: Vec<_> = head.fields.iter().collect();
    let want: Vec<(&[u8], &[u8])> = vec![
        (b"HOST", b"other.test"),
        (b"x-A", b"1"),
        (b"X-a", b"2"),
        (b"Content-Type", b"a, b"),
        (b"Transfer-Encoding", b"chunked"),
    ];
    assert_eq!(fields, want);
}

#[test]
fn head_limits() {
    let long_target = [b"GET /".as_slice(), &[b'a'; 9000], b" HTTP/1.1\r\nHost: a\r\n\r\n"].concat();
    let long_value = [b"GET / HTTP/1.1\r\nHost: a\r\nX: ".as_slice(), &[b'a'; 9000], b"\r\n\r\n"].concat();
    let many = [b"GET / HTTP/1.1\r\nHost: a\r\n".as_slice(), &b"a: b\r\n".repeat(100), b"\r\n"].concat();
    for step in [1, 100_000] {
        assert_eq!(run(&long_target, step).0, Outcome::Refused(E::RequestLineTooLong));
        assert_eq!(run(&long_value, step).0, Outcome::Refused(E::TooLarge));
        assert_eq!(run(&many, step).0, Outcome::Refused(E::TooManyFields));
    }
    assert_eq!((E::RequestLineTooLong.status(), E::TooLarge.status(), E::TooManyFields.status()), (414, 431, 431));
}

#[test]
fn chunk_limits() {
    let head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".as_slice();
    let long_extension = [head, b"1;", &[b'a'; 600]].concat();
    let many_extensions = [head, &[b"1;".as_slice(), &[b'a'; 400], b"\r\nx\r\n"].concat().repeat(50)].concat();
    let long_trailers = [head, b"0\r\nX: ", &[b'a'; 9000]].concat();
    let many_trailers = [head, b"0\r\n", &b"X: y\r\n".repeat(33), b"\r\n"].concat();
    for step in [1, 100_000] {
        assert_eq!(run(&long_extension, step).0, Outcome::BodyRefused(BodyError::ChunkExtension));
        assert_eq!(run(&many_extensions, step).0, Outcome::BodyRefused(BodyError::ChunkExtension));
        assert_eq!(run(&long_trailers, step).0, Outcome::BodyRefused(BodyError::Trailers(E::TooLarge)));
        assert_eq!(run(&many_trailers, step).0, Outcome::BodyRefused(BodyError::Trailers(E::TooManyFields)));
    }
}

/// (bytes, is the request HEAD, framing)
type ResponseCase = (&'static [u8], bool, Result<(Length, bool), HeadError>);

const RESPONSES: &[ResponseCase] = &[
    (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", false, Ok((Length::Bytes(2), true))),
    (b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\n", false, Ok((Length::Bytes(2), true))),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", true, Ok((Length::None, true))),
    (b"HTTP/1.1 204 No\r\nContent-Length: 2\r\n\r\n", false, Ok((Length::None, true))),
    (b"HTTP/1.1 304 \r\nContent-Length: 2\r\n\r\n", false, Ok((Length::None, true))),
    (b"HTTP/1.1 100 Continue\r\n\r\n", false, Ok((Length::None, true))),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", false, Ok((Length::Chunked, true))),
    (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n",
        false,
        Ok((Length::Chunked, false)),
    ),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", false, Err(E::TransferEncoding)),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n", false, Err(E::ConflictingContentLengths)),
    (b"HTTP/1.1 200 OK\r\n\r\n", false, Ok((Length::UntilClose, false))),
    (b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\n", false, Ok((Length::Bytes(3), false))),
    (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 3\r\n\r\n", false, Ok((Length::Bytes(3), true))),
    (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 3\r\n\r\n", false, Ok((Length::Bytes(3), false))),
    (b"HTTP/1.1 200 OK\nContent-Length: 3\n\n", false, Err(E::BareLineFeed)),
    (b"HTTP/1.1 200 O\rK\r\nContent-Length: 3\r\n\r\n", false, Err(E::StatusLine)),
    (b"HTTP/1.1 200 OK\r\nX: a\rb\r\n\r\n", false, Err(E::ControlCharacter)),
    (b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n", false, Err(E::FoldedLine)),
    (b"HTTP/1.1 20 OK\r\n\r\n", false, Err(E::StatusLine)),
    (b"HTTP/1.1 2000 OK\r\n\r\n", false, Err(E::StatusLine)),
    (b"HTTP/2 200 OK\r\n\r\n", false, Err(E::StatusLine)),
    (b"ICY 200 OK\r\n\r\n", false, Err(E::StatusLine)),
];

#[test]
fn responses() {
    for (input, is_head_request, want) in RESPONSES {
        for step in [1, input.len()] {
            let (mut head, mut reader, mut buffer) =
                (ResponseHead::default(), ResponseReader::default(), BytesMut::new());
            let mut got = Ok(false);
            for piece in input.chunks(step) {
                buffer.put_slice(piece);
                got = reader.read(&mut buffer, LIMITS, &mut head);
                if got != Ok(false) {
                    break;
                }
            }
            let got = got.and_then(|is_complete| {
                assert!(is_complete, "{:?}", String::from_utf8_lossy(input));
                response_framing(&head, *is_head_request).map(|framing| (framing.length, framing.is_persistent))
            });
            assert_eq!(got, *want, "{:?}", String::from_utf8_lossy(input));
        }
    }
}
