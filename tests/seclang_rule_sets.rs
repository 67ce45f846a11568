//! Real rule sets read whole: not one problem, and quickly.

use std::path::{Path, PathBuf};
use std::time::Duration;

use portcullis::diagnostics::Source;
use portcullis::seclang::ast::{DirectiveKind, Ruleset};
use portcullis::seclang::source::{FileLoader, SourceLoader};

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

fn load(text: &str) -> Ruleset {
    let (ruleset, diagnostics) = portcullis::seclang::parse(&Source::new("root.conf", text), &FileLoader);
    assert!(diagnostics.is_empty(), "{diagnostics}");
    ruleset
}

fn crs(shared: &Path) -> Ruleset {
    let crs = shared.join("crs");
    let crs = crs.display();
    load(&format!("Include {crs}/crs-setup.conf.example\nInclude {crs}/test-setup.conf\nInclude {crs}/rules/*.conf\n"))
}

#[test]
fn core_rule_set_4() {
    let Some(shared) = shared() else { return };
    let ruleset = crs(&shared);
    let count = |wanted: fn(&DirectiveKind) -> bool| ruleset.directives.iter().filter(|d| wanted(&d.kind)).count();
    // 695 of the rules and 3 of the setup; 7, 1 and 1.
    assert_eq!(count(|kind| matches!(kind, DirectiveKind::Rule(_))), 698);
    assert_eq!(count(|kind| matches!(kind, DirectiveKind::Action(_))), 9);
    assert_eq!(count(|kind| matches!(kind, DirectiveKind::Marker(_))), 30);
    assert_eq!(count(|kind| matches!(kind, DirectiveKind::UpdateTargetById(..))), 55);
    assert_eq!(count(|kind| matches!(kind, DirectiveKind::DefaultAction(_))), 5);
}

#[test]
fn core_rule_set_3_of_debian() {
    let root = "/usr/share/modsecurity-crs/owasp-crs.load";
    if !Path::new(root).exists() {
        eprintln!("SKIPPED: {root} is absent; install modsecurity-crs");
        return;
    }
    let ruleset = load(&format!("Include {root}\n"));
    assert!(ruleset.directives.len() > 500);
}

#[test]
fn reading_is_fast() {
    let Some(shared) = shared() else { return };
    #[expect(clippy::disallowed_methods, reason = "a test may look at the clock")]
    let best = (0..5)
        .map(|_| {
            let start = std::time::Instant::now();
            crs(&shared);
            start.elapsed()
        })
        .min()
        .unwrap();
    // Unoptimised; the release build needs a tenth.
    assert!(best < Duration::from_millis(500), "{best:?}");
    eprintln!("core rule set read in {best:?}");
}

#[test]
fn printing_and_reading_again_gives_the_same_tree() {
    let Some(shared) = shared() else { return };
    let ruleset = crs(&shared);
    let printed = portcullis::seclang::format::print(&ruleset);
    let (again, diagnostics) = portcullis::seclang::parse(&Source::new("printed.conf", printed.clone()), &FileLoader);
    assert!(diagnostics.is_empty(), "{diagnostics}");
    assert!(again == ruleset);
    assert!(portcullis::seclang::format::print(&again) == printed);
    // Each file by itself, comments and all.
    for entry in std::fs::read_dir(shared.join("crs/rules")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "conf") {
            continue;
        }
        let source = FileLoader::open(&path).unwrap();
        let laid_out = portcullis::seclang::format::file(&source).unwrap();
        let again = Source::new(&path, laid_out.clone());
        assert!(portcullis::seclang::parse_alone(&source).0 == portcullis::seclang::parse_alone(&again).0);
        assert!(portcullis::seclang::format::file(&again).unwrap() == laid_out, "{}", path.display());
        let comments = |text: &[u8]| text.split(|b| *b == b'\n').filter(|line| line.starts_with(b"#")).count();
        assert_eq!(comments(source.text()), comments(&laid_out), "{}", path.display());
    }
}

/// The cases name their files by the place where ModSecurity keeps them.
struct CaseLoader(PathBuf);

impl SourceLoader for CaseLoader {
    fn include(&self, _: &Path, pattern: &str) -> std::io::Result<Vec<Source>> {
        FileLoader.include(&self.0.join("x"), pattern.trim_start_matches("test-cases/data/"))
    }

    fn read(&self, _: &Path, name: &str) -> std::io::Result<Vec<u8>> {
        FileLoader.read(&self.0.join("x"), name.trim_start_matches("test-cases/data/"))
    }
}

#[test]
fn rules_of_the_regression_cases() {
    // What ModSecurity 3 decides otherwise when it loads, and why.
    const DIFFERENCES: &[(&str, &str)] = &[
        ("Testing action :: XMLNS (parser error 3)", "a name space need not be an http address; ModSecurity 2 agrees"),
        ("Testing action :: SecDefaultAction: twice", "in ModSecurity 2 a later default replaces the earlier"),
        ("Testing Operator :: @ipMatchFromFile - file not found", "the compiler opens data files, not the parser"),
        ("Testing Byte ranges :: OWASP CRS id:920200", "the case lacks a closing quote"),
    ];
    let Some(shared) = shared() else { return };
    let mut files: Vec<_> =
        std::fs::read_dir(shared.join("seclang-tests/regression")).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    let mut count = 0;
    let mut wrong = String::new();
    for file in files {
        let cases: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        let one = [cases.clone()];
        for case in cases.as_array().map_or(&one[..], Vec::as_slice) {
            let title = case["title"].as_str().unwrap();
            let rules: Vec<_> = case["rules"].as_array().unwrap().iter().map(|r| r.as_str().unwrap()).collect();
            let text = rules.join("\n");
            let loader = CaseLoader(shared.join("seclang-tests/regression-data"));
            let (_, diagnostics) = portcullis::seclang::parse(&Source::new(file.clone(), text.clone()), &loader);
            let is_refused = diagnostics.to_string().contains("is not supported");
            let differs = diagnostics.has_errors() != case["expected"]["parser_error"].is_string();
            if differs && !is_refused && !DIFFERENCES.iter().any(|(name, _)| *name == title) {
                wrong += &format!("== {} {title}\n{diagnostics}\n{text}\n", file.display());
            }
            count += 1;
        }
    }
    assert_eq!(count, 330);
    assert!(wrong.is_empty(), "{wrong}");
}
