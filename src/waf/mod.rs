//! The rule engine: an immutable [`Program`] compiled from SecLang, and a [`Transaction`] that runs it over one
//! request and its response.
//!
//! Three kinds of data, three types: [`Program`] (immutable, shared by all workers in an `Arc`), [`Transaction`] (one
//! request) and [`Scratch`] (one per worker, reused). Nothing here does input or output; time is an argument.
//!
//! In order of flow: [`compile`] makes a program of a ruleset; [`transaction`] takes a request apart ([`request`],
//! [`request_body`], [`response`]); [`eval`] runs the rules of a phase over its [`collection`]s, with [`operate`] at
//! the leaves, and visits only the rules that [`plan`], [`prefilter`] and [`values`] leave; [`action`] does what a match
//! asks for; [`verdict`], `line` and [`audit`] are what comes out.

#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic))]

mod action;
mod audit;
pub mod body;
mod byte_tables;
mod collection;
mod compile;
mod content_coding;
mod eval;
mod expand;
mod facts;
pub mod libinjection;
mod line;
mod names;
mod number;
mod number_index;
mod operate;
pub mod operator;
mod options;
mod plan;
mod prefilter;
mod profile;
mod program;
pub mod regex;
mod remarks;
mod request;
mod request_body;
mod response;
mod scratch;
mod settings;
mod sieve;
mod signature;
mod trace;
mod transaction;
pub mod transformation;
mod utf8;
mod values;
mod verdict;
#[cfg(target_arch = "x86_64")]
mod wide;

#[cfg(test)]
mod tests;

pub use body::json::Naming as JsonNames;
pub use collection::store::{
    CollectionStore, CollectionUpdate, MemoryStore, StoreCounts, StoredVariable, VariableChange,
};
pub use options::EngineOptions;
pub use profile::{Profile, RuleCost};
pub use program::Program;
pub use scratch::Scratch;
pub use settings::AuditLog;
pub use trace::{Trace, TraceOutcome, TraceStep, TraceTest};
pub use transaction::{BodyStep, Connection, RequestLine, Summary, Transaction};
pub use verdict::{Disruption, Interruption, RuleFacts, RuleId, RuleMatch, Verdict};
