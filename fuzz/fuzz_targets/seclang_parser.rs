//! Any bytes as a rule file: no panic, positions inside the text, and what is printed reads back as the same tree.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis::diagnostics::Source;
use portcullis::seclang::{format, parse, source::MemoryLoader};

fuzz_target!(|text: &[u8]| {
    let loader = MemoryLoader::new().with("b.conf", "SecMarker b\n").with("a.conf", "Include a.conf\n");
    let source = Source::new("root.conf", text);
    let (ruleset, diagnostics) = parse(&source, &loader);
    for diagnostic in diagnostics.iter() {
        assert!(!diagnostic.to_string().is_empty());
    }
    if diagnostics.has_errors() {
        return;
    }
    let printed = format::print(&ruleset);
    let (again, diagnostics) = parse(&Source::new("printed.conf", printed.clone()), &loader);
    assert!(!diagnostics.has_errors(), "{diagnostics}\n{}", printed.escape_ascii());
    assert!(again == ruleset, "{}", printed.escape_ascii());
    let Ok(laid_out) = format::file(&source) else { return };
    let twice = format::file(&Source::new("root.conf", laid_out.clone())).unwrap();
    assert!(twice == laid_out, "{}", laid_out.escape_ascii());
});
