//! SQL injection and script injection detection with the verdicts of libinjection, for `@detectSQLi` and `@detectXSS`.
//!
//! libinjection decides by structure, not by pattern: a value is cut into at most five tokens as a database (or a
//! browser) would cut it, the token kinds are folded into a *fingerprint*, and a table says which fingerprints only
//! occur in attacks. The Core Rule Set relies on those exact verdicts and on the fingerprint as data (`TX.0`), so this
//! room is a clean implementation of the same automaton, bit for bit, including the corners that look like mistakes:
//! each is marked where it occurs.
//!
//! # What must stay true
//!
//! - Same verdict and fingerprint as libinjection 3.9.2 (tables and SQL automaton) with the later, shorter list of
//!   event attributes for scripts. `tests/libinjection_cases.rs` runs libinjection's own 480 cases.
//! - No allocation, no recursion, time linear in the input.
//! - `may_be_*` never answer "no" where `detect_*` answers "yes".
//!
//! # The data
//!
//! `sqli/keywords.txt`, `sqli/fingerprints.txt` and `events.rs` are libinjection's tables (BSD-3-Clause, see the file
//! `NOTICE`); the compiler turns them into hash tables, so nothing is built at run time.
//!
//! Tried and rejected: the crate `libinjectionrs` 0.1 (allocates for each word, and differs from the original in
//! multi-word keywords, NUL bytes and attribute separators).

pub mod html5;
pub mod sqli;
pub mod xss;

pub use sqli::{Fingerprint, detect_sqli, may_be_sqli};
pub use xss::{detect_xss, detect_xss_any_event, may_be_xss};
