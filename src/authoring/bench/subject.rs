//! A request taken apart and ready to run, as often as one likes.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use super::scenario::plain_answer;
use super::{Decision, Scenario};
use crate::authoring::Answer;
use crate::authoring::backend::Response;
use crate::authoring::exchange::read;
use crate::http::RequestHead;
use crate::waf::{BodyStep, Connection, Program, RequestLine, Scratch, Summary, Transaction, Verdict};

/// What runs: the engine's part of an exchange, without the codec.
#[derive(Debug)]
pub struct Subject {
    /// The scenario's or the file's.
    pub name: String,
    head: RequestHead,
    body: Vec<u8>,
    response: Response,
    /// Does it need rules that inspect bodies of responses?
    pub inspects_response: bool,
}

/// What came of a run.
#[derive(Debug)]
pub struct Run {
    /// Did it reach its end?
    pub decision: Decision,
    /// The status it was blocked with.
    pub status: Option<u16>,
    /// What the engine left.
    pub summary: Summary,
}

/// A part of a run, for those who want to know how long each takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The transaction is made.
    Begin,
    /// The head is taken in, phase 1.
    RequestHead,
    /// The body is taken in.
    RequestBody,
    /// The body is parsed, phase 2.
    Phase2,
    /// The answer's head is taken in, phase 3.
    ResponseHead,
    /// The answer's body is taken in, phase 4.
    ResponseBody,
    /// Phase 5, the summary, and the transaction is given up.
    Finish,
}

impl Stage {
    /// In order.
    pub const ALL: [Self; 7] = [
        Self::Begin,
        Self::RequestHead,
        Self::RequestBody,
        Self::Phase2,
        Self::ResponseHead,
        Self::ResponseBody,
        Self::Finish,
    ];

    /// For tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Begin => "begin",
            Self::RequestHead => "request head, phase 1",
            Self::RequestBody => "request body, taken in",
            Self::Phase2 => "request body, parsed, and phase 2",
            Self::ResponseHead => "response head, phase 3",
            Self::ResponseBody => "response body, phase 4",
            Self::Finish => "phase 5 and summary",
        }
    }
}

impl Subject {
    /// Of the bytes of a request, answered as the laboratory's backend does; or the front end's own answer to them.
    pub fn new(name: impl Into<String>, request: &[u8]) -> Result<Self, Answer> {
        let (head, body) = read(request)?;
        Ok(Self { name: name.into(), head, body, response: plain_answer(), inspects_response: false })
    }

    /// Of a scenario.
    pub fn of(scenario: &Scenario) -> Result<Self, Answer> {
        let mut subject = Self::new(scenario.name, &scenario.request)?;
        subject.response = scenario.response.clone();
        subject.inspects_response = scenario.inspects_response;
        Ok(subject)
    }

    /// Bytes that are inspected: target, names and values of fields, bodies.
    pub fn bytes(&self) -> usize {
        let fields: usize = self.head.fields.iter().map(|(name, value)| name.len() + value.len()).sum();
        let answer = if self.inspects_response { self.response.body.len() } else { 0 };
        self.head.line().len() + fields + self.body.len() + answer
    }

    /// The request's head.
    pub const fn head(&self) -> &RequestHead {
        &self.head
    }

    /// The request's body.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The backend's answer.
    pub const fn response(&self) -> &Response {
        &self.response
    }

    /// Runs all phases. Id and time are the same in every run, so that runs cost the same.
    pub fn run(&self, program: &Program, scratch: &mut Scratch) -> Run {
        self.run_in_stages(program, scratch, |_| {})
    }

    /// The same, and `done` hears of the end of each stage.
    pub fn run_in_stages(&self, program: &Program, scratch: &mut Scratch, mut done: impl FnMut(Stage)) -> Run {
        let mut transaction = Transaction::new(program, scratch, &CONNECTION);
        done(Stage::Begin);
        let status = self.converse(program, scratch, &mut transaction, &mut done).err();
        let summary = transaction.finish(program, scratch, Duration::from_micros(1));
        transaction.recycle(scratch);
        done(Stage::Finish);
        let decision = if status.is_some() { Decision::Blocked } else { Decision::Passes };
        Run { decision, status, summary }
    }

    /// The steps of the gateway's path; the status where it ends early.
    fn converse(
        &self,
        program: &Program,
        scratch: &mut Scratch,
        transaction: &mut Transaction,
        done: &mut impl FnMut(Stage),
    ) -> Result<(), u16> {
        let head = &self.head;
        let line =
            RequestLine { raw: head.line(), method: head.method(), target: head.target(), protocol: head.protocol() };
        let verdict = transaction.request_headers(program, scratch, line, head.fields.iter());
        done(Stage::RequestHead);
        decided(verdict)?;

        let mut step = BodyStep::Continue;
        if transaction.wants_request_body() {
            step = feed(&self.body, |chunk| transaction.request_body(program, chunk));
        }
        done(Stage::RequestBody);
        if step == BodyStep::Reject {
            return Err(413);
        }
        let verdict = transaction.finish_request_body(program, scratch);
        done(Stage::Phase2);
        decided(verdict)?;

        let response = &self.response;
        let fields = response.headers.iter().map(|(name, value)| (name.as_bytes(), value.as_slice()));
        let verdict = transaction.response_headers(program, scratch, response.status, b"HTTP/1.1", fields);
        done(Stage::ResponseHead);
        decided(verdict)?;

        let mut step = BodyStep::Continue;
        if transaction.wants_response_body() {
            step = feed(&response.body, |chunk| transaction.response_body(program, chunk));
        }
        if step == BodyStep::Reject {
            done(Stage::ResponseBody);
            return Err(502);
        }
        let verdict = transaction.finish_response_body(program, scratch);
        done(Stage::ResponseBody);
        decided(verdict)
    }
}

/// As the gateway reads from its sockets.
const CHUNK_BYTES: usize = 16 << 10;

const CONNECTION: Connection<'static> = Connection {
    client_address: IpAddr::V4(Ipv4Addr::LOCALHOST),
    client_port: 40_000,
    server_address: IpAddr::V4(Ipv4Addr::LOCALHOST),
    server_port: 443,
    unique_id: "bench-0000000001",
    now: Duration::from_secs(1_780_000_000),
    is_detection_only: false,
};

fn feed(body: &[u8], mut take: impl FnMut(&[u8]) -> BodyStep) -> BodyStep {
    body.chunks(CHUNK_BYTES).map(&mut take).find(|step| *step != BodyStep::Continue).unwrap_or(BodyStep::Continue)
}

fn decided(verdict: Verdict) -> Result<(), u16> {
    use crate::waf::Disruption;
    match verdict {
        Verdict::Allow => Ok(()),
        Verdict::Deny(interruption) => Err(match interruption.disruption {
            Disruption::Deny { status } | Disruption::Redirect { status, .. } => status,
            Disruption::Drop => 0,
        }),
    }
}
