//! Runs one file of ModSecurity's JSON cases, whichever of its two forms it has, and counts as for other cases.

use super::run_cases::{Outcome, Results};
use super::{json_cases, regression_cases};
use crate::diagnostics::Source;
use crate::seclang::SourceLoader;

/// All cases of the file; an error when it is no such file.
pub fn run(source: &Source, loader: &dyn SourceLoader) -> Result<Results, String> {
    let file = source.path().display().to_string();
    let outcome = |(name, what): (String, String)| Outcome {
        name,
        file: file.clone(),
        line: 1,
        failures: vec![what],
        log: Vec::new(),
    };
    if regression_cases::is_regression_file(source.text()) {
        let report = regression_cases::run(source, loader)?;
        let known = report.known.into_iter().map(|(name, entry)| format!("{name}: known difference {entry}"));
        let wording = report.wording.into_iter().map(|name| format!("{name}: only the wording of a debug log differs"));
        return Ok(Results {
            files: 1,
            tests: report.cases,
            stages: report.cases,
            assertions: report.assertions,
            outcomes: report.failures.into_iter().map(outcome).collect(),
            notes: known.chain(wording).collect(),
        });
    }
    let report = json_cases::run(source, loader).map_err(|error| error.to_string())?;
    let cases = report.operators + report.transformations;
    let failures =
        report.failures.into_iter().map(|failure| (format!("{} {}", failure.name, failure.number), failure.what));
    Ok(Results {
        files: 1,
        tests: cases,
        stages: cases,
        assertions: report.assertions,
        outcomes: failures.map(outcome).collect(),
        notes: Vec::new(),
    })
}
