//! Runs case files on several threads and counts everything.
//!
//! Each thread has a target of its own. Results come back in the order of the files, so that two runs print the same.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use super::cases::{CaseFile, Test};
use super::check::check;
use super::exchange::Target;
use super::wire;

/// What became of one test.
#[derive(Debug)]
pub struct Outcome {
    /// `942100-3`.
    pub name: String,
    /// The file, as given.
    pub file: String,
    /// The line where the test begins.
    pub line: u32,
    /// Everything that is wrong, stage by stage; nothing when it passed.
    pub failures: Vec<String>,
    /// Log lines of the stages that failed.
    pub log: Vec<Vec<u8>>,
}

impl Outcome {
    /// Did every assertion of every stage hold?
    pub fn has_passed(&self) -> bool {
        self.failures.is_empty()
    }
}

/// Everything that was run.
#[derive(Debug, Default)]
pub struct Results {
    /// Case files, empty ones included.
    pub files: usize,
    /// Tests that were run.
    pub tests: usize,
    /// Requests that were judged.
    pub stages: usize,
    /// Assertions that were checked.
    pub assertions: usize,
    /// In order of files and tests; of JSON cases only those that failed.
    pub outcomes: Vec<Outcome>,
    /// Cases that are judged otherwise for a reason, each by name.
    pub notes: Vec<String>,
}

impl Results {
    /// Adds the counts and outcomes of another run.
    pub fn add(&mut self, other: Self) {
        self.files += other.files;
        self.tests += other.tests;
        self.stages += other.stages;
        self.assertions += other.assertions;
        self.outcomes.extend(other.outcomes);
        self.notes.extend(other.notes);
    }

    /// How many tests failed.
    pub fn failed(&self) -> usize {
        self.outcomes.iter().filter(|outcome| !outcome.has_passed()).count()
    }

    /// Did something run, and did all of it pass?
    pub fn has_passed(&self) -> bool {
        self.tests > 0 && self.assertions > 0 && self.failed() == 0
    }
}

/// Runs the tests whose name the filter lets through. `target` is called once per thread; `done` after each test.
pub fn run<'t>(
    files: &[CaseFile],
    jobs: usize,
    filter: &(dyn Fn(&str) -> bool + Sync),
    target: &(dyn Fn() -> Box<dyn Target + 't> + Sync),
    done: &(dyn Fn(&Outcome) + Sync),
) -> Results {
    let wanted: Vec<(&CaseFile, &Test)> = files
        .iter()
        .flat_map(|file| file.tests.iter().map(move |test| (file, test)))
        .filter(|(_, test)| filter(&test.name))
        .collect();
    let next = AtomicUsize::new(0);
    let outcomes = Mutex::new(Vec::with_capacity(wanted.len()));
    std::thread::scope(|scope| {
        for _ in 0..jobs.clamp(1, wanted.len().max(1)) {
            scope.spawn(|| {
                let mut target = target();
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some((file, test)) = wanted.get(index) else { break };
                    let outcome = run_test(file, test, target.as_mut());
                    done(&outcome);
                    outcomes.lock().unwrap_or_else(PoisonError::into_inner).push((index, outcome));
                }
            });
        }
    });
    let mut outcomes = outcomes.into_inner().unwrap_or_else(PoisonError::into_inner);
    outcomes.sort_by_key(|(index, _)| *index);
    let stages = wanted.iter().flat_map(|(_, test)| &test.stages);
    Results {
        files: files.len(),
        tests: wanted.len(),
        stages: stages.clone().count(),
        assertions: stages.map(|stage| stage.expected.assertions()).sum(),
        outcomes: outcomes.into_iter().map(|(_, outcome)| outcome).collect(),
        notes: Vec::new(),
    }
}

fn run_test(file: &CaseFile, test: &Test, target: &mut dyn Target) -> Outcome {
    let mut failures = Vec::new();
    let mut log = Vec::new();
    for (index, stage) in test.stages.iter().enumerate() {
        let request = wire::request(&stage.input);
        let mut exchange = target.send(&request);
        let mut wrong = check(&stage.expected, &exchange);
        if !wrong.is_empty() && stage.expected.retries_once {
            exchange = target.send(&request);
            wrong = check(&stage.expected, &exchange);
        }
        if !wrong.is_empty() {
            let place = if test.stages.len() > 1 { format!("stage {}: ", index + 1) } else { String::new() };
            failures.extend(wrong.into_iter().map(|reason| format!("{place}{reason}")));
            log.append(&mut exchange.log);
        }
    }
    Outcome {
        name: test.name.clone(),
        file: file.source.path().display().to_string(),
        line: test.location.position.line,
        failures,
        log,
    }
}
