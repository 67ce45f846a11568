//! What an operator says about a match, in ModSecurity 2's words: `Pattern match "…" at ARGS:q.`
//!
//! Built only for matches that are logged; everything is worked out from the operator, the value and the evidence.

use crate::waf::line::{argument as escape_cut, escape};

/// How the quoted text is made fit.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Quoted {
    Whole,
    Cut,
}

/// `PREFIX "TEXT"`, then where: ` at NAME.`
pub(super) fn quoted(out: &mut Vec<u8>, prefix: &str, text: &[u8], quoted: Quoted, name: &[u8]) {
    out.extend_from_slice(prefix.as_bytes());
    out.extend_from_slice(b" \"");
    match quoted {
        Quoted::Whole => escape(text, out),
        Quoted::Cut => escape_cut(text, out),
    }
    out.push(b'"');
    at(out, name);
}

/// ` at NAME.`
pub(super) fn at(out: &mut Vec<u8>, name: &[u8]) {
    out.extend_from_slice(b" at ");
    out.extend_from_slice(name);
    out.push(b'.');
}

/// ` [offset "N"]`
pub(super) fn offset(out: &mut Vec<u8>, offset: usize) {
    out.extend_from_slice(b" [offset \"");
    out.extend_from_slice(itoa::Buffer::new().format(offset).as_bytes());
    out.extend_from_slice(b"\"]");
}

/// The message of a rule whose negated operator did not match: `Match of "rx …" against "NAME" required.` `argument`
/// is the rule's own, macros and all.
pub fn required(operator: &str, argument: &[u8], name: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"Match of \"");
    out.extend_from_slice(operator.as_bytes());
    out.push(b' ');
    escape_cut(argument, out);
    out.extend_from_slice(b"\" against \"");
    escape(name, out);
    out.extend_from_slice(b"\" required.");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_patterns_are_cut() {
        let mut out = Vec::new();
        quoted(&mut out, "Pattern match", &[b'\\'; 300], Quoted::Cut, b"ARGS:q");
        let text = String::from_utf8_lossy(&out);
        assert_eq!(text, format!("Pattern match \"{} ...\" at ARGS:q.", "\\\\".repeat(126)));
        out.clear();
        required("rx", b"^a\n", b"ARGS:q", &mut out);
        assert_eq!(String::from_utf8_lossy(&out), "Match of \"rx ^a\\n\" against \"ARGS:q\" required.");
        // Escaped once, like every other text: the four backslashes in Apache's error log are two of ModSecurity's, each
        // doubled by Apache, and its audit log has two.
        out.clear();
        required("rx", br"^\d$", b"ARGS:q", &mut out);
        assert_eq!(String::from_utf8_lossy(&out), r#"Match of "rx ^\\d$" against "ARGS:q" required."#);
    }
}
