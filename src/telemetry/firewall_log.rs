//! The firewall log: one JSON line per request in which a rule matched, with every match in it, the verdict and the
//! score. Application Gateway writes one entry per match and leaves the reader to join them; one line says it all.

use super::AccessRecord;
use super::access_log::{write_request, write_waf};
use super::json::{JsonLine, push_string};
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
    if matched.is_disruptive {
        object.boolean("disruptive", true);
    }
    object.close();
}

/// ModSecurity's names of syslog severities.
fn severity_name(severity: u8) -> &'static str {
    const NAMES: [&str; 8] = ["EMERGENCY", "ALERT", "CRITICAL", "ERROR", "WARNING", "NOTICE", "INFO", "DEBUG"];
    NAMES.get(usize::from(severity)).copied().unwrap_or("DEBUG")
}
