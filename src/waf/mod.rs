//! The rule engine: an immutable [`Program`] compiled from SecLang, and a [`Transaction`] that runs it over one
//! request and its response.
//!
//! Three kinds of data, three types: [`Program`] (immutable, shared by all workers in an `Arc`), [`Transaction`] (one
//! request) and [`Scratch`] (one per worker, reused). Nothing here does input or output; time and randomness are
//! arguments.

pub mod body;
mod program;
pub mod regex;
mod scratch;
mod transaction;
pub mod transformation;
mod verdict;

pub use program::Program;
pub use scratch::Scratch;
pub use transaction::{BodyStep, Connection, RequestLine, Summary, Transaction};
pub use verdict::{Disruption, Interruption, RuleId, RuleMatch, Verdict};
