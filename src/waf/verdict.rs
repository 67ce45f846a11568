//! What the engine decided, and what it saw on the way.

use std::sync::Arc;

/// The id of a rule, unique in a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleId(pub u32);

/// Go on, or stop here. A block is not an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Go on.
    Allow,
    /// Answer with this instead.
    Deny(Interruption),
}

/// Why and how a transaction ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interruption {
    /// The rule that decided.
    pub rule_id: RuleId,
    /// Phase it ran in, 1 to 4.
    pub phase: u8,
    /// What to do.
    pub disruption: Disruption,
    /// The rule's message, expanded.
    pub message: Vec<u8>,
}

/// Disruptive actions as the gateway must carry them out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Disruption {
    /// Answer with this status (`deny`, `block`).
    Deny {
        /// 403 unless the rule says otherwise.
        status: u16,
    },
    /// Close the connection without an answer.
    Drop,
    /// Answer with a redirect.
    Redirect {
        /// 301, 302, 303 or 307.
        status: u16,
        /// Location, expanded.
        location: Vec<u8>,
    },
}

/// One match of a rule that is logged (`log`), in the order of matching.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleMatch {
    /// The rule (for a chain: its starter).
    pub rule_id: RuleId,
    /// 1 to 5.
    pub phase: u8,
    /// Expanded `msg`, when it has macros.
    pub own_message: Option<Vec<u8>>,
    /// Expanded `logdata`.
    pub data: Vec<u8>,
    /// `ARGS:q`, as ModSecurity names it.
    pub variable: Vec<u8>,
    /// Did this match interrupt (or would it, in detection)?
    pub is_disruptive: bool,
    /// What every match of the rule says; with tags that have macros, of this match alone.
    pub rule: Arc<RuleFacts>,
    /// ModSecurity's log line for it, without time stamp:
    /// `ModSecurity: Warning. Pattern match "…" at ARGS:q. [file "…"] [line "…"] [id "…"] …`, escaped, one line. Empty after
    /// [`super::Transaction::without_lines`].
    pub line_text: Vec<u8>,
}

impl RuleMatch {
    /// Expanded `msg`.
    pub fn message(&self) -> &[u8] {
        self.own_message.as_ref().unwrap_or(&self.rule.message)
    }
}

/// What the matches of a rule say alike.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RuleFacts {
    /// `msg`, when it has no macros.
    pub message: Vec<u8>,
    /// 0 EMERGENCY to 7 DEBUG.
    pub severity: Option<u8>,
    /// Expanded tags.
    pub tags: Vec<Vec<u8>>,
    /// The rule's file, as loaded.
    pub file: Box<str>,
    /// The rule's line.
    pub line: u32,
    /// `ver`
    pub version: Option<Box<[u8]>>,
    /// `rev`
    pub revision: Option<Box<[u8]>>,
    /// `maturity`
    pub maturity: Option<u8>,
    /// `accuracy`
    pub accuracy: Option<u8>,
}
