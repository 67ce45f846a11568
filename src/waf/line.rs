//! ModSecurity's log line for a match, and its ways of making bytes fit for one line of text.

use std::sync::Arc;

use super::RuleFacts;
use super::program::Head;
use crate::limits;

/// Escapes as ModSecurity 2 does where it quotes text: `\"`, `\\`, `\n`, and `\xHH` for what is not printable.
pub(crate) fn escape(text: &[u8], out: &mut Vec<u8>) {
    escape_with(text, true, out);
}

/// As [`escape`], quotation marks left alone: for names of variables.
pub(crate) fn escape_name(text: &[u8], out: &mut Vec<u8>) {
    escape_with(text, false, out);
}

fn escape_with(text: &[u8], quotes: bool, out: &mut Vec<u8>) {
    // Nearly always there is nothing to escape.
    if is_plain(text, quotes) {
        out.extend_from_slice(text);
        return;
    }
    out.reserve(text.len() + 64);
    let mut rest = text;
    // What goes out as it is goes in runs; patterns have some dozen bytes between their backslashes.
    while let Some((byte, after)) = rest.split_first() {
        let plain = rest.iter().position(|byte| !is_plain_byte(*byte, quotes)).unwrap_or(rest.len());
        if plain > 0 {
            let (run, after) = rest.split_at(plain);
            out.extend_from_slice(run);
            rest = after;
            continue;
        }
        rest = after;
        match byte {
            b'"' if quotes => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            0x08 => out.extend_from_slice(b"\\b"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0x0b => out.extend_from_slice(b"\\v"),
            _ => hex(*byte, out),
        }
    }
}

/// Does the byte go out as it is?
const fn is_plain_byte(byte: u8, quotes: bool) -> bool {
    matches!(byte, 0x20..=0x7e) && byte != b'\\' && !(quotes && byte == b'"')
}

/// Does all of it go out as it is? Names of a dozen bytes are asked about a hundred times a request: eight bytes at a
/// time, the rest as one more word.
fn is_plain(text: &[u8], quotes: bool) -> bool {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGHS: u64 = ONES << 7;
    const BLANKS: u64 = u64::from_ne_bytes([b' '; 8]);
    // A byte of `word` is below `bound`, or one before it is.
    let below = |word: u64, bound: u64| word.wrapping_sub(ONES * bound) & !word & HIGHS;
    let is = |word: u64, byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    let odd = |word: u64| {
        let quote = if quotes { is(word, b'"') } else { 0 };
        (word & HIGHS) | below(word, 0x20) | is(word, 0x7f) | is(word, b'\\') | quote
    };
    let (words, rest) = text.as_chunks::<8>();
    let mut found = words.iter().fold(0, |found, word| found | odd(u64::from_ne_bytes(*word)));
    if !rest.is_empty() {
        found |= match text.last_chunk::<8>() {
            Some(word) => odd(u64::from_ne_bytes(*word)),
            None => odd(rest.iter().fold(BLANKS, |word, byte| (word << 8) | u64::from(*byte))),
        };
    }
    found == 0
}

/// As ModSecurity 2 writes `logdata`: `\xHH` for quotation marks, backslashes and what is not printable.
pub(crate) fn escape_hex(text: &[u8], out: &mut Vec<u8>) {
    let mut rest = text;
    while !rest.is_empty() {
        let plain = rest.iter().position(|byte| !is_plain_byte(*byte, true)).unwrap_or(rest.len());
        let (run, behind) = rest.split_at(plain);
        out.extend_from_slice(run);
        rest = match behind.split_first() {
            Some((byte, behind)) => {
                hex(*byte, out);
                behind
            }
            None => behind,
        };
    }
}

fn hex(byte: u8, out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |value: u8| DIGITS.get(usize::from(value)).copied().unwrap_or(b'0');
    out.extend_from_slice(&[b'\\', b'x', digit(byte >> 4), digit(byte & 15)]);
}

/// Longest quoted operator argument in a message.
const ARGUMENT_BYTES: usize = 252;

/// Appends an operator's argument, escaped and cut.
pub(crate) fn argument(text: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    escape(text.get(..text.len().min(ARGUMENT_BYTES + 1)).unwrap_or_default(), out);
    if out.len() - start > ARGUMENT_BYTES {
        out.truncate(start + ARGUMENT_BYTES);
        out.extend_from_slice(b" ...");
    }
}

/// Longest `[data "…"]`.
const DATA_BYTES: usize = 512;

/// The expanded metadata of one match.
#[derive(Debug)]
pub(crate) struct Expanded {
    /// When it has macros.
    pub(crate) own_message: Option<Vec<u8>>,
    pub(crate) data: Vec<u8>,
    /// Tags too.
    pub(crate) rule: Arc<RuleFacts>,
}

impl Expanded {
    pub(crate) fn message(&self) -> &[u8] {
        self.own_message.as_ref().unwrap_or(&self.rule.message)
    }
}

/// The parts of the metadata that are the same in each line about a rule.
#[derive(Debug, Default)]
pub(crate) struct Written {
    /// ` [file "…"]` up to the message, which is in it when it has no macros.
    before_data: Box<[u8]>,
    /// What follows the data; tags are in it when none has macros.
    after_data: Box<[u8]>,
    has_message: bool,
    has_tags: bool,
}

/// What is logged is bounded, whatever a client sent or a rule says.
pub(crate) fn bounded(text: &[u8]) -> Vec<u8> {
    text.get(..limits::WAF_LOG_TEXT_BYTES).unwrap_or(text).to_vec()
}

/// Room for an ordinary line.
const LINE_BYTES: usize = 1024;

/// Who and what the line is about.
pub(crate) struct Subject<'a> {
    /// Host of the request.
    pub(crate) host: &'a [u8],
    /// Its path.
    pub(crate) uri: &'a [u8],
    pub(crate) unique_id: &'a [u8],
}

/// The whole line: `ModSecurity: Warning. Pattern match … [file "…"] … [unique_id "…"]`.
pub(crate) fn compose(
    deed: impl FnOnce(&mut Vec<u8>),
    operator: &[u8],
    head: &Head,
    expanded: &Expanded,
    subject: &Subject<'_>,
) -> Vec<u8> {
    let mut line = Vec::with_capacity(LINE_BYTES);
    line.extend_from_slice(b"ModSecurity: ");
    deed(&mut line);
    if !operator.is_empty() {
        line.push(b' ');
        line.extend_from_slice(operator);
    }
    metadata(head, expanded, &mut line);
    subject.write(&mut line);
    line
}

/// A line about something that is no match of a rule.
pub(crate) fn notice(text: &[u8], subject: &Subject<'_>) -> Vec<u8> {
    let mut line = b"ModSecurity: ".to_vec();
    line.extend_from_slice(text);
    subject.write(&mut line);
    line
}

impl Subject<'_> {
    fn write(&self, line: &mut Vec<u8>) {
        if !self.host.is_empty() {
            field("hostname", line, |out| escape(self.host, out));
        }
        field("uri", line, |out| escape(self.uri, out));
        field("unique_id", line, |out| escape(self.unique_id, out));
    }
}

impl Written {
    /// Of a head that is complete but for this.
    pub(crate) fn new(head: &Head) -> Self {
        let (mut before, mut after) = (Vec::new(), Vec::new());
        field("file", &mut before, |out| escape(head.file.as_bytes(), out));
        field("line", &mut before, |out| number(head.line.into(), out));
        field("id", &mut before, |out| number(head.id.0.into(), out));
        if let Some(revision) = &head.revision {
            field("rev", &mut before, |out| escape(revision, out));
        }
        let message = head.message.as_ref().map(|text| text.literal());
        if let Some(Some(message)) = message {
            field("msg", &mut before, |out| escape(&bounded(message), out));
        }
        if let Some(severity) = head.severity {
            field("severity", &mut after, |out| out.extend_from_slice(severity_name(severity).as_bytes()));
        }
        if let Some(version) = &head.version {
            field("ver", &mut after, |out| escape(version, out));
        }
        if let Some(maturity) = head.maturity {
            field("maturity", &mut after, |out| number(maturity.into(), out));
        }
        if let Some(accuracy) = head.accuracy {
            field("accuracy", &mut after, |out| number(accuracy.into(), out));
        }
        for tag in head.plain_tags.iter().flat_map(|tags| tags.iter()) {
            field("tag", &mut after, |out| escape(tag, out));
        }
        Self {
            before_data: before.into(),
            after_data: after.into(),
            has_message: message != Some(None),
            has_tags: head.plain_tags.is_some(),
        }
    }
}

/// The part that says which rule: ` [file "…"] [line "…"] [id "…"] …`.
pub(crate) fn metadata(head: &Head, expanded: &Expanded, line: &mut Vec<u8>) {
    let written = &head.written;
    line.extend_from_slice(&written.before_data);
    if !written.has_message {
        field("msg", line, |out| escape(expanded.message(), out));
    }
    if head.log_data.is_some() {
        field("data", line, |out| {
            let start = out.len();
            // Each byte takes one at least, so that one too many is enough to know that it is cut.
            escape_hex(expanded.data.get(..=DATA_BYTES).unwrap_or(&expanded.data), out);
            if out.len() - start > DATA_BYTES {
                out.truncate(start + DATA_BYTES - 3);
                out.extend_from_slice(b"...");
            }
        });
    }
    line.extend_from_slice(&written.after_data);
    if !written.has_tags {
        for tag in &expanded.rule.tags {
            field("tag", line, |out| escape(tag, out));
        }
    }
}

fn field(name: &str, line: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    line.extend_from_slice(b" [");
    line.extend_from_slice(name.as_bytes());
    line.extend_from_slice(b" \"");
    write(line);
    line.extend_from_slice(b"\"]");
}

fn number(number: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Names of the severities.
pub(crate) const fn severity_name(severity: u8) -> &'static str {
    match severity {
        0 => "EMERGENCY",
        1 => "ALERT",
        2 => "CRITICAL",
        3 => "ERROR",
        4 => "WARNING",
        5 => "NOTICE",
        6 => "INFO",
        _ => "DEBUG",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes() {
        let mut out = Vec::new();
        escape(b"a\"b\\c\n\xff\x1f", &mut out);
        assert_eq!(out, b"a\\\"b\\\\c\\n\\xff\\x1f");
        out.clear();
        escape_name(b"a\"b", &mut out);
        assert_eq!(out, b"a\"b");
        out.clear();
        escape_hex(b"a\"b\\\n", &mut out);
        assert_eq!(out, b"a\\x22b\\x5c\\x0a");
    }

    #[test]
    fn plain_is_what_needs_no_escape() {
        for quotes in [false, true] {
            for length in [1, 3, 7, 8, 9, 15, 16, 21] {
                for place in 0..length {
                    for byte in 0..=255 {
                        let mut text = vec![b'a'; length];
                        text[place] = byte;
                        let is_odd = !(0x20..=0x7e).contains(&byte) || byte == b'\\' || (quotes && byte == b'"');
                        assert_eq!(is_plain(&text, quotes), !is_odd, "{byte} at {place} of {length}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_long_argument_is_cut() {
        let mut out = Vec::new();
        argument(&[b'x'; 300], &mut out);
        assert_eq!(out.len(), 256);
        assert!(out.ends_with(b"x ..."));
        out.clear();
        argument(&[b'x'; 252], &mut out);
        assert_eq!(out.len(), 252);
    }
}
