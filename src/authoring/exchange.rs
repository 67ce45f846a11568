//! One request through the gateway's own front end and the rule engine, in process.
//!
//! The steps are those of the gateway's path: head, framing, phase 1, body, phase 2, backend, phase 3, body, phase 4,
//! phase 5. What the front end refuses is refused here by the same code, before any rule runs.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use bytes::BytesMut;

use super::backend;
use crate::http::h1::{BodyDecoder, BodyPart, HeadLimits, RequestReader, request_framing};
use crate::http::{HeadError, RequestHead, path_of};
use crate::limits;
use crate::waf::{
    BodyStep, Connection, Disruption, Interruption, Program, RequestLine, Scratch, Summary, Transaction, Verdict,
};

/// What came back for a request.
#[derive(Debug)]
pub struct Exchange {
    /// The answer's status, or why there is none.
    pub answer: Answer,
    /// Head and body of the answer.
    pub response: Vec<u8>,
    /// Log lines of the request, one for each logged match.
    pub log: Vec<Vec<u8>>,
    /// What the engine left; absent when the rules did not run, or not here.
    pub summary: Option<Summary>,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// With this status.
    Status(u16),
    /// None: the connection ended without one.
    None(String),
    /// Nothing is known, because the runner itself failed: every case fails.
    Unknown(String),
}

/// Where requests go.
pub trait Target {
    /// Sends the bytes of one request on a connection of its own.
    fn send(&mut self, request: &[u8]) -> Exchange;
}

/// The rule engine in process, in front of the model backend.
#[derive(Debug)]
pub struct Engine<'p> {
    program: &'p Program,
    scratch: Scratch,
    sent: u64,
}

impl<'p> Engine<'p> {
    /// An engine for one thread.
    pub fn new(program: &'p Program) -> Self {
        Self { program, scratch: Scratch::default(), sent: 0 }
    }

    /// Counts a request that is not sent, so that engines that are compared agree on the time.
    pub fn skip(&mut self) {
        self.sent += 1;
    }

    /// The rules' part of [`Target::send`], for a head that was accepted and a whole body.
    pub fn inspect(&mut self, head: &RequestHead, body: &[u8]) -> Exchange {
        self.sent += 1;
        let unique_id = format!("case-{}", self.sent);
        let connection = Connection {
            client_address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            client_port: 40_000,
            server_address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            server_port: 443,
            unique_id: &unique_id,
            now: EPOCH + Duration::from_secs(self.sent),
            is_detection_only: false,
        };
        let (program, scratch) = (self.program, &mut self.scratch);
        let mut transaction = Transaction::new(program, scratch, &connection);
        let answered = converse(program, scratch, &mut transaction, head, body);
        let summary = transaction.finish(program, scratch, Duration::from_micros(1));
        transaction.recycle(scratch);
        let (answer, response) = match answered {
            Ok(response) => (Answer::Status(response.status), text_of(&response)),
            Err(Ended::Refused(status)) => (Answer::Status(status), refusal(status)),
            Err(Ended::Interrupted(interruption)) => match interruption.disruption {
                Disruption::Deny { status } | Disruption::Redirect { status, .. } => {
                    (Answer::Status(status), refusal(status))
                }
                Disruption::Drop => (Answer::None("a rule dropped the connection".into()), Vec::new()),
            },
        };
        let lines = summary.matches.iter().map(|each| &each.line_text);
        let log = summary.notices.iter().chain(lines).cloned().collect();
        Exchange { answer, response, log, summary: Some(summary) }
    }
}

/// A request in 2026; rules see a fixed clock that moves a second with each request.
const EPOCH: Duration = Duration::from_secs(1_780_000_000);

impl Target for Engine<'_> {
    fn send(&mut self, request: &[u8]) -> Exchange {
        match read(request) {
            Ok((head, body)) => self.inspect(&head, &body),
            Err(answer) => {
                self.sent += 1;
                let response = match &answer {
                    Answer::Status(status) => refusal(*status),
                    Answer::None(_) | Answer::Unknown(_) => Vec::new(),
                };
                Exchange { answer, response, log: Vec::new(), summary: None }
            }
        }
    }
}

/// The head and body of a request, or the front end's answer to what is none.
pub fn read(request: &[u8]) -> Result<(RequestHead, Vec<u8>), Answer> {
    let refuse = |error: HeadError| match error {
        HeadError::NoVersion => Answer::None(error.to_string()),
        _ => Answer::Status(error.status()),
    };
    let mut buffer = BytesMut::from(request);
    let mut head = RequestHead::default();
    let limits = HeadLimits { bytes: limits::REQUEST_HEAD_BYTES, fields: limits::REQUEST_HEADERS };
    match RequestReader::default().read(&mut buffer, limits, &mut head) {
        Ok(true) => {}
        Ok(false) => return Err(Answer::None("the request head is incomplete".into())),
        Err(error) => return Err(refuse(error)),
    }
    let framing = request_framing(&mut head).map_err(refuse)?;
    let mut decoder = BodyDecoder::new(framing.length);
    let mut body = Vec::new();
    loop {
        match decoder.decode(&mut buffer, true) {
            Ok(Some(BodyPart::Data(data))) => body.extend_from_slice(&data),
            Ok(Some(BodyPart::End)) => return Ok((head, body)),
            Ok(Some(BodyPart::Trailers(_))) => {}
            Ok(None) => return Err(Answer::None("the request body is incomplete".into())),
            Err(crate::http::BodyError::Incomplete) => {
                return Err(Answer::None("the request body is incomplete".into()));
            }
            Err(_) => return Err(Answer::Status(400)),
        }
    }
}

/// Why the backend's answer does not reach the client.
enum Ended {
    /// A rule.
    Interrupted(Interruption),
    /// A body that is longer than the rules allow.
    Refused(u16),
}

fn decided(verdict: Verdict) -> Result<(), Ended> {
    match verdict {
        Verdict::Allow => Ok(()),
        Verdict::Deny(interruption) => Err(Ended::Interrupted(interruption)),
    }
}

fn converse(
    program: &Program,
    scratch: &mut Scratch,
    transaction: &mut Transaction,
    head: &RequestHead,
    body: &[u8],
) -> Result<backend::Response, Ended> {
    let line =
        RequestLine { raw: head.line(), method: head.method(), target: head.target(), protocol: head.protocol() };
    decided(transaction.request_headers(program, scratch, line, head.fields.iter()))?;
    if transaction.wants_request_body() && transaction.request_body(program, body) == BodyStep::Reject {
        return Err(Ended::Refused(413));
    }
    decided(transaction.finish_request_body(program, scratch))?;

    let response = backend::answer(head.method(), path_of(head.path_and_query()), body);
    let fields = response.headers.iter().map(|(name, value)| (name.as_bytes(), value.as_slice()));
    decided(transaction.response_headers(program, scratch, response.status, b"HTTP/1.1", fields))?;
    if transaction.wants_response_body() && transaction.response_body(program, &response.body) == BodyStep::Reject {
        return Err(Ended::Refused(502));
    }
    decided(transaction.finish_response_body(program, scratch))?;
    Ok(response)
}

fn text_of(response: &backend::Response) -> Vec<u8> {
    let mut out = format!("HTTP/1.1 {} \r\n", response.status).into_bytes();
    for (name, value) in &response.headers {
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(&response.body);
    out
}

fn refusal(status: u16) -> Vec<u8> {
    format!("HTTP/1.1 {status} \r\nContent-Length: 0\r\n\r\n").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_front_end_answers_before_the_rules() {
        let root = crate::diagnostics::Source::new("a.conf", "SecRuleEngine On\n");
        let program = super::super::rule_set::compile(&root, &crate::seclang::source::MemoryLoader::new()).unwrap().0;
        let mut engine = Engine::new(&program);
        let ok = engine.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(ok.answer, Answer::Status(200));
        assert!(ok.summary.is_some());
        let bad = engine.send(b"GET /#x HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(bad.answer, Answer::Status(400));
        assert!(bad.summary.is_none());
        assert!(matches!(engine.send(b"GET /\r\nHost: a\r\n\r\n").answer, Answer::None(_)));
        assert!(matches!(
            engine.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nab").answer,
            Answer::None(_)
        ));
        assert_eq!(engine.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\nrest").answer, Answer::Status(200));
    }
}
