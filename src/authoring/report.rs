//! Prints results: for people, as JSON, as JUnit XML.

use std::fmt::Write;
use std::time::Duration;

use super::run_cases::{Outcome, Results};

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For people: failures, then counts.
    Human,
    /// One JSON object.
    Json,
    /// JUnit XML, one test suite a file.
    Junit,
}

/// The whole report. `shows_log`: people also see the log lines of stages that failed.
pub fn render(results: &Results, format: Format, elapsed: Duration, shows_log: bool) -> String {
    match format {
        Format::Human => human(results, elapsed, shows_log),
        Format::Json => json(results, elapsed),
        Format::Junit => junit(results, elapsed),
    }
}

fn human(results: &Results, elapsed: Duration, shows_log: bool) -> String {
    let mut out = String::new();
    for outcome in results.outcomes.iter().filter(|outcome| !outcome.has_passed()) {
        line(&mut out, format_args!("FAILED {} ({}:{})", outcome.name, outcome.file, outcome.line));
        for failure in &outcome.failures {
            line(&mut out, format_args!("    {failure}"));
        }
        for logged in outcome.log.iter().filter(|_| shows_log) {
            line(&mut out, format_args!("    | {}", String::from_utf8_lossy(logged)));
        }
    }
    for note in &results.notes {
        line(&mut out, format_args!("note: {note}"));
    }
    line(
        &mut out,
        format_args!(
            "{} files, {} tests, {} stages, {} assertions: {} passed, {} failed, in {:.2} s",
            results.files,
            results.tests,
            results.stages,
            results.assertions,
            results.tests - results.failed(),
            results.failed(),
            elapsed.as_secs_f64()
        ),
    );
    if results.tests == 0 {
        line(&mut out, format_args!("nothing was run, so nothing passed"));
    }
    out
}

fn json(results: &Results, elapsed: Duration) -> String {
    let tests: Vec<_> = results
        .outcomes
        .iter()
        .map(|outcome| {
            serde_json::json!({
                "name": outcome.name,
                "file": outcome.file,
                "line": outcome.line,
                "passed": outcome.has_passed(),
                "failures": outcome.failures,
            })
        })
        .collect();
    let report = serde_json::json!({
        "files": results.files,
        "tests": results.tests,
        "stages": results.stages,
        "assertions": results.assertions,
        "passed": results.tests - results.failed(),
        "failed": results.failed(),
        "seconds": elapsed.as_secs_f64(),
        "notes": results.notes,
        "results": tests,
    });
    format!("{report}\n")
}

fn junit(results: &Results, elapsed: Duration) -> String {
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    line(
        &mut out,
        format_args!(
            "<testsuites tests=\"{}\" failures=\"{}\" time=\"{:.3}\">",
            results.tests,
            results.failed(),
            elapsed.as_secs_f64()
        ),
    );
    // Outcomes of a file stand side by side.
    for suite in results.outcomes.chunk_by(|a, b| a.file == b.file) {
        let failed = suite.iter().filter(|outcome| !outcome.has_passed()).count();
        let file = suite.first().map(|outcome| escape(&outcome.file)).unwrap_or_default();
        line(&mut out, format_args!("  <testsuite name=\"{file}\" tests=\"{}\" failures=\"{failed}\">", suite.len()));
        for outcome in suite {
            testcase(&mut out, outcome, &file);
        }
        line(&mut out, format_args!("  </testsuite>"));
    }
    line(&mut out, format_args!("</testsuites>"));
    out
}

fn testcase(out: &mut String, outcome: &Outcome, file: &str) {
    let name = escape(&outcome.name);
    if outcome.has_passed() {
        line(out, format_args!("    <testcase name=\"{name}\" classname=\"{file}\"/>"));
        return;
    }
    let failures = escape(&outcome.failures.join("\n"));
    line(out, format_args!("    <testcase name=\"{name}\" classname=\"{file}\">"));
    line(out, format_args!("      <failure message=\"{failures}\"/>"));
    line(out, format_args!("    </testcase>"));
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    let written = writeln!(out, "{text}");
    debug_assert!(written.is_ok(), "writing to a string cannot fail");
}

/// For XML attributes; control characters, which XML cannot hold, become question marks.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' => out.push_str("&#10;"),
            other if other.is_control() => out.push('?'),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn results() -> Results {
        let outcome = |name: &str, failures: &[&str]| Outcome {
            name: name.into(),
            file: "a<b.yaml".into(),
            line: 3,
            failures: failures.iter().map(|f| (*f).to_owned()).collect(),
            log: vec![b"line".to_vec()],
        };
        let outcomes = vec![outcome("1-1", &[]), outcome("1-2", &["rule 7 was not \"logged\""])];
        Results { files: 1, tests: 2, stages: 2, assertions: 3, outcomes, notes: Vec::new() }
    }

    #[test]
    fn formats() {
        let second = Duration::from_secs(1);
        let human = render(&results(), Format::Human, second, true);
        assert!(
            human.ends_with("1 files, 2 tests, 2 stages, 3 assertions: 1 passed, 1 failed, in 1.00 s\n"),
            "{human}"
        );
        assert!(human.contains("FAILED 1-2 (a<b.yaml:3)\n    rule 7 was not \"logged\"\n    | line\n"));
        let json: serde_json::Value = serde_json::from_str(&render(&results(), Format::Json, second, false)).unwrap();
        assert_eq!(json["failed"], 1);
        let junit = render(&results(), Format::Junit, second, false);
        assert!(junit.contains("name=\"a&lt;b.yaml\" tests=\"2\" failures=\"1\""), "{junit}");
        assert!(junit.contains("message=\"rule 7 was not &quot;logged&quot;\""));
        assert!(!Results::default().has_passed());
    }
}
