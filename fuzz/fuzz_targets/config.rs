//! Any bytes as a configuration: no panic, problems have places inside the text, and what names no file is built whole.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis::config::{RuleCache, load_source, parse};
use portcullis::diagnostics::{Diagnostics, Source};

fn environment(name: &str) -> Option<String> {
    match name {
        "SET" => Some("value".to_owned()),
        "NUMBER" => Some("8443".to_owned()),
        "EMPTY" => Some(String::new()),
        _ => None,
    }
}

fn look_at(problems: &Diagnostics, text: &[u8]) {
    // YAML ends a line at a carriage return as well.
    let lines = text.iter().filter(|byte| matches!(**byte, b'\n' | b'\r')).count() + 2;
    for problem in problems.iter() {
        assert!(!problem.to_string().is_empty());
        if let Some(location) = &problem.location {
            assert!((1..=lines).contains(&(location.position.line as usize)), "{problem}");
        }
    }
}

fuzz_target!(|text: &[u8]| {
    let source = Source::new("gateway.yaml", text);
    if let Err(problems) = parse(&source, &environment) {
        return look_at(&problems, text);
    }
    // Whatever could open a file of this machine stays with the first half.
    let names_files = ["include", "rules", "certificate", "roots", "key"];
    if names_files.iter().any(|word| text.windows(word.len()).any(|window| window == word.as_bytes())) {
        return;
    }
    match load_source(source, &environment, &RuleCache::default()) {
        Ok(loaded) => assert!(!loaded.configuration.listeners.is_empty() && !loaded.configuration.sites.is_empty()),
        Err(problems) => assert!(problems.has_errors()),
    }
});
