//! Every pattern of the rule sets at hand compiles, and to automata wherever it has nothing that they cannot express.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use portcullis::waf::regex::{Regex, RegexCache, RegexOptions};

/// The distinct arguments of `@rx` in the rule files of a folder, or none when it is absent.
fn patterns(folder: &Path) -> Option<BTreeSet<Vec<u8>>> {
    let mut patterns = BTreeSet::new();
    for entry in std::fs::read_dir(folder).ok()? {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "conf") {
            continue;
        }
        let text = std::fs::read(&path).unwrap();
        let text = String::from_utf8(text).unwrap();
        let joined = text.replace("\\\n", "");
        for line in joined.lines().map(str::trim_start).filter(|line| line.starts_with("SecRule ")) {
            let Some(at) = line.find("\"@rx ").map(|at| at + 5).or_else(|| line.find("\"!@rx ").map(|at| at + 6))
            else {
                continue;
            };
            let mut pattern = Vec::new();
            let mut bytes = line.as_bytes()[at..].iter();
            while let Some(&byte) = bytes.next() {
                match byte {
                    b'"' => break,
                    b'\\' => match bytes.next() {
                        Some(b'"') => pattern.push(b'"'),
                        Some(&other) => pattern.extend([b'\\', other]),
                        None => pattern.push(b'\\'),
                    },
                    byte => pattern.push(byte),
                }
            }
            patterns.insert(pattern);
        }
    }
    Some(patterns)
}

fn shared() -> PathBuf {
    std::env::var_os("PORTCULLIS_SHARED")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"), PathBuf::from)
}

#[test]
fn all_patterns_of_the_core_rule_set_become_automata() {
    let Some(patterns) = patterns(&shared().join("crs/rules")) else {
        println!("SKIPPED: no Core Rule Set at {}", shared().display());
        return;
    };
    assert_eq!(patterns.len(), 294);
    let mut cache = RegexCache::new();
    let mut bytes = 0;
    for pattern in &patterns {
        let regex = Regex::compile(pattern, RegexOptions::default())
            .unwrap_or_else(|error| panic!("{}: {error}", pattern.escape_ascii()));
        assert!(!regex.uses_backtracker(), "{}", pattern.escape_ascii());
        let _ = regex.is_match(&mut cache, b"a=1").unwrap();
        bytes += regex.memory_usage();
    }
    println!("{} patterns, {bytes} bytes, caches {} bytes", patterns.len(), cache.memory_usage());
}

#[test]
fn all_patterns_of_debians_rule_set_compile() {
    let folder = Path::new("/usr/share/modsecurity-crs/rules");
    let Some(patterns) = patterns(folder) else {
        println!("SKIPPED: no rule set at {}", folder.display());
        return;
    };
    assert!(patterns.len() > 200);
    let mut backtracking = 0;
    for pattern in &patterns {
        let regex = Regex::compile(pattern, RegexOptions::default())
            .unwrap_or_else(|error| panic!("{}: {error}", pattern.escape_ascii()));
        if regex.uses_backtracker() {
            backtracking += 1;
            println!("backtracks: {}", pattern.escape_ascii());
        }
    }
    println!("{} patterns, {backtracking} on the backtracker", patterns.len());
}
