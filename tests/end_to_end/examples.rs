//! The files in `examples/` are configurations that would run, once the files that they name exist.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::lab::{Lab, binary};

#[test]
fn every_example_passes_the_check() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let Ok(entries) = std::fs::read_dir(&examples) else {
        eprintln!("SKIPPED: there is no {}", examples.display());
        return;
    };
    let shared = std::env::var_os("PORTCULLIS_SHARED")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"), PathBuf::from);
    let crs = shared.join("crs");
    // The examples take their directories from the environment; all find the same certificates there.
    let lab = Lab::new();
    std::fs::copy(lab.path("root.pem"), lab.path("ca.pem")).expect("a copy");
    let mut count = 0;
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        let text = std::fs::read_to_string(&path).expect("an example");
        if text.contains("${CRS") && !crs.exists() {
            eprintln!("SKIPPED: {} needs the Core Rule Set in {}", path.display(), crs.display());
            continue;
        }
        let output = Command::new(binary())
            .args(["check", "--config"])
            .arg(&path)
            .env("LAB", lab.directory.path())
            .env("CERTS", lab.directory.path())
            .env("CRS", &crs)
            .stdin(Stdio::null())
            .output()
            .expect("the gateway");
        let told = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(output.status.success(), "{}: {told}", path.display());
        count += 1;
    }
    assert!(count > 0, "no example in {}", examples.display());
}
