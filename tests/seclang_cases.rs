//! ModSecurity's own cases for operators and transformations, from the shared folder of reference data.

use std::path::{Path, PathBuf};

use portcullis::authoring::json_cases::{self, CaseReport};
use portcullis::authoring::regression_cases;
use portcullis::seclang::source::FileLoader;

fn shared() -> Option<PathBuf> {
    let root = std::env::var_os("PORTCULLIS_SHARED").map_or_else(|| "../shared".into(), PathBuf::from);
    let cases = root.join("seclang-tests");
    if cases.is_dir() {
        return Some(cases);
    }
    eprintln!("SKIPPED: there are no case files under {}; set PORTCULLIS_SHARED", cases.display());
    None
}

/// Every `.json` file of a directory.
fn run(directory: &Path) -> (usize, CaseReport) {
    let mut paths: Vec<_> = std::fs::read_dir(directory)
        .expect("the directory was there")
        .map(|entry| entry.expect("a readable directory").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .collect();
    paths.sort();
    let mut report = CaseReport::default();
    for path in &paths {
        let source = FileLoader::open(path).expect("a readable file");
        match json_cases::run(&source, &FileLoader) {
            Ok(one) => report.add(one),
            Err(error) => panic!("{error}"),
        }
    }
    (paths.len(), report)
}

fn assert_passed(report: &CaseReport) {
    for failure in report.failures.iter().take(40) {
        eprintln!("{failure}");
    }
    assert!(report.failures.is_empty(), "{} of {} assertions failed", report.failures.len(), report.assertions);
}

#[test]
fn operators() {
    let Some(cases) = shared() else { return };
    let (files, report) = run(&cases.join("operators"));
    assert_passed(&report);
    // Fewer would mean that something was not run.
    assert!(files >= 29, "{files} files");
    assert!(report.operators >= 3_955, "{} cases", report.operators);
    assert!(report.assertions >= 3_980, "{} assertions", report.assertions);
    assert_eq!(report.transformations, 0);
}

#[test]
fn transformations() {
    let Some(cases) = shared() else { return };
    let (files, report) = run(&cases.join("transformations"));
    assert_passed(&report);
    assert!(files >= 35, "{files} files");
    assert!(report.transformations >= 376, "{} cases", report.transformations);
    assert_eq!(report.operators, 0);
}

#[test]
fn regression() {
    let Some(cases) = shared() else { return };
    let mut paths: Vec<_> = std::fs::read_dir(cases.join("regression")).unwrap().map(|e| e.unwrap().path()).collect();
    paths.sort();
    let mut report = regression_cases::RegressionReport::default();
    for path in paths {
        report.add(regression_cases::run(&FileLoader::open(&path).unwrap(), &FileLoader).unwrap());
    }
    let wrong: Vec<_> = report.failures.iter().map(|(name, what)| format!("{name}\n    {what}")).collect();
    eprintln!(
        "{} cases, {} assertions, {} known differences, {} only wording",
        report.cases,
        report.assertions,
        report.known.len(),
        report.wording.len()
    );
    // Each known difference is explained where people look for it.
    let page =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/modsecurity-differences.md")).unwrap();
    for (file, number, entry) in regression_cases::KNOWN_DIFFERENCES {
        assert!(page.contains(&format!("**{entry}.**")), "{file} {number}: no entry {entry}");
    }
    // Likewise each case of which only a debug log's words are not met: `file.json` and its number in one line.
    let lines: Vec<&str> = page.lines().filter(|line| line.starts_with("| `")).collect();
    for name in &report.wording {
        let (case, _) = name.split_once(':').unwrap();
        let (file, number) = case.split_once(' ').unwrap();
        let is_named = |line: &&&str| {
            line.starts_with(&format!("| `{file}` |"))
                && line.split('|').nth(2).unwrap().split(',').any(|listed| listed.trim() == number)
        };
        assert!(lines.iter().any(|line| is_named(&line)), "not in docs/modsecurity-differences.md: {case}");
    }
    assert!(report.cases >= 330 && report.assertions >= 255, "{report:?}");
    assert!(wrong.is_empty(), "{} failed:\n{}", wrong.len(), wrong.join("\n"));
}
