//! The end of a match: logging it, and what the disruptive action does.

use crate::limits;
use crate::waf::audit::AuditMessage;
use crate::waf::expand::Text;
use crate::waf::line::{self, Expanded};
use crate::waf::program::{AllowScope, Disposition, Head, Program, RuleIndex};
use crate::waf::scratch::Scratch;
use crate::waf::settings::AuditEngine;
use crate::waf::transaction::Transaction;
use crate::waf::{Disruption, Interruption, RuleMatch};

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
    let needs_text = head.logs || head.audits || disruption.is_some();
    let expanded = if needs_text { expand(program, transaction, scratch, rule, head) } else { Expanded::default() };

    let action = match (&disruption, &head.disposition) {
        (Some(disruption), _) if may_interrupt => denial(disruption, phase),
        (None, Disposition::Allow(scope)) if may_interrupt => permission(*scope, phase),
        _ => b"Warning.".to_vec(),
    };
    let head_index = program.rule(rule).map_or(0, |rule| rule.head);
    log(transaction, head_index, head, &action, operator, &expanded, disruption.is_some());

    if let Some(disruption) = disruption {
        if transaction.interruption.is_none() || may_interrupt {
            let message = expanded.message;
            transaction.interruption = Some(Interruption { rule_id: head.id, phase, disruption, message });
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
    head: &Head,
) -> Expanded {
    let mut text = |text: &Text| {
        let mut expanded = super::expanded(text, program, transaction, scratch, rule);
        expanded.truncate(limits::WAF_LOG_TEXT_BYTES);
        expanded
    };
    let message = head.message.as_ref().map(&mut text).unwrap_or_default();
    let data = head.log_data.as_ref().map(&mut text).unwrap_or_default();
    let tags = head.tags.iter().map(&mut text).collect();
    Expanded { message, data, tags }
}

/// What is logged is bounded, whatever a client sent.
fn cut(text: &[u8]) -> &[u8] {
    text.get(..limits::WAF_LOG_TEXT_BYTES).unwrap_or(text)
}

fn denial(disruption: &Disruption, phase: u8) -> Vec<u8> {
    match disruption {
        Disruption::Deny { status } => format!("Access denied with code {status} (phase {phase}).").into_bytes(),
        Disruption::Drop => format!("Access denied with connection close (phase {phase}).").into_bytes(),
        Disruption::Redirect { status, location } => {
            let mut text = b"Access denied with redirection to ".to_vec();
            line::escape_name(location, &mut text);
            text.extend_from_slice(format!(" using status {status} (phase {phase}).").as_bytes());
            text
        }
    }
}

fn permission(scope: AllowScope, phase: u8) -> Vec<u8> {
    match scope {
        AllowScope::Transaction => format!("Access allowed (phase {phase})."),
        AllowScope::Phase => format!("Access to phase allowed (phase {phase})."),
        AllowScope::Request => format!("Access to request allowed (phase {phase})."),
    }
    .into_bytes()
}

fn log(
    transaction: &mut Transaction,
    head_index: u32,
    head: &Head,
    action: &[u8],
    operator: &[u8],
    expanded: &Expanded,
    is_disruptive: bool,
) {
    if head.audits {
        transaction.audit.is_relevant = true;
        if transaction.control.audit_engine != AuditEngine::Off {
            let mut text = action.to_vec();
            if !operator.is_empty() {
                text.push(b' ');
                text.extend_from_slice(operator);
            }
            line::metadata(head, expanded, &mut text);
            let message = AuditMessage::new(head_index, expanded, text, operator);
            transaction.audit.push(message);
        }
    }
    if !head.logs || transaction.matches.len() >= limits::WAF_MATCHES {
        return;
    }
    let line_text = line::compose(action, operator, head, expanded, &transaction.subject());
    transaction.matches.push(RuleMatch {
        rule_id: head.id,
        phase: transaction.phase,
        message: expanded.message.clone(),
        data: expanded.data.clone(),
        severity: head.severity,
        tags: expanded.tags.clone(),
        variable: cut(&transaction.matched.last_name).to_vec(),
        file: std::sync::Arc::clone(&head.file),
        line: head.line,
        version: head.version.as_deref().map(<[u8]>::to_vec).unwrap_or_default(),
        revision: head.revision.as_deref().map(<[u8]>::to_vec).unwrap_or_default(),
        maturity: head.maturity,
        accuracy: head.accuracy,
        is_disruptive,
        line_text,
    });
}
