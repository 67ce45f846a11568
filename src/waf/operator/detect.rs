//! `@detectSQLi` and `@detectXSS`: libinjection's verdict on the value.
//!
//! **Arguments.** None. **Result.** TX.0 is the fingerprint (`s&1c`), or the whole value for scripts; other captures keep
//! their values. **Example.** `SecRule ARGS "@detectSQLi" "id:1,capture,logdata:'%{TX.0}'"`.
//! *Difference from ModSecurity:* the tables are today's; distributions ship older ones.

use super::Evidence;
use crate::waf::libinjection;

/// The fingerprint is always part of the evidence: the message needs it.
pub(super) fn sqli(value: &[u8], evidence: &mut Evidence) -> bool {
    let Some(fingerprint) = libinjection::detect_sqli(value) else { return false };
    evidence.phrase = Some(fingerprint.as_bytes().to_vec());
    evidence.keeps_others = true;
    true
}

/// The value's text ends at the first `NUL`, for TX.0 only.
pub(super) fn xss(value: &[u8], any_event: bool, evidence: Option<&mut Evidence>) -> bool {
    let is_match = if any_event { libinjection::detect_xss_any_event(value) } else { libinjection::detect_xss(value) };
    if let (true, Some(evidence)) = (is_match, evidence) {
        let end = memchr::memchr(0, value).unwrap_or(value.len());
        evidence.captures.push(Some((0, end)));
        evidence.keeps_others = true;
    }
    is_match
}
