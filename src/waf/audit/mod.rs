//! The audit log entry: what a transaction was and what the rules said of it.
//!
//! Notes are taken while rules match; the entry is written once, in phase 5, when SecAuditEngine and relevance want
//! one. What `sanitise…` actions name is overwritten with asterisks before anything is written.

mod json;
mod native;
mod sanitise;

use std::sync::Arc;

use super::Program;
use super::RuleFacts;
use super::action::Sanitise;
use super::line::Expanded;
use super::program::RuleIndex;
use super::scratch::RegexCaches;
use super::settings::{AuditEngine, AuditFormat};
use super::transaction::Transaction;
use crate::limits;

/// What is kept for the audit log while the transaction runs.
#[derive(Debug, Default)]
pub(crate) struct AuditNotes {
    /// Did a rule with `auditlog` match?
    pub(crate) is_relevant: bool,
    messages: Vec<AuditMessage>,
    matched: Vec<RuleIndex>,
    hidden: Hidden,
}

/// What must not be shown. Names are compared whatever their case.
#[derive(Debug, Default)]
struct Hidden {
    arguments: Vec<Vec<u8>>,
    request_headers: Vec<Vec<u8>>,
    response_headers: Vec<Vec<u8>>,
}

/// A match that goes to the audit log.
#[derive(Debug)]
pub(crate) struct AuditMessage {
    /// `Warning. Pattern match … [file …] …`
    text: Vec<u8>,
    /// What the operator said.
    operator: Vec<u8>,
    /// The rule's chain.
    head: u32,
    message: Vec<u8>,
    data: Vec<u8>,
    /// Its tags.
    rule: Arc<RuleFacts>,
}

impl AuditMessage {
    pub(crate) fn new(head: u32, expanded: &Expanded, text: Vec<u8>, operator: &[u8]) -> Self {
        let (message, data) = (expanded.message().to_vec(), expanded.data.clone());
        Self { text, operator: operator.to_vec(), head, message, data, rule: Arc::clone(&expanded.rule) }
    }
}

impl AuditNotes {
    pub(crate) fn push(&mut self, message: AuditMessage) {
        if self.messages.len() < limits::WAF_MATCHES {
            self.messages.push(message);
        }
    }

    /// A rule matched, logged or not.
    pub(crate) fn note_match(&mut self, rule: RuleIndex) {
        if self.matched.len() < limits::WAF_MATCHES {
            self.matched.push(rule);
        }
    }

    /// Notes what must not be shown; `matched` is the name of the variable that matched last.
    pub(crate) fn hide(&mut self, what: &Sanitise, matched: &[u8]) {
        let (list, name) = match what {
            Sanitise::Argument(name) => (&mut self.hidden.arguments, &**name),
            Sanitise::RequestHeader(name) => (&mut self.hidden.request_headers, &**name),
            Sanitise::ResponseHeader(name) => (&mut self.hidden.response_headers, &**name),
            // The whole value is hidden for its matched bytes as well: more than asked for, never less.
            Sanitise::Matched | Sanitise::MatchedBytes => {
                let Some(colon) = matched.iter().position(|byte| *byte == b':') else { return };
                let list = match matched.get(..colon).unwrap_or_default() {
                    b"ARGS" | b"ARGS_NAMES" | b"ARGS_GET" | b"ARGS_POST" | b"ARGS_GET_NAMES" | b"ARGS_POST_NAMES" => {
                        &mut self.hidden.arguments
                    }
                    b"REQUEST_HEADERS" | b"REQUEST_HEADERS_NAMES" => &mut self.hidden.request_headers,
                    b"RESPONSE_HEADERS" | b"RESPONSE_HEADERS_NAMES" => &mut self.hidden.response_headers,
                    _ => return,
                };
                (list, matched.get(colon + 1..).unwrap_or_default())
            }
        };
        if list.len() < limits::WAF_MATCHES && !list.iter().any(|own| own.eq_ignore_ascii_case(name)) {
            list.push(name.to_vec());
        }
    }
}

/// The entry, when one is wanted.
pub(crate) fn entry(program: &Program, transaction: &Transaction, caches: &mut RegexCaches) -> Option<Vec<u8>> {
    match transaction.control.audit_engine {
        AuditEngine::Off => return None,
        AuditEngine::On => {}
        AuditEngine::RelevantOnly => {
            if !transaction.audit.is_relevant && !has_relevant_status(program, transaction, caches) {
                return None;
            }
        }
    }
    Some(match program.settings.audit_format {
        AuditFormat::Native => native::write(program, transaction),
        AuditFormat::Json => json::write(program, transaction),
    })
}

fn has_relevant_status(program: &Program, transaction: &Transaction, caches: &mut RegexCaches) -> bool {
    let Some(pattern) = &program.settings.audit_relevant_status else { return false };
    caches.is_match(pattern, itoa::Buffer::new().format(transaction.response.status).as_bytes())
}

/// `ENABLED`, `DETECTION_ONLY`
fn engine_mode(transaction: &Transaction) -> &'static str {
    use super::settings::EngineMode;
    match transaction.control.engine {
        EngineMode::Off => "DISABLED",
        EngineMode::On if !transaction.control.is_detection_only => "ENABLED",
        EngineMode::On | EngineMode::DetectionOnly => "DETECTION_ONLY",
    }
}

/// `portcullis/0.1.0`
const PRODUCER: &str = concat!("portcullis/", env!("CARGO_PKG_VERSION"));
