//! Random rule sets with random requests, evaluated in every way that there is: the outcome must be the same.
//!
//! `tests/random_rules.rs` runs it over fixed seeds, the fuzz target `rules` over whatever libFuzzer thinks of. What
//! is compared is all that leaves the engine: verdicts, what it asks for, matches in their order with their log lines,
//! notices, scores, audit entries; and, by a rule at the end that most rule sets have, all of TX.

mod condition;
mod pool;
mod requests;
mod rules;
mod run;
mod shrink;
mod supply;
mod words;

use std::fmt;

use requests::Request;
use rules::Unit;
use supply::Supply;

/// A rule set with what is sent through it.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    units: Vec<Unit>,
    requests: Vec<Request>,
    choices: Choices,
}

/// What is the same for all evaluations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Choices {
    /// Do persistent collections outlive a transaction?
    has_store: bool,
    /// One worker for the programs of all options, as for sites with rule sets of their own.
    shares_worker: bool,
    /// The policy is in detection.
    is_detection_only: bool,
    complete_phrases: bool,
    any_event: bool,
}

impl Case {
    /// Makes one.
    pub(crate) fn new(data: &[u8]) -> Self {
        let mut supply = Supply::forward(data);
        let mut turn = |times| supply.one_in(times);
        let choices = Choices {
            has_store: turn(4),
            shares_worker: turn(3),
            is_detection_only: turn(16),
            complete_phrases: !turn(4),
            any_event: turn(8),
        };
        let choices = Choices { shares_worker: choices.shares_worker && !choices.has_store, ..choices };
        let units = rules::rules(&mut supply);
        let requests = requests::requests(&mut Supply::backward(data, supply.topic));
        Self { units, requests, choices }
    }

    /// The rules as text.
    pub(crate) fn rules(&self) -> String {
        rules::text_of(&self.units)
    }
}

/// What was compared.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    /// Rule sets that compiled, and that did not.
    pub(crate) compiled: usize,
    pub(crate) refused: usize,
    pub(crate) requests: usize,
    pub(crate) matches: usize,
    pub(crate) interruptions: usize,
}

impl Counts {
    pub(crate) fn add(&mut self, other: Self) {
        self.compiled += other.compiled;
        self.refused += other.refused;
        self.requests += other.requests;
        self.matches += other.matches;
        self.interruptions += other.interruptions;
    }
}

/// Compares; in a difference, gives the smallest case that was found to have it.
pub(crate) fn check(data: &[u8]) -> Result<Counts, String> {
    let case = Case::new(data);
    // All combinations have their turn; compiling is what takes the time.
    let turn = data.iter().map(|byte| usize::from(*byte)).sum();
    match run::compare(&case, run::Sweep::DefaultAnd(turn)) {
        Ok(counts) => Ok(counts),
        Err(_) => {
            let (case, problem) = shrink::shrink(case);
            Err(format!("{case}{problem}"))
        }
    }
}

impl fmt::Display for Case {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "{}\n{:?}", self.rules(), self.choices)?;
        for request in &self.requests {
            let show = |bytes: &[u8]| bytes.escape_ascii().to_string();
            writeln!(out, "> {} {} (pieces of {})", show(&request.method), show(&request.target), request.piece)?;
            for (name, value) in &request.headers {
                writeln!(out, ">   {}: {}", show(name), show(value))?;
            }
            writeln!(out, ">   {}", show(&request.body))?;
            writeln!(out, "< {}", request.status)?;
            for (name, value) in &request.response_headers {
                writeln!(out, "<   {}: {}", show(name), show(value))?;
            }
            writeln!(out, "<   {}", show(&request.response_body))?;
        }
        Ok(())
    }
}

fn base64(text: &[u8]) -> String {
    use portcullis::waf::transformation::{Transformation, TransformationContext};
    let mut out = Vec::new();
    Transformation::Base64Encode.apply(text, &mut out, &TransformationContext::default());
    String::from_utf8_lossy(&out).into_owned()
}
