//! The Core Rule Set's regression files: every one is understood, to the last key.

use std::path::{Path, PathBuf};

use portcullis::authoring::{Engine, cases, rule_set, run, wire};
use portcullis::seclang::source::FileLoader;

/// The folder with reference data that is not part of the project; tests say loudly when it is absent.
fn shared() -> Option<PathBuf> {
    let root = std::env::var_os("PORTCULLIS_SHARED").map(PathBuf::from);
    let root = root.unwrap_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared")));
    if root.is_dir() {
        return Some(root);
    }
    eprintln!("SKIPPED: {} is absent; set PORTCULLIS_SHARED", root.display());
    None
}

fn files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml") {
            found.push(path);
        }
    }
}

#[test]
fn every_case_file_is_understood() {
    let Some(shared) = shared() else { return };
    let mut paths = Vec::new();
    files(&shared.join("crs/tests"), &mut paths);
    assert!(!paths.is_empty());
    let (mut tests, mut stages) = (0, 0);
    for path in &paths {
        let file = cases::load(&FileLoader::open(path).unwrap()).unwrap_or_else(|problems| panic!("{problems}"));
        tests += file.tests.len();
        for stage in file.tests.iter().flat_map(|test| &test.stages) {
            stages += 1;
            assert!(stage.expected.assertions() > 0);
            assert!(wire::request(&stage.input).windows(2).any(|end| end == b"\r\n"));
        }
    }
    eprintln!("{} files, {tests} tests, {stages} stages", paths.len());
    assert!(tests > 1000);
}

#[test]
fn every_case_passes_in_process() {
    let Some(shared) = shared() else { return };
    let root = rule_set::core_rule_set(&shared.join("crs"));
    let (program, warnings) = rule_set::compile(&root, &FileLoader).unwrap_or_else(|problems| panic!("{problems}"));
    assert!(warnings.is_empty(), "{warnings}");
    let mut paths = Vec::new();
    files(&shared.join("crs/tests"), &mut paths);
    paths.sort();
    let files: Vec<_> = paths.iter().map(|path| cases::load(&FileLoader::open(path).unwrap()).unwrap()).collect();
    let results = run(&files, 2, &|_| true, &|| Box::new(Engine::new(&program)), &|_| {});
    let failed: Vec<_> = results
        .outcomes
        .iter()
        .filter(|outcome| !outcome.has_passed())
        .map(|outcome| format!("{}: {}", outcome.name, outcome.failures.join("; ")))
        .collect();
    eprintln!("{} tests, {} assertions", results.tests, results.assertions);
    assert!(failed.is_empty(), "{} failed:\n{}", failed.len(), failed.join("\n"));
    assert!(results.has_passed());
}
