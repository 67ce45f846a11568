//! Rule messages: ModSecurity's own line format, one line per match, for tools that read Apache's error log (go-ftw,
//! fail2ban filters, log parsers).
//!
//! The engine writes the message; here it gets the time stamp in front and, where the engine left them out, the
//! fields that only the gateway knows.

use std::net::SocketAddr;
use std::time::Duration;

use super::json::push_time;
use crate::waf::RuleMatch;

/// What a line says of the request.
#[derive(Debug, Clone, Copy)]
pub struct About<'a> {
    /// The request's id.
    pub id: &'a str,
    /// When it began, since the epoch.
    pub started: Duration,
    /// Who sent it.
    pub client: Option<SocketAddr>,
}

/// Appends the lines; returns how many.
pub(super) fn write(out: &mut Vec<u8>, about: About<'_>, matches: &[RuleMatch], notices: &[Vec<u8>]) -> usize {
    // Without text are those of a request that began before there was this log.
    let lines = matches.iter().map(|matched| &matched.line_text).filter(|text| !text.is_empty());
    let mut count = 0;
    for text in notices.iter().chain(lines) {
        count += 1;
        out.push(b'[');
        push_time(out, about.started);
        out.extend_from_slice(b"] ");
        if let Some(client) = about.client {
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
            out.extend_from_slice(format!(" [unique_id \"{}\"]", about.id).as_bytes());
        }
        out.push(b'\n');
    }
    count
}

fn contains(text: &[u8], needle: &[u8]) -> bool {
    memchr::memmem::find(text, needle).is_some()
}
