//! A pattern and a text, split at the first newline: no panic, and automata that agree with the reference
//! interpretation, where neither runs out of its budget.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis::waf::regex::{Captures, Regex, RegexCache, RegexOptions};

fuzz_target!(|data: &[u8]| {
    let Some(split) = data.iter().position(|byte| *byte == b'\n') else { return };
    let (pattern, text) = (&data[..split], &data[split + 1..]);
    if pattern.len() > 256 || text.len() > 256 {
        return;
    }
    // The length says whether the automata are asked for groups at once.
    let options =
        RegexOptions { backtrack_steps: 20_000, traces_matches: data.len() % 2 == 0, ..RegexOptions::default() };
    let Ok(regex) = Regex::compile(pattern, options) else { return };
    let reference = Regex::compile(pattern, RegexOptions { is_reference: true, ..options }).unwrap();
    let mut cache = RegexCache::new();
    let (mut found, mut expected) = (Captures::new(), Captures::new());
    let Ok(is_expected) = reference.captures(&mut cache, text, &mut expected) else { return };
    let Ok(is_found) = regex.captures(&mut cache, text, &mut found) else { return };
    let shown = || format!("/{}/ on \"{}\"", pattern.escape_ascii(), text.escape_ascii());
    assert_eq!(is_found, is_expected, "{}", shown());
    assert_eq!(found.span(0), expected.span(0), "{}", shown());
    assert_eq!(found.len(), expected.len());
    if let Ok(is_match) = regex.is_match(&mut cache, text) {
        assert_eq!(is_match, is_expected, "{}", shown());
    }
});
