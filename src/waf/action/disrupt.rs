//! The end of a match: logging it, and what the disruptive action does.

use std::sync::Arc;

use crate::limits;
use crate::waf::audit::AuditMessage;
use crate::waf::expand::Text;
use crate::waf::line::{self, Expanded};
use crate::waf::program::{AllowScope, Disposition, Head, Program, RuleIndex};
use crate::waf::scratch::Scratch;
use crate::waf::settings::AuditEngine;
use crate::waf::transaction::Transaction;
use crate::waf::{Disruption, Interruption, RuleFacts, RuleMatch};

/// Logs a match of a whole chain and carries its disruptive action out. `operator` is what the operator says.
pub(crate) fn run(
    program: &Program,
    transaction: &mut Transaction,
    scratch: &mut Scratch,
    rule: RuleIndex,
    head: &Head,
    operator: &[u8],
) {
    if !head.logs && !head.audits && matches!(head.disposition, Disposition::Pass) {
        return;
    }
    let phase = transaction.phase;
    let location = match &head.disposition {
        Disposition::Redirect(url) => super::expanded(url, program, transaction, scratch, rule),
        _ => Vec::new(),
    };
    let disruption = if phase == 5 { None } else { head.disposition.disruption(head.status, location) };
    let may_interrupt = phase != 5 && transaction.control.may_interrupt();
    let needs_text = disruption.is_some()
        || head.logs && transaction.takes_matches()
        || head.audits && transaction.control.audit_engine != AuditEngine::Off;
    let head_index = program.rule(rule).map_or(0, |rule| rule.head);
    let expanded = needs_text.then(|| expand(program, transaction, scratch, rule, head_index, head));
    let is_disruptive = disruption.is_some();
    let message = expanded.as_ref().filter(|_| is_disruptive).map(|texts| texts.message().to_vec());
    let outcome = match (&disruption, &head.disposition) {
        (Some(disruption), _) if may_interrupt => Deed::Denial(disruption),
        (None, Disposition::Allow(scope)) if may_interrupt => Deed::Permission(*scope),
        _ => Deed::Warning,
    };
    log(transaction, head_index, head, &outcome, operator, expanded, is_disruptive);

    if let Some(disruption) = disruption {
        if transaction.interruption.is_none() || may_interrupt {
            transaction.interruption =
                Some(Interruption { rule_id: head.id, phase, disruption, message: message.unwrap_or_default() });
        }
        if may_interrupt {
            transaction.is_interrupted = true;
            transaction.is_phase_over = true;
        }
        return;
    }
    let scope = match &head.disposition {
        Disposition::Allow(scope) => *scope,
        _ => return,
    };
    if may_interrupt {
        transaction.allow = Some(scope);
        transaction.is_phase_over = true;
    }
}

fn expand(
    program: &Program,
    transaction: &Transaction,
    scratch: &mut Scratch,
    rule: RuleIndex,
    head_index: u32,
    head: &Head,
) -> Expanded {
    let mut rule_facts = scratch.facts.of(program, head_index, head);
    let mut text = |text: &Text| match text.literal() {
        Some(literal) => line::bounded(literal),
        None => {
            let mut expanded = Vec::with_capacity(text.source().len() + 32);
            text.expand_within(limits::WAF_LOG_TEXT_BYTES, program, transaction, scratch, Some(rule), &mut expanded);
            expanded
        }
    };
    let own_message = head.message.as_ref().filter(|message| message.literal().is_none()).map(&mut text);
    let data = head.log_data.as_ref().map(&mut text).unwrap_or_default();
    if head.plain_tags.is_none() {
        let tags = head.tags.iter().map(&mut text).collect();
        rule_facts = Arc::new(RuleFacts { tags, ..RuleFacts::clone(&rule_facts) });
    }
    Expanded { own_message, data, rule: rule_facts }
}

/// So many matches are logged of an ordinary attack.
const USUAL_MATCHES: usize = 8;

/// What a match does to the transaction, for the log.
enum Deed<'a> {
    Warning,
    Denial(&'a Disruption),
    Permission(AllowScope),
}

impl Deed<'_> {
    fn write(&self, phase: u8, out: &mut Vec<u8>) {
        let number = |number: u16, out: &mut Vec<u8>| {
            out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
        };
        match self {
            Self::Warning => return out.extend_from_slice(b"Warning."),
            Self::Denial(Disruption::Deny { status }) => {
                out.extend_from_slice(b"Access denied with code ");
                number(*status, out);
            }
            Self::Denial(Disruption::Drop) => out.extend_from_slice(b"Access denied with connection close"),
            Self::Denial(Disruption::Redirect { status, location }) => {
                out.extend_from_slice(b"Access denied with redirection to ");
                line::escape_name(location, out);
                out.extend_from_slice(b" using status ");
                number(*status, out);
            }
            Self::Permission(AllowScope::Transaction) => out.extend_from_slice(b"Access allowed"),
            Self::Permission(AllowScope::Phase) => out.extend_from_slice(b"Access to phase allowed"),
            Self::Permission(AllowScope::Request) => out.extend_from_slice(b"Access to request allowed"),
        }
        out.extend_from_slice(b" (phase ");
        number(phase.into(), out);
        out.extend_from_slice(b").");
    }
}

fn log(
    transaction: &mut Transaction,
    head_index: u32,
    head: &Head,
    deed: &Deed<'_>,
    operator: &[u8],
    expanded: Option<Expanded>,
    is_disruptive: bool,
) {
    let phase = transaction.phase;
    if head.audits {
        transaction.audit.is_relevant = true;
        if transaction.control.audit_engine != AuditEngine::Off
            && let Some(expanded) = &expanded
        {
            let mut text = Vec::new();
            deed.write(phase, &mut text);
            if !operator.is_empty() {
                text.push(b' ');
                text.extend_from_slice(operator);
            }
            line::metadata(head, expanded, &mut text);
            let message = AuditMessage::new(head_index, expanded, text, operator);
            transaction.audit.push(message);
        }
    }
    if !head.logs || !transaction.takes_matches() {
        return;
    }
    let Some(expanded) = expanded else { return };
    let line_text = if transaction.has_lines {
        let deed = |out: &mut Vec<u8>| deed.write(phase, out);
        line::compose(deed, operator, head, &expanded, &transaction.subject())
    } else {
        Vec::new()
    };
    let Expanded { own_message, data, rule } = expanded;
    if transaction.matches.is_empty() {
        transaction.matches.reserve(USUAL_MATCHES);
    }
    transaction.matches.push(RuleMatch {
        rule_id: head.id,
        phase,
        own_message,
        data,
        variable: line::bounded(transaction.matched.last_name()),
        is_disruptive,
        rule,
        line_text,
    });
}
