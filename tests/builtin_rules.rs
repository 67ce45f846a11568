//! The built-in rules against the case files beside them.

use portcullis::authoring::{Engine, Target, capture, rule_cases, rule_set, wire};
use portcullis::diagnostics::Source;
use portcullis::seclang::source::FileLoader;
use portcullis::waf::{EngineOptions, Program, Scratch};

use std::path::{Path, PathBuf};

/// What each file has at least: of attacks, and of look-alikes.
const CASES_PER_FILE: usize = 10;
/// Files with cases: all but the set-up and the blocking.
const FILES: usize = 8;

#[test]
fn builtin_rules_find_attacks_and_leave_lookalikes() {
    for options in [EngineOptions::default(), EngineOptions::reference()] {
        let program = compile(&options);
        let mut scratch = Scratch::default();
        let mut failures = Vec::new();
        let mut files = 0;
        for path in case_files() {
            files += 1;
            let name = path.file_stem().unwrap().to_str().unwrap();
            let first: u32 = name.split('-').next().unwrap().parse().expect("a name begins with a number");
            let source = FileLoader::open(&path).unwrap();
            let cases = rule_cases::load(&source).unwrap_or_else(|problems| panic!("{problems}"));
            let attacks = cases.iter().filter(|case| case.is_attack).count();
            assert!(attacks >= CASES_PER_FILE, "{name} has {attacks} attacks");
            let lookalikes = cases.len() - attacks;
            assert!(lookalikes >= CASES_PER_FILE, "{name} has {lookalikes} look-alikes");
            for case in &cases {
                if let Err(failure) = case.run(&program, &mut scratch, first * 1000..first * 1000 + 9000) {
                    failures.push(format!("{name}: {failure}"));
                }
            }
        }
        assert!(failures.is_empty(), "{} cases fail:\n{}", failures.len(), failures.join("\n"));
        assert_eq!(files, FILES);
    }
}

/// Each rule has at least one attack that it finds.
#[test]
fn every_builtin_rule_has_a_case() {
    let mut missing = Vec::new();
    for path in case_files() {
        let cases = rule_cases::load(&FileLoader::open(&path).unwrap()).unwrap();
        let text = std::fs::read_to_string(path.with_extension("conf")).unwrap();
        for id in text.split("\"id:").skip(1).map(|rest| rest[..6].parse::<u32>().unwrap()) {
            if !cases.iter().any(|case| case.is_attack && case.rules.contains(&id)) {
                missing.push(id);
            }
        }
    }
    assert!(missing.is_empty(), "rules without a case: {missing:?}");
}

/// Recorded requests: fewer than 0.5 % of the benign ones may be blocked, and at least two thirds of the attacks must
/// be (about a quarter of these have nothing in them that could be found: their payload is empty).
#[test]
fn recorded_traffic() {
    let Some(requests) = recorded_requests() else { return };
    let program = compile(&EngineOptions::default());
    let mut engine = Engine::new(&program);
    // All attacks; of the benign requests every fourth, so that it takes seconds without optimisation too.
    let (mut attacks, mut found, mut benign, mut blocked) = (0, 0, 0, Vec::new());
    for (index, (name, request)) in requests.into_iter().enumerate() {
        let is_attack = name.contains("attack/");
        if !is_attack && index % 4 > 0 {
            continue;
        }
        let summary = engine.send(&wire::alone(&request)).summary;
        let is_blocked = summary.is_some_and(|summary| summary.interruption.is_some());
        if is_attack {
            attacks += 1;
            found += usize::from(is_blocked);
        } else {
            benign += 1;
            blocked.extend(is_blocked.then_some(name));
        }
    }
    eprintln!("attacks blocked: {found} of {attacks}; benign requests blocked: {} of {benign}", blocked.len());
    assert!(benign > 2000 && attacks > 100);
    assert!(blocked.len() * 200 < benign, "{blocked:#?}");
    assert!(found * 3 >= attacks * 2);
}

fn recorded_requests() -> Option<Vec<capture::Capture>> {
    let root = std::env::var_os("PORTCULLIS_SHARED").map_or_else(|| rules().join("../../shared"), PathBuf::from);
    let path = root.join("traffic/requests.tar.gz");
    let Ok(archive) = std::fs::read(&path) else {
        eprintln!("SKIPPED: {} is not there; set PORTCULLIS_SHARED", path.display());
        return None;
    };
    Some(capture::archive(&archive).unwrap())
}

fn case_files() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(rules()).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries.filter(|path| path.extension().is_some_and(|name| name == "yaml")).collect();
    files.sort();
    files
}

fn compile(options: &EngineOptions) -> Program {
    let root = Source::new(rules().join("builtin"), "Include *.conf\n");
    let (program, warnings) =
        rule_set::compile_with(&root, &FileLoader, options).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(warnings.iter().count(), 0, "{warnings}");
    program
}

fn rules() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("rules")
}
