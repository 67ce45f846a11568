//! What the gateway answers itself, and how any response head is written to a client.
//!
//! The only place where a [`Fault`] becomes a status. Every such answer names its cause and carries the request id:
//! as a page for browsers, as RFC 9457 problem details for everyone else.

use std::cell::RefCell;
use std::time::Duration;

use bytes::{Bytes, BytesMut};

use super::backend::Backend;
use super::fault::Fault;
use super::grpc;
use super::identify::RequestId;
use super::relay::Http1Client;
use super::request::Exchange;
use crate::http::h1::{Length, encode};
use crate::http::{Known, RequestHead, Version, hop};
use crate::telemetry::{Action, JsonLine};
use crate::waf::{Disruption, Interruption};

/// An answer of the gateway's own.
#[derive(Debug, Clone)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) content_type: &'static str,
    pub(super) location: Option<Vec<u8>>,
    pub(super) body: Bytes,
    pub(super) grpc: Option<grpc::Status>,
}

impl Reply {
    pub(super) fn text(status: u16, body: Bytes) -> Self {
        Self { status, content_type: "text/plain; charset=utf-8", location: None, body, grpc: None }
    }

    pub(super) fn redirect(status: u16, location: Vec<u8>) -> Self {
        Self {
            status,
            content_type: "text/plain; charset=utf-8",
            location: Some(location),
            body: Bytes::new(),
            grpc: None,
        }
    }

    /// What a fault is answered with; notes it for the record. `None`: nobody is there to answer.
    pub(super) fn of_fault(fault: Fault, exchange: &mut Exchange) -> Option<Self> {
        let reply = Self::explained(fault.status(), &fault.detail, exchange);
        exchange.outcome.action = Action::Fault;
        exchange.outcome.status = if fault.is_unanswerable() { fault.status() } else { reply.status };
        let is_unanswerable = fault.is_unanswerable();
        exchange.outcome.fault = Some(fault);
        (!is_unanswerable).then_some(reply)
    }

    /// What a blocked request is answered with. `None`: the rule wants the connection closed without a word. Which
    /// rule it was is for the log; the page gives the id to find it by.
    pub(super) fn of_denial(interruption: &Interruption, exchange: &mut Exchange) -> Option<Self> {
        exchange.outcome.action = Action::Deny;
        match &interruption.disruption {
            Disruption::Deny { status } => {
                // A rule may say 200 or nonsense; a block is an error to its reader.
                let status = if (400..600).contains(status) { *status } else { 403 };
                Some(Self::blocked(status, exchange))
            }
            Disruption::Redirect { status, location } => {
                let is_clean = location.iter().all(|byte| byte.is_ascii_graphic());
                if is_clean && !grpc::is_request(&exchange.head) {
                    exchange.outcome.status = *status;
                    return Some(Self::redirect(*status, location.clone()));
                }
                Some(Self::blocked(403, exchange))
            }
            Disruption::Drop => {
                exchange.outcome.status = 0;
                None
            }
        }
    }

    fn blocked(status: u16, exchange: &mut Exchange) -> Self {
        let detail = "This request was stopped by a security rule of the gateway.";
        let mut reply = Self::explained(status, detail, exchange);
        if let Some(status) = &mut reply.grpc {
            status.code = grpc::PERMISSION_DENIED;
        }
        exchange.outcome.status = reply.status;
        reply
    }

    fn explained(status: u16, detail: &str, exchange: &Exchange) -> Self {
        if grpc::is_request(&exchange.head) {
            let status = grpc::Status::of(status, detail);
            let content_type = "application/grpc";
            return Self { status: 200, content_type, location: None, body: Bytes::new(), grpc: Some(status) };
        }
        let title = encode::standard_reason(status);
        if wants_html(&exchange.head) {
            let id = exchange.id.as_str();
            let title = String::from_utf8_lossy(title);
            let body = format!(
                "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>{status} {title}</title>\n\
                 <style>body{{font:1rem/1.5 system-ui,sans-serif;max-width:40rem;margin:4rem auto;padding:0 1rem}}\
                 code{{background:#8882;padding:.1em .3em}}</style>\n\
                 <h1>{status} {title}</h1>\n<p>{}</p>\n<p>Request id: <code>{id}</code></p>\n</html>\n",
                escape_html(detail)
            );
            return Self {
                body: body.into(),
                content_type: "text/html; charset=utf-8",
                ..Self::text(status, Bytes::new())
            };
        }
        let body = problem(status, title, detail, exchange.id.as_bytes());
        Self { content_type: "application/problem+json", ..Self::text(status, body.into()) }
    }

    /// The header fields that every answer of ours has.
    pub(super) fn fields(&self, id: &RequestId, started: Duration, mut put: impl FnMut(&[u8], &[u8])) {
        with_date(started, |date| put(b"date", date));
        if !self.body.is_empty() || self.grpc.is_some() {
            put(b"content-type", self.content_type.as_bytes());
        }
        if let Some(status) = &self.grpc {
            status.fields(&mut put);
        }
        if let Some(location) = &self.location {
            put(b"location", location);
        }
        put(b"cache-control", b"no-store");
        put(b"x-request-id", id.as_bytes());
    }

    /// Queues it for an HTTP/1 client.
    pub(super) fn encode_http1(&self, exchange: &Exchange, client: &mut Http1Client, is_persistent: bool) {
        let out = &mut client.out.tail;
        encode::status_line(out, self.status, b"");
        self.fields(&exchange.id, exchange.started_unix, |name, value| encode::field(out, name, value));
        if !matches!(self.status, 204 | 304) {
            encode::length(out, Length::Bytes(self.body.len() as u64));
        }
        encode_connection(out, client.version, is_persistent);
        encode::end_of_head(out);
        if exchange.head.method() != b"HEAD" {
            client.out.push_shared(&self.body);
        }
    }
}

/// Problem details of RFC 9457. All but the id is the same in one answer after the other when a client is attacking, and is
/// kept as written.
fn problem(status: u16, title: &[u8], detail: &str, id: &[u8]) -> Vec<u8> {
    #[derive(Default)]
    struct Problem {
        status: u16,
        detail: String,
        /// Up to the id.
        text: Vec<u8>,
    }
    thread_local! {
        static LAST: RefCell<Problem> = RefCell::default();
    }
    LAST.with_borrow_mut(|last| {
        if last.text.is_empty() || last.status != status || last.detail != detail {
            last.text.clear();
            let mut line = JsonLine::new(&mut last.text);
            line.bytes("type", b"about:blank");
            line.bytes("title", title);
            line.number("status", status);
            line.bytes("detail", detail.as_bytes());
            (last.status, last.detail) = (status, detail.to_owned());
        }
        let mut body = Vec::with_capacity(last.text.len() + id.len() + ID_BYTES);
        body.extend_from_slice(&last.text);
        let mut line = JsonLine::resumed(&mut body);
        line.bytes("request_id", id);
        line.finish();
        body
    })
}

/// Name and punctuation of the id. Exactly: bytes that fill their room need no count of references beside them.
const ID_BYTES: usize = r#","request_id":""}"#.len() + 1;

/// A browser says `text/html` before it says JSON.
fn wants_html(head: &RequestHead) -> bool {
    let position = |value: &[u8], kind: &[u8]| memchr::memmem::find(value, kind);
    head.fields.all(Known::Accept).any(|value| {
        let (html, json) = (position(value, b"text/html"), position(value, b"json"));
        html.is_some_and(|html| json.is_none_or(|json| html < json))
    })
}

fn escape_html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            other => out.push(other),
        }
    }
    out
}

/// How a backend's body is framed for an HTTP/1 client, and whether the connection can go on after it.
pub(super) fn sink(version: Version, length: Length) -> (Length, bool) {
    match length {
        Length::None | Length::Bytes(_) => (length, true),
        Length::Chunked | Length::UntilClose if version == Version::Http10 => (Length::UntilClose, false),
        Length::Chunked | Length::UntilClose => (Length::Chunked, true),
    }
}

/// Header fields of a backend's response for the client, but those that frame the body.
pub(super) fn response_fields(exchange: &Exchange, backend: &Backend, mut put: impl FnMut(&[u8], &[u8])) {
    let fields = &backend.head.fields;
    let named = hop::Named::new(fields);
    let mut has_date = false;
    for (known, name, value) in fields.iter_known() {
        has_date |= known == Known::Date;
        // The id that we gave the request is the one that our logs know.
        if known != Known::XRequestId && !hop::is_hop(known) && !named.contains(known, name) {
            put(name, value);
        }
    }
    if !has_date {
        with_date(exchange.started_unix, |date| put(b"date", date));
    }
    put(b"x-request-id", exchange.id.as_bytes());
}

/// Content-Length of a response without a body that describes one (HEAD, 304).
pub(super) fn described_length<'a>(exchange: &Exchange, backend: &'a Backend) -> Option<&'a [u8]> {
    let describes = backend.framing.length == Length::None
        && (backend.head.status == 304 || (exchange.head.method() == b"HEAD" && backend.head.status != 204));
    let value = describes.then(|| backend.head.fields.first(Known::ContentLength)).flatten()?;
    (!value.is_empty() && value.iter().all(u8::is_ascii_digit)).then_some(value)
}

/// Queues a backend's response head for an HTTP/1 client.
pub(super) fn encode_response_head(
    exchange: &Exchange,
    backend: &Backend,
    sink: Length,
    version: Version,
    is_persistent: bool,
    out: &mut BytesMut,
) {
    out.reserve(1024);
    encode::status_line(out, backend.head.status, backend.head.reason());
    response_fields(exchange, backend, |name, value| encode::field(out, name, value));
    match described_length(exchange, backend) {
        Some(length) => encode::field(out, b"content-length", length),
        None => encode::length(out, sink),
    }
    encode_connection(out, version, is_persistent);
    encode::end_of_head(out);
}

fn encode_connection(out: &mut BytesMut, version: Version, is_persistent: bool) {
    if !is_persistent {
        encode::field(out, b"connection", b"close");
    } else if version == Version::Http10 {
        encode::field(out, b"connection", b"keep-alive");
    }
}

/// The time as a Date header, formatted once a second.
fn with_date(now: Duration, put: impl FnOnce(&[u8])) {
    thread_local! {
        static DATE: RefCell<(u64, String)> = const { RefCell::new((u64::MAX, String::new())) };
    }
    DATE.with_borrow_mut(|(seconds, text)| {
        if *seconds != now.as_secs() {
            *seconds = now.as_secs();
            *text = http_date(*seconds);
        }
        put(text.as_bytes());
    });
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`
fn http_date(seconds: u64) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Days to a date of the Gregorian calendar, years beginning in March (Howard Hinnant's public-domain method).
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 2 } else { month - 10 };
    let year = year_of_era + era * 400 + u64::from(month < 2);
    let name = |names: &[&'static str], at: u64| names.get(at as usize).copied().unwrap_or_default();
    format!(
        "{}, {day:02} {} {year} {:02}:{:02}:{:02} GMT",
        name(&DAYS, days % 7),
        name(&MONTHS, month),
        rest / 3600,
        rest / 60 % 60,
        rest % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        assert_eq!(http_date(0), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(http_date(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(http_date(1_709_164_800), "Thu, 29 Feb 2024 00:00:00 GMT");
        assert_eq!(http_date(4_102_444_799), "Thu, 31 Dec 2099 23:59:59 GMT");
    }

    #[test]
    fn problems_are_json_that_fills_its_room() {
        for (status, detail, id) in [(403, "no", "a"), (403, "no", "b"), (403, "\"never\"", "b"), (502, "no", "c")] {
            let body = problem(status, b"Title", detail, id.as_bytes());
            let value: serde_json::Value = serde_json::from_slice(&body).unwrap();
            let expected = serde_json::json!({
                "type": "about:blank", "title": "Title", "status": status, "detail": detail, "request_id": id
            });
            assert_eq!(value, expected);
            assert_eq!((body.len(), body.last()), (body.capacity(), Some(&b'\n')));
        }
    }

    #[test]
    fn framing_for_old_and_new_clients() {
        assert_eq!(sink(Version::Http11, Length::Chunked), (Length::Chunked, true));
        assert_eq!(sink(Version::Http11, Length::UntilClose), (Length::Chunked, true));
        assert_eq!(sink(Version::Http10, Length::Chunked), (Length::UntilClose, false));
        assert_eq!(sink(Version::Http10, Length::Bytes(3)), (Length::Bytes(3), true));
    }
}
