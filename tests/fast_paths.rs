//! Fast paths change no outcome: recorded traffic and the Core Rule Set's own payloads with every switch of
//! `EngineOptions` on and off, compared to the last byte of the log lines.
//!
//! Slow without optimisation, so not part of an ordinary `cargo test`. `.ci/run agreement` has it with every fourth
//! recorded request; `FAST_PATHS=full` takes all of them, which needs a quarter of an hour:
//! `FAST_PATHS=full cargo test --no-default-features --profile quick --test fast_paths -- --ignored --nocapture`.
//! (What requests cost is for `portcullis bench`; rules of all kinds are for `tests/random_rules.rs`.)

use std::path::{Path, PathBuf};

use portcullis::authoring::{Engine, capture, cases, exchange::Target, rule_set, wire};
use portcullis::seclang::source::FileLoader;
use portcullis::waf::{EngineOptions, Program};

fn shared() -> Option<PathBuf> {
    let root = std::env::var_os("PORTCULLIS_SHARED").map(PathBuf::from);
    let root = root.unwrap_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared")));
    if root.join("traffic").is_dir() {
        return Some(root);
    }
    eprintln!("SKIPPED: {} has no traffic; set PORTCULLIS_SHARED", root.display());
    None
}

/// Are all requests wanted, with all options?
fn is_full() -> bool {
    std::env::var_os("FAST_PATHS").is_some_and(|wanted| wanted == "full")
}

/// The recorded requests, or every fourth.
fn traffic(shared: &Path) -> Vec<Vec<u8>> {
    let archive = std::fs::read(shared.join("traffic/requests.tar.gz")).unwrap();
    let captures = capture::archive(&archive).unwrap();
    captures.iter().step_by(if is_full() { 1 } else { 4 }).map(|(_, request)| wire::alone(request)).collect()
}

/// The requests of the rule set's regression files.
fn payloads(directory: &Path, out: &mut Vec<Vec<u8>>) {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            payloads(&path, out);
        } else if path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml") {
            let file = cases::load(&FileLoader::open(&path).unwrap()).unwrap_or_else(|problems| panic!("{problems}"));
            out.extend(file.tests.iter().flat_map(|test| &test.stages).map(|stage| wire::request(&stage.input)));
        }
    }
}

fn program(shared: &Path, paranoia: u8, options: &EngineOptions) -> Program {
    let root = rule_set::core_rule_set_at(&shared.join("crs"), paranoia, false);
    rule_set::compile_with(&root, &FileLoader, options).unwrap_or_else(|problems| panic!("{problems}")).0
}

/// Runs the requests with every combination; but with those other than the default every seventh unless all are wanted.
fn compare(shared: &Path, paranoia: u8, requests: &[Vec<u8>]) {
    let step = if is_full() { 1 } else { 7 };
    let combinations = EngineOptions::combinations();
    let programs: Vec<Program> = combinations.iter().map(|(_, options)| program(shared, paranoia, options)).collect();
    let mut engines: Vec<Engine<'_>> = programs.iter().map(Engine::new).collect();
    let mut different = 0;
    let mut matches = 0;
    for (number, request) in requests.iter().enumerate() {
        let mut expected = String::new();
        for (index, (engine, (name, _))) in engines.iter_mut().zip(&combinations).enumerate() {
            // Each engine counts requests, and rules see a clock that follows the count.
            if index > 1 && number % step != 0 {
                engine.skip();
                continue;
            }
            let exchange = engine.send(request);
            let found = format!("{:?} {:?}", exchange.answer, exchange.summary);
            if index == 0 {
                matches += exchange.summary.as_ref().map_or(0, |summary| summary.matches.len());
                expected = found;
            } else if found != expected {
                different += 1;
                let shown = String::from_utf8_lossy(request.get(..300).unwrap_or(request));
                eprintln!("DIFFERS with {name}: request {number}\n{shown}\n  {expected}\n  {found}");
                assert!(different < 5, "too many differences");
            }
        }
    }
    eprintln!("paranoia {paranoia}: {} requests, {matches} matches, {different} differ", requests.len());
    assert_eq!(different, 0);
    assert!(matches > 0);
}

#[test]
#[ignore = "slow without optimisation"]
fn payloads_of_the_core_rule_set() {
    let Some(shared) = shared() else { return };
    let mut requests = Vec::new();
    payloads(&shared.join("crs/tests"), &mut requests);
    assert!(requests.len() > 1000);
    compare(&shared, 4, &requests);
}

#[test]
#[ignore = "slow without optimisation"]
fn traffic_at_paranoia_1() {
    let Some(shared) = shared() else { return };
    compare(&shared, 1, &traffic(&shared));
}

#[test]
#[ignore = "slow without optimisation"]
fn traffic_at_paranoia_4() {
    let Some(shared) = shared() else { return };
    compare(&shared, 4, &traffic(&shared));
}
