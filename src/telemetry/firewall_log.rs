//! The firewall log: one JSON line per request in which a rule matched, with every match in it, the verdict and the
//! score. Application Gateway writes one entry per match and leaves the reader to join them; one line says it all.
//!
//! Half of the text of a match is the same for every match of its rule; each worker keeps it as written.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use super::AccessRecord;
use super::access_log::{write_request, write_waf};
use super::json::{JsonLine, push_string};
use crate::limits::RULE_METRICS;
use crate::waf::RuleMatch;

/// Appends the line.
pub(super) fn write(out: &mut Vec<u8>, record: &AccessRecord<'_>) {
    let Some(waf) = &record.waf else { return };
    let mut line = JsonLine::new(out);
    line.time("time", record.started);
    write_request(&mut line, record);
    line.bytes_if_any("policy", record.policy.as_bytes());
    line.number("status", record.status);
    line.raw("waf", |out| {
        let mut object = JsonLine::new(out);
        write_waf(&mut object, waf);
        object.close();
    });
    line.raw("matches", |out| {
        out.push(b'[');
        for (index, matched) in waf.matches.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            write_match(out, matched);
        }
        out.push(b']');
    });
    line.finish();
}

fn write_match(out: &mut Vec<u8>, matched: &RuleMatch) {
    let mut object = JsonLine::new(out);
    object.number("rule", matched.rule_id.0);
    object.number("phase", matched.phase);
    object.bytes_if_any("message", &matched.message);
    object.bytes_if_any("variable", &matched.variable);
    object.bytes_if_any("data", &matched.data);
    WRITTEN.with_borrow_mut(|written| {
        if let Some(known) = written.get(&matched.rule_id.0).filter(|known| known.is_of(matched)) {
            return object.fields(&known.fields);
        }
        let new = Written::new(matched);
        object.fields(&new.fields);
        if written.len() >= RULE_METRICS {
            written.clear();
        }
        written.insert(matched.rule_id.0, new);
    });
    if matched.is_disruptive {
        object.boolean("disruptive", true);
    }
    object.close();
}

thread_local! {
    /// By rule.
    static WRITTEN: RefCell<HashMap<u32, Written>> = RefCell::new(HashMap::new());
}

/// The fields of a match that its rule alone decides, and what they were made from: another rule set may have another
/// rule of this id, and tags with macros are another list each time.
struct Written {
    tags: Arc<[Vec<u8>]>,
    file: Arc<str>,
    line: u32,
    severity: Option<u8>,
    fields: Vec<u8>,
}

impl Written {
    fn new(matched: &RuleMatch) -> Self {
        let mut fields = Vec::new();
        let mut object = JsonLine::members(&mut fields);
        if let Some(severity) = matched.severity {
            object.bytes("severity", severity_name(severity).as_bytes());
        }
        if !matched.tags.is_empty() {
            object.raw("tags", |out| {
                out.push(b'[');
                for (index, tag) in matched.tags.iter().enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    push_string(out, tag);
                }
                out.push(b']');
            });
        }
        object.bytes("file", matched.file.as_bytes());
        object.number("line", matched.line);
        let (tags, file) = (Arc::clone(&matched.tags), Arc::clone(&matched.file));
        Self { tags, file, line: matched.line, severity: matched.severity, fields }
    }

    fn is_of(&self, matched: &RuleMatch) -> bool {
        Arc::ptr_eq(&self.tags, &matched.tags)
            && Arc::ptr_eq(&self.file, &matched.file)
            && (self.line, self.severity) == (matched.line, matched.severity)
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

    fn matched(tags: &Arc<[Vec<u8>]>, file: &Arc<str>) -> RuleMatch {
        RuleMatch {
            rule_id: RuleId(7),
            phase: 2,
            message: Vec::new(),
            data: Vec::new(),
            severity: Some(2),
            tags: Arc::clone(tags),
            variable: Vec::new(),
            file: Arc::clone(file),
            line: 3,
            version: None,
            revision: None,
            maturity: None,
            accuracy: None,
            is_disruptive: false,
            line_text: Vec::new(),
        }
    }

    fn tags_of(matched: &RuleMatch) -> serde_json::Value {
        let mut out = Vec::new();
        write_match(&mut out, matched);
        let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!((&value["rule"], &value["line"]), (&7.into(), &3.into()));
        value["tags"].clone()
    }

    #[test]
    fn what_is_kept_of_a_rule_is_not_taken_for_another_of_its_id() {
        let file: Arc<str> = "a.conf".into();
        for text in ["one", "one", "two", "three"] {
            let tags: Arc<[Vec<u8>]> = [text.as_bytes().to_vec()].into();
            for _ in 0..2 {
                assert_eq!(tags_of(&matched(&tags, &file)), serde_json::json!([text]));
            }
        }
        assert_eq!(tags_of(&matched(&[].into(), &file)), serde_json::Value::Null);
    }
}
