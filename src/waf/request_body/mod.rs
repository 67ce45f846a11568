//! The request body as rules see it: which processor reads it, what its parts become, and what went wrong.

mod document;
mod multipart;

use super::Program;
use super::body::{Piece, json, urlencoded};
use super::collection::arguments::{Argument, Origin};
use super::collection::{Buffer, Bytes, Span};
use super::content_coding;
use super::settings::{EngineMode, LimitAction};
use super::transaction::{BodyStep, Transaction};
use super::{Disruption, Interruption, RuleId};
use crate::limits;

/// Where the request body lies.
const BODY: Bytes = Bytes { buffer: Buffer::RequestBody, span: Span { start: 0, len: 0 } };

/// Names of a JSON document that are recognised when they come again.
const NAMES: usize = 64;

/// What is known of the request body.
#[derive(Debug, Default)]
pub(crate) struct BodyState {
    /// REQBODY_PROCESSOR: by Content-Type, or as `ctl:requestBodyProcessor` says.
    pub(crate) processor: Vec<u8>,
    /// Does the head announce a body, be it empty?
    pub(crate) is_announced: bool,
    /// Was it read?
    pub(crate) is_read: bool,
    /// Is it visible as REQUEST_BODY?
    pub(crate) is_request_body_visible: bool,
    /// REQBODY_ERROR_MSG; REQBODY_ERROR is 1 when there is one.
    pub(crate) error: Option<Vec<u8>>,
    /// URLENCODED_ERROR
    pub(crate) has_urlencoded_error: bool,
    /// INBOUND_DATA_ERROR
    pub(crate) is_too_long: bool,
}

impl BodyState {
    /// Notes the first error.
    pub(crate) fn fail(&mut self, message: impl Into<Vec<u8>>) {
        self.error.get_or_insert_with(|| message.into());
    }
}

impl Transaction {
    /// The processor that the Content-Type asks for. XML and JSON are chosen by rules only.
    pub(crate) fn choose_body_processor(&mut self) {
        let starts = |text: &[u8], prefix: &[u8]| {
            text.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
        };
        let has_length = self.request_header(b"Content-Length").is_some();
        let is_chunked = self
            .request_header(b"Transfer-Encoding")
            .is_some_and(|value| value.to_ascii_lowercase().windows(7).any(|window| window == b"chunked"));
        self.body.is_announced = has_length || is_chunked;
        let content_type = self.request_header(b"Content-Type").unwrap_or_default();
        if starts(content_type, b"application/x-www-form-urlencoded") {
            self.body.processor = b"URLENCODED".to_vec();
        } else if starts(content_type, b"multipart/form-data") {
            self.body.processor = b"MULTIPART".to_vec();
        }
    }

    /// Keeps the bytes of the body up to the limit.
    pub(crate) fn take_request_body(&mut self, program: &Program, chunk: &[u8]) -> BodyStep {
        if self.control.engine == EngineMode::Off {
            return BodyStep::WindowFull;
        }
        self.body.is_read = true;
        let limit = usize::try_from(self.control.request_body_limit).unwrap_or(usize::MAX);
        let limit = match self.body.processor.as_slice() {
            // Files have the larger limit, and the rest of such a body is counted where it is taken apart.
            b"MULTIPART" => limit,
            b"" if !self.control.force_request_body => limit,
            _ => limit.min(self.no_files_limit(program)),
        };
        let room = limit.saturating_sub(self.request_body.len());
        let kept = chunk.get(..chunk.len().min(room)).unwrap_or_default();
        self.request_body.extend_from_slice(kept);
        if chunk.len() <= room {
            return BodyStep::Continue;
        }
        self.body.is_too_long = true;
        match self.control.request_body_limit_action {
            LimitAction::Reject if self.control.may_interrupt() => BodyStep::Reject,
            _ => BodyStep::WindowFull,
        }
    }

    /// Runs the processor over the body that was read.
    pub(crate) fn parse_request_body(&mut self, program: &Program) {
        if !self.wants_request_body() || !(self.body.is_announced || self.body.is_read) {
            return;
        }
        self.body.is_read = true;
        // Out of the way, so that what is found can be added while the body is read.
        let mut body = std::mem::take(&mut self.request_body);
        let encoding = self.request_header(b"Content-Encoding");
        match content_coding::decode(encoding, &body, self.control.request_body_limit) {
            None => {}
            Some(Ok(unfolded)) => body = unfolded,
            Some(Err(problem)) => self.body.fail(format!("Content-Encoding: {problem}")),
        }
        let processor = std::mem::take(&mut self.body.processor);
        match processor.as_slice() {
            b"" => {}
            b"URLENCODED" => {
                self.body.is_request_body_visible = true;
                self.add_urlencoded(program, &body, BODY, Origin::Body);
            }
            b"MULTIPART" => self.parse_multipart(program, &body),
            b"JSON" => self.parse_json(program, &body),
            b"XML" => self.parse_xml(program, &body),
            other => {
                let mut message = b"Unknown request body processor: ".to_vec();
                message.extend_from_slice(other);
                self.body.fail(message);
            }
        }
        // Without a processor, or when it failed, the rules can ask for the raw body.
        let is_raw = processor.is_empty() || self.body.error.is_some();
        self.body.is_request_body_visible |= is_raw && self.control.force_request_body;
        self.body.processor = processor;
        self.request_body = body;
    }

    fn parse_json(&mut self, program: &Program, body: &[u8]) {
        let limits = json::Limits {
            depth: program.settings.json_depth_limit as usize,
            arguments: self.free_arguments(program),
            name_bytes: limits::WAF_JSON_NAME_BYTES,
        };
        // A document has the same few names again and again: those kept last, by what is cheap to tell of a name.
        let mut names = [Bytes::default(); NAMES];
        let mut sink = |name: Piece<'_>, value: Piece<'_>| {
            let last = name.bytes.last().copied().unwrap_or_default();
            let known = names.get_mut((name.bytes.len() * 8 + usize::from(last)) % NAMES);
            let name = match &known {
                Some(kept) if kept.span.len > 0 && self.stored(**kept) == name.bytes => **kept,
                _ => self.keep(name, BODY),
            };
            if let Some(known) = known.filter(|_| name.buffer == Buffer::Arena) {
                *known = name;
            }
            let value = self.keep(value, BODY);
            self.arguments.push(Argument { name, value, origin: Origin::Document });
        };
        if let Err(problem) = json::parse(body, program.options.json_names, limits, &mut sink) {
            self.body.fail(format!("JSON parsing error: {problem}"));
        }
    }

    /// Adds the parameters of a query string or form. `place` is where `text` lies, so that what needs no decoding
    /// stays there.
    pub(crate) fn add_urlencoded(&mut self, program: &Program, text: &[u8], place: Bytes, origin: Origin) {
        let settings = &program.settings;
        let limits = urlencoded::Limits { arguments: self.free_arguments(program) };
        let mut sink = |name: Piece<'_>, value: Piece<'_>| {
            let name = self.keep(name, place);
            let value = self.keep(value, place);
            self.arguments.push(Argument { name, value, origin });
        };
        let outcome = urlencoded::parse(text, settings.argument_separator, limits, &mut sink);
        self.body.has_urlencoded_error |= outcome.invalid_escapes > 0;
    }

    /// Ends the transaction for what only taking the body apart could tell to be too long.
    fn refuse_length(&mut self) {
        if self.control.request_body_limit_action != LimitAction::Reject || !self.control.may_interrupt() {
            return;
        }
        self.interruption = Some(Interruption {
            // No rule.
            rule_id: RuleId(0),
            phase: 2,
            disruption: Disruption::Deny { status: 413 },
            message: b"Request body no files data length is larger than the configured limit".to_vec(),
        });
        self.is_interrupted = true;
    }

    /// Most bytes besides files. In detection nothing is refused for its length.
    fn no_files_limit(&self, program: &Program) -> usize {
        if self.control.may_interrupt() {
            usize::try_from(program.settings.request_body_no_files_limit).unwrap_or(usize::MAX)
        } else {
            usize::MAX
        }
    }

    /// How many arguments `SecArgumentsLimit` still allows.
    fn free_arguments(&self, program: &Program) -> usize {
        (program.settings.arguments_limit as usize).saturating_sub(self.arguments.len())
    }

    /// Where a piece of a body lies: in the body as it is, or decoded in the arena.
    fn keep(&mut self, piece: Piece<'_>, place: Bytes) -> Bytes {
        match piece.offset {
            Some(offset) => {
                let span = Span { start: place.span.start + offset as u32, len: piece.bytes.len() as u32 };
                Bytes { buffer: place.buffer, span }
            }
            None => Bytes::arena(self.store(piece.bytes)),
        }
    }
}
