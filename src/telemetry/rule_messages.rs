//! Rule messages: ModSecurity's own line format, one line per match, for tools that read Apache's error log (go-ftw,
//! fail2ban filters, log parsers).
//!
//! The engine writes the message; here it gets the time stamp in front and, where the engine left them out, the
//! fields that only the gateway knows.

use super::AccessRecord;
use super::json::push_time;
use crate::waf::RuleMatch;

/// Appends the lines; returns how many.
pub(super) fn write(out: &mut Vec<u8>, record: &AccessRecord<'_>, matches: &[RuleMatch], notices: &[Vec<u8>]) -> usize {
    for text in notices.iter().chain(matches.iter().map(|matched| &matched.line_text)) {
        out.push(b'[');
        push_time(out, record.started);
        out.extend_from_slice(b"] ");
        if let Some(client) = record.client {
            out.extend_from_slice(format!("[client {}] ", client.ip()).as_bytes());
        }
        let start = out.len();
        out.extend_from_slice(text);
        // One line per event, whatever the rule's text: the engine escapes, this makes sure.
        for byte in out.get_mut(start..).unwrap_or_default() {
            if matches!(byte, b'\n' | b'\r' | 0) {
                *byte = b' ';
            }
        }
        if !contains(text, b"[unique_id \"") {
            out.extend_from_slice(format!(" [unique_id \"{}\"]", record.id).as_bytes());
        }
        out.push(b'\n');
    }
    notices.len() + matches.len()
}

fn contains(text: &[u8], needle: &[u8]) -> bool {
    memchr::memmem::find(text, needle).is_some()
}
