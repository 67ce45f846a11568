//! One request and its response, run through the phases.
//!
//! The gateway calls the methods in order; each of them fills in what the next phase can see and then runs the rules
//! of that phase ([`super::eval`]). All bytes lie in a few buffers owned by the transaction, and everything else refers
//! to them by position.

use std::net::IpAddr;
use std::time::Duration;

use super::audit;
use super::collection::Span;
use super::collection::arguments::Argument;
use super::collection::files::Multipart;
use super::collection::headers::Pair;
use super::collection::matched::Matched;
use super::collection::persistent::Persistent;
use super::collection::tx::TxStore;
use super::eval;
use super::line;
use super::program::{AllowScope, RuleSet};
use super::request::RequestHead;
use super::request_body::BodyState;
use super::response::ResponseState;
use super::settings::{AuditEngine, EngineMode, LimitAction};
use super::trace::Trace;
use super::{Interruption, Program, RuleMatch, Scratch, Verdict};
use crate::limits;

/// Who talks to whom, when, and under which id.
#[derive(Debug, Clone)]
pub struct Connection<'a> {
    /// REMOTE_ADDR
    pub client_address: IpAddr,
    /// REMOTE_PORT
    pub client_port: u16,
    /// SERVER_ADDR
    pub server_address: IpAddr,
    /// SERVER_PORT
    pub server_port: u16,
    /// UNIQUE_ID
    pub unique_id: &'a str,
    /// Time since the Unix epoch when the request began (TIME*, TIME_EPOCH, collections' expiry).
    pub now: Duration,
    /// The policy is in detection: nothing may interrupt, whatever SecRuleEngine says.
    pub is_detection_only: bool,
}

/// The request line, as sent.
#[derive(Debug, Clone, Copy)]
pub struct RequestLine<'a> {
    /// The whole line without its line end (REQUEST_LINE). For HTTP/2: `METHOD path HTTP/2.0`.
    pub raw: &'a [u8],
    /// REQUEST_METHOD
    pub method: &'a [u8],
    /// The target as sent (REQUEST_URI_RAW).
    pub target: &'a [u8],
    /// `HTTP/1.1`
    pub protocol: &'a [u8],
}

/// What to do with the next body bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyStep {
    /// Give more.
    Continue,
    /// The window is full and the rules process the part: call the finish function now, stream the rest.
    WindowFull,
    /// The window is full and the rules refuse (SecRequestBodyLimitAction Reject): 413, or 502 for a response.
    Reject,
}

/// What is left when a transaction is over.
#[derive(Debug, Default)]
pub struct Summary {
    /// Logged matches in order.
    pub matches: Vec<RuleMatch>,
    /// What the engine itself has to say, in the format of [`RuleMatch::line_text`]: a body that could not be read.
    pub notices: Vec<Vec<u8>>,
    /// The interruption, or in detection the first one that would have been.
    pub interruption: Option<Interruption>,
    /// Did that really end the transaction?
    pub is_interrupted: bool,
    /// `tx.blocking_inbound_anomaly_score` or its like, when the rules keep one.
    pub inbound_score: Option<i64>,
    /// `tx.blocking_outbound_anomaly_score`.
    pub outbound_score: Option<i64>,
    /// Audit log entry, when the rules want one (SecAuditEngine), in the format asked for.
    pub audit: Option<Vec<u8>>,
    /// What was visited and why, when [`super::EngineOptions::trace`] asks for it.
    pub trace: Option<Trace>,
}

/// One request and its response. The phases must be called in order; after a `Deny` only
/// [`Transaction::finish`].
#[derive(Debug)]
pub struct Transaction {
    /// Unlike that of any other transaction of the process. Zero is nobody's.
    pub(crate) serial: u64,
    /// Request head, arguments, cookies, TX values: everything that is not a body.
    pub(crate) arena: Vec<u8>,
    /// As received, transfer coding removed, up to the limit.
    pub(crate) request_body: Vec<u8>,
    /// As received, transfer coding removed, up to the limit.
    pub(crate) response_body: Vec<u8>,

    pub(crate) client_address: Span,
    pub(crate) client_port: u16,
    pub(crate) server_address: Span,
    pub(crate) server_port: u16,
    pub(crate) unique_id: Span,
    pub(crate) now: Duration,
    pub(crate) elapsed: Duration,

    pub(crate) request: RequestHead,
    pub(crate) request_headers: Vec<Pair>,
    pub(crate) cookies: Vec<Pair>,
    pub(crate) arguments: Vec<Argument>,
    pub(crate) body: BodyState,
    pub(crate) multipart: Multipart,
    pub(crate) xml: super::collection::xml::XmlState,
    pub(crate) response: ResponseState,
    pub(crate) response_headers: Vec<Pair>,

    pub(crate) tx: TxStore,
    pub(crate) matched: Matched,
    pub(crate) persistent: Persistent,
    pub(crate) environment: Vec<(Span, Span)>,
    pub(crate) geo: Vec<(Span, Span)>,
    pub(crate) highest_severity: u8,
    pub(crate) has_exhausted_regex: bool,
    /// Rules whose pattern ran out of its budget, each once.
    pub(crate) exhausted_rules: Vec<super::program::RuleIndex>,
    pub(crate) is_arena_full: bool,

    /// Phase under way, or the last one run.
    pub(crate) phase: u8,
    pub(crate) control: Control,
    /// Is what [`super::plan::Folding`] says of the program true of this transaction?
    pub(crate) is_folded: bool,
    pub(crate) removed_rules: RuleSet,
    pub(crate) removed_targets: Vec<super::action::ctl::RemovedTarget>,
    pub(crate) allow: Option<AllowScope>,
    /// Did a rule end this phase?
    pub(crate) is_phase_over: bool,
    /// Did a rule end the transaction?
    pub(crate) is_interrupted: bool,
    pub(crate) interruption: Option<Interruption>,
    pub(crate) matches: Vec<RuleMatch>,
    /// Is [`RuleMatch::line_text`] wanted?
    pub(crate) has_lines: bool,
    pub(crate) audit: audit::AuditNotes,
    pub(crate) trace: Option<Trace>,
}

/// Settings that `ctl` can change for one transaction.
#[derive(Debug, Clone)]
pub(crate) struct Control {
    pub(crate) engine: EngineMode,
    /// The policy forbids interruptions.
    pub(crate) is_detection_only: bool,
    pub(crate) request_body_access: bool,
    pub(crate) request_body_limit: u64,
    pub(crate) request_body_limit_action: LimitAction,
    pub(crate) force_request_body: bool,
    pub(crate) response_body_access: bool,
    pub(crate) response_body_limit: u64,
    pub(crate) response_body_limit_action: LimitAction,
    pub(crate) audit_engine: AuditEngine,
    /// When they are not those of the settings.
    audit_parts: Option<Vec<u8>>,
    pub(crate) parse_xml_into_args: super::settings::XmlArguments,
}

impl Control {
    fn new(program: &Program, is_detection_only: bool) -> Self {
        let settings = &program.settings;
        let mut control = Self {
            engine: settings.engine,
            is_detection_only,
            request_body_access: settings.request_body_access,
            request_body_limit: settings.request_body_limit,
            request_body_limit_action: settings.request_body_limit_action,
            force_request_body: false,
            response_body_access: settings.response_body_access,
            response_body_limit: settings.response_body_limit,
            response_body_limit_action: settings.response_body_limit_action,
            audit_engine: settings.audit_engine,
            audit_parts: None,
            parse_xml_into_args: settings.parse_xml_into_args,
        };
        if !control.may_interrupt() {
            control.process_partial();
        }
        control
    }

    /// May a rule end the transaction?
    pub(crate) fn may_interrupt(&self) -> bool {
        self.engine == EngineMode::On && !self.is_detection_only
    }

    /// Parts of the audit entry that are wanted.
    pub(crate) fn audit_parts<'a>(&'a self, program: &'a Program) -> &'a [u8] {
        self.audit_parts.as_deref().unwrap_or(&program.settings.audit_parts)
    }

    /// Those parts, to be changed.
    pub(crate) fn audit_parts_mut(&mut self, program: &Program) -> &mut Vec<u8> {
        self.audit_parts.get_or_insert_with(|| program.settings.audit_parts.clone())
    }

    /// In detection a body is never refused for its length.
    pub(crate) fn process_partial(&mut self) {
        self.request_body_limit_action = LimitAction::ProcessPartial;
        self.response_body_limit_action = LimitAction::ProcessPartial;
    }
}

impl Transaction {
    /// Begins a transaction, in the place of one that is over if there is any: see [`Transaction::recycle`].
    pub fn new(program: &Program, scratch: &mut Scratch, connection: &Connection<'_>) -> Box<Self> {
        let mut transaction = scratch.spares.pop().unwrap_or_else(|| Box::new(Self::empty(program)));
        transaction.begin(program, connection, scratch.serial());
        transaction
    }

    /// One that has not begun.
    fn empty(program: &Program) -> Self {
        Self {
            serial: 0,
            arena: Vec::new(),
            request_body: Vec::new(),
            response_body: Vec::new(),
            client_address: Span::default(),
            client_port: 0,
            server_address: Span::default(),
            server_port: 0,
            unique_id: Span::default(),
            now: Duration::ZERO,
            elapsed: Duration::ZERO,
            request: RequestHead::default(),
            request_headers: Vec::new(),
            cookies: Vec::new(),
            arguments: Vec::new(),
            body: BodyState::default(),
            multipart: Multipart::default(),
            xml: super::collection::xml::XmlState::default(),
            response: ResponseState::default(),
            response_headers: Vec::new(),
            tx: TxStore::default(),
            matched: Matched::default(),
            persistent: Persistent::default(),
            environment: Vec::new(),
            geo: Vec::new(),
            highest_severity: NO_SEVERITY,
            has_exhausted_regex: false,
            exhausted_rules: Vec::new(),
            is_arena_full: false,
            phase: 0,
            control: Control::new(program, false),
            is_folded: false,
            removed_rules: RuleSet::default(),
            removed_targets: Vec::new(),
            allow: None,
            is_phase_over: false,
            is_interrupted: false,
            interruption: None,
            matches: Vec::new(),
            has_lines: true,
            audit: audit::AuditNotes::default(),
            trace: None,
        }
    }

    fn begin(&mut self, program: &Program, connection: &Connection<'_>, serial: u64) {
        self.serial = serial;
        self.client_port = connection.client_port;
        self.server_port = connection.server_port;
        self.now = connection.now;
        self.control = Control::new(program, connection.is_detection_only);
        self.trace = program.options.trace.then(Trace::default);
        self.arena.reserve(ARENA_CAPACITY);
        self.tx.reset(program.tx_names.len());
        self.client_address = self.store_address(connection.client_address);
        self.server_address = self.store_address(connection.server_address);
        self.unique_id = self.store(connection.unique_id.as_bytes());
    }

    /// Leaves it, when it is over, to the next one of this worker, which then begins without allocating and in memory
    /// that the processor still has at hand.
    pub fn recycle(mut self: Box<Self>, scratch: &mut Scratch) {
        if scratch.spares.len() < limits::WAF_SPARE_TRANSACTIONS {
            self.forget();
            scratch.spares.push(self);
        }
    }

    /// As [`Transaction::empty`] but for buffers, of which the large ones are given back.
    fn forget(&mut self) {
        // All by name: a field that is added has to be thought of here.
        let Self {
            serial,
            arena,
            request_body,
            response_body,
            client_address: _,
            client_port: _,
            server_address: _,
            server_port: _,
            unique_id: _,
            now: _,
            elapsed,
            request,
            request_headers,
            cookies,
            arguments,
            body,
            multipart,
            xml,
            response,
            response_headers,
            // Made ready when the next one begins, whose program may be another.
            tx: _,
            matched,
            persistent,
            environment,
            geo,
            highest_severity,
            has_exhausted_regex,
            exhausted_rules,
            is_arena_full,
            phase,
            control: _,
            is_folded,
            removed_rules,
            removed_targets,
            allow,
            is_phase_over,
            is_interrupted,
            interruption,
            matches,
            has_lines,
            audit,
            trace,
        } = self;
        *serial = 0;
        arena.clear();
        if arena.capacity() > SPARE_ARENA {
            *arena = Vec::new();
        }
        emptied(request_body);
        emptied(response_body);
        *elapsed = Duration::ZERO;
        *request = RequestHead::default();
        emptied(request_headers);
        emptied(cookies);
        emptied(arguments);
        *body = BodyState::default();
        *multipart = Multipart::default();
        *xml = super::collection::xml::XmlState::default();
        *response = ResponseState::default();
        emptied(response_headers);
        matched.forget();
        *persistent = Persistent::default();
        emptied(environment);
        emptied(geo);
        *highest_severity = NO_SEVERITY;
        *has_exhausted_regex = false;
        emptied(exhausted_rules);
        *is_arena_full = false;
        *phase = 0;
        *is_folded = false;
        *removed_rules = RuleSet::default();
        emptied(removed_targets);
        *allow = None;
        *is_phase_over = false;
        *is_interrupted = false;
        *interruption = None;
        emptied(matches);
        *has_lines = true;
        *audit = audit::AuditNotes::default();
        *trace = None;
    }

    /// Nobody reads ModSecurity's log lines: [`RuleMatch::line_text`] stays empty, which saves some microseconds a match.
    pub fn without_lines(&mut self) {
        self.has_lines = false;
    }

    /// Is there room for another match that is logged?
    pub(crate) fn takes_matches(&self) -> bool {
        self.matches.len() < limits::WAF_MATCHES
    }

    /// Phase 1. `headers` in wire order, names in their case.
    pub fn request_headers<'h>(
        &mut self,
        program: &Program,
        scratch: &mut Scratch,
        line: RequestLine<'_>,
        headers: impl Iterator<Item = (&'h [u8], &'h [u8])>,
    ) -> Verdict {
        self.take_request_head(program, line, headers);
        eval::run_phase(program, self, scratch, 1)
    }

    /// Logged matches so far, in order.
    pub fn matches(&self) -> &[RuleMatch] {
        &self.matches
    }

    /// Do the rules want the request body (SecRequestBodyAccess, after ctl)?
    pub fn wants_request_body(&self) -> bool {
        self.control.engine != EngineMode::Off && self.control.request_body_access && !self.is_interrupted
    }

    /// Bytes of the request body, transfer coding removed.
    pub fn request_body(&mut self, program: &Program, chunk: &[u8]) -> BodyStep {
        self.take_request_body(program, chunk)
    }

    /// How many bytes phase 2 will have to look at, roughly: those of the body, unfolded.
    pub fn request_work_bytes(&self) -> usize {
        work_bytes(&self.request_body, self.request_header(b"Content-Encoding"))
    }

    /// Phase 2: the body (or its window) is complete. Called for requests without a body too.
    pub fn finish_request_body(&mut self, program: &Program, scratch: &mut Scratch) -> Verdict {
        if self.phase < 2 && !self.is_interrupted {
            self.decode_path();
            self.parse_request_body(program);
        }
        eval::run_phase(program, self, scratch, 2)
    }

    /// Phase 3.
    pub fn response_headers<'h>(
        &mut self,
        program: &Program,
        scratch: &mut Scratch,
        status: u16,
        protocol: &[u8],
        headers: impl Iterator<Item = (&'h [u8], &'h [u8])>,
    ) -> Verdict {
        self.take_response_head(program, status, protocol, |take| {
            headers.for_each(|(name, value)| take(name, value));
        });
        eval::run_phase(program, self, scratch, 3)
    }

    /// Do the rules want this response's body (SecResponseBodyAccess, SecResponseBodyMimeType)?
    pub fn wants_response_body(&self) -> bool {
        self.control.engine != EngineMode::Off
            && self.control.response_body_access
            && self.response.is_mime_type_inspected
            && !self.is_interrupted
    }

    /// Bytes of the response body, transfer coding removed.
    pub fn response_body(&mut self, program: &Program, chunk: &[u8]) -> BodyStep {
        let _ = program;
        self.take_response_body(chunk)
    }

    /// How many bytes phase 4 will have to look at, roughly.
    pub fn response_work_bytes(&self) -> usize {
        let encoding = super::collection::headers::find(&self.response_headers, &self.arena, b"Content-Encoding");
        work_bytes(&self.response_body, encoding)
    }

    /// Phase 4. Called for responses without a body too.
    pub fn finish_response_body(&mut self, program: &Program, scratch: &mut Scratch) -> Verdict {
        self.response.is_body_inspected = self.wants_response_body();
        self.unfold_response_body();
        eval::run_phase(program, self, scratch, 4)
    }

    /// Phase 5, exactly once, however the transaction ended. `elapsed` since it began.
    pub fn finish(&mut self, program: &Program, scratch: &mut Scratch, elapsed: Duration) -> Summary {
        self.elapsed = elapsed;
        self.note_denial(program);
        eval::visit_phase(program, self, scratch, 5);
        self.save_persistent(scratch);
        let audit = audit::entry(program, self, &mut scratch.caches);
        Summary {
            matches: std::mem::take(&mut self.matches),
            notices: self.notices(program),
            interruption: self.interruption.take(),
            is_interrupted: self.is_interrupted,
            inbound_score: self.score(program, INBOUND_SCORES),
            outbound_score: self.score(program, OUTBOUND_SCORES),
            audit,
            trace: self.trace.take(),
        }
    }

    /// One line when the request body could not be read, and one for each rule that gave up.
    fn notices(&self, program: &Program) -> Vec<Vec<u8>> {
        let line = self.body.error.iter().map(|error| {
            let mut text = Vec::new();
            line::escape(error.get(..limits::WAF_LOG_TEXT_BYTES).unwrap_or(error), &mut text);
            line::notice(&text, &self.subject())
        });
        let exhausted = self.exhausted_rules.iter().filter_map(|index| program.rule(*index)).map(|rule| {
            let head = program.head(rule);
            let (file, number) = (&head.file, rule.line);
            let id = if rule.is_starter { head.id.0.to_string() } else { "-".to_owned() };
            let text = format!(
                "Rule [id \"{id}\"][file \"{file}\"][line \"{number}\"] - Execution error - PCRE limits exceeded."
            );
            line::notice(text.as_bytes(), &self.subject())
        });
        line.chain(exhausted).collect()
    }

    /// Whom log lines are about.
    pub(crate) fn subject(&self) -> line::Subject<'_> {
        let cut = |span: Span| {
            let text = span.of(&self.arena);
            text.get(..limits::WAF_LOG_TEXT_BYTES).unwrap_or(text)
        };
        line::Subject {
            host: self.request.host.map(cut).unwrap_or_default(),
            uri: cut(self.request.path.unwrap_or(self.request.target)),
            unique_id: cut(self.unique_id),
        }
    }

    /// The first of these TX variables that exists, as a number.
    fn score(&self, program: &Program, names: &[&[u8]]) -> Option<i64> {
        names.iter().find_map(|name| {
            let span = self.tx.slot(program.tx_names.find(name)?)?;
            Some(super::number::atoi(span.of(&self.arena)))
        })
    }

    /// Puts bytes into the arena.
    pub(crate) fn store(&mut self, bytes: &[u8]) -> Span {
        let start = self.arena.len() as u32;
        self.arena.extend_from_slice(bytes);
        Span { start, len: bytes.len() as u32 }
    }

    /// A pattern ran out of its budget: not a match, and rules can see that.
    pub(crate) fn note_exhausted_regex(&mut self, program: &Program, rule: super::program::RuleIndex) {
        self.has_exhausted_regex = true;
        if !self.exhausted_rules.contains(&rule) {
            self.exhausted_rules.push(rule);
        }
        self.set_tx(super::collection::tx::TxName::of(b"MSC_PCRE_LIMITS_EXCEEDED", &program.tx_names), b"1");
    }

    /// GEO becomes what a look-up found.
    pub(crate) fn take_geo(&mut self, record: &super::operator::GeoRecord) {
        self.geo.clear();
        for (name, value) in record.variables() {
            let pair = (self.store(name.as_bytes()), self.store(value.as_bytes()));
            self.geo.push(pair);
        }
    }

    fn store_address(&mut self, address: IpAddr) -> Span {
        let IpAddr::V4(address) = address else { return self.store(address.to_string().as_bytes()) };
        let start = self.arena.len() as u32;
        for (index, octet) in address.octets().into_iter().enumerate() {
            if index > 0 {
                self.arena.push(b'.');
            }
            self.arena.extend_from_slice(itoa::Buffer::new().format(octet).as_bytes());
        }
        Span { start, len: self.arena.len() as u32 - start }
    }
}

/// Empties a buffer; a large one is given back.
fn emptied<T>(buffer: &mut Vec<T>) {
    buffer.clear();
    if buffer.capacity() * size_of::<T>() > SPARE_BYTES {
        *buffer = Vec::new();
    }
}

fn work_bytes(body: &[u8], encoding: Option<&[u8]>) -> usize {
    let is_plain = encoding.is_none_or(|encoding| encoding.trim_ascii().eq_ignore_ascii_case(b"identity"));
    if is_plain { body.len() } else { body.len().saturating_mul(limits::INSPECTION_UNFOLDING) }
}

/// What an ordinary request needs.
const ARENA_CAPACITY: usize = 4096;

/// An arena beyond this is not kept for the next transaction.
const SPARE_ARENA: usize = 16 * 1024;

/// Nor any other buffer beyond this.
const SPARE_BYTES: usize = 8 * 1024;

/// HIGHEST_SEVERITY before any rule with a severity matched.
const NO_SEVERITY: u8 = 255;

/// Where rule sets keep the score of a request: the Core Rule Set 4, then 3.
const INBOUND_SCORES: &[&[u8]] =
    &[b"blocking_inbound_anomaly_score", b"anomaly_score", b"inbound_anomaly_score", b"inbound_anomaly_score_pl1"];

/// Where rule sets keep the score of a response.
const OUTBOUND_SCORES: &[&[u8]] =
    &[b"blocking_outbound_anomaly_score", b"outbound_anomaly_score", b"outbound_anomaly_score_pl1"];
