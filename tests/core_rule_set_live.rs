//! The Core Rule Set's regression suite live: `portcullis rules test --live`, the gateway of `examples/crs-suite.yaml`
//! with TLS on both sides, and the suite's backend, all of them as the program that people run.
//!
//! The suite is dealt out to two gateways with a log each: what a log says between two markers must be about one
//! request, so one gateway serves one runner.
#![cfg(feature = "gateway")]

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use portcullis::certificate::authority::{Authority, Validity};

/// The folder with reference data that is not part of the project; tests say loudly when it is absent.
fn core_rule_set() -> Option<PathBuf> {
    let root = std::env::var_os("PORTCULLIS_SHARED").map(PathBuf::from);
    let root = root.unwrap_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared")));
    if root.join("crs/tests").is_dir() {
        return Some(root.canonicalize().unwrap().join("crs"));
    }
    eprintln!("SKIPPED: {} is absent; set PORTCULLIS_SHARED", root.join("crs/tests").display());
    None
}

fn case_files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            case_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml") {
            found.push(path);
        }
    }
}

/// A program that runs until it is dropped.
struct Running {
    child: Child,
    address: String,
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Starts the program and waits for the line that says where it listens.
fn start(arguments: &[&str], environment: &[(&str, &Path)], says: &str) -> Running {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
    command.args(arguments).envs(environment.iter().copied()).env_remove("PORTCULLIS_CONFIG");
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut heard = Vec::new();
    let address = loop {
        let Some(line) = lines.next() else { panic!("{arguments:?} ended:\n{}", heard.join("\n")) };
        let line = line.unwrap();
        if let Some((_, address)) = line.split_once(says) {
            break address.trim().to_owned();
        }
        heard.push(line);
    };
    // Whoever writes into a pipe that nobody reads stops one day.
    std::thread::spawn(move || lines.for_each(drop));
    Running { child, address }
}

/// A directory with the certificates that the example asks for.
fn laboratory() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::new("suite root", Validity::days(2)).unwrap();
    std::fs::write(directory.path().join("ca.pem"), authority.certificate_pem()).unwrap();
    authority.server(&["localhost", "127.0.0.1"]).unwrap().write(directory.path(), "edge").unwrap();
    authority.server(&["backend.test", "127.0.0.1"]).unwrap().write(directory.path(), "backend").unwrap();
    directory
}

/// Runs case files through a gateway of their own.
fn run(rules: &Path, cases: &[PathBuf]) -> Output {
    let laboratory = laboratory();
    let at = |name: &str| laboratory.path().join(name).display().to_string();
    let backend = start(
        &[
            "rules",
            "backend",
            "--listen",
            "127.0.0.1:0",
            "--certificate",
            &at("backend.pem"),
            "--key",
            &at("backend.key"),
        ],
        &[],
        "the suite's backend listens on ",
    );
    // The example as it is, on other ports.
    let example = include_str!("../examples/crs-suite.yaml");
    let config = example
        .replace("127.0.0.1:8462", "127.0.0.1:0")
        .replace("127.0.0.1:9162", "127.0.0.1:0")
        .replace("127.0.0.1:9444", &backend.address);
    std::fs::write(at("gateway.yaml"), config).unwrap();
    let environment = [("LAB", laboratory.path()), ("CRS", rules)];
    let gateway = start(&["run", "--config", &at("gateway.yaml")], &environment, "listener suite on ");
    let mut runner = Command::new(env!("CARGO_BIN_EXE_portcullis"));
    runner.args(["rules", "test", "--format", "json", "--live", &format!("https://{}", gateway.address)]);
    runner.args(["--log", &at("portcullis-rules.log")]).args(cases).output().unwrap()
}

#[test]
fn every_case_passes_through_the_gateway() {
    let Some(rules) = core_rule_set() else { return };
    let mut cases = Vec::new();
    case_files(&rules.join("tests"), &mut cases);
    cases.sort();
    let hands: Vec<Vec<PathBuf>> = (0..2).map(|hand| cases.iter().skip(hand).step_by(2).cloned().collect()).collect();
    let outputs: Vec<Output> = std::thread::scope(|scope| {
        let runs: Vec<_> = hands.iter().map(|hand| scope.spawn(|| run(&rules, hand))).collect();
        runs.into_iter().map(|run| run.join().unwrap()).collect()
    });
    let (mut tests, mut files) = (0, 0);
    for output in &outputs {
        let text = String::from_utf8_lossy(&output.stdout);
        let report: serde_json::Value = serde_json::from_str(&text)
            .unwrap_or_else(|_| panic!("no report: {text}{}", String::from_utf8_lossy(&output.stderr)));
        let results = report["results"].as_array().unwrap();
        let failed: Vec<_> = results.iter().filter(|result| result["passed"] != true).collect();
        assert!(failed.is_empty(), "{} failed: {failed:#?}", failed.len());
        assert!(output.status.success() && report["failed"] == 0);
        tests += report["tests"].as_u64().unwrap();
        files += report["files"].as_u64().unwrap();
    }
    eprintln!("{files} files, {tests} tests");
    assert_eq!(files, cases.len() as u64);
    assert!(tests > 1000, "{tests} tests");
}
