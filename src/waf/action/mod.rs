//! What a match does. Non-disruptive actions run for every value that matches, in the order of the rule; the
//! disruptive one ([`disrupt`]) once the whole chain has matched.

pub(crate) mod collection;
pub(crate) mod ctl;
pub(crate) mod disrupt;
pub(crate) mod setvar;

use super::expand::Text;
use super::program::{Program, RuleIndex};
use super::scratch::Scratch;
use super::transaction::Transaction;

/// A non-disruptive action, compiled.
#[derive(Debug, Clone)]
pub(crate) enum Action {
    /// `setvar`
    SetVariable(setvar::SetVariable),
    /// `expirevar:collection.name=seconds`
    Expire(collection::Timed),
    /// `deprecatevar:collection.name=amount/seconds`
    Deprecate(collection::Timed),
    /// `initcol`, `setsid`, `setuid`, `setrsc`
    Open(collection::Open),
    /// `setenv:name=value`; a name beginning with `!` removes.
    SetEnvironment(Text, Text),
    /// `ctl`
    Control(ctl::Ctl),
    /// `sanitise…`
    Sanitise(Sanitise),
}

/// What the audit log must not show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Sanitise {
    /// Arguments of this name.
    Argument(Box<[u8]>),
    /// Request header fields of this name.
    RequestHeader(Box<[u8]>),
    /// Response header fields of this name.
    ResponseHeader(Box<[u8]>),
    /// The variable that matched.
    Matched,
    /// What the operator captured of it.
    MatchedBytes,
}

impl Action {
    /// Runs it.
    pub(crate) fn run(&self, program: &Program, transaction: &mut Transaction, scratch: &mut Scratch, rule: RuleIndex) {
        match self {
            Self::SetVariable(action) => action.run(program, transaction, scratch, rule),
            Self::Expire(action) => action.expire(program, transaction, scratch, rule),
            Self::Deprecate(action) => action.deprecate(program, transaction, scratch, rule),
            Self::Open(action) => action.run(program, transaction, scratch, rule),
            Self::SetEnvironment(name, value) => {
                let name = expanded(name, program, transaction, scratch, rule);
                let value = expanded(value, program, transaction, scratch, rule);
                set_environment(transaction, &name, &value);
            }
            Self::Control(action) => action.run(program, transaction),
            Self::Sanitise(what) => transaction.audit.hide(what, transaction.matched.last_name()),
        }
    }
}

/// A text with its macros replaced.
pub(crate) fn expanded(
    text: &Text,
    program: &Program,
    transaction: &Transaction,
    scratch: &mut Scratch,
    rule: RuleIndex,
) -> Vec<u8> {
    // What macros stand for is mostly of the length of their names.
    let mut out = Vec::with_capacity(text.source().len() + 32);
    text.expand(program, transaction, scratch, Some(rule), &mut out);
    out
}

fn set_environment(transaction: &mut Transaction, name: &[u8], value: &[u8]) {
    let (name, is_removal) = match name.strip_prefix(b"!") {
        Some(name) => (name, true),
        None => (name, false),
    };
    let arena = &transaction.arena;
    transaction.environment.retain(|(own, _)| own.of(arena) != name);
    if !is_removal && transaction.environment.len() < crate::limits::WAF_TX_VARIABLES {
        let name = transaction.store(name);
        let value = transaction.store(value);
        transaction.environment.push((name, value));
    }
}
