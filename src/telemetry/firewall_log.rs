//! The firewall log: one JSON line per request in which a rule matched, with every match in it, the verdict and the
//! score. Application Gateway writes one entry per match and leaves the reader to join them; one line says it all.
//!
//! Half of the text of a match is the same for every match of its rule; each worker keeps it as written.

use std::cell::RefCell;
use std::sync::Arc;

use super::AccessRecord;
use super::access_log::{Told, write_request, write_waf};
use super::json::{JsonLine, push_string};
use crate::waf::{RuleFacts, RuleMatch};

/// Appends the line. `told` is what the access log's line, in the same buffer, says in the same words.
pub(super) fn write(out: &mut Vec<u8>, record: &AccessRecord<'_>, told: Option<Told>) {
    let Some(waf) = &record.waf else { return };
    let mut line = match &told {
        Some(told) => {
            out.extend_from_within(told.request.clone());
            JsonLine::resumed(out)
        }
        None => {
            let mut line = JsonLine::new(out);
            line.time("time", record.started);
            write_request(&mut line, record);
            line
        }
    };
    line.bytes_if_any("policy", record.policy.as_bytes());
    line.number("status", record.status);
    line.raw("waf", |out| match told {
        Some(told) => out.extend_from_within(told.waf),
        None => write_waf(out, waf),
    });
    line.raw("matches", |out| {
        out.push(b'[');
        WRITTEN.with_borrow_mut(|written| {
            for (index, matched) in waf.matches.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_match(out, matched, written);
            }
        });
        out.push(b']');
    });
    line.finish();
}

fn write_match(out: &mut Vec<u8>, matched: &RuleMatch, written: &mut Vec<Option<Written>>) {
    if written.is_empty() {
        written.resize_with(KEPT_RULES, || None);
    }
    let Some(place) = written.get_mut(matched.rule_id.0 as usize % KEPT_RULES) else { return };
    let known = match place {
        Some(known) if known.is_of(matched) => &*known,
        _ => place.insert(Written::new(matched)),
    };
    let mut object = JsonLine::new(out);
    if known.says(matched) {
        object.fields(&known.before);
    } else {
        write_before(&mut object, matched);
    }
    object.bytes_if_any("variable", &matched.variable);
    object.bytes_if_any("data", &matched.data);
    object.fields(&known.after);
    if matched.is_disruptive {
        object.boolean("disruptive", true);
    }
    object.close();
}

/// The members that stand before what a client sent.
fn write_before(object: &mut JsonLine<'_>, matched: &RuleMatch) {
    object.number("rule", matched.rule_id.0);
    object.number("phase", matched.phase);
    object.bytes_if_any("message", matched.message());
}

/// So many rules are kept as written by a worker; those whose ids have the same place here take turns.
const KEPT_RULES: usize = 1024;

thread_local! {
    /// By id of the rule.
    static WRITTEN: RefCell<Vec<Option<Written>>> = const { RefCell::new(Vec::new()) };
}

/// The members of a match that its rule alone decides, and what they were made from: another rule set may have another
/// rule of this id, and tags with macros are another list each time.
struct Written {
    id: u32,
    rule: Arc<RuleFacts>,
    after: Vec<u8>,
    /// A message with macros is another one each time.
    own_message: Option<Vec<u8>>,
    phase: u8,
    before: Vec<u8>,
}

impl Written {
    fn new(matched: &RuleMatch) -> Self {
        let (mut before, mut after) = (Vec::new(), Vec::new());
        write_before(&mut JsonLine::members(&mut before), matched);
        let rule = &matched.rule;
        let mut object = JsonLine::members(&mut after);
        if let Some(severity) = rule.severity {
            object.bytes("severity", severity_name(severity).as_bytes());
        }
        if !rule.tags.is_empty() {
            object.raw("tags", |out| {
                out.push(b'[');
                for (index, tag) in rule.tags.iter().enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    push_string(out, tag);
                }
                out.push(b']');
            });
        }
        object.bytes("file", rule.file.as_bytes());
        object.number("line", rule.line);
        Self {
            id: matched.rule_id.0,
            rule: Arc::clone(rule),
            after,
            own_message: matched.own_message.clone(),
            phase: matched.phase,
            before,
        }
    }

    fn is_of(&self, matched: &RuleMatch) -> bool {
        self.id == matched.rule_id.0 && Arc::ptr_eq(&self.rule, &matched.rule)
    }

    /// Is `before` what this match begins with?
    fn says(&self, matched: &RuleMatch) -> bool {
        self.phase == matched.phase && self.own_message == matched.own_message
    }
}

/// ModSecurity's names of syslog severities.
fn severity_name(severity: u8) -> &'static str {
    const NAMES: [&str; 8] = ["EMERGENCY", "ALERT", "CRITICAL", "ERROR", "WARNING", "NOTICE", "INFO", "DEBUG"];
    NAMES.get(usize::from(severity)).copied().unwrap_or("DEBUG")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::waf::RuleId;

    fn rule(tags: &[&str]) -> Arc<RuleFacts> {
        Arc::new(RuleFacts {
            severity: Some(2),
            tags: tags.iter().map(|tag| tag.as_bytes().to_vec()).collect(),
            file: "a.conf".into(),
            line: 3,
            ..RuleFacts::default()
        })
    }

    fn matched(rule: &Arc<RuleFacts>) -> RuleMatch {
        RuleMatch {
            rule_id: RuleId(7),
            phase: 2,
            own_message: None,
            data: Vec::new(),
            variable: Vec::new(),
            is_disruptive: false,
            rule: Arc::clone(rule),
            line_text: Vec::new(),
        }
    }

    fn written(matched: &RuleMatch) -> serde_json::Value {
        let mut out = Vec::new();
        WRITTEN.with_borrow_mut(|written| write_match(&mut out, matched, written));
        serde_json::from_slice(&out).unwrap()
    }

    fn tags_of(matched: &RuleMatch) -> serde_json::Value {
        let value = written(matched);
        assert_eq!((&value["rule"], &value["line"]), (&7.into(), &3.into()));
        value["tags"].clone()
    }

    #[test]
    fn what_is_kept_of_a_rule_is_not_taken_for_another_of_its_id() {
        for text in ["one", "one", "two", "three"] {
            let rule = rule(&[text]);
            for _ in 0..2 {
                assert_eq!(tags_of(&matched(&rule)), serde_json::json!([text]));
            }
        }
        assert_eq!(tags_of(&matched(&rule(&[]))), serde_json::Value::Null);
    }

    #[test]
    fn messages_with_macros_and_ids_of_one_place_are_told_apart() {
        let rule = rule(&[]);
        for (id, phase, message) in
            [(7, 2, "5"), (7, 2, "5"), (7, 2, "10"), (7, 5, "5"), (7 + KEPT_RULES as u32, 2, "5"), (7, 2, "")]
        {
            let mut own = matched(&rule);
            (own.rule_id, own.phase, own.own_message) = (RuleId(id), phase, Some(message.into()));
            let value = written(&own);
            let expected = if message.is_empty() { serde_json::Value::Null } else { message.into() };
            assert_eq!((&value["rule"], &value["phase"]), (&id.into(), &phase.into()));
            assert_eq!(value["message"], expected);
        }
    }

    #[test]
    fn what_the_access_log_has_told_is_told_the_same() {
        let matches = [matched(&rule(&[]))];
        let waf = crate::telemetry::WafRecord {
            mode: crate::config::model::Mode::Prevention,
            verdict: crate::telemetry::WafVerdict::Blocked,
            request_duration: std::time::Duration::from_micros(9),
            response_duration: None,
            rule: Some((2, 7)),
            inbound_score: Some(10),
            outbound_score: None,
            matches: &matches,
            audit: None,
        };
        let record = AccessRecord { id: b"x", host: b"a.example", status: 403, waf: Some(waf), ..Default::default() };
        let (mut alone, mut behind) = (Vec::new(), b"before".to_vec());
        write(&mut alone, &record, None);
        let told = super::super::access_log::write(&mut behind, &record);
        let start = behind.len();
        write(&mut behind, &record, Some(told));
        assert_eq!(behind[start..], alone);
    }
}
