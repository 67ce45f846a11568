//! The audit log entry: what a transaction was and what the rules said of it.

use super::Program;
use super::action::Sanitise;
use super::line::Expanded;
use super::program::Head;
use super::transaction::Transaction;

/// What is kept for the audit log while the transaction runs.
#[derive(Debug, Default)]
pub(crate) struct AuditNotes {
    /// Did a rule with `auditlog` match?
    pub(crate) is_relevant: bool,
    messages: Vec<AuditMessage>,
    sanitised: Vec<Sanitise>,
}

/// A match that goes to the audit log.
#[derive(Debug)]
pub(crate) struct AuditMessage {
    pub(crate) text: Vec<u8>,
}

impl AuditMessage {
    pub(crate) fn new(_head: &Head, _expanded: &Expanded, text: Vec<u8>, _operator: &[u8]) -> Self {
        Self { text }
    }
}

impl AuditNotes {
    pub(crate) fn push(&mut self, message: AuditMessage) {
        if self.messages.len() < crate::limits::WAF_MATCHES {
            self.messages.push(message);
        }
    }

    /// Notes what must not be shown; `matched` is the name of the variable that matched last.
    pub(crate) fn sanitise(&mut self, what: &Sanitise, _matched: &[u8]) {
        self.sanitised.push(what.clone());
    }
}

/// The entry, when one is wanted.
pub(crate) fn entry(_program: &Program, _transaction: &Transaction) -> Option<Vec<u8>> {
    None
}
