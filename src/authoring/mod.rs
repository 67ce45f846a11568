//! The library half of the tools for people who write rules: run case files, replay requests, lint.
//!
//! Nothing here does input or output. In order of flow: [`cases`] reads a case file, [`wire`] makes the bytes of a
//! request, a [`Target`] sends them (in process that is [`exchange`], with [`backend`] behind it), [`check`] compares
//! what came back, [`run_cases`] does all of that for many files on several threads, and [`report`] prints it.
//! [`json_cases`] runs ModSecurity's cases for single operators and transformations, [`regression_cases`] those for
//! whole rules, and [`run_json`] either. [`rule_cases`] runs the cases that stand beside rules,
//! and [`modsecurity_2`] reads off what version 2 of ModSecurity would have logged. [`capture`] reads recorded requests,
//! [`bench`](mod@bench) measures what requests cost, and [`explain`](mod@explain) tells what a rule does.

pub mod backend;
pub mod bench;
pub mod capture;
pub mod cases;
pub mod check;
pub mod exchange;
pub mod explain;
pub mod json_cases;
pub mod modsecurity_2;
pub mod regression_cases;
pub mod report;
pub mod rule_cases;
pub mod rule_set;
pub mod run_cases;
pub mod run_json;
pub mod template;
pub mod wire;

pub use exchange::{Answer, Engine, Exchange, Target};
pub use run_cases::{Outcome, Results, run};
