//! ModSecurity's log line for a match, and its ways of making bytes fit for one line of text.

use super::program::Head;

/// Escapes as ModSecurity 2 does where it quotes text: `\"`, `\\`, `\n`, and `\xHH` for what is not printable.
pub(crate) fn escape(text: &[u8], out: &mut Vec<u8>) {
    escape_with(text, true, out);
}

/// As [`escape`], quotation marks left alone: for names of variables.
pub(crate) fn escape_name(text: &[u8], out: &mut Vec<u8>) {
    escape_with(text, false, out);
}

fn escape_with(text: &[u8], quotes: bool, out: &mut Vec<u8>) {
    // Nearly always there is nothing to escape; no early exit, so that the compiler looks at many bytes at once.
    let is_plain = |byte: u8| (0x20..=0x7e).contains(&byte) & (byte != b'\\') & !(quotes & (byte == b'"'));
    if text.iter().fold(true, |plain, byte| plain & is_plain(*byte)) {
        out.extend_from_slice(text);
        return;
    }
    for byte in text {
        match byte {
            b'"' if quotes => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            0x08 => out.extend_from_slice(b"\\b"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0x0b => out.extend_from_slice(b"\\v"),
            0x20..=0x7e => out.push(*byte),
            _ => hex(*byte, out),
        }
    }
}

/// As ModSecurity 2 writes `logdata`: `\xHH` for quotation marks, backslashes and what is not printable.
pub(crate) fn escape_hex(text: &[u8], out: &mut Vec<u8>) {
    for byte in text {
        match byte {
            b'"' | b'\\' => hex(*byte, out),
            0x20..=0x7e => out.push(*byte),
            _ => hex(*byte, out),
        }
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
    let mut escaped = Vec::with_capacity(text.len().min(ARGUMENT_BYTES * 4));
    escape(text.get(..text.len().min(ARGUMENT_BYTES + 1)).unwrap_or_default(), &mut escaped);
    if escaped.len() > ARGUMENT_BYTES {
        out.extend_from_slice(escaped.get(..ARGUMENT_BYTES).unwrap_or_default());
        out.extend_from_slice(b" ...");
    } else {
        out.extend_from_slice(&escaped);
    }
}

/// Longest `[data "…"]`.
const DATA_BYTES: usize = 512;

/// The expanded metadata of one match.
#[derive(Debug, Default)]
pub(crate) struct Expanded {
    pub(crate) message: Vec<u8>,
    pub(crate) data: Vec<u8>,
    pub(crate) tags: Vec<Vec<u8>>,
}

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
    action: &[u8],
    operator: &[u8],
    head: &Head,
    expanded: &Expanded,
    subject: &Subject<'_>,
) -> Vec<u8> {
    let mut line = Vec::with_capacity(512);
    line.extend_from_slice(b"ModSecurity: ");
    line.extend_from_slice(action);
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

/// The part that says which rule: ` [file "…"] [line "…"] [id "…"] …`.
pub(crate) fn metadata(head: &Head, expanded: &Expanded, line: &mut Vec<u8>) {
    field("file", line, |out| escape(head.file.as_bytes(), out));
    field("line", line, |out| number(head.line.into(), out));
    field("id", line, |out| number(head.id.0.into(), out));
    if let Some(revision) = &head.revision {
        field("rev", line, |out| escape(revision, out));
    }
    if head.message.is_some() {
        field("msg", line, |out| escape(&expanded.message, out));
    }
    if head.log_data.is_some() {
        field("data", line, |out| {
            let start = out.len();
            escape_hex(&expanded.data, out);
            if out.len() - start > DATA_BYTES {
                out.truncate(start + DATA_BYTES - 3);
                out.extend_from_slice(b"...");
            }
        });
    }
    if let Some(severity) = head.severity {
        field("severity", line, |out| out.extend_from_slice(severity_name(severity).as_bytes()));
    }
    if let Some(version) = &head.version {
        field("ver", line, |out| escape(version, out));
    }
    if let Some(maturity) = head.maturity {
        field("maturity", line, |out| number(maturity.into(), out));
    }
    if let Some(accuracy) = head.accuracy {
        field("accuracy", line, |out| number(accuracy.into(), out));
    }
    for tag in &expanded.tags {
        field("tag", line, |out| escape(tag, out));
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
